//! What a search found, as a table on the terminal.

use std::fmt::Write as _;
use std::path::Path;
use std::time::SystemTime;

use serde::Serialize;

use super::Reporter;
use super::log::{self, Level};
use super::text::{AreaScale, grouped, left, printable, printable_line, right, to_millimetres};

/// Places that are listed.
const LISTED: usize = 10;

/// A place that was found.
#[derive(Clone, Debug, Default)]
pub struct FoundPlace {
    /// Of its best patch, and the mean of all.
    pub score: f32,
    pub mean: f32,
    /// Square metres; `None` without a CRS.
    pub area: Option<f64>,
    /// The area in pixels, where there is no other.
    pub pixels: f64,
    /// Coordinates of its middle.
    pub at: String,
    pub scene: String,
}

impl FoundPlace {
    /// The area as text.
    pub fn area_text(&self) -> String {
        match self.area {
            Some(area) => AreaScale::new(area).show(area),
            None => format!("{} px", grouped(self.pixels.round() as u64)),
        }
    }
}

/// What a search found.
pub struct SearchReport<'a> {
    /// Patches that were compared, and the scenes that they are of.
    pub patches: u64,
    pub scenes: usize,
    /// The best first.
    pub hits: &'a [FoundPlace],
    pub output: &'a Path,
    pub sheet: Option<&'a Path>,
}

impl Reporter {
    /// What a search found, and where the files are.
    pub fn found(&self, report: &SearchReport<'_>) {
        self.result(|| object(report), || render(report));
    }
}

#[derive(Serialize)]
struct Fields {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sheet: Option<String>,
    patches: u64,
    scenes: usize,
    places: usize,
    best: Vec<Place>,
}

#[derive(Serialize)]
struct Place {
    rank: usize,
    score: f32,
    mean: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    square_metres: Option<f64>,
    at: String,
    scene: String,
}

fn object(report: &SearchReport<'_>) -> String {
    let best = report.hits.iter().take(LISTED).enumerate().map(|(at, hit)| Place {
        rank: at + 1,
        score: hit.score,
        mean: hit.mean,
        square_metres: hit.area.map(to_millimetres),
        at: hit.at.clone(),
        scene: hit.scene.clone(),
    });
    let path = report.output.display().to_string();
    let message = format!("{path} has {} places", report.hits.len());
    let sheet = report.sheet.map(|sheet| sheet.display().to_string());
    let SearchReport { patches, scenes, hits, .. } = *report;
    let fields = Fields { path, sheet, patches, scenes, places: hits.len(), best: best.collect() };
    log::object(SystemTime::now(), Level::Info, "search", &message, fields)
}

fn render(report: &SearchReport<'_>) -> String {
    let count = |count: usize, one: &str, more: &str| {
        format!("{} {}", grouped(count as u64), if count == 1 { one } else { more })
    };
    let mut text = format!(
        "{}: {}, of {} patches in {}\n",
        printable(&report.output.display().to_string()),
        count(report.hits.len(), "place", "places"),
        grouped(report.patches),
        count(report.scenes, "scene", "scenes")
    );
    let listed = report.hits.get(..report.hits.len().min(LISTED)).unwrap_or_default();
    if !listed.is_empty() {
        let areas: Vec<String> = listed.iter().map(FoundPlace::area_text).collect();
        let wide = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
        let area = wide(&mut areas.iter().map(|area| area.chars().count())).max(4);
        let at = wide(&mut listed.iter().map(|hit| hit.at.chars().count())).max(2);
        let _ = writeln!(text, "  rank   score    mean  {}  {}  scene", right("area", area), left("at", at));
        for (rank, (hit, of)) in (1..).zip(listed.iter().zip(&areas)) {
            let _ = writeln!(
                text,
                "  {rank:>4}  {:>6.3}  {:>6.3}  {}  {}  {}",
                hit.score,
                hit.mean,
                right(of, area),
                left(&hit.at, at),
                printable_line(&hit.scene)
            );
        }
    }
    if let Some(sheet) = report.sheet {
        let _ = writeln!(text, "pictures: {}", printable(&sheet.display().to_string()));
    }
    text
}
