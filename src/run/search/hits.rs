//! The best footprints of all scenes so far: of each only its outline stays in memory.

use geo::{Coord, Polygon};

use crate::error::Result;
use crate::geom::Window;
use crate::search::{Coverage, Footprint, ScoreMap, footprints};
use crate::vector::outline;

/// A place that was found.
#[derive(Clone, Debug)]
pub struct Hit {
    /// Index of its scene.
    pub scene: usize,
    /// Of its best patch, and the mean of all.
    pub score: f32,
    pub mean: f32,
    /// Number of its patches.
    pub patches: usize,
    /// In pixels of the scene as the model saw it.
    pub polygon: Polygon,
    /// The pixels around it.
    pub bounds: Window,
}

/// The best places so far, the best first.
pub struct Hits {
    most: usize,
    share: f32,
    best: Vec<Hit>,
}

impl Hits {
    pub fn new(most: usize, share: f32) -> Self {
        Self { most, share, best: Vec::new() }
    }

    /// Adds the places of a scene. Of places with the same score, those of earlier scenes come first.
    pub fn add(&mut self, at: usize, map: &ScoreMap) -> Result<()> {
        let worst = self.best.get(self.most - 1).map_or(f32::NEG_INFINITY, |hit| hit.score);
        for footprint in footprints(map, self.share, self.most, worst) {
            self.best.push(hit(at, &map.coverage, &footprint)?);
        }
        self.best.sort_by(|one, other| other.score.total_cmp(&one.score));
        self.best.truncate(self.most);
        Ok(())
    }

    pub fn into_best(self) -> Vec<Hit> {
        self.best
    }
}

fn hit(scene: usize, coverage: &Coverage, footprint: &Footprint) -> Result<Hit> {
    let ends = |of: fn(&[usize; 2]) -> usize| {
        let all = || footprint.cells.iter().map(of);
        all().min().unwrap_or(0)..all().max().map_or(0, |last| last + 1)
    };
    let (rows, cols) = (ends(|[row, _]| *row), ends(|[_, col]| *col));
    let mut mask = vec![false; rows.len() * cols.len()];
    for [row, col] in &footprint.cells {
        if let Some(set) = mask.get_mut((row - rows.start) * cols.len() + col - cols.start) {
            *set = true;
        }
    }
    let bounds = coverage.pixels(rows.clone(), cols.clone());
    // The corner before a cell, or after the last one.
    let corner = |col: usize, row: usize| {
        let x = coverage.cols.get(cols.start + col).map_or(bounds.col + bounds.width, |cell| cell.start);
        let y = coverage.rows.get(rows.start + row).map_or(bounds.row + bounds.height, |cell| cell.start);
        Coord { x: x as f64, y: y as f64 }
    };
    let polygon = outline(&mask, cols.len(), corner)?;
    let Footprint { score, mean, cells } = footprint;
    Ok(Hit { scene, score: *score, mean: *mean, patches: cells.len(), polygon, bounds })
}
