//! What users have (CLIP weights, a tokenizer, an upsampler) to a bundle.

use std::fs;
use std::path::{Path, PathBuf};

use segearth_checkpoint::{
    self, Activation, ClipWeights, KnownActivation, LearnedUpsampler, PixelStatistics, read_clip,
    read_learned_upsampler,
};

use super::Normalisation;
use super::bundle::{self, Bundle, Card, CardNormalisation, Method, Provenance, Sizes, SourceFile};
use super::fetch;
use super::text::Tokenizer;
use crate::atomic;
use crate::error::{Context, Error, Result};
use crate::geom::MAX_WINDOW;
use crate::hash;
use crate::network::export::{self, DecoderFiles, ExportOptions, ImageFiles, Precision, TowerFiles, UpsamplerSource};
use crate::network::{Attention, PixelScale};
use crate::scene::Recommended;

/// The files and options of an import.
#[derive(Clone, Debug)]
pub struct Import {
    pub clip: PathBuf,
    pub tokenizer: PathBuf,
    /// `None`: logits per patch, resized bilinearly.
    pub upsampler: Option<PathBuf>,
    /// `None`: as the weights' file, a configuration beside it or its publisher says, else QuickGELU is assumed.
    pub activation: Option<KnownActivation>,
    /// How images are normalised, of pixels in 0..=1, where no configuration beside the weights says it; `None`: as CLIP's.
    pub pixels: Option<PixelStatistics>,
    pub attention: Attention,
    /// How many of the last blocks have it, at least 1.
    pub attention_blocks: usize,
    pub keep_residual: bool,
    /// Side of the window in pixels, a multiple of the patch.
    pub window: usize,
    pub precision: Precision,
    /// Settings for jobs that do not give their own; for the card.
    pub recommended: Recommended,
    /// Whether a bundle that is there is replaced.
    pub overwrite: bool,
}

/// Returns an error if the folder exists and is not empty, unless it is a bundle that may be replaced.
pub fn check_free(output: &Path, overwrite: bool) -> Result<()> {
    if fs::symlink_metadata(output).is_err() {
        return Ok(());
    }
    let exists = |what: String| Error::input(format!("{} already exists{what}", output.display()));
    let Ok(entries) = fs::read_dir(output) else {
        return Err(exists(" and is not a folder".into()).with_hint("Choose a folder that does not exist."));
    };
    let names: Vec<String> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    if names.is_empty() {
        return Ok(());
    }
    let known = [
        bundle::CARD,
        bundle::TOKENIZER,
        bundle::IMAGE_ENCODER,
        bundle::TEXT_ENCODER,
        bundle::PATCH_ENCODER,
        bundle::INT8_TOWER,
        bundle::PIXEL_DECODER,
        bundle::UPSAMPLER,
        bundle::NAF,
    ];
    let other = names.iter().find(|name| !known.contains(&name.as_str()));
    match (overwrite, other) {
        (true, None) => Ok(()),
        (true, Some(other)) => Err(exists(format!(" and has {other}, which does not belong to a bundle"))
            .with_hint("Choose another folder, or move that file: --overwrite only replaces bundles.")),
        (false, None) => Err(exists(String::new())
            .with_hint("Replace the bundle with --overwrite, or choose a folder that does not exist.")),
        (false, Some(_)) => {
            Err(exists(String::new()).with_hint("Choose a folder that does not exist, or remove this one first."))
        }
    }
}

/// Imports into the folder `output`, which must not exist unless it is a bundle that may be replaced. Adds assumptions to `notes`.
///
/// # Errors
/// A file has the wrong content, files do not belong together, or the folder exists or cannot be written. No files remain then.
pub fn import(request: &Import, output: &Path, notes: &mut Vec<String>) -> Result<Bundle> {
    check_free(output, request.overwrite)?;
    let clip = read_clip(&request.clip)?;
    let sizes = &clip.sizes;
    let tokenizer = Tokenizer::from_file(&request.tokenizer)?;
    tokenizer
        .check_embedding(sizes.vocab)
        .input(|| format!("{} does not belong to {}", request.tokenizer.display(), request.clip.display()))?;
    let upsampler = request.upsampler.as_deref().map(read_learned_upsampler).transpose()?;
    if request.window == 0 || !request.window.is_multiple_of(sizes.patch) {
        return Err(Error::input(format!(
            "the window is {} pixels, not a multiple of the patch, {} pixels",
            request.window, sizes.patch
        ))
        .with_hint(format!(
            "Use a multiple of {}, such as --window {}.",
            sizes.patch,
            sizes.patch * sizes.image_grid
        )));
    }
    if request.window > MAX_WINDOW {
        return Err(Error::input(format!(
            "the window is {} pixels; at most {} are allowed",
            request.window, MAX_WINDOW
        ))
        .with_hint("Models are trained on windows of 224 to 336 pixels; larger scenes are processed in windows."));
    }
    if !sizes.is_convolutional() && !(1..=sizes.vision_layers).contains(&request.attention_blocks) {
        return Err(Error::input(format!(
            "the attention is asked for in {} blocks; it must be from 1 to {}, the blocks of the image tower",
            request.attention_blocks, sizes.vision_layers
        ))
        .with_hint("The paper's is 1; SAR models take 2 (--attention-blocks 2)."));
    }
    if matches!(request.attention, Attention::ConInfer { .. }) && request.attention_blocks > 1 {
        return Err(Error::input(format!(
            "the attention {} is of the last block only; {} blocks are asked for",
            attention_name(request.attention),
            request.attention_blocks
        ))
        .with_hint("Leave --attention-blocks out, or take --attention segearth."));
    }
    if request.precision == Precision::Fp16 {
        fits_half(&clip)?;
    }
    if request.precision == Precision::Int8 && sizes.is_convolutional() {
        return Err(Error::input("int8 is for transformers; the image tower of these weights is convolutional")
            .with_hint("Use --precision fp32."));
    }
    let mut sources = sources("clip", &request.clip)?;
    notes.extend(clip.notes.iter().cloned());
    let KnownActivation { activation, from } = activation(request, &clip, &sources, notes);
    let trained = sizes.patch * sizes.image_grid;
    if request.window != trained {
        notes.push(format!(
            "the weights were trained on windows of {trained} pixels, and this model's window has {}: positions are interpolated. \
             `--window {trained}` is the trained size.",
            request.window
        ));
    }
    let normalisation = normalisation(clip.pixels.or(request.pixels), notes);

    let parent = atomic::parent(output);
    if let Some(file) = parent.ancestors().find(|above| above.is_file()) {
        return Err(Error::input(format!("cannot make the folder {}: {} is a file", output.display(), file.display()))
            .with_hint("Choose a folder that does not exist."));
    }
    fs::create_dir_all(parent).input(|| format!("cannot make the folder {}", parent.display()))?;
    let partial = tempfile::Builder::new().prefix(".segearth-import-").tempdir_in(parent);
    let partial = partial.input(|| format!("cannot write into {}", parent.display()))?;
    let folder = partial.path();
    let options = ExportOptions {
        activation,
        attention: request.attention,
        attention_blocks: request.attention_blocks,
        keep_residual: request.keep_residual,
        window: request.window,
        precision: request.precision,
    };
    let (name, has_kernels) = match &upsampler {
        Some(LearnedUpsampler::Naf(naf)) => (bundle::NAF, segearth_upsample::supports_naf(naf.channels, naf.heads)),
        _ => (bundle::UPSAMPLER, segearth_upsample::supports_patch(sizes.patch)),
    };
    let [whole, patch_encoder, int8] =
        [bundle::IMAGE_ENCODER, bundle::PATCH_ENCODER, bundle::INT8_TOWER].map(|name| folder.join(name));
    let tower = match request.precision {
        Precision::Int8 => TowerFiles::Int8(&int8),
        _ => TowerFiles::Traces { whole: &whole, patch_encoder: &patch_encoder },
    };
    let [pixel_decoder, weights] = [bundle::PIXEL_DECODER, name].map(|name| folder.join(name));
    let weights = has_kernels.then_some(weights.as_path());
    let decoder = DecoderFiles { pixel_decoder: &pixel_decoder, upsampler: weights };
    let Normalisation { mean, std } = normalisation;
    let weights = upsampler.as_ref().map(|upsampler| match upsampler {
        LearnedUpsampler::SimFeatUp(weights) => UpsamplerSource::SimFeatUp(weights),
        LearnedUpsampler::Naf(weights) => UpsamplerSource::Naf(weights, PixelScale { mean, std }),
    });
    export::image_encoder(&clip, weights, &options, &ImageFiles { tower, decoder })?;
    export::text_encoder(&clip, activation, &folder.join(bundle::TEXT_ENCODER))?;
    fs::write(folder.join(bundle::TOKENIZER), tokenizer.to_json()?)
        .input(|| format!("cannot write {}", folder.join(bundle::TOKENIZER).display()))?;

    sources.push(source("tokenizer", &request.tokenizer)?);
    if let Some(path) = &request.upsampler {
        let source = source("upsampler", path)?;
        if fetch::SIMFEATUP.sha256 == Some(source.sha256.as_str()) {
            notes.extend(fetch::upsampler_note(sizes.patch));
        }
        sources.push(source);
    }
    let mut recommended = request.recommended;
    if request.attention == Attention::Gem && recommended.debias.is_none() {
        notes.push("gem has no [CLS] feature of its own: jobs run without debiasing unless they set it.".to_owned());
        recommended.debias = Some(0.0);
    }
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
            attention_blocks: request.attention_blocks,
            keep_residual: request.keep_residual,
            activation: activation.name().to_owned(),
            activation_from: from,
            upsampler: upsampler.as_ref().map_or("none", LearnedUpsampler::name).to_owned(),
            precision: precision_name(request.precision).to_owned(),
        },
        recommended,
        provenance: Provenance { made_by: concat!("segearth ", env!("CARGO_PKG_VERSION")).to_owned(), sources },
        files: Default::default(),
    };
    let written = bundle::write_card(folder, card)?;
    // Meanwhile somebody may have put something there.
    check_free(output, request.overwrite)?;
    if output.exists() {
        atomic::exchange(folder, output)?;
    } else {
        fs::rename(folder, output).input(|| format!("cannot make the folder {}", output.display()))?;
    }
    // The folder has its final name and is not to be removed with the temporary one.
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

/// Returns the activation of the weights: the user's, else that of their file or of a configuration beside it, else that of their known
/// publisher, else an assumption, with a note.
fn activation(
    request: &Import,
    clip: &ClipWeights,
    sources: &[SourceFile],
    notes: &mut Vec<String>,
) -> KnownActivation {
    if let Some(given) = &request.activation {
        if let Some(known) = clip.activation.as_ref().filter(|known| known.activation != given.activation) {
            notes.push(format!(
                "the activation of the weights is {} according to {}; {} was used, as requested.",
                known.activation.name(),
                known.from,
                given.activation.name()
            ));
        }
        return given.clone();
    }
    if let Some(known) = &clip.activation {
        return known.clone();
    }
    if let Some(model) = sources.first().and_then(|source| fetch::published(&source.sha256)) {
        notes.extend(model.activation_note.map(str::to_owned));
        return model.known_activation();
    }
    notes.push(
        "the activation of the weights is not known: quickgelu was assumed, which is right for OpenAI's weights and those derived \
         from them. Most of open_clip's own weights (LAION, DataComp) have gelu; the wrong activation changes labels. Put their \
         open_clip_config.json or config.json beside them, or set `--activation gelu`."
            .to_owned(),
    );
    KnownActivation { activation: Activation::QuickGelu, from: bundle::ASSUMED.to_owned() }
}

/// Returns the normalisation of pixels in 0..=255.
fn normalisation(trained: Option<PixelStatistics>, notes: &mut Vec<String>) -> Normalisation {
    let usual = Normalisation::CLIP;
    let Some(PixelStatistics { mean, std }) = trained else { return usual };
    let scaled = |values: [f64; 3]| values.map(|value| (255.0 * value) as f32);
    let (mean, std) = (scaled(mean), scaled(std));
    // The published values are rounded to three decimals.
    let near = |a: [f32; 3], b: [f32; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.01);
    if near(mean, usual.mean) && near(std, usual.std) {
        return usual;
    }
    notes.push(format!(
        "the weights were trained with another normalisation than CLIP's, according to the configuration beside them or their publisher: mean {mean:?} and \
         standard deviation {std:?} (of 0 to 255) were used."
    ));
    Normalisation { mean, std }
}

/// Returns an error if a weight overflows in float16.
fn fits_half(clip: &ClipWeights) -> Result<()> {
    const LARGEST: f32 = 65504.0;
    for (name, tensor) in clip.tensors.iter().filter(|(name, _)| name.starts_with("visual.")) {
        if let Some((_, value)) = tensor.first_beyond(LARGEST) {
            return Err(Error::input(format!(
                "the tensor {name} has the value {value}, beyond the range of float16 (±{LARGEST})"
            ))
            .with_hint("Use --precision bf16 or fp32."));
        }
    }
    Ok(())
}

/// The files that a checkpoint is made of: the one given first, under its role.
fn sources(role: &str, path: &Path) -> Result<Vec<SourceFile>> {
    let files = segearth_checkpoint::files(path)?;
    let roles = std::iter::once(role.to_owned()).chain(std::iter::repeat(format!("{role}-part")));
    files.iter().zip(roles).map(|(path, role)| source(&role, path)).collect()
}

fn source(role: &str, path: &Path) -> Result<SourceFile> {
    Ok(SourceFile {
        role: role.to_owned(),
        file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        sha256: hash::of_file(path)?,
    })
}

/// How a bundle's network was built, by its card.
#[derive(Clone, Copy, Debug)]
pub struct Built {
    pub activation: Activation,
    pub attention: Attention,
    pub precision: Precision,
}

impl Built {
    /// # Errors
    /// The card has a word that no import writes.
    pub fn read(bundle: &Bundle) -> Result<Self> {
        let method = &bundle.card.method;
        let unknown = |what: &str, value: &str| {
            Error::input(format!("{}: method.{what} is {value:?}, which no import writes", bundle.folder.display()))
                .with_hint("Import the model again.")
        };
        Ok(Self {
            activation: activation_named(&method.activation)
                .ok_or_else(|| unknown("activation", &method.activation))?,
            attention: attention_named(&method.attention).ok_or_else(|| unknown("attention", &method.attention))?,
            precision: precision_named(&method.precision).ok_or_else(|| unknown("precision", &method.precision))?,
        })
    }
}

/// Returns the [`Import::attention`] with a name in a card.
pub fn attention_named(name: &str) -> Option<Attention> {
    use Attention::*;
    let all = [
        SegEarth,
        ClearClip,
        Sclip,
        MaskClip,
        Vanilla,
        NaClip,
        NOnly,
        Gav,
        Gem,
        ConInfer { percent: 60 },
        ConInfer { percent: 10 },
    ];
    all.into_iter().find(|one| attention_name(*one) == name)
}

/// Returns the activation that an import determined.
pub fn activation_named(name: &str) -> Option<Activation> {
    [Activation::QuickGelu, Activation::Gelu].into_iter().find(|one| one.name() == name)
}

/// What [`Import::precision`] was.
pub fn precision_named(name: &str) -> Option<Precision> {
    [Precision::Fp32, Precision::Fp16, Precision::Bf16, Precision::Int8]
        .into_iter()
        .find(|one| precision_name(*one) == name)
}

/// Returns the name of an attention in a card.
pub fn attention_name(attention: Attention) -> &'static str {
    match attention {
        Attention::SegEarth => "segearth",
        Attention::ClearClip => "clearclip",
        Attention::Sclip => "sclip",
        Attention::MaskClip => "maskclip",
        Attention::Vanilla => "vanilla",
        Attention::NaClip => "naclip",
        Attention::NOnly => "nonly",
        Attention::Gav => "gav",
        Attention::Gem => "gem",
        Attention::ConInfer { percent: 10 } => "coninfer-0.1",
        Attention::ConInfer { .. } => "coninfer",
    }
}

fn precision_name(precision: Precision) -> &'static str {
    match precision {
        Precision::Fp32 => "fp32",
        Precision::Fp16 => "fp16",
        Precision::Bf16 => "bf16",
        Precision::Int8 => "int8",
    }
}
