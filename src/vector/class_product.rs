//! What the recipes for single classes have in common: clean masks, their regions, and the polygons' file.

use std::path::Path;

use super::bits::BitGrid;
use super::coverage::PixelSize;
use super::mask::{self, Disc, Sizes};
use super::output::{Layers, Names, PolygonOutput};
use super::place::Place;
use super::shape::Region;
use super::source::{LabelSource, ScoreSource};
use super::trace::{Connectedness, Tracer};
use super::write::Field;
use crate::error::Result;
use crate::scene::ProductOptions;

/// A product of single classes.
pub struct ClassProduct<'a> {
    pub source: LabelSource,
    pub scores: Option<ScoreSource>,
    pub place: Place,
    pub pixel: PixelSize,
    /// The labels of the classes to work on.
    pub taken: Vec<u16>,
    pub options: &'a ProductOptions,
}

impl ClassProduct<'_> {
    pub fn names(&self) -> Names {
        Names::new(&self.source)
    }

    /// A class as a clean mask. Areas and lengths are what the recipe takes where the options say nothing.
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
        mask::clean(&mut mask, self.sizes(min_area, max_hole));
        Ok(mask)
    }

    /// Which parts and holes of a mask are too small, in m² where the options say nothing.
    pub fn sizes(&self, min_area: f64, max_hole: f64) -> Sizes {
        Sizes {
            smallest_part: pixels(self.options.min_area.unwrap_or(min_area), self.pixel),
            largest_hole: (self.options.max_hole.unwrap_or(max_hole) / (self.pixel.width * self.pixel.height)) as u64,
        }
    }

    /// The regions of a mask with the scores of `class`, and every row as the sweep sees it.
    pub fn regions(
        &self,
        mask: &BitGrid,
        class: u16,
        mut each_row: impl FnMut(&[u16]),
        mut emit: impl FnMut(Region),
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

    pub fn polygons(&self, out: &Path, multi: bool, extra: &[Field]) -> Result<PolygonOutput<'_>> {
        let names = self.names();
        let others = names.labels().filter(|label| !self.taken.contains(label));
        let skip: Vec<i64> = others.map(|label| names.value(label)).collect();
        let layers = if self.options.layer_per_class { Layers::PerClass { skip: &skip } } else { Layers::One };
        PolygonOutput::create(&self.source, &self.place, names, out, layers, multi, self.scores.is_some(), extra)
    }
}

/// How many pixels an area in m² takes.
pub fn pixels(area: f64, pixel: PixelSize) -> u64 {
    (area / (pixel.width * pixel.height)).ceil().max(0.0) as u64
}
