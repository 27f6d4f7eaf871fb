//! Clocks and medians.

#![expect(clippy::indexing_slicing, reason = "the middle of a list that is not empty")]

use std::fs;
use std::time::Instant;

/// Clock ticks in a second, as Linux shows them to programs.
const TICKS: f64 = 100.0;

/// Seconds that some work took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    pub wall: f64,
    /// Of all threads together.
    pub processor: f64,
}

impl Sample {
    /// Does the work and times it, for each of `units`.
    pub fn of<T, E>(units: usize, work: impl FnOnce() -> Result<T, E>) -> Result<(Self, T), E> {
        let (wall, processor) = (Instant::now(), processor_seconds());
        let done = work()?;
        let share = 1.0 / units.max(1) as f64;
        let (wall, processor) = (wall.elapsed().as_secs_f64() * share, (processor_seconds() - processor) * share);
        Ok((Self { wall, processor }, done))
    }
}

fn processor_seconds() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name stands in parentheses and may hold anything; user and system time are fields 14 and 15.
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS
}

/// The middle of some values; of an even number, the mean of the two in the middle. Not a number where there are none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

/// The median over pairs of how many times as fast the first is as the second: by the wall, and by processor time.
pub fn ratios(first: &[Sample], second: &[Sample]) -> [f64; 2] {
    let of = |seconds: fn(&Sample) -> f64| {
        median(first.iter().zip(second).map(|(first, second)| seconds(second) / seconds(first)).collect())
    };
    [of(|sample| sample.wall), of(|sample| sample.processor)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_values_and_ratios() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
        let sample = |wall, processor| Sample { wall, processor };
        let (slow, fast) = ([sample(2.0, 4.0), sample(8.0, 8.0)], [sample(1.0, 1.0), sample(2.0, 2.0)]);
        assert_eq!(ratios(&fast, &slow), [3.0, 4.0]);
    }

    #[test]
    fn sample_is_time_per_unit() {
        // Work until the processor's clock has moved by ten ticks, whatever the machine's speed.
        let busy = || {
            let begun = (Instant::now(), processor_seconds());
            while processor_seconds() - begun.1 < 10.0 / TICKS {
                std::hint::spin_loop();
            }
            Ok::<_, ()>(begun.0.elapsed().as_secs_f64())
        };
        let (sample, wall) = Sample::of(2, busy).unwrap();
        assert!(sample.processor >= 5.0 / TICKS, "{sample:?}");
        assert!(sample.wall >= wall / 2.0, "{sample:?} of {wall} s");
        assert_eq!(Sample::of(1, || Err::<(), _>("failed")), Err("failed"));
    }
}
