//! Test helpers: small rasters to vectorise, and a reader of the results.

use std::path::{Path, PathBuf};

use gdal::raster::Buffer;
use gdal::spatial_ref::SpatialRef;
use gdal::vector::{FieldValue, Geometry, LayerAccess};
use gdal::{Dataset, DriverManager};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field as Cell;
use tempfile::TempDir;

/// Area on the ellipsoid per area in the plane along the central meridian of a UTM zone, where the scale is 0.9996.
pub const UTM_CENTRE: f64 = 1.0 / (0.9996 * 0.9996);

/// A label raster in a folder of its own.
pub struct Scene {
    folder: TempDir,
    pub labels: PathBuf,
    transform: Option<[f64; 6]>,
    width: usize,
    height: usize,
}

impl Scene {
    /// Pixels of 2 m in UTM zone 32, nodata 255.
    pub fn utm(labels: &[u16], width: usize) -> Self {
        Self::new(labels, width, Some(([500_000.0, 2.0, 0.0, 5_540_000.0, 0.0, -2.0], 32632)))
    }

    /// Without georeference.
    pub fn plain(labels: &[u16], width: usize) -> Self {
        Self::new(labels, width, None)
    }

    pub fn new(labels: &[u16], width: usize, georeference: Option<([f64; 6], u32)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.tif");
        let height = labels.len() / width;
        let driver = DriverManager::get_driver_by_name("GTiff").unwrap();
        let mut dataset = driver.create_with_band_type::<u8, _>(&path, width, height, 1).unwrap();
        if let Some((transform, epsg)) = georeference {
            dataset.set_geo_transform(&transform).unwrap();
            dataset.set_spatial_ref(&SpatialRef::from_epsg(epsg).unwrap()).unwrap();
        }
        {
            let mut band = dataset.rasterband(1).unwrap();
            let bytes = labels.iter().map(|&label| label as u8).collect();
            band.write((0, 0), (width, height), &mut Buffer::new((width, height), bytes)).unwrap();
            band.set_no_data_value(Some(255.0)).unwrap();
        }
        dataset.close().unwrap();
        Self { folder, labels: path, transform: georeference.map(|(transform, _)| transform), width, height }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A score raster beside the labels: (class, row, column).
    pub fn scores(&self, scores: &[f32], bands: usize) -> PathBuf {
        let path = self.path("scores.tif");
        let driver = DriverManager::get_driver_by_name("GTiff").unwrap();
        let size = (self.width, self.height);
        let mut dataset = driver.create_with_band_type::<f32, _>(&path, size.0, size.1, bands).unwrap();
        if let Some(transform) = &self.transform {
            dataset.set_geo_transform(transform).unwrap();
        }
        for (index, plane) in scores.chunks_exact(size.0 * size.1).enumerate() {
            let mut band = dataset.rasterband(index + 1).unwrap();
            band.write((0, 0), size, &mut Buffer::new(size, plane.to_vec())).unwrap();
        }
        dataset.close().unwrap();
        path
    }
}

/// A feature as read from a file.
pub struct Found {
    pub layer: String,
    pub valid: bool,
    /// West, south, east, north.
    pub envelope: [f64; 4],
    pub wkt: String,
    fields: Vec<(String, Option<FieldValue>)>,
}

impl Found {
    fn field(&self, name: &str) -> Option<FieldValue> {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.unwrap_or_else(|| panic!("no field {name} in {:?}", self.fields)).1.clone()
    }

    pub fn real(&self, name: &str) -> f64 {
        self.field(name).and_then(FieldValue::into_real).unwrap_or(f64::NAN)
    }

    pub fn integer(&self, name: &str) -> i64 {
        self.field(name).and_then(FieldValue::into_int64).unwrap_or(-1)
    }

    pub fn text(&self, name: &str) -> String {
        self.field(name).and_then(FieldValue::into_string).unwrap_or_default()
    }
}

impl Found {
    fn new(layer: String, geometry: &Geometry, fields: Vec<(String, Option<FieldValue>)>) -> Self {
        let envelope = geometry.envelope();
        Self {
            layer,
            valid: geometry.is_valid(),
            envelope: [envelope.MinX, envelope.MinY, envelope.MaxX, envelope.MaxY],
            wkt: geometry.wkt().unwrap(),
            fields,
        }
    }
}

/// Reads with the `parquet` crate, because most builds of GDAL lack the format.
fn read_parquet(path: &Path) -> Vec<Found> {
    let reader = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
    let rows = reader.get_row_iter(None).unwrap().map(|row| {
        let mut geometry = None;
        let mut fields = Vec::new();
        for (name, cell) in row.unwrap().get_column_iter() {
            let value = match cell {
                Cell::Bytes(wkb) => {
                    geometry = Some(Geometry::from_wkb(wkb.data()).unwrap());
                    continue;
                }
                Cell::Group(_) => continue,
                Cell::Null => None,
                Cell::Long(number) => Some(FieldValue::Integer64Value(*number)),
                Cell::Double(number) => Some(FieldValue::RealValue(*number)),
                Cell::Str(text) => Some(FieldValue::StringValue(text.clone())),
                other => panic!("{name} is {other}"),
            };
            fields.push((name.clone(), value));
        }
        Found::new(String::new(), &geometry.unwrap(), fields)
    });
    rows.collect()
}

pub fn read_back(path: &Path) -> Vec<Found> {
    if path.extension().is_some_and(|extension| extension == "parquet") {
        return read_parquet(path);
    }
    let dataset = Dataset::open(path).unwrap();
    let mut found = Vec::new();
    for mut layer in dataset.layers() {
        let name = layer.name();
        if name == super::layer_styles::TABLE {
            continue;
        }
        for feature in layer.features() {
            found.push(Found::new(name.clone(), feature.geometry().unwrap(), feature.fields().collect()));
        }
    }
    found
}

/// A synthetic map of `kinds` labels: smooth noise on a grid of `scale` pixels, with borders in all directions.
pub fn blobs(width: usize, height: usize, kinds: u16, scale: usize, seed: u64) -> Vec<u16> {
    let noise = |col: i64, row: i64, salt: u64| {
        let mut state = seed
            ^ salt
            ^ (col as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
            ^ (row as u64).wrapping_mul(0xC2B2_AE3D_27D4_EB4F);
        state ^= state >> 29;
        state = state.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        state ^= state >> 32;
        state = state.wrapping_mul(0x94D0_49BB_1331_11EB);
        ((state >> 11) as f64) / (1u64 << 53) as f64
    };
    let mut labels = Vec::with_capacity(width * height);
    for row in 0..height {
        for col in 0..width {
            // Smooth noise for each label; the largest value wins.
            let (x, y) = (col as f64 / scale as f64, row as f64 / scale as f64);
            let (cell_x, cell_y) = (x.floor(), y.floor());
            let (fx, fy) = (x - cell_x, y - cell_y);
            let strength = |kind: u16| {
                let at = |dx: i64, dy: i64| noise(cell_x as i64 + dx, cell_y as i64 + dy, u64::from(kind) << 40);
                let top = at(0, 0) * (1.0 - fx) + at(1, 0) * fx;
                let bottom = at(0, 1) * (1.0 - fx) + at(1, 1) * fx;
                top * (1.0 - fy) + bottom * fy
            };
            let best = (0..kinds).max_by(|&a, &b| strength(a).total_cmp(&strength(b))).unwrap_or(0);
            labels.push(best);
        }
    }
    labels
}
