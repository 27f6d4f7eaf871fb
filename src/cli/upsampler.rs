//! The words of `segearth model train-upsampler` on the command line.

use std::path::PathBuf;

use clap::Args;

use crate::pipeline::Override;

/// Train a SimFeatUp upsampler for a model on your images, and make a bundle with it
///
/// The model's image tower is not changed; the upsampler learns from images without labels to bring its patch features to
/// full resolution. The same command resumes a stopped training from its last checkpoint.
#[derive(Args, Clone, Debug)]
pub struct TrainUpsamplerArgs {
    /// Train for this model: the folder of a bundle, or a model's name
    #[arg(long, value_name = "MODEL", default_value = "mini")]
    pub model: String,
    /// CLIP checkpoint that the bundle was imported from [default: the built-in one, or the downloaded one]
    #[arg(long, value_name = "FILE")]
    pub clip: Option<PathBuf>,
    /// Images to train on: rasters, or patterns such as 'tiles/*.tif'
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    pub images: Vec<String>,
    /// Read these bands as red, green and blue: numbers from 1, names or colours [default: as the file says, else 1,2,3]
    #[arg(long, value_name = "R,G,B")]
    pub bands: Option<String>,
    /// Stretch values to 0 to 255, as for `segment` [default: none for 8-bit images, else percentile:2,98]
    #[arg(long, value_name = "STRETCH")]
    pub stretch: Option<String>,
    /// Train for this many steps
    #[arg(long, value_name = "N", default_value_t = 600)]
    pub steps: usize,
    /// Use this many views in each step
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub batch: usize,
    /// Cut views with a side of this many pixels [default: 12 patches]
    #[arg(long, value_name = "PIXELS")]
    pub side: Option<usize>,
    /// Seed of the random numbers
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Write the new bundle to this folder; checkpoints are kept in DIR.training until it is complete
    #[arg(long, short = 'o', value_name = "DIR")]
    pub output: PathBuf,
    /// Replace a bundle that exists
    #[arg(long)]
    pub overwrite: bool,
}

impl TrainUpsamplerArgs {
    /// What of it a job would say: model and images.
    pub fn overrides(&self) -> Vec<Override> {
        let mut overrides = vec![
            Override::text("--model", "model", &self.model),
            Override::texts("--images", "scene", &self.images),
            // A job needs classes; these are never looked at.
            Override::classes("--classes", "any; other"),
        ];
        overrides.extend(self.bands.iter().map(|value| Override::list("--bands", "bands", value)));
        overrides.extend(self.stretch.iter().map(|value| Override::text("--stretch", "stretch", value)));
        overrides
    }
}
