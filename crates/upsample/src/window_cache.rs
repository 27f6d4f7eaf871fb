//! The windows computed last, from which overlapping windows take the neighbours' weights.
//!
//! A pixel's weights depend on the image around it. Far enough from the edges of a window, where reflection and clamping have no
//! effect, they are the same in every window that shows the pixel. A window can overlap the one before it, on its left, and those of
//! the row of windows above; the weights of pixels that such a window has are shared, the others are computed. Two windows overlap
//! if all their pixels in the common part are equal.

use super::pixel_grid::PixelGrid;

/// Bytes of cached windows where the caller sets no lower limit.
pub(super) const DEFAULT_CACHE_BYTES: usize = 400 << 20;

/// Evicted windows whose buffers are reused.
const MAX_SPARE: usize = 8;

/// Index of a panel that is not computed, since another window has its weights.
const SHARED: u32 = u32::MAX;

/// A window and the weights that were computed for it.
#[derive(Debug, Default)]
pub(super) struct CachedWindow<N> {
    id: u64,
    /// Rows and columns, in pixels.
    size: [usize; 2],
    /// (3, row, column)
    pub pixels: Vec<f32>,
    /// The windows to the left, above, and above to the left.
    overlaps: [Option<Overlap>; 3],
    /// For each doubling.
    pub doublings: Vec<ComputedPanels<N>>,
}

/// An earlier window that overlaps, and the distance from it to this one, to the right and down, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Overlap {
    id: u64,
    right: usize,
    down: usize,
}

/// The weights of the panels that were computed for one doubling, in the backend's numbers.
#[derive(Debug, Default)]
pub(super) struct ComputedPanels<N> {
    /// (computed panel, …)
    pub numbers: Vec<N>,
    /// (pair of rows, panel): the index of the computed panel, or [`SHARED`].
    indices: Vec<u32>,
}

/// The panels of one pair of rows that are to be computed.
pub(super) struct RowToCompute<'a, N> {
    pub row: usize,
    pub panels: Vec<usize>,
    /// (panel, …)
    pub numbers: &'a mut [N],
}

impl<N> ComputedPanels<N> {
    /// Returns what is to be computed, for each pair of rows that lacks panels.
    pub fn rows_to_compute(&mut self, grid: &PixelGrid) -> Vec<RowToCompute<'_, N>> {
        let mut rest = &mut self.numbers[..];
        let rows = self.indices.chunks_exact(grid.panels).enumerate().map(|(row, indices)| {
            let panels: Vec<usize> = (0..grid.panels).filter(|&panel| indices[panel] != SHARED).collect();
            let (now, later) = std::mem::take(&mut rest).split_at_mut(panels.len() * grid.panel_length);
            rest = later;
            RowToCompute { row, panels, numbers: now }
        });
        rows.filter(|row| !row.panels.is_empty()).collect()
    }

    /// Returns whether the panel `index` is computed here, not shared.
    pub fn is_computed(&self, index: usize) -> bool {
        self.indices.get(index).is_some_and(|&index| index != SHARED)
    }
}

/// The windows computed last, the latest at the end.
#[derive(Debug)]
pub(super) struct WindowCache<N> {
    /// Most bytes that cached windows may take.
    pub limit_bytes: usize,
    windows: Vec<CachedWindow<N>>,
    /// The id of the next window.
    next: u64,
    /// The first window of the current scene: earlier ones overlap no later window.
    first: u64,
    /// Evicted windows, whose buffers are reused.
    spare: Vec<CachedWindow<N>>,
    /// No window is compared with others.
    #[cfg(test)]
    pub sharing_disabled: bool,
}

impl<N> Default for WindowCache<N> {
    fn default() -> Self {
        Self {
            limit_bytes: DEFAULT_CACHE_BYTES,
            windows: Vec::new(),
            next: 0,
            first: 0,
            spare: Vec::new(),
            #[cfg(test)]
            sharing_disabled: false,
        }
    }
}

impl<N: Copy + Default> WindowCache<N> {
    /// Adds a window of `size` (rows, columns) and determines which of its panels are to be computed.
    pub fn add(&mut self, grids: &[PixelGrid], size: [usize; 2], pixels: &[f32]) {
        let mut window = self.spare.pop().unwrap_or_default();
        window.id = self.next;
        self.next += 1;
        window.size = size;
        window.pixels.clear();
        window.pixels.extend_from_slice(pixels);
        window.overlaps = self.overlaps(size, pixels);
        if window.overlaps == [None; 3] {
            self.first = window.id;
        }
        window.doublings.resize_with(grids.len(), ComputedPanels::default);
        for (doubling, grid) in grids.iter().enumerate() {
            let overlaps = self.cell_overlaps(grid, &window);
            let count = grid.rows.cells * grid.panels;
            let mut indices = std::mem::take(&mut window.doublings[doubling].indices);
            indices.clear();
            let mut computed = 0;
            for index in 0..count {
                let (row, panel) = (index / grid.panels, index % grid.panels);
                let shared = grid
                    .source_columns(panel)
                    .all(|column| find_shared(&overlaps, grid, doubling, row, column).is_some());
                indices.push(if shared { SHARED } else { computed });
                computed += u32::from(!shared);
            }
            window.doublings[doubling].indices = indices;
            resize(&mut window.doublings[doubling].numbers, computed as usize * grid.panel_length);
        }
        self.windows.push(window);
    }

    /// Returns the last `count` windows, to compute their panels.
    pub fn last_mut(&mut self, count: usize) -> &mut [CachedWindow<N>] {
        let first = self.windows.len() - count.min(self.windows.len());
        &mut self.windows[first..]
    }

    /// Returns the last `count` windows.
    pub fn last(&self, count: usize) -> &[CachedWindow<N>] {
        &self.windows[self.windows.len() - count.min(self.windows.len())..]
    }

    /// Returns access to all weights of one doubling of a window.
    pub fn weight_sources<'a>(
        &'a self,
        grid: &'a PixelGrid,
        window: &'a CachedWindow<N>,
        doubling: usize,
    ) -> WeightSources<'a, N> {
        WeightSources { own: &window.doublings[doubling], overlaps: self.cell_overlaps(grid, window), grid, doubling }
    }

    /// Evicts windows that no later one can overlap, and those beyond the limit on memory.
    pub fn evict(&mut self) {
        let above = self.windows.iter().rev().find_map(|window| window.overlaps[1]);
        let needed = above.map_or(0, |above| above.id).max(self.first);
        let last = self.next.saturating_sub(1);
        let mut kept = 0;
        let mut index = 0;
        while index < self.windows.len() {
            let window = &self.windows[index];
            let numbers: usize = window.doublings.iter().map(|computed| computed.numbers.capacity()).sum();
            let bytes = window.pixels.capacity() * size_of::<f32>() + numbers * size_of::<N>();
            // The first windows of a row are needed first by the row below.
            if window.id == last || (window.id >= needed && kept + bytes <= self.limit_bytes) {
                kept += bytes;
                index += 1;
            } else {
                self.spare.push(self.windows.remove(index));
            }
        }
        self.spare.truncate(MAX_SPARE);
    }

    fn get(&self, id: u64) -> Option<&CachedWindow<N>> {
        let index = self.windows.binary_search_by_key(&id, |window| window.id).ok()?;
        self.windows.get(index)
    }

    /// Finds the windows to the left, above, and above to the left that overlap a new window.
    fn overlaps(&self, size: [usize; 2], pixels: &[f32]) -> [Option<Overlap>; 3] {
        #[cfg(test)]
        if self.sharing_disabled {
            return [None; 3];
        }
        let matches = |window: &CachedWindow<N>, right, down| {
            window.size == size && overlaps_by(&window.pixels, pixels, size, right, down)
        };
        let before = self.windows.last();
        let right = before.and_then(|before| (2..size[1]).step_by(2).find(|&right| matches(before, right, 0)));
        let left = before.zip(right).map(|(before, right)| Overlap { id: before.id, right, down: 0 });
        // The window above this one follows the window above the left one.
        let corner = before.filter(|_| left.is_some()).and_then(|before| before.overlaps[1]);
        let expected = corner.and_then(|corner| {
            let next = self.get(corner.id + 1)?;
            matches(next, 0, corner.down).then_some(Overlap { id: next.id, ..corner })
        });
        let above = expected.or_else(|| {
            let distance = |window: &CachedWindow<N>| (2..size[0]).step_by(2).find(|&down| matches(window, 0, down));
            self.windows.iter().find_map(|window| Some(Overlap { id: window.id, right: 0, down: distance(window)? }))
        });
        let corner = corner.zip(right).map(|(corner, right)| Overlap { right, ..corner });
        [left, above, corner]
    }

    /// Returns the overlaps whose distances are whole source cells of a doubling.
    fn cell_overlaps<'a>(&'a self, grid: &PixelGrid, window: &CachedWindow<N>) -> Vec<CellOverlap<'a, N>> {
        let in_cells = |overlap: &Overlap| {
            let (right, down) = (grid.cells_of(overlap.right)?, grid.cells_of(overlap.down)?);
            Some(CellOverlap { window: self.get(overlap.id)?, right, down })
        };
        window.overlaps.iter().flatten().filter_map(in_cells).collect()
    }
}

/// Sets a buffer's length, and replaces it where its capacity is too small or far too large: a window with overlaps computes a
/// quarter of the panels of one without. The contents are unspecified.
fn resize<N: Copy + Default>(numbers: &mut Vec<N>, length: usize) {
    if !(length..=length + length / 4).contains(&numbers.capacity()) {
        *numbers = Vec::with_capacity(length);
    }
    numbers.resize(length, N::default());
}

/// An overlapping window, and the distance from it in source cells of one doubling.
struct CellOverlap<'a, N> {
    window: &'a CachedWindow<N>,
    right: usize,
    down: usize,
}

/// The weights of one doubling of a window, in the window itself or in those that overlap it.
pub(super) struct WeightSources<'a, N> {
    own: &'a ComputedPanels<N>,
    overlaps: Vec<CellOverlap<'a, N>>,
    grid: &'a PixelGrid,
    doubling: usize,
}

/// The weights of a panel, and a pixel's column in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PanelColumn<'a, N> {
    pub panel: &'a [N],
    pub column: usize,
}

impl<'a, N: Copy + Default> WeightSources<'a, N> {
    /// Returns the weights of the 2 × 2 pixels of a source cell, starting at the left column.
    pub fn weights(&self, source_row: usize, source_column: usize) -> PanelColumn<'a, N> {
        let (grid, column) = (self.grid, 2 * source_column);
        let index = source_row * grid.panels + column / grid.width;
        if self.own.is_computed(index) {
            return panel(self.own, grid, index, column);
        }
        let shared = find_shared(&self.overlaps, grid, self.doubling, source_row, source_column);
        shared.unwrap_or(PanelColumn { panel: &[], column: 0 })
    }
}

fn panel<'a, N>(computed: &'a ComputedPanels<N>, grid: &PixelGrid, index: usize, column: usize) -> PanelColumn<'a, N> {
    let panel = &computed.numbers[computed.indices[index] as usize * grid.panel_length..][..grid.panel_length];
    PanelColumn { panel, column: column % grid.width }
}

/// Returns the weights of the 2 × 2 pixels of a source cell from one of the overlapping windows.
fn find_shared<'a, N>(
    overlaps: &[CellOverlap<'a, N>],
    grid: &PixelGrid,
    doubling: usize,
    row: usize,
    column: usize,
) -> Option<PanelColumn<'a, N>> {
    overlaps.iter().find_map(|overlap| {
        // The same cell in the other window.
        let (other_row, other_column) = (row + overlap.down, column + overlap.right);
        let rows = overlap.down == 0 || (grid.rows.is_inner(row) && grid.rows.is_inner(other_row));
        let columns = overlap.right == 0 || (grid.columns.is_inner(column) && grid.columns.is_inner(other_column));
        if !rows || !columns || other_row >= grid.rows.cells || other_column >= grid.columns.cells {
            return None;
        }
        let (index, computed) =
            (other_row * grid.panels + 2 * other_column / grid.width, overlap.window.doublings.get(doubling)?);
        computed.is_computed(index).then(|| panel(computed, grid, index, 2 * other_column))
    })
}

/// Returns whether `after` has the pixels of `before` in the common part, if it lies `right` and `down` pixels from it. Both are
/// (3, row, column).
fn overlaps_by(before: &[f32], after: &[f32], [height, width]: [usize; 2], right: usize, down: usize) -> bool {
    let planes = before.chunks_exact(height * width).zip(after.chunks_exact(height * width));
    let mut rows =
        planes.flat_map(|(before, after)| before.chunks_exact(width).skip(down).zip(after.chunks_exact(width)));
    rows.all(|(before, after)| before[right..] == after[..width - right])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_requires_all_common_pixels_to_be_equal() {
        let scene: Vec<f32> = (0..3 * 8 * 10).map(|index| (index * index % 101) as f32).collect();
        let cut = |row: usize, col: usize| -> Vec<f32> {
            scene
                .chunks_exact(80)
                .flat_map(|plane| (0..6).flat_map(move |y| &plane[(row + y) * 10 + col..][..6]))
                .copied()
                .collect()
        };
        let (first, second) = (cut(0, 0), cut(2, 4));
        assert!(overlaps_by(&first, &second, [6, 6], 4, 2));
        assert!(!overlaps_by(&first, &second, [6, 6], 2, 2) && !overlaps_by(&first, &second, [6, 6], 4, 0));
        let mut changed = second.clone();
        changed[2 * 36 + 3 * 6 + 1] += 1.0;
        assert!(!overlaps_by(&first, &changed, [6, 6], 4, 2));
        changed = second;
        changed[2 * 36 + 3 * 6 + 2] += 1.0;
        assert!(overlaps_by(&first, &changed, [6, 6], 4, 2));
    }
}
