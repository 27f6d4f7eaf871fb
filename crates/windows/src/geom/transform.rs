//! Pixel coordinates to world coordinates and back.

/// A point in the units of a scene's CRS (metres or degrees), x to the east for most.
pub type WorldPoint = geo::Coord;

/// GDAL's affine geotransform: `x = c[0] + col·c[1] + row·c[2]`, `y = c[3] + col·c[4] + row·c[5]`, where (0, 0) is the
/// outer corner of the top left pixel. Rotated and south-up scenes are ordinary cases.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeoTransform {
    pub coefficients: [f64; 6],
}

impl GeoTransform {
    /// The identity: pixel coordinates as world coordinates, for scenes without georeference.
    pub const IDENTITY: Self = Self { coefficients: [0.0, 1.0, 0.0, 0.0, 0.0, 1.0] };

    /// World position of a (fractional) pixel position.
    pub fn to_world(&self, col: f64, row: f64) -> WorldPoint {
        let c = &self.coefficients;
        WorldPoint { x: c[0] + col * c[1] + row * c[2], y: c[3] + col * c[4] + row * c[5] }
    }

    /// Pixel position of a world position; `None` for a degenerate transform.
    pub fn to_pixel(&self, point: WorldPoint) -> Option<[f64; 2]> {
        let c = &self.coefficients;
        let determinant = c[1] * c[5] - c[2] * c[4];
        let (x, y) = (point.x - c[0], point.y - c[3]);
        let pixel = [(x * c[5] - y * c[2]) / determinant, (y * c[1] - x * c[4]) / determinant];
        pixel.iter().all(|value| value.is_finite()).then_some(pixel)
    }

    /// The grid whose pixels are `scale` of this one's wide and high, from the same corner.
    #[must_use]
    pub fn scaled(&self, scale: [f64; 2]) -> Self {
        let [x, a, b, y, c, d] = self.coefficients;
        Self { coefficients: [x, a * scale[0], b * scale[1], y, c * scale[0], d * scale[1]] }
    }

    /// Area of a pixel in square units of the CRS; zero for a degenerate transform.
    pub fn pixel_area(&self) -> f64 {
        let c = &self.coefficients;
        (c[1] * c[5] - c[2] * c[4]).abs()
    }

    /// Length of a step to the next column, in units of the CRS.
    pub fn pixel_width(&self) -> f64 {
        self.coefficients[1].hypot(self.coefficients[4])
    }

    /// Length of a step to the next row, in units of the CRS.
    pub fn pixel_height(&self) -> f64 {
        self.coefficients[2].hypot(self.coefficients[5])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_keeps_the_area() {
        let (sin, cos) = 0.3f64.sin_cos();
        let rotated = GeoTransform { coefficients: [10.0, 2.0 * cos, 2.0 * sin, 20.0, 2.0 * sin, -2.0 * cos] };
        assert!((rotated.pixel_area() - 4.0).abs() < 1e-12);
        assert_eq!(rotated.to_world(0.0, 0.0), WorldPoint { x: 10.0, y: 20.0 });
        let [col, row] = rotated.to_pixel(rotated.to_world(7.25, -3.5)).unwrap();
        assert!((col - 7.25).abs() < 1e-12 && (row + 3.5).abs() < 1e-12);
        assert_eq!(rotated.scaled([3.0, 0.5]).to_world(2.0, 8.0), rotated.to_world(6.0, 4.0));
        assert_eq!(GeoTransform { coefficients: [0.0; 6] }.to_pixel(WorldPoint { x: 1.0, y: 1.0 }), None);
    }
}
