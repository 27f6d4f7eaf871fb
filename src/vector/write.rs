//! Writes features to a vector file that appears only when it is complete, with OGR or as GeoParquet.

use std::path::Path;

use super::feature::{Feature, LayerSpec};
use super::format::Format;
use super::geoparquet::GeoParquet;
use super::ogr::OgrFile;
use crate::atomic::StagedFile;
use crate::error::{Context, Error, Result};

/// Features per transaction and per message to the writing thread.
pub const BATCH: usize = 20_000;
/// Bytes of geometry at which a batch is full, whatever its number of features.
pub const BATCH_BYTES: usize = 16 << 20;

/// A vector file that is being written.
pub struct VectorWriter {
    /// `None` where layers are added to an existing GeoPackage.
    stage: Option<StagedFile>,
    file: File,
    /// The style to write beside the file.
    style: Option<String>,
    format: Format,
    name: String,
}

enum File {
    Ogr(OgrFile),
    GeoParquet(Box<GeoParquet>),
}

impl VectorWriter {
    /// Creates the file with empty layers in a staging folder. To an existing GeoPackage the layers are added in place: it must
    /// be a private copy, as [`outputs`](crate::outputs) makes it.
    ///
    /// # Errors
    /// An unknown extension; several layers in a format that has none; a file that cannot be created.
    pub fn create(path: &Path, crs_wkt: Option<&str>, layers: &[LayerSpec]) -> Result<Self> {
        let format = Format::of(path)?;
        let name = path.display().to_string();
        if layers.len() > 1 && !format.has_layers() {
            return Err(Error::input(format!("{name} can hold only one layer, the result has {}", layers.len()))
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
        // A GeoPackage holds its styles.
        let styled = layers.first().filter(|_| format != Format::GeoPackage);
        let style = styled.and_then(|layer| layer.qml(format == Format::Shapefile));
        Ok(Self { stage, file, style, format, name })
    }

    /// Appends features in one transaction where the format has them.
    pub fn write(&mut self, features: Vec<Feature>) -> Result<()> {
        match &mut self.file {
            File::Ogr(file) => file.write(features),
            File::GeoParquet(file) => file.write(features),
        }
    }

    /// Completes the file and moves it to its final path.
    pub fn finish(self) -> Result<()> {
        let Self { stage, file, style, format, name } = self;
        match file {
            File::Ogr(file) => file.finish()?,
            File::GeoParquet(file) => file.finish()?,
        }
        let Some(stage) = stage else { return Ok(()) };
        let path = stage.path();
        if !path.exists() {
            // GDAL does not create newline-delimited GeoJSON without features.
            std::fs::write(&path, b"").input(|| format!("cannot write {name}"))?;
        }
        if let Some(style) = style {
            std::fs::write(path.with_extension("qml"), style).input(|| format!("cannot write the style of {name}"))?;
        }
        if format == Format::Shapefile {
            shapefile_limits(&path, &name)?;
            return stage.publish(&["qix", "sbn", "sbx", "cpg", "prj", "idm", "ind"]);
        }
        stage.publish(&[])
    }
}

/// Checks the size of a Shapefile: GDAL writes larger files than other readers support.
fn shapefile_limits(path: &Path, name: &str) -> Result<()> {
    for part in ["shp", "dbf"] {
        let size = std::fs::metadata(path.with_extension(part)).map_or(0, |metadata| metadata.len());
        if size > i32::MAX as u64 {
            return Err(Error::input(format!(
                "{name} would have {size} bytes in its .{part}, the limit of a Shapefile is 2 GB"
            ))
            .with_hint("Write a .gpkg or .fgb, which have no such limit."));
        }
    }
    Ok(())
}
