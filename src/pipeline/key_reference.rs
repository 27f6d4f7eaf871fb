//! The reference page of all job keys in Markdown: made from the JSON schema, as the schema is made from the types.

use std::fmt::Write as _;

use serde_json::Value;

const INTRODUCTION: &str = "# Job keys

A job is a YAML file. It needs `scene` and `classes`; every other key has a default, and unknown keys are errors. Paths of
inputs are relative to the job file; the folder of outputs is relative to the folder in which the program is started.
`--set KEY.PATH=VALUE` overrides any key for one run, such as `--set tiling.stride=112` or
`--set 'classes[1].threshold=0.5'`.

Each table lists the keys at one place of the file; its heading is the path of that place.

<!-- Printed by `segearth reference jobs`. `make reference` renews this page. -->
";

/// Stands for a link to the table of keys that a value may have.
const KEYS: &str = "KEYS";

/// Returns the page in Markdown: one table for the keys at the top of a job, then one for each key that holds keys.
pub fn key_reference() -> String {
    let schema = schemars::schema_for!(super::spec::Spec).to_value();
    let mut text = INTRODUCTION.to_owned();
    Schema { definitions: schema.get("$defs").unwrap_or(&Value::Null) }.section("", &schema, &mut text);
    text
}

struct Schema<'a> {
    definitions: &'a Value,
}

impl<'a> Schema<'a> {
    /// Writes the table of an object's keys, then the sections of those that hold keys themselves.
    fn section(&self, path: &str, object: &'a Value, text: &mut String) {
        let heading = if path.is_empty() { "A job".to_owned() } else { format!("`{path}`") };
        let about = paragraph(object);
        let _ = write!(text, "\n## {heading}\n\n{about}\n\n| key | value | meaning |\n|---|---|---|\n");
        let required: Vec<&str> = list(object, "required").iter().filter_map(Value::as_str).collect();
        let mut nested = Vec::new();
        for (key, schema) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let mut kinds = Vec::new();
            let (mut keys, mut link) = (None, String::new());
            self.kinds(schema, &mut kinds, &mut keys);
            if let Some((object, many)) = keys {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let below = if many { format!("{below}[N]") } else { below };
                let anchor: String = below.chars().filter(|c| c.is_alphanumeric() || "_-".contains(*c)).collect();
                link = format!("[keys](#{})", anchor.to_lowercase());
                nested.push((below, object));
            }
            let needed = if required.contains(&key.as_str()) { " (required)" } else { "" };
            let meaning = paragraph(schema).replace('|', "\\|");
            let _ = writeln!(text, "| `{key}`{needed} | {} | {meaning} |", kinds.join(" or ").replace(KEYS, &link));
        }
        for (path, object) in nested {
            self.section(&path, object, text);
        }
    }

    /// Adds the kinds of value that a schema allows; gives the object whose keys it may have, and whether in a list.
    fn kinds(&self, schema: &'a Value, kinds: &mut Vec<String>, keys: &mut Option<(&'a Value, bool)>) {
        if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            let target = name.rsplit('/').next().and_then(|name| self.definitions.get(name));
            return target.into_iter().for_each(|target| self.kinds(target, kinds, keys));
        }
        if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
            return choices.iter().for_each(|choice| self.kinds(choice, kinds, keys));
        }
        let words: Vec<String> =
            list(schema, "enum").iter().filter_map(Value::as_str).map(|word| format!("`{word}`")).collect();
        let written = schema.get("type");
        let alone = written.and_then(Value::as_str);
        let kind = alone.or_else(|| {
            written.and_then(Value::as_array)?.iter().filter_map(Value::as_str).find(|kind| *kind != "null")
        });
        let found = match kind {
            _ if !words.is_empty() => words.join(", "),
            Some("object") => {
                *keys = keys.or(Some((schema, false)));
                KEYS.to_owned()
            }
            Some("array") => {
                let (mut items, mut item_keys) = (Vec::new(), None);
                if let Some(item) = schema.get("items") {
                    self.kinds(item, &mut items, &mut item_keys);
                }
                if let Some((object, _)) = item_keys {
                    *keys = Some((object, true));
                }
                let count = |key: &str| schema.get(key).and_then(Value::as_u64);
                match (count("minItems"), count("maxItems")) {
                    (Some(least), Some(most)) if least == most => format!("list of {least}: {}", items.join(" or ")),
                    _ => format!("list: {}", items.join(" or ")),
                }
            }
            Some("string") => "text".to_owned(),
            Some("boolean") => "`true`, `false`".to_owned(),
            Some(number @ ("number" | "integer")) => {
                let name = if number == "integer" { "whole number" } else { "number" };
                let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
                match (bound("minimum"), bound("maximum")) {
                    (Some(least), Some(most)) => format!("{name} from {least} to {most}"),
                    (Some(least), None) => format!("{name} from {least}"),
                    (None, Some(most)) => format!("{name} up to {most}"),
                    (None, None) => name.to_owned(),
                }
            }
            _ => return,
        };
        if !kinds.contains(&found) {
            kinds.push(found);
        }
    }
}

/// The description of a schema on one line.
fn paragraph(schema: &Value) -> String {
    schema.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ")
}

fn list<'a>(schema: &'a Value, key: &str) -> &'a [Value] {
    schema.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    #[test]
    fn key_reference_names_every_key_of_the_schema() {
        let page = key_reference();
        let schema = schemars::schema_for!(super::super::spec::Spec).to_value();
        let objects =
            std::iter::once(&schema).chain(schema["$defs"].as_object().into_iter().flat_map(|all| all.values()));
        let mut keys = 0;
        for key in objects.filter_map(|object| object.get("properties")?.as_object()).flat_map(Map::keys) {
            assert!(page.contains(&format!("| `{key}`")), "{key} is not on the page");
            keys += 1;
        }
        assert_eq!(page.lines().filter(|line| line.starts_with("| `")).count(), keys);
        for row in [
            "| `name` | text | ",
            "| `debias` | number from 0 to 1 | ",
            "| `bands` | list of 3: whole number from 1 or text | ",
            "| `classes` | list: text or [keys](#classesn) or [keys](#classesn) | ",
            "| `polygons` | `true`, `false` or text or [keys](#outputspolygons) | ",
        ] {
            assert!(page.contains(row), "{row} is not on the page:\n{page}");
        }
    }
}
