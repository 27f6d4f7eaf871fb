//! Label rasters know their classes wherever they are carried, whatever program made them and of whatever type they are.

use std::fs;
use std::path::Path;

use gdal::Dataset;
use gdal::raster::GdalType;
use gdal::vector::LayerAccess as _;

use crate::scenes::{place, write_bands, write_scene};
use crate::workdir::{Workdir, without_causes};

/// Ground in the first band's colour, a road of 40 × 6 pixels in the second's, a house of 8 × 5 in the third's.
fn scene(path: &Path) {
    let pixel = |at: usize| match (at % 60, at / 60) {
        (10..50, 10..16) => [0, 255, 0],
        (20..28, 25..30) => [0, 0, 255],
        _ => [255, 0, 0],
    };
    write_scene(path, 60, 40, &(0..60 * 40).flat_map(pixel).collect::<Vec<u8>>());
}

/// Square metres on the ellipsoid in one of the plane of UTM where the scene lies, by PROJ and GeographicLib.
const UTM: f64 = 1.000_247_06;

/// Class, class_id and area (m² in the plane, of 0.25 m² a pixel, rounded) of the polygons in the layers that have areas.
fn polygons(path: &Path) -> Vec<(String, i64, f64)> {
    let dataset = Dataset::open(path).expect("polygons");
    let mut found = Vec::new();
    for mut layer in dataset.layers() {
        for feature in layer.features() {
            let (Ok(class), Ok(id), Ok(area)) =
                (feature.field_index("class"), feature.field_index("class_id"), feature.field_index("area_m2"))
            else {
                continue;
            };
            found.push((
                feature.field_as_string(class).expect("text").expect("a class"),
                feature.field_as_integer64(id).expect("a number").expect("a value"),
                (feature.field_as_double(area).expect("a number").expect("an area") / UTM * 10.0).round() / 10.0,
            ));
        }
    }
    found.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
    found
}

#[test]
fn a_bare_copy_gives_the_classes_of_its_names_or_a_refusal() {
    let work = Workdir::new();
    scene(&work.path("scene.tif"));
    for (format, bare) in [("geotiff", "bare.tif"), ("cog", "bare_cog.tif")] {
        let outputs = format!("outputs: {{folder: ., labels: labels.tif, format: {format}}}");
        let job = format!("scene: scene.tif\nmodel: fake:identity\nclasses: [building, road, water]\n{outputs}\n");
        work.write("job.yaml", job);
        work.ok(["run", "job.yaml"]);
        fs::create_dir_all(work.path("copy")).expect("a folder");
        fs::copy(work.path("labels.tif"), work.path(bare)).expect("a copy");
        fs::remove_file(work.path("labels.tif")).expect("a file");
        let short = ["--min-area", "1", "--min-length", "1"];
        work.ok(["vectorize", bare, "--recipe", "roads", "-o", "roads.gpkg"].into_iter().chain(short));
        // 240 pixels of 0.25 m²: the road, and not the buildings of class 0 or whatever is class 1.
        assert_eq!(polygons(&work.path("roads.gpkg")), [("road".to_owned(), 1, 60.0)]);
        work.ok(["vectorize", bare, "--recipe", "plain", "-o", "plain.gpkg"]);
        let expected = [("building", 0, (2400.0 - 280.0) / 4.0), ("road", 1, 60.0), ("water", 2, 10.0)];
        assert_eq!(polygons(&work.path("plain.gpkg")), expected.map(|(class, id, area)| (class.to_owned(), id, area)));
        let said = work.ok(["change", bare, bare, "-o", "change"]).stdout;
        assert!(said.contains("road") && said.contains("water"), "{said}");
        let said = work.ok(["evaluate", "--prediction", bare, "--reference", bare]).stdout;
        assert!(said.contains("road") && said.contains("water"), "{said}");
        for name in ["roads.gpkg", "plain.gpkg", "labels.qml", "labels.tif.aux.xml"] {
            fs::remove_file(work.path(name)).expect("a result");
        }
        fs::remove_dir_all(work.path("change")).expect("a result");
    }
    // Class 1 is no road because it is class 1.
    let words =
        ["segment", "scene.tif", "--model", "fake:identity", "-c", "background; house; lake", "-o", "other.tif"];
    work.ok(words);
    fs::copy(work.path("other.tif"), work.path("copy/mask.tif")).expect("a copy");
    write_bands(&work.path("unnamed.tif"), (60, 40), &[vec![1u8; 2400]], place);
    let mut said = String::new();
    for words in [
        "vectorize copy/mask.tif --recipe roads -o a.gpkg",
        "vectorize copy/mask.tif --recipe roads --class 7 -o a.gpkg",
        "vectorize unnamed.tif --recipe buildings -o a.gpkg",
    ] {
        said += &format!("$ segearth {words}\n{}\n", without_causes(&work.refused(words)));
    }
    insta::assert_snapshot!(said, @r"
    $ segearth vectorize copy/mask.tif --recipe roads -o a.gpkg
    error: copy/mask.tif has no class called road or street or highway; it has background, house, lake

    hint: Name the classes with --class NAME or --class NUMBER, in a job with `classes` under `polygons`.

    $ segearth vectorize copy/mask.tif --recipe roads --class 7 -o a.gpkg
    error: copy/mask.tif has no class 7; it has background, house, lake

    hint: Give a class by its name or its value.

    $ segearth vectorize unnamed.tif --recipe buildings -o a.gpkg
    error: unnamed.tif has no class called building or roof or house; it names none, its values are 1

    hint: Name the classes with --class NAME or --class NUMBER, in a job with `classes` under `polygons`.
    ");
    work.ok("vectorize unnamed.tif --recipe water --class 1 --min-area 1 -o a.gpkg".split(' '));
    assert_eq!(polygons(&work.path("a.gpkg")).len(), 1);
}

/// Two values in a raster of type `T`, both used, at the place of [`scene`]: the second in the road's pixels.
fn typed<T: GdalType + Copy>(path: &Path, values: [T; 2], nodata: Option<f64>) {
    let value = |at: usize| values[usize::from((10..50).contains(&(at % 60)) && (10..16).contains(&(at / 60)))];
    write_bands(path, (60, 40), &[(0..2400).map(value).collect()], |dataset| {
        place(dataset);
        dataset.rasterband(1).expect("a band").set_no_data_value(nodata).expect("a nodata value");
    });
}

#[test]
fn all_commands_take_the_same_types() {
    let work = Workdir::new();
    let raster = work.path("typed.tif");
    let check = |low: i64, high: i64| {
        work.write(
            "map.yaml",
            format!("classes: {{low: [{low}], high: [{high}]}}\nprediction: {{low: [{low}], high: [{high}]}}\n"),
        );
        work.write("both.yaml", format!("classes: {{low: [{low}], high: [{high}]}}\n"));
        let ran =
            work.ok("evaluate --prediction typed.tif --reference typed.tif --map map.yaml --json out.json".split(' '));
        let json: serde_json::Value =
            serde_json::from_slice(&fs::read(work.path("out.json")).expect("figures")).expect("JSON");
        assert_eq!(json["confusion"], serde_json::json!([[2160, 0], [0, 240]]), "{}", ran.stdout);
        let ran = work.ok("change typed.tif typed.tif -o change --map both.yaml".split(' '));
        assert!(ran.stdout.contains("2,400 pixels compared"), "{}", ran.stdout);
        work.ok("vectorize typed.tif --recipe plain -o plain.gpkg".split(' '));
        let mut found: Vec<(i64, f64)> =
            polygons(&work.path("plain.gpkg")).into_iter().map(|(_, id, area)| (id, area)).collect();
        found.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
        let mut expected = [(low, 540.0), (high, 60.0)];
        expected.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
        assert_eq!(found, expected);
        for name in ["out.json", "plain.gpkg"] {
            fs::remove_file(work.path(name)).expect("a result");
        }
        fs::remove_dir_all(work.path("change")).expect("a result");
    };
    typed(&raster, [0u8, 255], None);
    check(0, 255);
    typed(&raster, [1u16, 65535], None);
    check(1, 65535);
    typed(&raster, [-3i16, 4], None);
    check(-3, 4);
    typed(&raster, [7i32, 100_000], None);
    check(7, 100_000);
    typed(&raster, [7u32, u32::MAX], None);
    check(7, i64::from(u32::MAX));
    // A nodata value outside the type is none.
    typed(&raster, [0u8, 1], Some(-9999.0));
    check(0, 1);
    typed(&raster, [2f32, 3.0], Some(f64::NAN));
    check(2, 3);
    typed(&raster, [-2f64, 1e6], None);
    check(-2, 1_000_000);

    // Fractions are refused by all of them, with the first place.
    typed(&raster, [1f32, 2.5], None);
    work.write("map.yaml", "classes: {low: 1}\n");
    for words in [
        "evaluate --prediction typed.tif --reference typed.tif",
        "change typed.tif typed.tif -o change --map map.yaml",
        "vectorize typed.tif --recipe plain -o plain.gpkg",
    ] {
        let said = work.refused(words);
        assert!(said.contains("typed.tif has the value 2.5 at column 10, row 10; labels must be integers"), "{said}");
    }
}

/// Names of other programs: values of a table, far apart.
#[test]
fn the_names_of_an_attribute_table_serve_all_commands() {
    let work = Workdir::new();
    typed(&work.path("table.tif"), [10u8, 80], None);
    let table = "<PAMDataset><PAMRasterBand band=\"1\"><GDALRasterAttributeTable tableType=\"thematic\">\
        <FieldDefn index=\"0\"><Name>Value</Name><Type>0</Type><Usage>5</Usage></FieldDefn>\
        <FieldDefn index=\"1\"><Name>Cover</Name><Type>2</Type><Usage>2</Usage></FieldDefn>\
        <Row index=\"0\"><F>10</F><F>Tree cover</F></Row><Row index=\"1\"><F>80</F><F>Permanent water</F></Row>\
        </GDALRasterAttributeTable></PAMRasterBand></PAMDataset>";
    work.write("table.tif.aux.xml", table);
    work.ok("vectorize table.tif --recipe water --min-area 1 --tolerance 0 --smooth false -o water.gpkg".split(' '));
    assert_eq!(polygons(&work.path("water.gpkg")), [("Permanent water".to_owned(), 80, 60.0)]);
    work.ok(["vectorize", "table.tif", "--recipe", "landcover", "--class", "tree COVER", "-o", "trees.gpkg"]);
    assert_eq!(polygons(&work.path("trees.gpkg"))[0].1, 10);
    let said = work.ok("change table.tif table.tif -o change".split(' ')).stdout;
    assert!(said.contains("Tree cover") && said.contains("Permanent water"), "{said}");
    work.ok("evaluate --prediction table.tif --reference table.tif --json out.json".split(' '));
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(work.path("out.json")).expect("figures")).expect("JSON");
    assert_eq!(json["classes"][1]["class"], "Permanent water");
    assert_eq!(json["confusion"], serde_json::json!([[2160, 0], [0, 240]]));

    // The file's own tags say otherwise: they are taken, and everybody hears of it.
    let gdal = gdal::DatasetOptions { open_flags: gdal::GdalOpenFlags::GDAL_OF_UPDATE, ..Default::default() };
    let mut named = Dataset::open_ex(work.path("table.tif"), gdal).expect("a raster");
    {
        use gdal::Metadata as _;
        named.set_metadata_item("CLASS_80", "road", "").expect("a tag");
    }
    named.close().expect("a raster");
    let note = "value 80 is named \"road\" in the tags in the file and \"Permanent water\" in its attribute table";
    for words in [
        "vectorize table.tif --recipe roads --min-area 1 -o roads.gpkg",
        "evaluate --prediction table.tif --reference table.tif --map both.yaml",
        "change table.tif table.tif -o change2 --map one.yaml",
    ] {
        work.write("both.yaml", "classes: {other: [10], road: [80]}\nprediction: {other: [10], road: [80]}\n");
        work.write("one.yaml", "classes: {road: [80]}\nignore: [10]\n");
        let ran = work.run(words.split(' '));
        assert!(ran.code == 0 && ran.stderr.contains(note), "{words}: {}", ran.stderr);
    }
    assert_eq!(polygons(&work.path("roads.gpkg"))[0].0, "road");
}

#[test]
fn without_a_crs_no_coordinates_are_written_that_pass_for_degrees() {
    let work = Workdir::new();
    let labels: Vec<u8> = (0..2400).map(|at| u8::from(at % 60 >= 20)).collect();
    write_bands(&work.path("bare.tif"), (60, 40), &[labels], |_| {});
    write_bands(&work.path("plane.tif"), (60, 40), &vec![vec![9u8; 2400]; 3], |_| {});
    work.write("map.yaml", "classes: {low: 0, high: 1}\n");
    for words in [
        "vectorize bare.tif --recipe plain -o a.geojson",
        "vectorize bare.tif --recipe landcover -o a.ndjson",
        "segment plane.tif --model fake:identity -c a;b;c -o labels.tif --polygons a.geojson",
        "change bare.tif bare.tif -o out --map map.yaml --polygons a.geojson",
    ] {
        let said = work.refused(words);
        assert!(
            said.contains("have no CRS") && said.contains("gdal_edit.py -a_srs") && said.contains(".gpkg"),
            "{said}"
        );
    }
    let ran = work.ok("vectorize bare.tif --recipe plain -o a.fgb".split(' '));
    assert!(ran.stdout.contains("1,600 px") && !ran.stdout.contains("m²"), "{}", ran.stdout);
    assert!(ran.stderr.contains("areas and lengths are in pixels"), "{}", ran.stderr);
    let ran = work.ok("vectorize bare.tif --recipe plain --log json -o b.fgb".split(' '));
    assert!(ran.stdout.contains("\"pixels\":1600.0") && !ran.stdout.contains("square_metres"), "{}", ran.stdout);
}
