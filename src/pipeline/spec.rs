//! What a job says, as it is written: nothing is defaulted, nothing is judged. The doc comments are the texts of the JSON
//! schema, shown by editors while a job is typed.

use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, de};

use super::node::Node;
use super::words::yes_or_no;

/// A segmentation job: which model looks at which scene for which classes, and what comes out.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "keys with values, such as `classes:`")]
#[schemars(title = "segearth job")]
pub struct Spec {
    /// The model: the folder of an imported bundle (relative to this file), or a model's name such as
    /// `openai/ViT-B-16`, which a folder of that name does not hide (`./mini` is a folder); default `mini`, which is built in.
    pub model: Option<String>,
    /// The raster to segment, or a list of rasters: paths relative to this file, patterns such as `tiles/*.tif` or
    /// `t_{a,b}.tif`, folders (the rasters right in them), addresses (`https://…`, `s3://…`, `gs://…`, `az://…`), files in
    /// archives (`tiles.zip/a.tif`; an archive with a single raster by its own name), STAC items, collections, catalogs and
    /// searches (all pages of them). Files of a folder or a pattern that hold a band each are one scene, of which `bands` names
    /// the bands. Results of segearth are left out where a pattern or a folder stands for scenes.
    pub scene: Option<OneOrMany>,
    /// All scenes are tiles of one, the first named one on top; default false. Where they differ in scale and offset, values are
    /// brought to those of the first.
    pub mosaic: Option<bool>,
    /// The assets of STAC items that are read, by key, role or colour; several become the bands of one scene. By default those
    /// that hold the bands named by `bands`, else the one that is called `visual` or has this role.
    pub assets: Option<OneOrMany>,
    /// The side of a pixel as the model is to see it: `0.5` (metres on the ground, whatever the scene's CRS; where that is
    /// true to scale within 0.5 %, its own metres), or `0.00001 crs` (in the units of the scene's CRS). By default the scene's
    /// own.
    pub resolution: Option<ResolutionForm>,
    /// On which pixels results lie if `resolution` is given: `model` (those that the model saw, the default) or `scene` (the
    /// scene's own).
    pub grid: Option<GridForm>,
    /// The part of the scene that is segmented: a vector file with polygons, or bounds. The rest is not computed and has no
    /// data in results.
    pub aoi: Option<AreaForm>,
    /// The bands that the model sees as red, green and blue: three numbers (from 1, also `b1`), band names (`B04`, `SR_B4`) or
    /// what they show (`red`, `nir`, `swir16`). By default the red, green and blue bands as descriptions, STAC items,
    /// wavelengths, numbers of a known sensor's bands or colour interpretations tell them, in this order, else the first three.
    #[schemars(length(min = 3, max = 3))]
    pub bands: Option<Vec<BandForm>>,
    /// What marks pixels without data: `auto` (the default: the first that the file has of a mask band, an alpha band, nodata
    /// values), `none` (every pixel holds data), `alpha`, `nodata`, or `band:N` (data where band N is above 0). An alpha band
    /// that holds a picture, such as infrared, counts for `alpha` only. What is not a number never holds data.
    pub mask: Option<String>,
    /// The value of pixels without data, instead of the file's own; beside a mask or alpha band it counts as well. A number,
    /// `{value: 0, tolerance: 8}` or `0~8`: lossy compression changes values. What could be data too (0, the largest value of an
    /// unsigned type, any 8-bit value, any value with a tolerance) counts only where all three bands hold it.
    pub nodata: Option<NodataForm>,
    /// How pixel values become 0 to 255, once for the whole scene. By default `none` for 8-bit scenes, else `percentile`.
    pub stretch: Option<StretchForm>,
    /// The classes in the order of their numbers in the label raster, from 0.
    #[schemars(length(min = 1))]
    pub classes: Vec<ClassForm>,
    /// The class of pixels whose best score is below the threshold. By default the class named `background`, if there is
    /// one.
    pub background: Option<String>,
    /// The numbers of the method.
    pub method: MethodForm,
    /// How the scene is cut into windows and put together again.
    pub tiling: TilingForm,
    /// `auto` (a GPU where there is one), `cpu`, `cuda`, or `cuda:N`.
    pub device: Option<String>,
    /// What is written, and where.
    pub outputs: OutputsForm,
    /// The same with the places of all values, for errors that are found later.
    #[serde(skip)]
    #[schemars(skip)]
    pub(super) origin: Option<Node>,
    /// The flags that were given over the job file or instead of one, as a reader would write them.
    #[serde(skip)]
    #[schemars(skip)]
    pub(super) flags: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase", expecting = "text: `model` or `scene`")]
pub enum GridForm {
    Model,
    Scene,
}

/// A side of pixels.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum ResolutionForm {
    /// In metres.
    Metres(f64),
    /// `0.5 m`, or `0.00001 crs` in the units of the scene's reference system.
    Text(String),
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

/// An area of interest with all that can be said of it: `file` (and `layer`), or `bounds` (and `crs`).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "keys with values, such as `file: area.gpkg`")]
pub struct AreaKeys {
    /// A vector file with polygons, relative to this file.
    pub file: Option<String>,
    /// Its layer, where it has several.
    pub layer: Option<String>,
    /// Left, bottom, right, top.
    #[schemars(length(min = 4, max = 4))]
    pub bounds: Option<Vec<f64>>,
    /// The reference system of the bounds, such as `EPSG:25832`; default `EPSG:4326`, in degrees with the longitude first.
    pub crs: Option<String>,
}

/// A value that stands for no data.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum NodataForm {
    Value(f64),
    /// A value and its tolerance: `0~8`.
    Text(String),
    Long(NodataKeys),
}

/// A value that stands for no data, and how far a pixel's may be from it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "keys with values, such as `value: 0`")]
pub struct NodataKeys {
    pub value: f64,
    /// Values up to so much below or above count as well; default 0.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub tolerance: Option<f64>,
}

/// The numbers of the method. The defaults are the paper's.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "keys with values, such as `debias: 0.3`")]
pub struct MethodForm {
    /// The share of the whole window's similarity that is taken from each pixel's: 0 to 1, default 0.3 (the paper's λ with
    /// its sign turned).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub debias: Option<f64>,
    /// The factor on the logits before the soft-max; default 50.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub logit_scale: Option<f64>,
    /// Pixels whose best score is below this get the background class: 0 (never, the default) to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub threshold: Option<f64>,
    /// The sentences around a prompt: `imagenet80` (CLIP's 80, the default), `none` (the bare prompt), or a text file with a
    /// sentence a line in which `{}` stands for the prompt.
    pub templates: Option<String>,
    /// Test-time augmentation: `none` (the default), or `d4` (the answers over the eight flips and turns of each window,
    /// averaged: steadier, and eight times the work).
    pub tta: Option<TtaForm>,
    /// An approximation, on the CPU only: lengths of features are made of this many channels, 1 to 4096, instead of all (197
    /// for a window of 14 by 14 patches). Faster, and some labels differ.
    #[schemars(range(min = 1, max = 4096))]
    pub channels: Option<u32>,
    /// An approximation, on the CPU only: the upsampler stops at half the resolution, and the logits are doubled bilinearly.
    /// Faster, and borders are a little less sharp. Default false.
    pub half_resolution: Option<bool>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase", expecting = "text: `none` or `d4`")]
pub enum TtaForm {
    None,
    D4,
}

/// How the scene is cut into windows and put together again.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "keys with values, such as `stride: 112`")]
pub struct TilingForm {
    /// The side of a window in pixels, a multiple of the model's patch; by default the model's own window (224 mostly).
    #[schemars(range(min = 1))]
    pub window: Option<usize>,
    /// The step from window to window in pixels, at most the window; by default half of it.
    #[schemars(range(min = 1))]
    pub stride: Option<usize>,
    /// The weights of overlapping windows: `hann` (the default, without seams), `gaussian`, or `average` (the paper's).
    pub blend: Option<BlendForm>,
    /// Windows computed at a time; by default chosen by the device.
    #[schemars(range(min = 1))]
    pub batch: Option<usize>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase", expecting = "text: `average`, `hann` or `gaussian`")]
pub enum BlendForm {
    Average,
    Hann,
    Gaussian,
}

/// What is written, and where. In names, `{scene}` stands for the scene's file name without its extension, and `{folder}` for
/// the name of its folder. Where scenes share a file name, and `{folder}` does not tell them apart, `{scene}` has their folders
/// in front: `A_t` for `A/t.tif`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "keys with values, such as `polygons: true`")]
pub struct OutputsForm {
    /// The folder of all outputs, relative to where the program is started; by default `output/` and the job's name.
    pub folder: Option<String>,
    /// The class raster (GeoTIFF), always written; default `{scene}_labels.tif`.
    pub labels: Option<OutputForm>,
    /// The score raster (GeoTIFF, a band a class): a name, or `true` for `{scene}_scores.tif`.
    pub scores: Option<OutputForm>,
    /// The best class's score at each pixel (GeoTIFF): a name, or `true` for `{scene}_confidence.tif`.
    pub confidence: Option<OutputForm>,
    /// How far the best class's score is above the second best (GeoTIFF): a name, or `true` for `{scene}_margin.tif`.
    pub margin: Option<OutputForm>,
    /// The polygons (`.gpkg`, `.fgb`, `.parquet`, `.geojson`, `.ndjson` or `.shp`): a name, `true` for
    /// `{scene}_polygons.gpkg`, or keys such as `recipe: buildings`.
    pub polygons: Option<PolygonsForm>,
    /// A picture of scene, result and legend (`.png`): a name, or `true` for `{scene}_preview.png`.
    pub preview: Option<OutputForm>,
    /// A page to look at in a browser (`.html`), in one file: scene and result under a swipe, areas, job and provenance. A
    /// name, or `true` for `{scene}_report.html`.
    pub report: Option<OutputForm>,
    /// The pixel type of scores, confidence and margin: `float32`, or `uint8` (0 to 254 for 0 to 1, 255 without data). By
    /// default `float32` for scores and `uint8` for confidence and margin.
    pub score_type: Option<ScoreTypeForm>,
    /// The format of rasters: `geotiff` (tiled, the default) or `cog` (a cloud-optimised GeoTIFF).
    pub format: Option<FormatForm>,
    /// How rasters are compressed: `deflate` (the default, which every reader knows) or `zstd`.
    pub compression: Option<CompressionForm>,
    /// Smaller copies of rasters inside their files: `auto` (the default: where a raster is larger than 256 pixels) or
    /// `none`.
    pub overviews: Option<OverviewsForm>,
}

/// `true`, `false`, a file name, or a product with its numbers.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum PolygonsForm {
    Wanted(bool),
    Name(String),
    Long(Box<PolygonsKeys>),
}

/// A vector product. Lengths are metres and areas square metres on the ground, whatever the CRS (pixels where the scene has no
/// CRS); what is left out is the recipe's own value.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "keys with values, such as `recipe: buildings`")]
pub struct PolygonsKeys {
    /// The file; default `{scene}_polygons.gpkg`, with a recipe its name instead of `polygons`.
    pub file: Option<String>,
    /// What is made of the labels: `plain` (every region with the outline of its pixels, the default), `buildings` (squared
    /// outlines), `roads` (centre lines as a graph), `water` (smooth, without permanent water where it is given), or
    /// `landcover` (borders that neighbours share).
    pub recipe: Option<RecipeForm>,
    /// The classes to take, by name; by default those whose names fit the recipe.
    pub classes: Option<OneOrMany>,
    /// For `plain` and `landcover`: the background too; default false.
    pub keep_background: Option<bool>,
    /// For `plain`: pixels that share only a corner belong together; default false.
    pub diagonal: Option<bool>,
    /// The reference system of the file, such as `EPSG:3857`; by default the scene's. GeoJSON is always WGS 84.
    pub t_srs: Option<String>,
    /// A layer for each class (GeoPackage); default false.
    pub layer_per_class: Option<bool>,
    /// Smaller polygons are dropped (plain: none by default); in land cover they go to their largest neighbour.
    #[schemars(range(min = 0.0))]
    pub min_area: Option<f64>,
    /// Holes up to this area are filled.
    #[schemars(range(min = 0.0))]
    pub max_hole: Option<f64>,
    /// What is thinner than twice this radius goes.
    #[schemars(range(min = 0.0))]
    pub opening: Option<f64>,
    /// Cracks up to twice this radius are filled.
    #[schemars(range(min = 0.0))]
    pub closing: Option<f64>,
    /// How far a border may move when it is simplified; 0 keeps every corner.
    #[schemars(range(min = 0.0))]
    pub tolerance: Option<f64>,
    /// Rounded borders; default true for `water`.
    pub smooth: Option<bool>,
    /// For `buildings`: the outlines of the pixels instead of squared ones; default false.
    pub plain_outlines: Option<bool>,
    /// For `buildings`: where a squared outline agrees less with its pixels (intersection over union), theirs is kept.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub least_iou: Option<f64>,
    /// For `roads`: the widest gap to bridge.
    #[schemars(range(min = 0.0))]
    pub max_gap: Option<f64>,
    /// For `roads`: networks of less total length are dropped.
    #[schemars(range(min = 0.0))]
    pub min_length: Option<f64>,
    /// For `roads`: dead ends shorter than this are cut.
    #[schemars(range(min = 0.0))]
    pub min_spur: Option<f64>,
    /// For `roads`: the graph as GraphML: a name, or `true` for `{scene}_roads.graphml`.
    pub graph: Option<OutputForm>,
    /// For `water`: a vector file (relative to this file), as `FILE[:LAYER]`, whose polygons are left out, such as permanent water.
    pub subtract: Option<String>,
    /// For `water`: a vector file (relative to this file), as `FILE[:LAYER]`, by whose polygons the water is summed up.
    pub zones: Option<String>,
    /// The zones' field that names them; by default their first text field.
    pub zone_field: Option<String>,
    /// The table of the zones (`.csv`): a name; default `{scene}_zones.csv`.
    pub zone_table: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase", expecting = "text: `plain`, `buildings`, `roads`, `water` or `landcover`")]
pub enum RecipeForm {
    Plain,
    Buildings,
    Roads,
    Water,
    Landcover,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase", expecting = "text: `float32` or `uint8`")]
pub enum ScoreTypeForm {
    Float32,
    Uint8,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase", expecting = "text: `geotiff` or `cog`")]
pub enum FormatForm {
    Geotiff,
    Cog,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase", expecting = "text: `deflate` or `zstd`")]
pub enum CompressionForm {
    Deflate,
    Zstd,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase", expecting = "text: `auto` or `none`")]
pub enum OverviewsForm {
    Auto,
    None,
}

/// A class in its short or its long form.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum ClassForm {
    /// Prompts separated by commas; the first one is the class's name: `building,roof,house`.
    Short(String),
    Long(ClassKeys),
}

/// A class with all that can be said of it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "keys with values, such as `name: water`")]
pub struct ClassKeys {
    /// The name in results.
    pub name: String,
    /// The words that describe it, as a list or as text with commas; by default its name.
    #[serde(default)]
    pub prompts: Option<OneOrMany>,
    /// Its colour in results: `#3b82f6`, or a CSS colour name; by default after its meaning.
    #[serde(default)]
    pub colour: Option<String>,
    /// Its own threshold instead of the method's: 0 to 1.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub threshold: Option<f64>,
}

/// A stretch by name, or with its numbers.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum StretchForm {
    /// `none`, `min-max`, `percentile`, `percentile:2,98`, `mean-std`, `mean-std:2`, or `values:0,3000`.
    Short(String),
    Long(StretchKeys),
}

/// A stretch with its numbers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "keys with values, such as `method: percentile`")]
pub struct StretchKeys {
    pub method: StretchName,
    /// For `percentile`: the percentiles that become 0 and 255; default [2, 98].
    #[serde(default)]
    pub percentiles: Option<[f64; 2]>,
    /// For `mean-std`: how many standard deviations beside the mean become 0 and 255; default 2.
    #[serde(default)]
    pub k: Option<f64>,
    /// For `values`: the pixel values that become 0 and 255, one pair for all bands or one for each. They are stored values,
    /// without scale and offset: where scenes or bands differ in these, values of the first scene (and, for one pair, of its
    /// red band), to which the others are brought.
    #[serde(default)]
    #[schemars(length(min = 1, max = 3))]
    pub ranges: Option<Vec<[f64; 2]>>,
    /// One range for all three bands together, which keeps their balance, instead of one for each; default false.
    #[serde(default)]
    pub joint: Option<bool>,
    /// Exponent on the stretched 0..1 value: below 1 brightens, above 1 darkens; default 1.
    #[serde(default)]
    pub gamma: Option<f64>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", expecting = "text: `none`, `min-max`, `percentile`, `mean-std` or `values`")]
pub enum StretchName {
    None,
    MinMax,
    Percentile,
    MeanStd,
    Values,
}

/// A band by its number (from 1), or by its name or colour.
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

impl OutputForm {
    /// The name of an output: `default` where the job only says that it is wanted; `None` where it is not.
    pub(super) fn name<'a>(form: Option<&'a Self>, default: &'a str) -> Option<&'a str> {
        match form {
            None | Some(Self::Wanted(false)) => None,
            Some(Self::Wanted(true)) => Some(default),
            Some(Self::Name(name)) => Some(name),
        }
    }
}

/// A text or a list of them.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Reads a type that has several written forms. serde's own way (`untagged`) forgets what was wrong and where.
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
    ResolutionForm, "a number of metres, or text such as `0.5 m` or `0.00001 crs`",
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
