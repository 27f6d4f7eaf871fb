//! Bilinear doubling, as `half_resolution` needs it.

/// Doubles a raster of `[height, width]` pixels into `out`, (row, column), as PyTorch does with `align_corners=False`: edge pixels
/// are repeated beyond the edges. `source`: returns a row.
pub(super) fn double<'a>(source: impl Fn(usize) -> &'a [f32], [height, width]: [usize; 2], out: &mut [f32]) {
    let mut mixed = vec![0f32; width];
    for (row, out) in out.chunks_exact_mut(2 * width).enumerate() {
        let (near, far) = nearest(row, height);
        for ((mixed, near), far) in mixed.iter_mut().zip(source(near)).zip(source(far)) {
            *mixed = 0.75 * near + 0.25 * far;
        }
        for (column, out) in out.iter_mut().enumerate() {
            let (near, far) = nearest(column, width);
            *out = 0.75 * mixed[near] + 0.25 * mixed[far];
        }
    }
}

/// Returns the source pixel that a doubled pixel lies in, and the next one on its side.
fn nearest(doubled: usize, length: usize) -> (usize, usize) {
    let near = doubled / 2;
    (near, if doubled.is_multiple_of(2) { near.saturating_sub(1) } else { (near + 1).min(length - 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn double_halves_steps_of_a_ramp_and_repeats_its_edges() {
        let source: Vec<Vec<f32>> = (0..3).map(|row| (0..4).map(|col| (10 * row + 4 * col) as f32).collect()).collect();
        let mut out = vec![0.0; 6 * 8];
        double(|row| &source[row], [3, 4], &mut out);
        let rows: Vec<&[f32]> = out.chunks_exact(8).collect();
        assert_eq!(rows[0], [0.0, 1.0, 3.0, 5.0, 7.0, 9.0, 11.0, 12.0]);
        let first: Vec<f32> = rows.iter().map(|row| row[0]).collect();
        assert_eq!(first, [0.0, 2.5, 7.5, 12.5, 17.5, 20.0]);
    }
}
