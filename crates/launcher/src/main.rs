//! `bin/segearth` of an installed program: answers help and version at once, and otherwise becomes the program, with the libraries and
//! data files that were installed with it.
//!
//! ```text
//!  bin/segearth                  this launcher, linked to the C library alone
//!  lib/segearth/segearth         the program
//!  lib/segearth/lib              its libraries: GDAL, libtorch
//!  lib/segearth/share/help       the help of each command, as the program prints it
//!  lib/segearth/share/{gdal,proj}
//! ```
//!
//! In a Python environment, `lib/segearth` is the package `segearth` in its `site-packages`. A program that was built and not
//! installed has no launcher and needs none.

#![expect(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, reason = "it has no other printer")]

mod help;
mod installed;
mod libtorch;

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use installed::{Installed, Problem};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Problem { message, hint }) => {
            eprintln!("error: {message}\n\nhint: {hint}");
            ExitCode::from(1)
        }
    }
}

/// Prints help, or becomes the program; returns only where that fails or help was asked for.
fn run(arguments: &[OsString]) -> Result<(), Problem> {
    if arguments == ["--version"] || arguments == ["-V"] {
        println!("segearth {}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    let launcher = std::env::current_exe().map_err(|error| {
        Problem::new(format!("cannot find this program's own file: {error}"), "Call it by its path.")
    })?;
    let installed = Installed::of(&launcher)?;
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let plain = set("NO_COLOR") || std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    let coloured = !plain && std::io::stdout().is_terminal();
    if let Some(text) = help::asked_for(arguments, &installed.help(), coloured) {
        // A reader that went away (`| head`) is no fault.
        let _ = std::io::stdout().write_all(&text);
        return Ok(());
    }
    let mut command = Command::new(installed.program());
    command.args(arguments);
    for (name, value) in installed.environment(&launcher, &|name| std::env::var_os(name))? {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let error = command.exec();
    let program = installed.program();
    Err(Problem::new(format!("cannot start {}: {error}", program.display()), "Install segearth again."))
}
