//! Scenes that come over HTTP, through the real binary.

use std::fs;
use std::path::Path;

use gdal::raster::{Buffer, RasterCreationOptions};
use gdal::{Dataset, DriverManager};

use crate::scenes::{noise, place, read_band};
use crate::server::{File, Reply, Request, Server};
use crate::workdir::{Ran, Workdir};

/// Waits of no length between tries, and threads of GDAL's own: what once gave wrong labels.
const ENVIRONMENT: [(&str, &str); 2] = [("GDAL_HTTP_RETRY_DELAY", "0.001"), ("GDAL_NUM_THREADS", "ALL_CPUS")];

const WIDTH: usize = 500;
const HEIGHT: usize = 420;

/// A placed scene of noise in tiles, as a file's bytes.
fn tiled_scene(path: &Path, left: f64) -> Vec<u8> {
    let driver = DriverManager::get_driver_by_name("GTiff").expect("the GeoTIFF driver");
    let options = ["TILED=YES", "BLOCKXSIZE=64", "BLOCKYSIZE=64", "COMPRESS=DEFLATE", "INTERLEAVE=PIXEL"];
    let options = RasterCreationOptions::from_iter(options);
    let mut dataset =
        driver.create_with_band_type_with_options::<u8, _>(path, WIDTH, HEIGHT, 3, &options).expect("a scene");
    place(&mut dataset);
    dataset.set_geo_transform(&[left, 1.0, 0.0, 5_640_000.0, 0.0, -1.0]).expect("a geotransform");
    for (band, pixels) in noise(3 * WIDTH * HEIGHT).chunks(WIDTH * HEIGHT).enumerate() {
        let mut buffer = Buffer::new((WIDTH, HEIGHT), pixels.to_vec());
        dataset.rasterband(band + 1).expect("a band").write((0, 0), (WIDTH, HEIGHT), &mut buffer).expect("pixels");
    }
    dataset.close().expect("a whole scene");
    fs::read(path).expect("a scene")
}

fn labels(work: &Workdir, name: &str) -> Vec<u8> {
    read_band(&Dataset::open(work.path(name)).expect("labels"), 1)
}

fn segment(work: &Workdir, scene: &str, output: &str) -> Ran {
    let words = format!("segment {scene} --model fake:identity -c red;green;blue --stride 56 -o {output}");
    work.run_with(words.split_whitespace(), &ENVIRONMENT)
}

/// A work folder with a scene, its bytes, and the labels that come of it on a disk.
fn prepared() -> (Workdir, Vec<u8>, Vec<u8>) {
    let work = Workdir::new();
    let bytes = tiled_scene(&work.path("scene.tif"), 350_000.0);
    let ran = segment(&work, "scene.tif", "here.tif");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let expected = labels(&work, "here.tif");
    (work, bytes, expected)
}

fn file(content: &[u8], headers: &'static str) -> Vec<File> {
    vec![File { name: "/scene.tif", content: content.to_vec(), headers }]
}

#[test]
fn a_server_that_cuts_every_fifth_answer_gives_the_labels_of_the_file() {
    let (work, bytes, expected) = prepared();
    let plan = |request: &Request| if request.number.is_multiple_of(5) { Reply::Cut } else { Reply::Well };
    let server = Server::start(file(&bytes, ""), plan);
    let ran = segment(&work, &format!("{}/scene.tif", server.address), "there.tif");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let wrong = labels(&work, "there.tif").iter().zip(&expected).filter(|(found, want)| found != want).count();
    assert_eq!(wrong, 0, "labels of {} are wrong", expected.len());
}

#[test]
fn a_server_that_never_gives_a_whole_answer_is_an_error_with_its_place() {
    let (work, bytes, _) = prepared();
    for (reply, said) in [
        (Reply::Cut, "bytes remaining to read"),
        (Reply::Status(503, None), "HTTP status 503"),
        (Reply::Elsewhere, "which were not requested"),
    ] {
        let plan = move |request: &Request| {
            if request.range.is_some_and(|(first, _)| first > 40_000) { reply } else { Reply::Well }
        };
        let server = Server::start(file(&bytes, ""), plan);
        let address = server.address.replace("//", "//me:secret@");
        let ran = segment(&work, &format!("{address}/scene.tif?sig=secret"), "there.tif");
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        let first =
            format!("error: cannot read band 1 of /vsicurl/{}/scene.tif?… at columns 0 to 224, rows ", server.address);
        assert!(ran.stderr.contains(&first), "{}", ran.stderr);
        assert!(ran.stderr.contains(said) && ran.stderr.contains("(tried 6 times)"), "{}", ran.stderr);
        assert!(!ran.stderr.contains("secret") && !work.path("there.tif").exists(), "{}", ran.stderr);
        fs::remove_dir_all(work.path("there.tif.unfinished")).ok();
    }
}

/// A signature ends once rows are kept; with another one the same command resumes, and a changed file is reported.
#[test]
fn a_signature_that_expires_keeps_the_rows_and_a_new_one_goes_on() {
    let (work, bytes, expected) = prepared();
    let unfinished = work.path("there.tif.unfinished");
    let plan = move |request: &Request| {
        let files = fs::read_dir(&unfinished).into_iter().flatten().flatten();
        let rows = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "rows"));
        let kept: u64 = rows.filter_map(|file| Some(file.metadata().ok()?.len())).sum();
        if request.target.contains("sig=secret1") && kept > 1000 { Reply::Status(403, None) } else { Reply::Well }
    };
    let server = Server::start(file(&bytes, "ETag: \"one\"\r\n"), plan);
    let address = |signature: &str| format!("{}/scene.tif?sig={signature}&se=2026", server.address);

    let ran = segment(&work, &address("secret1"), "there.tif");
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("HTTP status 403") && !ran.stderr.contains("tried"), "{}", ran.stderr);
    assert!(ran.stderr.contains("rows are finished and kept"), "{}", ran.stderr);
    let journal = fs::read_to_string(work.path("there.tif.unfinished/journal.yaml")).expect("a journal");
    assert!(journal.contains("ETag") && !journal.contains("secret") && !journal.contains("sig="), "{journal}");

    // The same address, another file: what is there is not continued.
    let other = Server::start(file(&bytes, "ETag: \"two\"\r\n"), |_| Reply::Well);
    let moved = journal.replace(&server.address, &other.address);
    fs::write(work.path("there.tif.unfinished/journal.yaml"), moved).expect("a journal");
    let ran = segment(&work, &format!("{}/scene.tif?sig=secret2", other.address), "there.tif");
    assert!(ran.code == 1 && ran.stderr.contains("are of a run with other settings or inputs"), "{}", ran.stderr);
    assert!(ran.stderr.contains("ETag \"one\"") && ran.stderr.contains("ETag \"two\""), "{}", ran.stderr);
    fs::write(work.path("there.tif.unfinished/journal.yaml"), journal).expect("a journal");

    let ran = segment(&work, &address("secret2"), "there.tif");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("resumes an earlier run"), "{}", ran.stderr);
    assert!(labels(&work, "there.tif") == expected);
    let ran = segment(&work, &address("secret3"), "there.tif");
    assert!(ran.code == 0 && ran.stderr.contains("is finished, by an earlier run"), "{}", ran.stderr);
    let written = fs::read(work.path("there.tif")).expect("labels");
    assert!(!written.windows(6).any(|bytes| bytes == b"secret"));
}

/// Items whose assets are signed, as one mosaic: known again under another signature, and in their order.
#[test]
fn signed_assets_of_a_mosaic_are_known_again() {
    let work = Workdir::new();
    let contents = [("/a.tif", 350_000.0), ("/b.tif", 350_400.0)].map(|(name, left)| File {
        name,
        content: tiled_scene(&work.path("scene.tif"), left),
        headers: "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n",
    });
    let server = Server::start(contents.into(), |_| Reply::Well);
    let run = |signature: &str, order: [&str; 2]| {
        let items = order.map(|name| {
            let href = format!("{}/{name}.tif?sig={signature}", server.address);
            format!(
                r#"{{"type":"Feature","id":"{name}","assets":{{"visual":{{"href":"{href}","type":"image/tiff"}}}}}}"#
            )
        });
        work.write("items.json", format!(r#"{{"type":"FeatureCollection","features":[{}]}}"#, items.join(",")));
        let scene = "scene: items.json\nmosaic: true\n";
        let scene = scene.to_owned() + "model: fake:identity\nclasses: [red, green, blue]\noutputs: {folder: out}\n";
        work.write("job.yaml", scene);
        work.run_with(["run", "job.yaml"], &ENVIRONMENT)
    };
    let ran = run("secret1", ["a", "b"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let ran = run("secret2", ["a", "b"]);
    assert!(ran.code == 0 && ran.stderr.contains("is finished, by an earlier run"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("secret"), "{}", ran.stderr);
    // The other tile on top: another scene.
    let ran = run("secret2", ["b", "a"]);
    assert!(!ran.stderr.contains("is finished, by an earlier run"), "{}", ran.stderr);
}
