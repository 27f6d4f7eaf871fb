//! Windows of scenes: their geometry, plain data about scenes and classes, and the stitching of their logits.
//!
//! No files, no GDAL, no libtorch: what remains is arithmetic on pixels. It is a crate of its own so that it is optimised in
//! tests too, where all else is not.

pub use segearth_error as error;

pub mod geom;
pub mod scene;
pub mod stitch;
