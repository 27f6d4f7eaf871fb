//! A linear layer: rows quantised, products, and what follows on the sums.

use segearth_error::{Error, Result};

use super::Instructions;
use super::activation::Activation;
use super::dot::{Dot, Kernel, Sums};
use super::packed::{OFFSET, PANEL, Packed};
use super::rows::{RowScale, Rows};
use super::weights::Weights;

/// Rows that are multiplied with a panel at a time: as many as have room for their sums in registers.
const TILE: usize = 6;

/// A linear layer with int8 weights, ready to multiply.
#[derive(Debug)]
pub struct Linear {
    packed: Packed,
    scales: Vec<f32>,
    bias: Vec<f32>,
    inputs: usize,
}

impl Linear {
    /// Packs weights. `bias`: a number for each output channel.
    ///
    /// # Errors
    /// The bias has another length.
    pub fn new(weights: &Weights, bias: Vec<f32>) -> Result<Self> {
        if bias.len() != weights.outputs() {
            return Err(Error::input(format!(
                "the bias has {} numbers for {} output channels",
                bias.len(),
                weights.outputs()
            )));
        }
        Ok(Self { packed: Packed::new(weights), scales: weights.scales.clone(), bias, inputs: weights.inputs })
    }

    /// Returns the number of input channels.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Returns the number of output channels.
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// Computes `out` (row, output) of `x` (row, input), where `window` rows at a time belong together.
    ///
    /// # Errors
    /// The arrays do not have as many rows, or not those of whole windows.
    pub fn forward(&self, instructions: Instructions, x: &[f32], window: usize, out: &mut [f32]) -> Result<()> {
        let pieces = Pieces::new([x.len(), self.inputs], [out.len(), self.outputs()], window)?;
        instructions.0.run(Forward { layer: self, pieces, x, out });
        Ok(())
    }

    /// `out` (row, output) of quantised rows, after an activation.
    #[inline(always)]
    pub(crate) fn multiply<D: Dot>(&self, dot: D, rows: &Rows, activation: Activation, out: &mut [f32]) {
        for (index, panel) in self.packed.panels().enumerate() {
            let mut task = Panel { rows, panel, channels: self.channels(index * PANEL), stride: self.outputs() };
            // The others add to the numbers of the reference.
            let [sums] = dot.tile([rows.row(0)], panel);
            task.channels.bias = task.channels.numbers(&sums, rows.scale(0));
            let mut row = 1;
            while row < rows.len() {
                row += match rows.len() - row {
                    TILE.. => task.tile::<D, TILE>(dot, row, activation, out),
                    5 => task.tile::<D, 5>(dot, row, activation, out),
                    4 => task.tile::<D, 4>(dot, row, activation, out),
                    3 => task.tile::<D, 3>(dot, row, activation, out),
                    2 => task.tile::<D, 2>(dot, row, activation, out),
                    _ => task.tile::<D, 1>(dot, row, activation, out),
                };
            }
        }
    }

    /// What the channels of a panel have, from channel `first` on.
    #[inline(always)]
    fn channels(&self, first: usize) -> Channels {
        let count = PANEL.min(self.outputs() - first);
        let mut channels = Channels { first, count, sums: [0; PANEL], scales: [0.0; PANEL], bias: [0.0; PANEL] };
        channels.sums[..count].copy_from_slice(&self.packed.sums[first..][..count]);
        channels.scales[..count].copy_from_slice(&self.scales[first..][..count]);
        channels.bias[..count].copy_from_slice(&self.bias[first..][..count]);
        channels
    }
}

/// Rows that are quantised with one reference, and whose numbers between two layers are held at once: they stay in the second-level cache,
/// and the weights are read for many rows.
const MOST_ROWS: usize = 128;

/// Windows of rows in even pieces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pieces {
    /// Rows of a window.
    window: usize,
    /// Most rows of a piece.
    pub rows: usize,
}

impl Pieces {
    /// Returns an error unless two arrays have as many rows, of `width` numbers each, and those of whole windows.
    pub fn new([x, inputs]: [usize; 2], [out, outputs]: [usize; 2], window: usize) -> Result<Self> {
        let rows = x / inputs;
        let same = x.is_multiple_of(inputs) && out.is_multiple_of(outputs) && rows == out / outputs;
        if !same || window == 0 || !rows.is_multiple_of(window) {
            return Err(Error::internal(format!(
                "{x} and {out} numbers are not as many rows of {inputs} and {outputs} channels in windows of {window} rows"
            )));
        }
        Ok(Self { window, rows: window.div_ceil(window.div_ceil(MOST_ROWS)) })
    }

    /// The pieces of both arrays.
    pub fn of<'a>(
        self,
        [inputs, outputs]: [usize; 2],
        x: &'a [f32],
        out: &'a mut [f32],
    ) -> impl Iterator<Item = (&'a [f32], &'a mut [f32])> {
        let windows = x.chunks_exact(self.window * inputs).zip(out.chunks_exact_mut(self.window * outputs));
        windows.flat_map(move |(x, out)| x.chunks(self.rows * inputs).zip(out.chunks_mut(self.rows * outputs)))
    }
}

struct Forward<'a> {
    layer: &'a Linear,
    pieces: Pieces,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run<D: Dot>(self, dot: D) {
        let Self { layer, pieces, x, out } = self;
        let mut rows = Rows::default();
        for (x, out) in pieces.of([layer.inputs, layer.outputs()], x, out) {
            rows.quantise(x, layer.inputs);
            layer.multiply(dot, &rows, Activation::None, out);
        }
    }
}

/// The channels of a panel, filled up with zeros.
struct Channels {
    first: usize,
    count: usize,
    /// Of the weights.
    sums: Sums,
    scales: [f32; PANEL],
    /// What is added to each row.
    bias: [f32; PANEL],
}

impl Channels {
    /// From sums of products with offset weights to numbers.
    #[inline(always)]
    fn numbers(&self, sums: &Sums, row: RowScale) -> [f32; PANEL] {
        let offset = row.sum.wrapping_mul(OFFSET);
        let mut numbers = [0f32; PANEL];
        for channel in 0..PANEL {
            let correction = row.zero.wrapping_mul(self.sums[channel]);
            let sum = sums[channel].wrapping_sub(offset).wrapping_sub(correction);
            numbers[channel] = sum as f32 * (row.scale * self.scales[channel]) + self.bias[channel];
        }
        numbers
    }
}

/// All rows with a panel of weights.
struct Panel<'a> {
    rows: &'a Rows,
    panel: &'a [u8],
    channels: Channels,
    /// Output channels of the layer.
    stride: usize,
}

impl Panel<'_> {
    /// Computes some rows from `first` on, which is at least 1; returns how many.
    #[inline(always)]
    fn tile<D: Dot, const ROWS: usize>(&self, dot: D, first: usize, activation: Activation, out: &mut [f32]) -> usize {
        let mut rows = [self.rows.row(first); ROWS];
        for row in 1..ROWS {
            rows[row] = self.rows.row(first + row);
        }
        let sums = dot.tile(rows, self.panel);
        for row in 0..ROWS {
            let mut numbers = self.channels.numbers(&sums[row], self.rows.scale(first + row));
            activation.apply(&mut numbers);
            let at = (first - 1 + row) * self.stride + self.channels.first;
            out[at..][..self.channels.count].copy_from_slice(&numbers[..self.channels.count]);
        }
        ROWS
    }
}
