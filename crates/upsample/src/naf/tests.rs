//! The kernels against the convolutions and the attention written out.

use super::super::simd::Level;
use super::attention::{HeadGroup, Shape, Values};
use super::encoder::{Branch, Layer, transposed};
use super::product::panels;
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
        let branch = Branch {
            side,
            first: panels(&transposed(&first, CHANNELS), CHANNELS),
            first_bias,
            layers: layers.collect(),
        };
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

/// The rotation and the attention as their formulas say, in float64: cosines with the queries, (query, row, column).
fn attended(
    shape: &Shape,
    periods: &[f32],
    channels: &[Vec<f32>; 2],
    patches: &[f32],
    queries: &[f32],
    depth: usize,
) -> Vec<f64> {
    let ([height, width], patch, head) = (shape.size, shape.patch, shape.head);
    let (rows, cols, each) = (height / patch, width / patch, shape.heads / 2);
    let mut rotated = vec![vec![0f64; height * width * head]; shape.heads];
    for (number, plane) in rotated.iter_mut().enumerate() {
        let from = &channels[number / each];
        for (pixel, out) in plane.chunks_exact_mut(head).enumerate() {
            let from = &from[(pixel * each + number % each) * head..][..head];
            let place = [(pixel / width, height), (pixel % width, width)];
            for half in 0..head / 2 {
                let (at, side) = place[half / periods.len()];
                let y = 2.0 * (at as f64 + 0.5) / side as f64 - 1.0;
                let angle = std::f64::consts::TAU * y / f64::from(periods[half % periods.len()]);
                let (a, b) = (f64::from(from[half]), f64::from(from[half + head / 2]));
                out[half] = a * angle.cos() - b * angle.sin();
                out[half + head / 2] = b * angle.cos() + a * angle.sin();
            }
        }
    }
    let mut out = vec![0f64; queries.len() / depth * height * width];
    let range = |at: usize, size: usize| {
        let side = 9.min(if size % 2 == 1 { size } else { size - 1 });
        let first = (at as isize - side as isize / 2).clamp(0, (size - side) as isize) as usize;
        first..first + side
    };
    for pixel in 0..height * width {
        let (row, col) = (pixel / width, pixel % width);
        let mut feature = vec![0f64; depth];
        for (number, plane) in rotated.iter().enumerate() {
            let mut near = Vec::new();
            for r in range(row / patch, rows) {
                for c in range(col / patch, cols) {
                    let mut score = 0.0;
                    for y in r * patch..(r + 1) * patch {
                        for x in c * patch..(c + 1) * patch {
                            let (one, other) =
                                (&plane[pixel * head..][..head], &plane[(y * width + x) * head..][..head]);
                            score += one.iter().zip(other).map(|(a, b)| a * b).sum::<f64>();
                        }
                    }
                    near.push((score / (patch * patch) as f64 / (head as f64).sqrt(), r * cols + c));
                }
            }
            let sum: f64 = near.iter().map(|(score, _)| score.exp()).sum();
            let part = depth / shape.heads;
            for (score, index) in near {
                for channel in number * part..(number + 1) * part {
                    feature[channel] += score.exp() / sum * f64::from(patches[index * depth + channel]);
                }
            }
        }
        let norm = feature.iter().map(|value| value * value).sum::<f64>().sqrt();
        for (query, text) in queries.chunks_exact(depth).enumerate() {
            let product: f64 = feature.iter().zip(text).map(|(a, b)| a * f64::from(*b)).sum();
            out[query * height * width + pixel] = product / norm;
        }
    }
    out
}

/// Grids below, at and above the neighbourhood, patches that are no whole strips, parts that are no whole vectors.
#[test]
fn attention_is_its_formula() {
    for (grid, patch, heads, head, depth, count) in
        [([3, 4], 4, 4, 16, 24, 3), ([9, 7], 2, 2, 16, 40, 1), ([10, 12], 2, 4, 32, 64, 9), ([2, 11], 3, 2, 16, 32, 14)]
    {
        let size = [grid[0] * patch, grid[1] * patch];
        let shape = Shape { size, patch, heads, head };
        let periods: Vec<f32> = (0..head / 4).map(|at| 100f32.powf(4.0 * at as f32 / head as f32)).collect();
        let length = size[0] * size[1] * heads / 2 * head;
        let channels = [numbers(length, 1), numbers(length, 2)];
        let (patches, queries) = (numbers(grid[0] * grid[1] * depth, 3), numbers(count * depth, 4));
        let want = attended(&shape, &periods, &channels, &patches, &queries, depth);
        for level in Level::all() {
            let mut rotated = channels.clone();
            let keys: Vec<Vec<f32>> = rotated
                .iter_mut()
                .map(|channels| attention::rotate(level, &shape, &periods, channels, heads / 2))
                .collect();
            let groups: Vec<HeadGroup<'_>> = rotated
                .iter()
                .zip(&keys)
                .map(|(channels, keys)| HeadGroup { channels, keys, heads: heads / 2 })
                .collect();
            let values = Values::new(level, &shape, &patches, &queries, depth);
            let of_cls: Vec<f32> = (0..count).map(|query| query as f32).collect();
            let mut got = vec![0f32; count * size[0] * size[1]];
            attention::logits(level, &shape, &groups, &values, &of_cls, &mut got);
            let mut off = 0f64;
            for (at, (got, want)) in got.iter().zip(&want).enumerate() {
                off = off.max((f64::from(*got) - want - (at / (size[0] * size[1])) as f64).abs());
            }
            println!("{grid:?} patches of {patch}, {}: {off:.1e}", level.name());
            assert!(off < 5e-6, "{grid:?} patches of {patch} with {}: {off:.1e}", level.name());
        }
    }
}

#[test]
fn channels_that_are_no_whole_vectors_are_refused() {
    assert!(supports_naf(256, 4) && supports_naf(64, 4));
    assert!(!supports_naf(48, 4) && !supports_naf(96, 3) && !supports_naf(0, 0));
    assert!(Naf::from_tensors(&BTreeMap::new(), 16, 512, 1).is_err());
}
