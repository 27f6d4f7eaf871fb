//! Stores of embeddings wherever they are: on a disk, in an archive, behind an address or in an object store.

use std::collections::HashSet;
use std::io::Result as IoResult;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::embeddings::{Store, StoreFiles};
use crate::error::{Error, Result};
use crate::location::{Location, is_remote};
use crate::pipeline::without_credentials;
use crate::raster;

/// Why a folder is no store.
const ABSENT: &str = "there is no zarr.json";

/// Files by GDAL's names.
#[derive(Clone, Copy, Debug)]
struct GdalFiles;

impl StoreFiles for GdalFiles {
    fn read(&self, path: &Path, limit: u64) -> IoResult<Option<Vec<u8>>> {
        raster::read_file(path, limit)
    }

    fn list(&self, folder: &Path) -> IoResult<Vec<PathBuf>> {
        raster::list_folder(folder)
    }

    fn tree(&self, folder: &Path) -> Option<HashSet<PathBuf>> {
        raster::list_tree(folder)
    }

    fn are_local(&self) -> bool {
        false
    }

    fn absence(&self, _: &Path) -> &'static str {
        ABSENT
    }
}

/// GDAL's name of a store that is not on a disk; `None`: it is on one, or is to be made there.
fn elsewhere(store: &Path) -> Option<PathBuf> {
    let name = Location::read(store.to_str()?, Path::new("")).gdal_name();
    name.to_str()?.starts_with("/vsi").then_some(name)
}

/// Whether a store can only be read: in an archive, behind an address or in an object store.
pub fn is_read_only(store: &Path) -> bool {
    elsewhere(store).is_some()
}

/// Opens a store to be read.
///
/// # Errors
/// It is none, of another format, damaged, or cannot be reached.
pub fn open(store: &Path) -> Result<Store> {
    let Some(name) = elsewhere(store) else { return Store::open(store) };
    Store::open_in(&name, Arc::new(GdalFiles)).map_err(|error| explain(error, &name))
}

fn explain(error: Error, name: &Path) -> Error {
    let is_unread = error.hint().is_none() || error.to_string().ends_with(ABSENT);
    let hint = match is_remote(name) {
        _ if !is_unread => return error,
        true => {
            "Check the address and the access to it: object stores take credentials from the environment (AWS_ACCESS_KEY_ID, \
             GS_ACCESS_KEY_ID, AZURE_STORAGE_ACCOUNT, …), public ones need AWS_NO_SIGN_REQUEST=YES."
        }
        false => "Name the store's folder in the archive, such as city.zip/city.zarr.",
    };
    error.with_hint(hint)
}

/// Refuses a store that is to be made or completed where nothing can be written.
///
/// # Errors
/// It is not on a disk.
pub fn check_writable(store: &Path) -> Result<()> {
    if !is_read_only(store) {
        return Ok(());
    }
    let shown = without_credentials(&store.to_string_lossy());
    Err(Error::input(format!("{shown} is not a folder on a disk: stores elsewhere can be read, and not be written"))
        .with_hint("Write the store to a local folder and copy it there."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_in_archives_and_behind_addresses_are_read_only() {
        let name = |store: &str| elsewhere(Path::new(store)).map(|name| name.display().to_string());
        assert_eq!(name("s3://bucket/city.zarr").as_deref(), Some("/vsis3/bucket/city.zarr"));
        assert_eq!(name("https://x.org/city.zarr").as_deref(), Some("/vsicurl/https://x.org/city.zarr"));
        assert_eq!(name("a/city.zip/city.zarr").as_deref(), Some("/vsizip/a/city.zip/city.zarr"));
        assert_eq!(name("/vsizip/city.zip").as_deref(), Some("/vsizip/city.zip"));
        assert_eq!((name("city.zarr"), name("/data/city"), name("file:///data/city")), (None, None, None));
        assert!(check_writable(Path::new("s3://bucket/city")).is_err() && check_writable(Path::new("city")).is_ok());
    }
}
