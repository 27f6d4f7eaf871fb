//! The program, the system, its processor and its memory.

use std::fs;

use serde_json::json;

use super::super::process;
use crate::report::DoctorReport;

/// The commit that a release was built from, where the build says it.
const BUILD: Option<&str> = option_env!("SEGEARTH_BUILD");
/// Instructions that change how fast, and in which order, sums are computed.
const INSTRUCTIONS: [&str; 11] = [
    "avx2",
    "fma",
    "f16c",
    "avx_vnni",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "avx512_bf16",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
];

pub fn check(report: &mut DoctorReport) {
    report.section("program");
    let profile = if cfg!(debug_assertions) { "debug build" } else { "release build" };
    report.fact("version", env!("CARGO_PKG_VERSION"));
    report.fact("build", format!("{}, {profile}, {}", BUILD.unwrap_or("from source"), std::env::consts::ARCH));
    if let Ok(file) = std::env::current_exe() {
        report.fact("file", file.display().to_string());
    }
    report.section("system");
    report.fact("name", system_name());
    if let Ok(kernel) = fs::read_to_string("/proc/sys/kernel/osrelease") {
        report.fact("kernel", kernel.trim());
    }
    let flags = flags();
    let here: Vec<&str> = INSTRUCTIONS.into_iter().filter(|name| flags.iter().any(|flag| flag == name)).collect();
    report.valued_fact("instructions", here.join(", "), json!(here));
    let used = segearth_upsample::instructions();
    let int8 = segearth_int8::Instructions::detect().map_or("portable", segearth_int8::Instructions::name);
    let bf16 = if used.amx { ", AMX for bf16" } else { "" };
    let kernels = format!("{}{bf16}, {int8} for int8", used.float32);
    report.valued_fact("kernels use", kernels, json!({ "float32": used.float32, "amx": used.amx, "int8": int8 }));
    memory(report);
    if used.float32 == "portable" {
        report.note(
            "the processor has no AVX2, or hides it: the upsampler is many times as slow",
            "In a virtual machine, pass the host's processor through.",
        );
    }
}

fn memory(report: &mut DoctorReport) {
    let (total, available) = (process::total(), process::available());
    report.valued_fact(
        "memory",
        format!("{:.1} GB, {:.1} GB available to this process", total / 1e9, available / 1e9),
        json!({ "total": total, "available": available }),
    );
    if available < 1e9 {
        report.note(
            format!("only {:.2} GB of memory are available", available / 1e9),
            "Runs take half of what is free unless --memory says otherwise; give the process or its container more.",
        );
    }
}

/// The processor and the number of cores that this process may use.
pub fn processor() -> String {
    process::processor()
}

fn system_name() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = name.map_or("Linux", |name| name.trim_matches('"'));
    match glibc() {
        Some(version) => format!("{name}, glibc {version}"),
        None => name.to_owned(),
    }
}

/// The version of the C library, from the file that is mapped.
fn glibc() -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let getconf = std::env::split_paths(&path).map(|folder| folder.join("getconf")).find(|file| file.is_file())?;
    let output = std::process::Command::new(getconf).arg("GNU_LIBC_VERSION").output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().strip_prefix("glibc ").map(str::to_owned)
}

/// What the processor has, as Linux names it.
fn flags() -> Vec<String> {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("flags")).unwrap_or_default();
    line.split_whitespace().map(str::to_owned).collect()
}
