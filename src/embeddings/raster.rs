//! A raster of features as a Zarr hierarchy that xarray opens: `features` (feature, y, x) with coordinates and the CRS.

use std::path::Path;

use half::f16;
use serde_json::{Map, Value, json};

use super::chunk::Precision;
use super::zarr::{Number, ZarrArray, create_metadata, group};
use crate::error::{Error, Result};
use crate::geom::Size;

/// Rows and columns of a chunk, which has all features.
const CHUNK: [usize; 2] = [16, 64];
/// The value without data, of int8.
const NODATA: i8 = -128;

/// Where the cells of a raster lie.
#[derive(Clone, Debug, Default)]
pub struct Placing {
    /// GDAL's geotransform of the cells; rotated ones have no coordinates.
    pub transform: Option<[f64; 6]>,
    /// The CRS as WKT.
    pub crs: Option<String>,
}

/// Writes a raster of features row by row into a folder.
pub struct FeatureArray {
    array: ZarrArray,
    size: Size,
    features: usize,
    precision: Precision,
    /// Of int8, a scale a feature: stored numbers times it are the features.
    scales: Vec<f32>,
    /// (feature, row, column) of a row of chunks.
    gathered: Vec<f32>,
    count: usize,
    done: usize,
}

impl FeatureArray {
    /// Makes the hierarchy in `folder`: a feature for each of `names`. `scales`: of int8, one a feature.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn create(
        folder: &Path,
        size: Size,
        names: &[String],
        precision: Precision,
        scales: Vec<f32>,
        placing: &Placing,
        tags: &[(String, String)],
    ) -> Result<Self> {
        let root: Map<String, Value> =
            tags.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect();
        create_metadata(folder, &group(Value::Object(root)))?;
        let mut attributes = Map::new();
        attributes.insert("grid_mapping".into(), json!("spatial_ref"));
        attributes.insert("long_name".into(), json!(names));
        let array = match precision {
            Precision::Float32 => ZarrArray::new::<f32, 3>,
            Precision::Float16 => ZarrArray::new::<f16, 3>,
            Precision::Int8 => ZarrArray::new::<i8, 3>,
        };
        let (shape, chunk) = ([names.len(), size.height, size.width], [names.len(), CHUNK[0], CHUNK[1]]);
        let array = array(folder.join("features"), shape, chunk, ["feature", "y", "x"], attributes);
        array.create()?;
        if precision == Precision::Int8 {
            let sides = [scales.len()];
            vector(folder, "scale", sides, "feature", &scales)?;
        }
        coordinates(folder, size, placing)?;
        let gathered = vec![f32::NAN; names.len() * CHUNK[0] * size.width];
        Ok(Self { array, size, features: names.len(), precision, scales, gathered, count: 0, done: 0 })
    }

    /// Writes the next row of features, (feature, column).
    ///
    /// # Errors
    /// It has another length, or cannot be written.
    pub fn write_row(&mut self, features: &[f32]) -> Result<()> {
        let width = self.size.width;
        if features.len() != self.features * width || self.done + self.count == self.size.height {
            return Err(Error::internal(format!("a row of {} numbers does not fit the raster", features.len())));
        }
        let rows = self.gathered.chunks_exact_mut(width).skip(self.count).step_by(CHUNK[0]);
        rows.zip(features.chunks_exact(width)).for_each(|(to, from)| to.copy_from_slice(from));
        self.count += 1;
        if self.count == CHUNK[0] || self.done + self.count == self.size.height {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes a row of chunks.
    fn flush(&mut self) -> Result<()> {
        for first in (0..self.size.width).step_by(CHUNK[1]) {
            let columns = CHUNK[1].min(self.size.width - first);
            let mut chunk = vec![f32::NAN; self.features * CHUNK[0] * CHUNK[1]];
            for (to, from) in chunk.chunks_exact_mut(CHUNK[1]).zip(self.gathered.chunks_exact(self.size.width)) {
                to.iter_mut().zip(from.iter().skip(first).take(columns)).for_each(|(to, from)| *to = *from);
            }
            let at = [0, self.done / CHUNK[0], first / CHUNK[1]];
            match self.precision {
                Precision::Float32 => self.array.write(&at, &chunk),
                Precision::Float16 => self.array.write(&at, &chunk.into_iter().map(f16::from_f32).collect::<Vec<_>>()),
                Precision::Int8 => {
                    let features = chunk.chunks_exact(CHUNK[0] * CHUNK[1]).zip(&self.scales);
                    let byte = |value: f32, scale: f32| match value.is_nan() {
                        true => NODATA,
                        false => (value / scale).round().clamp(-127.0, 127.0) as i8,
                    };
                    let bytes: Vec<i8> =
                        features.flat_map(|(all, scale)| all.iter().map(move |value| byte(*value, *scale))).collect();
                    self.array.write(&at, &bytes)
                }
            }?;
        }
        self.done += self.count;
        self.count = 0;
        self.gathered.fill(f32::NAN);
        Ok(())
    }

    /// Checks that all rows are there.
    ///
    /// # Errors
    /// Some are missing.
    pub fn finish(self) -> Result<()> {
        match self.done == self.size.height {
            true => Ok(()),
            false => Err(Error::internal(format!("{} of {} rows were written", self.done, self.size.height))),
        }
    }
}

/// Writes the coordinates of the cells' centres, and the CRS as CF's grid mapping.
fn coordinates(folder: &Path, size: Size, placing: &Placing) -> Result<()> {
    let mut attributes = Map::new();
    if let Some(crs) = &placing.crs {
        attributes.insert("crs_wkt".into(), json!(crs));
        attributes.insert("spatial_ref".into(), json!(crs));
    }
    if let Some(transform) = placing.transform {
        let text = transform.map(|value| value.to_string()).join(" ");
        attributes.insert("GeoTransform".into(), json!(text));
    }
    let mapping = ZarrArray::new::<i8, 0>(folder.join("spatial_ref"), [], [], [], attributes);
    mapping.create()?;
    mapping.write(&[], &[0i8])?;
    let [x, dx, rotated_x, y, rotated_y, dy] = placing.transform.unwrap_or([0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    if rotated_x != 0.0 || rotated_y != 0.0 {
        return Ok(());
    }
    for (name, start, step, count) in [("x", x, dx, size.width), ("y", y, dy, size.height)] {
        let values: Vec<f64> = (0..count).map(|cell| start + (cell as f64 + 0.5) * step).collect();
        vector(folder, name, [count], name, &values)?;
    }
    Ok(())
}

/// Writes an array of one axis.
fn vector<T: Number>(folder: &Path, name: &str, sides: [usize; 1], axis: &str, values: &[T]) -> Result<()> {
    let array = ZarrArray::new::<T, 1>(folder.join(name), sides, sides, [axis], Map::new());
    array.create()?;
    array.write(&[0], values)
}
