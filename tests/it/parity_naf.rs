//! NAF against the numbers of its authors' code, the trace of a bundle with it, and a run.

use std::collections::HashMap;
use std::path::Path;

use segearth::network::{Attention, ImageEncoder, ImageFeatures, Naf, PixelScale, Upsampling};
use segearth_checkpoint::{Activation, LearnedUpsampler, NafWeights, read_learned_upsampler};
use segearth_testing::shared;
use segearth_upsample::{TextQueries, Windows};
use tch::{Kind, Tensor};

use crate::bundles::{small_clip as small_clip_file, write_merges};
use crate::parity_network::{logits, small_clip, tower};
use crate::scenes::{read_band, write_scene};
use crate::workdir::{Workdir, repository};

/// Largest difference allowed.
const NAF: f64 = 2e-5;
/// Of logits by kernels, whose 3 × 3 convolutions round more than direct ones.
const KERNELS: f64 = 2e-5;
const WIDTH: usize = 32;

fn weights() -> NafWeights {
    match read_learned_upsampler(&repository("tests/parity/more/naf/naf_release.pth")).expect("the upsampler") {
        LearnedUpsampler::Naf(weights) => weights,
        other => panic!("{} is not naf", other.name()),
    }
}

fn naf(images: PixelScale) -> Naf {
    let weights = weights();
    let tensors = segearth::network::export::tensors(&weights.tensors, "", Kind::Float).expect("weights");
    Naf::load(&tensors, weights.heads, 16, WIDTH, images).expect("the upsampler")
}

/// The top-left pixels of the scene as (1, 3, row, column), normalised.
fn image(rows: i64, cols: i64, scale: PixelScale) -> Tensor {
    let scene = tch::vision::image::load(repository("tests/parity/more/naf/scene.png")).expect("the scene");
    let channels = |values: [f32; 3]| Tensor::from_slice(&values).view([1, 3, 1, 1]);
    let pixels = scene.to_kind(Kind::Float).unsqueeze(0).narrow(2, 0, rows).narrow(3, 0, cols);
    (pixels - channels(scale.mean)) / channels(scale.std)
}

fn difference(got: &Tensor, want: &Tensor) -> f64 {
    assert_eq!(got.size(), want.size());
    f64::try_from((got - want).abs().max()).expect("a number")
}

fn compare(path: &Path) {
    let expected: HashMap<String, Tensor> =
        Tensor::read_safetensors(path).expect("expected tensors").into_iter().collect();
    let naf = naf(PixelScale::IMAGENET);
    let mut compared = 0;
    for (key, want) in &expected {
        let (case, what) = key.split_once('.').expect("a case");
        let (size, output) = match case {
            "grid7x7_kernel7" => ([112, 112], [112, 112]),
            "grid9x11_kernel9" => ([144, 176], [144, 176]),
            "grid14x14_kernel9" => ([224, 224], [224, 224]),
            "grid14x14_to_28x28" => ([224, 224], [28, 28]),
            "grid9x10_of_150x170" => ([150, 170], [150, 170]),
            other => panic!("unknown case {other}"),
        };
        let image = image(size[0], size[1], PixelScale::IMAGENET);
        let (what, stride) = what.rsplit_once("_at_stride").unwrap_or((what, "1"));
        let stride: i64 = stride.parse().expect("a stride");
        let got = match what {
            "features" => continue,
            "output" => naf.features(&expected[&format!("{case}.features")], &image, output),
            "encoded" => naf.encoded(&image, output),
            "queries" => naf.queries(&image, output).map(|queries| queries.flatten(3, 4).permute([0, 3, 1, 2])),
            "keys" => naf.queries(&image, output).map(|queries| {
                queries.flatten(3, 4).permute([0, 3, 1, 2]).avg_pool2d([16, 16], [16, 16], [0, 0], false, true, None)
            }),
            other => panic!("unknown tensor {other}"),
        };
        let got = got.expect("a result").slice(2, 0, None, stride).slice(3, 0, None, stride);
        let difference = difference(&got, want);
        assert!(difference <= NAF, "{key} differs by {difference:.2e}");
        println!("{key}: {difference:.2e}");
        compared += 1;
    }
    assert!(compared >= 6, "{compared}");
}

#[test]
fn naf_has_the_authors_numbers() {
    compare(&repository("tests/parity/more/naf/expected.safetensors"));
    if let Some(path) = shared("parity/more/naf/expected.safetensors") {
        compare(&path);
    }
}

/// Logits by kernels of our own, of weights that are folded for the images' normalisation.
fn logits_by_kernels(scale: PixelScale, window: &Tensor, features: &ImageFeatures, queries: &Tensor) -> Tensor {
    let weights = weights();
    let tensors = segearth::network::export::tensors(&weights.tensors, "", Kind::Float).expect("weights");
    let folded = naf(scale).weights_of_images(&tensors).expect("weights");
    let numbers = |tensor: &Tensor| Vec::<f32>::try_from(tensor.flatten(0, -1)).expect("numbers");
    let tensors = folded.iter().map(|(name, tensor)| (name.clone(), numbers(tensor))).collect();
    let mut kernels = segearth_upsample::Naf::from_tensors(&tensors, 16, WIDTH, 2).expect("kernels");
    let (_, _, height, width) = window.size4().expect("a window");
    let tokens = Tensor::cat(&[features.cls.unsqueeze(1), features.patches.shallow_clone()], 1);
    let windows = Windows {
        count: 1,
        height: height as usize,
        width: width as usize,
        pixels: &numbers(window),
        tokens: &numbers(&tokens),
    };
    let logits = kernels.logits(&windows, &TextQueries { features: &numbers(queries), lambda: -0.3 }).expect("logits");
    Tensor::from_slice(&logits).view([1, queries.size()[0], height, width])
}

/// The products of the fast way, for images of another normalisation, against those of the plain way's features; and so in the traces.
#[test]
fn naf_similarities_are_those_of_its_features() {
    let clip_scale = PixelScale { mean: [122.771, 116.746, 104.094], std: [68.501, 66.632, 70.323] };
    let queries = Tensor::randn([3, WIDTH as i64], (Kind::Float, tch::Device::Cpu));
    let (plain, fast) = (naf(PixelScale::IMAGENET), naf(clip_scale));
    let tower = || tower(&small_clip(), Activation::QuickGelu, Attention::SegEarth, false);
    let encoder = ImageEncoder::new(tower(), Upsampling::Neighbours(naf(clip_scale)));
    let traced = segearth::network::trace::image_encoder(&encoder, 64, WIDTH as i64, Kind::Float).expect("a trace");
    for (rows, cols) in [(224, 224), (112, 208), (32, 160), (16, 16), (48, 80)] {
        let window = image(rows, cols, clip_scale);
        let features = tower().forward(&window).expect("features");
        let got = fast.similarities(&features.patches, &queries, &features.grid, &window).expect("similarities");
        let patches = features.patches.transpose(1, 2).reshape([1, WIDTH as i64, rows / 16, cols / 16]);
        let upsampled = plain.features(&patches, &image(rows, cols, PixelScale::IMAGENET), [rows, cols]);
        let upsampled = upsampled.expect("features").flatten(2, 3).squeeze_dim(0);
        let norms = upsampled.norm_scalaropt_dim(2, [0i64].as_slice(), true);
        let want = (queries.matmul(&upsampled) / norms).view([1, 3, rows, cols]);
        let off = difference(&got, &want);
        assert!(off <= NAF, "{rows} × {cols}: similarities differ by {off:.2e}");
        let batch = Tensor::cat(&[&window, &window.flip([2])], 0);
        let want = logits(&encoder, &batch, &queries, -0.3);
        let unit = &queries / queries.norm_scalaropt_dim(2, [1i64].as_slice(), true);
        let by_kernels = logits_by_kernels(clip_scale, &window, &features, &unit);
        let off = difference(&by_kernels, &logits(&encoder, &window, &unit, -0.3));
        println!("{rows} × {cols}: kernels differ by {off:.2e}");
        assert!(off <= KERNELS, "{rows} × {cols}: the kernels differ by {off:.2e}");
        let found = traced.forward_ts(&[&batch, &queries, &Tensor::from_slice(&[-0.3f32])]).expect("logits");
        let off = difference(&found, &want);
        assert!(off <= NAF, "{rows} × {cols}: the trace differs by {off:.2e}");
    }
}

#[test]
fn a_bundle_with_naf_segments() {
    let work = Workdir::new();
    let (clip, merges) = (small_clip_file(), write_merges(&work));
    let naf = repository("tests/parity/more/naf/naf_release.pth");
    let import = |clip: &Path| {
        let [clip, merges, naf] = [clip, &merges, &naf].map(|path| path.display().to_string());
        ["model", "import", "--clip", &clip, "--tokenizer", &merges, "--upsampler", &naf, "-o", "model"]
            .map(str::to_owned)
    };
    let ran = work.ok(import(&clip));
    assert!(ran.stdout.contains("upsampler: naf"), "{}", ran.stdout);
    let card = std::fs::read_to_string(work.path("model/model.yaml")).expect("a card");
    assert!(
        card.contains("\n  naf.safetensors: "),
        "weights for kernels of our own, which a run uses only if named: {card}"
    );
    // A scene of more than a window, and one of less than nine patches.
    for (width, height) in [(260, 230), (100, 40)] {
        let bytes: Vec<u8> = (0..3 * width * height).map(|at: usize| (at * at % 251) as u8).collect();
        write_scene(&work.path("scene.tif"), width, height, &bytes);
        let args = "segment scene.tif --model model --classes a;b -o labels.tif --scores scores.tif --overwrite";
        work.ok(args.split_whitespace());
        let scores = gdal::Dataset::open(work.path("scores.tif")).expect("scores");
        let [a, b] = [1, 2].map(|band| read_band::<f32>(&scores, band));
        assert_eq!(a.len(), width * height);
        assert!(a.iter().zip(&b).all(|(a, b)| (a + b - 1.0).abs() < 1e-3), "scores sum to 1");
    }
}
