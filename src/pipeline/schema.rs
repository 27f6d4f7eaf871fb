//! The JSON schema of job files, for editors: made from the types and doc comments of `spec`.

use super::spec::Spec;

/// The schema as JSON text with a line end.
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(Spec);
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}
