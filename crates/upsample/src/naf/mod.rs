//! NAF on the CPU: from a window's patch features to logits at full resolution, by attention over neighbouring patches.
//!
//! ```text
//!  image ──► two branches of convolutions ──► rotation by place ──┬─► keys of patches ──┐
//!                                                                 └────────────────────►│
//!  tokens ──► parts of heads, and their products with the queries ─────────────────────►└─► soft-max ─► norms and products ─► logits
//! ```
//!
//! The results are those of the network's trace but for rounding. Convolutions of 3 × 3 take a quarter of the multiplications
//! (`winograd`), norms and SiLU are applied where pixels are read, all pixels of a patch share their neighbours' matrices, and features
//! at full resolution are never computed. Norms run over the whole window, so that nothing can be kept for the
//! next one.

mod attention;
mod encoder;
mod norm;
mod product;
#[cfg(test)]
mod tests;
mod winograd;

use std::collections::BTreeMap;
use std::path::Path;

use rayon::{ThreadPool, ThreadPoolBuilder};
use segearth_error::{Context, Error, Result};

use super::limit::Limit;
use super::parameters::read_tensors;
use super::simd::Level;
use super::{TextQueries, Windows};
use attention::{HeadGroup, Shape, Values};
use encoder::{Branch, Layer, transposed};
use product::panels;

/// Channels of a branch and of a head are multiples of this, the widest vector.
const VECTOR: usize = 16;

/// NAF with the weights of a bundle.
pub struct Naf {
    branches: [Branch; 2],
    periods: Vec<f32>,
    heads: usize,
    patch: usize,
    depth: usize,
    threads: ThreadPool,
    level: Level,
    /// Channels of the image, (branch)(row, column, channel), and as many again for convolutions.
    buffers: [Vec<f32>; 3],
}

/// Returns whether encoders of so many channels with so many heads are computed here.
pub fn supports_naf(channels: usize, heads: usize) -> bool {
    let whole = |count: usize| count > 0 && count.is_multiple_of(VECTOR);
    heads > 0 && heads.is_multiple_of(2) && channels.is_multiple_of(2) && whole(channels / 2) && whole(channels / heads)
}

impl Naf {
    /// Reads the weights that an import wrote. `patch`: side of a patch in pixels; `depth`: width of the features (D).
    ///
    /// # Errors
    /// The file cannot be read, or holds no NAF for such features.
    pub fn load(path: &Path, patch: usize, depth: usize, threads: usize) -> Result<Self> {
        let context = || format!("cannot use the upsampler in {}", path.display());
        Self::from_tensors(&read_tensors(path).input(context)?, patch, depth, threads).input(context)
    }

    /// Returns NAF with the weights `tensors`: float32 under the names of its authors, row-major.
    ///
    /// # Errors
    /// A tensor is missing or has the wrong size, or the features have no parts for its heads; or
    /// [`INSTRUCTIONS_VARIABLE`](crate::INSTRUCTIONS_VARIABLE) has a value that is not allowed.
    pub fn from_tensors(
        tensors: &BTreeMap<String, Vec<f32>>,
        patch: usize,
        depth: usize,
        threads: usize,
    ) -> Result<Self> {
        let tensor = |name: &str, length: Option<usize>| -> Result<Vec<f32>> {
            let found = tensors.get(name).ok_or_else(|| Error::input(format!("the tensor {name} is missing")))?;
            match length.is_none_or(|length| length == found.len()) {
                true => Ok(found.clone()),
                false => Err(Error::input(format!("the tensor {name} has {} numbers", found.len()))),
            }
        };
        let (periods, half) = (tensor("rope.periods", None)?, tensor("encoder.0.bias", None)?.len());
        let heads = (2 * half).checked_div(4 * periods.len()).unwrap_or(0);
        if !supports_naf(2 * half, heads) || periods.len() * 4 * heads != 2 * half {
            return Err(Error::input(format!(
                "an encoder of {} channels and {heads} heads is not supported",
                2 * half
            )));
        }
        if patch == 0 || depth == 0 || !depth.is_multiple_of(heads) {
            return Err(Error::input(format!("features of width {depth} have no parts for {heads} heads")));
        }
        let branch = |name: &str, side: usize| -> Result<Branch> {
            let layer = |(block, layer): (usize, usize)| {
                let get = |what: &str, length: usize| tensor(&format!("{name}.{block}.{what}"), Some(length));
                Ok(Layer::new(
                    get(&format!("norm{layer}.weight"), half)?,
                    get(&format!("norm{layer}.bias"), half)?,
                    &get(&format!("conv{layer}.weight"), half * half * side * side)?,
                    get(&format!("conv{layer}.bias"), half)?,
                    side,
                ))
            };
            Ok(Branch {
                side,
                first: panels(
                    &transposed(&tensor(&format!("{name}.0.weight"), Some(half * 3 * side * side))?, half),
                    half,
                ),
                first_bias: tensor(&format!("{name}.0.bias"), Some(half))?,
                layers: [(1, 1), (1, 2), (2, 1), (2, 2)].into_iter().map(layer).collect::<Result<_>>()?,
            })
        };
        let branches = [branch("encoder", 1)?, branch("sem_encoder", 3)?];
        let threads = ThreadPoolBuilder::new().num_threads(threads.max(1)).thread_name(|_| "upsample".into());
        let threads = threads.build().internal(|| "cannot start the upsampler's threads".into())?;
        let (level, buffers) = (Level::up_to(Limit::from_environment()?), Default::default());
        Ok(Self { branches, periods, heads, patch, depth, threads, level, buffers })
    }

    /// Returns the logits of a batch, (window, query, row, column). Tokens are as the tower gives them.
    ///
    /// # Errors
    /// The arrays do not have the lengths that the sizes imply, or a side is not a multiple of the patch.
    pub fn logits(&mut self, windows: &Windows<'_>, queries: &TextQueries<'_>) -> Result<Vec<f32>> {
        let (depth, patch) = (self.depth, self.patch);
        let Windows { count, height, width, pixels, tokens } = *windows;
        let whole = [height, width].iter().all(|side| side.is_multiple_of(patch) && *side > 0);
        let per_window = [3 * height * width, (height / patch * (width / patch) + 1) * depth];
        let fits = pixels.len() == count * per_window[0] && tokens.len() == count * per_window[1];
        if !whole || !fits || queries.features.is_empty() || !queries.features.len().is_multiple_of(depth) {
            return Err(Error::internal(format!(
                "{count} windows of {width} × {height} pixels do not match arrays of {} pixels, {} features and {} numbers of queries",
                pixels.len(),
                tokens.len(),
                queries.features.len()
            )));
        }
        let planes = queries.features.len() / depth * height * width;
        let mut logits = vec![0f32; count * planes];
        let mut buffers = std::mem::take(&mut self.buffers);
        let half = self.branches[0].first_bias.len();
        buffers.iter_mut().for_each(|buffer| buffer.resize(height * width * half, 0.0));
        self.threads.install(|| {
            let images = pixels.chunks_exact(per_window[0]).zip(tokens.chunks_exact(per_window[1]));
            for ((image, tokens), out) in images.zip(logits.chunks_exact_mut(planes)) {
                self.window(image, tokens, [height, width], queries, &mut buffers, out);
            }
        });
        self.buffers = buffers;
        Ok(logits)
    }

    fn window(
        &self,
        image: &[f32],
        tokens: &[f32],
        size: [usize; 2],
        queries: &TextQueries<'_>,
        [fine, coarse, other]: &mut [Vec<f32>; 3],
        out: &mut [f32],
    ) {
        let (level, depth, each) = (self.level, self.depth, self.heads / 2);
        let shape = Shape { size, patch: self.patch, heads: self.heads, head: 4 * self.periods.len() };
        let mut keys = [Vec::new(), Vec::new()];
        for ((branch, channels), keys) in self.branches.iter().zip([&mut *fine, &mut *coarse]).zip(&mut keys) {
            branch.encode(level, image, size, channels, other);
            *keys = attention::rotate(level, &shape, &self.periods, channels, each);
        }
        let group = |channels, keys| HeadGroup { channels, keys, heads: each };
        let groups = [group(fine, &keys[0]), group(coarse, &keys[1])];
        let (cls, patches) = tokens.split_at(depth);
        let values = Values::new(level, &shape, patches, queries.features, depth);
        let length = cls.iter().map(|value| value * value).sum::<f32>().sqrt();
        let of_cls = queries.features.chunks_exact(depth).map(|query| {
            let product: f32 = query.iter().zip(cls).map(|(a, b)| a * b).sum();
            queries.lambda * product / length
        });
        attention::logits(level, &shape, &groups, &values, &of_cls.collect::<Vec<f32>>(), out);
    }
}
