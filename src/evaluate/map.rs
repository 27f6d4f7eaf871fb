//! The file that says which codes of a reference mean which class (`--map`).
//!
//! ```yaml
//! classes:                        # the reference: class, and its value, colour or text, or a list of them
//!   building: '#3C1098'
//!   vegetation: ['#FEDD3A', '#8429F6']
//! ignore: ['#9B9B9B', '#000000']  # codes of the reference that are left out
//! prediction:                     # only where the prediction's file does not name its classes, or names them otherwise
//!   building: 1
//!   vegetation: [2, tree]
//! ```

use std::path::Path;

use serde::Deserialize;
use serde_yaml::Value;

use super::code::Code;
use crate::error::{Context, Error, Result};

/// Bytes that a map may have.
const MAX_BYTES: u64 = 4 << 20;

/// Classes and the codes that mean them, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassMap {
    /// In the order of the file.
    pub classes: Vec<(String, Vec<Code>)>,
    pub ignore: Vec<Code>,
    /// Empty: the prediction names its classes itself, or its values are the classes' indices.
    pub prediction: Vec<(String, Vec<Code>)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    classes: serde_yaml::Mapping,
    #[serde(default)]
    ignore: Option<Value>,
    #[serde(default)]
    prediction: Option<serde_yaml::Mapping>,
}

impl ClassMap {
    /// Reads and checks a map file.
    pub fn read(path: &Path) -> Result<Self> {
        let place = || format!("cannot use the class map {}", path.display());
        let length = std::fs::metadata(path).input(place)?.len();
        if length > MAX_BYTES {
            return Err(Error::input(format!("it has {length} bytes, and a class map has at most {MAX_BYTES}")))
                .input(place);
        }
        let text = std::fs::read_to_string(path).input(place)?;
        Self::parse(&text).input(place)
    }

    pub fn parse(text: &str) -> Result<Self> {
        let hint = "Write 'classes:' with a line for each class, such as building: '#3C1098' or building: 1.";
        let written: Written = serde_yaml::from_str(text).map_err(|cause| {
            Error::input("it does not have the form of a class map").with_source(cause).with_hint(hint)
        })?;
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
}

/// A refusal of a name that is none of `known`, with the nearest one.
pub(super) fn unknown_class(name: &str, place: &str, where_known: &str, known: &[&String]) -> Error {
    let listed = known.iter().map(|known| known.as_str()).collect::<Vec<_>>().join(", ");
    let error = Error::input(format!("{place} names the class {name:?}, and {where_known} has: {listed}"));
    let distance =
        |known: &&&String| strsim::normalized_damerau_levenshtein(&known.to_lowercase(), &name.to_lowercase());
    match known.iter().max_by(|a, b| distance(a).total_cmp(&distance(b))).filter(|nearest| distance(nearest) > 0.5) {
        Some(nearest) => error.with_hint(format!("Did you mean {nearest:?}?")),
        None => error.with_hint("Write the classes by the names that the prediction gives them."),
    }
}

fn section(mapping: serde_yaml::Mapping, name: &str) -> Result<Vec<(String, Vec<Code>)>> {
    let mut classes: Vec<(String, Vec<Code>)> = Vec::new();
    for (key, value) in mapping {
        let class = match key {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(switch) => switch.to_string(),
            _ => return Err(Error::input(format!("a class in its section '{name}' has no name"))),
        };
        let codes = codes(value, &class)?;
        if let Some((other, code)) = codes
            .iter()
            .find_map(|code| classes.iter().find(|(_, taken)| taken.contains(code)).map(|(other, _)| (other, code)))
        {
            return Err(Error::input(format!("its section '{name}' gives {code} to {other:?} and to {class:?}")));
        }
        classes.push((class, codes));
    }
    Ok(classes)
}

/// One code or a list of them.
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
        .map(|item| serde_yaml::from_value(item).input(|| format!("its entry {name:?} cannot be understood")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        let error = ClassMap::parse(text).unwrap_err();
        assert_eq!(error.exit_code(), 1);
        [vec![error.to_string()], error.causes(), error.hint().map(str::to_owned).into_iter().collect()]
            .concat()
            .join(" / ")
    }

    #[test]
    fn the_order_and_every_kind_of_code_are_kept() {
        let map = ClassMap::parse(
            "classes:\n  water: '#E2A929'\n  land: [3, bare soil]\nignore: 255\nprediction:\n  land: [1, 2]\n",
        )
        .unwrap();
        assert_eq!(map.classes[0], ("water".into(), vec![Code::Colour([0xe2, 0xa9, 0x29])]));
        assert_eq!(map.classes[1], ("land".into(), vec![Code::Value(3), Code::Text("bare soil".into())]));
        assert_eq!((map.ignore, map.prediction.len()), (vec![Code::Value(255)], 1));
    }

    #[test]
    fn faults_are_named() {
        for (text, expected) in [
            ("classes:\n  water: #E2A929\n", "\"water\" cannot be understood / nothing is given; colours need quotes"),
            ("classes:\n  water: '#E2A9'\n", "'#RRGGBB'"),
            ("classes: {a: 1, b: [2, 1]}", "gives value 1 to \"a\" and to \"b\""),
            ("classes: {a: 1}\nignored: 3", "unknown field `ignored`"),
            ("classes: {water: 1}\nprediction: {watr: 1}", "Did you mean \"water\"?"),
            ("classes: {}", "is empty"),
            ("classes: {a: []}", "empty list"),
            ("classes: {a: 1.5}", "1.5 is no whole number"),
            ("- 1", "form of a class map"),
        ] {
            assert!(fault(text).contains(expected), "{text}: {}", fault(text));
        }
    }
}
