//! From a tensor as a pickle claims it to its numbers: every claim is held against the storage's real bytes first.

use flate2::Crc;
use segearth_error::{Context, Error, Result};

use super::pickle::Tensor;
use super::source::{ByteSource, Extent};
use super::tensor::TensorData;
use super::{Checkpoint, MAX_TENSOR_BYTES};

/// Longer names are no names of tensors.
const MAX_NAME: usize = 512;
/// Tensors may share a storage (tied weights), so the sum may pass the file's size, but not by much.
const SHARING: u64 = 4;

const DAMAGED: &str = "The file is damaged or was made to deceive: download it again from where it is published.";

/// Reads tensors one by one and keeps count of the bytes.
pub struct Loader<'a> {
    source: &'a ByteSource,
    left: u64,
}

impl<'a> Loader<'a> {
    pub fn new(source: &'a ByteSource) -> Self {
        Self { source, left: source.len().saturating_mul(SHARING).min(MAX_TENSOR_BYTES) }
    }

    /// Reads one tensor into the checkpoint. `checksum` is that of the whole storage, where it is known.
    pub fn load(
        &mut self,
        checkpoint: &mut Checkpoint,
        name: String,
        tensor: &Tensor,
        storage: Extent,
        checksum: Option<u32>,
    ) -> Result<()> {
        check_name(&name)?;
        let data = self.read(tensor, storage, checksum).input(|| format!("the tensor {name:?} cannot be read"))?;
        checkpoint.tensors.insert(name, data);
        Ok(())
    }

    fn read(&mut self, tensor: &Tensor, storage: Extent, checksum: Option<u32>) -> Result<TensorData> {
        let size = tensor.dtype.size() as u64;
        let available = storage.len / size;
        let beyond = || {
            Error::input(format!(
                "shape {:?}, strides {:?} and offset {} ask for more than the {available} numbers of its storage",
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
        // A stride of 0 would make many numbers of one.
        if !fits || count > available {
            return Err(beyond());
        }
        // What is read counts: of a view with long strides that is far more than its numbers.
        self.left = self.left.checked_sub(span.max(count) * size).ok_or_else(|| {
            Error::input(format!(
                "the tensors together claim more than {SHARING} times the file's size or more than {} GiB",
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

pub fn check_name(name: &str) -> Result<()> {
    if name.len() <= MAX_NAME {
        return Ok(());
    }
    let start: String = name.chars().take(40).collect();
    Err(Error::input(format!("a tensor's name has {} bytes, {MAX_NAME} are allowed ({start:?}…)", name.len())))
}

/// Holds bytes against the checksum that the archive has of them.
pub fn verify(bytes: &[u8], checksum: Option<u32>) -> Result<()> {
    let Some(expected) = checksum else { return Ok(()) };
    let mut crc = Crc::new();
    crc.update(bytes);
    if crc.sum() == expected {
        return Ok(());
    }
    Err(Error::input(format!("its checksum is {:08x}, the archive says {expected:08x}", crc.sum())).with_hint(DAMAGED))
}

fn is_contiguous(tensor: &Tensor) -> bool {
    let mut expected = 1;
    tensor.shape.iter().zip(&tensor.strides).rev().all(|(&side, &stride)| {
        let fits = side == 1 || stride == expected;
        expected *= side;
        fits
    })
}

/// Copies the numbers of a strided view into row-major order; `bytes` starts at the view's first number and reaches to its last.
#[expect(
    clippy::indexing_slicing,
    reason = "a place runs through the view alone, whose span the bytes are; axes are those of the shape"
)]
fn gather(bytes: &[u8], tensor: &Tensor, shape: &[usize]) -> Vec<u8> {
    let size = tensor.dtype.size();
    let count: usize = shape.iter().product();
    // Where there is a second step along an axis, its stride is part of the span that was read, so it fits. Along an axis
    // of one there is none, and its stride may be anything.
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
