//! GeoPackages that are there already: what they hold, whether somebody works on them, and a copy to add layers to.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use gdal::vector::LayerAccess as _;
use gdal::vector::sql::Dialect;
use gdal::{Dataset, DatasetOptions, GdalOpenFlags};

use crate::error::{Context, Error, Result};
use crate::hash::Pieces;

/// With this every SQLite database begins.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// What a GeoPackage holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GeoPackage {
    /// Vector layers and registered tables of attributes.
    pub layers: Vec<String>,
    /// All tables and views, those of layers among them.
    tables: Vec<String>,
}

impl GeoPackage {
    /// Reads the names of what is in a file.
    ///
    /// # Errors
    /// The file is no database, no GeoPackage, or locked by another program.
    pub fn read(path: &Path) -> Result<Self> {
        let dataset = match open(path, false) {
            Ok(dataset) => dataset,
            // GDAL opens one without layers only to write to it.
            Err(error) if error.hint().is_none() && is_marked(path) => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let texts =
            |query: &str| texts(&dataset, query).input(|| format!("cannot read the tables of {}", path.display()));
        // GDAL shows tables of other programs as layers too.
        let layers =
            texts("SELECT table_name FROM gpkg_contents WHERE data_type IN ('features', 'attributes', 'aspatial')")?;
        Ok(Self { layers, tables: texts("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")? })
    }

    /// The layer of this name as it is written there: SQLite makes no difference between upper and lower case.
    pub fn layer(&self, name: &str) -> Option<&str> {
        self.layers.iter().map(String::as_str).find(|layer| layer.eq_ignore_ascii_case(name))
    }

    /// A table or view of this name that is no layer.
    pub fn table(&self, name: &str) -> Option<&str> {
        let table = self.tables.iter().map(String::as_str).find(|table| table.eq_ignore_ascii_case(name))?;
        self.layer(name).is_none().then_some(table)
    }
}

/// Whether a file is an SQLite database at all.
pub fn is_database(path: &Path) -> bool {
    let mut magic = [0; 16];
    File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *MAGIC
}

/// Whether a database says of itself that it is a GeoPackage: by its application ID, at byte 68.
fn is_marked(path: &Path) -> bool {
    let mut header = [0; 72];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    read.is_ok() && (header.ends_with(b"GPKG") || header.ends_with(b"GP10") || header.ends_with(b"GP11"))
}

/// The file by which SQLite shows that another program has a database open, or that a crash has left it with changes that
/// are not in the database yet.
pub fn in_use(path: &Path) -> Option<PathBuf> {
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let [wal, shm, journal] = ["-wal", "-shm", "-journal"].map(beside);
    // A rollback journal that is kept for later use has an empty header.
    let hot = |path: &PathBuf| {
        let mut header = [0; 8];
        File::open(path).is_ok_and(|mut file| file.read_exact(&mut header).is_ok() && header != [0; 8])
    };
    [wal, shm].into_iter().find(|path| path.exists()).or_else(|| Some(journal).filter(hot))
}

/// A hash over all that a layer holds: its fields, and of each feature the number, the geometry and the values. Two files
/// whose layers hold the same have the same hash, however their pages lie.
///
/// # Errors
/// There is no such layer, or it cannot be read.
pub fn digest(path: &Path, layer: &str) -> Result<String> {
    let cannot = || format!("cannot read the layer {layer:?} of {}", path.display());
    let dataset = open(path, false)?;
    let mut layer = dataset.layer_by_name(layer).input(cannot)?;
    let mut pieces = Pieces::default();
    let fields: Vec<(String, String)> =
        layer.defn().fields().map(|field| (field.name(), field.field_type().to_string())).collect();
    for (name, kind) in &fields {
        pieces.add(name);
        pieces.add(kind);
    }
    pieces.add(layer.spatial_ref().and_then(|crs| crs.to_wkt().ok()).unwrap_or_default());
    for feature in layer.features() {
        pieces.add(feature.fid().map_or_else(String::new, |id| id.to_string()));
        match feature.geometry() {
            Some(geometry) => pieces.add(geometry.wkb().input(cannot)?),
            None => pieces.add("none"),
        }
        for index in 0..fields.len() {
            // Shortest digits that read back as the same number.
            pieces.add(format!("{:?}", feature.field(index).ok()));
        }
    }
    Ok(pieces.finish())
}

/// Features of a layer.
pub fn count(path: &Path, layer: &str) -> Option<u64> {
    Some(open(path, false).ok()?.layer_by_name(layer).ok()?.feature_count())
}

/// Copies a GeoPackage to `to` without these layers; nobody writes to the original meanwhile.
///
/// # Errors
/// Another program writes to it; the disk is full.
pub fn copy_without(from: &Path, to: &Path, layers: &[String]) -> Result<()> {
    {
        let dataset = open(from, false)?;
        // A transaction that has read holds SQLite's shared lock until it ends.
        run(&dataset, "BEGIN").input(|| format!("cannot read {}", from.display()))?;
        texts(&dataset, "SELECT name FROM sqlite_master").input(|| format!("cannot read {}", from.display()))?;
        fs::copy(from, to).input(|| format!("cannot copy {} to add layers to it", from.display()))?;
        let _ = run(&dataset, "COMMIT");
    }
    let cannot = || format!("cannot add layers to {}", from.display());
    let mut dataset = open(to, true)?;
    for layer in layers {
        let index = dataset.layers().position(|there| there.name().eq_ignore_ascii_case(layer));
        if let Some(index) = index {
            dataset
                .delete_layer(index)
                .input(|| format!("cannot replace the layer {layer:?} of {}", from.display()))?;
        }
    }
    dataset.close().input(cannot)
}

/// Opens an existing GeoPackage.
pub fn open(path: &Path, update: bool) -> Result<Dataset> {
    if !is_database(path) {
        return Err(Error::input(format!("{} is no GeoPackage: SQLite did not write it", path.display())));
    }
    let access = if update { GdalOpenFlags::GDAL_OF_UPDATE } else { GdalOpenFlags::GDAL_OF_READONLY };
    let open_flags = access | GdalOpenFlags::GDAL_OF_VECTOR | GdalOpenFlags::GDAL_OF_VERBOSE_ERROR;
    // A GeoPackage of rasters alone opens as vectors only to be written to.
    let flags = if update { open_flags } else { open_flags | GdalOpenFlags::GDAL_OF_RASTER };
    let options = DatasetOptions { open_flags: flags, allowed_drivers: Some(&["GPKG"]), ..Default::default() };
    Dataset::open_ex(path, options).map_err(|cause| {
        let said = cause.to_string();
        let error = Error::input(format!("{} cannot be read as a GeoPackage", path.display())).with_source(cause);
        if said.contains("locked") {
            return error.with_hint("Another program writes to it: close it there first.");
        }
        error
    })
}

/// The first value of each row.
fn texts(dataset: &Dataset, query: &str) -> gdal::errors::Result<Vec<String>> {
    let mut texts = Vec::new();
    if let Some(mut found) = dataset.execute_sql(query, None, Dialect::DEFAULT)? {
        texts.extend(found.features().filter_map(|row| row.field_as_string(0).ok().flatten()));
    }
    Ok(texts)
}

fn run(dataset: &Dataset, sql: &str) -> gdal::errors::Result<()> {
    dataset.execute_sql(sql, None, Dialect::DEFAULT).map(drop)
}
