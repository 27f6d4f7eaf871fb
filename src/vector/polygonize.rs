//! The plain recipe: every region of a label raster as a polygon, written as soon as its last row was read.

use std::path::Path;

use super::format::Format;
use super::output::{Layers, Names, PolygonOutput, Summary};
use super::output_space::OutputSpace;
use super::shape::LabelRegion;
use super::source::LabelSource;
use super::trace::{Connectedness, Tracer};
use crate::error::Result;
use crate::scene::{ClassInfo, ExtraField};

/// Options of `polygonize`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    pub connectedness: Connectedness,
    /// Any CRS definition that GDAL accepts, for example `EPSG:3857`. `None`: that of the labels (GeoJSON: always WGS 84).
    pub target_crs: Option<String>,
    /// One layer per class (GeoPackage only).
    pub layer_per_class: bool,
    /// Smaller polygons are left out (m²; pixels without a CRS); the polygon around them keeps its hole.
    pub min_area: f64,
    /// Regions of at most this many pixels are left out, with a note.
    pub speck: u64,
    /// Fields that say how the labels were made.
    pub fields: Vec<ExtraField>,
    /// Of a map of transitions: the classes before and after of each value, from 0 on, for the fields `from` and `to`.
    pub transitions: Vec<[String; 2]>,
}

/// Turns a label raster into polygons.
///
/// `classes` names the values from 0 on; empty: the names in the file, or the numbers. Values in `skip` are left out, like
/// nodata. With `scores` (one band per class, of the same size) every polygon gets the mean and minimum score of its class.
///
/// # Errors
/// The input is not a label raster or does not match its classes or scores; the extension is unknown; the format cannot store
/// the result; the output cannot be written. No file is left behind.
pub fn polygonize(
    labels: &Path,
    scores: Option<&Path>,
    classes: &[ClassInfo],
    skip: &[i64],
    out: &Path,
    options: &Options,
) -> Result<Summary> {
    let format = Format::of(out)?;
    let source = LabelSource::open(labels, classes)?;
    let scores = scores.map(|path| source.scores(path)).transpose()?;
    let space = OutputSpace::new(&source.placement, options.target_crs.as_deref(), format)?;
    let names = Names::new(&source, &options.fields).with_transitions(&options.transitions);
    let layers = if options.layer_per_class { Layers::PerClass { skip } } else { Layers::One { skip } };
    let multi = options.connectedness == Connectedness::Eight;
    let output = PolygonOutput::create(&source, &space, names, out, layers, multi, scores.is_some(), &[])?;
    let mut output = output.with_min_area(options.min_area).with_speck(options.speck);
    let skipped = source.skipped(skip);
    let mut tracer = Tracer::new(source.size.width, options.connectedness, &skipped);
    let mut failure = Ok(());
    let mut emit = |region: LabelRegion| {
        if failure.is_ok() {
            failure = output.region(&region);
        }
    };
    let width = source.size.width;
    source.for_each_strip(scores.as_ref(), |first, labels, scores| {
        source.check(labels, first, &skipped)?;
        for (row, labels) in labels.chunks_exact(width).enumerate() {
            tracer.row(labels, scores.map(|scores| &scores[row * width..][..width]), &mut emit);
        }
        Ok(())
    })?;
    tracer.finish(&mut emit);
    failure?;
    output.finish(&source)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Scene, UTM_CENTRE, read_back};
    use super::*;

    fn classes() -> Vec<ClassInfo> {
        ["background", "building", "Straße"].map(|name| ClassInfo { name: name.into(), colour: [1, 2, 3] }).to_vec()
    }

    #[rustfmt::skip]
    const LABELS: [u16; 20] = [
        0, 1, 1, 1, 255,
        0, 1, 2, 1, 255,
        2, 1, 1, 1, 0,
        0, 2, 0, 0, 1,
    ];

    #[test]
    fn formats_store_the_same_polygons() {
        for file in ["a.gpkg", "a.fgb", "a.geojson", "a.geojsonl", "a.ndjson", "a.shp", "a.parquet"] {
            let scene = Scene::utm(&LABELS, 5);
            let out = scene.path(file);
            let summary = polygonize(&scene.labels, None, &classes(), &[0], &out, &Options::default()).unwrap();
            assert_eq!(summary.polygons, 5, "{file}");
            let found = read_back(&out);
            assert_eq!(found.len(), 5, "{file}");
            assert!(found.iter().all(|feature| feature.valid), "{file}");
            // Pixels of 2 m: 8 building pixels with a courtyard, and one alone.
            let mut areas: Vec<_> = found.iter().map(|f| (f.text("class"), f.real("area_m2"))).collect();
            areas.sort_by(|a, b| a.partial_cmp(b).unwrap());
            let expected = [("Straße", 4.0), ("Straße", 4.0), ("Straße", 4.0), ("building", 4.0), ("building", 32.0)];
            for ((class, area), (expected_class, expected)) in areas.iter().zip(expected) {
                assert_eq!(class, expected_class, "{file}");
                // Rounded to a fortieth of a pixel.
                assert!((area - expected * UTM_CENTRE).abs() < 0.051, "{file}: {area}");
            }
            let names = std::fs::read_dir(scene.folder()).unwrap().count();
            let expected = match file {
                "a.gpkg" => 2,
                "a.shp" => 7,
                _ => 3,
            };
            assert_eq!(names, expected, "{file}: only the labels, the result and its style are left");
            if file != "a.gpkg" {
                let style = std::fs::read_to_string(out.with_extension("qml")).unwrap();
                assert!(style.contains("value=\"Straße\"") && !style.contains("value=\"background\""), "{style}");
            }
        }
    }

    #[test]
    fn diagonal_connection_yields_valid_multipolygons() {
        let scene = Scene::utm(&LABELS, 5);
        let out = scene.path("a.gpkg");
        let options = Options { connectedness: Connectedness::Eight, ..Options::default() };
        let summary = polygonize(&scene.labels, None, &classes(), &[0], &out, &options).unwrap();
        assert_eq!(summary.polygons, 3);
        assert!(read_back(&out).iter().all(|feature| feature.valid));
    }

    #[test]
    fn geojson_has_degrees_and_counter_clockwise_outer_rings() {
        let scene = Scene::utm(&LABELS, 5);
        let out = scene.path("a.geojson");
        polygonize(&scene.labels, None, &classes(), &[0, 2], &out, &Options::default()).unwrap();
        let text = std::fs::read_to_string(&out).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let ring: Vec<(f64, f64)> = json["features"][0]["geometry"]["coordinates"][0]
            .as_array()
            .unwrap()
            .iter()
            .map(|point| (point[0].as_f64().unwrap(), point[1].as_f64().unwrap()))
            .collect();
        assert!(ring.iter().all(|&(lon, lat)| (8.9..9.1).contains(&lon) && (49.0..51.0).contains(&lat)), "{ring:?}");
        let twice: f64 = ring.windows(2).map(|pair| pair[0].0 * pair[1].1 - pair[1].0 * pair[0].1).sum();
        assert!(twice > 0.0, "the right-hand rule requires counter-clockwise outer rings");
        assert!(json.get("crs").is_none());
    }

    #[test]
    fn scores_become_confidence_and_classes_become_layers() {
        let scene = Scene::utm(&LABELS, 5);
        let scores: Vec<f32> =
            (0..3).flat_map(|band| (0..20).map(move |at| 0.1 * band as f32 + at as f32 / 100.0)).collect();
        let scores = scene.scores(&scores, 3);
        let out = scene.path("a.gpkg");
        let options = Options { layer_per_class: true, ..Options::default() };
        polygonize(&scene.labels, Some(&scores), &classes(), &[0], &out, &options).unwrap();
        let found = read_back(&out);
        let big = found.iter().find(|f| (f.real("area_m2") / (32.0 * UTM_CENTRE) - 1.0).abs() < 1e-2).unwrap();
        assert_eq!(big.layer, "building");
        assert!((big.real("confidence_min") - 0.11).abs() < 1e-6);
        let mean = [1, 2, 3, 6, 8, 11, 12, 13].map(|at| 0.1 + f64::from(at) / 100.0).iter().sum::<f64>() / 8.0;
        assert!((big.real("confidence") - mean).abs() < 1e-6);
        assert!(found.iter().any(|f| f.layer == "Straße"));
    }

    #[test]
    fn empty_result_is_a_valid_empty_layer_with_a_note() {
        for file in ["a.gpkg", "a.fgb", "a.geojson", "a.geojsonl", "a.shp", "a.parquet"] {
            let scene = Scene::utm(&[0; 20], 5);
            let out = scene.path(file);
            let summary = polygonize(&scene.labels, None, &classes(), &[0], &out, &Options::default()).unwrap();
            assert_eq!(summary.polygons, 0);
            assert!(summary.notes[0].contains("empty"), "{:?}", summary.notes);
            assert!(out.exists(), "{file}");
            if file != "a.geojsonl" {
                assert_eq!(read_back(&out).len(), 0, "{file}");
            }
        }
    }

    #[test]
    fn coordinates_without_georeference_are_pixels() {
        let scene = Scene::plain(&LABELS, 5);
        for file in ["a.gpkg", "a.fgb", "a.shp", "a.parquet"] {
            let out = scene.path(file);
            let summary = polygonize(&scene.labels, None, &classes(), &[0, 2], &out, &Options::default()).unwrap();
            assert!(summary.notes[0].contains("pixel coordinates"), "{:?}", summary.notes);
            let envelope = read_back(&out).iter().find(|f| f.real("area_px") == 8.0).unwrap().envelope;
            assert_eq!(envelope, [1.0, 0.0, 4.0, 3.0]);
            assert!(summary.in_pixels && summary.classes[0].area == 9.0, "{summary:?}");
        }
        for file in ["a.geojson", "a.json", "a.ndjson", "a.geojsonl"] {
            let error =
                polygonize(&scene.labels, None, &classes(), &[], &scene.path(file), &Options::default()).unwrap_err();
            assert!(error.to_string().contains("no CRS"), "{error}");
            assert!(error.hint().unwrap().contains(".gpkg") && error.hint().unwrap().contains("gdal_edit"), "{error}");
            assert!(!scene.path(file).exists());
        }
    }

    #[test]
    fn errors_leave_no_files_and_have_hints() {
        let scene = Scene::utm(&LABELS, 5);
        let attempt = |file: &str, classes: &[ClassInfo], options: &Options| {
            polygonize(&scene.labels, None, classes, &[], &scene.path(file), options).unwrap_err()
        };
        let error = attempt("a.kml", &classes(), &Options::default());
        assert!(error.to_string().contains(".gpkg"), "{error}");
        let error = attempt("a.gpkg", &classes()[..2], &Options::default());
        assert!(error.to_string().contains("label 2 in column 2, row 1"), "{error}");
        let per_class = Options { layer_per_class: true, ..Options::default() };
        let error = attempt("a.fgb", &classes(), &per_class);
        assert!(error.hint().unwrap().contains(".gpkg"), "{error}");
        let error = attempt("no/such/a.gpkg", &classes(), &Options::default());
        assert!(error.to_string().contains("no/such"), "{error}");
        let elsewhere = Options { target_crs: Some("EPSG:3857".into()), ..Options::default() };
        let error = attempt("a.geojson", &classes(), &elsewhere);
        assert!(error.hint().unwrap().contains(".gpkg"), "{error}");
        let odd = Options { target_crs: Some("EPSG:nonsense".into()), ..Options::default() };
        assert_eq!(attempt("a.gpkg", &classes(), &odd).exit_code(), 1);
        assert_eq!(std::fs::read_dir(scene.folder()).unwrap().count(), 1, "only the labels are there");
    }
}
