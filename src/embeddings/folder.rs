//! Files of a store: on a disk, or where another room reads them, such as in an object store.

use std::collections::HashSet;
use std::fmt::Debug;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Result};
use std::path::{Path, PathBuf};

/// Where the files of a store are.
pub trait StoreFiles: Debug + Send + Sync {
    /// The whole of a file; `None`: there is none. A file of more than `limit` bytes is read up to one byte beyond it.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>>;

    /// What a folder holds: names of files and folders.
    ///
    /// # Errors
    /// It cannot be listed.
    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>>;

    /// All files below a folder, with their paths from there; `None`: the storage cannot list them.
    fn tree(&self, folder: &Path) -> Option<HashSet<PathBuf>>;

    /// Whether files are on a disk, where they can be looked for one by one, and written.
    fn are_local(&self) -> bool;

    /// Why there is no store in a folder without metadata.
    fn absence(&self, folder: &Path) -> &'static str;
}

/// Files on a disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalFiles;

impl StoreFiles for LocalFiles {
    fn read(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
        let file = match File::open(path) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            file => file?,
        };
        let length = file.metadata()?.len().min(limit);
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1);
        file.take(limit + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| PathBuf::from(entry.file_name())));
        entries.collect()
    }

    fn tree(&self, _: &Path) -> Option<HashSet<PathBuf>> {
        None
    }

    fn are_local(&self) -> bool {
        true
    }

    fn absence(&self, folder: &Path) -> &'static str {
        match () {
            () if folder.is_dir() => "it has no zarr.json",
            () if folder.exists() => "it is a file, not a folder",
            () => "the folder does not exist",
        }
    }
}
