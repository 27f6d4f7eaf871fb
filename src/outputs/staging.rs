//! Where an output is made before it gets its name: a hidden folder of its own, on the same file system.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::folder;
use super::product::Product;
use crate::error::{Context, Error, Result};
use crate::file_lock::FileLock;
use crate::vector::geopackage;

/// An output under way. Dropped before it is published, it leaves nothing behind; what a killed run left goes with the next.
#[derive(Debug)]
pub struct Staging {
    pub(super) product: Product,
    folder: PathBuf,
    /// The GeoPackage that layers are added to, as it was copied.
    pub(super) base: Option<Stamp>,
    // Last: given back when all else is gone.
    _held: FileLock,
}

/// By what it is seen that a file was changed or replaced.
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
    /// Makes the folder. A GeoPackage that is there is copied into it, without the layers that the product writes.
    ///
    /// # Errors
    /// Another run is at work on the same output; the folder cannot be written.
    pub fn begin(product: &Product) -> Result<Self> {
        let mut name = product.target.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let folder = folder::hidden(&product.target)?.join(name);
        let held = claim(&folder, product)?;
        let mut staging = Self { product: product.clone(), folder, base: None, _held: held };
        staging.clear()?;
        if !product.layers.is_empty() && geopackage::is_database(&product.target) {
            staging.base = Stamp::of(&product.target);
            geopackage::copy_without(&product.target, &staging.path(), &product.layers)
                .map_err(|error| staging.explain(error))?;
        }
        Ok(staging)
    }

    /// The path to write to: it has the target's name, so that what formats derive from it is right.
    pub fn path(&self) -> PathBuf {
        self.folder.join(self.product.target.file_name().unwrap_or_default())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A text with the paths of this folder as the user knows them.
    pub fn shown(&self, text: &str) -> String {
        let here = format!("{}/", self.folder.display());
        text.replace(&here, &self.product.target.with_file_name("").to_string_lossy())
    }

    /// An error with the paths of this folder as the user knows them.
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
        folder::tidy(&self.product.target);
    }
}

/// Makes the folder and takes it for this run alone.
fn claim(folder: &Path, product: &Product) -> Result<FileLock> {
    let cannot = || format!("cannot make the folder {}", folder.display());
    // Another run may remove the folder between the two steps: then they are taken again.
    for _ in 0..100 {
        folder::hidden(&product.target)?;
        match fs::create_dir(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error).input(cannot),
            _ => {}
        }
        let Ok(opened) = File::open(folder) else { continue };
        let inode = opened.metadata().map(|metadata| metadata.ino()).ok();
        let Some(held) = FileLock::take(opened) else { break };
        if fs::metadata(folder).map(|metadata| metadata.ino()).ok() == inode {
            return Ok(held);
        }
    }
    Err(Error::input(format!("another run is at work on {}", product.target.display()))
        .with_hint("Wait until it has finished, or give this one another output."))
}
