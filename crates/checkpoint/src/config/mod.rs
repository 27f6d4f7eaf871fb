//! Facts about a CLIP that its tensors do not show, from the configuration beside them: `open_clip_config.json` of open_clip,
//! `config.json` (and `preprocessor_config.json`) of Hugging Face.
//!
//! These are the heads of both towers, the activation and the normalisation of pixels. Sizes in a configuration are compared with the
//! weights, so that a configuration of other weights is ignored. Options that change what a network computes and are not supported
//! are refused by name; all others are ignored.

use std::path::Path;

use segearth_error::{Context, Error, Result};
use serde_json::Value;

mod hugging_face;
mod model_config;
mod open_clip;
#[cfg(test)]
mod tests;

pub(super) use model_config::Tower;
pub use model_config::{Activation, KnownActivation, ModelConfig, PixelStatistics};

/// Most bytes of a configuration.
const MAX_CONFIG: u64 = 1 << 20;

impl ModelConfig {
    /// Returns the configurations of a CLIP in the folder of a checkpoint, first that of the program whose tensor names it has.
    ///
    /// # Errors
    /// A configuration exists and cannot be read.
    pub fn beside(checkpoint: &Path, hugging_face_names: bool) -> Result<Vec<Self>> {
        let mut names = ["open_clip_config.json", "config.json"];
        if hugging_face_names {
            names.reverse();
        }
        let mut found = Vec::new();
        for name in names {
            let path = checkpoint.with_file_name(name);
            let Some(text) = read(&path)? else { continue };
            let parsed = Self::parse(name, &text);
            let Some(mut config) = parsed.map_err(|error| unreadable(error, &path))? else { continue };
            if config.pixels.is_none() && name == "config.json" {
                let path = checkpoint.with_file_name("preprocessor_config.json");
                if let Some(text) = read(&path)? {
                    config.pixels = preprocessor(&text).map_err(|error| unreadable(error, &path))?;
                }
            }
            found.push(config);
        }
        Ok(found)
    }

    /// Parses a configuration; `None` if it is not of a CLIP. `file`: its name, for messages.
    ///
    /// # Errors
    /// The text is not JSON.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Option<Self>> {
        let json: Value = json(text)?;
        let mut config = Self { file: file.into(), ..Self::default() };
        // Published files of open_clip have the description below `model_cfg`, those in its sources at the top level.
        if let Some(model) = json.get("model_cfg").or_else(|| json.get("vision_cfg").map(|_| &json)) {
            config.open_clip(model);
            config.pixels = json.get("preprocess_cfg").and_then(|pixels| statistics(pixels, "mean", "std"));
        } else if ["vision_config", "vision_config_dict"].iter().any(|key| json.get(key).is_some_and(Value::is_object))
        {
            config.hugging_face(&json);
        } else {
            return Ok(None);
        }
        Ok(Some(config))
    }
}

/// Returns the text of a configuration, or `None` if there is no such file.
fn read(path: &Path) -> Result<Option<String>> {
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(None) };
    if !metadata.is_file() {
        return Ok(None);
    }
    if metadata.len() > MAX_CONFIG {
        return Err(unreadable(
            Error::input(format!("it has {} bytes; at most {MAX_CONFIG} are allowed", metadata.len())),
            path,
        ));
    }
    let text = std::fs::read_to_string(path).input(|| "it is not UTF-8 text".into());
    text.map(Some).map_err(|error| unreadable(error, path))
}

fn unreadable(error: Error, path: &Path) -> Error {
    Error::input(format!("cannot read {} beside the weights", path.display()))
        .with_hint("Download it again. If it does not belong to the weights, move them to a separate folder.")
        .with_source(error)
}

fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text.trim_start_matches('\u{feff}')).input(|| "it is not JSON".into())
}

/// Returns the normalisation in transformers' `preprocessor_config.json`.
fn preprocessor(text: &str) -> Result<Option<PixelStatistics>> {
    let json = json(text)?;
    if json.get("do_normalize") == Some(&Value::Bool(false)) {
        return Ok(Some(PixelStatistics { mean: [0.0; 3], std: [1.0; 3] }));
    }
    Ok(statistics(&json, "image_mean", "image_std"))
}

/// Returns three means and three positive standard deviations.
fn statistics(json: &Value, mean: &str, std: &str) -> Option<PixelStatistics> {
    let three = |key: &str| -> Option<[f64; 3]> {
        let values = json.get(key)?.as_array()?;
        let values: Vec<f64> = values.iter().map(Value::as_f64).collect::<Option<_>>()?;
        values.try_into().ok()
    };
    let found = PixelStatistics { mean: three(mean)?, std: three(std)? };
    found.std.iter().all(|std| *std > 0.0).then_some(found)
}
