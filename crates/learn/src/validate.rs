//! Honest figures: every example is judged by a classifier that has seen neither it nor its neighbours.

#![expect(clippy::indexing_slicing, reason = "samples, examples and classes, counted before")]

use std::collections::HashMap;

use serde::Serialize;

use super::labels::labels;
use super::objective::{Coefficients, Samples};
use super::training_set::{Place, TrainingSet};
use crate::scene::Pooling;

/// Most parts into which examples are divided. Fewer would cost less time, but with each goes what is near it: in scenes full of
/// examples, too little would be left to learn from.
const MOST_FOLDS: usize = 8;
/// Where a part leaves less than this share of the other examples to learn from, examples are divided by place instead: what is
/// near a block is less than what is near as many scattered examples.
const ENOUGH_KEPT: f64 = 0.5;
/// With a smaller share, leaving out says nothing.
const LEAST_KEPT: f64 = 0.2;
/// Draws with replacement, for the intervals.
const DRAWS: usize = 400;
/// Where the draws begin.
const SEED: u64 = 0x5ea7_c1a5_5e5a_11f0;
/// Share of the draws in which examples must be better than words.
const SURE: f64 = 0.8;
/// By so many standard errors colours alone must be better to be preferred.
const STANDARD_ERRORS: f64 = 2.0;
/// The limits of a 90 % interval.
const INTERVAL: [f64; 2] = [0.05, 0.95];

/// The part of each example, which is left out as a whole.
#[derive(Clone, Debug)]
pub(super) struct Folds {
    pub count: usize,
    pub of_example: Vec<usize>,
    /// Examples that lie together are left out together.
    pub by_place: bool,
    /// Whichever way they are divided, too few examples are far enough from those of some part to be learnt from.
    pub crowded: bool,
}

impl Folds {
    /// `None`: fewer than two classes have two examples, so that leaving one out would leave a class without examples. `numbers`:
    /// the samples that count.
    pub fn of(set: &TrainingSet, classes: usize, numbers: &[usize]) -> Option<Self> {
        let of_classes = set.examples_of_classes(classes);
        let counts: Vec<usize> = of_classes.iter().map(Vec::len).filter(|count| *count > 0).collect();
        if counts.iter().filter(|count| **count >= 2).count() < 2 {
            return None;
        }
        let count = counts.iter().copied().max().unwrap_or(0).min(MOST_FOLDS);
        let mut of_example = vec![0; set.example_count()];
        // Each class's examples go round: every part has about as many of each class.
        for examples in of_classes {
            for (index, example) in examples.into_iter().enumerate() {
                of_example[example] = index % count;
            }
        }
        let round = Self { count, of_example, by_place: false, crowded: false };
        let kept = round.least_kept(numbers, set);
        if kept >= ENOUGH_KEPT {
            return Some(round);
        }
        let placed = Self::by_place(set);
        let kept_by_place = placed.least_kept(numbers, set);
        let best = if kept_by_place > kept { placed } else { round };
        Some(Self { crowded: kept.max(kept_by_place) < LEAST_KEPT, ..best })
    }

    /// Halves of halves of the examples, along the longer side of what each covers.
    fn by_place(set: &TrainingSet) -> Self {
        let mut of_example: Vec<Option<Place>> = vec![None; set.example_count()];
        for (&example, &place) in set.examples.iter().zip(&set.places) {
            of_example[example].get_or_insert(place);
        }
        let examples = of_example.iter().enumerate().filter_map(|(example, place)| place.map(|place| (example, place)));
        let mut parts: Vec<Vec<(usize, Place)>> = vec![examples.collect()];
        while 2 * parts.len() <= MOST_FOLDS {
            parts = parts.into_iter().flat_map(halves).collect();
        }
        parts.retain(|part| !part.is_empty());
        let mut numbers = vec![0; of_example.len()];
        for (number, part) in parts.iter().enumerate() {
            part.iter().for_each(|&(example, _)| numbers[example] = number);
        }
        Self { count: parts.len(), of_example: numbers, by_place: true, crowded: false }
    }

    /// The smallest share, of all parts, of the samples outside of it that are learnt from.
    fn least_kept(&self, numbers: &[usize], set: &TrainingSet) -> f64 {
        let shares = (0..self.count).map(|fold| {
            let (kept, left) = self.split(fold, numbers, set);
            kept.len() as f64 / (numbers.len() - left.len()).max(1) as f64
        });
        shares.fold(1.0, f64::min)
    }

    /// Of the samples of these numbers those that a part's classifier learns from, and those that it is judged by. Neighbours
    /// of the latter are in neither.
    pub fn split(&self, fold: usize, numbers: &[usize], set: &TrainingSet) -> (Vec<usize>, Vec<usize>) {
        let (kept, left): (Vec<usize>, Vec<usize>) =
            numbers.iter().partition(|&&sample| self.of_example[set.examples[sample]] != fold);
        let side = set.reach.max(1);
        let cell = |place: &Place| (place.scene, place.col / side, place.row / side);
        let mut near: HashMap<_, Vec<&Place>> = HashMap::new();
        for &sample in &left {
            near.entry(cell(&set.places[sample])).or_default().push(&set.places[sample]);
        }
        let is_near = |place: &Place| {
            let (scene, col, row) = cell(place);
            let close = |other: &&Place| {
                place.col.abs_diff(other.col) <= set.reach && place.row.abs_diff(other.row) <= set.reach
            };
            (col.saturating_sub(1)..=col + 1).any(|col| {
                (row.saturating_sub(1)..=row + 1)
                    .any(|row| near.get(&(scene, col, row)).is_some_and(|places| places.iter().any(close)))
            })
        };
        let kept = kept.into_iter().filter(|&sample| !is_near(&set.places[sample])).collect();
        (kept, left)
    }
}

/// Two halves of some examples: by scene, or along the longer side of the rectangle around them.
fn halves(mut part: Vec<(usize, Place)>) -> [Vec<(usize, Place)>; 2] {
    let extent = |of: fn(&Place) -> u32| {
        let values = || part.iter().map(|(_, place)| of(place));
        values().max().unwrap_or(0) - values().min().unwrap_or(0)
    };
    let wide = extent(|place| place.col) >= extent(|place| place.row);
    let along = |place: &Place| {
        if wide { (place.col, place.row) } else { (place.row, place.col) }
    };
    part.sort_by_key(|(example, place)| (place.scene, along(place), *example));
    let half = part.split_off(part.len() / 2);
    [part, half]
}

/// At most about `most` samples, evenly from all examples.
pub(super) fn thinned(set: &TrainingSet, most: usize) -> Vec<usize> {
    let step = set.len().div_ceil(most.max(1)).max(1);
    let mut seen = vec![0usize; set.example_count()];
    (0..set.len())
        .filter(|&sample| {
            let seen = &mut seen[set.examples[sample]];
            *seen += 1;
            (*seen - 1).is_multiple_of(step)
        })
        .collect()
}

/// Samples that were judged by classifiers that have not seen them.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// The mean log loss.
    pub loss: f64,
    query_class: Vec<usize>,
    /// How words' queries make a class.
    pooling: Pooling,
    numbers: Vec<usize>,
    /// (sample, query)
    logits: Vec<f32>,
    words: Vec<f32>,
    /// How far the classifier of each sample trusts the words.
    trusts: Vec<f32>,
    classes: Vec<usize>,
    weights: Vec<f32>,
}

impl Outcome {
    pub fn new(query_class: Vec<usize>, pooling: Pooling) -> Self {
        Self {
            loss: f64::INFINITY,
            query_class,
            pooling,
            numbers: Vec::new(),
            logits: Vec::new(),
            words: Vec::new(),
            trusts: Vec::new(),
            classes: Vec::new(),
            weights: Vec::new(),
        }
    }

    /// Adds samples that a classifier judged that has this `trust` in words.
    pub fn add(&mut self, numbers: &[usize], logits: Vec<f32>, trust: f64, samples: &Samples) {
        self.numbers.extend(numbers);
        self.trusts.extend(std::iter::repeat_n(trust as f32, numbers.len()));
        self.logits.extend(logits);
        self.words.extend(&samples.words);
        self.classes.extend(&samples.classes);
        self.weights.extend(&samples.weights);
    }

    pub fn finish(&mut self) {
        self.loss = self.loss_at(&self.logits, 1.0);
    }

    fn queries(&self) -> usize {
        self.query_class.len()
    }

    /// The mean log loss of logits that are divided by a temperature.
    fn loss_at(&self, logits: &[f32], temperature: f64) -> f64 {
        let weight: f64 = self.weights.iter().map(|&weight| f64::from(weight)).sum();
        self.losses(logits, temperature).sum::<f64>() / weight.max(f64::MIN_POSITIVE)
    }

    /// The weighted log loss of each sample, of logits that are divided by a temperature.
    fn losses<'a>(&'a self, logits: &'a [f32], temperature: f64) -> impl Iterator<Item = f64> + 'a {
        let rows = logits.chunks_exact(self.queries()).zip(&self.classes).zip(&self.weights);
        rows.map(move |((row, &class), &weight)| {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let power = |logit: f32| (f64::from(logit - largest) / temperature).exp();
            let sum: f64 = row.iter().map(|&logit| power(logit)).sum();
            let own: f64 =
                row.iter().zip(&self.query_class).filter(|(_, of)| **of == class).map(|(&logit, _)| power(logit)).sum();
            f64::from(weight) * (sum / own.max(1e-12)).ln()
        })
    }

    /// The temperature with the smallest loss: after dividing by it, scores are probabilities.
    pub fn temperature(&self) -> f64 {
        self.best_temperature(&self.logits)
    }

    /// The same with logits that take a share of what was learnt, as [`Coefficients::part`] has it.
    pub fn part(&self, share: f64, temperature: f64) -> Self {
        let queries = self.queries();
        let rows = self.logits.chunks_exact(queries).zip(self.words.chunks_exact(queries)).zip(&self.trusts);
        let logits = rows.flat_map(|((learnt, words), &trust)| {
            let divisor = Coefficients::divisor(f64::from(trust), share, temperature) as f32;
            let of = move |(learnt, word): (&f32, &f32)| {
                let word = trust * word;
                (word + share as f32 * (learnt - word)) / divisor
            };
            learnt.iter().zip(words).map(of)
        });
        Self { logits: logits.collect(), ..self.clone() }
    }

    /// Whether the loss of what was left out is less than another classifier's on the same samples, by more than two standard
    /// errors of the examples' differences; both after calibration.
    pub fn surely_better_than(&self, other: &Self, set: &TrainingSet) -> bool {
        let (own, others) = (self.example_losses(set), other.example_losses(set));
        let gains: Vec<f64> = own.iter().zip(&others).map(|(own, other)| other - own).collect();
        let (count, gain) = (gains.len() as f64, mean(&gains));
        let variance = gains.iter().map(|of| (of - gain).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
        self.loss < other.loss && gain > STANDARD_ERRORS * (variance / count.max(1.0)).sqrt()
    }

    /// The calibrated loss of each judged example, in the order of their numbers.
    fn example_losses(&self, set: &TrainingSet) -> Vec<f64> {
        let mut of_example = vec![0.0; set.example_count()];
        for (loss, &sample) in self.losses(&self.logits, self.temperature()).zip(&self.numbers) {
            of_example[set.examples[sample]] += loss;
        }
        self.of_examples(set).iter().map(|judged| of_example[set.examples[self.numbers[judged[0]]]]).collect()
    }

    fn best_temperature(&self, logits: &[f32]) -> f64 {
        // The logarithm of the loss's only minimum, by thirds.
        let (mut low, mut high) = (0.5f64.ln(), 20f64.ln());
        for _ in 0..40 {
            let third = (high - low) / 3.0;
            let (a, b) = (low + third, high - third);
            if self.loss_at(logits, a.exp()) <= self.loss_at(logits, b.exp()) { high = b } else { low = a }
        }
        f64::midpoint(low, high).exp()
    }

    /// Whether the learnt classes judge the samples better than the words, by the mean of the classes' IoU, and by more than
    /// chance: in four of five draws of the examples.
    pub fn better_than_words(&self, set: &TrainingSet) -> bool {
        let classes = self.query_class.iter().max().map_or(0, |most| most + 1);
        let (learnt, words) = (self.learnt_labels(), self.words_labels());
        let of_examples = self.of_examples(set);
        let mean_iou = |predicted: &[usize], of: &[usize]| {
            mean(&self.counts(predicted, of, classes).iter().filter_map(Counts::iou).collect::<Vec<_>>())
        };
        let mut draw = Draw(SEED);
        let gains = (0..DRAWS).map(|_| {
            let some = draw.some(&of_examples);
            mean_iou(&learnt, &some) - mean_iou(&words, &some)
        });
        gains.filter(|gain| *gain > 0.0).count() as f64 >= SURE * DRAWS as f64
    }

    /// The judged samples of each example.
    fn of_examples(&self, set: &TrainingSet) -> Vec<Vec<usize>> {
        let mut of_example = vec![Vec::new(); set.example_count()];
        for (index, &sample) in self.numbers.iter().enumerate() {
            of_example[set.examples[sample]].push(index);
        }
        of_example.retain(|samples| !samples.is_empty());
        of_example
    }

    fn learnt_labels(&self) -> Vec<usize> {
        labels(&self.logits, &self.query_class, Pooling::Sum)
    }

    fn words_labels(&self) -> Vec<usize> {
        labels(&self.words, &self.query_class, self.pooling)
    }

    /// Hits and errors of each class, over the judged samples `of`.
    fn counts(&self, predicted: &[usize], of: &[usize], classes: usize) -> Vec<Counts> {
        counts(predicted, &self.classes, &self.weights, of, classes)
    }

    /// The figures of the classifier, or of the words where they are kept.
    pub fn figures(&self, set: &TrainingSet, classes: usize, kept_words: bool, by_place: bool) -> Figures {
        let predicted = match kept_words {
            true => self.words_labels(),
            false => self.learnt_labels(),
        };
        let of_example = self.of_examples(set);
        let all: Vec<usize> = (0..self.classes.len()).collect();
        let counts = self.counts(&predicted, &all, classes);
        let mut drawn: Vec<[Vec<f64>; 2]> = vec![[Vec::new(), Vec::new()]; classes];
        let mut means = Vec::new();
        let mut draw = Draw(SEED);
        for _ in 0..DRAWS {
            let some = draw.some(&of_example);
            let counts = self.counts(&predicted, &some, classes);
            for (drawn, counts) in drawn.iter_mut().zip(&counts) {
                drawn[0].extend(counts.iou());
                drawn[1].extend(counts.f1());
            }
            means.push(mean(&counts.iter().filter_map(Counts::iou).collect::<Vec<_>>()));
        }
        let examples = set.examples_of_classes(classes);
        let of_class = |class: usize| {
            let samples = set.classes.iter().filter(|of| **of == class).count();
            let [iou, f1] = &drawn[class];
            ClassFigures {
                examples: examples[class].len(),
                samples,
                iou: counts[class].iou(),
                iou_interval: interval(iou),
                f1: counts[class].f1(),
                f1_interval: interval(f1),
            }
        };
        let (hits, all): (f64, f64) =
            counts.iter().fold((0.0, 0.0), |(hits, all), of| (hits + of.hits, all + of.hits + of.missed));
        Figures {
            classes: (0..classes).map(of_class).collect(),
            accuracy: hits / all.max(f64::MIN_POSITIVE),
            mean_iou: mean(&counts.iter().filter_map(Counts::iou).collect::<Vec<_>>()),
            mean_iou_interval: interval(&means),
            words_mean_iou: {
                let words = self.words_labels();
                let all: Vec<usize> = (0..self.classes.len()).collect();
                mean(&self.counts(&words, &all, classes).iter().filter_map(Counts::iou).collect::<Vec<_>>())
            },
            judged: of_example.len(),
            by_place,
        }
    }
}

/// A lower limit of the words' error on the examples, 1 - mIoU: in 95 % of the draws of the examples it is larger.
pub(super) fn words_error(set: &TrainingSet, samples: &Samples, labels: &[usize], classes: usize) -> f64 {
    let mut of_example = vec![Vec::new(); set.example_count()];
    set.examples.iter().enumerate().for_each(|(sample, &example)| of_example[example].push(sample));
    of_example.retain(|samples| !samples.is_empty());
    let mut draw = Draw(SEED);
    let errors: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let some = draw.some(&of_example);
            let counts = counts(labels, &samples.classes, &samples.weights, &some, classes);
            1.0 - mean(&counts.iter().filter_map(Counts::iou).collect::<Vec<_>>())
        })
        .collect();
    interval(&errors)[0]
}

/// Hits and errors of each class, over the samples `of`; nothing of a class that no sample has: what was wrongly taken for it is
/// missed elsewhere, and how it fares where it is nothing tells.
fn counts(predicted: &[usize], truth: &[usize], weights: &[f32], of: &[usize], classes: usize) -> Vec<Counts> {
    let mut counts = vec![Counts::default(); classes];
    for &sample in of {
        let (class, found, weight) = (truth[sample], predicted[sample], f64::from(weights[sample]));
        if class == found {
            counts[class].hits += weight;
        } else {
            counts[class].missed += weight;
            counts[found].wrong += weight;
        }
    }
    let mut known = vec![false; classes];
    truth.iter().for_each(|&class| known[class] = true);
    counts.iter_mut().zip(known).filter(|(_, known)| !known).for_each(|(counts, _)| *counts = Counts::default());
    counts
}

/// What leaving out examples says of a classifier. All shares are 0..=1; a class weighs as common as the words take it to be
/// around the examples, however many examples it has, and every class the same where there are no words.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// In the order of the classes.
    pub classes: Vec<ClassFigures>,
    pub accuracy: f64,
    pub mean_iou: f64,
    /// 90 %, from drawing examples with replacement.
    pub mean_iou_interval: [f64; 2],
    /// Of the words alone, on the same samples.
    pub words_mean_iou: f64,
    /// Examples that were left out in turn.
    pub judged: usize,
    /// Examples that lie together were left out together, since with scattered ones too much that is near them would be.
    pub by_place: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassFigures {
    pub examples: usize,
    pub samples: usize,
    /// `None`: the class has no sample.
    pub iou: Option<f64>,
    pub iou_interval: [f64; 2],
    pub f1: Option<f64>,
    pub f1_interval: [f64; 2],
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    hits: f64,
    missed: f64,
    wrong: f64,
}

impl Counts {
    fn iou(&self) -> Option<f64> {
        let union = self.hits + self.missed + self.wrong;
        (union > 0.0).then(|| self.hits / union)
    }

    fn f1(&self) -> Option<f64> {
        let both = 2.0 * self.hits + self.missed + self.wrong;
        (both > 0.0).then(|| 2.0 * self.hits / both)
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn interval(values: &[f64]) -> [f64; 2] {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    INTERVAL.map(|share| {
        let at = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
        sorted.get(at).copied().unwrap_or(0.0)
    })
}

/// Numbers that look random and are the same everywhere (SplitMix64).
struct Draw(u64);

impl Draw {
    /// The samples of as many examples as there are, drawn with replacement.
    fn some(&mut self, of_examples: &[Vec<usize>]) -> Vec<usize> {
        (0..of_examples.len()).flat_map(|_| of_examples[self.below(of_examples.len())].iter().copied()).collect()
    }

    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % count.max(1) as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_what_is_left_out_are_not_learnt_from() {
        let place = |scene, col| Place { scene, col, row: 0 };
        let set = TrainingSet {
            classes: vec![0, 1, 0, 1, 0],
            examples: vec![0, 1, 2, 3, 4],
            places: vec![place(0, 0), place(0, 20), place(0, 21), place(0, 100), place(1, 0)],
            reach: 20,
            ..TrainingSet::default()
        };
        let folds = Folds { count: 2, of_example: vec![0, 1, 1, 1, 1], by_place: false, crowded: false };
        // Sample 1 is 20 columns from the one left out, sample 2 is 21; sample 4 lies in another scene.
        assert_eq!(folds.split(0, &[0, 1, 2, 3, 4], &set), (vec![2, 3, 4], vec![0]));
    }

    #[test]
    fn a_smaller_loss_counts_only_beyond_its_standard_errors() {
        let set = TrainingSet { classes: vec![0, 1, 0, 1], examples: vec![0, 1, 2, 3], ..TrainingSet::default() };
        let samples = Samples {
            inputs: Vec::new(),
            words: vec![0.0; 8],
            classes: set.classes.clone(),
            weights: vec![1.0; set.len()],
        };
        // The logits by which each sample's own class leads.
        let outcome = |leads: [f32; 4]| {
            let mut outcome = Outcome::new(vec![0, 1], Pooling::Sum);
            let logits = leads.iter().zip(&set.classes).flat_map(|(&lead, &of)| [[lead, 0.0], [0.0, lead]][of]);
            outcome.add(&[0, 1, 2, 3], logits.collect(), 1.0, &samples);
            outcome.finish();
            outcome
        };
        let plain = outcome([1.0, 1.0, 1.0, -1.0]);
        assert!(outcome([4.0, 4.0, 4.0, 0.0]).surely_better_than(&plain, &set), "better on all examples");
        let once = outcome([0.1, 1.0, 1.0, -0.1]);
        assert!(once.loss < plain.loss && !once.surely_better_than(&plain, &set), "better on one, worse on another");
        assert!(!plain.surely_better_than(&plain, &set));
    }

    /// Clicks of two classes in turn, `step` pixels apart in rows of ten.
    fn lattice(count: usize, step: u32) -> TrainingSet {
        let place = |at: usize| Place { scene: 0, col: step * (at % 10) as u32, row: step * (at / 10) as u32 };
        TrainingSet {
            classes: (0..count).map(|at| (at / 10 + at) % 2).collect(),
            examples: (0..count).collect(),
            places: (0..count).map(place).collect(),
            reach: 20,
            ..TrainingSet::default()
        }
    }

    fn folds(set: &TrainingSet) -> Option<Folds> {
        Folds::of(set, 2, &(0..set.len()).collect::<Vec<_>>())
    }

    #[test]
    fn classes_with_a_single_example_cannot_be_validated() {
        let set = TrainingSet { classes: vec![0, 0, 1], ..lattice(3, 100) };
        assert!(folds(&set).is_none());
        let set = TrainingSet { classes: vec![0, 0, 1, 1], ..lattice(4, 100) };
        let found = folds(&set).unwrap();
        assert_eq!((found.count, found.of_example, found.by_place, found.crowded), (2, vec![0, 1, 0, 1], false, false));
    }

    #[test]
    fn crowded_examples_are_left_out_by_place() {
        let set = lattice(100, 12);
        let all: Vec<usize> = (0..set.len()).collect();
        let found = folds(&set).unwrap();
        assert!(found.by_place && !found.crowded);
        assert_eq!(found.count, MOST_FOLDS);
        for fold in 0..found.count {
            let (kept, left) = found.split(fold, &all, &set);
            assert!((12..=13).contains(&left.len()), "{}", left.len());
            assert!(kept.len() > 30, "{}", kept.len());
            assert!([0, 1].iter().all(|class| kept.iter().any(|&sample| set.classes[sample] == *class)));
        }
        // Nine times as far apart, examples go round.
        assert!(!folds(&lattice(100, 108)).unwrap().by_place);
    }

    #[test]
    fn examples_that_all_know_of_each_other_are_crowded() {
        assert!(folds(&lattice(100, 2)).unwrap().crowded);
    }

    #[test]
    fn examples_of_scenes_are_left_out_scene_by_scene() {
        let mut set = lattice(80, 2);
        set.places.iter_mut().enumerate().for_each(|(at, place)| place.scene = at / 10);
        let found = folds(&set).unwrap();
        assert!(found.by_place && !found.crowded);
        assert!(set.places.iter().enumerate().all(|(at, place)| found.of_example[at] == place.scene));
    }

    #[test]
    fn the_words_error_grows_with_what_they_get_wrong_and_with_certainty() {
        let error = |right: &[bool]| {
            let set = TrainingSet {
                classes: (0..right.len()).map(|at| at % 2).collect(),
                examples: (0..right.len()).collect(),
                ..TrainingSet::default()
            };
            let samples = Samples { classes: set.classes.clone(), weights: vec![1.0; set.len()], ..Samples::default() };
            let labels: Vec<usize> =
                set.classes.iter().zip(right).map(|(class, right)| if *right { *class } else { 1 - class }).collect();
            words_error(&set, &samples, &labels, 2)
        };
        assert!(error(&[true; 10]).abs() < 1e-12);
        assert!((error(&[false; 10]) - 1.0).abs() < 1e-12);
        // A third of each class is wrong: IoU 0.5. Few examples show less of that.
        let third = |count: usize| (0..count).map(|at| at / 2 % 3 > 0).collect::<Vec<_>>();
        let (few, many) = (error(&third(12)), error(&third(600)));
        assert!(few < many && (0.40..0.50).contains(&many), "{few} {many}");
    }
}
