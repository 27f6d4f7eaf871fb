//! Reads checkpoints: files of any known layout to named tensors, and these to the weights of a CLIP or an upsampler.
//!
//! ```text
//!  file ─► source ─┬─ zip ─┬─ pickle ─► torch ──┐
//!                  │       └─ (code/) ─► torch ──┼─► Checkpoint ─┬─ clip ──────► ClipWeights       (names: OpenAI's)
//!                  ├─ pickle ─► legacy ──────────┤  name → bytes └─ upsampler, naf ─► LearnedUpsampler
//!                  ├─ safetensors ───────────────┤
//!                  └─ index ─► sharded (each) ───┘
//! ```
//!
//! Checkpoints are untrusted data. Pickles are parsed by a small stack machine that can create tensors and containers and executes
//! nothing; every size is compared with the bytes in the file before anything is allocated; nothing is decompressed but by [`unpack`], into a file. Tensors are
//! read one by one, so that the memory needed is that of the tensors.

#![warn(missing_docs)]

mod clip;
mod clip_sizes;
mod config;
mod foreign;
mod legacy;
mod naf;
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
mod unpack;
mod upsampler;
mod zip;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

pub use clip::ClipWeights;
pub use clip_sizes::ClipSizes;
pub use config::{Activation, KnownActivation, ModelConfig, PixelStatistics};
pub use naf::NafWeights;
pub use tensor::{Dtype, TensorData};
pub use unpack::unpack;
pub use upsampler::{UpsamplerKind, UpsamplerWeights};

use segearth_error::{Context, Error, Result};
use source::ByteSource;

/// Most bytes of tensors in a checkpoint: twice the largest CLIP in common use, in float32.
const MAX_TENSOR_BYTES: u64 = 24 << 30;

/// The layout of a checkpoint's file, detected by its content, not its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// As `torch.save` writes it since PyTorch 1.6: a zip archive with a pickle.
    TorchZip,
    /// As `torch.save` wrote it before: pickles, then the bytes of the storages.
    TorchLegacy,
    /// As `torch.jit.save` writes it; the layout of the CLIPs that OpenAI publishes.
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

/// The tensors of a checkpoint under the names of the file, without a common prefix `module.`.
#[derive(Debug)]
pub struct Checkpoint {
    /// How the file stores its tensors.
    pub layout: Layout,
    /// The tensors by name.
    pub tensors: BTreeMap<String, TensorData>,
    /// Entries of the state dict that are not supported tensors, and what they are, for messages.
    pub others: BTreeMap<String, String>,
}

/// Reads every tensor of a checkpoint's state dict, from one file or from those that an index names.
///
/// # Errors
/// The file cannot be read, has none of the layouts of [`Layout`], or is damaged.
pub fn read(path: &Path) -> Result<Checkpoint> {
    let read = || -> Result<Checkpoint> {
        sharded::refuse_shard(path)?;
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

/// Reads one file of several.
fn read_file(path: &Path) -> Result<Checkpoint> {
    let source = ByteSource::open(path)?;
    read_found(&source, sniff(&source)?)
}

fn read_found(source: &ByteSource, found: Found) -> Result<Checkpoint> {
    match found {
        Found::Zip => torch::read(source),
        Found::LegacyPickle => legacy::read(source),
        Found::Safetensors => safetensors::read(source),
        Found::Index => Err(Error::input("the file is an index of other files, not weights")),
    }
}

/// Returns the files of a checkpoint: the file itself, and those that it lists if it is an index.
///
/// # Errors
/// The file or the index cannot be read; the files of an index are not opened.
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

/// Reads a CLIP checkpoint, and the configurations beside it, into canonical weights.
///
/// # Errors
/// As [`read`], and if the tensors are not those of a CLIP with a vision transformer, or the configuration has unsupported options.
pub fn read_clip(path: &Path) -> Result<ClipWeights> {
    let mut checkpoint = read(path)?;
    checkpoint.strip_foreign_prefix();
    let configs = ModelConfig::beside(path, names::is_hugging_face(checkpoint.names()))?;
    ClipWeights::from_checkpoint(checkpoint, &configs)
        .input(|| format!("cannot read {} as CLIP weights", path.display()))
}

/// A learned upsampler of one of the supported kinds.
#[derive(Debug)]
pub enum LearnedUpsampler {
    /// SimFeatUp's `jbu_one` or FeatUp's `jbu_stack`, for features of one width.
    SimFeatUp(UpsamplerWeights),
    /// NAF, for features of any width.
    Naf(NafWeights),
}

impl LearnedUpsampler {
    /// Returns the name in model cards.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SimFeatUp(weights) => weights.kind.name(),
            Self::Naf(_) => "naf",
        }
    }
}

/// Reads the checkpoint of a SimFeatUp upsampler (or FeatUp's JBU stack), or of NAF, into canonical weights.
///
/// # Errors
/// As [`read`], and if the tensors are not those of `jbu_one`, `jbu_stack` or NAF.
pub fn read_learned_upsampler(path: &Path) -> Result<LearnedUpsampler> {
    let mut checkpoint = read(path)?;
    checkpoint.strip_foreign_prefix();
    let weights = match NafWeights::recognises(&checkpoint) {
        true => NafWeights::from_checkpoint(checkpoint).map(LearnedUpsampler::Naf),
        false => UpsamplerWeights::from_checkpoint(checkpoint).map(LearnedUpsampler::SimFeatUp),
    };
    weights.input(|| format!("cannot read {} as an upsampler", path.display()))
}

/// Reads a SimFeatUp (or FeatUp JBU stack) checkpoint into canonical weights.
///
/// # Errors
/// As [`read`], and if the tensors are not those of `jbu_one` or `jbu_stack`.
pub fn read_upsampler(path: &Path) -> Result<UpsamplerWeights> {
    let mut checkpoint = read(path)?;
    checkpoint.strip_foreign_prefix();
    UpsamplerWeights::from_checkpoint(checkpoint).input(|| format!("cannot read {} as an upsampler", path.display()))
}

impl Checkpoint {
    fn new(layout: Layout) -> Self {
        Self { layout, tensors: BTreeMap::new(), others: BTreeMap::new() }
    }

    /// Removes a prefix that all names have, such as `module.` of data-parallel training.
    fn strip_common_prefix(&mut self, prefix: &str) {
        if prefix.is_empty() || self.tensors.is_empty() || !self.tensors.keys().all(|name| name.starts_with(prefix)) {
            return;
        }
        let strip = |name: String| name.strip_prefix(prefix).map(str::to_owned).unwrap_or(name);
        self.tensors = std::mem::take(&mut self.tensors).into_iter().map(|(name, data)| (strip(name), data)).collect();
        self.others = std::mem::take(&mut self.others).into_iter().map(|(name, what)| (strip(name), what)).collect();
    }

    /// Removes a prefix of all names that does not belong to the network: training, compiling or an enclosing module adds it.
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

const SUPPORTED_FILES: &str = "Supported are OpenAI's TorchScript archives, state dicts saved with torch.save (OpenAI's or open_clip's names), \
                               safetensors files of CLIPModel or open_clip, and Lightning checkpoints of jbu_one or jbu_stack.";

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
        return Err(Error::input("the file is a bare pickle, not a file of torch.save").with_hint(SUPPORTED_FILES));
    }
    let first: Vec<String> = head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Err(Error::input(format!("the file format is not known (the first bytes are {})", first.join(" ")))
        .with_hint(SUPPORTED_FILES))
}

#[cfg(test)]
mod tests;
