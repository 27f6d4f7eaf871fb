//! The image encoder of a bundle, run in the fastest way for a device; or its second half alone, for tokens that are known.
//!
//! libtorch runs the whole trace on every device, but with its operations the half after the transformer takes several times as long
//! as the transformer. If a bundle has the two halves separately, the second runs in kernels of our own: on the CPU those of
//! [`segearth_upsample`], on a GPU those of [`super::torch`].

use segearth_upsample::{KernelPrecision, Naf, Shortcuts, TextQueries, Upsampler, Windows};

use super::bundle::Bundle;
use super::joint::{JointSegmenter, JointSettings};
use super::torch::{Device, HalvesFiles, TorchPatchEncoder, TorchSegmenter, threads};
use super::{Images, Queries, Segmenter, import};
use crate::error::{Error, Result};
use crate::network::export;

/// Where the outputs of the image tower come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// It runs.
    Tower,
    /// They come with the images: the tower is not even loaded.
    Images,
}

/// Returns the image encoder of a bundle with the queries of one job. `debias`: the fraction of the `[CLS]` similarity that is
/// subtracted (0.3 in the paper).
///
/// # Errors
/// The files are damaged, or shortcuts are not supported: the model has no learned upsampler, or runs on a GPU.
pub fn segmenter(
    bundle: &Bundle,
    device: Device,
    queries: &Queries,
    debias: f32,
    shortcuts: Shortcuts,
    tokens: TokenSource,
) -> Result<Box<dyn Segmenter>> {
    let upsampler = bundle.upsampler();
    if shortcuts != Shortcuts::default() && (device != Device::Cpu || upsampler.is_none()) {
        let key = if shortcuts.half_resolution { "method.half_resolution" } else { "method.channels" };
        return Err(Error::input(format!(
            "{key} is not supported here: the model has no SimFeatUp upsampler, or does not run on the CPU"
        ))
        .with_hint("Remove the option, or import the model with a SimFeatUp upsampler."));
    }
    let sizes = &bundle.card.sizes;
    let computed = import::precision_named(&bundle.card.method.precision).unwrap_or(export::Precision::Fp32);
    let (patch, depth) = (sizes.patch, sizes.embed_dim);
    let encoder = || match tokens {
        TokenSource::Tower => TorchPatchEncoder::load(&bundle.patch_encoder(), Device::Cpu),
        TokenSource::Images => TorchPatchEncoder::without_tower(Device::Cpu),
    };
    let halves = |encoder, upsampler| Halves { encoder, upsampler, patch, queries: queries.clone(), lambda: -debias };
    if let (Device::Cpu, Some(weights)) = (device, bundle.naf()) {
        let naf = Naf::load(&weights, patch, depth, threads())?;
        return Ok(Box::new(halves(encoder()?, SecondHalf::Naf(naf))));
    }
    Ok(match (device, upsampler) {
        (Device::Cpu, Some(weights)) => {
            // After a transformer with eight significant bits, more of them would gain nothing.
            let precision = match computed {
                export::Precision::Bf16 => KernelPrecision::Bfloat16,
                _ => KernelPrecision::Float32,
            };
            let upsampler = Upsampler::load(&weights, patch, depth, threads(), precision, shortcuts)?;
            Box::new(halves(encoder()?.with_fixup(&weights, depth)?, SecondHalf::SimFeatUp(upsampler)))
        }
        (_, None) if tokens == TokenSource::Images => {
            let decoder = TorchSegmenter::decoder(&bundle.pixel_decoder(), device, queries, debias)?;
            Box::new(if bundle.has_naf() { decoder.window_by_window() } else { decoder })
        }
        (_, weights) => {
            let whole = TorchSegmenter::load(&bundle.image_encoder(), device, queries, debias)?;
            let whole = if bundle.has_naf() { whole.window_by_window() } else { whole };
            let Some(upsampler) = &weights else { return Ok(Box::new(whole)) };
            let files =
                HalvesFiles { patch_encoder: &bundle.patch_encoder(), upsampler, patch, depth, precision: computed };
            let halves = whole.with_halves(&files, device);
            Box::new(match tokens {
                TokenSource::Tower => halves,
                TokenSource::Images => halves.for_tokens(&bundle.pixel_decoder())?,
            })
        }
    })
}

/// Returns the image tower of a bundle with the queries of one job, for the joint decision over the patches of a scene.
///
/// # Errors
/// The file of the tower is damaged.
pub fn joint_segmenter(
    bundle: &Bundle,
    device: Device,
    queries: &Queries,
    settings: JointSettings,
) -> Result<Box<dyn Segmenter>> {
    let encoder = TorchPatchEncoder::load(&bundle.patch_encoder(), device)?;
    Ok(Box::new(JointSegmenter::new(encoder, queries.clone(), bundle.card.sizes.patch, settings)))
}

/// The transformer in libtorch, then the upsampler in kernels of our own, on the same cores.
struct Halves {
    encoder: TorchPatchEncoder,
    upsampler: SecondHalf,
    patch: usize,
    queries: Queries,
    lambda: f32,
}

enum SecondHalf {
    SimFeatUp(Upsampler),
    Naf(Naf),
}

impl Segmenter for Halves {
    fn queries(&self) -> usize {
        self.queries.count
    }

    fn batch(&self) -> usize {
        self.encoder.batch()
    }

    fn set_cache_limit(&mut self, bytes: usize) -> usize {
        match &mut self.upsampler {
            SecondHalf::SimFeatUp(upsampler) => upsampler.set_cache_limit(bytes),
            // Nothing of a window serves the next one.
            SecondHalf::Naf(_) => 0,
        }
    }

    fn segment(&mut self, images: &Images) -> Result<Vec<f32>> {
        let tokens = self.encoder.encode(images, self.patch, self.queries.width)?;
        let windows = Windows {
            count: images.count,
            height: images.size.height,
            width: images.size.width,
            pixels: &images.pixels,
            tokens: &tokens,
        };
        let queries = TextQueries { features: &self.queries.features, lambda: self.lambda };
        match &mut self.upsampler {
            SecondHalf::SimFeatUp(upsampler) => upsampler.logits(&windows, &queries),
            SecondHalf::Naf(naf) => naf.logits(&windows, &queries),
        }
    }
}
