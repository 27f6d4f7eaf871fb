//! Change by the scores of two dates over whole maps: the energy of each class, its threshold, and where it is exceeded.
//!
//! Scores are read three times, block by block: for the range of each class's energy, for its histogram, and to mark the pixels.

#![expect(clippy::indexing_slicing, reason = "classes and pixels of arrays that are made here")]

use std::path::Path;

use super::energy::{Histogram, ValueRange, energy};
use super::legend::{Label, Meanings};
use super::{COLS, Comparison, ROWS};
use crate::error::{Error, Result};
use crate::evaluate::Code;
use crate::geom::{Size, Window};
use crate::raster::{AlignedScores, CodedRaster};
use crate::scene::{ClassInfo, same_name};

/// Score rasters of two dates, and what of them belongs to each class.
pub struct ScorePair {
    before: AlignedScores,
    after: AlignedScores,
    classes: Vec<ScoredClass>,
    size: Size,
    /// Classes that only one of the rasters has, in sentences.
    notes: Vec<String>,
}

struct ScoredClass {
    name: String,
    /// Bands of each date.
    bands: [Vec<usize>; 2],
}

/// The threshold of a class's energy.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ClassThreshold {
    pub class: String,
    pub threshold: f32,
}

/// Whether the scores of a pixel changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScoreChange {
    Unchanged,
    Changed,
    /// Without scores at one of the dates.
    Unknown,
}

impl Comparison {
    /// Opens the score rasters of both dates. `foreground`: names of the classes whose scores count; empty: all but the background.
    ///
    /// # Errors
    /// A raster cannot be read as scores or aligned with the later map; a class of `foreground` is unknown or has no scores; no class
    /// has scores at both dates.
    pub fn scores(&self, before: &Path, after: &Path, foreground: &[String]) -> Result<ScorePair> {
        let info = self.after.info();
        let (first, second) = (AlignedScores::open(before, info)?, AlignedScores::open(after, info)?);
        let wanted = self.foreground(foreground)?;
        let (mut classes, mut notes) = (Vec::new(), Vec::new());
        for (number, class) in self.legend.classes.iter().enumerate().filter(|(number, _)| wanted[*number]) {
            let of = |raster: &CodedRaster, meanings: &Meanings, scores: &AlignedScores| -> Vec<usize> {
                let names = scores.names().into_iter().enumerate();
                let means = |name: &str| means(name, raster, meanings, &self.legend.classes);
                names.filter(|(_, name)| means(name) == Some(number)).map(|(band, _)| band).collect()
            };
            let bands =
                [of(self.before.raster(), &self.legend.before, &first), of(&self.after, &self.legend.after, &second)];
            let sides = [(before, &first), (after, &second)].into_iter().zip(&bands);
            let Some(((path, scores), _)) = sides.into_iter().find(|(_, bands)| bands.is_empty()) else {
                classes.push(ScoredClass { name: class.name.clone(), bands });
                continue;
            };
            let lacking = format!(
                "{} has no scores of the class {:?}; its bands are {}",
                path.display(),
                class.name,
                scores.names().join(", ")
            );
            match foreground.is_empty() {
                true => notes.push(format!("{lacking}: the class does not count in the energy.")),
                false => return Err(Error::input(lacking).with_hint("Name classes that both score rasters have.")),
            }
        }
        if classes.is_empty() {
            return Err(Error::input(format!(
                "{} and {} have scores of no class in common: their bands are {} and {}",
                before.display(),
                after.display(),
                first.names().join(", "),
                second.names().join(", ")
            ))
            .with_hint("Use the score rasters of the runs that made both maps."));
        }
        Ok(ScorePair { before: first, after: second, classes, size: info.size, notes })
    }
}

/// The class that a band of scores belongs to: the one that its name means in the label raster, else the one of its name.
fn means(name: &str, raster: &CodedRaster, meanings: &Meanings, classes: &[ClassInfo]) -> Option<usize> {
    let mut labels = raster.names().values_of(name).into_iter().filter_map(|value| meanings.of(&Code::Value(value)));
    match labels.next() {
        Some(Label::Class(class)) => Some(class),
        Some(_) => None,
        None => classes.iter().position(|class| same_name(&class.name, name)),
    }
}

impl ScorePair {
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Finds the threshold of each class's energy over all pixels that have scores at both dates; `done` receives the number of rows just
    /// finished, of twice as many as the raster has.
    ///
    /// # Errors
    /// Reading fails; no pixel has scores at both dates.
    pub fn energy(self, mut done: impl FnMut(usize)) -> Result<Energy> {
        let mut ranges = vec![ValueRange::default(); self.classes.len()];
        let mut known = false;
        self.blocks(&mut done, |energies| {
            for (range, energy) in ranges.iter_mut().zip(energies) {
                known |= energy.iter().any(|value| !value.is_nan());
                range.add(energy.iter().copied());
            }
        })?;
        if !known {
            return Err(Error::input("the score rasters have no pixel with scores at both dates")
                .with_hint("Check their extents with gdalinfo: they do not overlap, or every pixel is nodata."));
        }
        let mut histograms: Vec<Histogram> = ranges.into_iter().map(Histogram::new).collect();
        self.blocks(&mut done, |energies| {
            for (histogram, energy) in histograms.iter_mut().zip(energies) {
                histogram.add(energy.iter().copied());
            }
        })?;
        let of_class = |(class, histogram): (&ScoredClass, Histogram)| ClassThreshold {
            class: class.name.clone(),
            threshold: histogram.threshold(),
        };
        let thresholds = self.classes.iter().zip(histograms).map(of_class).collect();
        Ok(Energy { scores: self, thresholds })
    }

    /// Gives `take` the energies of each block in turn, (class)(pixel).
    fn blocks(&self, done: &mut dyn FnMut(usize), mut take: impl FnMut(&[Vec<f32>])) -> Result<()> {
        for row in (0..self.size.height).step_by(ROWS) {
            let height = ROWS.min(self.size.height - row);
            for col in (0..self.size.width).step_by(COLS) {
                take(&self.energies(Window { col, row, width: COLS.min(self.size.width - col), height })?);
            }
            done(height);
        }
        Ok(())
    }

    /// Energies under a window, (class)(row, column); NaN without scores at one of the dates.
    fn energies(&self, window: Window) -> Result<Vec<Vec<f32>>> {
        let pixels = window.size().pixels();
        let of_class = |class: &ScoredClass| {
            let best = |scores: &AlignedScores, bands: &[usize]| -> Result<Vec<f32>> {
                let all = scores.read(window, bands)?;
                let mut planes = all.chunks_exact(pixels);
                let mut best = planes.next().map(<[f32]>::to_vec).unwrap_or_default();
                for plane in planes {
                    // NaN stays: a pixel has scores of all classes or of none.
                    best.iter_mut()
                        .zip(plane)
                        .for_each(|(best, score)| *best = if *score > *best { *score } else { *best });
                }
                Ok(best)
            };
            let [first, second] = &class.bands;
            let (before, after) = (best(&self.before, first)?, best(&self.after, second)?);
            let mut energy = energy(&before, &after, None, pixels);
            for (energy, (before, after)) in energy.iter_mut().zip(before.iter().zip(&after)) {
                if before.is_nan() || after.is_nan() {
                    *energy = f32::NAN;
                }
            }
            Ok(energy)
        };
        self.classes.iter().map(of_class).collect()
    }
}

/// The energy of the scores of two dates, with its thresholds.
pub struct Energy {
    scores: ScorePair,
    thresholds: Vec<ClassThreshold>,
}

impl Energy {
    pub fn thresholds(&self) -> &[ClassThreshold] {
        &self.thresholds
    }

    /// Whether the energy of any class exceeds its threshold, for the pixels of some rows, (row, column).
    ///
    /// # Errors
    /// Reading fails.
    pub fn rows(&self, first: usize, count: usize) -> Result<Vec<ScoreChange>> {
        let width = self.scores.size.width;
        let mut all = vec![ScoreChange::Unknown; width * count];
        for col in (0..width).step_by(COLS) {
            let window = Window { col, row: first, width: COLS.min(width - col), height: count };
            for (energy, limit) in self.scores.energies(window)?.iter().zip(&self.thresholds) {
                for (row, energies) in energy.chunks_exact(window.width).enumerate() {
                    let out = &mut all[row * width + col..][..window.width];
                    for (out, energy) in out.iter_mut().zip(energies).filter(|(_, energy)| !energy.is_nan()) {
                        match *energy > limit.threshold {
                            true => *out = ScoreChange::Changed,
                            false if *out == ScoreChange::Unknown => *out = ScoreChange::Unchanged,
                            false => {}
                        }
                    }
                }
            }
        }
        Ok(all)
    }
}
