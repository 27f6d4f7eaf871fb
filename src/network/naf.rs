//! NAF: patch features to full resolution by attention over each pixel's neighbouring patches, with weights from the image alone.
//!
//! An encoder turns the image into C channels per pixel; rotated by their place they are the queries, and their means over patches the
//! keys. A pixel's feature is the mean of the nine by nine patches around its own (fewer where the grid has fewer), weighted by the
//! soft-max of the scalar products, in each head for its own part of the features' channels. At the border the nine by nine move inside.
//!
//! All pixels of a patch share their neighbours, so that per patch and head this is two products of small matrices. No batch, row or
//! column count is fixed: one trace serves all sizes.

#![expect(clippy::indexing_slicing, reason = "the one shape that an operation gives, and cells of arrays made here")]

use std::f64::consts::TAU;

use tch::{Kind, TchError, Tensor};

use super::layers::{Tensors, count, positions, weight};
use crate::error::{Error, Result};

/// Side of the neighbourhood in patches, where the grid has as many.
const NEIGHBOURHOOD: i64 = 9;
/// Groups of every group norm.
const GROUPS: i64 = 8;
const EPSILON: f64 = 1e-5;
/// Smallest squared norm of a feature: a feature of zeros has a similarity of 0, not NaN.
const NORM_FLOOR: f64 = 1e-24;
/// An image that is larger than the output by more than this is resized before it is encoded.
const LARGEST_RATIO: i64 = 4;

/// Mean and standard deviation of red, green and blue in 0..=255.
#[derive(Clone, Copy, Debug)]
pub struct PixelScale {
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

impl PixelScale {
    /// ImageNet's, of which NAF's images are.
    pub const IMAGENET: Self = Self { mean: [123.675, 116.28, 103.53], std: [58.395, 57.12, 57.375] };
}

#[derive(Debug)]
pub struct Naf {
    branches: [Branch; 2],
    /// (P)
    periods: Tensor,
    heads: i64,
    patch: i64,
}

impl Naf {
    /// Weights under the names of the authors' file; `patch` in pixels; `width`: of the features; `images`: how the images are
    /// normalised that it will get.
    ///
    /// # Errors
    /// The features' width is no multiple of the heads.
    pub fn load(tensors: &Tensors, heads: usize, patch: usize, width: usize, images: PixelScale) -> Result<Self> {
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(Error::input(format!(
                "the upsampler has {heads} heads, but the {width} channels of this CLIP's features are no multiple of it"
            ))
            .with_hint("Use `--upsampler none`."));
        }
        let branches = [Branch::load(tensors, "encoder.", images)?, Branch::load(tensors, "sem_encoder.", images)?];
        let periods = weight(tensors, "rope.periods")?.f_to_kind(Kind::Float)?;
        Ok(Self { branches, periods, heads: heads as i64, patch: patch as i64 })
    }

    /// The weights, with those of the first convolutions for the images that it gets: what kernels of our own compute with.
    pub fn weights_of_images(&self, tensors: &Tensors) -> Result<Vec<(String, Tensor)>, TchError> {
        let mut all = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect::<Tensors>();
        for (name, branch) in ["encoder", "sem_encoder"].into_iter().zip(&self.branches) {
            all.insert(format!("{name}.0.weight"), branch.first.weight.f_contiguous()?);
            all.insert(format!("{name}.0.bias"), branch.first.bias.shallow_clone());
        }
        Ok(all.into_iter().collect())
    }

    /// For each pixel of the window the scalar products of its upsampled feature with the queries, divided by the feature's norm:
    /// (batch, query, row, column), float32.
    ///
    /// `patches` (batch, patch, D), `queries` (Q, D), `grid` (batch, 1, patch row, patch column), `images` the normalised window
    /// (batch, 3, row, column), sides multiples of the patch.
    pub fn similarities(
        &self,
        patches: &Tensor,
        queries: &Tensor,
        grid: &Tensor,
        images: &Tensor,
    ) -> Result<Tensor, TchError> {
        let (side, heads) = (self.patch, self.heads);
        let neighbours = Neighbours::of(grid)?;
        let pixels = self.rotated(&self.encode(images)?)?; // (batch, row, column, head, channel)
        let tiles = pixels.f_unfold(1, side, side)?.f_unfold(2, side, side)?;
        // (batch, patch row, patch column, head, pixel, channel)
        let tiles = tiles.f_permute([0, 1, 2, 3, 5, 6, 4])?.f_flatten(4, 5)?;
        let keys = tiles.f_mean_dim([4i64].as_slice(), false, None)?.f_flatten(1, 2)?;
        // (batch · patch · head, pixel, neighbour)
        let weights = neighbours.weights(&tiles.f_flatten(0, 3)?, &neighbours.gather(&keys)?)?;
        // A head's part of the features, and that part's share of the products with the queries.
        let values = patches.f_unflatten(2, split(patches, heads))?; // (batch, patch, head, D / heads)
        let parts = queries.f_unflatten(1, split(queries, heads))?.f_permute([1, 2, 0])?; // (head, D / heads, Q)
        let products = values.f_unsqueeze(3)?.f_matmul(&parts)?.f_squeeze_dim(3)?;
        let sums = weights.f_bmm(&neighbours.gather(&values)?.f_transpose(1, 2)?)?;
        let norms = sums.f_linalg_norm(2.0, Some(&[-1i64][..]), true, Kind::Float)?.f_square()?;
        let products = weights.f_bmm(&neighbours.gather(&products)?.f_transpose(1, 2)?)?.f_to_kind(Kind::Float)?;
        let over_heads = |x: &Tensor| x.f_unfold(0, heads, heads)?.f_sum_dim_intlist(Some(&[-1i64][..]), false, None);
        // (batch · patch, pixel, Q)
        let cosines = over_heads(&products)?.f_divide(&over_heads(&norms)?.f_clamp_min(NORM_FLOOR)?.f_sqrt()?)?;
        let cells = grid.f_permute([0, 2, 3, 1])?.f_unsqueeze(4)?;
        let shape = Tensor::f_broadcast_tensors(&[cells, cosines.f_select(0, 0)?])?;
        // (batch, patch row, patch column, row in patch, Q, column in patch)
        let cosines = cosines.f_contiguous()?.f_view_as(&shape[0])?.f_unfold(3, side, side)?;
        cosines.f_permute([0, 4, 1, 3, 2, 5])?.f_flatten(2, 3)?.f_flatten(3, 4)
    }

    /// The upsampled features themselves, (1, D, row, column), at any size and for any grid: what the similarities are made of, in the
    /// plain way. `features` (1, D, patch row, patch column), `image` (1, 3, row, column).
    pub fn features(&self, features: &Tensor, image: &Tensor, size: [i64; 2]) -> Result<Tensor, TchError> {
        let (_, depth, grid_rows, grid_cols) = features.size4()?;
        let queries = self.queries(image, size)?; // (1, row, column, head, channel)
        let channels = queries.f_permute([0, 3, 4, 1, 2])?.f_flatten(1, 2)?;
        let keys = channels.f_adaptive_avg_pool2d([grid_rows, grid_cols])?;
        let head = keys.size()[1] / self.heads;
        let keys = keys.f_reshape([self.heads, head, -1])?;
        let queries = queries.f_reshape([-1, self.heads, head])?.f_transpose(0, 1)?;
        let scores = queries.f_matmul(&keys)?.f_mul_scalar((head as f64).powf(-0.5))?; // (head, pixel, patch)
        let [of_rows, of_cols] = [(size[0], grid_rows), (size[1], grid_cols)].map(|(side, grid)| tokens(side, grid));
        let (of_rows, of_cols) = (of_rows?, of_cols?);
        let index = of_rows.f_mul_scalar(grid_cols)?.f_unsqueeze(1)?.f_unsqueeze(3)?;
        let index = index.f_add(&of_cols.f_unsqueeze(0)?.f_unsqueeze(2)?)?.f_flatten(2, 3)?.f_flatten(0, 1)?;
        let index = index.f_unsqueeze(0)?.f_expand([self.heads, -1, -1], false)?;
        let weights = scores.f_gather(2, &index, false)?.f_softmax(-1, Kind::Float)?;
        let weights = scores.f_zeros_like()?.f_scatter_add(2, &index, &weights)?;
        let values = features.f_reshape([self.heads, depth / self.heads, -1])?.f_transpose(1, 2)?;
        weights.f_matmul(&values)?.f_transpose(1, 2)?.f_reshape([1, depth, size[0], size[1]])
    }

    /// The image's rotated channels at the output's size, (1, row, column, head, channel).
    pub fn queries(&self, image: &Tensor, size: [i64; 2]) -> Result<Tensor, TchError> {
        self.rotated(&self.encoded(image, size)?)
    }

    /// The image's channels at the output's size, (1, C, row, column).
    pub fn encoded(&self, image: &Tensor, size: [i64; 2]) -> Result<Tensor, TchError> {
        let (_, _, rows, cols) = image.size4()?;
        let limits = size.map(|side| LARGEST_RATIO * side);
        let image = match rows > limits[0] || cols > limits[1] {
            true => image.f_upsample_bilinear2d([rows.min(limits[0]), cols.min(limits[1])], false, None, None)?,
            false => image.shallow_clone(),
        };
        self.encode(&image)?.f_adaptive_avg_pool2d(size)
    }

    /// (batch, 3, row, column) to (batch, C, row, column).
    fn encode(&self, images: &Tensor) -> Result<Tensor, TchError> {
        let images = channels_last(images)?;
        let [fine, coarse] = &self.branches;
        Tensor::f_cat(&[fine.forward(&images)?, coarse.forward(&images)?], 1)
    }

    /// (batch, C, row, column) to (batch, row, column, head, channel), rotated by the pixel's place.
    fn rotated(&self, encoded: &Tensor) -> Result<Tensor, TchError> {
        let halves = encoded.f_permute([0, 2, 3, 1])?;
        let periods = self.periods.size1()?;
        let halves = halves.f_unflatten(-1, [self.heads, 2, 2 * periods])?;
        let (a, b) = (halves.f_select(4, 0)?, halves.f_select(4, 1)?);
        let axis = |dim: i64| -> Result<Tensor, TchError> {
            let places = positions(&halves, dim)?;
            let size = count(&places)?.f_to_kind(Kind::Float)?;
            let places = places.f_to_kind(Kind::Float)?.f_add_scalar(0.5)?.f_mul_scalar(2.0)?;
            let places = places.f_divide(&size)?.f_sub_scalar(1.0)?.f_mul_scalar(TAU)?;
            places.f_unsqueeze(1)?.f_divide(&self.periods)
        };
        let (rows, cols) = (axis(1)?.f_unsqueeze(1)?, axis(2)?.f_unsqueeze(0)?);
        let angles = Tensor::f_broadcast_tensors(&[rows, cols])?;
        let angles = Tensor::f_cat(&angles, -1)?.f_unsqueeze(2)?; // (row, column, 1, 2 P)
        let (cos, sin) = (angles.f_cos()?.f_to_kind(encoded.kind())?, angles.f_sin()?.f_to_kind(encoded.kind())?);
        let first = a.f_multiply(&cos)?.f_addcmul(&b, &sin.f_neg()?)?;
        let second = b.f_multiply(&cos)?.f_addcmul(&a, &sin)?;
        Tensor::f_cat(&[first, second], -1)
    }
}

/// The channels of each head, and the heads.
fn split(of: &Tensor, heads: i64) -> [i64; 2] {
    [heads, of.size().last().copied().unwrap_or(0) / heads]
}

/// The same numbers, with the channels of a pixel side by side in memory: convolutions take a third less time.
fn channels_last(x: &Tensor) -> Result<Tensor, TchError> {
    x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
}

/// The patches around each patch of a grid.
struct Neighbours {
    /// (patch · 81)
    index: Tensor,
    /// 0, and −∞ for those beyond the neighbourhood of a small grid, (1, 1, 81).
    bias: Tensor,
}

impl Neighbours {
    /// `grid` (batch, 1, patch row, patch column)
    fn of(grid: &Tensor) -> Result<Self, TchError> {
        let axis = |dim: i64| -> Result<[Tensor; 3], TchError> {
            let cells = positions(grid, dim)?;
            let size = count(&cells)?;
            // The largest odd number up to the neighbourhood's side and the grid's.
            let side = size.f_sub_scalar(1)?.f_add(&size.f_remainder(2)?)?.f_clamp_max(NEIGHBOURHOOD)?;
            let half = side.f_sub_scalar(1)?.f_div_scalar_mode(2, "floor")?;
            let first = cells.f_sub(&half)?.f_clamp_min(0)?.f_minimum(&size.f_sub(&side)?)?;
            let steps = Tensor::f_arange(NEIGHBOURHOOD, (Kind::Int64, grid.device()))?;
            let index = first.f_unsqueeze(1)?.f_add(&steps)?.f_minimum(&size.f_sub_scalar(1)?)?;
            Ok([index, steps.f_ge_tensor(&side)?, size])
        };
        let ([rows, beyond_rows, _], [cols, beyond_cols, width]) = (axis(2)?, axis(3)?);
        let index = rows.f_multiply(&width)?.f_unsqueeze(1)?.f_unsqueeze(3)?;
        let index = index.f_add(&cols.f_unsqueeze(0)?.f_unsqueeze(2)?)?.f_flatten(0, 3)?;
        let beyond = beyond_rows.f_unsqueeze(1)?.f_logical_or(&beyond_cols.f_unsqueeze(0)?)?.f_flatten(0, 1)?;
        let bias = beyond.f_to_kind(Kind::Float)?.f_zeros_like()?.f_masked_fill(&beyond, f64::NEG_INFINITY)?;
        Ok(Self { index, bias: bias.f_unsqueeze(0)?.f_unsqueeze(0)? })
    }

    /// (batch, patch, head, channel) to (batch · patch · head, channel, neighbour).
    fn gather(&self, of: &Tensor) -> Result<Tensor, TchError> {
        let all = NEIGHBOURHOOD * NEIGHBOURHOOD;
        of.f_index_select(1, &self.index)?.f_unfold(1, all, all)?.f_flatten(0, 2)
    }

    /// The neighbours' weights from `queries` (…, pixel, channel) and `keys` (…, channel, neighbour).
    fn weights(&self, queries: &Tensor, keys: &Tensor) -> Result<Tensor, TchError> {
        let scale = (queries.size().last().copied().unwrap_or(1) as f64).powf(-0.5);
        let bias = self.bias.f_to_kind(queries.kind())?;
        bias.f_baddbmm(queries, keys, 1.0, scale)?.f_softmax(-1, queries.kind())
    }
}

/// The patches that each pixel of a row of `side` pixels reads, (pixel, neighbour), where pixels and patches need not align: pixels at a
/// distance of a whole number of steps are neighbours, and each reads the patch that it lies in.
fn tokens(side: i64, grid: i64) -> Result<Tensor, TchError> {
    let kernel = NEIGHBOURHOOD.min(grid - 1 + grid % 2);
    let step = (side / grid).max(1);
    let of_pixel = |pixel: i64| {
        // Pixels of the same remainder form a row of their own.
        let (place, remainder) = (pixel / step, pixel % step);
        let length = (side - remainder + step - 1) / step;
        let first = (place - kernel / 2).clamp(0, (length - kernel).max(0));
        (first..first + kernel).map(move |place| (2 * (place * step + remainder) + 1) * grid / (2 * side))
    };
    let all: Vec<i64> = (0..side).flat_map(of_pixel).collect();
    Tensor::f_from_slice(&all)?.f_reshape([side, kernel])
}

/// One branch of the encoder: a convolution, then twice two of norm, SiLU and convolution, without residuals.
#[derive(Debug)]
struct Branch {
    first: Convolution,
    layers: Vec<(Norm, Convolution)>,
}

impl Branch {
    fn load(tensors: &Tensors, prefix: &str, images: PixelScale) -> Result<Self> {
        let layers = [(1, 1), (1, 2), (2, 1), (2, 2)].map(|(block, layer)| {
            let name = |what: &str| format!("{prefix}{block}.{what}{layer}.");
            Ok((Norm::load(tensors, &name("norm"))?, Convolution::load(tensors, &name("conv"))?))
        });
        let first = Convolution::load(tensors, &format!("{prefix}0."))?.on_images(images)?;
        Ok(Self { first, layers: layers.into_iter().collect::<Result<_>>()? })
    }

    fn forward(&self, images: &Tensor) -> Result<Tensor, TchError> {
        let mut x = self.first.forward(images)?;
        for (norm, convolution) in &self.layers {
            x = convolution.forward(&norm.forward(&x)?.f_silu()?)?;
        }
        Ok(x)
    }
}

#[derive(Debug)]
struct Norm {
    weight: Tensor,
    bias: Tensor,
}

impl Norm {
    fn load(tensors: &Tensors, prefix: &str) -> Result<Self> {
        let of = |what: &str| weight(tensors, &format!("{prefix}{what}"));
        Ok(Self { weight: of("weight")?, bias: of("bias")? })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_group_norm(GROUPS, Some(&self.weight), Some(&self.bias), EPSILON, false)
    }
}

/// A convolution whose image is reflected at its borders.
#[derive(Debug)]
struct Convolution {
    /// (out, in, side, side)
    weight: Tensor,
    bias: Tensor,
    side: i64,
}

impl Convolution {
    fn load(tensors: &Tensors, prefix: &str) -> Result<Self> {
        let kernel = weight(tensors, &format!("{prefix}weight"))?;
        let side = kernel.size4()?.3;
        Ok(Self { weight: channels_last(&kernel)?, bias: weight(tensors, &format!("{prefix}bias"))?, side })
    }

    /// For images of another normalisation than ImageNet's, which is folded into the weights: reflection leaves no border where that
    /// would not be exact.
    fn on_images(self, images: PixelScale) -> Result<Self, TchError> {
        let own = PixelScale::IMAGENET;
        let of = |value: &dyn Fn(usize) -> f32| -> Result<Tensor, TchError> {
            let values = [0, 1, 2].map(value);
            let values = Tensor::f_from_slice(&values)?.f_reshape([1, 3, 1, 1])?;
            values.f_to_device(self.weight.device())?.f_to_kind(Kind::Float)
        };
        let scale = of(&|channel| images.std[channel] / own.std[channel])?;
        let shift = of(&|channel| (images.mean[channel] - own.mean[channel]) / own.std[channel])?;
        let kind = self.weight.kind();
        let weight = self.weight.f_to_kind(Kind::Float)?;
        let constant = weight.f_multiply(&shift)?.f_sum_dim_intlist(Some(&[1i64, 2, 3][..]), false, None)?;
        let bias = self.bias.f_to_kind(Kind::Float)?.f_add(&constant)?.f_to_kind(kind)?;
        let weight = channels_last(&weight.f_multiply(&scale)?.f_to_kind(kind)?)?;
        Ok(Self { weight, bias, ..self })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let border = self.side / 2;
        let padded = if border > 0 { x.f_reflection_pad2d([border; 4])? } else { x.shallow_clone() };
        padded.f_conv2d(&self.weight, Some(&self.bias), [1, 1], [0, 0], [1, 1], 1)
    }
}
