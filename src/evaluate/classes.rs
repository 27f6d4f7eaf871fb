//! Assigns the codes of prediction and reference to classes, before any pixel is read.

use std::collections::HashMap;

use super::code::Code;
use super::map::{ClassMap, unknown_class};
use crate::error::Result;
use crate::printable::printable_line;
use crate::scene::{ClassNames, same_name};

/// Limit of the indices of unnamed classes: the matrix grows with their square.
const MAX_UNNAMED: usize = 1024;

/// The meaning of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    Class(usize),
    /// Not evaluated.
    Ignored,
}

/// The meanings of the codes of one raster.
#[derive(Clone, Debug, Default)]
pub struct Lookup {
    codes: HashMap<Code, Meaning>,
    /// Values below this number are indices of classes.
    indices: usize,
}

/// The classes of a comparison, and the codes of both rasters that mean them.
#[derive(Clone, Debug)]
pub struct Classes {
    /// Empty where neither file names its classes: they are then named by their index.
    pub names: Vec<String>,
    pub prediction: Lookup,
    pub reference: Lookup,
}

impl Lookup {
    pub fn meaning(&self, code: &Code) -> Option<Meaning> {
        let code = normalised(code);
        if let Some(meaning) = self.codes.get(&code) {
            return Some(*meaning);
        }
        match code {
            Code::Value(value) => usize::try_from(value).ok().filter(|index| *index < self.indices).map(Meaning::Class),
            // A text field may contain numbers.
            Code::Text(text) => text.parse().ok().and_then(|value| self.meaning(&Code::Value(value))),
            Code::Colour(_) => None,
        }
    }

    /// The lookup of a file's named values, by the names of the classes.
    fn of_names(named: &ClassNames, names: &[String]) -> Self {
        let mut lookup = Self::default();
        for (value, name) in named.iter() {
            if let Some(class) = index_of(names, name) {
                lookup.set(&Code::Value(value), Meaning::Class(class));
            }
        }
        lookup
    }

    fn set(&mut self, code: &Code, meaning: Meaning) {
        self.codes.insert(normalised(code), meaning);
    }

    fn ignore(&mut self, code: &Code, names: &[String]) {
        if let Code::Text(name) = code
            && let Some(class) = index_of(names, name)
        {
            self.codes
                .values_mut()
                .filter(|meaning| **meaning == Meaning::Class(class))
                .for_each(|m| *m = Meaning::Ignored);
            if class < self.indices {
                self.codes.entry(Code::Value(class as i64)).or_insert(Meaning::Ignored);
            }
        }
        self.set(code, Meaning::Ignored);
    }
}

impl Classes {
    /// Builds both lookups. `prediction_names` and `reference_names` are the class names in the two files, empty where a file
    /// has none. `ignore`: further codes of the reference, or names of classes, that are not evaluated.
    pub fn resolve(
        prediction_names: &ClassNames,
        reference_names: &ClassNames,
        map: Option<&ClassMap>,
        ignore: &[Code],
    ) -> Result<Self> {
        let mut classes = match map {
            Some(map) => Self::mapped(prediction_names, reference_names, map)?,
            None => Self::unmapped(prediction_names, reference_names, ignore)?,
        };
        for code in map.iter().flat_map(|map| &map.ignore).chain(ignore) {
            classes.reference.ignore(code, &classes.names);
            if let Code::Text(name) = code {
                for value in reference_names.values_of(name) {
                    classes.reference.set(&Code::Value(value), Meaning::Ignored);
                }
            }
        }
        Ok(classes)
    }

    fn mapped(prediction_names: &ClassNames, reference_names: &ClassNames, map: &ClassMap) -> Result<Self> {
        let written: Vec<String> = map.classes.iter().map(|(name, _)| name.clone()).collect();
        let own_names = !map.prediction.is_empty() || prediction_names.is_empty();
        let names = if own_names { written } else { prediction_names.distinct() };
        let class = |name: &str| {
            index_of(&names, name).ok_or_else(|| {
                unknown_class(name, "the class map", "the prediction", &names.iter().collect::<Vec<_>>())
            })
        };

        let mut prediction = Lookup::default();
        if map.prediction.is_empty() {
            prediction = Lookup::of_names(prediction_names, &names);
            if prediction_names.is_empty() {
                prediction.indices = names.len();
            }
        }
        for (name, codes) in &map.prediction {
            let meaning = Meaning::Class(class(name)?);
            for code in codes {
                let Code::Text(text) = code else {
                    prediction.set(code, meaning);
                    continue;
                };
                let values = prediction_names.values_of(text);
                if values.is_empty() {
                    let known = prediction_names.distinct();
                    let known: Vec<&String> = known.iter().collect();
                    return Err(unknown_class(text, "the class map's section 'prediction'", "the prediction", &known));
                }
                values.into_iter().for_each(|value| prediction.set(&Code::Value(value), meaning));
            }
        }

        let mut reference = Lookup::default();
        for (name, codes) in &map.classes {
            let meaning = Meaning::Class(class(name)?);
            for code in codes {
                reference.set(code, meaning);
                if let Code::Text(text) = code {
                    for value in reference_names.values_of(text) {
                        reference.set(&Code::Value(value), meaning);
                    }
                }
            }
        }
        // What the map does not list means the class of its own name.
        for (class, name) in names.iter().enumerate() {
            let values = reference_names.values_of(name).into_iter().map(Code::Value);
            for code in values.chain([Code::Text(name.clone())]) {
                reference.codes.entry(normalised(&code)).or_insert(Meaning::Class(class));
            }
        }
        Ok(Self { names, prediction, reference })
    }

    fn unmapped(prediction_names: &ClassNames, reference_names: &ClassNames, ignore: &[Code]) -> Result<Self> {
        let known = if prediction_names.is_empty() { reference_names } else { prediction_names };
        let names = known.distinct();
        // A file without class names has the values of the other one.
        let of = |own: &ClassNames| Lookup::of_names(if own.is_empty() { known } else { own }, &names);
        let mut prediction = of(prediction_names);
        let mut reference = of(reference_names);
        if names.is_empty() {
            (prediction.indices, reference.indices) = (MAX_UNNAMED, MAX_UNNAMED);
        }
        let ignored = |value: i64, name: &str| {
            ignore.iter().any(|code| match code {
                Code::Value(ignored) => *ignored == value,
                Code::Text(ignored) => same_name(ignored, name),
                Code::Colour(_) => false,
            })
        };
        for (value, name) in reference_names.iter() {
            if index_of(&names, name).is_none() && !ignored(value, name) {
                return Err(unknown_class(name, "the reference", "the prediction", &names.iter().collect::<Vec<_>>())
                    .with_hint(assign_hint(&Code::Text(name.to_owned()))));
            }
        }
        for (class, name) in names.iter().enumerate() {
            reference.set(&Code::Text(name.clone()), Meaning::Class(class));
        }
        Ok(Self { names, prediction, reference })
    }

    /// The index of a class by its name.
    pub fn index(&self, name: &str) -> Result<usize> {
        let known: Vec<&String> = self.names.iter().collect();
        index_of(&self.names, name).ok_or_else(|| unknown_class(name, "the command line", "the comparison", &known))
    }
}

/// How to give a code of the reference to a class of the prediction.
pub(super) fn assign_hint(code: &Code) -> String {
    let (yaml, flag) = match code {
        Code::Value(value) => (value.to_string(), format!("--ignore {value}")),
        Code::Colour(_) => {
            let colour = code.to_string().replace("colour ", "");
            (format!("'{colour}'"), format!("--ignore '{colour}'"))
        }
        Code::Text(text) => {
            let quoted = format!("'{}'", printable_line(text).replace('\'', "''"));
            (quoted.clone(), format!("--ignore {quoted}"))
        }
    };
    format!(
        "Say in a file which class it is, `classes: {{CLASS: {yaml}}}`, and pass the file with --map (classes of the same name \
         need no line there); or leave it out with {flag}."
    )
}

/// The index of a class name; an exact match first, then one that ignores case.
fn index_of(names: &[String], name: &str) -> Option<usize> {
    names.iter().position(|known| known == name).or_else(|| names.iter().position(|known| same_name(known, name)))
}

fn normalised(code: &Code) -> Code {
    match code {
        Code::Text(text) => Code::Text(text.trim().to_lowercase()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> ClassNames {
        ClassNames::of_indices(list)
    }

    fn map(text: &str) -> ClassMap {
        ClassMap::parse(text).unwrap()
    }

    #[test]
    fn map_assigns_codes_to_the_classes_of_the_prediction() {
        let map = map("classes: {Water: '#0000FF', building: [1, house]}\nignore: '#000000'");
        let classes = Classes::resolve(&names(&["building", "road", "water"]), &names(&[]), Some(&map), &[]).unwrap();
        assert_eq!(classes.names, ["building", "road", "water"]);
        for (code, expected) in [
            (Code::Colour([0, 0, 255]), Some(Meaning::Class(2))),
            (Code::Text("House".into()), Some(Meaning::Class(0))),
            (Code::Value(1), Some(Meaning::Class(0))),
            (Code::Colour([0, 0, 0]), Some(Meaning::Ignored)),
            (Code::Value(0), None),
            (Code::Colour([1, 0, 0]), None),
        ] {
            assert_eq!(classes.reference.meaning(&code), expected, "{code}");
        }
        assert_eq!(classes.prediction.meaning(&Code::Value(2)), Some(Meaning::Class(2)));
        assert_eq!(classes.prediction.meaning(&Code::Value(3)), None);
    }

    #[test]
    fn classes_that_a_map_does_not_list_match_by_name() {
        let (own, reference) = (names(&["water", "city", "road"]), names(&["road", "built-up", "water"]));
        let partial = map("classes: {city: built-up}\nignore: [road]");
        let classes = Classes::resolve(&own, &reference, Some(&partial), &[]).unwrap();
        let city = Some(Meaning::Class(1));
        for (code, expected) in [
            (Code::Text("Water".into()), Some(Meaning::Class(0))),
            (Code::Text("built-up".into()), city),
            (Code::Text("city".into()), city),
            (Code::Value(0), Some(Meaning::Ignored)),
            (Code::Value(1), city),
            (Code::Value(2), Some(Meaning::Class(0))),
        ] {
            assert_eq!(classes.reference.meaning(&code), expected, "{code}");
        }
        // What the map says of a name comes first.
        let swapped = map("classes: {city: water}");
        let classes = Classes::resolve(&own, &reference, Some(&swapped), &[]).unwrap();
        assert_eq!(classes.reference.meaning(&Code::Text("water".into())), city);
        assert_eq!(classes.reference.meaning(&Code::Value(2)), city);
    }

    #[test]
    fn map_renames_and_merges_classes_of_the_prediction() {
        let map = map("classes: {green: 5}\nprediction: {green: [forest, 7]}");
        let classes = Classes::resolve(&names(&["fields", "forest"]), &names(&[]), Some(&map), &[]).unwrap();
        assert_eq!(classes.names, ["green"]);
        for value in [1, 7] {
            assert_eq!(classes.prediction.meaning(&Code::Value(value)), Some(Meaning::Class(0)), "{value}");
        }
        assert_eq!(classes.prediction.meaning(&Code::Value(0)), None);
    }

    #[test]
    fn classes_match_by_name_or_else_by_index() {
        let classes =
            Classes::resolve(&names(&["a", "b"]), &names(&["b", "a"]), None, &[Code::Text("a".into())]).unwrap();
        assert_eq!(classes.reference.meaning(&Code::Value(0)), Some(Meaning::Class(1)));
        assert_eq!(classes.reference.meaning(&Code::Value(1)), Some(Meaning::Ignored));
        let classes =
            Classes::resolve(&names(&["a", "b"]), &names(&[]), None, &[Code::Value(255), Code::Text("b".into())])
                .unwrap();
        for (value, expected) in [
            (0, Some(Meaning::Class(0))),
            (1, Some(Meaning::Ignored)),
            (2, None),
            (255, Some(Meaning::Ignored)),
            (-1, None),
        ] {
            assert_eq!(classes.reference.meaning(&Code::Value(value)), expected, "{value}");
        }
        assert_eq!(classes.reference.meaning(&Code::Text(" A ".into())), Some(Meaning::Class(0)));
        assert_eq!(classes.reference.meaning(&Code::Text("0".into())), Some(Meaning::Class(0)));
    }

    #[test]
    fn classes_of_one_file_only_are_refused() {
        let foreign = Classes::resolve(&names(&["a"]), &names(&["a", "c"]), None, &[]).unwrap_err();
        assert!(foreign.to_string().contains("the reference names the class \"c\""), "{foreign}");
        let map = map("classes: {watr: 1}");
        let near = Classes::resolve(&names(&["water", "land"]), &names(&[]), Some(&map), &[]).unwrap_err();
        assert_eq!(near.hint(), Some("Did you mean \"water\"?"));
    }
}
