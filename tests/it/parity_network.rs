//! The network against the numbers that the authors' own code computed (float32, CPU, dropout off).
//!
//! `tests/parity/small` is in the repository; `parity/full` (the real vocabulary, three file layouts) lies beside it.
//! Logits are held to 5e-6, everything else to 5e-5, as an independent float32 implementation can be.

use std::collections::HashMap;
use std::path::Path;

use segearth::geom::{Blend, Grid, Size};
use segearth::network::export::tensors;
use segearth::network::{Attention, Basis, ImageEncoder, ImageTower, TextTower, TowerOptions, Upsampler, Upsampling};
use segearth::scene::{Classifier, Labelled, Pooling};
use segearth::stitch::{Accumulator, Row};
use segearth_checkpoint::{Activation, ClipWeights, UpsamplerWeights, read_clip, read_upsampler};
use segearth_testing::shared;
use segearth_upsample::{KernelPrecision, TextQueries, Windows};
use tch::{Kind, Tensor};

use crate::workdir::repository;

const FEATURES: f64 = 5e-5;
const LOGITS: f64 = 5e-6;
/// What `parity/more` is held to.
const MORE_LOGITS: f64 = 1e-6;
/// Two best scores closer than this may swap their labels.
const TIE: f32 = 1e-5;

/// A set of expected tensors and the scene they were computed on.
struct Set {
    expected: HashMap<String, Tensor>,
    /// Normalised, (1, 3, row, column).
    scene: Tensor,
}

impl Set {
    fn new(folder: &Path, scene: impl FnOnce(&HashMap<String, Tensor>) -> Tensor) -> Self {
        let expected: HashMap<String, Tensor> = Tensor::read_safetensors(folder.join("expected.safetensors"))
            .expect("expected tensors")
            .into_iter()
            .collect();
        let scene = normalised(&scene(&expected));
        Self { expected, scene }
    }

    fn small() -> Self {
        let folder = repository("tests/parity/small");
        Self::new(&folder, |_| tch::vision::image::load(folder.join("scene.png")).expect("the scene"))
    }

    fn full(folder: &Path) -> Self {
        Self::new(folder, |expected| expected["scene_rgb"].permute([2, 0, 1]))
    }

    fn window(&self) -> Tensor {
        self.scene.narrow(2, 0, 224).narrow(3, 0, 224)
    }

    fn queries(&self) -> &Tensor {
        &self.expected["query_features"]
    }

    #[track_caller]
    fn close(&self, name: &str, got: &Tensor, tolerance: f64) {
        let want = &self.expected[name];
        let stride = name.rsplit_once("_at_stride").map_or(1, |(_, stride)| stride.parse().expect("a stride"));
        let got = got.slice(-2, 0, None, if stride > 1 { stride } else { 1 });
        let got = if stride > 1 { got.slice(-1, 0, None, stride) } else { got };
        assert_eq!(got.size(), want.size(), "{name}");
        let difference = f64::try_from((got - want).abs().max()).expect("a number");
        assert!(difference <= tolerance, "{name} differs by {difference:.2e}, allowed are {tolerance:.0e}");
    }
}

pub fn normalised(rgb: &Tensor) -> Tensor {
    let channels = |values: [f32; 3]| Tensor::from_slice(&values).view([1, 3, 1, 1]);
    let pixels = rgb.to_kind(Kind::Float).unsqueeze(0);
    (pixels - channels([122.771, 116.746, 104.094])) / channels([68.501, 66.632, 70.323])
}

pub fn tower(clip: &ClipWeights, activation: Activation, attention: Attention, keep_residual: bool) -> ImageTower {
    let weights = tensors(&clip.tensors, "visual.", Kind::Float).expect("weights");
    let options = TowerOptions { layers: clip.sizes.vision_layers, heads: clip.sizes.vision_heads, activation };
    ImageTower::load(&weights, options, attention, keep_residual).expect("an image tower")
}

fn plain_tower(clip: &ClipWeights) -> ImageTower {
    tower(clip, Activation::QuickGelu, Attention::SegEarth, false)
}

pub fn text_tower(clip: &ClipWeights, activation: Activation) -> TextTower {
    let weights = tensors(&clip.tensors, "", Kind::Float).expect("weights");
    let options = TowerOptions { layers: clip.sizes.text_layers, heads: clip.sizes.text_heads, activation };
    TextTower::load(&weights, options).expect("a text tower")
}

pub fn upsampler(weights: &UpsamplerWeights) -> Upsampler {
    let tensors = tensors(&weights.tensors, "", Kind::Float).expect("weights");
    Upsampler::load(&tensors, weights.kind, 16).expect("an upsampler")
}

pub fn logits(encoder: &ImageEncoder, images: &Tensor, queries: &Tensor, lambda: f32) -> Tensor {
    encoder.forward(images, queries, &Tensor::from_slice(&[lambda])).expect("logits")
}

/// As [`logits`], the half after the transformer by the kernels that the CPU uses.
fn logits_by_kernels(
    clip: &ClipWeights,
    weights: &UpsamplerWeights,
    images: &Tensor,
    queries: &Tensor,
    lambda: f32,
) -> Tensor {
    let encoder = ImageEncoder::new(plain_tower(clip), Upsampling::Learned(upsampler(weights), Basis::Joint));
    let numbers = |tensor: &Tensor| Vec::<f32>::try_from(tensor.contiguous().flatten(0, -1)).expect("numbers");
    let tensors = tensors(&weights.tensors, "", Kind::Float).expect("weights");
    // What runs between the tower and the kernels: the last fixup's linear step, I + 0.1 Wᵀ.
    let features = encoder.features(images).expect("features");
    let (patches, width) = (features.size()[1] - 1, features.size()[2]);
    let fixup = tensors["fixup_proj.1.weight"].reshape([width, width]);
    let of_patches = features.narrow(1, 1, patches);
    let fixed = &of_patches + of_patches.matmul(&fixup.transpose(0, 1)) * 0.1;
    let features = Tensor::cat(&[features.narrow(1, 0, 1), fixed], 1);
    let tensors = tensors.iter().map(|(name, tensor)| (name.clone(), numbers(tensor))).collect();
    let size = images.size();
    let (height, width) = (size[2] as usize, size[3] as usize);
    let (pixels, tokens) = (numbers(images), numbers(&features));
    let logits = segearth_upsample::Upsampler::from_tensors(&tensors, 16, 2, KernelPrecision::Float32)
        .expect("an upsampler")
        .logits(
            &Windows { count: 1, height, width, pixels: &pixels, tokens: &tokens },
            &TextQueries { features: &numbers(queries), lambda },
        )
        .expect("logits");
    Tensor::from_slice(&logits).view([1, queries.size()[0], size[2], size[3]])
}

/// Blends a scene's windows with equal weights, as the paper does.
fn scene_rows(encoder: &ImageEncoder, set: &Set, scene: &Tensor, window: usize, stride: usize) -> Vec<Row> {
    let size = scene.size();
    let grid = Grid::new(Size::new(size[3] as usize, size[2] as usize), window, stride);
    let queries = set.queries().size()[0] as usize;
    let mut accumulator = Accumulator::new(grid.scene().window(), grid.window(), queries, Blend::Average);
    for window in grid.windows() {
        let (height, width) = (window.height as i64, window.width as i64);
        let image = scene.narrow(2, window.row as i64, height).narrow(3, window.col as i64, width);
        // Short sides are padded to whole patches, half of it (rounded down) in front.
        let pad = |side: i64| ((side + 15) / 16 * 16 - side, ((side + 15) / 16 * 16 - side) / 2);
        let ((down, above), (right, left)) = (pad(height), pad(width));
        let padded = image.constant_pad_nd([left, right - left, above, down - above]);
        let answer = logits(encoder, &padded, set.queries(), -0.3).narrow(2, above, height).narrow(3, left, width);
        accumulator.add(&window, &Vec::<f32>::try_from(answer.flatten(0, -1)).expect("numbers"), None);
    }
    accumulator.finish_before(grid.scene().height)
}

/// (1, query, row, column)
fn stacked(rows: &[Row], queries: i64) -> Tensor {
    let row = |row: &Row| -> Tensor {
        let width = row.valid.len();
        let logits: Vec<f32> =
            (0..queries as usize).flat_map(|query| (0..width).map(move |col| row.logit(query, col))).collect();
        Tensor::from_slice(&logits).view([queries, -1])
    };
    let rows: Vec<Tensor> = rows.iter().map(row).collect();
    Tensor::stack(&rows, 1).unsqueeze(0)
}

fn labelled(rows: &[Row], query_class: &Tensor, classes: usize, threshold: f32, background: usize) -> Labelled {
    let query_class: Vec<i64> = Vec::try_from(query_class).expect("classes");
    let classifier = Classifier {
        query_class: query_class.iter().map(|&class| class as usize).collect(),
        thresholds: vec![threshold; classes],
        background: Some(background),
        logit_scale: 50.0,
        bias: Vec::new(),
        pooling: Pooling::Largest,
        margin: 0.0,
        nodata: 255,
    };
    classifier.classify(rows, true)
}

#[track_caller]
fn labels_equal(name: &str, got: &Labelled, want: &Tensor) {
    let want: Vec<u8> = Vec::try_from(want.flatten(0, -1)).expect("labels");
    let pixels = got.labels.len();
    assert_eq!(pixels, want.len(), "{name}");
    for (pixel, (&got_label, &want_label)) in got.labels.iter().zip(&want).enumerate() {
        if got_label != u16::from(want_label) {
            let mut scores: Vec<f32> = got.scores.iter().skip(pixel).step_by(pixels).copied().collect();
            scores.sort_by(|a, b| b.total_cmp(a));
            assert!(scores[0] - scores[1] <= TIE, "{name}: pixel {pixel} is {got_label}, expected {want_label}");
        }
    }
}

pub fn small_clip() -> ClipWeights {
    read_clip(&repository("tests/parity/small/clip_openai_state_dict.pt")).expect("the small CLIP")
}

pub fn small_upsampler(kind: &str) -> UpsamplerWeights {
    read_upsampler(&repository(&format!("tests/parity/small/simfeatup_{kind}.ckpt"))).expect("the small upsampler")
}

#[test]
fn small_window_features_and_logits() {
    let (set, clip, weights) = (Set::small(), small_clip(), small_upsampler("jbu_one"));
    let features = plain_tower(&clip).forward(&set.window()).expect("features");
    set.close("window.tokens", &features.patches, FEATURES);
    set.close("window.cls", &features.cls, FEATURES);
    let upsampled = upsampler(&weights).features(&features.patches, &features.grid, &set.window()).expect("features");
    set.close("upsampler.output_at_stride4", &upsampled, FEATURES);
    for basis in [Basis::Joint, Basis::OfImage] {
        let encoder = ImageEncoder::new(plain_tower(&clip), Upsampling::Learned(upsampler(&weights), basis));
        set.close("window.logits_at_stride2", &logits(&encoder, &set.window(), set.queries(), -0.3), LOGITS);
        set.close("no_debias.window_logits_at_stride2", &logits(&encoder, &set.window(), set.queries(), 0.0), LOGITS);
    }
}

#[test]
fn small_logits_by_kernels() {
    let (set, clip) = (Set::small(), small_clip());
    for (kind, lambda, name) in [
        ("jbu_one", -0.3, "window.logits_at_stride2"),
        ("jbu_one", 0.0, "no_debias.window_logits_at_stride2"),
        ("jbu_stack", -0.3, "jbu_stack.window_logits_at_stride2"),
    ] {
        let got = logits_by_kernels(&clip, &small_upsampler(kind), &set.window(), set.queries(), lambda);
        set.close(name, &got, LOGITS);
    }
}

#[test]
fn small_first_doubling() {
    let (set, clip, weights) = (Set::small(), small_clip(), small_upsampler("jbu_one"));
    let features = plain_tower(&clip).forward(&set.window()).expect("features");
    let first = upsampler(&weights).after(1, &features.patches, &features.grid, &set.window()).expect("features");
    set.close("upsampler.stage1", &first, FEATURES);
}

#[test]
fn small_other_upsamplings() {
    let (set, clip) = (Set::small(), small_clip());
    let stack = Upsampling::Learned(upsampler(&small_upsampler("jbu_stack")), Basis::Joint);
    let encoder = ImageEncoder::new(plain_tower(&clip), stack);
    set.close("jbu_stack.window_logits_at_stride2", &logits(&encoder, &set.window(), set.queries(), -0.3), LOGITS);
    let encoder = ImageEncoder::new(plain_tower(&clip), Upsampling::Bilinear);
    set.close("no_upsampler.window_logits_at_stride2", &logits(&encoder, &set.window(), set.queries(), -0.3), LOGITS);
}

#[test]
fn small_attention_variants() {
    let (set, clip) = (Set::small(), small_clip());
    for (name, attention, keep_residual) in [
        ("ClearCLIP", Attention::ClearClip, false),
        ("MaskCLIP", Attention::MaskClip, false),
        ("SCLIP", Attention::Sclip, false),
        ("vanilla", Attention::Vanilla, false),
        ("SegEarth_with_residual", Attention::SegEarth, true),
    ] {
        let tower = tower(&clip, Activation::QuickGelu, attention, keep_residual);
        let features = tower.forward(&set.window()).expect("features");
        set.close(&format!("attention.{name}.tokens"), &features.patches, FEATURES);
    }
}

#[test]
fn small_text_and_exact_gelu() {
    let (set, clip) = (Set::small(), small_clip());
    let ids = &set.expected["token_ids"];
    let text = |activation| text_tower(&clip, activation).forward(ids).expect("features");
    set.close("text_embeddings", &text(Activation::QuickGelu), FEATURES);
    set.close("gelu.text_embeddings", &text(Activation::Gelu), FEATURES);
    let features = tower(&clip, Activation::Gelu, Attention::SegEarth, false).forward(&set.window()).expect("features");
    set.close("gelu.window.tokens", &features.patches, FEATURES);
    set.close("gelu.window.cls", &features.cls, FEATURES);
}

#[test]
fn small_scenes() {
    let (set, clip) = (Set::small(), small_clip());
    let learned = Upsampling::Learned(upsampler(&small_upsampler("jbu_one")), Basis::Joint);
    let encoder = ImageEncoder::new(plain_tower(&clip), learned);
    let rows = scene_rows(&encoder, &set, &set.scene, 224, 112);
    set.close("scene.logits_at_stride2", &stacked(&rows, 5), LOGITS);
    let query_class = &set.expected["query_class"];
    let labelled = |threshold, background| labelled(&rows, query_class, 4, threshold, background);
    let scores = Tensor::from_slice(&labelled(0.1, 0).scores).view([4, 260, 300]);
    set.close("scene.class_scores_at_stride2", &scores, FEATURES);
    for (name, threshold, background) in [
        ("scene.labels_threshold_0.1", 0.1, 0),
        ("scene.labels_threshold_0.4", 0.4, 0),
        ("scene.labels_threshold_0.9_background_2", 0.9, 2),
    ] {
        labels_equal(name, &labelled(threshold, background), &set.expected[name]);
    }
    let other = scene_rows(&encoder, &set, &set.scene, 160, 80);
    set.close("window160_stride80.scene_logits_at_stride2", &stacked(&other, 5), LOGITS);
    let short = set.scene.narrow(2, 0, 150).narrow(3, 0, 240);
    let rows = scene_rows(&encoder, &set, &short, 224, 112);
    set.close("short_scene_150x240.logits_at_stride2", &stacked(&rows, 5), LOGITS);
}

/// Images of the paper's protocol at their longer side of 448, in windows of 224, 112 apart.
#[test]
fn protocol_logits_are_the_authors() {
    let Some(folder) = shared("parity/more/protocol") else { return };
    let expected: HashMap<String, Tensor> =
        Tensor::read_safetensors(folder.join("expected.safetensors")).expect("expected tensors").into_iter().collect();
    let (set, clip) = (Set::small(), small_clip());
    let learned = Upsampling::Learned(upsampler(&small_upsampler("jbu_one")), Basis::Joint);
    let encoder = ImageEncoder::new(plain_tower(&clip), learned);
    for scene in ["scene_256x192", "scene_300x500"] {
        let image = tch::vision::image::load(folder.join(format!("{scene}_resized.png"))).expect("an image");
        let rows = scene_rows(&encoder, &set, &normalised(&image), 224, 112);
        let got = stacked(&rows, 5).slice(2, 0, None, 5).slice(3, 0, None, 5);
        let want = &expected[&format!("{scene}.logits_resized_at_stride5")];
        assert_eq!(got.size(), want.size(), "{scene}");
        let difference = f64::try_from((got - want).abs().max()).expect("a number");
        println!("{scene}: logits differ by at most {difference:.2e}");
        assert!(difference <= MORE_LOGITS, "{scene}: logits differ by {difference:.2e}");
    }
}

#[test]
fn full_from_every_file_layout() {
    let Some(folder) = shared("parity/full") else { return };
    let set = Set::full(&folder);
    let weights = read_upsampler(&folder.join("simfeatup_jbu_one.ckpt")).expect("the upsampler");
    for file in ["clip_openai_state_dict.pt", "clip_openai_archive.pt", "model.safetensors"] {
        let clip = read_clip(&folder.join(file)).expect(file);
        let features = plain_tower(&clip).forward(&set.window()).expect("features");
        set.close("window.tokens", &features.patches, FEATURES);
        set.close("window.cls", &features.cls, FEATURES);
        let upsampled =
            upsampler(&weights).features(&features.patches, &features.grid, &set.window()).expect("features");
        set.close("window.upsampled_at_stride8", &upsampled, FEATURES);
        let encoder = ImageEncoder::new(plain_tower(&clip), Upsampling::Learned(upsampler(&weights), Basis::Joint));
        set.close("window.logits", &logits(&encoder, &set.window(), set.queries(), -0.3), LOGITS);
        set.close("variant.no_debias.logits_at_stride4", &logits(&encoder, &set.window(), set.queries(), 0.0), LOGITS);
    }
}

#[test]
fn full_logits_by_kernels() {
    let Some(folder) = shared("parity/full") else { return };
    let set = Set::full(&folder);
    let weights = read_upsampler(&folder.join("simfeatup_jbu_one.ckpt")).expect("the upsampler");
    let clip = read_clip(&folder.join("clip_openai_state_dict.pt")).expect("the CLIP");
    let got = logits_by_kernels(&clip, &weights, &set.window(), set.queries(), -0.3);
    set.close("window.logits", &got, LOGITS);
}

#[test]
fn full_variants_and_scene() {
    let Some(folder) = shared("parity/full") else { return };
    let set = Set::full(&folder);
    let clip = read_clip(&folder.join("clip_openai_state_dict.pt")).expect("the CLIP");
    for (name, attention) in [
        ("ClearCLIP", Attention::ClearClip),
        ("MaskCLIP", Attention::MaskClip),
        ("SCLIP", Attention::Sclip),
        ("SegEarth", Attention::SegEarth),
        ("vanilla", Attention::Vanilla),
    ] {
        for (ignored, keep_residual) in [("True", false), ("False", true)] {
            let tower = tower(&clip, Activation::QuickGelu, attention, keep_residual);
            let features = tower.forward(&set.window()).expect("features");
            set.close(&format!("variant.{name}.ignore_residual_{ignored}.tokens"), &features.patches, FEATURES);
        }
    }
    let plain = ImageEncoder::new(plain_tower(&clip), Upsampling::Bilinear);
    set.close("variant.no_upsampler.logits_at_stride4", &logits(&plain, &set.window(), set.queries(), -0.3), LOGITS);
    let weights = read_upsampler(&folder.join("simfeatup_jbu_one.ckpt")).expect("the upsampler");
    let encoder = ImageEncoder::new(plain_tower(&clip), Upsampling::Learned(upsampler(&weights), Basis::Joint));
    let rows = scene_rows(&encoder, &set, &set.scene, 224, 112);
    set.close("scene.logits", &stacked(&rows, 14), LOGITS);
    for (name, threshold) in [("scene.labels_thd0.1", 0.1), ("scene.labels_thd0.5", 0.5)] {
        let labelled = labelled(&rows, &set.expected["query_index"], 9, threshold, 0);
        set.close("scene.class_scores", &Tensor::from_slice(&labelled.scores).view([9, 336, 300]), FEATURES);
        labels_equal(name, &labelled, &set.expected[name]);
    }
}
