//! Activations as int8, with a scale and a zero point for each row, and what rows have in common as a row of its own.

use super::packed::GROUP;

/// Numbers that are compared and rounded side by side.
const LANES: usize = 16;

/// Adding it rounds a float32 to an integer, in the low bits.
const ROUND: f32 = 12_582_912.0;

/// Rows of a smaller scale count as zeros: its reciprocal might not be finite.
const LEAST_SCALE: f32 = 1e-30;

/// What int8 numbers of a row mean: `scale · (number - zero)`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct RowScale {
    pub scale: f32,
    pub zero: i32,
    /// The sum of the row's int8 numbers.
    pub sum: i32,
}

/// Rows as a reference row and what each of them adds to it, quantised.
///
/// Rows of a window have much in common, above all channels that are large in every row. Of what they have in common only one row is made
/// int8, and the steps of the others are as fine as their differences allow.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// (1 + row, `stride`): the reference, then the rows.
    values: Vec<i8>,
    /// Inputs, up to a multiple of four.
    stride: usize,
    /// Of the reference, then of the rows.
    scales: Vec<RowScale>,
    /// What the int8 numbers of the reference mean.
    reference: Vec<f32>,
    zeros: Vec<f32>,
}

impl Rows {
    /// Takes `x` (row, `inputs`) in place of earlier rows.
    #[inline(always)]
    pub fn quantise(&mut self, x: &[f32], inputs: usize) {
        self.stride = inputs.next_multiple_of(GROUP);
        let rows = x.len() / inputs;
        self.values.resize((1 + rows) * self.stride, 0);
        self.scales.resize(1 + rows, RowScale::default());
        self.reference.resize(inputs, 0.0);
        self.zeros.resize(inputs, 0.0);
        mean(x, &mut self.reference);
        let (first, values) = self.values.split_at_mut(self.stride);
        let scale = quantise(&self.reference, &self.zeros, first);
        self.scales[0] = scale;
        for (number, steps) in self.reference.iter_mut().zip(first.iter()) {
            *number = scale.scale * (i32::from(*steps) - scale.zero) as f32;
        }
        for row in 0..rows {
            let to = &mut values[row * self.stride..][..self.stride];
            self.scales[1 + row] = quantise(&x[row * inputs..][..inputs], &self.reference, to);
        }
    }

    /// The number of rows, the reference among them.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.scales.len()
    }

    /// Returns a row's int8 numbers; row 0 is the reference.
    #[inline(always)]
    pub fn row(&self, row: usize) -> &[i8] {
        &self.values[row * self.stride..][..self.stride]
    }

    /// Returns what a row's numbers mean.
    #[inline(always)]
    pub fn scale(&self, row: usize) -> RowScale {
        self.scales[row]
    }
}

/// The mean of rows.
#[inline(always)]
fn mean(x: &[f32], mean: &mut [f32]) {
    mean.fill(0.0);
    for row in x.chunks_exact(mean.len()) {
        for (sum, number) in mean.iter_mut().zip(row) {
            *sum += number;
        }
    }
    let share = 1.0 / (x.len() / mean.len()).max(1) as f32;
    for sum in mean {
        *sum *= share;
    }
}

/// Divides the range of a row's differences from `reference`, 0 included, into 255 steps, and fills `to` up with zeros. A row with a number
/// that is not finite gets a scale that is not finite either.
#[inline(always)]
fn quantise(x: &[f32], reference: &[f32], to: &mut [i8]) -> RowScale {
    let (whole, rest) = x.as_chunks::<LANES>();
    let (whole_reference, rest_reference) = reference.as_chunks::<LANES>();
    let mut last = [0f32; LANES];
    for (lane, (number, reference)) in rest.iter().zip(rest_reference).enumerate() {
        last[lane] = number - reference;
    }
    let mut range = Range::default();
    for (numbers, reference) in whole.iter().zip(whole_reference) {
        range.add(&difference(numbers, reference));
    }
    range.add(&last);
    let (low, high, poison) = range.ends();
    // A difference of both ends might overflow.
    let scale = (high * (1.0 / 255.0) - low * (1.0 / 255.0)) + poison;
    let inverse = if scale > LEAST_SCALE { 1.0 / scale } else { 0.0 };
    let zero = rounded(-128.0 - low * inverse).clamp(-128, 127);
    let (into, tail) = to.split_at_mut(whole.len() * LANES);
    let mut sums = [0i32; LANES];
    for ((numbers, reference), into) in whole.iter().zip(whole_reference).zip(into.as_chunks_mut::<LANES>().0) {
        let numbers = difference(numbers, reference);
        for lane in 0..LANES {
            let steps = (rounded(numbers[lane] * inverse).wrapping_add(zero)).clamp(-128, 127);
            sums[lane] += steps;
            into[lane] = steps as i8;
        }
    }
    let mut sum: i32 = sums.iter().sum();
    tail.fill(0);
    for (number, into) in last[..rest.len()].iter().zip(tail) {
        let steps = (rounded(number * inverse).wrapping_add(zero)).clamp(-128, 127);
        sum += steps;
        *into = steps as i8;
    }
    RowScale { scale, zero, sum }
}

#[inline(always)]
fn difference(numbers: &[f32; LANES], reference: &[f32; LANES]) -> [f32; LANES] {
    let mut difference = [0f32; LANES];
    for lane in 0..LANES {
        difference[lane] = numbers[lane] - reference[lane];
    }
    difference
}

/// The least and the greatest number and zero; and 0, or NaN where a number is not finite.
#[derive(Default)]
struct Range {
    low: [f32; LANES],
    high: [f32; LANES],
    poison: [f32; LANES],
}

impl Range {
    #[inline(always)]
    fn add(&mut self, numbers: &[f32; LANES]) {
        for lane in 0..LANES {
            let number = numbers[lane];
            self.low[lane] = if number < self.low[lane] { number } else { self.low[lane] };
            self.high[lane] = if number > self.high[lane] { number } else { self.high[lane] };
            self.poison[lane] += number * 0.0;
        }
    }

    #[inline(always)]
    fn ends(self) -> (f32, f32, f32) {
        let Self { mut low, mut high, mut poison } = self;
        let mut half = LANES / 2;
        while half > 0 {
            for lane in 0..half {
                let (other_low, other_high) = (low[lane + half], high[lane + half]);
                low[lane] = if other_low < low[lane] { other_low } else { low[lane] };
                high[lane] = if other_high > high[lane] { other_high } else { high[lane] };
                poison[lane] += poison[lane + half];
            }
            half /= 2;
        }
        (low[0], high[0], poison[0])
    }
}

/// The nearest integer of a number up to 2²², the even one of two.
#[inline(always)]
fn rounded(number: f32) -> i32 {
    (number + ROUND).to_bits().wrapping_sub(ROUND.to_bits()).cast_signed()
}
