//! The words of `segearth bench` on the command line.

use std::path::PathBuf;

use clap::Args;

use super::Precision;

/// The model that needs no files: random weights of CLIP ViT-B/16 and SimFeatUp.
pub const RANDOM: &str = "random:vit-b-16";

/// Measure this machine: the bare transformer, a window, and everything around it, in one run
///
/// Whatever is compared takes turns, and medians are shown: other work on the machine then weighs on both sides alike.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// The model: random weights, a bundle's folder, or a model's name
    #[arg(long, short, value_name = "random:vit-b-16|NAME|DIR", default_value = RANDOM)]
    pub model: String,
    /// Compute on auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: String,
    /// Compute with this many threads [default: as many as there are cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Windows that the model gets at once [default: as many as in a run]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub batch: Option<u16>,
    /// Text queries that pixels are compared with
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub queries: u16,
    /// Turns that everything takes
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub rounds: u16,
    /// Metres of a pixel's side, for areas
    #[arg(long, value_name = "METRES", default_value_t = 0.3)]
    pub resolution: f64,
    /// The precision of random weights
    #[arg(long, value_enum, default_value_t = Precision::Fp32)]
    pub precision: Precision,
    /// Approximate: lengths of features from this many channels at the most (`method.channels` of a job)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub channels: Option<u16>,
    /// Approximate: features upsampled to half the resolution (`method.half_resolution` of a job)
    #[arg(long)]
    pub half_resolution: bool,
    /// Leave out reading, stitching, writing and the way from file to file
    #[arg(long)]
    pub model_only: bool,
    /// Measure the text tower too: every query in 80 templates
    #[arg(long)]
    pub text: bool,
    /// Replace FILE of --json if it exists
    #[arg(long)]
    pub overwrite: bool,
    /// Write the figures as JSON as well
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}
