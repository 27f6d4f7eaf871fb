//! Windows' logits back into one picture: weighted blending in rolling rows, then labels and scores.

mod accumulate;
mod certainty;
mod labels;
mod regrid;
mod weights;

pub use accumulate::{Accumulator, Row};
pub use certainty::{Certainty, certainty};
pub use regrid::Regrid;
pub use weights::window_weights;
