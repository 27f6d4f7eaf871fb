//! How right a class map is: the confusion matrix over one pair of maps or a whole set, and the figures from it.
//!
//! ```text
//!  prediction ──► values ──┐ lookups (file names, --map)
//!                          ├──► classes ──► confusion matrix ──► IoU, precision, recall, F1, means
//!  reference ──► on the prediction's grid ──► values, colours or texts
//! ```
//!
//! Counts run over the whole set before anything is divided, as in the paper's tables. Pixels that are ignored, or that one
//! of the two maps does not cover, are left out and counted apart.

mod classes;
mod code;
mod compare;
mod confusion;
mod map;
mod pairs;
mod table;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

pub use code::Code;
pub use compare::PixelCounts;
pub use confusion::{ClassScore, ConfusionMatrix, Means};
pub use map::ClassMap;

use crate::atomic;
use crate::error::{Context, Error, Result};
use compare::{Compared, compare};

/// What to compare.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// A class map, or a folder of them.
    pub prediction: PathBuf,
    /// A label image or polygons, or a folder of them.
    pub reference: PathBuf,
    pub map: Option<ClassMap>,
    /// Codes of the reference, or names of classes, that are left out besides the map's own.
    pub ignore: Vec<Code>,
    pub vector: VectorOptions,
}

/// How polygons of a reference become classes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VectorOptions {
    /// `None`: the file's only layer.
    pub layer: Option<String>,
    /// The field that holds the class; `None`: `class`.
    pub field: Option<String>,
    /// The class of every polygon, in place of a field.
    pub all_are: Option<String>,
    /// The class of the pixels that no polygon holds; `None`: they are left out.
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
    /// Label files of either side that found no partner.
    pub without_partner: Vec<PathBuf>,
    /// What a reader should know, in sentences.
    pub notes: Vec<String>,
}

/// The result of one pair.
#[derive(Clone, Debug, Serialize)]
pub struct PairResult {
    pub prediction: PathBuf,
    pub reference: PathBuf,
    /// The reference was laid on another grid than its own.
    pub warped: bool,
    pub pixels: PixelCounts,
    pub miou: Option<f64>,
    pub overall_accuracy: Option<f64>,
}

/// Compares every pair, in parallel; `done` is called after each, from any thread.
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
            "{} has the classes {}, and {} has {}",
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
        let Compared { warped, counts: pixels, notes: said, .. } = one;
        notes.extend(said.into_iter().filter(|note| !notes.contains(note)).collect::<Vec<_>>());
        results.push(PairResult {
            prediction: pair.prediction,
            reference: pair.reference,
            warped,
            pixels,
            miou,
            overall_accuracy,
        });
    }
    Ok(Evaluation {
        classes: confusion.scores(&names),
        means: confusion.means(),
        pixels,
        confusion,
        pairs: results,
        without_partner: [pairs.predictions_alone, pairs.references_alone].concat(),
        notes,
    })
}

impl Evaluation {
    /// Writes everything as JSON; the file appears only when it is whole.
    pub fn write_json(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).input(|| format!("cannot write {}", path.display()))?;
        atomic::write_file(path, &text)
    }

    /// The figures as a table for people to read, with the confusion matrix where it is not too wide.
    pub fn table(&self) -> String {
        table::render(self)
    }
}

fn rows<S: serde::Serializer>(matrix: &ConfusionMatrix, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_seq(matrix.rows())
}
