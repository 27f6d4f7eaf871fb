//! The contrastive training of both towers.
//!
//! Two workers (one for each core) draw views, run the network in bfloat16 and send gradients; the weights, in float32, are
//! moved here. Views grow with the training: from small ones, of which many go by in a minute, to the window itself.

use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

use tch::{Kind, Tensor};

use super::files;
use super::initial::Shape;
use super::loss;
use super::parameters::{AdamW, Parameters};
use super::random::Random;
use super::views::{self, Sources};
use crate::error::{Context, Error, Result};
use crate::model::text::Tokenizer;
use crate::network::checkpoint::Activation;
use crate::network::{Attention, ImageTower, Tensors, TextTower, TowerOptions};

/// CLIP's normalisation, in values of 0..=255.
pub const MEAN: [f32; 3] = [122.771, 116.746, 104.094];
pub const DEVIATION: [f32; 3] = [68.501, 66.632, 70.323];

/// How a run goes.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub struct Plan {
    pub steps: usize,
    /// End the run by the clock as well, with stages and rate fitted to it; 0: by the steps alone, which is repeatable.
    #[serde(default)]
    pub minutes: f64,
    pub rate: f64,
    pub warm_up: usize,
    pub decay: f64,
    pub average: f64,
    pub workers: usize,
    pub seed: u64,
    /// Weight of the patches' loss beside the pictures'.
    pub dense: f64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            steps: 4000,
            minutes: 0.0,
            rate: 1e-3,
            warm_up: 200,
            decay: 0.05,
            average: 0.995,
            workers: 2,
            seed: 1,
            dense: 1.0,
        }
    }
}

/// Weights and optimiser to go on from.
const LAST: &str = "last.safetensors";
const OPTIMISER: &str = "optimiser.safetensors";

/// Share of the run in which the rate falls.
const DESCENT: f64 = 0.4;

/// Share of the run, side of the views and views for each worker; tokens for each step stay about the same.
const STAGES: [(f64, usize, usize); 3] = [(0.45, 64, 24), (0.8, 96, 11), (1.0, 128, 6)];

/// The towers that `tensors` make.
pub fn towers(tensors: &Tensors, shape: &Shape) -> Result<(ImageTower, TextTower)> {
    let options = |layers, heads| TowerOptions { layers, heads, activation: Activation::Gelu };
    let image = ImageTower::load(tensors, options(shape.layers, shape.heads), Attention::SegEarth, false)?;
    Ok((image, TextTower::load(tensors, options(shape.text_layers, shape.text_heads))?))
}

struct Task {
    step: usize,
    /// Share of the run that lies behind.
    done: f64,
    tensors: Tensors,
}

struct Report {
    gradient: Tensor,
    dense: f64,
    global: f64,
    views: usize,
}

/// What is said of a run after every step.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub step: usize,
    pub steps: usize,
    /// Share of the run that lies behind.
    pub done: f64,
    /// No step follows.
    pub last: bool,
    pub dense: f64,
    pub global: f64,
    pub norm: f64,
    pub views: usize,
    pub seconds: f64,
}

/// Everything that a run needs to know.
#[derive(Debug)]
pub struct Run<'a> {
    pub shape: Shape,
    pub plan: Plan,
    pub sources: &'a Sources,
    pub tokenizer: &'a Tokenizer,
    pub templates: &'a [String],
}

impl Run<'_> {
    /// Trains from step `first` on; `watch` is called after every step with the averaged weights in reach and may stop
    /// the run by giving `false`.
    pub fn train(
        &self,
        parameters: &mut Parameters,
        optimiser: &mut AdamW,
        first: usize,
        mut watch: impl FnMut(Progress, &Parameters, &AdamW) -> Result<bool>,
    ) -> Result<()> {
        let workers = self.plan.workers.max(1);
        std::thread::scope(|scope| {
            let (reports, received) = mpsc::channel::<Result<Report>>();
            let mut tasks = Vec::new();
            for worker in 0..workers {
                let (send, receive) = mpsc::channel::<Task>();
                let reports = reports.clone();
                let layout = parameters.with_values(parameters.values.f_add_scalar(0.0)?);
                scope.spawn(move || {
                    while let Ok(task) = receive.recv() {
                        if reports.send(self.work(worker, task, &layout)).is_err() {
                            break;
                        }
                    }
                });
                tasks.push(send);
            }
            let start = Instant::now();
            for step in first..self.plan.steps {
                let done = self.done(step, start.elapsed().as_secs_f64());
                for task in &tasks {
                    let tensors = parameters.tensors(Kind::BFloat16, true)?;
                    task.send(Task { step, done, tensors })
                        .map_err(|_| Error::internal("a training worker has ended"))?;
                }
                let mut gradient: Option<Tensor> = None;
                let (mut dense, mut global, mut views) = (0.0, 0.0, 0);
                for _ in 0..workers {
                    let report = received.recv().map_err(|_| Error::internal("all training workers have ended"))??;
                    let part = report.gradient.f_div_scalar(workers as f64)?;
                    gradient = Some(match gradient {
                        Some(sum) => sum.f_add(&part)?,
                        None => part,
                    });
                    dense += report.dense / workers as f64;
                    global += report.global / workers as f64;
                    views += report.views;
                }
                let Some(gradient) = gradient else { break };
                let rate = self.rate(step, done);
                let norm = optimiser.step(parameters, &gradient, rate, self.plan.decay, self.plan.average)?;
                let seconds = start.elapsed().as_secs_f64();
                let last = step + 1 == self.plan.steps || self.done(step + 1, seconds) >= 1.0;
                let step = step + 1;
                let progress =
                    Progress { step, steps: self.plan.steps, done, last, dense, global, norm, views, seconds };
                if !watch(progress, parameters, optimiser)? || last {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Linear warm-up, level, then half a cosine down to a hundredth: a run that is resumed with another number of steps
    /// goes on as if it had been planned so, as long as its descent has not begun.
    fn rate(&self, step: usize, done: f64) -> f64 {
        let warm = ((step + 1) as f64 / self.plan.warm_up.max(1) as f64).min(1.0);
        let descent = 0.5 * (1.0 - (std::f64::consts::PI * ((1.0 - done) / DESCENT).clamp(0.0, 1.0)).cos());
        self.plan.rate * warm * (0.01 + 0.99 * descent)
    }

    fn done(&self, step: usize, seconds: f64) -> f64 {
        let by_clock = if self.plan.minutes > 0.0 { seconds / 60.0 / self.plan.minutes } else { 0.0 };
        by_clock.max((step as f64 + 0.5) / self.plan.steps as f64)
    }

    fn work(&self, worker: usize, task: Task, layout: &Parameters) -> Result<Report> {
        let mut random = Random::new(self.plan.seed).fork(task.step as u64).fork(worker as u64);
        let (_, side, count) = STAGES.into_iter().find(|stage| task.done < stage.0).unwrap_or(STAGES[2]);
        let views = (0..count).map(|_| self.sources.view(&mut random, side)).collect::<Result<Vec<_>>>()?;
        let batch = views::batch(&views, self.shape.patch, &mut random)?;
        let words = loss::Step::draw(&mut random, self.templates)?;
        let tokens = self.tokenizer.encode_batch(&words.texts)?;
        let ids = Tensor::f_from_slice(&tokens.ids)?.f_reshape([tokens.rows as i64, tokens.columns as i64])?;

        let (image, text) = towers(&task.tensors, &self.shape)?;
        let features = image.forward(&batch.images.f_to_kind(Kind::BFloat16)?)?;
        let queries = text.forward(&ids)?;
        let [dense, global] = words.loss(&batch, &features.patches, &features.cls, &queries)?;
        dense.f_mul_scalar(self.plan.dense)?.f_add(&global)?.f_backward()?;
        let gradient = layout.gradient(&task.tensors)?;
        let number = |x: &Tensor| Ok::<_, Error>(f64::try_from(x.f_detach()?)?);
        Ok(Report { gradient, dense: number(&dense)?, global: number(&global)?, views: count })
    }
}

/// Writes the averaged weights in float16, and everything to go on from.
pub fn write_checkpoint(folder: &Path, step: usize, parameters: &Parameters, optimiser: &AdamW) -> Result<()> {
    parameters.with_values(optimiser.average.shallow_clone()).write(&folder.join(files::CLIP), Kind::Half)?;
    parameters.write(&folder.join(LAST), Kind::Float)?;
    let mut state = optimiser.state();
    state.push(("done", Tensor::from_slice(&[step as i64])));
    Ok(Tensor::write_safetensors(&state, folder.join(OPTIMISER))?)
}

/// What [`write_checkpoint`] wrote: weights, optimiser, steps done.
pub fn read_checkpoint(folder: &Path) -> Result<(Parameters, AdamW, usize)> {
    let parameters = Parameters::read(&folder.join(LAST))?;
    let mut optimiser = AdamW::new(&parameters)?;
    let path = folder.join(OPTIMISER);
    let state = Tensor::read_safetensors(&path).input(|| format!("cannot read {}", path.display()))?;
    let state: Tensors = state.into_iter().collect();
    optimiser.restore(&state)?;
    let done = state.get("done").ok_or_else(|| Error::input(format!("{} counts no steps", path.display())))?;
    Ok((parameters, optimiser, i64::try_from(done.f_reshape([] as [i64; 0])?)? as usize))
}
