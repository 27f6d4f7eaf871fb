//! Where a value was written, and faults that show the place: file, line, column, the line itself and a caret under it.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Error;

/// A text that values were read from: a job file, a class file, or the value of one flag.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// How the reader knows it: `jobs/city.yaml`, `--set tiling.stride=300`, `--classes`.
    pub label: String,
    pub text: String,
    /// Files have lines to count; a flag has none.
    pub has_lines: bool,
    /// The folder that relative input paths written here start from.
    pub base: PathBuf,
}

/// A stretch of characters in a [`Source`].
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    pub source: Arc<Source>,
    /// From 1; 0 stands for the source as a whole.
    pub line: usize,
    /// In characters, from 0.
    pub col: usize,
    /// In characters.
    pub len: usize,
}

/// Longest part of a source line that is shown.
const EXCERPT_CHARS: usize = 100;

/// How many faults are shown at once.
const FAULTS_SHOWN: usize = 8;

impl Place {
    pub fn whole(source: &Arc<Source>) -> Self {
        Self { source: source.clone(), line: 0, col: 0, len: 0 }
    }

    /// The place of `len` characters from `offset` of the text `value` that was written here. Where escapes or folded lines
    /// make the written form differ from the value, the whole place stands for the part.
    pub fn part(&self, value: &str, offset: usize, len: usize) -> Self {
        let quotes = match self.len.checked_sub(value.chars().count()) {
            Some(0) => 0,
            Some(2) => 1,
            _ => return self.clone(),
        };
        Self { col: self.col + quotes + offset, len, ..self.clone() }
    }

    /// ` --> job.yaml:3:9` and below it the line with a caret.
    fn excerpt(&self) -> String {
        let source = &self.source;
        if self.line == 0 {
            return if source.label.is_empty() { String::new() } else { format!("  --> {}", printable(&source.label)) };
        }
        let mut text = format!("  --> {}", printable(&source.label));
        if source.has_lines {
            let _ = write!(text, ":{}:{}", self.line, self.col + 1);
        }
        let Some(line) = source.text.lines().nth(self.line - 1) else { return text };
        let chars: Vec<char> = line.trim_end().chars().collect();
        let number = if source.has_lines { self.line.to_string() } else { String::new() };
        let margin = " ".repeat(number.len());

        // A long line is cut to a piece around the caret.
        let first = if chars.len() <= EXCERPT_CHARS { 0 } else { self.col.saturating_sub(EXCERPT_CHARS / 3) };
        let shown: String = chars.iter().skip(first).take(EXCERPT_CHARS).collect();
        let (before, after) =
            (if first > 0 { "…" } else { "" }, if first + EXCERPT_CHARS < chars.len() { "…" } else { "" });
        let indent = " ".repeat(self.col.saturating_sub(first) + before.chars().count());
        let room = (first + EXCERPT_CHARS).min(chars.len()).saturating_sub(self.col);
        let carets = "^".repeat(self.len.min(room).max(1));
        let _ =
            write!(text, "\n{margin} |\n{number} | {before}{}{after}\n{margin} | {indent}{carets}", printable(&shown));
        text
    }
}

/// Control characters would reach the reader's terminal: they are shown as a placeholder of the same width.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// A value as it is named in a message: printable and not too long.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let cut: String = text.chars().take(LONGEST).collect();
    let rest = if text.chars().nth(LONGEST).is_some() { "…" } else { "" };
    format!("`{}{rest}`", printable(&cut))
}

/// One thing that is wrong with a job.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub place: Place,
    pub message: String,
    pub hint: Option<String>,
}

impl Fault {
    pub fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), hint: None }
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn shown(&self) -> String {
        let excerpt = self.place.excerpt();
        if excerpt.is_empty() { self.message.clone() } else { format!("{}\n{excerpt}", self.message) }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        report(vec![fault])
    }
}

/// All faults as one error: a single one speaks for itself, several are counted and shown one below the other.
pub(super) fn report(faults: Vec<Fault>) -> Error {
    let message = match faults.as_slice() {
        [only] => only.shown(),
        many => {
            let mut text = format!("{} faults in the job", many.len());
            for fault in many.iter().take(FAULTS_SHOWN) {
                let _ = write!(text, "\n\n{}", fault.shown());
            }
            if many.len() > FAULTS_SHOWN {
                let _ = write!(text, "\n\n… and {} more", many.len() - FAULTS_SHOWN);
            }
            text
        }
    };
    let mut hints: Vec<String> = Vec::new();
    for hint in faults.into_iter().take(FAULTS_SHOWN).filter_map(|fault| fault.hint) {
        if !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    let error = Error::input(message);
    if hints.is_empty() { error } else { error.with_hint(hints.join("\n      ")) }
}

/// The candidate that is likely meant by `written`.
pub(super) fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&written, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}
