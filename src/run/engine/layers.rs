//! The rasters of a scene as layers of the journal: what is kept of every pixel, as bytes and as values.

#![expect(clippy::indexing_slicing, reason = "chunks of exactly so many bytes")]

use super::super::prepared::SceneRun;
use super::index;
use crate::error::{Error, Result};
use crate::journal::{Layer, Sample, Strip};
use crate::raster::{score_from_byte, score_to_byte};
use crate::scene::{Classifier, LabelType, Labelled, ScoreType};
use crate::stitch::certainty;

/// Rows that become labels at once: limits the memory of scores.
pub(super) const ROWS_AT_ONCE: usize = 32;

pub(super) const LABELS: &str = "labels";
pub(super) const SCORES: &str = "scores";
pub(super) const CONFIDENCE: &str = "confidence";
pub(super) const MARGIN: &str = "margin";

/// The layers of a plan: labels first.
pub(super) fn of(run: &SceneRun<'_>) -> Vec<Layer> {
    let (outputs, rasters) = (&run.scene.outputs, run.job.plan.rasters);
    let score = |kind| match kind {
        ScoreType::F32 => Sample::F32,
        ScoreType::U8 => Sample::U8,
    };
    let label = match LabelType::for_classes(run.job.classes.len()) {
        LabelType::U8 => Sample::U8,
        LabelType::U16 => Sample::U16,
    };
    let classes = run.job.classes.len();
    [
        (true, LABELS, 1, label),
        (outputs.scores.is_some(), SCORES, classes, score(rasters.scores)),
        (outputs.confidence.is_some(), CONFIDENCE, 1, score(rasters.certainty)),
        (outputs.margin.is_some(), MARGIN, 1, score(rasters.certainty)),
    ]
    .into_iter()
    .filter(|layer| layer.0)
    .map(|(_, name, planes, sample)| Layer { name: name.to_owned(), planes, sample })
    .collect()
}

/// Whether labels alone are not enough.
pub(super) fn need_scores(run: &SceneRun<'_>) -> bool {
    run.scene.outputs.scores.is_some() || certain(run) || index::masks(&run.job.plan)
}

fn certain(run: &SceneRun<'_>) -> bool {
    run.scene.outputs.confidence.is_some() || run.scene.outputs.margin.is_some()
}

/// Makes bytes of what the layers keep of labelled rows.
pub(super) fn strip(run: &SceneRun<'_>, layers: &[Layer], rows: usize, labelled: &Labelled) -> Strip {
    let certain = certain(run);
    let sure = certain.then(|| certainty(&labelled.scores, run.job.classes.len()));
    let layers = layers
        .iter()
        .map(|layer| match (layer.name.as_str(), &sure) {
            (SCORES, _) => score_bytes(&labelled.scores, layer.sample),
            (CONFIDENCE, Some(sure)) => score_bytes(&sure.confidence, layer.sample),
            (MARGIN, Some(sure)) => score_bytes(&sure.margin, layer.sample),
            _ => match layer.sample {
                // No label is larger than the nodata value of its type.
                Sample::U8 => labelled.labels.iter().map(|&label| label as u8).collect(),
                _ => labelled.labels.iter().flat_map(|label| label.to_le_bytes()).collect(),
            },
        })
        .collect();
    Strip { rows, layers }
}

fn score_bytes(scores: &[f32], sample: Sample) -> Vec<u8> {
    match sample {
        Sample::U8 => scores.iter().map(|&score| score_to_byte(score)).collect(),
        _ => scores.iter().flat_map(|score| score.to_le_bytes()).collect(),
    }
}

/// The labels in rows of the journal, whose checksums say that they are as they were written, and not by whom.
pub(super) fn labels(bytes: &[u8], sample: Sample, classifier: &Classifier) -> Result<Vec<u16>> {
    let labels: Vec<u16> = match sample {
        Sample::U8 => bytes.iter().map(|&label| u16::from(label)).collect(),
        _ => bytes.chunks_exact(2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]])).collect(),
    };
    let classes = classifier.thresholds.len();
    match labels.iter().find(|&&label| usize::from(label) >= classes && label != classifier.nodata) {
        None => Ok(labels),
        Some(label) => {
            Err(Error::input(format!("the unfinished rows hold the label {label}, there are {classes} classes"))
                .with_hint("Restart with --overwrite: finished rows are computed again."))
        }
    }
}

pub(super) fn scores(bytes: &[u8], sample: Sample) -> Vec<f32> {
    match sample {
        Sample::U8 => bytes.iter().map(|&byte| score_from_byte(byte)).collect(),
        _ => bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect(),
    }
}
