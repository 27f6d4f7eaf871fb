//! Computes the neighbours' weights of a window, except those that are shared with an overlapping window.

use rayon::prelude::*;

use super::backend::Backend;
use super::kernels::{PanelInput, ProjectGuidance};
use super::parameters::{DoublingParameters, Parameters};
use super::pixel_grid::PixelGrid;
use super::resampling::reflect;
use super::window_cache::{CachedWindow, ComputedPanels, RowToCompute};

/// Computes the panels of `window` that are not shared, for every doubling.
pub(super) fn compute<B: Backend>(
    backend: &B,
    parameters: &Parameters,
    grids: &[PixelGrid],
    window: &mut CachedWindow<B::Number>,
) {
    let CachedWindow { pixels, doublings, .. } = window;
    doublings.par_iter_mut().zip(grids).enumerate().for_each(|(index, (computed, grid))| {
        let guidance = grid.guidance(pixels);
        let mut keys = backend.buffers().take(grid.size()[0] * parameters.doubling(index).keys * grid.key_columns());
        let of_doubling =
            DoublingWeights { index, doubling: parameters.doubling(index), grid, backend, guidance: &guidance };
        of_doubling.project(computed, &mut keys);
        let rows = computed.rows_to_compute(grid);
        rows.into_par_iter()
            .for_each_init(|| backend.scratch(index, grid), |scratch, row| of_doubling.weights(row, &keys, scratch));
        backend.buffers().give(keys);
    });
}

/// Computes the weights of one doubling of one window.
struct DoublingWeights<'a, B> {
    index: usize,
    doubling: &'a DoublingParameters,
    grid: &'a PixelGrid,
    backend: &'a B,
    /// (row, channel, column)
    guidance: &'a [f32],
}

impl<B: Backend> DoublingWeights<'_, B> {
    /// Computes keys, (row, key, column), wherever the panels to be computed need them; the others are left unspecified.
    fn project(&self, computed: &ComputedPanels<B::Number>, keys: &mut [f32]) {
        let Self { doubling, grid, .. } = *self;
        let (columns, width, length) = (grid.key_columns(), grid.width, grid.panels * grid.width);
        let [height, _] = grid.size();
        let margin_panels = grid.margin / width;
        let needed = |row: usize| -> Vec<usize> {
            // Reflection at the edges adds none: the rows and panels that it reads lie in between.
            let first = row.saturating_sub(doubling.radius) / 2;
            let last = (row + doubling.radius).min(height - 1) / 2;
            let in_reach = |panel: usize| (first..=last).any(|row| computed.is_computed(row * grid.panels + panel));
            let in_reach: Vec<bool> = (0..grid.panels).map(in_reach).collect();
            let around = |panel: usize| {
                &in_reach[panel.saturating_sub(margin_panels)..(panel + margin_panels + 1).min(grid.panels)]
            };
            (0..grid.panels).filter(|&panel| around(panel).contains(&true)).collect()
        };
        let rows = keys.par_chunks_exact_mut(doubling.keys * columns).zip(self.guidance.par_chunks_exact(3 * length));
        rows.enumerate().for_each_init(
            || (vec![0f32; 6 * width], vec![0f32; doubling.keys * 2 * width], vec![0f32; doubling.keys * 2 * width]),
            |(pair_guidance, hidden, projected), (row, (keys, guidance))| {
                // Two panels at a time: the kernel takes two vectors.
                for panels in needed(row).chunks(2) {
                    let pair = [panels[0], *panels.last().unwrap_or(&panels[0])];
                    for (channel, to) in guidance.chunks_exact(length).zip(pair_guidance.chunks_exact_mut(2 * width)) {
                        for (panel, to) in pair.iter().zip(to.chunks_exact_mut(width)) {
                            to.copy_from_slice(&channel[panel * width..][..width]);
                        }
                    }
                    self.backend.level().run(ProjectGuidance {
                        doubling,
                        guidance: pair_guidance,
                        hidden,
                        keys: projected,
                    });
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

    /// Computes the weights of the panels of a pair of rows.
    fn weights(&self, to_compute: RowToCompute<'_, B::Number>, keys: &[f32], scratch: &mut B::Scratch) {
        let Self { doubling, grid, .. } = *self;
        let (columns, width, height) = (grid.key_columns(), grid.width, grid.size()[0]);
        let (of_row, length) = (doubling.keys * columns, grid.panels * width);
        let RowToCompute { row, panels, numbers } = to_compute;
        let first = 2 * row as isize - doubling.radius as isize;
        let rows: Vec<&[f32]> = (first..first + 2 * doubling.radius as isize + 2)
            .map(|row| &keys[reflect(row, height) * of_row..][..of_row])
            .collect();
        let mut guidance = vec![0f32; 6 * width];
        for (panel, out) in panels.into_iter().zip(numbers.chunks_exact_mut(grid.panel_length)) {
            for (index, to) in guidance.chunks_exact_mut(width).enumerate() {
                let (channel, side) = (index / 2, index % 2);
                to.copy_from_slice(
                    &self.guidance[((2 * row + side) * 3 + channel) * length + panel * width..][..width],
                );
            }
            let panel = PanelInput {
                doubling,
                rows: &rows,
                columns,
                first: grid.margin + panel * width,
                guidance: &guidance,
                row_coefficients: [grid.rows.coefficients(2 * row), grid.rows.coefficients(2 * row + 1)],
                row_support: grid.rows.support,
                column_coefficients: &grid.column_coefficients[panel],
            };
            self.backend.weights(self.index, &panel, scratch, out);
        }
    }
}
