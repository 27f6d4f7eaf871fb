//! Embeddings on disk: the outputs of the image tower for every window of scenes, computed once, so that new words and thresholds need
//! no transformer.
//!
//! A store is a Zarr 3 hierarchy that any Zarr library reads (see `zarr`):
//!
//! ```text
//!  store/zarr.json                       the model, the precision
//!  store/koeln-1f3a9c2e/zarr.json        a scene: path, size, geotransform, CRS, windows, and the facts that decide its tokens
//!  store/koeln-1f3a9c2e/tokens/          (window row, window column, 1 + patch, D): [CLS], then the patches row by row
//!  store/koeln-1f3a9c2e/scales/          (window row, window column, 1 + patch): where tokens are int8
//! ```
//!
//! A chunk holds some windows of one row. It appears under its name when it is complete, and ends with a checksum: a run that was
//! killed computes the chunks that are missing, and processes that share the work write different chunks of the same store.

mod arrays;
mod card;
mod chunk;
mod folder;
mod raster;
mod reader;
mod scene;
mod store;
mod zarr;

pub use card::{ModelCard, Padding, SceneCard};
pub use chunk::{Chunk, ChunkIndex, Precision, RawValues, Values};
pub use folder::StoreFiles;
pub use raster::{FeatureArray, Placing};
pub use reader::TokenReader;
pub use scene::SceneStore;
pub use store::Store;

#[cfg(test)]
mod tests;
