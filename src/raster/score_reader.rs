//! Reads score rasters: a band of scores for each class.

use std::path::Path;

use gdal::{Dataset, Metadata as _};

use super::input::Input;
use super::open;
use crate::error::{Context, Error, Result};
use crate::geom::{Size, Window};

/// A score raster open for reading.
pub struct ScoreReader {
    input: Input,
    name: String,
    size: Size,
    names: Vec<String>,
    scales: Vec<f32>,
    nodata: Vec<Option<f64>>,
}

impl ScoreReader {
    /// Opens a raster that a job wrote as `scores`.
    ///
    /// # Errors
    /// It cannot be opened, or a band is not named after a class.
    pub fn open(path: &Path) -> Result<Self> {
        let dataset = open::open(path)?;
        let name = path.display().to_string();
        let (width, height) = dataset.raster_size();
        let facts = |dataset: &Dataset| {
            (1..=dataset.raster_count())
                .map(|number| {
                    let band = dataset.rasterband(number)?;
                    Ok((band.description()?, band.scale().unwrap_or(1.0) as f32, band.no_data_value()))
                })
                .collect::<gdal::errors::Result<Vec<_>>>()
        };
        let bands = facts(&dataset).input(|| format!("cannot read the bands of {name}"))?;
        if let Some(unnamed) = bands.iter().position(|(name, ..)| name.is_empty()) {
            return Err(Error::input(format!("band {} of {name} is not named after a class", unnamed + 1))
                .with_hint("Use a raster that a job wrote as `scores`."));
        }
        let names = bands.iter().map(|(name, ..)| name.clone()).collect();
        let (scales, nodata) = bands.into_iter().map(|(_, scale, nodata)| (scale, nodata)).unzip();
        let input = Input::of(dataset, path, &[], &[]);
        Ok(Self { input, name, size: Size::new(width, height), names, scales, nodata })
    }

    pub fn size(&self) -> Size {
        self.size
    }

    /// The names of the classes, in the order of the bands.
    pub fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    /// The scores of a window, (class, row, column), 0..=1; NaN without data.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&self, window: Window) -> Result<Vec<f32>> {
        self.read_bands(window, &(0..self.names.len()).collect::<Vec<_>>())
    }

    /// As [`read`](Self::read), of some bands, numbered from 0.
    ///
    /// # Errors
    /// The file cannot be read, or has no such band.
    pub fn read_bands(&self, window: Window, bands: &[usize]) -> Result<Vec<f32>> {
        let (start, size) = ((window.col as isize, window.row as isize), (window.width, window.height));
        let mut scores = Vec::with_capacity(bands.len() * window.size().pixels());
        for &index in bands {
            let (Some(scale), Some(nodata)) = (self.scales.get(index), self.nodata.get(index)) else {
                return Err(Error::internal(format!("{} has no band {}", self.name, index + 1)));
            };
            let plane = self
                .input
                .read(|dataset| dataset.rasterband(index + 1)?.read_as::<f32>(start, size, size, None))
                .input(|| format!("cannot read {window} of {}", self.name))?;
            let value = |stored: &f32| match nodata {
                Some(nodata) if f64::from(*stored) == *nodata => f32::NAN,
                _ => stored * scale,
            };
            scores.extend(plane.data().iter().map(value));
        }
        Ok(scores)
    }
}
