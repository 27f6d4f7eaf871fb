//! A model that decides by Gaussians of its patches' features: its "logits" are the probabilities of [`super::gaussian`], resized
//! bilinearly from patches to pixels. The Gaussians are fitted to some windows of a scene before its first window is segmented.

#![expect(clippy::indexing_slicing, reason = "rows and planes of arrays whose lengths the images' size determines")]

use rayon::prelude::*;

use super::gaussian::{Gaussians, Patches, softmax};
use super::torch::TorchPatchEncoder;
use super::{Fit, Images, Queries, Segmenter};
use crate::error::Result;
use crate::geom::Size;

/// Patches of a window to which the Gaussians are fitted, about: all 16 × 16, or a share of more.
const OF_WINDOW: usize = 256;
/// Patches of all windows, at most.
const MOST_PATCHES: usize = 80 * OF_WINDOW;

/// What the decision depends on besides the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JointSettings {
    /// Factor of the cosines before the soft-max that is the prior.
    pub prior_scale: f32,
    /// What log-likelihoods are divided by, above 0.
    pub temperature: f32,
}

/// An image tower and the queries of one job.
pub struct JointSegmenter {
    encoder: TorchPatchEncoder,
    patch: usize,
    decision: Decision,
    /// Of the scene that is to be segmented.
    gathered: Patches,
}

/// From a patch's feature to probabilities.
struct Decision {
    queries: Queries,
    settings: JointSettings,
    /// Of the scene that is segmented.
    gaussians: Option<Gaussians>,
}

impl JointSegmenter {
    /// `patch`: side of a patch in pixels.
    pub fn new(encoder: TorchPatchEncoder, queries: Queries, patch: usize, settings: JointSettings) -> Self {
        let decision = Decision { queries, settings, gaussians: None };
        Self { encoder, patch, decision, gathered: Patches::default() }
    }
}

impl Decision {
    /// A patch's feature at unit length, and its prior (query).
    fn prior(&self, token: &[f32]) -> (Vec<f32>, Vec<f64>) {
        let length = token.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt().max(1e-12);
        let feature: Vec<f32> = token.iter().map(|value| (f64::from(*value) / length) as f32).collect();
        let cosine = |query: &[f32]| -> f64 {
            query.iter().zip(&feature).map(|(query, value)| f64::from(*query) * f64::from(*value)).sum()
        };
        let mut prior: Vec<f64> = self.queries.features.chunks_exact(self.queries.width).map(cosine).collect();
        softmax(&mut prior, self.settings.prior_scale.into());
        (feature, prior)
    }

    /// The probabilities of an image's patches, (query, patch row, patch column). `tokens`: (1 + patch, D).
    fn posterior(&self, tokens: &[f32]) -> Vec<f32> {
        let (width, queries) = (self.queries.width, self.queries.count);
        let count = tokens.len() / width - 1;
        let mut planes = vec![0f32; queries * count];
        for (patch, token) in tokens.chunks_exact(width).skip(1).enumerate() {
            let (feature, mut z) = self.prior(token);
            if let Some(gaussians) = &self.gaussians {
                gaussians.posterior(&feature, &mut z);
            }
            for (query, z) in z.into_iter().enumerate() {
                planes[query * count + patch] = z as f32;
            }
        }
        planes
    }
}

impl Segmenter for JointSegmenter {
    fn queries(&self) -> usize {
        self.decision.queries.count
    }

    fn batch(&self) -> usize {
        self.encoder.batch()
    }

    fn warning(&self) -> Option<&str> {
        self.encoder.warning()
    }

    fn fitted(&mut self) -> Option<&mut dyn Fit> {
        Some(self)
    }

    fn segment(&mut self, images: &Images) -> Result<Vec<f32>> {
        let tokens = self.encoder.encode(images, self.patch, self.decision.queries.width)?;
        let grid = Size::new(images.size.width / self.patch, images.size.height / self.patch);
        let per_image = (grid.pixels() + 1) * self.decision.queries.width;
        let (decision, patch) = (&self.decision, self.patch);
        let of_image = |tokens: &[f32]| {
            let planes = decision.posterior(tokens);
            planes.chunks_exact(grid.pixels()).flat_map(|plane| enlarged(plane, grid, patch)).collect::<Vec<f32>>()
        };
        let planes: Vec<Vec<f32>> = tokens.par_chunks_exact(per_image).map(of_image).collect();
        Ok(planes.concat())
    }
}

impl Fit for JointSegmenter {
    fn gather(&mut self, images: &Images, kept: &[bool]) -> Result<()> {
        let width = self.decision.queries.width;
        let tokens = self.encoder.encode(images, self.patch, width)?;
        let per_image = (tokens.len() / images.count.max(1)).max(1);
        let patches = tokens.chunks_exact(per_image).flat_map(|tokens| tokens.chunks_exact(width).skip(1));
        let count = per_image / width - 1;
        for (index, (token, _)) in patches.zip(kept).enumerate().filter(|(_, (_, kept))| **kept) {
            if !is_of_share(index % count, count) {
                continue;
            }
            if self.gathered.features.len() >= MOST_PATCHES * width {
                break;
            }
            let (feature, prior) = self.decision.prior(token);
            self.gathered.features.extend(feature);
            self.gathered.prior.extend(prior.into_iter().map(|value| value as f32));
        }
        Ok(())
    }

    fn fit(&mut self) {
        let (patches, temperature) = (std::mem::take(&mut self.gathered), self.decision.settings.temperature.into());
        let Queries { count, width, .. } = self.decision.queries;
        self.decision.gaussians = Gaussians::fit(&patches, count, width, temperature);
    }
}

/// Whether a patch is one of about [`OF_WINDOW`] of a window's `count`, scattered over it and always the same ones.
fn is_of_share(index: usize, count: usize) -> bool {
    let scattered = (index as u32).wrapping_mul(2_654_435_761);
    (u64::from(scattered) * count as u64) >> 32 < OF_WINDOW as u64
}

/// A plane of patches as pixels, bilinearly, as PyTorch does it without aligned corners.
fn enlarged(plane: &[f32], grid: Size, factor: usize) -> Vec<f32> {
    let axis = |side: usize| -> Vec<(usize, usize, f32)> {
        let of_pixel = |pixel: usize| {
            let at = ((pixel as f32 + 0.5) / factor as f32 - 0.5).max(0.0);
            let first = (at as usize).min(side - 1);
            (first, (first + 1).min(side - 1), at - first as f32)
        };
        (0..side * factor).map(of_pixel).collect()
    };
    let (rows, cols) = (axis(grid.height), axis(grid.width));
    let mut pixels = Vec::with_capacity(rows.len() * cols.len());
    for (above, below, down) in rows {
        let row = |row: usize| &plane[row * grid.width..][..grid.width];
        let (above, below) = (row(above), row(below));
        for &(left, right, along) in &cols {
            let mix = |row: &[f32]| row[left] + along * (row[right] - row[left]);
            let (top, bottom) = (mix(above), mix(below));
            pixels.push(top + down * (bottom - top));
        }
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_windows_give_a_share_of_their_patches() {
        for count in [1, 49, 196, 256] {
            assert!((0..count).all(|index| is_of_share(index, count)));
        }
        let of_rows =
            |rows: std::ops::Range<usize>| (rows.start * 64..rows.end * 64).filter(|at| is_of_share(*at, 4096)).count();
        assert!((250..=262).contains(&of_rows(0..64)), "{}", of_rows(0..64));
        assert!((0..4).all(|quarter| (55..=73).contains(&of_rows(16 * quarter..16 * quarter + 16))));
    }

    #[test]
    fn patches_become_pixels_as_pytorch_resizes_them() {
        let got = enlarged(&[0.0, 1.0, 2.0, 4.0], Size::new(2, 2), 2);
        let want = [0.0, 0.25, 0.75, 1.0, 0.5, 0.8125, 1.4375, 1.75, 1.5, 1.9375, 2.8125, 3.25, 2.0, 2.5, 3.5, 4.0];
        assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-6), "{got:?}");
        assert_eq!(enlarged(&[3.0], Size::new(1, 1), 3), [3.0; 9]);
    }
}
