//! Names of the values of a label raster.

use std::collections::BTreeMap;

/// The names of values, in the order of the values. A value without a name is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassNames(BTreeMap<i64, String>);

impl ClassNames {
    /// Names of the values 0, 1, 2, …
    pub fn of_indices(names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let mut all = Self::default();
        (0..).zip(names).for_each(|(value, name)| all.insert(value, name.as_ref()));
        all
    }

    /// Names a value, unless the name is blank.
    pub fn insert(&mut self, value: i64, name: &str) {
        let name = name.trim();
        if !name.is_empty() {
            self.0.insert(value, name.to_owned());
        }
    }

    pub fn get(&self, value: i64) -> Option<&str> {
        self.0.get(&value).map(String::as_str)
    }

    pub fn iter(&self) -> impl Iterator<Item = (i64, &str)> {
        self.0.iter().map(|(value, name)| (*value, name.as_str()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The values of this name: by exact match, else ignoring case.
    pub fn values_of(&self, name: &str) -> Vec<i64> {
        let exact: Vec<i64> = self.iter().filter(|(_, known)| *known == name).map(|(value, _)| value).collect();
        if !exact.is_empty() {
            return exact;
        }
        self.iter().filter(|(_, known)| same_name(known, name)).map(|(value, _)| value).collect()
    }

    /// Each name once, in the order of the first value that has it.
    pub fn distinct(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (_, name) in self.iter() {
            if !names.iter().any(|known| same_name(known, name)) {
                names.push(name.to_owned());
            }
        }
        names
    }

    /// For messages: `water, land`; with their values where these are not 0, 1, 2, …: `10 trees, 20 shrubs`.
    pub fn listed(&self) -> String {
        let plain = self.iter().zip(0..).all(|((value, _), index)| value == index);
        let one = |(value, name): (i64, &str)| if plain { name.to_owned() } else { format!("{value} {name}") };
        self.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

/// Whether two names of classes are the same, ignoring case and surrounding blanks.
pub fn same_name(a: &str, b: &str) -> bool {
    a.trim().to_lowercase() == b.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_names_are_ignored() {
        let names = ClassNames::of_indices(["water", " ", "", " land "]);
        assert_eq!(names.iter().collect::<Vec<_>>(), [(0, "water"), (3, "land")]);
        assert_eq!(names.listed(), "0 water, 3 land");
        assert_eq!(ClassNames::of_indices(["a", "b"]).listed(), "a, b");
    }

    #[test]
    fn exact_name_precedes_other_case() {
        let mut names = ClassNames::of_indices(["Forest", "forest", "field"]);
        names.insert(-7, "FIELD");
        assert_eq!((names.values_of("forest"), names.values_of("FOREST")), (vec![1], vec![0, 1]));
        assert_eq!(names.values_of("Field"), [-7, 2]);
        assert_eq!(names.distinct(), ["FIELD", "Forest"]);
        assert_eq!(names.values_of("sea"), [0i64; 0]);
    }
}
