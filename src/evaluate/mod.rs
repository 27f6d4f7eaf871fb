//! Accuracy assessment: the confusion matrix of one pair of class maps or of a whole set, and the scores computed from it.
//!
//! ```text
//!  prediction ──► values ──┐ lookups (file names, --map)
//!                          ├──► classes ──► confusion matrix ──► IoU, precision, recall, F1, means
//!  reference ──► on the prediction's grid ──► values, colours or texts
//! ```
//!
//! Counts are summed over the whole set before any ratio is computed, as in the paper's tables. Ignored pixels, and pixels
//! that one of the two maps does not cover, are counted separately.

mod classes;
mod code;
mod compare;
mod confusion;
mod map;
mod pairs;
pub mod protocol;
mod table;
#[cfg(test)]
mod tests;
pub mod thresholds;

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

pub use code::Code;
pub use compare::PixelCounts;
pub use confusion::{ClassScore, ConfusionMatrix, Means};
pub use map::ClassMap;

use crate::atomic;
use crate::error::{Context, Error, Result};
use crate::printable::printable_line;
use crate::raster::is_vector;
use crate::scene::same_name;
use compare::{Compared, compare};

/// The inputs and options of an evaluation.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// A class map, or a folder of them.
    pub prediction: PathBuf,
    /// A label image or polygons, or a folder of them.
    pub reference: PathBuf,
    pub map: Option<ClassMap>,
    /// Codes of the reference, or names of classes, that are ignored in addition to the class map's.
    pub ignore: Vec<Code>,
    pub vector: VectorOptions,
}

/// How classes are assigned to the polygons of a reference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VectorOptions {
    /// `None`: the file's only layer.
    pub layer: Option<String>,
    /// The field with the class; `None`: the field `class`.
    pub field: Option<String>,
    /// The class of every polygon, instead of a field.
    pub all_are: Option<String>,
    /// The class of the pixels outside all polygons; `None`: they are not evaluated.
    pub outside: Option<String>,
}

/// The result over all pairs.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    pub classes: Vec<ClassScore>,
    #[serde(flatten)]
    pub means: Means,
    pub pixels: PixelCounts,
    /// Rows: the reference's classes; columns: the predicted ones; pixel counts.
    #[serde(serialize_with = "rows")]
    pub confusion: ConfusionMatrix,
    pub pairs: Vec<PairResult>,
    /// Predictions without a matching reference, and references without a matching prediction.
    #[serde(rename = "without_partner")]
    pub unmatched: Vec<PathBuf>,
    /// Notes for the user, in sentences.
    pub notes: Vec<String>,
}

/// The result of one pair.
#[derive(Clone, Debug, Serialize)]
pub struct PairResult {
    pub prediction: PathBuf,
    pub reference: PathBuf,
    /// Whether the reference was resampled to the grid of the prediction.
    pub warped: bool,
    pub pixels: PixelCounts,
    pub miou: Option<f64>,
    pub overall_accuracy: Option<f64>,
}

/// Evaluates all pairs in parallel; `done` is called after each, from any thread.
pub fn evaluate(request: &Request, done: &(dyn Fn(&Path) + Sync)) -> Result<Evaluation> {
    let pairs = pairs::pair(&request.prediction, &request.reference)?;
    let compared: Vec<Compared> = pairs
        .pairs
        .par_iter()
        .map(|pair| {
            let compared = compare(pair, request)?;
            done(&pair.prediction);
            Ok(compared)
        })
        .collect::<Result<_>>()?;

    let names = compared.first().map(|first| first.names.clone()).unwrap_or_default();
    if let Some((pair, other)) = pairs.pairs.iter().zip(&compared).find(|(_, other)| other.names != names) {
        return Err(Error::input(format!(
            "{} has the classes {}, but {} has {}",
            pairs.pairs.first().map_or_else(|| request.prediction.display(), |pair| pair.prediction.display()),
            names.join(", "),
            pair.prediction.display(),
            other.names.join(", ")
        ))
        .with_hint("Compare maps of one job at a time."));
    }
    let mut confusion = ConfusionMatrix::new(names.len());
    let mut pixels = PixelCounts::default();
    let mut results = Vec::with_capacity(compared.len());
    let mut notes = Vec::new();
    for (pair, one) in pairs.pairs.into_iter().zip(compared) {
        confusion.merge(&one.confusion);
        pixels.add(&one.counts);
        let Means { miou, overall_accuracy, .. } = one.confusion.means();
        let Compared { warped, counts: pixels, notes: its_notes, .. } = one;
        notes.extend(its_notes.into_iter().filter(|note| !notes.contains(note)).collect::<Vec<_>>());
        results.push(PairResult {
            prediction: pair.prediction,
            reference: pair.reference,
            warped,
            pixels,
            miou,
            overall_accuracy,
        });
    }
    let classes = confusion.scores(&names);
    if request.vector.outside.is_none() && results.iter().any(|pair| is_vector(&pair.reference)) {
        notes.extend(not_in_polygons(&classes));
    }
    Ok(Evaluation {
        classes,
        means: confusion.means(),
        pixels,
        confusion,
        pairs: results,
        unmatched: [pairs.unmatched_predictions, pairs.unmatched_references].concat(),
        notes,
    })
}

/// A note on the classes of which the polygons of a reference have none: they are nowhere known to be wrong.
fn not_in_polygons(classes: &[ClassScore]) -> Option<String> {
    let without: Vec<&str> =
        classes.iter().filter(|class| class.reference_pixels == 0).map(|class| class.class.as_str()).collect();
    let first = without.first()?;
    let listed: Vec<String> = without.iter().map(|name| format!("`{}`", printable_line(name))).collect();
    let outside = without.iter().find(|name| same_name(name, "background")).or((without.len() == 1).then_some(first));
    let advice = outside.map_or_else(
        || "Draw some of each class.".to_owned(),
        |name| format!("If the polygons are complete, add --outside '{}'; else draw some.", printable_line(name)),
    );
    Some(format!(
        "No polygon of the reference is {}: what the map finds outside of the polygons is not counted as wrong. {advice}",
        listed.join(" or "),
    ))
}

impl Evaluation {
    /// Writes the evaluation as JSON, atomically.
    pub fn write_json(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).input(|| format!("cannot write {}", path.display()))?;
        atomic::write_file(path, &text)
    }

    /// The scores as a text table, with the confusion matrix where it is not too wide.
    pub fn table(&self) -> String {
        table::render(self)
    }
}

fn rows<S: serde::Serializer>(matrix: &ConfusionMatrix, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_seq(matrix.rows())
}
