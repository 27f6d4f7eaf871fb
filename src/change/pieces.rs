//! Connected pieces of a mask, row by row, and what is decided of each whole piece.
//!
//! A first pass sums up every piece and decides when its last row is over; a second pass over the same rows looks the decisions up.
//! Memory: the pieces that reach the row at hand, and a bit for each place where a piece begins.

#![expect(clippy::indexing_slicing, reason = "columns of a row, and numbers that the pass itself has given")]

use std::ops::Range;

/// A run of pixels of a row, with the number of the place where its piece was first seen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    cols: Range<usize>,
    start: usize,
}

/// The runs of a row, each joined to a run of the row above that it touches, by a corner at least.
#[derive(Debug, Default)]
struct Rows {
    above: Vec<Run>,
    starts: usize,
}

impl Rows {
    /// Takes the next row; `join(a, b)` is told of runs above that belong together, by their starts.
    fn row(&mut self, mask: impl Fn(usize) -> bool, width: usize, mut join: impl FnMut(usize, usize)) -> &[Run] {
        let mut runs: Vec<Run> = Vec::new();
        let mut col = 0;
        let mut first = 0;
        while col < width {
            if !mask(col) {
                col += 1;
                continue;
            }
            let begin = col;
            while col < width && mask(col) {
                col += 1;
            }
            // Runs above that end before this one cannot touch a later one.
            while self.above.get(first).is_some_and(|above| above.cols.end < begin) {
                first += 1;
            }
            let touching = self.above[first..].iter().take_while(|above| above.cols.start <= col);
            let mut start = None;
            for above in touching {
                match start {
                    None => start = Some(above.start),
                    Some(start) => join(start, above.start),
                }
            }
            let start = start.unwrap_or_else(|| {
                self.starts += 1;
                self.starts - 1
            });
            runs.push(Run { cols: begin..col, start });
        }
        self.above = runs;
        &self.above
    }
}

/// What is known of a piece.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Piece {
    pub pixels: u64,
    /// Of these, how many are covered.
    pub covered: u64,
    /// Square metres, or pixels where no CRS says how large they are.
    pub area: f64,
}

/// A piece that reaches the row at hand.
#[derive(Debug)]
struct Open {
    piece: Piece,
    /// Where its parts were first seen.
    starts: Vec<usize>,
    /// The last row that it has.
    row: usize,
}

/// The first pass.
#[derive(Debug, Default)]
pub struct Sums {
    rows: Rows,
    row: usize,
    /// The open piece of each start; those that joined another one point to it.
    open: std::collections::HashMap<usize, Open>,
    owner: std::collections::HashMap<usize, usize>,
    decisions: Decisions,
}

/// One bit for each start of a piece.
#[derive(Debug, Default)]
pub struct Decisions {
    bits: Vec<u64>,
    /// Pieces for which the decision is yes.
    pub chosen: u64,
}

impl Decisions {
    fn set(&mut self, start: usize) {
        let word = start / 64;
        if word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        self.bits[word] |= 1 << (start % 64);
    }

    fn has(&self, start: usize) -> bool {
        self.bits.get(start / 64).is_some_and(|word| (word >> (start % 64)) & 1 == 1)
    }
}

impl Sums {
    /// Takes the next row: whether a pixel is in the mask, whether it is covered, and the area of a range of columns.
    pub fn row(
        &mut self,
        width: usize,
        mask: impl Fn(usize) -> bool,
        covered: impl Fn(usize) -> bool,
        area: impl Fn(Range<usize>) -> f64,
        decide: impl Fn(&Piece) -> bool,
    ) {
        let Self { rows, row, open, owner, decisions } = self;
        let root = |owner: &std::collections::HashMap<usize, usize>, mut start: usize| {
            while let Some(next) = owner.get(&start) {
                start = *next;
            }
            start
        };
        let mut joins = Vec::new();
        let runs = rows.row(mask, width, |a, b| joins.push((a, b)));
        for (a, b) in joins {
            let (a, b) = (root(owner, a), root(owner, b));
            if a == b {
                continue;
            }
            // The smaller list moves.
            let larger = |start: &usize| open.get(start).map_or(0, |open| open.starts.len());
            let (keep, gone) = if larger(&a) >= larger(&b) { (a, b) } else { (b, a) };
            if let Some(other) = open.remove(&gone) {
                let whole =
                    open.entry(keep).or_insert_with(|| Open { piece: Piece::default(), starts: Vec::new(), row: *row });
                whole.piece.pixels += other.piece.pixels;
                whole.piece.covered += other.piece.covered;
                whole.piece.area += other.piece.area;
                whole.row = whole.row.max(other.row);
                whole.starts.extend(other.starts);
            }
            owner.insert(gone, keep);
        }
        for run in runs {
            let start = root(owner, run.start);
            let whole =
                open.entry(start).or_insert_with(|| Open { piece: Piece::default(), starts: vec![start], row: *row });
            whole.piece.pixels += run.cols.len() as u64;
            whole.piece.covered += run.cols.clone().filter(|col| covered(*col)).count() as u64;
            whole.piece.area += area(run.cols.clone());
            whole.row = *row;
        }
        // Pieces without a run in this row are whole.
        let over: Vec<usize> = open.iter().filter(|(_, piece)| piece.row < *row).map(|(start, _)| *start).collect();
        for start in over {
            close(start, open, owner, decisions, &decide);
        }
        *row += 1;
    }

    /// Decides the pieces of the last row.
    pub fn finish(mut self, decide: impl Fn(&Piece) -> bool) -> Decisions {
        let left: Vec<usize> = self.open.keys().copied().collect();
        for start in left {
            close(start, &mut self.open, &mut self.owner, &mut self.decisions, &decide);
        }
        self.decisions
    }
}

fn close(
    start: usize,
    open: &mut std::collections::HashMap<usize, Open>,
    owner: &mut std::collections::HashMap<usize, usize>,
    decisions: &mut Decisions,
    decide: impl Fn(&Piece) -> bool,
) {
    let Some(whole) = open.remove(&start) else { return };
    let chosen = decide(&whole.piece);
    decisions.chosen += u64::from(chosen);
    for start in whole.starts {
        owner.remove(&start);
        if chosen {
            decisions.set(start);
        }
    }
}

/// The second pass over the same rows.
#[derive(Debug)]
pub struct Lookup {
    rows: Rows,
    decisions: Decisions,
}

impl Lookup {
    pub fn new(decisions: Decisions) -> Self {
        Self { rows: Rows::default(), decisions }
    }

    /// Takes the next row; `mark` is told the columns of the chosen pieces.
    pub fn row(&mut self, width: usize, mask: impl Fn(usize) -> bool, mut mark: impl FnMut(Range<usize>)) {
        let decisions = &self.decisions;
        let runs = self.rows.row(mask, width, |_, _| ());
        runs.iter().filter(|run| decisions.has(run.start)).for_each(|run| mark(run.cols.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The pixels of the pieces for which `decide` holds, in two passes.
    fn chosen(mask: &[bool], covered: &[bool], width: usize, decide: impl Fn(&Piece) -> bool) -> (Vec<bool>, u64) {
        let mut sums = Sums::default();
        for (row, mask) in mask.chunks(width).enumerate() {
            let covered = &covered[row * width..];
            sums.row(width, |col| mask[col], |col| covered[col], |cols| cols.len() as f64, &decide);
        }
        let decisions = sums.finish(&decide);
        let pieces = decisions.chosen;
        let mut lookup = Lookup::new(decisions);
        let mut out = vec![false; mask.len()];
        for (row, mask) in mask.chunks(width).enumerate() {
            lookup.row(width, |col| mask[col], |cols| cols.for_each(|col| out[row * width + col] = true));
        }
        (out, pieces)
    }

    /// The same by flooding each piece.
    fn flooded(mask: &[bool], covered: &[bool], width: usize, decide: impl Fn(&Piece) -> bool) -> (Vec<bool>, u64) {
        let (mut seen, mut out, mut pieces) = (vec![false; mask.len()], vec![false; mask.len()], 0);
        for start in 0..mask.len() {
            if !mask[start] || seen[start] {
                continue;
            }
            let (mut queue, mut all) = (vec![start], Vec::new());
            seen[start] = true;
            while let Some(at) = queue.pop() {
                all.push(at);
                let (row, col) = ((at / width) as i64, (at % width) as i64);
                for (down, right) in (-1..=1).flat_map(|down| (-1..=1).map(move |right| (down, right))) {
                    let (row, col) = (row + down, col + right);
                    if (0..(mask.len() / width) as i64).contains(&row) && (0..width as i64).contains(&col) {
                        let next = row as usize * width + col as usize;
                        if mask[next] && !seen[next] {
                            seen[next] = true;
                            queue.push(next);
                        }
                    }
                }
            }
            let covered = all.iter().filter(|at| covered[**at]).count() as u64;
            if decide(&Piece { pixels: all.len() as u64, covered, area: all.len() as f64 }) {
                pieces += 1;
                all.iter().for_each(|at| out[*at] = true);
            }
        }
        (out, pieces)
    }

    proptest! {
        #[test]
        fn two_passes_equal_flooding(
            width in 1usize..40, mask in prop::collection::vec(prop::bool::weighted(0.45), 1..900), share in 0.0f64..1.0, least in 0u8..9,
        ) {
            let mask = &mask[..mask.len() / width * width];
            let covered: Vec<bool> = (0..mask.len()).map(|at| at * 7919 % 13 < 6).collect();
            let decide = |piece: &Piece| (piece.covered as f64) < share * piece.pixels as f64 && piece.area >= f64::from(least);
            prop_assert_eq!(chosen(mask, &covered, width, decide), flooded(mask, &covered, width, decide));
        }
    }
}
