//! `segearth search`: places in stores of embeddings, ranked by their similarity to words or to other places.
//!
//! ```text
//!  words ─► text features ─┐
//!  places ─► features ─────┴─► query ─► scan, scene by scene ─► footprints ─► the best ─► vector file, sheet
//! ```

mod hits;
mod output;
mod query;
mod sheet;

use std::path::PathBuf;
use std::time::Instant;

use super::results::{Staged, command_facts, input};
use super::stores;
use crate::cli::SearchArgs;
use crate::embeddings::{SceneStore, Store};
use crate::error::{Error, Result};
use crate::journal::Fingerprint;
use crate::outputs::{Existing, Product};
use crate::report::{Reporter, SearchReport, grouped};
use crate::scene::{ClassNames, ProductOptions, Recipe};
use crate::search::{scan, searched_chunks};
use hits::Hits;

const HITS: &str = "hits";
const SHEET: &str = "sheet";

/// Chunks that are read before their scores are looked at, where scenes are small.
const TOGETHER: usize = 256;

/// Runs the command.
///
/// # Errors
/// Options that cannot be used; a store that is none, of another model, or damaged; places outside all scenes; outputs that cannot be
/// written.
pub fn run(args: &SearchArgs, trust: bool, reporter: &Reporter) -> Result<()> {
    let limits = Limits::of(args)?;
    let stores = open(&args.stores)?;
    let first = stores.first().ok_or_else(|| Error::internal("a search without a store"))?;
    let mut scenes = Vec::new();
    for store in &stores {
        scenes.extend(store.scenes()?);
    }
    if scenes.is_empty() {
        return Err(Error::input(format!("{} holds no scene", first.folder().display()))
            .with_hint("`segearth embed SCENE -o STORE` adds a scene to a store."));
    }
    let staged = staged(args)?;
    let query = query::query(args, first, &scenes, trust, reporter)?;

    let started = Instant::now();
    let side = first.model().patch;
    let chunks: Vec<usize> = scenes.iter().map(|scene| searched_chunks(scene, side)).collect();
    let progress = reporter.progress("search", chunks.iter().sum(), "chunks");
    let mut found = Hits::new(limits.top, limits.share);
    let (mut at, mut patches, mut missing) = (0, 0, Missing::default());
    while at < scenes.len() {
        let mut end = at + 1;
        let mut together = chunks.get(at).copied().unwrap_or(0);
        while let Some(more) = chunks.get(end).filter(|more| together + **more <= TOGETHER) {
            together += more;
            end += 1;
        }
        let batch: Vec<&SceneStore> = scenes.get(at..end).unwrap_or_default().iter().collect();
        for (map, scene) in scan(&batch, side, &query, |done| progress.advance(done))?.iter().zip(&batch) {
            patches += map.scores.iter().filter(|score| score.is_finite()).count() as u64;
            missing.add(scene, map.missing, map.chunks);
            found.add(at, map)?;
            at += 1;
        }
    }
    drop(progress);
    missing.note(reporter);
    let seconds = started.elapsed().as_secs_f64();
    reporter.detail(&format!(
        "{} patches in {seconds:.2} s ({:.2} million a second).",
        grouped(patches),
        patches as f64 / seconds.max(1e-9) / 1e6
    ));

    let hits = found.into_best();
    let path = staged.path(HITS).unwrap_or_else(|| args.output.clone());
    output::write(&path, &hits, &scenes).map_err(|error| staged.explain(error))?;
    if let Some(sheet) = &args.sheet {
        let path = staged.path(SHEET).unwrap_or_else(|| sheet.clone());
        sheet::write(&path, args, &hits, &scenes, reporter).map_err(|error| staged.explain(error))?;
    }
    staged.publish()?;
    let listed = hits.iter().map(|hit| output::listed(hit, &scenes)).collect::<Vec<_>>();
    reporter.found(&SearchReport {
        patches,
        scenes: scenes.len(),
        hits: &listed,
        output: &args.output,
        sheet: args.sheet.as_deref(),
    });
    Ok(())
}

/// Numbers of the command in their ranges.
struct Limits {
    top: usize,
    share: f32,
}

impl Limits {
    fn of(args: &SearchArgs) -> Result<Self> {
        let top = usize::try_from(args.top).ok().filter(|top| *top > 0);
        let top = top.ok_or_else(|| {
            Error::input(format!("--top is {}; at least 1 is allowed", args.top))
                .with_hint("Give the number of places to write.")
        })?;
        for (flag, value, hint) in [
            ("--share", Some(args.share), "The share counts from the mean of a scene, 0, to the best score, 1."),
            ("--debias", args.debias, "Leave it out for the value that belongs to the query."),
        ] {
            if let Some(value) = value.filter(|value| !(0.0..=1.0).contains(value)) {
                return Err(Error::input(format!("{flag} is {value}; 0 to 1 are allowed")).with_hint(hint));
            }
        }
        Ok(Self { top, share: args.share as f32 })
    }
}

/// Opens stores of one model.
fn open(folders: &[PathBuf]) -> Result<Vec<Store>> {
    let stores = folders.iter().map(|folder| stores::open(folder)).collect::<Result<Vec<_>>>()?;
    if let Some((first, others)) = stores.split_first() {
        others.iter().try_for_each(|other| other.check_model(first.model()))?;
    }
    Ok(stores)
}

/// Begins the outputs.
fn staged(args: &SearchArgs) -> Result<Staged> {
    let facts = facts(args);
    let options = ProductOptions::default();
    let hits = Product::vector(&args.output, Recipe::Plain, &options, &ClassNames::default(), facts.clone())?;
    let mut products = vec![(HITS, hits)];
    products.extend(args.sheet.iter().map(|path| (SHEET, Product::file(path, facts.clone()))));
    Staged::of_command(products, if args.overwrite { Existing::Replace } else { Existing::Refuse })
}

/// The flags that decide the result, by name.
fn facts(args: &SearchArgs) -> Fingerprint {
    let stores: Vec<String> = args.stores.iter().filter_map(|store| input(store)).collect();
    command_facts(
        "search",
        [
            ("stores", Some(stores.join("\n"))),
            ("--words", args.words.clone()),
            ("--like", (!args.like.is_empty()).then(|| args.like.join("\n"))),
            ("--not", args.not.clone()),
            ("--top", Some(args.top.to_string())),
            ("--share", Some(args.share.to_string())),
            ("--debias", args.debias.map(|debias| debias.to_string())),
            ("--model", args.model.clone()),
        ],
    )
}

/// What stores lack.
#[derive(Default)]
struct Missing {
    scenes: usize,
    first: Option<String>,
    missing: usize,
    chunks: usize,
}

impl Missing {
    fn add(&mut self, scene: &SceneStore, missing: usize, chunks: usize) {
        self.chunks += chunks;
        self.missing += missing;
        if missing > 0 {
            self.scenes += 1;
            self.first.get_or_insert_with(|| scene.card().name.clone());
        }
    }

    fn note(&self, reporter: &Reporter) {
        let Some(first) = &self.first else { return };
        let others = match self.scenes {
            1 => String::new(),
            scenes => format!(" and {} other scenes", scenes - 1),
        };
        reporter.note(&format!(
            "{} of {} chunks ({:.1} %) are missing, of {first}{others}: their places were not searched. `segearth embed` with the \
             same options computes them.",
            grouped(self.missing as u64),
            grouped(self.chunks as u64),
            100.0 * self.missing as f64 / self.chunks.max(1) as f64
        ));
    }
}
