//! Parts of the spectrum and their wavelengths.

/// A part of the spectrum, after the common names of STAC's electro-optical extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spectrum {
    Coastal,
    Blue,
    Green,
    Yellow,
    Red,
    RedEdge,
    Nir,
    Cirrus,
    Swir16,
    Swir22,
    Thermal,
    Pan,
    /// Not part of the spectrum: a mask, an index, heights.
    Other,
}

use Spectrum::{Blue, Cirrus, Coastal, Green, Nir, Other, Pan, Red, RedEdge, Swir16, Swir22, Thermal, Yellow};

impl Spectrum {
    pub fn name(self) -> &'static str {
        match self {
            Coastal => "coastal",
            Blue => "blue",
            Green => "green",
            Yellow => "yellow",
            Red => "red",
            RedEdge => "red edge",
            Nir => "near infrared",
            Cirrus => "cirrus",
            Swir16 => "short-wave infrared (1.6 µm)",
            Swir22 => "short-wave infrared (2.2 µm)",
            Thermal => "thermal infrared",
            Pan => "panchromatic",
            Other => "no colour",
        }
    }

    /// The part in which a central wavelength in micrometres lies. The limits are those of the electro-optical extension,
    /// moved where bands of common sensors would fall on the wrong side (PlanetScope's yellow at 0.610, red edge at 0.705).
    pub fn of_wavelength(micrometres: f64) -> Option<Self> {
        PARTS.iter().find(|(_, low, high)| (*low..*high).contains(&micrometres)).map(|(part, ..)| *part)
    }

    /// Whether a wavelength is clearly outside the part, beyond any doubt about its limits.
    pub(super) fn excludes(self, micrometres: f64) -> bool {
        const TOLERANCE: f64 = 0.03;
        match PARTS.iter().find(|(part, ..)| *part == self) {
            Some((_, low, high)) => !(low - TOLERANCE..=high + TOLERANCE).contains(&micrometres),
            None => self == Other,
        }
    }

    /// The wavelength in micrometres that is taken where several bands show the part: about the centre of the bands of
    /// Landsat and Sentinel-2.
    pub fn centre(self) -> Option<f64> {
        match self {
            Red => Some(0.66),
            Green => Some(0.56),
            Blue => Some(0.485),
            _ => PARTS.iter().find(|(part, ..)| *part == self).map(|(_, low, high)| f64::midpoint(*low, *high)),
        }
    }
}

/// Limits in micrometres, the upper ones excluded.
const PARTS: &[(Spectrum, f64, f64)] = &[
    (Coastal, 0.40, 0.45),
    (Blue, 0.45, 0.51),
    (Green, 0.51, 0.585),
    (Yellow, 0.585, 0.62),
    (Red, 0.62, 0.69),
    (RedEdge, 0.69, 0.755),
    (RedEdge, 0.755, 0.79),
    (Nir, 0.79, 1.05),
    (Cirrus, 1.35, 1.40),
    (Swir16, 1.55, 1.75),
    (Swir22, 2.05, 2.35),
    (Thermal, 8.0, 14.0),
];
