//! Which vector format a file name asks for, and what that format can hold.

use std::path::Path;

use crate::error::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    GeoPackage,
    FlatGeobuf,
    GeoJson,
    GeoJsonSeq,
    Shapefile,
    GeoParquet,
}

/// Every extension with its format, the recommended one first.
const EXTENSIONS: &[(&str, Format)] = &[
    ("gpkg", Format::GeoPackage),
    ("fgb", Format::FlatGeobuf),
    ("geojson", Format::GeoJson),
    ("json", Format::GeoJson),
    ("geojsonl", Format::GeoJsonSeq),
    ("geojsons", Format::GeoJsonSeq),
    ("ndjson", Format::GeoJsonSeq),
    ("shp", Format::Shapefile),
    ("parquet", Format::GeoParquet),
    ("geoparquet", Format::GeoParquet),
];

impl Format {
    pub fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let known = EXTENSIONS.iter().find(|(name, _)| name.eq_ignore_ascii_case(extension));
        known.map(|&(_, format)| format).ok_or_else(|| {
            let allowed: Vec<_> = EXTENSIONS.iter().map(|(name, _)| format!(".{name}")).collect();
            let found = if extension.is_empty() { "no extension".into() } else { format!("extension .{extension}") };
            Error::input(format!("{} has {found}, polygons can be written as {}", path.display(), allowed.join(", ")))
                .with_hint("Take .gpkg unless something else is needed: it has no limits that matter here.")
        })
    }

    /// GDAL's name of the driver.
    pub fn driver(self) -> &'static str {
        match self {
            Self::GeoPackage => "GPKG",
            Self::FlatGeobuf => "FlatGeobuf",
            Self::GeoJson => "GeoJSON",
            Self::GeoJsonSeq => "GeoJSONSeq",
            Self::Shapefile => "ESRI Shapefile",
            Self::GeoParquet => "Parquet",
        }
    }

    /// Whether one file holds several layers.
    pub fn has_layers(self) -> bool {
        self == Self::GeoPackage
    }

    /// RFC 7946 allows WGS 84 only.
    pub fn is_geojson(self) -> bool {
        matches!(self, Self::GeoJson | Self::GeoJsonSeq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_jobs_may_name_is_what_is_written() {
        assert_eq!(EXTENSIONS.iter().map(|(name, _)| *name).collect::<Vec<_>>(), crate::scene::VECTOR_EXTENSIONS);
    }

    #[test]
    fn the_extension_decides_and_an_unknown_one_lists_the_known() {
        assert_eq!(Format::of(Path::new("a/b.GPKG")).unwrap(), Format::GeoPackage);
        assert_eq!(Format::of(Path::new("b.ndjson")).unwrap(), Format::GeoJsonSeq);
        let error = Format::of(Path::new("b.kml")).unwrap_err().to_string();
        assert!(error.contains(".kml") && error.contains(".gpkg") && error.contains(".shp"), "{error}");
        assert!(Format::of(Path::new("polygons")).unwrap_err().to_string().contains("no extension"));
    }
}
