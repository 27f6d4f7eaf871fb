//! The rasters inside a file: what GDAL calls subdatasets, and the error that lists them.

use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

use gdal::{Dataset, Metadata};

use crate::error::Error;
use crate::location::archive_stem;

/// Most rasters of a container that are listed; the rest are counted.
pub(super) const LISTED: usize = 20;

/// The error for a file without bands: it is empty, or contains rasters of which one must be chosen.
pub(super) fn no_bands(path: &Path, dataset: &Dataset) -> Error {
    let inside = subdatasets(dataset);
    if inside.is_empty() {
        return Error::input(format!("{} has no bands", path.display()));
    }
    let listed = inside.iter().take(LISTED).map(|(name, what)| (typed_inside(path, name), what.clone()));
    choices(path, inside.len(), listed)
}

/// An error that lists rasters of which one is to be chosen, each by name and description.
pub(super) fn choices(path: &Path, count: usize, listed: impl Iterator<Item = (String, String)>) -> Error {
    let listed: Vec<(String, String)> = listed.collect();
    let width = listed.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut message = format!("{} contains {count} rasters; choose one of them as the scene:", typed(path));
    for (name, what) in &listed {
        let line = format!("  {name:width$}  {what}");
        let _ = write!(message, "\n{}", line.trim_end());
    }
    if count > listed.len() {
        let _ = write!(message, "\n  … and {} more", count - listed.len());
    }
    let first = listed.first().map_or("", |(name, _)| name.as_str());
    let quotes = if first.contains(['"', ':', ' ']) { "'" } else { "" };
    Error::input(message).with_hint(format!(
        "Give one as written here, such as {quotes}{first}{quotes}, or several as a list of scenes."
    ))
}

/// GDAL's names and descriptions of the rasters in a container.
pub(super) fn subdatasets(dataset: &Dataset) -> Vec<(String, String)> {
    let items = dataset.metadata_domain("SUBDATASETS").unwrap_or_default();
    let value = |key: String| items.iter().find_map(|item| Some(item.strip_prefix(&key)?.to_owned()));
    (1..)
        .map_while(|number| {
            let name = value(format!("SUBDATASET_{number}_NAME="))?;
            Some((name, value(format!("SUBDATASET_{number}_DESC=")).unwrap_or_default()))
        })
        .collect()
}

/// A file's name as a job or flag gives it: addresses and archives without GDAL's prefixes. A relative path with
/// folders becomes absolute: it may come from a job in another folder.
pub(super) fn typed(path: &Path) -> String {
    let text = path.to_string_lossy();
    let text = ["/vsizip/", "/vsitar/"].iter().find_map(|folder| text.strip_prefix(folder)).unwrap_or(&text);
    let text = text.strip_prefix("/vsicurl/").unwrap_or(text);
    if text.starts_with("/vsi") || text.contains("://") {
        return if text.starts_with("/vsi") { path.to_string_lossy().into_owned() } else { text.to_owned() };
    }
    from_root(Path::new(text))
}

/// GDAL's name of a raster in the file `path`, in the same form.
pub(super) fn typed_inside(path: &Path, name: &str) -> String {
    match path.to_str() {
        Some(path) if !path.starts_with("/vsi") && !path.contains(':') => {
            name.replacen(path, &from_root(Path::new(path)), 1)
        }
        _ => name.to_owned(),
    }
}

fn from_root(path: &Path) -> String {
    let parts: Vec<_> = path.components().collect();
    let is_archive = |part: &&Component<'_>| archive_stem(&part.as_os_str().to_string_lossy()).is_some();
    let file = parts.iter().take_while(|part| !is_archive(part)).count().min(parts.len().saturating_sub(1));
    let (above, inside) = parts.split_at(file + 1);
    match above.iter().collect::<PathBuf>().canonicalize() {
        Ok(whole) if file > 0 => whole.join(inside.iter().collect::<PathBuf>()).display().to_string(),
        _ => path.display().to_string(),
    }
}
