//! Memory, processor and disks of this process, as the system reports them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Context as _, Result};

/// Bytes that this process can still allocate: free in the system, and allowed by its control group. Where neither is known,
/// more than any scene needs.
pub fn available() -> f64 {
    let group = |name: &str| -> Option<f64> {
        fs::read_to_string(format!("/sys/fs/cgroup/memory.{name}")).ok()?.trim().parse().ok()
    };
    let of_group = group("max").map(|most| most - group("current").unwrap_or(0.0));
    let of_system = kilobytes("/proc/meminfo", "MemAvailable:");
    of_system.unwrap_or(64e9).min(of_group.unwrap_or(f64::INFINITY))
}

/// Resident bytes of this process.
pub fn resident() -> f64 {
    kilobytes("/proc/self/status", "VmRSS:").unwrap_or(0.0)
}

/// Most resident bytes of this process since [`forget_peak`].
pub fn peak() -> f64 {
    kilobytes("/proc/self/status", "VmHWM:").unwrap_or(f64::NAN)
}

/// Resets the peak, where the system allows it.
pub fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Names the launcher of an installed program, which sets this variable.
const LAUNCHER: &str = "SEGEARTH_LAUNCHER";

/// The file that starts this program: the launcher of an installed one, which sets its libraries up.
///
/// # Errors
/// The system does not say.
pub fn program() -> Result<PathBuf> {
    match std::env::var_os(LAUNCHER).map(PathBuf::from).filter(|launcher| launcher.is_file()) {
        Some(launcher) => Ok(launcher),
        None => std::env::current_exe().input(|| "cannot find this program's own file".into()),
    }
}

/// Bytes of memory of the system.
pub fn total() -> f64 {
    kilobytes("/proc/meminfo", "MemTotal:").unwrap_or(f64::NAN)
}

/// The name of the processor, and the number of cores that this process may use.
pub fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{} ({cores} cores)", line.trim_start_matches([' ', '\t', ':']))
}

/// Bytes that this user can still write to a folder, or to the first folder above it that exists.
pub fn free_disk(folder: &Path) -> Option<u64> {
    let existing = folder.ancestors().find(|folder| folder.is_dir())?;
    let disk = rustix::fs::statvfs(existing).ok()?;
    Some(disk.f_bavail * disk.f_frsize)
}

fn kilobytes(file: &str, key: &str) -> Option<f64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok().map(|kilobytes| kilobytes * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_and_peak_grow_with_memory_in_use() {
        const SIZE: usize = 256 << 20;
        // Other tests take and release memory at the same time, far less than this.
        let least = SIZE as f64 / 2.0;
        let before = resident();
        let block = std::hint::black_box(vec![1u8; SIZE]);
        let during = resident();
        assert!(during - before > least, "{before} bytes became {during}");
        drop(block);
        // A test that loads a model before this one has malloc keep large blocks.
        crate::model::memory::trim_heap();
        let after = resident();
        assert!(during - after > least, "{during} bytes became {after}");
        assert!(peak() >= during.min(before + least), "peak {} of {during} bytes", peak());
    }

    #[test]
    fn available_memory_is_that_of_the_system_or_less() {
        let total = kilobytes("/proc/meminfo", "MemTotal:").unwrap();
        assert!((1e6..=total).contains(&available()), "{} of {total} bytes", available());
        assert_eq!(kilobytes("/proc/meminfo", "NoSuchKey:"), None);
        assert_eq!(kilobytes("/no/such/file", "MemTotal:"), None);
    }
}
