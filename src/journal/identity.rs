//! What a run was run on, as facts that can be compared.

use std::collections::BTreeMap;

use crate::hash;

/// Everything that decides the results, by name; what only decides how fast they come is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Identity(BTreeMap<String, String>);

/// Longer values are cut where a difference is told.
const SHOWN: usize = 90;

impl Identity {
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

    /// A line for each fact that `now` has otherwise.
    pub(super) fn differences(&self, now: &Self) -> Vec<String> {
        let mut names: Vec<&String> = self.0.keys().chain(now.0.keys()).collect();
        names.sort();
        names.dedup();
        let differ = names.into_iter().filter(|name| self.0.get(*name) != now.0.get(*name));
        let value = |of: &Self, name: &str, other: Option<&String>| match of.0.get(name) {
            None => "nothing".to_owned(),
            Some(value) => shown(value, other),
        };
        differ
            .map(|name| {
                let (before, after) = (value(self, name, now.0.get(name)), value(now, name, self.0.get(name)));
                format!("  {name}: was {before}, is {after}")
            })
            .collect()
    }
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
        let [mut before, mut now] = [Identity::default(), Identity::default()];
        before.set("stride", "112");
        now.set("stride", "56");
        before.set("model", "mini");
        now.set("model", "mini");
        now.set("tta", "d4");
        let long = |end: &str| format!("{}{end}", "water, ".repeat(40));
        before.set("classes", long("forest"));
        now.set("classes", long("field"));
        let differences = before.differences(&now);
        assert_eq!(differences[1..], ["  stride: was 112, is 56", "  tta: was nothing, is d4"]);
        assert!(
            differences[0].contains("water, forest,") && differences[0].contains("water, field"),
            "{differences:?}"
        );
        assert!(before.differences(&before).is_empty());
        assert_ne!(before.hash(), now.hash());
        assert_eq!(before.hash(), before.clone().hash());
    }
}
