//! In which form the program tells of its work: settled before anything else, for a wrong command line is told in it too.

use std::ffi::OsString;

use clap::ValueEnum;
use clap::error::ErrorKind;

use crate::error::{Error, Result};

/// What is taken where `--log` is not given.
const VARIABLE: &str = "SEGEARTH_LOG";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text for people
    #[default]
    Text,
    /// JSON Lines: one object per line, for programs
    Json,
}

impl LogFormat {
    /// What the environment asks for; `None`: nothing.
    pub(super) fn of_environment() -> Result<Option<Self>> {
        let Some(value) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) else { return Ok(None) };
        let value = value.to_string_lossy();
        Self::from_str(&value, false).map(Some).map_err(|_| {
            Error::input(format!("{VARIABLE} is {value:?}; it must be text or json"))
                .with_hint("Correct or unset the variable, or use --log, which overrides it.")
        })
    }

    /// What is asked for, as far as that can be told from arguments that could not be read.
    pub(super) fn from_arguments(arguments: impl Iterator<Item = OsString>) -> Self {
        let mut given = None;
        let mut arguments = arguments.skip(1).take_while(|argument| argument != "--");
        while let Some(argument) = arguments.next() {
            let value = match argument.to_str() {
                Some("--log") => arguments.next().and_then(|value| value.into_string().ok()),
                Some(word) => word.strip_prefix("--log=").map(str::to_owned),
                None => None,
            };
            given = value.and_then(|value| Self::from_str(&value, false).ok()).or(given);
        }
        given.or(Self::of_environment().unwrap_or_default()).unwrap_or_default()
    }
}

/// What clap has to say, as one of our errors: its first paragraph, and what follows as the hint.
pub(super) fn as_error(error: &clap::Error) -> Error {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Error::input("no command is given").with_hint("See `segearth --help`.");
    }
    let text = error.render().to_string();
    let text = text.trim_start_matches("error: ").trim_end();
    match text.split_once("\n\n") {
        Some((message, rest)) => Error::input(message).with_hint(rest.trim().trim_start_matches("hint: ")),
        None => Error::input(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_is_detected_before_parsing() {
        let from_arguments = |line: &str| LogFormat::from_arguments(line.split(' ').map(OsString::from));
        assert_eq!(from_arguments("segearth run --log json a.yaml --nonsense"), LogFormat::Json);
        assert_eq!(from_arguments("segearth --log=json run"), LogFormat::Json);
        assert_eq!(from_arguments("segearth --log json run --log text"), LogFormat::Text);
        for text in ["segearth run", "segearth submit -- --log json", "segearth --log xml", "segearth run --log"] {
            assert_eq!(from_arguments(text), LogFormat::Text, "{text}");
        }
    }
}
