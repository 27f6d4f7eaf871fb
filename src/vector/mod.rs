//! Label rasters to the vector products people keep: polygons, outlines, centre lines.
//!
//! ```text
//!  labels.tif ─► source ─► trace ─► shape::Region ─► place (CRS, WKB) ─► write ─► .gpkg .fgb .geojson .shp
//!  scores.tif ─┘ (strips)  (sweep)                   measure (m², m)     (thread, staged, renamed)
//! ```

mod ffi;
mod format;
mod measure;
mod place;
mod polygonize;
mod shape;
mod source;
mod stage;
#[cfg(test)]
mod testing;
mod trace;
mod write;

pub use format::Format;
pub use polygonize::{ClassSummary, Options, Summary, polygonize};
pub use stage::prove_writable;
pub use trace::Connectedness;
