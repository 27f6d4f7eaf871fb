//! The weight of a window's pixels along one axis.

use std::f32::consts::PI;

use crate::geom::Blend;

/// Weights of `size` pixels along one axis, all above zero; a pixel's weight is the product of those of its two axes.
///
/// ```
/// use segearth::{geom::Blend, stitch::window_weights};
/// assert!(window_weights(Blend::Hann, 224).iter().all(|&weight| weight > 0.0));
/// assert_eq!(window_weights(Blend::Average, 2), [1.0, 1.0]);
/// ```
pub fn window_weights(blend: Blend, size: usize) -> Vec<f32> {
    let centre = size as f32 / 2.0;
    (0..size)
        .map(|pixel| pixel as f32 + 0.5)
        .map(|position| match blend {
            Blend::Average => 1.0,
            // Hann's window vanishes at the window's borders, between pixels: their centres lie inside.
            Blend::Hann => (PI * position / size as f32).sin().powi(2),
            Blend::Gaussian => {
                let sigma = size as f32 / 4.0;
                (-0.5 * ((position - centre) / sigma).powi(2)).exp()
            }
        })
        .collect()
}
