//! Local image descriptors: what the colours in small windows around a pixel say, beside the model's features.

#![expect(clippy::indexing_slicing, reason = "planes of the window's size, and prefix sums one longer than a line")]

use rayon::prelude::*;

use crate::geom::Size;

/// Radii in pixels of the square windows: 3 × 3 and 9 × 9.
pub const RADII: [usize; 2] = [1, 4];

/// Distance in pixels up to which a pixel's descriptors depend on other pixels.
pub const REACH: usize = 4;

/// Number of descriptors of an image of `channels` channels: for each channel its value, and mean and standard deviation in
/// both windows; for each pair of channels their normalised difference.
pub const fn count(channels: usize) -> usize {
    channels * (1 + 2 * RADII.len()) + channels * channels.saturating_sub(1) / 2
}

/// Channels that every image has: what the model sees as red, green and blue.
pub const COLOURS: usize = 3;

/// A window as its local descriptors see it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LocalImage {
    /// (channel, row, column) in 0..=255: red, green and blue, then further bands.
    pub values: Vec<f32>,
    /// The same channels in physical values, 0 without data; empty where there are no further bands.
    pub physical: Vec<f32>,
}

/// The descriptors (descriptor, row, column) of an image (channel, row, column) with values in 0..=255. Windows end at the
/// image's edges. Values, means and deviations are divided by 255; the normalised difference of a and b is
/// (a - b) / (a + b), of means in the smaller window, and 0 where both are 0.
pub fn descriptors(image: &[f32], size: Size) -> Vec<f32> {
    all(image, &[], size)
}

impl LocalImage {
    /// The descriptors (descriptor, row, column). As [`descriptors`], but the normalised differences of further bands, with the colours
    /// and with each other, are those of physical values, so that that of near infrared and red is the NDVI.
    pub fn descriptors(&self, size: Size) -> Vec<f32> {
        all(&self.values, &self.physical, size)
    }
}

fn all(image: &[f32], physical: &[f32], size: Size) -> Vec<f32> {
    let pixels = size.pixels();
    let channels: Vec<&[f32]> = image.chunks_exact(pixels.max(1)).collect();
    let of_channel: Vec<Vec<Vec<f32>>> = channels.par_iter().map(|plane| channel(plane, size)).collect();
    let physical: Vec<&[f32]> = physical.chunks_exact(pixels.max(1)).collect();
    let physical: Vec<Vec<f32>> = physical.par_iter().map(|plane| box_mean(plane, size, RADII[0])).collect();
    let mut planes: Vec<f32> = Vec::with_capacity(count(channels.len()) * pixels);
    of_channel.iter().flatten().for_each(|plane| planes.extend_from_slice(plane));
    for (first, of_first) in of_channel.iter().enumerate() {
        for (second, of_second) in of_channel.iter().enumerate().skip(first + 1) {
            let measured = physical.get(first).zip(physical.get(second)).filter(|_| second >= COLOURS);
            let (a, b) = measured.unwrap_or((&of_first[1], &of_second[1]));
            planes.extend(a.iter().zip(b).map(|(&a, &b)| normalised_difference(a, b)));
        }
    }
    planes
}

/// (a - b) / (a + b), which negative reflectances of dark water would take beyond -1..=1.
fn normalised_difference(a: f32, b: f32) -> f32 {
    if a + b > 0.0 { ((a - b) / (a + b)).clamp(-1.0, 1.0) } else { 0.0 }
}

/// Value, mean and deviation in the smaller window, mean and deviation in the larger one.
fn channel(plane: &[f32], size: Size) -> Vec<Vec<f32>> {
    let scaled: Vec<f32> = plane.iter().map(|value| value / 255.0).collect();
    let squares: Vec<f32> = scaled.iter().map(|value| value * value).collect();
    let mut planes = vec![scaled];
    for radius in RADII {
        let mean = box_mean(&planes[0], size, radius);
        let deviation = box_mean(&squares, size, radius);
        let deviation =
            deviation.iter().zip(&mean).map(|(square, mean)| (square - mean * mean).max(0.0).sqrt()).collect();
        planes.extend([mean, deviation]);
    }
    planes
}

/// The mean in the square of this radius around each pixel, as far as it lies in the image.
fn box_mean(plane: &[f32], size: Size, radius: usize) -> Vec<f32> {
    let Size { width, height } = size;
    let span = |at: usize, length: usize| (at.saturating_sub(radius), (at + radius + 1).min(length));
    let mut across = vec![0f64; plane.len()];
    let mut sums = vec![0f64; width + 1];
    for (row, to) in plane.chunks_exact(width).zip(across.chunks_exact_mut(width)) {
        for (col, &value) in row.iter().enumerate() {
            sums[col + 1] = sums[col] + f64::from(value);
        }
        for (col, to) in to.iter_mut().enumerate() {
            let (start, end) = span(col, width);
            *to = (sums[end] - sums[start]) / (end - start) as f64;
        }
    }
    // Down the columns, a row at a time: `below[row]` is the sum of the rows above `row`.
    let mut below = vec![0f64; (height + 1) * width];
    for row in 0..height {
        for col in 0..width {
            below[(row + 1) * width + col] = below[row * width + col] + across[row * width + col];
        }
    }
    let mut mean = vec![0f32; plane.len()];
    for (row, to) in mean.chunks_exact_mut(width).enumerate() {
        let (start, end) = span(row, height);
        let rows = (end - start) as f64;
        for (col, to) in to.iter_mut().enumerate() {
            *to = ((below[end * width + col] - below[start * width + col]) / rows) as f32;
        }
    }
    mean
}

/// The descriptors' share in the logits of a job's queries.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalTerm {
    /// Channels of the images.
    pub channels: usize,
    /// Coefficients in units of logits, before the logit scale: (query, descriptor). A query of words has zeros.
    pub coefficients: Vec<f32>,
}

impl LocalTerm {
    /// Adds the term to a window's logits (query, row, column), from its image.
    pub fn add(&self, image: &LocalImage, size: Size, logits: &mut [f32]) {
        let pixels = size.pixels().max(1);
        let planes = image.descriptors(size);
        let queries = self.coefficients.chunks_exact(count(self.channels).max(1));
        logits.par_chunks_exact_mut(pixels).zip(queries.collect::<Vec<_>>()).for_each(|(logits, coefficients)| {
            for (plane, &coefficient) in planes.chunks_exact(pixels).zip(coefficients) {
                if coefficient != 0.0 {
                    logits.iter_mut().zip(plane).for_each(|(logit, value)| *logit += coefficient * value);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn directly(plane: &[f32], size: Size, radius: usize, col: usize, row: usize) -> (f64, f64) {
        let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for r in row.saturating_sub(radius)..(row + radius + 1).min(size.height) {
            for c in col.saturating_sub(radius)..(col + radius + 1).min(size.width) {
                let value = f64::from(plane[r * size.width + c]) / 255.0;
                (count, sum, squares) = (count + 1.0, sum + value, squares + value * value);
            }
        }
        let mean = sum / count;
        (mean, (squares / count - mean * mean).max(0.0).sqrt())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn descriptors_equal_their_definition(width in 1usize..24, height in 1usize..24, seed in any::<u32>()) {
            let size = Size::new(width, height);
            let value = |at: usize| ((at as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 24) as f32;
            let image: Vec<f32> = (0..2 * size.pixels()).map(value).collect();
            let found = descriptors(&image, size);
            prop_assert_eq!(found.len(), count(2) * size.pixels());
            let plane = |index: usize| &found[index * size.pixels()..][..size.pixels()];
            for row in 0..height {
                for col in 0..width {
                    let at = row * width + col;
                    let mut means = [0.0; 2];
                    for channel in 0..2 {
                        let of = &image[channel * size.pixels()..][..size.pixels()];
                        prop_assert_eq!(plane(5 * channel)[at], of[at] / 255.0);
                        for (index, radius) in RADII.into_iter().enumerate() {
                            let (mean, deviation) = directly(of, size, radius, col, row);
                            prop_assert!((f64::from(plane(5 * channel + 1 + 2 * index)[at]) - mean).abs() < 1e-5);
                            // The variance is a difference of numbers near 1: its root has half of their digits.
                            prop_assert!((f64::from(plane(5 * channel + 2 + 2 * index)[at]) - deviation).abs() < 2e-3);
                            means[channel] = if index == 0 { mean } else { means[channel] };
                        }
                    }
                    let want = if means[0] + means[1] > 0.0 { (means[0] - means[1]) / (means[0] + means[1]) } else { 0.0 };
                    prop_assert!((f64::from(plane(10)[at]) - want).abs() < 1e-4);
                }
            }
        }
    }

    #[test]
    fn term_adds_the_weighted_descriptors_to_its_query() {
        let size = Size::new(2, 1);
        let mut coefficients = vec![0.0; 2 * count(1)];
        coefficients[count(1)] = 2.0;
        let term = LocalTerm { channels: 1, coefficients };
        let mut logits = vec![1.0; 4];
        term.add(&LocalImage { values: vec![255.0, 51.0], physical: Vec::new() }, size, &mut logits);
        assert_eq!(logits, [1.0, 1.0, 3.0, 1.4]);
    }

    #[test]
    fn further_bands_have_differences_of_physical_values() {
        let size = Size::new(1, 1);
        let values = vec![51.0, 102.0, 153.0, 204.0, 255.0];
        let physical = vec![0.1, 0.2, 0.3, 0.4, -0.2];
        let found = LocalImage { values: values.clone(), physical }.descriptors(size);
        assert_eq!(found.len(), count(5));
        // Values, means and deviations, and the differences of the colours, are those of the stretched values.
        let stretched = descriptors(&values, size);
        let (start, pairs) = found.split_at(25);
        assert_eq!(start, &stretched[..25]);
        assert_eq!([pairs[0], pairs[1], pairs[4]], [stretched[25], stretched[26], stretched[29]]);
        let near = |found: f32, wanted: f32| (found - wanted).abs() < 1e-6;
        assert!(near(pairs[2], -0.3 / 0.5) && near(pairs[5], -0.2 / 0.6) && near(pairs[7], -0.1 / 0.7));
        // A sum that is not positive, and a negative reflectance.
        assert!(pairs[3] == 0.0 && pairs[8] == 1.0, "{pairs:?}");
    }
}
