//! What became of the cases, by kind.

use super::child::{Ended, MOST_SECONDS};

pub struct Tally {
    name: &'static str,
    cases: usize,
    taken: usize,
    refused: usize,
    pub failed: usize,
    /// Of the processor, with the case's number.
    slowest: (f64, usize),
    /// Bytes, with the case's number.
    largest: (u64, usize),
}

impl Tally {
    pub fn new(name: &'static str) -> Self {
        Self { name, cases: 0, taken: 0, refused: 0, failed: 0, slowest: (0.0, 0), largest: (0, 0) }
    }

    pub fn add(&mut self, index: usize, ended: &Ended, failed: bool) {
        self.cases += 1;
        self.failed += usize::from(failed);
        match ended.code {
            Some(0) => self.taken += 1,
            Some(1) => self.refused += 1,
            _ => {}
        }
        if ended.seconds > self.slowest.0 {
            self.slowest = (ended.seconds, index);
        }
        if ended.memory > self.largest.0 {
            self.largest = (ended.memory, index);
        }
    }
}

/// A line a kind, and one for all.
pub fn table(tallies: &[Tally]) -> String {
    let line = |name: &str, of: &[&Tally]| {
        let sum = |get: fn(&Tally) -> usize| of.iter().map(|tally| get(tally)).sum::<usize>();
        let slowest = of.iter().map(|tally| tally.slowest).fold((0.0, 0), |a, b| if b.0 > a.0 { b } else { a });
        let largest = of.iter().map(|tally| tally.largest).max().unwrap_or_default();
        let place = |index: usize| if of.len() == 1 { format!("#{index}") } else { String::new() };
        format!(
            "{name:<20} {:>6} {:>6} {:>7} {:>6}  {:>5.2} s {:<6} {:>5} MB {}\n",
            sum(|tally| tally.cases),
            sum(|tally| tally.taken),
            sum(|tally| tally.refused),
            sum(|tally| tally.failed),
            slowest.0,
            place(slowest.1),
            largest.0 / 1_000_000,
            place(largest.1),
        )
    };
    let mut text = format!(
        "\n{:<20} {:>6} {:>6} {:>7} {:>6}  slowest (of {MOST_SECONDS} s)  most memory\n",
        "kind", "cases", "taken", "refused", "failed"
    );
    text.extend(tallies.iter().filter(|tally| tally.cases > 0).map(|tally| line(tally.name, &[tally])));
    text + &line("all", &tallies.iter().collect::<Vec<_>>())
}
