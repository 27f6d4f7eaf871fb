//! Stores of embeddings, made and used by the real binary: labels are those of a direct run, killed and shared runs end with the same
//! store, and what does not fit is refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gdal::Dataset;

use crate::bundles::{Upsampler, small_bundle};
use crate::scenes::{noise_scene, read_band, write_bands, write_scene};
use crate::workdir::Workdir;

/// Waves with a little noise: neighbouring windows differ, and so do classes.
fn scene(work: &Workdir, name: &str, width: usize, height: usize) {
    let pixel = |at: usize| {
        let (row, col, channel) = ((at / 3) / width, (at / 3) % width, at % 3);
        let wave = ((col as f32 / 23.0 + channel as f32).sin() + (row as f32 / 31.0).cos()) * 50.0;
        (128.0 + wave + ((at * 2_654_435_761) >> 7) as f32 % 17.0) as u8
    };
    let pixels: Vec<u8> = (0..width * height * 3).map(pixel).collect();
    write_scene(&work.path(name), width, height, &pixels);
}

/// All files of a store with their content.
fn store(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let pattern = format!("{}/**/*", folder.display());
    let files = glob::glob(&pattern).expect("a pattern").flatten().filter(|path| path.is_file());
    files.map(|path| (path.strip_prefix(folder).expect("below").to_owned(), fs::read(&path).expect("a file"))).collect()
}

fn labels(work: &Workdir, name: &str) -> Vec<u8> {
    read_band(&Dataset::open(work.path(name)).expect("labels"), 1)
}

fn agreement(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / a.len() as f64
}

/// Labels and scores of a direct run, and from stores of each precision.
fn from_stores_as_directly(work: &Workdir, model: &str, classes: &str) {
    let said = |words: &[&str]| work.ok(words.iter().copied().filter(|word| !word.is_empty())).stderr;
    let classes = ["--classes", classes];
    said(
        &[
            &["segment", "scene.tif", "--model", model, "-o", "direct.tif", "--scores", "direct_scores.tif"][..],
            &classes,
        ]
        .concat(),
    );
    let direct = labels(work, "direct.tif");
    assert!((0..3).all(|class| direct.contains(&class)), "the classes occur");
    for (precision, least) in [("float32", 1.0), ("float16", 0.998), ("int8", 0.97)] {
        let store = format!("{precision}.zarr");
        work.ok(["embed", "scene.tif", "--model", model, "--precision", precision, "-o", &store]);
        let (output, scores) = (format!("{precision}.tif"), format!("{precision}_scores.tif"));
        said(&[&["segment", "scene.tif", "--from", &store, "-o", &output, "--scores", &scores][..], &classes].concat());
        let same = agreement(&labels(work, &output), &direct);
        assert!(same >= least, "{precision}: {same}");
        let bytes = |name: &str| fs::read(work.path(name)).expect(name);
        if precision == "float32" {
            assert!(bytes(&output) == bytes("direct.tif") && bytes(&scores) == bytes("direct_scores.tif"));
        } else {
            assert!(bytes(&scores) != bytes("direct_scores.tif"), "{precision} is rounded");
        }
    }
}

#[test]
fn labels_from_a_store_are_those_of_a_direct_run() {
    let work = Workdir::new();
    scene(&work, "scene.tif", 330, 270);
    from_stores_as_directly(&work, "mini", "water; forest; building");
}

#[test]
fn labels_from_a_store_are_those_of_a_direct_run_with_an_upsampler() {
    let work = Workdir::new();
    scene(&work, "scene.tif", 330, 270);
    small_bundle(&work, "small", Upsampler::JbuOne);
    from_stores_as_directly(&work, "./small", "ab; cd; ef");
}

#[test]
fn a_store_serves_another_upsampler_and_no_other_model() {
    let work = Workdir::new();
    scene(&work, "scene.tif", 250, 240);
    small_bundle(&work, "learned", Upsampler::JbuOne);
    small_bundle(&work, "none", Upsampler::None);
    work.ok("embed scene.tif --model ./learned --precision float32 -o store".split(' '));
    let classes = ["--classes", "ab; cd; ef"];
    for words in ["scene.tif --from store --model ./none -o from.tif", "scene.tif --model ./none -o direct.tif"] {
        work.ok(["segment"].into_iter().chain(words.split(' ')).chain(classes));
    }
    assert!(fs::read(work.path("from.tif")).expect("labels") == fs::read(work.path("direct.tif")).expect("labels"));
    let said = work.refused("segment scene.tif --from store --model mini --classes a;b -o mini.tif");
    assert!(said.contains("holds embeddings of another model") && said.contains("was learned"), "{said}");
}

#[test]
fn a_job_makes_its_store_uses_it_again_and_completes_it() {
    let work = Workdir::new();
    scene(&work, "scene.tif", 330, 270);
    let job = |classes: &str, folder: &str| {
        format!(
            "scene: scene.tif\nclasses: [{classes}]\nembeddings: {{store: e.zarr, precision: float32}}\noutputs: {{folder: {folder}}}\n"
        )
    };
    work.write("a.yaml", job("water, forest", "a"));
    work.write("b.yaml", job("road, building, tree", "b"));
    work.ok(["check", "a.yaml"]);
    assert!(!work.path("e.zarr").exists(), "a check makes nothing");
    work.ok(["run", "a.yaml"]);
    let made = store(&work.path("e.zarr"));
    assert!(made.len() > 5, "{:?}", made.keys());
    work.ok(["run", "b.yaml"]);
    assert!(store(&work.path("e.zarr")) == made);
    let want = fs::read(work.path("b/scene_labels.tif")).expect("labels");
    // A chunk that is lost is computed again.
    let lost = made.keys().find(|path| path.components().any(|part| part.as_os_str() == "c")).expect("a chunk");
    fs::remove_file(work.path("e.zarr").join(lost)).expect("a chunk");
    let said = work.run("segment scene.tif --from e.zarr --classes a;b -o c.tif".split(' '));
    assert!(said.code == 1 && said.stderr.contains("is not complete"), "{}", said.stderr);
    fs::remove_dir_all(work.path("b")).expect("outputs");
    work.ok(["run", "b.yaml"]);
    assert!(store(&work.path("e.zarr")) == made);
    assert!(fs::read(work.path("b/scene_labels.tif")).expect("labels") == want);
    // Shards share the store.
    fs::remove_dir_all(work.path("b")).expect("outputs");
    fs::remove_dir_all(work.path("e.zarr")).expect("a store");
    for shard in ["2/2", "1/2"] {
        work.ok(["run", "b.yaml", "--shard", shard]);
    }
    work.ok(["merge", "b.yaml"]);
    assert!(store(&work.path("e.zarr")) == made && fs::read(work.path("b/scene_labels.tif")).expect("labels") == want);
}

#[test]
fn killed_and_shared_runs_end_with_the_store_of_one() {
    let work = Workdir::new();
    scene(&work, "a.tif", 700, 600);
    noise_scene(&work.path("b.tif"), 300, 130);
    let words = "embed a.tif b.tif --stride 32 -o";
    work.ok(format!("{words} whole").split(' '));
    let want = store(&work.path("whole"));
    let mut kills = 0;
    for round in 0..6u64 {
        let mut run = work
            .command(format!("{words} killed").split(' '))
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("a start");
        std::thread::sleep(Duration::from_millis(300 + 350 * round));
        kills += usize::from(run.try_wait().expect("a child").is_none());
        let _ = run.kill();
        run.wait().expect("an end");
    }
    assert!(kills > 0, "no run was killed while it ran");
    work.ok(format!("{words} killed").split(' '));
    assert!(store(&work.path("killed")).into_iter().filter(|(path, _)| !is_partial(path)).eq(want.clone()));
    for shard in ["3/3", "1/3", "2/3", "1/3"] {
        work.ok(format!("{words} shards --shard {shard}").split(' '));
    }
    assert!(store(&work.path("shards")) == want);
    work.ok(format!("{words} workers --workers 2").split(' '));
    assert!(store(&work.path("workers")) == want);
    // Nothing is computed again, and --overwrite computes all again.
    let before = work.files();
    work.ok(format!("{words} whole").split(' '));
    assert_eq!(work.files(), before);
    work.ok(format!("{words} whole --overwrite").split(' '));
    assert_eq!(work.files(), before);
}

/// What a killed process leaves of a file that it was writing.
fn is_partial(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "partial")
}

#[test]
fn windows_without_data_cost_nothing_and_are_nodata() {
    let work = Workdir::new();
    let (width, height) = (400, 300);
    let bands: Vec<Vec<u8>> = (0..3usize)
        .map(|band| {
            (0..width * height).map(|at| if at % width < 200 { 0 } else { ((at * 7 + band) % 250 + 1) as u8 }).collect()
        })
        .collect();
    write_bands(&work.path("scene.tif"), (width, height), &bands, |dataset| {
        for band in 1..=3 {
            dataset.rasterband(band).expect("a band").set_no_data_value(Some(0.0)).expect("nodata");
        }
    });
    work.ok("embed scene.tif --precision float32 -o store".split(' '));
    for words in ["--from store -o from.tif", "scene.tif -o direct.tif"] {
        work.ok(["segment"].into_iter().chain(words.split(' ')).chain(["--classes", "water; forest"]));
    }
    assert_eq!(labels(&work, "from.tif"), labels(&work, "direct.tif"));
    // Tokens that are gone where the mask is another now.
    let said = work.refused("segment --from store --mask none --classes a;b -o all.tif");
    assert!(said.contains("mask: was"), "{said}");
}

#[test]
fn what_does_not_fit_is_refused_with_the_reason() {
    let work = Workdir::new();
    scene(&work, "scene.tif", 200, 180);
    scene(&work, "other.tif", 200, 180);
    work.write("notes/mine.txt", "mine");
    work.write("file", "mine");
    work.ok("embed scene.tif -o store".split(' '));
    for (words, reason) in [
        ("embed scene.tif -o notes", "already exists and is not a store of embeddings"),
        ("embed scene.tif -o file", "is not a store"),
        ("embed scene.tif --stride 32 -o store", "stride: was 64, is 32"),
        ("embed scene.tif --window 64 -o store", "window: was 128, is 64"),
        ("embed scene.tif --bands 3,2,1 -o store", "bands: was [1, 2, 3], is [3, 2, 1]"),
        ("embed scene.tif --stretch min-max -o store", "stretch: was"),
        ("embed scene.tif --precision int8 -o store", "holds float16 tokens, not int8"),
        ("embed scene.tif --model fake:null -o new", "the fake models have no image tower"),
        ("embed scene.tif --window 100 -o new", "it must be a multiple of the model's patch"),
        ("embed none.tif -o new", "none.tif"),
        ("segment other.tif --from store --classes a;b -o l.tif", "does not hold"),
        ("segment scene.tif --from none --classes a;b -o l.tif", "the folder does not exist"),
        ("segment scene.tif --from notes --classes a;b -o l.tif", "is not a store of embeddings"),
        ("segment scene.tif --from store --stride 32 --classes a;b -o l.tif", "stride: was 64, is 32"),
        ("segment scene.tif --from store --tta d4 --classes a;b -o l.tif", "needs eight"),
        ("segment --classes a;b -o l.tif", "SCENE"),
    ] {
        let said = work.refused(words);
        assert!(said.contains(reason), "{words}: {said}");
    }
    // A file that is damaged anywhere.
    let files = store(&work.path("store"));
    for (path, whole) in &files {
        for length in [0, 1, whole.len() / 2, whole.len() - 1] {
            fs::write(work.path("store").join(path), &whole[..length]).expect("a file");
            let said = work.refused("segment scene.tif --from store --classes a;b -o l.tif");
            assert!(said.contains(" is damaged") && said.contains("hint: "), "{path:?} {length}: {said}");
        }
        fs::write(work.path("store").join(path), whole).expect("a file");
    }
    // Another scene is added to the store, which then holds two.
    work.ok("embed other.tif -o store".split(' '));
    let said = work.refused("segment --from store --classes a;b -o l.tif");
    assert!(said.contains("holds 2 scenes"), "{said}");
    // A scene that has changed.
    scene(&work, "scene.tif", 200, 181);
    let said = work.refused("segment scene.tif --from store --classes a;b -o l.tif");
    assert!(said.contains("grid: was 200 × 180, is 200 × 181"), "{said}");
}
