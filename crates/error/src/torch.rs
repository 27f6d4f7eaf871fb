//! libtorch's errors as ours.

use tch::TchError;

use crate::{Error, Kind};

/// libtorch marks what it cannot allocate only in words, one phrase for the host and one for CUDA.
const OUT_OF_MEMORY: [&str; 2] = ["out of memory", "not enough memory"];

impl From<TchError> for Error {
    fn from(error: TchError) -> Self {
        let text = error.to_string();
        // Between them is libtorch's own stack, of no use to the user; inside TorchScript, only the last line tells why.
        let first = text.lines().next().unwrap_or_default().trim_end_matches('.');
        let why = text.lines().rev().find_map(|line| line.trim().strip_prefix("RuntimeError: "));
        let line = match why {
            Some(why) if !first.contains(why) => format!("{first}: {why}"),
            _ => first.to_owned(),
        };
        let error = match OUT_OF_MEMORY.iter().any(|phrase| text.to_ascii_lowercase().contains(phrase)) {
            true => Error::new(Kind::OutOfMemory, "the device has not enough memory for this batch"),
            false => Error::internal("libtorch failed"),
        };
        error.with_source(line)
    }
}
