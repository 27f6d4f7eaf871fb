//! YAML text to [`Node`]s, in one pass over the parser's events, each of which has its place. Plain scalars get their types from
//! serde_yaml.
//!
//! The pass carries the limits: text from a stranger (nesting, alias bombs) is refused before anything large is built from it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
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
/// The tags that YAML itself defines: `!!str`, `!!int` and so on.
const YAML_TAGS: &str = "tag:yaml.org,2002:";

/// Reads one YAML document.
pub(super) fn read(source: &Arc<Source>) -> Result<Node, JobError> {
    if source.text.len() > MAX_BYTES {
        let message = format!("the YAML text has {} bytes; at most {MAX_BYTES} are allowed", source.text.len());
        return Err(JobError::new(SourceSpan::whole(source), message));
    }
    Reader::new(source).document().map_err(with_way_out)
}

/// Says what is to be done: where the line of an error begins a value with what YAML reads otherwise, a bracket before it is open, or
/// lines of one level begin in different columns.
fn with_way_out(error: JobError) -> JobError {
    if error.hint.is_some() {
        return error;
    }
    let line = error.span.source.text.lines().nth(error.span.line.saturating_sub(1)).unwrap_or_default();
    let hint = if ["{scene}", "{folder}"].iter().any(|name| line.contains(name)) {
        "Put names that begin with {scene} or {folder} into quotes: '{scene}_labels.tif'."
    } else if line.contains('\t') {
        "Indent with spaces: YAML does not allow tabs."
    } else if ["*.", "*/", "**", "*_"]
        .iter()
        .any(|star| line.contains(&format!(": {star}")) || line.contains(&format!("- {star}")))
    {
        "Put patterns that begin with `*` into quotes: '*.tif'."
    } else if line.contains(": %") || line.contains("- %") || line.contains(": @") || line.contains("- @") {
        "Put text that begins with `%` or `@` into quotes."
    } else {
        let hint = open_bracket(&error.span).or_else(|| other_column(&error.span));
        return match hint.filter(|_| error.message.starts_with(NOT_YAML)) {
            Some(hint) => error.with_hint(hint),
            None => error,
        };
    };
    error.with_hint(hint)
}

/// How the message of text that does not parse begins.
const NOT_YAML: &str = "not valid YAML";

/// The last bracket before the line of an error that nothing closes.
fn open_bracket(span: &SourceSpan) -> Option<String> {
    let mut open: Vec<(char, usize)> = Vec::new();
    for (number, line) in span.source.text.lines().enumerate().take(span.line) {
        let (mut quote, mut before) = (None, ' ');
        for c in line.chars() {
            match (quote, c) {
                (Some(end), c) if c == end => quote = None,
                (Some(_), _) => {}
                (None, '#') if before.is_whitespace() => break,
                (None, '\'' | '"') => quote = Some(c),
                (None, '[' | '{') => open.push((c, number + 1)),
                (None, ']') if open.last().is_some_and(|(c, _)| *c == '[') => drop(open.pop()),
                (None, '}') if open.last().is_some_and(|(c, _)| *c == '{') => drop(open.pop()),
                _ => {}
            }
            before = c;
        }
    }
    let (bracket, line) = open.last()?;
    Some(format!("The bracket `{bracket}` on line {line} is not closed."))
}

/// Where the line of an error begins, if the line before it begins elsewhere.
fn other_column(span: &SourceSpan) -> Option<String> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<&str> = span.source.text.lines().take(span.line).collect();
    let (here, before) = lines.split_last()?;
    let above = before.iter().rev().find(|line| !line.trim().is_empty() && !line.trim().starts_with('#'))?;
    (indent(here) != indent(above)).then(|| {
        format!(
            "This line begins in column {}, the one above in column {}: keys of one map, and items of one list, begin in one column.",
            indent(here) + 1,
            indent(above) + 1
        )
    })
}

/// Builds nodes from the parser's events.
struct Reader<'a> {
    source: &'a Arc<Source>,
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    /// What each anchor stands for, with the number of values in it, aliases expanded.
    anchors: HashMap<usize, (Node, usize)>,
    /// Values so far, aliases expanded.
    values: usize,
}

impl<'a> Reader<'a> {
    fn new(source: &'a Arc<Source>) -> Self {
        Self { source, parser: Parser::new_from_str(&source.text), anchors: HashMap::new(), values: 0 }
    }

    /// The single document; null where the text is empty.
    fn document(mut self) -> Result<Node, JobError> {
        let mut root = None;
        loop {
            let (event, marker) = self.next()?;
            match event {
                Event::StreamEnd => break,
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
        Ok(root.unwrap_or_else(|| Node { span: SourceSpan::whole(self.source), data: Data::Null }))
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), JobError> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let at = error.marker();
                let span = SourceSpan { source: self.source.clone(), line: at.line(), col: at.col(), len: 1 };
                Err(JobError::new(span, format!("{NOT_YAML}: {}", error.info())))
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
            let message =
                format!("too many values: at most {MAX_VALUES} are allowed, with every use of an alias counted");
            return Err(JobError::new(span.clone(), message));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, marker: Span, depth: usize) -> Result<Node, JobError> {
        let span = self.span(marker);
        if depth > MAX_DEPTH {
            return Err(JobError::new(span, format!("nested too deeply: at most {MAX_DEPTH} levels are allowed")));
        }
        let before = self.values;
        self.count(1, &span)?;
        let (data, anchor) = match event {
            Event::Alias(anchor) => {
                // An anchor that is still open contains this alias.
                let Some((node, values)) = self.anchors.get(&anchor).cloned() else {
                    return Err(JobError::new(span, "this alias is part of the value that it refers to"));
                };
                self.count(values, &span)?;
                return Ok(moved(node, &span));
            }
            Event::SequenceStart(anchor, tag) => {
                check_tag(tag.as_ref(), &["seq"], &span)?;
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, marker) => items.push(self.node(event, marker, depth + 1)?),
                    }
                }
                (Data::List(items), anchor)
            }
            Event::MappingStart(anchor, tag) => {
                check_tag(tag.as_ref(), &["map"], &span)?;
                (Data::Map(self.entries(depth)?), anchor)
            }
            Event::Scalar(text, style, anchor, tag) => (scalar(&text, style, tag.as_ref(), &span)?, anchor),
            _ => return Err(JobError::new(span, "not valid YAML: the text ends in the middle of a value")),
        };
        let node = Node { span, data };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.values - before));
        }
        Ok(node)
    }

    fn entries(&mut self, depth: usize) -> Result<Vec<Entry>, JobError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        loop {
            let (event, marker) = self.next()?;
            let key_span = self.span(marker);
            let no_text = || JobError::new(key_span.clone(), "a key must be text");
            let key = match event {
                Event::MappingEnd => return Ok(entries),
                Event::Scalar(text, style, _, tag) => match scalar(&text, style, tag.as_ref(), &key_span)? {
                    Data::Text(key) => key,
                    _ => return Err(no_text().with_hint("Put the key into quotes.")),
                },
                _ => return Err(no_text()),
            };
            self.count(1, &key_span)?;
            if let Some(first) = lines.insert(key.clone(), key_span.line) {
                let message = format!("key {} is given twice; the first is on line {first}", quoted(&key));
                return Err(JobError::new(key_span, message));
            }
            let (event, marker) = self.next()?;
            let value = self.node(event, marker, depth + 1)?;
            entries.push(Entry { key, key_span, value });
        }
    }
}

/// The value of a scalar: text in quotes or a block is text, whatever it looks like.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Cow<'_, Tag>>, span: &SourceSpan) -> Result<Data, JobError> {
    check_tag(tag, &["str", "int", "float", "bool", "null"], span)?;
    if style != ScalarStyle::Plain || tag.is_some_and(|tag| tag.suffix == "str") || text.contains('\n') {
        return Ok(Data::Text(text.to_owned()));
    }
    match serde_yaml::from_str(text) {
        Ok(Value::Null) => Ok(Data::Null),
        Ok(Value::Bool(value)) => Ok(Data::Bool(value)),
        Ok(Value::Number(value)) => Ok(Data::Number(value)),
        Ok(_) => Ok(Data::Text(text.to_owned())),
        Err(error) => Err(JobError::new(span.clone(), format!("{NOT_YAML}: {error}"))),
    }
}

/// Refuses tags but YAML's own for this kind of value.
fn check_tag(tag: Option<&Cow<'_, Tag>>, allowed: &[&str], span: &SourceSpan) -> Result<(), JobError> {
    let Some(tag) = tag.filter(|tag| tag.handle != YAML_TAGS || !allowed.contains(&tag.suffix.as_str())) else {
        return Ok(());
    };
    let shown = match tag.handle.as_str() {
        YAML_TAGS => format!("!!{}", tag.suffix),
        _ => tag.to_string(),
    };
    let message = format!("the tag {} is not supported in a job", quoted(&shown));
    Err(JobError::new(span.clone(), message).with_hint("Remove it, or put the text into quotes."))
}

/// The node with the place of the alias that stands for it.
fn moved(mut node: Node, span: &SourceSpan) -> Node {
    node.span = span.clone();
    node.data = match node.data {
        Data::List(items) => Data::List(items.into_iter().map(|item| moved(item, span)).collect()),
        Data::Map(entries) => {
            let entry = |entry: Entry| Entry { key_span: span.clone(), value: moved(entry.value, span), ..entry };
            Data::Map(entries.into_iter().map(entry).collect())
        }
        data => data,
    };
    node
}
