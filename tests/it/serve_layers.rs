//! What the map shows beside classes is what the commands give: outlines, and changes between two scenes. What a session begins with and
//! what it saves: learnt classes, the job's own outputs, and a store beside the job.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use gdal::Dataset;
use gdal::vector::LayerAccess as _;
use serde_json::{Value, json};

use crate::serve::{Served, WIDTH, classes, counts, scene, scene_at, shown};
use crate::workdir::Workdir;

/// The bounds of a scene on the map as a query.
fn bounds(state: &Value, scene: usize) -> String {
    let of = |at: usize| state["scenes"][scene]["grid"]["bounds"][at].as_f64().expect("a number");
    format!("left={}&bottom={}&right={}&top={}", of(0), of(1), of(2), of(3))
}

/// Asks until the answer is complete.
#[track_caller]
fn ready(server: &Served, target: &str) -> Value {
    let started = Instant::now();
    loop {
        let answer = server.ask("GET", target, None);
        assert!(matches!(answer.status, 200 | 429), "{target}: {}", String::from_utf8_lossy(&answer.body));
        if answer.status == 200 && answer.json()["ready"] == true {
            return answer.json();
        }
        assert!(started.elapsed().as_secs() < 300, "{target}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Features of each class in a vector file.
fn features(path: &std::path::Path) -> BTreeMap<String, usize> {
    let dataset = Dataset::open(path).expect("vectors");
    let mut found = BTreeMap::new();
    let mut layer = dataset.layer(0).expect("a layer");
    for feature in layer.features() {
        let field = feature.field_index("class").expect("a field");
        *found.entry(feature.field_as_string(field).expect("text").expect("a class")).or_default() += 1;
    }
    found
}

#[test]
fn outlines_are_those_of_a_run() {
    let work = Workdir::new();
    scene(&work, "scene.tif");
    work.write(
        "job.yaml",
        "scene: scene.tif\nclasses: [sand, road, 'sea or lake']\noutputs: {polygons: {recipe: landcover, min_area: 60, smooth: true}}\n",
    );
    let server = Served::start(&work, &["job.yaml"]);
    let state = server.labelled();
    assert_eq!(state["outputs"]["polygons"], "landcover");
    let view = bounds(&state, 0);
    for recipe in ["plain", "roads", "landcover"] {
        let shown = ready(&server, &format!("/api/scenes/0/outlines?recipe={recipe}&{view}"));
        let saved = server.send("POST", "/api/jobs", json!({"name": recipe, "outputs": {"polygons": recipe}}));
        let text = fs::read_to_string(work.path(&format!("state/jobs/{recipe}.yaml"))).expect("a job");
        assert_eq!(text.contains("min_area: 60"), recipe == "landcover", "{text}");
        work.ok(["run", &format!("state/jobs/{recipe}.yaml"), "--output", recipe]);
        let name = if recipe == "plain" { "polygons" } else { recipe };
        let run = features(&work.path(&format!("{recipe}/scene_{name}.gpkg")));
        let mut found = BTreeMap::new();
        for shape in shown["shapes"].as_array().expect("shapes") {
            *found.entry(shape["class"].as_str().expect("a class").to_owned()).or_default() += 1;
            assert_eq!(shape["closed"], recipe != "roads");
        }
        assert_eq!((found, &shown["left_out"]), (run, &json!(0)), "{recipe}: {saved}");
        let version = shown["version"].as_str().expect("a version").replace(' ', "%20");
        let again = server.get(&format!("/api/scenes/0/outlines?recipe={recipe}&known={version}&{view}")).json();
        assert_eq!(again["unchanged"], true, "{version} {again}");
    }
    // On the map, and within the scene.
    let plain = ready(&server, &format!("/api/scenes/0/outlines?{view}"));
    let grid = &state["scenes"][0]["grid"]["bounds"];
    for place in plain["shapes"][0]["parts"][0].as_array().expect("places") {
        for axis in [0, 1] {
            let (at, least, most) = (place[axis].as_f64(), grid[axis].as_f64(), grid[axis + 2].as_f64());
            assert!(at.zip(least).is_some_and(|(at, least)| at > least - 0.01), "{place}");
            assert!(at.zip(most).is_some_and(|(at, most)| at < most + 0.01), "{place}");
        }
    }
    for (query, sentence) in [
        (format!("recipe=castles&{view}"), "not a recipe"),
        (format!("recipe=buildings&{view}"), "no class called building"),
        ("recipe=plain&left=0&bottom=0&right=1&top=1".to_owned(), "not in view"),
    ] {
        let answer = server.ask("GET", &format!("/api/scenes/0/outlines?{query}"), None);
        let said = answer.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(answer.status == 400 && said.contains(sentence), "{query}: {said}");
    }
}

#[test]
fn changes_are_those_of_the_command() {
    let work = Workdir::new();
    // Not quite pixel on pixel, and a third of either lies beside the other.
    scene(&work, "before.tif");
    scene_at(&work, "later.tif", 500_000.0 + 0.5 * 100.25, 1.0);
    let server = Served::start(&work, &["before.tif", "later.tif"]);
    server.send("PUT", "/api/classes", classes(&["water", "sand", "sea or lake"]));
    let state = server.labelled();
    let found = ready(&server, &format!("/api/scenes/1/changes?since=0&{}", bounds(&state, 1)));
    assert_eq!((&found["known"], &found["layer"]), (&found["all"], &json!("change-1-0")));

    server.send("POST", "/api/jobs", json!({"name": "both"}));
    work.ok(["run", "state/jobs/both.yaml", "--output", "out"]);
    work.ok("change out/before_labels.tif out/later_labels.tif -o change".split(' '));
    let json: Value =
        serde_json::from_slice(&fs::read(work.path("change/change.json")).expect("figures")).expect("JSON");
    let pixels = |transition: &Value, from: &str, to: &str| {
        let (from, to) = (transition[from].as_str(), transition[to].as_str());
        let pixels = transition["pixels"].as_u64().filter(|pixels| *pixels > 0 && from != to)?;
        Some((format!("{from:?} {to:?}"), pixels))
    };
    let list = |all: &Value| -> BTreeMap<String, u64> {
        all.as_array().expect("transitions").iter().filter_map(|one| pixels(one, "from", "to")).collect()
    };
    assert!(!list(&found["transitions"]).is_empty(), "{found:#}");
    assert_eq!(list(&found["transitions"]), list(&json["transitions"]));
    let area = |all: &Value| -> f64 {
        let all = all.as_array().expect("transitions").iter().filter(|one| one["from"] != one["to"]);
        all.filter_map(|one| one["area"].as_f64().or(one["area_m2"].as_f64())).sum()
    };
    let (here, there) = (area(&found["transitions"]), area(&json["transitions"]));
    assert!((here / there - 1.0).abs() < 1e-4, "{here} {there}");

    // The layer's tiles have the colours of the command's raster.
    let grid = &state["scenes"][1]["grid"];
    let number = |key: &str, at: usize| grid[key][at].as_f64().expect("a number");
    let zoom = grid["native_zoom"].as_u64().expect("a zoom level") as u32;
    let side = 256.0 * grid["resolution"].as_f64().expect("a number") / f64::from(1u32 << zoom);
    let (x, y) = (number("bounds", 0) + 60.0, (number("bounds", 1) + number("bounds", 3)) / 2.0);
    let (x, y) = (((x - number("origin", 0)) / side) as u64, ((number("origin", 1) - y) / side) as u64);
    let tile = server.get(&format!("/tiles/change-1-0/{zoom}/{x}/{y}.png"));
    work.write("tile.png", &tile.body);
    let picture = Dataset::open(work.path("tile.png")).expect("a picture");
    let band = picture.rasterband(1).expect("a band");
    let table = band.color_table().expect("colours");
    let colours: Vec<String> = (1..table.entry_count())
        .filter_map(|at| table.entry_as_rgb(at))
        .map(|entry| format!("#{:02x}{:02x}{:02x}", entry.r, entry.g, entry.b))
        .collect();
    for transition in found["transitions"].as_array().expect("transitions") {
        assert!(colours.iter().any(|colour| transition["colour"] == *colour), "{transition} {colours:?}");
    }
    let drawn = band.read_band_as::<u8>().expect("pixels").data().iter().filter(|value| **value > 0).count();
    assert!(drawn > 100, "{drawn}");

    for (target, sentence) in [
        ("/api/scenes/1/changes?since=1", "no changes since itself"),
        ("/api/scenes/1/changes?since=7", "no scene 7"),
        ("/api/scenes/1/changes?since=0.5", "must be the number of a scene"),
    ] {
        let answer = server.ask("GET", &format!("{target}&{}", bounds(&state, 1)), None);
        let said = answer.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(answer.status == 400 && said.contains(sentence), "{target}: {said}");
    }
    // Others classes: nothing of the old changes is left.
    server.send("PUT", "/api/classes", classes(&["meadow", "sand"]));
    server.labelled();
    let other = ready(&server, &format!("/api/scenes/1/changes?since=0&{}", bounds(&state, 1)));
    assert!(other["transitions"].as_array().expect("transitions").iter().all(|one| one["from"] != "water"), "{other}");
}

#[test]
fn learnt_classes_of_a_job_are_where_a_session_begins() {
    let work = Workdir::new();
    scene(&work, "scene.tif");
    let square = |class: &str, col: f64, row: f64| {
        let (x, y) = (500_000.0 + 0.5 * col, 5_640_000.0 - 0.5 * row);
        let ring = [[x, y], [x + 6.0, y], [x + 6.0, y - 6.0], [x, y - 6.0], [x, y]];
        json!({"type": "Feature", "properties": {"class": class}, "geometry": {"type": "Polygon", "coordinates": [ring]}})
    };
    let bright = [(13.0, 190.0), (158.0, 190.0), (13.0, 8.0)].map(|(col, row)| square("bright", col, row));
    let dark = [(85.0, 75.0), (230.0, 75.0), (85.0, 125.0)].map(|(col, row)| square("dark", col, row));
    let features = [bright, dark].concat();
    let crs = json!({"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::25832"}});
    work.write("examples.geojson", json!({"type": "FeatureCollection", "crs": crs, "features": features}).to_string());
    work.write(
        "jobs/own.yaml",
        "scene: ../scene.tif\nclasses: {learnt: own.safetensors}\nembeddings: {store: near.zarr}\n",
    );
    work.ok(["learn", "scene.tif", "--examples", "examples.geojson", "-o", "jobs/own.safetensors"]);
    work.ok(["run", "jobs/own.yaml", "--output", "out"]);
    assert!(work.path("jobs/near.zarr").is_dir(), "a store is named from its job");
    let expected = counts(&work.path("out/scene_labels.tif"), 2);

    let server = Served::start(&work, &["jobs/own.yaml"]);
    let state = server.labelled();
    let names = |state: &Value| -> Vec<String> {
        let classes = state["classes"].as_array().expect("classes").iter();
        classes.map(|class| class["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!((names(&state), shown(&state)), (vec!["bright".to_owned(), "dark".to_owned()], expected.clone()));
    // What is saved names the store from the job, and may be moved with it.
    server.send("POST", "/api/jobs", json!({"name": "same"}));
    let text = fs::read_to_string(work.path("state/jobs/same.yaml")).expect("a job");
    assert!(text.contains("store: ../embeddings.zarr") && text.contains("learnt: same.safetensors"), "{text}");
    assert_eq!(
        fs::read(work.path("state/jobs/same.safetensors")).expect("classes"),
        fs::read(work.path("jobs/own.safetensors")).expect("classes")
    );
    // An example more is learnt with those of the file; a new name keeps a class's examples.
    let grid = &state["scenes"][0]["grid"]["bounds"];
    let of = |at: usize| grid[at].as_f64().expect("a number");
    let point = [of(0) + (of(2) - of(0)) * 230.0 / WIDTH as f64, (of(1) + of(3)) / 2.0];
    let dark = state["classes"][1]["id"].clone();
    server.send("POST", "/api/examples", json!({"scene": 0, "class": dark, "point": point}));
    let taught = server.labelled();
    assert!(taught["error"].is_null() && shown(&taught) != [0, 0], "{taught:#}");
    let mut renamed = state["classes"].as_array().expect("classes").clone();
    for class in &mut renamed {
        class.as_object_mut().expect("a class").remove("shown");
    }
    renamed[1]["name"] = json!("shade");
    server.send("PUT", "/api/classes", json!({"classes": renamed}));
    let renamed = server.labelled();
    assert_eq!(names(&renamed), ["bright", "shade"]);
    assert_eq!(shown(&renamed), shown(&taught), "the same examples under another name");
    server.send("POST", "/api/jobs", json!({"name": "more"}));
    assert_eq!(server.end(), 0);
    fs::create_dir(work.path("elsewhere")).expect("a folder");
    fs::rename(work.path("state"), work.path("elsewhere/state")).expect("a move");
    work.ok(["run", "elsewhere/state/jobs/more.yaml", "--output", "more"]);
    assert_eq!(shown(&renamed), counts(&work.path("more/scene_labels.tif"), 2));
    work.ok(["run", "elsewhere/state/jobs/same.yaml", "--output", "same"]);
    assert_eq!(expected, counts(&work.path("same/scene_labels.tif"), 2));

    work.write("index.yaml", "scene: scene.tif\nclasses: [sand, {name: wet, index: 'b1 > 100'}]\n");
    let said = work.refused("serve index.yaml --port 0");
    assert!(said.contains("\"wet\""), "{said}");
}
