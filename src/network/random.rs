//! Random weights in the sizes of a real model, for benchmarks: time does not depend on the values.

use std::collections::BTreeMap;

use segearth_checkpoint::{ClipSizes, ClipWeights, Dtype, NafWeights, TensorData, UpsamplerKind, UpsamplerWeights};

use crate::error::Result;

/// Spread of the weights: small enough for sums of thousands to stay near 1.
const SPREAD: f32 = 0.03;

/// CLIP ViT-B/16.
pub fn vit_b_16() -> Result<ClipWeights> {
    clip(ClipSizes {
        patch: 16,
        image_grid: 14,
        vision_width: 768,
        vision_layers: 12,
        vision_heads: 12,
        vision_hidden: 3072,
        embed_dim: 512,
        text_width: 512,
        text_layers: 12,
        text_heads: 8,
        text_hidden: 2048,
        vocab: 49408,
        context: 77,
    })
}

/// CLIP ViT-L/14.
pub fn vit_l_14() -> Result<ClipWeights> {
    clip(ClipSizes {
        patch: 14,
        image_grid: 16,
        vision_width: 1024,
        vision_layers: 24,
        vision_heads: 16,
        vision_hidden: 4096,
        embed_dim: 768,
        text_width: 768,
        text_layers: 12,
        text_heads: 12,
        text_hidden: 3072,
        vocab: 49408,
        context: 77,
    })
}

/// A CLIP of any sizes.
pub fn clip(sizes: ClipSizes) -> Result<ClipWeights> {
    let tensors = fill(&sizes.tensors())?;
    Ok(ClipWeights { sizes, activation: None, pixels: None, notes: Vec::new(), tensors })
}

/// SimFeatUp's `jbu_one` for features of `features` channels.
pub fn jbu_one(features: usize) -> Result<UpsamplerWeights> {
    let kind = UpsamplerKind::JbuOne;
    let mut weights = UpsamplerWeights { kind, radius: 5, features, key: 32, tensors: BTreeMap::new() };
    weights.tensors = fill(&weights.shapes())?;
    let one = |value: f32| TensorData::new(Dtype::F32, Vec::new(), value.to_le_bytes().to_vec());
    weights.tensors.insert("up1.sigma_spatial".into(), one(0.8)?);
    weights.tensors.insert("up1.range_temp".into(), one(0.1)?);
    Ok(weights)
}

/// NAF in its authors' size: 256 channels, four heads.
pub fn naf() -> Result<NafWeights> {
    let mut weights = NafWeights { channels: 256, heads: 4, tensors: BTreeMap::new() };
    weights.tensors = fill(&weights.shapes())?;
    let periods: Vec<u8> = (0..16).flat_map(|i| 100f32.powf(i as f32 / 16.0).to_le_bytes()).collect();
    weights.tensors.insert("rope.periods".into(), TensorData::new(Dtype::F32, vec![16], periods)?);
    Ok(weights)
}

/// Numbers around 0, or around 1 where they are the scale of a norm; the same ones each time.
fn fill(shapes: &BTreeMap<String, Vec<usize>>) -> Result<BTreeMap<String, TensorData>> {
    let mut state = 0u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * SPREAD
    };
    shapes
        .iter()
        .map(|(name, shape)| {
            let middle =
                if (name.contains("ln_") || name.contains("norm")) && name.ends_with("weight") { 1.0 } else { 0.0 };
            let count = shape.iter().product();
            let bytes = (0..count).flat_map(|_: usize| (middle + next()).to_le_bytes()).collect();
            Ok((name.clone(), TensorData::new(Dtype::F32, shape.clone(), bytes)?))
        })
        .collect()
}
