//! Footprints of the best places of a scene: a cell that no neighbour exceeds, and the cells around it that score nearly as well.
//!
//! The level of a footprint lies between the scene's mean and the score of its best cell. Cells beside a footprint that score a
//! little less than its level have a better neighbour, so they begin no footprint of their own.

use super::ScoreMap;

/// Connected cells of a scene.
#[derive(Clone, Debug, PartialEq)]
pub struct Footprint {
    /// Of the best cell.
    pub score: f32,
    /// Of all cells.
    pub mean: f32,
    /// (row, column), row by row.
    pub cells: Vec<[usize; 2]>,
}

/// At most `most` footprints with a score of at least `least`, the best first. `share`: the level of a footprint, from the scene's mean
/// (0) to its best score (1).
pub fn footprints(map: &ScoreMap, share: f32, most: usize, least: f32) -> Vec<Footprint> {
    let known = || map.scores.iter().filter(|score| score.is_finite());
    let count = known().count();
    let mean = (known().map(|score| f64::from(*score)).sum::<f64>() / count.max(1) as f64) as f32;
    let cells = Cells { width: map.coverage.cols.len(), scores: &map.scores };
    let mut peaks: Vec<usize> = (0..map.scores.len()).filter(|&at| cells.is_peak(at, least)).collect();
    peaks.sort_by(|one, other| cells.score(*other).total_cmp(&cells.score(*one)).then(one.cmp(other)));
    let mut taken = vec![false; map.scores.len()];
    let mut found = Vec::new();
    for peak in peaks {
        if found.len() == most {
            break;
        }
        if !taken.get(peak).is_some_and(|taken| *taken) {
            let score = cells.score(peak);
            found.push(cells.grow(peak, mean + share * (score - mean), &mut taken));
        }
    }
    found
}

struct Cells<'a> {
    width: usize,
    scores: &'a [f32],
}

impl Cells<'_> {
    fn score(&self, at: usize) -> f32 {
        self.scores.get(at).copied().unwrap_or(f32::NAN)
    }

    /// The cells beside one, by edges; with those by corners where `corners` is set.
    fn beside(&self, at: usize, corners: bool) -> impl Iterator<Item = usize> {
        let (width, count) = (self.width, self.scores.len());
        let (row, col) = (at / width.max(1), at % width.max(1));
        let steps = [(-1, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)];
        steps.into_iter().take(if corners { 8 } else { 4 }).filter_map(move |(down, across)| {
            let (row, col) = (row.checked_add_signed(down)?, col.checked_add_signed(across)?);
            Some(row * width + col).filter(|at| col < width && *at < count)
        })
    }

    /// Whether a cell scores at least `least`, and no neighbour scores more, or as much before it.
    fn is_peak(&self, at: usize, least: f32) -> bool {
        let score = self.score(at);
        score.is_finite()
            && score >= least
            && !self.beside(at, true).any(|other| {
                let beside = self.score(other);
                beside > score || (beside == score && other < at)
            })
    }

    /// The cells that are connected to a peak and not below a level; they are then taken.
    fn grow(&self, peak: usize, level: f32, taken: &mut [bool]) -> Footprint {
        let mut reached = vec![peak];
        let mut next = 0;
        let mut sum = 0.0;
        if let Some(taken) = taken.get_mut(peak) {
            *taken = true;
        }
        while let Some(&at) = reached.get(next) {
            next += 1;
            sum += f64::from(self.score(at));
            for other in self.beside(at, false) {
                if self.score(other) >= level
                    && let Some(taken) = taken.get_mut(other).filter(|taken| !**taken)
                {
                    *taken = true;
                    reached.push(other);
                }
            }
        }
        reached.sort_unstable();
        Footprint {
            score: self.score(peak),
            mean: (sum / reached.len() as f64) as f32,
            cells: reached.into_iter().map(|at| [at / self.width.max(1), at % self.width.max(1)]).collect(),
        }
    }
}
