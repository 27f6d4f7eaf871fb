//! Squared outlines: fits the rectilinear polygon that best matches a noisy pixel outline.
//!
//! The midpoints of the pixel edges of an outline scatter evenly around the true wall. The outline is divided into runs, each
//! fitted by one straight wall: along the axis of the building, across it, or slanted where that fits much better. Dynamic
//! programming finds the division with the smallest sum of squared distances plus a penalty per wall; for a given
//! division the axis has a closed form; the two steps alternate. Corners are the intersections of the fitted walls, with
//! subpixel positions.

mod contour;
mod search;
mod shared_walls;

use geo::Coord;

use contour::{Contour, MAX_GROUPS};
use search::{Kind, Piece, best_cut};

pub use shared_walls::{SharedWall, Wall, fit_shared_wall, walls_of};

/// Penalties per wall, in square pixels (the unit of summed squared distances).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prices {
    /// A wall along or across the axis.
    pub wall: f64,
    /// A slanting wall.
    pub slanted: f64,
}

/// A fitted outline with its cost.
#[derive(Clone, Debug, PartialEq)]
pub enum Outline {
    /// Corners in pixels, the first one not repeated.
    Squared {
        ring: Vec<Coord>,
        cost: f64,
    },
    Round {
        centre: Coord,
        radius: f64,
        cost: f64,
    },
}

/// The midpoints of the unit edges of a ring, in order.
pub fn edge_middles(ring: &[super::shape::Corner]) -> Vec<Coord> {
    let mut points = Vec::new();
    for (index, &from) in ring.iter().enumerate() {
        let (from, to) = (Coord::from(from), Coord::from(ring[(index + 1) % ring.len()]));
        let length = (to.x - from.x).abs() + (to.y - from.y).abs();
        let step = (to - from) / length;
        points.extend((0..length as usize).map(|index| from + step * (index as f64 + 0.5)));
    }
    points
}

/// An estimate of the axis of an outline from the directions of its chords, in radians from 0 to a quarter turn.
fn guess_axis(points: &[Coord]) -> f64 {
    let count = points.len();
    let reach = (count / 16).clamp(2, 6);
    let (mut sin, mut cos) = (0.0, 0.0);
    for index in 0..count {
        let chord = points[(index + reach) % count] - points[(index + count - reach) % count];
        let angle = chord.y.atan2(chord.x) * 4.0;
        let weight = chord.x.hypot(chord.y);
        sin += weight * angle.sin();
        cos += weight * angle.cos();
    }
    (sin.atan2(cos) / 4.0).rem_euclid(std::f64::consts::FRAC_PI_2)
}

/// Fits an outline to edge midpoints. `axis`: a given direction, as for courtyards. Returns the outline and its axis; `None`
/// where no polygon fits.
pub fn fit(points: &[Coord], prices: Prices, axis: Option<f64>) -> Option<(Outline, f64)> {
    if points.len() < 4 {
        return None;
    }
    let quarter = std::f64::consts::FRAC_PI_2;
    let begin = match axis {
        Some(axis) => axis,
        None => {
            // A coarse contour decides the initial direction.
            let coarse = Contour::new(points, (points.len() / 2).clamp(4, 80));
            let guess = guess_axis(points);
            let starts = [guess, guess + quarter / 6.0, guess - quarter / 6.0, guess + quarter / 2.0];
            let mut best = (guess, f64::INFINITY);
            for mut angle in starts {
                let mut cut = 0;
                for _ in 0..2 {
                    let Some((pieces, cost)) = best_cut(&coarse, angle, prices, cut) else { break };
                    cut = pieces[pieces.len() / 2].from % coarse.groups;
                    angle = axis_of(&coarse, &pieces, angle);
                    if cost < best.1 {
                        best = (angle, cost);
                    }
                }
            }
            best.0
        }
    };
    let contour = Contour::new(points, MAX_GROUPS);
    let mut best: Option<(Vec<Piece>, f64, f64)> = None;
    let (mut angle, mut cut) = (begin, 0);
    for _ in 0..4 {
        let Some((pieces, cost)) = best_cut(&contour, angle, prices, cut) else { break };
        cut = pieces[pieces.len() / 2].from % contour.groups;
        let next = if axis.is_some() { angle } else { axis_of(&contour, &pieces, angle) };
        let settled = best.as_ref().is_some_and(|(_, least, _)| cost > least - 1e-6);
        if best.as_ref().is_none_or(|(_, least, _)| cost < *least) {
            best = Some((pieces, cost, next));
        }
        if settled {
            break;
        }
        angle = next;
    }
    let (pieces, cost, angle) = best?;
    if let Some((centre, radius, round_cost)) = circle(points, prices)
        && round_cost < cost
    {
        return Some((Outline::Round { centre, radius, cost: round_cost }, angle.rem_euclid(quarter)));
    }
    let ring = corners(&contour, &pieces, angle)?;
    Some((Outline::Squared { ring, cost }, angle.rem_euclid(quarter)))
}

/// The best axis for a given division: the principal direction of the joint scatter of the walls.
fn axis_of(contour: &Contour, pieces: &[Piece], angle: f64) -> f64 {
    let (mut a, mut b, mut c) = (0.0, 0.0, 0.0);
    for piece in pieces {
        let (xx, xy, yy) = contour.run(piece.from, piece.to).scatter();
        match piece.wall {
            Kind::Along => {
                a += xx;
                b += xy;
                c += yy;
            }
            // Rotated by a quarter turn, a wall across is a wall along.
            Kind::Across => {
                a += yy;
                b -= xy;
                c += xx;
            }
            Kind::Slanted => {}
        }
    }
    if a == c && b == 0.0 {
        return angle;
    }
    let axis = 0.5 * (2.0 * b).atan2(a - c);
    // The equivalent direction closest to the previous one.
    let turns = ((angle - axis) / std::f64::consts::PI).round();
    axis + turns * std::f64::consts::PI
}

/// Largest distance of a corner from the contour, in pixels; beyond it the corner would be a spike.
const MAX_SPIKE: f64 = 3.0;

/// The corners: intersections of consecutive walls.
fn corners(contour: &Contour, pieces: &[Piece], angle: f64) -> Option<Vec<Coord>> {
    // A wall as normal and distance: n · p = d.
    let lines: Vec<(f64, f64, f64)> = pieces
        .iter()
        .map(|piece| {
            let run = contour.run(piece.from, piece.to);
            let direction = match piece.wall {
                Kind::Along => angle,
                Kind::Across => angle + std::f64::consts::FRAC_PI_2,
                Kind::Slanted => {
                    let (xx, xy, yy) = run.scatter();
                    0.5 * (2.0 * xy).atan2(xx - yy)
                }
            };
            let (nx, ny) = (-direction.sin(), direction.cos());
            (nx, ny, (nx * run.x + ny * run.y) / run.n)
        })
        .collect();
    let count = lines.len();
    let mut ring = Vec::with_capacity(count + 4);
    for index in 0..count {
        let (a, b) = (lines[index], lines[(index + 1) % count]);
        let (before, after) = (pieces[index], pieces[(index + 1) % count]);
        let (last, first) = (contour.run(before.to - 1, before.to), contour.run(after.from, after.from + 1));
        // The point of the contour between the two walls.
        let turn = (last.mean() + first.mean()) / 2.0;
        let determinant = a.0 * b.1 - a.1 * b.0;
        let corner = Coord { x: a.2 * b.1 - b.2 * a.1, y: a.0 * b.2 - b.0 * a.2 } / determinant;
        let spike = corner - turn;
        if determinant.abs() >= 0.2 && spike.x.hypot(spike.y) <= MAX_SPIKE {
            ring.push(corner + contour.origin);
            continue;
        }
        // A spike, or nearly parallel walls: connect the two walls directly at this point.
        for (nx, ny, distance) in [a, b] {
            let off = nx * turn.x + ny * turn.y - distance;
            ring.push(turn - Coord { x: nx, y: ny } * off + contour.origin);
        }
    }
    (ring.len() >= 3).then_some(ring)
}

/// The least-squares circle through the points (Kåsa) as centre, radius and cost.
fn circle(points: &[Coord], prices: Prices) -> Option<(Coord, f64, f64)> {
    let n = points.len() as f64;
    let mean = points.iter().fold(Coord::zero(), |sum, &point| sum + point / n);
    let (mut uu, mut uv, mut vv, mut uz, mut vz, mut z) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for &point in points {
        let (u, v) = (point - mean).x_y();
        let square = u * u + v * v;
        uu += u * u;
        uv += u * v;
        vv += v * v;
        uz += u * square;
        vz += v * square;
        z += square;
    }
    let determinant = uu * vv - uv * uv;
    if determinant.abs() < 1e-9 {
        return None;
    }
    let centre = Coord { x: uz * vv - vz * uv, y: vz * uu - uz * uv } / (2.0 * determinant);
    let radius = (centre.x * centre.x + centre.y * centre.y + z / n).sqrt();
    let residual: f64 = points
        .iter()
        .map(|&point| {
            let from_centre = point - mean - centre;
            let distance = from_centre.x.hypot(from_centre.y) - radius;
            distance * distance
        })
        .sum();
    // The penalty of four walls: a circle has three parameters and a rectangle five, but buildings are rarely round.
    Some((mean + centre, radius, residual + 4.0 * prices.wall))
}
