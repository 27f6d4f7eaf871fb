//! What the authors' numbers do not pin down, tested by its meaning: patches of 14 and 32, tiny grids, the upsampler's two
//! clamps, and the shortcut where it saves. Each against the plain way: all neighbours unfolded, stock operations, one
//! window at a time.

use std::cell::Cell;
use std::collections::BTreeMap;

use segearth::network::export::tensors;
use segearth::network::{
    Attention, Basis, ImageEncoder, ImageTower, Tensors, TowerOptions, Upsampler, Upsampling, trace,
};
use segearth_checkpoint::{Activation, UpsamplerKind, read_upsampler};
use segearth_testing::shared;
use tch::{Device, Kind, Tensor};

/// Random weights are rougher than trained ones: two ways of adding in float32 part further than on the authors' numbers.
/// What is tested here would be off by a hundredth and more if it were wrong.
const TOLERANCE: f64 = 2e-5;

thread_local! {
    /// Every test runs on a thread of its own, and so on the same numbers each time.
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// Sums of four uniform numbers, near enough to a normal distribution, from SplitMix64.
fn random(shape: &[i64], scale: f64) -> Tensor {
    let uniform = || {
        let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        STATE.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    let count: i64 = shape.iter().product();
    let normal = || (0..4).map(|_| uniform() - 0.5).sum::<f64>() * 3f64.sqrt() * scale;
    let values: Vec<f32> = (0..count).map(|_| normal() as f32).collect();
    Tensor::from_slice(&values).view(shape)
}

/// An image tower of two narrow blocks on random weights.
fn random_tower(patch: i64, grid: i64, joint: i64) -> ImageTower {
    let (width, mut weights) = (64i64, Tensors::new());
    let mut set = |name: String, tensor: Tensor| {
        weights.insert(name, tensor);
    };
    set("visual.conv1.weight".into(), random(&[width, 3, patch, patch], 0.05));
    set("visual.class_embedding".into(), random(&[width], 0.5));
    set("visual.positional_embedding".into(), random(&[grid * grid + 1, width], 0.5));
    set("visual.proj".into(), random(&[width, joint], 0.2));
    let mut norms = vec!["visual.ln_pre".to_owned(), "visual.ln_post".to_owned()];
    for layer in 0..2 {
        let block = format!("visual.transformer.resblocks.{layer}");
        norms.extend([format!("{block}.ln_1"), format!("{block}.ln_2")]);
        set(format!("{block}.attn.in_proj_weight"), random(&[3 * width, width], 0.2));
        set(format!("{block}.attn.in_proj_bias"), random(&[3 * width], 0.1));
        for (name, rows, cols) in
            [("attn.out_proj", width, width), ("mlp.c_fc", 4 * width, width), ("mlp.c_proj", width, 4 * width)]
        {
            set(format!("{block}.{name}.weight"), random(&[rows, cols], 0.15));
            set(format!("{block}.{name}.bias"), random(&[rows], 0.1));
        }
    }
    for norm in norms {
        set(format!("{norm}.weight"), random(&[width], 0.1) + 1.0);
        set(format!("{norm}.bias"), random(&[width], 0.1));
    }
    let options = TowerOptions { layers: 2, heads: 2, activation: Activation::QuickGelu };
    ImageTower::load(&weights, options, Attention::SegEarth, false).expect("a tower")
}

fn random_upsampler(joint: i64, radius: i64) -> Tensors {
    let taps = (2 * radius + 1) * (2 * radius + 1);
    let shapes: [(&str, Vec<i64>, f64); 10] = [
        ("up1.range_proj.0.weight", vec![32, 3, 1, 1], 0.5),
        ("up1.range_proj.0.bias", vec![32], 0.2),
        ("up1.range_proj.3.weight", vec![32, 32, 1, 1], 0.15),
        ("up1.range_proj.3.bias", vec![32], 0.2),
        ("up1.fixup_proj.0.weight", vec![taps, taps + 3, 1, 1], 0.1),
        ("up1.fixup_proj.0.bias", vec![taps], 0.1),
        ("up1.fixup_proj.3.weight", vec![taps, taps, 1, 1], 0.1),
        ("up1.fixup_proj.3.bias", vec![taps], 0.1),
        ("fixup_proj.1.weight", vec![joint, joint, 1, 1], 0.2),
        ("fixup_proj.1.bias", vec![joint], 0.2),
    ];
    let mut weights: Tensors =
        shapes.into_iter().map(|(name, shape, scale)| (name.to_owned(), random(&shape, scale))).collect();
    weights.insert("up1.range_temp".into(), Tensor::from(0.1f32));
    weights.insert("up1.sigma_spatial".into(), Tensor::from(0.8f32));
    weights
}

/// Position `index` beyond the ends of 0..size, mirrored back inside.
fn mirrored(index: i64, size: i64) -> i64 {
    let mut index = index;
    while !(0..size).contains(&index) {
        index = if index < 0 { -index } else { 2 * (size - 1) - index };
    }
    index
}

/// (batch, channel, row, column) padded by mirroring.
fn pad(image: &Tensor, radius: i64) -> Tensor {
    let along = |image: &Tensor, dim: i64| {
        let size = image.size()[dim as usize];
        let index: Vec<i64> = (-radius..size + radius).map(|position| mirrored(position, size)).collect();
        image.index_select(dim, &Tensor::from_slice(&index))
    };
    along(&along(image, 2), 3)
}

/// All neighbours, (batch, channel, d², row, column).
fn neighbours(image: &Tensor, radius: i64) -> Tensor {
    let (padded, size) = (pad(image, radius), image.size());
    let shifted: Vec<Tensor> = (0..2 * radius + 1)
        .flat_map(|dy| (0..2 * radius + 1).map(move |dx| (dy, dx)))
        .map(|(dy, dx)| padded.narrow(2, dy, size[2]).narrow(3, dx, size[3]))
        .collect();
    Tensor::stack(&shifted, 2)
}

/// Section 4 of the method, step by step.
fn plain_step(weights: &Tensors, features: &Tensor, images: &Tensor) -> Tensor {
    let conv = |x: &Tensor, name: &str| {
        let bias = Some(&weights[&format!("{name}.bias")]);
        x.conv2d(&weights[&format!("{name}.weight")], bias, [1, 1], [0, 0], [1, 1], 1)
    };
    let (height, width) = (2 * features.size()[2], 2 * features.size()[3]);
    let guidance = images.adaptive_avg_pool2d([height, width]);
    let projected = conv(&conv(&guidance, "up1.range_proj.0").gelu("none"), "up1.range_proj.3");
    let taps = weights["up1.fixup_proj.3.weight"].size()[0];
    let diameter = (taps as f64).sqrt().round() as i64;
    let radius = diameter / 2;
    let temperature = weights["up1.range_temp"].exp().clamp(1e-4, 1e4);
    let products = (neighbours(&projected, radius) * projected.unsqueeze(2)).sum_dim_intlist(1, false, None);
    let range = (products * temperature).softmax(1, None);
    let axis = Tensor::linspace(-1.0, 1.0, diameter, (Kind::Float, Device::Cpu));
    let square = (axis.square().unsqueeze(1) + axis.square().unsqueeze(0)).flatten(0, 1);
    let spatial = (-square / (weights["up1.sigma_spatial"].square() * 2.0)).exp().view([1, -1, 1, 1]);
    let weight = range * spatial;
    let weight = &weight / weight.sum_dim_intlist(1, true, None).clamp_min(1e-7);
    let hidden = conv(&Tensor::cat(&[&weight, &guidance], 1), "up1.fixup_proj.0").gelu("none");
    let weight = weight + conv(&hidden, "up1.fixup_proj.3") * 0.1;
    let doubled = features.upsample_bicubic2d([height, width], false, None, None);
    (neighbours(&doubled, radius) * weight.unsqueeze(1)).sum_dim_intlist(2, false, None)
}

/// The whole of it for one window: features, fixup, the rest to the window, norm, scalar products, debiasing.
fn plain_logits(tower: &ImageTower, weights: &Tensors, images: &Tensor, queries: &Tensor, lambda: f64) -> Tensor {
    let found = tower.forward(images).expect("features");
    let (rows, cols) = (found.grid.size()[2], found.grid.size()[3]);
    let mut features = found.patches.transpose(1, 2).contiguous().view([images.size()[0], -1, rows, cols]);
    for _ in 0..(tower.patch() as f64).log2().ceil() as usize {
        features = plain_step(weights, &features, images);
    }
    let fixup = features.conv2d(
        &weights["fixup_proj.1.weight"],
        Some(&weights["fixup_proj.1.bias"]),
        [1, 1],
        [0, 0],
        [1, 1],
        1,
    );
    features += fixup * 0.1;
    let size = images.size();
    if features.size()[2..] != size[2..] {
        features = features.upsample_bilinear2d([size[2], size[3]], false, None, None);
    }
    let unit = |x: &Tensor, dim: i64| x / x.square().sum_dim_intlist(dim, true, None).sqrt();
    let similarities = Tensor::einsum("bdhw,qd->bqhw", &[&unit(&features, 1), queries], None::<i64>);
    let of_cls = unit(&found.cls, 1).matmul(&queries.transpose(0, 1));
    similarities + of_cls.unsqueeze(2).unsqueeze(3) * lambda
}

#[track_caller]
fn close(what: &str, got: &Tensor, want: &Tensor) {
    assert_eq!(got.size(), want.size(), "{what}");
    let difference = f64::try_from((got - want).abs().max()).expect("a number");
    assert!(difference <= TOLERANCE, "{what} differs by {difference:.2e}");
}

/// Logits of the network and of its trace against the plain way, in both bases.
#[track_caller]
fn check(patch: i64, weights: &Tensors, joint: i64, grids: &[(i64, i64)]) {
    let traced_window = patch * 4;
    for basis in [Basis::Joint, Basis::OfImage] {
        let tower = random_tower(patch, 4, joint);
        let plain = |images: &Tensor, queries: &Tensor| plain_logits(&tower, weights, images, queries, -0.3);
        let cases: Vec<(Tensor, Tensor, Tensor)> = grids
            .iter()
            .map(|&(rows, cols)| {
                let images = random(&[2, 3, rows * patch, cols * patch], 1.0);
                let queries = random(&[4, joint], 1.0);
                let queries = &queries / queries.square().sum_dim_intlist(1, true, None).sqrt();
                let want = plain(&images, &queries);
                (images, queries, want)
            })
            .collect();
        let upsampler = Upsampler::load(weights, UpsamplerKind::JbuOne, patch).expect("an upsampler");
        let encoder = ImageEncoder::new(tower, Upsampling::Learned(upsampler, basis));
        let traced = trace::image_encoder(&encoder, traced_window, joint, Kind::Float).expect("a trace");
        let lambda = Tensor::from_slice(&[-0.3f32]);
        for (images, queries, want) in &cases {
            let what = format!("patch {patch}, {:?}, {basis:?}", images.size());
            close(&what, &encoder.forward(images, queries, &lambda).expect("logits"), want);
            close(&what, &traced.forward_ts(&[images, queries, &lambda]).expect("logits"), want);
        }
    }
}

/// Grids of one or two patches included: their doubled grids are no larger than the radius.
const GRIDS: [(i64, i64); 4] = [(4, 4), (3, 2), (1, 1), (2, 5)];

#[test]
fn patches_of_16() {
    check(16, &random_upsampler(24, 5), 24, &GRIDS);
}

#[test]
fn patches_of_14_reach_16_times_and_are_resized_to_the_window() {
    check(14, &random_upsampler(24, 5), 24, &GRIDS);
}

#[test]
fn patches_of_32_take_five_steps() {
    check(32, &random_upsampler(12, 5), 12, &[(2, 2), (1, 3)]);
}

#[test]
fn the_shortcut_is_exact_where_it_saves() {
    // 512 channels for 7 patches: 8 channels do.
    check(16, &random_upsampler(512, 5), 512, &[(2, 3), (1, 1)]);
}

#[test]
fn temperatures_and_weight_sums_are_clamped() {
    let mut weights = random_upsampler(16, 5);
    // exp(12) is 160,000, far above the bound; the kernel is so narrow that most weights' sums fall below the floor.
    weights.insert("up1.range_temp".into(), Tensor::from(12.0f32));
    weights.insert("up1.sigma_spatial".into(), Tensor::from(0.01f32));
    let sharp = random_upsampler_scaled(&weights, 1e-2);
    check(16, &sharp, 16, &[(2, 3)]);
    let mut unclamped = sharp;
    unclamped.insert("up1.range_temp".into(), Tensor::from(9.2f32));
    let tower = random_tower(16, 4, 16);
    let (images, queries) = (random(&[1, 3, 32, 48], 1.0), random(&[4, 16], 1.0));
    let hot = plain_logits(&tower, &weights, &images, &queries, 0.0);
    let bound = plain_logits(&tower, &unclamped, &images, &queries, 0.0);
    assert!(f64::try_from((hot - bound).abs().max()).expect("a number") > 0.0);
}

/// Smaller projections keep the products moderate where the temperature is high.
fn random_upsampler_scaled(weights: &Tensors, scale: f64) -> Tensors {
    let mut scaled: Tensors = weights.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
    for name in ["up1.range_proj.3.weight", "up1.range_proj.3.bias"] {
        let tensor = &weights[name] * scale;
        scaled.insert(name.to_owned(), tensor);
    }
    scaled
}

#[test]
fn a_bilinear_grid_of_14_reaches_the_window() {
    let tower = random_tower(14, 4, 24);
    let encoder = ImageEncoder::new(tower, Upsampling::Bilinear);
    let (images, queries) = (random(&[2, 3, 42, 28], 1.0), random(&[4, 24], 1.0));
    let logits = encoder.forward(&images, &queries, &Tensor::from_slice(&[0f32])).expect("logits");
    assert_eq!(logits.size(), [2, 4, 42, 28]);
}

#[test]
fn the_real_upsampler_runs_on_a_clip_512_wide() {
    let Some(path) = shared("parity/clip_jbu_stack_cocostuff.ckpt") else { return };
    let weights = read_upsampler(&path).expect("the real upsampler");
    assert_eq!((weights.kind, weights.features), (UpsamplerKind::JbuStack, 512));
    let loaded = tensors(&weights.tensors, "", Kind::Float).expect("weights");
    let mut logits = BTreeMap::new();
    for basis in [Basis::Joint, Basis::OfImage] {
        STATE.set(7);
        let upsampler = Upsampler::load(&loaded, weights.kind, 16).expect("an upsampler");
        let encoder = ImageEncoder::new(random_tower(16, 4, 512), Upsampling::Learned(upsampler, basis));
        let (images, queries) = (random(&[1, 3, 64, 80], 1.0), random(&[3, 512], 0.05));
        let answer = encoder.forward(&images, &queries, &Tensor::from_slice(&[-0.3f32])).expect("logits");
        assert!(bool::try_from(answer.isfinite().all()).expect("a boolean"));
        logits.insert(format!("{basis:?}"), answer);
    }
    close("the shortcut with real weights", &logits["OfImage"], &logits["Joint"]);
}
