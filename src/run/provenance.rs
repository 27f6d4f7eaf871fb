//! What decides results: as tags of the outputs, and as the fingerprint by which a later run of the job is compared.

use crate::error::Result;
use crate::hash;
use crate::journal::Fingerprint;
use crate::model::fake::Answer;
use crate::model::registry::Model;
use crate::model::torch::Device;
use crate::pipeline::{ClassPlan, Plan, Product, ScenePlan, TemplateChoice};
use crate::raster::{self, Stamps};
use crate::scene::{Pooling, Resampling};

/// The fact of a fingerprint that distinguishes a GPU's rows from a CPU's.
pub const DEVICE: &str = "device";

/// All that decides a scene's results.
pub struct Provenance {
    /// Without the stretch, whose values the scene's reader estimates.
    pub fingerprint: Fingerprint,
    /// Files whose changes the fingerprint cannot follow: sentences.
    pub notes: Vec<String>,
}

impl Provenance {
    /// The device is part of it: a GPU adds in another order than a CPU. Batch, memory and threads are not.
    ///
    /// # Errors
    /// A file of the scene cannot be read.
    pub fn of(plan: &Plan, scene: &ScenePlan, model: &Model, device: Device) -> Result<Self> {
        let (fingerprint, notes) = fingerprint(plan, scene, model, device)?;
        Ok(Self { fingerprint, notes })
    }
}

fn fingerprint(plan: &Plan, scene: &ScenePlan, model: &Model, device: Device) -> Result<(Fingerprint, Vec<String>)> {
    let mut fingerprint = Fingerprint::default();
    for (name, value) in tags(plan, model) {
        fingerprint.set(&name.trim_start_matches("SEGEARTH_").to_lowercase(), value);
    }
    if let Model::Fake(answer) = model {
        fingerprint.set(
            "model",
            match answer {
                Answer::Identity => "fake:identity",
                Answer::Levels => "fake:levels",
                Answer::Null => "fake:null",
            },
        );
    }
    fingerprint.set(DEVICE, if device == Device::Cpu { "cpu" } else { "cuda" });
    let Stamps { lines, order, notes } = raster::stamps(&scene.info)?;
    fingerprint.set("scene", lines.join("\n"));
    // The order of the tiles decides where they overlap.
    if !order.is_empty() {
        fingerprint.set("tiles", order.join("\n"));
    }
    let (size, _) = scene.output_grid();
    let model_grid = scene.info.size;
    fingerprint
        .set("grid", if size == model_grid { size.to_string() } else { format!("{size}, seen as {model_grid}") });
    if let Some(native) = scene.info.access.native.as_ref().filter(|native| native.resampling == Resampling::Bytes) {
        fingerprint.set("resize", format!("bytes of {} to {model_grid}", native.size));
    }
    fingerprint.set("bands", format!("{:?}", scene.bands));
    if !scene.index_bands.is_empty() {
        fingerprint.set("index_bands", physical_bands(scene, &scene.index_bands));
    }
    if !scene.further_bands.is_empty() {
        fingerprint.set("further_bands", physical_bands(scene, &scene.further_bands));
    }
    if let Some(mask) = scene.info.mask_fact(scene.bands) {
        fingerprint.set("mask", mask);
    }
    if let Some(conversion) = scene.conversion() {
        fingerprint.set("conversion", hash::of(&conversion));
    }
    if let Some(area) = &scene.info.access.area {
        fingerprint.set("aoi", hash::of(format!("{area:?}")));
    }
    let appearance = |class: &ClassPlan| {
        let [red, green, blue] = class.colour;
        let threshold = class.threshold.unwrap_or(plan.method.threshold);
        format!("{} #{red:02x}{green:02x}{blue:02x} from {threshold}", class.name)
    };
    fingerprint.set("looks", plan.classes.iter().map(appearance).collect::<Vec<_>>().join("; "));
    fingerprint.set("background", plan.background.map_or("none".to_owned(), |class| class.to_string()));
    fingerprint.set(
        "templates",
        match &plan.method.templates {
            TemplateChoice::File(path) => {
                std::fs::read(path).map_or_else(|_| "gone".to_owned(), |text| hash::of(&text))
            }
            other => format!("{other:?}"),
        },
    );
    fingerprint.set("rasters", format!("{:?}", plan.rasters));
    let outputs: Vec<&str> = scene.outputs.named().map(|(name, _)| name).collect();
    fingerprint.set("outputs", outputs.join(", "));
    if let Some(product) = plan.product.as_ref().filter(|product| **product != Product::default()) {
        fingerprint.set("product", format!("{product:?}"));
    }
    Ok((fingerprint, notes))
}

/// Bands of a scene by name and number, with what makes physical values of stored ones.
fn physical_bands(scene: &ScenePlan, bands: &[(String, usize)]) -> String {
    let one = |(name, number): &(String, usize)| {
        let band = number.checked_sub(1).and_then(|index| scene.info.bands.get(index));
        match band.and_then(|band| band.scaling) {
            Some(scaling) => format!("{name} {number} × {} + {}", scaling.scale, scaling.offset),
            None => format!("{name} {number}"),
        }
    };
    bands.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Names and values of the outputs' tags.
pub fn tags(plan: &Plan, model: &Model) -> Vec<(String, String)> {
    let tag = |name: &str, value: String| (format!("SEGEARTH_{name}"), value);
    let wording = |class: &ClassPlan| match class.learnt {
        Some(_) => "learnt from examples".to_owned(),
        None => {
            let condition = class.index.as_ref().map(|condition| format!("where {condition}"));
            let words = (!class.prompts.is_empty()).then(|| class.prompts.join(","));
            words.into_iter().chain(condition).collect::<Vec<_>>().join(",")
        }
    };
    let classes: Vec<String> = plan.classes.iter().map(|class| format!("{}: {}", class.name, wording(class))).collect();
    let mut tags = vec![
        tag("VERSION", env!("CARGO_PKG_VERSION").to_owned()),
        tag("CLASSES", classes.join("; ")),
        tag(
            "METHOD",
            format!(
                "debias={} logit_scale={} threshold={} window={} stride={} blend={:?}{}{}{}{}{}{}",
                plan.method.debias,
                plan.method.logit_scale,
                plan.method.threshold,
                plan.tiling.window,
                plan.tiling.stride,
                plan.tiling.blend,
                if plan.method.pooling == Pooling::Sum { " pooling=sum" } else { "" },
                if plan.method.d4 { " tta=d4" } else { "" },
                plan.method.channels.map_or(String::new(), |channels| format!(" channels={channels}")),
                if plan.method.half_resolution { " half_resolution" } else { "" },
                if plan.method.margin > 0.0 { format!(" margin={}", plan.method.margin) } else { String::new() },
                plan.method.gaussian.map_or(String::new(), |temperature| format!(" gaussian={temperature}"))
            ),
        ),
    ];
    if let Some(Ok(learnt)) = plan.learnt.as_ref().map(|learnt| learnt.to_bytes()) {
        tags.push(tag("LEARNT", hash::of(learnt)));
    }
    if let Model::Bundle(bundle) = model {
        tags.push(tag("MODEL", bundle.card.name.clone()));
        tags.extend(
            bundle
                .card
                .files
                .iter()
                .map(|(file, hash)| tag(&format!("SHA256_{}", file.replace('.', "_").to_uppercase()), hash.clone())),
        );
    }
    tags
}
