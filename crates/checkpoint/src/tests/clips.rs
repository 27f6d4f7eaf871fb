//! Which tensors make a CLIP.

use super::*;

fn error_of(change: impl FnOnce(&mut Checkpoint)) -> String {
    let mut checkpoint = tiny();
    change(&mut checkpoint);
    ClipWeights::from_checkpoint(checkpoint, &[]).unwrap_err().to_string()
}

fn zeros(shape: &[usize]) -> TensorData {
    TensorData::from_f32(shape.to_vec(), &vec![0.0; shape.iter().product()]).unwrap()
}

#[test]
fn sizes_are_read_from_tensors_and_buffers_are_dropped() {
    let mut checkpoint = tiny();
    checkpoint.tensors.insert("logit_scale".into(), zeros(&[1]));
    for buffer in ["input_resolution", "context_length", "vocab_size", "attn_mask"] {
        let number = TensorData::new(Dtype::I64, vec![], vec![0; 8]).unwrap();
        checkpoint.tensors.insert(buffer.into(), number);
    }
    let weights = ClipWeights::from_checkpoint(checkpoint, &[]).unwrap();
    assert_eq!((weights.sizes.patch, weights.sizes.vision_heads, weights.sizes.text_layers), (4, 2, 1));
    assert_eq!(weights.tensors["logit_scale"].shape(), [0usize; 0]);
    assert_eq!(weights.tensors.len(), weights.sizes.tensors().len() + 1);
}

#[test]
fn missing_wrong_and_unknown_tensors_are_named_with_shapes() {
    let name = "visual.transformer.resblocks.1.ln_2.bias";
    let message = error_of(|checkpoint| drop(checkpoint.tensors.remove(name)));
    assert_eq!(message, format!("the tensor {name} of shape (128) is missing"));
    let message = error_of(|checkpoint| drop(checkpoint.tensors.insert(name.into(), zeros(&[64]))));
    assert_eq!(message, format!("the tensor {name} has shape (64), not (128)"));
    let message = error_of(|checkpoint| drop(checkpoint.tensors.insert("visual.extra".into(), zeros(&[2, 2]))));
    assert!(message.ends_with("visual.extra float32 (2, 2)"), "{message}");
    let message = error_of(|checkpoint| drop(checkpoint.tensors.remove("visual.conv1.weight")));
    assert_eq!(message, "the tensor visual.conv1.weight of shape (width, 3, patch, patch) is missing");
    let message = error_of(|checkpoint| {
        checkpoint.tensors.remove(name);
        checkpoint.others.insert(name.into(), "an object of some.Quantised".into());
    });
    assert!(message.ends_with("the entry is an object of some.Quantised"), "{message}");
    let far = "transformer.resblocks.60000.ln_1.bias";
    assert!(error_of(|checkpoint| drop(checkpoint.tensors.insert(far.into(), zeros(&[64])))).contains("256 blocks"));
    let integers = TensorData::new(Dtype::I8, vec![128], vec![0; 128]).unwrap();
    assert!(
        error_of(|checkpoint| drop(checkpoint.tensors.insert(name.into(), integers)))
            .contains("int8, not a floating-point type")
    );
    let message = error_of(|checkpoint| {
        drop(checkpoint.tensors.insert("visual.positional_embedding".into(), zeros(&[7, 128])));
    });
    assert!(message.contains("square"), "{message}");
}

#[test]
fn other_families_are_refused_by_name() {
    for (name, family) in [
        ("visual.layer1.0.conv1.weight", "ResNet"),
        ("visual.trunk.blocks.0.norm1.weight", "timm"),
        ("vision_model.head.probe", "SigLIP"),
        ("logit_bias", "SigLIP"),
        ("visual.blocks.0.attn.q_bias", "EVA-CLIP"),
        ("bert.embeddings.word_embeddings.weight", "ChineseCLIP"),
        ("text_model.embeddings.word_embeddings.weight", "ChineseCLIP"),
        ("text_decoder.ln_final.bias", "CoCa"),
        ("text.cls_emb", "CoCa"),
        ("text.transformer.embeddings.word_embeddings.weight", "text encoder of Hugging Face"),
        ("visual.transformer.resblocks.0.attn.lora_A.weight", "LoRA"),
        ("upsampler.up.range_temp", "upsampler"),
    ] {
        let message = error_of(|checkpoint| drop(checkpoint.tensors.insert(name.into(), zeros(&[1]))));
        assert!(message.contains(family) && message.contains(name), "{message}");
    }
    let message = error_of(|checkpoint| checkpoint.tensors.retain(|name, _| !name.starts_with("visual.ln_pre.")));
    assert!(message.contains("CLIPA"), "{message}");
    assert!(UpsamplerWeights::from_checkpoint(tiny()).unwrap_err().to_string().contains("upsampler.up.range_temp"));
}

#[test]
fn configuration_gives_heads_if_it_matches_the_weights() {
    let config = |text: &str| ModelConfig::parse("config.json", text).unwrap().unwrap();
    let right = config(r#"{"vision_config": {"hidden_size": 128, "num_attention_heads": 8}, "text_config": {}}"#);
    let weights = ClipWeights::from_checkpoint(tiny(), &[right]).unwrap();
    assert_eq!((weights.sizes.vision_heads, weights.sizes.text_heads), (8, 1));
    let wrong = r#"{"vision_config": {"hidden_size": 128, "num_attention_heads": 7}}"#;
    assert!(ClipWeights::from_checkpoint(tiny(), &[config(wrong)]).is_err());
    // Of other weights: ignored, with a note.
    let other = config(r#"{"vision_config": {"hidden_size": 768, "hidden_act": "gelu"}}"#);
    let weights = ClipWeights::from_checkpoint(tiny(), &[other]).unwrap();
    assert_eq!((weights.sizes.vision_heads, weights.activation), (2, None));
    assert_eq!(
        weights.notes,
        [
            "config.json beside the weights does not match them and was ignored: it says vision_config.hidden_size = 768, the weights \
             have 128."
        ]
    );
}

/// Patch, layers, joint width and vocabulary distinguish weights of the same width.
#[test]
fn configuration_of_other_weights_of_equal_width_is_ignored() {
    for other in [
        r#"{"vision_cfg": {"width": 128, "patch_size": 16}}"#,
        r#"{"vision_cfg": {"width": 128, "layers": 12}}"#,
        r#"{"embed_dim": 512, "vision_cfg": {"width": 128}}"#,
        r#"{"vision_cfg": {"width": 128}, "text_cfg": {"vocab_size": 49408}}"#,
        r#"{"vision_cfg": {"width": 128}, "text_cfg": {"context_length": 77}}"#,
        r#"{"model_type": "siglip", "vision_config": {"hidden_size": 1152, "hidden_act": "gelu_pytorch_tanh"}}"#,
    ] {
        let config = ModelConfig::parse("config.json", other).unwrap().unwrap();
        let weights = ClipWeights::from_checkpoint(tiny(), &[config]).unwrap();
        assert_eq!((weights.activation, weights.notes.len()), (None, 1), "{other}");
    }
}

#[test]
fn first_matching_configuration_is_used_and_differences_are_noted() {
    let config = |file: &str, text: &str| ModelConfig::parse(file, text).unwrap().unwrap();
    let open_clip = config("open_clip_config.json", r#"{"vision_cfg": {"width": 128}, "text_cfg": {"heads": 4}}"#);
    let other = config("config.json", r#"{"vision_config": {"hidden_size": 128, "num_attention_heads": 2}}"#);
    let weights = ClipWeights::from_checkpoint(tiny(), &[open_clip.clone(), other.clone()]).unwrap();
    let known = weights.activation.unwrap();
    assert_eq!((known.activation, known.from.as_str()), (Activation::Gelu, "open_clip_config.json"));
    assert_eq!((weights.sizes.text_heads, weights.notes.len()), (4, 1));
    assert!(weights.notes[0].ends_with("Choose the other with `--activation quickgelu`."), "{:?}", weights.notes);
    let weights = ClipWeights::from_checkpoint(tiny(), &[other, open_clip]).unwrap();
    assert_eq!(weights.activation.unwrap().from, "config.json");
}

/// open_clip has 64 channels per head where its file says nothing: not an assumption.
#[test]
fn defaults_of_open_clip_make_no_note() {
    let config =
        ModelConfig::parse("open_clip_config.json", r#"{"model_cfg": {"vision_cfg": {"width": 128, "layers": 2}}}"#);
    let weights = ClipWeights::from_checkpoint(tiny(), &[config.unwrap().unwrap()]).unwrap();
    assert_eq!((weights.sizes.vision_heads, weights.notes), (2, Vec::<String>::new()));
}

#[test]
fn openai_archive_has_quickgelu() {
    let mut checkpoint = tiny();
    for buffer in ["input_resolution", "context_length", "vocab_size"] {
        checkpoint.tensors.insert(buffer.into(), TensorData::new(Dtype::I64, vec![], vec![0; 8]).unwrap());
    }
    let config = ModelConfig::parse("config.json", r#"{"vision_cfg": {"width": 128}}"#).unwrap().unwrap();
    let weights = ClipWeights::from_checkpoint(checkpoint, &[config]).unwrap();
    let known = weights.activation.unwrap();
    assert_eq!((known.activation, known.from.as_str()), (Activation::QuickGelu, "OpenAI's archive"));
    assert!(weights.notes[0].contains("says that their activation is gelu"), "{:?}", weights.notes);
}

#[test]
fn non_finite_weights_are_refused_with_their_index() {
    let name = "visual.transformer.resblocks.1.ln_2.bias";
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut values = vec![0.0; 128];
        values[17] = value;
        let tensor = TensorData::from_f32(vec![128], &values).unwrap();
        let message = error_of(|checkpoint| drop(checkpoint.tensors.insert(name.into(), tensor)));
        assert_eq!(message, format!("the tensor {name} has the value {value} at index 17 of 128"));
    }
}

/// Rows 0 to 19 of one table and the others of the second, as Long-CLIP's masks take them.
#[test]
fn long_clip_embeddings_are_joined() {
    let table = |start: f32| {
        let values: Vec<f32> = (0..248 * 64).map(|index| start + (index / 64) as f32).collect();
        TensorData::from_f32(vec![248, 64], &values).unwrap()
    };
    let mut checkpoint = tiny();
    checkpoint.tensors.insert("positional_embedding".into(), table(0.0));
    checkpoint.tensors.insert("positional_embedding_res".into(), table(1000.0));
    let weights = ClipWeights::from_checkpoint(checkpoint, &[]).unwrap();
    let joined = weights.tensors["positional_embedding"].to_f32();
    assert_eq!(weights.sizes.context, 248);
    let rows: Vec<f32> = joined.chunks(64).map(|row| row[0]).collect();
    let expected: Vec<f32> = (0..248).map(|row| if row < 20 { row as f32 } else { 1000.0 + row as f32 }).collect();
    assert_eq!(rows, expected);
    assert!(weights.notes[0].contains("Long-CLIP"), "{:?}", weights.notes);
    // One table of another length is not read as if it were whole.
    let mut checkpoint = tiny();
    checkpoint.tensors.insert("positional_embedding_res".into(), table(0.0));
    assert!(ClipWeights::from_checkpoint(checkpoint, &[]).unwrap_err().to_string().contains("both must have"));
}

#[test]
fn hugging_face_projections_are_stacked_and_transposed() {
    let openai = ClipWeights::from_checkpoint(tiny(), &[]).unwrap();
    let mut checkpoint = Checkpoint::new(Layout::Safetensors);
    for (name, tensor) in tiny().tensors {
        for (name, tensor) in to_hugging_face(&name, tensor) {
            checkpoint.tensors.insert(name, tensor);
        }
    }
    let weights = ClipWeights::from_checkpoint(checkpoint, &[]).unwrap();
    assert_eq!(weights.sizes, openai.sizes);
    assert_eq!(weights.tensors, openai.tensors);
}

/// The inverse of the conversion, written independently.
fn to_hugging_face(name: &str, tensor: TensorData) -> Vec<(String, TensorData)> {
    let vision = name.starts_with("visual.");
    let tower = if vision { "vision_model" } else { "text_model" };
    let whole = |name: &str, tensor| vec![(name.to_owned(), tensor)];
    match name.trim_start_matches("visual.") {
        "proj" => return whole("visual_projection.weight", tensor.transposed()),
        "text_projection" => return whole("text_projection.weight", tensor.transposed()),
        "class_embedding" => return whole("vision_model.embeddings.class_embedding", tensor),
        "conv1.weight" => return whole("vision_model.embeddings.patch_embedding.weight", tensor),
        "token_embedding.weight" => return whole("text_model.embeddings.token_embedding.weight", tensor),
        "positional_embedding" => return whole(&format!("{tower}.embeddings.position_embedding.weight"), tensor),
        _ => {}
    }
    if let Some((at, kind)) = name.split_once("attn.in_proj_") {
        let size = tensor.bytes().len() / 3;
        let mut shape = tensor.shape().to_vec();
        shape[0] /= 3;
        let layer = at.rsplit('.').nth(1).unwrap();
        return ["q", "k", "v"]
            .iter()
            .zip(tensor.bytes().chunks(size))
            .map(|(part, bytes)| {
                let name = format!("{tower}.encoder.layers.{layer}.self_attn.{part}_proj.{kind}");
                (name, TensorData::new(Dtype::F32, shape.clone(), bytes.to_vec()).unwrap())
            })
            .collect();
    }
    let renamed = name
        .replace("visual.transformer.resblocks", "vision_model.encoder.layers")
        .replace("transformer.resblocks", "text_model.encoder.layers")
        .replace("attn.out_proj", "self_attn.out_proj")
        .replace("ln_1", "layer_norm1")
        .replace("ln_2", "layer_norm2")
        .replace("c_fc", "fc1")
        .replace("c_proj", "fc2")
        .replace("visual.ln_pre", "vision_model.pre_layrnorm")
        .replace("visual.ln_post", "vision_model.post_layernorm")
        .replace("ln_final", "text_model.final_layer_norm");
    whole(&renamed, tensor)
}
