//! The image tower of a model: a vision transformer as in CLIP, or a convolutional network.

use tch::{TchError, Tensor};

use super::clip::{Attention, ImageFeatures, TowerOptions, VisionTransformer};
use super::convolutional::{ConvolutionalTower, STRIDE};
use super::layers::Tensors;
use crate::error::Result;

#[derive(Debug)]
pub enum ImageTower {
    Transformer(VisionTransformer),
    Convolutional(ConvolutionalTower),
}

impl ImageTower {
    /// The tower that the weights are of; attention and options are those of a transformer.
    pub fn load(tensors: &Tensors, options: TowerOptions, attention: Attention, keep_residual: bool) -> Result<Self> {
        if ConvolutionalTower::recognises(tensors) {
            return Ok(Self::Convolutional(ConvolutionalTower::load(tensors)?));
        }
        Ok(Self::Transformer(VisionTransformer::load(tensors, options, attention, keep_residual)?))
    }

    /// The same with the sum over the attention of so many of the last blocks; without effect on a convolutional network.
    #[must_use]
    pub fn with_attention_blocks(self, blocks: usize) -> Self {
        match self {
            Self::Transformer(tower) => Self::Transformer(tower.with_attention_blocks(blocks)),
            other => other,
        }
    }

    /// Side of a patch in pixels.
    pub fn patch(&self) -> i64 {
        match self {
            Self::Transformer(tower) => tower.patch(),
            Self::Convolutional(_) => STRIDE,
        }
    }

    /// `images`: normalised, (batch, 3, height, width), sides multiples of the patch.
    pub fn forward(&self, images: &Tensor) -> Result<ImageFeatures, TchError> {
        match self {
            Self::Transformer(tower) => tower.forward(images),
            Self::Convolutional(tower) => tower.forward(images),
        }
    }
}
