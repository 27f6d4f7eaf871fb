//! Examples of all kinds, on scenes of all kinds.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use gdal::spatial_ref::SpatialRef;
use gdal::vector::{FieldDefn, FieldValue, Geometry, LayerAccess, LayerOptions, OGRFieldType, OGRwkbGeometryType};

use super::super::test_scenes::{georeference, make, plane};
use super::*;
use crate::geom::{Region, Size};
use crate::scene::{Access, Georeference};

const SIZE: Size = Size { width: 200, height: 100 };
/// Upper left corner at 500000, 5600000; pixels of 2 m.
const NORTH_UP: [f64; 6] = [500_000.0, 2.0, 0.0, 5_600_000.0, 0.0, -2.0];

fn scene_of(size: Size, georeference: Option<Georeference>) -> SceneInfo {
    SceneInfo { path: "scene.tif".into(), size, bands: Vec::new(), georeference, access: Access::default() }
}

fn scene() -> SceneInfo {
    scene_of(SIZE, Some(georeference(NORTH_UP, 32632)))
}

fn pixels_only(size: Size) -> SceneInfo {
    scene_of(size, None)
}

fn source(path: &Path) -> ExampleSource<'_> {
    ExampleSource { path, layer: None, class_field: None, codes: None, radius: 0.0, most: 50 }
}

/// A file without CRS: the coordinates are pixels where the scene has no georeference.
fn csv(name: &str, rows: &[(&str, &str)]) -> String {
    super::super::init();
    let path = format!("/vsimem/examples_{name}.csv");
    let lines: String = rows.iter().map(|(class, wkt)| format!("{class},\"{wkt}\"\n")).collect();
    gdal::vsi::create_mem_file(&path, format!("class,WKT\n{lines}").into_bytes()).unwrap();
    path
}

/// Classes and geometries as WKT.
type Features<'a> = &'a [(Option<&'a str>, &'a str)];

/// A GeoPackage with one layer for each list of features.
fn geopackage(path: &Path, epsg: Option<u32>, layers: &[(&str, Features<'_>)]) {
    super::super::init();
    let driver = gdal::DriverManager::get_driver_by_name("GPKG").unwrap();
    let mut dataset = driver.create_vector_only(path).unwrap();
    let srs = epsg.map(|code| {
        let mut srs = SpatialRef::from_epsg(code).unwrap();
        srs.set_axis_mapping_strategy(gdal::spatial_ref::AxisMappingStrategy::TraditionalGisOrder);
        srs
    });
    for (name, features) in layers {
        let options =
            LayerOptions { name, srs: srs.as_ref(), ty: OGRwkbGeometryType::wkbUnknown, ..Default::default() };
        let layer = dataset.create_layer(options).unwrap();
        FieldDefn::new("kind", OGRFieldType::OFTString).unwrap().add_to_layer(&layer).unwrap();
        for (class, wkt) in *features {
            let mut feature = gdal::vector::Feature::new(layer.defn()).unwrap();
            feature.set_geometry(Geometry::from_wkt(wkt).unwrap()).unwrap();
            if let Some(class) = class {
                feature.set_field(0, &FieldValue::StringValue((*class).to_owned())).unwrap();
            }
            feature.create(&layer).unwrap();
        }
    }
    dataset.close().unwrap();
}

fn read(path: &str, scene: &SceneInfo) -> Examples {
    read_examples(&source(path.as_ref()), scene).unwrap()
}

fn message(source: &ExampleSource<'_>, scene: &SceneInfo) -> String {
    let error = read_examples(source, scene).unwrap_err();
    assert_eq!(error.exit_code(), 1);
    format!("{error} / {} / {}", error.causes().join(" / "), error.hint().unwrap_or_default())
}

#[test]
fn points_lines_polygons_and_collections_become_pixels() {
    let path = csv(
        "kinds",
        &[
            ("point", "POINT (3.5 4.5)"),
            ("points", "MULTIPOINT (10 10, 12 10, 10.5 10.5)"),
            ("line", "LINESTRING (20.5 3, 20.5 6)"),
            ("lines", "MULTILINESTRING ((30 3.5, 32 3.5), (35 3.5, 36 3.5))"),
            ("polygon", "POLYGON ((40 3, 43 3, 43 5, 40 5, 40 3), (41 3, 42 3, 42 4, 41 4, 41 3))"),
            ("polygons", "MULTIPOLYGON (((50 3, 51 3, 51 4, 50 4, 50 3)), ((60 3, 61 3, 61 4, 60 4, 60 3)))"),
            ("mixed", "GEOMETRYCOLLECTION (POINT (70 3), LINESTRING (72 3.5, 73 3.5))"),
            ("deep", "POINT Z (80.5 3.5 100)"),
            ("curved", "CURVEPOLYGON (CIRCULARSTRING (90 5, 92 3, 94 5, 92 7, 90 5))"),
        ],
    );
    let found = read(&path, &pixels_only(SIZE));
    assert_eq!(found.skipped, Skipped::default());
    let pixels: Vec<_> = found.examples.iter().map(|e| (found.classes[e.class].as_str(), e.pixels.clone())).collect();
    let round: Vec<[usize; 2]> = [3, 4, 5, 6]
        .iter()
        .flat_map(|&row| (if row == 3 || row == 6 { 91..93 } else { 90..94 }).map(move |col| [col, row]))
        .collect();
    assert_eq!(
        pixels,
        [
            ("point", vec![[3, 4]]),
            ("points", vec![[10, 10], [12, 10]]),
            ("line", vec![[20, 3], [20, 4], [20, 5]]),
            ("lines", vec![[30, 3], [31, 3], [35, 3]]),
            ("polygon", vec![[40, 3], [42, 3], [40, 4], [41, 4], [42, 4]]),
            ("polygons", vec![[50, 3], [60, 3]]),
            ("mixed", vec![[72, 3], [70, 3]]),
            ("deep", vec![[80, 3]]),
            ("curved", round),
        ]
    );
    assert_eq!(found.examples[1].name, "feature 2");
    assert_eq!(found.examples[1].id, 1);
}

#[test]
fn large_polygon_does_not_outvote_small_ones() {
    let side = 40_000;
    let path = csv(
        "large",
        &[
            ("fields", &format!("POLYGON ((0 0, {side} 0, {side} {side}, 0 {side}, 0 0))")),
            ("houses", "POLYGON ((-5 -5, 3 -5, 3 3, -5 3, -5 -5))"),
        ],
    );
    let scene = pixels_only(Size::new(side, side));
    let most = 60;
    let found = read_examples(&ExampleSource { most, ..source(path.as_ref()) }, &scene).unwrap();
    assert_eq!(found.examples[0].pixels.len(), most);
    let quarter = |&[col, row]: &[usize; 2]| (col < side / 2, row < side / 2);
    for part in [(true, true), (true, false), (false, true), (false, false)] {
        let count = found.examples[0].pixels.iter().filter(|pixel| quarter(pixel) == part).count();
        assert!((12..=18).contains(&count), "{part:?}: {count}");
    }
    assert_eq!(found.skipped.nothing_left, [1], "the house lies in the field");
    assert_eq!(found.skipped.conflicting_pixels, 9);
}

#[test]
fn slivers_take_their_nearest_pixels() {
    let path = csv(
        "slivers",
        &[
            ("tiny", "POLYGON ((5.1 5.1, 5.3 5.1, 5.3 5.3, 5.1 5.1))"),
            ("thin", "POLYGON ((10 20.1, 15 20.1, 15 20.3, 10 20.3, 10 20.1))"),
        ],
    );
    let found = read(&path, &pixels_only(SIZE));
    assert_eq!(found.examples[0].pixels, [[5, 5]]);
    let thin: BTreeSet<_> = found.examples[1].pixels.iter().copied().collect();
    assert!(thin.len() >= 4 && thin.iter().all(|&[col, row]| (10..=15).contains(&col) && row == 20), "{thin:?}");
}

#[test]
fn points_take_discs_in_metres() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("points.gpkg");
    geopackage(&path, Some(32632), &[("clicks", &[(Some("roof"), "POINT (500101 5599899)")])]);
    let wide = ExampleSource { class_field: Some("KIND"), radius: 4.1, ..source(&path) };
    let found = read_examples(&wide, &scene()).unwrap();
    // Pixels of 2 m: a disc of two pixels around column 50, row 50.
    assert_eq!(found.examples[0].pixels.len(), 13);
    assert!(found.examples[0].pixels.contains(&[50, 50]) && found.examples[0].pixels.contains(&[52, 50]));
    let few = ExampleSource { most: 5, ..wide };
    assert_eq!(read_examples(&few, &scene()).unwrap().examples[0].pixels.len(), 5);
}

#[test]
fn any_crs_lands_on_the_same_pixels() {
    let folder = tempfile::tempdir().unwrap();
    // 9 degrees east is the central meridian of UTM zone 32; the second ring is the first one from `gdaltransform`.
    let (utm, degrees) = (folder.path().join("utm.gpkg"), folder.path().join("degrees.geojson"));
    let ring = [(500_100.0, 5_599_980.0), (500_180.0, 5_599_980.0), (500_180.0, 5_599_900.0), (500_100.0, 5_599_900.0)];
    let mut from = SpatialRef::from_epsg(32632).unwrap();
    let mut to = SpatialRef::from_epsg(4326).unwrap();
    from.set_axis_mapping_strategy(gdal::spatial_ref::AxisMappingStrategy::TraditionalGisOrder);
    to.set_axis_mapping_strategy(gdal::spatial_ref::AxisMappingStrategy::TraditionalGisOrder);
    let transform = gdal::spatial_ref::CoordTransform::new(&from, &to).unwrap();
    let (mut x, mut y): (Vec<f64>, Vec<f64>) = ring.iter().copied().unzip();
    let text = |x: &[f64], y: &[f64], open: &str, between: &str, close: &str| {
        let points: Vec<String> =
            x.iter().zip(y).chain([(&x[0], &y[0])]).map(|(x, y)| format!("{open}{x}{between}{y}{close}")).collect();
        points.join(", ")
    };
    geopackage(&utm, Some(32632), &[("a", &[(Some("1"), &format!("POLYGON (({}))", text(&x, &y, "", " ", "")))])]);
    transform.transform_coords(&mut x, &mut y, &mut []).unwrap();
    let geojson = format!(
        r#"{{"type":"FeatureCollection","features":[{{"type":"Feature","properties":{{"kind":1}},
           "geometry":{{"type":"Polygon","coordinates":[[{}]]}}}}]}}"#,
        text(&x, &y, "[", ",", "]")
    );
    std::fs::write(&degrees, geojson).unwrap();
    let named = |path| ExampleSource { class_field: Some("kind"), most: 5000, ..source(path) };
    let expected = read_examples(&named(&utm), &scene()).unwrap();
    assert_eq!(expected.examples[0].pixels.len(), 40 * 40);
    let found = read_examples(&named(&degrees), &scene()).unwrap();
    assert_eq!(found.examples[0].pixels, expected.examples[0].pixels);
    assert_eq!(found.classes, ["1"], "numbers become their text");
}

#[test]
fn rotated_and_resampled_grids_take_the_pixels_under_a_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("point.gpkg");
    let (sin, cos) = 0.5f64.sin_cos();
    let coefficients = [500_000.0, 2.0 * cos, 2.0 * sin, 5_600_000.0, 2.0 * sin, -2.0 * cos];
    let rotated = georeference(coefficients, 32632);
    let place = rotated.transform.to_world(70.5, 30.5);
    geopackage(&path, Some(32632), &[("a", &[(Some("x"), &format!("POINT ({} {})", place.x, place.y))])]);
    let named = ExampleSource { class_field: Some("kind"), ..source(&path) };
    let found = read_examples(&named, &scene_of(SIZE, Some(rotated.clone()))).unwrap();
    assert_eq!(found.examples[0].pixels, [[70, 30]]);
    let coarse = Georeference { transform: rotated.transform.scaled([4.0, 5.0]), ..rotated };
    let found = read_examples(&named, &scene_of(Size::new(50, 20), Some(coarse))).unwrap();
    assert_eq!(found.examples[0].pixels, [[17, 6]]);
}

#[test]
fn longitudes_beyond_the_antimeridian_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pacific.gpkg");
    geopackage(&path, Some(4326), &[("a", &[(Some("sea"), "POINT (-179.945 10.045)")])]);
    let over = scene_of(SIZE, Some(georeference([179.0, 0.01, 0.0, 10.5, 0.0, -0.01], 4326)));
    let named = ExampleSource { class_field: Some("kind"), ..source(&path) };
    assert_eq!(read_examples(&named, &over).unwrap().examples[0].pixels, [[105, 45]]);
}

#[test]
fn what_is_left_out_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("skipped.gpkg");
    let at = |col: f64, row: f64| format!("POINT ({} {})", 500_000.0 + 2.0 * col, 5_600_000.0 - 2.0 * row);
    let (a, same, other, empty) = (at(10.5, 10.5), at(10.4, 10.4), at(10.6, 10.6), at(20.5, 20.5));
    let outside = at(-0.5, 5.0);
    geopackage(
        &path,
        Some(32632),
        &[(
            "a",
            &[
                (Some("Roof"), &a),
                (Some("roof "), &same),
                (Some("water"), &other),
                (None, &empty),
                (Some("  "), &empty),
                (Some("roof"), &outside),
                (Some("roof"), "POINT EMPTY"),
                (Some("roof"), &empty),
                (Some("roof"), &empty),
                // Its longitude and latitude have no place in this zone.
                (Some("roof"), "POINT (1e30 1e30)"),
            ],
        )],
    );
    let named = ExampleSource { class_field: Some("kind"), ..source(&path) };
    let found = read_examples(&named, &scene()).unwrap();
    assert_eq!(found.classes, ["Roof", "water"]);
    assert_eq!(found.examples.len(), 1);
    assert_eq!((found.examples[0].id, found.examples[0].pixels.as_slice()), (7, &[[20, 20]][..]));
    let expected = Skipped {
        no_degrees: 0,
        outside: vec![5, 9],
        without_class: 2,
        without_geometry: 1,
        conflicting_pixels: 1,
        nothing_left: vec![0, 1, 2, 8],
        duplicate_pixels: 1,
    };
    assert_eq!(found.skipped, expected);
}

#[test]
fn area_of_interest_bounds_all_kinds() {
    let path = csv(
        "aoi",
        &[
            ("a", "POLYGON ((0 0, 200 0, 200 100, 0 100, 0 0))"),
            ("b", "POINT (150 50)"),
            ("c", "LINESTRING (0 200, 5 200)"),
        ],
    );
    let mut scene = pixels_only(SIZE);
    let ring = vec![[10.0, 10.0], [20.0, 10.0], [20.0, 14.0], [10.0, 14.0]];
    scene.access.area = Some(Arc::new(Region::new(vec![vec![ring]], SIZE)));
    let found = read(&path, &scene);
    assert_eq!(found.examples.len(), 1);
    assert_eq!(found.examples[0].pixels.len(), 40, "all that the polygon has in the area");
    assert_eq!(found.skipped.outside, [1, 2]);
}

#[test]
fn crs_of_examples_and_scene_must_fit() {
    let folder = tempfile::tempdir().unwrap();
    let points: Features<'_> = &[(Some("x"), "POINT (3 4)")];
    let [bare, placed] = ["bare.gpkg", "placed.gpkg"].map(|name| folder.path().join(name));
    geopackage(&bare, None, &[("a", points)]);
    geopackage(&placed, Some(4326), &[("a", points)]);
    let named = |path| ExampleSource { class_field: Some("kind"), ..source(path) };
    let found = message(&named(&bare), &scene());
    assert!(found.contains("bare.gpkg have no CRS") && found.contains("ogr2ogr -a_srs"), "{found}");
    // As the program writes pixel coordinates.
    assert_eq!(read_examples(&named(&bare), &pixels_only(SIZE)).unwrap().examples[0].pixels, [[3, 4]]);
    let found = message(&named(&placed), &pixels_only(SIZE));
    assert!(found.contains("scene.tif has no georeference") && found.contains("GeoJSON always has one"), "{found}");
    let mut plain = georeference(NORTH_UP, 32632);
    plain.crs_wkt = None;
    let found = message(&named(&placed), &scene_of(SIZE, Some(plain.clone())));
    assert!(found.contains("scene.tif has no CRS") && found.contains("gdal_edit.py"), "{found}");
    plain.transform.coefficients = [0.0, 2.0, 0.0, 8.0, 0.0, -2.0];
    let found = read_examples(&named(&bare), &scene_of(SIZE, Some(plain))).unwrap();
    assert_eq!(found.examples[0].pixels, [[1, 2]]);
}

#[test]
fn bad_files_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("two.gpkg");
    let points: Features<'_> = &[(Some("x"), "POINT (3 4)")];
    geopackage(&path, Some(32632), &[("clicks", points), ("areas", points)]);
    let found = message(&source(&path), &scene());
    assert!(found.contains("2 layers: clicks, areas") && found.contains("--examples FILE:LAYER"), "{found}");
    let one = ExampleSource { layer: Some("clicks"), ..source(&path) };
    let found = message(&one, &scene());
    assert!(found.contains("no field \"class\"; their fields are: kind") && found.contains("--class-field"), "{found}");
    let named = ExampleSource { class_field: Some("kind"), ..one };
    assert_eq!(read_examples(&named, &scene()).unwrap().skipped.outside, [0]);
    let found = message(&source("none/clicks.gpkg".as_ref()), &scene());
    assert!(found.starts_with("there is no file none/clicks.gpkg"), "{found}");
    let text = folder.path().join("text.gpkg");
    std::fs::write(&text, "no GeoPackage").unwrap();
    assert!(message(&source(&text), &scene()).starts_with("cannot open"));
    let many: Vec<(String, String)> = (0..1100).map(|index| (index.to_string(), "POINT (1 1)".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(class, wkt)| (class.as_str(), wkt.as_str())).collect();
    let found = message(&source(csv("many", &many).as_ref()), &pixels_only(SIZE));
    assert!(found.contains("more than 1024 different classes"), "{found}");
}

#[test]
fn label_raster_gives_blocks_of_its_classes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.tif");
    // On a grid of half the resolution that begins 20 pixels of the scene further east: water left of column 60.
    let size = Size::new(90, 50);
    let stored = plane(size, |col, row| if row == 0 { 255u8 } else { u8::from(col >= 20) });
    make(&path, size, &[stored], &[], |dataset| {
        dataset.set_geo_transform(&[500_040.0, 4.0, 0.0, 5_600_000.0, 0.0, -4.0]).unwrap();
        dataset.set_spatial_ref(&SpatialRef::from_epsg(32632).unwrap()).unwrap();
        dataset.rasterband(1).unwrap().set_no_data_value(Some(255.0)).unwrap();
    });
    let found = read_examples(&source(&path), &scene()).unwrap();
    assert_eq!(found.classes, ["0", "1"]);
    // The scene has 4 × 2 blocks of 64 pixels, of which the first has both classes.
    assert_eq!(found.examples.iter().map(|example| example.class).collect::<Vec<_>>(), [0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
    assert_eq!(found.examples[2].name, "block at column 0, row 0");
    for example in &found.examples {
        assert_eq!(example.pixels.len(), 50);
        for &[col, row] in &example.pixels {
            assert!(row >= 2 && (20..200).contains(&col), "{col}, {row}");
            assert_eq!(example.class, usize::from(col >= 60), "{col}, {row}");
        }
    }
    let mut codes = LabelCodes::default();
    codes.values.insert(0, Some("water".into()));
    let mapped = ExampleSource { codes: Some(&codes), ..source(&path) };
    let error = message(&mapped, &scene());
    assert!(error.contains("labels.tif / it has the value 1, which the class map does not assign"), "{error}");
    codes.values.insert(1, None);
    let mapped = ExampleSource { codes: Some(&codes), ..source(&path) };
    let found = read_examples(&mapped, &scene()).unwrap();
    assert_eq!((found.classes, found.examples.len()), (vec!["water".to_owned()], 2));
    let named = ExampleSource { class_field: Some("kind"), ..source(&path) };
    assert!(message(&named, &scene()).contains("is a raster, which has no field \"kind\""));
}

#[test]
fn blocks_of_a_large_label_raster_are_bounded_and_spread() {
    let size = Size::new(64 * 60, 64 * 40);
    let name = "/vsimem/examples_blocks.tif";
    let stored = plane(size, |_, row| u8::from(row >= 64));
    make(name, size, &[stored], &["COMPRESS=DEFLATE"], |_| {});
    let few = ExampleSource { most: 3, ..source(name.as_ref()) };
    let found = read_examples(&few, &pixels_only(size)).unwrap();
    let of = |class| found.examples.iter().filter(move |example| example.class == class);
    assert_eq!((of(0).count(), of(1).count()), (60, 256));
    let quarter = |example: &&Example| example.pixels[0][0] < size.width / 2 && example.pixels[0][1] < size.height / 2;
    let count = of(1).filter(quarter).count();
    assert!((48..=80).contains(&count), "{count}");
    assert!(found.examples.iter().all(|example| example.pixels.len() == 3));
}

/// The sample scene's examples and reference name the classes of the job, lie in the scene, and are apart from each other.
#[test]
fn sample_data_is_consistent() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_data");
    let scene = super::super::inspect(folder.join("itaipu.tif")).unwrap();
    let all = |name: &str| {
        let path = folder.join(name);
        let found = read_examples(&ExampleSource { most: 100_000, ..source(&path) }, &scene).unwrap();
        assert_eq!(found.classes, ["water", "forest", "fields", "built-up"]);
        assert_eq!(found.skipped, Skipped::default());
        found
    };
    let (examples, reference) = (all("itaipu_examples.geojson"), all("itaipu_reference.geojson"));
    let count = |found: &Examples, class| found.examples.iter().filter(|example| example.class == class).count();
    assert_eq!([0, 1, 2, 3].map(|class| count(&examples, class)), [7, 7, 8, 7]);
    assert_eq!([0, 1, 2, 3].map(|class| count(&reference, class)), [4, 3, 5, 4]);
    let pixels = |found: &Examples| found.examples.iter().flat_map(|e| e.pixels.clone()).collect::<BTreeSet<_>>();
    assert!(pixels(&examples).is_disjoint(&pixels(&reference)));
}
