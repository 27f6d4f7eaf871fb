//! Bilinear interpolation between two grids over the same extent: which pixels of one grid make a pixel of the other.
//!
//! Positions are those of PyTorch's `interpolate(mode="bilinear", align_corners=False)` for a given size, in float32.

use std::ops::Range;

use super::window::{Size, Window};

/// From a grid of `from` pixels to one of `to` pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zoom {
    pub from: Size,
    pub to: Size,
}

/// The two neighbours of a position along one axis; `share` belongs to `second`, the rest to `first`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    pub first: usize,
    pub second: usize,
    /// 0..1
    pub share: f32,
}

impl Zoom {
    pub fn new(from: Size, to: Size) -> Self {
        Self { from, to }
    }

    /// The rows that make row `row` of the result.
    pub fn row(&self, row: usize) -> Pair {
        pair(row, self.from.height, self.to.height)
    }

    /// The columns that make column `col` of the result.
    pub fn col(&self, col: usize) -> Pair {
        pair(col, self.from.width, self.to.width)
    }

    /// The part of the source that a part of the result is made from. A part without rows has none.
    pub fn sources(&self, part: Window) -> Window {
        let span = |range: Range<usize>, of: &dyn Fn(usize) -> Pair| {
            let first = of(range.start).first;
            if range.is_empty() { first..first } else { first..of(range.end - 1).second + 1 }
        };
        let (rows, cols) = (span(part.rows(), &|row| self.row(row)), span(part.cols(), &|col| self.col(col)));
        Window { col: cols.start, row: rows.start, width: cols.len(), height: rows.len() }
    }
}

fn pair(index: usize, from: usize, to: usize) -> Pair {
    let scale = from as f32 / to.max(1) as f32;
    let position = (scale * (index as f32 + 0.5) - 0.5).max(0.0);
    let first = (position as usize).min(from.saturating_sub(1));
    let second = (first + 1).min(from.saturating_sub(1));
    Pair { first, second, share: (position - first as f32).clamp(0.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_follow_pixel_centres_and_stay_inside() {
        let zoom = Zoom::new(Size::new(2, 4), Size::new(4, 2));
        let cols: Vec<Pair> = (0..4).map(|col| zoom.col(col)).collect();
        let pair = |first, second, share| Pair { first, second, share };
        assert_eq!(cols, [pair(0, 1, 0.0), pair(0, 1, 0.25), pair(0, 1, 0.75), pair(1, 1, 0.25)]);
        assert_eq!([zoom.row(0), zoom.row(1)], [pair(0, 1, 0.5), pair(2, 3, 0.5)]);
    }

    #[test]
    fn sources_of_a_part_hold_all_its_pairs() {
        let zoom = Zoom::new(Size::new(448, 269), Size::new(500, 300));
        for (first, end) in [(0, 300), (0, 1), (299, 300), (17, 120)] {
            let part = Window { col: 3, row: first, width: 400, height: end - first };
            let sources = zoom.sources(part);
            for row in part.rows() {
                let pair = zoom.row(row);
                assert!(sources.rows().contains(&pair.first) && sources.rows().contains(&pair.second));
            }
            assert!(sources.rows().end <= 269 && sources.cols().end <= 448);
        }
        assert_eq!(zoom.sources(Window { col: 0, row: 0, width: 500, height: 300 }), Size::new(448, 269).window());
        assert!(zoom.sources(Window { col: 0, row: 9, width: 5, height: 0 }).rows().is_empty());
    }
}
