//! Reads label rasters, with their scores, in strips of rows. Labels are read with [`CodedRaster`], as in all commands.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use gdal::Dataset;
use gdal::raster::Buffer;

use super::labels::{NO_LABEL, Values};
use super::origin::Origin;
use super::scores::ScoreSource;
use super::shape::{Corner, PixelSize};
use crate::crs;
use crate::error::{Context, Error, Result};
use crate::geom::{GeoTransform, Ground, PixelGround, Size, Window};
use crate::raster::{ABSENT, CodedRaster, Coding};
use crate::scene::{ClassInfo, ClassNames, ColourRole, qml};

/// Bytes of labels in memory at a time, and as many again of scores.
const STRIP_BYTES: usize = 16 << 20;
/// Bytes per pixel while values of any type are converted to labels.
const WIDE_PIXEL: usize = 20;

/// The position of a label raster on the ground.
#[derive(Clone, Debug)]
pub struct Placement {
    /// `GeoTransform::IDENTITY` where the raster has none: results are then in pixel coordinates, with rows downwards.
    pub transform: GeoTransform,
    pub georeferenced: bool,
    pub crs_wkt: Option<String>,
    /// Measures areas and lengths: in square metres and metres, or in pixels without a CRS.
    pub ground: PixelGround,
}

impl Placement {
    /// Notes about the coordinates of the results.
    pub fn notes(&self, name: &str) -> Vec<String> {
        match (&self.crs_wkt, self.georeferenced) {
            (Some(_), _) if matches!(self.ground.ground, Ground::Flat(_)) => vec![format!(
                "the CRS of {name} has no relation to the Earth: areas and lengths are those of its plane"
            )],
            (Some(_), _) => Vec::new(),
            (None, true) => vec![format!(
                "{name} has no CRS: the result keeps its coordinates, without a CRS; areas and lengths are in pixels"
            )],
            (None, false) => vec![format!(
                "{name} has no georeference: the result is in pixel coordinates; areas and lengths are in pixels"
            )],
        }
    }

    /// Whether areas and lengths are in pixels.
    pub fn in_pixels(&self) -> bool {
        self.crs_wkt.is_none()
    }

    /// The size of a pixel in the middle of the raster.
    pub fn pixel_size(&self) -> PixelSize {
        let [width, height] = self.ground.steps();
        PixelSize { width, height }
    }

    /// The size of a pixel in the unit of areas and lengths.
    pub fn rounding_pixel(&self) -> PixelSize {
        if self.in_pixels() { PixelSize { width: 1.0, height: 1.0 } } else { self.pixel_size() }
    }

    /// The size of a pixel at a corner of pixels.
    pub fn pixel_size_at(&self, corner: Corner) -> PixelSize {
        let metric = self.ground.metric(f64::from(corner.col), f64::from(corner.row));
        PixelSize { width: metric.xx.sqrt(), height: metric.yy.sqrt() }
    }
}

/// An open label raster: its values as labels of 16 bits.
pub struct LabelSource {
    raster: CodedRaster,
    name: String,
    pub size: Size,
    pub placement: Placement,
    /// The class names of the values.
    pub names: ClassNames,
    /// How it was made.
    pub origin: Origin,
    /// Of the classes, else of the file's named values.
    colours: BTreeMap<i64, [u8; 3]>,
    /// Number of classes of the raster; larger values are errors. 0: unknown.
    classes: usize,
    values: Values,
}

impl LabelSource {
    /// Opens a raster with the class names of the file, or whose values are indices of `classes`.
    ///
    /// # Errors
    /// The input is not a label raster, has values that are not integers, or has more values than labels of 16 bits.
    pub fn open(path: &Path, classes: &[ClassInfo]) -> Result<Self> {
        let name = path.display().to_string();
        let raster = CodedRaster::open(path).input(|| format!("cannot use {name} as a label raster"))?;
        if raster.coding() == Coding::Colours {
            let bands = &raster.info().bands;
            let red = bands.first().is_some_and(|band| band.role == ColourRole::Red);
            let first = if red { ", the first of them red" } else { "" };
            return Err(Error::input(format!(
                "{name} is not a label raster: it is an image with {} bands{first}",
                bands.len()
            ))
            .with_hint(
                "Give the label raster that `segearth run` wrote, or extract the class band with `gdal_translate -b`.",
            ));
        }
        let placement = raster.look(placement)?;
        let names = match classes {
            [] => raster.names().clone(),
            classes => ClassNames::of_indices(classes.iter().map(|class| &class.name)),
        };
        let origin = raster.look(Origin::of)?;
        let colours = match classes {
            [] => names.iter().filter_map(|(value, _)| Some((value, raster.colour(value)?))).collect(),
            classes => (0..).zip(classes.iter().map(|class| class.colour)).collect(),
        };
        let (size, classes) = (raster.info().size, classes.len());
        let mut source = Self { raster, name, size, placement, names, origin, colours, classes, values: Values::Same };
        if !source.raster.is_small() {
            source.values = source.find_values()?;
        }
        Ok(source)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens the scores of these labels.
    ///
    /// # Errors
    /// As [`ScoreSource::open`].
    pub fn scores(&self, path: &Path) -> Result<ScoreSource> {
        ScoreSource::open(path, &self.name, self.size, &self.names)
    }

    /// Notes about the labels and their coordinates.
    pub fn notes(&self) -> Vec<String> {
        let contradictions = if self.classes == 0 { self.raster.notes() } else { &[] };
        [contradictions, &self.placement.notes(&self.name)].concat()
    }

    /// The colour of a value: that of its class, else of the file, else one of its own.
    pub fn colour(&self, value: i64) -> [u8; 3] {
        let own = || qml::spread_colour(usize::try_from(value).unwrap_or(0));
        self.colours.get(&value).copied().unwrap_or_else(own)
    }

    pub fn values(&self) -> &Values {
        &self.values
    }

    /// A test for labels that are left out: those of the values in `skip`, and pixels without a label.
    pub fn skipped(&self, skip: &[i64]) -> impl Fn(u16) -> bool + use<> {
        let mut left_out = vec![false; usize::from(u16::MAX) + 1];
        let labels = skip.iter().filter_map(|value| self.values.label(*value)).chain([NO_LABEL]);
        labels.for_each(|label| left_out[usize::from(label)] = true);
        move |label| left_out[usize::from(label)]
    }

    /// Checks that the labels are among the classes of the raster.
    ///
    /// # Errors
    /// A label is not among them; `first` is the row of `labels[0]`, for the message.
    pub fn check(&self, labels: &[u16], first: usize, skipped: &impl Fn(u16) -> bool) -> Result<()> {
        let classes = self.classes;
        if classes == 0 {
            return Ok(());
        }
        let Some(at) = labels.iter().position(|&label| usize::from(label) >= classes && !skipped(label)) else {
            return Ok(());
        };
        Err(Error::input(format!(
            "{} has label {} in column {}, row {}, but its {classes} classes are 0 to {}",
            self.name,
            labels[at],
            at % self.size.width,
            first + at / self.size.width,
            classes - 1
        ))
        .with_hint("Give the classes with which the labels were computed, or declare the value as nodata."))
    }

    /// The first `most` values of the raster, sorted.
    pub fn first_values(&self, most: usize) -> Result<Vec<i64>> {
        let mut found = BTreeSet::new();
        self.for_each_strip(None, |_, labels, _| {
            let runs = labels.chunk_by(|a, b| a == b).filter_map(|run| run.first());
            found.extend(runs.filter(|label| **label != NO_LABEL).map(|label| self.values.value(*label)));
            Ok(())
        })?;
        Ok(found.into_iter().take(most).collect())
    }

    /// Reads all pixels to find their values.
    fn find_values(&self) -> Result<Values> {
        const MAX_VALUES: usize = NO_LABEL as usize;
        let mut found: BTreeSet<i64> = self.names.iter().map(|(value, _)| value).collect();
        for window in self.strips(WIDE_PIXEL) {
            let codes = self.raster.read(window)?;
            found.extend(codes.chunk_by(|a, b| a == b).filter_map(|run| run.first()).filter(|code| **code != ABSENT));
            self.raster.drop_blocks();
            if found.len() > MAX_VALUES {
                return Err(Error::input(format!(
                    "{} has more than {MAX_VALUES} different values in rows 0 to {}, the limit of a label raster",
                    self.name,
                    window.row + window.height
                ))
                .with_hint("It seems to contain measurements, not classes: reclassify it first."));
            }
        }
        let small = found.iter().all(|value| (0..i64::from(NO_LABEL)).contains(value));
        Ok(if small { Values::Same } else { Values::Numbered(found.into_iter().collect()) })
    }

    /// Writes the labels to a new file, with regions of fewer than `pixels` pixels merged into their largest neighbour. Returns the
    /// labels of that file, and how many pixels have changed.
    pub fn sieved(&self, path: &Path, pixels: u64) -> Result<(Self, u64)> {
        let write = |error: gdal::errors::GdalError| {
            Error::input(format!("cannot write {}", path.display())).with_source(error)
        };
        let driver = gdal::DriverManager::get_driver_by_name("GTiff").map_err(write)?;
        let options = gdal::raster::RasterCreationOptions::from_iter(["TILED=YES", "COMPRESS=LZW", "BIGTIFF=IF_SAFER"]);
        let Size { width, height } = self.size;
        let to =
            driver.create_with_band_type_with_options::<u16, _>(path, width, height, 1, &options).map_err(write)?;
        {
            let mut band = to.rasterband(1).map_err(write)?;
            band.set_no_data_value(Some(f64::from(NO_LABEL))).map_err(write)?;
            self.for_each_strip(None, |first, labels, _| {
                let size = (width, labels.len() / width);
                band.write((0, first as isize), size, &mut Buffer::new(size, labels.to_vec())).map_err(write)
            })?;
            let pixels = i32::try_from(pixels).unwrap_or(i32::MAX);
            super::ffi::sieve(&band, &band, pixels, false)
                .map_err(|text| Error::input(format!("cannot sieve {}: {text}", self.name)))?;
        }
        to.close().map_err(write)?;
        // The pixels of the new file are labels: the assignment of values stays.
        let raster = CodedRaster::open(path)?;
        let (placement, names, values) = (self.placement.clone(), self.names.clone(), self.values.clone());
        let sieved = Self {
            raster,
            name: self.name.clone(),
            size: self.size,
            placement,
            names,
            origin: self.origin.clone(),
            colours: self.colours.clone(),
            classes: self.classes,
            values,
        };
        let mut changed = 0;
        self.for_each_strip(None, |first, labels, _| {
            let mut now = vec![NO_LABEL; labels.len()];
            sieved.read(Window { col: 0, row: first, width, height: labels.len() / width.max(1) }, &mut now)?;
            changed += labels.iter().zip(&now).filter(|(before, now)| before != now).count() as u64;
            Ok(())
        })?;
        Ok((sieved, changed))
    }

    /// Strips from top to bottom: whole blocks of the file, within the memory limit.
    fn strips(&self, bytes_per_pixel: usize) -> impl Iterator<Item = Window> + use<> {
        let Size { width, height } = self.size;
        let block = self.raster.block().height;
        let rows = (STRIP_BYTES / (width * bytes_per_pixel).max(1)).max(1);
        let rows = if rows > block { rows / block * block } else { rows }.min(height.max(1));
        (0..height).step_by(rows).map(move |row| Window { col: 0, row, width, height: rows.min(height - row) })
    }

    fn read(&self, window: Window, labels: &mut [u16]) -> Result<()> {
        if self.raster.is_small() {
            return self.raster.read_small(window, labels, NO_LABEL);
        }
        let codes = self.raster.read(window)?;
        let mut last = (ABSENT, NO_LABEL);
        for (label, code) in labels.iter_mut().zip(codes) {
            if code != last.0 {
                let label = if code == ABSENT { Some(NO_LABEL) } else { self.values.label(code) };
                let label =
                    label.ok_or_else(|| Error::input(format!("{} was changed while it was read", self.name)))?;
                last = (code, label);
            }
            *label = last.1;
        }
        Ok(())
    }

    /// Reads the raster from top to bottom; `take` receives the first row, the labels and the scores of each strip.
    pub fn for_each_strip(
        &self,
        scores: Option<&ScoreSource>,
        take: impl FnMut(usize, &[u16], Option<&[f32]>) -> Result<()>,
    ) -> Result<()> {
        self.for_each_relabelled(scores, |_, _| {}, take)
    }

    /// Like `for_each_strip`; `relabel(row, labels)` may change the labels of a row before its scores are read.
    pub fn for_each_relabelled(
        &self,
        scores: Option<&ScoreSource>,
        relabel: impl Fn(usize, &mut [u16]),
        mut take: impl FnMut(usize, &[u16], Option<&[f32]>) -> Result<()>,
    ) -> Result<()> {
        let width = self.size.width;
        let pixel = if self.raster.is_small() { 2 } else { WIDE_PIXEL };
        let mut labels = Vec::new();
        let mut best = Vec::new();
        let mut plane = Vec::new();
        for window in self.strips(if scores.is_some() { pixel.max(4) } else { pixel }) {
            let (first, count) = (window.row, window.height);
            labels.resize(width * count, NO_LABEL);
            let labels = labels.as_mut_slice();
            self.read(window, labels)
                .input(|| format!("cannot read rows {first} to {} of {}", first + count, self.name))?;
            for (row, labels) in labels.chunks_exact_mut(width).enumerate() {
                relabel(first + row, labels);
            }
            if let Some(scores) = scores {
                best.resize(width * count, f32::NAN);
                plane.resize(width * count, 0f32);
                scores.of_labels(first, width, labels, &self.values, &mut plane, &mut best)?;
            }
            take(first, labels, scores.map(|_| best.as_slice()))?;
            self.raster.drop_blocks();
            if let Some(scores) = scores {
                scores.drop_blocks();
            }
        }
        Ok(())
    }
}

fn placement(dataset: &Dataset) -> Placement {
    let coefficients = dataset.geo_transform().ok().filter(|given| *given != [0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    let transform = coefficients.map_or(GeoTransform::IDENTITY, |coefficients| GeoTransform { coefficients });
    // A CRS without a geotransform does not georeference the raster.
    let crs = coefficients.and_then(|_| dataset.spatial_ref().ok());
    let crs_wkt = crs.and_then(|crs| crs.to_wkt().ok()).filter(|wkt| !wkt.is_empty());
    let (width, height) = dataset.raster_size();
    let ground = crs::pixel_ground(crs_wkt.as_deref(), transform, Size::new(width, height));
    Placement { transform, georeferenced: coefficients.is_some(), crs_wkt, ground }
}
