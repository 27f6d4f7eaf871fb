//! Bands beyond what the model sees as red, green and blue, whose local descriptors count for learnt classes: near infrared, say.

use super::bands;
use super::errors::JobErrors;
use super::plan::ScenePlan;
use super::spec::{ClassForm, ClassKeys, Spec};
use super::words::quoted;
use crate::error::{Error, Result};
use crate::learn::{Learnt, MOST_FURTHER_BANDS};
use crate::scene::{SceneInfo, sensor};

/// The further bands of learnt classes in a scene.
pub(super) fn of_learnt(
    spec: &Spec,
    learnt: Option<&Learnt>,
    info: &SceneInfo,
    errors: &mut JobErrors<'_>,
) -> Vec<(String, usize)> {
    let names = learnt.map_or(&[][..], |learnt| &learnt.header.further_bands);
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        match bands::by_text(name, info) {
            Ok(number) => found.push((name.clone(), number)),
            Err(message) => {
                let is_learnt = |form: &ClassForm| matches!(form, ClassForm::Long(ClassKeys { learnt: Some(_), .. }));
                let index = spec.classes.iter().position(is_learnt).unwrap_or(0);
                let message = format!("the classes were learnt with the bands {}: {message}", names.join(", "));
                errors.add(&format!("classes[{index}].learnt"), message).hint = Some(format!(
                    "Its bands are {}. Map scenes that have these bands, or learn the classes without --descriptor-bands.",
                    bands::listed(info)
                ));
                break;
            }
        }
    }
    found
}

/// Chooses the further bands of scenes that classes are learnt on. `texts`: numbers from 1, names, colours or designations. Returns the
/// names by which other scenes know the bands: the part of the spectrum or the band's name, where they mean the same band in each scene,
/// else the given text.
///
/// # Errors
/// There are too many, a scene lacks one, or it has been chosen or is seen by the model already.
pub fn choose(texts: &[String], scenes: &mut [ScenePlan]) -> Result<Vec<String>> {
    if texts.len() > MOST_FURTHER_BANDS {
        return Err(Error::input(format!(
            "{} further bands are named; at most {MOST_FURTHER_BANDS} are possible",
            texts.len()
        ))
        .with_hint("Name those with --descriptor-bands that tell the classes apart, such as nir."));
    }
    let mut numbers: Vec<Vec<usize>> = Vec::with_capacity(texts.len());
    for text in texts {
        let mut of_scenes = Vec::with_capacity(scenes.len());
        for (index, scene) in scenes.iter().enumerate() {
            let hint = || {
                format!(
                    "Its bands are {}. Name further ones with --descriptor-bands, such as nir or 4.",
                    bands::listed(&scene.info)
                )
            };
            let number =
                bands::by_text(text, &scene.info).map_err(|message| Error::input(message).with_hint(hint()))?;
            let channel = scene.bands.iter().position(|band| *band == number);
            let channel = channel.and_then(|at| ["red", "green", "blue"].get(at));
            if let Some(channel) = channel {
                let message = format!("band {number} of {} is read as {channel} already", scene.name());
                return Err(Error::input(message).with_hint(hint()));
            }
            if numbers.iter().any(|others| others.get(index) == Some(&number)) {
                let message = format!("{} is band {number} of {}, which is named already", quoted(text), scene.name());
                return Err(Error::input(message).with_hint(hint()));
            }
            of_scenes.push(number);
        }
        numbers.push(of_scenes);
    }
    let names: Vec<String> = texts.iter().zip(&numbers).map(|(text, numbers)| name(text, numbers, scenes)).collect();
    for (index, scene) in scenes.iter_mut().enumerate() {
        let own = numbers.iter().filter_map(|numbers| numbers.get(index).copied());
        scene.further_bands = names.iter().cloned().zip(own).collect();
    }
    Ok(names)
}

/// The name by which a band is known best: of the first scene, if it means the band in all.
fn name(text: &str, numbers: &[usize], scenes: &[ScenePlan]) -> String {
    let band = scenes.first().zip(numbers.first()).and_then(|(scene, number)| {
        let band = scene.info.bands.get(number.checked_sub(1)?)?;
        let part = band.claims(sensor(&scene.info.bands)).first().map(|(_, part)| part.name().to_owned());
        Some([part, band.name.clone()])
    });
    let means_it = |name: &String| {
        scenes.iter().zip(numbers).all(|(scene, number)| bands::by_text(name, &scene.info).as_ref() == Ok(number))
    };
    band.into_iter().flatten().flatten().find(means_it).unwrap_or_else(|| text.trim().to_owned())
}
