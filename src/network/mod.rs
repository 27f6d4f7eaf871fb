//! CLIP and SimFeatUp as tch modules, read from checkpoints and traced to TorchScript.

mod clip;
mod fault;
mod layers;
mod segment;
mod simfeatup;
pub mod trace;

pub use clip::{Attention, ImageFeatures, ImageTower, TextTower, TowerOptions};
pub use layers::{Activation, Tensors};
pub use segment::{ImageEncoder, Upsampling};
pub use simfeatup::{Basis, Upsampler, UpsamplerKind};
