//! Region–text contrast: what a batch's patches and pictures must resemble, and what they must not.
//!
//! For a patch of label ℓ every affirmed concept competes only with the denied ones, not with the others that hold too:
//!
//! ```text
//! loss(ℓ) = Σ_c w[ℓ, c] · softplus(log Σ_{denied d} exp s[d] - s[c]),    s = 50 · (f·t + λ ĉ·t)
//! ```
//!
//! so that "building", "house" and "built-up area" can be near one region at once. λ is drawn per picture: the features
//! are used with the `[CLS]` share subtracted, and are trained so.
//!
//! A second loss over patches is what a job decides by. Every view has a few words, as a job has classes, and
//!
//! ```text
//! loss(ℓ) = -log (Σ_{right c} exp s[c] / Σ_{right or wrong c} exp s[c]),    s = 20 · f·t
//! ```
//!
//! where the words that ℓ affirms are right, or "background" if the view's words have none of them; for a label that only
//! denies, all words but those. Words that are neither take no part.

use segearth::error::{Error, Result};
use segearth::train::random::Random;
use tch::{Kind, TchError, Tensor};

use super::words::{self, ABSENT, CONCEPTS, LABELS, Label, NAMED_LABELS, PICTURE_LABELS, TEMPLATES};
use crate::data::{EUROSAT_CLASSES, MERCED_CLASSES};

/// Factor on cosines before the soft-max: the one that jobs use.
pub const LOGIT_SCALE: f64 = 50.0;
/// Factor on cosines in a job: what the model recommends.
const JOB_SCALE: f64 = 20.0;
/// Absent words in a step.
const ABSENT_PER_STEP: usize = 10;
/// Templates of a class's name in a step, whose mean stands for the mean of all of them.
const SPOKEN: usize = 1;
/// Weight of "one of what the label affirms or allows".
const ALLOWED_WEIGHT: f64 = 0.5;

/// The words of one step and the labels' rules over them.
#[derive(Debug)]
pub struct TrainingBatch {
    /// A text for each concept, then the absent words, then [`SPOKEN`] for each class of UC Merced and of EuroSAT.
    pub texts: Vec<String>,
    /// Of the texts, those that the rules know.
    ruled: i64,
    patches: Rules,
    pictures: Rules,
    jobs: JobRules,
}

/// Affirmed, allowed and denied concepts of every label, as matrices.
#[derive(Debug)]
struct Rules {
    /// (text, label), 1 where denied.
    denied: Tensor,
    /// (text, label), 1 where affirmed or allowed.
    possible: Tensor,
    /// Pairs of label and affirmed text, with their weights.
    labels: Tensor,
    texts: Tensor,
    weights: Tensor,
}

/// What is right and wrong in a job, without regard to "background" where a label affirms words.
#[derive(Debug)]
struct JobRules {
    /// (text, label)
    right: Tensor,
    /// (text, label)
    wrong: Tensor,
    /// (1, 1, label), 1 where "background" is wrong if a right word is there, and right if none is.
    affirms: Tensor,
}

impl TrainingBatch {
    /// Draws the words of a step. Now and then a label's own words are left out and "background" is affirmed in their
    /// place: what a job does not name must be nearer to it than to the job's other classes.
    pub fn draw(random: &mut Random, templates: &[String]) -> Result<Self> {
        let own: Vec<String> = TEMPLATES.iter().map(|template| (*template).to_owned()).collect();
        let speak = |random: &mut Random, word: &str| {
            let template = random.chance(0.5).then(|| random.pick(templates)).flatten().or(random.pick(&own));
            template.map_or_else(|| word.to_owned(), |template| template.replace("{}", word))
        };
        let mut texts: Vec<String> = Vec::new();
        for words in CONCEPTS {
            // The name itself as often as all its synonyms.
            let word = if random.chance(0.3) { words.first() } else { random.pick(words) };
            texts.push(speak(random, word.copied().unwrap_or_default()));
        }
        for _ in 0..ABSENT_PER_STEP {
            let word = match random.chance(0.5) {
                true => random.pick(ABSENT).map(|word| (*word).to_owned()).unwrap_or_default(),
                false => words::made_up(random),
            };
            texts.push(speak(random, &word));
        }
        let unnamed: Vec<bool> = LABELS.iter().map(|_| random.chance(0.06)).collect();
        let ruled = texts.len();
        for name in MERCED_CLASSES.into_iter().chain(EUROSAT_CLASSES) {
            for _ in 0..SPOKEN {
                let template = random.pick(templates).map_or("{}", String::as_str);
                texts.push(template.replace("{}", name));
            }
        }
        Ok(Self {
            patches: Rules::new(ruled, &unnamed, false)?,
            pictures: Rules::new(ruled, &unnamed, true)?,
            jobs: JobRules::new()?,
            texts,
            ruled: ruled as i64,
        })
    }

    /// `patches` (batch, patch, D) and `cls` (batch, D), any length; `queries` (text, D) of [`TrainingBatch::texts`]. Gives the
    /// patches' and the pictures' loss, that of the classes' names against each other, as a zero-shot choice has them, and that of
    /// the patches in jobs.
    pub fn loss(&self, batch: &Batch, patches: &Tensor, cls: &Tensor, queries: &Tensor) -> Result<[Tensor; 4]> {
        let unit = |x: &Tensor| -> Result<Tensor, TchError> {
            let x = x.f_to_kind(Kind::Float)?;
            x.f_div(&x.f_linalg_norm(2.0, Some(&[-1i64][..]), true, None)?.f_clamp_min(1e-6)?)
        };
        let queries = unit(queries)?;
        let texts = queries.f_narrow(0, 0, self.ruled)?.f_transpose(0, 1)?;
        let cls = unit(cls)?;
        let of_cls = cls.f_matmul(&texts)?.f_unsqueeze(1)?;
        let bare = unit(patches)?.f_matmul(&texts)?;
        let jobs = self.jobs.loss(&bare.f_mul_scalar(JOB_SCALE)?, &batch.jobs, &batch.job_shares)?;
        let of_patches = bare.f_add(&of_cls.f_multiply(&batch.lambda)?)?;
        let dense = self.patches.loss(&of_patches.f_mul_scalar(LOGIT_SCALE)?, &batch.shares)?;
        let global = self.pictures.loss(&of_cls.f_mul_scalar(LOGIT_SCALE)?, &batch.whole.f_unsqueeze(1)?)?;
        let names = queries.f_slice(0, self.ruled, None, 1)?.f_unflatten(0, [NAMED_LABELS as i64, SPOKEN as i64])?;
        let names = unit(&names.f_mean_dim(Some(&[1i64][..]), false, Kind::Float)?)?.f_transpose(0, 1)?;
        let logits = cls.f_matmul(&names)?.f_mul_scalar(LOGIT_SCALE)?;
        // Each set's names compete among themselves.
        let of_set = |start: usize, end: usize| {
            logits.f_narrow(1, start as i64, (end - start) as i64)?.f_log_softmax(-1, Kind::Float)
        };
        let chosen = Tensor::f_cat(&[of_set(0, PICTURE_LABELS)?, of_set(PICTURE_LABELS, NAMED_LABELS)?], 1)?;
        let all = batch.named.f_sum(Kind::Float)?.f_clamp_min(1e-6)?;
        let zero_shot = chosen.f_multiply(&batch.named)?.f_sum(Kind::Float)?.f_neg()?.f_div(&all)?;
        Ok([dense, global, zero_shot, jobs])
    }
}

/// Views as tensors.
#[derive(Debug)]
pub struct Batch {
    /// Normalised, (batch, 3, side, side).
    pub images: Tensor,
    /// (batch, patch, label)
    pub shares: Tensor,
    /// (batch, label)
    pub whole: Tensor,
    /// (batch, one of the labels of whole pictures): what a view of its pictures shows, nothing for other views.
    pub named: Tensor,
    /// (batch, 1, 1)
    pub lambda: Tensor,
    /// (batch, text), 1 where a view's job has a text of [`TrainingBatch::texts`], of those that [`RULED`] counts.
    pub jobs: Tensor,
    /// (batch, patch, label): as `shares`, weighted for jobs.
    pub job_shares: Tensor,
}

/// Texts of a step that rules know: concepts and absent words.
pub const RULED: usize = CONCEPTS.len() + ABSENT_PER_STEP;

/// Draws the words of a job for a view that shows label `shown`: one of which something is said there, and others. 1 where a
/// text is one of them.
pub fn draw_job(random: &mut Random, shown: Option<Label>) -> Result<Vec<f32>> {
    let background = background()?;
    let share = random.between(0.08, 0.5);
    let mut job: Vec<f32> = (0..RULED)
        .map(|text| match text {
            text if text == background => random.chance(0.8),
            ..CONCEPTS_END => random.chance(share),
            _ => random.chance(0.04),
        })
        .map(|chosen| f32::from(u8::from(chosen)))
        .collect();
    if let Some(rule) = shown.map(|label| &LABELS[label]) {
        let own: Vec<&str> = rule.affirms.iter().map(|(name, _)| *name).chain(rule.denies.iter().copied()).collect();
        if let Some(concept) = random.pick(&own).and_then(|name| words::concept(name))
            && random.chance(0.85)
        {
            job[concept] = 1.0;
        }
    }
    Ok(job)
}

const CONCEPTS_END: usize = CONCEPTS.len();

fn background() -> Result<usize> {
    words::concept("background").ok_or_else(|| Error::internal("no concept \"background\""))
}

impl Rules {
    fn new(texts: usize, unnamed: &[bool], whole: bool) -> Result<Self> {
        let labels = LABELS.len();
        let mut denied = vec![1f32; texts * labels];
        let mut possible = vec![0f32; texts * labels];
        let mut pairs: Vec<(i64, i64, f32)> = Vec::new();
        let find = |name: &str| words::concept(name).ok_or_else(|| Error::internal(format!("no concept {name:?}")));
        let background = background()?;
        for (label, rule) in LABELS.iter().enumerate() {
            for (name, weight) in rule.affirms {
                let text = find(name)?;
                denied[text * labels + label] = 0.0;
                if !unnamed[label] {
                    possible[text * labels + label] = 1.0;
                    pairs.push((label as i64, text as i64, *weight));
                }
            }
            for name in rule.allows {
                let text = find(name)?;
                // A whole picture has one of the folders' names only, and is no single building.
                let rival = whole && words::named(label).is_some() && (is_folder(label, name) || *name == "building");
                denied[text * labels + label] = f32::from(u8::from(rival));
                possible[text * labels + label] = f32::from(u8::from(!rival && !unnamed[label]));
            }
            if !rule.denies.is_empty() {
                for text in 0..CONCEPTS.len() {
                    denied[text * labels + label] = 0.0;
                    possible[text * labels + label] = 1.0;
                }
                for name in rule.denies {
                    let text = find(name)?;
                    denied[text * labels + label] = 1.0;
                    possible[text * labels + label] = 0.0;
                }
                continue;
            }
            if unnamed[label] {
                denied[background * labels + label] = 0.0;
                possible[background * labels + label] = 1.0;
                pairs.push((label as i64, background as i64, 1.0));
            }
        }
        let matrix = |values: &[f32]| Tensor::f_from_slice(values)?.f_reshape([texts as i64, labels as i64]);
        Ok(Self {
            denied: matrix(&denied)?,
            possible: matrix(&possible)?,
            labels: Tensor::f_from_slice(&pairs.iter().map(|pair| pair.0).collect::<Vec<_>>())?,
            texts: Tensor::f_from_slice(&pairs.iter().map(|pair| pair.1).collect::<Vec<_>>())?,
            weights: Tensor::f_from_slice(&pairs.iter().map(|pair| pair.2).collect::<Vec<_>>())?,
        })
    }

    /// `logits` (batch, patch, text), `shares` (batch, patch, label): their weighted mean loss.
    fn loss(&self, logits: &Tensor, shares: &Tensor) -> Result<Tensor, TchError> {
        let largest = logits.f_amax([-1i64], true)?.f_detach()?;
        let odds = logits.f_sub(&largest)?.f_exp()?;
        let log_sum = |of: &Tensor| odds.f_matmul(of)?.f_clamp_min(1e-30)?.f_log()?.f_add(&largest);
        let denied = log_sum(&self.denied)?; // (batch, patch, label)
        let allowed = denied.f_sub(&log_sum(&self.possible)?)?.f_softplus()?;
        let affirmed = denied.f_index_select(2, &self.labels)?.f_sub(&logits.f_index_select(2, &self.texts)?)?;
        let weights = shares.f_index_select(2, &self.labels)?.f_multiply(&self.weights)?;
        let sum = |x: &Tensor| x.f_sum(Kind::Float);
        let affirmed = sum(&affirmed.f_softplus()?.f_multiply(&weights)?)?.f_div(&sum(&weights)?.f_clamp_min(1e-6)?)?;
        let allowed = sum(&allowed.f_multiply(shares)?)?.f_div(&sum(shares)?.f_clamp_min(1e-6)?)?;
        affirmed.f_add(&allowed.f_mul_scalar(ALLOWED_WEIGHT)?)
    }
}

impl JobRules {
    fn new() -> Result<Self> {
        let (labels, background) = (LABELS.len(), background()?);
        let (mut right, mut wrong) = (vec![0f32; RULED * labels], vec![0f32; RULED * labels]);
        let mut affirms = vec![0f32; labels];
        let named = |names: &[&str]| names.iter().filter_map(|name| words::concept(name)).collect::<Vec<_>>();
        for (label, rule) in LABELS.iter().enumerate() {
            let affirmed = named(&rule.affirms.iter().map(|(name, _)| *name).collect::<Vec<_>>());
            let (allowed, denied) = (named(rule.allows), named(rule.denies));
            affirms[label] = f32::from(u8::from(denied.is_empty()));
            for text in 0..RULED {
                // Absent words are always wrong.
                let (is_right, is_wrong) = match denied.is_empty() {
                    true => (
                        affirmed.contains(&text),
                        text != background && !affirmed.contains(&text) && !allowed.contains(&text),
                    ),
                    false => {
                        let is_wrong = denied.contains(&text) || text >= CONCEPTS.len();
                        (!is_wrong, is_wrong)
                    }
                };
                right[text * labels + label] = f32::from(u8::from(is_right));
                wrong[text * labels + label] = f32::from(u8::from(is_wrong));
            }
        }
        let matrix = |values: &[f32]| Tensor::f_from_slice(values)?.f_reshape([RULED as i64, labels as i64]);
        Ok(Self {
            right: matrix(&right)?,
            wrong: matrix(&wrong)?,
            affirms: Tensor::f_from_slice(&affirms)?.f_reshape([1, 1, labels as i64])?,
        })
    }

    /// `logits` (batch, patch, text), `jobs` (batch, text), `shares` (batch, patch, label): the weighted mean loss of the labels whose
    /// right and wrong words are both in the view's job.
    fn loss(&self, logits: &Tensor, jobs: &Tensor, shares: &Tensor) -> Result<Tensor> {
        let jobs = jobs.f_unsqueeze(1)?; // (batch, 1, text)
        let is_there = |x: &Tensor| x.f_clamp_max(1.0);
        let background = jobs.f_narrow(2, background()? as i64, 1)?;
        let affirms = &self.affirms;
        let right_there = is_there(&jobs.f_matmul(&self.right)?)?; // (batch, 1, label)
        // "Background" is the answer where no right word is there, else a wrong one.
        let as_wrong = affirms.f_multiply(&right_there)?.f_multiply(&background)?;
        let as_right = affirms.f_multiply(&right_there.f_neg()?.f_add_scalar(1.0)?)?.f_multiply(&background)?;
        let both = is_there(&right_there.f_add(&as_right)?)?
            .f_multiply(&is_there(&jobs.f_matmul(&self.wrong)?.f_add(&as_wrong)?)?)?;

        let largest = logits.f_amax([-1i64], true)?.f_detach()?;
        let odds = logits.f_sub(&largest)?.f_exp()?.f_multiply(&jobs)?;
        let of_background = odds.f_narrow(2, self::background()? as i64, 1)?;
        let log_sum = |of: &Tensor, background: &Tensor| {
            odds.f_matmul(of)?.f_add(&of_background.f_multiply(background)?)?.f_clamp_min(1e-20)?.f_log()
        };
        let right = log_sum(&self.right, &as_right)?;
        let wrong = log_sum(&self.wrong, &as_wrong)?;
        let shares = shares.f_multiply(&both)?;
        let loss = wrong.f_sub(&right)?.f_softplus()?.f_multiply(&shares)?.f_sum(Kind::Float)?;
        Ok(loss.f_div(&shares.f_sum(Kind::Float)?.f_clamp_min(1e-6)?)?)
    }
}

/// Whether a concept is what another folder of a picture's set shows.
fn is_folder(label: usize, concept: &str) -> bool {
    LABELS[words::folders(label)].iter().any(|label| label.affirms.first().is_some_and(|(name, _)| *name == concept))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{WATER, label_named};
    use segearth::model::text::imagenet_templates;

    /// The loss of one view of one patch of water, named a river, whose features are those of two concepts.
    fn loss(step: &TrainingBatch, queries: &Tensor, patch: &str, picture: &str) -> [f64; 4] {
        let labels = LABELS.len() as i64;
        let one = |at: usize, count: i64| {
            let mut values = vec![0f32; count as usize];
            values[at] = 1.0;
            Tensor::from_slice(&values)
        };
        let river = label_named("river").unwrap();
        let batch = Batch {
            images: Tensor::zeros([1, 3, 8, 8], (Kind::Float, tch::Device::Cpu)),
            shares: one(WATER, labels).view([1, 1, labels]),
            whole: one(river, labels).view([1, labels]),
            named: one(river, NAMED_LABELS as i64).view([1, NAMED_LABELS as i64]),
            lambda: Tensor::zeros([1, 1, 1], (Kind::Float, tch::Device::Cpu)),
            jobs: Tensor::ones([1, RULED as i64], (Kind::Float, tch::Device::Cpu)),
            job_shares: one(WATER, labels).view([1, 1, labels]),
        };
        let feature = |name: &str| queries.narrow(0, words::concept(name).unwrap() as i64, 1);
        let losses = step.loss(&batch, &feature(patch).unsqueeze(0), &feature(picture), queries).unwrap();
        losses.map(|loss| f64::try_from(loss).unwrap())
    }

    #[test]
    fn what_resembles_its_own_words_loses_least() {
        let step = TrainingBatch::draw(&mut Random::new(2), &imagenet_templates()).unwrap();
        tch::manual_seed(1);
        let queries = Tensor::randn([step.texts.len() as i64, 64], (Kind::Float, tch::Device::Cpu));
        let right = loss(&step, &queries, "water", "river");
        let wrong = loss(&step, &queries, "forest", "airport");
        assert!(right[0] < wrong[0] && right[1] < wrong[1] && right[3] < wrong[3], "{right:?} {wrong:?}");
        // A river's name, spoken for the zero-shot choice, is made to be what the picture resembles.
        let rivers = MERCED_CLASSES.iter().position(|name| *name == "river").unwrap() as i64;
        let spoken = queries.narrow(0, step.ruled + SPOKEN as i64 * rivers, SPOKEN as i64);
        let water = queries.narrow(0, words::concept("river").unwrap() as i64, 1);
        spoken.shallow_clone().copy_(&water.expand([SPOKEN as i64, 64], false));
        assert!(loss(&step, &queries, "water", "river")[2] < 1e-3);
    }

    /// The loss in a job of these words, of a pixel with this label and the features of `resembled`.
    fn job_loss(label: Label, job: &[&str], resembled: &str) -> f64 {
        let mut logits = vec![0f32; RULED];
        logits[words::concept(resembled).unwrap()] = 10.0;
        let mut jobs = vec![0f32; RULED];
        job.iter().for_each(|name| jobs[words::concept(name).unwrap()] = 1.0);
        let mut shares = vec![0f32; LABELS.len()];
        shares[label] = 1.0;
        let tensor = |values: &[f32], size: &[i64]| Tensor::from_slice(values).view(size);
        let loss = JobRules::new().unwrap().loss(
            &tensor(&logits, &[1, 1, RULED as i64]),
            &tensor(&jobs, &[1, RULED as i64]),
            &tensor(&shares, &[1, 1, LABELS.len() as i64]),
        );
        f64::try_from(loss.unwrap()).unwrap()
    }

    #[test]
    fn a_job_calls_background_what_it_has_no_word_for() {
        use crate::words::{BUILDING, NO_BUILDING};
        let job = ["background", "water", "road"];
        assert!(job_loss(WATER, &job, "water") < 0.01 && job_loss(WATER, &job, "background") > 5.0);
        assert!(job_loss(BUILDING, &job, "background") < 0.01 && job_loss(BUILDING, &job, "water") > 5.0);
        // What only denies is right with any other word.
        let job = ["background", "building", "road"];
        assert!(job_loss(NO_BUILDING, &job, "background") < 0.01 && job_loss(NO_BUILDING, &job, "road") < 0.01);
        assert!(job_loss(NO_BUILDING, &job, "building") > 5.0);
        // Nothing right, or nothing wrong: no loss.
        assert_eq!(job_loss(WATER, &["road"], "road"), 0.0);
        assert_eq!(job_loss(WATER, &["water"], "road"), 0.0);
    }
}
