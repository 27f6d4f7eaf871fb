//! The rules of a job that takes the outputs of the image tower from a store, and of one that only makes them.

use super::errors::JobErrors;
use super::plan::{DeviceChoice, EmbeddingsPlan, Tiling};
use super::resolve::{Lookup, View, tiling, views_of};
use super::settings;
use super::spec::{EmbeddingsForm, EmbeddingsKeys, Spec, StorePrecisionForm, TtaForm};
use crate::embeddings::Precision;
use crate::error::Result;
use crate::geom::Blend;

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

/// Scenes that are only to be embedded.
pub struct EmbeddedScenes {
    pub views: Vec<View>,
    pub tiling: Tiling,
    pub device: DeviceChoice,
    pub notes: Vec<String>,
}

/// Resolves a job without classes and outputs. The model is opened first.
///
/// # Errors
/// As [`resolve`](super::resolve::resolve)'s, for model, scenes, bands, stretch and windows.
pub fn embedded_scenes(spec: &Spec, lookup: &mut dyn Lookup) -> Result<EmbeddedScenes> {
    let mut errors = JobErrors::new(spec);
    let device = settings::device(spec, &mut errors);
    let (views, notes, model) = views_of(spec, lookup, &mut errors)?;
    let tiling = tiling(spec, &model, Blend::default(), None, &mut errors);
    errors.finish()?;
    Ok(EmbeddedScenes { views, tiling, device, notes })
}
