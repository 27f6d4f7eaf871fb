//! The joint Gaussian decision of ConInfer: the probabilities of patches by their words, and Gaussians of their features around a mean
//! of each query, fitted to many patches at once.
//!
//! With prior y of a patch's queries by its words, feature f of unit length, means μ of unit length and one variance σ² for each channel,
//!
//! ```text
//! z_k ∝ y_k · exp((ℓ_k − max ℓ) / T),   ℓ_k = −½ Σ_d (f_d − μ_kd)² / σ²_d
//! ```
//!
//! Means begin at the patches of the largest prior; means and variances are then fitted in turn with z. What all of ℓ_k share is left
//! out: it does not change z.

#![expect(
    clippy::indexing_slicing,
    reason = "rows of arrays whose lengths the numbers of patches, channels and queries determine"
)]

use rayon::prelude::*;

/// Patches of the largest prior, of which the first means are made.
const FIRST_PATCHES: usize = 8;
/// How often means and variances are fitted.
const FITS: usize = 10;
/// Floors of a variance and of a query's share of the patches: a channel that never changes, and a query that no patch has.
const VARIANCE_FLOOR: f64 = 1e-12;
const SHARE_FLOOR: f64 = 1e-12;
/// Parts in which sums over patches are made, at most, and what their sums may take in bytes; the order of sums does not depend on the
/// number of threads.
const PARTS: usize = 64;
const SUM_BYTES: usize = 64 << 20;

/// Patches to which the Gaussians are fitted.
#[derive(Clone, Debug, Default)]
pub struct Patches {
    /// (patch, channel), of unit length.
    pub features: Vec<f32>,
    /// (patch, query), which sum to 1.
    pub prior: Vec<f32>,
}

/// A Gaussian for each query.
#[derive(Clone, Debug)]
pub struct Gaussians {
    /// (query, channel): μ / σ².
    weights: Vec<f64>,
    /// (query): ½ Σ μ² / σ².
    offsets: Vec<f64>,
    depth: usize,
    temperature: f64,
}

/// Sums over patches: Σ z (query), Σ z f (query, channel), Σ f² Σ_k z (channel).
struct Sums {
    shares: Vec<f64>,
    features: Vec<f64>,
    squares: Vec<f64>,
}

impl Gaussians {
    /// Fits the Gaussians of `queries` queries to patches of `depth` channels; `temperature`: T. `None` without patches.
    pub fn fit(patches: &Patches, queries: usize, depth: usize, temperature: f64) -> Option<Self> {
        if queries == 0 || depth == 0 || patches.features.len() < depth {
            return None;
        }
        let mut means = first_means(patches, queries, depth);
        let mut found = Self::new(&means, &vec![1.0 / depth as f64; depth], temperature);
        for _ in 0..FITS {
            let sums = found.sums(patches, queries);
            for (query, mean) in means.chunks_exact_mut(depth).enumerate() {
                if sums.shares[query] > SHARE_FLOOR {
                    mean.copy_from_slice(&sums.features[query * depth..][..depth]);
                    normalise(mean);
                }
            }
            let total: f64 = sums.shares.iter().sum();
            let variance = |channel: usize| {
                let of_query = |query: usize| {
                    let (mean, at) = (means[query * depth + channel], query * depth + channel);
                    mean * (mean * sums.shares[query] - 2.0 * sums.features[at])
                };
                let sum = sums.squares[channel] + (0..queries).map(of_query).sum::<f64>();
                (sum / total.max(SHARE_FLOOR)).max(VARIANCE_FLOOR)
            };
            found = Self::new(&means, &(0..depth).map(variance).collect::<Vec<_>>(), temperature);
        }
        Some(found)
    }

    fn new(means: &[f64], variances: &[f64], temperature: f64) -> Self {
        let depth = variances.len();
        let weights: Vec<f64> =
            means.chunks_exact(depth).flat_map(|mean| mean.iter().zip(variances).map(|(m, v)| m / v)).collect();
        let half = |(mean, weights): (&[f64], &[f64])| 0.5 * mean.iter().zip(weights).map(|(m, w)| m * w).sum::<f64>();
        let offsets = means.chunks_exact(depth).zip(weights.chunks_exact(depth)).map(half).collect();
        Self { weights, offsets, depth, temperature }
    }

    /// Turns a patch's prior (query) into z; `feature` (channel) of unit length.
    pub fn posterior(&self, feature: &[f32], prior: &mut [f64]) {
        let likelihood = |(weights, offset): (&[f64], &f64)| {
            weights.iter().zip(feature).map(|(weight, value)| weight * f64::from(*value)).sum::<f64>() - offset
        };
        let likelihoods: Vec<f64> = self.weights.chunks_exact(self.depth).zip(&self.offsets).map(likelihood).collect();
        let best = likelihoods.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for (value, likelihood) in prior.iter_mut().zip(&likelihoods) {
            *value *= ((likelihood - best) / self.temperature).exp();
        }
        let sum: f64 = prior.iter().sum();
        if sum > 0.0 {
            prior.iter_mut().for_each(|value| *value /= sum);
        }
    }

    fn sums(&self, patches: &Patches, queries: usize) -> Sums {
        let depth = self.depth;
        let none =
            || Sums { shares: vec![0.0; queries], features: vec![0.0; queries * depth], squares: vec![0.0; depth] };
        let parts = (SUM_BYTES / (8 * (queries + 1) * depth)).clamp(1, PARTS);
        let chunk = (patches.features.len() / depth).div_ceil(parts).max(1);
        let features = patches.features.par_chunks(chunk * depth);
        let of_chunk = |(features, priors): (&[f32], &[f32])| {
            let mut sums = none();
            for (feature, prior) in features.chunks_exact(depth).zip(priors.chunks_exact(queries)) {
                let mut z: Vec<f64> = prior.iter().copied().map(f64::from).collect();
                self.posterior(feature, &mut z);
                let all: f64 = z.iter().sum();
                for (square, value) in sums.squares.iter_mut().zip(feature) {
                    *square += all * f64::from(*value).powi(2);
                }
                for ((z, share), sum) in z.iter().zip(&mut sums.shares).zip(sums.features.chunks_exact_mut(depth)) {
                    *share += z;
                    // Most patches have next to nothing of most queries.
                    if *z > SHARE_FLOOR {
                        sum.iter_mut().zip(feature).for_each(|(sum, value)| *sum += z * f64::from(*value));
                    }
                }
            }
            sums
        };
        let chunks: Vec<Sums> = features.zip(patches.prior.par_chunks(chunk * queries)).map(of_chunk).collect();
        chunks.into_iter().fold(none(), |mut sums, chunk| {
            let add = |to: &mut Vec<f64>, from: Vec<f64>| to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
            add(&mut sums.shares, chunk.shares);
            add(&mut sums.features, chunk.features);
            add(&mut sums.squares, chunk.squares);
            sums
        })
    }
}

/// Means (query, channel) of the patches of each query's largest prior, weighted by it.
fn first_means(patches: &Patches, queries: usize, depth: usize) -> Vec<f64> {
    let of_query = |query: usize| {
        let mut best: Vec<(f32, usize)> = Vec::new();
        for (patch, prior) in patches.prior.chunks_exact(queries).enumerate() {
            let value = prior[query];
            if best.len() < FIRST_PATCHES || best.last().is_some_and(|(least, _)| value > *least) {
                let at = best.partition_point(|(other, _)| *other >= value);
                best.insert(at, (value, patch));
                best.truncate(FIRST_PATCHES);
            }
        }
        let mut mean = vec![0.0; depth];
        for (value, patch) in best {
            let feature = &patches.features[patch * depth..][..depth];
            mean.iter_mut().zip(feature).for_each(|(mean, it)| *mean += f64::from(value) * f64::from(*it));
        }
        normalise(&mut mean);
        mean
    };
    (0..queries).into_par_iter().flat_map_iter(of_query).collect()
}

/// To unit length; zeros stay.
fn normalise(vector: &mut [f64]) {
    let length = vector.iter().map(|value| value * value).sum::<f64>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
}

/// The soft-max of `scale` times the logits, in place.
pub fn softmax(logits: &mut [f64], scale: f64) {
    let best = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    logits.iter_mut().for_each(|logit| *logit = (scale * (*logit - best)).exp());
    let sum: f64 = logits.iter().sum();
    logits.iter_mut().for_each(|value| *value /= sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_means_are_the_authors() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/parity/more/coninfer/expected.safetensors");
        let expected = tch::Tensor::read_safetensors(path).unwrap();
        let numbers = |name: &str| {
            let (_, tensor) = expected.iter().find(|(other, _)| other == name).unwrap();
            Vec::<f32>::try_from(tensor.flatten(0, -1)).unwrap()
        };
        let patches = Patches { features: numbers("features"), prior: numbers("prior") };
        let (found, want) = (first_means(&patches, 5, 96), numbers("first_means"));
        assert_eq!(found.len(), want.len());
        let off = found.iter().zip(&want).map(|(found, want)| (found - f64::from(*want)).abs()).fold(0.0, f64::max);
        assert!(off <= 1e-6, "{off:.2e}");
    }

    #[test]
    fn first_means_are_of_the_patches_of_the_largest_prior() {
        // Eight patches along the first channel, one with more of the second query's prior, and one that is neither's.
        let mut patches = Patches::default();
        for patch in 0..10 {
            let (feature, prior) = match patch {
                8 => ([0.0, 1.0], [0.0, 0.9]),
                9 => ([0.6, 0.8], [0.1, 0.1]),
                _ => ([1.0, 0.0], [0.5, 0.0]),
            };
            patches.features.extend(feature);
            patches.prior.extend(prior);
        }
        let means = first_means(&patches, 2, 2);
        assert!((means[0] - 1.0).abs() < 1e-9 && means[1].abs() < 1e-9, "{means:?}");
        // 0.9 · (0, 1) + 0.1 · (0.6, 0.8), the others have nothing of it.
        let length = f64::hypot(0.06, 0.98);
        assert!((means[2] - 0.06 / length).abs() < 1e-6 && (means[3] - 0.98 / length).abs() < 1e-6, "{means:?}");
    }

    #[test]
    fn queries_and_channels_without_patches_are_harmless() {
        assert!(Gaussians::fit(&Patches::default(), 3, 4, 50.0).is_none());
        // The second query has no patch at all, the last channel never changes.
        let patches = Patches { features: [1.0, 0.0, 0.0, 1.0].repeat(6), prior: [1.0, 0.0].repeat(12) };
        let found = Gaussians::fit(&patches, 2, 2, 50.0).unwrap();
        let mut z = [0.7, 0.3];
        found.posterior(&[1.0, 0.0], &mut z);
        assert!(z.iter().all(|z| z.is_finite()) && (z[0] + z[1] - 1.0).abs() < 1e-9, "{z:?}");
    }
}
