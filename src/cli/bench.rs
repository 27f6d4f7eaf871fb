//! The words of `segearth bench` on the command line.

use std::path::PathBuf;

use clap::Args;

use super::Precision;

/// The models that need no files: random weights of CLIP ViT-B/16 or ViT-L/14 and SimFeatUp, or NAF.
pub const RANDOM: &str = "random:vit-b-16";
pub const RANDOM_LARGE: &str = "random:vit-l-14";
pub const RANDOM_NAF: &str = "random:vit-b-16-naf";

/// Benchmark inference against the transformer alone
///
/// Measures the baseline transformer, a window, and everything around the model in alternation and prints medians, so that other load on the machine affects all of them alike.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// Measure this model: random weights, the folder of a bundle, or a model's name
    #[arg(long, short, value_name = "random:vit-b-16|random:vit-b-16-naf|random:vit-l-14|NAME|DIR", default_value = RANDOM)]
    pub model: String,
    /// Compute on this device: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: String,
    /// Compute with this many threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Compute this many windows at once [default: as many as in a run]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub batch: Option<u16>,
    /// Compare pixels with this many text queries
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub queries: u16,
    /// Repeat every measurement this many times
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub rounds: u16,
    /// Assume this ground sample distance in metres, for areas
    #[arg(long, value_name = "METRES", default_value_t = 0.3)]
    pub resolution: f64,
    /// Use this precision for random weights
    #[arg(long, value_enum, default_value_t = Precision::Fp32)]
    pub precision: Precision,
    /// Approximate the lengths of features by at most this many channels (`method.channels` of a job)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub channels: Option<u16>,
    /// Upsample features to half the resolution, an approximation (`method.half_resolution` of a job)
    #[arg(long)]
    pub half_resolution: bool,
    /// Measure the model alone, without reading, stitching and writing
    #[arg(long)]
    pub model_only: bool,
    /// Measure the text tower too, with every query in 80 templates
    #[arg(long)]
    pub text: bool,
    /// Compare the labels of random weights with those of the network in fp32, in libtorch's operations on the same device
    #[arg(long)]
    pub agreement: bool,
    /// Replace the file of --json if it exists
    #[arg(long)]
    pub overwrite: bool,
    /// Write the figures to this file as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}
