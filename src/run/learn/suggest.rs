//! Places whose labels would help most: a sample of each scene's windows is segmented with the learnt classes, and pixels where
//! two classes are nearly equal are candidates.

#![expect(clippy::indexing_slicing, reason = "scores of a window's pixels, counted before")]

use std::path::Path;
use std::sync::Arc;

use super::super::job::loaded;
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
                look(&job, segmenter.as_mut(), index, &tile, &mut suggestions)?;
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
    suggestions: &mut Suggestions,
) -> Result<()> {
    let (window, size) = (tile.window, tile.window.size());
    let padding = Padding::new(size, job.patch);
    let images = normalise(std::slice::from_ref(tile), &job.normalisation, &padding);
    let mut logits = padding.cut(segmenter.segment(&images)?);
    if let Some(local) = &job.local {
        local.add(&tile.rgb, size, &mut logits);
    }
    let mut alone = Accumulator::new(window, size, segmenter.queries(), job.plan.tiling.blend);
    alone.add(&window, &logits, tile.valid.as_deref());
    let labelled = job.classifier.classify(&alone.finish_before(window.rows().end), true);
    let pixels = size.pixels();
    for row in (STEP / 2..size.height).step_by(STEP) {
        for col in (STEP / 2..size.width).step_by(STEP) {
            let at = row * size.width + col;
            if tile.valid.as_ref().is_some_and(|valid| !valid[at]) {
                continue;
            }
            let mut scores: Vec<(usize, f32)> =
                (0..job.classes.len()).map(|class| (class, labelled.scores[class * pixels + at])).collect();
            scores.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            if let [(first, best), (second, next), ..] = scores[..] {
                let (col, row) = (window.col + col, window.row + row);
                suggestions.add(Candidate { scene, col, row, margin: best - next, first, second });
            }
        }
    }
    Ok(())
}
