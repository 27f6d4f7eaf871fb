//! What GDAL says: collected here instead of printed by GDAL.

use std::cell::RefCell;
use std::sync::{Mutex, OnceLock};

use gdal::errors::{CplErrType, GdalError};

/// More warnings than this are not worth keeping: a broken file can give one per block.
const MAX_WARNINGS: usize = 50;
/// Failures of one call that are kept: the first ones name the root of the trouble.
const MAX_FAILURES: usize = 4;

thread_local! {
    static FAILURES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}
static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());
type Listener = Box<dyn Fn(&str) + Send + Sync>;
static LISTENER: OnceLock<Listener> = OnceLock::new();

/// GDAL's own account of a failure, as the cause of one of our errors.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Cause(String);

/// Takes GDAL's messages from now on, in all threads.
pub(super) fn collect() {
    gdal::config::set_error_handler(|class, _number, text| {
        let text = text.trim();
        match class {
            CplErrType::Failure | CplErrType::Fatal => {
                // A thread that is being torn down has nobody left to tell.
                let _ = FAILURES.try_with(|failures| {
                    if let Ok(mut failures) = failures.try_borrow_mut()
                        && failures.len() < MAX_FAILURES
                        && !failures.iter().any(|known| known == text)
                    {
                        failures.push(text.to_owned());
                    }
                });
            }
            CplErrType::Warning => warn(text),
            // Requests in full, with what signs them.
            CplErrType::None | CplErrType::Debug => return,
        }
        if let Some(listener) = LISTENER.get() {
            listener(text);
        }
    });
}

/// Hands every failure and warning on as it comes, those included that are expected and come to nothing. The first listener
/// stays.
pub fn overhear(listener: impl Fn(&str) + Send + Sync + 'static) {
    let _ = LISTENER.set(Box::new(listener));
}

/// Adds a warning for the user, once however often it comes.
pub(super) fn warn(text: &str) {
    let mut warnings = WARNINGS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if warnings.len() < MAX_WARNINGS && !warnings.iter().any(|known| known == text) {
        warnings.push(text.to_owned());
    }
}

/// The warnings since the last call, each once, from all threads: for the report.
pub fn take_warnings() -> Vec<String> {
    std::mem::take(&mut *WARNINGS.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// Calls GDAL; an error carries all that GDAL said on the way, the root first.
pub(super) fn attempt<T>(call: impl FnOnce() -> Result<T, GdalError>) -> Result<T, Cause> {
    let (result, failures) = listen(call);
    result.map_err(|error| if failures.is_empty() { Cause(plain(&error)) } else { Cause(failures.join("; ")) })
}

/// Calls what cannot say that it failed: any failure heard on the way counts.
pub(super) fn attempt_unsaid<T>(call: impl FnOnce() -> Result<T, GdalError>) -> Result<T, Cause> {
    let (result, failures) = listen(call);
    match result {
        Ok(value) if failures.is_empty() => Ok(value),
        Err(error) if failures.is_empty() => Err(Cause(plain(&error))),
        _ => Err(Cause(failures.join("; "))),
    }
}

fn listen<T>(call: impl FnOnce() -> T) -> (T, Vec<String>) {
    FAILURES.with_borrow_mut(Vec::clear);
    let result = call();
    (result, FAILURES.take())
}

/// The sentence inside the binding's error, without its wrapping.
fn plain(error: &GdalError) -> String {
    match error {
        GdalError::CplError { msg, .. } | GdalError::NullPointer { msg, .. } if !msg.is_empty() => {
            msg.trim().to_owned()
        }
        GdalError::BadArgument(text) => text.clone(),
        other => other.to_string(),
    }
}
