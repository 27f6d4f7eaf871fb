//! The metric of a map projection on the ground, on a lattice of points. PROJ's factors (`proj_factors`) give the same
//! for one point, but the gdal crate (0.19) does not reach them.

use super::WorldPoint;

/// Largest relative error of values between the points of the lattice; areas and lengths are exact to about twice of it.
const TOLERANCE: f64 = 5e-6;
/// Most cells along a side, and points in all: where this is not exact enough, the scene lies at the limit of its
/// projection.
const MAX_CELLS: usize = 1024;
const MAX_POINTS: usize = 1 << 17;
/// Edges up to this share of a cell are integrated by the midpoint rule, others by Simpson's rule.
const SHORT: f64 = 1.0 / 64.0;

/// Rings up to this share of a cell have the area that the scale at their centroid gives.
const SMALL: f64 = 0.25;

/// The metric at a position: `ds² = xx·dx² + 2·xy·dx·dy + yy·dy²` metres squared for a step of (dx, dy) units of the
/// CRS (the first fundamental form of the surface).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    pub xx: f64,
    pub xy: f64,
    pub yy: f64,
}

impl Metric {
    /// The same in all directions: `metres` a unit.
    pub fn uniform(metres: f64) -> Self {
        Self { xx: metres * metres, xy: 0.0, yy: metres * metres }
    }

    /// From the steps in metres that a unit of x and a unit of y make.
    pub fn of_steps(x: [f64; 3], y: [f64; 3]) -> Self {
        let dot = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        Self { xx: dot(x, x), xy: dot(x, y), yy: dot(y, y) }
    }

    /// Metres of a step.
    pub fn length(&self, dx: f64, dy: f64) -> f64 {
        (self.xx * dx * dx + 2.0 * self.xy * dx * dy + self.yy * dy * dy).max(0.0).sqrt()
    }

    /// Square metres of a square unit.
    pub fn area(&self) -> f64 {
        (self.xx * self.yy - self.xy * self.xy).max(0.0).sqrt()
    }

    /// A step as metres across and along the CRS' own y direction.
    pub fn across_and_along(&self, dx: f64, dy: f64) -> (f64, f64) {
        let up = self.yy.sqrt();
        (self.area() * dx / up, (self.xy * dx + self.yy * dy) / up)
    }

    fn mixed(&self, other: &Self, share: f64) -> Self {
        let mix = |a: f64, b: f64| a + share * (b - a);
        Self { xx: mix(self.xx, other.xx), xy: mix(self.xy, other.xy), yy: mix(self.yy, other.yy) }
    }

    /// The largest difference of a component, of this one's size.
    fn difference(&self, other: &Self) -> f64 {
        let mean = (self.xx * self.yy).sqrt();
        let parts = [(self.xx - other.xx) / self.xx, (self.xy - other.xy) / mean, (self.yy - other.yy) / self.yy];
        parts.into_iter().fold(0.0, |most, part| part.abs().max(most))
    }

    fn is_sound(&self) -> bool {
        self.area().is_finite() && self.area() > 0.0
    }
}

/// Metrics on a lattice over a parallelogram, linear between its points and constant beyond it.
#[derive(Clone, Debug, PartialEq)]
pub struct Lattice {
    /// `u = c[0] + c[1]·x + c[2]·y` and `v = c[3] + c[4]·x + c[5]·y`, in cells.
    to_cells: [f64; 6],
    cols: usize,
    rows: usize,
    /// Row by row, `(cols + 1) × (rows + 1)`, as are the others.
    metrics: Vec<Metric>,
    /// Square metres of a cell with this point's metric everywhere.
    cells: Vec<f64>,
    /// The integral of `cells` over v, from v = 0 to this point.
    below: Vec<f64>,
    /// How far a metric may be used along x and y, in units of the CRS.
    carry: [f64; 2],
}

impl Lattice {
    /// Over the parallelogram `origin + s·across + t·down` with s and t in 0..=1. `measure` gives the metrics at
    /// positions; `None` where the projection is not defined.
    ///
    /// `None` where no position has a metric, or the parallelogram has no area.
    pub fn new(
        origin: WorldPoint,
        across: [f64; 2],
        down: [f64; 2],
        mut measure: impl FnMut(&[WorldPoint]) -> Vec<Option<Metric>>,
    ) -> Option<Self> {
        let determinant = across[0] * down[1] - across[1] * down[0];
        if !determinant.is_normal() {
            return None;
        }
        let at = |s: f64, t: f64| WorldPoint {
            x: origin.x + s * across[0] + t * down[0],
            y: origin.y + s * across[1] + t * down[1],
        };
        let (mut cols, mut rows) = (2usize, 2usize);
        loop {
            let points = |offset: [f64; 2], cols: usize, rows: usize, of: [usize; 2]| -> Vec<WorldPoint> {
                let place = |col: usize, row: usize| {
                    at((col as f64 + offset[0]) / of[0] as f64, (row as f64 + offset[1]) / of[1] as f64)
                };
                (0..rows).flat_map(|row| (0..cols).map(move |col| place(col, row))).collect()
            };
            let all = [cols, rows];
            let found = measure(&points([0.0; 2], cols + 1, rows + 1, all));
            let between_cols = measure(&points([0.5, 0.0], cols, rows + 1, all));
            let between_rows = measure(&points([0.0, 0.5], cols + 1, rows, all));
            let point = |col: usize, row: usize| found.get(row * (cols + 1) + col).copied().flatten();
            let error = |exact: Option<Metric>, a: Option<Metric>, b: Option<Metric>| match (exact, a, b) {
                (Some(exact), Some(a), Some(b)) => exact.difference(&a.mixed(&b, 0.5)),
                _ => 0.0,
            };
            let (mut of_cols, mut of_rows) = (0f64, 0f64);
            for (index, &exact) in between_cols.iter().enumerate() {
                let (col, row) = (index % cols, index / cols);
                of_cols = of_cols.max(error(exact, point(col, row), point(col + 1, row)));
            }
            for (index, &exact) in between_rows.iter().enumerate() {
                let (col, row) = (index % (cols + 1), index / (cols + 1));
                of_rows = of_rows.max(error(exact, point(col, row), point(col, row + 1)));
            }
            // A projection that is undefined at some points may be defined between them.
            let patchy = found.iter().any(Option::is_none);
            let more = |cells: usize, error: f64, times: usize| match error {
                error if error > TOLERANCE => (cells * times).min(MAX_CELLS),
                _ if patchy => cells.max(32),
                _ => cells,
            };
            // Twice as many cells have a quarter of the error.
            let times = |error: f64| ((error / TOLERANCE).sqrt().ceil() as usize).next_power_of_two().clamp(2, 8);
            let fits = |(cols, rows): &(usize, usize)| (cols + 1) * (rows + 1) <= MAX_POINTS;
            let wanted = [(times(of_cols), times(of_rows)), (2, 2)]
                .map(|(right, down)| (more(cols, of_cols, right), more(rows, of_rows, down)));
            let next = wanted.into_iter().find(fits).unwrap_or((cols, rows));
            if next == (cols, rows) {
                let metrics = filled(found, cols + 1)?;
                return Some(Self::of(origin, across, down, cols, rows, metrics));
            }
            (cols, rows) = next;
        }
    }

    fn of(
        origin: WorldPoint,
        across: [f64; 2],
        down: [f64; 2],
        cols: usize,
        rows: usize,
        metrics: Vec<Metric>,
    ) -> Self {
        let determinant = across[0] * down[1] - across[1] * down[0];
        let (of_u, of_v) = (cols as f64 / determinant, rows as f64 / determinant);
        let (ux, uy) = (down[1] * of_u, -down[0] * of_u);
        let (vx, vy) = (-across[1] * of_v, across[0] * of_v);
        let to_cells = [-(origin.x * ux + origin.y * uy), ux, uy, -(origin.x * vx + origin.y * vy), vx, vy];
        let units = determinant.abs() / (cols * rows) as f64;
        let cells: Vec<f64> = metrics.iter().map(|metric| metric.area() * units).collect();
        let mut below = vec![0.0; cells.len()];
        let mut variation = 0f64;
        for (index, metric) in metrics.iter().enumerate() {
            if let (Some(before), true) = (index.checked_sub(1).and_then(|at| metrics.get(at)), index % (cols + 1) > 0)
            {
                variation = variation.max(metric.difference(before));
            }
            let Some(above) = index.checked_sub(cols + 1) else { continue };
            if let Some(before) = metrics.get(above) {
                variation = variation.max(metric.difference(before));
            }
            if let [Some(&here), Some(&there), Some(&sum)] = [cells.get(index), cells.get(above), below.get(above)]
                && let Some(slot) = below.get_mut(index)
            {
                *slot = sum + (here + there) / 2.0;
            }
        }
        // In cells: of a length, half of what its square has.
        let reach = (TOLERANCE / variation.max(TOLERANCE)).min(1.0);
        let carry = [ux.abs().max(vx.abs()), uy.abs().max(vy.abs())].map(|cells| reach / (2.0 * cells));
        Self { to_cells, cols, rows, metrics, cells, below, carry }
    }

    fn cell_position(&self, at: WorldPoint) -> (f64, f64) {
        let c = &self.to_cells;
        (c[0] + c[1] * at.x + c[2] * at.y, c[3] + c[4] * at.x + c[5] * at.y)
    }

    /// The four points around a position, the upper left one's index first, and the shares of right and lower ones.
    fn around(&self, u: f64, v: f64) -> ([usize; 4], f64, f64) {
        let (col, row) = ((u as usize).min(self.cols - 1), (v as usize).min(self.rows - 1));
        let first = row * (self.cols + 1) + col;
        ([first, first + 1, first + self.cols + 1, first + self.cols + 2], u - col as f64, v - row as f64)
    }

    fn within(&self, u: f64, v: f64) -> (f64, f64) {
        // For NaN any cell is as good.
        (u.max(0.0).min(self.cols as f64), v.max(0.0).min(self.rows as f64))
    }

    fn metric_at(&self, u: f64, v: f64) -> Metric {
        let (u, v) = self.within(u, v);
        let (corners, right, down) = self.around(u, v);
        let [a, b, c, d] = corners.map(|index| self.metrics.get(index).copied().unwrap_or(Metric::uniform(1.0)));
        a.mixed(&b, right).mixed(&c.mixed(&d, right), down)
    }

    pub fn metric(&self, at: WorldPoint) -> Metric {
        let (u, v) = self.cell_position(at);
        self.metric_at(u, v)
    }

    /// Square metres of a square unit at a position: the integrand of `area`.
    pub fn density(&self, at: WorldPoint) -> f64 {
        let (u, v) = self.cell_position(at);
        let (u, v) = self.within(u, v);
        let (corners, right, down) = self.around(u, v);
        let [a, b, c, d] = corners.map(|index| self.cells.get(index).copied().unwrap_or(0.0));
        let (above, under) = (a + right * (b - a), c + right * (d - c));
        (above + down * (under - above))
            * (self.to_cells[1] * self.to_cells[5] - self.to_cells[2] * self.to_cells[4]).abs()
    }

    /// The integral of square metres over v from 0 to a position.
    fn integral(&self, u: f64, v: f64) -> f64 {
        let (inner_u, inner_v) = self.within(u, v);
        let (corners, right, down) = self.around(inner_u, inner_v);
        let value = |of: &[f64], at: usize| of.get(at).copied().unwrap_or(0.0);
        let [a, b, c, d] = corners.map(|index| value(&self.cells, index));
        let column = |sum: f64, top: f64, bottom: f64| sum + down * (top + down / 2.0 * (bottom - top));
        let left_column = column(value(&self.below, corners[0]), a, c);
        let right_column = column(value(&self.below, corners[1]), b, d);
        let inside = left_column + right * (right_column - left_column);
        if inner_v == v {
            return inside;
        }
        let (left_end, right_end) = (a + down * (c - a), b + down * (d - b));
        inside + (v - inner_v) * (left_end + right * (right_end - left_end))
    }

    /// Signed area inside a ring, positive when it runs counter-clockwise in x, y (Green's theorem).
    pub fn area(&self, ring: &[WorldPoint]) -> f64 {
        if let Some(area) = self.small_area(ring) {
            return area;
        }
        let (Some(&last), Some(&origin)) = (ring.last(), ring.first()) else { return 0.0 };
        let (mut u, mut v) = self.cell_position(last);
        // Relative to the ring's own start: the rest would cancel out and cost precision.
        let start = self.cell_position(origin);
        let base = self.integral(start.0, start.1);
        let mut sum = 0.0;
        for &here in ring {
            let (next_u, next_v) = self.cell_position(here);
            let (du, dv) = (next_u - u, next_v - v);
            if du != 0.0 {
                let longest = du.abs().max(dv.abs());
                let mean = if longest < SHORT {
                    self.integral(u + du / 2.0, v + dv / 2.0)
                } else {
                    self.mean_integral([u, v], [du, dv], longest)
                };
                sum -= du * (mean - base);
            }
            (u, v) = (next_u, next_v);
        }
        let turned = self.to_cells[1] * self.to_cells[5] - self.to_cells[2] * self.to_cells[4] < 0.0;
        if turned { -sum } else { sum }
    }

    /// The area of a ring over which the scale changes linearly, by the scale at its centroid.
    fn small_area(&self, ring: &[WorldPoint]) -> Option<f64> {
        let (&last, &origin) = (ring.last()?, ring.first()?);
        let (mut twice, mut moment_x, mut moment_y) = (0.0, 0.0, 0.0);
        let (mut left, mut right, mut low, mut high) = (0f64, 0f64, 0f64, 0f64);
        let (mut x, mut y) = (last.x - origin.x, last.y - origin.y);
        for here in ring {
            let (next_x, next_y) = (here.x - origin.x, here.y - origin.y);
            let cross = x * next_y - next_x * y;
            twice += cross;
            moment_x += (x + next_x) * cross;
            moment_y += (y + next_y) * cross;
            (left, right) = (left.min(next_x), right.max(next_x));
            (low, high) = (low.min(next_y), high.max(next_y));
            (x, y) = (next_x, next_y);
        }
        let [_, ux, uy, _, vx, vy] = self.to_cells;
        let (width, height) = (right - left, high - low);
        let cells = (ux.abs() * width + uy.abs() * height).max(vx.abs() * width + vy.abs() * height);
        if cells > SMALL || twice == 0.0 {
            return None;
        }
        let centroid = WorldPoint { x: origin.x + moment_x / (3.0 * twice), y: origin.y + moment_y / (3.0 * twice) };
        Some(twice / 2.0 * self.density(centroid))
    }

    /// The mean of `integral` along an edge.
    fn mean_integral(&self, from: [f64; 2], step: [f64; 2], longest: f64) -> f64 {
        let pieces = pieces(longest);
        let at = |t: f64| self.integral(from[0] + t * step[0], from[1] + t * step[1]);
        let width = 1.0 / pieces as f64;
        let simpson = |piece: usize| {
            let start = piece as f64 * width;
            at(start) + 4.0 * at(start + width / 2.0) + at(start + width)
        };
        (0..pieces).map(simpson).sum::<f64>() / (6 * pieces) as f64
    }

    /// Metres along a line.
    pub fn length(&self, mut line: impl Iterator<Item = WorldPoint>) -> f64 {
        let Some(mut before) = line.next() else { return 0.0 };
        let (mut around, mut metric) = (before, self.metric(before));
        let carried = |around: WorldPoint, point: WorldPoint| {
            (point.x - around.x).abs() <= self.carry[0] && (point.y - around.y).abs() <= self.carry[1]
        };
        let mut sum = 0.0;
        for here in line {
            if !carried(around, here) || !carried(around, before) {
                around = WorldPoint { x: (before.x + here.x) / 2.0, y: (before.y + here.y) / 2.0 };
                if !carried(around, here) {
                    sum += self.long_edge(before, here);
                    (before, around) = (here, here);
                    metric = self.metric(here);
                    continue;
                }
                metric = self.metric(around);
            }
            sum += metric.length(here.x - before.x, here.y - before.y);
            before = here;
        }
        sum
    }

    /// Metres along an edge over which the metric changes.
    fn long_edge(&self, from: WorldPoint, to: WorldPoint) -> f64 {
        let pieces = pieces(self.cells_between(from, to));
        let (dx, dy) = ((to.x - from.x) / pieces as f64, (to.y - from.y) / pieces as f64);
        let middle = |piece: usize| {
            let t = piece as f64 + 0.5;
            self.metric(WorldPoint { x: from.x + t * dx, y: from.y + t * dy })
        };
        (0..pieces).map(|piece| middle(piece).length(dx, dy)).sum()
    }

    /// Most cells that a line crosses.
    pub fn cells_between(&self, from: WorldPoint, to: WorldPoint) -> f64 {
        let ((a, b), (c, d)) = (self.cell_position(from), self.cell_position(to));
        (a - c).abs().max((b - d).abs())
    }
}

/// Number of pieces of an edge that crosses so many cells; limited far from the lattice.
fn pieces(cells: f64) -> usize {
    cells.ceil().clamp(1.0, 4.0 * MAX_CELLS as f64) as usize
}

/// Gives points without a metric that of the nearest point with one, along rows and columns.
fn filled(found: Vec<Option<Metric>>, width: usize) -> Option<Vec<Metric>> {
    let mut found: Vec<Option<Metric>> = found.into_iter().map(|one| one.filter(Metric::is_sound)).collect();
    while found.iter().any(Option::is_none) {
        let before = found.clone();
        let neighbour = |index: usize, step: isize| before.get(index.checked_add_signed(step)?).copied().flatten();
        let mut any = false;
        for (index, slot) in found.iter_mut().enumerate().filter(|(_, slot)| slot.is_none()) {
            let left = (index % width > 0).then(|| neighbour(index, -1)).flatten();
            let right = ((index + 1) % width > 0).then(|| neighbour(index, 1)).flatten();
            let step = width as isize;
            *slot = left.or(right).or_else(|| neighbour(index, -step)).or_else(|| neighbour(index, step));
            any |= slot.is_some();
        }
        if !any {
            return None;
        }
    }
    Some(found.into_iter().flatten().collect())
}
