//! An incomplete download: `FILE.partial` and, beside it, the ETag of its version.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::atomic::with_suffix;
use crate::error::{Context, Error, Result};
use crate::file_lock::FileLock;

pub struct PartialDownload {
    path: PathBuf,
    tag_path: PathBuf,
    file: FileLock,
    len: u64,
}

impl PartialDownload {
    /// Opens or creates the partial file of `target`, and locks it.
    pub fn open(target: &Path) -> Result<Self> {
        let path = with_suffix(target, ".partial");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .input(|| format!("cannot write {}", path.display()))?;
        let mut file = FileLock::take(file).ok_or_else(|| {
            Error::input(format!("{} is being downloaded by another process", target.display()))
                .with_hint("Wait until it is done, then try again: the downloaded file will be used.")
        })?;
        let len = file.seek(SeekFrom::End(0)).input(|| format!("cannot read {}", path.display()))?;
        Ok(Self { tag_path: with_suffix(target, ".partial.tag"), path, file, len })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    /// Returns the strong ETag of the bytes so far, if the server sent one.
    pub fn tag(&self) -> Option<String> {
        let tag = fs::read_to_string(&self.tag_path).ok()?;
        (is_strong(&tag) && tag.len() < 512).then_some(tag)
    }

    /// Discards the bytes so far; the following belong to the version `tag`.
    pub fn restart(&mut self, tag: Option<&str>) -> Result<()> {
        let write = |partial: &mut Self| -> std::io::Result<()> {
            partial.file.set_len(0)?;
            partial.file.rewind()?;
            partial.len = 0;
            match tag.filter(|tag| is_strong(tag)) {
                Some(tag) => fs::write(&partial.tag_path, tag),
                None => match fs::remove_file(&partial.tag_path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                    _ => Ok(()),
                },
            }
        };
        let path = self.path.clone();
        write(self).input(|| format!("cannot write {}", path.display()))
    }

    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|source| {
            let error = Error::input(format!("cannot write {} beyond byte {}", self.path.display(), self.len));
            let error = if source.kind() == std::io::ErrorKind::StorageFull {
                error.with_hint("Free disk space, then try again: the download resumes.")
            } else {
                error
            };
            error.with_source(source)
        })?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Puts the whole file in its place.
    pub fn finish(self, target: &Path) -> Result<()> {
        self.file
            .sync_all()
            .and_then(|()| fs::rename(&self.path, target))
            .input(|| format!("cannot write {}", target.display()))?;
        // A remaining tag only makes a later download start from the beginning.
        let _ = fs::remove_file(&self.tag_path);
        Ok(())
    }

    /// Deletes the partial file.
    pub fn discard(self) {
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(&self.tag_path);
    }
}

/// Weak tags promise the same meaning, not the same bytes.
fn is_strong(tag: &str) -> bool {
    tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"') && !tag.contains(|c: char| c.is_control())
}
