//! A job divided among several processes on this machine, one for each GPU, without a scheduler.
//!
//! Each worker is this program with the same arguments and a shard of the job; this process merges what they computed. Processes
//! rather than threads: a GPU that fails ends one worker, and libtorch's threads do not wait for each other.

#![expect(unsafe_code, reason = "a call between fork and exec")]
#![expect(clippy::indexing_slicing, reason = "a remainder by the list's own length")]

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use super::job::{self, Purpose};
use super::prepared::Options;
use super::process;
use super::run_metrics::RunMetrics;
use super::stop::Stop;
use crate::cli::Workers;
use crate::error::{Context, Error, Kind, Result};
use crate::model::torch::{Device, cuda_devices};
use crate::outputs::Existing;
use crate::pipeline::{DeviceChoice, Spec};
use crate::report::Reporter;

const WORKERS: &str = "--workers";
/// Tells CUDA's runtime which devices a process may use, as numbers or names.
const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";
/// Time between two looks at the workers.
const LOOK: Duration = Duration::from_millis(100);

/// Runs a job in `workers` processes and merges what they computed.
///
/// # Errors
/// A worker failed and has printed its error; the others have computed their shards, and all is kept for the next run. Or as
/// [`job::run`].
pub fn run(
    spec: &Spec,
    trust: bool,
    workers: Workers,
    overwrite: bool,
    metrics: &RunMetrics,
    reporter: &Reporter,
) -> Result<()> {
    // Errors of the job are reported once, before any worker starts.
    let prepared = job::prepare(spec, trust, Purpose::Run, Existing::RefuseShared, reporter)?;
    let finished_before = if overwrite { Vec::new() } else { job::finished_scenes(&prepared)? };
    let started = Instant::now();
    let gpus = gpus(prepared.plan.device, prepared.device);
    let count = count(workers, &gpus);
    if !finished_before.is_empty() && finished_before.iter().all(|finished| *finished) {
        // There is no work for a worker.
        let workers = job::Workers { count, started, finished_before };
        return job::merge(&prepared, Options::default(), Some(&workers), metrics, reporter);
    }
    let statuses = processes(count, &gpus)?;
    let workers = job::Workers { count, started, finished_before };
    job::merge(&prepared, Options::default(), Some(&workers), metrics, reporter)?;
    match statuses.iter().all(ExitStatus::success) {
        true => Ok(()),
        false => {
            Err(Error::new(Kind::FailedWindows, "the results are incomplete: a worker has said which windows failed"))
        }
    }
}

/// Runs this command in some processes, each with a shard of its work.
///
/// # Errors
/// A worker failed and has printed its error.
pub fn each_shard(workers: Workers, choice: DeviceChoice, device: Device) -> Result<()> {
    let gpus = gpus(choice, device);
    processes(count(workers, &gpus), &gpus).map(drop)
}

/// Runs this command in `count` processes and returns how they ended: with success, or with failed windows.
fn processes(count: usize, gpus: &[String]) -> Result<Vec<ExitStatus>> {
    let stop = Stop::listen()?;
    let statuses = stop.orderly(|| -> Result<Vec<ExitStatus>> {
        let mut children = Vec::with_capacity(count);
        for index in 0..count {
            match start(index, count, gpus) {
                Ok(child) => children.push(child),
                Err(error) => {
                    end(&mut children);
                    return Err(error);
                }
            }
        }
        wait(children, &stop)
    })?;
    if let Some((signal, name)) = stop.signal() {
        return Err(Error::new(Kind::Stopped { signal }, format!("stopped by {name}")));
    }
    let failed = i32::from(Error::new(Kind::FailedWindows, "").exit_code());
    let failed = |status: &ExitStatus| !status.success() && status.code() != Some(failed);
    let numbers: Vec<String> = (1..)
        .zip(&statuses)
        .filter(|(_, status)| failed(status))
        .map(|(number, status)| format!("worker {number} of {count}: {status}"))
        .collect();
    if !numbers.is_empty() {
        return Err(Error::input(format!("some workers failed\n  {}", numbers.join("\n  ")))
            .with_hint("The message of the worker is above. The same command computes what is missing."));
    }
    Ok(statuses)
}

fn count(workers: Workers, gpus: &[String]) -> usize {
    match workers {
        Workers::Count(count) => count,
        Workers::Auto => gpus.len().max(1),
    }
}

/// The GPUs that the workers take in turn, as CUDA's runtime knows them; none where the job runs on the CPU, or on one GPU by
/// name.
fn gpus(choice: DeviceChoice, device: Device) -> Vec<String> {
    match (choice, device) {
        (DeviceChoice::Auto, Device::Cuda(_)) => match std::env::var(VISIBLE) {
            Ok(visible) => visible.split(',').map(|name| name.trim().to_owned()).take(cuda_devices()).collect(),
            Err(_) => (0..cuda_devices()).map(|number| number.to_string()).collect(),
        },
        _ => Vec::new(),
    }
}

fn start(index: usize, count: usize, gpus: &[String]) -> Result<Child> {
    let mut command = Command::new(process::program()?);
    command.args(words(std::env::args_os().skip(1))).arg("--shard").arg(format!("{}/{count}", index + 1));
    if !gpus.is_empty() {
        command.env(VISIBLE, &gpus[index % gpus.len()]);
    }
    // All cores for each would be too many threads; a number that the user has set is kept.
    let threads = thread::available_parallelism().map_or(1, usize::from).div_ceil(count).to_string();
    for name in ["OMP_NUM_THREADS", "RAYON_NUM_THREADS"] {
        if std::env::var_os(name).is_none() {
            command.env(name, &threads);
        }
    }
    // A terminal's Ctrl-C goes to this process alone, which passes it on: two of them would end a worker at once.
    command.process_group(0);
    command.spawn().input(|| format!("cannot start worker {} of {count}", index + 1))
}

/// The command line without the option --workers.
fn words(all: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words = Vec::new();
    let mut all = all;
    while let Some(word) = all.next() {
        match word.to_str() {
            Some(WORKERS) => drop(all.next()),
            Some(word) if word.starts_with("--workers=") => {}
            _ => words.push(word),
        }
    }
    words
}

/// Waits until all have ended; passes on the first signal that comes.
fn wait(mut children: Vec<Child>, stop: &Stop) -> Result<Vec<ExitStatus>> {
    let mut passed_on = false;
    loop {
        let statuses: Vec<Option<ExitStatus>> = children
            .iter_mut()
            .map(Child::try_wait)
            .collect::<std::io::Result<_>>()
            .input(|| "cannot wait for the workers".into())?;
        if let Some(statuses) = statuses.into_iter().collect() {
            return Ok(statuses);
        }
        if let (Some((signal, _)), false) = (stop.signal(), passed_on) {
            passed_on = true;
            children.iter().for_each(|child| signal_to(child, signal));
        }
        thread::sleep(LOOK);
    }
}

/// Sends a signal to a process that was started here.
pub fn signal_to(child: &Child, signal: u8) {
    // SAFETY: a system call on two numbers; a process that has ended, and is not yet waited for, keeps its number.
    let _ = unsafe { libc::kill(child.id() as libc::pid_t, signal.into()) };
}

fn end(children: &mut [Child]) {
    for child in children {
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_no_bosses() {
        let words = |line: &str| words(line.split(' ').map(OsString::from)).join(" ".as_ref()).into_string().unwrap();
        assert_eq!(words("run --workers 4 job.yaml -v"), "run job.yaml -v");
        assert_eq!(words("run job.yaml --workers=auto"), "run job.yaml");
    }
}
