//! Makes the embedded model and its figures; see `models/README.md`.
//!
//! ```text
//! mini train DATA LANDSAT OUT [--steps N] [--minutes M] [--rate R] [--resume]
//! mini upsampler DATA OUT [--steps N]
//! mini evaluate DATA OUT
//! ```

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;

use segearth::error::{Context as _, Error, Result};
use segearth::model::text::{Tokenizer, imagenet_templates};
use segearth::train::figures::{self, Data};
use segearth::train::files::{self, Config, Trained};
use segearth::train::initial::{self, Shape};
use segearth::train::parameters::{AdamW, Parameters};
use segearth::train::random::Random;
use segearth::train::upsampler::{self, UpsamplerPlan};
use segearth::train::{clip, landsat, views, words};
use tch::Kind;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["train", data, pieces, out, ..] => train(Path::new(data), Path::new(pieces), Path::new(out), &words),
        ["upsampler", data, out, ..] => train_upsampler(Path::new(data), Path::new(out), &words),
        ["evaluate", data, out, ..] => evaluate(Path::new(data), Path::new(out)),
        _ => Err(Error::input("give train, upsampler or evaluate with their folders, as the file's head says")),
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

fn train(root: &Path, pieces: &Path, out: &Path, arguments: &[&str]) -> Result<()> {
    std::fs::create_dir_all(out).input(|| format!("cannot make {}", out.display()))?;
    let resume = arguments.contains(&"--resume");
    let mut plan = clip::Plan::default();
    plan.steps = option(arguments, "--steps", plan.steps);
    plan.minutes = option(arguments, "--minutes", plan.minutes);
    plan.rate = option(arguments, "--rate", plan.rate);
    let every: usize = option(arguments, "--every", 400);
    let mut data = Data::read(root)?;
    let sources = views::Sources::new(
        std::mem::take(&mut data.merced.train),
        std::mem::take(&mut data.dubai.train),
        landsat::pieces(pieces)?,
    );
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
        clip::read_checkpoint(out)?
    } else {
        let mut tensors = initial::initial(&shape, &mut Random::new(plan.seed))?;
        initial::whiten(&mut tensors, &shape, &sources.sample(200, 64, plan.seed)?)?;
        let weights = Parameters::from_tensors(&tensors)?;
        let optimiser = AdamW::new(&weights)?;
        (weights, optimiser, 0)
    };
    println!("{} tokens, {} weights, from step {first}", shape.vocabulary, weights.values.numel());
    let log = out.join("log.tsv");
    let mut log = OpenOptions::new().create(true).append(true).open(&log).input(|| format!("no {}", log.display()))?;
    let run = clip::Run { shape, plan, sources: &sources, tokenizer: &tokenizer, templates: &templates };
    let (mut dense, mut global, mut views, mut count) = (0.0, 0.0, 0, 0.0);
    run.train(&mut weights, &mut optimiser, first, |progress, weights, optimiser| {
        (dense, global, count) = (dense + progress.dense, global + progress.global, count + 1.0);
        views += progress.views;
        if progress.step % 20 == 0 || progress.last {
            let line = format!(
                "{}\t{:.4}\t{:.4}\t{:.4}\t{:.1}\t{views}",
                progress.step,
                progress.done,
                dense / count,
                global / count,
                progress.seconds
            );
            println!("{line}");
            writeln!(log, "{line}").input(|| "cannot write the log".into())?;
            (dense, global, count) = (0.0, 0.0, 0.0);
        }
        if progress.step % every == 0 || progress.last {
            clip::write_checkpoint(out, progress.step, weights, optimiser)?;
            let average = weights.with_values(optimiser.average.shallow_clone());
            let (image, text) = clip::towers(&average.tensors(Kind::Float, false)?, &shape)?;
            let (top, dubai) = figures::quick(image, &text, &tokenizer, shape.window, &data)?;
            let line = format!("held out\t{}\t{top:.4}\t{:.4}\t{dubai}", progress.step, dubai.mean_iou());
            println!("{line}");
            writeln!(log, "{line}").input(|| "cannot write the log".into())?;
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
        pictures.extend(data.dubai.train.iter().cloned());
    }
    pictures.extend(data.merced.train);
    let (tower, _) = trained.towers()?;
    let defaults = UpsamplerPlan::default();
    let plan = UpsamplerPlan {
        steps: option(arguments, "--steps", defaults.steps),
        batch: option(arguments, "--batch", defaults.batch),
        side: option(arguments, "--side", defaults.side),
        folder: Some(out.to_owned()),
        ..defaults
    };
    let tensors = upsampler::train(&tower, trained.config.shape.joint, &pictures, &plan, |progress| {
        if progress.step % 10 == 0 {
            println!("{}\t{:.4}\t{:.4}\t{:.0}", progress.step, progress.features, progress.picture, progress.seconds);
        }
        Ok(true)
    })?;
    files::write(&out.join(files::UPSAMPLER), &tensors)
}

fn evaluate(root: &Path, out: &Path) -> Result<()> {
    let data = Data::read(root)?;
    figures::baselines(&data, |figure| println!("{figure}"))?;
    figures::model(&data, &Trained::open(out)?, &[0.0, 0.1, 0.3], |figure| println!("{figure}"))
}
