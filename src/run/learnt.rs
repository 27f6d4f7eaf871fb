//! Whether learnt classes belong to a job's model, bands and pixels.

use crate::crs;
use crate::error::{Error, Result};
use crate::learn::{Learnt, LearntModel};
use crate::model::bundle::Bundle;
use crate::model::registry::Model;
use crate::pipeline::{Plan, ScenePlan};
use crate::scene::{SceneInfo, sensor};

/// The model as a file of learnt classes names it.
pub fn identity(bundle: &Bundle) -> LearntModel {
    let card = &bundle.card;
    LearntModel { name: card.name.clone(), image_encoder: bundle.image_encoder_sha256(), width: card.sizes.embed_dim }
}

/// What the model sees as red, green and blue: parts of the spectrum, or else the bands' names or numbers.
pub fn bands(info: &SceneInfo, bands: [usize; 3]) -> [String; 3] {
    let sensor = sensor(&info.bands);
    bands.map(|number| {
        let band = number.checked_sub(1).and_then(|index| info.bands.get(index));
        let claimed = band.and_then(|band| band.claims(sensor).first().map(|(_, part)| part.name().to_owned()));
        claimed.or_else(|| band?.name.clone()).unwrap_or_else(|| number.to_string())
    })
}

/// Side of a scene's pixels in metres on the ground; `None` without a CRS.
pub fn pixel_size(info: &SceneInfo) -> Option<f64> {
    let [width, height] = crs::ground_of(info.size, info.georeference.as_ref())?.steps();
    Some((width * height).sqrt())
}

/// A length with two significant digits.
pub fn length(metres: f64) -> String {
    let digits = (1.0 - metres.abs().max(1e-6).log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{metres:.digits$} m")
}

/// By so much pixels may be larger or smaller than those that classes were learnt on: features hardly change with less.
const SIMILAR: f64 = 1.5;

/// Notes on scenes whose pixels are much larger or smaller than those that the classes were learnt on.
pub fn other_pixel_sizes(plan: &Plan) -> Vec<String> {
    let Some(known) = plan.learnt.as_ref().and_then(|learnt| learnt.header.pixel_size) else { return Vec::new() };
    let note = |scene: &ScenePlan| {
        let now = pixel_size(&scene.info)?;
        (now > known * SIMILAR || now * SIMILAR < known).then(|| {
            format!(
                "{} has pixels of {}; the classes were learnt on pixels of {}, and may not fit. Look at the map, or learn them on \
                 such a scene.",
                scene.name(),
                length(now),
                length(known)
            )
        })
    };
    plan.scenes.iter().filter_map(note).collect()
}

/// Refuses classes that were learnt with another model, or on other bands.
pub fn check(plan: &Plan, model: &Model) -> Result<()> {
    let Some(learnt) = &plan.learnt else { return Ok(()) };
    let known = &learnt.header.model;
    let Model::Bundle(bundle) = model else {
        return Err(Error::input("learnt classes need a model with features; the job's has none")
            .with_hint(format!("They were learnt with {}: set `model`.", known.name)));
    };
    let now = identity(bundle);
    if now.image_encoder != known.image_encoder || now.width != known.width {
        let what = match now.name == known.name {
            true => format!("another version of the model {} (other weights, or imported otherwise)", known.name),
            false => format!("the model {}, not with {}", known.name, now.name),
        };
        return Err(Error::input(format!("the classes were learnt with {what}"))
            .with_hint("Use that model, or learn the classes again with this one."));
    }
    plan.scenes.iter().try_for_each(|scene| check_bands(learnt, scene))
}

fn check_bands(learnt: &Learnt, scene: &ScenePlan) -> Result<()> {
    let (known, now) = (&learnt.header.settings.bands, bands(&scene.info, scene.bands));
    // Numbers say nothing about what a band shows.
    let comparable = |a: &String, b: &String| a.parse::<usize>().is_err() && b.parse::<usize>().is_err();
    if known.iter().zip(&now).any(|(known, now)| comparable(known, now) && known != now) {
        let list = |bands: &[String; 3]| bands.join(", ");
        return Err(Error::input(format!(
            "the classes were learnt on the bands {}; of {} the model sees {}",
            list(known),
            scene.name(),
            list(&now)
        ))
        .with_hint("Choose the same bands with `bands`, or learn the classes on these."));
    }
    Ok(())
}
