//! The ellipsoid of a CRS.

/// An ellipsoid of revolution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ellipsoid {
    /// Semi-major axis in metres.
    major: f64,
    /// First eccentricity, squared.
    e2: f64,
}

impl Ellipsoid {
    pub const WGS84: Self = Self { major: 6_378_137.0, e2: 0.006_694_379_990_141_316 };

    /// Semi-axes in metres.
    pub fn new(major: f64, minor: f64) -> Self {
        Self { major, e2: 1.0 - (minor * minor) / (major * major) }
    }

    /// The area between the equator and a latitude (radians), a radian of longitude wide; m².
    pub fn zone(&self, latitude: f64) -> f64 {
        let sin = latitude.sin();
        let b2 = self.major * self.major * (1.0 - self.e2);
        if self.e2 <= 1e-15 {
            return b2 * sin;
        }
        let e = self.e2.sqrt();
        b2 / 2.0 * (sin / (1.0 - self.e2 * sin * sin) + (e * sin).atanh() / e)
    }

    /// Radii of curvature at a latitude (radians), in metres a radian: (of the meridian, of the parallel).
    pub fn radii(&self, latitude: f64) -> (f64, f64) {
        let (sin, cos) = latitude.sin_cos();
        let w2 = 1.0 - self.e2 * sin * sin;
        let w = w2.sqrt();
        (self.major * (1.0 - self.e2) / (w2 * w), self.major / w * cos.abs())
    }

    /// Karney's geodesics on it: distances in metres between longitudes and latitudes in degrees.
    pub fn geodesics(&self) -> impl geo::Distance<f64, geo::Point, geo::Point> {
        let flattening = 1.0 - (1.0 - self.e2).sqrt();
        geo::GeodesicMeasure::new(self.major, flattening)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_degrees_match_published_tables() {
        // Bowditch's table of the length of a degree, WGS 84, latitude 45°: 78,847 m east, 111,132 m north.
        let (meridian, parallel) = Ellipsoid::WGS84.radii(45f64.to_radians());
        let [east, north] = [parallel, meridian].map(f64::to_radians);
        assert!((east - 78_847.0).abs() < 1.0 && (north - 111_132.0).abs() < 1.0, "{east}, {north}");
    }

    #[test]
    fn geodesics_match_published_distances() {
        use geo::{Distance as _, Point};
        // A quarter of the meridian on WGS 84 and on Bessel's ellipsoid, as tables have it; a sphere's by its radius.
        let quarter = |earth: Ellipsoid| earth.geodesics().distance(Point::new(7.0, 0.0), Point::new(7.0, 90.0));
        assert!((quarter(Ellipsoid::WGS84) - 10_001_965.729).abs() < 1e-3);
        assert!((quarter(Ellipsoid::new(6_377_397.155, 6_356_078.963)) - 10_000_855.764).abs() < 2e-2);
        let sphere = quarter(Ellipsoid::new(6_371_000.0, 6_371_000.0));
        assert!((sphere - 6_371_000.0 * std::f64::consts::FRAC_PI_2).abs() < 1e-6, "{sphere}");
    }
}
