//! Linear layers with int8 weights on the CPU, as the transformer of CLIP has them.
//!
//! ```text
//!  x (row, K) float32 ──► scale and zero point of the row ──► int8 ─┐
//!                                                                   ├─► int32 sums ──► float32, bias, activation
//!  weights (N, K) int8, a scale for each output channel ── packed ──┘
//! ```
//!
//! Weights are packed once, when a model is loaded. Each row of activations has a scale of its own, so that the results of a window do
//! not depend on the windows beside it.
//!
//! Sums of int8 products are exact, and all float arithmetic is done in one order without fused multiply-add: results are the same bytes
//! on every processor, with or without the instructions that make them fast (AVX512-VNNI, AVX-VNNI).

#![warn(missing_docs)]
#![expect(
    clippy::indexing_slicing,
    reason = "kernels over arrays whose lengths the constructors and `forward` check; bounds are checked all the same"
)]
#![expect(clippy::needless_range_loop, reason = "lanes of several arrays side by side, as in vectors")]

mod activation;
mod dot;
mod linear;
mod mlp;
mod packed;
mod rows;
#[cfg(test)]
mod tests;
mod weights;

pub use activation::Activation;
use dot::Level;
pub use linear::Linear;
pub use mlp::Mlp;
use segearth_error::Result;
use segearth_upsample::Limit;
pub use weights::Weights;

/// The instructions by which int8 products are computed on this processor.
#[derive(Clone, Copy, Debug)]
pub struct Instructions(Level);

impl Instructions {
    /// Returns the fastest that the processor has, within the limit that the environment sets.
    ///
    /// # Errors
    /// [`segearth_upsample::INSTRUCTIONS_VARIABLE`] has a value that is not allowed.
    pub fn detect() -> Result<Self> {
        Ok(Self(Level::up_to(Limit::from_environment()?)))
    }

    /// Returns their name: `AVX512-VNNI`, `AVX-VNNI`, or `portable` where there is neither.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Returns whether int8 products are faster than those of float32.
    pub fn are_fast(self) -> bool {
        !matches!(self.0, Level::Portable(_))
    }
}
