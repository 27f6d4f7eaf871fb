//! From samples to query vectors: inputs brought to one scale, the penalty chosen by cross-validation, a soft-max fitted, its
//! temperature calibrated, and the result written as queries of the engine.

#![expect(clippy::indexing_slicing, reason = "matrices of samples, queries and inputs, in rows of known length")]

use rayon::prelude::*;

use super::bound::{Bound, most_change};
use super::labels::labels;
use super::objective::{COARSE_TOLERANCE, Coefficients, Objective, Samples, TOLERANCE};
use super::training_set::{Start, TrainingSet};
use super::validate::{self, Figures, Outcome};
use super::weights::weights;
use crate::error::{Error, Result};
use crate::scene::Pooling;

/// A query of a learnt class.
#[derive(Clone, Debug, PartialEq)]
pub struct LearntQuery {
    pub class: usize,
    /// (D), before the logit scale.
    pub vector: Vec<f32>,
    /// Added to the scaled logit.
    pub bias: f32,
    /// Coefficients of the descriptors, before the logit scale.
    pub local: Vec<f32>,
}

/// A fitted classifier.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    pub queries: Vec<LearntQuery>,
    /// What leaving out examples gave; `None` where fewer than two classes have two examples.
    pub figures: Option<Figures>,
    /// The examples gave no better map than the words, which are kept.
    pub kept_words: bool,
    /// Words and the model's features misled: local descriptors alone decide.
    pub colours_alone: bool,
    /// Examples are so few that not all of what was learnt counts.
    pub held: Option<Held>,
    /// Examples lie so near each other that leaving one out, with what is near it, leaves too little to learn from.
    pub crowded: bool,
}

/// How far few examples may change the words' map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Held {
    /// The most that the pixels of a class may differ from the words', as 1 - IoU.
    pub most_change: f64,
    /// The share of what was learnt that counts: 0..1.
    pub share: f64,
}

/// Penalties on the coefficients, tried from the strongest on; with inputs of unit length, logits move by about the
/// coefficients' length.
const PENALTIES: [f64; 7] = [3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003];
/// Where nothing can be left out.
const DEFAULT_PENALTY: f64 = 0.3;
/// Factors of the penalties of features and descriptors that are tried at the best of them.
const RATIOS: [[f64; 2]; 4] = [[10.0, 1.0], [0.1, 1.0], [1.0, 10.0], [1.0, 0.1]];
/// The intercepts are hardly held.
const BIAS_PENALTY: f64 = 1e-2;
/// Features have many more inputs than there are descriptors: what they say is held this much more.
const FEATURE_PENALTY: f64 = 10.0;
/// On log (τ / TRUST): a factor of e costs as much as half a misjudged example.
const TRUST_PENALTY: f64 = 0.5;
/// Samples for cross-validation; more are thinned out evenly.
const MOST_VALIDATED: usize = 2000;

/// Examples that each class must have for colours alone to be tried: few often look alike by chance.
const FEWEST_FOR_COLOURS: usize = 10;
/// With this penalty features say nothing.
const NO_FEATURES: f64 = 1e9;

/// Fits the classes to the samples. The same samples give the same result.
///
/// # Errors
/// Samples of fewer than two classes, or features that are not finite numbers.
pub fn fit(set: &TrainingSet, start: &Start<'_>) -> Result<Fitted> {
    if set.is_empty() {
        return Ok(kept_words(set, start, None, None));
    }
    if set.classes.iter().all(|class| *class == set.classes[0]) {
        return Err(Error::input("all examples are of one class").with_hint("Give examples of two classes at least."));
    }
    if set.features.iter().chain(&set.local).any(|value| !value.is_finite()) {
        return Err(Error::input("the features of some examples are not finite numbers")
            .with_hint("Half precision can overflow: import the model with --precision fp32 or bf16."));
    }
    let scale = Scale::of(set);
    let query_class = query_classes(start);
    let pixels = surroundings(set, start, &scale, &query_class);
    let (samples, stand_ins) = samples(set, start, &scale, &query_class, pixels.as_ref());
    let trust = (!start.word_classes.is_empty()).then_some(TRUST_PENALTY);
    let numbers = validate::thinned(set, MOST_VALIDATED);
    let folds = validate::Folds::of(set, start.classes, &numbers);
    let crowded = folds.as_ref().is_some_and(|folds| folds.crowded);
    let job =
        Job { set, start, scale: &scale, samples: &samples, stand_ins: &stand_ins, query_class: &query_class, trust };
    let bound = most_change(set, start, &samples, &query_class);
    let bound = bound.map(|most_change| Bound {
        most_change,
        // The examples themselves, where nothing is known of what is around them.
        pixels: pixels.as_ref().unwrap_or(&samples),
        inputs: scale.inputs(),
        query_class: &query_class,
        pooling: start.pooling,
    });
    let fitted = match folds.filter(|folds| !folds.crowded) {
        Some(folds) => job.validated(&folds, &numbers, bound.as_ref())?,
        // Nothing says that examples are better than words.
        None if crowded && trust.is_some() => job.words(None, None),
        None => job.learnt([FEATURE_PENALTY * DEFAULT_PENALTY, DEFAULT_PENALTY], None, bound.as_ref())?,
    };
    Ok(Fitted { crowded, ..fitted })
}

/// What is fitted.
#[derive(Clone, Copy)]
struct Job<'a> {
    set: &'a TrainingSet,
    start: &'a Start<'a>,
    scale: &'a Scale,
    samples: &'a Samples,
    /// What stands for classes without examples.
    stand_ins: &'a Samples,
    query_class: &'a [usize],
    trust: Option<f64>,
}

impl Job<'_> {
    /// What examples that were left out show to be best: words, colours alone, or all together.
    fn validated(&self, folds: &validate::Folds, numbers: &[usize], bound: Option<&Bound<'_>>) -> Result<Fitted> {
        let Self { set, start, scale, samples, stand_ins, query_class, trust } = *self;
        let search = Search {
            samples,
            stand_ins,
            inputs: scale.inputs(),
            query_class,
            classes: start.classes,
            pooling: start.pooling,
            scale,
            trust,
            folds,
            colours_alone: false,
        };
        let keeps = |outcome: &Outcome| trust.is_some() && !outcome.better_than_words(set);
        let (penalty, outcome) = search.choose(numbers, set)?;
        let examples = set.examples_of_classes(start.classes);
        let fewest = examples.iter().map(Vec::len).filter(|count| *count > 0).min().unwrap_or(0);
        if set.locals > 0 && set.width > 0 && fewest >= FEWEST_FOR_COLOURS {
            // Where the model knows nothing of a scene, words and features only mislead. Colours change within a scene, which
            // examples at few places do not show, so they alone must be better beyond chance.
            let inputs = set.locals + 1;
            let [samples, stand_ins] = [samples, stand_ins].map(|all| all.last_inputs(scale.inputs(), inputs));
            let colours =
                Search { samples: &samples, stand_ins: &stand_ins, inputs, trust: None, colours_alone: true, ..search };
            let (penalty, left_out) = colours.choose(numbers, set)?;
            if left_out.surely_better_than(&outcome, set) && !keeps(&left_out) {
                let found = self.colours(penalty, &left_out, folds, bound)?;
                if let Some(found) = found {
                    return Ok(found);
                }
            }
        }
        match keeps(&outcome) {
            true => Ok(self.words(Some((&outcome, folds)), None)),
            false => self.learnt(penalty, Some((&outcome, folds)), bound),
        }
    }

    /// The words as they are.
    fn words(&self, outcome: Option<(&Outcome, &validate::Folds)>, held: Option<Held>) -> Fitted {
        kept_words(self.set, self.start, self.figures(outcome, true), held)
    }

    /// What was learnt from local descriptors alone; `None`: few examples, and the bound does not hold.
    fn colours(
        &self,
        penalty: [f64; 2],
        outcome: &Outcome,
        folds: &validate::Folds,
        bound: Option<&Bound<'_>>,
    ) -> Result<Option<Fitted>> {
        let fitted = self.fit(penalty, &self.samples.clone().and(self.stand_ins).without_words(), None)?;
        let fitted = fitted.part(1.0, outcome.temperature());
        if bound.is_some_and(|bound| !bound.holds(&fitted, &bound.pixels.clone().without_words())) {
            return Ok(None);
        }
        let queries = self.scale.queries(&fitted, self.query_class, self.start, 0.0);
        let figures = self.figures(Some((outcome, folds)), false);
        Ok(Some(Fitted { queries, figures, kept_words: false, colours_alone: true, held: None, crowded: false }))
    }

    /// What was learnt from words, features and descriptors, as far as the bound allows.
    fn learnt(
        &self,
        penalty: [f64; 2],
        validated: Option<(&Outcome, &validate::Folds)>,
        bound: Option<&Bound<'_>>,
    ) -> Result<Fitted> {
        let fitted = self.fit(penalty, &self.samples.clone().and(self.stand_ins), self.trust)?;
        let temperature = validated.map_or(1.0, |(outcome, _)| outcome.temperature());
        let (share, part) = match bound.map(|bound| (bound.most_change, bound.part(&fitted, temperature))) {
            None => (1.0, fitted.part(1.0, temperature)),
            Some((_, Some(part))) => part,
            Some((most_change, None)) => {
                return Ok(self.words(validated, Some(Held { most_change, share: 0.0 })));
            }
        };
        let held = bound.filter(|_| share < 1.0).map(|bound| Held { most_change: bound.most_change, share });
        let part_of =
            validated.filter(|_| share < 1.0).map(|(outcome, folds)| (outcome.part(share, temperature), folds));
        let judged = part_of.as_ref().map(|(outcome, folds)| (outcome, *folds)).or(validated);
        let queries = self.scale.queries(&part, self.query_class, self.start, part.trust());
        let figures = self.figures(judged, false);
        Ok(Fitted { queries, figures, kept_words: false, colours_alone: false, held, crowded: false })
    }

    fn fit(&self, penalty: [f64; 2], samples: &Samples, trust_penalty: Option<f64>) -> Result<Coefficients> {
        let objective = Objective {
            samples,
            query_class: self.query_class,
            penalty: &self.scale.penalties(penalty),
            trust_penalty,
            tolerance: TOLERANCE,
        };
        objective.minimise(Coefficients::zero(self.start.classes, self.scale.inputs()))
    }

    fn figures(&self, validated: Option<(&Outcome, &validate::Folds)>, kept_words: bool) -> Option<Figures> {
        validated.map(|(outcome, folds)| outcome.figures(self.set, self.start.classes, kept_words, folds.by_place))
    }
}

/// The words as they are.
fn kept_words(set: &TrainingSet, start: &Start<'_>, figures: Option<Figures>, held: Option<Held>) -> Fitted {
    Fitted { queries: words(set, start), figures, kept_words: true, colours_alone: false, held, crowded: false }
}

/// The words' queries as they are.
fn words(set: &TrainingSet, start: &Start<'_>) -> Vec<LearntQuery> {
    let query_class = query_classes(start);
    let zero = Coefficients::zero(start.classes, set.width + set.locals + 1);
    Scale::none(set.width, set.locals).queries(&zero, &query_class, start, 1.0)
}

/// The class of each query: those of the words, and one for each class without words.
fn query_classes(start: &Start<'_>) -> Vec<usize> {
    let without = (0..start.classes).filter(|class| !start.word_classes.contains(class));
    start.word_classes.iter().copied().chain(without).collect()
}

/// The samples, and those that stand for classes without examples: the pixels around the examples that the words take for such a
/// class, with all of them together the weight of a class as common. Without them nothing would tell against taking such
/// pixels for a class with examples, and that class would take them all.
fn samples(
    set: &TrainingSet,
    start: &Start<'_>,
    scale: &Scale,
    query_class: &[usize],
    pixels: Option<&Samples>,
) -> (Samples, Samples) {
    let with_examples: Vec<bool> = (0..start.classes).map(|class| set.classes.contains(&class)).collect();
    let mut stand_ins = Samples::default();
    let mut counts = vec![0usize; start.classes];
    if let Some(pixels) = pixels {
        let found = labels(&pixels.words, query_class, start.pooling);
        let absent = |class: usize| !with_examples[class] && start.word_classes.contains(&class);
        let numbers: Vec<usize> = (0..found.len()).filter(|&pixel| absent(found[pixel])).collect();
        stand_ins = pixels.some(&numbers, scale.inputs(), query_class.len());
        stand_ins.classes = numbers.iter().map(|&pixel| found[pixel]).collect();
        stand_ins.classes.iter().for_each(|&class| counts[class] += 1);
    }
    let stand: Vec<bool> = counts.iter().map(|count| *count > 0).collect();
    let (weights, of_classes) = weights(set, start, &stand);
    stand_ins.weights =
        stand_ins.classes.iter().map(|&class| (of_classes[class] / counts[class] as f64) as f32).collect();
    let samples = Samples {
        inputs: scale.inputs_of(set),
        words: word_logits(set, start, query_class),
        classes: set.classes.clone(),
        weights,
    };
    (samples, stand_ins)
}

/// What the words say: (sample, query), scaled; 0 for queries without words.
fn word_logits(set: &TrainingSet, start: &Start<'_>, query_class: &[usize]) -> Vec<f32> {
    let (width, queries) = (set.width.max(1), query_class.len());
    let mut words = vec![0f32; set.len() * queries];
    for (to, features) in words.chunks_exact_mut(queries).zip(set.features.chunks_exact(width)) {
        for (to, word) in to.iter_mut().zip(start.words.chunks_exact(width)) {
            *to = start.logit_scale * features.iter().zip(word).map(|(a, b)| a * b).sum::<f32>();
        }
    }
    words
}

/// The pixels around the examples, of the same weight; `None`: they or their descriptors are not known, as in files of earlier
/// versions.
fn surroundings(set: &TrainingSet, start: &Start<'_>, scale: &Scale, query_class: &[usize]) -> Option<Samples> {
    let count = set.surroundings.len() / set.width.max(1);
    let usable = count > 0 && set.surroundings_local.len() == count * set.locals;
    let mut values = set.surroundings.iter().chain(&set.surroundings_local);
    if !usable || values.any(|value| !value.is_finite()) {
        return None;
    }
    let pixels = TrainingSet {
        width: set.width,
        locals: set.locals,
        features: set.surroundings.clone(),
        local: set.surroundings_local.clone(),
        classes: vec![0; count],
        ..TrainingSet::default()
    };
    Some(Samples {
        inputs: scale.inputs_of(&pixels),
        words: word_logits(&pixels, start, query_class),
        weights: vec![1.0; count],
        classes: pixels.classes,
    })
}

/// How inputs are scaled: features by one factor, each descriptor by its own, so that both blocks have unit length on average,
/// about their means. The last input is 1.
#[derive(Clone, Debug)]
struct Scale {
    width: usize,
    mean: Vec<f64>,
    factor: Vec<f64>,
}

impl Scale {
    fn none(width: usize, locals: usize) -> Self {
        Self { width, mean: vec![0.0; width + locals], factor: vec![1.0; width + locals] }
    }

    fn of(set: &TrainingSet) -> Self {
        let moments = |values: &[f32], width: usize| {
            let (mut mean, mut square) = (vec![0f64; width], vec![0f64; width]);
            for row in values.chunks_exact(width.max(1)) {
                mean.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
            }
            let count = set.len() as f64;
            mean.iter_mut().for_each(|sum| *sum /= count);
            for row in values.chunks_exact(width.max(1)) {
                for ((square, &value), mean) in square.iter_mut().zip(row).zip(&mean) {
                    *square += (f64::from(value) - mean).powi(2) / count;
                }
            }
            (mean, square)
        };
        let (mut mean, square) = moments(&set.features, set.width);
        let length = square.iter().sum::<f64>().sqrt();
        let mut factor = vec![if length > 0.0 { length.recip() } else { 0.0 }; set.width];
        let (local_mean, square) = moments(&set.local, set.locals);
        mean.extend(local_mean);
        let of_descriptor = |variance: &f64| match variance.sqrt() {
            // Constant but for rounding.
            deviation if deviation < 1e-6 => 0.0,
            deviation => 1.0 / (deviation * (set.locals as f64).sqrt()),
        };
        factor.extend(square.iter().map(of_descriptor));
        Self { width: set.width, mean, factor }
    }

    fn inputs(&self) -> usize {
        self.mean.len() + 1
    }

    fn inputs_of(&self, set: &TrainingSet) -> Vec<f32> {
        let mut inputs = Vec::with_capacity(set.len() * self.inputs());
        for sample in 0..set.len() {
            let features = &set.features[sample * set.width..][..set.width];
            let local = &set.local[sample * set.locals..][..set.locals];
            let scaled = features.iter().chain(local).zip(&self.mean).zip(&self.factor);
            inputs.extend(scaled.map(|((&value, mean), factor)| ((f64::from(value) - mean) * factor) as f32));
            inputs.push(1.0);
        }
        inputs
    }

    fn penalties(&self, [features, locals]: [f64; 2]) -> Vec<f64> {
        let mut penalties = vec![features; self.width];
        penalties.extend(vec![locals; self.mean.len() - self.width]);
        penalties.push(BIAS_PENALTY);
        penalties
    }

    /// The queries of coefficients on scaled inputs: z = s · (vector · Φ + local · d) + bias. `trust`: the words' factor.
    fn queries(
        &self,
        coefficients: &Coefficients,
        query_class: &[usize],
        start: &Start<'_>,
        trust: f64,
    ) -> Vec<LearntQuery> {
        let inputs = self.inputs();
        let rows: Vec<&[f64]> = coefficients.values.chunks_exact(inputs).collect();
        let queries = query_class.iter().enumerate();
        queries
            .map(|(query, &class)| {
                let row = rows[class];
                let (weights, intercept) = row.split_at(inputs - 1);
                let plain: Vec<f64> =
                    weights.iter().zip(&self.factor).map(|(weight, factor)| weight * factor).collect();
                let shift: f64 = plain.iter().zip(&self.mean).map(|(weight, mean)| weight * mean).sum();
                let scale = f64::from(start.logit_scale);
                let word = start.words.get(query * self.width..(query + 1) * self.width);
                // Exactly the words where nothing was learnt.
                let word = |at: usize| word.map_or(0.0, |word| trust * f64::from(word[at]));
                let vector =
                    plain[..self.width].iter().enumerate().map(|(at, weight)| (word(at) + weight / scale) as f32);
                let bias = (intercept.first().copied().unwrap_or(0.0) - shift) as f32;
                let local = plain[self.width..].iter().map(|weight| (weight / scale) as f32).collect();
                LearntQuery { class, vector: vector.collect(), bias, local }
            })
            .collect()
    }
}

/// The search for penalties.
struct Search<'a> {
    samples: &'a Samples,
    /// Learnt from, and never left out.
    stand_ins: &'a Samples,
    /// Of a sample.
    inputs: usize,
    query_class: &'a [usize],
    classes: usize,
    pooling: Pooling,
    scale: &'a Scale,
    trust: Option<f64>,
    folds: &'a validate::Folds,
    /// Neither words nor features count.
    colours_alone: bool,
}

impl Search<'_> {
    /// The penalties with the smallest loss on what was left out, with the logits of all left-out samples.
    fn choose(&self, numbers: &[usize], set: &TrainingSet) -> Result<([f64; 2], Outcome)> {
        let mut starts = vec![Coefficients::zero(self.classes, self.inputs); self.folds.count];
        let mut best: Option<([f64; 2], Outcome)> = None;
        let mut worse = 0;
        for penalty in PENALTIES {
            let features = if self.colours_alone { NO_FEATURES } else { FEATURE_PENALTY * penalty };
            let penalties = [features, penalty];
            let outcome = self.left_out(penalties, numbers, set, &mut starts)?;
            match &best {
                Some((_, known)) if known.loss <= outcome.loss => worse += 1,
                _ => (best, worse) = (Some((penalties, outcome)), 0),
            }
            // The loss has one valley: past it, smaller penalties only cost time.
            if worse == 2 {
                break;
            }
        }
        let centre = best.as_ref().map_or([DEFAULT_PENALTY; 2], |(penalty, _)| *penalty);
        for [features, locals] in RATIOS.into_iter().filter(|_| set.locals > 0 && set.width > 0 && !self.colours_alone)
        {
            let penalty = [centre[0] * features, centre[1] * locals];
            let mut starts = starts.clone();
            let outcome = self.left_out(penalty, numbers, set, &mut starts)?;
            if best.as_ref().is_none_or(|(_, known)| outcome.loss < known.loss) {
                best = Some((penalty, outcome));
            }
        }
        best.ok_or_else(|| Error::internal("no penalty was tried"))
    }

    /// Fits without each fold, and judges the fold's samples.
    fn left_out(
        &self,
        penalty: [f64; 2],
        numbers: &[usize],
        set: &TrainingSet,
        starts: &mut [Coefficients],
    ) -> Result<Outcome> {
        let (inputs, queries) = (self.inputs, self.query_class.len());
        // Without features there are the last inputs alone.
        let mut penalty = self.scale.penalties(penalty);
        penalty.drain(..penalty.len() - inputs);
        let mut outcome = Outcome::new(self.query_class.to_vec(), self.pooling);
        let fit = |(fold, start): (usize, &Coefficients)| -> Result<_> {
            let (kept, left) = self.folds.split(fold, numbers, set);
            let counted = |samples: Samples| {
                if self.colours_alone { samples.without_words() } else { samples }
            };
            let training = counted(self.samples.some(&kept, inputs, queries).and(self.stand_ins));
            let objective = Objective {
                samples: &training,
                query_class: self.query_class,
                penalty: &penalty,
                trust_penalty: self.trust,
                tolerance: COARSE_TOLERANCE,
            };
            let fitted = objective.minimise(start.clone())?;
            let judged = self.samples.some(&left, inputs, queries);
            let logits = fitted.logits(&counted(judged.clone()), inputs, self.query_class);
            Ok((fitted, left, logits, judged))
        };
        let fitted = starts.par_iter().enumerate().map(fit).collect::<Result<Vec<_>>>()?;
        // In the order of the parts: results do not depend on threads.
        for (start, (fitted, left, logits, judged)) in starts.iter_mut().zip(fitted) {
            outcome.add(&left, logits, fitted.trust(), &judged);
            *start = fitted;
        }
        outcome.finish();
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Place;

    /// Two classes whose features differ in one direction, ten groups each, `spread` apart at random.
    fn set(per_class: usize, spread: f32) -> TrainingSet {
        let mut numbers = segearth_testing::random::Numbers(7);
        let mut set = TrainingSet { width: 4, ..TrainingSet::default() };
        for example in 0..2 * per_class {
            let class = example % 2;
            let at = if class == 0 { 0.2 } else { -0.2 };
            let noise = numbers.take(4, spread);
            set.features.extend([at + noise[0], noise[1], 0.5 + noise[2], noise[3]]);
            set.classes.push(class);
            set.examples.push(example);
            set.places.push(Place { col: 100 * example as u32, ..Place::default() });
        }
        set
    }

    fn label(queries: &[LearntQuery], features: &[f32], scale: f32) -> usize {
        let logit = |query: &LearntQuery| {
            scale * query.vector.iter().zip(features).map(|(a, b)| a * b).sum::<f32>() + query.bias
        };
        let best = queries.iter().max_by(|a, b| logit(a).total_cmp(&logit(b))).unwrap();
        best.class
    }

    #[test]
    fn without_samples_the_words_stay_as_they_are() {
        let words = [0.1, 0.2, 0.3, 0.4, -0.1, 0.7, 0.2, 0.3];
        let start =
            Start { classes: 2, words: &words, word_classes: &[0, 1], logit_scale: 50.0, pooling: Pooling::Sum };
        let fitted = fit(&TrainingSet { width: 4, ..TrainingSet::default() }, &start).unwrap();
        let vectors: Vec<f32> = fitted.queries.iter().flat_map(|query| query.vector.clone()).collect();
        assert_eq!(vectors, words);
        assert!(fitted.kept_words && fitted.queries.iter().all(|query| query.bias == 0.0));
    }

    #[test]
    fn classes_that_differ_are_learnt_with_and_without_words() {
        let set = set(20, 0.1);
        // Words that are wrong about everything.
        let words = [-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0];
        for word_classes in [&[][..], &[0, 1][..]] {
            let start = Start {
                classes: 2,
                words: &words[..4 * word_classes.len()],
                word_classes,
                logit_scale: 50.0,
                pooling: Pooling::Sum,
            };
            let fitted = fit(&set, &start).unwrap();
            let found: Vec<usize> =
                set.features.chunks_exact(4).map(|features| label(&fitted.queries, features, 50.0)).collect();
            assert_eq!(found, set.classes, "{word_classes:?}");
            let figures = fitted.figures.unwrap();
            assert!(figures.mean_iou > 0.95, "{figures:?}");
            assert_eq!(figures.classes[0].examples, 20);
            assert_eq!(fit(&set, &start).unwrap().queries, fitted.queries, "the same samples give the same result");
        }
    }

    #[test]
    fn descriptors_alone_are_learnt_from() {
        let set = set(20, 0.1);
        let set = TrainingSet { width: 0, locals: 4, features: Vec::new(), local: set.features, ..set };
        let start = Start { classes: 2, words: &[], word_classes: &[], logit_scale: 50.0, pooling: Pooling::Sum };
        let fitted = fit(&set, &start).unwrap();
        assert!(fitted.figures.unwrap().mean_iou > 0.95);
        assert!(fitted.queries.iter().all(|query| query.vector.is_empty() && query.local.len() == 4));
    }

    #[test]
    fn words_are_kept_where_nothing_can_be_left_out() {
        let set = TrainingSet { reach: 100_000, ..set(20, 0.1) };
        let words = [-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0];
        let start =
            Start { classes: 2, words: &words, word_classes: &[0, 1], logit_scale: 50.0, pooling: Pooling::Sum };
        let fitted = fit(&set, &start).unwrap();
        assert!(fitted.crowded && fitted.kept_words && fitted.figures.is_none());
        let vectors: Vec<f32> = fitted.queries.iter().flat_map(|query| query.vector.clone()).collect();
        assert_eq!(vectors, words, "exactly as they are");
        // Without words there is nothing to keep.
        let start = Start { words: &[], word_classes: &[], ..start };
        let fitted = fit(&set, &start).unwrap();
        assert!(fitted.crowded && !fitted.kept_words && fitted.figures.is_none());
        assert_eq!(label(&fitted.queries, &[0.2, 0.0, 0.5, 0.0], 50.0), 0);
    }

    #[test]
    fn few_examples_leave_a_map_of_good_words_as_it_is() {
        let words = [1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0];
        let start =
            Start { classes: 2, words: &words, word_classes: &[0, 1], logit_scale: 50.0, pooling: Pooling::Sum };
        // Words that are right about all examples: none shows an error of theirs.
        let fitted = fit(&set(5, 0.1), &start).unwrap();
        assert!(fitted.kept_words);
        // Words that are wrong about all of them: nothing holds what is learnt.
        let wrong = words.map(|value| -value);
        let fitted = fit(&set(5, 0.1), &Start { words: &wrong, ..start.clone() }).unwrap();
        assert!(!fitted.kept_words && fitted.held.is_none());
        // Too few of them: a class may change by little, but all of it would.
        let fitted = fit(&set(2, 0.1), &Start { words: &wrong, ..start.clone() }).unwrap();
        let held = fitted.held.unwrap();
        assert!((held.most_change - 0.064).abs() < 1e-9 && held.share < 1.0, "{held:?}");
    }

    #[test]
    fn a_class_without_examples_keeps_what_the_words_take_for_it() {
        let mut numbers = segearth_testing::random::Numbers(11);
        // The words are wrong about the first two classes, and know the third by another direction.
        let words = [-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, -0.3, 0.0];
        let start =
            Start { classes: 3, words: &words, word_classes: &[0, 1, 2], logit_scale: 50.0, pooling: Pooling::Sum };
        let mut third = || {
            let noise = numbers.take(4, 0.1);
            [noise[0], 0.5 + noise[1], 0.3 + noise[2], noise[3]]
        };
        let mut set = set(20, 0.1);
        set.surroundings = (0..40).flat_map(|_| third()).chain(set.features.clone()).collect();
        let fitted = fit(&set, &start).unwrap();
        assert!(!fitted.kept_words, "the first two classes are learnt");
        let right = (0..200).filter(|_| label(&fitted.queries, &third(), 50.0) == 2).count();
        assert!(right >= 190, "{right} of 200 pixels of the third class keep it");
        let found = set.features.chunks_exact(4).map(|features| label(&fitted.queries, features, 50.0));
        assert!(found.eq(set.classes.iter().copied()));
    }

    #[test]
    fn good_words_survive_examples_that_say_nothing() {
        let mut set = set(3, 0.02);
        // Labels that have nothing to do with the features.
        set.classes = vec![0, 0, 1, 1, 0, 1];
        let words = [1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0];
        let start =
            Start { classes: 2, words: &words, word_classes: &[0, 1], logit_scale: 50.0, pooling: Pooling::Sum };
        let fitted = fit(&set, &start).unwrap();
        assert_eq!(label(&fitted.queries, &[0.2, 0.0, 0.5, 0.0], 50.0), 0);
        assert_eq!(label(&fitted.queries, &[-0.2, 0.0, 0.5, 0.0], 50.0), 1);
    }

    #[test]
    fn one_class_alone_is_refused() {
        let mut set = set(3, 0.1);
        set.classes.fill(1);
        let start = Start { classes: 2, words: &[], word_classes: &[], logit_scale: 50.0, pooling: Pooling::Sum };
        assert!(fit(&set, &start).unwrap_err().to_string().contains("one class"));
    }
}
