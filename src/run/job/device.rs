//! The device that a job computes on. Never silently the CPU: what `auto` resolves to is reported, and a device that was named is
//! used or refused.

use crate::error::{Error, Result};
use crate::model::gpu::gpu_facts;
use crate::model::registry::Model;
use crate::model::torch::{Device, cuda_devices};
use crate::pipeline::DeviceChoice;
use crate::report::Reporter;

/// The device of a job with this model.
pub fn resolve(choice: DeviceChoice, model: &Model, reporter: &Reporter) -> Result<Device> {
    match (choice, model) {
        (DeviceChoice::Cuda(index), Model::Fake(_)) => {
            Err(Error::input(format!("device cuda:{index} is not available: the fake models run on the CPU only"))
                .with_hint("Use --device cpu or auto, or name a model with weights."))
        }
        (_, Model::Fake(_)) => Ok(Device::Cpu),
        _ => usable(choice, reporter),
    }
}

/// As [`resolve`], for a model with weights.
pub fn usable(choice: DeviceChoice, reporter: &Reporter) -> Result<Device> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Auto => {
            let device = if cuda_devices() > 0 { Device::Cuda(0) } else { Device::Cpu };
            reporter.note(&format!("using {device} (auto)."));
            // Where there is a GPU that cannot be used, its owner waits for it in vain.
            if device == Device::Cpu
                && let Some(problem) = gpu_facts().problem()
            {
                reporter.note(&format!("{}. {} `--device cpu` leaves out this note.", problem.message, problem.hint));
            }
            Ok(device)
        }
        DeviceChoice::Cuda(index) => match cuda_devices() {
            0 => Err(Error::input(format!("device cuda:{index} is not available: no CUDA device can be used here"))
                .with_hint(
                    "Use --device cpu or auto; a GPU needs its driver and libtorch's CUDA half (`make setup CUDA=1`).",
                )),
            count if index < count => Ok(Device::Cuda(index)),
            count => Err(Error::input(format!(
                "device cuda:{index} is not available: there are cuda:0 to cuda:{}",
                count - 1
            ))
            .with_hint("Devices are counted from 0.")),
        },
    }
}
