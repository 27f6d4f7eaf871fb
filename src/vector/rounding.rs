//! Areas and lengths rounded to what they mean: borders are known to a fraction of a pixel, further digits say nothing.

use super::shape::PixelSize;

/// Steps to which areas and lengths are rounded: the power of ten at or below a tenth of a pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rounding {
    /// Exponents of ten; `None`: values stay as they are.
    area: Option<i32>,
    length: Option<i32>,
}

impl Rounding {
    /// For pixels of this size, in metres; of 1 × 1 where areas are in pixels.
    pub fn of(pixel: PixelSize) -> Self {
        let area = pixel.width * pixel.height;
        Self { area: exponent(area / 10.0), length: exponent(area.sqrt() / 10.0) }
    }

    pub fn area(self, value: f64) -> f64 {
        rounded(value, self.area)
    }

    pub fn length(self, value: f64) -> f64 {
        rounded(value, self.length)
    }
}

/// A share, score or ratio from 0 to 1 with four digits.
pub fn share(value: f64) -> f64 {
    rounded(value, Some(-4))
}

/// An angle in degrees with one digit.
pub fn angle(value: f64) -> f64 {
    rounded(value, Some(-1))
}

fn exponent(step: f64) -> Option<i32> {
    // Below a micrometre and above a planet nothing is measured.
    (1e-12..1e15).contains(&step).then(|| step.log10().floor() as i32)
}

fn rounded(value: f64, exponent: Option<i32>) -> f64 {
    match exponent {
        // Divided by a power of ten, which is exact: the result prints with the digits that it has.
        Some(exponent) if exponent < 0 => {
            let factor = 10f64.powi(-exponent);
            (value * factor).round() / factor
        }
        Some(exponent) => {
            let step = 10f64.powi(exponent);
            (value / step).round() * step
        }
        None => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_the_pixel() {
        let of = |side: f64| Rounding::of(PixelSize { width: side, height: side });
        assert_eq!(of(0.3).area(12.345_678), 12.346);
        assert_eq!(of(0.3).length(12.345_678), 12.35);
        assert_eq!(of(10.0).area(12_345.678), 12_350.0);
        assert_eq!(of(10.0).length(12_345.678), 12_346.0);
        assert_eq!(of(1.0).area(8.0), 8.0);
        assert_eq!((of(0.0).area(1.234_567), of(f64::NAN).length(1.234_567)), (1.234_567, 1.234_567));
        assert_eq!(share(f64::from(0.733f32)), 0.733);
    }

    #[test]
    fn rounding_is_within_a_tenth_of_a_pixel() {
        for side in [0.05, 0.3, 1.0, 2.0, 9.99, 10.0, 30.0] {
            let rounding = Rounding::of(PixelSize { width: side, height: side });
            for value in [0.1, 1.234_567, 99.99, 123_456.789] {
                assert!((rounding.area(value) - value).abs() <= 0.0501 * side * side, "{side} {value}");
                assert!((rounding.length(value) - value).abs() <= 0.0501 * side, "{side} {value}");
            }
        }
    }
}
