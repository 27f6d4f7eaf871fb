//! The contrastive training of both towers, with or without a teacher.
//!
//! Two workers (one for each core) draw views, run the network in bfloat16 and send gradients; the weights, in float32, are
//! moved here. Views grow with the training: from small ones, of which many go by in a minute, to the window itself.

use std::sync::Mutex;

use segearth::error::{Error, Result};
use segearth::model::text::Tokenizer;
use segearth::network::{Attention, ImageTower, Tensors, TextTower, TowerOptions};
use segearth::train::parameters::{AdamW, Parameters};
use segearth::train::random::Random;
use segearth_checkpoint::Activation;
use tch::{Kind, Tensor};

use super::engine::{self, Aim, Losses, Plan, Progress, Task};
use super::initial::Shape;
use super::loss::{self, Batch};
use super::teacher::{self, Teacher, TeacherOutput};
use super::views::{self, TrainingData};
use super::words::PICTURE_LABELS;

/// How the shipped model is trained, but for its descent, which `models/README.md` tells.
pub fn plan() -> Plan {
    Plan {
        steps: 5650,
        grow: [3000, 5200],
        turn: 4000,
        descent: 850,
        rate: 8e-4,
        warm_up: 300,
        decay: 0.1,
        average: 0.998,
        workers: 2,
        seed: 1,
    }
}

/// Side of the views and views for each worker.
const STAGES: [(usize, usize); 3] = [(64, 32), (96, 16), (128, 10)];

/// The towers that `tensors` make.
pub fn towers(tensors: &Tensors, shape: &Shape) -> Result<(ImageTower, TextTower)> {
    let options = |layers, heads| TowerOptions { layers, heads, activation: Activation::Gelu };
    let image = ImageTower::load(tensors, options(shape.layers, shape.heads), Attention::SegEarth, false)?;
    Ok((image, TextTower::load(tensors, options(shape.text_layers, shape.text_heads))?))
}

/// Everything that a run needs to know.
#[derive(Debug)]
pub struct Run<'a> {
    pub shape: Shape,
    pub plan: Plan,
    pub sources: &'a TrainingData,
    pub tokenizer: &'a Tokenizer,
    pub templates: &'a [String],
    /// In bfloat16, one for each worker: tensors are not shared between threads. None: without a teacher.
    pub teachers: Vec<Mutex<Teacher>>,
}

/// Names of weights that only the training uses.
pub const BESIDE: &str = "train.";
/// From the tower's tokens to the teacher's features.
const IMITATION: &str = "train.imitation.weight";
/// Blocks after which the tower's tokens are compared with the teacher's features.
const MIDDLE: usize = 3;
/// Share of the teacher's output in what a view's patches and the view are said to show.
fn trust(aim: Aim) -> [f64; 2] {
    match aim {
        Aim::Pictures => [0.3, 0.6],
        Aim::Patches => [0.8, 0.6],
    }
}

/// Weight of the teacher's output on patches of which nothing else is known, and how sure it must be.
const GUESS: (f64, f64) = (0.25, 0.6);

/// First weights of what only the training uses.
pub fn beside(shape: &Shape, random: &mut Random) -> Result<(String, Tensor)> {
    let deviation = (shape.width as f32).sqrt().recip();
    let values: Vec<f32> = (0..teacher::FEATURES * shape.width as i64).map(|_| deviation * random.normal()).collect();
    Ok((IMITATION.to_owned(), Tensor::f_from_slice(&values)?.f_reshape([teacher::FEATURES, shape.width as i64])?))
}

impl Run<'_> {
    /// Trains from step `first` on; see [`engine::train`]. Parts of the loss: patches, pictures,
    /// names, imitation.
    pub fn train(
        &self,
        parameters: &mut Parameters,
        optimiser: &mut AdamW,
        first: usize,
        watch: impl FnMut(Progress, &Parameters, &AdamW) -> Result<bool>,
    ) -> Result<()> {
        engine::train(&self.plan, parameters, optimiser, first, |task| self.work(task), watch)
    }

    fn teacher_output(&self, worker: usize, images: &Tensor) -> Result<Option<TeacherOutput>> {
        let Some(teacher) = self.teachers.get(worker) else { return Ok(None) };
        let teacher = teacher.lock().map_err(|_| Error::internal("a training worker has failed with the teacher"))?;
        teacher.teacher_output(images).map(Some)
    }

    fn work(&self, task: &Task) -> Result<Losses> {
        let mut random = self.plan.random(task.step, task.worker);
        let (side, count) = STAGES[self.plan.stage(task.step)];
        let aim = self.plan.aim(task.step);
        let views = (0..count).map(|_| self.sources.view(&mut random, side, aim)).collect::<Result<Vec<_>>>()?;
        let mut batch = views::batch(&views, self.shape.patch, &mut random)?;
        let words = loss::TrainingBatch::draw(&mut random, self.templates)?;
        let tokens = self.tokenizer.encode_batch(&words.texts)?;
        let ids = Tensor::f_from_slice(&tokens.ids)?.f_reshape([tokens.rows as i64, tokens.columns as i64])?;
        let images = batch.images.f_to_kind(Kind::BFloat16)?;
        let teacher_output = self.teacher_output(task.worker, &images)?;
        if let Some(teacher_output) = &teacher_output {
            listen(&mut batch, teacher_output, trust(aim))?;
        }

        let (image, text) = towers(&task.tensors, &self.shape)?;
        let (features, middle) = image.forward_through(&images, MIDDLE)?;
        let queries = text.forward(&ids)?;
        let [dense, global, zero_shot] = words.loss(&batch, &features.patches, &features.cls, &queries)?;
        let mut sum = dense.f_add(&global)?.f_add(&zero_shot)?;
        let number = |x: &Tensor| Ok::<_, Error>(f64::try_from(x.f_detach()?)?);
        let mut parts = [number(&dense)?, number(&global)?, number(&zero_shot)?, 0.0];
        if let (Some(teacher_output), Some(weight)) = (&teacher_output, task.tensors.get(IMITATION)) {
            let shown = teacher_output.features.f_to_kind(Kind::Float)?;
            let seen = middle.f_linear(weight, None::<&Tensor>)?.f_to_kind(Kind::Float)?;
            let apart = seen.f_sub(&shown)?.f_square()?.f_mean(Kind::Float)?;
            let apart = apart.f_div(&shown.f_square()?.f_mean(Kind::Float)?)?;
            parts[3] = number(&apart)?;
            // Its weight falls to zero by the last step.
            let left = 1.0 - task.step as f64 / self.plan.steps as f64;
            sum = sum.f_add(&apart.f_mul_scalar(left)?)?;
        }
        sum.f_backward()?;
        Ok(Losses { parts, views: count })
    }
}

/// Puts a share of the teacher's output into what the batch's patches and pictures are said to show.
fn listen(batch: &mut Batch, teacher_output: &TeacherOutput, trust: [f64; 2]) -> Result<()> {
    let total = |x: &Tensor| x.f_sum_dim_intlist(Some(&[-1i64][..]), true, Kind::Float);
    let blend = |hard: &Tensor, soft: &Tensor, share: f64| -> Result<Tensor> {
        let soft = soft.f_multiply(&total(hard)?)?;
        Ok(hard.f_mul_scalar(1.0 - share)?.f_add(&soft.f_mul_scalar(share)?)?)
    };
    let patches = teacher_output.patches.f_softmax(-1, Kind::Float)?;
    let within = patches.f_multiply(&batch.possible)?;
    let sure = total(&within)?;
    let guess = within.f_multiply(&sure.f_gt(GUESS.1)?.f_to_kind(Kind::Float)?)?;
    let guess = guess.f_multiply(&total(&batch.shares)?.f_eq(0.0)?.f_to_kind(Kind::Float)?)?;
    batch.shares = blend(&batch.shares, &patches, trust[0])?.f_add(&guess.f_mul_scalar(GUESS.0)?)?;
    let named = teacher_output.pictures.f_narrow(1, 0, PICTURE_LABELS as i64)?.f_softmax(-1, Kind::Float)?;
    batch.named = blend(&batch.named, &named, trust[1])?;
    Ok(())
}
