//! Products of small row-major matrices, in registers.

use super::super::simd::Simd;

/// out (row, column) = a (row, depth) · b (depth, column), where `columns` is a multiple of the vector's width.
#[inline(always)]
pub(super) fn product<S: Simd>(simd: S, a: &[f32], b: &[f32], depth: usize, columns: usize, out: &mut [f32]) {
    let mut col = 0;
    while col < columns {
        if S::WIDTH == 16 {
            col += strip::<S, 8>(simd, a, b, [depth, columns, col], out);
        } else {
            col += strip::<S, 4>(simd, a, b, [depth, columns, col], out);
        }
    }
}

/// All rows of two vectors of columns, or of one; returns the number of columns.
#[inline(always)]
fn strip<S: Simd, const ROWS: usize>(
    simd: S,
    a: &[f32],
    b: &[f32],
    [depth, columns, col]: [usize; 3],
    out: &mut [f32],
) -> usize {
    let rows = a.len() / depth;
    let two = col + 2 * S::WIDTH <= columns;
    let mut row = 0;
    while row < rows {
        let many = row + ROWS <= rows;
        let count = if many { ROWS } else { 1 };
        let (a, out) = (&a[row * depth..][..count * depth], &mut out[row * columns..][..count * columns]);
        if many && two {
            block::<S, ROWS, 2>(simd, a, b, [depth, columns, col], out);
        } else if many {
            block::<S, ROWS, 1>(simd, a, b, [depth, columns, col], out);
        } else if two {
            block::<S, 1, 2>(simd, a, b, [depth, columns, col], out);
        } else {
            block::<S, 1, 1>(simd, a, b, [depth, columns, col], out);
        }
        row += count;
    }
    if two { 2 * S::WIDTH } else { S::WIDTH }
}

#[inline(always)]
fn block<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    a: &[f32],
    b: &[f32],
    [depth, columns, col]: [usize; 3],
    out: &mut [f32],
) {
    let mut sums = [[simd.splat(0.0); VECTORS]; ROWS];
    for at in 0..depth {
        let line = &b[at * columns + col..][..VECTORS * S::WIDTH];
        let mut right = [simd.splat(0.0); VECTORS];
        for vector in 0..VECTORS {
            right[vector] = simd.load(&line[vector * S::WIDTH..]);
        }
        for row in 0..ROWS {
            let left = simd.splat(a[row * depth + at]);
            for vector in 0..VECTORS {
                sums[row][vector] = simd.fma(left, right[vector], sums[row][vector]);
            }
        }
    }
    for row in 0..ROWS {
        for vector in 0..VECTORS {
            simd.store(sums[row][vector], &mut out[row * columns + col + vector * S::WIDTH..]);
        }
    }
}
