//! A job from its specification to its outputs.
//!
//! ```text
//!  Spec ─► prepare ─► PreparedJob ─► prompts ─► model
//!                          │                      │
//!                          └──────► segment ◄─────┘   scene by scene, through the engine
//!                                      │
//!                                    finish           polygons, preview, report, summary
//! ```

mod device;
mod finish;
mod prepare;
mod prompts;
mod report_outputs;
mod segment;

pub use device::usable as usable_device;
pub use prepare::{Purpose, prepare};
pub use prompts::{Prompts, features, of_queries, queries, segmenter as loaded, tokenizer, with_learnt};
pub use segment::{Workers, finished_scenes, merge, segment, segment_shares};

use super::prepared::Options;
use super::run_metrics::RunMetrics;
use super::stop::Stop;
use super::watch::Watch;
use crate::cli::Shard;
use crate::error::Result;
use crate::model;
use crate::model::registry::Model;
use crate::outputs::Existing;
use crate::pipeline::Spec;
use crate::raster;
use crate::report::Reporter;

/// Scenes whose pixels `check` samples: each takes some hundredths of a second.
const MOST_SURVEYED: usize = 200;

/// Validates a job and prints the resolved configuration; computes nothing.
pub fn check(spec: &Spec, trust: bool, existing: Existing, reporter: &Reporter) -> Result<()> {
    let job = prepare(spec, trust, Purpose::Check, existing, reporter)?;
    let scenes = &job.plan.scenes;
    for scene in scenes.iter().take(MOST_SURVEYED) {
        match raster::survey(&scene.info, scene.bands) {
            Ok(survey) => {
                survey.notes.iter().for_each(|note| reporter.note(note));
                if survey.empty {
                    reporter.note(&finish::without_data(scene, "none of the sampled pixels holds data"));
                }
            }
            // A run may be allowed to leave out what cannot be read.
            Err(error) => reporter.note(&format!("{error}: {}.", error.causes().join(": "))),
        }
    }
    if scenes.len() > MOST_SURVEYED {
        reporter.note(&format!("pixels were sampled in {MOST_SURVEYED} of {} scenes.", scenes.len()));
    }
    if let Model::Bundle(bundle) = &job.model {
        prompts::Prompts::of(&job.plan, bundle)?.notes(&job.plan)?.iter().for_each(|note| reporter.note(note));
    }
    reporter.plan(&job.plan);
    Ok(())
}

/// Runs a job, or its part of one.
///
/// # Errors
/// [`Kind::FailedWindows`](crate::error::Kind::FailedWindows) where everything is complete but for windows that the user
/// allowed to fail.
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
    let job = prepare(spec, trust, Purpose::Run, options.existing(shard.is_some()), reporter)?;
    let mut segmenter = prompts::segmenter(&job, reporter)?;
    segment(&job, segmenter.as_mut(), options, shard, Watch { stop: &Stop::listen()?, metrics, reporter })
}

/// Assembles the outputs of a job whose rows have been computed in shards.
///
/// # Errors
/// Rows are missing, or as [`run`].
pub fn merge_shards(
    spec: &Spec,
    trust: bool,
    options: Options,
    metrics: &RunMetrics,
    reporter: &Reporter,
) -> Result<()> {
    let job = prepare(spec, trust, Purpose::Run, options.existing(false), reporter)?;
    merge(&job, options, None, metrics, reporter)
}

/// Whether every scene of a job has been finished, by whichever run. The job is validated as `check` does.
pub fn is_finished(spec: &Spec, trust: bool, reporter: &Reporter) -> Result<bool> {
    let job = prepare(spec, trust, Purpose::Check, Existing::RefuseShared, reporter)?;
    Ok(finished_scenes(&job)?.into_iter().all(|finished| finished))
}
