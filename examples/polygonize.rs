//! Polygonises a label raster and prints time and peak memory: to be compared with `gdal_polygonize` by hand.
//!
//! `cargo run --release --example polygonize -- LABELS.tif OUT.gpkg [4|8]`

use std::path::PathBuf;
use std::time::Instant;

use segearth::vector::{Connectedness, Options, polygonize};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, labels, out, rest @ ..] = arguments.as_slice() else {
        eprintln!("usage: polygonize LABELS OUT [4|8]");
        std::process::exit(1);
    };
    let eight = rest.first().is_some_and(|given| given == "8");
    let connectedness = if eight { Connectedness::Eight } else { Connectedness::Four };
    let options = Options { connectedness, ..Options::default() };
    let begin = Instant::now();
    match polygonize(&PathBuf::from(labels), None, &[], &[], &PathBuf::from(out), &options) {
        Ok(summary) => {
            for class in &summary.classes {
                println!(
                    "{:>5} {:<20} {:>10} polygons {:>20.3} m²",
                    class.index, class.name, class.polygons, class.area
                );
            }
            println!("{} polygons in {:.1} s, peak memory {}", summary.polygons, begin.elapsed().as_secs_f64(), peak());
        }
        Err(error) => {
            eprintln!("error: {error}: {:?}", error.causes());
            std::process::exit(i32::from(error.exit_code()));
        }
    }
}

/// The most memory this process ever held, where the system tells.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or_else(|| "unknown".into(), |line| line.trim().to_string())
}
