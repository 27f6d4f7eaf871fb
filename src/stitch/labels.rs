//! Blended logits to class scores and labels.

use rayon::prelude::*;

use super::accumulate::Row;

/// What turns a pixel's logits into a class.
#[derive(Clone, Debug)]
pub struct Classifier {
    /// Which class each query speaks for.
    pub query_class: Vec<usize>,
    /// Smallest score with which a class is taken, for each class.
    pub thresholds: Vec<f32>,
    /// The class of pixels whose best score stays below its threshold; `None`: they become `nodata`.
    pub background: Option<usize>,
    /// Factor on the logits before the soft-max (50 in the paper).
    pub logit_scale: f32,
    /// Label of pixels without data.
    pub nodata: u16,
}

/// Rows of results.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    /// (row, column)
    pub labels: Vec<u16>,
    /// (class, row, column): the best probability among a class's queries, 0..=1; NaN without data.
    pub scores: Vec<f32>,
}

impl Classifier {
    pub fn classes(&self) -> usize {
        self.thresholds.len()
    }

    /// `p = softmax(scale · logits)` over the queries; a class scores the best p of its queries; the first class with the
    /// best score wins, unless that score is strictly below the class's threshold.
    pub fn classify(&self, rows: &[Row]) -> Labelled {
        let Some(width) = rows.first().map(|row| row.valid.len()) else {
            return Labelled { labels: Vec::new(), scores: Vec::new() };
        };
        let classes = self.classes();
        let pixels = width * rows.len();
        let mut labels = vec![self.nodata; pixels];
        let mut by_row = vec![f32::NAN; classes * pixels]; // (row, class, column)
        labels.par_chunks_mut(width).zip(by_row.par_chunks_mut(width * classes)).zip(rows).for_each(
            |((labels, scores), row)| {
                let mut probabilities = vec![0f32; self.query_class.len()];
                let mut best = vec![0f32; classes];
                for col in (0..width).filter(|&col| row.valid[col]) {
                    for (query, probability) in probabilities.iter_mut().enumerate() {
                        *probability = self.logit_scale * row.logits[query * width + col];
                    }
                    softmax(&mut probabilities);
                    best.fill(0.0);
                    for (&class, &probability) in self.query_class.iter().zip(&probabilities) {
                        best[class] = best[class].max(probability);
                    }
                    labels[col] = self.decide(&best);
                    for (class, &score) in best.iter().enumerate() {
                        scores[class * width + col] = score;
                    }
                }
            },
        );
        let mut scores = vec![0f32; classes * pixels];
        scores.par_chunks_mut(pixels).enumerate().for_each(|(class, plane)| {
            for (to, from) in plane.chunks_exact_mut(width).zip(by_row.chunks_exact(width * classes)) {
                to.copy_from_slice(&from[class * width..(class + 1) * width]);
            }
        });
        Labelled { labels, scores }
    }

    fn decide(&self, scores: &[f32]) -> u16 {
        let mut winner = 0;
        for (class, &score) in scores.iter().enumerate() {
            if score > scores[winner] {
                winner = class;
            }
        }
        let taken = if scores[winner] < self.thresholds[winner] { self.background } else { Some(winner) };
        taken.map_or(self.nodata, |class| class as u16)
    }
}

fn softmax(values: &mut [f32]) {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for value in values.iter_mut() {
        *value = (*value - largest).exp();
        sum += *value;
    }
    for value in values.iter_mut() {
        *value /= sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geom::{Blend, Size, Window};
    use crate::stitch::Accumulator;

    fn classify(classifier: &Classifier, logits: &[f32]) -> Labelled {
        let size = Size::new(1, 1);
        let mut accumulator = Accumulator::new(size.window(), size, logits.len(), Blend::Average);
        accumulator.add(&Window { col: 0, row: 0, width: 1, height: 1 }, logits, None);
        classifier.classify(&accumulator.finish_before(1))
    }

    fn classifier(thresholds: &[f32], background: Option<usize>) -> Classifier {
        Classifier {
            query_class: vec![0, 1, 1, 2],
            thresholds: thresholds.to_vec(),
            background,
            logit_scale: 1.0,
            nodata: 255,
        }
    }

    #[test]
    fn a_class_scores_its_best_query_not_their_sum() {
        let labelled =
            classify(&classifier(&[0.0; 3], None), &[0.30f32.ln(), 0.25f32.ln(), 0.25f32.ln(), 0.20f32.ln()]);
        assert_eq!(labelled.labels, [0]);
        for (score, want) in labelled.scores.iter().zip([0.30, 0.25, 0.20]) {
            assert!((score - want).abs() < 1e-6);
        }
    }

    #[test]
    fn the_first_of_equals_wins_and_a_score_at_its_threshold_is_taken() {
        let equal = [0.0; 4];
        assert_eq!(classify(&classifier(&[0.25; 3], Some(2)), &equal).labels, [0]);
        assert_eq!(classify(&classifier(&[0.26, 0.0, 0.0], Some(2)), &equal).labels, [2]);
        assert_eq!(classify(&classifier(&[0.26, 0.0, 0.0], None), &equal).labels, [255]);
    }

    #[test]
    fn pixels_without_data_have_no_score() {
        let size = Size::new(1, 1);
        let mut accumulator = Accumulator::new(size.window(), size, 4, Blend::Average);
        accumulator.add(&Window { col: 0, row: 0, width: 1, height: 1 }, &[0.0; 4], Some(&[false]));
        let labelled = classifier(&[0.0; 3], Some(0)).classify(&accumulator.finish_before(1));
        assert_eq!(labelled.labels, [255]);
        assert!(labelled.scores.iter().all(|score| score.is_nan()));
    }
}
