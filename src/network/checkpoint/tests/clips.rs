//! Which tensors make a CLIP.

use super::*;

/// A CLIP of made-up weights, patch 4, under OpenAI's names.
fn tiny() -> Checkpoint {
    let sizes = ClipSizes {
        patch: 4,
        image_grid: 2,
        vision_width: 128,
        vision_layers: 2,
        vision_heads: 2,
        vision_hidden: 8,
        embed_dim: 3,
        text_width: 64,
        text_layers: 1,
        text_heads: 1,
        text_hidden: 6,
        vocab: 9,
        context: 5,
    };
    let mut checkpoint = Checkpoint::new(Layout::TorchZip);
    for (name, shape) in sizes.tensors() {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|index| (index * 37 % 101) as f32 + name.len() as f32).collect();
        checkpoint.tensors.insert(name, TensorData::from_f32(shape, &values).unwrap());
    }
    checkpoint
}

fn fault(change: impl FnOnce(&mut Checkpoint)) -> String {
    let mut checkpoint = tiny();
    change(&mut checkpoint);
    ClipWeights::from_checkpoint(checkpoint, None).unwrap_err().to_string()
}

fn zeros(shape: &[usize]) -> TensorData {
    TensorData::from_f32(shape.to_vec(), &vec![0.0; shape.iter().product()]).unwrap()
}

#[test]
fn sizes_come_from_the_tensors_and_buffers_are_dropped() {
    let mut checkpoint = tiny();
    checkpoint.tensors.insert("logit_scale".into(), zeros(&[1]));
    for buffer in ["input_resolution", "context_length", "vocab_size", "attn_mask"] {
        let number = TensorData::new(Dtype::I64, vec![], vec![0; 8]).unwrap();
        checkpoint.tensors.insert(buffer.into(), number);
    }
    let weights = ClipWeights::from_checkpoint(checkpoint, None).unwrap();
    assert_eq!((weights.sizes.patch, weights.sizes.vision_heads, weights.sizes.text_layers), (4, 2, 1));
    assert_eq!(weights.tensors["logit_scale"].shape(), [0usize; 0]);
    assert_eq!(weights.tensors.len(), weights.sizes.tensors().len() + 1);
}

#[test]
fn missing_wrong_and_unknown_tensors_are_named_with_their_shapes() {
    let name = "visual.transformer.resblocks.1.ln_2.bias";
    let message = fault(|checkpoint| drop(checkpoint.tensors.remove(name)));
    assert_eq!(message, format!("the tensor {name} of shape (128) is missing"));
    let message = fault(|checkpoint| drop(checkpoint.tensors.insert(name.into(), zeros(&[64]))));
    assert_eq!(message, format!("the tensor {name} has shape (64), (128) is expected"));
    let message = fault(|checkpoint| drop(checkpoint.tensors.insert("visual.extra".into(), zeros(&[2, 2]))));
    assert!(message.ends_with("visual.extra float32 (2, 2)"), "{message}");
    let message = fault(|checkpoint| drop(checkpoint.tensors.remove("visual.conv1.weight")));
    assert_eq!(message, "the tensor visual.conv1.weight of shape (width, 3, patch, patch) is missing");
    let message = fault(|checkpoint| {
        checkpoint.tensors.remove(name);
        checkpoint.others.insert(name.into(), "an object of some.Quantised".into());
    });
    assert!(message.ends_with("it is an object of some.Quantised"), "{message}");
    let far = "transformer.resblocks.60000.ln_1.bias";
    assert!(fault(|checkpoint| drop(checkpoint.tensors.insert(far.into(), zeros(&[64])))).contains("256 blocks"));
    let integers = TensorData::new(Dtype::I8, vec![128], vec![0; 128]).unwrap();
    assert!(fault(|checkpoint| drop(checkpoint.tensors.insert(name.into(), integers))).contains("int8, not floats"));
    let message = fault(|checkpoint| {
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
        ("upsampler.up.range_temp", "upsampler"),
    ] {
        let message = fault(|checkpoint| drop(checkpoint.tensors.insert(name.into(), zeros(&[1]))));
        assert!(message.contains(family) && message.contains(name), "{message}");
    }
    assert!(UpsamplerWeights::from_checkpoint(tiny()).unwrap_err().to_string().contains("upsampler.up.range_temp"));
}

#[test]
fn a_configuration_settles_the_heads_and_must_belong_to_the_weights() {
    let config = |text: &str| ModelConfig::parse("config.json", text).unwrap().unwrap();
    let right = config(r#"{"vision_config": {"hidden_size": 128, "num_attention_heads": 8}, "text_config": {}}"#);
    let weights = ClipWeights::from_checkpoint(tiny(), Some(&right)).unwrap();
    assert_eq!((weights.sizes.vision_heads, weights.sizes.text_heads), (8, 1));
    for wrong in [
        r#"{"vision_config": {"hidden_size": 768}}"#,
        r#"{"vision_config": {"hidden_size": 128, "num_attention_heads": 7}}"#,
    ] {
        assert!(ClipWeights::from_checkpoint(tiny(), Some(&config(wrong))).is_err(), "{wrong}");
    }
}

#[test]
fn hugging_faces_parts_are_joined_and_its_projections_turned() {
    let openai = ClipWeights::from_checkpoint(tiny(), None).unwrap();
    let mut checkpoint = Checkpoint::new(Layout::Safetensors);
    for (name, tensor) in tiny().tensors {
        for (name, tensor) in to_hugging_face(&name, tensor) {
            checkpoint.tensors.insert(name, tensor);
        }
    }
    let weights = ClipWeights::from_checkpoint(checkpoint, None).unwrap();
    assert_eq!(weights.sizes, openai.sizes);
    assert_eq!(weights.tensors, openai.tensors);
}

/// The way back, written apart from the way there.
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
