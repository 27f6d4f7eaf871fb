//! `segearth doctor`: what this installation is, whether it works, and what a bug report should hold.

mod environment;
mod folders;
mod selftest;
mod system;

use serde_json::json;

use crate::cli::DoctorArgs;
use crate::error::{Error, Result};
use crate::model::gpu::{Driver, GpuFacts, Smi, gpu_facts};
use crate::model::torch::{Device, torch_facts};
use crate::raster;
use crate::report::{DoctorReport, Reporter};

/// The libtorch that the program is made for.
const LIBTORCH: &str = "2.11.";

/// Checks the installation and prints the report.
///
/// # Errors
/// Something that a run needs does not work.
pub fn run(args: DoctorArgs, reporter: &Reporter) -> Result<()> {
    let mut report = DoctorReport::default();
    system::check(&mut report);
    let devices = libraries(&mut report);
    folders::check(&mut report);
    environment::list(&mut report);
    selftest::models(&mut report);
    selftest::check(&devices, &mut report);
    reporter.doctor(&report, args.json);
    let errors: Vec<_> = report.errors().collect();
    let Some(first) = errors.first() else { return Ok(()) };
    let more = match errors.len() {
        1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    Err(Error::input(format!("this installation does not work: {}{more}", first.message)).with_hint(first.hint.clone()))
}

/// GDAL, libtorch and devices; returns the devices that can be used.
fn libraries(report: &mut DoctorReport) -> Vec<Device> {
    report.section("libraries");
    gdal(report);
    let torch = torch_facts();
    let version = torch.version.as_deref().unwrap_or("of an unknown version");
    let instructions = torch.instructions.as_deref().unwrap_or("unknown");
    report.valued_fact(
        "libtorch",
        format!("{version}, {instructions}, {} threads", torch.threads),
        json!({ "version": torch.version, "instructions": torch.instructions, "threads": torch.threads }),
    );
    if let Some(file) = &torch.file {
        report.fact("libtorch file", file.display().to_string());
    }
    if torch.version.is_some() && !version.starts_with(LIBTORCH) {
        report.note(
            format!("libtorch is {version}; the program is made for {LIBTORCH}0"),
            "Unset LD_LIBRARY_PATH and SEGEARTH_LIBTORCH, or let them name a libtorch 2.11.",
        );
    }
    let facts = gpu_facts();
    gpu(&facts, report);
    [Device::Cpu].into_iter().chain((0..facts.usable).map(Device::Cuda)).collect()
}

fn gdal(report: &mut DoctorReport) {
    let gdal = raster::gdal_facts();
    report.valued_fact(
        "GDAL",
        format!("{}, PROJ {}", gdal.version, gdal.proj),
        json!({ "version": gdal.version, "proj": gdal.proj }),
    );
    report.valued_fact("GDAL drivers", gdal.drivers.join(", "), json!(gdal.drivers));
    let missing: Vec<String> = gdal.missing.iter().map(|(name, purpose)| format!("{name} ({purpose})")).collect();
    if !missing.is_empty() {
        let names: Vec<&str> = gdal.missing.iter().map(|(name, _)| *name).collect();
        report.valued_fact("GDAL lacks", missing.join(", "), json!(names));
    }
    report.valued_fact("compressions", gdal.compressions.join(", "), json!(gdal.compressions));
    if !gdal.broken.is_empty() {
        report.error(
            format!("this GDAL lacks the drivers {}", gdal.broken.join(", ")),
            "Install a GDAL with its usual drivers; GDAL_SKIP and GDAL_DRIVER_PATH must not hide them.",
        );
    }
    if let Some(cause) = gdal.crs_failure {
        report.error(
            format!("CRSs cannot be looked up: {cause}"),
            "PROJ finds no proj.db, or one of another version: unset PROJ_DATA and PROJ_LIB, or let them name the folder of PROJ's own.",
        );
    }
}

fn gpu(facts: &GpuFacts, report: &mut DoctorReport) {
    report.section("devices");
    report.fact("cpu", system::processor());
    let (driver, gpus) = match &facts.driver {
        Driver::Absent => ("none".to_owned(), Vec::new()),
        Driver::Failed(why) => (format!("does not start: {why}"), Vec::new()),
        Driver::Loaded { cuda: (major, minor), gpus } => (format!("supports CUDA {major}.{minor}"), gpus.clone()),
    };
    for (index, (name, bytes)) in gpus.iter().enumerate() {
        let use_ = if index < facts.usable { "" } else { ", cannot be used" };
        let gigabytes = *bytes as f64 / 1e9;
        report.valued_fact(
            &format!("cuda:{index}"),
            format!("{name}, {gigabytes:.1} GB{use_}"),
            json!({ "name": name, "memory": bytes, "usable": index < facts.usable }),
        );
    }
    report.fact("NVIDIA driver", driver);
    match &facts.smi {
        Smi::Absent => report.fact("nvidia-smi", "none"),
        Smi::Failed(why) => report.fact("nvidia-smi", format!("fails: {why}")),
        Smi::Listed(lines) => report.valued_fact("nvidia-smi", lines.join("\n"), json!(lines)),
    }
    report.fact("libtorch's CUDA half", if facts.has_cuda_half { "loaded" } else { "not loaded" });
    report.fact("auto takes", if facts.usable > 0 { "cuda:0" } else { "cpu" });
    if let Some(problem) = facts.problem() {
        report.note(format!("{}; `--device auto` takes the CPU", problem.message), problem.hint);
    }
}
