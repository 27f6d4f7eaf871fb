//! The few layers that CLIP and SimFeatUp are made of.
//!
//! Every function here may run under a trace and must leave batch, rows and columns free: no size is read as a number.

use std::collections::BTreeMap;

use segearth_checkpoint::Activation;
use tch::{Kind, TchError, Tensor};

use crate::error::{Error, Result};

/// Weights by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// QuickGELU is x · sigmoid(1.702 x).
pub(super) const QUICK_GELU_SCALE: f64 = 1.702;

/// Epsilon of every layer norm in CLIP (the default of `torch.nn.LayerNorm`).
const LAYER_NORM_EPSILON: f64 = 1e-5;

pub(super) fn activate(activation: Activation, x: &Tensor) -> Result<Tensor, TchError> {
    match activation {
        Activation::QuickGelu => x.f_multiply(&x.f_mul_scalar(QUICK_GELU_SCALE)?.f_sigmoid()?),
        Activation::Gelu => x.f_gelu("none"),
    }
}

/// The weight `name`, which the reader of checkpoints has promised to be there.
pub(super) fn weight(tensors: &Tensors, name: &str) -> Result<Tensor> {
    match tensors.get(name) {
        Some(tensor) => Ok(tensor.shallow_clone()),
        None => Err(Error::internal(format!("the checkpoint reader did not return the weight `{name}`"))),
    }
}

#[derive(Debug)]
pub(super) struct Linear {
    /// (out, in)
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias }
    }

    /// `{prefix}weight` and `{prefix}bias`; a convolution of size 1 counts as the linear layer that it is.
    pub fn load(tensors: &Tensors, prefix: &str) -> Result<Self> {
        let matrix = weight(tensors, &format!("{prefix}weight"))?;
        let matrix = if matrix.dim() == 4 { matrix.f_flatten(1, 3)? } else { matrix };
        Ok(Self::new(matrix, Some(weight(tensors, &format!("{prefix}bias"))?)))
    }

    pub fn shallow_clone(&self) -> Self {
        Self { weight: self.weight.shallow_clone(), bias: self.bias.as_ref().map(Tensor::shallow_clone) }
    }

    /// The same with its weights and its bias multiplied.
    pub fn scaled(&self, weight: f64, bias: f64) -> Result<Self, TchError> {
        let scaled = self.bias.as_ref().map(|own| own.f_mul_scalar(bias)).transpose()?;
        Ok(Self::new(self.weight.f_mul_scalar(weight)?, scaled))
    }

    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// (…, in) → (…, out)
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_linear(&self.weight, self.bias.as_ref())
    }
}

#[derive(Debug)]
pub(super) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    width: i64,
}

impl LayerNorm {
    pub fn load(tensors: &Tensors, prefix: &str) -> Result<Self> {
        let scale = weight(tensors, &format!("{prefix}weight"))?;
        let width = scale.numel() as i64;
        Ok(Self { weight: scale, bias: weight(tensors, &format!("{prefix}bias"))?, width })
    }

    pub fn shallow_clone(&self) -> Self {
        Self { weight: self.weight.shallow_clone(), bias: self.bias.shallow_clone(), ..*self }
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_layer_norm([self.width], Some(&self.weight), Some(&self.bias), LAYER_NORM_EPSILON, false)
    }
}

/// 0, 1, … along `dim` of `x` as int64 on its device, made from the tensor so that a trace keeps the size free.
pub(super) fn positions(x: &Tensor, dim: i64) -> Result<Tensor, TchError> {
    let mut line = x.shallow_clone();
    for other in (0..x.dim() as i64).rev().filter(|&other| other != dim) {
        line = line.f_select(other, 0)?;
    }
    line.f_ones_like()?.f_to_kind(Kind::Int64)?.f_cumsum(0, Kind::Int64)?.f_sub_scalar(1)
}

/// How many positions there are, as a tensor of one number.
pub(super) fn count(positions: &Tensor) -> Result<Tensor, TchError> {
    positions.f_slice(0, -1, None::<i64>, 1)?.f_add_scalar(1)
}
