//! Change by scores of two dates: where one of them is sure, both differ, and features differ too.

/// Histogram bins of the threshold.
const BINS: usize = 256;
/// Smallest threshold, and the smallest spread for which one is computed.
const LEAST: f32 = 0.01;
const SPREAD: f32 = 1e-4;

/// Energy of a class per pixel, 0..=1: the largest score of its prompts at either date, times their largest difference, times
/// `(1 − cos) / 2`. `before` and `after` are ordered (prompt, pixel); `similarity` is the cosine between the features of both dates,
/// `None` where it is not known: its factor is then 1.
pub fn energy(before: &[f32], after: &[f32], similarity: Option<&[f32]>, pixels: usize) -> Vec<f32> {
    let (mut largest, mut difference) = (vec![0f32; pixels], vec![0f32; pixels]);
    for (before, after) in before.chunks_exact(pixels.max(1)).zip(after.chunks_exact(pixels.max(1))) {
        for (((before, after), largest), difference) in before.iter().zip(after).zip(&mut largest).zip(&mut difference)
        {
            *largest = largest.max(before.max(*after));
            *difference = difference.max((before - after).abs());
        }
    }
    let plain = largest.iter().zip(&difference).map(|(largest, difference)| largest * difference);
    match similarity {
        None => plain.collect(),
        Some(similarity) => plain.zip(similarity).map(|(energy, cos)| energy * (1.0 - (1.0 + cos) / 2.0)).collect(),
    }
}

/// The threshold above which energy is a change: Otsu's over 256 bins from the smallest to the largest value, at least 0.01. Otsu's is
/// 0 where the values span less than 1e-4.
pub fn threshold(energy: &[f32]) -> f32 {
    histogram(energy).threshold()
}

/// The centre of the bin that parts the values best.
pub fn otsu(values: &[f32]) -> f64 {
    histogram(values).otsu()
}

fn histogram(values: &[f32]) -> Histogram {
    let mut range = ValueRange::default();
    range.add(values.iter().copied());
    let mut histogram = Histogram::new(range);
    histogram.add(values.iter().copied());
    histogram
}

/// The smallest and the largest of values that come in parts.
#[derive(Clone, Copy, Debug)]
pub struct ValueRange {
    low: f32,
    high: f32,
}

impl Default for ValueRange {
    fn default() -> Self {
        Self { low: f32::MAX, high: f32::MIN }
    }
}

impl ValueRange {
    /// Takes some values; NaN does not count.
    pub fn add(&mut self, values: impl Iterator<Item = f32>) {
        (self.low, self.high) =
            values.fold((self.low, self.high), |(low, high), value| (low.min(value), high.max(value)));
    }
}

/// How many values lie in each of 256 parts of a range; the values come in parts, after their range is known.
#[derive(Clone, Debug)]
pub struct Histogram {
    range: ValueRange,
    bins: [u64; BINS],
}

impl Histogram {
    pub fn new(range: ValueRange) -> Self {
        Self { range, bins: [0; BINS] }
    }

    fn width(&self) -> f64 {
        (f64::from(self.range.high) - f64::from(self.range.low)) / BINS as f64
    }

    /// Counts some values of the range; NaN does not count.
    pub fn add(&mut self, values: impl Iterator<Item = f32>) {
        let (low, width) = (f64::from(self.range.low), self.width());
        for value in values.filter(|value| !value.is_nan()) {
            let bin = ((f64::from(value) - low) / width) as usize;
            if let Some(bin) = self.bins.get_mut(bin.min(BINS - 1)) {
                *bin += 1;
            }
        }
    }

    /// The centre of the bin that parts the values best; 0 where they span less than 1e-4.
    pub fn otsu(&self) -> f64 {
        if self.range.high - self.range.low < SPREAD {
            return 0.0;
        }
        let centre = |bin: usize| f64::from(self.range.low) + (bin as f64 + 0.5) * self.width();
        let total = self.bins.iter().sum::<u64>() as f64;
        let whole: f64 = self.bins.iter().enumerate().map(|(bin, count)| *count as f64 * centre(bin)).sum();
        let (mut count, mut sum, mut best, mut at) = (0.0, 0.0, -1.0, 0.0);
        for (bin, pixels) in self.bins.iter().enumerate().take(BINS - 1) {
            count += *pixels as f64;
            sum += *pixels as f64 * centre(bin);
            let rest = total - count;
            if count == 0.0 || rest == 0.0 {
                continue;
            }
            let between = count * rest * (sum / count - (whole - sum) / rest).powi(2);
            if between > best {
                (best, at) = (between, centre(bin));
            }
        }
        at
    }

    /// As [`threshold`].
    pub fn threshold(&self) -> f32 {
        self.otsu().max(f64::from(LEAST)) as f32
    }
}

#[cfg(test)]
mod tests {
    use segearth_testing::shared;
    use tch::Tensor;

    use super::*;

    #[test]
    fn energy_and_threshold_are_the_authors() {
        let Some(path) = shared("parity/more/change/expected.safetensors") else { return };
        let tensors: std::collections::HashMap<String, Tensor> =
            Tensor::read_safetensors(path).unwrap().into_iter().collect();
        let values = |name: &str| -> Vec<f32> { Vec::try_from(tensors[name].flatten(0, -1)).unwrap() };
        let pixels = 40 * 50;
        // Queries 1 and 2 are of class 1.
        let of_class = |name: &str| values(name)[pixels..].to_vec();
        // The tensor holds (1 + cos) / 2.
        let similarity: Vec<f32> = values("energy.similarity").iter().map(|half| 2.0 * half - 1.0).collect();
        let found =
            energy(&of_class("energy.scores_first"), &of_class("energy.scores_second"), Some(&similarity), pixels);
        let worst =
            found.iter().zip(values("energy.class1")).map(|(found, want)| (found - want).abs()).fold(0.0, f32::max);
        assert!(worst <= 1e-6, "{worst:.2e}");
        let want = f64::try_from(tensors["energy.otsu_class1"].get(0)).unwrap();
        assert!((otsu(&found) - want).abs() < 1e-6, "{} for {want}", otsu(&found));
        let changed: Vec<u8> = Vec::try_from(tensors["energy.changed_class1"].flatten(0, -1)).unwrap();
        let over = threshold(&found);
        for (pixel, (found, want)) in found.iter().zip(changed).enumerate() {
            assert!(u8::from(*found > over) == want || (found - over).abs() < 1e-6, "pixel {pixel}");
        }
    }

    #[test]
    fn flat_energy_has_the_smallest_threshold() {
        assert_eq!((otsu(&[0.5, 0.50005]), threshold(&[0.5, 0.50005]), threshold(&[])), (0.0, 0.01, 0.01));
        assert_eq!(energy(&[0.25, 0.5], &[0.75, 0.5], None, 2), [0.375, 0.0]);
    }
}
