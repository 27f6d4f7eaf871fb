//! Files and folders that have their names only when they are whole.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::error::{Context, Error, Result};

/// The folder that a path lies in.
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a small file; it has its name only when it is whole. One that is there is replaced.
pub fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    let write = || {
        let mut file = tempfile::Builder::new()
            .prefix(".")
            .suffix(".partial")
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(parent(path))?;
        file.write_all(content)?;
        file.persist(path).map(drop).map_err(|error| error.error)
    };
    write().map_err(|cause| failed("write", path, cause))
}

/// Less free space than this counts as a full disk.
const NO_SPACE: u64 = 1 << 20;

/// An error about writing a file, with what can be done about it; `what` continues "cannot …".
pub fn failed(what: &str, path: &Path, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let error = Error::input(format!("cannot {what} {}", path.display())).with_source(cause);
    match fs4::available_space(parent(path)) {
        Ok(free) if free < NO_SPACE => error
            .with_hint(format!("The disk of {} is full: make space there or write elsewhere.", parent(path).display())),
        _ => error,
    }
}

/// Gives a file a name that nobody has. `false`: somebody has it.
pub fn rename_new(from: &Path, to: &Path) -> std::io::Result<bool> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        // A file system that cannot: the instant between looking and renaming stays.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match fs::symlink_metadata(to) {
            Ok(_) => Ok(false),
            Err(_) => fs::rename(from, to).map(|()| true),
        },
        Err(error) => Err(error.into()),
    }
}

/// Puts one folder in the place of another and removes what was there. At any moment one of them has the name, but on file
/// systems that cannot exchange two names at once.
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
    fn a_name_that_is_taken_is_not_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| folder.path().join(name));
        write_file(&a, b"new").unwrap();
        write_file(&b, b"old").unwrap();
        assert!(!rename_new(&a, &b).unwrap());
        assert_eq!(fs::read(&b).unwrap(), b"old");
        assert!(rename_new(&a, &c).unwrap());
        assert_eq!(fs::read(&c).unwrap(), b"new");
        std::os::unix::fs::symlink("nowhere", &a).unwrap();
        assert!(!rename_new(&c, &a).unwrap(), "a link to nothing is something");
    }

    #[test]
    fn a_folder_takes_the_place_of_another() {
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
}
