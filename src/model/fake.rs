//! Models without weights, deterministic: for tests, for measuring everything but the model, and for trying a job out.

#![expect(clippy::indexing_slicing, reason = "planes of the images of a batch")]

use super::{Images, Segmenter};
use crate::error::Result;

/// What a fake model answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The channels of the image in turn (red, green, blue, red, …), so that the stitched result must equal the input.
    Identity,
    /// Zeros, without computation.
    Null,
}

#[derive(Clone, Debug)]
pub struct Fake {
    pub answer: Answer,
    pub queries: usize,
}

impl Segmenter for Fake {
    fn queries(&self) -> usize {
        self.queries
    }

    fn batch(&self) -> usize {
        // A batch of one leaves its logits in the cache until they are blended; a larger one gains nothing.
        1
    }

    fn segment(&mut self, images: &Images) -> Result<Vec<f32>> {
        let plane = images.size.pixels();
        Ok(match self.answer {
            Answer::Null => vec![0.0; images.count * self.queries * plane],
            Answer::Identity => (0..images.count)
                .flat_map(|image| (0..self.queries).map(move |query| (image * 3 + query % 3) * plane))
                .flat_map(|start| &images.pixels[start..start + plane])
                .copied()
                .collect(),
        })
    }
}
