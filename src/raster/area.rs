//! The area of interest of a job, from a vector file or bounds, as a region of the scene's pixels.

#![expect(clippy::indexing_slicing, reason = "both axes of a point")]

use std::path::Path;

use gdal::spatial_ref::{AxisMappingStrategy, SpatialRef};
use gdal::vector::{Geometry, OGRwkbGeometryType, geometry_type_flatten};

use super::messages;
use super::polygons::{self, PolygonLayer, PolygonSource};
use crate::error::{Context, Error, Result};
use crate::geom::{MAX_DISTANCE, Polygon, Region, WorldPoint};
use crate::scene::{AreaRequest, Georeference, SceneInfo, is_crs_text};

/// An edge that is straight in one CRS is a curve in another: before it is transformed, it is cut into pieces of at
/// most the area's extent divided by this.
const PIECES: f64 = 64.0;

/// Polygons in the coordinates of a CRS.
struct Area {
    polygons: Vec<Polygon>,
    crs: Option<SpatialRef>,
    name: String,
}

/// The pixels of the scene's grid that lie in the area.
///
/// # Errors
/// The file cannot be read or has no polygons, the scene has no georeference, no transformation between the two CRSs is
/// known, or the area does not overlap the scene.
pub(super) fn region(request: &AreaRequest, info: &SceneInfo) -> Result<Region> {
    super::init();
    let shown = info.path.display();
    let Some(place) = &info.georeference else {
        return Err(Error::input(format!("{shown} has no georeference: an area of interest cannot be located in it"))
            .with_hint(info.georeference_hint("Leave `aoi` out, or georeference the scene.")));
    };
    let area = match request {
        AreaRequest::File { path, layer } => from_file(path, layer.as_deref())?,
        AreaRequest::Bounds { bounds, crs } => from_bounds(*bounds, crs)?,
    };
    let name = area.name.clone();
    let polygons = to_scene_crs(area, place).input(|| format!("cannot transform {name} to the CRS of {shown}"))?;
    let polygons =
        polygons.into_iter().map(|polygon| to_pixels(polygon, place)).collect::<Option<Vec<_>>>().ok_or_else(|| {
            Error::input(format!("cannot use {name} for {shown}: its coordinates are too far from the scene"))
        })?;
    // Longitudes count from -180 or from 0; a scene over the antimeridian goes beyond 180.
    let polygons = if place.geographic { with_full_turns(&polygons, place) } else { polygons };
    let region = Region::new(polygons, info.size);
    if region.is_empty() {
        return Err(Error::input(format!("{name} does not overlap {shown}"))
            .with_hint(format!("Check its CRS; the scene extends {}.", extent_text(info, place))));
    }
    Ok(region)
}

fn from_file(path: &Path, layer: Option<&str>) -> Result<Area> {
    let shown = path.display();
    let source =
        PolygonSource {
            path, layer, field: None, layer_hint: "Name one: `aoi: {file: …, layer: …}`.", field_hint: ""
        };
    let layer = PolygonLayer::read(&source, |_, _| Ok(()))?;
    let mut polygons = Vec::new();
    layer.features.iter().for_each(|feature| collect(&feature.geometry, &mut polygons));
    if polygons.is_empty() {
        return Err(
            Error::input(format!("{shown} has no polygons")).with_hint("Draw the area of interest as polygons.")
        );
    }
    Ok(Area { polygons, crs: layer.crs, name: format!("the area of interest {shown}") })
}

fn collect(geometry: &Geometry, polygons: &mut Vec<Polygon>) {
    let members = (0..geometry.geometry_count()).map(|index| geometry.get_geometry(index));
    if geometry_type_flatten(geometry.geometry_type()) != OGRwkbGeometryType::wkbPolygon {
        return members.for_each(|member| collect(&member, polygons));
    }
    let rings = members.map(|ring| {
        let mut points = Vec::new();
        ring.get_points(&mut points);
        points.into_iter().map(|(x, y, _)| [x, y]).collect()
    });
    polygons.push(rings.collect());
}

fn from_bounds([left, bottom, right, top]: [f64; 4], crs: &str) -> Result<Area> {
    let unknown =
        || Error::input(format!("{crs:?} is not a known CRS")).with_hint("Give its code, such as EPSG:25832.");
    if !is_crs_text(crs) {
        return Err(unknown());
    }
    let mut crs =
        messages::attempt(|| SpatialRef::from_definition(crs)).map_err(|cause| unknown().with_source(cause))?;
    crs.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
    let degrees = crs.is_geographic();
    if !(left < right && bottom < top) || (degrees && (bottom < -90.0 || top > 90.0)) {
        let rule = if degrees {
            "west must be less than east, and south less than north, both within ±90"
        } else {
            "left must be less than right, and bottom less than top"
        };
        let message = format!("the area of interest has the bounds [{left}, {bottom}, {right}, {top}]: {rule}");
        return Err(Error::input(message).with_hint(if degrees {
            "Write [west, south, east, north] in degrees, or name the CRS of other coordinates: `crs: EPSG:…`."
        } else {
            "Write [left, bottom, right, top]."
        }));
    }
    let ring = vec![[left, bottom], [right, bottom], [right, top], [left, top]];
    Ok(Area { polygons: vec![vec![ring]], crs: Some(crs), name: "the area of interest".to_owned() })
}

/// The polygons in the scene's CRS.
fn to_scene_crs(area: Area, place: &Georeference) -> Result<Vec<Polygon>> {
    let Some(transform) = polygons::transform(&area.name, area.crs.as_ref(), place.crs_wkt.as_deref())? else {
        return Ok(area.polygons);
    };
    let longest = longest_edge(&area.polygons);
    let ring = |ring: Vec<[f64; 2]>| {
        let ring = densified(&ring, longest);
        let (mut xs, mut ys): (Vec<f64>, Vec<f64>) = ring.iter().map(|point| (point[0], point[1])).unzip();
        messages::attempt(|| transform.transform_coords(&mut xs, &mut ys, &mut []))
            .input(|| "some of its points cannot be transformed to the CRS of the scene".into())?;
        Ok(xs.into_iter().zip(ys).map(|(x, y)| [x, y]).collect())
    };
    area.polygons.into_iter().map(|polygon| polygon.into_iter().map(ring).collect()).collect()
}

fn longest_edge(polygons: &[Polygon]) -> f64 {
    let extent = |axis: usize| {
        let values = polygons.iter().flatten().flatten().map(|point| point[axis]);
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        high - low
    };
    extent(0).max(extent(1)) / PIECES
}

fn densified(ring: &[[f64; 2]], longest: f64) -> Vec<[f64; 2]> {
    let mut points = Vec::with_capacity(ring.len());
    for (a, b) in ring.iter().zip(ring.iter().cycle().skip(1)) {
        let length = (b[0] - a[0]).abs().max((b[1] - a[1]).abs());
        let pieces = (length / longest).ceil().clamp(1.0, PIECES) as usize;
        points.extend((0..pieces).map(|piece| {
            let share = piece as f64 / pieces as f64;
            [a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])]
        }));
    }
    points
}

fn to_pixels(polygon: Polygon, place: &Georeference) -> Option<Polygon> {
    let near = |point: &[f64; 2]| point.iter().all(|value| value.abs() <= MAX_DISTANCE);
    let point = |[x, y]: [f64; 2]| place.transform.to_pixel(WorldPoint { x, y }).filter(near);
    polygon.into_iter().map(|ring| ring.into_iter().map(point).collect()).collect()
}

fn with_full_turns(polygons: &[Polygon], place: &Georeference) -> Vec<Polygon> {
    let world = |x: f64| place.transform.to_pixel(WorldPoint { x, y: 0.0 });
    let (Some(zero), Some(turn)) = (world(0.0), world(360.0)) else { return polygons.to_vec() };
    let step = [turn[0] - zero[0], turn[1] - zero[1]];
    let shifted = |times: f64| {
        polygons.iter().map(move |polygon| {
            let point = |&[col, row]: &[f64; 2]| [col + times * step[0], row + times * step[1]];
            polygon.iter().map(|ring| ring.iter().map(point).collect()).collect()
        })
    };
    polygons.iter().cloned().chain(shifted(1.0)).chain(shifted(-1.0)).collect()
}

/// The extent of a scene as text.
fn extent_text(info: &SceneInfo, place: &Georeference) -> String {
    let (width, height) = (info.size.width as f64, info.size.height as f64);
    let corners =
        [(0.0, 0.0), (width, 0.0), (0.0, height), (width, height)].map(|(c, r)| place.transform.to_world(c, r));
    let range = |value: fn(&WorldPoint) -> f64| {
        let values = corners.iter().map(value);
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
    };
    let ((left, right), (bottom, top)) = (range(|point| point.x), range(|point| point.y));
    let crs = place.crs_name.as_deref().unwrap_or("its own coordinates");
    format!("from {left}, {bottom} to {right}, {top} in {crs}")
}

#[cfg(test)]
mod tests {
    use gdal::spatial_ref::CoordTransform;

    use super::super::test_scenes::{georeference, make};
    use super::super::{find, inspect, spatial_ref};
    use super::*;
    use crate::geom::{Coverage, Size};
    use crate::scene::SceneRequest;

    fn scene(name: &str, coefficients: [f64; 6], epsg: u32, size: Size) -> SceneInfo {
        make(name, size, &[vec![7u8; size.pixels()]], &[], |dataset| {
            dataset.set_projection(&georeference([0.0; 6], epsg).crs_wkt.unwrap()).unwrap();
            dataset.set_geo_transform(&coefficients).unwrap();
        });
        inspect(name).unwrap()
    }

    fn covered(region: &Region, size: Size) -> Vec<bool> {
        match region.coverage(size.window()) {
            Coverage::Nothing => vec![false; size.pixels()],
            Coverage::Everything => vec![true; size.pixels()],
            Coverage::Part(pixels) => pixels,
        }
    }

    fn bounds(bounds: [f64; 4], crs: &str) -> AreaRequest {
        AreaRequest::Bounds { bounds, crs: crs.to_owned() }
    }

    #[test]
    fn bounds_are_exact_north_up_and_south_up() {
        let size = Size::new(20, 10);
        let north = scene("/vsimem/aoi_north.tif", [1000.0, 10.0, 0.0, 5000.0, 0.0, -10.0], 32632, size);
        let area = bounds([1020.0, 4930.0, 1050.0, 4980.0], "EPSG:32632");
        let pixels = covered(&region(&area, &north).unwrap(), size);
        let expected = |col: usize, row: usize| (2..5).contains(&col) && (2..7).contains(&row);
        assert!((0..200).all(|at| pixels[at] == expected(at % 20, at / 20)));
        let south = scene("/vsimem/aoi_south.tif", [1000.0, 10.0, 0.0, 4900.0, 0.0, 10.0], 32632, size);
        let pixels = covered(&region(&area, &south).unwrap(), size);
        let expected = |col: usize, row: usize| (2..5).contains(&col) && (3..8).contains(&row);
        assert!((0..200).all(|at| pixels[at] == expected(at % 20, at / 20)));
    }

    #[test]
    fn file_in_another_crs_covers_the_same_ground() {
        // A square degree-wise rectangle over a UTM scene: its northern edge bends.
        let size = Size::new(400, 300);
        let info = scene("/vsimem/aoi_utm.tif", [300_000.0, 1000.0, 0.0, 5_700_000.0, 0.0, -1000.0], 32632, size);
        let text = r#"{"type":"FeatureCollection","features":[{"type":"Feature","properties":{},"geometry":
            {"type":"MultiPolygon","coordinates":[[[[7.0,50.0],[10.0,50.0],[10.0,51.0],[7.0,51.0],[7.0,50.0]]]]}}]}"#;
        gdal::vsi::create_mem_file("/vsimem/aoi.geojson", text.as_bytes().to_vec()).unwrap();
        let request = AreaRequest::File { path: "/vsimem/aoi.geojson".into(), layer: None };
        let pixels = covered(&region(&request, &info).unwrap(), size);
        let degrees = spatial_ref::crs(&georeference([0.0; 6], 4326).crs_wkt.unwrap()).unwrap();
        let utm = spatial_ref::crs(info.georeference.as_ref().unwrap().crs_wkt.as_ref().unwrap()).unwrap();
        let back = CoordTransform::new(&utm, &degrees).unwrap();
        let mut wrong = 0;
        for (at, &found) in pixels.iter().enumerate() {
            let world = info
                .georeference
                .as_ref()
                .unwrap()
                .transform
                .to_world((at % 400) as f64 + 0.5, (at / 400) as f64 + 0.5);
            let (mut x, mut y) = ([world.x], [world.y]);
            back.transform_coords(&mut x, &mut y, &mut []).unwrap();
            let inside = (7.0..10.0).contains(&x[0]) && (50.0..51.0).contains(&y[0]);
            wrong += usize::from(inside != found);
        }
        assert!(wrong <= 2, "{wrong} pixels differ");
        assert_eq!(
            region(&bounds([7.0, 50.0, 10.0, 51.0], "EPSG:4326"), &info).unwrap().coverage(size.window()),
            Coverage::Part(pixels)
        );
    }

    #[test]
    fn longitudes_beyond_the_antimeridian_match() {
        let size = Size::new(40, 10);
        let info = scene("/vsimem/aoi_pacific.tif", [179.8, 0.01, 0.0, -16.0, 0.0, -0.01], 4326, size);
        let pixels = covered(&region(&bounds([-180.0, -16.05, -179.9, -16.0], "EPSG:4326"), &info).unwrap(), size);
        assert!((0..400).all(|at| pixels[at] == ((20..30).contains(&(at % 40)) && at / 40 < 5)));
    }

    #[test]
    fn wrong_areas_are_refused() {
        let info = scene("/vsimem/aoi_far.tif", [1000.0, 10.0, 0.0, 5000.0, 0.0, -10.0], 32632, Size::new(9, 9));
        let said = |request: AreaRequest| {
            let error = region(&request, &info).unwrap_err();
            format!("{error} {} {}", error.causes().join(" "), error.hint().unwrap_or_default())
        };
        let far = said(bounds([7.0, 50.0, 8.0, 51.0], "EPSG:4326"));
        assert!(far.contains("does not overlap") && far.contains("EPSG:32632"), "{far}");
        assert!(said(bounds([8.0, 50.0, 7.0, 51.0], "EPSG:4326")).contains("west, south"));
        assert!(said(bounds([500_000.0, 5e6, 5.1e5, 5.1e6], "EPSG:4326")).contains("crs: EPSG"));
        assert!(said(bounds([0.0, 0.0, 1.0, 1.0], "EPSG:0")).contains("EPSG:0"));
        let end = f64::MAX / 4.0;
        assert!(said(bounds([-end, -end, end, end], "EPSG:32632")).contains("are too far from the scene"));
        // GDAL would read a file that holds one, and ask a server for it.
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), info.georeference.as_ref().unwrap().crs_wkt.as_ref().unwrap()).unwrap();
        for crs in [file.path().to_str().unwrap(), "https://127.0.0.1:9/crs.wkt", "/vsimem/crs.wkt"] {
            assert!(said(bounds([0.0, 0.0, 1.0, 1.0], crs)).contains("is not a known CRS"), "{crs}");
        }
        assert!(
            said(bounds([8.0, 50.0, 7.0, 51.0], "http://www.opengis.net/def/crs/EPSG/0/4326")).contains("west, south")
        );
        let text = r#"{"type":"Point","coordinates":[7.0,50.0]}"#;
        gdal::vsi::create_mem_file("/vsimem/point.geojson", text.as_bytes().to_vec()).unwrap();
        assert!(said(AreaRequest::File { path: "/vsimem/point.geojson".into(), layer: None }).contains("POINT"));
        assert!(said(AreaRequest::File { path: "/nowhere.gpkg".into(), layer: None }).contains("/nowhere.gpkg"));
        let request = SceneRequest {
            area: Some(bounds([0.0, 0.0, 1.0, 1.0], "EPSG:32632")),
            ..SceneRequest::file("/vsimem/aoi_far.tif")
        };
        assert!(find(&request).is_err());
    }
}
