//! Existing GeoPackages: their layers, whether another program uses them, and copies to which layers are added.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use gdal::vector::LayerAccess as _;
use gdal::vector::sql::Dialect;
use gdal::{Dataset, DatasetOptions, GdalOpenFlags};

use super::layer_styles;
use crate::error::{Context, Error, Result};
use crate::hash::Pieces;

/// The first bytes of every SQLite database.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The layers and tables of a GeoPackage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GeoPackage {
    /// Vector layers and registered attribute tables.
    pub layers: Vec<String>,
    /// All tables and views, including those of layers.
    tables: Vec<String>,
}

impl GeoPackage {
    /// Reads the names of the layers and tables of a file.
    ///
    /// # Errors
    /// The file is not a database, not a GeoPackage, or locked by another program.
    pub fn read(path: &Path) -> Result<Self> {
        let dataset = match open(path, false) {
            Ok(dataset) => dataset,
            // GDAL opens a GeoPackage without layers only for update.
            Err(error) if error.hint().is_none() && is_marked(path) => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let texts =
            |query: &str| texts(&dataset, query).input(|| format!("cannot read the tables of {}", path.display()));
        // GDAL also lists unregistered tables as layers.
        let layers =
            texts("SELECT table_name FROM gpkg_contents WHERE data_type IN ('features', 'attributes', 'aspatial')")?;
        Ok(Self { layers, tables: texts("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")? })
    }

    /// The name of a layer in the file's own case: names in SQLite are case-insensitive.
    pub fn layer(&self, name: &str) -> Option<&str> {
        self.layers.iter().map(String::as_str).find(|layer| layer.eq_ignore_ascii_case(name))
    }

    /// A table or view of this name that is not a layer.
    pub fn table(&self, name: &str) -> Option<&str> {
        let table = self.tables.iter().map(String::as_str).find(|table| table.eq_ignore_ascii_case(name))?;
        self.layer(name).is_none().then_some(table)
    }
}

/// Whether a file is an SQLite database.
pub fn is_database(path: &Path) -> bool {
    let mut magic = [0; 16];
    File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *MAGIC
}

/// Whether the application ID of a database, at byte 68, is that of a GeoPackage.
fn is_marked(path: &Path) -> bool {
    let mut header = [0; 72];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    read.is_ok() && (header.ends_with(b"GPKG") || header.ends_with(b"GP10") || header.ends_with(b"GP11"))
}

/// The journal file of SQLite that exists while another program has the database open, or after a crash left changes that
/// are not in the database yet.
pub fn in_use(path: &Path) -> Option<PathBuf> {
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let [wal, shm, journal] = ["-wal", "-shm", "-journal"].map(beside);
    // A rollback journal that is kept for reuse has an empty header.
    let hot = |path: &PathBuf| {
        let mut header = [0; 8];
        File::open(path).is_ok_and(|mut file| file.read_exact(&mut header).is_ok() && header != [0; 8])
    };
    [wal, shm].into_iter().find(|path| path.exists()).or_else(|| Some(journal).filter(hot))
}

/// A hash of a layer's content: its fields, and ID, geometry and attributes of each feature. Independent of the layout of the
/// database.
///
/// # Errors
/// The layer does not exist or cannot be read.
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
            // The shortest digits that identify a number.
            pieces.add(format!("{:?}", feature.field(index).ok()));
        }
    }
    Ok(pieces.finish())
}

/// The number of features of a layer; `None` where it cannot be read.
pub fn count(path: &Path, layer: &str) -> Option<u64> {
    Some(open(path, false).ok()?.layer_by_name(layer).ok()?.feature_count())
}

/// Copies a GeoPackage to `to` without these layers, under a read lock.
///
/// # Errors
/// Another program is writing to it; the copy fails.
pub fn copy_without(from: &Path, to: &Path, layers: &[String]) -> Result<()> {
    {
        let dataset = open(from, false)?;
        // A read transaction holds SQLite's shared lock until it ends.
        run(&dataset, "BEGIN").input(|| format!("cannot read {}", from.display()))?;
        texts(&dataset, "SELECT name FROM sqlite_master").input(|| format!("cannot read {}", from.display()))?;
        fs::copy(from, to).input(|| format!("cannot copy {} to add layers to it", from.display()))?;
        let _ = run(&dataset, "COMMIT");
    }
    let cannot = || format!("cannot add layers to {}", from.display());
    let mut dataset = open(to, true)?;
    for layer in layers {
        let index = dataset.layers().position(|layer_there| layer_there.name().eq_ignore_ascii_case(layer));
        if let Some(index) = index {
            let cannot = || format!("cannot replace the layer {layer:?} of {}", from.display());
            layer_styles::put_aside(&dataset, layer).input(cannot)?;
            dataset.delete_layer(index).input(cannot)?;
            layer_styles::restore(&dataset, layer).input(cannot)?;
        }
    }
    dataset.close().input(cannot)
}

/// Opens an existing GeoPackage.
///
/// # Errors
/// The file is not an SQLite database, not a GeoPackage, or locked.
pub fn open(path: &Path, update: bool) -> Result<Dataset> {
    if !is_database(path) {
        return Err(Error::input(format!("{} is not a GeoPackage: it is not an SQLite database", path.display())));
    }
    let access = if update { GdalOpenFlags::GDAL_OF_UPDATE } else { GdalOpenFlags::GDAL_OF_READONLY };
    let open_flags = access | GdalOpenFlags::GDAL_OF_VECTOR | GdalOpenFlags::GDAL_OF_VERBOSE_ERROR;
    // A GeoPackage with rasters only opens in vector mode only for update.
    let flags = if update { open_flags } else { open_flags | GdalOpenFlags::GDAL_OF_RASTER };
    let options = DatasetOptions { open_flags: flags, allowed_drivers: Some(&["GPKG"]), ..Default::default() };
    Dataset::open_ex(path, options).map_err(|cause| {
        let message = cause.to_string();
        let error = Error::input(format!("{} cannot be read as a GeoPackage", path.display())).with_source(cause);
        if message.contains("locked") {
            return error.with_hint("Another program has locked it: close it there first.");
        }
        error
    })
}

/// The first column of a query's result.
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
