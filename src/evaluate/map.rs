//! The class map (`--map`): which codes of a reference mean which class.
//!
//! ```yaml
//! classes:                        # the reference: class, and its value, colour or text, or a list of them
//!   building: '#3C1098'
//!   vegetation: ['#FEDD3A', '#8429F6']
//! ignore: ['#9B9B9B', '#000000']  # codes of the reference that are not evaluated
//! prediction:                     # needed where the prediction does not name its classes, or has other names
//!   building: 1
//!   vegetation: [2, tree]
//! ```

use std::path::Path;

use serde::Deserialize;
use serde_yaml::Value;

use super::code::Code;
use crate::error::{Context, Error, Result};
use crate::location::check_exists;
use crate::raster::LabelCodes;

/// Size limit of a class map in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// Classes with their codes, as written in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassMap {
    /// In the order of the file.
    pub classes: Vec<(String, Vec<Code>)>,
    pub ignore: Vec<Code>,
    /// Empty where the prediction names its classes, or its values are indices of `classes`.
    pub prediction: Vec<(String, Vec<Code>)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MapFile {
    classes: serde_yaml::Mapping,
    #[serde(default)]
    ignore: Option<Value>,
    #[serde(default)]
    prediction: Option<serde_yaml::Mapping>,
}

impl ClassMap {
    /// Reads and checks a map file.
    pub fn read(path: &Path) -> Result<Self> {
        let cannot = || format!("cannot read the class map {}", path.display());
        check_exists(path, "class map")?;
        let length = std::fs::metadata(path).input(cannot)?.len();
        if length > MAX_BYTES {
            return Err(Error::input(format!("it has {length} bytes, the limit is {MAX_BYTES}"))).input(cannot);
        }
        let text = std::fs::read_to_string(path).input(cannot)?;
        Self::parse(&text).input(cannot)
    }

    pub fn parse(text: &str) -> Result<Self> {
        let hint = "Write 'classes:' with a line for each class, such as building: '#3C1098' or building: 1.";
        let written: MapFile = serde_yaml::from_str(text)
            .map_err(|cause| Error::input("it is not a valid class map").with_source(cause).with_hint(hint))?;
        let map = Self {
            classes: section(written.classes, "classes")?,
            ignore: written.ignore.map_or(Ok(Vec::new()), |value| codes(value, "ignore"))?,
            prediction: written.prediction.map_or(Ok(Vec::new()), |section_| section(section_, "prediction"))?,
        };
        if map.classes.is_empty() {
            return Err(Error::input("its section 'classes' is empty").with_hint(hint));
        }
        let names: Vec<&String> = map.classes.iter().map(|(name, _)| name).collect();
        if let Some((stray, _)) = map.prediction.iter().find(|(name, _)| !names.contains(&name)) {
            return Err(unknown_class(stray, "its section 'prediction'", "its section 'classes'", &names));
        }
        Ok(map)
    }

    /// What the codes of a label raster mean, for examples of its classes.
    pub fn label_codes(&self) -> LabelCodes {
        let mut all = LabelCodes::default();
        let assigned = self.classes.iter().flat_map(|(name, codes)| codes.iter().map(move |code| (code, Some(name))));
        for (code, class) in assigned.chain(self.ignore.iter().map(|code| (code, None))) {
            let class = class.cloned();
            match code {
                Code::Value(value) => all.values.insert(*value, class),
                Code::Colour(colour) => all.colours.insert(*colour, class),
                Code::Text(name) => all.names.insert(name.trim().to_lowercase(), class),
            };
        }
        all
    }
}

/// The error for a class name that is not among `known`; the hint suggests the most similar name.
pub(super) fn unknown_class(name: &str, where_named: &str, where_known: &str, known: &[&String]) -> Error {
    let listed = known.iter().map(|known| known.as_str()).collect::<Vec<_>>().join(", ");
    let error = Error::input(format!("{where_named} names the class {name:?}, but {where_known} has only: {listed}"));
    let distance =
        |known: &&&String| strsim::normalized_damerau_levenshtein(&known.to_lowercase(), &name.to_lowercase());
    match known.iter().max_by(|a, b| distance(a).total_cmp(&distance(b))).filter(|nearest| distance(nearest) > 0.5) {
        Some(nearest) => error.with_hint(format!("Did you mean {nearest:?}?")),
        None => error.with_hint("Use the class names of the prediction."),
    }
}

fn section(mapping: serde_yaml::Mapping, name: &str) -> Result<Vec<(String, Vec<Code>)>> {
    let mut classes: Vec<(String, Vec<Code>)> = Vec::new();
    for (key, value) in mapping {
        let class = match key {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(switch) => switch.to_string(),
            _ => {
                return Err(Error::input(format!("a class in its section '{name}' has no text or number as its name")));
            }
        };
        let codes = codes(value, &class)?;
        if let Some((other, code)) = codes
            .iter()
            .find_map(|code| classes.iter().find(|(_, taken)| taken.contains(code)).map(|(other, _)| (other, code)))
        {
            return Err(Error::input(format!("its section '{name}' assigns {code} to both {other:?} and {class:?}")));
        }
        classes.push((class, codes));
    }
    Ok(classes)
}

/// The codes of an entry: a single one or a list.
fn codes(value: Value, name: &str) -> Result<Vec<Code>> {
    let items = match value {
        Value::Sequence(items) => items,
        single => vec![single],
    };
    if items.is_empty() {
        return Err(Error::input(format!("its entry {name:?} is an empty list")));
    }
    items
        .into_iter()
        .map(|item| serde_yaml::from_value(item).input(|| format!("its entry {name:?} is invalid")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(text: &str) -> String {
        let error = ClassMap::parse(text).unwrap_err();
        assert_eq!(error.exit_code(), 1);
        [vec![error.to_string()], error.causes(), error.hint().map(str::to_owned).into_iter().collect()]
            .concat()
            .join(" / ")
    }

    #[test]
    fn map_keeps_order_and_kinds_of_codes() {
        let map = ClassMap::parse(
            "classes:\n  water: '#E2A929'\n  land: [3, bare soil]\nignore: 255\nprediction:\n  land: [1, 2]\n",
        )
        .unwrap();
        assert_eq!(map.classes[0], ("water".into(), vec![Code::Colour([0xe2, 0xa9, 0x29])]));
        assert_eq!(map.classes[1], ("land".into(), vec![Code::Value(3), Code::Text("bare soil".into())]));
        assert_eq!((map.ignore, map.prediction.len()), (vec![Code::Value(255)], 1));
    }

    #[test]
    fn codes_of_examples_are_those_of_the_map() {
        let map = ClassMap::parse("classes: {water: [1, '#0000FF'], land: Bare Soil}\nignore: [0, cloud]").unwrap();
        let codes = map.label_codes();
        assert_eq!((&codes.values[&1], &codes.values[&0]), (&Some("water".to_owned()), &None));
        assert_eq!(codes.colours[&[0, 0, 255]], Some("water".to_owned()));
        assert_eq!((&codes.names["bare soil"], &codes.names["cloud"]), (&Some("land".to_owned()), &None));
    }

    #[test]
    fn invalid_maps_are_explained() {
        for (text, expected) in [
            ("classes:\n  water: #E2A929\n", "\"water\" is invalid / the value is missing; a colour needs quotes"),
            ("classes:\n  water: '#E2A9'\n", "'#RRGGBB'"),
            ("classes: {a: 1, b: [2, 1]}", "assigns value 1 to both \"a\" and \"b\""),
            ("classes: {a: 1}\nignored: 3", "unknown field `ignored`"),
            ("classes: {water: 1}\nprediction: {watr: 1}", "Did you mean \"water\"?"),
            ("classes: {}", "is empty"),
            ("classes: {a: []}", "empty list"),
            ("classes: {a: 1.5}", "1.5 is not an integer"),
            ("- 1", "not a valid class map"),
        ] {
            assert!(failure(text).contains(expected), "{text}: {}", failure(text));
        }
    }
}
