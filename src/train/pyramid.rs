//! Images to train on, at several resolutions, and views of them: any scale, rotation and flip.
//!
//! A view is sampled straight from an image's pyramid: the level by the scale, bilinear inside it. Beyond its edges an image
//! is mirrored.

use std::ops::Range;

use super::random::Random;

/// Red, green and blue, 0..=255, (row, column, channel).
#[derive(Clone, Debug)]
pub struct Raster {
    pub width: usize,
    pub height: usize,
    pub rgb: Vec<u8>,
}

impl Raster {
    /// Half as wide and high: the mean of 2 × 2 pixels.
    fn halved(&self) -> Self {
        let (width, height) = (self.width / 2, self.height / 2);
        let mut rgb = Vec::with_capacity(width * height * 3);
        for row in 0..height {
            for col in 0..width {
                let at = (2 * row * self.width + 2 * col) * 3;
                for channel in 0..3 {
                    let sum: u16 = [at, at + 3, at + self.width * 3, at + self.width * 3 + 3]
                        .iter()
                        .map(|at| u16::from(self.rgb[at + channel]))
                        .sum();
                    rgb.push(((sum + 2) / 4) as u8);
                }
            }
        }
        Self { width, height, rgb }
    }
}

/// An image at full size, then halved again and again.
#[derive(Clone, Debug)]
pub struct Pyramid {
    levels: Vec<Raster>,
}

impl Pyramid {
    /// A raster and its halves, down to 16 pixels.
    pub fn new(raster: Raster) -> Self {
        let mut levels = vec![raster];
        while let Some(last) = levels.last().filter(|last| last.width.min(last.height) >= 32) {
            levels.push(last.halved());
        }
        Self { levels }
    }

    pub fn full(&self) -> &Raster {
        &self.levels[0]
    }

    /// Returns the image, halved `level` times.
    pub fn level(&self, halvings: usize) -> Option<&Raster> {
        self.levels.get(halvings)
    }

    /// Samples the image into the view's pixels of `cols` and `rows`, whose centre the camera's centre meets. For each pixel
    /// `put` gets its column, its row, its colour (0..=255) and the point of the image that it shows, in image pixels.
    pub fn sample(
        &self,
        camera: Camera,
        cols: Range<usize>,
        rows: Range<usize>,
        mut put: impl FnMut(usize, usize, [f32; 3], [f32; 2]),
    ) {
        let (sin, cos) = camera.angle.sin_cos();
        let level = (camera.scale.max(1.0).log2().round() as usize).min(self.levels.len() - 1);
        let raster = &self.levels[level];
        let shrink = (1 << level) as f32;
        let (middle_x, middle_y) = ((cols.start + cols.end) as f32 / 2.0, (rows.start + rows.end) as f32 / 2.0);
        let stretch = camera.aspect.sqrt();
        for row in rows {
            for col in cols.clone() {
                let mut dx = (col as f32 + 0.5 - middle_x) * camera.scale * stretch;
                let dy = (row as f32 + 0.5 - middle_y) * camera.scale / stretch;
                if camera.flip {
                    dx = -dx;
                }
                let x = camera.centre[0] + cos * dx - sin * dy;
                let y = camera.centre[1] + sin * dx + cos * dy;
                put(col, row, bilinear(raster, x / shrink - 0.5, y / shrink - 0.5), [x, y]);
            }
        }
    }
}

/// Where a view looks: `scale` image pixels in a pixel, about a centre in image pixels.
#[derive(Clone, Copy, Debug)]
pub struct Camera {
    pub centre: [f32; 2],
    pub scale: f32,
    pub angle: f32,
    pub flip: bool,
    /// Width over height of a pixel.
    pub aspect: f32,
}

impl Camera {
    /// Upright or turned by any angle; right angles are as likely as all others together.
    pub fn random(random: &mut Random, centre: [f32; 2], scale: f32) -> Self {
        let quarter = std::f32::consts::FRAC_PI_2;
        let angle = if random.chance(0.5) { random.below(4) as f32 * quarter } else { random.unit() * 4.0 * quarter };
        Self { centre, scale, angle, flip: random.chance(0.5), aspect: random.log_between(0.85, 1.18) }
    }
}

fn bilinear(raster: &Raster, x: f32, y: f32) -> [f32; 3] {
    let (left, top) = (x.floor(), y.floor());
    let (fx, fy) = (x - left, y - top);
    let cols = [mirrored(left as i64, raster.width), mirrored(left as i64 + 1, raster.width)];
    let rows = [mirrored(top as i64, raster.height), mirrored(top as i64 + 1, raster.height)];
    let mut colour = [0.0; 3];
    for (row, share_y) in rows.into_iter().zip([1.0 - fy, fy]) {
        for (col, share_x) in cols.into_iter().zip([1.0 - fx, fx]) {
            let at = (row * raster.width + col) * 3;
            for (sum, value) in colour.iter_mut().zip(&raster.rgb[at..at + 3]) {
                *sum += f32::from(*value) * share_x * share_y;
            }
        }
    }
    colour
}

/// A position in 0..size: positions beyond an edge are mirrored there.
#[inline]
pub fn mirrored(position: i64, size: usize) -> usize {
    if (0..size as i64).contains(&position) {
        return position as usize;
    }
    let size = size as i64;
    let turned = position.rem_euclid(2 * size);
    (if turned < size { turned } else { 2 * size - 1 - turned }) as usize
}
