//! Open-vocabulary semantic segmentation of whole remote-sensing scenes, without training.
//!
//! ```text
//!  job.yaml ──► pipeline ──► Plan                             (every rule resolved before any heavy work)
//!                              │
//!  scene.tif ──► raster::read ─► Tile ─► model::Segmenter ─► logits ─► stitch ─► rows of labels and scores
//!                 (windows,               (CLIP, SimFeatUp,            (blend,        │
//!                  stretch, nodata)        [CLS] debiasing)             soft-max)     ▼
//!                                                          journal (finished rows: a killed run resumes from them)
//!                                                                                     ├─► raster::write  labels.tif, scores.tif
//!                                                                                     └─► vector         polygons.gpkg
//! ```
//!
//! Results are made in hidden folders and get their names when they are whole; [`outputs`] decides whether what is there may
//! be replaced, before any heavy work and once more then.
//!
//! `run` is the one place that knows this whole flow. Nothing on the way holds the scene.
//!
//! **Conventions.** Rectangles are half-open with named fields (`col`, `row`, `width`, `height`). Arrays are row-major and
//! ordered (channel, row, column), with a batch in front where there is one. Pixel values are red, green, blue in 0..=255
//! until the model's own normalisation. World coordinates are those of the scene's CRS; areas are square metres on
//! the ellipsoid ([`geom::ground`] says how they are measured).

pub use segearth_error as error;
pub use segearth_windows::{geom, scene, stitch};

pub mod atomic;
pub mod change;
pub mod cli;
pub mod crs;
pub mod embeddings;
pub mod evaluate;
pub mod file_lock;
pub mod hash;
pub mod index;
pub mod journal;
pub mod learn;
pub mod location;
pub mod model;
pub mod network;
pub mod outputs;
pub mod page;
pub mod pipeline;
pub mod preview;
pub mod printable;
pub mod raster;
pub mod report;
pub mod reproduce;
pub mod run;
pub mod search;
pub mod serve;
pub mod spelling;
pub mod train;
pub mod vector;
