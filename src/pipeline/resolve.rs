//! A [`Spec`] to a [`Plan`]: settings, requests, what they name looked up once, and the rules between all of them.

use super::bands::{self, BandNotes};
use super::errors::JobErrors;
use super::lookup::Lookup;
use super::plan::{Method, ModelChoice, ModelFacts, Plan, ScenePlan, Tiling};
use super::requests::{self, Requests};
use super::settings::{self, Settings, settings};
use super::spec::{GridForm, OneOrMany, ResolutionForm, Spec};
use super::tiling::tiling;
use super::{embeddings, further_bands, index, masks, outputs, products, scene_rules};
use crate::error::{Error, Result};
use crate::geom::MAX_WINDOW;
use crate::learn::Learnt;
use crate::scene::{Pooling, Recommended, SceneInfo, SceneRequest};

/// Resolves a job.
///
/// # Errors
/// All errors of the job as one error of the user's input, each with its span; a missing model together with them. Or a
/// scene that cannot be read.
pub fn resolve(spec: &Spec, lookup: &mut dyn Lookup) -> Result<Plan> {
    let mut errors = JobErrors::new(spec);
    let mut settings = settings(spec, &mut errors);
    let Requests { scenes: requests, mut notes } =
        requests::requests(spec, &|file| lookup.is_result(file), &mut errors);
    let model = match (settings::has_valid_model(spec), errors.count()) {
        (false, _) => Ok(ANY_MODEL),
        (true, 0) => lookup.find_model(&settings.model).and_then(|()| lookup.open_model(&settings.model)),
        (true, _) => lookup.find_model(&settings.model).map(|()| ANY_MODEL),
    };
    let facts = match model {
        Ok(facts) => facts,
        Err(error) => return Err(with_model_error(spec, error, settings, &requests, lookup, errors)),
    };
    errors.check()?;
    let scenes = requests.iter().map(|request| lookup.scenes(request)).collect::<Result<Vec<_>>>()?.concat();
    notes.append(&mut settings.notes);
    settings.notes = notes;
    let plan = plan(spec, settings, &facts, scenes, &mut errors);
    errors.finish()?;
    Ok(plan)
}

/// As [`resolve`], for scenes that are known already.
#[cfg(test)]
pub fn resolve_scenes(spec: &Spec, model: &ModelFacts, scenes: Vec<SceneInfo>) -> Result<Plan> {
    let mut errors = JobErrors::new(spec);
    let settings = settings(spec, &mut errors);
    let plan = plan(spec, settings, model, scenes, &mut errors);
    errors.finish()?;
    Ok(plan)
}

/// Where nothing is known of the model, every window and stride that some model has is allowed.
const ANY_MODEL: ModelFacts = ModelFacts { window: MAX_WINDOW, patch: 1, recommended: Recommended::NONE };

/// The error of a model that cannot be used: alone, or together with all other errors of the job.
fn with_model_error(
    spec: &Spec,
    error: Error,
    settings: Settings,
    requests: &[SceneRequest],
    lookup: &dyn Lookup,
    mut errors: JobErrors<'_>,
) -> Error {
    let flat = |error: &Error| std::iter::once(error.to_string()).chain(error.causes()).collect::<Vec<_>>().join(": ");
    // A file that does not exist has its error already.
    let all_exist = errors.count() == 0;
    errors.add("model", flat(&error)).hint = error.hint().map(str::to_owned);
    let mut scenes = Vec::new();
    for request in requests {
        match lookup.scenes(request) {
            Ok(found) => scenes.extend(found),
            Err(error) if all_exist => errors.add("scene", flat(&error)).hint = error.hint().map(str::to_owned),
            Err(_) => {}
        }
    }
    plan(spec, settings, &ANY_MODEL, scenes, &mut errors);
    match errors.count() {
        1 => error,
        _ => errors.finish().err().unwrap_or(error),
    }
}

/// The plan; it is one only if no error was found.
fn plan(
    spec: &Spec,
    settings: Settings,
    model: &ModelFacts,
    scenes: Vec<SceneInfo>,
    errors: &mut JobErrors<'_>,
) -> Plan {
    let Settings { model: choice, classes, learnt, background, method, device, stretch, blend, mut notes } = settings;
    let method = recommended(spec, method, model, background, learnt.is_some());
    notes.extend(background.and_then(|background| threshold_note(spec, &method, &classes.get(background)?.name)));
    let tiling = tiling(spec, model, blend, learnt.as_deref(), errors);
    notes.extend(learnt.iter().filter_map(|learnt| other_windows(learnt, &tiling)));
    let outputs = outputs::outputs(spec, &scenes, &mut notes, errors);
    let rasters = outputs::rasters(spec, errors);
    let product = products::product(spec, &classes, background, errors);
    let mut plans = Vec::with_capacity(scenes.len());
    // Patterns and item collections make more scenes than the job names.
    let named = matches!(&spec.scene, Some(OneOrMany::Many(names)) if names.len() == scenes.len());
    // The logits of a resized image are brought back to its own size unless the job asks for the model's.
    let of_image = matches!(spec.resolution, Some(ResolutionForm::Long(_)));
    let on_native_grid = spec.grid == Some(GridForm::Scene) || of_image && spec.grid.is_none();
    if spec.grid.is_some() && spec.resolution.is_none() {
        notes.push("`grid` has no effect without `resolution`: the model sees the scene's own pixels.".to_owned());
    }
    let embeddings = embeddings::embeddings(spec, errors);
    let mask = masks::request(spec, errors);
    let mut band_notes = BandNotes::default();
    for (index, (mut info, outputs)) in scenes.into_iter().zip(outputs).enumerate() {
        info.access.mask = mask;
        let key = if named { format!("scene[{index}]") } else { "scene".to_owned() };
        let bands = bands::bands(spec, &key, &info, errors, &mut band_notes);
        let stretch = stretch.clone().unwrap_or_else(|| scene_rules::default_stretch(&info, bands));
        masks::refuse(&info, bands, errors);
        notes.append(&mut info.access.notes);
        notes.extend(scene_rules::notes(&info, bands, &stretch));
        notes.extend(masks::notes(&info, bands));
        let index_bands = index::scene_bands(&classes, spec.bands.is_some().then_some(bands), &info, errors);
        let further_bands = further_bands::of_learnt(spec, learnt.as_deref(), &info, errors);
        plans.push(ScenePlan { info, bands, stretch, on_native_grid, index_bands, further_bands, outputs });
    }
    notes.extend(band_notes.into_notes());
    let joined = plans.iter().filter_map(|plan| Some((plan.name(), plan.joined_bands()?)));
    notes.extend(joined.map(|(name, text)| format!("{name}: scale and offset of its bands differ: {text}.")));
    let mut views: Vec<_> = plans.iter_mut().map(|plan| (&plan.info, plan.bands, &mut plan.stretch)).collect();
    notes.extend(scene_rules::compare_values(&mut views));
    if let ModelChoice::Named(name) = &choice
        && ModelChoice::is_name(name)
        && spec.input_path("model", name).is_dir()
    {
        notes.push(format!("`{name}` is used as the name of a model; write `./{name}` for the folder."));
    }
    Plan {
        model: choice,
        device,
        embeddings,
        scenes: plans,
        classes,
        learnt,
        background,
        method,
        tiling,
        rasters,
        product,
        recommended: model.recommended,
        notes,
    }
}

/// The method with the model's recommendations where the job gives no value. A recommended threshold needs a background class, and
/// like the logit scale it is for words: learnt classes have their own.
fn recommended(spec: &Spec, method: Method, model: &ModelFacts, background: Option<usize>, learnt: bool) -> Method {
    let Recommended { threshold, debias, logit_scale, pooling, .. } = model.recommended;
    // The joint decision has scores of another kind, and no debiasing.
    let joint = method.gaussian.is_some();
    let (threshold, debias) = if joint { (None, None) } else { (threshold, debias) };
    let silent = |given: Option<f64>, recommended: Option<f64>| recommended.filter(|_| given.is_none());
    let threshold = silent(spec.method.threshold, threshold).filter(|_| background.is_some() && !learnt);
    let logit_scale = silent(spec.method.logit_scale, logit_scale).filter(|_| !learnt);
    Method {
        threshold: threshold.map_or(method.threshold, |it| it as f32),
        debias: silent(spec.method.debias, debias).map_or(method.debias, |it| it as f32),
        logit_scale: logit_scale.map_or(method.logit_scale, |it| it as f32),
        // A sum where the job is silent is that of learnt classes, which were fitted so.
        pooling: pooling
            .filter(|_| spec.method.pooling.is_none() && method.pooling == Pooling::Largest && !joint)
            .unwrap_or(method.pooling),
        ..method
    }
}

/// A note on a threshold that the job does not name: naming a class `background` switches it on.
fn threshold_note(spec: &Spec, method: &Method, background: &str) -> Option<String> {
    (spec.method.threshold.is_none() && method.threshold > 0.0).then(|| {
        format!(
            "Pixels whose best score is below {} become `{background}`, as the model recommends; with `method.threshold: 0` \
             (`--threshold 0`) each pixel gets its best class.",
            method.threshold
        )
    })
}

/// A note on windows other than those that classes were learnt with: features differ a little with them.
fn other_windows(learnt: &Learnt, tiling: &Tiling) -> Option<String> {
    let settings = &learnt.header.settings;
    let (known, now) = ([settings.window, settings.stride], [tiling.window, tiling.stride]);
    (known != now).then(|| {
        format!(
            "The classes were learnt with windows of {} pixels, {} apart; this job's are {} pixels, {} apart: scores may differ.",
            known[0], known[1], now[0], now[1]
        )
    })
}
