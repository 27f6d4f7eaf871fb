//! The weights of a CLIP in training: one flat vector, its names, AdamW and the exponential moving average.
//!
//! With a single vector the optimiser is a handful of operations, and the exchange between workers one addition.

use std::collections::BTreeMap;
use std::path::Path;

use tch::{Device, Kind, TchError, Tensor};

use crate::error::{Context, Error, Result};
use crate::network::Tensors;

/// A named piece of the flat vector.
#[derive(Clone, Debug)]
struct Piece {
    name: String,
    start: i64,
    shape: Vec<i64>,
}

impl Piece {
    fn len(&self) -> i64 {
        self.shape.iter().product()
    }
}

/// Values for every weight, laid out in one vector.
#[derive(Debug)]
pub struct Parameters {
    pieces: Vec<Piece>,
    /// float32, (all weights)
    pub values: Tensor,
}

impl Parameters {
    pub fn from_tensors(tensors: &Tensors) -> Result<Self> {
        let mut start = 0;
        let mut pieces = Vec::new();
        let mut flat = Vec::new();
        for (name, tensor) in tensors {
            let piece = Piece { name: name.clone(), start, shape: tensor.size() };
            start += piece.len();
            pieces.push(piece);
            flat.push(tensor.f_to_kind(Kind::Float)?.f_reshape([-1])?);
        }
        Ok(Self { pieces, values: Tensor::f_cat(&flat, 0)? })
    }

    /// The same layout with other values.
    pub fn with_values(&self, values: Tensor) -> Self {
        Self { pieces: self.pieces.clone(), values }
    }

    /// Copies of all weights in `kind`, as leaves that take gradients if `trainable`.
    pub fn tensors(&self, kind: Kind, trainable: bool) -> Result<Tensors> {
        let _plain = tch::no_grad_guard();
        let mut tensors = BTreeMap::new();
        for piece in &self.pieces {
            let view = self.values.f_narrow(0, piece.start, piece.len())?.f_reshape(&piece.shape)?;
            tensors.insert(piece.name.clone(), view.f_to_dtype(kind, false, true)?.f_set_requires_grad(trainable)?);
        }
        Ok(tensors)
    }

    /// The gradients of `tensors`, as [`Parameters::tensors`] gave them, in the flat layout; 0 where there is none.
    pub fn gradient(&self, tensors: &Tensors) -> Result<Tensor> {
        let mut flat = Vec::new();
        for piece in &self.pieces {
            let gradient = match tensors.get(&piece.name) {
                Some(tensor) => tensor.f_grad()?,
                None => return Err(Error::internal(format!("no weight {}", piece.name))),
            };
            flat.push(match gradient.defined() {
                true => gradient.f_to_kind(Kind::Float)?.f_reshape([-1])?,
                false => Tensor::f_zeros([piece.len()], (Kind::Float, Device::Cpu))?,
            });
        }
        Ok(Tensor::f_cat(&flat, 0)?)
    }

    /// 1 for what weight decay pulls (matrices), else 0.
    fn decayed(&self) -> Result<Tensor> {
        let mask = Tensor::f_zeros_like(&self.values)?;
        for piece in &self.pieces {
            let matrix = piece.shape.len() > 1 && !piece.name.contains("embedding");
            if matrix {
                let _ = mask.f_narrow(0, piece.start, piece.len())?.f_fill_(1.0)?;
            }
        }
        Ok(mask)
    }

    /// Writes safetensors in `kind`.
    pub fn write(&self, path: &Path, kind: Kind) -> Result<()> {
        let tensors = self.tensors(kind, false)?;
        let tensors: Vec<(&String, &Tensor)> = tensors.iter().collect();
        Tensor::write_safetensors(&tensors, path).input(|| format!("cannot write {}", path.display()))
    }

    pub fn read(path: &Path) -> Result<Self> {
        let tensors = Tensor::read_safetensors(path).input(|| format!("cannot read {}", path.display()))?;
        Self::from_tensors(&tensors.into_iter().collect())
    }
}

/// AdamW with decoupled decay, and a moving average of the weights.
#[derive(Debug)]
pub struct AdamW {
    first: Tensor,
    second: Tensor,
    decayed: Tensor,
    step: i32,
    pub average: Tensor,
}

const BETAS: [f64; 2] = [0.9, 0.98];
const EPSILON: f64 = 1e-8;

impl AdamW {
    pub fn new(parameters: &Parameters) -> Result<Self> {
        Ok(Self {
            first: parameters.values.f_zeros_like()?,
            second: parameters.values.f_zeros_like()?,
            decayed: parameters.decayed()?,
            step: 0,
            average: parameters.values.f_add_scalar(0.0)?,
        })
    }

    /// One step against `gradient`, clipped to a norm of 1; returns the norm before clipping.
    pub fn step(
        &mut self,
        parameters: &mut Parameters,
        gradient: &Tensor,
        rate: f64,
        decay: f64,
        average: f64,
    ) -> Result<f64, TchError> {
        let _plain = tch::no_grad_guard();
        self.step += 1;
        let norm = f64::try_from(gradient.f_norm()?)?;
        let gradient = gradient.f_mul_scalar(1.0f64.min(1.0 / (norm + 1e-6)))?;
        let _ = self.first.f_lerp_(&gradient, 1.0 - BETAS[0])?;
        let _ = self.second.f_mul_scalar_(BETAS[1])?.f_addcmul_(&gradient, &gradient.f_mul_scalar(1.0 - BETAS[1])?)?;
        let [first_bias, second_bias] = BETAS.map(|beta| 1.0 - beta.powi(self.step));
        let scale = self.second.f_div_scalar(second_bias)?.f_sqrt()?.f_add_scalar(EPSILON)?;
        let update = self.first.f_div(&scale)?.f_mul_scalar(rate / first_bias)?;
        let shrink = self.decayed.f_mul_scalar(-rate * decay)?.f_add_scalar(1.0)?;
        let _ = parameters.values.f_mul_(&shrink)?.f_sub_(&update)?;
        // Early on the average must not remember the initial weights.
        let average = average.min(f64::from(self.step) / (f64::from(self.step) + 10.0));
        let _ = self.average.f_lerp_(&parameters.values, 1.0 - average)?;
        Ok(norm)
    }

    /// State to go on from, beside the weights themselves.
    pub fn state(&self) -> Vec<(&'static str, Tensor)> {
        vec![
            ("first", self.first.shallow_clone()),
            ("second", self.second.shallow_clone()),
            ("average", self.average.shallow_clone()),
            ("step", Tensor::from_slice(&[i64::from(self.step)])),
        ]
    }

    pub fn restore(&mut self, state: &Tensors) -> Result<()> {
        let find = |name: &str| {
            state
                .get(name)
                .map(Tensor::shallow_clone)
                .ok_or_else(|| Error::input(format!("the checkpoint has no optimiser state `{name}`")))
        };
        (self.first, self.second, self.average) = (find("first")?, find("second")?, find("average")?);
        self.step = i64::try_from(find("step")?.f_reshape([])?)? as i32;
        Ok(())
    }
}
