//! The store of a job: checked before any heavy work, completed where it lacks what a scene needs.

use std::path::{Path, PathBuf};

use super::card::{self, SceneView};
use super::compute::{self, Tower};
use crate::embeddings::{ChunkIndex, ModelCard, Precision, SceneCard, SceneStore, Store};
use crate::error::{Error, Result};
use crate::geom::Window;
use crate::model;
use crate::model::bundle::Bundle;
use crate::model::torch::Device;
use crate::pipeline::{EmbeddingsPlan, Tiling};
use crate::raster::SceneReader;
use crate::report::Reporter;
use crate::run::stores;
use crate::run::watch::Watch;
use serde_json::{Map, Value};

/// Whence a job takes the outputs of the image tower.
pub struct Embedder {
    folder: PathBuf,
    bundle: Bundle,
    device: Device,
    model: ModelCard,
    precision: Precision,
    /// Whether what is missing is computed.
    create: bool,
}

impl Embedder {
    /// Looks at the store; makes nothing.
    ///
    /// # Errors
    /// The folder is no store, or one of another model or precision; or it does not exist and must.
    pub fn new(plan: &EmbeddingsPlan, bundle: &Bundle, device: Device) -> Result<Self> {
        let model = card::model_card(bundle)?;
        // Where nothing can be written, the store has to be complete.
        let create = plan.create && !stores::is_read_only(&plan.store);
        let store = match create {
            true => Store::look(&plan.store, &model, plan.precision)?,
            false => {
                let store = stores::open(&plan.store)?;
                store.check_model(&model)?;
                Some(store)
            }
        };
        let wanted = plan.precision.unwrap_or_default();
        Ok(Self {
            folder: plan.store.clone(),
            bundle: bundle.clone(),
            device,
            model,
            precision: store.map_or(wanted, |store| store.precision()),
            create,
        })
    }

    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Numbers of a window's tokens, (1 + patch) · D.
    pub fn numbers(&self, width: usize, height: usize) -> usize {
        let patch = self.model.patch.max(1);
        (1 + (width / patch) * (height / patch)) * self.model.width
    }

    /// The tokens of all windows that reach `parts` of a scene: what is missing is computed first, where that is allowed.
    ///
    /// # Errors
    /// The store holds the scene otherwise, or lacks something that must be there; the scene cannot be read or its tokens not be
    /// computed.
    pub fn scene(
        &self,
        view: SceneView<'_>,
        tiling: &Tiling,
        reader: &mut SceneReader,
        parts: &[Window],
        watch: Watch<'_>,
    ) -> Result<SceneStore> {
        let wanted = card::scene_card(view, reader, tiling, &self.bundle, (&self.model, self.precision), Map::new())?;
        let scene = match self.create {
            true => {
                let store = Store::create(&self.folder, &self.model, Some(self.precision))?;
                store.create_scene(wanted.clone())?
            }
            false => self.existing(&wanted)?,
        };
        let mut chunks: Vec<ChunkIndex> = parts.iter().flat_map(|part| scene.chunks_reaching(*part)).collect();
        chunks.sort();
        chunks.dedup();
        let all = chunks.len();
        chunks.retain(|index| !scene.has(*index));
        if chunks.is_empty() {
            return Ok(scene);
        }
        if !self.create {
            return Err(Error::input(format!(
                "{} is not complete: it holds {} of {all} chunks of {}",
                self.folder.display(),
                all - chunks.len(),
                wanted.name
            ))
            .with_hint("`segearth embed` with the same options computes what is missing."));
        }
        let label = format!("embedding {}", wanted.name);
        let mut tower = tower(&self.bundle, self.device, watch.reporter)?;
        compute::compute(&scene, &chunks, reader, &mut tower, &label, watch)?;
        Ok(scene)
    }

    fn existing(&self, wanted: &SceneCard) -> Result<SceneStore> {
        let store = stores::open(&self.folder)?;
        let Some(scene) = store.scene(&wanted.name, &wanted.path)? else {
            let names = match store.scenes() {
                Ok(scenes) if scenes.is_empty() => "none".to_owned(),
                Ok(scenes) => scenes.iter().map(|scene| scene.card().path.clone()).collect::<Vec<_>>().join(", "),
                Err(_) => "cannot be listed".to_owned(),
            };
            return Err(Error::input(format!(
                "{} does not hold {}; its scenes: {names}",
                self.folder.display(),
                wanted.path
            ))
            .with_hint("`segearth embed SCENE -o STORE` adds a scene to a store."));
        };
        store.check_facts(&scene, wanted)?;
        Ok(scene)
    }
}

/// The image tower of a bundle; notes what is to be known of it.
pub fn tower(bundle: &Bundle, device: Device, reporter: &Reporter) -> Result<Tower> {
    let sizes = &bundle.card.sizes;
    let encoder = model::patch_encoder(bundle, device)?;
    encoder.warning().into_iter().for_each(|warning| reporter.note(warning));
    Ok(Tower { encoder, normalisation: bundle.normalisation(), patch: sizes.patch, width: sizes.embed_dim })
}

/// Keys of a job and their values.
type StoredOptions = Vec<(String, String)>;

/// The scene of a path; `None`: the store does not hold it.
fn named_scene(store: &Store, scene: &str) -> Result<Option<SceneStore>> {
    let path = card::absolute(Path::new(scene));
    // A store behind an address may not be able to list its scenes; most have the name of their file.
    let name = Path::new(&path).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if let Some(found) = store.scene(&name, &path)? {
        return Ok(Some(found));
    }
    Ok(store.scenes()?.into_iter().find(|scene| scene.card().path == path))
}

/// The named scenes of a store, or all, and the keys of a job that sees them as the store does, with their values, but for the scenes.
///
/// # Errors
/// The store cannot be read or holds no scene, or its scenes were embedded with different options.
pub(super) fn stored_scenes(store: &Path, named: &[String]) -> Result<(Vec<String>, StoredOptions)> {
    let store = stores::open(store)?;
    let scenes = match named {
        [] => store.scenes()?,
        named => named.iter().filter_map(|scene| named_scene(&store, scene).transpose()).collect::<Result<_>>()?,
    };
    if named.is_empty() && scenes.is_empty() {
        return Err(Error::input(format!("{} holds no scene", store.folder().display()))
            .with_hint("`segearth embed SCENE -o STORE` adds a scene to a store."));
    }
    let options = |scene: &SceneStore| -> StoredOptions {
        let job = scene.card().job.iter().filter(|(key, _)| *key != "scene");
        job.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
    };
    let mut all = scenes.iter().map(options);
    let first = all.next().unwrap_or_default();
    if all.any(|options| options != first) {
        return Err(Error::input(format!(
            "the scenes of {} were embedded with different options",
            store.folder().display()
        ))
        .with_hint("Name scenes that were embedded with the same options: `segearth learn SCENE … --from STORE`."));
    }
    let path = |scene: &SceneStore| {
        let job = scene.card().job.get("scene").and_then(Value::as_str);
        job.map_or_else(|| scene.card().path.clone(), str::to_owned)
    };
    Ok((scenes.iter().map(path).collect(), first))
}

/// The keys of a job that sees a scene as a store does, with their values. None where the store does not hold the scene.
///
/// # Errors
/// The store cannot be read, or holds another number of scenes than one and none is named.
pub(super) fn stored_options(store: &Path, scene: Option<&str>) -> Result<StoredOptions> {
    let store = stores::open(store)?;
    let scenes = match scene {
        None => store.scenes()?,
        Some(scene) => named_scene(&store, scene)?.into_iter().collect(),
    };
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    match (scenes.as_slice(), scene) {
        ([scene], _) => Ok(scene.card().job.iter().filter_map(text).collect()),
        (_, Some(_)) => Ok(Vec::new()),
        (several, None) => Err(Error::input(format!("{} holds {} scenes", store.folder().display(), several.len()))
            .with_hint("Name one of them: `segearth segment SCENE --from STORE`.")),
    }
}
