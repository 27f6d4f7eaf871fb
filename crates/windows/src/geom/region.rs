//! The area of interest as polygons over a scene's pixels.

#![expect(
    clippy::indexing_slicing,
    reason = "bands up to the last one, pairs of crossings, and spans within the window's columns"
)]

use std::ops::Range;

use super::{Size, Window};

/// Rows that share a list of edges, which is searched for a window; more where there would be too many lists.
const BAND: usize = 256;
const MAX_BANDS: usize = 1 << 16;

/// Most rows that are searched for a pixel of a region.
const MAX_ROWS: usize = 65_536;

/// Largest distance of a point from the scene in pixels; beyond it precision is lost.
pub const MAX_DISTANCE: f64 = 1e14;

/// Polygons in pixel coordinates. A pixel belongs to them when its centre lies in one of them; holes are left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    scene: Size,
    polygons: Vec<Polygon>,
    edges: Vec<Edge>,
    /// Rows of a band.
    band: usize,
    /// For each band of the scene the edges that cross it, in the order of the polygons.
    bands: Vec<Vec<u32>>,
}

/// Rings of (column, row), the outer one and the holes in any order; the last point joins the first.
pub type Polygon = Vec<Vec<[f64; 2]>>;

/// The part of a region in a window.
#[derive(Clone, Debug, PartialEq)]
pub enum Coverage {
    Nothing,
    Everything,
    /// (row, column)
    Part(Vec<bool>),
}

/// From an upper point to a lower one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Edge {
    polygon: u32,
    upper: [f64; 2],
    lower: [f64; 2],
}

impl Region {
    /// The region over a scene of this size. The caller refuses points that are NaN or beyond [`MAX_DISTANCE`].
    pub fn new(polygons: Vec<Polygon>, scene: Size) -> Self {
        let mut edges = Vec::new();
        for (number, polygon) in (0..).zip(&polygons) {
            for ring in polygon {
                let next = ring.iter().cycle().skip(1);
                edges.extend(ring.iter().zip(next).filter(|(a, b)| a[1] != b[1]).map(|(&a, &b)| {
                    let (upper, lower) = if a[1] < b[1] { (a, b) } else { (b, a) };
                    Edge { polygon: number, upper, lower }
                }));
            }
        }
        let band = BAND.max(scene.height.div_ceil(MAX_BANDS));
        let mut bands = vec![Vec::new(); scene.height.div_ceil(band)];
        for (number, edge) in (0..).zip(&edges) {
            // Casts of floats saturate: points above the scene belong to its first band.
            let (first, last) = (edge.upper[1] as usize / band, edge.lower[1] as usize / band);
            if edge.lower[1] >= 0.0 && first < bands.len() {
                let last = last.min(bands.len() - 1);
                bands[first..=last].iter_mut().for_each(|band: &mut Vec<u32>| band.push(number));
            }
        }
        Self { scene, polygons, edges, band, bands }
    }

    /// The same region on a grid of another size over the same ground, on which a pixel's column and row are `scale` times
    /// those here.
    #[must_use]
    pub fn scaled(&self, scale: [f64; 2], scene: Size) -> Self {
        let mut polygons = self.polygons.clone();
        for point in polygons.iter_mut().flatten().flatten() {
            *point = [point[0] * scale[0], point[1] * scale[1]];
        }
        Self::new(polygons, scene)
    }

    /// Whether no pixel of the scene belongs to it. Searches only rows between the outermost points whose edges overlap
    /// the scene, and at most 65,536: a header may declare any size. A region that contains no pixel centre in so
    /// many rows counts as not empty.
    pub fn is_empty(&self) -> bool {
        let outermost = self
            .edges
            .iter()
            .fold((f64::INFINITY, 0f64), |(top, bottom), edge| (top.min(edge.upper[1]), bottom.max(edge.lower[1])));
        let (top, bottom) = (outermost.0 as usize, (outermost.1.ceil() as usize).min(self.scene.height));
        // All left of the first column's centres, or all right of the last one's.
        let beside = |band: &Vec<u32>| {
            let edges = band.iter().filter_map(|&n| self.edges.get(n as usize));
            let cols = edges.flat_map(|edge| [edge.upper[0], edge.lower[0]]);
            let (left, right) =
                cols.fold((f64::INFINITY, f64::NEG_INFINITY), |(left, right), col| (left.min(col), right.max(col)));
            right <= 0.5 || left > self.scene.width as f64 - 0.5
        };
        let mut crossings = Vec::new();
        let mut rows = (0..)
            .zip(&self.bands)
            .filter(|(_, edges)| !beside(edges))
            .flat_map(|(band, _): (usize, _)| top.max(band * self.band)..bottom.min((band + 1) * self.band));
        let touched = rows
            .by_ref()
            .take(MAX_ROWS)
            .any(|row| self.spans(row, 0..self.scene.width, &mut crossings).any(|span| !span.is_empty()));
        !touched && rows.next().is_none()
    }

    /// The columns of a row within `cols` that belong to the region; spans may overlap. `crossings` is memory to work in.
    fn spans<'a>(
        &self,
        row: usize,
        cols: Range<usize>,
        crossings: &'a mut Vec<(u32, f64)>,
    ) -> impl Iterator<Item = Range<usize>> + use<'a> {
        let y = row as f64 + 0.5;
        crossings.clear();
        let edges = self.bands.get(row / self.band).into_iter().flatten().filter_map(|&n| self.edges.get(n as usize));
        crossings.extend(edges.filter(|edge| edge.upper[1] <= y && y < edge.lower[1]).map(|edge| {
            let share = (y - edge.upper[1]) / (edge.lower[1] - edge.upper[1]);
            (edge.polygon, edge.upper[0] + share * (edge.lower[0] - edge.upper[0]))
        }));
        crossings.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        // A closed ring crosses a line an even number of times: pairs do not mix polygons.
        crossings.chunks_exact(2).map(move |pair| {
            let col = |x: f64| ((x - 0.5).ceil().max(0.0) as usize).clamp(cols.start, cols.end);
            let start = col(pair[0].1);
            // Between points at the limits of the type a crossing is NaN, which would be column 0.
            start..col(pair[1].1).max(start)
        })
    }

    /// The size of the scene.
    pub fn size(&self) -> Size {
        self.scene
    }

    /// The columns of a row of the scene that belong to the region, in order and apart from each other.
    pub fn row_spans(&self, row: usize, spans: &mut Vec<Range<usize>>) {
        let mut crossings = Vec::new();
        spans.clear();
        spans.extend(self.spans(row, 0..self.scene.width, &mut crossings).filter(|span| !span.is_empty()));
        join_spans(spans);
    }

    /// Whether a pixel of the scene belongs to the region.
    pub fn contains(&self, col: usize, row: usize) -> bool {
        let mut crossings = Vec::new();
        self.spans(row, col..col + 1, &mut crossings).any(|span| !span.is_empty())
    }

    /// Which pixels of a window inside the scene belong to the region: by their position in the scene alone, whatever
    /// the window.
    pub fn coverage(&self, window: Window) -> Coverage {
        let mut inside = vec![false; window.size().pixels()];
        let mut crossings: Vec<(u32, f64)> = Vec::new();
        let mut count = 0;
        for (row, pixels) in window.rows().zip(inside.chunks_exact_mut(window.width.max(1))) {
            for span in self.spans(row, window.cols(), &mut crossings) {
                pixels[span.start - window.col..span.end - window.col].iter_mut().filter(|inside| !**inside).for_each(
                    |inside| {
                        *inside = true;
                        count += 1;
                    },
                );
            }
        }
        match count {
            0 => Coverage::Nothing,
            all if all == inside.len() => Coverage::Everything,
            _ => Coverage::Part(inside),
        }
    }
}

/// Orders spans and joins those that overlap or touch.
pub(super) fn join_spans(spans: &mut Vec<Range<usize>>) {
    spans.sort_unstable_by_key(|span| span.start);
    spans.dedup_by(|next, before| {
        let touches = next.start <= before.end;
        if touches {
            before.end = before.end.max(next.end);
        }
        touches
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn square(left: f64, top: f64, right: f64, bottom: f64) -> Vec<[f64; 2]> {
        vec![[left, top], [right, top], [right, bottom], [left, bottom]]
    }

    fn pixels(region: &Region, window: Window) -> Vec<bool> {
        match region.coverage(window) {
            Coverage::Nothing => vec![false; window.size().pixels()],
            Coverage::Everything => vec![true; window.size().pixels()],
            Coverage::Part(pixels) => pixels,
        }
    }

    /// A search of all pixels would never end, and exceed the memory.
    #[test]
    fn emptiness_in_the_largest_scene_is_fast() {
        let scene = Size::new(i32::MAX as usize, i32::MAX as usize);
        let far = 2e9;
        assert!(!Region::new(vec![vec![square(far, far, far + 1.0, far + 1.0)]], scene).is_empty());
        assert!(Region::new(vec![vec![square(far, far, far + 0.3, far + 1.0)]], scene).is_empty());
        assert!(Region::new(vec![vec![square(-MAX_DISTANCE, -MAX_DISTANCE, -1.0, MAX_DISTANCE)]], scene).is_empty());
    }

    #[test]
    fn region_respects_holes_overlaps_and_bounds() {
        let scene = Size::new(20, 600);
        let ring = vec![square(-5.0, -5.0, 12.4, 599.0), square(2.0, 2.0, 4.0, 300.0)];
        let region = Region::new(vec![ring, vec![square(10.0, 0.0, 15.5, 600.0)]], scene);
        let all = pixels(&region, scene.window());
        let at = |col: usize, row: usize| all[row * 20 + col];
        assert!(at(0, 0) && at(11, 5) && at(14, 599), "in one or both");
        assert!(!at(2, 2) && !at(3, 299) && at(3, 300) && at(4, 100) && at(1, 100), "the hole");
        assert!(!at(15, 0) && !at(0, 599), "outside");
        assert!(!region.is_empty());
        assert!(Region::new(vec![vec![square(20.0, 0.0, 30.0, 600.0)]], scene).is_empty());
        let inner = Window { col: 5, row: 10, width: 5, height: 5 };
        assert_eq!(region.coverage(inner), Coverage::Everything);
        assert_eq!(region.coverage(Window { col: 16, row: 0, width: 4, height: 600 }), Coverage::Nothing);
        let doubled = region.scaled([2.0, 0.5], Size::new(40, 300));
        assert!(!pixels(&doubled, Size::new(40, 300).window())[50 * 40 + 6], "the hole moves along");
    }

    #[test]
    fn huge_declared_size_costs_nothing() {
        let scene = Size::new(1 << 31, 1 << 31);
        let right = Region::new(vec![vec![square(0.0, 0.0, 9.0, 2e9)]], scene);
        assert!(right.bands.len() <= MAX_BANDS && !right.is_empty());
        assert_eq!(
            right.coverage(Window { col: 7, row: 1 << 30, width: 4, height: 1 }),
            Coverage::Part(vec![true, true, false, false])
        );
        assert!(Region::new(vec![vec![square(-9.0, -2e9, 9.0, -1.0)]], scene).is_empty());
        // Between the centres of two columns, in two thousand million rows.
        assert!(!Region::new(vec![vec![square(9.6, 0.0, 10.4, 2e9)]], scene).is_empty());
    }

    #[test]
    fn extreme_coordinates_are_harmless() {
        let scene = Size::new(300, 20);
        let far = vec![vec![[f64::MAX, -f64::MAX], [-f64::MAX, f64::MAX], [-f64::MAX, -f64::MAX], [f64::MAX, 1e300]]];
        for first in 0..4 {
            let mut ring = far.clone();
            ring[0].rotate_left(first);
            let region = Region::new(vec![ring], scene);
            region.is_empty();
            region.coverage(Window { col: 200, row: 3, width: 50, height: 9 });
        }
    }

    proptest! {
        #[test]
        fn coverage_does_not_depend_on_the_window(
            points in prop::collection::vec((-50.0f64..350.0, -50.0f64..700.0), 3..9),
            col in 0usize..299, row in 0usize..599, width in 1usize..300, height in 1usize..600,
        ) {
            let scene = Size::new(300, 600);
            let region = Region::new(vec![vec![points.into_iter().map(|(x, y)| [x, y]).collect()]], scene);
            let window = Window { col, row, width: width.min(300 - col), height: height.min(600 - row) };
            let whole = pixels(&region, scene.window());
            let part = pixels(&region, window);
            for (index, found) in part.into_iter().enumerate() {
                let (col, row) = (window.col + index % window.width, window.row + index / window.width);
                prop_assert_eq!(found, whole[row * 300 + col]);
            }
        }
    }
}
