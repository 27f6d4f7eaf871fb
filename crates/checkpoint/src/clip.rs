//! The weights of a CLIP with a vision transformer: its sizes, read from the tensors, and every tensor it needs.

use std::collections::BTreeMap;

use segearth_error::{Error, Result};

use super::config::{Activation, KnownActivation, ModelConfig, PixelStatistics, Tower};
use super::tensor::{TensorData, show_shape};
use super::{Checkpoint, WHAT_WE_READ, names};

/// CLIP's towers have one head for 64 channels unless something else is known.
const HEAD_WIDTH: usize = 64;
const MAX_LAYERS: usize = 256;

/// Every size of a CLIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClipSizes {
    /// Side of a patch, in pixels.
    pub patch: usize,
    /// Patches along a side of the image that the positional embedding was made for.
    pub image_grid: usize,
    /// Width of the image tower.
    pub vision_width: usize,
    /// Blocks of the image tower.
    pub vision_layers: usize,
    /// Attention heads of each of its blocks.
    pub vision_heads: usize,
    /// Width of the hidden layer of the blocks' MLPs.
    pub vision_hidden: usize,
    /// Width of the joint space of images and texts.
    pub embed_dim: usize,
    /// Width of the text tower.
    pub text_width: usize,
    /// Blocks of the text tower.
    pub text_layers: usize,
    /// Attention heads of each of its blocks.
    pub text_heads: usize,
    /// Width of the hidden layer of its blocks' MLPs.
    pub text_hidden: usize,
    /// Rows of the token embedding.
    pub vocab: usize,
    /// Longest text, in tokens.
    pub context: usize,
}

/// A complete CLIP under canonical names: every tensor of [`ClipSizes::tensors`] is there, with that shape.
#[derive(Debug)]
pub struct ClipWeights {
    /// Every size, read off the tensors' shapes.
    pub sizes: ClipSizes,
    /// What a configuration beside the weights says, or their file; the tensors do not tell.
    pub activation: Option<KnownActivation>,
    /// What a configuration beside the weights says of the pixels that they were trained on.
    pub pixels: Option<PixelStatistics>,
    /// What had to be assumed, as sentences for the user.
    pub notes: Vec<String>,
    /// In the types of the file; `logit_scale` is there only if the file has it.
    pub tensors: BTreeMap<String, TensorData>,
}

impl ClipWeights {
    /// `configs` are those beside the file, the likeliest first; of these the first that does not contradict the weights is followed.
    ///
    /// # Errors
    /// A tensor is missing, unknown, of another shape or of no floating-point type, or holds what is no finite number; the weights
    /// are of another family of networks; or the configuration asks for what the network does not have.
    pub fn from_checkpoint(checkpoint: Checkpoint, configs: &[ModelConfig]) -> Result<Self> {
        let others = checkpoint.others;
        let mut notes = Vec::new();
        let from_openai = names::is_openai_archive(&checkpoint.tensors)
            .then(|| KnownActivation { activation: Activation::QuickGelu, from: "OpenAI's archive".to_owned() });
        let mut tensors = names::canonical(checkpoint.tensors, &mut notes)?;
        let mut sizes = Reader { tensors: &tensors, others: &others }.sizes()?;
        let config = fitting(configs, &sizes, &mut notes)?;
        let none = Tower::default();
        let (vision, text) = config.map_or((&none, &none), |config| (&config.vision, &config.text));
        sizes.vision_heads = heads("vision", sizes.vision_width, vision, &mut notes)?;
        sizes.text_heads = heads("text", sizes.text_width, text, &mut notes)?;

        // Some of open_clip's files have it as a vector of one.
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
            return Err(Error::input(format!("the tensor {name} has numbers of {}, not floats", tensor.dtype())));
        }
        check_numbers(&tensors)?;
        let unknown: Vec<String> = tensors
            .iter()
            .filter(|(name, _)| *name != "logit_scale" && !expected.contains_key(*name))
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
                "{} beside the weights says that their activation is {}; OpenAI's archives have {}, which was taken.",
                second.from,
                second.activation.name(),
                first.activation.name()
            ));
        }
        let activation = from_openai.or(configured);
        Ok(Self { sizes, activation, pixels: config.and_then(|config| config.pixels), notes, tensors })
    }
}

/// The configuration that is followed; what is said of the others.
fn fitting<'a>(
    configs: &'a [ModelConfig],
    sizes: &ClipSizes,
    notes: &mut Vec<String>,
) -> Result<Option<&'a ModelConfig>> {
    let mut followed: Option<&ModelConfig> = None;
    for config in configs {
        if let Some(why) = config.contradiction(sizes)? {
            notes.push(format!("{} beside the weights is of other weights and was not followed: {why}.", config.file));
            continue;
        }
        let Some(first) = followed else {
            followed = Some(config);
            continue;
        };
        if let (Some(taken), Some(other)) = (first.activation, config.activation)
            && taken != other
        {
            notes.push(format!(
                "{} beside the weights says that their activation is {}, and {} says {}: the first was followed. `--activation {}` \
                 takes the other.",
                first.file,
                taken.name(),
                config.file,
                other.name(),
                other.name()
            ));
        }
    }
    Ok(followed)
}

/// Refuses weights that are no finite numbers: whatever they touch becomes the same class everywhere.
pub(super) fn check_numbers(tensors: &BTreeMap<String, TensorData>) -> Result<()> {
    use rayon::prelude::*;
    let tensors: Vec<_> = tensors.iter().collect();
    let found =
        tensors.par_iter().find_map_first(|(name, tensor)| Some((name, tensor, tensor.first_beyond(f32::MAX)?)));
    let Some((name, tensor, (at, value))) = found else { return Ok(()) };
    Err(Error::input(format!("the tensor {name} holds {value} at place {at} of {}", tensor.len()))
        .with_hint("The training diverged, or the file is damaged: give an earlier checkpoint, or download it again."))
}

impl ClipSizes {
    /// Every tensor that a CLIP of these sizes needs, and its shape.
    pub fn tensors(&self) -> BTreeMap<String, Vec<usize>> {
        let (vision, text) = (self.vision_width, self.text_width);
        let mut tensors = BTreeMap::from(
            [
                ("visual.conv1.weight", vec![vision, 3, self.patch, self.patch]),
                ("visual.class_embedding", vec![vision]),
                ("visual.positional_embedding", vec![self.image_grid * self.image_grid + 1, vision]),
                ("visual.ln_pre.weight", vec![vision]),
                ("visual.ln_pre.bias", vec![vision]),
                ("visual.ln_post.weight", vec![vision]),
                ("visual.ln_post.bias", vec![vision]),
                ("visual.proj", vec![vision, self.embed_dim]),
                ("token_embedding.weight", vec![self.vocab, text]),
                ("positional_embedding", vec![self.context, text]),
                ("ln_final.weight", vec![text]),
                ("ln_final.bias", vec![text]),
                ("text_projection", vec![text, self.embed_dim]),
            ]
            .map(|(name, shape)| (name.to_owned(), shape)),
        );
        for (tower, layers, width, hidden) in [
            ("visual.transformer", self.vision_layers, vision, self.vision_hidden),
            ("transformer", self.text_layers, text, self.text_hidden),
        ] {
            for layer in 0..layers {
                let block = [
                    ("ln_1.weight", vec![width]),
                    ("ln_1.bias", vec![width]),
                    ("attn.in_proj_weight", vec![3 * width, width]),
                    ("attn.in_proj_bias", vec![3 * width]),
                    ("attn.out_proj.weight", vec![width, width]),
                    ("attn.out_proj.bias", vec![width]),
                    ("ln_2.weight", vec![width]),
                    ("ln_2.bias", vec![width]),
                    ("mlp.c_fc.weight", vec![hidden, width]),
                    ("mlp.c_fc.bias", vec![hidden]),
                    ("mlp.c_proj.weight", vec![width, hidden]),
                    ("mlp.c_proj.bias", vec![width]),
                ];
                tensors.extend(block.map(|(name, shape)| (format!("{tower}.resblocks.{layer}.{name}"), shape)));
            }
        }
        tensors
    }
}

/// Finds the sizes in the shapes of a few tensors; the others are held against them afterwards.
struct Reader<'a> {
    tensors: &'a BTreeMap<String, TensorData>,
    others: &'a BTreeMap<String, String>,
}

impl Reader<'_> {
    /// All of them but the heads, which the tensors do not tell: they are zero.
    fn sizes(&self) -> Result<ClipSizes> {
        let [vision_width, _, patch, _] = self.shape("visual.conv1.weight", "(width, 3, patch, patch)")?;
        let [positions, _] = self.shape("visual.positional_embedding", "(grid × grid + 1, width)")?;
        let patches = positions.saturating_sub(1);
        let image_grid = patches.isqrt();
        if image_grid == 0 || image_grid * image_grid != patches {
            return Err(Error::input(format!(
                "visual.positional_embedding has {positions} rows; one more than a square number is expected"
            )));
        }
        let [_, embed_dim] = self.shape("visual.proj", "(width, joint width)")?;
        let [vocab, text_width] = self.shape("token_embedding.weight", "(vocabulary, width)")?;
        let [context, _] = self.shape("positional_embedding", "(context, width)")?;
        let [vision_hidden, _] = self.shape("visual.transformer.resblocks.0.mlp.c_fc.weight", "(hidden, width)")?;
        let [text_hidden, _] = self.shape("transformer.resblocks.0.mlp.c_fc.weight", "(hidden, width)")?;
        Ok(ClipSizes {
            patch,
            image_grid,
            vision_width,
            vision_layers: self.layers("visual.transformer.resblocks.")?,
            vision_heads: 0,
            vision_hidden,
            embed_dim,
            text_width,
            text_layers: self.layers("transformer.resblocks.")?,
            text_heads: 0,
            text_hidden,
            vocab,
            context,
        })
    }

    fn shape<const N: usize>(&self, name: &str, expected: &str) -> Result<[usize; N]> {
        let tensor = self.tensors.get(name).ok_or_else(|| missing(name, expected, self.others))?;
        let shape: [usize; N] = tensor.shape().try_into().map_err(|_| wrong_shape(name, expected, tensor))?;
        if shape.contains(&0) { Err(wrong_shape(name, expected, tensor)) } else { Ok(shape) }
    }

    /// One more than the highest index of a block: if one in between is missing, that shows later, by name.
    fn layers(&self, start: &str) -> Result<usize> {
        let index = |name: &String| name.strip_prefix(start)?.split_once('.')?.0.parse::<usize>().ok();
        let layers = self.tensors.keys().filter_map(index).max().map_or(0, |last| last.saturating_add(1));
        if layers > MAX_LAYERS {
            return Err(Error::input(format!("{start}N goes up to {}, {MAX_LAYERS} blocks are allowed", layers - 1)));
        }
        Ok(layers)
    }
}

/// The number of heads cannot be seen in the tensors.
fn heads(tower: &str, width: usize, config: &Tower, notes: &mut Vec<String>) -> Result<usize> {
    let heads = match config.heads {
        Some(heads) => heads,
        // The larger vision towers of open_clip (ViT-H, g and bigG) have wider heads than all others.
        None if tower == "vision" && [1280, 1408, 1664].contains(&width) => {
            notes.push(format!(
                "nothing beside the weights says how many heads the vision tower has: 16 are assumed, as open_clip's towers {width} wide \
                 have. Keep their open_clip_config.json beside them to say otherwise."
            ));
            16
        }
        // What OpenAI's code does for every width.
        None if width.is_multiple_of(HEAD_WIDTH) => width / HEAD_WIDTH,
        None => {
            return Err(Error::input(format!(
                "the {tower} tower is {width} wide, no multiple of {HEAD_WIDTH}, so its number of heads is unknown"
            ))
            .with_hint("Keep the weights' config.json (or open_clip_config.json) beside their file."));
        }
    };
    if !width.is_multiple_of(heads) {
        return Err(Error::input(format!("{heads} heads do not divide the {tower} tower's width of {width}")));
    }
    Ok(heads)
}

fn missing(name: &str, expected: &str, others: &BTreeMap<String, String>) -> Error {
    let error = match others.get(name) {
        Some(what) => Error::input(format!("the tensor {name} of shape {expected} is expected, but it is {what}")),
        None => Error::input(format!("the tensor {name} of shape {expected} is missing")),
    };
    error.with_hint(WHAT_WE_READ)
}

fn wrong_shape(name: &str, expected: &str, found: &TensorData) -> Error {
    Error::input(format!("the tensor {name} has shape {}, {expected} is expected", show_shape(found.shape())))
        .with_hint("The file is damaged, or of a network that is put together otherwise: give the published one.")
}
