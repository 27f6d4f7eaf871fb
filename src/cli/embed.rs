//! `segearth embed`: the outputs of the image tower, once for all words.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::options::{PixelOptions, Workers, scene_option};
use super::shard::Shard;
use crate::pipeline::Override;

/// Compute the image tower's outputs for scenes once, so that new words need no transformer
#[derive(Args, Debug)]
pub struct EmbedArgs {
    /// Scenes: any rasters that GDAL opens
    #[arg(value_name = "SCENE", required = true)]
    pub scenes: Vec<String>,
    /// Use this model: the folder of a bundle, or a model's name [default: mini, the built-in model]
    #[arg(long, short, value_name = "NAME|DIR")]
    pub model: Option<String>,
    /// Divide the scene into windows of this many pixels [default: the model's]
    #[arg(long, value_name = "PIXELS", allow_negative_numbers = true)]
    pub window: Option<String>,
    /// Move windows by this many pixels [default: the model's, else half a window]
    #[arg(long, value_name = "PIXELS", allow_negative_numbers = true)]
    pub stride: Option<String>,
    #[command(flatten)]
    pub reading: PixelOptions,
    /// Resample the scene for the model to this ground sample distance, such as 0.3m [default: the scene's]
    #[arg(long, value_name = "METRES")]
    pub resolution: Option<String>,
    /// Embed only inside the polygons of this vector file
    #[arg(long, value_name = "FILE")]
    pub aoi: Option<String>,
    /// Compute on this device: auto, cpu, cuda or cuda:N [default: auto]
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Store numbers as float32 (labels as without a store), float16 or int8 [default: the store's, else float16]
    #[arg(long, value_enum, hide_possible_values = true)]
    pub precision: Option<EmbedPrecision>,
    /// Write the embeddings to this folder, a Zarr store; what it lacks is added
    #[arg(long, short = 'o', value_name = "STORE")]
    pub output: PathBuf,
    /// Write the blended features of the scene at patch resolution to this raster, a band for each number, in the store's precision
    #[arg(long, value_name = "FILE.tif|.zarr", conflicts_with = "shard")]
    pub raster: Option<PathBuf>,
    /// Write the first N principal components to the raster instead of all features
    #[arg(long, value_name = "N", requires = "raster")]
    pub components: Option<usize>,
    /// Discard what the store holds of these scenes and compute it again; replace a raster that exists
    #[arg(long)]
    pub overwrite: bool,
    /// Compute shard I of N of the windows; auto: as Slurm, Kubernetes or another scheduler says
    #[arg(long, value_name = "I/N|auto", conflicts_with = "overwrite")]
    pub shard: Option<Shard>,
    /// Divide the windows among N processes on this machine, each with its own GPU if there are any; auto: one for each GPU
    #[arg(long, value_name = "N|auto", conflicts_with_all = ["shard", "overwrite"])]
    pub workers: Option<Workers>,
}

/// Numbers of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EmbedPrecision {
    Float32,
    Float16,
    Int8,
}

impl EmbedArgs {
    /// The flags that decide the tokens, with the key of a job and the value that each stands for.
    pub fn options(&self) -> Vec<(&'static str, &'static str, &String)> {
        let options = [
            ("--model", "model", self.model.as_ref()),
            ("--window", "tiling.window", self.window.as_ref()),
            ("--stride", "tiling.stride", self.stride.as_ref()),
            ("--resolution", "resolution", self.resolution.as_ref()),
            ("--aoi", "aoi", self.aoi.as_ref()),
        ];
        self.reading.given_after(options)
    }

    /// The flags as keys of a job.
    pub fn overrides(&self) -> Vec<Override> {
        let mut overrides = vec![Override::texts("SCENE", "scene", &self.scenes)];
        overrides.extend(self.options().into_iter().map(|(flag, key, value)| scene_option(flag, key, value)));
        overrides.extend(self.device.iter().map(|value| Override::text("--device", "device", value)));
        overrides
    }
}
