//! 3 × 3 convolutions by Winograd's F(4 × 4, 3 × 3): tiles of 6 × 6 pixels become 36 products of matrices, a quarter of the
//! multiplications of a convolution.

#![expect(clippy::needless_range_loop, reason = "rows and columns of tiles, which index several arrays at once")]

use super::super::simd::{Kernel, Simd};
use super::norm::{Activation, ChannelSums};
use super::product::{panels, product};

/// Side of a tile's output.
pub(super) const TILE: usize = 4;
/// Side of what it is computed from.
const REACH: usize = 6;
/// Tiles whose products are computed at once; both their sides stay in the second-level cache.
const BLOCK: usize = 16;

/// G: 6 × 3, from a kernel's row to its transform.
const KERNEL: [[f64; 3]; REACH] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// A convolution's kernels, transformed: (36) panels of (in, out).
pub(super) fn transformed(kernels: &[f32], channels: usize) -> Vec<f32> {
    let mut all = vec![0f32; REACH * REACH * channels * channels];
    for (index, kernel) in kernels.chunks_exact(9).enumerate() {
        let (out, into) = (index / channels, index % channels);
        for row in 0..REACH {
            for col in 0..REACH {
                let mut sum = 0.0;
                for (y, of_row) in kernel.chunks_exact(3).enumerate() {
                    for (x, value) in of_row.iter().enumerate() {
                        sum += KERNEL[row][y] * f64::from(*value) * KERNEL[col][x];
                    }
                }
                all[((row * REACH + col) * channels + into) * channels + out] = sum as f32;
            }
        }
    }
    all.chunks_exact(channels * channels).flat_map(|matrix| panels(matrix, channels)).collect()
}

/// Temporary arrays of a thread.
pub(super) struct Scratch {
    /// (36, tile, channel)
    inputs: Vec<f32>,
    products: Vec<f32>,
}

impl Scratch {
    pub fn new(channels: usize) -> Self {
        let length = REACH * REACH * BLOCK * channels;
        Self { inputs: vec![0.0; length], products: vec![0.0; length] }
    }
}

/// Position mirrored at the borders, the border itself not repeated; anything beyond that is somewhere inside.
fn mirrored(position: isize, size: usize) -> usize {
    let last = size as isize - 1;
    let inside = if position > last { 2 * last - position } else { position.abs() };
    inside.clamp(0, last) as usize
}

/// A row of tiles of one convolution, after norm and SiLU.
pub(super) struct TileRow<'a> {
    /// (row, column, channel)
    pub input: &'a [f32],
    pub size: [usize; 2],
    /// Number of the row of tiles.
    pub tile_row: usize,
    pub activation: &'a Activation,
    /// (36) panels of (in, out)
    pub kernels: &'a [f32],
    pub bias: &'a [f32],
    pub scratch: &'a mut Scratch,
    /// Up to four rows, (row, column, channel).
    pub out: &'a mut [f32],
    pub sums: &'a mut ChannelSums,
}

impl Kernel for TileRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let tiles = self.size[1].div_ceil(TILE);
        let mut first = 0;
        while first < tiles {
            let count = BLOCK.min(tiles - first);
            self.transform_input(simd, first, count);
            let channels = self.bias.len();
            for position in 0..REACH * REACH {
                let inputs = &self.scratch.inputs[position * BLOCK * channels..][..count * channels];
                let products = &mut self.scratch.products[position * BLOCK * channels..][..count * channels];
                let kernels = &self.kernels[position * channels * channels..][..channels * channels];
                product(simd, inputs, kernels, channels, channels, products);
            }
            for tile in 0..count {
                self.transform_output(simd, first + tile, tile);
            }
            first += count;
        }
    }
}

impl TileRow<'_> {
    /// The tiles of a block, from `first` on. The last two columns of a tile are the first of the next one, and activated once.
    #[inline(always)]
    fn transform_input<S: Simd>(&mut self, simd: S, first: usize, count: usize) {
        let ([height, width], channels) = (self.size, self.bias.len());
        let mut starts = [0usize; REACH];
        for (row, start) in starts.iter_mut().enumerate() {
            *start = mirrored((self.tile_row * TILE + row) as isize - 1, height) * width * channels;
        }
        let mut channel = 0;
        while channel < channels {
            let mut before = [[simd.splat(0.0); REACH]; REACH - TILE];
            for tile in 0..count {
                let mut half = [[simd.splat(0.0); REACH]; REACH];
                for col in 0..REACH {
                    let mut line = [simd.splat(0.0); REACH];
                    if col < REACH - TILE && tile > 0 {
                        line = before[col];
                    } else {
                        let at = mirrored(((first + tile) * TILE + col) as isize - 1, width) * channels + channel;
                        for row in 0..REACH {
                            let value = simd.load(&self.input[starts[row] + at..]);
                            line[row] = self.activation.apply(simd, value, channel);
                        }
                    }
                    if col >= TILE {
                        before[col - TILE] = line;
                    }
                    let line = input_line(simd, line);
                    for row in 0..REACH {
                        half[row][col] = line[row];
                    }
                }
                for (row, line) in half.into_iter().enumerate() {
                    let line = input_line(simd, line);
                    for (col, value) in line.into_iter().enumerate() {
                        let at = ((row * REACH + col) * BLOCK + tile) * channels + channel;
                        simd.store(value, &mut self.scratch.inputs[at..]);
                    }
                }
            }
            channel += S::WIDTH;
        }
    }

    #[inline(always)]
    fn transform_output<S: Simd>(&mut self, simd: S, tile: usize, place: usize) {
        let ([_, width], channels) = (self.size, self.bias.len());
        let rows = (self.out.len() / (width * channels)).min(TILE);
        let cols = (width - tile * TILE).min(TILE);
        let mut channel = 0;
        while channel < channels {
            let mut half = [[simd.splat(0.0); REACH]; TILE];
            for col in 0..REACH {
                let mut line = [simd.splat(0.0); REACH];
                for row in 0..REACH {
                    let at = ((row * REACH + col) * BLOCK + place) * channels + channel;
                    line[row] = simd.load(&self.scratch.products[at..]);
                }
                let line = output_line(simd, line);
                for row in 0..TILE {
                    half[row][col] = line[row];
                }
            }
            let bias = simd.load(&self.bias[channel..]);
            let (mut sum, mut squares) = self.sums.load(simd, channel);
            for row in 0..rows {
                let line = output_line(simd, half[row]);
                for col in 0..cols {
                    let value = simd.add(line[col], bias);
                    simd.store(value, &mut self.out[(row * width + tile * TILE + col) * channels + channel..]);
                    sum = simd.add(sum, value);
                    squares = simd.fma(value, value, squares);
                }
            }
            self.sums.store(simd, channel, sum, squares);
            channel += S::WIDTH;
        }
    }
}

/// Bᵀ x
#[inline(always)]
fn input_line<S: Simd>(simd: S, [x0, x1, x2, x3, x4, x5]: [S::V; REACH]) -> [S::V; REACH] {
    let (four, five) = (simd.splat(4.0), simd.splat(-5.0));
    let a = simd.fma(x2, simd.splat(-4.0), x4);
    let b = simd.fma(x1, simd.splat(-4.0), x3);
    let c = simd.sub(x4, x2);
    let e = simd.mul(simd.sub(x3, x1), simd.splat(2.0));
    [
        simd.fma(x0, four, simd.fma(x2, five, x4)),
        simd.add(a, b),
        simd.sub(a, b),
        simd.add(c, e),
        simd.sub(c, e),
        simd.fma(x1, four, simd.fma(x3, five, x5)),
    ]
}

/// Aᵀ m
#[inline(always)]
fn output_line<S: Simd>(simd: S, [m0, m1, m2, m3, m4, m5]: [S::V; REACH]) -> [S::V; TILE] {
    let (sum, difference) = (simd.add(m1, m2), simd.sub(m1, m2));
    let (second_sum, second_difference) = (simd.add(m3, m4), simd.sub(m3, m4));
    [
        simd.add(m0, simd.add(sum, second_sum)),
        simd.fma(second_difference, simd.splat(2.0), difference),
        simd.fma(second_sum, simd.splat(4.0), sum),
        simd.add(simd.fma(second_difference, simd.splat(8.0), difference), m5),
    ]
}
