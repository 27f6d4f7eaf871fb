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

    /// A point of the surface in geocentric coordinates (metres) from its longitude and latitude (radians).
    pub fn position(&self, longitude: f64, latitude: f64) -> [f64; 3] {
        let (sin, cos) = latitude.sin_cos();
        let normal = self.major / (1.0 - self.e2 * sin * sin).sqrt();
        let (east, north) = longitude.sin_cos();
        [normal * cos * north, normal * cos * east, normal * (1.0 - self.e2) * sin]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_are_as_long_as_the_tables_say() {
        // Bowditch's table of the length of a degree, WGS 84, latitude 45°: 78,847 m east, 111,132 m north.
        let (meridian, parallel) = Ellipsoid::WGS84.radii(45f64.to_radians());
        let [east, north] = [parallel, meridian].map(f64::to_radians);
        assert!((east - 78_847.0).abs() < 1.0 && (north - 111_132.0).abs() < 1.0, "{east}, {north}");
    }

    #[test]
    fn positions_lie_on_the_surface() {
        // Of the poles and the equator by the axes; a degree of longitude at 45° by Bowditch.
        let wgs84 = Ellipsoid::WGS84;
        assert!((wgs84.position(0.3, std::f64::consts::FRAC_PI_2)[2] - 6_356_752.314_245).abs() < 1e-5);
        assert!((wgs84.position(0.0, 0.0)[0] - 6_378_137.0).abs() < 1e-9);
        let (a, b) = (wgs84.position(0.1, 0.785), wgs84.position(0.1 + 1f64.to_radians(), 0.785));
        let chord = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
        assert!((chord - 78_876.0).abs() < 3.0, "{chord}");
    }
}
