//! Safetensors: a JSON header of names, types, shapes and offsets, then the numbers.

use ::safetensors::tensor::{Dtype as Stored, Metadata};
use segearth_error::{Context, Error, Result};

use super::source::ByteSource;
use super::storage::check_name;
use super::tensor::{Dtype, TensorData};
use super::{Checkpoint, Layout, MAX_TENSOR_BYTES};

/// Most bytes of a header; that of a ViT-L CLIP has 70 kB.
const MAX_HEADER: u64 = 16 << 20;

/// Returns whether a file begins like safetensors: the length of the header, then its brace, perhaps after blanks.
pub fn looks_like(head: &[u8]) -> bool {
    let Some((len, header)) = head.split_first_chunk::<8>() else { return false };
    let len = u64::from_le_bytes(*len);
    (2..=100_000_000).contains(&len) && header.trim_ascii_start().first() == Some(&b'{')
}

/// Reads a file.
pub fn read(source: &ByteSource) -> Result<Checkpoint> {
    let len = source.read_vec(0, 8)?;
    let len = <[u8; 8]>::try_from(len)
        .map(u64::from_le_bytes)
        .map_err(|_| Error::internal("a length of 8 bytes was not read whole"))?;
    if len > MAX_HEADER {
        return Err(Error::input(format!("the header claims {len} bytes; at most {MAX_HEADER} are allowed")));
    }
    let header = source.read_vec(8, len)?;
    let header: Metadata = serde_json::from_slice(&header).input(|| "the header is damaged".into())?;
    let start = 8 + len;
    let claimed = header.data_len() as u64;
    if source.extent(start, claimed).is_none() {
        return Err(Error::input(format!(
            "the header describes {claimed} bytes of tensors, the file has {}",
            source.len() - start
        ))
        .with_hint("The file is truncated: download it again."));
    }
    if claimed > MAX_TENSOR_BYTES {
        return Err(Error::input(format!(
            "the file has {claimed} bytes of tensors; at most {MAX_TENSOR_BYTES} are allowed"
        )));
    }
    let mut checkpoint = Checkpoint::new(Layout::Safetensors);
    for (name, info) in header.tensors() {
        check_name(&name)?;
        let Some(dtype) = dtype(info.dtype) else {
            checkpoint.others.insert(name, format!("a tensor of {:?}", info.dtype));
            continue;
        };
        // The header is valid: offsets are ascending, and their distance is that of type and shape.
        let (first, last) = (info.data_offsets.0 as u64, info.data_offsets.1 as u64);
        let bytes = source.read_vec(start + first, last - first)?;
        let data =
            TensorData::new(dtype, info.shape.clone(), bytes).input(|| format!("the tensor {name:?} is damaged"))?;
        checkpoint.tensors.insert(name, data);
    }
    Ok(checkpoint)
}

fn dtype(stored: Stored) -> Option<Dtype> {
    Some(match stored {
        Stored::BOOL => Dtype::Bool,
        Stored::U8 => Dtype::U8,
        Stored::I8 => Dtype::I8,
        Stored::I16 => Dtype::I16,
        Stored::I32 => Dtype::I32,
        Stored::I64 => Dtype::I64,
        Stored::F16 => Dtype::F16,
        Stored::BF16 => Dtype::Bf16,
        Stored::F32 => Dtype::F32,
        Stored::F64 => Dtype::F64,
        _ => return None,
    })
}
