//! Trains the built-in model and computes its figures; see `models/README.md`.
//!
//! ```text
//!  data (pictures, labels, split, drawn roads) ─► views (augment) ─► loss (region–text contrast) ─► student (towers, EMA, norms folded)
//!                                                            words ─┘
//! ```
//!
//! ```text
//! segearth-train train DATA LANDSAT OUT [--steps N] [--every N] [--validate N] [--resume | --settled FOLDER]
//! segearth-train validate DATA LANDSAT OUT
//! segearth-train compare DATA [BUNDLE]…       on the validation part
//! segearth-train figures DATA [BUNDLE]…       on the test part
//! segearth-train learning DATA [--sets FOLDER,…] [--alone no]   what examples gain, scene by scene
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints its figures")]
#![expect(clippy::indexing_slicing, reason = "pictures and batches of sizes that this crate decides")]

mod augment;
mod colours;
mod data;
mod engine;
mod evaluate;
mod figures;
mod files;
mod initial;
mod landsat;
mod learning;
mod loss;
mod roads;
mod student;
mod tables;
mod views;
mod words;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;

use segearth::error::{Context as _, Error, Result};
use segearth::model::text::{Tokenizer, imagenet_templates};
use segearth::train::parameters::{AdamW, Parameters};
use segearth::train::random::Random;
use segearth::train::weights;
use tch::Kind;

use crate::data::Data;
use crate::engine::Plan;
use crate::files::{Config, Trained};
use crate::initial::Shape;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["train", data, pieces, out, ..] => train(Path::new(data), Path::new(pieces), Path::new(out), &words),
        ["validate", data, pieces, out] => validate(Path::new(data), Path::new(pieces), Path::new(out)),
        ["learning", data, ..] => {
            let sets = option(&words, "--sets", String::new());
            // Without them, features alone and colours alone are not learnt from.
            let alone = option(&words, "--alone", "yes".to_owned()) == "yes";
            learning::print(Path::new(data), &sets, alone)
        }
        ["figures", data, others @ ..] => tables::print(Path::new(data), others, false),
        ["compare", data, others @ ..] => tables::print(Path::new(data), others, true),
        _ => Err(Error::input(
            "give train, validate, compare, figures or learning with their folders, as the file's head says",
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
        descent: option(arguments, "--descent", plan.descent),
        rate: option(arguments, "--rate", plan.rate),
        ..plan
    }
}

fn sources(data: &mut Data) -> views::TrainingData {
    let mut of = |split: fn(&mut Data) -> &mut data::Split| std::mem::take(&mut split(data).train);
    views::TrainingData::new(views::Pictures {
        merced: of(|data| &mut data.merced),
        dubai: of(|data| &mut data.dubai),
        buildings: of(|data| &mut data.buildings),
        monterey: of(|data| &mut data.monterey),
        coast: of(|data| &mut data.coast),
        crowns: of(|data| &mut data.crowns),
        eurosat: of(|data| &mut data.eurosat),
        landsat: of(|data| &mut data.landsat),
    })
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

fn train(root: &Path, pieces: &Path, out: &Path, arguments: &[&str]) -> Result<()> {
    let resume = arguments.contains(&"--resume");
    let plan = planned(student::plan(), arguments);
    let every: usize = option(arguments, "--every", 250);
    let validate: usize = option(arguments, "--validate", 1500);
    let mut log = Log::open(out, "log.tsv")?;
    let mut data = Data { landsat: landsat::pieces(pieces)?, ..Data::read(root)? };
    let sources = sources(&mut data);
    let templates = imagenet_templates();
    // Weights whose norms have become part of the convolutions, which are trained on without any.
    let settled: String = option(arguments, "--settled", String::new());
    let tokenizer = if resume {
        Tokenizer::from_file(&out.join(files::TOKENIZER))?
    } else if !settled.is_empty() {
        Tokenizer::from_file(&Path::new(&settled).join(files::TOKENIZER))?
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
        engine::read_checkpoint(out, files::WEIGHTS)?
    } else {
        let tensors = if settled.is_empty() {
            let mut tensors = student::initial(&shape, &mut Random::new(plan.seed))?;
            tensors.extend(initial::text_tower(&shape, &mut Random::new(plan.seed).fork(1))?);
            tensors
        } else {
            weights::read(&Path::new(&settled).join(files::CLIP))?
        };
        let weights = Parameters::from_tensors(&tensors)?;
        let optimiser = AdamW::new(&weights)?;
        (weights, optimiser, 0)
    };
    println!("{} tokens, {} weights, from step {first}", shape.vocabulary, weights.values.numel());
    let run = student::Run { shape, plan, sources: &sources, tokenizer: &tokenizer, templates: &templates };
    run.train(&mut weights, &mut optimiser, first, |progress, weights, optimiser| {
        log.step(&progress)?;
        if progress.step.is_multiple_of(every) || progress.last {
            engine::write_checkpoint(out, files::WEIGHTS, BESIDE, progress.step, weights, optimiser)?;
        }
        if progress.step.is_multiple_of(validate) || progress.last {
            let average = weights.with_values(optimiser.average.shallow_clone());
            let settled = student::settle(&average.tensors(Kind::Float, false)?, &sources, plan.seed)?;
            weights::write(&out.join(files::CLIP), &settled)?;
            let towers = student::towers(&settled, &shape)?;
            let found = figures::model(&towers, &tokenizer, &data, |split| &split.validation, VALIDATED, SOME_OF_THEM)?;
            log.line(&format!("validation\t{}\t{:.4}", progress.step, found.mean))?;
            found.lines.iter().try_for_each(|line| log.line(&format!("\t{line}")))?;
        }
        Ok(true)
    })
}

/// Weights whose names begin so only go on with a training; there are none now.
const BESIDE: &str = "train.";
/// λ and logit scale of the figures during a training.
const VALIDATED: (f64, f64) = (0.0, 50.0);
/// One of so many pictures is counted then.
const SOME_OF_THEM: usize = 4;

/// All validation figures of a trained model, for several λ and logit scales: what the recommended settings are chosen by.
fn validate(root: &Path, pieces: &Path, out: &Path) -> Result<()> {
    let data = Data { landsat: landsat::pieces(pieces)?, ..Data::read(root)? };
    let trained = Trained::open(out)?;
    let towers = trained.towers()?;
    for lambda in [0.0, -0.1, -0.3] {
        for scale in [25.0, 50.0, 100.0] {
            let found =
                figures::model(&towers, &trained.tokenizer, &data, |split| &split.validation, (lambda, scale), 1)?;
            println!("λ = {lambda}, logit scale {scale}: mean {:.4}", found.mean);
            found.lines.iter().for_each(|line| println!("\t{line}"));
        }
    }
    Ok(())
}
