//! What the program knows of a scene, and a piece of its pixels: plain data, no GDAL.

mod class_names;
mod mask;
mod product;
mod scaling;
mod spectrum;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use crate::geom::ScaleBar;
use crate::geom::{GeoTransform, Region, Size, Window};

pub use class_names::{ClassNames, same_name};
pub use mask::{MaskRequest, MaskRule, MaskSource, NodataValue, range};
pub use product::{InvalidOption, ProductOptions, Recipe, VECTOR_EXTENSIONS, is_background};
pub use scaling::{Conversion, Scaling, conversions};
pub use spectrum::{
    Described, Designation, Evidence, Sensor, Spectral, Spectrum, described, designation, micrometres, sensor,
    sensor_of,
};

/// What a band shows, where the file says so.
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
    /// What else is known of the light that it shows.
    pub spectral: Spectral,
    /// How its stored values become physical ones; `None`: nothing says so.
    pub scaling: Option<Scaling>,
}

/// Where a scene lies on the earth.
#[derive(Clone, Debug, PartialEq)]
pub struct Georeference {
    pub transform: GeoTransform,
    /// The CRS as WKT; a scene may have a transform and no CRS.
    pub crs_wkt: Option<String>,
    /// `EPSG:32621` where the CRS has an authority code, else its name: for people to read.
    pub crs_name: Option<String>,
    /// World coordinates are longitude and latitude in degrees.
    pub geographic: bool,
    /// Metres in one unit of a projected CRS, as its definition names them: on the ground it may be more or less (see
    /// [`geom::ground`](crate::geom::ground)). 1 where unknown.
    pub metres_per_unit: f64,
    /// The file ties its coordinates to pixel centres (GeoTIFF's `AREA_OR_POINT=Point`); `transform` is already that of
    /// corners, this is only to be handed on.
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

    /// What to do about a scene that has to lie on the map and has no georeference.
    pub fn placing_hint(&self, otherwise: &str) -> String {
        match &self.access.control {
            Some(control) => format!(
                "It has {}: warp it first, `{}`. {otherwise}",
                control.what,
                control.warp_line(&self.path, "bilinear")
            ),
            None => otherwise.to_owned(),
        }
    }

    /// The grid in which the scene is stored, whatever the one that it is read on.
    pub fn native(&self) -> (Size, Option<&Georeference>) {
        match &self.access.native {
            Some(native) => (native.size, native.georeference.as_ref()),
            None => (self.size, self.georeference.as_ref()),
        }
    }
}

/// How a scene is come by, where that is more than opening the file of its path.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Access {
    /// GDAL's name of what is opened; `None`: the path.
    pub dataset: Option<PathBuf>,
    /// GDAL's names of the files behind it: the tiles of a mosaic, the assets of a STAC item. Empty: the path alone.
    pub files: Vec<PathBuf>,
    /// What outputs are named after; `None`: the path's last part.
    pub name: Option<String>,
    /// What places the scene on the earth in place of a geotransform.
    pub control: Option<GroundControl>,
    /// The scene's own grid, where it is read on a finer or coarser one.
    pub native: Option<NativeGrid>,
    /// The pixels that are wanted, on the grid that the scene is read on; `None`: all.
    pub area: Option<Arc<Region>>,
    /// What the job says of pixels without data.
    pub mask: MaskRequest,
    /// The file has a mask band, of all bands or of one.
    pub mask_band: bool,
    /// The file's nodata values hold for all bands together (GDAL's `NODATA_VALUES`).
    pub nodata_values: bool,
    /// The rule was applied file by file, and the mask band of what is opened is what came of it.
    pub masked: bool,
    /// The band, counted from 1, that is tagged as alpha and holds a picture.
    pub picture_alpha: Option<usize>,
    /// The compression that has changed the pixels' values, such as JPEG.
    pub lossy: Option<String>,
    /// How values of a mosaic's tiles are brought to the scale and offset of the first one; `None`: they are as stored.
    pub conversion: Option<String>,
    /// What is to be said of how the scene was found and put together: whole sentences.
    pub notes: Vec<String>,
}

/// What places a raster on the earth that has no geotransform: GDAL's tools can make one of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroundControl {
    /// `4 ground control points`
    pub what: String,
    /// Options of `gdalwarp` that choose it, with a space behind them.
    pub options: &'static str,
    /// A CRS that suits the place: `EPSG:32632`.
    pub target: String,
}

impl GroundControl {
    /// The command that makes a raster with a geotransform of it; `resampling` as GDAL calls it.
    pub fn warp_line(&self, raster: &Path, resampling: &str) -> String {
        let name = |path: &Path| {
            let text = path.display().to_string();
            let plain = text.chars().all(|c| c.is_alphanumeric() || "/._-:=,+@%".contains(c));
            if plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
        };
        let stem = raster.file_stem().unwrap_or_default().to_string_lossy();
        let warped = format!("{stem}_warped.tif");
        let text = raster.to_string_lossy();
        // What is read from a server or an archive is written here.
        let is_local = !text.contains("://") && !text.starts_with("/vsi");
        let warped = if is_local { raster.with_file_name(warped) } else { warped.into() };
        format!("gdalwarp {}-r {resampling} -t_srs {} {} {}", self.options, self.target, name(raster), name(&warped))
    }
}

/// The grid in which a scene is stored, and how many of its pixels a pixel of the other grid is wide and high.
#[derive(Clone, Debug, PartialEq)]
pub struct NativeGrid {
    pub size: Size,
    pub georeference: Option<Georeference>,
    pub scale: [f64; 2],
}

/// A scene as a job asks for it: what has to be found and laid out before it can be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SceneRequest {
    /// GDAL's names, at least one; STAC items and item collections among them.
    pub files: Vec<PathBuf>,
    /// All files as one scene, the first one on top. Otherwise there is one file.
    pub mosaic: bool,
    /// The assets taken from STAC items; empty: the one that is to be looked at.
    pub assets: Vec<String>,
    /// The bands that the job names, in its words; numbers are left out. They choose assets where `assets` is empty.
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
    /// As it stands among the request's files.
    pub scene: PathBuf,
    /// What the files' names have in common.
    pub name: String,
    /// The bands' names and their files.
    pub files: Vec<(String, PathBuf)>,
}

/// Whether a text can name a reference system by what it says: GDAL would also ask a server for an address and read a file,
/// and wait for either without end. The addresses of the OGC's register are names that it knows.
pub fn is_crs_text(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let register = lower.split_once("://").is_none_or(|(_, rest)| {
        ["www.opengis.net/def/crs", "opengis.net/def/crs"].iter().any(|start| rest.starts_with(start))
    });
    register && !lower.trim_start().starts_with("/vsi") && !Path::new(text).exists()
}

/// The side of a pixel as the model is to see it, above 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Resolution {
    /// On the ground, wherever the scene is and whatever its CRS counts in.
    Metres(f64),
    /// In the units of the scene's CRS.
    CrsUnits(f64),
}

/// The part of a scene that is wanted.
#[derive(Clone, Debug, PartialEq)]
pub enum AreaRequest {
    /// The polygons of a vector file; `None`: of its only layer.
    File { path: PathBuf, layer: Option<String> },
    /// Left, bottom, right, top in a CRS that GDAL understands, such as `EPSG:4326` (then longitude and latitude).
    Bounds { bounds: [f64; 4], crs: String },
}

/// The pixels of one window: three channels of 0..=255, ready for the model's own normalisation.
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

/// A class as its results are labelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassInfo {
    pub name: String,
    /// Red, green, blue for colour tables and pictures.
    pub colour: [u8; 3],
}

/// What turns a pixel's logits into a class.
#[derive(Clone, Debug)]
pub struct Classifier {
    /// Which class each query speaks for.
    pub query_class: Vec<usize>,
    /// Smallest score with which a class is taken, for each class.
    pub thresholds: Vec<f32>,
    /// The class of pixels whose best score stays below its threshold; `None`: they become `nodata`.
    pub background: Option<usize>,
    /// Factor on the logits before the soft-max (50 in the paper).
    pub logit_scale: f32,
    /// Label of pixels without data.
    pub nodata: u16,
}

/// Rows of results.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    /// (row, column)
    pub labels: Vec<u16>,
    /// (class, row, column): the best probability among a class's queries, 0..=1; NaN without data.
    pub scores: Vec<f32>,
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
    /// The narrowest type that holds `classes` indices and a nodata value beside them.
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

/// How the results' rasters lie in their files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RasterLayout {
    pub format: RasterFormat,
    pub compression: Compression,
    /// Smaller copies of the raster inside its file, so that viewers show all of it at once.
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
    /// A GeoTIFF in the order of a cloud-optimised one: it can be read in parts from a server.
    Cog,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    Deflate,
    /// Smaller and faster, for readers whose libtiff knows it.
    Zstd,
}

/// The pixel type of scores, 0..=1 each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScoreType {
    /// As they are; not a number where there is no data.
    F32,
    /// In steps of 1/254: 0..=254, and 255 where there is no data.
    U8,
}

/// How a scene's values become 0..=255. Computed once per scene from valid pixels, never per window.
#[derive(Clone, Debug, PartialEq)]
pub enum StretchMethod {
    /// Values are taken as they are (8-bit scenes); values outside 0..=255 are clamped.
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

/// A stretch as a job asks for it.
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
