//! What users have (CLIP weights, a tokenizer, an upsampler) to a bundle.

use std::fs;
use std::path::{Path, PathBuf};

use super::Normalisation;
use super::bundle::{self, Bundle, Card, CardNormalisation, Method, Provenance, Sizes, SourceFile};
use super::text::Tokenizer;
use crate::error::{Context, Error, Result};
use crate::geom::MAX_WINDOW;
use crate::hash;
use crate::network::Attention;
use crate::network::checkpoint::{Activation, read_clip, read_upsampler};
use crate::network::export::{self, ExportOptions, Halves, ImageFiles, Precision};
use crate::upsample;

/// What to make a bundle of, and how.
#[derive(Clone, Debug)]
pub struct Import {
    pub clip: PathBuf,
    pub tokenizer: PathBuf,
    /// `None`: logits per patch, resized bilinearly.
    pub upsampler: Option<PathBuf>,
    /// `None`: as a configuration beside the weights says, else QuickGELU.
    pub activation: Option<Activation>,
    pub attention: Attention,
    pub keep_residual: bool,
    /// Side of the window in pixels, a multiple of the patch.
    pub window: usize,
    pub precision: Precision,
}

/// Refuses a folder that is there and holds anything.
pub fn prove_free(output: &Path) -> Result<()> {
    if output.exists() && fs::read_dir(output).map_or(true, |mut entries| entries.next().is_some()) {
        return Err(Error::input(format!("{} is there already", output.display()))
            .with_hint("Name a folder that does not exist yet, or remove this one first."));
    }
    Ok(())
}

/// Imports into the folder `output`, which must not be there yet. `notes` get what had to be assumed.
///
/// # Errors
/// A file that is not what it should be; files that do not belong together; a folder that is there or cannot be written.
/// Nothing is left behind then.
pub fn import(request: &Import, output: &Path, notes: &mut Vec<String>) -> Result<Bundle> {
    prove_free(output)?;
    let clip = read_clip(&request.clip)?;
    let sizes = &clip.sizes;
    let tokenizer = Tokenizer::from_file(&request.tokenizer)?;
    tokenizer
        .check_embedding(sizes.vocab)
        .input(|| format!("{} does not belong to {}", request.tokenizer.display(), request.clip.display()))?;
    let upsampler = request.upsampler.as_deref().map(read_upsampler).transpose()?;
    if request.window == 0 || !request.window.is_multiple_of(sizes.patch) {
        return Err(Error::input(format!(
            "a window of {} pixels does not hold whole patches of {} pixels",
            request.window, sizes.patch
        ))
        .with_hint(format!(
            "Give a multiple of {}, such as --window {}.",
            sizes.patch,
            sizes.patch * sizes.image_grid
        )));
    }
    if request.window > MAX_WINDOW {
        return Err(Error::input(format!(
            "a window of {} pixels is too large: at most {} are possible",
            request.window, MAX_WINDOW
        ))
        .with_hint("The models were trained on windows of 224 to 336 pixels; larger scenes are cut into windows."));
    }
    notes.extend(clip.notes.iter().cloned());
    let activation = request.activation.or(clip.activation).unwrap_or(Activation::QuickGelu);

    let parent = match output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if let Some(file) = parent.ancestors().find(|above| above.is_file()) {
        return Err(Error::input(format!("cannot make the folder {}: {} is a file", output.display(), file.display()))
            .with_hint("Name a folder that does not exist yet."));
    }
    fs::create_dir_all(parent).input(|| format!("cannot make the folder {}", parent.display()))?;
    let partial = tempfile::Builder::new().prefix(".segearth-import-").tempdir_in(parent);
    let partial = partial.input(|| format!("cannot write into {}", parent.display()))?;
    let folder = partial.path();
    let options = ExportOptions {
        activation,
        attention: request.attention,
        keep_residual: request.keep_residual,
        window: request.window,
        precision: request.precision,
    };
    let [whole, patch_encoder, weights] =
        [bundle::IMAGE_ENCODER, bundle::PATCH_ENCODER, bundle::UPSAMPLER].map(|name| folder.join(name));
    let halves = Halves { patch_encoder: &patch_encoder, upsampler: &weights };
    let halves = upsample::serves(sizes.patch).then_some(halves);
    export::image_encoder(&clip, upsampler.as_ref(), &options, &ImageFiles { whole: &whole, halves })?;
    export::text_encoder(&clip, activation, &folder.join(bundle::TEXT_ENCODER))?;
    fs::write(folder.join(bundle::TOKENIZER), tokenizer.to_json()?)
        .input(|| format!("cannot write {}", folder.join(bundle::TOKENIZER).display()))?;

    let mut sources = vec![source("clip", &request.clip)?, source("tokenizer", &request.tokenizer)?];
    if let Some(path) = &request.upsampler {
        sources.push(source("upsampler", path)?);
    }
    let Normalisation { mean, std } = Normalisation::CLIP;
    let card = Card {
        format: bundle::FORMAT,
        name: output.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        sizes: Sizes {
            patch: sizes.patch,
            window: request.window,
            embed_dim: sizes.embed_dim,
            context: sizes.context,
            vocabulary: sizes.vocab,
        },
        normalisation: CardNormalisation { mean, std },
        method: Method {
            attention: attention_name(request.attention).to_owned(),
            keep_residual: request.keep_residual,
            activation: activation_name(activation).to_owned(),
            upsampler: export::upsampler_name(upsampler.map(|upsampler| upsampler.kind)).to_owned(),
            precision: precision_name(request.precision).to_owned(),
        },
        provenance: Provenance { made_by: concat!("segearth ", env!("CARGO_PKG_VERSION")).to_owned(), sources },
        files: Default::default(),
    };
    let written = bundle::write_card(folder, card)?;
    if output.exists() {
        fs::remove_dir(output).input(|| format!("cannot replace the empty folder {}", output.display()))?;
    }
    fs::rename(folder, output).input(|| format!("cannot make the folder {}", output.display()))?;
    // The folder has its final name now: nothing of it is temporary any more.
    let _ = partial.keep();
    make_readable(output)?;
    Ok(Bundle { folder: output.to_owned(), ..written })
}

/// Temporary folders are their owner's alone; a bundle is as readable as any other folder.
fn make_readable(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
        .input(|| format!("cannot set the permissions of {}", folder.display()))
}

fn source(role: &str, path: &Path) -> Result<SourceFile> {
    Ok(SourceFile {
        role: role.to_owned(),
        file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        sha256: hash::of_file(path)?,
    })
}

/// What [`Import::attention`] was, by the name that a bundle's card gives it.
pub fn attention_named(name: &str) -> Option<Attention> {
    use Attention::*;
    [SegEarth, ClearClip, Sclip, MaskClip, Vanilla].into_iter().find(|one| attention_name(*one) == name)
}

/// What [`Import::activation`] came to.
pub fn activation_named(name: &str) -> Option<Activation> {
    [Activation::QuickGelu, Activation::Gelu].into_iter().find(|one| activation_name(*one) == name)
}

/// What [`Import::precision`] was.
pub fn precision_named(name: &str) -> Option<Precision> {
    [Precision::Fp32, Precision::Fp16, Precision::Bf16].into_iter().find(|one| precision_name(*one) == name)
}

fn attention_name(attention: Attention) -> &'static str {
    match attention {
        Attention::SegEarth => "segearth",
        Attention::ClearClip => "clearclip",
        Attention::Sclip => "sclip",
        Attention::MaskClip => "maskclip",
        Attention::Vanilla => "vanilla",
    }
}

fn activation_name(activation: Activation) -> &'static str {
    match activation {
        Activation::QuickGelu => "quickgelu",
        Activation::Gelu => "gelu",
    }
}

fn precision_name(precision: Precision) -> &'static str {
    match precision {
        Precision::Fp32 => "fp32",
        Precision::Fp16 => "fp16",
        Precision::Bf16 => "bf16",
    }
}
