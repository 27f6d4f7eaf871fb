//! A bundle of the small parity set's weights, imported once by the real binary and handed to every test that asks.

use std::path::PathBuf;
use std::sync::OnceLock;

use crate::workdir::{Workdir, repository};

/// The upsampler of the bundle; without one, a window costs next to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upsampler {
    JbuOne,
    None,
}

/// Names and contents.
type Files = Vec<(String, Vec<u8>)>;

/// The small set's CLIP.
pub fn small_clip() -> PathBuf {
    repository("tests/parity/small/clip_openai_state_dict.pt")
}

/// The small CLIP has a vocabulary of 600 and no tokenizer of its own: one of that size stands in.
pub fn write_merges(work: &Workdir) -> PathBuf {
    let letters: Vec<char> = ('a'..='z').collect();
    let merges: Vec<String> =
        (0..600 - 514).map(|index| format!("{} {}", letters[index / 26], letters[index % 26])).collect();
    work.write("merges.txt", format!("#version: 0.2\n{}\n", merges.join("\n")))
}

/// Puts the small bundle into the folder `name` of the test's own.
pub fn small_bundle(work: &Workdir, name: &str, upsampler: Upsampler) -> PathBuf {
    static MADE: [OnceLock<Files>; 2] = [const { OnceLock::new() }; 2];
    for (file, content) in MADE[upsampler as usize].get_or_init(|| import(upsampler)) {
        work.write(&format!("{name}/{file}"), content);
    }
    work.path(name)
}

fn import(upsampler: Upsampler) -> Files {
    let work = Workdir::new();
    let shown = |path: PathBuf| path.display().to_string();
    let upsampler = match upsampler {
        Upsampler::JbuOne => shown(repository("tests/parity/small/simfeatup_jbu_one.ckpt")),
        Upsampler::None => "none".to_owned(),
    };
    let (clip, merges) = (shown(small_clip()), shown(write_merges(&work)));
    work.ok(["model", "import", "--clip", &clip, "--tokenizer", &merges, "--upsampler", &upsampler, "-o", "small"]);
    std::fs::read_dir(work.path("small"))
        .expect("a bundle")
        .map(|entry| {
            let entry = entry.expect("a file");
            (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).expect("a file"))
        })
        .collect()
}
