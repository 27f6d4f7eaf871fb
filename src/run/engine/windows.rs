//! Which windows of a scene hold data, by its labels: the counts of a summary, whichever run computed the windows.

#![expect(clippy::indexing_slicing, reason = "columns of a row, and windows of the grid that made the list")]

use crate::geom::{Grid, Window};

/// How many windows a scene has, each counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowCounts {
    /// With data, and computed.
    pub computed: usize,
    /// Without a single valid pixel: never computed.
    pub empty: usize,
}

/// The windows in which a label was seen so far.
pub(super) struct DataWindows {
    grid: Grid,
    nodata: u16,
    /// Row by row of windows.
    holds: Vec<bool>,
    /// How many labels there are before each column of a row.
    before: Vec<u32>,
}

impl DataWindows {
    pub fn new(grid: Grid, nodata: u16) -> Self {
        let (windows, width) = (grid.len(), grid.scene().width);
        Self { grid, nodata, holds: vec![false; windows], before: vec![0; width + 1] }
    }

    /// Looks at whole rows of labels, (row, column), from `first` on.
    pub fn rows(&mut self, first: usize, labels: &[u16]) {
        let Self { grid, nodata, holds, before } = self;
        let (window, columns) = (grid.window(), grid.col_starts().len());
        for (row, labels) in labels.chunks_exact(grid.scene().width.max(1)).enumerate() {
            let row = first + row;
            let mut count = 0;
            for (label, before) in labels.iter().zip(&mut before[1..]) {
                count += u32::from(label != nodata);
                *before = count;
            }
            let starts = grid.row_starts();
            let first = starts.partition_point(|start| start + window.height <= row);
            let end = starts.partition_point(|start| *start <= row);
            for above in first..end {
                let windows = &mut holds[above * columns..][..columns];
                for (holds, &col) in windows.iter_mut().zip(grid.col_starts()) {
                    *holds |= before[col + window.width] > before[col];
                }
            }
        }
    }

    /// The counts of all windows but the failed ones. Where a pixel with data may be without a label, `is_empty` is asked
    /// about the windows in question.
    pub fn counts(&self, failed: &[Window], is_empty: Option<impl Fn(Window) -> bool>) -> WindowCounts {
        let mut counts = WindowCounts::default();
        for (window, &holds) in self.grid.windows().zip(&self.holds) {
            if failed.contains(&window) {
                continue;
            }
            if holds || is_empty.as_ref().is_some_and(|is_empty| !is_empty(window)) {
                counts.computed += 1;
            } else {
                counts.empty += 1;
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geom::Size;

    #[test]
    fn windows_with_a_label_are_counted_once_whatever_the_portions() {
        // Windows of 4 pixels, 2 apart: starts at 0, 2, 4, 5 across and 0, 2, 3 down.
        let grid = Grid::new(Size::new(9, 7), 4, 2);
        let none = None::<fn(Window) -> bool>;
        // One label, in column 4 of row 3: the windows that begin at columns 2 and 4, and at rows 0, 2 and 3.
        let labels: Vec<u16> = (0..63).map(|at| if at == 3 * 9 + 4 { 1 } else { 255 }).collect();
        for rows in [1, 3, 7] {
            let mut windows = DataWindows::new(grid.clone(), 255);
            for (index, rows_of) in labels.chunks(9 * rows).enumerate() {
                windows.rows(index * rows, rows_of);
            }
            assert_eq!(windows.counts(&[], none), WindowCounts { computed: 6, empty: 6 });
            let failed =
                [Window { col: 2, row: 0, width: 4, height: 4 }, Window { col: 0, row: 0, width: 4, height: 4 }];
            assert_eq!(windows.counts(&failed, none), WindowCounts { computed: 5, empty: 5 });
            let left = |window: Window| window.col > 0;
            assert_eq!(windows.counts(&[], Some(left)), WindowCounts { computed: 9, empty: 3 });
        }
    }
}
