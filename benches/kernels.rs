//! The kernels of upsamplers and of int8 layers, the stitcher, the fit of learnt classes and the search of a store, each alone: `cargo bench --bench kernels`.
//! Deterministic inputs, one thread for the kernels; what they come to beside the transformer is what `segearth bench` shows.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark fails by panicking")]

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use segearth::embeddings::{ModelCard, Padding, Precision, SceneCard, SceneStore, Store};
use segearth::geom::{Blend, Grid, Size};
use segearth::learn::{self, Place, Start, TrainingSet};
use segearth::scene::{Classifier, Pooling};
use segearth::search::{Query, scan};
use segearth::stitch::Accumulator;
use segearth_int8::{Activation, Instructions, Linear, Mlp, Weights};
use segearth_upsample::{KernelPrecision, TextQueries, Upsampler, Windows};

const WINDOW: usize = 224;
const PATCH: usize = 16;
const DEPTH: usize = 512;
const QUERIES: usize = 14;
const TAPS: usize = 121;
const KEYS: usize = 32;

fn numbers(count: usize, scale: f32) -> Vec<f32> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * scale
    };
    (0..count).map(|_| next()).collect()
}

fn upsampler(precision: KernelPrecision) -> Upsampler {
    let mut tensors: BTreeMap<String, Vec<f32>> = [
        ("range_proj.0.weight", KEYS * 3),
        ("range_proj.0.bias", KEYS),
        ("range_proj.3.weight", KEYS * KEYS),
        ("range_proj.3.bias", KEYS),
        ("fixup_proj.0.weight", TAPS * (TAPS + 3)),
        ("fixup_proj.0.bias", TAPS),
        ("fixup_proj.3.weight", TAPS * TAPS),
        ("fixup_proj.3.bias", TAPS),
    ]
    .into_iter()
    .map(|(name, count)| (format!("up1.{name}"), numbers(count, 0.1)))
    .collect();
    tensors.insert("up1.range_temp".into(), vec![0.1]);
    tensors.insert("up1.sigma_spatial".into(), vec![0.8]);
    tensors.insert("fixup_proj.1.bias".into(), numbers(DEPTH, 0.1));
    Upsampler::from_tensors(&tensors, PATCH, 1, precision).expect("an upsampler")
}

fn upsampling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("upsample a window");
    group.sample_size(20);
    let patches = (WINDOW / PATCH).pow(2);
    let (tokens, queries) = (numbers((patches + 1) * DEPTH, 1.0), numbers(QUERIES * DEPTH, 0.05));
    let targets = TextQueries { features: &queries, lambda: -0.3 };
    // Windows of a scene, half a window apart, or of nowhere in particular.
    for (name, step) in [("with its neighbour", WINDOW / 2), ("alone", 0)] {
        let width = 8 * WINDOW;
        let scene = numbers(3 * WINDOW * width, 2.0);
        let windows: Vec<Vec<f32>> = (0..8)
            .map(|index| match step {
                0 => numbers(3 * WINDOW * WINDOW, 1.0 + index as f32),
                step => scene.chunks_exact(width).flat_map(|row| &row[index * step..][..WINDOW]).copied().collect(),
            })
            .collect();
        for (kind, precision) in [("float32", KernelPrecision::Float32), ("bfloat16", KernelPrecision::Bfloat16)] {
            let mut upsampler = upsampler(precision);
            let mut turn = 0;
            group.bench_function(format!("{name}, {kind}"), |bencher| {
                bencher.iter(|| {
                    turn += 1;
                    let pixels = &windows[turn % windows.len()];
                    let window = Windows { count: 1, height: WINDOW, width: WINDOW, pixels, tokens: &tokens };
                    black_box(upsampler.logits(&window, &targets).expect("logits"))
                });
            });
        }
    }
}

fn stitching(criterion: &mut Criterion) {
    let grid = Grid::new(Size::new(1008, 560), WINDOW, WINDOW / 2);
    let logits = numbers(QUERIES * WINDOW * WINDOW, 0.1);
    let classifier = Classifier {
        query_class: (0..QUERIES).collect(),
        thresholds: vec![0.1; QUERIES],
        background: Some(0),
        logit_scale: 50.0,
        bias: Vec::new(),
        pooling: Pooling::Largest,
        margin: 0.0,
        nodata: 255,
    };
    let mut group = criterion.benchmark_group("stitch 32 windows");
    group.sample_size(20);
    group.bench_function("blend and label", |bencher| {
        bencher.iter(|| {
            let whole = segearth::geom::Window { col: 0, row: 0, width: 1008, height: 560 };
            let mut accumulator = Accumulator::new(whole, grid.window(), QUERIES, Blend::Hann);
            grid.windows().for_each(|window| accumulator.add(&window, &logits, None));
            black_box(classifier.classify(&accumulator.finish_before(560), false))
        });
    });
}

/// 10,000 pixels of 400 examples, four classes whose features and colours overlap.
fn fitting(criterion: &mut Criterion) {
    const CLASSES: usize = 4;
    const EXAMPLES: usize = 400;
    const PIXELS: usize = 25;
    let locals = learn::count(learn::COLOURS);
    let (count, means) = (EXAMPLES * PIXELS, numbers(CLASSES * (DEPTH + locals), 0.04));
    let noise = numbers(count * (DEPTH + locals), 0.1);
    let mut set =
        TrainingSet { width: DEPTH, locals, reach: (PATCH + 2 * learn::REACH) as u32, ..TrainingSet::default() };
    for sample in 0..count {
        let example = sample / PIXELS;
        let class = example % CLASSES;
        let (mean, noise) = (&means[class * (DEPTH + locals)..], &noise[sample * (DEPTH + locals)..]);
        let values: Vec<f32> = mean.iter().zip(noise).take(DEPTH + locals).map(|(mean, noise)| mean + noise).collect();
        set.features.extend(&values[..DEPTH]);
        set.local.extend(&values[DEPTH..]);
        set.classes.push(class);
        set.examples.push(example);
        set.places.push(Place { scene: 0, col: (100 * example + sample % PIXELS) as u32, row: 0 });
    }
    let (words, word_classes) = (numbers(CLASSES * DEPTH, 0.05), (0..CLASSES).collect::<Vec<_>>());
    let start = Start {
        classes: CLASSES,
        words: &words,
        word_classes: &word_classes,
        logit_scale: 50.0,
        pooling: Pooling::Sum,
    };
    let mut group = criterion.benchmark_group("learn");
    group.sample_size(10);
    group.bench_function("10,000 pixels of 512 features, with validation", |bencher| {
        bencher.iter(|| black_box(learn::fit(&set, &start).expect("classes")));
    });
}

/// A scene of ViT-B/16's windows, half a window apart, in the page cache.
fn searching(criterion: &mut Criterion) {
    const SIDE: usize = 2240;
    let folder = tempfile::tempdir().expect("a folder");
    let mut group = criterion.benchmark_group("search patches");
    group.sample_size(20);
    for precision in [Precision::Float16, Precision::Int8] {
        let model = ModelCard { name: "bench".into(), sha256: "ab".into(), patch: PATCH, width: DEPTH };
        let store = Store::create(&folder.path().join(precision.name()), &model, Some(precision)).expect("a store");
        let card = SceneCard {
            name: "a.tif".into(),
            path: "/a.tif".into(),
            width: SIDE,
            height: SIDE,
            transform: None,
            crs: None,
            window: WINDOW,
            stride: WINDOW / 2,
            padding: Padding { above: 0, left: 0 },
            patches: [1, 1],
            chunk: 1,
            facts: Default::default(),
            job: serde_json::Map::new(),
        };
        let scene = store.create_scene(card.laid_out(&model, precision)).expect("a scene");
        let tokens = numbers((1 + (WINDOW / PATCH).pow(2)) * DEPTH, 1.0);
        for index in scene.chunks().collect::<Vec<_>>() {
            let windows = vec![Some(tokens.as_slice()); scene.columns(index).len()];
            scene.write(index, &windows).expect("a chunk");
        }
        let query = Query { vector: numbers(DEPTH, 0.05), debias: 0.3 };
        let search = |scene: &SceneStore| scan(&[scene], PATCH, &query, |_| ()).expect("scores");
        group.throughput(Throughput::Elements(search(&scene)[0].scores.len() as u64));
        group.bench_function(precision.name(), |bencher| bencher.iter(|| black_box(search(&scene))));
    }
}

/// A block's MLP in ViT-B/16, for as many windows as a thread takes at once; its rate is that of multiplications and additions.
fn int8_layers(criterion: &mut Criterion) {
    const WIDTH: usize = 768;
    let window = 1 + (WINDOW / PATCH).pow(2);
    let rows = 4 * window;
    let layer = |inputs: usize, outputs: usize| {
        let weights = Weights::quantised(&numbers(inputs * outputs, 0.05), inputs).expect("a matrix");
        Linear::new(&weights, numbers(outputs, 0.05)).expect("a layer")
    };
    let mlp = Mlp::new(layer(WIDTH, 4 * WIDTH), Activation::QuickGelu, layer(4 * WIDTH, WIDTH)).expect("an MLP");
    let (x, mut out) = (numbers(rows * WIDTH, 2.0), vec![0f32; rows * WIDTH]);
    let instructions = Instructions::detect().expect("instructions");
    let mut group = criterion.benchmark_group("MLP of four windows");
    group.sample_size(20);
    group.throughput(Throughput::Elements((2 * 2 * rows * WIDTH * 4 * WIDTH) as u64));
    group.bench_function(format!("int8, {}", instructions.name()), |bencher| {
        bencher.iter(|| mlp.forward(instructions, &x, window, black_box(&mut out)).expect("numbers"));
    });
}

criterion_group!(benches, upsampling, int8_layers, stitching, fitting, searching);
criterion_main!(benches);
