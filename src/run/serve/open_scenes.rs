//! The scenes of a session as the model sees them, with the stores of their tokens, which are computed when they are needed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::lock::lock;
use super::shared::Shared;
use crate::embeddings::{ChunkIndex, SceneStore};
use crate::error::Result;
use crate::geom::Window;
use crate::pipeline::Tiling;
use crate::raster::SceneReader;
use crate::report::Reporter;
use crate::run::embed::{self, Tower};
use crate::run::run_metrics::RunMetrics;
use crate::run::watch::Watch;
use crate::serve::Session;

/// A scene as the model sees it.
pub struct OpenScene {
    pub look: u64,
    pub reader: SceneReader,
    pub store: SceneStore,
}

impl OpenScene {
    pub fn has_tokens(&self, part: Window) -> bool {
        self.store.chunks_reaching(part).into_iter().all(|index| self.store.has(index))
    }
}

pub struct OpenScenes<'a> {
    shared: &'a Shared,
    pub reporter: Reporter,
    metrics: RunMetrics,
    /// The windows of the classes in use.
    pub tiling: Tiling,
    tower: Option<Tower>,
    scenes: HashMap<usize, OpenScene>,
}

impl<'a> OpenScenes<'a> {
    pub fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            reporter: Reporter::silent(),
            metrics: RunMetrics::default(),
            tiling: shared.plan.tiling,
            tower: None,
            scenes: HashMap::new(),
        }
    }

    /// A scene that was opened.
    pub fn get(&self, scene: usize) -> Option<&OpenScene> {
        self.scenes.get(&scene)
    }

    /// Opens a scene as it is seen now.
    pub fn open(&mut self, scene: usize) -> Result<()> {
        let shared = self.shared;
        let served = shared.scene(scene)?;
        let (look, plan) = lock(&served.look).clone();
        if self.scenes.get(&scene).is_some_and(|open| open.look == look) {
            return Ok(());
        }
        let reader = SceneReader::open_even_empty(&plan.info, plan.bands, &plan.stretch)?;
        let folder = store_folder(&shared.folder, &lock(&shared.session));
        let store =
            embed::own_scene(&folder, (&*plan).into(), &self.tiling, &reader, &shared.bundle, shared.precision)?;
        self.tell_embedded(scene, &store);
        self.scenes.insert(scene, OpenScene { look, reader, store });
        Ok(())
    }

    fn tell_embedded(&self, scene: usize, store: &SceneStore) {
        let all = store.chunks().count();
        let done = all - store.missing().count();
        self.shared.tell(|news| {
            if let Some(embedded) = news.embedded.get_mut(scene) {
                *embedded = (done, all);
            }
        });
    }

    /// Computes the tokens that a part lacks; `false`: it was interrupted.
    pub fn embed(&mut self, scene: usize, part: Window, go_on: &dyn Fn() -> bool) -> Result<bool> {
        let shared = self.shared;
        let Some(open) = self.scenes.get_mut(&scene) else { return Ok(false) };
        let missing: Vec<ChunkIndex> =
            open.store.chunks_reaching(part).into_iter().filter(|index| !open.store.has(*index)).collect();
        for index in &missing {
            if !go_on() {
                return Ok(false);
            }
            shared.tell(|news| "embedding".clone_into(&mut news.work));
            let tower = match &mut self.tower {
                Some(tower) => tower,
                none => none.insert(embed::tower(&shared.bundle, shared.device, &self.reporter)?),
            };
            let watch = Watch { stop: &shared.stop, metrics: &self.metrics, reporter: &self.reporter };
            embed::complete(&open.store, std::slice::from_ref(index), &mut open.reader, tower, watch)?;
            shared.tell(|news| {
                if let Some((done, _)) = news.embedded.get_mut(scene) {
                    *done += 1;
                }
            });
        }
        Ok(true)
    }
}

/// The folder of the embeddings of scenes as a session has them seen.
pub fn store_folder(folder: &Path, session: &Session) -> PathBuf {
    let seen = format!("{:?} {:?}", session.bands, session.stretch);
    let name = match (&session.bands, &session.stretch) {
        (None, None) => "embeddings.zarr".to_owned(),
        _ => format!("embeddings-{}.zarr", crate::hash::of(&seen).chars().take(8).collect::<String>()),
    };
    folder.join(name)
}
