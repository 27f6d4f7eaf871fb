//! `segearth model`: import, inspect, list, fetch.

use std::path::{Path, PathBuf};

use segearth_checkpoint::{KnownActivation, read_clip};

use crate::cli::{Activation, Attention, AverageArgs, FetchArgs, ImportArgs, ImportOptions, ModelCommand, Precision};
use crate::error::{Error, Result};
use crate::model::bundle::{Bundle, Trust};
use crate::model::fetch::{self, Checked, Client, Fetched};
use crate::model::import::{Import, check_free, import};
use crate::model::registry::{self, Model};
use crate::network;
use crate::network::export;
use crate::pipeline::ModelChoice;
use crate::report::Reporter;
use crate::scene::Recommended;
use crate::train::weights;

pub fn run(command: &ModelCommand, trust: bool, reporter: &Reporter) -> Result<()> {
    match command {
        ModelCommand::Import(args) => run_import(args, reporter),
        ModelCommand::Inspect(args) => inspect(&args.model, reporter),
        ModelCommand::List => {
            reporter.print(&list());
            Ok(())
        }
        ModelCommand::Fetch(args) => run_fetch(args, reporter),
        ModelCommand::Average(args) => average(args, reporter),
        ModelCommand::TrainUpsampler(args) => super::upsampler::run(args, trust, reporter),
    }
}

/// Prints the card of a bundle, or what is known of a model that is not here yet.
fn inspect(name: &str, reporter: &Reporter) -> Result<()> {
    let bundle = match ModelChoice::of(name, name.into()) {
        ModelChoice::Bundle(folder) => Bundle::open(&folder, Trust::User)?,
        ModelChoice::Named(name) => match Model::find(&name) {
            Ok(_) => match Model::named(&name, Trust::User)? {
                Model::Bundle(bundle) => *bundle,
                Model::Fake(_) => {
                    reporter.print(&format!(
                        "# {name} is built in: it has no weights, and serves to test jobs\nname: {name}\n"
                    ));
                    return Ok(());
                }
            },
            Err(missing) => match fetch::known(&name) {
                Some(model) => {
                    reporter.print(&model.describe());
                    return Ok(());
                }
                None if ModelChoice::is_name(&name) => return Err(missing),
                None => Bundle::open(Path::new(&name), Trust::User)?,
            },
        },
    };
    reporter.print(&bundle.describe()?);
    if bundle.activation_is_assumed() {
        let other = if bundle.card.method.activation == "gelu" { "quickgelu" } else { "gelu" };
        reporter.note(&format!(
            "the activation of these weights was not known when they were imported: {} is assumed. If labels are wrong, import them \
             again with `--activation {other}`.",
            bundle.card.method.activation
        ));
    }
    Ok(())
}

fn run_import(args: &ImportArgs, reporter: &Reporter) -> Result<()> {
    let upsampler = (args.upsampler != "none").then(|| args.upsampler.clone().into());
    let request = request(args.clip.clone(), args.tokenizer.clone(), upsampler, &args.options, args.overwrite);
    finish(&request, &args.output, &[], reporter)
}

/// The models that can be fetched, a line each.
fn list() -> String {
    let width = fetch::MODELS.iter().map(|model| model.name.len()).max().unwrap_or(0);
    let line = |model: &fetch::Model| {
        let upsampler = if model.upsampler.is_some() { "upsampler" } else { "-" };
        format!("{:width$}  patch {:2}  {upsampler:9}  {}\n", model.name, model.patch, model.note)
    };
    fetch::MODELS.iter().map(line).collect()
}

/// Writes the mean of several checkpoints.
fn average(args: &AverageArgs, reporter: &Reporter) -> Result<()> {
    if args.output.extension().is_none_or(|ending| !ending.eq_ignore_ascii_case("safetensors")) {
        return Err(Error::input(format!("{} does not end in .safetensors", args.output.display()))
            .with_hint("The average is written in that format."));
    }
    if args.output.exists() {
        return Err(Error::input(format!("{} already exists", args.output.display()))
            .with_hint("Choose another name, or move that file away."));
    }
    let clips = args.clips.iter().map(|path| read_clip(path)).collect::<Result<Vec<_>>>()?;
    let names: Vec<String> = args.clips.iter().map(|path| path.display().to_string()).collect();
    let known: Vec<_> = clips.iter().filter_map(|clip| clip.activation.as_ref()).collect();
    if let [first, others @ ..] = known.as_slice()
        && let Some(other) = others.iter().find(|other| other.activation != first.activation)
    {
        return Err(Error::input(format!(
            "the activations differ: {} by {}, {} by {}",
            first.activation.name(),
            first.from,
            other.activation.name(),
            other.from
        ))
        .with_hint("Weights of different activations are of different networks."));
    }
    let mean = network::average(&clips, &names)?;
    weights::replace(&args.output, &mean.into_iter().collect::<Vec<_>>())?;
    let activation = known.first().map_or(String::new(), |known| format!(" --activation {}", known.activation.name()));
    reporter.note(&format!(
        "the mean of {} models; import it with `segearth model import --clip {}{activation} …`.",
        clips.len(),
        args.output.display()
    ));
    Ok(())
}

/// `said` are notes that need not be repeated.
fn finish(request: &Import, output: &Path, said: &[String], reporter: &Reporter) -> Result<()> {
    let mut notes = Vec::new();
    let bundle = import(request, output, &mut notes)?;
    notes.iter().filter(|note| !said.contains(note)).for_each(|note| reporter.note(note));
    reporter.print(&bundle.describe()?);
    Ok(())
}

fn run_fetch(args: &FetchArgs, reporter: &Reporter) -> Result<()> {
    let Some(name) = args.name.as_ref().filter(|_| !args.list) else {
        let names: Vec<&str> = fetch::MODELS.iter().map(|model| model.name).collect();
        reporter.print(&format!("{}\n", names.join("\n")));
        return Ok(());
    };
    let model = fetch::find(name)?;
    let no_folder = |what: &str| Error::input(format!("cannot find the user's directory for {what}"));
    let downloads = fetch::downloads().ok_or_else(|| no_folder("downloads").with_hint("Set SEGEARTH_DOWNLOADS."))?;
    let output = match &args.output {
        Some(folder) => folder.clone(),
        None => registry::folder().ok_or_else(|| no_folder("models").with_hint("Give --output DIR."))?.join(model.name),
    };
    // Before the download: it may be two gigabytes.
    check_free(&output, args.overwrite)?;
    let variable = |name: &str| std::env::var(name).ok();
    let client = Client::new(variable(fetch::BASE_VARIABLE).as_deref(), variable(fetch::TOKEN_VARIABLE).as_deref())?;
    let own = args.upsampler.as_deref();
    // Warnings about a model come before its download.
    let activation = model.activation_note.filter(|_| args.options.activation.is_none()).map(str::to_owned);
    let upsampler = model.upsampler.filter(|_| own.is_none()).and_then(|_| fetch::upsampler_note(model.patch));
    let said: Vec<String> = activation.into_iter().chain(upsampler).collect();
    said.iter().for_each(|note| reporter.note(note));
    let fetched = {
        let watch = reporter.download();
        model.fetch(own.is_none(), &downloads, &client, &mut |progress| watch.show(&progress))?
    };
    let upsampler = match own {
        Some("none") => None,
        Some(path) => Some(path.into()),
        None => fetched.upsampler.as_ref().map(|file| file.path.clone()),
    };
    if own.is_none() && upsampler.is_none() {
        reporter.note(&format!(
            "nobody publishes an upsampler for {}: its logits are resized bilinearly. Give one with --upsampler FILE.",
            model.name
        ));
    }
    for Fetched { path, sha256, checked } in [&fetched.clip, &fetched.tokenizer].into_iter().chain(&fetched.upsampler) {
        if *checked == Checked::Recorded {
            reporter.note(&format!(
                "no SHA-256 is published for {}: the downloaded file has SHA-256 {sha256}, with which later downloads are compared.",
                path.display()
            ));
        }
    }
    let mut request = request(fetched.clip.path, fetched.tokenizer.path, upsampler, &args.options, args.overwrite);
    request.activation = request.activation.or_else(|| Some(model.known_activation()));
    request.pixels = model.pixels;
    finish(&request, &output, &said, reporter)
}

fn request(
    clip: PathBuf,
    tokenizer: PathBuf,
    upsampler: Option<PathBuf>,
    options: &ImportOptions,
    overwrite: bool,
) -> Import {
    Import {
        clip,
        tokenizer,
        upsampler,
        activation: options.activation.map(|activation| KnownActivation {
            activation: match activation {
                Activation::Quickgelu => segearth_checkpoint::Activation::QuickGelu,
                Activation::Gelu => segearth_checkpoint::Activation::Gelu,
            },
            from: "--activation".to_owned(),
        }),
        pixels: None,
        attention: match options.attention {
            Attention::Segearth => network::Attention::SegEarth,
            Attention::Clearclip => network::Attention::ClearClip,
            Attention::Sclip => network::Attention::Sclip,
            Attention::Maskclip => network::Attention::MaskClip,
            Attention::Vanilla => network::Attention::Vanilla,
            Attention::Naclip => network::Attention::NaClip,
            Attention::Nonly => network::Attention::NOnly,
            Attention::Gav => network::Attention::Gav,
            Attention::Gem => network::Attention::Gem,
            Attention::Coninfer => network::Attention::ConInfer { percent: 60 },
            Attention::ConinferLess => network::Attention::ConInfer { percent: 10 },
        },
        attention_blocks: options.attention_blocks,
        keep_residual: options.keep_residual,
        window: options.window,
        precision: options.precision.into(),
        recommended: Recommended::NONE,
        overwrite,
    }
}

impl From<Precision> for export::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::Fp32 => Self::Fp32,
            Precision::Fp16 => Self::Fp16,
            Precision::Bf16 => Self::Bf16,
            Precision::Int8 => Self::Int8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::mini;

    /// Jobs know the names of models without the catalogue: both have the same.
    #[test]
    fn every_model_of_the_catalogue_is_a_name() {
        for name in fetch::MODELS.iter().map(|model| model.name).chain([mini::NAME]) {
            assert!(ModelChoice::is_name(name) && ModelChoice::is_name(&name.to_uppercase()), "{name}");
        }
        for name in ["mine", "models/vit-b-16", "openai/ViT-B-17", "./mini", "mini/"] {
            assert!(!ModelChoice::is_name(name), "{name}");
        }
    }
}
