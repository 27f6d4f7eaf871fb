//! What became of the cases, by kind.

use super::child::{Ended, MOST_SECONDS};

pub struct KindCounts {
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

impl KindCounts {
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
pub fn table(counts: &[KindCounts]) -> String {
    let line = |name: &str, of: &[&KindCounts]| {
        let sum = |get: fn(&KindCounts) -> usize| of.iter().map(|count| get(count)).sum::<usize>();
        let slowest = of.iter().map(|count| count.slowest).fold((0.0, 0), |a, b| if b.0 > a.0 { b } else { a });
        let largest = of.iter().map(|count| count.largest).max().unwrap_or_default();
        let place = |index: usize| if of.len() == 1 { format!("#{index}") } else { String::new() };
        format!(
            "{name:<20} {:>6} {:>6} {:>7} {:>6}  {:>5.2} s {:<6} {:>5} MB {}\n",
            sum(|count| count.cases),
            sum(|count| count.taken),
            sum(|count| count.refused),
            sum(|count| count.failed),
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
    text.extend(counts.iter().filter(|count| count.cases > 0).map(|count| line(count.name, &[count])));
    text + &line("all", &counts.iter().collect::<Vec<_>>())
}
