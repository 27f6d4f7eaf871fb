//! The tiles into which the protocol cuts large images.

use crate::geom::{Size, Window};

/// How images are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    pub tile: Size,
    /// Distance between tiles in columns and rows.
    pub step: Size,
    /// Smaller images are padded to a tile, right and below: black pixels, whose truth does not count.
    pub padded: bool,
}

impl Tiling {
    /// Square tiles.
    pub const fn square(side: usize, step: usize, padded: bool) -> Self {
        Self { tile: Size { width: side, height: side }, step: Size { width: step, height: step }, padded }
    }

    /// The tiles of an image, row by row; the last of a row or column is moved inside. A padded tile reaches beyond the image.
    pub fn of(&self, image: Size) -> Vec<Window> {
        let size = |tile: usize, image: usize| if self.padded { tile } else { tile.min(image) };
        let tile = Size::new(size(self.tile.width, image.width), size(self.tile.height, image.height));
        let rows = starts(image.height, tile.height, self.step.height);
        let cols = starts(image.width, tile.width, self.step.width);
        let at = |(row, col): (usize, usize)| Window { col, row, width: tile.width, height: tile.height };
        rows.iter().flat_map(|row| cols.iter().map(move |col| (*row, *col))).map(at).collect()
    }
}

fn starts(image: usize, tile: usize, step: usize) -> Vec<usize> {
    let last = image.saturating_sub(tile);
    let mut starts: Vec<usize> = (0..image.max(1)).step_by(step.max(1)).map(|start| start.min(last)).collect();
    starts.dedup();
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_those_of_the_published_sets() {
        // Potsdam: 12 × 12 of 6000², the last moved inside.
        let potsdam = Tiling::square(512, 512, false).of(Size::new(6000, 6000));
        assert_eq!((potsdam.len(), potsdam[11].col, potsdam[143].row), (144, 5488, 5488));
        assert_eq!(Tiling::square(1000, 1000, false).of(Size::new(5000, 5000)).len(), 25);
        let uavid = Tiling { tile: Size::new(1280, 1080), step: Size::new(1280, 1080), padded: false };
        let cols: Vec<usize> = uavid.of(Size::new(4096, 2160)).iter().map(|tile| tile.col).collect();
        assert_eq!(cols, [0, 1280, 2560, 2816, 0, 1280, 2560, 2816]);
        let isaid = Tiling::square(896, 512, true);
        let cols: Vec<usize> = isaid.of(Size::new(1408, 896)).iter().map(|tile| tile.col).collect();
        assert_eq!(cols, [0, 512]);
        assert_eq!(isaid.of(Size::new(700, 400)), [Window { col: 0, row: 0, width: 896, height: 896 }]);
        assert_eq!(Tiling::square(512, 512, false).of(Size::new(300, 600)).len(), 2);
    }
}
