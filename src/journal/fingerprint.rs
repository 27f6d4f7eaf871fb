//! What a run was run on, as facts that can be compared.

use std::collections::BTreeMap;

use crate::hash;

/// Everything that decides the results, by name; what only decides how fast they come is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(BTreeMap<String, String>);

/// Longer values are cut where a difference is told.
const SHOWN: usize = 90;

impl Fingerprint {
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), value.into());
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// SHA-256 over all facts, in hexadecimal digits.
    pub fn hash(&self) -> String {
        hash::of_texts(self.0.iter().flat_map(|(name, value)| [name.as_str(), value]))
    }

    /// Takes a fact away. Gives what it was.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// What `now` has otherwise: the name of each fact, its value here and its value there.
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
                name: name.clone(),
                was: value(self, name, now.0.get(name)),
                is: value(now, name, self.0.get(name)),
            })
            .collect()
    }
}

/// A fact with two values, long ones cut around the place where they differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub name: String,
    pub was: String,
    pub is: String,
}

/// The value, or of a long one the piece around the first place where it differs from `other`.
fn shown(value: &str, other: Option<&String>) -> String {
    let characters: Vec<char> = value.chars().collect();
    if characters.len() <= SHOWN {
        return value.to_owned();
    }
    let same = other.map_or(0, |other| characters.iter().zip(other.chars()).take_while(|(a, b)| **a == *b).count());
    let start = same.saturating_sub(SHOWN / 3).min(characters.len() - SHOWN);
    let piece: String = characters.iter().skip(start).take(SHOWN).collect();
    let (before, after) = (if start > 0 { "…" } else { "" }, if start + SHOWN < characters.len() { "…" } else { "" });
    format!("{before}{piece}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_with_both_values() {
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
