//! What changed from one class map to another.
//!
//! ```text
//!  before ──► on the grid of after ──┐
//!                                    ├─► class before × class after ──► matrix of pixels and areas ─► CSV, JSON
//!  after ────────────────────────────┘   (strips, both at once)  └────► raster of transitions
//! ```
//!
//! A transition's value is `from × classes + to`, whatever occurs. Nothing is compared blindly: classes are joined by their
//! names or a map, grids by their georeferences.

#![expect(clippy::indexing_slicing, reason = "cells of a matrix of classes × classes, and windows of a scene")]

mod legend;
mod select;
mod tables;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::crs;
use crate::error::{Error, Result};
use crate::evaluate::ClassMap;
use crate::geom::Window;
use crate::location::unsigned;
use crate::raster::{AlignedRaster, CodedRaster, LabelWriter};
use crate::scene::{ClassInfo, LabelType, RasterLayout};
use legend::{Label, Legend, Side};

/// Rows that are compared at once, and columns that are read at once.
const ROWS: usize = 256;
const COLS: usize = 512;

/// Two maps that can be compared.
pub struct Comparison {
    before: AlignedRaster,
    after: CodedRaster,
    legend: Legend,
}

/// What came of a comparison.
#[derive(Clone, Debug)]
pub struct Change {
    pub before: PathBuf,
    pub after: PathBuf,
    pub classes: Vec<ClassInfo>,
    /// Row: the class before; column: the class after.
    pub cells: Vec<Cell>,
    pub counts: PixelCounts,
    /// The first map was laid on the grid of the second.
    pub warped: bool,
    /// Whether areas are known: the maps say how large their pixels are.
    pub has_areas: bool,
    /// What a reader should know, in sentences.
    pub notes: Vec<String>,
}

/// One transition.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cell {
    pub pixels: u64,
    /// Square metres; 0 where areas are not known.
    pub area: f64,
}

/// What became of the pixels of the second map's grid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct PixelCounts {
    pub compared: u64,
    /// Of a value that the class map leaves out.
    pub ignored: u64,
    /// With a label after, and none before.
    pub without_before: u64,
    /// Without a label after.
    pub without_after: u64,
}

impl Comparison {
    /// Opens both maps, joins their classes and lays the first on the grid of the second.
    ///
    /// # Errors
    /// Input that is no class map, whose classes nobody names, or that nothing lays on the other; more than
    /// `legend::MOST` classes.
    pub fn open(before: &Path, after: &Path, map: Option<&ClassMap>) -> Result<Self> {
        let (before, after) = (CodedRaster::open(before)?, CodedRaster::open(after)?);
        let (legend, before, after) = Legend::settle(before, after, map)?;
        let before = AlignedRaster::new(before, after.info())?;
        Ok(Self { before, after, legend })
    }

    /// All transitions by their values, with their names and colours: unchanged classes pale, changes strong.
    pub fn transitions(&self) -> Vec<ClassInfo> {
        let classes = &self.legend.classes;
        classes.iter().flat_map(|from| classes.iter().map(move |to| transition(from, to))).collect()
    }

    /// The values of the transitions that are written as `FROM:TO`, `*` for any other class; of all changes where none is.
    pub fn select(&self, written: &[String]) -> Result<Vec<usize>> {
        select::select(&self.legend.classes, written)
    }

    /// The CRS of the result as WKT.
    pub fn crs_wkt(&self) -> Option<&str> {
        self.after.info().georeference.as_ref()?.crs_wkt.as_deref()
    }

    /// Rows of the result.
    pub fn rows(&self) -> usize {
        self.after.info().size.height
    }

    /// Compares the two and writes the raster of transitions; `done` hears how many rows are finished.
    pub fn run(&self, raster: &Path, mut done: impl FnMut(usize)) -> Result<Change> {
        let info = self.after.info();
        let (size, place) = (info.size, info.georeference.as_ref());
        let ground = crs::ground_of(size, place);
        let transitions = self.transitions();
        let kind = LabelType::for_classes(transitions.len());
        let name = |path: &Path| {
            let known = unsigned(path).0;
            Path::new(&known).file_name().unwrap_or_default().to_string_lossy().into_owned()
        };
        let tags = [
            ("SEGEARTH_VERSION".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("SEGEARTH_BEFORE".to_owned(), name(&self.before.raster().info().path)),
            ("SEGEARTH_AFTER".to_owned(), name(&info.path)),
        ];
        let mut writer = LabelWriter::create(raster, size, place, &transitions, kind, RasterLayout::default(), &tags)?;
        let classes = self.legend.classes.len();
        let mut counts = Counts { cells: vec![Cell::default(); classes * classes], counts: PixelCounts::default() };
        let mut before = Side::new(&self.legend.before, self.before.raster());
        let mut after = Side::new(&self.legend.after, &self.after);
        let mut strip = Vec::new();
        for first in (0..size.height).step_by(ROWS) {
            let height = ROWS.min(size.height - first);
            strip.clear();
            strip.resize(size.width * height, kind.nodata());
            for col in (0..size.width).step_by(COLS) {
                let window = Window { col, row: first, width: COLS.min(size.width - col), height };
                let (from, to) = (self.before.read(window)?, self.after.read(window)?);
                for (row, (from, to)) in from.chunks_exact(window.width).zip(to.chunks_exact(window.width)).enumerate()
                {
                    let areas = ground.as_ref().map(|ground| ground.row(first + row));
                    let out = &mut strip[row * size.width + col..][..window.width];
                    for (at, ((&from, &to), out)) in from.iter().zip(to).zip(out).enumerate() {
                        let here = || (col + at, first + row);
                        let (from, to) = (before.label(from, here)?, after.label(to, here)?);
                        let area = || areas.as_ref().map_or(0.0, |areas| areas.run(col + at..col + at + 1));
                        if let Some(cell) = counts.add(from, to, classes, area) {
                            *out = cell as u16;
                        }
                    }
                }
            }
            writer.write_rows(first, &strip)?;
            done(height);
        }
        let change = self.change(counts);
        if change.counts.compared == 0 {
            return Err(Error::input(format!(
                "{} and {} have no pixel with a label in both",
                change.before.display(),
                change.after.display()
            ))
            .with_hint("Compare their extents with gdalinfo: they do not overlap, or all is nodata."));
        }
        writer.finish()?;
        Ok(change)
    }

    fn change(&self, Counts { cells, counts }: Counts) -> Change {
        let (first, info) = (self.before.raster().info(), self.after.info());
        let mut notes = self.before.raster().notes().to_vec();
        notes.extend_from_slice(self.after.notes());
        notes.extend(self.legend.notes(first, info));
        if self.before.is_warped() {
            notes.push(format!(
                "{} lies on another grid: its pixels that are nearest to those of {} are compared.",
                first.path.display(),
                info.path.display()
            ));
        }
        let has_areas = info.georeference.as_ref().is_some_and(|place| place.crs_wkt.is_some());
        if !has_areas {
            notes.push(format!(
                "{} has no CRS: changes are counted in pixels, and there are no areas in m².",
                info.path.display()
            ));
        }
        Change {
            before: first.path.clone(),
            after: info.path.clone(),
            classes: self.legend.classes.clone(),
            cells,
            counts,
            warped: self.before.is_warped(),
            has_areas,
            notes,
        }
    }
}

struct Counts {
    cells: Vec<Cell>,
    counts: PixelCounts,
}

impl Counts {
    /// Counts a pixel; gives its transition where it has one.
    fn add(&mut self, from: Label, to: Label, classes: usize, area: impl Fn() -> f64) -> Option<usize> {
        match (from, to) {
            (_, Label::Absent) => self.counts.without_after += 1,
            (Label::Absent, _) => self.counts.without_before += 1,
            (Label::Ignored, _) | (_, Label::Ignored) => self.counts.ignored += 1,
            (Label::Class(from), Label::Class(to)) => {
                let value = from * classes + to;
                let cell = self.cells.get_mut(value)?;
                self.counts.compared += 1;
                cell.pixels += 1;
                cell.area += area();
                return Some(value);
            }
        }
        None
    }
}

impl Change {
    /// The transition from one class to another.
    pub fn cell(&self, from: usize, to: usize) -> Cell {
        self.cells.get(from * self.classes.len() + to).copied().unwrap_or_default()
    }

    /// The sum over transitions that are asked for by their classes.
    pub fn sum(&self, wanted: impl Fn(usize, usize) -> bool) -> Cell {
        let classes = self.classes.len().max(1);
        let chosen = self.cells.iter().enumerate().filter(|(value, _)| wanted(value / classes, value % classes));
        chosen.fold(Cell::default(), |sum, (_, cell)| Cell {
            pixels: sum.pixels + cell.pixels,
            area: sum.area + cell.area,
        })
    }

    /// Values of the transitions between different classes that occur, the largest first.
    pub fn largest(&self) -> Vec<usize> {
        let classes = self.classes.len().max(1);
        let occurs = |value: &usize| value / classes != value % classes && self.cells[*value].pixels > 0;
        let mut values: Vec<usize> = (0..self.cells.len()).filter(occurs).collect();
        values.sort_by_key(|&value| std::cmp::Reverse(self.cells[value].pixels));
        values
    }

    /// A line for each transition, for spreadsheets and scripts.
    pub fn csv(&self) -> String {
        tables::csv(self)
    }

    pub fn json(&self) -> Result<String> {
        tables::json(self)
    }
}

fn transition(from: &ClassInfo, to: &ClassInfo) -> ClassInfo {
    let mix = |a: [u8; 3], b: [u8; 3], share: f64| {
        [0, 1, 2].map(|i| (f64::from(a[i]) * (1.0 - share) + f64::from(b[i]) * share).round() as u8)
    };
    if from.name == to.name {
        let grey = (from.colour.iter().map(|part| u16::from(*part)).sum::<u16>() / 3) as u8;
        let dull = mix(from.colour, [grey; 3], 0.5);
        return ClassInfo { name: from.name.clone(), colour: mix(dull, [255; 3], 0.65) };
    }
    // What a pixel became is seen first; what it was tells two ways to the same apart.
    ClassInfo { name: format!("{} → {}", from.name, to.name), colour: mix(to.colour, from.colour, 0.22) }
}
