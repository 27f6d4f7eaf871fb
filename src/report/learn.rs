//! What `segearth learn` prints: classes with their examples and figures.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use super::text::left;
use crate::error::{Context as _, Result};
use crate::learn::{ClassFigures, Fitted, LearntClass};
use crate::printable::printable_line;

/// What was learnt.
pub struct LearnReport<'a> {
    pub classes: &'a [LearntClass],
    pub fitted: &'a Fitted,
    /// Pixels of all examples.
    pub samples: usize,
    pub output: &'a Path,
}

impl LearnReport<'_> {
    /// A table for people.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let widest = self.classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0).max(5);
        if let Some(figures) = &self.fitted.figures {
            let _ = writeln!(text, "{}  examples  pixels    IoU  90 %            F1  90 %", left("class", widest));
            for (class, figures) in self.classes.iter().zip(&figures.classes) {
                let _ = writeln!(text, "{}  {}", left(&printable_line(&class.name), widest), row(figures));
            }
            let [low, high] = figures.mean_iou_interval;
            let _ = writeln!(
                text,
                "\nmIoU {:.2} (90 %: {low:.2} to {high:.2}), accuracy {:.2}, cross-validated on {} examples",
                figures.mean_iou, figures.accuracy, figures.judged
            );
            if self.classes.iter().any(|class| !class.prompts.is_empty()) {
                let _ = writeln!(text, "words alone: mIoU {:.2}", figures.words_mean_iou);
            }
            text.push('\n');
        }
        let _ = write!(
            text,
            "{} classes learnt from {} pixels: {}\nUse them with --classes @{}",
            self.classes.len(),
            self.samples,
            self.output.display(),
            self.output.display()
        );
        text
    }

    /// The same for programs.
    pub fn json(&self) -> Result<String> {
        let names: Vec<&str> = self.classes.iter().map(|class| class.name.as_str()).collect();
        let value = json!({
            "classes": names,
            "pixels": self.samples,
            "kept_words": self.fitted.kept_words,
            "colours_alone": self.fitted.colours_alone,
            "most_change": self.fitted.held.map(|held| held.most_change),
            "learnt_share": self.fitted.held.map(|held| held.share),
            "crowded": self.fitted.crowded,
            "figures": self.fitted.figures,
        });
        serde_json::to_string_pretty(&value).input(|| "the figures cannot be written".to_owned())
    }
}

fn row(figures: &ClassFigures) -> String {
    let share = |value: Option<f64>, [low, high]: [f64; 2]| match value {
        Some(value) => format!("{value:5.2}  {low:.2} to {high:.2}"),
        None => "    -              ".to_owned(),
    };
    let ClassFigures { examples, samples, iou, iou_interval, f1, f1_interval } = figures;
    format!("{examples:8}  {samples:6}  {}  {}", share(*iou, *iou_interval), share(*f1, *f1_interval))
}
