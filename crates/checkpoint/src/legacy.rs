//! Files of `torch.save` before PyTorch 1.6: five pickles in sequence (magic number, version, machine, object, keys of the
//! storages), then for each key the count as int64 and the numbers.

use std::collections::HashMap;

use segearth_error::{Context, Error, Result};

use super::pickle::{self, Value};
use super::source::{ByteSource, Extent};
use super::storage::Loader;
use super::torch::{MAX_PICKLE, entries};
use super::{Checkpoint, Layout};

/// A pickle of the number 0x1950a86a20f9469cfc6c.
pub const MAGIC: [u8; 15] = [0x80, 2, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];

const VERSION: i64 = 1001;

/// Reads a file.
pub fn read(source: &ByteSource) -> Result<Checkpoint> {
    let head = source.read_vec(0, source.len().min(MAX_PICKLE))?;
    let mut at = MAGIC.len();
    let mut next = |what: &str| {
        let parsed = pickle::parse(head.get(at..).unwrap_or_default()).input(|| format!("cannot read {what}"))?;
        at += parsed.len;
        Ok::<_, Error>(parsed)
    };
    let version = next("the version")?;
    if *version.get(version.root) != Value::Int(VERSION) {
        return Err(Error::input(format!("the format is not version {VERSION}"))
            .with_hint("Save it again with a current PyTorch."));
    }
    let machine = next("the description of the machine")?;
    if let Value::Dict(pairs) = machine.get(machine.root)
        && let Some(little) = machine.entry(pairs, "little_endian")
        && *machine.get(little) != Value::Bool(true)
    {
        return Err(Error::input("the file was saved on a big-endian machine")
            .with_hint("Save it again on a little-endian machine."));
    }
    let object = next("the state dict")?;
    let keys = next("the list of storages")?;
    let Value::List(keys_in_order) = keys.get(keys.root) else {
        return Err(Error::input("the list of storages is not a list"));
    };

    // The sizes in the data section depend on the type of each storage, which only the pickle of the state dict has.
    let sizes: HashMap<&str, u64> = object
        .values
        .iter()
        .filter_map(|value| match value {
            Value::Storage(storage) => Some((storage.key, storage.dtype.map_or(1, |dtype| dtype.size() as u64))),
            _ => None,
        })
        .collect();
    let mut extents = HashMap::new();
    let mut start = at as u64;
    for &key in keys_in_order {
        let key = keys.str(key).ok_or_else(|| Error::input("the key of a storage is not text"))?;
        let Some(size) = sizes.get(key) else {
            return Err(Error::input(format!("the type of the storage {key:?} is not supported")));
        };
        let count = source.read_vec(start, 8)?;
        let extent = <[u8; 8]>::try_from(count)
            .ok()
            .and_then(|count| u64::from_le_bytes(count).checked_mul(*size))
            .and_then(|len| source.extent(start + 8, len))
            .ok_or_else(|| {
                Error::input(format!("the storage {key:?} claims more bytes than the file has"))
                    .with_hint("The file is truncated or damaged: download it again.")
            })?;
        start = extent.start + extent.len;
        extents.insert(key, extent);
    }

    let mut checkpoint = Checkpoint::new(Layout::TorchLegacy);
    let mut loader = Loader::new(source);
    for (name, value) in entries(&object, Layout::TorchLegacy)? {
        let Value::Tensor(tensor) = object.get(value) else {
            checkpoint.others.insert(name, object.describe(value));
            continue;
        };
        let extent: Option<&Extent> = match object.get(tensor.storage) {
            Value::Storage(storage) => extents.get(storage.key),
            _ => None,
        };
        let extent =
            extent.ok_or_else(|| Error::input(format!("the file does not have the numbers of the tensor {name:?}")))?;
        loader.load(&mut checkpoint, name, tensor, *extent, None)?;
    }
    Ok(checkpoint)
}
