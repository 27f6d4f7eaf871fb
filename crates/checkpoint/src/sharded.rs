//! Weights in several files, and the index (`model.safetensors.index.json`) that says which tensor lies in which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use segearth_error::{Context, Error, Result};
use serde_json::Value;

use super::source::ByteSource;
use super::storage::check_name;
use super::{Checkpoint, MAX_TENSOR_BYTES, WHAT_WE_READ};

/// The index of a ViT-bigG CLIP has 150 kB.
const MAX_INDEX: u64 = 16 << 20;
const MAX_SHARDS: usize = 1000;

/// The files of an index with the tensors that each has to hold.
type Shards = BTreeMap<String, BTreeSet<String>>;

/// Reads the index and every file that it names.
pub fn read(source: &ByteSource, path: &Path) -> Result<Checkpoint> {
    let mut whole: Option<Checkpoint> = None;
    let mut bytes = 0u64;
    for (file, names) in index(source)? {
        let mut shard =
            super::read_file(&path.with_file_name(&file)).input(|| format!("cannot read {file}, which it names"))?;
        if let Some(name) =
            names.iter().find(|name| !shard.tensors.contains_key(*name) && !shard.others.contains_key(*name))
        {
            return Err(Error::input(format!("{file} does not hold the tensor {name}, as the index says"))
                .with_hint("Index and files are of different versions: download them again."));
        }
        bytes = shard.tensors.values().fold(bytes, |sum, tensor| sum.saturating_add(tensor.bytes().len() as u64));
        if bytes > MAX_TENSOR_BYTES {
            return Err(Error::input(format!(
                "its files have {bytes} bytes of numbers, {MAX_TENSOR_BYTES} are allowed"
            )));
        }
        let Some(whole) = &mut whole else {
            whole = Some(shard);
            continue;
        };
        if let Some(name) = shard.tensors.keys().find(|name| whole.tensors.contains_key(*name)) {
            return Err(Error::input(format!("the tensor {name} is there twice, in {file} and another file")));
        }
        whole.tensors.append(&mut shard.tensors);
        whole.others.append(&mut shard.others);
    }
    whole.ok_or_else(|| Error::input("its weight_map names no tensors").with_hint(WHAT_WE_READ))
}

/// The files that an index names, in the folder of the index itself.
pub fn files(source: &ByteSource, path: &Path) -> Result<Vec<PathBuf>> {
    Ok(index(source)?.into_keys().map(|file| path.with_file_name(file)).collect())
}

fn index(source: &ByteSource) -> Result<Shards> {
    if source.len() > MAX_INDEX {
        return Err(Error::input(format!(
            "it is text of {} bytes, and no index has more than {MAX_INDEX}",
            source.len()
        ))
        .with_hint(WHAT_WE_READ));
    }
    let json: Value = serde_json::from_slice(&source.read_vec(0, source.len())?)
        .input(|| "it starts as JSON, and is none".into())
        .map_err(|error| error.with_hint(WHAT_WE_READ))?;
    let Some(map) = json.get("weight_map").and_then(Value::as_object) else {
        return Err(Error::input("it is JSON without a weight_map, not weights").with_hint(
            "Give the weights themselves; a config.json or open_clip_config.json in the same folder is read by itself.",
        ));
    };
    let mut shards = Shards::new();
    for (name, file) in map {
        check_name(name)?;
        let file = file.as_str().filter(|file| is_plain(file)).ok_or_else(|| {
            let file: String = file.to_string().chars().take(80).collect();
            Error::input(format!("its weight_map puts {name} into {file}, which is no name of a file beside the index"))
        })?;
        shards.entry(file.to_owned()).or_default().insert(name.clone());
    }
    if shards.len() > MAX_SHARDS {
        return Err(Error::input(format!("it names {} files, {MAX_SHARDS} are allowed", shards.len())));
    }
    Ok(shards)
}

/// A name of a file in the same folder, and nothing that leads out of it.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '\\', '\0']) && name != "." && name != ".."
}

/// Refuses one file of several, which its name gives away: `model-00001-of-00002.safetensors`.
pub fn refuse_part(path: &Path) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some((stem, number, count, ending)) = part(&name) else { return Ok(()) };
    if count < 2 {
        return Ok(());
    }
    let index = format!("{stem}.{ending}.index.json");
    let there = path.with_file_name(&index).is_file();
    let hint = if there {
        "Give that index in its place."
    } else {
        "Put all files and that index into one folder, and give the index."
    };
    Err(Error::input(format!("it is file {number} of {count} of the weights, which {index} puts together"))
        .with_hint(hint))
}

/// `STEM-NUMBER-of-COUNT.ENDING`, in its four parts.
fn part(name: &str) -> Option<(&str, u32, u32, &str)> {
    let (before, after) = name.rsplit_once("-of-")?;
    let (stem, number) = before.rsplit_once('-')?;
    let (count, ending) = after.split_once('.')?;
    Some((stem, number.parse().ok()?, count.parse().ok()?, ending))
}
