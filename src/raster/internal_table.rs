//! The attribute table of a class map inside its TIFF, where GDAL looks for it from version 3.12 on: an item of the
//! `GDAL_METADATA` tag. Earlier versions ignore it.
//!
//! Earlier versions cannot write it either. They write an item of the same length in its place, which is then overwritten:
//! nothing in the file moves, whatever its layout.

#![expect(clippy::indexing_slicing, reason = "fields of a TIFF's header and directory, in buffers of their sizes")]

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use crate::scene::ClassInfo;
use crate::scene::qml::escaped;

/// The tag in which GDAL stores, as XML, what TIFF has no tag for.
const GDAL_METADATA: u16 = 42_112;
/// A longer table would make every reader of the file fetch megabytes before the first pixel.
const MAX_CLASSES: usize = 4096;
/// The first version that writes the table by itself.
const WRITTEN_BY_GDAL: u32 = 3_120_000;

/// A table to be written into a file, and the placeholder that reserves its space.
pub(super) struct InternalTable {
    item: String,
    filling: String,
}

impl InternalTable {
    /// The band's metadata item that reserves the space.
    pub(super) const KEY: &str = "SEGEARTH_TABLE";

    /// `None`: this GDAL writes the table by itself, or there are too many classes.
    pub(super) fn new(classes: &[ClassInfo]) -> Option<Self> {
        let version = gdal::version::VersionInfo::version_num().parse().unwrap_or(0);
        (version < WRITTEN_BY_GDAL && classes.len() <= MAX_CLASSES).then(|| Self::of(classes))
    }

    fn of(classes: &[ClassInfo]) -> Self {
        let item = format!(
            "<Item name=\"DEFAULT_RASTER_ATTRIBUTE_TABLE\" sample=\"0\" role=\"rat\">{}</Item>",
            table(classes)
        );
        let around = kept("").len();
        let filling = "-".repeat(item.len().saturating_sub(around));
        Self { item, filling }
    }

    /// The value of the item that reserves the space.
    pub(super) fn filling(&self) -> &str {
        &self.filling
    }

    /// Writes the table into a finished file, over the placeholder.
    pub(super) fn put(&self, path: &Path) -> io::Result<()> {
        let lost = || io::Error::other("the place of the attribute table is not in the file");
        let mut file = File::options().read(true).write(true).open(path)?;
        let (start, length) = metadata(&mut file)?.ok_or_else(lost)?;
        let mut text = vec![0; length];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut text)?;
        let kept = kept(&self.filling);
        let at = text.windows(kept.len()).position(|piece| piece == kept.as_bytes()).ok_or_else(lost)?;
        file.seek(SeekFrom::Start(start + at as u64))?;
        file.write_all(self.item.as_bytes())?;
        file.sync_all()
    }
}

/// The item as GDAL writes it.
fn kept(filling: &str) -> String {
    format!("<Item name=\"{}\" sample=\"0\">{filling}</Item>", InternalTable::KEY)
}

/// GDAL's XML of an attribute table: value, class, red, green, blue. Types: 0 whole number, 2 text; usages: 2 name, 5 value,
/// 6 to 8 colours (`GDALRATFieldType`, `GDALRATFieldUsage`).
fn table(classes: &[ClassInfo]) -> String {
    let mut text = String::from("<GDALRasterAttributeTable tableType=\"thematic\">");
    for (index, (name, kind, usage)) in
        [("Value", 0, 5), ("Class", 2, 2), ("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8)].iter().enumerate()
    {
        let _ = write!(
            text,
            "<FieldDefn index=\"{index}\"><Name>{name}</Name><Type>{kind}</Type><Usage>{usage}</Usage></FieldDefn>"
        );
    }
    for (value, class) in classes.iter().enumerate() {
        let (name, [red, green, blue]) = (escaped(&class.name), class.colour);
        let _ = write!(
            text,
            "<Row index=\"{value}\"><F>{value}</F><F>{name}</F><F>{red}</F><F>{green}</F><F>{blue}</F></Row>"
        );
    }
    text + "</GDALRasterAttributeTable>"
}

/// Offset and length of the metadata of a TIFF's first image; `None` where it has none, or is not little-endian.
fn metadata(file: &mut File) -> io::Result<Option<(u64, usize)>> {
    let mut head = [0; 16];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut head)?;
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    // A BigTIFF has its offsets and counts in eight bytes in place of four, and the number of entries in eight of two.
    let (directory, entries, wide) = match &head[..4] {
        b"II*\0" => (number(&head[4..8]), 2, 4),
        b"II+\0" => (number(&head[8..16]), 8, 8),
        _ => return Ok(None),
    };
    file.seek(SeekFrom::Start(directory))?;
    let mut count = [0; 8];
    let count = &mut count[..entries];
    file.read_exact(count)?;
    let mut entry = [0; 20];
    let entry = &mut entry[..4 + 2 * wide];
    for _ in 0..number(count) {
        file.read_exact(entry)?;
        if number(&entry[..2]) == u64::from(GDAL_METADATA) {
            let (length, place) = (number(&entry[4..4 + wide]), number(&entry[4 + wide..]));
            // Shorter values are stored in the directory itself, and are not ours.
            let length = usize::try_from(length).unwrap_or(0);
            return Ok((length > wide).then_some((place, length)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use gdal::raster::RasterCreationOptions;
    use gdal::{Dataset, DriverManager, Metadata as _};

    use super::super::{ffi, test_scenes};
    use super::*;

    #[test]
    fn table_replaces_its_placeholder_in_place() {
        let folder = tempfile::tempdir().unwrap();
        super::super::init();
        for (bigtiff, count) in [("NO", 1), ("YES", 1), ("NO", 300), ("YES", 300)] {
            let path = folder.path().join("a.tif");
            let classes = test_scenes::classes(count);
            let table = InternalTable::of(&classes);
            let options = RasterCreationOptions::from_iter([format!("BIGTIFF={bigtiff}").as_str()]);
            let driver = DriverManager::get_driver_by_name("GTiff").unwrap();
            let dataset = driver.create_with_band_type_with_options::<u16, _>(&path, 40, 30, 1, &options).unwrap();
            let mut band = dataset.rasterband(1).unwrap();
            band.set_metadata_item("CLASS_0", "before", "").unwrap();
            band.set_metadata_item(InternalTable::KEY, table.filling(), "").unwrap();
            band.set_metadata_item("Z", "after", "").unwrap();
            band.fill(7.0, None).unwrap();
            dataset.close().unwrap();
            let before = fs::read(&path).unwrap();
            table.put(&path).unwrap();
            let after = fs::read(&path).unwrap();
            assert_eq!(after.len(), before.len());
            let changed = before.iter().zip(&after).filter(|(a, b)| a != b).count();
            assert!(changed <= table.item.len(), "{changed} bytes changed");
            assert!(table.put(&path).is_err(), "there is no place any more");

            // As XML, the way GDAL 3.12 reads it.
            let text = String::from_utf8_lossy(&after);
            let xml = &text[text.find("<GDALMetadata>").unwrap()..];
            let xml = &xml[..xml.find("</GDALMetadata>").unwrap() + "</GDALMetadata>".len()];
            let items = ffi::xml_elements(xml.into(), &["Item"]);
            let roles: Vec<_> = items.iter().map(|item| (item["name"].as_str(), item.get("role").cloned())).collect();
            assert!(roles.contains(&("DEFAULT_RASTER_ATTRIBUTE_TABLE", Some("rat".to_owned()))), "{roles:?}");
            assert_eq!(ffi::xml_elements(xml.into(), &["Row"]).len(), count);
            assert!(xml.contains("<F>0</F><F>class 0 &lt;é &amp; &quot;x&quot;&gt;</F>"), "{xml}");
            // As this GDAL reads it: the other items are there, the pixels too.
            let dataset = Dataset::open(&path).unwrap();
            let band = dataset.rasterband(1).unwrap();
            let item = |key: &str| band.metadata_item(key, "");
            assert_eq!((item("CLASS_0").as_deref(), item("Z").as_deref()), (Some("before"), Some("after")));
            assert_eq!(item(InternalTable::KEY), None);
            assert!(band.read_band_as::<u16>().unwrap().data().iter().all(|value| *value == 7));
        }
    }
}
