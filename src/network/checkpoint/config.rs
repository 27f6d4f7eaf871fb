//! What cannot be read from the tensors: the `config.json` beside Hugging Face's files and the `open_clip_config.json` beside
//! open_clip's. Only four facts of theirs matter: the heads of both towers, the activation, the layer norms' epsilon.

use std::path::Path;

use serde_json::Value;

use crate::error::{Context, Error, Result};

const MAX_CONFIG: u64 = 1 << 20;

/// The activation inside the blocks' MLPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x · sigmoid(1.702 x): OpenAI's weights and those made from them.
    QuickGelu,
    /// The exact GELU: most of open_clip's own weights.
    Gelu,
}

/// What a configuration beside the weights says of one tower.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tower {
    pub width: Option<usize>,
    pub heads: Option<usize>,
}

/// What a configuration beside the weights says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelConfig {
    /// The file's name.
    pub(super) file: String,
    pub(super) vision: Tower,
    pub(super) text: Tower,
    pub(super) activation: Option<Activation>,
}

impl ModelConfig {
    /// The configuration in the same folder as a checkpoint, if there is one.
    ///
    /// # Errors
    /// It is there and cannot be read, or it asks for what the network does not have.
    pub fn beside(checkpoint: &Path) -> Result<Option<Self>> {
        for name in ["config.json", "open_clip_config.json"] {
            let path = checkpoint.with_file_name(name);
            let Ok(metadata) = std::fs::metadata(&path) else { continue };
            let read = || -> Result<Option<Self>> {
                if metadata.len() > MAX_CONFIG {
                    return Err(Error::input(format!("it has {} bytes, {MAX_CONFIG} are allowed", metadata.len())));
                }
                let text = std::fs::read_to_string(&path).input(|| "it cannot be opened".into())?;
                Self::parse(name, &text)
            };
            let config = read().input(|| format!("cannot read {} beside the weights", path.display()))?;
            if config.is_some() {
                return Ok(config);
            }
        }
        Ok(None)
    }

    /// `None`: the text is JSON, but not of a CLIP.
    pub(super) fn parse(file: &str, text: &str) -> Result<Option<Self>> {
        let json: Value = serde_json::from_str(text).input(|| "it is not JSON".into())?;
        let config = if let Some(model) = json.get("model_cfg") {
            Self::open_clip(file, model)?
        } else if json.get("vision_config").is_some() {
            Self::hugging_face(file, &json)?
        } else {
            return Ok(None);
        };
        Ok(Some(config))
    }

    fn hugging_face(file: &str, json: &Value) -> Result<Self> {
        let tower = |name: &str| -> Result<(Tower, Option<Activation>)> {
            let Some(tower) = json.get(name) else { return Ok(Default::default()) };
            if let Some(epsilon) = tower.get("layer_norm_eps").and_then(Value::as_f64)
                && (epsilon - 1e-5).abs() > 1e-9
            {
                return Err(Error::input(format!("{name}.layer_norm_eps is {epsilon}, only 1e-5 is supported")));
            }
            let activation = match tower.get("hidden_act").and_then(Value::as_str) {
                None => None,
                Some("quick_gelu") => Some(Activation::QuickGelu),
                Some("gelu") => Some(Activation::Gelu),
                Some(other) => {
                    let other: String = other.chars().take(40).collect();
                    return Err(Error::input(format!(
                        "{name}.hidden_act is {other:?}, only \"quick_gelu\" and \"gelu\" are supported"
                    )));
                }
            };
            let facts = Tower { width: number(tower, "hidden_size")?, heads: number(tower, "num_attention_heads")? };
            Ok((facts, activation))
        };
        let ((vision, first), (text, second)) = (tower("vision_config")?, tower("text_config")?);
        if let (Some(first), Some(second)) = (first, second)
            && first != second
        {
            return Err(Error::input("the two towers have different activations, which is not supported"));
        }
        Ok(Self { file: file.into(), vision, text, activation: first.or(second) })
    }

    fn open_clip(file: &str, model: &Value) -> Result<Self> {
        let tower = |name: &str| model.get(name).unwrap_or(&Value::Null);
        let (vision, text) = (tower("vision_cfg"), tower("text_cfg"));
        let width = number(vision, "width")?;
        // open_clip says how wide a head is, not how many there are.
        let heads = match (width, number(vision, "head_width")?) {
            (Some(width), Some(head)) if width % head == 0 => Some(width / head),
            _ => None,
        };
        let quick = model.get("quick_gelu").and_then(Value::as_bool).unwrap_or(false);
        Ok(Self {
            file: file.into(),
            vision: Tower { width, heads },
            text: Tower { width: number(text, "width")?, heads: number(text, "heads")? },
            activation: Some(if quick { Activation::QuickGelu } else { Activation::Gelu }),
        })
    }
}

/// A positive whole number, where there is one under that name.
fn number(json: &Value, name: &str) -> Result<Option<usize>> {
    match json.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64().and_then(|value| usize::try_from(value).ok()) {
            Some(value) if (1..=1 << 20).contains(&value) => Ok(Some(value)),
            _ => Err(Error::input(format!("{name} is no number from 1 to 1048576"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hugging_face_and_open_clip_configurations_are_read() {
        let text = r#"{"vision_config": {"hidden_size": 1280, "num_attention_heads": 16, "hidden_act": "gelu"},
                       "text_config": {"num_attention_heads": 16}}"#;
        let config = ModelConfig::parse("config.json", text).unwrap().unwrap();
        assert_eq!(config.vision, Tower { width: Some(1280), heads: Some(16) });
        assert_eq!((config.text.heads, config.activation), (Some(16), Some(Activation::Gelu)));

        let text = r#"{"model_cfg": {"quick_gelu": true, "vision_cfg": {"width": 1280, "head_width": 80},
                       "text_cfg": {"width": 1024, "heads": 16}}}"#;
        let config = ModelConfig::parse("open_clip_config.json", text).unwrap().unwrap();
        assert_eq!((config.vision.heads, config.text.heads), (Some(16), Some(16)));
        assert_eq!(config.activation, Some(Activation::QuickGelu));
    }

    #[test]
    fn other_configurations_are_left_alone_and_wrong_ones_refused() {
        assert_eq!(ModelConfig::parse("config.json", r#"{"model_type": "bert"}"#).unwrap(), None);
        assert!(ModelConfig::parse("config.json", "[").is_err());
        for wrong in [r#"{"num_attention_heads": 0}"#, r#"{"hidden_act": "relu"}"#, r#"{"layer_norm_eps": 1e-6}"#] {
            assert!(ModelConfig::parse("config.json", &format!(r#"{{"vision_config": {wrong}}}"#)).is_err(), "{wrong}");
        }
    }
}
