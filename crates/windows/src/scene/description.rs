//! Parts of the spectrum and wavelengths in the descriptions of bands.

use super::spectrum::Spectrum::{
    self, Blue, Cirrus, Coastal, Green, Nir, Other, Pan, Red, RedEdge, Swir16, Swir22, Thermal, Yellow,
};

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
pub(super) fn words(text: &str) -> Vec<String> {
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
}
