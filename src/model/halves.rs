//! The image encoder of a bundle, run in the fastest way for a device; or its second half alone, for tokens that are known.
//!
//! libtorch runs the whole trace on every device, but with its operations the half after the transformer takes several times as long
//! as the transformer. If a bundle has the two halves separately, the second runs in kernels of our own: on the CPU those of
//! [`segearth_upsample`], on a GPU those of [`super::torch`].

use segearth_upsample::{KernelPrecision, Naf, Shortcuts, TextQueries, Upsampler, Windows};

use super::bundle::{Bundle, Method};
use super::joint::{JointSegmenter, JointSettings};
use super::torch::{Device, HalvesFiles, TorchPatchEncoder, TorchSegmenter, threads};
use super::{Images, Queries, Segmenter, import};
use crate::error::{Error, Result};
use crate::network::{Int8Options, export};

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
    let int8 = bundle.int8_tower().is_some();
    if int8 && device != Device::Cpu {
        return Err(int8_on(device));
    }
    let encoder = || match tokens {
        TokenSource::Tower => patch_encoder(bundle, Device::Cpu),
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
        (_, None) if int8 || tokens == TokenSource::Images => {
            let decoder = TorchSegmenter::decoder(&bundle.pixel_decoder(), device, queries, debias)?;
            let decoder = if bundle.has_naf() { decoder.window_by_window() } else { decoder };
            match tokens {
                TokenSource::Tower => Box::new(halves(encoder()?, SecondHalf::Trace(decoder))),
                TokenSource::Images => Box::new(decoder),
            }
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

/// Returns the image tower of a bundle.
///
/// # Errors
/// Its file is damaged, or it is int8 and the device a GPU.
pub fn patch_encoder(bundle: &Bundle, device: Device) -> Result<TorchPatchEncoder> {
    let Some(weights) = bundle.int8_tower() else { return TorchPatchEncoder::load(&bundle.patch_encoder(), device) };
    if device != Device::Cpu {
        return Err(int8_on(device));
    }
    let import::Built { activation, attention, precision: _ } = import::Built::read(bundle)?;
    let Method { attention_blocks, keep_residual, .. } = bundle.card.method;
    TorchPatchEncoder::int8(&weights, &Int8Options { activation, attention, attention_blocks, keep_residual })
}

fn int8_on(device: Device) -> Error {
    Error::input(format!("the model's precision is int8, which is for CPUs; it cannot run on {device}"))
        .with_hint("Run it with `--device cpu`, or import the model with `--precision fp16` for a GPU.")
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
    let encoder = patch_encoder(bundle, device)?;
    Ok(Box::new(JointSegmenter::new(encoder, queries.clone(), bundle.card.sizes.patch, settings)))
}

/// The transformer, then the upsampler in kernels of our own, on the same cores.
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
    /// In libtorch's operations, after a tower that has no trace.
    Trace(TorchSegmenter),
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
            SecondHalf::Naf(_) | SecondHalf::Trace(_) => 0,
        }
    }

    fn warning(&self) -> Option<&str> {
        self.encoder.warning()
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
            SecondHalf::Trace(decoder) => decoder.segment(&Images { tokens: Some(tokens), ..images.clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::model::bundle::INT8_TOWER;

    /// Before any file is opened.
    #[test]
    fn int8_is_refused_on_a_gpu() {
        let card =
            "format: 2\nname: small\nsizes: {patch: 16, window: 224, embed_dim: 32, context: 77, vocabulary: 600}\n";
        let mut card: super::super::bundle::Card = serde_yaml::from_str(card).unwrap();
        card.files.insert(INT8_TOWER.to_owned(), String::new());
        let bundle = Bundle { folder: PathBuf::from("/nowhere"), card };
        let queries = Queries { count: 1, width: 32, features: vec![0.0; 32] };
        for tokens in [TokenSource::Tower, TokenSource::Images] {
            let made = segmenter(&bundle, Device::Cuda(1), &queries, 0.3, Shortcuts::default(), tokens);
            let error = made.err().unwrap();
            assert_eq!(error.to_string(), "the model's precision is int8, which is for CPUs; it cannot run on cuda:1");
            assert!(error.hint().unwrap().contains("--device cpu"));
        }
        assert!(patch_encoder(&bundle, Device::Cuda(0)).err().unwrap().to_string().contains("cuda:0"));
    }
}
