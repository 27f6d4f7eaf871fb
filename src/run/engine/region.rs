//! A part of a scene in memory: the labels that a run writes there, from stored tokens, for whoever looks at a part at a time.
//!
//! Windows, weights, order of sums and classifier are those of a run, so that every pixel gets the same label.

use super::super::local_images::LocalImages;
use super::super::prepared::PreparedJob;
use super::compute::check_finite;
use super::layers::ROWS_AT_ONCE;
use crate::embeddings::{SceneStore, TokenReader};
use crate::error::Result;
use crate::geom::Window;
use crate::model::{Padding, Segmenter, normalise};
use crate::pipeline::ScenePlan;
use crate::raster::SceneReader;
use crate::scene::{Labelled, Tile};
use crate::stitch::Accumulator;

/// Windows of a batch at most: whoever looks wants to be able to change their mind.
const MOST_WINDOWS: usize = 16;

/// What a part is computed from.
pub struct RegionSource<'a> {
    pub job: &'a PreparedJob,
    pub scene: &'a ScenePlan,
    /// The tokens of all windows that reach the part.
    pub tokens: &'a SceneStore,
    pub reader: &'a SceneReader,
}

/// Labels a part of a scene, (row, column); with `scores`, its scores as well, for which all its rows are in memory. `None`: `go_on` said
/// that nobody wants them any more.
///
/// # Errors
/// A window cannot be read or computed, or its tokens are missing.
pub fn region(
    source: &RegionSource<'_>,
    segmenter: &mut dyn Segmenter,
    part: Window,
    scores: bool,
    go_on: &dyn Fn() -> bool,
) -> Result<Option<Labelled>> {
    let RegionSource { job, scene, tokens, reader } = source;
    let grid = job.plan.grid(scene);
    let size = grid.window();
    let padding = Padding::new(size, job.patch);
    let batch = job.plan.tiling.batch.unwrap_or(segmenter.batch()).clamp(1, MOST_WINDOWS);
    let mut accumulator = Accumulator::new(part, size, segmenter.queries(), job.plan.tiling.blend);
    let mut result = Labelled::default();
    let mut finish = |accumulator: &mut Accumulator, before: usize| {
        let end = before.min(part.rows().end);
        while accumulator.first() < end {
            let some = if scores { end } else { end.min(accumulator.first() + ROWS_AT_ONCE) };
            let rows = accumulator.finish_before(some);
            let labelled = job.classifier.classify(&rows, scores);
            accumulator.recycle(rows);
            result.labels.extend(labelled.labels);
            result.scores = labelled.scores;
            result.rejected = result.rejected.max(labelled.rejected);
        }
    };
    let images = if job.local.is_some() { LocalImages::open(scene)? } else { LocalImages::default() };
    let mut stored = TokenReader::new(tokens);
    let windows: Vec<Window> = grid.reaching(part).collect();
    for windows in windows.chunks(batch) {
        if !go_on() {
            return Ok(None);
        }
        let mut tiles: Vec<Tile> = Vec::with_capacity(batch);
        let mut numbers = Vec::new();
        for window in windows {
            let tile = reader.read(*window)?;
            if !tile.is_empty() {
                stored.append(*window, &mut numbers)?;
                tiles.push(tile);
            }
        }
        if tiles.is_empty() {
            continue;
        }
        let mut pixels = normalise(&tiles, &job.normalisation, &padding);
        pixels.tokens = Some(numbers);
        let logits = segmenter.segment(&pixels)?;
        check_finite(&logits)?;
        let mut logits = padding.cut(logits);
        let per_window = (logits.len() / tiles.len()).max(1);
        for (tile, logits) in tiles.iter().zip(logits.chunks_exact_mut(per_window)) {
            if let Some(local) = &job.local {
                local.add(&images.image(tile)?, size, logits);
            }
            if !scores {
                // Windows come row by row: rows above this one are finished.
                finish(&mut accumulator, tile.window.row);
            }
            accumulator.add(&tile.window, logits, tile.valid.as_deref());
        }
    }
    finish(&mut accumulator, usize::MAX);
    Ok(Some(result))
}
