//! Label rasters to the vector products people keep: polygons, outlines, centre lines.
//!
//! ```text
//!  labels.tif ─► source ─► trace ─► shape::Region ─► place (CRS, WKB) ─► write ─► .gpkg .fgb .geojson .shp
//!  scores.tif ─┘ (strips)  (sweep)                   measure (m², m)     (thread, staged, renamed)
//! ```

mod bits;
mod buildings;
mod coverage;
mod ffi;
mod format;
mod landcover;
mod mask;
mod measure;
mod output;
mod place;
mod polygonize;
mod shape;
mod simplify;
mod source;
mod square;
mod stage;
#[cfg(test)]
mod testing;
mod trace;
mod write;

pub use format::Format;
pub use landcover::{LandcoverOptions, landcover};
pub use output::{ClassSummary, Summary};
pub use polygonize::{Options, polygonize};
pub use source::{LabelSource, ScoreSource};
pub use stage::prove_writable;
pub use trace::Connectedness;
