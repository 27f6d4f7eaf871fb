//! The transitions as CSV, and the whole result as JSON.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::{Change, ClassThreshold, PixelCounts};
use crate::error::{Context, Result};

const HEAD: &str = "from,to,value,pixels,area_m2,area_ha,area_km2,share_of_from\n";

pub fn csv(change: &Change) -> String {
    let mut text = HEAD.to_owned();
    for one in transitions(change) {
        let areas =
            one.area_m2.map_or_else(|| ",,".to_owned(), |m2| format!("{m2:.3},{:.6},{:.9}", m2 / 1e4, m2 / 1e6));
        let share = one.share_of_from.map(|share| format!("{share:.6}")).unwrap_or_default();
        let (from, to) = (quoted(one.from), quoted(one.to));
        let _ = writeln!(text, "{from},{to},{},{},{areas},{share}", one.value, one.pixels);
    }
    text
}

/// A CSV field, quoted where RFC 4180 requires it.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[derive(Serialize)]
struct ChangeJson<'a> {
    before: &'a Path,
    after: &'a Path,
    warped: bool,
    classes: Vec<&'a str>,
    #[serde(flatten)]
    counts: PixelCounts,
    changed: u64,
    changed_area_m2: Option<f64>,
    /// Of the energy of scores.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    thresholds: &'a [ClassThreshold],
    transitions: Vec<Transition<'a>>,
}

#[derive(Serialize)]
struct Transition<'a> {
    from: &'a str,
    to: &'a str,
    /// The value in the raster of transitions.
    value: usize,
    pixels: u64,
    area_m2: Option<f64>,
    /// Share of all compared pixels of the class before; `None` where there are none.
    share_of_from: Option<f64>,
}

fn transitions(change: &Change) -> Vec<Transition<'_>> {
    let classes = change.classes.len();
    let pairs = (0..classes).flat_map(|from| (0..classes).map(move |to| (from, to)));
    pairs
        .map(|(from, to)| {
            let (cell, before) = (change.cell(from, to), change.sum(|a, _| a == from).pixels);
            Transition {
                from: &change.classes[from].name,
                to: &change.classes[to].name,
                value: from * classes + to,
                pixels: cell.pixels,
                area_m2: change.has_areas.then_some(cell.area),
                share_of_from: (before > 0).then(|| cell.pixels as f64 / before as f64),
            }
        })
        .collect()
}

pub fn json(change: &Change) -> Result<String> {
    let changed = change.sum(|from, to| from != to);
    let result = ChangeJson {
        before: &change.before,
        after: &change.after,
        warped: change.warped,
        classes: change.classes.iter().map(|class| class.name.as_str()).collect(),
        counts: change.counts,
        changed: changed.pixels,
        changed_area_m2: change.has_areas.then_some(changed.area),
        thresholds: &change.thresholds,
        transitions: transitions(change),
    };
    let text = serde_json::to_string_pretty(&result).input(|| "the result cannot be written as JSON".into())?;
    Ok(text + "\n")
}
