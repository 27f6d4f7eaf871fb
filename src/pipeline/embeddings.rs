//! The rules of a job that takes the outputs of the image tower from a store.

use super::errors::JobErrors;
use super::plan::EmbeddingsPlan;
use super::spec::{EmbeddingsForm, EmbeddingsKeys, Spec, StorePrecisionForm, TtaForm};
use crate::embeddings::Precision;

/// The store of a job; `None`: it has none.
pub(super) fn embeddings(spec: &Spec, errors: &mut JobErrors<'_>) -> Option<EmbeddingsPlan> {
    let (keys, key) = match spec.embeddings.as_ref()? {
        EmbeddingsForm::Store(store) => {
            (EmbeddingsKeys { store: store.clone(), ..EmbeddingsKeys::default() }, "embeddings")
        }
        EmbeddingsForm::Long(keys) => (keys.clone(), "embeddings.store"),
    };
    if keys.store.trim().is_empty() {
        errors.add("embeddings", "the path of the store is empty").hint =
            Some("Name a folder, such as `embeddings: city.zarr`; it is made if it does not exist.".into());
    }
    if spec.method.tta == Some(TtaForm::D4) {
        errors.add("embeddings", "a store holds windows in one orientation, and `method.tta: d4` needs eight").hint =
            Some("Remove one of the two keys.".into());
    }
    let precision = keys.precision.map(|precision| match precision {
        StorePrecisionForm::Float32 => Precision::Float32,
        StorePrecisionForm::Float16 => Precision::Float16,
        StorePrecisionForm::Int8 => Precision::Int8,
    });
    let store = spec.input_path(key, keys.store.trim());
    Some(EmbeddingsPlan { store, precision, create: keys.create.unwrap_or(true) })
}
