//! SimFeatUp: patch features to full resolution by learned joint bilateral upsampling, guided by the image.
//!
//! Each step doubles the grid: a pixel becomes a weighted sum of its d × d neighbours in the bicubically doubled features,
//! with weights from the image alone. In stock operations that sum is slow (one tap at a time) or huge (all neighbours of
//! all pixels at once). Here it is a product of small matrices: the pixels of a row are taken in blocks of `block`
//! neighbours, whose d × (block + 2r) source pixels lie one after the other in memory, so that
//!
//! ```text
//! out (block × channels) = W (block × d·(block + 2r)) · source (d·(block + 2r) × channels),
//! ```
//!
//! where W holds each pixel's d² weights in a band and zeros elsewhere. Sources of consecutive rows overlap, so the second
//! factor is a strided view and is never copied. Rows of all blocks and images form one long axis (a *strip row*); those
//! that straddle two blocks or images are computed too and dropped.
//!
//! No batch, row or column count is fixed: one trace serves all sizes.

#![expect(clippy::indexing_slicing, reason = "the one tensor that an operation gives, and cells of a matrix made here")]

use segearth_checkpoint::UpsamplerKind;
use tch::{Kind, TchError, Tensor};

use super::layers::{Linear, Tensors, count, positions, weight};
use crate::error::{Error, Result};

/// Floor of the weights' sum before they are divided by it.
const WEIGHT_SUM_FLOOR: f64 = 1e-7;
/// Bounds of exp(range_temp).
const TEMPERATURE_BOUNDS: [f64; 2] = [1e-4, 1e4];
/// Smallest squared norm of a feature: a feature of zeros has a similarity of 0, not NaN.
const NORM_FLOOR: f64 = 1e-24;
/// Pixels of a row whose sums are one product of matrices. Longer blocks are more efficient products with more zeros.
const BLOCK: i64 = 8;
/// Share of the learned corrections.
const FIXUP_SHARE: f64 = 0.1;

/// In which coordinates features are upsampled; the result is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// CLIP's joint space, D channels.
    Joint,
    /// The space that an image's own N patches span: min(N + 1, D) channels. Faster where N + 1 < D.
    OfImage,
}

/// What is upsampled in place of the patch features, with R channels.
struct Sources {
    /// (batch, patch row, patch column, R)
    features: Tensor,
    /// Added to every pixel after the last step, (batch, 1, R).
    offset: Tensor,
    /// (batch, R, Q)
    queries: Tensor,
}

impl Sources {
    /// Cosines of `y + offset` with the queries; `y` (any, batch, row, column, R) to (any, batch, row, column, Q).
    fn cosines(&self, y: &Tensor) -> Result<Tensor, TchError> {
        let norms = y.f_linalg_norm(2.0, Some(&[-1i64][..]), true, Kind::Float)?;
        let offset = self.offset.f_transpose(1, 2)?; // (batch, R, 1)
        let factors = Tensor::f_cat(&[&self.queries, &offset], 2)?;
        let products = y.f_flatten(2, 3)?.f_matmul(&factors.f_unsqueeze(0)?)?.f_to_kind(Kind::Float)?;
        let channels = products.f_select(0, 0)?.f_select(0, 0)?.f_select(0, 0)?;
        let products = products.f_view_as(&Tensor::f_broadcast_tensors(&[&norms, &channels])?[0])?;
        let (with_queries, with_offset) = (products.f_slice(4, 0, -1, 1)?, products.f_slice(4, -1, None, 1)?);
        // |y + o|² = |y|² + 2 y·o + |o|²
        let of_offset = offset.f_transpose(1, 2)?.f_matmul(&factors)?.f_to_kind(Kind::Float)?; // (batch, 1, Q + 1)
        let of_offset = of_offset.f_unsqueeze(1)?.f_unsqueeze(0)?;
        let square =
            norms.f_square()?.f_add(&with_offset.f_mul_scalar(2.0)?)?.f_add(&of_offset.f_slice(4, -1, None, 1)?)?;
        let products = with_queries.f_add(&of_offset.f_slice(4, 0, -1, 1)?)?;
        products.f_divide(&square.f_clamp_min(NORM_FLOOR)?.f_sqrt()?)
    }
}

/// Features per pixel of one image as `pixels · basis + offset`, which are the D channels of [`Upsampler::features`].
#[derive(Debug)]
pub struct Spanned {
    /// (1, R, row, column), R = min(patches, D)
    pub pixels: Tensor,
    /// (R, D)
    pub basis: Tensor,
    /// (D)
    pub offset: Tensor,
}

#[derive(Debug)]
pub struct Upsampler {
    steps: Vec<Step>,
    fixup: Linear,
    patch: i64,
}

impl Upsampler {
    /// Weights under `up1.` (`JbuOne`) or `up1.` … `up4.` (`JbuStack`), and `fixup_proj.1.`; `patch` in pixels.
    pub fn load(tensors: &Tensors, kind: UpsamplerKind, patch: i64) -> Result<Self> {
        let count = doublings(patch);
        if kind == UpsamplerKind::JbuStack && count != 4 {
            return Err(Error::input(format!(
                "a jbu_stack upsampler doubles four times, but patches of {patch} pixels need {count} doublings"
            ))
            .with_hint("Import with a jbu_one upsampler, or with `--upsampler none`."));
        }
        let steps = (0..count)
            .map(|index| {
                let prefix = match kind {
                    UpsamplerKind::JbuOne => "up1.".to_owned(),
                    UpsamplerKind::JbuStack => format!("up{}.", index + 1),
                };
                Step::load(tensors, &prefix, index, patch)
            })
            .collect::<Result<_>>()?;
        Ok(Self { steps, fixup: Linear::load(tensors, "fixup_proj.1.")?, patch })
    }

    /// For each pixel of the window the scalar products of its upsampled feature with the queries, divided by the feature's
    /// norm: (batch, query, row, column), float32.
    ///
    /// `patches` (batch, patch, D), `queries` (Q, D), `grid` (batch, 1, patch row, patch column), `images` the normalised
    /// window (batch, 3, row, column).
    pub fn similarities(
        &self,
        patches: &Tensor,
        queries: &Tensor,
        grid: &Tensor,
        images: &Tensor,
        basis: Basis,
    ) -> Result<Tensor, TchError> {
        let sources = self.sources(patches, queries, grid, basis)?;
        let (last, steps) = self.steps.split_last().ok_or_else(|| TchError::Torch("no steps".into()))?;
        let mut features = sources.features.shallow_clone();
        for step in steps {
            features = step.forward(&features, images)?;
        }
        let strips = last.strips(&features, images)?;
        let rest = self.rest();
        if rest == 1.0 {
            // The last step's features are never put together: their products and norms are all that is needed.
            return strips.image(&sources.cosines(&strips.blocks()?)?)?.f_permute([0, 3, 1, 2]);
        }
        let features = strips.image(&strips.blocks()?)?.f_permute([0, 3, 1, 2])?;
        let features = features.f_upsample_bilinear2d_vec(None::<&[i64]>, false, [rest, rest].as_slice())?;
        sources.cosines(&features.f_permute([0, 2, 3, 1])?.f_unsqueeze(0)?)?.f_squeeze_dim(0)?.f_permute([0, 3, 1, 2])
    }

    /// The features after the first `steps` doublings, (batch, D, row, column).
    pub fn after(&self, steps: usize, patches: &Tensor, grid: &Tensor, images: &Tensor) -> Result<Tensor, TchError> {
        let mut features = as_image(patches, grid)?;
        for step in self.steps.iter().take(steps) {
            features = step.forward(&features, images)?;
        }
        features.f_permute([0, 3, 1, 2])
    }

    /// The upsampled features themselves, (batch, D, row, column): what the similarities are made of, in the plain way.
    pub fn features(&self, patches: &Tensor, grid: &Tensor, images: &Tensor) -> Result<Tensor, TchError> {
        let features = self.after(self.steps(), patches, grid, images)?.f_permute([0, 2, 3, 1])?;
        features.f_add(&self.fixup.forward(&features)?.f_mul_scalar(FIXUP_SHARE)?)?.f_permute([0, 3, 1, 2])
    }

    /// The upsampled features of one image in few channels, for a training: gradients flow to the upsampler's weights, not
    /// to the patches.
    ///
    /// Upsampling and fixup are linear (see [`Upsampler::similarities`]): where an image has fewer patches than D, its
    /// features span no more than as many channels, and those alone are upsampled. Exact, and memory and time shrink by
    /// D / patches. `patches` (1, patch, D), `grid` and `images` as there, of one image.
    pub fn spanned(&self, patches: &Tensor, grid: &Tensor, images: &Tensor) -> Result<Spanned, TchError> {
        let (_, count, width) = patches.size3()?;
        let (features, basis) = if count < width {
            let (basis, features) = Tensor::f_linalg_qr(&patches.f_transpose(1, 2)?, "reduced")?;
            (features.f_transpose(1, 2)?, basis.f_transpose(1, 2)?.f_squeeze_dim(0)?)
        } else {
            (patches.shallow_clone(), Tensor::f_eye(width, (patches.kind(), patches.device()))?)
        };
        Ok(Spanned {
            pixels: self.after(self.steps(), &features, grid, images)?,
            basis: basis.f_add(&basis.f_matmul(&self.fixup_matrix()?)?)?,
            offset: self.fixup_offset()?,
        })
    }

    /// Patch features after the last fixup but for its constant, (batch, patch, D): what all doublings may as well begin with.
    fn fixed(&self, patches: &Tensor) -> Result<Tensor, TchError> {
        patches.f_add(&patches.f_matmul(&self.fixup_matrix()?)?)
    }

    /// Number of doublings.
    fn steps(&self) -> usize {
        self.steps.len()
    }

    /// Factor from the grid of the last doubling to the window: 1 but for patches that are no power of two.
    fn rest(&self) -> f64 {
        self.patch as f64 / f64::powi(2.0, self.steps.len() as i32)
    }

    /// Upsampling and fixup are linear: out = A·F·(I + 0.1 Wᵀ) + 0.1 bᵀ, with A from the image alone. With
    /// M = [F·(I + 0.1 Wᵀ); 0.1 b] = L·V and V's rows orthonormal, the rows of L can replace those of M: norms are equal, and
    /// so are scalar products if t·Vᵀ replaces the queries t. L has min(N + 1, D) columns.
    fn sources(&self, patches: &Tensor, queries: &Tensor, grid: &Tensor, basis: Basis) -> Result<Sources, TchError> {
        let fixed = self.fixed(patches)?;
        let offset = fixed.f_narrow(1, 0, 1)?.f_zeros_like()?.f_add(&self.fixup_offset()?)?;
        match basis {
            Basis::Joint => {
                let nothing = offset.f_transpose(1, 2)?.f_zeros_like()?; // (batch, D, 1)
                let queries = nothing.f_add(&queries.f_transpose(0, 1)?.f_unsqueeze(0)?)?;
                Ok(Sources { features: as_image(&fixed, grid)?, offset, queries })
            }
            Basis::OfImage => {
                let kind = patches.kind();
                let rows = Tensor::f_cat(&[fixed, offset], 1)?.f_to_kind(Kind::Float)?;
                let (v, l) = Tensor::f_linalg_qr(&rows.f_transpose(1, 2)?, "reduced")?;
                let l = l.f_transpose(1, 2)?.f_to_kind(kind)?;
                let queries = queries.f_to_kind(Kind::Float)?.f_unsqueeze(0)?.f_matmul(&v)?;
                Ok(Sources {
                    features: as_image(&l.f_slice(1, 0, -1, 1)?, grid)?,
                    offset: l.f_slice(1, -1, None, 1)?,
                    queries: queries.f_transpose(1, 2)?.f_to_kind(kind)?,
                })
            }
        }
    }

    fn fixup_matrix(&self) -> Result<Tensor, TchError> {
        self.fixup.weight().f_transpose(0, 1)?.f_mul_scalar(FIXUP_SHARE)
    }

    fn fixup_offset(&self) -> Result<Tensor, TchError> {
        match self.fixup.bias() {
            Some(bias) => bias.f_mul_scalar(FIXUP_SHARE),
            None => self.fixup.weight().f_select(1, 0)?.f_zeros_like(),
        }
    }
}

/// Steps that raise a patch to at least single pixels: ceil(log2(patch)).
fn doublings(patch: i64) -> usize {
    (patch as f64).log2().ceil() as usize
}

/// (batch, patch, channel) as (batch, patch row, patch column, channel).
fn as_image(patches: &Tensor, grid: &Tensor) -> Result<Tensor, TchError> {
    let channels = patches.f_slice(1, 0, 1, 1)?.f_unsqueeze(1)?; // (batch, 1, 1, channel)
    let shape = Tensor::f_broadcast_tensors(&[grid.f_permute([0, 2, 3, 1])?, channels])?;
    patches.f_view_as(&shape[0])
}

/// One doubling.
#[derive(Debug)]
struct Step {
    guidance: Guidance,
    range_in: Linear,
    range_out: Linear,
    /// 1 / softmax temperature as the authors have it: clamp(exp(range_temp)), one number.
    temperature: Tensor,
    /// The spatial kernel, (d²).
    spatial: Tensor,
    /// First correction layer, split into the part that sees the weights and the part that sees the guidance.
    fixup_weights: Linear,
    fixup_guidance: Linear,
    fixup_out: Linear,
    radius: i64,
    block: i64,
    /// 0, 1, … over the columns that a block's pixels reach.
    reach: Tensor,
}

impl Step {
    fn load(tensors: &Tensors, prefix: &str, index: usize, patch: i64) -> Result<Self> {
        let range_in = Linear::load(tensors, &format!("{prefix}range_proj.0."))?;
        let range_out = Linear::load(tensors, &format!("{prefix}range_proj.3."))?;
        let fixup_in = Linear::load(tensors, &format!("{prefix}fixup_proj.0."))?;
        let fixup_out = Linear::load(tensors, &format!("{prefix}fixup_proj.3."))?;
        let taps = fixup_out.weight().size2()?.0;
        let diameter = (taps as f64).sqrt().round() as i64;
        let block = (2i64 << index).min(BLOCK);
        let device = range_in.weight().device();
        let temperature = weight(tensors, &format!("{prefix}range_temp"))?
            .f_reshape([1])?
            .f_exp()?
            .f_clamp(TEMPERATURE_BOUNDS[0], TEMPERATURE_BOUNDS[1])?;
        let sigma = weight(tensors, &format!("{prefix}sigma_spatial"))?.f_reshape([1])?;
        Ok(Self {
            guidance: Guidance::new(patch, index)?,
            temperature,
            spatial: spatial_kernel(diameter, &sigma)?,
            fixup_weights: Linear::new(fixup_in.weight().f_narrow(1, 0, taps)?.f_contiguous()?, None),
            fixup_guidance: Linear::new(
                fixup_in.weight().f_narrow(1, taps, 3)?.f_contiguous()?,
                fixup_in.bias().map(Tensor::shallow_clone),
            ),
            fixup_out,
            range_in,
            range_out,
            radius: diameter / 2,
            block,
            reach: Tensor::f_arange(block + diameter - 1, (Kind::Int64, device))?,
        })
    }

    /// `features` (batch, row, column, channel) to (batch, 2 rows, 2 columns, channel).
    fn forward(&self, features: &Tensor, images: &Tensor) -> Result<Tensor, TchError> {
        let strips = self.strips(features, images)?;
        strips.image(&strips.blocks()?)
    }

    fn strips(&self, features: &Tensor, images: &Tensor) -> Result<Strips<'_>, TchError> {
        let guidance = self.guidance.forward(images)?; // (batch, row, column, 3)
        let doubled = features
            .f_permute([0, 3, 1, 2])?
            .f_upsample_bicubic2d_vec(None::<&[i64]>, false, [2.0, 2.0].as_slice())?
            .f_permute([0, 2, 3, 1])?;
        let layout = self.layout(&guidance)?;
        let weights = self.weights(&guidance, &layout)?;
        Ok(Strips { step: self, weights, source: layout.gather(&doubled)?, rows: layout.rows })
    }

    /// The weights of all neighbours, (strip row, pixel, d²).
    fn weights(&self, guidance: &Tensor, layout: &Layout) -> Result<Tensor, TchError> {
        let (block, d) = (self.block, 2 * self.radius + 1);
        let taps = d * self.reach.size1()?;
        let projected = self.range_out.forward(&self.range_in.forward(guidance)?.f_gelu("none")?)?;
        let keys = projected.size().last().copied().unwrap_or(0);
        let source = layout.gather(&Tensor::f_cat(&[&projected, guidance], 3)?)?;
        let own = source.f_slice(0, self.radius, -self.radius, 1)?.f_narrow(1, self.radius, block)?;
        let own_projected = own.f_narrow(2, 0, keys)?.f_multiply(&self.temperature)?;
        let neighbours = self.neighbours(&source.f_narrow(2, 0, keys)?)?;
        // (strip row, pixel, all columns in reach), of which each pixel's own neighbours lie on a diagonal band.
        let products = own_projected.f_bmm(&neighbours.f_transpose(1, 2)?)?;
        let band = products.f_flatten(1, 2)?.f_unfold(1, taps - block + 1, taps + 1)?.f_unfold(2, d, taps / d)?;
        let range = band.f_flatten(2, 3)?.f_softmax(-1, Kind::Float)?;
        let joint = range.f_multiply(&self.spatial)?;
        let sum = joint.f_sum_dim_intlist(Some(&[-1i64][..]), true, None)?.f_clamp_min(WEIGHT_SUM_FLOOR)?;
        let joint = joint.f_divide(&sum)?.f_to_kind(guidance.kind())?;
        let hidden = self.fixup_guidance.forward(&own.f_narrow(2, keys, 3)?)?;
        let hidden = hidden.f_add(&self.fixup_weights.forward(&joint)?)?.f_gelu("none")?;
        joint.f_add(&self.fixup_out.forward(&hidden)?.f_mul_scalar(FIXUP_SHARE)?)
    }

    /// The sources of every strip row, (strip row, d · columns in reach, channel): a view, since those of neighbouring rows
    /// overlap.
    fn neighbours(&self, source: &Tensor) -> Result<Tensor, TchError> {
        source.f_unfold(0, 2 * self.radius + 1, 1)?.f_permute([0, 3, 1, 2])?.f_flatten(1, 2)
    }

    /// Which pixels lie where in the strips of a grid.
    fn layout(&self, guidance: &Tensor) -> Result<Layout, TchError> {
        let (images, rows, cols) = (positions(guidance, 0)?, positions(guidance, 1)?, positions(guidance, 2)?);
        let (height, width) = (count(&rows)?, count(&cols)?);
        let margin = 2 * self.radius;
        let padded = rows.f_ones_like()?.f_pad([0, margin], "constant", 1.0)?.f_cumsum(0, Kind::Int64)?;
        let rows = reflect(&padded.f_sub_scalar(1 + self.radius)?, &height)?;
        let blocks = cols.f_slice(0, 0, None, self.block)?.f_unsqueeze(1)?;
        let cols = reflect(&blocks.f_add(&self.reach)?.f_sub_scalar(self.radius)?, &width)?;
        let image_starts = images.f_multiply(&height)?.f_multiply(&width)?;
        let row_starts = image_starts.f_unsqueeze(1)?.f_add(&rows.f_multiply(&width)?.f_unsqueeze(0)?)?;
        // (block, image, strip row, column)
        let index = row_starts.f_unsqueeze(0)?.f_unsqueeze(3)?.f_add(&cols.f_unsqueeze(1)?.f_unsqueeze(1)?)?;
        // The last strip rows reach beyond the end: any pixel will do there, those rows are dropped.
        let pixels = index.f_flatten(0, 2)?.f_constant_pad_nd([0, 0, 0, margin])?;
        Ok(Layout { pixels, rows: index.f_narrow(3, 0, self.block)? })
    }
}

/// The pixels of a grid as strips of blocks.
struct Layout {
    /// Flat pixel numbers, (strip row + 2r, column in reach).
    pixels: Tensor,
    /// (block, image, strip row, pixel): carries the shape.
    rows: Tensor,
}

impl Layout {
    /// (batch, row, column, channel) to (strip row + 2r, column in reach, channel).
    fn gather(&self, image: &Tensor) -> Result<Tensor, TchError> {
        Tensor::f_embedding(&image.f_flatten(0, 2)?, &self.pixels, -1, false, false)
    }
}

/// A step whose weights and sources are ready to be multiplied.
struct Strips<'a> {
    step: &'a Step,
    /// (strip row, pixel, d²)
    weights: Tensor,
    /// (strip row + 2r, column in reach, channel)
    source: Tensor,
    /// (block, image, strip row, pixel): carries the shape.
    rows: Tensor,
}

impl Strips<'_> {
    /// The weighted sums, (block, image, strip row, pixel, channel).
    fn blocks(&self) -> Result<Tensor, TchError> {
        let d = 2 * self.step.radius + 1;
        let reach = self.step.reach.size1()?;
        let taps = d * reach;
        // Rows of d weights are padded to the reach, and each pixel's row to one more than all taps: read with `taps` a
        // row, every pixel's weights then stand one further to the right than those of the pixel before.
        let padded = self.weights.f_unfold(2, d, d)?.f_constant_pad_nd([0, reach - d])?.f_flatten(2, 3)?;
        let padded = padded.f_constant_pad_nd([0, 1])?.f_flatten(1, 2)?;
        let banded = padded.f_slice(1, 0, -self.step.block, 1)?.f_unfold(1, taps, taps)?;
        let sums = banded.f_bmm(&self.step.neighbours(&self.source)?)?;
        let channels = self.source.f_select(0, 0)?.f_select(0, 0)?;
        let shape = Tensor::f_broadcast_tensors(&[self.rows.f_unsqueeze(4)?, channels])?;
        sums.f_view_as(&shape[0])
    }

    /// (block, image, strip row, pixel, channel) to (batch, row, column, channel).
    fn image(&self, blocks: &Tensor) -> Result<Tensor, TchError> {
        blocks.f_slice(2, 0, -2 * self.step.radius, 1)?.f_permute([1, 2, 0, 3, 4])?.f_flatten(2, 3)
    }
}

/// Positions beyond the ends mirrored back inside, the end itself not repeated, as often as it takes.
///
/// PyTorch's reflection padding asks for a grid larger than the radius; grids of one or two patches have none such.
fn reflect(positions: &Tensor, size: &Tensor) -> Result<Tensor, TchError> {
    let last = size.f_sub_scalar(1)?;
    let turned = positions.f_remainder_tensor(&last.f_mul_scalar(2)?)?;
    last.f_sub(&turned.f_sub(&last)?.f_abs()?)
}

/// exp(-|u|² / (2 σ²)) on a d × d grid over [-1, 1]², as (d²).
fn spatial_kernel(diameter: i64, sigma: &Tensor) -> Result<Tensor, TchError> {
    let axis = Tensor::f_linspace(-1.0, 1.0, diameter, (Kind::Float, sigma.device()))?.f_square()?;
    let square = axis.f_unsqueeze(1)?.f_add(&axis.f_unsqueeze(0)?)?.f_flatten(0, 1)?;
    square.f_divide(&sigma.f_to_kind(Kind::Float)?.f_square()?.f_mul_scalar(-2.0)?)?.f_exp()
}

/// The normalised window, averaged to a step's grid (adaptive average pooling).
#[derive(Debug)]
enum Guidance {
    Window,
    Pooled {
        factor: i64,
    },
    /// Where cells and pixels do not align (patches of 14): a patch's pixels to its cells, (cell, pixel).
    Matrix {
        patch: i64,
        matrix: Tensor,
    },
}

impl Guidance {
    fn new(patch: i64, index: usize) -> Result<Self> {
        let cells = 2i64 << index;
        if cells == patch {
            return Ok(Self::Window);
        }
        if patch % cells == 0 {
            return Ok(Self::Pooled { factor: patch / cells });
        }
        let mut matrix = vec![0f32; (cells * patch) as usize];
        for cell in 0..cells {
            let pixels = (cell * patch / cells)..((cell + 1) * patch + cells - 1) / cells;
            let share = 1.0 / (pixels.end - pixels.start) as f32;
            for pixel in pixels {
                matrix[(cell * patch + pixel) as usize] = share;
            }
        }
        Ok(Self::Matrix { patch, matrix: Tensor::f_from_slice(&matrix)?.f_reshape([cells, patch])? })
    }

    /// (batch, 3, row, column) to (batch, cell row, cell column, 3).
    fn forward(&self, images: &Tensor) -> Result<Tensor, TchError> {
        let pooled = match self {
            Self::Window => images.shallow_clone(),
            Self::Pooled { factor } => images.f_avg_pool2d([*factor; 2], [*factor; 2], [0, 0], false, true, None)?,
            Self::Matrix { patch, matrix } => {
                let matrix = matrix.f_transpose(0, 1)?.f_to_kind(images.kind())?;
                let cols = images.f_unfold(3, *patch, *patch)?.f_matmul(&matrix)?.f_flatten(3, 4)?;
                cols.f_unfold(2, *patch, *patch)?.f_matmul(&matrix)?.f_transpose(3, 4)?.f_flatten(2, 3)?
            }
        };
        pooled.f_permute([0, 2, 3, 1])?.f_contiguous()
    }
}
