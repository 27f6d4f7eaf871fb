use super::*;
use crate::clip_sizes::ClipSizes;
use crate::testing::tiny_sizes;

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
fn missing_keys_have_the_defaults_of_the_program_that_wrote_them() {
    let text = r#"{"embed_dim": 512, "vision_cfg": {"width": 768, "patch_dropout": 0.5}, "text_cfg": {"width": 512}}"#;
    let read = config("open_clip_config.json", text);
    assert_eq!((read.vision.heads, read.text.heads, read.activation), (Some(12), Some(8), Some(Activation::Gelu)));
    let text = r#"{"model_type": "clip", "vision_config": {"hidden_size": 768}, "text_config": {"hidden_size": 512}}"#;
    let read = config("config.json", text);
    assert_eq!((read.vision.heads, read.text.heads, read.activation), (Some(12), Some(8), Some(Activation::QuickGelu)));
    // What older versions of transformers wrote into a second place is what they read.
    let text = r#"{"vision_config": {"hidden_size": 768, "hidden_act": "quick_gelu"},
                   "vision_config_dict": {"hidden_size": 1024, "num_attention_heads": 16, "hidden_act": "gelu"}}"#;
    let read = config("config.json", text);
    assert_eq!((read.vision.width, read.activation), (Some(1024), Some(Activation::Gelu)));
}

#[test]
fn other_configurations_are_ignored_and_wrong_ones_refused() {
    assert_eq!(ModelConfig::parse("config.json", r#"{"model_type": "bert"}"#).unwrap(), None);
    assert!(ModelConfig::parse("config.json", "[").is_err());
    for wrong in [r#"{"num_attention_heads": 0}"#, r#"{"hidden_act": "relu"}"#, r#"{"layer_norm_eps": 1e-6}"#] {
        let read = config("config.json", &format!(r#"{{"vision_config": {wrong}}}"#));
        assert!(read.contradiction(&tiny_sizes()).is_err(), "{wrong}");
    }
}

#[test]
fn unsupported_options_are_refused_by_name_and_others_ignored() {
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
        let text = format!(r#"{{"{tower}_cfg": {{"width": 64, "{key}": {value}}}, "vision_cfg": {{"width": 128}}}}"#);
        let text =
            if tower == "vision" { format!(r#"{{"vision_cfg": {{"width": 128, "{key}": {value}}}}}"#) } else { text };
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
fn family_is_reported_before_single_options() {
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
        (r#"{"vision_cfg": {"no_ln_pre": true, "pool_type": "avg"}, "text_cfg": {"no_causal_mask": true}}"#, "a CLIPA"),
        (r#"{"vision_cfg": {"layers": [3, 4, 6, 3], "width": 64}}"#, "a CLIP with a ResNet"),
    ] {
        let read = config("config.json", text);
        let sizes = ClipSizes { vision_width: 64, ..tiny_sizes() };
        let error = read.contradiction(&sizes).unwrap_err().to_string();
        assert!(error.contains(family) && !error.contains("not supported"), "{error}");
    }
}

#[test]
fn pixel_statistics_are_read() {
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
