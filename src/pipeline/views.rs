//! Jobs without classes: scenes that are only to be looked at, or embedded.

use super::bands::{self, BandNotes};
use super::errors::JobErrors;
use super::lookup::Lookup;
use super::plan::{DeviceChoice, ModelFacts, Tiling};
use super::requests::{self, Requests};
use super::spec::Spec;
use super::tiling::tiling;
use super::{masks, scene_rules, settings, stretch};
use crate::error::Result;
use crate::geom::Blend;
use crate::scene::{SceneInfo, StretchPlan};

/// A scene that is only to be looked at, the bands taken as red, green and blue, and its stretch.
pub type View = (SceneInfo, [usize; 3], StretchPlan);

/// How the scenes of a job are seen that has no classes; and notes on them. The model is opened first.
///
/// # Errors
/// As [`resolve`](super::resolve::resolve)'s, for model, scenes, bands and stretch.
pub fn views(spec: &Spec, lookup: &mut dyn Lookup) -> Result<(Vec<View>, Vec<String>)> {
    let mut errors = JobErrors::new(spec);
    let (views, notes, _) = views_of(spec, lookup, &mut errors)?;
    errors.finish()?;
    Ok((views, notes))
}

/// As [`views`], with what is known of the model; errors that are found last are left to the caller.
fn views_of(
    spec: &Spec,
    lookup: &mut dyn Lookup,
    errors: &mut JobErrors<'_>,
) -> Result<(Vec<View>, Vec<String>, ModelFacts)> {
    let model = settings::model(spec, errors);
    let Requests { scenes: requests, mut notes } = requests::requests(spec, &|file| lookup.is_result(file), errors);
    let given = stretch::stretch(spec, errors);
    let mask = masks::request(spec, errors);
    errors.check()?;
    let facts = lookup.open_model(&model)?;
    let scenes = requests.iter().map(|request| lookup.scenes(request)).collect::<Result<Vec<_>>>()?.concat();
    let mut views = Vec::with_capacity(scenes.len());
    let mut band_notes = BandNotes::default();
    for mut info in scenes {
        info.access.mask = mask;
        let bands = bands::bands(spec, "scene", &info, errors, &mut band_notes);
        notes.append(&mut info.access.notes);
        let stretch = given.clone().unwrap_or_else(|| scene_rules::default_stretch(&info, bands));
        views.push((info, bands, stretch));
    }
    notes.extend(band_notes.into_notes());
    let mut compared: Vec<_> = views.iter_mut().map(|(info, bands, stretch)| (&*info, *bands, stretch)).collect();
    notes.extend(scene_rules::compare_values(&mut compared));
    Ok((views, notes, facts))
}

/// Scenes that are only to be embedded.
pub struct EmbeddedScenes {
    pub views: Vec<View>,
    pub tiling: Tiling,
    pub device: DeviceChoice,
    pub notes: Vec<String>,
}

/// Resolves a job without classes and outputs. The model is opened first.
///
/// # Errors
/// As [`resolve`](super::resolve::resolve)'s, for model, scenes, bands, stretch and windows.
pub fn embedded_scenes(spec: &Spec, lookup: &mut dyn Lookup) -> Result<EmbeddedScenes> {
    let mut errors = JobErrors::new(spec);
    let device = settings::device(spec, &mut errors);
    let (views, notes, model) = views_of(spec, lookup, &mut errors)?;
    let tiling = tiling(spec, &model, Blend::default(), None, &mut errors);
    errors.finish()?;
    Ok(EmbeddedScenes { views, tiling, device, notes })
}
