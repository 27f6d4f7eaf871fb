//! How much memory a scene's rows take, and into how many columns a scene is cut to keep to a limit.

use std::ops::Range;

use super::super::process::{available, resident};
use super::{Engine, QUEUE, ROWS_AT_ONCE};
use crate::error::{Error, Result};
use crate::journal::Layer;
use crate::model::Segmenter;
use crate::stitch::Accumulator;

/// Columns narrower than this many windows compute more for their neighbours than for themselves.
const NARROWEST: usize = 2;

/// More columns than any scene of this world needs with a window's worth of memory: a header may claim any width.
const MOST: usize = 64;

/// The share of the memory at hand that a scene's rows may take where no limit is given: models grow while they compute.
const SHARE: f64 = 0.5;

/// The share of a given limit that windows may take that wait between reader, model and stitcher.
const WAITING: f64 = 0.25;

/// Windows of a batch below which nothing is gained.
const FEWEST: usize = 4;

/// Bytes of a window in both queues, with reader, model and stitcher: pixels, then logits.
fn per_window(window: usize, queries: usize) -> f64 {
    ((2 * QUEUE + 3) * window.pow(2) * 4 * (3 + queries)) as f64
}

/// Windows of a batch: as many as the job says, or as the model likes, as far as a limit on memory allows.
pub(super) fn batch(engine: &Engine<'_>, segmenter: &dyn Segmenter) -> usize {
    let (tiling, liked) = (engine.plan.tiling, segmenter.batch());
    let allowed = engine
        .options
        .memory
        .map_or(liked, |limit| (WAITING * limit as f64 / per_window(tiling.window, segmenter.queries())) as usize);
    tiling.batch.unwrap_or(allowed.max(FEWEST).min(liked))
}

/// Bytes that a column of a scene's width takes while its rows are blended, labelled and kept.
fn per_column(window_height: usize, queries: usize, layers: f64, classes: usize) -> f64 {
    let rows = (window_height + ROWS_AT_ONCE) as f64;
    // Labels of two bytes, and scores of four, twice: by row and by class. Layers twice: apart, and joined to be compressed.
    rows * Accumulator::pixel_memory(queries) + ROWS_AT_ONCE as f64 * (2.0 + 8.0 * classes as f64 + 2.0 * layers)
}

/// The columns of a scene, as wide as the limit on memory allows.
pub(super) fn columns(engine: &Engine<'_>, segmenter: &dyn Segmenter, layers: &[Layer]) -> Result<Vec<Range<usize>>> {
    let (size, tiling) = (engine.scene.info.size, engine.plan.tiling);
    let (queries, classes) = (segmenter.queries(), engine.classes.len());
    let bytes: usize = layers.iter().map(Layer::bytes).sum();
    let column = per_column(tiling.window.min(size.height), queries, bytes as f64, classes);
    let waiting = batch(engine, segmenter) as f64 * per_window(tiling.window, queries);
    let room = match engine.options.memory {
        Some(limit) => limit as f64 - resident() - waiting,
        None => SHARE * available() - waiting,
    };
    let narrowest = (NARROWEST * tiling.window).min(size.width);
    let widest = (room / column).max(0.0) as usize;
    if widest < narrowest {
        let megabytes = |bytes: f64| format!("{:.0} MB", bytes / 1e6);
        let needed = narrowest as f64 * column + waiting + resident();
        let given = engine.options.memory.map_or(SHARE * available() + resident(), |limit| limit as f64);
        return Err(Error::input(format!(
            "{} of memory are too little for {}: the model and the narrowest columns take {}",
            megabytes(given),
            engine.scene.name(),
            megabytes(needed)
        ))
        .with_hint("Give more with --memory, use fewer prompts, or a smaller tiling.batch."));
    }
    let count = size.width.div_ceil(widest);
    if count > MOST {
        return Err(Error::input(format!(
            "{} is {} pixels wide: with {:.1} GB of memory for its rows it would be cut into {count} columns, at most {MOST} \
             are possible",
            engine.scene.name(),
            size.width,
            room / 1e9
        ))
        .with_hint("Give more with --memory, use fewer prompts, or cut the scene (gdal_translate -srcwin)."));
    }
    // As even as can be.
    let start = |number: usize| number * size.width / count;
    Ok((0..count).map(|number| start(number)..start(number + 1)).collect())
}

/// Bytes that the rows of the narrowest columns take, before anything is known of the model.
pub fn least(window: usize, width: usize, queries: usize, classes: usize) -> f64 {
    (NARROWEST * window).min(width) as f64 * per_column(window, queries, 4.0 * classes as f64, classes)
}
