//! Models and scenes that were found already: a change of classes looks at no file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::lock::lock;
use crate::error::Result;
use crate::model::registry::Model;
use crate::pipeline::{Lookup, ModelChoice, ModelFacts};
use crate::raster;
use crate::scene::{SceneInfo, SceneRequest};

/// Requests that are remembered.
const MOST_REQUESTS: usize = 64;

/// Remembers what was found.
#[derive(Default)]
pub struct Known {
    scenes: Mutex<Vec<(SceneRequest, Vec<SceneInfo>)>>,
    /// Whether a raster is a result of an earlier job.
    results: Mutex<HashMap<PathBuf, bool>>,
}

/// Looks scenes up once; the model is always the one that is served.
pub struct KnownLookup<'a> {
    pub known: &'a Known,
    pub model: &'a Model,
}

impl Lookup for KnownLookup<'_> {
    fn is_result(&self, file: &Path) -> bool {
        if let Some(known) = lock(&self.known.results).get(file) {
            return *known;
        }
        let is_result = raster::is_result(file);
        lock(&self.known.results).insert(file.to_owned(), is_result);
        is_result
    }

    fn find_model(&self, _: &ModelChoice) -> Result<()> {
        Ok(())
    }

    fn open_model(&mut self, _: &ModelChoice) -> Result<ModelFacts> {
        let model = self.model;
        Ok(ModelFacts { window: model.window(), patch: model.patch(), recommended: model.recommended() })
    }

    fn scenes(&self, request: &SceneRequest) -> Result<Vec<SceneInfo>> {
        if let Some((_, found)) = lock(&self.known.scenes).iter().find(|(known, _)| known == request) {
            return Ok(found.clone());
        }
        let found = raster::find(request)?;
        let mut scenes = lock(&self.known.scenes);
        if scenes.len() >= MOST_REQUESTS {
            scenes.remove(0);
        }
        scenes.push((request.clone(), found.clone()));
        Ok(found)
    }
}
