//! Which part of the spectrum a band shows: by its description, its wavelength, a STAC item, its sensor's numbering of bands,
//! or its colour interpretation.

use std::fmt;

use super::{BandInfo, ColourRole};

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
    fn excludes(self, micrometres: f64) -> bool {
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
    fn name(self) -> &'static str {
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

/// What is known of a band's part of the spectrum, beside its description and colour interpretation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spectral {
    /// The central wavelength in micrometres.
    pub wavelength: Option<f64>,
    /// The common name that a STAC item gives it.
    pub common_name: Option<String>,
    /// Other names of the band, by which a job may call it: those of the STAC item, of its asset, of its file.
    pub names: Vec<String>,
    /// The sensor, where the file's name or metadata, or the item says so.
    pub sensor: Option<Sensor>,
}

/// Sources of a band's part of the spectrum, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    Description,
    Catalogue,
    Wavelength,
    Designation(Sensor),
    Interpretation,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Description => f.write_str("its description"),
            Self::Catalogue => f.write_str("the STAC item"),
            Self::Wavelength => f.write_str("its wavelength"),
            Self::Designation(sensor) => write!(f, "the band numbers of {}", sensor.name()),
            Self::Interpretation => f.write_str("its colour interpretation"),
        }
    }
}

impl BandInfo {
    /// All evidence for the band's part of the spectrum, the strongest first. `sensor`: that of the scene's bands,
    /// where the band itself does not know its own.
    pub fn claims(&self, sensor: Option<Sensor>) -> Vec<(Evidence, Spectrum)> {
        let mut claims = Vec::new();
        let described = self.name.as_deref().map(described);
        claims.extend(described.and_then(|described| described.part).map(|part| (Evidence::Description, part)));
        let common = self.spectral.common_name.as_deref().and_then(|name| self::described(name).part);
        // An item may name a band by a colour and have no common name.
        let called = || self.spectral.names.iter().find_map(|name| self::described(name).part);
        claims.extend(common.or_else(called).map(|part| (Evidence::Catalogue, part)));
        claims.extend(self.wavelength().and_then(Spectrum::of_wavelength).map(|part| (Evidence::Wavelength, part)));
        let names = self.name.iter().chain(&self.spectral.names);
        claims.extend(names.filter_map(|name| designation(name)).find_map(|designation| {
            let sensor = designation.sensor.or(self.spectral.sensor).or(sensor)?;
            Some((Evidence::Designation(sensor), sensor.shows(&designation.number)?))
        }));
        let part = match self.role {
            ColourRole::Red => Some(Red),
            ColourRole::Green => Some(Green),
            ColourRole::Blue => Some(Blue),
            _ => None,
        };
        claims.extend(part.map(|part| (Evidence::Interpretation, part)));
        claims
    }

    /// The central wavelength in micrometres, from metadata or the description.
    pub fn wavelength(&self) -> Option<f64> {
        self.spectral.wavelength.or_else(|| described(self.name.as_deref()?).wavelength)
    }

    /// Whether two of the claims contradict each other. Limits between neighbouring parts differ between definitions.
    pub fn contradict(&self, a: (Evidence, Spectrum), b: (Evidence, Spectrum)) -> bool {
        match (a, b) {
            ((Evidence::Wavelength, _), (_, part)) | ((_, part), (Evidence::Wavelength, _)) => {
                part != Pan && self.wavelength().is_some_and(|wavelength| part.excludes(wavelength))
            }
            ((_, a), (_, b)) => a != b,
        }
    }
}

/// The sensor of a scene's bands: as its file says, else the one that alone has bands of these designations.
pub fn sensor(bands: &[BandInfo]) -> Option<Sensor> {
    if let Some(sensor) = bands.iter().find_map(|band| band.spectral.sensor) {
        return Some(sensor);
    }
    let names = bands.iter().flat_map(|band| band.name.iter().chain(&band.spectral.names));
    let known: Vec<Designation> = names.filter_map(|name| designation(name)).collect();
    sensor_of(known.iter())
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

/// The part of the spectrum in a description.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Described {
    pub part: Option<Spectrum>,
    /// Nothing but the name of the part: `green`, and not `green 2` or `green mean`.
    pub exact: bool,
    /// In micrometres.
    pub wavelength: Option<f64>,
}

/// Reads a description, a STAC name or common name, or a part of a file's name.
pub fn described(text: &str) -> Described {
    let words = words(text);
    let wavelength = wavelength_in(text, &words);
    let letter = match text.trim() {
        "R" | "r" => Some(Red),
        "G" | "g" => Some(Green),
        "B" | "b" => Some(Blue),
        "N" | "n" => Some(Nir),
        _ => None,
    };
    if letter.is_some() {
        return Described { part: letter, exact: true, wavelength };
    }
    let mut parts: Vec<Spectrum> = Vec::new();
    let mut rest = words.as_slice();
    while let Some((first, after)) = rest.split_first() {
        let word = first.trim_end_matches(|c: char| c.is_ascii_digit());
        rest = after;
        let red_next = after.first().is_some_and(|next| next == "red");
        if red_next && matches!(word, "infra" | "far") {
            rest = after.get(1..).unwrap_or_default();
            parts.push(if word == "infra" { Nir } else { RedEdge });
        } else if (word == "red" && after.first().is_some_and(|next| next.starts_with("edge"))) || word == "rededge" {
            rest = after.get(usize::from(word == "red")..).unwrap_or_default();
            parts.push(RedEdge);
        } else if let Some((_, part)) = WORDS.iter().find(|(known, _)| *known == word) {
            parts.push(match (*part, first.as_str()) {
                (Swir16, "swir2" | "swir22") => Swir22,
                (part, _) => part,
            });
        }
    }
    // "near infrared" is one thing, "coastal blue" is coastal, "nir mask" is a mask, "red / blue" a ratio.
    let is_formula = text.contains(['/', '*', '+', '=', '<', '>']) && parts.len() > 1;
    let strongest = [Other, Coastal, Thermal, Swir22, Swir16, RedEdge, Nir];
    let part = match parts.as_slice() {
        [] => None,
        _ if is_formula => Some(Other),
        [only] => Some(*only),
        [first, others @ ..] if others.iter().all(|other| other == first) => Some(*first),
        several => Some(strongest.into_iter().find(|part| several.contains(part)).unwrap_or(Other)),
    };
    Described { part, exact: words.len() == 1 && parts.len() == 1 && part != Some(Other), wavelength }
}

/// Words of descriptions, in lower case and without a number at their end. Colours also as the agencies of their countries
/// write them (IGN, BKG, IGN España, INPE, AGEA).
const WORDS: &[(&str, Spectrum)] = &[
    ("coastal", Coastal),
    ("aerosol", Coastal),
    ("violet", Coastal),
    ("blue", Blue),
    ("bleu", Blue),
    ("blau", Blue),
    ("azul", Blue),
    ("blu", Blue),
    ("green", Green),
    ("vert", Green),
    ("grün", Green),
    ("gruen", Green),
    ("verde", Green),
    ("yellow", Yellow),
    ("red", Red),
    ("rouge", Red),
    ("rot", Red),
    ("rojo", Red),
    ("vermelho", Red),
    ("rosso", Red),
    ("nir", Nir),
    ("infrared", Nir),
    ("ir", Nir),
    ("infrarouge", Nir),
    ("infrarot", Nir),
    ("pir", Nir),
    ("cirrus", Cirrus),
    ("swir", Swir16),
    ("mir", Swir16),
    ("shortwave", Swir16),
    ("short", Swir16),
    ("thermal", Thermal),
    ("tir", Thermal),
    ("lwir", Thermal),
    ("temperature", Thermal),
    ("pan", Pan),
    ("panchromatic", Pan),
    ("panchro", Pan),
    ("mask", Other),
    ("alpha", Other),
    ("qa", Other),
    ("quality", Other),
    ("cloud", Other),
    ("clouds", Other),
    ("shadow", Other),
    ("snow", Other),
    ("water", Other),
    ("index", Other),
    ("ratio", Other),
    ("ndvi", Other),
    ("ndwi", Other),
    ("scl", Other),
    ("classification", Other),
    ("elevation", Other),
    ("height", Other),
    ("angle", Other),
    ("std", Other),
    ("stddev", Other),
    ("variance", Other),
    ("uncertainty", Other),
    ("error", Other),
    ("count", Other),
    ("difference", Other),
];

/// Words in lower case: parted by whatever is no letter or digit, and where a capital follows a small letter (`RedEdge`).
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut before = ' ';
    for c in text.chars() {
        if !c.is_alphanumeric() || (before.is_lowercase() && c.is_uppercase()) {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// A wavelength written in a description, in micrometres: `665 nm`, `0.64-0.67 um`, `band 19 (0.513000 Micrometers)`; beside a
/// colour also a bare number of nanometres, as in `Red-650`.
fn wavelength_in(text: &str, words: &[String]) -> Option<f64> {
    let lower = text.to_lowercase();
    let mut numbers: Vec<(f64, &str, &str)> = Vec::new();
    let mut rest = lower.as_str();
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let before = rest.get(..start).unwrap_or_default();
        let from = rest.get(start..).unwrap_or_default();
        let end = from.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(from.len());
        let (number, after) = from.split_at(end);
        if let Ok(number) = number.trim_end_matches('.').parse::<f64>() {
            numbers.push((number, before, after));
        }
        rest = after;
    }
    for (index, (number, before, after)) in numbers.iter().enumerate() {
        let unit: String = after.trim_start().chars().take_while(|c| c.is_alphabetic()).collect();
        let Some(factor) = micrometres(&unit) else { continue };
        let first = index.checked_sub(1).and_then(|index| numbers.get(index));
        let range = matches!(before.trim(), "-" | "–" | "to");
        let centre = first.filter(|_| range).map_or(*number, |(first, ..)| f64::midpoint(*first, *number));
        return Some(centre * factor);
    }
    let coloured = words.iter().any(|word| {
        let word = word.trim_end_matches(|c: char| c.is_ascii_digit());
        WORDS.iter().any(|(known, part)| *known == word && *part != Other) || word == "edge" || word == "rededge"
    });
    match numbers.as_slice() {
        [(number, ..)] if coloured && (380.0..=1100.0).contains(number) => Some(number / 1000.0),
        _ => None,
    }
}

/// Micrometres in a unit of length as files and catalogues write it; `None` for other units.
pub fn micrometres(unit: &str) -> Option<f64> {
    match unit.trim().to_lowercase().as_str() {
        "nm" | "nanometer" | "nanometers" | "nanometre" | "nanometres" => Some(1e-3),
        "um" | "µm" | "μm" | "micron" | "microns" | "micrometer" | "micrometers" | "micrometre" | "micrometres" => {
            Some(1.0)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_give_the_part_of_the_spectrum() {
        let cases: &[(&str, Option<Spectrum>)] = &[
            ("blue", Some(Blue)),
            ("Red", Some(Red)),
            ("GREEN", Some(Green)),
            ("R", Some(Red)),
            ("g", Some(Green)),
            ("B", Some(Blue)),
            ("N", Some(Nir)),
            ("nir", Some(Nir)),
            ("NIR1", Some(Nir)),
            ("nir08", Some(Nir)),
            ("Near Infrared", Some(Nir)),
            ("NearInfrared", Some(Nir)),
            ("near-infrared", Some(Nir)),
            ("Near Infra-Red", Some(Nir)),
            ("Thermal IR", Some(Thermal)),
            ("Short-wave infrared 1", Some(Swir16)),
            ("Red Edge", Some(RedEdge)),
            ("RedEdge", Some(RedEdge)),
            ("red_edge_1", Some(RedEdge)),
            ("rededge071", Some(RedEdge)),
            ("Red edge-705", Some(RedEdge)),
            ("coastal_blue", Some(Coastal)),
            ("Coastal aerosol", Some(Coastal)),
            ("green_i", Some(Green)),
            ("Band 4 - Red", Some(Red)),
            ("Red (0.64-0.67 um)", Some(Red)),
            ("B4 (red)", Some(Red)),
            ("rouge", Some(Red)),
            ("Grün", Some(Green)),
            ("azul", Some(Blue)),
            ("Blue-475", Some(Blue)),
            ("swir16", Some(Swir16)),
            ("swir22", Some(Swir22)),
            ("SWIR 1", Some(Swir16)),
            ("lwir11", Some(Thermal)),
            ("pan", Some(Pan)),
            ("red/blue", Some(Other)),
            ("nir - red", Some(Nir)),
            ("cloud mask", Some(Other)),
            ("red mask", Some(Other)),
            ("NDVI", Some(Other)),
            ("B4", None),
            ("Band 4", None),
            ("Layer_1", None),
            ("infrastructure", None),
            ("hundred", None),
            ("Albedo", None),
            ("", None),
        ];
        for (text, part) in cases {
            assert_eq!(described(text).part, *part, "{text}");
        }
        assert!(described("green").exact && !described("green_i").exact && !described("2019 green").exact);
    }

    #[test]
    fn wavelengths_are_read_from_descriptions() {
        let cases = [
            ("665 nm", Some(0.665)),
            ("B4, central wavelength 665 nm", Some(0.665)),
            ("band 19 (0.513000 Micrometers)", Some(0.513)),
            ("485.0 Nanometers", Some(0.485)),
            ("Red (0.64-0.67 um)", Some(0.655)),
            ("0.45 to 0.52 µm", Some(0.485)),
            ("Red-650", Some(0.65)),
            ("red 2019", None),
            ("Band 4", None),
            ("10 m", None),
        ];
        for (text, expected) in cases {
            let found = described(text).wavelength;
            assert!(
                match (found, expected) {
                    (Some(found), Some(expected)) => (found - expected).abs() < 1e-9,
                    (found, expected) => found == expected,
                },
                "{text}: {found:?}"
            );
        }
        // Central wavelengths in micrometres as the sensors' handbooks give them.
        let sensors = [
            ("Sentinel-2", 0.443, 0.490, 0.560, 0.665, 0.705, 0.842),
            ("Landsat 8", 0.443, 0.482, 0.561, 0.655, 0.705, 0.865),
            ("WorldView-2", 0.427, 0.478, 0.546, 0.659, 0.724, 0.833),
            ("PlanetScope", 0.443, 0.490, 0.565, 0.665, 0.705, 0.865),
            ("MicaSense", 0.444, 0.475, 0.560, 0.668, 0.717, 0.842),
        ];
        for (sensor, coastal, blue, green, red, edge, nir) in sensors {
            let found = [coastal, blue, green, red, edge, nir].map(Spectrum::of_wavelength);
            assert_eq!(found, [Coastal, Blue, Green, Red, RedEdge, Nir].map(Some), "{sensor}");
        }
        assert_eq!(Spectrum::of_wavelength(f64::NAN), None);
    }

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
