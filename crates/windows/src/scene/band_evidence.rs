//! Which part of the spectrum a band shows: by its description, its wavelength, a STAC item, its sensor's numbering of bands,
//! or its colour interpretation.

use std::fmt;

use super::description::described;
use super::sensor::{Designation, Sensor, designation, sensor_of};
use super::spectrum::Spectrum::{self, Blue, Green, Pan, Red};
use super::{BandInfo, ColourRole};

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
