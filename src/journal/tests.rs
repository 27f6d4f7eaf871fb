use super::record::{Head, Kind};
use super::*;
use proptest::prelude::*;

fn layers() -> Vec<Layer> {
    vec![
        Layer { name: "labels".into(), planes: 1, sample: Sample::U8 },
        Layer { name: "scores".into(), planes: 2, sample: Sample::F32 },
    ]
}

fn fingerprint(stride: &str) -> Fingerprint {
    let mut fingerprint = Fingerprint::default();
    fingerprint.set("scene", "a.tif");
    fingerprint.set("stride", stride);
    fingerprint
}

const PART: Window = Window { col: 0, row: 0, width: 4, height: 9 };

const SCENE: Size = Size { width: 4, height: 9 };

fn whole() -> Division {
    Division::whole(vec![PART])
}

/// Rows whose bytes follow from the row number, so that the expected content is known.
fn strip(first: usize, rows: usize) -> Strip {
    let bytes = |layer: &Layer| {
        let line = PART.width * layer.sample.bytes();
        (0..layer.planes)
            .flat_map(|plane| (first..first + rows).map(move |row| (plane, row)))
            .flat_map(|(plane, row)| (0..line).map(move |at| (plane * 100 + row * 10 + at) as u8))
            .collect()
    };
    Strip { rows, layers: layers().iter().map(bytes).collect() }
}

fn all(file: &mut RowFile) -> Vec<Vec<u8>> {
    let rows = file.rows();
    let mut found: Vec<Vec<Vec<u8>>> = Vec::new();
    let mut reader = file.read().unwrap();
    let mut left = rows;
    loop {
        let count = reader.available().unwrap().min(2);
        if count == 0 {
            break;
        }
        let mut into: Vec<Vec<u8>> = layers().iter().map(|layer| vec![0; layer.bytes() * count * PART.width]).collect();
        reader.take(count, &mut into, PART.width, 0);
        left -= count;
        found.push(into);
    }
    assert_eq!(left, 0);
    // Strips are ordered (plane, row, column): only the single plane of labels can be concatenated.
    vec![found.iter().flat_map(|pieces| pieces[0].clone()).collect()]
}

#[test]
fn rows_round_trip_and_a_locked_part_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("labels.tif.unfinished");
    let journal = Journal::open(&folder, &fingerprint("112"), &layers(), SCENE, &whole()).unwrap();
    assert!(journal.is_new());
    let mut file = journal.part(PART).unwrap();
    file.append(&strip(0, 4)).unwrap();
    file.append_failed_window(PART).unwrap();
    file.append(&strip(4, 3)).unwrap();
    assert!(file.append(&strip(7, 3)).is_err(), "more rows than the part has");
    let again = Journal::open(&folder, &fingerprint("112"), &layers(), SCENE, &Division::whole(Vec::new())).unwrap();
    assert!(!again.is_new());
    assert_eq!(again.parts(), [PART], "the parts are those of the first run");
    assert!(again.part(PART).unwrap_err().to_string().contains("another run"));
    assert!(remove(&folder).unwrap_err().to_string().contains("another run"));
    drop(file);
    let mut file = again.part(PART).unwrap();
    assert_eq!((file.rows(), file.is_complete(), file.failed_windows()), (7, false, &[PART][..]));
    assert_eq!(all(&mut file)[0], strip(0, 7).layers[0]);
    file.append(&strip(7, 2)).unwrap();
    assert_eq!(all(&mut file)[0], strip(0, 9).layers[0]);
}

#[test]
fn shards_share_the_bands_of_one_journal() {
    let folder = tempfile::tempdir().unwrap();
    let part = |row, col| Window { col, row, width: 4, height: 3 };
    let parts = vec![part(0, 0), part(0, 4), part(3, 0), part(3, 4)];
    let open = |shards| {
        let division = Division { shards, first: 0, parts: parts.clone() };
        Journal::open(folder.path(), &fingerprint("112"), &layers(), Size::new(8, 6), &division)
    };
    let first = open(3).unwrap();
    assert_eq!((first.band(0), first.band(1), first.band(2)), (parts[..2].to_vec(), parts[2..].to_vec(), vec![]));
    assert!(open(2).unwrap_err().to_string().contains("divided among 3 shards, this process is one of 2"));
    assert_eq!(open(1).unwrap().shards(), 3, "a single process may resume a sharded job");
    assert_eq!(Journal::fingerprint_entry(folder.path(), "stride").as_deref(), Some("112"));
}

#[test]
fn other_fingerprint_is_refused_with_its_differences() {
    let folder = tempfile::tempdir().unwrap();
    drop(Journal::open(folder.path(), &fingerprint("112"), &layers(), SCENE, &whole()).unwrap());
    let error = Journal::open(folder.path(), &fingerprint("56"), &layers(), SCENE, &whole()).unwrap_err();
    assert!(error.to_string().ends_with("stride: was 112, is 56"), "{error}");
    assert!(error.hint().unwrap().contains("--overwrite"));
    let error = Journal::open(folder.path(), &fingerprint("112"), &layers()[..1], SCENE, &whole()).unwrap_err();
    assert!(error.to_string().contains("another version"), "{error}");
    fs::write(folder.path().join(NAME), "format: [").unwrap();
    let error = Journal::open(folder.path(), &fingerprint("112"), &layers(), SCENE, &whole()).unwrap_err();
    assert!(error.to_string().contains("cannot read the journal"), "{error}");
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    remove(folder.path()).unwrap();
    assert!(folder.path().join("notes.txt").exists() && !Journal::is_begun(folder.path()));
}

#[test]
fn parts_that_do_not_cover_the_scene_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(Journal::open(folder.path(), &fingerprint("112"), &layers(), SCENE, &whole()).unwrap());
    let path = folder.path().join(NAME);
    let written = fs::read_to_string(&path).unwrap();
    let part = written.split_once("parts:\n").unwrap().1;
    let huge = usize::MAX;
    for (from, to) in [
        (part, format!("- [0, 0, {huge}, {huge}]\n")),
        (part, format!("- [0, {huge}, 4, 9]\n")),
        (part, "- [0, 0, 4, 9]\n- [0, 9, 4, 1]\n".to_owned()),
        (part, "- [0, 0, 4, 4]\n- [0, 3, 4, 5]\n".to_owned()),
        (part, "- [0, 0, 2, 9]\n- [2, 0, 2, 8]\n".to_owned()),
        (part, "- [0, 0, 0, 9]\n".to_owned()),
        ("first: 0", format!("first: {huge}")),
        ("shards: 1", "shards: 0".to_owned()),
        ("shards: 1\nfirst: 0", format!("shards: {huge}\nfirst: {huge}")),
    ] {
        assert!(written.contains(from), "{from}");
        fs::write(&path, written.replace(from, &to)).unwrap();
        let error = Journal::open(folder.path(), &fingerprint("112"), &layers(), SCENE, &whole()).unwrap_err();
        assert!(error.to_string().ends_with("does not describe a scene of 4 × 9 pixels"), "{to}: {error}");
        assert!(error.hint().unwrap().contains("--overwrite"));
    }
    fs::write(
        &path,
        written.replace(part, "- [0, 0, 3, 5]\n- [3, 0, 1, 5]\n- [0, 5, 4, 4]\n").replace("shards: 1", "shards: 2"),
    )
    .unwrap();
    assert_eq!(Journal::open(folder.path(), &fingerprint("112"), &layers(), SCENE, &whole()).unwrap().parts().len(), 3);
}

/// The bytes of a record with any content.
fn record(kind: Kind, rows: usize, payload: &[u8]) -> Vec<u8> {
    let head = Head { kind, rows, length: payload.len(), checksum: crc32fast::hash(payload) };
    [&head.bytes(), payload].concat()
}

#[test]
fn record_with_impossible_size_is_refused_before_allocation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part.rows");
    let wide = Window { col: 0, row: 0, width: 1 << 31, height: 1 << 31 };
    fs::write(&path, record(Kind::Rows, 1 << 31, b"\x10a")).unwrap();
    let mut file = RowFile::open(&path, wide, &layers()).unwrap();
    let error = file.read().unwrap().available().unwrap_err();
    assert!(error.to_string().ends_with("is damaged"), "{error}");
    drop(file);
    let failed_windows = [[u64::MAX, 1, 1, 1], [3, 5, 4, u64::MAX], [1, 2, 3, 4]]
        .map(|failed_window| failed_window.map(u64::to_le_bytes).concat());
    fs::write(&path, record(Kind::FailedWindow, 0, &failed_windows[2])).unwrap();
    assert_eq!(
        RowFile::open(&path, PART, &layers()).unwrap().failed_windows(),
        [Window { col: 1, row: 2, width: 3, height: 4 }]
    );
    for failed_window in &failed_windows[..2] {
        fs::write(&path, record(Kind::FailedWindow, 0, failed_window)).unwrap();
        assert_eq!(
            RowFile::open(&path, PART, &layers()).unwrap().failed_windows(),
            [],
            "the record counts as incomplete"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Truncated anywhere, or with any bit flipped, a file yields correct rows from the first on.
    #[test]
    fn damaged_file_yields_only_complete_rows(cut in 0.0f64..1.0, flip in 0.0f64..1.0, bit in 0u8..8) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part.rows");
        let mut file = RowFile::open(&path, PART, &layers()).unwrap();
        for first in 0..9 {
            file.append(&strip(first, 1)).unwrap();
        }
        drop(file);
        let mut bytes = fs::read(&path).unwrap();
        let at = (flip * bytes.len() as f64) as usize;
        bytes[at] ^= 1 << bit;
        bytes.truncate((cut * bytes.len() as f64) as usize);
        fs::write(&path, &bytes).unwrap();
        let mut file = RowFile::open(&path, PART, &layers()).unwrap();
        let rows = file.rows();
        prop_assert!(rows <= 9);
        prop_assert_eq!(&all(&mut file)[0], &strip(0, rows).layers[0]);
        drop(file);
        // Appending resumes from there.
        let mut file = RowFile::open(&path, PART, &layers()).unwrap();
        for first in rows..9 {
            file.append(&strip(first, 1)).unwrap();
        }
        prop_assert!(file.is_complete());
    }
}
