//! Operations on single lines.

use super::super::square::Point;

pub fn distance(a: Point, b: Point) -> f64 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

pub fn length(line: &[Point]) -> f64 {
    line.windows(2).map(|pair| distance(pair[0], pair[1])).sum()
}

/// The outward direction of an end of a line, as a unit vector, averaged over the last `over` pixels.
pub fn heading(line: &[Point], last: bool, over: f64) -> Option<Point> {
    let points: Vec<Point> = if last { line.iter().rev().copied().collect() } else { line.to_vec() };
    let end = points[0];
    let mut run = 0.0;
    let mut sum = (0.0, 0.0);
    for pair in points.windows(2) {
        run += distance(pair[0], pair[1]);
        sum = (sum.0 + end.0 - pair[1].0, sum.1 + end.1 - pair[1].1);
        if run >= over {
            break;
        }
    }
    let size = sum.0.hypot(sum.1);
    (size > 0.0).then(|| (sum.0 / size, sum.1 / size))
}

/// The point at distance `run` before the end of a line.
pub fn back_from_end(line: &[Point], run: f64) -> Point {
    let mut shortened = line.to_vec();
    cut_end(&mut shortened, run);
    shortened[shortened.len() - 1]
}

/// Shortens a line at its end; at least two points remain.
pub fn cut_end(line: &mut Vec<Point>, mut run: f64) {
    while let [.., before, end] = line[..] {
        let piece = distance(before, end);
        if piece > run {
            let t = run / piece;
            let last = line.len() - 1;
            line[last] = (end.0 + t * (before.0 - end.0), end.1 + t * (before.1 - end.1));
            return;
        }
        if line.len() == 2 {
            return;
        }
        run -= piece;
        line.pop();
    }
}

/// Moving average over `reach` points on either side.
pub fn averaged(line: &[Point], reach: usize) -> Vec<Point> {
    let last = line.len() - 1;
    (0..=last)
        .map(|index| {
            let reach = reach.min(index).min(last - index);
            let window = &line[index - reach..=index + reach];
            let sum = window.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0, sum.1 + p.1));
            (sum.0 / window.len() as f64, sum.1 / window.len() as f64)
        })
        .collect()
}

/// Douglas-Peucker simplification. Our own because the lines are lists of positions in pixels: `geo` would need a copy of each.
pub fn simplified(line: &[Point], tolerance: f64) -> Vec<Point> {
    let mut keep = vec![false; line.len()];
    let last = line.len() - 1;
    keep[0] = true;
    keep[last] = true;
    let mut stack = vec![(0, last)];
    while let Some((from, to)) = stack.pop() {
        let far = (from + 1..to)
            .map(|index| (off(line[index], line[from], line[to]), index))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((far, index)) = far
            && far > tolerance
        {
            keep[index] = true;
            stack.extend([(from, index), (index, to)]);
        }
    }
    line.iter().zip(keep).filter(|(_, keep)| *keep).map(|(point, _)| *point).collect()
}

/// Distance from a point to a segment.
pub fn off(point: Point, a: Point, b: Point) -> f64 {
    distance(point, nearest(point, a, b))
}

/// The point of a segment nearest to a point.
pub fn nearest(point: Point, a: Point, b: Point) -> Point {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let squared = dx * dx + dy * dy;
    let t = if squared > 0.0 { (((point.0 - a.0) * dx + (point.1 - a.1) * dy) / squared).clamp(0.0, 1.0) } else { 0.0 };
    (a.0 + t * dx, a.1 + t * dy)
}
