//! Trains the built-in model and computes its figures; see `models/README.md`.
//!
//! ```text
//!  data (pictures, labels, split) ─► augment (views, mosaics) ─► loss (region–text contrast) ─► clip (towers, EMA)
//!                                                                     words ─┘                     │
//!                                              upsampler (SimFeatUp on frozen towers, in segearth) ◄──┘
//! ```
//!
//! ```text
//! segearth-train teacher DATA LANDSAT OUT [--steps N] [--resume]
//! segearth-train train DATA LANDSAT OUT [--steps N] [--resume]
//! segearth-train upsampler DATA OUT [--steps N]
//! segearth-train evaluate DATA OUT
//! segearth-train figures DATA
//! segearth-train tiles DATA MODEL BLEND
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints its figures")]
#![expect(clippy::indexing_slicing, reason = "pictures and batches of sizes that this crate decides")]

mod augment;
mod clip;
mod colours;
mod data;
mod engine;
mod evaluate;
mod figures;
mod files;
mod initial;
mod landsat;
mod loss;
mod tables;
mod teacher;
mod views;
mod words;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Mutex;

use segearth::error::{Context as _, Error, Result};
use segearth::model::text::{Tokenizer, imagenet_templates};
use segearth::train::parameters::{AdamW, Parameters};
use segearth::train::random::Random;
use segearth::train::upsampler::{self, Ended, UpsamplerPlan};
use segearth::train::weights;
use tch::Kind;

use crate::engine::Plan;
use crate::figures::{self as held_out, Data};
use crate::files::{Config, Trained};
use crate::initial::Shape;
use crate::teacher::Teacher;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["teacher", data, pieces, out, ..] => train_teacher(Path::new(data), Path::new(pieces), Path::new(out), &words),
        ["train", data, pieces, out, ..] => train(Path::new(data), Path::new(pieces), Path::new(out), &words),
        ["upsampler", data, out, ..] => train_upsampler(Path::new(data), Path::new(out), &words),
        ["evaluate", data, out, ..] => evaluate_model(Path::new(data), Path::new(out)),
        ["figures", data, ..] => tables::print(Path::new(data)),
        ["tiles", data, model, blend] => tables::print_tiles(Path::new(data), model, blend),
        _ => Err(Error::input(
            "give teacher, train, upsampler, evaluate, figures or tiles with their folders, as the file's head says",
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#?}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn option<T: FromStr>(words: &[&str], name: &str, default: T) -> T {
    let value = words.iter().skip_while(|word| **word != name).nth(1);
    value.and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// The steps' plan as the command line changes it.
fn planned(plan: Plan, arguments: &[&str]) -> Plan {
    Plan {
        steps: option(arguments, "--steps", plan.steps),
        grow: [option(arguments, "--grow", plan.grow[0]), option(arguments, "--grow-again", plan.grow[1])],
        turn: option(arguments, "--turn", plan.turn),
        descent: option(arguments, "--descent", plan.descent),
        rate: option(arguments, "--rate", plan.rate),
        ..plan
    }
}

fn sources(data: &mut Data, pieces: &Path) -> Result<views::TrainingData> {
    let (merced, dubai) = (std::mem::take(&mut data.merced.train), std::mem::take(&mut data.dubai.train));
    Ok(views::TrainingData::new(merced, dubai, landsat::pieces(pieces)?))
}

/// Says and keeps what a run says of itself, the parts of the loss as means over the steps in between.
struct Log {
    file: File,
    sums: [f64; 4],
    steps: f64,
    views: usize,
}

impl Log {
    fn open(folder: &Path, name: &str) -> Result<Self> {
        std::fs::create_dir_all(folder).input(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join(name);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        Ok(Self { file: file.input(|| format!("no {}", path.display()))?, sums: [0.0; 4], steps: 0.0, views: 0 })
    }

    fn line(&mut self, line: &str) -> Result<()> {
        println!("{line}");
        writeln!(self.file, "{line}").input(|| "cannot write the log".into())
    }

    fn step(&mut self, progress: &engine::Progress) -> Result<()> {
        self.sums.iter_mut().zip(progress.losses.parts).for_each(|(sum, part)| *sum += part);
        self.steps += 1.0;
        self.views += progress.losses.views;
        if progress.step.is_multiple_of(50) || progress.last {
            let means: Vec<String> = self.sums.iter().map(|sum| format!("{:.4}", sum / self.steps)).collect();
            self.line(&format!(
                "{}\t{}\t{:.2}\t{:.1}\t{}",
                progress.step,
                means.join("\t"),
                progress.norm,
                progress.seconds,
                self.views
            ))?;
            (self.sums, self.steps) = ([0.0; 4], 0.0);
        }
        Ok(())
    }
}

fn train_teacher(root: &Path, pieces: &Path, out: &Path, arguments: &[&str]) -> Result<()> {
    let plan = planned(teacher::plan(), arguments);
    let every: usize = option(arguments, "--every", 250);
    let mut log = Log::open(out, "teacher.tsv")?;
    let mut data = Data::read(root)?;
    let sources = sources(&mut data, pieces)?;
    const WEIGHTS: &str = "teacher-weights.safetensors";
    let (mut weights, mut optimiser, first) = if arguments.contains(&"--resume") {
        engine::read_checkpoint(out, WEIGHTS)?
    } else {
        let weights = Parameters::from_tensors(&teacher::initial(&mut Random::new(plan.seed))?)?;
        let optimiser = AdamW::new(&weights)?;
        (weights, optimiser, 0)
    };
    println!("{} weights, from step {first}", weights.values.numel());
    teacher::train(&plan, &sources, &mut weights, &mut optimiser, first, |progress, weights, optimiser| {
        log.step(&progress)?;
        if progress.step.is_multiple_of(every) || progress.last {
            engine::write_checkpoint(out, WEIGHTS, clip::BESIDE, progress.step, weights, optimiser)?;
        }
        if progress.step.is_multiple_of(1000) || progress.last {
            let average = weights.with_values(optimiser.average.shallow_clone());
            let teacher = Teacher::settle(average.tensors(Kind::Float, false)?, &sources, plan.seed)?;
            let all: Vec<_> = teacher.tensors().iter().map(|(name, it)| (name.clone(), it.shallow_clone())).collect();
            weights::replace(&out.join(files::TEACHER), &all)?;
            let top = evaluate::teacher(&teacher, &data.merced.held_out, 128)?;
            log.line(&format!("held out\t{}\t{top:.4}", progress.step))?;
        }
        Ok(true)
    })
}

fn train(root: &Path, pieces: &Path, out: &Path, arguments: &[&str]) -> Result<()> {
    let resume = arguments.contains(&"--resume");
    let plan = planned(clip::plan(), arguments);
    let every: usize = option(arguments, "--every", 250);
    let mut log = Log::open(out, "log.tsv")?;
    let mut data = Data::read(root)?;
    let sources = sources(&mut data, pieces)?;
    let templates = imagenet_templates();
    let tokenizer = if resume {
        Tokenizer::from_file(&out.join(files::TOKENIZER))?
    } else {
        let spoken = words::TEMPLATES.iter().map(|template| (*template).to_owned());
        let all: Vec<String> = templates.iter().cloned().chain(spoken).collect();
        Tokenizer::train(&words::corpus(&all), 2000)?
    };
    std::fs::write(out.join(files::TOKENIZER), tokenizer.to_json()?)
        .input(|| format!("cannot write into {}", out.display()))?;
    let shape = Shape { vocabulary: tokenizer.vocabulary_size(), ..Default::default() };
    Config { shape, plan }.write(out)?;
    let (mut weights, mut optimiser, first) = if resume {
        engine::read_checkpoint(out, files::CLIP)?
    } else {
        let mut tensors = initial::initial(&shape, &mut Random::new(plan.seed))?;
        initial::whiten(&mut tensors, &shape, &sources.sample(200, 64, plan.seed)?)?;
        tensors.extend([clip::beside(&shape, &mut Random::new(plan.seed).fork(1))?]);
        let weights = Parameters::from_tensors(&tensors)?;
        let optimiser = AdamW::new(&weights)?;
        (weights, optimiser, 0)
    };
    let path = out.join(files::TEACHER);
    let mut teachers = Vec::new();
    if path.exists() {
        for _ in 0..plan.workers {
            teachers.push(Mutex::new(Teacher::from_tensors(weights::read(&path)?).to_kind(Kind::BFloat16)?));
        }
    }
    println!("{} tokens, {} weights, from step {first}", shape.vocabulary, weights.values.numel());
    let run = clip::Run { shape, plan, sources: &sources, tokenizer: &tokenizer, templates: &templates, teachers };
    run.train(&mut weights, &mut optimiser, first, |progress, weights, optimiser| {
        log.step(&progress)?;
        if progress.step.is_multiple_of(every) || progress.last {
            engine::write_checkpoint(out, files::CLIP, clip::BESIDE, progress.step, weights, optimiser)?;
        }
        if progress.step.is_multiple_of(1000) || progress.last {
            let average = weights.with_values(optimiser.average.shallow_clone());
            let (image, text) = clip::towers(&average.tensors(Kind::Float, false)?, &shape)?;
            let (top, dubai) = held_out::quick(image, &text, &tokenizer, shape.window, &data)?;
            log.line(&format!("held out\t{}\t{top:.4}\t{:.4}\t{dubai}", progress.step, dubai.mean_iou()))?;
        }
        Ok(true)
    })
}

fn train_upsampler(root: &Path, out: &Path, arguments: &[&str]) -> Result<()> {
    let trained = Trained::open(out)?;
    let data = Data::read(root)?;
    // As many views of either set.
    let mut pictures = Vec::new();
    for _ in 0..data.merced.train.len() / data.dubai.train.len().max(1) {
        pictures.extend(data.dubai.train.iter().map(|picture| picture.pyramid.clone()));
    }
    pictures.extend(data.merced.train.into_iter().map(|picture| picture.pyramid));
    let (tower, _) = trained.towers()?;
    let defaults = UpsamplerPlan::default();
    let plan = UpsamplerPlan {
        steps: option(arguments, "--steps", defaults.steps),
        batch: option(arguments, "--batch", defaults.batch),
        side: option(arguments, "--side", defaults.side),
        folder: Some(out.to_owned()),
        ..defaults
    };
    let ended = upsampler::train(&tower, trained.config.shape.joint, &pictures, &plan, &|| false, |progress| {
        if progress.step.is_multiple_of(10) {
            println!("{}\t{:.4}\t{:.4}\t{:.0}", progress.step, progress.features, progress.picture, progress.seconds);
        }
        Ok(())
    })?;
    match ended {
        Ended::Trained(tensors) => weights::write(&out.join(files::UPSAMPLER), &tensors),
        Ended::Stopped(step) => {
            Err(Error::internal(format!("nobody stopped the training, which ended after step {step}")))
        }
    }
}

fn evaluate_model(root: &Path, out: &Path) -> Result<()> {
    let data = Data::read(root)?;
    held_out::baselines(&data, |figure| println!("{figure}"))?;
    let path = out.join(files::TEACHER);
    if path.exists() {
        held_out::teacher(&data, &Teacher::from_tensors(weights::read(&path)?), |figure| println!("{figure}"))?;
    }
    held_out::model(&data, &Trained::open(out)?, &[0.0, 0.1, 0.3], |figure| println!("{figure}"))
}
