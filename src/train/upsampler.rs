//! SimFeatUp's training, on any CLIP: the image tower is frozen, the upsampler learns from pictures without labels.
//!
//! ```text
//!  picture ─► tower ─► patch features ─► upsampler ─► features per pixel ─► head ─► the picture again
//!     │                                                      │
//!   jitter (pad, zoom, flip)                           the same jitter
//!     │                                                      │
//!     └─► tower ─► patch features      ≈      attention downsampler ◄┘
//! ```
//!
//! Features that are right at every pixel must, moved and gathered again, be those of the moved picture; and they must
//! still know the picture, so that edges stay where they are.

use std::path::{Path, PathBuf};
use std::time::Instant;

use tch::{Device, Kind, TchError, Tensor};

use super::augment::{self, Camera};
use super::data::Picture;
use super::files;
use super::parameters::{AdamW, Parameters};
use super::random::Random;
use crate::error::{Context, Error, Result};
use crate::model::Normalisation;
use crate::network::checkpoint::UpsamplerKind;
use crate::network::{ImageTower, Tensors, Upsampler};

/// Width of the projected guidance (K) and reach of the kernel, as SimFeatUp's authors have them.
const KEY: i64 = 32;
const RADIUS: i64 = 5;
/// Names of what is trained beside the upsampler, and is of no use afterwards.
const BESIDE: &str = "train.";
/// Width inside the head that paints the picture again.
const HEAD: i64 = 32;

#[derive(Clone, Debug)]
pub struct UpsamplerPlan {
    pub steps: usize,
    pub rate: f64,
    /// Pictures in a step.
    pub batch: usize,
    /// Side of a view in pixels, a multiple of the patch.
    pub side: usize,
    /// Jittered views of each picture.
    pub jitters: usize,
    /// Weight of the picture's reconstruction.
    pub picture: f64,
    pub seed: u64,
    /// As the tower wants its images.
    pub normalisation: Normalisation,
    /// A checkpoint after every so many steps, in this folder; 0: none.
    pub every: usize,
    pub folder: Option<PathBuf>,
}

impl Default for UpsamplerPlan {
    fn default() -> Self {
        Self {
            steps: 600,
            rate: 1e-3,
            batch: 4,
            side: 96,
            jitters: 2,
            picture: 0.1,
            seed: 1,
            normalisation: Normalisation::CLIP,
            every: 50,
            folder: None,
        }
    }
}

/// After every step.
#[derive(Clone, Copy, Debug)]
pub struct UpsamplerProgress {
    pub step: usize,
    pub steps: usize,
    /// Mean of 1 − cosine and the normalised squared difference.
    pub features: f64,
    pub picture: f64,
    pub seconds: f64,
}

/// First weights of a `jbu_one` upsampler for features of `width` channels, and of what trains it.
fn initial(width: i64, patch: i64, random: &mut Random) -> Result<Tensors> {
    let mut tensors = Tensors::new();
    let taps = (2 * RADIUS + 1).pow(2);
    let mut draw = |name: &str, shape: &[i64], share: f32| -> Result<()> {
        let inputs: i64 = shape.iter().skip(1).product();
        let bound = share / (inputs.max(1) as f32).sqrt();
        let count: i64 = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|_| random.between(-bound, bound)).collect();
        tensors.insert(name.to_owned(), Tensor::f_from_slice(&values)?.f_reshape(shape)?);
        let bias = Tensor::f_zeros([shape[0]], (Kind::Float, Device::Cpu))?;
        tensors.insert(name.replace(".weight", ".bias"), bias);
        Ok(())
    };
    draw("up.range_proj.0.weight", &[KEY, 3, 1, 1], 1.0)?;
    draw("up.range_proj.3.weight", &[KEY, KEY, 1, 1], 1.0)?;
    draw("up.fixup_proj.0.weight", &[taps, taps + 3, 1, 1], 1.0)?;
    draw("up.fixup_proj.3.weight", &[taps, taps, 1, 1], 0.1)?;
    draw("fixup_proj.1.weight", &[width, width, 1, 1], 0.1)?;
    draw("train.attention.weight", &[1, width], 0.1)?;
    draw("train.head.0.weight", &[HEAD, width, 1, 1], 1.0)?;
    draw("train.head.1.weight", &[3, HEAD, 3, 3], 1.0)?;
    let mut number = |name: &str, shape: &[i64], value: f64| -> Result<()> {
        tensors.insert(name.to_owned(), Tensor::f_full(shape, value, (Kind::Float, Device::Cpu))?);
        Ok(())
    };
    number("up.range_temp", &[], 0.0)?;
    number("up.sigma_spatial", &[], 0.7)?;
    number("train.cell.scale", &[patch * patch], 1.0)?;
    number("train.cell.shift", &[patch * patch], 0.0)?;
    Ok(tensors)
}

/// The names under which `network` reads a `jbu_one`.
pub fn canonical(tensors: &Tensors) -> Tensors {
    let rename = |name: &String| name.strip_prefix("up.").map_or_else(|| name.clone(), |rest| format!("up1.{rest}"));
    tensors.iter().map(|(name, tensor)| (rename(name), tensor.shallow_clone())).collect()
}

/// Trains an upsampler for `tower`, whose joint space has `width` channels, on views of `pictures`. A run whose folder
/// holds a checkpoint goes on from it. `watch` stops the run by giving `false`. Gives the weights by their authors' names.
pub fn train(
    tower: &ImageTower,
    width: usize,
    pictures: &[Picture],
    plan: &UpsamplerPlan,
    mut watch: impl FnMut(UpsamplerProgress) -> Result<bool>,
) -> Result<Tensors> {
    let patch = tower.patch();
    if pictures.is_empty() {
        return Err(Error::input("there are no pictures to train on"));
    }
    let random = Random::new(plan.seed);
    let mut parameters = Parameters::from_tensors(&initial(width as i64, patch, &mut random.fork(u64::MAX))?)?;
    let mut optimiser = AdamW::new(&parameters)?;
    let mut first = 0;
    if let Some(checkpoint) = plan.folder.as_deref().map(checkpoint).filter(|path| path.exists()) {
        first = resume(&checkpoint, &mut parameters, &mut optimiser)?;
    }
    let start = Instant::now();
    for step in first..plan.steps {
        let mut random = random.fork(step as u64);
        let images = views(pictures, plan, &mut random)?;
        let tensors = parameters.tensors(Kind::Float, true)?;
        let [features, picture] = loss(tower, &tensors, &images, plan, &mut random)?;
        features.f_add(&picture.f_mul_scalar(plan.picture)?)?.f_backward()?;
        let gradient = parameters.gradient(&tensors)?;
        let warm = ((step + 1) as f64 / 20.0).min(1.0);
        let fall = 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / plan.steps as f64).cos());
        optimiser.step(&mut parameters, &gradient, plan.rate * warm * (0.02 + 0.98 * fall), 0.01, 0.98)?;
        let progress = UpsamplerProgress {
            step: step + 1,
            steps: plan.steps,
            features: f64::try_from(features.f_detach()?)?,
            picture: f64::try_from(picture.f_detach()?)?,
            seconds: start.elapsed().as_secs_f64(),
        };
        if let Some(folder) = plan.folder.as_deref().filter(|_| plan.every > 0 && (step + 1) % plan.every == 0) {
            keep(&checkpoint(folder), step + 1, &parameters, &optimiser)?;
        }
        if !watch(progress)? {
            break;
        }
    }
    let mut tensors = parameters.with_values(optimiser.average).tensors(Kind::Float, false)?;
    tensors.retain(|name, _| !name.starts_with(BESIDE));
    Ok(tensors)
}

fn views(pictures: &[Picture], plan: &UpsamplerPlan, random: &mut Random) -> Result<Tensor> {
    let side = plan.side;
    let Normalisation { mean, std } = plan.normalisation;
    let mut values = Vec::with_capacity(plan.batch * 3 * side * side);
    for _ in 0..plan.batch {
        let picture = random.pick(pictures).ok_or_else(|| Error::internal("no pictures"))?;
        let full = picture.full();
        let centre = [full.width, full.height].map(|size| size as f32 * random.between(0.15, 0.85));
        let scale = random.log_between(0.6, 2.0);
        let view = augment::look(picture, Camera::random(random, centre, scale), side);
        for (channel, pixels) in view.pixels.chunks_exact(side * side).enumerate() {
            values.extend(pixels.iter().map(|value| (value - mean[channel]) / std[channel]));
        }
    }
    Ok(Tensor::f_from_slice(&values)?.f_reshape([plan.batch as i64, 3, side as i64, side as i64])?)
}

/// The features' and the picture's loss.
fn loss(
    tower: &ImageTower,
    tensors: &Tensors,
    images: &Tensor,
    plan: &UpsamplerPlan,
    random: &mut Random,
) -> Result<[Tensor; 2]> {
    let frozen = |images: &Tensor| {
        let _plain = tch::no_grad_guard();
        tower.forward(images)
    };
    let upsampler = Upsampler::load(&canonical(tensors), UpsamplerKind::JbuOne, tower.patch())?;
    let here = frozen(images)?;
    // Features of about unit length, whatever the tower's are.
    let spread = here.patches.f_square()?.f_mean(Kind::Float)?.f_sqrt()?;
    let features = upsampler.features(&here.patches.f_div(&spread)?, &here.grid, images)?;
    let side = plan.side as i64;
    // Patches that are no power of two end on a grid of their own.
    let features = match features.size4()?.2 == side {
        true => features,
        false => features.f_upsample_bilinear2d([side; 2], false, None, None)?,
    };
    let painted = features.f_conv2d(
        &get(tensors, "train.head.0.weight")?,
        Some(get(tensors, "train.head.0.bias")?),
        [1, 1],
        [0, 0],
        [1, 1],
        1,
    )?;
    let painted = painted.f_gelu("none")?.f_conv2d(
        &get(tensors, "train.head.1.weight")?,
        Some(get(tensors, "train.head.1.bias")?),
        [1, 1],
        [1, 1],
        [1, 1],
        1,
    )?;
    let picture = painted.f_sub(images)?.f_square()?.f_mean(Kind::Float)?;
    let mut sum: Option<Tensor> = None;
    for _ in 0..plan.jitters {
        let jitter = Jitter::draw(random, plan.side as i64, tower.patch());
        let moved = frozen(&jitter.apply(images)?)?.patches.f_div(&spread)?;
        let gathered = gather(tensors, &jitter.apply(&features)?, tower.patch())?;
        let product = gathered.f_mul(&moved)?.f_sum_dim_intlist(Some(&[-1i64][..]), false, Kind::Float)?;
        let length = |x: &Tensor| x.f_linalg_norm(2.0, Some(&[-1i64][..]), false, None)?.f_clamp_min(1e-6);
        let cosine = product.f_div(&length(&gathered)?)?.f_div(&length(&moved)?)?.f_mean(Kind::Float)?;
        let square = gathered.f_sub(&moved)?.f_square()?.f_mean(Kind::Float)?;
        let loss = square.f_sub(&cosine)?.f_add_scalar(1.0)?.f_div_scalar(2.0 * plan.jitters as f64)?;
        sum = Some(match sum {
            Some(sum) => sum.f_add(&loss)?,
            None => loss,
        });
    }
    Ok([sum.ok_or_else(|| Error::internal("no jitters"))?, picture])
}

/// The learned downsampler: each patch is a mean of its pixels' features, weighted by what they show and where they are.
fn gather(tensors: &Tensors, features: &Tensor, patch: i64) -> Result<Tensor> {
    // (batch, channel, patch row, patch column, cell)
    let cells = features.f_unfold(2, patch, patch)?.f_unfold(3, patch, patch)?.f_flatten(4, 5)?;
    let cells = cells.f_flatten(2, 3)?.f_permute([0, 2, 3, 1])?; // (batch, patch, cell, channel)
    let weight = get(tensors, "train.attention.weight")?.f_transpose(0, 1)?;
    let shown = cells.f_matmul(&weight)?.f_squeeze_dim(3)?.f_add(&get(tensors, "train.attention.bias")?)?;
    let shares = shown.f_mul(&get(tensors, "train.cell.scale")?)?.f_add(&get(tensors, "train.cell.shift")?)?;
    let shares = shares.f_softmax(-1, Kind::Float)?.f_unsqueeze(2)?;
    Ok(shares.f_matmul(&cells)?.f_squeeze_dim(2)?)
}

fn get(tensors: &Tensors, name: &str) -> Result<Tensor> {
    tensors.get(name).map(Tensor::shallow_clone).ok_or_else(|| Error::internal(format!("no weight `{name}`")))
}

/// The same small movement for pictures and features: padding by reflection, a zoom, a flip.
#[derive(Clone, Copy, Debug)]
struct Jitter {
    pad: i64,
    left: i64,
    top: i64,
    /// Side of what is cut out, before it is brought back to `side`.
    cut: i64,
    side: i64,
    flip: bool,
}

impl Jitter {
    fn draw(random: &mut Random, side: i64, patch: i64) -> Self {
        let pad = patch;
        let zoom = if random.chance(0.5) { 1.0 } else { random.between(1.0, 1.7) };
        let cut = ((side as f32 / zoom) as i64).clamp(2 * patch, side);
        let room = (side + 2 * pad - cut + 1) as usize;
        Self {
            pad,
            left: random.below(room) as i64,
            top: random.below(room) as i64,
            cut,
            side,
            flip: random.chance(0.5),
        }
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let x =
            x.f_reflection_pad2d([self.pad; 4])?.f_narrow(2, self.top, self.cut)?.f_narrow(3, self.left, self.cut)?;
        let x = match self.cut == self.side {
            true => x,
            false => x.f_upsample_bilinear2d([self.side; 2], false, None, None)?,
        };
        if self.flip { x.f_flip([3]) } else { Ok(x) }
    }
}

fn checkpoint(folder: &Path) -> PathBuf {
    folder.join("upsampler-checkpoint.safetensors")
}

fn keep(path: &Path, step: usize, parameters: &Parameters, optimiser: &AdamW) -> Result<()> {
    let mut state = optimiser.state();
    state.push(("values", parameters.values.shallow_clone()));
    state.push(("done", Tensor::from_slice(&[step as i64])));
    let state: Vec<(String, Tensor)> = state.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect();
    files::replace(path, &state)
}

fn resume(path: &Path, parameters: &mut Parameters, optimiser: &mut AdamW) -> Result<usize> {
    let state = Tensor::read_safetensors(path)
        .map_err(Error::from)
        .input(|| format!("cannot go on from the checkpoint {}", path.display()));
    let state: Tensors = state.map_err(|error| error.with_hint("Remove it to begin anew."))?.into_iter().collect();
    let values = get(&state, "values")?;
    if values.size() != parameters.values.size() {
        return Err(Error::input(format!("the checkpoint {} is of another model", path.display()))
            .with_hint("Remove it, or give another output folder."));
    }
    parameters.values = values;
    optimiser.restore(&state)?;
    Ok(i64::try_from(get(&state, "done")?.f_reshape([] as [i64; 0])?)? as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::clip;
    use crate::train::data::{Raster, Truth, pyramid};
    use crate::train::initial::{self, Shape};

    #[test]
    fn a_training_that_was_stopped_ends_as_if_it_had_not_been() {
        let shape =
            Shape { width: 64, layers: 2, heads: 1, joint: 16, vocabulary: 8, text_layers: 1, ..Shape::default() };
        let tensors = initial::initial(&shape, &mut Random::new(1)).unwrap();
        let (tower, _) = clip::towers(&tensors, &shape).unwrap();
        let rgb = (0..80 * 80 * 3).map(|at| (at * at % 251) as u8).collect();
        let levels = pyramid(Raster { width: 80, height: 80, rgb });
        let pictures = [Picture { path: Default::default(), levels, truth: Truth::Unknown }];
        let folder = tempfile::tempdir().unwrap();
        let plan = UpsamplerPlan {
            steps: 3,
            batch: 1,
            side: 48,
            every: 1,
            folder: Some(folder.path().join("stopped")),
            ..UpsamplerPlan::default()
        };
        std::fs::create_dir(folder.path().join("stopped")).unwrap();
        let whole =
            train(&tower, shape.joint, &pictures, &UpsamplerPlan { folder: None, ..plan.clone() }, |_| Ok(true))
                .unwrap();
        train(&tower, shape.joint, &pictures, &plan, |progress| Ok(progress.step < 2)).unwrap();
        let mut steps = Vec::new();
        let resumed = train(&tower, shape.joint, &pictures, &plan, |progress| {
            steps.push(progress.step);
            Ok(true)
        });
        assert_eq!(steps, [3]);
        let resumed = resumed.unwrap();
        for (name, tensor) in &whole {
            let apart = f64::try_from((tensor - &resumed[name]).abs().max()).unwrap();
            assert!(apart < 1e-6, "{name} differs by {apart}");
        }
    }
}
