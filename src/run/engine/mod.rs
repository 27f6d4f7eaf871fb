//! One scene from its pixels to its rasters.
//!
//! ```text
//!  part after part:   reader ──(batches)──► model ──(logits)──► stitcher: blend, label ──► journal (rows)
//!  then, in one go:   journal ──► labels.tif, scores.tif, …
//! ```
//!
//! A part is a rectangle of the scene whose rows fit into memory; together the parts cover the scene. Windows that reach over
//! a part's border are computed for each part that they reach, so that every pixel blends the same windows in the same
//! order, however the scene was cut and wherever an earlier run was stopped.

mod areas;
mod assemble;
mod compute;
mod divide;
mod fit;
mod index;
mod layers;
mod memory;
mod message;
mod meter;
mod outcome;
mod part;
mod queue;
mod read;
mod region;
mod stitch;
mod windows;

pub use areas::Areas;
pub use memory::least as least_memory;
pub use outcome::{Counts, Finished, Outcome};
pub use region::{RegionSource, region};
pub use windows::WindowCounts;

use meter::Meter;

use super::local_images::LocalImages;
use super::partition::Share;
use super::prepared::SceneRun;
use super::provenance::DEVICE;
use super::results::{RASTERS, Results};
use super::run_metrics::RunMetrics;
use super::watch::Watch;
use crate::embeddings::SceneStore;
use crate::error::{Error, Result};
use crate::geom::Window;
use crate::journal::{self, Division, Fingerprint, Journal, RowFile};
use crate::model::Segmenter;
use crate::pipeline::OutputPaths;
use crate::raster::{self, SceneReader};
use crate::scene::Classifier;

/// Segments one scene, or this process's share of it: reads it, runs the model, writes labels and scores.
///
/// # Errors
/// The first failure stops all threads. Nothing appears under the outputs' names then, and finished rows are kept for the next
/// run.
pub fn run(run: &SceneRun<'_>, segmenter: &mut dyn Segmenter, watch: Watch<'_>) -> Result<Outcome> {
    let (scene, reporter) = (run.scene, watch.reporter);
    let folder = Journal::folder(&scene.outputs.labels);
    if run.options.overwrite {
        journal::remove(&folder)?;
    }
    let mut reader = SceneReader::open_even_empty(&scene.info, scene.bands, &scene.stretch)?;
    let fingerprint = fingerprint(run, &reader);
    let results = results(run, &fingerprint)?;
    if !run.options.overwrite && !Journal::is_begun(&folder) && results.finished() {
        watch.metrics.windows_earlier.add(run.job.plan.grid(scene).len());
        return Ok(Outcome::Earlier(results.notes()));
    }
    // What cannot be read fails when its windows are read, or counts as failed windows then.
    let survey = raster::survey(&scene.info, scene.bands).unwrap_or_default();
    survey.notes.iter().for_each(|note| reporter.note(note));
    let layers = layers::of(run);
    let (division, note) = divide::divide(run, &reader, segmenter, &layers)?;
    note.iter().for_each(|note| reporter.note(note));
    let journal = Journal::open(&folder, &fingerprint, &layers, scene.row_grid(), &division)?;
    let mine = match run.share {
        Share::All => journal.parts().to_vec(),
        Share::Shard { index, .. } => journal.band(index - 1),
    };
    if mine.len() > 1 {
        reporter.detail(&format!("Computed in {} columns.", mine.len()));
    }
    let mut files = open(run, &journal, &mine)?;
    let (before, of) = (rows(&files), total_rows(&files));
    if before > 0 {
        reporter.note(&format!("{} resumes an earlier run: {before} of {of} rows are finished.", scene.name()));
    }
    let embedded = embedded(run, &mut reader, &files, watch);
    let computed = embedded.and_then(|tokens| compute(run, segmenter, tokens.as_ref(), &mut reader, &mut files, watch));
    let finished = computed.and_then(|counts| match run.share {
        Share::Shard { .. } => Ok(Outcome::Shard),
        Share::All => {
            let counts = assembled(run, &reader, &journal, &mut files, counts, &results)?;
            let stretch = reader.stretch().clone();
            Ok(Outcome::Finished(Box::new(Finished { counts, stretch, results, journal: journal.clone() })))
        }
    });
    if finished.is_err() {
        if rows(&files) > 0 || files.iter().any(|file| !file.failed_windows().is_empty()) {
            let (done, folder) = (rows(&files), folder.display());
            reporter.note(&format!(
                "{done} of {of} rows are finished and kept in {folder}: the same command resumes there."
            ));
        } else if journal.is_new() && run.share == Share::All {
            // Nothing was computed, and nothing is left behind.
            drop(files);
            let _ = journal.remove();
        }
    }
    finished
}

/// Assembles the rasters of a scene whose rows several processes have computed.
///
/// # Errors
/// Rows are missing; the message lists their shards.
pub fn merge(run: &SceneRun<'_>, metrics: &RunMetrics) -> Result<Outcome> {
    let scene = run.scene;
    let folder = Journal::folder(&scene.outputs.labels);
    let reader = SceneReader::open_even_empty(&scene.info, scene.bands, &scene.stretch)?;
    let mut fingerprint = fingerprint(run, &reader);
    if !Journal::is_begun(&folder) {
        let results = results(run, &fingerprint)?;
        if results.finished() {
            let windows = run.job.plan.grid(scene).len();
            metrics.windows.add(windows);
            metrics.windows_earlier.add(windows);
            return Ok(Outcome::Earlier(results.notes()));
        }
        return Err(Error::input(format!("nothing has been computed of {} yet", scene.name()))
            .with_hint("Run its shards first: `segearth run JOB.yaml --shard 1/4`, then 2/4 and so on."));
    }
    // Rows are joined wherever they were computed.
    if let Some(device) = Journal::fingerprint_entry(&folder, DEVICE) {
        fingerprint.set(DEVICE, device);
    }
    let journal =
        Journal::open(&folder, &fingerprint, &layers::of(run), scene.row_grid(), &Division::whole(Vec::new()))?;
    let mut files = open(run, &journal, journal.parts())?;
    let bands = files.chunk_by(|a, b| a.part().row == b.part().row);
    let missing: Vec<String> = bands
        .enumerate()
        .filter(|(_, band)| !band.iter().all(RowFile::is_complete))
        .map(|(index, band)| {
            let shard = journal.first().saturating_add(index + 1);
            format!("  shard {shard}/{}: {} of {} rows", journal.shards(), rows(band), total_rows(band))
        })
        .collect();
    if !missing.is_empty() {
        let (scene, missing) = (scene.name(), missing.join("\n"));
        return Err(Error::input(format!("{scene} is not complete; finished rows:\n{missing}"))
            .with_hint("Run these shards again: each resumes where it stopped."));
    }
    let results = results(run, &fingerprint)?;
    let counts = assembled(run, &reader, &journal, &mut files, Counts::default(), &results)?;
    metrics.windows.add(run.job.plan.grid(scene).len());
    metrics.windows_earlier.add(counts.all_windows.computed);
    metrics.windows_empty.add(counts.all_windows.empty);
    metrics.windows_failed.add(counts.failed_windows.len());
    metrics.rows.add(total_rows(&files));
    Ok(Outcome::Finished(Box::new(Finished { counts, stretch: reader.stretch().clone(), results, journal })))
}

/// The files of some parts, with what earlier runs have left in them.
fn open(run: &SceneRun<'_>, journal: &Journal, parts: &[Window]) -> Result<Vec<RowFile>> {
    let grid = run.job.plan.grid(run.scene);
    let files = parts.iter().map(|part| journal.part(*part)).collect::<Result<Vec<_>>>()?;
    files.iter().try_for_each(|file| file.check_failed_windows(|window| grid.has(window)))?;
    Ok(files)
}

/// Whether an earlier run has finished the scene.
pub fn is_finished(run: &SceneRun<'_>) -> Result<bool> {
    let scene = run.scene;
    if Journal::is_begun(&Journal::folder(&scene.outputs.labels)) || !scene.outputs.labels.exists() {
        return Ok(false);
    }
    Ok(results(run, &whole_fingerprint(run)?)?.finished())
}

/// Refuses the unfinished results of another run, before anything is computed.
///
/// # Errors
/// The scene's journal is of a run with other settings or inputs, or cannot be read. Rows of another device are found when
/// it is opened.
pub fn check_unfinished(run: &SceneRun<'_>) -> Result<()> {
    let folder = Journal::folder(&run.scene.outputs.labels);
    if !Journal::is_begun(&folder) {
        return Ok(());
    }
    let mut fingerprint = whole_fingerprint(run)?;
    if let Some(device) = Journal::fingerprint_entry(&folder, DEVICE) {
        fingerprint.set(DEVICE, device);
    }
    Journal::check(&folder, &fingerprint, &layers::of(run))
}

/// All that decides a scene's results, its stretch included.
pub fn whole_fingerprint(run: &SceneRun<'_>) -> Result<Fingerprint> {
    let scene = run.scene;
    Ok(fingerprint(run, &SceneReader::open_even_empty(&scene.info, scene.bands, &scene.stretch)?))
}

fn results(run: &SceneRun<'_>, fingerprint: &Fingerprint) -> Result<Results> {
    Results::check(&run.job.plan, run.scene, fingerprint, run.options.existing(run.share != Share::All))
}

fn fingerprint(run: &SceneRun<'_>, reader: &SceneReader) -> Fingerprint {
    let mut fingerprint = run.provenance.fingerprint.clone();
    fingerprint.set("stretch", reader.stretch().to_string());
    fingerprint
}

fn rows(files: &[RowFile]) -> usize {
    files.iter().map(RowFile::rows).sum()
}

fn total_rows(files: &[RowFile]) -> usize {
    files.iter().map(|file| file.part().height).sum()
}

/// The tokens of the windows that the files lack, where the job has a store.
fn embedded(
    run: &SceneRun<'_>,
    reader: &mut SceneReader,
    files: &[RowFile],
    watch: Watch<'_>,
) -> Result<Option<SceneStore>> {
    let Some(embedder) = &run.job.embedder else { return Ok(None) };
    let rests: Vec<Window> =
        files.iter().filter(|file| !file.is_complete()).map(|file| run.scene.seen(file.rest())).collect();
    embedder.scene(run.scene.into(), &run.job.plan.tiling, reader, &rests, watch).map(Some)
}

/// Computes the rows that the files lack. `tokens`: those of the windows, where they are known.
fn compute(
    run: &SceneRun<'_>,
    segmenter: &mut dyn Segmenter,
    tokens: Option<&SceneStore>,
    reader: &mut SceneReader,
    files: &mut [RowFile],
    watch: Watch<'_>,
) -> Result<Counts> {
    let grid = run.job.plan.grid(run.scene);
    let mut counts = Counts::default();
    if files.iter().any(|file| !file.failed_windows().is_empty()) && !run.options.allow_failed_windows {
        return Err(Error::input("an earlier run of this job left out failed windows, which this one does not allow")
            .with_hint("Run it with --allow-failed-windows again, or restart with --overwrite."));
    }
    let windows = files.iter().map(|file| grid.count_reaching(run.scene.seen(file.part()))).sum();
    watch.metrics.windows.take(grid.len());
    watch.metrics.windows.add(windows);
    if files.iter().any(|file| !file.is_complete()) {
        fit::fit(run, segmenter, &grid, reader, watch)?;
    }
    let label = format!("segmenting {}", run.scene.title());
    let meter = Meter::new(watch.reporter.progress(&label, windows, "windows"), watch.metrics);
    let mut images = match run.job.local.is_some() && files.iter().any(|file| !file.is_complete()) {
        true => LocalImages::open(run.scene)?,
        false => LocalImages::default(),
    };
    for file in files.iter_mut() {
        counts.windows += part::compute(run, &grid, segmenter, tokens, reader, &mut images, file, watch.stop, &meter)?;
    }
    Ok(counts)
}

/// The windows that could not be computed, each once: parts beside each other meet the same ones.
fn failed_windows(files: &[RowFile]) -> Vec<Window> {
    let mut failed_windows: Vec<Window> = files.iter().flat_map(RowFile::failed_windows).copied().collect();
    failed_windows.sort_by_key(|window| (window.row, window.col));
    failed_windows.dedup();
    failed_windows
}

/// Assembles the rasters from all rows, and publishes those that are to be written.
fn assembled(
    run: &SceneRun<'_>,
    reader: &SceneReader,
    journal: &Journal,
    files: &mut [RowFile],
    mut counts: Counts,
    results: &Results,
) -> Result<Counts> {
    let mut tags = run.job.tags.clone();
    tags.push(("SEGEARTH_SCENE".to_owned(), run.scene.title()));
    tags.push(("SEGEARTH_STRETCH".to_owned(), reader.stretch().to_string()));
    counts.failed_windows = failed_windows(files);
    // Where a class must reach a threshold and there is no background, a pixel with data may have no label.
    let Classifier { thresholds, background, margin, .. } = &run.job.classifier;
    let unsure = background.is_none() && (*margin > 0.0 || thresholds.iter().any(|threshold| *threshold > 0.0));
    // Labels on the scene's own grid do not show every pixel of the model's.
    let unsure = unsure || run.scene.zoom().is_some();
    let is_empty = unsure.then_some(|window| reader.read(window).is_ok_and(|tile| tile.is_empty()));
    let staged = results.stage(&RASTERS)?;
    let outputs = OutputPaths {
        labels: staged.path("labels").unwrap_or_else(|| run.scene.outputs.labels.clone()),
        scores: staged.path("scores"),
        confidence: staged.path("confidence"),
        margin: staged.path("margin"),
        ..run.scene.outputs.clone()
    };
    let windows =
        assemble::assemble(run, &outputs, journal, files, &tags, &mut counts).map_err(|error| staged.explain(error))?;
    staged.publish()?;
    counts.all_windows = windows.counts(&counts.failed_windows, is_empty);
    Ok(counts)
}

#[cfg(test)]
mod tests;
