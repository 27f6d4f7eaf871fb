//! Small rasters for the tests of this room.

use std::path::Path;

use gdal::raster::{Buffer, GdalType, RasterCreationOptions};
use gdal::{Dataset, DriverManager};

use crate::geom::{GeoTransform, Size};
use crate::scene::{ClassInfo, Georeference, StretchMethod, StretchPlan};

/// Writes a GeoTIFF of the given planes, (row, column) each; `dress` adds the rest.
pub fn make<T: GdalType + Copy>(
    path: impl AsRef<Path>,
    size: Size,
    planes: &[Vec<T>],
    options: &[&str],
    dress: impl FnOnce(&mut Dataset),
) {
    super::init();
    let driver = DriverManager::get_driver_by_name("GTiff").unwrap();
    let options = RasterCreationOptions::from_iter(options.iter().copied());
    let mut dataset = driver
        .create_with_band_type_with_options::<T, _>(path, size.width, size.height, planes.len(), &options)
        .unwrap();
    dress(&mut dataset);
    for (index, plane) in planes.iter().enumerate() {
        let shape = (size.width, size.height);
        dataset.rasterband(index + 1).unwrap().write((0, 0), shape, &mut Buffer::new(shape, plane.clone())).unwrap();
    }
    dataset.close().unwrap();
}

/// A plane computed from column and row.
pub fn plane<T>(size: Size, value: impl Fn(usize, usize) -> T) -> Vec<T> {
    (0..size.pixels()).map(|index| value(index % size.width, index / size.width)).collect()
}

pub fn as_it_is() -> StretchPlan {
    StretchPlan { method: StretchMethod::None, joint: false, gamma: 1.0 }
}

pub fn stretched(method: StretchMethod) -> StretchPlan {
    StretchPlan { method, joint: false, gamma: 1.0 }
}

pub fn classes(count: usize) -> Vec<ClassInfo> {
    let class = |index: usize| ClassInfo {
        name: format!("class {index} <é & \"x\">"),
        colour: [(index * 37 % 256) as u8, (index * 91 % 256) as u8, (255 - index % 256) as u8],
    };
    (0..count).map(class).collect()
}

pub fn georeference(coefficients: [f64; 6], epsg: u32) -> Georeference {
    super::init();
    let crs = gdal::spatial_ref::SpatialRef::from_epsg(epsg).unwrap();
    Georeference {
        transform: GeoTransform { coefficients },
        crs_wkt: super::ffi::wkt2(&crs),
        crs_name: Some(format!("EPSG:{epsg}")),
        geographic: crs.is_geographic(),
        metres_per_unit: 1.0,
        pixel_is_point: false,
    }
}
