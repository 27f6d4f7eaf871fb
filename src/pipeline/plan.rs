//! A job with every rule between its options settled: what `run` works by.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::bands::{self, BandNotes};
use super::job_error::JobErrors;
pub use super::products::Product;
use super::requests::{self, Requests};
use super::settings::{Settings, settings};
use super::spec::{GridForm, OneOrMany, Spec};
use super::words::without_credentials;
use super::{masks, outputs, products, scene_rules, stretch};
use crate::error::{Error, Result};
use crate::geom::{Blend, Grid, MAX_WINDOW, Size};
use crate::scene::{Georeference, RasterLayout, SceneInfo, SceneRequest, ScoreType, StretchPlan, conversions};

/// What a plan has to know of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelFacts {
    /// The side in pixels of the window that the model was made for.
    pub window: usize,
    /// The side of a patch in pixels.
    pub patch: usize,
}

/// What a job names and others must look at before it can be planned.
#[derive(Clone, Debug, PartialEq)]
pub struct Inputs {
    pub model: ModelChoice,
    /// At least one, in the order of the job.
    pub scenes: Vec<SceneRequest>,
    /// What is to be said of how they were found.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelChoice {
    /// A model by its name, such as `openai/ViT-B-16`.
    Named(String),
    /// The folder of a bundle.
    Bundle(PathBuf),
}

/// Names that always mean a model, whatever folders of these names there are: the built-in one and those that can be fetched.
const MODEL_NAMES: [&str; 8] = [
    DEFAULT_MODEL,
    "openai/ViT-B-16",
    "openai/ViT-B-32",
    "openai/ViT-L-14",
    "remoteclip/ViT-B-32",
    "remoteclip/ViT-L-14",
    "georsclip/ViT-B-32",
    "georsclip/ViT-L-14",
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

/// A word that is no device.
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
    pub scenes: Vec<ScenePlan>,
    /// In the order of their label values, from 0.
    pub classes: Vec<ClassPlan>,
    /// Index of the class that takes pixels below the threshold.
    pub background: Option<usize>,
    pub method: Method,
    pub tiling: Tiling,
    pub rasters: RasterPlan,
    /// What the scenes' polygons are; `None`: there are none.
    pub product: Option<Product>,
    /// What is allowed but should be said: sentences for the reader, once each.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ScenePlan {
    pub info: SceneInfo,
    /// 1-based, in the order red, green, blue.
    pub bands: [usize; 3],
    pub stretch: StretchPlan,
    /// Results lie on the scene's own grid, whatever the one that the model saw.
    pub on_native_grid: bool,
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
        let tiles = self.info.access.conversion.as_ref();
        let tiles = tiles.map(|tiles| format!("tiles read as the first one stores values: {tiles}"));
        let both: Vec<String> = tiles.into_iter().chain(self.joined_bands()).collect();
        (!both.is_empty()).then(|| both.join("; "))
    }

    fn joined_bands(&self) -> Option<String> {
        let bands =
            self.bands.iter().filter_map(|number| self.info.bands.get(number.checked_sub(1)?)).collect::<Vec<_>>();
        let found = self.stretch.joins_bands().then(|| conversions(&bands)).flatten()?;
        let shown = found.iter().zip(["red", "green", "blue"]).filter(|(to, _)| !to.is_identity());
        let shown: Vec<String> = shown.map(|(to, channel)| format!("{channel} ({to})")).collect();
        Some(format!("bands read as the red one stores values: {}", shown.join(", ")))
    }

    /// The grid of the results.
    pub fn output_grid(&self) -> (Size, Option<&Georeference>) {
        if self.on_native_grid { self.info.native() } else { (self.info.size, self.info.georeference.as_ref()) }
    }
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
        let pictures = [("preview", &self.preview), ("report", &self.report)];
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
    /// At least one.
    pub prompts: Vec<String>,
    /// 0..=1, instead of the method's.
    pub threshold: Option<f32>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Method {
    /// 0..=1; the paper's λ is `-debias`.
    pub debias: f32,
    /// Factor on the logits before the soft-max, above 0.
    pub logit_scale: f32,
    /// 0..=1; pixels whose best score is strictly below it get the background class.
    pub threshold: f32,
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
    /// Number of text queries: the prompts of all classes.
    pub fn queries(&self) -> usize {
        self.classes.iter().map(|class| class.prompts.len()).sum()
    }
}

/// The model and the scenes of a job. Local scenes and template files must exist. `is_result` tells of a raster whether it is
/// a result of an earlier job: where a pattern or a folder stands for scenes, such files are left out.
///
/// # Errors
/// The job names no scene, or a file that is not there.
pub fn inputs(spec: &Spec, is_result: &dyn Fn(&Path) -> bool) -> Result<Inputs> {
    let mut errors = JobErrors::new(spec);
    let model = model(spec, &mut errors);
    let Requests { scenes, notes } = requests::requests(spec, is_result, &mut errors);
    errors.finish()?;
    Ok(Inputs { model, scenes, notes })
}

/// The embedded model: there without a download.
const DEFAULT_MODEL: &str = "mini";

fn model(spec: &Spec, errors: &mut JobErrors<'_>) -> ModelChoice {
    let name = spec.model.as_deref().map_or(DEFAULT_MODEL, str::trim);
    if name.is_empty() {
        errors.add("model", "the model's name is empty").hint =
            Some("Name one: `model: FOLDER` of an imported bundle, or a model's name; left out, it is `mini`.".into());
        return ModelChoice::Named(String::new());
    }
    let folder = spec.input_path("model", name);
    let choice = ModelChoice::of(name, folder.clone());
    if matches!(choice, ModelChoice::Bundle(_)) {
        return choice;
    }
    if name.starts_with(['.', '/']) || name.ends_with('/') {
        errors.add("model", format!("there is no folder {}", folder.display())).hint =
            Some("Give the folder of a bundle that `segearth model import` or `model fetch` wrote.".into());
    }
    choice
}

/// The model of a job; `None` where its name is wrong.
pub fn model_choice(spec: &Spec) -> Option<ModelChoice> {
    let mut errors = JobErrors::new(spec);
    let choice = model(spec, &mut errors);
    errors.finish().is_ok().then_some(choice)
}

/// What is wrong with a job whose model cannot be had for the reason `error`: that alone, or together with all other errors of the
/// job. `find` looks for a scene.
pub fn with_other_errors(
    spec: &Spec,
    error: Error,
    is_result: &dyn Fn(&Path) -> bool,
    find: impl Fn(&SceneRequest) -> Result<Vec<SceneInfo>>,
) -> Error {
    let flat = |error: &Error| std::iter::once(error.to_string()).chain(error.causes()).collect::<Vec<_>>().join(": ");
    let mut errors = JobErrors::new(spec);
    errors.add("model", flat(&error)).hint = error.hint().map(str::to_owned);
    let mut scenes = Vec::new();
    let requests = requests::requests(spec, is_result, &mut errors).scenes;
    // A file that is not there has been named already.
    let all_there = errors.count() == 1;
    for request in requests {
        match find(&request) {
            Ok(found) => scenes.extend(found),
            Err(error) if all_there => errors.add("scene", flat(&error)).hint = error.hint().map(str::to_owned),
            Err(_) => {}
        }
    }
    // Nothing is known of the model: every window and stride that some model has is fine.
    settle(spec, &ModelFacts { window: MAX_WINDOW, patch: 1 }, scenes, &mut errors);
    match errors.count() {
        1 => error,
        _ => errors.finish().err().unwrap_or(error),
    }
}

/// GDAL's virtual files and URLs are no paths: nothing can be joined to them, and only GDAL can look for them.
pub(super) fn is_local(name: &str) -> bool {
    !name.starts_with("/vsi") && !name.contains("://")
}

/// Settles everything.
///
/// `scenes` are those found for [`Inputs::scenes`], in the same order.
///
/// # Errors
/// All errors of the job as one error of the user's input, each with its span.
pub fn resolve(spec: &Spec, model: &ModelFacts, scenes: Vec<SceneInfo>) -> Result<Plan> {
    let mut errors = JobErrors::new(spec);
    let plan = settle(spec, model, scenes, &mut errors);
    errors.finish()?;
    Ok(plan)
}

/// As [`resolve`]; the plan is one only if no error was found.
fn settle(spec: &Spec, model: &ModelFacts, scenes: Vec<SceneInfo>, errors: &mut JobErrors<'_>) -> Plan {
    let model_choice = self::model(spec, errors);
    let Settings { classes, background, method, device, stretch, blend, mut notes } = settings(spec, errors);
    let tiling = tiling(spec, model, blend, errors);
    let outputs = outputs::outputs(spec, &scenes, &mut notes, errors);
    let rasters = outputs::rasters(spec, errors);
    let product = products::product(spec, &classes, background, errors);
    let mut plans = Vec::with_capacity(scenes.len());
    // Patterns and item collections make more scenes than the job names.
    let named = matches!(&spec.scene, Some(OneOrMany::Many(names)) if names.len() == scenes.len());
    let on_native_grid = spec.grid == Some(GridForm::Scene);
    if spec.grid.is_some() && spec.resolution.is_none() {
        notes.push("`grid` says nothing without `resolution`: the model sees the scene's own pixels.".to_owned());
    }
    let mask = masks::request(spec, errors);
    let mut band_notes = BandNotes::default();
    for (index, (mut info, outputs)) in scenes.into_iter().zip(outputs).enumerate() {
        info.access.mask = mask;
        let key = if named { format!("scene[{index}]") } else { "scene".to_owned() };
        let bands = bands::bands(spec, &key, &info, errors, &mut band_notes);
        let stretch = stretch.clone().unwrap_or_else(|| scene_rules::default_stretch(&info, bands));
        masks::refuse(&info, bands, errors);
        notes.append(&mut info.access.notes);
        notes.extend(scene_rules::notes(&info, bands, &stretch));
        notes.extend(masks::notes(&info, bands));
        plans.push(ScenePlan { info, bands, stretch, on_native_grid, outputs });
    }
    notes.extend(band_notes.into_notes());
    let joined = plans.iter().filter_map(|plan| Some((plan.name(), plan.joined_bands()?)));
    notes.extend(joined.map(|(name, text)| format!("{name}: scale and offset of its bands differ: {text}.")));
    let mut views: Vec<_> = plans.iter_mut().map(|plan| (&plan.info, plan.bands, &mut plan.stretch)).collect();
    notes.extend(scene_rules::compare_values(&mut views));
    if let ModelChoice::Named(name) = &model_choice
        && ModelChoice::is_name(name)
        && spec.input_path("model", name).is_dir()
    {
        notes.push(format!("`{name}` is the model of that name; `./{name}` would be the folder."));
    }
    Plan { model: model_choice, device, scenes: plans, classes, background, method, tiling, rasters, product, notes }
}

/// A scene that is only to be looked at, the bands taken as red, green and blue, and its stretch.
pub type View = (SceneInfo, [usize; 3], StretchPlan);

/// How scenes are seen that are only to be looked at, found ones of [`Inputs::scenes`]; and what should be said of them.
///
/// # Errors
/// As [`resolve`]'s, for bands and stretch.
pub fn seen(spec: &Spec, scenes: Vec<SceneInfo>) -> Result<(Vec<View>, Vec<String>)> {
    let mut errors = JobErrors::new(spec);
    let asked = stretch::stretch(spec, &mut errors);
    let mask = masks::request(spec, &mut errors);
    let mut views = Vec::with_capacity(scenes.len());
    let (mut notes, mut band_notes) = (Vec::new(), BandNotes::default());
    for mut info in scenes {
        info.access.mask = mask;
        let bands = bands::bands(spec, "scene", &info, &mut errors, &mut band_notes);
        notes.append(&mut info.access.notes);
        let stretch = asked.clone().unwrap_or_else(|| scene_rules::default_stretch(&info, bands));
        views.push((info, bands, stretch));
    }
    errors.finish()?;
    notes.extend(band_notes.into_notes());
    let mut compared: Vec<_> = views.iter_mut().map(|(info, bands, stretch)| (&*info, *bands, stretch)).collect();
    notes.extend(scene_rules::compare_values(&mut compared));
    Ok((views, notes))
}

const MAX_BATCH: usize = 4096;

fn tiling(spec: &Spec, model: &ModelFacts, blend: Blend, errors: &mut JobErrors<'_>) -> Tiling {
    let form = &spec.tiling;
    let window = form.window.unwrap_or(model.window);
    if form.window.is_some() && (window == 0 || model.patch == 0 || !window.is_multiple_of(model.patch)) {
        let message =
            format!("the window is {window} pixels; it must be a multiple of the model's patch, {}", model.patch);
        errors.add("tiling.window", message).hint =
            Some(format!("The model was made for windows of {} pixels: leave the key out to take that.", model.window));
    }
    if window > MAX_WINDOW {
        let message = format!("the window is {window} pixels; at most {MAX_WINDOW} are possible");
        errors.add("tiling.window", message).hint =
            Some("A larger window does not show more to the model: it is cut into patches just the same.".into());
    }
    let stride = form.stride.unwrap_or(window.div_ceil(2));
    if stride == 0 || stride > window {
        errors
            .add("tiling.stride", format!("the stride is {stride} pixels; it must be from 1 to the window, {window}"))
            .hint = Some("Half the window is usual: windows then overlap by half.".into());
    }
    if let Some(batch) = form.batch.filter(|batch| !(1..=MAX_BATCH).contains(batch)) {
        errors.add("tiling.batch", format!("the batch is {batch} windows; it must be from 1 to {MAX_BATCH}")).hint =
            Some("Leave the key out to let the device choose.".into());
    }
    Tiling { window, stride, blend, batch: form.batch }
}
