//! The kernels against a direct implementation of the method in float64, one pixel and one neighbour at a time.

use proptest::prelude::*;
use segearth_testing::random::{Numbers, Tensors, tensors};

use super::resampling::reflect;
use super::window_cache::WindowCache;
use super::*;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod bfloat16;

/// Largest absolute error of logits, which are between -1.3 and 1.3. For features with a norm below 1 it is divided by the norm, since
/// the rounding errors are those of sums.
const TOLERANCE: f64 = 2e-6;

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// The error function, by its series below 3 and by its continued fraction beyond.
fn erf(x: f64) -> f64 {
    if x.abs() < 3.0 {
        let (mut term, mut sum) = (x, x);
        for n in 1..80 {
            term *= -x * x / n as f64;
            sum += term / (2 * n + 1) as f64;
        }
        return sum * 2.0 / std::f64::consts::PI.sqrt();
    }
    let mut fraction = x.abs();
    for n in (1..60).rev() {
        fraction = x.abs() + n as f64 / 2.0 / fraction;
    }
    x.signum() * (1.0 - (-x * x).exp() / (fraction * std::f64::consts::PI.sqrt()))
}

fn plain_gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2))
}

/// matrix · input + bias
fn layer(tensors: &Tensors, name: &str, input: &[f64]) -> Vec<f64> {
    let (matrix, bias) = (&tensors[&format!("{name}.weight")], &tensors[&format!("{name}.bias")]);
    let rows = matrix.chunks_exact(input.len()).zip(bias);
    rows.map(|(row, &bias)| row.iter().zip(input).map(|(&a, b)| f64::from(a) * b).sum::<f64>() + f64::from(bias))
        .collect()
}

/// One doubling of (row, column, channel), as the method defines it.
fn doubling(
    tensors: &Tensors,
    prefix: &str,
    image: &[f64],
    size: [usize; 2],
    source: &[f64],
    cells: [usize; 2],
) -> Vec<f64> {
    let channels = source.len() / (cells[0] * cells[1]);
    let grid = cells.map(|side| 2 * side);
    let factor = size[0] / grid[0];
    let taps = tensors[&format!("{prefix}fixup_proj.3.bias")].len();
    let diameter = taps.isqrt();
    let radius = diameter as isize / 2;
    let pooled = |row: usize, col: usize| -> Vec<f64> {
        let mean = |channel: usize| {
            let pixels = (0..factor * factor).map(|at| {
                image[(channel * size[0] + row * factor + at / factor) * size[1] + col * factor + at % factor]
            });
            pixels.sum::<f64>() / (factor * factor) as f64
        };
        (0..3).map(mean).collect()
    };
    let keys: Vec<Vec<f64>> = (0..grid[0] * grid[1])
        .map(|at| {
            let hidden = layer(tensors, &format!("{prefix}range_proj.0"), &pooled(at / grid[1], at % grid[1]));
            layer(tensors, &format!("{prefix}range_proj.3"), &hidden.into_iter().map(plain_gelu).collect::<Vec<_>>())
        })
        .collect();
    let cubic = |x: f64| match x.abs() {
        x if x <= 1.0 => 1.25 * x.powi(3) - 2.25 * x * x + 1.0,
        x if x < 2.0 => -0.75 * x.powi(3) + 3.75 * x * x - 6.0 * x + 3.0,
        _ => 0.0,
    };
    let bicubic = |row: usize, col: usize, channel: usize| {
        let along = |at: usize, cells: usize| -> Vec<(usize, f64)> {
            let centre = (at as f64 + 0.5) / 2.0 - 0.5;
            let first = centre.floor() as isize - 1;
            let tap = |cell: isize| (cell.clamp(0, cells as isize - 1) as usize, cubic(centre - cell as f64));
            (first..first + 4).map(tap).collect()
        };
        let mut sum = 0.0;
        for (r, share) in along(row, cells[0]) {
            for (c, other) in along(col, cells[1]) {
                sum += share * other * source[(r * cells[1] + c) * channels + channel];
            }
        }
        sum
    };
    let doubled: Vec<f64> = (0..grid[0] * grid[1] * channels)
        .map(|at| bicubic(at / channels / grid[1], at / channels % grid[1], at % channels))
        .collect();
    let temperature = f64::from(tensors[&format!("{prefix}range_temp")][0]).exp().clamp(1e-4, 1e4);
    let sigma = f64::from(tensors[&format!("{prefix}sigma_spatial")][0]);
    let mut out = Vec::new();
    for row in 0..grid[0] {
        for col in 0..grid[1] {
            let neighbours: Vec<usize> = (0..taps)
                .map(|tap| {
                    let (dy, dx) = ((tap / diameter) as isize - radius, (tap % diameter) as isize - radius);
                    reflect(row as isize + dy, grid[0]) * grid[1] + reflect(col as isize + dx, grid[1])
                })
                .collect();
            let own = &keys[row * grid[1] + col];
            let scores: Vec<f64> = neighbours
                .iter()
                .map(|&at| temperature * keys[at].iter().zip(own).map(|(a, b)| a * b).sum::<f64>())
                .collect();
            let most = scores.iter().copied().fold(f64::MIN, f64::max);
            let sum: f64 = scores.iter().map(|score| (score - most).exp()).sum();
            let mut weights: Vec<f64> = scores
                .iter()
                .enumerate()
                .map(|(tap, score)| {
                    let u = |at: usize| if radius == 0 { -1.0 } else { at as f64 / radius as f64 - 1.0 };
                    let square = u(tap / diameter).powi(2) + u(tap % diameter).powi(2);
                    (score - most).exp() / sum * (-square / (2.0 * sigma * sigma)).exp()
                })
                .collect();
            let sum = weights.iter().sum::<f64>().max(1e-7);
            weights.iter_mut().for_each(|weight| *weight /= sum);
            let cached: Vec<f64> = weights.iter().copied().chain(pooled(row, col)).collect();
            let hidden = layer(tensors, &format!("{prefix}fixup_proj.0"), &cached);
            let hidden: Vec<f64> = hidden.into_iter().map(plain_gelu).collect();
            let fixed = layer(tensors, &format!("{prefix}fixup_proj.3"), &hidden);
            weights.iter_mut().zip(fixed).for_each(|(weight, fixed)| *weight += 0.1 * fixed);
            for channel in 0..channels {
                let sum = weights.iter().zip(&neighbours).map(|(weight, at)| weight * doubled[at * channels + channel]);
                out.push(sum.sum::<f64>());
            }
        }
    }
    out
}

fn float32(level: Level) -> SelectedBackend {
    SelectedBackend::Float32(Runner::new(Float32::new(level)))
}

/// Returns how many numbers were computed for the last window.
fn computed_numbers(upsampler: &Upsampler) -> usize {
    fn count<N: Copy + Default>(cache: &WindowCache<N>) -> usize {
        cache.last(1)[0].doublings.iter().map(|doubling| doubling.numbers.len()).sum()
    }
    match &upsampler.backend {
        SelectedBackend::Float32(runner) => count(&runner.cache),
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        SelectedBackend::Amx(runner) => count(&runner.cache),
    }
}

/// Computes every window without sharing weights.
fn disable_sharing(upsampler: &mut Upsampler) {
    match &mut upsampler.backend {
        SelectedBackend::Float32(runner) => runner.cache.sharing_disabled = true,
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        SelectedBackend::Amx(runner) => runner.cache.sharing_disabled = true,
    }
}

/// A window and its queries.
struct Case {
    tensors: Tensors,
    steps: usize,
    cells: [usize; 2],
    depth: usize,
    pixels: Vec<f32>,
    tokens: Vec<f32>,
    queries: Vec<f32>,
}

impl Case {
    fn new(steps: usize, own: usize, radius: usize, cells: [usize; 2], depth: usize, seed: u64) -> Self {
        let mut numbers = Numbers(seed ^ 0x5eed);
        let patch = 1usize << steps;
        let mut queries = numbers.take(3 * depth, 1.0);
        for query in queries.chunks_exact_mut(depth) {
            let length = query.iter().map(|value| value * value).sum::<f32>().sqrt();
            query.iter_mut().for_each(|value| *value /= length);
        }
        Self {
            tensors: tensors(own, radius, 4, depth, seed),
            steps,
            cells,
            depth,
            pixels: numbers.take(3 * cells[0] * cells[1] * patch * patch, 2.0),
            tokens: numbers.take((cells[0] * cells[1] + 1) * depth, 1.0),
            queries,
        }
    }

    fn size(&self) -> [usize; 2] {
        self.cells.map(|side| side << self.steps)
    }

    /// Returns the logits (query, pixel) after `doublings`, and the norm of each feature.
    fn plain(&self, doublings: usize) -> (Vec<f64>, Vec<f64>) {
        let depth = self.depth;
        let (cls, patches) = self.tokens.split_at(depth);
        let mut features = wide(patches);
        for step in 0..doublings {
            let prefix =
                if self.tensors.contains_key("up2.range_temp") { format!("up{}.", step + 1) } else { "up1.".into() };
            let cells = self.cells.map(|side| side << step);
            features = doubling(&self.tensors, &prefix, &wide(&self.pixels), self.size(), &features, cells);
        }
        let length = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>().sqrt();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (cls, bias) = (wide(cls), &self.tensors["fixup_proj.1.bias"]);
        for feature in features.chunks_exact_mut(depth) {
            feature.iter_mut().zip(bias).for_each(|(y, &b)| *y += 0.1 * f64::from(b));
        }
        let mut logits = Vec::new();
        for query in self.queries.chunks_exact(depth).map(wide) {
            let of_cls = dot(&cls, &query) / length(&cls);
            let features = features.chunks_exact(depth);
            logits.extend(features.map(|feature| dot(feature, &query) / length(feature) - 0.3 * of_cls));
        }
        (logits, features.chunks_exact(depth).map(length).collect())
    }

    fn upsampler(&self, level: Level) -> Upsampler {
        self.with_shortcuts(level, Shortcuts::default())
    }

    fn with_shortcuts(&self, level: Level, shortcuts: Shortcuts) -> Upsampler {
        self.with_backend(float32(level), shortcuts)
    }

    fn with_backend(&self, backend: SelectedBackend, shortcuts: Shortcuts) -> Upsampler {
        Upsampler::new(Parameters::new(&self.tensors).unwrap(), 1 << self.steps, 1, backend, shortcuts).unwrap()
    }

    fn run(&self, upsampler: &mut Upsampler) -> Vec<f32> {
        let [height, width] = self.size();
        let windows = Windows { count: 1, height, width, pixels: &self.pixels, tokens: &self.tokens };
        upsampler.logits(&windows, &TextQueries { features: &self.queries, lambda: -0.3 }).unwrap()
    }

    fn check(&self) {
        let (want, lengths) = self.plain(self.steps);
        for level in Level::all() {
            let got = self.run(&mut self.upsampler(level));
            assert_eq!(got.len(), want.len());
            let errors = got.iter().zip(&want).map(|(&got, want)| (f64::from(got) - want).abs());
            let errors = errors.zip(lengths.iter().cycle()).map(|(error, length)| error * length.min(1.0));
            let worst = errors.fold(0.0, f64::max);
            let Self { steps, cells, depth, .. } = self;
            assert!(worst <= TOLERANCE, "{level:?}, {steps} steps from {cells:?}, D = {depth}: off by {worst:.2e}");
        }
    }
}

#[test]
fn logits_match_reference_beyond_the_support() {
    Case::new(2, 1, 5, [11, 13], 160, 1).check();
}

#[test]
fn logits_match_reference_with_more_patches_than_dimensions() {
    Case::new(2, 1, 5, [5, 12], 20, 2).check();
}

#[test]
fn logits_match_reference_with_parameters_per_doubling() {
    Case::new(4, 4, 3, [2, 3], 24, 3).check();
}

#[test]
fn logits_match_reference_with_linearly_dependent_features() {
    let mut case = Case::new(1, 1, 3, [3, 4], 40, 4);
    let depth = case.depth;
    let first = case.tokens[depth..2 * depth].to_vec();
    for patch in [2, 5, 6] {
        case.tokens[(patch + 1) * depth..][..depth].copy_from_slice(&first);
    }
    case.tokens[8 * depth..9 * depth].fill(0.0);
    case.check();
}

/// The tests of kernels take every level that the processor has: those that it lacks are told.
#[test]
#[cfg(target_arch = "x86_64")]
fn best_level_is_widest_of_those_tested() {
    let levels = Level::all();
    if !levels.iter().any(|level| matches!(level, Level::Avx2(_))) {
        segearth_testing::skipped("no AVX2");
    }
    if !levels.iter().any(|level| matches!(level, Level::Avx512(_))) {
        segearth_testing::skipped("no AVX-512");
    }
    assert_eq!(levels.iter().map(|level| level.width()).max(), Some(Level::best().width()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn logits_match_reference_for_any_grid(rows in 1usize..6, cols in 1usize..8, steps in 1usize..4, radius in 1usize..6,
                                      depth in 2usize..40, seed: u64) {
        Case::new(steps, 1, radius, [rows, cols], depth, seed).check();
    }
}

/// Windows of one wide image, each to the right of the one before.
#[test]
fn overlapping_windows_of_a_row_share_weights_without_changing_logits() {
    let (steps, cells, depth) = (2, [3, 24], 30);
    let case = Case::new(steps, 1, 3, cells, depth, 9);
    let [height, width] = case.size();
    let wide = 3 * width;
    let scene = Numbers(77).take(3 * height * wide, 2.0);
    let window =
        |col: usize| -> Vec<f32> { scene.chunks_exact(wide).flat_map(|row| &row[col..col + width]).copied().collect() };
    for level in Level::all() {
        let mut sharing = case.upsampler(level);
        let mut columns = vec![0, 32, 64, 96, 128, 44, 92, 0];
        let tokens = Numbers(5).take(columns.len() * case.tokens.len(), 1.0);
        let pixels: Vec<f32> = columns.iter().flat_map(|&col| window(col)).collect();
        let queries = TextQueries { features: &case.queries, lambda: -0.3 };
        let mut got = Vec::new();
        let mut computed = Vec::new();
        // One batch of three windows, then one of five.
        for (from, count) in [(0, 3), (3, 5)] {
            let pixels = &pixels[from * 3 * height * width..][..count * 3 * height * width];
            let tokens = &tokens[from * case.tokens.len()..][..count * case.tokens.len()];
            got.extend(sharing.logits(&Windows { count, height, width, pixels, tokens }, &queries).unwrap());
            computed.push(computed_numbers(&sharing));
        }
        assert!(computed[0] < computed[1], "the windows share nothing, or the last one shares");
        let mut alone = case.upsampler(level);
        disable_sharing(&mut alone);
        let each = case.run(&mut alone).len();
        for (index, col) in columns.drain(..).enumerate() {
            let pixels = window(col);
            let tokens = &tokens[index * case.tokens.len()..][..case.tokens.len()];
            let want = alone.logits(&Windows { count: 1, height, width, pixels: &pixels, tokens }, &queries).unwrap();
            assert_eq!(got[index * each..][..each], want, "window {index}");
        }
    }
}

#[test]
fn wrong_lengths_are_rejected() {
    let case = Case::new(1, 1, 1, [2, 2], 4, 1);
    let mut upsampler = case.upsampler(Level::best());
    let queries = TextQueries { features: &case.queries, lambda: -0.3 };
    for (height, width, pixels) in [(4, 4, 47), (3, 4, 36), (0, 0, 0)] {
        let (pixels, tokens) = (&case.pixels[..pixels], &case.tokens[..]);
        assert!(upsampler.logits(&Windows { count: 1, height, width, pixels, tokens }, &queries).is_err());
    }
    let missing: Tensors = case.tensors.iter().skip(1).map(|(name, values)| (name.clone(), values.clone())).collect();
    assert!(Upsampler::from_tensors(&missing, 2, 1, KernelPrecision::Float32).is_err());
    assert!(Upsampler::from_tensors(&case.tensors, 14, 1, KernelPrecision::Float32).is_err());
}

/// Windows of a grid over one image, row by row, in batches that do not end where rows do.
#[test]
fn overlapping_windows_of_a_grid_share_weights_without_changing_logits() {
    let (steps, cells, depth) = (2, [12, 24], 20);
    let case = Case::new(steps, 1, 3, cells, depth, 19);
    let [height, width] = case.size();
    let (scene_height, scene_width) = (120, 184);
    let scene = Numbers(78).take(3 * scene_height * scene_width, 2.0);
    let window = |row: usize, col: usize| -> Vec<f32> {
        let rows = scene
            .chunks_exact(scene_height * scene_width)
            .flat_map(|plane| plane.chunks_exact(scene_width).skip(row).take(height));
        rows.flat_map(|row| &row[col..col + width]).copied().collect()
    };
    // The last of each axis is moved back inside.
    let origins: Vec<(usize, usize)> =
        [0, 24, 48, 72].iter().flat_map(|&row| [0, 24, 48, 72, 88].map(|col| (row, col))).collect();
    let level = Level::best();
    let (mut sharing, mut alone) = (case.upsampler(level), case.upsampler(level));
    disable_sharing(&mut alone);
    let queries = TextQueries { features: &case.queries, lambda: -0.3 };
    let mut computed = Vec::new();
    for (batch, origins) in origins.chunks(3).enumerate() {
        let pixels: Vec<f32> = origins.iter().flat_map(|&(row, col)| window(row, col)).collect();
        let tokens = Numbers(batch as u64).take(origins.len() * case.tokens.len(), 1.0);
        let windows = Windows { count: origins.len(), height, width, pixels: &pixels, tokens: &tokens };
        let got = sharing.logits(&windows, &queries).unwrap();
        assert_eq!(got, alone.logits(&windows, &queries).unwrap(), "batch {batch}");
        computed.push(computed_numbers(&sharing));
    }
    // The third of the first row has a neighbour to the left, the third of the second row one above as well.
    assert!(computed[0] < computed_numbers(&alone));
    assert!(computed[2] < computed[0], "{computed:?}");
}

/// Patches in the span of four features, and the offset: the rank is five.
#[test]
fn fewer_channels_are_exact_at_the_rank_and_approximate_below() {
    for cells in [[3, 4], [6, 8]] {
        let mut case = Case::new(2, 1, 3, cells, 40, 6);
        let depth = case.depth;
        let spanning = case.tokens[depth..5 * depth].to_vec();
        let shares = Numbers(3).take(4 * case.tokens.len() / depth, 1.0);
        for (patch, shares) in case.tokens.chunks_exact_mut(depth).skip(1).zip(shares.chunks_exact(4)) {
            for (axis, value) in patch.iter_mut().enumerate() {
                *value = shares.iter().zip(spanning.chunks_exact(depth)).map(|(share, of)| share * of[axis]).sum();
            }
        }
        let want = case.run(&mut case.upsampler(Level::best()));
        let off = |channels: usize| {
            let shortcuts = Shortcuts { channels: Some(channels), ..Shortcuts::default() };
            let got = case.run(&mut case.with_shortcuts(Level::best(), shortcuts));
            assert_eq!(got.len(), want.len());
            got.iter().zip(&want).map(|(got, want)| (got - want).abs()).sum::<f32>() / want.len() as f32
        };
        assert!(off(5) < 1e-5 && off(39) < 1e-5, "{} {}", off(5), off(39));
        assert!(off(4) > 1e-4 && off(2) > off(4) && off(2).is_finite(), "{} {}", off(4), off(2));
    }
}

#[test]
fn half_resolution_doubles_logits_of_the_doubling_before_the_last() {
    let half = Shortcuts { half_resolution: true, ..Shortcuts::default() };
    for case in [Case::new(2, 1, 3, [4, 11], 30, 7), Case::new(4, 4, 3, [2, 3], 24, 8)] {
        let (plain, _) = case.plain(case.steps - 1);
        let plain: Vec<f32> = plain.into_iter().map(|logit| logit as f32).collect();
        let size = case.size().map(|side| side / 2);
        for level in Level::all() {
            let got = case.run(&mut case.with_shortcuts(level, half));
            let mut want = vec![0.0; got.len()];
            let planes = want.chunks_exact_mut(4 * size[0] * size[1]).zip(plain.chunks_exact(size[0] * size[1]));
            planes.for_each(|(to, from)| bilinear::double(|row| &from[row * size[1]..][..size[1]], size, to));
            let worst = got.iter().zip(&want).map(|(got, want)| (got - want).abs()).fold(0.0, f32::max);
            assert!(worst < 2e-5, "{level:?}: off by {worst:.1e}");
        }
    }
    let once = Case::new(1, 1, 1, [2, 2], 4, 1);
    assert!(Upsampler::new(Parameters::new(&once.tensors).unwrap(), 2, 1, float32(Level::best()), half).is_err());
}
