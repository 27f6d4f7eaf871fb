//! The similarity of the tokens of a chunk to a query, straight from the numbers that the store holds.
//!
//! The scale of a token cancels: only its direction counts. So int8 needs no scales.

use half::f16;
use half::slice::HalfFloatSliceExt as _;

use super::Query;
use crate::embeddings::{Chunk, Values};

/// Sums that are kept apart, so that the compiler computes them side by side.
const LANES: usize = 16;

/// Appends the scores of a window's patches; NaN for patches without direction.
pub(super) fn append_scores(chunk: &Chunk, window: usize, query: &Query, to: &mut Vec<f32>) {
    let numbers = chunk.tokens * chunk.width;
    let range = window * numbers..(window + 1) * numbers;
    let mut row = vec![0f32; chunk.width];
    match &chunk.values {
        Values::Float32(values) => {
            append(values.get(range).unwrap_or_default(), query, to, |token| similarity(token, &query.vector));
        }
        Values::Float16(values) => append(values.get(range).unwrap_or_default(), query, to, |token: &[f16]| {
            token.convert_to_f32_slice(&mut row);
            similarity(&row, &query.vector)
        }),
        Values::Int8 { values, .. } => append(values.get(range).unwrap_or_default(), query, to, |token: &[i8]| {
            row.iter_mut().zip(token).for_each(|(to, value)| *to = f32::from(*value));
            similarity(&row, &query.vector)
        }),
    }
}

/// `[CLS]`, then the patches.
fn append<T>(tokens: &[T], query: &Query, to: &mut Vec<f32>, mut similarity: impl FnMut(&[T]) -> f32) {
    let mut tokens = tokens.chunks_exact(query.vector.len().max(1));
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
