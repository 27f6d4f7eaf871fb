//! Weights in: reads the files that users have into plain, named tensors, and those into the two sets of weights that the
//! networks are built from.
//!
//! ```text
//!  file ─► source ─┬─ zip ─┬─ pickle ─► torch ──┐
//!                  │       └─ (code/) ─► torch ──┼─► Checkpoint ─┬─ clip ──────► ClipWeights       (names: OpenAI's)
//!                  ├─ pickle ─► legacy ──────────┤  name → bytes └─ upsampler ─► UpsamplerWeights
//!                  ├─ safetensors ───────────────┤
//!                  └─ index ─► sharded (each) ───┘
//! ```
//!
//! A checkpoint comes from anywhere, so it is data and nothing else. Pickles are parsed by a small stack machine of our own
//! that knows how to make a tensor and how to make nothing else; every size is compared with the bytes that are there before
//! anything is allocated; nothing is ever decompressed. The tensors are read one by one, so the memory needed is that of the
//! tensors themselves.

#![warn(missing_docs)]

mod clip;
mod config;
mod foreign;
mod legacy;
mod names;
mod pickle;
mod safetensors;
mod sharded;
mod source;
mod storage;
mod tensor;
#[cfg(test)]
mod testing;
mod torch;
mod upsampler;
mod zip;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

pub use clip::{ClipSizes, ClipWeights};
pub use config::{Activation, KnownActivation, ModelConfig, PixelStatistics};
pub use tensor::{Dtype, TensorData};
pub use upsampler::{UpsamplerKind, UpsamplerWeights};

use segearth_error::{Context, Error, Result};
use source::ByteSource;

/// No more than this is ever read into memory from one checkpoint: twice the largest CLIP in common use, in float32.
const MAX_TENSOR_BYTES: u64 = 24 << 30;

/// How a checkpoint's file is laid out, found from its content, never from its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// What `torch.save` writes since PyTorch 1.6: a zip archive with a pickle.
    TorchZip,
    /// What `torch.save` wrote before: pickles, then the storages' bytes.
    TorchLegacy,
    /// What `torch.jit.save` writes: OpenAI distributes CLIP so.
    TorchScript,
    /// A header in JSON, then the tensors' bytes.
    Safetensors,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TorchZip => "PyTorch state dict",
            Self::TorchLegacy => "PyTorch state dict (format before 1.6)",
            Self::TorchScript => "TorchScript archive",
            Self::Safetensors => "safetensors",
        })
    }
}

/// The named tensors of a checkpoint, as the file names them but for a `module.` before every name.
#[derive(Debug)]
pub struct Checkpoint {
    /// How the file stores its tensors.
    pub layout: Layout,
    /// The tensors by name.
    pub tensors: BTreeMap<String, TensorData>,
    /// Entries of the state dict that are no tensors we can read, and what they are instead: only for messages.
    pub others: BTreeMap<String, String>,
}

/// Reads every tensor of a checkpoint's state dict, from one file or from those that an index names.
///
/// # Errors
/// The file cannot be read, is none of the layouts of [`Layout`], is damaged, or claims sizes that it does not have.
pub fn read(path: &Path) -> Result<Checkpoint> {
    let read = || -> Result<Checkpoint> {
        sharded::refuse_part(path)?;
        let source = ByteSource::open(path)?;
        let mut checkpoint = match sniff(&source)? {
            Found::Index => sharded::read(&source, path)?,
            found => read_found(&source, found)?,
        };
        checkpoint.strip_common_prefix("module.");
        Ok(checkpoint)
    };
    read().input(|| format!("cannot read the checkpoint {}", path.display()))
}

/// One file, as it is.
fn read_file(path: &Path) -> Result<Checkpoint> {
    let source = ByteSource::open(path)?;
    read_found(&source, sniff(&source)?)
}

fn read_found(source: &ByteSource, found: Found) -> Result<Checkpoint> {
    match found {
        Found::Zip => torch::read(source),
        Found::LegacyPickle => legacy::read(source),
        Found::Safetensors => safetensors::read(source),
        Found::Index => Err(Error::input("it is an index of other files, not weights")),
    }
}

/// The files that a checkpoint is made of: itself, and those that it names where it is an index.
///
/// # Errors
/// As [`read`], but for the files that an index names.
pub fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let more = || -> Result<Vec<PathBuf>> {
        let source = ByteSource::open(path)?;
        match sniff(&source)? {
            Found::Index => sharded::files(&source, path),
            _ => Ok(Vec::new()),
        }
    };
    let more = more().input(|| format!("cannot read the checkpoint {}", path.display()))?;
    Ok(std::iter::once(path.to_owned()).chain(more).collect())
}

/// Reads a CLIP checkpoint, with the configuration beside it where there is one, into canonical weights.
///
/// # Errors
/// As [`read`], and if the tensors are not those of a CLIP with a vision transformer, or the configuration is of another network.
pub fn read_clip(path: &Path) -> Result<ClipWeights> {
    let mut checkpoint = read(path)?;
    checkpoint.strip_foreign_prefix();
    let configs = ModelConfig::beside(path, names::is_hugging_face(checkpoint.names()))?;
    ClipWeights::from_checkpoint(checkpoint, &configs)
        .input(|| format!("cannot take {} as CLIP weights", path.display()))
}

/// Reads a SimFeatUp (or FeatUp JBU stack) checkpoint into canonical weights.
///
/// # Errors
/// As [`read`], and if the tensors are not those of `jbu_one` or `jbu_stack`.
pub fn read_upsampler(path: &Path) -> Result<UpsamplerWeights> {
    let mut checkpoint = read(path)?;
    checkpoint.strip_foreign_prefix();
    UpsamplerWeights::from_checkpoint(checkpoint).input(|| format!("cannot take {} as an upsampler", path.display()))
}

impl Checkpoint {
    fn new(layout: Layout) -> Self {
        Self { layout, tensors: BTreeMap::new(), others: BTreeMap::new() }
    }

    /// Data-parallel training puts `module.` before every name.
    fn strip_common_prefix(&mut self, prefix: &str) {
        if prefix.is_empty() || self.tensors.is_empty() || !self.tensors.keys().all(|name| name.starts_with(prefix)) {
            return;
        }
        let strip = |name: String| name.strip_prefix(prefix).map(str::to_owned).unwrap_or(name);
        self.tensors = std::mem::take(&mut self.tensors).into_iter().map(|(name, data)| (strip(name), data)).collect();
        self.others = std::mem::take(&mut self.others).into_iter().map(|(name, what)| (strip(name), what)).collect();
    }

    /// Takes away what all names begin with and no network's naming does: training puts it there, compiling, or a module around
    /// the model.
    fn strip_foreign_prefix(&mut self) {
        self.strip_common_prefix(&names::foreign_prefix(self.names()));
    }

    fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.tensors.keys().map(String::as_str)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Zip,
    LegacyPickle,
    Safetensors,
    /// JSON, as the index of weights in several files is.
    Index,
}

const WHAT_WE_READ: &str = "Give OpenAI's TorchScript archive, a state dict saved with torch.save (OpenAI's or open_clip's names), \
                            a safetensors file of CLIPModel or open_clip, or a Lightning checkpoint of jbu_one or jbu_stack.";

fn sniff(source: &ByteSource) -> Result<Found> {
    let head = source.read_vec(0, source.len().min(512))?;
    if head.is_empty() {
        return Err(Error::input("the file is empty").with_hint("Download it again."));
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        return Ok(Found::Zip);
    }
    if safetensors::looks_like(&head) {
        return Ok(Found::Safetensors);
    }
    if head.starts_with(&legacy::MAGIC) {
        return Ok(Found::LegacyPickle);
    }
    if let Some(error) = foreign::refused(&head) {
        return Err(error);
    }
    if head.trim_ascii_start().first() == Some(&b'{') {
        return Ok(Found::Index);
    }
    if head.first() == Some(&0x80) {
        return Err(Error::input("the file is a bare pickle, not a checkpoint of torch.save").with_hint(WHAT_WE_READ));
    }
    let first: Vec<String> = head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Err(Error::input(format!("the file is of no known layout (it starts with the bytes {})", first.join(" ")))
        .with_hint(WHAT_WE_READ))
}

#[cfg(test)]
mod tests;
