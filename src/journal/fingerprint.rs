//! The fingerprint of a run: its settings and inputs by name, as text that can be compared and hashed.

use std::collections::BTreeMap;

use crate::hash;

/// Every setting and input that decides the results, by name. Settings that change only the speed are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(BTreeMap<String, String>);

/// Characters of a value that a message shows.
const MAX_SHOWN: usize = 90;

impl Fingerprint {
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), value.into());
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// SHA-256 over all names and values, in hexadecimal digits.
    pub fn hash(&self) -> String {
        hash::of_texts(self.0.iter().flat_map(|(name, value)| [name.as_str(), value]))
    }

    /// Removes an entry and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// The entries in which the two fingerprints differ, sorted by name.
    pub fn differences(&self, now: &Self) -> Vec<Difference> {
        let mut names: Vec<&String> = self.0.keys().chain(now.0.keys()).collect();
        names.sort();
        names.dedup();
        let differ = names.into_iter().filter(|name| self.0.get(*name) != now.0.get(*name));
        let value = |of: &Self, name: &str, other: Option<&String>| match of.0.get(name) {
            None => "nothing".to_owned(),
            Some(value) => shown(value, other),
        };
        differ
            .map(|name| Difference {
                name: title(name).to_owned(),
                was: value(self, name, now.0.get(name)),
                is: value(now, name, self.0.get(name)),
            })
            .collect()
    }
}

/// The name of an entry as users read it. Entries keep their names, which are part of the hash.
fn title(name: &str) -> &str {
    match name {
        "looks" => "colours and thresholds of classes",
        "rasters" => "raster formats",
        name => name,
    }
}

/// An entry with two values; long values are cut around the first difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub name: String,
    pub was: String,
    pub is: String,
}

/// The value; of a long one only the part around its first difference from `other`.
fn shown(value: &str, other: Option<&String>) -> String {
    let characters: Vec<char> = value.chars().collect();
    if characters.len() <= MAX_SHOWN {
        return value.to_owned();
    }
    let same = other.map_or(0, |other| characters.iter().zip(other.chars()).take_while(|(a, b)| **a == *b).count());
    let start = same.saturating_sub(MAX_SHOWN / 3).min(characters.len() - MAX_SHOWN);
    let excerpt: String = characters.iter().skip(start).take(MAX_SHOWN).collect();
    let (before, after) =
        (if start > 0 { "…" } else { "" }, if start + MAX_SHOWN < characters.len() { "…" } else { "" });
    format!("{before}{excerpt}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_name_both_values() {
        let [mut before, mut now] = [Fingerprint::default(), Fingerprint::default()];
        before.set("stride", "112");
        now.set("stride", "56");
        before.set("model", "mini");
        now.set("model", "mini");
        now.set("tta", "d4");
        let long = |end: &str| format!("{}{end}", "water, ".repeat(40));
        before.set("classes", long("forest"));
        now.set("classes", long("field"));
        let differences = before.differences(&now);
        let difference = |name: &str, was: &str, is: &str| Difference {
            name: name.to_owned(),
            was: was.to_owned(),
            is: is.to_owned(),
        };
        assert_eq!(differences[1..], [difference("stride", "112", "56"), difference("tta", "nothing", "d4")]);
        assert!(
            differences[0].was.contains("water, forest") && differences[0].is.contains("water, field"),
            "{differences:?}"
        );
        assert!(before.differences(&before).is_empty());
        assert_ne!(before.hash(), now.hash());
        assert_eq!(before.hash(), before.clone().hash());
    }
}
