//! Fills pixels without data from their valid neighbours, so that they disturb the model least.
//!
//! Push-pull: averages of the valid pixels are computed on coarser and coarser grids until no gap is left, then
//! interpolated back into the gaps. Near the data the filling continues it, far away it is the mean: there are no
//! streaks, and no edges that would guide the upsampler.
//!
//! `GDALFillNodata` is not used: its conic search in four directions leaves streaks, and pixels beyond the search distance
//! stay empty. No version of GDAL so far would let this file go.

#![expect(
    clippy::indexing_slicing,
    reason = "pixels of planes of one size, and the first level, which is always there"
)]

use crate::geom::Size;

/// A grid of the pyramid: three planes and their validity.
struct Level {
    size: Size,
    planes: Vec<f32>,
    valid: Vec<bool>,
}

/// Replaces the invalid pixels of `planes` (channel, row, column; three channels); all of them by zero where none is valid.
pub(super) fn fill(planes: &mut [f32], valid: &[bool], size: Size) {
    if !valid.contains(&true) {
        planes.fill(0.0);
        return;
    }
    // Invalid pixels may be NaN, and NaN times zero is NaN.
    for plane in planes.chunks_exact_mut(size.pixels()) {
        plane.iter_mut().zip(valid).filter(|(_, valid)| !**valid).for_each(|(pixel, _)| *pixel = 0.0);
    }
    let mut levels = vec![Level { size, planes: planes.to_vec(), valid: valid.to_vec() }];
    while let Some(finest) = levels.last()
        && finest.valid.contains(&false)
    {
        levels.push(push(finest));
    }
    while levels.len() > 1
        && let Some(coarse) = levels.pop()
    {
        if let Some(fine) = levels.last_mut() {
            pull(&coarse, fine);
        }
    }
    planes.copy_from_slice(&levels[0].planes);
}

/// The level of half the size: each pixel is the mean of the valid ones among its four.
fn push(fine: &Level) -> Level {
    let size = Size::new(fine.size.width.div_ceil(2), fine.size.height.div_ceil(2));
    let mut coarse = Level { size, planes: vec![0.0; 3 * size.pixels()], valid: vec![false; size.pixels()] };
    let mut weights = vec![0.0f32; size.pixels()];
    for row in 0..fine.size.height {
        for col in 0..fine.size.width {
            let from = row * fine.size.width + col;
            if fine.valid[from] {
                let to = row / 2 * size.width + col / 2;
                weights[to] += 1.0;
                coarse.valid[to] = true;
                for channel in 0..3 {
                    coarse.planes[channel * size.pixels() + to] += fine.planes[channel * fine.size.pixels() + from];
                }
            }
        }
    }
    for plane in coarse.planes.chunks_exact_mut(size.pixels()) {
        plane
            .iter_mut()
            .zip(&weights)
            .filter(|(_, weight)| **weight > 0.0)
            .for_each(|(pixel, weight)| *pixel /= weight);
    }
    coarse
}

/// Fills the invalid pixels of `fine` from `coarse`, bilinearly.
fn pull(coarse: &Level, fine: &mut Level) {
    let position = |at: usize, limit: usize| {
        let at = ((at as f32 + 0.5) / 2.0 - 0.5).clamp(0.0, (limit - 1) as f32);
        let low = at as usize;
        (low, (low + 1).min(limit - 1), at - low as f32)
    };
    for row in 0..fine.size.height {
        let (top, bottom, down) = position(row, coarse.size.height);
        for col in 0..fine.size.width {
            let to = row * fine.size.width + col;
            if fine.valid[to] {
                continue;
            }
            let (left, right, along) = position(col, coarse.size.width);
            for channel in 0..3 {
                let plane = &coarse.planes[channel * coarse.size.pixels()..];
                let at = |row: usize, col: usize| plane[row * coarse.size.width + col];
                let upper = at(top, left) * (1.0 - along) + at(top, right) * along;
                let lower = at(bottom, left) * (1.0 - along) + at(bottom, right) * along;
                fine.planes[channel * fine.size.pixels() + to] = upper * (1.0 - down) + lower * down;
            }
        }
    }
    fine.valid.fill(true);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn valid_pixels_stay_and_bound_the_filling(
            width in 1usize..40, height in 1usize..40, seed in any::<u64>(), share in 0.01f64..0.99,
        ) {
            let size = Size::new(width, height);
            let random = |index: usize| {
                let mixed = (seed ^ (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                (mixed >> 11) as f64 / (1u64 << 53) as f64
            };
            let valid: Vec<bool> = (0..size.pixels()).map(|index| random(index) < share).collect();
            let mut planes: Vec<f32> = (0..3 * size.pixels()).map(|index| 255.0 * random(index + 7777) as f32).collect();
            let before = planes.clone();
            for plane in planes.chunks_exact_mut(size.pixels()) {
                plane.iter_mut().zip(&valid).filter(|(_, valid)| !**valid).for_each(|(pixel, _)| *pixel = f32::NAN);
            }
            fill(&mut planes, &valid, size);
            for (after, before) in planes.chunks_exact(size.pixels()).zip(before.chunks_exact(size.pixels())) {
                let known: Vec<f32> = before.iter().zip(&valid).filter(|(_, valid)| **valid).map(|(&pixel, _)| pixel).collect();
                let low = known.iter().copied().fold(f32::INFINITY, f32::min);
                let high = known.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                for ((&after, &before), &valid) in after.iter().zip(before).zip(&valid) {
                    if valid {
                        prop_assert_eq!(after, before);
                    } else if known.is_empty() {
                        prop_assert_eq!(after, 0.0);
                    } else {
                        prop_assert!(after >= low - 1e-3 && after <= high + 1e-3, "{} outside {}..{}", after, low, high);
                    }
                }
            }
        }
    }

    #[test]
    fn filling_continues_its_surroundings() {
        let size = Size::new(64, 1);
        let valid: Vec<bool> = (0..64).map(|col| !(24..40).contains(&col)).collect();
        let row: Vec<f32> = (0..64).map(|col| if col < 32 { 50.0 } else { 200.0 }).collect();
        let mut planes = [row.clone(), row.clone(), row].concat();
        fill(&mut planes, &valid, size);
        assert!(planes[24] < 90.0 && planes[39] > 160.0, "{:?}", &planes[20..44]);
        assert!(planes[24..40].is_sorted());
    }
}
