//! The functions between the two layers of an MLP, for numbers that stand side by side in vectors. Written without fused multiply-add, and
//! without operations that compilers may reorder: every processor gives the same bytes.

use super::packed::PANEL;

/// What is applied to the sums of a layer, after the bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// x · sigmoid(1.702 x)
    QuickGelu,
    /// x · Φ(x), with the error function to 2e-7 (Abramowitz and Stegun, 7.1.26).
    Gelu,
}

impl Activation {
    #[inline(always)]
    pub(crate) fn apply(self, numbers: &mut [f32; PANEL]) {
        match self {
            Self::None => {}
            Self::QuickGelu => {
                for number in numbers {
                    *number = quick_gelu(*number);
                }
            }
            Self::Gelu => {
                for number in numbers {
                    *number = gelu(*number);
                }
            }
        }
    }
}

#[inline(always)]
fn quick_gelu(x: f32) -> f32 {
    x / (1.0 + exp(-1.702 * x))
}

/// Returns eˣ to a few units in the last place; beyond ±87 that of ±87.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Adding and subtracting it rounds to integers.
    const ROUND: f32 = 12_582_912.0;
    let x = if x > -87.0 { x } else { -87.0 };
    let x = if x < 87.0 { x } else { 87.0 };
    let scaled = x * std::f32::consts::LOG2_E + ROUND;
    let n = scaled - ROUND;
    // ln 2 in two parts; the first has so few bits that its product with n is exact.
    let rest = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let mut value = rest * (1.0 / 5040.0) + 1.0 / 720.0;
    value = value * rest + 1.0 / 120.0;
    value = value * rest + 1.0 / 24.0;
    value = value * rest + 1.0 / 6.0;
    value = value * rest + 0.5;
    value = value * rest + 1.0;
    value = value * rest + 1.0;
    // The low bits of `scaled` are n: as an exponent they make 2ⁿ.
    value * f32::from_bits((scaled.to_bits().wrapping_add(127)) << 23)
}

#[inline(always)]
fn gelu(x: f32) -> f32 {
    let magnitude = x.abs();
    let z = magnitude * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (z * 0.327_591_1 + 1.0);
    let mut tail = t * 1.061_405_4 - 1.453_152;
    tail = tail * t + 1.421_413_8;
    tail = tail * t - 0.284_496_74;
    tail = tail * t + 0.254_829_6;
    // 1 - erf(z)
    let beyond = (tail * t) * exp(-(z * z));
    let positive = if x > 0.0 { x } else { x * 0.0 };
    positive - (magnitude * 0.5) * beyond
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(activation: Activation, x: f32) -> f32 {
        let mut numbers = [x; PANEL];
        activation.apply(&mut numbers);
        numbers[PANEL - 1]
    }

    #[test]
    fn activations_are_those_of_float64() {
        // Φ by its series, which converges for all that are tested.
        let phi = |x: f64| {
            let (mut term, mut sum) = (x, x);
            for n in 1..200 {
                term *= x * x / f64::from(2 * n + 1);
                sum += term;
            }
            0.5 + sum * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
        };
        for step in -600..=600 {
            let x = step as f32 / 100.0;
            let exact = f64::from(x);
            let quick = exact / (1.0 + (-1.702 * exact).exp());
            assert!((f64::from(of(Activation::QuickGelu, x)) - quick).abs() < 1e-6 * (1.0 + exact.abs()), "{x}");
            assert!(
                (f64::from(of(Activation::Gelu, x)) - exact * phi(exact)).abs() < 1e-6 * (1.0 + exact.abs()),
                "{x}"
            );
        }
        for x in [-1e30, -1e4, 1e4, 1e30] {
            for activation in [Activation::QuickGelu, Activation::Gelu] {
                let want = if x > 0.0 { x } else { 0.0 };
                assert!((of(activation, x) - want).abs() <= 1e-6 * (1.0 + want), "{activation:?} of {x}");
            }
        }
        for activation in [Activation::QuickGelu, Activation::Gelu, Activation::None] {
            assert!(of(activation, f32::NAN).is_nan());
        }
    }
}
