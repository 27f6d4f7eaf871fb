//! Why a GPU cannot be used here, or which there are: NVIDIA's driver, `nvidia-smi` and libtorch's CUDA half, asked separately.

#![expect(unsafe_code, reason = "calls to the driver's C interface")]

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::cuda;
use super::torch::cuda_devices;

/// CUDA of the libtorch that the project fetches, and the first driver that supports it.
const CUDA: (u32, u32) = (13, 0);
const CUDA_DRIVER: &str = "580";
/// How long `nvidia-smi` may take: with a driver that hangs, it hangs too.
const SMI_TIME: Duration = Duration::from_secs(5);

/// What `nvidia-smi` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Smi {
    Absent,
    Failed(String),
    /// Name, driver and memory of each GPU, a line each.
    Listed(Vec<String>),
}

/// What NVIDIA's driver says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Driver {
    Absent,
    Failed(String),
    /// The CUDA that it supports, and name and bytes of each GPU.
    Loaded {
        cuda: (u32, u32),
        gpus: Vec<(String, u64)>,
    },
}

/// All that decides whether a GPU can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuFacts {
    pub smi: Smi,
    pub driver: Driver,
    /// libtorch's CUDA half could be loaded.
    pub has_cuda_half: bool,
    /// GPUs that libtorch can use.
    pub usable: usize,
    /// `CUDA_VISIBLE_DEVICES` hides every GPU.
    pub hidden: bool,
}

/// A GPU, or what belongs to one, is here and cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuProblem {
    /// Without a full stop.
    pub message: String,
    /// A full sentence.
    pub hint: String,
}

/// Looks for GPUs. Takes milliseconds where there is no driver, up to some seconds where there is one.
pub fn gpu_facts() -> GpuFacts {
    let has_cuda_half = cuda::open();
    let hidden = std::env::var("CUDA_VISIBLE_DEVICES").is_ok_and(|value| matches!(value.trim(), "" | "-1"));
    GpuFacts { smi: ask_smi(), driver: ask_driver(), has_cuda_half, usable: cuda_devices(), hidden }
}

impl GpuFacts {
    /// Why no GPU can be used although there are signs of one; `None` where one can be used or there is no sign.
    pub fn problem(&self) -> Option<GpuProblem> {
        if self.usable > 0 || self.hidden {
            return None;
        }
        let (message, hint) = match (&self.smi, &self.driver) {
            (Smi::Absent, Driver::Absent) => return None,
            (Smi::Failed(why), _) => (
                format!("nvidia-smi fails: {why}"),
                "Repair NVIDIA's driver; after an update of it, restart the machine.".to_owned(),
            ),
            (_, Driver::Failed(why)) => {
                (format!("NVIDIA's driver does not start: {why}"), "Repair or update the driver.".to_owned())
            }
            (Smi::Listed(_), Driver::Absent) => (
                "nvidia-smi lists a GPU, but the driver's libcuda.so.1 cannot be loaded".to_owned(),
                "In a container, give it the GPU (`docker run --gpus all`, `apptainer --nv`); elsewhere install the driver's libraries."
                    .to_owned(),
            ),
            (_, Driver::Loaded { cuda, .. }) if *cuda < CUDA => (
                format!("NVIDIA's driver supports CUDA {}.{}; libtorch needs {}.{}", cuda.0, cuda.1, CUDA.0, CUDA.1),
                format!("Update the driver to {CUDA_DRIVER} or later."),
            ),
            (_, Driver::Loaded { gpus, .. }) if gpus.is_empty() => return None,
            (_, Driver::Loaded { .. }) if !self.has_cuda_half => (
                "a GPU is here, but libtorch's CUDA half is not".to_owned(),
                "Name a torch 2.11 with CUDA in SEGEARTH_LIBTORCH, or build with `make build CUDA=1`.".to_owned(),
            ),
            (_, Driver::Loaded { .. }) => (
                "a GPU is here, but libtorch cannot use it".to_owned(),
                "Compare the driver with the CUDA of libtorch: `segearth doctor` prints both.".to_owned(),
            ),
        };
        Some(GpuProblem { message, hint })
    }
}

/// A program of the search path.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn ask_smi() -> Smi {
    let Some(program) = on_path("nvidia-smi") else { return Smi::Absent };
    let started = Command::new(program)
        .args(["--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => return Smi::Failed(error.to_string()),
    };
    if !ends_within(&mut child, SMI_TIME) {
        let _ = child.kill();
        let _ = child.wait();
        return Smi::Failed(format!("it does not end within {} s", SMI_TIME.as_secs()));
    }
    match child.wait_with_output() {
        Err(error) => Smi::Failed(error.to_string()),
        Ok(output) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
            let (out, err) = (text(&output.stdout), text(&output.stderr));
            if output.status.success() {
                return Smi::Listed(out.lines().map(str::to_owned).collect());
            }
            let said = [err, out].into_iter().find(|text| !text.is_empty());
            let first = said.and_then(|text| text.lines().next().map(str::to_owned));
            Smi::Failed(first.unwrap_or_else(|| output.status.to_string()))
        }
    }
}

fn ends_within(child: &mut Child, time: Duration) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < time {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(10)),
            _ => return true,
        }
    }
    false
}

fn ask_driver() -> Driver {
    // SAFETY: the driver's initialisers are made for any program. Loaded by `cuda::open` before, where it is there.
    let Ok(library) = (unsafe { Library::open(Some("libcuda.so.1"), RTLD_NOW | RTLD_LOCAL) }) else {
        return Driver::Absent;
    };
    // The driver keeps threads; it is never unloaded.
    let library = std::mem::ManuallyDrop::new(library);
    ask_library(&library).unwrap_or_else(Driver::Failed)
}

fn ask_library(library: &Library) -> Result<Driver, String> {
    type Init = unsafe extern "C" fn(c_uint) -> c_int;
    type Number = unsafe extern "C" fn(*mut c_int) -> c_int;
    type Get = unsafe extern "C" fn(*mut c_int, c_int) -> c_int;
    type Name = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;
    type Memory = unsafe extern "C" fn(*mut usize, c_int) -> c_int;
    let checked = |what: &str, status: c_int| match status {
        0 => Ok(()),
        _ => Err(format!("{what} returns error {status}")),
    };
    let missing = |error: libloading::Error| error.to_string();
    // SAFETY: the types are those of the driver's interface (cuda.h), which has kept them since CUDA 3.2; every pointer is to a
    // value that lives over the call, and names have the length that is passed.
    unsafe {
        let init = library.get::<Init>(b"cuInit\0").map_err(missing)?;
        let version = library.get::<Number>(b"cuDriverGetVersion\0").map_err(missing)?;
        let count = library.get::<Number>(b"cuDeviceGetCount\0").map_err(missing)?;
        let get = library.get::<Get>(b"cuDeviceGet\0").map_err(missing)?;
        let name = library.get::<Name>(b"cuDeviceGetName\0").map_err(missing)?;
        let memory = library.get::<Memory>(b"cuDeviceTotalMem_v2\0").map_err(missing)?;
        let mut number = 0;
        checked("cuDriverGetVersion", version(&raw mut number))?;
        let cuda = u32::try_from(number).unwrap_or(0);
        let cuda = (cuda / 1000, cuda % 1000 / 10);
        let mut gpus = Vec::new();
        match init(0) {
            // No device.
            100 => return Ok(Driver::Loaded { cuda, gpus }),
            status => checked("cuInit", status)?,
        }
        let mut devices = 0;
        checked("cuDeviceGetCount", count(&raw mut devices))?;
        for index in 0..devices {
            let (mut device, mut bytes) = (0, 0usize);
            let mut text: [c_char; 256] = [0; 256];
            checked("cuDeviceGet", get(&raw mut device, index))?;
            checked("cuDeviceGetName", name(text.as_mut_ptr(), 255, device))?;
            checked("cuDeviceTotalMem", memory(&raw mut bytes, device))?;
            gpus.push((CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned(), bytes as u64));
        }
        Ok(Driver::Loaded { cuda, gpus })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(smi: Smi, driver: Driver) -> GpuFacts {
        GpuFacts { smi, driver, has_cuda_half: false, usable: 0, hidden: false }
    }

    fn loaded(cuda: (u32, u32)) -> Driver {
        Driver::Loaded { cuda, gpus: vec![("H200".to_owned(), 150 << 30)] }
    }

    #[test]
    fn gpus_that_cannot_be_used_are_explained() {
        let listed = || Smi::Listed(vec!["H200, 580.1, 143771 MiB".to_owned()]);
        for (facts, part) in [
            (facts(Smi::Failed("no devices".to_owned()), Driver::Absent), "nvidia-smi fails: no devices"),
            (facts(listed(), Driver::Failed("cuInit returns error 803".to_owned())), "error 803"),
            (facts(listed(), Driver::Absent), "libcuda.so.1"),
            (facts(listed(), loaded((12, 4))), "supports CUDA 12.4; libtorch needs 13.0"),
            (facts(Smi::Absent, loaded((13, 0))), "CUDA half is not"),
            (GpuFacts { has_cuda_half: true, ..facts(listed(), loaded((13, 1))) }, "cannot use it"),
        ] {
            let problem = facts.problem().unwrap();
            assert!(problem.message.contains(part), "{problem:?}");
            assert!(problem.hint.ends_with('.'), "{problem:?}");
            assert_eq!(GpuFacts { hidden: true, ..facts.clone() }.problem(), None, "the user hides it");
            assert_eq!(GpuFacts { usable: 1, ..facts }.problem(), None);
        }
    }

    #[test]
    fn machines_without_a_gpu_have_no_problem() {
        assert_eq!(facts(Smi::Absent, Driver::Absent).problem(), None);
        let empty = Driver::Loaded { cuda: (13, 0), gpus: Vec::new() };
        assert_eq!(facts(Smi::Listed(Vec::new()), empty).problem(), None);
    }
}
