//! A job: what a YAML file or flags say (`spec`), how it is read (`load`), and what it comes to once model and scenes are
//! known (`resolve`, `plan`).
//!
//! ```text
//!  job.yaml ─┐
//!  --set …   ├─► Node (data with spans) ─► Spec (as written) ─► resolve ─► Plan (every rule resolved)
//!  --flags  ─┘       yaml, node              decode, spec       settings, requests, scene_rules, outputs
//! ```
//!
//! Flags take the same way as files: each is a key of the job with a value, and its own span for errors.
//! In a [`Plan`] every option has its value.

mod band_files;
mod bands;
mod classes;
mod decode;
mod embeddings;
mod errors;
mod forms;
mod further_bands;
mod index;
mod job_error;
mod key_reference;
pub mod load;
mod lookup;
mod masks;
mod node;
mod outputs;
mod palette;
mod paths;
pub mod plan;
mod products;
mod requests;
mod resolve;
mod scene_names;
mod scene_rules;
pub mod schema;
mod settings;
mod source_span;
pub mod spec;
mod stretch;
#[cfg(test)]
mod tests;
mod tiling;
mod views;
mod words;
mod yaml;

pub use bands::label as band_label;
pub use further_bands::choose as choose_further_bands;
pub use key_reference::key_reference;
pub use load::{Override, from_flags, load, parse};
pub use lookup::Lookup;
pub use palette::with_classes;
pub use plan::{
    ClassPlan, DeviceChoice, EmbeddingsPlan, Method, ModelChoice, ModelFacts, NoDevice, OutputPaths, Plan, Product,
    RasterPlan, ScenePlan, TemplateChoice, Tiling, conversion,
};
pub use resolve::resolve;
#[cfg(test)]
pub use resolve::resolve_scenes;
pub use schema::json_schema;
pub use spec::Spec;
pub use views::{EmbeddedScenes, View, embedded_scenes, views};
pub use words::{quoted, without_credentials};
