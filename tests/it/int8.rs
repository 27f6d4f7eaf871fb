//! Models with int8 products: imported and run by the real binary, beside the same weights in float32.

use std::fs;

use gdal::Dataset;
use insta::assert_snapshot;
use tch::{Kind, Tensor};

use crate::bundles::{small_clip, write_merges};
use crate::scenes::{read_band, write_scene};
use crate::workdir::{Workdir, repository};

const TOWER: &str = "image_tower.safetensors";

/// Imports the small CLIP into the folder `name`.
fn import(work: &Workdir, upsampler: &str, name: &str, more: &str) {
    let clip = small_clip().display().to_string();
    let words = format!("model import --clip {clip} --tokenizer merges.txt --upsampler {upsampler} -o {name} {more}");
    work.ok(words.split_whitespace());
}

/// A folder with `scene.tif`, the scene of the small parity set, and a tokenizer.
fn with_scene() -> Workdir {
    let work = Workdir::new();
    write_merges(&work);
    let scene = tch::vision::image::load(repository("tests/parity/small/scene.png")).expect("the scene");
    let (_, height, width) = scene.size3().expect("three sides");
    let pixels: Vec<u8> = Vec::try_from(scene.permute([1, 2, 0]).contiguous().flatten(0, -1)).expect("bytes");
    write_scene(&work.path("scene.tif"), width as usize, height as usize, &pixels);
    work
}

fn small_upsampler() -> String {
    repository("tests/parity/small/simfeatup_jbu_one.ckpt").display().to_string()
}

fn segment(model: &str, output: &str) -> String {
    format!("segment scene.tif --model {model} --classes a;b;c;d --stride 112 -o {output}")
}

fn labels(work: &Workdir, name: &str) -> Vec<u8> {
    read_band(&Dataset::open(work.path(name)).expect("labels"), 1)
}

fn agreement(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / a.len() as f64
}

fn files(work: &Workdir, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(work.path(folder)).expect("a folder").flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn labels_are_those_of_float32_but_for_one_in_a_hundred() {
    // With the upsampler, whose two classes lie close together everywhere, even bfloat16 changes more than one in a hundred.
    for (upsampler, least) in [("none".to_owned(), 0.99), (small_upsampler(), 0.985)] {
        let work = with_scene();
        import(&work, &upsampler, "float32", "");
        import(&work, &upsampler, "int8", "--precision int8");
        let mut want =
            vec!["model.yaml", "image_tower.safetensors", "pixel_decoder.pt", "text_encoder.pt", "tokenizer.json"];
        want.extend((upsampler != "none").then_some("upsampler.safetensors"));
        want.sort();
        assert_eq!(files(&work, "int8"), want);
        assert!(work.ok(["model", "inspect", "int8"]).stdout.contains("precision: int8"));
        for model in ["float32", "int8"] {
            work.ok(format!("{} --scores {model}_scores.tif", segment(model, &format!("{model}.tif"))).split(' '));
        }
        let (full, int8) = (labels(&work, "float32.tif"), labels(&work, "int8.tif"));
        let equal = agreement(&full, &int8);
        assert!(equal >= least, "{equal} with {upsampler}");
        assert!((0..4).filter(|class| full.contains(class)).count() > 1, "more than one class");
        let scores = |model: &str| -> Vec<f32> {
            read_band(&Dataset::open(work.path(&format!("{model}_scores.tif"))).expect("scores"), 1)
        };
        let differences = scores("float32").into_iter().zip(scores("int8")).map(|(full, int8)| (full - int8).abs());
        let largest = differences.fold(0.0, f32::max);
        assert!(largest > 0.0 && largest < 0.05, "scores differ by up to {largest} with {upsampler}");
    }
}

/// Sums of int8 are exact, so that only the speed depends on the processor, and a note says so.
#[test]
fn labels_do_not_depend_on_the_instructions() {
    let work = with_scene();
    import(&work, "none", "int8", "--precision int8");
    work.ok(segment("int8", "fast.tif").split(' '));
    let slow = work.run_with(segment("int8", "slow.tif").split(' '), &[("SEGEARTH_MAX_CPU_ISA", "avx2")]);
    assert_eq!(slow.code, 0, "{}", slow.stderr);
    assert!(slow.stderr.contains("int8 products take longer than float32 here"), "{}", slow.stderr);
    assert!(labels(&work, "fast.tif") == labels(&work, "slow.tif"));
}

/// Rows, tokens and learnt classes of one precision are not taken for those of the other.
#[test]
fn precisions_are_not_mixed() {
    let work = with_scene();
    import(&work, "none", "model", "");
    let shard = |number: usize| format!("{} --shard {number}/2", segment("model", "labels.tif"));
    work.ok(shard(1).split(' '));
    work.ok("embed scene.tif --model model --stride 112 -o store.zarr".split(' '));
    import(&work, "none", "model", "--precision int8 --overwrite");
    let said = work.refused(&shard(2));
    assert!(said.contains("sha256_image_"), "{said}");
    let said = work.refused("embed scene.tif --model model --stride 112 -o store.zarr");
    assert!(said.contains("store.zarr"), "{said}");
    // From the beginning, with the other precision alone.
    work.ok(format!("{} --overwrite", segment("model", "labels.tif")).split(' '));
}

/// A store has the tokens of the int8 tower: labels from it are those of a direct run.
#[test]
fn stores_hold_the_tokens_of_the_int8_tower() {
    let work = with_scene();
    import(&work, &small_upsampler(), "int8", "--precision int8");
    work.ok("embed scene.tif --model int8 --stride 112 --precision float32 -o store.zarr".split(' '));
    work.ok(segment("int8", "direct.tif").split(' '));
    work.ok("segment scene.tif --from store.zarr --classes a;b;c;d -o stored.tif".split(' '));
    assert!(labels(&work, "direct.tif") == labels(&work, "stored.tif"));
}

#[test]
fn towers_that_are_damaged_are_refused() {
    let work = with_scene();
    import(&work, "none", "int8", "--precision int8");
    let path = work.path(&format!("int8/{TOWER}"));
    let whole = fs::read(&path).expect("the tower");
    let tensors = Tensor::read_safetensors(&path).expect("tensors");
    let refused = || work.refused(&format!("{} --trust", segment("int8", "labels.tif")));
    let with = |change: &dyn Fn(&str, &Tensor) -> Option<Tensor>| {
        let changed: Vec<(String, Tensor)> = tensors
            .iter()
            .filter_map(|(name, tensor)| Some((name.clone(), change(name, tensor)?.contiguous())))
            .collect();
        Tensor::write_safetensors(&changed, &path).expect("the tower");
        refused()
    };
    fs::write(&path, &whole[..whole.len() / 2]).expect("the tower");
    let cut = refused();
    assert!(cut.contains(&format!("error: cannot use the image tower in int8/{TOWER}\n")), "{cut}");
    let one = |only: &'static str, change: fn(&Tensor) -> Option<Tensor>| {
        with(&|name: &str, tensor: &Tensor| match name.ends_with(only) {
            true => change(tensor),
            false => Some(tensor.shallow_clone()),
        })
    };
    type Change = fn(&Tensor) -> Option<Tensor>;
    let cases: [(&str, Change, &str); 13] = [
        (
            "transformer.heads",
            |_| Some(Tensor::from_slice(&[0i64])),
            "2 blocks of 64 channels in 0 heads are no transformer",
        ),
        (
            "transformer.heads",
            |_| Some(Tensor::from_slice(&[7i64])),
            "2 blocks of 64 channels in 7 heads are no transformer",
        ),
        ("transformer.heads", |_| None, "visual.transformer.heads is missing"),
        (
            "0.mlp.c_fc.weight_scale",
            |_| None,
            "did not return the weight `visual.transformer.resblocks.0.mlp.c_fc.weight_scale`",
        ),
        ("0.mlp.c_fc.weight_scale", |scale| Some(scale * f64::NAN), "a scale is NaN; all must be finite"),
        ("0.mlp.c_fc.weight", |matrix| Some(matrix.narrow(0, 0, 64)), "there are 256 scales for 64 output channels"),
        (
            "0.mlp.c_fc.weight",
            |matrix| Some(matrix.narrow(1, 0, 32)),
            "an MLP of 32 input channels and 64 output channels",
        ),
        ("0.mlp.c_fc.weight", |_| None, "0 blocks of 64 channels in 1 heads are no transformer"),
        ("0.mlp.c_proj.weight", |matrix| Some(matrix.to_kind(Kind::Float)), "incoherent elt kind, Ok(Float) != Int8"),
        ("0.mlp.c_proj.bias", |bias| Some(bias.narrow(0, 0, 5)), "the bias has 5 numbers for 64 output channels"),
        (
            "0.attn.in_proj_weight",
            |_| None,
            "did not return the weight `visual.transformer.resblocks.0.attn.in_proj_weight`",
        ),
        ("visual.proj", |matrix| Some(matrix.narrow(1, 0, 8)), "features of shape [1, 197, 8]"),
        ("visual.conv1.weight", |_| Some(Tensor::from_slice(&[1f32])), "expected four dims, got [1]"),
    ];
    let wrong: Vec<String> = cases
        .iter()
        .map(|(name, change, cause)| (*name, one(name, *change), *cause))
        .filter(|(_, said, cause)| !(said.contains(cause) && said.contains("hint: ")))
        .map(|(name, said, _)| format!("{name}: {said}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Trusted, but with other weights of the right form: it runs.
    fs::write(&path, &whole).expect("the tower");
    work.ok(segment("int8", "labels.tif").split(' '));
}

#[test]
fn convolutional_models_have_no_int8() {
    let work = Workdir::new();
    let model = |name: &str| repository(&format!("models/mini/{name}")).display().to_string();
    let (clip, tokenizer) = (model("clip.safetensors"), model("tokenizer.json"));
    let words = format!("--clip {clip} --tokenizer {tokenizer} --upsampler none --precision int8 -o mini");
    assert_snapshot!(work.refused(&format!("model import {words}")), @r"
    error: int8 is for transformers; the image tower of these weights is convolutional

    hint: Use --precision fp32.
    ");
}
