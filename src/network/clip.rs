//! CLIP's two towers: patch features of an image, features of texts.
//!
//! Names of weights are those of OpenAI's checkpoints. The last block of the image tower is SegEarth-OV's: it attends
//! to similar patches instead of the image's content (see [`Attention`]).

use segearth_checkpoint::Activation;
use tch::{Kind, TchError, Tensor};

use super::layers::{LayerNorm, Linear, Tensors, count, positions, weight};
use super::mlp::Mlp;
use crate::error::Result;

/// The self-attention of the image tower's last block, by the method that proposed it.
///
/// With `a(x, y) = softmax(x yᵀ · head_dim^-1/2)` over queries q, keys k and values v, each head gives:
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// `(a(q,q) + a(k,k) + a(v,v)) v`, summed, not averaged.
    SegEarth,
    /// `a(q,q) v`
    ClearClip,
    /// `(a(q,q) + a(k,k)) v`
    Sclip,
    /// `v`
    MaskClip,
    /// `a(q,k) v`, as CLIP was trained.
    Vanilla,
    /// `softmax(k kᵀ · head_dim^-1/2 + ω) v`, with ω the nearness of patches on the grid.
    NaClip,
    /// `softmax(head_dim^-1/2 · |q| · |k| · ω) v`: nearness alone, of the scale of the similarities.
    NOnly,
    /// `softmax(q kᵀ · head_dim^-1/2 + head_dim^-1/2 · |q| · |k| · ω) v`
    Gav,
    /// Of normalised values, keys and queries, each refined by its own similarities once; their mean.
    Gem,
    /// SegEarth's with what other blocks attend to, of weight p in percent: `3 ((1 − p) (a(q,q) + a(k,k) + a(v,v)) + p Σ a(q',k')) v`,
    /// summed over those of the blocks 2, 5, 8 and 11 that come before it.
    ConInfer { percent: u8 },
}

/// Blocks, from 1, whose attention [`Attention::ConInfer`] shares with the last one: those of them that come before it.
const SHARED_BLOCKS: [usize; 4] = [2, 5, 8, 11];

/// The options of the towers that the weights do not show.
#[derive(Clone, Copy, Debug)]
pub struct TowerOptions {
    pub layers: usize,
    pub heads: usize,
    pub activation: Activation,
}

#[derive(Debug)]
struct Block {
    ln_1: LayerNorm,
    in_proj: Linear,
    out_proj: Linear,
    ln_2: LayerNorm,
    mlp: Mlp,
    heads: i64,
    head_width: i64,
}

/// Queries, keys and values of one block, each (batch, head, token, head width).
struct Heads {
    q: Tensor,
    k: Tensor,
    v: Tensor,
}

impl Block {
    fn load(tensors: &Tensors, prefix: &str, options: TowerOptions) -> Result<Self> {
        let named = |name: &str| format!("{prefix}{name}");
        let in_proj = Linear::new(
            weight(tensors, &named("attn.in_proj_weight"))?,
            Some(weight(tensors, &named("attn.in_proj_bias"))?),
        );
        let out_proj = Linear::load(tensors, &named("attn.out_proj."))?;
        let heads = options.heads as i64;
        let head_width = out_proj.weight().size2()?.0 / heads;
        Ok(Self {
            ln_1: LayerNorm::load(tensors, &named("ln_1."))?,
            in_proj,
            out_proj,
            ln_2: LayerNorm::load(tensors, &named("ln_2."))?,
            mlp: Mlp::load(tensors, &named("mlp."), options.activation)?,
            heads,
            head_width,
        })
    }

    /// The same weights, held once.
    fn shallow_clone(&self) -> Self {
        Self {
            ln_1: self.ln_1.shallow_clone(),
            in_proj: self.in_proj.shallow_clone(),
            out_proj: self.out_proj.shallow_clone(),
            ln_2: self.ln_2.shallow_clone(),
            mlp: self.mlp.shallow_clone(),
            ..*self
        }
    }

    fn heads(&self, x: &Tensor) -> Result<Heads, TchError> {
        // `unflatten` splits the last axis without naming the others.
        let split = self.in_proj.forward(&self.ln_1.forward(x)?)?.f_unflatten(-1, [3 * self.heads, self.head_width])?;
        let part = |index: i64| split.f_narrow(2, index * self.heads, self.heads)?.f_transpose(1, 2);
        Ok(Heads { q: part(0)?, k: part(1)?, v: part(2)? })
    }

    fn join(&self, heads: &Tensor) -> Result<Tensor, TchError> {
        self.out_proj.forward(&heads.f_transpose(1, 2)?.f_flatten(2, 3)?)
    }

    /// GEM's self-self attention: each of v, k and q is normalised, averaged over its own similarities, and normalised again; what the
    /// similarities of the result say of the values is averaged over the three. The similarities are sharpened by
    /// `head_dim^-1/2` times the mean length of the normed tokens.
    fn gem(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let Heads { q, k, v } = self.heads(x)?;
        let lengths = length(&self.ln_1.forward(x)?)?;
        let sharpness = lengths.f_mean_dim([1i64].as_slice(), true, lengths.kind())?.f_unsqueeze(1)?;
        let sharpness = sharpness.f_mul_scalar((self.head_width as f64).powf(-0.5))?;
        let unit = |z: &Tensor| z.f_divide(&length(z)?);
        let weights = |z: &Tensor| z.f_multiply(&sharpness)?.f_matmul(&z.f_transpose(-2, -1)?)?.f_softmax(-1, z.kind());
        let of = |z: &Tensor| {
            let z = unit(z)?;
            let z = unit(&weights(&z)?.f_matmul(&z)?)?;
            weights(&z)?.f_matmul(&v)
        };
        self.join(&of(&v)?.f_add(&of(&k)?)?.f_add(&of(&q)?)?.f_div_scalar(3.0)?)
    }

    /// softmax(q kᵀ · head_dim^-1/2), (batch, head, token, token).
    fn similarities(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let Heads { q, k, .. } = self.heads(x)?;
        let scale = (self.head_width as f64).powf(-0.5);
        q.f_matmul(&k.f_transpose(-2, -1)?)?.f_mul_scalar(scale)?.f_softmax(-1, q.kind())
    }

    fn mlp(&self, x: &Tensor) -> Result<Tensor, TchError> {
        self.mlp.forward(&self.ln_2.forward(x)?)
    }

    fn forward(&self, x: &Tensor, causal: bool) -> Result<Tensor, TchError> {
        let Heads { q, k, v } = self.heads(x)?;
        let x = x.f_add(&self.join(&attend(&q, &k, &v, causal)?)?)?;
        x.f_add(&self.mlp(&x)?)
    }

    /// `weights`: where the attention needs more than this block has, the nearness of tokens on the grid, or the sum of other
    /// blocks' similarities.
    fn forward_last(
        &self,
        x: &Tensor,
        attention: Attention,
        weights: Option<&Tensor>,
        keep_residual: bool,
    ) -> Result<Tensor, TchError> {
        let Heads { q, k, v } = self.heads(x)?;
        let alike = |x: &Tensor| attend(x, x, &v, false);
        let scale = (self.head_width as f64).powf(-0.5);
        // s · |q| · |k| · ω
        let scaled_nearness = |nearness: Option<&Tensor>| {
            let sizes = length(&q)?.f_matmul(&length(&k)?.f_transpose(-2, -1)?)?.f_mul_scalar(scale)?;
            nearness.map_or_else(|| sizes.f_zeros_like(), |nearness| sizes.f_multiply(nearness))
        };
        let all_alike = || alike(&q)?.f_add(&alike(&k)?)?.f_add(&alike(&v)?);
        let heads = match attention {
            Attention::SegEarth => all_alike()?,
            Attention::ConInfer { percent } => {
                let share = f64::from(percent) / 100.0;
                let own = all_alike()?.f_mul_scalar(3.0 * (1.0 - share))?;
                match weights {
                    Some(shared) => own.f_add(&shared.f_matmul(&v)?.f_mul_scalar(3.0 * share)?)?,
                    None => own,
                }
            }
            Attention::ClearClip => alike(&q)?,
            Attention::Sclip => alike(&q)?.f_add(&alike(&k)?)?,
            Attention::MaskClip => v,
            Attention::Vanilla => attend(&q, &k, &v, false)?,
            Attention::NaClip => Tensor::f_scaled_dot_product_attention(&k, &k, &v, weights, 0.0, false, None, false)?,
            Attention::NOnly => scaled_nearness(weights)?.f_softmax(-1, v.kind())?.f_matmul(&v)?,
            Attention::Gav => {
                let alike = q.f_matmul(&k.f_transpose(-2, -1)?)?.f_mul_scalar(scale)?;
                alike.f_add(&scaled_nearness(weights)?)?.f_softmax(-1, v.kind())?.f_matmul(&v)?
            }
            Attention::Gem => return self.gem(x),
        };
        let y = self.join(&heads)?;
        if !keep_residual {
            return Ok(y);
        }
        let x = x.f_add(&y)?;
        x.f_add(&self.mlp(&x)?)
    }
}

/// Lengths along the last axis, kept as an axis of one.
fn length(x: &Tensor) -> Result<Tensor, TchError> {
    x.f_norm_scalaropt_dim(2.0, [-1i64].as_slice(), true)
}

fn attend(q: &Tensor, k: &Tensor, v: &Tensor, causal: bool) -> Result<Tensor, TchError> {
    // libtorch's fused attention has a backward pass that takes four times as long on a CPU as the same written out.
    if q.requires_grad() && !causal {
        let scale = (q.size().last().copied().unwrap_or(1) as f64).powf(-0.5);
        let weights = q.f_matmul(&k.f_transpose(-2, -1)?)?.f_mul_scalar(scale)?.f_softmax(-1, q.kind())?;
        return weights.f_matmul(v);
    }
    Tensor::f_scaled_dot_product_attention(q, k, v, None::<&Tensor>, 0.0, causal, None, false)
}

/// What the image tower says of a batch of images; D is CLIP's joint width.
#[derive(Debug)]
pub struct ImageFeatures {
    /// The `[CLS]` feature, (batch, D).
    pub cls: Tensor,
    /// (batch, patch, D), patches row by row.
    pub patches: Tensor,
    /// (batch, 1, patch row, patch column): carries the grid's shape, its values mean nothing.
    pub grid: Tensor,
}

#[derive(Debug)]
pub struct VisionTransformer {
    patch_embedding: Tensor,
    patch: i64,
    class_embedding: Tensor,
    class_position: Tensor,
    positions: PositionGrid,
    ln_pre: LayerNorm,
    blocks: Vec<Block>,
    ln_post: LayerNorm,
    projection: Tensor,
    attention: Attention,
    keep_residual: bool,
    /// How many of the last blocks have the attention; their outputs are summed.
    attention_blocks: usize,
}

impl VisionTransformer {
    pub fn load(tensors: &Tensors, options: TowerOptions, attention: Attention, keep_residual: bool) -> Result<Self> {
        let patch_embedding = weight(tensors, "visual.conv1.weight")?;
        let patch = patch_embedding.size4()?.2;
        let positions = weight(tensors, "visual.positional_embedding")?;
        let blocks = (0..options.layers)
            .map(|layer| Block::load(tensors, &format!("visual.transformer.resblocks.{layer}."), options))
            .collect::<Result<_>>()?;
        Ok(Self {
            patch_embedding,
            patch,
            class_embedding: weight(tensors, "visual.class_embedding")?,
            class_position: positions.f_narrow(0, 0, 1)?,
            positions: PositionGrid::new(&positions.f_slice(0, 1, None, 1)?, attention == Attention::Gem)?,
            ln_pre: LayerNorm::load(tensors, "visual.ln_pre.")?,
            blocks,
            ln_post: LayerNorm::load(tensors, "visual.ln_post.")?,
            projection: weight(tensors, "visual.proj")?,
            attention,
            keep_residual,
            attention_blocks: 1,
        })
    }

    /// The same weights, held once: a tensor may be used by several threads, but not the same handle to it.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        let clone = Tensor::shallow_clone;
        Self {
            patch_embedding: clone(&self.patch_embedding),
            class_embedding: clone(&self.class_embedding),
            class_position: clone(&self.class_position),
            positions: self.positions.shallow_clone(),
            ln_pre: self.ln_pre.shallow_clone(),
            blocks: self.blocks.iter().map(Block::shallow_clone).collect(),
            ln_post: self.ln_post.shallow_clone(),
            projection: clone(&self.projection),
            ..*self
        }
    }

    /// The same with the sum over the attention of so many of the last blocks, at least one and at most all.
    #[must_use]
    pub fn with_attention_blocks(mut self, blocks: usize) -> Self {
        self.attention_blocks = blocks.clamp(1, self.blocks.len());
        self
    }

    /// Side of a patch in pixels.
    pub fn patch(&self) -> i64 {
        self.patch
    }

    /// `images`: normalised, (batch, 3, height, width), sides multiples of the patch.
    pub fn forward(&self, images: &Tensor) -> Result<ImageFeatures, TchError> {
        let patches = images.f_conv2d(&self.patch_embedding, None::<&Tensor>, [self.patch; 2], [0, 0], [1, 1], 1)?;
        let grid = patches.f_narrow(1, 0, 1)?;
        let patches = patches.f_flatten(2, 3)?.f_transpose(1, 2)?.f_add(&self.positions.forward(&grid)?)?;
        let cls = self.class_embedding.f_add(&self.class_position)?;
        let cls = patches.f_narrow(1, 0, 1)?.f_zeros_like()?.f_add(&cls)?;
        let mut x = self.ln_pre.forward(&Tensor::f_cat(&[cls, patches], 1)?)?;
        let (plain, last) = self.blocks.split_at(self.blocks.len() - self.attention_blocks);
        let mut shared: Option<Tensor> = None;
        for (layer, block) in plain.iter().enumerate() {
            if matches!(self.attention, Attention::ConInfer { .. }) && SHARED_BLOCKS.contains(&(layer + 1)) {
                let found = block.similarities(&x)?;
                shared = Some(match shared {
                    Some(shared) => shared.f_add(&found)?,
                    None => found,
                });
            }
            x = block.forward(&x, false)?;
        }
        let x = self.forward_last(last, x, &grid, shared)?;
        let x = self.ln_post.forward(&x)?.f_matmul(&self.projection)?;
        Ok(ImageFeatures { cls: x.f_select(1, 0)?, patches: x.f_slice(1, 1, None, 1)?, grid })
    }

    /// The sum of the attention of the last blocks, each of which gets what the block before it gives as it was trained.
    fn forward_last(
        &self,
        last: &[Block],
        mut x: Tensor,
        grid: &Tensor,
        shared: Option<Tensor>,
    ) -> Result<Tensor, TchError> {
        let weights = match self.attention {
            Attention::NaClip | Attention::NOnly | Attention::Gav => Some(nearness(grid, x.kind())?),
            _ => shared,
        };
        // GEM's sum begins with its first input, and without residual it is the last block's.
        let gem = self.attention == Attention::Gem;
        let mut sum = (gem && self.keep_residual).then(|| x.shallow_clone());
        for (index, block) in last.iter().enumerate() {
            let y = block.forward_last(&x, self.attention, weights.as_ref(), self.keep_residual)?;
            sum = Some(match sum {
                Some(sum) if !gem || self.keep_residual => sum.f_add(&y)?,
                _ => y,
            });
            if index + 1 < last.len() {
                x = block.forward(&x, false)?;
            }
        }
        Ok(sum.unwrap_or(x))
    }
}

/// (token, token): exp(−d²/2) with d the distance between patches in patches; 0 for [CLS].
fn nearness(grid: &Tensor, kind: Kind) -> Result<Tensor, TchError> {
    let axis = |dim: i64| positions(grid, dim)?.f_to_kind(Kind::Float);
    let (rows, cols) = (axis(2)?.f_unsqueeze(1)?, axis(3)?.f_unsqueeze(0)?);
    let place = |along: &Tensor, other: &Tensor| along.f_add(&other.f_zeros_like()?)?.f_flatten(0, 1);
    let squares = |places: Tensor| places.f_unsqueeze(1)?.f_sub(&places.f_unsqueeze(0)?)?.f_square();
    let distance = squares(place(&rows, &cols)?)?.f_add(&squares(place(&cols, &rows)?)?)?;
    // Patches first, then [CLS] before them, by rows and by columns.
    let near = distance.f_mul_scalar(-0.5)?.f_exp()?;
    let near = Tensor::f_cat(&[near.f_narrow(0, 0, 1)?.f_zeros_like()?, near], 0)?;
    Tensor::f_cat(&[near.f_narrow(1, 0, 1)?.f_zeros_like()?, near], 1)?.f_to_kind(kind)
}

/// The learned positions of a square grid of patches, resampled where an image has another grid.
#[derive(Debug)]
struct PositionGrid {
    /// (row, column, width)
    learned: Tensor,
    /// 0, 1, … along the learned grid's side, as float32.
    cells: Tensor,
    side: i64,
    /// Resampled to the exact size and with anti-aliasing, as GEM does it.
    smooth: bool,
}

impl PositionGrid {
    fn new(positions: &Tensor, smooth: bool) -> Result<Self, TchError> {
        let (count, width) = positions.size2()?;
        let side = (count as f64).sqrt().round() as i64;
        Ok(Self {
            learned: positions.f_reshape([side, side, width])?,
            cells: Tensor::f_arange(side, (Kind::Float, positions.device()))?,
            side,
            smooth,
        })
    }

    fn shallow_clone(&self) -> Self {
        Self { learned: self.learned.shallow_clone(), cells: self.cells.shallow_clone(), ..*self }
    }

    /// (patch, width) for the grid that `grid` (batch, 1, row, column) has.
    ///
    /// On the learned grid the positions stay as they are; on any other both axes are resampled bicubically with the scale
    /// factor (n + 0.1) / side, as DINO does it and SegEarth-OV after it. The resampling is a matrix that is made from the
    /// grid's own shape, so that one trace serves all sizes.
    fn forward(&self, grid: &Tensor) -> Result<Tensor, TchError> {
        let (rows, cols) = (positions(grid, 2)?, positions(grid, 3)?);
        let learned_size = count(&rows)?.f_eq(self.side)?.f_logical_and(&count(&cols)?.f_eq(self.side)?)?;
        let kind = self.learned.kind();
        let rows = self.matrix(&rows, &learned_size)?.f_to_kind(kind)?;
        let cols = self.matrix(&cols, &learned_size)?.f_to_kind(kind)?;
        let along_cols = cols.f_matmul(&self.learned)?; // (learned row, column, width)
        rows.f_matmul(&along_cols.f_transpose(0, 1)?)?.f_transpose(0, 1)?.f_flatten(0, 1)
    }

    /// (new cell, learned cell): the identity where `learned_size`, else PyTorch's bicubic (a = -0.75, edges repeated).
    fn matrix(&self, cells: &Tensor, learned_size: &Tensor) -> Result<Tensor, TchError> {
        let new_count = count(cells)?.f_to_kind(Kind::Float)?;
        let cells = cells.f_to_kind(Kind::Float)?;
        let identity = cells.f_unsqueeze(1)?.f_eq_tensor(&self.cells)?.f_to_kind(Kind::Float)?;
        if self.smooth {
            return identity.f_where_self(learned_size, &self.smooth_matrix(&cells, &new_count)?);
        }
        let step = new_count.f_add_scalar(0.1)?.f_reciprocal()?.f_mul_scalar(self.side as f64)?;
        let source = cells.f_add_scalar(0.5)?.f_multiply(&step)?.f_sub_scalar(0.5)?;
        let first = source.f_floor()?;
        let fraction = source.f_sub(&first)?;
        let mut resampled = identity.f_zeros_like()?;
        for tap in -1..=2 {
            let cell = first.f_add_scalar(tap as f64)?.f_clamp(0.0, (self.side - 1) as f64)?;
            let share = cubic(&fraction.f_sub_scalar(tap as f64)?.f_abs()?, tap == 0 || tap == 1, PLAIN)?;
            let hit = cell.f_unsqueeze(1)?.f_eq_tensor(&self.cells)?.f_to_kind(Kind::Float)?;
            resampled = resampled.f_add(&hit.f_multiply(&share.f_unsqueeze(1)?)?)?;
        }
        identity.f_where_self(learned_size, &resampled)
    }
}

impl PositionGrid {
    /// (new cell, learned cell): PyTorch's bicubic with anti-aliasing (a = -0.5, weights beyond the edges left out).
    fn smooth_matrix(&self, cells: &Tensor, new_count: &Tensor) -> Result<Tensor, TchError> {
        let step = new_count.f_reciprocal()?.f_mul_scalar(self.side as f64)?;
        let centre = cells.f_add_scalar(0.5)?.f_multiply(&step)?.f_unsqueeze(1)?;
        let widening = step.f_clamp_min(1.0)?;
        let distance = self.cells.f_add_scalar(0.5)?.f_unsqueeze(0)?.f_sub(&centre)?.f_abs()?.f_divide(&widening)?;
        let [near, far] = [cubic(&distance, true, SMOOTH)?, cubic(&distance, false, SMOOTH)?];
        let near = near.f_where_self(&distance.f_lt(1.0)?, &far);
        let weights = near?.f_multiply(&distance.f_lt(2.0)?.f_to_kind(Kind::Float)?)?;
        weights.f_divide(&weights.f_sum_dim_intlist([1i64].as_slice(), true, Kind::Float)?)
    }
}

/// The parameter of cubic convolution: PyTorch's, and with anti-aliasing.
const PLAIN: f64 = -0.75;
const SMOOTH: f64 = -0.5;

/// Keys' cubic convolution kernel with parameter `a`, at `distance` 0..1 (`near`) or 1..2.
fn cubic(distance: &Tensor, near: bool, a: f64) -> Result<Tensor, TchError> {
    let horner = |coefficients: [f64; 4]| {
        let mut value = distance.f_mul_scalar(coefficients[0])?.f_add_scalar(coefficients[1])?;
        for coefficient in &coefficients[2..] {
            value = value.f_multiply(distance)?.f_add_scalar(*coefficient)?;
        }
        Ok(value)
    };
    if near { horner([a + 2.0, -(a + 3.0), 0.0, 1.0]) } else { horner([a, -5.0 * a, 8.0 * a, -4.0 * a]) }
}

#[derive(Debug)]
pub struct TextTower {
    token_embedding: Tensor,
    positional_embedding: Tensor,
    blocks: Vec<Block>,
    ln_final: LayerNorm,
    projection: Tensor,
}

impl TextTower {
    pub fn load(tensors: &Tensors, options: TowerOptions) -> Result<Self> {
        let blocks = (0..options.layers)
            .map(|layer| Block::load(tensors, &format!("transformer.resblocks.{layer}."), options))
            .collect::<Result<_>>()?;
        Ok(Self {
            token_embedding: weight(tensors, "token_embedding.weight")?,
            positional_embedding: weight(tensors, "positional_embedding")?,
            blocks,
            ln_final: LayerNorm::load(tensors, "ln_final.")?,
            projection: weight(tensors, "text_projection")?,
        })
    }

    /// `token_ids`: int64 (batch, token), padded with 0 after the end token; any length up to the context. The feature is
    /// taken at the largest id, which is the end token's. Returns (batch, D), not normalised.
    pub fn forward(&self, token_ids: &Tensor) -> Result<Tensor, TchError> {
        let columns = positions(token_ids, 1)?;
        let embedded = Tensor::f_embedding(&self.token_embedding, token_ids, -1, false, false)?;
        let mut x = embedded.f_add(&self.positional_embedding.f_index_select(0, &columns)?)?;
        for block in &self.blocks {
            x = block.forward(&x, true)?;
        }
        let end = token_ids.f_argmax(-1, true)?.f_unsqueeze(-1)?;
        let width = self.projection.size2()?.0;
        let at_end = x.f_gather(1, &end.f_expand([-1, -1, width], false)?, false)?.f_select(1, 0)?;
        self.ln_final.forward(&at_end)?.f_matmul(&self.projection)
    }
}
