//! What is minimised: the weighted log loss of a soft-max over queries, several of which may belong to a class, with a penalty on
//! the distance from the words.
//!
//! The logits of a sample with the inputs x are z = τ z₀ + Θ x: z₀ is what the words say (0 without words), τ how far they are
//! trusted, Θ (class, input) what is learnt, the same for all queries of a class. The score of a class is the sum of the probabilities of its queries. Minimised over
//! Θ and log τ is
//!
//! ```text
//! Σ ω (logsumexp(z) - logsumexp(z of the sample's class)) + ½ Σ penalty · Θ² + ½ κ log² (τ / τ₀)
//! ```

#![expect(clippy::indexing_slicing, reason = "matrices of samples, queries and inputs, in rows of known length")]

use std::sync::Mutex;

use argmin::core::{CostFunction, Executor, Gradient, State as _};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::error::{Error, Result};

/// τ before anything is learnt: words' logits are more certain than they are right. No label depends on it.
const TRUST: f64 = 0.15;
/// Samples whose products are computed together.
const BLOCK: usize = 256;
/// Pairs of earlier steps from which L-BFGS estimates the curvature.
const MEMORY: usize = 10;
/// The fit ends where the gradient is so short, relative to the weight of all samples.
pub(super) const TOLERANCE: f64 = 1e-4;
/// The same while penalties are compared, which takes most of the time: labels and losses hardly change beyond.
pub(super) const COARSE_TOLERANCE: f64 = 1e-3;
/// It also ends where a step makes the mean loss no smaller than by this.
const COST_TOLERANCE: f64 = 1e-7;
const MAX_STEPS: u64 = 200;

/// Samples as matrices.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples {
    /// (sample, input)
    pub inputs: Vec<f32>,
    /// What the words say: (sample, query), scaled.
    pub words: Vec<f32>,
    /// The class of each sample.
    pub classes: Vec<usize>,
    pub weights: Vec<f32>,
}

impl Samples {
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// The same, of which words say nothing.
    pub fn without_words(mut self) -> Self {
        self.words.fill(0.0);
        self
    }

    /// These and then others.
    pub fn and(mut self, others: &Self) -> Self {
        self.inputs.extend(&others.inputs);
        self.words.extend(&others.words);
        self.classes.extend(&others.classes);
        self.weights.extend(&others.weights);
        self
    }

    /// The same with the last `kept` of their `inputs` alone.
    pub fn last_inputs(&self, inputs: usize, kept: usize) -> Self {
        let rows = self.inputs.chunks_exact(inputs.max(1));
        let inputs = rows.flat_map(|row| &row[inputs - kept..]).copied().collect();
        Self { inputs, words: self.words.clone(), classes: self.classes.clone(), weights: self.weights.clone() }
    }

    /// Those of the given numbers.
    pub fn some(&self, numbers: &[usize], inputs: usize, queries: usize) -> Self {
        Self {
            inputs: numbers.iter().flat_map(|&n| &self.inputs[n * inputs..][..inputs]).copied().collect(),
            words: numbers.iter().flat_map(|&n| &self.words[n * queries..][..queries]).copied().collect(),
            classes: numbers.iter().map(|&n| self.classes[n]).collect(),
            weights: numbers.iter().map(|&n| self.weights[n]).collect(),
        }
    }
}

/// What is learnt.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Coefficients {
    /// Θ, (class, input), and then log (τ / τ₀).
    pub values: Vec<f64>,
}

impl Coefficients {
    pub fn zero(classes: usize, inputs: usize) -> Self {
        Self { values: vec![0.0; classes * inputs + 1] }
    }

    /// τ: the factor of what the words say.
    pub fn trust(&self) -> f64 {
        TRUST * self.values.last().map_or(1.0, |log| log.exp())
    }

    /// Those of logits that take a `share` (0..=1) of what was learnt: (τ z₀ + share Θ x) / [`divisor`](Self::divisor). With none
    /// they are the words' own, with all of it they are divided by the temperature.
    pub fn part(&self, share: f64, temperature: f64) -> Self {
        let divisor = Self::divisor(self.trust(), share, temperature);
        let mut values: Vec<f64> = self.values.iter().map(|value| share * value / divisor).collect();
        if let (Some(to), Some(log)) = (values.last_mut(), self.values.last()) {
            *to = log - divisor.ln();
        }
        Self { values }
    }

    /// From τ to the temperature, by which logits are divided as more of what was learnt counts.
    pub fn divisor(trust: f64, share: f64, temperature: f64) -> f64 {
        trust.powf(1.0 - share) * temperature.powf(share)
    }

    fn matrix(&self) -> Vec<f32> {
        self.values[..self.values.len() - 1].iter().map(|&value| value as f32).collect()
    }

    /// The logits (sample, query).
    pub fn logits(&self, samples: &Samples, inputs: usize, query_class: &[usize]) -> Vec<f32> {
        let (matrix, trust) = (self.matrix(), self.trust() as f32);
        logits(&samples.inputs, &samples.words, &matrix, [samples.len(), inputs], query_class, trust)
    }
}

/// The logits (sample, query) of `count` samples.
fn logits(
    inputs: &[f32],
    words: &[f32],
    matrix: &[f32],
    [count, width]: [usize; 2],
    query_class: &[usize],
    trust: f32,
) -> Vec<f32> {
    let mut logits: Vec<f32> = words.iter().map(|word| trust * word).collect();
    let classes = matrix.len() / width.max(1);
    // Lengths are those of the shape: neither view fails.
    if let (Ok(x), Ok(theta)) =
        (ArrayView2::from_shape((count, width), inputs), ArrayView2::from_shape((classes, width), matrix))
    {
        let product = x.dot(&theta.t());
        for (logits, product) in logits.chunks_exact_mut(query_class.len()).zip(product.rows()) {
            logits.iter_mut().zip(query_class).for_each(|(logit, &class)| *logit += product[class]);
        }
    }
    logits
}

/// The classes of the queries, and how strongly coefficients are drawn to the words.
#[derive(Clone, Debug)]
pub(super) struct Objective<'a> {
    pub samples: &'a Samples,
    /// The class of each query.
    pub query_class: &'a [usize],
    /// For each input.
    pub penalty: &'a [f64],
    /// κ: on log (τ / τ₀). `None`: τ stays as it is, as without words.
    pub trust_penalty: Option<f64>,
    /// Length of the gradient, relative to the weight of all samples, at which the minimum counts as found.
    pub tolerance: f64,
}

impl Objective<'_> {
    fn inputs(&self) -> usize {
        self.penalty.len()
    }

    /// The loss, and its gradient.
    fn evaluate(&self, values: &[f64]) -> (f64, Vec<f64>) {
        let (inputs, queries) = (self.inputs(), self.query_class.len());
        let classes = (values.len() - 1) / inputs.max(1);
        let coefficients = Coefficients { values: values.to_vec() };
        let (matrix, trust) = (coefficients.matrix(), coefficients.trust());
        let blocks: Vec<(f64, Vec<f32>, f64)> = self
            .samples
            .classes
            .par_chunks(BLOCK)
            .enumerate()
            .map(|(block, of_samples)| {
                let first = block * BLOCK;
                let x = &self.samples.inputs[first * inputs..][..of_samples.len() * inputs];
                let words = &self.samples.words[first * queries..][..of_samples.len() * queries];
                let weights = &self.samples.weights[first..][..of_samples.len()];
                let mut logits = logits(x, words, &matrix, [of_samples.len(), inputs], self.query_class, trust as f32);
                let mut loss = 0.0;
                for ((row, &class), &weight) in logits.chunks_exact_mut(queries).zip(of_samples).zip(weights) {
                    loss += f64::from(weight) * self.residuals(row, class, weight);
                }
                let of_trust: f64 =
                    logits.iter().zip(words).map(|(residual, word)| f64::from(*residual) * f64::from(*word)).sum();
                // A class's coefficients move all of its queries.
                let mut of_classes = vec![0f32; of_samples.len() * classes];
                for (sums, row) in of_classes.chunks_exact_mut(classes).zip(logits.chunks_exact(queries)) {
                    row.iter().zip(self.query_class).for_each(|(residual, &class)| sums[class] += residual);
                }
                let gradient = match (
                    ArrayView2::from_shape((of_samples.len(), classes), &of_classes),
                    ArrayView2::from_shape((of_samples.len(), inputs), x),
                ) {
                    (Ok(residuals), Ok(x)) => residuals.t().dot(&x).iter().copied().collect(),
                    _ => Vec::new(),
                };
                (loss, gradient, trust * of_trust)
            })
            .collect();
        // In the order of the blocks: results do not depend on threads.
        let log_trust = values.last().copied().unwrap_or(0.0);
        let trust_penalty = self.trust_penalty.unwrap_or(0.0);
        let mut loss = 0.5 * trust_penalty * log_trust * log_trust;
        let mut gradient = vec![0.0; values.len()];
        let mut of_trust = trust_penalty * log_trust;
        for (part, of_block, trust) in blocks {
            loss += part;
            of_trust += trust;
            gradient.iter_mut().zip(of_block).for_each(|(sum, part)| *sum += f64::from(part));
        }
        for (values, gradient) in values.chunks_exact(inputs).zip(gradient.chunks_exact_mut(inputs)) {
            for ((&value, gradient), &penalty) in values.iter().zip(gradient).zip(self.penalty) {
                loss += 0.5 * penalty * value * value;
                *gradient += penalty * value;
            }
        }
        if let Some(last) = gradient.last_mut() {
            *last = if self.trust_penalty.is_some() { of_trust } else { 0.0 };
        }
        (loss, gradient)
    }

    /// Turns a sample's logits into the weighted gradient of its loss, which is returned.
    fn residuals(&self, logits: &mut [f32], class: usize, weight: f32) -> f64 {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        logits.iter_mut().for_each(|logit| *logit = (*logit - largest).exp());
        let sum: f32 = logits.iter().sum();
        let own: f32 =
            logits.iter().zip(self.query_class).filter(|(_, of)| **of == class).map(|(value, _)| *value).sum();
        let own = own.max(f32::MIN_POSITIVE);
        for (logit, &of) in logits.iter_mut().zip(self.query_class) {
            let share = if of == class { *logit / own } else { 0.0 };
            *logit = weight * (*logit / sum - share);
        }
        f64::from(sum.ln() - own.ln())
    }

    /// Minimises the loss from `start`.
    ///
    /// # Errors
    /// The loss is not a finite number.
    pub fn minimise(&self, start: Coefficients) -> Result<Coefficients> {
        let weight: f64 = self.samples.weights.iter().map(|&weight| f64::from(weight)).sum();
        let failed = |cause: argmin::core::Error| {
            Error::internal("the classifier cannot be fitted").with_source(Error::internal(cause.to_string()))
        };
        let solver = LBFGS::new(MoreThuenteLineSearch::new(), MEMORY)
            .with_tolerance_grad(self.tolerance)
            .and_then(|solver| solver.with_tolerance_cost(COST_TOLERANCE))
            .map_err(failed)?;
        // The first step is as long as the gradient. That of a sum over many samples leads so far that the search along it ends
        // without having found a better place, and with it the fit where it began; the mean's does not grow with their number.
        let problem = Problem { objective: self, factor: weight.max(1.0).recip(), last: Mutex::new(None) };
        let before = start.clone();
        let done =
            Executor::new(problem, solver).configure(|state| state.param(start.values).max_iters(MAX_STEPS)).run();
        match done {
            Ok(done) => {
                let best = done.state.get_best_param().cloned().unwrap_or(before.values);
                Ok(Coefficients { values: best })
            }
            Err(error) => Err(failed(error)),
        }
    }
}

/// The objective as the solver asks for it: the loss and then the gradient at the same place, which are computed together.
struct Problem<'a, 'b> {
    objective: &'a Objective<'b>,
    /// Of loss and gradient.
    factor: f64,
    last: Mutex<Option<Evaluation>>,
}

struct Evaluation {
    values: Vec<f64>,
    loss: f64,
    gradient: Vec<f64>,
}

impl Problem<'_, '_> {
    fn at<T>(&self, values: &[f64], take: impl Fn(f64, &[f64]) -> T) -> std::result::Result<T, argmin::core::Error> {
        let mut last = self.last.lock().map_err(|_| argmin::core::Error::msg("an earlier evaluation failed"))?;
        if let Some(known) = last.as_ref().filter(|known| known.values == values) {
            return Ok(take(known.loss, &known.gradient));
        }
        let (loss, mut gradient) = self.objective.evaluate(values);
        let loss = self.factor * loss;
        gradient.iter_mut().for_each(|value| *value *= self.factor);
        if !loss.is_finite() {
            return Err(argmin::core::Error::msg("the loss is not a finite number"));
        }
        let taken = take(loss, &gradient);
        *last = Some(Evaluation { values: values.to_vec(), loss, gradient });
        Ok(taken)
    }
}

impl CostFunction for Problem<'_, '_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, values: &Vec<f64>) -> std::result::Result<f64, argmin::core::Error> {
        self.at(values, |loss, _| loss)
    }
}

impl Gradient for Problem<'_, '_> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, values: &Vec<f64>) -> std::result::Result<Vec<f64>, argmin::core::Error> {
        self.at(values, |_, gradient| gradient.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minimum_is_found_however_many_samples_there_are() {
        let mut numbers = segearth_testing::random::Numbers(11);
        for count in [20, 500, 5000] {
            let classes: Vec<usize> = (0..count).map(|sample| sample % 5).collect();
            let noise = numbers.take(6 * count, 0.5);
            let mut inputs = Vec::new();
            let mut words = Vec::new();
            for (&class, noise) in classes.iter().zip(noise.chunks_exact(6)) {
                inputs.extend((0..5).map(|at| if at == class { 1.0 } else { 0.0 } + noise[at]));
                inputs.push(1.0);
                // Words that are sure, and always of the same class.
                words.extend([12.0 + noise[5], 8.0, 8.0, 8.0, 8.0]);
            }
            let samples = Samples { inputs, words, classes, weights: vec![1.0; count] };
            let objective = Objective {
                samples: &samples,
                query_class: &[0, 1, 2, 3, 4],
                penalty: &[1.0, 1.0, 1.0, 1.0, 1.0, 0.01],
                trust_penalty: Some(0.5),
                tolerance: TOLERANCE,
            };
            let length = |values: &[f64]| objective.evaluate(values).1.iter().map(|of| of * of).sum::<f64>().sqrt();
            let zero = Coefficients::zero(5, 6);
            let before = length(&zero.values);
            let found = objective.minimise(zero).unwrap();
            let after = length(&found.values);
            assert!(after < 0.02 * before, "{count} samples: {before} {after}");
            assert_eq!(objective.minimise(Coefficients::zero(5, 6)).unwrap(), found);
        }
    }
}
