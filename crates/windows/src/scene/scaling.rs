//! Scale and offset: how bands that store one quantity differently are compared.

use super::BandInfo;

/// How stored values become physical ones: value × scale + offset, as GDAL and STAC's raster extension define it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    pub scale: f64,
    pub offset: f64,
}

/// From the stored values of one band to those of another: value × factor + shift.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conversion {
    pub factor: f64,
    pub shift: f64,
    /// The band has no scale of its own: the scale of the others, without an offset, is assumed.
    pub assumed: bool,
}

impl Conversion {
    pub fn is_identity(&self) -> bool {
        self.factor == 1.0 && self.shift == 0.0
    }

    pub fn apply(&self, value: f64) -> f64 {
        value * self.factor + self.shift
    }

    /// The value for a stored `value`.
    pub fn invert(&self, value: f64) -> f64 {
        (value - self.shift) / self.factor
    }
}

/// `× 0.5 - 1000`, what happens to stored values.
impl std::fmt::Display for Conversion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.factor == 1.0, self.shift) {
            (true, shift) => write!(f, "{} {}", if shift < 0.0 { "-" } else { "+" }, shift.abs()),
            (false, 0.0) => write!(f, "× {}", self.factor),
            (false, shift) => write!(f, "× {} {} {}", self.factor, if shift < 0.0 { "-" } else { "+" }, shift.abs()),
        }
    }
}

/// How the stored values of bands become those of the first one; `None` where they need no conversion, or nothing is known of
/// their scales.
///
/// A floating point band without a scale holds physical values. An integer band without a scale is assumed to have the
/// scale of the others and no offset: tiles of one series from before and after an offset was introduced differ like
/// that.
pub fn conversions(bands: &[&BandInfo]) -> Option<Vec<Conversion>> {
    let known = bands.iter().find_map(|band| band.scaling)?;
    let of = |band: &BandInfo| match band.scaling {
        Some(scaling) => (scaling, false),
        None if band.pixel_type.starts_with("Float") => (Scaling { scale: 1.0, offset: 0.0 }, false),
        None => (Scaling { scale: known.scale, offset: 0.0 }, true),
    };
    let (first, _) = of(bands.first()?);
    let conversions: Vec<Conversion> = bands
        .iter()
        .map(|band| {
            let (own, assumed) = of(band);
            let (factor, shift) = (own.scale / first.scale, (own.offset - first.offset) / first.scale);
            Conversion { factor: rounded(factor), shift: rounded(shift), assumed }
        })
        .collect();
    let sound = conversions.iter().all(|to| to.factor.is_finite() && to.factor != 0.0 && to.shift.is_finite());
    (sound && !conversions.iter().all(Conversion::is_identity)).then_some(conversions)
}

/// Rounds off the error of dividing decimal fractions: -0.1 / 0.0001 is -1000.
fn rounded(value: f64) -> f64 {
    const EXACT: f64 = 1e-9;
    let near = |rounded: f64| (value - rounded).abs() <= EXACT * value.abs().max(EXACT);
    if near(value.round()) { value.round() + 0.0 } else { value }
}

#[cfg(test)]
mod tests {
    use super::super::{ColourRole, Spectral};
    use super::*;

    fn band(pixel_type: &str, scaling: Option<(f64, f64)>) -> BandInfo {
        BandInfo {
            name: None,
            role: ColourRole::Undefined,
            pixel_type: pixel_type.into(),
            nodata: None,
            spectral: Spectral::default(),
            scaling: scaling.map(|(scale, offset)| Scaling { scale, offset }),
        }
    }

    #[test]
    fn values_are_converted_to_the_first_band() {
        let to = |bands: &[BandInfo]| {
            let found = conversions(&bands.iter().collect::<Vec<_>>())?;
            Some(found.iter().map(|to| (to.factor, to.shift)).collect::<Vec<_>>())
        };
        let (old, new) = (band("UInt16", Some((1e-4, 0.0))), band("UInt16", Some((1e-4, -0.1))));
        assert_eq!(to(&[old.clone(), new.clone()]), Some(vec![(1.0, 0.0), (1.0, -1000.0)]));
        assert_eq!(to(&[new.clone(), old.clone()]), Some(vec![(1.0, 0.0), (1.0, 1000.0)]));
        assert_eq!(to(&[new.clone(), new.clone()]), None);
        let plain = band("UInt16", None);
        assert_eq!(to(&[plain.clone(), plain.clone()]), None);
        assert_eq!(to(&[plain.clone(), new.clone()]), Some(vec![(1.0, 0.0), (1.0, -1000.0)]));
        assert_eq!(to(&[old.clone(), plain]), None);
        let landsat = band("UInt16", Some((2.75e-5, -0.2)));
        let found = to(&[old, landsat.clone()]).unwrap()[1];
        assert!((found.0 - 0.275).abs() < 1e-12 && found.1 == -2000.0, "{found:?}");
        // Reflectance as it is, beside Landsat's numbers: 10,000 is 0.075.
        let found = conversions(&[&band("Float32", None), &landsat]).unwrap()[1];
        assert!((found.apply(10_000.0) - 0.075).abs() < 1e-12 && (found.invert(0.075) - 10_000.0).abs() < 1e-6);
        assert_eq!(to(&[band("UInt16", Some((0.0, 0.0))), landsat]), None, "a scale of zero says nothing");
        assert_eq!(Conversion { factor: 1.0, shift: -1000.0, assumed: false }.to_string(), "- 1000");
        assert_eq!(Conversion { factor: 0.5, shift: 3.0, assumed: false }.to_string(), "× 0.5 + 3");
    }
}
