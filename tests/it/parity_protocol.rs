//! The paper's protocol through the real binary: images resized to the byte, logits brought back to their size, counts of a set.

use std::collections::HashMap;
use std::path::Path;

use gdal::Dataset;
use segearth_testing::shared;
use tch::Tensor;

use crate::bundles::{small_clip, write_merges};
use crate::parity_binary::{warm, warm_bundle};
use crate::scenes::{read_band, write_bands};
use crate::workdir::{Workdir, repository};

const SCORES: f32 = 2e-5;
/// Labels may differ where two scores, or a score and the threshold, are nearer than this.
const TIE: f32 = 1e-5;

fn tensors(path: &Path) -> HashMap<String, Tensor> {
    Tensor::read_safetensors(path).expect("expected tensors").into_iter().collect()
}

fn bands(path: &Path) -> Vec<Vec<f32>> {
    let dataset = Dataset::open(path).expect("a raster");
    (1..=dataset.raster_count()).map(|band| read_band(&dataset, band)).collect()
}

#[test]
fn protocol_scenes_have_the_authors_scores_and_labels() {
    let Some(folder) = shared("parity/more/protocol") else { return };
    let work = Workdir::new();
    let queries = tensors(&repository("tests/parity/small/expected.safetensors"));
    warm_bundle(&work, &["aa", "bb", "cc", "dd", "ee"], &queries["query_features"]);
    let expected = tensors(&folder.join("expected.safetensors"));
    let mut worst_score = 0f32;
    for scene in ["scene_256x192", "scene_300x500"] {
        std::fs::copy(folder.join(format!("{scene}.png")), work.path(&format!("{scene}.png"))).expect("a copy");
        for (threshold, background, class) in [("0.0", "aa", 0), ("0.4", "aa", 0), ("0.9", "dd", 2)] {
            let image = format!("{scene}.png");
            work.ok([
                "segment",
                &image,
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
                "--resolution",
                "{long_side: 448}",
                "-o",
                "labels.tif",
                "--scores",
                "scores.tif",
                "--overwrite",
            ]);
            let scores = bands(&work.path("scores.tif"));
            let want = &expected[&format!("{scene}.class_scores_at_stride5")];
            let dataset = Dataset::open(work.path("labels.tif")).expect("labels");
            let (width, height) = dataset.raster_size();
            assert_eq!(want.size(), [4, height.div_ceil(5) as i64, width.div_ceil(5) as i64], "the original grid");
            let want: Vec<f32> = Vec::try_from(want.flatten(0, -1)).expect("scores");
            let got: Vec<f32> = scores
                .iter()
                .flat_map(|band| {
                    let rows = (0..height).step_by(5);
                    rows.flat_map(move |row| (0..width).step_by(5).map(move |col| band[row * width + col]))
                })
                .collect();
            let worst = got.iter().zip(&want).map(|(got, want)| (got - want).abs()).fold(0.0, f32::max);
            worst_score = worst_score.max(worst);
            assert!(worst <= SCORES, "{scene}: scores differ by {worst:.2e}");
            let labels: Vec<u8> = read_band(&dataset, 1);
            let name = format!("{scene}_labels_threshold_{threshold}_background_{class}.png");
            let want: Vec<u8> = read_band(&Dataset::open(folder.join(&name)).expect("labels"), 1);
            assert_eq!(labels.len(), want.len());
            let threshold: f32 = threshold.parse().expect("a number");
            for pixel in (0..labels.len()).filter(|pixel| labels[*pixel] != want[*pixel]) {
                let mut of_pixel: Vec<f32> = scores.iter().map(|band| band[pixel]).collect();
                of_pixel.sort_by(|a, b| b.total_cmp(a));
                let near = (of_pixel[0] - of_pixel[1]).min((of_pixel[0] - threshold).abs());
                assert!(near <= TIE, "{name}: pixel {pixel} is {}, expected {}", labels[pixel], want[pixel]);
            }
        }
    }
    println!("largest difference of a score: {worst_score:.2e}");
}

#[test]
fn sar_scene_has_the_authors_scores_and_labels() {
    let Some(folder) = shared("parity/more/sar") else { return };
    let work = Workdir::new();
    let shown = |path: std::path::PathBuf| path.display().to_string();
    let (clip, merges) = (shown(small_clip()), shown(write_merges(&work)));
    let upsampler = shown(repository("tests/parity/small/simfeatup_jbu_one.ckpt"));
    let import = ["model", "import", "--clip", &clip, "--tokenizer", &merges, "--upsampler", &upsampler, "-o", "sar"];
    let options = ["--attention", "sclip", "--attention-blocks", "2", "--activation", "gelu"];
    let ran = work.ok(import.into_iter().chain(options));
    assert!(ran.stdout.contains("attention_blocks: 2"), "{}", ran.stdout);
    let queries = tensors(&repository("tests/parity/small/expected.safetensors"));
    warm(&work, &work.path("sar"), &["aa", "bb", "cc", "dd", "ee"], &queries["query_features"]);
    let expected = tensors(&folder.join("expected.safetensors"));
    let scene = folder.join("scene.png").display().to_string();
    for (threshold, background, name) in
        [("0", "aa", "labels_threshold_0.png"), ("0.5", "dd", "labels_threshold_0.5_background_2.png")]
    {
        work.ok([
            "segment",
            &scene,
            "--model",
            "sar",
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
            "--bands",
            "1,1,1",
            "--resolution",
            "{long_side: 224}",
            "-o",
            "labels.tif",
            "--scores",
            "scores.tif",
            "--overwrite",
        ]);
        let scores = bands(&work.path("scores.tif"));
        let want: Vec<f32> = Vec::try_from(expected["class_scores_at_stride5"].flatten(0, -1)).expect("scores");
        let mut worst = 0f32;
        for (index, want) in want.iter().enumerate() {
            let (class, row, col) = (index / (52 * 52), index / 52 % 52 * 5, index % 52 * 5);
            worst = worst.max((scores[class][row * 256 + col] - want).abs());
        }
        println!("sar scores: largest difference {worst:.2e}");
        assert!(worst <= SCORES, "scores differ by {worst:.2e}");
        let labels: Vec<u8> = read_band(&Dataset::open(work.path("labels.tif")).expect("labels"), 1);
        let want: Vec<u8> = read_band(&Dataset::open(folder.join(name)).expect("labels"), 1);
        let threshold: f32 = threshold.parse().expect("a number");
        for pixel in (0..labels.len()).filter(|pixel| labels[*pixel] != want[*pixel]) {
            let mut of_pixel: Vec<f32> = scores.iter().map(|band| band[pixel]).collect();
            of_pixel.sort_by(|a, b| b.total_cmp(a));
            let near = (of_pixel[0] - of_pixel[1]).min((of_pixel[0] - threshold).abs());
            assert!(near <= TIE, "{name}: pixel {pixel} is {}, expected {}", labels[pixel], want[pixel]);
        }
    }
}

#[test]
fn protocol_counts_equal_the_authors() {
    let Some(folder) = shared("parity/more/protocol") else { return };
    let work = Workdir::new();
    for scene in ["scene_256x192", "scene_300x500"] {
        for (to, from) in [
            ("prediction", format!("{scene}_labels_threshold_0.0_background_0.png")),
            ("truth", format!("{scene}_truth.png")),
        ] {
            std::fs::create_dir_all(work.path(to)).expect("a folder");
            std::fs::copy(folder.join(from), work.path(&format!("{to}/{scene}.png"))).expect("a copy");
        }
    }
    work.write("classes.yaml", "classes: {a: 0, b: 1, c: 2, d: 3}\n");
    let expected = tensors(&folder.join("expected.safetensors"));
    for reduced in [false, true] {
        let mut args = vec![
            "evaluate",
            "--prediction",
            "prediction",
            "--reference",
            "truth",
            "--protocol",
            "paper",
            "--map",
            "classes.yaml",
            "--json",
            "figures.json",
            "--overwrite",
        ];
        args.extend(reduced.then_some("--reduce-zero-label"));
        let ran = work.ok(args);
        let figures: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(work.path("figures.json")).expect("figures")).expect("JSON");
        let tensor = |name: &str| &expected[&format!("metrics_reduce_zero_label_{}.{name}", i32::from(reduced))];
        for name in ["intersection", "predicted", "truth"] {
            let got: Vec<i64> =
                figures["counts"][name].as_array().expect("counts").iter().filter_map(|it| it.as_i64()).collect();
            assert_eq!(got, Vec::<i64>::try_from(tensor(name)).expect("counts"), "{name}, reduced: {reduced}");
        }
        for (name, tensor_name) in [("iou", "iou"), ("accuracy", "accuracy_per_class")] {
            let want: Vec<f32> = Vec::try_from(tensor(tensor_name)).expect("figures");
            let classes = figures["classes"].as_array().expect("classes");
            assert_eq!(classes.len(), want.len());
            for (class, want) in classes.iter().zip(want) {
                let got = class[name].as_f64().map_or(f32::NAN, |got| got as f32);
                assert!((got - want).abs() < 1e-6 || got.is_nan() && want.is_nan(), "{name} is {got}, expected {want}");
            }
        }
        let want: Vec<f32> = Vec::try_from(tensor("miou_maccuracy_accuracy")).expect("figures");
        for (name, want) in ["miou", "mean_accuracy", "overall_accuracy"].into_iter().zip(want) {
            let got = figures[name].as_f64().expect("a figure") as f32;
            assert!((got - want).abs() < 1e-6, "{name} is {got}, expected {want}");
            assert!(ran.stdout.contains(&format!("{:.2}", 100.0 * got)), "{}", ran.stdout);
        }
    }
}

#[test]
fn resized_images_resume_and_shard_to_the_same_bytes() {
    let work = Workdir::new();
    let pixels = crate::scenes::noise(3 * 340 * 130);
    let planes: Vec<Vec<u8>> = pixels.chunks(340 * 130).map(<[u8]>::to_vec).collect();
    write_bands(&work.path("image.tif"), (340, 130), &planes, |_| {});
    work.write(
        "job.yaml",
        "model: fake:identity\nscene: image.tif\nresolution: {long_side: 700}\nclasses: [red, green, blue]\n\
         tiling: {window: 64, stride: 32, blend: average}\noutputs: {scores: true}\n",
    );
    work.ok(["run", "job.yaml", "--output", "whole"]);
    for shard in ["1/3", "2/3", "3/3"] {
        work.ok(["run", "job.yaml", "--output", "shards", "--shard", shard]);
    }
    work.ok(["merge", "job.yaml", "--output", "shards"]);
    let read = |folder: &str, name: &str| bands(&work.path(&format!("{folder}/image_{name}.tif")));
    for name in ["labels", "scores"] {
        let (whole, shards) = (read("whole", name), read("shards", name));
        assert!(whole == shards, "{name} differ between shards and one process");
    }
    assert_eq!(read("whole", "labels")[0].len(), 340 * 130, "the image's own grid");
    // Without a zoom the model's grid is that of the results.
    let ran = work.ok(["run", "job.yaml", "--output", "model", "--set", "grid=model"]);
    assert_eq!(read("model", "labels")[0].len(), 700 * 268, "{}", ran.stderr);
}

#[test]
fn wrong_image_sizes_are_explained() {
    let work = Workdir::new();
    write_bands(&work.path("image.tif"), (40, 30), &vec![vec![7u8; 1200]; 3], |_| {});
    let segment = |resolution: &str| {
        work.refused_args([
            "segment",
            "image.tif",
            "--model",
            "fake:identity",
            "--classes",
            "a; b; c",
            "--resolution",
            resolution,
            "-o",
            "l.tif",
        ])
    };
    assert!(segment("{long_side: 0}").contains("it must be from 1 to 65535"));
    assert!(segment("{long_side: 4, short_side: 5}").contains("one of `long_side`, `short_side` and `size`"));
    assert!(segment("{long_sid: 4}").contains("long_side"));
    assert!(segment("{size: [60000, 2]}").contains("cannot be resized to"));
    assert!(segment("0.5").contains("{long_side: 448}"));
}
