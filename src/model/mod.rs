//! Models: plain data in, plain data out. What runs them (libtorch) stays behind [`Segmenter`] and [`TextEncoder`].

pub mod bundle;
mod cuda;
pub mod fake;
pub mod fetch;
mod folders;
mod halves;
pub mod import;
pub(crate) mod memory;
pub mod mini;
mod preprocess;
pub mod queries;
pub mod registry;
pub mod text;
pub mod torch;
pub mod tta;
pub mod weights;

pub use halves::segmenter;
pub use preprocess::{Normalisation, Padding, normalise};

use crate::error::Result;
use crate::geom::Size;
use text::TokenBatch;

/// A batch of images of one size, ready for a model: normalised, padded to whole patches.
#[derive(Clone, Debug, PartialEq)]
pub struct Images {
    pub size: Size,
    pub count: usize,
    /// (image, channel, row, column), three channels.
    pub pixels: Vec<f32>,
}

/// Text features that stand for the classes' prompts.
#[derive(Clone, Debug, PartialEq)]
pub struct Queries {
    /// Q
    pub count: usize,
    /// D
    pub width: usize,
    /// (query, width), rows of unit length.
    pub features: Vec<f32>,
}

/// Gives every pixel of a window its logits.
pub trait Segmenter: Send {
    /// Number of queries, the channels of the logits.
    fn queries(&self) -> usize;

    /// How many images it likes at a time, where nobody says.
    fn batch(&self) -> usize {
        4
    }

    /// Logits (image, query, row, column) of a batch, as wide and high as the images.
    fn segment(&mut self, images: &Images) -> Result<Vec<f32>>;
}

/// Gives token ids a feature.
pub trait TextEncoder {
    /// Gives (text, D), not normalised.
    fn encode(&mut self, tokens: &TokenBatch) -> Result<Vec<f32>>;
}
