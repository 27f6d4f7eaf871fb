//! The file of a checkpoint: reads at a position, which never allocate more than the file has.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use segearth_error::{Context, Error, Result};

/// An open file and its length.
#[derive(Debug)]
pub struct ByteSource {
    file: File,
    len: u64,
}

/// A range of bytes inside a [`ByteSource`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub start: u64,
    pub len: u64,
}

impl ByteSource {
    /// Opens a regular file.
    pub fn open(path: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(path)
            .input(|| "cannot open the file".into())
            .map_err(|error| error.with_hint("Check the path."))?;
        if metadata.is_dir() {
            return Err(super::foreign::folder(path));
        }
        if !metadata.is_file() {
            return Err(Error::input("not a regular file").with_hint("Give the file itself."));
        }
        let file = File::open(path).input(|| "cannot open the file".into())?;
        Ok(Self { file, len: metadata.len() })
    }

    /// Returns the length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Returns a range, if it is inside the file.
    pub fn extent(&self, start: u64, len: u64) -> Option<Extent> {
        (start.checked_add(len)? <= self.len).then_some(Extent { start, len })
    }

    /// Reads `len` bytes from `start`.
    ///
    /// # Errors
    /// The range exceeds the file or the memory, or cannot be read.
    pub fn read_vec(&self, start: u64, len: u64) -> Result<Vec<u8>> {
        if self.extent(start, len).is_none() {
            return Err(Error::input(format!(
                "{len} bytes are expected at byte {start}, but the file ends at byte {}",
                self.len
            ))
            .with_hint("The file is truncated or damaged: download it again."));
        }
        let size = usize::try_from(len).input(|| format!("{len} bytes are more than this machine can address"))?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|source| {
            Error::out_of_memory(format!("not enough memory for {len} bytes of weights")).with_source(source)
        })?;
        bytes.resize(size, 0);
        self.file.read_exact_at(&mut bytes, start).input(|| format!("cannot read {len} bytes at byte {start}"))?;
        Ok(bytes)
    }
}
