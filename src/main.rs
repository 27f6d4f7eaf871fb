//! Parses the command line, runs it, renders the error, sets the exit code; nothing else.

use std::process::ExitCode;

use segearth::cli::Cli;
use segearth::report::Reporter;

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let reporter = Reporter::new(cli.global.quiet, cli.global.verbose, cli.global.no_color);
    match segearth::run::run(&cli, &reporter) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            reporter.error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
