//! All errors of a job, found one after another.

use super::job_error::{JobError, report};
use super::spec::Spec;
use crate::error::Result;

/// Collects what is wrong with a job, so that a reader sees all of it at once.
pub(super) struct JobErrors<'a> {
    spec: &'a Spec,
    found: Vec<JobError>,
}

impl<'a> JobErrors<'a> {
    pub fn new(spec: &'a Spec) -> Self {
        Self { spec, found: Vec::new() }
    }

    /// An error of what stands at the key path (or of the nearest thing above that was written).
    pub fn add(&mut self, path: &str, message: impl Into<String>) -> &mut JobError {
        let span = self.spec.span(path);
        self.push(JobError::new(span, message))
    }

    #[expect(clippy::indexing_slicing, reason = "the last of a list that is not empty")]
    pub fn push(&mut self, error: JobError) -> &mut JobError {
        self.found.push(error);
        let last = self.found.len() - 1;
        &mut self.found[last]
    }

    /// A hint for the error that was added last.
    pub fn hint(&mut self, hint: impl Into<String>) {
        if let Some(last) = self.found.last_mut() {
            last.hint = Some(hint.into());
        }
    }

    /// Gives the error that was added as `number`th, from 0, another message.
    pub fn amend(&mut self, number: usize, message: String) {
        if let Some(error) = self.found.get_mut(number) {
            error.message = message;
        }
    }

    pub fn count(&self) -> usize {
        self.found.len()
    }

    /// Fails where there are errors so far.
    pub fn check(&self) -> Result<()> {
        if self.found.is_empty() { Ok(()) } else { Err(report(self.found.clone())) }
    }

    pub fn finish(self) -> Result<()> {
        self.check()
    }
}
