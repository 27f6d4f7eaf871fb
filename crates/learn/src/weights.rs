//! What each sample counts: examples are drawn by class and say nothing of how common a class is, so the words say it.

#![expect(clippy::indexing_slicing, reason = "examples and classes, counted before")]

use super::training_set::{Start, TrainingSet};

/// Classes weigh by this power of how common the words take them to be: 0 trusts the examples, of which there are as many of rare
/// classes as of common ones, 1 the words, which may be wrong.
const COMMONNESS: f64 = 0.5;
/// No class with examples is taken to be rarer.
const RAREST: f64 = 0.003;

/// The weight of each sample, and that of each class in `stand_ins`, which has no example. Every example has the same weight in its
/// class, a class the weight of its commonness; those of the samples sum to the number of examples.
pub(super) fn weights(set: &TrainingSet, start: &Start<'_>, stand_ins: &[bool]) -> (Vec<f32>, Vec<f64>) {
    let mut of_example = vec![0f64; set.example_count()];
    set.examples.iter().for_each(|&example| of_example[example] += 1.0);
    let mut examples = vec![0f64; start.classes];
    for (&example, &class) in set.examples.iter().zip(&set.classes) {
        examples[class] += 1.0 / of_example[example];
    }
    let present: Vec<bool> = examples.iter().zip(stand_ins).map(|(count, stands)| *count > 0.0 || *stands).collect();
    let mut of_class: Vec<f64> =
        shares(set, start, &present).iter().map(|share| share.max(RAREST).powf(COMMONNESS)).collect();
    of_class.iter_mut().zip(&present).filter(|(_, present)| !**present).for_each(|(weight, _)| *weight = 0.0);
    let with_examples: f64 =
        of_class.iter().zip(&examples).filter(|(_, count)| **count > 0.0).map(|(weight, _)| weight).sum();
    let factor = examples.iter().sum::<f64>() / with_examples.max(f64::MIN_POSITIVE);
    let of = |(&example, &class): (&usize, &usize)| {
        (factor * of_class[class] / examples[class] / of_example[example]) as f32
    };
    let samples = set.examples.iter().zip(&set.classes).map(of).collect();
    of_class.iter_mut().zip(stand_ins).for_each(|(weight, stands)| *weight *= if *stands { factor } else { 0.0 });
    (samples, of_class)
}

/// The share of each class that is `present` (has examples or others in their place) in the surroundings, by the words' mean probabilities; those of classes without words
/// are equal parts. Equal parts for all where nothing is known.
fn shares(set: &TrainingSet, start: &Start<'_>, present: &[bool]) -> Vec<f64> {
    let part = 1.0 / present.iter().filter(|present| **present).count().max(1) as f64;
    let mut shares: Vec<f64> = present.iter().map(|present| if *present { part } else { 0.0 }).collect();
    let words: Vec<(&[f32], usize)> = start
        .words
        .chunks_exact(set.width.max(1))
        .zip(start.word_classes.iter().copied())
        .filter(|(_, class)| present[*class])
        .collect();
    let mut sums = vec![0f64; start.classes];
    for features in set.surroundings.chunks_exact(set.width.max(1)) {
        let logit = |(word, _): &(&[f32], usize)| {
            f64::from(start.logit_scale * word.iter().zip(features).map(|(a, b)| a * b).sum::<f32>())
        };
        let logits: Vec<f64> = words.iter().map(logit).collect();
        let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let powers: Vec<f64> = logits.iter().map(|logit| (logit - largest).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.iter().zip(&words).for_each(|(power, (_, class))| sums[*class] += power / sum);
    }
    let total: f64 = sums.iter().sum();
    // Not where there are no surroundings or words, or features are not numbers.
    if total.is_finite() && total > 0.0 {
        let worded = |class: usize| words.iter().any(|(_, of)| *of == class);
        let of_words = part * (0..start.classes).filter(|class| worded(*class)).count() as f64;
        for class in (0..start.classes).filter(|class| worded(*class)) {
            shares[class] = of_words * sums[class] / total;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::Pooling;

    const WORDS: [f32; 4] = [1.0, 0.0, 0.0, 1.0];

    fn start(word_classes: &[usize]) -> Start<'_> {
        Start {
            classes: 3,
            words: &WORDS[..2 * word_classes.len()],
            word_classes,
            logit_scale: 100.0,
            pooling: Pooling::Sum,
        }
    }

    fn of_classes(set: &TrainingSet, start: &Start<'_>) -> [f32; 3] {
        let (weights, _) = weights(set, start, &vec![false; start.classes]);
        [0, 1, 2].map(|class| {
            weights.iter().zip(&set.classes).filter(|(_, of)| **of == class).map(|(weight, _)| weight).sum()
        })
    }

    fn near(a: [f32; 3], b: [f32; 3]) -> bool {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4)
    }

    #[test]
    fn examples_weigh_the_same_whatever_their_number_of_samples() {
        let set = TrainingSet {
            width: 2,
            classes: vec![0, 1, 0, 1, 0],
            examples: vec![0, 1, 0, 1, 0],
            ..TrainingSet::default()
        };
        assert!(near(of_classes(&set, &start(&[0, 1])), [1.0, 1.0, 0.0]));
    }

    #[test]
    fn classes_weigh_by_how_common_the_words_take_them_to_be() {
        let [one, other] = [[1.0, 0.0], [0.0, 1.0]];
        let set = TrainingSet {
            width: 2,
            classes: vec![0, 1],
            examples: vec![0, 1],
            // Four of five pixels are of the first class.
            surroundings: [one, other, one, one, one].concat(),
            ..TrainingSet::default()
        };
        let [first, second] = [0.8f32, 0.2].map(f32::sqrt);
        let sum = first + second;
        let expected = [2.0 * first / sum, 2.0 * second / sum, 0.0];
        assert!(near(of_classes(&set, &start(&[0, 1])), expected));
        // Nobody knows how common a class without words is: it counts as one of three, the others share the rest.
        let set = TrainingSet { classes: vec![0, 1, 2], examples: vec![0, 1, 2], ..set };
        let [first, second, third] = [0.8 * 2.0 / 3.0, 0.2 * 2.0 / 3.0, 1.0f32 / 3.0].map(f32::sqrt);
        let sum = first + second + third;
        let expected = [first, second, third].map(|weight| 3.0 * weight / sum);
        assert!(near(of_classes(&set, &start(&[0, 1])), expected));
        assert!(near(of_classes(&set, &start(&[])), [1.0, 1.0, 1.0]), "without words, examples alone count");
    }
}
