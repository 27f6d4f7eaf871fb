//! The one place that knows the whole flow: a command line comes in, files and a summary go out.

mod bench;
mod change;
mod change_report;
mod doctor;
mod embed;
mod engine;
mod evaluate;
mod exit;
mod job;
mod learn;
mod learnt;
mod local_images;
mod lookup;
mod metrics;
mod models;
mod partition;
mod prepared;
mod process;
mod provenance;
mod reproduce;
mod results;
mod run_metrics;
mod search;
mod serve;
mod stop;
mod stores;
mod submit;
mod suggestions;
mod upsampler;
mod vectorize;
mod watch;
mod workers;

use std::path::Path;

use crate::cli::{
    Cli, CliExit, Command, MetricsOption, ReferencePage, RunOptions, Shell, command_json, command_reference,
    completions, help_texts, manual_pages,
};
use crate::error::{Context as _, Error, Result};
use crate::outputs::Existing;
use crate::report::{Reporter, ReporterOptions};
use crate::{atomic, pipeline, raster};
use prepared::Options;
use run_metrics::RunMetrics;

/// Runs a program from its command line to its end; `work` runs the command.
pub fn program(read: Result<Cli, CliExit>, work: impl FnOnce(&Cli, &Reporter) -> Result<()>) -> ! {
    exit::at_once(outcome(read, work))
}

/// The exit code.
fn outcome(read: Result<Cli, CliExit>, work: impl FnOnce(&Cli, &Reporter) -> Result<()>) -> u8 {
    let (reporter, outcome) = match read {
        Ok(cli) => {
            let (quiet, verbosity, no_colour) = (cli.global.quiet, cli.global.verbose, cli.global.no_color);
            let reporter = Reporter::new(ReporterOptions { quiet, verbosity, no_colour, json: cli.global.json() });
            reporter.take_panics();
            let outcome = work(&cli, &reporter);
            (reporter, outcome)
        }
        Err(CliExit::Printed(code)) => return code,
        Err(CliExit::Error { error, json }) => {
            (Reporter::new(ReporterOptions { json, ..ReporterOptions::default() }), Err(error))
        }
    };
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            reporter.error(&error);
            error.exit_code()
        }
    }
}

/// Runs the command.
pub fn run(cli: &Cli, reporter: &Reporter) -> Result<()> {
    raster::init();
    if let Some(gdal_message_handler) = reporter.gdal_message_handler() {
        raster::set_gdal_message_handler(gdal_message_handler);
    }
    let trust = cli.global.trust;
    match &cli.command {
        Command::Run(args) => {
            run_job(&args.options, trust, reporter, || pipeline::load(&args.job.job, &args.job.overrides()))
        }
        Command::Check(args) => {
            let existing = if args.overwrite { Existing::Replace } else { Existing::Refuse };
            job::check(&pipeline::load(&args.job.job, &args.job.overrides())?, trust, existing, reporter)
        }
        Command::Segment(args) => {
            run_job(&args.options, trust, reporter, || pipeline::from_flags(&embed::with_stored_options(args)?))
        }
        Command::Embed(args) => embed::run(args, trust, reporter),
        Command::Search(args) => search::run(args, trust, reporter),
        Command::Serve(args) => serve::run(args, trust, reporter),
        Command::Bench(args) => bench::run(args, trust, reporter),
        Command::Doctor(args) => doctor::run(*args, reporter),
        Command::Learn(args) => learn::run(args, trust, reporter),
        Command::Evaluate(args) => evaluate::run(args, reporter),
        Command::Reproduce(args) => watched(&args.options.metrics, reporter, |metrics| {
            reproduce::run(args, trust, options(&args.options), metrics, reporter)
        }),
        Command::Change(args) => change::run(args, reporter),
        Command::Vectorize(args) => vectorize::run(args, reporter),
        Command::Merge(args) => watched(&args.metrics, reporter, |metrics| {
            let options = Options { overwrite: args.overwrite, ..Options::default() };
            job::merge_shards(&pipeline::load(&args.job.job, &args.job.overrides())?, trust, options, metrics, reporter)
        }),
        Command::Submit(command) => submit::run(command, trust, reporter),
        Command::Schema => {
            reporter.print(&pipeline::json_schema());
            Ok(())
        }
        Command::Reference(args) => {
            let page = match args.page {
                ReferencePage::Jobs => pipeline::key_reference(),
                ReferencePage::Commands => command_reference(),
                ReferencePage::Bash => completions(Shell::Bash),
                ReferencePage::Zsh => completions(Shell::Zsh),
                ReferencePage::Fish => completions(Shell::Fish),
                ReferencePage::Man => return write_pages(&manual_pages(), args.to.as_deref()),
                ReferencePage::Help => return write_pages(&help_texts(), args.to.as_deref()),
                ReferencePage::Json => command_json()?,
            };
            reporter.print(&page);
            Ok(())
        }
        Command::Model(command) => models::run(command, trust, reporter),
    }
}

/// Runs a job in this process, or in several on this machine.
fn run_job(
    args: &RunOptions,
    trust: bool,
    reporter: &Reporter,
    spec: impl FnOnce() -> Result<pipeline::Spec>,
) -> Result<()> {
    watched(&args.metrics, reporter, |metrics| {
        let spec = spec()?;
        match args.workers {
            Some(workers) => workers::run(&spec, trust, workers, args.overwrite, metrics, reporter),
            None => job::run(&spec, trust, options(args), args.shard, metrics, reporter),
        }
    })
}

/// Writes files to a folder.
fn write_pages(pages: &[(String, Vec<u8>)], folder: Option<&Path>) -> Result<()> {
    let folder = folder.unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).input(|| format!("cannot make the folder {}", folder.display()))?;
    pages.iter().try_for_each(|(name, page)| atomic::write_file(&folder.join(name), page))
}

/// Runs work that counts what it does, and writes the metrics file if there is one.
fn watched(option: &MetricsOption, reporter: &Reporter, work: impl FnOnce(&RunMetrics) -> Result<()>) -> Result<()> {
    let metrics = RunMetrics::default();
    metrics::watched(option.metrics.as_deref(), &metrics, reporter, || work(&metrics))
}

/// Benchmarks the model alone, without GDAL.
pub fn model_bench(cli: &Cli, reporter: &Reporter) -> Result<()> {
    match &cli.command {
        Command::Bench(args) if args.model_only => bench::run_model_only(args, cli.global.trust, reporter),
        _ => Err(Error::internal("this program measures models and does nothing else")),
    }
}

fn options(args: &RunOptions) -> Options {
    let &RunOptions { memory, overwrite, allow_failed_windows, .. } = args;
    Options { memory: memory.map(|memory| memory.bytes), overwrite, allow_failed_windows }
}
