//! Class maps: one band of class indices with names, colours and pixel counts.

use std::path::Path;

use gdal::cpl::CslStringList;
use gdal::errors::GdalError;
use gdal::raster::{ColorEntry, ColorTable, PaletteInterpretation};
use gdal::{Dataset, Metadata};

use super::blocks::BlockRows;
use super::internal_table::InternalTable;
use super::target::{Form, Target};
use super::{ffi, pyramid, style};
use crate::error::{Error, Result};
use crate::geom::Size;
use crate::scene::{ClassInfo, Georeference, LabelType, RasterLayout, qml};

const BLOCK: Size = Size { width: 256, height: 256 };

/// Writes a class map row by row; the file has its name only after [`finish`](Self::finish).
///
/// The file is a tiled GeoTIFF, or a COG. Its overviews take the most frequent class. Where names, colours and counts
/// are stored:
///
/// | | in the file | in `.aux.xml` | in `.qml` |
/// |---|---|---|---|
/// | names | metadata of the band, `CLASS_0=…`: read by this program, shown by gdalinfo and among QGIS' layer properties; an attribute table as GDAL 3.12 and later read it | category names and attribute table: legends of QGIS and ArcGIS | legend of QGIS |
/// | colours | palette with an entry for each value of the type (256 or 65,536: TIFF knows no shorter one), black beyond the classes | palette with an entry a class, attribute table | an entry a class |
/// | pixels of each class | – | attribute table | – |
///
/// GDAL reads category names from the sidecar alone, and attribute tables too before version 3.12: a copy without its
/// sidecars has the right colours in QGIS, under the numbers of the values.
pub struct LabelWriter {
    target: Target,
    rows: Rows,
    style: style::Style,
    classes: Vec<ClassInfo>,
    internal: Option<InternalTable>,
    counts: Vec<u64>,
    nodata: u16,
}

enum Rows {
    U8(BlockRows<u8>),
    U16(BlockRows<u16>),
}

impl LabelWriter {
    /// Creates the file under a hidden name beside `path`; `tags` become its metadata.
    ///
    /// Fails with [`Kind::Input`](crate::error::Kind::Input) where it cannot be written.
    pub fn create(
        path: &Path,
        size: Size,
        georeference: Option<&Georeference>,
        classes: &[ClassInfo],
        kind: LabelType,
        layout: RasterLayout,
        tags: &[(String, String)],
    ) -> Result<Self> {
        let nodata = kind.nodata();
        if classes.len() > usize::from(nodata) {
            return Err(Error::internal(format!("{} classes do not fit below {nodata}", classes.len())));
        }
        let form = Form {
            size,
            bands: 1,
            georeference,
            layout,
            block: BLOCK,
            are_colours: true,
            bits: None,
            predictor: None,
            resampling: "MODE",
            tags,
        };
        let mut target = match kind {
            LabelType::U8 => Target::create::<u8>(path, &form)?,
            LabelType::U16 => Target::create::<u16>(path, &form)?,
        };
        let style = style::Style::create(path, &qml::class_map(classes))?;
        let internal = InternalTable::new(classes);
        target.attempt("describe the classes of", |dataset| {
            let mut band = dataset.rasterband(1)?;
            band.set_no_data_value(Some(f64::from(nodata)))?;
            band.set_color_table(&colour_table(classes));
            let mut names = CslStringList::new();
            for (index, class) in classes.iter().enumerate() {
                names.add_string(&class.name)?;
                band.set_metadata_item(&format!("CLASS_{index}"), &class.name, "")?;
            }
            if let Some(table) = &internal {
                band.set_metadata_item(InternalTable::KEY, table.filling(), "")?;
            }
            ffi::set_category_names(&mut band, &names)
        })?;
        let rows = match kind {
            LabelType::U8 => Rows::U8(BlockRows::new(&target, BLOCK, u8::MAX)),
            LabelType::U16 => Rows::U16(BlockRows::new(&target, BLOCK, u16::MAX)),
        };
        let (classes, counts) = (classes.to_vec(), vec![0; classes.len()]);
        Ok(Self { target, rows, style, classes, internal, counts, nodata })
    }

    /// Writes whole rows of class indices, (row, column); rows come in order, from `first_row` on.
    pub fn write_rows(&mut self, first_row: usize, labels: &[u16]) -> Result<()> {
        for &label in labels {
            match self.counts.get_mut(usize::from(label)) {
                Some(count) => *count += 1,
                None if label == self.nodata => {}
                None => {
                    return Err(Error::internal(format!("label {label} is none of {} classes", self.classes.len())));
                }
            }
        }
        match &mut self.rows {
            // Checked above: every label is below the type's nodata value or is that value.
            Rows::U8(rows) => {
                let labels: Vec<u8> = labels.iter().map(|&label| label as u8).collect();
                rows.push(&mut self.target, first_row, &labels)
            }
            Rows::U16(rows) => rows.push(&mut self.target, first_row, labels),
        }
    }

    /// Pixels of each class so far.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Completes the file and gives it its name. Fails where rows are missing or the disk is full.
    pub fn finish(mut self) -> Result<()> {
        match &self.rows {
            Rows::U8(rows) => rows.check_complete()?,
            Rows::U16(rows) => rows.check_complete()?,
        }
        if self.target.layout().overviews {
            match self.rows {
                Rows::U8(_) => pyramid::build(&mut self.target, u8::MAX, |pixels| pyramid::mode(pixels, u8::MAX))?,
                Rows::U16(_) => pyramid::build(&mut self.target, u16::MAX, |pixels| pyramid::mode(pixels, u16::MAX))?,
            }
        }
        let table: Vec<ffi::AttributeRow<'_>> = (0..)
            .zip(self.classes.iter().zip(&self.counts))
            .map(|(value, (class, &pixels))| ffi::AttributeRow {
                value,
                name: &class.name,
                pixels,
                colour: class.colour,
            })
            .collect();
        self.target.attempt("describe the classes of", |dataset| {
            ffi::set_attribute_table(&mut dataset.rasterband(1)?, &table)
        })?;
        let classes = &self.classes;
        self.target.finish(
            |path| {
                if let Some(table) = &self.internal {
                    table.put(path).map_err(|error| GdalError::BadArgument(error.to_string()))?;
                }
                // The palette inside the file has as many entries as its type has values, black ones beyond the classes.
                // That of the sidecar, which GDAL takes first, ends with the classes: viewers list these and nothing else.
                let dataset = Dataset::open(path)?;
                dataset.rasterband(1)?.set_color_table(&colour_table(classes));
                dataset.close()?;
                let again = Dataset::open(path)?;
                let entries = again.rasterband(1)?.color_table().map_or(0, |table| table.entry_count());
                if entries == classes.len() {
                    return Ok(());
                }
                Err(GdalError::BadArgument("the colours of the sidecar do not read back".to_owned()))
            },
            // Losing the sidecar is only a warning to GDAL.
            |dataset| {
                let band = dataset.rasterband(1)?;
                let found = ffi::attribute_table(&band);
                let names = found.iter().map(|row| &row.name).eq(classes.iter().map(|class| &class.name));
                Ok(names)
            },
        )?;
        self.style.commit()
    }
}

fn colour_table(classes: &[ClassInfo]) -> ColorTable<'static> {
    let mut table = ColorTable::new(PaletteInterpretation::Rgba);
    for (index, class) in (0..).zip(classes) {
        let [red, green, blue] = class.colour.map(i16::from);
        table.set_color_entry(index, &ColorEntry::rgba(red, green, blue, 255));
    }
    table
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::super::test_scenes::{classes, georeference};
    use super::*;
    use crate::scene::{Compression, RasterFormat};

    fn write(path: &Path, size: Size, classes: &[ClassInfo], labels: &[u16], rows_at_once: usize) {
        write_as(RasterLayout::default(), path, size, classes, labels, rows_at_once);
    }

    fn write_as(
        layout: RasterLayout,
        path: &Path,
        size: Size,
        classes: &[ClassInfo],
        labels: &[u16],
        rows_at_once: usize,
    ) {
        let kind = LabelType::for_classes(classes.len());
        let georeference = georeference([500_000.0, 2.0, 0.0, 5_600_000.0, 0.0, -2.0], 32632);
        let tags = [("SEGEARTH_VERSION".to_owned(), "0.1.0".to_owned())];
        let mut writer = LabelWriter::create(path, size, Some(&georeference), classes, kind, layout, &tags).unwrap();
        for (index, rows) in labels.chunks(rows_at_once * size.width).enumerate() {
            writer.write_rows(index * rows_at_once, rows).unwrap();
        }
        assert!(!path.exists(), "the name is taken before the file is complete");
        writer.finish().unwrap();
    }

    fn read(path: &Path) -> Vec<u16> {
        let dataset = Dataset::open(path).unwrap();
        dataset.rasterband(1).unwrap().read_band_as::<u16>().unwrap().data().to_vec()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn labels_read_back_and_bytes_do_not_depend_on_portions(
            width in 1usize..700, height in 1usize..600, many in any::<bool>(), chunks in [1usize..600, 1..600],
        ) {
            let folder = tempfile::tempdir().unwrap();
            let size = Size::new(width, height);
            let classes = classes(if many { 300 } else { 7 });
            let nodata = LabelType::for_classes(classes.len()).nodata();
            let label = |index: usize| if index.is_multiple_of(11) { nodata } else { (index * index / 97 % classes.len()) as u16 };
            let labels: Vec<u16> = (0..size.pixels()).map(label).collect();
            let paths = chunks.map(|chunk| folder.path().join(format!("{chunk}.tif")));
            for (path, chunk) in paths.iter().zip(chunks) {
                let _ = fs::remove_file(path);
                write(path, size, &classes, &labels, chunk);
                prop_assert_eq!(&read(path), &labels);
            }
            prop_assert_eq!(fs::read(&paths[0]).unwrap(), fs::read(&paths[1]).unwrap());
        }
    }

    #[test]
    fn names_colours_counts_nodata_and_tags_are_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.tif");
        let classes = classes(3);
        write(&path, Size::new(4, 1), &classes, &[0, 2, 2, 255], 1);
        let names: Vec<String> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(fs::read_to_string(path.with_extension("qml")).unwrap().contains("paletteEntry value=\"2\""));
        let dataset = Dataset::open(&path).unwrap();
        assert_eq!(dataset.metadata_item("SEGEARTH_VERSION", "").as_deref(), Some("0.1.0"));
        let band = dataset.rasterband(1).unwrap();
        assert_eq!(band.no_data_value(), Some(255.0));
        assert_eq!(band.metadata_item("CLASS_2", "").as_deref(), Some(classes[2].name.as_str()));
        let table = band.color_table().unwrap();
        let entry = table.entry_as_rgb(2).unwrap();
        assert_eq!([entry.r, entry.g, entry.b], classes[2].colour.map(i16::from));
        assert_eq!(ffi::category_names(&band), classes.iter().map(|class| class.name.clone()).collect::<Vec<_>>());
        let counts: Vec<u64> = ffi::attribute_table(&band).into_iter().map(|row| row.pixels).collect();
        assert_eq!(counts, [1, 0, 2]);
    }

    #[test]
    fn layouts_hold_the_same_and_overviews_take_the_mode() {
        let folder = tempfile::tempdir().unwrap();
        let (size, classes) = (Size::new(1100, 530), classes(5));
        // Stripes of seven pixels, and a corner without data.
        let label = |col: usize, row: usize| {
            if col + row < 150 { 255 } else { (col / 7 + row / 7 * 3) as u16 % 5 }
        };
        let labels: Vec<u16> = (0..size.pixels()).map(|index| label(index % size.width, index / size.width)).collect();
        for format in [RasterFormat::GeoTiff, RasterFormat::Cog] {
            for compression in [Compression::Deflate, Compression::Zstd] {
                let layout = RasterLayout { format, compression, overviews: true };
                let paths = [37, 530].map(|rows| folder.path().join(format!("{format:?}_{compression:?}_{rows}.tif")));
                for (path, rows) in paths.iter().zip([37, 530]) {
                    write_as(layout, path, size, &classes, &labels, rows);
                }
                assert!(fs::read(&paths[0]).unwrap() == fs::read(&paths[1]).unwrap(), "{layout:?}");
                assert_eq!(read(&paths[0]), labels);
                let dataset = Dataset::open(&paths[0]).unwrap();
                assert_eq!(dataset.metadata_item("SEGEARTH_VERSION", "").as_deref(), Some("0.1.0"));
                let structure = |key: &str| dataset.metadata_item(key, "IMAGE_STRUCTURE");
                assert_eq!(structure("COMPRESSION"), Some(format!("{compression:?}").to_uppercase()));
                assert_eq!(structure("LAYOUT").as_deref(), (format == RasterFormat::Cog).then_some("COG"));
                let band = dataset.rasterband(1).unwrap();
                assert_eq!(band.no_data_value(), Some(255.0));
                assert_eq!(band.metadata_item("CLASS_4", "").as_deref(), Some(classes[4].name.as_str()));
                assert_eq!(ffi::attribute_table(&band).len(), 5);
                assert_eq!(ffi::category_names(&band)[4], classes[4].name);
                assert_eq!(band.color_table().unwrap().entry_as_rgb(3).unwrap().r, i16::from(classes[3].colour[0]));
                assert_eq!(band.overview_count().unwrap(), 3);
                let overview = band.overview(0).unwrap();
                assert_eq!(overview.size(), (550, 265));
                let found = overview.read_band_as::<u8>().unwrap();
                for (index, &found) in found.data().iter().enumerate() {
                    let (col, row) = (2 * (index % 550), 2 * (index / 550));
                    let under = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(x, y)| label(col + x, row + y));
                    assert_eq!(u16::from(found), pyramid::mode(&under, 255), "{layout:?} at {col}, {row}");
                }
            }
        }
    }

    #[test]
    fn incomplete_file_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.tif");
        let create = || {
            LabelWriter::create(&path, Size::new(3, 3), None, &classes(2), LabelType::U8, RasterLayout::default(), &[])
                .unwrap()
        };
        let mut dropped = create();
        dropped.write_rows(0, &[0, 1, 0]).unwrap();
        drop(dropped);
        let mut short = create();
        short.write_rows(0, &[0, 1, 0]).unwrap();
        assert!(short.finish().unwrap_err().to_string().contains("of 3 rows"));
        let mut wrong = create();
        assert!(wrong.write_rows(0, &[0, 2, 0]).is_err());
        assert!(wrong.write_rows(1, &[0, 1, 0]).is_err());
        drop(wrong);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    /// Writes under a limit on the size of files, which a process can set only for itself: the test starts itself again.
    #[test]
    fn full_disk_is_an_error_at_any_point() {
        const FOLDER: &str = "SEGEARTH_TEST_FULL_DISK";
        let size = Size::new(1000, 900);
        let labels: Vec<u16> = (0..size.pixels() as u32)
            .map(|index| ((index.wrapping_mul(2_654_435_761) ^ index.wrapping_mul(40_503)) >> 9) as u16 % 250)
            .collect();
        if let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) {
            let path = folder.join("limited.tif");
            let georeference = georeference([500_000.0, 2.0, 0.0, 5_600_000.0, 0.0, -2.0], 32632);
            let result = LabelWriter::create(
                &path,
                size,
                Some(&georeference),
                &classes(250),
                LabelType::U8,
                RasterLayout::default(),
                &[],
            )
            .and_then(|mut writer| writer.write_rows(0, &labels).and_then(|()| writer.finish()));
            match result {
                Ok(()) => println!("written {}", read(&path) == labels),
                Err(error) => println!("refused {error}: {}", error.causes().join(": ")),
            }
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let whole = folder.path().join("whole.tif");
        write(&whole, size, &classes(250), &labels, 100);
        let kilobytes = fs::metadata(&whole).unwrap().len().div_ceil(1024);
        let mut refused = 0;
        for limit in [
            1,
            8,
            kilobytes / 3,
            kilobytes - 70,
            kilobytes - 9,
            kilobytes - 5,
            kilobytes - 2,
            kilobytes - 1,
            kilobytes + 1,
        ] {
            let this = std::env::current_exe().unwrap();
            // Over the limit the system sends a signal, unless it is ignored: then the write fails.
            let script = "trap '' XFSZ; ulimit -f \"$0\"; exec \"$1\" --exact --nocapture raster::labels::tests::full_disk_is_an_error_at_any_point";
            let output = std::process::Command::new("bash")
                .args(["-c", script, &limit.to_string()])
                .arg(this)
                .env(FOLDER, folder.path())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            if said.contains("refused ") {
                refused += 1;
                assert!(said.contains("limited."), "{said}");
                assert_eq!(names.len(), 3, "at {limit} of {kilobytes} KiB: {names:?}");
            } else {
                assert!(said.contains("written true"), "at {limit} of {kilobytes} KiB: {said}");
                assert!(limit >= kilobytes - 1, "written with {limit} of {kilobytes} KiB");
            }
        }
        assert!(refused >= 6, "only {refused} refused");
    }
}
