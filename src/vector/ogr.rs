//! Writes vector files with OGR.

use std::path::Path;

use gdal::spatial_ref::{AxisMappingStrategy, SpatialRef};
use gdal::vector::{FieldDefn, LayerOptions, OGRFieldType, OGRwkbGeometryType};
use gdal::{Dataset, DriverManager, Metadata};

use super::feature::{Feature, FieldKind, GeometryKind, LayerSpec};
use super::ffi;
use super::format::Format;
use super::geopackage::{self, GeoPackage};
use super::layer_styles;
use super::rtree::{Item, SpatialIndex};
use crate::error::{Context, Error, Result};

/// The definition that GDAL stores as srs_id -1 in GeoPackages: undefined Cartesian coordinates.
const PLANE: &str = "ENGCRS[\"Undefined Cartesian SRS\",EDATUM[\"\"],CS[Cartesian,2],AXIS[\"(E)\",east],\
                     AXIS[\"(N)\",north],LENGTHUNIT[\"metre\",1]]";

/// An open dataset with its layers.
pub struct OgrFile {
    dataset: Dataset,
    format: Format,
    /// The spatial index of each layer of a GeoPackage.
    indices: Vec<SpatialIndex>,
    /// The layers, for the styles of a GeoPackage.
    layers: Vec<LayerSpec>,
    /// Number of layers that existed before.
    first: usize,
    /// The user's path, for messages.
    name: String,
}

impl OgrFile {
    /// Creates the file with its layers; an existing GeoPackage gets them added.
    ///
    /// # Errors
    /// The GeoPackage has a table with the name of a layer; GDAL cannot create the file.
    pub fn create(
        path: &Path,
        name: &str,
        format: Format,
        crs_wkt: Option<&str>,
        layers: &[LayerSpec],
    ) -> Result<Self> {
        let mut dataset = if format == Format::GeoPackage && path.exists() {
            let there = GeoPackage::read(path)?;
            if let Some(taken) = layers.iter().find_map(|layer| there.layer(&layer.name).or(there.table(&layer.name))) {
                return Err(Error::input(format!("{name} already has a table {taken:?}"))
                    .with_hint("Give the result another name."));
            }
            geopackage::open(path, true)?
        } else {
            let driver = DriverManager::get_driver_by_name(format.driver())
                .input(|| format!("this build of GDAL has no driver for {name}"))
                .map_err(|error| error.with_hint("Write a .gpkg or .geojson instead."))?;
            driver.create_vector_only(path).input(|| format!("cannot create {name}"))?
        };
        let first = dataset.layer_count();
        if format == Format::GeoPackage {
            // Safe because the file is in a staging folder until it is complete, and discarded after a crash.
            for pragma in ["PRAGMA synchronous = OFF", "PRAGMA journal_mode = OFF"] {
                let _ = dataset.execute_sql(pragma, None, gdal::vector::sql::Dialect::DEFAULT);
            }
        }
        let srs = match crs_wkt {
            Some(wkt) => {
                let mut srs = SpatialRef::from_definition(wkt).input(|| "cannot parse the CRS".into())?;
                srs.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
                Some(srs)
            }
            // Without a CRS GDAL writes srs_id 0, degrees of an unknown datum; these coordinates are Cartesian.
            None if format == Format::GeoPackage => Some(
                SpatialRef::from_wkt(PLANE)
                    .internal(|| "cannot parse the undefined Cartesian CRS of GeoPackages".into())?,
            ),
            None => None,
        };
        for layer in layers {
            add_layer(&mut dataset, format, layer, srs.as_ref())
                .input(|| format!("cannot create a layer in {name}"))?;
        }
        let mut indices = Vec::new();
        if format == Format::GeoPackage {
            for layer in layers {
                indices.push(SpatialIndex::create(&dataset, &layer.name)?);
            }
        }
        Ok(Self { dataset, format, indices, layers: layers.to_vec(), first, name: name.to_owned() })
    }

    /// Appends features in one transaction where the format has them.
    pub fn write(&mut self, features: Vec<Feature>) -> Result<()> {
        let failure = |text: String| -> Error {
            let error = Error::input(format!("cannot write to {}: {text}", self.name));
            match self.format {
                Format::Shapefile => error
                    .with_hint("A Shapefile is limited to 2 GB and short attributes; write a .gpkg or .fgb instead."),
                Format::GeoPackage => error.with_hint("Check the free disk space; a geometry can have up to 1 GB."),
                _ => error.with_hint("Check the free disk space."),
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
                    .internal(|| "cannot start a transaction on the GeoPackage".to_string())?;
                let layer =
                    transaction.layer(self.first + index).internal(|| format!("layer {index} does not exist"))?;
                let mut boxes = Vec::new();
                ffi::append(&layer, same, |id, bounds| boxes.push(Item::new(id, bounds))).map_err(failure)?;
                spatial.extend(boxes);
                transaction.commit().input(|| format!("cannot write to {}", self.name))?;
            } else {
                let layer =
                    self.dataset.layer(self.first + index).internal(|| format!("layer {index} does not exist"))?;
                ffi::append(&layer, same, |_, _| {}).map_err(failure)?;
            }
        }
        Ok(())
    }

    /// Writes the spatial indices and closes the file.
    pub fn finish(self) -> Result<()> {
        let Self { dataset, format, indices, layers, name, .. } = self;
        indices.into_iter().try_for_each(|index| index.finish(&dataset))?;
        if format == Format::GeoPackage {
            layer_styles::write(&dataset, &layers).input(|| format!("cannot write the styles of {name}"))?;
        }
        dataset.close().input(|| format!("cannot complete {name}"))
    }
}

fn add_layer(
    dataset: &mut Dataset,
    format: Format,
    layer: &LayerSpec,
    srs: Option<&SpatialRef>,
) -> gdal::errors::Result<()> {
    let description = format!("DESCRIPTION={}", layer.description.replace('\0', " "));
    let options: &[&str] = match format {
        Format::GeoPackage => &["GEOMETRY_NAME=geom", "SPATIAL_INDEX=NO", &description],
        Format::FlatGeobuf => &["SPATIAL_INDEX=YES"],
        Format::GeoJson => &["RFC7946=YES", "COORDINATE_PRECISION=7", "WRITE_NAME=NO", &description],
        Format::GeoJsonSeq => &["COORDINATE_PRECISION=7", "RS=NO"],
        Format::Shapefile => &["ENCODING=UTF-8"],
        Format::GeoParquet => &[],
    };
    let kind = match layer.geometry {
        GeometryKind::Point => OGRwkbGeometryType::wkbPoint,
        GeometryKind::LineString => OGRwkbGeometryType::wkbLineString,
        // Shapefiles do not distinguish polygons and multipolygons.
        GeometryKind::MultiPolygon if format == Format::Shapefile => OGRwkbGeometryType::wkbPolygon,
        GeometryKind::Polygon => OGRwkbGeometryType::wkbPolygon,
        GeometryKind::MultiPolygon => OGRwkbGeometryType::wkbMultiPolygon,
    };
    let mut created =
        dataset.create_layer(LayerOptions { name: &layer.name, srs, ty: kind, options: Some(options) })?;
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
        if format == Format::GeoPackage && !field.alias.is_empty() {
            ffi::add_field_with_alias(&created, name, kind, field.alias)?;
        } else {
            definition.add_to_layer(&created)?;
        }
    }
    if format == Format::GeoPackage {
        for (name, value) in &layer.metadata {
            created.set_metadata_item(name, value, "")?;
        }
    }
    Ok(())
}
