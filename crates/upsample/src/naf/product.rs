//! Products of small row-major matrices, in registers.

use super::super::simd::Simd;

/// Columns of a panel.
const PANEL: usize = 32;

/// A matrix (depth, column) as panels of 32 columns, (panel)(depth, column), the last one narrower: products read a panel from start to
/// end, and it stays in the first-level cache.
pub(super) fn panels(matrix: &[f32], columns: usize) -> Vec<f32> {
    let firsts = (0..columns).step_by(PANEL);
    let panel = |first: usize| {
        let wide = PANEL.min(columns - first);
        matrix.chunks_exact(columns).flat_map(move |row| row[first..first + wide].iter().copied())
    };
    firsts.flat_map(panel).collect()
}

/// out (row, column) = a (row, depth) · b, panels of (depth, column), where `columns` is a multiple of the vector's width.
#[inline(always)]
pub(super) fn product<S: Simd>(simd: S, a: &[f32], b: &[f32], depth: usize, columns: usize, out: &mut [f32]) {
    let rows = a.len() / depth;
    let mut first = 0;
    while first < columns {
        let wide = PANEL.min(columns - first);
        let panel = &b[first * depth..][..wide * depth];
        let mut col = 0;
        while col < wide {
            let (panel, out) = (&panel[col..], &mut out[first + col..]);
            let strides = [depth, depth, wide, columns];
            if col + 2 * S::WIDTH <= wide {
                all_rows::<S, 2>(simd, a, panel, rows, strides, false, out);
                col += 2 * S::WIDTH;
            } else {
                all_rows::<S, 1>(simd, a, panel, rows, strides, false, out);
                col += S::WIDTH;
            }
        }
        first += PANEL;
    }
}

/// out (row, pixel) = a (row, depth) · b (depth, pixel), for a strip of pixels of two vectors. With `lower`, a is square and needs to be
/// filled up to eight numbers behind its diagonal, those with zeros.
#[inline(always)]
pub(super) fn strip_product<S: Simd>(
    simd: S,
    a: &[f32],
    b: &[f32],
    [rows, depth]: [usize; 2],
    lower: bool,
    out: &mut [f32],
) {
    let strip = 2 * S::WIDTH;
    all_rows::<S, 2>(simd, a, b, rows, [depth, depth, strip, strip], lower, out);
}

/// All rows of some vectors of columns. `strides`: the depth, then the lengths of rows of a, b and out.
#[inline(always)]
fn all_rows<S: Simd, const VECTORS: usize>(
    simd: S,
    a: &[f32],
    b: &[f32],
    rows: usize,
    strides: [usize; 4],
    lower: bool,
    out: &mut [f32],
) {
    let [depth, stride, below, along] = strides;
    let mut row = 0;
    while row < rows {
        let (a, out) = (&a[row * stride..], &mut out[row * along..]);
        let left = rows - row;
        let count = match left {
            8.. if S::WIDTH == 16 => 8,
            4.. => 4,
            2.. => 2,
            _ => 1,
        };
        let depth = if lower { depth.min(row + count) } else { depth };
        let strides = [depth, stride, below, along];
        match count {
            8 => block::<S, 8, VECTORS>(simd, a, b, strides, out),
            4 => block::<S, 4, VECTORS>(simd, a, b, strides, out),
            2 => block::<S, 2, VECTORS>(simd, a, b, strides, out),
            _ => block::<S, 1, VECTORS>(simd, a, b, strides, out),
        }
        row += count;
    }
}

#[inline(always)]
fn block<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    a: &[f32],
    b: &[f32],
    [depth, stride, below, along]: [usize; 4],
    out: &mut [f32],
) {
    let mut sums = [[simd.splat(0.0); VECTORS]; ROWS];
    let mut lines = [&a[..0]; ROWS];
    for row in 0..ROWS {
        lines[row] = &a[row * stride..][..depth];
    }
    for at in 0..depth {
        let line = &b[at * below..][..VECTORS * S::WIDTH];
        let mut right = [simd.splat(0.0); VECTORS];
        for vector in 0..VECTORS {
            right[vector] = simd.load(&line[vector * S::WIDTH..]);
        }
        for row in 0..ROWS {
            let left = simd.splat(lines[row][at]);
            for vector in 0..VECTORS {
                sums[row][vector] = simd.fma(left, right[vector], sums[row][vector]);
            }
        }
    }
    for row in 0..ROWS {
        for vector in 0..VECTORS {
            simd.store(sums[row][vector], &mut out[row * along + vector * S::WIDTH..]);
        }
    }
}
