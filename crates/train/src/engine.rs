//! The loop of the training: workers compute gradients of the current weights, one place moves the weights.
//!
//! Everything that a step draws comes from the seed, its number and the worker's, so that a run that is stopped and goes
//! on is the run that was never stopped.

use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

use segearth::error::{Context, Error, Result};
use segearth::network::Tensors;
use segearth::train::parameters::{AdamW, Parameters};
use segearth::train::random::Random;
use segearth::train::weights;
use tch::{Kind, Tensor};

/// How a run goes.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub struct Plan {
    pub steps: usize,
    /// Steps after which views grow, first to the second of the sides, then to the last.
    pub grow: [usize; 2],
    /// In so many steps at the end the rate falls; until then the number of steps may still be changed.
    pub descent: usize,
    pub rate: f64,
    pub warm_up: usize,
    pub decay: f64,
    pub average: f64,
    pub workers: usize,
    pub seed: u64,
}

impl Plan {
    /// Linear warm-up, level, then half a cosine down to a hundredth.
    pub fn rate(&self, step: usize) -> f64 {
        let warm = ((step + 1) as f64 / self.warm_up.max(1) as f64).min(1.0);
        let left = (self.steps.saturating_sub(step) as f64 / self.descent.max(1) as f64).min(1.0);
        let descent = 0.5 * (1.0 - (std::f64::consts::PI * left).cos());
        self.rate * warm * (0.01 + 0.99 * descent)
    }

    /// Which of the three sizes of views a step has.
    pub fn stage(&self, step: usize) -> usize {
        self.grow.iter().filter(|grow| step >= **grow).count()
    }

    /// What a worker draws in a step.
    pub fn random(&self, step: usize, worker: usize) -> Random {
        Random::new(self.seed).fork(step as u64).fork(worker as u64)
    }
}

/// The task of a worker in one step.
#[derive(Debug)]
pub struct Task {
    pub step: usize,
    pub worker: usize,
    /// The current weights in bfloat16, leaves that take gradients.
    pub tensors: Tensors,
}

/// What a worker found: parts of the loss that are watched, by the training's own order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Losses {
    pub parts: [f64; 4],
    pub views: usize,
}

/// What is said of a run after every step.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub step: usize,
    /// No step follows.
    pub last: bool,
    pub losses: Losses,
    /// Of the gradient, before it is clipped.
    pub norm: f64,
    pub seconds: f64,
}

struct Report {
    worker: usize,
    gradient: Tensor,
    losses: Losses,
}

/// Trains from step `first` on. `work` runs the network forward and backward on a worker's own views; `watch` is called
/// after every step with the averaged weights in reach and may stop the run by giving `false`.
pub fn train(
    plan: &Plan,
    parameters: &mut Parameters,
    optimiser: &mut AdamW,
    first: usize,
    work: impl Fn(&Task) -> Result<Losses> + Sync,
    mut watch: impl FnMut(Progress, &Parameters, &AdamW) -> Result<bool>,
) -> Result<()> {
    segearth::model::memory::tune_malloc();
    let workers = plan.workers.max(1);
    let work = &work;
    std::thread::scope(|scope| {
        let (reports, received) = mpsc::channel::<Result<Report>>();
        let mut tasks = Vec::new();
        for worker in 0..workers {
            let (send, receive) = mpsc::channel::<Task>();
            let reports = reports.clone();
            let layout = parameters.with_values(parameters.values.f_add_scalar(0.0)?);
            scope.spawn(move || {
                // The workers are the threads; each counts for itself alone.
                tch::set_num_threads(1);
                while let Ok(task) = receive.recv() {
                    let report = work(&task)
                        .and_then(|losses| Ok(Report { worker, gradient: layout.gradient(&task.tensors)?, losses }));
                    if reports.send(report).is_err() {
                        break;
                    }
                }
            });
            tasks.push(send);
        }
        let start = Instant::now();
        for step in first..plan.steps {
            for (worker, task) in tasks.iter().enumerate() {
                let tensors = parameters.tensors(Kind::BFloat16, true)?;
                task.send(Task { step, worker, tensors })
                    .map_err(|_| Error::internal("a training worker has ended"))?;
            }
            let mut done = Vec::new();
            for _ in 0..workers {
                done.push(received.recv().map_err(|_| Error::internal("all training workers have ended"))??);
            }
            // Sums of floats depend on their order.
            done.sort_by_key(|report| report.worker);
            let mut losses = Losses::default();
            let mut gradients = Vec::new();
            for report in done {
                gradients.push(report.gradient);
                losses.views += report.losses.views;
                for (sum, part) in losses.parts.iter_mut().zip(report.losses.parts) {
                    *sum += part / workers as f64;
                }
            }
            let gradient = Tensor::f_stack(&gradients, 0)?.f_mean_dim(Some(&[0i64][..]), false, Kind::Float)?;
            let norm = optimiser.step(parameters, &gradient, plan.rate(step), plan.decay, plan.average)?;
            let (step, seconds) = (step + 1, start.elapsed().as_secs_f64());
            let last = step == plan.steps;
            if !watch(Progress { step, last, losses, norm, seconds }, parameters, optimiser)? {
                break;
            }
        }
        Ok(())
    })
}

/// Weights and optimiser to go on from, and the averaged weights in float16, under `name` in `folder`; weights whose names
/// begin with `beside` only go on.
pub fn write_checkpoint(
    folder: &Path,
    name: &str,
    beside: &str,
    step: usize,
    parameters: &Parameters,
    optimiser: &AdamW,
) -> Result<()> {
    let mut average = parameters.with_values(optimiser.average.shallow_clone()).tensors(Kind::Half, false)?;
    average.retain(|name, _| !name.starts_with(beside));
    weights::replace(&folder.join(name), &average.into_iter().collect::<Vec<_>>())?;
    let mut state = optimiser.state();
    state.push(("done", Tensor::from_slice(&[step as i64])));
    let tensors = parameters.tensors(Kind::Float, false)?;
    let named = tensors.iter().map(|(name, tensor)| (format!("{WEIGHT}{name}"), tensor.shallow_clone()));
    let all: Vec<(String, Tensor)> =
        named.chain(state.into_iter().map(|(name, tensor)| (name.to_owned(), tensor))).collect();
    weights::replace(&folder.join(format!("last-{name}")), &all)
}

const WEIGHT: &str = "weight.";

/// What [`write_checkpoint`] wrote: weights, optimiser, steps done.
pub fn read_checkpoint(folder: &Path, name: &str) -> Result<(Parameters, AdamW, usize)> {
    let path = folder.join(format!("last-{name}"));
    let state: Tensors =
        Tensor::read_safetensors(&path).input(|| format!("cannot read {}", path.display()))?.into_iter().collect();
    let weights = state.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(WEIGHT)?, tensor)));
    let weights: Tensors = weights.map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone())).collect();
    let parameters = Parameters::from_tensors(&weights)?;
    let mut optimiser = AdamW::new(&parameters)?;
    optimiser.restore(&state)?;
    let done = state.get("done").ok_or_else(|| Error::input(format!("{} counts no steps", path.display())))?;
    Ok((parameters, optimiser, i64::try_from(done.f_reshape([] as [i64; 0])?)? as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(steps: usize) -> Plan {
        Plan { steps, grow: [4, 6], descent: 4, rate: 0.1, warm_up: 2, decay: 0.0, average: 0.9, workers: 2, seed: 3 }
    }

    #[test]
    fn the_rate_rises_stays_and_falls_and_views_grow() {
        let rates: Vec<f64> = (0..10).map(|step| plan(10).rate(step)).collect();
        assert!(rates[0] < rates[1] && rates[1..7].iter().all(|rate| (rate - 0.1).abs() < 1e-12), "{rates:?}");
        assert!(rates[6..].windows(2).all(|pair| pair[1] < pair[0]) && rates[9] < 0.02, "{rates:?}");
        assert_eq!([0, 3, 4, 5, 6, 9].map(|step| plan(10).stage(step)), [0, 0, 1, 1, 2, 2]);
    }

    /// Pulls a weight towards numbers that each worker draws.
    fn trained(plan: &Plan, mut parameters: Parameters, mut optimiser: AdamW, first: usize, folder: &Path) -> Vec<f32> {
        let work = |task: &Task| {
            let target = f64::from(plan.random(task.step, task.worker).normal());
            task.tensors["weight"].f_sub_scalar(target)?.f_square()?.f_sum(Kind::Float)?.f_backward()?;
            Ok(Losses::default())
        };
        let watch = |progress: Progress, parameters: &Parameters, optimiser: &AdamW| {
            if progress.step == 3 {
                write_checkpoint(folder, "weights.safetensors", "train.", 3, parameters, optimiser)?;
            }
            Ok(true)
        };
        train(plan, &mut parameters, &mut optimiser, first, work, watch).unwrap();
        Vec::<f32>::try_from(&parameters.values).unwrap()
    }

    #[test]
    fn a_run_that_was_stopped_ends_as_if_it_had_not_been() {
        let folder = tempfile::tempdir().unwrap();
        let tensors: Tensors = ["weight", "train.beside"]
            .map(|name| (name.to_owned(), Tensor::ones([3], (Kind::Float, tch::Device::Cpu))))
            .into();
        let parameters = Parameters::from_tensors(&tensors).unwrap();
        let optimiser = AdamW::new(&parameters).unwrap();
        let whole = trained(&plan(10), parameters, optimiser, 0, folder.path());
        let (parameters, optimiser, done) = read_checkpoint(folder.path(), "weights.safetensors").unwrap();
        assert_eq!(done, 3);
        assert_eq!(trained(&plan(10), parameters, optimiser, 3, folder.path()), whole);
        let kept = weights::read(&folder.path().join("weights.safetensors")).unwrap();
        assert_eq!(
            kept.keys().collect::<Vec<_>>(),
            ["weight"],
            "what only the training uses is no part of the weights"
        );
    }
}
