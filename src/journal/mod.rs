//! What a run leaves on the disk while it is under way, so that a killed one can go on: what it was run on, how its scene
//! was cut into parts, and the finished rows of each part.
//!
//! ```text
//!  itaipu_labels.tif.unfinished/
//!    journal.yaml                         fingerprint, layers and parts; written once, compared by every later run
//!    rows-0-4096-columns-0-10980.rows     records of finished rows, one after another, each with its checksum
//! ```
//!
//! Rows lie here as plain bytes, whatever the rasters that are made of them: a record that was being written when the
//! machine stopped is told by its checksum and computed again. The parts' files are locked while somebody works on them.

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
/// What this program writes; a journal of another layout is not continued.
const FORMAT: u32 = 2;
const ANEW: &str = "Start anew with --overwrite: what was finished there is computed again.";
/// A journal is a few kilobytes; a thousand classes with many prompts are still far below.
const LONGEST: u64 = 16 << 20;

/// The journal of one scene.
#[derive(Clone, Debug)]
pub struct Journal {
    folder: PathBuf,
    layers: Vec<Layer>,
    shards: usize,
    first: usize,
    parts: Vec<Window>,
    /// The hash of what it was run on.
    fingerprint: String,
    /// This run began it.
    new: bool,
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: u32,
    /// What it was run on.
    run: Fingerprint,
    layers: Vec<Layer>,
    /// Processes that share the job, and which of them, from 0, has the scene's first band.
    shards: usize,
    first: usize,
    /// Column, row, width and height of each part.
    parts: Vec<[usize; 4]>,
}

/// How a scene is to be cut.
#[derive(Clone, Debug)]
pub struct Division {
    /// Processes that share the job, each with a band of rows at most; 1: a single one does all.
    pub shards: usize,
    /// The process, from 0, that has the scene's first band; those after it have the others.
    pub first: usize,
    /// Row by row; those of a band begin in the same row.
    pub parts: Vec<Window>,
}

impl Division {
    /// For a single process.
    pub fn whole(parts: Vec<Window>) -> Self {
        Self { shards: 1, first: 0, parts }
    }
}

impl Journal {
    /// The folder in which a run keeps what belongs to the output `path` until it is complete.
    pub fn folder(path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(".unfinished");
        name.into()
    }

    /// Whether somebody began there and has not finished.
    pub fn is_begun(folder: &Path) -> bool {
        folder.join(NAME).exists()
    }

    /// Begins a journal in `folder`, or takes up the one that is there.
    ///
    /// `scene` is all that the parts together cover. The division's parts are used by a new journal only: one that is there
    /// keeps its own.
    ///
    /// # Errors
    /// The journal there was begun on something else (which of its facts differ is said), is shared by another number of
    /// processes, cannot be read, or has parts that are not the scene's.
    pub fn open(folder: &Path, run: &Fingerprint, layers: &[Layer], scene: Size, division: &Division) -> Result<Self> {
        fs::create_dir_all(folder).input(|| format!("cannot make the folder {}", folder.display()))?;
        let parts = division.parts.iter().map(|part| [part.col, part.row, part.width, part.height]).collect();
        let (shards, first) = (division.shards, division.first);
        let wanted = Written { format: FORMAT, run: run.clone(), layers: layers.to_vec(), shards, first, parts };
        let new = begin(folder, &wanted)?;
        let found = if new { wanted } else { read(folder)? };
        let fail = |message: String| {
            Error::input(message).with_hint(format!(
                "Set it back to go on with what is there, or throw that away and start anew with --overwrite. It lies in {}.",
                folder.display()
            ))
        };
        let differences = found.run.differences(run);
        if !differences.is_empty() {
            let line = |Difference { name, was, is }: &Difference| format!("  {name}: was {was}, is {is}");
            let differences: Vec<String> = differences.iter().map(line).collect();
            let count = if differences.len() == 1 { "something else" } else { "other things" };
            return Err(fail(format!("the unfinished results here were begun on {count}\n{}", differences.join("\n"))));
        }
        if found.format != FORMAT || found.layers != layers {
            return Err(fail("the unfinished results here were begun by another version of segearth".into()));
        }
        if shards > 1 && found.shards != shards {
            return Err(fail(format!(
                "the unfinished results here are shared by {} processes, and this one is of {shards}",
                found.shards
            )));
        }
        let window = |[col, row, width, height]: [usize; 4]| Window { col, row, width, height };
        let parts: Vec<Window> = found.parts.into_iter().map(window).collect();
        let bands = parts.chunk_by(|a, b| a.row == b.row).count();
        let sound =
            parts::cover(&parts, scene) && found.first.checked_add(bands).is_some_and(|end| end <= found.shards);
        if !(new || sound) {
            let journal = folder.join(NAME);
            return Err(
                Error::input(format!("{} is not that of a scene of {scene} pixels", journal.display())).with_hint(ANEW)
            );
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

    /// A fact of what the journal there was begun on.
    pub fn fact(folder: &Path, name: &str) -> Option<String> {
        read(folder).ok()?.run.get(name).map(str::to_owned)
    }

    /// Processes that share the job.
    pub fn shards(&self) -> usize {
        self.shards
    }

    /// The process, from 0, that has the first band.
    pub fn first(&self) -> usize {
        self.first
    }

    /// The parts of the band of the process `index` (from 0): none where it has no band of this scene.
    pub fn band(&self, index: usize) -> Vec<Window> {
        let band = index.checked_sub(self.first);
        let parts = band.and_then(|band| self.parts.chunk_by(|a, b| a.row == b.row).nth(band));
        parts.map(<[Window]>::to_vec).unwrap_or_default()
    }

    /// How the scene is cut; together the parts cover it, none of its pixels twice.
    pub fn parts(&self) -> &[Window] {
        &self.parts
    }

    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The hash of what it was run on: by it a finished result is known.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Whether this run began it.
    pub fn is_new(&self) -> bool {
        self.new
    }

    /// Takes hold of a part, to read it and to add to it. A file that does not exist yet is made.
    ///
    /// # Errors
    /// Somebody else has hold of it.
    pub fn part(&self, part: Window) -> Result<RowFile> {
        RowFile::open(&self.path(part), part, &self.layers)
    }

    fn path(&self, part: Window) -> PathBuf {
        let (rows, cols) = (part.rows(), part.cols());
        self.folder.join(format!("rows-{}-{}-columns-{}-{}.rows", rows.start, rows.end, cols.start, cols.end))
    }

    /// Takes everything away: the results are complete, or nobody wants them.
    pub fn remove(self) -> Result<()> {
        remove(&self.folder)
    }
}

/// Throws away what an earlier run left in the journal's folder. Other files there stay, and with them the folder.
///
/// # Errors
/// Another run is at work there.
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
        rows::hold(File::open(path).input(cannot)?, path)?;
    }
    // The journal last: without it nothing here would be known for what it is.
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

/// Writes the journal, unless there is one: of several runs that begin at once, one does. Gives whether it was this one.
fn begin(folder: &Path, journal: &Written) -> Result<bool> {
    let path = folder.join(NAME);
    let cannot = || format!("cannot begin the journal {}", path.display());
    if path.exists() {
        return Ok(false);
    }
    let text = serde_yaml::to_string(journal).internal(|| "the journal cannot be written as YAML".into())?;
    atomic::create_file(&path, text.as_bytes()).input(cannot)
}

fn read(folder: &Path) -> Result<Written> {
    let path = folder.join(NAME);
    let cannot = || format!("cannot read the journal {}", path.display());
    let mut text = String::new();
    File::open(&path).and_then(|file| file.take(LONGEST).read_to_string(&mut text)).input(cannot)?;
    serde_yaml::from_str(&text).input(cannot).map_err(|error| error.with_hint(ANEW))
}

#[cfg(test)]
mod tests;
