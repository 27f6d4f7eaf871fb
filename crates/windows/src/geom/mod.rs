//! Pixel and world coordinates: plain geometry without files, model or libraries.

mod blend;
mod ellipsoid;
mod grid;
pub mod ground;
mod lattice;
mod pixel_ground;
mod region;
mod spread;
mod transform;
mod window;
mod zoom;

pub use blend::Blend;
pub use ellipsoid::Ellipsoid;
pub use grid::{Grid, axis_starts};
pub use ground::Ground;
pub use lattice::{Lattice, Metric};
pub use pixel_ground::{PixelGround, ScaleBar};
pub use region::{Coverage, MAX_DISTANCE, Polygon, Region};
pub use spread::{disc, line, overlap, pixel, spread};
pub use transform::{GeoTransform, WorldPoint};
pub use window::{MAX_WINDOW, Size, Window};
pub use zoom::{Pair, Zoom};
