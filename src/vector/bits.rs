//! A grid of bits, one per pixel: 50 MB for a scene of 20,000 × 20,000 pixels.

/// A grid of bits, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BitGrid {
    width: usize,
    height: usize,
    words_per_row: usize,
    words: Vec<u64>,
}

impl BitGrid {
    pub fn new(width: usize, height: usize) -> Self {
        let words_per_row = width.div_ceil(64);
        Self { width, height, words_per_row, words: vec![0; words_per_row * height] }
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn height(&self) -> usize {
        self.height
    }

    pub fn get(&self, col: usize, row: usize) -> bool {
        self.words[row * self.words_per_row + col / 64] >> (col % 64) & 1 == 1
    }

    /// Like `get`; false outside the grid.
    pub fn at(&self, col: i64, row: i64) -> bool {
        (0..self.width as i64).contains(&col)
            && (0..self.height as i64).contains(&row)
            && self.get(col as usize, row as usize)
    }

    pub fn set(&mut self, col: usize, row: usize, value: bool) {
        let word = &mut self.words[row * self.words_per_row + col / 64];
        let bit = 1u64 << (col % 64);
        if value { *word |= bit } else { *word &= !bit }
    }

    /// Sets or clears the columns `from..to` of a row.
    pub fn fill(&mut self, row: usize, from: usize, to: usize, value: bool) {
        let mut col = from;
        while col < to {
            let end = to.min(col / 64 * 64 + 64);
            let mask = (u64::MAX >> (64 - (end - col))) << (col % 64);
            let word = &mut self.words[row * self.words_per_row + col / 64];
            if value {
                *word |= mask
            } else {
                *word &= !mask
            }
            col = end;
        }
    }

    /// The set columns among `from..=to` of a row, in order.
    pub fn set_between(&self, row: usize, from: usize, to: usize) -> impl Iterator<Item = usize> + '_ {
        let start = row * self.words_per_row;
        (from / 64..=to / 64).flat_map(move |index| {
            let mut word = self.words[start + index];
            if index == from / 64 {
                word &= u64::MAX << (from % 64);
            }
            if index == to / 64 {
                word &= u64::MAX >> (63 - to % 64);
            }
            std::iter::from_fn(move || {
                (word != 0).then(|| {
                    let bit = word.trailing_zeros() as usize;
                    word &= word - 1;
                    index * 64 + bit
                })
            })
        })
    }

    /// The words of a row: 64 columns each, the first column in the lowest bit.
    pub fn row(&self, row: usize) -> &[u64] {
        &self.words[row * self.words_per_row..][..self.words_per_row]
    }

    /// The words of a row, to change. The caller clears bits beyond the width with `trim`.
    pub fn row_mut(&mut self, row: usize) -> &mut [u64] {
        &mut self.words[row * self.words_per_row..][..self.words_per_row]
    }

    /// Clears the bits of a row beyond the width.
    pub fn trim(&mut self, row: usize) {
        if !self.width.is_multiple_of(64) {
            self.words[(row + 1) * self.words_per_row - 1] &= u64::MAX >> (64 - self.width % 64);
        }
    }

    /// Inverts every bit.
    pub fn invert(&mut self) {
        self.words.iter_mut().for_each(|word| *word = !*word);
        (0..self.height).for_each(|row| self.trim(row));
    }

    /// Clears the bits that are set in another grid of the same size; returns whether any was set here.
    pub fn remove(&mut self, other: &Self) -> bool {
        let mut any = false;
        for (word, &other) in self.words.iter_mut().zip(&other.words) {
            any |= *word & other != 0;
            *word &= !other;
        }
        any
    }

    /// Sets the bits that are set in another grid of the same size.
    pub fn add(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, &other)| *word |= other);
    }

    /// Writes a row as labels 0 and 1.
    pub fn labels(&self, row: usize, into: &mut [u16]) {
        for (chunk, &word) in into.chunks_mut(64).zip(self.row(row)) {
            chunk.iter_mut().enumerate().for_each(|(bit, label)| *label = (word >> bit & 1) as u16);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fill_and_set_between_match_single_bits(width in 1usize..200, from in 0usize..200, len in 0usize..200, value in any::<bool>()) {
            let from = from.min(width - 1);
            let to = (from + len).min(width);
            let mut grid = BitGrid::new(width, 2);
            if !value {
                grid.fill(1, 0, width, true);
            }
            grid.fill(1, from, to, value);
            for col in 0..width {
                prop_assert_eq!(grid.get(col, 1), (from..to).contains(&col) == value);
            }
            prop_assert_eq!(grid.get(width - 1, 0), false);
            let found: Vec<_> = grid.set_between(1, 0, width - 1).collect();
            prop_assert_eq!(found, (0..width).filter(|&col| grid.get(col, 1)).collect::<Vec<_>>());
        }
    }
}
