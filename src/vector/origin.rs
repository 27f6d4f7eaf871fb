//! What a label raster says of how it was made: the tags that a run writes into it, for the metadata and the fields of its vectors.

use std::collections::BTreeMap;

use gdal::{Dataset, Metadata};

use crate::scene::ClassNames;

const PREFIX: &str = "SEGEARTH_";

/// The tags of a label raster; empty where another program wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Names with the prefix `SEGEARTH_`, and values.
    tags: Vec<(String, String)>,
}

impl Origin {
    pub fn of(dataset: &Dataset) -> Self {
        let items = dataset.metadata_domain("").unwrap_or_default();
        let tag = |item: String| {
            let (name, value) = item.split_once('=')?;
            name.starts_with(PREFIX).then(|| (name.to_owned(), value.to_owned()))
        };
        Self { tags: items.into_iter().filter_map(tag).collect() }
    }

    pub fn tags(&self) -> &[(String, String)] {
        &self.tags
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.tags.iter().find(|(tag, _)| tag.strip_prefix(PREFIX) == Some(name)).map(|(_, value)| value.as_str())
    }

    /// The name of the scene.
    pub fn scene(&self) -> Option<&str> {
        self.get("SCENE")
    }

    /// The prompts of each class by its name, as one text. The tag lists `NAME: PROMPTS` in the order of the classes, whose names are
    /// known: names and prompts may hold its separators.
    pub fn prompts(&self, names: &ClassNames) -> BTreeMap<String, String> {
        let mut prompts = BTreeMap::new();
        let mut rest = self.get("CLASSES").unwrap_or_default();
        let names: Vec<&str> = names.iter().map(|(_, name)| name).collect();
        for (index, name) in names.iter().enumerate() {
            let Some(text) = rest.strip_prefix(&format!("{name}: ")) else { break };
            let end = names.get(index + 1).and_then(|next| text.find(&format!("; {next}: ")));
            let (own, after) = text.split_at(end.unwrap_or(text.len()));
            prompts.insert((*name).to_owned(), own.to_owned());
            rest = after.strip_prefix("; ").unwrap_or_default();
        }
        prompts
    }

    /// A sentence on a layer of `what`, such as `buildings`.
    pub fn description(&self, what: &str) -> String {
        let mut text = match self.scene() {
            Some(scene) => format!("{what} of {scene}"),
            None => what.to_owned(),
        };
        if let Some(version) = self.get("VERSION") {
            text += &format!(", by segearth {version}");
            if let Some(model) = self.get("MODEL") {
                text += &format!(" with the model {model}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_told_apart_by_the_names_of_classes() {
        let tag = |name: &str, value: &str| (format!("SEGEARTH_{name}"), value.to_owned());
        let tags = vec![
            tag("CLASSES", "water: lake,river; a; b: odd: one; building: roof,house"),
            tag("SCENE", "itaipu.tif"),
            tag("VERSION", "1"),
        ];
        let origin = Origin { tags };
        let prompts = origin.prompts(&ClassNames::of_indices(["water", "a; b", "building"]));
        let found: Vec<(&str, &str)> = prompts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(found, [("a; b", "odd: one"), ("building", "roof,house"), ("water", "lake,river")]);
        assert_eq!(origin.description("polygons"), "polygons of itaipu.tif, by segearth 1");
        assert!(Origin::default().prompts(&ClassNames::of_indices(["water"])).is_empty());
        assert_eq!(Origin::default().description("roads"), "roads");
    }
}
