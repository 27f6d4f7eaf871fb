//! JSON documents, local or remote.

use std::borrow::Cow;
use std::path::Path;

use serde_json::Value;

use super::messages::Cause;
use super::remote::with_retries;
use super::{ffi, messages, open};
use crate::error::{Error, Result};
use crate::location::remote_file;

/// The content of a JSON document of at most `most` bytes; `None`: it is not JSON.
pub(super) fn read(name: &Path, most: usize) -> Result<Option<Value>> {
    super::init();
    let cannot = || format!("cannot read {}", name.display());
    let shown = name.to_string_lossy();
    let stream = streamed(name);
    let read = || {
        let bytes =
            messages::attempt_read(|host| shown.contains(host), || ffi::read_file(&stream, most)).map_err(|cause| {
                // The failure of a stream does not always hold the server's answer.
                let has_answer = stream == name || cause.status.is_some();
                if has_answer { cause } else { open::open_failure(name).unwrap_or(cause) }
            })?;
        let text = String::from_utf8(bytes).map_err(|error| Cause::said(error.to_string()))?;
        match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
            Ok(json) => Ok(Some(json)),
            // What comes over a network may be cut.
            Err(error) if error.is_eof() && remote_file(name).is_some() => Err(Cause::said(error.to_string())),
            Err(_) => Ok(None),
        }
    };
    with_retries(&[name], read).map_err(|cause| Error::input(cannot()).with_source(cause))
}

/// GDAL's name that reads a document from a server as one stream: servers that compute their answers (searches, item
/// collections) do not support ranges.
fn streamed(name: &Path) -> Cow<'_, Path> {
    match name.to_str().and_then(|name| name.strip_prefix("/vsicurl/http")) {
        Some(rest) => Cow::Owned(format!("/vsicurl_streaming/http{rest}").into()),
        None => name.into(),
    }
}
