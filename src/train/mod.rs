//! SimFeatUp's training on any CLIP: what `segearth model train-upsampler` needs. The built-in model is trained by a crate
//! of its own, `crates/train`.
//!
//! The network is the very one that runs later: each step builds `network`'s modules from the current weights. This is the
//! third room that may name `tch`.

#![expect(clippy::indexing_slicing, reason = "images and batches of sizes that this room decides")]

pub mod parameters;
pub mod pyramid;
pub mod random;
pub mod scenes;
pub mod upsampler;
pub mod weights;
