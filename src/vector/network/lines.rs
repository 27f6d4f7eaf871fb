//! Operations on single lines.

use geo::Coord;

pub fn distance(a: Coord, b: Coord) -> f64 {
    let offset = a - b;
    offset.x.hypot(offset.y)
}

pub fn length(line: &[Coord]) -> f64 {
    line.windows(2).map(|pair| distance(pair[0], pair[1])).sum()
}

/// The outward direction of an end of a line, as a unit vector, averaged over the last `over` pixels.
pub fn heading(line: &[Coord], last: bool, over: f64) -> Option<Coord> {
    let points: Vec<Coord> = if last { line.iter().rev().copied().collect() } else { line.to_vec() };
    let end = points[0];
    let mut run = 0.0;
    let mut sum = Coord::zero();
    for pair in points.windows(2) {
        run += distance(pair[0], pair[1]);
        sum = sum + end - pair[1];
        if run >= over {
            break;
        }
    }
    let size = sum.x.hypot(sum.y);
    (size > 0.0).then(|| sum / size)
}

/// The point at distance `run` before the end of a line.
pub fn back_from_end(line: &[Coord], run: f64) -> Coord {
    let mut shortened = line.to_vec();
    cut_end(&mut shortened, run);
    shortened[shortened.len() - 1]
}

/// Shortens a line at its end; at least two points remain.
pub fn cut_end(line: &mut Vec<Coord>, mut run: f64) {
    while let [.., before, end] = line[..] {
        let piece = distance(before, end);
        if piece > run {
            let t = run / piece;
            let last = line.len() - 1;
            line[last] = end + (before - end) * t;
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
pub fn averaged(line: &[Coord], reach: usize) -> Vec<Coord> {
    let last = line.len() - 1;
    (0..=last)
        .map(|index| {
            let reach = reach.min(index).min(last - index);
            let window = &line[index - reach..=index + reach];
            window.iter().fold(Coord::zero(), |sum, &point| sum + point) / window.len() as f64
        })
        .collect()
}

/// Distance from a point to a segment.
pub fn off(point: Coord, a: Coord, b: Coord) -> f64 {
    distance(point, nearest(point, a, b))
}

/// The point of a segment nearest to a point.
pub fn nearest(point: Coord, a: Coord, b: Coord) -> Coord {
    let (along, offset) = (b - a, point - a);
    let squared = along.x * along.x + along.y * along.y;
    let t = if squared > 0.0 { ((offset.x * along.x + offset.y * along.y) / squared).clamp(0.0, 1.0) } else { 0.0 };
    a + along * t
}
