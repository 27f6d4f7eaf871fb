//! Conversion of libtorch's errors.

use tch::TchError;

use crate::{Error, Kind};

/// Phrases by which libtorch reports that memory is exhausted, on the host and on CUDA.
const OUT_OF_MEMORY: [&str; 2] = ["out of memory", "not enough memory"];

impl From<TchError> for Error {
    fn from(error: TchError) -> Self {
        let text = error.to_string();
        // The lines between the first and the last are a stack trace; for errors in TorchScript only the last line has the reason.
        let first = text.lines().next().unwrap_or_default().trim_end_matches('.');
        let reason = text.lines().rev().find_map(|line| line.trim().strip_prefix("RuntimeError: "));
        let line = match reason {
            Some(reason) if !first.contains(reason) => format!("{first}: {reason}"),
            _ => first.to_owned(),
        };
        let error = match OUT_OF_MEMORY.iter().any(|phrase| text.to_ascii_lowercase().contains(phrase)) {
            true => Error::new(Kind::OutOfMemory, "the device has not enough memory for this batch"),
            false => Error::internal("libtorch failed"),
        };
        error.with_source(line)
    }
}
