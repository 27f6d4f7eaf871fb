//! Every layout, read.

use super::*;

#[test]
fn small_state_dict_is_a_clip() {
    let weights = read_clip(&small("clip_openai_state_dict.pt")).unwrap();
    let expected = ClipSizes {
        patch: 16,
        image_grid: 14,
        vision_width: 64,
        vision_layers: 2,
        vision_heads: 1,
        vision_hidden: 256,
        embed_dim: 32,
        text_width: 64,
        text_layers: 2,
        text_heads: 1,
        text_hidden: 256,
        vocab: 600,
        context: 77,
    };
    assert_eq!(weights.sizes, expected);
    assert_eq!(weights.tensors.len(), expected.tensors().len() + 1);
    assert_eq!(weights.tensors["logit_scale"].to_f32().len(), 1);
    let checkpoint = read(&small("clip_openai_state_dict.pt")).unwrap();
    assert_eq!(checkpoint.layout, Layout::TorchZip);
    assert_eq!(weights.tensors, checkpoint.tensors);
}

#[test]
fn small_upsamplers_are_distinguished() {
    let one = read_upsampler(&small("simfeatup_jbu_one.ckpt")).unwrap();
    assert_eq!((one.kind, one.radius, one.features, one.key), (UpsamplerKind::JbuOne, 5, 32, 32));
    assert_eq!(one.tensors.len(), 12);
    let stack = read_upsampler(&small("simfeatup_jbu_stack.ckpt")).unwrap();
    assert_eq!((stack.kind, stack.radius, stack.features, stack.key), (UpsamplerKind::JbuStack, 3, 32, 32));
    assert_eq!(stack.tensors.len(), 42);
}

#[test]
fn all_layouts_hold_the_same_numbers() {
    let Some(full) = shared("parity/full") else { return };
    let reference = read_clip(&full.join("clip_openai_state_dict.pt")).unwrap();
    assert_eq!(reference.sizes.vision_heads, 2);
    for (name, layout) in [("clip_openai_archive.pt", Layout::TorchScript), ("model.safetensors", Layout::Safetensors)]
    {
        assert_eq!(read(&full.join(name)).unwrap().layout, layout);
        let weights = read_clip(&full.join(name)).unwrap();
        assert_eq!(weights.sizes, reference.sizes, "{name}");
        assert!(weights.tensors.keys().eq(reference.tensors.keys()), "{name}");
        for (tensor, data) in &weights.tensors {
            let bits = |data: &TensorData| data.to_f32().into_iter().map(f32::to_bits).collect::<Vec<_>>();
            assert_eq!(data.shape(), reference.tensors[tensor].shape(), "{name}: {tensor}");
            assert!(bits(data) == bits(&reference.tensors[tensor]), "{name}: {tensor} differs");
        }
    }
    let activation = |name: &str| read_clip(&full.join(name)).unwrap().activation.unwrap();
    for (name, from) in [
        ("model.safetensors", "config.json"),
        // The file beside a pickle says as much.
        ("clip_openai_state_dict.pt", "config.json"),
        ("clip_openai_archive.pt", "OpenAI's archive"),
    ] {
        assert_eq!(activation(name), KnownActivation { activation: Activation::QuickGelu, from: from.to_owned() });
    }
    assert_eq!(read_clip(&small("clip_openai_state_dict.pt")).unwrap().activation, None);
}

#[test]
fn published_upsampler_with_training_state_is_read() {
    let Some(parity) = shared("parity") else { return };
    let stack = read_upsampler(&parity.join("clip_jbu_stack_cocostuff.ckpt")).unwrap();
    assert_eq!((stack.kind, stack.radius, stack.features), (UpsamplerKind::JbuStack, 3, 512));
    let one = read_upsampler(&parity.join("full/simfeatup_jbu_one.ckpt")).unwrap();
    assert_eq!((one.kind, one.radius, one.features), (UpsamplerKind::JbuOne, 5, 64));
}

#[test]
fn strided_views_are_row_major() {
    let read = |offset, shape: &[i64], strides: &[i64]| {
        read_bytes(&one_tensor(6, offset, shape, strides)).unwrap().tensors["w"].to_f32()
    };
    assert_eq!(read(0, &[2, 3], &[3, 1]), [1., 2., 3., 4., 5., 6.]);
    assert_eq!(read(0, &[3, 2], &[1, 3]), [1., 4., 2., 5., 3., 6.]);
    assert_eq!(read(1, &[2, 1, 2], &[3, i64::MAX, 1]), [2., 3., 5., 6.]);
    assert_eq!(read(5, &[], &[]), [6.]);
    assert_eq!(read(1, &[2], &[4]), [2., 6.]);
    assert!(read(0, &[0, 7], &[1, 1]).is_empty());
}

#[test]
fn nested_state_dict_with_prefix_is_read() {
    let mut pickler = Pickler::new();
    pickler.op(b'}').op(b'(').text("epoch").int(3);
    pickler.text("hyper").global("some.package Anything").op(b')').op(0x81).op(b'}').op(b'b');
    pickler.text("state_dict").global("collections OrderedDict").op(b')').op(b'R').op(b'(');
    pickler.text("module.a").tensor("torch HalfStorage", "7", 2, 0, &[2], &[1]);
    pickler.text("module.b").global("torch._utils _rebuild_parameter").op(b'(');
    pickler.tensor("torch BFloat16Storage", "8", 2, 0, &[2], &[1]).op(0x88).op(b'N').op(b't').op(b'R');
    pickler.text("module.c").op(b'N').op(b'u').op(b'u');
    let bytes = torch_zip(pickler.finish(), &[("7", vec![0, 0x3c, 0, 0xbc]), ("8", vec![0x80, 0x3f, 0, 0])]);
    let checkpoint = read_bytes(&bytes).unwrap();
    assert_eq!(checkpoint.tensors.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(checkpoint.tensors["a"].to_f32(), [1., -1.]);
    assert_eq!(checkpoint.tensors["b"].to_f32(), [1., 0.]);
    assert_eq!(checkpoint.others["c"], "None");
}

#[test]
fn format_before_1_6_is_read() {
    let mut bytes = legacy::MAGIC.to_vec();
    bytes.extend(Pickler::new().int(1001).finish());
    bytes.extend(Pickler::new().op(b'}').text("little_endian").op(0x88).op(b's').finish());
    let mut object = Pickler::new();
    object.op(b'}').op(b'(').text("a").tensor("torch FloatStorage", "111", 2, 0, &[2], &[1]);
    object.text("b").tensor("torch LongStorage", "22", 1, 0, &[], &[]).op(b'u');
    bytes.extend(object.finish());
    bytes.extend(Pickler::new().op(b']').op(b'(').text("22").text("111").op(b'e').finish());
    bytes.extend(1u64.to_le_bytes());
    bytes.extend(77i64.to_le_bytes());
    bytes.extend(2u64.to_le_bytes());
    bytes.extend(floats(&[0.5, -2.0]));
    let checkpoint = read_bytes(&bytes).unwrap();
    assert_eq!(checkpoint.layout, Layout::TorchLegacy);
    assert_eq!(checkpoint.tensors["a"].to_f32(), [0.5, -2.0]);
    assert_eq!(checkpoint.tensors["b"].to_f32(), [77.0]);
    assert!(refused(&bytes[..bytes.len() - 1]).contains("claims more bytes"));
}

/// A module that another module shares, as tied weights are.
#[test]
fn scripted_module_is_read_by_attributes() {
    let mut pickler = Pickler::new();
    pickler.global("__torch__ Net").op(b')').op(0x81).op(b'}').op(b'(');
    pickler.text("training").op(0x89);
    pickler.text("inner").global("__torch__.m Part").op(b')').op(0x81).op(b'}');
    pickler.text("weight").tensor("torch FloatStorage", "0", 1, 0, &[1], &[1]).op(b's').op(b'b');
    pickler.op(b'u').op(b'b');
    let bytes = zip(&[
        ("net/data.pkl", pickler.finish()),
        ("net/data/0", floats(&[9.0])),
        ("net/code/__torch__.py", b"never read".to_vec()),
    ]);
    let checkpoint = read_bytes(&bytes).unwrap();
    assert_eq!(checkpoint.layout, Layout::TorchScript);
    assert_eq!(checkpoint.tensors["inner.weight"].to_f32(), [9.0]);
}
