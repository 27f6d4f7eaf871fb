//! Morphology on the mask of a class: opening, closing, removal of small parts, filling of small holes.

use super::bits::BitGrid;
use super::shape::{LabelRegion, LatticePolygon};
use super::trace::{Connectedness, Tracer};

/// Radii of a disc in pixels; an ellipse where pixels are not square.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Disc {
    pub cols: f64,
    pub rows: f64,
}

impl Disc {
    /// Half the width of the disc `rows` above or below its centre.
    fn half_width(&self, rows: usize) -> usize {
        if rows == 0 {
            return self.cols as usize;
        }
        let share = rows as f64 / self.rows;
        (self.cols * (1.0 - share * share).max(0.0).sqrt()) as usize
    }

    fn reach(&self) -> usize {
        self.rows as usize
    }

    fn is_empty(&self) -> bool {
        self.cols < 1.0 && self.rows < 1.0
    }
}

/// Morphological opening: removes parts thinner than the disc. Pixels outside the grid count as set, so that the frame does
/// not erode the mask.
pub fn open(mask: &mut BitGrid, disc: Disc) {
    if !disc.is_empty() {
        erode(mask, disc);
        dilate(mask, disc);
    }
}

/// Morphological closing: fills gaps thinner than the disc.
pub fn close(mask: &mut BitGrid, disc: Disc) {
    if !disc.is_empty() {
        dilate(mask, disc);
        erode(mask, disc);
    }
}

fn erode(mask: &mut BitGrid, disc: Disc) {
    mask.invert();
    dilate(mask, disc);
    mask.invert();
}

fn dilate(mask: &mut BitGrid, disc: Disc) {
    let reach = disc.reach();
    let height = mask.height();
    let source = mask.clone();
    let mut widened = vec![0u64; source.row(0).len()];
    let mut scratch = widened.clone();
    for row in 0..height {
        for other in row.saturating_sub(reach)..=(row + reach).min(height - 1) {
            widened.copy_from_slice(source.row(other));
            spread(&mut widened, &mut scratch, disc.half_width(other.abs_diff(row)));
            mask.row_mut(row).iter_mut().zip(&widened).for_each(|(word, wide)| *word |= wide);
        }
        mask.trim(row);
    }
}

/// Sets every bit within `distance` of a set bit.
fn spread(row: &mut [u64], scratch: &mut [u64], distance: usize) {
    let mut left = distance;
    let mut reached = 0;
    while left > 0 {
        // The shift is at most the reached width plus one, so that no gap opens, also at the frame.
        let shift = left.min(reached + 1).min(63);
        scratch.copy_from_slice(row);
        for index in 0..row.len() {
            let below = if index > 0 { scratch[index - 1] >> (64 - shift) } else { 0 };
            let above = if index + 1 < row.len() { scratch[index + 1] << (64 - shift) } else { 0 };
            row[index] |= scratch[index] << shift | below | scratch[index] >> shift | above;
        }
        left -= shift;
        reached += shift;
    }
}

/// Smallest part and largest hole, in pixels.
#[cfg(test)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sizes {
    /// Parts with fewer pixels are removed; 0 keeps all.
    pub smallest_part: u64,
    /// Holes of up to this many pixels are filled; 0 keeps all.
    pub largest_hole: u64,
}

/// Fills small holes, then removes small parts. A region that touches the frame is not a hole.
#[cfg(test)]
pub fn clean(mask: &mut BitGrid, sizes: Sizes) {
    if sizes.largest_hole > 0 {
        fill_holes(mask, |region| region.pixels <= sizes.largest_hole);
    }
    if sizes.smallest_part > 1 {
        drop_parts(mask, |region| region.pixels < sizes.smallest_part);
    }
}

/// Fills the holes for which `is_small` holds. A region that touches the frame is not a hole.
pub fn fill_holes(mask: &mut BitGrid, is_small: impl Fn(&LabelRegion) -> bool) {
    paint_regions(mask, false, |region, width, height| is_small(region) && !touches_frame(region, width, height));
}

/// Removes the parts for which `is_small` holds.
pub fn drop_parts(mask: &mut BitGrid, is_small: impl Fn(&LabelRegion) -> bool) {
    paint_regions(mask, true, |region, _, _| is_small(region));
}

fn touches_frame(region: &LabelRegion, width: usize, height: usize) -> bool {
    let outer = region.parts.iter().flat_map(|part| &part.outer);
    outer.into_iter().any(|corner| {
        corner.col == 0 || corner.row == 0 || corner.col as usize == width || corner.row as usize == height
    })
}

/// Inverts the regions of value `kind` for which `chosen(region, width, height)` holds.
fn paint_regions(mask: &mut BitGrid, kind: bool, chosen: impl Fn(&LabelRegion, usize, usize) -> bool) {
    let (width, height) = (mask.width(), mask.height());
    let mut found: Vec<LabelRegion> = Vec::new();
    let mut tracer = Tracer::new(width, Connectedness::Four, |label| (label == 1) != kind);
    let mut labels = vec![0u16; width];
    for row in 0..height {
        mask.labels(row, &mut labels);
        tracer.row(&labels, None, &mut |region| {
            if chosen(&region, width, height) {
                found.push(region);
            }
        });
        // A completed region lies above the current row: changing it does not affect the tracer.
        found.drain(..).for_each(|region| paint(mask, &region, !kind));
    }
    tracer.finish(&mut |region| {
        if chosen(&region, width, height) {
            found.push(region);
        }
    });
    found.drain(..).for_each(|region| paint(mask, &region, !kind));
}

/// Sets or clears a region's pixels.
pub fn paint(mask: &mut BitGrid, region: &LabelRegion, value: bool) {
    let mut crossings: Vec<(u32, u32)> = Vec::new();
    for ring in region.parts.iter().flat_map(LatticePolygon::rings) {
        for (index, from) in ring.iter().enumerate() {
            let to = ring[(index + 1) % ring.len()];
            if from.col == to.col {
                crossings.extend((from.row.min(to.row)..from.row.max(to.row)).map(|row| (row, from.col)));
            }
        }
    }
    crossings.sort_unstable();
    for pair in crossings.chunks_exact(2) {
        mask.fill(pair[0].0 as usize, pair[0].1 as usize, pair[1].1 as usize, value);
    }
}

/// The regions of a mask, labelled 1.
#[cfg(test)]
pub fn regions(mask: &BitGrid, connectedness: Connectedness, mut emit: impl FnMut(LabelRegion)) {
    let mut tracer = Tracer::new(mask.width(), connectedness, |label| label == 0);
    let mut labels = vec![0u16; mask.width()];
    for row in 0..mask.height() {
        mask.labels(row, &mut labels);
        tracer.row(&labels, None, &mut emit);
    }
    tracer.finish(&mut emit);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn random(width: usize, height: usize, seed: u64, share: u64) -> BitGrid {
        let mut state = seed | 1;
        let mut mask = BitGrid::new(width, height);
        for row in 0..height {
            for col in 0..width {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                mask.set(col, row, (state >> 40) % 100 < share);
            }
        }
        mask
    }

    proptest! {
        #[test]
        fn dilation_matches_its_definition(
            width in 1usize..150, height in 1usize..20, seed in any::<u64>(), cols in 0.0f64..9.0, rows in 0.0f64..5.0,
        ) {
            let before = random(width, height, seed, 4);
            let mut after = before.clone();
            let disc = Disc { cols, rows };
            dilate(&mut after, disc);
            for row in 0..height {
                for col in 0..width {
                    let expected = (0..height).any(|r| {
                        r.abs_diff(row) <= disc.reach() && {
                            let half = disc.half_width(r.abs_diff(row));
                            (col.saturating_sub(half)..=(col + half).min(width - 1)).any(|c| before.get(c, r))
                        }
                    });
                    prop_assert_eq!(after.get(col, row), expected, "{} {}", col, row);
                }
            }
        }

        #[test]
        fn clean_mask_has_no_small_parts_or_holes(seed in any::<u64>(), part in 2u64..9, hole in 1u64..9) {
            let mut mask = random(40, 30, seed, 55);
            clean(&mut mask, Sizes { smallest_part: part, largest_hole: hole });
            regions(&mask, Connectedness::Four, |region| assert!(region.pixels >= part));
            let mut inverse = mask.clone();
            inverse.invert();
            let mut largest_dropped = 0;
            regions(&inverse, Connectedness::Four, |region| {
                // Dropping a part can only enlarge what surrounds it.
                if !touches_frame(&region, 40, 30) && region.pixels <= hole {
                    largest_dropped = largest_dropped.max(region.pixels);
                }
            });
            prop_assert_eq!(largest_dropped, 0);
        }
    }

    #[test]
    fn closing_fills_cracks_and_opening_cuts_bridges() {
        let mut mask = BitGrid::new(30, 12);
        (2..10).for_each(|row| {
            mask.fill(row, 2, 14, true);
            mask.fill(row, 15, 28, true);
        });
        let disc = Disc { cols: 1.0, rows: 1.0 };
        close(&mut mask, disc);
        let mut count = 0;
        regions(&mask, Connectedness::Four, |_| count += 1);
        assert_eq!(count, 1);
        let mut mask = BitGrid::new(30, 12);
        (2..10).for_each(|row| {
            mask.fill(row, 2, 12, true);
            mask.fill(row, 17, 28, true);
        });
        mask.fill(5, 12, 17, true);
        open(&mut mask, disc);
        let mut count = 0;
        regions(&mask, Connectedness::Four, |_| count += 1);
        assert_eq!(count, 2);
    }
}
