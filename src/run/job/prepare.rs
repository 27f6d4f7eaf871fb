//! A specification to a prepared job: model and scenes found, the plan resolved, the outputs known to be writable. Whatever can
//! be refused is refused here, before any heavy work.

use std::path::Path;

use super::super::embed::Embedder;
use super::super::lookup::Lookup;
use super::super::partition::Share;
use super::super::prepared::{Options, PreparedJob};
use super::super::results::{self, Results};
use super::super::{engine, learnt, process};
use super::device;
use crate::error::{Context, Error, Result};
use crate::journal::{Fingerprint, Journal};
use crate::model::registry::Model;
use crate::outputs::{self, Existing};
use crate::pipeline::{self, Plan, Spec};
use crate::report::Reporter;
use crate::scene::{Recommended, SceneInfo};
use crate::{atomic, raster, vector};

/// What a job is prepared for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Output folders that do not exist are made.
    Run,
    /// Nothing is left behind.
    Check,
}

/// Prepares a job.
///
/// # Errors
/// All errors of the job file as one; a model, scene or output folder that cannot be used; outputs that exist and may not be
/// replaced.
pub fn prepare(
    spec: &Spec,
    trust: bool,
    purpose: Purpose,
    existing: Existing,
    reporter: &Reporter,
) -> Result<PreparedJob> {
    let mut lookup = Lookup::new(trust);
    let plan = pipeline::resolve(spec, &mut lookup)?;
    let model = lookup.into_model()?;
    learnt::check(&plan, &model)?;
    raster::can_write(plan.rasters.layout)?;
    check_memory(&plan)?;
    for (_, path) in plan.scenes.iter().flat_map(|scene| scene.outputs.named()) {
        check_folder(path, purpose)?;
    }
    validate_products(&plan)?;
    let device = device::resolve(plan.device, &model, reporter)?;
    plan.notes.iter().for_each(|note| reporter.note(note));
    let scenes = plan.scenes.iter();
    scenes.filter_map(|scene| far_from_training(&scene.info, &plan.recommended)).for_each(|note| reporter.note(&note));
    learnt::other_pixel_sizes(&plan).iter().for_each(|note| reporter.note(note));
    let mut job = PreparedJob::new(plan, model, device, spec.written());
    if let Some(plan) = &job.plan.embeddings {
        let Model::Bundle(bundle) = &job.model else {
            return Err(Error::input("the fake models have no image tower, and so no embeddings")
                .with_hint("Remove `embeddings`, or name a model with weights, such as mini."));
        };
        job.embedder = Some(Embedder::new(plan, bundle, device)?);
    }
    if let (Model::Fake(_), Some(_)) = (&job.model, job.plan.method.gaussian) {
        return Err(Error::input(
            "`method.decision: gaussian` needs a model with features, and the fake models have none",
        )
        .with_hint("Remove the key, or name a model with weights, such as mini."));
    }
    check_outputs(&job, existing)?;
    Ok(job)
}

/// A scene whose pixels are much smaller or larger than those that the model was trained on.
fn far_from_training(info: &SceneInfo, model: &Recommended) -> Option<String> {
    let pixel = learnt::pixel_size(info)?;
    let nearest = model.nearest_distance(pixel)?;
    let [least, largest] = model.ground_sample_distance?;
    Some(format!(
        "{} has pixels of {}; the model was trained on {least} to {largest} m. Try `resolution: {nearest}`.",
        info.path.display(),
        learnt::length(pixel)
    ))
}

/// Refuses what not even the narrowest columns of a scene could hold.
fn check_memory(plan: &Plan) -> Result<()> {
    let available = process::available();
    for scene in &plan.scenes {
        let (window, queries) = (plan.tiling.window, plan.queries());
        let needed = engine::least_memory(window, scene.info.size.width, queries, plan.classes.len());
        if needed > available {
            let gigabytes = |bytes: f64| format!("{:.1} GB", bytes / 1e9);
            return Err(Error::input(format!(
                "blending the windows of {} needs {} of memory, {} are available: windows are {window} pixels wide, with \
                 {queries} prompts",
                scene.name(),
                gigabytes(needed),
                gigabytes(available),
            ))
            .with_hint("Use fewer prompts, or smaller windows."));
        }
    }
    Ok(())
}

/// Checks that `path` can be written. Where its folder does not exist, a run makes it; a check tries the nearest folder above.
fn check_folder(path: &Path, purpose: Purpose) -> Result<()> {
    let folder = atomic::parent(path);
    if folder.is_dir() {
        return atomic::check_writable(path);
    }
    if let Some(file) = folder.ancestors().find(|above| above.is_file()) {
        return Err(Error::input(format!("cannot write {}: {} is a file", path.display(), file.display()))
            .with_hint("Name a folder that exists or can be made."));
    }
    if purpose == Purpose::Run {
        std::fs::create_dir_all(folder)
            .input(|| format!("cannot make the output folder {}", folder.display()))
            .map_err(|error| error.with_hint("Choose a folder in which you may write."))?;
        return atomic::check_writable(path);
    }
    match folder.ancestors().skip(1).find(|above| above.exists()) {
        Some(above) => atomic::check_writable(&above.join("segearth.probe")),
        None => atomic::check_writable(Path::new("segearth.probe")),
    }
}

/// Refuses vector products that could not be made of the labels in the end.
fn validate_products(plan: &Plan) -> Result<()> {
    let Some(product) = &plan.product else { return Ok(()) };
    for scene in &plan.scenes {
        let crs = scene.output_grid().1.and_then(|georeference| georeference.crs_wkt.as_deref());
        scene.outputs.polygons.as_deref().map_or(Ok(()), |path| vector::validate(crs, path, &product.options))?;
    }
    Ok(())
}

/// Refuses outputs of any scene that exist and may not be replaced, and unfinished results of another run.
fn check_outputs(job: &PreparedJob, existing: Existing) -> Result<()> {
    let plan = &job.plan;
    let mut products = Vec::new();
    let mut known = Vec::new();
    for scene in &plan.scenes {
        let planned = results::products(plan, scene, &Fingerprint::default())?;
        if !planned.iter().any(|(_, product)| product.exists()) {
            continue;
        }
        // Only outputs that exist have to be compared, for which the stretch is estimated.
        let run = job.scene(scene, Options::default(), Share::All)?;
        let fingerprint = match existing {
            Existing::Replace => run.provenance.fingerprint.clone(),
            _ => engine::whole_fingerprint(&run)?,
        };
        products.extend(results::products(plan, scene, &fingerprint)?);
        known.push((scene, fingerprint));
    }
    let begun = plan.scenes.iter().any(|scene| Journal::is_begun(&Journal::folder(&scene.outputs.labels)));
    let checked = outputs::check(products.iter().map(|(_, product)| product), existing, false);
    checked.map_err(|error| match begun && existing == Existing::Refuse {
        true => error.with_hint(
            "Move these files away, and the unfinished run of this job is resumed; --overwrite replaces them and restarts.",
        ),
        false => error,
    })?;
    known.iter().try_for_each(|(scene, fingerprint)| Results::check(plan, scene, fingerprint, existing).map(drop))?;
    // Shards and workers come to scenes that the others have begun: each is compared when its turn comes.
    if existing != Existing::Refuse {
        return Ok(());
    }
    // Of all scenes: a changed job must not compute some of them, and so be in the way of the job that was interrupted.
    for scene in &plan.scenes {
        let folder = Journal::folder(&scene.outputs.labels);
        if Journal::is_begun(&folder) {
            let run = job.scene(scene, Options::default(), Share::All)?;
            engine::check_unfinished(&run)?;
        }
    }
    Ok(())
}
