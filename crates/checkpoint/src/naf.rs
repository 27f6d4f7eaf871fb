//! The weights of NAF, an upsampler whose weights of neighbours come from the image alone and whose features may have any width, from the
//! state dict that its authors distribute.
//!
//! Names, under `image_encoder.`, with half = C / 2 and the branch `encoder` of 1 × 1 or `sem_encoder` of 3 × 3 convolutions:
//!
//! | name | shape |
//! |---|---|
//! | `BRANCH.0.{weight,bias}` | (half, 3, κ, κ), (half) |
//! | `BRANCH.{1,2}.norm{1,2}.{weight,bias}` | (half) |
//! | `BRANCH.{1,2}.conv{1,2}.{weight,bias}` | (half, half, κ, κ), (half) |
//! | `rope.periods` | (P): C / (4 P) heads of 4 P channels |

use std::collections::BTreeMap;

use segearth_error::{Error, Result};

use super::Checkpoint;
use super::names::unknown_tensors;
use super::tensor::{TensorData, show_shape};

/// What all names begin with.
const PREFIX: &str = "image_encoder.";
const PERIODS: &str = "rope.periods";
/// The two branches, and the side of their kernels.
const BRANCHES: [(&str, usize); 2] = [("encoder", 1), ("sem_encoder", 3)];
/// Groups of every group norm, which the file does not hold.
const GROUPS: usize = 8;
const SUPPORTED: &str = "Supported is NAF as its authors save it: a state dict of image_encoder.";

/// A complete NAF under its authors' names without `image_encoder.`: every tensor of [`NafWeights::shapes`] is there, with that shape.
#[derive(Debug)]
pub struct NafWeights {
    /// Channels of the encoded image, C.
    pub channels: usize,
    /// Heads of the attention, each with a quarter of a head's channels as periods.
    pub heads: usize,
    /// The tensors by name.
    pub tensors: BTreeMap<String, TensorData>,
}

impl NafWeights {
    /// Whether a checkpoint looks like NAF.
    pub(super) fn recognises(checkpoint: &Checkpoint) -> bool {
        checkpoint.names().any(|name| name.strip_prefix(PREFIX).unwrap_or(name) == "sem_encoder.0.weight")
    }

    /// Returns the weights of a checkpoint.
    ///
    /// # Errors
    /// A tensor is missing, unknown, or of the wrong shape or type.
    pub(super) fn from_checkpoint(checkpoint: Checkpoint) -> Result<Self> {
        let named = checkpoint.tensors.into_iter();
        let tensors: BTreeMap<String, TensorData> =
            named.map(|(name, tensor)| (name.strip_prefix(PREFIX).unwrap_or(&name).to_owned(), tensor)).collect();
        let first = |name: &str, expected: &str| -> Result<usize> {
            let tensor = tensors.get(name).ok_or_else(|| missing(name, expected))?;
            tensor.shape().first().copied().ok_or_else(|| wrong_shape(name, expected, tensor))
        };
        let half = first("encoder.0.weight", "(C / 2, 3, 1, 1)")?;
        let periods = first(PERIODS, "(P)")?;
        let head = periods.saturating_mul(4);
        let channels = half.saturating_mul(2);
        if half == 0 || !half.is_multiple_of(GROUPS) {
            return Err(Error::input(format!(
                "the tensor {PREFIX}encoder.0.weight has {half} channels, not a multiple of the {GROUPS} groups"
            ))
            .with_hint(SUPPORTED));
        }
        if head == 0 || !channels.is_multiple_of(head) {
            return Err(Error::input(format!(
                "the tensor {PREFIX}{PERIODS} has {periods} periods, heads of {head} channels: the {channels} channels are no multiple of it"
            ))
            .with_hint(SUPPORTED));
        }
        let weights = Self { channels, heads: channels / head, tensors };
        weights.check()?;
        Ok(weights)
    }

    /// Returns the shape of every tensor that is needed.
    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        let half = self.channels / 2;
        let mut shapes = BTreeMap::from([(PERIODS.to_owned(), vec![self.channels / self.heads.max(1) / 4])]);
        for (branch, kernel) in BRANCHES {
            shapes.insert(format!("{branch}.0.weight"), vec![half, 3, kernel, kernel]);
            shapes.insert(format!("{branch}.0.bias"), vec![half]);
            for (block, layer) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
                let name = |what: &str| format!("{branch}.{block}.{what}");
                shapes.insert(name(&format!("norm{layer}.weight")), vec![half]);
                shapes.insert(name(&format!("norm{layer}.bias")), vec![half]);
                shapes.insert(name(&format!("conv{layer}.weight")), vec![half, half, kernel, kernel]);
                shapes.insert(name(&format!("conv{layer}.bias")), vec![half]);
            }
        }
        shapes
    }

    fn check(&self) -> Result<()> {
        let expected = self.shapes();
        for (name, shape) in &expected {
            let tensor = self.tensors.get(name).ok_or_else(|| missing(name, &show_shape(shape)))?;
            if tensor.shape() != shape || tensor.is_empty() {
                return Err(wrong_shape(name, &show_shape(shape), tensor));
            }
            if !tensor.dtype().is_float() {
                return Err(Error::input(format!(
                    "the tensor {PREFIX}{name} has type {}, not a floating-point type",
                    tensor.dtype()
                )));
            }
        }
        super::clip::check_numbers(&self.tensors)?;
        let unknown = self.tensors.iter().filter(|(name, _)| !expected.contains_key(*name));
        let unknown: Vec<String> = unknown.map(|(name, tensor)| format!("{PREFIX}{name} {tensor:?}")).collect();
        if unknown.is_empty() { Ok(()) } else { Err(unknown_tensors(&unknown)) }
    }
}

fn missing(name: &str, expected: &str) -> Error {
    Error::input(format!("the tensor {PREFIX}{name} of shape {expected} is missing from naf")).with_hint(SUPPORTED)
}

fn wrong_shape(name: &str, expected: &str, found: &TensorData) -> Error {
    let shape = show_shape(found.shape());
    Error::input(format!("the tensor {PREFIX}{name} has shape {shape}, not {expected}")).with_hint(SUPPORTED)
}
