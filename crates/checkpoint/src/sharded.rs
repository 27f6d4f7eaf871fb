//! Weights in several files (shards), and the index (`model.safetensors.index.json`) that maps tensors to files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use segearth_error::{Context, Error, Result};
use serde_json::Value;

use super::source::ByteSource;
use super::storage::check_name;
use super::{Checkpoint, MAX_TENSOR_BYTES, SUPPORTED_FILES};

/// Most bytes of an index; that of a ViT-bigG CLIP has 150 kB.
const MAX_INDEX: u64 = 16 << 20;
/// Most files of an index.
const MAX_SHARDS: usize = 1000;

/// The tensors that each file of an index must have.
type Shards = BTreeMap<String, BTreeSet<String>>;

/// Reads the index and every file that it lists.
pub fn read(source: &ByteSource, path: &Path) -> Result<Checkpoint> {
    let mut whole: Option<Checkpoint> = None;
    let mut bytes = 0u64;
    for (file, names) in index(source)? {
        let mut shard = super::read_file(&path.with_file_name(&file))
            .input(|| format!("cannot read {file}, which the index names"))?;
        if let Some(name) =
            names.iter().find(|name| !shard.tensors.contains_key(*name) && !shard.others.contains_key(*name))
        {
            return Err(Error::input(format!("{file} does not hold the tensor {name}, as the index says"))
                .with_hint("Index and files are of different versions: download them again."));
        }
        bytes = shard.tensors.values().fold(bytes, |sum, tensor| sum.saturating_add(tensor.bytes().len() as u64));
        if bytes > MAX_TENSOR_BYTES {
            return Err(Error::input(format!(
                "the files have {bytes} bytes of tensors; at most {MAX_TENSOR_BYTES} are allowed"
            )));
        }
        let Some(whole) = &mut whole else {
            whole = Some(shard);
            continue;
        };
        if let Some(name) = shard.tensors.keys().find(|name| whole.tensors.contains_key(*name)) {
            return Err(Error::input(format!("the tensor {name} appears twice, in {file} and in another file")));
        }
        whole.tensors.append(&mut shard.tensors);
        whole.others.append(&mut shard.others);
    }
    whole.ok_or_else(|| Error::input("the weight_map names no tensors").with_hint(SUPPORTED_FILES))
}

/// Returns the files that an index lists, in the folder of the index.
pub fn files(source: &ByteSource, path: &Path) -> Result<Vec<PathBuf>> {
    Ok(index(source)?.into_keys().map(|file| path.with_file_name(file)).collect())
}

fn index(source: &ByteSource) -> Result<Shards> {
    if source.len() > MAX_INDEX {
        return Err(Error::input(format!("the index has {} bytes; at most {MAX_INDEX} are allowed", source.len()))
            .with_hint(SUPPORTED_FILES));
    }
    let json: Value = serde_json::from_slice(&source.read_vec(0, source.len())?)
        .input(|| "the file begins like JSON, but is not valid JSON".into())
        .map_err(|error| error.with_hint(SUPPORTED_FILES))?;
    let Some(map) = json.get("weight_map").and_then(Value::as_object) else {
        return Err(Error::input("the file is JSON without a weight_map, not an index of weights").with_hint(
            "Give the weights themselves; a config.json or open_clip_config.json in the same folder is read automatically.",
        ));
    };
    let mut shards = Shards::new();
    for (name, file) in map {
        check_name(name)?;
        let file = file.as_str().filter(|file| is_plain(file)).ok_or_else(|| {
            let file: String = file.to_string().chars().take(80).collect();
            Error::input(format!(
                "the weight_map puts {name} into {file}, which is not the name of a file beside the index"
            ))
        })?;
        shards.entry(file.to_owned()).or_default().insert(name.clone());
    }
    if shards.len() > MAX_SHARDS {
        return Err(Error::input(format!("the index names {} files; at most {MAX_SHARDS} are allowed", shards.len())));
    }
    Ok(shards)
}

/// Returns whether a name is that of a file in the same folder.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '\\', '\0']) && name != "." && name != ".."
}

/// Returns an error on one shard of several, recognised by its name: `model-00001-of-00002.safetensors`.
pub fn refuse_shard(path: &Path) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some((stem, number, count, ending)) = shard_name(&name) else { return Ok(()) };
    if count < 2 {
        return Ok(());
    }
    let index = format!("{stem}.{ending}.index.json");
    let there = path.with_file_name(&index).is_file();
    let hint = if there {
        "Give that index instead."
    } else {
        "Put all files and the index into one folder, and give the index."
    };
    Err(Error::input(format!("the file is number {number} of {count} of the weights, which {index} lists"))
        .with_hint(hint))
}

/// Splits `STEM-NUMBER-of-COUNT.ENDING`.
fn shard_name(name: &str) -> Option<(&str, u32, u32, &str)> {
    let (before, after) = name.rsplit_once("-of-")?;
    let (stem, number) = before.rsplit_once('-')?;
    let (count, ending) = after.split_once('.')?;
    Some((stem, number.parse().ok()?, count.parse().ok()?, ending))
}
