//! `segearth search` from end to end: places of stores, ranked, as polygons and pictures; and what is refused.

use std::fs;
use std::path::Path;

use gdal::Dataset;
use gdal::spatial_ref::SpatialRef;
use gdal::vector::LayerAccess as _;
use segearth::embeddings::{ModelCard, Padding, Precision, SceneCard, Store};

use crate::archives::zip;
use crate::scenes::noise_scene;
use crate::server::{File, Reply, Server};
use crate::workdir::{Workdir, without_causes};

const SIZE: [usize; 2] = [112, 80];
const WIDTH: usize = 8;

/// Where the upper left corner of the first scene lies; the second one is a kilometre further east.
const CORNER: [f64; 2] = [350_000.0, 5_640_000.0];

/// The feature of a patch whose first pixel this is: of the targets, of a weaker likeness, of the ground.
fn feature(scene: usize, [col, row]: [usize; 2]) -> [f32; WIDTH] {
    let mut feature = [0.0; WIDTH];
    let inside =
        |cols: std::ops::Range<usize>, rows: std::ops::Range<usize>| cols.contains(&col) && rows.contains(&row);
    feature[1] = 1.0;
    if scene == 0 && inside(16..40, 8..24) {
        feature[0] = 5.0;
    } else if scene == 1 && inside(104..112, 72..80) {
        feature[0] = 2.0;
    }
    feature
}

/// A store of two scenes, windows of 32 pixels with patches of 8, 16 apart; the first one's file is `a.tif`.
fn store(work: &Workdir, name: &str, crs: [u32; 2]) {
    if !work.path("a.tif").exists() {
        noise_scene(&work.path("a.tif"), SIZE[0], SIZE[1]);
    }
    let model = ModelCard { name: "small".into(), sha256: "ab".into(), patch: 8, width: WIDTH };
    let store = Store::create(&work.path(name), &model, Some(Precision::Int8)).expect("a store");
    for (at, (file, epsg)) in ["a.tif", "b.tif"].into_iter().zip(crs).enumerate() {
        let path = work.path(file).display().to_string();
        let mut job = serde_json::Map::new();
        job.insert("scene".into(), path.clone().into());
        let card = SceneCard {
            name: file.into(),
            path,
            width: SIZE[0],
            height: SIZE[1],
            transform: Some([CORNER[0] + 1000.0 * at as f64, 1.0, 0.0, CORNER[1], 0.0, -1.0]),
            crs: Some(SpatialRef::from_epsg(epsg).expect("a CRS").to_wkt().expect("WKT")),
            window: 32,
            stride: 16,
            padding: Padding { above: 0, left: 0 },
            patches: [1, 1],
            chunk: 1,
            facts: Default::default(),
            job,
        };
        let card = SceneCard { chunk: 2, ..card.laid_out(&model, Precision::Int8) };
        let scene = store.create_scene(card).expect("a scene");
        for index in scene.chunks().collect::<Vec<_>>() {
            let windows: Vec<Vec<f32>> = scene
                .windows(index)
                .iter()
                .map(|window| {
                    let patches = (0..16).map(|patch| [window.col + patch % 4 * 8, window.row + patch / 4 * 8]);
                    [[1.0; WIDTH]].into_iter().chain(patches.map(|patch| feature(at, patch))).flatten().collect()
                })
                .collect();
            let windows: Vec<Option<&[f32]>> = windows.iter().map(|window| Some(window.as_slice())).collect();
            scene.write(index, &windows).expect("a chunk");
        }
    }
}

/// Rank, score, area, scene and bounds (west, south, east, north) of the places in a file, and its EPSG code.
type Found = (i64, f64, f64, String, [f64; 4]);

fn places(path: &Path) -> (Vec<Found>, i32) {
    let dataset = Dataset::open(path).expect("a vector file");
    let mut layer = dataset.layer(0).expect("a layer");
    let code = layer.spatial_ref().and_then(|crs| crs.auth_code().ok()).unwrap_or(0);
    let at = |name: &str| layer.defn().fields().position(|field| field.name() == name).expect(name);
    let [rank, score, area, scene] = ["rank", "score", "area_m2", "scene"].map(at);
    let read = layer.features().map(|feature| {
        let bounds = feature.geometry().expect("a polygon").envelope();
        (
            feature.field_as_integer64(rank).expect("a field").expect("a rank"),
            feature.field_as_double(score).expect("a field").expect("a score"),
            feature.field_as_double(area).expect("a field").expect("an area"),
            feature.field_as_string(scene).expect("a field").expect("a scene"),
            [bounds.MinX, bounds.MinY, bounds.MaxX, bounds.MaxY],
        )
    });
    (read.collect(), code)
}

#[test]
fn places_like_one_are_ranked_outlined_and_shown() {
    let work = Workdir::new();
    store(&work, "e.zarr", [25832, 25832]);
    let ran = work.ok("search e.zarr --like 350020,5639985 --top 2 --sheet hits.html -o hits.gpkg".split(' '));
    insta::assert_snapshot!(ran.stdout, @r"
    hits.gpkg: 2 places, of 280 patches in 2 scenes
      rank   score    mean      area  at                   scene
         1   1.000   1.000  384.1 m²  350028.0, 5639984.0  a.tif
         2   0.963   0.963  64.02 m²  351108.0, 5639924.0  b.tif
    pictures: hits.html
    ");
    assert!(ran.stderr.contains("b.tif has no pictures in the sheet"), "{}", ran.stderr);
    let (found, code) = places(&work.path("hits.gpkg"));
    assert_eq!((found.len(), code), (2, 25832));
    let (rank, score, area, scene, bounds) = &found[0];
    assert_eq!((*rank, scene.as_str()), (1, "a.tif"));
    assert!((score - 1.0).abs() < 1e-3 && (area - 384.0).abs() < 1.0, "{score} {area}");
    // 24 × 16 pixels from column 16 and row 8, though five windows hold parts of them.
    assert_eq!(*bounds, [350_016.0, 5_639_976.0, 350_040.0, 5_639_992.0]);
    // The patch in the corner is in the last windows alone, which are shifted.
    let (rank, score, _, scene, bounds) = &found[1];
    assert_eq!((*rank, scene.as_str()), (2, "b.tif"));
    assert!(*score > 0.9 && *score < 0.999, "{score}");
    assert_eq!(*bounds, [351_104.0, 5_639_920.0, 351_112.0, 5_639_928.0]);
    let sheet = fs::read_to_string(work.path("hits.html")).expect("a sheet");
    assert_eq!(sheet.matches("src=\"data:image/jpeg;base64,").count(), 1);
    assert!(sheet.contains("cannot be read") && !sheet.contains("://"));
}

#[test]
fn points_in_any_crs_and_scenes_in_several() {
    let work = Workdir::new();
    store(&work, "e.zarr", [25832, 25833]);
    // In the target of a.tif, in longitude and latitude.
    let crs = |epsg| {
        let mut crs = SpatialRef::from_epsg(epsg).expect("a CRS");
        crs.set_axis_mapping_strategy(gdal::spatial_ref::AxisMappingStrategy::TraditionalGisOrder);
        crs
    };
    let to = gdal::spatial_ref::CoordTransform::new(&crs(25832), &crs(4326)).expect("a transformation");
    let (mut x, mut y) = ([350_020.0], [5_639_985.0]);
    to.transform_coords(&mut x, &mut y, &mut []).expect("a position");
    let point = format!(
        "{{\"type\": \"Feature\", \"properties\": {{}}, \"geometry\": {{\"type\": \"Point\", \"coordinates\": [{}, {}]}}}}",
        x[0], y[0]
    );
    work.write("like.geojson", point);
    work.ok("search e.zarr --like like.geojson --top 2 -o hits.gpkg".split(' '));
    let (found, code) = places(&work.path("hits.gpkg"));
    assert_eq!(code, 4326);
    let [west, south, east, north] = found[0].4;
    assert!(west < x[0] && x[0] < east && south < y[0] && y[0] < north, "{found:?}");
    assert_eq!((found[0].3.as_str(), found[1].3.as_str()), ("a.tif", "b.tif"));
    assert!((found[1].4[0] - found[0].4[0] - 6.0).abs() < 0.1, "a zone further east: {found:?}");
    let said = work.refused("search e.zarr --like 350020,5639985 -o more.gpkg");
    assert!(said.contains("several CRSs") && said.contains("hint: Give the place as a point"), "{said}");
}

#[test]
fn stores_that_lack_chunks_are_searched_and_damaged_ones_refused() {
    let work = Workdir::new();
    store(&work, "e.zarr", [25832, 25832]);
    let chunks: Vec<_> = glob::glob(&format!("{}/e.zarr/b*/tokens/c/0/*/0/0", work.path("").display()))
        .expect("a pattern")
        .flatten()
        .collect();
    let whole = fs::read(&chunks[0]).expect("a chunk");
    fs::write(&chunks[0], &whole[..whole.len() - 9]).expect("a chunk");
    let said = work.refused("search e.zarr --like 350020,5639985 -o hits.gpkg");
    let chunk = chunks[0].strip_prefix(work.path("")).expect("below").display().to_string();
    assert!(said.contains("is damaged") && said.contains(&chunk) && said.contains("hint: "), "{said}");
    fs::remove_file(&chunks[0]).expect("a chunk");
    let ran = work.ok("search e.zarr --like 350020,5639985 --top 2 -o hits.gpkg".split(' '));
    let note = "chunks (5.6 %) are missing, of b.tif: their places were not searched";
    assert!(ran.stderr.contains(note), "{}", ran.stderr);
    // The same command again replaces its own result; another one does not.
    work.ok("search e.zarr --like 350020,5639985 --top 2 -o hits.gpkg".split(' '));
    fs::write(work.path("mine.geojson"), "{}").expect("a file");
    assert!(work.refused("search e.zarr --like 350020,5639985 -o mine.geojson").contains("--overwrite"));
}

#[test]
fn what_cannot_be_searched_is_refused() {
    let work = Workdir::new();
    store(&work, "e.zarr", [25832, 25832]);
    let mut all = String::new();
    for words in [
        "none.zarr --words water -o hits.gpkg",
        "e.zarr -o hits.gpkg",
        "e.zarr --words , -o hits.gpkg",
        "e.zarr --like 1,2 --top 0 -o hits.gpkg",
        "e.zarr --like 1,2 --share 2 -o hits.gpkg",
        "e.zarr --like 1,2 -o hits.gpkg",
        "e.zarr --like none.gpkg -o hits.gpkg",
        "e.zarr --words water -o hits.gpkg",
        "e.zarr --words water --model mini -o hits.gpkg",
        "e.zarr --like 350020,5639985 -o hits.tif",
    ] {
        all += &format!("$ segearth search {words}\n{}\n", without_causes(&work.refused(&format!("search {words}"))));
    }
    // The hash of the built-in model changes with it.
    let hash = fancy_regex::Regex::new(r"mini-\S+ \(image tower [0-9a-f]+…").expect("a pattern");
    insta::assert_snapshot!(hash.replace_all(&all, "mini-VERSION (image tower HASH…"), @r"
    $ segearth search none.zarr --words water -o hits.gpkg
    error: none.zarr is not a store of embeddings: the folder does not exist

    hint: `segearth embed SCENE -o STORE` makes one.

    $ segearth search e.zarr -o hits.gpkg
    error: the following required arguments were not provided:
      <--words <WORDS>|--like <FILE[:LAYER]|X,Y>>

    Usage: segearth search --output <HITS> <--words <WORDS>|--like <FILE[:LAYER]|X,Y>> <STORE>...

    For more information, try '--help'.

    $ segearth search e.zarr --words , -o hits.gpkg
    error: --words is empty

    hint: Give words, such as 'solar panels'.

    $ segearth search e.zarr --like 1,2 --top 0 -o hits.gpkg
    error: --top is 0; at least 1 is allowed

    hint: Give the number of places to write.

    $ segearth search e.zarr --like 1,2 --share 2 -o hits.gpkg
    error: --share is 2; 0 to 1 are allowed

    hint: The share counts from the mean of a scene, 0, to the best score, 1.

    $ segearth search e.zarr --like 1,2 -o hits.gpkg
    error: no place of --like 1,2 lies in a scene of the stores

    hint: Coordinates X,Y are those of the scenes' CRS (columns and rows of pixels where there is none).

    $ segearth search e.zarr --like none.gpkg -o hits.gpkg
    error: there is no file none.gpkg

    hint: Check the path of the places.

    $ segearth search e.zarr --words water -o hits.gpkg
    error: the model of e.zarr, small, is not found

    hint: Name its folder with --model DIR.

    $ segearth search e.zarr --words water --model mini -o hits.gpkg
    error: e.zarr holds embeddings of another model
      model: was small (image tower ab…, patches of 8 pixels, width 8), is mini-VERSION (image tower HASH…, patches of 4 pixels, width 128)

    hint: Use the store's model, or make another store with `segearth embed`.

    $ segearth search e.zarr --like 350020,5639985 -o hits.tif
    error: hits.tif has extension .tif, polygons can be written as .gpkg, .fgb, .geojson, .json, .geojsonl, .geojsons, .ndjson, .shp, .parquet, .geoparquet

    hint: Use .gpkg unless another program needs a different format.
    ");
}

#[test]
fn words_rank_places_of_an_embedded_scene() {
    let work = Workdir::new();
    noise_scene(&work.path("scene.tif"), 300, 240);
    work.ok("embed scene.tif -o e.zarr".split(' '));
    work.ok(["search", "e.zarr", "--words", "water, lake", "--not", "building", "--top", "3", "-o", "hits.gpkg"]);
    let (found, _) = places(&work.path("hits.gpkg"));
    assert_eq!(found.iter().map(|place| place.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(found.windows(2).all(|two| two[0].1 >= two[1].1), "{found:?}");
    work.ok("search e.zarr --words water,lake --not building --top 3 --sheet hits.html -o other.gpkg".split(' '));
    assert_eq!(found, places(&work.path("other.gpkg")).0, "the same words give the same places");
    let sheet = fs::read_to_string(work.path("hits.html")).expect("a sheet");
    assert_eq!(sheet.matches("src=\"data:image/jpeg;base64,").count(), 3);
}

/// All files of a folder, with their paths from there.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let all = glob::glob(&format!("{}/**/*", folder.display())).expect("a pattern").flatten();
    let name = |path: &Path| path.strip_prefix(folder).expect("below").display().to_string();
    all.filter(|path| path.is_file()).map(|path| (name(&path), fs::read(&path).expect("a file"))).collect()
}

#[test]
fn stores_in_archives_and_behind_addresses_are_searched() {
    let work = Workdir::new();
    store(&work, "city", [25832, 25832]);
    let like = ["--like", "350024,5639984", "--top", "5"];
    let search = |store: &str, output: &str| {
        work.run_with(["search", store, "-o", output].into_iter().chain(like), &[("GDAL_HTTP_RETRY_DELAY", "0.001")])
    };
    let found = |output: &str| places(&work.path(output)).0;
    assert_eq!(search("city", "here.gpkg").code, 0);
    let entries: Vec<(String, Vec<u8>)> =
        files(&work.path("city")).into_iter().map(|(name, content)| (format!("in/{name}"), content)).collect();
    let archive = zip(&entries);
    work.write("city.zip", &archive);
    for (at, name) in ["city.zip/in", "/vsizip/city.zip/in"].into_iter().enumerate() {
        let output = format!("zip{at}.gpkg");
        let ran = search(name, &output);
        assert!(ran.code == 0, "{}", ran.stderr);
        assert_eq!(found(&output), found("here.gpkg"), "{name}");
    }
    let refused = |store: &str, expected: &str| {
        let ran = search(store, "no.gpkg");
        assert!(
            ran.code == 1 && ran.stderr.contains(expected) && ran.stderr.contains("hint: "),
            "{store}: {}",
            ran.stderr
        );
        assert!(!work.path("no.gpkg").exists(), "{store}");
    };
    // The wrong folder, no archive, and archives that are cut or lack a chunk.
    refused("city.zip", "is not a store of embeddings: there is no zarr.json");
    refused("none.zip/in", "is not a store of embeddings: there is no zarr.json");
    work.write("cut.zip", &archive[..archive.len() / 2]);
    refused("cut.zip/in", "is not a store of embeddings: there is no zarr.json");
    let is_chunk = |name: &str| name.contains("b_tif") && name.contains("/tokens/c/0/0/");
    let some: Vec<_> = entries.iter().filter(|(name, _)| !is_chunk(name)).cloned().collect();
    assert_eq!(some.len() + 1, entries.len());
    work.write("some.zip", zip(&some));
    let ran = search("some.zip/in", "some.gpkg");
    assert!(ran.code == 0 && ran.stderr.contains("are missing, of b.tif"), "{}", ran.stderr);
    let short = entries.iter().map(|(name, content)| {
        (name.clone(), if is_chunk(name) { content[..content.len() - 1].to_vec() } else { content.clone() })
    });
    work.write("short.zip", zip(&short.collect::<Vec<_>>()));
    refused("short.zip/in", "tokens/c/0/0/0/0 is damaged");
    // A server that sends files and lists none: archives are searched there, and the store itself is refused.
    let leaked = |(name, content): &(String, Vec<u8>)| File {
        name: Box::leak(format!("/{name}").into()),
        content: content.clone(),
        headers: "",
    };
    let mut served: Vec<File> = entries.iter().map(leaked).collect();
    served.push(File { name: "/city.zip", content: archive.clone(), headers: "" });
    let server = Server::start(served, |_| Reply::Well);
    let ran = search(&format!("{}/city.zip/in", server.address), "there.gpkg");
    assert!(ran.code == 0, "{}", ran.stderr);
    assert_eq!(found("there.gpkg"), found("here.gpkg"));
    refused(&format!("{}/in", server.address), "cannot read /vsicurl/http");
    refused(&format!("{}/elsewhere", server.address), "is not a store of embeddings: there is no zarr.json");
    // Nothing is written there.
    for store in ["city.zip/in", "s3://bucket/city", "https://localhost/city"] {
        let said = work.refused(&format!("embed a.tif -o {store}"));
        assert!(said.contains("is not a folder on a disk") && said.contains("hint: "), "{said}");
    }
}
