//! A very small network whose numbers are known, compared on this machine: `segearth doctor` runs it, and so a wrong libtorch, a
//! wrong kernel or a defective processor is found.
//!
//! Weights, window and numbers are those of `tests/parity/small`, which the method's authors' own code computed.

use std::collections::BTreeMap;

use safetensors::SafeTensors;
use segearth_checkpoint::{Activation, UpsamplerKind};
use segearth_upsample::{KernelPrecision, TextQueries, Upsampler as Kernels, Windows};
use tch::{Device as TorchDevice, Kind, Tensor};

use super::{Device, to_vec};
use crate::error::{Context, Error, Result};
use crate::model::Normalisation;
use crate::network::{Attention, Basis, ImageEncoder, ImageTower, Tensors, TowerOptions, Upsampler, Upsampling};

const DATA: &[u8] = include_bytes!("parity.safetensors");
/// Keeps every eighth row and column of the logits.
pub const STRIDE: usize = 8;
const PATCH: usize = 16;
/// Factor of the `[CLS]` similarity.
const LAMBDA: f32 = -0.3;
/// Largest differences that float32 may have: a GPU rounds products to 10 bits where it is told to.
pub const TOLERANCE: f64 = 5e-6;
pub const TOLERANCE_GPU: f64 = 2e-3;

/// Largest differences from the known logits, which are cosines.
#[derive(Clone, Copy, Debug)]
pub struct Parity {
    /// In libtorch's operations.
    pub operations: f64,
    /// In the program's own kernels; on the CPU only.
    pub kernels: Option<f64>,
}

impl Parity {
    /// Whether the differences are those of rounding.
    pub fn holds(&self, device: Device) -> bool {
        let allowed = if device == Device::Cpu { TOLERANCE } else { TOLERANCE_GPU };
        // A NaN holds nothing.
        self.operations <= allowed && self.kernels.is_none_or(|difference| difference <= allowed)
    }
}

/// Computes the network on a device.
///
/// # Errors
/// The device cannot compute.
pub fn parity(device: Device) -> Result<Parity> {
    let data = Data::read(DATA)?;
    let place = TorchDevice::from(device);
    let _inference = tch::no_grad_guard();
    let (weights, upsampler) = (data.on(&data.visual, place)?, data.on(&data.upsampler, place)?);
    let options = TowerOptions { layers: data.layers, heads: data.heads, activation: Activation::QuickGelu };
    let tower = ImageTower::load(&weights, options, Attention::SegEarth, false)?;
    let learned = Upsampler::load(&upsampler, UpsamplerKind::JbuOne, PATCH as i64)?;
    let encoder = ImageEncoder::new(tower, Upsampling::Learned(learned, Basis::Joint));
    let window = data.window.f_to_device(place)?;
    let queries = data.queries.f_to_device(place)?;
    let lambda = Tensor::f_from_slice(&[LAMBDA])?.f_to_device(place)?;
    let operations = data.difference(&encoder.forward(&window, &queries, &lambda)?)?;
    let kernels = match device {
        Device::Cpu => Some(data.by_kernels(&encoder)?),
        Device::Cuda(_) => None,
    };
    Ok(Parity { operations, kernels })
}

struct Data {
    visual: Tensors,
    upsampler: Tensors,
    layers: usize,
    heads: usize,
    /// Normalised, (1, 3, row, column).
    window: Tensor,
    queries: Tensor,
    /// (1, query, row, column) of every [`STRIDE`]-th pixel.
    logits: Tensor,
}

impl Data {
    fn read(bytes: &[u8]) -> Result<Self> {
        let damaged = || "the data of the self-test are damaged".to_owned();
        let tensors = SafeTensors::deserialize(bytes).internal(damaged)?;
        let read = |name: &str| -> Result<Tensor> {
            let view = tensors.tensor(name).internal(damaged)?;
            let shape: Vec<i64> = view.shape().iter().map(|&side| side as i64).collect();
            let kind = if view.dtype() == safetensors::Dtype::U8 { Kind::Uint8 } else { Kind::Float };
            Ok(Tensor::f_from_data_size(view.data(), &shape, kind)?)
        };
        let below = |prefix: &str| -> Result<Tensors> {
            let names = tensors.names().into_iter().filter_map(|name| Some((name, name.strip_prefix(prefix)?)));
            // The tower's weights keep their full names.
            names
                .map(|(name, short)| Ok((if prefix == "visual." { name } else { short }.to_owned(), read(name)?)))
                .collect()
        };
        let visual = below("visual.")?;
        let layers = visual.keys().filter(|name| name.ends_with(".attn.in_proj_weight")).count();
        let width = visual.get("visual.ln_pre.weight").map_or(0, Tensor::numel);
        let Normalisation { mean, std } = Normalisation::CLIP;
        let channels = |values: [f32; 3]| Tensor::f_from_slice(&values)?.f_view([1, 3, 1, 1]);
        let pixels = read("window")?.f_to_kind(Kind::Float)?.f_permute([2, 0, 1])?.f_unsqueeze(0)?;
        Ok(Self {
            upsampler: below("upsampler.")?,
            visual,
            layers,
            // CLIP's heads are 64 wide.
            heads: (width / 64).max(1),
            window: pixels.f_sub(&channels(mean)?)?.f_div(&channels(std)?)?,
            queries: read("query_features")?,
            logits: read("logits")?,
        })
    }

    fn on(&self, tensors: &Tensors, device: TorchDevice) -> Result<Tensors> {
        tensors.iter().map(|(name, tensor)| Ok((name.clone(), tensor.f_to_device(device)?))).collect()
    }

    /// The largest difference from the known logits.
    fn difference(&self, logits: &Tensor) -> Result<f64> {
        let step = STRIDE as i64;
        let logits = logits.f_to_device(TorchDevice::Cpu)?.f_slice(2, 0, None, step)?.f_slice(3, 0, None, step)?;
        let largest = logits.f_sub(&self.logits)?.f_abs()?.f_max()?;
        Ok(largest.f_double_value(&[])?)
    }

    /// The half after the transformer in the kernels that runs use on the CPU.
    fn by_kernels(&self, encoder: &ImageEncoder) -> Result<f64> {
        let features = encoder.features(&self.window)?;
        let Some(fixup) = self.upsampler.get("fixup_proj.1.weight") else {
            return Err(Error::internal("the data of the self-test lack the last fixup"));
        };
        let width = self.queries.size().last().copied().unwrap_or(0);
        let fixup = fixup.f_reshape([width, width])?.f_transpose(0, 1)?.f_mul_scalar(super::FIXUP_SHARE)?;
        let (cls, patches) = (features.f_narrow(1, 0, 1)?, features.f_slice(1, 1, None, 1)?);
        let tokens = Tensor::f_cat(&[cls, patches.f_add(&patches.f_matmul(&fixup)?)?], 1)?;
        let weights: Result<BTreeMap<_, _>> =
            self.upsampler.iter().map(|(name, tensor)| Ok((name.clone(), to_vec(tensor)?))).collect();
        let mut kernels = Kernels::from_tensors(&weights?, PATCH, super::threads(), KernelPrecision::Float32)?;
        let shape = super::sizes_of(&self.window);
        let (height, width) = (shape.get(2).copied().unwrap_or(0), shape.get(3).copied().unwrap_or(0));
        let (pixels, tokens, features) = (to_vec(&self.window)?, to_vec(&tokens)?, to_vec(&self.queries)?);
        let windows = Windows { count: 1, height, width, pixels: &pixels, tokens: &tokens };
        let logits = kernels.logits(&windows, &TextQueries { features: &features, lambda: LAMBDA })?;
        self.difference(&Tensor::f_from_slice(&logits)?.f_view([1, -1, height as i64, width as i64])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_authors_are_met_and_others_are_not() {
        let found = parity(Device::Cpu).unwrap();
        assert!(found.holds(Device::Cpu), "{found:?}");
        for operations in [1e-4, f64::NAN] {
            assert!(!Parity { operations, ..found }.holds(Device::Cpu));
        }
        assert!(!Parity { kernels: Some(1e-4), ..found }.holds(Device::Cpu));
    }
}
