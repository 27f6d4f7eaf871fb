//! The teacher: a small residual convolutional network for whole pictures and for patches.
//!
//! A transformer that starts from nothing needs more pictures than there are; a convolutional network knows beforehand
//! that what is near belongs together, and learns the same pictures faster. It is trained on the very same views and
//! labels, and then shows the CLIP what to make of each view: soft labels for the picture and for every patch, and
//! features on the patches' own grid for the tower's middle layer to resemble.

use segearth::error::{Error, Result};
use segearth::network::Tensors;
use segearth::train::parameters::{AdamW, Parameters};
use segearth::train::random::Random;
use tch::{Kind, TchError, Tensor};

use super::engine::{self, Aim, Losses, Plan, Progress, Task};
use super::views::{self, TrainingData};
use super::words::LABELS;

/// Channels at a quarter, an eighth (the patches' grid) and a sixteenth of the picture's side.
const WIDTHS: [i64; 3] = [64, 128, 256];
const STEM: i64 = 32;
/// Residual blocks at each of them.
const BLOCKS: usize = 2;
/// Channels of the features that the student imitates.
pub const FEATURES: i64 = WIDTHS[1];
/// Cells of the grid are so many pixels wide: as many as the student's patches.
pub const STRIDE: usize = 8;
/// Views for each worker, by the sides of [`engine::Plan::stage`].
const STAGES: [(usize, usize); 3] = [(64, 40), (96, 24), (128, 16)];
const SMOOTHING: f64 = 0.05;

/// How the shipped teacher is trained.
pub fn plan() -> Plan {
    Plan {
        steps: 3400,
        grow: [1500, 3000],
        turn: usize::MAX,
        descent: 1150,
        rate: 2e-3,
        warm_up: 100,
        decay: 0.1,
        average: 0.99,
        workers: 2,
        seed: 7,
    }
}

/// First weights.
pub fn initial(random: &mut Random) -> Result<Tensors> {
    let mut tensors = Tensors::new();
    let mut conv = |name: &str, out: i64, inputs: i64, side: i64| -> Result<()> {
        let count = out * inputs * side * side;
        let deviation = (2.0 / (inputs * side * side) as f32).sqrt();
        let values: Vec<f32> = (0..count).map(|_| deviation * random.normal()).collect();
        let weight = Tensor::f_from_slice(&values)?.f_reshape([out, inputs, side, side])?;
        tensors.insert(format!("{name}.weight"), weight);
        for (part, value) in [("scale", 1.0), ("shift", 0.0)] {
            let scale = Tensor::f_full([out], value, (Kind::Float, tch::Device::Cpu))?;
            tensors.insert(format!("{name}.{part}"), scale);
        }
        Ok(())
    };
    conv("stem.0", STEM, 3, 3)?;
    conv("stem.1", WIDTHS[0], STEM, 3)?;
    let mut inputs = WIDTHS[0];
    for (stage, width) in WIDTHS.into_iter().enumerate() {
        for block in 0..BLOCKS {
            conv(&format!("stage.{stage}.{block}.0"), width, inputs, 3)?;
            conv(&format!("stage.{stage}.{block}.1"), width, width, 3)?;
            if inputs != width {
                conv(&format!("stage.{stage}.{block}.skip"), width, inputs, 1)?;
            }
            inputs = width;
        }
    }
    conv("lateral", FEATURES, WIDTHS[1], 1)?;
    conv("top", FEATURES, WIDTHS[2], 1)?;
    conv("map", FEATURES, FEATURES, 3)?;
    for (head, width) in [("picture", WIDTHS[2]), ("patch", FEATURES)] {
        let values: Vec<f32> = (0..LABELS.len() as i64 * width).map(|_| 0.02 * random.normal()).collect();
        let weight = Tensor::f_from_slice(&values)?.f_reshape([LABELS.len() as i64, width])?;
        tensors.insert(format!("{head}.weight"), weight);
        let bias = Tensor::f_zeros([LABELS.len() as i64], (Kind::Float, tch::Device::Cpu))?;
        tensors.insert(format!("{head}.bias"), bias);
    }
    Ok(tensors)
}

/// How the norms come by their statistics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Norms {
    /// The batch's own.
    Batch,
    /// The batch's own, which move the kept ones by this share.
    Gather(f64),
    /// Those that were kept.
    Kept,
}

/// What it says of a batch of views.
#[derive(Debug)]
pub struct TeacherOutput {
    /// Logits over [`LABELS`], (batch, label).
    pub pictures: Tensor,
    /// Logits over [`LABELS`], (batch, cell, label), cells row by row.
    pub patches: Tensor,
    /// (batch, cell, [`FEATURES`])
    pub features: Tensor,
}

#[derive(Debug)]
struct Network<'a> {
    tensors: &'a Tensors,
    norms: Norms,
}

impl Network<'_> {
    fn get(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).ok_or_else(|| Error::internal(format!("the teacher has no weight `{name}`")))
    }

    fn conv(&self, x: &Tensor, name: &str, stride: i64) -> Result<Tensor> {
        let weight = self.get(&format!("{name}.weight"))?;
        let padding = weight.size4()?.2 / 2;
        let x = x.f_conv2d(weight, None::<&Tensor>, [stride; 2], [padding; 2], [1, 1], 1)?;
        // Norms are float32 even where all else is bfloat16.
        let [scale, shift] = ["scale", "shift"].map(|part| self.get(&format!("{name}.{part}")));
        let (scale, shift) = (scale?.f_to_kind(Kind::Float)?, shift?.f_to_kind(Kind::Float)?);
        let kept = match self.norms {
            Norms::Batch => None,
            _ => Some((self.get(&format!("{name}.mean"))?, self.get(&format!("{name}.variance"))?)),
        };
        let momentum = if let Norms::Gather(share) = self.norms { share } else { 0.0 };
        let (mean, variance) = kept.unzip();
        let training = self.norms != Norms::Kept;
        Ok(x.f_batch_norm(Some(&scale), Some(&shift), mean, variance, training, momentum, 1e-5, false)?)
    }

    fn block(&self, x: &Tensor, name: &str, stride: i64) -> Result<Tensor> {
        let inside = self.conv(x, &format!("{name}.0"), stride)?.f_relu()?;
        let inside = self.conv(&inside, &format!("{name}.1"), 1)?;
        let skip = format!("{name}.skip");
        let outside = match self.tensors.contains_key(&format!("{skip}.weight")) {
            // The mean of what a stride leaves out, not a quarter of it.
            true if stride == 2 => self.conv(&x.f_avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None)?, &skip, 1)?,
            true => self.conv(x, &skip, 1)?,
            false => x.shallow_clone(),
        };
        Ok(inside.f_add(&outside)?.f_relu()?)
    }

    fn head(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let (weight, bias) = (self.get(&format!("{name}.weight"))?, self.get(&format!("{name}.bias"))?);
        Ok(x.f_linear(weight, Some(bias))?.f_to_kind(Kind::Float)?)
    }

    fn forward(&self, images: &Tensor) -> Result<TeacherOutput> {
        // Channels last in memory: what the convolutions of a CPU are fast with.
        let x = images.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?;
        let x = self.conv(&x, "stem.0", 2)?.f_relu()?;
        let mut x = self.conv(&x, "stem.1", 2)?.f_relu()?;
        let mut maps = Vec::new();
        for stage in 0..WIDTHS.len() {
            for block in 0..BLOCKS {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                x = self.block(&x, &format!("stage.{stage}.{block}"), stride)?;
            }
            maps.push(x.shallow_clone());
        }
        let (fine, coarse) = (&maps[1], &maps[2]);
        let (_, _, rows, cols) = fine.size4()?;
        let top = self.conv(coarse, "top", 1)?.f_upsample_nearest2d([rows, cols], None, None)?;
        let map = self.conv(fine, "lateral", 1)?.f_add(&top)?.f_relu()?;
        let map = self.conv(&map, "map", 1)?;
        let features = map.f_flatten(2, 3)?.f_transpose(1, 2)?;
        let pooled = coarse.f_mean_dim(Some(&[2i64, 3][..]), false, coarse.kind())?;
        Ok(TeacherOutput {
            pictures: self.head(&pooled, "picture")?,
            patches: self.head(&features.f_relu()?, "patch")?,
            features,
        })
    }
}

/// Trains from step `first` on; see [`engine::train`]. Parts of the loss: patches, pictures.
pub fn train(
    plan: &Plan,
    sources: &TrainingData,
    parameters: &mut Parameters,
    optimiser: &mut AdamW,
    first: usize,
    watch: impl FnMut(Progress, &Parameters, &AdamW) -> Result<bool>,
) -> Result<()> {
    let work = |task: &Task| {
        let mut random = plan.random(task.step, task.worker);
        let (side, count) = STAGES[plan.stage(task.step)];
        let views =
            (0..count).map(|_| sources.view(&mut random, side, plan.aim(task.step))).collect::<Result<Vec<_>>>()?;
        let batch = views::batch(&views, STRIDE, &mut random)?;
        let network = Network { tensors: &task.tensors, norms: Norms::Batch };
        let teacher_output = network.forward(&batch.images.f_to_kind(Kind::BFloat16)?)?;
        let patches = cross_entropy(&teacher_output.patches, &batch.shares)?;
        let pictures = cross_entropy(&teacher_output.pictures, &batch.whole)?;
        patches.f_add(&pictures)?.f_backward()?;
        let number = |x: &Tensor| Ok::<_, Error>(f64::try_from(x.f_detach()?)?);
        Ok(Losses { parts: [number(&patches)?, number(&pictures)?, 0.0, 0.0], views: count })
    };
    engine::train(plan, parameters, optimiser, first, work, watch)
}

/// Weighted mean over everything that has shares of labels.
fn cross_entropy(logits: &Tensor, shares: &Tensor) -> Result<Tensor, TchError> {
    let all = shares.f_sum(Kind::Float)?.f_clamp_min(1e-6)?;
    let each = shares.f_sum_dim_intlist(Some(&[-1i64][..]), true, Kind::Float)?;
    let smooth = each.f_mul_scalar(SMOOTHING / LABELS.len() as f64)?;
    let target = shares.f_mul_scalar(1.0 - SMOOTHING)?.f_add(&smooth)?;
    logits.f_log_softmax(-1, Kind::Float)?.f_mul(&target)?.f_sum(Kind::Float)?.f_neg()?.f_div(&all)
}

/// A trained teacher.
#[derive(Debug)]
pub struct Teacher {
    tensors: Tensors,
}

impl Teacher {
    /// Measures the norms' statistics for these weights, by views of all sizes, and keeps them with the weights.
    pub fn settle(mut tensors: Tensors, sources: &TrainingData, seed: u64) -> Result<Self> {
        let _plain = tch::no_grad_guard();
        let names: Vec<String> = tensors.keys().filter_map(|name| Some(name.strip_suffix(".scale")?.into())).collect();
        for name in names {
            let size = tensors[&format!("{name}.scale")].size();
            for (part, value) in [("mean", 0.0), ("variance", 1.0)] {
                let kept = Tensor::f_full(&size, value, (Kind::Float, tch::Device::Cpu))?;
                tensors.insert(format!("{name}.{part}"), kept);
            }
        }
        const BATCHES: usize = 40;
        for number in 0..BATCHES {
            let mut random = Random::new(seed).fork(number as u64);
            let (side, _) = STAGES[1 + number % 2];
            let views = (0..24).map(|_| sources.view(&mut random, side, Aim::Pictures)).collect::<Result<Vec<_>>>()?;
            let images = views::batch(&views, STRIDE, &mut random)?.images;
            Network { tensors: &tensors, norms: Norms::Gather(1.0 / (number + 1) as f64) }.forward(&images)?;
        }
        Ok(Self { tensors })
    }

    pub fn from_tensors(tensors: Tensors) -> Self {
        Self { tensors }
    }

    pub fn tensors(&self) -> &Tensors {
        &self.tensors
    }

    /// The same in another kind; statistics stay in float32.
    pub fn to_kind(&self, kind: Kind) -> Result<Self> {
        let kept = |name: &str| name.ends_with(".mean") || name.ends_with(".variance");
        let tensors = self
            .tensors
            .iter()
            .map(|(name, tensor)| Ok((name.clone(), tensor.f_to_kind(if kept(name) { Kind::Float } else { kind })?)));
        Ok(Self { tensors: tensors.collect::<Result<_>>()? })
    }

    /// `images`: normalised, (batch, 3, side, side), sides multiples of 16, in the weights' kind.
    pub fn teacher_output(&self, images: &Tensor) -> Result<TeacherOutput> {
        let _plain = tch::no_grad_guard();
        Network { tensors: &self.tensors, norms: Norms::Kept }.forward(images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Picture, Truth};
    use segearth::train::pyramid::{Pyramid, Raster};

    fn picture(value: u8, label: u8) -> Picture {
        let raster = Raster { width: 64, height: 64, rgb: vec![value; 64 * 64 * 3] };
        Picture { pyramid: Pyramid::new(raster), truth: Truth::Picture(label) }
    }

    #[test]
    fn an_opinion_has_a_cell_for_each_patch_and_stays_the_same_for_one_and_many() {
        let tensors = initial(&mut Random::new(1)).unwrap();
        let merced = (0..21).map(|label| picture(label * 10, label)).collect();
        let dubai = vec![Picture { truth: Truth::Pixels(vec![22; 64 * 64]), ..picture(90, 0) }];
        let teacher = Teacher::settle(tensors, &TrainingData::new(merced, dubai, Vec::new()), 1).unwrap();
        let images = Tensor::randn([2, 3, 64, 96], (Kind::Float, tch::Device::Cpu));
        let both = teacher.teacher_output(&images).unwrap();
        assert_eq!(both.pictures.size(), [2, LABELS.len() as i64]);
        assert_eq!(both.patches.size(), [2, 8 * 12, LABELS.len() as i64]);
        assert_eq!(both.features.size(), [2, 8 * 12, FEATURES]);
        let one = teacher.teacher_output(&images.narrow(0, 1, 1)).unwrap();
        let apart = f64::try_from((one.patches - both.patches.narrow(0, 1, 1)).abs().max()).unwrap();
        assert!(apart < 1e-3, "{apart}");
    }
}
