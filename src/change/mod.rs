//! Class transitions between two class maps: a matrix of pixels and areas, and a raster.
//!
//! ```text
//!  before ──► on the grid of after ──┐
//!                                    ├─► class before × class after ──► matrix of pixels and areas ─► CSV, JSON
//!  after ────────────────────────────┘   (strips, both at once)  └────► raster of transitions
//! ```
//!
//! A transition has the value `from × classes + to`, also where it does not occur. Classes are matched by their names or a
//! class map, grids by their georeference.

#![expect(clippy::indexing_slicing, reason = "cells of a matrix of classes × classes, and windows inside the raster")]

mod energy;
mod legend;
mod pieces;
mod scores;
mod select;
mod tables;
#[cfg(test)]
mod tests;
mod tolerance;

use std::path::{Path, PathBuf};

use crate::crs;
use crate::error::{Error, Result};
use crate::evaluate::ClassMap;
use crate::geom::Window;
use crate::location::unsigned;
use crate::raster::{AlignedRaster, CodedRaster, LabelWriter};
use crate::scene::{ClassInfo, LabelType, RasterLayout};
pub use energy::{energy, otsu, threshold};
use legend::{Label, Legend, Translator};
pub use scores::{ClassThreshold, Energy, ScorePair};
pub use tolerance::{ChangedPieces, MAX_RADIUS, Tolerance, changed_classes};

/// Rows and columns of the blocks that are read and compared.
const ROWS: usize = 256;
const COLS: usize = 512;

/// Two class maps on a common grid with common classes.
pub struct Comparison {
    before: AlignedRaster,
    after: CodedRaster,
    legend: Legend,
}

/// The result of a comparison.
#[derive(Clone, Debug)]
pub struct Change {
    pub before: PathBuf,
    pub after: PathBuf,
    pub classes: Vec<ClassInfo>,
    /// The transitions, ordered (class before, class after).
    pub cells: Vec<Cell>,
    pub counts: PixelCounts,
    /// Whether the first map was resampled to the grid of the second.
    pub warped: bool,
    /// Whether areas are known; false without a CRS.
    pub has_areas: bool,
    /// The thresholds of the energy of scores; empty where it was not asked for.
    pub thresholds: Vec<ClassThreshold>,
    /// Notes for the user, in sentences.
    pub notes: Vec<String>,
}

/// Pixels and area of one transition.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cell {
    pub pixels: u64,
    /// Square metres; 0 where areas are not known.
    pub area: f64,
}

/// Numbers of pixels of the second map's grid, by whether and why they are not compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct PixelCounts {
    pub compared: u64,
    /// Of a value that the class map ignores.
    pub ignored: u64,
    /// With a label in the second map only.
    pub without_before: u64,
    /// Without a label in the second map.
    pub without_after: u64,
}

impl Comparison {
    /// Opens both maps, joins their classes and resamples the first to the grid of the second.
    ///
    /// # Errors
    /// An input is not a class map, has unnamed classes, or has no georeference in common with the other; more than
    /// `legend::MAX_CLASSES` classes.
    pub fn open(before: &Path, after: &Path, map: Option<&ClassMap>) -> Result<Self> {
        let (before, after) = (CodedRaster::open(before)?, CodedRaster::open(after)?);
        let (legend, before, after) = Legend::resolve(before, after, map)?;
        let before = AlignedRaster::new(before, after.info())?;
        Ok(Self { before, after, legend })
    }

    /// All transitions in the order of their values, with names and colours: unchanged classes pale, changes saturated.
    pub fn transitions(&self) -> Vec<ClassInfo> {
        transitions(&self.legend.classes)
    }

    /// The names of the classes before and after of each transition, in the order of their values.
    pub fn ends(&self) -> Vec<[String; 2]> {
        let names = || self.legend.classes.iter().map(|class| &class.name);
        names().flat_map(|from| names().map(move |to| [from.clone(), to.clone()])).collect()
    }

    /// The values of the transitions written as `FROM:TO`, with `*` for any other class; without any, those of all changes.
    pub fn select(&self, written: &[String]) -> Result<Vec<usize>> {
        select::select(&self.legend.classes, written)
    }

    /// The CRS of the result as WKT.
    pub fn crs_wkt(&self) -> Option<&str> {
        self.after.info().georeference.as_ref()?.crs_wkt.as_deref()
    }

    /// Number of rows of the result.
    pub fn rows(&self) -> usize {
        self.after.info().size.height
    }

    /// Compares the maps and writes the raster of transitions; `done` receives the number of rows just finished.
    ///
    /// # Errors
    /// A code is not assigned to a class; no pixel has a label in both maps; reading or writing fails.
    pub fn run(&self, raster: &Path, mut done: impl FnMut(usize)) -> Result<Change> {
        let (change, writer) = self.compare(raster, &mut done)?;
        if change.counts.compared == 0 {
            return Err(Error::input(format!(
                "{} and {} have no labelled pixel in common",
                change.before.display(),
                change.after.display()
            ))
            .with_hint("Check their extents with gdalinfo: they do not overlap, or every pixel is nodata."));
        }
        writer.finish()?;
        Ok(change)
    }

    /// As [`run`](Self::run), for parts of maps, which may have no labelled pixel in common.
    ///
    /// # Errors
    /// A code is not assigned to a class; reading or writing fails.
    pub fn run_part(&self, raster: &Path) -> Result<Change> {
        let (change, writer) = self.compare(raster, &mut |_| ())?;
        writer.finish()?;
        Ok(change)
    }

    fn compare(&self, raster: &Path, done: &mut dyn FnMut(usize)) -> Result<(Change, LabelWriter)> {
        let info = self.after.info();
        let (size, georeference) = (info.size, info.georeference.as_ref());
        let ground = crs::ground_of(size, georeference);
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
        let mut writer =
            LabelWriter::create(raster, size, georeference, &transitions, kind, RasterLayout::default(), &tags)?;
        let classes = self.legend.classes.len();
        let mut counts = Counts { cells: vec![Cell::default(); classes * classes], counts: PixelCounts::default() };
        let mut before = Translator::new(&self.legend.before, self.before.raster());
        let mut after = Translator::new(&self.legend.after, &self.after);
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
                        let position = || (col + at, first + row);
                        let (from, to) = (before.label(from, position)?, after.label(to, position)?);
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
        Ok((self.change(counts), writer))
    }

    fn change(&self, Counts { cells, counts }: Counts) -> Change {
        let (first, info) = (self.before.raster().info(), self.after.info());
        let mut notes = self.before.raster().notes().to_vec();
        notes.extend_from_slice(self.after.notes());
        notes.extend(self.legend.notes(first, info));
        if self.before.is_warped() {
            notes.push(format!(
                "{} is on another grid: it was resampled to the grid of {} (nearest neighbour).",
                first.path.display(),
                info.path.display()
            ));
        }
        let has_areas = info.georeference.as_ref().is_some_and(|georeference| georeference.crs_wkt.is_some());
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
            thresholds: Vec::new(),
            notes,
        }
    }
}

struct Counts {
    cells: Vec<Cell>,
    counts: PixelCounts,
}

impl Counts {
    /// Counts a pixel; returns its transition where both labels are classes.
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

    /// The sum over the transitions for which `wanted(from, to)` holds.
    pub fn sum(&self, wanted: impl Fn(usize, usize) -> bool) -> Cell {
        let classes = self.classes.len().max(1);
        let chosen = self.cells.iter().enumerate().filter(|(value, _)| wanted(value / classes, value % classes));
        chosen.fold(Cell::default(), |sum, (_, cell)| Cell {
            pixels: sum.pixels + cell.pixels,
            area: sum.area + cell.area,
        })
    }

    /// Values of the occurring transitions between different classes, the largest first.
    pub fn largest(&self) -> Vec<usize> {
        let classes = self.classes.len().max(1);
        let occurs = |value: &usize| value / classes != value % classes && self.cells[*value].pixels > 0;
        let mut values: Vec<usize> = (0..self.cells.len()).filter(occurs).collect();
        values.sort_by_key(|&value| std::cmp::Reverse(self.cells[value].pixels));
        values
    }

    /// The transitions as CSV, one line each.
    pub fn csv(&self) -> String {
        tables::csv(self)
    }

    /// The result as JSON.
    pub fn json(&self) -> Result<String> {
        tables::json(self)
    }
}

/// All transitions between classes in the order of their values, with names and colours.
pub fn transitions(classes: &[ClassInfo]) -> Vec<ClassInfo> {
    classes.iter().flat_map(|from| classes.iter().map(move |to| transition(from, to))).collect()
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
    // The colour of the class after dominates; a share of the class before distinguishes transitions to the same class.
    ClassInfo { name: format!("{} → {}", from.name, to.name), colour: mix(to.colour, from.colour, 0.22) }
}
