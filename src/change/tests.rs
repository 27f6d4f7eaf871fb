use super::*;
use crate::geom::{GeoTransform, Size};
use crate::scene::Georeference;

const SIZE: Size = Size { width: 700, height: 300 };

fn georeference(step: f64) -> Georeference {
    Georeference {
        transform: GeoTransform { coefficients: [0.0, step, 0.0, 0.0, 0.0, -step] },
        crs_wkt: Some(r#"LOCAL_CS["a plane",UNIT["metre",1]]"#.into()),
        crs_name: None,
        geographic: false,
        metres_per_unit: 1.0,
        pixel_is_point: false,
    }
}

/// A map of named classes; the name `-` is nodata.
fn write(path: &Path, names: &[&str], label: impl Fn(usize, usize) -> &'static str) {
    let classes: Vec<ClassInfo> = (0..)
        .zip(names)
        .map(|(i, name)| ClassInfo { name: (*name).into(), colour: [50u8.wrapping_mul(i), 99, 200] })
        .collect();
    let layout = RasterLayout { overviews: false, ..RasterLayout::default() };
    let mut writer =
        LabelWriter::create(path, SIZE, Some(&georeference(2.0)), &classes, LabelType::U8, layout, &[]).unwrap();
    let labels: Vec<u16> = (0..SIZE.pixels())
        .map(|at| {
            names.iter().position(|name| *name == label(at % SIZE.width, at / SIZE.width)).map_or(255, |l| l as u16)
        })
        .collect();
    writer.write_rows(0, &labels).unwrap();
    writer.finish().unwrap();
}

fn before(col: usize, row: usize) -> &'static str {
    match (col, row) {
        (0..10, 0..20) => "-",
        (col, row) if (col / 13 + row / 7) % 3 == 0 => "water",
        _ => "land",
    }
}

fn after(col: usize, row: usize) -> &'static str {
    match (col, row) {
        (690.., 250..) => "-",
        (_, row) if row / 31 % 2 == 0 => "Land ",
        (col, _) if col % 5 == 0 => "forest",
        _ => "water",
    }
}

#[test]
fn classes_match_by_name_and_every_pixel_is_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second, raster] = ["before.tif", "after.tif", "change.tif"].map(|name| folder.path().join(name));
    write(&first, &["water", "land"], before);
    write(&second, &["forest", "Land ", "water"], after);
    let comparison = Comparison::open(&first, &second, None).unwrap();
    let mut rows = 0;
    let change = comparison.run(&raster, |done| rows += done).unwrap();
    assert_eq!(rows, SIZE.height);
    let names: Vec<&str> = change.classes.iter().map(|class| class.name.as_str()).collect();
    assert_eq!(names, ["water", "land", "forest"]);
    assert_eq!(change.classes[1].colour, [50, 99, 200], "the later map's colour");
    assert!(
        change.notes.len() == 1 && change.notes[0].contains("after.tif has the class forest"),
        "{:?}",
        change.notes
    );

    let class = |name: &str| names.iter().position(|known| known.eq_ignore_ascii_case(name.trim()));
    let mut expected = vec![Cell::default(); 9];
    let (mut counts, mut values) = (PixelCounts::default(), Vec::new());
    for (col, row) in (0..SIZE.height).flat_map(|row| (0..SIZE.width).map(move |col| (col, row))) {
        let value = match (class(before(col, row)), class(after(col, row))) {
            (_, None) => {
                counts.without_after += 1;
                None
            }
            (None, _) => {
                counts.without_before += 1;
                None
            }
            (Some(from), Some(to)) => {
                counts.compared += 1;
                expected[from * 3 + to].pixels += 1;
                expected[from * 3 + to].area += 4.0;
                Some(from * 3 + to)
            }
        };
        values.push(value.map_or(ABSENT_IN_RESULT, |value| value as i64));
    }
    assert_eq!((change.cells.as_slice(), change.counts), (expected.as_slice(), counts));
    let written = CodedRaster::open(&raster).unwrap();
    let found = written.read(SIZE.window()).unwrap();
    assert!(found == values, "the raster holds what was counted");
    assert_eq!(written.names().get(3), Some("land → water"));
    assert_eq!(written.names().get(4), Some("land"));
    assert!(change.largest().iter().map(|v| change.cells[*v].pixels).is_sorted_by(|a, b| a >= b));
}

const ABSENT_IN_RESULT: i64 = crate::raster::ABSENT;

#[test]
fn class_map_reads_names_colours_and_values() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second, raster] = ["before.tif", "after.tif", "change.tif"].map(|name| folder.path().join(name));
    write(&first, &["sea", "field", "water"], |col, _| if col < 100 { "sea" } else { "field" });
    // An image of grey values without class names.
    let mut grey = format!("P5\n{} {}\n255\n", SIZE.width, SIZE.height).into_bytes();
    grey.extend((0..SIZE.pixels()).map(|at| if at % SIZE.width < 150 { 80 } else { 10 }));
    let picture = folder.path().join("plain.pgm");
    std::fs::write(&picture, grey).unwrap();
    let open = |map: &str, second: &Path| Comparison::open(&first, second, Some(&ClassMap::parse(map).unwrap()));

    write(&second, &["water", "soil"], |col, _| if col < 150 { "water" } else { "soil" });
    let map = "classes: {water: [80, sea], land: [10, field, 0]}\nignore: soil";
    let change = open(map, &second).unwrap().run(&raster, |_| ()).unwrap();
    let row = SIZE.height as u64;
    assert_eq!(change.cells.iter().map(|cell| cell.pixels).collect::<Vec<_>>(), [100 * row, 0, 50 * row, 0]);
    assert_eq!(change.counts.ignored, 550 * row);

    // Without a georeference it cannot be aligned with the other map; with itself its values are compared.
    let refused = open(map, &picture).err().unwrap().to_string();
    assert!(refused.contains("plain.pgm has none"), "{refused}");
    let change = Comparison::open(&picture, &picture, Some(&ClassMap::parse(map).unwrap()));
    let change = change.unwrap().run(&raster, |_| ()).unwrap();
    assert_eq!(change.cells.iter().map(|cell| cell.pixels).collect::<Vec<_>>(), [150 * row, 0, 0, 550 * row]);
    assert!(!change.has_areas && change.notes[0].contains("no areas"), "{:?}", change.notes);
    assert!(change.csv().contains("\nland,land,3,165000,,,,1.000000\n"), "{}", change.csv());
    let unnamed = Comparison::open(&picture, &second, None).err().unwrap();
    assert!(
        unnamed.to_string().contains("plain.pgm does not name its classes")
            && unnamed.hint().unwrap().contains("--map")
    );
    let unknown = Comparison::open(&picture, &picture, Some(&ClassMap::parse("classes: {water: 80}").unwrap()));
    let error = unknown.unwrap().run(&raster, |_| ()).unwrap_err();
    assert!(error.to_string().contains("value 10 at column 150, row 0 of the result"), "{error}");
}

#[test]
fn too_many_classes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.tif");
    let names: Vec<String> = (0..65).map(|class| format!("class {class}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    write(&path, &names, |_, _| "class 3");
    let error = Comparison::open(&path, &path, None).err().unwrap();
    assert!(error.to_string().contains("65 classes together, the limit is 64"), "{error}");
}
