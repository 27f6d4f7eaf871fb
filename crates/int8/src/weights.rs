//! Weights as int8, with a scale for each output channel.

use segearth_error::{Error, Result};

/// Most input channels of a layer: as many products of int8 fit into a sum of int32.
const MOST_INPUTS: usize = 1 << 16;

/// The weights of a linear layer, (output, input): int8 from -127 to 127, times the output channel's scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    pub(crate) values: Vec<i8>,
    pub(crate) scales: Vec<f32>,
    pub(crate) inputs: usize,
}

impl Weights {
    /// Rounds float32 weights (output, `inputs`) to int8: an output channel's largest weight becomes ±127.
    ///
    /// # Errors
    /// The numbers are no matrix, or one with more inputs than sums have room for.
    pub fn quantised(weights: &[f32], inputs: usize) -> Result<Self> {
        check(weights.len(), inputs)?;
        let scale = |row: &[f32]| row.iter().fold(0f32, |most, weight| most.max(weight.abs())) / 127.0;
        let scales: Vec<f32> = weights.chunks_exact(inputs).map(scale).collect();
        let of_row = |(row, scale): (&[f32], f32)| {
            let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
            row.iter().map(|weight| (weight * inverse).round().clamp(-127.0, 127.0) as i8).collect::<Vec<_>>()
        };
        let values = weights.chunks_exact(inputs).zip(scales.iter().copied()).flat_map(of_row).collect();
        Ok(Self { values, scales, inputs })
    }

    /// Returns weights that were quantised before: `values` (output, `inputs`), `scales` (output).
    ///
    /// # Errors
    /// The numbers are no matrix, one with more inputs than sums have room for, or not one with as many outputs as scales.
    pub fn new(values: Vec<i8>, scales: Vec<f32>, inputs: usize) -> Result<Self> {
        check(values.len(), inputs)?;
        if scales.len() * inputs != values.len() {
            return Err(Error::input(format!(
                "there are {} scales for {} output channels",
                scales.len(),
                values.len() / inputs
            )));
        }
        if let Some(scale) = scales.iter().find(|scale| !scale.is_finite()) {
            return Err(Error::input(format!("a scale is {scale}; all must be finite")));
        }
        Ok(Self { values, scales, inputs })
    }

    /// Returns the int8 values, (output, input).
    pub fn values(&self) -> &[i8] {
        &self.values
    }

    /// Returns the scales of the output channels.
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// Returns the number of output channels.
    pub fn outputs(&self) -> usize {
        self.scales.len()
    }
}

fn check(count: usize, inputs: usize) -> Result<()> {
    if (1..=MOST_INPUTS).contains(&inputs) && count > 0 && count.is_multiple_of(inputs) {
        return Ok(());
    }
    Err(Error::input(format!(
        "{count} numbers are no matrix of {inputs} input channels; 1 to {MOST_INPUTS} are allowed"
    )))
}
