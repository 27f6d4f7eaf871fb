//! A scene on a finer or coarser grid: averages where pixels become larger, cubic convolution where they become smaller.
//!
//! Each pixel is computed from the scene's own pixels by its position alone, in a fixed order: it is the same through every
//! window. Weights are those of valid pixels only.
//!
//! GDAL's resampling (`RasterIO` with a resampling method) is not used: its result depends on the window that is read and on
//! the overview that GDAL chooses, so that a resumed or sharded run would not give the same bytes, and validity comes from
//! each band's own mask instead of the rule of `scene/mask.rs`. No version of GDAL so far would let this file go.

#![expect(
    clippy::indexing_slicing,
    reason = "rows and columns between the taps' first and last, for which there is room"
)]

use super::band_reader::{BandReader, RawPixels};
use crate::error::Result;
use crate::geom::{Size, Window};

/// Most pixels of the scene that are in memory at once.
const PIECE: usize = 4 << 20;

/// Resamples from a scene's own grid to the one it is read on.
pub(super) struct Resampler {
    native: Size,
    /// Width and height of a pixel of the grid in pixels of the scene.
    scale: [f64; 2],
}

/// The pixels along one axis that contribute to one pixel, and their weights.
struct Taps {
    first: usize,
    weights: Vec<f64>,
}

/// A row of pixels weighted along the columns only.
#[derive(Clone)]
struct Sums {
    /// (channel, column): weighted values.
    values: Vec<f64>,
    /// Weights of what is valid, by column.
    weights: Vec<f64>,
}

impl Resampler {
    pub(super) fn new(native: Size, scale: [f64; 2]) -> Self {
        Self { native, scale }
    }

    /// The grid's size. As with gdalwarp, its last pixels may extend beyond the scene, or leave out up to half a pixel.
    pub(super) fn size(native: Size, scale: [f64; 2]) -> Size {
        let count = |native: usize, scale: f64| ((native as f64 / scale).round() as usize).max(1);
        Size::new(count(native.width, scale[0]), count(native.height, scale[1]))
    }

    /// Number of rows of the scene under so many rows of the grid.
    pub(super) fn native_rows(&self, rows: usize) -> usize {
        let down = self.scale[1];
        // Cubic convolution needs two more pixels on both sides, an average one pixel of the grid.
        (rows as f64 * down).ceil() as usize + 2 * down.ceil().max(2.0) as usize
    }

    /// Reads a window of the grid.
    pub(super) fn read(&self, source: &BandReader, window: Window) -> Result<RawPixels> {
        let [cols, rows] = [
            window.cols().map(|col| taps(col, self.scale[0], self.native.width)).collect::<Vec<_>>(),
            window.rows().map(|row| taps(row, self.scale[1], self.native.height)).collect(),
        ];
        let pixels = window.size().pixels();
        let mut values = vec![0f32; 3 * pixels];
        let mut valid = vec![true; pixels];
        let (left, right) = span(&cols);
        let rows_at_once = (PIECE / (right - left).max(1)).max(1);
        let mut done = 0;
        while done < rows.len() {
            // As many rows of the grid as fit with their source rows into one piece.
            let top = rows[done].first;
            let fitting = rows[done..].iter().take_while(|taps| taps.end() <= top + rows_at_once).count().max(1);
            let bottom = rows[done..done + fitting].iter().map(Taps::end).max().unwrap_or(top + 1);
            self.piece(
                source,
                window,
                (left, right),
                (top, bottom),
                &cols,
                &rows[done..done + fitting],
                done,
                &mut values,
                &mut valid,
            )?;
            done += fitting;
        }
        let valid = (!valid.iter().all(|&valid| valid)).then_some(valid);
        Ok(RawPixels { values, valid })
    }

    /// Computes the rows of `rows`, the first of which is row `first` of the window, from the scene's rows `top..bottom`.
    #[expect(clippy::too_many_arguments, reason = "one call, of which these are the two axes and the two results")]
    fn piece(
        &self,
        source: &BandReader,
        window: Window,
        (left, right): (usize, usize),
        (top, bottom): (usize, usize),
        cols: &[Taps],
        rows: &[Taps],
        first: usize,
        values: &mut [f32],
        valid: &mut [bool],
    ) -> Result<()> {
        let mut sums: Vec<Option<Sums>> = vec![None; bottom - top];
        // A row of the grid that spans more rows than fit is summed piece by piece.
        let mut read = top..top;
        let mut raw = RawPixels { values: Vec::new(), valid: None };
        for (index, taps) in rows.iter().enumerate() {
            let mut total = Sums { values: vec![0.0; 3 * cols.len()], weights: vec![0.0; cols.len()] };
            for (row, &weight) in (taps.first..).zip(&taps.weights) {
                if !read.contains(&row) && sums[row - top].is_none() {
                    let count = (PIECE / (right - left)).clamp(1, bottom - row);
                    raw = source.raw(Window { col: left, row, width: right - left, height: count })?;
                    read = row..row + count;
                }
                let across = sums[row - top]
                    .get_or_insert_with(|| weighted(&raw, row - read.start, read.len(), right - left, left, cols));
                add(&mut total, across, weight);
            }
            // Rows above the next one's first are not needed again.
            let next = rows.get(index + 1).map_or(bottom, |next| next.first);
            sums[..next.min(bottom) - top].fill(None);
            self.normalise(&total, window, first + index, values, valid);
        }
        Ok(())
    }

    fn normalise(&self, total: &Sums, window: Window, row: usize, values: &mut [f32], valid: &mut [bool]) {
        let (width, pixels) = (window.width, window.size().pixels());
        for col in 0..width {
            let at = row * width + col;
            let weight = total.weights[col];
            // The weights of a pixel add up to one: half of its area must be valid.
            if weight < 0.5 - 1e-9 {
                valid[at] = false;
                continue;
            }
            for channel in 0..3 {
                values[channel * pixels + at] = (total.values[channel * width + col] / weight) as f32;
            }
        }
    }
}

impl Taps {
    fn end(&self) -> usize {
        self.first + self.weights.len()
    }
}

/// The range of columns that the pixels need.
fn span(taps: &[Taps]) -> (usize, usize) {
    let first = taps.iter().map(|taps| taps.first).min().unwrap_or(0);
    (first, taps.iter().map(Taps::end).max().unwrap_or(first + 1))
}

/// One row of the scene, weighted along its columns.
fn weighted(raw: &RawPixels, row: usize, height: usize, width: usize, left: usize, cols: &[Taps]) -> Sums {
    let plane = width * height;
    let mut sums = Sums { values: vec![0.0; 3 * cols.len()], weights: vec![0.0; cols.len()] };
    for (col, taps) in cols.iter().enumerate() {
        for (offset, &weight) in taps.weights.iter().enumerate() {
            let at = row * width + taps.first - left + offset;
            // Invalid pixels may be NaN, and NaN times zero is NaN.
            if raw.valid.as_ref().is_none_or(|valid| valid[at]) {
                sums.weights[col] += weight;
                for channel in 0..3 {
                    sums.values[channel * cols.len() + col] += weight * f64::from(raw.values[channel * plane + at]);
                }
            }
        }
    }
    sums
}

fn add(total: &mut Sums, row: &Sums, weight: f64) {
    total.values.iter_mut().zip(&row.values).for_each(|(total, value)| *total += weight * value);
    total.weights.iter_mut().zip(&row.weights).for_each(|(total, value)| *total += weight * value);
}

/// The taps of pixel `index` of an axis, `scale` pixels of the scene wide; their weights add up to one.
fn taps(index: usize, scale: f64, native: usize) -> Taps {
    let from = index as f64 * scale;
    if scale >= 1.0 {
        let to = (from + scale).min(native as f64);
        let first = (from.floor() as usize).min(native - 1);
        let last = ((to - 1e-9).ceil() as usize).clamp(first + 1, native);
        let covered = |at: usize| (to.min((at + 1) as f64) - from.max(at as f64)).max(0.0);
        let weights: Vec<f64> = (first..last).map(covered).collect();
        return normalised(first, weights);
    }
    let centre = from + scale / 2.0 - 0.5;
    let base = centre.floor();
    let place = |offset: i32| (base as i64 + i64::from(offset)).clamp(0, native as i64 - 1) as usize;
    let (first, last) = (place(-1), place(2));
    let mut weights = vec![0.0; last - first + 1];
    for offset in -1..=2 {
        // Beyond the edge the last pixel is repeated.
        weights[place(offset) - first] += cubic(centre - base - f64::from(offset));
    }
    normalised(first, weights)
}

fn normalised(first: usize, mut weights: Vec<f64>) -> Taps {
    let sum: f64 = weights.iter().sum();
    if sum > 0.0 {
        weights.iter_mut().for_each(|weight| *weight /= sum);
    } else {
        let count = weights.len() as f64;
        weights.fill(1.0 / count);
    }
    Taps { first, weights }
}

/// Keys' kernel with a = -1/2 (Catmull and Rom's spline), as GDAL's `cubic`.
fn cubic(x: f64) -> f64 {
    let x = x.abs();
    if x <= 1.0 {
        (1.5 * x - 2.5) * x * x + 1.0
    } else if x < 2.0 {
        ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::inspect;
    use super::super::test_scenes::{make, plane};
    use super::*;

    fn source(path: &str, size: Size, value: impl Fn(usize, usize) -> f32) -> BandReader {
        make(path, size, &[plane(size, value)], &["TILED=YES"], |_| {});
        BandReader::open(&inspect(path).unwrap(), [1, 1, 1], None).unwrap()
    }

    #[test]
    fn averages_use_valid_pixels_only() {
        let size = Size::new(5, 4);
        let value =
            |col: usize, row: usize| if (col, row) == (1, 1) || col == 4 { f32::NAN } else { (col + 10 * row) as f32 };
        let source = source("/vsimem/average.tif", size, value);
        let scale = [2.0, 2.0];
        let grid = Resampler::size(size, scale);
        assert_eq!(grid, Size::new(3, 2));
        let raw = Resampler::new(size, scale).read(&source, grid.window()).unwrap();
        assert_eq!(raw.values[0], (0.0 + 1.0 + 10.0) / 3.0);
        assert_eq!(raw.values[1], 7.5);
        assert_eq!(raw.values[4], 27.5);
        // Half of the third pixel lies beyond the scene, and its other half holds nothing.
        assert_eq!(raw.valid.unwrap(), [true, true, false, true, true, false]);
        let raw =
            Resampler::new(size, [2.5, 1.0]).read(&source, Window { col: 0, row: 2, width: 1, height: 1 }).unwrap();
        assert!((raw.values[0] - (20.0 + 21.0 + 11.0) / 2.5).abs() < 1e-5, "{}", raw.values[0]);
    }

    #[test]
    fn cubic_keeps_slopes_and_positions() {
        let size = Size::new(12, 9);
        let source = source("/vsimem/cubic.tif", size, |col, row| (3 * col + 7 * row) as f32);
        let scale = [0.5, 0.25];
        let raw = Resampler::new(size, scale).read(&source, Window { col: 4, row: 8, width: 14, height: 16 }).unwrap();
        for (index, found) in raw.values[..14 * 16].iter().enumerate() {
            let (col, row) = ((4 + index % 14) as f64, (8 + index / 14) as f64);
            let expected = 3.0 * ((col + 0.5) * 0.5 - 0.5) + 7.0 * ((row + 0.5) * 0.25 - 0.5);
            assert!((f64::from(*found) - expected).abs() < 1e-4, "{found} is not {expected}");
        }
        let whole = Resampler::size(size, scale);
        let corner = Resampler::new(size, scale).read(&source, whole.window()).unwrap();
        assert_eq!((whole, corner.valid), (Size::new(24, 36), None));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn pixels_do_not_depend_on_the_window(
            scale in [0.2f64..6.0, 0.2f64..6.0], at in [0.0f64..1.0, 0.0f64..1.0], share in [0.0f64..1.0, 0.0f64..1.0],
        ) {
            let size = Size::new(70, 50);
            let value = |col: usize, row: usize| {
                if (col * 3 + row * 5) % 29 < 4 { f32::NAN } else { ((col * 7919 + row * 104_729) % 1009) as f32 }
            };
            let source = source("/vsimem/resampled.tif", size, value);
            let grid = Resampler::size(size, scale);
            let resampler = Resampler::new(size, scale);
            let whole = resampler.read(&source, grid.window()).unwrap();
            let part = |size: usize, at: f64, share: f64| {
                let from = ((size as f64 * at) as usize).min(size - 1);
                (from, 1 + ((size - from - 1) as f64 * share) as usize)
            };
            let ((col, width), (row, height)) = (part(grid.width, at[0], share[0]), part(grid.height, at[1], share[1]));
            let window = Window { col, row, width, height };
            let found = resampler.read(&source, window).unwrap();
            for index in 0..window.size().pixels() {
                let there = (row + index / width) * grid.width + col + index % width;
                let valid = |raw: &RawPixels, at: usize| raw.valid.as_ref().is_none_or(|valid| valid[at]);
                prop_assert_eq!(valid(&found, index), valid(&whole, there));
                prop_assert_eq!(found.values[index].to_bits(), whole.values[there].to_bits());
            }
        }
    }
}
