//! Places whose labels would help most: a sample of each scene's windows is segmented with the learnt classes, and pixels where
//! two classes are nearly equal are candidates.

#![expect(clippy::indexing_slicing, reason = "scores of a window's pixels, counted before")]

use std::path::Path;
use std::sync::Arc;

use super::super::job::loaded;
use super::super::local_images::LocalImages;
use super::super::prepared::PreparedJob;
use super::super::stop::Stop;
use super::super::suggestions::write_suggestions;
use crate::error::{Error, Kind, Result};
use crate::geom::{Grid, Size};
use crate::learn::{Candidate, Learnt, Suggestions};
use crate::model::registry::Model;
use crate::model::{Padding, Segmenter, normalise};
use crate::pipeline::{ClassPlan, Plan, ScenePlan};
use crate::raster::SceneReader;
use crate::report::Reporter;
use crate::stitch::Accumulator;

/// Windows that are looked at in all scenes together, evenly spread: some seconds on a CPU.
const MOST_WINDOWS: usize = 400;
/// Distance of candidates in pixels: neighbours say the same.
const STEP: usize = 4;
/// Pixels on each side of a candidate over which margins are averaged, and their step. On the border of two classes single
/// pixels are doubtful, and no one can tell what they are; a label helps where all around is doubtful.
const NEAR: usize = 4;
const NEAR_STEP: usize = 2;

/// Finds the places and writes them; returns how many there are.
pub(super) fn suggest(
    job: &PreparedJob,
    learnt: &Learnt,
    wanted: usize,
    path: &Path,
    stop: &Stop,
    reporter: &Reporter,
) -> Result<usize> {
    let class = |(number, class): (usize, &crate::learn::LearntClass)| ClassPlan {
        name: class.name.clone(),
        colour: class.colour,
        prompts: Vec::new(),
        index: None,
        threshold: None,
        learnt: Some(number),
    };
    let classes: Vec<ClassPlan> = learnt.header.classes.iter().enumerate().map(class).collect();
    let names: Vec<String> = classes.iter().map(|class| class.name.clone()).collect();
    let plan = Plan { classes, learnt: Some(Arc::new(learnt.clone())), background: None, ..job.plan.clone() };
    let model: Model = job.model.clone();
    let job = PreparedJob::new(plan, model, job.device, String::new());
    let mut segmenter = loaded(&job, reporter)?;
    let scenes = &job.plan.scenes;
    let sizes: Vec<Size> = scenes.iter().map(|scene| scene.info.size).collect();
    let grid = |scene: &ScenePlan| Grid::new(scene.info.size, job.plan.tiling.window, job.plan.tiling.window);
    let all: usize = scenes.iter().map(|scene| grid(scene).len()).sum();
    let step = all.div_ceil(MOST_WINDOWS).max(1);
    let progress = reporter.progress("suggestions", all.div_ceil(step), "windows");
    let mut suggestions = Suggestions::new(wanted, &sizes);
    let mut number = 0;
    for (index, scene) in scenes.iter().enumerate() {
        let reader = SceneReader::open_even_empty(&scene.info, scene.bands, &scene.stretch)?;
        let images = LocalImages::open(scene)?;
        for window in grid(scene).windows() {
            number += 1;
            if !(number - 1usize).is_multiple_of(step) {
                continue;
            }
            if let Some((signal, name)) = stop.signal() {
                return Err(Error::new(Kind::Stopped { signal }, format!("stopped by {name}")));
            }
            let tile = reader.read(window)?;
            if !tile.is_empty() {
                look(&job, segmenter.as_mut(), index, &tile, &images, &mut suggestions)?;
            }
            progress.advance(1);
        }
    }
    let places = suggestions.finish();
    let infos: Vec<_> = scenes.iter().map(|scene| &scene.info).collect();
    write_suggestions(path, &infos, &names, &places)?;
    Ok(places.len())
}

/// Adds the candidates of a window.
fn look(
    job: &PreparedJob,
    segmenter: &mut dyn Segmenter,
    scene: usize,
    tile: &crate::scene::Tile,
    local_images: &LocalImages,
    suggestions: &mut Suggestions,
) -> Result<()> {
    let (window, size) = (tile.window, tile.window.size());
    let padding = Padding::new(size, job.patch);
    let images = normalise(std::slice::from_ref(tile), &job.normalisation, &padding);
    let mut logits = padding.cut(segmenter.segment(&images)?);
    if let Some(local) = &job.local {
        local.add(&local_images.image(tile)?, size, &mut logits);
    }
    let mut alone = Accumulator::new(window, size, segmenter.queries(), job.plan.tiling.blend);
    alone.add(&window, &logits, tile.valid.as_deref());
    let labelled = job.classifier.classify(&alone.finish_before(window.rows().end), true);
    let pixels = size.pixels();
    let is_valid = |at: usize| tile.valid.as_ref().is_none_or(|valid| valid[at]);
    // The best and the second class of a pixel, and by how much they differ.
    let best_two = |at: usize| {
        let (mut best, mut next) = ((0, f32::NEG_INFINITY), (0, f32::NEG_INFINITY));
        for class in 0..job.classes.len() {
            let score = labelled.scores[class * pixels + at];
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
    for row in (STEP / 2..size.height).step_by(STEP) {
        for col in (STEP / 2..size.width).step_by(STEP) {
            let at = row * size.width + col;
            if job.classes.len() < 2 || !is_valid(at) {
                continue;
            }
            let near = around(row, size.height)
                .flat_map(|row| around(col, size.width).map(move |col| row * size.width + col))
                .filter(|at| is_valid(*at));
            let (count, sum) = near.fold((0.0f32, 0.0), |(count, sum), at| (count + 1.0, sum + best_two(at).2));
            let (first, second, _) = best_two(at);
            let (col, row) = (window.col + col, window.row + row);
            suggestions.add(Candidate { scene, col, row, margin: sum / count.max(1.0), first, second });
        }
    }
    Ok(())
}
