//! Reads score rasters: the score of each pixel's label.

use std::path::Path;

use gdal::raster::RasterBand;
use gdal::{Dataset, Metadata as _};

use super::ffi;
use super::labels::{NO_LABEL, Values};
use crate::error::{Context, Error, Result};
use crate::geom::Size;
use crate::location::check_exists;
use crate::scene::ClassNames;

/// An open score raster: one band per class, in the order of the values.
pub struct ScoreSource {
    dataset: Dataset,
    name: String,
    bands: usize,
}

impl ScoreSource {
    /// Opens the scores of a label raster of this size, with its class names; `labels` is its path, for messages.
    ///
    /// # Errors
    /// The file cannot be read, has another size than the labels, or has band descriptions that contradict the class names.
    pub fn open(path: &Path, labels: &str, size: Size, names: &ClassNames) -> Result<Self> {
        let name = path.display().to_string();
        check_exists(path, "score raster")?;
        let dataset = Dataset::open(path).input(|| format!("cannot open the score raster {name}"))?;
        let (width, height) = dataset.raster_size();
        let own_size = Size::new(width, height);
        if own_size != size {
            return Err(Error::input(format!("{name} has {own_size} pixels, its labels {labels} have {size}"))
                .with_hint("Give the scores that were written with these labels."));
        }
        let bands = dataset.raster_count();
        for value in 0..bands.min(usize::from(NO_LABEL)) {
            let described = dataset.rasterband(value + 1).and_then(|band| band.description()).unwrap_or_default();
            let known = names.values_of(&described);
            if let Some(other) = known.first().filter(|_| !known.contains(&(value as i64))) {
                return Err(Error::input(format!(
                    "band {} of {name} holds the scores of {described:?}, which is the value {other} of {}: expected in band \
                     {}",
                    value + 1,
                    labels,
                    other.saturating_add(1)
                ))
                .with_hint("Give the scores that were written with these labels."));
            }
        }
        Ok(Self { dataset, name, bands })
    }

    /// Frees the blocks that GDAL caches.
    pub fn drop_blocks(&self) {
        ffi::drop_cache(&self.dataset);
    }

    /// Writes to `best` the score of each pixel's label; NaN where its band does not exist. `plane` is a buffer.
    pub fn of_labels(
        &self,
        first: usize,
        width: usize,
        labels: &[u16],
        values: &Values,
        plane: &mut [f32],
        best: &mut [f32],
    ) -> Result<()> {
        best.fill(f32::NAN);
        let mut present = vec![false; usize::from(u16::MAX) + 1];
        labels.iter().for_each(|&label| present[usize::from(label)] = true);
        let occurring = (0..NO_LABEL).filter(|label| present[usize::from(*label)]);
        let bands = occurring.filter_map(|label| Some((label, usize::try_from(values.value(label)).ok()?)));
        for (band_label, class) in bands.filter(|(_, class)| *class < self.bands) {
            let count = labels.len() / width;
            let scale = self
                .dataset
                .rasterband(class + 1)
                .and_then(|band| {
                    read(&band, first, width, count, plane)?;
                    // Scores that are stored as bytes have a scale.
                    Ok(band.scale().unwrap_or(1.0) as f32)
                })
                .input(|| format!("cannot read band {} of {}", class + 1, self.name))?;
            for ((&label, &score), best) in labels.iter().zip(plane.iter()).zip(best.iter_mut()) {
                if label == band_label {
                    *best = score * scale;
                }
            }
        }
        Ok(())
    }
}

fn read<T: Copy + gdal::raster::GdalType>(
    band: &RasterBand<'_>,
    first: usize,
    width: usize,
    rows: usize,
    into: &mut [T],
) -> gdal::errors::Result<()> {
    ffi::read_whole(|| band.read_into_slice((0, first as isize), (width, rows), (width, rows), into, None))
}
