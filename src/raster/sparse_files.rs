//! GeoTIFFs whose headers declare pixels that are not in them.
//!
//! A block without bytes reads as nodata, or as zeros where there is none. Files use that on purpose, to leave out empty
//! ground; with a damaged header it is an accident, and a few kilobytes would become hours of work on nothing. GDAL reads
//! both alike, and has no check of its own that would let this file go.

use std::path::Path;

use gdal::{Dataset, Metadata};

use crate::error::{Error, Result};
use crate::geom::Size;
use crate::scene::SceneInfo;

/// Scenes of fewer pixels are soon done, whatever they hold.
const SMALL: usize = 10_000_000;
/// Most pixels per byte of a file without a nodata value, which would mark the rest as empty.
const MAX_PER_BYTE: u64 = 1000;

/// Checks that the pixels of a local GeoTIFF may be in it.
///
/// # Errors
/// A block is declared far larger than the whole file could hold; or the file has no nodata value, its last block is missing,
/// and its bytes hold almost none of its pixels.
pub(super) fn check(dataset: &Dataset, path: &Path, info: &SceneInfo) -> Result<()> {
    if dataset.driver().short_name() != "GTiff" {
        return Ok(());
    }
    let Ok(bytes) = std::fs::metadata(path).map(|file| file.len()) else { return Ok(()) };
    let Ok(band) = dataset.rasterband(1) else { return Ok(()) };
    let (width, height) = band.block_size();
    let block = Size::new(width, height);
    if block.pixels() >= SMALL && (block.pixels() as u64) > bytes.saturating_mul(MAX_PER_BYTE) {
        // GDAL allocates a whole block before it checks how much of it exists.
        return Err(Error::input(format!(
            "the header of {} declares blocks of {block} pixels, but the file has only {bytes} bytes",
            path.display()
        ))
        .with_hint(
            "Its header is damaged; if it is correct, rewrite the file in small blocks (gdal_translate -co TILED=YES).",
        ));
    }
    let pixels = info.size.pixels();
    if pixels < SMALL || info.bands.iter().any(|band| band.nodata.is_some()) {
        return Ok(());
    }
    let last = [(info.size.width - 1) / width.max(1), (info.size.height - 1) / height.max(1)];
    let there = band.metadata_item(&format!("BLOCK_OFFSET_{}_{}", last[0], last[1]), "TIFF").is_some();
    if there || (pixels as u64) < bytes.saturating_mul(MAX_PER_BYTE) {
        return Ok(());
    }
    Err(Error::input(format!(
        "the header of {} declares {} pixels, but its {bytes} bytes hold almost none of them",
        path.display(),
        info.size
    ))
    .with_hint("Its header is damaged; if most of the file is meant to be empty, declare a nodata value (gdal_edit.py -a_nodata)."))
}

#[cfg(test)]
mod tests {
    use super::super::inspect;
    use crate::geom::Size;

    #[test]
    fn nearly_empty_file_needs_a_nodata_value() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sparse.tif");
        let made = |width: usize, nodata: Option<f64>| {
            let size = Size::new(width, 4000);
            let _ = std::fs::remove_file(&path);
            let driver = gdal::DriverManager::get_driver_by_name("GTiff").unwrap();
            let options = gdal::raster::RasterCreationOptions::from_iter(["SPARSE_OK=TRUE", "TILED=YES"]);
            let dataset = driver
                .create_with_band_type_with_options::<u8, _>(&path, size.width, size.height, 1, &options)
                .unwrap();
            let mut band = dataset.rasterband(1).unwrap();
            band.set_no_data_value(nodata).unwrap();
            let tile = gdal::raster::Buffer::new((256, 256), vec![1u8; 256 * 256]);
            band.write((0, 0), (256, 256), &mut tile.clone()).unwrap();
            dataset.close().unwrap();
            inspect(&path)
        };
        let said = made(100_000, None).unwrap_err().to_string();
        assert!(said.contains("declares 100000 × 4000 pixels"), "{said}");
        assert!(made(100_000, Some(0.0)).is_ok() && made(2_000, None).is_ok());
    }

    #[test]
    fn block_far_larger_than_its_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiles.tif");
        let made = |side: usize| {
            let _ = std::fs::remove_file(&path);
            let driver = gdal::DriverManager::get_driver_by_name("GTiff").unwrap();
            let sides = ["BLOCKXSIZE", "BLOCKYSIZE"].map(|key| format!("{key}={side}"));
            let options = ["SPARSE_OK=TRUE", "COMPRESS=DEFLATE", "TILED=YES", &sides[0], &sides[1]];
            let options = gdal::raster::RasterCreationOptions::from_iter(options);
            let dataset =
                driver.create_with_band_type_with_options::<u8, _>(&path, 40_000, 40_000, 1, &options).unwrap();
            dataset.rasterband(1).unwrap().set_no_data_value(Some(0.0)).unwrap();
            dataset.close().unwrap();
            inspect(&path)
        };
        let said = made(32_768).unwrap_err().to_string();
        assert!(said.contains("declares blocks of 32768 × 32768 pixels"), "{said}");
        assert!(made(256).is_ok());
    }
}
