//! Rasters that tests make and read.

use std::path::Path;

use gdal::Dataset;
use gdal::DriverManager;
use gdal::raster::{Buffer, GdalType};
use gdal::spatial_ref::SpatialRef;

/// The geotransform of [`write_scene`]: rotated, in EPSG:25832.
pub const TRANSFORM: [f64; 6] = [350_000.0, 0.4, 0.3, 5_640_000.0, 0.3, -0.4];

/// A GeoTIFF with these bands, each (row, column); `dress` adds what else it has.
pub fn write_bands<T: GdalType + Copy>(
    path: &Path,
    (width, height): (usize, usize),
    bands: &[Vec<T>],
    dress: impl FnOnce(&mut Dataset),
) {
    let driver = DriverManager::get_driver_by_name("GTiff").expect("the GeoTIFF driver");
    let mut dataset = driver.create_with_band_type::<T, _>(path, width, height, bands.len()).expect("a scene");
    dress(&mut dataset);
    for (index, pixels) in bands.iter().enumerate() {
        let mut band = dataset.rasterband(index + 1).expect("a band");
        band.write((0, 0), (width, height), &mut Buffer::new((width, height), pixels.clone())).expect("pixels");
    }
    dataset.close().expect("a whole scene");
}

/// Places a scene by [`TRANSFORM`].
pub fn place(dataset: &mut Dataset) {
    dataset.set_geo_transform(&TRANSFORM).expect("a geotransform");
    dataset.set_spatial_ref(&SpatialRef::from_epsg(25832).expect("a CRS")).expect("a CRS");
}

/// A placed scene of three 8-bit bands from pixels (row, column, channel).
pub fn write_scene(path: &Path, width: usize, height: usize, pixels: &[u8]) {
    let bands: Vec<Vec<u8>> = (0..3).map(|channel| pixels.iter().skip(channel).step_by(3).copied().collect()).collect();
    write_bands(path, (width, height), &bands, place);
}

/// Bytes without a pattern, the same every time.
pub fn noise(count: usize) -> Vec<u8> {
    (0..count as u32)
        .map(|index| (index.wrapping_mul(2_654_435_761).rotate_left(9) ^ index.wrapping_mul(40_503)) as u8)
        .collect()
}

/// A placed scene of noise.
pub fn noise_scene(path: &Path, width: usize, height: usize) -> Vec<u8> {
    let pixels = noise(width * height * 3);
    write_scene(path, width, height, &pixels);
    pixels
}

/// A band's pixels, (row, column).
pub fn read_band<T: GdalType + Copy>(dataset: &Dataset, band: usize) -> Vec<T> {
    let size = dataset.raster_size();
    let buffer = dataset.rasterband(band).expect("a band").read_as::<T>((0, 0), size, size, None).expect("pixels");
    buffer.data().to_vec()
}
