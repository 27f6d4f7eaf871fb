//! Jobs and scenes that cannot be: a sentence that says what, where and what to do, exit code 1, and nothing left behind.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use gdal::Dataset;
use insta::assert_snapshot;

use crate::scenes::{noise, noise_scene, read_band, write_bands};
use crate::workdir::{Workdir, without_causes};

/// A folder with a sound scene `scene.tif` of 60 × 40 pixels.
fn with_scene() -> Workdir {
    let work = Workdir::new();
    noise_scene(&work.path("scene.tif"), 60, 40);
    work
}

/// The words of a sound command on `scene`, but for what `more` adds.
fn segment(scene: &str, more: &str) -> String {
    format!("segment {scene} --model fake:null --output out/labels.tif {more}")
}

#[test]
fn a_scene_that_is_none() {
    let work = Workdir::new();
    work.write("notes.tif", "not a raster at all");
    work.write("empty.tif", "");
    work.write("folder/scene.txt", "");
    assert_snapshot!(work.refused(&segment("none.tif", "-c a;b")), @"");
    assert_snapshot!(work.refused(&segment("folder", "-c a;b")), @"");
    assert_snapshot!(without_causes(&work.refused(&segment("notes.tif", "-c a;b"))), @"");
    assert_snapshot!(without_causes(&work.refused(&segment("empty.tif", "-c a;b"))), @"");
    let no_name = ["segment", "", "--model", "fake:null", "-c", "a;b", "-o", "out/labels.tif"];
    assert_snapshot!(work.refused_args(no_name), @"");
}

#[test]
fn bands_that_are_not_there() {
    let work = with_scene();
    write_bands(&work.path("two.tif"), (60, 40), &[noise(2400), noise(2400)], |_| {});
    assert_snapshot!(work.refused(&segment("two.tif", "-c a;b")), @"");
    assert_snapshot!(work.refused(&segment("scene.tif", "-c a;b --bands 1,2")), @"");
    assert_snapshot!(work.refused(&segment("scene.tif", "-c a;b --bands 1,2,9")), @"");
    assert_snapshot!(work.refused(&segment("scene.tif", "-c a;b --bands 0,1,2")), @"");
    assert_snapshot!(work.refused(&segment("scene.tif", "-c a;b --bands red,green,infrared")), @"");
    // The way out that the hint names.
    work.ok(segment("two.tif", "-c a;b --bands 1,1,2").split_whitespace());
}

#[test]
fn a_scene_without_georeference_is_taken_and_that_is_said() {
    let work = Workdir::new();
    write_bands(&work.path("plain.tif"), (60, 40), &[noise(2400), noise(2400), noise(2400)], |_| {});
    let ran = work.ok(segment("plain.tif", "-c a;b --polygons out/polygons.gpkg").split_whitespace());
    assert_snapshot!(ran.stderr, @"");
    assert!(ran.stdout.contains("60 × 40 pixels, 2,400 px"), "{}", ran.stdout);
    let labels = Dataset::open(work.path("out/labels.tif")).expect("labels");
    assert!(labels.geo_transform().is_err() && labels.spatial_ref().is_err());
}

#[test]
fn a_truncated_scene_never_becomes_labels() {
    let work = Workdir::new();
    noise_scene(&work.path("whole.tif"), 300, 400);
    let whole = fs::read(work.path("whole.tif")).expect("the scene");
    // In the middle of the pixels: the header is sound, and the first windows are.
    work.write("pixels.tif", &whole[..whole.len() * 3 / 5]);
    let outputs = "-c a;b --scores out/scores.tif --polygons out/polygons.gpkg";
    let said = work.refused(&segment("pixels.tif", outputs));
    assert!(said.starts_with("error: cannot read band 1 of pixels.tif at columns 0 to 224, rows "), "{said}");
    assert!(said.contains("\n\nhint: The file is damaged or incomplete there, or its storage failed"), "{said}");
    // In the header.
    work.write("header.tif", &whole[..60]);
    let said = work.refused(&segment("header.tif", outputs));
    assert!(said.contains("header.tif") && said.contains("hint: "), "{said}");
    // A run before it is not touched either.
    work.ok(segment("whole.tif", outputs).split_whitespace());
    let said = work.refused(&segment("pixels.tif", outputs));
    assert!(said.contains("pixels.tif"), "{said}");
}

#[test]
fn a_scene_too_wide_for_the_memory_is_refused_before_the_work() {
    let work = Workdir::new();
    let band = |number| format!("<VRTRasterBand dataType=\"Byte\" band=\"{number}\"/>");
    for (name, width, height) in [("wide", "2147483647", "3"), ("giant", "2147483647", "2147483647")] {
        let bands = [1, 2, 3].map(band).concat();
        let vrt = format!("<VRTDataset rasterXSize=\"{width}\" rasterYSize=\"{height}\">{bands}</VRTDataset>");
        work.write(&format!("{name}.vrt"), vrt);
    }
    for name in ["wide.vrt", "giant.vrt"] {
        let said = work.refused(&segment(name, "-c a;b"));
        assert!(said.contains(&format!("error: blending the windows of {name} takes")), "{said}");
        assert!(said.contains("of memory") && said.contains("hint: "), "{said}");
    }
}

#[test]
fn classes_that_say_nothing() {
    let work = with_scene();
    let refused = |classes: &str, more: &str| {
        let words = segment("scene.tif", more);
        work.refused_args(words.split_whitespace().chain(["--classes", classes]))
    };
    assert_snapshot!(refused("a; ; b", ""), @"");
    assert_snapshot!(refused("a; b,,c", ""), @"");
    assert_snapshot!(refused("", ""), @"");
    assert_snapshot!(refused("a; b; a", ""), @"");
    assert_snapshot!(refused("a; Building; building", ""), @"");
    assert_snapshot!(refused("building; road", "--background bulding"), @"");
    assert_snapshot!(refused("building; road", "--background sky"), @"");
    assert_snapshot!(refused("building; road", "--threshold 0.5"), @"");
    assert_snapshot!(refused("@none.txt", ""), @"");
    work.write("empty.txt", " \n");
    assert_snapshot!(refused("@empty.txt", ""), @"");
    work.write("gap.txt", "a\n\nb\n");
    assert_snapshot!(refused("@gap.txt", ""), @"");
    work.write("latin.txt", b"stra\xdfe\n");
    assert_snapshot!(refused("@latin.txt", ""), @"");
}

#[test]
fn prompts_of_a_million_characters() {
    let work = with_scene();
    let prompt = "b".repeat(1_000_000);
    work.write("classes.txt", format!("a\n{prompt}\n"));
    let said = work.refused(&segment("scene.tif", "-c @classes.txt"));
    assert!(said.contains("a prompt of 1000000 characters is too long: at most 1000 are possible"), "{said}");
    assert!(said.contains("--> classes.txt:2:1") && said.len() < 2_000, "{} bytes: {said}", said.len());
    let job = format!("model: fake:null\nscene: scene.tif\nclasses:\n- a\n- name: b\n  prompts: ['{prompt}']\n");
    work.write("job.yaml", job);
    let said = work.refused("run job.yaml");
    assert!(said.contains("--> job.yaml:6:13") && said.len() < 2_000, "{} bytes: {said}", said.len());
}

#[test]
fn outputs_that_cannot_be_written() {
    let work = with_scene();
    work.write("file", "not a folder");
    fs::create_dir(work.path("folder.tif")).expect("a folder");
    let refused = |output: &str| {
        work.refused_args(["segment", "scene.tif", "--model", "fake:null", "-c", "a;b", "--output", output])
    };
    assert_snapshot!(refused("file/labels.tif"), @"");
    assert_snapshot!(refused("file/below/labels.tif"), @"");
    assert_snapshot!(refused("folder.tif"), @"");
    assert_snapshot!(refused("labels.png"), @"");
    assert_snapshot!(refused("/vsimem/labels.tif"), @"");
    // Closed even to the superuser.
    assert_snapshot!(refused("/proc/labels.tif"), @"");
    let said = work.refused(&segment("scene.tif", "-c a;b --scores file/scores.tif"));
    assert!(said.contains("cannot write file/scores.tif: file is a file"), "{said}");
    assert_snapshot!(work.refused(&segment("scene.tif", "-c a;b --polygons polygons.kml")), @"");
}

#[test]
fn an_output_in_the_way_of_another_file() {
    let work = with_scene();
    std::os::unix::fs::symlink("scene.tif", work.path("link.tif")).expect("a link");
    let refused = |words: &str| {
        let words = format!("segment scene.tif --model fake:null -c a;b {words}");
        work.refused(&words)
    };
    assert_snapshot!(refused("-o scene.tif"), @"");
    for same in ["-o ./scene.tif", "-o link.tif", "-o labels.tif --scores ../../proc/self/cwd/scene.tif"] {
        let said = refused(same);
        assert!(said.contains("would overwrite the scene"), "{same}: {said}");
    }
    assert_snapshot!(refused("-o labels.tif --scores ./labels.tif"), @"");
    fs::create_dir(work.path("other")).expect("a folder");
    noise_scene(&work.path("other/scene.tif"), 60, 40);
    work.write("job.yaml", "model: fake:null\nscene: [scene.tif, other/scene.tif]\nclasses: [a, b]\n");
    assert_snapshot!(work.refused("run job.yaml"), @"");
    work.write("job.yaml", "model: fake:null\nscene: [scene.tif, other/scene.tif]\nclasses: [a, b]\noutputs: {labels: l.tif}\n");
    assert_snapshot!(work.refused("run job.yaml"), @"");
}

#[test]
fn devices_and_models_by_name() {
    let work = with_scene();
    assert_snapshot!(work.refused(&segment("scene.tif", "-c a;b --device cuda")), @"");
    assert_snapshot!(work.refused(&segment("scene.tif", "-c a;b --device gpu")), @"");
    let refused = |model: &str| work.refused(&format!("segment scene.tif -c a;b -o labels.tif --model {model}"));
    assert_snapshot!(refused("openai/ViT-B-61"), @"");
    assert_snapshot!(refused("../models"), @"");
    assert_snapshot!(refused("a/../../models"), @"");
    work.write("folder/notes.txt", "");
    assert_snapshot!(refused("folder"), @"");
    assert_snapshot!(work.refused("segment scene.tif -c a;b -o labels.tif"), @"");
}

#[test]
fn job_files_that_are_none() {
    let work = with_scene();
    fs::create_dir(work.path("folder")).expect("a folder");
    work.write("binary.yaml", noise(3000));
    work.write("empty.yaml", "");
    work.write("key.yaml", "model: fake:null\nscene: scene.tif\nclasses: [a, b]\ntiling:\n  strid: 56\n");
    work.write("kind.yaml", "model: fake:null\nscene: scene.tif\nclasses: [a, b]\ntiling:\n  stride: many\n");
    assert_snapshot!(work.refused("run none.yaml"), @"");
    assert_snapshot!(work.refused("run folder"), @"");
    assert_snapshot!(work.refused("run binary.yaml"), @"");
    assert_snapshot!(work.refused("run empty.yaml"), @"");
    assert_snapshot!(work.refused("run key.yaml"), @"");
    assert_snapshot!(work.refused("run kind.yaml"), @"");
    assert_snapshot!(work.refused("check key.yaml --set tiling.strid=56"), @"");
}

#[test]
fn names_that_are_hard_to_say() {
    let work = Workdir::new();
    let name = "two\nlines \x1b[31m.tif";
    noise_scene(&work.path(name), 60, 40);
    let labels = "out/labels\n\x1b[31m.tif";
    let polygons = "out/polygons\n.gpkg";
    let words = ["--model", "fake:null", "-c", "a;b", "-o", labels, "--polygons", polygons];
    let ran = work.ok(["segment", name].into_iter().chain(words));
    // A name cannot forge a line of its own, nor colours.
    assert!(ran.stdout.starts_with("two\u{fffd}lines \u{fffd}[31m.tif: 60 × 40 pixels"), "{}", ran.stdout);
    assert!(!ran.stdout.contains('\x1b') && ran.stdout.contains("labels    out/labels\u{fffd}"), "{}", ran.stdout);
    assert!(work.path(labels).is_file() && work.path(polygons).is_file());
    assert_snapshot!(work.refused_args(["segment", "no\nsuch.tif"].into_iter().chain(words)), @"");

    let foreign = OsStr::from_bytes(b"stra\xdfe.tif");
    fs::rename(work.path(name), work.path("x").with_file_name(foreign)).expect("another name");
    let mut words: Vec<OsString> = vec!["segment".into(), foreign.into()];
    words.extend(["--model", "fake:null", "-c", "a;b", "-o", "labels.tif"].map(OsString::from));
    assert_snapshot!(work.refused_args(&words), @"");
    // A job file is only read: any name will do.
    let job = OsStr::from_bytes(b"gr\xfcn.yaml");
    let text = "model: fake:null\nscene: scene.tif\nclasses: [a, b]\noutputs: {labels: labels.tif, folder: here}\n";
    fs::write(work.path("x").with_file_name(job), text).expect("a job");
    noise_scene(&work.path("scene.tif"), 60, 40);
    work.ok([OsStr::new("run"), job]);
    let labels: Vec<u8> = read_band(&Dataset::open(work.path("here/labels.tif")).expect("labels"), 1);
    assert_eq!(labels, vec![0; 2400]);
}
