//! What is upsampled in place of a window's features: few channels that hold all that similarities need.
//!
//! Upsampling is linear: a pixel's feature is y = a·M with the features of the window's N patches and the constant offset as
//! the rows of M, and a from the image alone. The similarity with a query t is y·t / |y|. So the scalar products M·tᵀ can be
//! upsampled themselves, and for the length any rows will do whose scalar products are those of M's: the Cholesky factor of
//! M·Mᵀ has N + 1 columns where M has D.

use super::simd::{Kernel, Simd};

/// Below this share of the largest square a remaining square is rounding.
const NOTHING: f64 = 1e-14;

/// One window's channels.
#[derive(Debug)]
pub(super) struct Sources {
    /// (patch, channel): lengths first, then a product for each query, then zeros up to whole vectors.
    pub features: Vec<f32>,
    /// (channel)
    pub offset: Vec<f32>,
    /// (channel): 1 for those that lengths are computed of.
    pub mask: Vec<f32>,
    /// The channel of the first query's product.
    pub products: usize,
    pub channels: usize,
    /// The [CLS] feature's similarity with each query.
    pub of_cls: Vec<f32>,
}

/// Makes the channels of one window.
pub(super) struct MakeSources<'a> {
    /// (1 + patch, D): [CLS], then the patches, after the last fixup but for its constant.
    pub tokens: &'a [f32],
    /// (D)
    pub offset: &'a [f32],
    /// (query, D)
    pub queries: &'a [f32],
    /// Channels for the lengths at the most; fewer than are needed approximate them.
    pub most: usize,
}

impl Kernel for MakeSources<'_> {
    type Output = Sources;
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Sources {
        make(simd, &self)
    }
}

#[inline(always)]
fn make<S: Simd>(simd: S, input: &MakeSources<'_>) -> Sources {
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
    let products = needed.min(input.most.max(1));
    let channels = (products + queries).next_multiple_of(S::WIDTH);
    let mut features = vec![0f32; count * channels];
    if products < needed {
        let factor = leading(gram(simd, &rows, count), count, products);
        for (to, from) in features.chunks_exact_mut(channels).zip(factor.chunks_exact(products)) {
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
            to[products + query] = dot(simd, rows.row(index), rows.row(count + query)) as f32;
        }
    }
    let offset = features.split_off((count - 1) * channels);
    let mut mask = vec![0.0; channels];
    mask[..products].fill(1.0);
    let cls = rows.row(count + queries);
    let length = dot(simd, cls, cls).sqrt();
    let mut of_cls = vec![0f32; queries];
    for (query, similarity) in of_cls.iter_mut().enumerate() {
        *similarity = (dot(simd, cls, rows.row(count + query)) / length) as f32;
    }
    Sources { features, offset, mask, products, channels, of_cls }
}

/// Rows in float64, filled up with zeros to whole vectors, and some rows of zeros after them.
struct Rows {
    numbers: Vec<f64>,
    width: usize,
}

/// Rows and columns of scalar products that are computed at once.
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

/// All scalar products of the first `count` rows, the lower triangle of a square.
///
/// In float64: the factor's squares would lose half of float32's digits.
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
                let mut there = [simd.zero_wide(); BLOCK];
                let mut row = 0;
                while row < BLOCK {
                    there[row] = simd.load_wide(&of_left[row * width + start..]);
                    row += 1;
                }
                row = 0;
                while row < BLOCK {
                    let here = simd.load_wide(&of_top[row * width + start..]);
                    sums[row][0] = simd.fma_wide(here, there[0], sums[row][0]);
                    sums[row][1] = simd.fma_wide(here, there[1], sums[row][1]);
                    sums[row][2] = simd.fma_wide(here, there[2], sums[row][2]);
                    sums[row][3] = simd.fma_wide(here, there[3], sums[row][3]);
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

/// The lower triangle L with L·Lᵀ = `square`, in its place; rows that the others span get no column of their own.
#[inline(always)]
fn cholesky<S: Simd>(simd: S, mut square: Vec<f64>, count: usize) -> Vec<f64> {
    let most = (0..count).map(|index| square[index * count + index]).fold(0.0, f64::max);
    for row in 0..count {
        let (above, of_row) = square.split_at_mut(row * count);
        for (column, of_column) in above.chunks_exact(count).enumerate() {
            let pivot = of_column[column];
            let rest = of_row[column] - dot(simd, &of_row[..column], &of_column[..column]);
            of_row[column] = if pivot > 0.0 { rest / pivot } else { 0.0 };
        }
        let rest = of_row[row] - dot(simd, &of_row[..row], &of_row[..row]);
        of_row[row] = if rest > NOTHING * most { rest.sqrt() } else { 0.0 };
    }
    square
}

/// The first `columns` columns of a Cholesky factor with pivots: those that hold most of the square, of which the lower triangle
/// is given. What is left out is no part of any length.
fn leading(square: Vec<f64>, count: usize, columns: usize) -> Vec<f64> {
    let at = |row: usize, column: usize| square[row.max(column) * count + row.min(column)];
    let mut factor = vec![0f64; count * columns];
    let mut rest: Vec<f64> = (0..count).map(|row| at(row, row)).collect();
    let most = rest.iter().copied().fold(0.0, f64::max);
    for column in 0..columns {
        let (pivot, largest) =
            rest.iter().copied().enumerate().fold((0, 0.0), |best, it| if it.1 > best.1 { it } else { best });
        if largest <= NOTHING * most {
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
