//! How results came to be: for those who look at them later, and for the run that is to go on.

use super::engine::DEVICE;
use crate::error::Result;
use crate::hash;
use crate::journal::Fingerprint;
use crate::model::fake::Answer;
use crate::model::registry::Model;
use crate::model::torch::Device;
use crate::pipeline::{Plan, Product, ScenePlan, TemplateChoice};
use crate::raster::{self, Stamps};

/// All that decides a scene's results, but the stretch, whose values its reader settles.
///
/// The device belongs to it: a GPU adds in another order than a CPU. Batch, memory and threads do not. Gives as well what the
/// reader should know of it.
pub fn fingerprint(
    plan: &Plan,
    scene: &ScenePlan,
    model: &Model,
    device: Device,
) -> Result<(Fingerprint, Vec<String>)> {
    let mut fingerprint = Fingerprint::default();
    for (name, value) in tags(plan, model) {
        fingerprint.set(&name.trim_start_matches("SEGEARTH_").to_lowercase(), value);
    }
    if let Model::Fake(answer) = model {
        fingerprint.set(
            "model",
            match answer {
                Answer::Identity => "fake:identity",
                Answer::Null => "fake:null",
            },
        );
    }
    fingerprint.set(DEVICE, if device == Device::Cpu { "cpu" } else { "cuda" });
    let Stamps { lines, order, notes } = raster::stamps(&scene.info)?;
    fingerprint.set("scene", lines.join("\n"));
    // Which lies on top decides where tiles overlap.
    if !order.is_empty() {
        fingerprint.set("tiles", order.join("\n"));
    }
    let (size, _) = scene.output_grid();
    let seen = scene.info.size;
    fingerprint.set("grid", if size == seen { size.to_string() } else { format!("{size}, seen as {seen}") });
    fingerprint.set("bands", format!("{:?}", scene.bands));
    if let Some(mask) = scene.info.mask_fact(scene.bands) {
        fingerprint.set("mask", mask);
    }
    if let Some(conversion) = scene.conversion() {
        fingerprint.set("conversion", hash::of(&conversion));
    }
    if let Some(area) = &scene.info.access.area {
        fingerprint.set("aoi", hash::of(format!("{area:?}")));
    }
    let look = |class: &crate::pipeline::ClassPlan| {
        let [red, green, blue] = class.colour;
        let threshold = class.threshold.unwrap_or(plan.method.threshold);
        format!("{} #{red:02x}{green:02x}{blue:02x} from {threshold}", class.name)
    };
    fingerprint.set("looks", plan.classes.iter().map(look).collect::<Vec<_>>().join("; "));
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

/// What results say of how they came to be.
pub fn tags(plan: &Plan, model: &Model) -> Vec<(String, String)> {
    let tag = |name: &str, value: String| (format!("SEGEARTH_{name}"), value);
    let classes: Vec<String> =
        plan.classes.iter().map(|class| format!("{}: {}", class.name, class.prompts.join(","))).collect();
    let mut tags = vec![
        tag("VERSION", env!("CARGO_PKG_VERSION").to_owned()),
        tag("CLASSES", classes.join("; ")),
        tag(
            "METHOD",
            format!(
                "debias={} logit_scale={} threshold={} window={} stride={} blend={:?}{}{}{}",
                plan.method.debias,
                plan.method.logit_scale,
                plan.method.threshold,
                plan.tiling.window,
                plan.tiling.stride,
                plan.tiling.blend,
                if plan.method.d4 { " tta=d4" } else { "" },
                plan.method.channels.map_or(String::new(), |channels| format!(" channels={channels}")),
                if plan.method.half_resolution { " half_resolution" } else { "" }
            ),
        ),
    ];
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
