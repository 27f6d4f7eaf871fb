//! Whole scenes and label rasters in few pixels, and pictures of them.

#![expect(clippy::indexing_slicing, reason = "the three channels of a pixel")]

use std::path::Path;

use gdal::raster::{Buffer, ResampleAlg};
use gdal::{DriverManager, raster::RasterCreationOptions};

use super::partial::Partial;
use super::read::{SceneReader, Source};
use super::{messages, open};
use crate::error::{Error, Result};
use crate::geom::Size;

/// A scene in few pixels.
#[derive(Clone, Debug)]
pub struct Thumbnail {
    pub size: Size,
    /// (row, column), red, green, blue after the stretch.
    pub rgb: Vec<[u8; 3]>,
}

impl SceneReader {
    /// The scene averaged to at most `side` pixels a side; overviews serve where the file has them.
    pub fn thumbnail(&self, side: usize) -> Result<Thumbnail> {
        let size = shrunk(self.source().size, side);
        let mut planes = self.source().decimated(size)?;
        for (channel, plane) in planes.chunks_exact_mut(size.pixels()).enumerate() {
            self.stretch().apply(channel, plane);
        }
        let byte = |value: f32| value.round().clamp(0.0, 255.0) as u8;
        let at = |pixel: usize| [0, 1, 2].map(|channel| byte(planes[channel * size.pixels() + pixel]));
        Ok(Thumbnail { size, rgb: (0..size.pixels()).map(at).collect() })
    }
}

impl Source {
    /// The three bands averaged to `size`: (channel, row, column).
    fn decimated(&self, size: Size) -> Result<Vec<f32>> {
        let mut values = vec![0.0f32; 3 * size.pixels()];
        for (plane, &number) in values.chunks_exact_mut(size.pixels()).zip(&self.bands) {
            let whole = (self.size.width, self.size.height);
            let small = (size.width, size.height);
            messages::attempt(|| {
                let band = self.dataset().rasterband(number)?;
                band.read_into_slice((0, 0), whole, small, plane, Some(ResampleAlg::Average))
            })
            .map_err(|cause| {
                Error::input(format!("cannot read band {number} of {}", self.path().display())).with_source(cause)
            })?;
        }
        Ok(values)
    }
}

/// Labels of a raster, the most frequent of each place, at most `side` pixels a side: (row, column).
pub fn label_thumbnail(path: &Path, side: usize) -> Result<(Size, Vec<u16>)> {
    let dataset = open::open(path)?;
    let (width, height) = dataset.raster_size();
    let size = shrunk(Size::new(width, height), side);
    let mut labels = vec![0u16; size.pixels()];
    messages::attempt(|| {
        let band = dataset.rasterband(1)?;
        let small = (size.width, size.height);
        band.read_into_slice((0, 0), (width, height), small, &mut labels, Some(ResampleAlg::Mode))
    })
    .map_err(|cause| Error::input(format!("cannot read the labels in {}", path.display())).with_source(cause))?;
    Ok((size, labels))
}

fn shrunk(size: Size, side: usize) -> Size {
    let share = (side as f64 / size.width.max(size.height) as f64).min(1.0);
    let shrink = |length: usize| ((length as f64 * share).round() as usize).max(1);
    Size::new(shrink(size.width), shrink(size.height))
}

/// Writes a picture, (row, column), as PNG.
pub fn write_png(path: &Path, size: Size, pixels: &[[u8; 3]]) -> Result<()> {
    let partial = Partial::new(path)?;
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
