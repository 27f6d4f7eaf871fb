//! A model on disk: a folder with TorchScript, tokenizer and `model.yaml`, which says what they are and what they hash to.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Normalisation;
use crate::error::{Context, Error, Result};
use crate::geom::MAX_WINDOW;
use crate::hash;
use crate::scene::Recommended;

pub const IMAGE_ENCODER: &str = "image_encoder.pt";
pub const TEXT_ENCODER: &str = "text_encoder.pt";
/// The first half of the image encoder, from images to patch features.
pub const PATCH_ENCODER: &str = "patch_encoder.pt";
/// The weights of the image tower with MLPs of int8, in place of the traces of the encoder and of its first half.
pub const INT8_TOWER: &str = "image_tower.safetensors";
/// The second half, from images, patch features and queries to logits.
pub const PIXEL_DECODER: &str = "pixel_decoder.pt";
/// The weights with which the second half is computed by kernels of our own; only for learned upsamplers.
pub const UPSAMPLER: &str = "upsampler.safetensors";
/// The same of NAF.
pub const NAF: &str = "naf.safetensors";
pub const TOKENIZER: &str = "tokenizer.json";
pub const CARD: &str = "model.yaml";

/// The layout of `model.yaml` that this program writes and reads.
pub const FORMAT: u32 = 2;

/// What `method.activation_from` says where the activation is a guess.
pub const ASSUMED: &str = "assumed";

/// Longest `model.yaml` that is read, in bytes.
const CARD_LIMIT: u64 = 1 << 20;

/// `model.yaml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    pub format: u32,
    pub name: String,
    pub sizes: Sizes,
    #[serde(default = "CardNormalisation::clip")]
    pub normalisation: CardNormalisation,
    #[serde(default)]
    pub method: Method,
    /// Settings for jobs that do not give their own.
    #[serde(default, skip_serializing_if = "Recommended::is_empty")]
    pub recommended: Recommended,
    /// Where the weights came from.
    #[serde(default)]
    pub provenance: Provenance,
    /// File name and SHA-256 of everything else in the folder. A file that is not named is loaded only when trusted.
    #[serde(default)]
    pub files: std::collections::BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sizes {
    /// Side of a patch in pixels.
    pub patch: usize,
    /// Side of a window in pixels, unless a job asks for another.
    pub window: usize,
    /// Width of the joint space (D).
    pub embed_dim: usize,
    /// Tokens of a text, start and end included.
    pub context: usize,
    /// Rows of the text tower's embedding table.
    pub vocabulary: usize,
}

/// Of red, green, blue in 0..=255.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardNormalisation {
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

impl CardNormalisation {
    fn clip() -> Self {
        let Normalisation { mean, std } = Normalisation::CLIP;
        Self { mean, std }
    }
}

/// One block is the rule, and not said.
fn is_one(blocks: &usize) -> bool {
    *blocks == 1
}

impl Default for Method {
    fn default() -> Self {
        Self {
            attention: String::new(),
            attention_blocks: 1,
            keep_residual: false,
            activation: String::new(),
            activation_from: String::new(),
            upsampler: String::new(),
            precision: String::new(),
        }
    }
}

/// How the image encoder was made; for people to read, but for the precision: a CPU does its own half in no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Method {
    pub attention: String,
    /// How many of the last blocks have it; their outputs are summed.
    #[serde(skip_serializing_if = "is_one")]
    pub attention_blocks: usize,
    pub keep_residual: bool,
    pub activation: String,
    /// Where the activation is known from: a file's name, `--activation`, a publisher; [`ASSUMED`] where nothing told it. Empty in
    /// bundles that do not record it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub activation_from: String,
    pub upsampler: String,
    pub precision: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Provenance {
    /// The program that wrote the bundle.
    pub made_by: String,
    /// The files that were imported: what each was, its name, its SHA-256.
    pub sources: Vec<SourceFile>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    pub role: String,
    pub file: String,
    pub sha256: String,
}

/// A bundle whose files exist and have the hashes of its card.
#[derive(Clone, Debug)]
pub struct Bundle {
    pub folder: PathBuf,
    pub card: Card,
}

/// Whether files with another hash than the card's are loaded. TorchScript archives can contain code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Refuse them.
    Hashes,
    /// The user vouches for them.
    User,
}

impl Bundle {
    /// Returns whether the folder has a card, valid or not.
    ///
    /// # Errors
    /// There is none.
    pub fn find(folder: &Path) -> Result<()> {
        if folder.join(CARD).is_file() {
            return Ok(());
        }
        let what = match () {
            () if folder.is_dir() => format!("the folder has no {CARD}"),
            () if folder.exists() => "the path is a file, not a folder".into(),
            () => "the folder does not exist".into(),
        };
        Err(Error::input(what).with_hint("Create a model with `segearth model import`, or give the folder of one."))
            .input(|| format!("cannot use the model in {}", folder.display()))
    }

    /// Reads the card and checks every file against it.
    pub fn open(folder: &Path, trust: Trust) -> Result<Self> {
        let place = || format!("cannot use the model in {}", folder.display());
        Self::find(folder)?;
        let card = read_card(&folder.join(CARD)).input(place).map_err(|error| match error.hint() {
            Some(_) => error,
            None => error.with_hint(format!("Import the model again, or write {CARD} as an import does.")),
        })?;
        let named = |name: &&str| card.files.contains_key(*name);
        let tower = if named(&INT8_TOWER) { &[INT8_TOWER][..] } else { &[IMAGE_ENCODER, PATCH_ENCODER] };
        let required = tower.iter().copied().chain([PIXEL_DECODER, TEXT_ENCODER, TOKENIZER]);
        let names: Vec<&str> = required.chain([UPSAMPLER, NAF].into_iter().filter(named)).collect();
        let checks: Vec<Result<()>> = names
            .par_iter()
            .map(|&name| check_file(folder, name, card.files.get(name).map(String::as_str), trust).input(place))
            .collect();
        checks.into_iter().collect::<Result<()>>()?;
        Ok(Self { folder: folder.to_owned(), card })
    }

    pub fn image_encoder(&self) -> PathBuf {
        self.folder.join(IMAGE_ENCODER)
    }

    /// The trace of the image tower.
    pub fn patch_encoder(&self) -> PathBuf {
        self.folder.join(PATCH_ENCODER)
    }

    /// The weights of the image tower, where its MLPs are int8.
    pub fn int8_tower(&self) -> Option<PathBuf> {
        self.card.files.contains_key(INT8_TOWER).then(|| self.folder.join(INT8_TOWER))
    }

    /// The trace of what follows the image tower.
    pub fn pixel_decoder(&self) -> PathBuf {
        self.folder.join(PIXEL_DECODER)
    }

    /// The weights of the learned upsampler, where the model has one for kernels of our own.
    pub fn upsampler(&self) -> Option<PathBuf> {
        self.card.files.contains_key(UPSAMPLER).then(|| self.folder.join(UPSAMPLER))
    }

    /// The weights of NAF, where the model has it for kernels of our own.
    pub fn naf(&self) -> Option<PathBuf> {
        self.card.files.contains_key(NAF).then(|| self.folder.join(NAF))
    }

    /// Whether the upsampler is NAF, whose intermediate results are hundreds of megabytes for each window.
    pub fn has_naf(&self) -> bool {
        self.card.method.upsampler == "naf"
    }

    /// The SHA-256 of the image tower's file.
    pub fn patch_encoder_sha256(&self) -> Result<String> {
        match self.card.files.get(INT8_TOWER).or_else(|| self.card.files.get(PATCH_ENCODER)) {
            Some(hash) => Ok(hash.clone()),
            None => hash::of_file(&self.patch_encoder()),
        }
    }

    /// The SHA-256 of the image encoder's file, as the card says; empty if it does not.
    pub fn image_encoder_sha256(&self) -> String {
        let files = &self.card.files;
        files.get(INT8_TOWER).or_else(|| files.get(IMAGE_ENCODER)).cloned().unwrap_or_default()
    }

    pub fn text_encoder(&self) -> PathBuf {
        self.folder.join(TEXT_ENCODER)
    }

    pub fn tokenizer(&self) -> PathBuf {
        self.folder.join(TOKENIZER)
    }

    pub fn normalisation(&self) -> Normalisation {
        Normalisation { mean: self.card.normalisation.mean, std: self.card.normalisation.std }
    }

    /// The card as text, after the folder.
    pub fn describe(&self) -> Result<String> {
        let card = serde_yaml::to_string(&self.card).internal(|| "cannot write the model's card as YAML".into())?;
        Ok(format!("# {}\n{card}", self.folder.join(CARD).display()))
    }

    /// Returns whether the activation of the weights was assumed at import.
    pub fn activation_is_assumed(&self) -> bool {
        self.card.method.activation_from == ASSUMED
    }

    /// What queries depend on: the text tower's and the tokenizer's content, and how many tokens are taken.
    pub fn text_fingerprint(&self) -> Result<String> {
        let hash = |name: &str| match self.card.files.get(name) {
            Some(hash) => Ok(hash.clone()),
            None => hash::of_file(&self.folder.join(name)),
        };
        Ok(format!("{} {} {}", hash(TEXT_ENCODER)?, hash(TOKENIZER)?, self.card.sizes.context))
    }
}

fn read_card(path: &Path) -> Result<Card> {
    let mut text = String::new();
    let file = File::open(path).input(|| format!("cannot open {CARD}"))?;
    file.take(CARD_LIMIT + 1).read_to_string(&mut text).input(|| format!("cannot read {CARD}"))?;
    if text.len() as u64 > CARD_LIMIT {
        return Err(Error::input(format!("{CARD} has more than the {CARD_LIMIT} bytes allowed")));
    }
    let card: Card = serde_yaml::from_str(&text).input(|| format!("{CARD} is not a model's card"))?;
    if card.format != FORMAT {
        return Err(Error::input(format!("{CARD} has format {}; this version reads format {FORMAT}", card.format))
            .with_hint("Import the model again with this version of segearth."));
    }
    check_numbers(&card)?;
    Ok(card)
}

/// Refuses what no model can be, before anything is made of these sizes.
fn check_numbers(card: &Card) -> Result<()> {
    let Sizes { patch, window, embed_dim, context, vocabulary } = card.sizes;
    for (what, value, least, most) in [
        ("patch", patch, 1, 1024),
        ("window", window, 1, MAX_WINDOW),
        ("embed_dim", embed_dim, 1, 1 << 16),
        // A start, a word and an end.
        ("context", context, 3, 1 << 16),
        ("vocabulary", vocabulary, 1, 1 << 24),
    ] {
        if !(least..=most).contains(&value) {
            return Err(Error::input(format!("{CARD}: sizes.{what} is {value}; {least} to {most} are allowed")));
        }
    }
    if !window.is_multiple_of(patch) {
        return Err(Error::input(format!("{CARD}: sizes.window is {window}, not a multiple of sizes.patch, {patch}")));
    }
    if let Some(error) = card.recommended.error(window) {
        return Err(Error::input(format!("{CARD}: {error}")));
    }
    let CardNormalisation { mean, std } = card.normalisation;
    if std.iter().any(|&std| !(std > 0.0 && std.is_finite())) {
        return Err(Error::input(format!("{CARD}: normalisation.std is {std:?}; all three must be positive")));
    }
    if mean.iter().any(|mean| !mean.is_finite()) {
        return Err(Error::input(format!("{CARD}: normalisation.mean is {mean:?}; all three must be finite")));
    }
    Ok(())
}

fn check_file(folder: &Path, name: &str, expected: Option<&str>, trust: Trust) -> Result<()> {
    let path = folder.join(name);
    if !path.is_file() {
        return Err(Error::input(format!("{name} is missing")).with_hint("Import the model again."));
    }
    if trust == Trust::User {
        return Ok(());
    }
    let hint = "TorchScript archives can contain code. If you trust the source of this file, add --trust; otherwise import the model again.";
    let Some(expected) = expected else {
        return Err(Error::input(format!("{CARD} has no SHA-256 of {name}")).with_hint(hint));
    };
    let found = hash::of_file(&path)?;
    if !found.eq_ignore_ascii_case(expected) {
        return Err(Error::input(format!("{name} has SHA-256 {found}, {CARD} says {expected}")).with_hint(hint));
    }
    Ok(())
}

/// Writes the card of a folder that has all other files, with their hashes.
pub fn write_card(folder: &Path, mut card: Card) -> Result<Bundle> {
    let tower = if folder.join(INT8_TOWER).is_file() { &[INT8_TOWER][..] } else { &[IMAGE_ENCODER, PATCH_ENCODER] };
    let upsampler = [UPSAMPLER, NAF].into_iter().filter(|name| folder.join(name).is_file());
    for name in tower.iter().copied().chain([PIXEL_DECODER, TEXT_ENCODER, TOKENIZER]).chain(upsampler) {
        card.files.insert(name.to_owned(), hash::of_file(&folder.join(name))?);
    }
    let text = serde_yaml::to_string(&card).internal(|| "cannot write the model's card as YAML".into())?;
    fs::write(folder.join(CARD), text).input(|| format!("cannot write {}", folder.join(CARD).display()))?;
    Ok(Bundle { folder: folder.to_owned(), card })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD_TEXT: &str = "format: 2\nname: small\nsizes: {patch: 16, window: 224, embed_dim: 32, context: 77, \
                             vocabulary: 600}\nnormalisation: {mean: [122.7, 116.7, 104.0], std: [68.5, 66.6, 70.3]}\n";

    /// Returns the error of a card, and whether it has a hint.
    fn error(card: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CARD), card).unwrap();
        let error = Bundle::open(folder.path(), Trust::Hashes).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot use the model in {}", folder.path().display()));
        assert!(error.hint().is_some() && error.exit_code() == 1, "{error:?}");
        error.causes().join(": ")
    }

    /// Cards of bundles that were made before these keys were there are read, and written as they were.
    #[test]
    fn cards_without_newer_keys_are_read() {
        let older = CARD_TEXT.to_owned()
            + "method: {attention: segearth, keep_residual: false, activation: gelu, upsampler: none, \
                                            precision: fp32}\n";
        let card: Card = serde_yaml::from_str(&older).unwrap();
        assert_eq!((card.method.activation.as_str(), card.method.activation_from.as_str()), ("gelu", ""));
        assert!(!serde_yaml::to_string(&card).unwrap().contains("activation_from"));
        let newer = older.replace("activation: gelu", "activation: gelu, activation_from: assumed");
        let card: Card = serde_yaml::from_str(&newer).unwrap();
        assert!(Bundle { folder: PathBuf::new(), card }.activation_is_assumed());
    }

    #[test]
    fn cards_with_invalid_numbers_are_refused() {
        for (from, to, what) in [
            ("patch: 16", "patch: 0", "sizes.patch is 0; 1 to 1024 are allowed"),
            ("patch: 16", "patch: -1", "sizes.patch: invalid type: integer `-1`"),
            ("patch: 16", "patch: lots", "sizes.patch: invalid type: string \"lots\""),
            ("patch: 16", "patch: 15", "sizes.window is 224, not a multiple of sizes.patch, 15"),
            ("window: 224", "window: 1600000", "sizes.window is 1600000; 1 to 4096 are allowed"),
            ("window: 224", "window: 18446744073709551616", "sizes.window"),
            ("context: 77", "context: 1", "sizes.context is 1; 3 to 65536 are allowed"),
            ("format: 2", "format: 1", "model.yaml has format 1; this version reads format 2"),
            ("sizes:", "size:", "unknown field `size`"),
            ("[68.5", "[0", "normalisation.std is [0.0, "),
            ("[122.7", "[.inf", "normalisation.mean is [inf, "),
            ("format: 2\n", "- a\n- b\n", "model.yaml is not a model's card"),
        ] {
            assert!(CARD_TEXT.contains(from), "{from}");
            let said = error(&CARD_TEXT.replacen(from, to, 1));
            assert!(said.contains(what), "{to}: {said}");
        }
        assert!(error(CARD_TEXT).contains("image_encoder.pt is missing"));
        assert!(error(&"#".repeat(2_000_000)).contains("has more than the 1048576 bytes allowed"));
        let nested = "a: &a [x, x]\nb: &b [*a, *a]\n".to_owned() + &"c: &c [*b, *b]\n".repeat(3);
        assert!(error(&nested).contains("is not a model's card"));
    }
}
