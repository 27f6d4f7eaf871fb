//! Confidence and margin: the score of the best class, and its lead over the second best.

/// Confidence and margin per pixel, ordered (row, column); NaN without data.
#[derive(Clone, Debug, PartialEq)]
pub struct Certainty {
    /// The score of the best class, 0..=1, whether or not it reaches the class's threshold.
    pub confidence: Vec<f32>,
    /// The best score minus the second best, 0..=1; for a single class its score.
    pub margin: Vec<f32>,
}

/// Confidence and margin of `scores`, ordered (class, row, column), of `classes` classes.
pub fn certainty(scores: &[f32], classes: usize) -> Certainty {
    let pixels = scores.len() / classes.max(1);
    let mut confidence = vec![f32::NAN; pixels];
    let mut second = vec![0f32; pixels];
    for plane in scores.chunks_exact(pixels.max(1)) {
        for ((best, second), &score) in confidence.iter_mut().zip(&mut second).zip(plane) {
            // The first score of a pixel replaces the initial NaN, which compares with nothing.
            if best.is_nan() {
                *best = score;
            } else if score > *best {
                *second = *best;
                *best = score;
            } else if score > *second {
                *second = score;
            }
        }
    }
    let margin = confidence.iter().zip(&second).map(|(best, second)| best - second).collect();
    Certainty { confidence, margin }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidence_and_margin_ignore_class_order() {
        let nan = f32::NAN;
        // Three classes, four pixels: rising, falling, the best in the middle, no data.
        let found = certainty(&[0.125, 0.5, 0.25, nan, 0.25, 0.25, 0.75, nan, 0.5, 0.125, 0.0, nan], 3);
        assert_eq!(found.confidence[..3], [0.5, 0.5, 0.75]);
        assert_eq!(found.margin[..3], [0.25, 0.25, 0.5]);
        assert!(found.confidence[3].is_nan() && found.margin[3].is_nan());
        let alone = certainty(&[0.5, 1.0], 1);
        assert_eq!((alone.confidence, alone.margin), (vec![0.5, 1.0], vec![0.5, 1.0]));
        assert_eq!(certainty(&[], 2).margin, [0.0; 0]);
    }
}
