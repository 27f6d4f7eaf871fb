//! Stitching: blends the logits of overlapping windows in rolling rows, then computes labels and scores.

#![expect(clippy::indexing_slicing, reason = "windows that the grid placed inside the scene, and rows of its width")]

mod accumulate;
mod certainty;
mod labels;
mod patches;
mod regrid;
mod weights;
mod zoom;

pub use accumulate::{Accumulator, Row};
pub use certainty::{Certainty, certainty};
pub use labels::all_finite;
pub use patches::{PatchAccumulator, WindowPatches};
pub use regrid::Regrid;
pub use weights::window_weights;
pub use zoom::LogitZoom;
