//! Models that are here, and whether the built-in one and a very small network compute what they should.

use std::time::Instant;

use serde_json::json;

use crate::error::{Error, Result};
use crate::geom::Window;
use crate::model::bundle::{Bundle, Trust};
use crate::model::queries::{self, Wording};
use crate::model::torch::parity::{TOLERANCE, TOLERANCE_GPU, parity};
use crate::model::torch::{Device, TorchTextEncoder};
use crate::model::{self, Images, Normalisation, Padding, Shortcuts, TokenSource, mini, normalise, registry};
use crate::report::DoctorReport;
use crate::scene::Tile;

/// Lists the models; only their cards are read.
pub fn models(report: &mut DoctorReport) {
    report.section("models");
    report.valued_fact(mini::NAME, "built in", json!({ "built_in": true }));
    let Some(folder) = registry::folder() else { return };
    for name in registry::names() {
        match Bundle::open(&folder.join(&name), Trust::User) {
            Ok(bundle) => {
                let card = &bundle.card;
                report.valued_fact(
                    &name,
                    format!("{}, window {}, upsampler {}", precision(&card.method.precision), card.sizes.window, card.method.upsampler),
                    json!({ "precision": card.method.precision, "window": card.sizes.window, "upsampler": card.method.upsampler }),
                );
            }
            Err(error) => {
                report.fact(&name, format!("cannot be used: {error}"));
                report.note(
                    format!("the model {name} cannot be used: {error}"),
                    error.hint().unwrap_or("Import it again.").to_owned(),
                );
            }
        }
    }
}

fn precision(written: &str) -> &str {
    if written.is_empty() { "fp32" } else { written }
}

/// Runs the built-in model and the network whose numbers are known.
pub fn check(devices: &[Device], report: &mut DoctorReport) {
    report.section("self_test");
    for &device in devices {
        let begun = Instant::now();
        let name = format!("parity on {device}");
        match parity(device) {
            Ok(found) => {
                let seconds = begun.elapsed().as_secs_f64();
                let allowed = if device == Device::Cpu { TOLERANCE } else { TOLERANCE_GPU };
                let kernels = found.kernels.map(|kernels| format!(", {kernels:.1e} in the program's kernels"));
                report.valued_fact(
                    &name,
                    format!(
                        "differences of logits {:.1e} in libtorch{}; allowed {allowed:.0e} ({seconds:.1} s)",
                        found.operations,
                        kernels.unwrap_or_default()
                    ),
                    json!({ "libtorch": found.operations, "kernels": found.kernels, "allowed": allowed, "seconds": seconds }),
                );
                if !found.holds(device) {
                    report.error(
                        format!("a network whose numbers are known computes others on {device}"),
                        "Another libtorch, or a defective processor or GPU: report this output as a bug.",
                    );
                }
            }
            Err(error) => failed(report, &name, &error, &format!("{device} does not compute")),
        }
    }
    let begun = Instant::now();
    match built_in_model() {
        Ok(()) => {
            let seconds = begun.elapsed().as_secs_f64();
            report.valued_fact("built-in model", format!("works ({seconds:.1} s)"), json!({ "seconds": seconds }));
        }
        Err(error) => failed(report, "built-in model", &error, "the built-in model does not run"),
    }
}

fn failed(report: &mut DoctorReport, name: &str, error: &Error, what: &str) {
    let words = [vec![error.to_string()], error.causes()].concat().join(": ");
    report.fact(name, format!("fails: {words}"));
    report.error(format!("{what}: {words}"), error.hint().unwrap_or("Report this output as a bug.").to_owned());
}

/// Segments a picture, water on the left and forest on the right, as a run does.
fn built_in_model() -> Result<()> {
    let bundle = mini::bundle()?;
    let prompts = ["water".to_owned(), "forest".to_owned()];
    let wording = Wording { prompts: &prompts, templates: &["{}".to_owned()] };
    let mut encoder = TorchTextEncoder::load(&bundle.text_encoder(), Device::Cpu)?;
    let queries = queries::encode(wording, &mini::tokenizer()?, &mut encoder, |_| ())?;
    let (shortcuts, tokens) = (Shortcuts::default(), TokenSource::Tower);
    let mut segmenter = model::segmenter(&bundle, Device::Cpu, &queries, 0.3, shortcuts, tokens)?;
    let logits = segmenter.segment(&picture(bundle.card.sizes.window))?;
    let pixels = logits.len() / prompts.len();
    if pixels == 0 || logits.iter().any(|logit| !logit.is_finite()) {
        return Err(Error::internal("its logits are not finite numbers"));
    }
    Ok(())
}

/// A square picture in two colours with a slight texture, normalised.
fn picture(side: usize) -> Images {
    let colour = |column: usize| if 2 * column < side { [20u8, 40, 70] } else { [30, 60, 25] };
    let channel = |channel: usize| {
        (0..side * side).map(move |at| {
            let (row, column) = (at / side, at % side);
            let base = colour(column).get(channel).copied().unwrap_or(0);
            f32::from(base) + ((row * 7 + column * 13) % 5) as f32
        })
    };
    let window = Window { col: 0, row: 0, width: side, height: side };
    let tile = Tile { window, rgb: (0..3).flat_map(channel).collect(), valid: None };
    normalise(&[tile], &Normalisation::CLIP, &Padding::new(window.size(), side))
}
