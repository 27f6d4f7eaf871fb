//! GDAL's messages: collected here instead of printed by GDAL.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use gdal::errors::{CplErrType, GdalError};

use super::http::{Answers, Outcome};

/// More warnings than this are not worth keeping: a broken file can give one per block.
const MAX_WARNINGS: usize = 50;
/// Most failures of one call that are kept: the first ones name the cause.
const MAX_FAILURES: usize = 4;
/// Most failures of GDAL's threads that are kept until the reading thread collects them.
const MAX_OTHER_FAILURES: usize = 64;
/// libtiff's warning for a part of a header that cannot be read; it continues as if the part were missing.
const HEADER_UNREAD: &str = "IO error during reading of";

thread_local! {
    static FAILURES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static ANSWERS: RefCell<Answers> = RefCell::default();
    /// Whether this is a thread of the program, and not one of GDAL's.
    static IS_OURS: Cell<bool> = const { Cell::new(false) };
}
static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static OTHER_THREADS: Mutex<OtherThreads> = Mutex::new(OtherThreads { count: 0, failures: VecDeque::new() });
type Handler = Box<dyn Fn(&str) + Send + Sync>;
static HANDLER: OnceLock<Handler> = OnceLock::new();

/// Failures in the threads in which GDAL reads and decodes blocks; only the host of the request tells whose they are.
struct OtherThreads {
    /// Number of all failures so far.
    count: u64,
    failures: VecDeque<Received>,
}

/// Messages and HTTP answers during a call.
#[derive(Clone, Debug, Default)]
struct Received {
    failures: Vec<String>,
    answers: Outcome,
}

/// GDAL's messages about a failure, as the cause of one of our errors.
#[derive(Debug)]
pub(super) struct Cause {
    text: String,
    /// The HTTP status of a failed request.
    pub status: Option<u16>,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
    /// Number of attempts.
    pub tried: u32,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, status, retry_after, tried } = self;
        match status {
            Some(status) if !text.contains(&format!("status {status}")) => write!(f, "HTTP status {status}: {text}")?,
            _ => f.write_str(text)?,
        }
        if let Some(wait) = retry_after {
            write!(f, "; the server asks to wait {} s", wait.as_secs())?;
        }
        if *tried > 1 { write!(f, " (tried {tried} times)") } else { Ok(()) }
    }
}

impl std::error::Error for Cause {}

impl Cause {
    /// A failure that GDAL did not report.
    pub(super) fn said(text: String) -> Self {
        Self { text, status: None, retry_after: None, tried: 1 }
    }

    fn of(received: Received, error: Option<&GdalError>) -> Self {
        let Received { mut failures, answers } = received;
        failures.extend(answers.bad_answer);
        let text = match (failures.is_empty(), error, answers.status) {
            (false, ..) => failures.join("; "),
            (true, Some(error), _) => message_of(error),
            (true, None, Some(status)) => format!("the server answered with HTTP status {status}"),
            (true, None, None) => "the read failed".to_owned(),
        };
        let status = answers.status.or_else(|| failures.iter().find_map(|text| status_in(text)));
        Self { text, status, retry_after: answers.retry_after, tried: 1 }
    }
}

/// The HTTP status in one of GDAL's messages.
fn status_in(text: &str) -> Option<u16> {
    const BEFORE: &[&str] =
        &["response code: ", "response_code=", "HTTP error code : ", "HTTP error code: ", "returned error: "];
    let rest = BEFORE.iter().find_map(|before| Some(text.split_once(before)?.1))?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().filter(|status| (400..600).contains(status))
}

/// Collects GDAL's messages from now on, in all threads.
pub(super) fn collect() {
    gdal::config::set_error_handler(|class, _number, text| {
        let is_debug = matches!(class, CplErrType::None | CplErrType::Debug);
        // A thread that is shutting down has no thread-local storage any more.
        let failed = match class {
            // Full requests with their signatures: parsed, never printed.
            CplErrType::None | CplErrType::Debug => ANSWERS
                .try_with(|answers| answers.try_borrow_mut().is_ok_and(|mut answers| answers.parse(text)))
                .unwrap_or(false),
            CplErrType::Failure | CplErrType::Fatal => keep_failure(text.trim()),
            CplErrType::Warning => {
                warn(text.trim());
                text.contains(HEADER_UNREAD) && keep_failure(text.trim())
            }
        };
        if failed && is_gdals_thread() {
            let received = take();
            let mut other_threads = lock(&OTHER_THREADS);
            other_threads.count += 1;
            if other_threads.failures.len() == MAX_OTHER_FAILURES {
                other_threads.failures.pop_front();
            }
            other_threads.failures.push_back(received);
        }
        if !is_debug && let Some(gdal_message_handler) = HANDLER.get() {
            gdal_message_handler(text.trim());
        }
    });
}

/// Whether this thread was started by GDAL: it has no name and has never called GDAL through this module.
fn is_gdals_thread() -> bool {
    !IS_OURS.try_with(Cell::get).unwrap_or(true) && std::thread::current().name().is_none()
}

/// Keeps a failure; returns `true`.
fn keep_failure(text: &str) -> bool {
    let _ = FAILURES.try_with(|failures| {
        if let Ok(mut failures) = failures.try_borrow_mut()
            && failures.len() < MAX_FAILURES
            && !failures.iter().any(|known| known == text)
        {
            failures.push(text.to_owned());
        }
    });
    true
}

/// The messages of this thread since the last call.
fn take() -> Received {
    let failures = FAILURES.try_with(RefCell::take).unwrap_or_default();
    let answers = ANSWERS.try_with(|answers| answers.borrow_mut().take()).unwrap_or_default();
    Received { failures, answers }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Passes every failure and warning to a handler at once, including those that are expected and have no effect. The
/// first handler stays.
pub fn set_gdal_message_handler(gdal_message_handler: impl Fn(&str) + Send + Sync + 'static) {
    let _ = HANDLER.set(Box::new(gdal_message_handler));
}

/// Adds a warning for the user; repeated ones are added once.
pub(super) fn warn(text: &str) {
    let mut warnings = lock(&WARNINGS);
    if warnings.len() < MAX_WARNINGS && !warnings.iter().any(|known| known == text) {
        warnings.push(text.to_owned());
    }
}

/// The warnings since the last call, each once, from all threads: for the report.
pub fn take_warnings() -> Vec<String> {
    std::mem::take(&mut *lock(&WARNINGS))
}

/// Calls GDAL; an error carries all messages of the call, the first one first.
pub(super) fn attempt<T>(call: impl FnOnce() -> Result<T, GdalError>) -> Result<T, Cause> {
    let (result, received) = receive(call);
    result.map_err(|error| Cause::of(received, Some(&error)))
}

/// Makes a call that does not return whether it failed: any reported failure counts.
pub(super) fn attempt_silent<T>(call: impl FnOnce() -> Result<T, GdalError>) -> Result<T, Cause> {
    let (result, received) = receive(call);
    received.check(result)
}

/// Makes a call that reads pixels: any reported failure counts, and any answer of a server that does not match its
/// request, in GDAL's own threads too. `is_asked` recognises the hosts of the files that are read; answers of other
/// hosts belong to other readers.
pub(super) fn attempt_read<T>(
    is_asked: impl Fn(&str) -> bool,
    call: impl FnOnce() -> Result<T, GdalError>,
) -> Result<T, Cause> {
    let before = lock(&OTHER_THREADS).count;
    let (result, mut received) = receive(call);
    let other_threads = lock(&OTHER_THREADS);
    let new = usize::try_from(other_threads.count - before).unwrap_or(usize::MAX);
    for other in other_threads.failures.iter().rev().take(new).rev() {
        let answered = other.answers.host.as_deref().is_some_and(&is_asked);
        // GDAL also reports to the caller that a block cannot be read or decoded; this adds the reason.
        if answered || (result.is_err() && other.answers.host.is_none()) {
            received.add(other.clone());
        }
    }
    drop(other_threads);
    received.check(result)
}

/// Makes a call that opens a raster. Other messages may be harmless, but a header that cannot be read in part is an
/// error: the missing part may say which pixels are valid.
pub(super) fn attempt_open<T>(call: impl FnOnce() -> Result<T, GdalError>) -> Result<T, Cause> {
    let (result, received) = receive(call);
    let unread = received.failures.iter().any(|text| text.contains(HEADER_UNREAD));
    match result {
        Ok(value) if !unread && received.answers.bad_answer.is_none() && received.answers.busy.is_none() => Ok(value),
        Ok(_) => Err(Cause::of(received, None)),
        Err(error) => Err(Cause::of(received, Some(&error))),
    }
}

/// Makes a call that iterates over a vector file: a feature that cannot be read looks like the end of the file.
pub(super) fn attempt_features<T>(call: impl FnOnce() -> T) -> (T, Result<(), Cause>) {
    let (value, received) = receive(call);
    (value, received.check(Ok(())))
}

fn receive<T>(call: impl FnOnce() -> T) -> (T, Received) {
    IS_OURS.set(true);
    take();
    let result = call();
    (result, take())
}

impl Received {
    /// The result, or an error where any failure was reported.
    fn check<T>(self, result: Result<T, GdalError>) -> Result<T, Cause> {
        match result {
            Ok(value)
                if self.failures.is_empty() && self.answers.bad_answer.is_none() && self.answers.busy.is_none() =>
            {
                Ok(value)
            }
            Ok(_) => Err(Cause::of(self, None)),
            Err(error) => Err(Cause::of(self, Some(&error))),
        }
    }

    fn add(&mut self, other: Self) {
        let Outcome { status, busy, retry_after, bad_answer, host: _ } = other.answers;
        for failure in other.failures {
            if self.failures.len() < MAX_FAILURES && !self.failures.contains(&failure) {
                self.failures.push(failure);
            }
        }
        let answers = &mut self.answers;
        answers.status = answers.status.or(status);
        answers.busy = answers.busy.or(busy);
        answers.retry_after = answers.retry_after.max(retry_after);
        answers.bad_answer = answers.bad_answer.take().or(bad_answer);
    }
}

/// The message inside an error of the gdal crate.
fn message_of(error: &GdalError) -> String {
    match error {
        GdalError::CplError { msg, .. } | GdalError::NullPointer { msg, .. } if !msg.is_empty() => {
            msg.trim().to_owned()
        }
        GdalError::BadArgument(text) => text.clone(),
        other => other.to_string(),
    }
}
