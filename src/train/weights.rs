//! Files of named tensors: weights in training, and trained weights.

use std::path::Path;

use tch::{Kind, Tensor};

use crate::atomic::AtomicFile;
use crate::error::{Context, Result};
use crate::network::Tensors;

/// Reads tensors as float32.
pub fn read(path: &Path) -> Result<Tensors> {
    let tensors = Tensor::read_safetensors(path).input(|| format!("cannot read {}", path.display()))?;
    tensors.into_iter().map(|(name, tensor)| Ok((name, tensor.f_to_kind(Kind::Float)?))).collect()
}

/// Writes tensors as they are; an earlier file is replaced only by a complete one.
pub fn replace(path: &Path, tensors: &[(String, Tensor)]) -> Result<()> {
    let file = AtomicFile::new(path)?;
    Tensor::write_safetensors(tensors, file.temporary()).map_err(|cause| file.failed("write", cause))?;
    file.commit()
}

/// Writes tensors in float16, as [`replace`] does.
pub fn write(path: &Path, tensors: &Tensors) -> Result<()> {
    let half = tensors.iter().map(|(name, tensor)| Ok((name.clone(), tensor.f_to_kind(Kind::Half)?)));
    let half = half.collect::<Result<Vec<_>>>()?;
    replace(path, &half)
}
