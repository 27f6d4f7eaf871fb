//! The program: its command line, what does the work, the exit code.

use segearth::cli::Cli;
use segearth::run;

fn main() {
    run::program(Cli::read(), run::run)
}
