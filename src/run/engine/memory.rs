//! How much memory a scene's rows need, and into how many columns a scene is divided to stay within a limit.

use std::ops::Range;

use super::super::prepared::SceneRun;
use super::super::process::{available, resident};
use super::layers::ROWS_AT_ONCE;
use super::queue::QUEUE;
use crate::error::{Error, Result};
use crate::journal::Layer;
use crate::model::{Images, Padding, Segmenter};
use crate::raster;
use crate::stitch::Accumulator;

/// Columns narrower than this many windows compute more for their neighbours than for themselves.
const NARROWEST: usize = 2;

/// More columns than any real scene needs: a header may claim any width.
const MOST: usize = 64;

/// The share of the memory at hand that a scene's rows may take where no limit is given: models grow while they compute.
const SHARE: f64 = 0.5;

/// The share of a given limit that windows may take that wait between reader, model and stitcher.
const WAITING: f64 = 0.25;

/// The share of a given limit for memory that is not counted: that of libraries, and heap fragmentation.
const SPARE: f64 = 0.05;

/// The share of a given limit that decoded blocks of scenes and rasters may take.
const BLOCKS: f64 = 1.0 / 16.0;

/// The share of a given limit, or of the memory at hand where none is given, that they may take where every window of a row
/// touches the same blocks, as in a file in strips.
const STRIPS: f64 = 1.0 / 4.0;

/// The share of what a given limit leaves that a model may keep of earlier windows.
const KEPT: f64 = 0.5;

/// Windows of a batch below which nothing is gained.
const FEWEST: usize = 4;

/// Bytes of a window in both queues and at both of their ends: pixels between reader and model, logits from there to the
/// stitcher.
fn per_window(window: usize, queries: usize) -> f64 {
    ((QUEUE + 2) * window.pow(2) * 4 * (3 + queries)) as f64
}

/// Windows of a batch: as many as the job says, or as the model likes, as far as a limit on memory allows.
pub(super) fn batch(run: &SceneRun<'_>, segmenter: &dyn Segmenter) -> usize {
    let (tiling, liked) = (run.job.plan.tiling, segmenter.batch());
    let allowed = run
        .options
        .memory
        .map_or(liked, |limit| (WAITING * limit as f64 / per_window(tiling.window, segmenter.queries())) as usize);
    tiling.batch.unwrap_or(allowed.max(FEWEST).min(liked))
}

/// Bytes that the process has once the model has computed a batch; what it took for that it keeps for the next.
fn with_model(run: &SceneRun<'_>, segmenter: &mut dyn Segmenter) -> f64 {
    let padded = Padding::new(run.job.plan.grid(run.scene).window(), run.job.patch).padded;
    let count = batch(run, segmenter);
    // All windows differ: nothing that is computed for one serves another.
    let pixel = |at: usize| (at * at % 16_777_213) as f32 / 8_388_608.0 - 1.0;
    let pixels = (0..count * 3 * padded.pixels()).map(pixel).collect();
    let tokens = run.job.embedder.as_ref().map(|embedder| embedder.numbers(padded.width, padded.height));
    let tokens = tokens.map(|numbers| (0..count * numbers).map(pixel).collect());
    // What fails here fails again with a scene's pixels, and is reported then.
    let _ = segmenter.segment(&Images { size: padded, count, pixels, tokens });
    resident()
}

/// Bytes that a column of a scene's width takes while its rows are blended, labelled and kept.
fn per_column(window_height: usize, queries: usize, layers: f64, classes: usize) -> f64 {
    let rows = (window_height + ROWS_AT_ONCE) as f64;
    rows * Accumulator::pixel_memory(queries) + labelled(layers, classes)
}

/// Bytes of a column's rows that are labelled at once.
fn labelled(layers: f64, classes: usize) -> f64 {
    // Labels of two bytes, and scores of four, twice: by row and by class. Layers twice: apart, and joined to be compressed.
    ROWS_AT_ONCE as f64 * (2.0 + 8.0 * classes as f64 + 2.0 * layers)
}

/// How a scene is read within the limit on memory.
pub(super) struct Layout {
    /// The columns of the scene, as wide as the limit allows.
    pub columns: Vec<Range<usize>>,
    /// A note where little memory makes reading slow.
    pub note: Option<String>,
}

/// Cuts a scene into columns and sets how many decoded blocks are kept: those under a row of windows, `strip_bytes` (see
/// [`SceneReader::strip_bytes`](crate::raster::SceneReader::strip_bytes)), as far as the limit allows.
pub(super) fn layout(
    run: &SceneRun<'_>,
    segmenter: &mut dyn Segmenter,
    layers: &[Layer],
    strip_bytes: Option<usize>,
) -> Result<Layout> {
    // Room for what lies in the cache beside the strips, so that none of them is lost before its row is done.
    let strips = strip_bytes.map_or(0, |bytes| bytes + bytes / 16 + (16 << 20));
    let (seen, size, tiling) = (run.scene.info.size, run.scene.row_grid(), run.job.plan.tiling);
    let (queries, classes) = (segmenter.queries(), run.job.classes.len());
    let bytes: usize = layers.iter().map(Layer::bytes).sum();
    // Columns of the results for each of those that the model sees.
    let scale = size.width as f64 / seen.width.max(1) as f64;
    let zoomed = match run.scene.zoom() {
        Some(_) => ROWS_AT_ONCE as f64 * Accumulator::pixel_memory(queries) + labelled(bytes as f64, classes),
        None => 0.0,
    };
    let column = per_column(tiling.window.min(seen.height), queries, bytes as f64, classes) / scale + zoomed;
    let waiting = batch(run, segmenter) as f64 * per_window(tiling.window, queries);
    let narrowest = ((NARROWEST * tiling.window).min(seen.width) as f64 * scale).ceil() as usize;
    let narrowest = narrowest.clamp(1, size.width.max(1));
    let fewest = waiting + narrowest as f64 * column;
    let kept_blocks;
    let (given, needed, room) = match run.options.memory {
        None => {
            kept_blocks = raster::set_cache_limit(strips.min((STRIPS * available()) as usize).max(raster::BLOCK_CACHE));
            (SHARE * available() + resident(), resident() + fewest, SHARE * available() - waiting)
        }
        Some(limit) => {
            let limit = limit as f64;
            // Once for all scenes: what earlier ones took is used again, whether it was given back or not.
            let with_model = *run.job.with_model.get_or_init(|| with_model(run, segmenter));
            let least = raster::BLOCK_CACHE.min((BLOCKS * limit) as usize);
            let left = |blocks: usize| (1.0 - SPARE) * limit - blocks as f64 - with_model - waiting;
            // Reading slowly is better than refusing.
            let most = strips.min((STRIPS * limit) as usize).max(least);
            let blocks = if left(most) < narrowest as f64 * column { least } else { most };
            kept_blocks = raster::set_cache_limit(blocks);
            let room = left(kept_blocks);
            // Slower is better than refused.
            let kept = (KEPT * room).min(room - narrowest as f64 * column).max(0.0);
            (
                limit,
                (with_model + fewest) / (1.0 - BLOCKS - SPARE),
                room - segmenter.set_cache_limit(kept as usize) as f64,
            )
        }
    };
    let widest = (room / column).max(0.0) as usize;
    if widest < narrowest {
        let megabytes = |bytes: f64| format!("{:.0} MB", bytes / 1e6);
        return Err(Error::input(format!(
            "{} of memory are too little for {}: the model and the narrowest columns take {}",
            megabytes(given),
            run.scene.name(),
            megabytes(needed)
        ))
        .with_hint("Give more with --memory, use fewer prompts, or a smaller tiling.batch."));
    }
    let count = size.width.div_ceil(widest);
    if count > MOST {
        return Err(Error::input(format!(
            "{} is {} pixels wide: with {:.1} GB of memory for its rows it would be cut into {count} columns, at most {MOST} \
             are possible",
            run.scene.name(),
            size.width,
            room / 1e9
        ))
        .with_hint("Give more with --memory, use fewer prompts, or cut the scene (gdal_translate -srcwin)."));
    }
    // As even as can be.
    let start = |number: usize| number * size.width / count;
    let columns = (0..count).map(|number| start(number)..start(number + 1)).collect();
    let note = strip_bytes.filter(|bytes| *bytes > kept_blocks).map(|bytes| {
        let megabytes = |bytes: usize| format!("{:.0} MB", bytes as f64 / 1e6);
        format!(
            "{} is stored in strips as wide as the scene, and those under a row of windows take {}, of which {} can be kept in \
             memory: they are decoded again for every window. Give more with --memory, or write it in tiles first \
             (gdal_translate -co TILED=YES).",
            run.scene.name(),
            megabytes(bytes),
            megabytes(kept_blocks)
        )
    });
    Ok(Layout { columns, note })
}

/// Bytes that the rows of the narrowest columns take, before anything is known of the model.
pub fn least(window: usize, width: usize, queries: usize, classes: usize) -> f64 {
    (NARROWEST * window).min(width) as f64 * per_column(window, queries, 4.0 * classes as f64, classes)
}
