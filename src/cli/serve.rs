//! `segearth serve`: the local web application.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use super::embed::EmbedPrecision;
use crate::pipeline::Override;

/// Open scenes in the browser: classes, examples and results on a map, answered while you type
///
/// The page is served on this machine alone, unless --host and --token say otherwise. What it shows is what a run gives; "Save as job"
/// writes the job file for it.
#[derive(Args, Debug)]
pub struct ServeArgs {
    /// Scenes, folders of scenes, or a job file [default: the rasters in the current folder]
    #[arg(value_name = "SCENE|FOLDER|JOB.yaml")]
    pub scenes: Vec<String>,
    /// Use this model: the folder of a bundle, or a model's name [default: the job's, else mini, the built-in model]
    #[arg(long, short, value_name = "NAME|DIR")]
    pub model: Option<String>,
    /// Listen on this port; 0: any that is free
    #[arg(long, value_name = "PORT", default_value_t = 8765)]
    pub port: u16,
    /// Listen on this address instead of 127.0.0.1; others than the loopback interface need --token
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Ask every client for this token, of 16 characters or more [default: $SEGEARTH_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Open the page in the browser
    #[arg(long)]
    pub open: bool,
    /// Keep session, embeddings and runs in this folder [default: a folder for these scenes in output/serve]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Store embeddings as float32, float16 or int8 [default: float16]
    #[arg(long, value_enum, hide_possible_values = true)]
    pub precision: Option<EmbedPrecision>,
    /// Compute on this device: auto, cpu, cuda or cuda:N [default: auto]
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
}

impl ServeArgs {
    /// The job file among the arguments, where there is one.
    pub fn job(&self) -> Option<&String> {
        let is_job = |name: &&String| {
            let lower = name.to_ascii_lowercase();
            lower.ends_with(".yaml") || lower.ends_with(".yml")
        };
        self.scenes.iter().find(is_job)
    }

    /// The flags as keys of a job.
    pub fn overrides(&self) -> Vec<Override> {
        let model = self.model.iter().map(|value| Override::text("--model", "model", value));
        model.chain(self.device.iter().map(|value| Override::text("--device", "device", value))).collect()
    }
}
