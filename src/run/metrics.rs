//! The metrics file of a run, in Prometheus' text format, for the textfile collector of node_exporter.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::process;
use super::run_metrics::{Count, RunMetrics};
use crate::atomic;
use crate::error::{Error, Kind, Result};
use crate::report::Reporter;

/// Time between two updates of the file.
const INTERVAL: Duration = Duration::from_secs(10);
/// First line of every metrics file of ours.
const BEGINNING: &str = "# HELP segearth_";

/// Runs work and updates the metrics file: at the start, every ten seconds, and at the end.
///
/// # Errors
/// Those of the work; before it, a file that cannot be written. Later on that is a note, and the work continues.
pub fn watched<T>(
    file: Option<&Path>,
    metrics: &RunMetrics,
    reporter: &Reporter,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let Some(path) = file else { return work() };
    atomic::check_writable(path)?;
    ours(path)?;
    let mut metrics = Metrics::new(path, metrics);
    metrics.write(State::Running)?;
    let result = thread::scope(|scope| {
        let (end, ended) = channel::<()>();
        let metrics = &mut metrics;
        scope.spawn(move || {
            while ended.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                // A disk that is full now may have space in ten seconds; the last update is always tried.
                let _ = metrics.write(State::Running);
            }
        });
        let result = work();
        drop(end);
        result
    });
    if let Err(error) = metrics.write(State::of(&result)) {
        reporter.note(&format!("{error}: the metrics file is not up to date."));
    }
    result
}

/// Refuses to overwrite a file that is not a metrics file, such as a job file given by mistake.
fn ours(path: &Path) -> Result<()> {
    let mut beginning = Vec::new();
    let Ok(file) = File::open(path) else { return Ok(()) };
    let read = file.take(BEGINNING.len() as u64).read_to_end(&mut beginning);
    if read.is_ok() && (beginning.is_empty() || beginning == BEGINNING.as_bytes()) {
        return Ok(());
    }
    Err(Error::input(format!("{} is not a metrics file; not overwritten", path.display()))
        .with_hint("Give --metrics a file of its own, such as city.prom."))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Finished,
    Stopped,
    Failed,
}

impl State {
    const ALL: [(Self, &str); 4] = [
        (Self::Running, "running"),
        (Self::Finished, "finished"),
        (Self::Stopped, "stopped"),
        (Self::Failed, "failed"),
    ];

    fn of<T>(result: &Result<T>) -> Self {
        match result.as_ref().map_err(Error::kind) {
            // Failed windows that were allowed are counted as such.
            Ok(_) | Err(Kind::FailedWindows) => Self::Finished,
            Err(Kind::Stopped { .. }) => Self::Stopped,
            Err(_) => Self::Failed,
        }
    }
}

/// The type of a metric: a counter only grows, a gauge changes both ways.
enum Type {
    Counter,
    Gauge,
}

struct Metrics<'a> {
    path: PathBuf,
    metrics: &'a RunMetrics,
    /// Label that separates this file's metrics from those of another file in the same folder.
    run: String,
    begun: SystemTime,
    /// When the file was written the last time, and the windows that had been computed by then.
    last: (Instant, u64),
}

impl<'a> Metrics<'a> {
    fn new(path: &Path, metrics: &'a RunMetrics) -> Self {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let run = stem.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let last = (Instant::now(), metrics.windows_computed.get());
        Self { path: path.to_owned(), metrics, run, begun: SystemTime::now(), last }
    }

    fn write(&mut self, state: State) -> Result<()> {
        let (now, computed) = (Instant::now(), self.metrics.windows_computed.get());
        let seconds = now.duration_since(self.last.0).as_secs_f64();
        let rate = (computed - self.last.1) as f64 / seconds.max(1e-3);
        self.last = (now, computed);
        atomic::write_file(&self.path, self.text(state, rate, SystemTime::now()).as_bytes())
    }

    /// `rate`: windows a second.
    fn text(&self, state: State, rate: f64, now: SystemTime) -> String {
        use Type::{Counter, Gauge};
        let metrics = self.metrics;
        let number = |count: &Count| count.get() as f64;
        let unix = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as f64 / 1e3;
        let mut text = String::new();
        let mut family = |name: &str, kind: Type, help: &str, label: &str, values: &[(&str, f64)]| {
            let kind = match kind {
                Counter => "counter",
                Gauge => "gauge",
            };
            let _ = writeln!(text, "# HELP segearth_{name} {help}\n# TYPE segearth_{name} {kind}");
            for (value, number) in values {
                let label = if label.is_empty() { String::new() } else { format!(",{label}=\"{value}\"") };
                let _ = writeln!(text, "segearth_{name}{{run=\"{}\"{label}}} {number}", self.run);
            }
        };
        let states = State::ALL.map(|(one, name)| (name, f64::from(u8::from(one == state))));
        family("state", Gauge, "1 for the state that the run is in.", "state", &states);
        family("job_scenes", Gauge, "Scenes of the job.", "", &[("", number(&metrics.scenes))]);
        let scenes = [("finished", number(&metrics.scenes_finished)), ("earlier", number(&metrics.scenes_earlier))];
        family("scenes_total", Counter, "Scenes done, by this run or an earlier one.", "outcome", &scenes);
        family(
            "job_windows",
            Gauge,
            "Windows of the job that this process is to do.",
            "",
            &[("", number(&metrics.windows))],
        );
        let windows = [
            ("computed", number(&metrics.windows_computed)),
            ("empty", number(&metrics.windows_empty)),
            ("failed", number(&metrics.windows_failed)),
            ("earlier", number(&metrics.windows_earlier)),
        ];
        let help = "Windows done: computed, without data, failed and left out, computed by an earlier run.";
        family("windows_total", Counter, help, "outcome", &windows);
        let help = "Windows computed a second since the file was last written.";
        family("windows_per_second", Gauge, help, "", &[("", (rate * 1e3).round() / 1e3)]);
        family("rows_total", Counter, "Rows of pixels finished by this run.", "", &[("", number(&metrics.rows))]);
        let queues = [("model", number(&metrics.for_model)), ("stitcher", number(&metrics.for_stitcher))];
        family("queue_batches", Gauge, "Batches that wait for the model, and for the stitcher.", "queue", &queues);
        family("resident_memory_bytes", Gauge, "Memory of the process.", "", &[("", process::resident())]);
        family("peak_memory_bytes", Gauge, "The most that it has been.", "", &[("", process::peak())]);
        family("start_time_seconds", Gauge, "When the run began, in Unix time.", "", &[("", unix(self.begun))]);
        family("update_time_seconds", Gauge, "When this was written, in Unix time.", "", &[("", unix(now))]);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_has_its_help_and_type() {
        let metrics = RunMetrics::default();
        metrics.scenes.add(3);
        metrics.windows.add(12);
        metrics.windows_computed.add(7);
        metrics.for_model.add(2);
        metrics.for_stitcher.take(1);
        let metrics = Metrics::new(Path::new("metrics/a \"city\".prom"), &metrics);
        let text = metrics.text(State::Running, 1.25, UNIX_EPOCH + Duration::from_millis(1_795_450_702_123));
        // What is of this process and moment.
        let kept =
            |line: &&str| !line.starts_with("segearth_") || !(line.contains("memory") || line.contains("start_time"));
        insta::assert_snapshot!(text.lines().filter(kept).collect::<Vec<_>>().join("\n"), @r#"
        # HELP segearth_state 1 for the state that the run is in.
        # TYPE segearth_state gauge
        segearth_state{run="a \"city\"",state="running"} 1
        segearth_state{run="a \"city\"",state="finished"} 0
        segearth_state{run="a \"city\"",state="stopped"} 0
        segearth_state{run="a \"city\"",state="failed"} 0
        # HELP segearth_job_scenes Scenes of the job.
        # TYPE segearth_job_scenes gauge
        segearth_job_scenes{run="a \"city\""} 3
        # HELP segearth_scenes_total Scenes done, by this run or an earlier one.
        # TYPE segearth_scenes_total counter
        segearth_scenes_total{run="a \"city\"",outcome="finished"} 0
        segearth_scenes_total{run="a \"city\"",outcome="earlier"} 0
        # HELP segearth_job_windows Windows of the job that this process is to do.
        # TYPE segearth_job_windows gauge
        segearth_job_windows{run="a \"city\""} 12
        # HELP segearth_windows_total Windows done: computed, without data, failed and left out, computed by an earlier run.
        # TYPE segearth_windows_total counter
        segearth_windows_total{run="a \"city\"",outcome="computed"} 7
        segearth_windows_total{run="a \"city\"",outcome="empty"} 0
        segearth_windows_total{run="a \"city\"",outcome="failed"} 0
        segearth_windows_total{run="a \"city\"",outcome="earlier"} 0
        # HELP segearth_windows_per_second Windows computed a second since the file was last written.
        # TYPE segearth_windows_per_second gauge
        segearth_windows_per_second{run="a \"city\""} 1.25
        # HELP segearth_rows_total Rows of pixels finished by this run.
        # TYPE segearth_rows_total counter
        segearth_rows_total{run="a \"city\""} 0
        # HELP segearth_queue_batches Batches that wait for the model, and for the stitcher.
        # TYPE segearth_queue_batches gauge
        segearth_queue_batches{run="a \"city\"",queue="model"} 2
        segearth_queue_batches{run="a \"city\"",queue="stitcher"} 0
        # HELP segearth_resident_memory_bytes Memory of the process.
        # TYPE segearth_resident_memory_bytes gauge
        # HELP segearth_peak_memory_bytes The most that it has been.
        # TYPE segearth_peak_memory_bytes gauge
        # HELP segearth_start_time_seconds When the run began, in Unix time.
        # TYPE segearth_start_time_seconds gauge
        # HELP segearth_update_time_seconds When this was written, in Unix time.
        # TYPE segearth_update_time_seconds gauge
        segearth_update_time_seconds{run="a \"city\""} 1795450702.123
        "#);
    }

    #[test]
    fn the_file_tells_how_it_ended_and_is_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.prom");
        let (metrics, reporter) = (RunMetrics::default(), Reporter::silent());
        let state = || {
            let text = std::fs::read_to_string(&path).unwrap();
            text.lines().find(|line| line.starts_with("segearth_state") && line.ends_with(" 1")).unwrap().to_owned()
        };
        let end = |end: Result<()>| {
            watched(Some(&path), &metrics, &reporter, || {
                assert!(state().contains("running"));
                end
            })
        };
        end(Ok(())).unwrap();
        assert!(state().contains("finished"));
        for (kind, word) in [
            (Kind::FailedWindows, "finished"),
            (Kind::Stopped { signal: 15 }, "stopped"),
            (Kind::Input, "failed"),
            (Kind::Internal, "failed"),
        ] {
            assert_eq!(end(Err(Error::new(kind, "an end"))).unwrap_err().kind(), kind);
            assert!(state().contains(word), "{}", state());
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

        std::fs::write(&path, "scene: a.tif\n").unwrap();
        let refused = watched(Some(&path), &metrics, &reporter, || -> Result<()> { panic!("no work is begun") });
        assert!(refused.unwrap_err().to_string().contains("is not a metrics file"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "scene: a.tif\n");
    }
}
