//! The similarity of the tokens of a window to a query, straight from the bytes that the store holds.
//!
//! The scale of a token cancels: only its direction counts. So int8 needs no scales.

use half::f16;
use half::slice::HalfFloatSliceExt as _;

use super::Query;
use crate::embeddings::Precision;

/// Sums that are kept apart, so that the compiler computes them side by side.
const LANES: usize = 16;

/// Appends the scores of a window's patches from the bytes of its tokens; NaN for patches without direction.
pub(super) fn append_scores(bytes: &[u8], precision: Precision, query: &Query, to: &mut Vec<f32>) {
    let width = query.vector.len();
    let mut row = vec![0f32; width];
    let mut halves = vec![f16::ZERO; if precision == Precision::Float16 { width } else { 0 }];
    let mut tokens = bytes.chunks_exact((width * precision.bytes()).max(1));
    // A token is decoded where it is used: it is still in the cache, and a chunk need not be copied.
    let mut similarity = |token: &[u8]| {
        match precision {
            Precision::Float32 => {
                let (numbers, _) = token.as_chunks::<4>();
                row.iter_mut().zip(numbers).for_each(|(to, bytes)| *to = f32::from_le_bytes(*bytes));
            }
            Precision::Float16 => {
                let (numbers, _) = token.as_chunks::<2>();
                halves.iter_mut().zip(numbers).for_each(|(to, bytes)| *to = f16::from_le_bytes(*bytes));
                halves.convert_to_f32_slice(&mut row);
            }
            Precision::Int8 => {
                row.iter_mut().zip(token).for_each(|(to, byte)| *to = f32::from(byte.cast_signed()));
            }
        }
        similarity(&row, &query.vector)
    };
    // `[CLS]`, then the patches.
    let Some(whole) = tokens.next() else { return };
    let whole = if query.debias > 0.0 { query.debias * similarity(whole) } else { 0.0 };
    to.extend(tokens.map(|token| similarity(token) - whole));
}

/// The scalar product of a token, at unit length, with the query.
fn similarity(token: &[f32], query: &[f32]) -> f32 {
    let (tokens, token_rest) = token.as_chunks::<LANES>();
    let (queries, query_rest) = query.as_chunks::<LANES>();
    let (mut products, mut squares) = ([0f32; LANES], [0f32; LANES]);
    for (token, query) in tokens.iter().zip(queries) {
        let sums = products.iter_mut().zip(&mut squares);
        for ((product, square), (token, query)) in sums.zip(token.iter().zip(query)) {
            *product += token * query;
            *square += token * token;
        }
    }
    let (mut product, mut square) = (products.iter().sum::<f32>(), squares.iter().sum::<f32>());
    for (token, query) in token_rest.iter().zip(query_rest) {
        product += token * query;
        square += token * token;
    }
    product / square.sqrt()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn similarity_is_that_of_a_direct_computation(
            pairs in proptest::collection::vec((-3f32..3.0, -1f32..1.0), 1..200),
        ) {
            let (token, query): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let product: f64 = token.iter().zip(&query).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let norm = token.iter().map(|a| f64::from(*a).powi(2)).sum::<f64>().sqrt();
            prop_assume!(norm > 1e-3);
            let got = f64::from(similarity(&token, &query));
            prop_assert!((got - product / norm).abs() < 1e-5, "{got} {}", product / norm);
        }
    }

    #[test]
    fn zero_tokens_have_no_score() {
        assert!(similarity(&[0.0; 20], &[1.0; 20]).is_nan());
    }
}
