//! What the tests of all crates share: reference material, and a record of tests that cannot run.
//!
//! | variable | meaning |
//! |---|---|
//! | `SEGEARTH_SHARED` | folder of the reference material; default `../shared` beside the checkout |
//! | `SEGEARTH_REQUIRE_SHARED` | `1`: a test fails where its reference material is missing |
//! | `SEGEARTH_SKIPPED` | file to which [`skipped`] appends a line per test and reason; `make test` sums it up |

#![warn(missing_docs)]
#![expect(clippy::disallowed_methods, reason = "a skipped test is shown past the harness")]

pub mod random;

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{env, io, thread};

/// What has been recorded by this process: a test may come to the same reason several times.
static SKIPPED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Returns the file or folder `name` of the reference material. Where it is missing, records the test as skipped and returns
/// `None`.
///
/// # Panics
///
/// With `SEGEARTH_REQUIRE_SHARED=1` where the material is missing.
#[track_caller]
pub fn shared(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let path = env::var_os("SEGEARTH_SHARED").map_or_else(beside, PathBuf::from).join(name);
    if path.exists() {
        return Some(path);
    }
    let required = env::var_os("SEGEARTH_REQUIRE_SHARED").is_some_and(|value| value == "1");
    assert!(!required, "{} is missing, and SEGEARTH_REQUIRE_SHARED=1 requires it", path.display());
    skipped("no reference material");
    None
}

/// Records that the running test cannot run here, for a reason that other tests may share (`no AMX`). The caller then returns.
///
/// Standard error gets a line, past the harness, which shows what tests print only where they fail.
#[track_caller]
pub fn skipped(reason: &str) {
    let test = running_test(Location::caller());
    if !SKIPPED.lock().unwrap_or_else(PoisonError::into_inner).insert(format!("{test}: {reason}")) {
        return;
    }
    let _ = writeln!(io::stderr(), "skipped {test}: {reason}");
    if let Some(file) = env::var_os("SEGEARTH_SKIPPED") {
        let recorded = record(Path::new(&file), reason, &test);
        assert!(recorded.is_ok(), "cannot record a skipped test in {}: {recorded:?}", Path::new(&file).display());
    }
}

/// Returns the processor time of this thread, which unlike the clock does not count that of other programs. Zero where the system
/// does not tell.
pub fn processor_time() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = told.split(' ').next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// Returns the name of the running test: that of its thread, which the harness names so unless it runs all tests on the main
/// thread. Then the place of the call stands for the test.
fn running_test(place: &Location) -> String {
    match thread::current().name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => format!("{}:{}", place.file(), place.line()),
    }
}

/// Appends a line in one write, since tests of several processes append to the file at the same time.
fn record(file: &Path, reason: &str, test: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    file.write_all(format!("{reason}\t{test}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_tests_are_recorded_one_per_line() {
        let file = env::temp_dir().join(format!("segearth-skipped-{}", std::process::id()));
        record(&file, "no AMX", "a::b").unwrap();
        record(&file, "no NVRTC", "a::c").unwrap();
        let recorded = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(recorded, "no AMX\ta::b\nno NVRTC\ta::c\n");
    }

    #[test]
    fn processor_time_grows_with_work() {
        let begun = processor_time();
        let mut sum = 0u64;
        while processor_time() - begun < Duration::from_millis(20) {
            sum = std::hint::black_box((0..10_000u64).fold(sum, u64::wrapping_add));
        }
        assert!(processor_time() > begun);
    }

    #[test]
    fn running_test_has_a_name() {
        let name = running_test(Location::caller());
        assert!(name.contains("running_test_has_a_name") || name.contains("testing/src/lib.rs:"), "{name}");
    }
}
