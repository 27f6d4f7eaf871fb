//! The authors' numbers again, through the real binary: from GeoTIFF to GeoTIFF.

use std::path::{Path, PathBuf};

use gdal::{Dataset, Metadata};
use segearth::model::Queries;
use segearth::model::bundle::{Bundle, Trust};
use segearth::model::queries::{QueryCache, Wording};
use segearth_testing::shared;
use tch::Tensor;

use crate::bundles::{Upsampler, small_bundle};
use crate::scenes::{TRANSFORM, read_band, write_scene};
use crate::workdir::{Workdir, repository};

const FEATURES: f32 = 5e-5;
const TIE: f32 = 1e-5;

#[track_caller]
fn assert_labels(labels: &Path, scores: &Path, classes: usize, want: &Tensor) {
    let want: Vec<u8> = Vec::try_from(want.flatten(0, -1)).expect("labels");
    let got: Vec<u8> = read_band(&Dataset::open(labels).expect("labels"), 1);
    let scores = Dataset::open(scores).expect("scores");
    let scores: Vec<Vec<f32>> = (1..=classes).map(|band| read_band(&scores, band)).collect();
    assert_eq!(got.len(), want.len());
    for pixel in (0..got.len()).filter(|&pixel| got[pixel] != want[pixel]) {
        let mut of_pixel: Vec<f32> = scores.iter().map(|band| band[pixel]).collect();
        of_pixel.sort_by(|a, b| b.total_cmp(a));
        assert!(of_pixel[0] - of_pixel[1] <= TIE, "pixel {pixel} is {}, expected {}", got[pixel], want[pixel]);
    }
}

/// Bytes of the small set's scene, (row, column, channel), 300 × 260.
fn small_scene() -> Vec<u8> {
    let image = tch::vision::image::load(repository("tests/parity/small/scene.png")).expect("the scene");
    assert_eq!(image.size(), [3, 260, 300]);
    Vec::try_from(image.permute([1, 2, 0]).contiguous().flatten(0, -1)).expect("bytes")
}

/// The queries, which are given as features, wait in the cache where an earlier job would have left them.
pub fn warm_bundle(work: &Workdir, prompts: &[&str], expected: &Tensor) {
    let folder = small_bundle(work, "small", Upsampler::JbuOne);
    warm(work, &folder, prompts, expected);
}

/// The same for a bundle that is there.
pub fn warm(work: &Workdir, folder: &Path, prompts: &[&str], expected: &Tensor) {
    let bundle = Bundle::open(folder, Trust::Hashes).expect("a bundle");
    let prompts: Vec<String> = prompts.iter().map(|prompt| (*prompt).to_owned()).collect();
    let templates = ["{}".to_owned()];
    let size = expected.size();
    let queries = Queries {
        count: size[0] as usize,
        width: size[1] as usize,
        features: Vec::try_from(expected.flatten(0, -1)).expect("features"),
    };
    QueryCache::new(work.path("cache/queries"))
        .put(
            &bundle.text_fingerprint().expect("hashes"),
            Wording { prompts: &prompts, templates: &templates },
            &queries,
        )
        .expect("a warm cache");
}

#[test]
fn small_scene_from_geotiff_to_geotiff() {
    let work = Workdir::new();
    let expected =
        Tensor::read_safetensors(repository("tests/parity/small/expected.safetensors")).expect("expected tensors");
    let expected: std::collections::HashMap<String, Tensor> = expected.into_iter().collect();
    // query_class of the set: 0, 1, 1, 2, 3.
    warm_bundle(&work, &["aa", "bb", "cc", "dd", "ee"], &expected["query_features"]);
    write_scene(&work.path("scene.tif"), 300, 260, &small_scene());
    for (name, threshold, background) in [
        ("scene.labels_threshold_0.1", "0.1", "aa"),
        ("scene.labels_threshold_0.4", "0.4", "aa"),
        ("scene.labels_threshold_0.9_background_2", "0.9", "dd"),
    ] {
        let ran = work.ok([
            "segment",
            "scene.tif",
            "--model",
            "small",
            "--classes",
            "aa; bb,cc; dd; ee",
            "--templates",
            "none",
            "--threshold",
            threshold,
            "--background",
            background,
            "--blend",
            "average",
            "--stride",
            "112",
            "-o",
            "labels.tif",
            "--scores",
            "scores.tif",
            "--polygons",
            "polygons.gpkg",
            "--overwrite",
        ]);
        assert!(ran.stderr.contains("(auto)"), "the device is said: {}", ran.stderr);
        assert_labels(&work.path("labels.tif"), &work.path("scores.tif"), 4, &expected[name]);
        let scores = Dataset::open(work.path("scores.tif")).expect("scores");
        let want: Vec<f32> = Vec::try_from(expected["scene.class_scores_at_stride2"].flatten(0, -1)).expect("scores");
        for band in 0..4 {
            let got: Vec<f32> = read_band(&scores, band + 1);
            for (index, want) in want[band * 130 * 150..(band + 1) * 130 * 150].iter().enumerate() {
                let (row, col) = (2 * (index / 150), 2 * (index % 150));
                assert!((got[row * 300 + col] - want).abs() <= FEATURES, "class {band}, row {row}, column {col}");
            }
        }
        let labels = Dataset::open(work.path("labels.tif")).expect("labels");
        assert_eq!(labels.geo_transform().expect("a geotransform"), TRANSFORM);
        assert_eq!(labels.spatial_ref().expect("a CRS").auth_code().expect("a code"), 25832);
        assert_eq!(labels.rasterband(1).expect("a band").metadata_item("CLASS_1", "").as_deref(), Some("bb"));
    }
}

#[test]
fn full_scene_from_geotiff_to_geotiff() {
    let Some(folder) = shared("parity/full") else { return };
    let Some(bpe) = shared("parity/bpe_simple_vocab_16e6.txt.gz") else { return };
    let work = Workdir::new();
    let expected = Tensor::read_safetensors(folder.join("expected.safetensors")).expect("expected tensors");
    let expected: std::collections::HashMap<String, Tensor> = expected.into_iter().collect();
    let pixels: Vec<u8> = Vec::try_from(expected["scene_rgb"].flatten(0, -1)).expect("bytes");
    write_scene(&work.path("scene.tif"), 300, 336, &pixels);
    let shown = |path: PathBuf| path.display().to_string();
    let (clip, bpe) = (shown(folder.join("clip_openai_archive.pt")), shown(bpe));
    let upsampler = shown(folder.join("simfeatup_jbu_one.ckpt"));
    work.ok(["model", "import", "--clip", &clip, "--tokenizer", &bpe, "--upsampler", &upsampler, "-o", "full"]);
    let classes = format!("@{}", shown(folder.join("classes.txt")));
    for (name, threshold) in [("scene.labels_thd0.1", "0.1"), ("scene.labels_thd0.5", "0.5")] {
        work.ok([
            "segment",
            "scene.tif",
            "--model",
            "full",
            "--classes",
            &classes,
            "--threshold",
            threshold,
            "--blend",
            "average",
            "--stride",
            "112",
            "-o",
            "labels.tif",
            "--scores",
            "scores.tif",
            "--overwrite",
        ]);
        assert_labels(&work.path("labels.tif"), &work.path("scores.tif"), 9, &expected[name]);
        let scores = Dataset::open(work.path("scores.tif")).expect("scores");
        let want: Vec<f32> = Vec::try_from(expected["scene.class_scores"].flatten(0, -1)).expect("scores");
        for band in 0..9 {
            let got: Vec<f32> = read_band(&scores, band + 1);
            let want = &want[band * got.len()..(band + 1) * got.len()];
            let worst = got.iter().zip(want).map(|(got, want)| (got - want).abs()).fold(0.0, f32::max);
            assert!(worst <= FEATURES, "class {band} differs by {worst:.2e}");
        }
    }
}
