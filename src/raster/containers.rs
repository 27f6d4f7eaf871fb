//! Scenes that hold rasters in themselves: archives, and formats such as netCDF and HDF5. One raster is the scene; of several,
//! all are named.

use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

use gdal::{Dataset, Metadata};

use super::{inspect, messages, metadata, open};
use crate::error::{Error, Result};
use crate::location::{archive_stem, is_raster_name, is_sidecar};
use crate::scene::SceneInfo;

/// Rasters that are listed of a container; the rest are counted.
const LISTED: usize = 20;

/// What a raster's header says, as [`inspect`]; of an archive or a container with a single raster, that of this one.
///
/// # Errors
/// As [`inspect`]; a container with several rasters, which are named.
pub(super) fn inspect_scene(path: &Path) -> Result<SceneInfo> {
    let Some(archive) = members(path) else { return inspect_file(path) };
    match archive.as_slice() {
        // What has no known ending is left to GDAL.
        [] => inspect_file(path),
        [only] => {
            let mut info = inspect_file(&path.join(only))?;
            let stem = path.file_name().and_then(|name| archive_stem(name.to_str()?));
            info.access.name = info.access.name.or_else(|| stem.map(str::to_owned));
            info.access.notes.push(format!("{} holds one raster, {}: that is the scene.", typed(path), only.display()));
            Ok(info)
        }
        several => Err(choices(
            path,
            several.len(),
            several.iter().take(LISTED).map(|member| {
                let inside = path.join(member);
                (typed(&inside), header(&inside))
            }),
        )),
    }
}

fn inspect_file(path: &Path) -> Result<SceneInfo> {
    let dataset = open::open_container(path, &[])?;
    let inside = subdatasets(&dataset);
    if dataset.raster_count() > 0 {
        let mut info = metadata::describe(&dataset, path)?;
        if inside.len() > 1 {
            let others = inside.iter().skip(1).take(3).map(|(name, _)| typed_inside(path, name)).collect::<Vec<_>>();
            let more = if inside.len() > 4 { ", …" } else { "" };
            info.access.notes.push(format!(
                "{} holds {} rasters, of which the first is the scene; the others are {}{more}.",
                path.display(),
                inside.len(),
                others.join(", ")
            ));
        }
        return Ok(info);
    }
    match inside.as_slice() {
        [(only, _)] => {
            let mut info = inspect(only)?;
            info.access.name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            info.access.notes.push(format!("{} holds one raster, {only}: that is the scene.", typed(path)));
            Ok(info)
        }
        _ => Err(no_bands(path, &dataset)),
    }
}

/// Why a file without bands is no scene: it is empty, or holds rasters of which one is to be named.
pub(super) fn no_bands(path: &Path, dataset: &Dataset) -> Error {
    let inside = subdatasets(dataset);
    if inside.is_empty() {
        return Error::input(format!("{} holds no bands", path.display()));
    }
    let listed = inside.iter().take(LISTED).map(|(name, what)| (typed_inside(path, name), what.clone()));
    choices(path, inside.len(), listed)
}

fn choices(path: &Path, count: usize, listed: impl Iterator<Item = (String, String)>) -> Error {
    let listed: Vec<(String, String)> = listed.collect();
    let width = listed.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut message = format!("{} holds {count} rasters, and a scene is one of them:", typed(path));
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
        "Name one as it stands here, such as {quotes}{first}{quotes}, or several as a list of scenes."
    ))
}

/// The rasters that lie in an archive, or in a folder of one, by their names' endings; `None` where `path` is none.
fn members(path: &Path) -> Option<Vec<PathBuf>> {
    if !(path.starts_with("/vsizip") || path.starts_with("/vsitar")) || is_raster_name(path) {
        return None;
    }
    let names = messages::attempt(|| gdal::vsi::read_dir(path, true)).ok()?;
    let hidden = |name: &Path| {
        name.components().any(|part| {
            let part = part.as_os_str().to_string_lossy();
            part.starts_with('.') || part == "__MACOSX"
        })
    };
    let mut names: Vec<PathBuf> =
        names.into_iter().filter(|name| is_raster_name(name) && !is_sidecar(name) && !hidden(name)).collect();
    names.sort();
    Some(names)
}

/// Size, bands and pixel type of a raster that may be damaged.
fn header(path: &Path) -> String {
    let Ok(info) = inspect(path) else { return "(cannot be opened)".to_owned() };
    let bands = if info.bands.len() == 1 { "band" } else { "bands" };
    let kind = info.bands.first().map_or("", |band| band.pixel_type.as_str());
    format!("{}, {} {bands} of {kind}", info.size, info.bands.len())
}

/// GDAL's names of the rasters in a container, and what it says of each.
fn subdatasets(dataset: &Dataset) -> Vec<(String, String)> {
    let items = dataset.metadata_domain("SUBDATASETS").unwrap_or_default();
    let value = |key: String| items.iter().find_map(|item| Some(item.strip_prefix(&key)?.to_owned()));
    (1..)
        .map_while(|number| {
            let name = value(format!("SUBDATASET_{number}_NAME="))?;
            Some((name, value(format!("SUBDATASET_{number}_DESC=")).unwrap_or_default()))
        })
        .collect()
}

/// The name by which a job or a flag names a file: of addresses and archives without GDAL's folders. A relative path with
/// folders is given from the root: it may have been written in a job elsewhere.
fn typed(path: &Path) -> String {
    let text = path.to_string_lossy();
    let text = ["/vsizip/", "/vsitar/"].iter().find_map(|folder| text.strip_prefix(folder)).unwrap_or(&text);
    let text = text.strip_prefix("/vsicurl/").unwrap_or(text);
    if text.starts_with("/vsi") || text.contains("://") {
        return if text.starts_with("/vsi") { path.to_string_lossy().into_owned() } else { text.to_owned() };
    }
    from_root(Path::new(text))
}

/// GDAL's name of something in the file `path`, likewise.
fn typed_inside(path: &Path, name: &str) -> String {
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
