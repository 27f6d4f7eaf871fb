//! The distribution of a scene's valid values, for the stretch: read once, in bounded memory.
//!
//! Integers of up to 16 bits are counted, which is exact; other types give a random sample of at most [`SAMPLE`] values a
//! channel, which is exact as long as the scene has no more pixels. Up to [`FULL_READ`] pixels the whole scene is read;
//! beyond that its overviews, or where it has none, every n-th row of blocks.

#![expect(
    clippy::indexing_slicing,
    reason = "pixels of a plane and its masks of the same size, and a bin that is clamped to the counts"
)]

use super::band_reader::{BandReader, RawPixels};
use crate::error::Result;
use crate::geom::{Coverage, Region, Size, Window};
use crate::scene::SceneInfo;

/// Values kept for each channel: the rank of a percentile is then off by some 1e-4 of the scene's pixels (one sigma).
const SAMPLE: usize = 4 << 20;
/// Most pixels that are read at full resolution: some seconds of decoding.
const FULL_READ: usize = 1 << 28;
/// An overview with fewer pixels is too coarse to represent the scene.
const LEAST_OVERVIEW: usize = 4 << 20;
/// Number of counters, for -32,768 to 65,535: every value of the 8 and 16 bit types.
const COUNTED: usize = 98_304;
const COUNTED_FROM: i32 = -32_768;

/// The valid values of one channel, or of all three.
#[derive(Clone)]
pub(super) struct Distribution {
    values: Values,
    moments: Moments,
}

#[derive(Clone)]
enum Values {
    /// How often each integer from [`COUNTED_FROM`] occurs.
    Counts(Vec<u64>),
    Sample(Vec<f32>),
}

/// Number, extremes, mean and sum of squared deviations, merged piece by piece so that no digits are lost.
#[derive(Clone, Copy)]
struct Moments {
    count: u64,
    low: f64,
    high: f64,
    mean: f64,
    squares: f64,
}

/// Gathers the three channels' valid values.
pub(super) fn gather(source: &BandReader, info: &SceneInfo) -> Result<[Distribution; 3]> {
    let overview = (source.size.pixels() > FULL_READ)
        .then(|| source.overviews().iter().rposition(|size| size.pixels() >= LEAST_OVERVIEW))
        .flatten();
    let area = |source: &BandReader| {
        let scale = |there: usize, here: usize| there as f64 / here as f64;
        let scale = match &info.access.native {
            // The last pixels of another grid may extend beyond the scene.
            Some(native) => [
                native.scale[0] * scale(source.size.width, native.size.width),
                native.scale[1] * scale(source.size.height, native.size.height),
            ],
            None => [scale(source.size.width, info.size.width), scale(source.size.height, info.size.height)],
        };
        info.access.area.as_ref().map(|area| area.scaled(scale, source.size))
    };
    match overview {
        Some(index) => {
            let source = source.overview(info, index)?;
            scan(&source, area(&source).as_ref(), FULL_READ, SAMPLE)
        }
        None => scan(source, area(source).as_ref(), FULL_READ, SAMPLE),
    }
}

/// Pixels outside the area of interest are neither read nor counted.
fn scan(source: &BandReader, area: Option<&Region>, full_read: usize, sample: usize) -> Result<[Distribution; 3]> {
    let mut channels = [(); 3].map(|()| Distribution::new(source.small_integers));
    let (pieces, read) = pieces(source.size, source.block(), full_read);
    let keep = sample as f64 / read.max(1) as f64;
    for window in pieces {
        let wanted = match area.map_or(Coverage::Everything, |area| area.coverage(window)) {
            Coverage::Nothing => continue,
            Coverage::Everything => None,
            Coverage::Part(wanted) => Some(wanted),
        };
        let RawPixels { values, valid } = source.raw(window)?;
        for (channel, plane) in channels.iter_mut().zip(values.chunks_exact(window.size().pixels())) {
            let valid = |index: usize| {
                valid.as_ref().is_none_or(|valid| valid[index]) && wanted.as_ref().is_none_or(|wanted| wanted[index])
            };
            let known = plane.iter().enumerate().filter(|(index, _)| valid(*index));
            channel.moments.merge(known.clone().map(|(_, &value)| f64::from(value)));
            match &mut channel.values {
                Values::Counts(counts) => known.for_each(|(_, &value)| {
                    let bin = (value as i32).saturating_sub(COUNTED_FROM).clamp(0, COUNTED as i32 - 1);
                    counts[bin as usize] += 1;
                }),
                Values::Sample(kept) if keep >= 1.0 => kept.extend(known.map(|(_, &value)| value)),
                Values::Sample(kept) => {
                    kept.extend(known.filter(|(index, _)| chosen(window, *index, keep)).map(|(_, &value)| value));
                }
            }
        }
    }
    Ok(channels)
}

/// The windows to read, along the rows of blocks, and how many pixels they hold.
fn pieces(scene: Size, block: Size, full_read: usize) -> (Vec<Window>, usize) {
    let rows = if block.height > 512 { 256 } else { block.height * 256usize.div_ceil(block.height).min(256) };
    let cols = scene.width.min(block.width.max(8192));
    let step = scene.pixels().div_ceil(full_read);
    let bands = (0..scene.height).step_by(rows).skip((step - 1) / 2).step_by(step);
    let windows: Vec<Window> = bands
        .flat_map(|row| (0..scene.width).step_by(cols).map(move |col| (row, col)))
        .map(|(row, col)| Window { col, row, width: cols.min(scene.width - col), height: rows.min(scene.height - row) })
        .collect();
    let read = windows.iter().map(|window| window.size().pixels()).sum();
    (windows, read)
}

/// Whether a pixel belongs to the random sample: by its position alone, so that every run takes the same ones, and
/// without regular steps, which could alias with a pattern in the scene.
fn chosen(window: Window, index: usize, share: f64) -> bool {
    let col = (window.col + index % window.width) as u64;
    let row = (window.row + index / window.width) as u64;
    // SplitMix64's finaliser.
    let mut mixed = ((row << 32) | col).wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^= mixed >> 31;
    ((mixed >> 11) as f64) < share * (1u64 << 53) as f64
}

impl Distribution {
    fn new(small_integers: bool) -> Self {
        let values = if small_integers { Values::Counts(vec![0; COUNTED]) } else { Values::Sample(Vec::new()) };
        Self { values, moments: Moments::NONE }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.moments.count == 0
    }

    pub(super) fn min_max(&self) -> (f64, f64) {
        (self.moments.low, self.moments.high)
    }

    /// Mean and standard deviation of the population.
    pub(super) fn mean_std(&self) -> (f64, f64) {
        (self.moments.mean, (self.moments.squares / self.moments.count.max(1) as f64).sqrt())
    }

    /// The distributions of all three channels together.
    pub(super) fn joined(channels: [Self; 3]) -> Self {
        let [mut all, green, blue] = channels;
        for other in [green, blue] {
            all.moments.add(other.moments);
            match (&mut all.values, other.values) {
                (Values::Counts(counts), Values::Counts(others)) => {
                    counts.iter_mut().zip(others).for_each(|(count, other)| *count += other);
                }
                (Values::Sample(kept), Values::Sample(others)) => kept.extend(others),
                // The three channels of a scan have one representation.
                _ => {}
            }
        }
        all
    }

    /// The values at these percentiles (0..=100), linear between neighbouring ranks as in NumPy's default.
    pub(super) fn percentiles<const N: usize>(&mut self, wanted: [f64; N]) -> [f64; N] {
        let count = match &mut self.values {
            Values::Counts(counts) => counts.iter().sum(),
            Values::Sample(kept) => {
                kept.sort_unstable_by(f32::total_cmp);
                kept.len() as u64
            }
        };
        wanted.map(|percent| {
            let rank = percent / 100.0 * count.saturating_sub(1) as f64;
            let (below, above) = (self.at_rank(rank.floor() as u64), self.at_rank(rank.ceil() as u64));
            below + (above - below) * rank.fract()
        })
    }

    /// The value of this rank (from 0) among the sorted ones.
    fn at_rank(&self, rank: u64) -> f64 {
        match &self.values {
            Values::Counts(counts) => {
                let mut seen = 0;
                let bin = counts.iter().position(|count| {
                    seen += count;
                    seen > rank
                });
                bin.map_or(self.moments.high, |bin| f64::from(bin as i32 + COUNTED_FROM))
            }
            Values::Sample(kept) => kept.get(rank as usize).map_or(self.moments.high, |&value| f64::from(value)),
        }
    }
}

impl Moments {
    const NONE: Self = Self { count: 0, low: f64::INFINITY, high: f64::NEG_INFINITY, mean: 0.0, squares: 0.0 };

    fn merge(&mut self, values: impl Iterator<Item = f64> + Clone) {
        let mut piece = Self::NONE;
        let mut sum = 0.0;
        for value in values.clone() {
            piece.count += 1;
            sum += value;
            piece.low = piece.low.min(value);
            piece.high = piece.high.max(value);
        }
        piece.mean = sum / piece.count.max(1) as f64;
        piece.squares = values.map(|value| (value - piece.mean).powi(2)).sum();
        self.add(piece);
    }

    /// Chan's parallel update.
    fn add(&mut self, other: Self) {
        let count = self.count + other.count;
        if other.count == 0 {
            return;
        }
        let delta = other.mean - self.mean;
        let share = other.count as f64 / count as f64;
        self.squares += other.squares + delta * delta * self.count as f64 * share;
        self.mean += delta * share;
        self.count = count;
        self.low = self.low.min(other.low);
        self.high = self.high.max(other.high);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distribution(values: &[f32], small_integers: bool) -> Distribution {
        let mut distribution = Distribution::new(small_integers);
        distribution.moments.merge(values.iter().map(|&value| f64::from(value)));
        match &mut distribution.values {
            Values::Counts(counts) => {
                values.iter().for_each(|&value| counts[(value as i32 - COUNTED_FROM) as usize] += 1)
            }
            Values::Sample(kept) => kept.extend(values),
        }
        distribution
    }

    #[test]
    fn percentiles_match_numpy() {
        // numpy.percentile([1, 2, 4, 8, 16], [0, 2, 10, 50, 98, 100])
        let expected = [1.0, 1.08, 1.4, 4.0, 15.36, 16.0];
        for small in [true, false] {
            let found =
                distribution(&[8.0, 1.0, 16.0, 2.0, 4.0], small).percentiles([0.0, 2.0, 10.0, 50.0, 98.0, 100.0]);
            for (found, expected) in found.into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
            }
        }
    }

    #[test]
    fn pieces_cover_a_scene_up_to_the_limit() {
        for (width, height) in [(1, 1), (1, 100_000), (100_000, 1), (9000, 700), (257, 513)] {
            for block in [Size::new(256, 256), Size::new(width, 1), Size::new(width, height)] {
                let (_, read) = pieces(Size::new(width, height), block, 1 << 28);
                assert_eq!(read, width * height);
            }
        }
        let (windows, read) = pieces(Size::new(10_000, 10_000), Size::new(256, 256), 10_000_000);
        assert!((8_000_000..=12_000_000).contains(&read), "{read}");
        assert!(windows.iter().any(|window| window.row < 2000) && windows.iter().any(|window| window.row > 8000));
    }

    #[test]
    fn sample_is_uniform() {
        let window = Window { col: 1000, row: 0, width: 1024, height: 1024 };
        let taken: Vec<usize> = (0..1 << 20).filter(|&index| chosen(window, index, 0.1)).collect();
        assert!((taken.len() as f64 / 104_857.6 - 1.0).abs() < 0.02, "{}", taken.len());
        let left = taken.iter().filter(|&&index| index % 1024 < 512).count();
        assert!((left as f64 / taken.len() as f64 - 0.5).abs() < 0.01);
    }
}
