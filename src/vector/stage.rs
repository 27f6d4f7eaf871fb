//! Outputs appear whole or not at all: they are written in a hidden folder beside their target and moved at the end.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::{Context, Error, Result};

/// A hidden folder beside the target; removed with all that is in it unless `publish` moved it out.
pub struct Stage {
    folder: TempDir,
    target: PathBuf,
}

impl Stage {
    pub fn new(target: &Path) -> Result<Self> {
        let name = target
            .file_name()
            .ok_or_else(|| Error::input(format!("{} is no file name to write to", target.display())))?;
        if target.is_dir() {
            return Err(Error::input(format!("{} is a folder, not a file to write", target.display())));
        }
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let folder = tempfile::Builder::new()
            .prefix(&format!(".{}.", name.to_string_lossy()))
            .suffix(".partial")
            .tempdir_in(parent)
            .input(|| format!("cannot write into {}", parent.display()))
            .map_err(|error| error.with_hint("Make the folder, or choose one that you may write to."))?;
        Ok(Self { folder, target: target.to_path_buf() })
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
        let parent = self.target.parent().unwrap_or(Path::new(""));
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

/// Whether `target` could be written, without leaving a trace.
pub fn prove_writable(target: &Path) -> Result<()> {
    super::format::Format::of(target)?;
    Stage::new(target).map(drop)
}
