//! GEOS through OGR: geometries of other layers, and set operations with them.

use std::path::Path;

use gdal::vector::{FieldValue, Geometry};
use geo::{Coord, LineString, Polygon};

use super::shape::{open, rings};
use super::wkb::polygon_wkb;
use crate::crs;
use crate::error::{Context, Error, Result};
use crate::geom::ground::plane_area;
use crate::geom::{Ground, WorldPoint};
use crate::location::split_layer;
use crate::raster::{PolygonFeature, PolygonLayer, PolygonSource};

/// A polygon of another layer, in the labels' CRS.
pub struct Area {
    pub name: String,
    pub geometry: Geometry,
    envelope: [f64; 4],
}

/// Reads the polygons of `FILE[:LAYER]`; `name_field`: what to call them (`None`: the first text field).
pub fn read_areas(path: &Path, crs_wkt: Option<&str>, name_field: Option<&str>) -> Result<Vec<Area>> {
    let (path, layer) = split_layer(path);
    let name = path.display();
    let source = PolygonSource {
        path: &path,
        layer: layer.as_deref(),
        field: name_field,
        layer_hint: "Name one: FILE:LAYER.",
        field_hint: "Name one of them as the field that names the zones.",
    };
    let layer = PolygonLayer::read(&source, |feature, field| {
        let text = match field {
            Some(index) => feature.field_as_string(index).ok().flatten(),
            None => feature.fields().find_map(|(_, value)| match value {
                Some(FieldValue::StringValue(text)) => Some(text),
                _ => None,
            }),
        };
        Ok((text, feature.fid()))
    })?;
    let transform = layer.transform_to(crs_wkt).input(|| format!("cannot use the polygons of {name}"))?;
    let mut areas = Vec::new();
    for PolygonFeature { geometry, value: (text, number) } in layer.features {
        let mut geometry = match &transform {
            Some(transform) => geometry
                .transform(transform)
                .input(|| format!("cannot transform a polygon of {name} to the CRS of the labels"))?,
            None => geometry,
        };
        if !geometry.is_valid() {
            geometry = geometry
                .make_valid(&gdal::cpl::CslStringList::new())
                .input(|| format!("cannot make a polygon of {name} valid"))?;
        }
        let number = number.unwrap_or(areas.len() as u64);
        let envelope = geometry.envelope();
        areas.push(Area {
            name: text.unwrap_or_else(|| number.to_string()),
            envelope: [envelope.MinX, envelope.MinY, envelope.MaxX, envelope.MaxY],
            geometry,
        });
    }
    if areas.is_empty() {
        return Err(Error::input(format!("{name} has no polygons")).with_hint("Give a file that holds polygons."));
    }
    Ok(areas)
}

impl Area {
    fn meets(&self, other: &[f64; 4]) -> bool {
        self.envelope[0] < other[2]
            && other[0] < self.envelope[2]
            && self.envelope[1] < other[3]
            && other[1] < self.envelope[3]
    }
}

/// The ground under all areas together; `None` without a CRS.
pub fn ground_under(areas: &[Area], crs_wkt: Option<&str>) -> Option<Ground> {
    let start = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
    let [left, bottom, right, top] = areas.iter().fold(start, |b, area| {
        let [left, bottom, right, top] = area.envelope;
        [b[0].min(left), b[1].min(bottom), b[2].max(right), b[3].max(top)]
    });
    Some(crs::ground(crs_wkt?, WorldPoint { x: left, y: bottom }, [right - left, 0.0], [0.0, top - bottom]))
}

fn bounds(polygon: &Polygon) -> [f64; 4] {
    let start = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
    rings(polygon).flat_map(open).fold(start, |b, p| [b[0].min(p.x), b[1].min(p.y), b[2].max(p.x), b[3].max(p.y)])
}

/// A polygon as a geometry of OGR.
pub fn geometry_of(polygon: &Polygon) -> Result<Geometry> {
    Geometry::from_wkb(&polygon_wkb(polygon)).internal(|| "GDAL rejects a polygon".into())
}

/// The parts of a polygon outside all areas.
pub fn subtract(polygon: Polygon, areas: &[Area]) -> Result<Vec<Polygon>> {
    let bounds = bounds(&polygon);
    let mut left: Option<Geometry> = None;
    for area in areas.iter().filter(|area| area.meets(&bounds)) {
        let from = match left.take() {
            Some(left) => left,
            None => geometry_of(&polygon)?,
        };
        left =
            Some(from.difference(&area.geometry).ok_or_else(|| {
                Error::internal("GEOS cannot subtract an area from a polygon, though both are valid")
            })?);
    }
    Ok(match left {
        Some(left) => polygons_of(&left),
        None => vec![polygon],
    })
}

/// The area in m² of the intersection of a polygon with an area.
pub fn common_area(polygon: &Polygon, area: &Area, measure: &Ground) -> Result<f64> {
    if !area.meets(&bounds(polygon)) {
        return Ok(0.0);
    }
    let common = geometry_of(polygon)?.intersection(&area.geometry);
    Ok(common.map_or(0.0, |common| area_of(&common, measure)))
}

/// Area of a geometry's polygons in m².
pub fn area_of(geometry: &Geometry, measure: &Ground) -> f64 {
    polygons_of(geometry).iter().flat_map(rings).map(|ring| measure.area(open(ring))).sum()
}

/// The polygons in a geometry of any kind, outer rings counter-clockwise and holes clockwise.
pub fn polygons_of(geometry: &Geometry) -> Vec<Polygon> {
    let mut found = Vec::new();
    collect(geometry, &mut found);
    found
}

fn collect(geometry: &Geometry, found: &mut Vec<Polygon>) {
    use gdal::vector::OGRwkbGeometryType::{wkbGeometryCollection, wkbMultiPolygon, wkbPolygon};
    let kind = gdal::vector::geometry_type_flatten(geometry.geometry_type());
    if kind == wkbPolygon {
        let mut rings: Vec<LineString> = Vec::new();
        for index in 0..geometry.geometry_count() {
            let mut points = Vec::new();
            geometry.get_geometry(index).get_points(&mut points);
            let mut ring: Vec<Coord> = points.into_iter().map(|(x, y, _)| Coord { x, y }).collect();
            ring.pop();
            if (plane_area(&ring) > 0.0) != (index == 0) {
                ring.reverse();
            }
            if ring.len() >= 3 {
                rings.push(ring.into());
            }
        }
        if !rings.is_empty() {
            let exterior = rings.remove(0);
            found.push(Polygon::new(exterior, rings));
        }
    } else if kind == wkbMultiPolygon || kind == wkbGeometryCollection {
        for index in 0..geometry.geometry_count() {
            collect(&geometry.get_geometry(index), found);
        }
    }
}
