//! Blends the features of overlapping windows' patches in rolling rows of cells as large as a patch.

use std::collections::VecDeque;

use super::window_weights;
use crate::geom::{Blend, Size, Window};

/// Blends patches. Cells lie on the scene from its top left corner on; the last of a row or column may reach over the scene's edge.
/// A cell takes from each window the patch that its centre lies in, with the window's weight there.
pub struct PatchAccumulator {
    scene: Size,
    /// Side of a cell in pixels.
    side: usize,
    /// Numbers of a feature.
    width: usize,
    /// Of a window's rows and columns.
    weights: [Vec<f32>; 2],
    /// The first row of cells that is not finished.
    first: usize,
    rows: VecDeque<CellRow>,
}

struct CellRow {
    /// (cell, feature)
    sums: Vec<f32>,
    weights: Vec<f32>,
    valid: Vec<bool>,
}

/// A window's features.
#[derive(Clone, Copy, Debug)]
pub struct WindowPatches<'a> {
    pub window: Window,
    /// Rows above the window and columns left of it that belong to its first patches.
    pub before: [usize; 2],
    /// Patches in a row.
    pub columns: usize,
    /// (patch, feature)
    pub features: &'a [f32],
    /// The window's pixels with data, (row, column); `None`: all.
    pub valid: Option<&'a [bool]>,
}

impl PatchAccumulator {
    /// `window`: the size of all windows; `side`: that of a patch in pixels; `width`: numbers of a feature.
    pub fn new(scene: Size, window: Size, side: usize, width: usize, blend: Blend) -> Self {
        let weights = [window.height, window.width].map(|side| window_weights(blend, side));
        Self { scene, side, width, weights, first: 0, rows: VecDeque::new() }
    }

    /// Rows and columns of cells.
    pub fn cells(&self) -> Size {
        Size::new(self.scene.width.div_ceil(self.side), self.scene.height.div_ceil(self.side))
    }

    /// The pixel in the middle of a cell along one axis of `length` pixels.
    fn centre(&self, cell: usize, length: usize) -> usize {
        (cell * self.side + self.side / 2).min(length - 1)
    }

    /// The cells whose centre lies in `start..start + length`, each with its place in the window.
    fn reached(&self, start: usize, length: usize, of: usize) -> impl Iterator<Item = (usize, usize)> {
        let first = (start / self.side).saturating_sub(1);
        let cells = first..of.div_ceil(self.side).min((start + length) / self.side + 1);
        let centres: Vec<(usize, usize)> = cells.map(|cell| (cell, self.centre(cell, of))).collect();
        let inside = move |centre: usize| centre.checked_sub(start).filter(|at| *at < length);
        centres.into_iter().filter_map(move |(cell, centre)| Some((cell, inside(centre)?)))
    }

    /// Adds a window. Windows come row by row; rows of cells above it must be finished.
    pub fn add(&mut self, patches: &WindowPatches<'_>) {
        let &WindowPatches { window, before: [above, left], columns, features, valid } = patches;
        let cells = self.cells().width;
        let down: Vec<_> = self.reached(window.row, window.height, self.scene.height).collect();
        let across: Vec<_> = self.reached(window.col, window.width, self.scene.width).collect();
        for (row, in_row) in down {
            let Some(index) = row.checked_sub(self.first) else { continue };
            while self.rows.len() <= index {
                self.rows.push_back(CellRow {
                    sums: vec![0.0; cells * self.width],
                    weights: vec![0.0; cells],
                    valid: vec![false; cells],
                });
            }
            let to = &mut self.rows[index];
            for &(cell, in_col) in &across {
                let patch = (in_row + above) / self.side * columns + (in_col + left) / self.side;
                let weight = self.weights[0][in_row] * self.weights[1][in_col];
                let feature = &features[patch * self.width..(patch + 1) * self.width];
                let sums = &mut to.sums[cell * self.width..(cell + 1) * self.width];
                sums.iter_mut().zip(feature).for_each(|(sum, value)| *sum += weight * value);
                to.weights[cell] += weight;
                to.valid[cell] |= valid.is_none_or(|valid| valid[in_row * window.width + in_col]);
            }
        }
    }

    /// The next row of cells, if its centre lies above the pixel row `before`: (feature, cell), NaN without data.
    pub fn next_before(&mut self, before: usize) -> Option<Vec<f32>> {
        let cells = self.cells();
        if self.first == cells.height || self.centre(self.first, self.scene.height) >= before {
            return None;
        }
        self.first += 1;
        let mut out = vec![f32::NAN; self.width * cells.width];
        let Some(row) = self.rows.pop_front() else { return Some(out) };
        for (cell, sums) in row.sums.chunks_exact(self.width).enumerate() {
            if row.valid[cell] && row.weights[cell] > 0.0 {
                for (feature, sum) in sums.iter().enumerate() {
                    out[feature * cells.width + cell] = sum / row.weights[cell];
                }
            }
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geom::Grid;

    /// Features that are the position of a cell come out as they are, wherever windows overlap and whatever is padded.
    #[test]
    fn positions_are_blended_to_themselves() {
        for (scene, side, stride) in [(Size::new(40, 24), 8, 4), (Size::new(44, 30), 16, 8), (Size::new(5, 33), 8, 8)] {
            let patch = 4;
            let grid = Grid::new(scene, side, stride);
            let window = grid.window();
            let mut accumulator = PatchAccumulator::new(scene, window, patch, 2, Blend::Hann);
            let mut rows: Vec<Vec<f32>> = Vec::new();
            let [down, across] = [window.height, window.width].map(|side| side.div_ceil(patch));
            let before = [(down * patch - window.height) / 2, (across * patch - window.width) / 2];
            for window in grid.windows() {
                while let Some(row) = accumulator.next_before(window.row) {
                    rows.push(row);
                }
                let at = |patch: usize| {
                    let centre = |start: usize, before: usize, index: usize| {
                        start as f32 - before as f32 + 4.0 * index as f32 + 2.0
                    };
                    [centre(window.row, before[0], patch / across), centre(window.col, before[1], patch % across)]
                };
                let features: Vec<f32> = (0..down * across).flat_map(at).collect();
                let columns = across;
                accumulator.add(&WindowPatches { window, before, columns, features: &features, valid: None });
            }
            while let Some(row) = accumulator.next_before(usize::MAX) {
                rows.push(row);
            }
            let cells = accumulator.cells();
            assert_eq!(rows.len(), cells.height);
            for (index, row) in rows.iter().enumerate() {
                for cell in 0..cells.width {
                    // Cells at the edge are cut by it.
                    let middle = |index: usize, side: usize| (4 * index + (4 * index + 4).min(side)) as f32 / 2.0;
                    let want = [middle(index, scene.height), middle(cell, scene.width)];
                    let got = [row[cell], row[cells.width + cell]];
                    // Within half a patch, where windows do not begin at a border of patches.
                    assert!(
                        want.iter().zip(got).all(|(want, got)| (want - got).abs() <= 2.01),
                        "{scene}: {want:?} {got:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn cells_without_data_are_nan() {
        let scene = Size::new(8, 4);
        let mut accumulator = PatchAccumulator::new(scene, scene, 4, 1, Blend::Average);
        let valid: Vec<bool> = (0..32).map(|at| at % 8 < 4).collect();
        let features = [3.0, 5.0];
        accumulator.add(&WindowPatches {
            window: scene.window(),
            before: [0, 0],
            columns: 2,
            features: &features,
            valid: Some(&valid),
        });
        let row = accumulator.next_before(4).unwrap();
        assert!(row[0] == 3.0 && row[1].is_nan() && accumulator.next_before(4).is_none());
    }
}
