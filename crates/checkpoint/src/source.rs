//! The file below a checkpoint: positioned reads that never pass its end, and never allocate more than is there.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use segearth_error::{Context, Error, Result};

#[derive(Debug)]
pub struct ByteSource {
    file: File,
    len: u64,
}

/// A run of bytes of a [`ByteSource`], known to lie inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub start: u64,
    pub len: u64,
}

impl ByteSource {
    pub fn open(path: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(path)
            .input(|| "the file cannot be opened".into())
            .map_err(|error| error.with_hint("Check the path."))?;
        if metadata.is_dir() {
            return Err(super::foreign::folder(path));
        }
        if !metadata.is_file() {
            return Err(Error::input("it is not a regular file").with_hint("Give the file itself."));
        }
        let file = File::open(path).input(|| "the file cannot be opened".into())?;
        Ok(Self { file, len: metadata.len() })
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    /// The extent, if it lies inside the file.
    pub fn extent(&self, start: u64, len: u64) -> Option<Extent> {
        (start.checked_add(len)? <= self.len).then_some(Extent { start, len })
    }

    /// Reads `len` bytes from `start`.
    ///
    /// # Errors
    /// They are not all in the file, do not fit in memory, or cannot be read.
    pub fn read_vec(&self, start: u64, len: u64) -> Result<Vec<u8>> {
        if self.extent(start, len).is_none() {
            return Err(Error::input(format!(
                "{len} bytes are needed at byte {start}, but the file ends at byte {}",
                self.len
            ))
            .with_hint("The file is cut short or damaged: download it again."));
        }
        let size = usize::try_from(len).input(|| format!("{len} bytes are more than this machine can address"))?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|source| {
            Error::out_of_memory(format!("no memory for {len} bytes of weights")).with_source(source)
        })?;
        bytes.resize(size, 0);
        self.file.read_exact_at(&mut bytes, start).input(|| format!("{len} bytes at byte {start} cannot be read"))?;
        Ok(bytes)
    }
}
