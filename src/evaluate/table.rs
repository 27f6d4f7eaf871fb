//! An evaluation as a text table.

use super::{ClassScore, Evaluation};

/// Largest number of classes for which the confusion matrix is shown.
const MAX_MATRIX: usize = 12;

/// Characters of a class name that are shown.
const MAX_NAME: usize = 28;

pub(super) fn render(evaluation: &Evaluation) -> String {
    let mut lines = scores(evaluation);
    let means = &evaluation.means;
    let pixels = &evaluation.pixels;
    lines.push(String::new());
    lines.push(format!(
        "mIoU {}, overall accuracy {}, mean accuracy {}, mean F1 {}",
        share(means.miou),
        share(means.overall_accuracy),
        share(means.mean_accuracy),
        share(means.mean_f1)
    ));
    let warped = evaluation.pairs.iter().filter(|pair| pair.warped).count();
    let pairs = evaluation.pairs.len();
    lines.push(format!(
        "{} pixels of {pairs} {} counted{}",
        thousands(pixels.counted),
        if pairs == 1 { "pair" } else { "pairs" },
        match warped {
            0 => String::new(),
            1 => "; 1 reference resampled to the prediction's grid".into(),
            _ => format!("; {warped} references resampled to the predictions' grids"),
        }
    ));
    lines.push(format!(
        "excluded: {} ignored, {} without reference, {} without prediction",
        thousands(pixels.ignored),
        thousands(pixels.without_reference),
        thousands(pixels.without_prediction)
    ));
    if (2..=MAX_MATRIX).contains(&evaluation.classes.len()) {
        lines.push(String::new());
        lines.extend(matrix(evaluation));
    }
    lines.join("\n") + "\n"
}

fn scores(evaluation: &Evaluation) -> Vec<String> {
    let head = ["class", "IoU", "precision", "recall", "F1", "reference", "predicted"].map(str::to_owned);
    let row = |score: &ClassScore| {
        [
            short(&score.class),
            share(score.iou),
            share(score.precision),
            share(score.recall),
            share(score.f1),
            thousands(score.reference_pixels),
            thousands(score.predicted_pixels),
        ]
    };
    align(std::iter::once(head.to_vec()).chain(evaluation.classes.iter().map(|score| row(score).to_vec())).collect())
}

/// The confusion matrix, each row as shares of its reference class.
fn matrix(evaluation: &Evaluation) -> Vec<String> {
    let names = evaluation.classes.iter().map(|score| short(&score.class));
    let mut table = vec![std::iter::once("reference \\ predicted".to_owned()).chain(names.clone()).collect::<Vec<_>>()];
    for (name, row) in names.zip(evaluation.confusion.rows()) {
        let total: u64 = row.iter().sum();
        let cell = |count: &u64| share((total > 0).then(|| *count as f64 / total as f64));
        table.push(std::iter::once(name).chain(row.iter().map(cell)).collect());
    }
    align(table)
}

/// Pads cells to columns: the first column left-aligned, the others right-aligned.
pub(super) fn align(table: Vec<Vec<String>>) -> Vec<String> {
    let columns = table.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| table.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(
            |(column, (cell, width))| if column == 0 { format!("{cell:width$}") } else { format!("{cell:>width$}") },
        );
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    table.iter().map(line).collect()
}

fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.4}"))
}

fn short(name: &str) -> String {
    if name.chars().count() <= MAX_NAME {
        return name.to_owned();
    }
    name.chars().take(MAX_NAME - 1).chain(['…']).collect()
}

fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
