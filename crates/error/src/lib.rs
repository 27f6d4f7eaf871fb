//! One error type for the whole program: what went wrong, whose fault it is, what to do about it, and the cause below.
//!
//! A message states only its own layer's fact, with the place, the value found and the values allowed; the cause goes into
//! `source`, never into the message as well. The hint is a full sentence that says what to do next.

#![warn(missing_docs)]

#[cfg(feature = "tch")]
mod torch;

use std::error::Error as StdError;
use std::fmt;

/// A result with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whose fault it is, and with it what the caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something that came from outside: a file, a job, a flag, the environment. Exit code 1.
    Input,
    /// A promise of our own code that did not hold. Exit code 2.
    Internal,
    /// The device ran out of memory: a smaller batch may still succeed.
    OutOfMemory,
    /// The results are complete but for windows that could not be computed, as the user allowed. Exit code 3.
    FailedWindows,
    /// Somebody stopped the program; what is finished is kept. Exit code 128 and the signal's number, as shells have it.
    Stopped {
        /// The number of the signal.
        signal: u8,
    },
}

/// An error with a kind, a message, and where there are ones a hint and a cause.
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

    /// Returns an error without hint and cause. The message begins in lower case and has no full stop.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None }
    }

    /// Says what the user can do; a whole sentence without "hint:".
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

    /// The hint of the outermost layer that has one.
    pub fn hint(&self) -> Option<&str> {
        let mut layer: &(dyn StdError + 'static) = self;
        loop {
            if let Some(hint) = layer.downcast_ref::<Error>().and_then(|error| error.hint.as_deref()) {
                return Some(hint);
            }
            layer = layer.source()?;
        }
    }

    /// 1 for what came from outside, 2 for our own defects, 3 for results with failed windows, 128 + n for the signal n.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Input | Kind::OutOfMemory => 1,
            Kind::Internal => 2,
            Kind::FailedWindows => 3,
            Kind::Stopped { signal } => 128 + signal,
        }
    }

    /// The same with every text in other words: message, hint and causes.
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

    /// The messages of the causes, outermost first, this one left out.
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

/// Puts a layer's own fact over an error that came from below.
pub trait Context<T> {
    /// The fault lies in something from outside.
    fn input(self, message: impl FnOnce() -> String) -> Result<T>;
    /// The fault is ours.
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
    fn a_hint_from_below_is_found_and_messages_are_not_repeated() {
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
