//! `segearth learn`: what it refuses, and that its file stands wherever classes do.

use std::path::Path;

use gdal::Dataset;

use crate::scenes::{noise, place, read_band, write_bands};
use crate::workdir::{Workdir, repository, without_causes};

/// Pixels of a scene's side.
const SIDE: usize = 96;

/// A placed scene of dark noise at its left and bright noise at its right, whose bands are named by `colours`.
fn halves(path: &Path, colours: [gdal::raster::ColorInterpretation; 3]) {
    let noise = noise(SIDE * SIDE * 3);
    let bands: Vec<Vec<u8>> = noise
        .chunks(SIDE * SIDE)
        .map(|band| {
            band.iter().enumerate().map(|(at, byte)| byte / 4 + if at % SIDE < SIDE / 2 { 20 } else { 170 }).collect()
        })
        .collect();
    write_bands(path, (SIDE, SIDE), &bands, |dataset| {
        place(dataset);
        for (index, colour) in colours.into_iter().enumerate() {
            dataset.rasterband(index + 1).expect("a band").set_color_interpretation(colour).expect("a colour");
        }
    });
}

fn rgb(path: &Path) {
    use gdal::raster::ColorInterpretation::{BlueBand, GreenBand, RedBand};
    halves(path, [RedBand, GreenBand, BlueBand]);
}

/// Classes and pixels (column, row) as points in a GeoJSON with the scene's CRS.
fn points(examples: &[(&str, f64, f64)]) -> String {
    let [x0, a, b, y0, c, d] = crate::scenes::TRANSFORM;
    let feature = |(class, col, row): &(&str, f64, f64)| {
        let (x, y) = (x0 + a * col + b * row, y0 + c * col + d * row);
        format!(
            "{{\"type\":\"Feature\",\"properties\":{{\"kind\":\"{class}\"}},\
             \"geometry\":{{\"type\":\"Point\",\"coordinates\":[{x},{y}]}}}}"
        )
    };
    let features: Vec<String> = examples.iter().map(feature).collect();
    format!(
        "{{\"type\":\"FeatureCollection\",\"crs\":{{\"type\":\"name\",\"properties\":{{\"name\":\"urn:ogc:def:crs:EPSG::25832\"}}}},\
         \"features\":[{}]}}",
        features.join(",")
    )
}

/// A scene, and examples of both halves.
fn given() -> Workdir {
    let work = Workdir::new();
    rgb(&work.path("scene.tif"));
    let both: Vec<(&str, f64, f64)> = (0..6)
        .flat_map(|index| {
            let row = 8.5 + 15.0 * f64::from(index);
            [("dark", 20.5, row), ("bright", 75.5, row)]
        })
        .collect();
    work.write("both.geojson", points(&both));
    work
}

const LEARN: &str = "learn scene.tif --class-field kind -o classes.safetensors --json figures.json --examples";

#[test]
fn bad_examples_are_explained() {
    let work = given();
    work.write("one.geojson", points(&[("dark", 20.5, 8.5), ("dark", 20.5, 48.5)]));
    work.write("outside.geojson", points(&[("dark", -900.5, 8.5), ("bright", 75.5, 9000.5)]));
    work.write("none.geojson", points(&[]));
    work.write("bare.csv", "kind,WKT\ndark,POINT (3 4)\nbright,POINT (80 4)\n");
    work.write("columns.csv", "Lon,Lat,kind\n3,4,dark\n80,4,bright\n");
    work.write("table.csv", "a,b,kind\n3,4,dark\n80,4,bright\n");
    work.write("metres.geojson", points(&[("dark", 20.5, 8.5), ("bright", 75.5, 8.5)]).replace("\"crs\"", "\"was\""));
    work.write("text.gpkg", "no GeoPackage");
    work.write("classless.geojson", points(&[("", 20.5, 8.5), (" ", 75.5, 8.5)]));
    let said = |file: &str| {
        let said = work.refused(&format!("{LEARN} {file}"));
        assert!(said.lines().any(|line| line.trim_start().starts_with("hint: ")), "{file} has no hint: {said}");
        // The device is the machine's.
        let said = without_causes(&said);
        let lines = said.lines().filter(|line| !line.starts_with("note: using")).map(|line| format!("{line}\n"));
        format!("{file}\n{}", lines.collect::<String>())
    };
    let files = [
        "one.geojson",
        "outside.geojson",
        "none.geojson",
        "bare.csv",
        "columns.csv",
        "table.csv",
        "metres.geojson",
        "text.gpkg",
        "classless.geojson",
        "there.gpkg",
    ];
    insta::assert_snapshot!(files.map(said).concat(), @r#"
    one.geojson
    error: all examples are of one class

    hint: Give examples of two classes at least.
    outside.geojson
    error: no example of outside.geojson lies on the scenes

    hint: Open both in QGIS: they may be of another place, or their file may name a wrong CRS.
    none.geojson
    error: none.geojson has no examples on the scenes

    hint: Draw points, lines or polygons, and give each a class.
    bare.csv
    error: the examples of bare.csv have no CRS

    hint: Assign the CRS of their coordinates: in QGIS with Layer, Set CRS and Export, or with `ogr2ogr -a_srs EPSG:25832 OUT.gpkg bare.csv` (the scene's CRS; longitude and latitude are EPSG:4326).
    columns.csv
    error: the examples of columns.csv have no CRS

    hint: Assign the CRS of their coordinates: in QGIS with Layer, Set CRS and Export, or with `ogr2ogr -a_srs EPSG:4326 -oo X_POSSIBLE_NAMES=Lon -oo Y_POSSIBLE_NAMES=Lat OUT.gpkg columns.csv`.
    table.csv
    error: table.csv has no geometry (fields a, b, kind)

    hint: Name its columns x and y, or lon and lat; or make points of others with `ogr2ogr -a_srs EPSG:25832 -oo X_POSSIBLE_NAMES=COLUMN -oo Y_POSSIBLE_NAMES=COLUMN OUT.gpkg table.csv`.
    metres.geojson
    error: the coordinates of metres.geojson are not degrees, as its CRS says they are

    hint: A GeoJSON without `crs` has longitude and latitude. Assign the CRS of the coordinates, such as the scene's: in QGIS with Layer, Set CRS and Export to a GeoPackage, or with `ogr2ogr -a_srs EPSG:25832 OUT.gpkg metres.geojson`.
    text.gpkg
    error: cannot open text.gpkg

    hint: Give a vector file that GDAL reads: GeoPackage, GeoJSON, FlatGeobuf or Shapefile; few builds of GDAL read GeoParquet.
    classless.geojson
    error: no example of classless.geojson has a class in its field "kind"

    hint: Fill in the field, or name the one that holds the class with --class-field.
    there.gpkg
    error: there is no file there.gpkg

    hint: Check the path of the examples.
    "#);
    let said = work.refused("learn scene.tif --examples both.geojson --class-field sort -o classes.safetensors");
    assert!(
        said.contains("have no field \"sort\"; their fields are: kind") && said.contains("--class-field"),
        "{said}"
    );
    let said = work.refused("learn scene.tif --examples both.geojson -o classes.safetensors");
    assert!(said.contains("have no field \"class\"; their fields are: kind"), "{said}");
}

#[test]
fn learnt_classes_stand_where_classes_do() {
    let work = given();
    work.ok(format!("{LEARN} both.geojson").split(' '));
    work.ok("segment scene.tif --classes @classes.safetensors -o labels.tif".split(' '));
    let labels: Vec<u8> = read_band(&Dataset::open(work.path("labels.tif")).expect("labels"), 1);
    let right =
        labels.iter().enumerate().filter(|(at, label)| usize::from(**label) == usize::from(at % SIDE >= SIDE / 2));
    assert!(right.count() * 10 > labels.len() * 9, "the halves are told apart");
    // Twice the same bytes; and places to label next, which have no class yet.
    let again =
        "learn scene.tif --class-field kind -o again.safetensors --suggest 3 --suggestions next.gpkg --examples";
    work.ok(again.split(' ').chain(["both.geojson"]));
    let said = work.refused("learn scene.tif --examples next.gpkg -o next.safetensors");
    assert!(said.contains("no example of next.gpkg has a class in its field \"class\""), "{said}");
    let bytes = |name: &str| std::fs::read(work.path(name)).expect("a file");
    assert!(bytes("classes.safetensors") == bytes("again.safetensors"));
    // Nothing of the user's is replaced unasked.
    work.write("mine.safetensors", "mine");
    let said = work.refused("learn scene.tif --class-field kind -o mine.safetensors --examples both.geojson");
    assert!(said.contains("mine.safetensors") && said.contains("--overwrite"), "{said}");
}

/// A misspelt class would take examples from the one that is meant.
#[test]
fn classes_beside_those_of_the_words_are_named() {
    let work = given();
    let misspelt = std::fs::read_to_string(work.path("both.geojson")).expect("examples").replacen("dark", "forests", 2);
    work.write("misspelt.geojson", misspelt);
    let learn =
        ["learn", "scene.tif", "--class-field", "kind", "-o", "c.safetensors", "--examples", "misspelt.geojson"];
    let said = work.ok(learn.into_iter().chain(["--classes", "forest,dark; bright"])).stderr;
    let notes: Vec<&str> = said.lines().filter(|line| line.contains("not among")).collect();
    assert_eq!(
        notes,
        [
            "note: `forests` in misspelt.geojson (2 examples) is not among --classes and becomes a class of its own. \
             Did you mean `forest`?",
            "note: `dark` in misspelt.geojson (4 examples) is not among --classes and becomes a class of its own. \
             Did you mean `forest`?",
        ]
    );
    // Without words, the examples alone name the classes.
    let said = work.ok(learn.into_iter().chain(["--overwrite"])).stderr;
    assert!(!said.contains("not among"), "{said}");
}

#[test]
fn damaged_and_foreign_files_are_refused() {
    use gdal::raster::ColorInterpretation::{BlueBand, GreenBand, RedBand};
    let work = given();
    work.ok(format!("{LEARN} both.geojson").split(' '));
    let whole = std::fs::read(work.path("classes.safetensors")).expect("a file");
    let use_it = "segment scene.tif --classes @cut.safetensors -o labels.tif";
    for share in 0..=8 {
        let length = (whole.len() * share / 8).min(whole.len() - 1);
        work.write("cut.safetensors", &whole[..length]);
        let said = work.refused(use_it);
        assert!(said.contains("cut.safetensors") && said.contains("hint: "), "{length} of {}: {said}", whole.len());
        let said = work.refused(&format!("{LEARN} both.geojson --overwrite --add cut.safetensors"));
        assert!(said.contains("cut.safetensors"), "{length} of {}: {said}", whole.len());
    }
    halves(&work.path("infrared.tif"), [GreenBand, BlueBand, RedBand]);
    let said = work.refused("segment infrared.tif --bands 1,2,3 --classes @classes.safetensors -o labels.tif");
    assert!(said.contains("were learnt on the bands red, green, blue"), "{said}");
    let said = work.refused("segment scene.tif --model fake:null --classes @classes.safetensors -o labels.tif");
    assert!(said.contains("learnt"), "{said}");
}

#[test]
fn pixels_of_another_size_than_was_learnt_on_are_noted() {
    let work = given();
    work.ok(format!("{LEARN} both.geojson").split(' '));
    let said = |resolution: &str| {
        let command =
            format!("segment scene.tif --classes @classes.safetensors -o {resolution}.tif --resolution {resolution}");
        work.ok(command.split(' ')).stderr
    };
    let note = "the classes were learnt on pixels of";
    let (own, coarse) = (said("0.6m"), said("1.5m"));
    assert!(!own.contains(note), "{own}");
    assert!(coarse.contains(note) && coarse.contains("has pixels of 1.5 m"), "{coarse}");
}

/// The examples that ship with the sample scene are learnt from, and the map agrees with the reference beside them.
#[test]
fn sample_examples_make_a_better_map_than_the_words() {
    let work = Workdir::new();
    let sample = |name: &str| repository("sample_data").join(name).display().to_string();
    let words = "water,river,lake,reservoir; forest,trees,woodland; fields,cropland,farmland,bare soil; \
                 built-up,city,urban area,residential area";
    let (scene, examples, reference) =
        (sample("itaipu.tif"), sample("itaipu_examples.geojson"), sample("itaipu_reference.geojson"));
    // Windows side by side: a quarter of the work.
    let learn = ["learn", &scene, "--examples", &examples, "--classes", words, "--stride", "128"];
    work.ok(learn.into_iter().chain(["--radius", "60", "-o", "c.safetensors"]));
    let miou = |classes: &str, name: &str| {
        work.ok(["segment", &scene, "--classes", classes, "--stride", "128", "-o", name]);
        let json = format!("{name}.json");
        work.ok(["evaluate", "--prediction", name, "--reference", &reference, "--json", &json]);
        let text = std::fs::read_to_string(work.path(&json)).expect("figures");
        let figures: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        figures["miou"].as_f64().expect("a number")
    };
    let (before, after) = (miou(words, "words.tif"), miou("@c.safetensors", "learnt.tif"));
    assert!(after > before && after > 0.8, "{before} to {after}");
}

/// A placed scene of noise, whose fourth band, near infrared, is dark at its left and bright at its right.
fn infrared(path: &Path, bands: usize) {
    use gdal::raster::ColorInterpretation::{BlueBand, GreenBand, RedBand, Undefined};
    let noise = noise(SIDE * SIDE * bands);
    let mut planes: Vec<Vec<u8>> =
        noise.chunks(SIDE * SIDE).map(|band| band.iter().map(|byte| 60 + byte / 2).collect()).collect();
    if let Some(last) = planes.get_mut(3) {
        last.iter_mut()
            .enumerate()
            .for_each(|(at, byte)| *byte = *byte / 2 + if at % SIDE < SIDE / 2 { 0 } else { 100 });
    }
    write_bands(path, (SIDE, SIDE), &planes, |dataset| {
        place(dataset);
        for (index, colour) in [RedBand, GreenBand, BlueBand, Undefined].into_iter().enumerate().take(bands) {
            dataset.rasterband(index + 1).expect("a band").set_color_interpretation(colour).expect("a colour");
        }
        if bands > 3 {
            gdal::Metadata::set_description(&mut dataset.rasterband(4).expect("a band"), "nir").expect("a name");
        }
    });
}

/// The share of pixels whose label is that of their half.
fn agreement(work: &Workdir, labels: &str) -> f64 {
    let labels: Vec<u8> = read_band(&Dataset::open(work.path(labels)).expect("labels"), 1);
    let right =
        labels.iter().enumerate().filter(|(at, label)| usize::from(**label) == usize::from(at % SIDE >= SIDE / 2));
    right.count() as f64 / labels.len() as f64
}

#[test]
fn classes_that_differ_in_near_infrared_alone_are_learnt_with_that_band() {
    let work = given();
    infrared(&work.path("four.tif"), 4);
    let learn = "learn four.tif --examples both.geojson --class-field kind";
    work.ok(format!("{learn} -o colours.safetensors").split(' '));
    work.ok(format!("{learn} --descriptor-bands nir -o nir.safetensors").split(' '));
    for classes in ["colours", "nir"] {
        let words = format!("segment four.tif --classes @{classes}.safetensors -o {classes}.tif");
        work.ok(words.split(' '));
    }
    let (colours, nir) = (agreement(&work, "colours.tif"), agreement(&work, "nir.tif"));
    assert!(colours < 0.85 && nir > 0.97, "colours {colours}, near infrared {nir}");
    // The number of the band means the same one; scores come from a store of the tower's outputs as well, which holds no further band.
    work.ok(format!("{learn} --descriptor-bands 4 -o four.safetensors").split(' '));
    let bytes = |name: &str| std::fs::read(work.path(name)).expect("a file");
    assert!(bytes("four.safetensors") == bytes("nir.safetensors"));
    work.ok("embed four.tif --precision float32 -o store".split(' '));
    work.ok("segment --from store --classes @nir.safetensors -o stored.tif".split(' '));
    let labels = |name: &str| -> Vec<u8> { read_band(&Dataset::open(work.path(name)).expect("labels"), 1) };
    assert!(labels("stored.tif") == labels("nir.tif"));
    // Taken further, the file keeps its bands.
    work.ok(format!("{learn} --add nir.safetensors -o more.safetensors").split(' '));
    let further = |name: &str| segearth::learn::Learnt::read(&work.path(name)).expect("classes").header.further_bands;
    assert_eq!(
        (further("more.safetensors"), further("colours.safetensors")),
        (vec!["near infrared".to_owned()], Vec::new())
    );
    let said = work.refused(&format!("{learn} --descriptor-bands nir --add colours.safetensors -o no.safetensors"));
    assert!(said.contains("its bands beside red, green and blue are: none; now they are: near infrared"), "{said}");
}

#[test]
fn scenes_without_the_further_bands_are_refused() {
    let work = given();
    infrared(&work.path("four.tif"), 4);
    infrared(&work.path("three.tif"), 3);
    let learn = "learn four.tif --examples both.geojson --class-field kind -o c.safetensors";
    for (bands, expected) in [
        ("swir16", "there is no band `swir16` in four.tif"),
        ("5", "there is no band 5 in four.tif: bands are counted from 1 to 4"),
        ("red", "band 1 of four.tif is read as red already"),
        ("nir,4", "`4` is band 4 of four.tif, which is named already"),
        ("", "there is no band"),
    ] {
        let said = work.run(learn.split(' ').chain(["--descriptor-bands", bands]));
        assert!(said.code == 1 && said.stderr.contains(expected), "{bands}: {}", said.stderr);
        assert!(said.stderr.contains("hint: ") && !work.path("c.safetensors").exists(), "{bands}: {}", said.stderr);
    }
    work.ok(format!("{learn} --descriptor-bands nir").split(' '));
    let said = work.refused("segment three.tif --classes @c.safetensors -o labels.tif");
    assert!(said.contains("learnt with the bands near infrared: there is no band"), "{said}");
    assert!(said.contains("Its bands are 1 red, 2 green, 3 blue."), "{said}");
}

#[test]
fn learning_from_a_store_gives_the_classes_of_the_scene() {
    let work = given();
    rgb(&work.path("other.tif"));
    work.ok("embed scene.tif other.tif --precision float32 -o store".split(' '));
    let learn = "--examples both.geojson --class-field kind";
    work.ok(format!("learn scene.tif {learn} -o direct.safetensors").split(' '));
    work.ok(format!("learn scene.tif {learn} --from store -o stored.safetensors").split(' '));
    let read = |name: &str| segearth::learn::Learnt::read(&work.path(name)).expect("classes");
    let (direct, stored) = (read("direct.safetensors"), read("stored.safetensors"));
    assert!(
        direct.queries == stored.queries && direct.samples == stored.samples && !direct.samples.examples.is_empty()
    );
    // All scenes of the store, where none is named.
    work.ok(format!("learn {learn} --from store -o both.safetensors").split(' '));
    assert_eq!(read("both.safetensors").samples.examples.len(), 2 * direct.samples.examples.len());
    // A store that lacks what is needed, that holds another scene, and none.
    let chunk = glob::glob(&format!("{}/scene*/tokens/c/0/0/0/0", work.path("store").display())).expect("a pattern");
    chunk.flatten().for_each(|chunk| std::fs::remove_file(chunk).expect("a chunk"));
    let said = work.refused(&format!("learn scene.tif {learn} --from store -o no.safetensors"));
    assert!(said.contains("store is not complete"), "{said}");
    infrared(&work.path("third.tif"), 3);
    let said = work.refused(&format!("learn third.tif {learn} --from store -o no.safetensors"));
    assert!(said.contains("does not hold"), "{said}");
    let said = work.refused(&format!("learn {learn} --from nowhere -o no.safetensors"));
    assert!(said.contains("nowhere is not a store of embeddings"), "{said}");
}
