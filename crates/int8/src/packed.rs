//! Weights in the order in which products read them.

use super::weights::Weights;

/// Output channels that are computed together: four vectors of sixteen sums.
pub(crate) const PANEL: usize = 64;

/// Products that one instruction adds to a sum.
pub(crate) const GROUP: usize = 4;

/// Added to weights, since the instructions multiply unsigned numbers by signed ones.
pub(crate) const OFFSET: i32 = 128;

/// The weight 0 with its offset.
const FILL: u8 = OFFSET as u8;

/// Panels of 64 output channels, (panel)(group of four inputs, channel, input): a product reads a panel from start to end. Channels and
/// inputs that are missing are filled up.
#[derive(Debug)]
pub(crate) struct Packed {
    bytes: Vec<u8>,
    /// Bytes of a panel.
    panel: usize,
    /// The sums of each output channel's weights.
    pub sums: Vec<i32>,
}

impl Packed {
    pub fn new(weights: &Weights) -> Self {
        let groups = weights.inputs.div_ceil(GROUP);
        let panel = groups * PANEL * GROUP;
        let mut bytes = vec![FILL; weights.outputs().div_ceil(PANEL) * panel];
        for (output, row) in weights.values.chunks_exact(weights.inputs).enumerate() {
            let to = &mut bytes[output / PANEL * panel..][..panel];
            for (index, values) in row.chunks(GROUP).enumerate() {
                let at = (index * PANEL + output % PANEL) * GROUP;
                for (byte, value) in to[at..].iter_mut().zip(values) {
                    // From -128..=127 to 0..=255.
                    *byte = value.cast_unsigned() ^ FILL;
                }
            }
        }
        let sum = |row: &[i8]| row.iter().map(|value| i32::from(*value)).sum();
        Self { bytes, panel, sums: weights.values.chunks_exact(weights.inputs).map(sum).collect() }
    }

    pub fn panels(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.panel)
    }
}
