//! What changed between two scenes of a session: the transitions that `segearth change` finds between their labels, block by block.
//!
//! ```text
//!  labels of both, where known ─► files ─► change::Comparison ─► blocks of transitions ─► tiles, areas
//! ```

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::forms::hex;
use super::label_file;
use super::lock::lock;
use super::shared::{ServedScene, Shared};
use crate::change::{self, Comparison};
use crate::error::{Context as _, Error, Result};
use crate::geom::Window;
use crate::raster::CodedRaster;
use crate::scene::ClassInfo;
use crate::serve::{Blocks, Legend};

/// Classes whose transitions are told apart in labels of one byte.
const MOST_CLASSES: usize = 15;
/// Pairs of scenes that are remembered.
const MOST_PAIRS: usize = 8;
/// Blocks along a side of a unit, and how long a request computes.
const UNIT: usize = 8;
const BUDGET: Duration = Duration::from_millis(700);
/// Pixels of the earlier scene around a part of the later one, against rounding.
const AROUND: f64 = 2.0;
/// Pixels of the earlier scene that are read for a unit: it may be much finer.
const MOST_PIXELS: usize = 64 << 20;

struct Pair {
    before: usize,
    after: usize,
    blocks: Blocks,
}

/// The changes between scenes as far as they are known, and the right to compute some: one at a time, whoever asks.
#[derive(Default)]
pub struct Changes {
    pairs: Mutex<Vec<Pair>>,
    working: Mutex<()>,
}

/// What a request gets.
pub enum Found {
    Numbers(Value),
    /// Another request computes.
    Busy,
}

impl Changes {
    /// Calls with the blocks of a pair, whose values are transitions; `None`: nobody has asked for them yet.
    pub fn with<T>(&self, before: usize, after: usize, call: impl FnOnce(&Blocks) -> T) -> Option<T> {
        let pairs = lock(&self.pairs);
        pairs.iter().find(|pair| (pair.before, pair.after) == (before, after)).map(|pair| call(&pair.blocks))
    }

    fn with_own<T>(&self, before: usize, after: usize, served: &ServedScene, call: impl FnOnce(&mut Blocks) -> T) -> T {
        let mut pairs = lock(&self.pairs);
        // The one that was asked for last is the last to be forgotten.
        let mut pair = match pairs.iter().position(|pair| (pair.before, pair.after) == (before, after)) {
            Some(at) => pairs.remove(at),
            None => Pair { before, after, blocks: Blocks::new(served.size) },
        };
        if pairs.len() >= MOST_PAIRS {
            pairs.remove(0);
        }
        let found = call(&mut pair.blocks);
        pairs.push(pair);
        found
    }
}

/// What is known of the changes from one scene to another in a part of the latter, after some more were computed where the labels of both
/// are known; those that are not are asked for.
///
/// # Errors
/// The scenes cannot be compared.
pub fn changes(shared: &Shared, known: &Changes, before: usize, after: usize, part: Window) -> Result<Found> {
    let (earlier, later) = (shared.scene(before)?, shared.scene(after)?);
    check(shared, (before, earlier), (after, later))?;
    let revision = shared.revision();
    let Ok(_turn) = known.working.try_lock() else { return Ok(Found::Busy) };
    let started = Instant::now();
    while started.elapsed() < BUDGET && shared.revision() == revision && !shared.is_ending() {
        let missing = |blocks: &mut Blocks| blocks.missing(part, revision, UNIT);
        let Some(unit) = known.with_own(before, after, later, missing) else { break };
        if !lock(&later.blocks).has(unit, revision) {
            break;
        }
        let below = below(earlier, later, unit)?;
        if below.is_some_and(|below| !lock(&earlier.blocks).has(below, revision)) {
            break;
        }
        let Some((labels, legend)) = lock(&later.blocks).labels(unit, revision) else { break };
        let classes = label_file::classes(&legend);
        let (values, transitions) = compare(shared, (earlier, below), (later, unit), &labels, &classes, revision)?;
        let legend = Arc::new(Legend {
            revision,
            names: transitions.iter().map(|transition| transition.name.clone()).collect(),
            colours: transitions.iter().map(|transition| transition.colour).collect(),
        });
        let area = |col, row| later.ground.as_ref().map_or(1.0, |ground| ground.pixel_area(col, row));
        known.with_own(before, after, later, |blocks| blocks.put(unit, &values, &legend, area));
    }
    let ready = known.with(before, after, |blocks| blocks.has(part, revision)).unwrap_or(false);
    if !ready {
        // What is lacking of the earlier scene is labelled as if somebody looked at it.
        let below = below(earlier, later, part)?;
        if let Some(below) = below.filter(|below| !lock(&earlier.blocks).has(*below, revision)) {
            shared.look_at(&format!("change-{before}-{after}"), before, below);
        }
    }
    let numbers = known.with_own(before, after, later, |blocks| numbers(shared, later, blocks, revision));
    let mut answer = numbers;
    if let Value::Object(answer) = &mut answer {
        answer.insert("ready".into(), ready.into());
        answer.insert("layer".into(), format!("change-{after}-{before}").into());
    }
    Ok(Found::Numbers(answer))
}

fn check(
    shared: &Shared,
    (before, earlier): (usize, &ServedScene),
    (after, later): (usize, &ServedScene),
) -> Result<()> {
    if before == after {
        return Err(Error::input("a scene has no changes since itself").with_hint("Choose another scene."));
    }
    let classes = lock(&shared.session).classes.len();
    if classes > MOST_CLASSES {
        return Err(Error::input(format!("there are {classes} classes; changes are shown of at most {MOST_CLASSES}"))
            .with_hint("Save the job, run it, and compare the results with `segearth change`."));
    }
    let (mapped, other) = (earlier.grid.crs.is_some(), later.grid.crs.is_some());
    if mapped != other || !mapped && earlier.size != later.size {
        return Err(Error::input("the two scenes have no place in common").with_hint(
            "Scenes with a CRS can be compared, and scenes without one that have the same width and height.",
        ));
    }
    Ok(())
}

/// The part of the earlier scene below a part of the later one; `None`: they do not overlap.
fn below(earlier: &ServedScene, later: &ServedScene, part: Window) -> Result<Option<Window>> {
    if earlier.grid.crs.is_none() {
        return Ok(Some(part));
    }
    let steps = 8;
    let along = |start: usize, length: usize, at: usize| start as f64 + length as f64 * at as f64 / steps as f64;
    let places: Vec<[f64; 2]> = (0..=steps)
        .flat_map(|down| {
            (0..=steps).map(move |across| [along(part.col, part.width, across), along(part.row, part.height, down)])
        })
        .collect();
    let there = earlier.grid.to_scene(&later.grid.to_map(&places));
    let there: Vec<[f64; 2]> = there.into_iter().filter(|[col, row]| col.is_finite() && row.is_finite()).collect();
    let span = |of: fn(&[f64; 2]) -> f64, length: usize| {
        let (first, last) = there
            .iter()
            .map(of)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(first, last), value| (first.min(value), last.max(value)));
        let (first, last) = ((first - AROUND).floor().max(0.0), (last + AROUND).ceil().min(length as f64));
        (first < last).then_some((first as usize, (last - first) as usize))
    };
    let (Some((col, width)), Some((row, height))) =
        (span(|[col, _]| *col, earlier.size.width), span(|[_, row]| *row, earlier.size.height))
    else {
        return Ok(None);
    };
    let window = Window { col, row, width, height };
    if window.size().pixels() > MOST_PIXELS {
        return Err(Error::input("the pixels of the earlier scene are much smaller than those of the later one")
            .with_hint("Save the job, run it, and compare the results with `segearth change`."));
    }
    Ok(Some(window))
}

/// The transitions in a part of the later scene, (row, column); pixels that stayed or cannot be compared have none.
fn compare(
    shared: &Shared,
    (earlier, below): (&ServedScene, Option<Window>),
    (later, unit): (&ServedScene, Window),
    labels: &[u8],
    classes: &[ClassInfo],
    revision: u64,
) -> Result<(Vec<u16>, Vec<ClassInfo>)> {
    let before = below.and_then(|below| Some((below, lock(&earlier.blocks).labels(below, revision)?.0)));
    let Some((below, before)) = before else {
        return Ok((vec![u16::MAX; labels.len()], change::transitions(classes)));
    };
    let folder = tempfile::tempdir_in(&shared.folder).input(|| "cannot write to the state folder".into())?;
    let at = |name: &str| folder.path().join(name);
    label_file::write(&at("before.tif"), earlier, below, &before, classes)?;
    label_file::write(&at("after.tif"), later, unit, labels, classes)?;
    let comparison = Comparison::open(&at("before.tif"), &at("after.tif"), None)?;
    comparison.run_part(&at("change.tif"))?;
    let found = CodedRaster::open(&at("change.tif"))?;
    let mut values = vec![u16::MAX; labels.len()];
    found.read_small(unit.size().window(), &mut values, u16::MAX)?;
    let count = classes.len().max(1);
    for value in &mut values {
        let (from, to) = (usize::from(*value) / count, usize::from(*value) % count);
        if from >= count || from == to {
            *value = u16::MAX;
        }
    }
    Ok((values, comparison.transitions()))
}

/// The transitions that occur, the largest first, over all blocks that are known.
fn numbers(shared: &Shared, later: &ServedScene, blocks: &Blocks, revision: u64) -> Value {
    let totals = blocks.totals();
    let current = totals.revision == revision;
    let names: Vec<String> = lock(&shared.session).classes.iter().map(|class| class.name.clone()).collect();
    let colours = lock(&shared.news).colours.clone();
    let classes: Vec<ClassInfo> =
        names.iter().zip(colours).map(|(name, colour)| ClassInfo { name: name.clone(), colour }).collect();
    let transitions = change::transitions(&classes);
    let count = names.len().max(1);
    let mut listed: Vec<(u64, Value)> = totals
        .pixels
        .iter()
        .zip(&totals.areas)
        .enumerate()
        .filter(|(_, (pixels, _))| current && **pixels > 0)
        .map(|(value, (pixels, area))| {
            let area = later.ground.as_ref().map(|_| *area);
            let colour = transitions.get(value).map(|transition| hex(transition.colour));
            let transition = json!({
                "from": names.get(value / count), "to": names.get(value % count), "colour": colour, "pixels": pixels, "area": area,
            });
            (*pixels, transition)
        })
        .collect();
    listed.sort_by_key(|(pixels, _)| std::cmp::Reverse(*pixels));
    let listed: Vec<Value> = listed.into_iter().map(|(_, transition)| transition).collect();
    json!({
        "version": blocks.changes(), "known": if current { totals.blocks } else { 0 }, "all": blocks.count(), "transitions": listed,
    })
}
