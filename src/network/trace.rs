//! TorchScript out: the towers run once on made-up input, libtorch writes down what they did.
//!
//! The traces hold for any batch, any number of queries and any image whose sides are multiples of the patch, because the
//! network reads no size as a number. Weights become constants of the archive and follow the device it is loaded on.

#![expect(clippy::indexing_slicing, reason = "as many inputs as the tracer was given")]

use tch::{CModule, Device, Kind, TchError, Tensor};

use super::clip::TextTower;
use super::segment::ImageEncoder;
use crate::error::{Error, Result};

/// Sizes with which the towers are traced; more than 1, so that no broadcast becomes fixed.
const TRACED_BATCH: i64 = 2;
const TRACED_QUERIES: i64 = 3;
const TRACED_TOKENS: i64 = 8;
/// Patches on each side of the image with which the decoder is traced: wider than a neighbourhood, and less memory than a
/// window, of which the tracer keeps every intermediate result.
pub(super) const TRACED_PATCHES: i64 = 8;

/// `forward(images (B, 3, H, W), queries (Q, D), lambda ()) -> logits (B, Q, H, W)`, all float32 outside, `kind` inside.
pub fn image_encoder(encoder: &ImageEncoder, side: i64, embed_dim: i64, kind: Kind) -> Result<CModule> {
    let float = (Kind::Float, Device::Cpu);
    let inputs = [
        Tensor::f_randn([TRACED_BATCH, 3, side, side], float)?,
        Tensor::f_randn([TRACED_QUERIES, embed_dim], float)?,
        Tensor::f_full([1], -0.3, float)?,
    ];
    trace("ImageEncoder", &inputs, |inputs| {
        encoder.forward(&inputs[0].f_to_kind(kind)?, &inputs[1].f_to_kind(kind)?, &inputs[2])
    })
}

/// `forward(images (B, 3, H, W)) -> features (B, 1 + patches, D)`, float32 outside, `kind` inside: see
/// [`ImageEncoder::features`].
pub fn patch_encoder(encoder: &ImageEncoder, side: i64, kind: Kind) -> Result<CModule> {
    let inputs = [Tensor::f_randn([TRACED_BATCH, 3, side, side], (Kind::Float, Device::Cpu))?];
    trace("PatchEncoder", &inputs, |inputs| encoder.features(&inputs[0].f_to_kind(kind)?))
}

/// `forward(images (B, 3, H, W), features (B, 1 + patches, D), queries (Q, D), lambda ()) -> logits (B, Q, H, W)`, float32 outside,
/// `kind` inside: what [`image_encoder`] does after the tower.
pub fn pixel_decoder(encoder: &ImageEncoder, side: i64, patch: i64, embed_dim: i64, kind: Kind) -> Result<CModule> {
    let float = (Kind::Float, Device::Cpu);
    let side = side.min(TRACED_PATCHES * patch);
    let tokens = 1 + (side / patch) * (side / patch);
    let inputs = [
        Tensor::f_randn([TRACED_BATCH, 3, side, side], float)?,
        Tensor::f_randn([TRACED_BATCH, tokens, embed_dim], float)?,
        Tensor::f_randn([TRACED_QUERIES, embed_dim], float)?,
        Tensor::f_full([1], -0.3, float)?,
    ];
    trace("PixelDecoder", &inputs, |inputs| {
        let [images, features, queries] = [0, 1, 2].map(|index: usize| inputs[index].f_to_kind(kind));
        encoder.decode(&images?, &features?, &queries?, &inputs[3])
    })
}

/// `forward(token_ids (B, L) int64) -> features (B, D)`, not normalised, float32.
pub fn text_encoder(tower: &TextTower) -> Result<CModule> {
    let inputs = [Tensor::f_ones([TRACED_BATCH, TRACED_TOKENS], (Kind::Int64, Device::Cpu))?];
    trace("TextEncoder", &inputs, |inputs| tower.forward(&inputs[0])?.f_to_kind(Kind::Float))
}

fn trace(
    name: &str,
    inputs: &[Tensor],
    mut forward: impl FnMut(&[Tensor]) -> Result<Tensor, TchError>,
) -> Result<CModule> {
    let _inference = tch::no_grad_guard();
    let mut failed = None;
    // The closure cannot return errors: an error is stored, and the inputs are returned in place of outputs.
    let traced = CModule::create_by_tracing(name, "forward", inputs, &mut |inputs| match forward(inputs) {
        Ok(output) => vec![output],
        Err(error) => {
            failed = Some(error);
            vec![inputs[0].shallow_clone()]
        }
    });
    match failed {
        Some(error) => Err(Error::internal(format!("cannot trace {name}")).with_source(Error::from(error))),
        None => Ok(traced?),
    }
}
