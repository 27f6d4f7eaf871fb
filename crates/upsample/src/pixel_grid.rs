//! The geometry of one doubling of a window: source and doubled cells, and the panels in which they are computed.

use std::ops::Range;

use super::kernels::ColumnCoefficients;
use super::parameters::DoublingParameters;
use super::resampling::{ResamplingAxis, reflect};

/// One doubling of a window of a given size.
#[derive(Debug)]
pub(super) struct PixelGrid {
    /// Coefficients of source rows.
    pub rows: ResamplingAxis,
    /// Coefficients of source columns.
    pub columns: ResamplingAxis,
    /// Side in pixels of a doubled cell.
    pub factor: usize,
    /// Pixels in a row of a panel: the SIMD width.
    pub width: usize,
    /// Panels in a pair of rows.
    pub panels: usize,
    /// Coefficients of source columns for the pixels of each panel.
    pub column_coefficients: Vec<ColumnCoefficients>,
    /// Columns of padding on each side of a row of keys.
    pub margin: usize,
    /// Numbers that the backend stores for the weights of a panel.
    pub panel_length: usize,
}

impl PixelGrid {
    /// Returns the geometry of doubling `cells` source rows and columns. `factor`: side of a doubled cell in pixels; `width`: pixels in
    /// a row of a panel.
    pub fn new(cells: [usize; 2], doubling: &DoublingParameters, factor: usize, width: usize) -> Self {
        let [rows, columns] = cells.map(|cells| ResamplingAxis::new(cells, doubling.radius));
        let panels = (2 * columns.cells).div_ceil(width);
        let column_coefficients =
            (0..panels).map(|panel| column_coefficients(&columns, panel * width, width)).collect();
        let margin = doubling.radius.next_multiple_of(width);
        Self { rows, columns, factor, width, panels, column_coefficients, margin, panel_length: 0 }
    }

    /// Returns the numbers of doubled rows and columns.
    pub fn size(&self) -> [usize; 2] {
        [2 * self.rows.cells, 2 * self.columns.cells]
    }

    /// Returns the number of columns of a row of keys, padding included.
    pub fn key_columns(&self) -> usize {
        let columns = self.panels * self.width + 2 * self.margin;
        // Rows whose distance is a power of two would share few sets of the L1 cache.
        if columns.is_multiple_of(64) { columns + 16 } else { columns }
    }

    /// Returns the mean of a window's pixels over each doubled cell, (row, channel, column), rows padded to whole panels. `pixels`:
    /// (3, row, column).
    pub fn guidance(&self, pixels: &[f32]) -> Vec<f32> {
        let [height, width] = self.size();
        let (image_width, length) = (width * self.factor, self.panels * self.width);
        let plane = height * self.factor * image_width;
        let scale = 1.0 / (self.factor * self.factor) as f32;
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
            to.iter_mut().for_each(|to| *to *= scale);
        }
        means
    }

    /// Fills the padding of a row of keys, (key, column), by reflection.
    pub fn reflect_margins(&self, keys: &mut [f32]) {
        let width = 2 * self.columns.cells;
        let radius = self.columns.radius as isize;
        for keys in keys.chunks_exact_mut(self.key_columns()) {
            for position in (-radius..0).chain(width as isize..width as isize + radius) {
                keys[(self.margin as isize + position) as usize] = keys[self.margin + reflect(position, width)];
            }
        }
    }

    /// Returns the source columns whose doubled pixels are in `panel`.
    pub fn source_columns(&self, panel: usize) -> Range<usize> {
        let first = panel * self.width / 2;
        first..(first + self.width / 2).min(self.columns.cells)
    }

    /// Returns a distance in pixels as a number of source cells; `None` where it is not a whole number.
    pub fn cells_of(&self, pixels: usize) -> Option<usize> {
        pixels.is_multiple_of(2 * self.factor).then_some(pixels / (2 * self.factor))
    }
}

/// Returns the coefficients of source columns for the `width` pixels from the doubled column `first` on, zeros left out.
fn column_coefficients(columns: &ResamplingAxis, first: usize, width: usize) -> ColumnCoefficients {
    let mut sparse = ColumnCoefficients::default();
    let last = 2 * columns.cells - 1;
    for source in 0..columns.support {
        let before = sparse.neighbours.len();
        for neighbour in 0..2 * columns.radius + 1 {
            // Pixels beyond the last column are discarded: any finite coefficients will do.
            let at =
                |pixel: usize| columns.coefficients((first + pixel).min(last))[neighbour * columns.support + source];
            if (0..width).any(|pixel| at(pixel) != 0.0) {
                sparse.neighbours.push(neighbour);
                sparse.coefficients.extend((0..width).map(at));
            }
        }
        sparse.counts.push(sparse.neighbours.len() - before);
    }
    sparse
}
