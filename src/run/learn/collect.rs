//! The samples of all scenes and of an earlier file, and what was left out of them.

#![expect(clippy::indexing_slicing, reason = "samples and examples, counted before")]

use std::collections::HashMap;
use std::path::Path;

use super::super::prepared::PreparedJob;
use super::super::watch::Watch;
use super::features::{self, PixelFeatures};
use crate::error::{Error, Result};
use crate::learn::{self, Learnt, LearntExample, Place, TrainingSet};
use crate::model::Segmenter;
use crate::pipeline::{self, ClassPlan, ScenePlan};
use crate::raster::Examples;
use crate::scene::same_name;
use crate::spelling;

/// More samples cost memory and gain nothing.
const MOST_SAMPLES: usize = 200_000;

#[derive(Debug, Default)]
pub struct Collected {
    width: usize,
    locals: usize,
    /// In the order in which they were met.
    class_names: Vec<String>,
    scenes: Vec<String>,
    features: Vec<f32>,
    local: Vec<f32>,
    /// Features of pixels around the examples.
    surroundings: Vec<f32>,
    /// Their local descriptors.
    surroundings_local: Vec<f32>,
    /// The example of each sample, and where it lies.
    of_samples: Vec<(usize, Place)>,
    /// Class and scene of each example.
    examples: Vec<(usize, usize)>,
    /// On how many scenes each feature of the file was found outside.
    outside: HashMap<u64, usize>,
    without_data: usize,
    conflicting: u64,
    duplicates: u64,
    without_class: u64,
    without_geometry: u64,
}

impl Collected {
    pub fn new(width: usize, with_local: bool) -> Self {
        Self { width, locals: if with_local { learn::count(learn::COLOURS) } else { 0 }, ..Self::default() }
    }

    /// The same with local descriptors of so many bands beyond red, green and blue.
    pub fn with_further_bands(width: usize, count: usize) -> Self {
        Self { width, locals: learn::count(learn::COLOURS + count), ..Self::default() }
    }

    /// Names of the classes of all examples.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// How many examples there are of a class of [`class_names`](Self::class_names), by its index.
    fn count_of(&self, class: usize) -> usize {
        self.examples.iter().filter(|(of, _)| *of == class).count()
    }

    /// A note for each class that is not among `known`: it may be misspelt. Empty without known classes.
    pub fn foreign_classes(&self, known: &[ClassPlan], file: &Path) -> Vec<String> {
        let foreign = |(number, name): (usize, &String)| {
            let among = known.iter().any(|class| same_name(&class.name, name));
            if among || known.is_empty() {
                return None;
            }
            let (examples, file, shown) = (self.count_of(number), file.display(), pipeline::quoted(name));
            let noun = if examples == 1 { "example" } else { "examples" };
            let of_word = known.iter().find(|class| class.prompts.iter().any(|prompt| same_name(prompt, name)));
            let near = || spelling::nearest(name, known.iter().map(|class| class.name.as_str()));
            let meant = of_word.map(|class| class.name.as_str()).or_else(near);
            let meant = meant.map_or_else(String::new, |meant| format!(" Did you mean {}?", pipeline::quoted(meant)));
            Some(format!(
                "{shown} in {file} ({examples} {noun}) is not among --classes and becomes a class of its own.{meant}"
            ))
        };
        self.class_names.iter().enumerate().filter_map(foreign).collect()
    }

    fn class(&mut self, name: &str) -> usize {
        let found = self.class_names.iter().position(|known| same_name(known, name));
        found.unwrap_or_else(|| {
            self.class_names.push(name.to_owned());
            self.class_names.len() - 1
        })
    }

    fn scene(&mut self, name: &str) -> usize {
        let found = self.scenes.iter().position(|known| known == name);
        found.unwrap_or_else(|| {
            self.scenes.push(name.to_owned());
            self.scenes.len() - 1
        })
    }

    /// Takes the samples of an earlier file.
    ///
    /// # Errors
    /// It was learnt with descriptors and this is not, or the other way round.
    pub fn add_earlier(&mut self, earlier: &Learnt) -> Result<()> {
        if earlier.header.locals() != self.locals {
            let (with, flag) = if self.locals == 0 { ("with", "without") } else { ("without", "with") };
            return Err(Error::input(format!("the earlier classes were learnt {with} local colours"))
                .with_hint(format!("Give the command {flag} --features-only.")));
        }
        let first = self.examples.len();
        for example in &earlier.header.examples {
            let name = earlier.header.classes.get(example.class).map_or("", |class| class.name.as_str());
            let of = (self.class(name), self.scene(&example.scene));
            self.examples.push(of);
        }
        self.features.extend(&earlier.samples.features);
        self.local.extend(&earlier.samples.local);
        self.surroundings.extend(&earlier.samples.surroundings);
        self.surroundings_local.extend(&earlier.samples.surroundings_local);
        for (&example, &[col, row]) in earlier.samples.examples.iter().zip(&earlier.samples.places) {
            let scene = self.examples[first + example].1;
            self.of_samples.push((first + example, Place { scene, col, row }));
        }
        Ok(())
    }

    /// Computes the samples of a scene's examples.
    pub fn add_scene(
        &mut self,
        job: &PreparedJob,
        scene: &ScenePlan,
        examples: Examples,
        segmenter: &mut dyn Segmenter,
        watch: Watch<'_>,
    ) -> Result<()> {
        let pixels = self.pixels(job, scene, &examples)?;
        let found = match pixels.is_empty() {
            true => PixelFeatures::default(),
            false => {
                let tokens = features::stored(job, scene, &pixels, watch)?;
                let Watch { stop, reporter, .. } = watch;
                features::features(job, scene, segmenter, tokens.as_ref(), &pixels, self.locals > 0, stop, reporter)?
            }
        };
        self.add_found(scene, examples, &found);
        Ok(())
    }

    /// The pixels of a scene's examples, one after another, and then some around them that need no further window.
    ///
    /// # Errors
    /// There are too many.
    pub fn pixels(&self, job: &PreparedJob, scene: &ScenePlan, examples: &Examples) -> Result<Vec<[usize; 2]>> {
        let mut pixels: Vec<[usize; 2]> = examples.examples.iter().flat_map(|example| example.pixels.clone()).collect();
        if self.of_samples.len() + pixels.len() > MOST_SAMPLES {
            return Err(Error::input(format!(
                "the examples have more than {MOST_SAMPLES} pixels: {} on {}",
                pixels.len(),
                scene.name()
            ))
            .with_hint("Take fewer of each with --pixels."));
        }
        let around = learn::surroundings(&job.plan.grid(scene), &pixels);
        pixels.extend(around);
        Ok(pixels)
    }

    /// Takes the samples of a scene's examples, `found` for each of their [`pixels`](Self::pixels).
    pub fn add_found(&mut self, scene: &ScenePlan, examples: Examples, found: &PixelFeatures) {
        let skipped = &examples.skipped;
        for feature in &skipped.outside {
            *self.outside.entry(*feature).or_default() += 1;
        }
        self.conflicting += skipped.conflicting_pixels;
        self.duplicates += skipped.duplicate_pixels;
        // The same on every scene.
        self.without_class = skipped.without_class;
        self.without_geometry = skipped.without_geometry;
        let classes: Vec<usize> = examples.classes.iter().map(|name| self.class(name)).collect();
        if examples.examples.is_empty() {
            return;
        }
        let number = self.scene(&scene.name().to_string());
        let mut at = 0;
        for example in examples.examples {
            let mut any = false;
            for &pixel in &example.pixels {
                if found.valid[at] {
                    any = true;
                    self.sample(self.examples.len(), number, pixel, found, at);
                }
                at += 1;
            }
            if any {
                self.examples.push((classes[example.class], number));
            } else {
                self.without_data += 1;
            }
        }
        for at in (at..found.valid.len()).filter(|&at| found.valid[at]) {
            self.surroundings.extend(&found.features[at * self.width..][..self.width]);
            self.surroundings_local.extend(&found.local[at * self.locals..][..self.locals]);
        }
    }

    fn sample(&mut self, example: usize, scene: usize, [col, row]: [usize; 2], found: &PixelFeatures, at: usize) {
        self.features.extend(&found.features[at * self.width..][..self.width]);
        self.local.extend(&found.local[at * self.locals..][..self.locals]);
        self.of_samples.push((example, Place { scene, col: col as u32, row: row as u32 }));
    }

    /// What was left out, as sentences.
    pub fn notes(&self, scenes: usize) -> Vec<String> {
        let outside = self.outside.values().filter(|count| **count >= scenes).count();
        let count = |count: u64, one: &str, many: &str| match count {
            0 => None,
            1 => Some(format!("1 {one}.")),
            count => Some(format!("{count} {many}.")),
        };
        [
            count(outside as u64, "example lies outside all scenes", "examples lie outside all scenes"),
            count(
                self.without_data as u64,
                "example lies where a scene has no data",
                "examples lie where a scene has no data",
            ),
            count(self.without_class, "feature has no class", "features have no class"),
            count(self.without_geometry, "feature has no geometry", "features have no geometry"),
            count(
                self.conflicting,
                "pixel is in examples of several classes and is left out",
                "pixels are in examples of several classes and are left out",
            ),
            count(
                self.duplicates,
                "pixel is in several examples of a class and counts once",
                "pixels are in several examples of a class and count once",
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The samples for the fit, and the examples for the file. `patch`: side of a patch in pixels, within which features share
    /// what they know.
    ///
    /// # Errors
    /// There is no example, and there are no words either.
    pub fn into_set(self, classes: &[ClassPlan], patch: usize) -> Result<(TrainingSet, Vec<LearntExample>)> {
        if self.of_samples.is_empty() && classes.iter().all(|class| class.prompts.is_empty()) {
            return Err(Error::input("there are no examples where the scenes have data")
                .with_hint("Move them to where the scenes have data, or correct `--mask` or `--nodata`."));
        }
        let number = |name: &String| classes.iter().position(|class| same_name(&class.name, name)).unwrap_or(0);
        let numbers: Vec<usize> = self.class_names.iter().map(number).collect();
        let examples = self
            .examples
            .iter()
            .map(|&(class, scene)| LearntExample { class: numbers[class], scene: self.scenes[scene].clone() });
        let step = (self.surroundings.len() / self.width.max(1)).div_ceil(learn::MOST_SURROUNDINGS).max(1);
        let thinned = |values: &[f32], width: usize| -> Vec<f32> {
            values.chunks_exact(width.max(1)).step_by(step).flatten().copied().collect()
        };
        let set = TrainingSet {
            surroundings: thinned(&self.surroundings, self.width),
            surroundings_local: thinned(&self.surroundings_local, self.locals),
            width: self.width,
            locals: self.locals,
            classes: self.of_samples.iter().map(|&(example, _)| numbers[self.examples[example].0]).collect(),
            examples: self.of_samples.iter().map(|(example, _)| *example).collect(),
            places: self.of_samples.iter().map(|(_, place)| *place).collect(),
            reach: (patch + 2 * learn::REACH) as u32,
            features: self.features,
            local: self.local,
        };
        Ok((set, examples.collect()))
    }
}
