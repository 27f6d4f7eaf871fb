//! Overlapping windows that cover a scene.

#![expect(clippy::indexing_slicing, reason = "ends of a range that was searched for in the same list")]

use std::ops::Range;

use super::{Size, Window};

/// Where the windows start along one axis of `size` pixels.
///
/// There are `max(size - window + stride - 1, 0) / stride + 1` of them (integer division, as in SegEarth-OV's sliding
/// window); a window that would extend beyond the edge is moved inside, so that the last two may overlap more than the
/// others. A side shorter than the window has a single start, 0.
///
/// ```
/// use segearth_windows::geom::axis_starts;
/// assert_eq!(axis_starts(300, 224, 112), [0, 76]);
/// assert_eq!(axis_starts(100, 224, 112), [0]);
/// ```
pub fn axis_starts(size: usize, window: usize, stride: usize) -> Vec<usize> {
    let beyond = size.saturating_sub(window);
    let count = beyond.div_ceil(stride) + 1;
    (0..count).map(|index| (index * stride).min(beyond)).collect()
}

/// The windows over a scene, row by row from the top left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    scene: Size,
    window: Size,
    col_starts: Vec<usize>,
    row_starts: Vec<usize>,
}

impl Grid {
    /// Windows of `window` × `window` pixels, `stride` apart. A scene's side shorter than the window shortens the window.
    pub fn new(scene: Size, window: usize, stride: usize) -> Self {
        assert!(window > 0 && stride > 0 && stride <= window, "the plan checks window and stride");
        Self {
            scene,
            window: Size::new(window.min(scene.width), window.min(scene.height)),
            col_starts: axis_starts(scene.width, window, stride),
            row_starts: axis_starts(scene.height, window, stride),
        }
    }

    pub fn scene(&self) -> Size {
        self.scene
    }

    /// The size that every window of this grid has.
    pub fn window(&self) -> Size {
        self.window
    }

    pub fn col_starts(&self) -> &[usize] {
        &self.col_starts
    }

    pub fn row_starts(&self) -> &[usize] {
        &self.row_starts
    }

    pub fn len(&self) -> usize {
        self.col_starts.len() * self.row_starts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All windows in the order in which they are computed: row by row, left to right.
    pub fn windows(&self) -> impl Iterator<Item = Window> + '_ {
        self.row_starts.iter().flat_map(move |&row| self.col_starts.iter().map(move |&col| self.at(col, row)))
    }

    /// The windows that share a pixel with `region`, in the same order.
    pub fn reaching(&self, region: Window) -> impl Iterator<Item = Window> + '_ {
        let row_starts = touching(&self.row_starts, self.window.height, region.rows());
        let col_starts = touching(&self.col_starts, self.window.width, region.cols());
        row_starts.iter().flat_map(move |&row| col_starts.iter().map(move |&col| self.at(col, row)))
    }

    /// How many windows [`reaching`](Self::reaching) gives.
    pub fn count_reaching(&self, region: Window) -> usize {
        touching(&self.row_starts, self.window.height, region.rows()).len()
            * touching(&self.col_starts, self.window.width, region.cols()).len()
    }

    /// Whether a window is one of the grid's.
    pub fn has(&self, window: &Window) -> bool {
        let starts = [(&self.row_starts, window.row), (&self.col_starts, window.col)];
        window.size() == self.window && starts.iter().all(|(starts, start)| starts.binary_search(start).is_ok())
    }

    fn at(&self, col: usize, row: usize) -> Window {
        Window { col, row, width: self.window.width, height: self.window.height }
    }
}

/// The starts of those spans of `length` pixels that share one with `wanted`; `starts` are sorted.
fn touching(starts: &[usize], length: usize, wanted: Range<usize>) -> &[usize] {
    if wanted.is_empty() {
        return &[];
    }
    let first = starts.partition_point(|start| start + length <= wanted.start);
    let end = starts.partition_point(|&start| start < wanted.end);
    &starts[first..end.max(first)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn windows_cover_the_scene_with_the_papers_count(
            width in 1usize..900, height in 1usize..900, window in 1usize..300, stride_share in 0.01f64..=1.0,
        ) {
            let stride = ((window as f64 * stride_share).ceil() as usize).clamp(1, window);
            let scene = Size::new(width, height);
            let grid = Grid::new(scene, window, stride);
            let paper = |size: usize| {
                ((size as i64 - window as i64 + stride as i64 - 1).max(0) / stride as i64 + 1) as usize
            };
            prop_assert_eq!(grid.len(), paper(width) * paper(height));
            for (starts, side, size) in
                [(grid.col_starts(), grid.window().width, width), (grid.row_starts(), grid.window().height, height)]
            {
                let mut covered = 0;
                for &start in starts {
                    prop_assert!(start <= covered, "gap before {}", start);
                    prop_assert!(start + side <= size);
                    covered = start + side;
                }
                prop_assert_eq!(covered, size);
            }
        }

        #[test]
        fn reaching_gives_windows_that_share_a_pixel(
            width in 1usize..300, height in 1usize..300, window in 1usize..90, stride_share in 0.1f64..=1.0,
            col in 0usize..300, row in 0usize..300, across in 0usize..300, down in 0usize..300,
        ) {
            let stride = ((window as f64 * stride_share).ceil() as usize).clamp(1, window);
            let grid = Grid::new(Size::new(width, height), window, stride);
            let (col, row) = (col.min(width), row.min(height));
            let region = Window { col, row, width: across.min(width - col), height: down.min(height - row) };
            let share = |a: Range<usize>, b: Range<usize>| a.start.max(b.start) < a.end.min(b.end);
            let by_hand: Vec<Window> = grid
                .windows()
                .filter(|window| share(window.rows(), region.rows()) && share(window.cols(), region.cols()))
                .collect();
            prop_assert_eq!(grid.reaching(region).collect::<Vec<_>>(), by_hand.clone());
            prop_assert!(grid.windows().all(|window| grid.has(&window)));
            prop_assert_eq!(grid.has(&region), grid.windows().any(|window| window == region));
            if region.size().pixels() > 0 {
                prop_assert_eq!(grid.count_reaching(region), by_hand.len());
            }
        }
    }
}
