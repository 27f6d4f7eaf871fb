//! The rule for the validity of a scene's pixels, as plain data.
//!
//! 1. A pixel holds no data where one of the three bands that the model sees is not a number or infinite. That always counts.
//! 2. Beyond that one mark of the file decides, the first of these that it has (`mask: auto`):
//!    a mask band (inside the file or beside it as `.msk`, of all bands or of one); an alpha band, which marks data where it
//!    is above 0; the nodata values of the three bands. The others are ignored. `mask: alpha`, `nodata` or `band:N` name
//!    the one that decides (`band:N`: data where band N is above 0), `none` takes none of them.
//! 3. A band tagged as alpha that holds a picture is no mask: more than half of its pixels above 0 differ from the most
//!    frequent of their values, and there are more than 16 of them. (NAIP's infrared is often tagged like that.) Soft edges and
//!    masks of 0 and 1, 255 or 65535 stay masks. `mask: alpha` takes it whatever it holds. An alpha band that is itself among
//!    the three bands is no mask either.
//! 4. `nodata: VALUE` replaces the file's nodata values, and counts beside a mask or an alpha band. A tolerance makes
//!    values up to so much above or below it count as well: lossy compression changes them.
//! 5. A nodata value that could be data too marks a pixel only where all three bands hold theirs: 0, the largest value of an
//!    unsigned type, any value with a tolerance, and any value that a job gives for 8-bit pixels. Any other marks a pixel by one
//!    band alone.
//!
//! The same rule holds for windows, the stretch, previews, and the tiles of mosaics, where a pixel without data shows the tile
//! below. (Tiles are judged by their red, green and blue bands, or their first three.)

use super::{ColourRole, SceneInfo};

/// The mark of a file that decides validity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaskSource {
    /// The first that the file has of: mask band, alpha band, nodata values.
    #[default]
    Auto,
    /// None: only NaN and infinity are invalid.
    None,
    Alpha,
    Nodata,
    /// Valid where this band, from 1, is above 0.
    Band(usize),
}

/// A nodata value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NodataValue {
    pub value: f64,
    /// Values up to so much below or above it count as well; at least 0.
    pub tolerance: f64,
}

/// What a job says of pixels without data.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MaskRequest {
    pub source: MaskSource,
    /// In place of the file's nodata values.
    pub nodata: Option<NodataValue>,
}

/// The mark that decides validity in a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskRule {
    /// The file has no mark, or the job ignores it.
    Unmarked,
    /// Its mask band.
    Mask,
    /// Its alpha band of this number.
    Alpha(usize),
    /// The nodata values of the bands.
    Nodata,
    /// The band of this number.
    Band(usize),
}

impl NodataValue {
    /// Whether valid pixels may have this value: it then marks a pixel only where all three bands have theirs.
    /// `by_job`: the value comes from the job, not from the file.
    pub fn could_be_data(&self, pixel_type: &str, by_job: bool) -> bool {
        let top = match pixel_type {
            "Byte" if by_job => return true,
            "Byte" => Some(f64::from(u8::MAX)),
            "UInt16" => Some(f64::from(u16::MAX)),
            "UInt32" => Some(f64::from(u32::MAX)),
            _ => None,
        };
        self.tolerance > 0.0 || self.value == 0.0 || Some(self.value) == top
    }

    /// Whether pixels of this type can have the value, or one within its tolerance.
    pub fn can_occur(&self, pixel_type: &str) -> bool {
        let Some((low, high)) = range(pixel_type) else { return true };
        let (from, to) = (self.value - self.tolerance, self.value + self.tolerance);
        from.max(low).ceil() <= to.min(high).floor()
    }
}

/// The smallest and largest value of a type of integers.
pub fn range(pixel_type: &str) -> Option<(f64, f64)> {
    Some(match pixel_type {
        "Byte" => (0.0, 255.0),
        "Int8" => (-128.0, 127.0),
        "UInt16" => (0.0, 65_535.0),
        "Int16" => (-32_768.0, 32_767.0),
        "UInt32" => (0.0, 4_294_967_295.0),
        "Int32" => (-2_147_483_648.0, 2_147_483_647.0),
        _ => return None,
    })
}

/// A value as short text: `-3.4028234663852886e38` without its 38 digits.
fn number(value: f64) -> String {
    if value != 0.0 && !(1e-6..1e15).contains(&value.abs()) { format!("{value:e}") } else { value.to_string() }
}

impl std::fmt::Display for NodataValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&number(self.value))?;
        if self.tolerance > 0.0 { write!(f, " ± {}", self.tolerance) } else { Ok(()) }
    }
}

impl SceneInfo {
    /// The mark that decides the validity of these bands (numbers from 1), in addition to a nodata value of the job.
    pub fn mask_rule(&self, bands: [usize; 3]) -> MaskRule {
        if self.access.masked {
            return MaskRule::Mask;
        }
        match self.access.mask.source {
            MaskSource::None => MaskRule::Unmarked,
            MaskSource::Band(number) => MaskRule::Band(number),
            MaskSource::Alpha => self.alpha_band().map_or(MaskRule::Unmarked, MaskRule::Alpha),
            MaskSource::Nodata => self.by_nodata(bands),
            MaskSource::Auto if self.access.mask_band => MaskRule::Mask,
            MaskSource::Auto => match self.alpha_band() {
                Some(alpha) if !bands.contains(&alpha) => MaskRule::Alpha(alpha),
                _ => self.by_nodata(bands),
            },
        }
    }

    fn by_nodata(&self, bands: [usize; 3]) -> MaskRule {
        let tagged = self.tags(bands).iter().any(Option::is_some);
        if tagged || self.access.nodata_values { MaskRule::Nodata } else { MaskRule::Unmarked }
    }

    /// The first band tagged as alpha, counted from 1.
    pub fn alpha_band(&self) -> Option<usize> {
        self.bands.iter().position(|band| band.role == ColourRole::Alpha).map(|index| index + 1)
    }

    /// The nodata values that the file gives these bands.
    pub fn tags(&self, bands: [usize; 3]) -> [Option<f64>; 3] {
        bands.map(|number| self.bands.get(number.wrapping_sub(1)).and_then(|band| band.nodata))
    }

    /// What marks pixels without data, as text for reports.
    pub fn mask_text(&self, bands: [usize; 3]) -> String {
        let given = self.access.mask.nodata;
        let tags = || {
            let mut values: Vec<String> = Vec::new();
            for value in self.tags(bands).into_iter().flatten().map(number) {
                if !values.contains(&value) {
                    values.push(value);
                }
            }
            match values.len() {
                0 => "nodata values of all bands".to_owned(),
                1 => format!("nodata value {}", values.concat()),
                _ => format!("nodata values {}", values.join(", ")),
            }
        };
        let mark = match self.mask_rule(bands) {
            MaskRule::Unmarked => None,
            MaskRule::Mask if self.access.masked => Some("the tiles' masks".to_owned()),
            MaskRule::Mask => Some("mask band".to_owned()),
            MaskRule::Alpha(number) => Some(format!("alpha band {number}")),
            MaskRule::Band(number) => Some(format!("band {number}")),
            MaskRule::Nodata if given.is_some() => None,
            MaskRule::Nodata => Some(tags()),
        };
        match (mark, given) {
            (None, None) => "not marked".to_owned(),
            (Some(mark), None) => format!("by {mark}"),
            (None, Some(given)) => format!("by nodata value {given}"),
            (Some(mark), Some(given)) => format!("by {mark} and nodata value {given}"),
        }
    }

    /// The part of the rule that affects results and follows neither from the file nor from the defaults: for the
    /// fingerprint.
    pub fn mask_fact(&self, bands: [usize; 3]) -> Option<String> {
        let request = self.access.mask;
        let rule = self.mask_rule(bands);
        let tags = self.tags(bands);
        let overruled = matches!(rule, MaskRule::Alpha(_)) && tags.iter().any(Option::is_some);
        let alpha = self.access.picture_alpha.map(|number| format!("; band {number} is no alpha"));
        let settled = request != MaskRequest::default() || self.access.masked || overruled || alpha.is_some();
        settled.then(|| format!("{request:?}: {}{}", self.mask_text(bands), alpha.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_and_impossible_nodata_values() {
        let exact = |value| NodataValue { value, tolerance: 0.0 };
        assert!(exact(0.0).could_be_data("Float32", false) && exact(65_535.0).could_be_data("UInt16", false));
        assert!(exact(255.0).could_be_data("Byte", false) && !exact(7.0).could_be_data("Byte", false));
        assert!(exact(7.0).could_be_data("Byte", true) && !exact(-9999.0).could_be_data("Int16", true));
        assert!(NodataValue { value: -9999.0, tolerance: 1.0 }.could_be_data("Int16", true));
        assert!(exact(255.0).can_occur("Byte") && !exact(256.0).can_occur("Byte") && !exact(-1.0).can_occur("UInt16"));
        assert!(!exact(0.5).can_occur("Byte") && exact(0.5).can_occur("Float32") && exact(1e300).can_occur("Float64"));
        assert!(NodataValue { value: 260.0, tolerance: 8.0 }.can_occur("Byte"));
        assert!(!NodataValue { value: 0.5, tolerance: 0.25 }.can_occur("Int16"));
    }
}
