//! A convolutional image tower: features at a quarter of the image's side, and one feature for the whole image.
//!
//! ```text
//! stem ─► 1/4 ─────────────────────────► lateral ─(+)─► map ─► projection ─► features, 4 pixels a cell
//!          └─► 1/8 ────► lateral ─(+)─► map ─► up ──┘
//!               └─► 1/16 ─► up ────┘
//!                     └─► mean ─► projection ─► the image's feature
//! ```
//!
//! Stages are pairs of residual blocks. It takes the place of CLIP's transformer: the image's feature is used as its
//! `[CLS]` feature, and cells as its patches. Weights are plain convolutions: norms are part of them, see [`fold`].

use tch::{TchError, Tensor};

use super::clip::ImageFeatures;
use super::layers::{Tensors, positions};
use crate::error::{Error, Result};

/// The first weight of a tower.
const FIRST: &str = "visual.stem.0.weight";

/// Side of a cell in pixels.
pub const STRIDE: i64 = 4;
/// Prefix of the names of all its weights.
pub const PREFIX: &str = "visual.";
/// Stages, at 1/4, 1/8 and 1/16 of the image's side.
pub const STAGES: usize = 3;
/// Residual blocks of a stage.
pub const BLOCKS: usize = 2;
/// Epsilon of the norms that [`fold`] removes.
pub const NORM_EPSILON: f64 = 1e-5;

/// Convolutions by name, with whatever norm follows each.
pub trait Layers {
    type Error: From<TchError>;

    /// Convolution `name` with zero padding that keeps the size, but for the stride.
    fn conv(&self, x: &Tensor, name: &str, stride: i64) -> Result<Tensor, Self::Error>;
    fn has(&self, name: &str) -> bool;
}

/// `images`: normalised, (batch, 3, row, column), sides multiples of [`STRIDE`].
pub fn forward<L: Layers>(layers: &L, images: &Tensor) -> Result<ImageFeatures, L::Error> {
    let mut x = layers.conv(&channels_last(images)?, "stem.0", 2)?.f_relu()?;
    x = layers.conv(&x, "stem.1", 2)?.f_relu()?;
    let quarter = stage(layers, &x, 0)?;
    let eighth = stage(layers, &quarter, 1)?;
    let sixteenth = stage(layers, &eighth, 2)?;

    let pooled = sixteenth.f_mean_dim(Some(&[2i64, 3][..]), true, sixteenth.kind())?;
    let cls = layers.conv(&pooled, "image", 1)?.f_flatten(1, 3)?;

    let mut map = merge(layers, &sixteenth, &eighth, 1)?;
    map = merge(layers, &map, &quarter, 0)?;
    let map = layers.conv(&map, "cells", 1)?;
    let patches = map.f_flatten(2, 3)?.f_transpose(1, 2)?;
    Ok(ImageFeatures { cls, patches, grid: map.f_narrow(1, 0, 1)? })
}

fn stage<L: Layers>(layers: &L, x: &Tensor, stage: usize) -> Result<Tensor, L::Error> {
    let mut x = x.shallow_clone();
    for block in 0..BLOCKS {
        let name = format!("stage.{stage}.{block}");
        let stride = if stage > 0 && block == 0 { 2 } else { 1 };
        let inside = layers.conv(&x, &format!("{name}.0"), stride)?.f_relu()?;
        let inside = layers.conv(&inside, &format!("{name}.1"), 1)?;
        let skip = format!("{name}.skip");
        let outside = match layers.has(&skip) {
            // The mean of what a stride leaves out, not a quarter of it; half a cell at an odd edge counts as a whole one.
            true if stride == 2 => {
                layers.conv(&x.f_avg_pool2d([2, 2], [2, 2], [0, 0], true, false, None)?, &skip, 1)?
            }
            true => layers.conv(&x, &skip, 1)?,
            false => x,
        };
        x = inside.f_add(&outside)?.f_relu()?;
    }
    Ok(x)
}

/// The coarse map, twice as fine, and what the fine one adds to it.
fn merge<L: Layers>(layers: &L, coarse: &Tensor, fine: &Tensor, level: usize) -> Result<Tensor, L::Error> {
    let coarse = layers.conv(coarse, &format!("top.{level}"), 1)?;
    let fine = layers.conv(fine, &format!("lateral.{level}"), 1)?;
    let sum = fine.f_add(&doubled(&coarse, &fine)?)?.f_relu()?;
    Ok(layers.conv(&sum, &format!("map.{level}"), 1)?.f_relu()?)
}

/// Every cell four times, cut to the size of `like`.
fn doubled(coarse: &Tensor, like: &Tensor) -> Result<Tensor, TchError> {
    if coarse.requires_grad() {
        // Training: sizes are even, and libtorch's own doubling has the faster backward pass.
        return coarse.f_upsample_nearest2d_vec(None::<&[i64]>, [2.0, 2.0].as_slice());
    }
    // No size is read as a number, so that a trace holds for all of them.
    let [rows, cols] = [2, 3].map(|dim| positions(like, dim)?.f_floor_divide_scalar(2));
    channels_last(&coarse.f_index_select(2, &rows?)?.f_index_select(3, &cols?)?)
}

/// The same with its channels last in memory: what convolutions on a CPU are fast with.
fn channels_last(x: &Tensor) -> Result<Tensor, TchError> {
    x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
}

/// The tower with weights of plain convolutions.
#[derive(Debug)]
pub struct ConvolutionalTower {
    tensors: Tensors,
}

impl ConvolutionalTower {
    /// Whether weights are those of such a tower, by their names.
    pub fn recognises(tensors: &Tensors) -> bool {
        tensors.contains_key(FIRST)
    }

    /// `tensors`: `visual.NAME.weight` and `visual.NAME.bias` of every convolution.
    ///
    /// # Errors
    /// A convolution is missing, or has another shape than those around it.
    pub fn load(tensors: &Tensors) -> Result<Self> {
        let tensors: Tensors = tensors
            .iter()
            .filter_map(|(name, tensor)| Some((name.strip_prefix(PREFIX)?.to_owned(), tensor.shallow_clone())))
            .collect();
        let tower = Self { tensors };
        let kind = tower.weight("stem.0.weight")?.kind();
        let _plain = tch::no_grad_guard();
        let image = Tensor::f_zeros([1, 3, 4 * STRIDE, 4 * STRIDE], (kind, tch::Device::Cpu))?;
        let misfit = || Error::input("the weights of the convolutional image tower do not fit together");
        tower.forward(&image).map_err(|cause| misfit().with_source(Error::from(cause)))?;
        Ok(tower)
    }

    fn weight(&self, name: &str) -> Result<&Tensor, TchError> {
        let missing = || TchError::TensorNameNotFound(format!("{PREFIX}{name}"), "the image tower".to_owned());
        self.tensors.get(name).ok_or_else(missing)
    }

    /// `images`: normalised, (batch, 3, row, column), sides multiples of [`STRIDE`].
    pub fn forward(&self, images: &Tensor) -> Result<ImageFeatures, TchError> {
        forward(self, images)
    }
}

impl Layers for ConvolutionalTower {
    type Error = TchError;

    fn conv(&self, x: &Tensor, name: &str, stride: i64) -> Result<Tensor, TchError> {
        let (weight, bias) = (self.weight(&format!("{name}.weight"))?, self.weight(&format!("{name}.bias"))?);
        let padding = weight.size4()?.2 / 2;
        x.f_conv2d(weight, Some(bias), [stride; 2], [padding; 2], [1, 1], 1)
    }

    fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(&format!("{name}.weight"))
    }
}

/// A convolution and the batch norm after it as one convolution: (weight, bias).
///
/// `norm`: scale, shift, mean and variance, each (out).
pub fn fold(weight: &Tensor, norm: [&Tensor; 4]) -> Result<(Tensor, Tensor), TchError> {
    let [scale, shift, mean, variance] = norm;
    let gain = scale.f_div(&variance.f_add_scalar(NORM_EPSILON)?.f_sqrt()?)?;
    let folded = weight.f_multiply(&gain.f_reshape([-1, 1, 1, 1])?)?;
    Ok((folded, shift.f_sub(&mean.f_multiply(&gain)?)?))
}
