//! Parses the command line, runs it, renders the error, sets the exit code; nothing else.

use std::process::ExitCode;

use segearth::cli::{Cli, Unread};
use segearth::report::{Manner, Reporter};

fn main() -> ExitCode {
    let (reporter, outcome) = match Cli::read() {
        Ok(cli) => {
            let (quiet, verbosity, no_colour) = (cli.global.quiet, cli.global.verbose, cli.global.no_color);
            let reporter = Reporter::new(Manner { quiet, verbosity, no_colour, json: cli.global.json() });
            reporter.take_panics();
            let outcome = segearth::run::run(&cli, &reporter);
            (reporter, outcome)
        }
        Err(Unread::Said(code)) => return code,
        Err(Unread::Fault { error, json }) => (Reporter::new(Manner { json, ..Manner::default() }), Err(error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            reporter.error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
