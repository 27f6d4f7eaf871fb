//! What the system says of this process's memory.

use std::fs;

/// Bytes that this process could still take: what the system has, and what its control group allows. Where neither says,
/// what no scene of this world needs.
pub fn available() -> f64 {
    let group = |name: &str| -> Option<f64> {
        fs::read_to_string(format!("/sys/fs/cgroup/memory.{name}")).ok()?.trim().parse().ok()
    };
    let of_group = group("max").map(|most| most - group("current").unwrap_or(0.0));
    let of_system = kilobytes("/proc/meminfo", "MemAvailable:");
    of_system.unwrap_or(64e9).min(of_group.unwrap_or(f64::INFINITY))
}

/// Bytes that this process has.
pub fn resident() -> f64 {
    kilobytes("/proc/self/status", "VmRSS:").unwrap_or(0.0)
}

/// Most bytes that this process has had since [`forget_peak`].
pub fn peak() -> f64 {
    kilobytes("/proc/self/status", "VmHWM:").unwrap_or(f64::NAN)
}

/// Begins to look for the peak anew, where the system lets it.
pub fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
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
    fn a_process_has_memory() {
        assert!(resident() > 1e6 && peak() > 1e6 && available() > 1e6);
    }
}
