//! The figures of a measurement, for people and for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::text::{Paint, right};
use crate::error::{Context, Result};

/// What was measured.
#[derive(Debug, Serialize)]
pub struct BenchReport {
    pub model: String,
    pub precision: String,
    pub device: String,
    pub processor: String,
    pub threads: usize,
    /// Windows at a time.
    pub batch: usize,
    pub queries: usize,
    /// Pixels.
    pub window: usize,
    /// Pixels.
    pub stride: usize,
    pub rounds: usize,
    pub rows: Vec<BenchRow>,
    /// Windows in a second, over the baseline transformer's: by the wall, and by processor time.
    pub window_to_baseline: Option<[f64; 2]>,
    /// The same over the transformer that is part of the window.
    pub window_to_half: Option<[f64; 2]>,
    /// The same from file to file.
    pub whole_to_baseline: Option<[f64; 2]>,
    /// Share of labels that are those of the network in fp32, and the largest difference of logits.
    pub labels_equal: Option<f64>,
    pub largest_difference: Option<f64>,
    /// From file to file, or of the model where nothing else was measured.
    pub windows_per_second: f64,
    /// Metres of a pixel's side.
    pub resolution: f64,
    pub square_kilometres_per_hour: f64,
    /// All queries in 80 templates.
    pub text_seconds: Option<f64>,
    /// Bytes, at the most, while it was measured.
    pub peak_memory: f64,
}

/// Medians for a window.
#[derive(Debug, Serialize)]
pub struct BenchRow {
    pub what: &'static str,
    /// Milliseconds.
    pub wall: f64,
    /// Milliseconds of all threads together.
    pub processor: f64,
}

impl BenchReport {
    pub fn json(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self).internal(|| "the figures cannot be written as JSON".into())?;
        Ok(text + "\n")
    }

    pub(super) fn render(&self, paint: Paint) -> String {
        let mut text = format!(
            "{}, {}, on {} with {} threads: {}\n{} windows of {} pixels at once, stride {}, {} queries; medians of {} rounds\n\n",
            paint.bold(&self.model),
            self.precision,
            self.device,
            self.threads,
            self.processor,
            self.batch,
            self.window,
            self.stride,
            self.queries,
            self.rounds
        );
        let _ = writeln!(text, "  {:<24}{:>12}{:>16}{:>14}", "per window", "wall ms", "processor ms", "windows/s");
        for row in &self.rows {
            let per_second = if row.wall > 0.0 { format!("{:.2}", 1e3 / row.wall) } else { "-".to_owned() };
            let _ =
                writeln!(text, "  {:<24}{:>12.1}{:>16.1}{}", row.what, row.wall, row.processor, right(&per_second, 14));
        }
        text.push('\n');
        for (what, ratio) in [
            ("window / its transformer", self.window_to_half),
            ("window / baseline transformer", self.window_to_baseline),
            ("file to file / baseline transformer", self.whole_to_baseline),
        ] {
            if let Some([wall, processor]) = ratio {
                let _ = writeln!(text, "  {what:<34}{wall:>6.2} ×   ({processor:.2} × by processor time)");
            }
        }
        let _ = writeln!(
            text,
            "\n{:.2} windows/s, {:.1} km²/h at {} m, peak memory {:.2} GB",
            self.windows_per_second,
            self.square_kilometres_per_hour,
            self.resolution,
            self.peak_memory / 1e9
        );
        if let (Some(equal), Some(difference)) = (self.labels_equal, self.largest_difference) {
            let _ = writeln!(
                text,
                "{:.3} % of labels are those of fp32 in libtorch's operations; logits differ by at most {difference:.1e}",
                1e2 * equal
            );
        }
        if let Some(seconds) = self.text_seconds {
            let _ = writeln!(text, "{} queries in 80 templates: {seconds:.1} s", self.queries);
        }
        text
    }
}
