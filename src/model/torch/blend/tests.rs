//! Against the stitcher on the host, on the CPU: a GPU does the same operations.

use tch::CModule;

use super::super::Device;
use super::*;
use crate::geom::{Blend, Grid, Size};
use crate::model::{Queries, Segmenter as _};
use crate::stitch::{Accumulator, window_weights};

/// A model whose logits are the images' channels weighed by the queries, less λ times their mean.
fn model(folder: &std::path::Path, queries: &Queries) -> TorchSegmenter {
    let path = folder.join("model.pt");
    let inputs = [
        Tensor::zeros([2, 3, 8, 8], (Number::Float, TorchDevice::Cpu)),
        Tensor::ones([4, 3], (Number::Float, TorchDevice::Cpu)),
        Tensor::zeros([1], (Number::Float, TorchDevice::Cpu)),
    ];
    let mut forward = |inputs: &[Tensor]| {
        let logits = Tensor::einsum("bchw,qc->bqhw", &[&inputs[0], &inputs[1]], None::<i64>);
        vec![&logits + logits.mean_dim([2i64, 3].as_slice(), true, Number::Float) * &inputs[2]]
    };
    CModule::create_by_tracing("model", "forward", &inputs, &mut forward).unwrap().save(&path).unwrap();
    TorchSegmenter::load(&path, Device::Cpu, queries, 0.3).unwrap()
}

fn noise(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 7919 + seed * 104_729).wrapping_mul(2_654_435_761) % 1009) as f32 / 1009.0).collect()
}

struct Scene {
    grid: Grid,
    padding: Padding,
}

impl Scene {
    fn images(&self, windows: &[Window]) -> Images {
        let size = self.padding.padded;
        let pixels = windows.iter().flat_map(|it| noise(3 * size.pixels(), it.row * 31 + it.col)).collect();
        Images { size, count: windows.len(), pixels, tokens: None }
    }

    /// Every third window lacks some pixels.
    fn valid(&self, window: &Window) -> Option<Vec<bool>> {
        let lacks = (window.row + window.col).is_multiple_of(3);
        lacks.then(|| (0..window.size().pixels()).map(|at| at % 5 != 0).collect())
    }
}

fn on_host(scene: &Scene, region: Window, model: &mut TorchSegmenter, classifier: &Classifier) -> Labelled {
    let mut accumulator = Accumulator::new(region, scene.grid.window(), model.queries(), Blend::Hann);
    for window in scene.grid.reaching(region) {
        let logits = scene.padding.cut(model.segment(&scene.images(&[window])).unwrap());
        accumulator.add(&window, &logits, scene.valid(&window).as_deref());
    }
    classifier.classify(&accumulator.finish_before(region.rows().end), true)
}

/// Labels, and scores (class, row, column), gathered from pieces of rows.
fn on_device(scene: &Scene, region: Window, model: &TorchSegmenter, classifier: &Classifier, batch: usize) -> Labelled {
    let window = scene.grid.window();
    let weights = [window.height, window.width].map(|side| window_weights(Blend::Hann, side));
    let weights = [weights[0].as_slice(), weights[1].as_slice()];
    let task = Region { region, padding: scene.padding, weights, classifier, scores: true, patient: false };
    let mut blender = DeviceBlender::new(model, &task).unwrap();
    let mut all = Labelled {
        rejected: 0.0,
        labels: Vec::new(),
        scores: vec![f32::NAN; classifier.classes() * region.size().pixels()],
    };
    let mut finish = |blender: &mut DeviceBlender<'_>, before: usize| {
        while blender.first() < before.min(region.rows().end) {
            let Labelled { labels, scores, .. } = blender.finish_before(before).unwrap();
            assert!(!labels.is_empty(), "at least a row");
            for (class, plane) in scores.chunks_exact(labels.len()).enumerate() {
                all.scores[class * region.size().pixels() + all.labels.len()..][..plane.len()].copy_from_slice(plane);
            }
            all.labels.extend(labels);
        }
    };
    let windows: Vec<Window> = scene.grid.reaching(region).collect();
    for row in windows.chunk_by(|a, b| a.row == b.row) {
        finish(&mut blender, row[0].row);
        for some in row.chunks(batch) {
            let valid: Vec<_> = some.iter().map(|window| scene.valid(window)).collect();
            let tiles: Vec<_> = some.iter().zip(&valid).map(|(window, valid)| (*window, valid.as_deref())).collect();
            blender.add(&scene.images(some), &tiles).unwrap();
        }
    }
    finish(&mut blender, region.rows().end);
    all
}

#[test]
fn labels_and_scores_match_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let queries = Queries { count: 4, width: 3, features: noise(12, 3).iter().map(|it| it - 0.5).collect() };
    let mut model = model(folder.path(), &queries);
    let classifier = |query_class: &[usize], thresholds: &[f32], background| Classifier {
        query_class: query_class.to_vec(),
        thresholds: thresholds.to_vec(),
        background,
        logit_scale: 5.0,
        bias: Vec::new(),
        pooling: Pooling::Largest,
        margin: 0.0,
        nodata: 255,
    };
    let scene = |width, height, window: usize, stride| {
        let grid = Grid::new(Size::new(width, height), window, stride);
        Scene { padding: Padding::new(grid.window(), 8), grid }
    };
    let whole = |scene: &Scene| scene.grid.scene().window();
    for (scene, region, classifier, batch) in [
        (scene(70, 90, 16, 8), None, classifier(&[0, 1, 2, 3], &[0.0; 4], None), 3),
        // Windows that are no whole patches, two words for a class, and a background.
        (scene(61, 75, 13, 5), None, classifier(&[0, 1, 1, 2], &[0.4, 0.3, 0.5], Some(0)), 64),
        // A part in the middle, taller than a window, without a background.
        (scene(61, 175, 40, 21), Some((7, 11, 30, 100)), classifier(&[0, 1, 1, 2], &[0.4; 3], None), 1),
        // Learnt classes.
        (
            scene(61, 75, 13, 5),
            None,
            Classifier {
                bias: vec![0.3, -0.4, 0.1, 0.2],
                pooling: Pooling::Sum,
                margin: 0.0,
                ..classifier(&[0, 1, 1, 2], &[0.4; 3], Some(0))
            },
            64,
        ),
        // No row reaches the next.
        (scene(48, 64, 16, 16), None, classifier(&[0, 1, 2, 3], &[0.0; 4], None), 2),
    ] {
        let region = region.map_or(whole(&scene), |(col, row, width, height)| Window { col, row, width, height });
        let want = on_host(&scene, region, &mut model, &classifier);
        let found = on_device(&scene, region, &model, &classifier, batch);
        assert_eq!(found.labels, want.labels);
        assert!(want.labels.iter().any(|label| *label != want.labels[0]), "something is to be told apart");
        for (found, want) in found.scores.iter().zip(&want.scores) {
            assert!((found - want).abs() < 1e-5 || (found.is_nan() && want.is_nan()), "{found} for {want}");
        }
    }
}

#[test]
fn non_finite_logits_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path(), &Queries { count: 1, width: 3, features: vec![f32::NAN; 3] });
    let grid = Grid::new(Size::new(16, 16), 16, 16);
    let scene = Scene { padding: Padding::new(grid.window(), 8), grid };
    let classifier = Classifier {
        query_class: vec![0],
        thresholds: vec![0.0],
        background: None,
        logit_scale: 1.0,
        bias: Vec::new(),
        pooling: Pooling::Largest,
        margin: 0.0,
        nodata: 255,
    };
    let weights = window_weights(Blend::Average, 16);
    for patient in [true, false] {
        let window = scene.grid.scene().window();
        let task = Region {
            region: window,
            padding: scene.padding,
            weights: [&weights, &weights],
            classifier: &classifier,
            scores: false,
            patient,
        };
        let mut blender = DeviceBlender::new(&model, &task).unwrap();
        let added = blender.add(&scene.images(&[window]), &[(window, None)]);
        assert_eq!(added.is_err(), patient);
        let finished = blender.finish_before(16);
        assert_eq!(finished.is_err(), !patient, "what failed was not blended");
    }
}
