//! The JSON schema of job files, for editors: made from the types and doc comments of `spec`.

use serde_json::Value;

use super::spec::Spec;

/// The schema as JSON text with a line end.
pub fn json_schema() -> String {
    let mut schema = schemars::schema_for!(Spec).to_value();
    tidy(&mut schema);
    format!("{schema:#}\n")
}

/// Doc comments are broken into lines, and a key that may be left out has no default to offer.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(keys) => {
            if keys.get("default").is_some_and(Value::is_null) {
                keys.remove("default");
            }
            keys.remove("format");
            if let Some(Value::String(description)) = keys.get_mut("description") {
                *description = description.replace('\n', " ");
            }
            keys.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}
