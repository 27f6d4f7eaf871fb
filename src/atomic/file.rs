//! A file that is written under a temporary name and renamed when it is complete.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{check_writable, failed, with_suffix};
use crate::error::{Context, Error, Result};

/// A file under its temporary name `.NAME.part` beside its target. Dropped before [`commit`](Self::commit), it is removed
/// with its sidecars.
pub struct AtomicFile {
    target: PathBuf,
    temporary: PathBuf,
    sidecars: &'static [&'static str],
}

impl AtomicFile {
    /// Checks that the target can be written, and removes what a killed run left under the temporary name.
    pub fn new(target: &Path) -> Result<Self> {
        Self::with_sidecars(target, &[])
    }

    /// As [`new`](Self::new); whoever writes the file may add others, named by these suffixes: `.ovr` is `NAME.ovr`.
    pub fn with_sidecars(target: &Path, sidecars: &'static [&'static str]) -> Result<Self> {
        check_writable(target)?;
        let file = Self { target: target.to_owned(), temporary: temporary_name(target)?, sidecars };
        file.remove();
        Ok(file)
    }

    /// The path to write to.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// A second temporary file of the same target, to be written from this one.
    pub fn next(&self) -> Self {
        let temporary = self.temporary.with_extension("next");
        let next = Self { target: self.target.clone(), temporary, sidecars: self.sidecars };
        next.remove();
        next
    }

    /// Renames the sidecars and then the file: once the file is there, all is. Nothing is synced to the disk.
    pub fn commit(self) -> Result<()> {
        let cannot = || format!("cannot complete {}", self.target.display());
        // Sidecars of a replaced file that this one does not have are left alone: the caller decides about them.
        for suffix in self.sidecars {
            match fs::rename(with_suffix(&self.temporary, suffix), with_suffix(&self.target, suffix)) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                renamed => renamed.input(cannot)?,
            }
        }
        fs::rename(&self.temporary, &self.target).input(cannot)
    }

    /// An error about writing this file; `what` continues "cannot …".
    pub fn failed(&self, what: &str, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        failed(what, &self.target, cause)
    }

    fn remove(&self) {
        for suffix in std::iter::once(&"").chain(self.sidecars) {
            let _ = fs::remove_file(with_suffix(&self.temporary, suffix));
        }
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        self.remove();
    }
}

fn temporary_name(target: &Path) -> Result<PathBuf> {
    let name =
        target.file_name().ok_or_else(|| Error::input(format!("cannot write '{}': no file name", target.display())))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".part");
    Ok(target.with_file_name(hidden))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_removes_the_file_and_commit_renames_its_sidecars_too() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("labels.tif");
        let names = || -> Vec<String> {
            let mut names: Vec<String> = fs::read_dir(folder.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        fs::write(&target, "old").unwrap();
        fs::write(folder.path().join("labels.tif.ovr"), "old").unwrap();
        let partial = AtomicFile::with_sidecars(&target, &[".aux.xml", ".ovr"]).unwrap();
        fs::write(partial.temporary(), "half").unwrap();
        fs::write(with_suffix(partial.temporary(), ".aux.xml"), "half").unwrap();
        drop(partial);
        assert_eq!(names(), ["labels.tif", "labels.tif.ovr"]);
        let partial = AtomicFile::with_sidecars(&target, &[".aux.xml", ".ovr"]).unwrap();
        fs::write(partial.temporary(), "new").unwrap();
        fs::write(with_suffix(partial.temporary(), ".aux.xml"), "new").unwrap();
        partial.commit().unwrap();
        assert_eq!(names(), ["labels.tif", "labels.tif.aux.xml", "labels.tif.ovr"]);
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
    }
}
