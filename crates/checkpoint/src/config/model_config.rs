//! The configuration of a CLIP: the facts, and whether they belong to the weights.

use segearth_error::{Error, Result};
use serde_json::Value;

use crate::clip_sizes::ClipSizes;

/// The epsilon of every layer norm here, as in PyTorch and transformers.
const EPSILON: f64 = 1e-5;

/// The activation inside the blocks' MLPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x · sigmoid(1.702 x): OpenAI's weights and those made from them.
    QuickGelu,
    /// The exact GELU: most of open_clip's own weights.
    Gelu,
}

impl Activation {
    /// Returns the name in flags and `model.yaml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::QuickGelu => "quickgelu",
            Self::Gelu => "gelu",
        }
    }
}

/// An activation, and the file that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownActivation {
    /// The activation of both towers' MLPs.
    pub activation: Activation,
    /// Such as `config.json`; empty where it is not recorded.
    pub from: String,
}

/// Mean and standard deviation of red, green and blue, for pixels in 0..=1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelStatistics {
    /// Mean of red, green and blue.
    pub mean: [f64; 3],
    /// Standard deviation of red, green and blue.
    pub std: [f64; 3],
}

/// Facts about one tower.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tower {
    pub width: Option<usize>,
    pub heads: Option<usize>,
}

/// A size that tensors and configurations both have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    VisionWidth,
    VisionLayers,
    Patch,
    EmbedDim,
    TextWidth,
    TextLayers,
    Vocabulary,
    Context,
}

impl Size {
    fn of(self, sizes: &ClipSizes) -> usize {
        match self {
            Self::VisionWidth => sizes.vision_width,
            Self::VisionLayers => sizes.vision_layers,
            Self::Patch => sizes.patch,
            Self::EmbedDim => sizes.embed_dim,
            Self::TextWidth => sizes.text_width,
            Self::TextLayers => sizes.text_layers,
            Self::Vocabulary => sizes.vocab,
            Self::Context => sizes.context,
        }
    }
}

/// The configuration of a CLIP, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelConfig {
    /// The file's name.
    pub(crate) file: String,
    pub(crate) vision: Tower,
    pub(crate) text: Tower,
    pub(crate) activation: Option<Activation>,
    pub(crate) pixels: Option<PixelStatistics>,
    /// Sizes that the weights show as well: key, size, value.
    pub(super) stated: Vec<(String, Size, usize)>,
    /// The network that it describes, if that is not a plain CLIP.
    pub(super) family: Option<String>,
    /// Options that are not supported, as `key = value`.
    pub(super) unsupported: Vec<String>,
}

impl ModelConfig {
    /// Compares the configuration with the weights. Returns the first size that differs, as a clause for a message, or `None`.
    ///
    /// # Errors
    /// The sizes are those of the weights, but the network or an option is not supported.
    pub(crate) fn contradiction(&self, sizes: &ClipSizes) -> Result<Option<String>> {
        for (key, size, value) in &self.stated {
            let found = size.of(sizes);
            if found != *value {
                return Ok(Some(format!("it says {key} = {value}, the weights have {found}")));
            }
        }
        let wrong = match (&self.family, self.unsupported.as_slice()) {
            (None, []) => return Ok(None),
            (Some(family), _) => format!("{} beside the weights describes {family}", self.file),
            (None, facts) => format!(
                "{} beside the weights has unsupported options: {}",
                self.file,
                facts.iter().take(8).cloned().collect::<Vec<_>>().join(", ")
            ),
        };
        Err(Error::input(wrong).with_hint(
            "The default architecture of OpenAI's and open_clip's CLIP is supported. If the configuration belongs to other weights, \
             move these to a separate folder.",
        ))
    }

    /// Records an option that is not supported.
    pub(super) fn refuse(&mut self, path: &str, value: &Value) {
        self.unsupported.push(format!("{path} = {}", shown(value)));
    }

    /// Reads a size that the weights show as well, as [`Self::number`].
    pub(super) fn size(&mut self, json: &Value, path: &str, size: Size) -> Option<usize> {
        let value = self.number(json, path)?;
        self.stated.push((path.to_owned(), size, value));
        Some(value)
    }

    /// Reads a positive integer under the last part of `path`.
    pub(super) fn number(&mut self, json: &Value, path: &str) -> Option<usize> {
        let value = json.get(path.rsplit('.').next().unwrap_or(path)).filter(|value| !value.is_null())?;
        let number = value.as_u64().and_then(|value| usize::try_from(value).ok());
        let number = number.filter(|number| (1..=1 << 20).contains(number));
        if number.is_none() {
            self.unsupported.push(format!("{path} = {} (not a number from 1 to 1048576)", shown(value)));
        }
        number
    }
}

/// Returns whether a layer norm has the epsilon that is supported.
pub(super) fn is_epsilon(value: f64) -> bool {
    (value - EPSILON).abs() <= 1e-9
}

/// Returns whether an option is set: not absent, null, false or empty.
pub(super) fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    }
}

/// Returns a value as JSON, truncated to 60 characters.
pub(super) fn shown(value: &Value) -> String {
    let whole = value.to_string();
    if whole.chars().count() <= 60 { whole } else { format!("{}…", whole.chars().take(60).collect::<String>()) }
}
