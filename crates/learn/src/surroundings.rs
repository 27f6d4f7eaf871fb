//! Pixels around examples, whose classes are not known: what the words say of them tells how common the classes are.

use std::collections::{BTreeSet, HashSet};

use crate::geom::{Grid, Window};

/// Pixels of a lattice along the side of a window.
const PER_SIDE: usize = 8;
/// Most pixels of all scenes; more say nothing new.
pub const MOST_SURROUNDINGS: usize = 1024;

/// Pixels (column, row) of an even lattice that no window reaches but those that reach `pixels`: their features cost nothing
/// beyond those of `pixels`. Row by row, at most about [`MOST_SURROUNDINGS`], evenly.
pub fn surroundings(grid: &Grid, pixels: &[[usize; 2]]) -> Vec<[usize; 2]> {
    let reaching = |[col, row]: [usize; 2]| grid.reaching(Window { col, row, width: 1, height: 1 });
    let start = |window: Window| (window.col, window.row);
    let computed: HashSet<(usize, usize)> = pixels.iter().flat_map(|&pixel| reaching(pixel)).map(start).collect();
    let size = grid.window();
    let lattice = |from: usize, side: usize| {
        let step = (side / PER_SIDE).max(1);
        (from..from + side).filter(move |at| at % step == step / 2)
    };
    let mut found = BTreeSet::new();
    for &(col, row) in &computed {
        for row in lattice(row, size.height) {
            let free = lattice(col, size.width)
                .filter(|&col| reaching([col, row]).all(|window| computed.contains(&start(window))));
            found.extend(free.map(|col| (row, col)));
        }
    }
    // Not by whole steps, which would take the same columns of every row.
    let (count, mut passed) = (found.len().max(1), 0);
    let kept = found.len().min(MOST_SURROUNDINGS);
    found
        .into_iter()
        .filter(|_| {
            passed += kept;
            passed % count < kept
        })
        .map(|(row, col)| [col, row])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geom::Size;

    #[test]
    fn surroundings_need_no_further_window() {
        let grid = Grid::new(Size::new(100, 80), 32, 16);
        // Four windows reach the pixel, and no other one reaches the columns 48 to 63 of the rows 32 to 47.
        let found = surroundings(&grid, &[[50, 36]]);
        let expected: Vec<[usize; 2]> =
            [34, 38, 42, 46].into_iter().flat_map(|row| [50, 54, 58, 62].map(|col| [col, row])).collect();
        assert_eq!(found, expected);
        assert!(surroundings(&grid, &[]).is_empty());
    }

    #[test]
    fn surroundings_of_many_pixels_are_thinned_evenly() {
        let grid = Grid::new(Size::new(800, 400), 32, 16);
        let pixels: Vec<[usize; 2]> =
            (0..800).step_by(16).flat_map(|col| (0..400).step_by(16).map(move |row| [col, row])).collect();
        let found = surroundings(&grid, &pixels);
        assert!((MOST_SURROUNDINGS / 2..=MOST_SURROUNDINGS).contains(&found.len()), "{}", found.len());
        assert!(found.iter().any(|[_, row]| *row > 380) && found.iter().any(|[col, _]| *col > 780));
    }
}
