//! The record of what runs wrote: `.segearth/NAME.json` in the folder of the output NAME.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::content::Piece;
use super::folder;
use crate::atomic;
use crate::error::{Context, Result};
use crate::journal::Fingerprint;

const FORMAT: u32 = 1;
/// Bytes that are read of a record at most. It has kilobytes; with many thousands of tiles, a few megabytes.
const MAX_BYTES: u64 = 64 << 20;

/// What earlier runs wrote to an output's files.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    format: u32,
    pub writes: Vec<Write>,
}

/// The files that one run wrote.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Write {
    pub run: Fingerprint,
    /// Whether some of the files may not have been renamed yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pending: bool,
    pub pieces: Vec<Piece>,
}

impl Record {
    /// The record of an output; an empty one where none exists or its format is unknown.
    pub fn read(target: &Path) -> Self {
        let mut text = String::new();
        let read = File::open(path(target)).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
        let record = read.ok().and_then(|_| serde_json::from_str::<Self>(&text).ok());
        record.filter(|record| record.format == FORMAT).unwrap_or_default()
    }

    /// The records of outputs beside this one that differ from it in the extension alone, such as `a.shp` beside `a.geojson`.
    pub fn of_same_stem(target: &Path) -> Vec<Self> {
        let Some(stem) = target.file_stem() else { return Vec::new() };
        let same = |name: &Path| {
            name.extension().is_some_and(|it| it == "json")
                && name.file_stem().map(Path::new).and_then(Path::file_stem) == Some(stem)
        };
        let folder = folder::hidden_path(target);
        let names =
            std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| PathBuf::from(entry.file_name()));
        names
            .filter(|name| same(name))
            .filter_map(|name| Some(Self::read(&target.with_file_name(name.file_stem()?))))
            .collect()
    }

    pub fn write(&mut self, target: &Path) -> Result<()> {
        self.format = FORMAT;
        let text = serde_json::to_string(self).internal(|| "a record cannot be written as JSON".into())?;
        folder::create_hidden(target)?;
        atomic::write_file(&path(target), text.as_bytes())
    }

    /// Adds the files that a run is about to write; entries of older files stay, because those files still exist.
    pub fn announce(&mut self, run: Fingerprint, pieces: Vec<Piece>) {
        self.writes.push(Write { run, pending: true, pieces });
    }

    /// Marks the last announced files as renamed, and removes the entries of the files that they replaced.
    pub fn complete(&mut self) {
        let Some(mut last) = self.writes.pop() else { return };
        last.pending = false;
        for write in &mut self.writes {
            write
                .pieces
                .retain(|old| !last.pieces.iter().any(|new| (&new.file, &new.layer) == (&old.file, &old.layer)));
        }
        self.writes.retain(|write| !write.pieces.is_empty());
        self.writes.push(last);
    }
}

fn path(target: &Path) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".json");
    folder::hidden_path(target).join(name)
}
