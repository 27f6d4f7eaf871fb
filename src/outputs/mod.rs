//! Files that users name as outputs: whether they may be written, and how they appear.
//!
//! ```text
//!  product ──► verdict: write, keep, or refuse          (record: what earlier runs wrote, by size and SHA-256)
//!                 │
//!                 ▼
//!  staging (.segearth/NAME.partial/) ──► written, synced ──► record ──► renamed ──► record
//! ```
//!
//! Nothing that a user made is replaced unasked: an output that exists is refused unless a record in the hidden folder
//! `.segearth` beside it says that a run on the same facts wrote it, and it still has that content. Of a GeoPackage single
//! layers count: others in the same file are copied along untouched. The record is written before files get their names
//! as well as after, so that a run that was killed in between is recognised by the next one.

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
