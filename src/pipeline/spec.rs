//! A job as it is written, without defaults and checks. The doc comments become the descriptions of the JSON schema and of
//! the reference of job keys.

use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, de};

use super::node::Node;
use super::words::yes_or_no;
use crate::scene::ExtraField;

/// A segmentation job: the scenes, the model, the classes and the outputs.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "keys with values, such as `classes:`")]
#[schemars(title = "segearth job")]
pub struct Spec {
    /// Model: the folder of an imported bundle (relative to this file), or a name such as `openai/ViT-B-16`. The name of a
    /// model takes precedence over a folder of that name (write `./mini` for the folder). Default: `mini`, the built-in model.
    pub model: Option<String>,
    /// Raster to segment, or a list of rasters. An entry is a path (relative to this file), a pattern such as `tiles/*.tif` or
    /// `t_{a,b}.tif`, a folder (all rasters directly in it), a URL (`https://…`, `s3://…`, `gs://…`, `az://…`), a file in an
    /// archive (`tiles.zip/a.tif`, or the archive alone if it holds one raster), or a STAC item, collection, catalog or search
    /// (all pages). If each file of a folder or pattern holds one band, the files are read as one scene, and `bands` names its
    /// bands. Patterns and folders skip rasters that segearth has written.
    pub scene: Option<OneOrMany>,
    /// Read all scenes as tiles of one mosaic, with the first one on top. Tiles with another scale and offset are converted to
    /// those of the first. Default: false.
    pub mosaic: Option<bool>,
    /// Assets of STAC items to read, by key, role or colour; several are read as the bands of one scene. Default: the assets
    /// that hold the bands in `bands`, else the asset with the key or role `visual`.
    pub assets: Option<OneOrMany>,
    /// Ground sample distance at which the model sees the scene: `0.5` (metres on the ground in any CRS; a CRS that is true to
    /// scale within 0.5 % is used as it is), or `0.00001 crs` (units of the CRS of the scene). Or the size of the whole image
    /// as in the paper's protocol, with or without a georeference: `{long_side: 448}`. Default: the scene's own.
    pub resolution: Option<ResolutionForm>,
    /// Grid of the outputs if `resolution` is set: `model` (the resampled grid that the model sees) or `scene` (the grid of
    /// the scene). Default: `model`; for a size of the whole image `scene`, to which the logits are brought bilinearly.
    pub grid: Option<GridForm>,
    /// Area of interest: a vector file with polygons, or bounds. Pixels outside are not computed and are nodata in the
    /// outputs.
    pub aoi: Option<AreaForm>,
    /// Folder of a store of embeddings (Zarr), relative to the current folder: the outputs of the image tower for all windows of the
    /// scenes, so that the next job with other classes needs no transformer. It is made if it does not exist, completed where windows
    /// are missing, and refused if it was made with another model, stretch or window. Default: none.
    pub embeddings: Option<EmbeddingsForm>,
    /// Bands to read as red, green and blue: three numbers (from 1, also `b1`), band names (`B04`, `SR_B4`) or colours (`red`,
    /// `nir`, `swir16`). Default: the red, green and blue bands according to, in this order, band descriptions, STAC items,
    /// wavelengths, band numbers of a known sensor and colour interpretations; else the first three bands.
    #[schemars(length(min = 3, max = 3))]
    pub bands: Option<Vec<BandForm>>,
    /// Mask of the valid pixels: `auto` (the first that the file has of a mask band, an alpha band and nodata values), `none`
    /// (all pixels are valid), `alpha`, `nodata`, or `band:N` (valid where band N is above 0). An alpha band that holds image
    /// data, such as infrared, is used for `alpha` only. NaN is always nodata. Default: `auto`.
    pub mask: Option<String>,
    /// Nodata value to use instead of the file's own, in addition to a mask or alpha band: a number, or a number and a
    /// tolerance for lossy compression, `{value: 0, tolerance: 8}` or `0~8`. A value that could be valid data (0, the largest
    /// value of an unsigned type, any 8-bit value, any value with a tolerance) counts only where all three bands have it.
    pub nodata: Option<NodataForm>,
    /// Stretch of pixel values to 0 to 255, computed once for the whole scene. Default: `none` for 8-bit scenes, else
    /// `percentile`.
    pub stretch: Option<StretchForm>,
    /// Classes, in the order of their values in the label raster, from 0. `{learnt: FILE}` stands for all classes of a file that
    /// `segearth learn` wrote: alone, or as an item among others.
    #[schemars(with = "ClassesForm")]
    pub classes: Vec<ClassForm>,
    /// Class for pixels whose best score is below the threshold. Default: the class named `background`, if there is one.
    pub background: Option<String>,
    /// Parameters of the method.
    pub method: MethodForm,
    /// How the scene is divided into windows, and how windows are blended.
    pub tiling: TilingForm,
    /// Device: `auto` (a GPU if there is one), `cpu`, `cuda`, or `cuda:N`. Default: `auto`.
    pub device: Option<String>,
    /// Output files.
    pub outputs: OutputsForm,
    /// The job needs no classes: examples have their own.
    #[serde(skip)]
    #[schemars(skip)]
    pub without_classes: bool,
    /// The job's data with the spans of all values, for errors that are found later.
    #[serde(skip)]
    #[schemars(skip)]
    pub(super) origin: Option<Node>,
    /// The flags that were given in addition to the job file or instead of one, as the user writes them.
    #[serde(skip)]
    #[schemars(skip)]
    pub(super) flags: Vec<String>,
}

/// Grid of the outputs.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase", expecting = "text: `model` or `scene`")]
pub enum GridForm {
    Model,
    Scene,
}

/// Ground sample distance.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum ResolutionForm {
    /// Metres on the ground.
    Metres(f64),
    /// `0.5 m`, or `0.00001 crs` in units of the CRS of the scene.
    Text(String),
    Long(ResolutionKeys),
}

/// Size of the whole image that the model sees, one of the keys. Stretched bytes are resized bilinearly without anti-aliasing, as
/// OpenCV does it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "keys with values, such as `long_side: 448`")]
pub struct ResolutionKeys {
    /// Longer side of the image in pixels; the shorter one keeps the ratio.
    #[schemars(range(min = 1, max = 65535))]
    pub long_side: Option<usize>,
    /// Shorter side of the image in pixels; the longer one keeps the ratio.
    #[schemars(range(min = 1, max = 65535))]
    pub short_side: Option<usize>,
    /// Width and height of the image in pixels.
    pub size: Option<[usize; 2]>,
}

/// An area of interest.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum AreaForm {
    /// A vector file with polygons.
    File(String),
    /// [west, south, east, north] in degrees.
    Bounds(Vec<f64>),
    Long(AreaKeys),
}

/// Area of interest as keys: `file` (and `layer`), or `bounds` (and `crs`).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "keys with values, such as `file: area.gpkg`")]
pub struct AreaKeys {
    /// Vector file with polygons, relative to this file.
    pub file: Option<String>,
    /// Layer of the file. Default: its only layer.
    pub layer: Option<String>,
    /// Bounds: left, bottom, right, top.
    #[schemars(length(min = 4, max = 4))]
    pub bounds: Option<Vec<f64>>,
    /// The CRS of the bounds, such as `EPSG:25832`. Default: `EPSG:4326`, in degrees with the longitude first.
    pub crs: Option<String>,
}

/// A store of embeddings.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum EmbeddingsForm {
    /// The folder.
    Store(String),
    Long(EmbeddingsKeys),
}

/// A store of embeddings as keys.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "keys with values, such as `store: city.zarr`")]
pub struct EmbeddingsKeys {
    /// Folder of the store, relative to the job file.
    pub store: String,
    /// Numbers of a store that is made: `float32` (labels as without a store), `float16` (half the size) or `int8` (a quarter).
    /// Default: `float16`.
    pub precision: Option<StorePrecisionForm>,
    /// Compute what the store lacks; `false` refuses the job instead. Default: true.
    pub create: Option<bool>,
}

/// Numbers of a store.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase", expecting = "text: `float32`, `float16` or `int8`")]
pub enum StorePrecisionForm {
    Float32,
    Float16,
    Int8,
}

/// Nodata value.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum NodataForm {
    Value(f64),
    /// A value and its tolerance: `0~8`.
    Text(String),
    Long(NodataKeys),
}

/// Nodata value with a tolerance.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "keys with values, such as `value: 0`")]
pub struct NodataKeys {
    /// Nodata value.
    pub value: f64,
    /// Largest difference from the value that is also nodata. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub tolerance: Option<f64>,
}

/// Parameters of the method. The defaults are what the model recommends (`check` prints it), else those of the paper.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "keys with values, such as `debias: 0.3`")]
pub struct MethodForm {
    /// Share of the window's global (CLS token) similarity that is subtracted from the similarity of each pixel, 0 to 1: the
    /// paper's −λ. Default: what the model recommends (`mini`: 0), else 0.3.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub debias: Option<f64>,
    /// Factor of the logits before the soft-max. Default: what the model recommends (`mini`: 20), else 50.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub logit_scale: Option<f64>,
    /// The score of a class with several prompts: `largest` of their probabilities, as in the paper, or their `sum`, which does not
    /// fall with the number of synonyms. Default: what the model recommends, else `largest`.
    pub pooling: Option<PoolingForm>,
    /// Assign the background class to pixels whose best score is below this, 0 to 1. Default: where a class is the background, what the
    /// model recommends (`mini`: 0.6), else 0 (never).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub threshold: Option<f64>,
    /// Assign the background class, or no class if there is none, to pixels whose best score leads that of the second best class by
    /// less than this, 0 to 1. Default: 0 (never).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub margin: Option<f64>,
    /// How a pixel's class is decided: `softmax`, by its own logits, as in the paper, or `gaussian`, by logits and features of the
    /// patches of the whole scene together (ConInfer, with the model's own features). The latter takes no upsampler and no
    /// debiasing; `logit_scale` is then that of its prior (default: what the model recommends, else 100). Default: `softmax`.
    pub decision: Option<DecisionForm>,
    /// Of `decision: gaussian`: what log-likelihoods are divided by, 1 to 10000. The larger it is, the more the words decide.
    /// Default: 50.
    #[schemars(range(min = 1.0, max = 10000.0))]
    pub temperature: Option<f64>,
    /// Prompt templates: `imagenet80` (CLIP's 80), `none` (the prompt alone), or a text file with one template per line, with
    /// `{}` in place of the prompt. Default: `imagenet80`.
    pub templates: Option<String>,
    /// Test-time augmentation: `none`, or `d4` (average over the eight flips and rotations of each window, at eight times the
    /// cost). Default: `none`.
    pub tta: Option<TtaForm>,
    /// Approximation for the CPU: compute the lengths of features from this many channels, 1 to 4096, instead of all (197 for
    /// windows of 14 × 14 patches). Faster; some labels differ.
    #[schemars(range(min = 1, max = 4096))]
    pub channels: Option<u32>,
    /// Approximation for the CPU: upsample features to half the resolution, and logits bilinearly from there. Faster; borders
    /// are slightly less sharp. Default: false.
    pub half_resolution: Option<bool>,
}

/// The score of a class with several prompts.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase", expecting = "text: `largest` or `sum`")]
pub enum PoolingForm {
    Largest,
    Sum,
}

/// How a pixel's class is decided.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase", expecting = "text: `softmax` or `gaussian`")]
pub enum DecisionForm {
    Softmax,
    Gaussian,
}

/// Test-time augmentation.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase", expecting = "text: `none` or `d4`")]
pub enum TtaForm {
    None,
    D4,
}

/// How the scene is divided into windows, and how windows are blended.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "keys with values, such as `stride: 112`")]
pub struct TilingForm {
    /// Side of a window in pixels, a multiple of the model's patch size. Default: the model's own window, mostly 224.
    #[schemars(range(min = 1))]
    pub window: Option<usize>,
    /// Distance between windows in pixels, at most the window. Default: what the model recommends (`mini`: 192), else half
    /// the window.
    #[schemars(range(min = 1))]
    pub stride: Option<usize>,
    /// Weights for blending overlapping windows: `hann` (no seams), `gaussian`, or `average` (the paper's). Default: `hann`.
    pub blend: Option<BlendForm>,
    /// Number of windows that are computed at once. Default: chosen for the device.
    #[schemars(range(min = 1))]
    pub batch: Option<usize>,
}

/// Weights of overlapping windows.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase", expecting = "text: `average`, `hann` or `gaussian`")]
pub enum BlendForm {
    Average,
    Hann,
    Gaussian,
}

/// Output files. In their names, `{scene}` is replaced by the file name of the scene without its extension, and `{folder}` by
/// the name of its folder. If scenes have the same file name and `{folder}` does not distinguish them, `{scene}` includes
/// their folders: `A_t` for `A/t.tif`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "keys with values, such as `polygons: true`")]
pub struct OutputsForm {
    /// Folder of all outputs, relative to the current folder. Default: `output/` and the name of the job.
    pub folder: Option<String>,
    /// Class raster (GeoTIFF); it is always written. Default: `{scene}_labels.tif`.
    pub labels: Option<OutputForm>,
    /// Score raster (GeoTIFF, one band per class): a name, or `true` for `{scene}_scores.tif`.
    pub scores: Option<OutputForm>,
    /// Score of the best class of each pixel (GeoTIFF): a name, or `true` for `{scene}_confidence.tif`.
    pub confidence: Option<OutputForm>,
    /// Difference between the best and the second best score (GeoTIFF): a name, or `true` for `{scene}_margin.tif`.
    pub margin: Option<OutputForm>,
    /// Polygons (`.gpkg`, `.fgb`, `.parquet`, `.geojson`, `.ndjson` or `.shp`): a name, `true` for `{scene}_polygons.gpkg`, or
    /// keys such as `recipe: buildings`.
    pub polygons: Option<PolygonsForm>,
    /// Picture of scene, classes and legend (`.png`): a name, or `true` for `{scene}_preview.png`.
    pub preview: Option<OutputForm>,
    /// Report for the browser (`.html`): swipe map, areas, job and provenance in one file. A name, or `true` for
    /// `{scene}_report.html`.
    pub report: Option<OutputForm>,
    /// Table of the areas of all classes (`.csv`): a name, or `true` for `{scene}_areas.csv`.
    pub areas: Option<OutputForm>,
    /// Pixel type of scores, confidence and margin: `float32`, or `uint8` (0 to 254 for 0 to 1, 255 for nodata). Default:
    /// `float32` for scores, `uint8` for confidence and margin.
    pub score_type: Option<ScoreTypeForm>,
    /// Format of rasters: `geotiff` (tiled) or `cog` (cloud-optimised GeoTIFF). Default: `geotiff`.
    pub format: Option<FormatForm>,
    /// Compression of rasters: `deflate` (supported by every reader) or `zstd`. Default: `deflate`.
    pub compression: Option<CompressionForm>,
    /// Overviews in rasters: `auto` (for rasters larger than 256 pixels) or `none`. Default: `auto`.
    pub overviews: Option<OverviewsForm>,
}

/// `true`, `false`, a file name, or a vector product as keys.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum PolygonsForm {
    Wanted(bool),
    Name(String),
    Long(Box<PolygonsKeys>),
}

/// Vector product. Lengths are metres and areas square metres on the ground, in any CRS (pixels if the scene has no CRS). The
/// defaults depend on the recipe.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "keys with values, such as `recipe: buildings`")]
pub struct PolygonsKeys {
    /// Output file. Default: `{scene}_polygons.gpkg`; with a recipe, its name replaces `polygons`.
    pub file: Option<String>,
    /// Product: `plain` (outlines of all regions along pixel edges), `buildings` (squared outlines), `roads` (centre lines as
    /// a graph), `water` (smooth polygons, without permanent water if it is given), or `landcover` (polygons with shared
    /// borders). Default: `plain`.
    pub recipe: Option<RecipeForm>,
    /// Classes to use, by name. Default: those whose names match the recipe.
    pub classes: Option<OneOrMany>,
    /// For `plain` and `landcover`: include the background. Default: false.
    pub keep_background: Option<bool>,
    /// For `plain`: connect pixels that share only a corner. Default: false.
    pub diagonal: Option<bool>,
    /// The CRS of the output file, such as `EPSG:3857`. GeoJSON is always in WGS 84. Default: the CRS of the scene.
    pub t_srs: Option<String>,
    /// Write one layer per class (GeoPackage). Default: false.
    pub layer_per_class: Option<bool>,
    /// Remove smaller polygons, in m²; in land cover, merge them into their largest neighbour. Default for `plain` and `landcover`:
    /// those of one pixel; 0 keeps all.
    #[schemars(range(min = 0.0))]
    pub min_area: Option<f64>,
    /// Fill holes up to this area, in m².
    #[schemars(range(min = 0.0))]
    pub max_hole: Option<f64>,
    /// Opening radius in metres: parts thinner than twice this are removed.
    #[schemars(range(min = 0.0))]
    pub opening: Option<f64>,
    /// Closing radius in metres: gaps narrower than twice this are filled.
    #[schemars(range(min = 0.0))]
    pub closing: Option<f64>,
    /// Tolerance of the simplification of borders, in metres; 0 keeps every corner.
    #[schemars(range(min = 0.0))]
    pub tolerance: Option<f64>,
    /// Smooth the borders. Default: true for `water`, else false.
    pub smooth: Option<bool>,
    /// For `buildings`: keep outlines along pixel edges instead of squared ones. Default: false.
    pub plain_outlines: Option<bool>,
    /// For `buildings`: keep the outline along pixel edges if the squared one overlaps it by less than this (intersection over
    /// union, 0 to 1).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub least_iou: Option<f64>,
    /// For `roads`: largest gap to bridge, in metres.
    #[schemars(range(min = 0.0))]
    pub max_gap: Option<f64>,
    /// For `roads`: remove networks of less total length, in metres.
    #[schemars(range(min = 0.0))]
    pub min_length: Option<f64>,
    /// For `roads`: remove dead ends shorter than this, in metres.
    #[schemars(range(min = 0.0))]
    pub min_spur: Option<f64>,
    /// For `roads`: write the graph as GraphML: a name, or `true` for `{scene}_roads.graphml`.
    pub graph: Option<OutputForm>,
    /// For `water`: vector file (relative to this file) as `FILE[:LAYER]` whose polygons are subtracted, such as permanent
    /// water.
    pub subtract: Option<String>,
    /// For `water`: vector file (relative to this file) as `FILE[:LAYER]` with zones; the water in each zone is summed up.
    pub zones: Option<String>,
    /// For `water`: field with the names of the zones. Default: the first text field.
    pub zone_field: Option<String>,
    /// For `water`: table of the zones (`.csv`). Default: `{scene}_zones.csv`.
    pub zone_table: Option<String>,
    /// Further fields that say how a feature was found: `scene` (its name) and `prompts` (those of its class). Default: none.
    pub fields: Option<Vec<FieldForm>>,
}

/// Field that says how a feature was found.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase", expecting = "text: `scene` or `prompts`")]
pub enum FieldForm {
    Scene,
    Prompts,
}

/// Vector product.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase", expecting = "text: `plain`, `buildings`, `roads`, `water` or `landcover`")]
pub enum RecipeForm {
    Plain,
    Buildings,
    Roads,
    Water,
    Landcover,
}

/// Pixel type of scores.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase", expecting = "text: `float32` or `uint8`")]
pub enum ScoreTypeForm {
    Float32,
    Uint8,
}

/// Format of rasters.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase", expecting = "text: `geotiff` or `cog`")]
pub enum FormatForm {
    Geotiff,
    Cog,
}

/// Compression of rasters.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase", expecting = "text: `deflate` or `zstd`")]
pub enum CompressionForm {
    Deflate,
    Zstd,
}

/// Overviews in rasters.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase", expecting = "text: `auto` or `none`")]
pub enum OverviewsForm {
    Auto,
    None,
}

/// A list of classes, or the keys of learnt ones: what `classes` may be in a file.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "says to the schema what the reader turns into a list")]
enum ClassesForm {
    List(#[schemars(length(min = 1))] Vec<ClassForm>),
    Learnt(ClassKeys),
}

/// Class: its prompts as text, or keys.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum ClassForm {
    /// Prompts separated by commas; the first one is the name of the class: `building,roof,house`.
    Short(String),
    Long(ClassKeys),
}

/// Class as keys: `name` and what belongs to it, or `learnt` alone.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "keys with values, such as `name: water`")]
pub struct ClassKeys {
    /// Name of the class in outputs. Required, unless `learnt` is given.
    #[serde(default)]
    pub name: Option<String>,
    /// File of learnt classes (`.safetensors`), relative to this file: its classes, in their order.
    #[serde(default)]
    pub learnt: Option<String>,
    /// Prompts that describe the class, as a list or as text with commas. Default: its name.
    #[serde(default)]
    pub prompts: Option<OneOrMany>,
    /// Condition on bands, such as `ndwi > 0.2`: without `prompts` it decides the class wherever it holds, before any words; with
    /// `prompts` the class is found by them, only where it holds. It may have `ndvi`, `ndwi`, `mndwi`, `ndbi`, bands by colour, name or
    /// number (`nir`, `swir16`, `B08`, `b4`) in physical values, numbers, `+ - * /`, comparisons, `and`, `or`, `not`, `abs`, `sqrt`,
    /// `min` and `max`.
    #[serde(default)]
    pub index: Option<String>,
    /// Colour in outputs: `#3b82f6`, or a CSS colour name. Default: a colour that suits the name.
    #[serde(default)]
    pub colour: Option<String>,
    /// Threshold of this class instead of the one of `method`, 0 to 1.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub threshold: Option<f64>,
}

/// Stretch: a name, possibly with numbers, or keys.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum StretchForm {
    /// `none`, `min-max`, `percentile`, `percentile:2,98`, `mean-std`, `mean-std:2`, or `values:0,3000`; after it `joint`, `gamma:0.6`, or
    /// both.
    Short(String),
    Long(StretchKeys),
}

/// Stretch as keys.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "keys with values, such as `method: percentile`")]
pub struct StretchKeys {
    /// Method of the stretch.
    pub method: StretchName,
    /// For `percentile`: percentiles that become 0 and 255. Default: [2, 98].
    #[serde(default)]
    pub percentiles: Option<[f64; 2]>,
    /// For `mean-std`: number of standard deviations around the mean that become 0 and 255. Default: 2.
    #[serde(default)]
    pub k: Option<f64>,
    /// For `values`: pixel values that become 0 and 255, one pair for all bands or one for each. They are stored values,
    /// without scale and offset. If scenes or bands differ in scale or offset, they are values of the first scene (one pair:
    /// of its red band), and the others are converted.
    #[serde(default)]
    #[schemars(length(min = 1, max = 3))]
    pub ranges: Option<Vec<[f64; 2]>>,
    /// Use one range for all three bands, which keeps their balance. Default: false.
    #[serde(default)]
    pub joint: Option<bool>,
    /// Exponent of the stretched value (0 to 1): below 1 brightens, above 1 darkens. Default: 1.
    #[serde(default)]
    pub gamma: Option<f64>,
}

/// Method of a stretch.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", expecting = "text: `none`, `min-max`, `percentile`, `mean-std` or `values`")]
pub enum StretchName {
    None,
    MinMax,
    Percentile,
    MeanStd,
    Values,
}

/// Band: a number from 1, a name or a colour.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum BandForm {
    Number(#[schemars(range(min = 1))] u64),
    Name(String),
}

/// `true`, `false`, or a file name.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum OutputForm {
    Wanted(bool),
    Name(String),
}

impl FieldForm {
    pub(super) fn kind(self) -> ExtraField {
        match self {
            Self::Scene => ExtraField::Scene,
            Self::Prompts => ExtraField::Prompts,
        }
    }
}

impl OutputForm {
    /// Returns the file name of an output: `default` if the job only says `true`, `None` if it is not wanted.
    pub(super) fn name<'a>(form: Option<&'a Self>, default: &'a str) -> Option<&'a str> {
        match form {
            None | Some(Self::Wanted(false)) => None,
            Some(Self::Wanted(true)) => Some(default),
            Some(Self::Name(name)) => Some(name),
        }
    }
}

/// A text, or a list of texts.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Reads a type that has several written forms. serde's `untagged` loses the cause and the position of an error.
macro_rules! several_forms {
    ($name:ident, $expected:literal, $($visit:item)+) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Forms;
                impl<'de> de::Visitor<'de> for Forms {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }
                    $($visit)+
                }
                deserializer.deserialize_any(Forms)
            }
        }
    };
}

several_forms! {
    ClassForm, "text such as `building,roof,house`, or keys such as `name: building`",
    fn visit_str<E: de::Error>(self, text: &str) -> Result<ClassForm, E> {
        Ok(ClassForm::Short(text.to_owned()))
    }
    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<ClassForm, A::Error> {
        ClassKeys::deserialize(MapAccessDeserializer::new(map)).map(ClassForm::Long)
    }
}

several_forms! {
    StretchForm, "text such as `percentile`, or keys such as `method: percentile`",
    fn visit_str<E: de::Error>(self, text: &str) -> Result<StretchForm, E> {
        Ok(StretchForm::Short(text.to_owned()))
    }
    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<StretchForm, A::Error> {
        StretchKeys::deserialize(MapAccessDeserializer::new(map)).map(StretchForm::Long)
    }
}

several_forms! {
    BandForm, "a band's number from 1, or its name",
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<BandForm, E> {
        Ok(BandForm::Number(number))
    }
    fn visit_str<E: de::Error>(self, name: &str) -> Result<BandForm, E> {
        Ok(BandForm::Name(name.to_owned()))
    }
}

several_forms! {
    OutputForm, "a file name, `true` or `false`",
    fn visit_bool<E: de::Error>(self, wanted: bool) -> Result<OutputForm, E> {
        Ok(OutputForm::Wanted(wanted))
    }
    fn visit_str<E: de::Error>(self, name: &str) -> Result<OutputForm, E> {
        Ok(yes_or_no(name).map_or_else(|| OutputForm::Name(name.to_owned()), OutputForm::Wanted))
    }
}

several_forms! {
    PolygonsForm, "a file name, `true`, `false`, or keys such as `recipe: buildings`",
    fn visit_bool<E: de::Error>(self, wanted: bool) -> Result<PolygonsForm, E> {
        Ok(PolygonsForm::Wanted(wanted))
    }
    fn visit_str<E: de::Error>(self, name: &str) -> Result<PolygonsForm, E> {
        Ok(yes_or_no(name).map_or_else(|| PolygonsForm::Name(name.to_owned()), PolygonsForm::Wanted))
    }
    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<PolygonsForm, A::Error> {
        PolygonsKeys::deserialize(MapAccessDeserializer::new(map)).map(|keys| PolygonsForm::Long(Box::new(keys)))
    }
}

several_forms! {
    ResolutionForm, "a number of metres, text such as `0.5 m` or `0.00001 crs`, or keys such as `long_side: 448`",
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<ResolutionForm, E> {
        Ok(ResolutionForm::Metres(number as f64))
    }
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<ResolutionForm, E> {
        Ok(ResolutionForm::Metres(number as f64))
    }
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<ResolutionForm, E> {
        Ok(ResolutionForm::Metres(number))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<ResolutionForm, E> {
        Ok(ResolutionForm::Text(text.to_owned()))
    }
    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<ResolutionForm, A::Error> {
        ResolutionKeys::deserialize(MapAccessDeserializer::new(map)).map(ResolutionForm::Long)
    }
}

several_forms! {
    NodataForm, "a number, text such as `0~8`, or keys such as `value: 0`",
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<NodataForm, E> {
        Ok(NodataForm::Value(number as f64))
    }
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<NodataForm, E> {
        Ok(NodataForm::Value(number as f64))
    }
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<NodataForm, E> {
        Ok(NodataForm::Value(number))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<NodataForm, E> {
        Ok(NodataForm::Text(text.to_owned()))
    }
    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<NodataForm, A::Error> {
        NodataKeys::deserialize(MapAccessDeserializer::new(map)).map(NodataForm::Long)
    }
}

several_forms! {
    AreaForm, "a vector file, four numbers, or keys such as `file: area.gpkg`",
    fn visit_str<E: de::Error>(self, text: &str) -> Result<AreaForm, E> {
        Ok(AreaForm::File(text.to_owned()))
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<AreaForm, A::Error> {
        let mut numbers = Vec::new();
        while let Some(number) = items.next_element()? {
            numbers.push(number);
        }
        Ok(AreaForm::Bounds(numbers))
    }
    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<AreaForm, A::Error> {
        AreaKeys::deserialize(MapAccessDeserializer::new(map)).map(AreaForm::Long)
    }
}

several_forms! {
    EmbeddingsForm, "a folder, or keys such as `store: city.zarr`",
    fn visit_str<E: de::Error>(self, text: &str) -> Result<EmbeddingsForm, E> {
        Ok(EmbeddingsForm::Store(text.to_owned()))
    }
    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<EmbeddingsForm, A::Error> {
        EmbeddingsKeys::deserialize(MapAccessDeserializer::new(map)).map(EmbeddingsForm::Long)
    }
}

several_forms! {
    OneOrMany, "text or a list of texts",
    fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany, E> {
        Ok(OneOrMany::One(text.to_owned()))
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMany, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = items.next_element()? {
            texts.push(text);
        }
        Ok(OneOrMany::Many(texts))
    }
}
