//! What an unfinished run has left, damaged behind its checksums too, for the run that is to go on.

use std::fs::{self, File};
use std::sync::OnceLock;
use std::time::{Duration, UNIX_EPOCH};

use super::dice::Dice;
use super::scenes::of_noise;
use super::{Case, bytes, text};
use crate::workdir::Workdir;

const JOB: &str = "scene: scene.tif
model: fake:identity
classes: [red, green, blue]
tiling: {stride: 56}
outputs: {folder: out, scores: true, polygons: a.fgb}
";

const FOLDER: &str = "out/scene_labels.tif.unfinished";

/// Names and contents.
type Files = Vec<(String, Vec<u8>)>;

/// A scene, and the journal of a job of which the first of two shards is computed.
fn seed() -> &'static (Vec<u8>, Files) {
    static SEED: OnceLock<(Vec<u8>, Files)> = OnceLock::new();
    SEED.get_or_init(|| {
        let scene = of_noise(60, 600);
        let work = job(&scene);
        work.ok(["run", "job.yaml", "--shard", "1/2"]);
        let files = fs::read_dir(work.path(FOLDER)).expect("a journal").map(|file| {
            let file = file.expect("a file");
            (file.file_name().to_string_lossy().into_owned(), fs::read(file.path()).expect("a file"))
        });
        let mut files: Files = files.collect();
        files.sort();
        (scene, files)
    })
}

/// The job and its scene, which is known again by the time of its change.
fn job(scene: &[u8]) -> Workdir {
    let work = Workdir::new();
    work.write("job.yaml", JOB);
    let scene = File::options().write(true).open(work.write("scene.tif", scene)).expect("the scene");
    scene.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000_000)).expect("a time");
    work
}

pub fn case(dice: &mut Dice) -> Case {
    let mut files = seed().1.clone();
    let journal = files.iter().position(|(name, _)| name == "journal.yaml").expect("a journal");
    let rows = files.iter().position(|(_, content)| content.starts_with(b"SEGR")).expect("rows");
    match dice.below(7) {
        0..=2 => {
            let text = String::from_utf8(files[journal].1.clone()).expect("text");
            files[journal].1 = text::mutate(&text, dice);
        }
        3 | 4 => change_record(&mut files[rows].1, dice),
        5 => {
            let content = &mut files[rows].1;
            bytes::mutate(content, bytes::ALL, dice);
        }
        _ => {
            // Rows of other places.
            let name = dice.pick(&[
                "rows-300-600-columns-0-60.rows",
                "rows-0-600-columns-0-60.rows",
                "rows-0-9-columns-60-0.rows",
            ]);
            let content = files[rows].1.clone();
            files.push(((*name).to_owned(), content));
        }
    }
    of_files(
        files,
        dice.pick(&[RUN, RUN, SHARD, "merge job.yaml", "run job.yaml --allow-failed-windows --memory 500MB"]),
    )
}

const RUN: &str = "run job.yaml --memory 500MB";
const SHARD: &str = "run job.yaml --shard 2/2 --memory 500MB";

/// What is mutated, as it is.
pub fn sound() -> Vec<Case> {
    [RUN, SHARD].map(|words| of_files(seed().1.clone(), words)).into()
}

fn of_files(files: Files, words: &str) -> Case {
    let work = job(&seed().0);
    for (name, content) in files {
        work.write(&format!("{FOLDER}/{name}"), content);
    }
    Case::new(work, words)
}

/// A number in a record's head, or its payload, with checksums that are right again.
fn change_record(content: &mut Vec<u8>, dice: &mut Dice) {
    const HEAD: usize = 28;
    let starts: Vec<usize> =
        content.windows(4).enumerate().filter(|(_, four)| four == b"SEGR").map(|(at, _)| at).collect();
    let at = dice.pick(&starts);
    let length = u32::from_le_bytes(content[at + 12..at + 16].try_into().expect("four bytes")) as usize;
    let end = (at + HEAD + length).min(content.len());
    match dice.below(3) {
        0 => {
            let payload = &mut content[at + HEAD..end].to_vec();
            if dice.one_in(2) {
                let mut values = lz4_flex::decompress(payload, 10_000_000).expect("rows");
                bytes::mutate(&mut values, bytes::ALL, dice);
                *payload = lz4_flex::compress(&values);
            } else {
                bytes::mutate(payload, bytes::ALL, dice);
            }
            content.splice(at + HEAD..end, payload.iter().copied());
            bytes::put(content, at + 12, payload.len() as u64, 8, false);
            bytes::put(content, at + 20, crc32fast::hash(payload).into(), 4, false);
        }
        1 => bytes::put(content, at + dice.pick(&[4, 8, 12, 20]), dice.pick(&bytes::NUMBERS), 4, false),
        // A hole, wherever it may lie.
        _ => {
            let hole: Vec<u8> = (0..4).flat_map(|_| dice.pick(&bytes::NUMBERS).to_le_bytes()).collect();
            let head = [
                b"SEGR",
                &2u32.to_le_bytes()[..],
                &[0; 4],
                &32u64.to_le_bytes(),
                &crc32fast::hash(&hole).to_le_bytes(),
                &[0; 4],
            ];
            content.splice(at..at, [head.concat(), hole].concat());
        }
    }
    let checksum = crc32fast::hash(&content[at..at + 24]);
    bytes::put(content, at + 24, checksum.into(), 4, false);
}
