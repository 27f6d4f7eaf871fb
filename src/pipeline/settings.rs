//! The rules of a job that need neither model nor scene: the model's name, classes, background, method, device, stretch.

use std::collections::HashMap;
use std::sync::Arc;

use super::errors::JobErrors;
use super::job_error::JobError;
use super::plan::{ClassPlan, DEFAULT_MODEL, DeviceChoice, Method, ModelChoice, NoDevice, TemplateChoice};
use super::spec::{BlendForm, ClassForm, ClassKeys, DecisionForm, OneOrMany, PoolingForm, Spec, TtaForm};
use super::stretch::stretch;
use super::words::{nearest, quoted};
use super::{classes, index, palette};
use crate::geom::Blend;
use crate::learn::Learnt;
use crate::scene::{Pooling, StretchPlan};

/// Each class is a value of the label raster, each prompt a query of the model: both cost memory for every pixel.
const MAX_CLASSES: usize = 4096;
const MAX_PROMPTS: usize = 8192;
/// CLIP reads 77 tokens; no sentence of that length comes near this.
const MAX_PROMPT_CHARS: usize = 1000;
const MAX_NAME_CHARS: usize = 200;

/// Of the joint decision: the factor of cosines in its prior, and its temperature, as its authors have them.
const PRIOR_SCALE: f64 = 100.0;
const TEMPERATURE: f64 = 50.0;

/// The part of a plan that is resolved from the job alone.
pub(super) struct Settings {
    pub model: ModelChoice,
    pub classes: Vec<ClassPlan>,
    pub learnt: Option<Arc<Learnt>>,
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
    let (classes, learnt) = all_classes(spec, errors, &mut notes);
    let background = background(spec, &classes, learnt.as_deref(), errors);
    let method = method(spec, learnt.as_deref(), errors);
    thresholds_need_a_background(spec, &method, &classes, background, errors);
    let blend = match spec.tiling.blend {
        Some(BlendForm::Average) => Blend::Average,
        Some(BlendForm::Hann) => Blend::Hann,
        Some(BlendForm::Gaussian) => Blend::Gaussian,
        None => learnt.as_ref().map_or(Blend::default(), |learnt| blend_named(&learnt.header.settings.blend)),
    };
    let device = device(spec, errors);
    let stretch = stretch(spec, errors);
    Settings { model, classes, learnt, background, method, device, stretch, blend, notes }
}

/// Whether the model can be looked up: an empty name and a folder that does not exist have errors of their own.
pub(super) fn has_valid_model(spec: &Spec) -> bool {
    let name = spec.model.as_deref().map_or(DEFAULT_MODEL, str::trim);
    !name.is_empty() && (!is_path(name) || spec.input_path("model", name).is_dir())
}

/// Whether the name of a model can only be a folder.
fn is_path(name: &str) -> bool {
    name.starts_with(['.', '/']) || name.ends_with('/')
}

pub(super) fn model(spec: &Spec, errors: &mut JobErrors<'_>) -> ModelChoice {
    let name = spec.model.as_deref().map_or(DEFAULT_MODEL, str::trim);
    if name.is_empty() {
        errors.add("model", "the model's name is empty").hint =
            Some("Set `model` to the folder of an imported bundle or to a model's name. The default is `mini`.".into());
        return ModelChoice::Named(String::new());
    }
    let folder = spec.input_path("model", name);
    let choice = ModelChoice::of(name, folder.clone());
    if matches!(choice, ModelChoice::Named(_)) && is_path(name) {
        errors.add("model", format!("there is no folder {}", folder.display())).hint =
            Some("Give the folder of a bundle that `segearth model import` or `model fetch` wrote.".into());
    }
    choice
}

/// A blend by its name in a file of learnt classes.
fn blend_named(name: &str) -> Blend {
    [Blend::Average, Blend::Gaussian].into_iter().find(|blend| blend.name() == name).unwrap_or_default()
}

type Classes = (Vec<ClassPlan>, Option<Arc<Learnt>>);

fn all_classes(spec: &Spec, errors: &mut JobErrors<'_>, notes: &mut Vec<String>) -> Classes {
    if spec.classes.is_empty() && spec.without_classes {
        return (Vec::new(), None);
    }
    if spec.classes.is_empty() {
        errors.add("classes", "the job has no classes").hint =
            Some("List them below `classes:`, one line such as `- building,roof,house` for each; on the command line, use --classes.".into());
        return (Vec::new(), None);
    }
    if spec.classes.len() > MAX_CLASSES {
        errors.add("classes", format!("the job has {} classes; at most {MAX_CLASSES} are allowed", spec.classes.len()));
        return (Vec::new(), None);
    }
    let mut plans = Vec::with_capacity(spec.classes.len());
    let mut colours = Vec::with_capacity(spec.classes.len());
    let mut learnt = None;
    for (index, form) in spec.classes.iter().enumerate() {
        if let ClassForm::Long(ClassKeys { learnt: Some(file), .. }) = form {
            let Some(file) = learnt_classes(spec, index, form, file, learnt.is_some(), errors) else { continue };
            for (number, class) in file.header.classes.iter().enumerate() {
                let plan = ClassPlan {
                    name: class.name.clone(),
                    colour: class.colour,
                    prompts: Vec::new(),
                    index: None,
                    threshold: class.threshold,
                    learnt: Some(number),
                };
                plans.push(plan);
                colours.push(Some(class.colour));
            }
            learnt = Some(Arc::new(file));
            continue;
        }
        let (class, colour) = one_class(spec, index, form, errors);
        plans.push(class);
        colours.push(colour);
    }
    let prompts: usize = plans.iter().map(|class| class.prompts.len()).sum();
    if prompts == 0 && learnt.is_none() && plans.iter().any(|class| class.index.is_some()) {
        errors.add("classes", "all classes are conditions on bands, and none has words for the rest").hint =
            Some("Add a class with words, such as `- background`.".into());
    }
    if prompts > MAX_PROMPTS {
        errors.add("classes", format!("the classes have {prompts} prompts in all; at most {MAX_PROMPTS} are allowed"));
    }
    if let [only] = plans.as_slice() {
        notes.push(format!(
            "The job has only one class: every pixel gets the class {}. Add a class such as `background` for the rest.",
            quoted(&only.name)
        ));
    }
    names_differ(&plans, errors);
    say_shared_prompts(&plans, notes);
    say_shared_colours(&plans, &colours, notes);
    palette::colour(&mut plans, &colours);
    (plans, learnt)
}

/// The classes of a file that `segearth learn` wrote.
fn learnt_classes(
    spec: &Spec,
    index: usize,
    form: &ClassForm,
    file: &str,
    second: bool,
    errors: &mut JobErrors<'_>,
) -> Option<Learnt> {
    let key = format!("classes[{index}].learnt");
    let ClassForm::Long(ClassKeys { name, prompts, index: condition, colour, threshold, .. }) = form else {
        return None;
    };
    if name.is_some() || prompts.is_some() || condition.is_some() || colour.is_some() || threshold.is_some() {
        errors.add(&key, "`learnt` stands for all classes of a file and has no other key beside it").hint =
            Some("Remove the other keys; names, colours and thresholds are in the file.".into());
        return None;
    }
    if second {
        errors.add(&key, "the job has two files of learnt classes").hint =
            Some("Learn them together: `segearth learn … --add FILE` takes an earlier file further.".into());
        return None;
    }
    match Learnt::read(&spec.input_path(&key, file.trim())) {
        Ok(learnt) => Some(learnt),
        Err(error) => {
            let text = std::iter::once(error.to_string()).chain(error.causes()).collect::<Vec<_>>().join(": ");
            errors.add(&key, text).hint = error.hint().map(str::to_owned);
            None
        }
    }
}

fn one_class(spec: &Spec, index: usize, form: &ClassForm, errors: &mut JobErrors<'_>) -> (ClassPlan, Option<[u8; 3]>) {
    let key = format!("classes[{index}]");
    let (name, prompts, condition, colour, threshold) = match form {
        ClassForm::Short(text) => {
            let prompts = short_prompts(spec, &key, text, errors);
            (prompts.first().cloned().unwrap_or_default(), prompts, None, None, None)
        }
        ClassForm::Long(keys) => {
            let name = keys.name.as_deref().unwrap_or_default().trim().to_owned();
            let prompts = match &keys.prompts {
                // A condition alone needs no words.
                None if keys.index.is_some() => Vec::new(),
                None => vec![name.clone()],
                Some(OneOrMany::One(text)) => short_prompts(spec, &format!("{key}.prompts"), text, errors),
                Some(OneOrMany::Many(prompts)) => {
                    if prompts.is_empty() {
                        errors.add(&format!("{key}.prompts"), "the class has no prompts").hint =
                            Some("Remove the key to use the class's name as its prompt.".into());
                    }
                    prompts.iter().map(|prompt| prompt.trim().to_owned()).collect()
                }
            };
            if keys.name.is_none() {
                errors.add(&key, format!("{} is missing the key `name`", quoted(&key)));
            } else if name.is_empty() {
                errors.add(&format!("{key}.name"), "a class's name is empty");
            }
            let colour = keys.colour.as_deref().and_then(|text| colour(&key, text, errors));
            if let Some(threshold) = keys.threshold {
                in_range(&format!("{key}.threshold"), "the threshold", threshold, 0.0..=1.0, errors);
            }
            let condition =
                keys.index.as_deref().and_then(|text| index::condition(spec, &format!("{key}.index"), text, errors));
            if keys.index.is_some() && keys.prompts.is_none() && keys.threshold.is_some() {
                errors
                    .add(&format!("{key}.threshold"), "a class by its condition alone has no score and no threshold")
                    .hint = Some("Remove the threshold, or give the class prompts.".into());
            }
            (name, prompts, condition, colour, keys.threshold.map(|threshold| threshold as f32))
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
            errors.add(&at, format!("a prompt has {length} characters; at most {MAX_PROMPT_CHARS} are allowed"));
        }
    }
    (ClassPlan { name, colour: [0; 3], prompts, index: condition, threshold, learnt: None }, colour)
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
            let why =
                if parsed.is_ok() { "is a transparent colour; it must be opaque" } else { "is not a valid colour" };
            errors.add(&format!("{key}.colour"), format!("{} {why}", quoted(text))).hint = Some(
                "Write it as '#3b82f6' (in quotes, since # starts a comment in YAML) or as a CSS colour name such as steelblue."
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
                    "classes {before} and {index}, {} and {}, differ only in case",
                    quoted(other),
                    quoted(&class.name)
                )
            };
            errors.add(&format!("classes[{index}]"), message).hint = Some(
                "Rename one of them, or put the prompts of both into one class. Classes are counted from 0.".into(),
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
                    "Classes {} and {} share the prompt {}: pixels where it scores best get the first of the two.",
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

fn background(
    spec: &Spec,
    classes: &[ClassPlan],
    learnt: Option<&Learnt>,
    errors: &mut JobErrors<'_>,
) -> Option<usize> {
    let find = |name: &str| classes.iter().position(|class| class.name.to_lowercase() == name.trim().to_lowercase());
    let of_file = || learnt.and_then(|learnt| find(learnt.header.background.as_ref()?));
    let Some(name) = &spec.background else { return of_file().or_else(|| find("background")) };
    let found = find(name);
    if found.is_none() && !classes.is_empty() {
        let names = || classes.iter().map(|class| class.name.as_str());
        let hint = match nearest(name, names()) {
            Some(meant) => format!("Did you mean `{meant}`?"),
            None => format!("The classes are {}.", names().take(20).map(quoted).collect::<Vec<_>>().join(", ")),
        };
        errors.add("background", format!("the background {} is not a class of this job", quoted(name))).hint =
            Some(hint);
    }
    found
}

fn method(spec: &Spec, learnt: Option<&Learnt>, errors: &mut JobErrors<'_>) -> Method {
    let form = &spec.method;
    let of_file = learnt.map(|learnt| &learnt.header.settings);
    for (key, given, known) in [
        ("method.debias", form.debias, of_file.map(|settings| settings.debias)),
        ("method.logit_scale", form.logit_scale, of_file.map(|settings| settings.logit_scale)),
    ] {
        if let (Some(given), Some(known)) = (given, known)
            && given as f32 != known
        {
            errors.add(key, format!("the classes were learnt with {known}, not {given}")).hint =
                Some("Remove the key to use the value of the file of learnt classes.".into());
        }
    }
    let gaussian = gaussian(spec, learnt.is_some(), errors);
    let [own_debias, own_scale] = if gaussian.is_some() { [0.0, PRIOR_SCALE] } else { [0.3, 50.0] };
    let debias = form.debias.or(of_file.map(|settings| f64::from(settings.debias))).unwrap_or(own_debias);
    if !in_range("method.debias", "the debiasing", debias, 0.0..=1.0, errors) && (-1.0..0.0).contains(&debias) {
        errors.hint(format!("The paper's λ = {debias} is `debias: {}` here.", -debias));
    }
    let logit_scale = form.logit_scale.or(of_file.map(|settings| f64::from(settings.logit_scale))).unwrap_or(own_scale);
    if in_range("method.logit_scale", "the logit scale", logit_scale, 0.0..=1000.0, errors) && logit_scale == 0.0 {
        errors
            .add("method.logit_scale", "the logit scale is 0; it must be above 0, or all classes get the same score")
            .hint = Some("The default is the paper's value, 50.".into());
    }
    let threshold = form.threshold.unwrap_or(0.0);
    in_range("method.threshold", "the threshold", threshold, 0.0..=1.0, errors);
    let margin = form.margin.unwrap_or(0.0);
    in_range("method.margin", "the margin", margin, 0.0..=1.0, errors);
    if let Some(channels) = form.channels {
        in_range("method.channels", "the number of channels", channels.into(), 1.0..=4096.0, errors);
    }
    Method {
        debias: debias as f32,
        logit_scale: logit_scale as f32,
        gaussian,
        pooling: pooling(form.pooling, learnt),
        threshold: threshold as f32,
        margin: margin as f32,
        templates: templates(spec, errors),
        d4: form.tta == Some(TtaForm::D4),
        channels: form.channels.map(|channels| channels as usize),
        half_resolution: form.half_resolution == Some(true),
    }
}

/// The temperature of the joint decision; `None`: each pixel is decided by its own logits.
fn gaussian(spec: &Spec, learnt: bool, errors: &mut JobErrors<'_>) -> Option<f32> {
    let form = &spec.method;
    if form.decision != Some(DecisionForm::Gaussian) {
        if form.temperature.is_some() {
            errors
                .add("method.temperature", "the temperature is that of `decision: gaussian`, which is not set")
                .hint = Some("Remove the key, or set `method.decision: gaussian`.".into());
        }
        return None;
    }
    let temperature = form.temperature.unwrap_or(TEMPERATURE);
    in_range("method.temperature", "the temperature", temperature, 1.0..=10_000.0, errors);
    let mut refuse = |key: &str, why: &str, hint: &str| errors.add(key, why).hint = Some(hint.into());
    if form.debias.is_some_and(|debias| debias != 0.0) {
        let why =
            "`decision: gaussian` has no debiasing: it decides by patches, without the window's global similarity";
        refuse("method.debias", why, "Remove the key.");
    }
    for (key, given) in
        [("method.channels", form.channels.is_some()), ("method.half_resolution", form.half_resolution == Some(true))]
    {
        if given {
            refuse(key, "`decision: gaussian` has no upsampler to approximate", "Remove the key.");
        }
    }
    if learnt {
        let why = "`decision: gaussian` is for classes by words, and the job has learnt classes";
        refuse("method.decision", why, "Remove the key, or the learnt classes.");
    }
    if spec.embeddings.is_some() {
        let why =
            "`decision: gaussian` is fitted to windows of the whole scene, which a store of embeddings need not hold";
        refuse("method.decision", why, "Remove `embeddings` or `method.decision`.");
    }
    Some(temperature as f32)
}

/// Learnt queries that were fitted as sums are summed, whatever the job says.
fn pooling(given: Option<PoolingForm>, learnt: Option<&Learnt>) -> Pooling {
    let fitted = learnt.is_some_and(|learnt| learnt.header.sums_queries);
    if fitted || given == Some(PoolingForm::Sum) { Pooling::Sum } else { Pooling::Largest }
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
                let message = format!("{} is not `imagenet80`, `none` or a file that exists", quoted(file));
                errors.add("method.templates", message).hint = match nearest(file, ["imagenet80", "none"]) {
                    Some(meant) => Some(format!("Did you mean `{meant}`?")),
                    None => Some("A template file has one sentence per line, with {} in place of the prompt.".into()),
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
    errors.add(&key, "a threshold is set, but the job has no background class for the pixels below it").hint =
        Some("Set `background: NAME` (--background NAME), or add a class named `background`.".into());
}

pub(super) fn device(spec: &Spec, errors: &mut JobErrors<'_>) -> DeviceChoice {
    let text = spec.device.as_deref().unwrap_or("auto");
    text.parse().unwrap_or_else(|NoDevice| {
        let message = format!("{} is not a device; allowed are `auto`, `cpu`, `cuda` and `cuda:N`", quoted(text));
        let error = errors.add("device", message);
        if text.trim().eq_ignore_ascii_case("gpu") {
            error.hint = Some("Did you mean `cuda`?".into());
        }
        DeviceChoice::Auto
    })
}
