//! Which files and layers a product comes to, told before it is made.

use std::path::{Path, PathBuf};

use gdal::vector::LayerAccess as _;
use gdal::{Dataset, DatasetOptions, GdalOpenFlags};

use super::format::Format;
use super::source::LabelSource;
use super::vectorize::beside;
use crate::error::{Error, Result};
use crate::scene::{ClassNames, ProductOptions, Recipe, is_background};

/// What a product of labels writes beside its graph and a table of zones that has a name of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// The files without which the product is not whole, the one that was named first.
    pub files: Vec<PathBuf>,
    /// Files that may come with them.
    pub companions: Vec<PathBuf>,
    /// Files that readers take for a part of these where they are there, and that are not written.
    pub stray: Vec<PathBuf>,
    /// The layers of a GeoPackage; empty: the format has none.
    pub layers: Vec<String>,
}

impl Targets {
    /// `names`: those of the labels' classes.
    ///
    /// # Errors
    /// The ending of `out` is no format's; a class that is asked for is none of `names`.
    pub fn of(out: &Path, recipe: Recipe, options: &ProductOptions, names: &ClassNames) -> Result<Self> {
        let format = Format::of(out)?;
        let mut targets = Self::default();
        let extension = out.extension().map(|extension| extension.to_string_lossy().into_owned()).unwrap_or_default();
        let mut whole = vec![out.to_owned()];
        if recipe == Recipe::Roads && !format.has_layers() {
            whole.extend(["_nodes", "_areas"].map(|suffix| beside(out, suffix, &extension)));
        }
        for file in &whole {
            targets.files.push(file.clone());
            if format == Format::Shapefile {
                let with = |extension: &&str| file.with_extension(extension);
                targets.files.extend(["shx", "dbf"].iter().map(with));
                targets.companions.extend(["prj", "cpg"].iter().map(with));
                targets.stray.extend(["qix", "sbn", "sbx", "idm", "ind"].iter().map(with));
            }
        }
        if recipe == Recipe::Water && options.zones.is_some() && options.zone_table.is_none() {
            targets.files.push(beside(out, "_zones", "csv"));
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
                return Err(Error::input("there are no named classes to make layers of")
                    .with_hint("Give the class names, or write one layer for all."));
            }
        }
        Ok(targets)
    }
}

/// The names of the values of a label raster; none where it names none.
pub fn class_names(labels: &Path) -> Result<ClassNames> {
    Ok(LabelSource::open(labels, &[])?.names)
}

/// Features in all layers of a vector file; `None`: it is none.
pub fn features(path: &Path) -> Option<u64> {
    let open_flags = GdalOpenFlags::GDAL_OF_VECTOR | GdalOpenFlags::GDAL_OF_READONLY;
    let dataset = Dataset::open_ex(path, DatasetOptions { open_flags, ..Default::default() }).ok()?;
    Some(dataset.layers().map(|layer| layer.feature_count()).sum())
}
