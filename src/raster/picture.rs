//! Images encoded in memory, for HTML pages.

#![expect(clippy::indexing_slicing, reason = "the three channels of a pixel")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use gdal::raster::{Buffer, ColorEntry, ColorTable, PaletteInterpretation, RasterCreationOptions};
use gdal::{Dataset, DriverManager, vsi};

use super::messages;
use crate::error::{Context, Error, Result};
use crate::geom::Size;

/// An encoded picture.
#[derive(Clone, Debug)]
pub struct Picture {
    pub size: Size,
    /// `image/jpeg`, `image/png`
    pub media_type: &'static str,
    pub bytes: Vec<u8>,
}

/// Encodes colours, (row, column), as JPEG with a `quality` from 1 to 100; as PNG where GDAL was built without JPEG.
pub fn jpeg(size: Size, pixels: &[[u8; 3]], quality: u8) -> Result<Picture> {
    let planes = [0, 1, 2].map(|channel| pixels.iter().map(|pixel| pixel[channel]).collect());
    let dataset = in_memory(size, &planes)?;
    match messages::attempt(|| DriverManager::get_driver_by_name("JPEG")) {
        Ok(_) => encode(&dataset, size, "JPEG", "image/jpeg", &[&format!("QUALITY={quality}")]),
        Err(_) => encode(&dataset, size, "PNG", "image/png", &[]),
    }
}

/// Encodes palette indices, (row, column), as PNG; palette entries are red, green, blue and opacity.
pub fn indexed_png(size: Size, pixels: &[u8], palette: &[[u8; 4]]) -> Result<Picture> {
    let dataset = in_memory(size, &[pixels.to_vec()])?;
    let mut table = ColorTable::new(PaletteInterpretation::Rgba);
    for (index, colour) in (0..).zip(palette) {
        let [red, green, blue, alpha] = colour.map(i16::from);
        table.set_color_entry(index, &ColorEntry::rgba(red, green, blue, alpha));
    }
    let band = messages::attempt(|| dataset.rasterband(1));
    band.internal(|| "a picture in memory has no band".into())?.set_color_table(&table);
    encode(&dataset, size, "PNG", "image/png", &["ZLEVEL=9"])
}

fn in_memory(size: Size, planes: &[Vec<u8>]) -> Result<Dataset> {
    if planes.iter().any(|plane| plane.len() != size.pixels()) || size.pixels() == 0 {
        return Err(Error::internal(format!("a picture of {size} does not have as many pixels")));
    }
    super::init();
    messages::attempt(|| {
        let memory = DriverManager::get_driver_by_name("MEM")?;
        let dataset = memory.create_with_band_type::<u8, _>("", size.width, size.height, planes.len())?;
        for (index, plane) in planes.iter().enumerate() {
            let mut buffer = Buffer::new((size.width, size.height), plane.clone());
            dataset.rasterband(index + 1)?.write((0, 0), (size.width, size.height), &mut buffer)?;
        }
        Ok(dataset)
    })
    .input(|| format!("a picture of {size} cannot be made"))
}

fn encode(dataset: &Dataset, size: Size, driver: &str, media_type: &'static str, options: &[&str]) -> Result<Picture> {
    let file = MemoryFile::new();
    let bytes = messages::attempt(|| {
        let driver = DriverManager::get_driver_by_name(driver)?;
        let options = RasterCreationOptions::from_iter(options.iter().copied());
        dataset.create_copy(&driver, file.name(), &options)?.close()?;
        vsi::get_vsi_mem_file_bytes_owned(file.name())
    });
    Ok(Picture { size, media_type, bytes: bytes.input(|| format!("a picture of {size} cannot be encoded"))? })
}

/// A unique name in `/vsimem/`; its file is removed when this is dropped.
struct MemoryFile(PathBuf);

impl MemoryFile {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Self(format!("/vsimem/segearth_picture_{}", NEXT.fetch_add(1, Ordering::Relaxed)).into())
    }

    fn name(&self) -> &Path {
        &self.0
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        let _ = vsi::unlink_mem_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(picture: &Picture, name: &str) -> Dataset {
        vsi::create_mem_file(name, picture.bytes.clone()).unwrap();
        Dataset::open(name).unwrap()
    }

    #[test]
    fn encoded_pictures_read_back() {
        let size = Size::new(64, 32);
        let colours: Vec<[u8; 3]> =
            (0..size.pixels()).map(|at| [(at % 64 * 4) as u8, 90, (at / 64 * 8) as u8]).collect();
        let picture = jpeg(size, &colours, 90).unwrap();
        assert_eq!(picture.media_type, "image/jpeg");
        let dataset = decoded(&picture, "/vsimem/picture_test.jpg");
        for band in 0..3 {
            let plane = dataset.rasterband(band + 1).unwrap().read_band_as::<u8>().unwrap();
            let worst = plane.data().iter().zip(&colours).map(|(&a, b)| a.abs_diff(b[band])).max();
            assert!(worst < Some(30), "band {band}: {worst:?}");
        }
        assert!(jpeg(size, &colours, 30).unwrap().bytes.len() < picture.bytes.len());

        let places: Vec<u8> = (0..size.pixels()).map(|at| (at % 3) as u8).collect();
        let palette = [[1, 2, 3, 255], [250, 0, 9, 255], [0, 0, 0, 0]];
        let picture = indexed_png(size, &places, &palette).unwrap();
        assert!(picture.bytes.starts_with(b"\x89PNG") && picture.bytes.windows(4).any(|chunk| chunk == b"PLTE"));
        let dataset = decoded(&picture, "/vsimem/picture_test.png");
        let band = dataset.rasterband(1).unwrap();
        assert_eq!(band.read_band_as::<u8>().unwrap().data(), places);
        let table = band.color_table().unwrap();
        for (index, colour) in palette.iter().enumerate() {
            let entry = table.entry_as_rgb(index).unwrap();
            assert_eq!([entry.r, entry.g, entry.b, entry.a], colour.map(i16::from));
        }
        assert!(jpeg(size, &colours[1..], 90).is_err());
    }
}
