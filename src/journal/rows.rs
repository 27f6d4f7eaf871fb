//! The file of a part: records of finished rows, appended in order and read back.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::record::{self, HEAD, Head, Kind, Layer, Strip};
use crate::atomic;
use crate::error::{Context, Error, Result};
use crate::file_lock::FileLock;
use crate::geom::Window;

/// Work that a crash of the whole machine may lose. A killed process loses nothing that was written.
const SYNC: Duration = Duration::from_secs(5);
/// Highest compression ratio of LZ4.
const LZ4_RATIO: usize = 255;

/// The file of a part, locked by this process.
#[derive(Debug)]
pub struct RowFile {
    file: FileLock,
    path: PathBuf,
    part: Window,
    layers: Vec<Layer>,
    /// Finished rows, counted from the part's first row.
    rows: usize,
    failed_windows: Vec<Window>,
    /// Bytes up to the end of the last whole record.
    end: u64,
    synced: Instant,
}

impl RowFile {
    pub(super) fn open(path: &Path, part: Window, layers: &[Layer]) -> Result<Self> {
        let cannot = || format!("cannot open {}", path.display());
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path).input(cannot)?;
        let mut found = Self {
            file: lock(file, path)?,
            path: path.to_owned(),
            part,
            layers: layers.to_vec(),
            rows: 0,
            failed_windows: Vec::new(),
            end: 0,
            synced: Instant::now(),
        };
        found.scan().input(|| format!("cannot read {}", path.display()))?;
        Ok(found)
    }

    /// Counts the complete records and truncates the file after the last of them.
    fn scan(&mut self) -> io::Result<()> {
        let limit = self.max_payload();
        let mut from = BufReader::with_capacity(1 << 20, &*self.file);
        let (mut payload, mut end) = (Vec::new(), 0);
        let (mut rows, mut failed_windows) = (0, Vec::new());
        while let Some(head) = Head::read(&mut from)? {
            if head.length > limit
                || rows + head.rows > self.part.height
                || !read_payload(&mut from, &head, &mut payload)?
            {
                break;
            }
            match head.kind {
                Kind::Rows => rows += head.rows,
                Kind::FailedWindow => match record::failed_window(&payload) {
                    Some(window) => failed_windows.push(window),
                    None => break,
                },
            }
            end += (HEAD + head.length) as u64;
        }
        (self.rows, self.failed_windows, self.end) = (rows, failed_windows, end);
        if self.file.metadata()?.len() > end {
            self.file.set_len(end)?;
        }
        Ok(())
    }

    /// Upper bound of a record's payload in bytes: all rows of the part in one record, incompressible.
    fn max_payload(&self) -> usize {
        let pixel: usize = self.layers.iter().map(Layer::bytes).sum();
        let bytes = pixel.saturating_mul(self.part.width).saturating_mul(self.part.height);
        // lz4_flex computes 110 / 100 of the size: limit the argument so that this does not overflow.
        lz4_flex::block::get_maximum_output_size(bytes.min(usize::MAX / 128)).max(64)
    }

    pub fn part(&self) -> Window {
        self.part
    }

    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Number of finished rows, counted from the part's first row.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The rows that are not finished.
    pub fn rest(&self) -> Window {
        Window { row: self.part.row + self.rows, height: self.part.height - self.rows, ..self.part }
    }

    pub fn is_complete(&self) -> bool {
        self.rows == self.part.height
    }

    /// The windows that could not be computed.
    pub fn failed_windows(&self) -> &[Window] {
        &self.failed_windows
    }

    /// Checks that every failed window is one of the scene's windows.
    pub fn check_failed_windows(&self, is_window: impl Fn(&Window) -> bool) -> Result<()> {
        if self.failed_windows.iter().all(is_window) { Ok(()) } else { Err(damaged(&self.path)) }
    }

    /// Appends the next rows.
    ///
    /// # Errors
    /// They cannot be written, for example because the disk is full. The file is then unchanged.
    pub fn append(&mut self, strip: &Strip) -> Result<()> {
        let pixels = strip.rows * self.part.width;
        let fits = strip.layers.iter().map(Vec::len).eq(self.layers.iter().map(|layer| layer.bytes() * pixels));
        if !fits || self.rows + strip.rows > self.part.height {
            return Err(Error::internal(format!("{} rows do not fit the part {}", strip.rows, self.part)));
        }
        self.write(Kind::Rows, strip.rows, &lz4_flex::compress(&strip.layers.concat()))?;
        self.rows += strip.rows;
        Ok(())
    }

    /// Records that a window could not be computed; call it before the rows that lack that window are appended.
    pub fn append_failed_window(&mut self, window: Window) -> Result<()> {
        self.write(Kind::FailedWindow, 0, &record::failed_window_bytes(window))?;
        self.failed_windows.push(window);
        Ok(())
    }

    fn write(&mut self, kind: Kind, rows: usize, payload: &[u8]) -> Result<()> {
        let head = Head { kind, rows, length: payload.len(), checksum: crc32fast::hash(payload) };
        let at_end = self.file.seek(SeekFrom::Start(self.end));
        let written =
            at_end.and_then(|_| self.file.write_all(&head.bytes())).and_then(|()| self.file.write_all(payload));
        let written = written.and_then(|()| match self.synced.elapsed() < SYNC {
            true => Ok(()),
            false => {
                self.synced = Instant::now();
                self.file.sync_data()
            }
        });
        if let Err(cause) = written {
            // If this fails too, the next run truncates the partial record.
            let _ = self.file.set_len(self.end);
            return Err(Error::input(format!("cannot write finished rows to {}", self.path.display()))
                .with_hint("Free space on that disk; the same command then resumes.")
                .with_source(cause));
        }
        self.end += (HEAD + payload.len()) as u64;
        Ok(())
    }

    /// A reader of all rows, from the first on.
    pub fn read(&mut self) -> Result<Rows<'_>> {
        let rewound = self.file.seek(SeekFrom::Start(0));
        rewound.input(|| format!("cannot read {}", self.path.display()))?;
        Ok(Rows {
            max_payload: self.max_payload(),
            from: BufReader::with_capacity(1 << 20, &*self.file),
            path: &self.path,
            part: self.part,
            layers: &self.layers,
            strip: Strip { rows: 0, layers: Vec::new() },
            taken: 0,
        })
    }
}

fn damaged(path: &Path) -> Error {
    Error::input(format!("{} is damaged", path.display())).with_hint(super::RESTART_HINT)
}

/// Reads the payload of a record; returns whether it is complete and undamaged.
fn read_payload(from: &mut impl io::Read, head: &Head, payload: &mut Vec<u8>) -> io::Result<bool> {
    payload.clear();
    from.take(head.length as u64).read_to_end(payload)?;
    Ok(payload.len() == head.length && crc32fast::hash(payload) == head.checksum)
}

/// Locks the file for this process.
pub(super) fn lock(file: File, path: &Path) -> Result<FileLock> {
    FileLock::take(file).ok_or_else(|| {
        let folder = atomic::parent(path);
        Error::input(format!("another run is writing the same results: it has locked {}", folder.display()))
            .with_hint("Wait until it has finished, or choose another output.")
    })
}

/// The rows of a part, in order.
pub struct Rows<'a> {
    from: BufReader<&'a File>,
    path: &'a Path,
    part: Window,
    layers: &'a [Layer],
    max_payload: usize,
    strip: Strip,
    /// Rows of the strip that were already taken.
    taken: usize,
}

impl Rows<'_> {
    pub fn part(&self) -> Window {
        self.part
    }

    /// Number of rows that the next call of [`take`](Self::take) can return; 0 at the end.
    pub fn available(&mut self) -> Result<usize> {
        while self.taken == self.strip.rows {
            let cannot = || format!("cannot read {}", self.path.display());
            let damaged = || damaged(self.path);
            let Some(head) = Head::read(&mut self.from).input(cannot)? else { return Ok(0) };
            let mut payload = Vec::new();
            if head.length > self.max_payload || !read_payload(&mut self.from, &head, &mut payload).input(cannot)? {
                return Err(damaged());
            }
            if head.kind == Kind::FailedWindow {
                continue;
            }
            let bytes = |layer: &Layer| layer.bytes().checked_mul(head.rows)?.checked_mul(self.part.width);
            let sizes: Vec<usize> = self.layers.iter().map(bytes).collect::<Option<_>>().ok_or_else(damaged)?;
            let size = sizes.iter().try_fold(0usize, |sum, &size| sum.checked_add(size)).ok_or_else(damaged)?;
            // Checked before the memory is allocated: a damaged size must not exhaust it.
            if size / LZ4_RATIO > payload.len() {
                return Err(damaged());
            }
            let all = lz4_flex::decompress(&payload, size).map_err(|_| damaged())?;
            let mut rest = all.as_slice();
            let mut layers = Vec::with_capacity(sizes.len());
            for size in sizes {
                let (layer, after) = rest.split_at_checked(size).ok_or_else(damaged)?;
                layers.push(layer.to_vec());
                rest = after;
            }
            (self.strip, self.taken) = (Strip { rows: head.rows, layers }, 0);
        }
        Ok(self.strip.rows - self.taken)
    }

    /// Copies the next `rows` rows of every layer into `into`, ordered (plane, row, column) with rows of `width` pixels,
    /// starting at column `col`. `rows` is at most [`available`](Self::available).
    #[expect(
        clippy::indexing_slicing,
        reason = "a strip is split by the sizes of its layers when it is read; the caller allocates the rows"
    )]
    pub fn take(&mut self, rows: usize, into: &mut [Vec<u8>], width: usize, col: usize) {
        for ((layer, from), into) in self.layers.iter().zip(&self.strip.layers).zip(into) {
            let bytes = layer.sample.bytes();
            let line = self.part.width * bytes;
            for plane in 0..layer.planes {
                for row in 0..rows {
                    let from = &from[(plane * self.strip.rows + self.taken + row) * line..][..line];
                    into[((plane * rows + row) * width + col) * bytes..][..line].copy_from_slice(from);
                }
            }
        }
        self.taken += rows;
    }
}
