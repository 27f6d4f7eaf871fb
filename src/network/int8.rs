//! The MLP of a block with int8 weights, computed on the CPU by `segearth_int8`.
//!
//! It is no operation of libtorch: a tower that has it cannot be traced, and runs layer by layer.

#![expect(unsafe_code, reason = "libtorch's tensors as slices, without copies")]

use std::slice;

use segearth_checkpoint::Activation;
use segearth_int8::{Activation as Int8Activation, Instructions, Weights};
use tch::{Device, Kind, TchError, Tensor};

use super::layers::{Tensors, weight};
use crate::error::{Context, Error, Result};

/// What the scales of a quantised weight are called, after its name.
const SCALE: &str = "_scale";

/// Whether a weight is int8.
pub(super) fn is_quantised(tensors: &Tensors, name: &str) -> bool {
    tensors.get(name).is_some_and(|tensor| tensor.kind() == Kind::Int8)
}

/// The same tensors with the matrix `name` as int8, and its scales beside it.
///
/// # Errors
/// It is not there, or no matrix.
pub(super) fn quantise(tensors: &mut Tensors, name: &str) -> Result<()> {
    let matrix = weight(tensors, name)?;
    let (outputs, inputs) = matrix.size2()?;
    let weights = Weights::quantised(&floats(&matrix)?, inputs as usize).input(|| format!("cannot quantise {name}"))?;
    let values = Tensor::f_from_slice(weights.values())?.f_reshape([outputs, inputs])?;
    tensors.insert(name.to_owned(), values);
    tensors.insert(format!("{name}{SCALE}"), Tensor::f_from_slice(weights.scales())?);
    Ok(())
}

fn packed(tensors: &Tensors, matrix: &str, bias: &str) -> Result<segearth_int8::Linear> {
    let values = weight(tensors, matrix)?.f_contiguous()?;
    let (_, inputs) = values.size2()?;
    let mut numbers = vec![0i8; values.numel()];
    values.f_copy_data(&mut numbers, values.numel())?;
    let scales = floats(&weight(tensors, &format!("{matrix}{SCALE}"))?)?;
    let layer = Weights::new(numbers, scales, inputs as usize)
        .and_then(|weights| segearth_int8::Linear::new(&weights, floats(&weight(tensors, bias)?)?));
    layer.input(|| format!("{matrix} cannot be used"))
}

fn floats(tensor: &Tensor) -> Result<Vec<f32>> {
    let tensor = tensor.f_to_kind(Kind::Float)?.f_contiguous()?;
    let mut numbers = vec![0f32; tensor.numel()];
    tensor.f_copy_data(&mut numbers, tensor.numel())?;
    Ok(numbers)
}

/// Two linear layers with an activation between them.
#[derive(Debug)]
pub(super) struct Mlp {
    layers: segearth_int8::Mlp,
    instructions: Instructions,
}

impl Mlp {
    pub fn load(tensors: &Tensors, prefix: &str, activation: Activation) -> Result<Self> {
        let layer = |name: &str| packed(tensors, &format!("{prefix}{name}.weight"), &format!("{prefix}{name}.bias"));
        let activation = match activation {
            Activation::QuickGelu => Int8Activation::QuickGelu,
            Activation::Gelu => Int8Activation::Gelu,
        };
        let layers = segearth_int8::Mlp::new(layer("c_fc")?, activation, layer("c_proj")?);
        let layers = layers.input(|| format!("{prefix}c_fc and {prefix}c_proj cannot be used"))?;
        if layers.inputs() != layers.outputs() {
            return Err(Error::input(format!(
                "{prefix}c_fc and {prefix}c_proj are an MLP of {} input channels and {} output channels",
                layers.inputs(),
                layers.outputs()
            )));
        }
        Ok(Self { layers, instructions: Instructions::detect()? })
    }

    /// (window, row, in) → (window, row, out)
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        if x.kind() != Kind::Float || x.device() != Device::Cpu {
            return Err(TchError::Kind(format!(
                "an int8 MLP takes float32 on the CPU, not {:?} on {:?}",
                x.kind(),
                x.device()
            )));
        }
        let x = x.f_contiguous()?;
        let (windows, rows, _) = x.size3()?;
        let out = Tensor::f_empty([windows, rows, self.layers.outputs() as i64], (Kind::Float, Device::Cpu))?;
        let (count, places) = (x.numel(), out.numel());
        if count == 0 || places == 0 {
            return Ok(out);
        }
        // SAFETY: both are contiguous float32 in the memory of the CPU, with so many numbers each, whatever they are; both outlive the
        // slices, and nothing else has the new one.
        let (from, to) = unsafe {
            (
                slice::from_raw_parts(x.data_ptr().cast::<f32>().cast_const(), count),
                slice::from_raw_parts_mut(out.data_ptr().cast::<f32>(), places),
            )
        };
        self.layers
            .forward(self.instructions, from, rows as usize, to)
            .map_err(|error| TchError::Shape(error.to_string()))?;
        Ok(out)
    }
}
