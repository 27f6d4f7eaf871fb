//! What of `segearth bench` needs no scene: the model alone. Nothing here calls GDAL, so that a program of it starts without.

#![expect(clippy::indexing_slicing, reason = "remainders by the list's own length, and pairs")]

use std::fs;
use std::path::Path;

use rayon::ThreadPoolBuilder;

use super::super::{job, process};
use super::measure::{Sample, median, ratios};
use super::subject::{self, Subject};
use crate::atomic;
use crate::cli::{BenchArgs, Precision};
use crate::error::{Context, Error, Result};
use crate::geom::{Blend, Grid, Size, Window};
use crate::model::bundle::Trust;
use crate::model::queries::{self, Wording};
use crate::model::text::imagenet_templates;
use crate::model::torch::{self, Device, TorchPatchEncoder, TorchSegmenter, TorchTextEncoder};
use crate::model::{self, Images, Padding, Queries, Region, Segmenter, Shortcuts, TokenSource};
use crate::pipeline::{DeviceChoice, NoDevice};
use crate::report::{BenchReport, BenchRow, Reporter};
use crate::scene::{Classifier, Pooling};
use crate::stitch::window_weights;

/// Batches in a row of the windows that the model blends itself.
const BATCHES_IN_A_ROW: usize = 2;
const ROWS_OF_WINDOWS: usize = 3;
/// Windows of a batch whose labels are compared.
const COMPARED: usize = 4;

/// `segearth bench --model-only`.
pub fn run(args: &BenchArgs, trust: bool, reporter: &Reporter) -> Result<()> {
    let bench = begin(args)?;
    let subject = subject(args, bench.path(), trust, reporter)?;
    let mut bench = ModelBench::new(args, &subject, device(args, reporter)?, reporter)?;
    let batches = bench.noise();
    let mut turns = Turns::default();
    rounds(args, reporter, |round| {
        let mut turn = Turns::default();
        bench.turn(&batches, round, &mut turn)?;
        // The first turn warms up.
        if round > 0 {
            turns.append(turn);
        }
        Ok(())
    })?;
    if args.agreement {
        bench.agreement = Some(bench.compare(&batches)?);
    }
    bench.end(&turns, reporter)
}

/// Checks the words, and gives a folder for what is made on the way.
pub fn begin(args: &BenchArgs) -> Result<tempfile::TempDir> {
    if !(args.resolution > 0.0 && args.resolution.is_finite()) {
        return Err(Error::input(format!("the resolution is {} m; it must be above 0", args.resolution)));
    }
    args.json.as_deref().map_or(Ok(()), |path| replaceable(path, args.overwrite))?;
    if let Some(threads) = args.threads {
        torch::set_threads(threads.into());
        // Where the pool is there already it stays as it is: nothing before this has asked for it.
        let _ = ThreadPoolBuilder::new().num_threads(threads.into()).build_global();
    }
    tempfile::tempdir().input(|| "cannot make a temporary folder".into())
}

/// Refuses to write over what is something else than figures of an earlier measurement. The records of `outputs` would need
/// GDAL, which this program does without.
fn replaceable(path: &Path, overwrite: bool) -> Result<()> {
    let Ok(metadata) = fs::metadata(path) else { return Ok(()) };
    let figures = || -> Option<bool> {
        let found: serde_json::Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        Some(found.get("rows").is_some() && found.get("windows_per_second").is_some())
    };
    if !metadata.is_file() || !(overwrite || figures() == Some(true)) {
        return Err(Error::input(format!(
            "{} exists and is not a result of this command; it is not overwritten",
            path.display()
        ))
        .with_hint("Give --json another name, or replace the file with --overwrite."));
    }
    Ok(())
}

pub fn device(args: &BenchArgs, reporter: &Reporter) -> Result<Device> {
    let choice: DeviceChoice = args.device.parse().map_err(|NoDevice| {
        let allowed = "allowed are `auto`, `cpu`, `cuda` and `cuda:N`";
        Error::input(format!("--device: `{}` is not a device; {allowed}", args.device.escape_debug()))
    })?;
    job::usable_device(choice, reporter)
}

/// The model to be measured.
pub fn subject(args: &BenchArgs, work: &Path, trust: bool, reporter: &Reporter) -> Result<Subject> {
    reporter.detail("Loading the model.");
    let folder = work.join("model");
    fs::create_dir(&folder).input(|| format!("cannot make the folder {}", folder.display()))?;
    let trust = if trust { Trust::User } else { Trust::Hashes };
    if args.agreement && !subject::is_random(&args.model) {
        return Err(Error::input("--agreement compares random weights only").with_hint("Omit --model, or --agreement."));
    }
    Subject::new(args, &folder, trust)?.ok_or_else(|| {
        Error::input(format!("{} has no transformer to measure", args.model))
            .with_hint("Name a bundle, or omit --model.")
    })
}

/// One turn to warm up, and those that count.
pub fn rounds(args: &BenchArgs, reporter: &Reporter, mut turn: impl FnMut(usize) -> Result<()>) -> Result<()> {
    process::forget_peak();
    let rounds = usize::from(args.rounds);
    let progress = reporter.progress("measuring", rounds + 1, "rounds");
    for round in 0..=rounds {
        turn(round)?;
        progress.advance(1);
    }
    Ok(())
}

/// A model that is loaded, and its parts.
pub struct ModelBench<'a> {
    args: &'a BenchArgs,
    subject: &'a Subject,
    device: Device,
    /// Windows at once.
    pub batch: usize,
    pub queries: Queries,
    pub segmenter: Box<dyn Segmenter>,
    /// The transformer that is part of a window, and the one that was trained.
    half: Option<TorchPatchEncoder>,
    baseline: Option<TorchPatchEncoder>,
    window: usize,
    stride: usize,
    /// Share of equal labels, and the largest difference of logits.
    agreement: Option<[f64; 2]>,
}

/// What was timed, turn by turn.
#[derive(Default)]
pub struct Turns {
    pub baseline: Vec<Sample>,
    half: Vec<Sample>,
    pub window: Vec<Sample>,
    /// Windows blended and labelled by the model's own device.
    blended: Vec<Sample>,
    pub read: Vec<Sample>,
    pub stitch: Vec<Sample>,
    pub write: Vec<Sample>,
    pub whole: Vec<Sample>,
    /// The baseline transformer just before and after a scene.
    pub beside: Vec<Sample>,
}

impl<'a> ModelBench<'a> {
    pub fn new(args: &'a BenchArgs, subject: &'a Subject, device: Device, reporter: &Reporter) -> Result<Self> {
        let sizes = &subject.bundle.card.sizes;
        let queries = subject::queries(args.queries.into(), sizes.embed_dim);
        let shortcuts = Shortcuts { channels: args.channels.map(usize::from), half_resolution: args.half_resolution };
        let load = |path: &Path| TorchPatchEncoder::load(path, device);
        let has_kernels = subject.bundle.upsampler().or(subject.bundle.naf()).is_some();
        let segmenter = model::segmenter(&subject.bundle, device, &queries, 0.3, shortcuts, TokenSource::Tower)?;
        segmenter.warning().into_iter().for_each(|warning| reporter.note(warning));
        Ok(Self {
            args,
            subject,
            device,
            batch: args.batch.map_or(segmenter.batch(), usize::from),
            segmenter,
            half: has_kernels.then(|| model::patch_encoder(&subject.bundle, device)).transpose()?,
            baseline: subject.baseline.as_deref().map(load).transpose()?.map(TorchPatchEncoder::as_a_whole),
            queries,
            window: sizes.window,
            stride: sizes.window / 2,
            agreement: None,
        })
    }

    /// Batches that show nothing.
    fn noise(&self) -> Vec<Images> {
        let size = Size::new(self.window, self.window);
        let count = self.batch;
        let batch = |seed: usize| Images {
            size,
            count,
            pixels: (0..3 * count * size.pixels()).map(|at| subject::noise((at + seed * 7919) as u32) - 0.5).collect(),
            tokens: None,
        };
        (0..4).map(batch).collect()
    }

    /// Share of pixels whose best query is that of the network in fp32, computed in libtorch's operations on the same device, and the
    /// largest difference of logits.
    fn compare(&mut self, batches: &[Images]) -> Result<[f64; 2]> {
        let folder = tempfile::tempdir().input(|| "cannot make a temporary folder".into())?;
        let full = Subject::random(self.args, Precision::Fp32, folder.path())?;
        let mut reference = TorchSegmenter::load(&full.bundle.image_encoder(), self.device, &self.queries, 0.3)?;
        let (mut equal, mut pixels, mut largest) = (0usize, 0usize, 0f64);
        for batch in batches {
            let few = batch.part(0, batch.count.min(COMPARED));
            let (got, want) = (self.segmenter.segment(&few)?, reference.segment(&few)?);
            for (got, want) in got.iter().zip(&want) {
                largest = largest.max(f64::from((got - want).abs()));
            }
            let plane = few.size.pixels();
            let best = |logits: &[f32], image: usize, pixel: usize| {
                let logit = |query: usize| logits[(image * self.queries.count + query) * plane + pixel];
                (0..self.queries.count).max_by(|&a, &b| logit(a).total_cmp(&logit(b)))
            };
            for image in 0..few.count {
                equal += (0..plane).filter(|&pixel| best(&got, image, pixel) == best(&want, image, pixel)).count();
            }
            pixels += few.count * plane;
        }
        Ok([equal as f64 / pixels.max(1) as f64, largest])
    }

    /// The baseline transformer's turn, where its weights are at hand.
    pub fn baseline(&mut self, images: &Images, turns: &mut Vec<Sample>) -> Result<()> {
        if let Some(baseline) = &mut self.baseline {
            turns.push(encode(baseline, self.subject, images)?);
        }
        Ok(())
    }

    /// A turn of each part of the model.
    pub fn turn(&mut self, batches: &[Images], round: usize, turn: &mut Turns) -> Result<()> {
        let images = &batches[round % batches.len()];
        self.baseline(images, &mut turn.baseline)?;
        if let Some(half) = &mut self.half {
            turn.half.push(encode(half, self.subject, images)?);
        }
        // In the order of a scene, where windows have neighbours.
        let at = (2 * round) % batches.len();
        self.segmenter.segment(&batches[at])?;
        let next = &batches[(at + 1) % batches.len()];
        turn.window.push(Sample::of(next.count, || self.segmenter.segment(next))?.0);
        if self.segmenter.blends() {
            turn.blended.push(self.blended(next)?);
        }
        Ok(())
    }

    /// Windows to labels, by the model's own blending.
    fn blended(&self, images: &Images) -> Result<Sample> {
        let across = BATCHES_IN_A_ROW * images.count;
        let length = |windows: usize| (windows - 1) * self.stride + self.window;
        let grid = Grid::new(Size::new(length(across), length(ROWS_OF_WINDOWS)), self.window, self.stride);
        let weights = window_weights(Blend::Hann, self.window);
        let region = grid.scene().window();
        let task = Region {
            region,
            padding: Padding::new(grid.window(), self.subject.bundle.card.sizes.patch),
            weights: [&weights, &weights],
            classifier: &Classifier {
                query_class: (0..self.queries.count).collect(),
                thresholds: vec![0.0; self.queries.count],
                background: None,
                logit_scale: 50.0,
                bias: Vec::new(),
                pooling: Pooling::default(),
                margin: 0.0,
                nodata: u16::MAX,
            },
            scores: false,
            patient: false,
        };
        let windows: Vec<(Window, Option<&[bool]>)> = grid.windows().map(|window| (window, None)).collect();
        let (sample, _) = Sample::of(windows.len(), || {
            let mut blender = self.segmenter.blender(&task)?;
            for row in windows.chunk_by(|a, b| a.0.row == b.0.row) {
                for batch in row.chunks(images.count) {
                    while blender.first() < row[0].0.row {
                        blender.finish_before(row[0].0.row)?;
                    }
                    blender.add(images, batch)?;
                }
            }
            while blender.first() < region.rows().end {
                blender.finish_before(region.rows().end)?;
            }
            Ok::<_, Error>(())
        })?;
        Ok(sample)
    }

    /// Seconds for all queries in all templates.
    pub fn text(&self) -> Result<f64> {
        let prompts: Vec<String> = (0..self.args.queries).map(|index| format!("open water {index}")).collect();
        let (templates, tokenizer) = (imagenet_templates(), self.subject.tokenizer()?);
        let mut encoder = TorchTextEncoder::load(&self.subject.bundle.text_encoder(), self.device)?;
        let wording = Wording { prompts: &prompts, templates: &templates };
        let (sample, _) = Sample::of(1, || queries::encode(wording, &tokenizer, &mut encoder, |_| ()))?;
        Ok(sample.wall)
    }

    /// Tells what was found.
    pub fn end(&self, turns: &Turns, reporter: &Reporter) -> Result<()> {
        let mut report = self.report(turns);
        if self.args.text {
            report.text_seconds = Some(self.text()?);
        }
        report.peak_memory = process::peak();
        if let Some(path) = &self.args.json {
            atomic::write_file(path, report.json()?.as_bytes())?;
        }
        reporter.bench(&report);
        Ok(())
    }

    fn report(&self, turns: &Turns) -> BenchReport {
        let row = |what: &'static str, samples: &[Sample]| {
            let middle = |seconds: fn(&Sample) -> f64| 1e3 * median(samples.iter().map(seconds).collect());
            let (wall, processor) = (middle(|sample| sample.wall), middle(|sample| sample.processor));
            (!samples.is_empty()).then_some(BenchRow { what, wall, processor })
        };
        // Two turns of the baseline transformer beside each scene count as one.
        let beside: Vec<Sample> = turns
            .beside
            .chunks_exact(2)
            .map(|pair| Sample {
                wall: (pair[0].wall + pair[1].wall) / 2.0,
                processor: (pair[0].processor + pair[1].processor) / 2.0,
            })
            .collect();
        let ratio = |of: &[Sample], to: &[Sample]| (!of.is_empty() && !to.is_empty()).then(|| ratios(of, to));
        let nearest = [&turns.whole, &turns.blended, &turns.window].into_iter().find(|samples| !samples.is_empty());
        let fastest = nearest.unwrap_or(&turns.window);
        let per_second = 1.0 / median(fastest.iter().map(|sample| sample.wall).collect());
        let metres = self.stride as f64 * self.args.resolution;
        BenchReport {
            model: self.subject.name.clone(),
            precision: self.args.precision.to_string(),
            device: self.device.to_string(),
            processor: process::processor(),
            threads: torch::threads(),
            batch: self.batch,
            queries: self.queries.count,
            window: self.window,
            stride: self.stride,
            rounds: self.args.rounds.into(),
            rows: [
                row("baseline transformer", &turns.baseline),
                row("transformer of the window", &turns.half),
                row("window", &turns.window),
                row("window to labels", &turns.blended),
                row("read", &turns.read),
                row("stitch", &turns.stitch),
                row("write", &turns.write),
                row("file to file", &turns.whole),
            ]
            .into_iter()
            .flatten()
            .collect(),
            window_to_baseline: ratio(&turns.window, &turns.baseline),
            window_to_half: ratio(&turns.window, &turns.half),
            whole_to_baseline: ratio(&turns.whole, &beside),
            labels_equal: self.agreement.map(|[equal, _]| equal),
            largest_difference: self.agreement.map(|[_, largest]| largest),
            windows_per_second: per_second,
            resolution: self.args.resolution,
            square_kilometres_per_hour: per_second * metres * metres * 3600.0 / 1e6,
            text_seconds: None,
            peak_memory: f64::NAN,
        }
    }
}

fn encode(encoder: &mut TorchPatchEncoder, subject: &Subject, images: &Images) -> Result<Sample> {
    let sizes = &subject.bundle.card.sizes;
    Ok(Sample::of(images.count, || encoder.encode(images, sizes.patch, sizes.embed_dim))?.0)
}

impl Turns {
    pub fn append(&mut self, turn: Self) {
        self.baseline.extend(turn.baseline);
        self.half.extend(turn.half);
        self.window.extend(turn.window);
        self.blended.extend(turn.blended);
        self.read.extend(turn.read);
        self.stitch.extend(turn.stitch);
        self.write.extend(turn.write);
        self.whole.extend(turn.whole);
        self.beside.extend(turn.beside);
    }
}
