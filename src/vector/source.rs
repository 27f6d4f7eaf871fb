//! Label and score rasters as rows, in strips: the only place here that reads rasters.

use std::path::Path;

use gdal::raster::{ColorInterpretation, GdalDataType, RasterBand};
use gdal::{Dataset, Metadata};

use super::coverage::PixelSize;
use super::measure::{Earth, Measure};
use crate::error::{Context, Error, Result};
use crate::geom::{GeoTransform, Size};
use crate::scene::LabelType;

/// Bytes of labels (and again of scores) held at a time.
const STRIP_BYTES: usize = 16 << 20;

/// Where a label raster lies.
#[derive(Clone, Debug)]
pub struct Placement {
    /// `GeoTransform::IDENTITY` where the raster has none: results lie in pixel coordinates, rows counted downwards.
    pub transform: GeoTransform,
    pub georeferenced: bool,
    pub crs_wkt: Option<String>,
    pub measure: Measure,
}

impl Placement {
    /// What a reader of the results should know about their coordinates.
    pub fn notes(&self, name: &str) -> Vec<String> {
        match (&self.crs_wkt, self.georeferenced) {
            (Some(_), _) => Vec::new(),
            (None, true) => vec![format!("{name} has no CRS: the result has its coordinates, and no CRS either")],
            (None, false) => vec![format!("{name} has no georeference: the result is in pixel coordinates")],
        }
    }

    /// Metres of a step to the next column and to the next row, in the middle of the raster.
    pub fn pixel_size(&self, size: Size) -> PixelSize {
        let (col, row) = (size.width as f64 / 2.0, size.height as f64 / 2.0);
        let middle = self.transform.to_world(col, row);
        PixelSize {
            width: self.measure.distance(middle, self.transform.to_world(col + 1.0, row)),
            height: self.measure.distance(middle, self.transform.to_world(col, row + 1.0)),
        }
    }
}

/// An open label raster.
pub struct LabelSource {
    dataset: Dataset,
    name: String,
    pub size: Size,
    pub placement: Placement,
    /// The value that means no data.
    pub nodata: Option<u16>,
    /// The widest value of the pixel type.
    pub label_type: LabelType,
    /// Names of the values, from 0, where the file has them.
    pub names: Vec<String>,
}

impl LabelSource {
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let dataset = Dataset::open(path).input(|| format!("cannot open the label raster {name}"))?;
        let (width, height) = dataset.raster_size();
        let placement = placement(&dataset);
        let (label_type, nodata, names) = {
            let band = dataset.rasterband(1).input(|| format!("{name} has no raster band"))?;
            if dataset.raster_count() >= 3 && band.color_interpretation() == ColorInterpretation::RedBand {
                return Err(Error::input(format!(
                    "{name} is no label raster: it is a picture of {} bands, the first of them red",
                    dataset.raster_count()
                ))
                .with_hint(
                    "Give the label raster of `segearth run`, or the picture's class band as a file of its own.",
                ));
            }
            let label_type = match band.band_type() {
                GdalDataType::UInt8 => LabelType::U8,
                GdalDataType::UInt16 => LabelType::U16,
                other => {
                    return Err(Error::input(format!(
                        "{name} is no label raster: its first band is {}, labels are Byte or UInt16",
                        other.name()
                    ))
                    .with_hint(
                        "Convert it with `gdal_translate -ot UInt16`, or give the label raster of `segearth run`.",
                    ));
                }
            };
            let nodata = band.no_data_value().filter(|value| value.fract() == 0.0 && (0.0..=65535.0).contains(value));
            (label_type, nodata.map(|value| value as u16), category_names(&band))
        };
        Ok(Self { dataset, name, size: Size::new(width, height), placement, nodata, label_type, names })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which labels are left out: nodata, what the labels' writer uses for it, and `skip`.
    pub fn skipped(&self, skip: &[usize]) -> impl Fn(u16) -> bool + use<> {
        let nodata = [self.nodata, Some(self.label_type.nodata())];
        let skip = skip.to_vec();
        move |label| nodata.contains(&Some(label)) || skip.contains(&usize::from(label))
    }

    /// Labels beyond the classes (0: not known) are a mistake somewhere, never a class of their own.
    pub fn check(&self, labels: &[u16], first: usize, classes: usize, skipped: &impl Fn(u16) -> bool) -> Result<()> {
        if classes == 0 {
            return Ok(());
        }
        let Some(at) = labels.iter().position(|&label| usize::from(label) >= classes && !skipped(label)) else {
            return Ok(());
        };
        Err(Error::input(format!(
            "{} has label {} in column {}, row {}, its {classes} classes are 0 to {}",
            self.name,
            labels[at],
            at % self.size.width,
            first + at / self.size.width,
            classes - 1
        ))
        .with_hint("Give the classes that the labels were made with, or declare the value as nodata."))
    }

    /// The same labels with regions of fewer than `pixels` pixels given to their largest neighbour, in a new file.
    pub fn sieved(&self, path: &Path, pixels: u64) -> Result<Self> {
        let write = |error: gdal::errors::GdalError| {
            Error::input(format!("cannot write {}", path.display())).with_source(error)
        };
        let driver = gdal::DriverManager::get_driver_by_name("GTiff").map_err(write)?;
        let options = gdal::raster::RasterCreationOptions::from_iter(["TILED=YES", "COMPRESS=LZW", "BIGTIFF=IF_SAFER"]);
        let Size { width, height } = self.size;
        let mut to = match self.label_type {
            LabelType::U8 => driver.create_with_band_type_with_options::<u8, _>(path, width, height, 1, &options),
            LabelType::U16 => driver.create_with_band_type_with_options::<u16, _>(path, width, height, 1, &options),
        }
        .map_err(write)?;
        if self.placement.georeferenced {
            to.set_geo_transform(&self.placement.transform.coefficients).map_err(write)?;
        }
        if let Ok(crs) = self.dataset.spatial_ref() {
            to.set_spatial_ref(&crs).map_err(write)?;
        }
        {
            let from = self.dataset.rasterband(1).internal(|| format!("{} lost its band", self.name))?;
            let mut band = to.rasterband(1).map_err(write)?;
            band.set_no_data_value(self.nodata.map(f64::from)).map_err(write)?;
            let pixels = i32::try_from(pixels).unwrap_or(i32::MAX);
            super::ffi::sieve(&from, &band, pixels, false)
                .map_err(|text| Error::input(format!("cannot sieve {}: {text}", self.name)))?;
        }
        to.close().map_err(write)?;
        let mut sieved = Self::open(path)?;
        sieved.name.clone_from(&self.name);
        sieved.names.clone_from(&self.names);
        Ok(sieved)
    }

    /// Rows per strip: whole blocks of the file, within the memory limit.
    fn strip_rows(&self, bytes_per_pixel: usize) -> usize {
        let block = self.dataset.rasterband(1).map_or(1, |band| band.block_size().1).max(1);
        let rows = (STRIP_BYTES / (self.size.width * bytes_per_pixel)).max(1);
        if rows > block { rows / block * block } else { rows }.min(self.size.height.max(1))
    }

    /// Reads the raster from top to bottom; `take` gets the first row's number, the strip's labels and its scores.
    pub fn for_each_strip(
        &self,
        scores: Option<&ScoreSource>,
        take: impl FnMut(usize, &[u16], Option<&[f32]>) -> Result<()>,
    ) -> Result<()> {
        self.for_each_relabelled(scores, |_, _| {}, take)
    }

    /// Like `for_each_strip`; `relabel(row, labels)` may change a row's labels before its scores are looked up.
    pub fn for_each_relabelled(
        &self,
        scores: Option<&ScoreSource>,
        relabel: impl Fn(usize, &mut [u16]),
        mut take: impl FnMut(usize, &[u16], Option<&[f32]>) -> Result<()>,
    ) -> Result<()> {
        let band = self.dataset.rasterband(1).internal(|| format!("{} lost its band", self.name))?;
        let Size { width, height } = self.size;
        let rows = self.strip_rows(if scores.is_some() { 4 } else { 2 });
        let mut labels = vec![0u16; width * rows];
        let mut best = Vec::new();
        let mut plane = Vec::new();
        for first in (0..height).step_by(rows) {
            let count = rows.min(height - first);
            let labels = &mut labels[..width * count];
            read(&band, first, width, count, labels)
                .input(|| format!("cannot read rows {first} to {} of {}", first + count, self.name))?;
            for (row, labels) in labels.chunks_exact_mut(width).enumerate() {
                relabel(first + row, labels);
            }
            if let Some(scores) = scores {
                best.resize(width * count, f32::NAN);
                plane.resize(width * count, 0f32);
                scores.of_labels(first, width, labels, &mut plane, &mut best)?;
            }
            take(first, labels, scores.map(|_| best.as_slice()))?;
            super::ffi::drop_cache(&self.dataset);
            if let Some(scores) = scores {
                super::ffi::drop_cache(&scores.dataset);
            }
        }
        Ok(())
    }
}

/// An open score raster: one band a class, in the order of the labels.
pub struct ScoreSource {
    dataset: Dataset,
    name: String,
    bands: usize,
}

impl ScoreSource {
    /// `size` is the label raster's, which the scores must share.
    pub fn open(path: &Path, labels: &LabelSource) -> Result<Self> {
        let name = path.display().to_string();
        let dataset = Dataset::open(path).input(|| format!("cannot open the score raster {name}"))?;
        let (width, height) = dataset.raster_size();
        let size = Size::new(width, height);
        if size != labels.size {
            return Err(Error::input(format!(
                "{name} is {size} pixels, its labels {} are {}",
                labels.name, labels.size
            ))
            .with_hint("Give the scores that were written together with these labels."));
        }
        let bands = dataset.raster_count();
        Ok(Self { dataset, name, bands })
    }

    /// For every pixel the score of its own label; NaN where there is no such band.
    fn of_labels(&self, first: usize, width: usize, labels: &[u16], plane: &mut [f32], best: &mut [f32]) -> Result<()> {
        best.fill(f32::NAN);
        let mut present = vec![false; usize::from(u16::MAX) + 1];
        labels.iter().for_each(|&label| present[usize::from(label)] = true);
        for class in (0..self.bands.min(present.len())).filter(|&class| present[class]) {
            let count = labels.len() / width;
            let scale = self
                .dataset
                .rasterband(class + 1)
                .and_then(|band| {
                    read(&band, first, width, count, plane)?;
                    // Scores kept as bytes say how they become scores again.
                    Ok(band.scale().unwrap_or(1.0) as f32)
                })
                .input(|| format!("cannot read band {} of {}", class + 1, self.name))?;
            for ((&label, &score), best) in labels.iter().zip(plane.iter()).zip(best.iter_mut()) {
                if usize::from(label) == class {
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
    band.read_into_slice((0, first as isize), (width, rows), (width, rows), into, None)
}

fn placement(dataset: &Dataset) -> Placement {
    let coefficients = dataset.geo_transform().ok().filter(|given| *given != [0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    let transform = coefficients.map_or(GeoTransform::IDENTITY, |coefficients| GeoTransform { coefficients });
    let crs = dataset.spatial_ref().ok();
    let measure = match &crs {
        Some(crs) if crs.is_geographic() => {
            let earth = match (crs.semi_major(), crs.semi_minor()) {
                (Ok(major), Ok(minor)) if major > 0.0 && minor > 0.0 => Earth::new(major, minor),
                _ => Earth::WGS84,
            };
            let degree = crs.angular_units();
            Measure::Ellipsoid { earth, radians_per_unit: if degree > 0.0 { degree } else { 1f64.to_radians() } }
        }
        Some(crs) => {
            let metres = crs.linear_units();
            Measure::Plane { metres_per_unit: if metres > 0.0 { metres } else { 1.0 } }
        }
        None => Measure::Plane { metres_per_unit: 1.0 },
    };
    let crs_wkt = crs.and_then(|crs| crs.to_wkt().ok()).filter(|wkt| !wkt.is_empty());
    Placement { transform, georeferenced: coefficients.is_some(), crs_wkt, measure }
}

/// The names of a band's values: GDAL's category names, else the band's `CLASS_NAMES`-like metadata of our own writer.
fn category_names(band: &RasterBand<'_>) -> Vec<String> {
    let names = super::ffi::category_names(band);
    if !names.is_empty() {
        return names;
    }
    band.metadata_item("CLASS_NAMES", "")
        .map(|list| list.split(';').map(|name| name.trim().to_string()).collect())
        .unwrap_or_default()
}
