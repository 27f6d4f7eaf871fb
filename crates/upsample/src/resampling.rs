//! Bicubic doubling and reflection padding along one axis, as coefficients of source cells.
//!
//! The method doubles the features bicubically, pads them by reflection and sums over d × d neighbours. Doubling and padding are
//! linear and separable, so their coefficients can be multiplied into the neighbours' weights instead (*folding*): d weights become
//! one for each of about d/2 + 4 source cells, and neither doubled nor padded features are ever computed.

/// The coefficients along one axis, for `cells` source cells and 2 `cells` doubled ones.
#[derive(Debug, PartialEq)]
pub(super) struct ResamplingAxis {
    pub cells: usize,
    /// Source cells with coefficients, counted from [`Self::first`].
    pub support: usize,
    /// Neighbours on each side of a doubled cell.
    pub radius: usize,
    /// (doubled cell, neighbour, source cell in the support)
    coefficients: Vec<f32>,
    /// First cell of an unclamped support, relative to the source cell that is doubled.
    offset: isize,
}

impl ResamplingAxis {
    pub fn new(cells: usize, radius: usize) -> Self {
        // The two doubled cells of the source cell 0 have neighbours from -radius to radius + 1.
        let offset = source(-(radius as isize)).0 - 1;
        let last = source(radius as isize + 1).0 + 2;
        let support = ((last - offset + 1) as usize).min(cells);
        let mut axis = Self { cells, support, radius, coefficients: Vec::new(), offset };
        let neighbours = 2 * radius + 1;
        axis.coefficients = vec![0.0; 2 * cells * neighbours * support];
        for (cell, coefficients) in axis.coefficients.chunks_exact_mut(neighbours * support).enumerate() {
            let first = first(cells, support, offset, cell / 2);
            for (neighbour, coefficients) in coefficients.chunks_exact_mut(support).enumerate() {
                let doubled = reflect(cell as isize + neighbour as isize - radius as isize, 2 * cells);
                let (floor, fraction) = source(doubled as isize);
                for tap in -1..=2 {
                    let source = (floor + tap).clamp(0, cells as isize - 1) as usize;
                    coefficients[source - first] += cubic((fraction - tap as f64).abs()) as f32;
                }
            }
        }
        axis
    }

    /// Returns the first source cell in the support of the two doubled cells of `cell`.
    pub fn first(&self, cell: usize) -> usize {
        first(self.cells, self.support, self.offset, cell)
    }

    /// Returns the coefficients of a doubled cell, (neighbour, source cell in the support).
    pub fn coefficients(&self, doubled: usize) -> &[f32] {
        let count = (2 * self.radius + 1) * self.support;
        &self.coefficients[doubled * count..][..count]
    }

    /// Returns whether the coefficients of the two doubled cells of `cell` are those of every cell far from both ends.
    pub fn is_inner(&self, cell: usize) -> bool {
        let first = cell as isize + self.offset;
        let (left, right) = (2 * cell >= self.radius, 2 * cell + 1 + self.radius < 2 * self.cells);
        left && right && first >= 0 && first as usize + self.support <= self.cells && self.support < self.cells
    }
}

fn first(cells: usize, support: usize, offset: isize, cell: usize) -> usize {
    (cell as isize + offset).clamp(0, (cells - support) as isize) as usize
}

/// Returns the source cell at or before the centre of a doubled cell, and the distance of that centre from it (0 to 1).
fn source(doubled: isize) -> (isize, f64) {
    let floor = (doubled - 1).div_euclid(2);
    (floor, if doubled.rem_euclid(2) == 0 { 0.75 } else { 0.25 })
}

/// Returns a position beyond the ends reflected into `0..size`, as PyTorch's `reflect` padding does: the end is not repeated.
pub(super) fn reflect(position: isize, size: usize) -> usize {
    let last = size as isize - 1;
    if last == 0 {
        return 0;
    }
    let phase = position.rem_euclid(2 * last);
    (last - (phase - last).abs()) as usize
}

/// Returns the cubic convolution kernel of Keys (1981) with a = -0.75, as in PyTorch.
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
    fn coefficients_equal_doubling_then_padding() {
        for (cells, radius) in [(1, 5), (2, 5), (3, 3), (9, 5), (14, 5), (28, 3), (7, 1), (20, 4)] {
            let axis = ResamplingAxis::new(cells, radius);
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
                for (neighbour, coefficients) in axis.coefficients(cell).chunks_exact(axis.support).enumerate() {
                    let want = doubled[reflect(cell as isize + neighbour as isize - radius as isize, 2 * cells)];
                    let got: f64 =
                        coefficients.iter().zip(&values[first..]).map(|(&share, value)| f64::from(share) * value).sum();
                    assert!((got - want).abs() < 1e-5, "{cells} cells, radius {radius}, cell {cell}: {got} {want}");
                }
            }
        }
    }

    #[test]
    fn inner_cells_have_the_same_coefficients() {
        let axis = ResamplingAxis::new(14, 5);
        assert_eq!(axis.support, 9);
        let inner: Vec<usize> = (0..14).filter(|&cell| axis.is_inner(cell)).collect();
        assert_eq!(inner, (4..10).collect::<Vec<_>>());
        for &cell in &inner {
            assert_eq!(axis.first(cell), cell - 4);
            for side in 0..2 {
                assert_eq!(axis.coefficients(2 * cell + side), axis.coefficients(2 * inner[0] + side));
            }
        }
        assert!((0..9).all(|cell| !ResamplingAxis::new(9, 5).is_inner(cell) || cell == 4));
        assert_eq!(ResamplingAxis::new(14, 3).support, 7);
    }

    #[test]
    fn reflect_mirrors_at_both_ends() {
        let reflected: Vec<usize> = (-4..8).map(|position| reflect(position, 3)).collect();
        assert_eq!(reflected, [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]);
        assert_eq!(reflect(-7, 1), 0);
    }
}
