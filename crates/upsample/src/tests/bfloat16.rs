//! The AMX backend against the same reference, within the accuracy of bfloat16.

use super::*;

fn amx(case: &Case, shortcuts: Shortcuts) -> Option<Upsampler> {
    let backend = SelectedBackend::new(&Parameters::new(&case.tensors).unwrap(), KernelPrecision::Bfloat16).unwrap();
    if matches!(backend, SelectedBackend::Float32(_)) {
        segearth_testing::skipped("no AMX");
        return None;
    }
    Some(case.with_backend(backend, shortcuts))
}

/// Largest mean error, relative to the standard deviation of the logits. Weights and source cells have a relative rounding error of
/// 2⁻⁹ at each of up to four doublings, independently of each other: 1.6e-3 to 2.7e-3 were measured, at any radius. Without the last
/// of nine source columns, which have the smallest weights, it is 1.2e-1.
const MEAN: f64 = 4e-3;
/// Largest error, relative to the standard deviation: 1.3e-2 to 2.8e-2 were measured.
const MOST: f64 = 6e-2;

fn compare(what: &str, got: &[f32], want: &[f64], lengths: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}");
    let errors = got.iter().zip(want).map(|(&got, want)| (f64::from(got) - want).abs());
    let errors: Vec<f64> = errors.zip(lengths.iter().cycle()).map(|(error, length)| error * length.min(1.0)).collect();
    let count = want.len() as f64;
    let centre = want.iter().sum::<f64>() / count;
    let spread = (want.iter().map(|want| (want - centre).powi(2)).sum::<f64>() / count).sqrt();
    let (mean, most) =
        (errors.iter().sum::<f64>() / count / spread, errors.iter().copied().fold(0.0, f64::max) / spread);
    let finite = errors.iter().all(|error| error.is_finite());
    assert!(finite && mean < MEAN && most < MOST, "{what}: off by {mean:.2e} of the spread, {most:.2e} at the most");
}

fn check(case: &Case) {
    let Some(mut upsampler) = amx(case, Shortcuts::default()) else { return };
    let (want, lengths) = case.plain(case.steps);
    let what = format!("{} steps from {:?}, D = {}", case.steps, case.cells, case.depth);
    compare(&what, &case.run(&mut upsampler), &want, &lengths);
}

#[test]
fn logits_match_reference_within_bfloat16() {
    for (steps, own, radius, cells, depth) in [
        (2, 1, 5, [11, 13], 160),
        (2, 1, 5, [5, 12], 20),
        (4, 4, 3, [2, 3], 24),
        (1, 1, 3, [3, 4], 40),
        (1, 1, 1, [9, 20], 100),
        (2, 1, 2, [7, 9], 33),
        (2, 1, 4, [6, 17], 50),
        (4, 1, 5, [4, 4], 64),
        (1, 1, 5, [21, 26], 600),
    ] {
        check(&Case::new(steps, own, radius, cells, depth, 11));
    }
}

#[test]
fn smallest_grids_and_more_queries_than_a_tile_match_float32() {
    for cells in [[1, 1], [1, 2], [3, 1]] {
        let mut case = Case::new(3, 1, 5, cells, 7, 5);
        case.queries = Numbers(9).take(17 * case.depth, 0.4);
        let Some(mut upsampler) = amx(&case, Shortcuts::default()) else { return };
        let got = case.run(&mut upsampler);
        let want = case.run(&mut case.upsampler(Level::best()));
        assert_eq!(got.len(), want.len());
        // With so few patches some features have a small norm, but the same absolute rounding error.
        let mean = got.iter().zip(&want).map(|(got, want)| (got - want).abs()).sum::<f32>() / want.len() as f32;
        assert!(mean < 5e-3, "{cells:?}: off by {mean:.1e}");
    }
}

#[test]
fn zero_features_have_the_same_finite_logits() {
    let mut case = Case::new(2, 1, 5, [4, 5], 30, 3);
    let depth = case.depth;
    case.tokens[depth..].fill(0.0);
    case.tensors.insert("fixup_proj.1.bias".into(), vec![0.0; depth]);
    let Some(mut upsampler) = amx(&case, Shortcuts::default()) else { return };
    let got = case.run(&mut upsampler);
    let of_query = got.len() / 3;
    assert!(got.chunks_exact(of_query).all(|plane| plane.iter().all(|logit| logit.is_finite() && *logit == plane[0])));
}

#[test]
fn radii_beyond_a_tile_use_float32() {
    let case = Case::new(1, 1, 6, [4, 4], 20, 3);
    let backend = SelectedBackend::new(&Parameters::new(&case.tensors).unwrap(), KernelPrecision::Bfloat16).unwrap();
    assert!(matches!(backend, SelectedBackend::Float32(_)));
}

#[test]
fn shortcuts_work_with_amx() {
    let case = Case::new(2, 1, 3, [4, 11], 30, 7);
    let shortcuts = Shortcuts { half_resolution: true, channels: Some(30) };
    let Some(mut upsampler) = amx(&case, shortcuts) else { return };
    let (plain, lengths) = case.plain(case.steps - 1);
    let size = case.size().map(|side| side / 2);
    let doubled = |from: &[f64]| {
        let from: Vec<f32> = from.iter().map(|&value| value as f32).collect();
        let mut to = vec![0.0; 4 * from.len()];
        let planes = to.chunks_exact_mut(4 * size[0] * size[1]).zip(from.chunks_exact(size[0] * size[1]));
        planes.for_each(|(to, from)| bilinear::double(|row| &from[row * size[1]..][..size[1]], size, to));
        wide(&to)
    };
    compare("at half resolution", &case.run(&mut upsampler), &doubled(&plain), &doubled(&lengths));
    let all = case.run(&mut amx(&case, Shortcuts::default()).unwrap());
    let few = |channels| {
        let shortcuts = Shortcuts { channels: Some(channels), ..Shortcuts::default() };
        let got = case.run(&mut amx(&case, shortcuts).unwrap());
        got.iter().zip(&all).map(|(got, all)| (got - all).abs()).sum::<f32>() / all.len() as f32
    };
    assert!(few(29) < few(20) && few(20) < few(5) && few(29) < 5e-3, "{} {} {}", few(29), few(20), few(5));
}

/// Windows side by side and below each other share weights in lines as they do in float32.
#[test]
fn overlapping_windows_share_weights_without_changing_logits() {
    let case = Case::new(2, 1, 3, [12, 24], 20, 19);
    let Some(mut sharing) = amx(&case, Shortcuts::default()) else { return };
    let mut alone = amx(&case, Shortcuts::default()).unwrap();
    disable_sharing(&mut alone);
    let ([height, width], wide) = (case.size(), 160);
    let scene = Numbers(78).take(3 * 100 * wide, 2.0);
    let queries = TextQueries { features: &case.queries, lambda: -0.3 };
    let mut computed = Vec::new();
    for (row, col) in [(0, 0), (0, 28), (0, 64), (28, 0), (28, 28), (28, 64)] {
        let planes = scene.chunks_exact(100 * wide);
        let rows = planes.flat_map(|plane| plane.chunks_exact(wide).skip(row).take(height));
        let pixels: Vec<f32> = rows.flat_map(|row| &row[col..col + width]).copied().collect();
        let window = Windows { count: 1, height, width, pixels: &pixels, tokens: &case.tokens };
        assert_eq!(
            sharing.logits(&window, &queries).unwrap(),
            alone.logits(&window, &queries).unwrap(),
            "{row}, {col}"
        );
        computed.push(computed_numbers(&sharing));
    }
    assert!(computed[1] < computed[0] && computed[4] < computed[1], "{computed:?}");
}
