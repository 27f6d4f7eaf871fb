//! One axis of a doubling: which source cells a doubled cell's neighbours are computed of, and by which shares.
//!
//! The method doubles the features bicubically, pads them by reflection and sums over d × d neighbours. Both rules act on
//! each axis alone, so the neighbours' weights can be carried over to the source cells instead: d weights become one for
//! each of about d/2 + 4 source cells, the doubled features are never computed, and padding is nobody's concern any more.

/// The shares along one axis, for `cells` source cells and 2 `cells` doubled ones.
#[derive(Debug, PartialEq)]
pub(super) struct Axis {
    pub cells: usize,
    /// Source cells that take part, counted from [`Self::first`].
    pub reach: usize,
    /// Doubled cells on each side of a doubled cell.
    pub radius: usize,
    /// (doubled cell, neighbour, source cell in reach)
    shares: Vec<f32>,
    /// Reach where nothing is clamped, from the source cell that two doubled cells come from.
    offset: isize,
}

impl Axis {
    pub fn new(cells: usize, radius: usize) -> Self {
        // The two doubled cells of the source cell 0 have neighbours from -radius to radius + 1.
        let offset = source(-(radius as isize)).0 - 1;
        let last = source(radius as isize + 1).0 + 2;
        let reach = ((last - offset + 1) as usize).min(cells);
        let mut axis = Self { cells, reach, radius, shares: Vec::new(), offset };
        let neighbours = 2 * radius + 1;
        axis.shares = vec![0.0; 2 * cells * neighbours * reach];
        for (cell, shares) in axis.shares.chunks_exact_mut(neighbours * reach).enumerate() {
            let first = first(cells, reach, offset, cell / 2);
            for (neighbour, shares) in shares.chunks_exact_mut(reach).enumerate() {
                let doubled = reflect(cell as isize + neighbour as isize - radius as isize, 2 * cells);
                let (near, fraction) = source(doubled as isize);
                for tap in -1..=2 {
                    let source = (near + tap).clamp(0, cells as isize - 1) as usize;
                    shares[source - first] += cubic((fraction - tap as f64).abs()) as f32;
                }
            }
        }
        axis
    }

    /// The first source cell in reach of the two doubled cells that come from `cell`.
    pub fn first(&self, cell: usize) -> usize {
        first(self.cells, self.reach, self.offset, cell)
    }

    /// (neighbour, source cell in reach) of a doubled cell.
    pub fn shares(&self, doubled: usize) -> &[f32] {
        let count = (2 * self.radius + 1) * self.reach;
        &self.shares[doubled * count..][..count]
    }

    /// Whether the two doubled cells of `cell` are far enough from both ends to have the same shares as all others so far.
    pub fn is_inner(&self, cell: usize) -> bool {
        let first = cell as isize + self.offset;
        let (left, right) = (2 * cell >= self.radius, 2 * cell + 1 + self.radius < 2 * self.cells);
        left && right && first >= 0 && first as usize + self.reach <= self.cells && self.reach < self.cells
    }
}

fn first(cells: usize, reach: usize, offset: isize, cell: usize) -> usize {
    (cell as isize + offset).clamp(0, (cells - reach) as isize) as usize
}

/// The source cell at or before the centre of a doubled cell, and how far beyond it that centre lies (0 to 1).
fn source(doubled: isize) -> (isize, f64) {
    let near = (doubled - 1).div_euclid(2);
    (near, if doubled.rem_euclid(2) == 0 { 0.75 } else { 0.25 })
}

/// A position beyond the ends mirrored back inside, the end itself not repeated, as often as it takes.
pub(super) fn reflect(position: isize, size: usize) -> usize {
    let last = size as isize - 1;
    if last == 0 {
        return 0;
    }
    let turned = position.rem_euclid(2 * last);
    (last - (turned - last).abs()) as usize
}

/// Keys' cubic convolution kernel with a = -0.75 (PyTorch's).
fn cubic(distance: f64) -> f64 {
    const A: f64 = -0.75;
    let x = distance;
    match x {
        ..=1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        ..=2.0 => ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_of_the_two_rules_one_after_the_other() {
        for (cells, radius) in [(1, 5), (2, 5), (3, 3), (9, 5), (14, 5), (28, 3), (7, 1), (20, 4)] {
            let axis = Axis::new(cells, radius);
            let values: Vec<f64> = (0..cells).map(|cell| ((cell * 37 + 11) % 17) as f64 - 3.0).collect();
            let doubled: Vec<f64> = (0..2 * cells)
                .map(|cell| {
                    let centre = (cell as f64 + 0.5) / 2.0 - 0.5;
                    let at = |tap: i64| values[(centre.floor() as i64 + tap).clamp(0, cells as i64 - 1) as usize];
                    (-1..=2).map(|tap| cubic((centre - centre.floor() - tap as f64).abs()) * at(tap)).sum()
                })
                .collect();
            for cell in 0..2 * cells {
                let first = axis.first(cell / 2);
                for (neighbour, shares) in axis.shares(cell).chunks_exact(axis.reach).enumerate() {
                    let want = doubled[reflect(cell as isize + neighbour as isize - radius as isize, 2 * cells)];
                    let got: f64 =
                        shares.iter().zip(&values[first..]).map(|(&share, value)| f64::from(share) * value).sum();
                    assert!((got - want).abs() < 1e-5, "{cells} cells, radius {radius}, cell {cell}: {got} {want}");
                }
            }
        }
    }

    #[test]
    fn inner_cells_look_alike() {
        let axis = Axis::new(14, 5);
        assert_eq!(axis.reach, 9);
        let inner: Vec<usize> = (0..14).filter(|&cell| axis.is_inner(cell)).collect();
        assert_eq!(inner, (4..10).collect::<Vec<_>>());
        for &cell in &inner {
            assert_eq!(axis.first(cell), cell - 4);
            for side in 0..2 {
                assert_eq!(axis.shares(2 * cell + side), axis.shares(2 * inner[0] + side));
            }
        }
        assert!((0..9).all(|cell| !Axis::new(9, 5).is_inner(cell) || cell == 4));
        assert_eq!(Axis::new(14, 3).reach, 7);
    }

    #[test]
    fn reflection_turns_at_both_ends() {
        let turned: Vec<usize> = (-4..8).map(|position| reflect(position, 3)).collect();
        assert_eq!(turned, [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]);
        assert_eq!(reflect(-7, 1), 0);
    }
}
