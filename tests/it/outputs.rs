//! What lies where outputs are to go: nothing that a user made is lost, whatever is asked for and whenever it is killed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use gdal::spatial_ref::SpatialRef;
use gdal::vector::sql::Dialect;
use gdal::vector::{FieldDefn, Geometry, LayerAccess as _, LayerOptions, OGRFieldType, OGRwkbGeometryType};
use gdal::{Dataset, DatasetOptions, DriverManager, GdalOpenFlags};

use crate::scenes::{noise_scene, place, write_bands};
use crate::workdir::Workdir;

const JOB: &str = "scene: scene.tif\nmodel: fake:identity\nclasses: [red, green, blue]\ntiling: {window: 56, stride: 28}\n\
                   outputs: {folder: out, labels: l.tif, scores: s.tif, polygons: p.gpkg, preview: p.png, report: r.html}\n";

fn job() -> Workdir {
    let work = Workdir::new();
    noise_scene(&work.path("scene.tif"), 70, 60);
    work.write("job.yaml", JOB);
    work
}

fn open(path: &Path, update: bool) -> Dataset {
    let access = if update { GdalOpenFlags::GDAL_OF_UPDATE } else { GdalOpenFlags::GDAL_OF_READONLY };
    let rasters = if update { GdalOpenFlags::GDAL_OF_READONLY } else { GdalOpenFlags::GDAL_OF_RASTER };
    let open_flags = access | GdalOpenFlags::GDAL_OF_VECTOR | rasters;
    Dataset::open_ex(path, DatasetOptions { open_flags, ..Default::default() }).expect("a vector file")
}

fn sql(path: &Path, statements: &[&str]) {
    let dataset = open(path, true);
    for statement in statements {
        dataset.execute_sql(statement, None, Dialect::DEFAULT).expect(statement);
    }
    dataset.close().expect("a whole file");
}

/// A user's GeoPackage: a layer of three squares with an index, its style, a table of an application and a metadata entry.
fn package(path: &Path, layer: &str) {
    let driver = DriverManager::get_driver_by_name("GPKG").expect("the driver");
    let mut dataset = driver.create_vector_only(path).expect("a GeoPackage");
    let srs = SpatialRef::from_epsg(25832).expect("a CRS");
    {
        let options = LayerOptions { name: layer, srs: Some(&srs), ty: OGRwkbGeometryType::wkbPolygon, options: None };
        let layer = dataset.create_layer(options).expect("a layer");
        FieldDefn::new("owner", OGRFieldType::OFTString).expect("a field").add_to_layer(&layer).expect("a field");
        for (index, owner) in ["Anna", "Böhm & Söhne", "d'Oex"].into_iter().enumerate() {
            let (x, y) = (350_000 + 10 * index, 5_639_990);
            let wkt = format!("POLYGON (({x} {y}, {} {y}, {} {}, {x} {y}))", x + 9, x + 9, y + 9);
            let mut feature = gdal::vector::Feature::new(layer.defn()).expect("a feature");
            feature.set_geometry(Geometry::from_wkt(&wkt).expect("a polygon")).expect("a geometry");
            feature.set_field_string(0, owner).expect("a value");
            feature.create(&layer).expect("a feature");
        }
    }
    dataset.close().expect("a whole file");
    sql(
        path,
        &[
            "CREATE TABLE layer_styles (id INTEGER PRIMARY KEY, f_table_name TEXT, styleName TEXT, styleQML TEXT)",
            &format!("INSERT INTO layer_styles VALUES (7, '{layer}', 'mine', '<qgis version=\"3\"/>')"),
            "CREATE TABLE surveys (id INTEGER PRIMARY KEY, day TEXT, raw BLOB)",
            "INSERT INTO surveys VALUES (1, '2024-05-01', X'00FF10')",
        ],
    );
}

/// Every table with its rows as SQLite quotes them.
fn dump(path: &Path) -> BTreeMap<String, Vec<String>> {
    let dataset = open(path, false);
    let texts = |query: &str| -> Vec<String> {
        let mut found = dataset.execute_sql(query, None, Dialect::DEFAULT).expect(query);
        let rows = found.iter_mut().flat_map(|rows| {
            rows.features().map(|row| row.field_as_string(0).expect("text").unwrap_or_default()).collect::<Vec<_>>()
        });
        rows.collect()
    };
    let tables = texts("SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'");
    let mut all: BTreeMap<String, Vec<String>> = tables
        .into_iter()
        .map(|table| {
            let columns = texts(&format!("SELECT name FROM pragma_table_info('{table}')"));
            let row: Vec<String> = columns.iter().map(|column| format!("quote(\"{column}\")")).collect();
            let rows = texts(&format!("SELECT {} AS r FROM \"{table}\"", row.join(" || ', ' || ")));
            (table, rows)
        })
        .collect();
    all.insert("sqlite_master".into(), texts("SELECT type || name || coalesce(sql, '') FROM sqlite_master"));
    all
}

/// Tables that list all layers: their rows of other layers stay.
const LISTS: [&str; 11] = [
    "gpkg_metadata",
    "gpkg_metadata_reference",
    "gpkg_contents",
    "gpkg_data_columns",
    "gpkg_geometry_columns",
    "gpkg_extensions",
    "gpkg_ogr_contents",
    "gpkg_spatial_ref_sys",
    "gpkg_metadata_reference",
    "sqlite_sequence",
    "sqlite_master",
];

#[track_caller]
fn nothing_lost(before: &BTreeMap<String, Vec<String>>, after: &BTreeMap<String, Vec<String>>, but: &[&str]) {
    for (table, rows) in before.iter().filter(|(table, _)| !but.iter().any(|but| table.contains(but))) {
        let now = after.get(table).unwrap_or_else(|| panic!("the table {table} is gone"));
        if !LISTS.contains(&table.as_str()) {
            assert_eq!(now, rows, "{table}");
        }
        let gone = rows.iter().find(|row| !now.contains(row) && !but.iter().any(|but| row.contains(but)));
        assert_eq!(gone, None, "{table}");
    }
}

/// Layers with a geometry, and their features.
fn layers(path: &Path) -> Vec<(String, u64)> {
    let dataset = open(path, false);
    let layers = dataset.layers().filter(|layer| layer.defn().geom_fields().count() > 0);
    layers.map(|layer| (layer.name(), layer.feature_count())).collect()
}

/// 30 × 20 pixels of 1 m: a road four pixels wide through land.
fn labels(work: &Workdir) {
    let values: Vec<u8> = (0..200 * 40).map(|at| u8::from((18..24).contains(&(at / 200)))).collect();
    write_bands(&work.path("lab.tif"), (200, 40), &[values], |dataset| {
        dataset.set_geo_transform(&[350_000.0, 1.0, 0.0, 5_640_000.0, 0.0, -1.0]).expect("a geotransform");
        dataset.set_spatial_ref(&SpatialRef::from_epsg(25832).expect("a CRS")).expect("a CRS");
        let mut band = dataset.rasterband(1).expect("a band");
        gdal::Metadata::set_metadata_item(&mut band, "CLASS_0", "land", "").expect("a name");
        gdal::Metadata::set_metadata_item(&mut band, "CLASS_1", "road", "").expect("a name");
    });
}

#[test]
fn layers_are_added_to_a_geopackage_and_all_else_in_it_stays() {
    let work = job();
    labels(&work);
    work.ok("segment scene.tif --model fake:identity -c red;green;blue -o seg.tif".split(' '));
    for (name, words, added) in [
        ("a.gpkg", "vectorize lab.tif --recipe plain -o a.gpkg", vec!["a"]),
        ("b.gpkg", "vectorize lab.tif --recipe roads --graph b.graphml -o b.gpkg", vec!["roads", "nodes", "areas"]),
        ("c.gpkg", "vectorize seg.tif --recipe landcover --layer-per-class -o c.gpkg", vec!["red", "green", "blue"]),
        ("d.gpkg", "segment scene.tif --model fake:identity -c red;green;blue -o l.tif --polygons d.gpkg", vec!["d"]),
    ] {
        let path = work.path(name);
        package(&path, "parcels");
        let before = dump(&path);
        work.ok(words.split(' '));
        nothing_lost(&before, &dump(&path), &[]);
        let found = layers(&path);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, [vec!["parcels"], added.clone()].concat(), "{words}");
        assert!(found.iter().all(|(_, count)| *count > 0), "{found:?}");
        // The new layers have an index of their own, and the same command may be given again.
        let dataset = open(&path, false);
        let check = format!("SELECT rtreecheck('rtree_{}_geom')", added[0]);
        let mut verdict = dataset.execute_sql(&check, None, Dialect::DEFAULT).expect("SQL").expect("a row");
        assert_eq!(verdict.features().next().expect("a row").field_as_string(0).expect("text").as_deref(), Some("ok"));
        drop(verdict);
        drop(dataset);
        work.ok(words.split(' '));
        assert_eq!(layers(&path), found);
        nothing_lost(&before, &dump(&path), &[]);
    }
}

#[test]
fn a_layer_of_the_same_name_is_replaced_only_when_asked_and_alone() {
    let work = Workdir::new();
    labels(&work);
    let path = work.path("project.gpkg");
    package(&path, "parcels");
    work.ok("vectorize lab.tif --recipe plain -o project.gpkg".split(' '));
    fs::remove_dir_all(work.path(".segearth")).expect("records");
    let before = dump(&path);
    let said = work.refused("vectorize lab.tif --recipe plain -o project.gpkg");
    assert!(
        said.contains("project.gpkg: its layer \"project\" has 3 features and is not recorded by segearth"),
        "{said}"
    );
    assert!(said.contains("hint: Replace what is there with --overwrite (of a GeoPackage the layer alone)"), "{said}");
    work.ok("vectorize lab.tif --recipe plain --overwrite -o project.gpkg".split(' '));
    nothing_lost(&before, &dump(&path), &["project", "gpkg_metadata", "segearth"]);
    assert_eq!(layers(&path).iter().filter(|(name, _)| name == "project").count(), 1);

    // Other settings of the same command: named, and replaced only when asked.
    let said = work.refused("vectorize lab.tif --recipe plain --diagonal -o project.gpkg");
    assert!(said.contains("other settings: --diagonal was nothing, is true"), "{said}");
    // Edited since.
    sql(&path, &["UPDATE project SET class = 'mine' WHERE fid = 1"]);
    let said = work.refused("vectorize lab.tif --recipe plain -o project.gpkg");
    assert!(said.contains("its layer \"project\" was written by this command and edited since"), "{said}");
    // A table with the layer's name that is not a layer is never replaced.
    package(&work.path("t.gpkg"), "parcels");
    sql(&work.path("t.gpkg"), &["CREATE TABLE T (a INTEGER)"]);
    let said = work.refused("vectorize lab.tif --recipe plain --overwrite -o t.gpkg");
    assert!(said.contains("its table \"T\" is not a layer"), "{said}");
}

#[test]
fn a_geopackage_that_cannot_take_layers_is_told() {
    let work = Workdir::new();
    labels(&work);
    let words = "vectorize lab.tif --recipe plain -o p.gpkg";
    work.write("p.gpkg", "not a database at all");
    assert!(work.refused(words).contains("p.gpkg: a file of 21 bytes that segearth has no record of"));
    fs::remove_file(work.path("p.gpkg")).expect("a file");

    package(&work.path("p.gpkg"), "parcels");
    for suffix in ["-wal", "-shm"] {
        let beside = work.write(&format!("p.gpkg{suffix}"), "");
        for words in [words.to_owned(), format!("{words} --overwrite")] {
            let said = work.refused(&words);
            assert!(
                said.contains(&format!(
                    "open in another program such as QGIS, or that program crashed: p.gpkg{suffix}"
                )),
                "{said}"
            );
        }
        fs::remove_file(beside).expect("a file");
    }
    let mut permissions = fs::metadata(work.path("p.gpkg")).expect("a file").permissions();
    permissions.set_readonly(true);
    fs::set_permissions(work.path("p.gpkg"), permissions).expect("read-only");
    assert!(work.refused(words).contains("the file there is read-only"));

    // Rasters stay beside the new layer.
    let driver = DriverManager::get_driver_by_name("GPKG").expect("the driver");
    let scene = Dataset::open(work.path("lab.tif")).expect("labels");
    scene.create_copy(&driver, work.path("r.gpkg"), &Default::default()).expect("a raster").close().expect("whole");
    let before = dump(&work.path("r.gpkg"));
    fs::copy(work.path("r.gpkg"), work.path("q.gpkg")).expect("a copy");
    work.ok("vectorize lab.tif --recipe plain -o q.gpkg".split(' '));
    nothing_lost(&before, &dump(&work.path("q.gpkg")), &[]);
    assert_eq!(Dataset::open(work.path("q.gpkg")).expect("a raster").raster_size(), (200, 40));
    assert_eq!(layers(&work.path("q.gpkg")), [("q".to_owned(), 3)]);
}

#[test]
fn files_that_are_not_the_jobs_own_are_refused_all_at_once() {
    let work = job();
    fs::create_dir(work.path("out")).expect("a folder");
    write_bands(&work.path("out/l.tif"), (300, 200), &[vec![7u8; 60_000]], place);
    work.write("out/r.html", "<p>mine</p>");
    work.write("out/l.qml", "<qgis/>");
    package(&work.path("out/p.gpkg"), "p");
    let said = ["check job.yaml", "run job.yaml", "run job.yaml --shard 1/2", "run job.yaml --workers 2"]
        .map(|words| work.refused(words));
    for line in [
        "error: 3 outputs exist and are not overwritten",
        "  out/l.tif: a GeoTIFF of 300 × 200 pixels that segearth has no record of",
        "  out/p.gpkg: its layer \"p\" has 3 features and is not recorded by segearth",
        "  out/r.html: a file of 11 bytes that segearth has no record of",
    ] {
        assert!(said.iter().all(|said| said.contains(line)), "{line}: {}", said[0]);
    }
    assert!(
        said[1].contains("--overwrite") && said[2].contains("shards and workers have no --overwrite"),
        "{}",
        said[2]
    );
    work.ok(["check", "job.yaml", "--overwrite"]);
    fs::remove_file(work.path("out/l.tif")).expect("a raster");
    assert!(work.refused("run job.yaml").contains("out/l.qml: a file of 7 bytes"), "a style of the user's");
    let before = dump(&work.path("out/p.gpkg"));
    work.ok(["run", "job.yaml", "--overwrite"]);
    assert!(layers(&work.path("out/p.gpkg"))[0].1 > 3);
    let after = dump(&work.path("out/p.gpkg"));
    assert!(
        ["surveys", "layer_styles"].iter().all(|table| before[*table] == after[*table]),
        "the style of the layer too"
    );
    assert!(fs::read_to_string(work.path("out/l.qml")).expect("a style").contains("paletteEntry"));
    // What is no file is never replaced.
    fs::remove_file(work.path("out/r.html")).expect("a page");
    std::os::unix::fs::symlink("/dev/null", work.path("out/r.html")).expect("a link");
    assert!(work.run(["run", "job.yaml", "--overwrite"]).stderr.contains("out/r.html: it is not a regular file"));
}

/// What all outputs hold, by name.
fn outputs(work: &Workdir) -> BTreeMap<String, Vec<u8>> {
    let names = ["l.tif", "l.tif.aux.xml", "l.qml", "s.tif", "p.gpkg", "p.png", "r.html"];
    names.iter().filter_map(|name| Some((name.to_string(), fs::read(work.path("out").join(name)).ok()?))).collect()
}

#[test]
fn a_changed_job_does_not_throw_away_what_was_edited() {
    let work = job();
    work.ok(["run", "job.yaml"]);
    let path = work.path("out/p.gpkg");

    // QGIS has merely looked at it: the pages lie otherwise, statistics are beside the scores.
    sql(&path, &["VACUUM", "PRAGMA user_version = 10300"]);
    let aux = "<PAMDataset>\n  <PAMRasterBand band=\"1\">\n    <Metadata>\n      <MDI key=\"STATISTICS_MAXIMUM\">1</MDI>\n    \
               </Metadata>\n  </PAMRasterBand>\n</PAMDataset>\n";
    work.write("out/s.tif.aux.xml", aux);
    let before = outputs(&work);
    let ran = work.ok(["run", "job.yaml"]);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("is finished, by an earlier run of this job"), "{}", ran.stderr);

    // One output gone: it is made again, the others stay as they are.
    fs::remove_file(work.path("out/s.tif")).expect("scores");
    fs::remove_file(work.path("out/r.html")).expect("a page");
    work.ok(["run", "job.yaml"]);
    assert!(outputs(&work) == before);
    assert!(!work.path("out/s.tif.aux.xml").exists(), "statistics of scores that were replaced");

    // Polygons that somebody has edited: the same job keeps them, another one is refused.
    sql(&path, &["UPDATE p SET class = 'mine' WHERE fid = 3"]);
    fs::remove_file(work.path("out/p.png")).expect("a picture");
    let edited = fs::read(&path).expect("polygons");
    let ran = work.ok(["run", "job.yaml"]);
    assert!(
        ran.stderr.contains("the layer \"p\" of out/p.gpkg was edited since it was written, and is kept."),
        "{}",
        ran.stderr
    );
    assert!(fs::read(&path).expect("polygons") == edited && work.path("out/p.png").exists());
    let ran = work.ok(["run", "job.yaml"]);
    assert!(ran.stderr.contains("is finished") && ran.stderr.contains("and is kept."), "{}", ran.stderr);
    for words in ["check job.yaml --set tiling.stride=14", "run job.yaml --set tiling.stride=14"] {
        let said = work.refused(words);
        for line in [
            "error: 5 outputs exist and are not overwritten",
            "  out/l.tif: is a result of an earlier run with other settings: tiling.stride was 28, is 14",
            "  out/p.gpkg: its layer \"p\" is a result of an earlier run with other settings, edited since: tiling.stride was 28, is 14",
            "  out/p.png: is a result",
        ] {
            assert!(said.contains(line), "{line}: {said}");
        }
    }
    // Labels that were edited by hand are not mixed with what is computed.
    let mut bytes = fs::read(work.path("out/l.tif")).expect("labels");
    *bytes.last_mut().expect("a byte") ^= 1;
    fs::write(work.path("out/l.tif"), bytes).expect("edited labels");
    fs::remove_file(work.path("out/r.html")).expect("a page");
    let said = work.refused("run job.yaml");
    assert!(said.contains("out/l.tif was edited since it was written, and out/r.html is made from it"), "{said}");
    work.ok(["run", "job.yaml", "--overwrite"]);
    assert_eq!(outputs(&work).len(), before.len());
    // Results without a record, as an earlier version has left them, are a user's files too.
    fs::remove_dir_all(work.path("out/.segearth")).expect("records");
    assert!(work.refused("run job.yaml").contains("error: 5 outputs exist and are not overwritten"));
}

#[test]
fn tables_figures_pages_and_pictures_of_other_commands_are_guarded_too() {
    let work = Workdir::new();
    labels(&work);
    fs::copy(work.path("lab.tif"), work.path("after.tif")).expect("a copy");
    let words = "change lab.tif after.tif -o out --transition *:road";
    work.ok(words.split(' '));
    work.ok(words.split(' '));
    let files = ["change.tif", "change.csv", "change.json", "change.png", "change.html", "change.gpkg"];
    for name in files {
        let path = work.path("out").join(name);
        let own = fs::read(&path).expect(name);
        let mut edited = own.clone();
        edited.extend(b"\n");
        fs::write(&path, edited).expect(name);
        if name != "change.gpkg" {
            let said = work.refused(words);
            assert!(said.contains(&format!("out/{name}: was written by this command and edited since")), "{said}");
        }
        fs::write(&path, own).expect(name);
    }
    fs::write(work.path("out/change.qml"), "<qgis/>").expect("a style");
    work.ok(words.split(' '));
    assert_eq!(fs::read_to_string(work.path("out/change.qml")).expect("a style"), "<qgis/>", "an edited style is kept");
    work.ok(format!("{words} --overwrite").split(' '));
    assert!(fs::read_to_string(work.path("out/change.qml")).expect("a style").contains("paletteEntry"));
    let said = work.refused("change after.tif lab.tif -o out");
    assert!(said.contains("error: 5 outputs exist") && said.contains("after was "), "{said}");

    let words = "evaluate --prediction lab.tif --reference after.tif --json figures.json";
    work.write("figures.json", "{}");
    assert!(work.refused(words).contains("figures.json: a file of 2 bytes"));
    work.ok(format!("{words} --overwrite").split(' '));
    work.ok(words.split(' '));
    let said = work.refused(&format!("{words} --ignore 0"));
    assert!(said.contains("--ignore was nothing, is "), "{said}");
    assert_eq!(
        work.run(["evaluate", "--prediction", "lab.tif", "--reference", "after.tif", "--json", "/dev/stdout"]).code,
        1
    );
    assert!(Path::new("/dev/stdout").exists());

    work.write("g.graphml", "<mine/>");
    assert!(
        work.refused("vectorize lab.tif --recipe roads --graph g.graphml -o r.shp").contains("g.graphml: a file of")
    );
    work.write("r_nodes.dbf", "mine");
    assert!(work.refused("vectorize lab.tif --recipe roads -o r.shp").contains("r_nodes.dbf: a file of 4 bytes"));
    work.write("w.qix", "mine");
    assert!(work.refused("vectorize lab.tif --recipe plain -o w.shp").contains("w.qix: other programs would read it"));
    assert!(work.refused("vectorize lab.tif --recipe plain -o lab.tif.gpkg/x.fgb").contains("there is no folder"));
}

/// The files of the product in `out`, but for the hidden ones.
fn product(work: &Workdir) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(work.path("out")).expect("a folder").map(|entry| entry.expect("an entry"));
    let files = entries.filter(|entry| entry.path().is_file());
    files
        .map(|entry| (entry.file_name().into_string().expect("a name"), fs::read(entry.path()).expect("bytes")))
        .collect()
}

/// Killed whenever, a GeoPackage holds the old layer or the new one, and the user's always; a Shapefile that was killed between
/// its parts is known for what it is, and the same command completes it.
#[test]
fn a_kill_leaves_old_or_new_and_the_same_command_goes_on() {
    let work = Workdir::new();
    noise_scene(&work.path("scene.tif"), 150, 150);
    let segment = "segment scene.tif --model fake:identity -c red;green;blue -o";
    work.ok(format!("{segment} one.tif").split(' '));
    work.ok("segment scene.tif --model fake:identity -c red;green -o two.tif".split(' '));
    fs::create_dir(work.path("out")).expect("a folder");
    package(&work.path("parcels.gpkg"), "parcels");
    for file in ["a.gpkg", "a.shp"] {
        let words = |labels: &str| format!("vectorize {labels} --recipe plain --overwrite -o out/{file}");
        let state = |work: &Workdir| match file {
            "a.gpkg" => {
                let dumped = dump(&work.path("out/a.gpkg"));
                let rows = ["a", "parcels", "surveys", "layer_styles"].map(|table| dumped.get(table).cloned());
                BTreeMap::from([("rows".to_owned(), format!("{rows:?}").into_bytes())])
            }
            _ => product(work).into_iter().filter(|(name, _)| name.starts_with("a.")).collect(),
        };
        if file == "a.gpkg" {
            fs::copy(work.path("parcels.gpkg"), work.path("out/a.gpkg")).expect("a copy");
        }
        work.ok(words("two.tif").split(' '));
        let new = state(&work);
        work.ok(words("one.tif").split(' '));
        let old = state(&work);
        assert!(old != new, "{file}");
        let started = std::time::Instant::now();
        work.ok(words("one.tif").split(' '));
        let whole = started.elapsed();
        let mut killed = 0;
        for round in 0..6u32 {
            let mut child = work
                .command(words("two.tif").split(' '))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("a child");
            std::thread::sleep(whole * (round + 1) / 6);
            killed += u32::from(child.try_wait().expect("a child").is_none());
            let _ = child.kill();
            child.wait().expect("an end");
            let now = state(&work);
            if file == "a.gpkg" {
                assert!(now == old || now == new, "round {round}: neither the old layer nor the new one");
            } else {
                assert!(
                    now.iter().all(|(name, bytes)| old.get(name) == Some(bytes) || new.get(name) == Some(bytes)),
                    "{round}"
                );
            }
            work.ok(words("two.tif").split(' '));
            assert!(state(&work) == new, "round {round}");
            work.ok(words("one.tif").split(' '));
            assert!(state(&work) == old, "round {round}");
            let hidden: Vec<_> = fs::read_dir(work.path("out/.segearth")).expect("records").flatten().collect();
            assert!(hidden.iter().all(|entry| entry.path().is_file()), "nothing unfinished is left: {hidden:?}");
        }
        assert!(killed > 0, "nothing was killed");
    }
}

/// A file that appears while a job runs is not replaced at its end; the rows are kept until it is out of the way.
#[test]
fn what_appears_meanwhile_is_not_replaced() {
    let work = Workdir::new();
    noise_scene(&work.path("scene.tif"), 900, 1100);
    work.write(
        "job.yaml",
        "scene: scene.tif\nmodel: fake:identity\nclasses: [red, green, blue]\ntiling: {stride: 28}\noutputs: {folder: out}\n",
    );
    let mut child = crate::resume::start(&work, "run job.yaml");
    while !work.path("out/scene_labels.tif.unfinished/journal.yaml").exists() {
        assert!(child.try_wait().expect("a child").is_none(), "it has ended before it began");
        std::thread::sleep(Duration::from_millis(1));
    }
    work.write("out/scene_labels.tif", "mine");
    let ended = child.wait_with_output().expect("an end");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("out/scene_labels.tif: ") && said.contains("rows are finished and kept in"), "{said}");
    assert_eq!(fs::read_to_string(work.path("out/scene_labels.tif")).expect("a file"), "mine");
    let said = work.refused("run job.yaml");
    assert!(said.contains("a file of 4 bytes"), "{said}");
    fs::rename(work.path("out/scene_labels.tif"), work.path("mine.tif")).expect("a file");
    let ran = work.ok(["run", "job.yaml"]);
    assert!(ran.stderr.contains("1100 of 1100 rows are finished"), "{}", ran.stderr);
}

/// Two commands that write to one GeoPackage at the same time: one of them waits for nobody and is told.
#[test]
fn two_at_once_do_not_lose_each_others_layers() {
    let work = Workdir::new();
    labels(&work);
    package(&work.path("p.gpkg"), "parcels");
    let recipes = ["plain", "roads"];
    let children: Vec<_> = recipes
        .iter()
        .map(|recipe| {
            let words = format!("vectorize lab.tif --recipe {recipe} -o p.gpkg");
            let mut command: Command = work.command(words.split(' '));
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a child")
        })
        .collect();
    let mut expected = vec!["parcels"];
    for (recipe, child) in recipes.iter().zip(children) {
        let ended = child.wait_with_output().expect("an end");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        match ended.status.code() {
            Some(0) => expected.extend(if *recipe == "plain" { &["p"][..] } else { &["roads", "nodes", "areas"] }),
            _ => {
                assert!(said.contains("another run is writing p.gpkg") || said.contains("was changed while"), "{said}")
            }
        }
    }
    let mut found: Vec<String> = layers(&work.path("p.gpkg")).into_iter().map(|(name, _)| name).collect();
    found.sort();
    expected.sort_unstable();
    assert_eq!(found, expected);
}
