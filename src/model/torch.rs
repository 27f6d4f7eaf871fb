//! Runs a bundle's TorchScript with libtorch, on the CPU or on CUDA.

#![expect(
    clippy::indexing_slicing,
    reason = "sizes whose number is looked at before, or is that of a tensor made here"
)]

use std::fmt;
use std::path::Path;

use tch::{CModule, Device as TorchDevice, Kind as Number, TchError, Tensor};

use super::text::TokenBatch;
use super::{Blender, Images, Queries, Region, Segmenter, TextEncoder};
use crate::error::{Context, Error, Kind, Result};
use crate::network::{Int8Options, Int8Tower};

mod about;
mod blend;
mod halves;
mod kernels;
pub mod parity;
mod worker_pool;

pub use about::{TorchFacts, torch_facts};
use blend::DeviceBlender;
use halves::{DeviceHalves, KernelDevice};
pub use halves::{HalvesFiles, KERNELS_VARIABLE};
use worker_pool::WorkerPool;

/// Where the model runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    Cpu,
    Cuda(usize),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl From<Device> for TorchDevice {
    fn from(device: Device) -> Self {
        match device {
            Device::Cpu => Self::Cpu,
            Device::Cuda(index) => Self::Cuda(index),
        }
    }
}

/// CUDA devices that libtorch can use here; opens libtorch's CUDA half first, where there is one.
pub fn cuda_devices() -> usize {
    super::cuda::open();
    usize::try_from(tch::Cuda::device_count()).unwrap_or(0)
}

/// An image encoder with the queries of one job.
pub struct TorchSegmenter {
    encoder: Encoder,
    device: TorchDevice,
    queries: Tensor,
    lambda: Tensor,
    /// On the CPU.
    pool: Option<WorkerPool>,
    warning: Option<String>,
}

enum Encoder {
    /// From images to logits in libtorch's operations.
    Whole(CModule),
    /// The second half in libtorch's operations, for images whose tokens are known.
    Decoder(CModule),
    /// The second half in kernels of our own.
    Halves(Box<DeviceHalves>),
}

impl TorchSegmenter {
    /// `debias`: how much of the `[CLS]` similarity is subtracted (0.3 in the paper).
    pub fn load(path: &Path, device: Device, queries: &Queries, debias: f32) -> Result<Self> {
        Self::of(Encoder::Whole, path, device, queries, debias)
    }

    /// The second half alone: images come with their tokens.
    pub fn decoder(path: &Path, device: Device, queries: &Queries, debias: f32) -> Result<Self> {
        Self::of(Encoder::Decoder, path, device, queries, debias)
    }

    fn of(
        encoder: impl FnOnce(CModule) -> Encoder,
        path: &Path,
        device: Device,
        queries: &Queries,
        debias: f32,
    ) -> Result<Self> {
        super::memory::tune_malloc();
        let device = TorchDevice::from(device);
        let features = Tensor::f_from_slice(&queries.features)?
            .f_reshape([queries.count as i64, queries.width as i64])?
            .f_to_device(device)?;
        let lambda = Tensor::f_from_slice(&[-debias])?.f_to_device(device)?;
        let encoder = encoder(load_module(path, device)?);
        Ok(Self { encoder, device, queries: features, lambda, pool: pool(device)?, warning: None })
    }

    /// On a GPU, uses kernels of our own for the half after the transformer, if their logits agree with those of the trace.
    /// Where they cannot be had it stays as it is, and remarks on it.
    pub fn with_halves(self, files: &HalvesFiles<'_>, device: Device) -> Self {
        match KernelDevice::of(device) {
            Some(place) => self.with_halves_at(files, &place),
            None => self,
        }
    }

    fn with_halves_at(self, files: &HalvesFiles<'_>, place: &KernelDevice) -> Self {
        let halves = DeviceHalves::load(files, place).and_then(|halves| {
            let trace = |pixels: &Tensor| self.logits_of(pixels, None);
            halves.agree(trace, &self.queries, &self.lambda, files.precision).map(|()| halves)
        });
        match halves {
            Ok(halves) => Self { encoder: Encoder::Halves(Box::new(halves)), ..self },
            Err(error) => {
                let why = [vec![error.to_string()], error.causes()].concat().join(": ");
                let warning = format!(
                    "The upsampler runs in libtorch's own operations on {}, slower than it could: {why} \
                     ({KERNELS_VARIABLE}=0 asks for that).",
                    place.device
                );
                Self { warning: Some(warning), ..self }
            }
        }
    }

    /// The same with one window at a time to each thread of the CPU: for models whose intermediate results of a window are large.
    #[must_use]
    pub fn window_by_window(self) -> Self {
        Self { pool: self.pool.map(WorkerPool::window_by_window), ..self }
    }

    /// The same for images that come with their tokens; `decoder`: the second half in libtorch's operations, where there are no
    /// kernels of our own.
    pub fn for_tokens(self, decoder: &Path) -> Result<Self> {
        Ok(match self.encoder {
            Encoder::Whole(_) => Self { encoder: Encoder::Decoder(load_module(decoder, self.device)?), ..self },
            _ => self,
        })
    }

    /// Logits (image, query, row, column) on the device; it may still be computing them.
    fn logits(&self, images: &Images) -> Result<Tensor> {
        let tokens = upload_tokens(images, self.device)?;
        self.logits_of(&upload(images, self.device)?, tokens.as_ref())
    }

    fn logits_of(&self, pixels: &Tensor, tokens: Option<&Tensor>) -> Result<Tensor> {
        match &self.encoder {
            Encoder::Whole(module) | Encoder::Decoder(module) => {
                forward(module, pixels, tokens, &[&self.queries, &self.lambda])
            }
            Encoder::Halves(halves) => halves.logits(pixels, tokens, &self.queries, &self.lambda),
        }
    }
}

/// `tokens`: with those of the images, the module is the second half of an image encoder.
fn forward(
    module: &CModule,
    pixels: &Tensor,
    tokens: Option<&Tensor>,
    [queries, lambda]: &[&Tensor; 2],
) -> Result<Tensor> {
    let _inference = tch::no_grad_guard();
    let shape = pixels.size();
    let logits = match tokens {
        None => module.forward_ts(&[pixels, queries, lambda]),
        Some(tokens) => {
            let tokens = tokens.f_reshape([shape[0], -1, queries.size()[1]])?;
            module.forward_ts(&[pixels, &tokens, queries, lambda])
        }
    };
    let logits = logits.map_err(|error| {
        foreign(error, || format!("cannot run the image encoder on images of shape {shape:?}"), IMAGE_SIGNATURE)
    })?;
    let expected = [shape[0], queries.size()[0], shape[2], shape[3]];
    if logits.size() != expected {
        return Err(Error::input(format!(
            "the image encoder returns logits of shape {:?} for images of shape {shape:?}, not {expected:?}",
            logits.size()
        ))
        .with_hint(IMAGE_SIGNATURE));
    }
    Ok(logits)
}

/// Threads for windows, where there is no device that takes many at a time.
fn pool(device: TorchDevice) -> Result<Option<WorkerPool>> {
    if device == TorchDevice::Cpu { WorkerPool::new().map(Some) } else { Ok(None) }
}

/// Windows per batch that use all threads or a GPU; with too little memory the batch is reduced.
fn batch(pool: Option<&WorkerPool>) -> usize {
    pool.map_or(32, WorkerPool::batch)
}

impl Segmenter for TorchSegmenter {
    fn queries(&self) -> usize {
        self.queries.size().first().map_or(0, |&count| count as usize)
    }

    fn batch(&self) -> usize {
        batch(self.pool.as_ref())
    }

    fn segment(&mut self, images: &Images) -> Result<Vec<f32>> {
        let (Some(pool), Encoder::Whole(module) | Encoder::Decoder(module)) = (&self.pool, &self.encoder) else {
            return to_vec(&self.logits(images)?);
        };
        let device = self.device;
        let given = |images| (images, self.queries.shallow_clone(), self.lambda.shallow_clone());
        let work = pool.chunks(images).map(given).collect();
        pool.each(work, |(images, queries, lambda)| {
            let tokens = upload_tokens(&images, device)?;
            to_vec(&forward(module, &upload(&images, device)?, tokens.as_ref(), &[&queries, &lambda])?)
        })
    }

    fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    fn blends(&self) -> bool {
        self.device != TorchDevice::Cpu
    }

    fn blender<'a>(&'a self, region: &Region<'_>) -> Result<Box<dyn Blender + 'a>> {
        Ok(Box::new(DeviceBlender::new(self, region)?))
    }
}

/// Images (image, 3, row, column) on their way to a device. To a GPU they go from pinned memory, so that the call need not wait
/// for the copy: while it is under way, and the batch before it is computed, the next one is read.
fn upload(images: &Images, device: TorchDevice) -> Result<Tensor> {
    let shape = [images.count, 3, images.size.height, images.size.width].map(|side| side as i64);
    send(Tensor::f_from_slice(&images.pixels)?.f_reshape(shape)?, device)
}

fn send(here: Tensor, device: TorchDevice) -> Result<Tensor> {
    Ok(match device {
        TorchDevice::Cpu => here,
        device => here.f_pin_memory(device)?.f_to_device_(device, Number::Float, true, false)?,
    })
}

/// The tokens of images that have them, (image, token · D), in the same way.
fn upload_tokens(images: &Images, device: TorchDevice) -> Result<Option<Tensor>> {
    let Some(tokens) = &images.tokens else { return Ok(None) };
    let here = Tensor::f_from_slice(tokens)?;
    // Who uses them knows their width.
    Ok(Some(send(here.f_reshape([images.count as i64, -1])?, device)?))
}

/// An image encoder's first half.
pub struct TorchPatchEncoder {
    tower: Tower,
    /// The last fixup of a learned upsampler, (D, D): the product of the patches' features with it is added to them.
    fixup: Option<Tensor>,
    device: TorchDevice,
    /// On the CPU, unless a batch is to be computed as a whole.
    pool: Option<WorkerPool>,
}

/// What computes tokens.
enum Tower {
    Trace(CModule),
    /// Layer by layer.
    Int8(Int8Tower),
    /// Nothing: images come with them.
    None,
}

/// The same for one thread.
enum TowerHandle<'a> {
    Trace(&'a CModule),
    Int8(Int8Tower),
    None,
}

impl Tower {
    fn handle(&self) -> TowerHandle<'_> {
        match self {
            Self::Trace(module) => TowerHandle::Trace(module),
            Self::Int8(tower) => TowerHandle::Int8(tower.shallow_clone()),
            Self::None => TowerHandle::None,
        }
    }
}

impl TorchPatchEncoder {
    pub fn load(path: &Path, device: Device) -> Result<Self> {
        Self::of(|device| Ok(Tower::Trace(load_module(path, device)?)), device)
    }

    /// With int8 weights, on the CPU.
    ///
    /// # Errors
    /// The file is damaged, or not of such a tower.
    pub fn int8(weights: &Path, options: &Int8Options) -> Result<Self> {
        Self::of(|_| Ok(Tower::Int8(Int8Tower::load(weights, options)?)), Device::Cpu)
    }

    /// For images that come with their tokens.
    pub fn without_tower(device: Device) -> Result<Self> {
        Self::of(|_| Ok(Tower::None), device)
    }

    fn of(tower: impl FnOnce(TorchDevice) -> Result<Tower>, device: Device) -> Result<Self> {
        super::memory::tune_malloc();
        let device = TorchDevice::from(device);
        Ok(Self { tower: tower(device)?, fixup: None, device, pool: pool(device)? })
    }

    /// What is to be known of the way it computes here, where it is not the usual one.
    pub fn warning(&self) -> Option<&'static str> {
        match self.tower {
            Tower::Int8(_) if !int8_is_fast() => Some(
                "The model's int8 products take longer than float32 here: this processor, or the limit of SEGEARTH_MAX_CPU_ISA, \
                 has neither AVX512-VNNI nor AVX-VNNI. The results are the same.",
            ),
            _ => None,
        }
    }

    /// Applies the last fixup of a learned upsampler to the patches, but for its constant: upsampling is linear, and may as well begin
    /// with it. `weights`: what an import wrote; `depth`: D.
    ///
    /// # Errors
    /// The file cannot be read, or its fixup is for features of another width.
    pub fn with_fixup(self, weights: &Path, depth: usize) -> Result<Self> {
        let cannot = || format!("cannot use the upsampler in {}", weights.display());
        let tensors = Tensor::read_safetensors(weights).map_err(Error::from).input(cannot)?;
        let matrix = tensors.into_iter().find(|(name, _)| name == FIXUP).map(|(_, matrix)| matrix);
        let matrix = matrix.filter(|matrix| matrix.numel() == depth * depth).ok_or_else(|| {
            Error::input(format!("{FIXUP} is not a matrix of {depth} × {depth}")).with_hint("Import the model again.")
        });
        let matrix = matrix.input(cannot)?.f_reshape([depth as i64, depth as i64])?.f_to_kind(Number::Float)?;
        let fixup = matrix.f_transpose(0, 1)?.f_mul_scalar(FIXUP_SHARE)?.f_to_device(self.device)?;
        Ok(Self { fixup: Some(fixup), ..self })
    }

    /// Leaves it to libtorch how a batch is shared out among threads.
    pub fn as_a_whole(self) -> Self {
        Self { pool: None, ..self }
    }

    /// Returns the number of windows per batch.
    pub fn batch(&self) -> usize {
        batch(self.pool.as_ref())
    }

    /// Features (image, 1 + patch, `width`): those of the tower, or those that come with the images, after the fixup if there is one.
    ///
    /// # Errors
    /// The model cannot run on these images, or returns features of another shape.
    pub fn encode(&mut self, images: &Images, patch: usize, width: usize) -> Result<Vec<f32>> {
        let device = self.device;
        let features = |images: &Images, tower: &TowerHandle<'_>, fixup: Option<&Tensor>| {
            let tokens = upload_tokens(images, device)?;
            to_vec(&fixed_features(tower, fixup, &upload(images, device)?, tokens.as_ref(), patch, width)?)
        };
        let handles = || (self.tower.handle(), self.fixup.as_ref().map(Tensor::shallow_clone));
        match &self.pool {
            Some(pool) => {
                let work = pool.chunks(images).map(|images| (images, handles())).collect();
                pool.each(work, |(images, (tower, fixup))| features(&images, &tower, fixup.as_ref()))
            }
            None => features(images, &self.tower.handle(), self.fixup.as_ref()),
        }
    }

    /// The same on the device, of `pixels` (image, 3, row, column).
    fn features(&self, pixels: &Tensor, tokens: Option<&Tensor>, patch: usize, width: usize) -> Result<Tensor> {
        fixed_features(&self.tower.handle(), self.fixup.as_ref(), pixels, tokens, patch, width)
    }
}

/// The outputs of a tower, or those that are known, after the fixup if there is one.
fn fixed_features(
    tower: &TowerHandle<'_>,
    fixup: Option<&Tensor>,
    pixels: &Tensor,
    tokens: Option<&Tensor>,
    patch: usize,
    width: usize,
) -> Result<Tensor> {
    let _inference = tch::no_grad_guard();
    let shape = pixels.size();
    let computed = match (tokens, tower) {
        (Some(tokens), _) => tokens.f_reshape([shape[0], -1, width as i64]),
        (None, TowerHandle::Trace(module)) => module.forward_ts(&[pixels]),
        (None, TowerHandle::Int8(tower)) => tower.features(pixels),
        (None, TowerHandle::None) => return Err(Error::internal("the images come without their tokens")),
    };
    let features = computed.map_err(|error| {
        foreign(error, || format!("cannot run the patch encoder on images of shape {shape:?}"), PATCH_SIGNATURE)
    })?;
    let patch = patch as i64;
    let expected = [shape[0], (shape[2] / patch) * (shape[3] / patch) + 1, width as i64];
    if features.size() != expected {
        let found = features.size();
        return Err(Error::input(format!(
            "the patch encoder returns features of shape {found:?} for images of shape {shape:?}, not {expected:?}"
        ))
        .with_hint(PATCH_SIGNATURE));
    }
    let Some(fixup) = fixup else { return Ok(features) };
    let (cls, patches) = (features.f_narrow(1, 0, 1)?, features.f_slice(1, 1, None, 1)?);
    Ok(Tensor::f_cat(&[cls, patches.f_add(&patches.f_matmul(fixup)?)?], 1)?)
}

/// Whether this processor has instructions for int8 products.
fn int8_is_fast() -> bool {
    segearth_int8::Instructions::detect().is_ok_and(segearth_int8::Instructions::are_fast)
}

/// The last fixup among the weights of an upsampler, and its share.
const FIXUP: &str = "fixup_proj.1.weight";
const FIXUP_SHARE: f64 = 0.1;

/// Threads that libtorch computes with.
pub fn threads() -> usize {
    usize::try_from(tch::get_num_threads()).unwrap_or(1).max(1)
}

/// Sets the number of threads of libtorch.
pub fn set_threads(threads: usize) {
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
}

/// A traced text tower.
pub struct TorchTextEncoder {
    module: CModule,
    device: TorchDevice,
    /// On the CPU.
    pool: Option<WorkerPool>,
}

/// Texts that a thread encodes at once: enough that the weights are read for many tokens.
const TEXTS: usize = 10;

impl TorchTextEncoder {
    pub fn load(path: &Path, device: Device) -> Result<Self> {
        let device = TorchDevice::from(device);
        Ok(Self { module: load_module(path, device)?, device, pool: pool(device)? })
    }
}

impl TextEncoder for TorchTextEncoder {
    fn encode(&mut self, tokens: &TokenBatch) -> Result<Vec<f32>> {
        let Some(pool) = &self.pool else { return self.features(tokens) };
        let columns = tokens.columns;
        let some = tokens.ids.chunks((TEXTS * columns).max(1));
        let work = some.map(|ids| TokenBatch { rows: ids.len() / columns.max(1), columns, ids: ids.to_vec() });
        pool.each(work.collect(), |tokens| self.features(&tokens))
    }
}

impl TorchTextEncoder {
    fn features(&self, tokens: &TokenBatch) -> Result<Vec<f32>> {
        let _inference = tch::no_grad_guard();
        let shape = [tokens.rows as i64, tokens.columns as i64];
        let ids = Tensor::f_from_slice(&tokens.ids)?.f_reshape(shape)?;
        let features = self.module.forward_ts(&[ids.f_to_device(self.device)?]).map_err(|error| {
            foreign(error, || format!("cannot run the text encoder on tokens of shape {shape:?}"), TEXT_SIGNATURE)
        })?;
        let found = features.size();
        if found.len() != 2 || found[0] != shape[0] || found[1] == 0 {
            return Err(Error::input(format!(
                "the text encoder returns features of shape {found:?} for tokens of shape {shape:?}"
            ))
            .with_hint(TEXT_SIGNATURE));
        }
        to_vec(&features)
    }
}

const IMAGE_SIGNATURE: &str = "The signature is (images (B, 3, H, W), queries (Q, D), lambda) -> logits (B, Q, H, W).";
const PATCH_SIGNATURE: &str = "The signature is images (B, 3, H, W) -> features (B, 1 + patches, D).";
const TEXT_SIGNATURE: &str = "The signature is token ids (N, columns) -> features (N, D).";

/// Models are input: an error of one is not a defect of the program.
fn foreign(error: TchError, message: impl FnOnce() -> String, signature: &'static str) -> Error {
    let error = Error::from(error);
    match error.kind() {
        Kind::OutOfMemory => error,
        _ => Error::input(message()).with_source(error).with_hint(signature),
    }
}

fn load_module(path: &Path, device: TorchDevice) -> Result<CModule> {
    // The graph is fixed and its shapes vary: profiling runs and the compilations of the fusers cost more than they gain.
    tch::jit::f_set_profiling_mode(false)?;
    let mut module = CModule::load_on_device(path, device)
        .map_err(Error::from)
        .input(|| format!("{} is not a TorchScript archive that libtorch can load", path.display()))
        .map_err(|error| error.with_hint("The file is damaged or of another format: import the model again."))?;
    module.f_set_eval()?;
    Ok(module)
}

fn sizes_of(tensor: &Tensor) -> Vec<usize> {
    tensor.size().into_iter().map(|side| usize::try_from(side).unwrap_or(0)).collect()
}

fn to_vec(tensor: &Tensor) -> Result<Vec<f32>> {
    let tensor = tensor.f_to_device(TorchDevice::Cpu)?.f_to_kind(Number::Float)?.f_contiguous()?;
    let mut values = vec![0f32; tensor.numel()];
    tensor.f_copy_data(&mut values, tensor.numel())?;
    Ok(values)
}
