//! Every command from end to end, with models that need no weights where weights do not matter.

use std::fs;
use std::path::Path;

use gdal::Dataset;
use gdal::Metadata;
use gdal::vector::LayerAccess as _;

use crate::bundles::{Upsampler, small_bundle};
use crate::scenes::{TRANSFORM, noise, noise_scene, place, read_band, write_bands, write_scene};
use crate::workdir::{Workdir, repository};

/// What the identity model's three classes must come to: the brightest channel, the first of equals.
fn brightest(pixel: &[u8]) -> u8 {
    let mut winner = 0;
    for channel in 1..3 {
        if pixel[channel] > pixel[winner] {
            winner = channel;
        }
    }
    winner as u8
}

#[track_caller]
fn labels_of(path: &Path) -> Vec<u8> {
    read_band(&Dataset::open(path).expect("labels"), 1)
}

/// With one prompt a class the scores are the soft-max of the scaled pixel: cut, normalised, blended and written, the scene
/// must come back pixel for pixel.
#[test]
fn an_identity_model_labels_every_pixel_by_itself() {
    let work = Workdir::new();
    for (width, height, blend, stride, scale) in [
        (1, 1, "hann", 112, 50.0),
        (397, 1, "hann", 112, 0.02),
        (1, 397, "gaussian", 56, 0.02),
        (97, 101, "average", 112, 50.0),
        (224, 225, "average", 224, 50.0),
        (449, 331, "hann", 112, 0.02),
        (337, 226, "gaussian", 97, 50.0),
    ] {
        let case = format!("{width} × {height}, {blend}, stride {stride}, scale {scale}");
        let pixels = noise_scene(&work.path("scene.tif"), width, height);
        let words = format!(
            "segment scene.tif --model fake:identity -c red;green;blue --blend {blend} --stride {stride} \
             --logit-scale {scale} -o labels.tif --scores scores.tif --overwrite"
        );
        work.ok(words.split_whitespace());
        let labels = labels_of(&work.path("labels.tif"));
        let scores = Dataset::open(work.path("scores.tif")).expect("scores");
        let scores: Vec<Vec<f32>> = (1..=3).map(|band| read_band(&scores, band)).collect();
        for (index, pixel) in pixels.chunks_exact(3).enumerate() {
            let place = || format!("{case}: row {}, column {}, {pixel:?}", index / width, index % width);
            assert_eq!(labels[index], brightest(pixel), "{}", place());
            let most = f64::from(pixel[usize::from(brightest(pixel))]);
            let parts: Vec<f64> = pixel.iter().map(|&value| (scale * (f64::from(value) - most)).exp()).collect();
            for (class, part) in parts.iter().enumerate() {
                let want = part / parts.iter().sum::<f64>();
                let got = f64::from(scores[class][index]);
                assert!((got - want).abs() < 2e-5, "{}: class {class} scores {got}, not {want}", place());
            }
        }
    }
}

#[test]
fn outputs_lie_where_the_scene_lies_and_name_their_classes() {
    let work = Workdir::new();
    let pixels = noise_scene(&work.path("scene.tif"), 61, 47);
    work.write("classes.txt", "red,ruby\ngreen\nblue\n");
    let words = "segment scene.tif --model fake:identity -c @classes.txt -o out/labels.tif --scores out/scores.tif";
    let ran = work.ok(words.split_whitespace());
    assert_eq!(ran.stderr, "", "nothing to note, and no progress where nobody watches");
    let words = "vectorize out/labels.tif --scores out/scores.tif --recipe plain --min-area 0 -o out/polygons.gpkg";
    work.ok(words.split_whitespace());
    for name in ["out/labels.tif", "out/scores.tif"] {
        let raster = Dataset::open(work.path(name)).expect("a raster");
        assert_eq!(raster.raster_size(), (61, 47));
        assert_eq!(raster.geo_transform().expect("a geotransform"), TRANSFORM);
        assert_eq!(raster.spatial_ref().expect("a CRS").auth_code().expect("a code"), 25832);
    }
    let labels = Dataset::open(work.path("out/labels.tif")).expect("labels");
    let band = labels.rasterband(1).expect("a band");
    assert!(band.color_table().is_some(), "labels have colours");
    assert_eq!(
        labels.metadata_item("SEGEARTH_CLASSES", "").as_deref(),
        Some("red: red,ruby; green: green; blue: blue")
    );
    let names = (0..3).map(|class| band.metadata_item(&format!("CLASS_{class}"), ""));
    assert_eq!(names.map(Option::unwrap_or_default).collect::<Vec<_>>(), ["red", "green", "blue"]);
    let scores = Dataset::open(work.path("out/scores.tif")).expect("scores");
    assert_eq!(scores.rasterband(2).expect("a band").description().expect("a name"), "green");

    // Queries are red, ruby, green, blue, which the identity model answers with red, green, blue, red.
    let labels: Vec<u8> = read_band(&labels, 1);
    let mut areas = [0.0; 3];
    for (&label, pixel) in labels.iter().zip(pixels.chunks_exact(3)) {
        let (first, second) = (pixel[0].max(pixel[1]), pixel[2]);
        let want = if first >= second && first >= pixel[0] { 0 } else { 1 };
        let want = if pixel[0] > first.max(second) { 2 } else { want };
        assert_eq!(label, want, "{pixel:?}");
        areas[usize::from(label)] += (TRANSFORM[1] * TRANSFORM[5] - TRANSFORM[2] * TRANSFORM[4]).abs();
    }
    let polygons = Dataset::open(work.path("out/polygons.gpkg")).expect("polygons");
    let mut layer = polygons.layer(0).expect("a layer");
    assert_eq!(layer.spatial_ref().expect("a CRS").auth_code().expect("a code"), 25832);
    let mut found = [0.0; 3];
    for feature in layer.features() {
        let class = (0..feature.field_count())
            .filter_map(|field| feature.field_as_string(field).ok().flatten())
            .find_map(|value| ["red", "green", "blue"].iter().position(|name| *name == value));
        found[class.expect("a polygon names its class")] += feature.geometry().expect("a polygon").area();
    }
    for class in 0..3 {
        assert!((found[class] - areas[class]).abs() < 1e-6 * areas[0], "class {class}: {found:?} for {areas:?}");
    }
}

#[test]
fn more_classes_than_a_byte_counts() {
    let work = Workdir::new();
    noise_scene(&work.path("scene.tif"), 9, 7);
    let classes: String = (0..300).map(|class| format!("class {class}\n")).collect();
    work.write("classes.txt", classes);
    work.ok("segment scene.tif --model fake:null -c @classes.txt -o labels.tif".split_whitespace());
    let labels = Dataset::open(work.path("labels.tif")).expect("labels");
    let band = labels.rasterband(1).expect("a band");
    assert_eq!(band.band_type(), gdal::raster::GdalDataType::UInt16);
    assert_eq!(band.no_data_value(), Some(65535.0));
}

/// Nothing in the wedge but nodata; the pixels beside it as they are, also where windows are half empty or wholly.
#[test]
fn a_wedge_without_data_stays_without_data() {
    let work = Workdir::new();
    let (width, height) = (700, 300);
    let inside = |index: usize| index % width >= 460 - index / width;
    let bytes = noise(width * height * 3);
    let bands: Vec<Vec<u8>> = (0..3)
        .map(|channel| {
            (0..width * height).map(|index| if inside(index) { bytes[index * 3 + channel].max(1) } else { 0 }).collect()
        })
        .collect();
    write_bands(&work.path("scene.tif"), (width, height), &bands, |dataset| {
        place(dataset);
        for band in 1..=3 {
            dataset.rasterband(band).expect("a band").set_no_data_value(Some(0.0)).expect("a nodata value");
        }
    });
    let ran = work.ok("segment scene.tif --model fake:identity -c red;green;blue -o labels.tif --scores scores.tif"
        .split_whitespace());
    assert!(ran.stdout.contains("without data skipped"), "{}", ran.stdout);
    let labels = Dataset::open(work.path("labels.tif")).expect("labels");
    assert_eq!(labels.rasterband(1).expect("a band").no_data_value(), Some(255.0));
    let labels: Vec<u8> = read_band(&labels, 1);
    let scores = Dataset::open(work.path("scores.tif")).expect("scores");
    let scores: Vec<Vec<f32>> = (1..=3).map(|band| read_band(&scores, band)).collect();
    for index in 0..width * height {
        let place = || format!("row {}, column {}", index / width, index % width);
        if inside(index) {
            let pixel = [bands[0][index], bands[1][index], bands[2][index]];
            assert_eq!(labels[index], brightest(&pixel), "{}", place());
            assert!(scores.iter().all(|band| band[index].is_finite()), "{}", place());
        } else {
            assert_eq!(labels[index], 255, "{}", place());
            assert!(scores.iter().all(|band| band[index].is_nan()), "{}", place());
        }
    }
}

#[test]
fn a_scene_without_a_single_pixel_of_data() {
    let work = Workdir::new();
    write_bands(
        &work.path("scene.tif"),
        (300, 240),
        &[vec![0u8; 72_000], vec![0; 72_000], vec![0; 72_000]],
        |dataset| {
            // GeoJSON is made of scenes with a CRS alone.
            place(dataset);
            for band in 1..=3 {
                dataset.rasterband(band).expect("a band").set_no_data_value(Some(0.0)).expect("a nodata value");
            }
        },
    );
    let words = "segment scene.tif --model fake:identity -c red;green;blue -o labels.tif --polygons polygons.geojson";
    work.ok(words.split_whitespace());
    assert!(labels_of(&work.path("labels.tif")).iter().all(|&label| label == 255));
    assert!(work.path("polygons.geojson").is_file());
}

/// `check` says what `run` will do and leaves nothing; `run` does it for each scene, into a folder that it makes.
#[test]
fn a_job_is_checked_and_then_run() {
    let work = Workdir::new();
    let small = {
        fs::create_dir(work.path("scenes")).expect("a folder");
        noise_scene(&work.path("scenes/small.tif"), 30, 20)
    };
    let large = noise_scene(&work.path("scenes/large.tif"), 240, 230);
    work.write(
        "jobs/city.yaml",
        "model: fake:identity\nscene: [../scenes/small.tif, ../scenes/large.tif]\nclasses: [red, green, blue]\n\
         background: green\nmethod: {threshold: 0.9}\ntiling: {stride: 56, blend: average}\n\
         outputs: {scores: true, polygons: 'shapes_{scene}.fgb'}\n",
    );
    let before = work.files();
    let checked = work.ok(["check", "jobs/city.yaml"]);
    assert_eq!(work.files(), before, "check leaves nothing");
    for line in [
        "background  green",
        "stride 56, blend average",
        "scenes/small.tif",
        "labels      output/city/large_labels.tif",
    ] {
        assert!(checked.stdout.contains(line), "{line}: {}", checked.stdout);
    }
    let ran = work.ok(["run", "jobs/city.yaml"]);
    assert!(ran.stdout.contains("small.tif: 30 × 20 pixels") && ran.stdout.contains("large.tif: 240 × 230 pixels"));
    for (name, pixels) in [("small", small), ("large", large)] {
        let labels = labels_of(&work.path(&format!("output/city/{name}_labels.tif")));
        for (label, pixel) in labels.into_iter().zip(pixels.chunks_exact(3)) {
            // A tie of two channels is below the threshold.
            let best = brightest(pixel);
            let tied = pixel.iter().filter(|&&value| value == pixel[usize::from(best)]).count() > 1;
            assert_eq!(label, if tied { 1 } else { best }, "{pixel:?}");
        }
        assert!(work.path(&format!("output/city/{name}_scores.tif")).is_file());
        assert!(work.path(&format!("output/city/shapes_{name}.fgb")).is_file());
    }
    // Flags win over the job; --quiet leaves nothing but the files.
    let words = "run jobs/city.yaml --input scenes/small.tif --output elsewhere --set background=red --quiet";
    let ran = work.ok(words.split_whitespace());
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    assert!(work.path("elsewhere/small_labels.tif").is_file() && !work.path("elsewhere/large_labels.tif").exists());
    // The same again replaces what is there, with the same bytes.
    let first = fs::read(work.path("elsewhere/small_labels.tif")).expect("labels");
    work.ok(words.split_whitespace());
    assert!(fs::read(work.path("elsewhere/small_labels.tif")).expect("labels") == first, "another run, other bytes");
}

/// As it ships, but for the model: on the sample scene, bands, stretch and all.
#[test]
fn a_shipped_job_runs_on_the_sample_scene() {
    let work = Workdir::new();
    let job = repository("pipelines/landcover.yaml").display().to_string();
    let scene = repository("sample_data/itaipu.tif").display().to_string();
    let words = ["--input", &scene, "--output", "out", "--device", "auto", "--set", "model=fake:null"];
    let ran = work.ok(["run", &job].into_iter().chain(words));
    assert!(ran.stdout.contains("840 × 1600 pixels") && ran.stdout.contains("(no data)"), "{}", ran.stdout);
    assert!(work.files().keys().any(|path| path.ends_with("out/itaipu_labels.tif")), "{:?}", work.files());
}

#[test]
fn the_schema_is_json_and_knows_the_keys() {
    let work = Workdir::new();
    let schema = work.ok(["schema"]).stdout;
    let schema: serde_json::Value = serde_json::from_str(&schema).expect("JSON");
    for key in ["model", "scene", "bands", "stretch", "classes", "background", "method", "tiling", "outputs", "device"]
    {
        assert!(schema["properties"].get(key).is_some(), "{key} is no property of {schema}");
    }
    assert_eq!(schema["additionalProperties"], serde_json::Value::Bool(false));
}

#[test]
fn labels_are_measured_against_a_reference() {
    let work = Workdir::new();
    let (width, height) = (60, 50);
    let pixels = noise_scene(&work.path("scene.tif"), width, height);
    work.ok("segment scene.tif --model fake:identity -c red;green;blue -o labels.tif".split_whitespace());
    let truth: Vec<u8> = pixels.chunks_exact(3).map(brightest).collect();
    write_bands(&work.path("truth.tif"), (width, height), std::slice::from_ref(&truth), place);
    let words = "evaluate --prediction labels.tif --reference truth.tif --json figures.json";
    let ran = work.ok(words.split_whitespace());
    assert!(ran.stdout.contains("green") && ran.stdout.contains("mIoU"), "{}", ran.stdout);
    let figures: serde_json::Value =
        serde_json::from_slice(&fs::read(work.path("figures.json")).expect("figures")).expect("JSON");
    let miou = |figures: &serde_json::Value| figures["miou"].as_f64().unwrap_or_else(|| panic!("{figures}"));
    assert_eq!(miou(&figures), 1.0, "{figures}");
    // A tenth of the red pixels called green must show.
    let mut red = 0;
    let wrong: Vec<u8> = truth
        .iter()
        .map(|&label| {
            red += usize::from(label == 0);
            if label == 0 && red % 10 == 0 { 1 } else { label }
        })
        .collect();
    write_bands(&work.path("truth.tif"), (width, height), &[wrong], place);
    work.ok(words.split_whitespace());
    let figures: serde_json::Value =
        serde_json::from_slice(&fs::read(work.path("figures.json")).expect("figures")).expect("JSON");
    assert!((0.85..0.97).contains(&miou(&figures)), "{figures}");
    let said = work.refused("evaluate --prediction none.tif --reference truth.tif");
    assert!(said.contains("none.tif") && said.starts_with("error: "), "{said}");
}

#[test]
fn a_bundle_is_shown() {
    let work = Workdir::new();
    small_bundle(&work, "small", Upsampler::JbuOne);
    let shown = work.ok(["model", "inspect", "small"]).stdout;
    for line in
        ["patch: 16", "embed_dim: 32", "upsampler: jbu_one", "attention: segearth", "file: simfeatup_jbu_one.ckpt"]
    {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let listed = work.ok(["model", "fetch", "--list"]).stdout;
    assert!(listed.lines().any(|name| name == "openai/ViT-B-16"), "{listed}");
    // By its name, once it lies in the model folder.
    small_bundle(&work, "models/mine/small", Upsampler::None);
    noise_scene(&work.path("scene.tif"), 40, 30);
    let words = "segment scene.tif -c aa;bb --templates none -o labels.tif --model";
    work.ok(words.split_whitespace().chain(["mine/small"]));
    let said = work.refused(&format!("{words} mine/smal"));
    assert!(said.contains("installed: mine/small"), "{said}");
}

/// With the text tower gone after the first job, only kept features can serve the second.
#[test]
fn a_second_job_with_the_same_words_spends_no_time_on_them() {
    let work = Workdir::new();
    let bundle = small_bundle(&work, "small", Upsampler::None);
    noise_scene(&work.path("scene.tif"), 40, 30);
    let job = |classes: &str, more: &[&str]| {
        let words =
            ["segment", "scene.tif", "--model", "small", "-o", "labels.tif", "--trust", "--overwrite", "-c", classes];
        work.run(words.into_iter().chain(more.iter().copied()))
    };
    let first = job("aa; bb,cc", &["-v"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert!(!first.stderr.contains("from the cache"), "{}", first.stderr);
    let labels = fs::read(work.path("labels.tif")).expect("labels");
    fs::write(bundle.join("text_encoder.pt"), "gone").expect("no text tower");
    // The prompts in another grouping are the same words.
    let second = job("aa; bb,cc", &["-v"]);
    assert_eq!(second.code, 0, "{}", second.stderr);
    assert!(second.stderr.contains("The prompts' features come from the cache."), "{}", second.stderr);
    assert!(fs::read(work.path("labels.tif")).expect("labels") == labels, "other labels from kept features");
    let regrouped = job("aa,bb; cc", &["--debias", "0.1"]);
    assert_eq!(regrouped.code, 0, "{}", regrouped.stderr);
    for (classes, more) in [("aa; bb,dd", &[][..]), ("aa; bb,cc", &["--templates", "none"])] {
        let other = job(classes, more);
        assert_eq!(other.code, 1, "other words need the text tower: {}", other.stderr);
    }
}

/// A scene of short sides is padded for the model and cut again: the labels of one window are those of the scene alone.
#[test]
fn a_model_with_weights_takes_odd_scenes() {
    let work = Workdir::new();
    small_bundle(&work, "small", Upsampler::None);
    for (width, height) in [(1, 1), (1, 50), (250, 3), (225, 17)] {
        write_scene(&work.path("scene.tif"), width, height, &noise(width * height * 3));
        let words = "segment scene.tif --model small -c aa;bb;cc --templates none -o labels.tif --overwrite";
        work.ok(words.split_whitespace());
        let labels = labels_of(&work.path("labels.tif"));
        assert!(labels.len() == width * height && labels.iter().all(|&label| label < 3), "{width} × {height}");
    }
}
