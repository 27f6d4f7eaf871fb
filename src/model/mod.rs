//! Models as plain data in, plain data out. The library that runs them (libtorch) is behind [`Segmenter`] and [`TextEncoder`].

pub mod bundle;
mod cuda;
pub mod fake;
pub mod fetch;
pub mod folders;
pub mod gaussian;
pub mod gpu;
mod halves;
pub mod import;
mod joint;
pub mod memory;
pub mod mini;
mod preprocess;
pub mod queries;
pub mod registry;
pub mod text;
pub mod torch;
pub mod tta;
pub mod weights;

pub use halves::{TokenSource, joint_segmenter, patch_encoder, segmenter};
pub use joint::JointSettings;
pub use preprocess::{Normalisation, Padding, normalise};
pub use segearth_upsample::Shortcuts;

use crate::error::{Error, Result};
use crate::geom::{Size, Window};
use crate::scene::{Classifier, Labelled};
use text::TokenBatch;

/// A batch of images of one size, ready for a model: normalised, padded to whole patches.
#[derive(Clone, Debug, PartialEq)]
pub struct Images {
    pub size: Size,
    pub count: usize,
    /// (image, channel, row, column), three channels.
    pub pixels: Vec<f32>,
    /// What the image tower gives for them, where it is known: (image, 1 + patch, D), `[CLS]`, then the patches row by row.
    pub tokens: Option<Vec<f32>>,
}

impl Images {
    /// Consecutive images of the batch.
    pub fn part(&self, first: usize, count: usize) -> Self {
        let part = |all: &[f32]| {
            let each = all.len() / self.count.max(1);
            all.get(first * each..(first + count) * each).unwrap_or_default().to_vec()
        };
        Self { size: self.size, count, pixels: part(&self.pixels), tokens: self.tokens.as_deref().map(part) }
    }
}

/// The text features of the classes' prompts.
#[derive(Clone, Debug, PartialEq)]
pub struct Queries {
    /// Q
    pub count: usize,
    /// D
    pub width: usize,
    /// (query, width), rows of unit length.
    pub features: Vec<f32>,
}

/// Computes the logits of every pixel of a window.
pub trait Segmenter: Send {
    /// Number of queries, the channels of the logits.
    fn queries(&self) -> usize;

    /// Returns the number of images per batch that is used by default.
    fn batch(&self) -> usize {
        4
    }

    /// Limits the memory, in bytes, for results that are kept between batches; returns the limit in force.
    fn set_cache_limit(&mut self, _bytes: usize) -> usize {
        0
    }

    /// Logits (image, query, row, column) of a batch, as wide and high as the images.
    fn segment(&mut self, images: &Images) -> Result<Vec<f32>>;

    /// What it is fitted by to each scene before the scene's first window, if it is.
    fn fitted(&mut self) -> Option<&mut dyn Fit> {
        None
    }

    /// What is to be known of the way it computes here, where it is not the usual one.
    fn warning(&self) -> Option<&str> {
        None
    }

    /// Returns whether logits are in the memory of a device that can blend them.
    fn blends(&self) -> bool {
        false
    }

    /// What blends and labels them there.
    ///
    /// # Errors
    /// The device has no room for the region's rows, or the model does not blend.
    fn blender<'a>(&'a self, _region: &Region<'_>) -> Result<Box<dyn Blender + 'a>> {
        Err(Error::internal("the model does not blend windows"))
    }
}

/// A model that is fitted to a scene before it segments the scene's windows.
pub trait Fit {
    /// Takes some windows of the scene. `kept`: which patches have data, (image, patch row, patch column).
    fn gather(&mut self, images: &Images, kept: &[bool]) -> Result<()>;

    /// Fits to what was gathered, which it forgets, in place of an earlier scene.
    fn fit(&mut self);
}

/// What is to be blended where the model computes.
#[derive(Clone, Copy, Debug)]
pub struct Region<'a> {
    /// The part of the scene whose rows are computed.
    pub region: Window,
    /// From the images to the windows.
    pub padding: Padding,
    /// Weights of a window's rows and columns.
    pub weights: [&'a [f32]; 2],
    pub classifier: &'a Classifier,
    /// Whether scores are wanted beside the labels.
    pub scores: bool,
    /// Look at each batch's logits before going on, rather than at those of some batches together.
    pub patient: bool,
}

/// Segments windows, and blends and labels them on the device: it returns labels, not logits. Windows are added row by row; rows above
/// a window must be finished before it is added.
pub trait Blender {
    /// Computes windows that begin in the same row, and blends them. Fails before anything is blended.
    fn add(&mut self, images: &Images, tiles: &[(Window, Option<&[bool]>)]) -> Result<()>;

    /// The first row that is not yet finished.
    fn first(&self) -> usize;

    /// Labels rows before `row`: some or all of them, at least one if there are any.
    fn finish_before(&mut self, row: usize) -> Result<Labelled>;
}

/// Computes the features of texts.
pub trait TextEncoder {
    /// Returns features (text, D), not normalised.
    fn encode(&mut self, tokens: &TokenBatch) -> Result<Vec<f32>>;
}
