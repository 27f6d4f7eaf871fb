//! Weights in: reads the files that users have into plain, named tensors, and those into the two sets of weights that the
//! networks are built from.
//!
//! ```text
//!  file ─► source ─┬─ zip ─┬─ pickle ─► torch ──┐
//!                  │       └─ (code/) ─► torch ──┼─► Checkpoint ─┬─ clip ──────► ClipWeights       (names: OpenAI's)
//!                  ├─ pickle ─► legacy ──────────┤  name → bytes └─ upsampler ─► UpsamplerWeights
//!                  └─ safetensors ───────────────┘
//! ```
//!
//! A checkpoint comes from anywhere, so it is data and nothing else. Pickles are parsed by a small stack machine of our own
//! that knows how to make a tensor and how to make nothing else; every size is compared with the bytes that are there before
//! anything is allocated; nothing is ever decompressed. The tensors are read one by one, so the memory needed is that of the
//! tensors themselves.

mod clip;
mod config;
mod legacy;
mod names;
mod pickle;
mod safetensors;
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
use std::path::Path;

pub use clip::{ClipSizes, ClipWeights};
pub use config::{Activation, ModelConfig};
pub use tensor::{Dtype, TensorData};
pub use upsampler::{UpsamplerKind, UpsamplerWeights};

use crate::error::{Context, Error, Result};
use source::Source;

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
    pub layout: Layout,
    pub tensors: BTreeMap<String, TensorData>,
    /// Entries of the state dict that are no tensors we can read, and what they are instead: only for messages.
    pub others: BTreeMap<String, String>,
}

/// Reads every tensor of a checkpoint's state dict.
///
/// # Errors
/// The file cannot be read, is none of the layouts of [`Layout`], is damaged, or claims sizes that it does not have.
pub fn read(path: &Path) -> Result<Checkpoint> {
    let read = || -> Result<Checkpoint> {
        let source = Source::open(path)?;
        let mut checkpoint = match sniff(&source)? {
            Found::Zip => torch::read(&source)?,
            Found::LegacyPickle => legacy::read(&source)?,
            Found::Safetensors => safetensors::read(&source)?,
        };
        checkpoint.strip_common_prefix("module.");
        Ok(checkpoint)
    };
    read().input(|| format!("cannot read the checkpoint {}", path.display()))
}

/// Reads a CLIP checkpoint, with the `config.json` beside it where the layout has one, into canonical weights.
///
/// # Errors
/// As [`read`], and if the tensors are not those of a CLIP with a vision transformer.
pub fn read_clip(path: &Path) -> Result<ClipWeights> {
    let checkpoint = read(path)?;
    let config = if checkpoint.may_have_config() { ModelConfig::beside(path)? } else { None };
    ClipWeights::from_checkpoint(checkpoint, config.as_ref())
        .input(|| format!("cannot take {} as CLIP weights", path.display()))
}

/// Reads a SimFeatUp (or FeatUp JBU stack) checkpoint into canonical weights.
///
/// # Errors
/// As [`read`], and if the tensors are not those of `jbu_one` or `jbu_stack`.
pub fn read_upsampler(path: &Path) -> Result<UpsamplerWeights> {
    UpsamplerWeights::from_checkpoint(read(path)?).input(|| format!("cannot take {} as an upsampler", path.display()))
}

impl Checkpoint {
    fn new(layout: Layout) -> Self {
        Self { layout, tensors: BTreeMap::new(), others: BTreeMap::new() }
    }

    /// Data-parallel training puts `module.` before every name.
    fn strip_common_prefix(&mut self, prefix: &str) {
        if self.tensors.is_empty() || !self.tensors.keys().all(|name| name.starts_with(prefix)) {
            return;
        }
        let strip = |name: String| name.strip_prefix(prefix).map(str::to_owned).unwrap_or(name);
        self.tensors = std::mem::take(&mut self.tensors).into_iter().map(|(name, data)| (strip(name), data)).collect();
        self.others = std::mem::take(&mut self.others).into_iter().map(|(name, what)| (strip(name), what)).collect();
    }

    /// A `config.json` in the same folder speaks of this file only if the file is of the kind that comes with one.
    fn may_have_config(&self) -> bool {
        self.layout == Layout::Safetensors || names::is_hugging_face(self.tensors.keys().map(String::as_str))
    }
}

enum Found {
    Zip,
    LegacyPickle,
    Safetensors,
}

const WHAT_WE_READ: &str = "Give OpenAI's TorchScript archive, a state dict saved with torch.save (OpenAI's or open_clip's names), \
                            a safetensors file of CLIPModel or open_clip, or a Lightning checkpoint of jbu_one or jbu_stack.";

fn sniff(source: &Source) -> Result<Found> {
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
    let is_text = |start: &str| {
        let trimmed = head.trim_ascii_start();
        trimmed.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start.as_bytes()))
    };
    if is_text("version https://git-lfs") {
        return Err(Error::input("the file is a Git LFS pointer, not the weights themselves")
            .with_hint("Fetch the weights with `git lfs pull`."));
    }
    if is_text("<!doctype") || is_text("<html") {
        return Err(Error::input("the file is a web page, not weights")
            .with_hint("The download link led to a page: download the file itself."));
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
