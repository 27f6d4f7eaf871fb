//! How far learning may go: with few examples, no class changes more than the words are wrong on them.
//!
//! Validation on few examples may take luck for skill. What a class loses is bounded by how far its pixels differ from those of
//! the words: 1 - IoU is a distance, so a class whose pixels have the IoU 1 - x with the words' is at most x worse than the words'.

#![expect(clippy::indexing_slicing, reason = "classes by numbers below their count")]

use super::labels::labels;
use super::objective::{Coefficients, Samples};
use super::training_set::{Start, TrainingSet};
use super::validate::words_error;
use crate::scene::Pooling;

/// With so many examples of each class, a class may change as far as the words are wrong. Of five clicks, measured on half of 53
/// drone images, a larger bound lost up to 0.07 of IoU in single images.
const EXAMPLES: f64 = 5.0;
/// With more, it may change by this power of their number further: of twenty clicks, what is learnt is to be trusted.
const GROWTH: i32 = 3;
/// An example that is wider than half of the reach, such as a polygon, shows more than a click does.
const WIDE: f64 = 2.0;
/// Parts of what was learnt that are tried.
const STEPS: usize = 16;

/// The most that the pixels of a class may differ from those of the words, as 1 - IoU; `None`: as far as they like, since there are
/// many examples, or classes without words, of which words know nothing.
pub(super) fn most_change(
    set: &TrainingSet,
    start: &Start<'_>,
    samples: &Samples,
    query_class: &[usize],
) -> Option<f64> {
    if set.classes.iter().any(|class| !start.word_classes.contains(class)) {
        return None;
    }
    let error = words_error(set, samples, &labels(&samples.words, query_class, start.pooling), start.classes);
    let most = error * (fewest(set, start.classes) / EXAMPLES).powi(GROWTH);
    (most < 1.0).then_some(most)
}

/// The examples of the class that has fewest, wide ones counted as several.
fn fewest(set: &TrainingSet, classes: usize) -> f64 {
    let mut extents = vec![[u32::MAX, 0, u32::MAX, 0]; set.example_count()];
    for (&example, place) in set.examples.iter().zip(&set.places) {
        let [left, right, top, bottom] = extents[example];
        extents[example] = [left.min(place.col), right.max(place.col), top.min(place.row), bottom.max(place.row)];
    }
    let wide = |example: &usize| {
        let [left, right, top, bottom] = extents[*example];
        right.saturating_sub(left).max(bottom.saturating_sub(top)) > set.reach / 2
    };
    let of_classes = set.examples_of_classes(classes);
    let counts = of_classes.iter().filter(|examples| !examples.is_empty());
    let count = |examples: &Vec<usize>| examples.iter().map(|at| if wide(at) { WIDE } else { 1.0 }).sum::<f64>();
    counts.map(count).fold(f64::INFINITY, f64::min)
}

/// The map of the words on some pixels, from which learnt ones must not differ too far.
pub(super) struct Bound<'a> {
    pub most_change: f64,
    /// Pixels whose classes are not known.
    pub pixels: &'a Samples,
    pub inputs: usize,
    pub query_class: &'a [usize],
    pub pooling: Pooling,
}

impl Bound<'_> {
    /// The largest share of what was learnt that keeps to the bound, and the logits' coefficients with it. `None`: no share does.
    pub fn part(&self, fitted: &Coefficients, temperature: f64) -> Option<(f64, Coefficients)> {
        // No pixel of those few may tell against it, and yet the map would change elsewhere.
        if self.most_change <= 0.0 {
            return None;
        }
        let words = self.words();
        let shares = (1..=STEPS).rev().map(|step| step as f64 / STEPS as f64);
        let mut parts = shares.map(|share| (share, fitted.part(share, temperature)));
        parts.find(|(_, part)| self.holds_against(&words, part, self.pixels))
    }

    /// Whether no class differs too far. `pixels`: the bound's, of which words may say nothing.
    pub fn holds(&self, coefficients: &Coefficients, pixels: &Samples) -> bool {
        self.holds_against(&self.words(), coefficients, pixels)
    }

    /// What the words take the pixels for.
    fn words(&self) -> Vec<usize> {
        labels(&self.pixels.words, self.query_class, self.pooling)
    }

    fn holds_against(&self, words: &[usize], coefficients: &Coefficients, pixels: &Samples) -> bool {
        let logits = coefficients.logits(pixels, self.inputs, self.query_class);
        let learnt = labels(&logits, self.query_class, Pooling::Sum);
        change(words, &learnt, &self.pixels.weights, self.query_class) <= self.most_change
    }
}

/// The largest 1 - IoU of a class of two maps of the same pixels.
fn change(one: &[usize], other: &[usize], weights: &[f32], query_class: &[usize]) -> f64 {
    let classes = query_class.iter().max().map_or(0, |most| most + 1);
    let mut counts = vec![[0f64; 2]; classes];
    for ((&one, &other), &weight) in one.iter().zip(other).zip(weights) {
        let weight = f64::from(weight);
        if one == other {
            counts[one][0] += weight;
        } else {
            counts[one][1] += weight;
            counts[other][1] += weight;
        }
    }
    let of = |[same, different]: &[f64; 2]| different / (same + different).max(f64::MIN_POSITIVE);
    counts.iter().map(of).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Place;

    #[test]
    fn a_class_changes_by_its_own_pixels_alone() {
        let one = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1];
        let other = [0, 0, 0, 0, 0, 0, 0, 1, 1, 1];
        assert!((change(&one, &other, &[1.0; 10], &[0, 1]) - 1.0 / 3.0).abs() < 1e-12);
        assert!(change(&one, &one, &[1.0; 10], &[0, 1, 2]).abs() < 1e-12);
    }

    #[test]
    fn learning_goes_as_far_as_the_bound_allows() {
        // Ten pixels that the words take for the first class, the less surely the later; learning moves all to the second.
        let words = (0..10u8).flat_map(|at| [10.0 - f32::from(at), 0.0]).collect();
        let pixels = Samples { inputs: vec![1.0; 10], words, classes: vec![0; 10], weights: vec![1.0; 10] };
        let learnt = Coefficients { values: vec![-10.0, 10.0, 0.0] };
        let part = |most_change| {
            let bound = Bound { most_change, pixels: &pixels, inputs: 1, query_class: &[0, 1], pooling: Pooling::Sum };
            bound.part(&learnt, 1.0).map(|(share, part)| {
                assert!(bound.holds(&part, &pixels));
                share
            })
        };
        assert_eq!(part(1.0), Some(1.0));
        assert_eq!(part(0.5), None, "a class that the words do not find changes as a whole");
        assert_eq!(part(0.0), None);
        let few = Coefficients { values: vec![-0.5, 0.0, 0.0] };
        let bound = Bound { most_change: 0.0, pixels: &pixels, inputs: 1, query_class: &[0, 1], pooling: Pooling::Sum };
        assert!(bound.holds(&Coefficients::zero(2, 1), &pixels), "the words themselves");
        assert!(bound.part(&few, 1.0).is_none(), "where the words make no error, they are kept");
    }

    #[test]
    fn the_bound_grows_with_the_examples_and_ends() {
        let words = [1.0, 0.0, 0.0, 1.0];
        let start = Start { classes: 2, words: &words, word_classes: &[0, 1], logit_scale: 1.0, pooling: Pooling::Sum };
        // The words take every second sample for the other class.
        let bound = |per_class: usize, wide: u32, start: &Start<'_>| {
            let count = 4 * per_class;
            let classes: Vec<usize> = (0..count).map(|sample| sample / 2 % 2).collect();
            let set = TrainingSet {
                classes: classes.clone(),
                examples: (0..count).map(|sample| sample / 2).collect(),
                places: (0..count)
                    .map(|sample| Place { col: wide * (sample % 2) as u32, ..Place::default() })
                    .collect(),
                reach: 20,
                ..TrainingSet::default()
            };
            let said = (0..count).flat_map(|sample| if sample % 2 == 0 { [1.0, 0.0] } else { [0.0, 1.0] });
            let samples = Samples { words: said.collect(), classes, weights: vec![1.0; count], ..Samples::default() };
            most_change(&set, start, &samples, &[0, 1])
        };
        let five = bound(5, 0, &start).unwrap();
        // Each example is half right: the IoU is a third in every draw that holds both classes.
        assert!((0.6..0.7).contains(&five), "{five}");
        assert!((bound(2, 0, &start).unwrap() - five * 0.064).abs() < 0.02);
        assert_eq!(bound(10, 0, &start), None, "1 - IoU is at most 1");
        assert_eq!(bound(5, 15, &start), None, "wide examples count twice");
        let other = Start { word_classes: &[0], words: &words[..2], ..start.clone() };
        assert_eq!(bound(5, 0, &other), None, "words know nothing of the second class");
    }
}
