//! A job with every rule between its options resolved: what `run` works by. Plain data.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::words::without_credentials;
use crate::embeddings::Precision;
use crate::geom::{Blend, Grid, Size, Window, Zoom};
use crate::index::Condition;
use crate::learn::{Learnt, LearntQuery};
use crate::scene::{
    Georeference, Pooling, ProductOptions, RasterLayout, Recipe, Recommended, Resampling, SceneInfo, ScoreType,
    StretchPlan, conversions,
};

/// The embedded model: there without a download.
pub(super) const DEFAULT_MODEL: &str = "mini";

/// What a plan has to know of the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ModelFacts {
    /// The side in pixels of the window that the model was made for.
    pub window: usize,
    /// The side of a patch in pixels.
    pub patch: usize,
    /// Settings where the job gives none.
    pub recommended: Recommended,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelChoice {
    /// A model by its name, such as `openai/ViT-B-16`.
    Named(String),
    /// The folder of a bundle.
    Bundle(PathBuf),
}

/// Names that always mean a model, whatever folders of these names there are: the built-in one and those that can be fetched.
const MODEL_NAMES: [&str; 23] = [
    DEFAULT_MODEL,
    "openai/ViT-B-16",
    "openai/ViT-B-32",
    "openai/ViT-L-14",
    "remoteclip/ViT-B-32",
    "remoteclip/ViT-L-14",
    "georsclip/ViT-B-32",
    "georsclip/ViT-L-14",
    "laion/ViT-B-16",
    "datacomp/ViT-B-16",
    "datacomp/ViT-L-14",
    "dfn/ViT-B-16",
    "dfn/ViT-L-14",
    "metaclip/ViT-B-16",
    "georsclip/ViT-H-14",
    "longclip/ViT-B-16",
    "longclip/ViT-L-14",
    "alignearth/ViT-B-16",
    "laion/ViT-L-14",
    "skyclip/ViT-L-14",
    "skyclip/ViT-B-32",
    "dgtrs/ViT-B-16",
    "dgtrs/ViT-L-14",
];

impl ModelChoice {
    /// What a name means that may be a folder's: a model known by that name first (`./mini` is the folder), then the folder, then
    /// an installed bundle.
    pub fn of(name: &str, folder: PathBuf) -> Self {
        if !Self::is_name(name) && folder.is_dir() { Self::Bundle(folder) } else { Self::Named(name.to_owned()) }
    }

    /// Whether the name means a model, never a folder.
    pub fn is_name(name: &str) -> bool {
        name.starts_with("fake:") || MODEL_NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    Auto,
    Cpu,
    Cuda(usize),
}

/// The error of a text that is not a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoDevice;

impl FromStr for DeviceChoice {
    type Err = NoDevice;

    fn from_str(written: &str) -> Result<Self, NoDevice> {
        match written.trim().to_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            other => {
                let number = other.strip_prefix("cuda:").and_then(|number| number.parse::<u8>().ok());
                number.map(|number| Self::Cuda(number.into())).ok_or(NoDevice)
            }
        }
    }
}

/// A whole job.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub model: ModelChoice,
    pub device: DeviceChoice,
    /// Whence the outputs of the image tower come; `None`: they are computed.
    pub embeddings: Option<EmbeddingsPlan>,
    pub scenes: Vec<ScenePlan>,
    /// In the order of their label values, from 0.
    pub classes: Vec<ClassPlan>,
    /// The file of those that were learnt.
    pub learnt: Option<Arc<Learnt>>,
    /// Index of the class that takes pixels below the threshold.
    pub background: Option<usize>,
    pub method: Method,
    pub tiling: Tiling,
    pub rasters: RasterPlan,
    /// What the scenes' polygons are; `None`: there are none.
    pub product: Option<Product>,
    /// What the model's card recommends.
    pub recommended: Recommended,
    /// What is allowed but should be said: sentences for the reader, once each.
    pub notes: Vec<String>,
}

/// A store of embeddings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddingsPlan {
    pub store: PathBuf,
    /// `None`: that of the store that is there, else the default.
    pub precision: Option<Precision>,
    /// Whether what it lacks is computed.
    pub create: bool,
}

/// What is made of the labels, but for the paths that differ from scene to scene.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Product {
    pub recipe: Recipe,
    pub options: ProductOptions,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ScenePlan {
    pub info: SceneInfo,
    /// 1-based, in the order red, green, blue.
    pub bands: [usize; 3],
    pub stretch: StretchPlan,
    /// Results lie on the scene's own grid, whatever the one that the model saw.
    pub on_native_grid: bool,
    /// The bands that the classes' conditions need: names and numbers.
    pub index_bands: Vec<(String, usize)>,
    /// The bands beyond red, green and blue whose local descriptors count: names and numbers.
    pub further_bands: Vec<(String, usize)>,
    pub outputs: OutputPaths,
}

impl Plan {
    /// The windows of a scene.
    pub fn grid(&self, scene: &ScenePlan) -> Grid {
        Grid::new(scene.info.size, self.tiling.window, self.tiling.stride)
    }
}

impl ScenePlan {
    /// By what people know the scene.
    pub fn name(&self) -> std::path::Display<'_> {
        self.info.path.display()
    }

    /// The same in short: the name of the file, without what opens its address.
    pub fn title(&self) -> String {
        let path = without_credentials(&self.info.path.to_string_lossy());
        let file = Path::new(&path).file_name().map(|name| name.to_string_lossy().into_owned());
        self.info.access.name.clone().or(file).unwrap_or(path)
    }

    /// What is done to stored values so that they can be compared: to those of a mosaic's tiles, and to those of bands that
    /// are stretched together. `None`: nothing.
    pub fn conversion(&self) -> Option<String> {
        conversion(&self.info, self.bands, &self.stretch)
    }

    pub(super) fn joined_bands(&self) -> Option<String> {
        joined_bands(&self.info, self.bands, &self.stretch)
    }

    /// Where logits are brought from the grid that the model sees to the scene's own: from and to.
    pub fn zoom(&self) -> Option<Zoom> {
        let native = self.info.access.native.as_ref().filter(|_| self.on_native_grid)?;
        (native.resampling == Resampling::Bytes).then(|| Zoom::new(self.info.size, native.size))
    }

    /// The pixels of the model's grid from which those of a part of the results are made.
    pub fn seen(&self, part: Window) -> Window {
        self.zoom().map_or(part, |zoom| zoom.sources(part))
    }

    /// The grid in which rows are labelled and kept until the results are written.
    pub fn row_grid(&self) -> Size {
        self.zoom().map_or(self.info.size, |zoom| zoom.to)
    }

    /// The grid of the results.
    pub fn output_grid(&self) -> (Size, Option<&Georeference>) {
        if self.on_native_grid { self.info.native() } else { (self.info.size, self.info.georeference.as_ref()) }
    }
}

/// What is done to the values of a scene's tiles and bands so that they can be compared; `None`: nothing.
pub fn conversion(info: &SceneInfo, bands: [usize; 3], stretch: &StretchPlan) -> Option<String> {
    let tiles = info.access.conversion.as_ref();
    let tiles = tiles.map(|tiles| format!("tiles converted to the scale and offset of the first: {tiles}"));
    let both: Vec<String> = tiles.into_iter().chain(joined_bands(info, bands, stretch)).collect();
    (!both.is_empty()).then(|| both.join("; "))
}

fn joined_bands(info: &SceneInfo, bands: [usize; 3], stretch: &StretchPlan) -> Option<String> {
    let bands = bands.iter().filter_map(|number| info.bands.get(number.checked_sub(1)?)).collect::<Vec<_>>();
    let found = stretch.joins_bands().then(|| conversions(&bands)).flatten()?;
    let shown = found.iter().zip(["red", "green", "blue"]).filter(|(to, _)| !to.is_identity());
    let shown: Vec<String> = shown.map(|(to, channel)| format!("{channel} ({to})")).collect();
    Some(format!("bands converted to the scale and offset of the red one: {}", shown.join(", ")))
}

/// No two paths of a plan are the same file, and none is a scene.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputPaths {
    pub labels: PathBuf,
    pub scores: Option<PathBuf>,
    pub confidence: Option<PathBuf>,
    pub margin: Option<PathBuf>,
    pub polygons: Option<PathBuf>,
    /// The roads' graph.
    pub graph: Option<PathBuf>,
    /// The table of the water's zones.
    pub zones: Option<PathBuf>,
    pub preview: Option<PathBuf>,
    pub report: Option<PathBuf>,
    /// The table of areas.
    pub areas: Option<PathBuf>,
}

impl OutputPaths {
    /// All of them with the keys that name them.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let products = [("polygons", &self.polygons), ("graph", &self.graph), ("zones", &self.zones)];
        let products = products.into_iter().filter_map(|(key, path)| Some((key, path.as_deref()?)));
        self.rasters().chain(products).chain(self.pictures())
    }

    /// What is made for people to look at.
    pub fn pictures(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let pictures = [("preview", &self.preview), ("report", &self.report), ("areas", &self.areas)];
        pictures.into_iter().filter_map(|(key, path)| Some((key, path.as_deref()?)))
    }

    /// The rasters among them.
    pub fn rasters(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        [
            ("labels", Some(&self.labels)),
            ("scores", self.scores.as_ref()),
            ("confidence", self.confidence.as_ref()),
            ("margin", self.margin.as_ref()),
        ]
        .into_iter()
        .filter_map(|(key, path)| Some((key, path?.as_path())))
    }
}

/// How rasters are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RasterPlan {
    pub layout: RasterLayout,
    /// Of the scores of all classes.
    pub scores: ScoreType,
    /// Of confidence and margin.
    pub certainty: ScoreType,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ClassPlan {
    pub name: String,
    /// Red, green, blue.
    pub colour: [u8; 3],
    /// At least one, unless the class was learnt or is one by a condition alone.
    pub prompts: Vec<String>,
    /// A condition on bands: without prompts it decides by itself, else it restricts what the prompts find.
    pub index: Option<Arc<Condition>>,
    /// 0..=1, instead of the method's.
    pub threshold: Option<f32>,
    /// The class's number in the file of learnt classes.
    pub learnt: Option<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Method {
    /// 0..=1; the paper's λ is `-debias`.
    pub debias: f32,
    /// Factor on the logits before the soft-max, above 0.
    pub logit_scale: f32,
    /// Decide by Gaussians of all patches together, with this temperature, above 0. The logit scale is then that of the prior.
    pub gaussian: Option<f32>,
    /// The score of a class with several prompts or queries.
    pub pooling: Pooling,
    /// 0..=1; pixels whose best score is strictly below it get the background class.
    pub threshold: f32,
    /// 0..=1; pixels whose best score leads the second best class's by less get the background class, or none.
    pub margin: f32,
    pub templates: TemplateChoice,
    /// Average the answers over the eight flips and turns of each window.
    pub d4: bool,
    /// Approximate the lengths of features by so many channels.
    pub channels: Option<usize>,
    /// Approximate the upsampler's last doubling of features by one of logits.
    pub half_resolution: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateChoice {
    ImageNet80,
    /// The bare prompt.
    None,
    /// A text file with a sentence a line, `{}` for the prompt.
    File(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    /// Side of a window in pixels, a multiple of the model's patch.
    pub window: usize,
    /// 1..=window.
    pub stride: usize,
    pub blend: Blend,
    /// Windows at a time, at least 1; `None`: the device chooses.
    pub batch: Option<usize>,
}

impl Plan {
    /// Number of queries of all classes.
    pub fn queries(&self) -> usize {
        self.classes.iter().map(|class| self.queries_of(class)).sum()
    }

    /// Number of queries of a class: its prompts, or what was learnt.
    pub fn queries_of(&self, class: &ClassPlan) -> usize {
        match class.learnt {
            Some(number) => self.learnt_queries(number).count(),
            None => class.prompts.len(),
        }
    }

    /// The queries of a learnt class.
    pub fn learnt_queries(&self, class: usize) -> impl Iterator<Item = &LearntQuery> {
        self.learnt.iter().flat_map(|learnt| &learnt.queries).filter(move |query| query.class == class)
    }
}
