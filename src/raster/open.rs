//! Opens rasters, with an error message for each way in which that fails.

use std::path::Path;

use gdal::{Dataset, DatasetOptions, GdalOpenFlags};

use super::{messages, remote, subdatasets};
use crate::error::{Error, Result};
use crate::location::is_remote;

/// Opens a raster for reading.
pub(super) fn open(path: &Path) -> Result<Dataset> {
    open_with(path, &[])
}

/// Opens a raster for reading with driver options of the form `KEY=value`.
pub(super) fn open_with(path: &Path, open_options: &[&str]) -> Result<Dataset> {
    let dataset = open_container(path, open_options)?;
    if dataset.raster_count() == 0 {
        return Err(subdatasets::no_bands(path, &dataset));
    }
    Ok(dataset)
}

/// Opens a raster, or a file without bands that contains rasters.
pub(super) fn open_container(path: &Path, open_options: &[&str]) -> Result<Dataset> {
    super::init();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let alone = [name.as_ref()];
    let remote = is_remote(path);
    let options = || DatasetOptions {
        open_flags: GdalOpenFlags::GDAL_OF_RASTER
            | GdalOpenFlags::GDAL_OF_READONLY
            | GdalOpenFlags::GDAL_OF_VERBOSE_ERROR,
        open_options: (!open_options.is_empty()).then_some(open_options),
        // Sidecars of a remote file would be requested one by one. An empty list would mean that the siblings are
        // unknown.
        sibling_files: remote.then_some(alone.as_slice()),
        ..DatasetOptions::default()
    };
    remote::with_retries(&[path], || messages::attempt_open(|| Dataset::open_ex(path, options())))
        .map_err(|cause| explain(path, cause))
}

/// GDAL's message for a remote file that it cannot open, with the server's answer.
pub(super) fn open_failure(path: &Path) -> Option<messages::Cause> {
    let flags = GdalOpenFlags::GDAL_OF_RASTER | GdalOpenFlags::GDAL_OF_READONLY | GdalOpenFlags::GDAL_OF_VERBOSE_ERROR;
    messages::attempt(|| Dataset::open_ex(path, DatasetOptions { open_flags: flags, ..DatasetOptions::default() }))
        .err()
}

/// Whether GDAL opens a file as a raster.
pub(super) fn is_raster(path: &Path) -> bool {
    super::init();
    let open_flags = GdalOpenFlags::GDAL_OF_RASTER | GdalOpenFlags::GDAL_OF_READONLY;
    messages::attempt(|| Dataset::open_ex(path, DatasetOptions { open_flags, ..DatasetOptions::default() })).is_ok()
}

/// Whether a path can only be a local file: GDAL also opens other names, such as "/vsizip/…" and "NETCDF:file:variable".
pub(super) fn names_file(path: &Path) -> bool {
    !path.starts_with("/vsi") && !path.to_string_lossy().contains(':')
}

fn explain(path: &Path, cause: messages::Cause) -> Error {
    let shown = path.display();
    if path.is_dir() {
        return Error::input(format!("{shown} is a folder, not a raster")).with_hint(
            "Name the raster file itself; a job takes several: `scene: [a.tif, b.tif]`, or --input folder/*.tif.",
        );
    }
    if names_file(path) && !path.exists() {
        return Error::input(format!("there is no file {shown}"))
            .with_hint("Check the path; relative paths start from the current folder.");
    }
    if names_file(path)
        && let Err(error) = std::fs::File::open(path)
    {
        return Error::input(format!("cannot read {shown}")).with_source(error);
    }
    if is_remote(path) {
        return Error::input(format!("cannot open {shown}"))
            .with_hint(
                "Check the address and the access to it: object stores take credentials from the environment \
                 (AWS_ACCESS_KEY_ID, GS_ACCESS_KEY_ID, AZURE_STORAGE_ACCOUNT, …), public ones need AWS_NO_SIGN_REQUEST=YES.",
            )
            .with_source(cause);
    }
    if let Some(names) = rasters_inside(path) {
        return Error::input(format!("{shown} is an archive, not a raster"))
            .with_hint(format!("Name a raster inside it, such as {names}."))
            .with_source(cause);
    }
    Error::input(format!("cannot open {shown} as a raster"))
        .with_hint("Give a raster in a format that GDAL reads; `gdalinfo FILE` shows what GDAL finds in it.")
        .with_source(cause)
}

/// Names of some files in an archive.
fn rasters_inside(path: &Path) -> Option<String> {
    const SHOWN: usize = 5;
    let text = path.to_string_lossy();
    let archive = text.strip_prefix("/vsizip/").or_else(|| text.strip_prefix("/vsitar/"))?;
    let names = messages::attempt(|| gdal::vsi::read_dir(path, true)).ok()?;
    let names = names.iter().filter(|name| !name.to_string_lossy().ends_with('/'));
    let shown: Vec<String> = names.take(SHOWN).map(|name| format!("{archive}/{}", name.display())).collect();
    (!shown.is_empty()).then(|| shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_no_raster_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let say = |path: &Path| open(path).err().map(|error| (error.to_string(), error.hint().is_some()));
        let missing = folder.path().join("none.tif");
        assert_eq!(say(&missing), Some((format!("there is no file {}", missing.display()), true)));
        let shown = folder.path().display();
        assert_eq!(say(folder.path()), Some((format!("{shown} is a folder, not a raster"), true)));
        let text = folder.path().join("notes.tif");
        std::fs::write(&text, "not a raster at all").unwrap();
        assert_eq!(say(&text), Some((format!("cannot open {} as a raster", text.display()), true)));
        let empty = folder.path().join("empty.tif");
        std::fs::write(&empty, "").unwrap();
        assert!(say(&empty).is_some());
    }
}
