//! Paths, addresses and archives as users write them, and GDAL's names for them.

mod credentials;

use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result};

pub use credentials::{unsigned, without_credentials};

/// Schemes of object stores and servers, and GDAL's prefix for each.
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

/// Extensions of archives, and GDAL's prefix for each.
const ARCHIVES: &[(&str, &str)] =
    &[(".zip", "/vsizip/"), (".tar", "/vsitar/"), (".tar.gz", "/vsitar/"), (".tgz", "/vsitar/")];

/// Extensions of rasters, which select the scenes of a folder or an archive.
const RASTERS: &[&str] = &[
    "tif", "tiff", "gtiff", "jp2", "j2k", "jpg", "jpeg", "jxl", "png", "webp", "img", "vrt", "ecw", "sid", "ntf",
    "nitf", "bil", "bip", "bsq", "nc", "nc4", "h5", "he5", "hdf5", "hdf", "grb", "grb2", "grib",
];

/// Extensions of sidecars.
const SIDECARS: &[&str] = &[
    ".aux.xml", ".ovr", ".msk", ".tfw", ".tifw", ".jgw", ".pgw", ".j2w", ".wld", ".qml", ".prj", ".hdr", ".rpb",
    ".imd", ".rrd",
];

/// GDAL's prefixes of remote files.
const REMOTE: &[&str] =
    &["/vsicurl", "/vsis3", "/vsigs", "/vsiaz", "/vsiadls", "/vsioss", "/vsiswift", "/vsiwebhdfs", "/vsihdfs"];

/// Where a raster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A file on a disk.
    Local(PathBuf),
    /// A file inside an archive on a disk, or the archive itself.
    Archived { archive: PathBuf, name: PathBuf },
    /// A name that only GDAL can resolve.
    Virtual(PathBuf),
}

impl Location {
    /// Parses what a user wrote; relative paths start from `base`.
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
        // GDAL's own names of subdatasets: `NETCDF:"a.nc":ndvi`, `GTIFF_DIR:2:a.tif`.
        if inside_file(text).is_some() {
            return Self::Virtual(from_base(text, base).into());
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
                // GDAL expects a nested name after a second slash.
                Some((_, folder)) => format!("{folder}{name}").into(),
                None => name.into(),
            });
        }
        Self::local(base.join(text))
    }

    fn local(path: PathBuf) -> Self {
        // A folder may have the name of an archive: the file system decides.
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

    /// The local file that it needs, if any.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Local(path) | Self::Archived { archive: path, .. } => Some(path),
            Self::Virtual(_) => None,
        }
    }
}

/// Whether a GDAL name is that of a remote file.
pub fn is_remote(name: &Path) -> bool {
    remote_file(name).is_some()
}

/// GDAL's name of the remote file behind a GDAL name: the archive's, the subdataset's, or its own.
pub fn remote_file(name: &Path) -> Option<PathBuf> {
    let text = name.to_string_lossy();
    let starts = |at: usize| match text.get(..at) {
        None => false,
        Some("") => true,
        // Inside an archive's name, or quoted in a subdataset's: `NETCDF:"/vsicurl/…":ndvi`.
        Some(before) => {
            (before.starts_with("/vsi") && before.ends_with(['/', '{']))
                || (inside_file(before).is_some() && before.ends_with(['"', ':', '/', '{']))
        }
    };
    let at =
        REMOTE.iter().flat_map(|folder| text.match_indices(folder)).map(|(at, _)| at).filter(|at| starts(*at)).min()?;
    let rest = text.get(at..)?;
    let closed = |by: char| rest.find(by).unwrap_or(rest.len());
    let end = match text.get(..at).and_then(|before| before.chars().next_back()) {
        None => rest.len(),
        Some('"') => closed('"'),
        Some('{') => closed('}'),
        Some(_) => archive_end(rest).map_or(rest.len(), |(end, _)| end),
    };
    Some(rest.get(..end)?.into())
}

/// The end of the archive's own name in a path, and GDAL's prefix for its kind.
fn archive_end(text: &str) -> Option<(usize, &'static str)> {
    let lower = text.to_ascii_lowercase();
    let path = lower.split(['?', '#']).next().unwrap_or_default();
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    ends.filter(|&end| end > 0).find_map(|end| {
        let (_, folder) = ARCHIVES.iter().find(|(ending, _)| path[..end].ends_with(ending))?;
        Some((end, *folder))
    })
}

/// Whether a file is a raster, by its extension.
pub fn is_raster_name(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    extension.is_some_and(|extension| RASTERS.contains(&extension.as_str()))
}

/// Whether a file is a sidecar of a raster, by its extension.
pub fn is_sidecar(path: &Path) -> bool {
    let name = path.to_string_lossy().to_lowercase();
    SIDECARS.iter().any(|ending| name.ends_with(ending))
}

/// The location of a link in a document, such as a STAC item's asset; relative links start from the document.
/// `document` is GDAL's name of it.
///
/// ```
/// use std::path::Path;
/// use segearth::location::resolve_link;
/// let gdal = |href| resolve_link(Path::new("/vsicurl/https://x.org/a/b.json?key=1/2"), href).gdal_name();
/// assert_eq!(gdal("../c.tif"), Path::new("/vsicurl/https://x.org/c.tif"));
/// assert_eq!(gdal("/c.tif"), Path::new("/vsicurl/https://x.org/c.tif"));
/// assert_eq!(gdal("?page=2"), Path::new("/vsicurl/https://x.org/a/b.json?page=2"));
/// ```
pub fn resolve_link(document: &Path, href: &str) -> Location {
    let (href, name) = (href.trim(), document.to_string_lossy());
    let relative = !href.contains("://") && !href.starts_with("/vsi") && inside_file(href).is_none();
    let address = name.strip_prefix("/vsicurl/").filter(|address| relative && address.contains("://"));
    match address.and_then(|address| joined(address, href)) {
        Some(address) => Location::read(&address, Path::new("")),
        None => Location::read(href, document.parent().unwrap_or(Path::new(""))),
    }
}

/// The vector file and the layer that `FILE[:LAYER]` names. A path that exists as it is written names no layer.
pub fn split_layer(path: &Path) -> (PathBuf, Option<String>) {
    let text = path.to_string_lossy();
    match text.rsplit_once(':') {
        Some((file, layer))
            if !layer.is_empty()
                && !layer.contains('/')
                && !path.exists()
                && (is_remote(Path::new(file)) || Path::new(file).exists()) =>
        {
            (PathBuf::from(file), Some(layer.to_owned()))
        }
        _ => (path.to_owned(), None),
    }
}

/// Refuses a path at which there is nothing; `what` should be there, such as a `job file`.
///
/// # Errors
/// There is no file or folder of this name on this machine. Whether a remote one is there is not asked.
pub fn check_exists(path: &Path, what: &str) -> Result<()> {
    if is_remote(path) || !matches!(path.try_exists(), Ok(false)) {
        return Ok(());
    }
    Err(Error::input(format!("there is no {what} {}", path.display()))
        .with_hint("Check the path; relative paths start from the current folder."))
}

/// A path without `.` and `..`, by its text alone: symbolic links are not resolved.
pub fn normalized(path: &Path) -> PathBuf {
    let mut normalized = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(normalized.components().next_back(), Some(Component::Normal(_))) => {
                normalized.pop();
            }
            Component::ParentDir if normalized.has_root() => {}
            other => normalized.push(other),
        }
    }
    normalized
}

/// Resolves a relative reference against an address, by RFC 3986.
fn joined(address: &str, href: &str) -> Option<String> {
    let path_end = address.find(['?', '#']).unwrap_or(address.len());
    let address = address.get(..path_end)?;
    let (scheme, rest) = address.split_once("://")?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if href.starts_with("//") {
        return Some(format!("{scheme}:{href}"));
    }
    if href.is_empty() || href.starts_with(['?', '#']) {
        return Some(format!("{address}{href}"));
    }
    let (new, tail) = href.split_at(href.find(['?', '#']).unwrap_or(href.len()));
    let folder = if new.starts_with('/') { "" } else { path.rsplit_once('/').map_or("", |(folder, _)| folder) };
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(new.split('/')) {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    let slash = if new.ends_with('/') && !parts.is_empty() { "/" } else { "" };
    Some(format!("{scheme}://{host}/{}{slash}{tail}", parts.join("/")))
}

/// An archive's name without its extension; `None` where it is not an archive.
pub fn archive_stem(name: &str) -> Option<&str> {
    // The longest extension counts: `.tar.gz`, not `.gz`.
    let endings = ARCHIVES.iter().map(|(ending, _)| ending.len()).filter(|&length| length < name.len());
    let ends = endings.filter_map(|length| name.split_at_checked(name.len() - length));
    ends.filter(|(_, end)| ARCHIVES.iter().any(|(ending, _)| ending.eq_ignore_ascii_case(end)))
        .map(|(stem, _)| stem)
        .min_by_key(|stem| stem.len())
}

/// What follows the driver in GDAL's names of subdatasets: `"a.nc":ndvi` of `NETCDF:"a.nc":ndvi`.
pub fn inside_file(text: &str) -> Option<&str> {
    let (driver, rest) = text.split_once(':')?;
    let is_driver =
        driver.len() > 1 && driver.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    // `S3://bucket` is an address.
    (is_driver && !rest.starts_with("//")).then_some(rest)
}

/// The same name with its file resolved against `base`, where it exists there.
fn from_base(text: &str, base: &Path) -> String {
    let there = |piece: &str| !piece.is_empty() && !base.as_os_str().is_empty() && base.join(piece).is_file();
    match text.split([':', '"']).skip(1).find(|piece| there(piece)) {
        Some(file) => text.replacen(file, &base.join(file).to_string_lossy(), 1),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_follows_the_last_colon_of_a_file_that_exists() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rivers.gpkg");
        let named = folder.path().join("rivers.gpkg:lakes");
        assert_eq!(split_layer(&named), (named.clone(), None));
        std::fs::write(&file, "").unwrap();
        assert_eq!(split_layer(&file), (file.clone(), None));
        assert_eq!(split_layer(&named), (file.clone(), Some("lakes".to_owned())));
        std::fs::write(&named, "").unwrap();
        assert_eq!(split_layer(&named), (named, None), "a file of that very name");
        let remote = |text: &str| split_layer(&Path::new("/vsicurl/https://x.org:80").join(text)).1;
        assert_eq!((remote("a.gpkg"), remote("a.gpkg:lakes").as_deref()), (None, Some("lakes")));
    }

    #[test]
    fn locations_become_gdal_names() {
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
            ("HDF5:\"a.h5\"://g/ndvi", "HDF5:\"a.h5\"://g/ndvi"),
            ("zip/a.tif", "base/zip/a.tif"),
        ];
        for (spelled, name) in cases {
            assert_eq!(Location::read(spelled, Path::new("base")).gdal_name(), Path::new(name), "{spelled}");
        }
        let archived = Location::read("s.zip/in/a.tif", Path::new("base"));
        assert_eq!(archived.file(), Some(Path::new("base/s.zip")));
        assert_eq!(Location::read("s3://b/a.tif", Path::new("")).file(), None);
        assert_eq!(
            (archive_stem("s.TAR.gz"), archive_stem("a.zip"), archive_stem("a.tif")),
            (Some("s"), Some("a"), None)
        );
        assert!(is_remote(Path::new("/vsizip//vsicurl/https://x.org/s.zip/a.tif")));
        assert!(!is_remote(Path::new("/vsizip/s.zip/a.tif")) && !is_remote(Path::new("/data/vsis3/a.tif")));
        for (name, file) in [
            ("/vsicurl/https://x.org/a.zip?sig=/vsis3/", "/vsicurl/https://x.org/a.zip?sig=/vsis3/"),
            ("/vsizip//vsicurl/https://x.org/s.zip/in/a.tif", "/vsicurl/https://x.org/s.zip"),
            ("/vsitar//vsis3/b/s.tar/a.tif", "/vsis3/b/s.tar"),
            ("/vsizip/{/vsicurl/https://x.org/s?id=1}/a.tif", "/vsicurl/https://x.org/s?id=1"),
            ("NETCDF:\"/vsicurl/https://x.org/a.nc\":ndvi", "/vsicurl/https://x.org/a.nc"),
            ("GTIFF_DIR:2:/vsis3/b/a.tif", "/vsis3/b/a.tif"),
        ] {
            assert_eq!(remote_file(Path::new(name)), Some(file.into()), "{name}");
        }
    }
}
