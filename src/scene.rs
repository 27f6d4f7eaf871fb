//! What the program knows of a scene, and a piece of its pixels: plain data, no GDAL.

use std::path::PathBuf;

use crate::geom::{GeoTransform, Size, Window};

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
    /// Metres in one unit of a projected CRS; 1 where unknown.
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
