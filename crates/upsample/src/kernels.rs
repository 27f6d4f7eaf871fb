//! The float32 kernels: the weights of a panel's neighbours (scores, soft-max, corrections, folding onto source cells), and weighted
//! sums of source cells.
//!
//! A *panel* is the block of pixels that one kernel call computes: two rows of as many pixels as a SIMD vector has numbers. Arrays of
//! a panel are (…, 2, pixel), so that every operation acts on a vector of pixels.

use super::parameters::{DoublingParameters, MAX_DIAMETER, Packed, ROWS};
use super::simd::{Kernel, Simd, exp, gelu};

/// Smallest sum that weights are divided by.
const WEIGHT_SUM_FLOOR: f32 = 1e-7;

/// Computes the linear layer `out = act(matrix · input + bias)`, where act is the GELU if `GELU` and else the identity; adds it to
/// `out` if `RESIDUAL`. `input`: (column, 2, pixel); `out`: (row, 2, pixel).
#[inline(always)]
fn linear<S: Simd, const GELU: bool, const RESIDUAL: bool>(simd: S, matrix: &Packed, input: &[f32], out: &mut [f32]) {
    let blocks = matrix.numbers.chunks_exact(matrix.columns * matrix.block);
    for ((block, bias), out) in blocks.zip(matrix.bias.as_chunks::<ROWS>().0).zip(out.chunks_mut(ROWS * 2 * S::WIDTH)) {
        if S::TWO_ROWS {
            linear_block::<S, ROWS, GELU, RESIDUAL>(simd, block, 0, bias, input, out);
        } else {
            // Fewer registers: half the rows at a time.
            linear_block::<S, 6, GELU, RESIDUAL>(simd, block, 0, bias, input, out);
            linear_block::<S, { ROWS - 6 }, GELU, RESIDUAL>(simd, block, 6, bias, input, out);
        }
    }
}

/// Computes `COUNT` rows from `first` on of one block of rows.
#[inline(always)]
fn linear_block<S: Simd, const COUNT: usize, const GELU: bool, const RESIDUAL: bool>(
    simd: S,
    block: &[f32],
    first: usize,
    bias: &[f32; ROWS],
    input: &[f32],
    out: &mut [f32],
) {
    let mut sums = [[simd.splat(0.0); 2]; COUNT];
    let mut row = 0;
    while row < COUNT {
        sums[row] = [simd.splat(bias[first + row]); 2];
        row += 1;
    }
    // As arrays: the sums stay in registers only where every index is a constant.
    for (of_column, input) in block.as_chunks::<ROWS>().0.iter().zip(input.chunks_exact(2 * S::WIDTH)) {
        let (left, right) = (simd.load(input), simd.load(&input[S::WIDTH..]));
        let mut row = 0;
        while row < COUNT {
            let number = simd.splat(of_column[first + row]);
            sums[row][0] = simd.fma(number, left, sums[row][0]);
            sums[row][1] = simd.fma(number, right, sums[row][1]);
            row += 1;
        }
    }
    for (sums, out) in sums.iter().zip(out.chunks_exact_mut(2 * S::WIDTH).skip(first)) {
        for (&sum, out) in sums.iter().zip(out.chunks_exact_mut(S::WIDTH)) {
            let sum = if GELU { gelu(simd, sum) } else { sum };
            let sum = if RESIDUAL { simd.add(sum, simd.load(out)) } else { sum };
            simd.store(sum, out);
        }
    }
}

/// Computes the keys of two vectors of pixels from their guidance.
pub(super) struct ProjectGuidance<'a> {
    pub doubling: &'a DoublingParameters,
    /// (3, 2, pixel)
    pub guidance: &'a [f32],
    /// The hidden layer, (key, 2, pixel).
    pub hidden: &'a mut [f32],
    /// (key, 2, pixel)
    pub keys: &'a mut [f32],
}

impl Kernel for ProjectGuidance<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        linear::<S, true, false>(simd, &self.doubling.range_in, self.guidance, self.hidden);
        linear::<S, false, false>(simd, &self.doubling.range_out, self.hidden, self.keys);
    }
}

/// What the weights of one panel are computed from.
pub(super) struct PanelInput<'a> {
    pub doubling: &'a DoublingParameters,
    /// The d + 1 rows of keys that the panel's pixels have as neighbours, from top to bottom, each (key, column).
    pub rows: &'a [&'a [f32]],
    /// Columns of a row of keys.
    pub columns: usize,
    /// The column of the panel's first pixel in a row of keys.
    pub first: usize,
    /// (3, 2, pixel)
    pub guidance: &'a [f32],
    /// Coefficients of source rows for both rows of pixels, (neighbour, source row in the support).
    pub row_coefficients: [&'a [f32]; 2],
    /// Source rows in the support.
    pub row_support: usize,
    /// Coefficients of source columns.
    pub column_coefficients: &'a ColumnCoefficients,
}

impl PanelInput<'_> {
    /// Computes the joint bilateral weights without the learned correction, (d², 2, pixel).
    #[inline(always)]
    pub fn bilateral_weights<S: Simd>(&self, simd: S, weights: &mut [f32]) {
        let Self { doubling, rows, columns, first, .. } = *self;
        let keys = Keys { rows, columns, first, radius: doubling.radius, temperature: doubling.temperature };
        match 2 * doubling.radius + 1 {
            11 => scores::<S, 11>(simd, &keys, weights),
            7 => scores::<S, 7>(simd, &keys, weights),
            _ => scores::<S, 1>(simd, &keys, weights),
        }
        soft_max(simd, &doubling.spatial, weights);
    }

    /// Folds the neighbours' weights onto source cells: `out` is (source row in the support, source column in the support, 2, pixel),
    /// `folded` a temporary array, (d, 2, pixel).
    #[inline(always)]
    pub fn fold<S: Simd>(&self, simd: S, weights: &[f32], folded: &mut [f32], out: &mut [f32]) {
        let diameter = 2 * self.doubling.radius + 1;
        for (source_row, out) in out.chunks_exact_mut(self.column_coefficients.counts.len() * 2 * S::WIDTH).enumerate()
        {
            fold_rows(simd, self.row_coefficients, self.row_support, source_row, diameter, weights, folded);
            fold_columns(simd, self.column_coefficients, folded, out);
        }
    }
}

/// Computes the weights of one panel's neighbours, folded onto source cells.
pub(super) struct PanelWeights<'a> {
    pub panel: &'a PanelInput<'a>,
    pub scratch: &'a mut Scratch,
    /// (source row in the support, source column in the support, 2, pixel)
    pub out: &'a mut [f32],
}

/// Temporary arrays for one panel.
#[derive(Debug)]
pub(super) struct Scratch {
    /// (d² + 3, 2, pixel)
    weights: Vec<f32>,
    /// (d², 2, pixel)
    hidden: Vec<f32>,
    /// (d, 2, pixel)
    folded: Vec<f32>,
}

impl Scratch {
    pub fn new(radius: usize, width: usize) -> Self {
        let diameter = 2 * radius + 1;
        let taps = diameter * diameter;
        Self {
            weights: vec![0.0; (taps + 3) * 2 * width],
            hidden: vec![0.0; taps * 2 * width],
            folded: vec![0.0; diameter * 2 * width],
        }
    }
}

/// The coefficients of source columns for the pixels of a panel, without those that are zero for all pixels.
#[derive(Debug, Default)]
pub(super) struct ColumnCoefficients {
    /// Number of entries for each source column in the support.
    pub counts: Vec<usize>,
    /// The neighbour of each entry.
    pub neighbours: Vec<usize>,
    /// (entry, pixel)
    pub coefficients: Vec<f32>,
}

impl Kernel for PanelWeights<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { panel, scratch, out } = self;
        let Scratch { weights, hidden, folded } = scratch;
        let taps = panel.doubling.spatial.len() * 2 * S::WIDTH;
        panel.bilateral_weights(simd, &mut weights[..taps]);
        weights[taps..].copy_from_slice(panel.guidance);
        linear::<S, true, false>(simd, &panel.doubling.fixup_in, weights, hidden);
        linear::<S, false, true>(simd, &panel.doubling.fixup_out, hidden, &mut weights[..taps]);
        panel.fold(simd, weights, folded, out);
    }
}

/// The keys of a panel and its neighbours.
struct Keys<'a> {
    rows: &'a [&'a [f32]],
    columns: usize,
    first: usize,
    radius: usize,
    temperature: f32,
}

/// Computes the scalar products of both rows' keys with those of their neighbours, times the temperature, (d², 2, pixel); `BLOCK`
/// neighbours of a row at once.
#[inline(always)]
fn scores<S: Simd, const BLOCK: usize>(simd: S, keys: &Keys<'_>, out: &mut [f32]) {
    let diameter = 2 * keys.radius + 1;
    let mut block = 0;
    while block < diameter {
        if S::TWO_ROWS {
            // A row of keys serves the upper pixels as one row of neighbours, and the lower pixels as the row above it.
            scores_of_row::<S, BLOCK, true, false>(simd, keys, 0, block, out);
            for row in 1..diameter {
                scores_of_row::<S, BLOCK, true, true>(simd, keys, row, block, out);
            }
            scores_of_row::<S, BLOCK, false, true>(simd, keys, diameter, block, out);
        } else {
            for row in 0..diameter {
                scores_of_row::<S, BLOCK, true, false>(simd, keys, row, block, out);
                scores_of_row::<S, BLOCK, false, true>(simd, keys, row + 1, block, out);
            }
        }
        block += BLOCK;
    }
}

#[inline(always)]
fn scores_of_row<S: Simd, const BLOCK: usize, const UPPER: bool, const LOWER: bool>(
    simd: S,
    keys: &Keys<'_>,
    row: usize,
    block: usize,
    out: &mut [f32],
) {
    let columns = keys.columns;
    let own = [keys.rows[keys.radius], keys.rows[keys.radius + 1]];
    let own = own[0].chunks_exact(columns).zip(own[1].chunks_exact(columns));
    let mut upper = [simd.splat(0.0); BLOCK];
    let mut lower = [simd.splat(0.0); BLOCK];
    let start = keys.first + block - keys.radius;
    for (of_key, own) in keys.rows[row].chunks_exact(columns).zip(own) {
        let neighbours = &of_key[start..][..BLOCK - 1 + S::WIDTH];
        let (own_upper, own_lower) = (simd.load(&own.0[keys.first..]), simd.load(&own.1[keys.first..]));
        let mut neighbour = 0;
        while neighbour < BLOCK {
            let key = simd.load(&neighbours[neighbour..]);
            if UPPER {
                upper[neighbour] = simd.fma(key, own_upper, upper[neighbour]);
            }
            if LOWER {
                lower[neighbour] = simd.fma(key, own_lower, lower[neighbour]);
            }
            neighbour += 1;
        }
    }
    let diameter = 2 * keys.radius + 1;
    let temperature = simd.splat(keys.temperature);
    let mut neighbour = 0;
    while neighbour < BLOCK {
        if UPPER {
            let at = (row * diameter + block + neighbour) * 2 * S::WIDTH;
            simd.store(simd.mul(upper[neighbour], temperature), &mut out[at..]);
        }
        if LOWER {
            let at = ((row - 1) * diameter + block + neighbour) * 2 * S::WIDTH + S::WIDTH;
            simd.store(simd.mul(lower[neighbour], temperature), &mut out[at..]);
        }
        neighbour += 1;
    }
}

/// Turns scores into weights, in place: soft-max times the spatial kernel, normalised to a sum of 1.
#[inline(always)]
fn soft_max<S: Simd>(simd: S, spatial: &[f32], weights: &mut [f32]) {
    let mut side = 0;
    while side < 2 {
        let at = side * S::WIDTH;
        let mut maximum = simd.load(&weights[at..]);
        for of_tap in weights.chunks_exact(2 * S::WIDTH) {
            maximum = simd.max(maximum, simd.load(&of_tap[at..]));
        }
        let (mut plain_sum, mut sum) = (simd.splat(0.0), simd.splat(0.0));
        for (of_tap, &spatial) in weights.chunks_exact_mut(2 * S::WIDTH).zip(spatial) {
            let weight = exp(simd, simd.sub(simd.load(&of_tap[at..]), maximum));
            plain_sum = simd.add(plain_sum, weight);
            let weight = simd.mul(weight, simd.splat(spatial));
            sum = simd.add(sum, weight);
            simd.store(weight, &mut of_tap[at..]);
        }
        // The floor is relative to a soft-max that sums to 1.
        let scale = simd.recip(simd.max(sum, simd.mul(plain_sum, simd.splat(WEIGHT_SUM_FLOOR))));
        for of_tap in weights.chunks_exact_mut(2 * S::WIDTH) {
            let weight = simd.mul(simd.load(&of_tap[at..]), scale);
            simd.store(weight, &mut of_tap[at..]);
        }
        side += 1;
    }
}

/// Folds the weights of all neighbours onto one source row: (neighbour column, 2, pixel).
#[inline(always)]
fn fold_rows<S: Simd>(
    simd: S,
    row_coefficients: [&[f32]; 2],
    support: usize,
    source_row: usize,
    diameter: usize,
    weights: &[f32],
    folded: &mut [f32],
) {
    let mut side = 0;
    while side < 2 {
        // The few rows of neighbours with a coefficient for the source row.
        let (mut entries, mut count) = ([(0, 0.0); MAX_DIAMETER], 0);
        for (row, coefficients) in row_coefficients[side].chunks_exact(support).enumerate() {
            if coefficients[source_row] != 0.0 {
                entries[count] = (row * diameter * 2 * S::WIDTH, coefficients[source_row]);
                count += 1;
            }
        }
        for (column, out) in folded.chunks_exact_mut(2 * S::WIDTH).enumerate() {
            let at = (column * 2 + side) * S::WIDTH;
            let mut sum = simd.splat(0.0);
            for &(start, coefficient) in &entries[..count] {
                sum = simd.fma(simd.splat(coefficient), simd.load(&weights[start + at..]), sum);
            }
            simd.store(sum, &mut out[side * S::WIDTH..]);
        }
        side += 1;
    }
}

/// Folds the weights of one source row onto source columns: (source column in the support, 2, pixel).
#[inline(always)]
fn fold_columns<S: Simd>(simd: S, column_coefficients: &ColumnCoefficients, folded: &[f32], out: &mut [f32]) {
    let mut entry = 0;
    for (&count, out) in column_coefficients.counts.iter().zip(out.chunks_exact_mut(2 * S::WIDTH)) {
        let (mut upper, mut lower) = (simd.splat(0.0), simd.splat(0.0));
        let entries = column_coefficients.neighbours[entry..entry + count].iter();
        for (&neighbour, coefficients) in
            entries.zip(column_coefficients.coefficients[entry * S::WIDTH..].chunks_exact(S::WIDTH))
        {
            let (coefficients, folded) = (simd.load(coefficients), &folded[neighbour * 2 * S::WIDTH..][..2 * S::WIDTH]);
            upper = simd.fma(coefficients, simd.load(folded), upper);
            lower = simd.fma(coefficients, simd.load(&folded[S::WIDTH..]), lower);
        }
        entry += count;
        simd.store(upper, out);
        simd.store(lower, &mut out[S::WIDTH..]);
    }
}

/// Computes the weighted sums of source cells for the pixels of one panel.
pub(super) struct WeightedSums<'a> {
    /// (source row, source column, channel)
    pub source: &'a [f32],
    /// Cells in a source row.
    pub columns: usize,
    /// Channels of a cell, a multiple of the SIMD width.
    pub channels: usize,
    /// First source row in the support.
    pub first_row: usize,
    /// Source rows and columns in the support.
    pub support: [usize; 2],
    pub quads: &'a [Quad<'a>],
    /// Added to every pixel, (channel), or empty.
    pub offset: &'a [f32],
    /// (pixel, channel) of the upper and of the lower row.
    pub out: [&'a mut [f32]; 2],
}

/// The 2 × 2 pixels that one source cell is doubled to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quad<'a> {
    /// First source column in the support.
    pub first_column: usize,
    /// (source row in the support, source column in the support, 2, pixel), starting at the left pixel.
    pub weights: &'a [f32],
}

impl Kernel for WeightedSums<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let vectors = self.channels / S::WIDTH;
        let groups = vectors.div_ceil(S::CHANNEL_VECTORS);
        let mut first = 0;
        for group in 0..groups {
            let next = vectors * (group + 1) / groups;
            let start = first * S::WIDTH;
            match next - first {
                1 => weighted_sums::<S, 1>(simd, &mut self, start),
                2 => weighted_sums::<S, 2>(simd, &mut self, start),
                3 => weighted_sums::<S, 3>(simd, &mut self, start),
                4 => weighted_sums::<S, 4>(simd, &mut self, start),
                5 => weighted_sums::<S, 5>(simd, &mut self, start),
                _ => weighted_sums::<S, 6>(simd, &mut self, start),
            }
            first = next;
        }
    }
}

/// Sums `COUNT` vectors of channels from `start` on; the sums of four pixels stay in registers over all source cells.
#[inline(always)]
fn weighted_sums<S: Simd, const COUNT: usize>(simd: S, panel: &mut WeightedSums<'_>, start: usize) {
    let [rows, columns] = panel.support;
    for (index, quad) in panel.quads.iter().enumerate() {
        let mut sums = [[simd.splat(0.0); COUNT]; 4];
        let mut taps = quad.weights.chunks(2 * S::WIDTH);
        for row in 0..rows {
            let at = ((panel.first_row + row) * panel.columns + quad.first_column) * panel.channels;
            let cells = panel.source[at..][..columns * panel.channels].chunks_exact(panel.channels);
            for (cell, weights) in cells.zip(&mut taps) {
                let (cell, weights) = (&cell[start..][..COUNT * S::WIDTH], &weights[..S::WIDTH + 2]);
                let weights = [
                    simd.splat(weights[0]),
                    simd.splat(weights[1]),
                    simd.splat(weights[S::WIDTH]),
                    simd.splat(weights[S::WIDTH + 1]),
                ];
                let mut vector = 0;
                while vector < COUNT {
                    let value = simd.load(&cell[vector * S::WIDTH..]);
                    sums[0][vector] = simd.fma(weights[0], value, sums[0][vector]);
                    sums[1][vector] = simd.fma(weights[1], value, sums[1][vector]);
                    sums[2][vector] = simd.fma(weights[2], value, sums[2][vector]);
                    sums[3][vector] = simd.fma(weights[3], value, sums[3][vector]);
                    vector += 1;
                }
            }
        }
        let mut pixel = 0;
        while pixel < 4 {
            let at = (2 * index + pixel % 2) * panel.channels + start;
            let out = &mut panel.out[pixel / 2][at..][..COUNT * S::WIDTH];
            let mut vector = 0;
            while vector < COUNT {
                let mut sum = sums[pixel][vector];
                if !panel.offset.is_empty() {
                    sum = simd.add(sum, simd.load(&panel.offset[start + vector * S::WIDTH..]));
                }
                simd.store(sum, &mut out[vector * S::WIDTH..]);
                vector += 1;
            }
            pixel += 1;
        }
    }
}

/// Computes the squared norm of each pixel's feature.
pub(super) struct SquaredNorms<'a> {
    /// (pixel, channel)
    pub pixels: &'a [f32],
    pub channels: usize,
    /// 1 for the channels of the norm, 0 for the others.
    pub mask: &'a [f32],
    pub out: &'a mut [f32],
}

impl Kernel for SquaredNorms<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (pixel, out) in self.pixels.chunks_exact(self.channels).zip(self.out) {
            let mut sum = simd.splat(0.0);
            for (values, mask) in pixel.chunks_exact(S::WIDTH).zip(self.mask.chunks_exact(S::WIDTH)) {
                let values = simd.load(values);
                sum = simd.fma(simd.mul(values, simd.load(mask)), values, sum);
            }
            *out = simd.sum(sum);
        }
    }
}
