//! Points with attributes: a list of places, as a file of any vector format.

use std::ffi::CString;
use std::path::Path;
use std::sync::Arc;

use gdal::spatial_ref::CoordTransform;

use super::feature::{Feature, Field, GeometryKind, LayerSpec, Value};
use super::format::Format;
use super::output_space::reprojection;
use super::wkb::point_wkb;
use super::write::{BATCH, VectorWriter};
use crate::error::{Context, Error, Result};
use crate::geom::WorldPoint;

/// A point, and a value for each field.
#[derive(Clone, Debug)]
pub struct PlacedPoint {
    pub at: WorldPoint,
    /// The CRS of its coordinates as WKT.
    pub crs_wkt: Option<Arc<str>>,
    pub values: Vec<Value>,
}

/// A text as the value of a field.
pub fn text(text: &str) -> Value {
    Value::Text(Arc::from(CString::new(text.replace('\0', " ")).unwrap_or_default()))
}

/// Writes points as one layer, named after the file, which appears when it is complete.
///
/// Where all points have one CRS the file has it; where they have several it is in longitude and latitude (WGS 84), as
/// GeoJSON always is.
///
/// # Errors
/// Some points have a CRS and others have none; GeoJSON of points without a CRS; the extension is unknown; the file cannot be
/// written.
pub fn write_points(path: &Path, fields: &[Field], points: Vec<PlacedPoint>) -> Result<()> {
    let name = path.file_stem().map_or_else(|| "points".into(), |stem| stem.to_string_lossy().into_owned());
    let format = Format::of(path)?;
    let first = points.first().and_then(|point| point.crs_wkt.clone());
    if points.iter().any(|point| point.crs_wkt.is_some() != first.is_some()) {
        return Err(Error::input(format!(
            "some points of {} have a CRS and others have none: they cannot be in one file",
            path.display()
        ))
        .with_hint("Take scenes with and without a CRS apart."));
    }
    let several = points.iter().any(|point| point.crs_wkt != first);
    let target = several.then_some("EPSG:4326");
    let (_, crs) = reprojection(first.as_deref(), target, format).map_err(|error| error.with_hint(NO_GEOJSON))?;
    let layer = LayerSpec::new(name, GeometryKind::Point, fields.to_vec());
    let mut writer = VectorWriter::create(path, crs.as_deref(), &[layer])?;
    let mut way: Option<(Option<Arc<str>>, Option<CoordTransform>)> = None;
    let mut batch = Vec::new();
    for PlacedPoint { mut at, crs_wkt, values } in points {
        if way.as_ref().is_none_or(|(from, _)| *from != crs_wkt) {
            let (transform, _) = reprojection(crs_wkt.as_deref(), target, format)?;
            way = Some((crs_wkt, transform));
        }
        if let Some((_, Some(transform))) = &way {
            let (mut x, mut y) = ([at.x], [at.y]);
            transform
                .transform_coords(&mut x, &mut y, &mut [])
                .input(|| format!("({}, {}) cannot be transformed to the CRS of {}", at.x, at.y, path.display()))?;
            at = WorldPoint { x: x[0], y: y[0] };
        }
        batch.push(Feature { layer: 0, wkb: point_wkb(at), values });
        if batch.len() == BATCH {
            writer.write(std::mem::take(&mut batch))?;
        }
    }
    writer.write(batch)?;
    writer.finish()
}

/// The way out for points without a CRS.
const NO_GEOJSON: &str =
    "Write a .gpkg, .fgb, .shp or .parquet, which can hold pixel coordinates, or georeference the scene.";

#[cfg(test)]
mod tests {
    use gdal::Dataset;
    use gdal::spatial_ref::SpatialRef;
    use gdal::vector::LayerAccess;

    use super::super::feature::FieldKind;
    use super::*;

    fn crs(epsg: u32) -> Option<Arc<str>> {
        Some(SpatialRef::from_epsg(epsg).unwrap().to_wkt().unwrap().into())
    }

    fn point(x: f64, y: f64, crs_wkt: Option<Arc<str>>, rank: i64) -> PlacedPoint {
        let values = vec![Value::Integer(rank), Value::Real(0.25), text("a\0b é"), Value::Missing];
        PlacedPoint { at: WorldPoint { x, y }, crs_wkt, values }
    }

    fn fields() -> [Field; 4] {
        [
            Field::new("rank", "rank", FieldKind::Integer),
            Field::new("margin", "margin", FieldKind::Real),
            Field::new("first", "first", FieldKind::Text),
            Field::new("class", "class", FieldKind::Text),
        ]
    }

    /// The coordinates in a file, its EPSG code, and whether all fields read back.
    fn read(path: &Path) -> (Vec<[f64; 2]>, i32) {
        let dataset = Dataset::open_ex(path, gdal::DatasetOptions::default()).unwrap();
        let mut layer = dataset.layer(0).unwrap();
        let code = layer.spatial_ref().and_then(|crs| crs.auth_code().ok()).unwrap_or(0);
        let points = layer.features().map(|feature| {
            assert_eq!(feature.field_as_string(2).unwrap().as_deref(), Some("a b é"));
            assert_eq!(feature.field_as_double(1).unwrap(), Some(0.25));
            assert_eq!(feature.field_as_string(3).unwrap().unwrap_or_default(), "");
            let (x, y, _) = feature.geometry().unwrap().get_point(0);
            [x, y]
        });
        (points.collect(), code)
    }

    #[test]
    fn points_keep_their_crs_in_every_format() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.gpkg", "a.fgb", "a.shp", "a.parquet", "a.geojson", "a.geojsonl"] {
            let path = folder.path().join(name);
            let points =
                vec![point(500_000.0, 5_600_000.0, crs(32632), 1), point(500_100.0, 5_600_000.0, crs(32632), 2)];
            write_points(&path, &fields(), points).unwrap();
            if name == "a.parquet" {
                continue;
            }
            let (found, code) = read(&path);
            if name.contains("json") {
                assert!((found[0][0] - 9.0).abs() < 1e-6 && (50.0..51.0).contains(&found[0][1]), "{name}: {found:?}");
                assert_eq!(code, 4326);
            } else {
                let mut found = found;
                found.sort_by(|a, b| a[0].total_cmp(&b[0]));
                assert_eq!(found, [[500_000.0, 5_600_000.0], [500_100.0, 5_600_000.0]], "{name}");
                assert_eq!(code, 32632, "{name}");
            }
        }
    }

    #[test]
    fn several_crss_become_longitude_and_latitude() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gpkg");
        let points = vec![
            point(500_000.0, 5_600_000.0, crs(32632), 1),
            point(500_000.0, 5_600_000.0, crs(32633), 2),
            point(500_000.0, 5_600_000.0, crs(32632), 3),
        ];
        write_points(&path, &fields(), points).unwrap();
        let (found, code) = read(&path);
        let longitudes: Vec<f64> = found.iter().map(|[x, _]| (x * 1e6).round() / 1e6).collect();
        assert_eq!((longitudes, code), (vec![9.0, 15.0, 9.0], 4326));
    }

    #[test]
    fn points_without_crs_stay_pixels() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gpkg");
        write_points(&path, &fields(), vec![point(3.5, 4.5, None, 1)]).unwrap();
        assert_eq!(read(&path).0, [[3.5, 4.5]]);
        let path = folder.path().join("a.geojson");
        let error = write_points(&path, &fields(), vec![point(3.5, 4.5, None, 1)]).unwrap_err();
        assert_eq!((error.exit_code(), error.hint()), (1, Some(NO_GEOJSON)));
        let mixed = vec![point(3.5, 4.5, None, 1), point(3.5, 4.5, crs(4326), 2)];
        assert!(write_points(&path, &fields(), mixed).unwrap_err().to_string().contains("others have none"));
        assert!(!path.exists());
    }
}
