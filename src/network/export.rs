//! Checkpoint in, TorchScript out: builds the towers on imported weights and writes their traces.

use std::path::Path;

use segearth_checkpoint::{Activation, ClipWeights, Dtype, NafWeights, TensorData, UpsamplerWeights};
use tch::{CModule, Kind, Tensor};

use super::clip::{Attention, TextTower, TowerOptions};
use super::int8_tower::Int8Tower;
use super::layers::Tensors;
use super::naf::{Naf, PixelScale};
use super::segment::{ImageEncoder, Upsampling};
use super::simfeatup::{Basis, Upsampler};
use super::tower::ImageTower;
use super::trace;
use crate::error::{Context, Error, Result};

/// The precision of the image encoder. The text tower is always float32: it runs once per job, and its features are cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    Fp32,
    Fp16,
    Bf16,
    /// The transformer's MLPs in int8, on CPUs; all else in float32.
    Int8,
}

impl Precision {
    fn kind(self) -> Kind {
        match self {
            Self::Fp32 | Self::Int8 => Kind::Float,
            Self::Fp16 => Kind::Half,
            Self::Bf16 => Kind::BFloat16,
        }
    }
}

/// What the weights leave open.
#[derive(Clone, Copy, Debug)]
pub struct ExportOptions {
    pub activation: Activation,
    pub attention: Attention,
    /// How many of the last blocks have it; their outputs are summed.
    pub attention_blocks: usize,
    /// The last block keeps its residual and its MLP.
    pub keep_residual: bool,
    /// Side in pixels of the window that the model is meant for, a multiple of the patch.
    pub window: usize,
    pub precision: Precision,
}

/// The files of an image encoder.
#[derive(Clone, Copy, Debug)]
pub struct ImageFiles<'a> {
    pub tower: TowerFiles<'a>,
    pub decoder: DecoderFiles<'a>,
}

/// What begins with images.
#[derive(Clone, Copy, Debug)]
pub enum TowerFiles<'a> {
    Traces {
        /// From images to logits.
        whole: &'a Path,
        /// From images to patch features.
        patch_encoder: &'a Path,
    },
    /// The weights of the tower, for [`Precision::Int8`].
    Int8(&'a Path),
}

#[derive(Clone, Copy, Debug)]
pub struct DecoderFiles<'a> {
    /// From patch features to logits.
    pub pixel_decoder: &'a Path,
    /// The upsampler's weights, where the second half is done by kernels of our own too.
    pub upsampler: Option<&'a Path>,
}

/// The weights of a learned upsampler.
#[derive(Clone, Copy, Debug)]
pub enum UpsamplerSource<'a> {
    SimFeatUp(&'a UpsamplerWeights),
    /// And how the images are normalised that it will get.
    Naf(&'a NafWeights, PixelScale),
}

/// Writes the image encoder.
///
/// # Errors
/// The upsampler was trained on features of another width, has not as many steps as the patch needs, or heads that do not divide the
/// width.
pub fn image_encoder(
    clip: &ClipWeights,
    upsampler: Option<UpsamplerSource<'_>>,
    options: &ExportOptions,
    files: &ImageFiles<'_>,
) -> Result<()> {
    let sizes = &clip.sizes;
    let kind = options.precision.kind();
    let tensors = tensors(&clip.tensors, "visual.", kind)?;
    let tower_options =
        TowerOptions { layers: sizes.vision_layers, heads: sizes.vision_heads, activation: options.activation };
    let tower = ImageTower::load(&tensors, tower_options, options.attention, options.keep_residual)?
        .with_attention_blocks(options.attention_blocks);
    let upsampling = match upsampler {
        None => Upsampling::Bilinear,
        Some(UpsamplerSource::Naf(weights, images)) => {
            let tensors = self::tensors(&weights.tensors, "", kind)?;
            Upsampling::Neighbours(Naf::load(&tensors, weights.heads, sizes.patch, sizes.embed_dim, images)?)
        }
        Some(UpsamplerSource::SimFeatUp(weights)) => {
            if weights.features != sizes.embed_dim {
                return Err(Error::input(format!(
                    "the upsampler is for features of width {}, but this CLIP's have width {}",
                    weights.features, sizes.embed_dim
                ))
                .with_hint("Use an upsampler for this CLIP, or `--upsampler none`."));
            }
            let patches = (options.window / sizes.patch).pow(2);
            let basis = if patches + 1 < sizes.embed_dim { Basis::OfImage } else { Basis::Joint };
            let weights = (weights.kind, self::tensors(&weights.tensors, "", kind)?);
            Upsampling::Learned(Upsampler::load(&weights.1, weights.0, sizes.patch as i64)?, basis)
        }
    };
    let encoder = ImageEncoder::new(tower, upsampling);
    let side = options.window as i64;
    // The tracer keeps every intermediate result, and those of a whole window of NAF's are gigabytes.
    let traced = match upsampler {
        Some(UpsamplerSource::Naf(..)) => side.min(trace::TRACED_PATCHES * sizes.patch as i64),
        _ => side,
    };
    match files.tower {
        TowerFiles::Traces { whole, patch_encoder } => {
            save(&trace::image_encoder(&encoder, traced, sizes.embed_dim as i64, kind)?, whole)?;
            save(&trace::patch_encoder(&encoder, side, kind)?, patch_encoder)?;
        }
        TowerFiles::Int8(path) => Int8Tower::write(clip, tensors, path)?,
    }
    let DecoderFiles { pixel_decoder, upsampler: to } = files.decoder;
    let (patch, depth) = (sizes.patch as i64, sizes.embed_dim as i64);
    save(&trace::pixel_decoder(&encoder, side, patch, depth, kind)?, pixel_decoder)?;
    let weights = match upsampler {
        None => None,
        Some(UpsamplerSource::SimFeatUp(weights)) => {
            Some(self::tensors(&weights.tensors, "", Kind::Float)?.into_iter().collect::<Vec<_>>())
        }
        Some(UpsamplerSource::Naf(weights, images)) => {
            let tensors = self::tensors(&weights.tensors, "", Kind::Float)?;
            let naf = Naf::load(&tensors, weights.heads, sizes.patch, sizes.embed_dim, images)?;
            Some(naf.weights_of_images(&tensors)?)
        }
    };
    if let (Some(to), Some(weights)) = (to, weights) {
        Tensor::write_safetensors(&weights, to)
            .map_err(Error::from)
            .input(|| format!("cannot write {}", to.display()))?;
    }
    Ok(())
}

fn save(module: &CModule, path: &Path) -> Result<()> {
    module.save(path).map_err(Error::from).input(|| format!("cannot write {}", path.display()))
}

/// The image tower alone, in float32: what an upsampler is trained on.
pub fn image_tower(
    clip: &ClipWeights,
    activation: Activation,
    attention: Attention,
    attention_blocks: usize,
    keep_residual: bool,
) -> Result<ImageTower> {
    let tensors = tensors(&clip.tensors, "visual.", Kind::Float)?;
    let options = TowerOptions { layers: clip.sizes.vision_layers, heads: clip.sizes.vision_heads, activation };
    Ok(ImageTower::load(&tensors, options, attention, keep_residual)?.with_attention_blocks(attention_blocks))
}

/// Writes a trace of the transformer alone, as CLIP was trained: the baseline of benchmarks.
///
/// `forward(images (B, 3, H, W)) -> features (B, 1 + patches, D)`
pub fn baseline_transformer(clip: &ClipWeights, options: &ExportOptions, path: &Path) -> Result<()> {
    let kind = options.precision.kind();
    let tensors = tensors(&clip.tensors, "visual.", kind)?;
    let sizes = &clip.sizes;
    let tower_options =
        TowerOptions { layers: sizes.vision_layers, heads: sizes.vision_heads, activation: options.activation };
    let tower = ImageTower::load(&tensors, tower_options, Attention::Vanilla, true)?;
    let encoder = ImageEncoder::new(tower, Upsampling::Bilinear);
    save(&trace::patch_encoder(&encoder, options.window as i64, kind)?, path)
}

/// Writes the traced text tower.
pub fn text_encoder(clip: &ClipWeights, activation: Activation, path: &Path) -> Result<()> {
    let tensors = tensors(&clip.tensors, "", Kind::Float)?;
    let options = TowerOptions { layers: clip.sizes.text_layers, heads: clip.sizes.text_heads, activation };
    save(&trace::text_encoder(&TextTower::load(&tensors, options)?)?, path)
}

/// Returns the tensors whose names begin with `prefix` as libtorch tensors of `kind`.
pub fn tensors<'a>(
    weights: impl IntoIterator<Item = (&'a String, &'a TensorData)>,
    prefix: &str,
    kind: Kind,
) -> Result<Tensors> {
    weights
        .into_iter()
        .filter(|(name, _)| name.starts_with(prefix))
        .map(|(name, data)| {
            let from = match data.dtype() {
                Dtype::F16 => Kind::Half,
                Dtype::Bf16 => Kind::BFloat16,
                Dtype::F32 => Kind::Float,
                Dtype::F64 => Kind::Double,
                other => return Err(Error::internal(format!("the network has a weight of type {other}"))),
            };
            let shape: Vec<i64> = data.shape().iter().map(|&side| side as i64).collect();
            Ok((name.clone(), Tensor::f_from_data_size(data.bytes(), &shape, from)?.f_to_kind(kind)?))
        })
        .collect()
}
