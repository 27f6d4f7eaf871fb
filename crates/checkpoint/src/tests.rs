use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use segearth_testing::{processor_time, shared};

use super::testing::{Pickler, file, floats, safetensors, small, tiny_sizes, torch_zip, zip};
use super::*;

mod clips;
mod hostile;
mod layouts;
mod shards;

/// A message and everything below it.
fn whole(error: &Error) -> String {
    std::iter::once(error.to_string()).chain(error.causes()).collect::<Vec<_>>().join(": ")
}

/// A CLIP of made-up weights, patch 4, under OpenAI's names.
fn tiny() -> Checkpoint {
    let mut checkpoint = Checkpoint::new(Layout::TorchZip);
    for (name, shape) in tiny_sizes().tensors() {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|index| (index * 37 % 101) as f32 + name.len() as f32).collect();
        checkpoint.tensors.insert(name, TensorData::from_f32(shape, &values).unwrap());
    }
    checkpoint
}

fn read_bytes(bytes: &[u8]) -> Result<Checkpoint> {
    read(file(bytes).path())
}

fn refused(bytes: &[u8]) -> String {
    let error = read_bytes(bytes).unwrap_err();
    assert_eq!(error.exit_code(), 1, "{}", whole(&error));
    whole(&error)
}

/// `{"name": tensor}` over one storage of four floats.
fn one_tensor(count: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let mut pickler = Pickler::new();
    pickler.op(b'}').text("w").tensor("torch FloatStorage", "0", count, offset, shape, strides).op(b's');
    torch_zip(pickler.finish(), &[("0", floats(&[1., 2., 3., 4., 5., 6.]))])
}
