//! What is measured: a model, and the scene that it is given.

use std::fs;
use std::path::{Path, PathBuf};

use segearth_checkpoint::Activation;

use crate::cli::{BenchArgs, Precision, RANDOM, RANDOM_LARGE, RANDOM_NAF};
use crate::error::{Context, Result};
use crate::geom::Size;
use crate::model::bundle::{self, Bundle, Card, Method, Sizes, Trust};
use crate::model::registry::Model;
use crate::model::{Normalisation, Queries, import, mini};
use crate::network::export::{self, DecoderFiles, ExportOptions, ImageFiles, TowerFiles, UpsamplerSource};
use crate::network::{Attention, PixelScale, random};
use crate::pipeline::ModelChoice;
use crate::raster::ScoreWriter;
use crate::scene::{RasterLayout, Recommended, ScoreType};

/// The generated scene: 8 × 4 windows of 224 with a stride of 112.
pub const SCENE: Size = Size { width: 1008, height: 560 };

/// The files of a model, and of the transformer alone.
pub struct Subject {
    pub bundle: Bundle,
    /// The transformer as CLIP was trained, where the weights are at hand.
    pub baseline: Option<PathBuf>,
    pub name: String,
}

impl Subject {
    /// A named bundle, or random weights as a bundle in `folder`.
    pub fn new(args: &BenchArgs, folder: &Path, trust: Trust) -> Result<Option<Self>> {
        if is_random(&args.model) {
            return Self::random(args, args.precision, folder).map(Some);
        }
        let model = match ModelChoice::of(&args.model, PathBuf::from(&args.model)) {
            ModelChoice::Bundle(folder) => Model::in_folder(&folder, trust)?,
            ModelChoice::Named(name) => Model::named(&name, trust)?,
        };
        Ok(match model {
            Model::Bundle(bundle) => Some(Self { name: bundle.card.name.clone(), bundle: *bundle, baseline: None }),
            Model::Fake(_) => None,
        })
    }

    /// Random weights, always the same ones, in a precision.
    pub fn random(args: &BenchArgs, precision: Precision, folder: &Path) -> Result<Self> {
        let clip = if args.model == RANDOM_LARGE { random::vit_l_14()? } else { random::vit_b_16()? };
        let (jbu_one, naf) = match args.model == RANDOM_NAF {
            true => (None, Some(random::naf()?)),
            false => (Some(random::jbu_one(clip.sizes.embed_dim)?), None),
        };
        let Normalisation { mean, std } = Normalisation::CLIP;
        let upsampler = match &naf {
            Some(weights) => Some(UpsamplerSource::Naf(weights, PixelScale { mean, std })),
            None => jbu_one.as_ref().map(UpsamplerSource::SimFeatUp),
        };
        let name = precision.to_string();
        let precision = export::Precision::from(precision);
        let options = ExportOptions {
            activation: Activation::QuickGelu,
            attention: Attention::SegEarth,
            attention_blocks: 1,
            keep_residual: false,
            window: 224,
            precision,
        };
        let path = |name: &str| folder.join(name);
        let baseline = path("baseline.pt");
        let (whole, patch_encoder) = (path(bundle::IMAGE_ENCODER), path(bundle::PATCH_ENCODER));
        let (int8, pixel_decoder) = (path(bundle::INT8_TOWER), path(bundle::PIXEL_DECODER));
        let weights = path(if naf.is_some() { bundle::NAF } else { bundle::UPSAMPLER });
        let tower = match precision {
            export::Precision::Int8 => TowerFiles::Int8(&int8),
            _ => TowerFiles::Traces { whole: &whole, patch_encoder: &patch_encoder },
        };
        let decoder = DecoderFiles { pixel_decoder: &pixel_decoder, upsampler: Some(&weights) };
        export::image_encoder(&clip, upsampler, &options, &ImageFiles { tower, decoder })?;
        export::baseline_transformer(&clip, &options, &baseline)?;
        let nothing = |name: &str| fs::write(path(name), []).input(|| format!("cannot write {}", path(name).display()));
        match args.text {
            true => export::text_encoder(&clip, options.activation, &path(bundle::TEXT_ENCODER))?,
            false => nothing(bundle::TEXT_ENCODER)?,
        }
        nothing(bundle::TOKENIZER)?;
        let Normalisation { mean, std } = Normalisation::CLIP;
        let sizes = &clip.sizes;
        let card = Card {
            format: bundle::FORMAT,
            name: args.model.clone(),
            sizes: Sizes {
                patch: sizes.patch,
                window: options.window,
                embed_dim: sizes.embed_dim,
                context: sizes.context,
                vocabulary: sizes.vocab,
            },
            normalisation: bundle::CardNormalisation { mean, std },
            method: Method {
                precision: name,
                activation: options.activation.name().to_owned(),
                attention: import::attention_name(options.attention).to_owned(),
                ..Method::default()
            },
            recommended: Recommended::NONE,
            provenance: Default::default(),
            files: Default::default(),
        };
        Ok(Self { bundle: bundle::write_card(folder, card)?, baseline: Some(baseline), name: args.model.clone() })
    }

    /// A tokenizer for the bundle's text tower; random weights understand the embedded model's as well as any other.
    pub fn tokenizer(&self) -> Result<crate::model::text::Tokenizer> {
        match is_random(&self.name) {
            true => mini::tokenizer(),
            false => {
                let tokenizer = crate::model::text::Tokenizer::from_json_file(&self.bundle.tokenizer())?;
                Ok(tokenizer.with_context(self.bundle.card.sizes.context))
            }
        }
    }
}

/// Whether a name stands for random weights.
pub fn is_random(name: &str) -> bool {
    [RANDOM, RANDOM_LARGE, RANDOM_NAF].contains(&name)
}

/// Queries of unit length that mean nothing.
pub fn queries(count: usize, width: usize) -> Queries {
    let mut features: Vec<f32> = (0..count * width).map(|index| noise(index as u32) - 0.5).collect();
    for feature in features.chunks_exact_mut(width) {
        let length = feature.iter().map(|value| value * value).sum::<f32>().sqrt();
        feature.iter_mut().for_each(|value| *value /= length);
    }
    Queries { count, width, features }
}

/// From 0 to 1.
pub fn noise(index: u32) -> f32 {
    let mixed = (index ^ (index >> 16)).wrapping_mul(0x7feb_352d);
    let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x846c_a68b);
    (mixed ^ (mixed >> 16)) as f32 / u32::MAX as f32
}

/// Writes the scene: gentle waves and noise, in bytes.
pub fn write_scene(path: &Path) -> Result<()> {
    let layout = RasterLayout { overviews: false, ..RasterLayout::default() };
    let bands = ["red", "green", "blue"];
    let mut writer = ScoreWriter::create(path, SCENE, None, &bands, ScoreType::U8, layout, &[])?;
    let mut row = vec![0f32; 3 * SCENE.width];
    for y in 0..SCENE.height {
        for (index, value) in row.iter_mut().enumerate() {
            let (channel, x) = (index / SCENE.width, index % SCENE.width);
            let wave = ((x as f32 * 0.031 + channel as f32).sin() + (y as f32 * 0.023 - x as f32 * 0.007).cos()) / 6.0;
            *value = 0.5 + wave + 0.3 * (noise((y * row_length() + index) as u32) - 0.5);
        }
        writer.write_rows(y, &row)?;
    }
    writer.finish()
}

fn row_length() -> usize {
    3 * SCENE.width
}
