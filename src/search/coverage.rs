//! Which patch of which window stands for a place: windows overlap, and each pixel counts once.
//!
//! Patches of a window are a grid, and so are the windows: a scene is covered axis by axis. Along an axis the fewest windows that
//! leave no gap are taken, every other one at a stride of half a window. Where the last window is moved inside, so that it overlaps
//! the one before, only the patches count that reach further.

use std::ops::Range;

use crate::embeddings::SceneCard;
use crate::geom::Window;

/// Pixels along an axis, and the patch that stands for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The window's place among those of the axis.
    pub window: usize,
    /// The patch's row or column in the window.
    pub patch: usize,
    /// The first pixel.
    pub start: usize,
    /// The pixel after the last.
    pub end: usize,
}

/// The cells of a scene: rows × columns, which divide its pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    pub rows: Vec<Cell>,
    pub cols: Vec<Cell>,
}

impl Coverage {
    /// The cells of a scene with patches of `side` pixels.
    pub fn of(card: &SceneCard, side: usize) -> Self {
        let (grid, [rows, cols]) = (card.grid(), card.patches);
        let size = grid.window();
        let vertical = Axis { length: size.height, patches: rows, before: card.padding.above, side };
        let horizontal = Axis { length: size.width, patches: cols, before: card.padding.left, side };
        Self { rows: vertical.cells(grid.row_starts()), cols: horizontal.cells(grid.col_starts()) }
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        self.rows.len() * self.cols.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pixels of cells; empty beyond the scene.
    pub fn pixels(&self, rows: Range<usize>, cols: Range<usize>) -> Window {
        let span = |cells: &[Cell], range: Range<usize>| {
            let cells = cells.get(range).unwrap_or_default();
            let (start, end) = (cells.first().map_or(0, |cell| cell.start), cells.last().map_or(0, |cell| cell.end));
            (start, end - start)
        };
        let ((row, height), (col, width)) = (span(&self.rows, rows), span(&self.cols, cols));
        Window { col, row, width, height }
    }

    /// The cell (row, column) of a pixel; `None` beyond the scene.
    pub fn cell_of(&self, col: usize, row: usize) -> Option<[usize; 2]> {
        let of = |cells: &[Cell], pixel: usize| {
            let at = cells.partition_point(|cell| cell.end <= pixel);
            (at < cells.len()).then_some(at)
        };
        Some([of(&self.rows, row)?, of(&self.cols, col)?])
    }
}

/// The windows that are taken along an axis, each with its cells.
pub(super) fn by_window(cells: &[Cell]) -> impl Iterator<Item = (usize, Range<usize>)> + '_ {
    let mut start = 0;
    cells.chunk_by(|one, other| one.window == other.window).filter_map(move |chunk| {
        let range = start..start + chunk.len();
        start = range.end;
        Some((chunk.first()?.window, range))
    })
}

/// The patches of windows along an axis.
struct Axis {
    /// Of a window, in pixels.
    length: usize,
    patches: usize,
    /// Pixels of padding before the window.
    before: usize,
    /// Of a patch, in pixels.
    side: usize,
}

impl Axis {
    fn cells(&self, starts: &[usize]) -> Vec<Cell> {
        let mut cells = Vec::new();
        let (mut covered, mut next) = (0, 0);
        while let Some(&start) = starts.get(next) {
            for patch in 0..self.patches {
                let pixel = |index: usize| start + (index * self.side).saturating_sub(self.before).min(self.length);
                let cell = Cell { window: next, patch, start: pixel(patch).max(covered), end: pixel(patch + 1) };
                if cell.start < cell.end {
                    cells.push(cell);
                }
            }
            covered = start + self.length;
            // The last window that leaves no gap.
            let reached = starts.partition_point(|start| *start <= covered).saturating_sub(1);
            if reached <= next {
                break;
            }
            next = reached;
        }
        cells
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::geom::axis_starts;

    fn axis(size: usize, window: usize, side: usize) -> Axis {
        let length = window.min(size);
        let patches = length.div_ceil(side);
        Axis { length, patches, before: (patches * side - length) / 2, side }
    }

    proptest! {
        #[test]
        fn every_pixel_has_one_patch(
            size in 1usize..700, window in 1usize..90, side in 1usize..20, share in 0.05f64..=1.0,
        ) {
            let stride = ((window as f64 * share).ceil() as usize).clamp(1, window);
            let starts = axis_starts(size, window, stride);
            let axis = axis(size, window, side);
            let cells = axis.cells(&starts);
            let mut covered = 0;
            for cell in &cells {
                prop_assert_eq!(cell.start, covered);
                prop_assert!(cell.end > cell.start && cell.end - cell.start <= side);
                covered = cell.end;
                // The pixels lie under the patch.
                let first = starts[cell.window] as isize - axis.before as isize + (cell.patch * side) as isize;
                prop_assert!(first <= cell.start as isize && cell.end as isize <= first + side as isize);
            }
            prop_assert_eq!(covered, size);
            let windows: Vec<usize> = by_window(&cells).map(|(window, _)| window).collect();
            // No window could be left out: those two apart leave a gap or touch.
            for three in windows.windows(3) {
                prop_assert!(starts[three[2]] >= starts[three[0]] + axis.length);
            }
        }
    }

    #[test]
    fn every_other_window_is_enough_at_half_a_stride() {
        let cells = axis(1000, 224, 16).cells(&axis_starts(1000, 224, 112));
        let windows: Vec<_> = by_window(&cells).collect();
        // The last starts at 776, inside the one before, which ends at 896.
        assert_eq!(windows, [(0, 0..14), (2, 14..28), (4, 28..42), (6, 42..56), (7, 56..63)]);
        assert_eq!(cells[56], Cell { window: 7, patch: 7, start: 896, end: 904 });
        let coverage = Coverage { rows: cells.clone(), cols: cells };
        assert_eq!(coverage.pixels(0..2, 56..57), Window { col: 896, row: 0, width: 8, height: 32 });
        assert_eq!(coverage.cell_of(903, 31), Some([1, 56]));
        assert_eq!((coverage.cell_of(1000, 0), coverage.len()), (None, 63 * 63));
    }
}
