//! `segearth embed --raster`: blended features of a scene at the resolution of patches, as a GeoTIFF or a Zarr that other programs open.

use std::path::Path;

use super::super::results::{Staged, command_facts, input};
use crate::atomic::{self, HiddenFolder};
use crate::embeddings::{FeatureArray, Placing, Precision, SceneStore, Store, TokenReader};
use crate::error::{Context, Error, Result};
use crate::geom::{Blend, Size};
use crate::network::principal::{Components, principal_components};
use crate::outputs::{Existing, Product};
use crate::raster::{FeatureType, FeatureWriter, SceneReader};
use crate::report::Reporter;
use crate::scene::{Georeference, RasterLayout, SceneInfo};
use crate::stitch::{PatchAccumulator, WindowPatches};

/// Windows, and patches of each, from which components and scales are estimated.
const SAMPLED_WINDOWS: usize = 400;
const SAMPLED_PATCHES: usize = 64;
/// Values of int8 reach this much beyond the largest of the sample.
const HEADROOM: f32 = 1.1;

/// What is to be written.
pub(super) struct FeatureRaster<'a> {
    pub path: &'a Path,
    /// `None`: all features.
    pub components: Option<usize>,
    pub overwrite: bool,
}

impl FeatureRaster<'_> {
    /// Refuses what cannot be written, before anything is computed.
    ///
    /// # Errors
    /// The file exists and may not be replaced; or more components than features are asked for.
    pub fn check(&self, width: usize) -> Result<()> {
        if let Some(count) = self.components.filter(|count| *count > width || *count == 0) {
            return Err(Error::input(format!("--components is {count}; 1 to {width} are possible"))
                .with_hint("The model's features have that many numbers."));
        }
        atomic::check_writable(&self.path.with_extension("partial"))?;
        if self.path.exists() && !self.overwrite {
            return Err(Error::input(format!("{} already exists", self.path.display()))
                .with_hint("Replace it with --overwrite, or choose another name."));
        }
        if self.is_zarr() && self.path.exists() && !self.path.join("zarr.json").is_file() {
            return Err(Error::input(format!("{} already exists and is no Zarr", self.path.display()))
                .with_hint("Choose a name that does not exist."));
        }
        Ok(())
    }

    fn is_zarr(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zarr"))
    }

    /// Blends the features of a scene and writes them.
    ///
    /// # Errors
    /// The store lacks windows, or the raster cannot be written.
    pub fn write(
        &self,
        store: &Store,
        scene: &SceneStore,
        info: &SceneInfo,
        reader: &SceneReader,
        reporter: &Reporter,
    ) -> Result<()> {
        let (width, side) = (store.model().width, store.model().patch);
        let sample = sample(scene, width)?;
        let projection = self.components.map(|count| principal_components(&sample, width, count)).transpose()?;
        if let Some(Components { share, .. }) = &projection {
            reporter.note(&format!("The components hold {:.1} % of the variance of the features.", 100.0 * share));
        }
        let count = self.components.unwrap_or(width);
        let kind = if self.components.is_some() { "component" } else { "feature" };
        let names: Vec<String> = (1..=count).map(|index| format!("{kind}_{index}")).collect();
        let scales = match store.precision() {
            Precision::Int8 => scales(&sample, width, projection.as_ref(), count),
            _ => Vec::new(),
        };
        drop(sample);
        let grid = scene.grid();
        let mut accumulator = PatchAccumulator::new(grid.scene(), grid.window(), side, count, Blend::default());
        let place = info.georeference.as_ref().map(|place| Georeference {
            transform: place.transform.scaled([side as f64, side as f64]),
            ..place.clone()
        });
        let tags = [("SEGEARTH_MODEL".to_owned(), store.model().name.clone())];
        let mut output = Output::create(self, accumulator.cells(), place.as_ref(), &names, store, scales, &tags)?;
        let progress = reporter.progress(&format!("blending {}", scene.card().name), grid.len(), "windows");
        let mut tokens = TokenReader::new(scene);
        let [_, columns] = scene.card().patches;
        let padding = scene.card().padding;
        let mut row = 0;
        for window in grid.windows() {
            while let Some(features) = accumulator.next_before(window.row) {
                output.write(row, &features)?;
                row += 1;
            }
            let tile = reader.read(window)?;
            progress.advance(1);
            if tile.is_empty() {
                continue;
            }
            let mut numbers = Vec::new();
            tokens.append(window, &mut numbers)?;
            let mut features = Vec::with_capacity(numbers.len() / width * count);
            for token in numbers.chunks_exact(width).skip(1) {
                project(&unit(token), projection.as_ref(), &mut features);
            }
            accumulator.add(&WindowPatches {
                window,
                before: [padding.above, padding.left],
                columns,
                features: &features,
                valid: tile.valid.as_deref(),
            });
        }
        while let Some(features) = accumulator.next_before(usize::MAX) {
            output.write(row, &features)?;
            row += 1;
        }
        output.finish(self)
    }
}

/// A raster that is being written.
enum Output {
    Tiff { writer: FeatureWriter, staged: Staged },
    Zarr { array: FeatureArray, folder: HiddenFolder },
}

/// The folder of a Zarr that is being written, in its hidden folder.
const WHOLE: &str = "whole";

impl Output {
    fn create(
        raster: &FeatureRaster<'_>,
        size: Size,
        place: Option<&Georeference>,
        names: &[String],
        store: &Store,
        scales: Vec<f32>,
        tags: &[(String, String)],
    ) -> Result<Self> {
        if raster.is_zarr() {
            let folder = HiddenFolder::beside(raster.path, "partial")?;
            let placing = Placing {
                transform: place.map(|place| place.transform.coefficients),
                crs: place.and_then(|place| place.crs_wkt.clone()),
            };
            let path = folder.path().join(WHOLE);
            let array = FeatureArray::create(&path, size, names, store.precision(), scales, &placing, tags)?;
            return Ok(Self::Zarr { array, folder });
        }
        let facts = [("store", input(store.folder())), ("components", raster.components.map(|it| it.to_string()))];
        let product = Product::raster(raster.path, command_facts("embed", facts));
        let existing = if raster.overwrite { Existing::Replace } else { Existing::Refuse };
        let staged = Staged::of_command(vec![("raster", product)], existing)?;
        let path = staged.path("raster").unwrap_or_else(|| raster.path.to_owned());
        let kind = match store.precision() {
            Precision::Float32 => FeatureType::Float32,
            Precision::Float16 => FeatureType::Float16,
            Precision::Int8 => FeatureType::Int8(scales),
        };
        let layout = RasterLayout { overviews: false, ..RasterLayout::default() };
        let writer = FeatureWriter::create(&path, size, place, names, &kind, layout, tags);
        Ok(Self::Tiff { writer: writer.map_err(|error| staged.explain(error))?, staged })
    }

    fn write(&mut self, row: usize, features: &[f32]) -> Result<()> {
        match self {
            Self::Tiff { writer, staged } => writer.write_row(row, features).map_err(|error| staged.explain(error)),
            Self::Zarr { array, .. } => array.write_row(features),
        }
    }

    fn finish(self, raster: &FeatureRaster<'_>) -> Result<()> {
        match self {
            Self::Tiff { writer, staged } => {
                writer.finish().map_err(|error| staged.explain(error))?;
                staged.publish()
            }
            Self::Zarr { array, folder } => {
                array.finish()?;
                let whole = folder.path().join(WHOLE);
                let cannot = || format!("cannot write {}", raster.path.display());
                if raster.overwrite && raster.path.exists() {
                    return atomic::exchange(&whole, raster.path);
                }
                match atomic::rename_new(&whole, raster.path).input(cannot)? {
                    true => Ok(()),
                    false => Err(Error::input(format!("{} already exists", raster.path.display()))
                        .with_hint("Replace it with --overwrite, or choose another name.")),
                }
            }
        }
    }
}

/// Features of unit length of some patches, spread over the scene: (patch, D).
fn sample(scene: &SceneStore, width: usize) -> Result<Vec<f32>> {
    let chunks: Vec<_> = scene.chunks().collect();
    let windows = scene.grid().len();
    let step = windows.div_ceil(SAMPLED_WINDOWS).max(1);
    let (mut sample, mut number) = (Vec::new(), 0);
    for index in chunks {
        let columns = scene.columns(index).len();
        let wanted: Vec<usize> = (0..columns).filter(|at| (number + at).is_multiple_of(step)).collect();
        number += columns;
        if wanted.is_empty() {
            continue;
        }
        let chunk = scene.read(index)?;
        for at in wanted {
            let mut tokens = Vec::new();
            chunk.append(at, &mut tokens);
            let patches = tokens.chunks_exact(width).skip(1);
            let every = patches.len().div_ceil(SAMPLED_PATCHES).max(1);
            patches.step_by(every).for_each(|token| sample.extend(unit(token)));
        }
    }
    match sample.is_empty() {
        true => Err(Error::input(format!("{} has no data, and no features", scene.card().name))
            .with_hint("Check its nodata value and its mask (`--mask none` treats every pixel as data).")),
        false => Ok(sample),
    }
}

fn unit(token: &[f32]) -> Vec<f32> {
    let length = token.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    token.iter().map(|value| value / length).collect()
}

/// Appends a feature, or its components.
fn project(feature: &[f32], projection: Option<&Components>, to: &mut Vec<f32>) {
    match projection {
        None => to.extend_from_slice(feature),
        Some(Components { mean, directions, .. }) => {
            let centred: Vec<f32> = feature.iter().zip(mean).map(|(value, mean)| value - mean).collect();
            let products = directions.chunks_exact(feature.len().max(1));
            to.extend(products.map(|direction| direction.iter().zip(&centred).map(|(a, b)| a * b).sum::<f32>()));
        }
    }
}

/// The scale of each number of int8: 127 of it are a little more than the largest of the sample.
fn scales(sample: &[f32], width: usize, projection: Option<&Components>, count: usize) -> Vec<f32> {
    let mut most = vec![f32::MIN_POSITIVE; count];
    let mut numbers = Vec::new();
    for feature in sample.chunks_exact(width) {
        numbers.clear();
        project(feature, projection, &mut numbers);
        most.iter_mut().zip(&numbers).for_each(|(most, value)| *most = most.max(value.abs()));
    }
    most.into_iter().map(|most| HEADROOM * most / 127.0).collect()
}
