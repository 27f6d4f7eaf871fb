//! What cannot be read from the tensors: `open_clip_config.json` beside open_clip's files, `config.json` (and
//! `preprocessor_config.json`) beside Hugging Face's.
//!
//! Taken from it are the heads of both towers, the activation and the pixels' normalisation. What it says of sizes is held against
//! the weights: a configuration of other weights is not followed. A fact that the network here does not have is refused by name;
//! keys that mean nothing for a forward pass are passed over.

use std::path::Path;

use segearth_error::{Context, Error, Result};
use serde_json::Value;

use super::clip::ClipSizes;

const MAX_CONFIG: u64 = 1 << 20;

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
    /// As flags and `model.yaml` name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::QuickGelu => "quickgelu",
            Self::Gelu => "gelu",
        }
    }
}

/// An activation, and where it is known from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownActivation {
    /// The activation of both towers' MLPs.
    pub activation: Activation,
    /// Such as `config.json`; empty where nobody recorded it.
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

/// What a configuration beside the weights says of one tower.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tower {
    pub width: Option<usize>,
    pub heads: Option<usize>,
}

/// A size that tensors and configurations both tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
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

/// What a configuration beside the weights says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelConfig {
    /// The file's name.
    pub(super) file: String,
    pub(super) vision: Tower,
    pub(super) text: Tower,
    pub(super) activation: Option<Activation>,
    pub(super) pixels: Option<PixelStatistics>,
    /// Sizes that the weights show as well: the key, which size it is, its value.
    stated: Vec<(String, Size, usize)>,
    /// The network that it describes, where that is no plain CLIP.
    family: Option<String>,
    /// What it asks for and the network here does not have, as `key = value`.
    unsupported: Vec<String>,
}

impl ModelConfig {
    /// The configurations of a CLIP in the same folder as a checkpoint: first the one that belongs to its naming of tensors.
    ///
    /// # Errors
    /// One is there and cannot be read.
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

    /// `None`: the text is JSON, but not of a CLIP.
    ///
    /// # Errors
    /// The text is no JSON.
    pub(super) fn parse(file: &str, text: &str) -> Result<Option<Self>> {
        let json: Value = json(text)?;
        let mut config = Self { file: file.into(), ..Self::default() };
        // open_clip keeps its own description of a model below `model_cfg`, and in its sources without that.
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

    /// Whether it is of these weights: `Some` says what it contradicts them in.
    ///
    /// # Errors
    /// It is, and asks for what the network does not have.
    pub(super) fn contradiction(&self, sizes: &ClipSizes) -> Result<Option<String>> {
        for (key, size, value) in &self.stated {
            let found = size.of(sizes);
            if found != *value {
                return Ok(Some(format!("it says {key} = {value}, and the weights have {found}")));
            }
        }
        let wrong = match (&self.family, self.unsupported.as_slice()) {
            (None, []) => return Ok(None),
            (Some(family), _) => format!("{} beside the weights is of {family}", self.file),
            (None, facts) => format!(
                "{} beside the weights asks for what is not supported: {}",
                self.file,
                facts.iter().take(8).cloned().collect::<Vec<_>>().join(", ")
            ),
        };
        Err(Error::input(wrong).with_hint(
            "A CLIP as OpenAI and open_clip build it by default is supported. If the configuration belongs to other weights, keep \
             these in a folder of their own.",
        ))
    }

    fn hugging_face(&mut self, json: &Value) {
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
                "vision_config.hidden_act and text_config.hidden_act that differ ({} and {})",
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

    fn open_clip(&mut self, model: &Value) {
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

    fn refuse(&mut self, path: &str, value: &Value) {
        self.unsupported.push(format!("{path} = {}", shown(value)));
    }

    /// As [`Self::number`], for a size that the weights show as well.
    fn size(&mut self, json: &Value, path: &str, size: Size) -> Option<usize> {
        let value = self.number(json, path)?;
        self.stated.push((path.to_owned(), size, value));
        Some(value)
    }

    /// A positive whole number, where there is one under the last part of the path.
    fn number(&mut self, json: &Value, path: &str) -> Option<usize> {
        let value = json.get(path.rsplit('.').next().unwrap_or(path)).filter(|value| !value.is_null())?;
        let number = value.as_u64().and_then(|value| usize::try_from(value).ok());
        let number = number.filter(|number| (1..=1 << 20).contains(number));
        if number.is_none() {
            self.unsupported.push(format!("{path} = {} (no number from 1 to 1048576)", shown(value)));
        }
        number
    }
}

/// The text of a configuration; `None` where there is no such file.
fn read(path: &Path) -> Result<Option<String>> {
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(None) };
    if !metadata.is_file() {
        return Ok(None);
    }
    if metadata.len() > MAX_CONFIG {
        return Err(unreadable(
            Error::input(format!("it has {} bytes, {MAX_CONFIG} are allowed", metadata.len())),
            path,
        ));
    }
    let text = std::fs::read_to_string(path).input(|| "it is no text".into());
    text.map(Some).map_err(|error| unreadable(error, path))
}

fn unreadable(error: Error, path: &Path) -> Error {
    Error::input(format!("cannot read {} beside the weights", path.display()))
        .with_hint("Download it again. If it belongs to something else, keep the weights in a folder of their own.")
        .with_source(error)
}

fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text.trim_start_matches('\u{feff}')).input(|| "it is not JSON".into())
}

/// What transformers' description of the images' preparation says of their pixels.
fn preprocessor(text: &str) -> Result<Option<PixelStatistics>> {
    let json = json(text)?;
    if json.get("do_normalize") == Some(&Value::Bool(false)) {
        return Ok(Some(PixelStatistics { mean: [0.0; 3], std: [1.0; 3] }));
    }
    Ok(statistics(&json, "image_mean", "image_std"))
}

/// Three means and three deviations that can be divided by.
fn statistics(json: &Value, mean: &str, std: &str) -> Option<PixelStatistics> {
    let three = |key: &str| -> Option<[f64; 3]> {
        let values = json.get(key)?.as_array()?;
        let values: Vec<f64> = values.iter().map(Value::as_f64).collect::<Option<_>>()?;
        values.try_into().ok()
    };
    let found = PixelStatistics { mean: three(mean)?, std: three(std)? };
    found.std.iter().all(|std| *std > 0.0).then_some(found)
}

fn is_epsilon(value: f64) -> bool {
    (value - EPSILON).abs() <= 1e-9
}

/// Neither absent in any of the ways that JSON and Python have, nor switched off.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    }
}

/// A value as JSON, cut to what fits in a sentence.
fn shown(value: &Value) -> String {
    let whole = value.to_string();
    if whole.chars().count() <= 60 { whole } else { format!("{}…", whole.chars().take(60).collect::<String>()) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::tiny_sizes;
    use super::*;

    fn config(file: &str, text: &str) -> ModelConfig {
        ModelConfig::parse(file, text).unwrap().unwrap()
    }

    #[test]
    fn hugging_face_and_open_clip_configurations_are_read() {
        let text = r#"{"vision_config": {"hidden_size": 1280, "num_attention_heads": 16, "hidden_act": "gelu"},
                       "text_config": {"num_attention_heads": 16}}"#;
        let read = config("config.json", text);
        assert_eq!(read.vision, Tower { width: Some(1280), heads: Some(16) });
        assert_eq!((read.text.heads, read.activation), (Some(16), Some(Activation::Gelu)));

        let text = r#"{"model_cfg": {"quick_gelu": true, "vision_cfg": {"width": 1280, "head_width": 80},
                       "text_cfg": {"width": 1024, "heads": 16}}}"#;
        let read = config("open_clip_config.json", text);
        assert_eq!((read.vision.heads, read.text.heads), (Some(16), Some(16)));
        assert_eq!(read.activation, Some(Activation::QuickGelu));
    }

    /// The defaults of `CLIPVisionCfg` and `CLIPTextCfg` of open_clip, and of `CLIPVisionConfig` and `CLIPTextConfig` of transformers.
    #[test]
    fn silence_means_what_it_means_to_the_program_that_wrote_the_file() {
        let text =
            r#"{"embed_dim": 512, "vision_cfg": {"width": 768, "patch_dropout": 0.5}, "text_cfg": {"width": 512}}"#;
        let read = config("open_clip_config.json", text);
        assert_eq!((read.vision.heads, read.text.heads, read.activation), (Some(12), Some(8), Some(Activation::Gelu)));
        let text =
            r#"{"model_type": "clip", "vision_config": {"hidden_size": 768}, "text_config": {"hidden_size": 512}}"#;
        let read = config("config.json", text);
        assert_eq!(
            (read.vision.heads, read.text.heads, read.activation),
            (Some(12), Some(8), Some(Activation::QuickGelu))
        );
        // What older versions of transformers wrote into a second place is what they read.
        let text = r#"{"vision_config": {"hidden_size": 768, "hidden_act": "quick_gelu"},
                       "vision_config_dict": {"hidden_size": 1024, "num_attention_heads": 16, "hidden_act": "gelu"}}"#;
        let read = config("config.json", text);
        assert_eq!((read.vision.width, read.activation), (Some(1024), Some(Activation::Gelu)));
    }

    #[test]
    fn other_configurations_are_left_alone_and_wrong_ones_refused() {
        assert_eq!(ModelConfig::parse("config.json", r#"{"model_type": "bert"}"#).unwrap(), None);
        assert!(ModelConfig::parse("config.json", "[").is_err());
        for wrong in [r#"{"num_attention_heads": 0}"#, r#"{"hidden_act": "relu"}"#, r#"{"layer_norm_eps": 1e-6}"#] {
            let read = config("config.json", &format!(r#"{{"vision_config": {wrong}}}"#));
            assert!(read.contradiction(&tiny_sizes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_the_network_does_not_have_is_refused_by_name_and_the_rest_passed_over() {
        for (tower, key, value) in [
            ("vision", "pool_type", r#""avg""#),
            ("vision", "no_ln_pre", "true"),
            ("vision", "attentional_pool", "true"),
            ("vision", "act_kwargs", r#"{"approximate":"tanh"}"#),
            ("vision", "norm_kwargs", r#"{"eps":1e-6}"#),
            ("vision", "ls_init_value", "0.1"),
            ("vision", "scaled_cosine_attn", "true"),
            ("vision", "head_width", "60"),
            ("text", "pool_type", r#""last""#),
            ("text", "no_causal_mask", "true"),
            ("text", "embed_cls", "true"),
            ("text", "proj_type", r#""none""#),
            ("text", "tokenizer_kwargs", r#"{"clean":"canonicalize"}"#),
        ] {
            let text =
                format!(r#"{{"{tower}_cfg": {{"width": 64, "{key}": {value}}}, "vision_cfg": {{"width": 128}}}}"#);
            let text = if tower == "vision" {
                format!(r#"{{"vision_cfg": {{"width": 128, "{key}": {value}}}}}"#)
            } else {
                text
            };
            let error = config("open_clip_config.json", &text).contradiction(&tiny_sizes()).unwrap_err().to_string();
            assert!(error.contains(&format!("{tower}_cfg.{key} = ")), "{error}");
        }
        for (tower, key, value) in [
            ("vision", "hidden_act", r#""gelu_pytorch_tanh""#),
            ("text", "layer_norm_eps", "1e-12"),
            ("vision", "num_channels", "4"),
        ] {
            let text = format!(r#"{{"vision_config": {{}}, "{tower}_config": {{"{key}": {value}}}}}"#);
            let error = config("config.json", &text).contradiction(&tiny_sizes()).unwrap_err().to_string();
            assert!(error.contains(&format!("{tower}_config.{key} = ")), "{error}");
        }
        let harmless = r#"{"model_cfg": {"custom_text": true, "vision_cfg": {"width": 128, "patch_dropout": 0.5, "image_size": 336,
            "pool_type": "tok", "output_tokens": true, "norm_kwargs": {"eps": 1e-5}, "no_ln_pre": false, "ls_init_value": null},
            "text_cfg": {"pool_type": "argmax", "hf_tokenizer_name": null, "tokenizer_kwargs": {}, "pad_id": 1, "new": 7}}}"#;
        assert_eq!(config("open_clip_config.json", harmless).contradiction(&tiny_sizes()).unwrap(), None);
        let harmless = r#"{"model_type": "clip", "vision_config": {"attention_dropout": 0.1, "initializer_range": 0.02, "layer_norm_eps":
            1e-05}, "text_config": {"eos_token_id": 2, "gradient_checkpointing": true}, "torch_dtype": "float16"}"#;
        assert_eq!(config("config.json", harmless).contradiction(&tiny_sizes()).unwrap(), None);
    }

    /// A ChineseCLIP has an epsilon of 1e-12 in its BERT, a SigLIP the tanh-GELU: what they are is said, not these.
    #[test]
    fn the_family_is_judged_before_single_values() {
        for (text, family) in [
            (
                r#"{"model_type": "chinese_clip", "vision_config": {}, "text_config": {"layer_norm_eps": 1e-12}}"#,
                "a ChineseCLIP",
            ),
            (r#"{"model_type": "siglip", "vision_config": {"hidden_act": "gelu_pytorch_tanh"}}"#, "a SigLIP"),
            (r#"{"model_type": "novel", "vision_config": {}}"#, "another network (model_type = \"novel\")"),
            (r#"{"vision_cfg": {"timm_model_name": "vit_base_patch16_siglip_224", "timm_pool": "map"}}"#, "a SigLIP"),
            (r#"{"vision_cfg": {"timm_model_name": "eva02_base_patch16_clip_224"}}"#, "an EVA-CLIP"),
            (r#"{"vision_cfg": {}, "text_cfg": {"hf_model_name": "xlm-roberta-base"}}"#, "text tower of Hugging Face"),
            (r#"{"vision_cfg": {"attentional_pool": true}, "multimodal_cfg": {"width": 768}}"#, "a CoCa"),
            (
                r#"{"vision_cfg": {"no_ln_pre": true, "pool_type": "avg"}, "text_cfg": {"no_causal_mask": true}}"#,
                "a CLIPA",
            ),
            (r#"{"vision_cfg": {"layers": [3, 4, 6, 3], "width": 64}}"#, "a CLIP with a ResNet"),
        ] {
            let read = config("config.json", text);
            let sizes = ClipSizes { vision_width: 64, ..tiny_sizes() };
            let error = read.contradiction(&sizes).unwrap_err().to_string();
            assert!(error.contains(family) && !error.contains("not supported"), "{error}");
        }
    }

    #[test]
    fn the_pixels_statistics_are_read() {
        let text =
            r#"{"model_cfg": {"vision_cfg": {}}, "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.25, 1]}}"#;
        let half = PixelStatistics { mean: [0.5; 3], std: [0.5, 0.25, 1.0] };
        assert_eq!(config("open_clip_config.json", text).pixels, Some(half));
        let text = r#"{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.25, 1.0], "do_normalize": true}"#;
        assert_eq!(preprocessor(text).unwrap(), Some(half));
        let none = PixelStatistics { mean: [0.0; 3], std: [1.0; 3] };
        assert_eq!(preprocessor(r#"{"do_normalize": false}"#).unwrap(), Some(none));
        assert_eq!(preprocessor(r#"{"image_mean": [0.5], "image_std": [0, 0, 0]}"#).unwrap(), None);
    }
}
