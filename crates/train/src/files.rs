//! A trained model's folder: weights as other programs name them, the tokenizer, and what the weights do not say.

use std::fs;
use std::path::Path;

use segearth::error::{Context, Result};
use segearth::model::text::Tokenizer;
use segearth::network::convolutional::ConvolutionalTower;
use segearth::network::{Tensors, TextTower};
use segearth::train::weights;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::engine::Plan;
use super::initial::Shape;
use super::student;

pub const WEIGHTS: &str = "weights.safetensors";
/// The same without norms: what the program takes.
pub const CLIP: &str = "clip.safetensors";
pub const TOKENIZER: &str = "tokenizer.json";
pub const CONFIG: &str = "config.json";

/// `config.json`: the text tower's sizes in Hugging Face's words, and how the run went.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Config {
    pub shape: Shape,
    pub plan: Plan,
}

impl Config {
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG);
        let foreign = || format!("{} does not describe a training", path.display());
        let text = fs::read_to_string(&path).input(|| format!("cannot read {}", path.display()))?;
        let json: Value = serde_json::from_str(&text).input(foreign)?;
        serde_json::from_value(json.get("training").cloned().unwrap_or_default()).input(foreign)
    }

    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(CONFIG);
        let Shape { joint, text_width, text_layers, text_heads, .. } = self.shape;
        let json = json!({
            "projection_dim": joint,
            "text_config": {
                "hidden_size": text_width, "num_hidden_layers": text_layers, "num_attention_heads": text_heads,
                "max_position_embeddings": self.shape.context, "vocab_size": self.shape.vocabulary, "hidden_act": "gelu",
            },
            "training": self,
        });
        let text = serde_json::to_string_pretty(&json).internal(|| "a configuration cannot be written".into())?;
        fs::write(&path, text).input(|| format!("cannot write {}", path.display()))
    }
}

/// A trained model in float32.
#[derive(Debug)]
pub struct Trained {
    pub config: Config,
    pub tokenizer: Tokenizer,
    clip: Tensors,
}

impl Trained {
    /// Reads a folder.
    pub fn open(folder: &Path) -> Result<Self> {
        Ok(Self {
            config: Config::read(folder)?,
            tokenizer: Tokenizer::from_file(&folder.join(TOKENIZER))?,
            clip: weights::read(&folder.join(CLIP))?,
        })
    }

    pub fn towers(&self) -> Result<(ConvolutionalTower, TextTower)> {
        student::towers(&self.clip, &self.config.shape)
    }
}
