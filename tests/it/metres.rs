//! Areas and lengths that users read: on the ellipsoid, whatever the CRS; pixels where there is none.

use std::path::Path;

use gdal::spatial_ref::SpatialRef;
use gdal::vector::{Geometry, LayerAccess as _};
use gdal::{Dataset, Gcp};

use crate::scenes::{noise, write_bands};
use crate::workdir::Workdir;

/// Web Mercator at 60° north, 10.78° east.
const LEFT: f64 = 1_200_000.0;
const TOP: f64 = 8_399_737.889_818;

/// A raster of classes 0 to 2 with its upper left corner `margin` units outside of (`LEFT`, `TOP`).
fn web_mercator(path: &Path, size: (usize, usize), step: f64, margin: f64, class: impl Fn(usize, usize) -> u8) {
    let labels = (0..size.0 * size.1).map(|at| class(at % size.0, at / size.0)).collect();
    write_bands::<u8>(path, size, &[labels], |dataset| {
        dataset.set_geo_transform(&[LEFT - margin, step, 0.0, TOP + margin, 0.0, -step]).expect("a geotransform");
        dataset.set_spatial_ref(&SpatialRef::from_epsg(3857).expect("a CRS")).expect("a CRS");
        name_classes(dataset);
    });
}

fn name_classes(dataset: &mut Dataset) {
    let mut band = dataset.rasterband(1).expect("a band");
    band.set_no_data_value(Some(255.0)).expect("a nodata value");
    for (value, name) in ["background", "building", "road"].iter().enumerate() {
        gdal::Metadata::set_metadata_item(&mut band, &format!("CLASS_{value}"), name, "").expect("a name");
    }
}

/// A block of 700 × 400 units, so 280,000 m² on the map.
fn block(path: &Path) {
    web_mercator(path, (200, 140), 5.0, 100.0, |col, row| {
        u8::from((20..160).contains(&col) && (20..100).contains(&row))
    });
}

/// Of every feature of a layer: a field, and the geometry.
fn features(path: &Path, layer: &str, fields: &[&str]) -> Vec<(Vec<f64>, Geometry)> {
    let dataset = Dataset::open(path).expect("vectors");
    let mut layer = dataset.layer_by_name(layer).expect("the layer");
    layer
        .features()
        .map(|feature| {
            let value = |name: &&str| {
                let index = feature.field_index(name).expect("a field");
                feature.field_as_double(index).expect("a number").expect("a value")
            };
            (fields.iter().map(value).collect(), feature.geometry().expect("a geometry").clone())
        })
        .collect()
}

#[track_caller]
fn near(found: f64, expected: f64) {
    assert!((found / expected - 1.0).abs() < 1e-4, "{found} is not {expected}");
}

/// The block's area and perimeter by PROJ 9.5 and GeographicLib, every edge cut into 4000 pieces.
const BLOCK: [f64; 2] = [70_238.693, 1_102.127];

#[test]
fn polygons_in_web_mercator_are_measured_on_the_ground() {
    let work = Workdir::new();
    block(&work.path("block.tif"));
    for recipe in ["plain", "buildings", "landcover --tolerance 0"] {
        let least = if recipe == "plain" { "" } else { "--min-area 70000" };
        let name = recipe.split(' ').next().expect("a word");
        let command = format!("vectorize block.tif -o {name}.gpkg --class 1 --recipe {recipe} {least}");
        let ran = work.ok(command.split_whitespace());
        let found = features(&work.path(&format!("{name}.gpkg")), name, &["area_m2", "perimeter_m"]);
        assert_eq!(found.len(), 1, "{recipe}: {}", ran.stdout);
        near(found[0].0[0], BLOCK[0]);
        near(found[0].0[1], BLOCK[1]);
        near(found[0].1.area(), 280_000.0);
        assert!(ran.stdout.contains("7.024 ha"), "{}", ran.stdout);
    }
    // The least area is one on the ground.
    let ran = work.ok("vectorize block.tif -o b.gpkg --class 1 --recipe buildings --min-area 71000".split(' '));
    assert!(ran.stdout.contains("b.gpkg: 0 polygons"), "{}", ran.stdout);
    // Zones lie in other CRSs, and reach beyond the scene.
    work.write(
        "zones.geojson",
        r#"{"type":"FeatureCollection","features":[{"type":"Feature","properties":{"name":"all"},"geometry":{"type":"Polygon",
           "coordinates":[[[10.7,59.9],[10.9,59.9],[10.9,60.1],[10.7,60.1],[10.7,59.9]]]}}]}"#,
    );
    work.ok(
        "vectorize block.tif -o w.gpkg --recipe water --class 1 --tolerance 0 --smooth false --zones zones.geojson"
            .split(' '),
    );
    let table = std::fs::read_to_string(work.path("w_zones.csv")).expect("a table");
    let row: Vec<f64> =
        table.lines().nth(1).expect("a zone").split(',').skip(1).map(|cell| cell.parse().expect("a number")).collect();
    // By GeographicLib with every edge cut into 4000 pieces: 0.2° × 0.2° from 59.9° north.
    near(row[0], ZONE);
    near(row[1], BLOCK[0]);
}

const ZONE: f64 = 248_672_099.6;

#[test]
fn roads_in_web_mercator_are_as_long_and_wide_as_on_the_ground() {
    let work = Workdir::new();
    web_mercator(&work.path("road.tif"), (460, 60), 1.0, 30.0, |col, row| {
        if (30..430).contains(&col) && (26..34).contains(&row) { 2 } else { 0 }
    });
    work.ok("vectorize road.tif -o r.gpkg --class 2 --recipe roads --graph r.graphml --min-length 190".split(' '));
    let found = features(&work.path("r.gpkg"), "roads", &["length_m", "width_m"]);
    assert_eq!(found.len(), 1);
    // A unit to the east has 0.50126 m at 60°: the parallel's radius over the sphere's.
    let length = found[0].1.length() * 0.501_260_5;
    near(found[0].0[0], length);
    assert!((found[0].0[0] - 200.5).abs() < 2.0 && (found[0].0[1] - 4.0).abs() < 0.3, "{:?}", found[0].0);
    let graph = std::fs::read_to_string(work.path("r.graphml")).expect("a graph");
    let start = graph.find("<data key=\"length\">").expect("a length") + "<data key=\"length\">".len();
    let text = &graph[start..start + graph[start..].find('<').expect("an end")];
    near(text.parse().expect("a number"), length);
    let ran = work.ok("vectorize road.tif -o none.gpkg --class 2 --recipe roads --min-length 210".split(' '));
    assert!(ran.stderr.contains("no road of the minimum length"), "{}", ran.stderr);
}

#[test]
fn two_metres_are_two_metres_for_the_model() {
    let work = Workdir::new();
    let size = (400, 400);
    let bands: Vec<Vec<u8>> = (0..3).map(|_| noise(160_000)).collect();
    write_bands(&work.path("scene.tif"), size, &bands, |dataset| {
        dataset.set_geo_transform(&[LEFT, 1.0, 0.0, TOP, 0.0, -1.0]).expect("a geotransform");
        dataset.set_spatial_ref(&SpatialRef::from_epsg(3857).expect("a CRS")).expect("a CRS");
    });
    let ran = work.ok("segment scene.tif --model fake:identity -c a;b -o out/labels.tif --resolution 2".split(' '));
    let labels = Dataset::open(work.path("out/labels.tif")).expect("labels");
    assert_eq!(labels.raster_size(), (100, 100));
    // 400 × 400 units have 200.5 × 200.2 m there, of which pixels of 2 m cover 200 × 200 m.
    assert!(ran.stdout.contains("100 × 100 pixels, 4.000 ha"), "{}", ran.stdout);
}

#[test]
fn changes_in_web_mercator_have_their_areas_on_the_ground() {
    let work = Workdir::new();
    block(&work.path("after.tif"));
    web_mercator(&work.path("before.tif"), (200, 140), 5.0, 100.0, |_, _| 0);
    let ran = work.ok("change before.tif after.tif -o out".split(' '));
    assert!(ran.stdout.contains("background → building  7.02 ha"), "{}", ran.stdout);
    let json = std::fs::read(work.path("out/change.json")).expect("figures");
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    near(json["changed_area_m2"].as_f64().expect("an area"), BLOCK[0]);
}

#[test]
fn without_a_crs_areas_are_pixels() {
    let work = Workdir::new();
    let transform = [1000.0, 2.0, 0.0, 5000.0, 0.0, -2.0];
    let bands: Vec<Vec<u8>> = (0..3).map(|_| vec![7; 1200]).collect();
    write_bands(&work.path("scene.tif"), (40, 30), &bands, |dataset| {
        dataset.set_geo_transform(&transform).expect("a geotransform");
    });
    let command = "segment scene.tif --model fake:identity -c a;b -o out/labels.tif --polygons out/a.gpkg";
    let ran = work.ok(command.split(' '));
    assert!(ran.stdout.contains("40 × 30 pixels, 1,200 px") && !ran.stdout.contains("m²"), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("scene.tif has a geotransform but no CRS: areas and lengths are in pixels"),
        "{}",
        ran.stderr
    );
    let polygons = Dataset::open(work.path("out/a.gpkg")).expect("polygons");
    let mut layer = polygons.layer(0).expect("a layer");
    let feature = layer.features().next().expect("a polygon");
    // Whatever the field is called: the area is that of 1200 pixels, and their frame is 140 pixels long.
    let values: Vec<f64> =
        (0..feature.field_count()).filter_map(|field| feature.field_as_double(field).ok().flatten()).collect();
    assert!(values.iter().any(|value| (value - 1200.0).abs() < 1e-6), "{values:?}");
    assert!(values.iter().any(|value| (value - 140.0).abs() < 1e-6), "{values:?}");
    near(feature.geometry().expect("a polygon").area(), 4800.0);

    let said = work.refused("segment scene.tif --model fake:identity -c a;b -o new/labels.tif --resolution 4");
    assert!(said.contains("scene.tif has no CRS") && said.contains("resolution: 0.5 crs"), "{said}");
    work.ok([
        "segment",
        "scene.tif",
        "--model",
        "fake:identity",
        "-c",
        "a;b",
        "-o",
        "new/labels.tif",
        "--resolution",
        "4 crs",
    ]);
    assert_eq!(Dataset::open(work.path("new/labels.tif")).expect("labels").raster_size(), (20, 15));
}

#[test]
fn ground_control_points_are_said_with_the_way_out() {
    let work = Workdir::new();
    let bands: Vec<Vec<u8>> = (0..3).map(|_| noise(1200)).collect();
    write_bands(&work.path("drone.tif"), (40, 30), &bands, |dataset| {
        let corners = [(0.0, 0.0), (40.0, 0.0), (40.0, 30.0), (0.0, 30.0)];
        let point = |(index, (pixel, line)): (usize, (f64, f64))| Gcp {
            id: index.to_string(),
            info: String::new(),
            pixel,
            line,
            x: 7.0 + pixel * 1e-5,
            y: 50.9 - line * 1e-5,
            z: 0.0,
        };
        let mut crs = SpatialRef::from_epsg(4326).expect("a CRS");
        crs.set_axis_mapping_strategy(gdal::spatial_ref::AxisMappingStrategy::TraditionalGisOrder);
        dataset.set_gcps(corners.into_iter().enumerate().map(point).collect(), &crs).expect("points");
    });
    let line = "gdalwarp -r bilinear -t_srs EPSG:32632 drone.tif drone_warped.tif";
    let ran = work.ok("segment drone.tif --model fake:identity -c a;b -o out/labels.tif".split(' '));
    assert!(ran.stderr.contains("drone.tif has 4 ground control points and no geotransform"), "{}", ran.stderr);
    assert!(ran.stderr.contains(line), "{}", ran.stderr);
    assert!(ran.stdout.contains("1,200 px"), "{}", ran.stdout);
    let said = work.refused("segment drone.tif --model fake:identity -c a;b -o new/labels.tif --resolution 1");
    assert!(said.contains(line), "{said}");
}
