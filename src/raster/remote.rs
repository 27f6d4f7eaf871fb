//! Settings for remote files, and retries of failed reads.

use std::path::Path;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use super::messages::Cause;
use super::{ffi, http, messages};
use crate::location::remote_file;

/// GDAL's configuration options for remote files, unless the environment sets them.
const SETTINGS: &[(&str, &str)] = &[
    ("GDAL_HTTP_CONNECTTIMEOUT", "20"),
    // A connection without data for so long is aborted.
    ("GDAL_HTTP_LOW_SPEED_TIME", "30"),
    ("GDAL_HTTP_LOW_SPEED_LIMIT", "1"),
    ("GDAL_HTTP_MERGE_CONSECUTIVE_RANGES", "YES"),
    // GDAL reads whole chunks, and for consecutive blocks more and more of them ahead, up to 128: the smallest chunk
    // size keeps both small compared to a block of pixels. Headers are fetched in one request.
    ("CPL_VSIL_CURL_CHUNK_SIZE", "1024"),
    ("GDAL_INGESTED_BYTES_AT_OPEN", "32768"),
];

/// GDAL's option for the number of retries.
const RETRIES: &str = "GDAL_HTTP_MAX_RETRY";
/// GDAL's option for the seconds before the first retry.
const DELAY: &str = "GDAL_HTTP_RETRY_DELAY";
/// GDAL's options that make its HTTP client report requests and answers to the error handler.
const VERBOSE: &str = "CPL_CURL_VERBOSE";
const DEBUG: &str = "CPL_DEBUG";

/// If a server asks to wait longer, the read fails.
const MAX_DELAY: Duration = Duration::from_secs(60);

/// Retries of reads over a network.
struct RetryPolicy {
    retries: u32,
    /// Before the first retry; doubled before each further one.
    delay: Duration,
}

/// From GDAL's options in the environment.
fn retry_policy() -> &'static RetryPolicy {
    static POLICY: OnceLock<RetryPolicy> = OnceLock::new();
    POLICY.get_or_init(|| {
        let said = |key: &str| std::env::var(key).ok().and_then(|value| value.trim().parse::<f64>().ok());
        let delay = said(DELAY).filter(|delay| (0.0..=3600.0).contains(delay));
        // Test servers need no delay.
        let delay = delay.unwrap_or(if cfg!(test) { 0.001 } else { 0.5 });
        let retries = said(RETRIES).filter(|retries| (0.0..=1000.0).contains(retries)).unwrap_or(5.0);
        RetryPolicy { retries: retries as u32, delay: Duration::from_secs_f64(delay) }
    })
}

/// Sets the options that the environment does not set, and turns GDAL's own retries off: GDAL ignores how long a server
/// asks to wait, and its caches keep what a failed read has left.
pub(super) fn configure() {
    let set = |key: &str, value: &str| {
        // Setting an option fails only for keys and values with a zero byte.
        let _ = gdal::config::set_config_option(key, value);
    };
    for (key, value) in SETTINGS {
        if std::env::var_os(key).is_none() {
            set(key, value);
        }
    }
    retry_policy();
    set(RETRIES, "0");
    set(VERBOSE, "YES");
    match std::env::var(DEBUG) {
        Ok(all) if all.is_empty() || all.eq_ignore_ascii_case("on") => {}
        Ok(some) => set(DEBUG, &format!("{some},{}", http::CATEGORIES)),
        Err(_) => set(DEBUG, http::CATEGORIES),
    }
}

/// The delay before the next attempt after `cause.tried` failures; `None`: no further attempt. `names` are GDAL's names
/// of the files that are read; local files are read a second time at once, since a network file system may have failed.
pub(super) fn next_delay(names: &[impl AsRef<Path>], cause: &Cause) -> Option<Duration> {
    if !names.iter().any(|name| remote_file(name.as_ref()).is_some()) {
        return (cause.tried == 1).then_some(Duration::ZERO);
    }
    let RetryPolicy { retries, delay } = retry_policy();
    if cause.tried > *retries || cause.status.is_some_and(http::is_final) {
        return None;
    }
    let doubled = delay.saturating_mul(1 << (cause.tried - 1).min(10)).min(MAX_DELAY);
    match cause.retry_after {
        Some(wait) if wait > MAX_DELAY => None,
        Some(wait) => Some(doubled.max(wait)),
        None => Some(doubled),
    }
}

/// Waits, and drops what GDAL has cached of remote files: parts that may be truncated, or that a file does not exist.
pub(super) fn wait_and_clear_cache(names: &[impl AsRef<Path>], wait: Duration) {
    thread::sleep(wait);
    names.iter().filter_map(|name| remote_file(name.as_ref())).for_each(ffi::clear_remote_cache);
}

/// Repeats a failed call for remote files, since the network or a busy server may have caused the failure. `names` are
/// GDAL's names of the files that are read; for local files there is no retry.
pub(super) fn with_retries<T>(
    names: &[impl AsRef<Path>],
    mut call: impl FnMut() -> std::result::Result<T, Cause>,
) -> std::result::Result<T, Cause> {
    let mut tried = 1;
    loop {
        let mut cause = match call() {
            Ok(done) => return Ok(done),
            Err(cause) => cause,
        };
        cause.tried = tried;
        let remote = names.iter().any(|name| remote_file(name.as_ref()).is_some());
        let Some(wait) = next_delay(names, &cause).filter(|_| remote) else { return Err(cause) };
        messages::warn(&format!("Retrying after a network error: {cause}."));
        wait_and_clear_cache(names, wait);
        tried += 1;
    }
}
