//! Zarr 3 arrays of plain numbers with a checksum: metadata and chunks, as far as stores need them.
//!
//! Chunks are not compressed, since float16 features hardly shrink (zstd leaves 93 %; of int8 it leaves 67 %, which is not used yet): their bytes in the file are little-endian numbers in row-major order and
//! a CRC-32C (the codecs `bytes` and `crc32c`). So the length of a file is known before it is read.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use half::f16;
use serde_json::{Map, Value, json};

use super::folder::{LocalFiles, StoreFiles};
use crate::atomic;
use crate::error::{Context, Error, Result};

const METADATA: &str = "zarr.json";
/// Longest metadata that is read, in bytes.
const METADATA_LIMIT: u64 = 16 << 20;
/// Bytes of a chunk's checksum.
const CHECKSUM: usize = 4;

/// A type of numbers.
pub(super) trait Number: Copy {
    /// Zarr's name.
    const NAME: &'static str;
    const BYTES: usize;
    /// The value of what was never written.
    fn fill() -> Value;
    /// Appends the bytes of numbers, little endian.
    fn encode(numbers: &[Self], to: &mut Vec<u8>);
    /// The numbers of bytes whose length is a multiple of [`BYTES`](Self::BYTES).
    fn decode(bytes: &[u8]) -> Vec<Self>;
}

macro_rules! number {
    ($type:ty, $name:literal, $bytes:literal, $fill:expr) => {
        impl Number for $type {
            const NAME: &'static str = $name;
            const BYTES: usize = $bytes;

            fn fill() -> Value {
                $fill
            }

            fn encode(numbers: &[Self], to: &mut Vec<u8>) {
                to.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
            }

            fn decode(bytes: &[u8]) -> Vec<Self> {
                let (numbers, _) = bytes.as_chunks::<$bytes>();
                numbers.iter().map(|bytes| Self::from_le_bytes(*bytes)).collect()
            }
        }
    };
}

number!(f64, "float64", 8, json!("NaN"));
number!(f32, "float32", 4, json!("NaN"));
number!(f16, "float16", 2, json!("NaN"));
number!(i8, "int8", 1, json!(-128));

/// An array, whether it is there or not.
#[derive(Clone, Debug)]
pub(super) struct ZarrArray {
    folder: PathBuf,
    files: Arc<dyn StoreFiles>,
    /// The files of chunks that a storage has listed, once they have been asked for.
    listed: OnceLock<Option<HashSet<PathBuf>>>,
    metadata: Value,
    /// Bytes of a chunk without its checksum.
    bytes: usize,
}

impl ZarrArray {
    /// The array in `folder`: lengths and names of its axes, lengths of a chunk.
    pub fn new<T: Number, const N: usize>(
        folder: PathBuf,
        shape: [usize; N],
        chunk: [usize; N],
        axes: [&str; N],
        attributes: Map<String, Value>,
    ) -> Self {
        let bytes = match T::BYTES {
            1 => json!({ "name": "bytes" }),
            _ => json!({ "name": "bytes", "configuration": { "endian": "little" } }),
        };
        let metadata = json!({
            "zarr_format": 3,
            "node_type": "array",
            "shape": shape.to_vec(),
            "data_type": T::NAME,
            "chunk_grid": { "name": "regular", "configuration": { "chunk_shape": chunk.to_vec() } },
            "chunk_key_encoding": { "name": "default", "configuration": { "separator": "/" } },
            "fill_value": T::fill(),
            "codecs": [bytes, { "name": "crc32c" }],
            "dimension_names": axes.to_vec(),
            "attributes": attributes,
        });
        let bytes = chunk.iter().product::<usize>() * T::BYTES;
        Self { folder, files: Arc::new(LocalFiles), listed: OnceLock::new(), metadata, bytes }
    }

    /// The same array in other files than those of a disk.
    pub fn read_from(self, files: &Arc<dyn StoreFiles>) -> Self {
        Self { files: files.clone(), ..self }
    }

    /// Writes the metadata unless there is some.
    pub fn create(&self) -> Result<()> {
        create_metadata(&self.folder, &self.metadata)
    }

    /// Checks the metadata.
    ///
    /// # Errors
    /// There is none, or it describes another array.
    pub fn check(&self) -> Result<()> {
        match read_metadata(&self.folder, self.files.as_ref())? {
            Some(found) if found == self.metadata => Ok(()),
            _ => Err(damaged(&self.folder.join(METADATA))),
        }
    }

    /// The file of a chunk.
    pub fn path(&self, at: &[usize]) -> PathBuf {
        at.iter().fold(self.folder.join("c"), |path, index| path.join(index.to_string()))
    }

    /// Whether a chunk is there, whole or damaged. Where the storage cannot list its files, each is taken to be there until it is read.
    pub fn has(&self, at: &[usize]) -> bool {
        let path = self.path(at);
        if self.files.are_local() {
            return path.exists();
        }
        let chunks = self.folder.join("c");
        let listed = self.listed.get_or_init(|| self.files.tree(&chunks));
        listed.as_ref().is_none_or(|listed| path.strip_prefix(&chunks).is_ok_and(|path| listed.contains(path)))
    }

    /// Writes a chunk; the file has its name when it is complete.
    ///
    /// # Errors
    /// It cannot be written, or the numbers are not a chunk's.
    pub fn write<T: Number>(&self, at: &[usize], numbers: &[T]) -> Result<()> {
        if numbers.len() * T::BYTES != self.bytes {
            return Err(Error::internal(format!(
                "{} numbers do not fit a chunk of {} bytes",
                numbers.len(),
                self.bytes
            )));
        }
        let mut bytes = Vec::with_capacity(self.bytes + CHECKSUM);
        T::encode(numbers, &mut bytes);
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        let path = self.path(at);
        let folder = atomic::parent(&path);
        std::fs::create_dir_all(folder).map_err(|cause| atomic::failed("make the folder", folder, cause))?;
        atomic::write_file(&path, &bytes)
    }

    /// Reads a chunk.
    ///
    /// # Errors
    /// It is missing or damaged.
    pub fn read<T: Number>(&self, at: &[usize]) -> Result<Vec<T>> {
        self.read_bytes(at).map(|bytes| T::decode(&bytes))
    }

    /// Reads the bytes of a chunk's numbers, little endian.
    ///
    /// # Errors
    /// It is missing or damaged.
    pub fn read_bytes(&self, at: &[usize]) -> Result<Vec<u8>> {
        let path = self.path(at);
        let broken = |what: String| damaged_chunk(&path).with_source(Error::input(what));
        let expected = self.bytes + CHECKSUM;
        let mut bytes =
            self.files.read(&path, expected as u64).input(|| format!("cannot read {}", path.display()))?.ok_or_else(
                || {
                    Error::input(format!("{} is missing", path.display())).with_hint(
                        "The store is not complete: `segearth embed` with the same options computes what is missing.",
                    )
                },
            )?;
        let (numbers, checksum) = match bytes.split_last_chunk::<CHECKSUM>() {
            Some((numbers, checksum)) if numbers.len() == self.bytes => (numbers, checksum),
            _ => return Err(broken(format!("it has {} bytes, not {expected}", bytes.len()))),
        };
        match crc32c::crc32c(numbers) == u32::from_le_bytes(*checksum) {
            true => {
                bytes.truncate(self.bytes);
                Ok(bytes)
            }
            false => Err(broken("its checksum does not match".to_owned())),
        }
    }
}

/// Reads a group's or an array's metadata; `None`: there is none.
pub(super) fn read_metadata(folder: &Path, files: &dyn StoreFiles) -> Result<Option<Value>> {
    let path = folder.join(METADATA);
    let cannot = || format!("cannot read {}", path.display());
    let Some(bytes) = files.read(&path, METADATA_LIMIT).input(cannot)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|cause| damaged(&path).with_source(cause))
}

/// Writes metadata unless there is some.
pub(super) fn create_metadata(folder: &Path, metadata: &Value) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|cause| atomic::failed("make the folder", folder, cause))?;
    let path = folder.join(METADATA);
    if path.exists() {
        return Ok(());
    }
    let text = serde_json::to_vec_pretty(metadata).internal(|| "metadata cannot be written as JSON".into())?;
    atomic::create_file(&path, &text).map(drop).map_err(|cause| atomic::failed("write", &path, cause))
}

/// The metadata of a group with these attributes.
pub(super) fn group(attributes: Value) -> Value {
    json!({ "zarr_format": 3, "node_type": "group", "attributes": attributes })
}

/// The error of metadata that do not describe what a store holds.
pub(super) fn damaged(path: &Path) -> Error {
    Error::input(format!("{} is damaged", path.display()))
        .with_hint("Make the scene again with `segearth embed … --overwrite`, or remove the store and make it again.")
}

/// The error of a chunk that does not hold what was written.
fn damaged_chunk(path: &Path) -> Error {
    Error::input(format!("{} is damaged", path.display()))
        .with_hint("Remove the file: `segearth embed` with the same options computes what is missing.")
}
