//! The size of a raster's pixels on the ground.

use std::ops::Range;

use super::{GeoTransform, Ground, Metric, Size, WorldPoint};

/// A scale bar: a line of a round length.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaleBar {
    /// Of the picture's width, above 0 and at most a quarter.
    pub share: f64,
    /// `500 m`, `20 km`
    pub label: String,
}

/// Largest share of a picture's width for a scale bar.
const WIDEST: f64 = 0.25;

/// The ground under the pixels of a raster.
#[derive(Clone, Debug, PartialEq)]
pub struct PixelGround {
    pub ground: Ground,
    pub transform: GeoTransform,
    pub size: Size,
}

impl PixelGround {
    /// Square metres of all pixels of a row.
    pub fn row(&self, row: usize) -> RowAreas<'_> {
        let [_, _, _, _, slant, _] = self.transform.coefficients;
        let same = match &self.ground {
            Ground::Flat(_) => true,
            Ground::Degrees { .. } => slant == 0.0,
            Ground::Projected(_) => false,
        };
        let mut areas = RowAreas { of: self, row, pixel: None };
        if same {
            areas.pixel = Some(areas.run(0..1));
        }
        areas
    }

    /// Square metres of the whole raster.
    pub fn area(&self) -> f64 {
        let (width, height) = (self.size.width as f64, self.size.height as f64);
        let corners = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)];
        self.ground.area(&corners.map(|(col, row)| self.transform.to_world(col, row))).abs()
    }

    /// Square metres of a pixel, as the mean of all.
    pub fn mean_pixel_area(&self) -> f64 {
        self.area() / self.size.pixels().max(1) as f64
    }

    /// Square metres of a pixel at a position in pixels.
    pub fn pixel_area(&self, col: f64, row: f64) -> f64 {
        self.transform.pixel_area() * self.ground.density(self.transform.to_world(col, row))
    }

    /// The metric of steps of (columns, rows) at a position in pixels.
    pub fn metric(&self, col: f64, row: f64) -> Metric {
        let Metric { xx, xy, yy } = self.ground.metric(self.transform.to_world(col, row));
        let [_, a, b, _, c, d] = self.transform.coefficients;
        let product =
            |(ax, ay): (f64, f64), (bx, by): (f64, f64)| xx * ax * bx + xy * (ax * by + ay * bx) + yy * ay * by;
        let (col, row) = ((a, c), (b, d));
        Metric { xx: product(col, col), xy: product(col, row), yy: product(row, row) }
    }

    /// Metres of a step to the next column and to the next row, in the middle of the raster.
    pub fn steps(&self) -> [f64; 2] {
        let middle = self.metric(self.size.width as f64 / 2.0, self.size.height as f64 / 2.0);
        [middle.xx.sqrt(), middle.yy.sqrt()]
    }

    /// Square metres of a pixel in the middle of the raster.
    pub fn middle_pixel_area(&self) -> f64 {
        self.pixel_area(self.size.width as f64 / 2.0, self.size.height as f64 / 2.0)
    }

    /// Square metres of the smallest and of the largest pixel among those on the border and in the middle.
    pub fn pixel_area_range(&self) -> [f64; 2] {
        let places = (0..9).map(|index| (f64::from(index % 3) / 2.0, f64::from(index / 3) / 2.0));
        let areas = places.map(|(x, y)| self.pixel_area(x * self.size.width as f64, y * self.size.height as f64));
        areas.fold([f64::INFINITY, 0.0], |[least, most], area| [area.min(least), area.max(most)])
    }

    /// Metres along the middle row.
    fn across(&self) -> f64 {
        let middle = self.size.height as f64 / 2.0;
        let at = |col: f64| self.transform.to_world(col, middle);
        self.ground.distance(at(0.0), at(self.size.width as f64))
    }

    /// A scale bar for a picture of the whole raster; `None` where the raster has no extent.
    pub fn scale_bar(&self) -> Option<ScaleBar> {
        let across = Some(self.across()).filter(|metres| metres.is_finite() && *metres > 0.0)?;
        let power = 10f64.powf((across * WIDEST).log10().floor());
        let length = [5.0, 2.0, 1.0].map(|step| step * power).into_iter().find(|length| *length <= across * WIDEST)?;
        let label = match length {
            m if m >= 1000.0 => format!("{} km", m / 1000.0),
            // Powers of ten below one are not exact.
            m => format!("{} m", (m * 1e6).round() / 1e6),
        };
        Some(ScaleBar { share: length / across, label })
    }
}

/// Areas of the pixels of a row.
pub struct RowAreas<'a> {
    of: &'a PixelGround,
    row: usize,
    /// Where all are the same.
    pixel: Option<f64>,
}

impl RowAreas<'_> {
    /// Square metres of some neighbouring pixels.
    pub fn run(&self, cols: Range<usize>) -> f64 {
        let count = cols.len() as f64;
        if let Some(pixel) = self.pixel {
            return pixel * count;
        }
        let row = self.row as f64 + 0.5;
        let at = |col: f64| -> WorldPoint { self.of.transform.to_world(col, row) };
        let (start, end) = (cols.start as f64, cols.end as f64);
        let pieces = self.of.ground.pieces(at(start), at(end));
        let width = count / pieces as f64;
        let middles = (0..pieces).map(|piece| start + (piece as f64 + 0.5) * width);
        self.of.transform.pixel_area() * width * middles.map(|col| self.of.ground.density(at(col))).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geom::Ellipsoid;

    fn plane(step: f64, size: Size) -> PixelGround {
        let transform = GeoTransform { coefficients: [6.0, step, 0.0, 45.5, 0.0, -step] };
        PixelGround { ground: Ground::plane(1.0), transform, size }
    }

    fn degrees(coefficients: [f64; 6], size: Size) -> PixelGround {
        let ground = Ground::Degrees { earth: Ellipsoid::WGS84, radians_per_unit: 1f64.to_radians() };
        PixelGround { ground, transform: GeoTransform { coefficients }, size }
    }

    #[test]
    fn scale_bar_is_round_and_at_most_a_quarter() {
        for (step, width, label, metres) in [
            (0.5, 1000, "100 m", 100.0),
            (30.0, 840, "5 km", 5000.0),
            (5.0, 934, "1 km", 1000.0),
            (0.01, 300, "0.5 m", 0.5),
            (0.004, 100, "0.1 m", 0.1),
        ] {
            let bar = plane(step, Size::new(width, 9)).scale_bar().unwrap();
            assert_eq!(bar.label, label);
            assert!((bar.share * step * width as f64 / metres - 1.0).abs() < 1e-9 && bar.share <= WIDEST, "{bar:?}");
        }
        assert_eq!(plane(0.0, Size::new(9, 9)).scale_bar(), None);
    }

    #[test]
    fn degrees_become_metres_at_the_latitude_of_the_scene() {
        // A degree to the east is 78,847 m at 45° (Bowditch): the middle of 1000 rows of 0.001°.
        let raster = degrees([6.0, 0.001, 0.0, 45.5, 0.0, -0.001], Size::new(1000, 1000));
        let bar = raster.scale_bar().unwrap();
        assert_eq!(bar.label, "10 km");
        assert!((bar.share - 10_000.0 / 78_847.0).abs() < 1e-5, "{bar:?}");
        assert!((raster.mean_pixel_area() / (78.847 * 111.132) - 1.0).abs() < 1e-3, "{}", raster.mean_pixel_area());
        assert!((raster.steps()[0] / 78.847 - 1.0).abs() < 1e-5 && (raster.steps()[1] / 111.132 - 1.0).abs() < 1e-5);
    }

    #[test]
    fn rows_of_the_earth_sum_to_its_surface() {
        let earth = degrees([-180.0, 0.1, 0.0, 90.0, 0.0, -0.1], Size::new(3600, 1800));
        let sum: f64 = (0..1800).map(|row| earth.row(row).run(0..3600)).sum();
        // The surface of the WGS 84 ellipsoid: 510,065,621.724 km².
        assert!((sum / 510_065_621_724_000.0 - 1.0).abs() < 1e-6, "{sum}");
        assert!((earth.area() / 510_065_621_724_000.0 - 1.0).abs() < 1e-11);
    }

    #[test]
    fn areas_without_crs_are_in_pixels() {
        let (sin, cos) = 0.3f64.sin_cos();
        let transform = GeoTransform { coefficients: [10.0, 2.0 * cos, 2.0 * sin, 20.0, 2.0 * sin, -3.0 * cos] };
        let raster = PixelGround { ground: Ground::pixels(&transform), transform, size: Size::new(40, 30) };
        assert!((raster.area() - 1200.0).abs() < 1e-9);
        assert!(raster.steps().iter().all(|side| (side - 1.0).abs() < 1e-12));
        assert!((raster.row(3).run(5..9) - 4.0).abs() < 1e-12);
        let corner = |col, row| transform.to_world(col, row);
        assert!((raster.ground.distance(corner(1.0, 1.0), corner(4.0, 5.0)) - 5.0).abs() < 1e-12);
    }
}
