//! The kernels against the convolutions and the attention written out.

use super::super::simd::Level;
use super::encoder::{Branch, Layer, transposed};
use super::*;

/// Numbers around 0, always the same ones.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A convolution with reflection, (channel, row, column) to (channel, row, column), in float64.
fn convolved(input: &[f64], [height, width]: [usize; 2], kernels: &[f32], bias: &[f32], side: usize) -> Vec<f64> {
    let channels = input.len() / (height * width);
    let at = |position: usize, offset: usize, size: usize| {
        let position = (position + offset) as isize - (side / 2) as isize;
        (if position >= size as isize { 2 * (size as isize - 1) - position } else { position.abs() }) as usize
    };
    let mut out = Vec::new();
    for (kernel, bias) in kernels.chunks_exact(channels * side * side).zip(bias) {
        for row in 0..height {
            for col in 0..width {
                let mut sum = f64::from(*bias);
                for (plane, kernel) in input.chunks_exact(height * width).zip(kernel.chunks_exact(side * side)) {
                    for (index, weight) in kernel.iter().enumerate() {
                        let (y, x) = (at(row, index / side, height), at(col, index % side, width));
                        sum += f64::from(*weight) * plane[y * width + x];
                    }
                }
                out.push(sum);
            }
        }
    }
    out
}

/// Group norm and SiLU.
fn activated(input: &mut [f64], pixels: usize, weight: &[f32], bias: &[f32]) {
    let channels = input.len() / pixels;
    let each = channels / 8;
    for (group, planes) in input.chunks_exact_mut(each * pixels).enumerate() {
        let mean = planes.iter().sum::<f64>() / planes.len() as f64;
        let variance = planes.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / planes.len() as f64;
        for (index, plane) in planes.chunks_exact_mut(pixels).enumerate() {
            let channel = group * each + index;
            for value in plane {
                let x =
                    (*value - mean) / (variance + 1e-5).sqrt() * f64::from(weight[channel]) + f64::from(bias[channel]);
                *value = x / (1.0 + (-x).exp());
            }
        }
    }
}

#[test]
fn branches_are_their_convolutions() {
    const CHANNELS: usize = 32;
    for (side, size) in [(1, [12, 20]), (3, [12, 20]), (3, [14, 7]), (3, [2, 5])] {
        let pixels = size[0] * size[1];
        let image = numbers(3 * pixels, 1);
        let (first, first_bias) = (numbers(CHANNELS * 3 * side * side, 2), numbers(CHANNELS, 3));
        let weights: Vec<[Vec<f32>; 4]> = (0..4)
            .map(|layer| {
                let kernels: Vec<f32> =
                    numbers(CHANNELS * CHANNELS * side * side, 10 + layer).iter().map(|value| 0.1 * value).collect();
                let norm: Vec<f32> = numbers(CHANNELS, 20 + layer).iter().map(|value| 1.0 + 0.2 * value).collect();
                [norm, numbers(CHANNELS, 30 + layer), kernels, numbers(CHANNELS, 40 + layer)]
            })
            .collect();
        let mut want: Vec<f64> = image.iter().copied().map(f64::from).collect();
        want = convolved(&want, size, &first, &first_bias, side);
        for [norm, norm_bias, kernels, bias] in &weights {
            activated(&mut want, pixels, norm, norm_bias);
            want = convolved(&want, size, kernels, bias, side);
        }
        let layers = weights
            .into_iter()
            .map(|[norm, norm_bias, kernels, bias]| Layer::new(norm, norm_bias, &kernels, bias, side));
        let branch = Branch { side, first: transposed(&first, CHANNELS), first_bias, layers: layers.collect() };
        for level in Level::all() {
            let (mut got, mut other) = (vec![0.0; pixels * CHANNELS], vec![0.0; pixels * CHANNELS]);
            branch.encode(level, &image, size, &mut got, &mut other);
            let mut off = 0f64;
            for (channel, plane) in want.chunks_exact(pixels).enumerate() {
                for (pixel, want) in plane.iter().enumerate() {
                    off = off.max((want - f64::from(got[pixel * CHANNELS + channel])).abs());
                }
            }
            println!("{side} × {side}, {size:?}, {}: {off:.1e}", level.name());
            assert!(off < 2e-5, "{side} × {side} at {size:?} with {}: {off:.1e}", level.name());
        }
    }
}

#[test]
fn channels_that_are_no_whole_vectors_are_refused() {
    assert!(supports_naf(256, 4) && supports_naf(64, 4));
    assert!(!supports_naf(48, 4) && !supports_naf(96, 3) && !supports_naf(0, 0));
    assert!(Naf::from_tensors(&BTreeMap::new(), 16, 512, 1).is_err());
}
