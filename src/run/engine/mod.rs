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
mod layers;
mod memory;
mod meter;
mod queue;
mod read;
mod stitch;
mod windows;

use std::sync::OnceLock;
use std::thread;

pub use areas::Areas;
pub use memory::least as least_memory;
use meter::Meter;
use queue::queue;
pub use windows::WindowCounts;

use super::results::{RASTERS, Results};
use super::run_metrics::RunMetrics;
use super::stop::Stop;
use crate::error::{Error, Kind, Result};
use crate::geom::{Grid, Window};
use crate::journal::{self, Division, Fingerprint, Journal, RowFile};
use crate::model::{Normalisation, Padding, Region, Segmenter};
use crate::outputs::Existing;
use crate::pipeline::{OutputPaths, Plan, ScenePlan};
use crate::raster::{self, SceneReader, Stretch};
use crate::report::Reporter;
use crate::scene::{ClassInfo, Classifier};
use crate::stitch::window_weights;

/// Batches that may wait between two threads.
const QUEUE: usize = 2;
/// Rows that become labels at once: what bounds the memory of scores.
const ROWS_AT_ONCE: usize = 32;
/// The tag by which a finished raster tells what it was run on.
const IDENTITY_TAG: &str = "SEGEARTH_RUN";

/// What a user says about a run, and not about its results.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Bytes that the program may take; `None`: as the system has them.
    pub memory: Option<u64>,
    /// Throw away what an earlier run has left, finished or not, and replace outputs that exist.
    pub overwrite: bool,
    /// Leave out windows that cannot be computed.
    pub allow_failed_windows: bool,
}

/// How much of a scene this process computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Share {
    All,
    /// That of the process `index`, counted from 1, of the `count` that share the job: one of the scene's bands. Whoever
    /// merges makes the rasters.
    Shard {
        index: usize,
        count: usize,
        bands: Bands,
    },
}

/// How a scene is cut into bands of rows, one for each of some processes that follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bands {
    /// The process of the first band, counted from 0.
    pub first: usize,
    pub count: usize,
    /// What the first band costs, and each of the others but the last: shares of the scene.
    pub head: f64,
    pub step: f64,
}

impl Bands {
    /// Where a band but the first begins, as a share of what the scene costs.
    pub fn start(&self, band: usize) -> f64 {
        self.head + (band as f64 - 1.0) * self.step
    }
}

impl Options {
    /// What becomes of outputs that exist.
    pub fn existing(&self, shared: bool) -> Existing {
        match (self.overwrite, shared) {
            (true, _) => Existing::Replace,
            (false, true) => Existing::RefuseShared,
            (false, false) => Existing::Refuse,
        }
    }
}

/// One scene's work, every choice made.
pub struct Engine<'a> {
    pub plan: &'a Plan,
    pub scene: &'a ScenePlan,
    pub options: Options,
    /// Bytes of the process with a model that has computed a batch, once a limit on memory has asked for them.
    pub with_model: &'a OnceLock<f64>,
    pub share: Share,
    pub normalisation: Normalisation,
    pub patch: usize,
    pub classifier: Classifier,
    pub classes: Vec<ClassInfo>,
    /// Provenance for the outputs.
    pub tags: Vec<(String, String)>,
    /// All that decides the results, but the stretch.
    pub fingerprint: Fingerprint,
    /// What the reader should know of that: sentences.
    pub notes: Vec<String>,
}

/// Who watches a run, and who may end it.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    pub stop: &'a Stop,
    pub metrics: &'a RunMetrics,
    pub reporter: &'a Reporter,
}

/// What came of a scene.
#[derive(Debug, Default)]
pub struct Counts {
    /// Windows computed by this run; those that two parts of the scene share once for each.
    pub windows: usize,
    /// All of the scene's, by whichever run.
    pub all_windows: WindowCounts,
    /// Windows that could not be computed, by whichever run.
    pub failed_windows: Vec<Window>,
    /// Pixels of each class.
    pub classes: Vec<u64>,
    pub nodata: u64,
    /// Square metres of both; `None` where no CRS says how large pixels are.
    pub areas: Option<Areas>,
}

/// How far a scene has come.
pub enum Outcome {
    /// An earlier run has finished it; with what is to be said of it.
    Earlier(Vec<String>),
    /// This process has computed its share of the rows.
    Shard,
    Finished(Box<Finished>),
}

/// A scene whose rasters are complete.
pub struct Finished {
    pub counts: Counts,
    pub stretch: Stretch,
    /// What becomes of the outputs; the rasters are there.
    pub results: Results,
    /// To be removed when all that is made from the rasters is complete as well.
    pub journal: Journal,
}

/// What passes between the threads. One that ends without `End` or `Stop` has failed: what it sent so far must not become
/// a result.
enum Message<T> {
    Work(T),
    /// A window that could not be computed, and need not be.
    Failed(Window),
    /// That was all.
    End,
    /// Somebody stopped the program: what is finished is kept.
    Stop,
}

/// What the stitcher needs of a tile.
struct TileMask {
    window: Window,
    valid: Option<Vec<bool>>,
}

/// Segments one scene: reads it, runs the model, writes labels and scores; or does its share of that.
///
/// # Errors
/// The first thing that fails anywhere stops all threads; nothing appears under the outputs' names then, and the rows that
/// were finished are kept for the next run.
pub fn run(engine: &Engine<'_>, segmenter: &mut dyn Segmenter, watch: Watch<'_>) -> Result<Outcome> {
    let (scene, reporter) = (engine.scene, watch.reporter);
    let folder = Journal::folder(&scene.outputs.labels);
    if engine.options.overwrite {
        journal::remove(&folder)?;
    }
    let mut reader = SceneReader::open_even_empty(&scene.info, scene.bands, &scene.stretch)?;
    let fingerprint = fingerprint(engine, &reader);
    let results = results(engine, &fingerprint)?;
    if !engine.options.overwrite && !Journal::is_begun(&folder) && results.finished() {
        watch.metrics.windows_earlier.add(engine.plan.grid(scene).len());
        return Ok(Outcome::Earlier(results.notes()));
    }
    // What cannot be read fails where its windows are read, or is left out there.
    let survey = raster::survey(&scene.info, scene.bands).unwrap_or_default();
    survey.notes.iter().for_each(|note| reporter.note(note));
    let layers = layers::of(engine);
    let (division, note) = divide::divide(engine, &reader, segmenter, &layers)?;
    note.iter().for_each(|note| reporter.note(note));
    let journal = Journal::open(&folder, &fingerprint, &layers, scene.info.size, &division)?;
    let mine = match engine.share {
        Share::All => journal.parts().to_vec(),
        Share::Shard { index, .. } => journal.band(index - 1),
    };
    if mine.len() > 1 {
        reporter.detail(&format!("Computed in {} columns.", mine.len()));
    }
    let mut files = open(engine, &journal, &mine)?;
    let (before, of) = (rows(&files), total_rows(&files));
    if before > 0 {
        reporter.note(&format!("{} goes on from an earlier run: {before} of {of} rows are finished.", scene.name()));
    }
    let computed = compute(engine, segmenter, &mut reader, &mut files, watch);
    let finished = computed.and_then(|counts| match engine.share {
        Share::Shard { .. } => Ok(Outcome::Shard),
        Share::All => {
            let counts = assembled(engine, &reader, &journal, &mut files, counts, &results)?;
            let stretch = reader.stretch().clone();
            Ok(Outcome::Finished(Box::new(Finished { counts, stretch, results, journal: journal.clone() })))
        }
    });
    if finished.is_err() {
        if rows(&files) > 0 || files.iter().any(|file| !file.failed_windows().is_empty()) {
            let (done, folder) = (rows(&files), folder.display());
            reporter.note(&format!(
                "{done} of {of} rows are finished and kept in {folder}: the same command goes on from there."
            ));
        } else if journal.is_new() && engine.share == Share::All {
            // Nothing was gained, and nothing is left behind.
            drop(files);
            let _ = journal.remove();
        }
    }
    finished
}

/// Makes the rasters of a scene whose rows several processes have computed.
///
/// # Errors
/// Rows are missing; whose, is said.
pub fn merge(engine: &Engine<'_>, metrics: &RunMetrics) -> Result<Outcome> {
    let scene = engine.scene;
    let folder = Journal::folder(&scene.outputs.labels);
    let reader = SceneReader::open_even_empty(&scene.info, scene.bands, &scene.stretch)?;
    let mut fingerprint = fingerprint(engine, &reader);
    if !Journal::is_begun(&folder) {
        let results = results(engine, &fingerprint)?;
        if results.finished() {
            let windows = engine.plan.grid(scene).len();
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
        Journal::open(&folder, &fingerprint, &layers::of(engine), scene.info.size, &Division::whole(Vec::new()))?;
    let mut files = open(engine, &journal, journal.parts())?;
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
        return Err(Error::input(format!("{scene} is not yet computed as a whole; finished are of\n{missing}"))
            .with_hint("Run these shards again: each goes on where it stopped."));
    }
    let results = results(engine, &fingerprint)?;
    let counts = assembled(engine, &reader, &journal, &mut files, Counts::default(), &results)?;
    metrics.windows.add(engine.plan.grid(scene).len());
    metrics.windows_earlier.add(counts.all_windows.computed);
    metrics.windows_empty.add(counts.all_windows.empty);
    metrics.windows_failed.add(counts.failed_windows.len());
    metrics.rows.add(total_rows(&files));
    Ok(Outcome::Finished(Box::new(Finished { counts, stretch: reader.stretch().clone(), results, journal })))
}

/// The files of some parts, with what earlier runs have left in them.
fn open(engine: &Engine<'_>, journal: &Journal, parts: &[Window]) -> Result<Vec<RowFile>> {
    let grid = engine.plan.grid(engine.scene);
    let files = parts.iter().map(|part| journal.part(*part)).collect::<Result<Vec<_>>>()?;
    files.iter().try_for_each(|file| file.check_failed_windows(|window| grid.has(window)))?;
    Ok(files)
}

/// Whether an earlier run has finished the scene.
pub fn is_done(engine: &Engine<'_>) -> Result<bool> {
    let scene = engine.scene;
    if Journal::is_begun(&Journal::folder(&scene.outputs.labels)) || !scene.outputs.labels.exists() {
        return Ok(false);
    }
    Ok(results(engine, &whole_fingerprint(engine)?)?.finished())
}

/// All that decides a scene's results, its stretch included.
pub fn whole_fingerprint(engine: &Engine<'_>) -> Result<Fingerprint> {
    let scene = engine.scene;
    Ok(fingerprint(engine, &SceneReader::open_even_empty(&scene.info, scene.bands, &scene.stretch)?))
}

fn results(engine: &Engine<'_>, fingerprint: &Fingerprint) -> Result<Results> {
    let shared = matches!(engine.share, Share::Shard { .. });
    Results::check(engine.plan, engine.scene, fingerprint, engine.options.existing(shared))
}

/// The fact that tells a GPU's rows from a CPU's.
pub const DEVICE: &str = "device";

fn fingerprint(engine: &Engine<'_>, reader: &SceneReader) -> Fingerprint {
    let mut fingerprint = engine.fingerprint.clone();
    fingerprint.set("stretch", reader.stretch().to_string());
    fingerprint
}

fn rows(files: &[RowFile]) -> usize {
    files.iter().map(RowFile::rows).sum()
}

fn total_rows(files: &[RowFile]) -> usize {
    files.iter().map(|file| file.part().height).sum()
}

/// Computes the rows that the files lack.
fn compute(
    engine: &Engine<'_>,
    segmenter: &mut dyn Segmenter,
    reader: &mut SceneReader,
    files: &mut [RowFile],
    watch: Watch<'_>,
) -> Result<Counts> {
    let grid = engine.plan.grid(engine.scene);
    let mut counts = Counts::default();
    if files.iter().any(|file| !file.failed_windows().is_empty()) && !engine.options.allow_failed_windows {
        return Err(Error::input("an earlier run of this job left out failed windows, which this one does not allow")
            .with_hint("Run it with --allow-failed-windows again, or restart with --overwrite."));
    }
    let windows = files.iter().map(|file| grid.count_reaching(file.part())).sum();
    watch.metrics.windows.take(grid.len());
    watch.metrics.windows.add(windows);
    let label = format!("segmenting {}", engine.scene.title());
    let meter = Meter::new(watch.reporter.progress(&label, windows, "windows"), watch.metrics);
    for file in files.iter_mut() {
        counts.windows += part(engine, &grid, segmenter, reader, file, watch.stop, &meter)?;
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

/// Makes the rasters from all rows and gives those their names that are to be written.
fn assembled(
    engine: &Engine<'_>,
    reader: &SceneReader,
    journal: &Journal,
    files: &mut [RowFile],
    mut counts: Counts,
    results: &Results,
) -> Result<Counts> {
    let mut tags = engine.tags.clone();
    tags.push(("SEGEARTH_STRETCH".to_owned(), reader.stretch().to_string()));
    counts.failed_windows = failed_windows(files);
    // Where a class must reach a threshold and there is no background, a pixel with data may have no label.
    let Classifier { thresholds, background, .. } = &engine.classifier;
    let unsure = background.is_none() && thresholds.iter().any(|threshold| *threshold > 0.0);
    let is_empty = unsure.then_some(|window| reader.read(window).is_ok_and(|tile| tile.is_empty()));
    let staged = results.stage(&RASTERS)?;
    let outputs = OutputPaths {
        labels: staged.path("labels").unwrap_or_else(|| engine.scene.outputs.labels.clone()),
        scores: staged.path("scores"),
        confidence: staged.path("confidence"),
        margin: staged.path("margin"),
        ..engine.scene.outputs.clone()
    };
    let windows = assemble::assemble(engine, &outputs, journal, files, &tags, &mut counts)
        .map_err(|error| staged.explain(error))?;
    staged.publish()?;
    counts.all_windows = windows.counts(&counts.failed_windows, is_empty);
    Ok(counts)
}

/// Computes the rows that a part lacks. Gives the number of windows computed.
fn part(
    engine: &Engine<'_>,
    grid: &Grid,
    segmenter: &mut dyn Segmenter,
    reader: &mut SceneReader,
    file: &mut RowFile,
    stop: &Stop,
    meter: &Meter<'_>,
) -> Result<usize> {
    let whole = file.part();
    let rest = Window { row: whole.row + file.rows(), height: whole.height - file.rows(), ..whole };
    meter.earlier(grid.count_reaching(whole) - grid.count_reaching(rest));
    if file.is_complete() {
        return Ok(0);
    }
    let queries = segmenter.queries();
    let tiling = &engine.plan.tiling;
    let batch = memory::batch(engine, segmenter);
    let padding = Padding::new(grid.window(), engine.patch);
    let window = grid.window();
    let weights = [window.height, window.width].map(|side| window_weights(tiling.blend, side));
    let region = Region {
        region: rest,
        padding,
        weights: [&weights[0], &weights[1]],
        classifier: &engine.classifier,
        scores: layers::need_scores(engine),
        patient: engine.options.allow_failed_windows,
    };
    let counts = thread::scope(|scope| {
        let (to_model, from_reader) = queue(QUEUE, &meter.metrics.for_model);
        let (to_stitcher, from_model) = queue(QUEUE, &meter.metrics.for_stitcher);
        let reading = scope.spawn(move || read::read(engine, reader, grid, rest, batch, to_model, stop, meter));
        let file = &mut *file;
        let stitching = scope.spawn(move || stitch::stitch(engine, grid, rest, queries, from_model, file, meter));
        let computing = match segmenter.blends() {
            true => {
                let blender = segmenter.blender(&region);
                blender.and_then(|mut it| compute::blend(engine, it.as_mut(), rest, from_reader, to_stitcher))
            }
            false => compute::compute(engine, segmenter, &padding, from_reader, to_stitcher),
        };
        let read = reading.join().map_err(|_| Error::internal("the reading thread panicked"))?;
        let stitched = stitching.join().map_err(|_| Error::internal("the stitching thread panicked"))?;
        // A thread that fails makes its neighbours stop early without a fault of their own: the one at fault speaks.
        read?;
        computing?;
        stitched
    })?;
    if file.is_complete() {
        return Ok(counts);
    }
    match stop.signal() {
        Some((signal, name)) => Err(Error::new(Kind::Stopped { signal }, format!("stopped by {name}"))),
        None => Err(Error::internal(format!("{} of {} rows came out of {whole}", file.rows(), whole.height))),
    }
}

#[cfg(test)]
mod tests;
