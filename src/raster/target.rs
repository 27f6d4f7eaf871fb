//! A GeoTIFF that is being written: created with everything but its pixels, closed with every failure reported.

use std::path::Path;

use gdal::raster::{GdalType, RasterCreationOptions};
use gdal::{Dataset, DriverManager, Metadata};

use super::messages;
use crate::atomic::AtomicFile;
use crate::error::{Error, Result};
use crate::geom::Size;
use crate::scene::{Compression, Georeference, RasterFormat, RasterLayout};

/// Most bytes for a classic TIFF, which addresses 4 GiB: the size is known only before compression, and some data
/// grows.
const CLASSIC_TIFF: usize = 3_500_000_000;

/// An open output file under its temporary name.
pub(super) struct Target {
    // Declared before the file and so dropped first: GDAL has closed it when it is removed.
    dataset: Dataset,
    partial: AtomicFile,
    size: Size,
    bands: usize,
    layout: RasterLayout,
    bigtiff: bool,
    predictor: Option<u8>,
    resampling: &'static str,
}

/// The properties of a new raster, except its pixel type.
pub(super) struct Form<'a> {
    pub size: Size,
    pub bands: usize,
    pub georeference: Option<&'a Georeference>,
    pub layout: RasterLayout,
    pub block: Size,
    /// Bits of a number in the file, where they are not those of its type.
    pub bits: Option<u8>,
    /// TIFF's predictor: 2 for horizontal differences, 3 for those of floats.
    pub predictor: Option<u8>,
    /// GDAL's resampling method for overviews, where its driver writes them.
    pub resampling: &'static str,
    /// Whether three bands of bytes are tagged as red, green and blue.
    pub are_colours: bool,
    /// Written as metadata.
    pub tags: &'a [(String, String)],
}

impl Target {
    /// Creates a tiled GeoTIFF of pixel type `T`.
    pub(super) fn create<T: GdalType>(path: &Path, form: &Form<'_>) -> Result<Self> {
        super::init();
        can_write(form.layout)?;
        let &Form { size, bands, georeference, layout, block, bits, predictor, resampling, are_colours, tags } = form;
        let partial = AtomicFile::with_sidecars(path, &super::SIDECARS)?;
        let bigtiff = needs_bigtiff(size, bands * size_of::<T>(), layout);
        let mut options = vec![
            "TILED=YES".to_owned(),
            "INTERLEAVE=BAND".to_owned(),
            format!("BIGTIFF={}", yes(bigtiff)),
            format!("COMPRESS={}", compression(layout.compression)),
            format!("BLOCKXSIZE={}", block.width),
            format!("BLOCKYSIZE={}", block.height),
            threads(),
        ];
        if !are_colours {
            options.push("PHOTOMETRIC=MINISBLACK".to_owned());
        }
        options.extend(level(layout.compression, predictor).map(str::to_owned));
        options.extend(predictor.map(|predictor| format!("PREDICTOR={predictor}")));
        options.extend(bits.map(|bits| format!("NBITS={bits}")));
        let options = RasterCreationOptions::from_iter(options.iter().map(String::as_str));
        let made = messages::attempt_silent(|| {
            let driver = DriverManager::get_driver_by_name("GTiff")?;
            let mut dataset = driver.create_with_band_type_with_options::<T, _>(
                partial.temporary(),
                size.width,
                size.height,
                bands,
                &options,
            )?;
            if let Some(georeference) = georeference {
                place(&mut dataset, georeference)?;
            }
            for (key, value) in tags {
                dataset.set_metadata_item(key, value, "")?;
            }
            Ok(dataset)
        });
        match made {
            Ok(dataset) => Ok(Self { dataset, partial, size, bands, layout, bigtiff, predictor, resampling }),
            Err(cause) => Err(partial.failed("create", cause)),
        }
    }

    pub(super) fn size(&self) -> Size {
        self.size
    }

    pub(super) fn bands(&self) -> usize {
        self.bands
    }

    pub(super) fn layout(&self) -> RasterLayout {
        self.layout
    }

    /// Calls GDAL on the dataset; `what` continues "cannot …" before the file's name.
    pub(super) fn attempt<T>(
        &mut self,
        what: &str,
        call: impl FnOnce(&mut Dataset) -> gdal::errors::Result<T>,
    ) -> Result<T> {
        messages::attempt_silent(|| call(&mut self.dataset)).map_err(|cause| self.partial.failed(what, cause))
    }

    /// Closes the file and gives it its name, converted to a COG where the layout says so.
    ///
    /// Closing writes the directory and may fail on a full disk, but GDAL's call returns nothing before 3.7: its
    /// messages are checked instead, and the file is opened again. `dress` may add to the finished file and its
    /// sidecar, and `whole` checks that what belongs to the file is there.
    pub(super) fn finish(
        self,
        dress: impl Fn(&Path) -> gdal::errors::Result<()>,
        whole: impl Fn(&Dataset) -> gdal::errors::Result<bool>,
    ) -> Result<()> {
        let options = self.cog_options();
        let Self { dataset, partial, size, bands, layout, .. } = self;
        messages::attempt_silent(|| dataset.close()).map_err(|cause| partial.failed("complete", cause))?;
        let check = |partial: &AtomicFile, last: bool| {
            if last {
                messages::attempt_silent(|| dress(partial.temporary()))
                    .map_err(|cause| partial.failed("complete", cause))?;
            }
            let again = messages::attempt_silent(|| {
                let dataset = Dataset::open(partial.temporary())?;
                Ok((dataset.raster_size(), dataset.raster_count(), whole(&dataset)?))
            });
            let found = again.map_err(|cause| partial.failed("complete", cause))?;
            if found != ((size.width, size.height), bands, true) {
                return Err(partial.failed("complete", "the file does not read back as written"));
            }
            Ok(())
        };
        check(&partial, layout.format == RasterFormat::GeoTiff)?;
        if layout.format == RasterFormat::GeoTiff {
            return partial.commit();
        }
        let cog = partial.next();
        messages::attempt_silent(|| {
            let driver = DriverManager::get_driver_by_name("COG")?;
            let options = RasterCreationOptions::from_iter(options.iter().map(String::as_str));
            Dataset::open(partial.temporary())?.create_copy(&driver, cog.temporary(), &options)?.close()
        })
        .map_err(|cause| cog.failed("convert to a COG", cause))?;
        check(&cog, true)?;
        cog.commit()
    }

    /// Existing overviews are copied; a scene in a single block has none.
    fn cog_options(&self) -> Vec<String> {
        let compression = self.layout.compression;
        let mut options = vec![
            format!("COMPRESS={}", self::compression(compression)),
            "BLOCKSIZE=256".to_owned(),
            "OVERVIEWS=AUTO".to_owned(),
            format!("RESAMPLING={}", self.resampling),
            format!("BIGTIFF={}", yes(self.bigtiff)),
            threads(),
        ];
        options.extend(level(compression, self.predictor).map(|level| match level.split_once('=') {
            Some((_, number)) => format!("LEVEL={number}"),
            None => level.to_owned(),
        }));
        options.extend(self.predictor.map(|_| "PREDICTOR=YES".to_owned()));
        options
    }
}

/// Checks that GDAL can write such a layout, before any work.
///
/// # Errors
/// [`Kind::Input`](crate::error::Kind::Input) for a compression or a driver that GDAL was built without.
pub fn can_write(layout: RasterLayout) -> Result<()> {
    super::init();
    let driver = match layout.format {
        RasterFormat::GeoTiff => "GTiff",
        RasterFormat::Cog => "COG",
    };
    let Ok(driver) = messages::attempt(|| DriverManager::get_driver_by_name(driver)) else {
        return Err(Error::input(format!("this GDAL has no driver {driver}")).with_hint("Use `format: geotiff`."));
    };
    let options = driver.metadata_item("DMD_CREATIONOPTIONLIST", "").unwrap_or_default();
    let name = compression(layout.compression);
    if options.contains(&format!("<Value>{name}</Value>")) {
        return Ok(());
    }
    Err(Error::input(format!("this build of GDAL cannot write {} compression", name.to_lowercase()))
        .with_hint("Use `compression: deflate`, which every build of GDAL and every viewer supports."))
}

fn compression(compression: Compression) -> &'static str {
    match compression {
        Compression::Deflate => "DEFLATE",
        Compression::Zstd => "ZSTD",
    }
}

/// The lower bits of scores are noise: a higher level hardly makes them smaller.
fn level(compression: Compression, predictor: Option<u8>) -> Option<&'static str> {
    (compression == Compression::Deflate && predictor.is_some()).then_some("ZLEVEL=3")
}

/// Blocks are compressed in parallel and written in order: the bytes are those of one thread.
fn threads() -> String {
    format!("NUM_THREADS={}", rayon::current_num_threads())
}

fn yes(yes: bool) -> &'static str {
    if yes { "YES" } else { "NO" }
}

/// Whether the file may exceed a classic TIFF. `bytes`: bytes of a pixel in all bands.
fn needs_bigtiff(size: Size, bytes: usize, layout: RasterLayout) -> bool {
    let base = size.pixels().saturating_mul(bytes);
    let whole = if layout.overviews { base.saturating_add(base / 3) } else { base };
    whole > CLASSIC_TIFF
}

fn place(dataset: &mut Dataset, georeference: &Georeference) -> gdal::errors::Result<()> {
    if georeference.pixel_is_point {
        dataset.set_metadata_item("AREA_OR_POINT", "Point", "")?;
    }
    dataset.set_geo_transform(&georeference.transform.coefficients)?;
    if let Some(wkt) = &georeference.crs_wkt {
        dataset.set_projection(wkt)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_that_may_exceed_4_gib_is_a_bigtiff() {
        let (with, without) = (RasterLayout::default(), RasterLayout { overviews: false, ..RasterLayout::default() });
        assert!(!needs_bigtiff(Size::new(50_000, 50_000), 1, with));
        assert!(needs_bigtiff(Size::new(55_000, 55_000), 1, with));
        assert!(!needs_bigtiff(Size::new(55_000, 55_000), 1, without));
        assert!(needs_bigtiff(Size::new(55_000, 55_000), 2, without));
        assert!(needs_bigtiff(Size::new(usize::MAX >> 20, 1 << 20), 4, with));
        let folder = tempfile::tempdir().unwrap();
        for (side, version) in [(1000, 42), (60_000, 43)] {
            let form = Form {
                size: Size::new(side, side),
                bands: 1,
                georeference: None,
                layout: with,
                block: Size::new(256, 256),
                are_colours: true,
                bits: None,
                predictor: None,
                resampling: "MODE",
                tags: &[],
            };
            let mut target = Target::create::<u8>(&folder.path().join("labels.tif"), &form).unwrap();
            target.attempt("flush", Dataset::flush_cache).unwrap();
            let head = std::fs::read(target.partial.temporary()).unwrap();
            assert_eq!(u16::from_le_bytes([head[2], head[3]]), version, "side {side}");
        }
    }
}
