//! The pages and pictures of a job: what is in them, and whether a browser does with them what a reader wants.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use segearth_testing::skipped;

use crate::scenes::noise_scene;
use crate::workdir::Workdir;

const HOSTILE: &str = "</script><script>document.title='owned'</script>";

/// A finished job with a hostile class, the page of it.
fn page(work: &Workdir) -> (PathBuf, String) {
    noise_scene(&work.path("a<b>&c.tif"), 300, 200);
    let job = format!(
        "model: fake:identity\nscene: a<b>&c.tif  # {HOSTILE}\nclasses:\n  - name: red\n    colour: '#c80000'\n  \
         - {{name: \"{HOSTILE}\", prompts: [green], colour: '#00c800'}}\n  - {{name: blue, colour: '#0000c8'}}\n\
         outputs: {{folder: out, preview: true, report: page.html}}\n"
    );
    work.write("job.yaml", job);
    let ran = work.ok(["run", "job.yaml", "--set", "tiling.stride=100"]);
    assert!(ran.stdout.contains("report   out/page.html"), "{}", ran.stdout);
    let path = work.path("out/page.html");
    let html = std::fs::read_to_string(&path).expect("a page");
    (path, html)
}

#[test]
fn the_page_holds_the_job_and_how_it_came_to_be() {
    let work = Workdir::new();
    let (path, html) = page(&work);
    assert!(!html.contains(HOSTILE) && html.matches("<script").count() == 1, "a name is a name");
    for expected in [
        "a&#60;b&#62;&#38;c.tif",
        "EPSG:25832",
        "300 × 200 pixels",
        "Stretch used",
        "model: fake:identity",
        "# --set tiling.stride=100",
        "stride 100",
        "<dt>Device</dt><dd>cpu</dd>",
        "class=\"scale\"",
    ] {
        assert!(html.contains(expected), "{expected} is not in the page");
    }
    assert!(work.path("out/a<b>&c_preview.png").exists());
    let bytes = std::fs::read(&path).expect("a page");
    work.ok(["run", "job.yaml", "--set", "tiling.stride=100"]);
    assert!(std::fs::read(&path).expect("a page") == bytes, "the same job gives the same page");
}

const PROBE: &str = include_str!("probe.js");

/// What the probe finds in a frame as wide as a telephone.
#[test]
fn a_browser_swipes_and_toggles() {
    let Some(browser) = browser() else { return };
    let work = Workdir::new();
    let (path, html) = page(&work);
    // The page's own policy runs no script but its own, which is the point of it: the probe needs a copy without.
    let policy = html.find("<meta http-equiv").expect("a policy");
    let end = policy + html[policy..].find('>').expect("its end") + 1;
    let probed =
        format!("{}{}", &html[..policy], &html[end..]).replace("</body>", &format!("<script>{PROBE}</script></body>"));
    work.write("out/probed.html", probed);
    work.write(
        "out/frame.html",
        "<pre id=found></pre><script>onmessage = (m) => { found.textContent = m.data; };</script>\
         <iframe src='probed.html' style='width:390px;height:844px;border:0'></iframe>",
    );
    let dom = dump(&browser, &work, &work.path("out/frame.html"));
    let found = dom.split("<pre id=\"found\">").nth(1).and_then(|rest| rest.split("</pre>").next()).unwrap_or(&dom);
    insta::assert_snapshot!(found, @r"
    title=a&lt;b&gt;&amp;c.tif · segearth
    width=390
    picture=150 300
    start=50 50
    pressed=25
    dragged=80
    released=80
    key=78
    end=100
    classes=3
    all=0/0/200 0/200/0 200/0/0
    without 1=0/0/200 200/0/0 clear
    none=clear
    again=0/0/200 0/200/0 200/0/0
    opacity=0.2
    ");

    // The page as it is: a script that somebody puts in does not run, the page's own does.
    let intruded = html.replace("</body>", "<script>document.title = 'owned'</script></body>");
    let dom = dump(&browser, &work, &work.write("out/intruded.html", intruded));
    assert!(dom.contains("<title>a&lt;b&gt;&amp;c.tif · segearth</title>"), "{}", &dom[..600]);
    assert!(dom.contains("75 %"), "the page's own script has run");
    assert!(path.exists());
}

/// Returns Chromium or Chrome where one is installed (Debian: `apt install chromium`); else records the test as skipped.
fn browser() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let found = folders.iter().flat_map(|folder| names.map(|name| folder.join(name))).find(|path| path.is_file());
    if found.is_none() {
        skipped("no Chromium");
    }
    found
}

/// The document as it is once the page is at rest, without any network.
fn dump(browser: &Path, work: &Workdir, page: &Path) -> String {
    let profile = work.path("profile");
    let address = format!("file://{}", page.display());
    let out = work.path("dom.html");
    let flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"];
    let mut child = Command::new(browser)
        .args(flags)
        .args(["--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=20000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(address)
        .env("HOME", work.path("home"))
        .stdout(std::fs::File::create(&out).expect("a file for the document"))
        .stderr(Stdio::null())
        .spawn()
        .expect("the browser starts");
    let started = Instant::now();
    while child.try_wait().expect("a child").is_none() {
        if started.elapsed() > Duration::from_secs(180) {
            let _ = child.kill();
            panic!("the browser did not come to an end");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    std::fs::read_to_string(&out).expect("a document")
}
