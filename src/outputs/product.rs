//! The files that make up one output: the one that the user named and those beside it.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::journal::Fingerprint;
use crate::scene::{ClassNames, ProductOptions, Recipe};
use crate::vector::Targets;

/// Extensions of rasters whose styles have the names of a vector file's.
const RASTER_EXTENSIONS: [&str; 6] = ["tif", "tiff", "vrt", "png", "img", "jp2"];

/// One output: its files, layers and fingerprint.
#[derive(Clone, Debug)]
pub struct Product {
    pub(super) target: PathBuf,
    /// The files that must exist for it to be complete, the target first.
    pub(super) files: Vec<PathBuf>,
    /// Optional files that are written with it.
    pub(super) companions: Vec<PathBuf>,
    /// Files that it does not write, but that other programs would read as part of it.
    pub(super) stray: Vec<PathBuf>,
    /// Files that come with it in its staging folder, and are not published.
    pub(super) dropped: Vec<PathBuf>,
    /// Layers to write into a GeoPackage; empty for other formats.
    pub(super) layers: Vec<String>,
    /// The fingerprint of the run that writes it.
    pub(super) run: Fingerprint,
}

impl Product {
    /// A single file, such as a report, a table or a graph.
    pub fn file(target: &Path, run: Fingerprint) -> Self {
        let target = target.to_owned();
        Self {
            files: vec![target.clone()],
            target,
            companions: vec![],
            stray: vec![],
            dropped: vec![],
            layers: vec![],
            run,
        }
    }

    /// A raster or an image, with the sidecars that GDAL would read beside it.
    pub fn raster(target: &Path, run: Fingerprint) -> Self {
        let stray = [".aux.xml", ".ovr", ".msk"].iter().map(|suffix| with(target, suffix)).collect();
        Self { stray, ..Self::file(target, run) }
    }

    /// A raster of scores with its QGIS style.
    pub fn scores(target: &Path, run: Fingerprint) -> Self {
        Self { companions: vec![target.with_extension("qml")], ..Self::raster(target, run) }
    }

    /// A class map with its sidecar and its QGIS style.
    pub fn labels(target: &Path, run: Fingerprint) -> Self {
        let companions = vec![with(target, ".aux.xml"), target.with_extension("qml")];
        let stray = [".ovr", ".msk"].iter().map(|suffix| with(target, suffix)).collect();
        Self { companions, stray, ..Self::file(target, run) }
    }

    /// A vector product of a class map whose classes have these names.
    ///
    /// # Errors
    /// As [`Targets::of`].
    pub fn vector(
        target: &Path,
        recipe: Recipe,
        options: &ProductOptions,
        names: &ClassNames,
        run: Fingerprint,
    ) -> Result<Self> {
        let Targets { files, companions, stray, layers } = Targets::of(target, recipe, options, names)?;
        let product = Self { target: target.to_owned(), files, companions, stray, dropped: vec![], layers, run };
        let there = RASTER_EXTENSIONS.iter().map(|extension| target.with_extension(extension));
        let there: Vec<PathBuf> = there.filter(|path| path.is_file()).collect();
        Ok(product.beside(&there.iter().map(PathBuf::as_path).collect::<Vec<_>>()))
    }

    /// The product without styles of names that the styles of these rasters have: `a.qml` is that of `a.tif`, which styles polygons
    /// beside it too.
    #[must_use]
    pub fn beside(mut self, rasters: &[&Path]) -> Self {
        let taken: Vec<PathBuf> = rasters.iter().map(|raster| raster.with_extension("qml")).collect();
        let (dropped, companions) = self.companions.drain(..).partition(|path| taken.contains(path));
        self.companions = companions;
        self.dropped.extend::<Vec<PathBuf>>(dropped);
        self
    }

    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Whether any of its files exists.
    pub fn exists(&self) -> bool {
        let mut all = self.files.iter().chain(&self.companions).chain(&self.stray);
        all.any(|path| std::fs::symlink_metadata(path).is_ok())
    }
}

fn with(target: &Path, suffix: &str) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
