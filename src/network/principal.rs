//! Principal components of features: the directions in which a sample varies most.

use tch::{Kind, Tensor};

use crate::error::Result;

/// A projection to few numbers: `(feature - mean) · components`.
#[derive(Clone, Debug, PartialEq)]
pub struct Components {
    /// (D)
    pub mean: Vec<f32>,
    /// (component, D), rows of unit length, the one with the largest variance first.
    pub directions: Vec<f32>,
    /// Share of the sample's variance that the components hold, 0 to 1.
    pub share: f64,
}

/// The first `count` principal components of `features`, (sample, `width`). `count` is at most `width`.
///
/// The sign of a component is such that its largest entry is positive: the same sample gives the same components.
pub fn principal_components(features: &[f32], width: usize, count: usize) -> Result<Components> {
    let _inference = tch::no_grad_guard();
    let samples = Tensor::f_from_slice(features)?.f_reshape([-1, width as i64])?.f_to_kind(Kind::Double)?;
    let mean = samples.f_mean_dim(Some(&[0i64][..]), true, Kind::Double)?;
    let centred = samples.f_sub(&mean)?;
    let covariance = centred.f_transpose(0, 1)?.f_matmul(&centred)?;
    // Ascending.
    let (variances, vectors) = covariance.f_linalg_eigh("L")?;
    let (count, last) = (count.min(width) as i64, width as i64);
    let directions = vectors.f_transpose(0, 1)?.f_slice(0, last - count, last, 1)?.f_flip([0])?;
    let (_, largest) = directions.f_abs()?.f_max_dim(1, true)?;
    let directions = directions.f_mul(&directions.f_gather(1, &largest, false)?.f_sign()?)?;
    let sum = |tensor: &Tensor| -> Result<f64> { Ok(f64::try_from(tensor.f_clamp_min(0.0)?.f_sum(Kind::Double)?)?) };
    let whole = sum(&variances)?;
    let kept = sum(&variances.f_slice(0, last - count, last, 1)?)?;
    let floats = |tensor: &Tensor| -> Result<Vec<f32>> {
        let tensor = tensor.f_to_kind(Kind::Float)?.f_flatten(0, -1)?.f_contiguous()?;
        Ok(Vec::<f32>::try_from(tensor)?)
    };
    Ok(Components {
        mean: floats(&mean)?,
        directions: floats(&directions)?,
        share: if whole > 0.0 { kept / whole } else { 1.0 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_in_space_has_one_component() {
        // Points around (1, 2, 3) along (0, -3, 4) / 5, with a little along (1, 0, 0).
        let points: Vec<f32> = (-50..=50)
            .flat_map(|step: i16| {
                let (along, beside) = (f32::from(step), if step % 2 == 0 { 0.1 } else { -0.1 });
                [1.0 + beside, 2.0 - 0.6 * along, 3.0 + 0.8 * along]
            })
            .collect();
        let found = principal_components(&points, 3, 2).unwrap();
        let near = |found: &[f32], want: &[f32]| found.iter().zip(want).all(|(a, b)| (a - b).abs() < 2e-3);
        assert!(near(&found.mean, &[1.0, 2.0, 3.0]), "{found:?}");
        assert!(near(&found.directions, &[0.0, -0.6, 0.8, 1.0, 0.0, 0.0]), "{found:?}");
        assert!(found.share > 0.999_99 && found.share <= 1.0 + 1e-9, "{found:?}");
        assert_eq!(principal_components(&points, 3, 1).unwrap().directions, found.directions[..3]);
    }
}
