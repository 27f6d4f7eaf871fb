//! Finished rows as bytes: what a record holds, and how it lies in its file.

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

/// One of the results that every pixel has.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    pub name: String,
    /// Values of a pixel.
    pub planes: usize,
    pub sample: Sample,
}

impl Layer {
    /// Bytes of a pixel.
    pub fn bytes(&self) -> usize {
        self.planes * self.sample.bytes()
    }
}

/// Finished rows of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strip {
    pub rows: usize,
    /// The bytes of each layer, (plane, row, column).
    pub layers: Vec<Vec<u8>>,
}

/// What stands before a record's payload.
pub(super) struct Head {
    pub kind: Kind,
    /// Rows of a strip; 0 for a failed window.
    pub rows: usize,
    /// Bytes of the payload as it lies in the file.
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

/// "SEGR", kind, rows, length, the payload's checksum, and the checksum of these.
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

    /// `None`: the file ends here, or what follows is no head.
    #[expect(clippy::indexing_slicing, reason = "four bytes of the head's, at places written below")]
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

/// `None`: these are not the numbers of a window of any raster.
pub(super) fn failed_window(bytes: &[u8]) -> Option<Window> {
    let mut numbers = bytes.chunks_exact(8).map(|bytes| {
        let bytes = <[u8; 8]>::try_from(bytes).ok()?;
        u32::try_from(u64::from_le_bytes(bytes)).ok().map(|number| number as usize)
    });
    let mut next = || numbers.next().flatten();
    Some(Window { col: next()?, row: next()?, width: next()?, height: next()? })
}
