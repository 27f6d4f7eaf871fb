//! The labels of a scene as far as they are known: squares of pixels, each of one revision of the classes.
//!
//! Labels are compressed in memory, so that those of a scene of 30,000 × 30,000 pixels take some tens of megabytes. A block that was
//! labelled with earlier classes is shown, in their colours, until the new one is there.

use std::sync::Arc;

use crate::geom::{Size, Window};

/// Side of a block in pixels.
pub const BLOCK: usize = 128;
/// Pixels between two that stand for a block seen from afar.
const COARSE: usize = 8;
/// The value of pixels without a label.
const NODATA: u8 = u8::MAX;

/// The classes of a revision.
#[derive(Debug)]
pub struct Legend {
    pub revision: u64,
    pub names: Vec<String>,
    pub colours: Vec<[u8; 3]>,
}

#[derive(Clone, Debug)]
struct Block {
    legend: Arc<Legend>,
    /// (row, column), compressed.
    labels: Box<[u8]>,
    /// Every eighth row and column.
    coarse: Box<[u8]>,
    /// The number of the change that brought it.
    change: u64,
}

/// Sums over the blocks of the latest revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    pub revision: u64,
    pub blocks: usize,
    /// Of each class.
    pub pixels: Vec<u64>,
    /// The same times the area of a pixel.
    pub areas: Vec<f64>,
}

/// The blocks of a scene.
#[derive(Debug)]
pub struct Blocks {
    size: Size,
    columns: usize,
    blocks: Vec<Option<Block>>,
    /// Grows with every change.
    changes: u64,
    totals: Totals,
}

impl Blocks {
    pub fn new(size: Size) -> Self {
        let (columns, rows) = (size.width.div_ceil(BLOCK), size.height.div_ceil(BLOCK));
        Self { size, columns, blocks: vec![None; columns * rows], changes: 0, totals: Totals::default() }
    }

    /// Grows with every change of a label.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    pub fn count(&self) -> usize {
        self.blocks.len()
    }

    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The columns and rows of blocks that a part of the scene reaches.
    fn reaching(&self, part: Window) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let rows = self.blocks.len() / self.columns.max(1);
        let span = |start: usize, end: usize, most: usize| (start / BLOCK).min(most)..end.div_ceil(BLOCK).min(most);
        (span(part.col, part.cols().end, self.columns), span(part.row, part.rows().end, rows))
    }

    fn is_of(&self, col: usize, row: usize, revision: u64) -> bool {
        let block = self.blocks.get(row * self.columns + col).and_then(Option::as_ref);
        block.is_some_and(|block| block.legend.revision == revision)
    }

    /// Whether all blocks of a part are of this revision.
    pub fn has(&self, part: Window, revision: u64) -> bool {
        let (cols, rows) = self.reaching(part);
        rows.into_iter().all(|row| cols.clone().all(|col| self.is_of(col, row, revision)))
    }

    /// A rectangle of blocks in a part of the scene that holds some that are not of this revision: of those squares of `most` blocks a
    /// side that lack one, the nearest to the middle of the part. `None`: all are there.
    pub fn missing(&self, part: Window, revision: u64, most: usize) -> Option<Window> {
        let (cols, rows) = self.reaching(part);
        let most = most.max(1);
        let middle = |range: &std::ops::Range<usize>| (range.start + range.end) as f64 / 2.0;
        let (across, down) = (middle(&cols), middle(&rows));
        let mut best: Option<(f64, [usize; 4])> = None;
        for row in rows.clone().step_by(most) {
            for col in cols.clone().step_by(most) {
                let (right, lower) = ((col + most).min(cols.end), (row + most).min(rows.end));
                let distance = (middle(&(col..right)) - across).hypot(middle(&(row..lower)) - down);
                if best.is_some_and(|(nearest, _)| nearest <= distance) {
                    continue;
                }
                let lacking = (row..lower).flat_map(|row| (col..right).map(move |col| (col, row)));
                let lacking = lacking.filter(|(col, row)| !self.is_of(*col, *row, revision));
                let around = lacking.fold(None, |around: Option<[usize; 4]>, (col, row)| {
                    let [left, upper, right, lower] = around.unwrap_or([col, row, col, row]);
                    Some([left.min(col), upper.min(row), right.max(col), lower.max(row)])
                });
                best = around.map(|around| (distance, around)).or(best);
            }
        }
        let (_, [left, upper, right, lower]) = best?;
        let span = |first: usize, last: usize, length: usize| {
            (first * BLOCK, ((last + 1) * BLOCK).min(length) - first * BLOCK)
        };
        let ((col, width), (row, height)) = (span(left, right, self.size.width), span(upper, lower, self.size.height));
        Some(Window { col, row, width, height })
    }

    /// Takes labels of whole blocks, (row, column) in `part`, of which 255 and more are no label. `pixel_area`: of a pixel at a position
    /// (column, row).
    pub fn put(&mut self, part: Window, labels: &[u16], legend: &Arc<Legend>, pixel_area: impl Fn(f64, f64) -> f64) {
        let (cols, rows) = self.reaching(part);
        self.changes += 1;
        if self.totals.revision != legend.revision {
            let classes = legend.names.len();
            let (pixels, areas) = (vec![0; classes], vec![0.0; classes]);
            self.totals = Totals { revision: legend.revision, blocks: 0, pixels, areas };
        }
        for row in rows {
            for col in cols.clone() {
                let (left, upper) = (col * BLOCK, row * BLOCK);
                let (right, lower) = ((left + BLOCK).min(self.size.width), (upper + BLOCK).min(self.size.height));
                if left < part.col || upper < part.row || right > part.cols().end || lower > part.rows().end {
                    continue;
                }
                let lines = (upper..lower).filter_map(|line| {
                    let start = (line - part.row) * part.width + left - part.col;
                    labels.get(start..start + right - left)
                });
                let mut own = Vec::with_capacity(BLOCK * BLOCK);
                let mut counts = vec![0u32; legend.names.len()];
                for label in lines.flatten() {
                    if let Some(count) = counts.get_mut(usize::from(*label)) {
                        *count += 1;
                    }
                    own.push(u8::try_from(*label).unwrap_or(NODATA));
                }
                let width = right - left;
                let coarse =
                    own.chunks_exact(width.max(1)).step_by(COARSE).flat_map(|line| line.iter().step_by(COARSE));
                let block = Block {
                    legend: legend.clone(),
                    coarse: coarse.copied().collect(),
                    labels: lz4_flex::compress(&own).into(),
                    change: self.changes,
                };
                if self.is_of(col, row, legend.revision) {
                    // The same labels once more.
                    continue;
                }
                let area = pixel_area((left + right) as f64 / 2.0, (upper + lower) as f64 / 2.0);
                let sums = self.totals.pixels.iter_mut().zip(&mut self.totals.areas);
                for ((pixels, areas), count) in sums.zip(&counts) {
                    *pixels += u64::from(*count);
                    *areas += f64::from(*count) * area;
                }
                self.totals.blocks += 1;
                if let Some(to) = self.blocks.get_mut(row * self.columns + col) {
                    *to = Some(block);
                }
            }
        }
    }

    /// The number of the latest change in a part; 0: nothing is known of it.
    pub fn latest(&self, part: Window) -> u64 {
        let (cols, rows) = self.reaching(part);
        let blocks = rows.flat_map(|row| cols.clone().map(move |col| row * self.columns + col));
        blocks.filter_map(|at| self.blocks.get(at)?.as_ref()).map(|block| block.change).max().unwrap_or(0)
    }

    /// The labels of a part, (row, column), with 255 for pixels without one, and their classes. Blocks that are not of this revision
    /// have no labels. `None`: there is none of it.
    pub fn labels(&self, part: Window, revision: u64) -> Option<(Vec<u8>, Arc<Legend>)> {
        let (cols, rows) = self.reaching(part);
        let mut labels = vec![NODATA; part.size().pixels()];
        let mut legend = None;
        for row in rows {
            for col in cols.clone() {
                let block = self.blocks.get(row * self.columns + col)?.as_ref();
                let Some(block) = block.filter(|block| block.legend.revision == revision) else { continue };
                legend = Some(block.legend.clone());
                let own = lz4_flex::decompress(&block.labels, BLOCK * BLOCK).ok()?;
                let width = BLOCK.min(self.size.width - col * BLOCK);
                // The columns that the block and the part have in common.
                let (first, last) = ((col * BLOCK).max(part.col), (col * BLOCK + width).min(part.cols().end));
                for (line, own) in (row * BLOCK..).zip(own.chunks_exact(width.max(1))) {
                    if line < part.row || line >= part.rows().end || first >= last {
                        continue;
                    }
                    let to = (line - part.row) * part.width + first - part.col;
                    let from = own.get(first - col * BLOCK..last - col * BLOCK)?;
                    labels.get_mut(to..to + last - first)?.copy_from_slice(from);
                }
            }
        }
        Some((labels, legend?))
    }

    /// A copy of the blocks below a part, for reading without a lock.
    pub fn look(&self, part: Window, step: f64) -> Look {
        let (cols, rows) = self.reaching(part);
        let coarse = step > COARSE as f64 / 2.0;
        let mut blocks = Vec::with_capacity(cols.len() * rows.len());
        for row in rows.clone() {
            for col in cols.clone() {
                let block = self.blocks.get(row * self.columns + col).and_then(Option::as_ref);
                let width = BLOCK.min(self.size.width.saturating_sub(col * BLOCK));
                blocks.push(block.map(|block| {
                    let (labels, width) = match coarse {
                        true => (block.coarse.clone(), width.div_ceil(COARSE)),
                        false => (block.labels.clone(), width),
                    };
                    (block.legend.clone(), labels, width)
                }));
            }
        }
        Look { first: [cols.start, rows.start], columns: cols.len(), coarse, blocks }
    }
}

/// The labels of a block, compressed or coarse, with their legend and the columns of a row.
type Shown = (Arc<Legend>, Box<[u8]>, usize);

/// Labels below a tile.
#[derive(Debug)]
pub struct Look {
    first: [usize; 2],
    columns: usize,
    coarse: bool,
    blocks: Vec<Option<Shown>>,
}

impl Look {
    /// The colours at positions (column, row): an index into the palette each, of which the first entry is transparent.
    pub fn colours(&self, places: &[[f64; 2]]) -> (Vec<u8>, Vec<[u8; 4]>) {
        let mut palette = vec![[0u8; 4]];
        let mut index_of = std::collections::HashMap::new();
        let most = BLOCK * BLOCK;
        let whole = self.blocks.iter().map(|block| {
            let (legend, labels, width) = block.as_ref()?;
            let labels = match self.coarse {
                true => labels.to_vec(),
                false => lz4_flex::decompress(labels, most).ok()?,
            };
            let indices: Vec<u8> = legend
                .colours
                .iter()
                .map(|[red, green, blue]| {
                    *index_of.entry([*red, *green, *blue]).or_insert_with(|| {
                        // Stale blocks may have other colours; beyond the palette's end they are left out.
                        if palette.len() > usize::from(NODATA) {
                            return 0;
                        }
                        palette.push([*red, *green, *blue, u8::MAX]);
                        (palette.len() - 1) as u8
                    })
                })
                .collect();
            Some((labels, indices, *width))
        });
        let whole: Vec<_> = whole.collect();
        let scale = if self.coarse { COARSE } else { 1 };
        let at = |[col, row]: &[f64; 2]| -> Option<u8> {
            if !(*col >= 0.0 && *row >= 0.0) {
                return None;
            }
            let (col, row) = (*col as usize, *row as usize);
            let (across, down) = ((col / BLOCK).checked_sub(self.first[0])?, (row / BLOCK).checked_sub(self.first[1])?);
            if across >= self.columns {
                return None;
            }
            let (labels, indices, width) = whole.get(down * self.columns + across)?.as_ref()?;
            let (col, row) = (col % BLOCK / scale, row % BLOCK / scale);
            if col >= *width {
                return None;
            }
            let label = labels.get(row * width + col)?;
            indices.get(usize::from(*label)).copied()
        };
        (places.iter().map(|place| at(place).unwrap_or(0)).collect(), palette)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn legend(revision: u64) -> Arc<Legend> {
        let names = ["a", "b", "c"].map(str::to_owned).to_vec();
        Arc::new(Legend { revision, names, colours: vec![[9, 0, 0], [0, 9, 0], [0, 0, revision as u8]] })
    }

    #[test]
    fn labels_are_found_where_they_were_put() {
        let size = Size::new(300, 200);
        let mut blocks = Blocks::new(size);
        let label = |col: usize, row: usize| {
            if (col + row).is_multiple_of(11) { 255u16 } else { ((col / 7 + row / 5) % 3) as u16 }
        };
        let part = blocks.missing(size.window(), 1, 100).unwrap();
        assert_eq!(part, size.window());
        let labels: Vec<u16> = (0..200).flat_map(|row| (0..300).map(move |col| label(col, row))).collect();
        blocks.put(part, &labels, &legend(1), |_, _| 2.0);
        assert!(blocks.has(size.window(), 1) && blocks.missing(size.window(), 1, 2).is_none());
        let places: Vec<[f64; 2]> =
            (0..200).flat_map(|row| (0..300).map(move |col| [col as f64 + 0.5, row as f64 + 0.5])).collect();
        let (indices, palette) = blocks.look(size.window(), 1.0).colours(&places);
        for (index, label) in indices.iter().zip(&labels) {
            let colour = palette[usize::from(*index)];
            let expected = legend(1).colours.get(usize::from(*label)).map_or([0; 4], |[r, g, b]| [*r, *g, *b, 255]);
            assert_eq!(colour, expected);
        }
        let counts = [0, 1, 2].map(|at| labels.iter().filter(|label| **label == at).count() as u64);
        assert_eq!(blocks.totals().pixels, counts);
        assert_eq!(blocks.totals().areas, counts.map(|count| count as f64 * 2.0));
        // Whatever part is asked for.
        let inside = Window { col: 120, row: 90, width: 170, height: 60 };
        let (found, names) = blocks.labels(inside, 1).unwrap();
        let expected: Vec<u8> = (90..150).flat_map(|row| (120..290).map(move |col| label(col, row) as u8)).collect();
        assert!(found == expected && names.revision == 1);
        assert!(blocks.labels(inside, 2).is_none());
        assert_eq!((blocks.latest(inside), blocks.latest(Window { col: 900, ..inside })), (1, 0));
        // From afar, every eighth pixel stands for its neighbours.
        let (afar, palette) =
            blocks.look(size.window(), 9.0).colours(&[[1.5, 1.5], [299.0, 199.0], [-1.0, 0.0], [0.0, 1e9]]);
        assert_eq!(palette[usize::from(afar[0])], [0; 4], "of column 0, row 0");
        assert_eq!(afar[2..], [0, 0]);
    }

    #[test]
    fn the_nearest_part_of_an_earlier_revision_is_next() {
        let size = Size::new(1280, 1280);
        let mut blocks = Blocks::new(size);
        let view = Window { col: 500, row: 500, width: 300, height: 300 };
        let first = blocks.missing(view, 1, 4).unwrap();
        assert_eq!(first, Window { col: 384, row: 384, width: 512, height: 512 });
        blocks.put(first, &vec![0; 512 * 512], &legend(1), |_, _| 1.0);
        assert!(blocks.has(view, 1) && !blocks.has(size.window(), 1));
        assert_eq!(blocks.totals().blocks, 16);
        let mut steps = 0;
        while let Some(part) = blocks.missing(size.window(), 1, 4) {
            blocks.put(part, &vec![1; part.size().pixels()], &legend(1), |_, _| 1.0);
            steps += 1;
        }
        assert!(blocks.totals().blocks == blocks.count() && steps <= 9, "{steps}");
        assert_eq!(blocks.missing(view, 2, 4), Some(first), "all is of an earlier revision");
    }
}
