//! Job files: sound ones that use most keys, mutated as text.

use std::sync::OnceLock;

use super::Case;
use super::dice::Dice;
use super::scenes::of_noise;
use super::{text, vectors};
use crate::scenes::{noise, place, write_bands};
use crate::workdir::Workdir;

const SMALL: &str = "model: fake:identity
scene: scene.tif
classes: [red, green, blue]
tiling: {stride: 28}
outputs: {folder: out, scores: true, confidence: true, margin: true, polygons: a.fgb, score_type: uint8}
";

const LONG: &str = "# A job in long forms.
model: fake:identity
scene:
  - scene.tif
bands: [red, 2, blue]
stretch:
  method: percentile
  percentiles: [2, 98]
  joint: true
  gamma: 0.6
classes:
  - background,other
  - name: built-up
    prompts: [city, built-up area, 'urban, dense']
    colour: '#d63027'
    threshold: 0.4
  - name: water
    colour: steelblue
background: background
method:
  debias: 0.3
  logit_scale: 50
  threshold: 0.1
  templates: templates.txt
  tta: none
tiling:
  window: 224
  stride: 112
  blend: gaussian
  batch: 2
device: cpu
outputs:
  folder: out
  labels: '{scene}_classes.tif'
  preview: true
  report: '{scene}.html'
  format: cog
  compression: deflate
  overviews: auto
";

const PLACED: &str = "model: fake:identity
scene: [west.tif, east.tif]
mosaic: true
resolution: 0.8 m
grid: scene
aoi: {bounds: [350010, 5640002, 350030, 5640012], crs: EPSG:25832}
stretch: values:0,255
classes: [red, green, blue]
method: {tta: d4, debias: 0}
outputs:
  folder: out
  polygons: {recipe: landcover, t_srs: 'EPSG:3857', layer_per_class: true, min_area: 2, tolerance: 0.5}
";

const WATER: &str = "model: fake:identity
scene: scene.tif
aoi: area.geojson
classes: [land, water, forest]
outputs:
  folder: out
  labels: l.tif
  scores: s.tif
  polygons:
    file: flood.gpkg
    recipe: water
    classes: [water]
    min_area: 0.5
    max_hole: 1
    opening: 0.1
    closing: 0.2
    smooth: true
    subtract: area.geojson
    zones: area.geojson
    zone_field: name
    zone_table: zones.csv
";

const ROADS: &str = "model: fake:identity
scene: scene.tif
stretch: {method: values, ranges: [[0, 255], [10, 200], [5, 250]]}
classes: [background, road, building]
background: background
method: {threshold: 0.34}
outputs: {folder: out, polygons: {recipe: roads, max_gap: 3, min_length: 1, min_spur: 0.5, graph: true}}
";

const BUILDINGS: &str = "model: fake:identity
scene: 'sc*.tif'
resolution: 0.9 crs
classes:
- {name: background, prompts: [background, road]}
- building,roof,house
outputs: {folder: out, polygons: {recipe: buildings, plain_outlines: false, least_iou: 0.7, file: '{scene}.geojson'}}
";

/// A model that knows words: prompts and templates reach its tokenizer.
const MINI: &str = "model: mini
scene: scene.tif
classes: [water, forest, fields]
method: {templates: templates.txt}
outputs: {folder: out}
";

const SEEDS: [&str; 7] = [SMALL, LONG, PLACED, WATER, ROADS, BUILDINGS, MINI];

pub fn case(dice: &mut Dice) -> Case {
    let seed = dice.pick(&SEEDS);
    let job = text::mutate(seed, dice);
    // What is run may write wherever the job says: only below the case's own folder.
    let stays = !names_elsewhere(&job);
    let run = stays && dice.one_in(if seed == MINI { 8 } else { 2 });
    of_job(&job, if run { "run --memory 500MB" } else { "check" })
}

/// What is mutated, as it is.
pub fn sound() -> Vec<Case> {
    SEEDS.iter().map(|job| of_job(job.as_bytes(), "run --memory 500MB")).collect()
}

fn of_job(job: &[u8], words: &str) -> Case {
    static SCENES: OnceLock<[Vec<u8>; 3]> = OnceLock::new();
    let [scene, west, east] = SCENES.get_or_init(|| [of_noise(60, 40), tile(350_000.0), tile(350_024.0)]);
    let work = Workdir::new();
    work.write("scene.tif", scene);
    work.write("west.tif", west);
    work.write("east.tif", east);
    work.write("area.geojson", vectors::AREA);
    work.write("templates.txt", "a photo of {}.\nan aerial image of {}.\n");
    work.write("job.yaml", job);
    Case::new(work, &format!("{words} job.yaml"))
}

/// A tile of a mosaic, 60 × 40 pixels north up, from this easting on.
fn tile(left: f64) -> Vec<u8> {
    let work = Workdir::new();
    write_bands(&work.path("tile.tif"), (60, 40), &[noise(2400), noise(2400), noise(2400)], |dataset| {
        place(dataset);
        dataset.set_geo_transform(&[left, 0.4, 0.0, 5_640_016.0, 0.0, -0.4]).expect("a geotransform");
    });
    std::fs::read(work.path("tile.tif")).expect("a tile")
}

/// Whether a name in the job may lead out of the folder.
fn names_elsewhere(job: &[u8]) -> bool {
    let starts = |at: usize| at == 0 || !job[at - 1].is_ascii_alphanumeric();
    job.windows(2).any(|two| two == b"..") || job.iter().enumerate().any(|(at, &byte)| byte == b'/' && starts(at))
}
