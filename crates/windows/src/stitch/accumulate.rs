//! Blends overlapping windows in rolling rows: only rows that further windows can reach are in memory.

use std::collections::VecDeque;
use std::ops::Range;

use rayon::prelude::*;

use super::weights::window_weights;
use crate::geom::{Blend, Size, Window};

/// Columns per piece of a row; a piece stores its logits contiguously, query after query. A window then touches few memory
/// pages per row, instead of one page per query.
pub(super) const PIECE: usize = 256;

/// One row of the scene, complete when its last window was added.
///
/// Logits are most of the memory traffic of stitching: the first window overwrites them, so that they are never cleared
/// beforehand, and they are divided by the weights only when they are read.
#[derive(Clone, Debug)]
pub struct Row {
    /// Weighted sums, ordered (piece, query, column of the piece).
    sums: Vec<f32>,
    /// Which pixels have data; pixels that no window covers have none.
    pub valid: Vec<bool>,
    weights: Vec<f32>,
    queries: usize,
    /// Columns before this one are initialised; the others still have values of an earlier row.
    initialised: usize,
}

impl Row {
    fn new(width: usize, queries: usize) -> Self {
        let pieces = width.div_ceil(PIECE);
        let (sums, weights) = (vec![0.0; pieces * queries * PIECE], vec![0.0; pieces * PIECE]);
        Self { sums, valid: vec![false; width], weights, queries, initialised: 0 }
    }

    /// A finished row without data, to be written by [`set`](Self::set).
    pub(super) fn blank(width: usize, queries: usize) -> Self {
        let mut row = Self::new(width, queries);
        row.initialised = width;
        row.weights.fill(1.0);
        row
    }

    /// Writes the logits of a query where pixels have data.
    pub(super) fn set(&mut self, query: usize, logit: impl Fn(usize) -> f32) {
        for (col, valid) in self.valid.iter().enumerate() {
            if *valid {
                let (piece, col_of_piece) = (col / PIECE, col % PIECE);
                self.sums[(piece * self.queries + query) * PIECE + col_of_piece] = logit(col);
            }
        }
    }

    /// The blended logit of a pixel.
    pub fn logit(&self, query: usize, col: usize) -> f32 {
        let (sums, weights) = self.piece(col / PIECE);
        sums[query * PIECE + col % PIECE] / weights[col % PIECE]
    }

    /// Numerators and denominators of the blended logits of the `PIECE` columns from `piece · PIECE` on: weighted sums ordered
    /// (query, column), and weights (column). The last piece extends beyond the row.
    pub(super) fn piece(&self, piece: usize) -> (&[f32], &[f32]) {
        let sums = &self.sums[piece * self.queries * PIECE..][..self.queries * PIECE];
        (sums, &self.weights[piece * PIECE..][..PIECE])
    }

    /// Adds the row `window_row` of a window; its columns `from` lie on the columns `to` of this row.
    fn add(&mut self, source: &WindowLogits<'_>, window_row: usize, weights: &Weights) {
        let Range { start, end } = source.to;
        self.clear_before(start);
        let initialised = self.initialised.clamp(start, end);
        self.put(source, window_row, weights, start..initialised, |sum, value| *sum += value);
        self.put(source, window_row, weights, initialised..end, |sum, value| *sum = value);
        self.initialised = self.initialised.max(end);
        let covered = &mut self.valid[start..end];
        match source.valid {
            None => covered.fill(true),
            Some(valid) => {
                let valid = &valid[window_row * source.window.width..][source.from.clone()];
                covered[..initialised - start].iter_mut().zip(valid).for_each(|(covered, &valid)| *covered |= valid);
                covered[initialised - start..].copy_from_slice(&valid[initialised - start..]);
            }
        }
    }

    /// Adds or writes the weights and weighted logits of some columns, as `put` does.
    #[inline(always)]
    fn put(
        &mut self,
        source: &WindowLogits<'_>,
        window_row: usize,
        weights: &Weights,
        cols: Range<usize>,
        put: impl Fn(&mut f32, f32),
    ) {
        let WindowLogits { window, logits, from, to, .. } = source;
        let row_weight = weights.rows[window_row];
        let pixels = window.size().pixels();
        if cols.is_empty() {
            return;
        }
        for piece in cols.start / PIECE..cols.end.div_ceil(PIECE) {
            let cols = cols.start.max(piece * PIECE)..cols.end.min((piece + 1) * PIECE);
            let col = from.start + cols.start - to.start;
            let col_weights = &weights.cols[col..][..cols.len()];
            for (sum, &weight) in self.weights[cols.clone()].iter_mut().zip(col_weights) {
                put(sum, row_weight * weight);
            }
            let start = window_row * window.width + col;
            let sums = &mut self.sums[piece * self.queries * PIECE..][..self.queries * PIECE];
            for (query, sums) in sums.chunks_exact_mut(PIECE).enumerate() {
                let logits = &logits[query * pixels + start..][..cols.len()];
                for ((sum, &logit), &weight) in sums[cols.start % PIECE..].iter_mut().zip(logits).zip(col_weights) {
                    put(sum, row_weight * weight * logit);
                }
            }
        }
    }

    /// Zeroes the columns before `col` that no window has covered yet.
    fn clear_before(&mut self, col: usize) {
        let cols = self.initialised..col.max(self.initialised);
        for piece in cols.start / PIECE..cols.end.div_ceil(PIECE) {
            let cols = cols.start.max(piece * PIECE) - piece * PIECE..cols.end.min((piece + 1) * PIECE) - piece * PIECE;
            let sums = &mut self.sums[piece * self.queries * PIECE..][..self.queries * PIECE];
            sums.chunks_exact_mut(PIECE).for_each(|sums| sums[cols.clone()].fill(0.0));
        }
        self.weights[cols.clone()].fill(0.0);
        self.valid[cols.clone()].fill(false);
        self.initialised = cols.end;
    }

    fn finish(&mut self) {
        self.clear_before(self.valid.len());
        for weight in &mut self.weights {
            // Only skipped windows cover a pixel with weight 0: it is not valid, and its sums are zero.
            *weight = if *weight > 0.0 { *weight } else { 1.0 };
        }
    }
}

#[derive(Debug)]
struct Weights {
    rows: Vec<f32>,
    cols: Vec<f32>,
}

/// A window with its logits: its columns `from` lie on the columns `to` of the region.
struct WindowLogits<'a> {
    window: &'a Window,
    logits: &'a [f32],
    valid: Option<&'a [bool]>,
    from: Range<usize>,
    to: Range<usize>,
}

/// Blends the windows that cover a region of the scene. They must be added row by row and from left to right, in the order
/// of [`crate::geom::Grid`].
///
/// Each pixel sums its windows in that order, so that results are byte-identical for every division into regions, batch size
/// and number of threads. Memory: at most region width × window height × queries floats, and the rows being labelled.
#[derive(Debug)]
pub struct Accumulator {
    region: Window,
    queries: usize,
    weights: Weights,
    /// The row of the scene that `rows[0]` holds.
    first: usize,
    /// The first row of the last window.
    latest: usize,
    rows: VecDeque<Row>,
    spare: Vec<Row>,
}

impl Accumulator {
    /// Bytes per pixel of the rows in memory.
    pub fn pixel_memory(queries: usize) -> f64 {
        // Logits and a weight of four bytes each, and a byte for the valid flag.
        4.0 * (queries as f64 + 1.0) + 1.0
    }

    /// An empty accumulator for windows of `window` pixels with `queries` channels; windows may extend beyond the region.
    pub fn new(region: Window, window: Size, queries: usize, blend: Blend) -> Self {
        let weights = Weights { rows: window_weights(blend, window.height), cols: window_weights(blend, window.width) };
        let (first, rows, spare) = (region.row, VecDeque::new(), Vec::new());
        Self { region, queries, weights, first, latest: 0, rows, spare }
    }

    /// Adds a window: `logits` ordered (query, row, column), `valid` (row, column) or `None` where all pixels have data.
    ///
    /// # Panics
    /// If windows are not added row by row, or `logits` has the wrong length: defects of the caller.
    pub fn add(&mut self, window: &Window, logits: &[f32], valid: Option<&[bool]>) {
        assert!(window.row >= self.latest, "windows are added row by row");
        assert_eq!(logits.len(), self.queries * window.size().pixels(), "logits fit the window");
        self.latest = window.row;
        let rows = window.row.max(self.first)..window.rows().end.min(self.region.rows().end);
        let cols = window.col.max(self.region.col)..window.cols().end.min(self.region.cols().end);
        if rows.is_empty() || cols.is_empty() {
            return;
        }
        self.extend_to(rows.end);
        let from = cols.start - window.col..cols.end - window.col;
        let to = cols.start - self.region.col..cols.end - self.region.col;
        let window_logits = WindowLogits { window, logits, valid, from, to };
        let (weights, above) = (&self.weights, rows.start - window.row);
        self.rows.make_contiguous()[rows.start - self.first..rows.end - self.first]
            .par_iter_mut()
            .enumerate()
            .for_each(|(row, sums)| sums.add(&window_logits, above + row, weights));
    }

    /// The first row of the scene that is not finished.
    pub fn first(&self) -> usize {
        self.first
    }

    /// Removes and returns the finished rows before `row`; rows that no window covers have no data.
    pub fn finish_before(&mut self, row: usize) -> Vec<Row> {
        let row = row.min(self.region.rows().end);
        self.extend_to(row);
        let mut finished: Vec<Row> = self.rows.drain(..row.saturating_sub(self.first)).collect();
        self.first = self.first.max(row);
        finished.par_iter_mut().for_each(Row::finish);
        finished
    }

    /// Skips rows that were finished earlier; no window must have been added to them.
    pub fn skip(&mut self, rows: usize) {
        self.first += rows;
    }

    /// Returns rows whose content is no longer needed, to reuse their memory.
    pub fn recycle(&mut self, rows: Vec<Row>) {
        self.spare.extend(rows);
    }

    fn extend_to(&mut self, end: usize) {
        while self.first + self.rows.len() < end {
            let row = match self.spare.pop() {
                Some(row) => Row { initialised: 0, ..row },
                None => Row::new(self.region.width, self.queries),
            };
            self.rows.push_back(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geom::Grid;
    use proptest::prelude::*;

    fn blend() -> impl Strategy<Value = Blend> {
        prop_oneof![Just(Blend::Average), Just(Blend::Hann), Just(Blend::Gaussian)]
    }

    /// Divides a synthetic scene of two queries into windows and stitches them.
    fn round_trip(scene: Size, window: usize, stride: usize, blend: Blend, value: impl Fn(usize, usize, usize) -> f32) {
        let grid = Grid::new(scene, window, stride);
        let mut accumulator = Accumulator::new(scene.window(), grid.window(), 2, blend);
        let mut rows = Vec::new();
        let windows: Vec<Window> = grid.windows().collect();
        for (index, window) in windows.iter().enumerate() {
            let logits: Vec<f32> = (0..2)
                .flat_map(|query| window.rows().flat_map(move |row| window.cols().map(move |col| (query, row, col))))
                .map(|(query, row, col)| value(query, row, col))
                .collect();
            accumulator.add(window, &logits, None);
            let next = windows.get(index + 1).map_or(scene.height, |next| next.row);
            rows.extend(accumulator.finish_before(next));
        }
        assert_eq!(rows.len(), scene.height);
        for (row, stitched) in rows.iter().enumerate() {
            assert!(stitched.valid.iter().all(|&valid| valid));
            for query in 0..2 {
                for col in 0..scene.width {
                    let (got, want) = (stitched.logit(query, col), value(query, row, col));
                    assert!(
                        (got - want).abs() <= 1e-5 * want.abs().max(1.0),
                        "row {row}, column {col}: {got} for {want}"
                    );
                }
            }
        }
    }

    proptest! {
        #[test]
        fn stitch_of_identity_model_returns_input(
            width in 1usize..120, height in 1usize..120, window in 1usize..50, share in 0.05f64..=1.0, blend in blend(),
        ) {
            let stride = ((window as f64 * share).ceil() as usize).clamp(1, window);
            round_trip(Size::new(width, height), window, stride, blend, |query, row, col| {
                ((row * 31 + col * 17 + query * 7) % 101) as f32 - 50.0
            });
        }
    }

    /// Blended rows of a region, from windows of pseudorandom logits that depend only on window and pixel.
    fn blended(grid: &Grid, region: Window, blend: Blend) -> Vec<Row> {
        let mut accumulator = Accumulator::new(region, grid.window(), 2, blend);
        for window in grid.reaching(region) {
            let seed = window.row * 7919 + window.col * 104_729;
            let logits: Vec<f32> = (0..2 * window.size().pixels())
                .map(|index| ((seed + index).wrapping_mul(2_654_435_761) % 10_007) as f32 / 77.0 - 60.0)
                .collect();
            accumulator.add(&window, &logits, None);
        }
        accumulator.finish_before(region.rows().end)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn regions_equal_whole_scene_bitwise(
            width in 1usize..600, height in 1usize..90, window in 1usize..40, share in 0.2f64..=1.0, blend in blend(),
            col in 0usize..600, row in 0usize..90, across in 1usize..600, down in 1usize..90,
        ) {
            let stride = ((window as f64 * share).ceil() as usize).clamp(1, window);
            let grid = Grid::new(Size::new(width, height), window, stride);
            let (col, row) = (col % width, row % height);
            let region = Window { col, row, width: across.min(width - col), height: down.min(height - row) };
            let whole = blended(&grid, grid.scene().window(), blend);
            for (row, got) in region.rows().zip(blended(&grid, region, blend)) {
                for (query, col) in (0..2).flat_map(|query| region.cols().map(move |col| (query, col))) {
                    let (want, got) = (whole[row].logit(query, col), got.logit(query, col - region.col));
                    prop_assert_eq!(want.to_bits(), got.to_bits());
                }
            }
        }
    }

    proptest! {
        #[test]
        fn recycled_rows_keep_no_earlier_values(
            width in 1usize..600, height in 1usize..90, window in 1usize..40, share in 0.2f64..=1.0, blend in blend(),
            left_out in prop::collection::vec(any::<bool>(), 1..30),
        ) {
            let stride = ((window as f64 * share).ceil() as usize).clamp(1, window);
            let grid = Grid::new(Size::new(width, height), window, stride);
            let stitched = |recycle: bool| {
                let mut accumulator = Accumulator::new(grid.scene().window(), grid.window(), 1, blend);
                let mut values = Vec::new();
                let mut finish = |accumulator: &mut Accumulator, before: usize| {
                    let rows = accumulator.finish_before(before);
                    values.extend(rows.iter().flat_map(|row| (0..width).map(|col| (row.valid[col], row.logit(0, col)))));
                    if recycle {
                        accumulator.recycle(rows);
                    }
                };
                for (window, _) in grid.windows().zip(left_out.iter().cycle()).filter(|(_, left_out)| !**left_out) {
                    finish(&mut accumulator, window.row);
                    let logits = vec![(window.row * 7 + window.col) as f32 + 1.0; window.size().pixels()];
                    accumulator.add(&window, &logits, None);
                }
                finish(&mut accumulator, height);
                values
            };
            let values = stitched(true);
            prop_assert_eq!(&values, &stitched(false));
            prop_assert!(values.iter().all(|&(valid, logit)| valid == (logit > 0.0)));
        }
    }

    #[test]
    fn stitch_covers_narrow_and_small_scenes() {
        for (width, height) in [(300, 1), (1, 300), (1, 1), (97, 101), (10, 10)] {
            round_trip(Size::new(width, height), 32, 16, Blend::Hann, |query, row, col| (query + row * col) as f32);
        }
    }

    #[test]
    fn pixels_without_window_have_no_data() {
        let scene = Size::new(8, 8);
        let mut accumulator = Accumulator::new(scene.window(), Size::new(4, 4), 1, Blend::Average);
        let half =
            [true, true, true, true, true, true, true, true, false, false, false, false, false, false, false, false];
        accumulator.add(&Window { col: 4, row: 0, width: 4, height: 4 }, &[2.0; 16], Some(&half));
        let rows = accumulator.finish_before(8);
        assert_eq!(rows[1].valid, [false, false, false, false, true, true, true, true]);
        assert!(rows[2].valid.iter().all(|&valid| !valid) && rows[7].valid.iter().all(|&valid| !valid));
        let logits: Vec<f32> = (0..8).map(|col| rows[0].logit(0, col)).collect();
        assert_eq!(logits, [0.0, 0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 2.0]);
    }
}
