//! The training: a convolutional image tower and a text tower, from nothing but pictures with labels and words.
//!
//! Two workers (one for each core) draw views, run the network in bfloat16 and send gradients; the weights, in float32, are
//! moved here. Views grow with the training: from small ones, of which many go by in a minute, to half the window. The image tower has
//! batch norms in training; [`settle`] measures their statistics and makes them part of the convolutions.

use std::collections::BTreeMap;
use std::sync::Mutex;

use segearth::error::{Error, Result};
use segearth::model::text::Tokenizer;
use segearth::network::convolutional::{self, BLOCKS, ConvolutionalTower, Layers, NORM_EPSILON, STAGES, STRIDE};
use segearth::network::{Tensors, TextTower, TowerOptions};
use segearth::train::parameters::{AdamW, Parameters};
use segearth::train::random::Random;
use segearth_checkpoint::Activation;
use tch::{Device, Kind, Tensor};

use super::engine::{self, Losses, Plan, Progress, Task};
use super::initial::Shape;
use super::loss;
use super::views::{self, TrainingData};

/// How the shipped model is trained.
pub fn plan() -> Plan {
    Plan {
        steps: 6000,
        grow: [2000, 4200],
        descent: 2000,
        rate: 1.5e-3,
        warm_up: 200,
        decay: 0.1,
        average: 0.998,
        workers: 2,
        seed: 1,
    }
}

/// Side of the views and views for each worker.
const SIDES: [(usize, usize); 3] = [(64, 36), (96, 18), (128, 12)];
/// Channels at a quarter, an eighth and a sixteenth of the picture's side.
const WIDTHS: [i64; STAGES] = [64, 128, 256];
const STEM: i64 = 32;
/// Channels of the maps that join the stages, at a quarter and an eighth.
const MAPS: [i64; 2] = [96, 128];

/// Weight of the loss in jobs.
const JOB_WEIGHT: f64 = 2.0;

/// The towers that weights without norms make.
pub fn towers(tensors: &Tensors, shape: &Shape) -> Result<(ConvolutionalTower, TextTower)> {
    let options = TowerOptions { layers: shape.text_layers, heads: shape.text_heads, activation: Activation::Gelu };
    Ok((ConvolutionalTower::load(tensors)?, TextTower::load(tensors, options)?))
}

/// First weights of the image tower.
pub fn initial(shape: &Shape, random: &mut Random) -> Result<Tensors> {
    let mut tensors = Tensors::new();
    let mut conv = |name: &str, out: i64, inputs: i64, side: i64, norm: bool| -> Result<()> {
        let count = out * inputs * side * side;
        let deviation = ((if norm { 2.0 } else { 1.0 }) / (inputs * side * side) as f32).sqrt();
        let values: Vec<f32> = (0..count).map(|_| deviation * random.normal()).collect();
        let weight = Tensor::f_from_slice(&values)?.f_reshape([out, inputs, side, side])?;
        tensors.insert(format!("visual.{name}.weight"), weight);
        let parts: &[(&str, f64)] = if norm { &[("scale", 1.0), ("shift", 0.0)] } else { &[("bias", 0.0)] };
        for (part, value) in parts {
            let values = Tensor::f_full([out], *value, (Kind::Float, Device::Cpu))?;
            tensors.insert(format!("visual.{name}.{part}"), values);
        }
        Ok(())
    };
    conv("stem.0", STEM, 3, 3, true)?;
    conv("stem.1", WIDTHS[0], STEM, 3, true)?;
    let mut inputs = WIDTHS[0];
    for (stage, width) in WIDTHS.into_iter().enumerate() {
        for block in 0..BLOCKS {
            conv(&format!("stage.{stage}.{block}.0"), width, inputs, 3, true)?;
            conv(&format!("stage.{stage}.{block}.1"), width, width, 3, true)?;
            if inputs != width {
                conv(&format!("stage.{stage}.{block}.skip"), width, inputs, 1, true)?;
            }
            inputs = width;
        }
    }
    conv("top.1", MAPS[1], WIDTHS[2], 1, true)?;
    conv("lateral.1", MAPS[1], WIDTHS[1], 1, true)?;
    conv("map.1", MAPS[1], MAPS[1], 3, true)?;
    conv("top.0", MAPS[0], MAPS[1], 1, true)?;
    conv("lateral.0", MAPS[0], WIDTHS[0], 1, true)?;
    conv("map.0", MAPS[0], MAPS[0], 3, true)?;
    conv("cells", shape.joint as i64, MAPS[0], 1, false)?;
    conv("image", shape.joint as i64, WIDTHS[2], 1, false)?;
    Ok(tensors)
}

/// How the norms come by their statistics.
enum Norms {
    /// The batch's own.
    Batch,
    /// The batch's own, which are kept: sums of means and variances by name.
    Gather(Mutex<BTreeMap<String, [Tensor; 2]>>),
}

/// The image tower in training.
struct Normed<'a> {
    tensors: &'a Tensors,
    norms: Norms,
}

impl Normed<'_> {
    fn get(&self, name: &str) -> Result<&Tensor> {
        let name = format!("{}{name}", convolutional::PREFIX);
        self.tensors.get(&name).ok_or_else(|| Error::internal(format!("the image tower has no weight `{name}`")))
    }
}

impl Layers for Normed<'_> {
    type Error = Error;

    fn conv(&self, x: &Tensor, name: &str, stride: i64) -> Result<Tensor> {
        let weight = self.get(&format!("{name}.weight"))?;
        let padding = weight.size4()?.2 / 2;
        let bias = self.get(&format!("{name}.bias")).ok();
        let x = x.f_conv2d(weight, bias, [stride; 2], [padding; 2], [1, 1], 1)?;
        if bias.is_some() {
            return Ok(x);
        }
        // Norms are float32 even where all else is bfloat16.
        let [scale, shift] = ["scale", "shift"].map(|part| self.get(&format!("{name}.{part}")));
        let (scale, shift) = (scale?.f_to_kind(Kind::Float)?, shift?.f_to_kind(Kind::Float)?);
        if let Norms::Gather(sums) = &self.norms {
            let values = x.f_to_kind(Kind::Float)?;
            let dims = Some(&[0i64, 2, 3][..]);
            let mean = values.f_mean_dim(dims, false, Kind::Float)?;
            let variance = values.f_var_dim(dims, true, false)?;
            let mut sums = sums.lock().map_err(|_| Error::internal("statistics are locked"))?;
            let sum = match sums.remove(name) {
                Some([means, variances]) => [means.f_add(&mean)?, variances.f_add(&variance)?],
                None => [mean, variance],
            };
            sums.insert(name.to_owned(), sum);
        }
        let none = None::<&Tensor>;
        Ok(x.f_batch_norm(Some(&scale), Some(&shift), none, none, true, 0.0, NORM_EPSILON, false)?)
    }

    fn has(&self, name: &str) -> bool {
        self.get(&format!("{name}.weight")).is_ok()
    }
}

/// Batches whose statistics the norms keep.
const STATISTICS: usize = 30;

/// The weights without norms: their statistics are measured on views of the larger sizes, and they become part of the convolutions
/// before them. The text tower stays as it is.
pub fn settle(tensors: &Tensors, sources: &TrainingData, seed: u64) -> Result<Tensors> {
    let _plain = tch::no_grad_guard();
    let network = Normed { tensors, norms: Norms::Gather(Mutex::default()) };
    for number in 0..STATISTICS {
        let mut random = Random::new(seed).fork(number as u64);
        let (side, _) = SIDES[1 + number % 2];
        let views = (0..16).map(|_| sources.view(&mut random, side)).collect::<Result<Vec<_>>>()?;
        convolutional::forward(&network, &views::batch(&views, STRIDE as usize, &mut random)?.images)?;
    }
    let Norms::Gather(sums) = network.norms else { return Err(Error::internal("no statistics")) };
    let sums = sums.into_inner().map_err(|_| Error::internal("statistics are locked"))?;
    let mut settled = Tensors::new();
    for (name, tensor) in tensors {
        if [".scale", ".shift"].iter().any(|part| name.ends_with(part)) {
            continue;
        }
        let bare = name.strip_prefix(convolutional::PREFIX).and_then(|name| name.strip_suffix(".weight"));
        let Some((bare, [means, variances])) = bare.and_then(|bare| Some((bare, sums.get(bare)?))) else {
            settled.insert(name.clone(), tensor.shallow_clone());
            continue;
        };
        let part = |part: &str| {
            let name = format!("{}{bare}.{part}", convolutional::PREFIX);
            tensors.get(&name).ok_or_else(|| Error::internal(format!("no weight `{name}`")))
        };
        let (mean, variance) = (means.f_div_scalar(STATISTICS as f64)?, variances.f_div_scalar(STATISTICS as f64)?);
        let (weight, bias) = convolutional::fold(tensor, [part("scale")?, part("shift")?, &mean, &variance])?;
        settled.insert(name.clone(), weight);
        settled.insert(format!("{}{bare}.bias", convolutional::PREFIX), bias);
    }
    Ok(settled)
}

/// Everything that a run needs to know.
#[derive(Debug)]
pub struct Run<'a> {
    pub shape: Shape,
    pub plan: Plan,
    pub sources: &'a TrainingData,
    pub tokenizer: &'a Tokenizer,
    pub templates: &'a [String],
}

impl Run<'_> {
    /// Trains from step `first` on; see [`engine::train`]. Parts of the loss: cells, pictures, names, cells in jobs.
    pub fn train(
        &self,
        parameters: &mut Parameters,
        optimiser: &mut AdamW,
        first: usize,
        watch: impl FnMut(Progress, &Parameters, &AdamW) -> Result<bool>,
    ) -> Result<()> {
        engine::train(&self.plan, parameters, optimiser, first, |task| self.work(task), watch)
    }

    fn work(&self, task: &Task) -> Result<Losses> {
        let mut random = self.plan.random(task.step, task.worker);
        let (side, count) = SIDES[self.plan.stage(task.step)];
        let views = (0..count).map(|_| self.sources.view(&mut random, side)).collect::<Result<Vec<_>>>()?;
        let batch = views::batch(&views, STRIDE as usize, &mut random)?;
        let words = loss::TrainingBatch::draw(&mut random, self.templates)?;
        let tokens = self.tokenizer.encode_batch(&words.texts)?;
        let ids = Tensor::f_from_slice(&tokens.ids)?.f_reshape([tokens.rows as i64, tokens.columns as i64])?;

        let options =
            TowerOptions { layers: self.shape.text_layers, heads: self.shape.text_heads, activation: Activation::Gelu };
        let text = TextTower::load(&task.tensors, options)?;
        let image = Normed { tensors: &task.tensors, norms: Norms::Batch };
        let features = convolutional::forward(&image, &batch.images.f_to_kind(Kind::BFloat16)?)?;
        let queries = text.forward(&ids)?;
        let [dense, global, zero_shot, jobs] = words.loss(&batch, &features.patches, &features.cls, &queries)?;
        let pictures = global.f_add(&zero_shot)?.f_mul_scalar(0.7)?;
        dense.f_mul_scalar(0.5)?.f_add(&pictures)?.f_add(&jobs.f_mul_scalar(JOB_WEIGHT)?)?.f_backward()?;
        let number = |x: &Tensor| Ok::<_, Error>(f64::try_from(x.f_detach()?)?);
        Ok(Losses { parts: [number(&dense)?, number(&global)?, number(&zero_shot)?, number(&jobs)?], views: count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Picture, Truth};
    use crate::views::Pictures;
    use segearth::train::pyramid::{Pyramid, Raster};

    fn picture(value: u8, truth: Truth) -> Picture {
        let rgb = (0..64 * 64 * 3).map(|at| value.wrapping_add((at * 7 % 31) as u8)).collect();
        Picture { pyramid: Pyramid::new(Raster { width: 64, height: 64, rgb }), truth, gsd: 0.3 }
    }

    #[test]
    fn a_folded_convolution_computes_what_the_norm_did() {
        let random = |size: &[i64]| Tensor::randn(size, (Kind::Float, Device::Cpu));
        let (x, weight) = (random(&[2, 3, 8, 8]), random(&[5, 3, 3, 3]));
        let [scale, shift, mean] = [0; 3].map(|_| random(&[5]));
        let variance = random(&[5]).square() + 0.1;
        let normed = x.conv2d(&weight, None::<&Tensor>, [1, 1], [1, 1], [1, 1], 1).batch_norm(
            Some(&scale),
            Some(&shift),
            Some(&mean),
            Some(&variance),
            false,
            0.0,
            NORM_EPSILON,
            false,
        );
        let (weight, bias) = convolutional::fold(&weight, [&scale, &shift, &mean, &variance]).unwrap();
        let folded = x.conv2d(&weight, Some(&bias), [1, 1], [1, 1], [1, 1], 1);
        assert!(f64::try_from((normed - folded).abs().max()).unwrap() < 1e-3);
    }

    #[test]
    fn settled_weights_take_any_size() {
        let shape = Shape::default();
        let tensors = initial(&shape, &mut Random::new(1)).unwrap();
        let merced = (0..21).map(|label| picture(label * 10, Truth::Picture(label))).collect();
        let dubai = vec![picture(90, Truth::Pixels(vec![22; 64 * 64]))];
        let sources = TrainingData::new(Pictures { merced, dubai, ..Default::default() });
        let tower = ConvolutionalTower::load(&settle(&tensors, &sources, 1).unwrap()).unwrap();

        for (height, width) in [(64, 96), (36, 20), (4, 8)] {
            let features = tower.forward(&Tensor::randn([2, 3, height, width], (Kind::Float, Device::Cpu))).unwrap();
            assert_eq!(features.patches.size(), [2, height / 4 * width / 4, shape.joint as i64]);
            assert_eq!(features.grid.size(), [2, 1, height / 4, width / 4]);
            assert_eq!(features.cls.size(), [2, shape.joint as i64]);
        }
    }
}
