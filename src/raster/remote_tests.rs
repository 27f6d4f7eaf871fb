//! Reads over a server of the test's own, which counts what it sends and can fail.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::test_scenes::{as_it_is, make, plane};
use super::{SceneReader, find, inspect, remote};
use crate::geom::{Grid, Size};
use crate::scene::{AreaRequest, SceneRequest};

/// What a server does with the requests for content that it gets, by their number from 1.
#[derive(Clone, Copy)]
enum Mood {
    Well,
    /// 503 for every third, and the connection cut within every fifth.
    Ill,
}

struct Server {
    address: String,
    /// Bytes of content sent.
    sent: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

fn serve(content: Vec<u8>, mood: Mood) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sent, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let server = Server { address, sent: sent.clone(), requests: requests.clone() };
    let content = Arc::new(content);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (content, sent, requests) = (content.clone(), sent.clone(), requests.clone());
            thread::spawn(move || answer(stream, &content, mood, &sent, &requests));
        }
    });
    server
}

/// Answers the requests of one connection until either side ends it.
fn answer(stream: TcpStream, content: &[u8], mood: Mood, sent: &AtomicUsize, requests: &AtomicUsize) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line.trim().is_empty() {
                break;
            }
            head.push(line.trim().to_lowercase());
        }
        let request = head.first()?.clone();
        if !request.contains("/scene.tif ") {
            write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").ok()?;
            continue;
        }
        if request.starts_with("head") {
            let length = content.len();
            write!(stream, "HTTP/1.1 200 OK\r\nAccept-Ranges: bytes\r\nContent-Length: {length}\r\n\r\n").ok()?;
            continue;
        }
        let number = requests.fetch_add(1, Ordering::SeqCst) + 1;
        if matches!(mood, Mood::Ill) && number.is_multiple_of(3) {
            write!(stream, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").ok()?;
            continue;
        }
        let range = head.iter().find_map(|line| line.strip_prefix("range: bytes=")?.split_once('-'));
        let (from, to) = match range {
            Some((from, to)) => (from.parse().ok()?, to.parse().unwrap_or(content.len() - 1).min(content.len() - 1)),
            None => (0, content.len() - 1),
        };
        let body = content.get(from..=to)?;
        write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{to}/{}\r\nContent-Length: {}\r\n\r\n",
            content.len(),
            body.len()
        )
        .ok()?;
        if matches!(mood, Mood::Ill) && number.is_multiple_of(5) {
            stream.write_all(&body[..body.len() / 2]).ok()?;
            stream.shutdown(std::net::Shutdown::Both).ok()?;
            return None;
        }
        stream.write_all(body).ok()?;
        sent.fetch_add(body.len(), Ordering::SeqCst);
    }
}

/// A tiled scene that hardly compresses, as a file's bytes, and its size.
fn scene() -> (PathBuf, tempfile::TempDir, Vec<u8>, Size) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scene.tif");
    let size = Size::new(2048, 1536);
    let noise = |band: usize| {
        plane(size, move |col, row| {
            let mut mixed = ((row * 2048 + col) * 3 + band) as u64;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (mixed >> 31) as u8
        })
    };
    let options = ["TILED=YES", "COMPRESS=DEFLATE", "INTERLEAVE=PIXEL", "PHOTOMETRIC=RGB"];
    make(&path, size, &[noise(1), noise(2), noise(3)], &options, |dataset| {
        dataset.set_geo_transform(&[0.0, 1.0, 0.0, 0.0, 0.0, -1.0]).unwrap();
        dataset.set_projection(&super::test_scenes::georeference([0.0; 6], 32632).crs_wkt.unwrap()).unwrap();
    });
    let bytes = std::fs::read(&path).unwrap();
    (path, folder, bytes, size)
}

#[test]
fn only_the_windows_that_are_needed_come_over_the_network() {
    let (_path, _folder, bytes, size) = scene();
    let total = bytes.len();
    let server = serve(bytes, Mood::Well);
    // Twelve of the 48 tiles of 256 pixels.
    let area = AreaRequest::Bounds { bounds: [512.0, -1024.0, 1536.0, -256.0], crs: "EPSG:32632".into() };
    let name = format!("/vsicurl/{}/scene.tif", server.address);
    let request = SceneRequest { area: Some(area), ..SceneRequest::file(&name) };
    let info = find(&request).unwrap().remove(0);
    let reader = SceneReader::open(&info, [1, 2, 3], &as_it_is()).unwrap();
    let windows: Vec<_> = Grid::new(size, 256, 256).windows().collect();
    let read = windows.iter().filter(|window| !reader.read(**window).unwrap().is_empty()).count();
    assert_eq!(read, 12);
    let (sent, needed) = (server.sent.load(Ordering::SeqCst), total * 12 / 48);

    assert!(sent as f64 <= 1.2 * needed as f64, "{sent} bytes came for {needed} that were needed");
}

#[test]
fn a_server_that_fails_now_and_then_is_asked_again() {
    let (path, _folder, bytes, size) = scene();
    let server = serve(bytes, Mood::Ill);
    let name = format!("/vsicurl/{}/scene.tif", server.address);
    let there = SceneReader::open(&inspect(&name).unwrap(), [1, 2, 3], &as_it_is()).unwrap();
    let here = SceneReader::open(&inspect(&path).unwrap(), [1, 2, 3], &as_it_is()).unwrap();
    for window in Grid::new(size, 512, 512).windows() {
        assert!(there.read(window).unwrap() == here.read(window).unwrap(), "{window}");
    }
    assert!(server.requests.load(Ordering::SeqCst) > 10);
}

#[test]
fn what_is_not_there_is_said_at_once() {
    let server = serve(vec![0; 10], Mood::Well);
    let started = std::time::Instant::now();
    let error = inspect(format!("/vsicurl/{}/none.tif", server.address)).unwrap_err();
    assert!(error.to_string().contains("none.tif") && error.hint().unwrap().contains("address"), "{error}");
    assert!(error.causes().join(" ").contains("404"), "{:?}", error.causes());
    assert!(started.elapsed().as_secs() < 3);
    assert!(remote::read_json(std::path::Path::new("/nowhere/item.json"), 1000).is_err());
}
