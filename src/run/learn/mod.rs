//! `segearth learn`: examples over scenes to a file of learnt classes.
//!
//! ```text
//!  examples ─► pixels ─► windows that hold them ─► features, descriptors ─┐
//!  words ─► queries ──────────────────────────────────────────────────────┼─► fit ─► file, figures
//!  earlier file (--add) ─► its samples ───────────────────────────────────┘     └─► suggestions
//! ```

mod collect;
mod examples;
mod features;
mod suggest;

use std::path::Path;

use super::embed::{self, Embedder};
use super::job::{queries, usable_device};
use super::learnt;
use super::lookup::Lookup;
use super::prepared::PreparedJob;
use super::results::{Staged, command_facts, input};
use super::run_metrics::RunMetrics;
use super::stop::Stop;
use super::watch::Watch;
use crate::cli::LearnArgs;
use crate::error::{Context as _, Error, Result};
use crate::evaluate::ClassMap;
use crate::journal::Fingerprint;
use crate::learn::{
    self, Fitted, Header, Held, Learnt, LearntClass, LearntExample, LearntSettings, Start, StoredSamples, TrainingSet,
};
use crate::location::split_layer;
use crate::model::TokenSource;
use crate::model::bundle::Bundle;
use crate::model::registry::Model;
use crate::outputs::{Existing, Product};
use crate::pipeline::{self, ClassPlan, Plan};
use crate::raster::ExampleSource;
use crate::report::{LearnReport, Reporter};
use crate::scene::{ClassNames, Pooling, ProductOptions, Recipe, same_name};
pub use collect::Collected;
pub use features::{PixelFeatures, features, segmenter as feature_segmenter, windows as windows_of_pixels};

/// Fewer examples of a class than this deserve a warning.
const FEW: usize = 5;

const CLASSES: &str = "classes";
const JSON: &str = "json";
const SUGGESTIONS: &str = "suggestions";

pub fn run(args: &LearnArgs, trust: bool, reporter: &Reporter) -> Result<()> {
    if !(0.0..=1e6).contains(&args.radius) {
        return Err(Error::input(format!("the radius is {}; it must be from 0 to 1000000 metres", args.radius)));
    }
    let mut spec = pipeline::from_flags(&embed::learn_options(args)?)?;
    spec.without_classes = true;
    let mut lookup = Lookup::new(trust);
    let mut plan = pipeline::resolve(&spec, &mut lookup)?;
    let Model::Bundle(bundle) = lookup.into_model()? else {
        return Err(Error::input("the fake models have no features to learn from")
            .with_hint("Remove --model to use the built-in model, or name a bundle."));
    };
    if plan.learnt.is_some() {
        return Err(Error::input("--classes names a file of learnt classes, which are no words")
            .with_hint("Take such a file further with --add FILE."));
    }
    let earlier = args.add.as_deref().map(Learnt::read).transpose()?;
    let further = further_bands(args, earlier.as_ref(), &mut plan)?;
    let mut products = vec![(CLASSES, Product::file(&args.output, facts(args)))];
    products.extend(args.json.iter().map(|path| (JSON, Product::file(path, facts(args)))));
    if let Some(path) = &args.suggestions {
        let options = ProductOptions::default();
        let product = Product::vector(path, Recipe::Plain, &options, &ClassNames::default(), facts(args))?;
        products.push((SUGGESTIONS, product));
    }
    let existing = if args.overwrite { Existing::Replace } else { Existing::Refuse };
    let staged = Staged::of_command(products, existing)?;
    let device = usable_device(plan.device, reporter)?;
    plan.notes.iter().for_each(|note| reporter.note(note));
    let mut job = PreparedJob::new(plan, Model::Bundle(bundle.clone()), device, spec.written());
    if let Some(store) = &job.plan.embeddings {
        job.embedder = Some(Embedder::new(store, &bundle, device)?);
    }
    if let (Some(path), Some(earlier)) = (&args.add, &earlier) {
        check_earlier(earlier, &job.plan, &bundle, &further)
            .input(|| format!("cannot take {} further", path.display()))?;
    }

    let (path, layer) = split_layer(&args.examples);
    let codes = args.map.as_deref().map(ClassMap::read).transpose()?.map(|map| map.label_codes());
    let source = ExampleSource {
        path: &path,
        layer: layer.as_deref(),
        class_field: args.class_field.as_deref(),
        codes: codes.as_ref(),
        radius: args.radius,
        most: args.pixels as usize,
    };
    let optional = earlier.is_some() || job.plan.classes.iter().any(|class| !class.prompts.is_empty());
    let found = examples::read(&source, &job.plan.scenes, optional)?;
    let tokens = if job.embedder.is_some() { TokenSource::Images } else { TokenSource::Tower };
    let mut segmenter = features::segmenter(&job, &bundle, tokens)?;
    let width = bundle.card.sizes.embed_dim;
    let mut collected = match args.features_only {
        true => Collected::new(width, false),
        false => Collected::with_further_bands(width, further.len()),
    };
    if let Some(earlier) = &earlier {
        collected.add_earlier(earlier)?;
    }
    let earlier_classes = collected.class_names().to_vec();
    let stop = Stop::listen()?;
    for (scene, examples) in job.plan.scenes.iter().zip(found) {
        let watch = Watch { stop: &stop, metrics: &RunMetrics::default(), reporter };
        collected.add_scene(&job, scene, examples, segmenter.as_mut(), watch)?;
    }
    drop(segmenter);
    collected.notes(job.plan.scenes.len()).iter().for_each(|note| reporter.note(note));
    if !job.plan.classes.is_empty() {
        let known = pipeline::with_classes(job.plan.classes.clone(), &earlier_classes);
        collected.foreign_classes(&known, &path).iter().for_each(|note| reporter.note(note));
    }

    let words = |classes: &[ClassPlan]| words(&job, &bundle, classes, reporter);
    let Lesson { classes, learnt, fitted, set } = lesson(&job, &bundle, collected, earlier.as_ref(), words)?;
    remarks(&classes, &set, &fitted).iter().for_each(|remark| reporter.note(remark));
    learnt
        .write(&staged.path(CLASSES).unwrap_or_else(|| args.output.clone()))
        .map_err(|error| staged.explain(error))?;
    let report =
        LearnReport { classes: &learnt.header.classes, fitted: &fitted, samples: set.len(), output: &args.output };
    if let Some(path) = &args.json {
        let here = staged.path(JSON).unwrap_or_else(|| path.clone());
        crate::atomic::write_file(&here, report.json()?.as_bytes()).map_err(|error| staged.explain(error))?;
    }
    if let (Some(wanted), Some(path)) = (args.suggest, &args.suggestions) {
        let here = staged.path(SUGGESTIONS).unwrap_or_else(|| path.clone());
        let found = suggest::suggest(&job, &learnt, wanted as usize, &here, &stop, reporter);
        let found = found.map_err(|error| staged.explain(error))?;
        reporter.note(&format!("{found} places to label next are in {}: fill in their field `class`.", path.display()));
    }
    staged.publish()?;
    reporter.learnt(&report);
    Ok(())
}

/// What examples led to.
pub struct Lesson {
    pub classes: Vec<ClassPlan>,
    pub learnt: Learnt,
    pub fitted: Fitted,
    pub set: TrainingSet,
}

/// Learns classes from examples that were collected. `words`: the text features of the classes' prompts, and the class of each.
///
/// # Errors
/// There is nothing to learn from.
pub fn lesson(
    job: &PreparedJob,
    bundle: &Bundle,
    collected: Collected,
    earlier: Option<&Learnt>,
    words: impl FnOnce(&[ClassPlan]) -> Result<(Vec<f32>, Vec<usize>)>,
) -> Result<Lesson> {
    let classes = classes(&job.plan, &collected, earlier);
    let words = words(&classes)?;
    let (set, examples) = collected.into_set(&classes, job.patch)?;
    let start = Start {
        classes: classes.len(),
        words: &words.0,
        word_classes: &words.1,
        logit_scale: job.plan.method.logit_scale,
        pooling: job.plan.method.pooling,
    };
    let fitted = learn::fit(&set, &start)?;
    let learnt = file(job, bundle, &classes, &set, examples, &fitted, earlier);
    Ok(Lesson { classes, learnt, fitted, set })
}

/// The classes of an earlier file, if they were learnt as those of a plan are, which the web application takes further.
///
/// # Errors
/// They were learnt with another model, other settings, or bands beside red, green and blue.
pub fn further(learnt: Learnt, path: &Path, plan: &Plan, bundle: &Bundle) -> Result<Learnt> {
    let context = || format!("cannot take {} further", path.display());
    let bands = &learnt.header.further_bands;
    if !bands.is_empty() {
        return Err(Error::input(format!("it was learnt with bands beside red, green and blue: {}", bands.join(", ")))
            .with_hint("Take it further with `segearth learn --add`, which reads them."))
        .input(context);
    }
    check_earlier(&learnt, plan, bundle, &[]).input(context)?;
    Ok(learnt)
}

/// The bands beyond red, green and blue: those of the command, else those of the file that is taken further.
fn further_bands(args: &LearnArgs, earlier: Option<&Learnt>, plan: &mut Plan) -> Result<Vec<String>> {
    let of_earlier = earlier.map_or(&[][..], |learnt| &learnt.header.further_bands);
    let texts = match &args.descriptor_bands {
        Some(list) => list.split(',').map(|text| text.trim().to_owned()).collect(),
        None if args.features_only => Vec::new(),
        None => of_earlier.to_vec(),
    };
    pipeline::choose_further_bands(&texts, &mut plan.scenes)
}

/// Refuses an earlier file that was learnt otherwise than this one is.
fn check_earlier(learnt: &Learnt, plan: &Plan, bundle: &Bundle, further: &[String]) -> Result<()> {
    let with = Plan { learnt: Some(std::sync::Arc::new(learnt.clone())), ..plan.clone() };
    learnt::check(&with, &Model::Bundle(Box::new(bundle.clone())))?;
    let of_earlier = &learnt.header.further_bands;
    if of_earlier != further {
        let listed = |bands: &[String]| if bands.is_empty() { "none".to_owned() } else { bands.join(", ") };
        return Err(Error::input(format!(
            "its bands beside red, green and blue are: {}; now they are: {}",
            listed(of_earlier),
            listed(further)
        ))
        .with_hint("Leave out --descriptor-bands to take those of the file."));
    }
    let (known, now) = (&learnt.header.settings, settings(plan));
    let differs = [
        ("debias", known.debias != now.debias),
        ("logit scale", known.logit_scale != now.logit_scale),
        ("window", known.window != now.window),
        ("stride", known.stride != now.stride),
        ("blend", known.blend != now.blend),
    ];
    match differs.iter().find(|(_, differs)| *differs) {
        None => Ok(()),
        Some((what, _)) => Err(Error::input(format!("it was learnt with another {what}"))
            .with_hint("Give the settings that the file was learnt with.")),
    }
}

fn settings(plan: &Plan) -> LearntSettings {
    let bands = plan.scenes.first().map(|scene| learnt::bands(&scene.info, scene.bands));
    LearntSettings {
        debias: plan.method.debias,
        logit_scale: plan.method.logit_scale,
        window: plan.tiling.window,
        stride: plan.tiling.stride,
        blend: plan.tiling.blend.name().to_owned(),
        bands: bands.unwrap_or_default(),
    }
}

/// The classes of the words, then those of the earlier file, then those of the examples.
fn classes(plan: &Plan, collected: &Collected, earlier: Option<&Learnt>) -> Vec<ClassPlan> {
    let mut classes = plan.classes.clone();
    for class in earlier.iter().flat_map(|earlier| &earlier.header.classes) {
        if !classes.iter().any(|known| same_name(&known.name, &class.name)) {
            classes.push(ClassPlan {
                name: class.name.clone(),
                colour: class.colour,
                prompts: class.prompts.clone(),
                index: None,
                threshold: class.threshold,
                learnt: None,
            });
        }
    }
    pipeline::with_classes(classes, collected.class_names())
}

/// The text features of all classes' prompts, and the class of each.
fn words(
    job: &PreparedJob,
    bundle: &Bundle,
    classes: &[ClassPlan],
    reporter: &Reporter,
) -> Result<(Vec<f32>, Vec<usize>)> {
    let of = classes.iter().enumerate().flat_map(|(number, class)| class.prompts.iter().map(move |_| number));
    let of: Vec<usize> = of.collect();
    if of.is_empty() {
        return Ok((Vec::new(), of));
    }
    let plan = Plan { classes: classes.to_vec(), ..job.plan.clone() };
    Ok((queries(&plan, bundle, job.device, reporter)?.features, of))
}

fn file(
    job: &PreparedJob,
    bundle: &Bundle,
    classes: &[ClassPlan],
    set: &TrainingSet,
    examples: Vec<LearntExample>,
    fitted: &Fitted,
    earlier: Option<&Learnt>,
) -> Learnt {
    let class = |class: &ClassPlan| LearntClass {
        name: class.name.clone(),
        colour: class.colour,
        threshold: class.threshold,
        prompts: class.prompts.clone(),
    };
    let further: Vec<String> =
        job.plan.scenes.iter().take(1).flat_map(|scene| &scene.further_bands).map(|(name, _)| name.clone()).collect();
    let background = job.plan.background.and_then(|index| classes.get(index)).map(|class| class.name.clone());
    let mut header = Header {
        classes: classes.iter().map(class).collect(),
        background: background.or_else(|| earlier.and_then(|earlier| earlier.header.background.clone())),
        sums_queries: !fitted.kept_words || job.plan.method.pooling == Pooling::Sum,
        channels: if set.locals > 0 { learn::COLOURS + further.len() } else { 0 },
        further_bands: if set.locals > 0 { further } else { Vec::new() },
        pixel_size: job.plan.scenes.first().and_then(|scene| learnt::pixel_size(&scene.info)),
        examples,
        ..Header::new(learnt::identity(bundle), settings(&job.plan))
    };
    header.set_figures(fitted.figures.as_ref());
    let samples = StoredSamples {
        features: set.features.clone(),
        local: set.local.clone(),
        surroundings: set.surroundings.clone(),
        surroundings_local: set.surroundings_local.clone(),
        examples: set.examples.clone(),
        places: set.places.iter().map(|place| [place.col, place.row]).collect(),
    };
    Learnt { header, queries: fitted.queries.clone(), samples }
}

/// What users should know of a lesson, as sentences: where figures or classes stand on too few examples, and where words stay as they
/// are.
pub fn remarks(classes: &[ClassPlan], set: &TrainingSet, fitted: &Fitted) -> Vec<String> {
    if set.is_empty() {
        return vec!["No example counts: the classes are those of the words alone.".to_owned()];
    }
    let examples = set.examples_of_classes(classes.len());
    let of_class = |(class, examples): (&ClassPlan, &Vec<usize>)| {
        let name = pipeline::quoted(&class.name);
        match examples.len() {
            0 if class.prompts.is_empty() => None,
            0 => Some(format!(
                "Class {name} has no example: words alone say what it looks like, and the figures say nothing of it."
            )),
            count if count < FEW => {
                let noun = if count == 1 { "example" } else { "examples" };
                Some(format!("Class {name} has {count} {noun}; from about {FEW} on, figures mean something."))
            }
            _ => None,
        }
    };
    let mut remarks: Vec<String> = classes.iter().zip(&examples).filter_map(of_class).collect();
    if fitted.crowded {
        remarks.push(format!(
            "The examples lie so near each other that leaving some out, with what is near them, leaves too little to learn from: there are no figures{}. Spread the examples.",
            if fitted.kept_words { ", and the words are kept as they are" } else { "" }
        ));
    } else if fitted.figures.is_none() {
        remarks
            .push("There are no figures: two classes need two examples each, so that one can be left out.".to_owned());
    }
    if fitted.figures.as_ref().is_some_and(|figures| figures.by_place) {
        remarks.push("Many examples lie near each other: those that lie together were left out together.".to_owned());
    }
    if let Some(Held { most_change, share }) = fitted.held {
        remarks.push(format!(
            "With so few examples, no class may change by more than {:.0} % of its pixels against the words, as far as the examples show these to be wrong: {:.0} % of what was learnt counts. Give more examples to go further.",
            100.0 * most_change,
            100.0 * share
        ));
    } else if fitted.colours_alone {
        remarks.push("Local colours alone judge the examples that were left out best: words and the model's features are not used.".to_owned());
    } else if fitted.kept_words && !fitted.crowded {
        remarks.push(
            "The examples give no better map than the words, by those left out: the words are kept as they are."
                .to_owned(),
        );
    }
    remarks
}

/// The flags that decide the result, by name.
fn facts(args: &LearnArgs) -> Fingerprint {
    let own = [
        ("scenes", Some(args.scenes.join(", "))),
        ("--examples", input(&args.examples)),
        ("--class-field", args.class_field.clone()),
        ("--map", args.map.as_deref().and_then(input)),
        ("--classes", args.classes.clone()),
        ("--add", args.add.as_deref().and_then(input)),
        ("--radius", Some(args.radius.to_string())),
        ("--pixels", Some(args.pixels.to_string())),
        ("--from", args.from.as_deref().map(Path::new).and_then(input)),
        ("--descriptor-bands", args.descriptor_bands.clone()),
        ("--features-only", args.features_only.then(|| "true".to_owned())),
    ];
    let options = args.options().into_iter().map(|(flag, _, value)| (flag, Some(value.clone())));
    command_facts("learn", own.into_iter().chain(options))
}
