//! What programs read: the log and the summaries as JSON lines, the file of metrics; and that neither memory nor open files
//! tell how many scenes a process has done.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use fancy_regex::Regex;
use serde_json::Value;

use crate::bundles::{Upsampler, small_bundle};
use crate::scenes::{noise_scene, place, write_bands};
use crate::workdir::Workdir;

const JOB: &str = "scene: '*.tif'\nmodel: fake:identity\nclasses: [red, green, blue]\nmethod: {logit_scale: 0.05}\n\
                   tiling: {window: 64, stride: 32}\noutputs: {folder: out, polygons: a.fgb}\n";

/// The objects of a log; each line must be one, with a moment, a level, an event and a message before all else.
#[track_caller]
fn objects(said: &str) -> Vec<Value> {
    let beginning = r#"^\{"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z","level":"(error|info|debug|trace)","event":"\w+","message":""#;
    let beginning = Regex::new(beginning).expect("a pattern");
    let lines = said.lines().map(|line| {
        assert!(beginning.is_match(line).expect("a match"), "{line}");
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    });
    lines.collect()
}

/// A log without what differs from run to run.
fn steady(said: &str, work: &Workdir) -> String {
    let said = said.replace(&work.path("").display().to_string(), "WORK/");
    let moving = Regex::new(r#""(time|rate|seconds)":("[^"]*"|[0-9.e-]+)"#).expect("a pattern");
    moving.replace_all(&said, r#""$1":_"#).into_owned()
}

fn events<'a>(objects: &'a [Value], event: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["event"] == event).collect()
}

/// A scene with nodata in its upper left, where whole windows have nothing else.
fn scene(path: &Path) {
    let (width, height) = (160, 200);
    let value = |band: usize, at: usize| match (at % width, at / width) {
        (col, row) if col < 100 && row < 100 => 0,
        (col, row) => 1 + ((col / 16 + row / 16 + band) % 3 * 100) as u8,
    };
    let bands: Vec<Vec<u8>> = (0..3).map(|band| (0..width * height).map(|at| value(band, at)).collect()).collect();
    write_bands(path, (width, height), &bands, |dataset| {
        place(dataset);
        for band in 1..=3 {
            dataset.rasterband(band).expect("a band").set_no_data_value(Some(0.0)).expect("nodata");
        }
    });
}

#[test]
fn a_finished_scene_is_told_in_objects() {
    let work = Workdir::new();
    scene(&work.path("scene.tif"));
    work.write("job.yaml", JOB);
    let ran = work.ok(["run", "job.yaml", "--log", "json", "-v"]);
    let (log, result) = (objects(&ran.stderr), objects(&ran.stdout));
    assert_eq!(events(&log, "progress").last().map(|last| &last["done"]), Some(&Value::from(24)));
    assert_eq!(result.len(), 1);
    insta::assert_snapshot!(steady(&ran.stderr, &work), @r#"{"time":_,"level":"info","event":"progress","message":"segmenting scene.tif: 24 of 24 windows","label":"segmenting scene.tif","done":24,"total":24,"unit":"windows","rate":_,"seconds":_}"#);
    insta::assert_snapshot!(steady(&ran.stdout, &work), @r##"{"time":_,"level":"info","event":"summary","message":"scene.tif is finished","scene":"scene.tif","width":160,"height":200,"windows":20,"empty_windows":4,"seconds":_,"device":"cpu","classes":[{"name":"red","colour":"#e69f00","pixels":7296,"square_metres":1824.452},{"name":"green","colour":"#56b4e9","pixels":7296,"square_metres":1824.452},{"name":"blue","colour":"#cc79a7","pixels":7408,"square_metres":1852.459}],"nodata_pixels":10000,"nodata_square_metres":2500.619,"outputs":[{"what":"labels","path":"out/scene_labels.tif"},{"what":"polygons","path":"out/a.fgb","detail":"94 polygons"}]}"##);
    // The environment asks for it too, and what is finished is said.
    let ran = work.run_with(["run", "job.yaml"], &[("SEGEARTH_LOG", "json")]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    insta::assert_snapshot!(steady(&ran.stderr, &work), @r#"{"time":_,"level":"info","event":"note","message":"scene.tif is finished, by an earlier run of this job; --overwrite computes it again."}"#);
    assert!(!objects(&ran.stderr).is_empty());
    // The command line has the last word; quiet is quiet.
    let ran = work.run_with(["run", "job.yaml", "--log", "text"], &[("SEGEARTH_LOG", "json")]);
    assert!(ran.stderr.starts_with("note: "), "{}", ran.stderr);
    let ran = work.ok("run job.yaml --overwrite --log json -q".split(' '));
    assert_eq!((ran.stdout, ran.stderr), (String::new(), String::new()));
}

#[test]
fn what_is_refused_is_one_object() {
    let work = Workdir::new();
    scene(&work.path("scene.tif"));
    work.write("job.yaml", JOB.replace("stride", "strid"));
    for quiet in ["", " -q", " -v", " -vv"] {
        let said = work.refused(&format!("run job.yaml --log json{quiet}"));
        let log = objects(&said);
        assert_eq!((log.len(), &log[0]["event"]), (1, &Value::from("error")), "{said}");
    }
    insta::assert_snapshot!(steady(&work.refused("run job.yaml --log json"), &work), @r#"{"time":_,"level":"error","event":"error","message":"unknown key `strid` in `tiling`\n  --> job.yaml:5:22\n  |\n5 | tiling: {window: 64, strid: 32}\n  |                      ^^^^^","kind":"input","exit_code":1,"causes":[],"hint":"Did you mean `stride`?"}"#);
    // So are a command line that cannot be read, and a value of the environment.
    let said = work.refused("run job.yaml --log=json --nonsense");
    insta::assert_snapshot!(steady(&said, &work), @r#"{"time":_,"level":"error","event":"error","message":"unexpected argument '--nonsense' found","kind":"input","exit_code":1,"causes":[],"hint":"tip: to pass '--nonsense' as a value, use '-- --nonsense'\n\nUsage: segearth run --log <text|json> <JOB.yaml>\n\nFor more information, try '--help'."}"#);
    for words in ["--log json", "run --log json", "run job.yaml --log json --memory much", "--log json frobnicate"] {
        let said = work.refused(words);
        assert_eq!(objects(&said).len(), 1, "{said}");
    }
    let ran = work.run_with(["run", "job.yaml"], &[("SEGEARTH_LOG", "xml")]);
    assert_eq!(ran.code, 1);
    insta::assert_snapshot!(ran.stderr, @r#"
    error: SEGEARTH_LOG is "xml"; it must be text or json

    hint: Correct or unset the variable, or use --log, which overrides it.
    "#);
}

/// A server that has nothing; gives its port.
fn empty_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut asked = [0; 4096];
            // A client that went away is no concern of the server's.
            let _ = stream.read(&mut asked);
            let _ = stream.write_all(b"HTTP/1.1 404 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    port
}

#[test]
fn what_opens_an_address_reaches_no_log() {
    let work = Workdir::new();
    work.write("job.yaml", JOB);
    let port = empty_server();
    let address = format!("http://me:secret@127.0.0.1:{port}/a.tif?sig=secret");
    let query = format!("/vsicurl?header.Authorization=secret&url=http%3A%2F%2F127.0.0.1%3A{port}%2Fa.tif");
    for input in [address, query] {
        for words in ["run job.yaml -vv", "check job.yaml --log json", "run job.yaml -vv --log json"] {
            let said = work.refused_args(words.split(' ').chain(["--input", &input]));
            assert!(said.contains('…') && !said.contains("secret"), "{said}");
            let heard = if words.contains("json") { events(&objects(&said), "gdal").len() } else { 0 };
            assert_eq!(heard > 0, words.contains("-vv --log json"), "{said}");
        }
    }
}

/// The numbers of a file of metrics by their series; its form is looked at.
#[track_caller]
fn metrics(path: &Path) -> BTreeMap<String, f64> {
    let text = fs::read_to_string(path).expect("metrics");
    let run = path.file_stem().expect("a name").to_string_lossy().into_owned();
    let (mut found, mut family, mut lines) = (BTreeMap::new(), "", 0);
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            family = rest.split(' ').next().expect("a name");
            lines = 0;
            continue;
        }
        lines += 1;
        if lines == 1 {
            let (gauge, counter) = (format!("# TYPE {family} gauge"), format!("# TYPE {family} counter"));
            assert!(line == gauge || line == counter, "{line}");
            assert_eq!(line == counter, family.ends_with("_total"), "{line}");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let labels = series.strip_prefix(family).expect("a series of its family");
        assert!(labels.starts_with(&format!("{{run=\"{run}\"")) && labels.ends_with('}'), "{line}");
        let short = series
            .replace("segearth_", "")
            .replace(&format!("run=\"{run}\","), "")
            .replace(&format!("{{run=\"{run}\"}}"), "");
        assert!(found.insert(short, value.parse().expect("a number")).is_none(), "{line} comes twice");
    }
    found
}

#[test]
fn the_metrics_are_those_of_the_run() {
    let work = Workdir::new();
    scene(&work.path("a.tif"));
    fs::copy(work.path("a.tif"), work.path("b.tif")).expect("another scene");
    work.write("job.yaml", JOB.replace("a.fgb", "true"));
    let ran = work.ok("run job.yaml --log json --metrics city.prom".split(' '));
    let found = metrics(&work.path("city.prom"));
    let summaries = objects(&ran.stdout);
    let sum = |key: &str| summaries.iter().map(|scene| scene[key].as_f64().expect("a number")).sum::<f64>();
    assert_eq!(found[r#"windows_total{outcome="computed"}"#], sum("windows"));
    assert_eq!(found[r#"windows_total{outcome="empty"}"#], sum("empty_windows"));
    assert!(sum("empty_windows") > 0.0 && sum("windows") > 0.0);
    assert_eq!(found["job_windows"], sum("windows") + sum("empty_windows"));
    assert_eq!(
        (found["job_scenes"], found[r#"scenes_total{outcome="finished"}"#], found["rows_total"]),
        (2.0, 2.0, 400.0)
    );
    assert_eq!((found[r#"state{state="finished"}"#], found[r#"state{state="running"}"#]), (1.0, 0.0));
    assert_eq!(found[r#"queue_batches{queue="model"}"#] + found[r#"queue_batches{queue="stitcher"}"#], 0.0);
    assert!(found["windows_per_second"] > 0.0);
    assert!(found["resident_memory_bytes"] > 1e6 && found["peak_memory_bytes"] >= found["resident_memory_bytes"]);
    assert!(found["update_time_seconds"] >= found["start_time_seconds"] && found["start_time_seconds"] > 1.7e9);

    // Again: all is there.
    work.ok("run job.yaml --metrics city.prom".split(' '));
    let again = metrics(&work.path("city.prom"));
    assert_eq!(
        (again[r#"scenes_total{outcome="earlier"}"#], again[r#"windows_total{outcome="computed"}"#]),
        (2.0, 0.0)
    );
    assert_eq!(again[r#"windows_total{outcome="earlier"}"#], again["job_windows"]);

    // Shards share the windows; those at a border are computed on both sides of it.
    let mut shares = [0.0; 2];
    for shard in 1..=2 {
        let words = format!("run job.yaml --input a.tif --output parts --shard {shard}/2 --metrics {shard}.prom");
        work.ok(words.split(' '));
        let found = metrics(&work.path(&format!("{shard}.prom")));
        let done = |outcome: &str| found[&format!("windows_total{{outcome=\"{outcome}\"}}")];
        let done: f64 = ["computed", "empty", "failed", "earlier"].map(done).iter().sum();
        assert_eq!((found["job_windows"], found["job_scenes"]), (done, 1.0), "{found:?}");
        shares[shard - 1] = found["rows_total"];
    }
    assert!(shares[0] + shares[1] == 200.0 && shares[0] > shares[1], "{shares:?}: nodata is above");
    work.ok("merge job.yaml --input a.tif --output parts --metrics merge.prom".split(' '));
    let merged = metrics(&work.path("merge.prom"));
    assert_eq!((merged[r#"scenes_total{outcome="finished"}"#], merged[r#"state{state="finished"}"#]), (1.0, 1.0));

    // What fails says so, and failed windows are counted.
    noise_scene(&work.path("broken.tif"), 200, 300);
    let bytes = fs::read(work.path("broken.tif")).expect("bytes");
    fs::write(work.path("broken.tif"), &bytes[..bytes.len() * 2 / 3]).expect("a part of them");
    assert_eq!(work.run("run job.yaml --input broken.tif --metrics city.prom".split(' ')).code, 1);
    assert_eq!(metrics(&work.path("city.prom"))[r#"state{state="failed"}"#], 1.0);
    assert_eq!(
        work.run("run job.yaml --input broken.tif --metrics city.prom --allow-failed-windows".split(' ')).code,
        3
    );
    let counts = metrics(&work.path("city.prom"));
    assert!(
        counts[r#"windows_total{outcome="failed"}"#] > 0.0 && counts[r#"state{state="finished"}"#] == 1.0,
        "{counts:?}"
    );
    assert!(work.refused("run job.yaml --metrics job.yaml").contains("job.yaml is not a metrics file"));
    assert!(work.refused("run job.yaml --metrics none/city.prom").contains("there is no folder none"));
}

/// The model computes, keeps what neighbours share, and grows while it does: all of that is within the limit, in a second scene too.
#[test]
fn a_limit_on_memory_is_kept_with_a_model() {
    let work = Workdir::new();
    small_bundle(&work, "small", Upsampler::JbuOne);
    ["a.tif", "b.tif"].iter().for_each(|name| drop(noise_scene(&work.path(name), 6000, 160)));
    work.write("job.yaml", "scene: [a.tif, b.tif]\nmodel: small\nclasses: [a, b, c]\noutputs: {folder: out}\n");
    let peak = |extra: &str| {
        work.ok(format!("run job.yaml --overwrite --metrics city.prom {extra}").split_whitespace());
        metrics(&work.path("city.prom"))["peak_memory_bytes"]
    };
    let without = peak("");
    let said = work.refused("run job.yaml --overwrite --memory 300MB");
    let needed =
        said.split("narrowest columns take ").nth(1).and_then(|rest| rest.split(' ').next()).expect("an amount");
    // What it says it needs it can do with, but that a heap is never twice the same.
    let least = 1.05 * needed.parse::<f64>().expect("a number");
    let with = peak(&format!("--memory {least:.0}MB"));
    println!("{:.0} MB, with a limit of {least:.0} MB {:.0} MB", without / 1e6, with / 1e6);
    assert!(with < 1e6 * least && with < without, "{with} of {least} MB, {without} without a limit");
}

/// The quick form of `make soak`.
#[test]
fn sixty_scenes_leave_no_file_open() {
    let work = Workdir::new();
    scene(&work.path("scene.tif"));
    let scenes = 60;
    for index in 1..scenes {
        fs::copy(work.path("scene.tif"), work.path(&format!("scene{index}.tif"))).expect("a scene");
    }
    let outputs = "{folder: out, scores: true, polygons: true, preview: true, report: true}";
    work.write("job.yaml", JOB.replace("{folder: out, polygons: a.fgb}", outputs));
    let mut command = Command::new(env!("CARGO_BIN_EXE_segearth"));
    command.args(["run", "job.yaml", "--log", "json"]).current_dir(work.path(""));
    let log = fs::File::create(work.path("said")).expect("a file for the summaries");
    let mut run = command.stdout(log).stderr(Stdio::null()).spawn().expect("the binary starts");
    // The fewest files that were open while the first third of the scenes was done, and while the last one was.
    let mut fewest = [usize::MAX; 3];
    let status = loop {
        let done = fs::read_to_string(work.path("said")).expect("summaries").lines().count();
        let open = fs::read_dir(format!("/proc/{}/fd", run.id())).map_or(0, Iterator::count);
        if open > 0 && (1..scenes).contains(&done) {
            let third = &mut fewest[done * 3 / scenes];
            *third = open.min(*third);
        }
        if let Some(status) = run.try_wait().expect("a child") {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    assert!(status.success());
    let summaries = objects(&fs::read_to_string(work.path("said")).expect("summaries"));
    assert_eq!(summaries.len(), scenes);
    assert!(fewest[0] < usize::MAX && fewest[2] <= fewest[0], "open files by thirds of the scenes: {fewest:?}");
}
