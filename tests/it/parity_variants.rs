//! The other attentions and the sum over several blocks, and SAR, against the numbers of the authors' code.

use std::collections::HashMap;
use std::path::Path;

use segearth::network::{Attention, Basis, ImageEncoder, Upsampling};
use segearth_checkpoint::{Activation, ClipWeights, read_clip};
use segearth_testing::shared;
use tch::{Kind, Tensor};

use crate::parity_network::{logits, normalised, small_clip, small_upsampler, tower, upsampler};
use crate::workdir::repository;

const TOKENS: f64 = 5e-5;
const LOGITS: f64 = 1e-6;

fn tensors(path: &Path) -> HashMap<String, Tensor> {
    Tensor::read_safetensors(path).expect("expected tensors").into_iter().collect()
}

fn difference(got: &Tensor, want: &Tensor) -> f64 {
    assert_eq!(got.size(), want.size());
    f64::try_from((got - want).abs().max()).expect("a number")
}

/// What the name of an expected tensor says of the attention: which, in how many blocks, whether the residual is ignored, and rows and
/// columns of the window.
fn variant(name: &str) -> (Attention, usize, bool, i64, i64) {
    let (mut attention, mut blocks, mut ignored, mut size) = (Attention::SegEarth, 1, true, (224, 224));
    for part in name.split('.') {
        match part {
            "SegEarth" => attention = Attention::SegEarth,
            "SCLIP" => attention = Attention::Sclip,
            "MaskCLIP" => attention = Attention::MaskClip,
            "vanilla" => attention = Attention::Vanilla,
            "NACLIP" => attention = Attention::NaClip,
            "NOnly" => attention = Attention::NOnly,
            "GAV" => attention = Attention::Gav,
            "GEM" => attention = Attention::Gem,
            "ignore_residual_False" => ignored = false,
            "window_160x224" => size = (160, 224),
            "window_160x160" => size = (160, 160),
            other => {
                let number = other.strip_prefix("last").or(other.strip_prefix("blocks"));
                blocks = number.and_then(|number| number.parse().ok()).unwrap_or(blocks);
            }
        }
    }
    (attention, blocks, ignored, size.0, size.1)
}

/// Compares all tokens and [CLS] features of a set.
fn compare(name: &str, clip: &ClipWeights, expected: &HashMap<String, Tensor>, scene: &Tensor) {
    let mut worst = (0f64, String::new());
    let mut compared = 0;
    for (key, want) in expected.iter().filter(|(key, _)| key.ends_with("tokens") || key.ends_with("cls")) {
        let (attention, blocks, ignored, rows, cols) = variant(key);
        let window = scene.narrow(2, 0, rows).narrow(3, 0, cols);
        let tower = tower(clip, Activation::QuickGelu, attention, !ignored).with_attention_blocks(blocks);
        let found = tower.forward(&window).expect("features");
        let found = if key.ends_with("cls") { found.cls } else { found.patches };
        let difference = difference(&found, want);
        assert!(difference <= TOKENS, "{name} {key} differs by {difference:.2e}");
        compared += 1;
        if difference > worst.0 {
            worst = (difference, key.clone());
        }
    }
    assert!(compared >= 20, "{compared}");
    println!("{name}: {compared} tensors, largest difference {:.2e} ({})", worst.0, worst.1);
}

#[test]
fn small_variants_have_the_authors_tokens() {
    let Some(path) = shared("parity/more/variants/small.safetensors") else { return };
    let expected = tensors(&path);
    let image = tch::vision::image::load(repository("tests/parity/small/scene.png")).expect("the scene");
    let scene = normalised(&image);
    let clip = small_clip();
    compare("small", &clip, &expected, &scene);
    let queries = &tensors(&repository("tests/parity/small/expected.safetensors"))["query_features"];
    for (name, attention) in [("SegEarth", Attention::SegEarth), ("SCLIP", Attention::Sclip)] {
        let tower = tower(&clip, Activation::QuickGelu, attention, false).with_attention_blocks(2);
        let upsampling = Upsampling::Learned(upsampler(&small_upsampler("jbu_one")), Basis::Joint);
        let window = scene.narrow(2, 0, 224).narrow(3, 0, 224);
        let found = logits(&ImageEncoder::new(tower, upsampling), &window, queries, -0.3);
        let found = found.slice(2, 0, None, 5).slice(3, 0, None, 5);
        let difference = difference(&found, &expected[&format!("last2.{name}.window_logits_at_stride5")]);
        assert!(difference <= LOGITS, "last2.{name} logits differ by {difference:.2e}");
        println!("last2.{name}: logits differ by at most {difference:.2e}");
    }
}

#[test]
fn full_variants_have_the_authors_tokens() {
    let Some(path) = shared("parity/more/variants/full.safetensors") else { return };
    let Some(folder) = shared("parity/full") else { return };
    let clip = read_clip(&folder.join("clip_openai_archive.pt")).expect("the full CLIP");
    let scene = &tensors(&folder.join("expected.safetensors"))["scene_rgb"];
    compare("full", &clip, &tensors(&path), &normalised(&scene.permute([2, 0, 1])));
}

/// Of the blocks whose attention is shared, these weights have the second.
#[test]
fn shared_attention_has_the_authors_tokens() {
    let Some(path) = shared("parity/more/coninfer/expected.safetensors") else { return };
    let Some(folder) = shared("parity/full") else { return };
    let clip = read_clip(&folder.join("clip_openai_archive.pt")).expect("the full CLIP");
    let scene = &tensors(&folder.join("expected.safetensors"))["scene_rgb"];
    let window = normalised(&scene.permute([2, 0, 1])).narrow(2, 0, 224).narrow(3, 0, 224);
    let expected = tensors(&path);
    let tokens =
        |attention| tower(&clip, Activation::QuickGelu, attention, false).forward(&window).expect("tokens").patches;
    for percent in [10, 60] {
        let name = format!("attention_lambda_0.{}.tokens", percent / 10);
        let difference = difference(&tokens(Attention::ConInfer { percent }), &expected[&name]);
        println!("{name}: largest difference {difference:.2e}");
        assert!(difference <= TOKENS, "{name} differs by {difference:.2e}");
    }
    // Without what is shared, tokens are others: the comparison can fail.
    assert!(difference(&tokens(Attention::SegEarth), &expected["attention_lambda_0.1.tokens"]) > 10.0 * TOKENS);
}

#[test]
fn sar_has_the_authors_tokens_and_logits() {
    let Some(folder) = shared("parity/more/sar") else { return };
    let expected = tensors(&folder.join("expected.safetensors"));
    let grey = expected["resized"].to_kind(Kind::Float).unsqueeze(0).expand([3, 224, 224], false);
    let tower = tower(&small_clip(), Activation::Gelu, Attention::Sclip, false).with_attention_blocks(2);
    let found = tower.forward(&normalised(&grey)).expect("features");
    for (name, got) in [("tokens", &found.patches), ("cls", &found.cls)] {
        let difference = difference(got, &expected[name]);
        println!("sar {name}: largest difference {difference:.2e}");
        assert!(difference <= TOKENS, "{name} differs by {difference:.2e}");
    }
    let queries = &tensors(&repository("tests/parity/small/expected.safetensors"))["query_features"];
    let upsampling = Upsampling::Learned(upsampler(&small_upsampler("jbu_one")), Basis::Joint);
    let found = logits(&ImageEncoder::new(tower, upsampling), &normalised(&grey), queries, -0.3);
    let found = found.slice(2, 0, None, 5).slice(3, 0, None, 5);
    let difference = difference(&found, &expected["window_logits_at_stride5"]);
    println!("sar logits: largest difference {difference:.2e}");
    assert!(difference <= LOGITS, "logits differ by {difference:.2e}");
}
