//! The byte layout of records: finished rows and failed windows.

use std::io::{self, Read};

use crate::geom::Window;

/// The type of a layer's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sample {
    U8,
    /// Two bytes, little endian.
    U16,
    /// Four bytes, little endian.
    F32,
}

impl Sample {
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::F32 => 4,
        }
    }
}

/// One result per pixel, such as labels or scores.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    pub name: String,
    /// Values per pixel.
    pub planes: usize,
    pub sample: Sample,
}

impl Layer {
    /// Bytes per pixel.
    pub fn bytes(&self) -> usize {
        self.planes * self.sample.bytes()
    }
}

/// Consecutive finished rows of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strip {
    pub rows: usize,
    /// The bytes of each layer, ordered (plane, row, column).
    pub layers: Vec<Vec<u8>>,
}

/// The header of a record.
pub(super) struct Head {
    pub kind: Kind,
    /// Rows of a strip; 0 for a failed window.
    pub rows: usize,
    /// Bytes of the payload in the file.
    pub length: usize,
    pub checksum: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Finished rows, compressed with LZ4.
    Rows,
    /// A window that could not be computed: column, row, width and height, eight bytes each, little endian.
    FailedWindow,
}

/// Bytes of a header: "SEGR", kind, rows, length, CRC-32 of the payload, CRC-32 of the header so far.
pub(super) const HEAD: usize = 4 + 4 + 4 + 8 + 4 + 4;
const MAGIC: &[u8; 4] = b"SEGR";

impl Head {
    pub fn bytes(&self) -> [u8; HEAD] {
        let kind: u32 = match self.kind {
            Kind::Rows => 1,
            Kind::FailedWindow => 2,
        };
        let mut bytes = [0; HEAD];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4..8].copy_from_slice(&kind.to_le_bytes());
        bytes[8..12].copy_from_slice(&(self.rows as u32).to_le_bytes());
        bytes[12..20].copy_from_slice(&(self.length as u64).to_le_bytes());
        bytes[20..24].copy_from_slice(&self.checksum.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..24]);
        bytes[24..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a header; `None` at the end of the file, or where no valid header follows.
    #[expect(clippy::indexing_slicing, reason = "four bytes at fixed offsets of the header")]
    pub fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut bytes = [0; HEAD];
        match from.read_exact(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let kind = match number(4) {
            1 => Kind::Rows,
            2 => Kind::FailedWindow,
            _ => return Ok(None),
        };
        if &bytes[..4] != MAGIC || number(24) != crc32fast::hash(&bytes[..24]) {
            return Ok(None);
        }
        let length = u64::from(number(12)) | u64::from(number(16)) << 32;
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        Ok(Some(Self { kind, rows: number(8) as usize, length, checksum: number(20) }))
    }
}

pub(super) fn failed_window_bytes(window: Window) -> Vec<u8> {
    let numbers = [window.col, window.row, window.width, window.height];
    numbers.into_iter().flat_map(|number| (number as u64).to_le_bytes()).collect()
}

/// The window in these bytes; `None` where its numbers exceed any raster's size.
pub(super) fn failed_window(bytes: &[u8]) -> Option<Window> {
    let mut numbers = bytes.chunks_exact(8).map(|bytes| {
        let bytes = <[u8; 8]>::try_from(bytes).ok()?;
        u32::try_from(u64::from_le_bytes(bytes)).ok().map(|number| number as usize)
    });
    let mut next = || numbers.next().flatten();
    Some(Window { col: next()?, row: next()?, width: next()?, height: next()? })
}
