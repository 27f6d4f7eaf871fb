//! What decides the tokens of a scene, and how a store describes it.

use std::path::Path;

use serde_json::{Map, Value};

use crate::embeddings::{ModelCard, Padding, Precision, SceneCard};
use crate::error::Result;
use crate::hash;
use crate::journal::Fingerprint;
use crate::model::bundle::Bundle;
use crate::pipeline::{ScenePlan, Tiling, View, conversion, without_credentials};
use crate::raster::{self, SceneReader, Stamps};
use crate::scene::{Resampling, SceneInfo, StretchPlan};

/// A scene as the model is to see it.
#[derive(Clone, Copy)]
pub struct SceneView<'a> {
    pub info: &'a SceneInfo,
    pub bands: [usize; 3],
    pub stretch: &'a StretchPlan,
}

impl<'a> From<&'a ScenePlan> for SceneView<'a> {
    fn from(scene: &'a ScenePlan) -> Self {
        Self { info: &scene.info, bands: scene.bands, stretch: &scene.stretch }
    }
}

impl<'a> From<&'a View> for SceneView<'a> {
    fn from((info, bands, stretch): &'a View) -> Self {
        Self { info, bands: *bands, stretch }
    }
}

/// How a store describes the model of a bundle.
pub fn model_card(bundle: &Bundle) -> Result<ModelCard> {
    let sizes = &bundle.card.sizes;
    Ok(ModelCard {
        name: bundle.card.name.clone(),
        sha256: bundle.patch_encoder_sha256()?,
        patch: sizes.patch,
        width: sizes.embed_dim,
    })
}

/// The name and the path by which a store knows a scene.
pub fn address(info: &SceneInfo) -> (String, String) {
    let path = absolute(&info.path);
    let file = Path::new(&path).file_name().map(|name| name.to_string_lossy().into_owned());
    (info.access.name.clone().or(file).unwrap_or_else(|| path.clone()), path)
}

/// A path by which other folders' commands find the file too; addresses are without user, password and query.
pub fn absolute(path: &Path) -> String {
    match path.canonicalize() {
        Ok(path) => path.display().to_string(),
        Err(_) => without_credentials(&path.to_string_lossy()),
    }
}

/// The stamp of a file, with the path by which other folders' commands find it.
fn absolute_stamp(line: &str) -> String {
    match line.rsplit_once(": ") {
        Some((path, stamp)) => format!("{}: {stamp}", absolute(Path::new(path))),
        None => absolute(Path::new(line)),
    }
}

/// How a store describes a scene. `job`: the options with which the scene is seen so.
///
/// # Errors
/// A file of the scene cannot be read.
pub fn scene_card(
    view: SceneView<'_>,
    reader: &SceneReader,
    tiling: &Tiling,
    bundle: &Bundle,
    (model, precision): (&ModelCard, Precision),
    job: Map<String, Value>,
) -> Result<SceneCard> {
    let SceneView { info, bands, stretch } = view;
    let mut facts = Fingerprint::default();
    let Stamps { lines, order, .. } = raster::stamps(info)?;
    facts.set("scene", lines.iter().map(|line| absolute_stamp(line)).collect::<Vec<_>>().join("\n"));
    if !order.is_empty() {
        let order = order.iter().map(|file| absolute(Path::new(file)));
        facts.set("tiles", order.collect::<Vec<_>>().join("\n"));
    }
    facts.set("grid", info.size.to_string());
    if info.access.native.as_ref().is_some_and(|native| native.resampling == Resampling::Bytes) {
        facts.set("resize", "bytes");
    }
    facts.set("window", tiling.window.to_string());
    facts.set("stride", tiling.stride.to_string());
    facts.set("bands", format!("{bands:?}"));
    facts.set("stretch", reader.stretch().to_string());
    if let Some(mask) = info.mask_fact(bands) {
        facts.set("mask", mask);
    }
    if let Some(conversion) = conversion(info, bands, stretch) {
        facts.set("conversion", hash::of(&conversion));
    }
    if let Some(area) = &info.access.area {
        facts.set("aoi", hash::of(format!("{area:?}")));
    }
    let normalisation = bundle.normalisation();
    facts.set("normalisation", format!("mean {:?}, std {:?}", normalisation.mean, normalisation.std));
    let (name, path) = address(info);
    let georeference = info.georeference.as_ref();
    let card = SceneCard {
        name,
        path,
        width: info.size.width,
        height: info.size.height,
        transform: georeference.map(|place| place.transform.coefficients),
        crs: georeference.and_then(|place| place.crs_wkt.clone()),
        window: tiling.window,
        stride: tiling.stride,
        padding: Padding { above: 0, left: 0 },
        patches: [1, 1],
        chunk: 1,
        facts,
        job,
    };
    Ok(card.laid_out(model, precision))
}
