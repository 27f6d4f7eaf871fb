//! Search in embeddings: every place on the ground once, its score against a query vector, and footprints of the best places.
//!
//! ```text
//!  store ─► coverage (which patch stands for which pixels) ─► scan (chunks, in parallel) ─► score map of a scene ─► footprints
//! ```
//!
//! A patch's score is the scalar product of its feature, at unit length, with the query, less a share of that of its window's
//! `[CLS]`, as in the method.

mod coverage;
mod footprints;
mod scan;
mod similarity;
#[cfg(test)]
mod tests;

pub use coverage::{Cell, Coverage};
pub use footprints::{Footprint, footprints};
pub use scan::{ScoreMap, feature_at, scan, searched_chunks};

/// What patches are compared with.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// D numbers.
    pub vector: Vec<f32>,
    /// Share of the window's `[CLS]` similarity that is subtracted, 0..=1.
    pub debias: f32,
}
