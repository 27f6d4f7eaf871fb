//! Overviews inside a finished raster: each level is computed from the one below it, two by two pixels to one.
//!
//! `GDALBuildOverviews` is not used: it writes blocks in the order in which GDAL's cache flushes them. Here they go to the file
//! in order, so that the same raster gives the same bytes. No version of GDAL so far would let this file go.

#![expect(clippy::indexing_slicing, reason = "columns of a block, and up to four pixels under one")]

use gdal::Dataset;
use gdal::raster::{Buffer, GdalType, RasterBand};

use super::target::Target;
use crate::error::Result;
use crate::geom::{Size, Window};

/// The coarsest level fits into one block.
const SMALLEST: usize = 256;

/// The factors of the levels: 2, 4, 8, …
pub(super) fn factors(size: Size) -> Vec<i32> {
    let larger = |factor: &i32| size.width.max(size.height).div_ceil(*factor as usize / 2) > SMALLEST;
    (1..30).map(|power| 1 << power).take_while(larger).collect()
}

/// Adds overviews to a raster whose pixels are all written. `reduce` computes one pixel from the one, two or four below
/// it, in the order of rows and columns.
pub(super) fn build<T: GdalType + Copy>(target: &mut Target, fill: T, reduce: impl Fn(&[T]) -> T) -> Result<()> {
    let factors = factors(target.size());
    if factors.is_empty() {
        return Ok(());
    }
    let bands = target.bands();
    target.attempt("add overviews to", |dataset| {
        dataset.build_overviews("NONE", &factors, &[])?;
        for band in 1..=bands {
            for level in 0..factors.len() {
                fill_level(dataset, band, level, fill, &reduce)?;
            }
        }
        Ok(())
    })
}

fn fill_level<T: GdalType + Copy>(
    dataset: &Dataset,
    band: usize,
    level: usize,
    fill: T,
    reduce: &impl Fn(&[T]) -> T,
) -> gdal::errors::Result<()> {
    let base = dataset.rasterband(band)?;
    let below = match level.checked_sub(1) {
        None => dataset.rasterband(band)?,
        Some(below) => base.overview(below)?,
    };
    let mut overview = base.overview(level)?;
    let (size, below_size) = (size_of_band(&overview), size_of_band(&below));
    let (width, height) = overview.block_size();
    let mut source = Vec::new();
    for row in (0..size.height).step_by(height) {
        for col in (0..size.width).step_by(width) {
            let under = Window {
                col: 2 * col,
                row: 2 * row,
                width: (2 * width).min(below_size.width - 2 * col),
                height: (2 * height).min(below_size.height - 2 * row),
            };
            source.clear();
            source.resize(under.size().pixels(), fill);
            let shape = (under.width, under.height);
            below.read_into_slice((under.col as isize, under.row as isize), shape, shape, &mut source, None)?;
            let mut block = vec![fill; width * height];
            halve(&source, under.size(), &mut block, width, reduce);
            overview.write_block((col / width, row / height), &mut Buffer::new((width, height), block))?;
        }
    }
    Ok(())
}

/// Writes one pixel for each two by two of `source` into `block`, whose rows are `stride` long.
fn halve<T: Copy>(source: &[T], size: Size, block: &mut [T], stride: usize, reduce: &impl Fn(&[T]) -> T) {
    for (row, pair) in source.chunks(2 * size.width).enumerate() {
        let (upper, lower) = pair.split_at(size.width);
        let columns = upper.chunks(2).zip(lower.chunks(2).map(Some).chain(std::iter::repeat(None)));
        for (to, (above, below)) in block[row * stride..].iter_mut().zip(columns) {
            let mut under = [above[0]; 4];
            let mut count = 0;
            for &pixel in above.iter().chain(below.unwrap_or_default()) {
                under[count] = pixel;
                count += 1;
            }
            *to = reduce(&under[..count]);
        }
    }
}

fn size_of_band(band: &RasterBand<'_>) -> Size {
    Size::new(band.x_size(), band.y_size())
}

/// The most frequent value other than `nodata`; of equally frequent ones the first, so that no class is preferred for
/// its number.
pub(super) fn mode<T: PartialEq + Copy>(values: &[T], nodata: T) -> T {
    let mut best = (0, nodata);
    for value in values.iter().filter(|value| **value != nodata) {
        let count = values.iter().filter(|other| *other == value).count();
        if count > best.0 {
            best = (count, *value);
        }
    }
    best.1
}

/// The mean of the values that are numbers.
pub(super) fn mean(values: &[f32]) -> f32 {
    let known = values.iter().filter(|value| !value.is_nan());
    let (sum, count) = known.fold((0.0f32, 0.0f32), |(sum, count), value| (sum + value, count + 1.0));
    if count > 0.0 { sum / count } else { f32::NAN }
}

/// The rounded mean of the bytes other than 255.
pub(super) fn mean_of_bytes(values: &[u8]) -> u8 {
    let known = values.iter().filter(|value| **value != u8::MAX);
    let (sum, count) = known.fold((0u16, 0u16), |(sum, count), &value| (sum + u16::from(value), count + 1));
    // A mean of values below 255 is below 255.
    (sum + count / 2).checked_div(count).map_or(u8::MAX, |mean| mean as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_end_where_one_block_holds_all() {
        assert_eq!(factors(Size::new(256, 256)), [0; 0]);
        assert_eq!(factors(Size::new(257, 1)), [2]);
        assert_eq!(factors(Size::new(512, 513)), [2, 4]);
        assert_eq!(factors(Size::new(100_000, 10)).last(), Some(&512));
    }

    #[test]
    fn mode_ignores_nodata_and_prefers_the_first() {
        assert_eq!(mode(&[3u8, 1, 1, 3], 255), 3);
        assert_eq!(mode(&[255u8, 255, 255, 2], 255), 2);
        assert_eq!(mode(&[255u8, 255], 255), 255);
        assert_eq!(mean(&[f32::NAN, 0.5, 0.25]), 0.375);
        assert!(mean(&[f32::NAN]).is_nan());
        assert_eq!((mean_of_bytes(&[255, 3, 4]), mean_of_bytes(&[255]), mean_of_bytes(&[254; 4])), (4, 255, 254));
    }
}
