//! Features into a file: layers, fields, transactions, and the limits of each format.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use gdal::spatial_ref::{AxisMappingStrategy, SpatialRef};
use gdal::vector::{FieldDefn, LayerOptions, OGRFieldType, OGRwkbGeometryType};
use gdal::{Dataset, DriverManager};

use super::ffi::{self, Feature};
use super::format::Format;
use super::rtree::{Item, SpatialIndex};
use super::stage::Stage;
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
    stage: Stage,
    dataset: Dataset,
    format: Format,
    /// One a layer, in a GeoPackage.
    indices: Vec<SpatialIndex>,
    name: String,
}

impl VectorWriter {
    /// Makes the file with its layers, still empty and still hidden.
    pub fn create(path: &Path, crs_wkt: Option<&str>, layers: &[LayerSpec]) -> Result<Self> {
        let format = Format::of(path)?;
        let name = path.display().to_string();
        if layers.len() > 1 && !format.has_layers() {
            return Err(Error::input(format!("{name} can hold one layer, the result has {}", layers.len()))
                .with_hint("Write a .gpkg: a GeoPackage holds any number of layers."));
        }
        let stage = Stage::new(path)?;
        let driver = DriverManager::get_driver_by_name(format.driver())
            .input(|| format!("this GDAL has no driver to write {name}"))
            .map_err(|error| error.with_hint("Write a .gpkg or .geojson instead."))?;
        let mut dataset =
            driver.create_vector_only(stage.path()).input(|| format!("cannot create {name} in its folder"))?;
        if format == Format::GeoPackage {
            // Safe because the file is hidden until it is complete: after a crash nobody finds it.
            for pragma in ["PRAGMA synchronous = OFF", "PRAGMA journal_mode = OFF"] {
                let _ = dataset.execute_sql(pragma, None, gdal::vector::sql::Dialect::DEFAULT);
            }
        }
        let srs = match crs_wkt {
            Some(wkt) => {
                let mut srs = SpatialRef::from_definition(wkt).input(|| "the CRS is not understood".into())?;
                srs.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
                Some(srs)
            }
            None => None,
        };
        for layer in layers {
            add_layer(&mut dataset, format, layer, srs.as_ref()).input(|| format!("cannot make a layer in {name}"))?;
        }
        let mut indices = Vec::new();
        if format == Format::GeoPackage {
            for layer in layers {
                indices.push(SpatialIndex::create(&dataset, &layer.name)?);
            }
        }
        Ok(Self { stage, dataset, format, indices, name })
    }

    /// Appends features in one transaction where the format has them.
    pub fn write(&mut self, features: Vec<Feature>) -> Result<()> {
        let fault = |text: String| -> Error {
            let error = Error::input(format!("cannot write to {}: {text}", self.name));
            match self.format {
                Format::Shapefile => error.with_hint(
                    "A Shapefile holds 2 GB and short attributes; write a .gpkg or .fgb, which have no such limits.",
                ),
                Format::GeoPackage => error.with_hint("Check the space left on the disk; a geometry can have 1 GB."),
                _ => error.with_hint("Check the space left on the disk."),
            }
        };
        let mut rest = features.into_iter().peekable();
        while let Some(first) = rest.peek() {
            let index = first.layer;
            let same = std::iter::from_fn(|| rest.next_if(|feature| feature.layer == index));
            if let Some(spatial) = self.indices.get_mut(index) {
                let transaction = self
                    .dataset
                    .start_transaction()
                    .internal(|| "a transaction on a GeoPackage does not start".to_string())?;
                let layer = transaction.layer(index).internal(|| format!("layer {index} is gone"))?;
                let mut boxes = Vec::new();
                ffi::append(&layer, same, |id, bounds| boxes.push(Item::new(id, bounds))).map_err(fault)?;
                spatial.extend(boxes);
                transaction.commit().input(|| format!("cannot write to {}", self.name))?;
            } else {
                let layer = self.dataset.layer(index).internal(|| format!("layer {index} is gone"))?;
                ffi::append(&layer, same, |_, _| {}).map_err(fault)?;
            }
        }
        Ok(())
    }

    /// Completes the file and puts it where it belongs.
    pub fn finish(self) -> Result<()> {
        let Self { stage, dataset, format, indices, name } = self;
        indices.into_iter().try_for_each(|index| index.finish(&dataset))?;
        dataset.close().input(|| format!("cannot complete {name}"))?;
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

fn add_layer(
    dataset: &mut Dataset,
    format: Format,
    layer: &LayerSpec,
    srs: Option<&SpatialRef>,
) -> gdal::errors::Result<()> {
    let options: &[&str] = match format {
        Format::GeoPackage => &["GEOMETRY_NAME=geom", "SPATIAL_INDEX=NO"],
        Format::FlatGeobuf => &["SPATIAL_INDEX=YES"],
        // RFC 7946 is WGS 84 by definition; plain pixel coordinates are no such thing.
        Format::GeoJson if srs.is_some() => &["RFC7946=YES", "COORDINATE_PRECISION=7", "WRITE_NAME=NO"],
        Format::GeoJson => &["COORDINATE_PRECISION=7", "WRITE_NAME=NO"],
        Format::GeoJsonSeq => &["COORDINATE_PRECISION=7", "RS=NO"],
        Format::Shapefile => &["ENCODING=UTF-8"],
    };
    let kind = match layer.geometry {
        GeometryKind::Point => OGRwkbGeometryType::wkbPoint,
        GeometryKind::LineString => OGRwkbGeometryType::wkbLineString,
        // A Shapefile makes no difference between one polygon and several.
        GeometryKind::MultiPolygon if format == Format::Shapefile => OGRwkbGeometryType::wkbPolygon,
        GeometryKind::Polygon => OGRwkbGeometryType::wkbPolygon,
        GeometryKind::MultiPolygon => OGRwkbGeometryType::wkbMultiPolygon,
    };
    let made = dataset.create_layer(LayerOptions { name: &layer.name, srs, ty: kind, options: Some(options) })?;
    for field in &layer.fields {
        let kind = match field.kind {
            FieldKind::Integer => OGRFieldType::OFTInteger64,
            FieldKind::Real => OGRFieldType::OFTReal,
            FieldKind::Text => OGRFieldType::OFTString,
        };
        let name = if format == Format::Shapefile { field.short } else { field.name };
        let definition = FieldDefn::new(name, kind)?;
        if format == Format::Shapefile {
            match field.kind {
                FieldKind::Text => definition.set_width(254),
                FieldKind::Integer => definition.set_width(10),
                FieldKind::Real => {
                    definition.set_width(18);
                    definition.set_precision(3);
                }
            }
        }
        definition.add_to_layer(&made)?;
    }
    Ok(())
}

/// A writer on a thread of its own, so that tracing never waits for the disk.
pub struct BackgroundWriter {
    batches: Option<SyncSender<Vec<Feature>>>,
    thread: Option<JoinHandle<Result<()>>>,
    pending: Vec<Feature>,
    pending_bytes: usize,
}

impl BackgroundWriter {
    pub fn new(writer: VectorWriter) -> Result<Self> {
        let (sender, receiver) = sync_channel(2);
        let thread = std::thread::Builder::new()
            .name("vector-writer".into())
            .spawn(move || drain(writer, &receiver))
            .internal(|| "cannot start the writing thread".into())?;
        Ok(Self { batches: Some(sender), thread: Some(thread), pending: Vec::new(), pending_bytes: 0 })
    }

    pub fn push(&mut self, feature: Feature) -> Result<()> {
        self.pending_bytes += feature.wkb.len();
        self.pending.push(feature);
        if self.pending.len() >= BATCH || self.pending_bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let sent = self.batches.as_ref().is_some_and(|batches| batches.send(batch).is_ok());
        // The thread hangs up only when it failed: its own error says why.
        if sent { Ok(()) } else { self.join().and_then(|()| Err(Error::internal("the writing thread stopped early"))) }
    }

    /// Writes what is left and completes the file.
    pub fn finish(mut self) -> Result<()> {
        if !self.pending.is_empty() {
            self.flush()?;
        }
        // An empty batch is the word for "all is well, publish": a channel that merely closes means that the caller failed.
        let last = self.batches.as_ref().is_some_and(|batches| batches.send(Vec::new()).is_ok());
        self.join()?;
        if last { Ok(()) } else { Err(Error::internal("the writing thread stopped early")) }
    }

    fn join(&mut self) -> Result<()> {
        self.batches = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(Error::internal("the writing thread panicked")),
            None => Ok(()),
        }
    }
}

impl Drop for BackgroundWriter {
    fn drop(&mut self) {
        let _ = self.join();
    }
}

fn drain(mut writer: VectorWriter, batches: &Receiver<Vec<Feature>>) -> Result<()> {
    for batch in batches {
        if batch.is_empty() {
            return writer.finish();
        }
        writer.write(batch)?;
    }
    Ok(())
}
