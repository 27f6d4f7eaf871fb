//! Lines about the work, to standard error: words for people, or a JSON object each for programs.
//!
//! Whatever the form, addresses are shown without what opens them.

#![expect(clippy::disallowed_methods, reason = "the only printer")]

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::panic;
use std::time::{SystemTime, UNIX_EPOCH};

use indicatif::MultiProgress;
use serde::Serialize;

use super::text::{Paint, printable, printable_line};
use crate::error::{Error, Kind};
use crate::pipeline::without_credentials;

/// Where lines go, and in which form. Clones write to the same place.
#[derive(Clone)]
pub(super) struct Log {
    json: bool,
    paint: Paint,
    /// Bars make room while a line is printed.
    bars: MultiProgress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Error,
    Info,
    Debug,
    Trace,
}

/// One object, its keys in this order.
#[derive(Serialize)]
struct Entry<'a, F> {
    time: String,
    level: Level,
    event: &'a str,
    message: &'a str,
    #[serde(flatten)]
    fields: F,
}

/// An entry that is its message.
#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct Failure {
    kind: &'static str,
    exit_code: u8,
    causes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

const DEFECT: &str = "This is a defect of segearth, not of your input: please report it with the command that you ran.";
/// Rust's exit code of a program that panics.
const PANIC: u8 = 101;

impl Log {
    pub fn new(json: bool, paint: Paint, bars: MultiProgress) -> Self {
        Self { json, paint, bars }
    }

    pub fn is_json(&self) -> bool {
        self.json
    }

    pub fn error(&self, error: &Error) {
        if self.json {
            let message = error.to_string();
            self.object(Level::Error, "error", &message, Failure::of(error));
        } else {
            self.line(&render_error(error, self.paint));
        }
    }

    pub fn note(&self, sentence: &str) {
        self.say(Level::Info, "note", sentence);
    }

    pub fn detail(&self, sentence: &str) {
        self.say(Level::Debug, "detail", sentence);
    }

    /// How far some work is, for people.
    pub fn progress(&self, text: &str) {
        self.line(&printable_line(&without_credentials(text)));
    }

    /// What a library said, in its own words.
    pub fn overheard(&self, words: &str) {
        self.say(Level::Trace, "gdal", words);
    }

    fn say(&self, level: Level, event: &str, sentence: &str) {
        if self.json {
            return self.object(level, event, sentence, Nothing {});
        }
        let shown = printable_line(&without_credentials(sentence));
        self.line(&match level {
            Level::Info => format!("{} {shown}", self.paint.bold("note:")),
            _ => self.paint.dim(&shown),
        });
    }

    /// An object on a line of its own, for programs only.
    pub fn object(&self, level: Level, event: &str, message: &str, fields: impl Serialize) {
        self.line(&object(SystemTime::now(), level, event, message, fields));
    }

    fn line(&self, text: &str) {
        self.bars.suspend(|| {
            // In one piece: several processes may share a log.
            let _ = io::stderr().lock().write_all(format!("{text}\n").as_bytes());
        });
    }

    /// Makes an object of a panic as well, from now on and in all threads.
    pub fn take_panics(&self) {
        if !self.json {
            return;
        }
        let log = self.clone();
        panic::set_hook(Box::new(move |panic| log.object(Level::Error, "error", &panic.to_string(), Failure::panic())));
    }
}

impl Failure {
    fn of(error: &Error) -> Self {
        let defect = || (error.kind() == Kind::Internal).then_some(DEFECT);
        Self {
            kind: match error.kind() {
                Kind::Input => "input",
                Kind::Internal => "internal",
                Kind::OutOfMemory => "out_of_memory",
                Kind::FailedWindows => "failed_windows",
                Kind::Stopped { .. } => "stopped",
            },
            exit_code: error.exit_code(),
            causes: error.causes(),
            hint: error.hint().or_else(defect).map(str::to_owned),
        }
    }

    fn panic() -> Self {
        Self { kind: "internal", exit_code: PANIC, causes: Vec::new(), hint: Some(DEFECT.to_owned()) }
    }
}

/// `error:`, the causes, a blank line, `hint:`.
pub(super) fn render_error(error: &Error, paint: Paint) -> String {
    let shown = |text: &str| printable(&without_credentials(text));
    let mut text = format!("{} {}", paint.error("error:"), shown(&error.to_string()));
    for cause in error.causes() {
        let _ = write!(text, "\n  {} {}", paint.dim("cause:"), shown(&cause).replace('\n', "\n         "));
    }
    let defect = (error.kind() == Kind::Internal).then_some(DEFECT);
    if let Some(hint) = error.hint().or(defect) {
        let _ = write!(text, "\n\n{} {}", paint.hint("hint:"), shown(hint));
    }
    text
}

/// A JSON object on one line. It holds what was said to the letter, but for credentials: control characters are escaped, those
/// included that JSON lets through and terminals obey.
pub(super) fn object(now: SystemTime, level: Level, event: &str, message: &str, fields: impl Serialize) -> String {
    // Numbers, texts and lists of them cannot be refused.
    let json =
        serde_json::to_string(&Entry { time: timestamp(now), level, event, message, fields }).unwrap_or_default();
    escaped(&without_credentials(&json)).into_owned()
}

fn escaped(json: &str) -> Cow<'_, str> {
    if !json.contains(char::is_control) {
        return json.into();
    }
    let mut text = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if c.is_control() {
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text.into()
}

/// `2026-11-23T16:18:22.123Z`
fn timestamp(now: SystemTime) -> String {
    humantime::format_rfc3339_millis(now.max(UNIX_EPOCH)).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn error_is_readable_without_colour() {
        let below = Error::input("No such file or directory (os error 2)");
        let error = Error::input("cannot read the job file city.yaml").with_source(below).with_hint("Check the path.");
        insta::assert_snapshot!(render_error(&error, Paint::new(false)), @r"
        error: cannot read the job file city.yaml
          cause: No such file or directory (os error 2)

        hint: Check the path.
        ");
        assert!(render_error(&error, Paint::new(true)).contains("\x1b["));
        let moment = UNIX_EPOCH + Duration::from_millis(1_795_450_702_123);
        let json = object(moment, Level::Error, "error", &error.to_string(), Failure::of(&error));
        insta::assert_snapshot!(json, @r#"{"time":"2026-11-23T16:18:22.123Z","level":"error","event":"error","message":"cannot read the job file city.yaml","kind":"input","exit_code":1,"causes":["No such file or directory (os error 2)"],"hint":"Check the path."}"#);
    }

    #[test]
    fn control_characters_are_escaped() {
        let foreign = "no band \x1b[2J in a\nb\u{9b}2J";
        let text = render_error(&Error::input(foreign), Paint::new(false));
        assert_eq!(text, "error: no band \u{fffd}[2J in a\nb\u{fffd}2J");
        let json = object(UNIX_EPOCH, Level::Info, "note", foreign, Nothing {});
        assert!(!json.contains(char::is_control), "{json}");
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["message"], foreign);
    }

    #[test]
    fn credentials_are_not_printed() {
        let cause = Error::input("HTTP 403 of \"https://me:secret@host/a.tif?sig=secret\"");
        let error = Error::input("cannot open s3://key:secret@bucket/a.tif").with_source(cause);
        let json = object(UNIX_EPOCH, Level::Error, "error", &error.to_string(), Failure::of(&error));
        let text = render_error(&error, Paint::new(false));
        assert!(!json.contains("secret") && !text.contains("secret"), "{json}\n{text}");
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["causes"][0], "HTTP 403 of \"https://host/a.tif?…\"");
    }

    #[test]
    fn internal_error_asks_for_report() {
        let text = render_error(&Error::internal("lost a row"), Paint::new(false));
        assert!(text.contains("hint: This is a defect"), "{text}");
    }

    #[test]
    fn date_follows_gregorian_calendar() {
        let day = |text: &str| {
            let numbers: Vec<u64> = text.split('-').map(|number| number.parse().unwrap()).collect();
            (numbers[0], numbers[1], numbers[2])
        };
        let date = |days: u64| {
            let text = timestamp(UNIX_EPOCH + Duration::from_secs(days * 86_400));
            day(text.split_once('T').expect("a time").0)
        };
        for (days, text) in
            [(0, "1970-01-01"), (58, "1970-02-28"), (59, "1970-03-01"), (11_016, "2000-02-29"), (11_017, "2000-03-01")]
        {
            assert_eq!(date(days), day(text), "{text}");
        }
        // Each day follows the one before it.
        let length = |year: u64, month: u64| match month {
            2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        for days in 0..200_000 {
            let (year, month, day) = date(days);
            let next = if day < length(year, month) {
                (year, month, day + 1)
            } else if month < 12 {
                (year, month + 1, 1)
            } else {
                (year + 1, 1, 1)
            };
            assert_eq!(date(days + 1), next, "after {year}-{month}-{day}");
        }
    }
}
