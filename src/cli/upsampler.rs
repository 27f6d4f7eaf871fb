//! The words of `segearth model train-upsampler` on the command line.

use std::path::PathBuf;

use clap::Args;

use crate::pipeline::Override;

/// Train a SimFeatUp upsampler for a model on images of your own, and make a bundle with it
///
/// The model's image tower stays as it is; the upsampler learns, from images without labels, to raise its patch features
/// to full resolution. A run that was stopped goes on from its last checkpoint when the same command is given again.
#[derive(Args, Clone, Debug)]
pub struct TrainUpsamplerArgs {
    /// The model: the folder of a bundle, or a model's name
    #[arg(long, value_name = "MODEL", default_value = "mini")]
    pub model: String,
    /// The CLIP weights that the bundle was imported from [default: those built in, or downloaded for it]
    #[arg(long, value_name = "FILE")]
    pub clip: Option<PathBuf>,
    /// Images like those that the model is for: rasters, or patterns such as 'tiles/*.tif'
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    pub images: Vec<String>,
    /// The bands seen as red, green and blue: numbers from 1, names or colours [default: as the file says, else 1,2,3]
    #[arg(long, value_name = "R,G,B")]
    pub bands: Option<String>,
    /// How values become 0 to 255, as for `segment` [default: none for 8-bit images, else percentile:2,98]
    #[arg(long, value_name = "STRETCH")]
    pub stretch: Option<String>,
    /// Steps of the training
    #[arg(long, value_name = "N", default_value_t = 600)]
    pub steps: usize,
    /// Views in a step
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub batch: usize,
    /// The side of a view in pixels [default: 12 patches]
    #[arg(long, value_name = "PIXELS")]
    pub side: Option<usize>,
    /// Whatever the training draws, it draws from this number
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// The folder of the new bundle; checkpoints lie in DIR.training until it is made
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
