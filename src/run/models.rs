//! The commands that make and look at models.

use crate::cli::{Activation, Attention, FetchArgs, ImportArgs, ImportOptions, ModelCommand, Precision};
use crate::error::{Error, Result};
use crate::model::bundle::{Bundle, Trust};
use crate::model::import::{Import, import};
use crate::network;
use crate::network::checkpoint;
use crate::network::export;
use crate::report::Reporter;

pub fn run(command: &ModelCommand, reporter: &Reporter) -> Result<()> {
    match command {
        ModelCommand::Import(args) => run_import(args, reporter),
        ModelCommand::Inspect(args) => {
            let bundle = Bundle::open(&args.bundle, Trust::User)?;
            reporter.print(&bundle.describe()?);
            Ok(())
        }
        ModelCommand::Fetch(args) => fetch(args, reporter),
    }
}

fn run_import(args: &ImportArgs, reporter: &Reporter) -> Result<()> {
    let upsampler = (args.upsampler != "none").then(|| args.upsampler.clone().into());
    let request = request(args.clip.clone(), args.tokenizer.clone(), upsampler, &args.options);
    let mut notes = Vec::new();
    let bundle = import(&request, &args.output, &mut notes)?;
    notes.iter().for_each(|note| reporter.note(note));
    reporter.print(&bundle.describe()?);
    Ok(())
}

fn fetch(_args: &FetchArgs, _reporter: &Reporter) -> Result<()> {
    Err(Error::internal("not wired"))
}

fn request(
    clip: std::path::PathBuf,
    tokenizer: std::path::PathBuf,
    upsampler: Option<std::path::PathBuf>,
    options: &ImportOptions,
) -> Import {
    Import {
        clip,
        tokenizer,
        upsampler,
        activation: options.activation.map(|activation| match activation {
            Activation::Quickgelu => checkpoint::Activation::QuickGelu,
            Activation::Gelu => checkpoint::Activation::Gelu,
        }),
        attention: match options.attention {
            Attention::Segearth => network::Attention::SegEarth,
            Attention::Clearclip => network::Attention::ClearClip,
            Attention::Sclip => network::Attention::Sclip,
            Attention::Maskclip => network::Attention::MaskClip,
            Attention::Vanilla => network::Attention::Vanilla,
        },
        keep_residual: options.keep_residual,
        window: options.window,
        precision: match options.precision {
            Precision::Fp32 => export::Precision::Fp32,
            Precision::Fp16 => export::Precision::Fp16,
            Precision::Bf16 => export::Precision::Bf16,
        },
    }
}
