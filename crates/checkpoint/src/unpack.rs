//! Unpacks a checkpoint that is published inside a zip archive.

use std::io::{Read, Write};
use std::path::Path;

use flate2::Crc;
use flate2::read::DeflateDecoder;
use segearth_error::{Context, Error, Result};

use super::source::{ByteSource, Extent};
use super::zip::Archive;

/// Bytes that are read and written at once.
const PIECE: usize = 1 << 20;

/// Writes the one PyTorch checkpoint (`*.pt`, `*.pth`) of a zip archive to `out`.
///
/// # Errors
/// The archive is damaged, or does not hold exactly one; it has more than `limit` bytes; `out` cannot be written.
pub fn unpack(archive: &Path, limit: u64, out: &mut dyn Write) -> Result<()> {
    unpack_from(&ByteSource::open(archive)?, limit, out).input(|| format!("cannot unpack {}", archive.display()))
}

fn unpack_from(source: &ByteSource, limit: u64, out: &mut dyn Write) -> Result<()> {
    let archive = Archive::open(source)?;
    let is_checkpoint = |name: &&str| {
        // macOS adds a folder of resource forks, of the same names.
        !name.starts_with("__MACOSX/") && [".pt", ".pth"].iter().any(|ending| name.ends_with(ending))
    };
    let names: Vec<&str> = archive.names().filter(is_checkpoint).collect();
    let [name] = names.as_slice() else {
        return Err(Error::input(format!("the zip archive has {} checkpoints (.pt, .pth), not one", names.len()))
            .with_hint("Unpack it (`unzip`), and import the checkpoint with `segearth model import`."));
    };
    let packed = archive.find_packed(source, name)?;
    let Extent { start, len } = packed.extent;
    let part = Part { source, at: start, end: start + len };
    let mut bytes: Box<dyn Read + '_> = match packed.deflated {
        true => Box::new(DeflateDecoder::new(std::io::BufReader::with_capacity(PIECE, part))),
        false => Box::new(part),
    };
    let (mut piece, mut written, mut crc) = (vec![0u8; PIECE], 0u64, Crc::new());
    loop {
        let count = bytes.read(&mut piece).input(|| format!("the entry {name:?} is damaged"))?;
        let some = piece.get(..count).unwrap_or_default();
        if some.is_empty() {
            break;
        }
        written += count as u64;
        if written > limit.min(packed.size) {
            return Err(Error::input(format!(
                "the entry {name:?} has more than {} bytes, which are allowed",
                limit.min(packed.size)
            )));
        }
        crc.update(some);
        out.write_all(some).input(|| "cannot write".into())?;
    }
    if written != packed.size || crc.sum() != packed.crc {
        return Err(Error::input(format!("the entry {name:?} is damaged: its checksum differs"))
            .with_hint("The file is truncated or damaged: download it again."));
    }
    Ok(())
}

/// A part of a file, read from its start to its end.
struct Part<'a> {
    source: &'a ByteSource,
    at: u64,
    end: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let count = (self.end - self.at).min(to.len() as u64);
        let bytes = self.source.read_vec(self.at, count).map_err(std::io::Error::other)?;
        for (to, byte) in to.iter_mut().zip(&bytes) {
            *to = *byte;
        }
        self.at += count;
        Ok(bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    fn unpacked(archive: &[u8], limit: u64) -> Result<Vec<u8>> {
        let file = testing::file(archive);
        let mut out = Vec::new();
        unpack(file.path(), limit, &mut out).map(|()| out)
    }

    /// An archive of 3,000,000 bytes, deflated, and a text; and the bytes.
    fn deflated() -> (Vec<u8>, Vec<u8>) {
        let content: Vec<u8> = (0..3_000_000u64).map(|i| (i * i / 1000 % 251) as u8).collect();
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&content).unwrap();
        let packed = encoder.finish().unwrap();
        let mut archive = testing::zip(&[("SkyCLIP/many.pt", packed), ("SkyCLIP/readme.txt", b"words".to_vec())]);
        let mut crc = Crc::new();
        crc.update(&content);
        // The local and the central header of the first entry: method, checksum and size.
        let central = archive.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
        for at in [8, central + 10] {
            archive[at] = 8;
            archive[at + 6..at + 10].copy_from_slice(&crc.sum().to_le_bytes());
            archive[at + 14..at + 18].copy_from_slice(&(content.len() as u32).to_le_bytes());
        }
        (archive, content)
    }

    #[test]
    fn stored_and_deflated_checkpoints_are_unpacked() {
        let stored = testing::zip(&[("a/b.pth", b"weights".to_vec()), ("__MACOSX/a/._b.pth", b"fork".to_vec())]);
        assert_eq!(unpacked(&stored, 7).unwrap(), b"weights");
        let (archive, content) = deflated();
        assert!(unpacked(&archive, 3_000_000).unwrap() == content);
    }

    #[test]
    fn what_cannot_be_unpacked_is_explained() {
        let whole = |result: Result<Vec<u8>>| format!("{:#?}", result.unwrap_err());
        let (archive, _) = deflated();
        assert!(whole(unpacked(&archive, 2_999_999)).contains("more than 2999999 bytes"));
        let mut damaged = archive.clone();
        damaged[5000] ^= 1;
        assert!(whole(unpacked(&damaged, 1 << 30)).contains("damaged"));
        assert!(whole(unpacked(&archive[..archive.len() / 2], 1 << 30)).contains("no end record"));
        let several = testing::zip(&[("a.pt", b"1".to_vec()), ("b.pt", b"2".to_vec())]);
        assert!(whole(unpacked(&several, 9)).contains("has 2 checkpoints"));
        assert!(whole(unpacked(&testing::zip(&[("a.txt", b"1".to_vec())]), 9)).contains("has 0 checkpoints"));
    }
}
