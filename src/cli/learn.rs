//! The words of `segearth learn` on the command line.

use std::path::PathBuf;

use clap::Args;

use super::options::{PixelOptions, from_store, scene_option};
use crate::pipeline::Override;

/// Learn classes from examples: points, lines, polygons or a label raster over scenes
///
/// The file that it writes stands wherever classes do: `--classes @classes.safetensors`, or `classes: {learnt: FILE}` in a job.
/// With words, learning begins with what they say and corrects it; every example is judged by a classifier that has not seen
/// it, which gives the printed figures.
#[derive(Args, Debug)]
pub struct LearnArgs {
    /// Scenes: any rasters that GDAL opens [default: the scenes of the store given with --from]
    #[arg(value_name = "SCENE", required_unless_present = "from")]
    pub scenes: Vec<String>,
    /// Take the image tower's outputs from a store of `segearth embed`, and its options unless they are given
    #[arg(long, value_name = "STORE")]
    pub from: Option<String>,
    /// Learn from these examples: a vector file in any CRS, or a label raster
    #[arg(long, short, value_name = "FILE[:LAYER]", required = true)]
    pub examples: PathBuf,
    /// Read the class of each example from this field [default: class]
    #[arg(long, value_name = "NAME")]
    pub class_field: Option<String>,
    /// Read from this YAML file which values, colours or names of a label raster mean which class, as `evaluate` does
    #[arg(long, value_name = "FILE", conflicts_with = "class_field")]
    pub map: Option<PathBuf>,
    /// Begin with these words: 'background; building,roof,house; road', or @FILE with one class per line
    #[arg(long, short, value_name = "CLASSES|@FILE")]
    pub classes: Option<String>,
    /// Take a file of learnt classes further: its examples count as well
    #[arg(long, value_name = "CLASSES.safetensors")]
    pub add: Option<PathBuf>,
    /// Let a point stand for a disc of this radius in metres (in pixels without CRS)
    #[arg(long, value_name = "METRES", default_value_t = 0.0)]
    pub radius: f64,
    /// Take at most this many pixels of each example, spread evenly over it
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub pixels: u32,
    /// Learn from these bands too, beside red, green and blue: numbers from 1, names or colours, such as nir,swir16
    #[arg(long, value_name = "BANDS", conflicts_with = "features_only")]
    pub descriptor_bands: Option<String>,
    /// Learn from the model's features alone, without local colours and their variation
    #[arg(long)]
    pub features_only: bool,
    /// Use this model: the folder of a bundle, or a model's name [default: mini, the built-in model]
    #[arg(long, short, value_name = "NAME|DIR")]
    pub model: Option<String>,
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
    /// Resample the scenes for the model to this ground sample distance, such as 0.3m [default: the scenes']
    #[arg(long, value_name = "METRES")]
    pub resolution: Option<String>,
    /// Compute on this device: auto, cpu, cuda or cuda:N [default: auto]
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Write the learnt classes to this file
    #[arg(long, short = 'o', value_name = "CLASSES.safetensors")]
    pub output: PathBuf,
    /// Write the figures to this file as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Find this many places whose labels would help most
    #[arg(long, value_name = "N", requires = "suggestions", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub suggest: Option<u32>,
    /// Write them to this file, as points with an empty field `class` to fill in (.gpkg, .geojson, …)
    #[arg(long, value_name = "POINTS", requires = "suggest")]
    pub suggestions: Option<PathBuf>,
    /// Replace outputs that exist
    #[arg(long)]
    pub overwrite: bool,
}

impl LearnArgs {
    /// The flags that decide features and words, with the key of a job and the value that each stands for.
    pub fn options(&self) -> Vec<(&'static str, &'static str, &String)> {
        let options = [
            ("--model", "model", self.model.as_ref()),
            ("--background", "background", self.background.as_ref()),
            ("--debias", "method.debias", self.debias.as_ref()),
            ("--logit-scale", "method.logit_scale", self.logit_scale.as_ref()),
            ("--templates", "method.templates", self.templates.as_ref()),
            ("--stride", "tiling.stride", self.stride.as_ref()),
            ("--blend", "tiling.blend", self.blend.as_ref()),
            ("--resolution", "resolution", self.resolution.as_ref()),
        ];
        self.reading.given_after(options)
    }

    /// The flags as keys of a job.
    pub fn overrides(&self) -> Vec<Override> {
        let mut overrides = Vec::new();
        if !self.scenes.is_empty() {
            overrides.push(Override::texts("SCENE", "scene", &self.scenes));
        }
        if let Some(store) = &self.from {
            overrides.extend(from_store(store));
        }
        overrides.extend(self.classes.iter().map(|classes| Override::classes("--classes", classes)));
        overrides.extend(self.options().into_iter().map(|(flag, key, value)| scene_option(flag, key, value)));
        overrides.extend(self.device.iter().map(|value| Override::text("--device", "device", value)));
        overrides
    }
}
