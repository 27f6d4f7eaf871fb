//! From pixels and words to logits.

pub mod text;
