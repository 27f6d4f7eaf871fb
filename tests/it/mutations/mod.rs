//! Mutated inputs through the real binary: whatever becomes of a file on its way, it is taken, or refused with a sentence,
//! in bounded time and memory, and nothing is left behind.
//!
//! `SEGEARTH_MUTATIONS` says how many inputs (`make mutations COUNT=10000`), `SEGEARTH_MUTATIONS_SEED` which ones, and into
//! the folder `SEGEARTH_MUTATIONS_KEEP` goes what a failure was found with.

mod bundles;
mod bytes;
mod checkpoints;
mod child;
mod dice;
mod jobs;
mod journals;
mod kind_counts;
mod labels;
mod pickles;
mod scenes;
mod text;
mod vectors;
mod verdict;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::workdir::Workdir;
use dice::Dice;
use kind_counts::KindCounts;

/// A mutated input in a folder of its own, and the command that takes it.
pub struct Case {
    work: Workdir,
    args: Vec<String>,
    /// What was changed must be refused, whatever it is now.
    never_taken: bool,
}

impl Case {
    fn new(work: Workdir, words: &str) -> Self {
        Self { work, args: words.split_whitespace().map(str::to_owned).collect(), never_taken: false }
    }
}

type Make = fn(&mut Dice) -> Case;

/// Each kind with its share of a thousand.
const KINDS: [(&str, usize, Make); 11] = [
    ("job files", 260, jobs::case),
    ("scenes", 200, scenes::case),
    ("label rasters", 80, labels::case),
    ("areas and zones", 90, vectors::case),
    ("torch archives", 110, checkpoints::archive),
    ("legacy checkpoints", 50, checkpoints::legacy),
    ("safetensors", 60, checkpoints::safetensors),
    ("model cards", 40, bundles::card),
    ("tokenizers", 40, bundles::tokenizer),
    ("bundles' weights", 30, bundles::weights),
    ("journals", 40, journals::case),
];

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}")))
}

#[test]
fn mutations_are_taken_or_refused() {
    let (count, seed) = (number("SEGEARTH_MUTATIONS", 60), number("SEGEARTH_MUTATIONS_SEED", 1) as u64);
    let only = std::env::var("SEGEARTH_MUTATIONS_ONLY").ok();
    let mut cases: Vec<(usize, usize)> = KINDS
        .iter()
        .enumerate()
        .filter(|(_, (name, ..))| only.as_deref().is_none_or(|only| only.contains(name)))
        .flat_map(|(kind, (_, share, _))| (0..(count * share).div_ceil(1000)).map(move |index| (kind, index)))
        .collect();
    // All kinds side by side: a run that is stopped has seen something of each.
    cases.sort_by_key(|&(kind, index)| index * 1000 / KINDS[kind].1);
    let next = AtomicUsize::new(0);
    let counts = Mutex::new(KINDS.map(|(name, ..)| KindCounts::new(name)));
    let work = || {
        while let Some(&(kind, index)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (name, _, make) = KINDS[kind];
            let case = make(&mut Dice::of_case(seed, name, index));
            let before = case.work.files();
            let ended = child::run(&case.work, &case.args);
            let faults = verdict::faults(&case, &before, &ended);
            if !faults.is_empty() {
                verdict::show(&format!("seed {seed}, {name} {index}"), &case, &ended, &faults);
            }
            counts.lock().expect("no other case panics")[kind].add(index, &ended, !faults.is_empty());
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let counts = counts.into_inner().expect("no case panics");
    println!("{}", kind_counts::table(&counts));
    let failed: usize = counts.iter().map(|count| count.failed).sum();
    assert_eq!(failed, 0, "cases failed; each is shown above with its seed");
}

/// Else mutations would only ever find what was wrong before them.
#[test]
fn what_is_mutated_is_sound() {
    let kinds = [jobs::sound, scenes::sound, vectors::sound, checkpoints::sound, journals::sound];
    let refused = kinds.iter().flat_map(|sound| sound()).filter_map(|case| {
        let ran = case.work.run(&case.args);
        (ran.code != 0).then(|| format!("{}\n{}", case.args.join(" "), ran.stderr))
    });
    let refused: Vec<String> = refused.collect();
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

#[test]
fn dice_fall_alike_for_the_same_case_and_otherwise_for_others() {
    let first = |seed, kind, index| Dice::of_case(seed, kind, index).next();
    assert_eq!(first(1, "scenes", 2), first(1, "scenes", 2));
    let others = [first(1, "scenes", 2), first(2, "scenes", 2), first(1, "scenes", 3), first(1, "journals", 2)];
    for (at, one) in others.iter().enumerate() {
        assert!(!others[..at].contains(one), "{others:?}");
    }
}
