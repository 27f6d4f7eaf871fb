//! Rolling rows: logits gather only for the rows that windows still reach.

use std::collections::VecDeque;

use rayon::prelude::*;

use super::weights::window_weights;
use crate::geom::{Blend, Size, Window};

/// One row of the scene while its windows come in, and finished when the last one has.
#[derive(Clone, Debug)]
pub struct Row {
    /// Weighted sums, then means: (query, column).
    pub logits: Vec<f32>,
    /// Which pixels hold data; pixels that no window reached hold none.
    pub valid: Vec<bool>,
    weights: Vec<f32>,
}

impl Row {
    fn new(width: usize, queries: usize) -> Self {
        Self { logits: vec![0.0; width * queries], valid: vec![false; width], weights: vec![0.0; width] }
    }

    fn clear(&mut self) {
        self.logits.fill(0.0);
        self.valid.fill(false);
        self.weights.fill(0.0);
    }

    fn add(&mut self, window: &Window, window_row: usize, logits: &[f32], valid: Option<&[bool]>, weights: &Weights) {
        let width = self.weights.len();
        let row_weight = weights.rows[window_row];
        for (sum, &weight) in self.weights[window.cols()].iter_mut().zip(&weights.cols) {
            *sum += row_weight * weight;
        }
        let pixels = window.size().pixels();
        for (query, sums) in self.logits.chunks_exact_mut(width).enumerate() {
            let start = query * pixels + window_row * window.width;
            let logits = &logits[start..start + window.width];
            for ((sum, &logit), &weight) in sums[window.cols()].iter_mut().zip(logits).zip(&weights.cols) {
                *sum += row_weight * weight * logit;
            }
        }
        let covered = &mut self.valid[window.cols()];
        match valid {
            None => covered.fill(true),
            Some(valid) => {
                let valid = &valid[window_row * window.width..][..window.width];
                covered.iter_mut().zip(valid).for_each(|(covered, &valid)| *covered |= valid);
            }
        }
    }

    fn finish(&mut self) {
        let width = self.weights.len();
        for sums in self.logits.chunks_exact_mut(width) {
            for (sum, &weight) in sums.iter_mut().zip(&self.weights) {
                // A weight of zero is a pixel that only skipped windows reach: it is not valid, and its sum is zero.
                *sum /= if weight > 0.0 { weight } else { 1.0 };
            }
        }
    }
}

#[derive(Debug)]
struct Weights {
    rows: Vec<f32>,
    cols: Vec<f32>,
}

/// Blends windows that arrive row by row, left to right, as [`crate::geom::Grid`] gives them.
///
/// Every pixel adds its windows in that order, whatever the batch or the number of threads: the same bytes come out.
/// Memory: width × (window height + stride) × queries floats at the most.
#[derive(Debug)]
pub struct Accumulator {
    scene: Size,
    queries: usize,
    weights: Weights,
    /// The scene's row that `rows[0]` is.
    first: usize,
    rows: VecDeque<Row>,
    spare: Vec<Row>,
}

impl Accumulator {
    /// Bytes that the rows of a scene take at the most while windows of `window` pixels come every `stride`.
    pub fn memory(scene: Size, window: Size, stride: usize, queries: usize) -> f64 {
        let rows = scene.height.min(window.height + stride);
        // Logits and a weight of four bytes each, and whether there is data.
        scene.width as f64 * rows as f64 * (4.0 * (queries as f64 + 1.0) + 1.0)
    }

    /// For windows of `window` pixels with logits of `queries` channels.
    pub fn new(scene: Size, window: Size, queries: usize, blend: Blend) -> Self {
        let weights = Weights { rows: window_weights(blend, window.height), cols: window_weights(blend, window.width) };
        Self { scene, queries, weights, first: 0, rows: VecDeque::new(), spare: Vec::new() }
    }

    /// Adds a window: `logits` (query, row, column), `valid` (row, column) or `None` where all pixels hold data.
    ///
    /// # Panics
    /// When the window lies above rows already finished, outside the scene, or does not fit `logits`: defects of the caller.
    pub fn add(&mut self, window: &Window, logits: &[f32], valid: Option<&[bool]>) {
        assert!(window.row >= self.first, "windows come row by row");
        assert!(window.rows().end <= self.scene.height && window.cols().end <= self.scene.width, "windows lie inside");
        assert_eq!(logits.len(), self.queries * window.size().pixels(), "logits fit the window");
        self.reach(window.rows().end);
        let weights = &self.weights;
        let skip = window.row - self.first;
        self.rows.make_contiguous()[skip..skip + window.height]
            .par_iter_mut()
            .enumerate()
            .for_each(|(window_row, row)| row.add(window, window_row, logits, valid, weights));
    }

    /// Takes out the rows before `row`, blended; rows that no window reached come out without data.
    pub fn finish_before(&mut self, row: usize) -> Vec<Row> {
        self.reach(row);
        let mut finished: Vec<Row> = self.rows.drain(..row.saturating_sub(self.first)).collect();
        self.first = self.first.max(row);
        finished.par_iter_mut().for_each(Row::finish);
        finished
    }

    /// Gives rows back whose contents have been used, so that their memory serves again.
    pub fn recycle(&mut self, rows: Vec<Row>) {
        self.spare.extend(rows);
    }

    fn reach(&mut self, end: usize) {
        while self.first + self.rows.len() < end {
            let row = match self.spare.pop() {
                Some(mut row) => {
                    row.clear();
                    row
                }
                None => Row::new(self.scene.width, self.queries),
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

    /// Cuts a made-up scene of two queries into windows and stitches them again.
    fn round_trip(scene: Size, window: usize, stride: usize, blend: Blend, value: impl Fn(usize, usize, usize) -> f32) {
        let grid = Grid::new(scene, window, stride);
        let mut accumulator = Accumulator::new(scene, grid.window(), 2, blend);
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
                    let (got, want) = (stitched.logits[query * scene.width + col], value(query, row, col));
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
        fn an_identity_model_gets_its_input_back(
            width in 1usize..120, height in 1usize..120, window in 1usize..50, share in 0.05f64..=1.0, blend in blend(),
        ) {
            let stride = ((window as f64 * share).ceil() as usize).clamp(1, window);
            round_trip(Size::new(width, height), window, stride, blend, |query, row, col| {
                ((row * 31 + col * 17 + query * 7) % 101) as f32 - 50.0
            });
        }
    }

    #[test]
    fn odd_scenes_come_back_whole() {
        for (width, height) in [(300, 1), (1, 300), (1, 1), (97, 101), (10, 10)] {
            round_trip(Size::new(width, height), 32, 16, Blend::Hann, |query, row, col| (query + row * col) as f32);
        }
    }

    #[test]
    fn pixels_that_no_window_reached_hold_no_data() {
        let scene = Size::new(8, 8);
        let mut accumulator = Accumulator::new(scene, Size::new(4, 4), 1, Blend::Average);
        let half =
            [true, true, true, true, true, true, true, true, false, false, false, false, false, false, false, false];
        accumulator.add(&Window { col: 4, row: 0, width: 4, height: 4 }, &[2.0; 16], Some(&half));
        let rows = accumulator.finish_before(8);
        assert_eq!(rows[1].valid, [false, false, false, false, true, true, true, true]);
        assert!(rows[2].valid.iter().all(|&valid| !valid) && rows[7].valid.iter().all(|&valid| !valid));
        assert_eq!(rows[0].logits, [0.0, 0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 2.0]);
    }
}
