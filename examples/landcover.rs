//! Writes a label map as a simplified coverage and prints time and peak memory: to be checked by hand.
//!
//! `cargo run --release --example landcover -- LABELS.tif OUT.gpkg [TOLERANCE in metres] [smooth]`

use std::path::PathBuf;
use std::time::Instant;

use segearth::vector::{LabelSource, LandcoverOptions, landcover};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, labels, out, rest @ ..] = arguments.as_slice() else {
        eprintln!("usage: landcover LABELS OUT [TOLERANCE] [smooth]");
        std::process::exit(1);
    };
    let options = LandcoverOptions {
        tolerance: rest.first().and_then(|given| given.parse().ok()),
        smooth: rest.get(1).is_some_and(|given| given == "smooth"),
        target_crs: None,
        layer_per_class: false,
    };
    let begin = Instant::now();
    let source = LabelSource::open(&PathBuf::from(labels)).expect("labels");
    let summary = landcover(&source, None, &[], &[], &PathBuf::from(out), &options).expect("result");
    let area: f64 = summary.classes.iter().map(|class| class.area).sum();
    println!("{} polygons, {area} m², {:.1} s", summary.polygons, begin.elapsed().as_secs_f64());
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("peak memory unknown"));
}
