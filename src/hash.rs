//! SHA-256 as lower-case hexadecimal digits, to identify contents.

#![expect(clippy::indexing_slicing, reason = "as many bytes as were read into the buffer")]

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::error::{Context, Result};

/// Of bytes.
pub fn of(bytes: impl AsRef<[u8]>) -> String {
    digits(Sha256::digest(bytes))
}

/// The hash of several texts, each with its length: ["ab", "c"] is not ["a", "bc"].
pub fn of_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    digits(hash.finalize())
}

/// The hash of several pieces, each with its length.
#[derive(Default)]
pub struct Pieces(Sha256);

impl Pieces {
    pub fn add(&mut self, piece: impl AsRef<[u8]>) {
        let piece = piece.as_ref();
        self.0.update((piece.len() as u64).to_le_bytes());
        self.0.update(piece);
    }

    pub fn finish(self) -> String {
        digits(self.0.finalize())
    }
}

/// Of a file.
pub fn of_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).input(|| format!("cannot open {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0u8; 1 << 20];
    loop {
        match file.read(&mut buffer).input(|| format!("cannot read {}", path.display()))? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    Ok(digits(hash.finalize()))
}

fn digits(digest: impl IntoIterator<Item = u8>) -> String {
    digest.into_iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digests of FIPS 180-4's first example and of nothing.
    #[test]
    fn digests_match_the_standard() {
        assert_eq!(of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty");
        std::fs::write(&path, "").unwrap();
        assert_eq!(of_file(&path).unwrap(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_ne!(of_texts(["ab", "c"]), of_texts(["a", "bc"]));
    }
}
