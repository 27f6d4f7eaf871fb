//! Measuring: what is measured differs from run to run, its form does not.

use std::process::Command;

use crate::workdir::Workdir;

/// The program that measures models alone is for machines without GDAL.
#[test]
fn the_model_is_measured_without_gdal() {
    let program = env!("CARGO_BIN_EXE_segearth-model-bench");
    // The dynamic linker lists what it would load, and starts nothing.
    let listed = Command::new(program).env("LD_TRACE_LOADED_OBJECTS", "1").output().expect("the linker's list");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("libtorch") && !listed.contains("libgdal"), "{listed}");
    let work = Workdir::new();
    let measured = Command::new(program)
        .args(["--model", "mini", "--rounds", "1", "--batch", "1", "--queries", "3", "--json", "found.json"])
        .current_dir(work.path(""))
        .env("SEGEARTH_CACHE", work.path("cache"))
        .output()
        .expect("the program starts");
    assert!(measured.status.success(), "{}", String::from_utf8_lossy(&measured.stderr));
    let found = std::fs::read_to_string(work.path("found.json")).expect("figures");
    let found: serde_json::Value = serde_json::from_str(&found).expect("JSON");
    let rows: Vec<&str> =
        found["rows"].as_array().expect("rows").iter().filter_map(|row| row["what"].as_str()).collect();
    assert_eq!(rows, ["window"]);
    assert!(found["windows_per_second"].as_f64().expect("a number") > 0.0);
}
