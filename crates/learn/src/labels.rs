//! The class of a sample from the logits of its queries.

#![expect(clippy::indexing_slicing, reason = "scores of classes, numbered by the queries")]

use crate::scene::Pooling;

/// The best class of each sample of `logits` (sample, query).
pub(super) fn labels(logits: &[f32], query_class: &[usize], pooling: Pooling) -> Vec<usize> {
    let classes = query_class.iter().max().map_or(0, |most| most + 1);
    let label = |row: &[f32]| {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut scores = vec![0f32; classes];
        for (&logit, &class) in row.iter().zip(query_class) {
            let score = (logit - largest).exp();
            scores[class] = match pooling {
                Pooling::Sum => scores[class] + score,
                Pooling::Largest => scores[class].max(score),
            };
        }
        (0..classes).fold(0, |best, class| if scores[class] > scores[best] { class } else { best })
    };
    logits.chunks_exact(query_class.len().max(1)).map(label).collect()
}
