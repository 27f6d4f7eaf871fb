//! Learnt classes in the engine: the words alone without examples, and scores that follow from the features learnt from.

use gdal::Dataset;
use segearth::learn::{Learnt, LearntQuery};

use crate::scenes::{TRANSFORM, noise, read_band, write_scene};
use crate::workdir::Workdir;

const CLASSES: &str = "water,lake; forest,trees; city,buildings";
const SIZE: (usize, usize) = (300, 180);

/// Noise, dark in its left half and bright in its right one.
fn scene(work: &Workdir) {
    let (width, height) = SIZE;
    let noise = noise(width * height * 3);
    let bright = |at: usize| if at / 3 % width < width / 2 { 10 } else { 160 };
    let pixels: Vec<u8> = noise.iter().enumerate().map(|(at, byte)| byte / 3 + bright(at)).collect();
    write_scene(&work.path("scene.tif"), width, height, &pixels);
}

fn bands(work: &Workdir, name: &str) -> Vec<Vec<f32>> {
    let dataset = Dataset::open(work.path(name)).expect("a raster");
    (1..=dataset.raster_count()).map(|band| read_band(&dataset, band)).collect()
}

#[test]
fn words_without_examples_give_the_map_of_the_words() {
    let work = Workdir::new();
    scene(&work);
    work.write("none.geojson", r#"{"type":"FeatureCollection","features":[]}"#);
    let learnt =
        work.ok(["learn", "scene.tif", "--examples", "none.geojson", "--classes", CLASSES, "-o", "words.safetensors"]);
    assert!(learnt.stderr.contains("No example counts"), "{}", learnt.stderr);
    work.ok(["segment", "scene.tif", "--classes", CLASSES, "-o", "a.tif", "--scores", "a_scores.tif"]);
    work.ok(["segment", "scene.tif", "--classes", "@words.safetensors", "-o", "b.tif", "--scores", "b_scores.tif"]);
    assert_eq!(bands(&work, "a.tif"), bands(&work, "b.tif"));
    assert_eq!(bands(&work, "a_scores.tif"), bands(&work, "b_scores.tif"), "to the bit");
}

#[test]
fn scores_at_the_examples_follow_from_their_features() {
    let work = Workdir::new();
    scene(&work);
    let places = [("water", 20, 30), ("water", 90, 140), ("water", 130, 80), ("city", 170, 20), ("city", 280, 90)];
    let [x0, a, b, y0, c, d] = TRANSFORM;
    let feature = |&(class, col, row): &(&str, u32, u32)| {
        let (col, row) = (f64::from(col) + 0.5, f64::from(row) + 0.5);
        format!(
            r#"{{"type":"Feature","properties":{{"class":"{class}"}},"geometry":{{"type":"Point","coordinates":[{},{}]}}}}"#,
            x0 + a * col + b * row,
            y0 + c * col + d * row
        )
    };
    let features: Vec<String> = places.iter().map(feature).collect();
    let crs = r#""crs":{"type":"name","properties":{"name":"urn:ogc:def:crs:EPSG::25832"}}"#;
    work.write(
        "clicks.geojson",
        format!(r#"{{"type":"FeatureCollection",{crs},"features":[{}]}}"#, features.join(",")),
    );
    work.ok(["learn", "scene.tif", "--examples", "clicks.geojson", "--classes", CLASSES, "-o", "c.safetensors"]);
    work.ok(["segment", "scene.tif", "--classes", "@c.safetensors", "-o", "labels.tif", "--scores", "scores.tif"]);

    let learnt = Learnt::read(&work.path("c.safetensors")).expect("learnt classes");
    let (width, locals) = (learnt.header.model.width, learnt.header.locals());
    let scores = bands(&work, "scores.tif");
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    for (sample, (_, col, row)) in places.iter().enumerate() {
        assert_eq!(learnt.samples.places[sample], [*col, *row]);
        let features = &learnt.samples.features[sample * width..][..width];
        let local = &learnt.samples.local[sample * locals..][..locals];
        let scale = learnt.header.settings.logit_scale;
        let logit = |query: &LearntQuery| {
            (scale * (dot(&query.vector, features) + dot(&query.local, local)) + query.bias).exp()
        };
        let all: f32 = learnt.queries.iter().map(logit).sum();
        for (class, scores) in scores.iter().enumerate() {
            let own = learnt.queries.iter().filter(|query| query.class == class).map(logit);
            let own = if learnt.header.sums_queries { own.sum() } else { own.fold(0.0, f32::max) };
            let found = scores[*row as usize * SIZE.0 + *col as usize];
            assert!((found - own / all).abs() < 1e-3, "class {class} of example {sample}: {found}, {}", own / all);
        }
    }
}
