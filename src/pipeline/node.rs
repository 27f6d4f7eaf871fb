//! A job's data with the span of every value: the common form of files, `--set` and flags.

use super::job_error::JobError;
use super::source_span::SourceSpan;
use super::words::quoted;

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub span: SourceSpan,
    pub data: Data,
}

#[derive(Clone, Debug)]
pub(super) enum Data {
    Null,
    Bool(bool),
    Number(serde_yaml::Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub key: String,
    pub key_span: SourceSpan,
    pub value: Node,
}

/// A step of a key path such as `classes[1].colour`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum KeyStep {
    Key(String),
    Index(usize),
}

/// No job is nested deeper; an endless path would be followed by recursion.
const MAX_STEPS: usize = 32;

/// Reads `tiling.stride`, `classes[1].colour` or `classes.1.colour`.
pub(super) fn parse_path(path: &str) -> Option<Vec<KeyStep>> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (key, mut indices) = part.split_at(part.find('[').unwrap_or(part.len()));
        if key.is_empty() {
            return None;
        }
        steps.push(match key.parse() {
            Ok(index) => KeyStep::Index(index),
            Err(_) => KeyStep::Key(key.to_owned()),
        });
        while let Some(rest) = indices.strip_prefix('[') {
            let (index, rest) = rest.split_once(']')?;
            steps.push(KeyStep::Index(index.parse().ok()?));
            indices = rest;
        }
        if !indices.is_empty() {
            return None;
        }
    }
    (steps.len() <= MAX_STEPS).then_some(steps)
}

impl Node {
    pub fn empty_map(span: SourceSpan) -> Self {
        Self { span, data: Data::Map(Vec::new()) }
    }

    pub fn text(span: SourceSpan, text: impl Into<String>) -> Self {
        Self { span, data: Data::Text(text.into()) }
    }

    fn child(&self, step: &KeyStep) -> Option<&Node> {
        match (&self.data, step) {
            (Data::Map(entries), KeyStep::Key(key)) => entries.iter().find(|e| e.key == *key).map(|e| &e.value),
            (Data::List(items), KeyStep::Index(index)) => items.get(*index),
            _ => None,
        }
    }

    pub fn child_mut(&mut self, step: &KeyStep) -> Option<&mut Node> {
        match (&mut self.data, step) {
            (Data::Map(entries), KeyStep::Key(key)) => entries.iter_mut().find(|e| e.key == *key).map(|e| &mut e.value),
            (Data::List(items), KeyStep::Index(index)) => items.get_mut(*index),
            _ => None,
        }
    }

    /// The node at `path`, or the deepest one above it that was written.
    pub fn nearest(&self, path: &str) -> &Node {
        let mut node = self;
        for step in parse_path(path).unwrap_or_default() {
            match node.child(&step) {
                Some(child) => node = child,
                None => break,
            }
        }
        node
    }

    /// Puts `value` at `path`, over what was there. Maps on the way are made where they are missing; list items must exist.
    #[expect(clippy::indexing_slicing, reason = "the span of an entry that was found or has just been added")]
    pub fn set(&mut self, path: &[KeyStep], key_span: &SourceSpan, value: Node) -> Result<(), JobError> {
        let Some((step, rest)) = path.split_first() else {
            *self = value;
            return Ok(());
        };
        if matches!(self.data, Data::Null) {
            *self = Self::empty_map(key_span.clone());
        }
        match (&mut self.data, step) {
            (Data::Map(entries), KeyStep::Key(key)) => {
                let at = entries.iter().position(|entry| entry.key == *key).unwrap_or_else(|| {
                    let value = Self { span: key_span.clone(), data: Data::Null };
                    entries.push(Entry { key: key.clone(), key_span: key_span.clone(), value });
                    entries.len() - 1
                });
                let entry = &mut entries[at];
                if rest.is_empty() {
                    entry.key_span = key_span.clone();
                }
                entry.value.set(rest, key_span, value)
            }
            (Data::List(items), KeyStep::Index(index)) => {
                let count = items.len();
                match items.get_mut(*index) {
                    Some(item) => item.set(rest, key_span, value),
                    None => Err(JobError::new(
                        key_span.clone(),
                        format!("there is no item {index}: the list has {count}, counted from 0"),
                    )),
                }
            }
            (Data::Map(entries), KeyStep::Index(index)) => {
                let error =
                    JobError::new(key_span.clone(), format!("there is no item {index}: the value is not a list"));
                let known = entries.iter().map(|entry| quoted(&entry.key)).collect::<Vec<_>>().join(", ");
                Err(error.with_hint(format!("The keys here are {known}.")))
            }
            (Data::List(items), KeyStep::Key(key)) => Err(JobError::new(
                key_span.clone(),
                format!(
                    "{} is a key, but the value is a list: give the number of an item, 0 to {}",
                    quoted(key),
                    items.len().saturating_sub(1)
                ),
            )),
            (_, step) => {
                let step = match step {
                    KeyStep::Key(key) => format!("key {}", quoted(key)),
                    KeyStep::Index(index) => format!("item {index}"),
                };
                Err(JobError::new(key_span.clone(), format!("there is no {step} inside a single value"))
                    .with_hint("Set the whole value, or write it in its long form in the job file."))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_path_has_keys_and_indices() {
        let key = |name: &str| KeyStep::Key(name.to_owned());
        assert_eq!(parse_path("classes[1].colour"), Some(vec![key("classes"), KeyStep::Index(1), key("colour")]));
        assert_eq!(parse_path("classes.1.colour"), parse_path("classes[1].colour"));
        for wrong in ["", "a..b", ".a", "a[", "a[x]", "a[1]b"] {
            assert_eq!(parse_path(wrong), None, "{wrong:?}");
        }
    }
}
