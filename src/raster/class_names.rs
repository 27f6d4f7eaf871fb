//! Names and colours of the values of a label raster, from every place that a file may keep them in.
//!
//! Names come from the first of these that has any: the tags that this program writes into the file (`CLASS_0=…` of the
//! band), GDAL's category names, the raster attribute table, a QGIS style (`.qml`) beside the file. Where a later one
//! differs, a note says so. Colours come from the colour table, else the attribute table, else the style.

use std::collections::HashMap;
use std::path::Path;

use gdal::raster::RasterBand;
use gdal::{Dataset, Metadata};

use super::ffi;
use crate::scene::{ClassNames, same_name};

/// A style is a few kilobytes; one of 65,536 entries has some megabytes.
const LONGEST_STYLE: usize = 32 << 20;

/// The names and colours of a label raster's values.
#[derive(Default)]
pub(super) struct Legend {
    pub names: ClassNames,
    /// Red, green and blue of values.
    pub colours: HashMap<i64, [u8; 3]>,
    /// Notes on contradictions.
    pub notes: Vec<String>,
}

/// A place that names values: its name in messages, and the names.
type NameSource = (&'static str, ClassNames);

pub(super) fn read(dataset: &Dataset, band: &RasterBand<'_>, path: &Path) -> Legend {
    // Metadata first: reading it makes GDAL load the sidecar, which holds the category names.
    let tags = tags(dataset, band);
    let table = ffi::attribute_table(band);
    let style = style(path);
    let categories = ffi::category_names(band);
    let places: [NameSource; 4] = [
        ("the tags in the file", tags),
        ("its category names", names((0..).zip(categories.iter().map(String::as_str)))),
        ("its attribute table", names(table.iter().map(|row| (row.value, row.name.as_str())))),
        ("the QGIS style beside it", names(style.iter().map(|entry| (entry.value, entry.name.as_str())))),
    ];
    let colours = [colour_table(band), colours(&table), colours(&style)];
    let colours = colours.into_iter().find(|colours| !colours.is_empty()).unwrap_or_default();
    let notes = contradictions(&places, path);
    let names = places.into_iter().map(|(_, names)| names).find(|names| !names.is_empty()).unwrap_or_default();
    Legend { names, colours, notes }
}

/// Programs that require a text write the number of the value where there is no name; that is no name.
fn names<'a>(pairs: impl Iterator<Item = (i64, &'a str)>) -> ClassNames {
    let mut names = ClassNames::default();
    pairs.filter(|(value, name)| name.trim() != value.to_string()).for_each(|(value, name)| names.insert(value, name));
    names
}

/// Notes on names that differ from those of the place that is used.
fn contradictions(places: &[NameSource], path: &Path) -> Vec<String> {
    let mut there = places.iter().filter(|(_, names)| !names.is_empty());
    let Some((taken, names)) = there.next() else { return Vec::new() };
    let differing = there.filter_map(|(place, others)| {
        let differs = |(value, other): &(i64, &str)| names.get(*value).is_some_and(|name| !same_name(name, other));
        let mut all = others.iter().filter(differs);
        let (value, other) = all.next()?;
        let more = match all.count() {
            0 => String::new(),
            count => format!(", and {count} more values"),
        };
        Some(format!(
            "{}: value {value} is named {:?} in {taken} and {other:?} in {place}{more}; the first is used.",
            path.display(),
            names.get(value).unwrap_or_default(),
        ))
    });
    differing.collect()
}

/// What this program writes: an item a class in the band's metadata, which other programs may have moved to the file's.
fn tags(dataset: &Dataset, band: &RasterBand<'_>) -> ClassNames {
    for items in [band.metadata_domain(""), dataset.metadata_domain("")] {
        let mut names = ClassNames::default();
        for item in items.iter().flatten() {
            if let Some((key, name)) = item.split_once('=')
                && let Some(value) = key.strip_prefix("CLASS_").and_then(|value| value.parse().ok())
            {
                names.insert(value, name);
            }
        }
        if !names.is_empty() {
            return names;
        }
    }
    let list = band.metadata_item("CLASS_NAMES", "").unwrap_or_default();
    ClassNames::of_indices(list.split(';'))
}

fn colour_table(band: &RasterBand<'_>) -> HashMap<i64, [u8; 3]> {
    let table = band.color_table();
    let entries =
        table.iter().flat_map(|table| (0..table.entry_count()).map(|index| (index, table.entry_as_rgb(index))));
    let byte = |part: i16| part.clamp(0, 255) as u8;
    entries.filter_map(|(value, entry)| entry.map(|e| (value as i64, [byte(e.r), byte(e.g), byte(e.b)]))).collect()
}

fn colours(rows: &[ffi::ValueRow]) -> HashMap<i64, [u8; 3]> {
    rows.iter().filter_map(|row| Some((row.value, row.colour?))).collect()
}

/// The entries of the `.qml` beside a local file; nothing where there is none, or no paletted style in it.
fn style(path: &Path) -> Vec<ffi::ValueRow> {
    let style = path.with_extension("qml");
    if !style.is_file() {
        return Vec::new();
    }
    let Ok(text) = ffi::read_file(&style, LONGEST_STYLE) else { return Vec::new() };
    let entries = ffi::xml_elements(text, &["paletteEntry", "item"]);
    let row = |entry: HashMap<String, String>| {
        let value: f64 = entry.get("value")?.parse().ok()?;
        let whole = value.fract() == 0.0 && value.abs() < 9e15;
        let colour = entry.get("color").and_then(|colour| hex(colour));
        whole.then(|| ffi::ValueRow {
            value: value as i64,
            name: entry.get("label").cloned().unwrap_or_default(),
            colour,
            pixels: 0,
        })
    };
    entries.into_iter().filter_map(row).collect()
}

/// `#rrggbb`
fn hex(text: &str) -> Option<[u8; 3]> {
    let number = u32::from_str_radix(text.strip_prefix('#').filter(|digits| digits.len() == 6)?, 16).ok()?;
    let [_, red, green, blue] = number.to_be_bytes();
    Some([red, green, blue])
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::super::test_scenes::{make, plane};
    use super::super::{CodedRaster, LabelWriter};
    use super::*;
    use crate::geom::Size;
    use crate::scene::{ClassInfo, LabelType, RasterFormat, RasterLayout};

    const SIZE: Size = Size { width: 3, height: 2 };

    fn bare(folder: &Path, name: &str, dress: impl FnOnce(&mut Dataset)) -> PathBuf {
        let path = folder.join(name);
        make(&path, SIZE, &[plane(SIZE, |col, _| col as u8)], &[], dress);
        path
    }

    fn names(path: &Path) -> Vec<(i64, String)> {
        let raster = CodedRaster::open(path).unwrap();
        raster.names().iter().map(|(value, name)| (value, name.to_owned())).collect()
    }

    fn named(pairs: &[(i64, &str)]) -> Vec<(i64, String)> {
        pairs.iter().map(|(value, name)| (*value, (*name).to_owned())).collect()
    }

    /// An attribute table in a sidecar, as programs write it: XML that no code of this program made.
    fn sidecar(path: &Path, inside: &str) {
        let text = format!("<PAMDataset><PAMRasterBand band=\"1\">{inside}</PAMRasterBand></PAMDataset>");
        fs::write(format!("{}.aux.xml", path.display()), text).unwrap();
    }

    const TABLE: &str = "<GDALRasterAttributeTable tableType=\"thematic\">\
        <FieldDefn index=\"0\"><Name>VALUE</Name><Type>0</Type><Usage>5</Usage></FieldDefn>\
        <FieldDefn index=\"1\"><Name>kind</Name><Type>2</Type><Usage>2</Usage></FieldDefn>\
        <FieldDefn index=\"2\"><Name>r</Name><Type>0</Type><Usage>6</Usage></FieldDefn>\
        <FieldDefn index=\"3\"><Name>g</Name><Type>0</Type><Usage>7</Usage></FieldDefn>\
        <FieldDefn index=\"4\"><Name>b</Name><Type>0</Type><Usage>8</Usage></FieldDefn>\
        <Row index=\"0\"><F>10</F><F>trees</F><F>0</F><F>100</F><F>0</F></Row>\
        <Row index=\"1\"><F>2</F><F>sea &amp; lake</F><F>1</F><F>2</F><F>3</F></Row></GDALRasterAttributeTable>";

    #[test]
    fn copy_without_sidecars_keeps_class_names() {
        let folder = tempfile::tempdir().unwrap();
        for (count, format) in [(3, RasterFormat::GeoTiff), (3, RasterFormat::Cog), (300, RasterFormat::Cog)] {
            let classes = super::super::test_scenes::classes(count);
            let (whole, copy) = (folder.path().join("whole.tif"), folder.path().join("bare.tif"));
            let layout = RasterLayout { format, ..RasterLayout::default() };
            let kind = LabelType::for_classes(count);
            let mut writer = LabelWriter::create(&whole, SIZE, None, &classes, kind, layout, &[]).unwrap();
            writer.write_rows(0, &[0, 1, 2, 2, 1, kind.nodata()]).unwrap();
            writer.finish().unwrap();
            fs::copy(&whole, &copy).unwrap();
            for path in [&whole, &copy] {
                let raster = CodedRaster::open(path).unwrap();
                assert_eq!(
                    raster.names(),
                    &ClassNames::of_indices(classes.iter().map(|class| &class.name)),
                    "{format:?}"
                );
                assert_eq!(raster.colour(2), Some(classes[2].colour));
                assert!(raster.notes().is_empty(), "{:?}", raster.notes());
            }
        }
    }

    #[test]
    fn names_of_other_programs_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = bare(folder.path(), "categories.tif", |_| {});
        sidecar(
            &path,
            "<CategoryNames><Category></Category><Category>road</Category><Category>2</Category></CategoryNames>",
        );
        assert_eq!(names(&path), named(&[(1, "road")]));

        let path = bare(folder.path(), "table.tif", |_| {});
        sidecar(&path, TABLE);
        assert_eq!(names(&path), named(&[(2, "sea & lake"), (10, "trees")]));
        let raster = CodedRaster::open(&path).unwrap();
        assert_eq!((raster.colour(10), raster.colour(2), raster.colour(0)), (Some([0, 100, 0]), Some([1, 2, 3]), None));

        // Without usages, as tables of databases come: the columns go by their names.
        let path = bare(folder.path(), "plain_table.tif", |_| {});
        let plain =
            TABLE.replace("<Usage>5", "<Usage>0").replace("<Usage>2", "<Usage>0").replace(">kind<", ">Class_Name<");
        sidecar(&path, &plain);
        assert_eq!(names(&path), named(&[(2, "sea & lake"), (10, "trees")]));

        let path = bare(folder.path(), "style.tif", |_| {});
        let entry =
            |value: &str, label: &str| format!("<paletteEntry value=\"{value}\" color=\"#0a141e\" label=\"{label}\"/>");
        let style = |entries: &str| {
            format!(
                "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n<qgis><pipe><rasterrenderer><colorPalette>{entries}</colorPalette></rasterrenderer></pipe></qgis>"
            )
        };
        fs::write(
            folder.path().join("style.qml"),
            style(&(entry("1", "a &lt;b&gt;") + &entry("7", "7") + &entry("x", "no"))),
        )
        .unwrap();
        assert_eq!(names(&path), named(&[(1, "a <b>")]));
        assert_eq!(CodedRaster::open(&path).unwrap().colour(1), Some([10, 20, 30]));
        fs::write(folder.path().join("style.qml"), "<qgis><unfinished").unwrap();
        assert_eq!(names(&path), named(&[]));
    }

    #[test]
    fn contradicting_names_are_noted_and_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = bare(folder.path(), "both.tif", |dataset| {
            let mut band = dataset.rasterband(1).unwrap();
            band.set_metadata_item("CLASS_1", "building", "").unwrap();
            band.set_metadata_item("CLASS_10", "wood", "").unwrap();
        });
        sidecar(
            &path,
            &format!("<CategoryNames><Category>land</Category><Category>Building</Category></CategoryNames>{TABLE}"),
        );
        let raster = CodedRaster::open(&path).unwrap();
        assert_eq!(raster.names().iter().collect::<Vec<_>>(), [(1, "building"), (10, "wood")]);
        assert_eq!(raster.notes().len(), 1, "{:?}", raster.notes());
        let note = &raster.notes()[0];
        assert!(
            note.ends_with("value 10 is named \"wood\" in the tags in the file and \"trees\" in its attribute table; the first is used."),
            "{note}"
        );
    }

    #[test]
    fn odd_class_names_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("odd.tif");
        // A name may be a number, also that of the value.
        let odd = ["a=b", "Straße, \"neu\"", "2"].map(|name| ClassInfo { name: name.into(), colour: [9; 3] });
        let mut writer =
            LabelWriter::create(&path, SIZE, None, &odd, LabelType::U8, RasterLayout::default(), &[]).unwrap();
        writer.write_rows(0, &[0; 6]).unwrap();
        writer.finish().unwrap();
        assert_eq!(names(&path), named(&[(0, "a=b"), (1, "Straße, \"neu\""), (2, "2")]));
    }
}
