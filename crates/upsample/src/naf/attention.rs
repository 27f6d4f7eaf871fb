//! From the image's channels to logits: rotation by place, keys, and each patch's attention over its neighbours.

use rayon::prelude::*;

use super::super::backend::SQUARED_NORM_FLOOR;
use super::super::simd::{Kernel, Level, Simd, exp};
use super::product::product;

/// Side of the neighbourhood in patches, where the grid has as many.
const NEIGHBOURHOOD: usize = 9;
/// Columns of matrices are padded to a multiple of the widest vector.
const PAD: usize = 16;
/// The score of what is no neighbour.
const NEVER: f32 = -1e30;

/// Sizes of an image and of what is read from it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Rows and columns of the image.
    pub size: [usize; 2],
    /// Side of a patch in pixels.
    pub patch: usize,
    pub heads: usize,
    /// Channels of a head.
    pub head: usize,
}

impl Shape {
    fn grid(&self) -> [usize; 2] {
        self.size.map(|side| side / self.patch)
    }
}

/// Rotates channels (row, column, head, channel) by their place, in place. `periods`: a quarter of a head's channels.
pub(super) fn rotate(level: Level, shape: &Shape, periods: &[f32], channels: &mut [f32]) {
    let [height, width] = shape.size;
    let table = |side: usize, place: usize| -> Vec<[f32; 2]> {
        let at = 2.0 * (place as f32 + 0.5) / side as f32 - 1.0;
        let of_period = |period: &f32| {
            let angle = std::f32::consts::TAU * at / period;
            [angle.cos(), angle.sin()]
        };
        periods.iter().map(of_period).collect()
    };
    let columns: Vec<Vec<[f32; 2]>> = (0..width).map(|col| table(width, col)).collect();
    let per_row = channels.len() / height.max(1);
    channels.par_chunks_mut(per_row).enumerate().for_each(|(row, pixels)| {
        level.run(RotateRow { of_row: &table(height, row), columns: &columns, head: shape.head, pixels });
    });
}

struct RotateRow<'a> {
    /// (period): cosine and sine.
    of_row: &'a [[f32; 2]],
    columns: &'a [Vec<[f32; 2]>],
    head: usize,
    pixels: &'a mut [f32],
}

impl Kernel for RotateRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let each = self.pixels.len() / self.columns.len();
        for (pixel, of_column) in self.pixels.chunks_exact_mut(each).zip(self.columns) {
            for head in pixel.chunks_exact_mut(self.head) {
                let (first, second) = head.split_at_mut(self.head / 2);
                let angles = self.of_row.iter().chain(of_column);
                for ((a, b), [cos, sin]) in first.iter_mut().zip(second).zip(angles) {
                    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                }
            }
        }
    }
}

/// Means over patches of channels (row, column, head, channel): (head, patch, channel).
pub(super) fn keys(shape: &Shape, channels: &[f32], heads: usize) -> Vec<f32> {
    let ([rows, cols], width, patch) = (shape.grid(), shape.size[1], shape.patch);
    let each = heads * shape.head;
    let of_row = |row: usize| {
        let mut sums = vec![0f32; cols * each];
        for line in channels[row * patch * width * each..][..patch * width * each].chunks_exact(width * each) {
            for (sums, pixels) in sums.chunks_exact_mut(each).zip(line.chunks_exact(patch * each)) {
                for pixel in pixels.chunks_exact(each) {
                    sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
                }
            }
        }
        sums
    };
    let sums: Vec<f32> = (0..rows).into_par_iter().flat_map_iter(of_row).collect();
    let share = 1.0 / (patch * patch) as f32;
    let of_head =
        |head: usize| sums.chunks_exact(each).flat_map(move |of_patch| &of_patch[head * shape.head..][..shape.head]);
    (0..heads).flat_map(of_head).map(|sum| sum * share).collect()
}

/// What pixels are compared with: of each head, each patch's part of its feature and its products with the queries.
pub(super) struct Values {
    /// (head, patch, column): the feature, then the products, each padded.
    pub numbers: Vec<f32>,
    /// Columns of the feature, and of the products.
    pub columns: [usize; 2],
    pub queries: usize,
}

impl Values {
    /// `patches` (patch, D), `queries` (query, D).
    pub fn new(patches: &[f32], queries: &[f32], depth: usize, heads: usize) -> Self {
        let (part, count) = (depth / heads, queries.len() / depth);
        let columns = [part.next_multiple_of(PAD), count.next_multiple_of(PAD)];
        let [wide, all] = [columns[0], columns[0] + columns[1]];
        let mut numbers = vec![0f32; heads * patches.len() / depth * all];
        let of_patches = numbers.par_chunks_exact_mut(all).enumerate();
        of_patches.for_each(|(index, row)| {
            let (head, patch) = (index / (patches.len() / depth), index % (patches.len() / depth));
            let feature = &patches[patch * depth + head * part..][..part];
            row[..part].copy_from_slice(feature);
            for (product, query) in row[wide..].iter_mut().zip(queries.chunks_exact(depth)) {
                let query = &query[head * part..][..part];
                *product = query.iter().zip(feature).map(|(a, b)| a * b).sum();
            }
        });
        Self { numbers, columns, queries: count }
    }
}

/// The image's channels of some of the heads, rotated, and their keys.
pub(super) struct HeadGroup<'a> {
    /// (row, column, head, channel)
    pub channels: &'a [f32],
    /// (head, patch, channel)
    pub keys: &'a [f32],
    pub heads: usize,
}

/// Cosines of each pixel's upsampled feature with the queries, plus `of_cls` (query): (query, row, column).
pub(super) fn logits(
    level: Level,
    shape: &Shape,
    groups: &[HeadGroup<'_>],
    values: &Values,
    of_cls: &[f32],
    out: &mut [f32],
) {
    let ([rows, cols], [height, width], patch) = (shape.grid(), shape.size, shape.patch);
    let row_of_patches = |row: usize| {
        let mut scratch = Scratch::default();
        let mut found = Vec::with_capacity(cols * patch * patch * values.queries);
        for col in 0..cols {
            let neighbours: Vec<usize> =
                axis(row, rows).flat_map(|row| axis(col, cols).map(move |col| row * cols + col)).collect();
            let task = PatchTask {
                shape,
                groups,
                values,
                of_cls,
                neighbours: &neighbours,
                place: [row, col],
                scratch: &mut scratch,
                found: &mut found,
            };
            level.run(task);
        }
        found
    };
    let all: Vec<Vec<f32>> = (0..rows).into_par_iter().map(row_of_patches).collect();
    out.par_chunks_exact_mut(height * width).enumerate().for_each(|(query, plane)| {
        for (index, pixels) in all.iter().flat_map(|row| row.chunks_exact(patch * patch * values.queries)).enumerate() {
            let (top, left) = (index / cols * patch, index % cols * patch);
            for (pixel, values) in pixels.chunks_exact(values.queries).enumerate() {
                plane[(top + pixel / patch) * width + left + pixel % patch] = values[query];
            }
        }
    });
}

/// The neighbours of a position on an axis: the largest odd number up to nine that the axis has, moved inside at its ends.
fn axis(position: usize, size: usize) -> std::ops::Range<usize> {
    let side = NEIGHBOURHOOD.min(size - 1 + size % 2);
    let first = position.saturating_sub(side / 2).min(size - side);
    first..first + side
}

/// Temporary arrays of a thread.
#[derive(Default)]
struct Scratch {
    /// (pixel, channel)
    pixels: Vec<f32>,
    /// (channel, neighbour)
    keys: Vec<f32>,
    /// (pixel, neighbour)
    weights: Vec<f32>,
    /// (neighbour, column)
    values: Vec<f32>,
    /// (pixel, column)
    sums: Vec<f32>,
    /// (pixel)
    norms: Vec<f32>,
    /// (pixel, product)
    products: Vec<f32>,
}

/// One patch's pixels.
struct PatchTask<'a> {
    shape: &'a Shape,
    groups: &'a [HeadGroup<'a>],
    values: &'a Values,
    of_cls: &'a [f32],
    neighbours: &'a [usize],
    /// Row and column of the patch.
    place: [usize; 2],
    scratch: &'a mut Scratch,
    /// (pixel, query), appended to.
    found: &'a mut Vec<f32>,
}

impl Kernel for PatchTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { shape, groups, values, of_cls, neighbours, place, scratch, found } = self;
        let Shape { size: [_, width], patch, head, .. } = *shape;
        let pixels = patch * patch;
        let padded = neighbours.len().next_multiple_of(PAD);
        let [wide, products] = values.columns;
        let columns = wide + products;
        let patches = values.numbers.len() / columns / shape.heads;
        let scale = 1.0 / (head as f32).sqrt();
        scratch.pixels.resize(pixels * head, 0.0);
        scratch.weights.resize(pixels * padded, 0.0);
        scratch.sums.resize(pixels * columns, 0.0);
        scratch.keys.clear();
        scratch.keys.resize(head * padded, 0.0);
        scratch.values.clear();
        scratch.values.resize(padded * columns, 0.0);
        scratch.norms.clear();
        scratch.norms.resize(pixels, 0.0);
        scratch.products.clear();
        scratch.products.resize(pixels * products, 0.0);
        let mut number = 0;
        for group in groups {
            let each = group.heads * head;
            for of_group in 0..group.heads {
                for row in 0..patch {
                    let start = ((place[0] * patch + row) * width + place[1] * patch) * each + of_group * head;
                    for col in 0..patch {
                        let to = &mut scratch.pixels[(row * patch + col) * head..][..head];
                        to.copy_from_slice(&group.channels[start + col * each..][..head]);
                    }
                }
                for (index, neighbour) in neighbours.iter().enumerate() {
                    let key = &group.keys[(of_group * patches + neighbour) * head..][..head];
                    for (channel, value) in key.iter().enumerate() {
                        scratch.keys[channel * padded + index] = scale * value;
                    }
                    let value = &values.numbers[(number * patches + neighbour) * columns..][..columns];
                    scratch.values[index * columns..][..columns].copy_from_slice(value);
                }
                product(simd, &scratch.pixels, &scratch.keys, head, padded, &mut scratch.weights);
                for weights in scratch.weights.chunks_exact_mut(padded) {
                    soft_max(simd, weights, neighbours.len());
                }
                product(simd, &scratch.weights, &scratch.values, padded, columns, &mut scratch.sums);
                add(simd, &scratch.sums, wide, &mut scratch.norms, &mut scratch.products);
                number += 1;
            }
        }
        for (norm, products) in scratch.norms.iter().zip(scratch.products.chunks_exact(products)) {
            let factor = 1.0 / norm.max(SQUARED_NORM_FLOOR).sqrt();
            for (product, of_cls) in products.iter().zip(of_cls) {
                found.push(product * factor + of_cls);
            }
        }
    }
}

/// Scores to weights, in place; those after the first `count` become 0.
#[inline(always)]
fn soft_max<S: Simd>(simd: S, scores: &mut [f32], count: usize) {
    for score in &mut scores[count..] {
        *score = NEVER;
    }
    let mut largest = simd.splat(NEVER);
    for some in scores.chunks_exact(S::WIDTH) {
        largest = simd.max(largest, simd.load(some));
    }
    let mut numbers = [NEVER; 16];
    simd.store(largest, &mut numbers);
    let mut best = NEVER;
    for number in &numbers[..S::WIDTH] {
        best = best.max(*number);
    }
    let (best, mut sum) = (simd.splat(best), simd.splat(0.0));
    for some in scores.chunks_exact_mut(S::WIDTH) {
        let value = exp(simd, simd.sub(simd.load(some), best));
        sum = simd.add(sum, value);
        simd.store(value, some);
    }
    let factor = simd.splat(1.0 / simd.sum(sum));
    for some in scores.chunks_exact_mut(S::WIDTH) {
        simd.store(simd.mul(simd.load(some), factor), some);
    }
}

/// Adds squared lengths of the first `wide` columns to `norms` (pixel), and the others to `products` (pixel, product).
#[inline(always)]
fn add<S: Simd>(simd: S, sums: &[f32], wide: usize, norms: &mut [f32], products: &mut [f32]) {
    let count = products.len() / norms.len();
    let pixels = sums.chunks_exact(wide + count).zip(norms).zip(products.chunks_exact_mut(count));
    for ((row, norm), products) in pixels {
        let (feature, rest) = row.split_at(wide);
        let mut squares = simd.splat(0.0);
        for some in feature.chunks_exact(S::WIDTH) {
            let some = simd.load(some);
            squares = simd.fma(some, some, squares);
        }
        *norm += simd.sum(squares);
        for (product, rest) in products.chunks_exact_mut(S::WIDTH).zip(rest.chunks_exact(S::WIDTH)) {
            simd.store(simd.add(simd.load(product), simd.load(rest)), product);
        }
    }
}
