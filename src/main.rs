//! The program: its command line, what does the work, the exit code.

use std::process::ExitCode;

use segearth::cli::Cli;
use segearth::run;

fn main() -> ExitCode {
    run::program(Cli::read(), run::run)
}
