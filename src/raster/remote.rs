//! Reads that fail: how often, and after what wait, something is asked for again.

use std::path::Path;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use super::messages::Cause;
use super::{ffi, http, messages};
use crate::location::remote_file;

/// What GDAL does unless the environment says otherwise. Folders are not listed, since a store would list all of a bucket.
const SETTINGS: &[(&str, &str)] = &[
    ("GDAL_HTTP_CONNECTTIMEOUT", "20"),
    // A connection over which nothing comes for so long is dead.
    ("GDAL_HTTP_LOW_SPEED_TIME", "30"),
    ("GDAL_HTTP_LOW_SPEED_LIMIT", "1"),
    ("GDAL_HTTP_MERGE_CONSECUTIVE_RANGES", "YES"),
    // GDAL reads whole chunks, and of blocks that follow each other ever more ahead, up to 128 chunks: chunks of the least
    // size keep both small beside a block of pixels. Headers, which would come in crumbs, are fetched as one.
    ("CPL_VSIL_CURL_CHUNK_SIZE", "1024"),
    ("GDAL_INGESTED_BYTES_AT_OPEN", "32768"),
];

/// GDAL's option for how often a request is repeated.
const RETRIES: &str = "GDAL_HTTP_MAX_RETRY";
/// GDAL's option for the seconds before the first repetition.
const DELAY: &str = "GDAL_HTTP_RETRY_DELAY";
/// GDAL's options that make its HTTP client report what it does, and let the reports through to the error handler.
const VERBOSE: &str = "CPL_CURL_VERBOSE";
const DEBUG: &str = "CPL_DEBUG";

/// A server that asks to wait longer is not waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How patient reads over a network are.
struct Patience {
    retries: u32,
    /// Before the first retry; doubled before each further one.
    delay: Duration,
}

/// As the environment has it, in GDAL's own options.
fn patience() -> &'static Patience {
    static PATIENCE: OnceLock<Patience> = OnceLock::new();
    PATIENCE.get_or_init(|| {
        let said = |key: &str| std::env::var(key).ok().and_then(|value| value.trim().parse::<f64>().ok());
        let delay = said(DELAY).filter(|delay| (0.0..=3600.0).contains(delay));
        // The tests' servers are not in need of rest.
        let delay = delay.unwrap_or(if cfg!(test) { 0.001 } else { 0.5 });
        let retries = said(RETRIES).filter(|retries| (0.0..=1000.0).contains(retries)).unwrap_or(5.0);
        Patience { retries: retries as u32, delay: Duration::from_secs_f64(delay) }
    })
}

/// Sets what the environment leaves open, and takes retries into our own hands: GDAL does not heed how long a server asks to wait,
/// and keeps what a read that failed has left in its caches.
pub(super) fn configure() {
    let set = |key: &str, value: &str| {
        // A key and a value without a zero byte cannot be refused.
        let _ = gdal::config::set_config_option(key, value);
    };
    for (key, value) in SETTINGS {
        if std::env::var_os(key).is_none() {
            set(key, value);
        }
    }
    patience();
    set(RETRIES, "0");
    set(VERBOSE, "YES");
    match std::env::var(DEBUG) {
        Ok(all) if all.is_empty() || all.eq_ignore_ascii_case("on") => {}
        Ok(some) => set(DEBUG, &format!("{some},{}", http::CATEGORIES)),
        Err(_) => set(DEBUG, http::CATEGORIES),
    }
}

/// The wait before something that has failed `cause.tried` times is tried again; `None`: it is not. `names` are GDAL's names of
/// what is read; files on a disk are read a second time at once, since a network file system may have failed.
pub(super) fn next_try(names: &[impl AsRef<Path>], cause: &Cause) -> Option<Duration> {
    if !names.iter().any(|name| remote_file(name.as_ref()).is_some()) {
        return (cause.tried == 1).then_some(Duration::ZERO);
    }
    let Patience { retries, delay } = patience();
    if cause.tried > *retries || cause.status.is_some_and(http::is_final) {
        return None;
    }
    let doubled = delay.saturating_mul(1 << (cause.tried - 1).min(10)).min(LONGEST_WAIT);
    match cause.retry_after {
        Some(wait) if wait > LONGEST_WAIT => None,
        Some(wait) => Some(doubled.max(wait)),
        None => Some(doubled),
    }
}

/// Waits, and drops what GDAL remembers of remote files: parts that may be cut short, or that a file is not there.
pub(super) fn wait_and_forget(names: &[impl AsRef<Path>], wait: Duration) {
    thread::sleep(wait);
    names.iter().filter_map(|name| remote_file(name.as_ref())).for_each(ffi::forget_remote);
}

/// Calls again what failed, where it was perhaps the network that failed: a connection that was cut, a busy server. `names` are
/// GDAL's names of what is read; what lies on a disk is called once.
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
        let Some(wait) = next_try(names, &cause).filter(|_| remote) else { return Err(cause) };
        messages::warn(&format!("Retrying after a network error: {cause}."));
        wait_and_forget(names, wait);
        tried += 1;
    }
}
