//! Brings blended logits to another grid bilinearly, row by row: only rows that further results need are in memory.

use std::collections::VecDeque;

use rayon::prelude::*;

use super::accumulate::Row;
use crate::geom::{Pair, Window, Zoom};

/// Logits of a part of a scene, on their way from the grid that the model saw to the grid of the results.
///
/// A pixel takes part where it has data; the shares of those that have are scaled to one. A pixel of the result has data where
/// the nearest pixel of the source has.
#[derive(Debug)]
pub struct LogitZoom {
    zoom: Zoom,
    /// In pixels of the results.
    part: Window,
    /// The columns and rows of the source that the part needs.
    source: Window,
    queries: usize,
    cols: Vec<Pair>,
    /// The row of the source that `rows[0]` holds.
    first: usize,
    rows: VecDeque<Row>,
    /// The next row of the results.
    next: usize,
}

impl LogitZoom {
    /// For the results of `part`. Rows of the source come as wide as, and beginning with, `zoom.sources(part)`.
    pub fn new(zoom: Zoom, part: Window, queries: usize) -> Self {
        let source = zoom.sources(part);
        let cols = part.cols().map(|col| zoom.col(col)).collect();
        Self { zoom, part, source, queries, cols, first: source.row, rows: VecDeque::new(), next: part.row }
    }

    /// Adds finished rows of the source, in order.
    pub fn push(&mut self, rows: Vec<Row>) {
        self.rows.extend(rows);
    }

    /// Up to `most` rows of the results that can be computed; none where more rows of the source are needed, or all are done.
    pub fn take(&mut self, most: usize) -> Vec<Row> {
        let known = self.first + self.rows.len();
        let ready = (self.next..self.part.rows().end).take(most).take_while(|row| self.zoom.row(*row).second < known);
        let ready: Vec<usize> = ready.collect();
        self.next += ready.len();
        ready.par_iter().map(|row| self.row(*row)).collect()
    }

    /// Removes rows of the source that no further result needs, to reuse their memory.
    pub fn spent(&mut self) -> Vec<Row> {
        let needed = match self.next < self.part.rows().end {
            true => self.zoom.row(self.next).first,
            false => self.first + self.rows.len(),
        };
        let count = needed.saturating_sub(self.first).min(self.rows.len());
        self.first += count;
        self.rows.drain(..count).collect()
    }

    fn row(&self, row: usize) -> Row {
        let pair = self.zoom.row(row);
        let rows = [&self.rows[pair.first - self.first], &self.rows[pair.second - self.first]];
        let left = |col: usize| self.cols[col].first - self.source.col;
        let right = |col: usize| self.cols[col].second - self.source.col;
        let has = |col: usize| [left(col), right(col)].map(|col| rows.map(|row| row.valid[col]));
        let mut out = Row::blank(self.cols.len(), self.queries);
        for col in 0..self.cols.len() {
            let nearest = has(col)[usize::from(self.cols[col].share >= 0.5)];
            out.valid[col] = nearest[usize::from(pair.share >= 0.5)];
        }
        let whole: Vec<bool> = (0..self.cols.len()).map(|col| has(col) == [[true; 2]; 2]).collect();
        let mut down = vec![0f32; self.source.width];
        for query in 0..self.queries {
            for (col, down) in down.iter_mut().enumerate() {
                *down = (1.0 - pair.share) * rows[0].logit(query, col) + pair.share * rows[1].logit(query, col);
            }
            out.set(query, |col| {
                let share = self.cols[col].share;
                if whole[col] {
                    return (1.0 - share) * down[left(col)] + share * down[right(col)];
                }
                // The shares of pixels with data only.
                let (mut sum, mut weights) = (0f32, 0f32);
                for (at, across) in [(left(col), 1.0 - share), (right(col), share)] {
                    for (row, weight) in rows.iter().zip([1.0 - pair.share, pair.share]) {
                        if row.valid[at] {
                            sum += weight * across * row.logit(query, at);
                            weights += weight * across;
                        }
                    }
                }
                sum / weights
            });
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geom::{Blend, Size};
    use crate::stitch::Accumulator;

    /// Finished rows of a region of a scene whose logit is a plane over columns and rows; some pixels have no data.
    fn rows(region: Window, valid: impl Fn(usize, usize) -> bool) -> Vec<Row> {
        let mut accumulator = Accumulator::new(region, region.size(), 2, Blend::Average);
        let pixels = || region.rows().flat_map(|row| region.cols().map(move |col| (row, col)));
        let plane = |(row, col): (usize, usize)| 3.0 * row as f32 + 5.0 * col as f32;
        let logits: Vec<f32> = pixels().map(plane).chain(pixels().map(|at| -plane(at))).collect();
        let valid: Vec<bool> = pixels().map(|(row, col)| valid(row, col)).collect();
        accumulator.add(&region, &logits, Some(&valid));
        accumulator.finish_before(region.rows().end)
    }

    /// All rows of the results, with source rows given one at a time.
    fn zoomed(zoom: Zoom, part: Window, valid: impl Fn(usize, usize) -> bool) -> Vec<Row> {
        let mut stage = LogitZoom::new(zoom, part, 2);
        let mut results = Vec::new();
        for row in rows(zoom.sources(part), valid) {
            stage.push(vec![row]);
            loop {
                let some = stage.take(3);
                if some.is_empty() {
                    break;
                }
                results.extend(some);
            }
            stage.spent();
            assert!(stage.rows.len() <= 2, "rows that nothing needs are kept");
        }
        results
    }

    #[test]
    fn planes_stay_planes_at_any_size() {
        for (from, to) in [((7, 5), (13, 22)), ((13, 22), (7, 5)), ((4, 4), (4, 9)), ((600, 3), (301, 2))] {
            let zoom = Zoom::new(Size::new(from.0, from.1), Size::new(to.0, to.1));
            let results = zoomed(zoom, zoom.to.window(), |_, _| true);
            assert_eq!(results.len(), to.1);
            let at = |index: usize, from: usize, to: usize| {
                ((index as f32 + 0.5) * from as f32 / to as f32 - 0.5).clamp(0.0, from as f32 - 1.0)
            };
            for (row, result) in results.iter().enumerate() {
                assert!(result.valid.iter().all(|valid| *valid));
                for col in 0..to.0 {
                    let want = 3.0 * at(row, from.1, to.1) + 5.0 * at(col, from.0, to.0);
                    assert!((result.logit(0, col) - want).abs() < 2e-3, "{}", result.logit(0, col));
                    assert!((result.logit(1, col) + want).abs() < 2e-3);
                }
            }
        }
    }

    #[test]
    fn parts_equal_the_whole_to_the_bit() {
        let zoom = Zoom::new(Size::new(61, 40), Size::new(300, 97));
        let valid = |row: usize, col: usize| (row * 7 + col * 3) % 11 > 2;
        let whole = zoomed(zoom, zoom.to.window(), valid);
        let part = Window { col: 20, row: 33, width: 270, height: 50 };
        for (row, found) in part.rows().zip(zoomed(zoom, part, valid)) {
            for col in part.cols() {
                assert_eq!(found.valid[col - 20], whole[row].valid[col]);
                assert_eq!(found.logit(1, col - 20).to_bits(), whole[row].logit(1, col).to_bits());
            }
        }
    }

    #[test]
    fn pixels_without_data_do_not_count() {
        let zoom = Zoom::new(Size::new(2, 1), Size::new(4, 1));
        let results = zoomed(zoom, zoom.to.window(), |_, col| col == 0);
        assert_eq!(results[0].valid, [true, true, false, false]);
        assert_eq!([results[0].logit(0, 0), results[0].logit(0, 1)], [0.0, 0.0]);
    }
}
