//! Downloads as they go.

use indicatif::{ProgressBar, ProgressStyle};

use super::Reporter;
use super::text::printable_line;
use crate::model::fetch::Progress;

/// A bar for the file that is coming in; notes for what else happens.
pub struct Download<'a> {
    reporter: &'a Reporter,
    bar: ProgressBar,
}

impl Reporter {
    pub fn download(&self) -> Download<'_> {
        let bar = self.bars.add(ProgressBar::no_length());
        let style = ProgressStyle::with_template("{msg} [{bar:28}] {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        Download { reporter: self, bar }
    }
}

impl Download<'_> {
    pub fn show(&self, progress: &Progress<'_>) {
        match progress {
            Progress::Reused { file } => self.reporter.detail(&format!("{file} is here already.")),
            Progress::Bytes { file, have, total } => {
                self.bar.set_message(printable_line(file));
                if let Some(total) = total {
                    self.bar.set_length(*total);
                }
                self.bar.set_position(*have);
            }
            Progress::Retrying { file, wait, reason } => {
                let seconds = wait.as_secs_f64();
                self.reporter.note(&format!("{file}: {reason}; the next try is in {seconds:.0} s."));
            }
            Progress::Checking { file } => self.bar.set_message(format!("checking {}", printable_line(file))),
        }
    }
}

impl Drop for Download<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
