//! CLIP and SimFeatUp as networks: weights in from checkpoints, TorchScript out.

pub mod checkpoint;
