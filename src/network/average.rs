//! The mean of several CLIPs of one shape: models fine-tuned from the same weights often do better together than each alone.

use segearth_checkpoint::ClipWeights;
use tch::{Kind, Tensor};

use super::export::tensors;
use super::layers::Tensors;
use crate::error::{Error, Result};

/// Averages every weight in float32.
///
/// # Errors
/// There are fewer than two, or their sizes differ; `names` are those of the files, for messages.
pub fn average(clips: &[ClipWeights], names: &[String]) -> Result<Tensors> {
    let name = |index: usize| names.get(index).map_or("the weights", String::as_str);
    let [first, others @ ..] = clips else { return Err(Error::input("no weights to average")) };
    if others.is_empty() {
        return Err(Error::input("one model alone has no average").with_hint("Name two or more checkpoints."));
    }
    if let Some(other) = others.iter().position(|other| other.sizes != first.sizes) {
        return Err(Error::input(format!("{} has other sizes than {}", name(other + 1), name(0)))
            .with_hint("Only CLIPs of one shape, fine-tuned from the same weights, can be averaged."));
    }
    let mut mean = tensors(&first.tensors, "", Kind::Float)?;
    for (index, other) in others.iter().enumerate() {
        let other = tensors(&other.tensors, "", Kind::Float)?;
        for (key, sum) in &mut mean {
            // Only the scale of the logits may be missing, which nothing here uses.
            let Some(more) = other.get(key) else { continue };
            if more.size() != sum.size() {
                return Err(Error::input(format!(
                    "{key} of {} has another shape than in {}",
                    name(index + 1),
                    name(0)
                )));
            }
            *sum = sum.f_add(more)?;
        }
    }
    let count = clips.len() as f64;
    mean.into_iter().map(|(key, sum): (String, Tensor)| Ok((key, sum.f_div_scalar(count)?))).collect()
}
