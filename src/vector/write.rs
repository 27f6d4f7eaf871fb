//! Features into a file that is hidden until it is complete: layers, fields, and which part of the program writes what.

use std::path::Path;

use super::ffi::Feature;
use super::format::Format;
use super::geoparquet::GeoParquet;
use super::ogr::OgrFile;
use crate::atomic::StagedFile;
use crate::error::{Context, Error, Result};

/// Features per transaction and per message to the writing thread.
pub const BATCH: usize = 20_000;
/// Bytes of geometry after which a batch is full, whatever its count.
pub const BATCH_BYTES: usize = 16 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeometryKind {
    Point,
    LineString,
    Polygon,
    MultiPolygon,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    Integer,
    Real,
    Text,
}

#[derive(Clone, Debug)]
pub struct Field {
    pub name: &'static str,
    /// At most ten characters, for Shapefiles.
    pub short: &'static str,
    pub kind: FieldKind,
}

impl Field {
    pub const fn new(name: &'static str, short: &'static str, kind: FieldKind) -> Self {
        Self { name, short, kind }
    }
}

#[derive(Clone, Debug)]
pub struct LayerSpec {
    pub name: String,
    pub geometry: GeometryKind,
    pub fields: Vec<Field>,
}

/// A file under construction.
pub struct VectorWriter {
    /// `None`: written in place.
    stage: Option<StagedFile>,
    file: File,
    format: Format,
    name: String,
}

enum File {
    Ogr(OgrFile),
    GeoParquet(Box<GeoParquet>),
}

impl VectorWriter {
    /// Makes the file with its layers, still empty and still hidden. To a GeoPackage that is there the layers are added in
    /// place: it must be a copy that nobody else knows, as [`outputs`](crate::outputs) makes it.
    pub fn create(path: &Path, crs_wkt: Option<&str>, layers: &[LayerSpec]) -> Result<Self> {
        let format = Format::of(path)?;
        let name = path.display().to_string();
        if layers.len() > 1 && !format.has_layers() {
            return Err(Error::input(format!("{name} can hold one layer, the result has {}", layers.len()))
                .with_hint("Write a .gpkg: a GeoPackage holds any number of layers."));
        }
        let stage = if format == Format::GeoPackage && path.exists() { None } else { Some(StagedFile::new(path)?) };
        let here = stage.as_ref().map_or_else(|| path.to_owned(), StagedFile::path);
        let file = match (format, layers) {
            (Format::GeoParquet, [layer]) => {
                File::GeoParquet(Box::new(GeoParquet::create(&here, &name, crs_wkt, layer)?))
            }
            _ => File::Ogr(OgrFile::create(&here, &name, format, crs_wkt, layers)?),
        };
        Ok(Self { stage, file, format, name })
    }

    /// Appends features in one transaction where the format has them.
    pub fn write(&mut self, features: Vec<Feature>) -> Result<()> {
        match &mut self.file {
            File::Ogr(file) => file.write(features),
            File::GeoParquet(file) => file.write(features),
        }
    }

    /// Completes the file and puts it where it belongs.
    pub fn finish(self) -> Result<()> {
        let Self { stage, file, format, name } = self;
        match file {
            File::Ogr(file) => file.finish()?,
            File::GeoParquet(file) => file.finish()?,
        }
        let Some(stage) = stage else { return Ok(()) };
        let path = stage.path();
        if !path.exists() {
            // Newline-delimited GeoJSON without a feature is an empty file, which GDAL does not bother to make.
            std::fs::write(&path, b"").input(|| format!("cannot write {name}"))?;
        }
        if format == Format::Shapefile {
            shapefile_limits(&path, &name)?;
            return stage.publish(&["qix", "sbn", "sbx", "cpg", "prj", "idm", "ind"]);
        }
        stage.publish(&[])
    }
}

/// GDAL goes past the sizes that other readers can address, if asked to or not.
fn shapefile_limits(path: &Path, name: &str) -> Result<()> {
    for part in ["shp", "dbf"] {
        let size = std::fs::metadata(path.with_extension(part)).map_or(0, |metadata| metadata.len());
        if size > i32::MAX as u64 {
            return Err(Error::input(format!("{name} would have {size} bytes in its .{part}, a Shapefile holds 2 GB"))
                .with_hint("Write a .gpkg or .fgb, which have no such limit."));
        }
    }
    Ok(())
}
