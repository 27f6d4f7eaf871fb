//! YAML text to [`Node`]s: serde_yaml says what the data is, a second look at the parser's events says where it stands.
//!
//! The events come first and carry the limits, so that text from a stranger (nesting, alias bombs) is refused before
//! anything is built from it.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, Span};
use serde_yaml::Value;

use super::fault::Fault;
use super::node::{Data, Entry, Node};
use super::place::{Place, Source};
use super::words::quoted;

/// Largest YAML text that is read, in bytes.
pub(super) const MAX_BYTES: usize = 1 << 20;
/// Most values in one text, aliases counted as often as they are used.
const MAX_VALUES: usize = 100_000;
/// Deepest nesting of lists and maps.
const MAX_DEPTH: usize = 32;

/// Reads one YAML document.
pub(super) fn read(source: &Arc<Source>) -> Result<Node, Fault> {
    if source.text.len() > MAX_BYTES {
        let message = format!("{} bytes of YAML are too many: at most {MAX_BYTES} are read", source.text.len());
        return Err(Fault::new(Place::whole(source), message));
    }
    let outline = Outliner::new(source).outline().map_err(quotes_needed)?;
    let value: Value = serde_yaml::from_str(&source.text).map_err(|error| {
        let place = match error.location() {
            Some(at) => Place { source: source.clone(), line: at.line(), col: at.column().saturating_sub(1), len: 1 },
            None => Place::whole(source),
        };
        quotes_needed(Fault::new(place, format!("not valid YAML: {error}")))
    })?;
    let place = Place::whole(source);
    join(value, outline.as_ref(), &place)
}

/// Says what is to be done where the line of a fault begins a value with what YAML reads otherwise.
fn quotes_needed(fault: Fault) -> Fault {
    if fault.hint.is_some() {
        return fault;
    }
    let line = fault.place.source.text.lines().nth(fault.place.line.saturating_sub(1)).unwrap_or_default();
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
        return fault;
    };
    fault.with_hint(hint)
}

/// Where a value and what lies inside it were written.
struct Outline {
    place: Place,
    inside: Inside,
}

enum Inside {
    Nothing,
    Items(Vec<Outline>),
    Entries(Vec<(Place, Outline)>),
}

/// Puts places to data. What has no place of its own (the inside of an alias) takes that of what is around it.
fn join(value: Value, outline: Option<&Outline>, around: &Place) -> Result<Node, Fault> {
    let place = outline.map_or(around, |outline| &outline.place).clone();
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
            let nodes = values.into_iter().enumerate().map(|(index, value)| join(value, items.get(index), &place));
            Data::List(nodes.collect::<Result<_, _>>()?)
        }
        Value::Mapping(mapping) => {
            let places = match outline.map(|outline| &outline.inside) {
                Some(Inside::Entries(entries)) => entries.as_slice(),
                _ => &[],
            };
            let mut entries = Vec::with_capacity(mapping.len());
            for (index, (key, value)) in mapping.into_iter().enumerate() {
                let (key_place, value_outline) = match places.get(index) {
                    Some((key_place, outline)) => (key_place.clone(), Some(outline)),
                    None => (place.clone(), None),
                };
                let Value::String(key) = key else {
                    return Err(Fault::new(key_place, "a key must be text").with_hint("Put the key into quotes."));
                };
                let value = join(value, value_outline, &key_place)?;
                entries.push(Entry { key, key_place, value });
            }
            Data::Map(entries)
        }
        Value::Tagged(tagged) => {
            let message = format!("the tag {} has no meaning in a job", quoted(&tagged.tag.to_string()));
            return Err(Fault::new(place, message).with_hint("Leave it out, or put the text into quotes."));
        }
    };
    Ok(Node { place, data })
}

/// Walks the parser's events: places of values, limits, and the faults that serde_yaml would report without a place.
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
    fn outline(mut self) -> Result<Option<Outline>, Fault> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
                event if root.is_none() => root = Some(self.node(event, span, 0)?),
                _ => {
                    let message = "a second YAML document begins here: a job is one document";
                    return Err(Fault::new(self.place(span), message).with_hint("Put each job into a file of its own."));
                }
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Fault> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let at = error.marker();
                let place = Place { source: self.source.clone(), line: at.line(), col: at.col(), len: 1 };
                Err(Fault::new(place, format!("not valid YAML: {}", error.info())))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn place(&self, span: Span) -> Place {
        // A value over several lines is shown by its first one.
        let len = if span.end.line() == span.start.line() { span.len() } else { usize::MAX };
        Place { source: self.source.clone(), line: span.start.line(), col: span.start.col(), len }
    }

    fn count(&mut self, more: usize, place: &Place) -> Result<(), Fault> {
        self.values = self.values.saturating_add(more);
        if self.values > MAX_VALUES {
            let message = format!("too many values: at most {MAX_VALUES} are read, aliases counted at every use");
            return Err(Fault::new(place.clone(), message));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Outline, Fault> {
        let place = self.place(span);
        if depth > MAX_DEPTH {
            return Err(Fault::new(place, format!("nested too deeply: at most {MAX_DEPTH} levels are read")));
        }
        let before = self.values;
        self.count(1, &place)?;
        let (inside, anchor) = match event {
            Event::Alias(anchor) => {
                // An anchor that is still open contains this alias.
                let Some(&values) = self.anchors.get(&anchor) else {
                    return Err(Fault::new(place, "this alias stands inside what it refers to"));
                };
                self.count(values, &place)?;
                (Inside::Nothing, 0)
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                }
                (Inside::Items(items), anchor)
            }
            Event::MappingStart(anchor, _) => (Inside::Entries(self.entries(depth)?), anchor),
            Event::Scalar(_, _, anchor, _) => (Inside::Nothing, anchor),
            _ => return Err(Fault::new(place, "not valid YAML: the text ends in the middle of a value")),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, self.values - before);
        }
        Ok(Outline { place, inside })
    }

    fn entries(&mut self, depth: usize) -> Result<Vec<(Place, Outline)>, Fault> {
        let mut entries: Vec<(Place, Outline)> = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        loop {
            let (event, span) = self.next()?;
            let key_place = self.place(span);
            let key = match event {
                Event::MappingEnd => return Ok(entries),
                Event::Scalar(key, _, _, _) => key.into_owned(),
                _ => return Err(Fault::new(key_place, "a key must be text")),
            };
            self.count(1, &key_place)?;
            if let Some(first) = lines.insert(key.clone(), key_place.line) {
                let message = format!("key {} is given twice; the first is on line {first}", quoted(&key));
                return Err(Fault::new(key_place, message));
            }
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            entries.push((key_place, value));
        }
    }
}
