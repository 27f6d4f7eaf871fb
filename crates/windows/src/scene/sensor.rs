//! Sensors whose bands have numbers, and the designations of their bands.

use super::description::words;
use super::spectrum::Spectrum::{self, Blue, Cirrus, Coastal, Green, Nir, Pan, Red, RedEdge, Swir16, Swir22, Thermal};

/// Sensors whose bands have numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sensor {
    Sentinel2,
    /// Landsat 8 and 9.
    LandsatOli,
    /// Landsat 4 to 7.
    LandsatTm,
    Modis,
}

impl Sensor {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sentinel2 => "Sentinel-2",
            Self::LandsatOli => "Landsat 8 and 9",
            Self::LandsatTm => "Landsat 4 to 7",
            Self::Modis => "MODIS",
        }
    }

    /// The sensor that a file name, or the platform in metadata or a catalogue, names.
    pub fn named_in(text: &str) -> Option<Self> {
        let words = words(text);
        let has = |test: &dyn Fn(&str) -> bool| words.iter().any(|word| test(word));
        let follows = |first: &str, second: &[&str]| {
            words.windows(2).any(|pair| matches!(pair, [a, b] if a == first && second.contains(&b.as_str())))
        };
        let starts = |word: &str, starts: &[&str]| {
            starts.iter().any(|start| {
                word.strip_prefix(start).is_some_and(|rest| rest.chars().next().is_none_or(|c| c.is_ascii_digit()))
            })
        };
        // A file of a Sentinel-2 product begins with its tile and the date: T32ULC_20220130T….
        let tile = words.iter().zip(words.iter().skip(1)).any(|(tile, date)| is_mgrs_tile(tile) && is_timestamp(date));
        if tile
            || has(&|word| matches!(word, "s2a" | "s2b" | "s2c" | "s2d" | "msil1c" | "msil2a" | "msi" | "sentinel2"))
            || has(&|word| starts(word, &["sentinel2a", "sentinel2b", "sentinel2c"]))
            || follows("sentinel", &["2", "2a", "2b", "2c", "2d"])
            || follows("hls", &["s30"])
        {
            return Some(Self::Sentinel2);
        }
        if has(&|word| starts(word, &["lc08", "lc09", "lo08", "lo09", "lc8", "lc9", "landsat8", "landsat9"]))
            || has(&|word| matches!(word, "oli" | "oli2"))
            || follows("landsat", &["8", "9"])
            || follows("hls", &["l30"])
        {
            return Some(Self::LandsatOli);
        }
        if has(&|word| starts(word, &["lt04", "lt05", "le07", "lt4", "lt5", "le7", "landsat4", "landsat5", "landsat7"]))
            || has(&|word| matches!(word, "etm" | "tm"))
            || follows("landsat", &["4", "5", "7"])
        {
            return Some(Self::LandsatTm);
        }
        (has(&|word| starts(word, &["mod09", "myd09", "mcd43"])) || follows("sur", &["refl"])).then_some(Self::Modis)
    }

    /// What a band of this number shows.
    pub fn shows(self, number: &str) -> Option<Spectrum> {
        let table: &[(&str, Spectrum)] = match self {
            Self::Sentinel2 => &[
                ("1", Coastal),
                ("2", Blue),
                ("3", Green),
                ("4", Red),
                ("5", RedEdge),
                ("6", RedEdge),
                ("7", RedEdge),
                ("8", Nir),
                ("8a", Nir),
                ("9", Nir),
                ("10", Cirrus),
                ("11", Swir16),
                ("12", Swir22),
            ],
            Self::LandsatOli => &[
                ("1", Coastal),
                ("2", Blue),
                ("3", Green),
                ("4", Red),
                ("5", Nir),
                ("6", Swir16),
                ("7", Swir22),
                ("8", Pan),
                ("9", Cirrus),
                ("10", Thermal),
                ("11", Thermal),
            ],
            Self::LandsatTm => &[
                ("1", Blue),
                ("2", Green),
                ("3", Red),
                ("4", Nir),
                ("5", Swir16),
                ("6", Thermal),
                ("7", Swir22),
                ("8", Pan),
            ],
            Self::Modis => &[("1", Red), ("2", Nir), ("3", Blue), ("4", Green), ("6", Swir16), ("7", Swir22)],
        };
        table.iter().find(|(known, _)| *known == number).map(|(_, part)| *part)
    }
}

fn is_mgrs_tile(word: &str) -> bool {
    let bytes = word.as_bytes();
    matches!(bytes, [b't', a, b, rest @ ..] if a.is_ascii_digit() && b.is_ascii_digit() && rest.len() == 3
        && rest.iter().all(u8::is_ascii_lowercase))
}

fn is_timestamp(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() >= 8 && bytes.iter().take(8).all(u8::is_ascii_digit)
}

/// The sensor that alone has bands of these designations.
pub fn sensor_of<'a>(designations: impl Iterator<Item = &'a Designation>) -> Option<Sensor> {
    let known: Vec<&Designation> = designations.collect();
    if let Some(sensor) = known.iter().find_map(|known| known.sensor) {
        return Some(sensor);
    }
    let has =
        |product: &str, number: &str| known.iter().any(|known| known.product == product && known.number == number);
    let padded = |number: &str| known.iter().any(|known| known.padded && known.number == number);
    // Only Sentinel-2 has a band 8A. WorldView's bands are also written B01, B02, …, but begin with B01.
    if known.iter().any(|known| known.number == "8a")
        || (["2", "3", "4"].into_iter().all(padded) && !padded("1"))
        || (["2", "3", "4", "8"].into_iter().all(padded) && known.iter().any(|known| known.number == "12"))
    {
        return Some(Sensor::Sentinel2);
    }
    // Landsat's Collection 2: TM and ETM+ have no SR_B6, it is their thermal band.
    if has("sr", "6") || has("st", "10") {
        return Some(Sensor::LandsatOli);
    }
    (has("st", "6") || (has("sr", "5") && has("sr", "7"))).then_some(Sensor::LandsatTm)
}

/// A band's designation by its sensor: `B4`, `B04`, `SR_B4`, `Band 4`, `B8A`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Designation {
    /// `sr` of `SR_B4`; empty where nothing stands before.
    pub product: String,
    /// Without leading zeros, in lower case: `4`, `8a`.
    pub number: String,
    /// Written with a leading zero.
    pub padded: bool,
    /// A sensor that the text names itself, as in `OLI_B4`.
    pub sensor: Option<Sensor>,
}

impl Designation {
    /// Whether `wanted` names this band: `B4` for `B04` or `SR_B4`, `SR_B4` for this one alone.
    pub fn is_meant_by(&self, wanted: &Self) -> bool {
        self.number == wanted.number && (wanted.product.is_empty() || wanted.product == self.product)
    }
}

/// The designation in a band's description, an asset's key or a part of a file's name.
pub fn designation(text: &str) -> Option<Designation> {
    let words = words(text);
    let found = words.iter().enumerate().find_map(|(index, word)| {
        let rest = word.strip_prefix("band").or_else(|| word.strip_prefix('b'))?;
        let (rest, at) = match (rest, words.get(index + 1)) {
            ("", Some(next)) => (next.as_str(), index),
            _ => (rest, index),
        };
        Some((band_number(rest)?, rest.starts_with('0'), at))
    });
    let (number, padded, at) = found?;
    let product =
        words.get(..at).and_then(<[String]>::last).filter(|word| matches!(word.as_str(), "sr" | "st" | "toa" | "boa"));
    let sensor = Sensor::named_in(text);
    Some(Designation { product: product.cloned().unwrap_or_default(), number, padded, sensor })
}

/// `04` as `4`, `8A` as `8a`; nothing above 99.
fn band_number(text: &str) -> Option<String> {
    let digits = text.strip_suffix('a').unwrap_or(text);
    if digits.is_empty() || digits.len() > 2 || !digits.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let number: u8 = digits.parse().ok()?;
    (number > 0).then(|| format!("{number}{}", if digits.len() < text.len() { "a" } else { "" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sensors_and_designations_are_read() {
        let number = |text: &str| designation(text).map(|found| (found.product, found.number));
        let expected = |product: &str, number: &str| Some((product.to_owned(), number.to_owned()));
        for text in ["B4", "b04", "Band 4", "band_4", "Band4", "B_4", "B4, central wavelength 665 nm", "OLI_B4"] {
            assert_eq!(number(text), expected("", "4"), "{text}");
        }
        assert_eq!(number("SR_B4"), expected("sr", "4"));
        assert_eq!(number("B8A"), expected("", "8a"));
        assert_eq!(number("B08A"), expected("", "8a"));
        for text in ["blue", "BQA", "B", "band", "B0", "B400", "TCI", "bad 4", ""] {
            assert_eq!(number(text), None, "{text}");
        }
        let cases = [
            ("T32ULC_20220130T103241_B04_10m.jp2", Some(Sensor::Sentinel2)),
            ("S2A_MSIL2A_20220130T103241_N0400_R108_T32ULC_20220130T133201.SAFE", Some(Sensor::Sentinel2)),
            ("Sentinel-2B", Some(Sensor::Sentinel2)),
            ("sentinel-2", Some(Sensor::Sentinel2)),
            ("HLS.S30.T32ULC.2022030T103241.v2.0.B04.tif", Some(Sensor::Sentinel2)),
            ("HLS.L30.T32ULC.2022030T103241.v2.0.B04.tif", Some(Sensor::LandsatOli)),
            ("LC08_L2SP_224078_20200518_20200820_02_T1_SR_B4.TIF", Some(Sensor::LandsatOli)),
            ("LC82240782014245LGN00_B4.TIF", Some(Sensor::LandsatOli)),
            ("landsat-9", Some(Sensor::LandsatOli)),
            ("LANDSAT_8", Some(Sensor::LandsatOli)),
            ("LT05_L1TP_224078_20050518_B3.TIF", Some(Sensor::LandsatTm)),
            ("LE07_L2SP_x", Some(Sensor::LandsatTm)),
            ("LANDSAT_7", Some(Sensor::LandsatTm)),
            ("sur_refl_b04", Some(Sensor::Modis)),
            ("scene.tif", None),
            ("LM05_L1TP_B4.TIF", None),
            ("t123abc_b4.tif", None),
            ("houses2a.tif", None),
        ];
        for (text, sensor) in cases {
            assert_eq!(Sensor::named_in(text), sensor, "{text}");
        }
    }
}
