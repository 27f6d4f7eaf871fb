//! Reads over a server of the test's own, which counts what it sends and can fail.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::test_scenes::{as_it_is, make, plane};
use super::test_server::{File, Reply, Request, Server};
use super::{SceneReader, find, inspect, json, stamps};
use crate::geom::{Grid, Size, Window};
use crate::scene::{AreaRequest, SceneInfo, SceneRequest};

/// Serves `content` as `scene.tif`.
fn serve(content: Vec<u8>, plan: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(vec![File { name: "/scene.tif", content, headers: "" }], plan)
}

/// Answers as it should but to every `nth` request for content.
fn every(nth: usize, reply: Reply) -> impl Fn(&Request) -> Reply + Send + Sync + Copy {
    move |request| if !request.head && request.number.is_multiple_of(nth) { reply } else { Reply::Well }
}

fn remote_name(server: &Server) -> PathBuf {
    format!("/vsicurl/{}/scene.tif", server.address).into()
}

fn open(name: &Path) -> SceneReader {
    SceneReader::open(&inspect(name).unwrap(), [1, 2, 3], &as_it_is()).unwrap()
}

/// A scene of noise, which hardly compresses, with these options; its pixels and bytes.
struct Scene {
    path: PathBuf,
    _folder: tempfile::TempDir,
    bytes: Vec<u8>,
    size: Size,
}

fn noise(band: usize, col: usize, row: usize) -> u8 {
    let mut mixed = ((row * 2048 + col) * 3 + band) as u64;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed >> 31) as u8
}

fn scene(size: Size, at: [f64; 2], options: &[&str]) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scene.tif");
    let planes = [1, 2, 3].map(|band| plane(size, |col, row| noise(band, col + at[0] as usize, row)));
    make(&path, size, &planes, &[options, &["PHOTOMETRIC=RGB"]].concat(), |dataset| {
        dataset.set_geo_transform(&[at[0], 1.0, 0.0, at[1], 0.0, -1.0]).unwrap();
        dataset.set_projection(&super::test_scenes::georeference([0.0; 6], 32632).crs_wkt.unwrap()).unwrap();
    });
    let bytes = std::fs::read(&path).unwrap();
    Scene { path, _folder: folder, bytes, size }
}

const TILES: [&str; 5] = ["TILED=YES", "BLOCKXSIZE=64", "BLOCKYSIZE=64", "COMPRESS=DEFLATE", "INTERLEAVE=PIXEL"];

/// Runs with GDAL's options set for this thread.
fn with_options<T>(options: &[(&str, &str)], call: impl FnOnce() -> T) -> T {
    for (key, value) in options {
        gdal::config::set_thread_local_config_option(key, value).unwrap();
    }
    let done = call();
    for (key, _) in options {
        gdal::config::clear_thread_local_config_option(key).unwrap();
    }
    done
}

#[test]
fn only_needed_windows_are_transferred() {
    let Scene { bytes, size, .. } = scene(Size::new(2048, 1536), [0.0; 2], &["TILED=YES", "COMPRESS=DEFLATE"]);
    let total = bytes.len();
    let server = serve(bytes, |_| Reply::Well);
    // Twelve of the 48 tiles of 256 pixels.
    let area = AreaRequest::Bounds { bounds: [512.0, -1024.0, 1536.0, -256.0], crs: "EPSG:32632".into() };
    let request = SceneRequest { area: Some(area), ..SceneRequest::file(remote_name(&server)) };
    let info = find(&request).unwrap().remove(0);
    let reader = SceneReader::open(&info, [1, 2, 3], &as_it_is()).unwrap();
    let windows: Vec<_> = Grid::new(size, 256, 256).windows().collect();
    let read = windows.iter().filter(|window| !reader.read(**window).unwrap().is_empty()).count();
    assert_eq!(read, 12);
    let (sent, needed) = (server.sent(), total * 12 / 48);

    assert!(sent as f64 <= 1.2 * needed as f64, "{sent} bytes came for {needed} that were needed");
}

/// Whatever goes wrong on the way, and however GDAL asks: the same pixels as from the disk.
#[test]
fn failing_server_gives_the_same_pixels() {
    let size = Size::new(300, 200);
    let scenes = [
        scene(size, [0.0; 2], &TILES),
        // Nothing in it tells wrong bytes from right ones.
        scene(size, [0.0; 2], &["TILED=YES", "BLOCKXSIZE=64", "BLOCKYSIZE=64", "INTERLEAVE=BAND"]),
        scene(size, [0.0; 2], &["BLOCKYSIZE=8", "COMPRESS=LZW", "INTERLEAVE=PIXEL"]),
    ];
    let plans = [
        every(5, Reply::Cut),
        every(5, Reply::Short),
        every(5, Reply::Unannounced),
        every(5, Reply::Elsewhere),
        every(5, Reply::Status(429, Some(0))),
        every(5, Reply::Status(429, None)),
        every(4, Reply::Status(503, None)),
        every(5, Reply::Status(500, None)),
    ];
    let options: [&[(&str, &str)]; 4] = [
        &[],
        &[("GDAL_NUM_THREADS", "ALL_CPUS")],
        &[("GDAL_HTTP_MULTIRANGE", "SERIAL")],
        &[("GDAL_HTTP_MERGE_CONSECUTIVE_RANGES", "NO"), ("GDAL_NUM_THREADS", "2")],
    ];
    for (which, scene) in scenes.iter().enumerate() {
        let here = open(&scene.path);
        for (number, plan) in plans.iter().enumerate() {
            for options in options {
                with_options(options, || {
                    let server = serve(scene.bytes.clone(), *plan);
                    let there = open(&remote_name(&server));
                    for window in Grid::new(size, 150, 100).windows() {
                        let place = || format!("scene {which}, plan {number}, {options:?}, {window}");
                        let tile = there.read(window).unwrap_or_else(|error| panic!("{}: {error:#?}", place()));
                        assert!(tile == here.read(window).unwrap(), "{}", place());
                    }
                    // Strips that follow each other come in few requests.
                    assert!(which == 2 || server.requests().len() > 5);
                });
            }
        }
    }
}

/// Where every second or third answer fails it may be all too much, but never wrong.
#[test]
fn mostly_failing_server_gives_the_same_pixels_or_none() {
    let scene = scene(Size::new(300, 200), [0.0; 2], &TILES);
    let here = open(&scene.path);
    for (nth, threads) in [(2, "1"), (2, "ALL_CPUS"), (3, "1"), (3, "ALL_CPUS")] {
        with_options(&[("GDAL_NUM_THREADS", threads)], || {
            let fails = Arc::new(AtomicBool::new(false));
            let plan = {
                let fails = Arc::clone(&fails);
                move |request: &Request| {
                    let fails = fails.load(Ordering::SeqCst) && request.number.is_multiple_of(nth);
                    if fails { Reply::Cut } else { Reply::Well }
                }
            };
            let server = serve(scene.bytes.clone(), plan);
            let there = open(&remote_name(&server));
            fails.store(true, Ordering::SeqCst);
            for window in Grid::new(scene.size, 100, 50).windows() {
                if let Ok(tile) = there.read(window) {
                    assert!(tile == here.read(window).unwrap(), "{nth}, {threads}: {window}");
                }
            }
        });
    }
}

/// The tiles of a mosaic lie in a pool of GDAL's own.
#[test]
fn mosaic_of_remote_tiles_equals_local_tiles() {
    let size = Size::new(200, 150);
    let tiles = [scene(size, [0.0; 2], &TILES), scene(size, [160.0, 0.0], &TILES)];
    for nth in [5, 9, 1_000_000] {
        mosaic_of(&tiles, nth);
    }
}

/// Every `nth` answer is cut: a part of a mosaic's window takes up to eight, of which a header takes two.
fn mosaic_of(tiles: &[Scene], nth: usize) {
    let files = tiles.iter().zip(["/a.tif", "/b.tif"]);
    let files = files.map(|(tile, name)| File { name, content: tile.bytes.clone(), headers: "" }).collect();
    let server = Server::start(files, every(nth, Reply::Cut));
    let mosaic = |files: Vec<PathBuf>| {
        let info = find(&SceneRequest { files, mosaic: true, ..SceneRequest::file("") }).unwrap().remove(0);
        (SceneReader::open(&info, [1, 2, 3], &as_it_is()).unwrap(), info)
    };
    with_options(&[("GDAL_NUM_THREADS", "ALL_CPUS")], || {
        let names = ["a", "b"].map(|name| format!("/vsicurl/{}/{name}.tif", server.address).into());
        let ((there, info), (here, _)) =
            (mosaic(names.to_vec()), mosaic(tiles.iter().map(|tile| tile.path.clone()).collect()));
        assert_eq!(info.size, Size::new(360, 150));
        for window in Grid::new(info.size, 120, 60).windows() {
            match there.read(window) {
                Ok(tile) => assert!(tile == here.read(window).unwrap(), "{window}"),
                Err(error) => assert!(nth == 5, "{nth}, {window}: {error:#?}"),
            }
        }
    });
}

/// A window that failed leaves nothing behind that its neighbours would take for pixels.
#[test]
fn failed_window_does_not_affect_its_neighbours() {
    let size = Size::new(256, 192);
    let scene = scene(size, [0.0; 2], &TILES);
    let (left, middle) =
        (Window { col: 0, row: 0, width: 100, height: 192 }, Window { col: 40, row: 0, width: 100, height: 192 });
    with_options(&[("GDAL_NUM_THREADS", "ALL_CPUS")], || {
        let fails = Arc::new(AtomicBool::new(false));
        let plan = {
            let fails = Arc::clone(&fails);
            move |request: &Request| match fails.load(Ordering::SeqCst) {
                true if request.number.is_multiple_of(2) => Reply::Status(403, None),
                true => Reply::Cut,
                false => Reply::Well,
            }
        };
        let server = serve(scene.bytes.clone(), plan);
        let (there, here) = (open(&remote_name(&server)), open(&scene.path));
        fails.store(true, Ordering::SeqCst);
        assert!(there.read(left).is_err());
        fails.store(false, Ordering::SeqCst);
        assert!(there.read(middle).unwrap() == here.read(middle).unwrap());

        // A file on a disk of which a tile in the middle is lost.
        let damaged = scene.path.with_file_name("damaged.tif");
        let mut bytes = scene.bytes.clone();
        let half = bytes.len() / 2;
        bytes[half..half + 3000].fill(0xAA);
        std::fs::write(&damaged, &bytes).unwrap();
        let reader = open(&damaged);
        let windows: Vec<Window> = Grid::new(size, 64, 16).windows().collect();
        let lost: Vec<bool> = windows.iter().map(|window| reader.read(*window).is_err()).collect();
        assert!(lost.contains(&true) && lost.contains(&false), "{lost:?}");
        for round in 0..2 {
            for (window, lost) in windows.iter().zip(&lost) {
                match reader.read(*window) {
                    Ok(tile) => assert!(!lost && tile == here.read(*window).unwrap(), "{round}: {window}"),
                    Err(_) => assert!(lost, "{round}: {window}"),
                }
            }
        }
    });
}

#[test]
fn missing_remote_file_fails_at_once() {
    let server = serve(vec![0; 10], |_| Reply::Well);
    let error = inspect(format!("/vsicurl/{}/none.tif", server.address)).unwrap_err();
    assert!(error.to_string().contains("none.tif") && error.hint().unwrap().contains("address"), "{error}");
    let causes = error.causes().join(" ");
    assert!(causes.contains("404") && !causes.contains("tried"), "{causes}");
    assert!(json::read(Path::new("/nowhere/item.json"), 1000).is_err());
}

/// What the failure of all windows says, and the requests for content after the header.
fn failure(reply: Reply) -> (String, usize) {
    // Larger than what is fetched with a header.
    let Scene { bytes, .. } = scene(Size::new(256, 192), [0.0; 2], &TILES);
    let fails = Arc::new(Mutex::new(None));
    let plan = {
        let fails = Arc::clone(&fails);
        move |_: &Request| fails.lock().unwrap().unwrap_or(Reply::Well)
    };
    let server = serve(bytes, plan);
    let reader = open(&remote_name(&server));
    *fails.lock().unwrap() = Some(reply);
    let before = server.requests().len();
    let error = reader.read(Window { col: 192, row: 128, width: 64, height: 64 }).err().unwrap();
    let said = format!("{error}: {}", error.causes().join(": "));
    assert!(
        said.starts_with(&format!(
            "cannot read band 1 of /vsicurl/{}/scene.tif at columns 192 to 256, rows 128 to 192: ",
            server.address
        )),
        "{said}"
    );
    (said, server.requests().len() - before)
}

#[test]
fn failure_gives_status_and_attempts() {
    for status in [401, 403, 404] {
        let (said, requests) = failure(Reply::Status(status, None));
        assert!(said.contains(&format!("HTTP status {status}")) && !said.contains("tried"), "{said}");
        // A 401 is answered by GDAL with another look for keys.
        assert!(requests <= 2, "{requests} requests, {said}");
    }
    let (said, _) = failure(Reply::Status(429, Some(7200)));
    assert!(
        said.contains("HTTP status 429") && said.contains("asks to wait 7200 s") && !said.contains("tried"),
        "{said}"
    );
    let (said, _) = failure(Reply::Status(503, Some(0)));
    assert!(said.contains("503"), "{said}");
    let (said, _) = failure(Reply::Cut);
    assert!(said.contains("bytes remaining"), "{said}");
}

/// A new signature opens the same file; another ETag, size or time is another file.
#[test]
fn stamp_of_a_remote_file_follows_its_server() {
    let Scene { bytes, .. } = scene(Size::new(100, 64), [0.0; 2], &TILES);
    let stamped = |headers: &'static str, query: &str| {
        let file = File { name: "/scene.tif", content: bytes.clone(), headers };
        let server = Server::start(vec![file], |_| Reply::Well);
        let host = server.address.replace("//", "//me:secret@");
        let info: SceneInfo = inspect(format!("/vsicurl/{host}/scene.tif{query}")).unwrap();
        let stamps = stamps(&info).unwrap();
        let [line] = stamps.lines.as_slice() else { panic!("{:?}", stamps.lines) };
        let line = line.replace(&server.address, "HOST");
        assert!(!line.contains("secret") && line.starts_with("/vsicurl/HOST/scene.tif: "), "{line}");
        (line, stamps.notes.len())
    };
    let (one, two) = ("ETag: \"one\"\r\n", "ETag: \"two\"\r\n");
    let time = "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n";
    let first = stamped(one, "?sig=a");
    assert_eq!(
        first,
        (format!("/vsicurl/HOST/scene.tif: {} bytes, changed 0.000000000, ETag \"one\"", bytes.len()), 0)
    );
    assert_eq!(stamped(one, "?anything=b"), first);
    assert_ne!(stamped(two, "?sig=a"), first);
    assert_eq!(stamped(time, "?sig=a"), stamped(time, ""));
    assert!(stamped(time, "?sig=a").0.ends_with(" bytes, changed 1445412480.000000000"));
    // Nothing but the address tells files apart.
    let without = stamped("", "?file=a&sig=1&X-Amz-Date=2");
    assert_eq!((stamped("", "?sig=2&file=a"), without.1), (without.clone(), 1));
    assert_ne!(stamped("", "?file=b&sig=1").0, without.0);
}
