//! Resamples results from the model's grid to the scene's own, by nearest neighbour, row by row.

use std::ops::Range;

use crate::geom::Size;

/// Nearest-neighbour resampling from the model's grid to the scene's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Regrid {
    from: Size,
    to: Size,
    /// Pixels of `to` per pixel of `from`, in columns and rows; both grids begin at the same corner.
    scale: [f64; 2],
}

impl Regrid {
    pub fn new(from: Size, to: Size, scale: [f64; 2]) -> Self {
        Self { from, to, scale }
    }

    /// The rows of `to` whose centres lie in these rows of `from`. Adjacent ranges give adjacent ranges.
    pub fn rows(&self, from: &Range<usize>) -> Range<usize> {
        let first = |row: usize| match row {
            row if row >= self.from.height => self.to.height,
            row => ((row as f64 * self.scale[1] - 0.5).ceil().max(0.0) as usize).min(self.to.height),
        };
        first(from.start)..first(from.end)
    }

    /// Values of the rows `rows` of `to`, from values of the rows of `from` that begin at `first`; both ordered (plane, row,
    /// column).
    pub fn expand<T: Copy>(&self, values: &[T], planes: usize, first: usize, rows: &Range<usize>) -> Vec<T> {
        let nearest = |index: usize, scale: f64, count: usize| {
            (((index as f64 + 0.5) / scale) as usize).min(count.saturating_sub(1))
        };
        let cols: Vec<usize> = (0..self.to.width).map(|col| nearest(col, self.scale[0], self.from.width)).collect();
        let height = values.len() / (planes * self.from.width).max(1);
        let mut out = Vec::with_capacity(planes * rows.len() * self.to.width);
        for plane in values.chunks_exact((height * self.from.width).max(1)) {
            for row in rows.clone() {
                let row = nearest(row, self.scale[1], self.from.height).clamp(first, first + height.saturating_sub(1));
                let line = &plane[(row - first) * self.from.width..][..self.from.width];
                out.extend(cols.iter().map(|&col| line[col]));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn regrid_takes_every_row_once_from_the_nearest_pixel(
            width in 1usize..40, height in 1usize..60, scale in [0.2f64..7.0, 0.2f64..7.0], portion in 1usize..20,
        ) {
            let to = Size::new(width, height);
            let count = |size: usize, scale: f64| ((size as f64 / scale - 1e-6).ceil() as usize).max(1);
            let from = Size::new(count(width, scale[0]), count(height, scale[1]));
            let regrid = Regrid::new(from, to, scale);
            let values: Vec<u32> = (0..2 * from.pixels() as u32).collect();
            let mut next = 0;
            for first in (0..from.height).step_by(portion) {
                let end = (first + portion).min(from.height);
                let rows = regrid.rows(&(first..end));
                prop_assert_eq!(rows.start, next);
                next = rows.end;
                let portion: Vec<u32> = values.chunks_exact(from.pixels())
                    .flat_map(|plane| plane[first * from.width..end * from.width].to_vec()).collect();
                let found = regrid.expand(&portion, 2, first, &rows);
                prop_assert_eq!(found.len(), 2 * rows.len() * width);
                for (index, &found) in found.iter().enumerate() {
                    let (plane, row, col) = (index / width / rows.len(), rows.start + index / width % rows.len(), index % width);
                    let (r, c) = (found as usize % from.pixels() / from.width, found as usize % from.width);
                    prop_assert_eq!(found as usize / from.pixels(), plane);
                    let near = |there: usize, here: usize, scale: f64| {
                        (there as f64 * scale - (here as f64 + 0.5)) <= 1e-9 && (here as f64 + 0.5) - (there + 1) as f64 * scale <= 1e-9
                    };
                    prop_assert!(near(r, row, scale[1]) && near(c, col, scale[0]), "{} {} is no {} {}", row, col, r, c);
                }
            }
            prop_assert_eq!(next, height);
        }
    }
}
