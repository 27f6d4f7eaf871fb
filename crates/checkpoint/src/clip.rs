//! The weights of a CLIP with a vision transformer, checked to be complete.

use std::collections::BTreeMap;

use segearth_error::{Error, Result};

use super::clip_sizes::ClipSizes;
use super::config::{Activation, KnownActivation, ModelConfig, PixelStatistics, Tower};
use super::tensor::{TensorData, show_shape};
use super::{Checkpoint, SUPPORTED_FILES, names};

/// Channels of an attention head where no configuration gives the number of heads.
const HEAD_WIDTH: usize = 64;
/// Most blocks of a tower.
const MAX_LAYERS: usize = 256;

/// A complete CLIP under canonical names: every tensor of [`ClipSizes::tensors`] is there, with that shape.
#[derive(Debug)]
pub struct ClipWeights {
    /// Every size, read off the tensors' shapes.
    pub sizes: ClipSizes,
    /// The activation, from a configuration beside the weights or the kind of their file; the tensors do not show it.
    pub activation: Option<KnownActivation>,
    /// The normalisation of pixels, from a configuration beside the weights.
    pub pixels: Option<PixelStatistics>,
    /// Assumptions, as sentences for the user.
    pub notes: Vec<String>,
    /// The tensors by canonical name, in the types of the file; `logit_scale` only if the file has it.
    pub tensors: BTreeMap<String, TensorData>,
}

impl ClipWeights {
    /// Returns the weights of a checkpoint. `configs`: the configurations beside the file in order of preference; the first whose sizes
    /// are those of the weights is used.
    ///
    /// # Errors
    /// A tensor is missing or unknown, or has another shape, a type other than floating-point or a value that is not finite; the
    /// weights are of another family of networks; or the configuration has unsupported options.
    pub fn from_checkpoint(checkpoint: Checkpoint, configs: &[ModelConfig]) -> Result<Self> {
        let others = checkpoint.others;
        let mut notes = Vec::new();
        let from_openai = names::is_openai_archive(&checkpoint.tensors)
            .then(|| KnownActivation { activation: Activation::QuickGelu, from: "OpenAI's archive".to_owned() });
        let mut tensors = names::canonical(checkpoint.tensors, &mut notes)?;
        let mut sizes = Reader { tensors: &tensors, others: &others }.sizes()?;
        let config = matching(configs, &sizes, &mut notes)?;
        let none = Tower::default();
        let (vision, text) = config.map_or((&none, &none), |config| (&config.vision, &config.text));
        if !sizes.is_convolutional() {
            sizes.vision_heads = heads("vision", sizes.vision_width, vision, &mut notes)?;
        }
        sizes.text_heads = heads("text", sizes.text_width, text, &mut notes)?;

        // Some files of open_clip store this scalar as a vector of one number.
        if let Some(scale) = tensors.remove("logit_scale") {
            if scale.len() != 1 {
                return Err(wrong_shape("logit_scale", "()", &scale));
            }
            tensors.insert("logit_scale".into(), scale.reshaped(Vec::new())?);
        }
        let expected = sizes.tensors();
        for (name, shape) in &expected {
            match tensors.get(name) {
                None => return Err(missing(name, &show_shape(shape), &others)),
                Some(tensor) if tensor.shape() != shape => return Err(wrong_shape(name, &show_shape(shape), tensor)),
                Some(_) => {}
            }
        }
        if let Some((name, tensor)) = tensors.iter().find(|(_, tensor)| !tensor.dtype().is_float()) {
            return Err(Error::input(format!(
                "the tensor {name} has type {}, not a floating-point type",
                tensor.dtype()
            )));
        }
        check_numbers(&tensors)?;
        let unknown: Vec<String> = tensors
            .iter()
            .filter(|(name, _)| *name != "logit_scale" && !expected.contains_key(*name))
            .filter(|(name, _)| !(sizes.is_convolutional() && names::is_convolutional(name)))
            .map(|(name, tensor)| format!("{name} {tensor:?}"))
            .collect();
        if !unknown.is_empty() {
            return Err(names::unknown_tensors(&unknown));
        }
        let known =
            |config: &ModelConfig| Some(KnownActivation { activation: config.activation?, from: config.file.clone() });
        let configured = config.and_then(known);
        if let (Some(first), Some(second)) = (&from_openai, &configured)
            && first.activation != second.activation
        {
            notes.push(format!(
                "{} beside the weights says that their activation is {}; OpenAI's archives have {}, which was used.",
                second.from,
                second.activation.name(),
                first.activation.name()
            ));
        }
        let activation = from_openai.or(configured);
        Ok(Self { sizes, activation, pixels: config.and_then(|config| config.pixels), notes, tensors })
    }
}

/// Returns the first configuration that matches the weights; adds notes on the others.
fn matching<'a>(
    configs: &'a [ModelConfig],
    sizes: &ClipSizes,
    notes: &mut Vec<String>,
) -> Result<Option<&'a ModelConfig>> {
    let mut chosen: Option<&ModelConfig> = None;
    for config in configs {
        if let Some(why) = config.contradiction(sizes)? {
            notes.push(format!("{} beside the weights does not match them and was ignored: {why}.", config.file));
            continue;
        }
        let Some(first) = chosen else {
            chosen = Some(config);
            continue;
        };
        if let (Some(taken), Some(other)) = (first.activation, config.activation)
            && taken != other
        {
            notes.push(format!(
                "{} beside the weights says that their activation is {}, and {} says {}: the first was used. Choose the other with \
                 `--activation {}`.",
                first.file,
                taken.name(),
                config.file,
                other.name(),
                other.name()
            ));
        }
    }
    Ok(chosen)
}

/// Returns an error if a weight is not finite: it would make every pixel the same class.
pub(super) fn check_numbers(tensors: &BTreeMap<String, TensorData>) -> Result<()> {
    use rayon::prelude::*;
    let tensors: Vec<_> = tensors.iter().collect();
    let found =
        tensors.par_iter().find_map_first(|(name, tensor)| Some((name, tensor, tensor.first_beyond(f32::MAX)?)));
    let Some((name, tensor, (at, value))) = found else { return Ok(()) };
    Err(Error::input(format!("the tensor {name} has the value {value} at index {at} of {}", tensor.len()))
        .with_hint("The training diverged, or the file is damaged: use an earlier checkpoint, or download it again."))
}

/// Reads the sizes from the shapes of a few tensors; the others are checked afterwards.
struct Reader<'a> {
    tensors: &'a BTreeMap<String, TensorData>,
    others: &'a BTreeMap<String, String>,
}

impl Reader<'_> {
    /// Returns all sizes but the numbers of heads, which the tensors do not show: they are 0.
    fn sizes(&self) -> Result<ClipSizes> {
        if self.tensors.keys().any(|name| names::is_convolutional(name)) {
            let [embed_dim, ..]: [usize; 4] = self.shape("visual.cells.weight", "(joint width, width, 1, 1)")?;
            return self.text_sizes(ClipSizes::convolutional(embed_dim));
        }
        let [vision_width, _, patch, _] = self.shape("visual.conv1.weight", "(width, 3, patch, patch)")?;
        let [positions, _] = self.shape("visual.positional_embedding", "(grid × grid + 1, width)")?;
        let patches = positions.saturating_sub(1);
        let image_grid = patches.isqrt();
        if image_grid == 0 || image_grid * image_grid != patches {
            return Err(Error::input(format!(
                "visual.positional_embedding has {positions} rows, not one more than a square number"
            )));
        }
        let [_, embed_dim] = self.shape("visual.proj", "(width, joint width)")?;
        let [vision_hidden, _] = self.shape("visual.transformer.resblocks.0.mlp.c_fc.weight", "(hidden, width)")?;
        self.text_sizes(ClipSizes {
            patch,
            image_grid,
            vision_width,
            vision_layers: self.layers("visual.transformer.resblocks.")?,
            vision_heads: 0,
            vision_hidden,
            ..ClipSizes::convolutional(embed_dim)
        })
    }

    fn text_sizes(&self, image: ClipSizes) -> Result<ClipSizes> {
        let [vocab, text_width] = self.shape("token_embedding.weight", "(vocabulary, width)")?;
        let [context, _] = self.shape("positional_embedding", "(context, width)")?;
        let [text_hidden, _] = self.shape("transformer.resblocks.0.mlp.c_fc.weight", "(hidden, width)")?;
        let text_layers = self.layers("transformer.resblocks.")?;
        Ok(ClipSizes { text_width, text_layers, text_heads: 0, text_hidden, vocab, context, ..image })
    }

    fn shape<const N: usize>(&self, name: &str, expected: &str) -> Result<[usize; N]> {
        let tensor = self.tensors.get(name).ok_or_else(|| missing(name, expected, self.others))?;
        let shape: [usize; N] = tensor.shape().try_into().map_err(|_| wrong_shape(name, expected, tensor))?;
        if shape.contains(&0) { Err(wrong_shape(name, expected, tensor)) } else { Ok(shape) }
    }

    /// Returns the number of blocks: the highest index plus one. A missing block in between is reported later, by name.
    fn layers(&self, start: &str) -> Result<usize> {
        let index = |name: &String| name.strip_prefix(start)?.split_once('.')?.0.parse::<usize>().ok();
        let layers = self.tensors.keys().filter_map(index).max().map_or(0, |last| last.saturating_add(1));
        if layers > MAX_LAYERS {
            return Err(Error::input(format!(
                "{start}N goes up to {}; at most {MAX_LAYERS} blocks are allowed",
                layers - 1
            )));
        }
        Ok(layers)
    }
}

/// Returns the number of heads, which the tensors do not show, from the configuration or by convention.
fn heads(tower: &str, width: usize, config: &Tower, notes: &mut Vec<String>) -> Result<usize> {
    let heads = match config.heads {
        Some(heads) => heads,
        // The larger vision towers of open_clip (ViT-H, g and bigG) have wider heads than all others.
        None if tower == "vision" && [1280, 1408, 1664].contains(&width) => {
            notes.push(format!(
                "no configuration beside the weights gives the number of heads of the vision tower: 16 are assumed, as in \
                 open_clip's towers of width {width}. To use another number, put their open_clip_config.json beside them."
            ));
            16
        }
        // As OpenAI's code for every width.
        None if width.is_multiple_of(HEAD_WIDTH) => width / HEAD_WIDTH,
        None => {
            return Err(Error::input(format!(
                "the {tower} tower has width {width}, not a multiple of {HEAD_WIDTH}, so that its number of heads is unknown"
            ))
            .with_hint("Put the weights' config.json (or open_clip_config.json) beside their file."));
        }
    };
    if !width.is_multiple_of(heads) {
        return Err(Error::input(format!(
            "the {tower} tower's width of {width} is not divisible by its {heads} heads"
        )));
    }
    Ok(heads)
}

fn missing(name: &str, expected: &str, others: &BTreeMap<String, String>) -> Error {
    let error = match others.get(name) {
        Some(what) => {
            Error::input(format!("the tensor {name} of shape {expected} is required, but the entry is {what}"))
        }
        None => Error::input(format!("the tensor {name} of shape {expected} is missing")),
    };
    error.with_hint(SUPPORTED_FILES)
}

fn wrong_shape(name: &str, expected: &str, found: &TensorData) -> Error {
    Error::input(format!("the tensor {name} has shape {}, not {expected}", show_shape(found.shape())))
        .with_hint("The file is damaged, or of a network with another architecture: use the published file.")
}
