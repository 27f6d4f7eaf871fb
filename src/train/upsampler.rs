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
use std::time::{Duration, Instant};

use segearth_checkpoint::UpsamplerKind;
use tch::{Device, Kind, TchError, Tensor};

use super::parameters::{AdamW, Parameters};
use super::pyramid::{Camera, Pyramid};
use super::random::Random;
use super::weights;
use crate::error::{Context, Error, Result};
use crate::model::Normalisation;
use crate::network::{ImageTower, Spanned, Tensors, Upsampler};

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
    /// The normalisation of the tower.
    pub normalisation: Normalisation,
    /// Folder and interval of checkpoints; one is also written when the training is stopped. `None`: no checkpoints.
    pub folder: Option<PathBuf>,
    pub keep_every: Duration,
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
            folder: None,
            keep_every: Duration::from_secs(120),
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

/// How a training ended.
#[derive(Debug)]
pub enum Ended {
    /// The weights by their authors' names.
    Trained(Tensors),
    /// It was stopped after this number of steps; with a folder, the same call resumes.
    Stopped(usize),
}

/// The number of steps that an earlier call of [`train`] has done in the plan's folder.
///
/// # Errors
/// The checkpoint there cannot be read.
pub fn steps_done(plan: &UpsamplerPlan) -> Result<usize> {
    match kept(plan) {
        Some(path) => done(&read_state(&path)?),
        None => Ok(0),
    }
}

/// Trains an upsampler for `tower`, whose joint space has `width` channels, on views of `pictures`. A run whose folder
/// has a checkpoint is resumed. `watch` is called after every step, `stopped` several times a step; an interrupted step is
/// discarded.
pub fn train(
    tower: &ImageTower,
    width: usize,
    pictures: &[Pyramid],
    plan: &UpsamplerPlan,
    stopped: &dyn Fn() -> bool,
    mut watch: impl FnMut(UpsamplerProgress) -> Result<()>,
) -> Result<Ended> {
    if pictures.is_empty() {
        return Err(Error::input("there are no images to train on"));
    }
    crate::model::memory::tune_malloc();
    let random = Random::new(plan.seed);
    let (mut parameters, mut optimiser) = begin(tower, width, plan)?;
    let mut first = 0;
    if let Some(path) = kept(plan) {
        first = resume(&path, &mut parameters, &mut optimiser)?;
    }
    let keep = |step: usize, parameters: &Parameters, optimiser: &AdamW| match plan.folder.as_deref() {
        Some(folder) => keep(&checkpoint(folder), step, parameters, optimiser),
        None => Ok(()),
    };
    let start = Instant::now();
    let mut last_kept = start;
    for step in first..plan.steps {
        let mut random = random.fork(step as u64);
        let images = views(pictures, plan, &mut random)?;
        let tensors = parameters.tensors(Kind::Float, true)?;
        let Some([features, picture]) = losses(tower, &tensors, &images, plan, &mut random, stopped)? else {
            keep(step, &parameters, &optimiser)?;
            return Ok(Ended::Stopped(step));
        };
        let gradient = parameters.gradient(&tensors)?;
        let warm = ((step + 1) as f64 / 20.0).min(1.0);
        let fall = 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / plan.steps as f64).cos());
        optimiser.step(&mut parameters, &gradient, plan.rate * warm * (0.02 + 0.98 * fall), 0.01, 0.98)?;
        if last_kept.elapsed() >= plan.keep_every {
            keep(step + 1, &parameters, &optimiser)?;
            last_kept = Instant::now();
        }
        let seconds = start.elapsed().as_secs_f64();
        watch(UpsamplerProgress { step: step + 1, steps: plan.steps, features, picture, seconds })?;
    }
    let mut tensors = parameters.with_values(optimiser.average).tensors(Kind::Float, false)?;
    tensors.retain(|name, _| !name.starts_with(BESIDE));
    Ok(Ended::Trained(tensors))
}

/// Returns the time of a step, estimated from one view; `None` if it was stopped. No parameter changes.
pub fn trial(
    tower: &ImageTower,
    width: usize,
    pictures: &[Pyramid],
    plan: &UpsamplerPlan,
    stopped: &dyn Fn() -> bool,
) -> Result<Option<Duration>> {
    let one = UpsamplerPlan { batch: 1, ..plan.clone() };
    let mut random = Random::new(plan.seed).fork(u64::MAX - 1);
    let tensors = begin(tower, width, plan)?.0.tensors(Kind::Float, true)?;
    let images = views(pictures, &one, &mut random)?;
    let start = Instant::now();
    let ended = losses(tower, &tensors, &images, &one, &mut random, stopped)?;
    Ok(ended.map(|_| start.elapsed() * plan.batch as u32))
}

fn begin(tower: &ImageTower, width: usize, plan: &UpsamplerPlan) -> Result<(Parameters, AdamW)> {
    let mut random = Random::new(plan.seed).fork(u64::MAX);
    let parameters = Parameters::from_tensors(&initial(width as i64, tower.patch(), &mut random)?)?;
    let optimiser = AdamW::new(&parameters)?;
    Ok((parameters, optimiser))
}

fn views(pictures: &[Pyramid], plan: &UpsamplerPlan, random: &mut Random) -> Result<Tensor> {
    let side = plan.side;
    let Normalisation { mean, std } = plan.normalisation;
    let mut values = Vec::with_capacity(plan.batch * 3 * side * side);
    for _ in 0..plan.batch {
        let picture = random.pick(pictures).ok_or_else(|| Error::internal("no pictures"))?;
        let full = picture.full();
        let centre = [full.width, full.height].map(|size| size as f32 * random.between(0.15, 0.85));
        let scale = random.log_between(0.6, 2.0);
        let start = values.len();
        values.resize(start + 3 * side * side, 0.0);
        let view = &mut values[start..];
        picture.sample(Camera::random(random, centre, scale), 0..side, 0..side, |col, row, colour, _| {
            for (channel, value) in colour.into_iter().enumerate() {
                view[(channel * side + row) * side + col] = (value - mean[channel]) / std[channel];
            }
        });
    }
    Ok(Tensor::f_from_slice(&values)?.f_reshape([plan.batch as i64, 3, side as i64, side as i64])?)
}

/// The features' and the picture's loss, with gradients at `tensors`; `None` if it was stopped.
///
/// Image by image: what one needs for its gradient is given back before the next, so that memory does not grow with the
/// batch.
fn losses(
    tower: &ImageTower,
    tensors: &Tensors,
    images: &Tensor,
    plan: &UpsamplerPlan,
    random: &mut Random,
    stopped: &dyn Fn() -> bool,
) -> Result<Option<[f64; 2]>> {
    let frozen = |images: &Tensor| {
        let _plain = tch::no_grad_guard();
        tower.forward(images)
    };
    let here = frozen(images)?;
    // Features of about unit norm for any tower.
    let spread = here.patches.f_square()?.f_mean(Kind::Float)?.f_sqrt()?;
    let patches = here.patches.f_div(&spread)?;
    let mut targets = Vec::with_capacity(plan.jitters);
    for _ in 0..plan.jitters {
        if stopped() {
            return Ok(None);
        }
        let jitter = Jitter::draw(random, plan.side as i64, tower.patch());
        targets.push((jitter, frozen(&jitter.apply(images)?)?.patches.f_div(&spread)?));
    }
    let count = images.size4()?.0;
    let mut means = [0.0; 2];
    for index in 0..count {
        if stopped() {
            return Ok(None);
        }
        let of = |x: &Tensor| x.f_narrow(0, index, 1);
        let targets: Vec<(Jitter, Tensor)> =
            targets.iter().map(|(jitter, moved)| Ok((*jitter, of(moved)?))).collect::<Result<_, TchError>>()?;
        // For each image, since a graph is freed after its gradients.
        let upsampler = Upsampler::load(&canonical(tensors), UpsamplerKind::JbuOne, tower.patch())?;
        let features = upsampler.spanned(&of(&patches)?, &of(&here.grid)?, &of(images)?)?;
        let parts = image_loss(tensors, features, &of(images)?, &targets, tower.patch())?;
        let [features, picture] = &parts;
        features.f_add(&picture.f_mul_scalar(plan.picture)?)?.f_div_scalar(count as f64)?.f_backward()?;
        for (mean, part) in means.iter_mut().zip(&parts) {
            *mean += f64::try_from(part.f_detach()?)? / count as f64;
        }
    }
    Ok(Some(means))
}

/// The loss of one image, `targets` being its jitters and the patch features of the jittered image, (1, patch, D).
fn image_loss(
    tensors: &Tensors,
    features: Spanned,
    image: &Tensor,
    targets: &[(Jitter, Tensor)],
    patch: i64,
) -> Result<[Tensor; 2]> {
    let side = image.size4()?.2;
    // Patches that are no power of two end on a grid of their own.
    let features = match features.pixels.size4()?.2 == side {
        true => features,
        false => Spanned { pixels: features.pixels.f_upsample_bilinear2d([side; 2], false, None, None)?, ..features },
    };
    let picture = painted(tensors, &features)?.f_sub(image)?.f_square()?.f_mean(Kind::Float)?;
    let mut sum: Option<Tensor> = None;
    for (jitter, moved) in targets {
        // A jitter mixes pixels by shares that add up to one: what is the same at all of them stays.
        let jittered = jitter.apply(&features.pixels)?;
        let gathered = gather(tensors, &jittered, &features, patch)?;
        let product = gathered.f_mul(moved)?.f_sum_dim_intlist(Some(&[-1i64][..]), false, Kind::Float)?;
        let length = |x: &Tensor| x.f_linalg_norm(2.0, Some(&[-1i64][..]), false, None)?.f_clamp_min(1e-6);
        let cosine = product.f_div(&length(&gathered)?)?.f_div(&length(moved)?)?.f_mean(Kind::Float)?;
        let square = gathered.f_sub(moved)?.f_square()?.f_mean(Kind::Float)?;
        let loss = square.f_sub(&cosine)?.f_add_scalar(1.0)?.f_div_scalar(2.0 * targets.len() as f64)?;
        sum = Some(match sum {
            Some(sum) => sum.f_add(&loss)?,
            None => loss,
        });
    }
    Ok([sum.ok_or_else(|| Error::internal("no jitters"))?, picture])
}

/// The picture again, made of its features: (1, 3, row, column).
fn painted(tensors: &Tensors, features: &Spanned) -> Result<Tensor> {
    // The first layer, brought to the features' few channels.
    let weight = get(tensors, "train.head.0.weight")?.f_flatten(1, 3)?;
    let of_basis = weight.f_matmul(&features.basis.f_transpose(0, 1)?)?.f_unsqueeze(2)?.f_unsqueeze(3)?;
    let bias = get(tensors, "train.head.0.bias")?.f_add(&weight.f_mv(&features.offset)?)?;
    let hidden = features.pixels.f_conv2d(&of_basis, Some(bias), [1, 1], [0, 0], [1, 1], 1)?;
    let (weight, bias) = (get(tensors, "train.head.1.weight")?, get(tensors, "train.head.1.bias")?);
    Ok(hidden.f_gelu("none")?.f_conv2d(&weight, Some(bias), [1, 1], [1, 1], [1, 1], 1)?)
}

/// The learned downsampler: each patch is a mean of its pixels' features, weighted by what they show and where they are.
/// `pixels` are those of `features`, moved. Returns (1, patch, D).
fn gather(tensors: &Tensors, pixels: &Tensor, features: &Spanned, patch: i64) -> Result<Tensor> {
    // (1, channel, patch row, patch column, cell)
    let cells = pixels.f_unfold(2, patch, patch)?.f_unfold(3, patch, patch)?.f_flatten(4, 5)?;
    let cells = cells.f_flatten(2, 3)?.f_permute([0, 2, 3, 1])?; // (1, patch, cell, channel)
    let attention = get(tensors, "train.attention.weight")?.f_transpose(0, 1)?; // (D, 1)
    let of_offset = features.offset.f_unsqueeze(0)?.f_matmul(&attention)?.f_reshape([1])?;
    let shown = cells.f_matmul(&features.basis.f_matmul(&attention)?)?.f_squeeze_dim(3)?.f_add(&of_offset)?;
    let shown = shown.f_add(&get(tensors, "train.attention.bias")?)?;
    let shares = shown.f_mul(&get(tensors, "train.cell.scale")?)?.f_add(&get(tensors, "train.cell.shift")?)?;
    let shares = shares.f_softmax(-1, Kind::Float)?.f_unsqueeze(2)?;
    let means = shares.f_matmul(&cells)?.f_squeeze_dim(2)?; // (1, patch, channel)
    Ok(means.f_matmul(&features.basis)?.f_add(&features.offset)?)
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

/// The checkpoint to go on from, where there is one.
fn kept(plan: &UpsamplerPlan) -> Option<PathBuf> {
    plan.folder.as_deref().map(checkpoint).filter(|path| path.exists())
}

fn keep(path: &Path, step: usize, parameters: &Parameters, optimiser: &AdamW) -> Result<()> {
    let mut state = optimiser.state();
    state.push(("values", parameters.values.shallow_clone()));
    state.push(("done", Tensor::from_slice(&[step as i64])));
    let state: Vec<(String, Tensor)> = state.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect();
    weights::replace(path, &state)
}

fn read_state(path: &Path) -> Result<Tensors> {
    let state = Tensor::read_safetensors(path)
        .map_err(Error::from)
        .input(|| format!("cannot resume from the checkpoint {}", path.display()));
    Ok(state.map_err(|error| error.with_hint("Remove it to restart."))?.into_iter().collect())
}

fn done(state: &Tensors) -> Result<usize> {
    Ok(i64::try_from(get(state, "done")?.f_reshape([] as [i64; 0])?)? as usize)
}

fn resume(path: &Path, parameters: &mut Parameters, optimiser: &mut AdamW) -> Result<usize> {
    let state = read_state(path)?;
    let values = get(&state, "values")?;
    if values.size() != parameters.values.size() {
        return Err(Error::input(format!("the checkpoint {} is of another model", path.display()))
            .with_hint("Remove it, or choose another output folder."));
    }
    parameters.values = values;
    optimiser.restore(&state)?;
    done(&state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use segearth_checkpoint::{Activation, ClipSizes};

    use super::super::pyramid::Raster;
    use crate::network::{Attention, TowerOptions, export, random};

    fn tower_and_pictures() -> (ImageTower, i64, [Pyramid; 1]) {
        let sizes = ClipSizes {
            patch: 8,
            image_grid: 16,
            vision_width: 64,
            vision_layers: 2,
            vision_heads: 1,
            vision_hidden: 256,
            embed_dim: 16,
            text_width: 64,
            text_layers: 1,
            text_heads: 1,
            text_hidden: 256,
            vocab: 8,
            context: 8,
        };
        let clip = random::clip(sizes.clone()).unwrap();
        let tensors = export::tensors(&clip.tensors, "", Kind::Float).unwrap();
        let options = TowerOptions { layers: 2, heads: 1, activation: Activation::Gelu };
        let tower = ImageTower::load(&tensors, options, Attention::SegEarth, false).unwrap();
        let rgb = (0..80 * 80 * 3).map(|at| (at * at % 251) as u8).collect();
        (tower, sizes.embed_dim as i64, [Pyramid::new(Raster { width: 80, height: 80, rgb })])
    }

    fn weights(ended: Result<Ended>) -> Tensors {
        match ended.unwrap() {
            Ended::Trained(tensors) => tensors,
            Ended::Stopped(step) => panic!("stopped after step {step}"),
        }
    }

    #[test]
    fn stopped_training_resumes_to_the_same_result() {
        let (tower, width, pictures) = tower_and_pictures();
        let width = width as usize;
        let folder = tempfile::tempdir().unwrap();
        let plan = UpsamplerPlan {
            steps: 3,
            batch: 2,
            side: 48,
            folder: Some(folder.path().to_owned()),
            ..UpsamplerPlan::default()
        };
        let alone = UpsamplerPlan { folder: None, ..plan.clone() };
        let whole = weights(train(&tower, width, &pictures, &alone, &|| false, |_| Ok(())));
        // In the middle of the third step, long before two minutes have passed.
        let (asked, steps) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
        let stopped = || {
            asked.set(asked.get() + 1);
            asked.get() > 2 * 4 + 3
        };
        let ended = train(&tower, width, &pictures, &plan, &stopped, |progress| {
            steps.set(progress.step);
            Ok(())
        });
        assert!(matches!(ended, Ok(Ended::Stopped(2))), "{ended:?}");
        assert_eq!((steps.get(), steps_done(&plan).unwrap(), steps_done(&alone).unwrap()), (2, 2, 0));
        let resumed = weights(train(&tower, width, &pictures, &plan, &|| false, |progress| {
            assert_eq!(progress.step, 3);
            Ok(())
        }));
        for (name, tensor) in &whole {
            let apart = f64::try_from((tensor - &resumed[name]).abs().max()).unwrap();
            assert!(apart < 1e-6, "{name} differs by {apart}");
        }
    }

    #[test]
    fn checkpoints_are_written_at_the_interval() {
        let (tower, width, pictures) = tower_and_pictures();
        let folder = tempfile::tempdir().unwrap();
        let plan = UpsamplerPlan {
            steps: 2,
            batch: 1,
            side: 48,
            folder: Some(folder.path().to_owned()),
            keep_every: Duration::ZERO,
            ..UpsamplerPlan::default()
        };
        let mut kept = Vec::new();
        weights(train(&tower, width as usize, &pictures, &plan, &|| false, |_| {
            kept.push(steps_done(&plan)?);
            Ok(())
        }));
        assert_eq!(kept, [1, 2]);
    }

    /// The losses as they are defined: with all D channels of every pixel, and the whole batch at once.
    fn plain_losses(
        tower: &ImageTower,
        tensors: &Tensors,
        images: &Tensor,
        plan: &UpsamplerPlan,
        random: &mut Random,
    ) -> [Tensor; 2] {
        let upsampler = Upsampler::load(&canonical(tensors), UpsamplerKind::JbuOne, tower.patch()).unwrap();
        let here = tower.forward(images).unwrap();
        let spread = here.patches.square().mean(Kind::Float).sqrt();
        let features = upsampler.features(&(&here.patches / &spread), &here.grid, images).unwrap();
        let layer = |x: &Tensor, number: usize, padding: i64| {
            let part = |what: &str| get(tensors, &format!("train.head.{number}.{what}")).unwrap();
            x.conv2d(&part("weight"), Some(part("bias")), [1, 1], [padding; 2], [1, 1], 1)
        };
        let painted = layer(&layer(&features, 0, 0).gelu("none"), 1, 1);
        let picture = (painted - images).square().mean(Kind::Float);
        let mut sum = Tensor::zeros([1], (Kind::Float, Device::Cpu));
        for _ in 0..plan.jitters {
            let jitter = Jitter::draw(random, plan.side as i64, tower.patch());
            let moved = tower.forward(&jitter.apply(images).unwrap()).unwrap().patches / &spread;
            let patch = tower.patch();
            let cells = jitter.apply(&features).unwrap().unfold(2, patch, patch).unfold(3, patch, patch);
            let cells = cells.flatten(4, 5).flatten(2, 3).permute([0, 2, 3, 1]);
            let of = |name: &str| get(tensors, name).unwrap();
            let shown =
                cells.matmul(&of("train.attention.weight").transpose(0, 1)).squeeze_dim(3) + of("train.attention.bias");
            let shares = (shown * of("train.cell.scale") + of("train.cell.shift")).softmax(-1, Kind::Float);
            let gathered = shares.unsqueeze(2).matmul(&cells).squeeze_dim(2);
            let cosine = Tensor::cosine_similarity(&gathered, &moved, -1, 1e-6).mean(Kind::Float);
            sum += ((&gathered - &moved).square().mean(Kind::Float) - cosine + 1.0) / (2.0 * plan.jitters as f64);
        }
        [sum.reshape([] as [i64; 0]), picture]
    }

    #[test]
    fn reduced_channels_and_single_images_give_equal_losses_and_gradients() {
        let (tower, width, pictures) = tower_and_pictures();
        // 9 patches of 16 channels, and 36: fewer and more patches than channels.
        for side in [48, 96] {
            let plan = UpsamplerPlan { batch: 2, side, ..UpsamplerPlan::default() };
            let mut parameters = begin(&tower, width as usize, &plan).unwrap().0;
            // No zeros that could hide errors: biases, and a fixup of full size.
            let noise: Vec<f32> = {
                let mut random = Random::new(7);
                (0..parameters.values.numel()).map(|_| 0.1 * random.normal()).collect()
            };
            parameters.values += Tensor::from_slice(&noise);
            let images = views(&pictures, &plan, &mut Random::new(3)).unwrap();
            let ours = parameters.tensors(Kind::Float, true).unwrap();
            let found = losses(&tower, &ours, &images, &plan, &mut Random::new(4), &|| false).unwrap().unwrap();
            let gradient = parameters.gradient(&ours).unwrap();
            let plain = parameters.tensors(Kind::Float, true).unwrap();
            let [features, picture] = plain_losses(&tower, &plain, &images, &plan, &mut Random::new(4));
            (&features + &picture * plan.picture).backward();
            let expected = parameters.gradient(&plain).unwrap();
            for (found, expected) in found.into_iter().zip([features, picture]) {
                let expected = f64::try_from(expected.detach()).unwrap();
                assert!((found / expected - 1.0).abs() < 1e-4, "{found} {expected}");
            }
            let largest = f64::try_from(expected.abs().max()).unwrap();
            let apart = f64::try_from((gradient - expected).abs().max()).unwrap();
            assert!(largest > 1e-3 && apart < 1e-4 * largest, "side {side}: {apart} of {largest}");
        }
    }
}
