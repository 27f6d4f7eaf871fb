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
    assert_snapshot!(work.refused(&segment("none.tif", "-c a;b")), @r"
    error: there is no file none.tif
      --> SCENE
     |
     | none.tif
     | ^^^^^^^^

    hint: Paths in a job file are relative to its folder, paths on the command line to the current folder.
    ");
    assert_snapshot!(work.refused(&segment("folder", "-c a;b")), @r"
    error: there is no raster in the folder folder
      --> SCENE
     |
     | folder
     | ^^^^^^

    hint: Only rasters directly in the folder are used (.tif, .jp2, .img, .vrt, .nc, …). For subfolders, use a pattern such as `**/*.tif`.
    ");
    assert_snapshot!(without_causes(&work.refused(&segment("notes.tif", "-c a;b"))), @r"
    error: cannot open notes.tif as a raster

    hint: Give a raster in a format that GDAL reads; `gdalinfo FILE` shows what GDAL finds in it.
    ");
    assert_snapshot!(without_causes(&work.refused(&segment("empty.tif", "-c a;b"))), @r"
    error: cannot open empty.tif as a raster

    hint: Give a raster in a format that GDAL reads; `gdalinfo FILE` shows what GDAL finds in it.
    ");
    let no_name = ["segment", "", "--model", "fake:null", "-c", "a;b", "-o", "out/labels.tif"];
    assert_snapshot!(work.refused_args(no_name), @r"
    error: the path of a scene is empty
      --> SCENE

    hint: Give the path of a raster.
    ");
}

#[test]
fn bands_that_are_not_there() {
    let work = with_scene();
    write_bands(&work.path("two.tif"), (60, 40), &[noise(2400), noise(2400)], |_| {});
    assert_snapshot!(work.refused(&segment("two.tif", "-c a;b")), @r"
    error: two.tif has 2 bands (1 grey, 2); three are needed for red, green and blue
      --> SCENE
     |
     | two.tif
     | ^^^^^^^

    hint: To use one band for all three, set `bands: [1, 1, 1]`, or --bands 1,1,1.
    ");
    assert_snapshot!(work.refused(&segment("scene.tif", "-c a;b --bands 1,2")), @r"
    error: `bands` has 2 entries; it needs three, for red, green and blue
      --> --bands
     |
     | 1,2
     | ^^^

    hint: For a greyscale scene, write [1, 1, 1].
    ");
    assert_snapshot!(work.refused(&segment("scene.tif", "-c a;b --bands 1,2,9")), @r"
    error: there is no band 9 in scene.tif: bands are counted from 1 to 3
      --> --bands
     |
     | 1,2,9
     |     ^

    hint: Its bands are 1 red, 2 green, 3 blue.
    ");
    assert_snapshot!(work.refused(&segment("scene.tif", "-c a;b --bands 0,1,2")), @r"
    error: there is no band 0 in scene.tif: bands are counted from 1 to 3
      --> --bands
     |
     | 0,1,2
     | ^

    hint: Its bands are 1 red, 2 green, 3 blue.
    ");
    assert_snapshot!(work.refused(&segment("scene.tif", "-c a;b --bands red,green,infrared")), @r"
    error: there is no band `infrared` in scene.tif
      --> --bands
     |
     | red,green,infrared
     |           ^^^^^^^^

    hint: Its bands are 1 red, 2 green, 3 blue.
    ");
    // The way out that the hint names.
    work.ok(segment("two.tif", "-c a;b --bands 1,1,2").split_whitespace());
}

#[test]
fn a_scene_without_georeference_is_taken_and_that_is_said() {
    let work = Workdir::new();
    write_bands(&work.path("plain.tif"), (60, 40), &[noise(2400), noise(2400), noise(2400)], |_| {});
    let ran = work.ok(segment("plain.tif", "-c a;b --polygons out/polygons.gpkg").split_whitespace());
    assert_snapshot!(ran.stderr, @r"
    note: plain.tif has no georeference: results are in pixel coordinates, areas in pixels.
    note: out/labels.tif has no georeference: the result is in pixel coordinates; areas and lengths are in pixels
    ");
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
    let said = work.refused(&segment("pixels.tif", &format!("{outputs} --overwrite")));
    assert!(said.contains("pixels.tif"), "{said}");
}

#[test]
fn a_damaged_scene_leaves_the_others_complete() {
    let work = Workdir::new();
    fs::create_dir(work.path("scenes")).expect("a folder");
    for name in ["a", "c"] {
        noise_scene(&work.path(&format!("scenes/{name}.tif")), 300, 400);
    }
    let whole = fs::read(work.path("scenes/a.tif")).expect("the scene");
    work.write("scenes/b.tif", &whole[..whole.len() * 3 / 5]);
    work.write("job.yaml", "model: fake:null\nscene: scenes\nclasses: [a, b]\noutputs: {folder: out}\n");

    let ran = work.run("run job.yaml".split_whitespace());

    let said = &ran.stderr;
    assert_eq!(ran.code, 1, "{said}");
    assert!(said.contains("error: cannot read band 1 of "), "{said}");
    assert!(said.contains("error: 1 of 3 scenes could not be segmented: b.tif"), "{said}");
    assert!(work.path("out/a_labels.tif").is_file() && work.path("out/c_labels.tif").is_file());
    assert!(!work.path("out/b_labels.tif").exists());
    // Repaired, the same command computes what is missing.
    work.write("scenes/b.tif", &whole);
    work.ok("run job.yaml".split_whitespace());
    assert!(work.path("out/b_labels.tif").is_file());
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
        // With more memory than any machine has it would only be slow.
        let said = work.refused(&segment(name, "-c a;b --memory 4GB"));
        assert!(said.contains(&format!("error: {name} is 2147483647 pixels wide: with ")), "{said}");
        assert!(said.contains("columns, at most 64 are possible") && said.contains("hint: "), "{said}");
    }
}

#[test]
fn classes_that_say_nothing() {
    let work = with_scene();
    let refused = |classes: &str, more: &str| {
        let words = segment("scene.tif", more);
        work.refused_args(words.split_whitespace().chain(["--classes", classes]))
    };
    assert_snapshot!(refused("a; ; b", ""), @r"
    error: a class is empty
      --> --classes
     |
     | a; ; b
     |    ^

    hint: Write at least one prompt: `building`, or several: `building,roof,house`.
    ");
    assert_snapshot!(refused("a; b,,c", ""), @r"
    error: a prompt is empty
      --> --classes
     |
     | a; b,,c
     |      ^

    hint: Remove the extra comma.
    ");
    assert_snapshot!(refused("", ""), @r"
    error: a class is empty
      --> --classes

    hint: Write at least one prompt: `building`, or several: `building,roof,house`.
    ");
    assert_snapshot!(refused("a; b; a", ""), @r"
    error: classes 0 and 2 are both named `a`
      --> --classes
     |
     | a; b; a
     |       ^

    hint: Rename one of them, or put the prompts of both into one class. Classes are counted from 0.
    ");
    assert_snapshot!(refused("a; Building; building", ""), @r"
    error: classes 1 and 2, `Building` and `building`, differ only in case
      --> --classes
     |
     | a; Building; building
     |              ^^^^^^^^

    hint: Rename one of them, or put the prompts of both into one class. Classes are counted from 0.
    ");
    assert_snapshot!(refused("building; road", "--background bulding"), @r"
    error: the background `bulding` is not a class of this job
      --> --background
     |
     | bulding
     | ^^^^^^^

    hint: Did you mean `building`?
    ");
    assert_snapshot!(refused("building; road", "--background sky"), @r"
    error: the background `sky` is not a class of this job
      --> --background
     |
     | sky
     | ^^^

    hint: The classes are `building`, `road`.
    ");
    assert_snapshot!(refused("building; road", "--threshold 0.5"), @r"
    error: a threshold is set, but the job has no background class for the pixels below it
      --> --threshold
     |
     | 0.5
     | ^^^

    hint: Set `background: NAME` (--background NAME), or add a class named `background`.
    ");
    assert_snapshot!(refused("@none.txt", ""), @r"
    error: there is no class file none.txt

    hint: Check the path; relative paths start from the current folder.
    ");
    work.write("empty.txt", " \n");
    assert_snapshot!(refused("@empty.txt", ""), @r"
    error: the class file empty.txt is empty

    hint: Write one class per line, with prompts separated by commas.
    ");
    work.write("gap.txt", "a\n\nb\n");
    let said = refused("@gap.txt", "");
    assert!(said.contains("error: a class is empty\n  --> gap.txt:2:1\n"), "{said}");
    work.write("latin.txt", b"stra\xdfe\n");
    assert_snapshot!(refused("@latin.txt", ""), @r"
    error: the class file latin.txt is not UTF-8 text (byte 4)

    hint: Check that it is a class file, and save it as UTF-8.
    ");
}

#[test]
fn prompts_of_a_million_characters() {
    let work = with_scene();
    let prompt = "b".repeat(1_000_000);
    work.write("classes.txt", format!("a\n{prompt}\n"));
    let said = work.refused(&segment("scene.tif", "-c @classes.txt"));
    assert!(said.contains("a prompt has 1000000 characters; at most 1000 are allowed"), "{said}");
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
    assert_snapshot!(refused("file/labels.tif"), @r"
    error: cannot write file/labels.tif: file is a file

    hint: Name a folder that exists or can be made.
    ");
    assert_snapshot!(refused("file/below/labels.tif"), @r"
    error: cannot write file/below/labels.tif: file is a file

    hint: Name a folder that exists or can be made.
    ");
    assert_snapshot!(refused("folder.tif"), @r"
    error: cannot write folder.tif: it is a folder

    hint: Name a file inside it.
    ");
    assert_snapshot!(refused("labels.png"), @r"
    error: the output name `labels.png` must end in one of `.tif`, `.tiff`
      --> --output
     |
     | labels.png
     | ^^^^^^^^^^

    hint: The file extension sets the format.
    ");
    assert_snapshot!(refused("/vsimem/labels.tif"), @r"
    error: `/vsimem/labels.tif` is not a local path; outputs can only be written to a local file system
      --> --output
     |
     | /vsimem/labels.tif
     | ^^^^^^^^^^^^^^^^^^

    hint: Write to a local folder, and copy the files afterwards.
    ");
    // Closed even to the superuser.
    assert_snapshot!(refused("/proc/labels.tif"), @r"
    error: cannot write /proc/labels.tif
      cause: No such file or directory (os error 2)

    hint: Choose a folder in which you may write instead of /proc.
    ");
    let said = work.refused(&segment("scene.tif", "-c a;b --scores file/scores.tif"));
    assert!(said.contains("cannot write file/scores.tif: file is a file"), "{said}");
    assert_snapshot!(work.refused(&segment("scene.tif", "-c a;b --polygons polygons.kml")), @r"
    error: the output name `polygons.kml` must end in one of `.gpkg`, `.fgb`, `.geojson`, `.json`, `.geojsonl`, `.geojsons`, `.ndjson`, `.shp`, `.parquet`, `.geoparquet`
      --> --polygons
     |
     | polygons.kml
     | ^^^^^^^^^^^^

    hint: The file extension sets the format.
    ");
}

#[test]
fn an_output_in_the_way_of_another_file() {
    let work = with_scene();
    std::os::unix::fs::symlink("scene.tif", work.path("link.tif")).expect("a link");
    let refused = |words: &str| {
        let words = format!("segment scene.tif --model fake:null -c a;b {words}");
        work.refused(&words)
    };
    assert_snapshot!(refused("-o scene.tif"), @r"
    error: the labels would overwrite the scene scene.tif
      --> --output
     |
     | scene.tif
     | ^^^^^^^^^

    hint: Scenes are never overwritten: give the output another name or folder.
    ");
    for same in ["-o ./scene.tif", "-o link.tif", "-o labels.tif --scores ../../proc/self/cwd/scene.tif"] {
        let said = refused(same);
        assert!(said.contains("would overwrite the scene"), "{same}: {said}");
    }
    assert_snapshot!(refused("-o labels.tif --scores ./labels.tif"), @r"
    error: labels and scores would both write to ./labels.tif
      --> --scores
     |
     | ./labels.tif
     | ^^^^^^^^^^^^

    hint: Give one of them another name.
    ");
    fs::create_dir(work.path("other")).expect("a folder");
    noise_scene(&work.path("other/scene.tif"), 60, 40);
    work.write("job.yaml", "model: fake:null\nscene: [scene.tif, other/../scene.tif]\nclasses: [a, b]\n");
    assert_snapshot!(work.refused("run job.yaml"), @r"
    error: scene.tif and other/../scene.tif are the same scene
      --> job.yaml:2:20
      |
    2 | scene: [scene.tif, other/../scene.tif]
      |                    ^^^^^^^^^^^^^^^^^^

    hint: List each scene once; patterns and folders must not overlap.
    ");
    work.write(
        "job.yaml",
        "model: fake:null\nscene: [scene.tif, other/scene.tif]\nclasses: [a, b]\noutputs: {labels: l.tif}\n",
    );
    assert_snapshot!(work.refused("run job.yaml"), @r"
    error: 2 scenes would all write to `l.tif`
      --> job.yaml:4:19
      |
    4 | outputs: {labels: l.tif}
      |                   ^^^^^

    hint: Put {scene} into the name: it is replaced by the scene's file name without its extension.
    ");
}

#[test]
fn devices_and_models_by_name() {
    let work = with_scene();
    assert_snapshot!(work.refused(&segment("scene.tif", "-c a;b --device cuda")), @r"
    error: device cuda:0 is not available: the fake models run on the CPU only

    hint: Use --device cpu or auto, or name a model with weights.
    ");
    assert_snapshot!(work.refused(&segment("scene.tif", "-c a;b --device gpu")), @r"
    error: `gpu` is not a device; allowed are `auto`, `cpu`, `cuda` and `cuda:N`
      --> --device
     |
     | gpu
     | ^^^

    hint: Did you mean `cuda`?
    ");
    let refused = |model: &str| work.refused(&format!("segment scene.tif -c a;b -o labels.tif --model {model}"));
    assert_snapshot!(refused("openai/ViT-B-61"), @r"
    error: there is no model `openai/ViT-B-61` (none is installed)

    hint: `mini` is built in; create others with `segearth model import` or `segearth model fetch`, or give the folder of a bundle.
    ");
    assert_snapshot!(refused("../models"), @r"
    error: there is no folder ../models
      --> --model
     |
     | ../models
     | ^^^^^^^^^

    hint: Give the folder of a bundle that `segearth model import` or `model fetch` wrote.
    ");
    assert_snapshot!(refused("a/../../models"), @r"
    error: there is no model `a/../../models` (none is installed)

    hint: `mini` is built in; create others with `segearth model import` or `segearth model fetch`, or give the folder of a bundle.
    ");
    work.write("folder/notes.txt", "");
    assert_snapshot!(refused("folder"), @r"
    error: cannot use the model in folder
      cause: the folder has no model.yaml

    hint: Create a model with `segearth model import`, or give the folder of one.
    ");
}

#[test]
fn job_files_that_are_none() {
    let work = with_scene();
    fs::create_dir(work.path("folder")).expect("a folder");
    work.write("binary.yaml", noise(3000));
    work.write("empty.yaml", "");
    work.write("key.yaml", "model: fake:null\nscene: scene.tif\nclasses: [a, b]\ntiling:\n  strid: 56\n");
    work.write("kind.yaml", "model: fake:null\nscene: scene.tif\nclasses: [a, b]\ntiling:\n  stride: many\n");
    assert_snapshot!(work.refused("run none.yaml"), @r"
    error: there is no job file none.yaml

    hint: Check the path; relative paths start from the current folder.
    ");
    assert_snapshot!(work.refused("run folder"), @r"
    error: folder is a folder, not a job file

    hint: Give the path of the file.
    ");
    assert_snapshot!(work.refused("run binary.yaml"), @r"
    error: the job file binary.yaml is not UTF-8 text (byte 9)

    hint: Check that it is a job file, and save it as UTF-8.
    ");
    assert_snapshot!(work.refused("run empty.yaml"), @r"
    error: 2 errors in the job file

    the job has no classes
      --> empty.yaml

    the job has no scene
      --> empty.yaml

    hint: List them below `classes:`, one line such as `- building,roof,house` for each; on the command line, use --classes.
          Set `scene: PATH` in the job, or use --input PATH.
    ");
    assert_snapshot!(work.refused("run key.yaml"), @r"
    error: unknown key `strid` in `tiling`
      --> key.yaml:5:3
      |
    5 |   strid: 56
      |   ^^^^^

    hint: Did you mean `stride`?
    ");
    assert_snapshot!(work.refused("run kind.yaml"), @r"
    error: `tiling.stride` must be a whole number from 0, not the text `many`
      --> kind.yaml:5:11
      |
    5 |   stride: many
      |           ^^^^
    ");
    assert_snapshot!(work.refused("check key.yaml --set tiling.strid=56"), @r"
    error: unknown key `strid` in `tiling`
      --> --set tiling.strid=56

    hint: Did you mean `stride`?
    ");
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
    assert_snapshot!(work.refused_args(["segment", "no\nsuch.tif"].into_iter().chain(words)), @r"
    error: there is no file no�such.tif
      --> SCENE
     |
     | no
     | ^^

    hint: Paths in a job file are relative to its folder, paths on the command line to the current folder.
    ");

    let foreign = OsStr::from_bytes(b"stra\xdfe.tif");
    fs::rename(work.path(name), work.path("x").with_file_name(foreign)).expect("another name");
    let mut words: Vec<OsString> = vec!["segment".into(), foreign.into()];
    words.extend(["--model", "fake:null", "-c", "a;b", "-o", "labels.tif"].map(OsString::from));
    assert_snapshot!(work.refused_args(&words), @r#"
    error: the argument "stra�e.tif" is not valid UTF-8

    hint: Rename the file, or make a link to it with another name.
    "#);
    // A job file is only read: any name will do.
    let job = OsStr::from_bytes(b"gr\xfcn.yaml");
    let text = "model: fake:null\nscene: scene.tif\nclasses: [a, b]\noutputs: {labels: labels.tif, folder: here}\n";
    fs::write(work.path("x").with_file_name(job), text).expect("a job");
    noise_scene(&work.path("scene.tif"), 60, 40);
    work.ok([OsStr::new("run"), job]);
    let labels: Vec<u8> = read_band(&Dataset::open(work.path("here/labels.tif")).expect("labels"), 1);
    assert_eq!(labels, vec![0; 2400]);
}
