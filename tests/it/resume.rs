//! Runs that are killed, stopped, refused or cut into pieces: what comes out in the end has the same bytes.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::scenes::{noise_scene, read_band, write_scene};
use crate::workdir::Workdir;

/// A run that takes a while: small steps, and all that can be written.
const JOB: &str = "scene: scene.tif\nmodel: fake:identity\nclasses: [red, green, blue]\ntiling: {stride: 28}\n\
                   outputs: {folder: out, scores: true, confidence: true, margin: true, polygons: a.fgb, score_type: uint8}\n";
const OUTPUTS: [&str; 5] =
    ["out/scene_labels.tif", "out/scene_scores.tif", "out/scene_confidence.tif", "out/scene_margin.tif", "out/a.fgb"];

fn outputs(work: &Workdir) -> Vec<Vec<u8>> {
    OUTPUTS.iter().map(|name| fs::read(work.path(name)).expect(name)).collect()
}

#[track_caller]
fn same(work: &Workdir, want: &[Vec<u8>], case: &str) {
    for (name, (found, want)) in OUTPUTS.iter().zip(outputs(work).iter().zip(want)) {
        assert!(found == want, "{case}: {name} differs");
    }
    assert!(!work.path("out/scene_labels.tif.unfinished").exists(), "{case}: nothing unfinished is left");
}

/// The run, started and not waited for.
pub fn start(work: &Workdir, words: &str) -> std::process::Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_segearth"));
    command.args(words.split(' ')).current_dir(work.path("")).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().expect("the binary starts")
}

fn undisturbed(work: &Workdir) -> Vec<Vec<u8>> {
    noise_scene(&work.path("scene.tif"), 900, 1100);
    work.write("job.yaml", JOB);
    work.ok(["run", "job.yaml"]);
    outputs(work)
}

fn journal(work: &Workdir) -> std::path::PathBuf {
    work.path("out/scene_labels.tif.unfinished/journal.yaml")
}

/// Waits until rows are being kept, at most half a minute.
fn until_begun(work: &Workdir) {
    for _ in 0..3000 {
        let files = fs::read_dir(work.path("out/scene_labels.tif.unfinished")).into_iter().flatten().flatten();
        if files.into_iter().any(|file| file.metadata().is_ok_and(|file| file.len() > 20_000)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("no rows within half a minute");
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_with_the_same_bytes() {
    let work = Workdir::new();
    let want = undisturbed(&work);
    let mut moment = 17u64;
    let mut kills = 0;
    for round in 0..3 {
        fs::remove_dir_all(work.path("out")).expect("outputs");
        for _ in 0..7 {
            let mut run = start(&work, "run job.yaml");
            moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            std::thread::sleep(Duration::from_millis(20 + (moment >> 33) % 400));
            if run.try_wait().expect("a child").is_none() {
                kills += 1;
            }
            let _ = run.kill();
            run.wait().expect("an end");
        }
        work.ok(["run", "job.yaml"]);
        same(&work, &want, &format!("round {round}"));
    }
    assert!(kills >= 3, "only {kills} of 21 runs were killed while they ran");
}

#[test]
fn sigterm_keeps_the_rows_in_hand_and_says_how_to_go_on() {
    let work = Workdir::new();
    let want = undisturbed(&work);
    fs::remove_dir_all(work.path("out")).expect("outputs");
    let run = start(&work, "run job.yaml");
    until_begun(&work);
    Command::new("kill").args(["-TERM", &run.id().to_string()]).status().expect("kill");
    let ended = run.wait_with_output().expect("an end");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(143), "{said}");
    assert!(said.contains("rows are finished and kept in") && said.contains("error: stopped by SIGTERM"), "{said}");
    let ran = work.ok(["run", "job.yaml"]);
    assert!(ran.stderr.contains("resumes an earlier run"), "{}", ran.stderr);
    same(&work, &want, "after SIGTERM");
}

#[test]
fn what_an_earlier_run_left_is_guarded() {
    let work = Workdir::new();
    let want = undisturbed(&work);
    // Finished: nothing is done again, and another job may take the place.
    let before = work.files();
    let ran = work.ok(["run", "job.yaml"]);
    assert!(ran.stderr.contains("is finished, by an earlier run of this job"), "{}", ran.stderr);
    assert_eq!(work.files(), before);

    // Two at once: the second one refuses.
    fs::remove_dir_all(work.path("out")).expect("outputs");
    let mut first = start(&work, "run job.yaml");
    until_begun(&work);
    let second = work.run(["run", "job.yaml"]);
    let third = work.run(["run", "job.yaml", "--overwrite"]);
    first.kill().expect("a kill");
    first.wait().expect("an end");
    for ran in [second, third] {
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains("another run is writing the same results"), "{}", ran.stderr);
    }

    // Unfinished: another job, another scene and another device of it are told apart.
    assert!(journal(&work).exists());
    let said = work.run(["run", "job.yaml", "--set", "tiling.stride=56", "--set", "classes=[red, green]"]);
    assert_eq!(said.code, 1);
    let lines: Vec<&str> = said.stderr.lines().take(4).collect();
    assert_eq!(
        lines,
        [
            "error: the unfinished results are of a run with other settings or inputs",
            "  classes: was red: red; green: green; blue: blue, is red: red; green: green",
            "  colours and thresholds of classes: was red #e69f00 from 0; green #56b4e9 from 0; blue #cc79a7 from 0, is red #e69f00 from 0; green #56b4e9 from 0",
            "  method: was debias=0.3 logit_scale=50 threshold=0 window=224 stride=28 blend=Hann, is debias=0.3 logit_scale=50 threshold=0 window=224 stride=56 blend=Hann",
        ],
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("--overwrite"), "{}", said.stderr);
    let scene = fs::read(work.path("scene.tif")).expect("a scene");
    fs::write(work.path("scene.tif"), &scene).expect("the same scene, written again");
    let said = work.run(["run", "job.yaml"]).stderr;
    assert!(said.contains("  scene: was ") && said.contains("changed "), "{said}");

    // A restart gives the same.
    work.ok(["run", "job.yaml", "--overwrite"]);
    for (name, (found, want)) in
        OUTPUTS.iter().zip(outputs(&work).iter().zip(&want)).filter(|(name, _)| name.ends_with("fgb"))
    {
        assert!(found == want, "{name} differs");
    }
}

#[test]
fn a_changed_job_computes_no_scene_where_another_one_is_unfinished() {
    let work = Workdir::new();
    noise_scene(&work.path("scene.tif"), 900, 1100);
    noise_scene(&work.path("small.tif"), 60, 50);
    work.write(
        "job.yaml",
        "scene: [scene.tif, small.tif]\nmodel: fake:identity\nclasses: [red, green, blue]\ntiling: {stride: 28}\noutputs: {folder: out}\n",
    );
    let mut first = start(&work, "run job.yaml");
    until_begun(&work);
    first.kill().expect("a kill");
    first.wait().expect("an end");
    let before = work.files();
    for command in ["run", "check"] {
        let ran = work.run([command, "job.yaml", "--set", "tiling.stride=56"]);
        assert_eq!(ran.code, 1, "{command}: {}", ran.stderr);
        assert!(ran.stderr.contains("the unfinished results are of a run with other settings"), "{}", ran.stderr);
        assert_eq!(work.files(), before, "{command} wrote something");
    }
    work.ok(["check", "job.yaml"]);
    work.ok(["run", "job.yaml"]);
    assert!(work.path("out/small_labels.tif").exists());
}

#[test]
fn a_disk_that_fills_up_costs_nothing_that_is_finished() {
    let work = Workdir::new();
    let want = undisturbed(&work);
    fs::remove_dir_all(work.path("out")).expect("outputs");
    // Over the limit on the size of files the system sends a signal, unless it is ignored: then the write fails.
    let script = "trap '' XFSZ; ulimit -f 1500; exec \"$0\" run job.yaml";
    let output = Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_segearth")])
        .current_dir(work.path(""))
        .output()
        .expect("bash");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot write finished rows") && said.contains("Free space"), "{said}");
    assert!(said.contains("rows are finished and kept in"), "{said}");
    let ran = work.ok(["run", "job.yaml"]);
    assert!(ran.stderr.contains("resumes an earlier run"), "{}", ran.stderr);
    same(&work, &want, "after space was made");
}

/// A scene of 64 × 64 blocks, the file of which ends early: windows in its lower part cannot be read.
fn damaged(work: &Workdir) {
    noise_scene(&work.path("whole.tif"), 500, 900);
    store_tiled(work, "whole.tif", "scene.tif");
    let bytes = fs::read(work.path("scene.tif")).expect("bytes");
    fs::write(work.path("scene.tif"), &bytes[..bytes.len() * 2 / 3]).expect("a part of it");
}

#[test]
fn a_window_that_cannot_be_read_fails_the_job_or_is_a_hole_that_everybody_sees() {
    let work = Workdir::new();
    damaged(&work);
    let words = "segment scene.tif --model fake:identity -c red;green;blue -o out/labels.tif";
    let ran = work.run(words.split_whitespace());
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("cannot read band") && ran.stderr.contains("rows are finished and kept"),
        "{}",
        ran.stderr
    );
    assert!(!work.path("out/labels.tif").exists());
    let ran = work.run(format!("{words} --allow-failed-windows").split_whitespace());
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("the window columns 0 to 224"), "{}", ran.stderr);
    assert!(ran.stderr.contains("error: the results are incomplete"), "{}", ran.stderr);
    let labels = gdal::Dataset::open(work.path("out/labels.tif")).expect("labels");
    let holes = gdal::Metadata::metadata_item(&labels, "SEGEARTH_FAILED_WINDOWS", "").expect("a tag");
    assert!(holes.parse::<usize>().is_ok_and(|holes| holes > 0), "{holes}");
    let found: Vec<u8> = read_band(&labels, 1);
    assert!(found[..300 * 500].iter().all(|&label| label < 3), "what could be read is whole");
    assert!(found[899 * 500..].iter().all(|&label| label == 255), "what could not be read is nodata");
    // The tag is there for the next run as well: finished is finished.
    let ran = work.run(format!("{words} --allow-failed-windows").split_whitespace());
    assert!(ran.stderr.contains("is finished"), "{}", ran.stderr);
}

/// Values of labels and scores, bit by bit.
fn bits(work: &Workdir) -> Vec<u32> {
    let raster = |name| gdal::Dataset::open(work.path(name)).expect(name);
    let bands = |raster: gdal::Dataset| {
        (1..=raster.raster_count()).flat_map(|band| read_band::<f32>(&raster, band)).collect::<Vec<_>>()
    };
    ["labels.tif", "scores.tif"].into_iter().flat_map(|name| bands(raster(name))).map(f32::to_bits).collect()
}

/// Whatever memory, batch, threads and the layout of the file: the same bytes.
#[test]
fn however_a_scene_is_cut_and_stored_the_labels_are_the_same() {
    let work = Workdir::new();
    let (width, height) = (9000, 260);
    let pixels = noise_scene(&work.path("scene.tif"), width, height);
    work.write(
        "job.yaml",
        "scene: scene.tif\nmodel: fake:identity\nclasses: [red, green, blue]\nmethod: {logit_scale: 0.05}\n\
         outputs: {folder: ., labels: labels.tif, scores: scores.tif}\n",
    );
    let run = |extra: &str, environment: &[(&str, &str)]| {
        let words = format!("run job.yaml -v --overwrite {extra}");
        work.run_with(words.split_whitespace(), environment)
    };
    let ran = run("", &[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let want = bits(&work);
    let mut columns = std::collections::BTreeSet::new();
    for megabytes in (80..600).step_by(20) {
        let ran = run(&format!("--memory {megabytes}MB"), &[]);
        if ran.code != 0 {
            assert!(ran.stderr.contains("of memory are too little for scene.tif"), "{}", ran.stderr);
            continue;
        }
        assert!(bits(&work) == want, "with {megabytes} MB");
        let cut = ran.stderr.lines().find_map(|line| line.strip_prefix("Computed in ")?.strip_suffix(" columns."));
        columns.insert(cut.map_or(1, |cut| cut.parse::<usize>().expect("a number")));
        if columns.first() == Some(&1) {
            break;
        }
    }
    assert!(columns.len() >= 3, "the limits cut the scene into {columns:?} columns");
    for (case, extra, environment) in [
        ("one thread", "", &[("RAYON_NUM_THREADS", "1")][..]),
        ("a batch of one", "--set tiling.batch=1", &[]),
        ("batches of eight", "--set tiling.batch=8", &[]),
    ] {
        let ran = run(extra, environment);
        assert_eq!(ran.code, 0, "{case}: {}", ran.stderr);
        assert!(bits(&work) == want, "{case}");
    }
    store_tiled(&work, "scene.tif", "tiled.tif");
    quarters(&work, &pixels, (width, height));
    for scene in ["tiled.tif", "quarters.vrt"] {
        let ran = run(&format!("--input {scene}"), &[]);
        assert_eq!(ran.code, 0, "{scene}: {}", ran.stderr);
        assert!(bits(&work) == want, "{scene}");
    }
}

fn store_tiled(work: &Workdir, from: &str, to: &str) {
    let whole = gdal::Dataset::open(work.path(from)).expect("a scene");
    let driver = gdal::DriverManager::get_driver_by_name("GTiff").expect("GeoTIFF");
    let options = gdal::raster::RasterCreationOptions::from_iter(["TILED=YES", "BLOCKXSIZE=64", "BLOCKYSIZE=64"]);
    whole.create_copy(&driver, work.path(to), &options).expect("a tiled copy").close().expect("the copy");
}

/// The scene as four files of uneven size, and a VRT that joins them.
fn quarters(work: &Workdir, pixels: &[u8], (width, height): (usize, usize)) {
    let (across, down) = (width / 2 - 13, height / 2 + 7);
    let mut sources: [String; 3] = Default::default();
    for (col, row, cols, rows) in [
        (0, 0, across, down),
        (across, 0, width - across, down),
        (0, down, across, height - down),
        (across, down, width - across, height - down),
    ] {
        let name = format!("quarter_{col}_{row}.tif");
        let piece: Vec<u8> =
            (row..row + rows).flat_map(|row| &pixels[(row * width + col) * 3..][..cols * 3]).copied().collect();
        write_scene(&work.path(&name), cols, rows, &piece);
        for (band, sources) in sources.iter_mut().enumerate() {
            *sources += &format!(
                "<SimpleSource><SourceFilename relativeToVRT=\"1\">{name}</SourceFilename><SourceBand>{}</SourceBand>\
                 <SrcRect xOff=\"0\" yOff=\"0\" xSize=\"{cols}\" ySize=\"{rows}\"/>\
                 <DstRect xOff=\"{col}\" yOff=\"{row}\" xSize=\"{cols}\" ySize=\"{rows}\"/></SimpleSource>",
                band + 1
            );
        }
    }
    let bands: Vec<String> = (1..=3)
        .zip(&sources)
        .map(|(band, sources)| format!("<VRTRasterBand dataType=\"Byte\" band=\"{band}\">{sources}</VRTRasterBand>"))
        .collect();
    let vrt = format!("<VRTDataset rasterXSize=\"{width}\" rasterYSize=\"{height}\">{}</VRTDataset>", bands.concat());
    work.write("quarters.vrt", vrt);
}
