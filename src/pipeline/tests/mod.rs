//! Whole jobs, from text to plan.

mod bands;
mod errors;
mod hostile;
mod plans;
mod products;
mod shipped;

use std::path::{Path, PathBuf};

use super::errors::JobErrors;
use super::load::{Override, parse};
use super::plan::{ModelFacts, Plan};
use super::requests::{Requests, requests};
use super::resolve::resolve_scenes;
use crate::error::{Error, Result};
use crate::geom::{GeoTransform, Size};
use crate::scene::{Access, BandInfo, ColourRole, Georeference, Recommended, SceneInfo};

pub(super) const FACTS: ModelFacts = ModelFacts { window: 224, patch: 16, recommended: Recommended::NONE };

/// A scene in memory: no test of these rules needs a file.
pub(super) fn scene(path: &str, bands: &[(ColourRole, &str)]) -> SceneInfo {
    let band = |(role, pixel_type): &(ColourRole, &str)| BandInfo {
        name: None,
        role: *role,
        pixel_type: (*pixel_type).to_owned(),
        nodata: None,
        spectral: crate::scene::Spectral::default(),
        scaling: None,
    };
    SceneInfo {
        path: PathBuf::from(path),
        size: Size::new(1000, 500),
        bands: bands.iter().map(band).collect(),
        georeference: Some(Georeference {
            transform: GeoTransform { coefficients: [0.0, 0.2, 0.0, 0.0, 0.0, -0.2] },
            crs_wkt: Some("PROJCS[…]".into()),
            crs_name: Some("EPSG:25832".into()),
            geographic: false,
            metres_per_unit: 1.0,
            pixel_is_point: false,
        }),
        access: Access::default(),
    }
}

pub(super) fn rgb(path: &str) -> SceneInfo {
    use ColourRole::{Blue, Green, Red};
    scene(path, &[(Red, "Byte"), (Green, "Byte"), (Blue, "Byte")])
}

/// Resolves a job text as if it stood in `job.yaml`.
pub(super) fn plan(job: &str, sets: &[&str], scenes: Vec<SceneInfo>) -> Result<Plan> {
    let overrides: Vec<Override> = sets.iter().map(|set| Override::set(set)).collect();
    resolve_scenes(&parse(Path::new("job.yaml"), job.to_owned(), &overrides)?, &FACTS, scenes)
}

/// What a job asks for, where no file is a result.
pub(super) fn inputs(spec: &crate::pipeline::Spec) -> Result<Requests> {
    let mut errors = JobErrors::new(spec);
    let requests = requests(spec, &|_| false, &mut errors);
    errors.finish()?;
    Ok(requests)
}

pub(super) fn shown(error: &Error) -> String {
    let mut text = format!("error: {error}");
    for cause in error.causes() {
        text += &format!("\n  cause: {cause}");
    }
    if let Some(hint) = error.hint() {
        text += &format!("\n\nhint: {hint}");
    }
    text
}
