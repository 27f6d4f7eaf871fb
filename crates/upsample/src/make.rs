//! Makes the weights of a window, as far as no other window has them.

use rayon::prelude::*;

use super::axis::reflect;
use super::engine::Kernels;
use super::kernels::{Panel, Project};
use super::plan::PixelGrid;
use super::weights::{Doubling, Weights};
use super::window_cache::{CachedWindow, ComputedPanels, RowToCompute};

/// Fills what a window lacks.
pub(super) fn make<E: Kernels>(
    engine: &E,
    weights: &Weights,
    grids: &[PixelGrid],
    cached: &mut CachedWindow<E::Number>,
) {
    let CachedWindow { pixels, steps, .. } = cached;
    steps.par_iter_mut().zip(grids).enumerate().for_each(|(index, (computed, grid))| {
        let guidance = grid.guidance(pixels);
        let mut keys = engine.buffers().take(grid.size()[0] * weights.step(index).keys * grid.key_columns());
        let maker = Maker { index, step: weights.step(index), grid, engine, guidance: &guidance };
        maker.project(computed, &mut keys);
        let rows = computed.rows_to_compute(grid);
        rows.into_par_iter()
            .for_each_init(|| engine.scratch(index, grid), |scratch, row| maker.weights(row, &keys, scratch));
        engine.buffers().give(keys);
    });
}

/// One doubling of one window.
struct Maker<'a, E> {
    index: usize,
    step: &'a Doubling,
    grid: &'a PixelGrid,
    engine: &'a E,
    /// (row, channel, column)
    guidance: &'a [f32],
}

impl<E: Kernels> Maker<'_, E> {
    /// The projected guidance around all that is to be computed, (row, key, column); what lies elsewhere is left as it is.
    fn project(&self, computed: &ComputedPanels<E::Number>, keys: &mut [f32]) {
        let Self { step, grid, .. } = *self;
        let (columns, width, length) = (grid.key_columns(), grid.width, grid.panels * grid.width);
        let [height, _] = grid.size();
        let near = grid.margin / width;
        let needed = |row: usize| -> Vec<usize> {
            // Reflection at the edges needs no more: the rows and panels there lie in between.
            let first = row.saturating_sub(step.radius) / 2;
            let last = (row + step.radius).min(height - 1) / 2;
            let makes = |panel: usize| (first..=last).any(|row| computed.is_computed(row * grid.panels + panel));
            let makes: Vec<bool> = (0..grid.panels).map(makes).collect();
            let around = |panel: usize| &makes[panel.saturating_sub(near)..(panel + near + 1).min(grid.panels)];
            (0..grid.panels).filter(|&panel| around(panel).contains(&true)).collect()
        };
        let rows = keys.par_chunks_exact_mut(step.keys * columns).zip(self.guidance.par_chunks_exact(3 * length));
        rows.enumerate().for_each_init(
            || (vec![0f32; 6 * width], vec![0f32; step.keys * 2 * width], vec![0f32; step.keys * 2 * width]),
            |(cached, hidden, projected), (row, (keys, guidance))| {
                // Two panels at a time: the kernel's two vectors.
                for panels in needed(row).chunks(2) {
                    let pair = [panels[0], *panels.last().unwrap_or(&panels[0])];
                    for (channel, cached) in guidance.chunks_exact(length).zip(cached.chunks_exact_mut(2 * width)) {
                        for (panel, cached) in pair.iter().zip(cached.chunks_exact_mut(width)) {
                            cached.copy_from_slice(&channel[panel * width..][..width]);
                        }
                    }
                    self.engine.level().run(Project { step, guidance: cached, hidden, keys: projected });
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

    /// The weights of a pair of rows.
    fn weights(&self, to_make: RowToCompute<'_, E::Number>, keys: &[f32], scratch: &mut E::Scratch) {
        let Self { step, grid, .. } = *self;
        let (columns, width, height) = (grid.key_columns(), grid.width, grid.size()[0]);
        let (of_row, length) = (step.keys * columns, grid.panels * width);
        let RowToCompute { row, panels, numbers } = to_make;
        let first = 2 * row as isize - step.radius as isize;
        let rows: Vec<&[f32]> = (first..first + 2 * step.radius as isize + 2)
            .map(|row| &keys[reflect(row, height) * of_row..][..of_row])
            .collect();
        let mut cached = vec![0f32; 6 * width];
        for (panel, out) in panels.into_iter().zip(numbers.chunks_exact_mut(grid.panel_length)) {
            for (index, cached) in cached.chunks_exact_mut(width).enumerate() {
                let (channel, side) = (index / 2, index % 2);
                cached.copy_from_slice(
                    &self.guidance[((2 * row + side) * 3 + channel) * length + panel * width..][..width],
                );
            }
            let panel = Panel {
                step,
                rows: &rows,
                columns,
                first: grid.margin + panel * width,
                guidance: &cached,
                down: [grid.rows.shares(2 * row), grid.rows.shares(2 * row + 1)],
                down_reach: grid.rows.reach,
                across: &grid.folds[panel],
            };
            self.engine.weights(self.index, &panel, scratch, out);
        }
    }
}
