//! Walls that neighbouring buildings share, and the walls of an outline that they meet.

use geo::Coord;

use super::Prices;
use super::contour::{Contour, MAX_GROUPS};
use super::search::{Kind, best_cut, best_walls};

/// A straight wall: its direction, its offset across it, and its extent along it, in pixels relative to the origin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wall {
    /// In radians.
    pub direction: f64,
    pub offset: f64,
    pub from: f64,
    pub to: f64,
}

impl Wall {
    fn of(direction: f64, offset: f64, ends: [Coord; 2]) -> Self {
        let (sin, cos) = direction.sin_cos();
        let [from, to] = ends.map(|end| end.x * cos + end.y * sin);
        Self { direction, offset, from: from.min(to), to: from.max(to) }
    }

    pub fn length(&self) -> f64 {
        self.to - self.from
    }

    /// Whether another wall lies on nearly the same line: closer than `across`, with a gap of less than `along`.
    pub fn continues(&self, other: &Self, across: f64, along: f64) -> bool {
        (self.direction - other.direction).abs() < 1e-9
            && (self.offset - other.offset).abs() < across
            && self.from - along < other.to
            && other.from - along < self.to
    }

    /// The point at a position along the wall.
    fn at(&self, along: f64) -> Coord {
        let (sin, cos) = self.direction.sin_cos();
        Coord { x: along * cos - self.offset * sin, y: along * sin + self.offset * cos }
    }

    /// The position of a point along the wall.
    fn along(&self, point: Coord) -> f64 {
        let (sin, cos) = self.direction.sin_cos();
        point.x * cos + point.y * sin
    }

    /// The intersection of two walls; `None` where they are nearly parallel.
    fn intersection(&self, other: &Self) -> Option<Coord> {
        let ((s, c), (t, d)) = (self.direction.sin_cos(), other.direction.sin_cos());
        let determinant = c * t - s * d;
        // -s·x + c·y = offset, of both.
        let (p, q) = (self.offset, other.offset);
        (determinant.abs() > 0.2).then(|| Coord { x: d * p - c * q, y: t * p - s * q } / determinant)
    }
}

/// The walls of a squared ring that run along or across the axis.
pub fn walls_of(ring: &[Coord], axis: f64) -> Vec<Wall> {
    let mut walls = Vec::new();
    for (&a, &b) in ring.iter().zip(ring.iter().cycle().skip(1)) {
        for direction in [axis, axis + std::f64::consts::FRAC_PI_2] {
            let (sin, cos) = direction.sin_cos();
            let (dx, dy) = (b - a).x_y();
            if (dx * sin - dy * cos).abs() < 1e-6 * dx.hypot(dy) {
                walls.push(Wall::of(direction, -sin * a.x + cos * a.y, [a, b]));
            }
        }
    }
    walls
}

/// The border between two neighbours: consecutive straight walls.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedWall {
    pub walls: Vec<Wall>,
    ends: [Coord; 2],
    round: bool,
}

impl SharedWall {
    /// The line from one end to the other, extended by `reach` at both ends; closed where one neighbour surrounds the other.
    pub fn line(&self, reach: f64) -> Option<Vec<Coord>> {
        let corner = |pair: &[Wall]| pair[0].intersection(&pair[1]);
        let (first, last) = (self.walls.first()?, self.walls.last()?);
        let mut line: Vec<Coord> = self.walls.windows(2).map(corner).collect::<Option<_>>()?;
        if self.round {
            let start = last.intersection(first)?;
            line.insert(0, start);
            line.push(start);
            return Some(line);
        }
        let away = |wall: &Wall, end: Coord, inner: f64| {
            let end = wall.along(end);
            wall.at(if end >= inner { end + reach } else { end - reach })
        };
        let inner = |wall: &Wall, corner: Option<&Coord>| {
            corner.map_or((wall.from + wall.to) / 2.0, |&corner| wall.along(corner))
        };
        let start = away(first, self.ends[0], inner(first, line.first()));
        let stop = away(last, self.ends[1], inner(last, line.last()));
        line.insert(0, start);
        line.push(stop);
        Some(line)
    }
}

/// Minimum length of a wall at either end of the border, in pixels.
const MIN_END_WALL: f64 = 3.0;

/// Fits straight walls to the midpoints of the edges that two neighbours share, in their order. `round`: one neighbour
/// surrounds the other. `None` where no walls fit.
pub fn fit_shared_wall(points: &[Coord], round: bool, prices: Prices, axis: f64) -> Option<SharedWall> {
    let (&first, &last) = (points.first()?, points.last()?);
    let quarter = std::f64::consts::FRAC_PI_2;
    let contour = Contour::new(points, MAX_GROUPS);
    let pieces = if round {
        // The second pass starts at the start of a wall.
        let (pieces, _) = best_cut(&contour, axis, prices, 0)?;
        best_cut(&contour, axis, prices, pieces[pieces.len() / 2].from % contour.groups)?.0
    } else {
        best_walls(&contour, axis, prices)?
    };
    let walls = pieces.iter().map(|piece| {
        let run = contour.run(piece.from, piece.to);
        let direction = match piece.wall {
            Kind::Along => axis,
            Kind::Across => axis + quarter,
            Kind::Slanted => {
                let (xx, xy, yy) = run.scatter();
                0.5 * (2.0 * xy).atan2(xx - yy)
            }
        };
        let (sin, cos) = direction.sin_cos();
        let middle = run.mean() + contour.origin;
        let point =
            |group: usize| points[(group % contour.groups * points.len() / contour.groups).min(points.len() - 1)];
        Wall::of(direction, -sin * middle.x + cos * middle.y, [point(piece.from), point(piece.to - 1)])
    });
    let mut walls: Vec<Wall> = walls.collect();
    // A few pixels at an end with another direction are noise: extending that wall would miss the outline.
    while !round && walls.len() > 1 && walls[0].length() < MIN_END_WALL.min(walls[1].length()) {
        walls.remove(0);
    }
    while let [.., before, end] = walls[..]
        && !round
        && end.length() < MIN_END_WALL.min(before.length())
    {
        walls.pop();
    }
    Some(SharedWall { walls, ends: [first, last], round })
}
