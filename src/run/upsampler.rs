//! `segearth model train-upsampler`: everything checked, then trained, then written as a bundle.

use std::fs;
use std::path::{Path, PathBuf};

use segearth_checkpoint::{KnownActivation, PixelStatistics, read_clip};
use serde::{Deserialize, Serialize};

use super::lookup::Lookup;
use super::process;
use super::stop::Stop;
use crate::cli::TrainUpsamplerArgs;
use crate::error::{Context, Error, Kind, Result};
use crate::model::bundle::Bundle;
use crate::model::import::{self, Built, Import};
use crate::model::registry::Model;
use crate::model::weights;
use crate::network::export;
use crate::network::{ImageTower, Tensors};
use crate::pipeline;
use crate::report::{Reporter, duration};
use crate::scene::SceneInfo;
use crate::train::pyramid::Pyramid;
use crate::train::upsampler::{self, Ended, UpsamplerPlan, UpsamplerProgress};
use crate::train::{scenes, weights as tensor_files};

/// The trained upsampler's file.
const UPSAMPLER: &str = "upsampler.safetensors";
/// Fewest and most patches along a view's side, and most of everything else that costs time or memory.
const PATCHES: (usize, usize) = (6, 64);
const MOST_STEPS: usize = 1_000_000;
const MOST_VIEWS: usize = 256;
/// Patches along a view's side by default.
const USUAL_PATCHES: usize = 12;

pub fn run(args: &TrainUpsamplerArgs, trust: bool, reporter: &Reporter) -> Result<()> {
    let spec = pipeline::from_flags(&args.overrides())?;
    import::check_free(&args.output, args.overwrite)?;
    let mut lookup = Lookup::new(trust);
    let (scenes, notes) = pipeline::views(&spec, &mut lookup)?;
    let bundle = bundle(lookup.into_model()?)?;
    let found: Vec<SceneInfo> = scenes.iter().map(|(info, ..)| info.clone()).collect();
    let plan = plan(args, &bundle, &found, reporter)?;
    notes.iter().for_each(|note| reporter.note(note));

    let folder = beside(&args.output)?;
    let settings = Settings::new(args, &plan, &bundle)?;
    settings.compare(&folder)?;
    let made = Built::read(&bundle)?;
    let scratch = tempfile::tempdir().input(|| "cannot make a temporary folder".into())?;
    let clip = weights::clip_of(&bundle, args.clip.as_deref(), scratch.path())?;
    let (tower, width) = tower(&clip, &bundle, &made)?;
    let pictures = {
        let pieces = reporter.progress("reading", scenes::pieces(&scenes, plan.side), "pieces");
        scenes::pictures(&scenes, plan.side, plan.seed, || pieces.advance(1))?
    };
    settings.write(&folder)?;
    let plan = UpsamplerPlan { folder: Some(folder.clone()), ..plan };
    let done = upsampler::steps_done(&plan)?;
    reporter.note(&format!(
        "{} steps on {} pieces of {} images, in views of {} × {} pixels; checkpoints are in {}.",
        plan.steps,
        pictures.len(),
        scenes.len(),
        plan.side,
        plan.side,
        folder.display()
    ));
    if done > 0 {
        reporter.note(&format!("The training resumes after step {done}."));
    }
    let tensors = trained(&tower, width, &pictures, &plan, done, reporter)?;
    let path = folder.join(UPSAMPLER);
    tensor_files::write(&path, &tensors)?;
    let request = Import {
        clip,
        tokenizer: bundle.tokenizer(),
        upsampler: Some(path),
        activation: Some(KnownActivation {
            activation: made.activation,
            from: bundle.card.method.activation_from.clone(),
        }),
        pixels: Some(PixelStatistics {
            mean: bundle.card.normalisation.mean.map(|mean| f64::from(mean) / 255.0),
            std: bundle.card.normalisation.std.map(|std| f64::from(std) / 255.0),
        }),
        attention: made.attention,
        attention_blocks: bundle.card.method.attention_blocks,
        keep_residual: bundle.card.method.keep_residual,
        window: bundle.card.sizes.window,
        precision: made.precision,
        recommended: bundle.card.recommended,
        overwrite: args.overwrite,
    };
    let made = import::import(&request, &args.output, &mut Vec::new())?;
    fs::remove_dir_all(&folder).input(|| format!("cannot remove {}", folder.display()))?;
    reporter.print(&made.describe()?);
    Ok(())
}

/// Trains from step `done` on; prints what it costs before it starts.
///
/// # Errors
/// [`Kind::Stopped`] after a SIGINT or SIGTERM, its state kept in the plan's folder.
fn trained(
    tower: &ImageTower,
    width: usize,
    pictures: &[Pyramid],
    plan: &UpsamplerPlan,
    done: usize,
    reporter: &Reporter,
) -> Result<Tensors> {
    let stop = Stop::listen()?;
    let left = plan.steps.saturating_sub(done);
    let stopped = || stop.signal().is_some();
    let mut bar = None;
    let (mut first, mut last): (Option<UpsamplerProgress>, Option<UpsamplerProgress>) = (None, None);
    let ended = stop.orderly(|| {
        if left > 0
            && let Some(step) = upsampler::trial(tower, width, pictures, plan, &stopped)?
        {
            reporter.note(&format!(
                "A step takes about {:.1} s on this machine, {left} steps {}; the trial took {:.1} GB of memory.",
                step.as_secs_f64(),
                duration(step.saturating_mul(u32::try_from(left).unwrap_or(u32::MAX))),
                process::peak() / 1e9
            ));
        }
        let steps = bar.insert(reporter.slow_progress("training", plan.steps, "steps"));
        steps.skip(done);
        upsampler::train(tower, width, pictures, plan, &stopped, |progress| {
            steps.advance(1);
            if progress.step.is_multiple_of(50) {
                reporter.detail(&format!(
                    "step {}: features {:.4}, picture {:.4}",
                    progress.step, progress.features, progress.picture
                ));
            }
            first = first.or(Some(progress));
            last = Some(progress);
            Ok(())
        })
    })?;
    drop(bar);
    let tensors = match ended {
        Ended::Trained(tensors) => tensors,
        Ended::Stopped(step) => {
            let (signal, name) = stop.signal().ok_or_else(|| Error::internal("the training ended early"))?;
            reporter.note(&format!("The state after step {step} is kept: the same command resumes from there."));
            return Err(Error::new(Kind::Stopped { signal }, format!("stopped by {name}")));
        }
    };
    if let (Some(first), Some(last)) = (first, last) {
        reporter.note(&format!(
            "After {} steps the features' error is {:.4}; it was {:.4} after step {}.",
            last.step, last.features, first.features, first.step
        ));
    }
    Ok(tensors)
}

fn bundle(model: Model) -> Result<Bundle> {
    match model {
        Model::Bundle(bundle) => Ok(*bundle),
        Model::Fake(_) => Err(Error::input("the fake models have no features to upsample")
            .with_hint("Give the folder of a bundle, or leave --model out to take the built-in model.")),
    }
}

/// The frozen tower and the width of its features.
fn tower(clip: &Path, bundle: &Bundle, made: &Built) -> Result<(ImageTower, usize)> {
    let weights = read_clip(clip)?;
    let sizes = &bundle.card.sizes;
    if (weights.sizes.patch, weights.sizes.embed_dim) != (sizes.patch, sizes.embed_dim) {
        return Err(Error::input(format!(
            "{} has patches of {} pixels and features of width {}, {} has {} and {}",
            clip.display(),
            weights.sizes.patch,
            weights.sizes.embed_dim,
            bundle.folder.display(),
            sizes.patch,
            sizes.embed_dim
        ))
        .with_hint("Give the weights that the bundle was imported from."));
    }
    let (keep, blocks) = (bundle.card.method.keep_residual, bundle.card.method.attention_blocks);
    Ok((export::image_tower(&weights, made.activation, made.attention, blocks, keep)?, sizes.embed_dim))
}

fn plan(
    args: &TrainUpsamplerArgs,
    bundle: &Bundle,
    scenes: &[SceneInfo],
    reporter: &Reporter,
) -> Result<UpsamplerPlan> {
    for (flag, value, most) in [("--steps", args.steps, MOST_STEPS), ("--batch", args.batch, MOST_VIEWS)] {
        if !(1..=most).contains(&value) {
            return Err(Error::input(format!("{flag} is {value}; it must be from 1 to {most}"))
                .with_hint("Leave it out to take the usual number."));
        }
    }
    let patch = bundle.card.sizes.patch;
    let (least, most) = (PATCHES.0 * patch, PATCHES.1 * patch);
    let sides: Vec<usize> = scenes.iter().map(|scene| scene.size.width.min(scene.size.height)).collect();
    let fitting = fitting_side(patch, &sides);
    let side = args.side.unwrap_or(fitting);
    if !side.is_multiple_of(patch) || !(least..=most).contains(&side) {
        return Err(Error::input(format!(
            "--side is {side} pixels; it must be a multiple of the model's patch, {patch}, from {least} to {most}"
        ))
        .with_hint(format!("Leave it out to take {fitting} pixels.")));
    }
    let small = sides.iter().filter(|own| **own < side).count();
    if small > 0 && small < sides.len() {
        reporter.note(&format!(
            "{small} of {} images are smaller than a view, {side} × {side} pixels, and are left out.",
            sides.len()
        ));
    }
    Ok(UpsamplerPlan {
        steps: args.steps,
        batch: args.batch,
        side,
        seed: args.seed,
        normalisation: bundle.normalisation(),
        ..UpsamplerPlan::default()
    })
}

/// The side of views that fits the smallest of the images, `sides` being their shorter sides in pixels: a multiple of the
/// patch, at most the usual one. Images that are too small for any view do not count.
fn fitting_side(patch: usize, sides: &[usize]) -> usize {
    let (least, usual) = (PATCHES.0 * patch, USUAL_PATCHES * patch);
    match sides.iter().filter(|side| **side >= least).min() {
        Some(smallest) => (smallest - smallest % patch).min(usual),
        None => least,
    }
}

/// The folder of an unfinished training.
fn beside(output: &Path) -> Result<PathBuf> {
    let name = output.file_name().ok_or_else(|| {
        Error::input(format!("{} is not a folder name", output.display())).with_hint("Give --output DIR a name.")
    })?;
    Ok(output.with_file_name(format!("{}.training", name.to_string_lossy())))
}

const SETTINGS: &str = "settings.json";

/// Settings that a resumed training must not change.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Settings {
    model: String,
    images: Vec<String>,
    bands: Option<String>,
    stretch: Option<String>,
    steps: usize,
    batch: usize,
    side: usize,
    seed: u64,
}

impl Settings {
    fn new(args: &TrainUpsamplerArgs, plan: &UpsamplerPlan, bundle: &Bundle) -> Result<Self> {
        Ok(Self {
            model: bundle.text_fingerprint()?,
            images: args.images.clone(),
            bands: args.bands.clone(),
            stretch: args.stretch.clone(),
            steps: plan.steps,
            batch: plan.batch,
            side: plan.side,
            seed: plan.seed,
        })
    }

    /// Refuses to resume a training with other settings.
    fn compare(&self, folder: &Path) -> Result<()> {
        let Ok(text) = fs::read_to_string(folder.join(SETTINGS)) else { return Ok(()) };
        if serde_json::from_str::<Self>(&text).is_ok_and(|begun| begun == *self) {
            return Ok(());
        }
        Err(Error::input(format!("a training with other settings was started in {}", folder.display()))
            .with_hint("Use the same settings (see settings.json there), or remove that folder to restart."))
    }

    fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).input(|| format!("cannot make the folder {}", folder.display()))?;
        let path = folder.join(SETTINGS);
        let text = serde_json::to_string_pretty(self).internal(|| "settings cannot be written".into())?;
        fs::write(&path, text).input(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_fit_the_smallest_image_that_can_be_used() {
        let usual = USUAL_PATCHES * 32;
        assert_eq!(fitting_side(32, &[4000, 1000]), usual);
        assert_eq!(fitting_side(32, &[256, 1000]), 256);
        assert_eq!(fitting_side(32, &[250, 1000, 100]), 224);
        assert_eq!(fitting_side(32, &[100]), 192);
        assert_eq!(fitting_side(14, &[100]), 98);
    }
}
