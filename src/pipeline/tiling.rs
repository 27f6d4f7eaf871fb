//! Windows of a job: their size, step and blend, and how many make a batch.

use super::errors::JobErrors;
use super::plan::{ModelFacts, Tiling};
use super::spec::Spec;
use crate::geom::{Blend, MAX_WINDOW};
use crate::learn::Learnt;

/// The largest batch, in windows.
const MAX_BATCH: usize = 4096;

/// The job's own values, else those that its classes were learnt with, else the model's.
pub(super) fn tiling(
    spec: &Spec,
    model: &ModelFacts,
    blend: Blend,
    learnt: Option<&Learnt>,
    errors: &mut JobErrors<'_>,
) -> Tiling {
    let form = &spec.tiling;
    let learnt = learnt.map(|learnt| &learnt.header.settings).filter(|_| form.window.is_none());
    let fits = |window: usize| model.patch > 0 && window.is_multiple_of(model.patch) && window <= MAX_WINDOW;
    let learnt = learnt.filter(|settings| fits(settings.window));
    let window = form.window.or(learnt.map(|settings| settings.window)).unwrap_or(model.window);
    if form.window.is_some() && (window == 0 || model.patch == 0 || !window.is_multiple_of(model.patch)) {
        let message =
            format!("the window is {window} pixels; it must be a multiple of the model's patch, {}", model.patch);
        errors.add("tiling.window", message).hint =
            Some(format!("The default is the model's own window, {} pixels.", model.window));
    }
    if window > MAX_WINDOW {
        let message = format!("the window is {window} pixels; at most {MAX_WINDOW} are allowed");
        errors.add("tiling.window", message).hint =
            Some("A larger window does not show more detail to the model: its patches have the same size.".into());
    }
    let recommended = model.recommended.stride.filter(|_| window == model.window);
    let stride = form.stride.or(learnt.map(|settings| settings.stride)).or(recommended).unwrap_or(window.div_ceil(2));
    if stride == 0 || stride > window {
        errors
            .add("tiling.stride", format!("the stride is {stride} pixels; it must be from 1 to the window, {window}"))
            .hint = Some("The default is half the window.".into());
    }
    if let Some(batch) = form.batch.filter(|batch| !(1..=MAX_BATCH).contains(batch)) {
        errors.add("tiling.batch", format!("the batch is {batch} windows; it must be from 1 to {MAX_BATCH}")).hint =
            Some("Remove the key to use the batch of the device.".into());
    }
    Tiling { window, stride, blend, batch: form.batch }
}
