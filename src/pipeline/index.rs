//! Classes by a condition on bands: the condition as it is written, and the bands of each scene that it needs.

use std::sync::Arc;

use super::bands;
use super::errors::JobErrors;
use super::job_error::JobError;
use super::plan::ClassPlan;
use super::spec::Spec;
use crate::index::Condition;
use crate::scene::SceneInfo;

/// The condition of a class; `None` where it cannot be understood, which is an error of the job.
pub(super) fn condition(spec: &Spec, key: &str, text: &str, errors: &mut JobErrors<'_>) -> Option<Arc<Condition>> {
    match Condition::parse(text) {
        Ok(condition) => Some(Arc::new(condition)),
        Err(error) => {
            let span = spec.span(key).part(text, error.offset, error.len);
            errors.push(JobError::new(span, error.message).with_hint(error.hint));
            None
        }
    }
}

/// The names of all bands that the classes' conditions need, each once, and their numbers in a scene. `rgb`: the bands that the job gives
/// as red, green and blue; `None`: they are looked for as all others.
pub(super) fn scene_bands(
    classes: &[ClassPlan],
    rgb: Option<[usize; 3]>,
    info: &SceneInfo,
    errors: &mut JobErrors<'_>,
) -> Vec<(String, usize)> {
    let mut found: Vec<(String, usize)> = Vec::new();
    for (index, class) in classes.iter().enumerate() {
        for name in class.index.iter().flat_map(|condition| condition.bands()) {
            if found.iter().any(|(known, _)| known == name) {
                continue;
            }
            let given = ["red", "green", "blue"].iter().position(|colour| colour == name);
            let given = rgb.zip(given).and_then(|(bands, index)| bands.get(index).copied());
            match given.map_or_else(|| bands::by_name(name, info), Ok) {
                Ok(number) => found.push((name.clone(), number)),
                Err(message) => {
                    errors.add(&format!("classes[{index}].index"), message).hint = Some(format!(
                        "Its bands are {}. Name a band by its number, as in `(b2 - b4) / (b2 + b4) > 0.2`.",
                        bands::listed(info)
                    ));
                    return found;
                }
            }
        }
    }
    found
}
