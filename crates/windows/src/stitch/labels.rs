//! Blended logits to class scores and labels.

use rayon::prelude::*;

use super::accumulate::{PIECE, Row};
use crate::scene::{Classifier, Labelled, Pooling};

impl Classifier {
    /// Labels and, with `scores`, class scores of the rows.
    ///
    /// `p = softmax(scale · logits + bias)` over the queries; the score of a class is the largest p of its queries, or their
    /// sum (see [`Pooling`]). The label is the first class with the largest score, unless that score is strictly below the
    /// class's threshold, or its lead below the margin.
    pub fn classify(&self, rows: &[Row], scores: bool) -> Labelled {
        let Some(width) = rows.first().map(|row| row.valid.len()).filter(|width| *width > 0) else {
            return Labelled::default();
        };
        let classes = self.classes();
        let pixels = width * rows.len();
        let mut labels = vec![self.nodata; pixels];
        if !scores {
            let rejected =
                labels.par_chunks_mut(width).zip(rows).map(|(labels, row)| self.label_row(row, labels, None));
            let rejected = rejected.reduce(|| 0.0, f32::max);
            return Labelled { labels, scores: Vec::new(), rejected };
        }
        let mut by_row = vec![f32::NAN; classes * pixels]; // (row, class, column)
        let rejected = labels
            .par_chunks_mut(width)
            .zip(by_row.par_chunks_mut(width * classes))
            .zip(rows)
            .map(|((labels, scores), row)| self.label_row(row, labels, Some(scores)))
            .reduce(|| 0.0, f32::max);
        let mut scores = vec![0f32; classes * pixels];
        scores.par_chunks_mut(pixels).enumerate().for_each(|(class, plane)| {
            for (to, from) in plane.chunks_exact_mut(width).zip(by_row.chunks_exact(width * classes)) {
                to.copy_from_slice(&from[class * width..(class + 1) * width]);
            }
        });
        Labelled { labels, scores, rejected }
    }

    /// Labels of a row, and its scores ordered (class, column); returns [`Labelled::rejected`]. Works on pieces that fit in the cache, plane by plane, so that
    /// the compiler can vectorise over pixels.
    fn label_row(&self, row: &Row, labels: &mut [u16], mut scores: Option<&mut [f32]>) -> f32 {
        let mut rejected = 0f32;
        let (width, classes) = (labels.len(), self.classes());
        let mut probabilities = vec![0f32; self.query_class.len() * PIECE];
        let mut of_class = vec![0f32; classes * PIECE];
        for start in (0..width).step_by(PIECE) {
            let count = PIECE.min(width - start);
            let (mut largest, mut sum) = ([f32::NEG_INFINITY; PIECE], [0f32; PIECE]);
            let (sums, weights) = row.piece(start / PIECE);
            for (scaled, sums) in probabilities.chunks_exact_mut(PIECE).zip(sums.chunks_exact(PIECE)) {
                for ((scaled, &sum), &weight) in scaled.iter_mut().zip(sums).zip(weights) {
                    *scaled = self.logit_scale * (sum / weight);
                }
            }
            for (scaled, bias) in probabilities.chunks_exact_mut(PIECE).zip(&self.bias) {
                scaled.iter_mut().for_each(|scaled| *scaled += bias);
            }
            for scaled in probabilities.chunks_exact(PIECE) {
                for (largest, &scaled) in largest.iter_mut().zip(scaled) {
                    *largest = if scaled > *largest { scaled } else { *largest };
                }
            }
            for scaled in probabilities.chunks_exact_mut(PIECE) {
                for ((scaled, largest), sum) in scaled.iter_mut().zip(&largest).zip(&mut sum) {
                    *scaled = exp(*scaled - largest);
                    *sum += *scaled;
                }
            }
            of_class.fill(0.0);
            for (probabilities, &class) in probabilities.chunks_exact(PIECE).zip(&self.query_class) {
                let score = &mut of_class[class * PIECE..][..PIECE];
                let probabilities = probabilities.iter().zip(&sum).map(|(probability, sum)| probability / sum);
                match self.pooling {
                    Pooling::Largest => {
                        for (score, probability) in score.iter_mut().zip(probabilities) {
                            *score = if probability > *score { probability } else { *score };
                        }
                    }
                    Pooling::Sum => score.iter_mut().zip(probabilities).for_each(|(score, value)| *score += value),
                }
            }
            let (mut winner, mut best) = ([0i32; PIECE], [f32::NEG_INFINITY; PIECE]);
            let mut second = [0f32; PIECE];
            for (class, scores) in (0..).zip(of_class.chunks_exact(PIECE)) {
                for ((winner, best), &score) in winner.iter_mut().zip(&mut best).zip(scores) {
                    *winner = if score > *best { class } else { *winner };
                    *best = if score > *best { score } else { *best };
                }
            }
            if self.margin > 0.0 {
                for (class, scores) in (0..).zip(of_class.chunks_exact(PIECE)) {
                    for ((second, &winner), &score) in second.iter_mut().zip(&winner).zip(scores) {
                        *second = if class != winner && score > *second { score } else { *second };
                    }
                }
            }
            let valid = &row.valid[start..start + count];
            let found = winner.iter().zip(&best).zip(&second);
            for ((label, &valid), ((&winner, &best), &second)) in
                labels[start..start + count].iter_mut().zip(valid).zip(found)
            {
                if valid {
                    *label = self.decide(winner as usize, best, second, &mut rejected);
                }
            }
            let Some(scores) = &mut scores else { continue };
            for (to, from) in scores.chunks_exact_mut(width).zip(of_class.chunks_exact(PIECE)) {
                for ((to, &from), &valid) in to[start..start + count].iter_mut().zip(from).zip(valid) {
                    *to = if valid { from } else { f32::NAN };
                }
            }
        }
        rejected
    }

    fn decide(&self, winner: usize, score: f32, second: f32, rejected: &mut f32) -> u16 {
        let taken = if score < self.thresholds[winner] || score - second < self.margin {
            if self.background != Some(winner) {
                *rejected = rejected.max(score);
            }
            self.background
        } else {
            Some(winner)
        };
        taken.map_or(self.nodata, |class| class as u16)
    }
}

/// Whether no value is NaN or infinite.
pub fn all_finite(values: &[f32]) -> bool {
    // The largest of the bits without the sign: NaN and infinities are above all finite numbers. Unlike a question for each
    // value, a plain maximum is vectorised.
    let bits = values.iter().fold(0, |most: i32, value| most.max((value.to_bits() & 0x7fff_ffff) as i32));
    f32::from_bits(bits as u32).is_finite()
}

/// e to the power of `x`, for x ≤ 0, to two units in the last place; below -87, near the limit of float32, e^-87.
///
/// Not the standard library's function, which calls C for each number and is not vectorised. Range reduction by powers of
/// two, then the polynomial of Cephes for -ln(2)/2..=ln(2)/2.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// 1.5 · 2^23: added to a small number, it leaves the nearest integer in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let x = if x > -87.0 { x } else { -87.0 };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let power = shifted - ROUND;
    // ln(2) in two parts; the first has few bits, so that its product with the power is exact.
    let rest = x - power * 0.693_359_4 + power * 2.121_944_4e-4;
    let polynomial = [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5]
        .iter()
        .fold(1.987_569_1e-4, |sum, coefficient| sum * rest + coefficient);
    let mantissa = polynomial * rest * rest + rest + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    mantissa * f32::from_bits(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn exp_matches_the_standard_library(x in -87.0f32..=0.0) {
            let want = f64::from(x).exp();
            prop_assert!((f64::from(exp(x)) - want).abs() <= 2.5e-7 * want, "{} for {}", exp(x), want);
        }
    }

    #[test]
    fn exp_is_one_at_zero_and_vanishes_at_minus_infinity() {
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(-1e30) < 1e-37 && exp(f32::NEG_INFINITY) < 1e-37);
    }
    use crate::geom::{Blend, Size, Window};
    use crate::stitch::Accumulator;

    fn classify(classifier: &Classifier, logits: &[f32]) -> Labelled {
        let size = Size::new(1, 1);
        let mut accumulator = Accumulator::new(size.window(), size, logits.len(), Blend::Average);
        accumulator.add(&Window { col: 0, row: 0, width: 1, height: 1 }, logits, None);
        classifier.classify(&accumulator.finish_before(1), true)
    }

    fn classifier(thresholds: &[f32], background: Option<usize>) -> Classifier {
        Classifier {
            query_class: vec![0, 1, 1, 2],
            thresholds: thresholds.to_vec(),
            background,
            logit_scale: 1.0,
            bias: Vec::new(),
            pooling: Pooling::Largest,
            margin: 0.0,
            nodata: 255,
        }
    }

    #[test]
    fn learnt_classes_add_their_bias_and_sum_their_queries() {
        let learnt = Classifier {
            bias: vec![0.30f32.ln(), 0.25f32.ln(), 0.25f32.ln(), 0.20f32.ln()],
            pooling: Pooling::Sum,
            ..classifier(&[0.0; 3], None)
        };
        let labelled = classify(&learnt, &[0.0; 4]);
        assert_eq!(labelled.labels, [1]);
        for (score, want) in labelled.scores.iter().zip([0.30, 0.50, 0.20]) {
            assert!((score - want).abs() < 1e-6, "{score} for {want}");
        }
    }

    #[test]
    fn class_score_is_its_best_query_not_the_sum() {
        let labelled =
            classify(&classifier(&[0.0; 3], None), &[0.30f32.ln(), 0.25f32.ln(), 0.25f32.ln(), 0.20f32.ln()]);
        assert_eq!(labelled.labels, [0]);
        for (score, want) in labelled.scores.iter().zip([0.30, 0.25, 0.20]) {
            assert!((score - want).abs() < 1e-6);
        }
    }

    #[test]
    fn ties_take_the_first_class_and_thresholds_are_inclusive() {
        let equal = [0.0; 4];
        assert_eq!(classify(&classifier(&[0.25; 3], Some(2)), &equal).labels, [0]);
        assert_eq!(classify(&classifier(&[0.26, 0.0, 0.0], Some(2)), &equal).labels, [2]);
        assert_eq!(classify(&classifier(&[0.26, 0.0, 0.0], None), &equal).labels, [255]);
    }

    #[test]
    fn small_leads_become_background() {
        let logits = [0.40f32.ln(), 0.35f32.ln(), 0.05f32.ln(), 0.20f32.ln()];
        let with = |margin, background| Classifier { margin, ..classifier(&[0.0; 3], background) };
        assert_eq!(classify(&with(0.04, None), &logits).labels, [0]);
        assert_eq!(classify(&with(0.06, None), &logits).labels, [255]);
        assert_eq!(classify(&with(0.06, Some(2)), &logits).labels, [2]);
        // A class's own other prompts are no rivals.
        let alike = [0.10f32.ln(), 0.42f32.ln(), 0.40f32.ln(), 0.08f32.ln()];
        assert_eq!(classify(&with(0.3, None), &alike).labels, [1]);
    }

    #[test]
    fn pixels_without_data_have_no_label_or_score() {
        let size = Size::new(1, 1);
        let mut accumulator = Accumulator::new(size.window(), size, 4, Blend::Average);
        accumulator.add(&Window { col: 0, row: 0, width: 1, height: 1 }, &[0.0; 4], Some(&[false]));
        let labelled = classifier(&[0.0; 3], Some(0)).classify(&accumulator.finish_before(1), true);
        assert_eq!(labelled.labels, [255]);
        assert!(labelled.scores.iter().all(|score| score.is_nan()));
    }
}
