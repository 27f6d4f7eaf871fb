//! The engine that runs anywhere: float32, in whatever vectors the processor has.

use rayon::prelude::*;

use super::engine::{Buffers, Channels, Kernels, LENGTH_FLOOR};
use super::kernels::{Gather, Lengths, Pair, Panel, PanelWeights, Scratch};
use super::plan::PixelGrid;
use super::simd::Level;
use super::weights::Doubling;
use super::window_cache::WeightSources;

pub(super) struct Float32 {
    level: Level,
    buffers: Buffers<f32>,
}

impl Float32 {
    pub fn new(level: Level) -> Self {
        Self { level, buffers: Buffers::default() }
    }

    /// The sums of one panel; `out`: (pixel, channel) of the upper and of the lower row.
    fn gather(&self, panel: &ToGather<'_>, source: &[f32], offset: &[f32], out: [&mut [f32]; 2]) {
        let ToGather { grid, row, pairs, channels } = *panel;
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

struct ToGather<'a> {
    grid: &'a PixelGrid,
    row: usize,
    pairs: &'a [Pair<'a>],
    channels: usize,
}

impl Kernels for Float32 {
    /// (computed panel, source row in reach, source column in reach, 2, pixel)
    type Number = f32;
    type Scratch = Scratch;

    fn level(&self) -> Level {
        self.level
    }

    fn grid(&self, cells: [usize; 2], step: &Doubling, factor: usize) -> PixelGrid {
        let mut grid = PixelGrid::new(cells, step, factor, self.level.width());
        grid.panel_length = grid.rows.reach * grid.columns.reach * 2 * grid.width;
        grid
    }

    fn scratch(&self, _index: usize, grid: &PixelGrid) -> Scratch {
        Scratch::new(grid.columns.radius, grid.width)
    }

    fn weights(&self, _index: usize, panel: &Panel<'_>, scratch: &mut Scratch, out: &mut [f32]) {
        self.level.run(PanelWeights { panel, scratch, out });
    }

    fn upsample(&self, window: &Channels<'_, f32>, of_cls: &[f32], logits: &mut [f32]) {
        let Channels { grids, sources, memory, cached } = *window;
        let channels = sources.channels;
        let mut features = Vec::new();
        let Some((last, steps)) = grids.split_last() else { return };
        for (index, grid) in steps.iter().enumerate() {
            let source = if index == 0 { &sources.features } else { &features };
            let (of_row, places) = (grid.size()[1] * channels, memory.places(grid, cached, index));
            let mut doubled = self.buffers.take(grid.size()[0] * of_row);
            doubled.par_chunks_exact_mut(2 * of_row).enumerate().for_each(|(row, out)| {
                let (mut upper, mut lower) = out.split_at_mut(of_row);
                for panel in 0..grid.panels {
                    let pairs = pairs(grid, &places, row, panel);
                    let (now, later) = upper.split_at_mut(2 * pairs.len() * channels);
                    upper = later;
                    let (now_lower, later) = lower.split_at_mut(2 * pairs.len() * channels);
                    lower = later;
                    self.gather(&ToGather { grid, row, pairs: &pairs, channels }, source, &[], [now, now_lower]);
                }
            });
            self.buffers.give(std::mem::replace(&mut features, doubled));
        }
        let source = if steps.is_empty() { &sources.features } else { &features };
        let width = last.size()[1];
        let places = memory.places(last, cached, steps.len());
        let queries = of_cls.len();
        logits.par_chunks_exact_mut(2 * queries * width).enumerate().for_each_init(
            || (vec![0f32; 2 * last.width * channels], vec![0f32; 2 * last.width]),
            |(pixels, lengths), (row, out)| {
                for panel in 0..last.panels {
                    let pairs = pairs(last, &places, row, panel);
                    let (upper, lower) = pixels.split_at_mut(last.width * channels);
                    let panel_of = ToGather { grid: last, row, pairs: &pairs, channels };
                    self.gather(&panel_of, source, &sources.offset, [upper, lower]);
                    self.level.run(Lengths { pixels, channels, mask: &sources.mask, out: lengths });
                    for (index, (pixel, length)) in pixels.chunks_exact(channels).zip(&*lengths).enumerate() {
                        let (side, column) = (index / last.width, panel * last.width + index % last.width);
                        if column >= width {
                            continue;
                        }
                        let scale = 1.0 / length.max(LENGTH_FLOOR).sqrt();
                        let products = &pixel[sources.products..];
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

    fn buffers(&self) -> &Buffers<f32> {
        &self.buffers
    }
}

/// Where the weights of a panel's pixels are.
fn pairs<'a>(grid: &PixelGrid, places: &WeightSources<'a, f32>, row: usize, panel: usize) -> Vec<Pair<'a>> {
    let pair = |pair| {
        let place = places.weights(row, pair);
        Pair { first_column: grid.columns.first(pair), weights: place.panel.get(place.column..).unwrap_or(&[]) }
    };
    grid.pairs(panel).map(pair).collect()
}
