//! What a window costs beside the bare vision transformer, in one run: ViT-B/16 and SimFeatUp on random weights.
//!
//! `cargo bench --bench window -- [WINDOWS AT A TIME] [ROUNDS]` prints medians of wall and processor time and the ratio.

use std::time::Instant;

use segearth::network::checkpoint::{Activation, UpsamplerKind};
use segearth::network::{
    Attention, Basis, ImageEncoder, ImageTower, Tensors, TowerOptions, Upsampler, Upsampling, trace,
};
use tch::{Device, Kind, Tensor};

const WIDTH: i64 = 768;
const LAYERS: usize = 12;
const JOINT: i64 = 512;
const TAPS: i64 = 121;
const QUERIES: i64 = 14;

fn random(shape: &[i64]) -> Tensor {
    Tensor::randn(shape, (Kind::Float, Device::Cpu)) * 0.03
}

fn tower() -> ImageTower {
    let mut weights = Tensors::new();
    weights.insert("visual.conv1.weight".into(), random(&[WIDTH, 3, 16, 16]));
    weights.insert("visual.class_embedding".into(), random(&[WIDTH]));
    weights.insert("visual.positional_embedding".into(), random(&[197, WIDTH]));
    weights.insert("visual.proj".into(), random(&[WIDTH, JOINT]));
    let mut norms = vec!["visual.ln_pre".to_owned(), "visual.ln_post".to_owned()];
    for layer in 0..LAYERS {
        let block = format!("visual.transformer.resblocks.{layer}");
        norms.extend([format!("{block}.ln_1"), format!("{block}.ln_2")]);
        weights.insert(format!("{block}.attn.in_proj_weight"), random(&[3 * WIDTH, WIDTH]));
        weights.insert(format!("{block}.attn.in_proj_bias"), random(&[3 * WIDTH]));
        for (name, rows, cols) in
            [("attn.out_proj", WIDTH, WIDTH), ("mlp.c_fc", 4 * WIDTH, WIDTH), ("mlp.c_proj", WIDTH, 4 * WIDTH)]
        {
            weights.insert(format!("{block}.{name}.weight"), random(&[rows, cols]));
            weights.insert(format!("{block}.{name}.bias"), random(&[rows]));
        }
    }
    for norm in norms {
        weights.insert(format!("{norm}.weight"), random(&[WIDTH]) + 1.0);
        weights.insert(format!("{norm}.bias"), random(&[WIDTH]));
    }
    let options = TowerOptions { layers: LAYERS, heads: 12, activation: Activation::QuickGelu };
    ImageTower::load(&weights, options, Attention::SegEarth, false).expect("a tower")
}

fn upsampler() -> Upsampler {
    let layer = |name: &str, out: i64, input: i64| {
        [(format!("{name}.weight"), random(&[out, input, 1, 1])), (format!("{name}.bias"), random(&[out]))]
    };
    let mut weights: Tensors = [
        layer("up1.range_proj.0", 32, 3),
        layer("up1.range_proj.3", 32, 32),
        layer("up1.fixup_proj.0", TAPS, TAPS + 3),
        layer("up1.fixup_proj.3", TAPS, TAPS),
        layer("fixup_proj.1", JOINT, JOINT),
    ]
    .into_iter()
    .flatten()
    .collect();
    weights.insert("up1.range_temp".into(), Tensor::from(0.1f32));
    weights.insert("up1.sigma_spatial".into(), Tensor::from(0.8f32));
    Upsampler::load(&weights, UpsamplerKind::JbuOne, 16).expect("an upsampler")
}

/// Seconds of wall and of processor time.
fn timed(work: impl FnOnce()) -> [f64; 2] {
    let (wall, processor) = (Instant::now(), processor_seconds());
    work();
    [wall.elapsed().as_secs_f64(), processor_seconds() - processor]
}

fn usage() -> libc::rusage {
    // SAFETY: getrusage fills the struct that it is given, for which all zeros are a valid value.
    unsafe {
        let mut usage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    }
}

fn processor_seconds() -> f64 {
    let usage = usage();
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|arg| arg.parse::<usize>().ok());
    let (batch, rounds) = (numbers.next().unwrap_or(1), numbers.next().unwrap_or(7));
    let _inference = tch::no_grad_guard();
    let bare = tower();
    let encoder = ImageEncoder::new(tower(), Upsampling::Learned(upsampler(), Basis::OfImage));
    let traced = trace::image_encoder(&encoder, 224, JOINT, Kind::Float).expect("a trace");
    tch::jit::set_profiling_mode(false);
    let images = random(&[batch as i64, 3, 224, 224]) * 30.0;
    let (queries, lambda) = (random(&[QUERIES, JOINT]), Tensor::from_slice(&[-0.3f32]));
    let (mut of_bare, mut of_window) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let bare = timed(|| drop(bare.forward(&images).expect("features")));
        let window = timed(|| drop(traced.forward_ts(&[&images, &queries, &lambda]).expect("logits")));
        if round > 0 {
            of_bare.push(bare);
            of_window.push(window);
        }
    }
    println!(
        "ViT-B/16, {QUERIES} queries, {batch} windows at a time, {} threads, {rounds} rounds",
        tch::get_num_threads()
    );
    for (what, index) in [("wall", 0), ("processor", 1)] {
        let of = |times: &[[f64; 2]]| median(times.iter().map(|time| time[index] / batch as f64).collect());
        let ratio = median(of_window.iter().zip(&of_bare).map(|(window, bare)| window[index] / bare[index]).collect());
        println!(
            "{what:>9}: bare ViT {:.3} s, full window {:.3} s, ratio {ratio:.2} (median of pairs)",
            of(&of_bare),
            of(&of_window)
        );
    }
    println!("peak memory: {:.2} GB", usage().ru_maxrss as f64 / 1e6);
}
