//! The engine of tiles against the same plain method, as far as bfloat16 goes.

use super::*;

fn tiles(case: &Case, shortcuts: Shortcuts) -> Option<Upsampler> {
    let form = Form::new(&Weights::new(&case.tensors).unwrap(), Precision::Bfloat16);
    if matches!(form, Form::Float32(_)) {
        eprintln!("SKIPPED: this processor has no tiles of bfloat16");
        return None;
    }
    Some(case.with_form(form, shortcuts))
}

/// The mean and the largest difference, and the spread of what is wanted.
fn differences(got: &[f32], want: &[f64], lengths: &[f64]) -> [f64; 3] {
    assert_eq!(got.len(), want.len());
    let errors = got.iter().zip(want).map(|(&got, want)| (f64::from(got) - want).abs());
    let errors: Vec<f64> = errors.zip(lengths.iter().cycle()).map(|(error, length)| error * length.min(1.0)).collect();
    assert!(errors.iter().all(|error| error.is_finite()));
    let count = want.len() as f64;
    let mean = want.iter().sum::<f64>() / count;
    let spread = (want.iter().map(|want| (want - mean).powi(2)).sum::<f64>() / count).sqrt();
    [errors.iter().sum::<f64>() / count, errors.iter().copied().fold(0.0, f64::max), spread]
}

fn check(case: &Case) {
    let Some(mut upsampler) = tiles(case, Shortcuts::default()) else { return };
    let (want, lengths) = case.plain(case.steps);
    let [mean, most, spread] = differences(&case.run(&mut upsampler), &want, &lengths);
    eprintln!(
        "{:?} steps {} depth {}: mean {mean:.2e} most {most:.2e} spread {spread:.2e}",
        case.cells, case.steps, case.depth
    );
}

#[test]
fn logits_are_those_of_the_method_as_far_as_eight_bits_go() {
    for (steps, own, radius, cells, depth) in [
        (2, 1, 5, [11, 13], 160),
        (2, 1, 5, [5, 12], 20),
        (4, 4, 3, [2, 3], 24),
        (1, 1, 3, [3, 4], 40),
        (3, 1, 5, [1, 1], 7),
        (1, 1, 1, [9, 20], 100),
        (2, 1, 2, [7, 9], 33),
        (2, 1, 4, [6, 17], 50),
        (4, 1, 5, [4, 4], 64),
    ] {
        check(&Case::new(steps, own, radius, cells, depth, 11));
    }
}
