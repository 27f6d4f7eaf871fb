//! The only printer: errors, notes, progress, the resolved job and the summary.
//!
//! Results go to standard output, everything about the work to standard error: in words, or as a JSON object a line. Colour
//! adds nothing that is not in the words, and appears on terminals only.

#![expect(clippy::disallowed_methods, reason = "the only printer")]

mod bench;
mod change;
mod doctor;
mod download;
mod learn;
mod log;
mod plan;
mod products;
mod progress;
mod search;
mod summary;
mod text;

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressDrawTarget};

use crate::error::Error;
use crate::pipeline::{Plan, without_credentials};

pub use bench::{BenchReport, BenchRow};
pub use doctor::{DoctorReport, Finding};
pub use download::Download;
pub use learn::LearnReport;
use log::Log;
pub use plan::resolved;
pub use progress::Progress;
pub use search::{FoundPlace, SearchReport};
pub use summary::{ClassShare, Output, Summary, Work};
use text::Paint;
pub use text::{AreaScale, duration, grouped};

/// How the user wants to be told.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReporterOptions {
    /// Nothing but errors, and what was asked for.
    pub quiet: bool,
    /// How often `-v` was given.
    pub verbosity: u8,
    pub no_colour: bool,
    /// The log and the summaries as a JSON object a line.
    pub json: bool,
}

/// Prints as the user asked.
pub struct Reporter {
    quiet: bool,
    verbosity: u8,
    out: Paint,
    log: Log,
    bars: MultiProgress,
}

impl Reporter {
    pub fn new(options: ReporterOptions) -> Self {
        let ReporterOptions { quiet, verbosity, no_colour, json } = options;
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let plain = no_colour || set("NO_COLOR") || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let shown = !quiet && !json && io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bars = MultiProgress::with_draw_target(target);
        Self {
            quiet,
            verbosity,
            out: Paint::new(!plain && io::stdout().is_terminal()),
            log: Log::new(json, Paint::new(!plain && io::stderr().is_terminal()), bars.clone()),
            bars,
        }
    }

    /// One that says errors alone.
    pub fn silent() -> Self {
        Self::new(ReporterOptions { quiet: true, no_colour: true, ..ReporterOptions::default() })
    }

    /// What a command was asked for: to standard output, whatever `--quiet` says.
    pub fn print(&self, text: &str) {
        self.bars.suspend(|| {
            let mut out = io::stdout().lock();
            // A reader that went away (`| head`) wants no more, and that is no fault.
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        });
    }

    pub fn error(&self, error: &Error) {
        self.log.error(error);
    }

    /// Makes a line of the log of a defect that ends a thread or the program, where the log is for programs.
    pub fn take_panics(&self) {
        self.log.take_panics();
    }

    /// Something that is allowed and should be known; a whole sentence.
    pub fn note(&self, sentence: &str) {
        if !self.quiet {
            self.log.note(sentence);
        }
    }

    /// What happens at the moment, for those who asked with `-v`.
    pub fn detail(&self, sentence: &str) {
        if self.verbosity > 0 {
            self.log.detail(sentence);
        }
    }

    /// Takes what a library says, for those who asked with `-vv`.
    pub fn gdal_message_handler(&self) -> Option<impl Fn(&str) + Send + Sync + 'static> {
        let log = self.log.clone();
        (self.verbosity > 1).then_some(move |words: &str| log.overheard(words))
    }

    /// Prints the resolved configuration of a job.
    pub fn plan(&self, plan: &Plan) {
        self.print(&without_credentials(&plan::render(plan, self.out)));
    }

    /// What came out of one scene.
    pub fn summary(&self, summary: &Summary<'_>) {
        self.result(|| summary.object(), || summary.render(self.out));
    }

    /// What was learnt from examples.
    pub fn learnt(&self, report: &LearnReport<'_>) {
        self.result(|| report.json().unwrap_or_default(), || format!("{}\n", report.table()));
    }

    /// Something that was made: to standard output, in the form of the log.
    fn result(&self, json: impl FnOnce() -> String, text: impl FnOnce() -> String) {
        if !self.quiet {
            self.print(&if self.log.is_json() { json() + "\n" } else { without_credentials(&text()) });
        }
    }

    /// What a measurement found: to standard output, whatever `--quiet` says.
    pub fn bench(&self, report: &BenchReport) {
        self.print(&report.render(self.out));
    }

    /// What is here and what does not work: to standard output, whatever `--quiet` says.
    pub fn doctor(&self, report: &DoctorReport, json: bool) {
        let home = std::env::var("HOME").ok();
        let home = home.as_deref().map(|home| home.trim_end_matches('/'));
        self.print(&if json { report.json(home) } else { report.render(self.out, home) });
    }

    /// A bar for `total` units of work, named in the plural (`windows`). Where there is no terminal, a line every minute.
    pub fn progress(&self, label: &str, total: usize, unit: &'static str) -> Progress {
        self.progress_every(progress::TEXT_INTERVAL, label, total, unit)
    }

    /// The same for units that take seconds: without a terminal, a line every ten seconds.
    pub fn slow_progress(&self, label: &str, total: usize, unit: &'static str) -> Progress {
        self.progress_every(progress::INTERVAL, label, total, unit)
    }

    fn progress_every(&self, text: Duration, label: &str, total: usize, unit: &'static str) -> Progress {
        let interval = if self.log.is_json() { progress::INTERVAL } else { text };
        let log = (!self.quiet && self.bars.is_hidden()).then_some((&self.log, interval));
        Progress::new(&self.bars, log, label, total, unit)
    }

    /// The log, where it is to say how work goes on.
    fn watched(&self) -> Option<&Log> {
        (self.log.is_json() && !self.quiet).then_some(&self.log)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silent_progress_is_counted() {
        let progress = Reporter::silent().progress("scene.tif", 10, "windows");
        progress.skip(4);
        progress.advance(6);
        assert_eq!(progress.bar.position(), 10);
        assert!(progress.bar.is_hidden());
    }
}
