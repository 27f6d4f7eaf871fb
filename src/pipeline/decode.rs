//! [`Node`]s to the types of `spec` by way of serde, in words for people who write jobs and with the span of the error.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::job_error::JobError;
use super::node::{Data, Entry, Node};
use super::source_span::SourceSpan;
use super::words::{nearest, quoted, suggestion, yes_or_no};

/// Reads a value of any type that serde knows.
pub(super) fn decode<T: de::DeserializeOwned>(node: &Node) -> Result<T, JobError> {
    T::deserialize(node).map_err(|error| error.into_job_error(&node.span))
}

/// What serde found wrong, before it is known where.
#[derive(Debug)]
pub(super) struct DecodeError {
    what: What,
    /// From the outermost key inwards, as it is written: `classes[2].threshold`.
    path: String,
    span: Option<SourceSpan>,
}

#[derive(Debug)]
enum What {
    UnknownKey { key: String, allowed: Vec<&'static str> },
    UnknownChoice { choice: String, allowed: Vec<&'static str> },
    MissingKey(&'static str),
    Wrong { found: String, expected: String, hint: Option<&'static str> },
    Other(String),
}

impl DecodeError {
    fn new(what: What) -> Self {
        Self { what, path: String::new(), span: None }
    }

    fn at(mut self, span: &SourceSpan) -> Self {
        self.span.get_or_insert_with(|| span.clone());
        self
    }

    fn below(mut self, outer: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{outer}{dot}{}", self.path);
        self
    }

    fn into_job_error(self, outermost: &SourceSpan) -> JobError {
        let span = self.span.unwrap_or_else(|| outermost.clone());
        let path = self.path;
        let subject = if path.is_empty() { "the job".to_owned() } else { quoted(&path) };
        let inside = if path.is_empty() { String::new() } else { format!(" in {subject}") };
        match self.what {
            What::UnknownKey { key, allowed } => JobError::new(span, format!("unknown key {}{inside}", quoted(&key)))
                .with_hint(suggestion(&key, &allowed)),
            What::UnknownChoice { choice, allowed } => {
                let allowed_text = allowed.iter().map(|a| format!("`{a}`")).collect::<Vec<_>>().join(", ");
                let error =
                    JobError::new(span, format!("{subject} is {}; allowed are {allowed_text}", quoted(&choice)));
                match nearest(&choice, allowed) {
                    Some(meant) => error.with_hint(format!("Did you mean `{meant}`?")),
                    None => error,
                }
            }
            What::MissingKey(key) => JobError::new(span, format!("{subject} is missing the key `{key}`")),
            What::Wrong { found, expected, hint } => {
                let error = JobError::new(span, format!("{subject} must be {expected}, not {found}"));
                match hint {
                    Some(hint) => error.with_hint(hint),
                    None => error,
                }
            }
            What::Other(message) => JobError::new(span, format!("{subject}: {message}")),
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {}", self.what, self.path)
    }
}

impl std::error::Error for DecodeError {}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(What::Other(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected_in_words(&expected.to_string());
        let hint = match found {
            Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) | Unexpected::Bool(_)
                if expected.contains("text") =>
            {
                Some("Put it into quotes.")
            }
            Unexpected::Str(text) if expected.contains("number") && text.parse::<f64>().is_ok() => {
                Some("Write it without quotes.")
            }
            Unexpected::Str(text)
                if expected.contains("number") && text.replacen(',', ".", 1).parse::<f64>().is_ok() =>
            {
                Some("Write a decimal point: 0.5.")
            }
            Unexpected::Str(text) if expected == "a list" && text.contains([',', ';']) => {
                Some("Write a list: `[a, b]`, or a line `- a` for each item.")
            }
            _ => None,
        };
        Self::new(What::Wrong { found: found_in_words(&found), expected, hint })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn invalid_length(found: usize, expected: &dyn Expected) -> Self {
        let found = format!("{found} values");
        Self::new(What::Wrong { found, expected: expected_in_words(&expected.to_string()), hint: None })
    }

    fn unknown_field(key: &str, allowed: &'static [&'static str]) -> Self {
        Self::new(What::UnknownKey { key: key.to_owned(), allowed: allowed.to_vec() })
    }

    fn unknown_variant(choice: &str, allowed: &'static [&'static str]) -> Self {
        Self::new(What::UnknownChoice { choice: choice.to_owned(), allowed: allowed.to_vec() })
    }

    fn missing_field(key: &'static str) -> Self {
        Self::new(What::MissingKey(key))
    }
}

/// serde names Rust's types; a job's writer knows numbers and text.
fn expected_in_words(expected: &str) -> String {
    match expected {
        "f32" | "f64" => "a number".into(),
        "usize" | "u32" | "u64" => "a whole number from 0".into(),
        "a string" => "text".into(),
        "a boolean" => "`true` or `false`".into(),
        "a sequence" => "a list".into(),
        "an array of length 2" | "a tuple of size 2" => "a list of two values".into(),
        other => other.into(),
    }
}

fn found_in_words(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("`{value}`"),
        Unexpected::Signed(value) => format!("`{value}`"),
        Unexpected::Float(value) => format!("`{value}`"),
        Unexpected::Str(value) => format!("the text {}", quoted(value)),
        Unexpected::Unit | Unexpected::Option => "nothing".into(),
        Unexpected::Seq => "a list".into(),
        Unexpected::Map => "keys with values".into(),
        other => other.to_string(),
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let result = match &self.data {
            Data::Null => visitor.visit_unit(),
            Data::Bool(value) => visitor.visit_bool(*value),
            Data::Number(value) => match (value.as_u64(), value.as_i64(), value.as_f64()) {
                (Some(value), _, _) => visitor.visit_u64(value),
                (_, Some(value), _) => visitor.visit_i64(value),
                (_, _, value) => visitor.visit_f64(value.unwrap_or(f64::NAN)),
            },
            Data::Text(value) => visitor.visit_borrowed_str(value),
            Data::List(items) => visitor.visit_seq(Items { items, next: 0 }),
            Data::Map(entries) => visitor.visit_map(Entries { entries, next: 0 }),
        };
        result.map_err(|error| error.at(&self.span))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.data {
            Data::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let word = if let Data::Text(text) = &self.data { yes_or_no(text) } else { None };
        match word {
            Some(value) => visitor.visit_bool(value),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match &self.data {
            Data::Text(text) => {
                let choice: StrDeserializer<'_, DecodeError> = text.as_str().into_deserializer();
                visitor.visit_enum(choice).map_err(|error| error.at(&self.span))
            }
            _ => self.deserialize_str(visitor),
        }
    }

    /// A section whose keys are all commented out is an empty one.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match self.data {
            Data::Null => visitor.visit_map(Entries { entries: &[], next: 0 }),
            // serde would take a list for the values of the keys in their order.
            Data::List(_) => Err(<DecodeError as de::Error>::invalid_type(Unexpected::Seq, &visitor).at(&self.span)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.data {
            Data::Null => visitor.visit_seq(Items { items: &[], next: 0 }),
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple
        tuple_struct map identifier ignored_any
    }
}

struct Items<'a> {
    items: &'a [Node],
    next: usize,
}

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeError> {
        let Some(item) = self.items.get(self.next) else { return Ok(None) };
        let index = self.next;
        self.next += 1;
        seed.deserialize(item).map(Some).map_err(|error| error.at(&item.span).below(&format!("[{index}]")))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() - self.next)
    }
}

struct Entries<'a> {
    entries: &'a [Entry],
    /// The entry whose key comes next; its value comes after it.
    next: usize,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        let Some(entry) = self.entries.get(self.next) else { return Ok(None) };
        self.next += 1;
        let key: StrDeserializer<'_, DecodeError> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|error| error.at(&entry.key_span))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        let Some(entry) = self.entries.get(self.next.wrapping_sub(1)) else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(&entry.value).map_err(|error| match entry.value.data {
            // A key with nothing behind it is shown by the key.
            Data::Null => DecodeError { span: Some(entry.key_span.clone()), ..error }.below(&entry.key),
            _ => error.at(&entry.value.span).below(&entry.key),
        })
    }
}
