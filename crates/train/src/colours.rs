//! The plain baseline: what colours alone can tell, by the k nearest colours of the training pixels.

use segearth::train::pyramid::Raster;
use segearth::train::random::Random;

use super::data::{Picture, Truth};
use super::words::UNLABELLED;

/// Neighbours that vote.
const NEIGHBOURS: usize = 15;
/// Training pixels of all labels together.
const SAMPLES: usize = 12_000;
/// Colours are told apart in steps of 256 / this.
const BINS: usize = 32;

/// For every colour, the label that most of its nearest training pixels have.
#[derive(Debug)]
pub struct Colours {
    table: Vec<u8>,
}

impl Colours {
    /// Learns from pictures with masks: pixels drawn evenly over all of them.
    pub fn learn(pictures: &[Picture], seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut samples: Vec<([f32; 3], u8)> = Vec::new();
        let mut tries = 0;
        while samples.len() < SAMPLES && tries < 20 * SAMPLES {
            tries += 1;
            let Some(picture) = random.pick(pictures) else { break };
            let Truth::Pixels(labels) = &picture.truth else { continue };
            let at = random.below(labels.len());
            if labels[at] != UNLABELLED {
                let rgb = &picture.full().rgb[3 * at..3 * at + 3];
                samples.push(([0, 1, 2].map(|channel| f32::from(rgb[channel])), labels[at]));
            }
        }
        let step = 256 / BINS;
        let middle = |bin: usize| (bin * step + step / 2) as f32;
        let mut table = Vec::with_capacity(BINS * BINS * BINS);
        let mut nearest: Vec<(f32, u8)> = Vec::new();
        for colour in 0..BINS * BINS * BINS {
            let colour = [colour / BINS / BINS, colour / BINS % BINS, colour % BINS].map(middle);
            nearest.clear();
            for (sample, label) in &samples {
                let distance: f32 = sample.iter().zip(colour).map(|(a, b)| (a - b) * (a - b)).sum();
                if nearest.len() < NEIGHBOURS || nearest.last().is_some_and(|last| distance < last.0) {
                    let place = nearest.partition_point(|other| other.0 <= distance);
                    nearest.insert(place, (distance, *label));
                    nearest.truncate(NEIGHBOURS);
                }
            }
            table.push(vote(&nearest));
        }
        Self { table }
    }

    /// A label for each pixel.
    pub fn label(&self, raster: &Raster) -> Vec<u8> {
        let bin = |value: u8| usize::from(value) * BINS / 256;
        raster
            .rgb
            .chunks_exact(3)
            .map(|rgb| self.table[(bin(rgb[0]) * BINS + bin(rgb[1])) * BINS + bin(rgb[2])])
            .collect()
    }
}

/// The most frequent label; of equals the one with the nearest sample.
fn vote(nearest: &[(f32, u8)]) -> u8 {
    let count = |label: u8| nearest.iter().filter(|other| other.1 == label).count();
    let mut best = nearest.first().map_or(UNLABELLED, |first| first.1);
    for (_, label) in nearest {
        if count(*label) > count(best) {
            best = *label;
        }
    }
    best
}

/// Top-1 of whole pictures by their mean colour and its spread: the label of the nearest training pictures.
pub fn pictures(train: &[Picture], held_out: &[Picture]) -> f64 {
    let features: Vec<([f32; 6], u8)> =
        train.iter().filter_map(|picture| Some((summary(picture.full()), whole(picture)?))).collect();
    let mut right = 0;
    for picture in held_out {
        let mine = summary(picture.full());
        let mut nearest: Vec<(f32, u8)> = features
            .iter()
            .map(|(other, label)| (other.iter().zip(mine).map(|(a, b)| (a - b) * (a - b)).sum(), *label))
            .collect();
        nearest.sort_by(|a, b| a.0.total_cmp(&b.0));
        nearest.truncate(NEIGHBOURS);
        right += usize::from(whole(picture) == Some(vote(&nearest)));
    }
    right as f64 / held_out.len().max(1) as f64
}

/// IoU of the labels `sought` against every other label, where `found` gives a label for each pixel.
pub fn iou(pictures: &[Picture], sought: &[usize], mut found: impl FnMut(&Picture) -> Vec<u8>) -> f64 {
    let (mut both, mut either) = (0u64, 0u64);
    for picture in pictures {
        let Truth::Pixels(truth) = &picture.truth else { continue };
        for (truth, found) in truth.iter().zip(found(picture)).filter(|(truth, _)| **truth != UNLABELLED) {
            let [truth, found] = [*truth, found].map(|label| sought.contains(&usize::from(label)));
            both += u64::from(truth && found);
            either += u64::from(truth || found);
        }
    }
    both as f64 / (either as f64).max(1.0)
}

fn whole(picture: &Picture) -> Option<u8> {
    if let Truth::Picture(label) = picture.truth { Some(label) } else { None }
}

/// Mean and standard deviation of red, green and blue.
fn summary(raster: &Raster) -> [f32; 6] {
    let count = (raster.rgb.len() / 3).max(1) as f32;
    let mut summary = [0.0; 6];
    for channel in 0..3 {
        let values = || raster.rgb.iter().skip(channel).step_by(3).map(|value| f32::from(*value));
        let mean = values().sum::<f32>() / count;
        summary[channel] = mean;
        summary[channel + 3] = (values().map(|value| (value - mean) * (value - mean)).sum::<f32>() / count).sqrt();
    }
    summary
}

#[cfg(test)]
mod tests {
    use super::*;
    use segearth::train::pyramid::Pyramid;

    #[test]
    fn dark_and_bright_are_told_apart() {
        let rgb: Vec<u8> =
            (0..64 * 64).flat_map(|at| if at % 2 == 0 { [20, 30, 40] } else { [220, 210, 200] }).collect();
        let labels: Vec<u8> = (0..64 * 64).map(|at| if at % 2 == 0 { 3 } else { 7 }).collect();
        let raster = Raster { width: 64, height: 64, rgb };
        let picture = Picture { pyramid: Pyramid::new(raster.clone()), truth: Truth::Pixels(labels.clone()), gsd: 1.0 };
        assert_eq!(Colours::learn(&[picture], 1).label(&raster), labels);
    }
}
