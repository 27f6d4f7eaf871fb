//! Files in a folder: weights in several of them, and what lies beside.

use std::fs;

use super::*;

/// A folder with `tiny` in two files and their index.
fn sharded() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let tensors = tiny().tensors;
    let half = tensors.keys().nth(tensors.len() / 2).unwrap().clone();
    let mut map = serde_json::Map::new();
    for (number, first) in [(1, true), (2, false)] {
        let file = format!("model-0000{number}-of-00002.safetensors");
        let part: Vec<_> = tensors.iter().filter(|(name, _)| (**name < half) == first).collect();
        part.iter().for_each(|(name, _)| drop(map.insert((*name).clone(), file.clone().into())));
        fs::write(folder.path().join(file), safetensors(part)).unwrap();
    }
    let index = serde_json::json!({"metadata": {"total_size": 1}, "weight_map": map});
    fs::write(folder.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    folder
}

#[test]
fn shards_are_read_by_their_index() {
    let folder = sharded();
    let index = folder.path().join("model.safetensors.index.json");
    let weights = read_clip(&index).unwrap();
    assert_eq!(weights.tensors, ClipWeights::from_checkpoint(tiny(), &[]).unwrap().tensors);
    let names: Vec<String> =
        files(&index).unwrap().iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(
        names,
        ["model.safetensors.index.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    );
}

#[test]
fn inconsistent_index_is_refused() {
    let folder = sharded();
    let index = folder.path().join("model.safetensors.index.json");
    let text = fs::read_to_string(&index).unwrap();
    let refused = |changed: String| {
        fs::write(&index, changed).unwrap();
        let error = read_clip(&index).unwrap_err();
        assert_eq!(error.exit_code(), 1);
        whole(&error)
    };
    let elsewhere = refused(text.replace("model-00001", "../model-00001"));
    assert!(elsewhere.contains("not the name of a file beside the index"), "{elsewhere}");
    let absent = refused(text.replace("model-00001", "model-00003"));
    assert!(absent.contains("cannot read model-00003-of-00002.safetensors"), "{absent}");
    let swapped = refused(text.replace("00001-of", "x-of").replace("00002-of", "00001-of").replace("x-of", "00002-of"));
    assert!(swapped.contains("does not hold the tensor"), "{swapped}");
    let itself = refused(text.replace("model-00001-of-00002.safetensors", "model.safetensors.index.json"));
    assert!(itself.contains("an index of other files"), "{itself}");
    assert!(refused("{\"a\": 1}".into()).contains("JSON without a weight_map"));
    assert!(refused("{\"weight_map\": {}}".into()).contains("names no tensors"));
    assert!(refused("{\"a\": ".into()).contains("begins like JSON"));
}

#[test]
fn one_shard_is_refused_with_the_name_of_the_index() {
    let folder = sharded();
    let error = read_clip(&folder.path().join("model-00002-of-00002.safetensors")).unwrap_err();
    assert!(
        whole(&error).contains("the file is number 2 of 2 of the weights, which model.safetensors.index.json lists")
    );
    assert_eq!(error.hint(), Some("Give that index instead."));
}

#[test]
fn foreign_prefixes_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.safetensors");
    let plain = ClipWeights::from_checkpoint(tiny(), &[]).unwrap().tensors;
    for prefix in ["model.", "clip.", "_orig_mod.", "net.", "module._orig_mod.", "module.model.clip_model."] {
        let renamed: BTreeMap<String, TensorData> =
            tiny().tensors.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)).collect();
        fs::write(&path, safetensors(&renamed)).unwrap();
        assert_eq!(read_clip(&path).unwrap().tensors, plain, "{prefix}");
    }
}

/// A state dict under any name, and the configuration beside a pickle.
#[test]
fn configuration_beside_a_pickle_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = tiny().tensors;
    let mut pickler = Pickler::new();
    pickler.op(b'}').op(b'(').text("epoch").int(3).text("net").op(b'}').op(b'(');
    let mut storages = Vec::new();
    for (number, (name, tensor)) in tensors.iter().enumerate() {
        let shape: Vec<i64> = tensor.shape().iter().map(|&side| side as i64).collect();
        let strides: Vec<i64> = (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect();
        let key = number.to_string();
        pickler.text(name).tensor("torch FloatStorage", &key, tensor.len() as i64, 0, &shape, &strides);
        storages.push((key, tensor.bytes().to_vec()));
    }
    pickler.op(b'u').op(b'u');
    let storages: Vec<(&str, Vec<u8>)> = storages.iter().map(|(key, bytes)| (key.as_str(), bytes.clone())).collect();
    let bytes = torch_zip(pickler.finish(), &storages);
    for name in ["open_clip_pytorch_model.bin", "weights.pt"] {
        let path = folder.path().join(name);
        fs::write(&path, &bytes).unwrap();
        assert_eq!(read_clip(&path).unwrap().activation, None);
        for (config, text) in [
            (
                "open_clip_config.json",
                r#"{"model_cfg": {"embed_dim": 3, "vision_cfg": {"width": 128, "head_width": 32}}}"#,
            ),
            (
                "config.json",
                r#"{"vision_config": {"hidden_size": 128, "hidden_act": "gelu", "num_attention_heads": 4}}"#,
            ),
        ] {
            fs::write(folder.path().join(config), text).unwrap();
            let weights = read_clip(&path).unwrap();
            let known = KnownActivation { activation: Activation::Gelu, from: config.to_owned() };
            assert_eq!((weights.activation, weights.sizes.vision_heads), (Some(known), 4));
            fs::remove_file(folder.path().join(config)).unwrap();
        }
        // What cannot be read at all is not passed over in silence.
        fs::write(folder.path().join("config.json"), "{").unwrap();
        let error = read_clip(&path).unwrap_err();
        assert!(whole(&error).contains("config.json beside the weights: it is not JSON"), "{}", whole(&error));
        assert!(error.hint().is_some());
        fs::remove_file(folder.path().join("config.json")).unwrap();
    }
}

#[test]
fn unsupported_formats_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, bytes: &[u8]| {
        fs::write(folder.path().join(name), bytes).unwrap();
        whole(&read_clip(&folder.path().join(name)).unwrap_err())
    };
    let said = refused("SkyCLIP_ViT_L14_top30pct.zip", &zip(&[("SkyCLIP/epoch_20.pt", b"packed".to_vec())]));
    assert!(said.contains("with the checkpoint inside: SkyCLIP/epoch_20.pt"), "{said}");
    assert!(refused("flax_model.msgpack", b"\x84\xablogit_scale\xc7\x0f").contains("Flax"));
    assert!(refused("tf_model.h5", b"\x89HDF\r\n\x1a\n\0\0").contains("TensorFlow"));
    assert!(refused("saved_model.pb", b"\x08\x01\x12\xff\x01").contains("SavedModel"));
    let error = read_clip(folder.path()).unwrap_err();
    assert!(whole(&error).contains("the folder is a TensorFlow SavedModel"), "{}", whole(&error));
    fs::remove_file(folder.path().join("saved_model.pb")).unwrap();
    fs::write(folder.path().join("model.safetensors"), "").unwrap();
    assert_eq!(read_clip(folder.path()).unwrap_err().hint(), Some("Give the file itself: model.safetensors."));
}
