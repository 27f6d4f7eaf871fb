//! Work as it goes: bars on a terminal, now and then a line in a log for programs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde::Serialize;

use super::log::{Level, Log};
use super::text::{printable_line, time_left};

/// Between two lines about the same work.
const INTERVAL: Duration = Duration::from_secs(10);
/// Between two movements of a bar.
const TICK: Duration = Duration::from_millis(250);

/// Work that is being done. Dropped, it leaves no trace on the terminal.
pub struct Progress {
    pub(super) bar: ProgressBar,
    lines: Option<Lines>,
}

impl Progress {
    /// `log`: where lines about it go as well.
    pub(super) fn new(bars: &MultiProgress, log: Option<&Log>, label: &str, total: usize, unit: &'static str) -> Self {
        let total = total as u64;
        let lines = log.map(|log| Lines::new(log, label, Some(total), unit));
        if bars.is_hidden() {
            // It counts, and needs no thread that moves it.
            return Self { bar: ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden()), lines };
        }
        let bar = bars.add(ProgressBar::new(total));
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
                        _ => write!(w, "{} left", time_left(state.eta())),
                    };
                }),
        );
        bar.set_message(printable_line(label));
        bar.enable_steady_tick(TICK);
        Self { bar, lines }
    }

    pub fn advance(&self, units: usize) {
        self.bar.inc(units as u64);
        self.tell();
    }

    /// Counts work that was done before, without letting it into the rate.
    pub fn skip(&self, units: usize) {
        self.bar.inc(units as u64);
        self.bar.reset_eta();
        if let Some(lines) = &self.lines {
            lines.skip(units as u64);
        }
        self.tell();
    }

    fn tell(&self) {
        if let Some(lines) = &self.lines {
            lines.tell(self.bar.position());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(lines) = &self.lines {
            lines.say(self.bar.position());
        }
        self.bar.finish_and_clear();
    }
}

/// What a log says of some work: how far it is, every ten seconds while it goes on and once at its end.
pub(super) struct Lines {
    log: Log,
    label: String,
    total: Option<u64>,
    unit: &'static str,
    begun: Instant,
    told: Mutex<Instant>,
    /// Units that cost no time.
    skipped: AtomicU64,
}

#[derive(Serialize)]
struct HowFar<'a> {
    label: &'a str,
    done: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    unit: &'a str,
    /// Units a second, on an average since the beginning, without what was done before.
    rate: f64,
    seconds: f64,
}

impl Lines {
    pub fn new(log: &Log, label: &str, total: Option<u64>, unit: &'static str) -> Self {
        let begun = Instant::now();
        let (log, label) = (log.clone(), label.to_owned());
        Self { log, label, total, unit, begun, told: Mutex::new(begun), skipped: AtomicU64::new(0) }
    }

    pub fn label(&self) -> &str {
        &self.label
    }

    pub fn skip(&self, units: u64) {
        self.skipped.fetch_add(units, Ordering::Relaxed);
    }

    /// Says how far it is, if that is worth a line by now.
    pub fn tell(&self, done: u64) {
        // Another thread that holds it is about to say it.
        if let Ok(mut told) = self.told.try_lock()
            && told.elapsed() >= INTERVAL
        {
            *told = Instant::now();
            self.say(done);
        }
    }

    pub fn say(&self, done: u64) {
        let seconds = self.begun.elapsed().as_secs_f64();
        let worked = done.saturating_sub(self.skipped.load(Ordering::Relaxed));
        let (label, total, unit) = (self.label.as_str(), self.total, self.unit);
        let message = match total {
            Some(total) => format!("{label}: {done} of {total} {unit}"),
            None => format!("{label}: {done} {unit}"),
        };
        let rounded = |number: f64| (number * 1e3).round() / 1e3;
        let rate = rounded(worked as f64 / seconds.max(1e-3));
        let fields = HowFar { label, done, total, unit, rate, seconds: rounded(seconds) };
        self.log.object(Level::Info, "progress", &message, fields);
    }
}
