//! Descriptions of scenes, and windows of their pixels: plain data, no GDAL.

mod band_evidence;
mod class_names;
mod description;
mod mask;
mod product;
pub mod qml;
mod recommended;
mod scaling;
mod sensor;
mod spectrum;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use crate::geom::ScaleBar;
use crate::geom::{GeoTransform, Region, Size, Window};

pub use band_evidence::{Evidence, Spectral, sensor};
pub use class_names::{ClassNames, same_name};
pub use description::{Described, described, micrometres};
pub use mask::{MaskRequest, MaskRule, MaskSource, NodataValue, range};
pub use product::{ExtraField, InvalidOption, ProductOptions, Recipe, VECTOR_EXTENSIONS, is_background};
pub use recommended::Recommended;
pub use scaling::{Conversion, Scaling, conversions};
pub use sensor::{Designation, Sensor, designation, sensor_of};
pub use spectrum::Spectrum;

/// The colour interpretation of a band, as in GDAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColourRole {
    Undefined,
    Grey,
    Palette,
    Red,
    Green,
    Blue,
    Alpha,
    Other,
}

/// One band of a scene as its file describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct BandInfo {
    /// The band's description, where it has one.
    pub name: Option<String>,
    pub role: ColourRole,
    /// GDAL's name of the pixel type: `Byte`, `UInt16`, `Float32`, …
    pub pixel_type: String,
    pub nodata: Option<f64>,
    /// What else is known of its part of the spectrum.
    pub spectral: Spectral,
    /// Scale and offset from stored to physical values; `None`: not known.
    pub scaling: Option<Scaling>,
}

/// A scene's CRS and geotransform.
#[derive(Clone, Debug, PartialEq)]
pub struct Georeference {
    pub transform: GeoTransform,
    /// The CRS as WKT; a scene may have a transform and no CRS.
    pub crs_wkt: Option<String>,
    /// `EPSG:32621` where the CRS has an authority code, else its name; for messages.
    pub crs_name: Option<String>,
    /// World coordinates are longitude and latitude in degrees.
    pub geographic: bool,
    /// Metres in one unit of a projected CRS, as its definition names them: on the ground it may be more or less (see
    /// [`geom::ground`](crate::geom::ground)). 1 where unknown.
    pub metres_per_unit: f64,
    /// The file ties its coordinates to pixel centres (GeoTIFF's `AREA_OR_POINT=Point`); `transform` is already that of
    /// corners, this is only passed on to results.
    pub pixel_is_point: bool,
}

/// A scene as its header describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct SceneInfo {
    pub path: PathBuf,
    pub size: Size,
    pub bands: Vec<BandInfo>,
    /// `None`: the scene has no georeference; results then lie in pixel coordinates.
    pub georeference: Option<Georeference>,
    pub access: Access,
}

impl SceneInfo {
    /// The name by which GDAL opens the scene.
    pub fn dataset(&self) -> &Path {
        self.access.dataset.as_deref().unwrap_or(&self.path)
    }

    /// The files that the scene is made of, by GDAL's names.
    pub fn files(&self) -> &[PathBuf] {
        if self.access.files.is_empty() { std::slice::from_ref(&self.path) } else { &self.access.files }
    }

    /// The hint for a scene that must be georeferenced and is not.
    pub fn georeference_hint(&self, otherwise: &str) -> String {
        match &self.access.control {
            Some(control) => format!(
                "It has {}: warp it first, `{}`. {otherwise}",
                control.what,
                control.warp_line(&self.path, "bilinear")
            ),
            None => otherwise.to_owned(),
        }
    }

    /// The grid in which the scene is stored, which may differ from the one it is read on.
    pub fn native(&self) -> (Size, Option<&Georeference>) {
        match &self.access.native {
            Some(native) => (native.size, native.georeference.as_ref()),
            None => (self.size, self.georeference.as_ref()),
        }
    }
}

/// How a scene is opened, where that is more than opening the file of its path.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Access {
    /// GDAL's name of what is opened; `None`: the path.
    pub dataset: Option<PathBuf>,
    /// GDAL's names of the files behind it: the tiles of a mosaic, the assets of a STAC item. Empty: the path alone.
    pub files: Vec<PathBuf>,
    /// What outputs are named after; `None`: the path's last part.
    pub name: Option<String>,
    /// Ground control in place of a geotransform.
    pub control: Option<GroundControl>,
    /// The scene's own grid, where it is read on a finer or coarser one.
    pub native: Option<NativeGrid>,
    /// The area of interest, on the grid that the scene is read on; `None`: all.
    pub area: Option<Arc<Region>>,
    /// The job's settings for pixels without data.
    pub mask: MaskRequest,
    /// The file has a mask band, of all bands or of one.
    pub mask_band: bool,
    /// The file's nodata values hold for all bands together (GDAL's `NODATA_VALUES`).
    pub nodata_values: bool,
    /// The rule was applied to each file, and the dataset's mask band is the result.
    pub masked: bool,
    /// The band, from 1, that is tagged as alpha but holds an image.
    pub picture_alpha: Option<usize>,
    /// The lossy compression of the pixels, such as JPEG.
    pub lossy: Option<String>,
    /// How values of a mosaic's tiles are converted to the scale and offset of the first one; `None`: they are as
    /// stored.
    pub conversion: Option<String>,
    /// Notes on how the scene was found and combined: whole sentences.
    pub notes: Vec<String>,
}

/// Ground control of a raster without a geotransform: gdalwarp can make a georeferenced one of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroundControl {
    /// `4 ground control points`
    pub what: String,
    /// Options of `gdalwarp` that select it, with a trailing space.
    pub options: &'static str,
    /// A suitable CRS: `EPSG:32632`.
    pub target: String,
}

impl GroundControl {
    /// The command that warps it to a georeferenced raster; `resampling` is GDAL's name of the method.
    pub fn warp_line(&self, raster: &Path, resampling: &str) -> String {
        let name = |path: &Path| {
            let text = path.display().to_string();
            let plain = text.chars().all(|c| c.is_alphanumeric() || "/._-:=,+@%".contains(c));
            if plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
        };
        let stem = raster.file_stem().unwrap_or_default().to_string_lossy();
        let warped = format!("{stem}_warped.tif");
        let text = raster.to_string_lossy();
        // The result for a file on a server or in an archive is written to the current folder.
        let is_local = !text.contains("://") && !text.starts_with("/vsi");
        let warped = if is_local { raster.with_file_name(warped) } else { warped.into() };
        format!("gdalwarp {}-r {resampling} -t_srs {} {} {}", self.options, self.target, name(raster), name(&warped))
    }
}

/// The grid in which a scene is stored, and the size of a pixel of the other grid in its pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct NativeGrid {
    pub size: Size,
    pub georeference: Option<Georeference>,
    pub scale: [f64; 2],
    pub resampling: Resampling,
}

/// How a scene comes to another grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resampling {
    /// Values: averages where pixels become larger, cubic convolution where they become smaller.
    Values,
    /// Stretched bytes, bilinearly and without anti-aliasing, as the paper's code resizes images.
    Bytes,
}

/// A job's request for a scene, to be resolved before it can be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SceneRequest {
    /// GDAL's names, at least one; STAC items and item collections among them.
    pub files: Vec<PathBuf>,
    /// All files are one scene, the first one on top. Otherwise there is one file.
    pub mosaic: bool,
    /// The assets of STAC items; empty: the visual one.
    pub assets: Vec<String>,
    /// The bands that the job names, without numbers. They select assets where `assets` is empty.
    pub bands: Vec<String>,
    /// Those of `files` that are folders or patterns, and the band files behind each.
    pub band_files: Vec<BandFiles>,
    pub resolution: Option<Resolution>,
    pub area: Option<AreaRequest>,
    pub mask: MaskRequest,
}

impl SceneRequest {
    /// A single file, as it is.
    pub fn file(name: impl Into<PathBuf>) -> Self {
        Self { files: vec![name.into()], ..Self::default() }
    }
}

/// One acquisition whose bands are files of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BandFiles {
    /// Its entry among the request's files.
    pub scene: PathBuf,
    /// The common part of the files' names.
    pub name: String,
    /// The bands' names and their files.
    pub files: Vec<(String, PathBuf)>,
}

/// Whether a text may be the definition of a CRS: GDAL would also read a file or fetch an address, and might wait for
/// either forever. Addresses of the OGC's register are names that it knows.
pub fn is_crs_text(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let register = lower.split_once("://").is_none_or(|(_, rest)| {
        ["www.opengis.net/def/crs", "opengis.net/def/crs"].iter().any(|start| rest.starts_with(start))
    });
    register && !lower.trim_start().starts_with("/vsi") && !Path::new(text).exists()
}

/// The pixel size that the model sees, above 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Resolution {
    /// In metres on the ground, whatever the units of the CRS.
    Metres(f64),
    /// In the units of the scene's CRS.
    CrsUnits(f64),
    /// By the size of the whole image, with or without a georeference.
    Image(ImageSize),
}

/// The size in pixels to which a whole image is brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageSize {
    /// Of the longer side; the ratio of the sides is kept.
    LongSide(usize),
    /// Of the shorter side; the ratio of the sides is kept.
    ShortSide(usize),
    /// Of both sides.
    Exact(Size),
}

impl ImageSize {
    /// The size of an image of `native` pixels: `floor(side · factor + 0.5)`, at least 1.
    pub fn of(self, native: Size) -> Size {
        let scaled = |side: usize, other: usize| {
            let factor = side as f64 / other.max(1) as f64;
            let scaled = |native: usize| ((native as f64 * factor + 0.5).floor() as usize).max(1);
            Size::new(scaled(native.width), scaled(native.height))
        };
        match self {
            Self::LongSide(side) => scaled(side, native.width.max(native.height)),
            Self::ShortSide(side) => scaled(side, native.width.min(native.height)),
            Self::Exact(size) => size,
        }
    }
}

/// The area of interest of a job.
#[derive(Clone, Debug, PartialEq)]
pub enum AreaRequest {
    /// The polygons of a vector file; `None`: of its only layer.
    File { path: PathBuf, layer: Option<String> },
    /// Left, bottom, right, top in a CRS that GDAL understands, such as `EPSG:4326` (then longitude and latitude).
    Bounds { bounds: [f64; 4], crs: String },
}

/// The pixels of one window: three channels of 0..=255, to be normalised by the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Tile {
    pub window: Window,
    /// (channel, row, column), `3 × height × width`: red, green, blue after the stretch.
    pub rgb: Vec<f32>,
    /// (row, column): which pixels hold data. `None` when all do.
    pub valid: Option<Vec<bool>>,
}

impl Tile {
    /// Whether not a single pixel holds data.
    pub fn is_empty(&self) -> bool {
        self.valid.as_ref().is_some_and(|valid| !valid.contains(&true))
    }
}

/// A class with its name and colour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassInfo {
    pub name: String,
    /// Red, green, blue for colour tables and pictures.
    pub colour: [u8; 3],
}

/// How a pixel's logits become a class.
#[derive(Clone, Debug)]
pub struct Classifier {
    /// The class of each query.
    pub query_class: Vec<usize>,
    /// Threshold on the score, for each class.
    pub thresholds: Vec<f32>,
    /// The class of pixels whose best score is below its threshold; `None`: they become `nodata`.
    pub background: Option<usize>,
    /// Factor on the logits before the soft-max (50 in the paper).
    pub logit_scale: f32,
    /// Added to each query's scaled logit: the intercepts of learnt classes. Empty: nothing is added.
    pub bias: Vec<f32>,
    pub pooling: Pooling,
    /// Pixels whose best score leads the second best class's by less become background, as below a threshold; 0: none does.
    pub margin: f32,
    /// Label of pixels without data.
    pub nodata: u16,
}

/// The score of a class with several queries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The largest probability among them, as in the paper.
    #[default]
    Largest,
    /// The sum of their probabilities, so that the scores of all classes sum to 1: learnt classes.
    Sum,
}

/// Rows of results.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Labelled {
    /// (row, column)
    pub labels: Vec<u16>,
    /// (class, row, column): the best probability among a class's queries, 0..=1; NaN without data.
    pub scores: Vec<f32>,
    /// The highest score with which a class other than the background was the best and did not reach its threshold; 0 where there
    /// is none.
    pub rejected: f32,
}

impl Classifier {
    pub fn classes(&self) -> usize {
        self.thresholds.len()
    }
}

/// The pixel type of label rasters.
///
/// Class indices start at 0 as in the paper; the largest value of the type (255 or 65535) means no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelType {
    U8,
    U16,
}

impl LabelType {
    /// The smallest type for `classes` indices and a nodata value.
    pub fn for_classes(classes: usize) -> Self {
        if classes <= 255 { Self::U8 } else { Self::U16 }
    }

    pub fn nodata(self) -> u16 {
        match self {
            Self::U8 => u16::from(u8::MAX),
            Self::U16 => u16::MAX,
        }
    }
}

/// Format, compression and overviews of result rasters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RasterLayout {
    pub format: RasterFormat,
    pub compression: Compression,
    /// Overviews inside the file.
    pub overviews: bool,
}

impl Default for RasterLayout {
    fn default() -> Self {
        Self { format: RasterFormat::GeoTiff, compression: Compression::Deflate, overviews: true }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RasterFormat {
    /// A tiled GeoTIFF.
    GeoTiff,
    /// A cloud-optimised GeoTIFF.
    Cog,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    Deflate,
    /// Smaller and faster; readers need a libtiff with Zstandard.
    Zstd,
}

/// The pixel type of scores, 0..=1 each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScoreType {
    /// Float32; NaN without data.
    F32,
    /// Bytes in steps of 1/254: 0..=254, and 255 without data.
    U8,
}

/// How a scene's values are stretched to 0..=255; computed once per scene from valid pixels, never per window.
#[derive(Clone, Debug, PartialEq)]
pub enum StretchMethod {
    /// Values stay as they are (8-bit scenes), clamped to 0..=255.
    None,
    /// Darkest valid value to 0, brightest to 255.
    MinMax,
    /// The `low`-th percentile (0..100) to 0, the `high`-th to 255, linear between, clamped outside.
    Percentile { low: f64, high: f64 },
    /// Mean − k·standard deviation to 0, mean + k·standard deviation to 255.
    MeanStd { k: f64 },
    /// The given values to 0 and 255, one pair per channel in the order red, green, blue.
    Given([ValueRange; 3]),
}

/// The values that become 0 and 255.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValueRange {
    pub low: f64,
    pub high: f64,
}

/// The stretch of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct StretchPlan {
    pub method: StretchMethod,
    /// One range for all three bands together instead of one for each.
    pub joint: bool,
    /// Exponent on the stretched 0..=1 value: below 1 brightens, above 1 darkens.
    pub gamma: f64,
}

impl StretchPlan {
    /// Whether one range is found for all three bands, for which their values have to be comparable.
    pub fn joins_bands(&self) -> bool {
        joins_bands(&self.method, self.joint)
    }
}

/// See [`StretchPlan::joins_bands`].
pub fn joins_bands(method: &StretchMethod, joint: bool) -> bool {
    joint && !matches!(method, StretchMethod::None | StretchMethod::Given(_))
}
