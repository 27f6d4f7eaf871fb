//! Gathers rows into whole blocks.
//!
//! Blocks go to the file complete and in order, past GDAL's cache: the same rows give the same bytes, in whatever
//! chunks they come, and a failed write is an error at once.

#![expect(clippy::indexing_slicing, reason = "whole rows of a block, whose number `push` checks")]

use gdal::raster::{Buffer, GdalType};

use super::target::Target;
use crate::error::{Error, Result};
use crate::geom::Size;

/// Gathers rows of `T` until a row of blocks is full.
pub(super) struct BlockRows<T> {
    block: Size,
    scene: Size,
    bands: usize,
    /// (band, row, column) of one row of blocks.
    gathered: Vec<T>,
    /// First row of the scene in `gathered`, and how many there are.
    first: usize,
    count: usize,
    fill: T,
    failed: bool,
}

impl<T: GdalType + Copy> BlockRows<T> {
    /// `fill` is the value of the parts of blocks outside the scene.
    pub(super) fn new(target: &Target, block: Size, fill: T) -> Self {
        let (scene, bands) = (target.size(), target.bands());
        let gathered = vec![fill; bands * block.height * scene.width];
        Self { block, scene, bands, gathered, first: 0, count: 0, fill, failed: false }
    }

    /// Takes the next rows, (band, row, column).
    pub(super) fn push(&mut self, target: &mut Target, first_row: usize, rows: &[T]) -> Result<()> {
        let row = self.scene.width * self.bands;
        let next = self.first + self.count;
        let count = rows.len() / row;
        if self.failed || !rows.len().is_multiple_of(row) || first_row != next || next + count > self.scene.height {
            return Err(Error::internal(format!(
                "got {} values from row {first_row} for a file of {} × {} bands whose next row is {next}",
                rows.len(),
                self.scene,
                self.bands
            )));
        }
        let mut taken = 0;
        while taken < count {
            let take = (self.block.height - self.count).min(count - taken);
            let width = self.scene.width;
            for band in 0..self.bands {
                let to = (band * self.block.height + self.count) * width;
                let from = (band * count + taken) * width;
                self.gathered[to..to + take * width].copy_from_slice(&rows[from..from + take * width]);
            }
            taken += take;
            self.count += take;
            if self.count == self.block.height || self.first + self.count == self.scene.height {
                self.write(target)?;
            }
        }
        Ok(())
    }

    /// Whether every row of the scene went through.
    pub(super) fn check_complete(&self) -> Result<()> {
        if self.first == self.scene.height && !self.failed {
            return Ok(());
        }
        Err(Error::internal(format!("only {} of {} rows were written", self.first, self.scene.height)))
    }

    fn write(&mut self, target: &mut Target) -> Result<()> {
        let (block, width) = (self.block, self.scene.width);
        let what = format!("write rows {} to {} of", self.first, self.first + self.count);
        self.failed = true;
        for band in 0..self.bands {
            for (index, col) in (0..width).step_by(block.width).enumerate() {
                let cols = block.width.min(width - col);
                let mut pixels = vec![self.fill; block.pixels()];
                for row in 0..self.count {
                    let from = (band * block.height + row) * width + col;
                    pixels[row * block.width..][..cols].copy_from_slice(&self.gathered[from..from + cols]);
                }
                let mut buffer = Buffer::new((block.width, block.height), pixels);
                let at = (index, self.first / block.height);
                target.attempt(&what, |dataset| dataset.rasterband(band + 1)?.write_block(at, &mut buffer))?;
            }
        }
        self.failed = false;
        self.first += self.count;
        self.count = 0;
        Ok(())
    }
}
