//! Renames the tensors of a CLIP checkpoint to OpenAI's names, and converts them to OpenAI's form.
//!
//! Canonical names: `visual.conv1.weight`, `visual.class_embedding`, `visual.positional_embedding`, `visual.ln_pre.*`,
//! `visual.transformer.resblocks.N.{ln_1, attn.in_proj_{weight,bias}, attn.out_proj, ln_2, mlp.c_fc, mlp.c_proj}`,
//! `visual.ln_post.*`, `visual.proj`; `token_embedding.weight`, `positional_embedding`, `transformer.resblocks.N.…`,
//! `ln_final.*`, `text_projection`, `logit_scale`. `proj` and `text_projection` are matrices to multiply from the right
//! (`x @ proj`), (width, joint width). open_clip has the same names; Hugging Face's CLIPModel has other names, transposed
//! projections, and separate query, key and value. Long-CLIP has a second positional embedding for texts, which is joined with
//! the first.

use std::collections::BTreeMap;

use segearth_error::{Context, Error, Result};

use super::tensor::TensorData;

/// How a tensor is converted.
#[derive(Debug, PartialEq)]
enum Role {
    Rename(String),
    /// The weight of a linear layer, to be transposed.
    Transpose(String),
    /// Query (0), key (1) or value (2), to be stacked to one projection.
    Part(String, usize),
    /// Known, but not needed.
    Drop,
    Unknown,
}

/// Buffers in the TorchScript archives that OpenAI publishes; OpenAI's own loader drops them.
const OPENAI_BUFFERS: [&str; 3] = ["input_resolution", "context_length", "vocab_size"];

/// Long-CLIP's second positional embedding, under its canonical name.
const LONG_POSITIONS: &str = "positional_embedding_res";
/// Positions that Long-CLIP takes from the first embedding; all others are from the second (`mask1` and `mask2` in its code).
const KEPT_POSITIONS: usize = 20;

/// The starts of tensor names in the supported and known networks: what precedes them in every name is a foreign prefix.
const STARTS: [&str; 12] = [
    "visual.",
    "vision_model.",
    "text_model.",
    "token_embedding.",
    "transformer.resblocks.",
    "bert.",
    "text.transformer.",
    "text_decoder.",
    "visual_encoder.",
    "upsampler.",
    "up.range_temp",
    "up1.range_temp",
];

/// Returns the common prefix of all names that does not belong to the network, such as `module.` or `model.clip.`; it may be empty.
pub fn foreign_prefix<'a>(names: impl Iterator<Item = &'a str> + Clone) -> String {
    let Some(first) = names.clone().next() else { return String::new() };
    let ends = std::iter::once(0).chain(first.match_indices('.').map(|(at, _)| at + 1));
    for end in ends {
        let Some(prefix) = first.get(..end) else { break };
        if !names.clone().all(|name| name.starts_with(prefix)) {
            break;
        }
        let mut rests = names.clone().filter_map(|name| name.strip_prefix(prefix));
        if rests.any(|rest| STARTS.iter().any(|start| rest.starts_with(start))) {
            return prefix.to_owned();
        }
    }
    String::new()
}

/// Returns whether the tensors come from an archive that OpenAI published.
pub fn is_openai_archive(tensors: &BTreeMap<String, TensorData>) -> bool {
    OPENAI_BUFFERS.iter().all(|name| tensors.contains_key(*name))
}

/// Returns whether the names are those of Hugging Face's CLIPModel.
pub fn is_hugging_face<'a>(mut names: impl Iterator<Item = &'a str>) -> bool {
    names.any(|name| name.starts_with("vision_model.") || name.starts_with("text_model."))
}

/// Returns the tensors under their canonical names, in canonical form. Adds a note on anything unusual.
///
/// # Errors
/// The tensors are of another family of networks, or one of them is unknown, missing or duplicate.
#[expect(clippy::indexing_slicing, reason = "parts are numbered from 0 to 2 by the tables below, and not by the file")]
pub fn canonical(
    tensors: BTreeMap<String, TensorData>,
    notes: &mut Vec<String>,
) -> Result<BTreeMap<String, TensorData>> {
    refuse_other_families(&tensors)?;
    let hugging_face = is_hugging_face(tensors.keys().map(String::as_str));
    let mut found = BTreeMap::new();
    let mut parts: BTreeMap<String, [Option<TensorData>; 3]> = BTreeMap::new();
    let mut unknown = Vec::new();
    for (name, tensor) in tensors {
        match if hugging_face { from_hugging_face(&name) } else { from_openai(&name) } {
            Role::Rename(canonical) => insert(&mut found, canonical, tensor)?,
            Role::Transpose(canonical) => insert(&mut found, canonical, tensor.transposed())?,
            Role::Part(canonical, part) => parts.entry(canonical).or_default()[part] = Some(tensor),
            Role::Drop => {}
            Role::Unknown => unknown.push(format!("{name} {tensor:?}")),
        }
    }
    if !unknown.is_empty() {
        return Err(unknown_tensors(&unknown));
    }
    for (name, [query, key, value]) in parts {
        let (Some(query), Some(key), Some(value)) = (query, key, value) else {
            return Err(Error::input(format!("one of q_proj, k_proj and v_proj that make up {name} is missing")));
        };
        let joint = TensorData::stacked(&[&query, &key, &value])
            .input(|| format!("cannot join q_proj, k_proj and v_proj to {name}"))?;
        insert(&mut found, name, joint)?;
    }
    if let Some(second) = found.remove(LONG_POSITIONS) {
        join_positions(&mut found, &second)?;
        notes.push(format!(
            "the weights are a Long-CLIP's: its two positional embeddings were joined (rows 0 to {} of the first, the rest of the \
             second).",
            KEPT_POSITIONS - 1
        ));
    }
    Ok(found)
}

/// Joins Long-CLIP's two embeddings: it adds rows of the first to the first tokens and rows of the second to the others.
fn join_positions(found: &mut BTreeMap<String, TensorData>, second: &TensorData) -> Result<()> {
    const FIRST: &str = "positional_embedding";
    let Some(first) = found.get(FIRST) else {
        return Err(Error::input(format!("the tensor {FIRST} is missing beside {LONG_POSITIONS}")));
    };
    let joined = first.with_rows_of(second, KEPT_POSITIONS).ok_or_else(|| {
        Error::input(format!(
            "{FIRST} is {first:?} and {LONG_POSITIONS} is {second:?}; both must have the same type and shape, and more than \
             {KEPT_POSITIONS} rows"
        ))
    })?;
    found.insert(FIRST.to_owned(), joined);
    Ok(())
}

fn insert(found: &mut BTreeMap<String, TensorData>, name: String, tensor: TensorData) -> Result<()> {
    if found.contains_key(&name) {
        return Err(Error::input(format!("the tensor {name} appears twice, under two names")));
    }
    found.insert(name, tensor);
    Ok(())
}

/// Returns the error on tensors that the network does not have.
pub fn unknown_tensors(unknown: &[String]) -> Error {
    let shown = unknown.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    let more = if unknown.len() > 5 { format!(" and {} more", unknown.len() - 5) } else { String::new() };
    Error::input(format!("unknown tensors: {shown}{more}"))
        .with_hint("Supported are CLIP with a vision transformer, and the upsamplers jbu_one and jbu_stack.")
}

/// Returns an error for networks that resemble a CLIP, each recognised by one tensor.
fn refuse_other_families(tensors: &BTreeMap<String, TensorData>) -> Result<()> {
    const FAMILIES: [(&str, &str); 21] = [
        ("visual.layer1.", "a CLIP with a ResNet"),
        ("vision_model.head.", "a SigLIP"),
        ("text_model.head.", "a SigLIP"),
        ("vision_model.embeddings.patch_embedding.bias", "a SigLIP"),
        ("logit_bias", "a SigLIP"),
        ("visual.trunk.", "a CLIP with a vision trunk of timm (SigLIP, ConvNeXt, EVA02 and others)"),
        ("visual.blocks.", "an EVA-CLIP"),
        ("bert.", "a ChineseCLIP, whose text encoder is a BERT"),
        ("text_model.embeddings.word_embeddings.", "a ChineseCLIP, whose text encoder is a BERT"),
        ("text_model.encoder.layer.", "a ChineseCLIP or another CLIP with a BERT as text encoder"),
        ("text_model.roberta.", "an AltCLIP"),
        ("text.transformer.embeddings.", "a CLIP with a text encoder of Hugging Face"),
        ("text.transformer.encoder.", "a CLIP with a text encoder of Hugging Face"),
        ("text_decoder.", "a CoCa"),
        ("text.cls_emb", "a CoCa"),
        ("visual.attn_pool.", "a CoCa or another CLIP with attentional pooling"),
        ("visual_encoder.", "a BLIP"),
        ("upsampler.", "an upsampler"),
        ("up.range_temp", "an upsampler"),
        ("up1.range_temp", "an upsampler"),
        ("image_encoder.encoder.", "an upsampler of NAF"),
    ];
    const HINT: &str = "CLIP with a vision transformer is supported: ViT-B/32, B/16, L/14 and others, \
                        from OpenAI, open_clip, RemoteCLIP, GeoRSCLIP or Hugging Face's CLIPModel.";
    for (start, family) in FAMILIES {
        if let Some(name) = tensors.keys().find(|name| name.starts_with(start)) {
            return Err(
                Error::input(format!("these are weights of {family} (they have the tensor {name})")).with_hint(HINT)
            );
        }
    }
    if let Some(name) = tensors.keys().find(|name| name.contains("lora_A") || name.contains("lora_B")) {
        return Err(Error::input(format!("these are weights of a LoRA adapter (they have the tensor {name})"))
            .with_hint("Merge the adapter into the weights that it was trained on, and use the result."));
    }
    let has = |start: &str| tensors.keys().any(|name| name.starts_with(start));
    if has("visual.conv1.") && has("visual.transformer.") && !has("visual.ln_pre.") {
        return Err(Error::input(
            "these are weights of a CLIPA or another CLIP without a layer norm before its vision transformer (no tensor \
             visual.ln_pre.weight)",
        )
        .with_hint(HINT));
    }
    Ok(())
}

fn from_openai(name: &str) -> Role {
    // open_clip's models with a separate text tower have `text.` before the names of that tower.
    let name = name.strip_prefix("text.").unwrap_or(name);
    match name {
        _ if OPENAI_BUFFERS.contains(&name) => return Role::Drop,
        "text_projection.weight" => return Role::Transpose("text_projection".into()),
        _ => {}
    }
    // The causal mask follows from the context length; TorchScript archives keep a copy in every block.
    if name == "attn_mask" || name.ends_with(".attn_mask") {
        return Role::Drop;
    }
    if is_canonical(name) { Role::Rename(name.into()) } else { Role::Unknown }
}

/// Whether a tensor is one of the convolutional image tower's.
pub fn is_convolutional(name: &str) -> bool {
    const PARTS: [&str; 7] = ["stem.", "stage.", "lateral.", "top.", "map.", "cells.", "image."];
    let part = name.strip_prefix("visual.").filter(|part| PARTS.iter().any(|known| part.starts_with(known)));
    part.is_some_and(|part| part.ends_with(".weight") || part.ends_with(".bias"))
}

fn is_canonical(name: &str) -> bool {
    if is_convolutional(name) {
        return true;
    }
    const WHOLE: [&str; 15] = [
        "visual.conv1.weight",
        "visual.class_embedding",
        "visual.positional_embedding",
        "visual.ln_pre.weight",
        "visual.ln_pre.bias",
        "visual.ln_post.weight",
        "visual.ln_post.bias",
        "visual.proj",
        "token_embedding.weight",
        "positional_embedding",
        LONG_POSITIONS,
        "ln_final.weight",
        "ln_final.bias",
        "text_projection",
        "logit_scale",
    ];
    const IN_BLOCK: [&str; 12] = [
        "ln_1.weight",
        "ln_1.bias",
        "attn.in_proj_weight",
        "attn.in_proj_bias",
        "attn.out_proj.weight",
        "attn.out_proj.bias",
        "ln_2.weight",
        "ln_2.bias",
        "mlp.c_fc.weight",
        "mlp.c_fc.bias",
        "mlp.c_proj.weight",
        "mlp.c_proj.bias",
    ];
    let in_block = || {
        let block = name.strip_prefix("visual.").unwrap_or(name).strip_prefix("transformer.resblocks.")?;
        let (index, rest) = block.split_once('.')?;
        Some(is_index(index) && IN_BLOCK.contains(&rest))
    };
    WHOLE.contains(&name) || in_block().unwrap_or(false)
}

/// Returns whether `text` is a number without leading zeros, so that no two names are of the same block.
fn is_index(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|index| index.to_string() == text)
}

fn from_hugging_face(name: &str) -> Role {
    let renamed = match name {
        "logit_scale" => "logit_scale",
        "text_projection.weight" => return Role::Transpose("text_projection".into()),
        "visual_projection.weight" => return Role::Transpose("visual.proj".into()),
        "vision_model.embeddings.class_embedding" => "visual.class_embedding",
        "vision_model.embeddings.patch_embedding.weight" => "visual.conv1.weight",
        "vision_model.embeddings.position_embedding.weight" => "visual.positional_embedding",
        // Misspelt in transformers, and so in every file.
        "vision_model.pre_layrnorm.weight" => "visual.ln_pre.weight",
        "vision_model.pre_layrnorm.bias" => "visual.ln_pre.bias",
        "vision_model.post_layernorm.weight" => "visual.ln_post.weight",
        "vision_model.post_layernorm.bias" => "visual.ln_post.bias",
        "text_model.embeddings.token_embedding.weight" => "token_embedding.weight",
        "text_model.embeddings.position_embedding.weight" => "positional_embedding",
        "text_model.embeddings.position_embedding_res.weight" => LONG_POSITIONS,
        "text_model.final_layer_norm.weight" => "ln_final.weight",
        "text_model.final_layer_norm.bias" => "ln_final.bias",
        "vision_model.embeddings.position_ids" | "text_model.embeddings.position_ids" => return Role::Drop,
        _ => return hugging_face_block(name).unwrap_or(Role::Unknown),
    };
    Role::Rename(renamed.into())
}

fn hugging_face_block(name: &str) -> Option<Role> {
    let (tower, rest) = name.split_once(".encoder.layers.")?;
    let tower = match tower {
        "vision_model" => "visual.transformer",
        "text_model" => "transformer",
        _ => return None,
    };
    let (index, rest) = rest.split_once('.').filter(|(index, _)| is_index(index))?;
    let (layer, kind) = rest.rsplit_once('.').filter(|(_, kind)| ["weight", "bias"].contains(kind))?;
    let block = format!("{tower}.resblocks.{index}");
    let whole = |layer: &str| Some(Role::Rename(format!("{block}.{layer}.{kind}")));
    let part = |part| Some(Role::Part(format!("{block}.attn.in_proj_{kind}"), part));
    match layer {
        "layer_norm1" => whole("ln_1"),
        "layer_norm2" => whole("ln_2"),
        "mlp.fc1" => whole("mlp.c_fc"),
        "mlp.fc2" => whole("mlp.c_proj"),
        "self_attn.out_proj" => whole("attn.out_proj"),
        "self_attn.q_proj" => part(0),
        "self_attn.k_proj" => part(1),
        "self_attn.v_proj" => part(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hugging_face_names_become_openai_names() {
        let rename = |name: &str| Role::Rename(name.into());
        let block = "vision_model.encoder.layers.11.";
        assert_eq!(
            from_hugging_face(&format!("{block}self_attn.k_proj.bias")),
            Role::Part("visual.transformer.resblocks.11.attn.in_proj_bias".into(), 1)
        );
        assert_eq!(
            from_hugging_face("text_model.encoder.layers.0.mlp.fc1.weight"),
            rename("transformer.resblocks.0.mlp.c_fc.weight")
        );
        assert_eq!(from_hugging_face(&format!("{block}self_attn.k_proj.extra")), Role::Unknown);
        assert_eq!(from_hugging_face("vision_model.encoder.layers.01.layer_norm1.bias"), Role::Unknown);
    }

    #[test]
    fn foreign_prefix_is_found() {
        let prefix = |names: &[&str]| foreign_prefix(names.iter().copied());
        for before in ["", "module.", "model.", "clip.", "_orig_mod.", "net.", "model.module._orig_mod.clip_model."] {
            let names = ["visual.conv1.weight", "visual.proj", "logit_scale", "ln_final.bias"]
                .map(|name| format!("{before}{name}"));
            assert_eq!(prefix(&names.each_ref().map(String::as_str)), before);
        }
        // A part of the network's own names is no foreign prefix, nor one that some names lack.
        assert_eq!(prefix(&["visual.conv1.weight", "visual.proj"]), "");
        assert_eq!(prefix(&["model.visual.proj", "head.weight"]), "");
        assert_eq!(prefix(&["layer.0.weight", "layer.1.weight"]), "");
        assert_eq!(prefix(&["é.visual.proj"]), "é.");
        assert_eq!(prefix(&[]), "");
    }

    #[test]
    fn causal_masks_are_dropped() {
        for name in ["attn_mask", "transformer.resblocks.3.attn_mask", "visual.transformer.resblocks.0.attn_mask"] {
            assert_eq!(from_openai(name), Role::Drop);
        }
    }

    #[test]
    fn separate_text_tower_of_open_clip_is_renamed() {
        assert_eq!(
            from_openai("text.transformer.resblocks.0.ln_1.bias"),
            from_openai("transformer.resblocks.0.ln_1.bias")
        );
        assert_eq!(from_openai("text.text_projection"), Role::Rename("text_projection".into()));
        assert_eq!(from_openai("text.cls_emb"), Role::Unknown);
        assert_eq!(from_openai(""), Role::Unknown);
    }
}
