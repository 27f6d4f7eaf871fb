//! Splits rings that touch themselves into simple rings.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::shape::Corner;

/// Flag of a column at which a ring may touch itself.
pub const TOUCH: u32 = 1 << 31;
const COLUMN: u32 = TOUCH - 1;

/// Splits rings; its map of corners is reused.
#[derive(Default)]
pub struct Splitter {
    open_since: HashMap<u64, usize, BuildHasherDefault<Mix>>,
}

impl Splitter {
    /// Splits a ring at the marked corners that it visits twice; `keep` receives the simple rings.
    pub fn split(&mut self, ring: Vec<Corner>, keep: &mut impl FnMut(Vec<Corner>)) {
        self.open_since.clear();
        let mut open: Vec<Corner> = Vec::with_capacity(ring.len());
        let key = |corner: Corner| u64::from(corner.row) << 32 | u64::from(corner.col & COLUMN);
        for corner in ring {
            if corner.col & TOUCH != 0 {
                if let Some(&since) = self.open_since.get(&key(corner)) {
                    for &passed in &open[since + 1..] {
                        if passed.col & TOUCH != 0 {
                            self.open_since.remove(&key(passed));
                        }
                    }
                    // The corner itself stays on the open ring, at the same index.
                    keep(open.drain(since..).map(unmarked).collect());
                } else {
                    self.open_since.insert(key(corner), open.len());
                }
            }
            open.push(corner);
        }
        if !open.is_empty() {
            keep(open.into_iter().map(unmarked).collect());
        }
    }
}

fn unmarked(corner: Corner) -> Corner {
    Corner { col: corner.col & COLUMN, row: corner.row }
}

/// A fast hash for lattice corners: one multiplication distributes them well enough.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 29);
    }
}
