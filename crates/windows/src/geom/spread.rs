//! Pixels that stand for a shape: a bounded number of them, spread evenly over it, the same in every run.

use std::collections::BTreeSet;
use std::ops::Range;

use super::region::join_spans;
use super::{Metric, Size};

/// The golden ratio less 1. Its multiples, modulo 1, leave no large gaps, however many are taken.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// Most rows of a shape that are looked at: a header may declare any size.
const MAX_ROWS: usize = 1 << 18;

/// At most `most` of the pixels of a shape, as (column, row), row by row; all of them where they are no more.
///
/// `spans` gives the columns of a row, in order and apart from each other; it is asked twice for each of `rows`. Nothing
/// but the pixels that are taken is kept in memory. Of more than 262,144 rows, only so many at even distances count.
///
/// Pixel number i of n comes from the row that holds the i-th part of the shape's area, at the position in this row that
/// the i-th multiple of the golden ratio names: a Fibonacci lattice, which leaves neither rows nor columns out.
pub fn spread(
    rows: Range<usize>,
    mut spans: impl FnMut(usize, &mut Vec<Range<usize>>),
    most: usize,
) -> Vec<[usize; 2]> {
    let rows = rows.clone().step_by(rows.len().div_ceil(MAX_ROWS).max(1));
    let mut row_spans = Vec::new();
    let mut total: u64 = 0;
    for row in rows.clone() {
        spans(row, &mut row_spans);
        total += row_spans.iter().map(|span| span.len() as u64).sum::<u64>();
    }
    let wanted = total.min(most as u64);
    let mut pixels = Vec::with_capacity(usize::try_from(wanted).unwrap_or(0));
    // Place number i in the shape, counted along its rows: the middle of the i-th of `wanted` equal parts.
    let place = |index: u64| ((u128::from(index) * 2 + 1) * u128::from(total) / (u128::from(wanted) * 2)) as u64;
    let (mut next, mut before) = (0, 0u64);
    let mut taken = BTreeSet::new();
    for row in rows {
        if next >= wanted {
            break;
        }
        spans(row, &mut row_spans);
        let here = row_spans.iter().map(|span| span.len() as u64).sum::<u64>();
        taken.clear();
        while next < wanted && place(next) < before + here {
            // The row has at least as many pixels as places.
            let mut position = ((next as f64 * GOLDEN).fract() * here as f64) as u64 % here;
            while !taken.insert(position) {
                position = (position + 1) % here;
            }
            next += 1;
        }
        before += here;
        let mut skipped = 0;
        let mut positions = taken.iter().copied().peekable();
        for span in &row_spans {
            let end = skipped + span.len() as u64;
            while let Some(position) = positions.next_if(|position| *position < end) {
                pixels.push([span.start + (position - skipped) as usize, row]);
            }
            skipped = end;
        }
    }
    pixels
}

/// The columns that two lists of spans share; both in order, and apart from each other.
pub fn overlap(first: &[Range<usize>], second: &[Range<usize>]) -> Vec<Range<usize>> {
    let (mut first, mut second) = (first.iter().peekable(), second.iter().peekable());
    let mut both = Vec::new();
    while let (Some(&a), Some(&b)) = (first.peek(), second.peek()) {
        let shared = a.start.max(b.start)..a.end.min(b.end);
        if !shared.is_empty() {
            both.push(shared);
        }
        if a.end <= b.end {
            first.next()
        } else {
            second.next()
        };
    }
    both
}

/// At most `most` pixels whose centres lie within `radius` of a point (column, row); at least the pixel of the point.
/// None where that pixel is outside the scene. `metric` measures steps of pixels in the unit of `radius`.
pub fn disc(centre: [f64; 2], radius: f64, metric: Metric, scene: Size, most: usize) -> Vec<[usize; 2]> {
    let Some(own) = pixel(centre, scene) else { return Vec::new() };
    let [x, y] = centre;
    let Metric { xx, xy, yy } = metric;
    let determinant = xx * yy - xy * xy;
    if !(radius > 0.0 && determinant > 0.0 && determinant.is_finite()) {
        return vec![own];
    }
    let reach = radius * (xx / determinant).sqrt();
    // Casts of floats saturate.
    let rows = (y - reach).floor().max(0.0) as usize..((y + reach).ceil() as usize).min(scene.height);
    let spans = |row: usize, spans: &mut Vec<Range<usize>>| {
        let down = row as f64 + 0.5 - y;
        let root = (xy * xy * down * down - xx * (yy * down * down - radius * radius)).max(0.0).sqrt();
        let [left, right] = [-root, root].map(|root| x + (root - xy * down) / xx);
        let inside = down.abs() <= reach;
        spans.clear();
        if inside {
            let start = (left - 0.5).ceil().max(0.0) as usize;
            let end = ((right - 0.5).floor() + 1.0).max(0.0) as usize;
            spans.push(start..end.min(scene.width));
        }
        spans.retain(|span| span.start < span.end);
        join_spans(spans);
    };
    let pixels = spread(rows, spans, most);
    if pixels.is_empty() { vec![own] } else { pixels }
}

/// At most `most` pixels along lines of (column, row), at even distances; each once, in the order of the lines.
pub fn line(lines: &[Vec<[f64; 2]>], scene: Size, most: usize) -> Vec<[usize; 2]> {
    let pairs = || lines.iter().flat_map(|line| line.iter().zip(line.iter().skip(1)));
    let pieces: Vec<[[f64; 2]; 2]> = pairs().filter_map(|(&from, &to)| clipped(from, to, scene)).collect();
    let length = |[[x, y], [u, v]]: &[[f64; 2]; 2]| (u - x).hypot(v - y);
    let total: f64 = pieces.iter().map(length).sum();
    let count = (total.ceil().max(1.0) as usize).min(most);
    let place = |index: usize| (index as f64 + 0.5) * total / count as f64;
    let mut seen = BTreeSet::new();
    let mut pixels = Vec::new();
    let (mut next, mut before) = (0, 0.0);
    for piece in &pieces {
        let (here, [[x, y], [u, v]]) = (length(piece), *piece);
        while next < count && place(next) <= before + here {
            let share = if here > 0.0 { ((place(next) - before) / here).clamp(0.0, 1.0) } else { 0.0 };
            let at = [x + share * (u - x), y + share * (v - y)];
            pixels.extend(pixel(at, scene).filter(|pixel| seen.insert(*pixel)));
            next += 1;
        }
        before += here;
    }
    pixels
}

/// The pixel of a point (column, row); `None` outside the scene.
pub fn pixel([col, row]: [f64; 2], scene: Size) -> Option<[usize; 2]> {
    let inside = col >= 0.0 && row >= 0.0 && col < scene.width as f64 && row < scene.height as f64;
    inside.then_some([col as usize, row as usize])
}

/// The part of a piece of line that lies in the scene (Liang and Barsky).
fn clipped(from: [f64; 2], to: [f64; 2], scene: Size) -> Option<[[f64; 2]; 2]> {
    let ([x, y], [u, v]) = (from, to);
    let (mut start, mut end) = (0.0f64, 1.0f64);
    for (at, step, limit) in [(x, u - x, scene.width as f64), (y, v - y, scene.height as f64)] {
        if step == 0.0 {
            if at < 0.0 || at >= limit {
                return None;
            }
            continue;
        }
        let (enter, leave) =
            if step > 0.0 { (-at / step, (limit - at) / step) } else { ((limit - at) / step, -at / step) };
        start = start.max(enter);
        end = end.min(leave);
    }
    let at = |share: f64| [x + share * (u - x), y + share * (v - y)];
    // NaN compares false.
    (start <= end).then(|| [at(start), at(end)])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rectangle(cols: Range<usize>) -> impl FnMut(usize, &mut Vec<Range<usize>>) {
        move |_, spans| {
            spans.clear();
            spans.push(cols.clone());
        }
    }

    proptest! {
        #[test]
        fn exactly_as_many_as_asked_each_once_and_inside(
            width in 1usize..60, height in 1usize..60, gap in 1usize..5, most in 1usize..900,
        ) {
            // A comb: each row has spans of two columns, and every third row is empty.
            let spans_of = |row: usize| -> Vec<Range<usize>> {
                if row % 3 == 2 { return Vec::new() }
                (0..width).step_by(2 + gap).map(|col| col..(col + 2).min(width)).collect()
            };
            let all: usize = (0..height).flat_map(spans_of).map(|span| span.len()).sum();
            let found = spread(0..height, |row, spans| { spans.clear(); spans.extend(spans_of(row)); }, most);
            prop_assert_eq!(found.len(), all.min(most));
            let unique: BTreeSet<_> = found.iter().collect();
            prop_assert_eq!(unique.len(), found.len());
            prop_assert!(found.iter().all(|&[col, row]| spans_of(row).iter().any(|span| span.contains(&col))));
        }
    }

    /// In each of 16 equal parts of a square lie about a sixteenth of the pixels, however many are taken.
    #[test]
    fn pixels_are_even_in_both_directions() {
        for side in [64, 1000, 30_000] {
            for most in [48, 100, 400, 1000] {
                let mut parts = [0usize; 16];
                for [col, row] in spread(0..side, rectangle(0..side), most) {
                    parts[row * 4 / side * 4 + col * 4 / side] += 1;
                }
                let expected = most as f64 / 16.0;
                for count in parts {
                    assert!((count as f64 - expected).abs() <= 1.0 + 0.35 * expected, "{side}, {most}: {parts:?}");
                }
            }
        }
    }

    /// A search of all rows would never end.
    #[test]
    fn huge_declared_size_costs_little() {
        let side = 1usize << 40;
        let found = spread(0..side, rectangle(0..side), 100);
        assert_eq!(found.len(), 100);
        assert!(found.iter().any(|[_, row]| *row > side / 2));
    }

    #[test]
    fn disc_is_round_on_the_ground() {
        let scene = Size::new(100, 100);
        // Pixels of 2 × 1 metres.
        let metric = Metric { xx: 4.0, xy: 0.0, yy: 1.0 };
        let found = disc([50.5, 50.5], 6.0, metric, scene, 10_000);
        let expected = (0..100usize)
            .flat_map(|row| (0..100usize).map(move |col| [col, row]))
            .filter(|[col, row]| metric.length(*col as f64 - 50.0, *row as f64 - 50.0) <= 6.0)
            .collect::<Vec<_>>();
        assert_eq!(found, expected);
        assert_eq!(disc([50.5, 50.5], 6.0, metric, scene, 10).len(), 10);
        // A slanted metric has the same area.
        let slanted = Metric { xx: 4.0, xy: 1.0, yy: 1.25 };
        let count = disc([50.5, 50.5], 12.0, slanted, scene, 10_000).len() as f64;
        assert!((count / (std::f64::consts::PI * 72.0) - 1.0).abs() < 0.05, "{count}");
        assert_eq!(disc([3.2, 4.9], 0.0, metric, scene, 9), [[3, 4]]);
        assert_eq!(disc([3.0, 4.0], 0.1, metric, scene, 9), [[3, 4]], "no centre is so near");
        assert_eq!(disc([100.0, 4.0], 50.0, metric, scene, 9), [[0usize; 2]; 0]);
        assert_eq!(disc([1.0, 1.0], 1e300, metric, scene, 9).len(), 9);
        assert_eq!(disc([f64::NAN, 1.0], 1.0, metric, scene, 9), [[0usize; 2]; 0]);
    }

    #[test]
    fn line_is_cut_at_the_border_and_taken_evenly() {
        let scene = Size::new(100, 50);
        let across = vec![vec![[-1e12, 10.5], [1e12, 10.5]]];
        assert_eq!(line(&across, scene, 1000).len(), 100);
        assert_eq!(line(&across, scene, 4), [[12, 10], [37, 10], [62, 10], [87, 10]]);
        let steps = vec![vec![[1.0, 1.5], [4.0, 1.5]], vec![[10.5, 2.0], [10.5, 5.0]]];
        assert_eq!(line(&steps, scene, 99), [[1, 1], [2, 1], [3, 1], [10, 2], [10, 3], [10, 4]]);
        assert_eq!(line(&[vec![[7.2, 3.3], [7.2, 3.3]]], scene, 9), [[7, 3]], "a line without length");
        assert_eq!(line(&[vec![[7.2, 63.3], [7.2, 70.0]]], scene, 9), [[0usize; 2]; 0]);
        assert_eq!(line(&[vec![[f64::NAN, 3.3], [7.2, 70.0]]], scene, 9), [[0usize; 2]; 0]);
        assert_eq!(line(&[vec![[1.0, 1.0]]], scene, 9), [[0usize; 2]; 0]);
    }

    #[test]
    fn overlap_of_spans() {
        assert_eq!(overlap(&[0..4, 6..9], &[2..7, 8..20]), [2..4, 6..7, 8..9]);
        assert_eq!(overlap(&[0..4, 9..10], &[4..7, 8..9]), [] as [Range<usize>; 0]);
    }
}
