//! The only printer: errors, notes, progress, the resolved job and the summary.
//!
//! Results go to standard output, everything about the work to standard error. Colour adds nothing that is not in the
//! words, and appears on terminals only.

mod bench;
mod change;
mod download;
mod plan;
mod products;
mod summary;
mod text;

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::error::{Error, Kind};
use crate::pipeline::Plan;

pub use bench::{BenchReport, BenchRow};
pub use download::Download;
pub use plan::settled;
pub use summary::{ClassShare, Output, Summary};
pub use text::{AreaScale, grouped};
use text::{Paint, printable, printable_line};

/// Prints as the user asked.
pub struct Reporter {
    quiet: bool,
    verbosity: u8,
    out: Paint,
    err: Paint,
    bars: MultiProgress,
}

impl Reporter {
    /// `verbosity`: how often `-v` was given.
    pub fn new(quiet: bool, verbosity: u8, no_colour: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let plain = no_colour || set("NO_COLOR") || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let shown = !quiet && io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self {
            quiet,
            verbosity,
            out: Paint::new(!plain && io::stdout().is_terminal()),
            err: Paint::new(!plain && io::stderr().is_terminal()),
            bars: MultiProgress::with_draw_target(target),
        }
    }

    /// What a command was asked for: to standard output, whatever `--quiet` says.
    pub fn print(&self, text: &str) {
        self.bars.suspend(|| {
            let mut out = io::stdout().lock();
            // A reader that went away (`| head`) wants no more, and that is no fault.
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        });
    }

    fn say(&self, text: &str) {
        self.bars.suspend(|| {
            let _ = writeln!(io::stderr().lock(), "{text}");
        });
    }

    pub fn error(&self, error: &Error) {
        self.say(&render_error(error, self.err));
    }

    /// Something that is allowed and should be known; a whole sentence.
    pub fn note(&self, sentence: &str) {
        if !self.quiet {
            self.say(&format!("{} {}", self.err.bold("note:"), printable_line(sentence)));
        }
    }

    /// What happens at the moment, for those who asked with `-v`.
    pub fn detail(&self, sentence: &str) {
        if self.verbosity > 0 {
            self.say(&self.err.dim(&printable_line(sentence)));
        }
    }

    pub fn verbosity(&self) -> u8 {
        self.verbosity
    }

    /// What `check` found: the job with everything settled.
    pub fn plan(&self, plan: &Plan) {
        self.print(&plan::render(plan, self.out));
    }

    /// What came out of one scene.
    pub fn summary(&self, summary: &Summary<'_>) {
        if !self.quiet {
            self.print(&summary.render(self.out));
        }
    }

    /// What a measurement found: to standard output, whatever `--quiet` says.
    pub fn bench(&self, report: &BenchReport) {
        self.print(&report.render(self.out));
    }

    /// A bar for `total` units of work, named in the plural (`windows`).
    pub fn progress(&self, label: &str, total: usize, unit: &'static str) -> Progress {
        let bar = self.bars.add(ProgressBar::new(total as u64));
        let style = ProgressStyle::with_template("{msg} [{bar:28}] {pos}/{len} {unit}  {rate}  {left}");
        bar.set_style(
            style
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> ")
                .with_key("unit", move |_: &ProgressState, w: &mut dyn std::fmt::Write| {
                    let _ = w.write_str(unit);
                })
                .with_key("rate", move |state: &ProgressState, w: &mut dyn std::fmt::Write| {
                    let _ = write!(w, "{:.1} {unit}/s", state.per_sec());
                })
                .with_key("left", |state: &ProgressState, w: &mut dyn std::fmt::Write| {
                    let _ = match state.pos() {
                        0 => Ok(()),
                        _ => write!(w, "{} left", text::time_left(state.eta())),
                    };
                }),
        );
        bar.set_message(printable_line(label));
        bar.enable_steady_tick(Duration::from_millis(250));
        Progress { bar }
    }
}

/// Work that is being done. Dropped, it leaves no trace on the terminal.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub fn advance(&self, units: usize) {
        self.bar.inc(units as u64);
    }

    /// Counts work that was done before, without letting it into the rate.
    pub fn skip(&self, units: usize) {
        self.bar.inc(units as u64);
        self.bar.reset_eta();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// `error:`, the causes, a blank line, `hint:`.
fn render_error(error: &Error, paint: Paint) -> String {
    let mut text = format!("{} {}", paint.error("error:"), printable(&error.to_string()));
    for cause in error.causes() {
        text += &format!("\n  {} {}", paint.dim("cause:"), printable(&cause).replace('\n', "\n         "));
    }
    if let Some(hint) = error.hint() {
        text += &format!("\n\n{} {}", paint.hint("hint:"), printable(hint));
    } else if error.kind() == Kind::Internal {
        let hint = "This is a defect of segearth, not of your input: please report it with the command that led here.";
        text += &format!("\n\n{} {hint}", paint.hint("hint:"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_readable_without_colour() {
        let below = Error::input("No such file or directory (os error 2)");
        let error = Error::input("cannot read the job file city.yaml").with_source(below).with_hint("Check the path.");
        insta::assert_snapshot!(render_error(&error, Paint::new(false)), @r"
        error: cannot read the job file city.yaml
          cause: No such file or directory (os error 2)

        hint: Check the path.
        ");
        assert!(render_error(&error, Paint::new(true)).contains("\x1b["));
    }

    #[test]
    fn control_characters_of_foreign_text_do_not_reach_the_terminal() {
        let text = render_error(&Error::input("no band \x1b[2J in a\nb"), Paint::new(false));
        assert_eq!(text, "error: no band \u{fffd}[2J in a\nb");
    }

    #[test]
    fn work_that_nobody_watches_is_counted_in_silence() {
        let reporter = Reporter::new(true, 0, true);
        let progress = reporter.progress("scene.tif", 10, "windows");
        progress.skip(4);
        progress.advance(6);
        assert_eq!(progress.bar.position(), 10);
        assert!(progress.bar.is_hidden());
    }

    #[test]
    fn a_defect_asks_to_be_reported() {
        let text = render_error(&Error::internal("lost a row"), Paint::new(false));
        assert!(text.contains("hint: This is a defect"), "{text}");
    }
}
