//! The folders that runs write to: whether they can, and how much room there is.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::super::process;
use crate::model::{fetch, folders, registry};
use crate::report::DoctorReport;

/// Room that the built-in model and features of prompts need, in bytes.
const ROOM: u64 = 100_000_000;

pub fn check(report: &mut DoctorReport) {
    report.section("folders");
    match folders::cache() {
        Some(cache) => {
            // Runs make it when they first need it.
            let made = fs::create_dir_all(&cache);
            let failure = made.and_then(|()| writable(&cache)).err();
            show(report, "cache", &cache);
            if let Some(error) = failure {
                report.error(
                    format!("the cache folder {} cannot be written: {error}", cache.display()),
                    "Set SEGEARTH_CACHE to a folder that you may write to.",
                );
            }
            check_room(report, "cache", &cache, "Set SEGEARTH_CACHE to a folder with more room.");
        }
        None => report.error("there is no cache folder: neither SEGEARTH_CACHE nor HOME is set", "Set SEGEARTH_CACHE."),
    }
    let temporary = std::env::temp_dir();
    show(report, "temporary", &temporary);
    if let Err(error) = writable(&temporary) {
        report.error(
            format!("the temporary folder {} cannot be written: {error}", temporary.display()),
            "Set TMPDIR to a folder that you may write to.",
        );
    }
    check_room(report, "temporary", &temporary, "Set TMPDIR to a folder with more room.");
    for (name, folder) in [("models", registry::folder()), ("downloads", fetch::downloads())] {
        match folder {
            Some(folder) => show(report, name, &folder),
            None => report.fact(name, "none: HOME is not set"),
        }
    }
    if let Ok(current) = std::env::current_dir() {
        show(report, "current", &current);
    }
}

/// The folder with its free bytes, or those of the first folder above it that exists.
fn show(report: &mut DoctorReport, name: &str, folder: &Path) {
    let exists = folder.is_dir();
    let free = process::free_disk(folder);
    let mut text = folder.display().to_string();
    if !exists {
        text += " (does not exist)";
    }
    if let Some(free) = free {
        text += &format!(", {:.1} GB free", free as f64 / 1e9);
    }
    report.valued_fact(name, text, json!({ "path": folder.display().to_string(), "exists": exists, "free": free }));
}

fn check_room(report: &mut DoctorReport, name: &str, folder: &Path, hint: &str) {
    if let Some(free) = process::free_disk(folder).filter(|free| *free < ROOM) {
        report.error(format!("the {name} folder {} has only {} MB free", folder.display(), free / 1_000_000), hint);
    }
}

/// Makes and removes a file.
fn writable(folder: &Path) -> std::io::Result<()> {
    tempfile::tempfile_in(folder).map(drop)
}
