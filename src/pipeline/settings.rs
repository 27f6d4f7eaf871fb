//! The rules of a job that need neither model nor scene: the model's name, classes, background, method, device, stretch.

use std::collections::HashMap;

use super::errors::JobErrors;
use super::job_error::JobError;
use super::plan::{ClassPlan, DEFAULT_MODEL, DeviceChoice, Method, ModelChoice, NoDevice, TemplateChoice};
use super::spec::{BlendForm, ClassForm, OneOrMany, Spec, TtaForm};
use super::stretch::stretch;
use super::words::{nearest, quoted};
use super::{classes, palette};
use crate::geom::Blend;
use crate::scene::StretchPlan;

/// Each class is a value of the label raster, each prompt a query of the model: both cost memory for every pixel.
const MAX_CLASSES: usize = 4096;
const MAX_PROMPTS: usize = 8192;
/// CLIP reads 77 tokens; no sentence of that length comes near this.
const MAX_PROMPT_CHARS: usize = 1000;
const MAX_NAME_CHARS: usize = 200;

/// The part of a plan that is resolved from the job alone.
pub(super) struct Settings {
    pub model: ModelChoice,
    pub classes: Vec<ClassPlan>,
    pub background: Option<usize>,
    pub method: Method,
    pub device: DeviceChoice,
    /// `None`: by the scene's pixel type.
    pub stretch: Option<StretchPlan>,
    pub blend: Blend,
    pub notes: Vec<String>,
}

pub(super) fn settings(spec: &Spec, errors: &mut JobErrors<'_>) -> Settings {
    let mut notes = Vec::new();
    let model = model(spec, errors);
    let classes = all_classes(spec, errors, &mut notes);
    let background = background(spec, &classes, errors);
    let method = method(spec, errors);
    thresholds_need_a_background(spec, &method, &classes, background, errors);
    let blend = match spec.tiling.blend {
        Some(BlendForm::Average) => Blend::Average,
        Some(BlendForm::Hann) => Blend::Hann,
        Some(BlendForm::Gaussian) => Blend::Gaussian,
        None => Blend::default(),
    };
    let device = device(spec, errors);
    let stretch = stretch(spec, errors);
    Settings { model, classes, background, method, device, stretch, blend, notes }
}

/// Whether the job gives the model a name, the default included; an empty one is an error of its own.
pub(super) fn is_model_named(spec: &Spec) -> bool {
    spec.model.as_deref().is_none_or(|name| !name.trim().is_empty())
}

pub(super) fn model(spec: &Spec, errors: &mut JobErrors<'_>) -> ModelChoice {
    let name = spec.model.as_deref().map_or(DEFAULT_MODEL, str::trim);
    if name.is_empty() {
        errors.add("model", "the model's name is empty").hint =
            Some("Name one: `model: FOLDER` of an imported bundle, or a model's name; left out, it is `mini`.".into());
        return ModelChoice::Named(String::new());
    }
    let folder = spec.input_path("model", name);
    let choice = ModelChoice::of(name, folder.clone());
    if matches!(choice, ModelChoice::Bundle(_)) {
        return choice;
    }
    if name.starts_with(['.', '/']) || name.ends_with('/') {
        errors.add("model", format!("there is no folder {}", folder.display())).hint =
            Some("Give the folder of a bundle that `segearth model import` or `model fetch` wrote.".into());
    }
    choice
}

fn all_classes(spec: &Spec, errors: &mut JobErrors<'_>, notes: &mut Vec<String>) -> Vec<ClassPlan> {
    if spec.classes.is_empty() {
        errors.add("classes", "the job names no classes").hint =
            Some("List them: `classes:` with a line `- building,roof,house` for each; with flags, --classes.".into());
        return Vec::new();
    }
    if spec.classes.len() > MAX_CLASSES {
        errors
            .add("classes", format!("{} classes are too many: at most {MAX_CLASSES} are possible", spec.classes.len()));
        return Vec::new();
    }
    let mut plans = Vec::with_capacity(spec.classes.len());
    let mut colours = Vec::with_capacity(spec.classes.len());
    for (index, form) in spec.classes.iter().enumerate() {
        let (class, colour) = one_class(spec, index, form, errors);
        plans.push(class);
        colours.push(colour);
    }
    let prompts: usize = plans.iter().map(|class| class.prompts.len()).sum();
    if prompts > MAX_PROMPTS {
        errors.add("classes", format!("{prompts} prompts are too many: all classes together may have {MAX_PROMPTS}"));
    }
    if let [only] = plans.as_slice() {
        notes.push(format!(
            "There is one class only: every pixel is {}, unless a threshold sends it to nothing.",
            quoted(&only.name)
        ));
    }
    names_differ(&plans, errors);
    say_shared_prompts(&plans, notes);
    say_shared_colours(&plans, &colours, notes);
    palette::colour(&mut plans, &colours);
    plans
}

fn one_class(spec: &Spec, index: usize, form: &ClassForm, errors: &mut JobErrors<'_>) -> (ClassPlan, Option<[u8; 3]>) {
    let key = format!("classes[{index}]");
    let (name, prompts, colour, threshold) = match form {
        ClassForm::Short(text) => {
            let prompts = short_prompts(spec, &key, text, errors);
            (prompts.first().cloned().unwrap_or_default(), prompts, None, None)
        }
        ClassForm::Long(keys) => {
            let name = keys.name.trim().to_owned();
            let prompts = match &keys.prompts {
                None => vec![name.clone()],
                Some(OneOrMany::One(text)) => short_prompts(spec, &format!("{key}.prompts"), text, errors),
                Some(OneOrMany::Many(prompts)) => {
                    if prompts.is_empty() {
                        errors.add(&format!("{key}.prompts"), "the class has no prompts").hint =
                            Some("Leave the key out to take the class's name.".into());
                    }
                    prompts.iter().map(|prompt| prompt.trim().to_owned()).collect()
                }
            };
            if name.is_empty() {
                errors.add(&format!("{key}.name"), "a class's name is empty");
            }
            let colour = keys.colour.as_deref().and_then(|text| colour(&key, text, errors));
            if let Some(threshold) = keys.threshold {
                in_range(&format!("{key}.threshold"), "the threshold", threshold, 0.0..=1.0, errors);
            }
            (name, prompts, colour, keys.threshold.map(|threshold| threshold as f32))
        }
    };
    if name.chars().count() > MAX_NAME_CHARS || name.chars().any(char::is_control) {
        let message =
            format!("the class name {} must have at most {MAX_NAME_CHARS} characters, all printable", quoted(&name));
        errors.add(&format!("{key}.name"), message);
    }
    for (number, prompt) in prompts.iter().enumerate() {
        let at = format!("{key}.prompts[{number}]");
        if prompt.is_empty()
            && matches!(form, ClassForm::Long(keys) if matches!(keys.prompts, Some(OneOrMany::Many(_))))
        {
            errors.add(&at, "a prompt is empty");
        }
        let length = prompt.chars().count();
        if length > MAX_PROMPT_CHARS {
            errors.add(
                &at,
                format!("a prompt of {length} characters is too long: at most {MAX_PROMPT_CHARS} are possible"),
            );
        }
    }
    (ClassPlan { name, colour: [0; 3], prompts, threshold }, colour)
}

fn short_prompts(spec: &Spec, key: &str, text: &str, errors: &mut JobErrors<'_>) -> Vec<String> {
    match classes::prompts(text) {
        Ok(parts) => parts.into_iter().map(|part| part.text).collect(),
        Err(error) => {
            let span = spec.span(key).part(text, error.offset, error.len);
            errors.push(JobError::new(span, error.message).with_hint(error.hint));
            Vec::new()
        }
    }
}

fn colour(key: &str, text: &str, errors: &mut JobErrors<'_>) -> Option<[u8; 3]> {
    match csscolorparser::parse(text) {
        Ok(colour) if colour.a >= 1.0 => {
            let [red, green, blue, _] = colour.to_rgba8();
            Some([red, green, blue])
        }
        parsed => {
            let why = if parsed.is_ok() { "is transparent" } else { "is no colour" };
            errors.add(&format!("{key}.colour"), format!("{} {why}", quoted(text))).hint = Some(
                "Write it as '#3b82f6' (in quotes, # begins a comment otherwise) or as a CSS name such as steelblue."
                    .into(),
            );
            None
        }
    }
}

#[expect(clippy::indexing_slicing, reason = "the index of an earlier class")]
fn names_differ(classes: &[ClassPlan], errors: &mut JobErrors<'_>) {
    let mut first: HashMap<String, usize> = HashMap::new();
    for (index, class) in classes.iter().enumerate().filter(|(_, class)| !class.name.is_empty()) {
        if let Some(before) = first.insert(class.name.to_lowercase(), index) {
            let other = &classes[before].name;
            let message = if *other == class.name {
                format!("classes {before} and {index} are both named {}", quoted(other))
            } else {
                format!(
                    "classes {before} and {index}, {} and {}, differ in case alone",
                    quoted(other),
                    quoted(&class.name)
                )
            };
            errors.add(&format!("classes[{index}]"), message).hint = Some(
                "Classes are counted from 0. Give one another name, or put the prompts of both into one class.".into(),
            );
        }
    }
}

fn say_shared_prompts(classes: &[ClassPlan], notes: &mut Vec<String>) {
    let mut owners: HashMap<&str, &str> = HashMap::new();
    for class in classes {
        for prompt in class.prompts.iter().filter(|prompt| !prompt.is_empty()) {
            match owners.insert(prompt, &class.name) {
                Some(owner) if owner == class.name => {
                    notes.push(format!("Class {} has the prompt {} twice.", quoted(owner), quoted(prompt)));
                }
                Some(owner) => notes.push(format!(
                    "Classes {} and {} share the prompt {}: where it is best, the first of them wins.",
                    quoted(owner),
                    quoted(&class.name),
                    quoted(prompt)
                )),
                None => {}
            }
        }
    }
}

fn say_shared_colours(classes: &[ClassPlan], colours: &[Option<[u8; 3]>], notes: &mut Vec<String>) {
    let mut owners: HashMap<[u8; 3], &str> = HashMap::new();
    for (class, colour) in classes.iter().zip(colours) {
        if let Some(owner) = colour.and_then(|colour| owners.insert(colour, &class.name)) {
            notes.push(format!("Classes {} and {} have the same colour.", quoted(owner), quoted(&class.name)));
        }
    }
}

fn background(spec: &Spec, classes: &[ClassPlan], errors: &mut JobErrors<'_>) -> Option<usize> {
    let find = |name: &str| classes.iter().position(|class| class.name.to_lowercase() == name.trim().to_lowercase());
    let Some(name) = &spec.background else { return find("background") };
    let found = find(name);
    if found.is_none() && !classes.is_empty() {
        let names = || classes.iter().map(|class| class.name.as_str());
        let hint = match nearest(name, names()) {
            Some(meant) => format!("Did you mean `{meant}`?"),
            None => format!("The classes are {}.", names().take(20).map(quoted).collect::<Vec<_>>().join(", ")),
        };
        errors.add("background", format!("the background {} is no class of this job", quoted(name))).hint = Some(hint);
    }
    found
}

fn method(spec: &Spec, errors: &mut JobErrors<'_>) -> Method {
    let form = &spec.method;
    let debias = form.debias.unwrap_or(0.3);
    if !in_range("method.debias", "the debiasing", debias, 0.0..=1.0, errors) && (-1.0..0.0).contains(&debias) {
        errors.hint(format!("The paper's λ = {debias} is `debias: {}` here.", -debias));
    }
    let logit_scale = form.logit_scale.unwrap_or(50.0);
    if in_range("method.logit_scale", "the logit scale", logit_scale, 0.0..=1000.0, errors) && logit_scale == 0.0 {
        errors.add("method.logit_scale", "the logit scale is 0: all classes would score the same").hint =
            Some("The paper's value is 50.".into());
    }
    let threshold = form.threshold.unwrap_or(0.0);
    in_range("method.threshold", "the threshold", threshold, 0.0..=1.0, errors);
    if let Some(channels) = form.channels {
        in_range("method.channels", "the number of channels", channels.into(), 1.0..=4096.0, errors);
    }
    Method {
        debias: debias as f32,
        logit_scale: logit_scale as f32,
        threshold: threshold as f32,
        templates: templates(spec, errors),
        d4: form.tta == Some(TtaForm::D4),
        channels: form.channels.map(|channels| channels as usize),
        half_resolution: form.half_resolution == Some(true),
    }
}

fn in_range(
    key: &str,
    what: &str,
    value: f64,
    allowed: std::ops::RangeInclusive<f64>,
    errors: &mut JobErrors<'_>,
) -> bool {
    let inside = allowed.contains(&value);
    if !inside {
        errors.add(key, format!("{what} is {value}; it must be from {} to {}", allowed.start(), allowed.end()));
    }
    inside
}

fn templates(spec: &Spec, errors: &mut JobErrors<'_>) -> TemplateChoice {
    match spec.method.templates.as_deref() {
        None | Some("imagenet80") => TemplateChoice::ImageNet80,
        Some("none") => TemplateChoice::None,
        Some(file) => {
            let path = spec.input_path("method.templates", file);
            if !path.is_file() {
                let message = format!("{} is neither `imagenet80` nor `none`, nor a file", quoted(file));
                errors.add("method.templates", message).hint = match nearest(file, ["imagenet80", "none"]) {
                    Some(meant) => Some(format!("Did you mean `{meant}`?")),
                    None => Some("A template file has a sentence a line, in which {} stands for the prompt.".into()),
                };
            }
            TemplateChoice::File(path)
        }
    }
}

/// A threshold sends pixels to the background; without one it would silently do nothing.
fn thresholds_need_a_background(
    spec: &Spec,
    method: &Method,
    classes: &[ClassPlan],
    background: Option<usize>,
    errors: &mut JobErrors<'_>,
) {
    if background.is_some() || spec.background.is_some() {
        return;
    }
    let own = classes.iter().position(|class| class.threshold.is_some_and(|threshold| threshold > 0.0));
    let key = match own {
        _ if method.threshold > 0.0 => "method.threshold".to_owned(),
        Some(index) => format!("classes[{index}].threshold"),
        None => return,
    };
    errors.add(&key, "a threshold is set, but no class takes the pixels below it").hint =
        Some("Name that class: `background: NAME` (--background NAME), or add a class `background`.".into());
}

fn device(spec: &Spec, errors: &mut JobErrors<'_>) -> DeviceChoice {
    let text = spec.device.as_deref().unwrap_or("auto");
    text.parse().unwrap_or_else(|NoDevice| {
        let message = format!("{} is no device; allowed are `auto`, `cpu`, `cuda` and `cuda:N`", quoted(text));
        let error = errors.add("device", message);
        if text.trim().eq_ignore_ascii_case("gpu") {
            error.hint = Some("Did you mean `cuda`?".into());
        }
        DeviceChoice::Auto
    })
}
