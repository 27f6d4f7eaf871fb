//! Runs of whole scenes: this program itself as a process of its own, `segearth run JOB.yaml`, so that what comes out is what the command
//! line gives, and a run can be cancelled and resumed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lock::lock;
use crate::atomic;
use crate::error::{Context as _, Error, Result};
use crate::run::workers::signal_to;

const JOB: &str = "job.yaml";
const STATE: &str = "state.json";
/// The folder of a run's outputs.
pub const RESULTS: &str = "results";
/// Runs that are kept in the list.
const MOST: usize = 200;
/// Between two looks at a process, and how many until it is killed when the server ends.
const LOOK: Duration = Duration::from_millis(50);
const FAREWELL: usize = 400;

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    Running,
    Finished,
    Failed,
    /// Cancelled, or the server ended: it can be resumed.
    Stopped,
}

/// A run as clients see it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunStatus {
    pub state: RunState,
    /// What it is at, and how far.
    #[serde(default)]
    pub work: String,
    #[serde(default)]
    pub done: u64,
    #[serde(default)]
    pub total: u64,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
}

/// A file of a run.
#[derive(Clone, Debug, Serialize)]
pub struct RunFile {
    pub name: String,
    pub bytes: u64,
    #[serde(skip)]
    pub path: PathBuf,
}

struct Run {
    folder: PathBuf,
    status: Mutex<RunStatus>,
    child: Mutex<Option<Child>>,
}

/// All runs of a state folder.
pub struct Runs {
    folder: PathBuf,
    runs: Mutex<Vec<Arc<Run>>>,
}

impl Runs {
    /// The runs that earlier sessions have left in `folder`.
    pub fn open(folder: PathBuf) -> Self {
        let known =
            (0..MOST).map(|number| folder.join(number.to_string())).take_while(|folder| folder.join(JOB).exists());
        let runs = known.map(|folder| {
            let stopped = RunStatus { state: RunState::Stopped, work: String::new(), done: 0, total: 0, error: None };
            let status: Option<RunStatus> =
                fs::read(folder.join(STATE)).ok().and_then(|text| serde_json::from_slice(&text).ok());
            let status = status.filter(|status| status.state != RunState::Running).unwrap_or(stopped);
            Arc::new(Run { folder, status: Mutex::new(status), child: Mutex::default() })
        });
        Self { runs: Mutex::new(runs.collect()), folder }
    }

    pub fn list(&self) -> Vec<RunStatus> {
        lock(&self.runs).iter().map(|run| lock(&run.status).clone()).collect()
    }

    fn run(&self, number: usize) -> Result<Arc<Run>> {
        lock(&self.runs).get(number).cloned().ok_or_else(|| Error::input(format!("there is no run {number}")))
    }

    /// Starts a run. `job`: its text, given the run's folder, into which it may write what the job needs.
    ///
    /// # Errors
    /// Another run goes on, or the job cannot be written.
    pub fn start(&self, trust: bool, job: impl FnOnce(&Path) -> Result<String>) -> Result<usize> {
        let mut runs = lock(&self.runs);
        if runs.iter().any(|run| lock(&run.status).state == RunState::Running) {
            return Err(Error::input("another run goes on").with_hint("Wait for it, or cancel it."));
        }
        let number = runs.len();
        if number >= MOST {
            return Err(Error::input(format!("there are {MOST} runs")).with_hint(format!(
                "Remove folders of old runs from {}, and start the server again.",
                self.folder.display()
            )));
        }
        let folder = self.folder.join(number.to_string());
        fs::create_dir_all(&folder).input(|| format!("cannot make the folder {}", folder.display()))?;
        let text = job(&folder)?;
        atomic::write_file(&folder.join(JOB), text.as_bytes())?;
        let status = RunStatus { state: RunState::Stopped, work: String::new(), done: 0, total: 0, error: None };
        let run = Arc::new(Run { folder, status: Mutex::new(status), child: Mutex::default() });
        runs.push(run.clone());
        drop(runs);
        run.spawn(trust)?;
        Ok(number)
    }

    /// Goes on with a run that was stopped or has failed.
    ///
    /// # Errors
    /// It runs or has finished, or another one runs.
    pub fn resume(&self, number: usize, trust: bool) -> Result<()> {
        let run = self.run(number)?;
        let runs = lock(&self.runs);
        if runs.iter().any(|run| lock(&run.status).state == RunState::Running) {
            return Err(Error::input("another run goes on").with_hint("Wait for it, or cancel it."));
        }
        run.spawn(trust)
    }

    /// Asks a run to stop; what it has finished is kept.
    ///
    /// # Errors
    /// There is no such run.
    pub fn cancel(&self, number: usize) -> Result<()> {
        self.run(number)?.signal();
        Ok(())
    }

    /// The files that a run has made.
    ///
    /// # Errors
    /// There is no such run.
    pub fn files(&self, number: usize) -> Result<Vec<RunFile>> {
        let run = self.run(number)?;
        let job = run.folder.join(JOB);
        let results = fs::read_dir(run.folder.join(RESULTS)).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut files: Vec<RunFile> = std::iter::once(job)
            .chain(results)
            .filter_map(|path| {
                let name = path.file_name()?.to_string_lossy().into_owned();
                let metadata = fs::symlink_metadata(&path).ok()?;
                let shown = metadata.is_file() && !name.starts_with('.');
                shown.then_some(RunFile { name, bytes: metadata.len(), path })
            })
            .collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// Ends all runs in order, before the server does.
    pub fn end(&self) {
        let runs = lock(&self.runs).clone();
        runs.iter().for_each(|run| run.signal());
        for _ in 0..FAREWELL {
            if runs.iter().all(|run| lock(&run.status).state != RunState::Running) {
                return;
            }
            thread::sleep(LOOK);
        }
        runs.iter().for_each(|run| drop(lock(&run.child).as_mut().map(Child::kill)));
    }
}

impl Run {
    fn signal(&self) {
        if let Some(child) = &*lock(&self.child) {
            signal_to(child, signal_hook::consts::SIGTERM as u8);
        }
    }

    fn spawn(self: Arc<Self>, trust: bool) -> Result<()> {
        let program = std::env::current_exe().input(|| "cannot find this program's own file".into())?;
        let mut command = Command::new(program);
        command.args(["run", JOB, "--log", "json"]).args(trust.then_some("--trust")).current_dir(&self.folder);
        // A terminal's Ctrl-C goes to this process alone, which passes it on.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().input(|| "cannot start the run".into())?;
        let said = child.stderr.take();
        *lock(&self.child) = Some(child);
        *lock(&self.status) =
            RunStatus { state: RunState::Running, work: "starting".to_owned(), done: 0, total: 0, error: None };
        self.keep();
        thread::spawn(move || {
            for line in said.into_iter().flat_map(|said| BufReader::new(said).lines()).map_while(std::io::Result::ok) {
                self.hear(&line);
            }
            self.finish();
        });
        Ok(())
    }

    /// Takes a line of the log.
    fn hear(&self, line: &str) {
        let Ok(entry) = serde_json::from_str::<Value>(line) else { return };
        let text = |key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
        let number = |key: &str| entry.get(key).and_then(Value::as_u64).unwrap_or(0);
        let mut status = lock(&self.status);
        match entry.get("event").and_then(Value::as_str) {
            Some("progress") => {
                status.work = text("label").unwrap_or_default();
                (status.done, status.total) = (number("done"), number("total"));
            }
            Some("error") => {
                let causes =
                    entry.get("causes").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
                let words = text("message").into_iter().chain(causes.map(str::to_owned)).collect::<Vec<_>>().join(": ");
                status.error = Some([Some(words), text("hint")].into_iter().flatten().collect::<Vec<_>>().join(" "));
            }
            _ => {}
        }
    }

    /// The process has closed its log: it ends.
    fn finish(&self) {
        let ended = loop {
            match lock(&self.child).as_mut().map(Child::try_wait) {
                Some(Ok(None)) => {}
                Some(Ok(Some(status))) => break Some(status),
                Some(Err(_)) | None => break None,
            }
            thread::sleep(LOOK);
        };
        *lock(&self.child) = None;
        let mut status = lock(&self.status);
        let code = ended.and_then(|ended| ended.code());
        status.state = match code {
            Some(0) => RunState::Finished,
            // Stopped by a signal in order, or at once.
            Some(128..) | None => RunState::Stopped,
            Some(_) => RunState::Failed,
        };
        if status.state != RunState::Failed {
            status.error = None;
        }
        status.work.clear();
        drop(status);
        self.keep();
    }

    /// Remembers the state for the next start; where that fails, the run counts as stopped then.
    fn keep(&self) {
        let text = serde_json::to_vec(&*lock(&self.status)).unwrap_or_default();
        let _ = atomic::write_file(&self.folder.join(STATE), &text);
    }
}
