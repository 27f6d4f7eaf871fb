//! Transforms pixel positions to coordinates of the output.

use gdal::spatial_ref::{AxisMappingStrategy, CoordTransform, SpatialRef};
use geo::{Coord, LineString, MultiPolygon, Polygon};

use super::format::Format;
use super::shape::{Corner, LatticePolygon, open, rings};
use super::source::Placement;
use crate::error::{Context, Error, Result};
use crate::geom::{GeoTransform, Ground, WorldPoint};
use crate::scene::is_crs_text;

/// The transformation from pixels through the labels' CRS to the CRS of the output.
pub struct OutputSpace {
    transform: GeoTransform,
    measure: Ground,
    mirrored: bool,
    reprojection: Option<CoordTransform>,
    /// The CRS of the output.
    pub crs_wkt: Option<String>,
}

impl OutputSpace {
    /// `target_crs`: any CRS definition that GDAL accepts. GeoJSON is always WGS 84.
    ///
    /// # Errors
    /// As [`reprojection`].
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

    /// From pixels to the labels' CRS.
    pub fn transform(&self) -> &GeoTransform {
        &self.transform
    }

    /// Measures areas and lengths in the labels' CRS.
    pub fn measure(&self) -> &Ground {
        &self.measure
    }

    /// Coordinates of a position in the labels' CRS.
    pub fn ground(&self, at: Coord) -> WorldPoint {
        self.transform.to_world(at.x, at.y)
    }

    /// Coordinates of a ring in the labels' CRS, oriented so that outer rings run counter-clockwise in x, y. The inside of
    /// `ring` must be on its left with row 0 on top.
    fn ring(&self, ring: impl DoubleEndedIterator<Item = Coord> + ExactSizeIterator) -> LineString {
        let to_world = |at: Coord| self.transform.to_world(at.x, at.y);
        let mut points = Vec::with_capacity(ring.len() + 1);
        // With row 0 on top, y points down: a north-up transform (negative determinant) keeps the orientation, others reverse it.
        if self.mirrored {
            points.extend(ring.map(to_world))
        } else {
            points.extend(ring.rev().map(to_world))
        }
        points.extend(points.first().copied());
        LineString::new(points)
    }

    /// A traced polygon in the labels' CRS.
    pub fn traced(&self, polygon: &LatticePolygon) -> Polygon {
        let ring = |ring: &Vec<Corner>| self.ring(positions(ring));
        Polygon::new(ring(&polygon.outer), polygon.holes.iter().map(ring).collect())
    }

    /// A polygon in pixels, with the inside of its rings on the left with row 0 on top, in the labels' CRS.
    pub fn polygon(&self, polygon: &Polygon) -> Polygon {
        let ring = |ring: &LineString| self.ring(open(ring).iter().copied());
        Polygon::new(ring(polygon.exterior()), polygon.interiors().iter().map(ring).collect())
    }

    /// Area and perimeter of polygons in the labels' CRS: square metres and metres, or pixels without a CRS.
    pub fn area_and_perimeter(&self, polygons: &MultiPolygon) -> (f64, f64) {
        polygons.iter().flat_map(rings).map(open).fold((0.0, 0.0), |(area, perimeter), ring| {
            (area + self.measure.area(ring), perimeter + self.measure.perimeter(ring))
        })
    }

    /// Transforms polygons from the labels' CRS to that of the output.
    ///
    /// # Errors
    /// As [`project`](Self::project).
    pub fn project_polygons(&self, polygons: &mut MultiPolygon) -> Result<()> {
        if self.reprojection.is_none() {
            return Ok(());
        }
        polygons.iter_mut().try_for_each(|polygon| {
            polygon.try_exterior_mut(|ring| self.project(&mut ring.0))?;
            polygon.try_interiors_mut(|rings| rings.iter_mut().try_for_each(|ring| self.project(&mut ring.0)))
        })
    }

    /// Transforms coordinates from the labels' CRS to that of the output.
    ///
    /// # Errors
    /// A coordinate is outside the area in which the target CRS is defined.
    pub fn project(&self, points: &mut [WorldPoint]) -> Result<()> {
        let Some(reprojection) = &self.reprojection else { return Ok(()) };
        let mut x: Vec<f64> = points.iter().map(|point| point.x).collect();
        let mut y: Vec<f64> = points.iter().map(|point| point.y).collect();
        reprojection
            .transform_coords(&mut x, &mut y, &mut [])
            .input(|| "cannot transform a coordinate to the target CRS".into())?;
        for ((point, x), y) in points.iter_mut().zip(x).zip(y) {
            if !(x.is_finite() && y.is_finite()) {
                return Err(Error::input(format!("({}, {}) has no coordinates in the target CRS", point.x, point.y))
                    .with_hint("Choose a target CRS that covers the scene."));
            }
            *point = WorldPoint { x, y };
        }
        Ok(())
    }
}

/// The transformation from the labels' CRS to that of the output, if they differ, and the output's CRS as WKT.
///
/// # Errors
/// GeoJSON without a CRS or in another CRS than WGS 84; an unknown target CRS; labels without a CRS and a target CRS.
pub fn reprojection(
    labels: Option<&str>,
    target_crs: Option<&str>,
    format: Format,
) -> Result<(Option<CoordTransform>, Option<String>)> {
    let Some(wkt) = labels else {
        if format.is_geojson() {
            return Err(Error::input("the labels have no CRS, and GeoJSON requires longitude and latitude").with_hint(
                "Georeference the raster first (`gdal_edit.py -a_srs EPSG:… -a_ullr …`, `gdalwarp` for ground control \
                 points), or write a .gpkg, .fgb, .shp or .parquet, which can hold pixel coordinates.",
            ));
        }
        return match target_crs {
            Some(target) => {
                Err(Error::input(format!("the labels have no CRS, so they cannot be transformed to {target}"))
                    .with_hint("Omit the target CRS, or set the CRS of the raster with `gdal_edit.py -a_srs`."))
            }
            None => Ok((None, None)),
        };
    };
    if let (true, Some(target)) = (format.is_geojson(), target_crs)
        && !matches!(target.to_ascii_uppercase().as_str(), "EPSG:4326" | "OGC:CRS84" | "WGS84")
    {
        return Err(Error::input(format!("GeoJSON cannot have the CRS {target}: RFC 7946 allows only WGS 84"))
            .with_hint("Write a .gpkg or .fgb, or omit the target CRS."));
    }
    let Some(wanted) = (if format.is_geojson() { Some("EPSG:4326") } else { target_crs }) else {
        return Ok((None, Some(wkt.to_owned())));
    };
    let from = traditional(wkt).input(|| "cannot parse the CRS of the labels".into())?;
    const HINT: &str = "Give a CRS as EPSG:CODE, PROJ string or WKT, for example EPSG:3857.";
    let unknown = || format!("{wanted} is not a CRS that GDAL knows");
    if !is_crs_text(wanted) {
        return Err(Error::input(unknown()).with_hint(HINT));
    }
    let to = traditional(wanted).input(unknown).map_err(|error| error.with_hint(HINT))?;
    let transform = CoordTransform::new(&from, &to)
        .input(|| format!("no transformation is known from the CRS of the labels to {wanted}"))?;
    Ok((Some(transform), Some(to.to_wkt().internal(|| format!("{wanted} has no WKT"))?)))
}

fn traditional(definition: &str) -> gdal::errors::Result<SpatialRef> {
    let mut srs = SpatialRef::from_definition(definition)?;
    srs.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
    Ok(srs)
}

/// The corners of a ring as positions in pixels.
pub fn positions(ring: &[Corner]) -> impl DoubleEndedIterator<Item = Coord> + ExactSizeIterator + '_ {
    ring.iter().map(|&corner| corner.into())
}
