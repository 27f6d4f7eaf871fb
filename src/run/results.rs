//! A scene's outputs: the facts that decide each, whether it is written, and the folder where it is made.

use std::path::{Path, PathBuf};

use crate::atomic;
use crate::error::{Error, Result};
use crate::journal::Fingerprint;
use crate::outputs::{self, Existing, Product, Staging, Verdict};
use crate::pipeline::{Plan, ScenePlan};
use crate::scene::{ClassNames, ProductOptions};

/// Made from the labels, in one go.
pub const VECTORS: [&str; 3] = ["polygons", "graph", "zones"];
pub const PICTURES: [&str; 3] = ["preview", "report", "areas"];
pub const RASTERS: [&str; 4] = ["scores", "confidence", "margin", "labels"];

/// The outputs of a scene, each with whether it is written.
pub struct Results {
    existing: Existing,
    outputs: Vec<(&'static str, Product, Verdict)>,
}

impl Results {
    /// Decides for each output of a scene whether it is written. `fingerprint` includes the stretch.
    ///
    /// # Errors
    /// An output exists that may not be replaced.
    pub fn check(plan: &Plan, scene: &ScenePlan, fingerprint: &Fingerprint, existing: Existing) -> Result<Self> {
        let products = products(plan, scene, fingerprint)?;
        let verdicts = outputs::check(products.iter().map(|(_, product)| product), existing, false)?;
        let outputs = products.into_iter().zip(verdicts).map(|((key, product), verdict)| (key, product, verdict));
        let results = Self { existing, outputs: outputs.collect() };
        let edited = results
            .targets(|key, verdict| ["labels", "scores"].contains(&key) && matches!(verdict, Verdict::KeepEdited(_)));
        let made = results.targets(|key, verdict| !RASTERS.contains(&key) && *verdict == Verdict::Write);
        if let ([labels, ..], [made, ..]) = (edited.as_slice(), made.as_slice()) {
            let (labels, made) = (labels.display(), made.display());
            return Err(Error::input(format!("{labels} was edited since it was written, and {made} is made from it"))
                .with_hint(format!(
                    "Make it from the edited file (`segearth vectorize {labels}` for polygons), or compute all again with \
                     --overwrite."
                )));
        }
        Ok(results)
    }

    /// The paths of some outputs.
    fn targets(&self, wanted: impl Fn(&'static str, &Verdict) -> bool) -> Vec<&Path> {
        let wanted = self.outputs.iter().filter(|(key, _, verdict)| wanted(key, verdict));
        wanted.map(|(_, product, _)| product.target()).collect()
    }

    /// Whether all outputs are complete.
    pub fn finished(&self) -> bool {
        self.outputs.iter().all(|(_, _, verdict)| *verdict != Verdict::Write)
    }

    /// Notes on outputs that were edited since they were written, and are kept.
    pub fn notes(&self) -> Vec<String> {
        let note = |(_, _, verdict): &(&str, Product, Verdict)| match verdict {
            Verdict::KeepEdited(what) => Some(format!("{what} was edited since it was written, and is kept.")),
            _ => None,
        };
        self.outputs.iter().filter_map(note).collect()
    }

    /// Whether any output of these names is to be written.
    pub fn any(&self, keys: &[&str]) -> bool {
        self.outputs.iter().any(|(key, _, verdict)| keys.contains(key) && *verdict == Verdict::Write)
    }

    /// Makes hidden folders for the outputs of these names. Those that are kept are made too, and discarded.
    pub fn stage(&self, keys: &[&str]) -> Result<Staged> {
        let mut outputs = Vec::new();
        for (key, product, verdict) in &self.outputs {
            if keys.contains(key) {
                outputs.push((*key, Staging::begin(product)?, *verdict == Verdict::Write));
            }
        }
        // In the order of the names: the labels last, whose tag says that all outputs are complete.
        outputs.sort_by_key(|(key, ..)| keys.iter().position(|it| it == key));
        Ok(Staged { existing: self.existing, outputs })
    }
}

/// Outputs in hidden folders, until they are published.
pub struct Staged {
    existing: Existing,
    outputs: Vec<(&'static str, Staging, bool)>,
}

impl Staged {
    /// Begins the outputs of a command, after a check that all of them can be written.
    ///
    /// # Errors
    /// As [`outputs::check`]; a folder that cannot be written.
    pub fn of_command(products: Vec<(&'static str, Product)>, existing: Existing) -> Result<Self> {
        products.iter().try_for_each(|(_, product)| atomic::check_writable(product.target()))?;
        outputs::check(products.iter().map(|(_, product)| product), existing, true)?;
        let begun = |(key, product): (&'static str, Product)| Ok((key, Staging::begin(&product)?, true));
        Ok(Self { existing, outputs: products.into_iter().map(begun).collect::<Result<_>>()? })
    }

    /// Where an output is to be written.
    pub fn path(&self, key: &str) -> Option<PathBuf> {
        self.outputs.iter().find(|(it, ..)| *it == key).map(|(_, staging, _)| staging.path())
    }

    /// A text with the outputs' own paths instead of the hidden ones.
    pub fn shown(&self, text: &str) -> String {
        self.outputs.iter().fold(text.to_owned(), |text, (_, staging, _)| staging.shown(&text))
    }

    /// An error with the outputs' own paths instead of the hidden ones.
    pub fn explain(&self, error: Error) -> Error {
        self.outputs.iter().fold(error, |error, (_, staging, _)| staging.explain(error))
    }

    /// Moves the outputs to their names, except those that are kept.
    pub fn publish(self) -> Result<()> {
        let written = self.outputs.into_iter().filter(|(_, _, write)| *write).map(|(_, staging, _)| staging);
        outputs::publish(written, self.existing)
    }
}

/// The outputs of a scene, each with the facts that decide its content.
pub fn products(plan: &Plan, scene: &ScenePlan, fingerprint: &Fingerprint) -> Result<Vec<(&'static str, Product)>> {
    let facts = facts(fingerprint);
    let mut plain = facts.clone();
    plain.remove("product");
    let mut products = Vec::new();
    for (key, path) in scene.outputs.rasters() {
        let make = if key == "labels" { Product::labels } else { Product::scores };
        products.push((key, make(path, plain.clone())));
    }
    if let Some(path) = &scene.outputs.polygons {
        let product = plan.product.clone().unwrap_or_default();
        let options = ProductOptions { zone_table: scene.outputs.zones.clone(), ..product.options };
        let names = ClassNames::of_indices(plan.classes.iter().map(|class| &class.name));
        let rasters: Vec<&Path> = scene.outputs.rasters().map(|(_, path)| path).collect();
        let product = Product::vector(path, product.recipe, &options, &names, facts.clone())?.beside(&rasters);
        products.push(("polygons", product));
    }
    for (key, path) in [("graph", &scene.outputs.graph), ("zones", &scene.outputs.zones)] {
        products.extend(path.iter().map(|path| (key, Product::file(path, facts.clone()))));
    }
    // Pictures show the vectors too.
    let shown = if scene.outputs.polygons.is_some() { &facts } else { &plain };
    products.extend(scene.outputs.preview.iter().map(|path| ("preview", Product::raster(path, shown.clone()))));
    products.extend(scene.outputs.report.iter().map(|path| ("report", Product::file(path, shown.clone()))));
    products.extend(scene.outputs.areas.iter().map(|path| ("areas", Product::file(path, plain.clone()))));
    Ok(products)
}

/// Keys of a job by their words in the method's tag.
const KEYS: [(&str, &str); 10] = [
    ("debias", "method.debias"),
    ("logit_scale", "method.logit_scale"),
    ("threshold", "method.threshold"),
    ("pooling", "method.pooling"),
    ("tta", "method.tta"),
    ("channels", "method.channels"),
    ("half_resolution", "method.half_resolution"),
    ("window", "tiling.window"),
    ("stride", "tiling.stride"),
    ("blend", "tiling.blend"),
];

/// The facts that decide a scene's outputs, as keys of a job where there is one. Which other outputs there are is no fact.
fn facts(fingerprint: &Fingerprint) -> Fingerprint {
    let mut facts = fingerprint.clone();
    facts.remove("outputs");
    for word in facts.remove("method").unwrap_or_default().split_whitespace() {
        let (name, value) = word.split_once('=').unwrap_or((word, "true"));
        let key = KEYS.iter().find(|(known, _)| *known == name).map_or(name, |(_, key)| key);
        facts.set(key, value.to_lowercase());
    }
    facts
}

/// The facts of a command without a job file.
pub fn command_facts<'a>(command: &str, facts: impl IntoIterator<Item = (&'a str, Option<String>)>) -> Fingerprint {
    let mut fingerprint = Fingerprint::default();
    fingerprint.set("command", command);
    fingerprint.set("version", env!("CARGO_PKG_VERSION"));
    for (name, value) in facts {
        if let Some(value) = value {
            fingerprint.set(name, value);
        }
    }
    fingerprint
}

/// The absolute name of an input.
pub fn input(path: &Path) -> Option<String> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    Some(path.to_string_lossy().into_owned())
}
