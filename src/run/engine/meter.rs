//! Progress of a scene: for the progress bar, the log and the metrics of the job.

use super::super::run_metrics::RunMetrics;
use crate::report::Progress;

/// Counts what the threads do.
pub(super) struct Meter<'a> {
    progress: Progress,
    pub metrics: &'a RunMetrics,
}

impl<'a> Meter<'a> {
    pub fn new(progress: Progress, metrics: &'a RunMetrics) -> Self {
        Self { progress, metrics }
    }

    /// Windows that came out of the model.
    pub fn computed(&self, windows: usize) {
        self.progress.advance(windows);
        self.metrics.windows_computed.add(windows);
    }

    /// A window without data.
    pub fn empty(&self) {
        self.progress.skip(1);
        self.metrics.windows_empty.add(1);
    }

    /// A window that could not be computed.
    pub fn failed(&self) {
        self.progress.skip(1);
        self.metrics.windows_failed.add(1);
    }

    /// Windows that an earlier run has done.
    pub fn earlier(&self, windows: usize) {
        self.progress.skip(windows);
        self.metrics.windows_earlier.add(windows);
    }

    pub fn rows(&self, rows: usize) {
        self.metrics.rows.add(rows);
    }

    /// A score that did not reach its threshold.
    pub fn rejected(&self, score: f32) {
        self.metrics.rejected.raise(score);
    }
}
