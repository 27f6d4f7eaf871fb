//! An image tower whose MLPs are int8: from weights to a file, and from the file to a tower that runs layer by layer.

use std::path::Path;

use segearth_checkpoint::{Activation, ClipWeights};
use tch::{Kind, TchError, Tensor};

use super::clip::{Attention, ImageFeatures, TowerOptions, VisionTransformer};
use super::int8;
use super::layers::Tensors;
use crate::error::{Context, Error, Result};

/// The matrices of a block that become int8: two thirds of the tower's multiplications. Those before and after an attention stay float32:
/// in int8 they change five times as many labels.
const QUANTISED: [&str; 2] = ["mlp.c_fc.weight", "mlp.c_proj.weight"];

const BLOCKS: &str = "visual.transformer.resblocks.";

/// The number of heads, among the weights.
const HEADS: &str = "visual.transformer.heads";

/// What the weights leave open.
#[derive(Clone, Copy, Debug)]
pub struct Int8Options {
    pub activation: Activation,
    pub attention: Attention,
    /// How many of the last blocks have it; their outputs are summed.
    pub attention_blocks: usize,
    pub keep_residual: bool,
}

/// A vision transformer with MLPs of int8 weights, for the CPU.
#[derive(Debug)]
pub struct Int8Tower(VisionTransformer);

impl Int8Tower {
    /// Writes the weights of an image tower, `tensors` in float32, for [`load`](Self::load).
    ///
    /// # Errors
    /// It is no transformer, or the file cannot be written.
    pub fn write(clip: &ClipWeights, mut tensors: Tensors, path: &Path) -> Result<()> {
        let sizes = &clip.sizes;
        for layer in 0..sizes.vision_layers {
            for name in QUANTISED {
                int8::quantise(&mut tensors, &format!("{BLOCKS}{layer}.{name}"))?;
            }
        }
        tensors.insert(HEADS.to_owned(), Tensor::f_from_slice(&[sizes.vision_heads as i64])?);
        let tensors: Vec<(String, Tensor)> = tensors.into_iter().collect();
        Tensor::write_safetensors(&tensors, path)
            .map_err(Error::from)
            .input(|| format!("cannot write {}", path.display()))
    }

    /// Reads the weights that [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// The file cannot be read, or has no transformer with such options.
    pub fn load(path: &Path, options: &Int8Options) -> Result<Self> {
        let context = || format!("cannot use the image tower in {}", path.display());
        let tensors = Tensor::read_safetensors(path).map_err(Error::from).input(context)?;
        Self::of(tensors, options).input(context).map_err(|error| error.with_hint("Import the model again."))
    }

    fn of(tensors: Vec<(String, Tensor)>, options: &Int8Options) -> Result<Self> {
        let as_kept = |(name, tensor): (String, Tensor)| match QUANTISED.iter().any(|matrix| name.ends_with(matrix)) {
            true => Ok((name, tensor)),
            false => Ok((name, tensor.f_to_kind(Kind::Float)?)),
        };
        let tensors: Tensors = tensors.into_iter().map(as_kept).collect::<Result<_>>()?;
        let heads = match tensors.get(HEADS) {
            Some(heads) => f64::try_from(heads)? as i64,
            None => return Err(Error::input(format!("{HEADS} is missing"))),
        };
        let layers =
            (0..).take_while(|layer| tensors.contains_key(&format!("{BLOCKS}{layer}.{}", QUANTISED[0]))).count();
        let width = tensors.get("visual.ln_pre.weight").map_or(0, Tensor::numel) as i64;
        if layers == 0 || heads < 1 || width < heads || width % heads != 0 {
            return Err(Error::input(format!(
                "{layers} blocks of {width} channels in {heads} heads are no transformer"
            )));
        }
        let tower = TowerOptions { layers, heads: heads as usize, activation: options.activation };
        let tower = VisionTransformer::load(&tensors, tower, options.attention, options.keep_residual)?;
        Ok(Self(tower.with_attention_blocks(options.attention_blocks)))
    }

    /// The same weights, held once: each thread needs its own handles.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        Self(self.0.shallow_clone())
    }

    /// What the image tower gives: (batch, 1 + patch, D), the `[CLS]` feature and the patches'.
    pub fn features(&self, images: &Tensor) -> Result<Tensor, TchError> {
        let ImageFeatures { cls, patches, .. } = self.0.forward(images)?;
        Tensor::f_cat(&[cls.f_unsqueeze(1)?, patches], 1)
    }
}
