//! What a command writes under one name: the file that the user named and those that belong to it.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::journal::Fingerprint;
use crate::scene::{ClassNames, ProductOptions, Recipe};
use crate::vector::Targets;

/// An output before it is written.
#[derive(Clone, Debug)]
pub struct Product {
    pub(super) target: PathBuf,
    /// The files without which it is not whole, the target first.
    pub(super) files: Vec<PathBuf>,
    /// Files that come with it, and that it can do without.
    pub(super) companions: Vec<PathBuf>,
    /// Files that it does not write, and that readers take for a part of it where they are there.
    pub(super) stray: Vec<PathBuf>,
    /// Layers of a GeoPackage; empty: the whole file is written.
    pub(super) layers: Vec<String>,
    /// What decides its content.
    pub(super) run: Fingerprint,
}

impl Product {
    /// A file that stands alone: a page, a table, a graph.
    pub fn file(target: &Path, run: Fingerprint) -> Self {
        let target = target.to_owned();
        Self { files: vec![target.clone()], target, companions: vec![], stray: vec![], layers: vec![], run }
    }

    /// A raster or a picture that GDAL reads, with what GDAL would read beside it.
    pub fn raster(target: &Path, run: Fingerprint) -> Self {
        let stray = [".aux.xml", ".ovr", ".msk"].iter().map(|suffix| with(target, suffix)).collect();
        Self { stray, ..Self::file(target, run) }
    }

    /// A class map with its sidecar and its style.
    pub fn labels(target: &Path, run: Fingerprint) -> Self {
        let companions = vec![with(target, ".aux.xml"), target.with_extension("qml")];
        let stray = [".ovr", ".msk"].iter().map(|suffix| with(target, suffix)).collect();
        Self { companions, stray, ..Self::file(target, run) }
    }

    /// A product of labels whose classes have these names.
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
        Ok(Self { target: target.to_owned(), files, companions, stray, layers, run })
    }

    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Whether any of its files is there.
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
