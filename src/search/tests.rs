use proptest::prelude::*;

use super::*;
use crate::embeddings::{ModelCard, Padding, Precision, SceneCard, SceneStore, Store};
use crate::geom::Window;

const SIDE: usize = 4;
const WIDTH: usize = 21;

fn model() -> ModelCard {
    ModelCard { name: "small".into(), sha256: "ab".into(), patch: SIDE, width: WIDTH }
}

/// Windows of 12 pixels, 6 apart, over 40 × 33: the last ones are shifted.
fn store(folder: &std::path::Path, precision: Precision) -> SceneStore {
    let card = SceneCard {
        name: "a.tif".into(),
        path: "/data/a.tif".into(),
        width: 40,
        height: 33,
        transform: None,
        crs: None,
        window: 12,
        stride: 6,
        padding: Padding { above: 0, left: 0 },
        patches: [0, 0],
        chunk: 0,
        facts: Default::default(),
        job: serde_json::Map::new(),
    };
    let card = SceneCard { chunk: 2, ..card.laid_out(&model(), precision) };
    Store::create(folder, &model(), Some(precision)).unwrap().create_scene(card).unwrap()
}

/// Numbers without a pattern from -1 to 1.
fn tokens(window: Window) -> Vec<f32> {
    let seed = (window.row * 1009 + window.col) as u32;
    let number = |at: u32| (at.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0;
    (0..(10 * WIDTH) as u32).map(number).collect()
}

fn fill(scene: &SceneStore, holds: impl Fn(Window) -> bool) {
    for index in scene.missing().collect::<Vec<_>>() {
        let all: Vec<_> = scene.windows(index).into_iter().map(|it| holds(it).then(|| tokens(it))).collect();
        scene.write(index, &all.iter().map(|it| it.as_deref()).collect::<Vec<_>>()).unwrap();
    }
}

fn query(debias: f32) -> Query {
    Query { vector: (0..WIDTH).map(|at| (at as f32 * 0.7).sin()).collect(), debias }
}

/// The score of a patch by its definition.
fn direct(window: Window, token: usize, query: &Query) -> f64 {
    let tokens = tokens(window);
    let similarity = |token: usize| {
        let of = &tokens[token * WIDTH..(token + 1) * WIDTH];
        let norm = of.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        of.iter().zip(&query.vector).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() / norm
    };
    similarity(token) - f64::from(query.debias) * similarity(0)
}

#[test]
fn scores_are_those_of_a_direct_computation() {
    for (precision, most) in [(Precision::Float32, 2e-6), (Precision::Float16, 3e-3), (Precision::Int8, 3e-2)] {
        let folder = tempfile::tempdir().unwrap();
        let scene = store(folder.path(), precision);
        fill(&scene, |window| window.col != 12 || window.row != 0);
        let query = query(0.3);
        let [map] = <[ScoreMap; 1]>::try_from(scan(&[&scene], SIDE, &query, |_| ()).unwrap()).unwrap();
        assert_eq!((map.missing, map.chunks), (0, searched_chunks(&scene, SIDE)));
        let (rows, cols) = (scene.grid().row_starts(), scene.grid().col_starts());
        let size = scene.grid().window();
        let mut unknown = 0;
        for (at, score) in map.scores.iter().enumerate() {
            let width = map.coverage.cols.len();
            let (row, col) = (map.coverage.rows[at / width], map.coverage.cols[at % width]);
            let window =
                Window { col: cols[col.window], row: rows[row.window], width: size.width, height: size.height };
            if (window.col, window.row) == (12, 0) {
                assert!(score.is_nan(), "a window without data has no scores");
                unknown += 1;
                continue;
            }
            let expected = direct(window, 1 + row.patch * 3 + col.patch, &query);
            assert!((f64::from(*score) - expected).abs() < most, "{precision:?} {at}: {score} {expected}");
        }
        assert_eq!(unknown, 9);
    }
}

#[test]
fn missing_chunks_are_counted_and_others_searched() {
    let folder = tempfile::tempdir().unwrap();
    let scene = store(folder.path(), Precision::Float16);
    fill(&scene, |_| true);
    let whole = scan(&[&scene, &scene], SIDE, &query(0.0), |_| ()).unwrap();
    assert_eq!(whole[0].scores, whole[1].scores);
    assert!(whole[0].scores.iter().all(|score| score.is_finite()));
    std::fs::remove_file(scene.folder().join("tokens/c/0/0/0/0")).unwrap();
    let part = scan(&[&scene], SIDE, &query(0.0), |_| ()).unwrap();
    assert_eq!((part[0].missing, part[0].chunks), (1, whole[0].chunks));
    let lost = part[0].scores.iter().filter(|score| score.is_nan()).count();
    assert!(lost > 0 && lost < part[0].scores.len() / 2, "{lost}");
    let same = part[0].scores.iter().zip(&whole[0].scores).all(|(part, whole)| part.is_nan() || part == whole);
    assert!(same, "others are as before");
}

#[test]
fn feature_of_a_place_scores_one_there() {
    let folder = tempfile::tempdir().unwrap();
    let scene = store(folder.path(), Precision::Float16);
    fill(&scene, |_| true);
    let coverage = Coverage::of(scene.card(), SIDE);
    let cell = coverage.cell_of(38, 31).unwrap();
    // The same cell twice counts once.
    let found = feature_at(&scene, &coverage, &[cell, cell, [99, 99]]).unwrap();
    let [vector] = <[Vec<f32>; 1]>::try_from(found).unwrap();
    let maps = scan(&[&scene], SIDE, &Query { vector, debias: 0.0 }, |_| ()).unwrap();
    let at = cell[0] * coverage.cols.len() + cell[1];
    assert!((maps[0].scores[at] - 1.0).abs() < 1e-6);
    let best = maps[0].scores.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    assert_eq!(best.0, at);
}

fn map(width: usize, scores: Vec<f32>) -> ScoreMap {
    let cells = |count: usize| {
        (0..count).map(|at| Cell { window: 0, patch: at, start: at * 4, end: at * 4 + 4 }).collect::<Vec<_>>()
    };
    let coverage = Coverage { rows: cells(scores.len() / width), cols: cells(width) };
    ScoreMap { coverage, scores, chunks: 1, missing: 0 }
}

#[test]
fn neighbours_that_score_nearly_as_well_join_the_best() {
    let n = f32::NAN;
    #[rustfmt::skip]
    let map = map(6, vec![
        0.9, 0.8, 0.1, 0.0, 0.0, 0.6,
        0.1, 0.8, 0.3, 0.0, 0.0, 0.0,
        0.0, 0.1, 0.0, 0.9, 0.0, 0.7,
        0.0, 0.0, 0.0, 0.0, n,   0.0,
    ]);
    let mean = 5.2 / 23.0;
    let all = footprints(&map, 0.5, 9, f32::NEG_INFINITY);
    let cells: Vec<_> = all.iter().map(|it| it.cells.clone()).collect();
    // 0.3 is below the level of its neighbours' footprint and no peak, and ranks of equal scores follow the rows.
    let whole = vec![vec![[0, 0], [0, 1], [1, 1]], vec![[2, 3]], vec![[2, 5]], vec![[0, 5]]];
    assert_eq!(cells[..4], whole);
    assert!((all[0].mean - 2.5 / 3.0).abs() < 1e-6 && all[0].score == 0.9);
    assert!(0.3 < mean + 0.5 * (0.9 - mean));
    assert_eq!(footprints(&map, 0.5, 2, f32::NEG_INFINITY).len(), 2);
    assert_eq!(footprints(&map, 0.5, 9, 0.65).len(), 3);
    assert_eq!(footprints(&map, 1.0, 1, 0.0)[0].cells, [[0, 0]]);
}

proptest! {
    #[test]
    fn footprints_are_disjoint_connected_and_ranked(
        width in 1usize..12, rows in 1usize..12, share in 0f32..=1.0, seed in any::<u32>(),
    ) {
        let number = |at: usize| {
            let bits = (at as u32).wrapping_add(seed).wrapping_mul(2_654_435_761) >> 20;
            if bits.is_multiple_of(13) { f32::NAN } else { (bits % 8) as f32 / 8.0 }
        };
        let map = map(width, (0..width * rows).map(number).collect());
        let all = footprints(&map, share, usize::MAX, f32::NEG_INFINITY);
        let score = |[row, col]: [usize; 2]| map.scores[row * width + col];
        prop_assert!(all.windows(2).all(|pair| pair[0].score >= pair[1].score));
        let mut cells: Vec<[usize; 2]> = all.iter().flat_map(|it| it.cells.clone()).collect();
        let count = cells.len();
        cells.sort_unstable();
        cells.dedup();
        prop_assert_eq!(cells.len(), count);
        for footprint in &all {
            let best = footprint.cells.iter().map(|cell| score(*cell)).fold(f32::NEG_INFINITY, f32::max);
            prop_assert!(best >= footprint.score);
            let beside = |a: &[usize; 2], b: &[usize; 2]| a[0].abs_diff(b[0]) + a[1].abs_diff(b[1]) == 1;
            let alone = footprint.cells.len() == 1;
            prop_assert!(footprint.cells.iter().all(|one| alone || footprint.cells.iter().any(|two| beside(one, two))));
        }
        // The best of all is in the first footprint.
        let best = map.scores.iter().copied().filter(|score| score.is_finite()).fold(f32::NEG_INFINITY, f32::max);
        prop_assert!(all.first().is_none_or(|first| first.score == best));
    }
}
