//! `segearth model train-upsampler`: a bundle with an upsampler of its own, and what is refused before anything is trained.

use insta::assert_snapshot;

use crate::bundles::{Upsampler, small_bundle, small_clip};
use crate::scenes::noise_scene;
use crate::workdir::{Workdir, without_causes};

fn ready() -> Workdir {
    let work = Workdir::new();
    small_bundle(&work, "small", Upsampler::None);
    std::fs::copy(small_clip(), work.path("clip.pt")).expect("the CLIP");
    noise_scene(&work.path("scene.tif"), 120, 110);
    work
}

fn command(more: &str) -> String {
    format!("model train-upsampler --model small --clip clip.pt --images scene.tif -o new {more}")
}

#[test]
fn a_few_steps_give_a_bundle_that_segments() {
    let work = ready();
    let ran = work.ok(command("--steps 2 --batch 1 --side 96").split_whitespace());
    assert!(ran.stdout.contains("upsampler: jbu_one"), "{}", ran.stdout);
    assert!(ran.stderr.contains("2 steps on 1 pieces of 1 images"), "{}", ran.stderr);
    assert!(!work.path("new.training").exists(), "what only the training needs is gone");
    work.ok(["segment", "scene.tif", "--model", "new", "--classes", "a; b", "-o", "labels.tif"]);
    assert!(work.path("labels.tif").is_file());
}

#[test]
fn what_cannot_be_trained_is_refused_before_anything_is_made() {
    let work = ready();
    assert_snapshot!(work.refused(&command("--side 100")), @"");
    assert_snapshot!(work.refused(&command("--side 32")), @"");
    assert_snapshot!(work.refused(&command("--steps 0")), @"");
    assert_snapshot!(work.refused(&command("").replace("scene.tif", "none.tif")), @"");
    assert_snapshot!(work.refused(&command("").replace("clip.pt", "none.pt")), @"");
    assert_snapshot!(work.refused(&command("").replace("--model small", "--model fake:null")), @"");
    work.write("clip.pt", "something else");
    assert_snapshot!(without_hashes(&work.refused(&command(""))), @"");
    assert_snapshot!(without_hashes(&work.refused(&command("").replace("--clip clip.pt", ""))), @"");
    noise_scene(&work.path("scene.tif"), 90, 200);
    std::fs::copy(small_clip(), work.path("clip.pt")).expect("the CLIP");
    assert_snapshot!(without_causes(&work.refused(&command("--side 96"))), @"");
    work.write("new/here.txt", "something");
    assert_snapshot!(work.refused(&command("")), @"");
}

/// SHA-256 as `[SHA]`.
fn without_hashes(text: &str) -> String {
    let is_hash = |word: &&str| word.len() >= 64 && word.trim_end_matches(',').chars().all(|c| c.is_ascii_hexdigit());
    let mut text = text.to_owned();
    let hashes: Vec<String> = text.split_whitespace().filter(is_hash).map(str::to_owned).collect();
    for hash in hashes {
        text = text.replace(hash.trim_end_matches(','), "[SHA]");
    }
    text
}
