//! The engine for models that compute in bfloat16 themselves: products of tiles, summed in float32 (Linux, x86-64 with AMX).
//!
//! Two things are products of matrices here, and nearly all there is to compute: the corrections of neighbours' weights (see
//! `weights`), and the sums over source cells (see `gather`). Neighbouring pixels have neighbouring source cells: sixteen
//! pixels of a row have sixteen columns of them between them at a radius of five, so that their weights are a band in a
//! matrix that is half full, and a product of tiles is sixteen times as fast as one of vectors.

mod gather;
#[cfg(test)]
mod tests;
mod unit;
mod weights;

use super::engine::{Buffers, Channels, Kernels};
use super::kernels::Panel;
use super::plan::PixelGrid;
use super::simd::{Level, Simd};
use super::weights::{Doubling, Weights};
use gather::Gathering;
pub(super) use unit::Line;
use unit::Tiles;
use weights::{Corrections, Scratch, TileWeights};

/// Pixels of a panel's row, which are the rows of a tile.
const WIDTH: usize = super::simd::Avx512::WIDTH;

/// Larger radii reach more source columns than a tile's line has room for.
const MAX_RADIUS: usize = 5;

pub(super) struct Bfloat16 {
    tiles: Tiles,
    /// For each of the upsampler's own steps.
    corrections: Vec<Corrections>,
    buffers: Buffers<f32>,
    lines: Buffers<Line>,
}

impl Bfloat16 {
    /// None where the processor has no tiles, or neighbours lie too far for them.
    pub fn new(weights: &Weights) -> Option<Self> {
        let near = weights.steps.iter().all(|step| step.radius <= MAX_RADIUS);
        let tiles = Tiles::detect().filter(|_| near)?;
        let corrections = weights.steps.iter().map(Corrections::new).collect();
        Some(Self { tiles, corrections, buffers: Buffers::default(), lines: Buffers::default() })
    }

    fn corrections(&self, index: usize) -> &Corrections {
        &self.corrections[index.min(self.corrections.len() - 1)]
    }
}

impl Kernels for Bfloat16 {
    /// (computed panel, 2, pixel, [`Form::lines`]): see [`Form`].
    type Number = Line;
    type Scratch = Scratch;

    fn level(&self) -> Level {
        Level::Avx512(self.tiles.lanes())
    }

    fn grid(&self, cells: [usize; 2], step: &Doubling, factor: usize) -> PixelGrid {
        let mut grid = PixelGrid::new(cells, step, factor, WIDTH);
        grid.panel_length = 2 * WIDTH * Form::new(&grid).lines;
        grid
    }

    fn scratch(&self, index: usize, grid: &PixelGrid) -> Scratch {
        Scratch::new(self.corrections(index), grid)
    }

    fn weights(&self, index: usize, panel: &Panel<'_>, scratch: &mut Scratch, out: &mut [Line]) {
        self.tiles.run(TileWeights { panel, corrections: self.corrections(index), scratch, out });
    }

    fn upsample(&self, channels: &Channels<'_, Line>, of_cls: &[f32], logits: &mut [f32]) {
        Gathering { tiles: self.tiles, lines: &self.lines, channels, of_cls }.run(logits);
    }

    fn buffers(&self) -> &Buffers<f32> {
        &self.buffers
    }
}

/// How a pixel's weights of one doubling are kept: (source row in reach, source column in reach), rows filled up with zeros to
/// an even number, all of them to whole lines.
#[derive(Clone, Copy, Debug)]
struct Form {
    rows: usize,
    columns: usize,
    /// Numbers of a row.
    stride: usize,
    /// Lines of a pixel.
    lines: usize,
}

impl Form {
    fn new(grid: &PixelGrid) -> Self {
        let (rows, columns) = (grid.rows.reach, grid.columns.reach);
        let stride = columns.next_multiple_of(2);
        Self { rows, columns, stride, lines: (rows * stride).div_ceil(32) }
    }
}
