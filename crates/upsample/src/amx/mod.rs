//! The backend for models that are computed in bfloat16: products of AMX tiles, summed in float32 (Linux, x86-64).
//!
//! Nearly all of the time goes into two matrix products: the corrections of the neighbours' weights (see `panel_weights`), and the
//! weighted sums of source cells (see `weighted_sums`). Neighbouring pixels have overlapping supports: at a radius of five, sixteen
//! pixels of a row need sixteen source columns, so that their weights form a band matrix that is half full. A product of tiles is
//! sixteen times as fast as one of vectors.

mod panel_weights;
#[cfg(test)]
mod tests;
mod tile;
mod weighted_sums;

use super::backend::{Backend, BufferPool, WindowInput};
use super::kernels::PanelInput;
use super::parameters::{DoublingParameters, Parameters};
use super::pixel_grid::PixelGrid;
use super::simd::{Level, Simd};
use panel_weights::{CorrectionLayers, Scratch, TileWeights};
use tile::AmxTiles;
pub(super) use tile::Line;
use weighted_sums::UpsampleWindow;

/// Pixels in a row of a panel, which is also the number of lines of a tile.
const WIDTH: usize = super::simd::Avx512::WIDTH;

/// Largest radius whose support fits into a line of a tile.
const MAX_RADIUS: usize = 5;

/// Returns whether the processor and the system allow AMX.
pub(super) fn is_available() -> bool {
    AmxTiles::detect().is_some()
}

/// Computes with AMX tiles of bfloat16.
pub(super) struct Bfloat16 {
    tiles: AmxTiles,
    /// For each set of parameters.
    corrections: Vec<CorrectionLayers>,
    buffers: BufferPool<f32>,
    lines: BufferPool<Line>,
}

impl Bfloat16 {
    /// Returns `None` where the processor has no AMX, or the neighbourhood is too large for it.
    pub fn new(weights: &Parameters) -> Option<Self> {
        let fits = weights.doublings.iter().all(|doubling| doubling.radius <= MAX_RADIUS);
        let tiles = AmxTiles::detect().filter(|_| fits)?;
        let corrections = weights.doublings.iter().map(CorrectionLayers::new).collect();
        Some(Self { tiles, corrections, buffers: BufferPool::default(), lines: BufferPool::default() })
    }

    fn corrections(&self, index: usize) -> &CorrectionLayers {
        &self.corrections[index.min(self.corrections.len() - 1)]
    }
}

impl Backend for Bfloat16 {
    /// (computed panel, 2, pixel, [`WeightLayout::lines`]): see [`WeightLayout`].
    type Number = Line;
    type Scratch = Scratch;

    fn level(&self) -> Level {
        Level::Avx512(self.tiles.simd())
    }

    fn grid(&self, cells: [usize; 2], doubling: &DoublingParameters, factor: usize) -> PixelGrid {
        let mut grid = PixelGrid::new(cells, doubling, factor, WIDTH);
        grid.panel_length = 2 * WIDTH * WeightLayout::new(&grid).lines;
        grid
    }

    fn scratch(&self, index: usize, grid: &PixelGrid) -> Scratch {
        Scratch::new(self.corrections(index), grid)
    }

    fn weights(&self, index: usize, panel: &PanelInput<'_>, scratch: &mut Scratch, out: &mut [Line]) {
        self.tiles.run(TileWeights { panel, corrections: self.corrections(index), scratch, out });
    }

    fn upsample(&self, channels: &WindowInput<'_, Line>, of_cls: &[f32], logits: &mut [f32]) {
        UpsampleWindow { tiles: self.tiles, lines: &self.lines, channels, of_cls }.run(logits);
    }

    fn buffers(&self) -> &BufferPool<f32> {
        &self.buffers
    }
}

/// How the weights of a pixel are stored: (source row in the support, source column in the support), rows padded with zeros to an
/// even length, the whole to full lines.
#[derive(Clone, Copy, Debug)]
struct WeightLayout {
    /// Source rows in the support.
    rows: usize,
    /// Source columns in the support.
    columns: usize,
    /// Numbers in a row.
    stride: usize,
    /// Lines of a pixel.
    lines: usize,
}

impl WeightLayout {
    fn new(grid: &PixelGrid) -> Self {
        let (rows, columns) = (grid.rows.support, grid.columns.support);
        let stride = columns.next_multiple_of(2);
        Self { rows, columns, stride, lines: (rows * stride).div_ceil(32) }
    }
}
