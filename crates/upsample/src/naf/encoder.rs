//! The image's channels: two branches of convolutions of 1 × 1 and 3 × 3, each a convolution and then four of norm, SiLU, convolution.

use rayon::prelude::*;

use super::super::simd::{Kernel, Level, Simd};
use super::norm::{Activation, ChannelSums};
use super::product::{panels, product};
use super::winograd::{Scratch, TILE, TileRow, transformed};

/// Pixels whose products are computed at once.
const BLOCK: usize = 64;

/// The weights of one branch.
#[derive(Debug)]
pub(super) struct Branch {
    /// Side of the kernels: 1 or 3.
    pub side: usize,
    /// Of the first convolution: panels of (channel, row, column of the kernel, out).
    pub first: Vec<f32>,
    pub first_bias: Vec<f32>,
    pub layers: Vec<Layer>,
}

/// Norm, SiLU, convolution.
#[derive(Debug)]
pub(super) struct Layer {
    pub norm_weight: Vec<f32>,
    pub norm_bias: Vec<f32>,
    /// Panels of (in, out), or (36) of them, of transformed kernels of 3 × 3.
    pub kernels: Vec<f32>,
    pub bias: Vec<f32>,
}

impl Layer {
    /// `kernels` (out, in, side, side)
    pub fn new(norm_weight: Vec<f32>, norm_bias: Vec<f32>, kernels: &[f32], bias: Vec<f32>, side: usize) -> Self {
        let channels = bias.len();
        let kernels = match side {
            3 => transformed(kernels, channels),
            _ => panels(&transposed(kernels, channels), channels),
        };
        Self { norm_weight, norm_bias, kernels, bias }
    }
}

/// (row, column) to (column, row), of `rows` rows.
pub(super) fn transposed(matrix: &[f32], rows: usize) -> Vec<f32> {
    let columns = matrix.len() / rows.max(1);
    (0..columns).flat_map(|column| (0..rows).map(move |row| matrix[row * columns + column])).collect()
}

impl Branch {
    /// Encodes an image (3, row, column) to `out` (row, column, channel); `other` has the same length.
    pub fn encode(&self, level: Level, image: &[f32], size: [usize; 2], out: &mut Vec<f32>, other: &mut Vec<f32>) {
        let (channels, pixels) = (self.first_bias.len(), size[0] * size[1]);
        let each = BLOCK * channels;
        let blocks = out.par_chunks_mut(each).enumerate().map(|(block, out)| {
            let mut sums = ChannelSums::new(channels);
            let patches = self.patches(image, size, block * BLOCK, out.len() / channels);
            let (matrix, bias) = (&self.first, &self.first_bias);
            level.run(FirstBlock { patches: &patches, matrix, bias, out, sums: &mut sums });
            sums
        });
        let mut sums: Vec<ChannelSums> = blocks.collect();
        for layer in &self.layers {
            let activation = Activation::new(&layer.norm_weight, &layer.norm_bias, &sums, pixels);
            if self.side == 3 {
                let rows = other.par_chunks_mut(TILE * size[1] * channels).enumerate();
                let input: &[f32] = out;
                let row = |scratch: &mut Scratch, (tile_row, out): (usize, &mut [f32])| {
                    let mut sums = ChannelSums::new(channels);
                    let (kernels, bias) = (&layer.kernels[..], &layer.bias[..]);
                    let activation = &activation;
                    let sums_of = &mut sums;
                    level.run(TileRow {
                        input,
                        size,
                        tile_row,
                        activation,
                        kernels,
                        bias,
                        scratch,
                        out,
                        sums: sums_of,
                    });
                    sums
                };
                sums = rows.map_init(|| Scratch::new(channels), row).collect();
                std::mem::swap(out, other);
            } else {
                let blocks = out.par_chunks_mut(each).map_init(
                    || vec![0f32; each],
                    |scratch, out| {
                        let mut sums = ChannelSums::new(channels);
                        let (kernels, bias) = (&layer.kernels[..], &layer.bias[..]);
                        let activation = &activation;
                        level.run(PixelBlock { activation, kernels, bias, scratch, out, sums: &mut sums });
                        sums
                    },
                );
                sums = blocks.collect();
            }
        }
    }

    /// The pixels around each of some pixels, (pixel, channel · row · column of the kernel), mirrored at the image's borders.
    fn patches(&self, image: &[f32], [height, width]: [usize; 2], first: usize, count: usize) -> Vec<f32> {
        let (side, border) = (self.side, self.side / 2);
        let mirrored = |position: usize, offset: usize, size: usize| {
            let position = (position + offset) as isize - border as isize;
            let last = size as isize - 1;
            let inside = if position > last { 2 * last - position } else { position.abs() };
            inside.clamp(0, last) as usize
        };
        let mut all = Vec::with_capacity(count * 3 * side * side);
        for pixel in first..first + count {
            let (row, col) = (pixel / width, pixel % width);
            for plane in image.chunks_exact(height * width) {
                for y in 0..side {
                    let line = &plane[mirrored(row, y, height) * width..][..width];
                    all.extend((0..side).map(|x| line[mirrored(col, x, width)]));
                }
            }
        }
        all
    }
}

/// Some pixels of the first convolution.
struct FirstBlock<'a> {
    /// (pixel, depth)
    patches: &'a [f32],
    matrix: &'a [f32],
    bias: &'a [f32],
    out: &'a mut [f32],
    sums: &'a mut ChannelSums,
}

impl Kernel for FirstBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let channels = self.bias.len();
        product(simd, self.patches, self.matrix, self.matrix.len() / channels, channels, self.out);
        add_bias(simd, self.bias, self.out, self.sums);
    }
}

/// Some pixels of a convolution of 1 × 1, in place.
struct PixelBlock<'a> {
    activation: &'a Activation,
    kernels: &'a [f32],
    bias: &'a [f32],
    scratch: &'a mut [f32],
    out: &'a mut [f32],
    sums: &'a mut ChannelSums,
}

impl Kernel for PixelBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let channels = self.bias.len();
        let scratch = &mut self.scratch[..self.out.len()];
        for (pixel, active) in self.out.chunks_exact(channels).zip(scratch.chunks_exact_mut(channels)) {
            let mut channel = 0;
            while channel < channels {
                let value = self.activation.apply(simd, simd.load(&pixel[channel..]), channel);
                simd.store(value, &mut active[channel..]);
                channel += S::WIDTH;
            }
        }
        product(simd, scratch, self.kernels, channels, channels, self.out);
        add_bias(simd, self.bias, self.out, self.sums);
    }
}

/// Adds the bias to pixels (pixel, channel), and the results to the sums.
#[inline(always)]
fn add_bias<S: Simd>(simd: S, bias: &[f32], out: &mut [f32], sums: &mut ChannelSums) {
    let channels = bias.len();
    let mut channel = 0;
    while channel < channels {
        let constant = simd.load(&bias[channel..]);
        let (mut sum, mut squares) = sums.load(simd, channel);
        for pixel in out.chunks_exact_mut(channels) {
            let value = simd.add(simd.load(&pixel[channel..]), constant);
            simd.store(value, &mut pixel[channel..]);
            sum = simd.add(sum, value);
            squares = simd.fma(value, value, squares);
        }
        sums.store(simd, channel, sum, squares);
        channel += S::WIDTH;
    }
}
