//! Honest figures: every example is judged by a classifier that has seen neither it nor its neighbours.

#![expect(clippy::indexing_slicing, reason = "samples, examples and classes, counted before")]

use std::collections::HashMap;

use serde::Serialize;

use super::objective::Samples;
use super::training_set::{Place, TrainingSet};

/// Most parts into which examples are divided. Fewer would cost less time, but with each goes what is near it: in scenes full of
/// examples, too little would be left to learn from.
const MOST_FOLDS: usize = 8;
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
}

impl Folds {
    /// `None`: fewer than two classes have two examples, so that leaving one out would leave a class without examples.
    pub fn of(set: &TrainingSet, classes: usize) -> Option<Self> {
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
        Some(Self { count, of_example })
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
    numbers: Vec<usize>,
    /// (sample, query)
    logits: Vec<f32>,
    words: Vec<f32>,
    classes: Vec<usize>,
    weights: Vec<f32>,
}

impl Outcome {
    pub fn new(query_class: Vec<usize>) -> Self {
        let (numbers, logits, words, classes, weights) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { loss: f64::INFINITY, query_class, numbers, logits, words, classes, weights }
    }

    pub fn add(&mut self, numbers: &[usize], logits: Vec<f32>, samples: &Samples) {
        self.numbers.extend(numbers);
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

    /// The same of the words alone.
    pub fn words_temperature(&self) -> f64 {
        self.best_temperature(&self.words)
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
        let (learnt, words) = (self.predicted(&self.logits, Pool::Sum), self.predicted(&self.words, Pool::Largest));
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

    fn predicted(&self, logits: &[f32], pool: Pool) -> Vec<usize> {
        let classes = self.query_class.iter().max().map_or(0, |most| most + 1);
        let rows = logits.chunks_exact(self.queries());
        rows.map(|row| {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut scores = vec![0f32; classes];
            for (&logit, &class) in row.iter().zip(&self.query_class) {
                let score = (logit - largest).exp();
                scores[class] = if pool == Pool::Sum { scores[class] + score } else { scores[class].max(score) };
            }
            (0..classes).fold(0, |best, class| if scores[class] > scores[best] { class } else { best })
        })
        .collect()
    }

    /// Hits and errors of each class, over the judged samples `of`.
    fn counts(&self, predicted: &[usize], of: &[usize], classes: usize) -> Vec<Counts> {
        let mut counts = vec![Counts::default(); classes];
        for &sample in of {
            let (class, found, weight) = (self.classes[sample], predicted[sample], f64::from(self.weights[sample]));
            if class == found {
                counts[class].hits += weight;
            } else {
                counts[class].missed += weight;
                counts[found].wrong += weight;
            }
        }
        counts
    }

    /// The figures of the classifier, or of the words where they are kept.
    pub fn figures(&self, set: &TrainingSet, classes: usize, kept_words: bool) -> Figures {
        let predicted = match kept_words {
            true => self.predicted(&self.words, Pool::Largest),
            false => self.predicted(&self.logits, Pool::Sum),
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
                let words = self.predicted(&self.words, Pool::Largest);
                let all: Vec<usize> = (0..self.classes.len()).collect();
                mean(&self.counts(&words, &all, classes).iter().filter_map(Counts::iou).collect::<Vec<_>>())
            },
            judged: of_example.len(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pool {
    Sum,
    Largest,
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
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassFigures {
    pub examples: usize,
    pub samples: usize,
    /// `None`: no sample is or was taken for the class.
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
        let folds = Folds { count: 2, of_example: vec![0, 1, 1, 1, 1] };
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
            let mut outcome = Outcome::new(vec![0, 1]);
            let logits = leads.iter().zip(&set.classes).flat_map(|(&lead, &of)| [[lead, 0.0], [0.0, lead]][of]);
            outcome.add(&[0, 1, 2, 3], logits.collect(), &samples);
            outcome.finish();
            outcome
        };
        let plain = outcome([1.0, 1.0, 1.0, -1.0]);
        assert!(outcome([4.0, 4.0, 4.0, 0.0]).surely_better_than(&plain, &set), "better on all examples");
        let once = outcome([0.1, 1.0, 1.0, -0.1]);
        assert!(once.loss < plain.loss && !once.surely_better_than(&plain, &set), "better on one, worse on another");
        assert!(!plain.surely_better_than(&plain, &set));
    }

    #[test]
    fn classes_with_a_single_example_cannot_be_validated() {
        let set = TrainingSet { classes: vec![0, 0, 1], examples: vec![0, 1, 2], ..TrainingSet::default() };
        assert!(Folds::of(&set, 2).is_none());
        let set = TrainingSet { classes: vec![0, 0, 1, 1], examples: vec![0, 1, 2, 3], ..set };
        let folds = Folds::of(&set, 2).unwrap();
        assert_eq!((folds.count, folds.of_example), (2, vec![0, 1, 0, 1]));
    }
}
