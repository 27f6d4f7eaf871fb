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
//! - weights come from the image alone: where a window's left part is the right part of the window before it, they are those
//!   of that window, but for a border where a window's own edges are felt.

mod axis;
mod basis;
mod kernels;
mod lanes;
mod plan;
#[cfg(test)]
mod tests;
mod weights;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Context, Error, Result};
use basis::{MakeSources, Sources};
use kernels::{Gather, Lengths, Pair, PanelWeights, Project, Scratch};
use lanes::Level;
use plan::Grid;
use weights::{Step, Weights};

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

/// A learned upsampler with the weights of the window that it saw last.
pub struct Upsampler {
    weights: Weights,
    patch: usize,
    level: Level,
    threads: ThreadPool,
    /// Rows and columns of patches, and what follows from them.
    plan: Option<([usize; 2], Vec<Grid>)>,
    last: Option<Neighbour>,
    /// Neighbour weights that nobody needs any more, for their memory.
    spare: Vec<NeighbourWeights>,
    buffers: Buffers,
    /// Whether windows look for what the window before them has made.
    share: bool,
}

/// The window that was seen last.
struct Neighbour {
    size: [usize; 2],
    pixels: Vec<f32>,
    weights: NeighbourWeights,
}

/// One window's weights, for each doubling.
#[derive(Debug, Default)]
struct NeighbourWeights {
    /// (pair of rows, panel, source row in reach, source column in reach, 2, pixel)
    numbers: Vec<Vec<f32>>,
    /// Which panels are there; the others are the neighbour's to the left.
    made: Vec<Vec<bool>>,
    /// In doubled cells: how far to the left that neighbour lies.
    shifts: Vec<Option<usize>>,
    /// The projected guidance that they were made from: here for its memory.
    keys: Vec<Vec<f32>>,
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
    pub fn load(path: &Path, patch: usize, depth: usize, threads: usize) -> Result<Self> {
        let place = || format!("cannot use the upsampler in {}", path.display());
        let weights = Weights::read(path).input(place)?;
        if weights.offset.len() != depth {
            let found = weights.offset.len();
            return Err(Error::input(format!("it is for features of width {found}, not {depth}"))).input(place);
        }
        Self::new(weights, patch, threads, Level::best()).input(place)
    }

    /// `tensors`: float32 under the canonical names of a checkpoint, row-major.
    ///
    /// # Errors
    /// A tensor is missing or of another shape, or they do not fit the patch.
    pub fn from_tensors(tensors: &BTreeMap<String, Vec<f32>>, patch: usize, threads: usize) -> Result<Self> {
        Self::new(Weights::new(tensors)?, patch, threads, Level::best())
    }

    fn new(weights: Weights, patch: usize, threads: usize, level: Level) -> Result<Self> {
        if !serves(patch) {
            return Err(Error::input(format!("patches of {patch} pixels are no power of two")));
        }
        let (own, needed) = (weights.steps.len(), patch.ilog2() as usize);
        if own != 1 && own != needed {
            return Err(Error::input(format!("an upsampler of {own} steps cannot serve patches of {patch} pixels")));
        }
        let threads = ThreadPoolBuilder::new().num_threads(threads.max(1)).thread_name(|_| "upsample".into());
        let threads = threads.build().internal(|| "the upsampler's threads cannot be started".into())?;
        Ok(Self { weights, patch, level, threads, plan: None, last: None, spare: Vec::new(), buffers: Buffers::default(), share: true })
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
        let images: Vec<&[f32]> = windows.pixels.chunks_exact(3 * pixels).collect();
        // The window before the batch stands in front of it.
        let mut made = Vec::with_capacity(windows.count + 1);
        let before = self.last.take().filter(|last| last.size == [windows.height, windows.width] && self.share);
        let (mut before_pixels, before) = before.map_or((Vec::new(), None), |last| (last.pixels, Some(last.weights)));
        made.push(before.unwrap_or_default());
        for (index, image) in images.iter().enumerate() {
            let left = if index == 0 { &before_pixels[..] } else { images[index - 1] };
            let shift = if self.share { shift(left, image, windows.width) } else { None };
            let next = self.prepare(&grids, shift, &made[index]);
            made.push(next);
        }
        let logits = self.threads.install(|| {
            let sources: Vec<Sources> = windows
                .tokens
                .par_chunks_exact(tokens)
                .map(|tokens| {
                    let (offset, queries) = (&self.weights.offset[..], targets.queries);
                    self.level.run(MakeSources { tokens, offset, queries })
                })
                .collect();
            made[1..].par_iter_mut().zip(&images).for_each(|(made, image)| self.make_weights(&grids, image, made));
            let queries = targets.queries.len() / depth;
            let mut logits = vec![0f32; windows.count * queries * pixels];
            let windows = logits.par_chunks_exact_mut(queries * pixels).zip(&sources).zip(made.par_windows(2));
            windows.for_each(|((logits, sources), made)| self.upsample(&grids, sources, made, targets.lambda, logits));
            logits
        });
        if let (Some(weights), Some(image)) = (made.pop(), images.last()) {
            before_pixels.clear();
            before_pixels.extend_from_slice(image);
            self.last = Some(Neighbour { size: [windows.height, windows.width], pixels: before_pixels, weights });
        }
        self.spare.extend(made);
        self.plan = Some((size, grids));
        Ok(logits)
    }

    fn step(&self, index: usize) -> &Step {
        &self.weights.steps[index.min(self.weights.steps.len() - 1)]
    }

    fn grids(&self, size: [usize; 2]) -> Vec<Grid> {
        let steps = self.patch.ilog2() as usize;
        (0..steps)
            .map(|index| {
                let cells = size.map(|side| side << index);
                Grid::new(cells, self.step(index), self.patch >> (index + 1), self.level.width())
            })
            .collect()
    }

    /// Memory for one window's weights, and what of them has to be made.
    fn prepare(&mut self, grids: &[Grid], shift: Option<usize>, left: &NeighbourWeights) -> NeighbourWeights {
        let mut weights = self.spare.pop().unwrap_or_default();
        for buffers in [&mut weights.numbers, &mut weights.keys] {
            buffers.resize_with(grids.len(), Vec::new);
        }
        weights.shifts = grids.iter().map(|grid| shift.and_then(|pixels| grid.shift(pixels))).collect();
        weights.made = grids
            .iter()
            .enumerate()
            .map(|(index, grid)| grid.fresh(weights.shifts[index], left.made.get(index).map_or(&[], |made| made)))
            .collect();
        for (numbers, grid) in weights.numbers.iter_mut().zip(grids) {
            numbers.resize(grid.length(), 0.0);
        }
        weights
    }

    /// Makes the weights of one window that are to be made.
    fn make_weights(&self, grids: &[Grid], image: &[f32], weights: &mut NeighbourWeights) {
        let NeighbourWeights { numbers, made, keys, .. } = weights;
        let steps = numbers.par_iter_mut().zip(keys).zip(&*made).zip(grids).enumerate();
        steps.for_each(|(index, (((numbers, keys), made), grid))| {
            let step = self.step(index);
            let guidance = grid.guidance(image);
            self.project(step, grid, &guidance, made, keys);
            let of_row = grid.panels * grid.panel_length();
            numbers.par_chunks_exact_mut(of_row).enumerate().for_each_init(
                || Scratch::new(step.radius, grid.width),
                |scratch, (row, out)| self.weights_of_row(step, grid, &guidance, keys, made, row, scratch, out),
            );
        });
    }

    /// The projected guidance, (row, key, column), around the panels that are to be made.
    fn project(&self, step: &Step, grid: &Grid, guidance: &[f32], made: &[bool], keys: &mut Vec<f32>) {
        let (columns, width) = (grid.key_columns(), grid.width);
        let of_row = step.keys * columns;
        keys.resize(grid.size()[0] * of_row, 0.0);
        let near = grid.margin / width;
        let needed = |panel: usize| made[panel.saturating_sub(near)..(panel + near + 1).min(made.len())].contains(&true);
        let needed: Vec<usize> = (0..grid.panels).filter(|&panel| needed(panel)).collect();
        let length = grid.panels * width;
        // Two panels at a time: the kernel's two vectors.
        keys.par_chunks_exact_mut(of_row).zip(guidance.par_chunks_exact(3 * length)).for_each_init(
            || (vec![0f32; 6 * width], vec![0f32; step.keys * 2 * width], vec![0f32; step.keys * 2 * width]),
            |(seen, hidden, projected), (keys, guidance)| {
                for panels in needed.chunks(2) {
                    let pair = [panels[0], *panels.last().unwrap_or(&panels[0])];
                    for (channel, seen) in guidance.chunks_exact(length).zip(seen.chunks_exact_mut(2 * width)) {
                        for (panel, seen) in pair.iter().zip(seen.chunks_exact_mut(width)) {
                            seen.copy_from_slice(&channel[panel * width..][..width]);
                        }
                    }
                    self.level.run(Project { step, guidance: seen, hidden, keys: projected });
                    for (keys, projected) in keys.chunks_exact_mut(columns).zip(projected.chunks_exact(2 * width)) {
                        for (panel, projected) in pair.iter().zip(projected.chunks_exact(width)) {
                            keys[grid.margin + panel * width..][..width].copy_from_slice(projected);
                        }
                    }
                }
                grid.reflect_margins(keys);
            },
        );
    }

    #[allow(clippy::too_many_arguments)]
    fn weights_of_row(
        &self,
        step: &Step,
        grid: &Grid,
        guidance: &[f32],
        keys: &[f32],
        made: &[bool],
        row: usize,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) {
        let (columns, width, height) = (grid.key_columns(), grid.width, grid.size()[0]);
        let of_row = step.keys * columns;
        let length = grid.panels * width;
        let first = 2 * row as isize - step.radius as isize;
        let rows: Vec<&[f32]> = (first..first + 2 * step.radius as isize + 2)
            .map(|row| &keys[axis::reflect(row, height) * of_row..][..of_row])
            .collect();
        let mut seen = vec![0f32; 6 * width];
        for (panel, out) in out.chunks_exact_mut(grid.panel_length()).enumerate().filter(|(panel, _)| made[*panel]) {
            for (index, seen) in seen.chunks_exact_mut(width).enumerate() {
                let (channel, side) = (index / 2, index % 2);
                seen.copy_from_slice(&guidance[((2 * row + side) * 3 + channel) * length + panel * width..][..width]);
            }
            self.level.run(PanelWeights {
                step,
                rows: &rows,
                columns,
                first: grid.margin + panel * width,
                guidance: &seen,
                down: [grid.rows.shares(2 * row), grid.rows.shares(2 * row + 1)],
                down_reach: grid.rows.reach,
                across: &grid.folds[panel],
                scratch,
                out,
            });
        }
    }

    /// Upsamples one window's channels and makes its logits of them. `weights`: those of the window before, and its own.
    fn upsample(
        &self,
        grids: &[Grid],
        sources: &Sources,
        weights: &[NeighbourWeights],
        lambda: f32,
        logits: &mut [f32],
    ) {
        let channels = sources.channels;
        let mut features = Vec::new();
        let Some((last, steps)) = grids.split_last() else { return };
        for (index, grid) in steps.iter().enumerate() {
            let source = if index == 0 { &sources.features } else { &features };
            let of_row = grid.size()[1] * channels;
            let mut doubled = self.buffers.take(grid.size()[0] * of_row);
            doubled.par_chunks_exact_mut(2 * of_row).enumerate().for_each(|(row, out)| {
                let (mut upper, mut lower) = out.split_at_mut(of_row);
                for panel in 0..grid.panels {
                    let pairs = pairs(grid, index, weights, row, panel);
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
        let of_cls: Vec<f32> = sources.of_cls.iter().map(|similarity| lambda * similarity).collect();
        let queries = of_cls.len();
        // (pair of rows, query, 2, column)
        let mut by_rows = self.buffers.take(logits.len());
        by_rows.par_chunks_exact_mut(2 * queries * width).enumerate().for_each_init(
            || (vec![0f32; 2 * last.width * channels], vec![0f32; 2 * last.width]),
            |(pixels, lengths), (row, out)| {
                for panel in 0..last.panels {
                    let pairs = pairs(last, steps.len(), weights, row, panel);
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
        logits.par_chunks_exact_mut(height * width).enumerate().for_each(|(query, plane)| {
            for (pair, to) in plane.chunks_exact_mut(2 * width).enumerate() {
                to.copy_from_slice(&by_rows[(pair * queries + query) * 2 * width..][..2 * width]);
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

/// Where the weights of a panel's pixels are: with the window itself, or with the one before.
fn pairs<'a>(grid: &Grid, step: usize, weights: &'a [NeighbourWeights], row: usize, panel: usize) -> Vec<Pair<'a>> {
    let first = panel * grid.width / 2;
    let own = weights[1].made[step][panel];
    (first..(first + grid.width / 2).min(grid.columns.cells))
        .map(|pair| {
            let (weights, column) = match weights[1].shifts[step] {
                Some(shift) if !own => (&weights[0], 2 * pair + shift),
                _ => (&weights[1], 2 * pair),
            };
            let of_panel = &weights.numbers[step][(row * grid.panels + column / grid.width) * grid.panel_length()..];
            Pair {
                first_column: grid.columns.first(pair),
                weights: &of_panel[..grid.panel_length()][column % grid.width..],
            }
        })
        .collect()
}

/// By how many pixels a window lies to the right of the one before, judging by what both show where they overlap.
fn shift(before: &[f32], image: &[f32], width: usize) -> Option<usize> {
    if before.len() != image.len() {
        return None;
    }
    let alike = |shift: usize| {
        let mut rows = before.chunks_exact(width).zip(image.chunks_exact(width));
        rows.all(|(before, now)| before[shift..] == now[..width - shift])
    };
    (2..width).step_by(2).find(|&shift| alike(shift))
}
