//! The words of `segearth doctor` on the command line.

use clap::Args;

/// Check this installation, and print what a bug report should hold
///
/// Prints versions, devices, folders and variables, without secrets, and runs a self-test of a second. Exit code 1 where something that a run needs does not work.
#[derive(Args, Clone, Copy, Debug)]
pub struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
