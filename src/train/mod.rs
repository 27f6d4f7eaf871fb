//! Training: a small CLIP from scratch, and SimFeatUp on any CLIP.
//!
//! ```text
//!  data (pictures, labels, split) ─► augment (views, mosaics) ─► loss (region–text contrast) ─► clip (towers, EMA)
//!                                                                     words ─┘                     │
//!                                                        upsampler (SimFeatUp on frozen towers) ◄──┘
//! ```
//!
//! The network is the very one that runs later: each step builds `network`'s modules from the current weights, so that
//! what is trained is what is used, the modified last block included. This is the third place that may name `tch`.

#![expect(clippy::indexing_slicing, reason = "pictures and batches of sizes that this room decides")]

pub mod augment;
pub mod clip;
pub mod colours;
pub mod data;
pub mod engine;
pub mod evaluate;
pub mod figures;
pub mod files;
pub mod initial;
pub mod landsat;
pub mod loss;
pub mod parameters;
pub mod random;
pub mod scenes;
pub mod teacher;
pub mod upsampler;
pub mod views;
pub mod words;
