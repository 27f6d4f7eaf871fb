//! The backend for every processor: float32, in the widest SIMD vectors that there are.

use rayon::prelude::*;

use super::backend::{Backend, BufferPool, SQUARED_NORM_FLOOR, WindowInput};
use super::kernels::{PanelInput, PanelWeights, Quad, Scratch, SquaredNorms, WeightedSums};
use super::parameters::DoublingParameters;
use super::pixel_grid::PixelGrid;
use super::simd::Level;
use super::window_cache::WeightSources;

/// Computes in float32.
pub(super) struct Float32 {
    level: Level,
    buffers: BufferPool<f32>,
}

impl Float32 {
    pub fn new(level: Level) -> Self {
        Self { level, buffers: BufferPool::default() }
    }

    /// Computes the weighted sums of one panel; `out`: (pixel, channel) of the upper and of the lower row.
    fn weighted_sums(&self, panel: &PanelOfQuads<'_>, source: &[f32], offset: &[f32], out: [&mut [f32]; 2]) {
        let PanelOfQuads { grid, row, quads, channels } = *panel;
        self.level.run(WeightedSums {
            source,
            columns: grid.columns.cells,
            channels,
            first_row: grid.rows.first(row),
            support: [grid.rows.support, grid.columns.support],
            quads,
            offset,
            out,
        });
    }
}

/// One panel of a window's weighted sums.
struct PanelOfQuads<'a> {
    grid: &'a PixelGrid,
    row: usize,
    quads: &'a [Quad<'a>],
    channels: usize,
}

impl Backend for Float32 {
    /// (computed panel, source row in the support, source column in the support, 2, pixel)
    type Number = f32;
    type Scratch = Scratch;

    fn level(&self) -> Level {
        self.level
    }

    fn grid(&self, cells: [usize; 2], doubling: &DoublingParameters, factor: usize) -> PixelGrid {
        let mut grid = PixelGrid::new(cells, doubling, factor, self.level.width());
        grid.panel_length = grid.rows.support * grid.columns.support * 2 * grid.width;
        grid
    }

    fn scratch(&self, _index: usize, grid: &PixelGrid) -> Scratch {
        Scratch::new(grid.columns.radius, grid.width)
    }

    fn weights(&self, _index: usize, panel: &PanelInput<'_>, scratch: &mut Scratch, out: &mut [f32]) {
        self.level.run(PanelWeights { panel, scratch, out });
    }

    fn upsample(&self, input: &WindowInput<'_, f32>, of_cls: &[f32], logits: &mut [f32]) {
        let WindowInput { grids, reduced, cache, window } = *input;
        let channels = reduced.channels;
        let mut features = Vec::new();
        let Some((last, doublings)) = grids.split_last() else { return };
        for (index, grid) in doublings.iter().enumerate() {
            let source = if index == 0 { &reduced.features } else { &features };
            let (of_row, sources) = (grid.size()[1] * channels, cache.weight_sources(grid, window, index));
            let mut doubled = self.buffers.take(grid.size()[0] * of_row);
            doubled.par_chunks_exact_mut(2 * of_row).enumerate().for_each(|(row, out)| {
                let (mut upper, mut lower) = out.split_at_mut(of_row);
                for panel in 0..grid.panels {
                    let quads = quads(grid, &sources, row, panel);
                    let (now, later) = upper.split_at_mut(2 * quads.len() * channels);
                    upper = later;
                    let (now_lower, later) = lower.split_at_mut(2 * quads.len() * channels);
                    lower = later;
                    self.weighted_sums(
                        &PanelOfQuads { grid, row, quads: &quads, channels },
                        source,
                        &[],
                        [now, now_lower],
                    );
                }
            });
            self.buffers.give(std::mem::replace(&mut features, doubled));
        }
        let source = if doublings.is_empty() { &reduced.features } else { &features };
        let width = last.size()[1];
        let sources = cache.weight_sources(last, window, doublings.len());
        let queries = of_cls.len();
        logits.par_chunks_exact_mut(2 * queries * width).enumerate().for_each_init(
            || (vec![0f32; 2 * last.width * channels], vec![0f32; 2 * last.width]),
            |(pixels, lengths), (row, out)| {
                for panel in 0..last.panels {
                    let quads = quads(last, &sources, row, panel);
                    let (upper, lower) = pixels.split_at_mut(last.width * channels);
                    let panel_of = PanelOfQuads { grid: last, row, quads: &quads, channels };
                    self.weighted_sums(&panel_of, source, &reduced.offset, [upper, lower]);
                    self.level.run(SquaredNorms { pixels, channels, mask: &reduced.mask, out: lengths });
                    for (index, (pixel, length)) in pixels.chunks_exact(channels).zip(&*lengths).enumerate() {
                        let (side, column) = (index / last.width, panel * last.width + index % last.width);
                        if column >= width {
                            continue;
                        }
                        let scale = 1.0 / length.max(SQUARED_NORM_FLOOR).sqrt();
                        let products = &pixel[reduced.first_product..];
                        let planes = out.chunks_exact_mut(2 * width);
                        for ((plane, product), of_cls) in planes.zip(products).zip(of_cls) {
                            plane[side * width + column] = product * scale + of_cls;
                        }
                    }
                }
            },
        );
        self.buffers.give(features);
    }

    fn buffers(&self) -> &BufferPool<f32> {
        &self.buffers
    }
}

/// Returns the weights of a panel's pixels.
fn quads<'a>(grid: &PixelGrid, sources: &WeightSources<'a, f32>, row: usize, panel: usize) -> Vec<Quad<'a>> {
    let quad = |column| {
        let found = sources.weights(row, column);
        Quad { first_column: grid.columns.first(column), weights: found.panel.get(found.column..).unwrap_or(&[]) }
    };
    grid.source_columns(panel).map(quad).collect()
}
