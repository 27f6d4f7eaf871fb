//! What is wrong with a job: one fault with its place, and all of them together as one error.

use std::fmt::Write as _;

use super::place::Place;
use super::spec::Spec;
use super::words::printable;
use crate::error::{Error, Result};

/// How many faults are shown at once.
const FAULTS_SHOWN: usize = 8;

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
        // A name in it may hold line ends.
        let message = printable(&self.message);
        if excerpt.is_empty() { message } else { format!("{message}\n{excerpt}") }
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

/// Collects what is wrong with a job, so that a reader sees all of it at once.
pub(super) struct Faults<'a> {
    spec: &'a Spec,
    found: Vec<Fault>,
}

impl<'a> Faults<'a> {
    pub fn new(spec: &'a Spec) -> Self {
        Self { spec, found: Vec::new() }
    }

    /// A fault of what stands at the key path (or of the nearest thing above that was written).
    pub fn add(&mut self, path: &str, message: impl Into<String>) -> &mut Fault {
        let place = self.spec.place(path);
        self.push(Fault::new(place, message))
    }

    #[expect(clippy::indexing_slicing, reason = "the last of a list that is not empty")]
    pub fn push(&mut self, fault: Fault) -> &mut Fault {
        self.found.push(fault);
        let last = self.found.len() - 1;
        &mut self.found[last]
    }

    /// A hint for the fault that was added last.
    pub fn hint(&mut self, hint: impl Into<String>) {
        if let Some(last) = self.found.last_mut() {
            last.hint = Some(hint.into());
        }
    }

    pub fn count(&self) -> usize {
        self.found.len()
    }

    pub fn finish(self) -> Result<()> {
        if self.found.is_empty() { Ok(()) } else { Err(report(self.found)) }
    }
}
