//! The kernels' source run thread by thread on the CPU, against the kernels for the CPU; and compiled for real where NVRTC is.

use std::path::{Path, PathBuf};
use std::process::Command;

use segearth_testing::random::{Numbers, tensors};
use segearth_upsample::{KernelPrecision, TextQueries, Upsampler, Windows};

use super::*;

/// Builds the emulator of NVRTC and the driver.
pub(crate) fn emulator(folder: &Path) -> PathBuf {
    let (host, library) = (folder.join("host.cpp"), folder.join("libemulator.so"));
    std::fs::write(&host, include_str!("emulator/host.cpp")).unwrap();
    std::fs::write(folder.join("device.h"), include_str!("emulator/device.h")).unwrap();
    let mut compiler = Command::new("c++");
    compiler.args(["-std=c++17", "-O1", "-shared", "-fPIC"]).arg(format!("-DFOLDER=\"{}\"", folder.display()));
    let output = compiler.arg("-o").args([&library, &host]).output().expect("a C++ compiler, which libtorch needs too");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}

#[derive(Clone, Copy, Debug)]
struct Case {
    steps: usize,
    radius: usize,
    keys: usize,
    depth: usize,
    patch: usize,
    /// In patches.
    grid: [usize; 2],
    queries: usize,
    /// All patches have the same feature.
    alike: bool,
}

const WINDOWS: usize = 2;

/// Logits by the kernels for the CPU, and by those for a GPU with each type of numbers.
fn both(case: Case, numbers: &[Number]) -> (Vec<f32>, Vec<Vec<f32>>) {
    let Case { steps, radius, keys, depth, patch, grid, queries, alike } = case;
    let tensors = tensors(steps, radius, keys, depth, 7);
    let mut random = Numbers(11);
    let [height, width] = grid.map(|patches| patches * patch);
    let pixels = random.take(WINDOWS * 3 * height * width, 1.5);
    let mut tokens = random.take(WINDOWS * (grid[0] * grid[1] + 1) * depth, 1.0);
    if alike {
        let one = tokens[..depth].to_vec();
        tokens.chunks_exact_mut(depth).for_each(|token| token.copy_from_slice(&one));
    }
    let features = unit(random.take(queries * depth, 1.0), depth);
    let windows = Windows { count: WINDOWS, height, width, pixels: &pixels, tokens: &tokens };
    let targets = TextQueries { features: &features, lambda: -0.3 };
    let want = Upsampler::from_tensors(&tensors, patch, 2, KernelPrecision::Float32)
        .unwrap()
        .logits(&windows, &targets)
        .unwrap();

    let folder = tempfile::tempdir().unwrap();
    let library = emulator(folder.path());
    let here = |values: &[f32], shape: &[usize]| on(TorchDevice::Cpu, values, shape).unwrap();
    let images = here(&pixels, &[WINDOWS, 3, height, width]);
    let tokens = here(&tokens, &[WINDOWS, grid[0] * grid[1] + 1, depth]);
    let (features, lambda) = (here(&features, &[queries, depth]), here(&[-0.3], &[1]));
    let got = numbers.iter().map(|&number| {
        let tables = Tables::from_tensors(&tensors, patch, depth).unwrap();
        let upsampler = DeviceUpsampler::new(tables, library.as_os_str(), 0, TorchDevice::Cpu, number).unwrap();
        let logits = upsampler.logits(&images, &tokens, &features, &lambda).unwrap();
        assert_eq!(logits.size(), [WINDOWS, queries, height, width].map(|side| side as i64));
        super::super::to_vec(&logits).unwrap()
    });
    (want, got.collect())
}

fn unit(mut rows: Vec<f32>, depth: usize) -> Vec<f32> {
    for row in rows.chunks_exact_mut(depth) {
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter_mut().for_each(|x| *x /= length);
    }
    rows
}

fn furthest(got: &[f32], want: &[f32]) -> f32 {
    got.iter().zip(want).map(|(got, want)| (got - want).abs()).fold(0.0, |most, next| {
        assert!(next.is_finite());
        most.max(next)
    })
}

#[test]
fn gpu_kernels_match_cpu_kernels() {
    let usual = Case { steps: 4, radius: 5, keys: 32, depth: 40, patch: 16, grid: [2, 3], queries: 3, alike: false };
    let cases = [
        usual,
        // One step for all doublings; more patches than the features are wide: no factor; tiles that are not full.
        Case { steps: 1, radius: 3, depth: 5, patch: 8, grid: [3, 5], queries: 1, ..usual },
        // Keys and queries of odd numbers; a single patch, whose neighbours are all reflected.
        Case { steps: 2, radius: 1, keys: 5, patch: 4, grid: [1, 1], queries: 6, ..usual },
        // Patches that span one dimension, where the factor has columns of zeros.
        Case { steps: 3, radius: 3, patch: 8, alike: true, ..usual },
        // More channels than a block has room for at once.
        Case { steps: 1, radius: 2, keys: 8, depth: 300, patch: 2, grid: [12, 22], queries: 20, alike: false },
    ];
    for case in cases {
        let (want, got) = both(case, &[Number::Float]);
        let off = furthest(&got[0], &want);
        assert!(off < 2e-5, "{case:?}: {off}");
    }
}

/// Half precision rounds every weight and every channel to 11 bits, at each doubling: a few times 2⁻¹¹ of logits around 1. A
/// neighbour too few is off by more.
#[test]
fn gpu_kernels_match_within_half_precision() {
    let case = Case { steps: 2, radius: 3, keys: 16, depth: 24, patch: 4, grid: [4, 3], queries: 4, alike: false };
    let (want, got) = both(case, &[Number::Half]);
    let off = furthest(&got[0], &want);
    assert!(off < 0.004 && off > 0.000_04, "{off}");
}

#[test]
fn compile_errors_have_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let card = Arc::new(Card::open(emulator(folder.path()).as_os_str(), 0).unwrap());
    let error = card.compile(c"KERNEL(none, int) { nonsense }", &[], [c"none"]).unwrap_err();
    assert!(error.to_string().contains("cannot be compiled") && error.to_string().contains("nonsense"), "{error}");
    let error = card.compile(c"extern \"C\" int other;", &[], [c"none"]).unwrap_err();
    assert!(error.to_string().contains("a kernel is missing"), "{error:?}");
    assert!(Card::open(OsStr::new("/nowhere/libnone.so"), 0).is_err());
}

#[test]
fn tensors_of_wrong_shape_or_type_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let tables = Tables::from_tensors(&tensors(1, 1, 8, 8, 1), 2, 8).unwrap();
    let library = emulator(folder.path());
    let upsampler = DeviceUpsampler::new(tables, library.as_os_str(), 0, TorchDevice::Cpu, Number::Float).unwrap();
    let zeros = |shape: &[i64]| Tensor::zeros(shape, (Number::Float, TorchDevice::Cpu));
    let logits = |images: &[i64], tokens: &[i64]| {
        upsampler.logits(&zeros(images), &zeros(tokens), &zeros(&[1, 8]), &zeros(&[1])).map(|logits| logits.size())
    };
    assert_eq!(logits(&[1, 3, 4, 6], &[1, 7, 8]).unwrap(), [1, 1, 4, 6]);
    for (images, tokens) in
        [(&[1, 3, 4, 6][..], &[1, 6, 8][..]), (&[2, 3, 4, 6], &[1, 7, 8]), (&[1, 3, 5, 6], &[1, 7, 8])]
    {
        assert!(logits(images, tokens).is_err(), "{images:?} {tokens:?}");
    }
}
