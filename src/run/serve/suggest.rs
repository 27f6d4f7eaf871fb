//! Places in view whose labels would help most: where the best two classes are nearly equal all around.

#![expect(clippy::indexing_slicing, reason = "scores of a part's pixels, counted before")]

use crate::error::Result;
use crate::geom::Window;
use crate::learn::{Candidate, Suggestions};
use crate::model::Segmenter;
use crate::run::engine::{RegionSource, region};

/// Scores of a part in memory at most.
const MOST_SCORES: usize = 32 << 20;
/// Distance of candidates in pixels, and the pixels on each side over which margins are averaged, as `segearth learn` has them.
const STEP: usize = 4;
const NEAR: usize = 4;
const NEAR_STEP: usize = 2;

/// The places, in pixels of the scene; the most doubtful first.
///
/// # Errors
/// The part cannot be computed.
pub fn places(
    source: &RegionSource<'_>,
    segmenter: &mut dyn Segmenter,
    part: Window,
    count: usize,
) -> Result<Vec<Candidate>> {
    let classes = source.job.classes.len();
    let part = middle(part, MOST_SCORES / classes.max(1));
    let Some(labelled) = region(source, segmenter, part, true, &|| true)? else { return Ok(Vec::new()) };
    let size = part.size();
    let mut found = Suggestions::new(count, &[size]);
    if classes < 2 || labelled.scores.len() != classes * size.pixels() {
        return Ok(Vec::new());
    }
    let best_two = |at: usize| {
        let (mut best, mut next) = ((0, f32::NEG_INFINITY), (0, f32::NEG_INFINITY));
        for class in 0..classes {
            let score = labelled.scores[class * size.pixels() + at];
            if score > best.1 {
                (best, next) = ((class, score), best);
            } else if score > next.1 {
                next = (class, score);
            }
        }
        (best.0, next.0, best.1 - next.1)
    };
    let around =
        |middle: usize, side: usize| (middle.saturating_sub(NEAR)..(middle + NEAR + 1).min(side)).step_by(NEAR_STEP);
    // Margins of all pixels that are looked at, once each: every second row and column. NaN without data.
    let columns = size.width.div_ceil(NEAR_STEP);
    let looked = |row: usize| (0..columns).map(move |col| row * NEAR_STEP * size.width + col * NEAR_STEP);
    let margins: Vec<f32> = (0..size.height.div_ceil(NEAR_STEP)).flat_map(looked).map(|at| best_two(at).2).collect();
    for row in (STEP / 2..size.height).step_by(STEP) {
        for col in (STEP / 2..size.width).step_by(STEP) {
            let at = row * size.width + col;
            if !labelled.scores[at].is_finite() {
                continue;
            }
            let near = around(row, size.height)
                .flat_map(|row| around(col, size.width).map(move |col| row / NEAR_STEP * columns + col / NEAR_STEP))
                .map(|at| margins[at])
                .filter(|margin| margin.is_finite());
            let (count, sum) = near.fold((0.0f32, 0.0), |(count, sum), margin| (count + 1.0, sum + margin));
            let (first, second, _) = best_two(at);
            found.add(Candidate { scene: 0, col, row, margin: sum / count.max(1.0), first, second });
        }
    }
    let shift = |place: Candidate| Candidate { col: place.col + part.col, row: place.row + part.row, ..place };
    Ok(found.finish().into_iter().map(shift).collect())
}

/// The middle of a part, of at most so many pixels.
fn middle(part: Window, most: usize) -> Window {
    let share = (most as f64 / part.size().pixels().max(1) as f64).sqrt().min(1.0);
    let span = |start: usize, length: usize| {
        let shorter = ((length as f64 * share) as usize).max(1);
        (start + (length - shorter) / 2, shorter)
    };
    let ((col, width), (row, height)) = (span(part.col, part.width), span(part.row, part.height));
    Window { col, row, width, height }
}
