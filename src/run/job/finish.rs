//! What is made of a scene's rasters once they are complete: polygons, preview and report; then the summary.

use std::path::Path;
use std::time::Instant;

use super::super::engine::{Areas, Counts, Finished, Outcome};
use super::super::partition::Share;
use super::super::prepared::SceneRun;
use super::super::results::{PICTURES, Results, VECTORS};
use super::super::run_metrics::RunMetrics;
use super::report_outputs::ReportOutputs;
use crate::error::Result;
use crate::pipeline::ScenePlan;
use crate::raster::{self, Stretch};
use crate::report::{ClassShare, Output, Reporter, Summary, Work};
use crate::scene::{ClassInfo, ProductOptions, ScoreType};
use crate::vector::{self, Sketch};

/// Who has computed what is being finished.
#[derive(Clone, Copy)]
pub enum By {
    Run,
    Shards,
    Workers(usize),
}

/// Makes what is made from a scene's rasters, and reports the scene. Returns the number of failed windows.
pub fn finish(
    run: &SceneRun<'_>,
    outcome: Outcome,
    started: Instant,
    by: By,
    metrics: &RunMetrics,
    reporter: &Reporter,
) -> Result<usize> {
    let scene = run.scene;
    let rejected = metrics.rejected.take();
    let Finished { counts, stretch, results, journal } = match outcome {
        Outcome::Finished(finished) => *finished,
        Outcome::Earlier(notes) => {
            metrics.scenes_earlier.add(1);
            reporter.note(&format!(
                "{} is finished, by an earlier run of this job; --overwrite computes it again.",
                scene.name()
            ));
            notes.iter().for_each(|note| reporter.note(note));
            return Ok(0);
        }
        Outcome::Shard => {
            metrics.scenes_finished.add(1);
            if let Share::Shard { index, count, .. } = run.share {
                reporter.note(&format!(
                    "Shard {index}/{count} of {} is finished; when all are, `segearth merge` assembles the outputs.",
                    scene.name()
                ));
            }
            return Ok(0);
        }
    };
    let mut outputs: Vec<Output<'_>> = scene.outputs.rasters().map(|(what, path)| output(what, path)).collect();
    let (vectors, sketch) = vectors(run, &results, reporter)?;
    outputs.extend(vectors);
    pictures(run, &counts, &stretch, &results, sketch.as_ref())?;
    results.notes().iter().for_each(|note| reporter.note(note));
    outputs.extend(scene.outputs.pictures().map(|(what, path)| output(what, path)));
    let shards = journal.shards();
    journal.remove()?;
    raster::take_warnings().iter().for_each(|warning| reporter.detail(warning));
    notes(scene, &counts).iter().for_each(|note| reporter.note(note));
    // Of windows that other processes or an earlier run computed, the scores are not known any more.
    let all_here = matches!(by, By::Run) && counts.windows >= counts.all_windows.computed;
    if let Some(note) = only_background(run, &counts, rejected, all_here) {
        reporter.note(&note);
    }
    let work = match by {
        By::Run => Work::Run { windows: counts.windows },
        By::Shards => Work::Merge { shards },
        By::Workers(count) => Work::Workers(count),
    };
    reporter.summary(&Summary {
        scene: &scene.info.path,
        size: scene.output_grid().0,
        area: counts.areas.as_ref().map(Areas::whole),
        windows: counts.all_windows.computed,
        empty_windows: counts.all_windows.empty,
        work,
        elapsed: started.elapsed(),
        device: &run.job.device.to_string(),
        classes: shares(&run.job.classes, &counts),
        nodata_pixels: counts.nodata,
        nodata_area: counts.areas.as_ref().map(|areas| areas.nodata),
        outputs,
    });
    metrics.scenes_finished.add(1);
    Ok(counts.failed_windows.len())
}

/// Makes the vector outputs of a scene from its labels, also where only pictures show them. Returns all outputs, those that are kept
/// too, and the shapes for pictures.
fn vectors<'a>(
    run: &SceneRun<'a>,
    results: &Results,
    reporter: &Reporter,
) -> Result<(Vec<Output<'a>>, Option<Sketch>)> {
    let (plan, scene) = (&run.job.plan, run.scene);
    let Some(path) = &scene.outputs.polygons else { return Ok((Vec::new(), None)) };
    let (mut detail, mut sketch) = (String::new(), None);
    let wanted = results.any(&VECTORS);
    if wanted || results.any(&["preview", "report"]) {
        let staged = results.stage(&VECTORS)?;
        let product = plan.product.clone().unwrap_or_default();
        let options =
            ProductOptions { graph: staged.path("graph"), zone_table: staged.path("zones"), ..product.options };
        let polygons = vector::vectorize(
            &scene.outputs.labels,
            scene.outputs.scores.as_deref().filter(|_| plan.rasters.scores == ScoreType::F32),
            &run.job.classes,
            product.recipe,
            &staged.path("polygons").unwrap_or_else(|| path.clone()),
            &options,
        )
        .map_err(|error| staged.explain(error))?;
        if wanted {
            polygons.notes.iter().for_each(|note| reporter.note(&staged.shown(note)));
            let unit = if polygons.polygons == 1 { "polygon" } else { "polygons" };
            detail = format!("{} {unit}", polygons.polygons);
        }
        sketch = Some(polygons.sketch);
        staged.publish()?;
    }
    let beside = [("graph", &scene.outputs.graph), ("zones", &scene.outputs.zones)];
    let beside = beside.into_iter().filter_map(|(what, path)| Some(output(what, path.as_deref()?)));
    Ok((std::iter::once(Output { detail, ..output("polygons", path) }).chain(beside).collect(), sketch))
}

/// Makes the preview, the report and the table of areas.
fn pictures(
    run: &SceneRun<'_>,
    counts: &Counts,
    stretch: &Stretch,
    results: &Results,
    sketch: Option<&Sketch>,
) -> Result<()> {
    if !results.any(&PICTURES) {
        return Ok(());
    }
    let staged = results.stage(&PICTURES)?;
    let [preview, report, areas] = PICTURES.map(|key| staged.path(key));
    let outputs = ReportOutputs {
        run,
        counts,
        stretch,
        preview: preview.as_deref(),
        report: report.as_deref(),
        areas: areas.as_deref(),
        sketch,
    };
    outputs.write().map_err(|error| staged.explain(error))?;
    staged.publish()
}

/// Windows that failed, and a scene without data.
fn notes(scene: &ScenePlan, counts: &Counts) -> Vec<String> {
    let failed = counts.failed_windows.iter();
    let mut notes: Vec<String> =
        failed.map(|window| format!("{}: the window {window} could not be computed.", scene.name())).collect();
    let pixels = scene.output_grid().0.pixels() as u64;
    if counts.nodata == pixels && counts.all_windows.computed == 0 && counts.all_windows.empty > 0 {
        let within = if scene.info.access.area.is_some() { " in the area of interest" } else { "" };
        notes.push(without_data(scene, &format!("no pixel{within} holds data, and none has a class")));
    }
    notes
}

/// The note on a scene with data where no class was found but the background. `rejected`: the highest score that was seen below its
/// threshold; 0 where there was none. `all_here`: this process has seen all scores.
fn only_background(run: &SceneRun<'_>, counts: &Counts, rejected: f32, all_here: bool) -> Option<String> {
    let plan = &run.job.plan;
    let background = plan.background?;
    let others = counts.classes.iter().enumerate().filter(|(index, _)| *index != background);
    let (found, of_background) = (others.map(|(_, pixels)| pixels).sum::<u64>(), *counts.classes.get(background)?);
    if plan.classes.len() < 2 || found > 0 || of_background == 0 {
        return None;
    }
    let name = &plan.classes.get(background)?.name;
    let scene = run.scene.name();
    let own = plan.classes.iter().any(|class| class.threshold.is_some());
    let threshold = match own {
        true => "the threshold of its class".to_owned(),
        false => format!("the threshold, {}", plan.method.threshold),
    };
    Some(match rejected > 0.0 {
        _ if !all_here => {
            format!("{scene}: every pixel with data is `{name}`. A lower threshold may find more.")
        }
        true => format!(
            "{scene}: every pixel with data is `{name}`. The highest score of another class is {rejected:.3}, below {threshold}: lower it \
             to see what is found."
        ),
        false => format!(
            "{scene}: every pixel with data is `{name}`: its words are nearest everywhere. Give the other classes more words, or remove \
             some of `{name}`."
        ),
    })
}

/// The note on a scene all of whose pixels are marked as nodata.
pub fn without_data(scene: &ScenePlan, found: &str) -> String {
    let mask = scene.info.mask_text(scene.bands);
    format!("{}: {found} (missing data: {mask}). `mask: none` takes every pixel for data.", scene.name())
}

fn output<'a>(what: &'a str, path: &'a Path) -> Output<'a> {
    Output { what, path, detail: String::new() }
}

fn shares<'a>(classes: &'a [ClassInfo], counts: &Counts) -> Vec<ClassShare<'a>> {
    let area = |index: usize| counts.areas.as_ref().and_then(|areas| areas.classes.get(index)).copied();
    let classes = classes.iter().zip(&counts.classes).enumerate();
    classes.map(|(index, (class, &pixels))| ClassShare { class, pixels, area: area(index) }).collect()
}
