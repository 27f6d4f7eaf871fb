//! The zip archives that PyTorch writes: the position of each entry in the file.
//!
//! PyTorch stores its entries uncompressed, so that they can be read in place. Compressed entries of checkpoints are refused, and with
//! them every archive that unpacks to more than its own size; `unpack` alone takes them, with a limit. The crate `zip` reserves memory for as many entries as an archive claims; this
//! reader allocates only what it has read.

use std::collections::BTreeMap;

use segearth_error::{Context, Error, Result};

use super::source::{ByteSource, Extent};

/// Most entries of an archive; a ViT-L CLIP with its optimiser has 1,200.
const MAX_ENTRIES: usize = 200_000;
/// Most bytes of the directory.
const MAX_DIRECTORY: u64 = 64 << 20;

/// Methods of compression.
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

const END: u32 = 0x0605_4b50;
const END_LEN: u64 = 22;
const END64: u32 = 0x0606_4b50;
const END64_LOCATOR: u32 = 0x0706_4b50;
const END64_LOCATOR_LEN: u64 = 20;
const CENTRAL: u32 = 0x0201_4b50;
const LOCAL: u32 = 0x0403_4b50;
const LOCAL_LEN: u64 = 30;

const DAMAGED: &str = "The file is truncated or damaged: download it again.";

/// The directory of an archive.
pub struct Archive {
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    header: u64,
    size: u64,
    packed: u64,
    method: u16,
    encrypted: bool,
    crc: u32,
}

/// The bytes of an entry, and their CRC-32 according to the archive.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    pub extent: Extent,
    pub crc: u32,
}

/// The bytes of an entry that may be compressed.
#[derive(Clone, Copy, Debug)]
pub struct Packed {
    pub extent: Extent,
    /// Bytes of the entry once it is unpacked, as the archive says.
    pub size: u64,
    pub deflated: bool,
    pub crc: u32,
}

impl Archive {
    /// Reads the directory.
    pub fn open(source: &ByteSource) -> Result<Self> {
        let directory = find_directory(source)?;
        let bytes = source.read_vec(directory.start, directory.len)?;
        let mut fields = Fields(&bytes);
        let mut entries = BTreeMap::new();
        while !fields.0.is_empty() {
            let (name, entry) = read_entry(&mut fields).ok_or_else(|| {
                Error::input(format!("entry {} of the zip archive's directory is damaged", entries.len() + 1))
                    .with_hint(DAMAGED)
            })?;
            entries.insert(name, entry);
            if entries.len() > MAX_ENTRIES {
                return Err(Error::input(format!("the zip archive has more than {MAX_ENTRIES} entries")));
            }
        }
        Ok(Self { entries })
    }

    /// Returns the names of all entries, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Returns the position of an entry.
    ///
    /// # Errors
    /// The entry does not exist, is compressed or encrypted, or exceeds the file.
    pub fn find(&self, source: &ByteSource, name: &str) -> Result<Stored> {
        let packed = self.find_packed(source, name)?;
        if packed.deflated || packed.size != packed.extent.len {
            return Err(Error::input(format!("the entry {name:?} of the zip archive is compressed"))
                .with_hint("Save the checkpoint again with torch.save, which stores entries uncompressed."));
        }
        Ok(Stored { extent: packed.extent, crc: packed.crc })
    }

    /// Returns the position of an entry that may be compressed.
    ///
    /// # Errors
    /// The entry does not exist, is encrypted or compressed by another method than deflate, or exceeds the file.
    pub fn find_packed(&self, source: &ByteSource, name: &str) -> Result<Packed> {
        let entry = self
            .entries
            .get(name)
            .ok_or_else(|| Error::input(format!("the zip archive has no entry {name:?}")).with_hint(DAMAGED))?;
        if entry.encrypted || ![STORED, DEFLATED].contains(&entry.method) {
            return Err(Error::input(format!(
                "the entry {name:?} of the zip archive is encrypted or compressed by a method that is not supported"
            ))
            .with_hint("Unpack it with the program that made it."));
        }
        let header = source.read_vec(entry.header, LOCAL_LEN).input(|| format!("cannot find the entry {name:?}"))?;
        let extent = local_data_start(&header, entry.header)
            .and_then(|start| source.extent(start, entry.packed))
            .ok_or_else(|| {
                Error::input(format!("the entry {name:?} claims {} bytes, more than the file has", entry.packed))
                    .with_hint(DAMAGED)
            })?;
        Ok(Packed { extent, size: entry.size, deflated: entry.method == DEFLATED, crc: entry.crc })
    }
}

fn local_data_start(header: &[u8], at: u64) -> Option<u64> {
    let mut fields = Fields(header);
    (fields.u32()? == LOCAL).then_some(())?;
    fields.take(22)?;
    let (name_len, extra_len) = (u64::from(fields.u16()?), u64::from(fields.u16()?));
    at.checked_add(LOCAL_LEN + name_len + extra_len)
}

/// Finds the end record, searching backwards from the end of the file, and the directory that it points to.
#[expect(clippy::indexing_slicing, reason = "a place in the tail, from a range of its length")]
fn find_directory(source: &ByteSource) -> Result<Extent> {
    let cut = || Error::input("the zip archive has no end record").with_hint(DAMAGED);
    let tail_len = source.len().min(END_LEN + u64::from(u16::MAX));
    let tail_start = source.len() - tail_len;
    let tail = source.read_vec(tail_start, tail_len)?;
    let at = (0..tail.len().saturating_sub(END_LEN as usize - 1))
        .rev()
        .find(|&at| tail[at..].starts_with(&END.to_le_bytes()))
        .ok_or_else(cut)?;
    let end_at = tail_start + at as u64;
    let mut end = Fields(&tail[at..]);
    let mut short = || -> Option<(u64, u64)> {
        end.take(12)?;
        let (len, start) = (end.u32()?, end.u32()?);
        Some((start.into(), len.into()))
    };
    let (mut start, mut len) = short().ok_or_else(cut)?;
    if let Some(locator_at) = end_at.checked_sub(END64_LOCATOR_LEN) {
        let locator = source.read_vec(locator_at, END64_LOCATOR_LEN)?;
        let mut fields = Fields(&locator);
        if fields.u32() == Some(END64_LOCATOR) {
            let end64_at = fields.take(4).and_then(|_| fields.u64()).ok_or_else(cut)?;
            let record = source.read_vec(end64_at, 56)?;
            let mut fields = Fields(&record);
            let mut long = || -> Option<(u64, u64)> {
                (fields.u32()? == END64).then_some(())?;
                fields.take(36)?;
                let (len, start) = (fields.u64()?, fields.u64()?);
                Some((start, len))
            };
            (start, len) = long().ok_or_else(cut)?;
        }
    }
    if len > MAX_DIRECTORY {
        return Err(Error::input(format!(
            "the zip archive's directory claims {len} bytes; at most {MAX_DIRECTORY} are allowed"
        )));
    }
    source.extent(start, len).ok_or_else(|| {
        Error::input(format!("the zip archive's directory is at byte {start}, beyond the end of the file"))
            .with_hint(DAMAGED)
    })
}

fn read_entry(fields: &mut Fields<'_>) -> Option<(String, Entry)> {
    (fields.u32()? == CENTRAL).then_some(())?;
    fields.take(4)?;
    let flags = fields.u16()?;
    let method = fields.u16()?;
    fields.take(4)?;
    let crc = fields.u32()?;
    let (packed, size) = (fields.u32()?, fields.u32()?);
    let (name_len, extra_len, comment_len) = (fields.u16()?, fields.u16()?, fields.u16()?);
    fields.take(8)?;
    let header = fields.u32()?;
    let name = String::from_utf8_lossy(fields.take(name_len.into())?).into_owned();
    let mut extra = Fields(fields.take(extra_len.into())?);
    fields.take(comment_len.into())?;
    let mut entry = Entry {
        header: header.into(),
        size: size.into(),
        packed: packed.into(),
        method,
        encrypted: flags & 1 != 0,
        crc,
    };
    // Zip64: each field that is full in the short record follows in this order.
    while let (Some(id), Some(len)) = (extra.u16(), extra.u16()) {
        let mut body = Fields(extra.take(len.into())?);
        if id == 1 {
            for (short, long) in [(size, &mut entry.size), (packed, &mut entry.packed), (header, &mut entry.header)] {
                if short == u32::MAX {
                    *long = body.u64()?;
                }
            }
        }
    }
    Some((name, entry))
}

/// Little-endian fields, taken from the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    /// Archives past 4 GiB keep their sizes in records of their own; a small one may do so as well.
    #[test]
    fn long_sizes_are_found_in_their_own_records() {
        let data = b"the numbers".to_vec();
        let short = testing::zip(&[("a/0", b"before".to_vec()), ("a/1", data.clone())]);
        let at = |magic: u32| short.windows(4).rposition(|window| window == magic.to_le_bytes()).unwrap();
        let (local, central, end) = (at(LOCAL), at(CENTRAL), at(END));
        let mut entry = short[central..end].to_vec();
        entry[20..28].fill(0xff);
        entry[42..46].fill(0xff);
        entry[30..32].copy_from_slice(&28u16.to_le_bytes());
        entry.extend([1, 0, 24, 0]);
        for value in [data.len(), data.len(), local] {
            entry.extend((value as u64).to_le_bytes());
        }
        let mut long = short[..central].to_vec();
        let (start, len) = (central as u64, entry.len() as u64);
        long.extend(&entry);
        let end64 = long.len() as u64;
        long.extend(END64.to_le_bytes());
        long.extend([0; 36]);
        long.extend(len.to_le_bytes());
        long.extend(start.to_le_bytes());
        long.extend(END64_LOCATOR.to_le_bytes());
        long.extend([0; 4]);
        long.extend(end64.to_le_bytes());
        long.extend([1, 0, 0, 0]);
        long.extend(END.to_le_bytes());
        long.extend([0xff; 16]);
        long.extend([0, 0]);

        let file = testing::file(&long);
        let source = ByteSource::open(file.path()).unwrap();
        let archive = Archive::open(&source).unwrap();
        let extent = archive.find(&source, "a/1").unwrap().extent;
        assert_eq!(source.read_vec(extent.start, extent.len).unwrap(), data);
    }

    #[test]
    fn sizes_beyond_the_file_are_refused() {
        let bytes = testing::zip(&[("a", b"12345678".to_vec())]);
        let central = bytes.windows(4).position(|window| window == CENTRAL.to_le_bytes()).unwrap();
        for (field, value, expected) in [
            (20, 0x7fff_ffffu32, "claims 2147483647 bytes"),
            (42, 0x7fff_ffff, "cannot find the entry"),
            (42, 8, "claims"),
        ] {
            let mut bytes = bytes.clone();
            for field in if field == 20 { vec![20, 24] } else { vec![field] } {
                bytes[central + field..central + field + 4].copy_from_slice(&value.to_le_bytes());
            }
            let file = testing::file(&bytes);
            let source = ByteSource::open(file.path()).unwrap();
            let error = Archive::open(&source).unwrap().find(&source, "a").unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
