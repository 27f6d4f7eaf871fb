//! Upsamples a window's channels: for two rows of pixels at a time and sixteen of each, a band of weights times source cells.
//!
//! Source cells are lines of two rows, sixteen channels: (pair of rows, tile of channels, column), so that sixteen columns in
//! a row are one tile on the right side of a product, from whatever column on. On its left side, a line is one pixel's
//! weights of the same two rows and sixteen columns, most of them its own and the rest zeros.

use rayon::prelude::*;

use super::unit::{BLOCK, Line, Operand, Ready, TILE, TileKernel, Tiles};
use super::{Form, WIDTH};
use crate::basis::Sources;
use crate::engine::{Buffers, Channels, LENGTH_FLOOR};
use crate::plan::PixelGrid;
use crate::simd::Simd;
use crate::window_cache::WeightSources;

/// Pairs of rows that are computed at once: their source rows are nearly the same.
const ROWS: usize = 2;

/// One window on its way to logits.
pub(super) struct Gathering<'a, 'b> {
    pub tiles: Tiles,
    pub lines: &'a Buffers<Line>,
    pub channels: &'a Channels<'b, Line>,
    /// Added to each query's logits.
    pub of_cls: &'a [f32],
}

impl Gathering<'_, '_> {
    /// `logits`: (pair of rows, query, 2, column)
    pub fn run(&self, logits: &mut [f32]) {
        let Channels { grids, sources, memory, cached } = *self.channels;
        let Some((last, steps)) = grids.split_last() else { return };
        let channels = Ordered::new(sources, self.of_cls);
        let cells = [grids[0].rows.cells, grids[0].columns.cells];
        let mut source = Cells::new(cells, channels.tiles, self.lines);
        self.tiles.run(Pack { cells, channels: &channels, features: &sources.features, to: &mut source });
        for (index, grid) in steps.iter().enumerate() {
            let places = memory.places(grid, cached, index);
            let mut doubled = Cells::new(grid.size(), channels.tiles, self.lines);
            let (columns, of_row) = (doubled.columns, doubled.of_row());
            let bands = Bands::new(grid);
            doubled.lines.par_chunks_mut(ROWS * of_row).enumerate().for_each(|(index, lines)| {
                let rows = Rows { grid, places: &places, bands: &bands, source: &source, first: ROWS * index };
                let (tiles, count) = (channels.tiles, lines.len() / of_row);
                self.tiles.run(Gather { rows, count, start: &[], to: Double { lines, tiles, columns } });
            });
            self.lines.give(std::mem::replace(&mut source, doubled).lines);
        }
        let (places, bands, width) = (memory.places(last, cached, steps.len()), Bands::new(last), last.size()[1]);
        let of_row = 2 * self.of_cls.len() * width;
        logits.par_chunks_mut(ROWS * of_row).enumerate().for_each(|(index, logits)| {
            let rows = Rows { grid: last, places: &places, bands: &bands, source: &source, first: ROWS * index };
            let count = logits.len() / of_row;
            let to = Compare::new(&channels, count, width, logits);
            self.tiles.run(Gather { rows, count, start: &channels.offset, to });
        });
        self.lines.give(source.lines);
    }
}

/// Channels in another order: products first, so that few tiles hold any, then lengths.
struct Ordered<'a> {
    of_cls: &'a [f32],
    /// Channels of lengths.
    lengths: usize,
    /// Tiles of sixteen channels.
    tiles: usize,
    /// (channel), filled up to an even number of tiles
    offset: Vec<f32>,
    mask: Vec<f32>,
}

impl<'a> Ordered<'a> {
    fn new(sources: &Sources, of_cls: &'a [f32]) -> Self {
        let tiles = sources.channels / TILE;
        let lengths = sources.products;
        let mut ordered = Self { of_cls, lengths, tiles, offset: Vec::new(), mask: Vec::new() };
        let padded = tiles.next_multiple_of(2) * TILE;
        let order = |from: &[f32]| {
            let mut to = vec![0.0; padded];
            ordered.order(from, &mut to);
            to
        };
        (ordered.offset, ordered.mask) = (order(&sources.offset), order(&sources.mask));
        ordered
    }

    fn order(&self, from: &[f32], to: &mut [f32]) {
        let (products, lengths) = (self.of_cls.len(), self.lengths);
        to[..products].copy_from_slice(&from[lengths..lengths + products]);
        to[products..products + lengths].copy_from_slice(&from[..lengths]);
    }
}

/// Cells as the right side of products: (pair of rows, tile of channels, column).
struct Cells {
    lines: Vec<Line>,
    tiles: usize,
    /// With sixteen columns of zeros at least after the last, where bands end that begin before it.
    columns: usize,
}

impl Cells {
    fn new([rows, columns]: [usize; 2], tiles: usize, buffers: &Buffers<Line>) -> Self {
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

/// Float32 cells, (row, column, channel), to lines.
struct Pack<'a> {
    cells: [usize; 2],
    channels: &'a Ordered<'a>,
    features: &'a [f32],
    to: &'a mut Cells,
}

impl TileKernel for Pack<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self, ready: &Ready) {
        let Self { cells: [rows, columns], channels, features, to } = self;
        let (simd, count) = (ready.lanes, channels.tiles * TILE);
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
                    ready.interleave(upper, lower, &mut to.lines[(row * channels.tiles + tile) * to.columns + column]);
                }
            }
        }
    }
}

/// How kept weights become lines of a band: for a pixel whose first source column is that many after the band's first.
struct Bands {
    form: Form,
    /// Where a line's numbers are: of two rows, or of its second one alone.
    both: Vec<Line>,
    second: Vec<Line>,
    /// Numbers that are the pixel's own, both rows.
    own: Vec<u32>,
}

impl Bands {
    fn new(grid: &PixelGrid) -> Self {
        let form = Form::new(grid);
        let mut bands = Self { form, both: Vec::new(), second: Vec::new(), own: Vec::new() };
        for shift in 0..WIDTH {
            let (mut both, mut second, mut own) = (Line::default(), Line::default(), 0);
            for column in 0..form.columns.min(WIDTH - shift) {
                let at = 2 * (shift + column);
                both.0[at] = column as u16;
                both.0[at + 1] = (form.stride + column) as u16;
                second.0[at + 1] = column as u16;
                own |= 3 << at;
            }
            bands.both.push(both);
            bands.second.push(second);
            bands.own.push(own);
        }
        bands
    }

    /// A pixel's weights of the rows `lower` and the next, counted from the first in reach.
    #[inline(always)]
    fn line(&self, ready: &Ready, kept: &[u16], lower: isize, shift: usize, to: &mut Line) {
        const FIRST: u32 = 0x5555_5555;
        let Form { rows, stride, .. } = self.form;
        let both = if stride == 16 { u32::MAX } else { (1 << (2 * stride)) - 1 };
        let one = (1 << stride) - 1;
        if lower == -1 {
            return ready.spread(kept, one, &self.second[shift], self.own[shift] & !FIRST, to);
        }
        let Some(lower) = usize::try_from(lower).ok().filter(|&lower| lower < rows) else {
            *to = Line::default();
            return;
        };
        let kept = &kept[lower * stride..];
        if lower + 1 < rows {
            ready.spread(kept, both, &self.both[shift], self.own[shift], to);
        } else {
            ready.spread(kept, one, &self.both[shift], self.own[shift] & FIRST, to);
        }
    }
}

/// Some pairs of rows, and what their sums are computed of.
struct Rows<'a> {
    grid: &'a PixelGrid,
    places: &'a WeightSources<'a, Line>,
    bands: &'a Bands,
    source: &'a Cells,
    first: usize,
}

/// What becomes of sums.
trait Sink {
    /// Two rows of sixteen pixels, 32 channels from a tile on: (2, pixel, channel); `row`: which of the pairs of rows.
    fn take(&mut self, ready: &Ready, row: usize, panel: usize, tile: usize, sums: &[f32; BLOCK]);
    /// After a panel's last channels.
    fn end(&mut self, ready: &Ready, row: usize, panel: usize);
}

/// The sums of some pairs of rows.
struct Gather<'a, T> {
    rows: Rows<'a>,
    /// Pairs of rows, up to [`ROWS`].
    count: usize,
    /// Added to every pixel, (channel); empty for nothing.
    start: &'a [f32],
    to: T,
}

impl<T: Sink> TileKernel for Gather<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self, ready: &Ready) {
        let Self { rows: Rows { grid, places, bands, source, first }, count, start, mut to } = self;
        let last = first + count - 1;
        // Pairs of source rows.
        let above = grid.rows.first(first) / 2;
        let depth = (grid.rows.first(last) + grid.rows.reach).div_ceil(2) - above;
        let mut weights = vec![Line::default(); ROWS * 2 * depth * TILE];
        let mut sums = [0.0; BLOCK];
        for panel in 0..grid.panels {
            let pairs = grid.pairs(panel);
            let left = grid.columns.first(pairs.start);
            for row in 0..count {
                let weights = &mut weights[row * 2 * depth * TILE..][..2 * depth * TILE];
                if pairs.len() < WIDTH / 2 {
                    weights.fill(Line::default());
                }
                let top = 2 * above as isize - grid.rows.first(first + row) as isize;
                for (index, pair) in pairs.clone().enumerate() {
                    let (place, shift) = (places.weights(first + row, pair), grid.columns.first(pair) - left);
                    for pixel in 0..4 {
                        let (side, column) = (pixel / 2, pixel % 2);
                        let kept = (side * WIDTH + place.column + column) * bands.form.lines;
                        let kept = Line::numbers(&place.panel[kept..][..bands.form.lines]);
                        for step in 0..depth {
                            let line = (side * depth + step) * TILE + 2 * index + column;
                            bands.line(ready, kept, top + 2 * step as isize, shift, &mut weights[line]);
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
                    ready.multiply(weights, right, depth, start, &mut sums);
                    to.take(ready, row, panel, tile, &sums);
                }
            }
            for row in 0..count {
                to.end(ready, row, panel);
            }
        }
    }
}

/// Sums as cells of the next doubling.
struct Double<'a> {
    lines: &'a mut [Line],
    tiles: usize,
    columns: usize,
}

impl Sink for Double<'_> {
    #[inline(always)]
    fn take(&mut self, ready: &Ready, row: usize, panel: usize, tile: usize, sums: &[f32; BLOCK]) {
        let simd = ready.lanes;
        for half in 0..2.min(self.tiles - tile) {
            let to = &mut self.lines[(row * self.tiles + tile + half) * self.columns..][..self.columns];
            let (upper, lower) = sums[half * TILE..].split_at(BLOCK / 2);
            for (column, to) in to[panel * WIDTH..][..WIDTH].iter_mut().enumerate() {
                ready.interleave(simd.load(&upper[column * 32..]), simd.load(&lower[column * 32..]), to);
            }
            if (panel + 2) * WIDTH == self.columns {
                to[(panel + 1) * WIDTH..].fill(Line::default());
            }
        }
    }

    #[inline(always)]
    fn end(&mut self, _ready: &Ready, _row: usize, _panel: usize) {}
}

/// Sums as logits: products divided by lengths.
struct Compare<'a> {
    channels: &'a Ordered<'a>,
    width: usize,
    /// (pair of rows, tile of queries, 2, pixel, query)
    products: Vec<f32>,
    /// (pair of rows, 2, pixel, 16): parts of squared lengths
    squares: Vec<f32>,
    /// (pair of rows, query, 2, column)
    logits: &'a mut [f32],
}

impl<'a> Compare<'a> {
    fn new(channels: &'a Ordered<'a>, rows: usize, width: usize, logits: &'a mut [f32]) -> Self {
        let of_row = 2 * WIDTH * TILE;
        let products = vec![0.0; rows * channels.of_cls.len().div_ceil(TILE) * of_row];
        Self { channels, width, products, squares: vec![0.0; rows * of_row], logits }
    }

    fn tiles(&self) -> usize {
        self.channels.of_cls.len().div_ceil(TILE)
    }
}

impl Sink for Compare<'_> {
    #[inline(always)]
    fn take(&mut self, ready: &Ready, row: usize, _panel: usize, tile: usize, sums: &[f32; BLOCK]) {
        let (simd, tiles, of_row) = (ready.lanes, self.tiles(), 2 * WIDTH * TILE);
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
    fn end(&mut self, ready: &Ready, row: usize, panel: usize) {
        let (simd, tiles, queries, of_side) = (ready.lanes, self.tiles(), self.channels.of_cls.len(), WIDTH * TILE);
        let columns = panel * WIDTH..self.width.min((panel + 1) * WIDTH);
        for side in 0..2 {
            let squares = ready.row_sums(load(ready, &self.squares[(row * 2 + side) * of_side..]));
            let scale = ready.inverse_root(simd.max(squares, simd.splat(LENGTH_FLOOR)));
            for tile in 0..tiles {
                let products = &self.products[((row * tiles + tile) * 2 + side) * of_side..];
                let products = ready.transpose(load(ready, products));
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

/// Sixteen vectors.
#[inline(always)]
fn load(ready: &Ready, from: &[f32]) -> [<super::super::simd::Avx512 as Simd>::V; 16] {
    let mut rows = [ready.lanes.splat(0.0); 16];
    let mut row = 0;
    while row < 16 {
        rows[row] = ready.lanes.load(&from[row * 16..]);
        row += 1;
    }
    rows
}
