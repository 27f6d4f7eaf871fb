//! Thumbnails of scenes and label rasters.

#![expect(clippy::indexing_slicing, reason = "the three channels of a pixel")]

use std::path::Path;

use gdal::raster::{Buffer, ResampleAlg};
use gdal::{DriverManager, raster::RasterCreationOptions};

use super::band_reader::RawPixels;
use super::input::Input;
use super::messages;
use super::read::SceneReader;
use super::resample::Resampler;
use crate::atomic::AtomicFile;
use crate::error::{Context, Result};
use crate::geom::{Size, Window};

/// A scene reduced to few pixels.
#[derive(Clone, Debug)]
pub struct Thumbnail {
    pub size: Size,
    /// (row, column), red, green, blue after the stretch.
    pub rgb: Vec<[u8; 3]>,
    /// (row, column): which pixels hold data; `None`: all do.
    pub valid: Option<Vec<bool>>,
}

/// Colour of pixels without data.
const NO_DATA: [u8; 3] = [225, 225, 225];

impl SceneReader {
    /// The scene averaged to at most `side` pixels a side. Only valid pixels count; where fewer than half of those
    /// under a pixel are valid, it is light grey. Overviews are used where the file has them.
    pub fn thumbnail(&self, side: usize) -> Result<Thumbnail> {
        let size = shrunk(self.source().size, side);
        let large_enough = |overview: &Size| overview.width >= size.width && overview.height >= size.height;
        let overview = match self.source().overviews().iter().rposition(large_enough) {
            Some(index) => Some(self.source().overview(self.info(), index)?),
            None => None,
        };
        let source = overview.as_ref().unwrap_or(self.source());
        let scale = |there: usize, here: usize| there as f64 / here as f64;
        let scale = [scale(source.size.width, size.width), scale(source.size.height, size.height)];
        let pixels = Resampler::new(source.size, scale).read(source, size.window())?;
        Ok(self.colours(pixels, size))
    }

    /// A part of the scene averaged to at most `side` pixels a side, and the position of its upper left and its lower right corner in
    /// pixels of the scene. Pixels and overviews as in [`thumbnail`](Self::thumbnail).
    pub fn crop(&self, part: Window, side: usize) -> Result<(Thumbnail, [[f64; 2]; 2])> {
        let factor = (part.width.max(part.height) as f64 / side.max(1) as f64).max(1.0);
        let grid = self.info().access.native.as_ref().map_or([1.0; 2], |native| native.scale);
        let ratios = |overview: &Size| {
            let full = self.source().size;
            [full.width as f64 / overview.width as f64, full.height as f64 / overview.height as f64]
        };
        let fine_enough =
            |overview: &Size| ratios(overview).iter().zip(grid).all(|(ratio, grid)| *ratio <= grid * factor);
        let overview = match self.source().overviews().iter().rposition(fine_enough) {
            Some(index) => Some(self.source().overview(self.info(), index)?),
            None => None,
        };
        let source = overview.as_ref().unwrap_or(self.source());
        let [across, down] = ratios(&source.size);
        let scale = [grid[0] * factor / across, grid[1] * factor / down];
        let whole = Resampler::size(source.size, scale);
        let span = |start: usize, length: usize, most: usize| {
            let first = ((start as f64 / factor) as usize).min(most.saturating_sub(1));
            let end = (((start + length) as f64 / factor).ceil() as usize).clamp(first + 1, most.max(first + 1));
            (first, end - first)
        };
        let (col, width) = span(part.col, part.width, whole.width);
        let (row, height) = span(part.row, part.height, whole.height);
        let pixels = Resampler::new(source.size, scale).read(source, Window { col, row, width, height })?;
        let corner = |col: usize, row: usize| [col as f64 * factor, row as f64 * factor];
        let corners = [corner(col, row), corner(col + width, row + height)];
        Ok((self.colours(pixels, Size::new(width, height)), corners))
    }

    fn colours(&self, pixels: RawPixels, size: Size) -> Thumbnail {
        let RawPixels { values: mut planes, valid } = pixels;
        for (channel, plane) in planes.chunks_exact_mut(size.pixels()).enumerate() {
            self.stretch().apply(channel, plane);
        }
        let byte = |value: f32| value.round().clamp(0.0, 255.0) as u8;
        let at = |pixel: usize| match valid.as_ref().is_none_or(|valid| valid[pixel]) {
            true => [0, 1, 2].map(|channel| byte(planes[channel * size.pixels() + pixel])),
            false => NO_DATA,
        };
        let rgb = (0..size.pixels()).map(at).collect();
        Thumbnail { size, rgb, valid }
    }
}

/// Labels of a raster in at most `side` pixels a side, by mode: (row, column).
pub fn label_thumbnail(path: &Path, side: usize) -> Result<(Size, Vec<u16>)> {
    let input = Input::open(path, &[], &[])?;
    let Size { width, height } = input.size();
    let size = shrunk(input.size(), side);
    let mut labels = vec![0u16; size.pixels()];
    input
        .read(|dataset| {
            let band = dataset.rasterband(1)?;
            let small = (size.width, size.height);
            band.read_into_slice((0, 0), (width, height), small, &mut labels, Some(ResampleAlg::Mode))
        })
        .input(|| format!("cannot read the labels in {}", path.display()))?;
    Ok((size, labels))
}

fn shrunk(size: Size, side: usize) -> Size {
    let share = (side as f64 / size.width.max(size.height) as f64).min(1.0);
    let shrink = |length: usize| ((length as f64 * share).round() as usize).max(1);
    Size::new(shrink(size.width), shrink(size.height))
}

/// Writes an image, (row, column), as PNG.
pub fn write_png(path: &Path, size: Size, pixels: &[[u8; 3]]) -> Result<()> {
    let partial = AtomicFile::with_sidecars(path, &super::SIDECARS)?;
    messages::attempt(|| {
        let memory = DriverManager::get_driver_by_name("MEM")?;
        let dataset = memory.create_with_band_type::<u8, _>("", size.width, size.height, 3)?;
        for channel in 0..3 {
            let plane: Vec<u8> = pixels.iter().map(|pixel| pixel[channel]).collect();
            let mut buffer = Buffer::new((size.width, size.height), plane);
            dataset.rasterband(channel + 1)?.write((0, 0), (size.width, size.height), &mut buffer)?;
        }
        let png = DriverManager::get_driver_by_name("PNG")?;
        dataset.create_copy(&png, partial.temporary(), &RasterCreationOptions::default())?.close()
    })
    .map_err(|cause| partial.failed("write", cause))?;
    partial.commit()
}

#[cfg(test)]
mod tests {
    use super::super::test_scenes::{as_it_is, make, plane};
    use super::super::{SceneReader, inspect};
    use super::*;

    #[test]
    fn thumbnail_averages_valid_pixels() {
        // Of each 2 × 2 pixels at the border between data (100 and 120) and none, one or three hold data.
        let size = Size::new(8, 4);
        let missing = |col: usize, row: usize| col > 4 || (col == 4 && row > 1);
        let value = |col: usize, row: usize| if missing(col, row) { 0u8 } else { 100 + 20 * (col % 2) as u8 };
        make("/vsimem/thumbnail.tif", size, &[1, 2, 3].map(|_| plane(size, value)), &[], |dataset| {
            for band in 1..=3 {
                dataset.rasterband(band).unwrap().set_no_data_value(Some(0.0)).unwrap();
            }
        });
        let reader = SceneReader::open(&inspect("/vsimem/thumbnail.tif").unwrap(), [1, 2, 3], &as_it_is()).unwrap();
        let shown = reader.thumbnail(4).unwrap();
        assert_eq!(shown.size, Size::new(4, 2));
        // The upper pixel of the third column covers two of 100 and two without data.
        let expected = [110, 110, 100, 225, 110, 110, 225, 225].map(|value| [value; 3]);
        assert_eq!(shown.rgb, expected);
        assert_eq!(reader.thumbnail(8).unwrap().rgb[0], [100; 3]);
        let part = Window { col: 2, row: 1, width: 3, height: 2 };
        let (exact, corners) = reader.crop(part, 8).unwrap();
        assert_eq!((exact.size, corners), (Size::new(3, 2), [[2.0, 1.0], [5.0, 3.0]]));
        assert_eq!(exact.rgb, [100, 120, 100, 100, 120, 225].map(|value| [value; 3]));
        // Halved: pixels of two by two, from an even column and row.
        let (halved, corners) = reader.crop(Window { col: 2, row: 0, width: 4, height: 4 }, 2).unwrap();
        assert_eq!((halved.size, corners), (Size::new(2, 2), [[2.0, 0.0], [6.0, 4.0]]));
        assert_eq!(halved.rgb, [110, 100, 110, 225].map(|value| [value; 3]));
    }
}
