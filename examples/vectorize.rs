//! `segearth vectorize` with time and peak memory: to be measured by hand.
//!
//! `cargo run --release --example vectorize -- LABELS.tif --recipe buildings -o OUT.gpkg`

use std::time::Instant;

use clap::Parser;
use segearth::cli::VectorizeArgs;
use segearth::vector::vectorize;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    arguments: VectorizeArgs,
}

fn main() {
    let command = Command::parse();
    let begin = Instant::now();
    let VectorizeArgs { labels, scores, output, .. } = &command.arguments;
    match vectorize(labels, scores.as_deref(), command.arguments.recipe(), output, &command.arguments.options()) {
        Ok(summary) => {
            for class in &summary.classes {
                println!(
                    "{:>5} {:<20} {:>10} polygons {:>20.3} m²",
                    class.index, class.name, class.polygons, class.area
                );
            }
            summary.notes.iter().for_each(|note| println!("note: {note}"));
            let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
            let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("peak memory unknown");
            println!("{} polygons in {:.1} s, {peak}", summary.polygons, begin.elapsed().as_secs_f64());
        }
        Err(error) => {
            eprintln!("error: {error}: {:?}\nhint: {:?}", error.causes(), error.hint());
            std::process::exit(i32::from(error.exit_code()));
        }
    }
}
