//! What is upsampled in place of a window's features: few channels that hold all that similarities need.
//!
//! Upsampling is linear: a pixel's feature is y = a·M with the features of the window's N patches and the constant offset as
//! the rows of M, and a from the image alone. The similarity with a query t is y·t / |y|. So the scalar products M·tᵀ can be
//! upsampled themselves, and for the length any rows will do whose scalar products are those of M's: the Cholesky factor of
//! M·Mᵀ has N + 1 columns where M has D.

use super::lanes::{Kernel, Simd};

/// Below this share of the largest square a remaining square is rounding.
const NOTHING: f64 = 1e-14;

/// One window's channels.
#[derive(Debug)]
pub(super) struct Sources {
    /// (patch, channel): lengths first, then a product for each query, then zeros up to whole vectors.
    pub features: Vec<f32>,
    /// (channel)
    pub offset: Vec<f32>,
    /// (channel): 1 for those that lengths are made of.
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
}

impl Kernel for MakeSources<'_> {
    type Output = Sources;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Sources {
        make::<S>(&self)
    }
}

#[inline(always)]
fn make<S: Simd>(input: &MakeSources<'_>) -> Sources {
    let width = input.offset.len();
    let (cls, patches) = input.tokens.split_at(width);
    let rows: Vec<&[f32]> = patches.chunks_exact(width).chain([input.offset]).collect();
    let queries: Vec<&[f32]> = input.queries.chunks_exact(width).collect();
    let products = rows.len().min(width);
    let channels = (products + queries.len()).next_multiple_of(S::WIDTH);
    let mut features = vec![0f32; rows.len() * channels];
    if rows.len() < width {
        let factor = cholesky(gram(&rows), rows.len());
        for (index, to) in features.chunks_exact_mut(channels).enumerate() {
            let from = &factor[index * rows.len()..][..=index];
            to.iter_mut().zip(from).for_each(|(to, &from)| *to = from as f32);
        }
    } else {
        features.chunks_exact_mut(channels).zip(&rows).for_each(|(to, from)| to[..width].copy_from_slice(from));
    }
    for (to, row) in features.chunks_exact_mut(channels).zip(&rows) {
        to[products..].iter_mut().zip(&queries).for_each(|(to, query)| *to = dot(row, query) as f32);
    }
    let offset = features.split_off((rows.len() - 1) * channels);
    let mut mask = vec![0.0; channels];
    mask[..products].fill(1.0);
    let length = dot(cls, cls).sqrt();
    let of_cls = queries.iter().map(|query| (dot(cls, query) / length) as f32).collect();
    Sources { features, offset, mask, products, channels, of_cls }
}

const LANES: usize = 8;

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0f64; LANES];
    let (heads, tails) = (a.chunks_exact(LANES).zip(b.chunks_exact(LANES)), a.len() / LANES * LANES);
    for (a, b) in heads {
        for lane in 0..LANES {
            sums[lane] += f64::from(a[lane]) * f64::from(b[lane]);
        }
    }
    let rest: f64 = a[tails..].iter().zip(&b[tails..]).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    sums.iter().sum::<f64>() + rest
}

#[inline(always)]
fn dot_wide(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0f64; LANES];
    let tails = a.len() / LANES * LANES;
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = a[tails..].iter().zip(&b[tails..]).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

/// All scalar products of the rows, the lower triangle of a square.
///
/// In float64: the factor's squares would lose half of float32's digits.
#[inline(always)]
fn gram(rows: &[&[f32]]) -> Vec<f64> {
    const BLOCK: usize = 4;
    let count = rows.len();
    let width = rows[0].len();
    let padded_width = width.next_multiple_of(LANES);
    let padded = count.next_multiple_of(BLOCK);
    let mut wide = vec![0f64; padded * padded_width];
    for (to, from) in wide.chunks_exact_mut(padded_width).zip(rows) {
        to.iter_mut().zip(*from).for_each(|(to, &from)| *to = f64::from(from));
    }
    let row = |index: usize| &wide[index * padded_width..][..padded_width];
    let mut products = vec![0f64; count * count];
    for top in (0..padded).step_by(BLOCK) {
        let of_top = [row(top), row(top + 1), row(top + 2), row(top + 3)];
        for left in (0..=top).step_by(BLOCK) {
            let of_left = [row(left), row(left + 1), row(left + 2), row(left + 3)];
            let mut sums = [[[0f64; LANES]; BLOCK]; BLOCK];
            for start in (0..padded_width).step_by(LANES) {
                for (sums, a) in sums.iter_mut().zip(&of_top) {
                    let a = &a[start..][..LANES];
                    for (sums, b) in sums.iter_mut().zip(&of_left) {
                        let b = &b[start..][..LANES];
                        for lane in 0..LANES {
                            sums[lane] += a[lane] * b[lane];
                        }
                    }
                }
            }
            for (of_row, sums) in products.chunks_exact_mut(count).skip(top).zip(&sums) {
                for (product, sums) in of_row.iter_mut().skip(left).zip(sums) {
                    *product = sums.iter().sum();
                }
            }
        }
    }
    products
}

/// The lower triangle L with L·Lᵀ = `square`, in its place; rows that the others span get no column of their own.
#[inline(always)]
fn cholesky(mut square: Vec<f64>, count: usize) -> Vec<f64> {
    let most = (0..count).map(|index| square[index * count + index]).fold(0.0, f64::max);
    for row in 0..count {
        let (above, of_row) = square.split_at_mut(row * count);
        for (column, of_column) in above.chunks_exact(count).enumerate() {
            let pivot = of_column[column];
            let rest = of_row[column] - dot_wide(&of_row[..column], &of_column[..column]);
            of_row[column] = if pivot > 0.0 { rest / pivot } else { 0.0 };
        }
        let rest = of_row[row] - dot_wide(&of_row[..row], &of_row[..row]);
        of_row[row] = if rest > NOTHING * most { rest.sqrt() } else { 0.0 };
    }
    square
}
