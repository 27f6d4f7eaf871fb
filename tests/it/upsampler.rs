//! `segearth model train-upsampler`: a bundle with an upsampler of its own, and what is refused before anything is trained.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

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

/// Runs a long training until it has said what a step takes, and stops it by `signal`. Gives what it said.
fn stopped_by(work: &Workdir, signal: &str) -> String {
    let args = command("--steps 100000 --batch 1 --side 96");
    let mut run = work.command(args.split_whitespace()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let mut lines = BufReader::new(run.stderr.take().expect("its messages")).lines().map_while(Result::ok);
    let mut said = String::new();
    for line in lines.by_ref() {
        said += &format!("{line}\n");
        if line.contains("A step takes about") {
            break;
        }
    }
    Command::new("kill").args([&format!("-{signal}"), &run.id().to_string()]).status().expect("kill");
    lines.for_each(|line| said += &format!("{line}\n"));
    let code = run.wait().expect("it ends").code();
    assert_eq!(code, Some(if signal == "INT" { 130 } else { 143 }), "{said}");
    said
}

#[test]
fn a_training_that_is_stopped_keeps_its_state_and_resumes() {
    let work = ready();
    let said = stopped_by(&work, "INT");
    assert!(
        said.contains("is kept: the same command resumes from there.") && said.contains("stopped by SIGINT"),
        "{said}"
    );
    assert!(work.path("new.training/upsampler-checkpoint.safetensors").is_file());
    let done = |said: &str| -> usize {
        let rest = said.split("The state after step ").nth(1).expect("a step");
        rest.split(' ').next().and_then(|step| step.parse().ok()).expect("a number")
    };
    let first = done(&said);
    let said = stopped_by(&work, "TERM");
    assert!(first == 0 || said.contains(&format!("The training resumes after step {first}.")), "{said}");
    assert!(done(&said) >= first && said.contains("stopped by SIGTERM"), "{said}");
    assert!(!work.path("new").exists());
}

#[test]
fn views_fit_small_images() {
    let work = ready();
    noise_scene(&work.path("small.tif"), 90, 200);
    let args = command("--steps 1 --batch 1").replace("scene.tif", "scene.tif small.tif");
    let ran = work.ok(args.split_whitespace());
    // 12 patches of 16 pixels are usual; 110 pixels hold 6, 90 none that could be used.
    assert!(ran.stderr.contains("in views of 96 × 96 pixels"), "{}", ran.stderr);
    assert!(ran.stderr.contains("1 of 2 images are smaller than a view, 96 × 96 pixels"), "{}", ran.stderr);
}

#[test]
fn what_cannot_be_trained_is_refused_before_anything_is_made() {
    let work = ready();
    assert_snapshot!(work.refused(&command("--side 100")), @r"
    error: --side is 100 pixels; it must be a multiple of the model's patch, 16, from 96 to 1024

    hint: Leave it out to take 96 pixels.
    ");
    assert_snapshot!(work.refused(&command("--side 32")), @r"
    error: --side is 32 pixels; it must be a multiple of the model's patch, 16, from 96 to 1024

    hint: Leave it out to take 96 pixels.
    ");
    assert_snapshot!(work.refused(&command("--steps 0")), @r"
    error: --steps is 0; it must be from 1 to 1000000

    hint: Leave it out to take the usual number.
    ");
    assert_snapshot!(work.refused(&command("").replace("scene.tif", "none.tif")), @r"
    error: there is no file none.tif
      --> --images
     |
     | none.tif
     | ^^^^^^^^

    hint: Paths in a job file are relative to its folder, paths on the command line to the current folder.
    ");
    assert_snapshot!(work.refused(&command("").replace("clip.pt", "none.pt")), @r"
    error: there is no file none.pt

    hint: Check the path after `--clip`.
    ");
    assert_snapshot!(work.refused(&command("").replace("--model small", "--model fake:null")), @r"
    error: the fake models have no features to upsample

    hint: Give the folder of a bundle, or leave --model out to take the built-in model.
    ");
    work.write("clip.pt", "something else");
    assert_snapshot!(without_hashes(&work.refused(&command(""))), @r"
    error: clip.pt has SHA-256 [SHA], but small was imported from clip_openai_state_dict.pt with [SHA]

    hint: Give the file that was imported, or import this one with `--upsampler none` first.
    ");
    assert_snapshot!(without_hashes(&work.refused(&command("").replace("--clip clip.pt", ""))), @r"
    error: cannot find the CLIP weights of small: it was imported from clip_openai_state_dict.pt with SHA-256 [SHA]

    hint: Give that file with `--clip FILE`.
    ");
    noise_scene(&work.path("scene.tif"), 90, 200);
    std::fs::copy(small_clip(), work.path("clip.pt")).expect("the CLIP");
    assert_snapshot!(without_causes(&work.refused(&command("--side 96"))), @r"
    error: no image has an area of 96 × 96 pixels with data

    hint: Use larger images, or a smaller --side.
    ");
    work.write("new/here.txt", "something");
    assert_snapshot!(work.refused(&command("")), @r"
    error: new already exists

    hint: Choose a folder that does not exist, or remove this one first.
    ");
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
