//! From prompts to token ids: templates, clean-up and tokenizer.
//!
//! ```text
//!  "Building" ─► template ─► "a photo of a Building." ─► clean ─► words ─► byte-level BPE ─► start … end
//! ```
//!
//! Token ids equal those of OpenAI's CLIP. The text tower itself is in `network`.

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
