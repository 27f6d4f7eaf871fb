//! Change that forgives a shift between two dates: whole pieces of the foreground that the other date, grown by some pixels, hardly
//! covers, and pixels whose scores changed.
//!
//! Rows are read twice: to sum up the pieces of both dates, and to write what has changed.

#![expect(clippy::indexing_slicing, reason = "rows as wide as the raster")]

use std::collections::VecDeque;
use std::path::Path;

use super::legend::{Label, Translator};
use super::pieces::{Decisions, Lookup, Piece, Sums};
use super::scores::{Energy, ScoreChange};
use super::{COLS, Comparison, ROWS};
use crate::crs;
use crate::error::{Error, Result};
use crate::geom::Window;
use crate::raster::LabelWriter;
use crate::scene::{ClassInfo, LabelType, RasterLayout, is_background, same_name};

/// How pieces are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Tolerance {
    /// By how many pixels the other date's foreground is grown in all eight directions.
    pub radius: usize,
    /// A piece of which a smaller share is covered has changed, 0..=1.
    pub coverage: f64,
    /// Smaller pieces do not count: square metres, or pixels without a CRS.
    pub min_area: f64,
    /// Names of the classes that are the foreground; empty: all but the background, or but the first class where there is none.
    pub foreground: Vec<String>,
}

/// What has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangedPieces {
    /// Pieces of the first date that the second hardly has.
    pub gone: u64,
    /// Pieces of the second date that the first hardly has.
    pub new: u64,
    /// Pixels that are marked.
    pub pixels: u64,
    /// Pixels with labels but without scores, where scores were asked for: they are not compared.
    pub without_scores: u64,
}

const BEFORE: u8 = 1;
const AFTER: u8 = 2;
/// Without a label in one of the maps.
const EXCLUDED: u8 = 4;

/// Largest radius in pixels: memory is rows of twice as many.
pub const MAX_RADIUS: usize = 1024;

/// The values of the raster: unchanged, gone, new, and both where a piece of each date lies; without `pieces`, unchanged and changed.
pub fn changed_classes(pieces: bool) -> Vec<ClassInfo> {
    let class = |name: &str, colour| ClassInfo { name: name.to_owned(), colour };
    let unchanged = class("unchanged", [235, 235, 235]);
    if !pieces {
        return vec![unchanged, class("changed", [214, 69, 65])];
    }
    vec![unchanged, class("gone", [214, 69, 65]), class("new", [44, 123, 182]), class("gone and new", [123, 50, 148])]
}

impl Comparison {
    /// Writes the raster of changes: of pieces by `tolerance`, of pixels by `energy`; with both, the pixels of changed pieces whose
    /// scores changed. `done` receives the number of rows just finished, of as many as the raster has for each scan.
    ///
    /// # Errors
    /// An unknown class; as [`run`](Self::run).
    pub fn changed(
        &self,
        raster: &Path,
        tolerance: Option<&Tolerance>,
        energy: Option<&Energy>,
        mut done: impl FnMut(usize),
    ) -> Result<ChangedPieces> {
        let foreground = self.foreground(tolerance.map_or(&[], |tolerance| &tolerance.foreground))?;
        let info = self.after.info();
        let (size, georeference) = (info.size, info.georeference.as_ref());
        let pieces = tolerance.map(|tolerance| self.pieces(tolerance, &foreground, &mut done)).transpose()?;
        let mut counts = ChangedPieces::default();
        let mut lookups = pieces.map(|[gone, new]| {
            (counts.gone, counts.new) = (gone.chosen, new.chosen);
            [(Lookup::new(gone), BEFORE), (Lookup::new(new), AFTER)]
        });
        let classes = changed_classes(tolerance.is_some());
        let kind = LabelType::for_classes(classes.len());
        let tags = [("SEGEARTH_VERSION".to_owned(), env!("CARGO_PKG_VERSION").to_owned())];
        let layout = RasterLayout::default();
        let mut writer = LabelWriter::create(raster, size, georeference, &classes, kind, layout, &tags)?;
        let mut strip: Vec<u16> = Vec::with_capacity(ROWS * size.width);
        let mut first = 0;
        let mut scores = Vec::new();
        self.scan(&foreground, 0, |row, flags, _| {
            let from = strip.len();
            strip.extend(flags.iter().map(|flags| if flags & EXCLUDED > 0 { kind.nodata() } else { 0 }));
            for (lookup, own) in lookups.iter_mut().flatten() {
                let line = &mut strip[from..];
                lookup.row(
                    size.width,
                    |col| flags[col] & *own > 0,
                    |cols| {
                        line[cols].iter_mut().for_each(|value| *value |= u16::from(*own));
                    },
                );
            }
            if let Some(energy) = energy {
                if row == first {
                    scores = energy.rows(row, ROWS.min(size.height - row))?;
                }
                for (value, change) in strip[from..].iter_mut().zip(&scores[(row - first) * size.width..]) {
                    match change {
                        _ if *value == kind.nodata() => {}
                        ScoreChange::Changed if tolerance.is_none() => *value = 1,
                        ScoreChange::Changed => {}
                        ScoreChange::Unchanged => *value = 0,
                        ScoreChange::Unknown => {
                            *value = kind.nodata();
                            counts.without_scores += 1;
                        }
                    }
                }
            }
            counts.pixels += strip[from..].iter().filter(|value| (1..4).contains(*value)).count() as u64;
            if row + 1 - first == ROWS || row + 1 == size.height {
                writer.write_rows(first, &strip)?;
                strip.clear();
                first = row + 1;
            }
            done(1);
            Ok(())
        })?;
        writer.finish()?;
        Ok(counts)
    }

    /// What is decided of the pieces that are gone and of those that are new.
    fn pieces(
        &self,
        tolerance: &Tolerance,
        foreground: &[bool],
        done: &mut dyn FnMut(usize),
    ) -> Result<[Decisions; 2]> {
        let info = self.after.info();
        let size = info.size;
        let ground = crs::ground_of(size, info.georeference.as_ref());
        let decide = |piece: &Piece| {
            let share = piece.covered as f64 / piece.pixels as f64;
            share < tolerance.coverage && piece.area >= tolerance.min_area
        };
        let (mut gone, mut new) = (Sums::default(), Sums::default());
        self.scan(foreground, tolerance.radius, |row, flags, near| {
            let areas = ground.as_ref().map(|ground| ground.row(row));
            for (sums, own, other) in [(&mut gone, BEFORE, AFTER), (&mut new, AFTER, BEFORE)] {
                sums.row(
                    size.width,
                    |col| flags[col] & own > 0,
                    |col| near[col] & other > 0,
                    |cols| areas.as_ref().map_or(cols.len() as f64, |areas| areas.run(cols)),
                    decide,
                );
            }
            done(1);
            Ok(())
        })?;
        Ok([gone.finish(decide), new.finish(decide)])
    }

    /// Whether each class is foreground.
    pub(super) fn foreground(&self, names: &[String]) -> Result<Vec<bool>> {
        let classes = &self.legend.classes;
        if let Some(unknown) = names.iter().find(|name| !classes.iter().any(|class| same_name(&class.name, name))) {
            let known: Vec<&str> = classes.iter().map(|class| class.name.as_str()).collect();
            return Err(Error::input(format!("neither map has the class {unknown:?}; they have {}", known.join(", "))));
        }
        if !names.is_empty() {
            return Ok(classes.iter().map(|class| names.iter().any(|name| same_name(&class.name, name))).collect());
        }
        let background = classes.iter().position(|class| is_background(&class.name)).unwrap_or(0);
        Ok((0..classes.len()).map(|class| class != background).collect())
    }

    /// All rows in order, each with the foreground of both dates, and with what of it is near: within `radius` pixels.
    fn scan(
        &self,
        foreground: &[bool],
        radius: usize,
        mut row_done: impl FnMut(usize, &[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        let size = self.after.info().size;
        let mut before = Translator::new(&self.legend.before, self.before.raster());
        let mut after = Translator::new(&self.legend.after, &self.after);
        // Rows from `next - radius` on, as far as they exist.
        let mut known: VecDeque<Vec<u8>> = VecDeque::new();
        let (mut first, mut next) = (0, 0);
        for top in (0..size.height).step_by(ROWS) {
            let height = ROWS.min(size.height - top);
            let mut strip = vec![0u8; size.width * height];
            for col in (0..size.width).step_by(COLS) {
                let window = Window { col, row: top, width: COLS.min(size.width - col), height };
                let (from, to) = (self.before.read(window)?, self.after.read(window)?);
                for (at, (from, to)) in from.into_iter().zip(to).enumerate() {
                    let (x, y) = (col + at % window.width, at / window.width);
                    let position = || (x, top + y);
                    let labels = [before.label(from, position)?, after.label(to, position)?];
                    strip[y * size.width + x] = match labels {
                        [Label::Class(from), Label::Class(to)] => {
                            flag(foreground[from], BEFORE) | flag(foreground[to], AFTER)
                        }
                        _ => EXCLUDED,
                    };
                }
            }
            known.extend(strip.chunks_exact(size.width).map(<[u8]>::to_vec));
            while next < size.height && (next + radius < top + height || top + height == size.height) {
                let above = next.saturating_sub(radius);
                known.drain(..above - first);
                first = above;
                let near = near(&known, next - first, radius);
                row_done(next, &known[next - first], &near)?;
                next += 1;
            }
        }
        Ok(())
    }
}

fn flag(set: bool, flag: u8) -> u8 {
    if set { flag } else { 0 }
}

/// The foreground of both dates within `radius` pixels of each pixel of a row.
fn near(rows: &VecDeque<Vec<u8>>, row: usize, radius: usize) -> Vec<u8> {
    let width = rows[row].len();
    let mut down = vec![0u8; width];
    for line in rows.iter().skip(row.saturating_sub(radius)).take(row.min(radius) + radius + 1) {
        down.iter_mut().zip(line).for_each(|(down, line)| *down |= line);
    }
    let mut out = vec![0u8; width];
    for flag in [BEFORE, AFTER] {
        let sweep = |cols: &mut dyn Iterator<Item = usize>, out: &mut [u8]| {
            // How far the last pixel with the flag reaches.
            let mut reach = 0usize;
            for col in cols {
                reach = if down[col] & flag > 0 { radius + 1 } else { reach.saturating_sub(1) };
                if reach > 0 {
                    out[col] |= flag;
                }
            }
        };
        sweep(&mut (0..width), &mut out);
        sweep(&mut (0..width).rev(), &mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_a_square_that_ends_at_the_border() {
        let mut rows: VecDeque<Vec<u8>> = (0..7).map(|_| vec![0u8; 9]).collect();
        rows[3][4] = BEFORE;
        rows[0][0] = AFTER;
        let of = |row: usize, flag: u8| -> Vec<usize> {
            let near = near(&rows, row, 2);
            (0..9).filter(|col| near[*col] & flag > 0).collect()
        };
        assert_eq!((of(1, BEFORE), of(5, BEFORE)), (vec![2, 3, 4, 5, 6], vec![2, 3, 4, 5, 6]));
        assert_eq!((of(0, BEFORE), of(6, BEFORE)), (vec![], vec![]));
        assert_eq!((of(2, AFTER), of(3, AFTER)), (vec![0, 1, 2], vec![]));
    }
}
