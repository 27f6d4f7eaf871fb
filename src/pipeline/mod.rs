//! A job: what a YAML file or flags say (`spec`), how it is read with the span of every error (`load`), and what comes of
//! it once model and scenes are known (`plan`).
//!
//! ```text
//!  job.yaml ─┐
//!  --set …   ├─► Node (data with places) ─► Spec (as written) ─► Settings ─► Plan (every rule settled)
//!  --flags  ─┘        yaml, node              decode, spec        settings    plan, scene_rules, outputs
//! ```
//!
//! Flags take the same way as files: each is a key of the job with a value, and its own span for errors.
//! After [`plan::resolve`] nobody asks whether an option is set.

mod band_files;
mod bands;
mod classes;
mod decode;
mod forms;
mod job_error;
mod key_reference;
pub mod load;
mod masks;
mod node;
mod outputs;
mod palette;
mod paths;
pub mod plan;
mod products;
mod requests;
mod scene_names;
mod scene_rules;
pub mod schema;
mod settings;
mod source_span;
pub mod spec;
mod stretch;
#[cfg(test)]
mod tests;
mod words;
mod yaml;

pub use bands::label as band_label;
pub use key_reference::key_reference;
pub use load::{Override, from_flags, load};
pub use plan::{
    ClassPlan, DeviceChoice, Inputs, Method, ModelChoice, ModelFacts, NoDevice, OutputPaths, Plan, Product, RasterPlan,
    ScenePlan, TemplateChoice, Tiling, inputs, model_choice, resolve, seen, with_other_errors,
};
pub use schema::json_schema;
pub use spec::Spec;
pub use words::{quoted, without_credentials};
