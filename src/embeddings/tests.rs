use super::*;
use crate::error::Kind;
use crate::geom::Window;

const WIDTH: usize = 3;

fn model(sha256: &str) -> ModelCard {
    ModelCard { name: "small".into(), sha256: sha256.into(), patch: 4, width: WIDTH }
}

/// A scene of 21 × 13 pixels: windows of 8, 5 apart, in rows of 4.
fn scene(stretch: &str, model: &ModelCard, precision: Precision) -> SceneCard {
    let mut facts = crate::journal::Fingerprint::default();
    facts.set("stretch", stretch);
    let card = SceneCard {
        name: "a.tif".into(),
        path: "/data/a.tif".into(),
        width: 21,
        height: 13,
        transform: Some([500.0, 2.0, 0.0, 300.0, 0.0, -2.0]),
        crs: None,
        window: 8,
        stride: 5,
        padding: Padding { above: 0, left: 0 },
        patches: [0, 0],
        chunk: 0,
        facts,
        job: serde_json::Map::new(),
    };
    SceneCard { chunk: 3, ..card.laid_out(model, precision) }
}

fn tokens(window: Window) -> Vec<f32> {
    let start = (window.row * 100 + window.col) as f32;
    (0..5 * WIDTH).map(|at| start + at as f32 / 7.0).collect()
}

/// Writes all chunks; the windows in the fourth column have no data.
fn fill(scene: &SceneStore) {
    for index in scene.missing().collect::<Vec<_>>() {
        let all: Vec<_> = scene.windows(index).into_iter().map(|it| (it.col < 13).then(|| tokens(it))).collect();
        scene.write(index, &all.iter().map(|it| it.as_deref()).collect::<Vec<_>>()).unwrap();
    }
}

#[test]
fn tokens_come_back_in_every_precision() {
    for (precision, most) in [(Precision::Float32, 0.0), (Precision::Float16, 1e-3), (Precision::Int8, 1.0 / 127.0)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store = Store::create(&path, &model("a"), Some(precision)).unwrap();
        let made = store.create_scene(scene("none", store.model(), precision)).unwrap();
        assert_eq!((made.chunks().count(), made.missing().count()), (4, 4));
        fill(&made);
        assert!(made.is_complete());

        let store = Store::open(&path).unwrap();
        let [read] = <[SceneStore; 1]>::try_from(store.scenes().unwrap()).ok().unwrap();
        let mut reader = TokenReader::new(&read);
        for window in read.grid().windows().filter(|window| window.col < 13) {
            let (mut got, want) = (Vec::new(), tokens(window));
            reader.append(window, &mut got).unwrap();
            let largest = want.iter().fold(0f32, |most, value| most.max(value.abs()));
            let off = got.iter().zip(&want).map(|(got, want)| (got - want).abs()).fold(0.0, f32::max);
            assert!(got.len() == want.len() && off <= most * largest, "{precision:?}: {off} at {window}");
        }
        let empty = Window { col: 13, row: 0, width: 8, height: 8 };
        let error = reader.append(empty, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("holds no tokens of the window"), "{error}");
        let mut seen = Vec::new();
        read.for_each_chunk(|chunk| {
            seen.push((chunk.index.row, chunk.first, (0..4).filter(|&at| chunk.holds(at)).count()));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [(0, 0, 3), (0, 3, 0), (1, 0, 3), (1, 3, 0)]);
    }
}

#[test]
fn missing_chunks_are_known_and_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = Store::create(&path, &model("a"), Some(Precision::Int8)).unwrap();
    let made = store.create_scene(scene("none", store.model(), Precision::Int8)).unwrap();
    let index = ChunkIndex { row: 1, number: 0 };
    let windows: Vec<_> = made.windows(index).into_iter().map(tokens).collect();
    made.write(index, &windows.iter().map(|it| Some(it.as_slice())).collect::<Vec<_>>()).unwrap();
    assert!(made.has(index) && made.missing().count() == 3);
    let error = made.read(ChunkIndex { row: 0, number: 0 }).unwrap_err();
    assert!(error.to_string().ends_with("is missing") && error.hint().is_some(), "{error}");
    // Windows that reach rows from 8 on: those of the second row of the grid.
    let region = Window { col: 0, row: 8, width: 4, height: 5 };
    assert_eq!(made.chunks_reaching(region), [index]);
    assert!(made.write(index, &[None]).is_err(), "too few windows");
}

#[test]
fn what_differs_is_named_and_nothing_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = Store::create(&path, &model("aaaa"), None).unwrap();
    assert_eq!(store.precision(), Precision::Float16);
    store.create_scene(scene("none", store.model(), Precision::Float16)).unwrap();
    let message = |result: crate::error::Result<()>| {
        let error = result.unwrap_err();
        assert!(error.kind() == Kind::Input && error.hint().is_some(), "{error:?}");
        error.to_string()
    };
    let other = store.create_scene(scene("min-max", store.model(), Precision::Float16));
    assert!(message(other.map(drop)).contains("stretch: was none, is min-max"));
    assert!(message(Store::create(&path, &model("bbbb"), None).map(drop)).contains("another model"));
    let wider = ModelCard { width: 4, ..model("aaaa") };
    assert!(message(Store::create(&path, &wider, None).map(drop)).contains("width 3"));
    let int8 = Store::create(&path, &model("aaaa"), Some(Precision::Int8));
    assert!(message(int8.map(drop)).contains("holds float16 tokens, not int8"));
    // Other folders and files.
    std::fs::write(folder.path().join("file"), "mine").unwrap();
    for taken in [folder.path().to_owned(), folder.path().join("file")] {
        assert!(message(Store::create(&taken, &model("a"), None).map(drop)).contains("is not a store"), "{taken:?}");
        assert!(message(Store::open(&taken).map(drop)).contains("is not a store"));
    }
    assert!(message(Store::open(&folder.path().join("none")).map(drop)).contains("does not exist"));
    store.remove_scene("a.tif", "/data/a.tif").unwrap();
    assert!(store.scene("a.tif", "/data/a.tif").unwrap().is_none());
    assert_eq!(std::fs::read(folder.path().join("file")).unwrap(), b"mine");
}

#[test]
fn every_prefix_of_every_file_is_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = Store::create(&path, &model("a"), Some(Precision::Int8)).unwrap();
    fill(&store.create_scene(scene("none", store.model(), Precision::Int8)).unwrap());
    let read = || -> crate::error::Result<()> {
        for scene in Store::open(&path)?.scenes()? {
            scene.for_each_chunk(|_| Ok(()))?;
        }
        Ok(())
    };
    read().unwrap();
    let files: Vec<_> = glob::glob(&format!("{}/**/*", path.display())).unwrap().flatten().collect();
    let mut count = 0;
    for file in files.iter().filter(|path| path.is_file()) {
        let whole = std::fs::read(file).unwrap();
        for length in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
            std::fs::write(file, &whole[..length]).unwrap();
            let error = read().unwrap_err();
            assert!(error.kind() == Kind::Input && error.hint().is_some(), "{}: {error:?}", file.display());
            assert!(error.to_string().contains("zarr.json") || error.to_string().contains("/c/"), "{error}");
            count += 1;
        }
        // A changed byte of a chunk.
        if file.extension().is_none() {
            let mut changed = whole.clone();
            changed[whole.len() / 2] ^= 1;
            std::fs::write(file, changed).unwrap();
            assert!(read().is_err(), "{}", file.display());
        }
        std::fs::write(file, whole).unwrap();
    }
    assert!(count > 100, "{count}");
    read().unwrap();
}

#[test]
fn patches_cover_the_window_without_its_padding() {
    let card = scene("none", &model("a"), Precision::Float16);
    let window = Window { col: 5, row: 5, width: 8, height: 8 };
    assert_eq!(card.footprint(window, 3, 4), Some(Window { col: 9, row: 9, width: 4, height: 4 }));
    // A window of 6 in patches of 4: one row and column of padding on each side.
    let small = SceneCard { width: 6, height: 6, ..card }.laid_out(&model("a"), Precision::Float16);
    assert_eq!((small.patches, small.padding), ([2, 2], Padding { above: 1, left: 1 }));
    let window = Window { col: 0, row: 0, width: 6, height: 6 };
    let all: Vec<_> = (0..4).map(|patch| small.footprint(window, patch, 4).unwrap()).collect();
    assert_eq!(all[0], Window { col: 0, row: 0, width: 3, height: 3 });
    assert_eq!(all[3], Window { col: 3, row: 3, width: 3, height: 3 });
}
