//! From the image's channels to logits: rotation by place, keys, and each patch's attention over its neighbours.
//!
//! Strips of pixels lie side by side in vectors, so that keys and products of neighbours are rows of small matrices. A pixel's feature is
//! never computed: its square is wᵀ G w with the weights w and the scalar products G of its neighbours' features, of which half are
//! enough, since G is symmetric.

use rayon::prelude::*;

use super::super::backend::SQUARED_NORM_FLOOR;
use super::super::simd::{Kernel, Level, Simd, exp};
use super::product::strip_product;

/// Side of the neighbourhood in patches, where the grid has as many.
const NEIGHBOURHOOD: usize = 9;
/// How far apart two neighbours of a pixel can be.
const REACH: usize = NEIGHBOURHOOD - 1;
/// Scalar products of a patch with those up to `REACH` rows above it and as many columns to either side.
const BAND: usize = (REACH + 1) * (2 * REACH + 1);
/// Parts of features are padded to a multiple of the widest vector.
const PAD: usize = 16;

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

/// Cosines, then sines of each period's angle at a place.
fn angles(periods: &[f32], side: usize, place: usize) -> Vec<f32> {
    let at = 2.0 * (place as f32 + 0.5) / side as f32 - 1.0;
    let angle = |period: &f32| std::f32::consts::TAU * at / period;
    let cosines = periods.iter().map(|period| angle(period).cos());
    cosines.chain(periods.iter().map(|period| angle(period).sin())).collect()
}

/// Rotates channels (row, column, head, channel) by their place, in place, and returns their means over patches, (head, patch, channel).
/// `periods`: a quarter of a head's channels.
pub(super) fn rotate(level: Level, shape: &Shape, periods: &[f32], channels: &mut [f32], heads: usize) -> Vec<f32> {
    let ([_, cols], [height, width], patch, head) = (shape.grid(), shape.size, shape.patch, shape.head);
    let columns: Vec<Vec<f32>> = (0..width).map(|col| angles(periods, width, col)).collect();
    let each = heads * head;
    let rows = channels.par_chunks_mut(patch * width * each).enumerate().map(|(row, lines)| {
        let mut sums = vec![0f32; cols * each];
        for (line, pixels) in lines.chunks_exact_mut(width * each).enumerate() {
            let of_row = &angles(periods, height, row * patch + line);
            level.run(RotateRow { of_row, columns: &columns, patch, head, pixels, sums: &mut sums });
        }
        sums
    });
    let sums: Vec<Vec<f32>> = rows.collect();
    let share = 1.0 / (patch * patch) as f32;
    let of_head = |number: usize| {
        let patches = sums.iter().flat_map(|row| row.chunks_exact(each));
        patches.flat_map(move |of_patch| &of_patch[number * head..][..head])
    };
    (0..heads).flat_map(of_head).map(|sum| sum * share).collect()
}

struct RotateRow<'a> {
    /// Cosines and sines by period.
    of_row: &'a [f32],
    columns: &'a [Vec<f32>],
    patch: usize,
    head: usize,
    /// (column, head, channel)
    pixels: &'a mut [f32],
    /// (patch, head, channel), added to.
    sums: &'a mut [f32],
}

impl Kernel for RotateRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let each = self.pixels.len() / self.columns.len();
        let quarter = self.head / 4;
        for (col, (pixel, of_column)) in self.pixels.chunks_exact_mut(each).zip(self.columns).enumerate() {
            let sums = &mut self.sums[col / self.patch * each..][..each];
            for (head, sums) in pixel.chunks_exact_mut(self.head).zip(sums.chunks_exact_mut(self.head)) {
                let (first, second) = head.split_at_mut(2 * quarter);
                let halves = first.chunks_exact_mut(quarter).zip(second.chunks_exact_mut(quarter));
                for ((first, second), angles) in halves.zip([self.of_row, of_column.as_slice()]) {
                    let (cosines, sines) = angles.split_at(quarter);
                    for ((a, b), (cos, sin)) in first.iter_mut().zip(second).zip(cosines.iter().zip(sines)) {
                        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                    }
                }
                for (sum, value) in sums.iter_mut().zip(head.iter()) {
                    *sum += value;
                }
            }
        }
    }
}

/// What is known of the patches' features, by head.
pub(super) struct Values {
    /// Scalar products of a patch with itself and those before it, (head, patch, rows above, columns from -8 to 8): doubled but for
    /// itself, 0 for those after it and outside the grid.
    gram: Vec<f32>,
    /// Scalar products with the queries, (head, query, patch).
    products: Vec<f32>,
    pub queries: usize,
}

impl Values {
    /// `patches` (patch, D), `queries` (query, D).
    pub fn new(level: Level, shape: &Shape, patches: &[f32], queries: &[f32], depth: usize) -> Self {
        let (part, cols) = (depth / shape.heads, shape.grid()[1]);
        let (count, number) = (patches.len() / depth, queries.len() / depth);
        let padded = part.next_multiple_of(PAD);
        let parts = |from: &[f32]| -> Vec<f32> {
            let mut all = vec![0f32; from.len() / depth * shape.heads * padded];
            for (index, part_of) in all.chunks_exact_mut(padded).enumerate() {
                let (head, row) = (index / (from.len() / depth), index % (from.len() / depth));
                part_of[..part].copy_from_slice(&from[row * depth + head * part..][..part]);
            }
            all
        };
        let (features, texts) = (parts(patches), parts(queries));
        let mut gram = vec![0f32; shape.heads * count * BAND];
        gram.par_chunks_exact_mut(BAND).enumerate().for_each(|(index, band)| {
            let features = &features[index / count * count * padded..][..count * padded];
            level.run(BandOf { features, padded, cols, patch: index % count, band });
        });
        let mut products = vec![0f32; shape.heads * number * count];
        products.par_chunks_exact_mut(count.max(1)).enumerate().for_each(|(index, products)| {
            let features = &features[index / number * count * padded..][..count * padded];
            level.run(ProductsOf { features, query: &texts[index * padded..][..padded], products });
        });
        Self { gram, products, queries: number }
    }
}

#[inline(always)]
fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let mut sum = simd.splat(0.0);
    for (a, b) in a.chunks_exact(S::WIDTH).zip(b.chunks_exact(S::WIDTH)) {
        sum = simd.fma(simd.load(a), simd.load(b), sum);
    }
    simd.sum(sum)
}

/// The scalar products of one patch's part with those before it.
struct BandOf<'a> {
    /// (patch, channel)
    features: &'a [f32],
    padded: usize,
    /// Columns of the grid.
    cols: usize,
    patch: usize,
    band: &'a mut [f32],
}

impl Kernel for BandOf<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (row, col) = (self.patch / self.cols, self.patch % self.cols);
        let own = &self.features[self.patch * self.padded..][..self.padded];
        for above in 0..=REACH.min(row) {
            for other in col.saturating_sub(REACH)..(col + REACH + 1).min(self.cols) {
                let patch = (row - above) * self.cols + other;
                if patch > self.patch {
                    continue;
                }
                let product = dot(simd, own, &self.features[patch * self.padded..][..self.padded]);
                let times = if patch == self.patch { 1.0 } else { 2.0 };
                self.band[above * (2 * REACH + 1) + other + REACH - col] = times * product;
            }
        }
    }
}

/// The scalar products of all patches' parts with one query's.
struct ProductsOf<'a> {
    /// (patch, channel)
    features: &'a [f32],
    query: &'a [f32],
    products: &'a mut [f32],
}

impl Kernel for ProductsOf<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (product, feature) in self.products.iter_mut().zip(self.features.chunks_exact(self.query.len())) {
            *product = dot(simd, self.query, feature);
        }
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
            let near = [axis(row, rows), axis(col, cols)];
            let (place, scratch, found) = ([row, col], &mut scratch, &mut found);
            level.run(PatchTask { shape, groups, values, of_cls, near, place, scratch, found });
        }
        found
    };
    let all: Vec<Vec<f32>> = (0..rows).into_par_iter().map(row_of_patches).collect();
    out.par_chunks_exact_mut(height * width).enumerate().for_each(|(query, plane)| {
        let patches = all.iter().flat_map(|row| row.chunks_exact(patch * patch * values.queries));
        for (index, planes) in patches.enumerate() {
            let (top, left) = (index / cols * patch, index % cols * patch);
            let lines = planes[query * patch * patch..][..patch * patch].chunks_exact(patch);
            for (row, line) in lines.enumerate() {
                plane[(top + row) * width + left..][..patch].copy_from_slice(line);
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
    /// (neighbour, channel)
    keys: Vec<f32>,
    /// (neighbour, neighbour before it)
    gram: Vec<f32>,
    /// (query, neighbour)
    products: Vec<f32>,
    /// Of a strip: (channel, pixel).
    pixels: Vec<f32>,
    /// (neighbour, pixel)
    weights: Vec<f32>,
    /// (neighbour or query, pixel)
    sums: Vec<f32>,
    /// Of all strips: (pixel).
    norms: Vec<f32>,
    /// (strip)(query, pixel)
    totals: Vec<f32>,
}

/// One patch's pixels.
struct PatchTask<'a> {
    shape: &'a Shape,
    groups: &'a [HeadGroup<'a>],
    values: &'a Values,
    of_cls: &'a [f32],
    /// Rows and columns of the neighbours.
    near: [std::ops::Range<usize>; 2],
    /// Row and column of the patch.
    place: [usize; 2],
    scratch: &'a mut Scratch,
    /// (query, pixel), appended to.
    found: &'a mut Vec<f32>,
}

impl Kernel for PatchTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let Shape { patch, head, .. } = *self.shape;
        let (pixels, strip, queries) = (patch * patch, 2 * S::WIDTH, self.values.queries);
        let strips = pixels.div_ceil(strip);
        let count = self.near[0].len() * self.near[1].len();
        let scratch = &mut *self.scratch;
        scratch.keys.resize(count * head, 0.0);
        scratch.gram.resize(count * count, 0.0);
        scratch.products.resize(queries * count, 0.0);
        scratch.pixels.resize(head * strip, 0.0);
        scratch.weights.resize(count * strip, 0.0);
        scratch.sums.resize(count.max(queries) * strip, 0.0);
        scratch.norms.clear();
        scratch.norms.resize(strips * strip, 0.0);
        scratch.totals.clear();
        scratch.totals.resize(strips * queries * strip, 0.0);
        let mut number = 0;
        for group in self.groups {
            for of_group in 0..group.heads {
                self.gather(group, of_group, number);
                for strip in 0..strips {
                    self.transpose::<S>(group, of_group, strip);
                    self.strip(simd, strip);
                }
                number += 1;
            }
        }
        let scratch = &mut *self.scratch;
        for norm in &mut scratch.norms {
            *norm = 1.0 / norm.max(SQUARED_NORM_FLOOR).sqrt();
        }
        for (query, of_cls) in self.of_cls.iter().enumerate() {
            let mut left = pixels;
            for (norms, totals) in scratch.norms.chunks_exact(strip).zip(scratch.totals.chunks_exact(queries * strip)) {
                let totals = &totals[query * strip..][..strip];
                self.found.extend(norms.iter().zip(totals).take(left).map(|(norm, total)| total * norm + of_cls));
                left = left.saturating_sub(strip);
            }
        }
    }
}

impl PatchTask<'_> {
    /// Fills keys, scalar products and products with the queries of the neighbours, for one head.
    #[inline(always)]
    fn gather(&mut self, group: &HeadGroup<'_>, of_group: usize, number: usize) {
        let ([rows, cols], head) = (self.shape.grid(), self.shape.head);
        let (patches, wide) = (rows * cols, self.near[1].len());
        let (first, count) = (self.near[1].start, self.near[0].len() * wide);
        let scale = 1.0 / (head as f32).sqrt();
        for (line, row) in self.near[0].clone().enumerate() {
            let patch = row * cols + first;
            let keys = &group.keys[(of_group * patches + patch) * head..][..wide * head];
            let scaled = &mut self.scratch.keys[line * wide * head..][..wide * head];
            for (scaled, key) in scaled.iter_mut().zip(keys) {
                *scaled = scale * key;
            }
            for query in 0..self.values.queries {
                let from = (number * self.values.queries + query) * patches + patch;
                let to = &mut self.scratch.products[query * count + line * wide..][..wide];
                to.copy_from_slice(&self.values.products[from..][..wide]);
            }
            for col in 0..wide {
                let band = &self.values.gram[(number * patches + patch + col) * BAND..][..BAND];
                let to = &mut self.scratch.gram[(line * wide + col) * count..][..count];
                for before in 0..=line {
                    let from = (line - before) * (2 * REACH + 1) + REACH - col;
                    to[before * wide..][..wide].copy_from_slice(&band[from..][..wide]);
                }
                let end = (line + 1) * wide;
                to[end..(end + 8).min(count)].fill(0.0);
            }
        }
    }

    /// Puts the channels of a strip of pixels side by side.
    #[inline(always)]
    fn transpose<S: Simd>(&mut self, group: &HeadGroup<'_>, of_group: usize, strip: usize) {
        let Shape { size: [_, width], patch, head, .. } = *self.shape;
        let (each, wide) = (group.heads * head, 2 * S::WIDTH);
        let (top, left) = (self.place[0] * patch, self.place[1] * patch);
        for place in 0..wide.min(patch * patch - strip * wide) {
            let pixel = strip * wide + place;
            let start = ((top + pixel / patch) * width + left + pixel % patch) * each + of_group * head;
            let channels = &group.channels[start..][..head];
            let lines = self.scratch.pixels.chunks_exact_mut(wide);
            for (line, channel) in lines.zip(channels) {
                line[place] = *channel;
            }
        }
    }

    /// Adds the norms and products of a strip of pixels, for the head at hand.
    #[inline(always)]
    fn strip<S: Simd>(&mut self, simd: S, strip: usize) {
        let Scratch { keys, gram, products, pixels, weights, sums, norms, totals } = &mut *self.scratch;
        let (head, wide, queries) = (self.shape.head, 2 * S::WIDTH, self.values.queries);
        let count = keys.len() / head;
        strip_product(simd, keys, pixels, [count, head], false, weights);
        let shares = soft_max(simd, weights);
        strip_product(simd, gram, weights, [count, count], true, sums);
        let mut squares = [simd.splat(0.0); 2];
        for (weights, sums) in weights.chunks_exact(wide).zip(sums.chunks_exact(wide)) {
            for half in 0..2 {
                let (weights, sums) = (&weights[half * S::WIDTH..], &sums[half * S::WIDTH..]);
                squares[half] = simd.fma(simd.load(weights), simd.load(sums), squares[half]);
            }
        }
        strip_product(simd, products, weights, [queries, count], false, sums);
        let totals = &mut totals[strip * queries * wide..][..queries * wide];
        for half in 0..2 {
            let norms = &mut norms[strip * wide + half * S::WIDTH..][..S::WIDTH];
            let squared = simd.mul(shares[half], shares[half]);
            simd.store(simd.fma(squares[half], squared, simd.load(norms)), norms);
            for (totals, sums) in totals.chunks_exact_mut(wide).zip(sums.chunks_exact(wide)) {
                let (totals, sum) = (&mut totals[half * S::WIDTH..], simd.load(&sums[half * S::WIDTH..]));
                simd.store(simd.fma(sum, shares[half], simd.load(totals)), totals);
            }
        }
    }
}

/// Scores (neighbour, pixel) to weights before they are divided by their sums, in place; returns the reciprocals of the sums.
#[inline(always)]
fn soft_max<S: Simd>(simd: S, scores: &mut [f32]) -> [S::V; 2] {
    let wide = 2 * S::WIDTH;
    let mut shares = [simd.splat(0.0); 2];
    for half in 0..2 {
        let mut best = simd.load(&scores[half * S::WIDTH..]);
        for line in scores.chunks_exact(wide) {
            best = simd.max(best, simd.load(&line[half * S::WIDTH..]));
        }
        let mut sum = simd.splat(0.0);
        for line in scores.chunks_exact_mut(wide) {
            let some = &mut line[half * S::WIDTH..][..S::WIDTH];
            let value = exp(simd, simd.sub(simd.load(some), best));
            sum = simd.add(sum, value);
            simd.store(value, some);
        }
        shares[half] = simd.recip(sum);
    }
    shares
}
