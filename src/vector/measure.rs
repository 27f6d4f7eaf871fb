//! Areas and lengths on the ground, in square metres and metres.

use crate::geom::WorldPoint;

/// What an ellipsoid needs for areas and lengths.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Earth {
    /// Semi-major axis in metres.
    major: f64,
    /// First eccentricity, squared.
    e2: f64,
}

impl Earth {
    pub const WGS84: Self = Self { major: 6_378_137.0, e2: 0.006_694_379_990_141_316 };

    /// Semi-axes in metres.
    pub fn new(major: f64, minor: f64) -> Self {
        Self { major, e2: 1.0 - (minor * minor) / (major * major) }
    }

    /// The area between the equator and a latitude (radians), a radian of longitude wide.
    fn zone(&self, latitude: f64) -> f64 {
        let sin = latitude.sin();
        let b2 = self.major * self.major * (1.0 - self.e2);
        if self.e2 <= 1e-15 {
            return b2 * sin;
        }
        let e = self.e2.sqrt();
        b2 / 2.0 * (sin / (1.0 - self.e2 * sin * sin) + (e * sin).atanh() / e)
    }

    /// Radii of curvature at a latitude: (of the meridian, of the parallel), metres a radian.
    fn radii(&self, latitude: f64) -> (f64, f64) {
        let (sin, cos) = latitude.sin_cos();
        let w2 = 1.0 - self.e2 * sin * sin;
        let w = w2.sqrt();
        (self.major * (1.0 - self.e2) / (w2 * w), self.major / w * cos)
    }
}

/// How coordinates of a CRS become metres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// A projected CRS or plain pixels: plane geometry.
    Plane { metres_per_unit: f64 },
    /// Longitude and latitude: the area on the ellipsoid between lines that are straight in these coordinates.
    Ellipsoid { earth: Earth, radians_per_unit: f64 },
}

impl Measure {
    /// Signed area inside a ring that does not repeat its first point: positive when it runs counter-clockwise in x, y.
    pub fn area(&self, ring: &[WorldPoint]) -> f64 {
        let (Some(&last), Some(&origin)) = (ring.last(), ring.first()) else { return 0.0 };
        let mut sum = 0.0;
        let mut before = last;
        match *self {
            Self::Plane { metres_per_unit } => {
                for &here in ring {
                    // Relative to the ring's own start: far from the origin the products would eat the digits.
                    sum += (before.x - origin.x) * (here.y - origin.y) - (here.x - origin.x) * (before.y - origin.y);
                    before = here;
                }
                sum / 2.0 * metres_per_unit * metres_per_unit
            }
            Self::Ellipsoid { earth, radians_per_unit } => {
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
        match *self {
            Self::Plane { metres_per_unit } => (to.x - from.x).hypot(to.y - from.y) * metres_per_unit,
            Self::Ellipsoid { earth, radians_per_unit } => {
                let (meridian, parallel) = earth.radii((from.y + to.y) / 2.0 * radians_per_unit);
                ((to.x - from.x) * radians_per_unit * parallel).hypot((to.y - from.y) * radians_per_unit * meridian)
            }
        }
    }

    /// Length around a ring that does not repeat its first point.
    pub fn perimeter(&self, ring: &[WorldPoint]) -> f64 {
        let Some(&last) = ring.last() else { return 0.0 };
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
        line.windows(2).map(|pair| self.distance(pair[0], pair[1])).sum()
    }

    /// Metres a unit of x and a unit of y at a place.
    pub fn scale(&self, at: WorldPoint) -> (f64, f64) {
        match *self {
            Self::Plane { metres_per_unit } => (metres_per_unit, metres_per_unit),
            Self::Ellipsoid { earth, radians_per_unit } => {
                let (meridian, parallel) = earth.radii(at.y * radians_per_unit);
                (parallel * radians_per_unit, meridian * radians_per_unit)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEGREES: Measure = Measure::Ellipsoid { earth: Earth::WGS84, radians_per_unit: std::f64::consts::PI / 180.0 };

    fn square(x: f64, y: f64, side: f64) -> Vec<WorldPoint> {
        [(0.0, 0.0), (side, 0.0), (side, side), (0.0, side)]
            .map(|(dx, dy)| WorldPoint { x: x + dx, y: y + dy })
            .to_vec()
    }

    #[test]
    fn the_whole_earth_has_the_published_area() {
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
    fn a_slanted_edge_is_integrated_not_guessed() {
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
    fn feet_are_converted_and_holes_are_negative() {
        let feet = Measure::Plane { metres_per_unit: 0.3048 };
        let mut ring = square(1e6, 5e6, 10.0);
        assert!((feet.area(&ring) - 9.290_304).abs() < 1e-9);
        assert!((feet.perimeter(&ring) - 12.192).abs() < 1e-9);
        ring.reverse();
        assert!((feet.area(&ring) + 9.290_304).abs() < 1e-9);
    }
}
