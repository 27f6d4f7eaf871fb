//! Classes by conditions on bands, in rows that the words have labelled.
//!
//! A class with a condition and no prompts takes every pixel with data that meets its condition, whatever the words say; of several such
//! classes the first one. A class with a condition and prompts keeps only pixels that meet it: the others get the best class that is left.

use super::super::prepared::SceneRun;
use crate::error::{Error, Result};
use crate::geom::Window;
use crate::index::Condition;
use crate::pipeline::Plan;
use crate::raster::PhysicalReader;
use crate::scene::{Classifier, Labelled};

/// The conditions of a scene's classes.
pub(super) struct IndexRules<'a> {
    reader: PhysicalReader,
    rules: Vec<Rule<'a>>,
    /// Pixels without a label stay so.
    labelled_only: bool,
    classifier: &'a Classifier,
}

struct Rule<'a> {
    class: usize,
    condition: &'a Condition,
    /// The place of each of its bands among the reader's.
    bands: Vec<usize>,
    /// It restricts a class of words instead of deciding by itself.
    masks: bool,
}

/// Whether a class of words is restricted, for which the scores of all classes are needed.
pub(super) fn masks(plan: &Plan) -> bool {
    plan.classes.iter().any(|class| class.index.is_some() && !class.prompts.is_empty())
}

/// Whether any class has a condition.
pub(super) fn any(plan: &Plan) -> bool {
    plan.classes.iter().any(|class| class.index.is_some())
}

impl<'a> IndexRules<'a> {
    /// Opens the bands of a scene; `None` where no class has a condition.
    ///
    /// # Errors
    /// The scene cannot be read.
    pub fn open(run: &SceneRun<'a>) -> Result<Option<Self>> {
        let (plan, scene) = (&run.job.plan, run.scene);
        if !any(plan) {
            return Ok(None);
        }
        let numbers: Vec<usize> = scene.index_bands.iter().map(|(_, number)| *number).collect();
        let place = |name: &String| scene.index_bands.iter().position(|(known, _)| known == name);
        let rule = |(class, plan): (usize, &'a crate::pipeline::ClassPlan)| {
            let condition = plan.index.as_deref()?;
            let bands: Option<Vec<usize>> = condition.bands().iter().map(place).collect();
            let missing = || Error::internal(format!("a band of `{condition}` was not resolved"));
            Some(bands.ok_or_else(missing).map(|bands| Rule {
                class,
                condition,
                bands,
                masks: !plan.prompts.is_empty(),
            }))
        };
        // There the area of interest is known by the labels alone.
        let native = scene.zoom().is_some();
        Ok(Some(Self {
            labelled_only: native,
            reader: PhysicalReader::open(&scene.info, &numbers, native)?,
            rules: plan.classes.iter().enumerate().filter_map(rule).collect::<Result<_>>()?,
            classifier: &run.job.classifier,
        }))
    }

    /// Applies them to the rows of a window.
    ///
    /// # Errors
    /// The bands cannot be read.
    pub fn apply(&self, window: Window, labelled: &mut Labelled) -> Result<()> {
        let pixels = window.size().pixels();
        let values = self.reader.read(window)?;
        let planes: Vec<&[f32]> = values.chunks_exact(pixels.max(1)).collect();
        let holds: Vec<Vec<bool>> = self
            .rules
            .iter()
            .map(|rule| {
                let bands: Vec<&[f32]> = rule.bands.iter().filter_map(|band| planes.get(*band).copied()).collect();
                rule.condition.holds(&bands, pixels)
            })
            .collect();
        let before = if self.labelled_only { labelled.labels.clone() } else { Vec::new() };
        decide(self.classifier, &self.rules, &holds, labelled);
        for (label, _) in labelled.labels.iter_mut().zip(before).filter(|(_, before)| *before == self.classifier.nodata)
        {
            *label = self.classifier.nodata;
        }
        Ok(())
    }
}

fn decide(classifier: &Classifier, rules: &[Rule<'_>], holds: &[Vec<bool>], labelled: &mut Labelled) {
    let (pixels, classes) = (labelled.labels.len(), classifier.classes());
    let holds_at = |rule: usize, pixel: usize| holds.get(rule).and_then(|all| all.get(pixel)).copied().unwrap_or(false);
    let Labelled { labels, scores, .. } = labelled;
    for (pixel, label) in labels.iter_mut().enumerate() {
        let own = rules.iter().enumerate().find(|(index, rule)| !rule.masks && holds_at(*index, pixel));
        if let Some((_, rule)) = own {
            *label = rule.class as u16;
            for class in 0..classes {
                if let Some(score) = scores.get_mut(class * pixels + pixel) {
                    *score = if class == rule.class { 1.0 } else { 0.0 };
                }
            }
            continue;
        }
        let closed = |(index, rule): (usize, &Rule<'_>)| (rule.masks && !holds_at(index, pixel)).then_some(rule.class);
        let closed: Vec<usize> = rules.iter().enumerate().filter_map(closed).collect();
        // A pixel without data has no scores.
        if closed.is_empty() || scores.get(pixel).is_none_or(|score| score.is_nan()) {
            continue;
        }
        for class in &closed {
            if let Some(score) = scores.get_mut(class * pixels + pixel) {
                *score = 0.0;
            }
        }
        let (mut best, mut winner) = (f32::NEG_INFINITY, None);
        for class in (0..classes).filter(|class| !closed.contains(class)) {
            let score = scores.get(class * pixels + pixel).copied().unwrap_or(0.0);
            // A class by a condition alone has no score of its own.
            let by_words = !rules.iter().any(|rule| rule.class == class && !rule.masks);
            if by_words && score > best {
                (best, winner) = (score, Some(class));
            }
        }
        let reached = winner.filter(|class| classifier.thresholds.get(*class).is_none_or(|least| best >= *least));
        *label = reached.or(classifier.background).map_or(classifier.nodata, |class| class as u16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::Pooling;

    fn classifier(thresholds: [f32; 3], background: Option<usize>) -> Classifier {
        Classifier {
            query_class: vec![0, 1],
            thresholds: thresholds.to_vec(),
            background,
            logit_scale: 1.0,
            bias: Vec::new(),
            pooling: Pooling::Largest,
            margin: 0.0,
            nodata: 255,
        }
    }

    fn rule(class: usize, condition: &Condition, masks: bool) -> Rule<'_> {
        Rule { class, condition, bands: Vec::new(), masks }
    }

    #[test]
    fn own_class_decides_and_the_first_one_wins() {
        let condition = Condition::parse("1 > 0").unwrap();
        let rules = [rule(2, &condition, false), rule(1, &condition, false)];
        let mut labelled = Labelled {
            labels: vec![0, 0, 255, 1],
            scores: [[0.7, 0.7, f32::NAN, 0.2], [0.3, 0.3, f32::NAN, 0.8], [0.0, 0.0, f32::NAN, 0.0]].concat(),
            rejected: 0.0,
        };
        let holds = [vec![true, false, false, false], vec![true, true, false, false]];
        decide(&classifier([0.0; 3], None), &rules, &holds, &mut labelled);
        assert_eq!(labelled.labels, [2, 1, 255, 1]);
        assert_eq!([labelled.scores[0], labelled.scores[4], labelled.scores[8]], [0.0, 0.0, 1.0]);
        assert_eq!(labelled.scores[7], 0.8, "untouched");
    }

    #[test]
    fn restricted_class_gives_way_to_the_next_best() {
        let condition = Condition::parse("1 > 0").unwrap();
        let rules = [rule(1, &condition, true)];
        let scores = [[0.3, 0.1, 0.3], [0.6, 0.6, 0.6], [0.1, 0.3, 0.1]].concat();
        let labelled = |thresholds, background, holds: Vec<bool>| {
            let mut labelled = Labelled { labels: vec![1; 3], scores: scores.clone(), rejected: 0.0 };
            decide(&classifier(thresholds, background), &rules, &[holds], &mut labelled);
            labelled
        };
        let closed = labelled([0.0; 3], None, vec![false, false, true]);
        assert_eq!(closed.labels, [0, 2, 1]);
        assert_eq!((closed.scores[3], closed.scores[5]), (0.0, 0.6));
        assert_eq!(labelled([0.5; 3], Some(2), vec![false, false, true]).labels, [2, 2, 1]);
        assert_eq!(labelled([0.5; 3], None, vec![false, false, true]).labels, [255, 255, 1]);
    }
}
