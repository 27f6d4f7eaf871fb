//! Work as it goes: bars on a terminal, now and then a line in a log for programs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde::Serialize;

use super::log::{Level, Log};
use super::text::{printable_line, time_left};

/// Between two lines about the same work, for programs and for work whose units take seconds.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);
/// The same for people who watch no terminal, such as the log of a batch job.
pub(super) const TEXT_INTERVAL: Duration = Duration::from_secs(60);
/// Between two movements of a bar.
const TICK: Duration = Duration::from_millis(250);

/// Work that is being done. Dropped, it leaves no trace on the terminal.
pub struct Progress {
    pub(super) bar: ProgressBar,
    mean: Arc<Mean>,
    lines: Option<Lines>,
}

/// How fast work goes on, as a mean since it began: an estimate of the last moments would be absurd where a unit takes long.
#[derive(Debug)]
struct Mean {
    begun: Instant,
    /// Units that cost no time.
    skipped: AtomicU64,
}

impl Mean {
    fn new() -> Self {
        Self { begun: Instant::now(), skipped: AtomicU64::new(0) }
    }

    /// Units a second with `done` units done; `None` before the first one that cost time.
    fn rate(&self, done: u64) -> Option<f64> {
        let worked = done.saturating_sub(self.skipped.load(Ordering::Relaxed));
        (worked > 0).then(|| worked as f64 / self.begun.elapsed().as_secs_f64().max(1e-3))
    }

    /// The time that the rest of `total` units takes; `None` before anything is known of it.
    fn left(&self, done: u64, total: u64) -> Option<Duration> {
        let seconds = total.saturating_sub(done) as f64 / self.rate(done)?;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

/// `3.2 windows/s`, or `8.3 s each` where a unit takes longer than a second.
fn rate_text(rate: f64, unit: &str) -> String {
    if rate < 1.0 { format!("{:.1} s each", 1.0 / rate) } else { format!("{rate:.1} {unit}/s") }
}

impl Progress {
    /// `log`: where lines about it go as well, and how often.
    pub(super) fn new(
        bars: &MultiProgress,
        log: Option<(&Log, Duration)>,
        label: &str,
        total: usize,
        unit: &'static str,
    ) -> Self {
        let total = total as u64;
        let mean = Arc::new(Mean::new());
        let lines = log.map(|(log, interval)| Lines::with(log, label, Some(total), unit, interval, mean.clone()));
        if bars.is_hidden() {
            // It counts, and needs no thread that moves it.
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
            return Self { bar, mean, lines };
        }
        let bar = bars.add(ProgressBar::new(total));
        let style = ProgressStyle::with_template("{msg} [{bar:28}] {pos}/{len} {unit}  {rate}  {left}");
        let (of_rate, of_left) = (mean.clone(), mean.clone());
        bar.set_style(
            style
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> ")
                .with_key("unit", move |_: &ProgressState, w: &mut dyn std::fmt::Write| {
                    let _ = w.write_str(unit);
                })
                .with_key("rate", move |state: &ProgressState, w: &mut dyn std::fmt::Write| {
                    let _ = of_rate.rate(state.pos()).map_or(Ok(()), |rate| w.write_str(&rate_text(rate, unit)));
                })
                .with_key("left", move |state: &ProgressState, w: &mut dyn std::fmt::Write| {
                    let left = of_left.left(state.pos(), state.len().unwrap_or_default());
                    let _ = left.map_or(Ok(()), |left| write!(w, "{} left", time_left(left)));
                }),
        );
        bar.set_message(printable_line(label));
        bar.enable_steady_tick(TICK);
        Self { bar, mean, lines }
    }

    pub fn advance(&self, units: usize) {
        self.bar.inc(units as u64);
        self.tell();
    }

    /// Counts work that was done before, without letting it into the rate.
    pub fn skip(&self, units: usize) {
        self.mean.skipped.fetch_add(units as u64, Ordering::Relaxed);
        self.bar.inc(units as u64);
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
            lines.end(self.bar.position());
        }
        self.bar.finish_and_clear();
    }
}

/// What a log says of some work: how far it is, every so often while it goes on, and for programs once at its end.
pub(super) struct Lines {
    log: Log,
    label: String,
    total: Option<u64>,
    unit: &'static str,
    interval: Duration,
    last: Mutex<Instant>,
    mean: Arc<Mean>,
}

#[derive(Serialize)]
struct ProgressEvent<'a> {
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
        Self::with(log, label, total, unit, INTERVAL, Arc::new(Mean::new()))
    }

    fn with(
        log: &Log,
        label: &str,
        total: Option<u64>,
        unit: &'static str,
        interval: Duration,
        mean: Arc<Mean>,
    ) -> Self {
        let (log, label, last) = (log.clone(), label.to_owned(), Mutex::new(mean.begun));
        Self { log, label, total, unit, interval, last, mean }
    }

    pub fn label(&self) -> &str {
        &self.label
    }

    pub fn skip(&self, units: u64) {
        self.mean.skipped.fetch_add(units, Ordering::Relaxed);
    }

    /// Says how far it is, if that is worth a line by now.
    pub fn tell(&self, done: u64) {
        // Another thread that holds it is about to say it.
        if let Ok(mut last) = self.last.try_lock()
            && last.elapsed() >= self.interval
        {
            *last = Instant::now();
            self.say(done);
        }
    }

    /// Says how far it came. People read that in what follows.
    pub fn end(&self, done: u64) {
        if self.log.is_json() {
            self.say(done);
        }
    }

    fn say(&self, done: u64) {
        let (label, total, unit) = (self.label.as_str(), self.total, self.unit);
        let message = match total {
            Some(total) => format!("{label}: {done} of {total} {unit}"),
            None => format!("{label}: {done} {unit}"),
        };
        let rate = self.mean.rate(done);
        if !self.log.is_json() {
            let left = total.and_then(|total| self.mean.left(done, total));
            let rate = rate.map_or(String::new(), |rate| format!(", {}", rate_text(rate, unit)));
            let left = left.map_or(String::new(), |left| format!(", {} left", time_left(left)));
            return self.log.progress(&format!("{message}{rate}{left}"));
        }
        let rounded = |number: f64| (number * 1e3).round() / 1e3;
        let (rate, seconds) = (rounded(rate.unwrap_or(0.0)), rounded(self.mean.begun.elapsed().as_secs_f64()));
        let fields = ProgressEvent { label, done, total, unit, rate, seconds };
        self.log.object(Level::Info, "progress", &message, fields);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_excludes_skipped_units() {
        let begun = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        let mean = Mean { begun, skipped: AtomicU64::new(100) };
        assert_eq!((mean.rate(100), mean.left(100, 600)), (None, None), "nothing is known before the first unit");
        // Six units in a minute: the other 494 take ten seconds each.
        let left = mean.left(106, 600).unwrap().as_secs_f64();
        assert!((4940.0..4960.0).contains(&left), "{left}");
        assert_eq!(mean.left(600, 600), Some(Duration::ZERO));
        assert_eq!(rate_text(0.125, "steps"), "8.0 s each");
        assert_eq!(rate_text(94.26, "windows"), "94.3 windows/s");
    }
}
