//! Areas and lengths on the ground.
//!
//! All areas and lengths of the program are measured here, those of summaries, tables, polygons and options alike: on
//! the ellipsoid of the scene's CRS, in square metres and metres. An edge is straight in the CRS, as a pixel's is; the
//! polygons of a raster therefore have the area of its pixels, whatever the projection. Areas are those of QGIS'
//! `$area` where edges are no longer than some kilometres (it joins vertices by geodesics). Without a CRS the size of a
//! pixel is unknown: areas are numbers of pixels, and lengths are in pixels.
//!
//! Longitude and latitude have closed formulas. For a map projection the scale is computed at the points of a
//! [`Lattice`] by the inverse projection, and interpolated: areas and lengths are exact to 2e-5 (tested against PROJ
//! and Karney's geodesics).
//!
//! This is our own code because `geo::GeodesicArea` joins vertices by geodesics, which do not follow the edges of pixels
//! in a map projection, and solves an inverse geodesic problem for every edge.

use std::sync::Arc;

use super::{Ellipsoid, GeoTransform, Lattice, Metric, WorldPoint};

/// Longest edge, in radians, over which a parallel's length may be taken at the edge's middle.
const SHORT: f64 = 0.005;

/// How coordinates become metres and square metres.
#[derive(Clone, Debug, PartialEq)]
pub enum Ground {
    /// The same everywhere: pixels without a CRS, or a local CRS without a datum.
    Flat(Metric),
    /// Longitude and latitude.
    Degrees { earth: Ellipsoid, radians_per_unit: f64 },
    /// A map projection.
    Projected(Arc<Lattice>),
}

impl Ground {
    /// A plane in which a unit has so many metres.
    pub fn plane(metres_per_unit: f64) -> Self {
        Self::Flat(Metric::uniform(metres_per_unit))
    }

    /// Pixels in place of metres: a pixel has the area 1, and its sides the length 1.
    pub fn pixels(transform: &GeoTransform) -> Self {
        let [_, a, b, _, c, d] = transform.coefficients;
        let determinant = a * d - b * c;
        if !determinant.is_normal() {
            return Self::plane(1.0);
        }
        let (col, row) = ([d / determinant, -b / determinant], [-c / determinant, a / determinant]);
        Self::Flat(Metric::of_steps([col[0], row[0], 0.0], [col[1], row[1], 0.0]))
    }

    /// Signed area inside a ring that does not repeat its first point: positive when it runs counter-clockwise in x, y.
    pub fn area(&self, ring: &[WorldPoint]) -> f64 {
        match self {
            Self::Flat(metric) => plane_area(ring) * metric.area(),
            Self::Projected(lattice) => lattice.area(ring),
            &Self::Degrees { earth, radians_per_unit } => {
                let (Some(&last), Some(&origin)) = (ring.last(), ring.first()) else { return 0.0 };
                let (mut sum, mut before) = (0.0, last);
                let base = earth.zone(origin.y * radians_per_unit);
                let zone = |y: f64| earth.zone(y * radians_per_unit) - base;
                let mut zone_before = zone(last.y);
                for &here in ring {
                    let zone_here = if here.y == before.y { zone_before } else { zone(here.y) };
                    if here.x != before.x {
                        let mean = if here.y == before.y {
                            zone_here
                        } else {
                            (zone_before + 4.0 * zone((before.y + here.y) / 2.0) + zone_here) / 6.0
                        };
                        sum -= (here.x - before.x) * radians_per_unit * mean;
                    }
                    before = here;
                    zone_before = zone_here;
                }
                sum
            }
        }
    }

    /// Length of a straight piece.
    pub fn distance(&self, from: WorldPoint, to: WorldPoint) -> f64 {
        let (dx, dy) = (to.x - from.x, to.y - from.y);
        match self {
            Self::Flat(metric) => metric.length(dx, dy),
            Self::Projected(lattice) => lattice.length([from, to].into_iter()),
            &Self::Degrees { earth, radians_per_unit } => {
                let pieces = (dx.abs().max(dy.abs()) * radians_per_unit / SHORT).ceil().clamp(1.0, 1e4) as usize;
                let step = 1.0 / pieces as f64;
                let piece = |index: usize| {
                    let latitude = from.y + (index as f64 + 0.5) * step * dy;
                    let (meridian, parallel) = earth.radii(latitude * radians_per_unit);
                    (dx * step * radians_per_unit * parallel).hypot(dy * step * radians_per_unit * meridian)
                };
                (0..pieces).map(piece).sum()
            }
        }
    }

    /// Length around a ring that does not repeat its first point.
    pub fn perimeter(&self, ring: &[WorldPoint]) -> f64 {
        let Some(&last) = ring.last() else { return 0.0 };
        if let Self::Projected(lattice) = self {
            return lattice.length(std::iter::once(last).chain(ring.iter().copied()));
        }
        let mut before = last;
        let mut sum = 0.0;
        for &here in ring {
            sum += self.distance(before, here);
            before = here;
        }
        sum
    }

    /// Length of an open line.
    pub fn length(&self, line: &[WorldPoint]) -> f64 {
        if let Self::Projected(lattice) = self {
            return lattice.length(line.iter().copied());
        }
        line.iter().zip(line.iter().skip(1)).map(|(&from, &to)| self.distance(from, to)).sum()
    }

    /// The metric at a position: lengths of short steps on the ground.
    pub fn metric(&self, at: WorldPoint) -> Metric {
        match self {
            Self::Flat(metric) => *metric,
            Self::Projected(lattice) => lattice.metric(at),
            &Self::Degrees { earth, radians_per_unit } => {
                let (meridian, parallel) = earth.radii(at.y * radians_per_unit);
                let (x, y) = (parallel * radians_per_unit, meridian * radians_per_unit);
                Metric { xx: x * x, xy: 0.0, yy: y * y }
            }
        }
    }

    /// Square metres of a square unit at a position.
    pub fn density(&self, at: WorldPoint) -> f64 {
        match self {
            Self::Projected(lattice) => lattice.density(at),
            other => other.metric(at).area(),
        }
    }

    /// Number of pieces of a row of pixels such that each may take its area from its middle.
    pub(super) fn pieces(&self, from: WorldPoint, to: WorldPoint) -> usize {
        match self {
            Self::Flat(_) => 1,
            Self::Projected(lattice) => lattice.cells_between(from, to).ceil().max(1.0) as usize,
            Self::Degrees { radians_per_unit, .. } => {
                ((to.y - from.y).abs() * radians_per_unit / SHORT).ceil().max(1.0) as usize
            }
        }
    }
}

/// Signed area of a ring in square units.
pub fn plane_area(ring: &[WorldPoint]) -> f64 {
    let (Some(&last), Some(&origin)) = (ring.last(), ring.first()) else { return 0.0 };
    let mut before = last;
    let mut sum = 0.0;
    for &here in ring {
        // Relative to the ring's own start: far from the origin the products would lose precision.
        sum += (before.x - origin.x) * (here.y - origin.y) - (here.x - origin.x) * (before.y - origin.y);
        before = here;
    }
    sum / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEGREES: Ground = Ground::Degrees { earth: Ellipsoid::WGS84, radians_per_unit: std::f64::consts::PI / 180.0 };

    fn square(x: f64, y: f64, side: f64) -> Vec<WorldPoint> {
        [(0.0, 0.0), (side, 0.0), (side, side), (0.0, side)]
            .map(|(dx, dy)| WorldPoint { x: x + dx, y: y + dy })
            .to_vec()
    }

    #[test]
    fn area_of_the_earth_matches_the_published_value() {
        let all = [(-180.0, -90.0), (180.0, -90.0), (180.0, 90.0), (-180.0, 90.0)].map(|(x, y)| WorldPoint { x, y });
        // WGS 84: 510 065 621.724 km².
        assert!((DEGREES.area(&all) / 510_065_621.724e6 - 1.0).abs() < 1e-11);
    }

    #[test]
    fn small_cells_agree_with_karney() {
        use geo::GeodesicArea;
        for (lon, lat) in [(7.0, 50.9), (-95.0, -33.0), (12.0, 0.0), (20.0, 78.0)] {
            let ring = square(lon, lat, 0.001);
            let line: Vec<_> = ring.iter().map(|p| geo::Coord { x: p.x, y: p.y }).collect();
            let polygon = geo::Polygon::new(geo::LineString::new(line), vec![]);
            let expected = polygon.geodesic_area_signed();
            assert!((DEGREES.area(&ring) / expected - 1.0).abs() < 1e-6, "{} {expected}", DEGREES.area(&ring));
            let around = polygon.geodesic_perimeter();
            assert!((DEGREES.perimeter(&ring) / around - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn slanted_edge_is_integrated() {
        let diamond = [(0.0, 40.0), (2.0, 41.0), (0.0, 42.0), (-2.0, 41.0)].map(|(x, y)| WorldPoint { x, y });
        let fine: Vec<_> = (0..4)
            .flat_map(|side| {
                let (a, b): (WorldPoint, WorldPoint) = (diamond[side], diamond[(side + 1) % 4]);
                (0..1000).map(move |step| {
                    let t = step as f64 / 1000.0;
                    WorldPoint { x: a.x + t * (b.x - a.x), y: a.y + t * (b.y - a.y) }
                })
            })
            .collect();
        assert!((DEGREES.area(&diamond) / DEGREES.area(&fine) - 1.0).abs() < 1e-8);
    }

    #[test]
    fn feet_become_metres_and_holes_are_negative() {
        let feet = Ground::plane(0.3048);
        let mut ring = square(1e6, 5e6, 10.0);
        assert!((feet.area(&ring) - 9.290_304).abs() < 1e-9);
        assert!((feet.perimeter(&ring) - 12.192).abs() < 1e-9);
        ring.reverse();
        assert!((feet.area(&ring) + 9.290_304).abs() < 1e-9);
    }
}
