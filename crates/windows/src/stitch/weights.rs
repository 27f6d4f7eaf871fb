//! Blending weights of a window along one axis.

use std::f32::consts::PI;

use crate::geom::Blend;

/// Weights of `size` pixels along one axis, all positive; the weight of a pixel is the product over both axes.
///
/// ```
/// use segearth_windows::{geom::Blend, stitch::window_weights};
/// assert!(window_weights(Blend::Hann, 224).iter().all(|&weight| weight > 0.0));
/// assert_eq!(window_weights(Blend::Average, 2), [1.0, 1.0]);
/// ```
pub fn window_weights(blend: Blend, size: usize) -> Vec<f32> {
    let centre = size as f32 / 2.0;
    (0..size)
        .map(|pixel| pixel as f32 + 0.5)
        .map(|position| match blend {
            Blend::Average => 1.0,
            // The Hann window is zero at the borders of the window; pixel centres lie inside.
            Blend::Hann => (PI * position / size as f32).sin().powi(2),
            Blend::Gaussian => {
                let sigma = size as f32 / 4.0;
                (-0.5 * ((position - centre) / sigma).powi(2)).exp()
            }
        })
        .collect()
}
