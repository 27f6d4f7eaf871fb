//! Makes a panel's weights: scores and soft-max in vectors of float32, the corrections' two layers by tiles.
//!
//! Pixels are the columns of both products, so that sums come out as vectors of pixels, (row, 2, pixel), which is how scores
//! are computed and weights folded.

use half::bf16;

use super::unit::{BLOCK, Line, Operand, Ready, TILE, TileKernel};
use super::{Form, WIDTH};
use crate::kernels::Panel;
use crate::plan::PixelGrid;
use crate::simd::Simd;
use crate::weights::{Doubling, Packed};

/// Numbers of both rows of a panel.
const PANEL: usize = 2 * WIDTH;

/// A layer's matrix on the left side of products, its bias as two columns more: for an input of 1, in two parts since
/// bfloat16 holds eight bits of it.
#[derive(Debug)]
struct Layer {
    /// (tile of 16 rows, tile of 32 columns, row in tile)
    lines: Vec<Line>,
    /// Tiles from left to right.
    tiles: usize,
    /// Rows, in whole blocks.
    rows: usize,
}

impl Layer {
    fn new(matrix: &Packed, rows: usize) -> Self {
        let tiles = (matrix.columns + 2).div_ceil(32);
        let padded = rows.next_multiple_of(2 * TILE);
        let mut lines = vec![Line::default(); padded * tiles];
        for row in 0..rows {
            let bias = matrix.bias[row];
            let rest = bias - bf16::from_f32(bias).to_f32();
            let numbers = (0..matrix.columns).map(|column| matrix.at(row, column)).chain([bias, rest]);
            for (column, number) in numbers.enumerate() {
                let tile = row / TILE * tiles + column / 32;
                lines[tile * TILE + row % TILE].0[column % 32] = bf16::from_f32(number).to_bits();
            }
        }
        Self { lines, tiles, rows: padded }
    }

    /// The rows of a block, 32 of them.
    fn block(&self, index: usize) -> Operand<'_> {
        let second = self.tiles * TILE;
        Operand { lines: &self.lines[2 * index * second..], next: TILE, second }
    }

    /// Lines of one vector of pixels on the right side of products.
    fn depth(&self) -> usize {
        self.tiles * TILE
    }
}

/// What corrects the weights of one step.
#[derive(Debug)]
pub(super) struct Corrections {
    /// Weights, guidance and 1 to hidden weights.
    inner: Layer,
    /// Hidden weights and 1 to corrections.
    outer: Layer,
}

impl Corrections {
    pub fn new(step: &Doubling) -> Self {
        let taps = step.spatial.len();
        Self { inner: Layer::new(&step.fixup_in, taps), outer: Layer::new(&step.fixup_out, taps) }
    }
}

/// What one panel needs while it is computed.
pub(crate) struct Scratch {
    form: Form,
    /// (d² weights, 3 of guidance, 1, 1, zeros; 2, pixel)
    weights: Vec<f32>,
    /// `weights` and then the hidden ones as bfloat16, two rows interleaved: (2, pair of rows, pixel)
    inputs: Vec<Line>,
    hidden: Vec<Line>,
    /// (d, 2, pixel)
    folded: Vec<f32>,
    /// (source row in reach, source column in reach, 2, pixel)
    shares: Vec<f32>,
    /// (source row in reach, pair of source columns, pixel), filled up to whole lines of a pixel
    pairs: Vec<Line>,
}

impl Scratch {
    pub(super) fn new(corrections: &Corrections, grid: &PixelGrid) -> Self {
        let Corrections { inner, outer } = corrections;
        let (form, diameter) = (Form::new(grid), 2 * grid.columns.radius + 1);
        let ones = (diameter * diameter + 3) * PANEL;
        let mut weights = vec![0.0; (2 * inner.depth()).max(inner.rows) * PANEL];
        weights[ones..][..2 * PANEL].fill(1.0);
        Self {
            form,
            weights,
            inputs: vec![Line::default(); 2 * inner.depth()],
            hidden: vec![Line::default(); 2 * outer.depth()],
            folded: vec![0.0; diameter * PANEL],
            shares: vec![0.0; form.rows * form.columns * PANEL],
            pairs: vec![Line::default(); form.lines * 16],
        }
    }
}

/// The weights of one panel's neighbours, folded onto the source cells.
pub(super) struct TileWeights<'a> {
    pub panel: &'a Panel<'a>,
    pub corrections: &'a Corrections,
    pub scratch: &'a mut Scratch,
    /// (2, pixel, line): see [`Form`].
    pub out: &'a mut [Line],
}

impl TileKernel for TileWeights<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self, ready: &Ready) {
        let Self { panel, corrections: Corrections { inner, outer }, scratch, out } = self;
        let Scratch { form, weights, inputs, hidden, folded, shares, pairs } = scratch;
        let (simd, taps) = (ready.lanes, panel.step.spatial.len());
        panel.compare(simd, &mut weights[..taps * PANEL]);
        weights[taps * PANEL..][..3 * PANEL].copy_from_slice(panel.guidance);
        for (index, rows) in weights.chunks_exact(2 * PANEL).take(inner.depth()).enumerate() {
            let mut side = 0;
            while side < 2 {
                let (even, odd) = (simd.load(&rows[side * WIDTH..]), simd.load(&rows[PANEL + side * WIDTH..]));
                ready.interleave(even, odd, &mut inputs[side * inner.depth() + index]);
                side += 1;
            }
        }
        let mut block = [0.0; BLOCK];
        let right = Operand { lines: inputs, next: TILE, second: inner.depth() };
        for index in 0..inner.rows / (2 * TILE) {
            ready.multiply(inner.block(index), right, inner.tiles, &[0.0; 32], &mut block);
            activate(ready, &block, index * TILE, taps, hidden);
        }
        let right = Operand { lines: hidden, next: TILE, second: outer.depth() };
        for (index, block) in weights.as_chunks_mut::<BLOCK>().0.iter_mut().take(outer.rows / (2 * TILE)).enumerate() {
            ready.accumulate(outer.block(index), right, outer.tiles, block);
        }
        panel.fold(simd, weights, folded, shares);
        keep(ready, *form, shares, pairs, out);
    }
}

/// A block of 32 hidden rows through the GELU into the lines from `first` on; ones and zeros after all `taps` rows.
#[inline(always)]
fn activate(ready: &Ready, block: &[f32; BLOCK], first: usize, taps: usize, hidden: &mut [Line]) {
    let (simd, depth) = (ready.lanes, hidden.len() / 2);
    for (index, rows) in block.as_chunks::<{ 2 * PANEL }>().0.iter().enumerate() {
        let line = first + index;
        let mut side = 0;
        while side < 2 {
            let mut pair = [simd.splat(0.0); 2];
            let mut odd = 0;
            while odd < 2 {
                let row = 2 * line + odd;
                if row < taps {
                    pair[odd] = rough_gelu(simd, simd.load(&rows[odd * PANEL + side * WIDTH..]));
                } else if row < taps + 2 {
                    pair[odd] = simd.splat(1.0);
                }
                odd += 1;
            }
            ready.interleave(pair[0], pair[1], &mut hidden[side * depth + line]);
            side += 1;
        }
    }
}

/// The GELU to 2e-4, a tenth of what bfloat16 leaves of it: x / 2 + |x| · e(|x|), where e is half the error function as an odd
/// polynomial (least squares up to 4, a half there and beyond).
#[inline(always)]
fn rough_gelu<S: Simd>(simd: S, x: S::V) -> S::V {
    const END: f32 = 4.0;
    // Of -x², all of them negative: what is computed is -e(|x|) / |x|.
    const SHARES: [f32; 7] =
        [-2.254_231e-8, -1.586_338_6e-6, -4.771_163e-5, -8.116_554e-4, -8.761_015e-3, -6.454_848e-2, -3.978_662_7e-1];
    let negative = simd.sub(simd.splat(0.0), x);
    let square = simd.mul(x, negative);
    let within = simd.max(square, simd.splat(-END * END));
    // -|x| · min(|x|, 4)
    let factor = simd.max(square, simd.mul(simd.max(x, negative), simd.splat(-END)));
    let mut share = simd.splat(SHARES[0]);
    let mut index = 1;
    while index < SHARES.len() {
        share = simd.fma(share, within, simd.splat(SHARES[index]));
        index += 1;
    }
    simd.fma(factor, share, simd.mul(x, simd.splat(0.5)))
}

/// Vectors of pixels to the pixels' own lines.
#[inline(always)]
fn keep(ready: &Ready, form: Form, shares: &[f32], pairs: &mut [Line], out: &mut [Line]) {
    let (simd, of_row) = (ready.lanes, form.columns * PANEL);
    for side in 0..2 {
        // Neighbouring columns side by side, as words.
        for (shares, pairs) in shares.chunks_exact(of_row).zip(pairs.chunks_exact_mut(form.stride / 2)) {
            for (shares, pair) in shares.chunks(2 * PANEL).zip(pairs) {
                let even = simd.load(&shares[side * WIDTH..]);
                let odd = match shares.get(PANEL + side * WIDTH..PANEL + (side + 1) * WIDTH) {
                    Some(odd) => simd.load(odd),
                    None => simd.splat(0.0),
                };
                ready.interleave(even, odd, pair);
            }
        }
        for (line, pairs) in pairs.as_chunks::<16>().0.iter().enumerate() {
            let mut rows = [simd.splat(0.0); 16];
            let mut index = 0;
            while index < 16 {
                rows[index] = ready.load_bits(&pairs[index]);
                index += 1;
            }
            let pixels = ready.transpose(rows);
            let mut pixel = 0;
            while pixel < WIDTH {
                ready.store_bits(pixels[pixel], &mut out[(side * WIDTH + pixel) * form.lines + line]);
                pixel += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Portable, gelu};

    #[test]
    fn the_rough_gelu_is_off_by_less_than_bfloat16() {
        for step in -800..=800 {
            let x = step as f32 / 100.0;
            let [rough, exact] = [rough_gelu(Portable, [x; 8])[0], gelu(Portable, [x; 8])[0]];
            assert!((rough - exact).abs() < 2e-4, "{x}: {rough} for {exact}");
        }
    }
}
