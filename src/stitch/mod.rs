//! Windows' logits back into one picture: weighted blending in rolling rows, then labels and scores.

mod accumulate;
mod labels;
mod weights;

pub use accumulate::{Accumulator, Row};
pub use labels::{Classifier, Labelled};
pub use weights::window_weights;
