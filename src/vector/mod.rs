//! Label rasters to vector products: polygons, building outlines, land cover, water, road centre lines.
//!
//! ```text
//!  labels.tif ─► source ─► trace ─► shape::LabelRegion ─► output_space (CRS) ─► write ─► .gpkg .fgb .geojson .shp .parquet
//!  scores.tif ─┘ (strips)  (sweep)                   areas, lengths      (thread, staging folder, rename)
//! ```

#![expect(
    clippy::indexing_slicing,
    reason = "indices into rasters and lists that this module builds itself; GDAL reads the files of users"
)]

mod background;
mod bits;
mod blocks;
mod bridge;
mod buildings;
mod class_product;
mod coverage;
mod feature;
mod ffi;
mod format;
mod geometry;
pub mod geopackage;
mod geoparquet;
mod labels;
mod landcover;
mod layer_styles;
mod mask;
mod neighbours;
mod network;
mod ogr;
mod origin;
mod outlines;
mod output;
mod output_space;
mod points;
mod polygonize;
mod recipe_buildings;
mod recipe_roads;
mod recipe_water;
mod road_output;
mod roads;
mod rounding;
mod rtree;
mod scores;
mod shape;
mod simplify;
mod sketch;
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

pub use feature::{Field, FieldKind, Value};
pub use format::Format;
pub use outlines::{OutlinePlace, PlacedOutline, outline, outline_area, write_outlines};
pub use output::{ClassSummary, Summary};
pub use points::{PlacedPoint, text, write_points};
pub use polygonize::{Options, polygonize};
pub use sketch::{Sketch, SketchShape};
pub use targets::{Targets, class_names, features};
pub use trace::Connectedness;
pub use vectorize::{validate, vectorize};
