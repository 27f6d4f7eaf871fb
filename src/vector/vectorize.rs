//! Writes one vector product of a label raster with the chosen recipe.

use std::path::Path;

use super::class_product::{ClassProduct, pixels};
use super::format::Format;
use super::geometry;
use super::landcover::{LandcoverOptions, landcover};
use super::output::{KEEP_ALL, Summary};
use super::output_space::{self, OutputSpace};
use super::polygonize::{Options, polygonize};
use super::scores::ScoreSource;
use super::source::LabelSource;
use super::trace::Connectedness;
use crate::atomic::HiddenFolder;
use crate::error::{Error, Result};
use crate::printable::printable_line;
use crate::scene::{ClassInfo, ProductOptions, Recipe, is_background};
use crate::spelling::nearest;

/// Ratio of pixel sizes within a raster above which a note is added.
const UNEVEN_RATIO: f64 = 1.02;

/// Writes one vector product of a label raster. `classes`: the classes of the labels; empty: the names in the file.
///
/// # Errors
/// As `polygonize`; a selected class does not exist; areas or zones cannot be read. No file is left behind.
pub fn vectorize(
    labels: &Path,
    scores: Option<&Path>,
    classes: &[ClassInfo],
    recipe: Recipe,
    out: &Path,
    options: &ProductOptions,
) -> Result<Summary> {
    let format = Format::of(out)?;
    let source = LabelSource::open(labels, classes)?;
    output_space::reprojection(source.placement.crs_wkt.as_deref(), options.t_srs.as_deref(), format)?;
    if recipe == Recipe::Plain {
        let skip = left_out(recipe, &source, options)?;
        let options = Options {
            connectedness: if options.diagonal { Connectedness::Eight } else { Connectedness::Four },
            target_crs: options.t_srs.clone(),
            layer_per_class: options.layer_per_class,
            min_area: options.min_area.unwrap_or(0.0),
            speck: u64::from(options.min_area.is_none()),
            transitions: Vec::new(),
            fields: options.fields.clone(),
        };
        return polygonize(labels, scores, classes, &skip, out, &options);
    }
    let scores = scores.map(|path| source.scores(path)).transpose()?;
    if recipe == Recipe::Landcover {
        let skip = left_out(recipe, &source, options)?;
        return whole_map(&source, scores.as_ref(), &skip, out, options);
    }
    let selected = selected_values(recipe, &source, options)?;
    let label = |value: i64| {
        source.values().label(value).ok_or_else(|| {
            Error::input(format!("{} has no pixel with the value {value}", source.name()))
                .with_hint("Select an existing class with --class NAME or --class NUMBER.")
        })
    };
    let selected = selected.into_iter().map(label).collect::<Result<_>>()?;
    let product = ClassProduct {
        pixel: source.placement.pixel_size(),
        selected,
        space: OutputSpace::new(&source.placement, options.t_srs.as_deref(), format)?,
        source,
        scores,
        options,
    };
    let mut summary = match recipe {
        Recipe::Buildings => product.buildings(out),
        Recipe::Roads => product.roads(out),
        Recipe::Water | Recipe::Plain | Recipe::Landcover => product.water(out),
    }?;
    if recipe == Recipe::Roads || options.opening.is_some() || options.closing.is_some() {
        summary.notes.extend(uneven(&product.source, "widths and distances"));
    }
    Ok(summary)
}

/// A note where metres are converted to pixels once for the whole raster, but the pixel size varies.
fn uneven(source: &LabelSource, what: &str) -> Option<String> {
    let [least, most] = source.placement.ground.pixel_area_range().map(f64::sqrt);
    let middle = source.placement.ground.middle_pixel_area().sqrt();
    (source.placement.crs_wkt.is_some() && most > UNEVEN_RATIO * least).then(|| {
        format!(
            "{}: the pixel size on the ground varies from {} to {} m: {what} are converted to pixels with the size in the middle, {} m",
            source.name(),
            short(least),
            short(most),
            short(middle)
        )
    })
}

/// A length with about three significant digits.
fn short(metres: f64) -> String {
    let decimals = (2.0 - metres.abs().max(1e-9).log10().floor()).clamp(0.0, 9.0) as usize;
    format!("{metres:.decimals$}")
}

/// Checks a product before its labels exist: format, CRS, and the files of areas and zones.
///
/// # Errors
/// As `vectorize`, as far as this can be known.
pub fn validate(crs_wkt: Option<&str>, out: &Path, options: &ProductOptions) -> Result<()> {
    let format = Format::of(out)?;
    output_space::reprojection(crs_wkt, options.t_srs.as_deref(), format)?;
    if options.layer_per_class && !format.has_layers() {
        return Err(Error::input(format!("{} can hold only one layer, not one per class", out.display()))
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

/// The values of the selected classes. Where the raster has no class names, the error lists its values.
fn selected_values(recipe: Recipe, source: &LabelSource, options: &ProductOptions) -> Result<Vec<i64>> {
    const MAX_LISTED: usize = 20;
    recipe.classes(&source.names, &options.classes, source.name()).map_err(|error| {
        if !source.names.is_empty() {
            let names = source.names.distinct();
            let unknown = options.classes.iter().find(|class| source.names.values_of(class.trim()).is_empty());
            let meant = unknown.and_then(|class| nearest(class.trim(), names.iter().map(String::as_str)));
            return match meant {
                Some(meant) => {
                    Error::input(error.to_string()).with_hint(format!("Did you mean `{}`?", printable_line(meant)))
                }
                None => error,
            };
        }
        // The raster is scanned only for the message.
        let Ok(values) = source.first_values(MAX_LISTED + 1) else { return error };
        let more = if values.len() > MAX_LISTED { ", …" } else { "" };
        let values: Vec<String> = values.iter().take(MAX_LISTED).map(i64::to_string).collect();
        let hint = error.hint().unwrap_or_default().to_owned();
        Error::input(format!("{error}, its values are {}{more}", values.join(", "))).with_hint(hint)
    })
}

/// The values that a product of the whole map leaves out.
fn left_out(recipe: Recipe, source: &LabelSource, options: &ProductOptions) -> Result<Vec<i64>> {
    if options.classes.is_empty() {
        let names = source.names.iter();
        let background = names.filter(|(_, name)| !options.keep_background && is_background(name));
        return Ok(background.map(|(value, _)| value).collect());
    }
    let selected = selected_values(recipe, source, options)?;
    Ok(source.values().all().into_iter().filter(|value| !selected.contains(value)).collect())
}

fn whole_map(
    source: &LabelSource,
    scores: Option<&ScoreSource>,
    skip: &[i64],
    out: &Path,
    options: &ProductOptions,
) -> Result<Summary> {
    let landcover_options = LandcoverOptions {
        tolerance: options.tolerance,
        smooth: options.smooth.unwrap_or(false),
        target_crs: options.t_srs.clone(),
        layer_per_class: options.layer_per_class,
        fields: options.fields.clone(),
    };
    // By default regions of one pixel go.
    let smallest = options.min_area.map_or(2, |area| pixels(area, &source.placement.ground));
    if smallest <= 1 {
        return landcover(source, scores, skip, out, &landcover_options);
    }
    let folder = HiddenFolder::beside(out, "sieved")?;
    let (sieved, changed) = source.sieved(&folder.path().join("labels.tif"), smallest)?;
    let mut summary = landcover(&sieved, scores, skip, out, &landcover_options)?;
    match options.min_area {
        Some(_) => summary.notes.extend(uneven(source, "minimum areas")),
        None if changed > 0 => summary.notes.push(format!(
            "{changed} {} of one pixel {} merged into the largest neighbour; {KEEP_ALL} such regions",
            if changed == 1 { "region" } else { "regions" },
            if changed == 1 { "is" } else { "are" },
        )),
        None => {}
    }
    Ok(summary)
}

#[cfg(test)]
mod tests;
