//! How large a scene's pixels are on the ground.

use super::Georeference;
use crate::geom::{Size, area};

/// A line of a round length to measure a picture by.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaleBar {
    /// Of the picture's width, above 0 and at most a quarter.
    pub share: f64,
    /// `500 m`, `20 km`
    pub label: String,
}

/// What a scale bar may take of a picture's width.
const WIDEST: f64 = 0.25;

impl Georeference {
    /// Square metres of a pixel in the middle of a row of a scene `width` pixels wide; `None` where no CRS says so.
    pub fn pixel_area(&self, width: usize, row: usize) -> Option<f64> {
        if self.geographic {
            return Some(area::geographic_pixel(&self.transform, width, row));
        }
        self.crs_wkt.as_ref().map(|_| self.transform.pixel_area() * self.metres_per_unit.powi(2))
    }

    /// Square metres of a pixel, over all rows of a scene.
    pub fn mean_pixel_area(&self, size: Size) -> Option<f64> {
        if !self.geographic {
            return self.pixel_area(size.width, 0);
        }
        let sum: f64 = (0..size.height).filter_map(|row| self.pixel_area(size.width, row)).sum();
        Some(sum / size.height as f64)
    }

    /// Metres along the middle row of a scene.
    fn metres_across(&self, size: Size) -> Option<f64> {
        if self.geographic {
            let middle = self.transform.to_world(size.width as f64 / 2.0, size.height as f64 / 2.0);
            let [east, north] = area::metres_per_degree(middle.y);
            let [_, a, _, _, b, _] = self.transform.coefficients;
            return Some((a * east).hypot(b * north) * size.width as f64);
        }
        self.crs_wkt.as_ref().map(|_| self.transform.pixel_width() * self.metres_per_unit * size.width as f64)
    }

    /// A scale bar for a picture of the whole scene; `None` where nothing says how large the scene is.
    pub fn scale_bar(&self, size: Size) -> Option<ScaleBar> {
        let across = self.metres_across(size).filter(|metres| metres.is_finite() && *metres > 0.0)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geom::GeoTransform;

    fn place(step: f64, geographic: bool) -> Georeference {
        Georeference {
            transform: GeoTransform { coefficients: [6.0, step, 0.0, 45.5, 0.0, -step] },
            crs_wkt: Some("a CRS".into()),
            crs_name: None,
            geographic,
            metres_per_unit: 1.0,
            pixel_is_point: false,
        }
    }

    #[test]
    fn a_scale_bar_is_round_and_takes_up_to_a_quarter() {
        for (step, width, label, metres) in [
            (0.5, 1000, "100 m", 100.0),
            (30.0, 840, "5 km", 5000.0),
            (5.0, 934, "1 km", 1000.0),
            (0.01, 300, "0.5 m", 0.5),
            (0.004, 100, "0.1 m", 0.1),
        ] {
            let bar = place(step, false).scale_bar(Size::new(width, 9)).unwrap();
            assert_eq!(bar.label, label);
            assert!((bar.share * step * width as f64 / metres - 1.0).abs() < 1e-9 && bar.share <= WIDEST, "{bar:?}");
        }
        let without = Georeference { crs_wkt: None, ..place(1.0, false) };
        assert_eq!((without.scale_bar(Size::new(9, 9)), without.mean_pixel_area(Size::new(9, 9))), (None, None));
        assert_eq!(place(0.0, false).scale_bar(Size::new(9, 9)), None);
    }

    #[test]
    fn degrees_are_metres_at_the_scenes_own_latitude() {
        // A degree to the east is 78,847 m at 45° (Bowditch): the middle of 1000 rows of 0.001°.
        let bar = place(0.001, true).scale_bar(Size::new(1000, 1000)).unwrap();
        assert_eq!(bar.label, "10 km");
        assert!((bar.share - 10_000.0 / 78_847.0).abs() < 1e-5, "{bar:?}");
        let mean = place(0.001, true).mean_pixel_area(Size::new(1000, 1000)).unwrap();
        assert!((mean / (78.847 * 111.132) - 1.0).abs() < 1e-3, "{mean}");
    }
}
