//! What a job asks of the world outside of it: models and scenes.

use std::path::Path;

use super::plan::{ModelChoice, ModelFacts};
use crate::error::Result;
use crate::scene::{SceneInfo, SceneRequest};

/// Finds what a job names outside of itself.
pub trait Lookup {
    /// Whether a raster is a result of an earlier job: where a pattern or a folder stands for scenes, such files are left
    /// out.
    fn is_result(&self, file: &Path) -> bool;

    /// Looks whether the model exists, without reading it.
    fn find_model(&self, choice: &ModelChoice) -> Result<()>;

    /// Opens the model.
    fn open_model(&mut self, choice: &ModelChoice) -> Result<ModelFacts>;

    /// Finds the scenes of a request.
    fn scenes(&self, request: &SceneRequest) -> Result<Vec<SceneInfo>>;
}
