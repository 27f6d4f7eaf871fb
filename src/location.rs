//! How people spell where a raster is, and the name by which GDAL opens it.

use std::path::{Path, PathBuf};

/// Schemes of object stores and servers, and GDAL's folder for each.
const SCHEMES: &[(&str, &str)] = &[
    ("s3", "/vsis3/"),
    ("gs", "/vsigs/"),
    ("gcs", "/vsigs/"),
    ("az", "/vsiaz/"),
    ("azure", "/vsiaz/"),
    ("abfs", "/vsiadls/"),
    ("abfss", "/vsiadls/"),
    ("oss", "/vsioss/"),
];

/// Endings of archives, and GDAL's folder for each.
const ARCHIVES: &[(&str, &str)] =
    &[(".zip", "/vsizip/"), (".tar", "/vsitar/"), (".tar.gz", "/vsitar/"), (".tgz", "/vsitar/")];

/// GDAL's folders of things that are fetched over a network.
const REMOTE: &[&str] =
    &["/vsicurl", "/vsis3", "/vsigs", "/vsiaz", "/vsiadls", "/vsioss", "/vsiswift", "/vsiwebhdfs", "/vsihdfs"];

/// A raster's whereabouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A file on a disk.
    Local(PathBuf),
    /// A file inside an archive on a disk, or the archive itself.
    Archived { archive: PathBuf, name: PathBuf },
    /// What GDAL alone can look for.
    Virtual(PathBuf),
}

impl Location {
    /// Reads a spelling; relative paths start from `base`.
    ///
    /// ```
    /// use std::path::Path;
    /// use segearth::location::Location;
    /// let gdal = |text| Location::read(text, Path::new("data")).gdal_name();
    /// assert_eq!(gdal("a.tif"), Path::new("data/a.tif"));
    /// assert_eq!(gdal("s3://bucket/a.tif"), Path::new("/vsis3/bucket/a.tif"));
    /// assert_eq!(gdal("https://x.org/a.tif"), Path::new("/vsicurl/https://x.org/a.tif"));
    /// assert_eq!(gdal("tiles.zip/a.tif"), Path::new("/vsizip/data/tiles.zip/a.tif"));
    /// ```
    pub fn read(spelled: &str, base: &Path) -> Self {
        let text = spelled.trim();
        if text.starts_with("/vsi") {
            return Self::Virtual(text.into());
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            let scheme = scheme.to_ascii_lowercase();
            let name = match scheme.as_str() {
                "http" | "https" | "ftp" => format!("/vsicurl/{text}"),
                "file" => {
                    // `file://host/path` with an empty host, or with the host left out.
                    let path = rest.strip_prefix("localhost").unwrap_or(rest);
                    return Self::local(Path::new(path).to_owned());
                }
                known => match SCHEMES.iter().find(|(name, _)| *name == known) {
                    Some((_, folder)) => format!("{folder}{rest}"),
                    None => text.to_owned(),
                },
            };
            return Self::Virtual(match archive_end(&name) {
                // GDAL takes a nested name after a second slash.
                Some((_, folder)) => format!("{folder}{name}").into(),
                None => name.into(),
            });
        }
        // GDAL's own spellings of what is inside a file: `NETCDF:"a.nc":ndvi`, `GTIFF_DIR:2:a.tif`.
        if text.split_once(':').is_some_and(|(driver, _)| driver.len() > 1 && is_driver_name(driver)) {
            return Self::Virtual(text.into());
        }
        Self::local(base.join(text))
    }

    fn local(path: PathBuf) -> Self {
        // A folder may be named like an archive: what is on the disk decides.
        let text = path.to_string_lossy().into_owned();
        match archive_end(&text) {
            Some((end, _)) if !Path::new(&text[..end]).is_dir() => {
                Self::Archived { archive: text[..end].into(), name: text[end..].into() }
            }
            _ => Self::Local(path),
        }
    }

    /// The name by which GDAL opens it.
    pub fn gdal_name(&self) -> PathBuf {
        match self {
            Self::Local(path) | Self::Virtual(path) => path.clone(),
            Self::Archived { archive, name } => {
                let archive = archive.to_string_lossy();
                let folder = archive_end(&archive).map_or("/vsizip/", |(_, folder)| folder);
                format!("{folder}{archive}{}", name.to_string_lossy()).into()
            }
        }
    }

    /// The file that must be on a disk for it.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Local(path) | Self::Archived { archive: path, .. } => Some(path),
            Self::Virtual(_) => None,
        }
    }
}

/// Whether a name of GDAL's is fetched over a network.
pub fn is_remote(name: &Path) -> bool {
    let text = name.to_string_lossy();
    text.starts_with("/vsi") && REMOTE.iter().any(|folder| text.contains(folder))
}

/// The end of the archive's own name in a path, and GDAL's folder for its kind.
fn archive_end(text: &str) -> Option<(usize, &'static str)> {
    let lower = text.to_ascii_lowercase();
    let path = lower.split(['?', '#']).next().unwrap_or_default();
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    ends.filter(|&end| end > 0).find_map(|end| {
        let (_, folder) = ARCHIVES.iter().find(|(ending, _)| path[..end].ends_with(ending))?;
        Some((end, *folder))
    })
}

fn is_driver_name(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_has_its_name() {
        let cases = [
            ("a.tif", "base/a.tif"),
            ("/data/a.tif", "/data/a.tif"),
            ("/vsicurl/https://x.org/a.tif", "/vsicurl/https://x.org/a.tif"),
            ("S3://b/k/a.tif", "/vsis3/b/k/a.tif"),
            ("gs://b/a.tif", "/vsigs/b/a.tif"),
            ("az://c/a.tif", "/vsiaz/c/a.tif"),
            ("https://x.org/a.tif?sig=1&x=%20", "/vsicurl/https://x.org/a.tif?sig=1&x=%20"),
            ("https://x.org/s.zip/in/a.tif", "/vsizip//vsicurl/https://x.org/s.zip/in/a.tif"),
            ("s3://b/s.tar/a.tif", "/vsitar//vsis3/b/s.tar/a.tif"),
            ("s.ZIP/in/a.tif", "/vsizip/base/s.ZIP/in/a.tif"),
            ("/d/s.tar.gz", "/vsitar//d/s.tar.gz"),
            ("file:///d/a.tif", "/d/a.tif"),
            ("NETCDF:\"a.nc\":ndvi", "NETCDF:\"a.nc\":ndvi"),
            ("zip/a.tif", "base/zip/a.tif"),
        ];
        for (spelled, name) in cases {
            assert_eq!(Location::read(spelled, Path::new("base")).gdal_name(), Path::new(name), "{spelled}");
        }
        let archived = Location::read("s.zip/in/a.tif", Path::new("base"));
        assert_eq!(archived.file(), Some(Path::new("base/s.zip")));
        assert_eq!(Location::read("s3://b/a.tif", Path::new("")).file(), None);
        assert!(is_remote(Path::new("/vsizip//vsicurl/https://x.org/s.zip/a.tif")));
        assert!(!is_remote(Path::new("/vsizip/s.zip/a.tif")) && !is_remote(Path::new("/data/vsis3/a.tif")));
    }
}
