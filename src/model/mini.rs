//! The embedded model: a small CLIP of our own, in the program itself, so that it does something true without a download.
//!
//! It is a bundle like any other. Its weights are imported into the user's cache when they are first needed.

use std::fs;
use std::path::{Path, PathBuf};

use segearth_checkpoint::{Activation, KnownActivation};

use super::bundle::{Bundle, FORMAT, Trust};
use super::folders;
use super::import::{Import, import};
use super::text::Tokenizer;
use crate::error::{Context, Error, Result};
use crate::hash;
use crate::network::Attention;
use crate::network::export::Precision;
use crate::scene::{Pooling, Recommended};

/// The name of the embedded model.
pub const NAME: &str = "mini";

const CLIP: &[u8] = include_bytes!("../../models/mini/clip.safetensors");
const TOKENIZER: &[u8] = include_bytes!("../../models/mini/tokenizer.json");
const UPSAMPLER: Option<&[u8]> = None;
/// Side of its window in pixels: twice what it was trained on, for the context of the whole.
const WINDOW: usize = 256;

/// What its figures on validation data are best with; see `models/README.md`.
const RECOMMENDED: Recommended = Recommended {
    threshold: Some(0.6),
    debias: Some(0.0),
    logit_scale: Some(20.0),
    pooling: Some(Pooling::Sum),
    stride: Some(192),
    ground_sample_distance: Some([0.1, 30.0]),
};

/// The embedded model's tokenizer.
pub fn tokenizer() -> Result<Tokenizer> {
    Tokenizer::from_json_bytes(TOKENIZER)
}

/// The embedded model as a bundle: found in the cache, or imported into it.
pub fn bundle() -> Result<Bundle> {
    let folder = folder()?;
    if let Ok(bundle) = Bundle::open(&folder, Trust::Hashes) {
        return Ok(bundle);
    }
    if folder.exists() {
        // An incomplete or changed bundle; it has no files of the user.
        fs::remove_dir_all(&folder).input(|| format!("cannot replace {}", folder.display()))?;
    }
    match unpack(&folder) {
        Ok(bundle) => Ok(bundle),
        // Another run may have been faster.
        Err(error) => Bundle::open(&folder, Trust::Hashes).map_err(|_| error),
    }
}

/// The embedded CLIP weights.
pub(super) fn clip() -> &'static [u8] {
    CLIP
}

fn unpack(folder: &Path) -> Result<Bundle> {
    let parts = tempfile::tempdir().input(|| "cannot make a temporary folder for the embedded model".into())?;
    let write = |name: &str, bytes: &[u8]| -> Result<PathBuf> {
        let path = parts.path().join(name);
        fs::write(&path, bytes).input(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    };
    let request = Import {
        clip: write("clip.safetensors", CLIP)?,
        tokenizer: write("tokenizer.json", TOKENIZER)?,
        upsampler: UPSAMPLER.map(|bytes| write("upsampler.safetensors", bytes)).transpose()?,
        activation: Some(KnownActivation { activation: Activation::Gelu, from: String::new() }),
        pixels: None,
        attention: Attention::SegEarth,
        attention_blocks: 1,
        keep_residual: false,
        window: WINDOW,
        precision: Precision::Fp32,
        recommended: RECOMMENDED,
        overwrite: false,
    };
    import(&request, folder, &mut Vec::new())
}

/// The cache's folder for exactly these weights under this version of the program and of bundles.
fn folder() -> Result<PathBuf> {
    let mut hash = hash::of([CLIP, TOKENIZER, UPSAMPLER.unwrap_or_default()].concat());
    hash.truncate(12);
    let cache = folders::cache().ok_or_else(|| {
        Error::input("cannot find the user's directory for the built-in model's files").with_hint("Set SEGEARTH_CACHE.")
    })?;
    Ok(cache.join(format!("models/{NAME}-{}-{FORMAT}-{hash}", env!("CARGO_PKG_VERSION"))))
}
