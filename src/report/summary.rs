//! What came out of one scene: area, windows, speed, the share of each class, and where the files are.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::log::{self, Level};
use super::text::{AreaScale, Paint, duration, grouped, left, printable_line, right, to_millimetres};
use crate::geom::Size;
use crate::scene::ClassInfo;

/// Rows of the table of classes; a job may have thousands.
const ROWS: usize = 40;

/// What a finished scene has to tell.
pub struct Summary<'a> {
    pub scene: &'a Path,
    pub size: Size,
    /// Square metres of the scene; `None` without a CRS, as for the other areas.
    pub area: Option<f64>,
    /// Windows computed, by whichever run or process, each counted once.
    pub windows: usize,
    /// Windows left out because they hold no data.
    pub empty_windows: usize,
    pub work: Work,
    pub elapsed: Duration,
    /// Where it was computed: `cpu`, `cuda:0 (NVIDIA H100)`.
    pub device: &'a str,
    pub classes: Vec<ClassShare<'a>>,
    pub nodata_pixels: u64,
    pub nodata_area: Option<f64>,
    pub outputs: Vec<Output<'a>>,
}

/// Who computed a scene's windows in the time that is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// This run, so many of them: some twice where parts of the scene share them, and fewer where an earlier run did others.
    Run { windows: usize },
    /// So many processes that this one has started.
    Workers(usize),
    /// So many shards, each in its own time: the time is that of joining them.
    Merge { shards: usize },
}

/// How much of a scene a class has.
pub struct ClassShare<'a> {
    pub class: &'a ClassInfo,
    pub pixels: u64,
    /// Square metres.
    pub area: Option<f64>,
}

/// A file that was written.
pub struct Output<'a> {
    /// `labels`, `scores`, `polygons`.
    pub what: &'a str,
    pub path: &'a Path,
    /// `1,204 polygons`; empty where there is nothing to add.
    pub detail: String,
}

/// The same for programs.
#[derive(Serialize)]
struct Fields<'a> {
    scene: String,
    /// Pixels.
    width: usize,
    height: usize,
    windows: usize,
    empty_windows: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    windows_of_this_run: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shards: Option<usize>,
    seconds: f64,
    device: &'a str,
    classes: Vec<Class<'a>>,
    nodata_pixels: u64,
    nodata_square_metres: Option<f64>,
    outputs: Vec<Written<'a>>,
}

#[derive(Serialize)]
struct Class<'a> {
    name: &'a str,
    colour: String,
    pixels: u64,
    square_metres: Option<f64>,
}

#[derive(Serialize)]
struct Written<'a> {
    what: &'a str,
    path: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
}

impl Summary<'_> {
    /// As an object on one line.
    pub(super) fn object(&self) -> String {
        let classes = self.classes.iter().map(|ClassShare { class, pixels, area }| {
            let [red, green, blue] = class.colour;
            let colour = format!("#{red:02x}{green:02x}{blue:02x}");
            Class { name: &class.name, colour, pixels: *pixels, square_metres: area.map(to_millimetres) }
        });
        let outputs = self.outputs.iter().map(|output| Written {
            what: output.what,
            path: output.path.display().to_string(),
            detail: &output.detail,
        });
        let scene = self.scene.display().to_string();
        let message = format!("{scene} is finished");
        let fields = Fields {
            scene,
            width: self.size.width,
            height: self.size.height,
            windows: self.windows,
            empty_windows: self.empty_windows,
            windows_of_this_run: match self.work {
                Work::Run { windows } => Some(windows).filter(|windows| *windows < self.windows),
                Work::Workers(_) => None,
                Work::Merge { .. } => Some(0),
            },
            shards: match self.work {
                Work::Run { .. } => None,
                Work::Workers(count) | Work::Merge { shards: count } => Some(count),
            },
            seconds: (self.elapsed.as_secs_f64() * 1e3).round() / 1e3,
            device: self.device,
            classes: classes.collect(),
            nodata_pixels: self.nodata_pixels,
            nodata_square_metres: self.nodata_area.map(to_millimetres),
            outputs: outputs.collect(),
        };
        log::object(SystemTime::now(), Level::Info, "summary", &message, fields)
    }

    fn extent(&self, pixels: u64, area: Option<f64>) -> String {
        match (self.area, area) {
            (Some(whole), Some(area)) => AreaScale::new(whole).show(area),
            _ => format!("{} px", grouped(pixels)),
        }
    }

    pub(super) fn render(&self, paint: Paint) -> String {
        let mut text = String::new();
        let empty = match self.empty_windows {
            0 => String::new(),
            count => format!(", {} without data skipped", grouped(count as u64)),
        };
        let _ = writeln!(
            text,
            "{}: {} pixels, {}",
            paint.bold(&printable_line(&self.scene.display().to_string())),
            self.size,
            self.extent(self.size.pixels() as u64, self.area)
        );
        let _ = writeln!(text, "{} windows{empty}{}\n", grouped(self.windows as u64), self.time());
        self.table(&mut text, paint);
        text.push('\n');
        let width = self.outputs.iter().map(|output| output.what.len()).max().unwrap_or(0);
        for output in &self.outputs {
            let detail = if output.detail.is_empty() { String::new() } else { format!("  ({})", output.detail) };
            let path = printable_line(&output.path.display().to_string());
            let _ = writeln!(text, "{}  {path}{detail}", left(output.what, width));
        }
        text
    }

    /// Who computed the windows, and in which time.
    fn time(&self) -> String {
        let (elapsed, device) = (duration(self.elapsed), self.device);
        let rate = |windows: usize| windows as f64 / self.elapsed.as_secs_f64().max(1e-9);
        match self.work {
            Work::Run { windows } if windows < self.windows => {
                let (here, rate) = (grouped(windows as u64), rate(windows));
                format!("; {here} by this run in {elapsed}, {rate:.1} windows/s on {device}")
            }
            Work::Run { windows } => format!(" in {elapsed}, {:.1} windows/s on {device}", rate(windows)),
            Work::Workers(count) => {
                let workers = if count == 1 { "worker" } else { "workers" };
                format!(" by {count} {workers} in {elapsed}, {:.1} windows/s on {device}", rate(self.windows))
            }
            Work::Merge { shards: 1 } => format!(", computed before; merged in {elapsed}"),
            Work::Merge { shards } => format!(", computed by {shards} shards; merged in {elapsed}"),
        }
    }

    fn table(&self, text: &mut String, paint: Paint) {
        let valid: u64 = self.classes.iter().map(|share| share.pixels).sum();
        let mut shown: Vec<&ClassShare<'_>> = self.classes.iter().collect();
        if shown.len() > ROWS {
            shown.sort_by_key(|share| std::cmp::Reverse(share.pixels));
            shown.truncate(ROWS);
        }
        let mut rows: Vec<(String, String, String, String)> = shown
            .iter()
            .map(|share| {
                // A scene without a valid pixel has no shares to speak of.
                let percent = if valid == 0 { 0.0 } else { 100.0 * share.pixels as f64 / valid as f64 };
                (
                    paint.swatch(share.class.colour),
                    printable_line(&share.class.name),
                    format!("{percent:.1} %"),
                    self.extent(share.pixels, share.area),
                )
            })
            .collect();
        if self.nodata_pixels > 0 {
            let blank = if paint.swatch([0; 3]).is_empty() { "" } else { "  " };
            rows.push((
                blank.into(),
                "(no data)".into(),
                String::new(),
                self.extent(self.nodata_pixels, self.nodata_area),
            ));
        }
        let widest = |of: fn(&(String, String, String, String)) -> &str| {
            rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0)
        };
        let (names, shares, areas) = (widest(|row| &row.1), widest(|row| &row.2), widest(|row| &row.3));
        for (swatch, name, share, extent) in &rows {
            let _ =
                writeln!(text, "  {swatch}{}  {}  {}", left(name, names), right(share, shares), right(extent, areas));
        }
        if self.classes.len() > shown.len() {
            let _ = writeln!(text, "  … and {} smaller classes", self.classes.len() - shown.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_shows_classes_and_outputs() {
        let classes = [
            ClassInfo { name: "background".into(), colour: [224, 224, 224] },
            ClassInfo { name: "building".into(), colour: [214, 48, 39] },
        ];
        let summary = Summary {
            scene: Path::new("koeln.tif"),
            size: Size::new(1000, 1000),
            area: Some(40_000.0),
            windows: 64,
            empty_windows: 0,
            work: Work::Run { windows: 64 },
            elapsed: Duration::from_millis(12_300),
            device: "cpu",
            classes: vec![
                ClassShare { class: &classes[0], pixels: 123_000, area: Some(4_920.0) },
                ClassShare { class: &classes[1], pixels: 777_000, area: Some(31_080.0) },
            ],
            nodata_pixels: 100_000,
            nodata_area: Some(4_000.0),
            outputs: vec![
                Output { what: "labels", path: Path::new("out/koeln_labels.tif"), detail: String::new() },
                Output {
                    what: "polygons",
                    path: Path::new("out/koeln_polygons.gpkg"),
                    detail: "1,204 polygons".into(),
                },
            ],
        };
        insta::assert_snapshot!(summary.render(Paint::new(false)), @r"
        koeln.tif: 1000 × 1000 pixels, 4.000 ha
        64 windows in 12.3 s, 5.2 windows/s on cpu

          background  13.7 %  0.492 ha
          building    86.3 %  3.108 ha
          (no data)           0.400 ha

        labels    out/koeln_labels.tif
        polygons  out/koeln_polygons.gpkg  (1,204 polygons)
        ");
        let without = Summary { area: None, nodata_area: None, classes: Vec::new(), empty_windows: 3, ..summary };
        assert!(without.render(Paint::new(false)).contains("1,000,000 px"));
        // 64 windows in 12.3 s; 16 in the same time.
        for (work, said) in [
            (
                Work::Run { windows: 16 },
                "64 windows, 3 without data skipped; 16 by this run in 12.3 s, 1.3 windows/s on cpu",
            ),
            (Work::Run { windows: 80 }, "64 windows, 3 without data skipped in 12.3 s, 6.5 windows/s on cpu"),
            (Work::Workers(2), "64 windows, 3 without data skipped by 2 workers in 12.3 s, 5.2 windows/s on cpu"),
            (Work::Merge { shards: 3 }, "64 windows, 3 without data skipped, computed by 3 shards; merged in 12.3 s"),
        ] {
            let summary = Summary { work, outputs: Vec::new(), classes: Vec::new(), ..without };
            let text = summary.render(Paint::new(false));
            assert_eq!(text.lines().nth(1), Some(said));
        }
    }
}
