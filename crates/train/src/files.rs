//! A trained model's folder: weights as other programs name them, the tokenizer, and what the weights do not say.

use std::fs;
use std::path::Path;

use segearth::error::{Context, Result};
use segearth::model::text::Tokenizer;
use segearth::network::{ImageTower, Tensors, TextTower, Upsampler};
use segearth::train::weights;
use segearth_checkpoint::UpsamplerKind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::clip;
use super::engine::Plan;
use super::initial::Shape;

pub const CLIP: &str = "clip.safetensors";
pub const UPSAMPLER: &str = "upsampler.safetensors";
pub const TOKENIZER: &str = "tokenizer.json";
/// What the model learnt from, with the statistics of its norms; of no use afterwards.
pub const TEACHER: &str = "teacher.safetensors";
pub const CONFIG: &str = "config.json";

/// `config.json`: sizes in Hugging Face's words, for whoever imports the weights, and how the run went.
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
        let Shape { patch, window, width, layers, heads, joint, text_width, text_layers, text_heads, .. } = self.shape;
        let json = json!({
            "projection_dim": joint,
            "vision_config": {
                "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads,
                "image_size": window, "patch_size": patch, "hidden_act": "gelu",
            },
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
    upsampler: Option<Tensors>,
}

impl Trained {
    /// Reads a folder; the upsampler may be missing.
    pub fn open(folder: &Path) -> Result<Self> {
        let upsampler = folder.join(UPSAMPLER);
        Ok(Self {
            config: Config::read(folder)?,
            tokenizer: Tokenizer::from_file(&folder.join(TOKENIZER))?,
            clip: weights::read(&folder.join(CLIP))?,
            upsampler: if upsampler.exists() { Some(weights::read(&upsampler)?) } else { None },
        })
    }

    pub fn towers(&self) -> Result<(ImageTower, TextTower)> {
        clip::towers(&self.clip, &self.config.shape)
    }

    pub fn upsampler(&self) -> Result<Option<Upsampler>> {
        let patch = self.config.shape.patch as i64;
        let load =
            |tensors| Upsampler::load(&segearth::train::upsampler::canonical(tensors), UpsamplerKind::JbuOne, patch);
        self.upsampler.as_ref().map(load).transpose()
    }
}
