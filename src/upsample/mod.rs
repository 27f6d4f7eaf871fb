//! SimFeatUp on the CPU: from a window's patch features to logits, in kernels of our own.
//!
//! ```text
//!  image ──► guidance ──► keys ──► weights of all neighbours, folded onto source cells   (kernels, for each doubling)
//!                                          │
//!  tokens ──► channels (basis) ──► sums ─► … ─► sums ──► length and products of each pixel ──► logits
//! ```
//!
//! It computes what the network's trace computes, and differs from it by rounding only:
//! - scalar products with the queries are upsampled as channels of their own, the length of a feature needs min(N + 1, D)
//!   channels (see `basis`);
//! - the bicubic doubling and the padding are folded into the neighbours' weights, which leaves 81 of 121 (see `axis`);
//! - the features of full resolution are never stored;
//! - weights come from the image alone: where a window overlaps windows that were seen before, they are taken from there
//!   (see `seen`).

#![expect(
    clippy::indexing_slicing,
    reason = "kernels over arrays whose lengths `logits` checks and the plan decides; bounds are checked all the same"
)]

mod axis;
mod basis;
mod bilinear;
mod kernels;
mod lanes;
mod make;
mod plan;
mod seen;
pub mod tables;
#[cfg(test)]
pub(crate) mod tests;
mod weights;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Context, Error, Result};
use basis::{MakeSources, Sources};
use kernels::{Gather, Lengths, Pair};
use lanes::Level;
use make::make;
use plan::Grid;
use seen::{Memory, Places, Seen};
use weights::Weights;

/// Floor of a feature's squared length: a feature of zeros is similar to nothing, not NaN.
const LENGTH_FLOOR: f32 = 1e-24;

/// A batch of windows of one size.
#[derive(Clone, Copy, Debug)]
pub struct Windows<'a> {
    pub count: usize,
    pub height: usize,
    pub width: usize,
    /// Normalised, (window, 3, row, column).
    pub pixels: &'a [f32],
    /// (window, 1 + patch, D): [CLS], then the patches row by row, multiplied by I + 0.1 Wᵀ with the last fixup's W.
    pub tokens: &'a [f32],
}

/// What pixels are compared with.
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a> {
    /// Of unit length, (query, D).
    pub queries: &'a [f32],
    /// The share of the [CLS] feature's similarity that is added (-0.3 in the paper).
    pub lambda: f32,
}

/// A learned upsampler, and the windows that it saw last.
pub struct Upsampler {
    weights: Weights,
    patch: usize,
    level: Level,
    threads: ThreadPool,
    /// Rows and columns of patches, and what follows from them.
    plan: Option<([usize; 2], Vec<Grid>)>,
    memory: Memory,
    buffers: Buffers,
    shortcuts: Shortcuts,
}

/// Ways to be faster that approximate. The default takes none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shortcuts {
    /// Takes the lengths of features from so many channels at the most: those that hold most of them. Fewer than the window
    /// has patches (and one) approximate.
    pub channels: Option<usize>,
    /// Makes logits before the last doubling, and doubles these bilinearly.
    pub half_resolution: bool,
}

/// Memory that windows hand on to each other: clearing it anew would cost more than some of the sums.
#[derive(Debug, Default)]
struct Buffers(Mutex<Vec<Vec<f32>>>);

impl Buffers {
    /// So many numbers, of whatever values.
    fn take(&self, length: usize) -> Vec<f32> {
        let spare = self.0.lock().ok().and_then(|mut spare| {
            let fitting = spare.iter().position(|buffer| buffer.capacity() >= length)?;
            Some(spare.swap_remove(fitting))
        });
        let mut buffer = spare.unwrap_or_default();
        buffer.resize(length, 0.0);
        buffer
    }

    fn give(&self, buffer: Vec<f32>) {
        if let Ok(mut spare) = self.0.lock()
            && buffer.capacity() > 0
        {
            spare.push(buffer);
        }
    }
}

impl Upsampler {
    /// Reads the weights that an import wrote. `patch`: side of a patch in pixels, a power of two; `depth`: width of the
    /// features (D); `threads` compute.
    ///
    /// # Errors
    /// The file is not there or no upsampler's, or does not fit the model.
    pub fn load(path: &Path, patch: usize, depth: usize, threads: usize, shortcuts: Shortcuts) -> Result<Self> {
        let place = || format!("cannot use the upsampler in {}", path.display());
        let weights = Weights::read(path).input(place)?;
        weights.is_as_wide_as(depth).input(place)?;
        Self::new(weights, patch, threads, Level::best(), shortcuts).input(place)
    }

    /// `tensors`: float32 under the canonical names of a checkpoint, row-major.
    ///
    /// # Errors
    /// A tensor is missing or of another shape, or they do not fit the patch.
    pub fn from_tensors(tensors: &BTreeMap<String, Vec<f32>>, patch: usize, threads: usize) -> Result<Self> {
        Self::new(Weights::new(tensors)?, patch, threads, Level::best(), Shortcuts::default())
    }

    fn new(weights: Weights, patch: usize, threads: usize, level: Level, shortcuts: Shortcuts) -> Result<Self> {
        weights.fits(patch)?;
        if shortcuts.half_resolution && patch < 4 {
            return Err(Error::input(format!(
                "patches of {patch} pixels are doubled once only, and not at half resolution"
            )));
        }
        let threads = ThreadPoolBuilder::new().num_threads(threads.max(1)).thread_name(|_| "upsample".into());
        let threads = threads.build().internal(|| "the upsampler's threads cannot be started".into())?;
        Ok(Self {
            weights,
            patch,
            level,
            threads,
            plan: None,
            memory: Memory::default(),
            buffers: Buffers::default(),
            shortcuts,
        })
    }

    /// Logits (window, query, row, column) of a batch.
    ///
    /// # Errors
    /// The arrays are not as long as the sizes say, or a side is no multiple of the patch.
    pub fn logits(&mut self, windows: &Windows<'_>, targets: &Targets<'_>) -> Result<Vec<f32>> {
        let depth = self.weights.offset.len();
        let size = [windows.height / self.patch, windows.width / self.patch];
        let pixels = windows.height * windows.width;
        let tokens = (size[0] * size[1] + 1) * depth;
        let whole = [windows.height, windows.width].iter().all(|side| side.is_multiple_of(self.patch) && *side > 0);
        let fits = windows.pixels.len() == windows.count * 3 * pixels && windows.tokens.len() == windows.count * tokens;
        if !whole || !fits || targets.queries.is_empty() || !targets.queries.len().is_multiple_of(depth) {
            return Err(Error::internal(format!(
                "{} windows of {} × {} pixels do not go with {} pixels, {} features and {} numbers of queries",
                windows.count,
                windows.width,
                windows.height,
                windows.pixels.len(),
                windows.tokens.len(),
                targets.queries.len()
            )));
        }
        let grids = match self.plan.take() {
            Some((planned, grids)) if planned == size => grids,
            _ => self.grids(size),
        };
        for image in windows.pixels.chunks_exact(3 * pixels) {
            self.memory.add(&grids, [windows.height, windows.width], image);
        }
        let (weights, level, buffers) = (&self.weights, self.level, &self.buffers);
        let seen = self.memory.last_mut(windows.count);
        self.threads.install(|| seen.par_iter_mut().for_each(|seen| make(weights, &grids, level, buffers, seen)));
        let most = self.shortcuts.channels.unwrap_or(usize::MAX);
        let logits = self.threads.install(|| {
            let sources: Vec<Sources> = windows
                .tokens
                .par_chunks_exact(tokens)
                .map(|tokens| {
                    let (offset, queries) = (&self.weights.offset[..], targets.queries);
                    self.level.run(MakeSources { tokens, offset, queries, most })
                })
                .collect();
            let queries = targets.queries.len() / depth;
            let mut logits = vec![0f32; windows.count * queries * pixels];
            let seen = self.memory.last(windows.count);
            let windows = logits.par_chunks_exact_mut(queries * pixels).zip(&sources).zip(seen);
            windows.for_each(|((logits, sources), seen)| self.upsample(&grids, sources, seen, targets.lambda, logits));
            logits
        });
        self.memory.tidy();
        self.plan = Some((size, grids));
        Ok(logits)
    }

    fn grids(&self, size: [usize; 2]) -> Vec<Grid> {
        let steps = self.patch.ilog2() as usize;
        (0..steps - usize::from(self.shortcuts.half_resolution))
            .map(|index| {
                let cells = size.map(|side| side << index);
                Grid::new(cells, self.weights.step(index), self.patch >> (index + 1), self.level.width())
            })
            .collect()
    }

    /// Upsamples one window's channels and makes its logits of them.
    fn upsample(&self, grids: &[Grid], sources: &Sources, seen: &Seen, lambda: f32, logits: &mut [f32]) {
        let channels = sources.channels;
        let mut features = Vec::new();
        let Some((last, steps)) = grids.split_last() else { return };
        for (index, grid) in steps.iter().enumerate() {
            let source = if index == 0 { &sources.features } else { &features };
            let (of_row, places) = (grid.size()[1] * channels, self.memory.places(grid, seen, index));
            let mut doubled = self.buffers.take(grid.size()[0] * of_row);
            doubled.par_chunks_exact_mut(2 * of_row).enumerate().for_each(|(row, out)| {
                let (mut upper, mut lower) = out.split_at_mut(of_row);
                for panel in 0..grid.panels {
                    let pairs = pairs(grid, &places, row, panel);
                    let (now, later) = upper.split_at_mut(2 * pairs.len() * channels);
                    upper = later;
                    let (now_lower, later) = lower.split_at_mut(2 * pairs.len() * channels);
                    lower = later;
                    self.gather(grid, source, row, channels, &pairs, &[], [now, now_lower]);
                }
            });
            self.buffers.give(std::mem::replace(&mut features, doubled));
        }
        let source = if steps.is_empty() { &sources.features } else { &features };
        let [height, width] = last.size();
        let places = self.memory.places(last, seen, steps.len());
        let of_cls: Vec<f32> = sources.of_cls.iter().map(|similarity| lambda * similarity).collect();
        let queries = of_cls.len();
        // (pair of rows, query, 2, column)
        let mut by_rows = self.buffers.take(queries * height * width);
        by_rows.par_chunks_exact_mut(2 * queries * width).enumerate().for_each_init(
            || (vec![0f32; 2 * last.width * channels], vec![0f32; 2 * last.width]),
            |(pixels, lengths), (row, out)| {
                for panel in 0..last.panels {
                    let pairs = pairs(last, &places, row, panel);
                    let (upper, lower) = pixels.split_at_mut(last.width * channels);
                    self.gather(last, source, row, channels, &pairs, &sources.offset, [upper, lower]);
                    self.level.run(Lengths { pixels, channels, mask: &sources.mask, out: lengths });
                    for (index, (pixel, length)) in pixels.chunks_exact(channels).zip(&*lengths).enumerate() {
                        let (side, column) = (index / last.width, panel * last.width + index % last.width);
                        if column >= width {
                            continue;
                        }
                        let scale = 1.0 / length.max(LENGTH_FLOOR).sqrt();
                        let products = &pixel[sources.products..];
                        let planes = out.chunks_exact_mut(2 * width);
                        for ((plane, product), of_cls) in planes.zip(products).zip(&of_cls) {
                            plane[side * width + column] = product * scale + of_cls;
                        }
                    }
                }
            },
        );
        let pixels = logits.len() / queries.max(1);
        logits.par_chunks_exact_mut(pixels.max(1)).enumerate().for_each(|(query, plane)| {
            let rows = |row: usize| &by_rows[((row / 2 * queries + query) * 2 + row % 2) * width..][..width];
            if self.shortcuts.half_resolution {
                return bilinear::double(rows, [height, width], plane);
            }
            for (row, to) in plane.chunks_exact_mut(width).enumerate() {
                to.copy_from_slice(rows(row));
            }
        });
        self.buffers.give(by_rows);
        self.buffers.give(features);
    }

    #[allow(clippy::too_many_arguments)]
    fn gather(
        &self,
        grid: &Grid,
        source: &[f32],
        row: usize,
        channels: usize,
        pairs: &[Pair<'_>],
        offset: &[f32],
        out: [&mut [f32]; 2],
    ) {
        self.level.run(Gather {
            source,
            columns: grid.columns.cells,
            channels,
            first_row: grid.rows.first(row),
            reach: [grid.rows.reach, grid.columns.reach],
            pairs,
            offset,
            out,
        });
    }
}

/// Whether patches of so many pixels can be upsampled here.
pub fn serves(patch: usize) -> bool {
    patch > 1 && patch.is_power_of_two()
}

/// Where the weights of a panel's pixels are.
fn pairs<'a>(grid: &Grid, places: &Places<'a>, row: usize, panel: usize) -> Vec<Pair<'a>> {
    let pair = |pair| Pair { first_column: grid.columns.first(pair), weights: places.weights(row, pair) };
    grid.pairs(panel).map(pair).collect()
}
