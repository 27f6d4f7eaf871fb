//! Prefix sums over the points of an outline.

use geo::Coord;

/// First and second moments of a set of points.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moments {
    pub n: f64,
    pub x: f64,
    pub y: f64,
    pub xx: f64,
    pub xy: f64,
    pub yy: f64,
}

impl Moments {
    pub fn of(point: Coord) -> Self {
        let (x, y) = point.x_y();
        Self { n: 1.0, x, y, xx: x * x, xy: x * y, yy: y * y }
    }

    pub fn plus(self, other: Self) -> Self {
        Self {
            n: self.n + other.n,
            x: self.x + other.x,
            y: self.y + other.y,
            xx: self.xx + other.xx,
            xy: self.xy + other.xy,
            yy: self.yy + other.yy,
        }
    }

    pub fn minus(self, other: Self) -> Self {
        self.plus(Self { n: -other.n, x: -other.x, y: -other.y, xx: -other.xx, xy: -other.xy, yy: -other.yy })
    }

    /// The mean of the points.
    pub fn mean(&self) -> Coord {
        Coord { x: self.x, y: self.y } / self.n
    }

    /// Sums of squares and products about the mean: xx, xy, yy.
    pub fn scatter(&self) -> (f64, f64, f64) {
        let n = self.n.max(1.0);
        (
            (self.xx - self.x * self.x / n).max(0.0),
            self.xy - self.x * self.y / n,
            (self.yy - self.y * self.y / n).max(0.0),
        )
    }
}

/// Largest number of groups of points: the time of the search is quadratic in it.
pub const MAX_GROUPS: usize = 900;

/// Prefix sums of the moments of a ring's points, so that the moments of a run are one subtraction.
pub struct Contour {
    /// Moments of all points before group `i`, over two rounds.
    pub sums: Vec<Moments>,
    pub groups: usize,
    pub origin: Coord,
}

impl Contour {
    /// Groups consecutive points into at most `most` groups.
    pub fn new(points: &[Coord], most: usize) -> Self {
        let origin = points[0];
        let group = points.len().div_ceil(most);
        let mut sums = vec![Moments::default()];
        let groups = points.len().div_ceil(group);
        for index in 0..2 * groups {
            let index = index % groups;
            let mut moments = Moments::default();
            for &point in &points[index * group..((index + 1) * group).min(points.len())] {
                moments = moments.plus(Moments::of(point - origin));
            }
            sums.push(sums[sums.len() - 1].plus(moments));
        }
        Self { sums, groups, origin }
    }

    /// The moments of the groups `from..to`.
    pub fn run(&self, from: usize, to: usize) -> Moments {
        self.sums[to].minus(self.sums[from])
    }
}
