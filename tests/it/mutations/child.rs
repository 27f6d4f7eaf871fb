//! The real binary as a child that is watched: how it ended, the processor time and memory it took, what it said.

#![expect(unsafe_code, reason = "wait4, which tells what a child used")]

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::workdir::Workdir;

/// Processor time from which a run counts as one that hangs.
pub const MOST_SECONDS: f64 = 10.0;
/// Memory that no input may make it take.
pub const MOST_MEMORY: u64 = 1_000_000_000;
/// When it is killed, by the clock: a run may have to wait for others.
const DEADLINE: Duration = Duration::from_secs(300);

pub struct Ended {
    /// `None`: by a signal.
    pub code: Option<i32>,
    pub killed: bool,
    /// Of the processor, in all threads.
    pub seconds: f64,
    /// Bytes at the most.
    pub memory: u64,
    pub said: Vec<u8>,
    pub printed: Vec<u8>,
}

/// Runs `segearth` in the folder and waits for it.
#[expect(clippy::zombie_processes, reason = "wait4 waits for it, and tells its memory too")]
pub fn run(work: &Workdir, args: &[String]) -> Ended {
    // Files, not pipes: nobody has to read while it runs.
    let outside = tempfile::tempdir().expect("a temporary folder");
    let place = |name: &str| outside.path().join(name);
    let file = |name: &str| Stdio::from(File::create(place(name)).expect("a file"));
    let mut command: Command = work.command(args);
    command.stdin(Stdio::null()).stdout(file("printed")).stderr(file("said"));
    let mut child = command.spawn().expect("the binary starts");
    let started = Instant::now();
    let (mut killed, mut seen) = (false, 0);
    let (status, usage) = loop {
        if let Some(ended) = wait(child.id()) {
            break ended;
        }
        seen = seen.max(peak(&format!("/proc/{}/status", child.id())));
        if !killed && started.elapsed() > DEADLINE {
            killed = true;
            child.kill().expect("a kill");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    // The system counts the memory of the process that started it as its own first memory: a number up to ours says
    // nothing, and what was seen on the way has to do.
    let counted = usage.ru_maxrss as u64 * 1024;
    Ended {
        code: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
        killed,
        seconds: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        memory: if counted > peak("/proc/self/status") { counted } else { seen },
        said: fs::read(place("said")).unwrap_or_default(),
        printed: fs::read(place("printed")).unwrap_or_default(),
    }
}

/// The most memory that a living process has held, in bytes.
fn peak(status: &str) -> u64 {
    let text = fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    line.and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// The status and the usage of a child that has ended, which frees its number; `None` while it runs.
fn wait(child: u32) -> Option<(libc::c_int, libc::rusage)> {
    let mut status = 0;
    // SAFETY: `rusage` is numbers alone, for which zeros are a value; both pointers are to locals that outlive the call. The
    // child is ours, and nobody but this function waits for it.
    let (ended, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::wait4(child as libc::pid_t, &mut status, libc::WNOHANG, &mut usage), usage)
    };
    assert!(ended >= 0, "wait4: {}", std::io::Error::last_os_error());
    (ended > 0).then_some((status, usage))
}
