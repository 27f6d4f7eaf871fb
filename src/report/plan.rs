//! A plan as `check` shows it: every value that will be used, whether the job named it or not.

use std::fmt::Write as _;

use super::text::{Paint, grouped, left, printable_line};
use crate::geom::Blend;
use crate::pipeline::{DeviceChoice, ModelChoice, Plan, ScenePlan, TemplateChoice, band_label};
use crate::scene::{Georeference, Pooling, Recipe, Recommended, Resampling, StretchMethod, StretchPlan, ValueRange};

pub(super) fn render(plan: &Plan, paint: Paint) -> String {
    let mut text = render_job(plan, paint);
    for scene in &plan.scenes {
        render_scene(&mut text, plan, scene, paint);
    }
    text
}

/// Returns the resolved configuration of one scene as `check` prints it, without colour.
pub fn resolved(plan: &Plan, scene: &ScenePlan) -> String {
    let mut text = render_job(plan, Paint::new(false));
    render_scene(&mut text, plan, scene, Paint::new(false));
    text
}

fn render_job(plan: &Plan, paint: Paint) -> String {
    let mut text = String::new();
    let line = |text: &mut String, key: &str, value: &str| {
        let _ = writeln!(text, "{}  {}", paint.bold(&left(key, 10)), printable_line(value));
    };
    let model = match &plan.model {
        ModelChoice::Named(name) => name.clone(),
        ModelChoice::Bundle(folder) => folder.display().to_string(),
    };
    line(&mut text, "model", &model);
    let device = match plan.device {
        DeviceChoice::Auto => "auto".to_owned(),
        DeviceChoice::Cpu => "cpu".to_owned(),
        DeviceChoice::Cuda(number) => format!("cuda:{number}"),
    };
    line(&mut text, "device", &device);
    line(&mut text, "classes", &format!("{}, with {} prompts", plan.classes.len(), plan.queries()));
    let names = plan.classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0);
    for (index, class) in plan.classes.iter().enumerate() {
        let [red, green, blue] = class.colour;
        let words = match class.learnt {
            Some(_) => "learnt from examples".to_owned(),
            None => {
                let condition = class.index.as_ref().map(|condition| format!("where {condition}"));
                let words = (!class.prompts.is_empty()).then(|| class.prompts.join(", "));
                printable_line(&words.into_iter().chain(condition).collect::<Vec<_>>().join(", "))
            }
        };
        let own = class.threshold.map(|threshold| format!("  threshold {threshold}")).unwrap_or_default();
        let _ = writeln!(
            text,
            "  {index:>3}  {}#{red:02x}{green:02x}{blue:02x}  {}  {}{own}",
            paint.swatch(class.colour),
            left(&printable_line(&class.name), names),
            words
        );
    }
    let background = plan.background.and_then(|index| plan.classes.get(index));
    line(&mut text, "background", background.map_or("none", |class| class.name.as_str()));
    let method = &plan.method;
    let templates = match &method.templates {
        TemplateChoice::ImageNet80 => "imagenet80".to_owned(),
        TemplateChoice::None => "none".to_owned(),
        TemplateChoice::File(path) => path.display().to_string(),
    };
    line(
        &mut text,
        "method",
        &format!(
            "debias {}, logit scale {}, threshold {}, templates {templates}{}{}{}{}{}{}",
            method.debias,
            method.logit_scale,
            method.threshold,
            if method.pooling == Pooling::Sum { ", prompts of a class summed" } else { "" },
            if method.margin > 0.0 { format!(", margin {}", method.margin) } else { String::new() },
            method
                .gaussian
                .map_or(String::new(), |it| format!(", decided by Gaussians of the scene at temperature {it}")),
            if method.d4 { ", eight flips and rotations" } else { "" },
            method.channels.map_or(String::new(), |channels| format!(", feature lengths from {channels} channels")),
            if method.half_resolution { ", upsampled to half the resolution" } else { "" }
        ),
    );
    if let Some(recommended) = recommended(&plan.recommended) {
        line(&mut text, "", &recommended);
    }
    let tiling = &plan.tiling;
    let blend = match tiling.blend {
        Blend::Average => "average",
        Blend::Hann => "hann",
        Blend::Gaussian => "gaussian",
    };
    let batch = tiling.batch.map_or("by the device".to_owned(), |batch| batch.to_string());
    line(
        &mut text,
        "tiling",
        &format!("window {}, stride {}, blend {blend}, batch {batch}", tiling.window, tiling.stride),
    );
    let least = plan.product.as_ref().and_then(|product| product.options.min_area);
    if let Some(product) = plan.product.as_ref().filter(|product| product.recipe != Recipe::Plain || least.is_some()) {
        let least = least.map_or(String::new(), |area| format!(", polygons of {area} m² or more"));
        line(&mut text, "recipe", &format!("{}{least}", product.recipe.name()));
    }
    text
}

/// What the model's card recommends.
fn recommended(model: &Recommended) -> Option<String> {
    let Recommended { threshold, debias, logit_scale, pooling, stride, ground_sample_distance } = *model;
    let one = |what: &str, value: Option<f64>| value.map(|value| format!("{what} {value}"));
    let parts: Vec<String> = [
        one("debias", debias),
        one("logit scale", logit_scale),
        one("threshold", threshold),
        pooling.map(|pooling| match pooling {
            Pooling::Largest => "pooling largest".to_owned(),
            Pooling::Sum => "pooling sum".to_owned(),
        }),
        stride.map(|stride| format!("stride {stride}")),
        ground_sample_distance.map(|[least, largest]| format!("pixels of {least} to {largest} m")),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!parts.is_empty()).then(|| format!("the model recommends {}", parts.join(", ")))
}

fn render_scene(text: &mut String, plan: &Plan, scene: &ScenePlan, paint: Paint) {
    let mut line = |key: &str, value: String| {
        let _ = writeln!(text, "{}  {}", paint.bold(&left(key, 10)), printable_line(&value));
    };
    let info = &scene.info;
    let windows = plan.grid(scene).len();
    line("scene", info.path.display().to_string());
    line(
        "",
        format!(
            "{} pixels, {}, {} windows",
            info.size,
            whereabouts(info.georeference.as_ref()),
            grouped(windows as u64)
        ),
    );
    if let Some(native) = &info.access.native {
        let grid = if scene.on_native_grid { "the scene's own pixels" } else { "these pixels" };
        let how = match native.resampling {
            Resampling::Values => "read from",
            Resampling::Bytes => "resized as bytes from",
        };
        line("", format!("{how} {} pixels; results on {grid}", native.size));
    }
    if info.access.area.is_some() {
        line("", "only in the area of interest".to_owned());
    }
    let [red, green, blue] = scene.bands.map(|number| match band_label(info, number) {
        Some(label) => format!("{number} ({label})"),
        None => number.to_string(),
    });
    line("", format!("bands {red}, {green}, {blue}; stretch {}", stretch(&scene.stretch)));
    if let Some(conversion) = scene.conversion() {
        line("", conversion);
    }
    line("", format!("no data: {}", info.mask_text(scene.bands)));
    for (key, path) in scene.outputs.named() {
        line(key, path.display().to_string());
    }
}

fn whereabouts(georeference: Option<&Georeference>) -> String {
    match georeference {
        None => "without georeference".to_owned(),
        Some(georeference) => georeference.crs_name.clone().unwrap_or_else(|| "without CRS".to_owned()),
    }
}

fn stretch(stretch: &StretchPlan) -> String {
    let mut text = match &stretch.method {
        StretchMethod::None => "none".to_owned(),
        StretchMethod::MinMax => "min-max".to_owned(),
        StretchMethod::Percentile { low, high } => format!("percentile {low} to {high}"),
        StretchMethod::MeanStd { k } => format!("mean ± {k} standard deviations"),
        StretchMethod::Given(ranges) => {
            let ranges: Vec<String> =
                ranges.iter().map(|ValueRange { low, high }| format!("{low} to {high}")).collect();
            format!("values {}", ranges.join(", "))
        }
    };
    if stretch.joint {
        text += ", joint";
    }
    if stretch.gamma != 1.0 {
        text += &format!(", gamma {}", stretch.gamma);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geom::Size;
    use crate::pipeline::{ModelFacts, Override, from_flags, resolve_scenes};
    use crate::scene::{Access, BandInfo, ColourRole, SceneInfo};

    #[test]
    fn plan_shows_defaults() {
        let flags = [
            Override::text("SCENE", "scene", "a.tif"),
            Override::text("--model", "model", "openai/ViT-B-16"),
            Override::classes("--classes", "background; building,roof,house; river"),
            Override::text("--output", "outputs.labels", "labels.tif"),
            Override::text("--polygons", "outputs.polygons", "polygons.gpkg"),
        ];
        let facts = ModelFacts { window: 224, patch: 16, recommended: Recommended::NONE };
        let band = BandInfo {
            name: None,
            role: ColourRole::Undefined,
            pixel_type: "UInt16".into(),
            nodata: None,
            spectral: crate::scene::Spectral::default(),
            scaling: None,
        };
        let info = SceneInfo {
            path: "a.tif".into(),
            size: Size::new(1000, 500),
            bands: vec![band; 3],
            georeference: None,
            access: Access::default(),
        };
        let mut plan = resolve_scenes(&from_flags(&flags).unwrap(), &facts, vec![info]).unwrap();
        insta::assert_snapshot!(render(&plan, Paint::new(false)), @r"
        model       openai/ViT-B-16
        device      auto
        classes     3, with 5 prompts
            0  #e0e0e0  background  background
            1  #d63027  building    building, roof, house
            2  #1f66d2  river       river
        background  background
        method      debias 0.3, logit scale 50, threshold 0, templates imagenet80
        tiling      window 224, stride 112, blend hann, batch by the device
        scene       a.tif
                    1000 × 500 pixels, without georeference, 32 windows
                    bands 1, 2, 3; stretch percentile 2 to 98
                    no data: not marked
        labels      labels.tif
        polygons    polygons.gpkg
        ");
        plan.product.as_mut().unwrap().options.min_area = Some(50.0);
        let text = render(&plan, Paint::new(false));
        assert!(text.contains("\nrecipe      plain, polygons of 50 m² or more\n"), "{text}");
    }
}
