//! Pixel positions to coordinates of the output.

use gdal::spatial_ref::{AxisMappingStrategy, CoordTransform, SpatialRef};

use super::format::Format;
use super::shape::Corner;
use super::source::Placement;
use crate::error::{Context, Error, Result};
use crate::geom::{GeoTransform, Ground, WorldPoint};
use crate::scene::is_crs_text;

/// Where positions in pixels end up.
pub struct OutputSpace {
    transform: GeoTransform,
    measure: Ground,
    mirrored: bool,
    reprojection: Option<CoordTransform>,
    /// The CRS of the output.
    pub crs_wkt: Option<String>,
}

impl OutputSpace {
    /// `target_crs`: anything that GDAL understands as a CRS; GeoJSON is always WGS 84.
    pub fn new(source: &Placement, target_crs: Option<&str>, format: Format) -> Result<Self> {
        let c = &source.transform.coefficients;
        let determinant = c[1] * c[5] - c[2] * c[4];
        let (reprojection, crs_wkt) = reprojection(source.crs_wkt.as_deref(), target_crs, format)?;
        Ok(Self {
            transform: source.transform,
            measure: source.ground.ground.clone(),
            mirrored: determinant < 0.0,
            reprojection,
            crs_wkt,
        })
    }

    pub fn measure(&self) -> &Ground {
        &self.measure
    }

    /// Ground coordinates in the labels' own CRS.
    pub fn ground(&self, col: f64, row: f64) -> WorldPoint {
        self.transform.to_world(col, row)
    }

    /// Ground coordinates of a ring, turned so that outer rings run counter-clockwise in x, y. The inside of `ring` is on
    /// its left with row 0 on top.
    pub fn ring(&self, ring: impl DoubleEndedIterator<Item = (f64, f64)>) -> Vec<WorldPoint> {
        let place = |(col, row): (f64, f64)| self.transform.to_world(col, row);
        // A north-up transform mirrors rows, and with them the sense of a ring; row 0 on top is a mirrored picture itself.
        if self.mirrored { ring.map(place).collect() } else { ring.rev().map(place).collect() }
    }

    /// Brings coordinates to the output's CRS.
    pub fn project(&self, points: &mut [WorldPoint]) -> Result<()> {
        let Some(reprojection) = &self.reprojection else { return Ok(()) };
        let mut x: Vec<f64> = points.iter().map(|point| point.x).collect();
        let mut y: Vec<f64> = points.iter().map(|point| point.y).collect();
        reprojection
            .transform_coords(&mut x, &mut y, &mut [])
            .input(|| "a coordinate cannot be brought to the target CRS".into())?;
        for ((point, x), y) in points.iter_mut().zip(x).zip(y) {
            if !(x.is_finite() && y.is_finite()) {
                return Err(Error::input(format!("({}, {}) has no place in the target CRS", point.x, point.y))
                    .with_hint("Choose a target CRS that covers the scene."));
            }
            *point = WorldPoint { x, y };
        }
        Ok(())
    }
}

/// The way from the labels' CRS to that of the output, if they differ, and the output's CRS as WKT.
pub fn reprojection(
    labels: Option<&str>,
    target_crs: Option<&str>,
    format: Format,
) -> Result<(Option<CoordTransform>, Option<String>)> {
    let Some(wkt) = labels else {
        if format.is_geojson() {
            return Err(Error::input(
                "the labels have no CRS, and GeoJSON is read as longitude and latitude by every program",
            )
            .with_hint(
                "Give the raster its CRS and place first (`gdal_edit.py -a_srs EPSG:… -a_ullr …`, `gdalwarp` for ground \
                 control points), or write a .gpkg, .fgb, .shp or .parquet, which can hold pixel coordinates.",
            ));
        }
        return match target_crs {
            Some(target) => Err(Error::input(format!("the labels have no CRS, so they cannot be brought to {target}"))
                .with_hint("Leave the target CRS out, or give the raster its CRS with `gdal_edit.py -a_srs`.")),
            None => Ok((None, None)),
        };
    };
    if let (true, Some(target)) = (format.is_geojson(), target_crs)
        && !matches!(target.to_ascii_uppercase().as_str(), "EPSG:4326" | "OGC:CRS84" | "WGS84")
    {
        return Err(Error::input(format!("GeoJSON cannot hold {target}: RFC 7946 allows WGS 84 only"))
            .with_hint("Write a .gpkg or .fgb, or leave the target CRS out."));
    }
    let Some(wanted) = (if format.is_geojson() { Some("EPSG:4326") } else { target_crs }) else {
        return Ok((None, Some(wkt.to_owned())));
    };
    let from = traditional(wkt).input(|| "the labels' CRS is not understood".into())?;
    const HINT: &str = "Give a CRS as EPSG:CODE, PROJ string or WKT, for example EPSG:3857.";
    let unknown = || format!("{wanted} is not understood as a CRS");
    if !is_crs_text(wanted) {
        return Err(Error::input(unknown()).with_hint(HINT));
    }
    let to = traditional(wanted).input(unknown).map_err(|error| error.with_hint(HINT))?;
    let way = CoordTransform::new(&from, &to).input(|| format!("there is no way from the labels' CRS to {wanted}"))?;
    Ok((Some(way), Some(to.to_wkt().internal(|| format!("{wanted} has no WKT"))?)))
}

fn traditional(definition: &str) -> gdal::errors::Result<SpatialRef> {
    let mut srs = SpatialRef::from_definition(definition)?;
    srs.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
    Ok(srs)
}

/// A lattice ring as positions.
pub fn positions(ring: &[Corner]) -> impl DoubleEndedIterator<Item = (f64, f64)> + '_ {
    ring.iter().map(|corner| (f64::from(corner.col), f64::from(corner.row)))
}
