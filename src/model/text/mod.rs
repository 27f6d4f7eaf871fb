//! The words of a job as the text tower takes them: clean-up, tokens and prompt templates.
//!
//! ```text
//!  "Building" ─► template ─► "a photo of a Building." ─► clean ─► words ─► byte-level BPE ─► start … end
//! ```
//!
//! Everything here is plain data and equal to what OpenAI's CLIP does, id for id; the text tower itself is elsewhere.

mod clean;
mod html;
mod templates;
mod tokenizer;
mod train;
mod vocabulary;

pub use clean::clean;
pub use templates::{fill, imagenet_templates, parse_templates, read_templates};
pub use tokenizer::{TokenBatch, Tokenizer};

/// Tokens that a prompt of CLIP may have, start and end included.
pub const CONTEXT: usize = 77;

/// Characters that a prompt may have: far past any context, and short enough for the clean-up to stay quick.
pub const MAX_PROMPT_CHARS: usize = 10_000;

/// Bytes that a tokenizer file may have once unpacked; CLIP's own have 3 MB.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

#[cfg(test)]
mod parity;
