//! `open_clip_config.json` of open_clip.

use serde_json::Value;

use super::model_config::{Activation, ModelConfig, Size, Tower, is_epsilon, is_set, shown};

impl ModelConfig {
    /// Reads the facts of a `model_cfg`.
    pub(super) fn open_clip(&mut self, model: &Value) {
        let tower = |name: &str| model.get(name).unwrap_or(&Value::Null);
        let (vision, text) = (tower("vision_cfg"), tower("text_cfg"));
        let named = |tower: &Value, key: &str| tower.get(key).filter(|value| is_set(value)).map(shown);
        self.family = if let Some(name) = named(vision, "timm_model_name") {
            let family = match name.to_lowercase() {
                name if name.contains("siglip") => "a SigLIP",
                name if name.contains("eva") => "an EVA-CLIP",
                _ => "a CLIP with a vision tower of timm",
            };
            Some(format!("{family} (vision_cfg.timm_model_name = {name})"))
        } else if let Some(name) = named(vision, "eva_model_name") {
            Some(format!("an EVA-CLIP (vision_cfg.eva_model_name = {name})"))
        } else if let Some(name) = named(text, "hf_model_name") {
            Some(format!("a CLIP with a text tower of Hugging Face (text_cfg.hf_model_name = {name})"))
        } else if model.get("multimodal_cfg").is_some_and(is_set) {
            Some("a CoCa (multimodal_cfg is there)".to_owned())
        } else if vision.get("layers").is_some_and(Value::is_array) {
            Some("a CLIP with a ResNet (vision_cfg.layers is a list)".to_owned())
        } else if vision.get("no_ln_pre").is_some_and(is_set) && text.get("no_causal_mask").is_some_and(is_set) {
            Some("a CLIPA (vision_cfg.no_ln_pre and text_cfg.no_causal_mask)".to_owned())
        } else {
            None
        };
        self.size(model, "embed_dim", Size::EmbedDim);
        self.size(vision, "vision_cfg.patch_size", Size::Patch);
        if !vision.get("layers").is_some_and(Value::is_array) {
            self.size(vision, "vision_cfg.layers", Size::VisionLayers);
        }
        self.size(text, "text_cfg.layers", Size::TextLayers);
        self.size(text, "text_cfg.vocab_size", Size::Vocabulary);
        self.size(text, "text_cfg.context_length", Size::Context);
        // open_clip says how wide a head of the vision tower is, and how many the text tower has; 64 and 8 are what it takes where
        // the file is silent.
        let width = self.size(vision, "vision_cfg.width", Size::VisionWidth);
        let head = self.number(vision, "vision_cfg.head_width").unwrap_or(64);
        if let Some(width) = width.filter(|width| !width.is_multiple_of(head)) {
            self.unsupported.push(format!("vision_cfg.head_width = {head}, which does not divide a width of {width}"));
        }
        self.vision = Tower { width, heads: width.map(|width| (width / head).max(1)) };
        let width = self.size(text, "text_cfg.width", Size::TextWidth);
        let heads = self.number(text, "text_cfg.heads");
        self.text = Tower { width, heads: heads.or(width.map(|_| 8)) };
        self.activation = match model.get("quick_gelu").unwrap_or(&Value::Null) {
            Value::Bool(true) => Some(Activation::QuickGelu),
            Value::Bool(false) | Value::Null => Some(Activation::Gelu),
            other => {
                self.refuse("quick_gelu", other);
                None
            }
        };
        self.open_clip_facts(
            vision,
            "vision_cfg",
            &["attentional_pool", "no_ln_pre", "rope", "postnorm", "subln", "naiveswiglu"],
        );
        self.open_clip_facts(text, "text_cfg", &["embed_cls", "no_causal_mask", "proj_bias", "tokenizer_kwargs"]);
        let usual = [
            (vision, "vision_cfg", "pool_type", "tok"),
            (text, "text_cfg", "pool_type", "argmax"),
            (text, "text_cfg", "proj_type", "linear"),
            (vision, "vision_cfg", "block_type", "default"),
            (text, "text_cfg", "block_type", "default"),
        ];
        for (tower, name, key, usual) in usual {
            if let Some(value) = tower.get(key).filter(|value| !value.is_null() && value.as_str() != Some(usual)) {
                self.refuse(&format!("{name}.{key}"), value);
            }
        }
    }

    /// Facts that change what a tower of open_clip computes wherever they are set at all.
    fn open_clip_facts(&mut self, tower: &Value, name: &str, keys: &[&str]) {
        const BOTH: [&str; 7] = [
            "ls_init_value",
            "qk_norm",
            "scaled_cosine_attn",
            "scale_heads",
            "scale_attn",
            "scale_attn_inner",
            "scale_fc",
        ];
        for key in BOTH.iter().chain(keys) {
            if let Some(value) = tower.get(key).filter(|value| is_set(value)) {
                self.refuse(&format!("{name}.{key}"), value);
            }
        }
        if let Some(options) = tower.get("act_kwargs").filter(|options| is_set(options)) {
            let exact = options.as_object().is_some_and(|options| {
                options.iter().all(|(key, value)| key == "approximate" && value.as_str() == Some("none"))
            });
            if !exact {
                self.refuse(&format!("{name}.act_kwargs"), options);
            }
        }
        if let Some(options) = tower.get("norm_kwargs").filter(|options| is_set(options)) {
            let usual = options.as_object().is_some_and(|options| {
                options.iter().all(|(key, value)| key == "eps" && value.as_f64().is_some_and(is_epsilon))
            });
            if !usual {
                self.refuse(&format!("{name}.norm_kwargs"), options);
            }
        }
    }
}
