//! The confusion matrix and the scores computed from it.

#![expect(clippy::indexing_slicing, reason = "rows and columns of a square matrix of the classes")]

use serde::Serialize;

/// Pixel counts by reference class and predicted class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    classes: usize,
    /// (reference class, predicted class), `classes × classes` pixel counts.
    counts: Vec<u64>,
}

/// Scores of one class, each 0..=1; `None` where the denominator is zero.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassScore {
    pub class: String,
    /// Intersection over union. `None` for a class that neither raster has; means leave it out.
    pub iou: Option<f64>,
    /// Share of the predicted pixels that are correct; `None` for a class that was never predicted.
    pub precision: Option<f64>,
    /// Share of the reference pixels that were predicted as such; `None` for a class that the reference lacks.
    pub recall: Option<f64>,
    /// Harmonic mean of precision and recall; 0 for a class that only one of the two rasters has.
    pub f1: Option<f64>,
    pub reference_pixels: u64,
    pub predicted_pixels: u64,
}

/// Means over the classes, each 0..=1; `None` when no pixel was counted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Means {
    /// Mean IoU over the classes that occur in the reference or the prediction.
    pub miou: Option<f64>,
    /// Share of all pixels that are correct.
    pub overall_accuracy: Option<f64>,
    /// Mean recall over the classes that occur in the reference.
    pub mean_accuracy: Option<f64>,
    /// Mean F1 over the classes that occur in the reference or the prediction.
    pub mean_f1: Option<f64>,
}

impl ConfusionMatrix {
    pub fn new(classes: usize) -> Self {
        Self { classes, counts: vec![0; classes * classes] }
    }

    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Adds `pixels` of class `reference` predicted as `predicted`; the matrix grows as needed.
    pub fn add(&mut self, reference: usize, predicted: usize, pixels: u64) {
        self.grow(reference.max(predicted) + 1);
        if let Some(count) = self.counts.get_mut(reference * self.classes + predicted) {
            *count += pixels;
        }
    }

    /// Adds the counts of another matrix over the same classes.
    pub fn merge(&mut self, other: &Self) {
        self.grow(other.classes);
        for (reference, row) in other.rows().enumerate() {
            for (predicted, pixels) in row.iter().enumerate() {
                self.add(reference, predicted, *pixels);
            }
        }
    }

    fn grow(&mut self, classes: usize) {
        if classes <= self.classes {
            return;
        }
        let mut counts = Vec::with_capacity(classes * classes);
        for row in self.rows() {
            counts.extend_from_slice(row);
            counts.resize(counts.len() + classes - self.classes, 0);
        }
        counts.resize(classes * classes, 0);
        (self.classes, self.counts) = (classes, counts);
    }

    /// The rows of the matrix: for each reference class its pixel counts by predicted class.
    pub fn rows(&self) -> impl Iterator<Item = &[u64]> {
        // An empty matrix has no rows, and chunks of length 0 are not allowed.
        self.counts.chunks_exact(self.classes.max(1))
    }

    /// Pixels counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The scores of each class; a class without a name is named by its index.
    pub fn scores(&self, names: &[String]) -> Vec<ClassScore> {
        let rows: Vec<&[u64]> = self.rows().collect();
        rows.iter()
            .enumerate()
            .map(|(class, row)| {
                let hits = row[class];
                let reference_pixels: u64 = row.iter().sum();
                let predicted_pixels: u64 = rows.iter().map(|row| row[class]).sum();
                let both = reference_pixels + predicted_pixels;
                ClassScore {
                    class: names.get(class).cloned().unwrap_or_else(|| class.to_string()),
                    iou: ratio(hits, both - hits),
                    precision: ratio(hits, predicted_pixels),
                    recall: ratio(hits, reference_pixels),
                    f1: ratio(2 * hits, both),
                    reference_pixels,
                    predicted_pixels,
                }
            })
            .collect()
    }

    pub fn means(&self) -> Means {
        let scores = self.scores(&[]);
        let hits = self.rows().enumerate().map(|(class, row)| row[class]).sum();
        Means {
            miou: mean(scores.iter().filter_map(|score| score.iou)),
            overall_accuracy: ratio(hits, self.total()),
            mean_accuracy: mean(scores.iter().filter_map(|score| score.recall)),
            mean_f1: mean(scores.iter().filter_map(|score| score.f1)),
        }
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0u32, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: Option<f64>, expected: f64) {
        assert!(found.is_some_and(|found| (found - expected).abs() < 1e-12), "{found:?} against {expected}");
    }

    /// Reference 0 0 0 1 1 2, prediction 0 0 1 1 2 2, and a class 3 that neither has; by hand.
    fn small() -> ConfusionMatrix {
        let mut matrix = ConfusionMatrix::new(4);
        for (reference, predicted) in [(0, 0), (0, 0), (0, 1), (1, 1), (1, 2), (2, 2)] {
            matrix.add(reference, predicted, 1);
        }
        matrix
    }

    #[test]
    fn scores_match_hand_computed_values() {
        let scores = small().scores(&["a".into()]);
        for (class, iou, precision, recall, f1) in
            [(0, 2.0 / 3.0, 1.0, 2.0 / 3.0, 0.8), (1, 1.0 / 3.0, 0.5, 0.5, 0.5), (2, 0.5, 0.5, 1.0, 2.0 / 3.0)]
        {
            close(scores[class].iou, iou);
            close(scores[class].precision, precision);
            close(scores[class].recall, recall);
            close(scores[class].f1, f1);
        }
        assert_eq!((scores[0].class.as_str(), scores[1].class.as_str()), ("a", "1"));
        assert_eq!((scores[0].reference_pixels, scores[0].predicted_pixels), (3, 2));
        close(small().means().miou, 0.5);
        close(small().means().overall_accuracy, 4.0 / 6.0);
        close(small().means().mean_accuracy, (2.0 / 3.0 + 0.5 + 1.0) / 3.0);
    }

    #[test]
    fn absent_class_is_left_out_and_only_predicted_class_scores_zero() {
        let scores = small().scores(&[]);
        assert_eq!((scores[3].iou, scores[3].f1), (None, None));
        let mut matrix = small();
        matrix.add(0, 3, 1);
        let scores = matrix.scores(&[]);
        assert_eq!((scores[3].iou, scores[3].recall, scores[3].f1), (Some(0.0), None, Some(0.0)));
        close(matrix.means().miou, (0.5 + 1.0 / 3.0 + 0.5) / 4.0);
    }

    #[test]
    fn empty_matrix_has_no_means() {
        let means = ConfusionMatrix::new(0).means();
        assert_eq!((means.miou, means.overall_accuracy), (None, None));
    }

    #[test]
    fn growing_and_merging_keep_counts() {
        let mut grown = ConfusionMatrix::new(0);
        for (reference, predicted) in [(0, 1), (2, 0), (0, 1)] {
            grown.add(reference, predicted, 1);
        }
        assert_eq!(grown.rows().collect::<Vec<_>>(), [[0, 2, 0], [0, 0, 0], [1, 0, 0]]);
        let mut merged = small();
        merged.merge(&grown);
        assert_eq!((merged.total(), merged.classes()), (9, 4));
        assert_eq!(merged.rows().next(), Some([2, 3, 0, 0].as_slice()));
    }
}
