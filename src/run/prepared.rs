//! A job with everything decided, and one scene of it: what the engine and all that makes outputs work by.

use std::sync::OnceLock;

use super::embed::Embedder;
use super::partition::Share;
use super::provenance::{self, Provenance};
use crate::embeddings::Precision;
use crate::error::Result;
use crate::learn::LocalTerm;
use crate::model::Normalisation;
use crate::model::registry::Model;
use crate::model::torch::Device;
use crate::outputs::Existing;
use crate::pipeline::{ClassPlan, Plan, ScenePlan};
use crate::scene::{ClassInfo, Classifier, LabelType};

/// Factor of the joint decision's probabilities before the last soft-max.
const POSTERIOR_SCALE: f32 = 5.0;

/// A job whose model and scenes are known and whose outputs may be written.
pub struct PreparedJob {
    pub plan: Plan,
    pub model: Model,
    pub device: Device,
    /// The job as it was given, for reports.
    pub source: String,
    pub classes: Vec<ClassInfo>,
    pub classifier: Classifier,
    /// What local image descriptors add to the logits of learnt classes.
    pub local: Option<LocalTerm>,
    /// What the model expects of its images.
    pub normalisation: Normalisation,
    /// Side of the model's patches in pixels.
    pub patch: usize,
    /// Provenance for the outputs: names and values of tags.
    pub tags: Vec<(String, String)>,
    /// Whence the outputs of the image tower come; `None`: they are computed.
    pub embedder: Option<Embedder>,
    /// Bytes of the process with a model that has computed a batch, once a memory limit has asked for them.
    pub with_model: OnceLock<f64>,
}

impl PreparedJob {
    pub fn new(plan: Plan, model: Model, device: Device, source: String) -> Self {
        Self {
            classes: classes(&plan),
            classifier: classifier(&plan),
            local: local_term(&plan),
            normalisation: match &model {
                Model::Bundle(bundle) => bundle.normalisation(),
                // A fake model sees the pixels as they are.
                Model::Fake(_) => Normalisation { mean: [0.0; 3], std: [1.0; 3] },
            },
            patch: model.patch(),
            tags: provenance::tags(&plan, &model),
            embedder: None,
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
        let mut provenance = Provenance::of(&self.plan, scene, &self.model, self.device)?;
        // In float32 the labels are those of a run without a store.
        if let Some(precision) = self.embedder.as_ref().map(Embedder::precision).filter(|it| *it != Precision::Float32)
        {
            provenance.fingerprint.set("embeddings", precision.name());
        }
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

fn local_term(plan: &Plan) -> Option<LocalTerm> {
    let learnt = plan.learnt.as_ref().filter(|learnt| learnt.header.channels > 0)?;
    let none = || vec![0.0; learnt.header.locals()];
    let of_class = |class: &ClassPlan| -> Vec<f32> {
        match class.learnt {
            Some(number) => plan.learnt_queries(number).flat_map(|query| query.local.clone()).collect(),
            None => class.prompts.iter().flat_map(|_| none()).collect(),
        }
    };
    let coefficients: Vec<f32> = plan.classes.iter().flat_map(of_class).collect();
    let used = coefficients.iter().any(|coefficient| *coefficient != 0.0);
    used.then_some(LocalTerm { channels: learnt.header.channels, coefficients })
}

fn classifier(plan: &Plan) -> Classifier {
    let query_class = plan.classes.iter().enumerate();
    let bias_of = |class: &ClassPlan| match class.learnt {
        Some(number) => plan.learnt_queries(number).map(|query| query.bias).collect(),
        None => vec![0.0; class.prompts.len()],
    };
    let bias: Vec<f32> = plan.classes.iter().flat_map(bias_of).collect();
    Classifier {
        query_class: query_class
            .flat_map(|(index, class)| std::iter::repeat_n(index, plan.queries_of(class)))
            .collect(),
        thresholds: plan.classes.iter().map(|class| class.threshold.unwrap_or(plan.method.threshold)).collect(),
        background: plan.background,
        logit_scale: plan.method.gaussian.map_or(plan.method.logit_scale, |_| POSTERIOR_SCALE),
        // The words' logits stay as they are, to the bit, where nothing is to be added.
        bias: if bias.iter().any(|bias| *bias != 0.0) { bias } else { Vec::new() },
        pooling: plan.method.pooling,
        margin: plan.method.margin,
        nodata: LabelType::for_classes(plan.classes.len()).nodata(),
    }
}
