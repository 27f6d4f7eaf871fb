//! The staging folder in which an output is written before it is published: hidden, on the same file system.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::folder;
use super::product::Product;
use crate::error::{Context, Error, Result};
use crate::file_lock::FileLock;
use crate::vector::geopackage;

/// An output that is being written. Dropping it removes its folder; the folder of a killed run is cleared by the next one.
#[derive(Debug)]
pub struct Staging {
    pub(super) product: Product,
    folder: PathBuf,
    /// The state of the existing GeoPackage when it was copied.
    pub(super) base: Option<Stamp>,
    // Last field: unlocked after everything else is dropped.
    _lock: FileLock,
}

/// Identifies the state of a file, to detect that it was changed or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

impl Staging {
    /// Creates the folder. An existing GeoPackage is copied into it, without the layers that the product writes.
    ///
    /// # Errors
    /// Another run is writing the same output; the folder cannot be written.
    pub fn begin(product: &Product) -> Result<Self> {
        let mut name = product.target.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let folder = folder::create_hidden(&product.target)?.join(name);
        let lock = claim(&folder, product)?;
        let mut staging = Self { product: product.clone(), folder, base: None, _lock: lock };
        staging.clear()?;
        if !product.layers.is_empty() && geopackage::is_database(&product.target) {
            staging.base = Stamp::of(&product.target);
            geopackage::copy_without(&product.target, &staging.path(), &product.layers)
                .map_err(|error| staging.explain(error))?;
        }
        Ok(staging)
    }

    /// The path to write to. It has the target's file name, because formats derive layer and sidecar names from it.
    pub fn path(&self) -> PathBuf {
        self.folder.join(self.product.target.file_name().unwrap_or_default())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A text in which the paths of this folder are replaced by the final ones.
    pub fn shown(&self, text: &str) -> String {
        let here = format!("{}/", self.folder.display());
        text.replace(&here, &self.product.target.with_file_name("").to_string_lossy())
    }

    /// An error in which the paths of this folder are replaced by the final ones.
    pub fn explain(&self, error: Error) -> Error {
        error.reworded(&|text| self.shown(text))
    }

    fn clear(&self) -> Result<()> {
        let cannot = || format!("cannot clear {}", self.folder.display());
        for entry in fs::read_dir(&self.folder).input(cannot)? {
            let path = entry.input(cannot)?.path();
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.input(cannot)?;
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
        folder::remove_if_empty(&self.product.target);
    }
}

/// Creates the folder and locks it for this process.
fn claim(folder: &Path, product: &Product) -> Result<FileLock> {
    let cannot = || format!("cannot create the folder {}", folder.display());
    // Another run may remove the folder between creating and locking it: then both are repeated.
    for _ in 0..100 {
        folder::create_hidden(&product.target)?;
        match fs::create_dir(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error).input(cannot),
            _ => {}
        }
        let Ok(opened) = File::open(folder) else { continue };
        let inode = opened.metadata().map(|metadata| metadata.ino()).ok();
        let Some(lock) = FileLock::take(opened) else { break };
        if fs::metadata(folder).map(|metadata| metadata.ino()).ok() == inode {
            return Ok(lock);
        }
    }
    Err(Error::input(format!("another run is writing {}", product.target.display()))
        .with_hint("Wait until it has finished, or choose another output."))
}
