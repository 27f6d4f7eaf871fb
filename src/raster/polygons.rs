//! Polygons of vector files: areas of interest, references, zones, permanent water.
//!
//! Whatever they are read for, the same holds: a file with several layers needs the name of one, arcs become segments, and
//! a geometry that is no polygon or a feature that cannot be read is an error.

use std::path::Path;

use gdal::spatial_ref::{CoordTransform, SpatialRef};
use gdal::vector::{Feature, Geometry, OGRwkbGeometryType, geometry_type_flatten};

use super::layer::{self, LayerSource};
use super::{ffi, messages, spatial_ref};
use crate::error::{Context, Error, Result};

/// Which polygons to read.
pub struct PolygonSource<'a> {
    pub path: &'a Path,
    /// `None`: the file's only layer.
    pub layer: Option<&'a str>,
    /// The field whose index is handed on with each feature.
    pub field: Option<&'a str>,
    /// How to name a layer, and a field, where this one is missing.
    pub layer_hint: &'a str,
    pub field_hint: &'a str,
}

/// The features of a layer that have a geometry.
pub struct PolygonLayer<T> {
    pub features: Vec<PolygonFeature<T>>,
    pub crs: Option<SpatialRef>,
    /// The file, for messages.
    pub name: String,
}

pub struct PolygonFeature<T> {
    /// A polygon, a multipolygon, or a collection of them; without arcs.
    pub geometry: Geometry,
    pub value: T,
}

impl<T> PolygonLayer<T> {
    /// Reads a layer. `value` is given each feature and the index of the field; its errors get the feature's number.
    ///
    /// # Errors
    /// [`Kind::Input`](crate::error::Kind::Input): the file or a feature cannot be read, the layer or field is missing or has
    /// to be named, a geometry is not made of polygons.
    pub fn read(
        source: &PolygonSource<'_>,
        mut value: impl FnMut(&Feature<'_>, Option<usize>) -> Result<T>,
    ) -> Result<Self> {
        let PolygonSource { path, layer, field, layer_hint, field_hint } = *source;
        let source = LayerSource { path, layer, field, what: "polygons", layer_hint, field_hint, crs: None };
        let mut features = Vec::new();
        let crs = layer::read(
            &source,
            |facts| Ok(facts.crs),
            |_, feature, field| {
                let Some(geometry) = feature.geometry().filter(|geometry| !geometry.is_empty()) else { return Ok(()) };
                features.push(PolygonFeature { geometry: polygonal(geometry)?, value: value(feature, field)? });
                Ok(())
            },
        )?;
        Ok(Self { features, crs, name: path.display().to_string() })
    }

    /// The transformation of the layer's coordinates to a CRS; `None` where they are the same.
    ///
    /// Where one of the two is not known, they are taken to be the same, with a warning.
    pub fn transform_to(&self, crs_wkt: Option<&str>) -> Result<Option<CoordTransform>> {
        transform(&self.name, self.crs.as_ref(), crs_wkt)
    }
}

/// As [`PolygonLayer::transform_to`], for polygons that come from elsewhere; `name` is theirs in warnings.
pub(super) fn transform(name: &str, from: Option<&SpatialRef>, to: Option<&str>) -> Result<Option<CoordTransform>> {
    let (from, to) = match (from, to) {
        (Some(from), Some(to)) => (from, spatial_ref::crs(to)?),
        (None, Some(_)) => {
            messages::warn(&format!("{name} has no CRS: the CRS of the scene is assumed."));
            return Ok(None);
        }
        (Some(_), None) => {
            messages::warn(&format!("The scene has no CRS: the CRS of {name} is assumed."));
            return Ok(None);
        }
        (None, None) => return Ok(None),
    };
    if *from == to {
        return Ok(None);
    }
    let transform = messages::attempt(|| CoordTransform::new(from, &to));
    transform.map(Some).input(|| "no transformation between the two CRSs is known".into())
}

/// The geometry without arcs.
///
/// # Errors
/// It is not made of polygons.
fn polygonal(geometry: &Geometry) -> Result<Geometry> {
    let linear = messages::attempt(|| ffi::linearised(geometry)).input(|| "its arcs cannot be made segments".into())?;
    match other_than_polygon(&linear) {
        None => Ok(linear),
        Some(name) => Err(Error::input(format!("it is a {name}, and only polygons are allowed"))),
    }
}

/// The name of a geometry's first member that is no polygon.
fn other_than_polygon(geometry: &Geometry) -> Option<String> {
    use OGRwkbGeometryType::{wkbGeometryCollection, wkbMultiPolygon, wkbPolygon};
    match geometry_type_flatten(geometry.geometry_type()) {
        kind if kind == wkbPolygon || kind == wkbMultiPolygon => None,
        kind if kind == wkbGeometryCollection => {
            (0..geometry.geometry_count()).find_map(|index| other_than_polygon(&geometry.get_geometry(index)))
        }
        _ => Some(geometry.geometry_name()),
    }
}

#[cfg(test)]
mod tests {
    use gdal::vector::LayerAccess;

    use super::*;

    fn source(path: &Path) -> PolygonSource<'_> {
        PolygonSource { path, layer: None, field: None, layer_hint: "name a layer", field_hint: "name a field" }
    }

    fn write(name: &str, content: &str) {
        super::super::init();
        gdal::vsi::create_mem_file(name, content.as_bytes().to_vec()).unwrap();
    }

    fn message(source: &PolygonSource<'_>) -> String {
        let error = PolygonLayer::read(source, |_, _| Ok(())).err().unwrap();
        format!("{error} {} {}", error.causes().join(" "), error.hint().unwrap_or_default())
    }

    #[test]
    fn arcs_become_segments_within_a_thousandth_of_the_circle() {
        let name = "/vsimem/circle.csv";
        write(name, "id,WKT\n1,\"CURVEPOLYGON (CIRCULARSTRING (0 0, 1 1, 2 0, 1 -1, 0 0))\"\n");
        let layer = PolygonLayer::read(&source(name.as_ref()), |_, _| Ok(())).unwrap();
        assert_eq!(layer.features[0].geometry.geometry_name(), "POLYGON");
        let area = layer.features[0].geometry.area();
        assert!((area / std::f64::consts::PI - 1.0).abs() < 1e-3, "{area}");
        // In a collection too.
        let name = "/vsimem/circles.csv";
        write(name, "id,WKT\n1,\"GEOMETRYCOLLECTION (CURVEPOLYGON (CIRCULARSTRING (0 0, 1 1, 2 0, 1 -1, 0 0)))\"\n");
        let layer = PolygonLayer::read(&source(name.as_ref()), |_, _| Ok(())).unwrap();
        assert!((layer.features[0].geometry.area() - area).abs() < 1e-12);
    }

    #[test]
    fn missing_file_is_named() {
        let found = message(&source("none/rivers.gpkg".as_ref()));
        assert!(found.starts_with("there is no file none/rivers.gpkg"), "{found}");
    }

    #[test]
    fn other_geometries_are_refused_with_their_feature() {
        let name = "/vsimem/mixed.csv";
        write(name, "id,WKT\n1,\"POLYGON ((0 0, 1 0, 1 1, 0 0))\"\n2,\"LINESTRING (0 0, 1 1)\"\n");
        let found = message(&source(name.as_ref()));
        assert!(found.contains("feature 2 of /vsimem/mixed.csv") && found.contains("LINESTRING"), "{found}");
    }

    #[test]
    fn several_layers_need_the_name_of_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("two.gpkg");
        let driver = gdal::DriverManager::get_driver_by_name("GPKG").unwrap();
        let mut dataset = driver.create_vector_only(&path).unwrap();
        for (name, side) in [("lakes", 1), ("rivers", 2)] {
            let options = gdal::vector::LayerOptions { name, ty: OGRwkbGeometryType::wkbPolygon, ..Default::default() };
            let mut layer = dataset.create_layer(options).unwrap();
            let wkt = format!("POLYGON ((0 0, {side} 0, {side} {side}, 0 {side}, 0 0))");
            layer.create_feature(Geometry::from_wkt(&wkt).unwrap()).unwrap();
        }
        dataset.close().unwrap();
        let found = message(&source(&path));
        assert!(found.contains("2 layers: lakes, rivers") && found.ends_with("name a layer"), "{found}");
        let named = PolygonSource { layer: Some("rivers"), ..source(&path) };
        assert_eq!(PolygonLayer::read(&named, |_, _| Ok(())).unwrap().features[0].geometry.area(), 4.0);
        assert!(message(&PolygonSource { layer: Some("seas"), ..source(&path) }).contains("no layer \"seas\""));
        let field = PolygonSource { field: Some("class"), ..named };
        let found = message(&field);
        assert!(
            found.contains("no field \"class\"; their fields are: none") && found.ends_with("name a field"),
            "{found}"
        );
    }

    #[test]
    fn unreadable_feature_is_not_the_end_of_the_file() {
        super::super::init();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut.fgb");
        let driver = gdal::DriverManager::get_driver_by_name("FlatGeobuf").unwrap();
        let mut dataset = driver.create_vector_only(&path).unwrap();
        let (ty, options) = (OGRwkbGeometryType::wkbPolygon, Some(&["SPATIAL_INDEX=NO"][..]));
        let mut layer = dataset
            .create_layer(gdal::vector::LayerOptions { name: "cut", ty, options, ..Default::default() })
            .unwrap();
        for _ in 0..100 {
            layer.create_feature(Geometry::from_wkt("POLYGON ((0 0, 1 0, 1 1, 0 0))").unwrap()).unwrap();
        }
        dataset.close().unwrap();
        assert_eq!(PolygonLayer::read(&source(&path), |_, _| Ok(())).unwrap().features.len(), 100);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() * 2 / 3]).unwrap();
        assert!(message(&source(&path)).starts_with("cannot read all features of"), "{}", message(&source(&path)));
    }
}
