//! `segearth bench`: what a window costs here beside the baseline transformer, and what a scene does from file to file.

#![expect(
    clippy::indexing_slicing,
    reason = "the one scene of a job made here, and remainders by the list's own length"
)]

mod measure;
mod model;
mod subject;

use std::path::{Path, PathBuf};

use measure::Sample;
pub use model::run as run_model_only;
use model::{ModelBench, Turns};

use super::job::{self, Purpose};
use super::prepared::{Options, PreparedJob};
use super::run_metrics::RunMetrics;
use super::stop::Stop;
use super::watch::Watch;
use crate::cli::BenchArgs;
use crate::error::{Error, Result};
use crate::geom::{Grid, Window};
use crate::model::bundle::Bundle;
use crate::model::{Images, Padding, normalise};
use crate::outputs::Existing;
use crate::pipeline::{self, Override};
use crate::raster::{LabelWriter, SceneReader};
use crate::report::Reporter;
use crate::scene::LabelType;
use crate::stitch::Accumulator;

/// Rows that become labels at once, as in a run.
const ROWS_AT_ONCE: usize = 32;

pub fn run(args: &BenchArgs, trust: bool, reporter: &Reporter) -> Result<()> {
    if args.model_only {
        return run_model_only(args, trust, reporter);
    }
    let work = model::begin(args)?;
    let scene = work.path().join("scene.tif");
    subject::write_scene(&scene)?;
    let subject = model::subject(args, work.path(), trust, reporter)?;
    let device = model::device(args, reporter)?;
    let mut model = ModelBench::new(args, &subject, device, reporter)?;
    let silent = Reporter::silent();
    let labels = work.path().join("labels.tif");
    let spec = pipeline::from_flags(&flags(args, &scene, &subject.bundle.folder, model.batch, &labels))?;
    let around = Around {
        prepared: job::prepare(&spec, true, Purpose::Run, Existing::Replace, &silent)?,
        bundle: &subject.bundle,
        batch: model.batch,
        labels,
    };
    let batches = around.batches()?;
    let (stop, metrics) = (Stop::listen()?, RunMetrics::default());
    let watch = Watch { stop: &stop, metrics: &metrics, reporter: &silent };
    let mut turns = Turns::default();
    model::rounds(args, reporter, |round| {
        let mut turn = Turns::default();
        model.turn(&batches, round, &mut turn)?;
        around.turn(model.queries.count, &mut turn)?;
        let images = &batches[round % batches.len()];
        model.baseline(images, &mut turn.beside)?;
        let options = Options { overwrite: true, ..Options::default() };
        let run = || job::segment(&around.prepared, model.segmenter.as_mut(), options, None, watch);
        turn.whole.push(Sample::of(around.grid().len(), run)?.0);
        model.baseline(images, &mut turn.beside)?;
        // The first turn warms up.
        if round > 0 {
            turns.append(turn);
        }
        Ok(())
    })?;
    model.end(&turns, reporter)
}

/// The flags of a job on the scene.
fn flags(args: &BenchArgs, scene: &Path, model: &Path, batch: usize, output: &Path) -> Vec<Override> {
    let prompts: Vec<String> = (0..args.queries).map(|index| format!("thing {index}")).collect();
    vec![
        Override::text("SCENE", "scene", &scene.to_string_lossy()),
        Override::text("--model", "model", &model.to_string_lossy()),
        Override::classes("--classes", &prompts.join("; ")),
        Override::text("--device", "device", &args.device),
        Override::text("--stretch", "stretch", "none"),
        Override::text("--output", "outputs.labels", &output.to_string_lossy()),
        Override::yaml("--channels", "method.channels", &args.channels.map_or("null".into(), |it| it.to_string())),
        Override::yaml("--half-resolution", "method.half_resolution", &args.half_resolution.to_string()),
        Override::yaml("--batch", "tiling.batch", &batch.to_string()),
    ]
}

/// What is around the model.
struct Around<'a> {
    prepared: PreparedJob,
    bundle: &'a Bundle,
    batch: usize,
    labels: PathBuf,
}

impl Around<'_> {
    fn grid(&self) -> Grid {
        let tiling = &self.prepared.plan.tiling;
        Grid::new(self.prepared.plan.scenes[0].info.size, tiling.window, tiling.stride)
    }

    /// The scene's windows as the model gets them.
    fn batches(&self) -> Result<Vec<Images>> {
        let scene = &self.prepared.plan.scenes[0];
        let reader = SceneReader::open(&scene.info, scene.bands, &scene.stretch)?;
        let windows: Vec<Window> = self.grid().windows().collect();
        let padding = Padding::new(self.grid().window(), self.bundle.card.sizes.patch);
        windows
            .chunks(self.batch)
            .filter(|windows| windows.len() == self.batch || windows.len() == self.grid().len())
            .map(|windows| {
                let tiles = windows.iter().map(|&window| reader.read(window)).collect::<Result<Vec<_>>>()?;
                Ok(normalise(&tiles, &self.bundle.normalisation(), &padding))
            })
            .collect()
    }

    /// A turn of each alone.
    fn turn(&self, queries: usize, turn: &mut Turns) -> Result<()> {
        let (plan, grid) = (&self.prepared.plan, self.grid());
        let windows = grid.len();
        let scene = &plan.scenes[0];
        turn.read.push(Sample::of(windows, || self.batches())?.0);
        let logits: Vec<f32> = (0..queries * grid.window().pixels()).map(|index| (index % 97) as f32 / 970.0).collect();
        let classifier = &self.prepared.classifier;
        let whole = Window { col: 0, row: 0, width: scene.info.size.width, height: scene.info.size.height };
        let (sample, labels) = Sample::of(windows, || {
            let mut accumulator = Accumulator::new(whole, grid.window(), queries, plan.tiling.blend);
            let mut labels = Vec::with_capacity(whole.size().pixels());
            let mut finish = |accumulator: &mut Accumulator, before: usize| {
                while accumulator.first() < before {
                    let rows = accumulator.finish_before(before.min(accumulator.first() + ROWS_AT_ONCE));
                    labels.extend(classifier.classify(&rows, false).labels);
                    accumulator.recycle(rows);
                }
            };
            for window in grid.windows() {
                finish(&mut accumulator, window.row);
                accumulator.add(&window, &logits, None);
            }
            finish(&mut accumulator, whole.height);
            Ok::<_, Error>(labels)
        })?;
        turn.stitch.push(sample);
        let (classes, path) = (&self.prepared.classes, self.labels.with_file_name("written.tif"));
        let sample = Sample::of(windows, || {
            let kind = LabelType::for_classes(classes.len());
            let layout = plan.rasters.layout;
            let mut writer = LabelWriter::create(&path, whole.size(), None, classes, kind, layout, &[])?;
            let mut rows = labels.chunks(ROWS_AT_ONCE * whole.width).enumerate();
            rows.try_for_each(|(index, rows)| writer.write_rows(index * ROWS_AT_ONCE, rows))?;
            writer.finish()
        })?;
        turn.write.push(sample.0);
        Ok(())
    }
}
