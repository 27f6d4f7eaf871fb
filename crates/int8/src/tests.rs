//! Products against plain sums of int32, and every kind of instructions against each other.

use proptest::prelude::*;

use super::dot::{Dot, Kernel, Level, Sums};
use super::packed::{GROUP, OFFSET, PANEL, Packed};
use super::rows::Rows;
use super::*;

/// Numbers from -1 to 1, always the same ones.
fn noise(seed: usize, count: usize) -> Vec<f32> {
    let number = |index: usize| {
        let mixed = ((index + seed * 7919) as u32).wrapping_mul(0x9e37_79b1);
        let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x846c_a68b);
        (mixed ^ (mixed >> 16)) as f32 / u32::MAX as f32 * 2.0 - 1.0
    };
    (0..count).map(number).collect()
}

fn layer(seed: usize, inputs: usize, outputs: usize) -> (Weights, Linear) {
    let weights = Weights::quantised(&noise(seed, inputs * outputs), inputs).unwrap();
    let linear = Linear::new(&weights, noise(seed + 1, outputs)).unwrap();
    (weights, linear)
}

/// Of rows that are one window.
fn of(layer: &Linear, level: Level, x: &[f32]) -> Vec<f32> {
    let rows = x.len() / layer.inputs();
    let mut out = vec![f32::NAN; rows * layer.outputs()];
    layer.forward(Instructions(level), x, rows, &mut out).unwrap();
    out
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

/// The sums of a tile, with every kind of instructions.
struct Tile<'a> {
    rows: [&'a [i8]; 2],
    panel: &'a [u8],
    sums: &'a mut [Sums; 2],
}

impl Kernel for Tile<'_> {
    #[inline(always)]
    fn run<D: Dot>(self, dot: D) {
        *self.sums = dot.tile(self.rows, self.panel);
    }
}

#[test]
fn tiles_are_exact_sums_at_the_ends_of_the_range() {
    for (left, weight) in [(-128, -127), (-128, 127), (127, -127), (127, 127), (0, 127), (-1, 1)] {
        for groups in [0, 1, 2, 777] {
            let inputs = groups * GROUP;
            let rows = [vec![left; inputs], (0..inputs).map(|at| if at % 3 == 0 { left } else { 1 }).collect()];
            let byte = (i32::from(weight as i8) + OFFSET) as u8;
            let panel = vec![byte; inputs * PANEL];
            let want = [&rows[0], &rows[1]]
                .map(|row: &Vec<i8>| [row.iter().map(|left| i32::from(*left) * i32::from(byte)).sum::<i32>(); PANEL]);
            for level in Level::all() {
                let mut sums = [[-1; PANEL]; 2];
                level.run(Tile { rows: [&rows[0], &rows[1]], panel: &panel, sums: &mut sums });
                assert_eq!(sums, want, "{}: {left} · {weight}, {inputs} inputs", level.name());
            }
        }
    }
}

/// A layer is, number by number, the sum of int32 products of what rows and weights are quantised to.
fn expected(weights: &Weights, bias: &[f32], x: &[f32]) -> Vec<f32> {
    let inputs = weights.inputs;
    let mut rows = Rows::default();
    rows.quantise(x, inputs);
    let number = |row: usize, output: usize| {
        let (scale, channel) = (rows.scale(row), &weights.values()[output * inputs..][..inputs]);
        let product = |(left, right): (&i8, &i8)| (i64::from(*left) - i64::from(scale.zero)) * i64::from(*right);
        let sum: i64 = rows.row(row)[..inputs].iter().zip(channel).map(product).sum();
        i32::try_from(sum).unwrap() as f32 * (scale.scale * weights.scales()[output])
    };
    let outputs = || 0..weights.outputs();
    let reference: Vec<f32> = outputs().map(|output| number(0, output) + bias[output]).collect();
    (1..rows.len())
        .flat_map(|row| outputs().map(move |output| (row, output)))
        .map(|(row, output)| number(row, output) + reference[output])
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn layers_are_exact_sums(rows in 1usize..15, inputs in 1usize..80, outputs in 1usize..140, seed in 0usize..1000) {
        let (weights, layer) = layer(seed, inputs, outputs);
        let x = noise(seed + 5, rows * inputs);
        let want = bits(&expected(&weights, &noise(seed + 1, outputs), &x));
        for level in Level::all() {
            prop_assert_eq!(&bits(&of(&layer, level, &x)), &want, "{}", level.name());
        }
    }

    #[test]
    fn rows_are_rounded_to_half_a_step(count in 1usize..5, inputs in 1usize..100, low in -30f32..30.0, high in -30f32..30.0, seed in 0usize..1000) {
        let number = |number: f32| low + (high - low) * (0.5 + 0.5 * number);
        let x: Vec<f32> = noise(seed, count * inputs).into_iter().map(number).collect();
        let mut rows = Rows::default();
        rows.quantise(&x, inputs);
        let back = |row: usize| -> Vec<f32> {
            let scale = rows.scale(row);
            rows.row(row)[..inputs].iter().map(|byte| scale.scale * (i32::from(*byte) - scale.zero) as f32).collect()
        };
        let reference = back(0);
        let mean = |at: usize| x.iter().skip(at).step_by(inputs).sum::<f32>() / count as f32;
        for (at, number) in reference.iter().enumerate() {
            prop_assert!((number - mean(at)).abs() <= 1.001 * rows.scale(0).scale + 1e-5);
        }
        for row in 0..count {
            let scale = rows.scale(1 + row);
            let differences: Vec<f32> = x[row * inputs..][..inputs].iter().zip(&reference).map(|(x, r)| x - r).collect();
            let range = differences.iter().fold(0f32, |a, b| a.max(*b)) - differences.iter().fold(0f32, |a, b| a.min(*b));
            prop_assert!((scale.scale * 255.0 - range).abs() <= 1e-5 * range);
            for ((number, back), byte) in differences.iter().zip(back(1 + row)).zip(rows.row(1 + row)) {
                // The zero point is rounded too: at the ends it may cost another half step.
                let most = if (-127..=126).contains(byte) { 0.501 } else { 1.001 };
                prop_assert!((back - number).abs() <= most * scale.scale, "{} became {}", number, back);
            }
            prop_assert_eq!(scale.sum, rows.row(1 + row).iter().map(|byte| i32::from(*byte)).sum::<i32>());
        }
    }
}

/// All that a transformer has, in odd sizes, by all kinds of instructions.
#[test]
fn all_instructions_give_the_same_bytes() {
    for (rows, [inputs, hidden, outputs]) in
        [(1, [1, 1, 1]), (5, [7, 65, 3]), (129, [30, 129, 30]), (394, [64, 256, 64]), (0, [4, 8, 4])]
    {
        for activation in [Activation::QuickGelu, Activation::Gelu] {
            let mlp = Mlp::new(layer(1, inputs, hidden).1, activation, layer(2, hidden, outputs).1).unwrap();
            let x = noise(3, rows * inputs);
            let run = |level: Level| {
                let mut out = vec![f32::NAN; rows * outputs];
                let window = if rows == 394 { 197 } else { rows.max(1) };
                mlp.forward(Instructions(level), &x, window, &mut out).unwrap();
                out
            };
            let want = run(Level::up_to(Limit::Portable));
            assert!(want.iter().all(|number| number.is_finite()));
            for level in Level::all() {
                assert_eq!(bits(&run(level)), bits(&want), "{}, {rows} rows of {inputs}", level.name());
            }
        }
    }
}

/// The largest difference from float64, relative to the size of the numbers without what rows have in common.
#[test]
fn results_are_those_of_float32_within_the_steps() {
    let (inputs, outputs, rows) = (256, 100, 9);
    let w = noise(2, inputs * outputs);
    let layer = Linear::new(&Weights::quantised(&w, inputs).unwrap(), vec![0.5; outputs]).unwrap();
    // What is the same in all rows, one channel far larger than all others, costs nothing.
    for shift in [0.0, 40.0] {
        let mut x = noise(1, rows * inputs);
        x.iter_mut().skip(7).step_by(inputs).for_each(|number| *number += shift);
        let out = of(&layer, Level::up_to(Limit::None), &x);
        let dequantised = Weights::quantised(&w, inputs).unwrap();
        let of_channel_7 = |output: usize| {
            f64::from(dequantised.values()[output * inputs + 7]) * f64::from(dequantised.scales()[output])
        };
        let mut error = 0f64;
        for row in 0..rows {
            for output in 0..outputs {
                let products = x[row * inputs..][..inputs].iter().zip(&w[output * inputs..][..inputs]);
                let want: f64 = 0.5 + products.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum::<f64>();
                // The weight's own error, times the shift, is in all rows alike.
                let want = want + f64::from(shift) * (of_channel_7(output) - f64::from(w[output * inputs + 7]));
                error += (f64::from(out[row * outputs + output]) - want).powi(2);
            }
        }
        // Steps of 2 / 255 and 1 / 127 in uniform numbers: each adds step² / 12 · mean square of the other, which is 1 / 3.
        let steps = [2f64 / 255.0, 1.0 / 127.0].map(|step| step * step / 12.0 / 3.0);
        let expected = (steps.iter().sum::<f64>() * inputs as f64).sqrt();
        let error = (error / (rows * outputs) as f64).sqrt();
        assert!((0.8..1.3).contains(&(error / expected)), "{error} for {expected}, shifted by {shift}");
    }
}

/// One window's numbers must not change those of another.
#[test]
fn windows_do_not_depend_on_each_other() {
    let (_, layer) = layer(4, 33, 70);
    let x = noise(5, 3 * 130 * 33);
    let level = Level::up_to(Limit::None);
    let mut together = vec![0.0; 3 * 130 * 70];
    layer.forward(Instructions(level), &x, 130, &mut together).unwrap();
    for window in 0..3 {
        let alone = of(&layer, level, &x[window * 130 * 33..][..130 * 33]);
        assert_eq!(bits(&alone), bits(&together[window * 130 * 70..][..130 * 70]));
    }
}

#[test]
fn zeros_give_the_bias_and_what_is_not_finite_stays_so() {
    let (_, layer) = layer(4, 19, 5);
    let bias = noise(5, 5);
    for level in Level::all() {
        assert_eq!(of(&layer, level, &[0.0; 19]), bias);
        assert_eq!(of(&layer, level, &[1e-38; 19]), bias);
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in [0, 15, 18] {
                let mut x = noise(6, 2 * 19);
                x[place] = wrong;
                let mut out = vec![0.0; 10];
                layer.forward(Instructions(level), &x, 1, &mut out).unwrap();
                assert!(out[..5].iter().all(|number| number.is_nan()), "{wrong} at {place}: {out:?}");
                assert!(out[5..].iter().all(|number| number.is_finite()));
            }
        }
        assert!(of(&layer, level, &[1e36; 19]).iter().all(|number| number.is_finite()));
        let mut ends = [1e38; 19];
        ends[3] = -3e38;
        let out = of(&layer, level, &ends);
        assert!(out.iter().all(|number| !number.is_nan()), "{out:?}");
    }
}

#[test]
fn numbers_that_are_no_layer_are_refused() {
    let error = |result: Result<Weights>| result.unwrap_err().to_string();
    assert!(error(Weights::quantised(&[1.0; 7], 3)).contains("7 numbers are no matrix of 3 input channels"));
    assert!(error(Weights::quantised(&[], 3)).contains("0 numbers"));
    assert!(error(Weights::quantised(&[1.0], 0)).contains("0 input channels"));
    assert!(error(Weights::new(vec![1; 1 << 17], vec![1.0], 1 << 17)).contains("1 to 65536"));
    assert!(error(Weights::new(vec![1; 6], vec![1.0], 3)).contains("1 scales for 2 output channels"));
    assert!(error(Weights::new(vec![1; 3], vec![f32::NAN], 3)).contains("a scale is NaN"));
    let (weights, layer) = layer(1, 3, 2);
    assert!(Linear::new(&weights, vec![0.0]).is_err());
    assert!(layer.forward(Instructions::detect().unwrap(), &[0.0; 6], 1, &mut [0.0; 2]).is_err());
    assert!(layer.forward(Instructions::detect().unwrap(), &[0.0; 5], 1, &mut [0.0; 2]).is_err());
    for window in [0, 2, 4] {
        assert!(layer.forward(Instructions::detect().unwrap(), &[0.0; 9], window, &mut [0.0; 6]).is_err(), "{window}");
    }
    let other = self::layer(1, 3, 2).1;
    assert!(Mlp::new(layer, Activation::Gelu, other).unwrap_err().to_string().contains("2 output channels"));
}

#[test]
fn weights_are_packed_with_their_sums() {
    let weights = Weights::new((0..70 * 3).map(|at| (at % 255 - 127) as i8).collect(), vec![1.0; 70], 3).unwrap();
    let packed = Packed::new(&weights);
    let panels: Vec<&[u8]> = packed.panels().collect();
    assert_eq!((panels.len(), panels[0].len()), (2, PANEL * GROUP));
    assert_eq!(panels[1][5 * GROUP..][..GROUP], [208, 209, 210, 128]);
    assert_eq!(packed.sums[0], -127 - 126 - 125);
}
