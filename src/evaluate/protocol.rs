//! Counting as the paper's evaluation does: pixels of a whole set by class, from truth that is read as it is stored.
//!
//! Unlike [`evaluate`](super::evaluate), nothing is resampled or left out but truth of the value 255. A pixel whose truth is past
//! the last class still counts among the predicted ones, and a pixel without a predicted class is a miss for its true one.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use super::map::ClassMap;
use super::{Code, pairs, table};
use crate::atomic;
use crate::error::{Context, Error, Result};
use crate::geom::{Size, Window};
use crate::raster::{ABSENT, CodedRaster, Coding, blocks};

/// The value of truth that is left out.
const IGNORED: i64 = 255;

/// How stored truth becomes classes, in this order: colours, threshold, values, reduced zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TruthRule {
    /// Values of colours, 0xRRGGBB, where truth has colours.
    pub colours: Vec<(u32, i64)>,
    /// The value of all other colours; `None`: they are left out.
    pub other_colours: Option<i64>,
    /// Values from this on become 1, smaller ones 0.
    pub threshold: Option<i64>,
    /// Values that become others.
    pub values: Vec<(i64, i64)>,
    /// 0 is left out, and each other value is one less.
    pub reduce_zero: bool,
}

impl TruthRule {
    /// The class of what is stored; `None`: left out.
    fn class(&self, stored: Stored) -> Option<i64> {
        let mut value = match stored {
            Stored::Value(value) => value,
            Stored::Colour(colour) => {
                let known = self.colours.iter().find(|(known, _)| *known == colour).map(|(_, value)| *value);
                known.or(self.other_colours)?
            }
        };
        if let Some(threshold) = self.threshold {
            value = i64::from(value >= threshold);
        }
        if let Some((_, other)) = self.values.iter().find(|(from, _)| *from == value) {
            value = *other;
        }
        if self.reduce_zero {
            value = if value == 0 || value == IGNORED { IGNORED } else { value - 1 };
        }
        (value != IGNORED).then_some(value)
    }

    /// The rule of a class map for these classes: its codes become the class's index, and its ignored codes are left out.
    ///
    /// # Errors
    /// The map names a class that is not among them, or codes classes by texts.
    pub fn of_map(map: &ClassMap, names: &[String]) -> Result<Self> {
        let mut rule = Self::default();
        let ignored = map.ignore.iter().map(|code| (IGNORED, code));
        let mut assigned = Vec::new();
        for (name, codes) in &map.classes {
            let class = names.iter().position(|known| crate::scene::same_name(known, name)).ok_or_else(|| {
                super::map::unknown_class(name, "the class map", "the prediction", &names.iter().collect::<Vec<_>>())
            })?;
            let class = i64::try_from(class).unwrap_or(IGNORED);
            assigned.extend(codes.iter().map(|code| (class, code)));
        }
        for (value, code) in assigned.into_iter().chain(ignored) {
            match code {
                Code::Value(stored) => rule.values.push((*stored, value)),
                Code::Colour([red, green, blue]) => {
                    rule.colours.push((u32::from_be_bytes([0, *red, *green, *blue]), value));
                }
                Code::Text(text) => {
                    return Err(Error::input(format!(
                        "the class map has the text {text:?}; truth has values or colours"
                    ))
                    .with_hint("Write a number or a colour such as '#3C1098'."));
                }
            }
        }
        if !rule.colours.is_empty() && !rule.values.is_empty() {
            return Err(Error::input("the class map has colours and values; truth has one of both")
                .with_hint("Write all codes as colours, or all as values."));
        }
        Ok(rule)
    }
}

impl TruthRule {
    /// The class of a code of a label raster; `None`: left out. `path` is the raster's, for messages.
    ///
    /// # Errors
    /// A colour that is no grey, and for which there is no rule.
    pub(super) fn class_of(&self, code: i64, coding: Coding, path: &Path) -> Result<Option<i64>> {
        Ok(self.class(pixel(code, coding, self, path)?))
    }
}

/// A pixel of truth as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    Value(i64),
    /// 0xRRGGBB
    Colour(u32),
}

/// Pixels by class: intersection, predicted and true ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Histograms {
    /// Prediction and truth are this class.
    pub intersection: Vec<u64>,
    /// The prediction is this class.
    pub predicted: Vec<u64>,
    /// The truth is this class.
    pub truth: Vec<u64>,
}

impl Histograms {
    pub fn new(classes: usize) -> Self {
        Self { intersection: vec![0; classes], predicted: vec![0; classes], truth: vec![0; classes] }
    }

    /// Adds a pixel whose truth is not left out. Values that are no class enter no histogram of theirs.
    fn add(&mut self, predicted: i64, truth: i64) {
        let count = |of: &mut Vec<u64>, class: i64| {
            if let Some(count) = usize::try_from(class).ok().and_then(|class| of.get_mut(class)) {
                *count += 1;
            }
        };
        count(&mut self.predicted, predicted);
        count(&mut self.truth, truth);
        if predicted == truth {
            count(&mut self.intersection, truth);
        }
    }

    pub fn merge(&mut self, other: &Self) {
        let add = |to: &mut Vec<u64>, from: &[u64]| to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        add(&mut self.intersection, &other.intersection);
        add(&mut self.predicted, &other.predicted);
        add(&mut self.truth, &other.truth);
    }

    /// The figures of these counts; `names` are those of the classes.
    pub fn figures(&self, names: &[String]) -> Figures {
        let counts = self.intersection.iter().zip(&self.predicted).zip(&self.truth);
        let classes: Vec<ClassFigures> = counts
            .enumerate()
            .map(|(index, ((hits, predicted), truth))| ClassFigures {
                class: names.get(index).cloned().unwrap_or_else(|| index.to_string()),
                iou: ratio(*hits, predicted + truth - hits),
                accuracy: ratio(*hits, *truth),
                truth_pixels: *truth,
                predicted_pixels: *predicted,
            })
            .collect();
        let mean = |values: Vec<f64>| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
        Figures {
            overall_accuracy: ratio(self.intersection.iter().sum(), self.truth.iter().sum()),
            miou: mean(classes.iter().filter_map(|class| class.iou).collect()),
            mean_accuracy: mean(classes.iter().filter_map(|class| class.accuracy).collect()),
            foreground_iou: classes.get(1).filter(|_| classes.len() == 2).and_then(|class| class.iou),
            classes,
        }
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Shares of 0..=1; `None` where a denominator is zero.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    pub classes: Vec<ClassFigures>,
    /// aAcc: correct pixels among all of true classes.
    pub overall_accuracy: Option<f64>,
    /// mIoU over the classes that truth or prediction have, the background among them.
    pub miou: Option<f64>,
    /// mAcc over the classes that the truth has.
    pub mean_accuracy: Option<f64>,
    /// IoU of the second of two classes.
    pub foreground_iou: Option<f64>,
}

/// Figures of one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassFigures {
    pub class: String,
    pub iou: Option<f64>,
    /// Share of the true pixels that were predicted.
    pub accuracy: Option<f64>,
    pub truth_pixels: u64,
    pub predicted_pixels: u64,
}

/// A share as percent with two decimals.
pub fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.2}", 100.0 * share))
}

impl Figures {
    /// The figures as a text table, in percent.
    pub fn table(&self) -> String {
        let head = ["class", "IoU", "Acc"].map(str::to_owned).to_vec();
        let rows =
            self.classes.iter().map(|class| vec![class.class.clone(), percent(class.iou), percent(class.accuracy)]);
        let mut lines = table::align(std::iter::once(head).chain(rows).collect());
        let foreground = self.foreground_iou.map(|iou| format!(", foreground IoU {}", percent(Some(iou))));
        lines.push(String::new());
        lines.push(format!(
            "aAcc {}, mIoU {}, mAcc {}{}",
            percent(self.overall_accuracy),
            percent(self.miou),
            percent(self.mean_accuracy),
            foreground.unwrap_or_default()
        ));
        lines.join("\n") + "\n"
    }
}

/// A prediction and the truth that it is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub prediction: PathBuf,
    pub truth: PathBuf,
    /// The part of the truth under the prediction, which may reach beyond the truth: nothing counts there. `None`: all of it.
    pub part: Option<Window>,
}

/// Counts the pixels of one pair.
///
/// # Errors
/// A file cannot be read, sizes differ, or the truth has colours without a rule for them.
pub fn count(pair: &Pair, rule: &TruthRule, classes: usize) -> Result<Histograms> {
    let prediction = CodedRaster::open(&pair.prediction)?;
    let mut truth = CodedRaster::open(&pair.truth)?.unmasked();
    if !rule.colours.is_empty() || rule.threshold.is_some() {
        truth = truth.as_colours();
    }
    let (size, whole) = (prediction.info().size, truth.info().size);
    let part = pair.part.unwrap_or(whole.window());
    if part.size() != size {
        return Err(Error::input(format!(
            "{} has {size} pixels and {} has {}: the protocol never resizes truth",
            pair.prediction.display(),
            pair.truth.display(),
            part.size()
        ))
        .with_hint("Segment with `grid: scene`, or compare with `segearth evaluate` without --protocol."));
    }
    let mut counts = Histograms::new(classes);
    for window in blocks(size) {
        let (left, top) = (part.col + window.col, part.row + window.row);
        let inside = Size::new(whole.width.saturating_sub(left), whole.height.saturating_sub(top));
        let known = Window {
            col: left,
            row: top,
            width: window.width.min(inside.width),
            height: window.height.min(inside.height),
        };
        if known.size().pixels() == 0 {
            continue;
        }
        let found = prediction.read(Window { width: known.width, height: known.height, ..window })?;
        for (predicted, stored) in found.into_iter().zip(truth.read(known)?) {
            if let Some(truth) = rule.class_of(stored, truth.coding(), &pair.truth)? {
                counts.add(if predicted == ABSENT { -1 } else { predicted }, truth);
            }
        }
    }
    Ok(counts)
}

/// What a rule understands of a pixel: of colours without a rule, grey ones are numbers.
fn pixel(code: i64, coding: Coding, rule: &TruthRule, path: &Path) -> Result<Stored> {
    let [red, green, blue] = [code >> 16, code >> 8, code].map(|value| value & 0xff);
    match coding {
        Coding::Values => Ok(Stored::Value(code)),
        Coding::Colours if !rule.colours.is_empty() => Ok(Stored::Colour(code as u32)),
        Coding::Colours if red == green && green == blue => Ok(Stored::Value(red)),
        Coding::Colours => Err(Error::input(format!(
            "{} has the colour #{code:06X}, and nothing says which class that is",
            path.display()
        ))
        .with_hint("Pass a class map with --map: classes: {building: '#0000FF'}.")),
    }
}

/// An evaluation by the protocol.
#[derive(Clone, Debug, Serialize)]
pub struct ProtocolEvaluation {
    #[serde(flatten)]
    pub figures: Figures,
    pub counts: Histograms,
    pub pairs: usize,
    /// Files without a matching one.
    #[serde(rename = "without_partner")]
    pub unmatched: Vec<PathBuf>,
}

impl ProtocolEvaluation {
    /// Writes the evaluation as JSON, atomically.
    pub fn write_json(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).input(|| format!("cannot write {}", path.display()))?;
        atomic::write_file(path, &text)
    }
}

/// Counts a set of pairs, which match as in [`evaluate`](super::evaluate).
///
/// # Errors
/// As [`count`]; the classes of the predictions differ, or nothing names them.
pub fn evaluate(
    prediction: &Path,
    reference: &Path,
    map: Option<&ClassMap>,
    rule: impl Fn(TruthRule) -> TruthRule,
) -> Result<ProtocolEvaluation> {
    let pairs = pairs::pair(prediction, reference)?;
    let names = |path: &Path| Ok::<_, Error>(CodedRaster::open(path)?.names().distinct());
    let mut known = pairs.pairs.first().map_or(Ok(Vec::new()), |pair| names(&pair.prediction))?;
    if known.is_empty() {
        known = map.iter().flat_map(|map| &map.classes).map(|(name, _)| name.clone()).collect();
    }
    if known.is_empty() {
        return Err(Error::input(format!("nothing names the classes of {}", prediction.display()))
            .with_hint("Pass a class map with --map: classes: {background: 0, building: 1}."));
    }
    let base = map.map_or(Ok(TruthRule::default()), |map| TruthRule::of_map(map, &known))?;
    let rule = rule(base);
    let counts: Vec<Histograms> = pairs
        .pairs
        .par_iter()
        .map(|pair| {
            let own = names(&pair.prediction)?;
            if !own.is_empty() && own != known {
                return Err(Error::input(format!(
                    "{} has the classes {}, others have {}",
                    pair.prediction.display(),
                    own.join(", "),
                    known.join(", ")
                ))
                .with_hint("Compare maps of one job at a time."));
            }
            let pair = Pair { prediction: pair.prediction.clone(), truth: pair.reference.clone(), part: None };
            count(&pair, &rule, known.len())
        })
        .collect::<Result<_>>()?;
    let mut all = Histograms::new(known.len());
    counts.iter().for_each(|counts| all.merge(counts));
    Ok(ProtocolEvaluation {
        figures: all.figures(&known),
        counts: all,
        pairs: pairs.pairs.len(),
        unmatched: [pairs.unmatched_predictions, pairs.unmatched_references].concat(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> TruthRule {
        TruthRule::default()
    }

    #[test]
    fn truth_is_reduced_thresholded_and_recoloured_in_this_order() {
        let classes = |rule: &TruthRule, values: &[i64]| {
            values.iter().map(|value| rule.class(Stored::Value(*value))).collect::<Vec<_>>()
        };
        assert_eq!(classes(&rule(), &[0, 7, 255]), [Some(0), Some(7), None]);
        let reduced = TruthRule { reduce_zero: true, ..rule() };
        assert_eq!(classes(&reduced, &[0, 1, 7, 255]), [None, Some(0), Some(6), None]);
        let threshold = TruthRule { threshold: Some(128), ..rule() };
        assert_eq!(classes(&threshold, &[0, 127, 128, 255]), [Some(0), Some(0), Some(1), Some(1)]);
        let cars = TruthRule { values: vec![(7, 3)], ..rule() };
        assert_eq!(classes(&cars, &[3, 7, 8]), [Some(3), Some(3), Some(8)]);
        let colours = TruthRule { colours: vec![(0xff_ffff, 1), (0xff, 2), (0, 0)], reduce_zero: true, ..rule() };
        let found = [0, 0xff_ffff, 0xff, 0x12_3456].map(|colour| colours.class(Stored::Colour(colour)));
        assert_eq!(found, [None, Some(0), Some(1), None]);
        let others = TruthRule { other_colours: Some(0), reduce_zero: false, ..colours };
        assert_eq!(others.class(Stored::Colour(0x12_3456)), Some(0));
        assert_eq!(others.class(Stored::Value(5)), Some(5), "a file of one band has values");
    }

    #[test]
    fn values_past_the_last_class_count_among_predictions_only() {
        let mut counts = Histograms::new(2);
        for (predicted, truth) in [(0, 0), (1, 0), (1, 9), (-1, 1), (1, 1)] {
            counts.add(predicted, truth);
        }
        assert_eq!((counts.intersection.clone(), counts.predicted.clone()), (vec![1, 1], vec![1, 3]));
        assert_eq!(counts.truth, [2, 2]);
        let figures = counts.figures(&["background".into(), "building".into()]);
        assert_eq!(figures.foreground_iou, Some(0.25));
        assert_eq!((figures.overall_accuracy, figures.miou), (Some(0.5), Some((0.5 + 0.25) / 2.0)));
        assert!(figures.table().contains("aAcc 50.00, mIoU 37.50, mAcc 50.00, foreground IoU 25.00"));
    }

    #[test]
    fn classes_that_nothing_has_are_left_out_of_means() {
        let mut counts = Histograms::new(3);
        counts.add(0, 0);
        counts.add(2, 0);
        let figures = counts.figures(&[]);
        assert_eq!((figures.miou, figures.mean_accuracy), (Some(0.25), Some(0.5)));
        assert_eq!(figures.classes[1].iou, None);
        assert_eq!(Histograms::new(0).figures(&[]).miou, None);
    }
}
