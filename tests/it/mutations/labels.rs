//! Label rasters, as a run writes them and others change them.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::Case;
use super::dice::Dice;
use super::scenes::mutate;
use crate::scenes::{noise_scene, write_scene};
use crate::workdir::Workdir;

/// A scene of broad shapes, and its labels and scores.
fn seed(name: &str) -> &'static [u8] {
    static SEEDS: OnceLock<BTreeMap<&str, Vec<u8>>> = OnceLock::new();
    let seeds = SEEDS.get_or_init(|| {
        let work = Workdir::new();
        let shape = |at: usize| match (at % 60, at / 60) {
            (10..=25, 8..=30) => [0, 255, 0],
            (col, row) if (col + row) % 37 < 4 => [0, 0, 255],
            _ => [255, 0, 0],
        };
        let pixels: Vec<u8> = (0..60 * 40).flat_map(shape).collect();
        write_scene(&work.path("scene.tif"), 60, 40, &pixels);
        noise_scene(&work.path("noise.tif"), 60, 40);
        let words = "--model fake:identity -c land;water;road --scores scores.tif -o";
        work.ok(format!("segment scene.tif {words} labels.tif").split_whitespace());
        work.ok(format!("segment noise.tif {words} noisy.tif --overwrite").split_whitespace());
        let names = ["scene.tif", "labels.tif", "scores.tif", "noisy.tif"];
        names.into_iter().map(|name| (name, std::fs::read(work.path(name)).expect(name))).collect()
    });
    &seeds[name]
}

/// A sound scene and its labels.
pub fn write(work: &Workdir) {
    for name in ["scene.tif", "labels.tif"] {
        work.write(name, seed(name));
    }
}

pub fn case(dice: &mut Dice) -> Case {
    let work = Workdir::new();
    let name = dice.pick(&["labels.tif", "noisy.tif"]);
    let mut content = seed(name).to_vec();
    mutate(&mut content, dice);
    work.write("mutated.tif", content);
    work.write("labels.tif", seed("labels.tif"));
    work.write("scores.tif", seed("scores.tif"));
    let recipe = dice.pick(&["buildings", "roads", "water", "landcover", "plain"]);
    let class = if recipe == "buildings" { "--class water" } else { "" };
    let ending = dice.pick(&["gpkg", "fgb", "parquet", "geojson", "shp"]);
    let words = match dice.below(8) {
        0 => "evaluate --prediction mutated.tif --reference labels.tif".to_owned(),
        1 => "evaluate --prediction labels.tif --reference mutated.tif".to_owned(),
        2 => "change labels.tif mutated.tif -o change".to_owned(),
        3 => "vectorize labels.tif --scores mutated.tif --recipe buildings --class 1 -o out.gpkg".to_owned(),
        4 => format!("vectorize mutated.tif --scores scores.tif --recipe {recipe} {class} -o out.{ending}"),
        _ => format!("vectorize mutated.tif --recipe {recipe} {class} -o out.{ending}"),
    };
    Case::new(work, &words)
}
