//! Counts of what a run has done so far; any thread may add to them and read them.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

/// The counts of one run.
#[derive(Debug, Default)]
pub struct RunMetrics {
    pub scenes: Count,
    pub scenes_finished: Count,
    /// Finished by an earlier run.
    pub scenes_earlier: Count,
    /// All windows of the job, as far as this process is to compute them: those of scenes that have not begun are counted as
    /// if each were computed in one piece.
    pub windows: Count,
    pub windows_computed: Count,
    pub windows_empty: Count,
    pub windows_failed: Count,
    /// Computed by an earlier run.
    pub windows_earlier: Count,
    /// Rows of pixels that became labels.
    pub rows: Count,
    /// The highest score of the scene at hand with which a class was the best and did not reach its threshold.
    pub rejected: Largest,
    /// Batches that wait between the reader and the model.
    pub for_model: Count,
    /// Batches that wait between the model and the stitcher.
    pub for_stitcher: Count,
}

/// A number that several threads change.
#[derive(Debug, Default)]
pub struct Count(AtomicI64);

impl Count {
    pub fn add(&self, more: usize) {
        self.0.fetch_add(more as i64, Ordering::Relaxed);
    }

    pub fn take(&self, less: usize) {
        self.0.fetch_sub(less as i64, Ordering::Relaxed);
    }

    /// Never below zero, though one thread may subtract before another has added.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed).max(0) as u64
    }
}

/// The largest of the numbers that several threads give; 0 or more.
#[derive(Debug, Default)]
pub struct Largest(AtomicU32);

impl Largest {
    pub fn raise(&self, value: f32) {
        // Numbers that are not negative are ordered as their bits are.
        self.0.fetch_max(value.max(0.0).to_bits(), Ordering::Relaxed);
    }

    /// Returns it, and begins again at 0.
    pub fn take(&self) -> f32 {
        f32::from_bits(self.0.swap(0, Ordering::Relaxed))
    }
}
