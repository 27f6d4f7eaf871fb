//! How far a scene is, for those who watch: on a bar, in the log, in the tally of the whole job.

use super::super::tally::Tally;
use crate::report::Progress;

/// Counts what the threads do.
pub(super) struct Meter<'a> {
    progress: Progress,
    pub tally: &'a Tally,
}

impl<'a> Meter<'a> {
    pub fn new(progress: Progress, tally: &'a Tally) -> Self {
        Self { progress, tally }
    }

    /// Windows that came out of the model.
    pub fn computed(&self, windows: usize) {
        self.progress.advance(windows);
        self.tally.windows_computed.add(windows);
    }

    /// A window without data.
    pub fn empty(&self) {
        self.progress.skip(1);
        self.tally.windows_empty.add(1);
    }

    /// A window that could not be computed.
    pub fn hole(&self) {
        self.progress.skip(1);
        self.tally.windows_holes.add(1);
    }

    /// Windows that an earlier run has done.
    pub fn earlier(&self, windows: usize) {
        self.progress.skip(windows);
        self.tally.windows_earlier.add(windows);
    }

    pub fn rows(&self, rows: usize) {
        self.tally.rows.add(rows);
    }
}
