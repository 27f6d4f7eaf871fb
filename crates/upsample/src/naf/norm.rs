//! Group norms as a factor and a constant for each channel, and the sums that they are made of.

use super::super::simd::{Simd, exp};

/// Groups of every norm.
const GROUPS: usize = 8;
const EPSILON: f64 = 1e-5;

/// Sums of some pixels' values and of their squares, (channel).
pub(super) struct ChannelSums {
    values: Vec<f32>,
    squares: Vec<f32>,
}

impl ChannelSums {
    pub fn new(channels: usize) -> Self {
        Self { values: vec![0.0; channels], squares: vec![0.0; channels] }
    }

    #[inline(always)]
    pub fn load<S: Simd>(&self, simd: S, channel: usize) -> (S::V, S::V) {
        (simd.load(&self.values[channel..]), simd.load(&self.squares[channel..]))
    }

    #[inline(always)]
    pub fn store<S: Simd>(&mut self, simd: S, channel: usize, sum: S::V, squares: S::V) {
        simd.store(sum, &mut self.values[channel..]);
        simd.store(squares, &mut self.squares[channel..]);
    }
}

/// SiLU after a group norm over all pixels: of `value · scale + shift`.
#[derive(Debug)]
pub(super) struct Activation {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Activation {
    /// `weight` and `bias` (channel) of the norm; `sums` of parts that are all `pixels` together.
    pub fn new(weight: &[f32], bias: &[f32], sums: &[ChannelSums], pixels: usize) -> Self {
        let channels = weight.len();
        let each = channels / GROUPS;
        let total = |of: fn(&ChannelSums) -> &[f32], group: usize| -> f64 {
            let part =
                |sums: &ChannelSums| of(sums)[group * each..][..each].iter().copied().map(f64::from).sum::<f64>();
            sums.iter().map(part).sum()
        };
        let count = (each * pixels) as f64;
        let (mut scale, mut shift) = (Vec::with_capacity(channels), Vec::with_capacity(channels));
        for group in 0..GROUPS {
            let mean = total(|sums| &sums.values, group) / count;
            let variance = (total(|sums| &sums.squares, group) / count - mean * mean).max(0.0);
            for channel in group * each..(group + 1) * each {
                let factor = f64::from(weight[channel]) / (variance + EPSILON).sqrt();
                scale.push(factor as f32);
                shift.push((f64::from(bias[channel]) - mean * factor) as f32);
            }
        }
        Self { scale, shift }
    }

    /// SiLU of the normed values of channels from `channel` on.
    #[inline(always)]
    pub fn apply<S: Simd>(&self, simd: S, value: S::V, channel: usize) -> S::V {
        let x = simd.fma(value, simd.load(&self.scale[channel..]), simd.load(&self.shift[channel..]));
        let negative = simd.sub(simd.splat(0.0), simd.max(x, simd.splat(-87.0)));
        simd.mul(x, simd.recip(simd.add(simd.splat(1.0), exp(simd, negative))))
    }
}
