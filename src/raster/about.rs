//! What this GDAL is and can do, for `segearth doctor`.

use gdal::spatial_ref::SpatialRef;
use gdal::{Driver, DriverManager, Metadata as _};

use super::{ffi, messages};

/// Drivers that outputs and scenes need, and what for. The first are needed by every run.
const DRIVERS: [(&str, &str, bool); 18] = [
    ("GTiff", "rasters", true),
    ("MEM", "pictures", true),
    ("VRT", "mosaics", true),
    ("PNG", "previews", true),
    ("GPKG", "polygons", true),
    ("COG", "format: cog", false),
    ("JPEG", "reports", false),
    ("GeoJSON", ".geojson", false),
    ("GeoJSONSeq", ".ndjson", false),
    ("FlatGeobuf", ".fgb", false),
    ("ESRI Shapefile", ".shp", false),
    ("JP2OpenJPEG", "JPEG 2000 scenes such as Sentinel-2's", false),
    ("HFA", "Erdas Imagine scenes", false),
    ("netCDF", "netCDF scenes", false),
    ("HDF5", "HDF5 scenes", false),
    ("STACIT", "STAC scenes", false),
    ("Zarr", "Zarr scenes", false),
    ("HTTP", "remote scenes", false),
];

/// Compressions of GeoTIFF that jobs can ask for.
const COMPRESSIONS: [&str; 5] = ["DEFLATE", "LZW", "ZSTD", "LERC", "JPEG"];

/// A GDAL.
#[derive(Clone, Debug)]
pub struct GdalFacts {
    pub version: String,
    pub proj: String,
    /// Drivers that are here, of those that matter.
    pub drivers: Vec<&'static str>,
    /// The others, and what they are for.
    pub missing: Vec<(&'static str, &'static str)>,
    /// Those of them without which no run works.
    pub broken: Vec<&'static str>,
    pub compressions: Vec<&'static str>,
    /// Why CRSs cannot be looked up: PROJ's database is missing or of another version.
    pub crs_failure: Option<String>,
}

/// Looks what the GDAL of this program is and can do.
pub fn gdal_facts() -> GdalFacts {
    super::init();
    let driver = |name: &str| -> Option<Driver> { messages::attempt(|| DriverManager::get_driver_by_name(name)).ok() };
    type Drivers = Vec<&'static (&'static str, &'static str, bool)>;
    let (here, missing): (Drivers, Drivers) = DRIVERS.iter().partition(|(name, ..)| driver(name).is_some());
    let options = driver("GTiff").and_then(|driver| driver.metadata_item("DMD_CREATIONOPTIONLIST", ""));
    let options = options.unwrap_or_default();
    let crs = messages::attempt(|| SpatialRef::from_epsg(32633).and_then(|crs| crs.to_proj4()));
    GdalFacts {
        version: gdal::version::VersionInfo::release_name(),
        proj: ffi::proj_version(),
        drivers: here.iter().map(|(name, ..)| *name).collect(),
        broken: missing.iter().filter(|(.., needed)| *needed).map(|(name, ..)| *name).collect(),
        missing: missing.iter().map(|(name, purpose, _)| (*name, *purpose)).collect(),
        compressions: COMPRESSIONS.into_iter().filter(|name| options.contains(&format!("<Value>{name}<"))).collect(),
        crs_failure: crs.err().map(|cause| cause.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gdal_of_the_tests_has_what_runs_need() {
        let facts = gdal_facts();
        assert_eq!(facts.broken, Vec::<&str>::new());
        assert_eq!(facts.drivers.len() + facts.missing.len(), DRIVERS.len());
        assert!(facts.compressions.contains(&"DEFLATE") && facts.drivers.contains(&"GTiff"));
        assert!(facts.version.starts_with('3') && facts.proj.contains('.'), "{facts:?}");
        assert_eq!(facts.crs_failure, None);
    }
}
