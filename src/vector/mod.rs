//! Label rasters to the vector products people keep: polygons, outlines, centre lines.
//!
//! ```text
//!  labels.tif ─► source ─► trace ─► shape::LabelRegion ─► place (CRS, WKB) ─► write ─► .gpkg .fgb .geojson .shp .parquet
//!  scores.tif ─┘ (strips)  (sweep)                   measure (m², m)     (thread, staged, renamed)
//! ```

#![expect(
    clippy::indexing_slicing,
    reason = "pixels of rasters and places in lists that were made here, from labels; files of others are read by GDAL"
)]

mod background;
mod bits;
mod blocks;
mod bridge;
mod buildings;
mod class_product;
mod coverage;
mod ffi;
mod format;
mod geometry;
pub mod geopackage;
mod geoparquet;
mod landcover;
mod mask;
mod neighbours;
mod network;
mod ogr;
mod output;
mod output_space;
mod polygonize;
mod recipe_buildings;
mod recipe_roads;
mod recipe_water;
mod road_output;
mod roads;
mod rtree;
mod shape;
mod simplify;
mod source;
mod split;
mod square;
mod targets;
#[cfg(test)]
mod testing;
mod thin;
mod trace;
mod vectorize;
mod wkb;
mod write;

pub use format::Format;
pub use landcover::{LandcoverOptions, landcover};
pub use output::{ClassSummary, Summary};
pub use polygonize::{Options, polygonize};
pub use source::{LabelSource, ScoreSource};
pub use targets::{Targets, class_names, features};
pub use trace::Connectedness;
pub use vectorize::{validate, vectorize};
