//! Outputs on disk: decides whether they may be written, and publishes them atomically.
//!
//! ```text
//!  product ──► verdict: write, keep, or refuse          (record: what earlier runs wrote, by size and SHA-256)
//!                 │
//!                 ▼
//!  staging (.segearth/NAME.partial/) ──► written, synced ──► record ──► renamed ──► record
//! ```
//!
//! No user's file is replaced without --overwrite: an existing output is refused unless a record in the hidden folder
//! `.segearth` beside it shows that a run with the same fingerprint wrote it, and its content is unchanged. In a GeoPackage
//! this applies to single layers: its other layers are copied unchanged. The record is written before the files are renamed
//! and again after it, so that the next run recognises the results of a run that was killed in between.

mod content;
mod folder;
mod guard;
mod product;
mod publish;
mod record;
mod staging;
#[cfg(test)]
mod tests;

pub use guard::{Existing, Verdict, check};
pub use product::Product;
pub use publish::publish;
pub use staging::Staging;
