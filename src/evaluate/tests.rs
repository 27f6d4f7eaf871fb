//! Evaluations from files to scores, against numbers that other programs computed.

use std::path::{Path, PathBuf};

use segearth_testing::shared;

use super::*;
use crate::geom::{GeoTransform, Size, Window};
use crate::raster::{CodedRaster, LabelWriter};
use crate::scene::{ClassInfo, Georeference, LabelType, RasterLayout};

const SIZE: Size = Size { width: 61, height: 43 };

#[derive(serde::Deserialize)]
struct Golden {
    confusion: Vec<Vec<u64>>,
    ignored: u64,
    iou: Vec<Option<f64>>,
    precision: Vec<Option<f64>>,
    recall: Vec<Option<f64>>,
    f1: Vec<Option<f64>>,
    miou: f64,
    overall_accuracy: f64,
    mean_accuracy: f64,
    mean_f1: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../tests/golden/evaluate.json")).unwrap()
}

/// The reference of the golden file.
fn truth(col: usize, row: usize) -> u16 {
    if (row * 7 + col * 3).is_multiple_of(41) { 9 } else { ((row / 6 + col / 9 + row * col % 5 / 4) % 5) as u16 }
}

/// The prediction of the golden file.
fn guess(col: usize, row: usize) -> u16 {
    match truth(col, row) {
        9 => ((row + col) % 6) as u16,
        3 if (row + col).is_multiple_of(2) => 2,
        3 => 3,
        _ if (row + col).is_multiple_of(97) => 5,
        class if (row * 5 + col * 11).is_multiple_of(7) => (class + 1) % 5,
        class => class,
    }
}

fn plane<T>(size: Size, value: impl Fn(usize, usize) -> T) -> Vec<T> {
    (0..size.pixels()).map(|index| value(index % size.width, index / size.width)).collect()
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|class| format!("class {class}")).collect()
}

/// One metre a pixel in UTM 32N near Cologne.
fn cologne() -> Georeference {
    Georeference {
        transform: GeoTransform { coefficients: [346_000.0, 1.0, 0.0, 5_648_000.0, 0.0, -1.0] },
        crs_wkt: Some(include_str!("../../tests/golden/utm32n.wkt").to_owned()),
        crs_name: None,
        geographic: false,
        metres_per_unit: 1.0,
        pixel_is_point: false,
    }
}

fn write_map(path: &Path, size: Size, names: &[String], georeference: Option<&Georeference>, labels: &[u16]) {
    let class = |name: &String| ClassInfo { name: name.clone(), colour: [200, 30, 60] };
    let classes: Vec<ClassInfo> = names.iter().map(class).collect();
    let mut writer =
        LabelWriter::create(path, size, georeference, &classes, LabelType::U8, RasterLayout::default(), &[]).unwrap();
    writer.write_rows(0, labels).unwrap();
    writer.finish().unwrap();
}

/// The pixel type of a label image.
#[derive(Clone, Copy)]
enum Pixels {
    Grey,
    Rgb,
}

/// A PNM image: the simplest format, which GDAL recognises by its content, whatever its extension.
fn write_picture(path: &Path, size: Size, kind: Pixels, pixels: &[u8]) {
    let magic = match kind {
        Pixels::Grey => "P5",
        Pixels::Rgb => "P6",
    };
    let mut content = format!("{magic}\n{} {}\n255\n", size.width, size.height).into_bytes();
    content.extend(pixels);
    std::fs::write(path, content).unwrap();
}

struct Case {
    folder: tempfile::TempDir,
    request: Request,
}

impl Case {
    /// The prediction of the golden file with its seven classes named.
    fn new(georeference: Option<&Georeference>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let prediction = folder.path().join("labels.tif");
        write_map(&prediction, SIZE, &names(7), georeference, &plane(SIZE, guess));
        let reference = folder.path().join("truth.png");
        Self { folder, request: Request { prediction, reference, ..Request::default() } }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self) -> Result<Evaluation> {
        evaluate(&self.request, &|_| {})
    }

    /// The error with its causes and hint.
    fn refusal(&self) -> String {
        let error = self.run().unwrap_err();
        assert_eq!(error.exit_code(), 1);
        [vec![error.to_string()], error.causes(), error.hint().map(str::to_owned).into_iter().collect()]
            .concat()
            .join(" / ")
    }
}

fn same(found: Option<f64>, expected: Option<f64>) -> bool {
    match (found, expected) {
        (Some(found), Some(expected)) => (found - expected).abs() < 1e-12,
        (found, expected) => found == expected,
    }
}

fn matches_golden(found: &Evaluation) {
    let golden = golden();
    assert_eq!(found.confusion.rows().collect::<Vec<_>>(), golden.confusion);
    for (class, score) in found.classes.iter().enumerate() {
        assert!(same(score.iou, golden.iou[class]), "IoU of {class}: {:?}", score.iou);
        assert!(same(score.precision, golden.precision[class]), "precision of {class}: {:?}", score.precision);
        assert!(same(score.recall, golden.recall[class]), "recall of {class}: {:?}", score.recall);
        assert!(same(score.f1, golden.f1[class]), "F1 of {class}: {:?}", score.f1);
    }
    assert!(same(found.means.miou, Some(golden.miou)), "{:?}", found.means);
    assert!(same(found.means.overall_accuracy, Some(golden.overall_accuracy)), "{:?}", found.means);
    assert!(same(found.means.mean_accuracy, Some(golden.mean_accuracy)), "{:?}", found.means);
    assert!(same(found.means.mean_f1, Some(golden.mean_f1)), "{:?}", found.means);
    assert_eq!(found.pixels.ignored, golden.ignored);
    assert_eq!(found.pixels.counted + golden.ignored, SIZE.pixels() as u64);
}

#[test]
fn values_match_golden_scores() {
    let mut case = Case::new(None);
    write_picture(&case.request.reference, SIZE, Pixels::Grey, &plane(SIZE, |col, row| truth(col, row) as u8));
    case.request.ignore = vec![Code::Value(9)];
    matches_golden(&case.run().unwrap());
}

#[test]
fn colours_match_golden_scores() {
    let mut case = Case::new(None);
    let colours: Vec<u8> = plane(SIZE, |col, row| [truth(col, row) as u8 * 20, 7, 255]).into_iter().flatten().collect();
    write_picture(&case.request.reference, SIZE, Pixels::Rgb, &colours);
    assert!(case.refusal().contains("truth.png has colours"), "{}", case.refusal());

    let map = "classes: {class 0: '#0007FF', class 1: '#1407FF', class 2: '#2807FF', class 4: '#5007FF'}\n";
    case.request.map = Some(ClassMap::parse(&format!("{map}ignore: '#B407FF'")).unwrap());
    let refusal = case.refusal();
    assert!(refusal.contains("colour #3C07FF at column 27, row 0") && refusal.contains("--ignore"), "{refusal}");

    let map = map.replace("{class 0", "{class 3: '#3C07FF', class 0");
    case.request.map = Some(ClassMap::parse(&format!("{map}ignore: '#B407FF'")).unwrap());
    matches_golden(&case.run().unwrap());
}

#[test]
fn reference_with_other_indices_matches_by_class_names() {
    let mut case = Case::new(None);
    case.request.reference = case.path("truth.tif");
    let backwards: Vec<String> = names(7).into_iter().rev().collect();
    let labels = plane(SIZE, |col, row| if truth(col, row) == 9 { 255 } else { 6 - truth(col, row) });
    write_map(&case.request.reference, SIZE, &backwards, None, &labels);
    let found = case.run().unwrap();
    assert_eq!(found.pixels.without_reference, golden().ignored);
    assert_eq!(found.confusion.rows().collect::<Vec<_>>(), golden().confusion);
}

#[test]
fn folders_are_evaluated_as_one_set() {
    let mut case = Case::new(None);
    let (predictions, references) = (case.path("p"), case.path("r"));
    for folder in [&predictions, &references] {
        std::fs::create_dir(folder).unwrap();
    }
    for (name, upper) in [("a", true), ("b", false)] {
        let rows = |plane: Vec<u16>| {
            let half = 20 * SIZE.width;
            if upper { plane[..half].to_vec() } else { plane[half..].to_vec() }
        };
        let size = Size::new(SIZE.width, if upper { 20 } else { 23 });
        write_map(&predictions.join(format!("{name}_labels.tif")), size, &names(7), None, &rows(plane(SIZE, guess)));
        let truth: Vec<u8> = rows(plane(SIZE, truth)).into_iter().map(|label| label as u8).collect();
        write_picture(&references.join(format!("{name}.png")), size, Pixels::Grey, &truth);
    }
    write_picture(&references.join("c.png"), SIZE, Pixels::Grey, &vec![0; SIZE.pixels()]);
    case.request =
        Request { prediction: predictions, reference: references, ignore: vec![Code::Value(9)], ..Request::default() };
    let found = case.run().unwrap();
    matches_golden(&found);
    assert_eq!((found.pairs.len(), found.unmatched.len()), (2, 1));
}

#[test]
fn reference_on_another_grid_is_resampled() {
    let mut case = Case::new(Some(&cologne()));
    case.request.reference = case.path("truth.tif");
    // Three times as fine, and ten columns and five rows short on the upper left.
    let fine = Size::new((SIZE.width - 10) * 3, (SIZE.height - 5) * 3);
    let mut georeference = cologne();
    georeference.transform.coefficients = [346_010.0, 1.0 / 3.0, 0.0, 5_647_995.0, 0.0, -1.0 / 3.0];
    let labels = plane(fine, |col, row| match truth(col / 3 + 10, row / 3 + 5) {
        9 => 255,
        label => label,
    });
    write_map(&case.request.reference, fine, &names(7), Some(&georeference), &labels);
    let found = case.run().unwrap();
    assert!(found.pairs[0].warped);
    let covered = (SIZE.width - 10) * (SIZE.height - 5);
    let mut expected = ConfusionMatrix::new(7);
    for (col, row) in (5..SIZE.height).flat_map(|row| (10..SIZE.width).map(move |col| (col, row))) {
        if truth(col, row) != 9 {
            expected.add(usize::from(truth(col, row)), usize::from(guess(col, row)), 1);
        }
    }
    assert_eq!(found.confusion, expected);
    assert!(found.pixels.counted < covered as u64 && found.pixels.without_reference > (SIZE.pixels() - covered) as u64);
}

#[test]
fn maps_without_common_grid_or_extent_are_refused() {
    let mut case = Case::new(Some(&cologne()));
    let labels = plane(SIZE, |col, row| truth(col, row).min(4) as u8);
    write_picture(&case.request.reference, SIZE, Pixels::Grey, &labels);
    assert!(case.refusal().contains("truth.png has none"), "{}", case.refusal());

    let case_without = Case::new(None);
    let short = Size::new(SIZE.width, SIZE.height - 1);
    write_picture(&case_without.request.reference, short, Pixels::Grey, &labels[..short.pixels()]);
    assert!(case_without.refusal().contains("61 × 43") && case_without.refusal().contains("61 × 42"));

    let mut far = cologne();
    far.transform.coefficients[0] += 1e5;
    case.request.reference = case.path("far.tif");
    write_map(&case.request.reference, SIZE, &names(7), Some(&far), &plane(SIZE, guess));
    assert!(case.refusal().contains("not on a single pixel") || case.refusal().contains("no labelled pixel within"));
}

#[test]
fn polygons_are_burnt_where_they_contain_pixel_centres() {
    let mut case = Case::new(Some(&cologne()));
    // In metres from the upper left corner: columns 2 to 11 of class 1, then columns 10 to 19 of class 2 over it.
    let square = |left: f64, right: f64, class: &str| {
        let (left, right) = (346_000.0 + left, 346_000.0 + right);
        format!(
            r#"{{"type": "Feature", "properties": {{"kind": {class}}}, "geometry": {{"type": "Polygon", "coordinates":
            [[[{left}, 5647999], [{right}, 5647999], [{right}, 5647959], [{left}, 5647959], [{left}, 5647999]]]}}}}"#
        )
    };
    let write = |features: &[String]| {
        let crs = r#""crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::25832"}}"#;
        let text = format!(r#"{{"type": "FeatureCollection", {crs}, "features": [{}]}}"#, features.join(","));
        std::fs::write(case.path("truth.geojson"), text).unwrap();
    };
    let (reference, covered) = (case.path("truth.geojson"), 40);
    write(&[square(2.4, 12.4, r#""class 1""#), square(10.4, 20.4, r#""Class 2""#)]);
    case.request.reference = reference;
    assert!(case.refusal().contains("no field \"class\"") && case.refusal().contains("kind"), "{}", case.refusal());
    case.request.vector.field = Some("kind".into());
    let found = case.run().unwrap();
    let pixels: Vec<u64> = found.classes.iter().map(|score| score.reference_pixels).collect();
    assert_eq!(pixels, [0, 8 * covered, 10 * covered, 0, 0, 0, 0]);
    let hits = plane(SIZE, |col, row| {
        let class = match col {
            2..10 => 1,
            10..20 => 2,
            _ => return 0,
        };
        u64::from((1..41).contains(&row) && guess(col, row) == class)
    });
    let found_hits: u64 = found.confusion.rows().enumerate().map(|(class, row)| row[class]).sum();
    assert_eq!(found_hits, hits.iter().sum::<u64>());
    assert!(found.notes.iter().any(|note| note.contains("is `class 0` or `class 3` or ")), "{:?}", found.notes);

    case.request.vector.outside = Some("class 6".into());
    let found = case.run().unwrap();
    assert_eq!(found.classes[6].reference_pixels, SIZE.pixels() as u64 - 18 * covered);
    assert_eq!(found.pixels.without_reference, 0);
    assert!(found.notes.is_empty(), "{:?}", found.notes);

    case.request.vector = VectorOptions { all_are: Some("class 4".into()), ..VectorOptions::default() };
    assert_eq!(case.run().unwrap().classes[4].reference_pixels, 18 * covered);

    write_features_with_unknown_class(&case.path("truth.geojson"), &square(2.0, 4.0, r#""shed""#));
    case.request.vector = VectorOptions { field: Some("kind".into()), ..VectorOptions::default() };
    assert!(case.refusal().contains("feature 0") && case.refusal().contains("\"shed\""), "{}", case.refusal());
    case.request.ignore = vec![Code::Text("shed".into())];
    assert!(case.run().unwrap().pixels.ignored > 0);
}

#[test]
fn one_class_without_polygon_is_told_how_to_count() {
    let score = |class: &str, reference_pixels| ClassScore {
        class: class.to_owned(),
        iou: None,
        precision: None,
        recall: None,
        f1: None,
        reference_pixels,
        predicted_pixels: 1,
    };
    let said = |classes: &[(&str, u64)]| {
        super::not_in_polygons(&classes.iter().map(|&(class, pixels)| score(class, pixels)).collect::<Vec<_>>())
    };
    assert_eq!(said(&[("building", 5), ("background", 3)]), None);
    let note = said(&[("building", 5), ("background", 0)]).unwrap();
    assert!(note.starts_with("No polygon of the reference is `background`:"), "{note}");
    assert!(note.contains("add --outside 'background'"), "{note}");
    let note = said(&[("building", 5), ("road", 0), ("Background", 0)]).unwrap();
    assert!(note.contains("`road` or `Background`") && note.contains("add --outside 'Background'"), "{note}");
    assert!(!said(&[("a", 5), ("b", 0), ("c", 0)]).unwrap().contains("--outside"));
}

fn write_features_with_unknown_class(path: &Path, feature: &str) {
    let crs = r#""crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::25832"}}"#;
    std::fs::write(path, format!(r#"{{"type": "FeatureCollection", {crs}, "features": [{feature}]}}"#)).unwrap();
}

#[test]
fn json_and_table_agree() {
    let mut case = Case::new(None);
    write_picture(&case.request.reference, SIZE, Pixels::Grey, &plane(SIZE, |col, row| truth(col, row) as u8));
    case.request.ignore = vec![Code::Value(9)];
    let found = case.run().unwrap();
    found.write_json(&case.path("figures.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(case.path("figures.json")).unwrap()).unwrap();
    assert_eq!(json["miou"].as_f64(), found.means.miou);
    assert_eq!(json["confusion"][3][2], 245);
    assert_eq!(json["classes"][6]["iou"], serde_json::Value::Null);
    assert_eq!(json["pixels"]["ignored"], 64);
    let table = found.table();
    for expected in ["class 0  0.7603", "mIoU 0.5552, overall accuracy 0.7882", "2,559 pixels of 1 pair", "64 ignored"]
    {
        assert!(table.contains(expected), "{expected} is not in\n{table}");
    }
    assert!(found.write_json(Path::new("/nowhere/figures.json")).unwrap_err().to_string().contains("/nowhere"));
}

/// A real map against its mirror image; the counts were computed with NumPy.
#[test]
fn real_map_matches_counts_of_numpy() {
    let Some(reference) = shared("datasets/dubai/tile2/image_part_003.png") else { return };
    let classes =
        [("building", 0x3C1098), ("land", 0x8429F6), ("road", 0x6EC1E4), ("vegetation", 0xFEDD3A), ("water", 0xE2A929)];
    let written: String = classes.iter().map(|(name, colour)| format!("  {name}: '#{colour:06X}'\n")).collect();
    // This one has its colours in a colour table.
    let raster = CodedRaster::open(&reference).unwrap().as_colours();
    let size = raster.info().size;
    let mirrored = (0..size.height).flat_map(|row| {
        let mut codes = raster.read(Window { row, height: 1, ..size.window() }).unwrap();
        codes.reverse();
        codes
    });
    let class = |code| classes.iter().position(|(_, colour)| *colour == code).unwrap_or(1) as u16;
    let folder = tempfile::tempdir().unwrap();
    let prediction = folder.path().join("mirrored.tif");
    let names: Vec<String> = classes.iter().map(|(name, _)| (*name).to_owned()).collect();
    write_map(&prediction, size, &names, None, &mirrored.map(class).collect::<Vec<_>>());

    let map = Some(ClassMap::parse(&format!("classes:\n{written}ignore: ['#9B9B9B', '#000000']")).unwrap());
    let found = evaluate(&Request { prediction, reference, map, ..Request::default() }, &|_| {}).unwrap();
    assert_eq!(
        found.confusion.rows().collect::<Vec<_>>(),
        [
            [0, 28402, 991, 834, 0],
            [28402, 140181, 31534, 3629, 0],
            [991, 31534, 4431, 752, 0],
            [834, 3629, 752, 0, 0],
            [0, 0, 0, 0, 0]
        ]
    );
    assert!(same(found.means.miou, Some(0.146_708_319_687_062_74)), "{:?}", found.means);
    assert!(same(found.means.overall_accuracy, Some(0.522_261_065_526_407)), "{:?}", found.means);
}
