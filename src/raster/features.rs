//! Rasters of features: a band for each number of a feature, at the resolution of patches.

use std::path::Path;

use gdal::Metadata;

use super::blocks::BlockRows;
use super::target::{Form, Target};
use crate::error::Result;
use crate::geom::Size;
use crate::scene::{Georeference, RasterLayout};

/// Rows of a block: TIFF's minimum, since rows have many bands.
const BLOCK: Size = Size { width: 256, height: 16 };

/// The numbers of a raster of features.
#[derive(Clone, Debug, PartialEq)]
pub enum FeatureType {
    /// NaN is nodata.
    Float32,
    /// The same with 16 bits in the file, which GDAL reads as float32.
    Float16,
    /// Bytes: 0 is nodata, and 1 to 255 are -127 to 127 times the scale of each band.
    Int8(Vec<f32>),
}

/// Writes features row by row; the file has its name only after [`finish`](Self::finish).
pub struct FeatureWriter {
    target: Target,
    rows: Rows,
}

enum Rows {
    Floats(BlockRows<f32>),
    Bytes(BlockRows<u8>, Vec<f32>),
}

impl FeatureWriter {
    /// Creates the file under a hidden name beside `path`, a band for each of `names`; `tags` become its metadata.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(
        path: &Path,
        size: Size,
        georeference: Option<&Georeference>,
        names: &[String],
        kind: &FeatureType,
        layout: RasterLayout,
        tags: &[(String, String)],
    ) -> Result<Self> {
        let bits = (*kind == FeatureType::Float16).then_some(16);
        let form = Form {
            size,
            bands: names.len(),
            georeference,
            layout,
            block: BLOCK,
            are_colours: true,
            bits,
            predictor: None,
            resampling: "AVERAGE",
            tags,
        };
        let (mut target, nodata) = match kind {
            FeatureType::Int8(_) => (Target::create::<u8>(path, &form)?, 0.0),
            _ => (Target::create::<f32>(path, &form)?, f64::NAN),
        };
        target.attempt("name the bands of", |dataset| {
            dataset.rasterband(1)?.set_no_data_value(Some(nodata))?;
            for (index, name) in names.iter().enumerate() {
                let mut band = dataset.rasterband(index + 1)?;
                band.set_description(name)?;
                if let FeatureType::Int8(scales) = kind {
                    let scale = f64::from(scales.get(index).copied().unwrap_or(1.0));
                    band.set_scale(scale)?;
                    band.set_offset(-128.0 * scale)?;
                }
            }
            Ok(())
        })?;
        let rows = match kind {
            FeatureType::Int8(scales) => Rows::Bytes(BlockRows::new(&target, BLOCK, 0), scales.clone()),
            _ => Rows::Floats(BlockRows::new(&target, BLOCK, f32::NAN)),
        };
        Ok(Self { target, rows })
    }

    /// Writes a row of features, (band, column); rows come in order.
    pub fn write_row(&mut self, row: usize, features: &[f32]) -> Result<()> {
        let width = self.target.size().width;
        match &mut self.rows {
            Rows::Floats(rows) => rows.push(&mut self.target, row, features),
            Rows::Bytes(rows, scales) => {
                let bands = features.chunks_exact(width.max(1)).zip(scales.iter());
                let byte = |(value, scale): (&f32, f32)| match value.is_nan() {
                    true => 0,
                    false => ((value / scale).round().clamp(-127.0, 127.0) + 128.0) as u8,
                };
                let bytes: Vec<u8> =
                    bands.flat_map(|(band, scale)| band.iter().map(move |value| byte((value, *scale)))).collect();
                rows.push(&mut self.target, row, &bytes)
            }
        }
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// Rows are missing, or the disk is full.
    pub fn finish(self) -> Result<()> {
        match &self.rows {
            Rows::Floats(rows) => rows.check_complete()?,
            Rows::Bytes(rows, _) => rows.check_complete()?,
        }
        self.target.finish(|_| Ok(()), |_| Ok(true))
    }
}
