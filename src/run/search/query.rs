//! The query vector of a search: text features of words, or the mean of features at given places, less what is not wanted.

use std::path::{Path, PathBuf};

use crate::cli::SearchArgs;
use crate::embeddings::{SceneCard, SceneStore, Store};
use crate::error::{Context as _, Error, Result};
use crate::geom::{GeoTransform, Size, WorldPoint};
use crate::location::split_layer;
use crate::model::bundle::{Bundle, Trust};
use crate::model::mini;
use crate::model::queries::Wording;
use crate::model::registry::Model;
use crate::model::text::imagenet_templates;
use crate::model::torch::Device;
use crate::pipeline::ModelChoice;
use crate::raster::{self, ExampleSource};
use crate::report::Reporter;
use crate::run::embed::{bundle, model_card};
use crate::run::job::{features, tokenizer};
use crate::scene::{Access, SceneInfo};
use crate::search::{Coverage, Query, feature_at};

/// Share of the `[CLS]` similarity that is subtracted for words, as in the method.
const DEBIAS: f64 = 0.3;
/// Most pixels that a line or polygon of `--like` is sampled at.
const MOST_PIXELS: usize = 256;

/// The query of a command.
///
/// # Errors
/// Words without content; a model that is not the stores'; places without features.
pub fn query(
    args: &SearchArgs,
    store: &Store,
    scenes: &[SceneStore],
    trust: bool,
    reporter: &Reporter,
) -> Result<Query> {
    let words = args.words.as_deref().map(|words| phrases("--words", words)).transpose()?;
    let not = args.not.as_deref().map(|words| phrases("--not", words)).transpose()?;
    let bundle = match words.is_some() || not.is_some() || args.model.is_some() {
        true => Some(model(args, store, scenes, trust)?),
        false => None,
    };
    let width = store.model().width;
    let vectors = |phrases: &[String]| match &bundle {
        Some(bundle) => text_features(phrases, bundle, reporter),
        None => Err(Error::internal("words without a model")),
    };
    let wanted = match &words {
        Some(words) => vectors(words)?,
        None => places(&args.like, store, scenes)?,
    };
    let mut vector = unit(&mean(&wanted, width));
    if let Some(not) = &not {
        let other = mean(&vectors(not)?, width);
        vector.iter_mut().zip(other).for_each(|(value, other)| *value -= other);
    }
    if vector.len() != width || !vector.iter().any(|value| *value != 0.0) {
        return Err(Error::input("what is wanted and what is not are the same to the model")
            .with_hint("Choose other words for --not."));
    }
    let recommended = bundle.as_ref().and_then(|bundle| bundle.card.recommended.debias);
    let debias = match (args.debias, &words) {
        (Some(debias), _) => debias,
        (None, Some(_)) => recommended.unwrap_or(DEBIAS),
        (None, None) => 0.0,
    };
    let vector = vector.iter().map(|value| *value as f32).collect();
    Ok(Query { vector, debias: debias as f32 })
}

/// Words between commas.
fn phrases(flag: &str, words: &str) -> Result<Vec<String>> {
    let phrases: Vec<String> =
        words.split(',').map(str::trim).filter(|phrase| !phrase.is_empty()).map(str::to_owned).collect();
    if phrases.is_empty() {
        return Err(Error::input(format!("{flag} is empty")).with_hint("Give words, such as 'solar panels'."));
    }
    Ok(phrases)
}

/// The model of the stores: the one that is named, else the one that made them, if it is found.
///
/// # Errors
/// It is not found, or another one than the stores'.
fn model(args: &SearchArgs, store: &Store, scenes: &[SceneStore], trust: bool) -> Result<Bundle> {
    let trust = if trust { Trust::User } else { Trust::Hashes };
    let open = |name: &str| {
        let model = match ModelChoice::of(name, PathBuf::from(name)) {
            ModelChoice::Named(name) => Model::named(&name, trust),
            ModelChoice::Bundle(folder) => Model::in_folder(&folder, trust),
        };
        let bundle = bundle(model?)?;
        store.check_model(&model_card(&bundle)?)?;
        Ok(bundle)
    };
    if let Some(name) = &args.model {
        return open(name);
    }
    let named = scenes.iter().find_map(|scene| scene.card().job.get("model")?.as_str());
    let names = named.into_iter().chain([store.model().name.as_str(), mini::NAME]);
    let mut refused = None;
    for name in names {
        match open(name) {
            Ok(bundle) => return Ok(bundle),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    let (folder, name) = (store.folder().display(), &store.model().name);
    let error = Error::input(format!("the model of {folder}, {name}, is not found"));
    let error = error.with_hint("Name its folder with --model DIR.");
    Err(match refused {
        Some(cause) => error.with_source(cause),
        None => error,
    })
}

/// The text features of words in the templates of the method, at unit length.
fn text_features(phrases: &[String], bundle: &Bundle, reporter: &Reporter) -> Result<Vec<Vec<f32>>> {
    let tokenizer = tokenizer(bundle)?;
    for phrase in phrases {
        for word in tokenizer.unknown_words(phrase)? {
            reporter.note(&format!("\"{word}\" is not in the model's vocabulary: what is found is unreliable."));
        }
    }
    let templates = imagenet_templates();
    let wording = Wording { prompts: phrases, templates: &templates };
    let queries = features(wording, &tokenizer, bundle, Device::Cpu, reporter)?;
    Ok(queries.features.chunks_exact(queries.width.max(1)).map(<[f32]>::to_vec).collect())
}

/// The unit features of all patches under the given places.
fn places(like: &[String], store: &Store, scenes: &[SceneStore]) -> Result<Vec<Vec<f32>>> {
    let side = store.model().patch;
    let mut found = Vec::new();
    for spec in like {
        let (mut inside, before) = (0, found.len());
        for scene in scenes {
            let card = scene.card();
            let pixels = match coordinates(spec) {
                Some(at) => {
                    one_crs(spec, scenes)?;
                    pixel(card, at).into_iter().collect()
                }
                None => pixels_of(spec, card)?,
            };
            if pixels.is_empty() {
                continue;
            }
            inside += pixels.len();
            let coverage = Coverage::of(card, side);
            let cells: Vec<[usize; 2]> = pixels.iter().filter_map(|&[col, row]| coverage.cell_of(col, row)).collect();
            found.extend(feature_at(scene, &coverage, &cells)?);
        }
        if inside == 0 {
            return Err(Error::input(format!("no place of --like {spec} lies in a scene of the stores")).with_hint(
                "Coordinates X,Y are those of the scenes' CRS (columns and rows of pixels where there is none).",
            ));
        }
        if found.len() == before {
            return Err(Error::input(format!("the stores hold no features at the places of --like {spec}")).with_hint(
                "The scene has no data there, or the store is not complete: `segearth embed` with the same options completes it.",
            ));
        }
    }
    Ok(found)
}

/// `X,Y`; `None`: the name of a file.
fn coordinates(spec: &str) -> Option<WorldPoint> {
    let (x, y) = spec.split_once(',')?;
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    Some(WorldPoint { x: number(x)?, y: number(y)? })
}

/// Refuses coordinates where scenes have several CRSs.
fn one_crs(spec: &str, scenes: &[SceneStore]) -> Result<()> {
    let mut all = scenes.iter().map(|scene| &scene.card().crs);
    let first = all.next();
    match all.all(|crs| Some(crs) == first) {
        true => Ok(()),
        false => Err(Error::input(format!(
            "--like {spec}: the scenes have several CRSs, and the coordinates could be of any"
        ))
        .with_hint("Give the place as a point in a vector file, such as GeoJSON.")),
    }
}

fn pixel(card: &SceneCard, at: WorldPoint) -> Option<[usize; 2]> {
    let transform = card.transform.map_or(GeoTransform::IDENTITY, |coefficients| GeoTransform { coefficients });
    let [col, row] = transform.to_pixel(at)?;
    let within = |at: f64, length: usize| (at >= 0.0 && at < length as f64).then_some(at as usize);
    Some([within(col, card.width)?, within(row, card.height)?])
}

/// The pixels of a scene under the features of a file.
fn pixels_of(spec: &str, card: &SceneCard) -> Result<Vec<[usize; 2]>> {
    let (path, layer) = split_layer(Path::new(spec));
    let source = ExampleSource {
        path: &path,
        layer: layer.as_deref(),
        class_field: None,
        codes: None,
        radius: 0.0,
        most: MOST_PIXELS,
    };
    let scene = SceneInfo {
        path: PathBuf::from(&card.path),
        size: Size::new(card.width, card.height),
        bands: Vec::new(),
        georeference: raster::georeference_of(card.transform, card.crs.as_deref())
            .input(|| format!("the store's CRS of {} cannot be used", card.name))?,
        access: Access::default(),
    };
    raster::read_places(&source, &scene)
}

/// The mean of vectors of `width` numbers.
fn mean(vectors: &[Vec<f32>], width: usize) -> Vec<f64> {
    let mut sum = vec![0f64; width];
    for vector in vectors {
        sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    sum.into_iter().map(|sum| sum / vectors.len().max(1) as f64).collect()
}

fn unit(vector: &[f64]) -> Vec<f64> {
    let norm = vector.iter().map(|value| value * value).sum::<f64>().sqrt();
    vector.iter().map(|value| if norm > 0.0 { value / norm } else { 0.0 }).collect()
}
