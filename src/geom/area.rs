//! Square metres of a pixel.

use super::GeoTransform;

/// Semi-major axis and squared first eccentricity of WGS 84.
const WGS84_A: f64 = 6_378_137.0;
const WGS84_E2: f64 = 6.694_379_990_141_32e-3;

/// Square metres covered by one square degree of longitude and latitude at a latitude in degrees, on WGS 84: the product of
/// the radii of curvature (meridian M, prime vertical N) and the cosine of the latitude.
pub fn square_degree(latitude: f64) -> f64 {
    let (sin, cos) = latitude.to_radians().sin_cos();
    let w = 1.0 - WGS84_E2 * sin * sin;
    let meridian = WGS84_A * (1.0 - WGS84_E2) / w.powf(1.5);
    let prime_vertical = WGS84_A / w.sqrt();
    meridian * prime_vertical * cos.abs() * 1f64.to_radians().powi(2)
}

/// Metres of a degree to the east and of one to the north at a latitude in degrees, on WGS 84.
pub fn metres_per_degree(latitude: f64) -> [f64; 2] {
    let (sin, cos) = latitude.to_radians().sin_cos();
    let w = 1.0 - WGS84_E2 * sin * sin;
    let meridian = WGS84_A * (1.0 - WGS84_E2) / w.powf(1.5);
    let parallel = WGS84_A / w.sqrt() * cos.abs();
    [parallel.to_radians(), meridian.to_radians()]
}

/// Square metres of a pixel in the middle of row `row` of a geographic scene `width` pixels wide.
pub fn geographic_pixel(transform: &GeoTransform, width: usize, row: usize) -> f64 {
    let centre = transform.to_world(width as f64 / 2.0, row as f64 + 0.5);
    transform.pixel_area() * square_degree(centre.y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_are_as_long_as_the_tables_say() {
        // Bowditch's table of the length of a degree, WGS 84, latitude 45°: 78,847 m east, 111,132 m north.
        let [east, north] = metres_per_degree(45.0);
        assert!((east - 78_847.0).abs() < 1.0 && (north - 111_132.0).abs() < 1.0, "{east}, {north}");
        assert!((east * north / square_degree(45.0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_rows_of_the_whole_earth_add_up_to_its_surface() {
        let transform = GeoTransform { coefficients: [-180.0, 0.1, 0.0, 90.0, 0.0, -0.1] };
        let sum: f64 = (0..1800).map(|row| 3600.0 * geographic_pixel(&transform, 3600, row)).sum();
        // The surface of the WGS 84 ellipsoid: 510,065,621.724 km².
        assert!((sum / 510_065_621_724_000.0 - 1.0).abs() < 1e-6, "{sum}");
    }
}
