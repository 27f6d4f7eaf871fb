//! YAML text to [`Node`]s: serde_yaml says what the data is, a second look at the parser's events says where it stands.
//!
//! The events come first and carry the limits, so that text from a stranger (nesting, alias bombs) is refused before
//! anything is built from it.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, Span};
use serde_yaml::Value;

use super::job_error::JobError;
use super::node::{Data, Entry, Node};
use super::source_span::{Source, SourceSpan};
use super::words::quoted;

/// Largest YAML text that is read, in bytes.
pub(super) const MAX_BYTES: usize = 1 << 20;
/// Most values in one text, aliases counted as often as they are used.
const MAX_VALUES: usize = 100_000;
/// Deepest nesting of lists and maps.
const MAX_DEPTH: usize = 32;

/// Reads one YAML document.
pub(super) fn read(source: &Arc<Source>) -> Result<Node, JobError> {
    if source.text.len() > MAX_BYTES {
        let message = format!("{} bytes of YAML are too many: at most {MAX_BYTES} are read", source.text.len());
        return Err(JobError::new(SourceSpan::whole(source), message));
    }
    let outline = Outliner::new(source).outline().map_err(quotes_needed)?;
    let value: Value = serde_yaml::from_str(&source.text).map_err(|error| {
        let span = match error.location() {
            Some(at) => {
                SourceSpan { source: source.clone(), line: at.line(), col: at.column().saturating_sub(1), len: 1 }
            }
            None => SourceSpan::whole(source),
        };
        quotes_needed(JobError::new(span, format!("not valid YAML: {error}")))
    })?;
    let span = SourceSpan::whole(source);
    join(value, outline.as_ref(), &span)
}

/// Says what is to be done where the line of an error begins a value with what YAML reads otherwise.
fn quotes_needed(error: JobError) -> JobError {
    if error.hint.is_some() {
        return error;
    }
    let line = error.span.source.text.lines().nth(error.span.line.saturating_sub(1)).unwrap_or_default();
    let hint = if ["{scene}", "{folder}"].iter().any(|name| line.contains(name)) {
        "Put names that begin with {scene} or {folder} into quotes: '{scene}_labels.tif'."
    } else if line.contains('\t') {
        "Indent with blanks: YAML takes no tabs."
    } else if ["*.", "*/", "**", "*_"]
        .iter()
        .any(|star| line.contains(&format!(": {star}")) || line.contains(&format!("- {star}")))
    {
        "Put patterns that begin with `*` into quotes: '*.tif'."
    } else if line.contains(": %") || line.contains("- %") || line.contains(": @") || line.contains("- @") {
        "Put text that begins with `%` or `@` into quotes."
    } else {
        return error;
    };
    error.with_hint(hint)
}

/// Where a value and what lies inside it were written.
struct Outline {
    span: SourceSpan,
    inside: Inside,
}

enum Inside {
    Nothing,
    Items(Vec<Outline>),
    Entries(Vec<(SourceSpan, Outline)>),
}

/// Puts places to data. What has no place of its own (the inside of an alias) takes that of what is around it.
fn join(value: Value, outline: Option<&Outline>, around: &SourceSpan) -> Result<Node, JobError> {
    let span = outline.map_or(around, |outline| &outline.span).clone();
    let data = match value {
        Value::Null => Data::Null,
        Value::Bool(value) => Data::Bool(value),
        Value::Number(value) => Data::Number(value),
        Value::String(value) => Data::Text(value),
        Value::Sequence(values) => {
            let items = match outline.map(|outline| &outline.inside) {
                Some(Inside::Items(items)) => items.as_slice(),
                _ => &[],
            };
            let nodes = values.into_iter().enumerate().map(|(index, value)| join(value, items.get(index), &span));
            Data::List(nodes.collect::<Result<_, _>>()?)
        }
        Value::Mapping(mapping) => {
            let places = match outline.map(|outline| &outline.inside) {
                Some(Inside::Entries(entries)) => entries.as_slice(),
                _ => &[],
            };
            let mut entries = Vec::with_capacity(mapping.len());
            for (index, (key, value)) in mapping.into_iter().enumerate() {
                let (key_span, value_outline) = match places.get(index) {
                    Some((key_span, outline)) => (key_span.clone(), Some(outline)),
                    None => (span.clone(), None),
                };
                let Value::String(key) = key else {
                    return Err(JobError::new(key_span, "a key must be text").with_hint("Put the key into quotes."));
                };
                let value = join(value, value_outline, &key_span)?;
                entries.push(Entry { key, key_span, value });
            }
            Data::Map(entries)
        }
        Value::Tagged(tagged) => {
            let message = format!("the tag {} has no meaning in a job", quoted(&tagged.tag.to_string()));
            return Err(JobError::new(span, message).with_hint("Leave it out, or put the text into quotes."));
        }
    };
    Ok(Node { span, data })
}

/// Walks the parser's events: places of values, limits, and the errors that serde_yaml would report without a span.
struct Outliner<'a> {
    source: &'a Arc<Source>,
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    /// Values below each anchor, itself included, aliases expanded.
    anchors: HashMap<usize, usize>,
    /// Values so far, aliases expanded.
    values: usize,
}

impl<'a> Outliner<'a> {
    fn new(source: &'a Arc<Source>) -> Self {
        Self { source, parser: Parser::new_from_str(&source.text), anchors: HashMap::new(), values: 0 }
    }

    /// The outline of the single document; `None` where the text is empty.
    fn outline(mut self) -> Result<Option<Outline>, JobError> {
        let mut root = None;
        loop {
            let (event, marker) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
                event if root.is_none() => root = Some(self.node(event, marker, 0)?),
                _ => {
                    let message = "a second YAML document begins here: a job is one document";
                    return Err(
                        JobError::new(self.span(marker), message).with_hint("Put each job into a file of its own.")
                    );
                }
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), JobError> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let at = error.marker();
                let span = SourceSpan { source: self.source.clone(), line: at.line(), col: at.col(), len: 1 };
                Err(JobError::new(span, format!("not valid YAML: {}", error.info())))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn span(&self, marker: Span) -> SourceSpan {
        // A value over several lines is shown by its first one.
        let len = if marker.end.line() == marker.start.line() { marker.len() } else { usize::MAX };
        SourceSpan { source: self.source.clone(), line: marker.start.line(), col: marker.start.col(), len }
    }

    fn count(&mut self, more: usize, span: &SourceSpan) -> Result<(), JobError> {
        self.values = self.values.saturating_add(more);
        if self.values > MAX_VALUES {
            let message = format!("too many values: at most {MAX_VALUES} are read, aliases counted at every use");
            return Err(JobError::new(span.clone(), message));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, marker: Span, depth: usize) -> Result<Outline, JobError> {
        let span = self.span(marker);
        if depth > MAX_DEPTH {
            return Err(JobError::new(span, format!("nested too deeply: at most {MAX_DEPTH} levels are read")));
        }
        let before = self.values;
        self.count(1, &span)?;
        let (inside, anchor) = match event {
            Event::Alias(anchor) => {
                // An anchor that is still open contains this alias.
                let Some(&values) = self.anchors.get(&anchor) else {
                    return Err(JobError::new(span, "this alias stands inside what it refers to"));
                };
                self.count(values, &span)?;
                (Inside::Nothing, 0)
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, marker) => items.push(self.node(event, marker, depth + 1)?),
                    }
                }
                (Inside::Items(items), anchor)
            }
            Event::MappingStart(anchor, _) => (Inside::Entries(self.entries(depth)?), anchor),
            Event::Scalar(_, _, anchor, _) => (Inside::Nothing, anchor),
            _ => return Err(JobError::new(span, "not valid YAML: the text ends in the middle of a value")),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, self.values - before);
        }
        Ok(Outline { span, inside })
    }

    fn entries(&mut self, depth: usize) -> Result<Vec<(SourceSpan, Outline)>, JobError> {
        let mut entries: Vec<(SourceSpan, Outline)> = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        loop {
            let (event, marker) = self.next()?;
            let key_span = self.span(marker);
            let key = match event {
                Event::MappingEnd => return Ok(entries),
                Event::Scalar(key, _, _, _) => key.into_owned(),
                _ => return Err(JobError::new(key_span, "a key must be text")),
            };
            self.count(1, &key_span)?;
            if let Some(first) = lines.insert(key.clone(), key_span.line) {
                let message = format!("key {} is given twice; the first is on line {first}", quoted(&key));
                return Err(JobError::new(key_span, message));
            }
            let (event, marker) = self.next()?;
            let value = self.node(event, marker, depth + 1)?;
            entries.push((key_span, value));
        }
    }
}
