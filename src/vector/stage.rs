//! Outputs appear whole or not at all: they are written in a hidden folder beside their target and moved at the end.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::atomic::parent;
use crate::error::{Context, Error, Result};

/// A hidden folder `.NAME.PURPOSE` beside a file; removed with all that is in it when it is dropped. What a killed run left
/// in one of this name goes when the next run makes its own.
pub struct Hidden(TempDir);

impl Hidden {
    pub fn beside(target: &Path, purpose: &str) -> Result<Self> {
        let name = target
            .file_name()
            .ok_or_else(|| Error::input(format!("{} is no file name to write to", target.display())))?;
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
            .map_err(|error| error.with_hint("Make the folder, or choose one that you may write to."))?;
        Ok(Self(folder))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Where a file and its sidecars are made before `publish` moves them to their places.
pub struct Stage {
    folder: Hidden,
    target: PathBuf,
}

impl Stage {
    pub fn new(target: &Path) -> Result<Self> {
        if target.is_dir() {
            return Err(Error::input(format!("{} is a folder, not a file to write", target.display())));
        }
        Ok(Self { folder: Hidden::beside(target, "partial")?, target: target.to_path_buf() })
    }

    /// The path to write to: the target's name, so that whatever a format derives from it is right.
    pub fn path(&self) -> PathBuf {
        match self.target.file_name() {
            Some(name) => self.folder.path().join(name),
            None => self.folder.path().join("output"),
        }
    }

    /// Moves everything beside the target: sidecars first, the target itself last.
    pub fn publish(self, stale: &[&str]) -> Result<()> {
        let parent = parent(&self.target);
        for extension in stale {
            // What an older file of that name left behind would be taken for a part of this one.
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
    fn what_a_killed_run_left_goes_with_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("roads.shp");
        let first = Stage::new(&target).unwrap();
        fs::write(first.path(), "half").unwrap();
        fs::write(first.path().with_extension("dbf"), "half").unwrap();
        // A kill drops nothing.
        std::mem::forget(first);
        let next = Stage::new(&target).unwrap();
        assert!(!next.path().exists(), "the half file is gone");
        fs::write(next.path(), "whole").unwrap();
        next.publish(&[]).unwrap();
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["roads.shp"]);
    }
}
