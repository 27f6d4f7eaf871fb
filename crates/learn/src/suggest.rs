//! Places whose labels would help most: where two classes are nearly equal, spread over the scenes.
//!
//! Candidates arrive one by one, from any number of scenes and in any order; memory depends on the number of places that are
//! wanted. The scenes are covered with square cells, and a cell keeps its best candidates. Of the best of these, places are
//! taken in the order of their margins wherever no other one is near. What is near shrinks until there are enough places.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::geom::Size;

/// Cells over all scenes, for each place that is wanted.
const CELLS_PER_PLACE: usize = 64;
/// Candidates that a cell keeps, each between another two classes.
const KEPT_PER_CELL: usize = 3;
/// Candidates with the smallest margins among which places are chosen, for each place that is wanted.
const CHOICE: usize = 8;
/// Margins up to this many times the one that would do without regard to distance, and so much more, are among the choice.
const TIMES: f32 = 2.0;
const MORE: f32 = 0.05;
/// Factor on the smallest distance between places where there are too few.
const SHRINK: f64 = 0.7;
/// Distances below this, in pixels, are not distinguished.
const NEAREST: f64 = 1.0;
/// Part of an even spread's distance to which it shrinks before a pair of classes may have more than its limit.
const LIMITED: f64 = 0.1;

/// A place that might be labelled next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Index of its scene.
    pub scene: usize,
    /// Of a pixel.
    pub col: usize,
    pub row: usize,
    /// Probability of the best class minus that of the second, 0..=1.
    pub margin: f32,
    /// Index of the best class, and of the second.
    pub first: usize,
    pub second: usize,
}

impl Candidate {
    /// By margin; places of the same margin from top to bottom.
    fn compare(&self, other: &Self) -> Ordering {
        let position = |place: &Self| (place.scene, place.row, place.col);
        self.margin.total_cmp(&other.margin).then_with(|| position(self).cmp(&position(other)))
    }

    /// Its two classes, whichever is the better one.
    fn pair(&self) -> [usize; 2] {
        [self.first.min(self.second), self.first.max(self.second)]
    }

    /// In pixels; infinite between scenes.
    fn distance(&self, other: &Self) -> f64 {
        if self.scene != other.scene {
            return f64::INFINITY;
        }
        (self.col as f64 - other.col as f64).hypot(self.row as f64 - other.row as f64)
    }
}

/// Collects candidates and chooses among them.
pub struct Suggestions {
    wanted: usize,
    /// Pixels on each side of a cell.
    side: usize,
    /// Distance of places that would be spread evenly, in pixels.
    distance: f64,
    /// By scene, row and column of the cell.
    cells: BTreeMap<[usize; 3], Vec<Candidate>>,
}

impl Suggestions {
    /// For at most `wanted` places in scenes of these sizes.
    pub fn new(wanted: usize, scenes: &[Size]) -> Self {
        let pixels: f64 = scenes.iter().map(|size| size.width as f64 * size.height as f64).sum();
        let side = |cells: f64| (pixels / cells.max(1.0)).sqrt();
        let cells = wanted.saturating_mul(CELLS_PER_PLACE) as f64;
        Self {
            wanted,
            side: (side(cells).ceil() as usize).max(1),
            distance: side(wanted as f64),
            cells: BTreeMap::new(),
        }
    }

    /// Takes a candidate into account; one whose margin is no number is left out.
    pub fn add(&mut self, place: Candidate) {
        if place.margin.is_nan() || self.wanted == 0 {
            return;
        }
        let kept = self.cells.entry([place.scene, place.row / self.side, place.col / self.side]).or_default();
        match kept.iter_mut().find(|other| other.pair() == place.pair()) {
            Some(other) if place.compare(other).is_lt() => *other = place,
            Some(_) => return,
            None => kept.push(place),
        }
        // What is dropped does not depend on the order of arrival: the best candidate of each pair comes in when it arrives.
        kept.sort_unstable_by(Candidate::compare);
        kept.truncate(KEPT_PER_CELL);
    }

    /// The places, the smallest margin first; fewer than wanted where there were fewer candidates.
    ///
    /// No pair of classes has more than one and a half of an equal share, unless the places of others would lie close together.
    pub fn finish(self) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = self.cells.into_values().flatten().collect();
        candidates.sort_unstable_by(Candidate::compare);
        candidates.truncate(self.wanted.saturating_mul(CHOICE));
        if let Some(enough) = candidates.get(self.wanted.saturating_sub(1)) {
            let most = TIMES * enough.margin + MORE;
            candidates.retain(|place| place.margin <= most);
        }
        let mut pairs: BTreeMap<[usize; 2], usize> = BTreeMap::new();
        candidates.iter().for_each(|place| *pairs.entry(place.pair()).or_default() += 1);
        let limit = (3 * self.wanted).div_ceil(2 * pairs.len().max(1));
        let mut taken: Vec<Candidate> = Vec::new();
        let mut of_pair: BTreeMap<[usize; 2], usize> = BTreeMap::new();
        for (limit, nearest) in [(limit, NEAREST.max(LIMITED * self.distance)), (usize::MAX, NEAREST)] {
            let mut distance = self.distance;
            while taken.len() < self.wanted && !candidates.is_empty() {
                candidates.retain(|place| {
                    let count = of_pair.entry(place.pair()).or_default();
                    let far = || taken.iter().all(|other| place.distance(other) >= distance);
                    let chosen = taken.len() < self.wanted && *count < limit && far();
                    if chosen {
                        *count += 1;
                        taken.push(*place);
                    }
                    !chosen
                });
                if distance <= nearest {
                    break;
                }
                distance *= SHRINK;
            }
        }
        taken.sort_unstable_by(Candidate::compare);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { width: 1000, height: 1000 };

    fn place(col: usize, row: usize, margin: f32, pair: [usize; 2]) -> Candidate {
        Candidate { scene: 0, col, row, margin, first: pair[0], second: pair[1] }
    }

    fn chosen(wanted: usize, sizes: &[Size], places: &[Candidate]) -> Vec<Candidate> {
        let mut suggestions = Suggestions::new(wanted, sizes);
        places.iter().for_each(|place| suggestions.add(*place));
        suggestions.finish()
    }

    /// Every third pixel of a scene with a doubtful stripe at its left and a small one at its lower right.
    fn stripes() -> Vec<Candidate> {
        let pixels = (0..1000).step_by(3).flat_map(|row| (0..1000).step_by(3).map(move |col| (col, row)));
        let margin = |col: usize, row: usize| match (col, row) {
            (300..330, _) => 0.01 + row as f32 * 1e-5,
            (900.., 900..) => 0.02,
            _ => 0.9,
        };
        pixels.map(|(col, row)| place(col, row, margin(col, row), [usize::from(col >= 900), 2])).collect()
    }

    #[test]
    fn places_are_doubtful_and_spread() {
        let found = chosen(12, &[SIZE], &stripes());
        assert_eq!(found.len(), 12);
        assert!(found.iter().all(|place| place.margin < 0.1), "{found:?}");
        let stripe: Vec<usize> =
            found.iter().filter(|place| (300..330).contains(&place.col)).map(|place| place.row).collect();
        let corner = found.len() - stripe.len();
        assert!(corner >= 2 && stripe.len() >= 6, "{found:?}");
        // The stripe is covered from top to bottom.
        let mut rows = stripe;
        rows.sort_unstable();
        assert!(rows[0] < 250 && rows[rows.len() - 1] > 750, "{rows:?}");
        assert!(rows.windows(2).all(|pair| (40..400).contains(&(pair[1] - pair[0]))), "{rows:?}");
        assert!(found.is_sorted_by(|a, b| a.margin <= b.margin));
    }

    #[test]
    fn order_of_arrival_does_not_matter() {
        let mut places = stripes();
        let expected = chosen(12, &[SIZE], &places);
        places.reverse();
        assert_eq!(chosen(12, &[SIZE], &places), expected);
        places.sort_by_key(|place| (place.col * 7919 + place.row * 104_729) % 65_537);
        assert_eq!(chosen(12, &[SIZE], &places), expected);
    }

    #[test]
    fn one_pair_of_classes_does_not_take_all() {
        // Nine places in ten are between the first two classes, whichever is better, and all of them are more doubtful.
        let places: Vec<Candidate> = (0..1000usize)
            .map(|index| {
                let (col, row) = (index % 32 * 31, index / 32 * 31);
                match index % 10 {
                    0 => place(col, row, 0.02, [3, 2]),
                    odd => place(col, row, 0.01, [odd % 2, 1 - odd % 2]),
                }
            })
            .collect();
        let rare = |places: &[Candidate]| places.iter().filter(|place| place.pair() == [2, 3]).count();
        let found = chosen(30, &[SIZE], &places[..200]);
        assert_eq!((found.len(), rare(&found)), (30, 7));
        // Where all others are in one spot, they do not come before good ones elsewhere.
        let spot: Vec<Candidate> = (0..100).map(|index| place(index % 10, index / 10, 0.02, [2, 3])).collect();
        let common: Vec<Candidate> = places.iter().copied().filter(|place| place.pair() == [0, 1]).take(140).collect();
        let found = chosen(30, &[SIZE], &[spot, common].concat());
        assert!(found.len() == 30 && rare(&found) <= 2, "{found:?}");
    }

    #[test]
    fn fewer_candidates_than_wanted_are_all_taken() {
        let near = [place(5, 5, 0.5, [0, 1]), place(6, 5, 0.4, [0, 2]), place(5, 6, f32::NAN, [0, 1])];
        let found = chosen(10, &[Size::new(8, 8)], &near);
        assert_eq!(found.iter().map(|place| place.margin).collect::<Vec<_>>(), [0.4, 0.5]);
        assert!(chosen(0, &[SIZE], &near).is_empty() && chosen(3, &[], &[]).is_empty());
    }

    #[test]
    fn scenes_share_the_places() {
        let places: Vec<Candidate> = (0..2)
            .flat_map(|scene| {
                (0..10_000).step_by(7).map(move |index| Candidate {
                    scene,
                    ..place(index % 100 * 10, index / 100 * 10, 0.1 + (index % 13) as f32 * 1e-3, [0, 1])
                })
            })
            .collect();
        let found = chosen(20, &[SIZE, SIZE], &places);
        let second = found.iter().filter(|place| place.scene == 1).count();
        assert!(found.len() == 20 && (5..=15).contains(&second), "{second}: {found:?}");
    }

    #[test]
    fn memory_is_bounded() {
        let mut suggestions = Suggestions::new(10, &[Size::new(100_000, 100_000)]);
        for index in 0..200_000usize {
            let (col, row) = (index * 7_919 % 100_000, index * 104_729 % 100_000);
            suggestions.add(place(col, row, (index % 1000) as f32 / 1000.0, [index % 5, 5 + index % 3]));
        }
        let kept: usize = suggestions.cells.values().map(Vec::len).sum();
        // Cells at the border are cut off.
        assert!(kept <= (10 * CELLS_PER_PLACE + 60) * KEPT_PER_CELL, "{kept}");
        assert_eq!(suggestions.finish().len(), 10);
    }
}
