//! Windows that were seen: the ones after them share the neighbours' weights where they overlap.
//!
//! Weights come from the image around a pixel. Away from the edges of a window, where its reflection and the clamping of the
//! bicubic begin to be felt, they are the same in every window that shows the pixel. A window looks to the left, where the
//! one before it may lie, and above, into the row of windows before; what it finds there is taken, the rest is made. Whether
//! two windows overlap is judged by their pixels alone, all of them.

use super::plan::Grid;

/// Bytes of windows that are kept for the row below, where nobody wants fewer.
pub(super) const MOST_KEPT: usize = 400 << 20;

/// Windows whose memory waits for others.
const MOST_SPARE: usize = 8;

/// No weights here: they are another window's.
const ELSEWHERE: u32 = u32::MAX;

/// A window and the weights that were made for it.
#[derive(Debug, Default)]
pub(super) struct Seen<N> {
    id: u64,
    size: [usize; 2],
    pub pixels: Vec<f32>,
    /// To the left, above, and above to the left.
    neighbours: [Option<Neighbour>; 3],
    /// For each doubling.
    pub steps: Vec<Made<N>>,
}

/// Another window, and how far this one lies to the right of it and below it, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Neighbour {
    id: u64,
    right: usize,
    down: usize,
}

/// The panels that were made, in whatever numbers the engine keeps their weights.
#[derive(Debug, Default)]
pub(super) struct Made<N> {
    /// (made panel, …)
    pub numbers: Vec<N>,
    /// (pair of rows, panel): which of the made panels.
    slots: Vec<u32>,
}

/// The panels to be made in a pair of rows.
pub(super) struct RowToMake<'a, N> {
    pub row: usize,
    pub panels: Vec<usize>,
    /// (panel, …)
    pub numbers: &'a mut [N],
}

impl<N> Made<N> {
    /// What is to be filled, row by row.
    pub fn rows_to_make(&mut self, grid: &Grid) -> Vec<RowToMake<'_, N>> {
        let mut rest = &mut self.numbers[..];
        let rows = self.slots.chunks_exact(grid.panels).enumerate().map(|(row, slots)| {
            let panels: Vec<usize> = (0..grid.panels).filter(|&panel| slots[panel] != ELSEWHERE).collect();
            let (now, later) = std::mem::take(&mut rest).split_at_mut(panels.len() * grid.panel_length);
            rest = later;
            RowToMake { row, panels, numbers: now }
        });
        rows.filter(|row| !row.panels.is_empty()).collect()
    }

    pub fn is_made(&self, index: usize) -> bool {
        self.slots.get(index).is_some_and(|&slot| slot != ELSEWHERE)
    }
}

/// The windows that were seen, the latest last.
#[derive(Debug)]
pub(super) struct Memory<N> {
    /// Bytes of windows that are kept at the most.
    pub most: usize,
    windows: Vec<Seen<N>>,
    next: u64,
    /// The first of a scene: those before it will not be seen again.
    first: u64,
    /// Windows that nobody needs any more, for their memory.
    spare: Vec<Seen<N>>,
    /// Look for no neighbours.
    #[cfg(test)]
    pub alone: bool,
}

impl<N> Default for Memory<N> {
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

impl<N: Copy + Default> Memory<N> {
    /// Adds a window of `size` (rows, columns) and decides what is to be made for it.
    pub fn add(&mut self, grids: &[Grid], size: [usize; 2], pixels: &[f32]) {
        let mut seen = self.spare.pop().unwrap_or_default();
        seen.id = self.next;
        self.next += 1;
        seen.size = size;
        seen.pixels.clear();
        seen.pixels.extend_from_slice(pixels);
        seen.neighbours = self.neighbours(size, pixels);
        if seen.neighbours == [None; 3] {
            self.first = seen.id;
        }
        seen.steps.resize_with(grids.len(), Made::default);
        for (step, grid) in grids.iter().enumerate() {
            let near = self.near(grid, &seen);
            let count = grid.rows.cells * grid.panels;
            let mut slots = std::mem::take(&mut seen.steps[step].slots);
            slots.clear();
            let mut made = 0;
            for index in 0..count {
                let (row, panel) = (index / grid.panels, index % grid.panels);
                let shared = grid.pairs(panel).all(|pair| find(&near, grid, step, row, pair).is_some());
                slots.push(if shared { ELSEWHERE } else { made });
                made += u32::from(!shared);
            }
            seen.steps[step].slots = slots;
            resize(&mut seen.steps[step].numbers, made as usize * grid.panel_length);
        }
        self.windows.push(seen);
    }

    /// The last `count` windows, to be filled.
    pub fn last_mut(&mut self, count: usize) -> &mut [Seen<N>] {
        let first = self.windows.len() - count.min(self.windows.len());
        &mut self.windows[first..]
    }

    /// The last `count` windows.
    pub fn last(&self, count: usize) -> &[Seen<N>] {
        &self.windows[self.windows.len() - count.min(self.windows.len())..]
    }

    /// Where the weights of a window's doubling are.
    pub fn places<'a>(&'a self, grid: &'a Grid, seen: &'a Seen<N>, step: usize) -> Places<'a, N> {
        Places { own: &seen.steps[step], near: self.near(grid, seen), grid, step }
    }

    /// Lets go of windows that no later one can share with, or that would take too much memory.
    pub fn tidy(&mut self) {
        let above = self.windows.iter().rev().find_map(|seen| seen.neighbours[1]);
        let needed = above.map_or(0, |above| above.id).max(self.first);
        let last = self.next.saturating_sub(1);
        let mut kept = 0;
        let mut index = 0;
        while index < self.windows.len() {
            let seen = &self.windows[index];
            let numbers: usize = seen.steps.iter().map(|made| made.numbers.capacity()).sum();
            let bytes = seen.pixels.capacity() * size_of::<f32>() + numbers * size_of::<N>();
            // The first windows of a row are the first to be needed again.
            if seen.id == last || (seen.id >= needed && kept + bytes <= self.most) {
                kept += bytes;
                index += 1;
            } else {
                self.spare.push(self.windows.remove(index));
            }
        }
        self.spare.truncate(MOST_SPARE);
    }

    fn get(&self, id: u64) -> Option<&Seen<N>> {
        let index = self.windows.binary_search_by_key(&id, |seen| seen.id).ok()?;
        self.windows.get(index)
    }

    fn neighbours(&self, size: [usize; 2], pixels: &[f32]) -> [Option<Neighbour>; 3] {
        #[cfg(test)]
        if self.alone {
            return [None; 3];
        }
        let alike = |seen: &Seen<N>, right, down| seen.size == size && overlap(&seen.pixels, pixels, size, right, down);
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
            let downs = |seen: &Seen<N>| (2..size[0]).step_by(2).find(|&down| alike(seen, 0, down));
            self.windows.iter().find_map(|seen| Some(Neighbour { id: seen.id, right: 0, down: downs(seen)? }))
        });
        let corner = corner.zip(right).map(|(corner, right)| Neighbour { right, ..corner });
        [left, above, corner]
    }

    /// A window's neighbours as far as they can be shared with at one doubling.
    fn near<'a>(&'a self, grid: &Grid, seen: &Seen<N>) -> Vec<Near<'a, N>> {
        let near = |neighbour: &Neighbour| {
            let (right, down) = (grid.shift(neighbour.right)?, grid.shift(neighbour.down)?);
            Some(Near { seen: self.get(neighbour.id)?, right, down })
        };
        seen.neighbours.iter().flatten().filter_map(near).collect()
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
    seen: &'a Seen<N>,
    right: usize,
    down: usize,
}

/// Where the weights of one window's doubling are: with the window, or with its neighbours.
pub(super) struct Places<'a, N> {
    own: &'a Made<N>,
    near: Vec<Near<'a, N>>,
    grid: &'a Grid,
    step: usize,
}

/// A panel's weights, and the column of it that is meant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a, N> {
    pub panel: &'a [N],
    pub column: usize,
}

impl<'a, N: Copy + Default> Places<'a, N> {
    /// The weights of two by two pixels, from the left one on.
    pub fn weights(&self, row: usize, pair: usize) -> Place<'a, N> {
        let (grid, column) = (self.grid, 2 * pair);
        let index = row * grid.panels + column / grid.width;
        if self.own.is_made(index) {
            return panel(self.own, grid, index, column);
        }
        find(&self.near, grid, self.step, row, pair).unwrap_or(Place { panel: &[], column: 0 })
    }
}

fn panel<'a, N>(made: &'a Made<N>, grid: &Grid, index: usize, column: usize) -> Place<'a, N> {
    let panel = &made.numbers[made.slots[index] as usize * grid.panel_length..][..grid.panel_length];
    Place { panel, column: column % grid.width }
}

/// The weights of two by two pixels with one of the neighbours.
fn find<'a, N>(near: &[Near<'a, N>], grid: &Grid, step: usize, row: usize, pair: usize) -> Option<Place<'a, N>> {
    near.iter().find_map(|near| {
        let (there_row, there) = (row + near.down, pair + near.right);
        let rows = near.down == 0 || (grid.rows.is_inner(row) && grid.rows.is_inner(there_row));
        let columns = near.right == 0 || (grid.columns.is_inner(pair) && grid.columns.is_inner(there));
        if !rows || !columns || there_row >= grid.rows.cells || there >= grid.columns.cells {
            return None;
        }
        let (index, made) = (there_row * grid.panels + 2 * there / grid.width, near.seen.steps.get(step)?);
        made.is_made(index).then(|| panel(made, grid, index, 2 * there))
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
