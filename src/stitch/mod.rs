//! Stitching: blends the logits of overlapping windows in rolling rows, then computes labels and scores.

#![expect(clippy::indexing_slicing, reason = "windows that the grid placed inside the scene, and rows of its width")]

mod accumulate;
mod certainty;
mod labels;
mod regrid;
mod weights;

pub use accumulate::{Accumulator, Row};
pub use certainty::{Certainty, certainty};
pub use regrid::Regrid;
pub use weights::window_weights;
