//! Normalises pixels, and pads windows to whole patches.

#![expect(clippy::indexing_slicing, reason = "planes and channels of tiles, whose sizes the grid decides")]

use rayon::prelude::*;

use super::Images;
use crate::geom::Size;
use crate::scene::Tile;

/// Mean and standard deviation of red, green and blue in 0..=255.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalisation {
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

impl Normalisation {
    /// CLIP's, as SegEarth-OV rounds them.
    pub const CLIP: Self = Self { mean: [122.771, 116.746, 104.094], std: [68.501, 66.632, 70.323] };
}

/// Padding of a window to multiples of the patch: half of it (rounded down) on the left and above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Padding {
    pub window: Size,
    pub padded: Size,
}

impl Padding {
    pub fn new(window: Size, patch: usize) -> Self {
        let up = |side: usize| side.div_ceil(patch) * patch;
        Self { window, padded: Size::new(up(window.width), up(window.height)) }
    }

    fn left(&self) -> usize {
        (self.padded.width - self.window.width) / 2
    }

    fn above(&self) -> usize {
        (self.padded.height - self.window.height) / 2
    }

    /// Rows above the window, and columns left of it.
    pub fn before(&self) -> [usize; 2] {
        [self.above(), self.left()]
    }

    /// Cuts planes of the padded size back to the window's.
    pub fn cut(&self, planes: Vec<f32>) -> Vec<f32> {
        if self.padded == self.window {
            return planes;
        }
        planes
            .chunks_exact(self.padded.pixels())
            .flat_map(|plane| plane.chunks_exact(self.padded.width).skip(self.above()).take(self.window.height))
            .flat_map(|row| &row[self.left()..self.left() + self.window.width])
            .copied()
            .collect()
    }
}

/// Normalises tiles of one size and pads them.
pub fn normalise(tiles: &[Tile], normalisation: &Normalisation, padding: &Padding) -> Images {
    let plane = padding.padded.pixels();
    let mut pixels = vec![0f32; tiles.len() * 3 * plane];
    pixels.par_chunks_exact_mut(plane).enumerate().for_each(|(index, to)| {
        let (tile, channel) = (&tiles[index / 3], index % 3);
        let (mean, scale) = (normalisation.mean[channel], normalisation.std[channel]);
        let from = &tile.rgb[channel * padding.window.pixels()..][..padding.window.pixels()];
        let rows = to.chunks_exact_mut(padding.padded.width).skip(padding.above());
        for (to, from) in rows.zip(from.chunks_exact(padding.window.width)) {
            for (to, &from) in to[padding.left()..].iter_mut().zip(from) {
                *to = (from - mean) / scale;
            }
        }
    });
    Images { size: padding.padded, count: tiles.len(), pixels, tokens: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geom::Window;

    #[test]
    fn padding_is_zero_and_removed_by_cut() {
        let window = Window { col: 0, row: 0, width: 3, height: 2 };
        let tile = Tile { window, rgb: (0..18).map(|value| value as f32).collect(), valid: None };
        let padding = Padding::new(window.size(), 4);
        assert_eq!(padding.padded, Size::new(4, 4));
        let plain = Normalisation { mean: [0.0; 3], std: [1.0; 3] };
        let images = normalise(std::slice::from_ref(&tile), &plain, &padding);
        assert_eq!(images.pixels[..16], [0., 0., 0., 0., 0., 1., 2., 0., 3., 4., 5., 0., 0., 0., 0., 0.]);
        assert_eq!(padding.cut(images.pixels), tile.rgb);
    }
}
