//! `config.json` of Hugging Face's transformers.

use serde_json::Value;

use super::model_config::{Activation, ModelConfig, Size, Tower, is_epsilon, shown};

impl ModelConfig {
    /// Reads the facts of a `CLIPConfig`.
    pub(super) fn hugging_face(&mut self, json: &Value) {
        match json.get("model_type").and_then(Value::as_str) {
            None | Some("clip") => {}
            Some(other) => {
                let family = match other {
                    "chinese_clip" => "a ChineseCLIP",
                    "siglip" | "siglip2" => "a SigLIP",
                    "altclip" => "an AltCLIP",
                    "metaclip_2" => "a MetaCLIP 2",
                    "blip" | "blip-2" => "a BLIP",
                    "align" => "an ALIGN",
                    _ => "another network",
                };
                self.family = Some(format!("{family} (model_type = {})", shown(&Value::from(other))));
            }
        }
        self.size(json, "projection_dim", Size::EmbedDim);
        // Older files have the values that count in a second place.
        let tower = |name: &str| {
            let tower = json.get(format!("{name}_dict")).filter(|tower| tower.is_object()).or_else(|| json.get(name));
            tower.unwrap_or(&Value::Null)
        };
        let (vision, text) = (tower("vision_config"), tower("text_config"));
        self.size(vision, "vision_config.patch_size", Size::Patch);
        self.size(vision, "vision_config.num_hidden_layers", Size::VisionLayers);
        self.size(text, "text_config.num_hidden_layers", Size::TextLayers);
        self.size(text, "text_config.vocab_size", Size::Vocabulary);
        self.size(text, "text_config.max_position_embeddings", Size::Context);
        // 12 and 8 are what transformers takes where the file is silent.
        let width = self.size(vision, "vision_config.hidden_size", Size::VisionWidth);
        let heads = self.number(vision, "vision_config.num_attention_heads");
        self.vision = Tower { width, heads: heads.or(width.map(|_| 12)) };
        let width = self.size(text, "text_config.hidden_size", Size::TextWidth);
        let heads = self.number(text, "text_config.num_attention_heads");
        self.text = Tower { width, heads: heads.or(width.map(|_| 8)) };
        for (tower, name) in [(vision, "vision_config"), (text, "text_config")] {
            if let Some(epsilon) =
                tower.get("layer_norm_eps").filter(|epsilon| !epsilon.as_f64().is_some_and(is_epsilon))
            {
                self.refuse(&format!("{name}.layer_norm_eps"), epsilon);
            }
            for (key, usual) in [("num_channels", Value::from(3)), ("qkv_bias", Value::from(true))] {
                if let Some(value) = tower.get(key).filter(|value| !value.is_null() && **value != usual) {
                    self.refuse(&format!("{name}.{key}"), value);
                }
            }
        }
        let first = self.hidden_act(vision, "vision_config.hidden_act");
        let second = self.hidden_act(text, "text_config.hidden_act");
        if let (Some(first), Some(second)) = (first, second)
            && first != second
        {
            self.unsupported.push(format!(
                "different vision_config.hidden_act and text_config.hidden_act ({} and {})",
                first.name(),
                second.name()
            ));
        }
        // transformers takes this one where neither tower says.
        self.activation = first.or(second).or(Some(Activation::QuickGelu));
    }

    fn hidden_act(&mut self, tower: &Value, path: &str) -> Option<Activation> {
        match tower.get("hidden_act").filter(|name| !name.is_null())? {
            Value::String(name) if name == "quick_gelu" => Some(Activation::QuickGelu),
            Value::String(name) if name == "gelu" || name == "gelu_python" => Some(Activation::Gelu),
            other => {
                self.refuse(path, other);
                None
            }
        }
    }
}
