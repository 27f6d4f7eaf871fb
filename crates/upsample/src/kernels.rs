//! The kernels that make a panel of pixels' weights: scores of neighbours, soft-max, corrections, folding onto the source.
//!
//! A *panel* is two rows of as many pixels as a vector has numbers. Arrays of a panel are (something, 2, pixel): whatever is
//! done for one pixel is done for all of a vector at once.

use super::simd::{Kernel, Simd, exp, gelu};
use super::weights::{Doubling, MAX_DIAMETER, Packed, ROWS};

/// Floor of the weights' sum before they are divided by it.
const WEIGHT_SUM_FLOOR: f32 = 1e-7;

/// `out = act(matrix · input + bias)`, added to what `out` holds where `RESIDUAL`.
///
/// `input` (column, 2, pixel), `out` (row, 2, pixel).
#[inline(always)]
fn product<S: Simd, const GELU: bool, const RESIDUAL: bool>(simd: S, matrix: &Packed, input: &[f32], out: &mut [f32]) {
    let blocks = matrix.numbers.chunks_exact(matrix.columns * matrix.block);
    for ((block, bias), out) in blocks.zip(matrix.bias.as_chunks::<ROWS>().0).zip(out.chunks_mut(ROWS * 2 * S::WIDTH)) {
        if S::TWO_ROWS {
            product_block::<S, ROWS, GELU, RESIDUAL>(simd, block, 0, bias, input, out);
        } else {
            // Fewer registers: half the rows at a time.
            product_block::<S, 6, GELU, RESIDUAL>(simd, block, 0, bias, input, out);
            product_block::<S, { ROWS - 6 }, GELU, RESIDUAL>(simd, block, 6, bias, input, out);
        }
    }
}

/// The rows from `first` of one block.
#[inline(always)]
fn product_block<S: Simd, const COUNT: usize, const GELU: bool, const RESIDUAL: bool>(
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
    // As arrays: the sums stay in registers only where every index is known.
    for (shares, input) in block.as_chunks::<ROWS>().0.iter().zip(input.chunks_exact(2 * S::WIDTH)) {
        let (left, right) = (simd.load(input), simd.load(&input[S::WIDTH..]));
        let mut row = 0;
        while row < COUNT {
            let share = simd.splat(shares[first + row]);
            sums[row][0] = simd.fma(share, left, sums[row][0]);
            sums[row][1] = simd.fma(share, right, sums[row][1]);
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

/// Guidance to keys for two vectors of pixels.
pub(super) struct Project<'a> {
    pub step: &'a Doubling,
    /// (3, 2, pixel)
    pub guidance: &'a [f32],
    /// (key, 2, pixel)
    pub hidden: &'a mut [f32],
    /// (key, 2, pixel)
    pub keys: &'a mut [f32],
}

impl Kernel for Project<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        product::<S, true, false>(simd, &self.step.range_in, self.guidance, self.hidden);
        product::<S, false, false>(simd, &self.step.range_out, self.hidden, self.keys);
    }
}

/// What one panel's weights are computed of.
pub(super) struct Panel<'a> {
    pub step: &'a Doubling,
    /// Rows of keys around the panel, the upper pixel's first neighbour first: (d + 1 rows), each (key, column).
    pub rows: &'a [&'a [f32]],
    /// Columns of a row of keys.
    pub columns: usize,
    /// The column of the panel's first pixel.
    pub first: usize,
    /// (3, 2, pixel)
    pub guidance: &'a [f32],
    /// For both rows (neighbour, source row in reach).
    pub down: [&'a [f32]; 2],
    pub down_reach: usize,
    /// Source columns in reach and, for each, its neighbours that have shares: see [`Folds`].
    pub across: &'a Folds,
}

impl Panel<'_> {
    /// The weights before they are corrected, (d², 2, pixel).
    #[inline(always)]
    pub fn compare<S: Simd>(&self, simd: S, weights: &mut [f32]) {
        let Self { step, rows, columns, first, .. } = *self;
        let keys = Keys { rows, columns, first, radius: step.radius, temperature: step.temperature };
        match 2 * step.radius + 1 {
            11 => scores::<S, 11>(simd, &keys, weights),
            7 => scores::<S, 7>(simd, &keys, weights),
            _ => scores::<S, 1>(simd, &keys, weights),
        }
        soft_max(simd, &step.spatial, weights);
    }

    /// The weights' shares of the source cells, (source row in reach, source column in reach, 2, pixel); `folded`: (d, 2, pixel).
    #[inline(always)]
    pub fn fold<S: Simd>(&self, simd: S, weights: &[f32], folded: &mut [f32], out: &mut [f32]) {
        let diameter = 2 * self.step.radius + 1;
        for (source_row, out) in out.chunks_exact_mut(self.across.counts.len() * 2 * S::WIDTH).enumerate() {
            fold_down(simd, self.down, self.down_reach, source_row, diameter, weights, folded);
            fold_across(simd, self.across, folded, out);
        }
    }
}

/// The weights of one panel's neighbours, folded onto the source cells.
pub(super) struct PanelWeights<'a> {
    pub panel: &'a Panel<'a>,
    pub scratch: &'a mut Scratch,
    /// (source row in reach, source column in reach, 2, pixel)
    pub out: &'a mut [f32],
}

/// What one panel needs while it is computed.
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

/// The shares along a row for each pixel of a panel, without those that are zero for all of them.
#[derive(Debug, Default)]
pub(super) struct Folds {
    /// For each source column in reach: how many neighbours follow.
    pub counts: Vec<usize>,
    pub neighbours: Vec<usize>,
    /// (entry, pixel)
    pub shares: Vec<f32>,
}

impl Kernel for PanelWeights<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { panel, scratch, out } = self;
        let Scratch { weights, hidden, folded } = scratch;
        let taps = panel.step.spatial.len() * 2 * S::WIDTH;
        panel.compare(simd, &mut weights[..taps]);
        weights[taps..].copy_from_slice(panel.guidance);
        product::<S, true, false>(simd, &panel.step.fixup_in, weights, hidden);
        product::<S, false, true>(simd, &panel.step.fixup_out, hidden, &mut weights[..taps]);
        panel.fold(simd, weights, folded, out);
    }
}

/// Keys of a panel and its neighbours.
struct Keys<'a> {
    rows: &'a [&'a [f32]],
    columns: usize,
    first: usize,
    radius: usize,
    temperature: f32,
}

/// The temperature times the scalar products of both rows' keys with their neighbours', (d², 2, pixel); `BLOCK` neighbours
/// of a row at once.
#[inline(always)]
fn scores<S: Simd, const BLOCK: usize>(simd: S, keys: &Keys<'_>, out: &mut [f32]) {
    let diameter = 2 * keys.radius + 1;
    let mut block = 0;
    while block < diameter {
        if S::TWO_ROWS {
            // A row of keys is a neighbour of the upper pixels and, one further up, of the lower ones.
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
        let near = &of_key[start..][..BLOCK - 1 + S::WIDTH];
        let (own_upper, own_lower) = (simd.load(&own.0[keys.first..]), simd.load(&own.1[keys.first..]));
        let mut neighbour = 0;
        while neighbour < BLOCK {
            let key = simd.load(&near[neighbour..]);
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

/// Scores to weights, in place: soft-max times the spatial kernel, divided by their sum.
#[inline(always)]
fn soft_max<S: Simd>(simd: S, spatial: &[f32], weights: &mut [f32]) {
    let mut side = 0;
    while side < 2 {
        let at = side * S::WIDTH;
        let mut most = simd.load(&weights[at..]);
        for of_tap in weights.chunks_exact(2 * S::WIDTH) {
            most = simd.max(most, simd.load(&of_tap[at..]));
        }
        let (mut plain, mut joint) = (simd.splat(0.0), simd.splat(0.0));
        for (of_tap, &spatial) in weights.chunks_exact_mut(2 * S::WIDTH).zip(spatial) {
            let share = exp(simd, simd.sub(simd.load(&of_tap[at..]), most));
            plain = simd.add(plain, share);
            let share = simd.mul(share, simd.splat(spatial));
            joint = simd.add(joint, share);
            simd.store(share, &mut of_tap[at..]);
        }
        // The floor is meant for the sum of shares of a soft-max that adds up to 1.
        let scale = simd.recip(simd.max(joint, simd.mul(plain, simd.splat(WEIGHT_SUM_FLOOR))));
        for of_tap in weights.chunks_exact_mut(2 * S::WIDTH) {
            let share = simd.mul(simd.load(&of_tap[at..]), scale);
            simd.store(share, &mut of_tap[at..]);
        }
        side += 1;
    }
}

/// The weights of all neighbours as far as they fall on one source row: (neighbour column, 2, pixel).
#[inline(always)]
fn fold_down<S: Simd>(
    simd: S,
    down: [&[f32]; 2],
    reach: usize,
    source_row: usize,
    diameter: usize,
    weights: &[f32],
    folded: &mut [f32],
) {
    let mut side = 0;
    while side < 2 {
        // The few neighbours' rows that have shares in the source row.
        let (mut entries, mut count) = ([(0, 0.0); MAX_DIAMETER], 0);
        for (row, shares) in down[side].chunks_exact(reach).enumerate() {
            if shares[source_row] != 0.0 {
                entries[count] = (row * diameter * 2 * S::WIDTH, shares[source_row]);
                count += 1;
            }
        }
        for (column, out) in folded.chunks_exact_mut(2 * S::WIDTH).enumerate() {
            let at = (column * 2 + side) * S::WIDTH;
            let mut sum = simd.splat(0.0);
            for &(start, share) in &entries[..count] {
                sum = simd.fma(simd.splat(share), simd.load(&weights[start + at..]), sum);
            }
            simd.store(sum, &mut out[side * S::WIDTH..]);
        }
        side += 1;
    }
}

/// … and on the source columns: (source column in reach, 2, pixel).
#[inline(always)]
fn fold_across<S: Simd>(simd: S, across: &Folds, folded: &[f32], out: &mut [f32]) {
    let mut entry = 0;
    for (&count, out) in across.counts.iter().zip(out.chunks_exact_mut(2 * S::WIDTH)) {
        let (mut upper, mut lower) = (simd.splat(0.0), simd.splat(0.0));
        let entries = across.neighbours[entry..entry + count].iter();
        for (&neighbour, shares) in entries.zip(across.shares[entry * S::WIDTH..].chunks_exact(S::WIDTH)) {
            let (shares, folded) = (simd.load(shares), &folded[neighbour * 2 * S::WIDTH..][..2 * S::WIDTH]);
            upper = simd.fma(shares, simd.load(folded), upper);
            lower = simd.fma(shares, simd.load(&folded[S::WIDTH..]), lower);
        }
        entry += count;
        simd.store(upper, out);
        simd.store(lower, &mut out[S::WIDTH..]);
    }
}

/// The sums of one panel: two rows of pixels out of a grid of source cells.
pub(super) struct Gather<'a> {
    /// (source row, source column, channel)
    pub source: &'a [f32],
    /// Cells of a source row.
    pub columns: usize,
    /// Numbers of a cell, a multiple of the vectors' width.
    pub channels: usize,
    pub first_row: usize,
    pub reach: [usize; 2],
    /// For each pair of pixels its first source column and where its weights are.
    pub pairs: &'a [Pair<'a>],
    /// Added to every pixel, (channel); empty for nothing.
    pub offset: &'a [f32],
    /// (pixel, channel) of the upper and of the lower row.
    pub out: [&'a mut [f32]; 2],
}

/// Two by two pixels that come from one source cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<'a> {
    pub first_column: usize,
    /// (source row in reach, source column in reach, 2, pixel), from the left pixel on.
    pub weights: &'a [f32],
}

impl Kernel for Gather<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let vectors = self.channels / S::WIDTH;
        let parts = vectors.div_ceil(S::CHANNEL_VECTORS);
        let mut first = 0;
        for part in 0..parts {
            let next = vectors * (part + 1) / parts;
            let start = first * S::WIDTH;
            match next - first {
                1 => gather::<S, 1>(simd, &mut self, start),
                2 => gather::<S, 2>(simd, &mut self, start),
                3 => gather::<S, 3>(simd, &mut self, start),
                4 => gather::<S, 4>(simd, &mut self, start),
                5 => gather::<S, 5>(simd, &mut self, start),
                _ => gather::<S, 6>(simd, &mut self, start),
            }
            first = next;
        }
    }
}

/// The channels from `start`, `COUNT` vectors of them: four pixels' sums stay in registers over all source cells.
#[inline(always)]
fn gather<S: Simd, const COUNT: usize>(simd: S, panel: &mut Gather<'_>, start: usize) {
    let [rows, columns] = panel.reach;
    for (index, pair) in panel.pairs.iter().enumerate() {
        let mut sums = [[simd.splat(0.0); COUNT]; 4];
        let mut taps = pair.weights.chunks(2 * S::WIDTH);
        for row in 0..rows {
            let at = ((panel.first_row + row) * panel.columns + pair.first_column) * panel.channels;
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

/// The squared length of each pixel's feature.
pub(super) struct Lengths<'a> {
    /// (pixel, channel)
    pub pixels: &'a [f32],
    pub channels: usize,
    /// 1 for the channels that are features, 0 for others.
    pub mask: &'a [f32],
    pub out: &'a mut [f32],
}

impl Kernel for Lengths<'_> {
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
