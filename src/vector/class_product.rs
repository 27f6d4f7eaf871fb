//! The common part of the recipes for single classes: cleaned masks, their regions, and the output of polygons.

use std::path::Path;

use super::bits::BitGrid;
use super::feature::Field;
use super::mask::{self, Disc};
use super::output::{Layers, Names, PolygonOutput};
use super::output_space::OutputSpace;
use super::scores::ScoreSource;
use super::shape::{LabelRegion, PixelSize};
use super::source::LabelSource;
use super::trace::{Connectedness, Tracer};
use crate::error::Result;
use crate::geom::PixelGround;
use crate::scene::ProductOptions;

/// A vector product of selected classes: source, options and output space of its recipe.
pub struct ClassProduct<'a> {
    pub source: LabelSource,
    pub scores: Option<ScoreSource>,
    pub space: OutputSpace,
    pub pixel: PixelSize,
    /// The labels of the selected classes.
    pub selected: Vec<u16>,
    pub options: &'a ProductOptions,
}

impl ClassProduct<'_> {
    pub fn names(&self) -> Names {
        Names::new(&self.source, &self.options.fields)
    }

    /// The cleaned mask of a class. Areas (m²) and the closing radius (m) are the recipe's defaults for unset options.
    pub fn mask(&self, class: u16, min_area: f64, max_hole: f64, closing: f64) -> Result<BitGrid> {
        let size = self.source.size;
        let mut mask = BitGrid::new(size.width, size.height);
        self.source.for_each_strip(None, |first, labels, _| {
            for (row, labels) in labels.chunks_exact(size.width).enumerate() {
                let mut start = 0;
                for run in labels.chunk_by(|a, b| a == b) {
                    if run[0] == class {
                        mask.fill(first + row, start, start + run.len(), true);
                    }
                    start += run.len();
                }
            }
            Ok(())
        })?;
        let disc = |metres: f64| Disc { cols: metres / self.pixel.width, rows: metres / self.pixel.height };
        mask::close(&mut mask, disc(self.options.closing.unwrap_or(closing)));
        mask::open(&mut mask, disc(self.options.opening.unwrap_or(0.0)));
        self.clean(&mut mask, min_area, max_hole);
        Ok(mask)
    }

    /// Fills small holes, then removes small parts, by their area on the ground. `min_area` and `max_hole` (m²) are the recipe's
    /// defaults for unset options.
    pub fn clean(&self, mask: &mut BitGrid, min_area: f64, max_hole: f64) {
        let ground = &self.source.placement.ground;
        let area = |region: &LabelRegion| {
            // Regions near a threshold are so small that one pixel's area represents all.
            let corner = region.parts.first().and_then(|part| part.outer.first()).map_or((0, 0), |at| (at.col, at.row));
            region.pixels as f64 * ground.pixel_area(f64::from(corner.0), f64::from(corner.1))
        };
        let [smallest, _] = ground.pixel_area_range();
        let max_hole = self.options.max_hole.unwrap_or(max_hole) * (1.0 + ROUNDING);
        if max_hole >= smallest {
            mask::fill_holes(mask, |region| area(region) <= max_hole);
        }
        let min_area = self.options.min_area.unwrap_or(min_area) * (1.0 - ROUNDING);
        if min_area > smallest {
            mask::drop_parts(mask, |region| area(region) < min_area);
        }
    }

    /// The largest hole that is filled, in pixels of the middle of the raster.
    pub fn largest_hole(&self, max_hole: f64) -> u64 {
        let pixel = self.source.placement.ground.middle_pixel_area();
        (self.options.max_hole.unwrap_or(max_hole) / pixel * (1.0 + ROUNDING)) as u64
    }

    /// Traces the regions of a mask, with the scores of `class`; `each_row` receives every row of labels before it is traced.
    pub fn regions(
        &self,
        mask: &BitGrid,
        class: u16,
        mut each_row: impl FnMut(&[u16]),
        mut emit: impl FnMut(LabelRegion),
    ) -> Result<()> {
        let width = self.source.size.width;
        let empty = if class == u16::MAX { 0 } else { u16::MAX };
        let mut tracer = Tracer::new(width, Connectedness::Four, |label| label != class);
        let relabel = |row: usize, labels: &mut [u16]| {
            mask.labels(row, labels);
            labels.iter_mut().for_each(|label| *label = if *label == 1 { class } else { empty });
        };
        self.source.for_each_relabelled(self.scores.as_ref(), relabel, |_, labels, scores| {
            for (row, labels) in labels.chunks_exact(width).enumerate() {
                each_row(labels);
                tracer.row(labels, scores.map(|scores| &scores[row * width..][..width]), &mut emit);
            }
            Ok(())
        })?;
        tracer.finish(&mut emit);
        Ok(())
    }

    /// Creates the output of polygons.
    pub fn polygons(&self, out: &Path, multi: bool, extra: &[Field]) -> Result<PolygonOutput<'_>> {
        let names = self.names();
        let others = names.labels().filter(|label| !self.selected.contains(label));
        let skip: Vec<i64> = others.map(|label| names.value(label)).collect();
        let layers =
            if self.options.layer_per_class { Layers::PerClass { skip: &skip } } else { Layers::One { skip: &skip } };
        PolygonOutput::create(&self.source, &self.space, names, out, layers, multi, self.scores.is_some(), extra)
    }
}

/// Relative tolerance of area thresholds for rounding errors.
const ROUNDING: f64 = 1e-9;

/// An area in m² as a number of pixels in the middle of the raster, rounded up.
pub fn pixels(area: f64, ground: &PixelGround) -> u64 {
    (area / ground.middle_pixel_area() * (1.0 - ROUNDING)).ceil().max(0.0) as u64
}
