//! The one place that knows the whole flow: a command line comes in, files and a summary go out.

mod bench;
mod change;
mod deal;
mod engine;
mod evaluate;
mod job;
mod look;
mod metrics;
mod models;
mod process;
mod provenance;
mod stop;
mod submit;
mod tally;
mod upsampler;
mod vectorize;
mod workers;

use tally::Tally;

use crate::cli::{Cli, Command, MetricsOption, RunOptions};
use crate::error::Result;
use crate::report::Reporter;
use crate::{pipeline, raster};

/// Does what the command line asks for.
pub fn run(cli: &Cli, reporter: &Reporter) -> Result<()> {
    raster::init();
    if let Some(listener) = reporter.listener() {
        raster::overhear(listener);
    }
    let trust = cli.global.trust;
    match &cli.command {
        Command::Run(args) => watched(&args.options.metrics, reporter, |tally| {
            let spec = pipeline::load(&args.job.job, &args.job.overrides())?;
            if let Some(workers) = args.options.workers {
                return workers::run(&spec, trust, workers, tally, reporter);
            }
            job::run(&spec, trust, options(&args.options), args.options.shard, tally, reporter)
        }),
        Command::Check(args) => job::check(&pipeline::load(&args.job, &args.overrides())?, trust, reporter),
        Command::Segment(args) => watched(&args.options.metrics, reporter, |tally| {
            let spec = pipeline::from_flags(&args.overrides())?;
            if let Some(workers) = args.options.workers {
                return workers::run(&spec, trust, workers, tally, reporter);
            }
            job::run(&spec, trust, options(&args.options), args.options.shard, tally, reporter)
        }),
        Command::Bench(args) => bench::run(args, trust, reporter),
        Command::Evaluate(args) => evaluate::run(args, reporter),
        Command::Change(args) => change::run(args, reporter),
        Command::Vectorize(args) => vectorize::run(args, reporter),
        Command::Merge(args) => watched(&args.metrics, reporter, |tally| {
            job::merge(&pipeline::load(&args.job.job, &args.job.overrides())?, trust, tally, reporter)
        }),
        Command::Submit(command) => submit::run(command, trust, reporter),
        Command::Schema => {
            reporter.print(&pipeline::json_schema());
            Ok(())
        }
        Command::Model(command) => models::run(command, trust, reporter),
    }
}

/// Does work that counts what it does, for a file of metrics where one is asked for.
fn watched(option: &MetricsOption, reporter: &Reporter, work: impl FnOnce(&Tally) -> Result<()>) -> Result<()> {
    let tally = Tally::default();
    metrics::watched(option.metrics.as_deref(), &tally, reporter, || work(&tally))
}

fn options(args: &RunOptions) -> engine::Options {
    let &RunOptions { memory, overwrite, allow_holes, .. } = args;
    engine::Options { memory: memory.map(|memory| memory.bytes), overwrite, allow_holes }
}
