//! Topology-preserving simplification of shared borders (Visvalingam and Whyatt), and smoothing.
//!
//! Corners are removed in the order of the area of the triangle that they form with their neighbours, as long as every corner of
//! the original border stays within the tolerance. A corner is removed only if its triangle contains no other corner of
//! the whole map: then nothing lies between the old and the new line, and the topology is unchanged. All corners lie on
//! the pixel lattice, so a grid of bits answers that question exactly.
//!
//! The header of `coverage` says why this is not GEOS.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use geo::{Coord, LineString};

use super::bits::BitGrid;
use super::shape::{Corner, PixelSize};

/// Arcs as lattice corners.
pub struct Arcs {
    corners: Vec<Corner>,
    starts: Vec<usize>,
}

/// Arcs as positions in pixels.
pub struct Positions {
    points: Vec<Coord>,
    starts: Vec<usize>,
}

impl Arcs {
    pub fn into_positions(self) -> Positions {
        let points = self.corners.iter().map(|&corner| corner.into()).collect();
        Positions { points, starts: self.starts }
    }

    fn iter(&self) -> impl Iterator<Item = &[Corner]> {
        self.starts.windows(2).map(|ends| &self.corners[ends[0]..ends[1]])
    }
}

impl Positions {
    /// The closed ring formed by a sequence of arcs.
    pub fn ring(&self, arcs: &[(u32, bool)]) -> LineString {
        let mut ring = Vec::new();
        for &(arc, backwards) in arcs {
            let points = &self.points[self.starts[arc as usize]..self.starts[arc as usize + 1]];
            // The last point of an arc is the first of the next.
            if backwards {
                ring.extend(points[1..].iter().rev());
            } else {
                ring.extend(&points[..points.len() - 1]);
            }
        }
        ring.extend(ring.first().copied());
        LineString::new(ring)
    }
}

/// Simplifies all arcs. `live` has a bit for every corner of every arc; those of removed corners are cleared. `tolerance` in
/// metres; `pixel` is the pixel size at the start of an arc.
pub fn simplify(
    corners: &[Corner],
    starts: &[usize],
    live: &mut BitGrid,
    pixel: impl Fn(Corner) -> PixelSize,
    tolerance: f64,
) -> Arcs {
    let mut straight = HashSet::new();
    for ends in starts.windows(2) {
        if ends[1] - ends[0] == 2 {
            straight.insert(ordered(corners[ends[0]], corners[ends[0] + 1]));
        }
    }
    let mut result = Arcs { corners: Vec::new(), starts: vec![0] };
    let mut work = Work::default();
    for ends in starts.windows(2) {
        let arc = &corners[ends[0]..ends[1]];
        if arc.len() <= 2 || tolerance <= 0.0 {
            result.corners.extend_from_slice(arc);
        } else {
            work.arc(arc, live, &mut straight, pixel(arc[0]), tolerance);
            let kept = arc.iter().zip(&work.removed).filter(|(_, removed)| !**removed).map(|(corner, _)| *corner);
            result.corners.extend(kept);
        }
        result.starts.push(result.corners.len());
    }
    result
}

fn ordered(a: Corner, b: Corner) -> (Corner, Corner) {
    if a < b { (a, b) } else { (b, a) }
}

/// Buffers, reused for every arc.
#[derive(Default)]
struct Work {
    removed: Vec<bool>,
    before: Vec<u32>,
    after: Vec<u32>,
    queue: BinaryHeap<Reverse<(u64, u32)>>,
}

impl Work {
    fn arc(
        &mut self,
        arc: &[Corner],
        live: &mut BitGrid,
        straight: &mut HashSet<(Corner, Corner)>,
        pixel: PixelSize,
        tolerance: f64,
    ) {
        let last = arc.len() - 1;
        self.removed.clear();
        self.removed.resize(arc.len(), false);
        self.before = (0..arc.len() as u32).map(|index| index.wrapping_sub(1)).collect();
        self.after = (1..=arc.len() as u32).collect();
        self.queue.clear();
        for index in 1..last {
            self.enqueue(arc, index);
        }
        let closed = arc[0] == arc[last];
        let mut inner = last - 1;
        while let Some(Reverse((area, index))) = self.queue.pop() {
            let index = index as usize;
            if self.removed[index] || area != self.area(arc, index) {
                continue;
            }
            let (before, after) = (self.before[index] as usize, self.after[index] as usize);
            if closed && inner <= 2 {
                break;
            }
            if inner == 1 && straight.contains(&ordered(arc[0], arc[last])) {
                break;
            }
            if !within(&arc[before..=after], pixel, tolerance) || !is_empty(arc[before], arc[index], arc[after], live) {
                continue;
            }
            self.removed[index] = true;
            live.set(arc[index].col as usize, arc[index].row as usize, false);
            self.after[before] = after as u32;
            self.before[after] = before as u32;
            inner -= 1;
            for neighbour in [before, after] {
                if neighbour != 0 && neighbour != last {
                    self.enqueue(arc, neighbour);
                }
            }
        }
        if inner == 0 {
            straight.insert(ordered(arc[0], arc[last]));
        }
    }

    fn area(&self, arc: &[Corner], index: usize) -> u64 {
        let (a, b, c) = (arc[self.before[index] as usize], arc[index], arc[self.after[index] as usize]);
        cross(a, b, c).unsigned_abs()
    }

    fn enqueue(&mut self, arc: &[Corner], index: usize) {
        let area = self.area(arc, index);
        self.queue.push(Reverse((area, index as u32)));
    }
}

fn cross(a: Corner, b: Corner, c: Corner) -> i64 {
    let (ax, ay) = (i64::from(a.col), i64::from(a.row));
    (i64::from(b.col) - ax) * (i64::from(c.row) - ay) - (i64::from(b.row) - ay) * (i64::from(c.col) - ax)
}

/// Whether all corners lie within the tolerance of the segment from the first to the last.
fn within(corners: &[Corner], pixel: PixelSize, tolerance: f64) -> bool {
    let metres = |corner: Corner| (f64::from(corner.col) * pixel.width, f64::from(corner.row) * pixel.height);
    let ((ax, ay), (bx, by)) = (metres(corners[0]), metres(corners[corners.len() - 1]));
    let (dx, dy) = (bx - ax, by - ay);
    let squared = dx * dx + dy * dy;
    corners[1..corners.len() - 1].iter().all(|&corner| {
        let (x, y) = metres(corner);
        let along = if squared > 0.0 { (((x - ax) * dx + (y - ay) * dy) / squared).clamp(0.0, 1.0) } else { 0.0 };
        let (ex, ey) = (x - ax - along * dx, y - ay - along * dy);
        ex * ex + ey * ey <= tolerance * tolerance
    })
}

/// Whether a triangle, including its border, contains no live corner other than its own.
fn is_empty(a: Corner, b: Corner, c: Corner, live: &BitGrid) -> bool {
    let triangle = [a, b, c];
    let top = a.row.min(b.row).min(c.row);
    let bottom = a.row.max(b.row).max(c.row);
    for row in top..=bottom {
        // The lattice points of this row inside the triangle lie between its crossings with the edges, rounded inwards.
        let (mut from, mut to) = (i64::MAX, i64::MIN);
        for (p, q) in [(a, b), (b, c), (c, a)] {
            let (p, q) = if p.row <= q.row { (p, q) } else { (q, p) };
            if row < p.row || row > q.row {
                continue;
            }
            if p.row == q.row {
                from = from.min(i64::from(p.col.min(q.col)));
                to = to.max(i64::from(p.col.max(q.col)));
                continue;
            }
            let run = (i64::from(q.col) - i64::from(p.col)) * i64::from(row - p.row);
            let rise = i64::from(q.row - p.row);
            let base = i64::from(p.col);
            from = from.min(base + run.div_euclid(rise) + i64::from(run.rem_euclid(rise) != 0));
            to = to.max(base + run.div_euclid(rise));
        }
        if from > to {
            continue;
        }
        for col in live.set_between(row as usize, from as usize, to as usize) {
            if !triangle.contains(&Corner { col: col as u32, row }) {
                return false;
            }
        }
    }
    true
}

/// Number of segments of a rounded corner.
const CURVE_STEPS: usize = 4;

/// Rounds the corners of simplified borders: each corner becomes a parabola between the midpoints of its two sides, which lies
/// inside their triangle. A corner whose triangle contains another corner is not rounded.
pub fn smooth(arcs: &Arcs, live: &BitGrid) -> Positions {
    let mut result = Positions { points: Vec::new(), starts: vec![0] };
    for arc in arcs.iter() {
        let last = arc.len() - 1;
        let at = Coord::from;
        result.points.push(at(arc[0]));
        for index in 1..last {
            let (a, b, c) = (arc[index - 1], arc[index], arc[index + 1]);
            // The triangle of the neighbouring corners is larger than the curve needs.
            if !is_empty(a, b, c, live) {
                result.points.push(at(b));
                continue;
            }
            let (from, to) = ((at(a) + at(b)) / 2.0, (at(b) + at(c)) / 2.0);
            for step in 0..=CURVE_STEPS {
                let t = step as f64 / CURVE_STEPS as f64;
                let interpolate =
                    |p: f64, q: f64, r: f64| (1.0 - t) * (1.0 - t) * p + 2.0 * t * (1.0 - t) * q + t * t * r;
                let point = Coord { x: interpolate(from.x, at(b).x, to.x), y: interpolate(from.y, at(b).y, to.y) };
                if result.points.last() != Some(&point) {
                    result.points.push(point);
                }
            }
        }
        if last > 0 {
            result.points.push(at(arc[last]));
        }
        result.starts.push(result.points.len());
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triangle_contains_inner_points_and_points_on_its_edges() {
        let mut live = BitGrid::new(10, 10);
        let (a, b, c) = (Corner::new(1, 1), Corner::new(7, 1), Corner::new(1, 7));
        for corner in [a, b, c] {
            live.set(corner.col as usize, corner.row as usize, true);
        }
        assert!(is_empty(a, b, c, &live));
        for (col, row, inside) in [(2, 2, true), (4, 4, true), (5, 4, false), (1, 5, true), (3, 1, true), (0, 3, false)]
        {
            live.set(col, row, true);
            assert_eq!(is_empty(a, b, c, &live), !inside, "{col} {row}");
            live.set(col, row, false);
        }
    }
}
