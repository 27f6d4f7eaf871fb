//! An error in a job, with the span of its source; several of them as one error.

use std::fmt::Write as _;

use super::source_span::SourceSpan;
use super::words::printable;
use crate::error::Error;

/// How many errors are shown at once.
const FAULTS_SHOWN: usize = 8;

/// One thing that is wrong with a job.
#[derive(Clone, Debug)]
pub(super) struct JobError {
    pub span: SourceSpan,
    pub message: String,
    pub hint: Option<String>,
}

impl JobError {
    pub fn new(span: SourceSpan, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), hint: None }
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn shown(&self) -> String {
        let excerpt = self.span.excerpt();
        // A name in it may hold line ends.
        let message = printable(&self.message);
        if excerpt.is_empty() { message } else { format!("{message}\n{excerpt}") }
    }
}

impl From<JobError> for Error {
    fn from(error: JobError) -> Self {
        report(vec![error])
    }
}

/// All errors as one error: a single one speaks for itself, several are counted and shown one below the other.
pub(super) fn report(errors: Vec<JobError>) -> Error {
    let message = match errors.as_slice() {
        [only] => only.shown(),
        many => {
            let mut text = format!("{} errors in the job file", many.len());
            for error in many.iter().take(FAULTS_SHOWN) {
                let _ = write!(text, "\n\n{}", error.shown());
            }
            if many.len() > FAULTS_SHOWN {
                let _ = write!(text, "\n\n… and {} more", many.len() - FAULTS_SHOWN);
            }
            text
        }
    };
    let mut hints: Vec<String> = Vec::new();
    for hint in errors.into_iter().take(FAULTS_SHOWN).filter_map(|error| error.hint) {
        if !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    let error = Error::input(message);
    if hints.is_empty() { error } else { error.with_hint(hints.join("\n      ")) }
}
