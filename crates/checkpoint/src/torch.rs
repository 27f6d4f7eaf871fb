//! Archives of `torch.save` (a pickled state dict) and of `torch.jit.save` (a pickled module: OpenAI's distribution).

use segearth_error::{Context, Error, Result};

use super::foreign::may_be_weights;
use super::pickle::{self, Parsed, Ref, Value};
use super::source::ByteSource;
use super::storage::{Loader, check_name, verify};
use super::zip::{Archive, Stored};
use super::{Checkpoint, Layout, SUPPORTED_FILES};

/// Most bytes of a pickle, which has names and shapes, but no numbers; that of a ViT-L CLIP has 60 kB.
pub const MAX_PICKLE: u64 = 32 << 20;

/// Most levels of nested modules; CLIP has 6.
const MAX_DEPTH: usize = 64;
/// Most attributes of all modules.
const MAX_ATTRIBUTES: usize = 100_000;

/// Reads an archive.
pub fn read(source: &ByteSource) -> Result<Checkpoint> {
    let archive = Archive::open(source)?;
    let folder = archive
        .names()
        .filter_map(|name| name.strip_suffix("data.pkl"))
        .filter(|folder| folder.is_empty() || folder.ends_with('/'))
        .min_by_key(|folder| folder.len())
        .ok_or_else(|| without_pickle(&archive))?
        .to_owned();
    let scripted = archive.names().any(|name| {
        name.strip_prefix(&folder).is_some_and(|name| name.starts_with("code/") || name == "constants.pkl")
    });
    let layout = if scripted { Layout::TorchScript } else { Layout::TorchZip };
    let checked = has_checksums(source, &archive, &folder);
    check_byte_order(source, &archive, &folder)?;

    let stored = archive.find(source, &format!("{folder}data.pkl"))?;
    if stored.extent.len > MAX_PICKLE {
        return Err(Error::input(format!(
            "data.pkl has {} bytes; at most {MAX_PICKLE} are allowed",
            stored.extent.len
        )));
    }
    let bytes = source.read_vec(stored.extent.start, stored.extent.len)?;
    verify(&bytes, checked.then_some(stored.crc)).input(|| "data.pkl is damaged".into())?;
    let parsed = pickle::parse(&bytes)?;

    let mut checkpoint = Checkpoint::new(layout);
    let mut loader = Loader::new(source);
    for (name, value) in entries(&parsed, layout)? {
        let Value::Tensor(tensor) = parsed.get(value) else {
            checkpoint.others.insert(name, parsed.describe(value));
            continue;
        };
        let Value::Storage(storage) = parsed.get(tensor.storage) else {
            return Err(Error::internal(format!("the tensor {name:?} has no storage")));
        };
        let stored = archive
            .find(source, &format!("{folder}data/{}", storage.key))
            .input(|| format!("cannot find the numbers of the tensor {name:?}"))?;
        let claimed = storage.claimed.checked_mul(storage.dtype.map_or(1, |dtype| dtype.size() as u64));
        if claimed.is_none_or(|claimed| claimed > stored.extent.len) {
            return Err(Error::input(format!(
                "the storage of the tensor {name:?} claims {} numbers, but has {} bytes",
                storage.claimed, stored.extent.len
            ))
            .with_hint("The file is damaged: download it again."));
        }
        loader.load(&mut checkpoint, name, tensor, stored.extent, checked.then_some(stored.crc))?;
    }
    Ok(checkpoint)
}

/// Returns the error on a zip archive of something else, such as SkyCLIP's checkpoint, which is packed once more.
fn without_pickle(archive: &Archive) -> Error {
    let last = |name: &&str| name.rsplit('/').next().is_some_and(may_be_weights);
    let shown = |name: &str| name.chars().filter(|c| !c.is_control()).take(120).collect::<String>();
    let inside: Vec<String> = archive.names().filter(last).take(5).map(shown).collect();
    if let [first, ..] = inside.as_slice() {
        return Error::input(format!("the file is a zip archive with the checkpoint inside: {}", inside.join(", ")))
            .with_hint(format!("Unpack it (`unzip`), and give {first}."));
    }
    if archive.names().any(|name| name.ends_with(".npy")) {
        return Error::input("the file is a NumPy archive (.npz), as JAX programs write it").with_hint(SUPPORTED_FILES);
    }
    Error::input("the file is a zip archive without a data.pkl, not a file of torch.save").with_hint(SUPPORTED_FILES)
}

/// Returns whether the archive has valid checksums: PyTorch can write archives without computing them. One small entry with a valid
/// checksum is enough.
fn has_checksums(source: &ByteSource, archive: &Archive, folder: &str) -> bool {
    let is_right = |Stored { extent, crc }: Stored| {
        source.read_vec(extent.start, extent.len).is_ok_and(|bytes| verify(&bytes, Some(crc)).is_ok())
    };
    ["byteorder", "version", ".format_version", ".storage_alignment", "data.pkl"].into_iter().any(|name| {
        archive
            .find(source, &format!("{folder}{name}"))
            .is_ok_and(|stored| stored.extent.len <= MAX_PICKLE && is_right(stored))
    })
}

fn check_byte_order(source: &ByteSource, archive: &Archive, folder: &str) -> Result<()> {
    let Ok(stored) = archive.find(source, &format!("{folder}byteorder")) else { return Ok(()) };
    let order = source.read_vec(stored.extent.start, stored.extent.len.min(16))?;
    if order.trim_ascii() == b"little" {
        return Ok(());
    }
    Err(Error::input(format!("the byte order is {:?}, not \"little\"", String::from_utf8_lossy(&order)))
        .with_hint("Save the checkpoint again on a little-endian machine."))
}

/// Returns every named entry of the state dict, tensor or not.
pub fn entries(parsed: &Parsed<'_>, layout: Layout) -> Result<Vec<(String, Ref)>> {
    match parsed.get(parsed.root) {
        Value::Dict(pairs) => {
            let is_tensor = |&(_, value): &(Ref, Ref)| matches!(parsed.get(value), Value::Tensor(_));
            let below = |key| match parsed.get(parsed.entry(pairs, key)?) {
                Value::Dict(pairs) => Some(pairs),
                _ => None,
            };
            let found = below("state_dict").or_else(|| {
                let direct = pairs.iter().any(is_tensor).then_some(pairs);
                direct
                    .or_else(|| below("model_state_dict"))
                    .or_else(|| below("model"))
                    .or_else(|| only_dict(parsed, pairs))
            });
            let pairs = found.filter(|pairs| pairs.iter().any(is_tensor)).ok_or_else(|| no_tensors(parsed, pairs))?;
            named(parsed, pairs)
        }
        Value::Object { .. } if layout == Layout::TorchScript => module_tensors(parsed),
        Value::Object { .. } => Err(Error::input(format!(
            "the file holds {}, a pickled object, not a state dict",
            parsed.describe(parsed.root)
        ))
        .with_hint("Save `model.state_dict()` with torch.save, and use that file.")),
        _ => Err(Error::input(format!("the file holds {}, not a state dict", parsed.describe(parsed.root)))
            .with_hint(SUPPORTED_FILES)),
    }
}

/// Returns the only entry that is a dictionary of tensors, under any name: `module`, `net`, `params` and others are in use.
fn only_dict<'a>(parsed: &'a Parsed<'_>, pairs: &'a [(Ref, Ref)]) -> Option<&'a Vec<(Ref, Ref)>> {
    let mut found = pairs.iter().filter_map(|&(_, value)| match parsed.get(value) {
        Value::Dict(inner) if inner.iter().any(|&(_, value)| matches!(parsed.get(value), Value::Tensor(_))) => {
            Some(inner)
        }
        _ => None,
    });
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

fn named(parsed: &Parsed<'_>, pairs: &[(Ref, Ref)]) -> Result<Vec<(String, Ref)>> {
    let mut entries = Vec::with_capacity(pairs.len());
    for &(key, value) in pairs {
        if let Some(name) = parsed.str(key) {
            check_name(name)?;
            entries.push((name.to_owned(), value));
        }
    }
    Ok(entries)
}

fn no_tensors(parsed: &Parsed<'_>, pairs: &[(Ref, Ref)]) -> Error {
    let keys: Vec<String> = pairs
        .iter()
        .filter_map(|(key, _)| parsed.str(*key))
        .take(8)
        .map(|key| format!("{:?}", key.chars().take(40).collect::<String>()))
        .collect();
    let found = if keys.is_empty() {
        "the dictionary is empty".into()
    } else {
        format!("the first keys are {}", keys.join(", "))
    };
    Error::input(format!("no tensors in the dictionary, neither directly nor below \"state_dict\": {found}"))
        .with_hint(SUPPORTED_FILES)
}

/// Returns the tensors of a module and its submodules, named by the path of attributes.
fn module_tensors(parsed: &Parsed<'_>) -> Result<Vec<(String, Ref)>> {
    let mut found = Vec::new();
    let mut visited = 0;
    let mut open = vec![(String::new(), parsed.root, 0)];
    while let Some((path, object, depth)) = open.pop() {
        let &Value::Object { state: Some(state), .. } = parsed.get(object) else { continue };
        let Value::Dict(attributes) = parsed.get(state) else { continue };
        // Objects can share objects, so that a short pickle can describe a huge number of paths.
        visited += attributes.len();
        if visited > MAX_ATTRIBUTES || depth > MAX_DEPTH {
            return Err(Error::input(format!(
                "the modules are nested deeper than {MAX_DEPTH} levels or have more than {MAX_ATTRIBUTES} attributes"
            )));
        }
        for &(key, value) in attributes {
            let Some(key) = parsed.str(key) else { continue };
            let name = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            check_name(&name)?;
            match parsed.get(value) {
                Value::Tensor(_) => found.push((name, value)),
                Value::Object { state: Some(_), .. } => open.push((name, value, depth + 1)),
                _ => {}
            }
        }
    }
    if found.is_empty() {
        return Err(Error::input("the module has no tensors").with_hint(SUPPORTED_FILES));
    }
    Ok(found)
}
