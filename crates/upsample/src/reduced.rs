//! Reduces a window's features to the channels that cosine similarities need.
//!
//! Upsampling is linear: a pixel's feature is y = a·M, where the rows of M are the features of the window's N patches and the
//! constant offset, and a depends on the image alone. The similarity with a query t is y·t / |y|. So the scalar products M·tᵀ
//! are upsampled as channels of their own, and |y| follows from any matrix with the Gram matrix of M: the Cholesky factor of
//! M·Mᵀ has N + 1 columns where M has D.

use super::simd::{Kernel, Simd};

/// Pivots below this fraction of the largest diagonal element are rounding errors.
const PIVOT_TOLERANCE: f64 = 1e-14;

/// The reduced features of one window.
#[derive(Debug)]
pub(super) struct ReducedFeatures {
    /// (patch, channel): channels of the norm, then a scalar product for each query, then zeros up to whole SIMD vectors.
    pub features: Vec<f32>,
    /// The reduced constant offset, (channel).
    pub offset: Vec<f32>,
    /// 1 for the channels of the norm, 0 for the others, (channel).
    pub mask: Vec<f32>,
    /// The channel of the first query's scalar product; those before it are channels of the norm.
    pub first_product: usize,
    /// Number of channels.
    pub channels: usize,
    /// Cosine similarity of the [CLS] feature with each query.
    pub of_cls: Vec<f32>,
}

/// Computes the reduced features of one window.
pub(super) struct ReduceFeatures<'a> {
    /// (1 + patch, D): [CLS], then the patches, after the last fixup without its constant.
    pub tokens: &'a [f32],
    /// The last fixup's constant, (D).
    pub offset: &'a [f32],
    /// (query, D)
    pub queries: &'a [f32],
    /// Most channels of the norm; with fewer than min(N + 1, D) the norm is approximate.
    pub max_channels: usize,
}

impl Kernel for ReduceFeatures<'_> {
    type Output = ReducedFeatures;
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> ReducedFeatures {
        reduce(simd, &self)
    }
}

#[inline(always)]
fn reduce<S: Simd>(simd: S, input: &ReduceFeatures<'_>) -> ReducedFeatures {
    let depth = input.offset.len();
    let (cls, patches) = input.tokens.split_at(depth);
    let count = patches.len() / depth + 1;
    let queries = input.queries.len() / depth;
    let patches = patches.chunks_exact(depth);
    let rows = Rows::new::<S>(
        patches.clone().chain([input.offset]).chain(input.queries.chunks_exact(depth)).chain([cls]),
        depth,
    );
    let needed = count.min(depth);
    let first_product = needed.min(input.max_channels.max(1));
    let channels = (first_product + queries).next_multiple_of(S::WIDTH);
    let mut features = vec![0f32; count * channels];
    if first_product < needed {
        let factor = pivoted_cholesky(gram(simd, &rows, count), count, first_product);
        for (to, from) in features.chunks_exact_mut(channels).zip(factor.chunks_exact(first_product)) {
            to.iter_mut().zip(from).for_each(|(to, &from)| *to = from as f32);
        }
    } else if count < depth {
        let factor = cholesky(simd, gram(simd, &rows, count), count);
        for (index, to) in features.chunks_exact_mut(channels).enumerate() {
            let from = &factor[index * count..][..=index];
            to.iter_mut().zip(from).for_each(|(to, &from)| *to = from as f32);
        }
    } else {
        let from = patches.chain([input.offset]);
        features.chunks_exact_mut(channels).zip(from).for_each(|(to, from)| to[..depth].copy_from_slice(from));
    }
    for (index, to) in features.chunks_exact_mut(channels).enumerate() {
        for query in 0..queries {
            to[first_product + query] = dot(simd, rows.row(index), rows.row(count + query)) as f32;
        }
    }
    let offset = features.split_off((count - 1) * channels);
    let mut mask = vec![0.0; channels];
    mask[..first_product].fill(1.0);
    let cls = rows.row(count + queries);
    let length = dot(simd, cls, cls).sqrt();
    let mut of_cls = vec![0f32; queries];
    for (query, similarity) in of_cls.iter_mut().enumerate() {
        *similarity = (dot(simd, cls, rows.row(count + query)) / length) as f32;
    }
    ReducedFeatures { features, offset, mask, first_product, channels, of_cls }
}

/// Rows in float64, padded with zeros to whole SIMD vectors and whole blocks of rows.
struct Rows {
    numbers: Vec<f64>,
    width: usize,
}

/// Rows and columns of the Gram matrix that are computed at once.
const BLOCK: usize = 4;

impl Rows {
    fn new<'a, S: Simd>(rows: impl Iterator<Item = &'a [f32]> + Clone, depth: usize) -> Self {
        let width = depth.next_multiple_of(S::WIDTH / 2);
        let mut numbers = vec![0f64; (rows.clone().count() + BLOCK) * width];
        for (to, from) in numbers.chunks_exact_mut(width).zip(rows) {
            to.iter_mut().zip(from).for_each(|(to, &from)| *to = f64::from(from));
        }
        Self { numbers, width }
    }

    #[inline(always)]
    fn row(&self, index: usize) -> &[f64] {
        &self.numbers[index * self.width..][..self.width]
    }
}

/// Returns the Gram matrix of the first `count` rows; only its lower triangle is computed.
///
/// In float64, since factoring squares halves the number of significant digits.
#[inline(always)]
fn gram<S: Simd>(simd: S, rows: &Rows, count: usize) -> Vec<f64> {
    let (lanes, width) = (S::WIDTH / 2, rows.width);
    let mut products = vec![0f64; count * count];
    for top in (0..count).step_by(BLOCK) {
        for left in (0..=top).step_by(BLOCK) {
            let of_top = &rows.numbers[top * width..][..BLOCK * width];
            let of_left = &rows.numbers[left * width..][..BLOCK * width];
            let mut sums = [[simd.zero_wide(); BLOCK]; BLOCK];
            let mut start = 0;
            while start < width {
                let mut left_vectors = [simd.zero_wide(); BLOCK];
                let mut row = 0;
                while row < BLOCK {
                    left_vectors[row] = simd.load_wide(&of_left[row * width + start..]);
                    row += 1;
                }
                row = 0;
                while row < BLOCK {
                    let top_vector = simd.load_wide(&of_top[row * width + start..]);
                    sums[row][0] = simd.fma_wide(top_vector, left_vectors[0], sums[row][0]);
                    sums[row][1] = simd.fma_wide(top_vector, left_vectors[1], sums[row][1]);
                    sums[row][2] = simd.fma_wide(top_vector, left_vectors[2], sums[row][2]);
                    sums[row][3] = simd.fma_wide(top_vector, left_vectors[3], sums[row][3]);
                    row += 1;
                }
                start += lanes;
            }
            for (of_row, sums) in products.chunks_exact_mut(count).skip(top).zip(&sums) {
                for (product, &sum) in of_row.iter_mut().skip(left).zip(sums) {
                    *product = simd.sum_wide(sum);
                }
            }
        }
    }
    products
}

/// Replaces the lower triangle of `square` by L with L·Lᵀ = `square`; a row that depends linearly on those above has a pivot of 0.
#[inline(always)]
fn cholesky<S: Simd>(simd: S, mut square: Vec<f64>, count: usize) -> Vec<f64> {
    let largest_square = (0..count).map(|index| square[index * count + index]).fold(0.0, f64::max);
    for row in 0..count {
        let (above, of_row) = square.split_at_mut(row * count);
        for (column, of_column) in above.chunks_exact(count).enumerate() {
            let pivot = of_column[column];
            let rest = of_row[column] - dot(simd, &of_row[..column], &of_column[..column]);
            of_row[column] = if pivot > 0.0 { rest / pivot } else { 0.0 };
        }
        let rest = of_row[row] - dot(simd, &of_row[..row], &of_row[..row]);
        of_row[row] = if rest > PIVOT_TOLERANCE * largest_square { rest.sqrt() } else { 0.0 };
    }
    square
}

/// Returns the first `columns` columns of the Cholesky factor with full pivoting, (row, column). `square`: its lower triangle. The
/// columns left out are missing from every norm.
fn pivoted_cholesky(square: Vec<f64>, count: usize, columns: usize) -> Vec<f64> {
    let at = |row: usize, column: usize| square[row.max(column) * count + row.min(column)];
    let mut factor = vec![0f64; count * columns];
    let mut rest: Vec<f64> = (0..count).map(|row| at(row, row)).collect();
    let largest_square = rest.iter().copied().fold(0.0, f64::max);
    for column in 0..columns {
        let (pivot, largest) =
            rest.iter().copied().enumerate().fold((0, 0.0), |best, it| if it.1 > best.1 { it } else { best });
        if largest <= PIVOT_TOLERANCE * largest_square {
            break;
        }
        let of_pivot = factor[pivot * columns..][..column].to_vec();
        for (row, (of_row, rest)) in factor.chunks_exact_mut(columns).zip(&mut rest).enumerate() {
            let known: f64 = of_row.iter().zip(&of_pivot).map(|(a, b)| a * b).sum();
            of_row[column] = (at(row, pivot) - known) / largest.sqrt();
            *rest = (*rest - of_row[column].powi(2)).max(0.0);
        }
        rest[pivot] = 0.0;
    }
    factor
}

#[inline(always)]
fn dot<S: Simd>(simd: S, a: &[f64], b: &[f64]) -> f64 {
    let lanes = S::WIDTH / 2;
    let tails = a.len() / lanes * lanes;
    let mut sum = simd.zero_wide();
    for (a, b) in a.chunks_exact(lanes).zip(b.chunks_exact(lanes)) {
        sum = simd.fma_wide(simd.load_wide(a), simd.load_wide(b), sum);
    }
    let mut rest = simd.sum_wide(sum);
    for (a, b) in a[tails..].iter().zip(&b[tails..]) {
        rest += a * b;
    }
    rest
}
