//! The command line: clap's types, and which key of a job each flag stands for.

#![expect(rustdoc::broken_intra_doc_links, reason = "help texts, in which brackets are brackets")]

mod bench;
mod change;
mod doctor;
mod embed;
mod evaluate;
mod learn;
mod log;
mod options;
mod reference;
mod reproduce;
mod search;
mod serve;
mod shard;
mod submit;
mod upsampler;
mod vectorize;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, ColorChoice, Parser, Subcommand, ValueEnum};

pub use bench::{BenchArgs, RANDOM, RANDOM_LARGE, RANDOM_NAF};
pub use change::ChangeArgs;
pub use clap_complete::Shell;
pub use doctor::DoctorArgs;
pub use embed::{EmbedArgs, EmbedPrecision};
pub use evaluate::EvaluateArgs;
pub use learn::LearnArgs;
pub use log::LogFormat;
pub use options::{Memory, MetricsOption, PixelOptions, RunOptions, Workers, from_store, scene_option};
pub use reference::{ReferencePage, command_json, command_reference, completions, help_texts, manual_pages};
pub use reproduce::ReproduceArgs;
pub use search::SearchArgs;
pub use serve::ServeArgs;
pub use shard::Shard;
pub use submit::{ArrayArgs, KubernetesArgs, SlurmArgs, SubmitCommand};
pub use upsampler::TrainUpsamplerArgs;
pub use vectorize::VectorizeArgs;

use crate::error::Error;
use crate::pipeline::Override;

/// Open-vocabulary segmentation of whole remote-sensing scenes, without training.
#[derive(Debug, Parser)]
#[command(
    name = "segearth",
    version,
    color = colour_choice(),
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Examples:\n  \
        segearth segment scene.tif --model models/vit-b-16 --classes 'background; building,roof,house; road' -o labels.tif\n  \
        segearth run pipelines/landcover.yaml --input scene.tif --output results\n\n\
        Exit codes: 0 success, 1 an error in the input, 2 a defect of the program, 3 results with failed windows that were allowed, \
        128 + n stopped by the signal n."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Global {
    /// Print nothing but errors
    #[arg(long, short, global = true, help_heading = "Global options", conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more details; twice: GDAL messages too
    #[arg(short, long, action = ArgAction::Count, global = true, help_heading = "Global options")]
    pub verbose: u8,
    /// Skip the SHA-256 check of model files (TorchScript can contain code: use it for files you trust)
    #[arg(long, global = true, help_heading = "Global options")]
    pub trust: bool,
    /// Print without colours, as with the environment variable NO_COLOR
    #[arg(long, global = true, help_heading = "Global options")]
    pub no_color: bool,
    /// Set the log format: text or JSON Lines [default: $SEGEARTH_LOG, else text]
    #[arg(long, value_name = "text|json", global = true, hide_possible_values = true, help_heading = "Global options")]
    pub log: Option<LogFormat>,
}

impl Global {
    /// Whether the log is for programs.
    pub fn json(&self) -> bool {
        self.log == Some(LogFormat::Json)
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a job
    #[command(after_help = "Examples:\n  \
        segearth run pipelines/landcover.yaml\n  \
        segearth run pipelines/buildings.yaml --input a.tif b.tif --output results --device cuda\n  \
        segearth run pipelines/buildings.yaml --input a.tif --set tiling.stride=112 --set 'classes[1].threshold=0.5'\n\n\
        A run that was stopped resumes when the same command is given again.")]
    Run(RunArgs),
    /// Validate a job without running it
    #[command(after_help = "Example:\n  segearth check pipelines/landcover.yaml --input scene.tif")]
    Check(CheckArgs),
    /// Assemble the outputs of a sharded job
    #[command(after_help = "Example:\n  \
        segearth run city.yaml --shard 1/2 & segearth run city.yaml --shard 2/2 & wait; segearth merge city.yaml")]
    Merge(MergeArgs),
    /// Submit a job to a scheduler: Slurm or Kubernetes
    #[command(subcommand)]
    Submit(SubmitCommand),
    /// Segment one scene without a job file
    #[command(after_help = "Examples:\n  \
        segearth segment scene.tif --model models/vit-b-16 --classes 'background; building,roof,house; road' -o labels.tif\n  \
        segearth segment scene.tif --model models/vit-b-16 --classes @classes.txt --bands 4,3,2 -o labels.tif \\\n      \
        --scores scores.tif --polygons polygons.gpkg")]
    Segment(Box<SegmentArgs>),
    #[command(after_help = "Examples:\n  \
        segearth embed scene.tif --model models/vit-b-16 -o scene.zarr\n  \
        segearth segment --from scene.zarr --classes 'background; solar panel' -o solar.tif\n  \
        segearth embed tiles/*.tif --model models/vit-b-16 --precision int8 --shard 1/2 -o city.zarr\n\n\
        A command that was stopped resumes when it is given again. The store is Zarr 3: any Zarr library reads it.")]
    Embed(Box<EmbedArgs>),
    #[command(after_help = "Examples:\n  \
        segearth search city.zarr --words 'solar panels' --not roof --sheet hits.html -o hits.gpkg\n  \
        segearth search *.zarr --like greenhouses.gpkg --top 500 -o hits.gpkg\n  \
        segearth search city.zarr --like 356120,5645210 -o hits.geojson\n\n\
        A place counts once, however many windows overlap there. Scores rank places of one query: those of other words are not comparable.")]
    Search(Box<SearchArgs>),
    #[command(after_help = "Examples:\n  \
        segearth learn scene.tif --examples clicks.gpkg --class-field class --classes 'building,roof; road; tree' \\\n      \
        -o classes.safetensors\n  \
        segearth segment scene.tif --classes @classes.safetensors -o labels.tif")]
    Learn(Box<LearnArgs>),
    #[command(after_help = "Examples:\n  \
        segearth evaluate --prediction labels.tif --reference truth.tif\n  \
        segearth evaluate --prediction results/ --reference truth/ --map classes.yaml --ignore 0 --json figures.json\n  \
        segearth evaluate --prediction results/ --reference truth/ --protocol paper --reduce-zero-label\n  \
        segearth evaluate --prediction scores/ --reference truth/ --protocol paper --fit-thresholds")]
    Evaluate(Box<EvaluateArgs>),
    #[command(after_help = "Examples:\n  \
        segearth reproduce loveda --data /data/LoveDA -o paper\n  \
        segearth reproduce potsdam --data /data/Potsdam --only 2_13 --device cuda -o paper\n  \
        segearth reproduce vdd --print-job > vdd.yaml\n\n\
        A command that was stopped resumes when it is given again. Shards compute: give the command once more without --shard to count.")]
    Reproduce(Box<ReproduceArgs>),
    #[command(after_help = "Examples:\n  \
        segearth change 2012_labels.tif 2017_labels.tif -o change\n  \
        segearth change before.tif after.tif -o flood --transition 'land:water' --transition '*:water'\n  \
        segearth change 2012_labels.tif 2017_labels.tif -o built --tolerance 2 --foreground building --min-area 20\n\n\
        The map of transitions is a class map: `segearth vectorize` makes smooth polygons with a minimum area from it.")]
    Change(ChangeArgs),
    #[command(after_help = "Examples:\n  \
        segearth vectorize labels.tif --recipe landcover -o landcover.gpkg\n  \
        segearth vectorize labels.tif --scores scores.tif --recipe buildings --min-area 20 -o buildings.gpkg\n  \
        segearth vectorize labels.tif --recipe roads --graph roads.graphml -o roads.gpkg\n  \
        segearth vectorize labels.tif --recipe water --subtract rivers.gpkg --zones districts.gpkg -o flooded.gpkg")]
    Vectorize(Box<VectorizeArgs>),
    #[command(after_help = "Examples:\n  \
        segearth bench\n  \
        segearth bench --model models/vit-b-16 --threads 2 --json figures.json")]
    Bench(BenchArgs),
    #[command(after_help = "Examples:\n  segearth doctor\n  segearth doctor --json > doctor.json")]
    Doctor(DoctorArgs),
    #[command(after_help = "Examples:\n  \
        segearth serve scene.tif --open\n  \
        segearth serve scenes/ --model models/vit-b-16 --port 9000\n  \
        segearth serve pipelines/landcover.yaml\n\n\
        Ctrl-C ends it; the next start with the same scenes goes on from there.")]
    Serve(Box<ServeArgs>),
    /// Print the JSON schema of job files
    #[command(after_help = "Reference it in the first line of a job for completion and validation in editors:\n  \
        # yaml-language-server: $schema=job.schema.json")]
    Schema,
    /// Print a page of the reference in Markdown
    #[command(hide = true)]
    Reference(reference::ReferenceArgs),
    /// Import, inspect and fetch models
    #[command(subcommand)]
    Model(ModelCommand),
}

#[derive(Args, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    pub job: JobArgs,
    #[command(flatten)]
    pub options: RunOptions,
}

#[derive(Args, Debug)]
pub struct CheckArgs {
    #[command(flatten)]
    pub job: JobArgs,
    /// Allow outputs that exist, as a run with --overwrite does
    #[arg(long)]
    pub overwrite: bool,
}

#[derive(Args, Debug)]
pub struct MergeArgs {
    #[command(flatten)]
    pub job: JobArgs,
    /// Replace outputs that exist
    #[arg(long)]
    pub overwrite: bool,
    #[command(flatten)]
    pub metrics: MetricsOption,
}

#[derive(Args, Debug)]
pub struct JobArgs {
    /// Job file
    #[arg(value_name = "JOB.yaml")]
    pub job: PathBuf,
    /// Segment these scenes instead of the job's
    #[arg(long, short, value_name = "PATH", num_args = 1.., action = ArgAction::Append)]
    pub input: Vec<String>,
    /// Write outputs to this folder instead of the job's
    #[arg(long, short, value_name = "DIR")]
    pub output: Option<String>,
    /// Compute on this device: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Override a key of the job with a value in YAML; may be repeated
    #[arg(long, value_name = "KEY.PATH=VALUE", action = ArgAction::Append)]
    pub set: Vec<String>,
}

#[derive(Args, Debug)]
pub struct SegmentArgs {
    /// Scene: any raster that GDAL opens [default: the scene of the store given with --from]
    #[arg(value_name = "SCENE", required_unless_present = "from")]
    pub scene: Option<String>,
    /// Take the image tower's outputs from a store of `segearth embed`, and its options unless they are given
    #[arg(long, value_name = "STORE")]
    pub from: Option<String>,
    /// Use this model: the folder of a bundle, or a model's name [default: mini, the built-in model]
    #[arg(long, short, value_name = "NAME|DIR")]
    pub model: Option<String>,
    /// Segment these classes: 'background; building,roof,house; road', or @FILE with one class per line
    #[arg(long, short, value_name = "CLASSES|@FILE")]
    pub classes: String,
    /// Assign pixels whose best score is below T (0 to 1) to the background [default: the model's, else 0]
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    pub threshold: Option<String>,
    /// Assign pixels below the threshold to this class [default: the class named background]
    #[arg(long, value_name = "NAME")]
    pub background: Option<String>,
    /// Subtract this share of the window's [CLS] similarity (0 to 1) [default: the model's, else 0.3]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub debias: Option<String>,
    /// Multiply the logits by this before the soft-max [default: the model's, else 50]
    #[arg(long, value_name = "FACTOR", allow_negative_numbers = true)]
    pub logit_scale: Option<String>,
    /// Put prompts into these templates: imagenet80, none, or a file with {} in each line [default: imagenet80]
    #[arg(long, value_name = "imagenet80|none|FILE")]
    pub templates: Option<String>,
    /// Move windows by this many pixels [default: the model's, else half a window]
    #[arg(long, value_name = "PIXELS", allow_negative_numbers = true)]
    pub stride: Option<String>,
    /// Blend overlapping windows with these weights: hann, gaussian, or average as in the paper [default: hann]
    #[arg(long, value_name = "average|hann|gaussian")]
    pub blend: Option<String>,
    #[command(flatten)]
    pub reading: PixelOptions,
    /// Resample the scene for the model to this ground sample distance, such as 0.3m, or the image to a size, such as
    /// '{long_side: 448}' [default: the scene's]
    #[arg(long, value_name = "METRES|SIZE")]
    pub resolution: Option<String>,
    /// Segment only inside the polygons of this vector file
    #[arg(long, value_name = "FILE")]
    pub aoi: Option<String>,
    /// Average over flips and rotations of each window: none, or d4 for all eight [default: none]
    #[arg(long, value_name = "none|d4")]
    pub tta: Option<String>,
    /// Compute on this device: auto, cpu, cuda or cuda:N [default: auto]
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Write the class raster to this GeoTIFF
    #[arg(long, short = 'o', value_name = "LABELS.tif")]
    pub output: String,
    /// Write the scores to this GeoTIFF, one band per class
    #[arg(long, value_name = "SCORES.tif")]
    pub scores: Option<String>,
    /// Write the best class's score to this GeoTIFF
    #[arg(long, value_name = "CONFIDENCE.tif")]
    pub confidence: Option<String>,
    /// Write the margin between the best and the second best score to this GeoTIFF
    #[arg(long, value_name = "MARGIN.tif")]
    pub margin: Option<String>,
    /// Write polygons of more than one pixel to this file (.gpkg, .fgb, .parquet, .geojson, .ndjson or .shp); `segearth vectorize` makes others of
    /// the labels
    #[arg(long, value_name = "POLYGONS")]
    pub polygons: Option<String>,
    /// Write a picture of scene, result and legend to this PNG file
    #[arg(long, value_name = "PREVIEW.png")]
    pub preview: Option<String>,
    /// Write a report for the browser to this file: swipe map, areas, job and provenance in one HTML page
    #[arg(long, value_name = "REPORT.html")]
    pub report: Option<String>,
    /// Write a table of the areas of all classes to this CSV file
    #[arg(long, value_name = "AREAS.csv")]
    pub areas: Option<String>,
    #[command(flatten)]
    pub options: RunOptions,
}

#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Make a bundle from CLIP weights, a tokenizer and an upsampler
    #[command(after_help = "Example:\n  \
        segearth model import --clip ViT-B-16.pt --tokenizer bpe_simple_vocab_16e6.txt.gz \\\n      \
        --upsampler simfeatup_jbu_one.ckpt -o models/vit-b-16")]
    Import(ImportArgs),
    /// Print a model's sizes, files and origin
    #[command(after_help = "Examples:\n  segearth model inspect mini\n  segearth model inspect models/vit-b-16")]
    Inspect(InspectArgs),
    /// List the models that can be fetched: patch, upsampler, what they are good for
    List,
    /// Download weights from their publisher and make a bundle
    #[command(after_help = "Example:\n  segearth model fetch openai/ViT-B-16 -o models/vit-b-16")]
    Fetch(FetchArgs),
    /// Average the weights of several CLIPs of one shape
    #[command(after_help = "Example:\n  \
        segearth model average RemoteCLIP-ViT-L-14.pt SkyCLIP-ViT-L-14.pt -o average.safetensors\n\n\
        The result is a checkpoint for `segearth model import`.")]
    Average(AverageArgs),
    #[command(after_help = "Example:\n  \
        segearth model train-upsampler --model models/vit-b-16 --clip ViT-B-16.pt --images 'tiles/*.tif' \\\n      \
        -o models/vit-b-16-own")]
    TrainUpsampler(TrainUpsamplerArgs),
}

#[derive(Args, Debug)]
pub struct ImportArgs {
    /// CLIP checkpoint: OpenAI's TorchScript archive, a pickled state dict, or safetensors
    #[arg(long, value_name = "FILE")]
    pub clip: PathBuf,
    /// Tokenizer: a tokenizer.json, or OpenAI's file of BPE merges
    #[arg(long, value_name = "FILE")]
    pub tokenizer: PathBuf,
    /// Checkpoint of an upsampler: SimFeatUp (jbu_one or jbu_stack), NAF (naf_release.pth), or none
    #[arg(long, value_name = "FILE|none")]
    pub upsampler: String,
    #[command(flatten)]
    pub options: ImportOptions,
    /// Write the new bundle to this folder
    #[arg(long, short = 'o', value_name = "DIR")]
    pub output: PathBuf,
    /// Replace a bundle that exists
    #[arg(long)]
    pub overwrite: bool,
}

/// How the network is put together, whatever the weights.
#[derive(Args, Clone, Copy, Debug)]
pub struct ImportOptions {
    /// Activation that the weights were trained with [default: as the file or a configuration beside it says, else quickgelu]
    #[arg(long, value_enum)]
    pub activation: Option<Activation>,
    /// Attention of the last block
    #[arg(long, value_enum, default_value_t = Attention::Segearth)]
    pub attention: Attention,
    /// Sum the attention of this many of the last blocks
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub attention_blocks: usize,
    /// Keep the last block's residual and MLP
    #[arg(long)]
    pub keep_residual: bool,
    /// Window of the model in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 224)]
    pub window: usize,
    /// Precision of weights and computation
    #[arg(long, value_enum, default_value_t = Precision::Fp32)]
    pub precision: Precision,
}

#[derive(Args, Debug)]
pub struct AverageArgs {
    /// CLIP checkpoints, as for `segearth model import`
    #[arg(value_name = "CLIP", num_args = 2.., required = true)]
    pub clips: Vec<PathBuf>,
    /// Write the average to this file (.safetensors)
    #[arg(long, short = 'o', value_name = "FILE.safetensors")]
    pub output: PathBuf,
}

#[derive(Args, Debug)]
pub struct InspectArgs {
    /// Model: a name such as mini or openai/ViT-B-16, or the folder of a bundle
    #[arg(value_name = "NAME|DIR")]
    pub model: String,
}

#[derive(Args, Debug)]
pub struct FetchArgs {
    /// Name of the model, such as openai/ViT-B-16
    #[arg(value_name = "NAME", required_unless_present = "list")]
    pub name: Option<String>,
    /// List the names
    #[arg(long)]
    pub list: bool,
    /// SimFeatUp checkpoint, or none [default: the authors', downloaded too]
    #[arg(long, value_name = "FILE|none")]
    pub upsampler: Option<String>,
    #[command(flatten)]
    pub options: ImportOptions,
    /// Write the new bundle to this folder [default: where `--model NAME` looks for it]
    #[arg(long, short = 'o', value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Replace a bundle that exists
    #[arg(long)]
    pub overwrite: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Activation {
    Quickgelu,
    Gelu,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Attention {
    Segearth,
    Clearclip,
    Sclip,
    Maskclip,
    Vanilla,
    Naclip,
    Nonly,
    Gav,
    Gem,
    Coninfer,
    #[value(name = "coninfer-0.1")]
    ConinferLess,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Precision {
    Fp32,
    Fp16,
    Bf16,
    Int8,
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        })
    }
}

/// Why there is no command to run.
pub enum CliExit {
    /// clap has said what there is to say: help, the version, what is wrong. The exit code is that of the program's own faults
    /// of input, 1, in place of clap's 2.
    Printed(u8),
    /// Something is wrong and is yet to be said.
    Error { error: Error, json: bool },
}

impl Cli {
    /// Reads the command line of this process, and what the environment adds to it.
    pub fn read() -> Result<Self, CliExit> {
        Self::read_words(std::env::args_os())
    }

    /// As [`read`](Self::read), for the program that is `segearth bench --model-only` alone.
    pub fn read_model_bench() -> Result<Self, CliExit> {
        let words = ["segearth", "bench", "--model-only"].map(OsString::from);
        Self::read_words(words.into_iter().chain(std::env::args_os().skip(1)))
    }

    fn read_words(words: impl Iterator<Item = OsString>) -> Result<Self, CliExit> {
        let mut cli = Self::try_parse_from(words).map_err(|error| {
            let error = if error.kind() == ErrorKind::InvalidUtf8 { not_utf8() } else { error };
            if error.use_stderr() && LogFormat::from_arguments(std::env::args_os()) == LogFormat::Json {
                return CliExit::Error { error: log::as_error(&error), json: true };
            }
            let _ = error.print();
            CliExit::Printed(u8::from(error.use_stderr()))
        })?;
        if cli.global.log.is_none() {
            cli.global.log = LogFormat::of_environment().map_err(|error| CliExit::Error { error, json: false })?;
        }
        Ok(cli)
    }
}

/// Job files and results name paths in UTF-8; clap alone does not say which argument is not.
fn not_utf8() -> clap::Error {
    let argument = std::env::args_os().find(|argument| argument.to_str().is_none()).unwrap_or_default();
    let message = format!(
        "the argument {:?} is not valid UTF-8\n\nhint: Rename the file, or make a link to it with another name.\n",
        argument.to_string_lossy()
    );
    clap::Error::raw(ErrorKind::InvalidUtf8, message)
}

/// clap prints its help before it has read the flags: it has to be told beforehand.
fn colour_choice() -> ColorChoice {
    let plain = std::env::args_os().skip(1).take_while(|arg| arg != "--").any(|arg| arg == "--no-color");
    if plain { ColorChoice::Never } else { ColorChoice::Auto }
}

impl JobArgs {
    /// The flags as keys of the job; those with a name of their own win over `--set`.
    pub fn overrides(&self) -> Vec<Override> {
        let mut overrides: Vec<Override> = self.set.iter().map(|written| Override::set(written)).collect();
        if !self.input.is_empty() {
            overrides.push(Override::texts("--input", "scene", &self.input));
        }
        overrides.extend(self.output.iter().map(|value| Override::text("--output", "outputs.folder", value)));
        overrides.extend(self.device.iter().map(|value| Override::text("--device", "device", value)));
        overrides
    }
}

impl SegmentArgs {
    /// The flags as keys of a job.
    pub fn overrides(&self) -> Vec<Override> {
        type Make = fn(&str, &str, &str) -> Override;
        let flags: [(&str, &str, Make, Option<&String>); 21] = [
            ("SCENE", "scene", Override::text, self.scene.as_ref()),
            ("--model", "model", Override::text, self.model.as_ref()),
            ("--threshold", "method.threshold", Override::yaml, self.threshold.as_ref()),
            ("--background", "background", Override::text, self.background.as_ref()),
            ("--debias", "method.debias", Override::yaml, self.debias.as_ref()),
            ("--logit-scale", "method.logit_scale", Override::yaml, self.logit_scale.as_ref()),
            ("--templates", "method.templates", Override::text, self.templates.as_ref()),
            ("--stride", "tiling.stride", Override::yaml, self.stride.as_ref()),
            ("--blend", "tiling.blend", Override::text, self.blend.as_ref()),
            ("--device", "device", Override::text, self.device.as_ref()),
            ("--output", "outputs.labels", Override::text, Some(&self.output)),
            ("--scores", "outputs.scores", Override::text, self.scores.as_ref()),
            ("--polygons", "outputs.polygons", Override::text, self.polygons.as_ref()),
            ("--confidence", "outputs.confidence", Override::text, self.confidence.as_ref()),
            ("--margin", "outputs.margin", Override::text, self.margin.as_ref()),
            ("--preview", "outputs.preview", Override::text, self.preview.as_ref()),
            ("--report", "outputs.report", Override::text, self.report.as_ref()),
            ("--areas", "outputs.areas", Override::text, self.areas.as_ref()),
            ("--resolution", "resolution", Override::yaml, self.resolution.as_ref()),
            ("--aoi", "aoi", Override::text, self.aoi.as_ref()),
            ("--tta", "method.tta", Override::text, self.tta.as_ref()),
        ];
        let mut overrides = vec![Override::classes("--classes", &self.classes)];
        overrides.extend(flags.into_iter().filter_map(|(flag, key, make, value)| Some(make(flag, key, value?))));
        let reading = self.reading.given_after([]).into_iter();
        overrides.extend(reading.map(|(flag, key, value)| scene_option(flag, key, value)));
        overrides.extend(self.from.iter().flat_map(|store| from_store(store)));
        overrides
    }

    /// The same with the options of a store below them: those that are not given.
    pub fn overrides_over(&self, stored: &[(String, String)]) -> Vec<Override> {
        let below = stored.iter().map(|(key, value)| scene_option("--from", key, value));
        below.chain(self.overrides()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{ModelFacts, from_flags, resolve_scenes};
    use crate::scene::Recommended;
    use clap::CommandFactory as _;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// The examples in the help of a command and of all below it, each as one line.
    fn examples(command: &clap::Command) -> Vec<String> {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let whole = help.replace("\\\n", " ");
        let own = whole.lines().map(str::trim).filter(|line| line.starts_with("segearth ")).map(str::to_owned);
        own.chain(command.get_subcommands().flat_map(examples)).collect()
    }

    /// The words of the commands in a line of shell, without what follows a `>`.
    fn commands(line: &str) -> Vec<Vec<String>> {
        let (mut commands, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
        let mut quoted = false;
        for c in line.chars().chain([';']) {
            match c {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.extend(word.take()),
                '&' | ';' | '>' if !quoted => {
                    words.extend(word.take());
                    commands.push(std::mem::take(&mut words));
                }
                c => {
                    word.get_or_insert_default().push(c);
                    continue;
                }
            }
            if c == '\'' {
                word.get_or_insert_default();
            }
        }
        commands.retain(|words| words.first().is_some_and(|first| first == "segearth"));
        commands
    }

    #[test]
    fn help_examples_parse() {
        let lines = examples(&Cli::command());
        assert!(lines.len() >= 24, "{lines:#?}");
        for line in &lines {
            let commands = commands(line);
            assert!(!commands.is_empty(), "{line}");
            for words in commands {
                if let Err(error) = Cli::try_parse_from(&words) {
                    panic!("{line}\n{error}");
                }
            }
        }
    }

    #[test]
    fn negative_number_reaches_job() {
        let cli = Cli::try_parse_from([
            "segearth",
            "segment",
            "s.tif",
            "--classes",
            "a; b",
            "--debias",
            "-0.3",
            "-o",
            "l.tif",
        ]);
        let Command::Segment(args) = cli.unwrap().command else { panic!("not segment") };
        let spec = from_flags(&args.overrides()).unwrap();
        let error =
            resolve_scenes(&spec, &ModelFacts { window: 224, patch: 16, recommended: Recommended::NONE }, Vec::new())
                .unwrap_err();
        insta::assert_snapshot!(error, @r"
        the debiasing is -0.3; it must be from 0 to 1
          --> --debias
         |
         | -0.3
         | ^^^^
        ");
        assert_eq!(error.hint(), Some("The paper's λ = -0.3 is `debias: 0.3` here."));
    }
}
