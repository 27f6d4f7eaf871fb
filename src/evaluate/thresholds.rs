//! Thresholds of classes fitted to labelled scenes: those with the largest mIoU, and what they are worth on scenes that they were not
//! fitted to.
//!
//! A pixel is its best class where that class's score reaches the class's threshold, else background. So a scene is, for each best
//! class, a histogram of scores by true class: any thresholds are tried on that alone.

#![expect(clippy::indexing_slicing, reason = "classes and bins that the histograms have")]

use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;

use super::protocol::{Histograms, TruthRule};
use super::{ClassMap, pairs, table};
use crate::error::{Error, Result};
use crate::raster::{CodedRaster, ScoreReader, blocks};

/// Thresholds that are tried: 0, 0.01, … 1.
const BINS: usize = 101;

/// Folds of the cross-validation, or as many as there are pairs.
const FOLDS: usize = 5;

/// Rounds over all classes; each only ever raises the mIoU.
const ROUNDS: usize = 10;

/// Pixels of a scene by best class, bin of its score, and true class; the last true class stands for values past the last.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Scene {
    classes: usize,
    counts: Vec<u64>,
}

impl Scene {
    fn new(classes: usize) -> Self {
        Self { classes, counts: vec![0; classes * BINS * (classes + 1)] }
    }

    fn at(&self, best: usize, bin: usize, truth: usize) -> usize {
        (best * BINS + bin) * (self.classes + 1) + truth
    }

    fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, other)| *count += other);
    }

    /// The counts of the protocol with these thresholds, as bins.
    fn histograms(&self, thresholds: &[usize], background: usize) -> Histograms {
        let mut out = Histograms::new(self.classes);
        for (best, threshold) in thresholds.iter().enumerate() {
            for bin in 0..BINS {
                let predicted = if bin < *threshold { background } else { best };
                for truth in 0..=self.classes {
                    let pixels = self.counts[self.at(best, bin, truth)];
                    out.predicted[predicted] += pixels;
                    if let Some(count) = out.truth.get_mut(truth) {
                        *count += pixels;
                    }
                    if truth == predicted {
                        out.intersection[predicted] += pixels;
                    }
                }
            }
        }
        out
    }

    fn miou(&self, thresholds: &[usize], background: usize) -> f64 {
        self.histograms(thresholds, background).figures(&[]).miou.unwrap_or(0.0)
    }

    /// The thresholds with the largest mIoU, one class after another until nothing changes.
    fn fit(&self, background: usize) -> Vec<usize> {
        let mut thresholds = vec![0; self.classes];
        let mut best = self.miou(&thresholds, background);
        for _ in 0..ROUNDS {
            let before = thresholds.clone();
            for class in (0..self.classes).filter(|class| *class != background) {
                let mut kept = thresholds[class];
                for threshold in 0..BINS {
                    thresholds[class] = threshold;
                    let miou = self.miou(&thresholds, background);
                    // Of equal ones the lowest: it rejects least.
                    if miou > best + 1e-12 {
                        (best, kept) = (miou, threshold);
                    }
                }
                thresholds[class] = kept;
            }
            if thresholds == before {
                break;
            }
        }
        thresholds
    }
}

/// Fitted thresholds and what they are worth.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fitted {
    pub classes: Vec<String>,
    /// 0..=1, in the order of the classes; 0 for the background.
    pub thresholds: Vec<f64>,
    /// mIoU of all scenes without thresholds, and with the fitted ones.
    pub without: f64,
    pub fitted: f64,
    /// mIoU where each scene has thresholds that were fitted to scenes of the other folds; `None` for a single scene.
    pub cross_validated: Option<f64>,
    pub scenes: usize,
}

impl Fitted {
    /// The thresholds as text, and as keys of a job.
    pub fn text(&self) -> String {
        let percent = |share: f64| format!("{:.2}", 100.0 * share);
        let rows = self.classes.iter().zip(&self.thresholds).map(|(name, at)| vec![name.clone(), format!("{at:.2}")]);
        let head = vec!["class".to_owned(), "threshold".to_owned()];
        let mut lines = table::align(std::iter::once(head).chain(rows).collect());
        let held_out = match self.cross_validated {
            Some(share) => format!("{} on scenes that they were not fitted to", percent(share)),
            None => "no other scene to try them on".to_owned(),
        };
        lines.push(String::new());
        lines.push(format!(
            "mIoU {} without thresholds, {} with these, {held_out} ({} scenes)",
            percent(self.without),
            percent(self.fitted),
            self.scenes
        ));
        lines.join("\n") + "\n"
    }
}

/// Fits thresholds to score rasters, which match truth as predictions do. `rule` completes what the class map says of truth.
///
/// # Errors
/// A file cannot be read; sizes or bands differ; `background` is no class.
pub fn fit(
    scores: &Path,
    truth: &Path,
    map: Option<&ClassMap>,
    background: &str,
    rule: impl Fn(TruthRule) -> TruthRule,
) -> Result<Fitted> {
    let pairs = pairs::pair_scores(scores, truth)?.pairs;
    let names =
        pairs.first().map_or(Ok(Vec::new()), |pair| Ok::<_, Error>(ScoreReader::open(&pair.prediction)?.names()))?;
    let background = names.iter().position(|name| crate::scene::same_name(name, background)).ok_or_else(|| {
        Error::input(format!("{background:?} is not a class of the scores; they have {}", names.join(", ")))
            .with_hint("Name the background with --background.")
    })?;
    let rule = rule(map.map_or(Ok(TruthRule::default()), |map| TruthRule::of_map(map, &names))?);
    let scenes: Vec<Scene> =
        pairs.par_iter().map(|pair| scene(&pair.prediction, &pair.reference, &rule, &names)).collect::<Result<_>>()?;
    Ok(fitted(&scenes, names, background))
}

fn fitted(scenes: &[Scene], classes: Vec<String>, background: usize) -> Fitted {
    let sum = |keep: &dyn Fn(usize) -> bool| {
        let mut all = Scene::new(classes.len());
        scenes.iter().enumerate().filter(|(index, _)| keep(*index)).for_each(|(_, scene)| all.merge(scene));
        all
    };
    let all = sum(&|_| true);
    let thresholds = all.fit(background);
    let folds = FOLDS.min(scenes.len());
    let cross_validated = (folds > 1).then(|| {
        let held_out: Vec<Histograms> = (0..folds)
            .into_par_iter()
            .map(|fold| {
                let others = sum(&|index| index % folds != fold);
                sum(&|index| index % folds == fold).histograms(&others.fit(background), background)
            })
            .collect();
        let mut counts = Histograms::new(classes.len());
        held_out.iter().for_each(|held_out| counts.merge(held_out));
        counts.figures(&[]).miou.unwrap_or(0.0)
    });
    Fitted {
        without: all.miou(&vec![0; classes.len()], background),
        fitted: all.miou(&thresholds, background),
        thresholds: thresholds.iter().map(|bin| *bin as f64 / (BINS - 1) as f64).collect(),
        cross_validated,
        scenes: scenes.len(),
        classes,
    }
}

/// The histogram of one scene.
fn scene(scores: &Path, truth: &Path, rule: &TruthRule, names: &[String]) -> Result<Scene> {
    let reader = ScoreReader::open(scores)?;
    let mut reference = CodedRaster::open(truth)?.unmasked();
    if !rule.colours.is_empty() || rule.threshold.is_some() {
        reference = reference.as_colours();
    }
    if reader.names() != names || reader.size() != reference.info().size {
        return Err(Error::input(format!(
            "{} has {} and the classes {}; expected are {} and {}",
            scores.display(),
            reader.size(),
            reader.names().join(", "),
            reference.info().size,
            names.join(", ")
        ))
        .with_hint("Use the score rasters of one job, as large as their truth."));
    }
    let mut out = Scene::new(names.len());
    for window in blocks(reader.size()) {
        let planes = reader.read(window)?;
        let pixels = window.size().pixels();
        for (pixel, stored) in reference.read(window)?.into_iter().enumerate() {
            let Some(truth) = rule.class_of(stored, reference.coding(), truth)? else { continue };
            let of_class = (0..names.len()).map(|class| planes[class * pixels + pixel]);
            let mut best = (0, f32::NEG_INFINITY);
            for (class, score) in of_class.enumerate() {
                if score > best.1 {
                    best = (class, score);
                }
            }
            if best.1.is_finite() {
                // A score reaches the thresholds up to its own bin.
                let bin = ((best.1.clamp(0.0, 1.0) * (BINS - 1) as f32 + 1e-4) as usize).min(BINS - 1);
                let truth = usize::try_from(truth).ok().filter(|truth| *truth < names.len()).unwrap_or(names.len());
                let at = out.at(best.0, bin, truth);
                out.counts[at] += 1;
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pixels (best class, score in hundredths, true class, how many) of a scene of three classes.
    fn made(pixels: &[(usize, usize, usize, u64)]) -> Scene {
        let mut scene = Scene::new(3);
        for &(best, bin, truth, count) in pixels {
            let at = scene.at(best, bin, truth);
            scene.counts[at] += count;
        }
        scene
    }

    #[test]
    fn thresholds_part_right_from_wrong_scores() {
        // Class 1 is right above 0.6 and background below; class 2 is right everywhere.
        let scene =
            made(&[(0, 50, 0, 100), (1, 40, 0, 60), (1, 60, 1, 40), (1, 90, 1, 40), (2, 10, 2, 30), (2, 80, 2, 30)]);
        let found = fitted(&[scene.clone(), scene.clone()], vec!["a".into(), "b".into(), "c".into()], 0);
        assert_eq!(found.thresholds, [0.0, 0.41, 0.0]);
        assert_eq!((found.fitted, found.cross_validated), (1.0, Some(1.0)));
        assert!(
            found.without < 0.9 && found.text().contains("100.00 with these, 100.00 on scenes"),
            "{}",
            found.text()
        );
        assert_eq!(fitted(&[scene], vec![String::new(); 3], 0).cross_validated, None);
    }

    #[test]
    fn what_helps_one_scene_alone_is_seen() {
        let good = made(&[(0, 50, 0, 100), (1, 30, 0, 50), (1, 80, 1, 50)]);
        let bad = made(&[(0, 50, 0, 100), (1, 30, 1, 50), (1, 80, 0, 50)]);
        let found = fitted(&[good, bad], vec!["a".into(), "b".into(), "c".into()], 0);
        assert!(found.cross_validated.unwrap() < found.fitted, "{found:?}");
    }
}
