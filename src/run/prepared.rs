//! A job with everything decided, and one scene of it: what the engine and all that makes outputs work by.

use std::sync::OnceLock;

use super::partition::Share;
use super::provenance::{self, Provenance};
use crate::error::Result;
use crate::model::Normalisation;
use crate::model::registry::Model;
use crate::model::torch::Device;
use crate::outputs::Existing;
use crate::pipeline::{Plan, ScenePlan};
use crate::scene::{ClassInfo, Classifier, LabelType, Pooling};

/// A job whose model and scenes are known and whose outputs may be written.
pub struct PreparedJob {
    pub plan: Plan,
    pub model: Model,
    pub device: Device,
    /// The job as it was given, for reports.
    pub source: String,
    pub classes: Vec<ClassInfo>,
    pub classifier: Classifier,
    /// What the model expects of its images.
    pub normalisation: Normalisation,
    /// Side of the model's patches in pixels.
    pub patch: usize,
    /// Provenance for the outputs: names and values of tags.
    pub tags: Vec<(String, String)>,
    /// Bytes of the process with a model that has computed a batch, once a memory limit has asked for them.
    pub with_model: OnceLock<f64>,
}

impl PreparedJob {
    pub fn new(plan: Plan, model: Model, device: Device, source: String) -> Self {
        Self {
            classes: classes(&plan),
            classifier: classifier(&plan),
            normalisation: match &model {
                Model::Bundle(bundle) => bundle.normalisation(),
                // A fake model sees the pixels as they are.
                Model::Fake(_) => Normalisation { mean: [0.0; 3], std: [1.0; 3] },
            },
            patch: model.patch(),
            tags: provenance::tags(&plan, &model),
            with_model: OnceLock::new(),
            plan,
            model,
            device,
            source,
        }
    }

    /// One scene of the job, of which this process computes `share`.
    ///
    /// # Errors
    /// A file of the scene cannot be read.
    pub fn scene<'a>(&'a self, scene: &'a ScenePlan, options: Options, share: Share) -> Result<SceneRun<'a>> {
        let provenance = Provenance::of(&self.plan, scene, &self.model, self.device)?;
        Ok(SceneRun { job: self, scene, provenance, options, share })
    }

    /// Windows of each scene: what its computation costs. Where scenes hold no data is looked at only where one is divided.
    pub fn costs(&self) -> Vec<f64> {
        self.plan.scenes.iter().map(|scene| self.plan.grid(scene).len() as f64).collect()
    }
}

/// One scene of a job, and how this process runs it.
pub struct SceneRun<'a> {
    pub job: &'a PreparedJob,
    pub scene: &'a ScenePlan,
    pub provenance: Provenance,
    pub options: Options,
    pub share: Share,
}

/// What a user says about a run, and not about its results.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Bytes that the process may use; `None`: as the system has them.
    pub memory: Option<u64>,
    /// Discard what earlier runs have computed, finished or not, and replace outputs that exist.
    pub overwrite: bool,
    /// Leave out windows that cannot be computed.
    pub allow_failed_windows: bool,
}

impl Options {
    /// What is done about outputs that exist. `shared`: other processes compute parts of them.
    pub fn existing(&self, shared: bool) -> Existing {
        match (self.overwrite, shared) {
            (true, _) => Existing::Replace,
            (false, true) => Existing::RefuseShared,
            (false, false) => Existing::Refuse,
        }
    }
}

fn classes(plan: &Plan) -> Vec<ClassInfo> {
    plan.classes.iter().map(|class| ClassInfo { name: class.name.clone(), colour: class.colour }).collect()
}

fn classifier(plan: &Plan) -> Classifier {
    let query_class = plan.classes.iter().enumerate();
    Classifier {
        query_class: query_class.flat_map(|(index, class)| std::iter::repeat_n(index, class.prompts.len())).collect(),
        thresholds: plan.classes.iter().map(|class| class.threshold.unwrap_or(plan.method.threshold)).collect(),
        background: plan.background,
        logit_scale: plan.method.logit_scale,
        bias: Vec::new(),
        pooling: Pooling::default(),
        nodata: LabelType::for_classes(plan.classes.len()).nodata(),
    }
}
