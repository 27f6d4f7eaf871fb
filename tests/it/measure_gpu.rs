//! The script that measures a GPU, with a program, a driver's tool and a profiler that only look so: what one run lacks costs no other
//! run its figures.

use std::fs;
use std::process::Command;

use segearth_testing::skipped;
use serde_json::Value;

use crate::workdir::{Ran, Workdir, repository};

/// Figures for each batch but 256, for which memory is too small, and 128, which fails; the model `mini` runs where `GPU` is set.
const PROGRAM: &str = r#"#!/bin/bash
batch=4 threads=2
while [ $# -gt 0 ]; do
  case "$1" in --batch) batch=$2 ;; --threads) threads=$2 ;; --json) json=$2 ;; --model) model=$2 ;; esac
  shift
done
[ "$model" != mini ] || [ -n "$GPU" ] || { echo "error: device cuda:0 is not available: no driver" >&2; exit 1; }
case "$batch" in
  256) echo "error: CUDA out of memory. Tried to allocate 20.00 GiB" >&2; exit 1 ;;
  128) echo "error: a defect" >&2; exit 2 ;;
esac
sleep 0.05
[ -z "$json" ] || echo "{\"precision\": \"fp16\", \"batch\": $batch, \"threads\": $threads, \"windows_per_second\": ${batch}0.5,
  \"peak_memory\": 2e9, \"processor\": \"a processor\", \"labels_equal\": 0.9995, \"window_to_half\": [0.9, 1.0]}" >"$json"
"#;
/// Every second line lacks what cards shared by several users do not tell.
const DRIVER: &str = r#"#!/bin/bash
echo 'timestamp, name, driver_version, utilization.gpu [%], memory.used [MiB], power.draw [W], clocks.current.sm [MHz]'
while sleep 0.02; do
  now=$(date '+%Y/%m/%d %H:%M:%S.%3N')
  echo "$now, A card, 580.65.06, 97 %, 2048 MiB, [N/A], 1980 MHz"
  echo "$now, A card, 580.65.06, [N/A], [N/A], [N/A], [N/A]"
done
"#;
const PROFILER: &str = r#"#!/bin/bash
[ "$1" != stats ] || printf 'Processing\n\nTime (%%),Total Time (ns),Instances,Name\n61.5,1000,12,"void product<a, b>(x)"\n'
"#;

/// Runs the script, which is to fail; `None` where there is no python3.
fn measured(work: &Workdir, gpu: &str) -> Option<Ran> {
    if !Command::new("python3").args(["-c", "pass"]).status().is_ok_and(|status| status.success()) {
        skipped("no python3");
        return None;
    }
    let programs = [("program", PROGRAM), ("nvidia-smi", DRIVER), ("nsys", PROFILER)];
    let [path, ..] = programs.map(|(name, content)| work.write_program(name, content));
    for name in ["torch/lib/libtorch_cpu.so", "torch/lib/libtorch_cuda.so"] {
        work.write(name, "");
    }
    let output = Command::new("bash")
        .arg(repository("scripts/measure-gpu.sh"))
        .args(["--program", "bin/program", "--out", "out"])
        .current_dir(work.path(""))
        .env("PATH", path)
        .env("LIBTORCH", work.path("torch"))
        .env("GPU", gpu)
        .output()
        .expect("bash starts");
    let ran = Ran::from(output);
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    Some(ran)
}

#[test]
fn what_does_not_fit_is_left_out_and_what_fails_is_said() {
    let work = Workdir::new();
    if measured(&work, "1").is_none() {
        return;
    }
    let record = fs::read_to_string(work.path("out/measure.json")).expect("figures");
    let record: Value = serde_json::from_str(&record).expect("JSON");
    assert_eq!(record["gpu"]["driver"], "580.65.06");
    // Two batches of 128 fail; both of 256 are left out and are no failure.
    assert_eq!(record["failed"], 2, "{record}");
    let runs = &record["runs"];
    assert_eq!(runs["b16-fp16-256"]["status"], "left out");
    assert_eq!(runs["b16-fp16-256"]["reason"], "out of memory");
    assert_eq!(runs["b16-fp16-128"]["reason"], "a defect");
    assert_eq!(runs["l14-fp16-64"]["windows_per_second"], 640.5);
    assert_eq!(runs["b16-fp16-64"]["gpu_memory_mib"], 2048.0);
    assert_eq!(runs["b16-fp16-64"]["gpu_busy_percent"], 97.0);
    assert!(runs["cpu-threads-1"].get("gpu_memory_mib").is_none(), "{record}");
    assert_eq!(record["kernels"][0]["Name"], "void product<a, b>(x)");
    let table = fs::read_to_string(work.path("out/measure.md")).expect("the table");
    for part in [
        "| b16-fp16-256 | left out: out of memory |",
        "| b16-fp16-64 | fp16 | 64 |",
        "`void product<a, b>(x)` | 61.5 %",
    ] {
        assert!(table.contains(part), "no {part} in\n{table}");
    }
}

#[test]
fn gpu_that_cannot_be_used_is_said_at_once() {
    let work = Workdir::new();
    let Some(ran) = measured(&work, "") else { return };
    assert!(ran.stderr.contains("error: device cuda:0 is not available: no driver"), "{}", ran.stderr);
    assert!(ran.stderr.contains("A card, 580.65.06") || ran.stderr.contains("needs a driver"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("b16-fp16-8"), "{}", ran.stderr);
}
