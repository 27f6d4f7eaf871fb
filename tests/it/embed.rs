//! Stores of embeddings, made and used by the real binary: labels are those of a direct run, killed and shared runs end with the same
//! store, and what does not fit is refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use gdal::Dataset;

use crate::archives::zip;
use crate::bundles::{Upsampler, small_bundle};
use crate::scenes::{noise_scene, read_band, write_bands, write_scene};
use crate::server::{File, Reply, Server};
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
    from_stores_as_directly(&work, "mini", "water; sand; sea or lake");
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
    assert!(said.contains("holds embeddings of another model") && said.contains("was small ("), "{said}");
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
    let lost = made.keys().find(|path| is_chunk(path)).expect("a chunk");
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
    scene(&work, "a.tif", 430, 400);
    noise_scene(&work.path("b.tif"), 300, 130);
    let words = "embed a.tif b.tif --stride 32 -o";
    work.ok(format!("{words} whole").split(' '));
    let want = store(&work.path("whole"));
    let pattern = format!("{}/*/tokens/c/**/*", work.path("killed").display());
    let files = || glob::glob(&pattern).expect("a pattern").flatten().filter(|path| path.is_file());
    let chunks = || files().filter(|path| !is_partial(path)).count();
    for _ in 0..3 {
        let (before, words) = (chunks(), format!("{words} killed"));
        let mut run = work.command(words.split(' ')).stderr(Stdio::null()).spawn().expect("a start");
        // Killed while it writes: some chunks more are there.
        while run.try_wait().expect("a child").is_none() && chunks() < before + 2 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = run.kill();
        run.wait().expect("an end");
    }
    let there = chunks();
    assert!(there > 0 && there < want.keys().filter(|path| is_chunk(path)).count(), "no run was killed while it ran");
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

/// Whether a file of a store holds tokens.
fn is_chunk(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "c") && !is_partial(path)
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
        ("embed scene.tif --stride 32 -o store", "stride: was 192, is 32"),
        ("embed scene.tif --window 64 -o store", "window: was 256, is 64"),
        ("embed scene.tif --bands 3,2,1 -o store", "bands: was [1, 2, 3], is [3, 2, 1]"),
        ("embed scene.tif --stretch min-max -o store", "stretch: was"),
        ("embed scene.tif --precision int8 -o store", "holds float16 tokens, not int8"),
        ("embed scene.tif --model fake:null -o new", "the fake models have no image tower"),
        ("embed scene.tif --window 102 -o new", "it must be a multiple of the model's patch"),
        ("embed none.tif -o new", "none.tif"),
        ("segment other.tif --from store --classes a;b -o l.tif", "does not hold"),
        ("segment scene.tif --from none --classes a;b -o l.tif", "the folder does not exist"),
        ("segment scene.tif --from notes --classes a;b -o l.tif", "is not a store of embeddings"),
        ("segment scene.tif --from store --stride 32 --classes a;b -o l.tif", "stride: was 192, is 32"),
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

#[test]
fn features_become_a_raster_at_the_resolution_of_patches() {
    let work = Workdir::new();
    scene(&work, "scene.tif", 330, 270);
    work.ok("embed scene.tif --precision float32 -o store --raster all.tif".split(' '));
    work.ok("embed scene.tif -o store --raster three.tif --components 3".split(' '));
    let open = |name: &str| Dataset::open(work.path(name)).expect("a raster");
    let (all, scene) = (open("all.tif"), open("scene.tif"));
    assert!(all.raster_count() >= 64, "{} bands", all.raster_count());
    let [place, of_scene] = [&all, &scene].map(|raster| raster.geo_transform().expect("a geotransform"));
    let side = (place[1] / of_scene[1]).round();
    let [x, a, b, y, c, d] = of_scene;
    let want = [x, a * side, b * side, y, c * side, d * side];
    assert!(place.iter().zip(want).all(|(found, want)| (found - want).abs() < 1e-9), "{place:?}");
    let (width, height) = all.raster_size();
    assert_eq!((width, height), (330usize.div_ceil(side as usize), 270usize.div_ceil(side as usize)));
    let bands: Vec<Vec<f32>> = (1..=all.raster_count()).map(|band| read_band(&all, band)).collect();
    let norm = |cell: usize| bands.iter().map(|band| band[cell] * band[cell]).sum::<f32>().sqrt();
    // Means of unit vectors.
    assert!((0..width * height).all(|cell| (0.3..1.0001).contains(&norm(cell))));
    let three = open("three.tif");
    assert_eq!((three.raster_count(), three.raster_size()), (3, (width, height)));
    let spread = |band: usize| {
        let values = read_band::<f32>(&three, band);
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        values.iter().map(|value| (value - mean).powi(2)).sum::<f32>()
    };
    assert!(spread(1) > spread(2) && spread(2) > spread(3) && spread(3) > 0.0);
    for (precision, bits) in [("float16", "16"), ("int8", "8")] {
        work.ok(format!("embed scene.tif --precision {precision} -o {precision} --raster {precision}.tif").split(' '));
        let raster = open(&format!("{precision}.tif"));
        let scale = raster.rasterband(1).expect("a band").scale().unwrap_or(1.0) as f32;
        let offset = raster.rasterband(1).expect("a band").offset().unwrap_or(0.0) as f32;
        let found = read_band::<f32>(&raster, 1);
        let off = found.iter().zip(&bands[0]).map(|(a, b)| (a * scale + offset - b).abs()).fold(0.0, f32::max);
        assert!(off < 0.02, "{bits} bits: {off}");
    }
    let said = work.refused("embed scene.tif -o store --raster all.tif");
    assert!(said.contains("already exists"), "{said}");
    let said = work.refused("embed scene.tif -o store --raster b.tif --components 9999");
    assert!(said.contains("--components is 9999"), "{said}");
    // Only what wrote it is replaced.
    work.write("mine.zarr/file", "mine");
    let said = work.refused("embed scene.tif -o store --raster mine.zarr --overwrite");
    assert!(said.contains("is no Zarr"), "{said}");
    work.ok("embed scene.tif -o store --raster a.zarr".split(' '));
    work.ok("embed scene.tif -o store --raster a.zarr --components 4 --overwrite".split(' '));
    python(&work);
}

/// Opens rasters with rasterio and xarray, where this machine's Python has them.
fn python(work: &Workdir) {
    let script = "import rasterio, xarray, numpy\n\
        with rasterio.open('all.tif') as tif: a = tif.read()\n\
        x = xarray.open_zarr('a.zarr', consolidated=False)\n\
        f = x.features.values\n\
        assert f.shape == (4,) + a.shape[1:] and f.dtype == numpy.float32, (f.shape, f.dtype)\n\
        assert numpy.isfinite(f).all()\n\
        with rasterio.open('all.tif') as tif: t = tif.transform\n\
        g = [float(number) for number in x.spatial_ref.attrs['GeoTransform'].split()]\n\
        assert numpy.allclose(g, t.to_gdal())\n\
        s = xarray.open_zarr('store', consolidated=False)\n\
        assert s.attrs['segearth_embeddings'] == 1\n";
    let program = std::env::var_os("SEGEARTH_PYTHON").unwrap_or_else(|| "python3".into());
    let has = |code: &str| std::process::Command::new(&program).args(["-c", code]).current_dir(work.path("")).output();
    if !has("import rasterio, xarray, zarr").is_ok_and(|output| output.status.success()) {
        println!("skipped: {} has no rasterio, xarray and zarr", program.display());
        return;
    }
    let output = has(script).expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Labels from a store in an archive, and behind an address that lists no files.
#[test]
fn a_store_is_read_from_an_archive_and_over_http() {
    let work = Workdir::new();
    scene(&work, "scene.tif", 250, 240);
    work.ok("embed scene.tif --precision float32 -o store".split(' '));
    let classes = ["--classes", "water; sand; sea or lake"];
    let segment = |words: &str| {
        let words = ["segment"].into_iter().chain(words.split(' ')).chain(classes);
        work.run_with(words, &[("GDAL_HTTP_RETRY_DELAY", "0.001")])
    };
    let ran = segment("--from store -o here.tif");
    assert!(ran.code == 0, "{}", ran.stderr);
    let entries: Vec<(String, Vec<u8>)> = store(&work.path("store"))
        .into_iter()
        .map(|(path, content)| (format!("store/{}", path.display()), content))
        .collect();
    work.write("store.zip", zip(&entries));
    let ran = segment("--from store.zip/store -o archived.tif");
    assert!(ran.code == 0, "{}", ran.stderr);
    let served = |(name, content): &(String, Vec<u8>)| File {
        name: Box::leak(format!("/{name}").into()),
        content: content.clone(),
        headers: "",
    };
    let server = Server::start(entries.iter().map(served).collect(), |_| Reply::Well);
    let ran = segment(&format!("scene.tif --from {}/store -o served.tif", server.address));
    assert!(ran.code == 0, "{}", ran.stderr);
    for output in ["archived.tif", "served.tif"] {
        assert!(labels(&work, output) == labels(&work, "here.tif"), "{output}");
    }
    // A chunk that the server does not have, and one that it cuts each time.
    let chunk = entries.iter().map(|(name, _)| name.clone()).find(|name| name.contains("/tokens/c/")).expect("a chunk");
    let lacking: Vec<File> = entries.iter().filter(|(name, _)| *name != chunk).map(served).collect();
    let server = Server::start(lacking, |_| Reply::Well);
    let ran = segment(&format!("scene.tif --from {}/store -o no.tif", server.address));
    assert!(ran.code == 1 && ran.stderr.contains("is missing") && !work.path("no.tif").exists(), "{}", ran.stderr);
    let cut = chunk.clone();
    let server = Server::start(entries.iter().map(served).collect(), move |request| {
        if request.target.ends_with(&cut) { Reply::Cut } else { Reply::Well }
    });
    let ran = segment(&format!("scene.tif --from {}/store -o no.tif", server.address));
    assert!(ran.code == 1 && ran.stderr.contains("cannot read") && !work.path("no.tif").exists(), "{}", ran.stderr);
    // A job does not write there: what is missing is said.
    let some: Vec<_> = entries.iter().filter(|(name, _)| *name != chunk).cloned().collect();
    work.write("some.zip", zip(&some));
    work.write(
        "job.yaml",
        "scene: scene.tif\nclasses: [a, b]\nembeddings: some.zip/store\noutputs: {folder: results}\n",
    );
    let said = work.refused("run job.yaml");
    assert!(said.contains("is not complete"), "{said}");
}
