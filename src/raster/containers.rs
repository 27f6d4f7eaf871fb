//! Files that contain rasters: archives, and formats such as netCDF and HDF5. A single raster is the scene; several are
//! listed in an error.

use std::path::{Path, PathBuf};

use super::subdatasets::{LISTED, choices, no_bands, subdatasets, typed, typed_inside};
use super::{inspect, messages, metadata, open};
use crate::error::Result;
use crate::location::{archive_stem, is_raster_name, is_sidecar};
use crate::scene::SceneInfo;

/// The header of a raster, as [`inspect`] reads it; for an archive or container with a single raster, the header of
/// that one.
///
/// # Errors
/// As [`inspect`]; a container with several rasters, which are named.
pub(super) fn inspect_scene(path: &Path) -> Result<SceneInfo> {
    let Some(archive) = members(path) else { return inspect_file(path) };
    match archive.as_slice() {
        // Files of unknown extensions are left to GDAL.
        [] => inspect_file(path),
        [only] => {
            let mut info = inspect_file(&path.join(only))?;
            let stem = path.file_name().and_then(|name| archive_stem(name.to_str()?));
            info.access.name = info.access.name.or_else(|| stem.map(str::to_owned));
            info.access.notes.push(format!(
                "{} contains one raster, {}, which is used as the scene.",
                typed(path),
                only.display()
            ));
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
                "{} contains {} rasters; the first is used as the scene, the others are {}{more}.",
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
            info.access.notes.push(format!("{} contains one raster, {only}, which is used as the scene.", typed(path)));
            Ok(info)
        }
        _ => Err(no_bands(path, &dataset)),
    }
}

/// The rasters in an archive, or in a folder of one, by their extensions; `None` where `path` is neither.
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
