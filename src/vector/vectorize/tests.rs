//! Each recipe on a small map.

use std::fs;

use super::super::testing::{Found, Scene, read_back};
use super::*;
use gdal::spatial_ref::SpatialRef;
use gdal::vector::{Geometry, LayerAccess, LayerOptions, OGRwkbGeometryType};

const SIDE: usize = 120;

/// 1: a turned house of 20 × 12 pixels and a speck; 2: a crossing of roads; 3: a lake with an island.
fn labels() -> Vec<u16> {
    let mut labels = vec![0u16; SIDE * SIDE];
    for row in 0..SIDE {
        for col in 0..SIDE {
            let (x, y) = (col as f64 + 0.5, row as f64 + 0.5);
            let (u, v) = (0.96 * (x - 30.0) + 0.28 * (y - 30.0), -0.28 * (x - 30.0) + 0.96 * (y - 30.0));
            let lake = (x - 90.0).hypot(y - 30.0);
            labels[row * SIDE + col] = if u.abs() < 10.0 && v.abs() < 6.0 || (col, row) == (5, 5) {
                1
            } else if (y - 80.0).abs() < 3.0 || (x - 60.0).abs() < 3.0 && y > 60.0 {
                2
            } else if lake < 20.0 && lake > 6.0 {
                3
            } else {
                0
            };
        }
    }
    labels
}

fn classes() -> [ClassInfo; 4] {
    ["background", "building", "road", "water"].map(|name| ClassInfo { name: name.into(), colour: [0; 3] })
}

fn options() -> ProductOptions {
    ProductOptions::default()
}

fn of_layer<'a>(found: &'a [Found], layer: &str) -> Vec<&'a Found> {
    found.iter().filter(|feature| feature.layer == layer).collect()
}

#[test]
fn a_house_is_squared_and_knows_its_direction() {
    let scene = Scene::utm(&labels(), SIDE);
    let out = scene.path("houses.gpkg");
    let summary = vectorize(&scene.labels, None, &classes(), Recipe::Buildings, &out, &options()).unwrap();
    assert_eq!(summary.polygons, 1, "the speck is too small");
    let found = read_back(&out);
    assert_eq!(found[0].text("outline"), "squared");
    // Pixels of 2 m: 20 × 12 pixels are 960 m². The long wall runs 16.3° below east.
    assert!((found[0].real("area_m2") / 960.0 - 1.0).abs() < 0.05, "{}", found[0].real("area_m2"));
    assert!((found[0].real("orientation") - 106.26).abs() < 2.0, "{}", found[0].real("orientation"));
    assert!(found[0].real("outline_iou") > 0.9 && found[0].valid);
}

#[test]
fn roads_are_a_graph_with_widths() {
    let scene = Scene::utm(&labels(), SIDE);
    let (out, graph) = (scene.path("roads.gpkg"), scene.path("roads.graphml"));
    let options = ProductOptions { graph: Some(graph.clone()), ..options() };
    vectorize(&scene.labels, None, &classes(), Recipe::Roads, &out, &options).unwrap();
    let found = read_back(&out);
    let (roads, nodes) = (of_layer(&found, "roads"), of_layer(&found, "nodes"));
    assert_eq!(roads.len(), 4);
    assert_eq!(nodes.len(), 5);
    assert_eq!(nodes.iter().filter(|node| node.integer("degree") == 4).count(), 1);
    let length: f64 = roads.iter().map(|road| road.real("length_m")).sum();
    assert!((length - 2.0 * (120.0 + 60.0)).abs() < 12.0, "{length}");
    assert!(roads.iter().all(|road| (road.real("width_m") - 12.0).abs() < 2.0));
    assert_eq!(of_layer(&found, "areas").len(), 1);
    let text = std::fs::read_to_string(graph).unwrap();
    assert_eq!((text.matches("<node ").count(), text.matches("<edge ").count()), (5, 4));
    let out = scene.path("roads.geojson");
    let summary = vectorize(&scene.labels, None, &classes(), Recipe::Roads, &out, &options).unwrap();
    assert!(summary.notes.iter().any(|note| note.contains(".gpkg holds all")), "{:?}", summary.notes);
    assert_eq!(read_back(&scene.path("roads_nodes.geojson")).len(), 5);
}

/// A GeoPackage of named rectangles in the scene's CRS, from pixels.
fn rectangles(path: &Path, areas: &[(&str, [f64; 4])]) {
    let mut dataset = gdal::DriverManager::get_driver_by_name("GPKG").unwrap().create_vector_only(path).unwrap();
    let srs = SpatialRef::from_epsg(32632).unwrap();
    let layer = dataset
        .create_layer(LayerOptions {
            name: "areas",
            srs: Some(&srs),
            ty: OGRwkbGeometryType::wkbPolygon,
            options: None,
        })
        .unwrap();
    gdal::vector::FieldDefn::new("name", gdal::vector::OGRFieldType::OFTString).unwrap().add_to_layer(&layer).unwrap();
    for (name, [left, top, right, bottom]) in areas {
        let (w, e) = (500_000.0 + 2.0 * left, 500_000.0 + 2.0 * right);
        let (n, s) = (5_540_000.0 - 2.0 * top, 5_540_000.0 - 2.0 * bottom);
        let mut feature = gdal::vector::Feature::new(layer.defn()).unwrap();
        feature.set_geometry(Geometry::bbox(w, s, e, n).unwrap()).unwrap();
        feature.set_field_string(0, name).unwrap();
        feature.create(&layer).unwrap();
    }
    dataset.close().unwrap();
}

#[test]
fn water_keeps_its_island_and_is_summed_by_zone() {
    let scene = Scene::utm(&labels(), SIDE);
    let out = scene.path("water.gpkg");
    rectangles(
        &scene.path("zones.gpkg"),
        &[("west, \"old\"", [60.0, 0.0, 90.0, 60.0]), ("east", [90.0, 0.0, 120.0, 60.0])],
    );
    rectangles(&scene.path("permanent.gpkg"), &[("lake", [60.0, 30.0, 120.0, 60.0])]);
    let truth = std::f64::consts::PI * (400.0 - 36.0) * 4.0;
    let with = ProductOptions { zones: Some(scene.path("zones.gpkg")), ..options() };
    vectorize(&scene.labels, None, &classes(), Recipe::Water, &out, &with).unwrap();
    let found = read_back(&out);
    assert_eq!(found.len(), 1);
    assert!(found[0].valid && found[0].wkt.contains("),("), "the island stays a hole");
    assert!((found[0].real("area_m2") / truth - 1.0).abs() < 0.02, "{} for {truth}", found[0].real("area_m2"));
    let table = std::fs::read_to_string(scene.path("water_zones.csv")).unwrap();
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows[0], "zone,area_m2,water_m2,share");
    assert!(rows[1].starts_with("\"west, \"\"old\"\"\",7200.00,"), "{}", rows[1]);
    let east: f64 = rows[2].split(',').nth(2).unwrap().parse().unwrap();
    assert!((east / (truth / 2.0) - 1.0).abs() < 0.03, "{east}");
    let without = ProductOptions { subtract: Some(scene.path("permanent.gpkg")), ..options() };
    let summary = vectorize(&scene.labels, None, &classes(), Recipe::Water, &out, &without).unwrap();
    assert!((summary.classes[0].area / (truth / 2.0) - 1.0).abs() < 0.03, "{}", summary.classes[0].area);
    assert!(read_back(&out).iter().all(|feature| feature.valid));
}

#[test]
fn land_cover_leaves_the_background_out_and_sieves_specks() {
    let scene = Scene::utm(&labels(), SIDE);
    let out = scene.path("cover.gpkg");
    let summary = vectorize(&scene.labels, None, &classes(), Recipe::Landcover, &out, &options()).unwrap();
    assert_eq!(summary.polygons, 4);
    let sieved = ProductOptions { min_area: Some(8.0), keep_background: true, ..options() };
    let summary = vectorize(&scene.labels, None, &classes(), Recipe::Landcover, &out, &sieved).unwrap();
    assert_eq!(summary.classes.iter().map(|class| class.polygons).collect::<Vec<_>>(), [4, 1, 1, 1]);
    let area: f64 = summary.classes.iter().map(|class| class.area).sum();
    assert!((area / (4.0 * (SIDE * SIDE) as f64) - 1.0).abs() < 1e-9, "{area}");
    assert_eq!(std::fs::read_dir(scene.folder()).unwrap().count(), 2);
}

#[test]
fn a_class_that_is_not_there_is_said() {
    let scene = Scene::utm(&labels(), SIDE);
    let attempt = |take: &str, classes: &[ClassInfo], recipe| {
        let options = ProductOptions { classes: vec![take.into()], ..options() };
        let options = if take.is_empty() { ProductOptions::default() } else { options };
        vectorize(&scene.labels, None, classes, recipe, &scene.path("a.gpkg"), &options)
    };
    let error = attempt("ship", &classes(), Recipe::Buildings).unwrap_err().to_string();
    assert!(error.contains("no class ship") && error.contains("background, building"), "{error}");
    assert_eq!(attempt("Water", &classes(), Recipe::Buildings).unwrap().polygons, 1);
    let unnamed = classes().map(|class| ClassInfo { name: format!("kind {}", class.name.len()), ..class });
    let error = attempt("", &unnamed, Recipe::Roads).unwrap_err();
    assert!(error.hint().unwrap().contains("--class"), "{error}");
}

#[test]
fn plain_is_every_region_as_it_is() {
    let scene = Scene::utm(&labels(), SIDE);
    let out = scene.path("plain.parquet");
    let count = |options: &ProductOptions| {
        vectorize(&scene.labels, None, &classes(), Recipe::Plain, &out, options).unwrap().polygons
    };
    let all = ProductOptions { keep_background: true, ..options() };
    // House, speck, roads, lake; the island and what the crossing parts are background.
    assert_eq!((count(&options()), count(&all)), (4, 8));
    let one = ProductOptions { classes: vec!["water".into()], ..options() };
    assert_eq!(count(&one), 1);
    assert_eq!(read_back(&out)[0].text("class"), "water");
}

#[test]
fn what_must_fail_after_the_labels_is_foreseen_before_them() {
    let scene = Scene::utm(&labels(), SIDE);
    let crs = SpatialRef::from_epsg(32632).unwrap().to_wkt().unwrap();
    let attempt = |file: &str, options: &ProductOptions| {
        foresee(Some(crs.as_str()), &scene.path(file), options).err().map(|error| error.to_string())
    };
    assert_eq!(attempt("a.parquet", &options()), None);
    let elsewhere = |crs: &str| ProductOptions { t_srs: Some(crs.into()), ..options() };
    assert!(attempt("a.gpkg", &elsewhere("EPSG:nonsense")).unwrap().contains("not understood as a CRS"));
    fs::write(scene.path("crs.wkt"), "EPSG:3857").unwrap();
    let file = scene.path("crs.wkt").display().to_string();
    assert!(attempt("a.gpkg", &elsewhere(&file)).unwrap().contains("not understood as a CRS"));
    assert!(attempt("a.geojson", &elsewhere("EPSG:3857")).unwrap().contains("RFC 7946"));
    let layers = ProductOptions { layer_per_class: true, ..options() };
    assert!(attempt("a.fgb", &layers).unwrap().ends_with("can hold one layer, not one a class"));
    let nowhere = ProductOptions { zones: Some(scene.path("none.gpkg")), ..options() };
    assert!(attempt("a.gpkg", &nowhere).unwrap().contains("none.gpkg"));
    rectangles(&scene.path("zones.gpkg"), &[("west", [0.0, 0.0, 9.0, 9.0])]);
    let field =
        ProductOptions { zones: Some(scene.path("zones.gpkg")), zone_field: Some("number".into()), ..options() };
    assert!(attempt("a.gpkg", &field).unwrap().ends_with("has no field number"));
}

#[test]
fn a_picture_is_no_label_raster() {
    let scene = Scene::utm(&labels(), SIDE);
    let picture = scene.path("picture.tif");
    let driver = gdal::DriverManager::get_driver_by_name("GTiff").unwrap();
    let rgb = gdal::raster::RasterCreationOptions::from_iter(["PHOTOMETRIC=RGB"]);
    driver.create_with_band_type_with_options::<u8, _>(&picture, 8, 8, 3, &rgb).unwrap().close().unwrap();
    let error =
        vectorize(&picture, None, &[], Recipe::Plain, &scene.path("a.gpkg"), &ProductOptions::default()).unwrap_err();
    assert!(error.to_string().contains("a picture of 3 bands, the first of them red"), "{error}");
}
