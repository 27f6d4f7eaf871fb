//! A label raster to one product: which recipe makes it, of what.

use std::path::{Path, PathBuf};

use super::class_product::{ClassProduct, pixels};
use super::format::Format;
use super::geometry;
use super::landcover::{LandcoverOptions, landcover};
use super::output::Summary;
use super::place::{self, Place};
use super::polygonize::{Options, polygonize};
use super::source::{LabelSource, ScoreSource};
use super::stage::Hidden;
use super::trace::Connectedness;
use crate::error::{Error, Result};
use crate::scene::{ClassInfo, ProductOptions, Recipe, is_background};

/// Makes one product of a label raster. `classes`: those of the labels; empty: as the raster names them.
///
/// # Errors
/// As `polygonize`; a class that is not there; areas or zones that cannot be read. Nothing is left behind then.
pub fn vectorize(
    labels: &Path,
    scores: Option<&Path>,
    classes: &[ClassInfo],
    recipe: Recipe,
    out: &Path,
    options: &ProductOptions,
) -> Result<Summary> {
    let format = Format::of(out)?;
    let source = LabelSource::open(labels)?;
    let names: Vec<String> = match classes {
        [] => source.names.clone(),
        classes => classes.iter().map(|class| class.name.clone()).collect(),
    };
    if recipe == Recipe::Plain {
        let skip = left_out(recipe, &names, &source, options)?;
        let options = Options {
            connectedness: if options.diagonal { Connectedness::Eight } else { Connectedness::Four },
            target_crs: options.t_srs.clone(),
            layer_per_class: options.layer_per_class,
        };
        return polygonize(labels, scores, classes, &skip, out, &options);
    }
    let scores = scores.map(|path| ScoreSource::open(path, &source)).transpose()?;
    if recipe == Recipe::Landcover {
        let skip = left_out(recipe, &names, &source, options)?;
        return whole_map(&source, scores.as_ref(), classes, &skip, out, options);
    }
    let taken = recipe.classes(&names, &options.classes, source.name())?;
    let product = ClassProduct {
        pixel: source.placement.pixel_size(source.size),
        taken: taken.into_iter().map(|class| class as u16).collect(),
        place: Place::new(&source.placement, options.t_srs.as_deref(), format)?,
        source,
        scores,
        classes,
        options,
    };
    match recipe {
        Recipe::Buildings => product.buildings(out),
        Recipe::Roads => product.roads(out),
        Recipe::Water | Recipe::Plain | Recipe::Landcover => product.water(out),
    }
}

/// Whether a product could be made of labels that are still to come, as far as their CRS and the other files tell.
///
/// # Errors
/// As `vectorize`.
pub fn foresee(crs_wkt: Option<&str>, out: &Path, options: &ProductOptions) -> Result<()> {
    let format = Format::of(out)?;
    place::reprojection(crs_wkt, options.t_srs.as_deref(), format)?;
    if options.layer_per_class && !format.has_layers() {
        return Err(Error::input(format!("{} can hold one layer, not one a class", out.display()))
            .with_hint("Write a .gpkg: a GeoPackage holds any number of layers."));
    }
    if let Some(path) = &options.subtract {
        geometry::read_areas(path, crs_wkt, None)?;
    }
    if let Some(path) = &options.zones {
        geometry::read_areas(path, crs_wkt, options.zone_field.as_deref())?;
    }
    Ok(())
}

/// The classes that a product of the whole map leaves out.
fn left_out(recipe: Recipe, names: &[String], source: &LabelSource, options: &ProductOptions) -> Result<Vec<usize>> {
    if options.classes.is_empty() {
        let background = |index: &usize| !options.keep_background && is_background(&names[*index]);
        return Ok((0..names.len()).filter(background).collect());
    }
    let taken = recipe.classes(names, &options.classes, source.name())?;
    Ok((0..usize::from(u16::MAX)).filter(|index| !taken.contains(index)).collect())
}

fn whole_map(
    source: &LabelSource,
    scores: Option<&ScoreSource>,
    classes: &[ClassInfo],
    skip: &[usize],
    out: &Path,
    options: &ProductOptions,
) -> Result<Summary> {
    let pixel = source.placement.pixel_size(source.size);
    let landcover_options = LandcoverOptions {
        tolerance: options.tolerance,
        smooth: options.smooth.unwrap_or(false),
        target_crs: options.t_srs.clone(),
        layer_per_class: options.layer_per_class,
    };
    let named: Vec<ClassInfo> = match classes {
        [] => source.names.iter().map(|name| ClassInfo { name: name.clone(), colour: [0; 3] }).collect(),
        classes => classes.to_vec(),
    };
    let smallest = pixels(options.min_area.unwrap_or(0.0), pixel);
    if smallest <= 1 {
        return landcover(source, scores, &named, skip, out, &landcover_options);
    }
    let folder = Hidden::beside(out, "sieved")?;
    let sieved = source.sieved(&folder.path().join("labels.tif"), smallest)?;
    landcover(&sieved, scores, &named, skip, out, &landcover_options)
}

/// `NAME_suffix.extension` beside `NAME.…`.
pub fn beside(out: &Path, suffix: &str, extension: &str) -> PathBuf {
    let stem = out.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    out.with_file_name(format!("{stem}{suffix}.{extension}"))
}

#[cfg(test)]
mod tests;
