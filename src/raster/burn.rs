//! Polygons rasterised onto the grid of a raster: each pixel takes the number of the last polygon that contains its
//! centre.

use std::path::Path;

use gdal::raster::rasterize;
use gdal::spatial_ref::SpatialRef;
use gdal::vector::{Envelope, Feature, FieldValue, Geometry};
use gdal::{Dataset, DatasetOptions, DriverManager, GdalOpenFlags};

use super::polygons::{PolygonFeature, PolygonLayer, PolygonSource};
use super::{align, messages};
use crate::error::{Context, Error, Result};
use crate::geom::{GeoTransform, Window};
use crate::scene::{Georeference, SceneInfo};

/// The default field for a polygon's class: the one that this program writes.
const CLASS_FIELD: &str = "class";

/// The value of a polygon's class field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldCode {
    Value(i64),
    Text(String),
}

/// Which features of a vector file are burnt, and by which field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VectorSource {
    /// `None`: the file's only layer.
    pub layer: Option<String>,
    /// `None`: the field `class`.
    pub field: Option<String>,
    /// All features are of one class, so that no field is needed.
    pub without_field: bool,
}

/// The polygons of a file in the CRS of a raster, ready to be rasterised.
pub struct BurntVector {
    shapes: Vec<Shape>,
    grid: GeoTransform,
    /// The number of pixels in no polygon.
    outside: i32,
}

struct Shape {
    geometry: Geometry,
    envelope: Envelope,
    number: i32,
}

/// Whether a file holds vectors and no raster.
pub fn is_vector(path: &Path) -> bool {
    super::init();
    let open_flags = GdalOpenFlags::GDAL_OF_RASTER | GdalOpenFlags::GDAL_OF_VECTOR | GdalOpenFlags::GDAL_OF_READONLY;
    let options = DatasetOptions { open_flags, ..DatasetOptions::default() };
    messages::attempt(|| Dataset::open_ex(path, options))
        .is_ok_and(|dataset| dataset.raster_count() == 0 && dataset.layer_count() > 0)
}

impl BurntVector {
    /// Reads the polygons and transforms them to the CRS of `onto`. `number` gives the number for the value of a
    /// feature's field (`None` with [`VectorSource::without_field`]); its errors name the feature.
    pub fn open(
        path: &Path,
        source: &VectorSource,
        onto: &SceneInfo,
        outside: i32,
        number: &mut dyn FnMut(Option<FieldCode>) -> Result<i32>,
    ) -> Result<Self> {
        super::init();
        let shown = path.display();
        let Some(here) = &onto.georeference else {
            return Err(Error::input(format!(
                "{} has no georeference, so the polygons of {shown} cannot be rasterised onto it",
                onto.path.display()
            ))
            .with_hint(onto.georeference_hint("Give georeferenced labels.")));
        };
        let field = source.field.as_deref().unwrap_or(CLASS_FIELD);
        let polygons = PolygonSource {
            path,
            layer: source.layer.as_deref(),
            field: (!source.without_field).then_some(field),
            layer_hint: "Name the one to compare with --layer.",
            field_hint: "Name the field that holds the class with --field, or the class of all polygons with --all-are.",
        };
        let layer = PolygonLayer::read(&polygons, |feature, field| {
            number(field.map(|index| code_of(feature, index)).transpose()?)
        })?;
        let there = georeference_of(layer.crs);
        let transform = align::transform_between(&there, here)
            .input(|| format!("cannot transform the polygons of {shown} to the CRS of {}", onto.path.display()))?;
        let mut shapes = Vec::new();
        for PolygonFeature { geometry, value: number } in layer.features {
            let geometry = messages::attempt(|| {
                let moved = transform.as_ref().map_or_else(|| Ok(geometry.clone()), |crs| geometry.transform(crs))?;
                // Without a CRS of its own, the rasteriser takes the coordinates as they are.
                Geometry::from_wkb(&moved.wkb()?)
            })
            .input(|| format!("cannot transform a polygon of {shown} to the CRS of {}", onto.path.display()))?;
            shapes.push(Shape { envelope: geometry.envelope(), geometry, number });
        }
        Ok(Self { shapes, grid: here.transform, outside })
    }

    /// The numbers burnt into a window of the raster, (row, column).
    pub fn read(&self, window: Window) -> Result<Vec<i32>> {
        let corners = [(0, 0), (window.width, 0), (0, window.height), (window.width, window.height)]
            .map(|(col, row)| self.grid.to_world((window.col + col) as f64, (window.row + row) as f64));
        let range = |values: [f64; 4]| {
            values.into_iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
        };
        let ((left, right), (low, high)) =
            (range(corners.map(|corner| corner.x)), range(corners.map(|corner| corner.y)));
        let near = |shape: &&Shape| {
            let envelope = &shape.envelope;
            envelope.MinX <= right && envelope.MaxX >= left && envelope.MinY <= high && envelope.MaxY >= low
        };
        let (geometries, numbers): (Vec<Geometry>, Vec<f64>) =
            self.shapes.iter().filter(near).map(|shape| (shape.geometry.clone(), f64::from(shape.number))).unzip();
        if geometries.is_empty() {
            return Ok(vec![self.outside; window.size().pixels()]);
        }
        let [_, a, b, _, c, d] = self.grid.coefficients;
        let size = (window.width, window.height);
        let canvas = messages::attempt(|| {
            let driver = DriverManager::get_driver_by_name("MEM")?;
            let mut canvas = driver.create_with_band_type::<i32, _>("", size.0, size.1, 1)?;
            canvas.set_geo_transform(&[corners[0].x, a, b, corners[0].y, c, d])?;
            canvas.rasterband(1)?.fill(f64::from(self.outside), None)?;
            rasterize(&mut canvas, &[1], &geometries, &numbers, None)?;
            canvas.rasterband(1)?.read_as::<i32>((0, 0), size, size, None)
        });
        Ok(canvas.internal(|| format!("cannot rasterise polygons into {window}"))?.data().to_vec())
    }
}

fn code_of(feature: &Feature<'_>, field: usize) -> Result<FieldCode> {
    let value = messages::attempt(|| feature.field(field)).input(|| "its class field cannot be read".into())?;
    match value {
        Some(FieldValue::IntegerValue(value)) => Ok(FieldCode::Value(i64::from(value))),
        Some(FieldValue::Integer64Value(value)) => Ok(FieldCode::Value(value)),
        Some(FieldValue::RealValue(value)) if value.fract() == 0.0 => Ok(FieldCode::Value(value as i64)),
        Some(FieldValue::StringValue(text)) => Ok(FieldCode::Text(text)),
        Some(_) => Err(Error::input("its class field is neither an integer nor a text")),
        None => Err(Error::input("its class field is empty")),
    }
}

fn georeference_of(crs: Option<SpatialRef>) -> Georeference {
    Georeference {
        transform: GeoTransform::IDENTITY,
        crs_wkt: crs.as_ref().and_then(super::ffi::wkt2),
        crs_name: None,
        geographic: false,
        metres_per_unit: 1.0,
        pixel_is_point: false,
    }
}
