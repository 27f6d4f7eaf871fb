//! Thins a mask to lines one pixel wide (parallel thinning of Guo and Hall, 1989).
//!
//! This is our own code because neither GDAL nor GEOS nor `geo` computes skeletons. Each pass visits only pixels at a border.

use super::bits::BitGrid;

/// Offsets (column, row) of the eight neighbours, clockwise from the north.
pub const NEIGHBOURS: [(i64, i64); 8] = [(0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1)];

/// Whether each neighbour is set.
pub fn neighbours(mask: &BitGrid, col: i64, row: i64) -> [bool; 8] {
    NEIGHBOURS.map(|(dc, dr)| mask.at(col + dc, row + dr))
}

/// Thins in place; connectivity and holes are preserved.
pub fn thin(mask: &mut BitGrid) {
    let mut candidates: Vec<(u32, u32)> = Vec::new();
    for row in 0..mask.height() {
        for col in mask.set_between(row, 0, mask.width() - 1) {
            if !neighbours(mask, col as i64, row as i64).iter().all(|&set| set) {
                candidates.push((row as u32, col as u32));
            }
        }
    }
    let mut to_delete = Vec::new();
    while !candidates.is_empty() {
        let mut changed = Vec::new();
        for half in 0..2 {
            to_delete.clear();
            to_delete.extend(candidates.iter().copied().filter(|&(row, col)| {
                mask.get(col as usize, row as usize)
                    && is_deletable(neighbours(mask, i64::from(col), i64::from(row)), half)
            }));
            for &(row, col) in &to_delete {
                mask.set(col as usize, row as usize, false);
            }
            let mut adjacent: Vec<(u32, u32)> = Vec::with_capacity(to_delete.len() * 3);
            for &(row, col) in &to_delete {
                for (dc, dr) in NEIGHBOURS {
                    let (col, row) = (i64::from(col) + dc, i64::from(row) + dr);
                    if mask.at(col, row) {
                        adjacent.push((row as u32, col as u32));
                    }
                }
            }
            adjacent.sort_unstable();
            adjacent.dedup();
            if half == 0 {
                candidates.extend(&adjacent);
                candidates.sort_unstable();
                candidates.dedup();
            }
            changed.extend(adjacent);
        }
        changed.sort_unstable();
        changed.dedup();
        candidates = changed;
    }
}

/// Whether a pixel with these neighbours can be removed in this half of a pass.
fn is_deletable(p: [bool; 8], half: usize) -> bool {
    let [n, ne, e, se, s, sw, w, nw] = p;
    let one = |set: bool| u8::from(set);
    let crossings = one(!n && (ne || e)) + one(!e && (se || s)) + one(!s && (sw || w)) + one(!w && (nw || n));
    if crossings != 1 {
        return false;
    }
    let pairs = one(nw || n) + one(ne || e) + one(se || s) + one(sw || w);
    let others = one(n || ne) + one(e || se) + one(s || sw) + one(w || nw);
    let least = pairs.min(others);
    let kept = if half == 0 { (s || sw || !nw) && w } else { (n || ne || !se) && e };
    (2..=3).contains(&least) && !kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_stays_a_ring_and_bar_becomes_a_line() {
        let mut mask = BitGrid::new(60, 40);
        (5..35).for_each(|row| mask.fill(row, 5, 35, true));
        (12..28).for_each(|row| mask.fill(row, 12, 28, false));
        (10..17).for_each(|row| mask.fill(row, 40, 58, true));
        thin(&mut mask);
        let mut ends = 0;
        for row in 0..40i64 {
            for col in 0..60i64 {
                if mask.at(col, row) {
                    let count = neighbours(&mask, col, row).iter().filter(|&&set| set).count();
                    ends += usize::from(count == 1);
                    assert!(count <= 4 && count > 0);
                }
            }
        }
        assert_eq!(ends, 2, "the bar has two ends, the ring none");
        assert!((40..58).filter(|&col| mask.get(col, 13)).count() >= 10, "the line runs along the bar's middle");
    }
}
