//! The weights of an upsampler: SimFeatUp's `jbu_one` (one learned doubling, applied again and again) or FeatUp's `jbu_stack`
//! (four of them, each with weights of its own), from the Lightning checkpoints that their authors distribute.
//!
//! Canonical names, for every doubling `upN` (`up1` alone for `jbu_one`, `up1` to `up4` for `jbu_stack`), d = 2 radius + 1:
//!
//! | name | shape |
//! |---|---|
//! | `upN.range_temp`, `upN.sigma_spatial` | () |
//! | `upN.range_proj.0.{weight,bias}` | (K, 3, 1, 1), (K) |
//! | `upN.range_proj.3.{weight,bias}` | (K, K, 1, 1), (K) |
//! | `upN.fixup_proj.0.{weight,bias}` | (d², d² + 3, 1, 1), (d²) |
//! | `upN.fixup_proj.3.{weight,bias}` | (d², d², 1, 1), (d²) |
//! | `fixup_proj.1.{weight,bias}` | (D, D, 1, 1), (D) |

use std::collections::BTreeMap;

use segearth_error::{Error, Result};

use super::Checkpoint;
use super::names::unknown_tensors;
use super::tensor::{TensorData, show_shape};

const SUPPORTED: &str =
    "Supported are the upsamplers jbu_one (SimFeatUp), jbu_stack (FeatUp) and NAF, as their authors save them.";
const MAX_RADIUS: usize = 15;

/// Which upsampler the weights belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpsamplerKind {
    /// One doubling, applied repeatedly.
    JbuOne,
    /// Four doublings, each with its own parameters.
    JbuStack,
}

impl UpsamplerKind {
    /// Returns the name in SegEarth-OV and FeatUp.
    pub fn name(self) -> &'static str {
        match self {
            Self::JbuOne => "jbu_one",
            Self::JbuStack => "jbu_stack",
        }
    }

    /// Returns the number of doublings with their own parameters.
    pub fn steps(self) -> usize {
        match self {
            Self::JbuOne => 1,
            Self::JbuStack => 4,
        }
    }
}

/// A complete upsampler under canonical names: every tensor of [`UpsamplerWeights::shapes`] is there, with that shape.
#[derive(Debug)]
pub struct UpsamplerWeights {
    /// Which upsampler it is.
    pub kind: UpsamplerKind,
    /// Radius of the kernel, in pixels of the doubled grid: its side is 2 · radius + 1.
    pub radius: usize,
    /// Width of the features that it was trained on: D, CLIP's joint width.
    pub features: usize,
    /// Width of the projected guidance, K.
    pub key: usize,
    /// The tensors by canonical name.
    pub tensors: BTreeMap<String, TensorData>,
}

impl UpsamplerWeights {
    /// Returns the weights of a checkpoint.
    ///
    /// # Errors
    /// The checkpoint has no upsampler, or a tensor is missing, unknown, or of the wrong shape or type.
    pub fn from_checkpoint(mut checkpoint: Checkpoint) -> Result<Self> {
        // Lightning saves the whole training module, of which the upsampler is one part.
        const PREFIX: &str = "upsampler.";
        if checkpoint.tensors.keys().any(|name| name.starts_with(PREFIX)) {
            checkpoint.tensors.retain(|name, _| name.starts_with(PREFIX));
            checkpoint.strip_common_prefix(PREFIX);
        }
        let mut tensors = checkpoint.tensors;
        let kind = if tensors.contains_key("up.range_temp") {
            tensors = tensors
                .into_iter()
                .map(|(name, tensor)| {
                    (name.strip_prefix("up.").map(|rest| format!("up1.{rest}")).unwrap_or(name), tensor)
                })
                .collect();
            UpsamplerKind::JbuOne
        } else if tensors.contains_key("up1.range_temp") {
            UpsamplerKind::JbuStack
        } else {
            let first: Vec<&str> = tensors.keys().take(3).map(String::as_str).collect();
            return Err(Error::input(format!(
                "the file has neither the tensor upsampler.up.range_temp nor upsampler.up1.range_temp (its first tensors are {})",
                first.join(", ")
            ))
            .with_hint(SUPPORTED));
        };
        let side = |name: &str, expected: &str| -> Result<usize> {
            let tensor = tensors.get(name).ok_or_else(|| missing(kind, name, expected))?;
            tensor.shape().first().copied().ok_or_else(|| wrong_shape(kind, name, expected, tensor))
        };
        let neighbours = side("up1.fixup_proj.3.weight", "(d², d², 1, 1)")?;
        let diameter = neighbours.isqrt();
        if diameter * diameter != neighbours || diameter % 2 == 0 || diameter > 2 * MAX_RADIUS + 1 {
            return Err(Error::input(format!(
                "the tensor {} is for {neighbours} neighbours, not the square of an odd number up to {}",
                shown(kind, "up1.fixup_proj.3.weight"),
                2 * MAX_RADIUS + 1
            )));
        }
        let key = side("up1.range_proj.0.weight", "(K, 3, 1, 1)")?;
        let features = side("fixup_proj.1.weight", "(D, D, 1, 1)")?;
        let mut weights = Self { kind, radius: diameter / 2, features, key, tensors };
        weights.check()?;
        Ok(weights)
    }

    /// Returns the shape of every tensor that is needed.
    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        let neighbours = (2 * self.radius + 1).pow(2);
        let (key, features) = (self.key, self.features);
        let mut shapes = BTreeMap::from([
            ("fixup_proj.1.weight".to_owned(), vec![features, features, 1, 1]),
            ("fixup_proj.1.bias".to_owned(), vec![features]),
        ]);
        for step in 1..=self.kind.steps() {
            let tensors = [
                ("range_temp", vec![]),
                ("sigma_spatial", vec![]),
                ("range_proj.0.weight", vec![key, 3, 1, 1]),
                ("range_proj.0.bias", vec![key]),
                ("range_proj.3.weight", vec![key, key, 1, 1]),
                ("range_proj.3.bias", vec![key]),
                ("fixup_proj.0.weight", vec![neighbours, neighbours + 3, 1, 1]),
                ("fixup_proj.0.bias", vec![neighbours]),
                ("fixup_proj.3.weight", vec![neighbours, neighbours, 1, 1]),
                ("fixup_proj.3.bias", vec![neighbours]),
            ];
            shapes.extend(tensors.map(|(name, shape)| (format!("up{step}.{name}"), shape)));
        }
        shapes
    }

    fn check(&mut self) -> Result<()> {
        let expected = self.shapes();
        for (name, shape) in &expected {
            let tensor = self.tensors.get(name).ok_or_else(|| missing(self.kind, name, &show_shape(shape)))?;
            if tensor.shape() != shape || tensor.is_empty() {
                return Err(wrong_shape(self.kind, name, &show_shape(shape), tensor));
            }
            if !tensor.dtype().is_float() {
                return Err(Error::input(format!(
                    "the tensor {} has type {}, not a floating-point type",
                    shown(self.kind, name),
                    tensor.dtype()
                )));
            }
        }
        super::clip::check_numbers(&self.tensors)?;
        let unknown: Vec<String> = self
            .tensors
            .iter()
            .filter(|(name, _)| !expected.contains_key(*name))
            .map(|(name, tensor)| format!("{} {tensor:?}", shown(self.kind, name)))
            .collect();
        if unknown.is_empty() { Ok(()) } else { Err(unknown_tensors(&unknown)) }
    }
}

/// Returns the name in the file, for messages.
fn shown(kind: UpsamplerKind, name: &str) -> String {
    match name.strip_prefix("up1.") {
        Some(rest) if kind == UpsamplerKind::JbuOne => format!("upsampler.up.{rest}"),
        _ => format!("upsampler.{name}"),
    }
}

fn missing(kind: UpsamplerKind, name: &str, expected: &str) -> Error {
    Error::input(format!("the tensor {} of shape {expected} is missing from {}", shown(kind, name), kind.name()))
        .with_hint(SUPPORTED)
}

fn wrong_shape(kind: UpsamplerKind, name: &str, expected: &str, found: &TensorData) -> Error {
    Error::input(format!("the tensor {} has shape {}, not {expected}", shown(kind, name), show_shape(found.shape())))
        .with_hint(SUPPORTED)
}
