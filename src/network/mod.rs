//! CLIP, SimFeatUp and NAF as tch modules: weights in (`segearth_checkpoint`), the network (`clip`, `simfeatup`, `naf`, `segment`),
//! TorchScript out (`export`, `trace`).

mod average;
mod clip;
pub mod convolutional;
pub mod export;
mod int8;
mod int8_tower;
mod layers;
mod mlp;
mod naf;
pub mod principal;
pub mod random;
mod segment;
mod simfeatup;
mod tower;
pub mod trace;

pub use average::average;
pub use clip::{Attention, ImageFeatures, TextTower, TowerOptions};
pub use int8_tower::{Int8Options, Int8Tower};
pub use layers::Tensors;
pub use naf::{Naf, PixelScale};
pub use segment::{ImageEncoder, Upsampling};
pub use simfeatup::{Basis, Spanned, Upsampler};
pub use tower::ImageTower;
