//! Weighted sums of source cells, as products of a band matrix of weights and the cells: two rows of sixteen pixels at a time.
//!
//! Source cells are lines of two rows and sixteen channels, (pair of rows, tile of channels, column), so that sixteen columns from
//! any column on are one tile of the right operand. In the left operand, a line holds one pixel's weights for the same two rows and
//! sixteen columns, zeros outside its support.

use rayon::prelude::*;

use super::tile::{AmxTiles, BLOCK, Line, Operand, TILE, TileContext, TileKernel};
use super::{WIDTH, WeightLayout};
use crate::backend::{BufferPool, SQUARED_NORM_FLOOR, WindowInput};
use crate::pixel_grid::PixelGrid;
use crate::reduced::ReducedFeatures;
use crate::simd::Simd;
use crate::window_cache::WeightSources;

/// Pairs of rows that are computed at once, since they have nearly the same source rows.
const ROWS: usize = 2;

/// Upsamples one window to logits.
pub(super) struct UpsampleWindow<'a, 'b> {
    pub tiles: AmxTiles,
    pub lines: &'a BufferPool<Line>,
    pub channels: &'a WindowInput<'b, Line>,
    /// Added to each query's logits.
    pub of_cls: &'a [f32],
}

impl UpsampleWindow<'_, '_> {
    /// `logits`: (pair of rows, query, 2, column)
    pub fn run(&self, logits: &mut [f32]) {
        let WindowInput { grids, reduced, cache, window } = *self.channels;
        let Some((last, doublings)) = grids.split_last() else { return };
        let channels = ReorderedChannels::new(reduced, self.of_cls);
        let cells = [grids[0].rows.cells, grids[0].columns.cells];
        let mut source = PackedCells::new(cells, channels.tiles, self.lines);
        self.tiles.run(Pack { cells, channels: &channels, features: &reduced.features, to: &mut source });
        for (index, grid) in doublings.iter().enumerate() {
            let sources = cache.weight_sources(grid, window, index);
            let mut doubled = PackedCells::new(grid.size(), channels.tiles, self.lines);
            let (columns, of_row) = (doubled.columns, doubled.of_row());
            let bands = BandPermutations::new(grid);
            doubled.lines.par_chunks_mut(ROWS * of_row).enumerate().for_each(|(index, lines)| {
                let rows = Rows { grid, weights: &sources, bands: &bands, source: &source, first: ROWS * index };
                let (tiles, count) = (channels.tiles, lines.len() / of_row);
                self.tiles.run(WeightedSums { rows, count, start: &[], to: StoreCells { lines, tiles, columns } });
            });
            self.lines.give(std::mem::replace(&mut source, doubled).lines);
        }
        let (sources, bands, width) =
            (cache.weight_sources(last, window, doublings.len()), BandPermutations::new(last), last.size()[1]);
        let of_row = 2 * self.of_cls.len() * width;
        logits.par_chunks_mut(ROWS * of_row).enumerate().for_each(|(index, logits)| {
            let rows = Rows { grid: last, weights: &sources, bands: &bands, source: &source, first: ROWS * index };
            let count = logits.len() / of_row;
            let to = StoreLogits::new(&channels, count, width, logits);
            self.tiles.run(WeightedSums { rows, count, start: &channels.offset, to });
        });
        self.lines.give(source.lines);
    }
}

/// The reduced channels in another order: scalar products first, so that few tiles hold them, then channels of the norm.
struct ReorderedChannels<'a> {
    of_cls: &'a [f32],
    /// Channels of the norm.
    norm_channels: usize,
    /// Tiles of sixteen channels.
    tiles: usize,
    /// (channel), padded to an even number of tiles
    offset: Vec<f32>,
    mask: Vec<f32>,
}

impl<'a> ReorderedChannels<'a> {
    fn new(reduced: &ReducedFeatures, of_cls: &'a [f32]) -> Self {
        let tiles = reduced.channels / TILE;
        let norm_channels = reduced.first_product;
        let mut ordered = Self { of_cls, norm_channels, tiles, offset: Vec::new(), mask: Vec::new() };
        let padded = tiles.next_multiple_of(2) * TILE;
        let order = |from: &[f32]| {
            let mut to = vec![0.0; padded];
            ordered.order(from, &mut to);
            to
        };
        (ordered.offset, ordered.mask) = (order(&reduced.offset), order(&reduced.mask));
        ordered
    }

    /// Copies the channels of one cell in the new order.
    fn order(&self, from: &[f32], to: &mut [f32]) {
        let (products, norm_channels) = (self.of_cls.len(), self.norm_channels);
        to[..products].copy_from_slice(&from[norm_channels..norm_channels + products]);
        to[products..products + norm_channels].copy_from_slice(&from[..norm_channels]);
    }
}

/// Source cells as the right operand of products: (pair of rows, tile of channels, column).
struct PackedCells {
    lines: Vec<Line>,
    tiles: usize,
    /// Columns, with at least sixteen of zeros after the last: a band can begin at any column.
    columns: usize,
}

impl PackedCells {
    fn new([rows, columns]: [usize; 2], tiles: usize, buffers: &BufferPool<Line>) -> Self {
        let columns = padded(columns) + WIDTH;
        Self { lines: buffers.take(rows.div_ceil(2) * tiles * columns), tiles, columns }
    }

    fn of_row(&self) -> usize {
        self.tiles * self.columns
    }
}

fn padded(columns: usize) -> usize {
    columns.next_multiple_of(WIDTH)
}

/// Packs float32 cells, (row, column, channel), into lines.
struct Pack<'a> {
    cells: [usize; 2],
    channels: &'a ReorderedChannels<'a>,
    features: &'a [f32],
    to: &'a mut PackedCells,
}

impl TileKernel for Pack<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self, context: &TileContext) {
        let Self { cells: [rows, columns], channels, features, to } = self;
        let (simd, count) = (context.simd, channels.tiles * TILE);
        to.lines.fill(Line::default());
        let mut pair = [vec![0f32; count], vec![0f32; count]];
        for row in 0..rows.div_ceil(2) {
            for column in 0..columns {
                for (side, cell) in pair.iter_mut().enumerate() {
                    match 2 * row + side < rows {
                        true => {
                            channels.order(&features[((2 * row + side) * columns + column) * count..][..count], cell)
                        }
                        false => cell.fill(0.0),
                    }
                }
                for tile in 0..channels.tiles {
                    let [upper, lower] = [&pair[0], &pair[1]].map(|cell| simd.load(&cell[tile * TILE..]));
                    context.interleave(
                        upper,
                        lower,
                        &mut to.lines[(row * channels.tiles + tile) * to.columns + column],
                    );
                }
            }
        }
    }
}

/// The permutations that turn stored weights into lines of the band matrix, by the distance of a pixel's first source column from
/// that of the band.
struct BandPermutations {
    layout: WeightLayout,
    /// The source of each number of a line: for both rows, and for the second row alone.
    both: Vec<Line>,
    second: Vec<Line>,
    /// Mask of the numbers inside the pixel's support, both rows.
    own: Vec<u32>,
}

impl BandPermutations {
    fn new(grid: &PixelGrid) -> Self {
        let layout = WeightLayout::new(grid);
        let mut bands = Self { layout, both: Vec::new(), second: Vec::new(), own: Vec::new() };
        for shift in 0..WIDTH {
            let (mut both, mut second, mut own) = (Line::default(), Line::default(), 0);
            for column in 0..layout.columns.min(WIDTH - shift) {
                let at = 2 * (shift + column);
                both.0[at] = column as u16;
                both.0[at + 1] = (layout.stride + column) as u16;
                second.0[at + 1] = column as u16;
                own |= 3 << at;
            }
            bands.both.push(both);
            bands.second.push(second);
            bands.own.push(own);
        }
        bands
    }

    /// Writes a pixel's weights for the source rows `lower` and `lower + 1`, counted from the first in the support, into a line.
    #[inline(always)]
    fn line(&self, context: &TileContext, weights: &[u16], lower: isize, shift: usize, to: &mut Line) {
        /// The numbers of the first row.
        const FIRST: u32 = 0x5555_5555;
        let WeightLayout { rows, stride, .. } = self.layout;
        let both = if stride == 16 { u32::MAX } else { (1 << (2 * stride)) - 1 };
        let one = (1 << stride) - 1;
        if lower == -1 {
            return context.permute(weights, one, &self.second[shift], self.own[shift] & !FIRST, to);
        }
        let Some(lower) = usize::try_from(lower).ok().filter(|&lower| lower < rows) else {
            *to = Line::default();
            return;
        };
        let weights = &weights[lower * stride..];
        if lower + 1 < rows {
            context.permute(weights, both, &self.both[shift], self.own[shift], to);
        } else {
            context.permute(weights, one, &self.both[shift], self.own[shift] & FIRST, to);
        }
    }
}

/// Pairs of rows from `first` on, and what their sums are computed from.
struct Rows<'a> {
    grid: &'a PixelGrid,
    weights: &'a WeightSources<'a, Line>,
    bands: &'a BandPermutations,
    source: &'a PackedCells,
    first: usize,
}

/// Stores the sums of panels.
trait Sink {
    /// Stores 32 channels from `tile` on, (2, pixel, channel). `row`: index of the pair of rows.
    fn take(&mut self, context: &TileContext, row: usize, panel: usize, tile: usize, sums: &[f32; BLOCK]);
    /// Is called after the last channels of a panel.
    fn end(&mut self, context: &TileContext, row: usize, panel: usize);
}

/// Computes the weighted sums of pairs of rows.
struct WeightedSums<'a, T> {
    rows: Rows<'a>,
    /// Pairs of rows, up to [`ROWS`].
    count: usize,
    /// Added to every pixel, (channel), or empty.
    start: &'a [f32],
    to: T,
}

impl<T: Sink> TileKernel for WeightedSums<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self, context: &TileContext) {
        let Self { rows: Rows { grid, weights: stored, bands, source, first }, count, start, mut to } = self;
        let last = first + count - 1;
        // Pairs of source rows.
        let above = grid.rows.first(first) / 2;
        let depth = (grid.rows.first(last) + grid.rows.support).div_ceil(2) - above;
        let mut weights = vec![Line::default(); ROWS * 2 * depth * TILE];
        let mut sums = [0.0; BLOCK];
        for panel in 0..grid.panels {
            let columns = grid.source_columns(panel);
            let left = grid.columns.first(columns.start);
            for row in 0..count {
                let weights = &mut weights[row * 2 * depth * TILE..][..2 * depth * TILE];
                if columns.len() < WIDTH / 2 {
                    weights.fill(Line::default());
                }
                let top = 2 * above as isize - grid.rows.first(first + row) as isize;
                for (index, cell) in columns.clone().enumerate() {
                    let (of_cell, shift) = (stored.weights(first + row, cell), grid.columns.first(cell) - left);
                    for pixel in 0..4 {
                        let (side, column) = (pixel / 2, pixel % 2);
                        let at = (side * WIDTH + of_cell.column + column) * bands.layout.lines;
                        let of_pixel = Line::numbers(&of_cell.panel[at..][..bands.layout.lines]);
                        for step in 0..depth {
                            let line = (side * depth + step) * TILE + 2 * index + column;
                            bands.line(context, of_pixel, top + 2 * step as isize, shift, &mut weights[line]);
                        }
                    }
                }
            }
            for tile in (0..source.tiles).step_by(2) {
                let lines = &source.lines[(above * source.tiles + tile) * source.columns + left..];
                let second = if tile + 1 < source.tiles { source.columns } else { 0 };
                let right = Operand { lines, next: source.of_row(), second };
                let start = start.get(tile * TILE..).and_then(|start| start.first_chunk()).unwrap_or(&[0.0; 32]);
                for row in 0..count {
                    let lines = &weights[row * 2 * depth * TILE..];
                    let weights = Operand { lines, next: TILE, second: depth * TILE };
                    context.multiply(weights, right, depth, start, &mut sums);
                    to.take(context, row, panel, tile, &sums);
                }
            }
            for row in 0..count {
                to.end(context, row, panel);
            }
        }
    }
}

/// Stores sums as source cells of the next doubling.
struct StoreCells<'a> {
    lines: &'a mut [Line],
    tiles: usize,
    columns: usize,
}

impl Sink for StoreCells<'_> {
    #[inline(always)]
    fn take(&mut self, context: &TileContext, row: usize, panel: usize, tile: usize, sums: &[f32; BLOCK]) {
        let simd = context.simd;
        for half in 0..2.min(self.tiles - tile) {
            let to = &mut self.lines[(row * self.tiles + tile + half) * self.columns..][..self.columns];
            let (upper, lower) = sums[half * TILE..].split_at(BLOCK / 2);
            for (column, to) in to[panel * WIDTH..][..WIDTH].iter_mut().enumerate() {
                context.interleave(simd.load(&upper[column * 32..]), simd.load(&lower[column * 32..]), to);
            }
            if (panel + 2) * WIDTH == self.columns {
                to[(panel + 1) * WIDTH..].fill(Line::default());
            }
        }
    }

    #[inline(always)]
    fn end(&mut self, _ready: &TileContext, _row: usize, _panel: usize) {}
}

/// Stores sums as logits: scalar products divided by norms.
struct StoreLogits<'a> {
    channels: &'a ReorderedChannels<'a>,
    width: usize,
    /// (pair of rows, tile of queries, 2, pixel, query)
    products: Vec<f32>,
    /// (pair of rows, 2, pixel, 16): partial sums of the squared norms
    squares: Vec<f32>,
    /// (pair of rows, query, 2, column)
    logits: &'a mut [f32],
}

impl<'a> StoreLogits<'a> {
    fn new(channels: &'a ReorderedChannels<'a>, rows: usize, width: usize, logits: &'a mut [f32]) -> Self {
        let of_row = 2 * WIDTH * TILE;
        let products = vec![0.0; rows * channels.of_cls.len().div_ceil(TILE) * of_row];
        Self { channels, width, products, squares: vec![0.0; rows * of_row], logits }
    }

    fn tiles(&self) -> usize {
        self.channels.of_cls.len().div_ceil(TILE)
    }
}

impl Sink for StoreLogits<'_> {
    #[inline(always)]
    fn take(&mut self, context: &TileContext, row: usize, _panel: usize, tile: usize, sums: &[f32; BLOCK]) {
        let (simd, tiles, of_row) = (context.simd, self.tiles(), 2 * WIDTH * TILE);
        for half in 0..2 {
            if tile + half < tiles {
                let to = &mut self.products[(row * tiles + tile + half) * of_row..][..of_row];
                for (to, from) in to.as_chunks_mut::<TILE>().0.iter_mut().zip(sums.as_chunks::<32>().0) {
                    simd.store(simd.load(&from[half * TILE..]), to);
                }
            }
        }
        let mask = &self.channels.mask[tile * TILE..];
        let mask = [simd.load(mask), simd.load(&mask[TILE..])];
        let squares = self.squares[row * of_row..][..of_row].as_chunks_mut::<TILE>().0;
        for (square, sums) in squares.iter_mut().zip(sums.as_chunks::<32>().0) {
            let (a, b) = (simd.load(sums), simd.load(&sums[TILE..]));
            let sum = if tile == 0 { simd.splat(0.0) } else { simd.load(square) };
            let sum = simd.fma(simd.mul(a, mask[0]), a, sum);
            simd.store(simd.fma(simd.mul(b, mask[1]), b, sum), square);
        }
    }

    #[inline(always)]
    fn end(&mut self, context: &TileContext, row: usize, panel: usize) {
        let (simd, tiles, queries, of_side) = (context.simd, self.tiles(), self.channels.of_cls.len(), WIDTH * TILE);
        let columns = panel * WIDTH..self.width.min((panel + 1) * WIDTH);
        for side in 0..2 {
            let squares = context.row_sums(load(context, &self.squares[(row * 2 + side) * of_side..]));
            let scale = context.inverse_root(simd.max(squares, simd.splat(SQUARED_NORM_FLOOR)));
            for tile in 0..tiles {
                let products = &self.products[((row * tiles + tile) * 2 + side) * of_side..];
                let products = context.transpose(load(context, products));
                let first = tile * TILE;
                for (index, &of_cls) in self.channels.of_cls[first..].iter().take(TILE).enumerate() {
                    let logits = simd.fma(products[index], scale, simd.splat(of_cls));
                    let at = ((row * queries + first + index) * 2 + side) * self.width;
                    let to = &mut self.logits[at..][columns.clone()];
                    if to.len() == WIDTH {
                        simd.store(logits, to);
                    } else {
                        let mut all = [0.0; WIDTH];
                        simd.store(logits, &mut all);
                        to.copy_from_slice(&all[..to.len()]);
                    }
                }
            }
        }
    }
}

/// Loads sixteen vectors.
#[inline(always)]
fn load(context: &TileContext, from: &[f32]) -> [<crate::simd::Avx512 as Simd>::V; 16] {
    let mut rows = [context.simd.splat(0.0); 16];
    let mut row = 0;
    while row < 16 {
        rows[row] = context.simd.load(&from[row * 16..]);
        row += 1;
    }
    rows
}
