//! The MLP of a transformer's block: in libtorch, or with int8 weights in kernels of our own. Which, the kind of the weights says.

use std::sync::Arc;

use segearth_checkpoint::Activation;
use tch::{Kind, TchError, Tensor};

use super::int8;
use super::layers::{Linear, QUICK_GELU_SCALE, Tensors, activate};
use crate::error::Result;

/// Two linear layers with an activation between them.
#[derive(Debug)]
pub(super) enum Mlp {
    Float {
        expand: Linear,
        shrink: Linear,
        activation: Activation,
        /// QuickGELU's factor is in the weights before and after it: what is left is one operation, where libtorch would do three.
        folded: bool,
    },
    Int8(Arc<int8::Mlp>),
}

impl Mlp {
    pub fn load(tensors: &Tensors, prefix: &str, activation: Activation) -> Result<Self> {
        if ["c_fc", "c_proj"].iter().any(|name| int8::is_quantised(tensors, &format!("{prefix}{name}.weight"))) {
            return Ok(Self::Int8(Arc::new(int8::Mlp::load(tensors, prefix, activation)?)));
        }
        let (mut expand, mut shrink) =
            (Linear::load(tensors, &format!("{prefix}c_fc."))?, Linear::load(tensors, &format!("{prefix}c_proj."))?);
        let (kind, learns) = (expand.weight().kind(), expand.weight().requires_grad());
        // Weights of half precision would be rounded once more.
        let folded = activation == Activation::QuickGelu && kind == Kind::Float && !learns;
        if folded {
            // x · sigmoid(s x) = silu(s x) / s
            expand = expand.scaled(QUICK_GELU_SCALE, QUICK_GELU_SCALE)?;
            shrink = shrink.scaled(1.0 / QUICK_GELU_SCALE, 1.0)?;
        }
        Ok(Self::Float { expand, shrink, activation, folded })
    }

    pub fn shallow_clone(&self) -> Self {
        match self {
            Self::Float { expand, shrink, activation, folded } => Self::Float {
                expand: expand.shallow_clone(),
                shrink: shrink.shallow_clone(),
                activation: *activation,
                folded: *folded,
            },
            Self::Int8(mlp) => Self::Int8(Arc::clone(mlp)),
        }
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        match self {
            Self::Float { expand, shrink, activation, folded } => {
                let hidden = expand.forward(x)?;
                let active = if *folded { hidden.f_silu()? } else { activate(*activation, &hidden)? };
                shrink.forward(&active)
            }
            Self::Int8(mlp) => mlp.forward(x),
        }
    }
}
