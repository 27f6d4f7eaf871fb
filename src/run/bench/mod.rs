//! `segearth bench`: what a window costs here beside the bare transformer, and what a scene does from file to file.

mod measure;
mod subject;

use std::fs;
use std::path::{Path, PathBuf};

use measure::{Sample, median, ratios};
use rayon::ThreadPoolBuilder;
use subject::Subject;

use super::engine::{Options, Watch};
use super::job::{self, Folders, Prepared};
use super::process;
use super::stop::Stop;
use super::tally::Tally;
use crate::cli::BenchArgs;
use crate::error::{Context, Error, Result};
use crate::geom::{Grid, Window};
use crate::model::bundle::{Bundle, Trust};
use crate::model::queries::{self, Wording};
use crate::model::text::imagenet_templates;
use crate::model::torch::{self, Device, TorchPatchEncoder, TorchTextEncoder};
use crate::model::{self, Images, Padding, Queries, normalise};
use crate::pipeline::{self, Override};
use crate::raster::{LabelWriter, SceneReader};
use crate::report::{BenchReport, BenchRow, Reporter};
use crate::scene::LabelType;
use crate::stitch::Accumulator;

/// Rows that become labels at once, as in a run.
const ROWS_AT_ONCE: usize = 32;

pub fn run(args: &BenchArgs, trust: bool, reporter: &Reporter) -> Result<()> {
    if !(args.resolution > 0.0 && args.resolution.is_finite()) {
        return Err(Error::input(format!("the resolution is {} m, it must be above 0", args.resolution)));
    }
    if let Some(threads) = args.threads {
        torch::set_threads(threads.into());
        // Where the pool is there already it stays as it is: nothing before this has asked for it.
        let _ = ThreadPoolBuilder::new().num_threads(threads.into()).build_global();
    }
    let work = tempfile::tempdir().input(|| "cannot make a temporary folder".into())?;
    let silent = Reporter::silent();
    let scene = work.path().join("scene.tif");
    subject::write_scene(&scene)?;
    let device = device(args, &scene, work.path(), &silent)?;
    reporter.detail("The model is made ready.");
    let model_folder = work.path().join("model");
    fs::create_dir(&model_folder).input(|| format!("cannot make the folder {}", model_folder.display()))?;
    let trust = if trust { Trust::User } else { Trust::Hashes };
    let Some(subject) = Subject::new(args, device, &model_folder, trust)? else {
        return Err(Error::input(format!("{} has no transformer to compare with", args.model))
            .with_hint("Name a bundle, or leave --model out."));
    };
    let bench = Bench::new(args, &subject, device, &scene, work.path(), &silent)?;
    let mut report = bench.measure(reporter)?;
    if args.text {
        report.text_seconds = Some(bench.text()?);
    }
    report.peak_memory = process::peak();
    if let Some(path) = &args.json {
        fs::write(path, report.json()?).input(|| format!("cannot write {}", path.display()))?;
    }
    reporter.bench(&report);
    Ok(())
}

/// The flags of a job on the scene.
fn flags(args: &BenchArgs, scene: &Path, model: &Path, output: &Path) -> Vec<Override> {
    let prompts: Vec<String> = (0..args.queries).map(|index| format!("thing {index}")).collect();
    vec![
        Override::text("SCENE", "scene", &scene.to_string_lossy()),
        Override::text("--model", "model", &model.to_string_lossy()),
        Override::classes("--classes", &prompts.join("; ")),
        Override::text("--device", "device", &args.device),
        Override::text("--stretch", "stretch", "none"),
        Override::text("--output", "outputs.labels", &output.to_string_lossy()),
        Override::yaml("--batch", "tiling.batch", &args.batch.to_string()),
    ]
}

/// The device that the flags name, by the rules of a job.
fn device(args: &BenchArgs, scene: &Path, work: &Path, silent: &Reporter) -> Result<Device> {
    let model = if args.device == "cpu" { "fake:null" } else { "mini" };
    let spec = pipeline::from_flags(&flags(args, scene, Path::new(model), &work.join("probe.tif")))?;
    Ok(job::prepare(&spec, false, Folders::Look, silent)?.device)
}

struct Bench<'a> {
    args: &'a BenchArgs,
    subject: &'a Subject,
    prepared: Prepared,
    queries: Queries,
    silent: &'a Reporter,
    labels: PathBuf,
}

/// What was timed, turn by turn.
#[derive(Default)]
struct Turns {
    bare: Vec<Sample>,
    half: Vec<Sample>,
    window: Vec<Sample>,
    read: Vec<Sample>,
    stitch: Vec<Sample>,
    write: Vec<Sample>,
    whole: Vec<Sample>,
    /// The bare transformer just before and after a scene.
    beside: Vec<Sample>,
}

impl<'a> Bench<'a> {
    fn new(
        args: &'a BenchArgs,
        subject: &'a Subject,
        device: Device,
        scene: &Path,
        work: &Path,
        silent: &'a Reporter,
    ) -> Result<Self> {
        let labels = work.join("labels.tif");
        let spec = pipeline::from_flags(&flags(args, scene, &subject.bundle.folder, &labels))?;
        let prepared = job::prepare(&spec, true, Folders::Make, silent)?;
        debug_assert_eq!(prepared.device, device);
        let queries = subject::queries(args.queries.into(), subject.bundle.card.sizes.embed_dim);
        Ok(Self { args, subject, prepared, queries, silent, labels })
    }

    fn bundle(&self) -> &Bundle {
        &self.subject.bundle
    }

    fn grid(&self) -> Grid {
        self.prepared.plan.grid(&self.prepared.plan.scenes[0])
    }

    fn measure(&self, reporter: &Reporter) -> Result<BenchReport> {
        let device = self.prepared.device;
        let mut segmenter = model::segmenter(self.bundle(), device, &self.queries, 0.3)?;
        let load = |path: &Path| TorchPatchEncoder::load(path, device);
        let mut half = self.bundle().halves().map(|halves| load(&halves.0)).transpose()?;
        let mut bare = self.subject.bare.as_deref().map(load).transpose()?;
        let batches = self.batches()?;
        let (stop, tally) = (Stop::listen()?, Tally::default());
        let watch = Watch { stop: &stop, tally: &tally, reporter: self.silent };
        process::forget_peak();
        let mut turns = Turns::default();
        let rounds = usize::from(self.args.rounds);
        let progress = reporter.progress("measuring", rounds + 1, "turns");
        for round in 0..=rounds {
            let mut turn = Turns::default();
            let images = &batches[round % batches.len()];
            let mut bare_turn = |turns: &mut Vec<Sample>| -> Result<()> {
                if let Some(bare) = &mut bare {
                    turns.push(self.encode(bare, images)?);
                }
                Ok(())
            };
            bare_turn(&mut turn.bare)?;
            if let Some(half) = &mut half {
                turn.half.push(self.encode(half, images)?);
            }
            // In the order of a scene, where windows have neighbours.
            let at = (2 * round) % batches.len();
            segmenter.segment(&batches[at])?;
            let next = &batches[(at + 1) % batches.len()];
            turn.window.push(Sample::of(next.count, || segmenter.segment(next))?.0);
            if !self.args.model_only {
                self.around(&mut turn)?;
                bare_turn(&mut turn.beside)?;
                let options = Options { overwrite: true, ..Options::default() };
                let run = || job::run_prepared(&self.prepared, segmenter.as_mut(), options, None, watch);
                turn.whole.push(Sample::of(self.grid().len(), run)?.0);
                bare_turn(&mut turn.beside)?;
            }
            // The first turn warms up.
            if round > 0 {
                turns.append(turn);
            }
            progress.advance(1);
        }
        Ok(self.report(&turns))
    }

    fn encode(&self, encoder: &mut TorchPatchEncoder, images: &Images) -> Result<Sample> {
        let sizes = &self.bundle().card.sizes;
        Ok(Sample::of(images.count, || encoder.encode(images, sizes.patch, sizes.embed_dim))?.0)
    }

    /// The scene's windows as the model gets them.
    fn batches(&self) -> Result<Vec<Images>> {
        let scene = &self.prepared.plan.scenes[0];
        let reader = SceneReader::open(&scene.info, scene.bands, &scene.stretch)?;
        let windows: Vec<Window> = self.grid().windows().collect();
        let padding = Padding::new(self.grid().window(), self.bundle().card.sizes.patch);
        windows
            .chunks(self.args.batch.into())
            .filter(|windows| windows.len() == usize::from(self.args.batch) || windows.len() == self.grid().len())
            .map(|windows| {
                let tiles = windows.iter().map(|&window| reader.read(window)).collect::<Result<Vec<_>>>()?;
                Ok(normalise(&tiles, &self.bundle().normalisation(), &padding))
            })
            .collect()
    }

    /// What is around the model, each alone.
    fn around(&self, turn: &mut Turns) -> Result<()> {
        let (plan, grid) = (&self.prepared.plan, self.grid());
        let windows = grid.len();
        let scene = &plan.scenes[0];
        turn.read.push(Sample::of(windows, || self.batches())?.0);
        let logits: Vec<f32> =
            (0..self.queries.count * grid.window().pixels()).map(|index| (index % 97) as f32 / 970.0).collect();
        let classifier = job::classifier(plan);
        let whole = Window { col: 0, row: 0, width: scene.info.size.width, height: scene.info.size.height };
        let (sample, labels) = Sample::of(windows, || {
            let mut accumulator = Accumulator::new(whole, grid.window(), self.queries.count, plan.tiling.blend);
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
        let (classes, path) = (job::classes(plan), self.labels.with_file_name("written.tif"));
        let sample = Sample::of(windows, || {
            let kind = LabelType::for_classes(classes.len());
            let layout = plan.rasters.layout;
            let mut writer = LabelWriter::create(&path, whole.size(), None, &classes, kind, layout, &[])?;
            let mut rows = labels.chunks(ROWS_AT_ONCE * whole.width).enumerate();
            rows.try_for_each(|(index, rows)| writer.write_rows(index * ROWS_AT_ONCE, rows))?;
            writer.finish()
        })?;
        turn.write.push(sample.0);
        Ok(())
    }

    /// Seconds for all queries in all templates.
    fn text(&self) -> Result<f64> {
        let prompts: Vec<String> = (0..self.args.queries).map(|index| format!("open water {index}")).collect();
        let (templates, tokenizer) = (imagenet_templates(), self.subject.tokenizer()?);
        let mut encoder = TorchTextEncoder::load(&self.bundle().text_encoder(), self.prepared.device)?;
        let wording = Wording { prompts: &prompts, templates: &templates };
        let (sample, _) = Sample::of(1, || queries::encode(wording, &tokenizer, &mut encoder, |_| ()))?;
        Ok(sample.wall)
    }

    fn report(&self, turns: &Turns) -> BenchReport {
        let tiling = &self.prepared.plan.tiling;
        let row = |what: &'static str, samples: &[Sample]| {
            let middle = |seconds: fn(&Sample) -> f64| 1e3 * median(samples.iter().map(seconds).collect());
            let (wall, processor) = (middle(|sample| sample.wall), middle(|sample| sample.processor));
            (!samples.is_empty()).then_some(BenchRow { what, wall, processor })
        };
        // Two turns of the bare transformer beside each scene count as one.
        let beside: Vec<Sample> = turns
            .beside
            .chunks_exact(2)
            .map(|pair| Sample {
                wall: (pair[0].wall + pair[1].wall) / 2.0,
                processor: (pair[0].processor + pair[1].processor) / 2.0,
            })
            .collect();
        let ratio = |of: &[Sample], to: &[Sample]| (!of.is_empty() && !to.is_empty()).then(|| ratios(of, to));
        let fastest = if turns.whole.is_empty() { &turns.window } else { &turns.whole };
        let per_second = 1.0 / median(fastest.iter().map(|sample| sample.wall).collect());
        let metres = tiling.stride as f64 * self.args.resolution;
        BenchReport {
            model: self.subject.name.clone(),
            precision: self.args.precision.to_string(),
            device: self.prepared.device.to_string(),
            processor: processor(),
            threads: torch::threads(),
            batch: self.args.batch.into(),
            queries: self.queries.count,
            window: tiling.window,
            stride: tiling.stride,
            rounds: self.args.rounds.into(),
            rows: [
                row("bare transformer", &turns.bare),
                row("transformer in a window", &turns.half),
                row("window", &turns.window),
                row("read", &turns.read),
                row("stitch", &turns.stitch),
                row("write", &turns.write),
                row("file to file", &turns.whole),
            ]
            .into_iter()
            .flatten()
            .collect(),
            window_to_bare: ratio(&turns.window, &turns.bare),
            window_to_half: ratio(&turns.window, &turns.half),
            whole_to_bare: ratio(&turns.whole, &beside),
            windows_per_second: per_second,
            resolution: self.args.resolution,
            square_kilometres_per_hour: per_second * metres * metres * 3600.0 / 1e6,
            text_seconds: None,
            peak_memory: f64::NAN,
        }
    }
}

impl Turns {
    fn append(&mut self, turn: Self) {
        self.bare.extend(turn.bare);
        self.half.extend(turn.half);
        self.window.extend(turn.window);
        self.read.extend(turn.read);
        self.stitch.extend(turn.stitch);
        self.write.extend(turn.write);
        self.whole.extend(turn.whole);
        self.beside.extend(turn.beside);
    }
}

/// What the system calls its processor.
fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{} ({cores} cores)", line.trim_start_matches([' ', '\t', ':']))
}
