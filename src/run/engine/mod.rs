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

mod assemble;
mod compute;
mod layers;
mod memory;
mod read;
mod stitch;

use std::sync::mpsc::sync_channel;
use std::thread;

pub use memory::{available as available_memory, least as least_memory};

use super::stop::Stop;
use crate::error::{Error, Kind, Result};
use crate::geom::{Grid, Window};
use crate::journal::{self, Identity, Journal, RowFile};
use crate::model::{Normalisation, Padding, Segmenter};
use crate::pipeline::{Plan, ScenePlan};
use crate::raster::{self, SceneReader, Stretch};
use crate::report::{Progress, Reporter};
use crate::scene::ClassInfo;
use crate::stitch::Classifier;

/// Batches that may wait between two threads.
const QUEUE: usize = 2;
/// Windows at a time where neither job nor experience says: the first to be tried.
const DEFAULT_BATCH: usize = 4;
/// Rows that become labels at once: what bounds the memory of scores.
const ROWS_AT_ONCE: usize = 32;
/// The tag by which a finished raster tells what it was run on.
const IDENTITY_TAG: &str = "SEGEARTH_RUN";

/// What a user says about a run, and not about its results.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Bytes that the program may take; `None`: as the system has them.
    pub memory: Option<u64>,
    /// Throw away what an earlier run has left, finished or not.
    pub overwrite: bool,
    /// Leave out windows that cannot be computed.
    pub allow_holes: bool,
}

/// One scene's work, every choice made.
pub struct Engine<'a> {
    pub plan: &'a Plan,
    pub scene: &'a ScenePlan,
    pub options: Options,
    pub normalisation: Normalisation,
    pub patch: usize,
    pub classifier: Classifier,
    pub classes: Vec<ClassInfo>,
    /// Provenance for the outputs.
    pub tags: Vec<(String, String)>,
    /// All that decides the results, but the stretch.
    pub identity: Identity,
}

/// What came of a scene.
#[derive(Debug, Default)]
pub struct Counts {
    /// Windows computed by this run.
    pub windows: usize,
    /// Windows without a single valid pixel: never computed.
    pub empty_windows: usize,
    /// Windows that could not be computed, by whichever run.
    pub holes: Vec<Window>,
    /// Pixels of each class.
    pub classes: Vec<u64>,
    pub nodata: u64,
}

/// A scene whose rasters are complete.
pub struct Finished {
    pub counts: Counts,
    pub stretch: Stretch,
    /// To be removed when all that is made from the rasters is complete as well.
    pub journal: Journal,
}

/// What passes between the threads. One that ends without `End` or `Stop` has failed: what it sent so far must not become
/// a result.
enum Message<T> {
    Work(T),
    /// A window that could not be computed, and need not be.
    Hole(Window),
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

/// Segments one scene: reads it, runs the model, writes labels and scores. `None`: an earlier run has finished it.
///
/// # Errors
/// The first thing that fails anywhere stops all threads; nothing appears under the outputs' names then, and the rows that
/// were finished are kept for the next run.
pub fn run(
    engine: &Engine<'_>,
    segmenter: &mut dyn Segmenter,
    stop: &Stop,
    reporter: &Reporter,
) -> Result<Option<Finished>> {
    let scene = engine.scene;
    let folder = Journal::folder(&scene.outputs.labels);
    if engine.options.overwrite {
        journal::remove(&folder)?;
    }
    let mut reader = SceneReader::open(&scene.info, scene.bands, &scene.stretch)?;
    let stretch = reader.stretch().clone();
    let mut identity = engine.identity.clone();
    identity.set("stretch", stretch.to_string());
    if !engine.options.overwrite && !Journal::is_begun(&folder) && is_finished(scene, &identity) {
        return Ok(None);
    }
    let layers = layers::of(engine);
    let parts = memory::parts(engine, segmenter.queries(), &layers)?;
    let journal = Journal::open(&folder, &identity, &layers, &parts)?;
    if journal.parts().len() > 1 {
        reporter.detail(&format!("Computed in {} columns.", journal.parts().len()));
    }
    let mut files = journal.parts().iter().map(|part| journal.part(*part)).collect::<Result<Vec<_>>>()?;
    let before = rows(&files);
    if !journal.is_new() {
        let of = total_rows(&files);
        reporter.note(&format!("{} goes on from an earlier run: {before} of {of} rows are finished.", scene.name()));
    }
    match compute_and_assemble(engine, segmenter, &mut reader, &journal, &mut files, stop, reporter) {
        Ok(mut counts) => {
            counts.holes = files.iter().flat_map(RowFile::holes).copied().collect();
            Ok(Some(Finished { counts, stretch, journal }))
        }
        Err(error) => {
            if rows(&files) > 0 || files.iter().any(|file| !file.holes().is_empty()) {
                let (done, of) = (rows(&files), total_rows(&files));
                let folder = folder.display();
                reporter.note(&format!(
                    "{done} of {of} rows are finished and kept in {folder}: the same command goes on from there."
                ));
            } else if journal.is_new() {
                // Nothing was gained, and nothing is left behind.
                drop(files);
                let _ = journal.remove();
            }
            Err(error)
        }
    }
}

fn rows(files: &[RowFile]) -> usize {
    files.iter().map(RowFile::rows).sum()
}

fn total_rows(files: &[RowFile]) -> usize {
    files.iter().map(|file| file.part().height).sum()
}

/// Whether all outputs are there and the labels were made by this very run.
fn is_finished(scene: &ScenePlan, identity: &Identity) -> bool {
    scene.outputs.named().all(|(_, path)| path.exists())
        && raster::tag(&scene.outputs.labels, IDENTITY_TAG).is_some_and(|hash| hash == identity.hash())
}

fn compute_and_assemble(
    engine: &Engine<'_>,
    segmenter: &mut dyn Segmenter,
    reader: &mut SceneReader,
    journal: &Journal,
    files: &mut [RowFile],
    stop: &Stop,
    reporter: &Reporter,
) -> Result<Counts> {
    let tiling = &engine.plan.tiling;
    let grid = Grid::new(engine.scene.info.size, tiling.window, tiling.stride);
    let (mut counts, stretch) = (Counts::default(), reader.stretch().to_string());
    if files.iter().any(|file| !file.holes().is_empty()) && !engine.options.allow_holes {
        return Err(Error::input(
            "an earlier run has left holes in the unfinished results, which this one may not have",
        )
        .with_hint("Run it with --allow-holes again, or start anew with --overwrite."));
    }
    let windows = files.iter().map(|file| grid.count_reaching(file.part())).sum();
    let progress = reporter.progress("segmenting", windows, "windows");
    for file in files.iter_mut() {
        let (computed, empty) = part(engine, &grid, segmenter, reader, file, stop, &progress)?;
        counts.windows += computed;
        counts.empty_windows += empty;
    }
    drop(progress);
    let mut tags = engine.tags.clone();
    tags.push(("SEGEARTH_STRETCH".to_owned(), stretch));
    assemble::assemble(engine, journal.identity(), journal.layers(), files, &tags, &mut counts)?;
    Ok(counts)
}

/// Computes the rows that a part lacks. Gives the number of windows computed, and of those without data.
fn part(
    engine: &Engine<'_>,
    grid: &Grid,
    segmenter: &mut dyn Segmenter,
    reader: &mut SceneReader,
    file: &mut RowFile,
    stop: &Stop,
    progress: &Progress,
) -> Result<(usize, usize)> {
    let whole = file.part();
    let rest = Window { row: whole.row + file.rows(), height: whole.height - file.rows(), ..whole };
    progress.skip(grid.count_reaching(whole) - grid.count_reaching(rest));
    if file.is_complete() {
        return Ok((0, 0));
    }
    let queries = segmenter.queries();
    let padding = Padding::new(grid.window(), engine.patch);
    let counts = thread::scope(|scope| {
        let (to_model, from_reader) = sync_channel(QUEUE);
        let (to_stitcher, from_model) = sync_channel(QUEUE);
        let reading = scope.spawn(move || read::read(engine, reader, grid, rest, to_model, stop, progress));
        let file = &mut *file;
        let stitching = scope.spawn(move || stitch::stitch(engine, grid, rest, queries, from_model, file, progress));
        let computing = compute::compute(engine, segmenter, &padding, from_reader, to_stitcher);
        let read = reading.join().map_err(|_| Error::internal("the reading thread panicked"))?;
        let stitched = stitching.join().map_err(|_| Error::internal("the stitching thread panicked"))?;
        // A thread that fails makes its neighbours stop early without a fault of their own: the one at fault speaks.
        let empty = read?;
        computing?;
        stitched.map(|windows| (windows, empty))
    })?;
    if file.is_complete() {
        return Ok(counts);
    }
    match stop.signal() {
        Some((signal, name)) => Err(Error::new(Kind::Stopped { signal }, format!("stopped by {name}"))),
        None => Err(Error::internal(format!("{} of {} rows came out of {whole}", file.rows(), whole.height))),
    }
}

/// Puts the place before the error of a window.
fn at(window: Window, error: Error) -> Error {
    let kind = error.kind();
    Error::new(kind, format!("the model failed at {window}")).with_source(error)
}
