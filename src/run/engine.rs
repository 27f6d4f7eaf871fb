//! The scene loop: a reader ahead, one thread with the model, a stitcher that also writes.
//!
//! ```text
//!  reader ──(batches of windows, bounded)──► model ──(logits, bounded)──► stitcher: blend, label, write
//! ```

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::error::{Context, Error, Kind, Result};
use crate::geom::{Grid, Size, Window};
use crate::model::{Images, Normalisation, Padding, Segmenter, normalise};
use crate::pipeline::{Plan, ScenePlan};
use crate::raster::{LabelWriter, SceneReader, ScoreWriter};
use crate::report::{Progress, Reporter};
use crate::scene::{ClassInfo, LabelType, Tile};
use crate::stitch::{Accumulator, Certainty, Classifier, Labelled, Regrid, Row, certainty};

/// Batches that may wait between two threads.
const QUEUE: usize = 2;
/// Windows at a time where neither job nor experience says: the first to be tried.
const DEFAULT_BATCH: usize = 4;
/// Rows that become labels at once: what bounds the memory of scores.
const ROWS_AT_ONCE: usize = 32;

/// Bytes that a scene's rows take at the most, from the model's answers to labels and scores.
pub fn memory(scene: Size, window: usize, stride: usize, queries: usize, classes: usize) -> f64 {
    let at_once = scene.height.min(ROWS_AT_ONCE) as f64 * scene.width as f64;
    // Labels, and scores twice: by row and by class.
    Accumulator::memory(scene, Size::new(window, window), stride, queries) + at_once * (2.0 + 8.0 * classes as f64)
}

/// One scene's work, every choice made.
pub struct Engine<'a> {
    pub plan: &'a Plan,
    pub scene: &'a ScenePlan,
    pub normalisation: Normalisation,
    pub patch: usize,
    pub classifier: Classifier,
    pub classes: Vec<ClassInfo>,
    /// Provenance for the outputs.
    pub tags: Vec<(String, String)>,
}

/// What came of a scene.
#[derive(Debug, Default)]
pub struct Counts {
    pub windows: usize,
    /// Windows without a single valid pixel: never computed.
    pub empty_windows: usize,
    /// Pixels of each class.
    pub classes: Vec<u64>,
    pub nodata: u64,
}

/// A thread that ends without having sent `End` has failed: what it sent so far must not become a result.
enum Message<T> {
    Work(T),
    End,
}

/// Windows on their way to the model.
struct Batch {
    tiles: Vec<TileMask>,
    images: Images,
}

/// What the stitcher needs of a tile.
struct TileMask {
    window: Window,
    valid: Option<Vec<bool>>,
}

/// Windows on their way to the stitcher.
struct Answers {
    tiles: Vec<TileMask>,
    /// (window, query, row, column)
    logits: Vec<f32>,
}

/// Segments one scene: reads it, runs the model, writes labels and scores.
///
/// # Errors
/// The first thing that fails anywhere stops all threads; nothing appears under the outputs' names then.
pub fn run(engine: &Engine<'_>, segmenter: &mut dyn Segmenter, reporter: &Reporter) -> Result<Counts> {
    let scene = engine.scene;
    let tiling = &engine.plan.tiling;
    let grid = Grid::new(scene.info.size, tiling.window, tiling.stride);
    let reader = SceneReader::open(&scene.info, scene.bands, &scene.stretch)?;
    let mut tags = engine.tags.clone();
    tags.push(("SEGEARTH_STRETCH".to_owned(), reader.stretch().to_string()));
    let writers = Writers::create(engine, &tags)?;
    let queries = segmenter.queries();
    let progress = reporter.progress("segmenting", grid.len(), "windows");
    let batch = tiling.batch.unwrap_or(DEFAULT_BATCH);

    thread::scope(|scope| {
        let (to_model, from_reader) = sync_channel(QUEUE);
        let (to_stitcher, from_model) = sync_channel(QUEUE);
        let (grid, progress) = (&grid, &progress);
        let reading = scope.spawn(move || read(engine, reader, grid, batch, to_model, progress));
        let stitching = scope.spawn(move || stitch(engine, grid, queries, from_model, writers, progress));
        let padding = Padding::new(grid.window(), engine.patch);
        let computing = compute(segmenter, &padding, from_reader, to_stitcher);
        let read = reading.join().map_err(|_| Error::internal("the reading thread panicked"))?;
        let stitched = stitching.join().map_err(|_| Error::internal("the stitching thread panicked"))?;
        // A thread that fails makes its neighbours stop early without a fault of their own: the one at fault speaks.
        let empty_windows = read?;
        computing?;
        let mut counts = stitched?;
        counts.windows = grid.len() - empty_windows;
        counts.empty_windows = empty_windows;
        Ok(counts)
    })
}

/// Reads all windows in order and sends those that hold data, in batches. Gives the number of windows left out.
fn read(
    engine: &Engine<'_>,
    reader: SceneReader,
    grid: &Grid,
    batch: usize,
    to_model: SyncSender<Message<Batch>>,
    progress: &Progress,
) -> Result<usize> {
    let padding = Padding::new(grid.window(), engine.patch);
    let mut waiting: Vec<Tile> = Vec::with_capacity(batch);
    let mut empty = 0;
    let send = |tiles: &mut Vec<Tile>| {
        let images = normalise(tiles, &engine.normalisation, &padding);
        let tiles = tiles.drain(..).map(|Tile { window, valid, .. }| TileMask { window, valid }).collect();
        to_model.send(Message::Work(Batch { tiles, images })).is_ok()
    };
    for window in grid.windows() {
        let tile = reader.read(window)?;
        if tile.is_empty() {
            empty += 1;
            progress.skip(1);
            continue;
        }
        waiting.push(tile);
        if waiting.len() == batch && !send(&mut waiting) {
            return Ok(empty);
        }
    }
    if waiting.is_empty() || send(&mut waiting) {
        // The model's thread may be gone: it then has a fault of its own to tell.
        let _ = to_model.send(Message::End);
    }
    Ok(empty)
}

/// Runs the model over what the reader sends.
fn compute(
    segmenter: &mut dyn Segmenter,
    padding: &Padding,
    from_reader: Receiver<Message<Batch>>,
    to_stitcher: SyncSender<Message<Answers>>,
) -> Result<()> {
    let mut limit = usize::MAX;
    for message in from_reader {
        let Message::Work(Batch { tiles, images }) = message else {
            let _ = to_stitcher.send(Message::End);
            break;
        };
        let place = tiles.first().map(|tile| tile.window);
        let logits = segment(segmenter, &images, &mut limit)
            .and_then(|logits| finite(logits, segmenter.queries(), &tiles, &images))
            .map_err(|error| match place {
                Some(window) => {
                    let kind = error.kind();
                    let message = match tiles.len() - 1 {
                        0 => format!("the model failed at {window}"),
                        1 => format!("the model failed at {window} or at the window after it"),
                        more => format!("the model failed at {window} or at one of the {more} windows after it"),
                    };
                    Error::new(kind, message).with_source(error)
                }
                None => error,
            })?;
        if to_stitcher.send(Message::Work(Answers { tiles, logits: padding.cut(logits) })).is_err() {
            break;
        }
    }
    Ok(())
}

/// Runs the model on at most `limit` images at once; where memory runs out, halves the limit and tries again.
fn segment(segmenter: &mut dyn Segmenter, images: &Images, limit: &mut usize) -> Result<Vec<f32>> {
    let plane = 3 * images.size.pixels();
    let mut logits = Vec::new();
    let mut done = 0;
    while done < images.count {
        let count = (*limit).min(images.count - done);
        let part = match count == images.count {
            true => segmenter.segment(images),
            false => {
                let pixels = images.pixels[done * plane..(done + count) * plane].to_vec();
                segmenter.segment(&Images { size: images.size, count, pixels })
            }
        };
        match part {
            Ok(part) if part.len() == images.count * plane / 3 * segmenter.queries() => return Ok(part),
            Ok(part) => {
                logits.extend(part);
                done += count;
            }
            Err(error) if error.kind() == Kind::OutOfMemory && count > 1 => *limit = count / 2,
            Err(error) => return Err(error),
        }
    }
    Ok(logits)
}

/// A single NaN would make a label out of nothing: it is an error with its place instead.
fn finite(logits: Vec<f32>, queries: usize, tiles: &[TileMask], images: &Images) -> Result<Vec<f32>> {
    let per_window = queries * images.size.pixels();
    match logits.iter().position(|logit| !logit.is_finite()) {
        None => Ok(logits),
        Some(at) => {
            let window = tiles.get(at / per_window.max(1)).map(|tile| tile.window.to_string()).unwrap_or_default();
            Err(Error::input(format!("the model's logits are no numbers at {window}"))
                .with_hint("Half precision can overflow: import the model with --precision fp32 or bf16."))
        }
    }
}

/// Blends what the model answers and writes rows as they are finished.
fn stitch(
    engine: &Engine<'_>,
    grid: &Grid,
    queries: usize,
    from_model: Receiver<Message<Answers>>,
    mut writers: Writers,
    progress: &Progress,
) -> Result<Counts> {
    let mut accumulator = Accumulator::new(grid.scene(), grid.window(), queries, engine.plan.tiling.blend);
    let mut counts = Counts { classes: vec![0; engine.classes.len()], ..Counts::default() };
    for message in from_model {
        let Message::Work(Answers { tiles, logits }) = message else {
            finish(engine, &mut accumulator, grid.scene().height, &mut writers, &mut counts)?;
            writers.finish()?;
            break;
        };
        let per_window = logits.len() / tiles.len();
        for (tile, logits) in tiles.iter().zip(logits.chunks_exact(per_window)) {
            // Windows come row by row: what lies above this one is finished.
            finish(engine, &mut accumulator, tile.window.row, &mut writers, &mut counts)?;
            accumulator.add(&tile.window, logits, tile.valid.as_deref());
        }
        progress.advance(tiles.len());
    }
    Ok(counts)
}

fn finish(
    engine: &Engine<'_>,
    accumulator: &mut Accumulator,
    before: usize,
    writers: &mut Writers,
    counts: &mut Counts,
) -> Result<()> {
    while writers.next_row < before {
        let rows = accumulator.finish_before(before.min(writers.next_row + ROWS_AT_ONCE));
        writers.write(engine, &rows, counts)?;
        accumulator.recycle(rows);
    }
    Ok(())
}

/// The rasters of one scene.
struct Writers {
    labels: LabelWriter,
    scores: Option<ScoreWriter>,
    confidence: Option<ScoreWriter>,
    margin: Option<ScoreWriter>,
    /// From the model's grid to that of the results, where they differ.
    regrid: Option<Regrid>,
    /// On the model's grid.
    next_row: usize,
}

impl Writers {
    fn create(engine: &Engine<'_>, tags: &[(String, String)]) -> Result<Self> {
        let ScenePlan { info, outputs, .. } = engine.scene;
        let (size, place) = engine.scene.output_grid();
        let regrid = match &info.access.native {
            Some(native) if engine.scene.on_native_grid => Some(Regrid::new(info.size, native.size, native.scale)),
            _ => None,
        };
        let label_type = LabelType::for_classes(engine.classes.len());
        let rasters = engine.plan.rasters;
        let scores = |path: &Option<PathBuf>, names: &[&str], kind| {
            path.as_ref()
                .map(|path| ScoreWriter::create(path, size, place, names, kind, rasters.layout, tags))
                .transpose()
        };
        let names: Vec<&str> = engine.classes.iter().map(|class| class.name.as_str()).collect();
        Ok(Self {
            labels: LabelWriter::create(
                &outputs.labels,
                size,
                place,
                &engine.classes,
                label_type,
                rasters.layout,
                tags,
            )?,
            scores: scores(&outputs.scores, &names, rasters.scores)?,
            confidence: scores(&outputs.confidence, &["confidence"], rasters.certainty)?,
            margin: scores(&outputs.margin, &["margin"], rasters.certainty)?,
            regrid,
            next_row: 0,
        })
    }

    fn write(&mut self, engine: &Engine<'_>, rows: &[Row], counts: &mut Counts) -> Result<()> {
        let labelled = engine.classifier.classify(rows);
        let here = self.next_row..self.next_row + rows.len();
        self.next_row = here.end;
        let Some(regrid) = self.regrid else { return self.write_labelled(here.start, &labelled, engine, counts) };
        let there = regrid.rows(&here);
        for first in there.clone().step_by(ROWS_AT_ONCE) {
            let rows = first..there.end.min(first + ROWS_AT_ONCE);
            let labels = regrid.expand(&labelled.labels, 1, here.start, &rows);
            let scores = regrid.expand(&labelled.scores, engine.classes.len(), here.start, &rows);
            self.write_labelled(first, &Labelled { labels, scores }, engine, counts)?;
        }
        Ok(())
    }

    /// Writes rows on the grid of the results.
    fn write_labelled(
        &mut self,
        first_row: usize,
        labelled: &Labelled,
        engine: &Engine<'_>,
        counts: &mut Counts,
    ) -> Result<()> {
        for &label in &labelled.labels {
            match counts.classes.get_mut(usize::from(label)) {
                Some(count) => *count += 1,
                None => counts.nodata += 1,
            }
        }
        self.labels.write_rows(first_row, &labelled.labels)?;
        if let Some(scores) = &mut self.scores {
            scores.write_rows(first_row, &labelled.scores)?;
        }
        if self.confidence.is_some() || self.margin.is_some() {
            let Certainty { confidence, margin } = certainty(&labelled.scores, engine.classes.len());
            for (writer, values) in [(&mut self.confidence, confidence), (&mut self.margin, margin)] {
                if let Some(writer) = writer {
                    writer.write_rows(first_row, &values)?;
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        for (what, writer) in [("scores", self.scores), ("confidence", self.confidence), ("margin", self.margin)] {
            if let Some(writer) = writer {
                writer.finish().input(|| format!("the {what} cannot be completed"))?;
            }
        }
        self.labels.finish()
    }
}
