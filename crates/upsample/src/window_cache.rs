//! Cached windows: those after them share the neighbours' weights where they overlap.
//!
//! Weights come from the image around a pixel. Away from the edges of a window, where its reflection and the clamping of the
//! bicubic begin to be felt, they are the same in every window that shows the pixel. A window looks to the left, where the
//! one before it may lie, and above, into the row of windows before; what it finds there is taken, the rest is computed. Whether
//! two windows overlap is judged by their pixels alone, all of them.

use super::plan::PixelGrid;

/// Bytes of windows that are kept for the row below, where nobody wants fewer.
pub(super) const MOST_KEPT: usize = 400 << 20;

/// Windows whose memory waits for others.
const MOST_SPARE: usize = 8;

/// No weights here: they are another window's.
const ELSEWHERE: u32 = u32::MAX;

/// A window and the weights that were computed for it.
#[derive(Debug, Default)]
pub(super) struct CachedWindow<N> {
    id: u64,
    size: [usize; 2],
    pub pixels: Vec<f32>,
    /// To the left, above, and above to the left.
    neighbours: [Option<Neighbour>; 3],
    /// For each doubling.
    pub steps: Vec<ComputedPanels<N>>,
}

/// Another window, and how far this one lies to the right of it and below it, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Neighbour {
    id: u64,
    right: usize,
    down: usize,
}

/// The panels that were computed, in whatever numbers the engine keeps their weights.
#[derive(Debug, Default)]
pub(super) struct ComputedPanels<N> {
    /// (computed panel, …)
    pub numbers: Vec<N>,
    /// (pair of rows, panel): which of the computed panels.
    slots: Vec<u32>,
}

/// The panels to be computed in a pair of rows.
pub(super) struct RowToCompute<'a, N> {
    pub row: usize,
    pub panels: Vec<usize>,
    /// (panel, …)
    pub numbers: &'a mut [N],
}

impl<N> ComputedPanels<N> {
    /// What is to be filled, row by row.
    pub fn rows_to_compute(&mut self, grid: &PixelGrid) -> Vec<RowToCompute<'_, N>> {
        let mut rest = &mut self.numbers[..];
        let rows = self.slots.chunks_exact(grid.panels).enumerate().map(|(row, slots)| {
            let panels: Vec<usize> = (0..grid.panels).filter(|&panel| slots[panel] != ELSEWHERE).collect();
            let (now, later) = std::mem::take(&mut rest).split_at_mut(panels.len() * grid.panel_length);
            rest = later;
            RowToCompute { row, panels, numbers: now }
        });
        rows.filter(|row| !row.panels.is_empty()).collect()
    }

    pub fn is_computed(&self, index: usize) -> bool {
        self.slots.get(index).is_some_and(|&slot| slot != ELSEWHERE)
    }
}

/// The windows that were cached, the latest last.
#[derive(Debug)]
pub(super) struct WindowCache<N> {
    /// Bytes of windows that are kept at the most.
    pub most: usize,
    windows: Vec<CachedWindow<N>>,
    next: u64,
    /// The first of a scene: those before it will not be cached again.
    first: u64,
    /// Windows that nobody needs any more, for their memory.
    spare: Vec<CachedWindow<N>>,
    /// Look for no neighbours.
    #[cfg(test)]
    pub alone: bool,
}

impl<N> Default for WindowCache<N> {
    fn default() -> Self {
        Self {
            most: MOST_KEPT,
            windows: Vec::new(),
            next: 0,
            first: 0,
            spare: Vec::new(),
            #[cfg(test)]
            alone: false,
        }
    }
}

impl<N: Copy + Default> WindowCache<N> {
    /// Adds a window of `size` (rows, columns) and decides what is to be computed for it.
    pub fn add(&mut self, grids: &[PixelGrid], size: [usize; 2], pixels: &[f32]) {
        let mut cached = self.spare.pop().unwrap_or_default();
        cached.id = self.next;
        self.next += 1;
        cached.size = size;
        cached.pixels.clear();
        cached.pixels.extend_from_slice(pixels);
        cached.neighbours = self.neighbours(size, pixels);
        if cached.neighbours == [None; 3] {
            self.first = cached.id;
        }
        cached.steps.resize_with(grids.len(), ComputedPanels::default);
        for (step, grid) in grids.iter().enumerate() {
            let near = self.near(grid, &cached);
            let count = grid.rows.cells * grid.panels;
            let mut slots = std::mem::take(&mut cached.steps[step].slots);
            slots.clear();
            let mut computed = 0;
            for index in 0..count {
                let (row, panel) = (index / grid.panels, index % grid.panels);
                let shared = grid.pairs(panel).all(|pair| find(&near, grid, step, row, pair).is_some());
                slots.push(if shared { ELSEWHERE } else { computed });
                computed += u32::from(!shared);
            }
            cached.steps[step].slots = slots;
            resize(&mut cached.steps[step].numbers, computed as usize * grid.panel_length);
        }
        self.windows.push(cached);
    }

    /// The last `count` windows, to be filled.
    pub fn last_mut(&mut self, count: usize) -> &mut [CachedWindow<N>] {
        let first = self.windows.len() - count.min(self.windows.len());
        &mut self.windows[first..]
    }

    /// The last `count` windows.
    pub fn last(&self, count: usize) -> &[CachedWindow<N>] {
        &self.windows[self.windows.len() - count.min(self.windows.len())..]
    }

    /// Where the weights of a window's doubling are.
    pub fn places<'a>(&'a self, grid: &'a PixelGrid, cached: &'a CachedWindow<N>, step: usize) -> WeightSources<'a, N> {
        WeightSources { own: &cached.steps[step], near: self.near(grid, cached), grid, step }
    }

    /// Lets go of windows that no later one can share with, or that would take too much memory.
    pub fn tidy(&mut self) {
        let above = self.windows.iter().rev().find_map(|cached| cached.neighbours[1]);
        let needed = above.map_or(0, |above| above.id).max(self.first);
        let last = self.next.saturating_sub(1);
        let mut kept = 0;
        let mut index = 0;
        while index < self.windows.len() {
            let cached = &self.windows[index];
            let numbers: usize = cached.steps.iter().map(|computed| computed.numbers.capacity()).sum();
            let bytes = cached.pixels.capacity() * size_of::<f32>() + numbers * size_of::<N>();
            // The first windows of a row are the first to be needed again.
            if cached.id == last || (cached.id >= needed && kept + bytes <= self.most) {
                kept += bytes;
                index += 1;
            } else {
                self.spare.push(self.windows.remove(index));
            }
        }
        self.spare.truncate(MOST_SPARE);
    }

    fn get(&self, id: u64) -> Option<&CachedWindow<N>> {
        let index = self.windows.binary_search_by_key(&id, |cached| cached.id).ok()?;
        self.windows.get(index)
    }

    fn neighbours(&self, size: [usize; 2], pixels: &[f32]) -> [Option<Neighbour>; 3] {
        #[cfg(test)]
        if self.alone {
            return [None; 3];
        }
        let alike = |cached: &CachedWindow<N>, right, down| {
            cached.size == size && overlap(&cached.pixels, pixels, size, right, down)
        };
        let before = self.windows.last();
        let right = before.and_then(|before| (2..size[1]).step_by(2).find(|&right| alike(before, right, 0)));
        let left = before.zip(right).map(|(before, right)| Neighbour { id: before.id, right, down: 0 });
        // The window to the left has found its own neighbour above: the next one there is ours.
        let corner = before.filter(|_| left.is_some()).and_then(|before| before.neighbours[1]);
        let expected = corner.and_then(|corner| {
            let next = self.get(corner.id + 1)?;
            alike(next, 0, corner.down).then_some(Neighbour { id: next.id, ..corner })
        });
        let above = expected.or_else(|| {
            let downs = |cached: &CachedWindow<N>| (2..size[0]).step_by(2).find(|&down| alike(cached, 0, down));
            self.windows.iter().find_map(|cached| Some(Neighbour { id: cached.id, right: 0, down: downs(cached)? }))
        });
        let corner = corner.zip(right).map(|(corner, right)| Neighbour { right, ..corner });
        [left, above, corner]
    }

    /// A window's neighbours as far as they can be shared with at one doubling.
    fn near<'a>(&'a self, grid: &PixelGrid, cached: &CachedWindow<N>) -> Vec<Near<'a, N>> {
        let near = |neighbour: &Neighbour| {
            let (right, down) = (grid.shift(neighbour.right)?, grid.shift(neighbour.down)?);
            Some(Near { cached: self.get(neighbour.id)?, right, down })
        };
        cached.neighbours.iter().flatten().filter_map(near).collect()
    }
}

/// Gives a vector its length. What it held is of no use, and memory that is far too large is better given to others: a window with
/// neighbours makes a quarter of what one without them does.
fn resize<N: Copy + Default>(numbers: &mut Vec<N>, length: usize) {
    if !(length..=length + length / 4).contains(&numbers.capacity()) {
        *numbers = Vec::with_capacity(length);
    }
    numbers.resize(length, N::default());
}

/// A neighbour at one doubling: how far away, in source cells.
struct Near<'a, N> {
    cached: &'a CachedWindow<N>,
    right: usize,
    down: usize,
}

/// Where the weights of one window's doubling are: with the window, or with its neighbours.
pub(super) struct WeightSources<'a, N> {
    own: &'a ComputedPanels<N>,
    near: Vec<Near<'a, N>>,
    grid: &'a PixelGrid,
    step: usize,
}

/// A panel's weights, and the column of it that is meant.
#[derive(Clone, Copy, Debug)]
pub(super) struct PanelColumn<'a, N> {
    pub panel: &'a [N],
    pub column: usize,
}

impl<'a, N: Copy + Default> WeightSources<'a, N> {
    /// The weights of two by two pixels, from the left one on.
    pub fn weights(&self, row: usize, pair: usize) -> PanelColumn<'a, N> {
        let (grid, column) = (self.grid, 2 * pair);
        let index = row * grid.panels + column / grid.width;
        if self.own.is_computed(index) {
            return panel(self.own, grid, index, column);
        }
        find(&self.near, grid, self.step, row, pair).unwrap_or(PanelColumn { panel: &[], column: 0 })
    }
}

fn panel<'a, N>(computed: &'a ComputedPanels<N>, grid: &PixelGrid, index: usize, column: usize) -> PanelColumn<'a, N> {
    let panel = &computed.numbers[computed.slots[index] as usize * grid.panel_length..][..grid.panel_length];
    PanelColumn { panel, column: column % grid.width }
}

/// The weights of two by two pixels with one of the neighbours.
fn find<'a, N>(
    near: &[Near<'a, N>],
    grid: &PixelGrid,
    step: usize,
    row: usize,
    pair: usize,
) -> Option<PanelColumn<'a, N>> {
    near.iter().find_map(|near| {
        let (there_row, there) = (row + near.down, pair + near.right);
        let rows = near.down == 0 || (grid.rows.is_inner(row) && grid.rows.is_inner(there_row));
        let columns = near.right == 0 || (grid.columns.is_inner(pair) && grid.columns.is_inner(there));
        if !rows || !columns || there_row >= grid.rows.cells || there >= grid.columns.cells {
            return None;
        }
        let (index, computed) = (there_row * grid.panels + 2 * there / grid.width, near.cached.steps.get(step)?);
        computed.is_computed(index).then(|| panel(computed, grid, index, 2 * there))
    })
}

/// Whether `after`, lying so far to the right of `before` and below it, shows the same where both overlap.
fn overlap(before: &[f32], after: &[f32], [height, width]: [usize; 2], right: usize, down: usize) -> bool {
    let planes = before.chunks_exact(height * width).zip(after.chunks_exact(height * width));
    let mut rows =
        planes.flat_map(|(before, after)| before.chunks_exact(width).skip(down).zip(after.chunks_exact(width)));
    rows.all(|(before, after)| before[right..] == after[..width - right])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_are_seen_by_every_pixel() {
        let scene: Vec<f32> = (0..3 * 8 * 10).map(|index| (index * index % 101) as f32).collect();
        let cut = |row: usize, col: usize| -> Vec<f32> {
            scene
                .chunks_exact(80)
                .flat_map(|plane| (0..6).flat_map(move |y| &plane[(row + y) * 10 + col..][..6]))
                .copied()
                .collect()
        };
        let (first, second) = (cut(0, 0), cut(2, 4));
        assert!(overlap(&first, &second, [6, 6], 4, 2));
        assert!(!overlap(&first, &second, [6, 6], 2, 2) && !overlap(&first, &second, [6, 6], 4, 0));
        let mut changed = second.clone();
        changed[2 * 36 + 3 * 6 + 1] += 1.0;
        assert!(!overlap(&first, &changed, [6, 6], 4, 2));
        changed = second;
        changed[2 * 36 + 3 * 6 + 2] += 1.0;
        assert!(overlap(&first, &changed, [6, 6], 4, 2));
    }
}
