//! A job's prompts as text features, and the model that is loaded with them; with warnings on words that the model does not
//! know, prompts that are cut, and classes that the model cannot tell apart.

use std::collections::HashMap;
use std::hash::Hash;

use super::super::prepared::PreparedJob;
use crate::error::{Context, Error, Result};
use crate::model::bundle::Bundle;
use crate::model::fake::Fake;
use crate::model::queries::{self, QueryCache, Wording};
use crate::model::registry::Model;
use crate::model::text::{Tokenizer, fill, imagenet_templates, read_templates};
use crate::model::torch::{Device, TorchTextEncoder};
use crate::model::tta::D4;
use crate::model::{self, JointSettings, Queries, Segmenter, Shortcuts, TokenSource};
use crate::pipeline::{ClassPlan, Method, Plan, TemplateChoice, quoted};
use crate::report::Reporter;

/// Loads the model of a job, with the text features of its prompts.
pub fn segmenter(job: &PreparedJob, reporter: &Reporter) -> Result<Box<dyn Segmenter>> {
    let plan = &job.plan;
    let segmenter: Box<dyn Segmenter> = match &job.model {
        Model::Fake(answer) => Box::new(Fake { answer: *answer, queries: plan.queries() }),
        Model::Bundle(bundle) => {
            let queries = all_queries(plan, bundle, job.device, reporter)?;
            let tokens = if job.embedder.is_some() { TokenSource::Images } else { TokenSource::Tower };
            let segmenter = of_queries(job, bundle, &queries, tokens)?;
            segmenter.warning().into_iter().for_each(|warning| reporter.note(warning));
            segmenter
        }
    };
    Ok(if plan.method.d4 { Box::new(D4::new(segmenter)) } else { segmenter })
}

/// Loads the model of a job with its queries, without test-time augmentation.
pub fn of_queries(
    job: &PreparedJob,
    bundle: &Bundle,
    queries: &Queries,
    tokens: TokenSource,
) -> Result<Box<dyn Segmenter>> {
    let Method { debias, channels, half_resolution, logit_scale, gaussian, .. } = job.plan.method;
    if let Some(temperature) = gaussian {
        if tokens == TokenSource::Images {
            return Err(Error::input("`method.decision: gaussian` needs windows of the whole scene, not stored ones")
                .with_hint("Remove the key, or run the job without a store of embeddings."));
        }
        let settings = JointSettings { prior_scale: logit_scale, temperature };
        return model::joint_segmenter(bundle, job.device, queries, settings);
    }
    model::segmenter(bundle, job.device, queries, debias, Shortcuts { channels, half_resolution }, tokens)
}

/// The queries of all classes in their order: text features of the prompts, and vectors that were learnt.
fn all_queries(plan: &Plan, bundle: &Bundle, device: Device, reporter: &Reporter) -> Result<Queries> {
    let width = bundle.card.sizes.embed_dim;
    let words = match prompts(plan).next() {
        Some(_) => queries(plan, bundle, device, reporter)?,
        None => Queries { count: 0, width, features: Vec::new() },
    };
    Ok(with_learnt(plan, words))
}

/// The queries of all classes in their order: `words`, the text features of all prompts, and vectors that were learnt.
pub fn with_learnt(plan: &Plan, words: Queries) -> Queries {
    if plan.learnt.is_none() {
        return words;
    }
    let width = words.width;
    let mut words = words.features.chunks_exact(width.max(1));
    let mut features = Vec::with_capacity(plan.queries() * width);
    for class in &plan.classes {
        match class.learnt {
            Some(number) => plan.learnt_queries(number).for_each(|query| features.extend(&query.vector)),
            None => words.by_ref().take(class.prompts.len()).for_each(|word| features.extend(word)),
        }
    }
    Queries { count: plan.queries(), width, features }
}

/// The text features of all prompts: from the cache, or from the text tower.
pub fn queries(plan: &Plan, bundle: &Bundle, device: Device, reporter: &Reporter) -> Result<Queries> {
    let prompts = Prompts::of(plan, bundle)?;
    prompts.notes(plan)?.iter().for_each(|note| reporter.note(note));
    let wording = Wording { prompts: &prompts.prompts, templates: &prompts.templates };
    let queries = features(wording, &prompts.tokenizer, bundle, device, reporter)?;
    prompts.equal_queries(plan, &queries)?.iter().for_each(|note| reporter.note(note));
    Ok(queries)
}

/// The text features of prompts in their templates: from the cache, or from the text tower.
pub fn features(
    wording: Wording<'_>,
    tokenizer: &Tokenizer,
    bundle: &Bundle,
    device: Device,
    reporter: &Reporter,
) -> Result<Queries> {
    let fingerprint = bundle.text_fingerprint()?;
    let cache = QueryCache::of_user();
    if let Some(queries) = cache.as_ref().and_then(|cache| cache.get(&fingerprint, wording)) {
        reporter.detail("The prompts' features come from the cache.");
        return Ok(queries);
    }
    let mut encoder = TorchTextEncoder::load(&bundle.text_encoder(), device)?;
    let progress = reporter.progress("prompts", wording.prompts.len(), "prompts");
    let queries = queries::encode(wording, tokenizer, &mut encoder, |_| progress.advance(1))
        .input(|| format!("cannot encode the prompts with the model in {}", bundle.folder.display()))?;
    if queries.width != bundle.card.sizes.embed_dim {
        let (found, expected) = (queries.width, bundle.card.sizes.embed_dim);
        return Err(Error::input(format!(
            "the text tower gives features of width {found}, sizes.embed_dim in model.yaml is {expected}"
        ))
        .with_hint("Import the model again, or correct that key."))
        .input(|| format!("cannot use the model in {}", bundle.folder.display()));
    }
    if let Some(Err(error)) = cache.map(|cache| cache.put(&fingerprint, wording, &queries)) {
        reporter.note(&format!("The prompts' features are not cached for the next job: {error}."));
    }
    Ok(queries)
}

/// All that text features depend on, except the text tower.
pub struct Prompts {
    pub tokenizer: Tokenizer,
    /// Each with one `{}`.
    pub templates: Vec<String>,
    /// Of all classes, one class after another.
    pub prompts: Vec<String>,
}

impl Prompts {
    /// # Errors
    /// A template file or tokenizer that cannot be read, or that does not belong to the model.
    pub fn of(plan: &Plan, bundle: &Bundle) -> Result<Self> {
        let templates = match &plan.method.templates {
            TemplateChoice::ImageNet80 => imagenet_templates(),
            TemplateChoice::None => vec!["{}".to_owned()],
            TemplateChoice::File(path) => read_templates(path)?,
        };
        Ok(Self {
            tokenizer: tokenizer(bundle)?,
            templates,
            prompts: prompts(plan).map(|(_, prompt)| prompt.clone()).collect(),
        })
    }

    /// Warnings on prompts: unknown words, prompts that are too long, prompts with the same tokens.
    pub fn notes(&self, plan: &Plan) -> Result<Vec<String>> {
        let Self { tokenizer, templates, .. } = self;
        let mut notes = Vec::new();
        for (_, prompt) in prompts(plan) {
            for word in tokenizer.unknown_words(prompt)? {
                notes
                    .push(format!("\"{word}\" is not in the model's vocabulary: results of its class are unreliable."));
            }
        }
        for (class, prompt) in prompts(plan) {
            notes.extend(cut(class, prompt, tokenizer, templates)?);
        }
        let filled = |prompt: &String| {
            let ids = templates.iter().map(|template| tokenizer.encode(&fill(template, prompt)));
            ids.collect::<Result<Vec<Vec<u32>>>>()
        };
        let tokens = prompts(plan).map(|(_, prompt)| filled(prompt)).collect::<Result<Vec<_>>>()?;
        notes.extend(same(plan, &tokens, "have the same tokens"));
        Ok(notes)
    }

    /// Warnings on classes whose queries are equal, though their tokens differ.
    fn equal_queries(&self, plan: &Plan, queries: &Queries) -> Result<Vec<String>> {
        let vectors = queries.features.chunks_exact(queries.width.max(1));
        let bits: Vec<Vec<u32>> = vectors.map(|vector| vector.iter().map(|value| value.to_bits()).collect()).collect();
        let tokens = prompts(plan).map(|(_, prompt)| self.tokenizer.encode(prompt)).collect::<Result<Vec<_>>>()?;
        // Prompts with the same tokens have their own warning.
        let known: Vec<String> = same(plan, &tokens, "have the same query vectors").collect();
        Ok(same(plan, &bits, "have the same query vectors").filter(|note| !known.contains(note)).collect())
    }
}

/// The tokenizer of a model.
///
/// # Errors
/// It cannot be read, or does not belong to the model.
pub fn tokenizer(bundle: &Bundle) -> Result<Tokenizer> {
    let tokenizer = Tokenizer::from_json_file(&bundle.tokenizer())?.with_context(bundle.card.sizes.context);
    tokenizer
        .check_embedding(bundle.card.sizes.vocabulary)
        .input(|| format!("cannot use the model in {}", bundle.folder.display()))?;
    Ok(tokenizer)
}

/// The prompts of all classes with their class, in the order of the queries.
fn prompts(plan: &Plan) -> impl Iterator<Item = (&ClassPlan, &String)> {
    plan.classes.iter().flat_map(|class| class.prompts.iter().map(move |prompt| (class, prompt)))
}

/// The warning on a prompt of which the model does not read the end.
fn cut(class: &ClassPlan, prompt: &str, tokenizer: &Tokenizer, templates: &[String]) -> Result<Option<String>> {
    let context = tokenizer.context();
    let counts = templates.iter().map(|template| tokenizer.count(&fill(template, prompt)));
    let counts = counts.collect::<Result<Vec<usize>>>()?;
    let cut = counts.iter().filter(|&&count| count > context).count();
    let longest = counts.iter().max().copied().unwrap_or(0);
    let within = match (cut, templates.len()) {
        (_, 1) => String::new(),
        (cut, all) if cut == all => " with its longest template".to_owned(),
        (cut, all) => format!(" with its longest template ({cut} of {all} are too long)"),
    };
    Ok((cut > 0).then(|| {
        format!(
            "The prompt {} of class {} has {longest} tokens{within}, and the model reads {context}: the rest is cut off.",
            quoted(prompt),
            quoted(&class.name)
        )
    }))
}

/// Pairs of prompts that are written differently and are the same to the model: each with the first one like it.
fn same<K: Hash + Eq>(plan: &Plan, keys: &[K], how: &str) -> impl Iterator<Item = String> {
    let mut first: HashMap<&K, (&ClassPlan, &String)> = HashMap::new();
    let mut notes = Vec::new();
    for (key, (class, prompt)) in keys.iter().zip(prompts(plan)) {
        let Some((other, before)) = first.get(key) else {
            first.insert(key, (class, prompt));
            continue;
        };
        if *before == prompt {
            continue;
        }
        notes.push(if other.name == class.name {
            format!(
                "The prompts {} and {} of class {} {how}: the model makes no difference between them.",
                quoted(before),
                quoted(prompt),
                quoted(&class.name)
            )
        } else {
            format!(
                "Classes {} and {} cannot be told apart by their prompts {} and {}, which {how}: where both have the best score, \
                 the first one is taken.",
                quoted(&other.name),
                quoted(&class.name),
                quoted(before),
                quoted(prompt)
            )
        });
    }
    notes.into_iter()
}
