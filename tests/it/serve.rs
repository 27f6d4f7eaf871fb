//! The web application, driven over sockets: what is shown is what a run gives, and what is hostile is refused.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use gdal::Dataset;
use gdal::spatial_ref::SpatialRef;
use serde_json::{Value, json};

use crate::scenes::{read_band, write_bands};
use crate::workdir::Workdir;

/// Longer than anything takes on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(300);

pub struct Served {
    child: Child,
    pub address: SocketAddr,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A response: its status, its headers and its body.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }
}

impl Served {
    pub fn start(work: &Workdir, args: &[&str]) -> Self {
        let all = ["serve"].iter().chain(args).chain(&["--port", "0", "--state", "state"]);
        let mut child =
            work.command(all).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the server starts");
        let mut said = String::new();
        let mut lines = BufReader::new(child.stderr.take().expect("what it says")).lines();
        let address = loop {
            let line = lines.next().unwrap_or_else(|| panic!("the server did not start:\n{said}")).expect("a line");
            said += &format!("{line}\n");
            if let Some(rest) = line.split("http://").nth(1) {
                break rest.split('/').next().expect("an address").parse().expect("an address with a port");
            }
        };
        // What it says later is of no interest, and must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    /// Sends what is to be sent, whole or not, and reads all that comes back.
    pub fn raw(&self, bytes: &[u8]) -> Option<Answer> {
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        // A server may refuse before it has read everything.
        let _ = stream.write_all(bytes);
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        let at = all.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&all[..at]).to_lowercase();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Answer { status, head, body: all[at + 4..].to_vec() })
    }

    pub fn ask(&self, method: &str, target: &str, body: Option<&Value>) -> Answer {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        self.raw(request.as_bytes()).unwrap_or_else(|| panic!("no answer to {method} {target}"))
    }

    #[track_caller]
    pub fn get(&self, target: &str) -> Answer {
        let answer = self.ask("GET", target, None);
        assert_eq!(answer.status, 200, "{target}: {}", String::from_utf8_lossy(&answer.body));
        answer
    }

    #[track_caller]
    pub fn send(&self, method: &str, target: &str, body: Value) -> Value {
        let answer = self.ask(method, target, Some(&body));
        assert_eq!(answer.status, 200, "{method} {target}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    /// Waits until the state is as it should be.
    #[track_caller]
    pub fn until(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let state = self.get("/api/state").json();
            if is(&state) {
                return state;
            }
            assert!(started.elapsed() < PATIENCE, "{what}: {state:#}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until all labels are there.
    #[track_caller]
    pub fn labelled(&self) -> Value {
        self.until("all is labelled", |state| {
            state["ready"] == true && state["labels"]["known"] == state["labels"]["all"]
        })
    }

    /// Ends the server as a service manager does.
    pub fn end(mut self) -> i32 {
        // SAFETY: a system call on two numbers; the process is this test's own child.
        #[expect(unsafe_code, reason = "a signal to a child")]
        unsafe {
            libc::kill(self.child.id() as libc::pid_t, libc::SIGTERM)
        };
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code().unwrap_or(-1);
            }
            assert!(started.elapsed() < PATIENCE, "the server does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

pub const WIDTH: usize = 300;
pub const HEIGHT: usize = 260;

/// Waves with a little noise.
pub fn scene(work: &Workdir, name: &str) {
    scene_at(work, name, 500_000.0, 0.0);
}

/// The same with its left border elsewhere, in metres, and with waves that are shifted.
pub fn scene_at(work: &Workdir, name: &str, left: f64, phase: f32) {
    let pixel = |at: usize| {
        let (row, col, channel) = ((at / 3) / WIDTH, (at / 3) % WIDTH, at % 3);
        let wave = ((col as f32 / 23.0 + channel as f32 + phase).sin() + (row as f32 / 31.0).cos()) * 50.0;
        (128.0 + wave + ((at * 2_654_435_761) >> 7) as f32 % 17.0) as u8
    };
    let bands: Vec<Vec<u8>> =
        (0..3).map(|channel| (0..WIDTH * HEIGHT).map(|at| pixel(3 * at + channel)).collect()).collect();
    write_bands(&work.path(name), (WIDTH, HEIGHT), &bands, |dataset| {
        dataset.set_geo_transform(&[left, 0.5, 0.0, 5_640_000.0, 0.0, -0.5]).expect("a geotransform");
        dataset.set_spatial_ref(&SpatialRef::from_epsg(25832).expect("a CRS")).expect("a CRS");
    });
}

pub fn classes(names: &[&str]) -> Value {
    let class = |(id, name): (usize, &&str)| json!({"id": id + 1, "name": name, "colour": format!("#0000{:02x}", 16 * (id + 1))});
    json!({"classes": names.iter().enumerate().map(class).collect::<Vec<_>>()})
}

/// Pixels of each class in the labels of a run.
pub fn counts(path: &Path, classes: usize) -> Vec<u64> {
    let labels: Vec<u8> = read_band(&Dataset::open(path).expect("labels"), 1);
    (0..classes).map(|class| labels.iter().filter(|label| usize::from(**label) == class).count() as u64).collect()
}

pub fn shown(state: &Value) -> Vec<u64> {
    let classes = state["labels"]["classes"].as_array().expect("classes");
    classes.iter().map(|class| class["pixels"].as_u64().expect("pixels")).collect()
}

/// A run's end.
#[track_caller]
fn finished(server: &Served, number: usize) {
    let state = server.until("the run ends", |state| state["runs"][number]["state"] != "running");
    assert_eq!(state["runs"][number]["state"], "finished", "{:#}", state["runs"]);
}

#[test]
fn what_is_shown_is_what_a_run_gives() {
    let work = Workdir::new();
    scene(&work, "scene.tif");
    let server = Served::start(&work, &["scene.tif"]);
    let first = server.labelled();
    assert_eq!(first["scenes"][0]["grid"]["crs"], "EPSG:3857");

    let wanted = classes(&["water", "sand", "sea or lake"]);
    server.send("PUT", "/api/classes", wanted.clone());
    let words = server.labelled();
    assert!(words["revision"].as_u64() > first["revision"].as_u64());
    let saved = server.send("POST", "/api/jobs", json!({"name": "words", "outputs": {"report": true}}));
    assert!(work.path("state/jobs/words.yaml").exists(), "{saved}");
    work.ok(["run", "state/jobs/words.yaml", "--output", "out"]);
    assert_eq!(shown(&words), counts(&work.path("out/scene_labels.tif"), 3));
    assert!(shown(&words).iter().filter(|count| **count > 0).count() > 1, "{words:#}");

    // Every pixel is shown as the run has it: the tile of the scene's own resolution, by its palette.
    let grid = &words["scenes"][0]["grid"];
    let value = |key: &str, at: usize| grid[key][at].as_f64().expect("a number");
    let resolution = grid["resolution"].as_f64().expect("a number");
    let at = |zoom: u32| {
        let side = 256.0 * resolution / f64::from(1u32 << zoom);
        let (x, y) = ((value("bounds", 0) + value("bounds", 2)) / 2.0, (value("bounds", 1) + value("bounds", 3)) / 2.0);
        (((x - value("origin", 0)) / side) as u64, ((value("origin", 1) - y) / side) as u64)
    };
    let zoom = grid["native_zoom"].as_u64().expect("a zoom level") as u32;
    for layer in ["scene", "labels"] {
        for zoom in [zoom, zoom - 3, 2] {
            let (x, y) = at(zoom);
            let tile = server.get(&format!("/tiles/{layer}/{zoom}/{x}/{y}.png"));
            assert!(tile.body.starts_with(b"\x89PNG") && tile.head.contains("content-type: image/png"));
            work.write("tile.png", &tile.body);
            let picture = Dataset::open(work.path("tile.png")).expect("a picture");
            assert_eq!(picture.raster_size(), (256, 256));
            let band = picture.rasterband(1).expect("a band").read_band_as::<u8>().expect("pixels");
            let kinds: std::collections::HashSet<u8> = band.data().iter().copied().collect();
            assert!(zoom < 4 || kinds.len() > 2, "{layer} {zoom}: {} values", kinds.len());
        }
    }

    // The middle of the scene, asked by its place on the map.
    let (x, y) = ((value("bounds", 0) + value("bounds", 2)) / 2.0, (value("bounds", 1) + value("bounds", 3)) / 2.0);
    let values = server.get(&format!("/api/scenes/0/values?x={x}&y={y}")).json();
    let (col, row) =
        (values["col"].as_u64().expect("a column") as usize, values["row"].as_u64().expect("a row") as usize);
    let labels: Vec<u8> = read_band(&Dataset::open(work.path("out/scene_labels.tif")).expect("labels"), 1);
    let names = ["water", "sand", "sea or lake"];
    assert_eq!(values["label"], names[usize::from(labels[row * WIDTH + col])]);
    assert_eq!(values["scores"][0]["class"], values["label"]);

    // Examples: learnt on the spot, undone, learnt again, and the same by the command line.
    let place = |col: f64, row: f64| {
        let (left, top) = (value("bounds", 0), value("bounds", 3));
        let (across, down) = (value("bounds", 2) - left, top - value("bounds", 1));
        [left + across * col / WIDTH as f64, top - down * row / HEIGHT as f64]
    };
    // Bright places and dark ones, which the words call otherwise.
    let bright = [(13.0, 190.0), (158.0, 190.0), (13.0, 8.0), (158.0, 8.0)].map(|(col, row)| (3, col, row));
    let dark = [(85.0, 75.0), (230.0, 75.0), (85.0, 125.0), (230.0, 125.0)].map(|(col, row)| (1, col, row));
    for (class, col, row) in bright.into_iter().chain(dark) {
        server.send("POST", "/api/examples", json!({"scene": 0, "class": class, "point": place(col, row)}));
    }
    let corners = [place(220.0, 95.0), place(240.0, 95.0), place(230.0, 105.0)];
    server.send("POST", "/api/examples", json!({"scene": 0, "class": 1, "polygon": corners}));
    let few = server.labelled();
    assert_eq!(few["examples"].as_array().map(Vec::len), Some(9));
    let notes = few["notes"].to_string();
    assert!(notes.contains("With so few examples, no class may change by more than"), "{notes}");
    let bright = [(23.0, 176.0), (168.0, 176.0), (23.0, 22.0), (168.0, 22.0)].map(|(col, row)| (3, col, row));
    let dark = [(95.0, 90.0), (240.0, 90.0), (75.0, 110.0), (220.0, 110.0)].map(|(col, row)| (1, col, row));
    for (class, col, row) in bright.into_iter().chain(dark) {
        server.send("POST", "/api/examples", json!({"scene": 0, "class": class, "point": place(col, row)}));
    }
    let learnt = server.labelled();
    assert_ne!(shown(&learnt), shown(&words), "examples change labels");
    server.send("POST", "/api/jobs", json!({"name": "learnt"}));
    work.ok(["run", "state/jobs/learnt.yaml", "--output", "learnt"]);
    assert_eq!(shown(&learnt), counts(&work.path("learnt/scene_labels.tif"), 3));
    work.write("examples.gpkg", server.get("/api/examples.gpkg").body);
    work.ok([
        "learn",
        "scene.tif",
        "--examples",
        "examples.gpkg",
        "--classes",
        "water; sand; sea or lake",
        "-o",
        "own.safetensors",
    ]);
    assert!(server.get("/api/classes.safetensors").body.len() > 1000);
    let suggested = server.get(&format!(
        "/api/scenes/0/suggestions?left={}&bottom={}&right={}&top={}&count=3",
        value("bounds", 0),
        value("bounds", 1),
        value("bounds", 2),
        value("bounds", 3)
    ));
    assert_eq!(suggested.json()["suggestions"].as_array().map(Vec::len), Some(3));
    for _ in 0..17 {
        server.send("POST", "/api/examples/undo", json!({}));
    }
    assert_eq!(server.ask("POST", "/api/examples/undo", Some(&json!({}))).status, 400);
    assert_eq!(shown(&server.labelled()), shown(&words), "undone");

    // The whole scene as the command runs it.
    let run = server.send("POST", "/api/runs", json!({"outputs": {"report": true, "polygons": "plain"}}));
    assert_eq!(run["run"], 0);
    finished(&server, 0);
    let files = server.get("/api/runs/0/files").json()["files"].clone();
    let names: Vec<&str> = files.as_array().expect("files").iter().filter_map(|file| file["name"].as_str()).collect();
    for wanted in ["job.yaml", "scene_labels.tif", "scene_polygons.gpkg", "scene_report.html"] {
        assert!(names.contains(&wanted), "{names:?}");
    }
    let at = names.iter().position(|name| *name == "scene_labels.tif").expect("labels");
    work.write("downloaded.tif", server.get(&format!("/api/runs/0/files/{at}")).body);
    let downloaded: Vec<u8> = read_band(&Dataset::open(work.path("downloaded.tif")).expect("labels"), 1);
    assert!(downloaded == labels, "pixel by pixel what the command gives");

    // A restart is where it was.
    assert_eq!(server.end(), 0);
    let server = Served::start(&work, &["scene.tif"]);
    let again = server.labelled();
    assert_eq!((again["classes"].clone(), shown(&again)), (words["classes"].clone(), shown(&words)));
    assert_eq!(again["runs"][0]["state"], "finished");
    let wmts = String::from_utf8_lossy(&server.get("/wmts").body).into_owned();
    assert!(
        wmts.contains("<ows:Identifier>labels</ows:Identifier>")
            && wmts.contains(&format!("http://{}/tiles/scene/", server.address))
    );
}

#[test]
fn bands_and_wrong_classes() {
    let work = Workdir::new();
    scene(&work, "scene.tif");
    work.write(
        "job.yaml",
        "scene: scene.tif\nclasses: [sand, 'sea or lake,water']\nbands: [1, 2, 3]\noutputs: {margin: true}\n",
    );
    let server = Served::start(&work, &["job.yaml"]);
    let state = server.labelled();
    assert_eq!(state["classes"][1]["words"], json!(["sea or lake", "water"]));
    let look = server.send("PUT", "/api/look", json!({"bands": ["3", "2", "1"], "stretch": "percentile:1,99"}));
    let other = server.labelled();
    assert_eq!(look["revision"], other["revision"]);
    assert_ne!(shown(&other), shown(&state));
    server.send("POST", "/api/jobs", json!({"name": "other"}));
    work.ok(["run", "state/jobs/other.yaml", "--output", "out"]);
    assert_eq!(shown(&other), counts(&work.path("out/scene_labels.tif"), 2));
    assert!(work.path("out/scene_margin.tif").exists(), "the job's own outputs");

    for (method, target, body, sentence) in [
        ("PUT", "/api/classes", classes(&["a", "A"]), "two classes have the name"),
        ("PUT", "/api/classes", json!({"classes": [{"id": 1, "name": "a\u{7}"}]}), "the name of a class"),
        ("PUT", "/api/classes", json!({"classes": 3}), "invalid type"),
        ("PUT", "/api/classes", json!({"classes": [], "evil": 1}), "unknown field"),
        ("PUT", "/api/look", json!({"bands": ["9", "1", "1"]}), "band"),
        ("PUT", "/api/look", json!({"stretch": "sideways"}), "stretch"),
        ("POST", "/api/examples", json!({"scene": 7, "class": 1, "point": [0, 0]}), "no scene 7"),
        ("POST", "/api/examples", json!({"scene": 0, "class": 1, "point": [0, 0]}), "beside the scene"),
        ("POST", "/api/jobs", json!({"name": "../x"}), "the name of the job"),
        ("POST", "/api/jobs", json!({"name": "other"}), "already"),
        ("POST", "/api/runs", json!({"outputs": {"polygons": "castles"}}), "not a recipe"),
        ("PUT", "/api/background", json!({"xyz": "javascript:alert(1)"}), "background map"),
    ] {
        let answer = server.ask(method, target, Some(&body));
        let said = answer.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(answer.status == 400 && said.contains(sentence), "{target}: {} {said}", answer.status);
    }
    assert_eq!(server.get("/api/state").json()["revision"], other["revision"], "nothing has changed");
    let stale = json!({"classes": [], "revision": 1});
    assert_eq!(server.ask("PUT", "/api/classes", Some(&stale)).status, 409);
    assert!(!server.get("/api/job.yaml").body.is_empty());
    let second = work.run(["serve", "job.yaml", "--port", "0", "--state", "state"]);
    assert!(second.code == 1 && second.stderr.contains("another server uses the state folder"), "{}", second.stderr);
    assert_eq!(server.end(), 0);
}

#[test]
fn hostile_requests_are_refused() {
    let work = Workdir::new();
    scene(&work, "scene.tif");
    work.write("secret.txt", "secret");
    let server = Served::start(&work, &["scene.tif"]);
    let host = server.address;
    let status = |head: &str, body: &str| {
        let text = format!("{head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        server.raw(text.as_bytes()).map_or(0, |answer| {
            assert!(!answer.body.windows(6).any(|part| part == b"secret"), "{head}");
            answer.status
        })
    };
    // Paths.
    for path in [
        "/../secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e/secret.txt",
        "/tiles/../secret.txt",
        "//secret.txt",
        "/api/runs/0/files/../../secret.txt",
        "/tiles/scene/0/0/0.png/../../../../secret.txt",
        "/api/%00",
        "/session.json",
        "/state/session.json",
        "/.lock",
        "/tiles/scene/0/0/-1.png",
        "/tiles/scene/99/0/0.png",
        "/tiles/scene/3/18446744073709551616/0.png",
        "/tiles/scene-18446744073709551615/0/0/0.png",
        "/tiles/evil/0/0/0.png",
        "/api/runs/99/files",
        "/api/scenes/9/values?x=1&y=2",
        "/api/scenes/0/values?x=NaN&y=2",
        "/api/scenes/0/values",
    ] {
        let found = status(&format!("GET {path} HTTP/1.1\r\nhost: {host}"), "");
        assert!((400..500).contains(&found), "{path}: {found}");
    }
    // Methods.
    for method in ["TRACE", "CONNECT", "OPTIONS", "PATCH", "PROPFIND", "get", "X"] {
        let found = status(&format!("{method} /api/state HTTP/1.1\r\nhost: {host}"), "");
        assert!((400..500).contains(&found), "{method}: {found}");
    }
    assert_eq!(
        status(&format!("DELETE /api/state HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json"), ""),
        405
    );
    // Hosts and origins.
    for head in [
        "GET / HTTP/1.1\r\nhost: evil.example".to_owned(),
        "GET / HTTP/1.1".to_owned(),
        format!("GET / HTTP/1.1\r\nhost: {host}.evil.example"),
        format!("GET /api/state HTTP/1.1\r\nhost: {host}\r\norigin: http://evil.example"),
        format!("GET /tiles/scene/0/0/0.png HTTP/1.1\r\nhost: {host}\r\nsec-fetch-site: cross-site"),
        format!("POST /api/runs HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\norigin: null"),
        format!(
            "POST /api/runs HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\norigin: http://{host}.evil.example"
        ),
    ] {
        let found = status(&head, "");
        assert!(matches!(found, 400 | 403), "{head}: {found}");
    }
    assert_eq!(status(&format!("POST /api/runs HTTP/1.1\r\nhost: {host}\r\ncontent-type: text/plain"), "{}"), 415);
    // Sizes.
    let long = "x".repeat(100_000);
    assert!(matches!(status(&format!("GET /{long} HTTP/1.1\r\nhost: {host}"), ""), 0 | 414 | 431 | 400));
    assert!(matches!(status(&format!("GET / HTTP/1.1\r\nhost: {host}\r\nx: {long}"), ""), 0 | 431 | 400));
    let put = format!("PUT /api/classes HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json");
    assert_eq!(status(&put, &"[".repeat(2 << 20)), 413);
    assert_eq!(status(&put, &"[".repeat(500_000)), 400);
    let many: Vec<Value> = (0..5000).map(|id| json!({"id": id, "name": id.to_string()})).collect();
    assert_eq!(status(&put, &json!({"classes": many}).to_string()), 400);
    for body in ["", "null", "[]", "{\"classes\": null}", "\u{0}", "{\"classes\": [{\"id\": -1, \"name\": \"a\"}]}"] {
        assert_eq!(status(&put, body), 400, "{body}");
    }
    // Bytes that are no HTTP.
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\r\n\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        &[0; 4096],
    ] {
        let answer = server.raw(bytes);
        assert!(answer.is_none_or(|answer| answer.status >= 400));
    }
    // A body that does not come, on many connections: all of them end, and others are answered meanwhile.
    let slow: Vec<TcpStream> = (0..40)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address).expect("a connection");
            stream.write_all(format!("{put}\r\ncontent-length: 100\r\n\r\n[").as_bytes()).expect("a beginning");
            stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            stream
        })
        .collect();
    server.get("/api/state");
    for mut stream in slow {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
    }
    let page = server.get("/");
    assert!(page.head.contains("content-security-policy: default-src 'none'; script-src 'self'"), "{}", page.head);
    assert!(page.head.contains("x-content-type-options: nosniff"));
    server.labelled();
    assert_eq!(server.end(), 0);
}

#[test]
fn another_address_needs_a_token() {
    let work = Workdir::new();
    scene(&work, "scene.tif");
    let said = work.refused("serve scene.tif --host 0.0.0.0 --port 0");
    assert!(said.contains("there is no token"), "{said}");
    let said = work.refused("serve scene.tif --token short --port 0");
    assert!(said.contains("the token has 5 characters"), "{said}");
    let said = work.refused("serve scene.tif --model fake:identity --port 0");
    assert!(said.contains("no image tower"), "{said}");
    let said = work.refused("serve missing.tif --port 0");
    assert!(said.contains("missing.tif"), "{said}");

    let token = "0123456789abcdef";
    let server = Served::start(&work, &["scene.tif", "--token", token]);
    assert_eq!(server.ask("GET", "/", None).status, 401);
    assert_eq!(server.ask("GET", "/api/state?token=0123456789abcdeg", None).status, 401);
    let page = server.get(&format!("/?token={token}"));
    assert!(
        page.head.contains(&format!("set-cookie: segearth_token={token}; path=/; httponly; samesite=strict")),
        "{}",
        page.head
    );
    let with =
        format!("GET /api/state HTTP/1.1\r\nhost: x:1\r\nconnection: close\r\ncookie: segearth_token={token}\r\n\r\n");
    assert_eq!(server.raw(with.as_bytes()).map(|answer| answer.status), Some(200));
}
