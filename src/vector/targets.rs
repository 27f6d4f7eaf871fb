//! The files and layers that a product will consist of, before it is written.

use std::path::{Path, PathBuf};

use gdal::vector::LayerAccess as _;
use gdal::{Dataset, DatasetOptions, GdalOpenFlags};

use super::format::{Format, sibling};
use super::layer_styles::TABLE as LAYER_STYLES;
use super::source::LabelSource;
use crate::error::{Error, Result};
use crate::scene::{ClassNames, ProductOptions, Recipe, is_background};

/// The files and layers of a product, without the graph and the zone table that options name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// The files that must exist for the product to be complete, the one that the user named first.
    pub files: Vec<PathBuf>,
    /// Optional files that are written with them.
    pub companions: Vec<PathBuf>,
    /// Files that are not written, but that other programs would read as part of these.
    pub stray: Vec<PathBuf>,
    /// The layers of a GeoPackage; empty for other formats.
    pub layers: Vec<String>,
}

impl Targets {
    /// The targets of a product at `out`; `names`: the class names of the labels.
    ///
    /// # Errors
    /// The extension of `out` is unknown; a selected class is not among `names`; there are no classes to create layers for.
    pub fn of(out: &Path, recipe: Recipe, options: &ProductOptions, names: &ClassNames) -> Result<Self> {
        let format = Format::of(out)?;
        let mut targets = Self::default();
        let extension = out.extension().map(|extension| extension.to_string_lossy().into_owned()).unwrap_or_default();
        let mut whole = vec![out.to_owned()];
        if recipe == Recipe::Roads && !format.has_layers() {
            whole.extend(["_nodes", "_areas"].map(|suffix| sibling(out, suffix, &extension)));
        }
        for file in &whole {
            targets.files.push(file.clone());
            if !format.has_layers() {
                targets.companions.push(file.with_extension("qml"));
            }
            if format == Format::Shapefile {
                let with = |extension: &&str| file.with_extension(extension);
                targets.files.extend(["shx", "dbf"].iter().map(with));
                targets.companions.extend(["prj", "cpg"].iter().map(with));
                targets.stray.extend(["qix", "sbn", "sbx", "idm", "ind"].iter().map(with));
            }
        }
        if recipe == Recipe::Water && options.zones.is_some() && options.zone_table.is_none() {
            targets.files.push(sibling(out, "_zones", "csv"));
        }
        if format.has_layers() {
            targets.layers = match recipe {
                Recipe::Roads => ["roads", "nodes", "areas"].map(str::to_owned).to_vec(),
                _ if options.layer_per_class => {
                    let whole_map = matches!(recipe, Recipe::Plain | Recipe::Landcover);
                    let taken: Vec<i64> = if whole_map && options.classes.is_empty() {
                        let kept = names.iter().filter(|(_, name)| options.keep_background || !is_background(name));
                        kept.map(|(value, _)| value).collect()
                    } else {
                        recipe.classes(names, &options.classes, "the label raster")?
                    };
                    let mut layers: Vec<String> = Vec::new();
                    for name in taken.iter().filter_map(|&value| names.get(value)) {
                        if !layers.iter().any(|layer| layer == name) {
                            layers.push(name.to_owned());
                        }
                    }
                    layers
                }
                _ => {
                    vec![out.file_stem().map_or_else(|| "polygons".into(), |stem| stem.to_string_lossy().into_owned())]
                }
            };
            if targets.layers.is_empty() {
                return Err(Error::input("there are no named classes to create layers for")
                    .with_hint("Give the class names, or write one layer for all classes."));
            }
        }
        Ok(targets)
    }
}

/// The class names of a label raster; empty where it has none.
pub fn class_names(labels: &Path) -> Result<ClassNames> {
    Ok(LabelSource::open(labels, &[])?.names)
}

/// The number of features in all layers of a vector file; `None` for other files.
pub fn features(path: &Path) -> Option<u64> {
    let open_flags = GdalOpenFlags::GDAL_OF_VECTOR | GdalOpenFlags::GDAL_OF_READONLY;
    let dataset = Dataset::open_ex(path, DatasetOptions { open_flags, ..Default::default() }).ok()?;
    Some(dataset.layers().filter(|layer| layer.name() != LAYER_STYLES).map(|layer| layer.feature_count()).sum())
}
