//! Downloads as they go.

use std::cell::RefCell;

use indicatif::{ProgressBar, ProgressStyle};

use super::Reporter;
use super::progress::Lines;
use super::text::printable_line;
use crate::model::fetch::Progress;

/// A bar for the file that is coming in; notes for what else happens.
pub struct Download<'a> {
    reporter: &'a Reporter,
    bar: ProgressBar,
    /// Of the file that is coming in, where they are wanted.
    lines: RefCell<Option<Lines>>,
}

impl Reporter {
    pub fn download(&self) -> Download<'_> {
        let bar = self.bars.add(ProgressBar::no_length());
        let style = ProgressStyle::with_template("{msg} [{bar:28}] {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        Download { reporter: self, bar, lines: RefCell::default() }
    }
}

impl Download<'_> {
    pub fn show(&self, progress: &Progress<'_>) {
        match progress {
            Progress::Reused { file } => self.reporter.detail(&format!("{file} is already downloaded.")),
            Progress::Bytes { file, have, total } => {
                self.bar.set_message(printable_line(file));
                if let Some(total) = total {
                    self.bar.set_length(*total);
                }
                self.log(file, *have, *total);
                self.bar.set_position(*have);
            }
            Progress::Retrying { file, wait, reason } => {
                let seconds = wait.as_secs_f64();
                self.reporter.note(&format!("{file}: {reason}; retrying in {seconds:.0} s."));
            }
            Progress::NextAddress { file, failed, reason, next } => {
                self.reporter.note(&format!("cannot download {file} from {failed} ({reason}); trying {next}."));
            }
            Progress::Checking { file } => self.bar.set_message(format!("checking {}", printable_line(file))),
        }
    }

    fn log(&self, file: &str, have: u64, total: Option<u64>) {
        let Some(log) = self.reporter.watched() else { return };
        let mut lines = self.lines.borrow_mut();
        if lines.as_ref().is_none_or(|lines| lines.label() != file) {
            self.end(lines.take());
            let new = Lines::new(log, file, total, "bytes");
            // What an earlier try has left is here already.
            new.skip(have);
            *lines = Some(new);
        }
        if let Some(lines) = lines.as_ref() {
            lines.tell(have);
        }
    }

    fn end(&self, lines: Option<Lines>) {
        if let Some(lines) = lines {
            lines.end(self.bar.position());
        }
    }
}

impl Drop for Download<'_> {
    fn drop(&mut self) {
        self.end(self.lines.take());
        self.bar.finish_and_clear();
    }
}
