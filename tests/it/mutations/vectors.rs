//! Vector files that a run reads: areas of interest, zones, what is subtracted.

use std::sync::OnceLock;

use super::dice::Dice;
use super::{Case, bytes, labels, text};
use crate::workdir::Workdir;

/// An area with a hole, and a second one, in the middle of the scenes of 60 × 40 pixels.
pub const AREA: &str = r#"{"type": "FeatureCollection", "name": "areas",
"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::25832"}},
"features": [
{"type": "Feature", "properties": {"name": "middle", "number": 1, "share": 0.5}, "geometry": {"type": "Polygon",
"coordinates": [[[350012, 5639995], [350024, 5639995], [350024, 5640007], [350012, 5640007], [350012, 5639995]],
[[350016, 5639999], [350018, 5639999], [350018, 5640001], [350016, 5639999]]]}},
{"type": "Feature", "properties": {"name": "two", "number": null}, "geometry": {"type": "MultiPolygon",
"coordinates": [[[[350002, 5639999], [350006, 5639999], [350004, 5640003], [350002, 5639999]]]]}}]}
"#;

/// Names and contents: of the file that is named, then of those that belong to it.
type Files = Vec<(&'static str, Vec<u8>)>;

/// The same in several formats.
fn seeds() -> &'static [Files] {
    static SEEDS: OnceLock<Vec<Files>> = OnceLock::new();
    SEEDS.get_or_init(|| {
        let work = Workdir::new();
        labels::write(&work);
        let made = |names: &[&'static str]| {
            let words = ["vectorize", "labels.tif", "--recipe", "plain", "-o", names[0]];
            work.ok(words);
            let read = |&name: &&'static str| (name, std::fs::read(work.path(name)).expect(name));
            names.iter().map(read).collect()
        };
        vec![
            vec![("area.geojson", AREA.as_bytes().to_vec())],
            made(&["area.gpkg"]),
            made(&["area.fgb"]),
            made(&["area.shp", "area.dbf", "area.shx", "area.prj"]),
        ]
    })
}

pub fn case(dice: &mut Dice) -> Case {
    let mut files = seeds()[dice.pick(&[0, 0, 1, 1, 2, 3])].clone();
    let chosen = if dice.one_in(2) { 0 } else { dice.below(files.len()) };
    mutate(&mut files[chosen].1, dice);
    of_files(&files, dice.below(3))
}

/// What is mutated, as it is.
pub fn sound() -> Vec<Case> {
    seeds().iter().zip([0, 1, 2, 0]).map(|(files, role)| of_files(files, role)).collect()
}

/// The files as an area of interest, as zones, or as what is subtracted.
fn of_files(files: &Files, role: usize) -> Case {
    let work = Workdir::new();
    labels::write(&work);
    for (name, content) in files {
        work.write(name, content);
    }
    let file = files[0].0;
    let words = match role {
        0 => format!(
            "segment scene.tif --model fake:identity -c red;green;blue -o out/labels.tif --memory 500MB --aoi {file}"
        ),
        1 => format!("vectorize labels.tif --recipe water --zones {file} -o out.gpkg"),
        _ => format!("vectorize labels.tif --recipe water --subtract {file} -o out.fgb"),
    };
    Case::new(work, &words)
}

fn mutate(content: &mut Vec<u8>, dice: &mut Dice) {
    if content.starts_with(b"{") {
        *content = geojson(dice);
        return;
    }
    let geometries: Vec<usize> =
        content.windows(3).enumerate().filter(|(_, three)| three == b"GP\0").map(|(at, _)| at).collect();
    let within = match dice.below(4) {
        // A geometry of a GeoPackage: its head, type, and first counts and coordinates.
        0 if !geometries.is_empty() => {
            let at = dice.pick(&geometries);
            at..at + 80
        }
        // The file's own head and its first tables.
        1 | 2 => 0..200,
        _ => 0..content.len(),
    };
    bytes::mutate(content, within, dice);
}

fn geojson(dice: &mut Dice) -> Vec<u8> {
    let polygon =
        |rings: &str| AREA.replace("[350002, 5639999], [350006, 5639999], [350004, 5640003], [350002, 5639999]", rings);
    let corner = |index: usize, dice: &mut Dice| {
        let (x, y) = (350000.0 + (index % 317) as f64 / 10.0, 5639990.0 + dice.below(200) as f64 / 10.0);
        format!("[{x}, {y}]")
    };
    match dice.below(12) {
        // Corners in any order: the outline crosses itself nearly everywhere.
        0 => {
            let corners: Vec<String> = (0..3 + dice.below(400)).map(|index| corner(index * 101, dice)).collect();
            polygon(&corners.join(", ")).into_bytes()
        }
        // Very many corners on one line.
        1 => polygon(&vec!["[350001, 5640000], [350009, 5640000]"; 30_000].join(", ")).into_bytes(),
        2 => {
            let deep = "{\"type\": \"GeometryCollection\", \"geometries\": [".repeat(3000);
            AREA.replace("{\"type\": \"MultiPolygon\"", &format!("{deep}{{\"type\": \"MultiPolygon\"")).into_bytes()
        }
        3 => AREA.replace("25832", dice.pick(&["4326", "3857", "0", "99999", "32760", "4978", "-1"])).into_bytes(),
        4 => AREA.replace("56400", dice.pick(&["-56400", "1e308", "1e400", "null", "56400e9"])).into_bytes(),
        5 => {
            let kind = dice.pick(&["Point", "LineString", "MultiLineString", "GeometryCollection", "Curve", "TIN", ""]);
            AREA.replace("\"Polygon\"", &format!("\"{kind}\"")).into_bytes()
        }
        _ => text::mutate(AREA, dice),
    }
}
