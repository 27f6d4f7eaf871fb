//! The vector formats, chosen by the extension of the output.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A vector format.
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
    /// The format of a path's extension, in upper or lower case.
    ///
    /// # Errors
    /// An unknown extension; the message lists the known ones.
    pub fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let known = EXTENSIONS.iter().find(|(name, _)| name.eq_ignore_ascii_case(extension));
        known.map(|&(_, format)| format).ok_or_else(|| {
            let allowed: Vec<_> = EXTENSIONS.iter().map(|(name, _)| format!(".{name}")).collect();
            let found = if extension.is_empty() { "no extension".into() } else { format!("extension .{extension}") };
            Error::input(format!("{} has {found}, polygons can be written as {}", path.display(), allowed.join(", ")))
                .with_hint("Use .gpkg unless another program needs a different format.")
        })
    }

    /// The short name of GDAL's driver.
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

    /// Whether a file can have several layers.
    pub fn has_layers(self) -> bool {
        self == Self::GeoPackage
    }

    /// Whether RFC 7946 applies, which allows only WGS 84.
    pub fn is_geojson(self) -> bool {
        matches!(self, Self::GeoJson | Self::GeoJsonSeq)
    }
}

/// The path `NAME_suffix.extension` beside `NAME.…`, for a further file of the same output.
pub fn sibling(out: &Path, suffix: &str, extension: &str) -> PathBuf {
    let stem = out.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    out.with_file_name(format!("{stem}{suffix}.{extension}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_match_those_of_job_files() {
        assert_eq!(EXTENSIONS.iter().map(|(name, _)| *name).collect::<Vec<_>>(), crate::scene::VECTOR_EXTENSIONS);
    }

    #[test]
    fn unknown_extension_lists_the_known_ones() {
        assert_eq!(Format::of(Path::new("a/b.GPKG")).unwrap(), Format::GeoPackage);
        assert_eq!(Format::of(Path::new("b.ndjson")).unwrap(), Format::GeoJsonSeq);
        let error = Format::of(Path::new("b.kml")).unwrap_err().to_string();
        assert!(error.contains(".kml") && error.contains(".gpkg") && error.contains(".shp"), "{error}");
        assert!(Format::of(Path::new("polygons")).unwrap_err().to_string().contains("no extension"));
    }
}
