//! `segearth bench --model-only` as a program of its own: linked without GDAL, for machines that have a GPU, libtorch and little
//! else.

use segearth::cli::Cli;
use segearth::run;

fn main() {
    run::program(Cli::read_model_bench(), run::model_bench)
}
