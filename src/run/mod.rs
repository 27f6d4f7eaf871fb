//! The one place that knows the whole flow: a command line comes in, files and a summary go out.

mod bench;
mod change;
mod deal;
mod engine;
mod evaluate;
mod job;
mod look;
mod models;
mod process;
mod provenance;
mod stop;
mod submit;
mod upsampler;
mod vectorize;

use crate::cli::{Cli, Command, RunOptions};
use crate::error::Result;
use crate::pipeline;
use crate::report::Reporter;

/// Does what the command line asks for.
pub fn run(cli: &Cli, reporter: &Reporter) -> Result<()> {
    crate::raster::init();
    match &cli.command {
        Command::Run(args) => {
            let spec = pipeline::load(&args.job.job, &args.job.overrides())?;
            job::run(&spec, cli.global.trust, options(&args.options), args.options.shard, reporter)
        }
        Command::Check(args) => job::check(&pipeline::load(&args.job, &args.overrides())?, cli.global.trust, reporter),
        Command::Segment(args) => {
            let spec = pipeline::from_flags(&args.overrides())?;
            job::run(&spec, cli.global.trust, options(&args.options), args.options.shard, reporter)
        }
        Command::Bench(args) => bench::run(args, cli.global.trust, reporter),
        Command::Evaluate(args) => evaluate::run(args, reporter),
        Command::Change(args) => change::run(args, reporter),
        Command::Vectorize(args) => vectorize::run(args, reporter),
        Command::Merge(args) => job::merge(&pipeline::load(&args.job, &args.overrides())?, cli.global.trust, reporter),
        Command::Submit(command) => submit::run(command, cli.global.trust, reporter),
        Command::Schema => {
            reporter.print(&pipeline::json_schema());
            Ok(())
        }
        Command::Model(command) => models::run(command, cli.global.trust, reporter),
    }
}

fn options(args: &RunOptions) -> engine::Options {
    let &RunOptions { memory, overwrite, allow_holes, .. } = args;
    engine::Options { memory: memory.map(|memory| memory.bytes), overwrite, allow_holes }
}
