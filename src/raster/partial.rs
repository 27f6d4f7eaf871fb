//! Files that appear under their names only when they are complete.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::atomic;
use crate::error::{Context, Error, Result};

/// A file under way, hidden beside its target; removed with what belongs to it unless it is committed.
pub(super) struct AtomicFile {
    target: PathBuf,
    temporary: PathBuf,
}

impl AtomicFile {
    /// Proves that the target can be written and takes the temporary name `.NAME.part` beside it.
    pub(super) fn new(target: &Path) -> Result<Self> {
        check_writable(target)?;
        let partial = Self { target: target.to_owned(), temporary: temporary_name(target)? };
        // What a killed run left behind.
        partial.remove();
        Ok(partial)
    }

    pub(super) fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// A second file under way to the same name, made from this one.
    pub(super) fn next(&self) -> Self {
        let next = Self { target: self.target.clone(), temporary: self.temporary.with_extension("next") };
        next.remove();
        next
    }

    /// Gives the finished file its name, its sidecar first: once the file is there, all is. Whoever gives it the name that
    /// users know brings it to the disk.
    pub(super) fn commit(self) -> Result<()> {
        let here = || format!("cannot complete {}", self.target.display());
        // What lies beside a file that is replaced is not ours to remove: whoever allows the replacement sees to it.
        for suffix in [".aux.xml", ".ovr", ".msk"] {
            match fs::rename(beside(&self.temporary, suffix), beside(&self.target, suffix)) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                renamed => renamed.input(here)?,
            }
        }
        fs::rename(&self.temporary, &self.target).input(here)
    }

    /// An error about writing this file, with what can be done about it.
    pub(super) fn failed(&self, what: &str, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        atomic::failed(what, &self.target, cause)
    }

    fn remove(&self) {
        for suffix in ["", ".aux.xml", ".ovr", ".msk"] {
            let _ = fs::remove_file(beside(&self.temporary, suffix));
        }
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Most bytes of a file's name: systems allow 255, and what is written beside it has a longer one.
const LONGEST_NAME: usize = 200;

/// Makes sure that a file of this name can be made, without leaving anything behind.
///
/// Fails with [`Kind::Input`](crate::error::Kind::Input) where the folder is missing or closed to us, or a folder has the
/// name.
pub fn check_writable(target: &Path) -> Result<()> {
    let shown = target.display();
    if target.starts_with("/vsi") {
        return Err(Error::input(format!("cannot write {shown}"))
            .with_hint("Results are written to local folders; copy them to their storage afterwards."));
    }
    if target.is_dir() {
        return Err(Error::input(format!("cannot write {shown}: it is a folder")).with_hint("Name a file inside it."));
    }
    let bytes = target.file_name().map_or(0, |name| name.len());
    if bytes > LONGEST_NAME {
        return Err(Error::input(format!(
            "cannot write {shown}: its name has {bytes} bytes, at most {LONGEST_NAME} are possible"
        ))
        .with_hint("Choose a shorter name."));
    }
    let folder = atomic::parent(target);
    if !folder.is_dir() {
        return Err(Error::input(format!("cannot write {shown}: there is no folder {}", folder.display()))
            .with_hint("Create the folder first or choose another one."));
    }
    if let Ok(existing) = fs::metadata(target)
        && existing.permissions().readonly()
    {
        return Err(Error::input(format!("cannot write {shown}: the file there is read-only"))
            .with_hint("Choose another name, or make the file writable."));
    }
    // Without a name: several processes may ask at once.
    tempfile::tempfile_in(folder).map(drop).map_err(|error| {
        Error::input(format!("cannot write {shown}"))
            .with_hint(format!("Choose a folder in which you may write instead of {}.", folder.display()))
            .with_source(error)
    })
}

fn temporary_name(target: &Path) -> Result<PathBuf> {
    let name = target
        .file_name()
        .ok_or_else(|| Error::input(format!("cannot write '{}': it names no file", target.display())))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".part");
    Ok(target.with_file_name(hidden))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_file_leaves_nothing_and_a_committed_one_takes_its_sidecar_along() {
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
        let partial = AtomicFile::new(&target).unwrap();
        fs::write(partial.temporary(), "half").unwrap();
        fs::write(beside(partial.temporary(), ".aux.xml"), "half").unwrap();
        drop(partial);
        assert_eq!(names(), ["labels.tif", "labels.tif.ovr"]);
        let partial = AtomicFile::new(&target).unwrap();
        fs::write(partial.temporary(), "new").unwrap();
        fs::write(beside(partial.temporary(), ".aux.xml"), "new").unwrap();
        partial.commit().unwrap();
        assert_eq!(names(), ["labels.tif", "labels.tif.aux.xml", "labels.tif.ovr"]);
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
    }

    #[test]
    fn many_may_ask_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("labels.tif");
        let ask = || (0..200).try_for_each(|_| check_writable(&target));
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap().unwrap());
        });
    }

    #[test]
    fn what_cannot_be_written_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let message = |path: &Path| check_writable(path).unwrap_err().to_string();
        assert!(message(folder.path()).ends_with("it is a folder"));
        assert!(message(&folder.path().join("none/labels.tif")).contains("there is no folder"));
        assert!(message(Path::new("/vsimem/labels.tif")).contains("/vsimem/labels.tif"));
        assert!(check_writable(&folder.path().join("labels.tif")).is_ok());
        let long = |bytes: usize| folder.path().join("x".repeat(bytes));
        assert!(check_writable(&long(200)).is_ok() && message(&long(201)).contains("has 201 bytes, at most 200"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
