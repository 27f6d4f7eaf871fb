//! The file of a part: records of finished rows, added one after another and read again.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::record::{self, HEAD, Head, Kind, Layer, Strip};
use crate::atomic;
use crate::error::{Context, Error, Result};
use crate::file_lock::FileLock;
use crate::geom::Window;

/// What a crash of the whole machine may cost; a kill of the program costs nothing that was written.
const SYNC: Duration = Duration::from_secs(5);
/// Bytes that a byte of LZ4 can stand for.
const LZ4_RATIO: usize = 255;

/// A part's finished rows, held by this run alone.
#[derive(Debug)]
pub struct RowFile {
    file: FileLock,
    path: PathBuf,
    part: Window,
    layers: Vec<Layer>,
    /// Rows that are there, from the part's first on.
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
            file: hold(file, path)?,
            path: path.to_owned(),
            part,
            layers: layers.to_vec(),
            rows: 0,
            failed_windows: Vec::new(),
            end: 0,
            synced: Instant::now(),
        };
        found.look().input(|| format!("cannot read {}", path.display()))?;
        Ok(found)
    }

    /// Counts the whole records, and cuts off what a killed run may have left behind them.
    fn look(&mut self) -> io::Result<()> {
        let limit = self.longest();
        let mut from = BufReader::with_capacity(1 << 20, &*self.file);
        let (mut payload, mut end) = (Vec::new(), 0);
        let (mut rows, mut failed_windows) = (0, Vec::new());
        while let Some(head) = Head::read(&mut from)? {
            if head.length > limit || rows + head.rows > self.part.height || !whole(&mut from, &head, &mut payload)? {
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

    /// Bytes of all rows of the part at once, uncompressed and grown as far as LZ4 may: no record is longer.
    fn longest(&self) -> usize {
        let pixel: usize = self.layers.iter().map(Layer::bytes).sum();
        let bytes = pixel.saturating_mul(self.part.width).saturating_mul(self.part.height);
        // A tenth more than these, which it computes as a hundred and ten hundredths.
        lz4_flex::block::get_maximum_output_size(bytes.min(usize::MAX / 128)).max(64)
    }

    pub fn part(&self) -> Window {
        self.part
    }

    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// How many rows are there, from the part's first on.
    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn is_complete(&self) -> bool {
        self.rows == self.part.height
    }

    /// The windows that could not be computed.
    pub fn failed_windows(&self) -> &[Window] {
        &self.failed_windows
    }

    /// Fails where a window that could not be computed is none of the scene's.
    pub fn check_failed_windows(&self, is_window: impl Fn(&Window) -> bool) -> Result<()> {
        if self.failed_windows.iter().all(is_window) { Ok(()) } else { Err(damaged(&self.path)) }
    }

    /// Adds the rows after those that are there.
    ///
    /// # Errors
    /// They cannot be written, to a full disk perhaps: the file then is as it was.
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

    /// Notes that a window could not be computed: before the rows that lack it.
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
            // Were this to fail too, the next run would cut the half record off.
            let _ = self.file.set_len(self.end);
            return Err(Error::input(format!("cannot keep finished rows in {}", self.path.display()))
                .with_hint("Make space on that disk; the same command then goes on where this one stopped.")
                .with_source(cause));
        }
        self.end += (HEAD + payload.len()) as u64;
        Ok(())
    }

    /// All rows from the first on.
    pub fn read(&mut self) -> Result<Rows<'_>> {
        let rewound = self.file.seek(SeekFrom::Start(0));
        rewound.input(|| format!("cannot read {}", self.path.display()))?;
        Ok(Rows {
            longest: self.longest(),
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
    Error::input(format!("{} is damaged", path.display())).with_hint(super::ANEW)
}

/// Reads a record's payload; `false`: it is not whole.
fn whole(from: &mut impl io::Read, head: &Head, payload: &mut Vec<u8>) -> io::Result<bool> {
    payload.clear();
    from.take(head.length as u64).read_to_end(payload)?;
    Ok(payload.len() == head.length && crc32fast::hash(payload) == head.checksum)
}

/// Takes the file for this run alone.
pub(super) fn hold(file: File, path: &Path) -> Result<FileLock> {
    FileLock::take(file).ok_or_else(|| {
        let folder = atomic::parent(path);
        Error::input(format!("another run is at work on the same results: it holds {}", folder.display()))
            .with_hint("Wait until it has finished, or give this one another output.")
    })
}

/// The rows of a part, in order.
pub struct Rows<'a> {
    from: BufReader<&'a File>,
    path: &'a Path,
    part: Window,
    layers: &'a [Layer],
    longest: usize,
    strip: Strip,
    /// Rows of the strip that are out.
    taken: usize,
}

impl Rows<'_> {
    pub fn part(&self) -> Window {
        self.part
    }

    /// How many rows the next call of [`take`](Self::take) can give; 0 at the end.
    pub fn ready(&mut self) -> Result<usize> {
        while self.taken == self.strip.rows {
            let cannot = || format!("cannot read {}", self.path.display());
            let damaged = || damaged(self.path);
            let Some(head) = Head::read(&mut self.from).input(cannot)? else { return Ok(0) };
            let mut payload = Vec::new();
            if head.length > self.longest || !whole(&mut self.from, &head, &mut payload).input(cannot)? {
                return Err(damaged());
            }
            if head.kind == Kind::FailedWindow {
                continue;
            }
            let bytes = |layer: &Layer| layer.bytes().checked_mul(head.rows)?.checked_mul(self.part.width);
            let sizes: Vec<usize> = self.layers.iter().map(bytes).collect::<Option<_>>().ok_or_else(damaged)?;
            let size = sizes.iter().try_fold(0usize, |sum, &size| sum.checked_add(size)).ok_or_else(damaged)?;
            // Memory for them is taken before they are unpacked.
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

    /// Puts the next `rows` rows of every layer into `into`, (plane, row, column) over rows `width` pixels wide, from the
    /// column `col` on. At most as many rows as are [`ready`](Self::ready).
    #[expect(
        clippy::indexing_slicing,
        reason = "a strip is cut to the size of its rows and layers when it is read; the caller makes room for its rows"
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
