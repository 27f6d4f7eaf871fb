//! A job's prompts as its model reads them, and what is to be said of them: unknown words, prompts that are cut, classes that
//! are the same to the model.

use std::collections::HashMap;
use std::hash::Hash;

use crate::error::{Context, Result};
use crate::model::Queries;
use crate::model::bundle::Bundle;
use crate::model::text::{Tokenizer, fill, imagenet_templates, read_templates};
use crate::pipeline::{ClassPlan, Plan, TemplateChoice, quoted};

/// All that text features depend on, but for the text tower.
pub(super) struct Prompts {
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
        let tokenizer = Tokenizer::from_json_file(&bundle.tokenizer())?.with_context(bundle.card.sizes.context);
        tokenizer
            .check_embedding(bundle.card.sizes.vocabulary)
            .input(|| format!("cannot use the model in {}", bundle.folder.display()))?;
        Ok(Self { tokenizer, templates, prompts: prompts(plan).map(|(_, prompt)| prompt.clone()).collect() })
    }
}

/// The prompts of all classes with their class, in the order of the queries.
fn prompts(plan: &Plan) -> impl Iterator<Item = (&ClassPlan, &String)> {
    plan.classes.iter().flat_map(|class| class.prompts.iter().map(move |prompt| (class, prompt)))
}

/// What the tokenizer makes of the prompts.
pub(super) fn notes(plan: &Plan, tokenizer: &Tokenizer, templates: &[String]) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for (_, prompt) in prompts(plan) {
        for word in tokenizer.unknown_words(prompt)? {
            notes.push(format!("the model does not know the word \"{word}\"; its class may come out at random."));
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

/// Classes whose queries are the same vectors, though their tokens differ.
pub(super) fn same_queries(plan: &Plan, tokenizer: &Tokenizer, queries: &Queries) -> Result<Vec<String>> {
    let vectors = queries.features.chunks_exact(queries.width.max(1));
    let bits: Vec<Vec<u32>> = vectors.map(|vector| vector.iter().map(|value| value.to_bits()).collect()).collect();
    let tokens = prompts(plan).map(|(_, prompt)| tokenizer.encode(prompt)).collect::<Result<Vec<_>>>()?;
    // What has the same tokens has been said: each vector counts once for each row of tokens.
    let said: Vec<String> = same(plan, &tokens, "have the same query vectors").collect();
    Ok(same(plan, &bits, "have the same query vectors").filter(|note| !said.contains(note)).collect())
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
                "The prompts {} and {} of class {} {how}: the model sees one and the same.",
                quoted(before),
                quoted(prompt),
                quoted(&class.name)
            )
        } else {
            format!(
                "Classes {} and {} cannot be told apart by their prompts {} and {}, which {how}: where they are best, the \
                 first of them wins.",
                quoted(&other.name),
                quoted(&class.name),
                quoted(before),
                quoted(prompt)
            )
        });
    }
    notes.into_iter()
}
