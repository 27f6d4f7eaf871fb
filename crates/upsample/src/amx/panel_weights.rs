//! Computes a panel's weights: scores and soft-max in vectors of float32, the two layers of the corrections in tiles.
//!
//! Pixels are the columns of both products, so that sums are vectors of pixels, (row, 2, pixel), as the scores and the folding need
//! them.

use half::bf16;

use super::tile::{BLOCK, Line, Operand, TILE, TileContext, TileKernel};
use super::{WIDTH, WeightLayout};
use crate::kernels::PanelInput;
use crate::parameters::{DoublingParameters, Packed};
use crate::pixel_grid::PixelGrid;
use crate::simd::Simd;

/// Pixels of a panel.
const PANEL: usize = 2 * WIDTH;

/// A linear layer's matrix as the left operand of products. Its bias is two more columns, for inputs of 1: in two parts, since
/// bfloat16 has eight significant bits.
#[derive(Debug)]
struct TiledLayer {
    /// (tile of 16 rows, tile of 32 columns, row in tile)
    lines: Vec<Line>,
    /// Tiles in a row of tiles.
    tiles: usize,
    /// Rows, padded to whole blocks.
    rows: usize,
}

impl TiledLayer {
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

    /// Returns 32 rows, the block `index`.
    fn block(&self, index: usize) -> Operand<'_> {
        let second = self.tiles * TILE;
        Operand { lines: &self.lines[2 * index * second..], next: TILE, second }
    }

    /// Returns the lines of the right operand for one vector of pixels.
    fn depth(&self) -> usize {
        self.tiles * TILE
    }
}

/// The two layers that correct the weights of one doubling.
#[derive(Debug)]
pub(super) struct CorrectionLayers {
    /// From weights, guidance and 1 to the hidden layer.
    inner: TiledLayer,
    /// From the hidden layer and 1 to corrections.
    outer: TiledLayer,
}

impl CorrectionLayers {
    pub fn new(doubling: &DoublingParameters) -> Self {
        let taps = doubling.spatial.len();
        Self { inner: TiledLayer::new(&doubling.fixup_in, taps), outer: TiledLayer::new(&doubling.fixup_out, taps) }
    }
}

/// Temporary arrays for one panel.
pub(crate) struct Scratch {
    layout: WeightLayout,
    /// (d² weights, 3 of guidance, 1, 1, zeros; 2, pixel)
    weights: Vec<f32>,
    /// `weights`, and below the hidden layer, as bfloat16 with two rows interleaved: (2, pair of rows, pixel)
    inputs: Vec<Line>,
    hidden: Vec<Line>,
    /// (d, 2, pixel)
    folded: Vec<f32>,
    /// (source row in the support, source column in the support, 2, pixel)
    on_cells: Vec<f32>,
    /// (source row in the support, pair of source columns, pixel), filled up to whole lines of a pixel
    pairs: Vec<Line>,
}

impl Scratch {
    pub(super) fn new(corrections: &CorrectionLayers, grid: &PixelGrid) -> Self {
        let CorrectionLayers { inner, outer } = corrections;
        let (layout, diameter) = (WeightLayout::new(grid), 2 * grid.columns.radius + 1);
        let ones = (diameter * diameter + 3) * PANEL;
        let mut weights = vec![0.0; (2 * inner.depth()).max(inner.rows) * PANEL];
        weights[ones..][..2 * PANEL].fill(1.0);
        Self {
            layout,
            weights,
            inputs: vec![Line::default(); 2 * inner.depth()],
            hidden: vec![Line::default(); 2 * outer.depth()],
            folded: vec![0.0; diameter * PANEL],
            on_cells: vec![0.0; layout.rows * layout.columns * PANEL],
            pairs: vec![Line::default(); layout.lines * 16],
        }
    }
}

/// Computes the weights of one panel's neighbours, folded onto source cells.
pub(super) struct TileWeights<'a> {
    pub panel: &'a PanelInput<'a>,
    pub corrections: &'a CorrectionLayers,
    pub scratch: &'a mut Scratch,
    /// (2, pixel, line): see [`WeightLayout`].
    pub out: &'a mut [Line],
}

impl TileKernel for TileWeights<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self, context: &TileContext) {
        let Self { panel, corrections: CorrectionLayers { inner, outer }, scratch, out } = self;
        let Scratch { layout, weights, inputs, hidden, folded, on_cells, pairs } = scratch;
        let (simd, taps) = (context.simd, panel.doubling.spatial.len());
        panel.bilateral_weights(simd, &mut weights[..taps * PANEL]);
        weights[taps * PANEL..][..3 * PANEL].copy_from_slice(panel.guidance);
        for (index, rows) in weights.chunks_exact(2 * PANEL).take(inner.depth()).enumerate() {
            let mut side = 0;
            while side < 2 {
                let (even, odd) = (simd.load(&rows[side * WIDTH..]), simd.load(&rows[PANEL + side * WIDTH..]));
                context.interleave(even, odd, &mut inputs[side * inner.depth() + index]);
                side += 1;
            }
        }
        let mut block = [0.0; BLOCK];
        let right = Operand { lines: inputs, next: TILE, second: inner.depth() };
        for index in 0..inner.rows / (2 * TILE) {
            context.multiply(inner.block(index), right, inner.tiles, &[0.0; 32], &mut block);
            activate(context, &block, index * TILE, taps, hidden);
        }
        let right = Operand { lines: hidden, next: TILE, second: outer.depth() };
        for (index, block) in weights.as_chunks_mut::<BLOCK>().0.iter_mut().take(outer.rows / (2 * TILE)).enumerate() {
            context.accumulate(outer.block(index), right, outer.tiles, block);
        }
        panel.fold(simd, weights, folded, on_cells);
        store_weights(context, *layout, on_cells, pairs, out);
    }
}

/// Stores the GELU of a block of 32 hidden rows in the lines from `first` on; after all `taps` rows follow two of ones, then zeros.
#[inline(always)]
fn activate(context: &TileContext, block: &[f32; BLOCK], first: usize, taps: usize, hidden: &mut [Line]) {
    let (simd, depth) = (context.simd, hidden.len() / 2);
    for (index, rows) in block.as_chunks::<{ 2 * PANEL }>().0.iter().enumerate() {
        let line = first + index;
        let mut side = 0;
        while side < 2 {
            let mut pair = [simd.splat(0.0); 2];
            let mut odd = 0;
            while odd < 2 {
                let row = 2 * line + odd;
                if row < taps {
                    pair[odd] = approximate_gelu(simd, simd.load(&rows[odd * PANEL + side * WIDTH..]));
                } else if row < taps + 2 {
                    pair[odd] = simd.splat(1.0);
                }
                odd += 1;
            }
            context.interleave(pair[0], pair[1], &mut hidden[side * depth + line]);
            side += 1;
        }
    }
}

/// Returns the GELU to 2e-4, a tenth of the rounding error of bfloat16: x / 2 + |x| · e(|x|), where e is half the error function as
/// an odd polynomial (least squares up to 4; constant beyond).
#[inline(always)]
fn approximate_gelu<S: Simd>(simd: S, x: S::V) -> S::V {
    const END: f32 = 4.0;
    // Of -x², all negative: the polynomial is -e(|x|) / |x|.
    const COEFFICIENTS: [f32; 7] =
        [-2.254_231e-8, -1.586_338_6e-6, -4.771_163e-5, -8.116_554e-4, -8.761_015e-3, -6.454_848e-2, -3.978_662_7e-1];
    let negative = simd.sub(simd.splat(0.0), x);
    let square = simd.mul(x, negative);
    let within = simd.max(square, simd.splat(-END * END));
    // -|x| · min(|x|, 4)
    let factor = simd.max(square, simd.mul(simd.max(x, negative), simd.splat(-END)));
    let mut polynomial = simd.splat(COEFFICIENTS[0]);
    let mut index = 1;
    while index < COEFFICIENTS.len() {
        polynomial = simd.fma(polynomial, within, simd.splat(COEFFICIENTS[index]));
        index += 1;
    }
    simd.fma(factor, polynomial, simd.mul(x, simd.splat(0.5)))
}

/// Stores folded weights, vectors of pixels, as lines of one pixel each.
#[inline(always)]
fn store_weights(context: &TileContext, layout: WeightLayout, on_cells: &[f32], pairs: &mut [Line], out: &mut [Line]) {
    let (simd, of_row) = (context.simd, layout.columns * PANEL);
    for side in 0..2 {
        // Neighbouring columns interleaved, as words of 32 bits.
        for (on_cells, pairs) in on_cells.chunks_exact(of_row).zip(pairs.chunks_exact_mut(layout.stride / 2)) {
            for (on_cells, pair) in on_cells.chunks(2 * PANEL).zip(pairs) {
                let even = simd.load(&on_cells[side * WIDTH..]);
                let odd = match on_cells.get(PANEL + side * WIDTH..PANEL + (side + 1) * WIDTH) {
                    Some(odd) => simd.load(odd),
                    None => simd.splat(0.0),
                };
                context.interleave(even, odd, pair);
            }
        }
        for (line, pairs) in pairs.as_chunks::<16>().0.iter().enumerate() {
            let mut rows = [simd.splat(0.0); 16];
            let mut index = 0;
            while index < 16 {
                rows[index] = context.load_bits(&pairs[index]);
                index += 1;
            }
            let pixels = context.transpose(rows);
            let mut pixel = 0;
            while pixel < WIDTH {
                context.store_bits(pixels[pixel], &mut out[(side * WIDTH + pixel) * layout.lines + line]);
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
    fn approximate_gelu_is_closer_than_bfloat16_rounds() {
        for doubling in -800..=800 {
            let x = doubling as f32 / 100.0;
            let [approximate, exact] = [approximate_gelu(Portable, [x; 8])[0], gelu(Portable, [x; 8])[0]];
            assert!((approximate - exact).abs() < 2e-4, "{x}: {approximate} for {exact}");
        }
    }
}
