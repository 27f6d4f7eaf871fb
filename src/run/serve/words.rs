//! Text features of prompts, each computed once: a class that is added costs its own words alone.
//!
//! A prompt's features do not depend on the prompts beside it, so that they are to the bit those of a run.

use std::collections::HashMap;

use crate::error::Result;
use crate::model::Queries;
use crate::model::bundle::Bundle;
use crate::model::queries::Wording;
use crate::model::torch::Device;
use crate::pipeline::Plan;
use crate::report::Reporter;
use crate::run::job::{self, Prompts};

/// Prompts that are remembered: more than anyone tries in a session.
const MOST: usize = 10_000;

#[derive(Default)]
pub struct Words {
    /// Tokenizer and templates, read once.
    prompts: Option<Prompts>,
    features: HashMap<String, Vec<f32>>,
    /// Remarks on the prompts that were asked for last.
    pub notes: Vec<String>,
}

impl Words {
    /// The text features of all prompts of a plan, in its order.
    ///
    /// # Errors
    /// The text tower cannot be run.
    pub fn queries(&mut self, plan: &Plan, bundle: &Bundle, device: Device, reporter: &Reporter) -> Result<Queries> {
        let mut prompts = match self.prompts.take() {
            Some(prompts) => prompts,
            None => Prompts::of(plan, bundle)?,
        };
        prompts.prompts = plan.classes.iter().flat_map(|class| class.prompts.iter().cloned()).collect();
        let found = self.features_of(&prompts, plan, bundle, device, reporter);
        self.prompts = Some(prompts);
        found
    }

    fn features_of(
        &mut self,
        prompts: &Prompts,
        plan: &Plan,
        bundle: &Bundle,
        device: Device,
        reporter: &Reporter,
    ) -> Result<Queries> {
        self.notes = prompts.notes(plan)?;
        if self.features.len() > MOST {
            self.features.clear();
        }
        let mut new: Vec<String> =
            prompts.prompts.iter().filter(|prompt| !self.features.contains_key(*prompt)).cloned().collect();
        new.sort();
        new.dedup();
        let width = bundle.card.sizes.embed_dim;
        if !new.is_empty() {
            let wording = Wording { prompts: &new, templates: &prompts.templates };
            let queries = job::features(wording, &prompts.tokenizer, bundle, device, reporter)?;
            let vectors = queries.features.chunks_exact(queries.width.max(1)).map(<[f32]>::to_vec);
            self.features.extend(new.into_iter().zip(vectors));
        }
        let vectors = prompts.prompts.iter().filter_map(|prompt| self.features.get(prompt));
        let features: Vec<f32> = vectors.flatten().copied().collect();
        Ok(Queries { count: prompts.prompts.len(), width, features })
    }
}
