//! Views of the pictures: any scale, rotation and flip, under any light, alone or as patchwork.
//!
//! A view is sampled straight from the picture's pyramid, with the pixels' labels.

use segearth::train::pyramid::{Camera, mirrored};
use segearth::train::random::Random;

use super::data::{Picture, Truth};
use super::words::{LABELS, UNLABELLED};

/// Pictures in a batch are square.
#[derive(Clone, Debug)]
pub struct View {
    pub side: usize,
    /// (channel, row, column), 0..=255.
    pub pixels: Vec<f32>,
    /// (row, column).
    pub labels: Vec<u8>,
    /// Labels of the whole view with their shares, where it has one: more than one where views are mixed.
    pub whole: Vec<(u8, f32)>,
    /// Metres in a pixel, about.
    pub gsd: f32,
}

impl View {
    /// Black, and nothing known of it.
    fn blank(side: usize, gsd: f32) -> Self {
        let (pixels, labels) = (vec![0.0; 3 * side * side], vec![UNLABELLED; side * side]);
        Self { side, pixels, labels, whole: Vec::new(), gsd }
    }
}

/// Metres in a pixel of the pictures that patchworks are made of.
const PATCHWORK_GSD: f32 = 0.3;

/// Samples one picture.
pub fn view(picture: &Picture, camera: Camera, side: usize) -> View {
    let mut view = View::blank(side, camera.scale * picture.gsd);
    if let Truth::Picture(label) = picture.truth {
        view.whole.push((label, 1.0));
    }
    paint(&mut view, picture, camera, [0, 0, side, side]);
    view
}

/// Samples a picture into the rectangle `[left, top, right, bottom]` of a view, whose centre the camera's centre meets.
fn paint(view: &mut View, picture: &Picture, camera: Camera, [left, top, right, bottom]: [usize; 4]) {
    let (full, area) = (picture.full(), view.side * view.side);
    picture.pyramid.sample(camera, left..right, top..bottom, |col, row, colour, [x, y]| {
        let at = row * view.side + col;
        for (channel, value) in colour.into_iter().enumerate() {
            view.pixels[channel * area + at] = value;
        }
        view.labels[at] = match &picture.truth {
            Truth::Picture(label) if LABELS[usize::from(*label)].fills > 0.0 => *label,
            Truth::Picture(_) => UNLABELLED,
            Truth::Pixels(labels) => {
                labels[mirrored(y.floor() as i64, full.height) * full.width + mirrored(x.floor() as i64, full.width)]
            }
        };
    });
}

/// Two views of whole pictures as one: a weighted sum, or a rectangle of the second laid over the first. What a pixel
/// shows is then no longer known, what the picture shows is, by shares.
pub fn mix(first: View, second: &View, random: &mut Random) -> View {
    let (mut view, side) = (first, second.side);
    let area = side * side;
    let share = if random.chance(0.5) {
        let share = random.between(0.0, 0.5);
        view.pixels.iter_mut().zip(&second.pixels).for_each(|(a, b)| *a += (b - *a) * share);
        view.labels.fill(UNLABELLED);
        share
    } else {
        let mut cut = || {
            let length = (side as f32 * random.between(0.3, 0.8)) as usize;
            let start = random.below(side - length + 1);
            start..start + length
        };
        let (rows, cols) = (cut(), cut());
        for row in rows.clone() {
            for channel in 0..3 {
                let at = channel * area + row * side;
                view.pixels[at + cols.start..at + cols.end]
                    .copy_from_slice(&second.pixels[at + cols.start..at + cols.end]);
            }
            let at = row * side;
            view.labels[at + cols.start..at + cols.end].copy_from_slice(&second.labels[at + cols.start..at + cols.end]);
        }
        (rows.len() * cols.len()) as f32 / area as f32
    };
    view.whole.iter_mut().for_each(|part| part.1 *= 1.0 - share);
    view.whole.extend(second.whole.iter().map(|(label, part)| (*label, part * share)));
    view
}

/// A patchwork: rectangles, each painted with one of `choose`'s pictures at a scale of its own.
pub fn patchwork<'a>(
    random: &mut Random,
    side: usize,
    cells: usize,
    scales: (f32, f32),
    mut choose: impl FnMut(&mut Random) -> &'a Picture,
) -> View {
    let mut view = View::blank(side, scales.0 * PATCHWORK_GSD);
    let cuts = |random: &mut Random| {
        let mut cuts: Vec<usize> = (1..cells)
            .map(|cut| {
                let jitter = random.between(-0.35, 0.35);
                ((cut as f32 + jitter) / cells as f32 * side as f32) as usize
            })
            .collect();
        cuts.insert(0, 0);
        cuts.push(side);
        cuts
    };
    let rows = cuts(random);
    for band in rows.windows(2) {
        for cell in cuts(random).windows(2) {
            let picture = choose(random);
            let full = picture.full();
            let centre = [random.unit() * full.width as f32, random.unit() * full.height as f32];
            let scale = random.log_between(scales.0, scales.1);
            paint(&mut view, picture, Camera::random(random, centre, scale), [cell[0], band[0], cell[1], band[1]]);
        }
    }
    view
}

/// How land looks from far: regions with crooked borders, each filled with many small pictures of one label.
pub fn far_scene<'a>(
    random: &mut Random,
    side: usize,
    labels: &[u8],
    scale: f32,
    mut choose: impl FnMut(&mut Random, u8) -> &'a Picture,
) -> View {
    let mut view = View::blank(side, scale * PATCHWORK_GSD);
    let tile = ((200.0 / scale) as usize).max(3);
    let seeds: Vec<([f32; 2], u8)> = (0..3 + random.below(6))
        .filter_map(|_| {
            let at = [random.unit() * side as f32, random.unit() * side as f32];
            Some((at, *random.pick(labels)?))
        })
        .collect();
    let (wave, phase) = (random.between(0.05, 0.2), random.unit() * 6.0);
    let mut parcel = Vec::new();
    for top in (0..side).step_by(tile) {
        for left in (0..side).step_by(tile) {
            let (right, bottom) = ((left + tile).min(side), (top + tile).min(side));
            let middle = [(left + right) as f32 / 2.0, (top + bottom) as f32 / 2.0];
            let bend = (middle[1] * wave + phase).sin() * 6.0;
            let nearest = seeds.iter().enumerate().min_by(|(_, (a, _)), (_, (b, _))| {
                let distance = |at: &[f32; 2]| (at[0] - middle[0] + bend).hypot(at[1] - middle[1]);
                distance(a).total_cmp(&distance(b))
            });
            let Some((region, &(_, label))) = nearest else { continue };
            let picture = choose(random, label);
            let full = picture.full();
            let centre = [full.width as f32 / 2.0, full.height as f32 / 2.0];
            paint(&mut view, picture, Camera::random(random, centre, scale), [left, top, right, bottom]);
            parcel.push((region, [left, top, right, bottom]));
            for row in top..bottom {
                view.labels[row * side + left..row * side + right].fill(label);
            }
        }
    }
    // Neighbouring tiles of a region get a common tint half of the time, as fields and forests have.
    let tints: Vec<[f32; 3]> = seeds.iter().map(|_| std::array::from_fn(|_| 1.0 + 0.12 * random.normal())).collect();
    for (region, [left, top, right, bottom]) in parcel {
        for (channel, gain) in tints[region].into_iter().enumerate() {
            for row in top..bottom {
                let start = channel * side * side + row * side;
                view.pixels[start + left..start + right].iter_mut().for_each(|value| *value *= gain);
            }
        }
    }
    view
}

/// Light, air and sensor: gains, contrast, gamma, haze, saturation, blur, noise, and now and then a percentile stretch.
pub fn colour(view: &mut View, random: &mut Random, strength: f32) {
    let area = view.side * view.side;
    let spread = |random: &mut Random, amount: f32| (random.normal().clamp(-2.0, 2.0) * amount * strength).exp();
    if random.chance(0.3) {
        stretch(view, random);
    }
    let mean = view.pixels.iter().sum::<f32>() / view.pixels.len() as f32;
    let (brightness, contrast, gamma) = (spread(random, 0.15), spread(random, 0.18), spread(random, 0.18));
    let saturation = if random.chance(0.05) { 0.0 } else { (1.0 + 0.3 * strength * random.normal()).max(0.0) };
    let haze = if random.chance(0.25) { random.unit() * 0.4 * strength } else { 0.0 };
    let air: [f32; 3] = [0.75, 0.8, 0.88].map(|air| 255.0 * (air + 0.08 * random.normal()));
    let gains: [f32; 3] = std::array::from_fn(|_| spread(random, 0.07));
    let noise = if random.chance(0.3) { random.unit() * 8.0 * strength } else { 0.0 };
    // A power for each of 256 values, not for each pixel.
    let curve: Vec<f32> = (0..=256).map(|value| 255.0 * (value.min(255) as f32 / 255.0).powf(gamma)).collect();
    for at in 0..area {
        let mut rgb: [f32; 3] = std::array::from_fn(|channel| view.pixels[channel * area + at]);
        let grey = 0.3 * rgb[0] + 0.59 * rgb[1] + 0.11 * rgb[2];
        for channel in 0..3 {
            let mut value = grey + (rgb[channel] - grey) * saturation;
            value = ((value - mean) * contrast + mean * brightness) * gains[channel];
            let value_in = value.clamp(0.0, 255.0);
            let (below, fraction) = (value_in as usize, value_in.fract());
            value = curve[below] * (1.0 - fraction) + curve[below + 1] * fraction;
            value = value * (1.0 - haze) + air[channel] * haze;
            if noise > 0.0 {
                // One draw of a coarse normal: exactness does not matter for noise.
                value += noise * 1.7 * (random.unit() + random.unit() - 1.0) * 1.4;
            }
            rgb[channel] = value.clamp(0.0, 255.0);
        }
        for (channel, value) in rgb.into_iter().enumerate() {
            view.pixels[channel * area + at] = value;
        }
    }
    if random.chance(0.15) {
        blur(view);
    }
}

/// The stretch that a scene with other bright and dark places would have had: what is brightest here is less bright there, in each
/// channel by a share of its own; what is darkest here is cut off as black there (percentiles of a scene with much woodland cut
/// most of it off) or well above it; and jobs may brighten what is dark by a gamma.
pub fn as_in_another_scene(view: &mut View, random: &mut Random) {
    let area = view.side * view.side;
    let (gain, gamma) = (random.log_between(0.55, 1.05), random.log_between(0.65, 1.1));
    let black = random.between(-18.0, 8.0);
    for channel in view.pixels.chunks_exact_mut(area) {
        let (gain, black) = (gain * random.log_between(0.85, 1.15), black + random.between(-5.0, 5.0));
        for value in channel {
            let stretched = ((*value + black) * gain).clamp(0.0, 255.0);
            *value = 255.0 * (stretched / 255.0).powf(gamma);
        }
    }
}

/// Each channel (or all alike) between two of its percentiles, as scenes of 16 bits are shown.
fn stretch(view: &mut View, random: &mut Random) {
    let area = view.side * view.side;
    let cut = random.between(0.0, 0.04);
    let together = random.chance(0.3);
    let bounds = |values: &[f32]| {
        let mut sorted: Vec<f32> = values.iter().step_by(7).copied().collect();
        sorted.sort_by(f32::total_cmp);
        let at = |share: f32| sorted[((sorted.len() - 1) as f32 * share) as usize];
        (at(cut), at(1.0 - cut))
    };
    let whole = bounds(&view.pixels);
    for channel in view.pixels.chunks_exact_mut(area) {
        let (low, high) = if together { whole } else { bounds(channel) };
        // A view of one thing only has no contrast to stretch: a scene's stretch would not see it so.
        let factor = (255.0 / (high - low).max(1.0)).min(2.5);
        channel.iter_mut().for_each(|value| *value = ((*value - low) * factor).clamp(0.0, 255.0));
    }
}

/// A box of 3 × 3.
fn blur(view: &mut View) {
    let side = view.side;
    for channel in view.pixels.chunks_exact_mut(side * side) {
        let source = channel.to_vec();
        for row in 1..side - 1 {
            for col in 1..side - 1 {
                let sum: f32 = (row - 1..=row + 1)
                    .map(|row| source[row * side + col - 1..=row * side + col + 1].iter().sum::<f32>())
                    .sum();
                channel[row * side + col] = sum / 9.0;
            }
        }
    }
}
