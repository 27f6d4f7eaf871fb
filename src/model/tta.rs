//! Test-time augmentation: the answers over the eight flips and turns of a window, averaged (the symmetries of the square,
//! the group D4). Eight times the work; objects at an angle or in shadow are seen in all orientations.

#![expect(clippy::indexing_slicing, reason = "pixels of a plane, each to its own place")]

use rayon::prelude::*;

use super::{Fit, Images, Segmenter};
use crate::error::{Error, Result};
use crate::geom::Size;

/// A model that sees every image from all eight sides.
pub struct D4 {
    inner: Box<dyn Segmenter>,
}

impl D4 {
    pub fn new(inner: Box<dyn Segmenter>) -> Self {
        Self { inner }
    }
}

impl Segmenter for D4 {
    fn queries(&self) -> usize {
        self.inner.queries()
    }

    fn batch(&self) -> usize {
        self.inner.batch()
    }

    fn set_cache_limit(&mut self, bytes: usize) -> usize {
        self.inner.set_cache_limit(bytes)
    }

    fn fitted(&mut self) -> Option<&mut dyn Fit> {
        self.inner.fitted()
    }

    fn segment(&mut self, images: &Images) -> Result<Vec<f32>> {
        let mut mean = vec![0f32; images.count * self.queries() * images.size.pixels()];
        for side in Side::ALL {
            let logits = self.inner.segment(&side.seen(images))?;
            if logits.len() != mean.len() {
                return Err(Error::internal(format!("there are {} logits, not {}", logits.len(), mean.len())));
            }
            side.add_back(&logits, images.size, &mut mean);
        }
        mean.iter_mut().for_each(|logit| *logit /= Side::ALL.len() as f32);
        Ok(mean)
    }
}

/// An element of D4: transposed or not, then flipped along the axes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Side {
    diagonal: bool,
    rows: bool,
    cols: bool,
}

impl Side {
    const ALL: [Self; 8] = {
        let mut all = [Self { diagonal: false, rows: false, cols: false }; 8];
        let mut index = 0;
        while index < 8 {
            all[index] = Self { diagonal: index & 4 != 0, rows: index & 2 != 0, cols: index & 1 != 0 };
            index += 1;
        }
        all
    };

    fn size(self, size: Size) -> Size {
        if self.diagonal { Size::new(size.height, size.width) } else { size }
    }

    /// Returns the position in the original image of the pixel at row and column.
    fn source(self, size: Size, row: usize, col: usize) -> usize {
        let (row, col) = if self.diagonal { (col, row) } else { (row, col) };
        let row = if self.rows { size.height - 1 - row } else { row };
        let col = if self.cols { size.width - 1 - col } else { col };
        row * size.width + col
    }

    fn seen(self, images: &Images) -> Images {
        let (from, to) = (images.size, self.size(images.size));
        let mut pixels = vec![0f32; images.pixels.len()];
        pixels.par_chunks_exact_mut(to.pixels()).zip(images.pixels.par_chunks_exact(from.pixels())).for_each(
            |(seen, plane)| {
                for (row, line) in seen.chunks_exact_mut(to.width).enumerate() {
                    line.iter_mut().enumerate().for_each(|(col, value)| *value = plane[self.source(from, row, col)]);
                }
            },
        );
        Images { size: to, count: images.count, pixels, tokens: None }
    }

    /// Adds logits of the transformed image to planes of `size`, in the orientation of the original.
    fn add_back(self, answers: &[f32], size: Size, sums: &mut [f32]) {
        let width = self.size(size).width;
        sums.par_chunks_exact_mut(size.pixels()).zip(answers.par_chunks_exact(size.pixels())).for_each(
            |(sums, answers)| {
                for (row, line) in answers.chunks_exact(width).enumerate() {
                    line.iter().enumerate().for_each(|(col, answer)| sums[self.source(size, row, col)] += answer);
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fake::{Answer, Fake};

    /// Returns the column of every pixel, which depends on the orientation.
    struct Columns;

    impl Segmenter for Columns {
        fn queries(&self) -> usize {
            1
        }

        fn segment(&mut self, images: &Images) -> Result<Vec<f32>> {
            let plane = |_| (0..images.size.pixels()).map(|at| (at % images.size.width) as f32);
            Ok((0..images.count).flat_map(plane).collect())
        }
    }

    fn images(count: usize, size: Size) -> Images {
        let pixels = (0..count * 3 * size.pixels()).map(|at| (at * 37 % 101) as f32).collect();
        Images { size, count, pixels, tokens: None }
    }

    #[test]
    fn transforms_differ_and_are_inverted() {
        let images = images(2, Size::new(5, 3));
        let mut seen: Vec<Images> = Side::ALL.iter().map(|side| side.seen(&images)).collect();
        assert_eq!(seen[0], images);
        seen.dedup_by(|a, b| a == b);
        assert_eq!(seen.len(), 8);
        let mut identity = D4::new(Box::new(Fake { answer: Answer::Identity, queries: 3 }));
        let answers = identity.segment(&images).unwrap();
        assert!(answers.iter().zip(&images.pixels).all(|(answer, pixel)| (answer - pixel).abs() < 1e-4));
    }

    #[test]
    fn orientation_is_averaged() {
        // Columns 0..=4 from the left and from the right, rows 0..=2 from above and from below.
        let answers = D4::new(Box::new(Columns)).segment(&images(1, Size::new(5, 3))).unwrap();
        assert!(answers.iter().all(|answer| (answer - 1.5).abs() < 1e-6), "{answers:?}");
    }
}
