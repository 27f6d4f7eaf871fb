//! `segearth change` from end to end: two maps into a matrix, a raster, polygons.

use std::path::Path;

use gdal::spatial_ref::SpatialRef;
use gdal::vector::LayerAccess as _;
use gdal::{Dataset, Metadata as _};

use crate::scenes::{read_band, write_bands};
use crate::workdir::{Workdir, without_causes};

const NAMES: [&str; 2] = ["water", "land"];

/// A label raster at (0, 0) of EPSG:25832 with pixels of `step` metres.
fn labels(path: &Path, size: (usize, usize), step: f64, names: &[&str], values: Vec<u8>) {
    write_bands(path, size, &[values], |dataset| {
        dataset.set_geo_transform(&[350_000.0, step, 0.0, 5_640_000.0, 0.0, -step]).expect("a geotransform");
        dataset.set_spatial_ref(&SpatialRef::from_epsg(25832).expect("a CRS")).expect("a CRS");
        let mut band = dataset.rasterband(1).expect("a band");
        band.set_no_data_value(Some(255.0)).expect("a nodata value");
        for (value, name) in names.iter().enumerate() {
            band.set_metadata_item(&format!("CLASS_{value}"), name, "").expect("a name");
        }
    });
}

/// 40 × 30 pixels of 2 m: water in the left 10 columns before, in the left 25 after, without rows 0 and 1.
fn flood(work: &Workdir) {
    let value = |wet: usize| (0..1200).map(move |at| u8::from(at % 40 >= wet)).collect::<Vec<u8>>();
    labels(&work.path("before.tif"), (40, 30), 2.0, &NAMES, value(10));
    let mut after = value(25);
    after[..80].fill(255);
    labels(&work.path("after.tif"), (40, 30), 2.0, &NAMES, after);
}

#[test]
fn a_flood_is_a_matrix_a_raster_and_polygons() {
    let work = Workdir::new();
    flood(&work);
    let ran = work.ok("change before.tif after.tif -o out --transition land:water --polygons wet.geojson".split(' '));
    insta::assert_snapshot!(ran.stdout, @r"
    before.tif to after.tif: 1,120 pixels compared, 4,481 m², 37.5 % changed
    excluded: 80 without a label after

      m², from ↓ to →  water   land  before
      water            1,120      0   1,120
      land             1,680  1,680   3,361
      after            2,801  1,680   4,481

      land → water  1,680 m²  50.0 %  of land

    transitions  out/change.tif
    polygons     out/wet.geojson  (1 polygon)
    table        out/change.csv
    figures      out/change.json
    picture      out/change.png
    report       out/change.html
    ");
    assert_eq!(ran.stderr, "");
    let csv = std::fs::read_to_string(work.path("out/change.csv")).expect("a table");
    insta::assert_snapshot!(csv, @r"
    from,to,value,pixels,area_m2,area_ha,area_km2,share_of_from
    water,water,0,280,1120.277,0.112028,0.001120277,1.000000
    water,land,1,0,0.000,0.000000,0.000000000,0.000000
    land,water,2,420,1680.416,0.168042,0.001680416,0.500000
    land,land,3,420,1680.417,0.168042,0.001680417,0.500000
    ");
    let json = std::fs::read(work.path("out/change.json")).expect("figures");
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!((&json["changed"], &json["without_after"]), (&420.into(), &80.into()));
    // On the ellipsoid, by PROJ and GeographicLib; the plane of UTM has 1680 m².
    let flooded = 1680.4162;
    assert!((json["transitions"][2]["area_m2"].as_f64().expect("an area") - flooded).abs() < 1e-3);

    let raster = Dataset::open(work.path("out/change.tif")).expect("a raster");
    assert_eq!(raster.geo_transform().expect("a place"), [350_000.0, 2.0, 0.0, 5_640_000.0, 0.0, -2.0]);
    assert_eq!(raster.spatial_ref().expect("a CRS").auth_code().expect("a code"), 25832);
    let band = raster.rasterband(1).expect("a band");
    assert_eq!(band.no_data_value(), Some(255.0));
    assert_eq!(band.metadata_item("CLASS_2", "").as_deref(), Some("land → water"));
    assert!(
        band.color_table().is_some() && work.path("out/change.qml").exists() && work.path("out/change.png").exists()
    );
    let expected: Vec<u8> = (0..1200)
        .map(|at| match at % 40 {
            _ if at < 80 => 255,
            0..10 => 0,
            10..25 => 2,
            _ => 3,
        })
        .collect();
    assert_eq!(read_band::<u8>(&raster, 1), expected);

    let polygons = Dataset::open(work.path("out/wet.geojson")).expect("polygons");
    let mut layer = polygons.layer(0).expect("a layer");
    let found: Vec<(String, f64)> = layer
        .features()
        .map(|feature| {
            let field = |name| feature.field_index(name).expect("a field");
            let text = |name| feature.field_as_string(field(name)).expect("text").expect("a class");
            let class = text("class");
            assert_eq!([text("from"), text("to")], ["land", "water"]);
            (class, feature.field_as_double(field("area_m2")).expect("a number").expect("an area"))
        })
        .collect();
    assert_eq!(found.len(), 1);
    assert!(found[0].0 == "land → water" && (found[0].1 / flooded - 1.0).abs() < 1e-2, "{found:?}");
}

/// Single pixels change at every border.
#[test]
fn polygons_of_one_pixel_are_left_out_unless_asked_for() {
    let work = Workdir::new();
    labels(&work.path("before.tif"), (10, 10), 2.0, &NAMES, vec![1; 100]);
    let mut after = vec![1; 100];
    for at in [11, 44, 45, 54, 55] {
        after[at] = 0;
    }
    labels(&work.path("after.tif"), (10, 10), 2.0, &NAMES, after);
    let ran = work.ok("change before.tif after.tif -o out --polygons wet.gpkg".split(' '));
    assert!(ran.stdout.contains("(1 polygon)"), "{}", ran.stdout);
    assert!(ran.stderr.contains("1 polygon of one pixel is left out"), "{}", ran.stderr);
    let count = |area: &str, folder: &str| {
        let ran = work
            .ok(format!("change before.tif after.tif -o {folder} --polygons wet.gpkg --min-area {area}").split(' '));
        let dataset = Dataset::open(work.path(&format!("{folder}/wet.gpkg"))).expect("polygons");
        (dataset.layer(0).expect("a layer").feature_count(), ran.stderr.contains("left out"))
    };
    assert_eq!((count("0", "all"), count("10", "large")), ((2, false), (1, false)));
    let said = work.refused("change before.tif after.tif -o none --min-area 5");
    assert!(said.contains("neither is asked for"), "{said}");
}

/// The same ground in pixels of another size, shifted, in another CRS and upside down: never compared blindly.
#[test]
fn another_grid_is_laid_on_the_second() {
    let work = Workdir::new();
    flood(&work);
    let fine = (0..120 * 90).map(|at| u8::from(at % 120 >= 30)).collect();
    labels(&work.path("fine.tif"), (120, 90), 2.0 / 3.0, &NAMES, fine);
    let ran = work.ok("change fine.tif after.tif -o out".split(' '));
    assert!(ran.stderr.contains("fine.tif is on another grid"), "{}", ran.stderr);
    let cells = |json: &Path| -> Vec<u64> {
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(json).expect("figures")).expect("JSON");
        json["transitions"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| one["pixels"].as_u64().expect("a count"))
            .collect()
    };
    assert_eq!(cells(&work.path("out/change.json")), [280, 0, 420, 420]);
    assert!(!work.path("out/change.gpkg").exists(), "nobody asked for polygons");

    // South up: the first row is the lowest one.
    let upside: Vec<u8> = (0..1200).map(|at| u8::from(at / 40 < 20 || at % 40 >= 10)).collect();
    write_bands(&work.path("upside.tif"), (40, 30), &[upside], |dataset| {
        dataset.set_geo_transform(&[350_000.0, 2.0, 0.0, 5_639_940.0, 0.0, 2.0]).expect("a geotransform");
        dataset.set_spatial_ref(&SpatialRef::from_epsg(25832).expect("a CRS")).expect("a CRS");
        let mut band = dataset.rasterband(1).expect("a band");
        band.set_metadata_item("CLASS_0", "water", "").expect("a name");
        band.set_metadata_item("CLASS_1", "land", "").expect("a name");
    });
    work.ok("change upside.tif after.tif -o out --overwrite".split(' '));
    // Water before in rows 0 to 9 of the second map, of which the first two have no label.
    assert_eq!(cells(&work.path("out/change.json")), [80, 0, 25 * 28 - 80, 420]);
}

#[test]
fn what_cannot_be_compared_is_refused_and_nothing_is_left() {
    let work = Workdir::new();
    flood(&work);
    labels(&work.path("far.tif"), (4, 3), 2e6, &NAMES, vec![0; 12]);
    write_bands(&work.path("nowhere.tif"), (40, 30), &[vec![0u8; 1200]], |dataset| {
        let mut band = dataset.rasterband(1).expect("a band");
        band.set_metadata_item("CLASS_0", "water", "").expect("a name");
    });
    write_bands(&work.path("unnamed.tif"), (40, 30), &[vec![0u8; 1200]], |_| {});
    write_bands(&work.path("scene.tif"), (40, 30), &vec![vec![0u16; 1200]; 4], |_| {});
    work.write("map.yaml", "classes: {water: 0, land: [5]}\n");
    work.write("odd.yaml", "classes: {water: 0}\nprediction: {water: 1}\n");
    let mut said = String::new();
    for words in [
        "change gone.tif after.tif -o out",
        "change scene.tif after.tif -o out",
        "change unnamed.tif after.tif -o out",
        "change before.tif nowhere.tif -o out",
        "change before.tif after.tif -o out --transition land:watr",
        "change before.tif after.tif -o out --transition land",
        "change before.tif after.tif -o out --polygons wet.kml",
        "change before.tif after.tif -o out --polygons change.json",
        "change before.tif after.tif -o before.tif",
        "change unnamed.tif unnamed.tif -o out --map odd.yaml",
        "change unnamed.tif after.tif -o out --map map.yaml",
        "change before.tif after.tif",
    ] {
        said += &format!("$ segearth {words}\n{}\n", without_causes(&work.refused(words)));
    }
    insta::assert_snapshot!(said, @r#"
    $ segearth change gone.tif after.tif -o out
    error: there is no file gone.tif

    hint: Check the path; relative paths start from the current folder.

    $ segearth change scene.tif after.tif -o out
    error: scene.tif has 4 bands; a label raster has 1, or 3 of red, green and blue

    hint: Extract one band first, for example with gdal_translate -b 1.

    $ segearth change unnamed.tif after.tif -o out
    error: unnamed.tif does not name its classes

    hint: Assign values or colours to classes with --map FILE: `classes: {water: 1, land: 2}`.

    $ segearth change before.tif nowhere.tif -o out
    error: before.tif has a georeference and nowhere.tif has none: they cannot be aligned

    hint: Give it the other's georeference, for example with gdal_translate -a_srs … -a_ullr …

    $ segearth change before.tif after.tif -o out --transition land:watr
    error: the transition "land:watr" names the class "watr", but the maps have only: water, land

    hint: Did you mean "water"?

    $ segearth change before.tif after.tif -o out --transition land
    error: the transition "land" has no colon

    hint: Write FROM:TO, such as land:water; * stands for any other class.

    $ segearth change before.tif after.tif -o out --polygons wet.kml
    error: out/wet.kml has extension .kml, polygons can be written as .gpkg, .fgb, .geojson, .json, .geojsonl, .geojsons, .ndjson, .shp, .parquet, .geoparquet

    hint: Use .gpkg unless another program needs a different format.

    $ segearth change before.tif after.tif -o out --polygons change.json
    error: the polygons and another result would both write to out/change.json

    hint: Give the polygons another name.

    $ segearth change before.tif after.tif -o before.tif
    error: cannot make the output folder before.tif

    hint: Choose a folder in which you may write.

    $ segearth change unnamed.tif unnamed.tif -o out --map odd.yaml
    error: the class map has a section 'prediction', which `change` does not use: both maps are read by 'classes'

    hint: List the codes of both maps in 'classes': {water: [80, '#0000ff', lake]}.

    $ segearth change unnamed.tif after.tif -o out --map map.yaml
    error: after.tif has a georeference and unnamed.tif has none: they cannot be aligned

    hint: Give it the other's georeference, for example with gdal_translate -a_srs … -a_ullr …

    $ segearth change before.tif after.tif
    error: the following required arguments were not provided:
      --output <DIR>

    Usage: segearth change --output <DIR> <BEFORE.tif> <AFTER.tif>

    For more information, try '--help'.
    "#);

    std::fs::create_dir(work.path("full")).expect("a folder");
    std::fs::copy(work.path("before.tif"), work.path("full/change.tif")).expect("a copy");
    let said = work.refused("change full/change.tif after.tif -o full");
    assert!(said.contains("would overwrite full/change.tif"), "{said}");
    // A place without any label in both is found out at the end of the work.
    labels(&work.path("off.tif"), (4, 3), 2.0, &NAMES, vec![255; 12]);
    let said = work.refused("change before.tif off.tif -o full --overwrite");
    assert!(said.contains("have no labelled pixel in common"), "{said}");
}

#[test]
fn changed_pieces_are_the_authors() {
    let Some(path) = segearth_testing::shared("parity/more/change/expected.safetensors") else { return };
    let tensors: std::collections::HashMap<String, tch::Tensor> =
        tch::Tensor::read_safetensors(path).expect("expected tensors").into_iter().collect();
    let bytes = |name: &str| Vec::<u8>::try_from(tensors[name].flatten(0, -1)).expect("bytes");
    let work = Workdir::new();
    for (name, tensor) in [("before.tif", "labels_first"), ("after.tif", "labels_second")] {
        write_bands(&work.path(name), (200, 160), &[bytes(tensor)], |_| {});
    }
    work.write("classes.yaml", "classes: {background: 0, a: 1, b: 2, c: 3}\n");
    for (coverage, area, radius) in
        [("0.1", "0", "2"), ("0.3", "0", "0"), ("0.3", "0", "2"), ("0.3", "20", "2"), ("0.6", "30", "1")]
    {
        let ran = work.ok([
            "change",
            "before.tif",
            "after.tif",
            "--map",
            "classes.yaml",
            "-o",
            "out",
            "--overwrite",
            "--tolerance",
            radius,
            "--coverage",
            coverage,
            "--min-area",
            area,
        ]);
        assert!(ran.stdout.contains("changed      out/changed.tif  ("), "{}", ran.stdout);
        let got: Vec<u8> = read_band(&Dataset::open(work.path("out/changed.tif")).expect("changes"), 1);
        let got: Vec<u8> = got.into_iter().map(|value| u8::from(value > 0)).collect();
        let name = format!("changed.coverage_{coverage}.min_area_{area}.radius_{radius}");
        assert_eq!(got.iter().zip(bytes(&name)).filter(|(got, want)| *got != want).count(), 0, "{name}");
    }
}

#[test]
fn pieces_without_a_label_or_of_other_classes_do_not_count() {
    let work = Workdir::new();
    flood(&work);
    let ran = work.ok("change before.tif after.tif -o out --tolerance 1 --foreground water --coverage 0.5".split(' '));
    // Water before lies in the water after; two fifths of that after, and the tolerance, lie in the water before.
    assert!(ran.stdout.contains("(0 pieces gone, 1 new)"), "{}", ran.stdout);
    let changed: Vec<u8> = read_band(&Dataset::open(work.path("out/changed.tif")).expect("changes"), 1);
    assert_eq!((changed[0], changed[3 * 40], changed[3 * 40 + 30]), (255, 2, 0));
    let ran =
        work.ok("change before.tif after.tif -o small --tolerance 1 --foreground water --min-area 5000".split(' '));
    assert!(ran.stdout.contains("(0 pieces gone, 0 new)"), "{}", ran.stdout);
    let said = work.refused("change before.tif after.tif -o no --tolerance 1 --foreground ice");
    assert!(said.contains("neither map has the class \"ice\"; they have water, land"), "{said}");
    assert!(work.refused("change before.tif after.tif -o no --tolerance 1 --coverage 1.5").contains("from 0 to 1"));
}

/// The centre of the part of 256 that divides the values best, as scikit-image's, and at least 0.01.
fn threshold_of(values: &[f32]) -> f32 {
    let (low, high) = values
        .iter()
        .fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(f64::from(*value)), high.max(f64::from(*value))));
    let step = (high - low) / 256.0;
    let mut counts = [0f64; 256];
    for value in values {
        counts[(((f64::from(*value) - low) / step) as usize).min(255)] += 1.0;
    }
    let centre = |part: usize| low + (part as f64 + 0.5) * step;
    let mean = |parts: std::ops::Range<usize>| {
        let (sum, count) =
            parts.fold((0.0, 0.0), |(sum, count), part| (sum + counts[part] * centre(part), count + counts[part]));
        (sum / count, count)
    };
    let between = |part: usize| {
        let ((below, few), (above, many)) = (mean(0..part + 1), mean(part + 1..256));
        if few * many > 0.0 { few * many * (below - above).powi(2) } else { -1.0 }
    };
    let best = (0..255).fold(0, |best, part| if between(part) > between(best) { part } else { best });
    centre(best).max(0.01) as f32
}

/// Larger than a block on both axes. Scores are noise but for a field that is sure of land before and of water after.
#[test]
fn changed_scores_are_those_of_the_formula_and_join_with_pieces() {
    let work = Workdir::new();
    let size = (530, 300);
    let pixels = size.0 * size.1;
    let names = ["background", "water", "land"];
    let field = |at: usize| (200..420).contains(&(at % size.0)) && (100..280).contains(&(at / size.0));
    let noise = crate::scenes::noise(6 * pixels);
    let mut scores: Vec<Vec<f32>> =
        noise.chunks_exact(pixels).map(|plane| plane.iter().map(|byte| f32::from(*byte) / 1024.0).collect()).collect();
    for at in (0..pixels).filter(|at| field(*at)) {
        // Bands are (date, class).
        scores[2][at] += 0.7;
        scores[4][at] += 0.7;
    }
    for plane in &mut scores[3..] {
        plane[7 * size.0..8 * size.0].fill(f32::NAN);
    }
    for (date, name) in ["before_scores.tif", "after_scores.tif"].into_iter().enumerate() {
        write_bands(&work.path(name), size, &scores[3 * date..3 * date + 3], |dataset| {
            dataset.set_geo_transform(&[350_000.0, 2.0, 0.0, 5_640_000.0, 0.0, -2.0]).expect("a geotransform");
            dataset.set_spatial_ref(&SpatialRef::from_epsg(25832).expect("a CRS")).expect("a CRS");
            for (index, name) in names.into_iter().enumerate() {
                dataset.rasterband(index + 1).expect("a band").set_description(name).expect("a name");
            }
        });
    }
    let map = |of: &dyn Fn(usize) -> u8| (0..pixels).map(of).collect::<Vec<u8>>();
    // A narrow strip of water appears where no score says so.
    let strip = |at: usize| at % size.0 < 9;
    labels(&work.path("before_labels.tif"), size, 2.0, &names, map(&|at| if field(at) { 2 } else { 0 }));
    let after = map(&|at| match at {
        0..50 => 255,
        at if field(at) || strip(at) => 1,
        _ => 0,
    });
    labels(&work.path("after_labels.tif"), size, 2.0, &names, after.clone());

    let energies: Vec<Vec<f32>> = [1, 2]
        .into_iter()
        .map(|class| {
            let dates = scores[class].iter().zip(&scores[3 + class]);
            dates.map(|(a, b)| if b.is_nan() { f32::NAN } else { a.max(*b) * (a - b).abs() }).collect()
        })
        .collect();
    let limits: Vec<f32> = energies
        .iter()
        .map(|energy| threshold_of(&energy.iter().copied().filter(|value| !value.is_nan()).collect::<Vec<_>>()))
        .collect();
    let want: Vec<u8> = (0..pixels)
        .map(|at| match at {
            at if after[at] == 255 || energies[0][at].is_nan() => 255,
            at => u8::from((0..2).any(|class| energies[class][at] > limits[class])),
        })
        .collect();
    let ran = work.ok("change before_labels.tif after_labels.tif -o out --energy".split(' '));
    let count = want.iter().filter(|value| **value == 1).count();
    assert!((39_600..80_000).contains(&count), "{count} pixels: the field, and little noise");
    let raster = Dataset::open(work.path("out/changed.tif")).expect("changes");
    assert!(read_band::<u8>(&raster, 1) == want, "the raster is the formula's");
    assert!(ran.stderr.contains("530 pixels have labels but no scores"), "{}", ran.stderr);
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(work.path("out/change.json")).expect("figures")).expect("JSON");
    let found = json["thresholds"].as_array().expect("thresholds");
    assert_eq!(found.iter().map(|one| one["class"].as_str().expect("a class")).collect::<Vec<_>>(), ["water", "land"]);
    for (found, limit) in found.iter().zip(&limits) {
        let found = found["threshold"].as_f64().expect("a number") as f32;
        assert!((found - limit).abs() < 1e-6, "{found} instead of {limit}");
    }

    // Pieces alone: the strip is new. With scores, only what they say of it.
    let tolerant = |folder: &str, more: &str| -> Vec<u8> {
        let words =
            format!("change before_labels.tif after_labels.tif -o {folder} --tolerance 2 --foreground water{more}");
        work.ok(words.split(' '));
        read_band(&Dataset::open(work.path(&format!("{folder}/changed.tif"))).expect("changes"), 1)
    };
    let pieces = tolerant("pieces", "");
    let both = tolerant("both", " --energy --scores before_scores.tif after_scores.tif");
    assert!(pieces.iter().filter(|value| **value == 2).count() > count / 2, "the field and the strip are new");
    for (at, (both, piece)) in both.iter().zip(&pieces).enumerate() {
        let energy = energies[0][at];
        let want = match piece {
            255 => 255,
            _ if energy.is_nan() => 255,
            piece if energy > limits[0] => *piece,
            _ => 0,
        };
        assert_eq!(*both, want, "pixel {at}: piece {piece}, energy {energy}");
    }
    assert!(both.iter().zip(&pieces).enumerate().any(|(at, (both, piece))| strip(at) && *both == 0 && *piece == 2));
}

#[test]
fn scores_that_are_not_there_are_named() {
    let work = Workdir::new();
    flood(&work);
    let scores = |name: &str, bands: &[&str]| {
        write_bands(&work.path(name), (40, 30), &vec![vec![0.5f32; 1200]; bands.len()], |dataset| {
            dataset.set_geo_transform(&[350_000.0, 2.0, 0.0, 5_640_000.0, 0.0, -2.0]).expect("a geotransform");
            dataset.set_spatial_ref(&SpatialRef::from_epsg(25832).expect("a CRS")).expect("a CRS");
            for (index, name) in bands.iter().enumerate() {
                dataset.rasterband(index + 1).expect("a band").set_description(name).expect("a name");
            }
        });
    };
    scores("land.tif", &["land"]);
    scores("both.tif", &["water", "land"]);
    scores("ice.tif", &["ice"]);
    let mut said = String::new();
    for words in [
        "change before.tif after.tif -o out --energy",
        "change before.tif after.tif -o out --scores both.tif both.tif",
        "change before.tif after.tif -o out --energy --scores both.tif gone.tif",
        "change before.tif after.tif -o out --energy --scores both.tif ice.tif",
        "change before.tif after.tif -o out --energy --scores both.tif land.tif --foreground water",
        "change before.tif after.tif -o out --energy --scores both.tif after.tif",
        "change before.tif after.tif -o out --foreground water",
    ] {
        said += &format!("$ segearth {words}\n{}\n", without_causes(&work.refused(words)));
    }
    insta::assert_snapshot!(said, @r#"
    $ segearth change before.tif after.tif -o out --energy
    error: --energy compares scores, and beside before.tif there is no before_scores.tif

    hint: Write scores with the map (`segment --scores FILE`, or `outputs: {scores: true}` in a job), or name both score rasters with --scores.

    $ segearth change before.tif after.tif -o out --scores both.tif both.tif
    error: the following required arguments were not provided:
      --energy

    Usage: segearth change --output <DIR> --energy --scores <BEFORE> <AFTER> <BEFORE.tif> <AFTER.tif>

    For more information, try '--help'.

    $ segearth change before.tif after.tif -o out --energy --scores both.tif gone.tif
    error: there is no file gone.tif

    hint: Check the path; relative paths start from the current folder.

    $ segearth change before.tif after.tif -o out --energy --scores both.tif ice.tif
    error: both.tif and ice.tif have scores of no class in common: their bands are water, land and ice

    hint: Use the score rasters of the runs that made both maps.

    $ segearth change before.tif after.tif -o out --energy --scores both.tif land.tif --foreground water
    error: land.tif has no scores of the class "water"; its bands are land

    hint: Name classes that both score rasters have.

    $ segearth change before.tif after.tif -o out --energy --scores both.tif after.tif
    error: band 1 of after.tif is not named after a class

    hint: Use a raster that a job wrote as `scores`.

    $ segearth change before.tif after.tif -o out --foreground water
    error: --foreground is for changed pieces and scores, and neither is asked for

    hint: Give --tolerance or --energy too, or leave it out.
    "#);
    assert!(!work.path("out").exists(), "nothing is begun");
    // Equal scores: no energy, and the smallest threshold.
    let ran = work.ok("change before.tif after.tif -o out --energy --scores both.tif land.tif".split(' '));
    assert!(ran.stdout.contains("changed      out/changed.tif  (0 pixels)"), "{}", ran.stdout);
}
