//! Where a value was written: file, line, column, and the line itself with a caret under it.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::words::printable;

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
pub(super) struct SourceSpan {
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

impl SourceSpan {
    pub fn whole(source: &Arc<Source>) -> Self {
        Self { source: source.clone(), line: 0, col: 0, len: 0 }
    }

    /// The span of `len` characters from `offset` of the text `value` that was written here. Where escapes or folded lines
    /// make the written form differ from the value, the whole span stands for the part.
    pub fn part(&self, value: &str, offset: usize, len: usize) -> Self {
        let quotes = match self.len.checked_sub(value.chars().count()) {
            Some(0) => 0,
            Some(2) => 1,
            _ => return self.clone(),
        };
        Self { col: self.col + quotes + offset, len, ..self.clone() }
    }

    /// ` --> job.yaml:3:9` and below it the line with a caret.
    pub fn excerpt(&self) -> String {
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
