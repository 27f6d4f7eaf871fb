//! The error type of the program and its crates: kind, message, hint and cause.
//!
//! A message states what failed in its own layer, with path, value found and values allowed. The cause goes into `source`, never also
//! into the message. The hint is a full sentence that says what to do next.

#![warn(missing_docs)]

#[cfg(feature = "tch")]
mod torch;

use std::error::Error as StdError;
use std::fmt;

/// A result with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of an error, which decides the exit code and whether a caller can recover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An invalid input: a file, a job, an argument, the environment. Exit code 1.
    Input,
    /// A defect of the program. Exit code 2.
    Internal,
    /// The device is out of memory; a smaller batch may succeed. Exit code 1.
    OutOfMemory,
    /// The results are complete except for failed windows, which the user allowed. Exit code 3.
    FailedWindows,
    /// A signal stopped the program; finished work is kept. Exit code 128 + signal, as in shells.
    Stopped {
        /// The number of the signal.
        signal: u8,
    },
}

/// An error with a kind and a message, and optionally a hint and a cause.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Returns an error of [`Kind::Input`].
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(Kind::Input, message)
    }

    /// Returns an error of [`Kind::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// Returns an error of [`Kind::OutOfMemory`].
    pub fn out_of_memory(message: impl Into<String>) -> Self {
        Self::new(Kind::OutOfMemory, message)
    }

    /// Returns an error without hint and cause. Messages begin in lower case and have no full stop.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None }
    }

    /// Adds a hint: a full sentence that says what the user can do, without "hint:".
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the cause, which is shown below the message.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Returns the kind, which decides the exit code.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the hint of the outermost error of the chain that has one.
    pub fn hint(&self) -> Option<&str> {
        let mut layer: &(dyn StdError + 'static) = self;
        loop {
            if let Some(hint) = layer.downcast_ref::<Error>().and_then(|error| error.hint.as_deref()) {
                return Some(hint);
            }
            layer = layer.source()?;
        }
    }

    /// Returns the exit code: 1 for input, 2 for defects, 3 for results with failed windows, 128 + n for signal n.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Input | Kind::OutOfMemory => 1,
            Kind::Internal => 2,
            Kind::FailedWindows => 3,
            Kind::Stopped { signal } => 128 + signal,
        }
    }

    /// Returns the error with `word` applied to every text: message, hint and causes.
    #[must_use]
    pub fn reworded(self, word: &dyn Fn(&str) -> String) -> Self {
        let below = |below: Option<Self>, cause: &String| {
            let cause = Self::new(self.kind, word(cause));
            Some(match below {
                Some(below) => cause.with_source(below),
                None => cause,
            })
        };
        let source = self.causes().iter().rev().fold(None, below);
        let error = Self { kind: self.kind, message: word(&self.message), hint: self.hint().map(word), source: None };
        match source {
            Some(source) => error.with_source(source),
            None => error,
        }
    }

    /// Returns the messages of the causes, outermost first, without this error's own.
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next = self.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        causes
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// Wraps the error of a result in one of the layer above.
pub trait Context<T> {
    /// Wraps it in an error of [`Kind::Input`].
    fn input(self, message: impl FnOnce() -> String) -> Result<T>;
    /// Wraps it in an error of [`Kind::Internal`].
    fn internal(self, message: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> Context<T> for std::result::Result<T, E> {
    fn input(self, message: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::input(message()).with_source(source))
    }

    fn internal(self, message: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::internal(message()).with_source(source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hint_of_a_cause_is_found_and_messages_are_not_repeated() {
        let below = Error::input("band 4 is not in the file").with_hint("Choose bands from 1 to 3.");
        let above = Err::<(), _>(below).input(|| "cannot read scene.tif".into()).unwrap_err();
        assert_eq!(above.to_string(), "cannot read scene.tif");
        assert_eq!(above.causes(), ["band 4 is not in the file"]);
        assert_eq!(above.hint(), Some("Choose bands from 1 to 3."));
        assert_eq!(above.exit_code(), 1);
        let above = above.reworded(&|text| text.replace("scene", "map").replace("band", "layer"));
        assert_eq!(
            (above.to_string().as_str(), above.causes()),
            ("cannot read map.tif", vec!["layer 4 is not in the file".into()])
        );
        assert_eq!(above.hint(), Some("Choose layers from 1 to 3."));
    }
}
