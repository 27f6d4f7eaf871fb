//! The page of the web application in a real browser, driven by ChromeDriver as a user would: typed, clicked, saved, run.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use gdal::Dataset;
use segearth_testing::skipped;
use serde_json::{Value, json};

use crate::scenes::read_band;
use crate::serve::{Served, classes, scene, scene_at};
use crate::workdir::Workdir;

const PATIENCE: Duration = Duration::from_secs(300);
/// Where screenshots are kept, for people to look at.
const PICTURES: &str = "SEGEARTH_SCREENSHOTS";
/// The key of an element in WebDriver's answers.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A program of this name on the path.
fn program(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
}

struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.call("DELETE", "", None);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Browser {
    /// A window of this size; `None`: there is no browser, which the test's record says.
    fn open(work: &Workdir, dark: bool) -> Option<Self> {
        let (Some(driver), Some(browser)) = (program("chromedriver"), program("chromium")) else {
            skipped("no Chromium with ChromeDriver (Debian: chromium chromium-driver)");
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let driver = Command::new(driver)
            .arg(format!("--port={port}"))
            .env("HOME", work.path("home"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the driver starts");
        let mut this = Self { driver, port, session: String::new() };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < PATIENCE, "the driver does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-quic",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,800",
        ]
        .map(str::to_owned)
        .to_vec();
        args.push(format!("--user-data-dir={}", work.path("profile").display()));
        if dark {
            args.push("--force-dark-mode".to_owned());
            args.push("--blink-settings=preferredColorScheme=0".to_owned());
        }
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"binary": browser, "args": args}, "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let answer = this.http("POST", "/session", Some(&wanted));
        this.session = answer["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {answer}")).to_owned();
        Some(this)
    }

    fn http(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            self.port,
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).expect("a request");
        // The driver keeps connections open, whatever it is asked.
        let mut reader = BufReader::new(stream);
        let (mut length, mut line) = (0, String::new());
        while reader.read_line(&mut line).expect("a line") > 2 {
            let value = line.to_ascii_lowercase().strip_prefix("content-length:").map(|value| value.trim().to_owned());
            length = value.map_or(length, |value| value.parse().expect("a length"));
            line.clear();
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a whole answer");
        let answer: Value = serde_json::from_slice(&body).expect("JSON");
        assert!(answer["value"]["error"].is_null(), "{method} {path}: {answer:#}");
        answer["value"].clone()
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        self.http(method, &format!("/session/{}{path}", self.session), body)
    }

    fn go(&self, address: &str) {
        self.call("POST", "/url", Some(&json!({"url": address})));
    }

    fn script(&self, text: &str) -> Value {
        self.call("POST", "/execute/sync", Some(&json!({"script": text, "args": []})))
    }

    #[track_caller]
    fn until(&self, what: &str, condition: &str) {
        let started = Instant::now();
        while self.script(&format!("return Boolean({condition});")) != true {
            let state = self.script("return JSON.stringify({state, text: document.body.innerText});");
            assert!(started.elapsed() < PATIENCE, "{what}: {state}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Waits until all that is in view is labelled with the latest classes, and drawn.
    #[track_caller]
    fn labelled(&self) {
        self.until(
            "labelled",
            "state && !unsent && state.ready && state.labels.known === state.labels.all && map.isCurrent",
        );
    }

    fn element(&self, selector: &str) -> String {
        let found = self.call("POST", "/element", Some(&json!({"using": "css selector", "value": selector})));
        found[ELEMENT].as_str().unwrap_or_else(|| panic!("no element {selector}: {found}")).to_owned()
    }

    fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.call("POST", &format!("/element/{element}/click"), Some(&json!({})));
    }

    fn keys(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.call("POST", &format!("/element/{element}/value"), Some(&json!({"text": text})));
    }

    /// Presses the mouse on the map, at a distance from its middle.
    fn press(&self, right: i64, down: i64) {
        let canvas = json!({ELEMENT: self.element("#map")});
        let moved = json!({"type": "pointerMove", "duration": 20, "x": right, "y": down, "origin": canvas});
        let steps = [moved, json!({"type": "pointerDown", "button": 0}), json!({"type": "pointerUp", "button": 0})];
        let actions = json!({"actions": [{"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": steps}]});
        self.call("POST", "/actions", Some(&actions));
    }

    fn size(&self, width: u32, height: u32) {
        // Windows do not become narrower than 500 pixels; what is emulated does.
        let metrics = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        }});
        self.call("POST", "/goog/cdp/execute", Some(&metrics));
    }

    /// A picture of the page, for people.
    fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os(PICTURES) else { return };
        let picture = self.call("GET", "/screenshot", None);
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(picture.as_str().expect("a picture")).expect("base64");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(Path::new(&folder).join(name), bytes).expect("a picture");
    }
}

/// What a page must have for those who do not see it, or see it on a phone.
const FAULTS: &str = "
const faults = [];
for (const it of document.querySelectorAll('input, select, button, canvas, progress')) {
  const text = it.getAttribute('aria-label') || [...(it.labels || [])].map((label) => label.textContent).join('') || it.textContent;
  if (!text.trim() && it.offsetParent) faults.push('no name: ' + it.outerHTML);
}
if (document.documentElement.scrollWidth > innerWidth) faults.push('wider than the window: ' + document.documentElement.scrollWidth);
for (const it of document.querySelectorAll('aside *')) {
  const box = it.getBoundingClientRect();
  if (box.width && getComputedStyle(it).clipPath === 'none' && box.right > innerWidth + 1) faults.push('cut: ' + it.outerHTML.slice(0, 120));
}
return faults;";

#[test]
fn an_analyst_types_clicks_saves_and_runs() {
    let work = Workdir::new();
    scene(&work, "scene.tif");
    let Some(browser) = Browser::open(&work, false) else { return };
    let server = Served::start(&work, &["scene.tif"]);
    browser.size(1280, 800);
    browser.go(&format!("http://{}/", server.address));
    browser.labelled();
    assert_eq!(browser.script("return document.querySelectorAll('#classes li').length"), 5);
    browser.picture("desktop.png");
    assert_eq!(browser.script(FAULTS), json!([]));

    // Types a class, sees labels change.
    let before = browser.script("return [state.revision, state.labels.classes.map((it) => it.pixels).join()]");
    browser.keys("#new-class", "airport, runway\u{e007}");
    browser.until("the class is there", "state.classes.length === 6");
    browser.labelled();
    let after = browser.script("return [state.revision, state.labels.classes.map((it) => it.pixels).join()]");
    assert!(before[1] != after[1], "{before} {after}");
    browser.keys("#classes li:nth-child(2) .words", ", bridge");
    browser.until("the word is there", "state.classes[1].words.includes('bridge')");
    browser.labelled();

    // Clicks three examples, sees them change.
    browser.click("#classes li:nth-child(6) .pick");
    browser.click("[name=tool][value=point]");
    for (right, down) in [(-60, -40), (30, 50), (70, -70)] {
        browser.press(right, down);
    }
    browser.click("#classes li:nth-child(1) .pick");
    browser.press(-90, 80);
    browser.press(-20, 90);
    browser.until("the examples are there", "state.examples.length === 5");
    browser.labelled();
    browser.picture("examples.png");

    // Reads values by the keyboard alone.
    browser.keys("#map", "v");
    browser.until("values are shown", "!of('values').hidden && of('values').innerText.includes('margin')");
    browser.keys("#map", "+");
    browser.until("the map is drawn", "map.isCurrent");

    // Saves the job; the command line gives the same labels.
    browser.keys("#job-name", "mine");
    browser.click("#save");
    browser.until("the job is saved", "of('saved').innerText.includes('segearth run')");
    browser.labelled();
    let shown = browser.script("return state.labels.classes.map((it) => it.pixels)");
    work.ok(["run", "state/jobs/mine.yaml", "--output", "out"]);
    let labels: Vec<u8> = read_band(&Dataset::open(work.path("out/scene_labels.tif")).expect("labels"), 1);
    let counts: Vec<usize> =
        (0..6).map(|class| labels.iter().filter(|label| usize::from(**label) == class).count()).collect();
    assert_eq!(shown, json!(counts));

    browser.click("#run");
    browser.until("the run has finished", "state.runs[0] && state.runs[0].state === 'finished'");
    browser.until("its files are listed", "document.querySelectorAll('#runs a').length > 2");
    browser.script("of('swipe').value = 50; of('swipe').dispatchEvent(new Event('input'));");
    browser.picture("swipe.png");
    browser.size(390, 844);
    browser.until("the map is drawn", "map.isCurrent");
    browser.picture("phone.png");
    assert_eq!(browser.script(FAULTS), json!([]));
    browser.script("document.querySelector('details').open = true; scrollTo(0, 1e6);");
    browser.picture("phone-below.png");
    assert_eq!(browser.script(FAULTS), json!([]));
    let log = browser.call("POST", "/se/log", Some(&json!({"type": "browser"})));
    let bad: Vec<&Value> = log.as_array().into_iter().flatten().filter(|entry| entry["level"] == "SEVERE").collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn the_page_is_dark_where_the_user_wants_it() {
    let work = Workdir::new();
    scene(&work, "scene.tif");
    let Some(browser) = Browser::open(&work, true) else { return };
    let server = Served::start(&work, &["scene.tif"]);
    browser.size(1280, 800);
    browser.go(&format!("http://{}/", server.address));
    browser.labelled();
    let colour = browser.script("return getComputedStyle(document.querySelector('aside')).backgroundColor");
    assert_eq!(colour, "rgb(30, 35, 39)");
    browser.picture("dark.png");
}

#[test]
fn outlines_and_changes_are_drawn() {
    let work = Workdir::new();
    scene(&work, "before.tif");
    scene_at(&work, "later.tif", 500_020.0, 1.0);
    let Some(browser) = Browser::open(&work, true) else { return };
    let server = Served::start(&work, &["before.tif", "later.tif"]);
    server.send("PUT", "/api/classes", classes(&["water", "sand", "sea or lake"]));
    browser.size(1280, 800);
    browser.go(&format!("http://{}/", server.address));
    browser.labelled();
    let choose = |id: &str, value: &str| {
        browser.script(&format!("of('{id}').value = '{value}'; of('{id}').dispatchEvent(new Event('change'));"));
    };
    choose("outlines", "plain");
    browser.until("outlines are drawn", "map.outlines.length > 1 && map.isCurrent");
    browser.picture("outlines.png");
    assert_eq!(browser.script(FAULTS), json!([]));
    // A recipe that finds none of its classes says so beside the choice.
    choose("outlines", "buildings");
    browser.until("a reason is given", "of('layers-note').textContent.includes('no class called building')");
    choose("outlines", "");
    browser.until("they are gone", "map.outlines.length === 0 && !of('layers-note').textContent");

    choose("scene", "1");
    browser
        .until("the other scene is offered", "scene === 1 && [...of('since').options].some((it) => it.value === '0')");
    browser.labelled();
    choose("since", "0");
    let listed = "changes && changes.ready && document.querySelectorAll('#transitions li').length > 1 && map.isCurrent";
    browser.until("changes are listed", listed);
    browser.picture("changes.png");
    assert_eq!(browser.script("return map.layers[map.layers.length - 1].id"), "change-1-0");
    assert_eq!(browser.script(FAULTS), json!([]));
    browser.size(390, 844);
    browser.until("the map is drawn", listed);
    browser.picture("changes-phone.png");
    browser.script("document.querySelector('aside').scrollIntoView();");
    browser.picture("changes-phone-below.png");
    assert_eq!(browser.script(FAULTS), json!([]));
    let log = browser.call("POST", "/se/log", Some(&json!({"type": "browser"})));
    // The recipe that was refused is in the browser's log.
    let expected =
        |entry: &&Value| entry["message"].as_str().is_some_and(|text| text.contains("outlines?recipe=buildings"));
    let bad: Vec<&Value> =
        log.as_array().into_iter().flatten().filter(|entry| entry["level"] == "SEVERE" && !expected(entry)).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn a_report_zooms_and_moves() {
    let work = Workdir::new();
    scene(&work, "scene.tif");
    let Some(browser) = Browser::open(&work, false) else { return };
    work.write(
        "job.yaml",
        "scene: scene.tif\nmodel: fake:identity\nclasses: [sand, road, grass]\noutputs: {report: true, polygons: true}\n",
    );
    work.ok(["run", "job.yaml", "--output", "out"]);
    browser.size(1280, 800);
    browser.go(&format!("file://{}", work.path("out/scene_report.html").display()));
    let stage = "const stage = document.getElementById('stage'), of = (name) => parseFloat(stage.style.getPropertyValue(name));";
    let view = || browser.script(&format!("{stage} return [of('--zoom'), of('--x'), of('--y')];"));
    let zoom = || view()[0].as_f64().expect("a zoom");
    let near = |a: f64, b: f64| (a - b).abs() < 1e-6 * b.abs().max(1.0);
    // What lies in the middle of the stage, as a share of the picture.
    let middle = || {
        browser.script(&format!(
            "{stage} return [(stage.clientWidth / 2 - of('--x')) / (of('--fit-x') * stage.clientWidth * of('--zoom')), \
             (stage.clientHeight / 2 - of('--y')) / (of('--fit-y') * stage.clientHeight * of('--zoom'))];"
        ))
    };
    assert!(near(zoom(), 1.0), "{}", view());
    let before = middle();
    browser.click("#in");
    browser.click("#in");
    assert!(near(zoom(), 1.6 * 1.6), "{}", view());
    for axis in [0, 1] {
        let (was, is) = (before[axis].as_f64().expect("a share"), middle()[axis].as_f64().expect("a share"));
        assert!((was - is).abs() < 0.01, "the middle stays: {was} {is}");
    }
    browser.picture("report-zoomed.png");
    // Dragged by the mouse.
    let held = view();
    let steps = json!([
        // Beside the handle.
        {"type": "pointerMove", "duration": 0, "x": 150, "y": 90, "origin": {ELEMENT: browser.element("#stage")}},
        {"type": "pointerDown", "button": 0},
        {"type": "pointerMove", "duration": 50, "x": 60, "y": -40, "origin": "pointer"},
        {"type": "pointerUp", "button": 0},
    ]);
    let mouse = json!({"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": steps});
    browser.call("POST", "/actions", Some(&json!({"actions": [mouse]})));
    let moved = |axis: usize| view()[axis].as_f64().zip(held[axis].as_f64()).map(|(is, was)| (is - was).round());
    assert_eq!((moved(1), moved(2)), (Some(60.0), Some(-40.0)), "{held} {}", view());
    // The wheel, once the map has the focus; the page does not scroll meanwhile.
    let wheel = |delta: i64| {
        let origin = json!({ELEMENT: browser.element("#stage")});
        let scroll =
            json!({"type": "scroll", "x": 0, "y": 0, "deltaX": 0, "deltaY": delta, "duration": 0, "origin": origin});
        browser.call(
            "POST",
            "/actions",
            Some(&json!({"actions": [{"type": "wheel", "id": "wheel", "actions": [scroll]}]})),
        );
    };
    let enlarged = zoom();
    wheel(-300);
    assert!(zoom() > 1.5 * enlarged, "{}", view());
    assert_eq!(browser.script("return scrollY"), 0);
    // By the keyboard; nothing is smaller than the whole, nor larger than 40 times.
    browser.keys("#stage", "0");
    assert!(near(zoom(), 1.0), "{}", view());
    browser.keys("#stage", "+");
    assert!(near(zoom(), 1.6), "{}", view());
    browser.keys("#stage", "----");
    assert!(near(zoom(), 1.0), "{}", view());
    browser.keys("#stage", &"+".repeat(20));
    assert!(near(zoom(), 40.0), "{}", view());
    browser.click("#whole");
    assert!(near(zoom(), 1.0), "{}", view());
    browser.size(390, 844);
    browser.script("dispatchEvent(new Event('resize'));");
    assert_eq!(browser.script("return document.documentElement.scrollWidth <= innerWidth"), true);
    browser.picture("report-phone.png");
}
