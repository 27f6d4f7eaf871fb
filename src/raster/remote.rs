//! Rasters that come over a network: how often and how patiently they are asked for.

use std::borrow::Cow;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::{ffi, messages, open};
use crate::error::{Error, Result};
use crate::location::is_remote;

/// What GDAL does unless the environment says otherwise. GDAL itself repeats what a server answers with 429, 502, 503 and
/// 504; folders are not listed, since a store would list all of a bucket.
const SETTINGS: &[(&str, &str)] = &[
    ("GDAL_HTTP_MAX_RETRY", "4"),
    ("GDAL_HTTP_RETRY_DELAY", "0.5"),
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

/// Waits before something is asked for again.
const WAITS: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(8)];

/// Answers that will be the same the next time.
const FINAL: &[&str] = &["400", "401", "403", "404", "405", "410", "416"];

/// Sets what the environment leaves open.
pub(super) fn configure() {
    for (key, value) in SETTINGS {
        if std::env::var_os(key).is_none() {
            // A key and a value without a zero byte cannot be refused.
            let _ = gdal::config::set_config_option(key, value);
        }
    }
}

/// Calls again what failed, where it may have been the network that failed: a connection that was cut, a busy server.
/// `names` are GDAL's names of what is read.
pub(super) fn patiently<T>(names: &[impl AsRef<Path>], mut call: impl FnMut() -> Result<T>) -> Result<T> {
    let remote = names.iter().any(|name| is_remote(name.as_ref()));
    let mut waits = WAITS.iter();
    loop {
        let error = match call() {
            Err(error) if remote && !is_final(&error) => error,
            settled => return settled,
        };
        let Some(wait) = waits.next() else { return Err(error) };
        messages::warn(&format!("The network failed and was asked again: {}.", error.causes().join(": ")));
        thread::sleep(*wait);
        // GDAL remembers that a file was not there.
        names.iter().for_each(|name| ffi::forget_remote(name.as_ref()));
    }
}

fn is_final(error: &Error) -> bool {
    let said = error.causes().join(" ");
    FINAL.iter().any(|code| {
        said.contains(&format!("response code: {code}")) || said.contains(&format!("HTTP error code : {code}"))
    })
}

/// The content of a JSON document, local or remote, of at most `most` bytes; `None` where it is no JSON.
pub(super) fn read_json(name: &Path, most: usize) -> Result<Option<Value>> {
    super::init();
    patiently(&[name], || {
        let cannot = || format!("cannot read {}", name.display());
        let bytes = messages::attempt(|| ffi::read_file(&streamed(name), most)).map_err(|cause| {
            // A stream alone does not tell the server's answer.
            let cause = if streamed(name) == name { cause } else { open::complaint(name).unwrap_or(cause) };
            Error::input(cannot()).with_source(cause)
        })?;
        let text = String::from_utf8(bytes).map_err(|error| Error::input(cannot()).with_source(error))?;
        match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
            Ok(json) => Ok(Some(json)),
            // What comes over a network may be cut.
            Err(error) if error.is_eof() && is_remote(name) => Err(Error::input(cannot()).with_source(error)),
            Err(_) => Ok(None),
        }
    })
}

/// A document from a server as it comes: those that make their answers (searches, item collections) know no ranges.
fn streamed(name: &Path) -> Cow<'_, Path> {
    match name.to_str().and_then(|name| name.strip_prefix("/vsicurl/http")) {
        Some(rest) => Cow::Owned(format!("/vsicurl_streaming/http{rest}").into()),
        None => name.into(),
    }
}
