//! Hidden folders beside outputs, and files that are written in them and moved out when all of them are complete.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{PARTIAL, parent};
use crate::error::{Context, Error, Result};

/// A folder `.NAME.PURPOSE` beside a file, removed with its content when it is dropped. What a killed run left in a folder
/// of this name is removed when the next run makes its own.
pub struct HiddenFolder(TempDir);

impl HiddenFolder {
    pub fn beside(target: &Path, purpose: &str) -> Result<Self> {
        let name = target
            .file_name()
            .ok_or_else(|| Error::input(format!("cannot write '{}': no file name", target.display())))?;
        let parent = parent(target);
        let (prefix, suffix) = (format!(".{}", name.to_string_lossy()), format!(".{purpose}"));
        let cannot = || format!("cannot write into {}", parent.display());
        let stale = parent.join(format!("{prefix}{suffix}"));
        match fs::symlink_metadata(&stale) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&stale).input(cannot)?,
            Ok(_) => fs::remove_file(&stale).input(cannot)?,
            Err(_) => {}
        }
        let folder = tempfile::Builder::new()
            .prefix(&prefix)
            .suffix(&suffix)
            .rand_bytes(0)
            .tempdir_in(parent)
            .input(cannot)
            .map_err(|error| error.with_hint("Create the folder, or choose one in which you may write."))?;
        Ok(Self(folder))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// A file and its sidecars, written in a hidden folder until [`publish`](Self::publish) moves them beside their target.
pub struct StagedFile {
    folder: HiddenFolder,
    target: PathBuf,
}

impl StagedFile {
    pub fn new(target: &Path) -> Result<Self> {
        if target.is_dir() {
            return Err(Error::input(format!("cannot write {}: it is a folder", target.display()))
                .with_hint("Name a file inside it."));
        }
        Ok(Self { folder: HiddenFolder::beside(target, PARTIAL)?, target: target.to_path_buf() })
    }

    /// The path to write to. It has the target's name, so that the names that a format derives from it are right.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join(self.target.file_name().unwrap_or_default())
    }

    /// Moves the sidecars and then the file beside the target. Files of the target's name with the `stale` extensions are
    /// removed first: readers would take them for sidecars of the new file.
    pub fn publish(self, stale: &[&str]) -> Result<()> {
        let parent = parent(&self.target);
        for extension in stale {
            let _ = fs::remove_file(self.target.with_extension(extension));
        }
        let main = self.path();
        let mut files = Vec::new();
        for entry in fs::read_dir(self.folder.path()).internal(|| "cannot list the staging folder".into())? {
            let path = entry.internal(|| "cannot list the staging folder".into())?.path();
            if path != main {
                files.push(path);
            }
        }
        files.sort();
        files.push(main);
        for file in files {
            let name = file.file_name().unwrap_or_default();
            let to = parent.join(name);
            fs::rename(&file, &to).input(|| format!("cannot move the finished file to {}", to.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_staging_folder_is_removed_by_the_next_run() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("roads.shp");
        let first = StagedFile::new(&target).unwrap();
        fs::write(first.path(), "half").unwrap();
        fs::write(first.path().with_extension("dbf"), "half").unwrap();
        // As after a kill, nothing is dropped.
        std::mem::forget(first);
        let next = StagedFile::new(&target).unwrap();
        assert!(!next.path().exists(), "the half file is gone");
        fs::write(next.path(), "whole").unwrap();
        next.publish(&[]).unwrap();
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["roads.shp"]);
    }
}
