//! Reads the numbers of a tensor that a pickle describes, after comparing the description with the size of the storage.

use flate2::Crc;
use segearth_error::{Context, Error, Result};

use super::pickle::Tensor;
use super::source::{ByteSource, Extent};
use super::tensor::TensorData;
use super::{Checkpoint, MAX_TENSOR_BYTES};

/// Longest name of a tensor, in bytes.
const MAX_NAME: usize = 512;
/// Tensors may share a storage (tied weights), so that their sum may exceed the size of the file, up to this factor.
const SHARING: u64 = 4;

const DAMAGED: &str = "The file is damaged or malicious: download it again from its publisher.";

/// Reads tensors one by one and limits their total size.
pub struct Loader<'a> {
    source: &'a ByteSource,
    left: u64,
}

impl<'a> Loader<'a> {
    pub fn new(source: &'a ByteSource) -> Self {
        Self { source, left: source.len().saturating_mul(SHARING).min(MAX_TENSOR_BYTES) }
    }

    /// Reads one tensor into the checkpoint. `checksum`: the CRC-32 of the whole storage, where it is known.
    pub fn load(
        &mut self,
        checkpoint: &mut Checkpoint,
        name: String,
        tensor: &Tensor,
        storage: Extent,
        checksum: Option<u32>,
    ) -> Result<()> {
        check_name(&name)?;
        let data = self.read(tensor, storage, checksum).input(|| format!("cannot read the tensor {name:?}"))?;
        checkpoint.tensors.insert(name, data);
        Ok(())
    }

    fn read(&mut self, tensor: &Tensor, storage: Extent, checksum: Option<u32>) -> Result<TensorData> {
        let size = tensor.dtype.size() as u64;
        let available = storage.len / size;
        let beyond = || {
            Error::input(format!(
                "shape {:?}, strides {:?} and offset {} exceed the {available} numbers of its storage",
                tensor.shape, tensor.strides, tensor.offset
            ))
            .with_hint(DAMAGED)
        };
        let count =
            tensor.shape.iter().try_fold(1u64, |product, &side| product.checked_mul(side)).ok_or_else(beyond)?;
        let shape: Vec<usize> =
            tensor.shape.iter().map(|&side| usize::try_from(side)).collect::<Result<_, _>>().map_err(|_| beyond())?;
        if count == 0 {
            return TensorData::new(tensor.dtype, shape, Vec::new());
        }
        let span = tensor
            .shape
            .iter()
            .zip(&tensor.strides)
            .try_fold(1u64, |span, (side, stride)| span.checked_add((side - 1).checked_mul(*stride)?))
            .ok_or_else(beyond)?;
        let fits = tensor.offset.checked_add(span).is_some_and(|end| end <= available);
        // A stride of 0 would read a number many times.
        if !fits || count > available {
            return Err(beyond());
        }
        // The bytes read are counted: for a view with large strides they are many more than its numbers.
        self.left = self.left.checked_sub(span.max(count) * size).ok_or_else(|| {
            Error::input(format!(
                "the tensors together need more than {SHARING} times the size of the file, or more than {} GiB",
                MAX_TENSOR_BYTES >> 30
            ))
            .with_hint(DAMAGED)
        })?;
        let bytes = self.source.read_vec(storage.start + tensor.offset * size, span * size)?;
        if bytes.len() as u64 == storage.len {
            verify(&bytes, checksum)?;
        }
        let bytes = if is_contiguous(tensor) { bytes } else { gather(&bytes, tensor, &shape) };
        TensorData::new(tensor.dtype, shape, bytes)
    }
}

/// Returns an error if the name of a tensor is too long.
pub fn check_name(name: &str) -> Result<()> {
    if name.len() <= MAX_NAME {
        return Ok(());
    }
    let start: String = name.chars().take(40).collect();
    Err(Error::input(format!(
        "the name of a tensor has {} bytes; at most {MAX_NAME} are allowed ({start:?}…)",
        name.len()
    )))
}

/// Compares bytes with the CRC-32 in the archive.
pub fn verify(bytes: &[u8], checksum: Option<u32>) -> Result<()> {
    let Some(expected) = checksum else { return Ok(()) };
    let mut crc = Crc::new();
    crc.update(bytes);
    if crc.sum() == expected {
        return Ok(());
    }
    Err(Error::input(format!("its CRC-32 is {:08x}, not {expected:08x} as in the archive's directory", crc.sum()))
        .with_hint(DAMAGED))
}

fn is_contiguous(tensor: &Tensor) -> bool {
    let mut expected = 1;
    tensor.shape.iter().zip(&tensor.strides).rev().all(|(&side, &stride)| {
        let fits = side == 1 || stride == expected;
        expected *= side;
        fits
    })
}

/// Returns the numbers of a strided view in row-major order; `bytes` reaches from the first number of the view to the last.
#[expect(
    clippy::indexing_slicing,
    reason = "a place runs through the view alone, whose span the bytes are; axes are those of the shape"
)]
fn gather(bytes: &[u8], tensor: &Tensor, shape: &[usize]) -> Vec<u8> {
    let size = tensor.dtype.size();
    let count: usize = shape.iter().product();
    // The stride of an axis with two or more numbers is within the span that was read. That of an axis with one number is unused,
    // and may be anything.
    let steps = tensor.strides.iter().zip(shape);
    let strides: Vec<usize> = steps.map(|(&stride, &side)| if side > 1 { stride as usize } else { 0 }).collect();
    let mut dense = Vec::with_capacity(count * size);
    let mut index = vec![0; shape.len()];
    let mut at = 0;
    for _ in 0..count {
        dense.extend_from_slice(&bytes[at * size..(at + 1) * size]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    dense
}
