//! Vector products in jobs: which recipe, with which numbers, of which classes.

use super::errors::render;
use super::*;
use crate::pipeline::Product;
use crate::scene::{ProductOptions, Recipe};

const HEAD: &str = "model: m\nscene: a.tif\nclasses: [background, 'building,roof', road, water]\n";

fn product(outputs: &str) -> Option<Product> {
    let plan = plan(&format!("{HEAD}outputs:\n{outputs}"), &[], vec![rgb("a.tif")]);
    plan.unwrap_or_else(|error| panic!("{}", shown(&error))).product
}

#[test]
fn polygons_without_recipe_are_plain_without_background() {
    assert_eq!(product("  scores: true\n"), None);
    assert_eq!(product("  polygons: false\n"), None);
    let named = product("  polygons: a.parquet\n").unwrap();
    assert_eq!(named, product("  polygons: true\n").unwrap());
    assert_eq!(
        (named.recipe, named.options.classes),
        (Recipe::Plain, ["building", "road", "water"].map(String::from).to_vec())
    );
    let all = product("  polygons: {keep_background: true}\n").unwrap();
    assert!(all.options.classes.is_empty() && all.options.keep_background);
}

#[test]
fn product_keys_become_options() {
    let plain = product("  polygons: {min_area: 50}\n").unwrap();
    assert_eq!((plain.recipe, plain.options.min_area), (Recipe::Plain, Some(50.0)));
    let found = product("  polygons: {recipe: buildings, min_area: 20, t_srs: EPSG:3857, plain_outlines: true}\n");
    let options = ProductOptions {
        min_area: Some(20.0),
        t_srs: Some("EPSG:3857".into()),
        plain_outlines: true,
        ..ProductOptions::default()
    };
    assert_eq!(found, Some(Product { recipe: Recipe::Buildings, options }));
    let roads = product("  polygons: {recipe: roads, classes: road, max_gap: 30, graph: true}\n").unwrap();
    assert_eq!((roads.recipe, roads.options.max_gap), (Recipe::Roads, Some(30.0)));
}

#[test]
fn product_files_are_named_per_scene() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("zones.gpkg"), "").unwrap();
    let zones = folder.path().join("zones.gpkg");
    let outputs = |job: &str| {
        let text = format!("{HEAD}outputs:\n  folder: out\n  polygons: {job}\n");
        let plan = plan(&text, &["scene=[a.tif, b.tif]"], vec![rgb("a.tif"), rgb("b.tif")]).unwrap();
        plan.scenes
            .iter()
            .flat_map(|scene| {
                let all: Vec<String> =
                    scene.outputs.named().map(|(key, path)| format!("{key} {}", path.display())).collect();
                all
            })
            .filter(|text| !text.starts_with("labels"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        outputs("{recipe: roads, graph: true}"),
        [
            "polygons out/a_roads.gpkg",
            "graph out/a_roads.graphml",
            "polygons out/b_roads.gpkg",
            "graph out/b_roads.graphml"
        ]
    );
    let water = format!("{{recipe: water, file: '{{scene}}/w.parquet', zones: '{}'}}", zones.display());
    assert_eq!(
        outputs(&water),
        ["polygons out/a/w.parquet", "zones out/a_zones.csv", "polygons out/b/w.parquet", "zones out/b_zones.csv"]
    );
}

#[test]
fn errors_of_products() {
    let job = |polygons: &str| format!("{HEAD}outputs:\n  polygons:\n{polygons}");
    let jobs: Vec<(&str, String)> = vec![
        ("a recipe that is none", job("    recipe: buildngs\n")),
        ("a recipe in another tongue", job("    recipe: gebaeude\n")),
        ("a key that is none", job("    recipe: water\n    min_aera: 20\n")),
        ("a number below 0", job("    recipe: water\n    min_area: -20\n")),
        ("an option of another recipe", job("    recipe: buildings\n    max_gap: 20\n    zone_field: name\n")),
        ("a class that is none", job("    recipe: buildings\n    classes: [house]\n")),
        (
            "no class that fits",
            "model: m\nscene: a.tif\nclasses: [grass, sand]\noutputs: {polygons: {recipe: roads}}\n".into(),
        ),
        ("zones that are not there", job("    recipe: water\n    zones: districts.gpkg\n    subtract: rivers.gpkg\n")),
        ("a table of no zones", job("    recipe: water\n    zone_table: a.csv\n")),
        ("a graph of another format", job("    recipe: roads\n    graph: roads.dot\n")),
        ("a file of another format", job("    recipe: roads\n    file: roads.kml\n")),
        ("the graph over the roads", job("    recipe: roads\n    file: r.gpkg\n    graph: r.gpkg\n")),
        ("neither name nor keys", "model: m\nscene: a.tif\nclasses: [a, b]\noutputs: {polygons: [a.gpkg]}\n".into()),
    ];
    let cases: Vec<(&str, &str, &[&str])> = jobs.iter().map(|(what, job)| (*what, job.as_str(), &[][..])).collect();
    insta::assert_snapshot!(render(&cases));
}
