//! Files and folders that get their names only when they are complete.
//!
//! [`write_file`] replaces and [`create_file`] creates a small file. [`AtomicFile`] is for a file that a library writes
//! under a path, [`StagedFile`] for one that comes with others whose names derive from its own, and [`HiddenFolder`] for
//! whatever nobody may see. Each works beside its target, on the same file system, and is removed when it is dropped.

mod file;
mod folder;

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tempfile::NamedTempFile;

pub use file::AtomicFile;
pub use folder::{HiddenFolder, StagedFile};

use crate::error::{Context, Error, Result};

/// Extension of the temporary names that [`write_file`] and [`create_file`] use; a killed run may leave one behind.
pub const PARTIAL: &str = "partial";

/// The folder that a path lies in; `.` for a bare name.
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The path with `suffix` appended to its name: `a.tif` and `.ovr` give `a.tif.ovr`.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Writes a small file under a temporary name and renames it; an existing file is replaced.
pub fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    let write = || temporary(path, content)?.persist(path).map(drop).map_err(|error| error.error);
    write().map_err(|cause| failed("write", path, cause))
}

/// Creates a small file and syncs it to the disk; readers never see half of it. `false`: there is one already, which stays.
pub fn create_file(path: &Path, content: &[u8]) -> std::io::Result<bool> {
    let whole = temporary(path, content)?;
    whole.as_file().sync_all()?;
    match fs::hard_link(whole.path(), path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        // A file system without links: readers may see half of it at this moment.
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied) => {
            File::create_new(path)?.write_all(content).map(|()| true)
        }
        linked => linked.map(|()| true),
    }
}

/// A file of this content beside `path`. Its name is random: machines that share the folder may run processes of the same
/// number.
fn temporary(path: &Path, content: &[u8]) -> std::io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix(".")
        .suffix(&format!(".{PARTIAL}"))
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(parent(path))?;
    file.write_all(content)?;
    Ok(file)
}

/// Less free space than this, in bytes, counts as a full disk.
const NO_SPACE: u64 = 1 << 20;

/// An error about writing a file, with a hint where its disk is full; `what` continues "cannot …".
pub fn failed(what: &str, path: &Path, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let error = Error::input(format!("cannot {what} {}", path.display())).with_source(cause);
    match fs4::available_space(parent(path)) {
        Ok(free) if free < NO_SPACE => error
            .with_hint(format!("The disk of {} is full: free space there or write elsewhere.", parent(path).display())),
        _ => error,
    }
}

/// Most bytes of a file's name: systems allow 255, and temporary names and sidecars are longer than the file's own.
const LONGEST_NAME: usize = 200;

/// Checks that a file of this name can be written, and leaves nothing behind.
///
/// # Errors
/// [`Kind::Input`](crate::error::Kind::Input) where the folder is missing or not writable, the file is read-only, or a
/// folder has the name.
pub fn check_writable(target: &Path) -> Result<()> {
    let shown = target.display();
    if target.starts_with("/vsi") {
        return Err(Error::input(format!("cannot write {shown}: it is not a local path"))
            .with_hint("Write to a local folder, and copy the results to their storage afterwards."));
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
    let folder = parent(target);
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
    // Without a name: several processes may check at once.
    tempfile::tempfile_in(folder).map(drop).map_err(|error| {
        Error::input(format!("cannot write {shown}"))
            .with_hint(format!("Choose a folder in which you may write instead of {}.", folder.display()))
            .with_source(error)
    })
}

/// Renames a file or folder to a name that must be free. `false`: the name is taken, and nothing happened.
pub fn rename_new(from: &Path, to: &Path) -> std::io::Result<bool> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        // A file system that cannot: what appears between the check and the rename is replaced.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match fs::symlink_metadata(to) {
            Ok(_) => Ok(false),
            Err(_) => fs::rename(from, to).map(|()| true),
        },
        Err(error) => Err(error.into()),
    }
}

/// Replaces a folder by another and removes the old one. At any moment one of them has the name, except on file systems
/// that cannot exchange two names at once.
pub fn exchange(new: &Path, target: &Path) -> Result<()> {
    let cannot = || format!("cannot replace {}", target.display());
    match renameat_with(CWD, new, CWD, target, RenameFlags::EXCHANGE) {
        Ok(()) => fs::remove_dir_all(new).input(|| format!("cannot remove {}", new.display())),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            let old = new.with_extension("old");
            fs::rename(target, &old).input(cannot)?;
            fs::rename(new, target).input(cannot)?;
            fs::remove_dir_all(&old).input(|| format!("cannot remove {}", old.display()))
        }
        Err(error) => Err(Error::input(cannot()).with_source(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rename_new_leaves_a_taken_name() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| folder.path().join(name));
        write_file(&a, b"new").unwrap();
        write_file(&b, b"old").unwrap();
        assert!(!rename_new(&a, &b).unwrap());
        assert_eq!(fs::read(&b).unwrap(), b"old");
        assert!(rename_new(&a, &c).unwrap());
        assert_eq!(fs::read(&c).unwrap(), b"new");
        std::os::unix::fs::symlink("nowhere", &a).unwrap();
        assert!(!rename_new(&c, &a).unwrap(), "a link to nothing takes the name too");
    }

    #[test]
    fn create_file_keeps_an_existing_file_and_leaves_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.yaml");
        assert!(create_file(&path, b"first").unwrap());
        assert!(!create_file(&path, b"second").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn exchange_replaces_a_folder_and_removes_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let [new, old] = ["new", "old"].map(|name| folder.path().join(name));
        for path in [&new, &old] {
            fs::create_dir(path).unwrap();
            fs::write(path.join("file"), path.file_name().unwrap().to_str().unwrap()).unwrap();
        }
        exchange(&new, &old).unwrap();
        assert_eq!(fs::read_to_string(old.join("file")).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn check_writable_serves_several_threads_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("labels.tif");
        let ask = || (0..200).try_for_each(|_| check_writable(&target));
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap().unwrap());
        });
    }

    #[test]
    fn check_writable_says_why_not() {
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
