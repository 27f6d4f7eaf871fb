//! Each recipe on a small synthetic map.

use std::fs;
use std::path::PathBuf;

use super::super::testing::{Found, Scene, UTM_CENTRE, read_back};
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
fn buildings_are_squared_with_orientation() {
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
fn roads_become_a_graph_with_widths() {
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
fn water_keeps_islands_and_is_summed_by_zone() {
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
    // 7200 m² in the plane, of a scale of 0.9996.
    assert!(rows[1].starts_with("\"west, \"\"old\"\"\",7205.76,"), "{}", rows[1]);
    let east: f64 = rows[2].split(',').nth(2).unwrap().parse().unwrap();
    assert!((east / (truth / 2.0) - 1.0).abs() < 0.03, "{east}");
    let without = ProductOptions { subtract: Some(scene.path("permanent.gpkg")), ..options() };
    // An existing GeoPackage would keep its layers.
    std::fs::remove_file(&out).unwrap();
    let summary = vectorize(&scene.labels, None, &classes(), Recipe::Water, &out, &without).unwrap();
    assert!((summary.classes[0].area / (truth / 2.0) - 1.0).abs() < 0.03, "{}", summary.classes[0].area);
    assert!(read_back(&out).iter().all(|feature| feature.valid));
}

#[test]
fn landcover_omits_background_and_sieves_specks() {
    let scene = Scene::utm(&labels(), SIDE);
    let out = scene.path("cover.gpkg");
    // By default a polygon of one pixel is left out.
    let cover = |least: Option<f64>| {
        let options = ProductOptions { min_area: least, ..options() };
        let summary = vectorize(&scene.labels, None, &classes(), Recipe::Landcover, &out, &options).unwrap();
        // An existing GeoPackage would keep its layers.
        std::fs::remove_file(&out).unwrap();
        summary.polygons
    };
    assert_eq!((cover(Some(0.0)), cover(None)), (4, 3));
    let sieved = ProductOptions { min_area: Some(8.0), keep_background: true, ..options() };
    let summary = vectorize(&scene.labels, None, &classes(), Recipe::Landcover, &out, &sieved).unwrap();
    assert_eq!(summary.classes.iter().map(|class| class.polygons).collect::<Vec<_>>(), [4, 1, 1, 1]);
    let area: f64 = summary.classes.iter().map(|class| class.area).sum();
    assert!((area / (4.0 * UTM_CENTRE * (SIDE * SIDE) as f64) - 1.0).abs() < 1e-8, "{area}");
    assert_eq!(std::fs::read_dir(scene.folder()).unwrap().count(), 2);
}

#[test]
fn unknown_class_is_refused_with_known_names() {
    let scene = Scene::utm(&labels(), SIDE);
    let attempt = |take: &str, classes: &[ClassInfo], recipe| {
        let options = ProductOptions { classes: vec![take.into()], ..options() };
        let options = if take.is_empty() { ProductOptions::default() } else { options };
        vectorize(&scene.labels, None, classes, recipe, &scene.path("a.gpkg"), &options)
    };
    let error = attempt("buildings", &classes(), Recipe::Plain).unwrap_err();
    assert_eq!(error.hint(), Some("Did you mean `building`?"));
    let error = attempt("ship", &classes(), Recipe::Buildings).unwrap_err().to_string();
    assert!(error.contains("no class ship") && error.contains("background, building"), "{error}");
    assert_eq!(attempt("Water", &classes(), Recipe::Buildings).unwrap().polygons, 1);
    let unnamed = classes().map(|class| ClassInfo { name: format!("kind {}", class.name.len()), ..class });
    let error = attempt("", &unnamed, Recipe::Roads).unwrap_err();
    assert!(error.hint().unwrap().contains("--class"), "{error}");
}

#[test]
fn plain_keeps_every_region() {
    let scene = Scene::utm(&labels(), SIDE);
    let out = scene.path("plain.parquet");
    let count = |options: &ProductOptions| {
        vectorize(&scene.labels, None, &classes(), Recipe::Plain, &out, options).unwrap().polygons
    };
    let every = ProductOptions { min_area: Some(0.0), ..options() };
    let all = ProductOptions { keep_background: true, ..every.clone() };
    // House, speck, roads, lake; the island and the areas between the roads are background.
    assert_eq!((count(&every), count(&all)), (4, 8));
    // By default the speck, a single pixel, is left out.
    assert_eq!(count(&options()), 3);
    let one = ProductOptions { classes: vec!["water".into()], ..options() };
    assert_eq!(count(&one), 1);
    assert_eq!(read_back(&out)[0].text("class"), "water");
}

#[test]
fn validate_finds_errors_before_labels_exist() {
    let scene = Scene::utm(&labels(), SIDE);
    let crs = SpatialRef::from_epsg(32632).unwrap().to_wkt().unwrap();
    let attempt = |file: &str, options: &ProductOptions| {
        validate(Some(crs.as_str()), &scene.path(file), options).err().map(|error| error.to_string())
    };
    assert_eq!(attempt("a.parquet", &options()), None);
    let elsewhere = |crs: &str| ProductOptions { t_srs: Some(crs.into()), ..options() };
    assert!(attempt("a.gpkg", &elsewhere("EPSG:nonsense")).unwrap().contains("is not a CRS that GDAL knows"));
    fs::write(scene.path("crs.wkt"), "EPSG:3857").unwrap();
    let file = scene.path("crs.wkt").display().to_string();
    assert!(attempt("a.gpkg", &elsewhere(&file)).unwrap().contains("is not a CRS that GDAL knows"));
    assert!(attempt("a.geojson", &elsewhere("EPSG:3857")).unwrap().contains("RFC 7946"));
    let layers = ProductOptions { layer_per_class: true, ..options() };
    assert!(attempt("a.fgb", &layers).unwrap().ends_with("can hold only one layer, not one per class"));
    let nowhere = ProductOptions { zones: Some(scene.path("none.gpkg")), ..options() };
    assert!(attempt("a.gpkg", &nowhere).unwrap().contains("none.gpkg"));
    rectangles(&scene.path("zones.gpkg"), &[("west", [0.0, 0.0, 9.0, 9.0])]);
    let field =
        ProductOptions { zones: Some(scene.path("zones.gpkg")), zone_field: Some("number".into()), ..options() };
    assert!(attempt("a.gpkg", &field).unwrap().contains("have no field \"number\"; their fields are: "));
}

/// Two houses of 3 × 2 and 1 × 1 pixels of 2 m, in ground of the value 0: 24 m² and 4 m².
const HOUSES: [u16; 24] = [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0];

#[test]
fn plain_omits_polygons_below_min_area() {
    let scene = Scene::utm(&HOUSES, 6);
    let out = scene.path("plain.gpkg");
    let areas = |min_area: Option<f64>| {
        let options = ProductOptions { min_area, ..options() };
        let _ = std::fs::remove_file(&out);
        let summary = vectorize(&scene.labels, None, &classes(), Recipe::Plain, &out, &options).unwrap();
        let mut areas: Vec<f64> = read_back(&out).iter().map(|found| in_plane(found.real("area_m2"))).collect();
        areas.sort_by(f64::total_cmp);
        (areas, summary.notes)
    };
    let note = "1 polygon of one pixel is left out; a minimum area of 0 \
                (`segearth vectorize --min-area 0`, or `min_area: 0` in a job) keeps such polygons";
    assert_eq!(areas(None), (vec![24.0], vec![note.to_owned()]));
    assert_eq!(areas(Some(0.0)), (vec![4.0, 24.0], vec![]));
    assert_eq!(areas(Some(4.0)).0, [4.0, 24.0]);
    assert_eq!(areas(Some(4.5)).0, [24.0]);
    let (none, notes) = areas(Some(25.0));
    assert_eq!(none, [0.0; 0]);
    assert!(notes[0].contains("all 2 polygons of ") && notes[0].ends_with("the layer is empty"), "{notes:?}");
    // The ground around what is left out keeps its hole: 17 pixels of 4 m².
    let all = ProductOptions { min_area: Some(30.0), keep_background: true, ..options() };
    std::fs::remove_file(&out).unwrap();
    let summary = vectorize(&scene.labels, None, &classes(), Recipe::Plain, &out, &all).unwrap();
    assert_eq!((summary.polygons, in_plane(summary.classes[0].area)), (1, 17.0 * 4.0));
}

/// Square metres of the plane of UTM along its central meridian, rounded, of those on the ellipsoid.
fn in_plane(area: f64) -> f64 {
    (area / UTM_CENTRE).round()
}

/// The houses as a raster of another type, 0 and 1 written as the values given.
fn typed<T: gdal::raster::GdalType + Copy>(scene: &Scene, values: [T; 2], nodata: Option<f64>) -> PathBuf {
    let path = scene.path("typed.tif");
    let driver = gdal::DriverManager::get_driver_by_name("GTiff").unwrap();
    let mut dataset = driver.create_with_band_type::<T, _>(&path, 6, 4, 1).unwrap();
    dataset.set_geo_transform(&[500_000.0, 2.0, 0.0, 5_540_000.0, 0.0, -2.0]).unwrap();
    dataset.set_spatial_ref(&SpatialRef::from_epsg(32632).unwrap()).unwrap();
    let pixels = HOUSES.iter().map(|label| values[usize::from(*label)]).collect();
    let mut band = dataset.rasterband(1).unwrap();
    band.write((0, 0), (6, 4), &mut gdal::raster::Buffer::new((6, 4), pixels)).unwrap();
    band.set_no_data_value(nodata).unwrap();
    dataset.close().unwrap();
    path
}

#[test]
fn labels_of_every_type_keep_their_values() {
    let scene = Scene::utm(&HOUSES, 6);
    let out = scene.path("typed.gpkg");
    let found = |labels: &Path, recipe: Recipe, class: &str| {
        let classes = if class.is_empty() { vec![] } else { vec![class.to_owned()] };
        // Land cover keeps every corner, so that areas are those of the pixels.
        let tolerance = (recipe == Recipe::Landcover).then_some(0.0);
        let options = ProductOptions { classes, tolerance, min_area: Some(0.0), ..options() };
        let _ = std::fs::remove_file(&out);
        vectorize(labels, None, &[], recipe, &out, &options).unwrap();
        let mut found: Vec<(i64, f64)> =
            read_back(&out).iter().map(|found| (found.integer("class_id"), in_plane(found.real("area_m2")))).collect();
        found.sort_by(|a, b| a.partial_cmp(b).unwrap());
        found
    };
    // Twice: with both values, and with the first as nodata.
    let check = |labels: &dyn Fn(Option<f64>) -> PathBuf, values: [i64; 2]| {
        let mut both = vec![(values[0], 68.0), (values[1], 4.0), (values[1], 24.0)];
        both.sort_by(|a, b| a.partial_cmp(b).unwrap());
        for recipe in [Recipe::Plain, Recipe::Landcover] {
            assert_eq!(found(&labels(None), recipe, ""), both, "{values:?}");
            assert_eq!(found(&labels(Some(values[0] as f64)), recipe, ""), [(values[1], 4.0), (values[1], 24.0)]);
        }
        let one = found(&labels(None), Recipe::Plain, &values[1].to_string());
        assert_eq!(one, [(values[1], 4.0), (values[1], 24.0)]);
    };
    check(&|nodata| typed(&scene, [0u8, 255], nodata), [0, 255]);
    check(&|nodata| typed(&scene, [0u16, 65535], nodata), [0, 65535]);
    check(&|nodata| typed(&scene, [3u16, 1000], nodata), [3, 1000]);
    check(&|nodata| typed(&scene, [-5i16, 7], nodata), [-5, 7]);
    check(&|nodata| typed(&scene, [i32::MIN, 70_000], nodata), [i64::from(i32::MIN), 70_000]);
    check(&|nodata| typed(&scene, [0u32, u32::MAX], nodata), [0, i64::from(u32::MAX)]);
    check(&|nodata| typed(&scene, [-1f32, 2.0], nodata), [-1, 2]);
    check(&|nodata| typed(&scene, [0f64, 1e9], nodata), [0, 1_000_000_000]);
    // A nodata value that the type cannot represent has no effect.
    assert_eq!(found(&typed(&scene, [0u8, 1], Some(-9999.0)), Recipe::Plain, "").len(), 3);
    assert_eq!(found(&typed(&scene, [f32::NAN, 1.0], None), Recipe::Plain, ""), [(1, 4.0), (1, 24.0)]);

    let error = |labels: PathBuf| vectorize(&labels, None, &[], Recipe::Plain, &out, &options()).unwrap_err();
    let message = error(typed(&scene, [0f32, 1.5], None)).to_string();
    assert!(message.contains("the value 1.5 at column 1, row 1"), "{message}");
    let message = error(typed(&scene, [0f64, 1e300], None)).to_string();
    assert!(message.contains("at column 1, row 1; labels must be integers"), "{message}");
}

#[test]
fn unnamed_mask_requires_a_class() {
    let scene = Scene::utm(&HOUSES, 6);
    for recipe in [Recipe::Roads, Recipe::Buildings, Recipe::Water] {
        let out = scene.path("a.gpkg");
        let error = vectorize(&scene.labels, None, &[], recipe, &out, &options()).unwrap_err();
        assert!(error.to_string().ends_with("; it names none, its values are 0, 1"), "{error}");
        assert!(error.hint().unwrap().contains("--class NUMBER"), "{error}");
        assert!(!out.exists());
        let one = ProductOptions { classes: vec!["1".into()], min_area: Some(4.0), ..options() };
        assert!(vectorize(&scene.labels, None, &[], recipe, &out, &one).is_ok());
        std::fs::remove_file(out).unwrap();
    }
    let one = ProductOptions { classes: vec!["7".into()], ..options() };
    let water = vectorize(&scene.labels, None, &[], Recipe::Water, &scene.path("a.gpkg"), &one).unwrap();
    assert_eq!(water.polygons, 0);
    assert!(water.notes[0].contains("no pixel of the selected classes"), "{:?}", water.notes);
}

#[test]
fn scores_of_other_classes_are_refused() {
    let scene = Scene::utm(&HOUSES, 6);
    let scores = scene.scores(&[[0.25; 24], [0.75; 24]].concat(), 2);
    let describe = |names: [&str; 2]| {
        let flags = gdal::GdalOpenFlags::GDAL_OF_UPDATE;
        let options = gdal::DatasetOptions { open_flags: flags, ..Default::default() };
        let dataset = gdal::Dataset::open_ex(&scores, options).unwrap();
        for (band, name) in names.into_iter().enumerate() {
            use gdal::Metadata as _;
            dataset.rasterband(band + 1).unwrap().set_description(name).unwrap();
        }
        dataset.close().unwrap();
        vectorize(
            &scene.labels,
            Some(&scores),
            &classes(),
            Recipe::Plain,
            &scene.path(&format!("{}.gpkg", names[0])),
            &ProductOptions::default(),
        )
    };
    assert!(describe(["background", "Building"]).is_ok());
    assert!(describe(["first", "second"]).is_ok(), "other descriptions are ignored");
    let error = describe(["building", "background"]).unwrap_err().to_string();
    assert!(error.contains("band 1 of ") && error.contains("\"building\", which is the value 1 of "), "{error}");
}

#[test]
fn value_without_name_gets_no_layer() {
    let scene = Scene::utm(&HOUSES, 6);
    std::fs::write(
        scene.path("labels.tif.aux.xml"),
        "<PAMDataset><PAMRasterBand band=\"1\"><CategoryNames><Category>ground</Category></CategoryNames>\
         </PAMRasterBand></PAMDataset>",
    )
    .unwrap();
    let layers = ProductOptions { layer_per_class: true, ..options() };
    let out = scene.path("a.gpkg");
    let error = vectorize(&scene.labels, None, &[], Recipe::Plain, &out, &layers).unwrap_err();
    assert!(error.to_string().starts_with("the value 1 has no name"), "{error}");
    assert!(!out.exists());
    assert_eq!(vectorize(&scene.labels, None, &[], Recipe::Plain, &out, &options()).unwrap().polygons, 2);
}

#[test]
fn without_crs_areas_and_lengths_are_in_pixels() {
    // A geotransform with steps of 2, without a CRS.
    let scene = Scene::utm(&labels(), SIDE);
    let mut dataset = gdal::Dataset::open_ex(
        &scene.labels,
        gdal::DatasetOptions { open_flags: gdal::GdalOpenFlags::GDAL_OF_UPDATE, ..Default::default() },
    )
    .unwrap();
    dataset.set_projection("").unwrap();
    dataset.close().unwrap();
    let out = scene.path("water.gpkg");
    let lake = std::f64::consts::PI * (400.0 - 36.0);
    let summary = vectorize(&scene.labels, None, &classes(), Recipe::Water, &out, &options()).unwrap();
    assert!(summary.in_pixels && (summary.classes[0].area / lake - 1.0).abs() < 0.02, "{summary:?}");
    assert!(summary.notes[0].contains("has no CRS") && summary.notes[0].contains("in pixels"), "{:?}", summary.notes);
    let found = read_back(&out);
    assert!((found[0].real("area_px") / lake - 1.0).abs() < 0.02);
    assert!(found[0].envelope[0] > 500_000.0, "its own coordinates are kept");
    // An undefined Cartesian CRS, not one in degrees.
    let geopackage = gdal::Dataset::open(&out).unwrap();
    let sql = "SELECT srs_id FROM gpkg_geometry_columns";
    let mut result = geopackage.execute_sql(sql, None, gdal::vector::sql::Dialect::DEFAULT).unwrap().unwrap();
    let id = result.features().next().unwrap().field(0).unwrap().and_then(gdal::vector::FieldValue::into_int);
    assert_eq!(id, Some(-1));

    let (roads, graph) = (scene.path("roads.gpkg"), scene.path("roads.graphml"));
    let with = ProductOptions { graph: Some(graph), ..options() };
    let summary = vectorize(&scene.labels, None, &classes(), Recipe::Roads, &roads, &with).unwrap();
    assert!(summary.notes[0].contains(" pixels in total"), "{:?}", summary.notes);
    let found = read_back(&roads);
    let length: f64 = of_layer(&found, "roads").iter().map(|road| road.real("length_px")).sum();
    assert!((length - (120.0 + 60.0)).abs() < 6.0, "{length}");
    assert!(of_layer(&found, "roads").iter().all(|road| (road.real("width_px") - 6.0).abs() < 1.0));
    for file in ["a.geojson", "a.ndjson"] {
        let error = validate(None, &scene.path(file), &options()).unwrap_err();
        assert!(error.to_string().contains("the labels have no CRS"), "{error}");
    }
    assert!(validate(None, &scene.path("a.parquet"), &options()).is_ok());
}

#[test]
fn image_is_not_a_label_raster() {
    let scene = Scene::utm(&labels(), SIDE);
    let picture = scene.path("picture.tif");
    let driver = gdal::DriverManager::get_driver_by_name("GTiff").unwrap();
    let rgb = gdal::raster::RasterCreationOptions::from_iter(["PHOTOMETRIC=RGB"]);
    driver.create_with_band_type_with_options::<u8, _>(&picture, 8, 8, 3, &rgb).unwrap().close().unwrap();
    let error =
        vectorize(&picture, None, &[], Recipe::Plain, &scene.path("a.gpkg"), &ProductOptions::default()).unwrap_err();
    assert!(error.to_string().contains("an image with 3 bands, the first of them red"), "{error}");
}

#[test]
fn land_cover_merges_single_pixels_and_says_so() {
    let scene = Scene::utm(&HOUSES, 6);
    let out = scene.path("cover.gpkg");
    let count = |min_area: Option<f64>| {
        let _ = std::fs::remove_file(&out);
        let options = ProductOptions { min_area, keep_background: true, tolerance: Some(0.0), ..options() };
        let summary = vectorize(&scene.labels, None, &classes(), Recipe::Landcover, &out, &options).unwrap();
        (summary.polygons, summary.notes)
    };
    let (polygons, notes) = count(None);
    assert_eq!(polygons, 2);
    assert!(notes[0].starts_with("1 region of one pixel is merged"), "{notes:?}");
    assert_eq!(count(Some(0.0)), (3, vec![]));
}

/// The styles of a GeoPackage: layer, name, whether it is the default, and the QML.
fn styles(path: &Path) -> Vec<(String, String, bool, String)> {
    let dataset = gdal::Dataset::open(path).unwrap();
    let mut layer = dataset.layer_by_name("layer_styles").unwrap();
    let text = |feature: &gdal::vector::Feature<'_>, name: &str| {
        let index = feature.field_index(name).unwrap();
        feature.field_as_string(index).unwrap().unwrap_or_default()
    };
    let mut found: Vec<_> = layer
        .features()
        .map(|row| {
            let default = text(&row, "useAsDefault") == "1";
            (text(&row, "f_table_name"), text(&row, "styleName"), default, text(&row, "styleQML"))
        })
        .collect();
    found.sort();
    found
}

#[test]
fn geopackage_holds_a_style_for_each_layer_and_keeps_those_of_users() {
    let scene = Scene::utm(&labels(), SIDE);
    let out = scene.path("roads.gpkg");
    let colours = [[9, 9, 9], [214, 48, 39], [96, 96, 104], [31, 102, 210]];
    let mut classes = classes();
    classes.iter_mut().zip(colours).for_each(|(class, colour)| class.colour = colour);
    vectorize(&scene.labels, None, &classes, Recipe::Roads, &out, &options()).unwrap();
    let found = styles(&out);
    let names: Vec<&str> = found.iter().map(|(layer, ..)| layer.as_str()).collect();
    assert_eq!(names, ["areas", "nodes", "roads"]);
    assert!(found.iter().all(|(_, name, default, _)| name == "segearth classes" && *default), "{found:?}");
    let qml = &found[2].3;
    assert!(qml.contains("value=\"road\"") && qml.contains("96,96,104") && !qml.contains("water"), "{qml}");
    assert!(qml.contains("field=\"length_m\" name=\"Length (m)\""), "{qml}");
    // A default of the user's stays the default when the layer is written again, as `outputs` does it.
    {
        let dataset = super::super::geopackage::open(&out, true).unwrap();
        let sql = "UPDATE layer_styles SET styleName = 'mine', owner = 'me' WHERE f_table_name = 'roads'";
        let _ = dataset.execute_sql(sql, None, gdal::vector::sql::Dialect::DEFAULT);
        dataset.close().unwrap();
    }
    let copy = scene.path("copy.gpkg");
    let layers = ["roads", "nodes", "areas"].map(String::from);
    super::super::geopackage::copy_without(&out, &copy, &layers).unwrap();
    vectorize(&scene.labels, None, &classes, Recipe::Roads, &copy, &options()).unwrap();
    let found = styles(&copy);
    let roads: Vec<(&str, bool)> = found
        .iter()
        .filter(|(layer, ..)| layer == "roads")
        .map(|(_, name, default, _)| (name.as_str(), *default))
        .collect();
    assert_eq!(roads, [("mine", true), ("segearth classes", false)]);
    assert_eq!(found.len(), 4, "{found:?}");
}

#[test]
fn fields_on_request_say_how_a_polygon_was_found() {
    let scene = Scene::utm(&HOUSES, 6);
    {
        use gdal::Metadata as _;
        let open_flags = gdal::GdalOpenFlags::GDAL_OF_UPDATE;
        let options = gdal::DatasetOptions { open_flags, ..Default::default() };
        let mut dataset = gdal::Dataset::open_ex(&scene.labels, options).unwrap();
        dataset.set_metadata_item("SEGEARTH_SCENE", "city.tif", "").unwrap();
        dataset.set_metadata_item("SEGEARTH_CLASSES", "background: background; building: building,roof", "").unwrap();
        dataset.close().unwrap();
    }
    let out = scene.path("houses.gpkg");
    let fields = vec![crate::scene::ExtraField::Scene, crate::scene::ExtraField::Prompts];
    let options = ProductOptions { fields, ..options() };
    vectorize(&scene.labels, None, &classes()[..2], Recipe::Buildings, &out, &options).unwrap();
    let found = read_back(&out);
    assert_eq!((found[0].text("scene"), found[0].text("prompts")), ("city.tif".into(), "building,roof".into()));
    let dataset = gdal::Dataset::open(&out).unwrap();
    let layer = dataset.layer_by_name("houses").unwrap();
    use gdal::Metadata as _;
    assert_eq!(layer.metadata_item("SEGEARTH_SCENE", "").as_deref(), Some("city.tif"));
    assert!(layer.metadata_item("SEGEARTH_DATE", "").is_some_and(|date| date.ends_with('Z')));
}
