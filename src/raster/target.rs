//! A GeoTIFF under way: made with everything but its pixels, closed with every failure heard.

use std::path::Path;

use gdal::raster::{GdalType, RasterCreationOptions};
use gdal::{Dataset, DriverManager, Metadata};

use super::messages;
use super::partial::Partial;
use crate::error::Result;
use crate::geom::Size;
use crate::scene::Georeference;

/// An open output file under its temporary name.
pub(super) struct Target {
    // Before the file: dropped first, so that GDAL has closed it when it is removed.
    dataset: Dataset,
    partial: Partial,
    size: Size,
    bands: usize,
}

impl Target {
    /// Makes a tiled GeoTIFF of pixel type `T`.
    ///
    /// `options` are the driver's creation options beside those that every result has; `tags` become metadata.
    pub(super) fn create<T: GdalType>(
        path: &Path,
        size: Size,
        bands: usize,
        georeference: Option<&Georeference>,
        options: &[String],
        tags: &[(String, String)],
    ) -> Result<Self> {
        super::init();
        let partial = Partial::new(path)?;
        let common = ["TILED=YES", "BIGTIFF=IF_SAFER", "COMPRESS=DEFLATE"].map(str::to_owned);
        let options = RasterCreationOptions::from_iter(common.iter().chain(options).map(String::as_str));
        let made = messages::attempt_unsaid(|| {
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
            Ok(dataset) => Ok(Self { dataset, partial, size, bands }),
            Err(cause) => Err(partial.failed("create", cause)),
        }
    }

    pub(super) fn size(&self) -> Size {
        self.size
    }

    pub(super) fn bands(&self) -> usize {
        self.bands
    }

    /// Calls GDAL on the dataset; `what` continues "cannot …" before the file's name.
    pub(super) fn attempt<T>(
        &mut self,
        what: &str,
        call: impl FnOnce(&mut Dataset) -> gdal::errors::Result<T>,
    ) -> Result<T> {
        messages::attempt_unsaid(|| call(&mut self.dataset)).map_err(|cause| self.partial.failed(what, cause))
    }

    /// Closes the file and gives it its name.
    ///
    /// Closing writes the directory and may be where a full disk shows, but this GDAL's call returns nothing: what it says
    /// meanwhile is listened to, and the file is opened once more: `whole` says whether what else belongs to it is there.
    pub(super) fn finish(self, whole: impl FnOnce(&Dataset) -> gdal::errors::Result<bool>) -> Result<()> {
        let Self { dataset, partial, size, bands } = self;
        messages::attempt_unsaid(|| dataset.close()).map_err(|cause| partial.failed("complete", cause))?;
        let again = messages::attempt_unsaid(|| {
            let dataset = Dataset::open(partial.temporary())?;
            Ok((dataset.raster_size(), dataset.raster_count(), whole(&dataset)?))
        });
        let found = again.map_err(|cause| partial.failed("complete", cause))?;
        if found != ((size.width, size.height), bands, true) {
            return Err(partial.failed("complete", "what was written does not read back"));
        }
        partial.commit()
    }
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
