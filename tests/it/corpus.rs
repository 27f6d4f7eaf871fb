//! The fuzz targets' corpora, through the very functions that libFuzzer calls: whatever was once found stays found.

use std::fs;
use std::time::Duration;

use segearth_testing::processor_time;

use crate::workdir::repository;

#[path = "../fuzz/src/lib.rs"]
mod targets;

/// Most bytes that the corpora may have together: they are part of the repository.
const MOST: u64 = 300_000;

/// Runs the target over its corpus; a panic prints the input's name above it.
fn replay(name: &str, target: fn(&[u8])) {
    let folder = repository("tests/fuzz/corpus").join(name);
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("the corpus").map(|entry| entry.expect("an input").path()).collect();
    files.sort();
    assert!(files.len() >= 5, "the corpus of {name} is gone");
    for path in files {
        println!("{}", path.display());
        let bytes = fs::read(&path).expect("an input");
        let started = processor_time();
        target(&bytes);
        let took = processor_time() - started;
        // Without optimisation the slowest takes 13 s; what hung took minutes.
        assert!(took < Duration::from_secs(40), "{} takes {took:?}", path.display());
    }
}

#[test]
fn job_files_are_read_or_refused() {
    replay("job", targets::job);
}

#[test]
fn checkpoints_are_read_or_refused() {
    replay("checkpoint", targets::checkpoint);
}

#[test]
fn bundles_are_read_or_refused() {
    replay("bundle", targets::bundle);
}

#[test]
fn journals_are_read_or_refused() {
    replay("journal", targets::journal);
}

#[test]
fn stores_are_read_or_refused() {
    replay("store", targets::store);
}

#[test]
fn places_are_found_or_refused() {
    replay("place", targets::place);
}

#[test]
fn the_corpora_are_small() {
    let targets = fs::read_dir(repository("tests/fuzz/corpus")).expect("the corpora");
    let files = targets.flat_map(|folder| fs::read_dir(folder.expect("a corpus").path()).expect("a corpus"));
    let bytes: u64 = files.map(|file| file.and_then(|file| file.metadata()).expect("an input").len()).sum();
    assert!(bytes < MOST, "the corpora have {bytes} bytes");
}
