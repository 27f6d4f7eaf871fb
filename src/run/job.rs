//! A job: everything resolved and refused first, then scene by scene.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Instant;

use super::engine::{self, Areas, Counts, Engine, Finished, Options, Outcome, Share, Watch};
use super::partition::partition;
use super::prompts::{self, Prompts};
use super::report_outputs::ReportOutputs;
use super::results::{self, Results, VECTORS};
use super::run_metrics::RunMetrics;
use super::stop::Stop;
use super::{process, provenance};
use crate::cli::Shard;
use crate::error::{Context, Error, Kind, Result};
use crate::journal::{Fingerprint, Journal};
use crate::model::bundle::{Bundle, Trust};
use crate::model::fake::Fake;
use crate::model::queries::{self, QueryCache, Wording};
use crate::model::registry::Model;
use crate::model::torch::{Device, TorchTextEncoder, cuda_devices};
use crate::model::tta::D4;
use crate::model::{self, Normalisation, Queries, Segmenter, Shortcuts};
use crate::outputs::{self, Existing};
use crate::pipeline::{self, DeviceChoice, Method, ModelChoice, ModelFacts, Plan, ScenePlan, Spec};
use crate::report::{ClassShare, Output, Reporter, Summary, Work};
use crate::scene::{ClassInfo, Classifier, LabelType, ProductOptions, ScoreType};
use crate::{atomic, raster, vector};

/// Scenes whose pixels `check` looks at: each takes some hundredths of a second.
const MOST_SURVEYED: usize = 200;

/// Resolves a job and says what it comes to; computes nothing.
pub fn check(spec: &Spec, trust: bool, existing: Existing, reporter: &Reporter) -> Result<()> {
    let prepared = prepare(spec, trust, Folders::CheckOnly, existing, reporter)?;
    let scenes = &prepared.plan.scenes;
    for scene in scenes.iter().take(MOST_SURVEYED) {
        match raster::survey(&scene.info, scene.bands) {
            Ok(survey) => {
                survey.notes.iter().for_each(|note| reporter.note(note));
                if survey.empty {
                    reporter.note(&without_data(scene, "none of the pixels that were looked at holds data"));
                }
            }
            // A run may be allowed to leave out what cannot be read.
            Err(error) => reporter.note(&format!("{error}: {}.", error.causes().join(": "))),
        }
    }
    if scenes.len() > MOST_SURVEYED {
        reporter.note(&format!("the pixels of {MOST_SURVEYED} of {} scenes were looked at.", scenes.len()));
    }
    if let Model::Bundle(bundle) = &prepared.model {
        let Prompts { tokenizer, templates, .. } = Prompts::of(&prepared.plan, bundle)?;
        prompts::notes(&prepared.plan, &tokenizer, &templates)?.iter().for_each(|note| reporter.note(note));
    }
    reporter.plan(&prepared.plan);
    Ok(())
}

/// Resolves a job and runs it.
///
/// # Errors
/// [`Kind::FailedWindows`](crate::error::Kind::FailedWindows) where everything is complete but for windows that the user allowed to fail.
pub fn run(
    spec: &Spec,
    trust: bool,
    options: Options,
    shard: Option<Shard>,
    metrics: &RunMetrics,
    reporter: &Reporter,
) -> Result<()> {
    if options.memory.is_some() {
        model::memory::use_single_arena();
    }
    let prepared = prepare(spec, trust, Folders::Make, options.existing(shard.is_some()), reporter)?;
    let mut segmenter = segmenter(&prepared.plan, &prepared.model, prepared.device, reporter)?;
    run_prepared(&prepared, segmenter.as_mut(), options, shard, Watch { stop: &Stop::listen()?, metrics, reporter })
}

/// Runs a prepared job, or its part of one, with a model that is loaded.
pub(super) fn run_prepared(
    prepared: &Prepared,
    segmenter: &mut dyn Segmenter,
    options: Options,
    shard: Option<Shard>,
    watch: Watch<'_>,
) -> Result<()> {
    let Watch { stop, metrics, reporter } = watch;
    let plan = &prepared.plan;
    let shares = match shard {
        None => vec![Some(Share::All); plan.scenes.len()],
        Some(Shard { index, count }) => partition(&prepared.costs(), index, count),
    };
    let shares = plan.scenes.iter().zip(shares);
    let mine: Vec<(&ScenePlan, Share)> = shares.filter_map(|(scene, share)| Some((scene, share?))).collect();
    metrics.scenes.add(mine.len());
    metrics.windows.add(mine.iter().map(|(scene, _)| plan.grid(scene).len()).sum());
    let mut failed = 0;
    for (scene, share) in mine {
        let engine = prepared.engine(scene, options, share)?;
        engine.notes.iter().for_each(|note| reporter.note(note));
        let started = Instant::now();
        let outcome = stop.orderly(|| engine::run(&engine, segmenter, watch))?;
        failed += finish(&engine, outcome, (started, By::Run), prepared, metrics, reporter)?;
        model::memory::trim_heap();
    }
    check_failed_windows(failed)
}

/// Makes the outputs of a job whose rows have been computed in shards.
///
/// # Errors
/// Rows are missing, or as [`run`].
pub fn merge(spec: &Spec, trust: bool, options: Options, metrics: &RunMetrics, reporter: &Reporter) -> Result<()> {
    let prepared = prepare(spec, trust, Folders::Make, options.existing(false), reporter)?;
    merge_prepared(&prepared, options, None, metrics, reporter)
}

/// Workers that this process has started and that have ended.
pub(super) struct Started {
    pub workers: usize,
    pub at: Instant,
    /// The scenes that were finished before: all others were finished by a worker, or are to be joined.
    pub finished_before: Vec<bool>,
}

/// Joins what shards have computed, or the workers of this process.
pub(super) fn merge_prepared(
    prepared: &Prepared,
    options: Options,
    started: Option<&Started>,
    metrics: &RunMetrics,
    reporter: &Reporter,
) -> Result<()> {
    metrics.scenes.add(prepared.plan.scenes.len());
    let mut failed = 0;
    for (index, scene) in prepared.plan.scenes.iter().enumerate() {
        let engine = prepared.engine(scene, options, Share::All)?;
        let now = Instant::now();
        let outcome = engine::merge(&engine, metrics)?;
        let by = match started {
            None => (now, By::Shards),
            Some(Started { workers, at, finished_before }) => {
                let earlier = finished_before.get(index).copied().unwrap_or(false);
                if matches!(outcome, Outcome::Earlier(_)) && !earlier {
                    // Its worker has told of it.
                    metrics.scenes_finished.add(1);
                    continue;
                }
                (*at, By::Workers(*workers))
            }
        };
        failed += finish(&engine, outcome, by, prepared, metrics, reporter)?;
    }
    check_failed_windows(failed)
}

/// Whether every scene of a job has been finished, by whichever run. The job is looked at as `check` does.
pub fn is_finished(spec: &Spec, trust: bool, reporter: &Reporter) -> Result<bool> {
    Ok(prepare(spec, trust, Folders::CheckOnly, Existing::RefuseShared, reporter)?
        .finished()?
        .into_iter()
        .all(|finished| finished))
}

/// Who has computed what is being finished.
#[derive(Clone, Copy)]
enum By {
    Run,
    Shards,
    Workers(usize),
}

fn check_failed_windows(failed: usize) -> Result<()> {
    if failed == 0 {
        return Ok(());
    }
    let windows = if failed == 1 { "a window".to_owned() } else { format!("{failed} windows") };
    Err(Error::new(Kind::FailedWindows, format!("the results are incomplete: {windows} could not be computed")).with_hint(
        "Pixels that no other window reaches are nodata there. Repair the input raster and run again with --overwrite.",
    ))
}

/// A job of which everything is known that can be known before the work.
pub(super) struct Prepared {
    pub plan: Plan,
    pub model: Model,
    pub device: Device,
    /// As it was given, for people to read.
    pub job: String,
    /// See [`Engine::with_model`].
    with_model: OnceLock<f64>,
}

impl Prepared {
    /// What the scenes cost: their windows. Which of these hold data is looked at only where a scene is cut.
    fn costs(&self) -> Vec<f64> {
        self.plan.scenes.iter().map(|scene| self.plan.grid(scene).len() as f64).collect()
    }

    /// Which scenes an earlier run has finished.
    pub fn finished(&self) -> Result<Vec<bool>> {
        let engine = |scene| self.engine(scene, Options::default(), Share::All);
        self.plan.scenes.iter().map(|scene| engine::is_done(&engine(scene)?)).collect()
    }

    fn engine<'a>(&'a self, scene: &'a ScenePlan, options: Options, share: Share) -> Result<Engine<'a>> {
        let Self { plan, model, device, with_model, .. } = self;
        let (fingerprint, notes) = provenance::fingerprint(plan, scene, model, *device)?;
        Ok(Engine {
            plan,
            scene,
            options,
            with_model,
            share,
            normalisation: match model {
                Model::Bundle(bundle) => bundle.normalisation(),
                // A fake model sees the pixels as they are.
                Model::Fake(_) => Normalisation { mean: [0.0; 3], std: [1.0; 3] },
            },
            patch: model.patch(),
            classifier: classifier(plan),
            classes: classes(plan),
            tags: provenance::tags(plan, model),
            fingerprint,
            notes,
        })
    }
}

pub(super) fn prepare(
    spec: &Spec,
    trust: bool,
    folders: Folders,
    existing: Existing,
    reporter: &Reporter,
) -> Result<Prepared> {
    let beside = |error| pipeline::with_other_faults(spec, error, &raster::is_result, raster::find);
    pipeline::model_choice(spec).map_or(Ok(()), |choice| model_is_there(&choice)).map_err(beside)?;
    let inputs = pipeline::inputs(spec, &raster::is_result)?;
    let trust = if trust { Trust::User } else { Trust::Hashes };
    let model = match &inputs.model {
        ModelChoice::Named(name) => Model::named(name, trust),
        ModelChoice::Bundle(folder) => Model::in_folder(folder, trust),
    };
    let model = model.map_err(beside)?;
    let scenes = inputs.scenes.iter().map(raster::find).collect::<Result<Vec<_>>>()?.concat();
    let facts = ModelFacts { window: model.window(), patch: model.patch() };
    let plan = pipeline::resolve(spec, &facts, scenes)?;
    raster::can_write(plan.rasters.layout)?;
    memory_suffices(&plan)?;
    for (_, path) in plan.scenes.iter().flat_map(|scene| scene.outputs.named()) {
        folders.ready(path)?;
    }
    validate_products(&plan)?;
    let device = device(plan.device, &model, reporter)?;
    inputs.notes.iter().chain(&plan.notes).for_each(|note| reporter.note(note));
    let prepared = Prepared { plan, model, device, job: spec.written(), with_model: OnceLock::new() };
    outputs_allowed(&prepared, existing)?;
    Ok(prepared)
}

/// Refuses outputs of all scenes that exist and may not be replaced.
fn outputs_allowed(prepared: &Prepared, existing: Existing) -> Result<()> {
    let plan = &prepared.plan;
    let mut products = Vec::new();
    let mut known = Vec::new();
    for scene in &plan.scenes {
        let there = results::products(plan, scene, &Fingerprint::default())?;
        if !there.iter().any(|(_, product)| product.exists()) {
            continue;
        }
        // Only what is there has to be compared; that costs the estimate of a stretch.
        let engine = prepared.engine(scene, Options::default(), Share::All)?;
        let fingerprint = match existing {
            Existing::Replace => engine.fingerprint.clone(),
            _ => engine::whole_fingerprint(&engine)?,
        };
        products.extend(results::products(plan, scene, &fingerprint)?);
        known.push((scene, fingerprint));
    }
    let begun = plan.scenes.iter().any(|scene| Journal::is_begun(&Journal::folder(&scene.outputs.labels)));
    outputs::check(products.iter().map(|(_, product)| product), existing, false).map_err(|error| match begun && existing == Existing::Refuse {
        true => error.with_hint(
            "Move away what is there, and the unfinished run of this job is resumed; --overwrite replaces it and restarts.",
        ),
        false => error,
    })?;
    known.iter().try_for_each(|(scene, fingerprint)| Results::check(plan, scene, fingerprint, existing).map(drop))
}

/// Says that a model is missing before anything of it is read.
fn model_is_there(choice: &ModelChoice) -> Result<()> {
    match choice {
        ModelChoice::Named(name) => Model::find(name).map(drop),
        ModelChoice::Bundle(folder) => Bundle::find(folder),
    }
}

/// Refuses vector products that could not be made of the labels in the end.
fn validate_products(plan: &Plan) -> Result<()> {
    let Some(product) = &plan.product else { return Ok(()) };
    for scene in &plan.scenes {
        let crs = scene.output_grid().1.and_then(|place| place.crs_wkt.as_deref());
        scene.outputs.polygons.as_deref().map_or(Ok(()), |path| vector::validate(crs, path, &product.options))?;
    }
    Ok(())
}

/// Refuses what not even the narrowest columns of a scene could hold.
fn memory_suffices(plan: &Plan) -> Result<()> {
    let room = process::available();
    for scene in &plan.scenes {
        let (window, queries) = (plan.tiling.window, plan.queries());
        let needed = engine::least_memory(window, scene.info.size.width, queries, plan.classes.len());
        if needed > room {
            let gigabytes = |bytes: f64| format!("{:.1} GB", bytes / 1e9);
            return Err(Error::input(format!(
                "blending the windows of {} takes {} of memory, there are {}: windows are {window} pixels wide, with \
                 {queries} prompts",
                scene.name(),
                gigabytes(needed),
                gigabytes(room),
            ))
            .with_hint("Use fewer prompts, or smaller windows."));
        }
    }
    Ok(())
}

/// What to do about output folders that are not there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Folders {
    Make,
    /// Leave no trace.
    CheckOnly,
}

impl Folders {
    /// Proves that `path` can be written; tries it out where the folder is there, or is made.
    fn ready(self, path: &Path) -> Result<()> {
        let folder = atomic::parent(path);
        if folder.is_dir() {
            return atomic::check_writable(path);
        }
        if let Some(file) = folder.ancestors().find(|above| above.is_file()) {
            return Err(Error::input(format!("cannot write {}: {} is a file", path.display(), file.display()))
                .with_hint("Name a folder that is there or can be made."));
        }
        if self == Self::Make {
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
}

/// Never silently the CPU: what `auto` took is said, and what was asked for by name is had or refused.
fn device(choice: DeviceChoice, model: &Model, reporter: &Reporter) -> Result<Device> {
    match (choice, model) {
        (DeviceChoice::Cuda(index), Model::Fake(_)) => {
            Err(Error::input(format!("device cuda:{index} was asked for, and the fake models know the CPU only"))
                .with_hint("Use --device cpu or auto, or name a model with weights."))
        }
        (_, Model::Fake(_)) => Ok(Device::Cpu),
        _ => usable(choice, reporter),
    }
}

/// As [`device`], for a model with weights.
pub(super) fn usable(choice: DeviceChoice, reporter: &Reporter) -> Result<Device> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Auto => {
            let device = if cuda_devices() > 0 { Device::Cuda(0) } else { Device::Cpu };
            reporter.note(&format!("device: auto took {device}."));
            Ok(device)
        }
        DeviceChoice::Cuda(index) => match cuda_devices() {
            0 => Err(Error::input(format!("device cuda:{index} was asked for, and no CUDA device can be used here"))
                .with_hint(
                    "Use --device cpu or auto; a GPU needs its driver and libtorch's CUDA half (`make setup CUDA=1`).",
                )),
            count if index < count => Ok(Device::Cuda(index)),
            count => {
                Err(Error::input(format!("device cuda:{index} was asked for, there are cuda:0 to cuda:{}", count - 1))
                    .with_hint("Devices are counted from 0."))
            }
        },
    }
}

fn segmenter(plan: &Plan, model: &Model, device: Device, reporter: &Reporter) -> Result<Box<dyn Segmenter>> {
    let plain = plain_segmenter(plan, model, device, reporter)?;
    Ok(if plan.method.d4 { Box::new(D4::new(plain)) } else { plain })
}

fn plain_segmenter(plan: &Plan, model: &Model, device: Device, reporter: &Reporter) -> Result<Box<dyn Segmenter>> {
    match model {
        Model::Fake(answer) => Ok(Box::new(Fake { answer: *answer, queries: plan.queries() })),
        Model::Bundle(bundle) => {
            let queries = queries(plan, bundle, device, reporter)?;
            let Method { debias, channels, half_resolution, .. } = plan.method;
            let shortcuts = Shortcuts { channels, half_resolution };
            let segmenter = model::segmenter(bundle, device, &queries, debias, shortcuts)?;
            segmenter.warning().into_iter().for_each(|warning| reporter.note(warning));
            Ok(segmenter)
        }
    }
}

/// The classes' prompts as text features: from the cache, or from the text tower.
fn queries(plan: &Plan, bundle: &Bundle, device: Device, reporter: &Reporter) -> Result<Queries> {
    let Prompts { tokenizer, templates, prompts } = Prompts::of(plan, bundle)?;
    prompts::notes(plan, &tokenizer, &templates)?.iter().for_each(|note| reporter.note(note));
    let wording = Wording { prompts: &prompts, templates: &templates };
    let fingerprint = bundle.text_fingerprint()?;
    let cache = QueryCache::of_user();
    if let Some(queries) = cache.as_ref().and_then(|cache| cache.get(&fingerprint, wording)) {
        reporter.detail("The prompts' features come from the cache.");
        prompts::same_queries(plan, &tokenizer, &queries)?.iter().for_each(|note| reporter.note(note));
        return Ok(queries);
    }
    let mut encoder = TorchTextEncoder::load(&bundle.text_encoder(), device)?;
    let progress = reporter.progress("prompts", prompts.len(), "prompts");
    let queries = queries::encode(wording, &tokenizer, &mut encoder, |_| progress.advance(1))
        .input(|| format!("cannot encode the prompts with the model in {}", bundle.folder.display()))?;
    if queries.width != bundle.card.sizes.embed_dim {
        let (found, expected) = (queries.width, bundle.card.sizes.embed_dim);
        return Err(Error::input(format!(
            "the text tower gives features {found} wide, model.yaml says sizes.embed_dim is {expected}"
        ))
        .with_hint("Import the model again, or set that key right."))
        .input(|| format!("cannot use the model in {}", bundle.folder.display()));
    }
    prompts::same_queries(plan, &tokenizer, &queries)?.iter().for_each(|note| reporter.note(note));
    if let Some(Err(error)) = cache.map(|cache| cache.put(&fingerprint, wording, &queries)) {
        reporter.note(&format!("The prompts' features are not kept for the next job: {error}."));
    }
    Ok(queries)
}

/// Makes what is made from a scene's rasters, and tells of it. Gives the number of failed windows.
fn finish(
    engine: &Engine<'_>,
    outcome: Outcome,
    (started, by): (Instant, By),
    prepared: &Prepared,
    metrics: &RunMetrics,
    reporter: &Reporter,
) -> Result<usize> {
    let scene = engine.scene;
    let Finished { counts, stretch, results, journal } = match outcome {
        Outcome::Finished(finished) => *finished,
        Outcome::Earlier(notes) => {
            metrics.scenes_earlier.add(1);
            let name = scene.name();
            reporter
                .note(&format!("{name} is finished, by an earlier run of this job; --overwrite computes it again."));
            notes.iter().for_each(|note| reporter.note(note));
            return Ok(0);
        }
        Outcome::Shard => {
            metrics.scenes_finished.add(1);
            if let Share::Shard { index, count, .. } = engine.share {
                reporter.note(&format!(
                    "Shard {index}/{count} of {} is finished; when all are, `segearth merge` makes the results.",
                    scene.name()
                ));
            }
            return Ok(0);
        }
    };
    let mut outputs: Vec<Output<'_>> = scene.outputs.rasters().map(|(what, path)| output(what, path)).collect();
    if let Some(path) = &scene.outputs.polygons {
        let mut detail = String::new();
        if results.any(&VECTORS) {
            let staged = results.stage(&VECTORS)?;
            let product = engine.plan.product.clone().unwrap_or_default();
            let options =
                ProductOptions { graph: staged.path("graph"), zone_table: staged.path("zones"), ..product.options };
            let polygons = vector::vectorize(
                &scene.outputs.labels,
                scene.outputs.scores.as_deref().filter(|_| engine.plan.rasters.scores == ScoreType::F32),
                &engine.classes,
                product.recipe,
                &staged.path("polygons").unwrap_or_else(|| path.clone()),
                &options,
            )
            .map_err(|error| staged.explain(error))?;
            polygons.notes.iter().for_each(|note| reporter.note(&staged.shown(note)));
            let unit = if polygons.polygons == 1 { "polygon" } else { "polygons" };
            detail = format!("{} {unit}", polygons.polygons);
            staged.publish()?;
        }
        outputs.push(Output { detail, ..output("polygons", path) });
        let beside = [("graph", &scene.outputs.graph), ("zones", &scene.outputs.zones)];
        outputs.extend(beside.into_iter().filter_map(|(what, path)| Some(output(what, path.as_deref()?))));
    }
    let device = prepared.device.to_string();
    let pictures = ["preview", "report"];
    if results.any(&pictures) {
        let staged = results.stage(&pictures)?;
        let [preview, report] = pictures.map(|key| staged.path(key));
        let look = ReportOutputs {
            engine,
            counts: &counts,
            stretch: &stretch,
            device: &device,
            job: &prepared.job,
            preview: preview.as_deref(),
            report: report.as_deref(),
        };
        look.write().map_err(|error| staged.explain(error))?;
        staged.publish()?;
    }
    results.notes().iter().for_each(|note| reporter.note(note));
    outputs.extend(scene.outputs.pictures().map(|(what, path)| output(what, path)));
    let shards = journal.shards();
    journal.remove()?;
    raster::take_warnings().iter().for_each(|warning| reporter.detail(warning));
    for hole in &counts.failed_windows {
        reporter.note(&format!("{} has a hole: {hole} could not be computed.", scene.name()));
    }
    let (size, _) = scene.output_grid();
    if counts.nodata == size.pixels() as u64 && counts.all_windows.computed == 0 && counts.all_windows.empty > 0 {
        let within = if scene.info.access.area.is_some() { " in the area of interest" } else { "" };
        reporter.note(&without_data(scene, &format!("no pixel{within} holds data, and none has a class")));
    }
    reporter.summary(&Summary {
        scene: &scene.info.path,
        size,
        area: counts.areas.as_ref().map(Areas::whole),
        windows: counts.all_windows.computed,
        empty_windows: counts.all_windows.empty,
        work: match by {
            By::Run => Work::Run { windows: counts.windows },
            By::Shards => Work::Merge { shards },
            By::Workers(count) => Work::Workers(count),
        },
        elapsed: started.elapsed(),
        device: &device,
        classes: shares(&engine.classes, &counts),
        nodata_pixels: counts.nodata,
        nodata_area: counts.areas.as_ref().map(|areas| areas.nodata),
        outputs,
    });
    metrics.scenes_finished.add(1);
    Ok(counts.failed_windows.len())
}

/// What is said of a scene all of which is marked as without data.
fn without_data(scene: &ScenePlan, found: &str) -> String {
    let mask = scene.info.mask_text(scene.bands);
    format!("{}: {found} (missing data: {mask}). `mask: none` takes every pixel for data.", scene.name())
}

fn output<'a>(what: &'a str, path: &'a std::path::Path) -> Output<'a> {
    Output { what, path, detail: String::new() }
}

fn shares<'a>(classes: &'a [ClassInfo], counts: &Counts) -> Vec<ClassShare<'a>> {
    let area = |index: usize| counts.areas.as_ref().and_then(|areas| areas.classes.get(index)).copied();
    let classes = classes.iter().zip(&counts.classes).enumerate();
    classes.map(|(index, (class, &pixels))| ClassShare { class, pixels, area: area(index) }).collect()
}

pub(super) fn classes(plan: &Plan) -> Vec<ClassInfo> {
    plan.classes.iter().map(|class| ClassInfo { name: class.name.clone(), colour: class.colour }).collect()
}

pub(super) fn classifier(plan: &Plan) -> Classifier {
    Classifier {
        query_class: plan
            .classes
            .iter()
            .enumerate()
            .flat_map(|(index, class)| std::iter::repeat_n(index, class.prompts.len()))
            .collect(),
        thresholds: plan.classes.iter().map(|class| class.threshold.unwrap_or(plan.method.threshold)).collect(),
        background: plan.background,
        logit_scale: plan.method.logit_scale,
        nodata: LabelType::for_classes(plan.classes.len()).nodata(),
    }
}
