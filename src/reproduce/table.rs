//! The figures of data sets beside those of the paper, as Markdown and CSV.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{DATA_SETS, DataSet};
use crate::error::{Context, Result};

/// The result of one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub data_set: String,
    pub model: String,
    /// The words are a pool's, not the paper's.
    pub pool: bool,
    /// Keys of the job that are not the paper's, as `--set` has them.
    #[serde(default)]
    pub set: Vec<String>,
    pub images: usize,
    pub tiles: usize,
    /// The image filter of the command line; empty: all.
    pub only: Vec<String>,
    /// Percent.
    pub miou: Option<f64>,
    pub mean_accuracy: Option<f64>,
    pub overall_accuracy: Option<f64>,
    pub foreground_iou: Option<f64>,
    pub classes: Vec<(String, Option<f64>)>,
}

impl Row {
    /// The figure that the paper's table has, in percent: foreground IoU of two classes, else mIoU.
    pub fn figure(&self) -> Option<f64> {
        self.foreground_iou.or(self.miou)
    }

    fn data_set(&self) -> Option<&'static DataSet> {
        DATA_SETS.iter().find(|set| set.name == self.data_set)
    }

    fn cells(&self) -> Vec<String> {
        let published = self.data_set().and_then(|set| set.published);
        let difference = self.figure().zip(published).map(|(here, paper)| here - paper.percent);
        let paper = published
            .map_or("–".to_owned(), |paper| format!("{:.1}{}", paper.percent, if paper.checked { "" } else { "*" }));
        let kind = if self.foreground_iou.is_some() { "IoU" } else { "mIoU" };
        let images = match self.only.is_empty() {
            true => self.images.to_string(),
            false => format!("{} (only {})", self.images, self.only.join(", ")),
        };
        let pool = self.pool.then_some("pool");
        let model: Vec<&str> =
            [self.model.as_str()].into_iter().chain(pool).chain(self.set.iter().map(String::as_str)).collect();
        vec![
            self.data_set.clone(),
            model.join(", "),
            images,
            self.tiles.to_string(),
            kind.to_owned(),
            percent(self.figure()),
            paper,
            difference.map_or("–".to_owned(), |difference| format!("{difference:+.2}")),
            percent(self.overall_accuracy),
            percent(self.mean_accuracy),
            percent(self.miou),
        ]
    }
}

const HEAD: [&str; 11] =
    ["data set", "model", "images", "tiles", "figure", "here", "paper", "difference", "aAcc", "mAcc", "mIoU"];

fn percent(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.2}"))
}

/// The rows as a Markdown table.
pub fn markdown(rows: &[Row]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = HEAD.iter().map(|cell| (*cell).to_owned()).collect();
    let rule: Vec<String> =
        HEAD.iter().enumerate().map(|(at, _)| (if at < 2 { "---" } else { "---:" }).to_owned()).collect();
    let mut text = line(&head) + &line(&rule);
    rows.iter().for_each(|row| text += &line(&row.cells()));
    let unchecked = rows.iter().filter_map(Row::data_set).any(|set| set.published.is_some_and(|paper| !paper.checked));
    if unchecked {
        text += "\n\\* not compared with the published table\n";
    }
    text
}

/// The rows as CSV.
pub fn csv(rows: &[Row]) -> String {
    let cell = |text: &String| match text.contains([',', '"', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.clone(),
    };
    let line = |cells: &[String]| cells.iter().map(cell).collect::<Vec<_>>().join(",") + "\n";
    let head: Vec<String> = HEAD.iter().map(|cell| cell.replace(' ', "_")).collect();
    line(&head) + &rows.iter().map(|row| line(&row.cells())).collect::<String>()
}

/// The rows that earlier runs have left below a folder, in the order of the paper's tables. Files that are no rows are left out.
///
/// # Errors
/// The folder cannot be listed.
pub fn rows(folder: &Path, file: &str) -> Result<Vec<Row>> {
    let unreadable = || format!("cannot list the folder {}", folder.display());
    let mut rows = Vec::new();
    for entry in std::fs::read_dir(folder).input(unreadable)? {
        let path = entry.input(unreadable)?.path().join(file);
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        rows.extend(serde_json::from_str::<Row>(&text).ok());
    }
    let place = |row: &Row| DATA_SETS.iter().position(|set| set.name == row.data_set);
    rows.sort_by(|a, b| (place(a), &a.model, a.pool).cmp(&(place(b), &b.model, b.pool)));
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(data_set: &str) -> Row {
        Row {
            data_set: data_set.into(),
            model: "openai/ViT-B-16".into(),
            pool: false,
            set: Vec::new(),
            images: 3,
            tiles: 5,
            only: Vec::new(),
            miou: Some(37.126),
            mean_accuracy: Some(50.0),
            overall_accuracy: None,
            foreground_iou: None,
            classes: Vec::new(),
        }
    }

    #[test]
    fn rows_stand_beside_the_figures_of_the_paper() {
        let water = Row { foreground_iou: Some(61.0), ..row("wbs-si") };
        let text = markdown(&[row("loveda"), water]);
        assert!(
            text.contains("| loveda | openai/ViT-B-16 | 3 | 5 | mIoU | 37.13 | 36.9 | +0.23 | – | 50.00 | 37.13 |"),
            "{text}"
        );
        assert!(text.contains("| IoU | 61.00 | 60.2* | +0.80 |") && text.contains("not compared"), "{text}");
        let changed = Row { pool: true, set: vec!["method.threshold=0.1".into()], ..row("loveda") };
        assert!(markdown(&[changed]).contains("| openai/ViT-B-16, pool, method.threshold=0.1 |"));
        let text = csv(&[Row { only: vec!["a".into(), "b".into()], ..row("deepglobe") }]);
        assert!(text.starts_with("data_set,model,images") && text.contains("\"3 (only a, b)\""), "{text}");
    }

    #[test]
    fn rows_of_earlier_runs_are_found_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["wbs-si", "openearthmap"] {
            let own = folder.path().join(name);
            std::fs::create_dir(&own).unwrap();
            std::fs::write(own.join("row.json"), serde_json::to_string(&row(name)).unwrap()).unwrap();
        }
        std::fs::create_dir(folder.path().join("other")).unwrap();
        let found = rows(folder.path(), "row.json").unwrap();
        assert_eq!(found.iter().map(|row| row.data_set.as_str()).collect::<Vec<_>>(), ["openearthmap", "wbs-si"]);
    }
}
