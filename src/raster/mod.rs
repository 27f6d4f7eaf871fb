//! The GDAL edge: scenes come in as windows of 0..=255, results go out as GeoTIFF.
//!
//! Nothing else in the program reads or writes rasters. GDAL's messages are never printed: failures become the cause of
//! our errors, warnings are collected for the report ([`take_warnings`]).

mod about;
mod align;
mod alpha;
mod area;
mod band_reader;
mod blocks;
mod burn;
mod byte_resize;
mod class_names;
mod coded;
mod containers;
mod control;
mod examples;
mod features;
mod ffi;
mod fill;
mod http;
mod input;
mod internal_table;
mod json;
mod labels;
mod layer;
mod messages;
mod metadata;
mod mosaic;
mod open;
mod physical;
mod picture;
mod plain_files;
mod polygons;
mod pyramid;
mod read;
mod remote;
#[cfg(test)]
mod remote_tests;
mod resample;
mod sample;
mod scenes;
mod score_reader;
mod scores;
mod sparse_files;
mod spatial_ref;
mod stac;
mod stac_bands;
mod stac_item;
mod stac_links;
mod stamp;
mod stretch;
mod style;
mod subdatasets;
mod survey;
mod target;
#[cfg(test)]
mod test_scenes;
#[cfg(test)]
#[path = "../../tests/it/server.rs"]
mod test_server;
mod thumbnail;
mod tile_mask;
mod tile_vrt;
mod validity;
mod vrt;

use std::path::Path;
use std::sync::Once;

pub use about::{GdalFacts, gdal_facts};
pub use align::{AlignedRaster, AlignedScores, blocks};
pub use burn::{BurntVector, FieldCode, VectorSource, is_vector};
pub use coded::{ABSENT, CodedRaster, Coding};
pub use examples::{
    Example, ExampleSource, Examples, LabelCodes, Skipped, assign_crs_command, read_examples, read_places,
};
pub use features::{FeatureType, FeatureWriter};
pub use labels::LabelWriter;
pub use messages::{set_gdal_message_handler, take_warnings};
pub use metadata::georeference_of;
pub use physical::PhysicalReader;
pub use picture::{Picture, indexed_png, jpeg};
pub use plain_files::{list_folder, list_tree, read_file};
pub use polygons::{PolygonFeature, PolygonLayer, PolygonSource};
pub use read::SceneReader;
pub use scenes::find;
pub use score_reader::ScoreReader;
pub use scores::{SCORE_NODATA, ScoreWriter, score_from_byte, score_to_byte};
pub use stamp::{Stamps, is_result, stamps, tag};
pub use stretch::Stretch;
pub use survey::{Survey, survey};
pub use target::can_write;
pub use thumbnail::{Thumbnail, label_thumbnail, write_png};
pub use tile_vrt::tile_vrt;

use crate::error::Result;
use crate::scene::SceneInfo;

/// Suffixes of the files that GDAL may write beside a raster.
const SIDECARS: [&str; 3] = [".aux.xml", ".ovr", ".msk"];
/// Limit of GDAL's block cache in bytes: enough for the rows under one row of windows of a scene 100,000 pixels wide
/// (224 rows × 3 bands × 2 bytes), so that a file in strips is decoded only twice. Wider scenes ask for more.
pub const BLOCK_CACHE: usize = 256 << 20;

/// Initialises GDAL: drivers, block cache limit, message handler. Further calls do nothing.
///
/// `GDAL_CACHEMAX` in the environment overrides our limit.
pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        messages::collect();
        gdal::DriverManager::register_all();
        remote::configure();
        if std::env::var_os("GDAL_CACHEMAX").is_none() {
            ffi::limit_block_cache(BLOCK_CACHE);
        }
    });
}

/// Limits GDAL's block cache to so many bytes, unless `GDAL_CACHEMAX` is set; returns the limit in effect.
pub fn set_cache_limit(bytes: usize) -> usize {
    init();
    match std::env::var_os("GDAL_CACHEMAX") {
        None => ffi::limit_block_cache(bytes),
        Some(_) => return ffi::block_cache(),
    }
    bytes
}

/// A scene's properties from its header; reads no pixels.
///
/// Fails with [`Kind::Input`](crate::error::Kind::Input) for a missing file, a folder, or a file that is no raster.
pub fn inspect(path: impl AsRef<Path>) -> Result<SceneInfo> {
    let path = path.as_ref();
    metadata::describe(&open::open(path)?, path)
}
