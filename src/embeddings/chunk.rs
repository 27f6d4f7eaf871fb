//! Some windows of one row, as a store holds them: float32, float16, or int8 with a scale a token.

use half::f16;
use half::slice::HalfFloatSliceExt as _;
use serde::{Deserialize, Serialize};

/// How a store holds tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// The tokens as they were computed.
    Float32,
    #[default]
    Float16,
    /// 255 steps from the negative to the positive largest value of each token.
    Int8,
}

impl Precision {
    /// The name in messages and in the store.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::Int8 => "int8",
        }
    }

    /// Bytes of a number.
    pub fn bytes(self) -> usize {
        match self {
            Self::Float32 => 4,
            Self::Float16 => 2,
            Self::Int8 => 1,
        }
    }
}

/// The place of a chunk: a row of windows, and the chunk in that row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkIndex {
    pub row: usize,
    pub number: usize,
}

/// The numbers of a chunk, (window, 1 + patch, D). Windows without tokens hold NaN, those of int8 have NaN as scales.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    Float32(Vec<f32>),
    Float16(Vec<f16>),
    Int8 {
        values: Vec<i8>,
        /// (window, 1 + patch)
        scales: Vec<f32>,
    },
}

/// The numbers of a chunk as its file holds them, for whoever looks at each once.
#[derive(Clone, Debug)]
pub struct RawValues {
    pub precision: Precision,
    /// (window, 1 + patch, D), little endian.
    pub bytes: Vec<u8>,
    /// Of int8, (window, 1 + patch).
    pub scales: Option<Vec<f32>>,
}

impl RawValues {
    /// The bytes of a window's tokens, of `tokens` by `width` numbers; `None`: it has none.
    pub fn window(&self, window: usize, tokens: usize, width: usize) -> Option<&[u8]> {
        let token = width * self.precision.bytes();
        let all = self.bytes.get(window * tokens * token..(window + 1) * tokens * token)?;
        let is_known = match (&self.scales, all) {
            (Some(scales), _) => scales.get(window * tokens).is_some_and(|scale| !scale.is_nan()),
            (None, [a, b, c, d, ..]) if self.precision == Precision::Float32 => {
                !f32::from_le_bytes([*a, *b, *c, *d]).is_nan()
            }
            (None, [a, b, ..]) => !f16::from_le_bytes([*a, *b]).is_nan(),
            (None, _) => false,
        };
        is_known.then_some(all)
    }
}

/// Consecutive windows of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    pub index: ChunkIndex,
    /// The column of the first window in the grid of windows.
    pub first: usize,
    /// Number of windows; the last chunk of a row may have fewer than the others.
    pub windows: usize,
    /// 1 + patches.
    pub tokens: usize,
    /// D
    pub width: usize,
    /// Of at least `windows` windows.
    pub values: Values,
}

impl Chunk {
    /// Whether a window of the chunk has tokens. Those without data, or beyond the scene, have none.
    pub fn holds(&self, window: usize) -> bool {
        let at = window * self.tokens;
        let first = match &self.values {
            Values::Float32(values) => values.get(at * self.width).copied(),
            Values::Float16(values) => values.get(at * self.width).map(|value| value.to_f32()),
            Values::Int8 { scales, .. } => scales.get(at).copied(),
        };
        window < self.windows && first.is_some_and(|value| !value.is_nan())
    }

    /// Appends the tokens of a window as float32, (1 + patch, D); nothing where it has none.
    pub fn append(&self, window: usize, to: &mut Vec<f32>) {
        if !self.holds(window) {
            return;
        }
        let numbers = self.tokens * self.width;
        let range = window * numbers..(window + 1) * numbers;
        match &self.values {
            Values::Float32(values) => to.extend_from_slice(values.get(range).unwrap_or_default()),
            Values::Float16(values) => {
                let values = values.get(range).unwrap_or_default();
                let start = to.len();
                to.resize(start + values.len(), 0.0);
                if let Some(to) = to.get_mut(start..) {
                    values.convert_to_f32_slice(to);
                }
            }
            Values::Int8 { values, scales } => {
                let values = values.get(range).unwrap_or_default().chunks_exact(self.width.max(1));
                for (token, scale) in values.zip(scales.iter().skip(window * self.tokens)) {
                    to.extend(token.iter().map(|&value| f32::from(value) * scale));
                }
            }
        }
    }
}

impl Values {
    /// The tokens of some windows, (1 + patch, D) each; `None`: the window has none. `numbers` of a window in tokens of `width`.
    pub(super) fn of(windows: &[Option<&[f32]>], numbers: usize, width: usize, precision: Precision) -> Self {
        let all = windows.iter();
        match precision {
            Precision::Float32 => {
                let mut values = Vec::with_capacity(windows.len() * numbers);
                for window in all {
                    match window {
                        Some(tokens) => values.extend_from_slice(tokens),
                        None => values.resize(values.len() + numbers, f32::NAN),
                    }
                }
                Self::Float32(values)
            }
            Precision::Float16 => {
                let mut values = vec![f16::NAN; windows.len() * numbers];
                for (window, to) in all.zip(values.chunks_exact_mut(numbers.max(1))) {
                    if let Some(tokens) = window {
                        to.convert_from_f32_slice(tokens);
                    }
                }
                Self::Float16(values)
            }
            Precision::Int8 => {
                let mut values = vec![i8::MIN; windows.len() * numbers];
                let mut scales = vec![f32::NAN; windows.len() * numbers / width.max(1)];
                let of_window = numbers / width.max(1);
                let to = values.chunks_exact_mut(numbers.max(1)).zip(scales.chunks_exact_mut(of_window.max(1)));
                for (window, (values, scales)) in all.zip(to) {
                    let Some(tokens) = window else { continue };
                    let to = values.chunks_exact_mut(width.max(1)).zip(scales);
                    for (token, (values, scale)) in tokens.chunks_exact(width.max(1)).zip(to) {
                        let most = token.iter().fold(0f32, |most, value| most.max(value.abs()));
                        *scale = most / 127.0;
                        let factor = if most > 0.0 { 127.0 / most } else { 0.0 };
                        for (value, to) in token.iter().zip(values) {
                            *to = (value * factor).round() as i8;
                        }
                    }
                }
                Self::Int8 { values, scales }
            }
        }
    }
}
