//! Classes in their short text form: `building,roof,house`, and several of them in a flag or a file.

use std::sync::Arc;

use super::job_error::JobError;
use super::node::{Data, Node};
use super::source_span::{Source, SourceSpan};

/// A prompt and where it begins in its text, in characters.
#[derive(Debug, PartialEq)]
pub(super) struct Part {
    pub text: String,
    pub offset: usize,
}

/// What is wrong with a class text: the characters and the sentence.
#[derive(Debug)]
pub(super) struct PartError {
    pub offset: usize,
    pub len: usize,
    pub message: &'static str,
    pub hint: &'static str,
}

/// Splits at a separator and trims; offsets and lengths in characters.
pub(super) fn split(text: &str, separator: char) -> impl Iterator<Item = Part> + '_ {
    let mut offset = 0;
    text.split(separator).map(move |piece| {
        let lead = piece.chars().take_while(|c| c.is_whitespace()).count();
        let part = Part { text: piece.trim().to_owned(), offset: offset + lead };
        offset += piece.chars().count() + 1;
        part
    })
}

/// Whether a file of classes is one of learnt ones.
pub(super) fn is_learnt(file: &str) -> bool {
    let extension = std::path::Path::new(file).extension();
    extension.is_some_and(|extension| extension.eq_ignore_ascii_case(crate::learn::EXTENSION))
}

/// The prompts of one class.
pub(super) fn prompts(text: &str) -> Result<Vec<Part>, PartError> {
    let parts: Vec<Part> = split(text, ',').collect();
    for part in &parts {
        if part.text.is_empty() {
            let (message, hint) = if parts.len() == 1 {
                ("a class is empty", "Write at least one prompt: `building`, or several: `building,roof,house`.")
            } else {
                ("a prompt is empty", "Remove the extra comma.")
            };
            // A blank piece is shown by the comma that follows it, or the one before.
            let offset = part.offset.min(text.chars().count().saturating_sub(1));
            return Err(PartError { offset, len: 1, message, hint });
        }
        if is_quoted(&part.text) {
            return Err(PartError {
                offset: part.offset,
                len: part.text.chars().count(),
                message: "quote characters would become part of the prompt",
                hint: "Remove the quotes: commas alone separate prompts.",
            });
        }
        if part.text.contains(';') {
            return Err(PartError {
                offset: part.offset,
                len: part.text.chars().count(),
                message: "a semicolon in a class",
                hint: "Semicolons separate classes only in --classes; in a file, write each class as an item or line of its own.",
            });
        }
    }
    Ok(parts)
}

/// An apostrophe between letters (`farmer's field`) is no quote.
fn is_quoted(text: &str) -> bool {
    const DOUBLE: [char; 5] = ['"', '“', '”', '„', '`'];
    const SINGLE: [char; 4] = ['\'', '‘', '’', '‚'];
    text.contains(DOUBLE) || text.starts_with(SINGLE) || text.ends_with(SINGLE)
}

/// `background; building,roof,house; road` as a list of class texts with their places.
pub(super) fn from_flag(source: &Arc<Source>) -> Result<Node, JobError> {
    let whole = SourceSpan { source: source.clone(), line: 1, col: 0, len: source.text.chars().count() };
    let mut items = Vec::new();
    for part in split(&source.text, ';') {
        items.push(class_node(&whole, part)?);
    }
    Ok(Node { span: whole, data: Data::List(items) })
}

/// A class a line. Blank lines at the end are none; one in between would shift the numbers and is an error.
pub(super) fn from_lines(source: &Arc<Source>) -> Result<Node, JobError> {
    let mut items = Vec::new();
    let text = source.text.trim_end();
    for (index, line) in text.lines().enumerate() {
        let span = SourceSpan { source: source.clone(), line: index + 1, col: 0, len: line.chars().count() };
        let lead = line.chars().take_while(|c| c.is_whitespace()).count();
        items.push(class_node(&span, Part { text: line.trim().to_owned(), offset: lead })?);
    }
    Ok(Node { span: SourceSpan::whole(source), data: Data::List(items) })
}

fn class_node(line: &SourceSpan, part: Part) -> Result<Node, JobError> {
    let span = SourceSpan { col: line.col + part.offset, len: part.text.chars().count(), ..line.clone() };
    // Judged here already, so that an empty part is shown where it is and not as a class without a name.
    if let Err(error) = prompts(&part.text) {
        let span = span.part(&part.text, error.offset, error.len);
        return Err(JobError::new(span, error.message).with_hint(error.hint));
    }
    Ok(Node::text(span, part.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(parts: &[Part]) -> Vec<(&str, usize)> {
        parts.iter().map(|part| (part.text.as_str(), part.offset)).collect()
    }

    #[test]
    fn prompts_are_trimmed_with_offsets() {
        let parts = prompts("building, roof ,häuser").unwrap();
        assert_eq!(texts(&parts), [("building", 0), ("roof", 10), ("häuser", 16)]);
        assert_eq!(texts(&prompts("farmer's field").unwrap()), [("farmer's field", 0)]);
    }

    #[test]
    fn prompt_errors_have_offsets() {
        let at = |text: &str| prompts(text).unwrap_err().offset;
        assert_eq!(at("a,,b"), 2);
        assert_eq!(at("a,"), 1);
        assert_eq!(at(",a"), 0);
        assert_eq!(at(""), 0);
        assert_eq!(at("a, \"b\""), 3);
        assert_eq!(at("'a'"), 0);
        assert_eq!(at("a; b"), 0);
    }
}
