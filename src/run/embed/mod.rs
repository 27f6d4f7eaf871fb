//! `segearth embed`: the outputs of the image tower for all windows of scenes, in a store.

mod card;
mod compute;
mod embedder;
mod raster;

use std::path::Path;
use std::time::Instant;

use serde_json::{Map, Value};

pub use card::{SceneView, model_card};
pub use compute::Tower;
pub use embedder::{Embedder, tower};
use raster::FeatureRaster;

use super::job::usable_device;
use super::lookup::Lookup;
use super::run_metrics::RunMetrics;
use super::stop::Stop;
use super::stores;
use super::watch::Watch;
use super::workers;
use crate::cli::{EmbedArgs, EmbedPrecision, LearnArgs, SegmentArgs, scene_option};
use crate::embeddings::{ChunkIndex, Precision, SceneStore, Store};
use crate::error::{Error, Result};
use crate::model::bundle::Bundle;
use crate::model::registry::Model;
use crate::model::torch::Device;
use crate::pipeline::{self, EmbeddedScenes, Override, Tiling};
use crate::raster::SceneReader;
use crate::report::Reporter;

/// Runs the command.
///
/// # Errors
/// Options, model or scenes that cannot be used; a store that holds other things, or the scenes otherwise.
pub fn run(args: &EmbedArgs, trust: bool, reporter: &Reporter) -> Result<()> {
    stores::check_writable(&args.output)?;
    let spec = pipeline::from_flags(&args.overrides())?;
    let mut lookup = Lookup::new(trust);
    let plan = pipeline::embedded_scenes(&spec, &mut lookup)?;
    let bundle = bundle(lookup.into_model()?)?;
    plan.notes.iter().for_each(|note| reporter.note(note));
    let device = usable_device(plan.device, reporter)?;
    let model = model_card(&bundle)?;
    let precision = args.precision.map(|precision| match precision {
        EmbedPrecision::Float32 => Precision::Float32,
        EmbedPrecision::Float16 => Precision::Float16,
        EmbedPrecision::Int8 => Precision::Int8,
    });
    let raster = args.raster.as_deref().map(|path| FeatureRaster {
        path,
        components: args.components,
        overwrite: args.overwrite,
    });
    if let Some(raster) = &raster {
        raster.check(model.width)?;
        if let [_, _, ..] = plan.views.as_slice() {
            return Err(Error::input(format!("--raster is of one scene, and there are {}", plan.views.len()))
                .with_hint("Give one scene a command; all may use the same store."));
        }
    }
    let store = Store::create(&args.output, &model, precision)?;
    let mut scenes = scenes(args, &plan, &store, &bundle)?;
    let started = Instant::now();
    if let Some(count) = args.workers {
        if scenes.iter().any(|(scene, _)| !scene.is_complete()) {
            workers::each_shard(count, plan.device, device)?;
        }
    } else {
        let watch = Watch { stop: &Stop::listen()?, metrics: &RunMetrics::default(), reporter };
        compute(args, &mut scenes, &bundle, device, watch)?;
    }
    for (scene, _) in &scenes {
        summary(&store, scene, started, reporter);
    }
    if let (Some(raster), Some((scene, reader)), Some((info, ..))) = (&raster, scenes.first(), plan.views.first()) {
        raster.write(&store, scene, info, reader, reporter)?;
        reporter.note(&format!("{} is written.", raster.path.display()));
    }
    Ok(())
}

/// The scene of a store in `folder`, made where it is not there. Unlike a user's store, one of our own is made again where its scene has
/// changed.
///
/// # Errors
/// The store is of another model or precision, or cannot be written.
pub fn own_scene(
    folder: &Path,
    view: SceneView<'_>,
    tiling: &Tiling,
    reader: &SceneReader,
    bundle: &Bundle,
    precision: Precision,
) -> Result<SceneStore> {
    let model = model_card(bundle)?;
    let store = Store::create(folder, &model, Some(precision))?;
    let wanted = card::scene_card(view, reader, tiling, bundle, (&model, precision), Map::new())?;
    if let Some(scene) = store.scene(&wanted.name, &wanted.path)?
        && store.check_facts(&scene, &wanted).is_err()
    {
        store.remove_scene(&wanted.name, &wanted.path)?;
    }
    store.create_scene(wanted)
}

/// Computes and writes some chunks of a scene.
///
/// # Errors
/// As for [`run`]; chunks that were written stay.
pub fn complete(
    scene: &SceneStore,
    chunks: &[ChunkIndex],
    reader: &mut SceneReader,
    tower: &mut Tower,
    watch: Watch<'_>,
) -> Result<()> {
    compute::compute(scene, chunks, reader, tower, "embedding", watch).map(drop)
}

/// The keys of a job of `segearth segment`, with those of its store below them.
///
/// # Errors
/// The store cannot be read.
pub fn with_stored_options(args: &SegmentArgs) -> Result<Vec<Override>> {
    let Some(store) = &args.from else { return Ok(args.overrides()) };
    Ok(args.overrides_over(&embedder::stored_options(Path::new(store), args.scene.as_deref())?))
}

/// The keys of a job of `segearth learn`, with those of its store below them.
///
/// # Errors
/// The store cannot be read, or its scenes were embedded with different options.
pub fn learn_options(args: &LearnArgs) -> Result<Vec<Override>> {
    let Some(store) = &args.from else { return Ok(args.overrides()) };
    let (scenes, stored) = embedder::stored_scenes(Path::new(store), &args.scenes)?;
    let below = stored.iter().map(|(key, value)| scene_option("--from", key, value));
    let scenes = args.scenes.is_empty().then(|| Override::texts("--from", "scene", &scenes));
    Ok(below.chain(scenes).chain(args.overrides()).collect())
}

/// The weights of a model.
///
/// # Errors
/// It has none.
pub fn bundle(model: Model) -> Result<Bundle> {
    match model {
        Model::Bundle(bundle) => Ok(*bundle),
        Model::Fake(_) => {
            Err(Error::input("the fake models have no image tower")
                .with_hint("Name a model with weights, such as mini."))
        }
    }
}

/// The scenes of the command in the store, made where they are not there, each with a reader.
fn scenes(
    args: &EmbedArgs,
    plan: &EmbeddedScenes,
    store: &Store,
    bundle: &Bundle,
) -> Result<Vec<(SceneStore, SceneReader)>> {
    let mut scenes = Vec::new();
    for view in &plan.views {
        let view = SceneView::from(view);
        let reader = SceneReader::open_even_empty(view.info, view.bands, view.stretch)?;
        let of_store = (store.model(), store.precision());
        let card = card::scene_card(view, &reader, &plan.tiling, bundle, of_store, options(args, view))?;
        if args.overwrite {
            store.remove_scene(&card.name, &card.path)?;
        }
        scenes.push((store.create_scene(card)?, reader));
    }
    Ok(scenes)
}

/// The options with which a job sees a scene as this command does.
fn options(args: &EmbedArgs, view: SceneView<'_>) -> Map<String, Value> {
    let mut options: Map<String, Value> = args
        .options()
        .into_iter()
        .map(|(_, key, value)| {
            let path = Path::new(value);
            // Relative files are found from other folders too.
            let value = if path.exists() { card::absolute(path) } else { value.clone() };
            (key.to_owned(), Value::String(value))
        })
        .collect();
    options.insert("scene".to_owned(), Value::String(card::absolute(&view.info.path)));
    options
}

/// Computes what is missing of this process's share of the chunks of all scenes.
fn compute(
    args: &EmbedArgs,
    scenes: &mut [(SceneStore, SceneReader)],
    bundle: &Bundle,
    device: Device,
    watch: Watch<'_>,
) -> Result<()> {
    let all: usize = scenes.iter().map(|(scene, _)| scene.chunks().count()).sum();
    let share = args.shard.map_or(0..all, |shard| {
        let border = |index: usize| all * index / shard.count;
        border(shard.index - 1)..border(shard.index)
    });
    let mut tower = None;
    let mut first = 0;
    for (scene, reader) in scenes {
        let chunks: Vec<ChunkIndex> = scene.chunks().collect();
        let mine = (first..).zip(&chunks).filter(|(at, _)| share.contains(at)).map(|(_, index)| *index);
        first += chunks.len();
        let (there, missing): (Vec<ChunkIndex>, Vec<ChunkIndex>) = mine.partition(|index| scene.has(*index));
        if missing.is_empty() {
            continue;
        }
        if !there.is_empty() {
            watch.reporter.note(&format!(
                "{} resumes an earlier run: {} of {} chunks are there.",
                scene.card().name,
                there.len(),
                there.len() + missing.len()
            ));
        }
        let tower = match &mut tower {
            Some(tower) => tower,
            none => none.insert(embedder::tower(bundle, device, watch.reporter)?),
        };
        let label = format!("embedding {}", scene.card().name);
        watch.stop.orderly(|| compute::compute(scene, &missing, reader, tower, &label, watch))?;
    }
    Ok(())
}

fn summary(store: &Store, scene: &SceneStore, started: Instant, reporter: &Reporter) {
    let missing = scene.missing().count();
    let card = scene.card();
    let grid = scene.grid();
    let state = match missing {
        0 => String::new(),
        missing => format!(", {missing} of {} chunks are missing", scene.chunks().count()),
    };
    let bytes = scene.bytes() as f64;
    reporter.note(&format!(
        "{}: {} windows of {} × {} tokens in {} ({}, {:.1} bytes a pixel{state}), after {:.1} s.",
        card.name,
        grid.len(),
        card.tokens(),
        store.model().width,
        store.folder().display(),
        store.precision().name(),
        bytes / (card.width as f64 * card.height as f64),
        started.elapsed().as_secs_f64()
    ));
}
