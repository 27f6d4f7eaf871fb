//! `segearth doctor`: what it reports, and what it refuses.

use std::fs;

use serde_json::Value;
use tch::{Kind, Tensor};

use crate::workdir::{Workdir, repository};

/// An installation that works says so, in words and as JSON.
#[test]
fn working_installation_passes() {
    let work = Workdir::new();
    let text = work.ok(["doctor"]).stdout;
    for part in ["GDAL", "PROJ", "libtorch", "cuda half", "cache", "parity on cpu", "built-in model", "mini"] {
        assert!(text.to_lowercase().contains(&part.to_lowercase()), "no {part} in\n{text}");
    }
    let json = work.ok(["doctor", "--json"]).stdout;
    let found: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(found["ok"], true, "{json}");
    assert_eq!(found["program"]["version"], env!("CARGO_PKG_VERSION"));
    let parity = &found["self_test"]["parity_on_cpu"];
    let (found, allowed) =
        (parity["libtorch"].as_f64().expect("a number"), parity["allowed"].as_f64().expect("a number"));
    assert!(found > 0.0 && found <= allowed, "{parity}");
}

#[test]
fn secrets_are_not_printed() {
    let work = Workdir::new();
    let secret = "k3y-that-nobody-may-see";
    let address = format!("https://ann:{secret}@example.org/mirror?token={secret}");
    let environment = [
        ("HF_TOKEN", secret),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("GDAL_HTTP_USERPWD", secret),
        ("SEGEARTH_FETCH_BASE", address.as_str()),
    ];
    for form in [&["doctor"][..], &["doctor", "--json"]] {
        let ran = work.run_with(form, &environment);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let all = ran.stdout + &ran.stderr;
        assert!(!all.contains(secret), "{all}");
        assert!(all.contains("HF_TOKEN") && all.contains("example.org"), "{all}");
    }
}

/// What a run needs and does not have is an error with the way out.
#[test]
fn broken_folders_and_databases_are_refused() {
    let work = Workdir::new();
    work.write("file", "");
    let cache = work.path("file/cache").display().to_string();
    let ran = work.run_with(["doctor"], &[("SEGEARTH_CACHE", cache.as_str())]);
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("cannot be written") && ran.stderr.contains("Set SEGEARTH_CACHE"), "{}", ran.stderr);
    let empty = work.path("").display().to_string();
    let places = [("PROJ_DATA", empty.as_str()), ("PROJ_LIB", &empty), ("PROJ_NETWORK", "OFF")];
    let ran = work.run_with(["doctor", "--json"], &places);
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("CRSs cannot be looked up"), "{}", ran.stderr);
    let found: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(found["ok"], false);
    assert_eq!(found["problems"][0]["severity"], "error");
}

/// With a driver that does not work, `auto` takes the CPU: the doctor and runs say so.
#[test]
fn nvidia_smi_that_fails_is_reported() {
    let work = Workdir::new();
    let path = work.write_program("nvidia-smi", "#!/bin/sh\necho 'driver/library version mismatch'\nexit 18\n");
    let environment = [("PATH", path.as_str()), ("CUDA_VISIBLE_DEVICES", "0")];
    let ran = work.run_with(["doctor"], &environment);
    assert_eq!(ran.code, 0, "runs work on the CPU\n{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("note: nvidia-smi fails: driver/library version mismatch"), "{}", ran.stdout);
    let scene = repository("sample_data/itaipu.tif").display().to_string();
    // An output that exists is refused after the device is chosen.
    work.write("labels.tif", "mine");
    let run = work.run_with(["segment", &scene, "--classes", "water; forest", "-o", "labels.tif"], &environment);
    assert!(run.stderr.contains("nvidia-smi fails: driver/library version mismatch"), "{}", run.stderr);
    let on_cpu = ["segment", &scene, "--classes", "water; forest", "--device", "cpu", "-o", "labels.tif"];
    assert!(!work.run_with(on_cpu, &environment).stderr.contains("nvidia-smi"));
}

/// The self-test's data are a part of `tests/parity/small`; with SEGEARTH_RENEW_DOCS they are written anew.
#[test]
fn data_of_the_self_test_are_those_of_the_parity_tests() {
    let folder = repository("tests/parity/small");
    let clip = segearth_checkpoint::read_clip(&folder.join("clip_openai_state_dict.pt")).expect("weights");
    let upsampler = segearth_checkpoint::read_upsampler(&folder.join("simfeatup_jbu_one.ckpt")).expect("weights");
    let visual = segearth::network::export::tensors(&clip.tensors, "visual.", Kind::Float).expect("tensors");
    let upsampler = segearth::network::export::tensors(&upsampler.tensors, "", Kind::Float).expect("tensors");
    let mut data: Vec<(String, Tensor)> = visual.into_iter().collect();
    data.extend(upsampler.into_iter().map(|(name, tensor)| (format!("upsampler.{name}"), tensor)));
    let expected = Tensor::read_safetensors(folder.join("expected.safetensors")).expect("expected tensors");
    let expected = |wanted: &str| {
        let found = expected.iter().find(|(name, _)| name == wanted);
        found.expect("an expected tensor").1.shallow_clone()
    };
    data.push(("query_features".to_owned(), expected("query_features")));
    let logits = expected("window.logits_at_stride2");
    data.push(("logits".to_owned(), logits.slice(2, 0, None, 4).slice(3, 0, None, 4).contiguous()));
    let scene = tch::vision::image::load(folder.join("scene.png")).expect("the scene");
    let window = scene.narrow(1, 0, 224).narrow(2, 0, 224).permute([1, 2, 0]).contiguous();
    data.push(("window".to_owned(), window.to_kind(Kind::Uint8)));
    let work = Workdir::new();
    Tensor::write_safetensors(&data, work.path("parity.safetensors")).expect("the file");
    let (made, kept) = (work.path("parity.safetensors"), repository("src/model/torch/parity.safetensors"));
    if std::env::var_os("SEGEARTH_RENEW_DOCS").is_some() {
        fs::copy(&made, &kept).expect("the data are written");
    }
    assert!(fs::read(made).ok() == fs::read(kept).ok(), "`make reference` renews the data of the self-test");
}
