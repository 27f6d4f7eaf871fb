//! The journal: what an unfinished run keeps on disk so that a later run can resume it. It holds the run's fingerprint, the
//! parts into which the scene is divided, and the finished rows of each part.
//!
//! ```text
//!  itaipu_labels.tif.unfinished/
//!    journal.yaml                         fingerprint, layers and parts; written once, checked by every later run
//!    rows-0-4096-columns-0-10980.rows     records of finished rows, one after another, each with its checksum
//! ```
//!
//! Rows are stored as plain bytes, independent of the format of the final rasters. A record that was incomplete when the
//! machine stopped is recognised by its checksum and computed again. A process locks the file of a part while it uses it.

mod fingerprint;
mod parts;
mod record;
mod rows;

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

pub use fingerprint::{Difference, Fingerprint};
pub use record::{Layer, Sample, Strip};
pub use rows::{RowFile, Rows};

use crate::atomic;
use crate::error::{Context, Error, Result};
use crate::geom::{Size, Window};

const NAME: &str = "journal.yaml";
/// Version of the layout; a journal of another version is not resumed.
const FORMAT: u32 = 2;
const RESTART_HINT: &str = "Restart with --overwrite: the finished rows are discarded and computed again.";
/// Bytes that are read of a journal at most. A journal has a few kilobytes, also with a thousand classes and many prompts.
const MAX_BYTES: u64 = 16 << 20;

/// The journal of one scene.
#[derive(Clone, Debug)]
pub struct Journal {
    folder: PathBuf,
    layers: Vec<Layer>,
    shards: usize,
    first: usize,
    parts: Vec<Window>,
    /// The hash of the run's fingerprint.
    fingerprint: String,
    /// Whether this run created it.
    new: bool,
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct JournalFile {
    format: u32,
    run: Fingerprint,
    layers: Vec<Layer>,
    /// Number of shards of the job.
    shards: usize,
    /// Index of the shard, from 0, that computes the first band of the scene.
    first: usize,
    /// Column, row, width and height of each part.
    parts: Vec<[usize; 4]>,
}

impl JournalFile {
    /// Refuses the journal in `folder` if it is of another run than this one.
    fn compare(&self, folder: &Path, run: &Fingerprint, layers: &[Layer]) -> Result<()> {
        let differences = self.run.differences(run);
        if !differences.is_empty() {
            let line = |Difference { name, was, is }: &Difference| format!("  {name}: was {was}, is {is}");
            let differences: Vec<String> = differences.iter().map(line).collect();
            let message = "the unfinished results are of a run with other settings or inputs";
            return Err(other_run(folder, format!("{message}\n{}", differences.join("\n"))));
        }
        if self.format != FORMAT || self.layers != layers {
            let message = "the unfinished results were written by another version of segearth";
            return Err(other_run(folder, message.to_owned()));
        }
        Ok(())
    }
}

fn other_run(folder: &Path, message: String) -> Error {
    Error::input(message).with_hint(format!(
        "Restore the earlier settings to resume, or discard the unfinished results in {} with --overwrite.",
        folder.display()
    ))
}

/// How a scene is divided into parts.
#[derive(Clone, Debug)]
pub struct Division {
    /// Number of shards of the job; each computes at most one band of rows.
    pub shards: usize,
    /// Index of the shard, from 0, that computes the first band; the following shards compute the following bands.
    pub first: usize,
    /// From top to bottom, and from left to right within a band; the parts of a band begin in the same row.
    pub parts: Vec<Window>,
}

impl Division {
    /// The division of a job without shards.
    pub fn whole(parts: Vec<Window>) -> Self {
        Self { shards: 1, first: 0, parts }
    }
}

impl Journal {
    /// The folder of the journal of the output `path`.
    pub fn folder(path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(".unfinished");
        name.into()
    }

    /// Whether the folder holds the journal of an unfinished run.
    pub fn is_begun(folder: &Path) -> bool {
        folder.join(NAME).exists()
    }

    /// Creates the journal in `folder`, or opens the existing one.
    ///
    /// The parts must cover `scene`. Only a new journal takes the parts of `division`; an existing one keeps its own.
    ///
    /// # Errors
    /// The existing journal has another fingerprint (the message lists the differences) or another number of shards, cannot be
    /// read, or its parts do not cover the scene.
    pub fn open(folder: &Path, run: &Fingerprint, layers: &[Layer], scene: Size, division: &Division) -> Result<Self> {
        fs::create_dir_all(folder).input(|| format!("cannot create the folder {}", folder.display()))?;
        let parts = division.parts.iter().map(|part| [part.col, part.row, part.width, part.height]).collect();
        let (shards, first) = (division.shards, division.first);
        let wanted = JournalFile { format: FORMAT, run: run.clone(), layers: layers.to_vec(), shards, first, parts };
        let new = create(folder, &wanted)?;
        let found = if new { wanted } else { read(folder)? };
        found.compare(folder, run, layers)?;
        if shards > 1 && found.shards != shards {
            let message = format!(
                "the unfinished results are divided among {} shards, this process is one of {shards}",
                found.shards
            );
            return Err(other_run(folder, message));
        }
        let window = |[col, row, width, height]: [usize; 4]| Window { col, row, width, height };
        let parts: Vec<Window> = found.parts.into_iter().map(window).collect();
        let bands = parts.chunk_by(|a, b| a.row == b.row).count();
        let sound =
            parts::cover(&parts, scene) && found.first.checked_add(bands).is_some_and(|end| end <= found.shards);
        if !(new || sound) {
            let journal = folder.join(NAME);
            return Err(Error::input(format!("{} does not describe a scene of {scene} pixels", journal.display()))
                .with_hint(RESTART_HINT));
        }
        Ok(Self {
            folder: folder.to_owned(),
            layers: found.layers,
            shards: found.shards,
            first: found.first,
            parts,
            fingerprint: run.hash(),
            new,
        })
    }

    /// Whether a run with this fingerprint and these layers may resume from the journal of `folder`; nothing is written.
    ///
    /// # Errors
    /// Another run's journal, or one that cannot be read, as [`open`](Self::open) would refuse it.
    pub fn check(folder: &Path, run: &Fingerprint, layers: &[Layer]) -> Result<()> {
        read(folder)?.compare(folder, run, layers)
    }

    /// An entry of the fingerprint in the journal of `folder`; `None` without a readable journal.
    pub fn fingerprint_entry(folder: &Path, name: &str) -> Option<String> {
        read(folder).ok()?.run.get(name).map(str::to_owned)
    }

    /// Number of shards of the job.
    pub fn shards(&self) -> usize {
        self.shards
    }

    /// Index of the shard, from 0, that computes the first band.
    pub fn first(&self) -> usize {
        self.first
    }

    /// The parts of the band of the shard `index` (from 0); empty where that shard has no band of this scene.
    pub fn band(&self, index: usize) -> Vec<Window> {
        let band = index.checked_sub(self.first);
        let parts = band.and_then(|band| self.parts.chunk_by(|a, b| a.row == b.row).nth(band));
        parts.map(<[Window]>::to_vec).unwrap_or_default()
    }

    /// The parts of the scene: together they cover it, without overlap.
    pub fn parts(&self) -> &[Window] {
        &self.parts
    }

    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The hash of the run's fingerprint.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Whether this run created it.
    pub fn is_new(&self) -> bool {
        self.new
    }

    /// Opens and locks the file of a part for reading and appending; creates it where it does not exist.
    ///
    /// # Errors
    /// Another process holds the lock.
    pub fn part(&self, part: Window) -> Result<RowFile> {
        RowFile::open(&self.path(part), part, &self.layers)
    }

    fn path(&self, part: Window) -> PathBuf {
        let (rows, cols) = (part.rows(), part.cols());
        self.folder.join(format!("rows-{}-{}-columns-{}-{}.rows", rows.start, rows.end, cols.start, cols.end))
    }

    /// Removes the journal and its folder.
    pub fn remove(self) -> Result<()> {
        remove(&self.folder)
    }
}

/// Removes the journal and the rows in `folder`; other files there stay, and then the folder too.
///
/// # Errors
/// Another run has locked a part.
pub fn remove(folder: &Path) -> Result<()> {
    let cannot = || format!("cannot remove {}", folder.display());
    let mut files = Vec::new();
    match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => {
            for entry in entries.input(cannot)? {
                let path = entry.input(cannot)?.path();
                if path.extension().is_some_and(|extension| extension == "rows" || extension == atomic::PARTIAL) {
                    files.push(path);
                }
            }
        }
    }
    for path in &files {
        rows::lock(File::open(path).input(cannot)?, path)?;
    }
    // The journal last: without it the folder would not be recognised as a journal's.
    files.push(folder.join(NAME));
    for path in files {
        match fs::remove_file(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            removed => removed.input(cannot)?,
        }
    }
    match fs::remove_dir(folder) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => Ok(()),
        removed => removed.input(cannot),
    }
}

/// Creates the journal unless it exists; returns whether this call created it. Of several concurrent calls one does.
fn create(folder: &Path, journal: &JournalFile) -> Result<bool> {
    let path = folder.join(NAME);
    let cannot = || format!("cannot create the journal {}", path.display());
    if path.exists() {
        return Ok(false);
    }
    let text = serde_yaml::to_string(journal).internal(|| "the journal cannot be written as YAML".into())?;
    atomic::create_file(&path, text.as_bytes()).input(cannot)
}

fn read(folder: &Path) -> Result<JournalFile> {
    let path = folder.join(NAME);
    let cannot = || format!("cannot read the journal {}", path.display());
    let mut text = String::new();
    File::open(&path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text)).input(cannot)?;
    serde_yaml::from_str(&text).input(cannot).map_err(|error| error.with_hint(RESTART_HINT))
}

#[cfg(test)]
mod tests;
