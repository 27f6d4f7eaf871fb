//! Pixels and world: plain geometry that knows no file, no model and no library.

pub mod area;
mod blend;
mod grid;
mod region;
mod transform;
mod window;

pub use blend::Blend;
pub use grid::{Grid, axis_starts};
pub use region::{Coverage, FARTHEST, Polygon, Region};
pub use transform::{GeoTransform, WorldPoint};
pub use window::{MAX_WINDOW, Size, Window};
