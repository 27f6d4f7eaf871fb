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
    /// The brightness of the image in as many equal steps as there are queries, the darkest step for the first query: every class is
    /// found somewhere.
    Levels,
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
            Answer::Levels => (0..images.count)
                .flat_map(|image| (0..self.queries).map(move |query| (image * 3 * plane, query)))
                .flat_map(|(start, query)| {
                    let (step, middle) = (self.queries as f32 / 256.0, query as f32 + 0.5);
                    (start..start + plane).map(move |red| {
                        let brightness =
                            [red, red + plane, red + 2 * plane].map(|at| images.pixels[at]).iter().sum::<f32>() / 3.0;
                        -(brightness * step - middle).abs()
                    })
                })
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geom::Size;

    #[test]
    fn levels_are_steps_of_brightness() {
        // Two images of three pixels: their first step, their last, and the second of four.
        let pixels = [[0.0, 255.0, 100.0], [30.0, 250.0, 90.0], [60.0, 255.0, 80.0]].concat();
        let images =
            Images { size: Size::new(3, 1), count: 2, pixels: [pixels.clone(), pixels].concat(), tokens: None };
        let logits = Fake { answer: Answer::Levels, queries: 4 }.segment(&images).unwrap();
        for image in logits.chunks_exact(12) {
            let best = |pixel: usize| (0..4).max_by(|a, b| image[a * 3 + pixel].total_cmp(&image[b * 3 + pixel]));
            assert_eq!([0, 1, 2].map(best), [Some(0), Some(3), Some(1)]);
        }
    }
}
