//! The scenes of a prepared job, one after another: segmented by this process, or merged from what shards have computed.

use std::time::Instant;

use super::super::engine::{self, Outcome};
use super::super::partition::{Share, partition};
use super::super::prepared::{Options, PreparedJob};
use super::super::run_metrics::RunMetrics;
use super::super::watch::Watch;
use super::finish::{By, finish};
use crate::cli::Shard;
use crate::error::{Error, Kind, Result};
use crate::model::{self, Segmenter};
use crate::pipeline::ScenePlan;
use crate::report::Reporter;

/// Segments all scenes of a job, or this shard's part of them.
///
/// # Errors
/// Scenes failed, which is said at the end; [`Kind::FailedWindows`] where windows were allowed to fail and did. What concerns all
/// scenes, such as a signal, ends the run at once.
pub fn segment(
    job: &PreparedJob,
    segmenter: &mut dyn Segmenter,
    options: Options,
    shard: Option<Shard>,
    watch: Watch<'_>,
) -> Result<()> {
    let plan = &job.plan;
    let shares = match shard {
        None => vec![Some(Share::All); plan.scenes.len()],
        Some(Shard { index, count }) => partition(&job.costs(), index, count),
    };
    let shares = plan.scenes.iter().zip(shares);
    let mine = shares.filter_map(|(scene, share)| Some((scene, share?))).collect();
    segment_shares(job, segmenter, options, mine, watch, &|_| ())
}

/// Scenes in a row whose failures end a run: the cause is then none of theirs, such as a full disk.
const FAILURES_IN_A_ROW: usize = 3;

/// Segments these scenes of a job, or what this process has of them; `done` is called after each. A scene that fails is reported, and
/// the others are segmented all the same.
///
/// # Errors
/// As [`segment`].
pub fn segment_shares(
    job: &PreparedJob,
    segmenter: &mut dyn Segmenter,
    options: Options,
    mine: Vec<(&ScenePlan, Share)>,
    watch: Watch<'_>,
    done: &dyn Fn(&ScenePlan),
) -> Result<()> {
    let plan = &job.plan;
    watch.metrics.scenes.add(mine.len());
    watch.metrics.windows.add(mine.iter().map(|(scene, _)| plan.grid(scene).len()).sum());
    let count = mine.len();
    let (mut failed_windows, mut failed, mut in_a_row) = (0, Vec::new(), 0);
    for (scene, share) in mine {
        match segment_scene(job, segmenter, options, scene, share, watch) {
            Ok(windows) => (failed_windows, in_a_row) = (failed_windows + windows, 0),
            Err(error) if error.kind() == Kind::Input && count > 1 && in_a_row + 1 < FAILURES_IN_A_ROW => {
                watch.reporter.error(&error);
                failed.push(scene.title());
                in_a_row += 1;
            }
            Err(error) => return Err(error),
        }
        model::memory::trim_heap();
        done(scene);
    }
    if !failed.is_empty() {
        return Err(Error::input(format!(
            "{} of {count} scenes could not be segmented: {}",
            failed.len(),
            failed.join(", ")
        ))
        .with_hint(
            "Their errors are above; the other scenes are complete. The same command computes what is missing.",
        ));
    }
    check_failed_windows(failed_windows)
}

/// Returns how many windows failed.
fn segment_scene(
    job: &PreparedJob,
    segmenter: &mut dyn Segmenter,
    options: Options,
    scene: &ScenePlan,
    share: Share,
    watch: Watch<'_>,
) -> Result<usize> {
    let run = job.scene(scene, options, share)?;
    run.provenance.notes.iter().for_each(|note| watch.reporter.note(note));
    let started = Instant::now();
    let outcome = watch.stop.orderly(|| engine::run(&run, segmenter, watch))?;
    finish(&run, outcome, started, By::Run, watch.metrics, watch.reporter)
}

/// Worker processes that this one has started and that have ended.
pub struct Workers {
    pub count: usize,
    pub started: Instant,
    /// The scenes that were finished before: all others were finished by a worker, or are to be merged.
    pub finished_before: Vec<bool>,
}

/// Assembles the outputs of what shards have computed, or the workers of this process.
///
/// # Errors
/// Rows are missing, or as [`segment`].
pub fn merge(
    job: &PreparedJob,
    options: Options,
    workers: Option<&Workers>,
    metrics: &RunMetrics,
    reporter: &Reporter,
) -> Result<()> {
    metrics.scenes.add(job.plan.scenes.len());
    let mut failed_windows = 0;
    for (index, scene) in job.plan.scenes.iter().enumerate() {
        let run = job.scene(scene, options, Share::All)?;
        let now = Instant::now();
        let outcome = engine::merge(&run, metrics)?;
        let (started, by) = match workers {
            None => (now, By::Shards),
            Some(Workers { count, started, finished_before }) => {
                let earlier = finished_before.get(index).copied().unwrap_or(false);
                if matches!(outcome, Outcome::Earlier(_)) && !earlier {
                    // Its worker has reported it.
                    metrics.scenes_finished.add(1);
                    continue;
                }
                (*started, By::Workers(*count))
            }
        };
        failed_windows += finish(&run, outcome, started, by, metrics, reporter)?;
    }
    check_failed_windows(failed_windows)
}

/// Which scenes an earlier run has finished.
pub fn finished_scenes(job: &PreparedJob) -> Result<Vec<bool>> {
    let scenes = job.plan.scenes.iter();
    scenes.map(|scene| engine::is_finished(&job.scene(scene, Options::default(), Share::All)?)).collect()
}

fn check_failed_windows(count: usize) -> Result<()> {
    let windows = match count {
        0 => return Ok(()),
        1 => "a window".to_owned(),
        count => format!("{count} windows"),
    };
    Err(Error::new(Kind::FailedWindows, format!("the results are incomplete: {windows} could not be computed")).with_hint(
        "Pixels that no other window reaches are nodata there. Repair the input raster and run again with --overwrite.",
    ))
}
