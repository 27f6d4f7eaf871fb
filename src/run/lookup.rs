//! Models and scenes that a job names.

use std::path::Path;

use crate::error::{Error, Result};
use crate::model::bundle::{Bundle, Trust};
use crate::model::registry::Model;
use crate::pipeline::{self, ModelChoice, ModelFacts};
use crate::raster;
use crate::scene::{SceneInfo, SceneRequest};

/// Looks for them on this machine and behind addresses, and keeps the model that was opened.
pub struct Lookup {
    trust: Trust,
    model: Option<Model>,
}

impl Lookup {
    /// `trust`: bundles are used without the SHA-256 check.
    pub fn new(trust: bool) -> Self {
        Self { trust: if trust { Trust::User } else { Trust::Hashes }, model: None }
    }

    /// The model that was opened last.
    pub fn into_model(self) -> Result<Model> {
        self.model.ok_or_else(|| Error::internal("a job was resolved without its model"))
    }
}

impl pipeline::Lookup for Lookup {
    fn is_result(&self, file: &Path) -> bool {
        raster::is_result(file)
    }

    fn find_model(&self, choice: &ModelChoice) -> Result<()> {
        match choice {
            ModelChoice::Named(name) => Model::find(name).map(drop),
            ModelChoice::Bundle(folder) => Bundle::find(folder),
        }
    }

    fn open_model(&mut self, choice: &ModelChoice) -> Result<ModelFacts> {
        let model = match choice {
            ModelChoice::Named(name) => Model::named(name, self.trust)?,
            ModelChoice::Bundle(folder) => Model::in_folder(folder, self.trust)?,
        };
        let facts = ModelFacts { window: model.window(), patch: model.patch(), recommended: model.recommended() };
        self.model = Some(model);
        Ok(facts)
    }

    fn scenes(&self, request: &SceneRequest) -> Result<Vec<SceneInfo>> {
        raster::find(request)
    }
}
