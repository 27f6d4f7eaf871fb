//! What the size of a window decides: each doubling's grid, its axes, its panels.

use std::ops::Range;

use super::axis::{Axis, reflect};
use super::kernels::Folds;
use super::weights::Doubling;

/// One doubling of a window.
#[derive(Debug)]
pub(super) struct PixelGrid {
    pub rows: Axis,
    pub columns: Axis,
    /// Side in pixels of a doubled cell.
    pub factor: usize,
    /// Pixels of a panel's row.
    pub width: usize,
    pub panels: usize,
    /// For each panel.
    pub folds: Vec<Folds>,
    /// Columns to the left and right of a row of keys.
    pub margin: usize,
    /// Numbers of a panel's weights: the engine's to say.
    pub panel_length: usize,
}

impl PixelGrid {
    /// `cells`: source rows and columns.
    pub fn new(cells: [usize; 2], step: &Doubling, factor: usize, width: usize) -> Self {
        let [rows, columns] = cells.map(|cells| Axis::new(cells, step.radius));
        let panels = (2 * columns.cells).div_ceil(width);
        let folds = (0..panels).map(|panel| folds(&columns, panel * width, width)).collect();
        let margin = step.radius.next_multiple_of(width);
        Self { rows, columns, factor, width, panels, folds, margin, panel_length: 0 }
    }

    /// Doubled rows and columns.
    pub fn size(&self) -> [usize; 2] {
        [2 * self.rows.cells, 2 * self.columns.cells]
    }

    /// Columns of a row of keys, margins included.
    pub fn key_columns(&self) -> usize {
        let columns = self.panels * self.width + 2 * self.margin;
        // Keys whose distance is a power of two push each other out of the nearest cache.
        if columns.is_multiple_of(64) { columns + 16 } else { columns }
    }

    /// The means of a window's pixels over each doubled cell, (row, channel, column); a row's length is that of whole
    /// panels. `pixels` (3, row, column).
    pub fn guidance(&self, pixels: &[f32]) -> Vec<f32> {
        let [height, width] = self.size();
        let (image_width, length) = (width * self.factor, self.panels * self.width);
        let plane = height * self.factor * image_width;
        let share = 1.0 / (self.factor * self.factor) as f32;
        let mut means = vec![0f32; height * 3 * length];
        for (index, to) in means.chunks_exact_mut(length).enumerate() {
            let (row, channel) = (index / 3, index % 3);
            let from = &pixels[channel * plane + row * self.factor * image_width..][..self.factor * image_width];
            if self.factor == 1 {
                to[..width].copy_from_slice(from);
                continue;
            }
            for line in from.chunks_exact(image_width) {
                for (to, from) in to.iter_mut().zip(line.chunks_exact(self.factor)) {
                    *to += from.iter().sum::<f32>();
                }
            }
            to.iter_mut().for_each(|to| *to *= share);
        }
        means
    }

    /// Fills the margins of a row of keys, (key, column), by reflection.
    pub fn reflect_margins(&self, keys: &mut [f32]) {
        let width = 2 * self.columns.cells;
        let radius = self.columns.radius as isize;
        for keys in keys.chunks_exact_mut(self.key_columns()) {
            for position in (-radius..0).chain(width as isize..width as isize + radius) {
                keys[(self.margin as isize + position) as usize] = keys[self.margin + reflect(position, width)];
            }
        }
    }

    /// The source columns from which a panel's pixels come.
    pub fn pairs(&self, panel: usize) -> Range<usize> {
        let first = panel * self.width / 2;
        first..(first + self.width / 2).min(self.columns.cells)
    }

    /// A distance in pixels as one in source cells, where it is one of whole cells.
    pub fn shift(&self, pixels: usize) -> Option<usize> {
        pixels.is_multiple_of(2 * self.factor).then_some(pixels / (2 * self.factor))
    }
}

fn folds(columns: &Axis, first: usize, width: usize) -> Folds {
    let mut folds = Folds::default();
    let last = 2 * columns.cells - 1;
    for source in 0..columns.reach {
        let before = folds.neighbours.len();
        for neighbour in 0..2 * columns.radius + 1 {
            // Pixels beyond the end are nobody's: any finite weights will do.
            let at = |pixel: usize| columns.shares((first + pixel).min(last))[neighbour * columns.reach + source];
            if (0..width).any(|pixel| at(pixel) != 0.0) {
                folds.neighbours.push(neighbour);
                folds.shares.extend((0..width).map(at));
            }
        }
        folds.counts.push(folds.neighbours.len() - before);
    }
    folds
}
