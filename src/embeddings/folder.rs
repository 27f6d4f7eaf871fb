//! Files of a store.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

/// The whole of a file; `None`: there is none. A file of more than `limit` bytes is read up to one byte beyond it.
pub(super) fn read(path: &Path, limit: u64) -> std::io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        file => file?,
    };
    let length = file.metadata()?.len().min(limit);
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1);
    file.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
