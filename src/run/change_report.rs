//! The HTML report of a comparison: both maps with a swipe, what has changed above them, and a table of the changes.

use std::path::Path;

use crate::change::Change;
use crate::crs;
use crate::error::Result;
use crate::page::{Amount, Layers, Page, Share, Vectors, Words};
use crate::raster;
use crate::report::{AreaScale, grouped};
use crate::scene::ClassInfo;
use crate::vector::Sketch;

const WORDS: Words<'_> = Words {
    several: "Changes",
    one: "Change",
    note: "Shares are those of all compared pixels. Value is the number of the transition in the raster.",
};

/// Writes the report to `path`. `raster`: the raster of transitions.
pub fn write(
    path: &Path,
    raster: &Path,
    change: &Change,
    transitions: &[ClassInfo],
    sketch: Option<&Sketch>,
) -> Result<()> {
    let info = raster::inspect(raster)?;
    let scale = crs::ground_of(info.size, info.georeference.as_ref()).and_then(|ground| ground.scale_bar());
    let counts: Vec<u64> = change.cells.iter().map(|cell| cell.pixels).collect();
    let layers = Layers::of_change(raster, &change.classes, transitions, &counts)?;
    let (whole, changed) = (change.sum(|_, _| true), change.sum(|from, to| from != to));
    let areas = AreaScale::new(whole.area);
    let area = |area: f64| change.has_areas.then(|| areas.show(area));
    let share = |pixels: u64| pixels as f64 / whole.pixels.max(1) as f64;
    let classes = change.classes.len().max(1);
    let listed: Vec<Share<'_>> = transitions
        .iter()
        .zip(&change.cells)
        .enumerate()
        .map(|(value, (class, cell))| Share {
            class,
            share: share(cell.pixels),
            amount: Amount { pixels: grouped(cell.pixels), area: area(cell.area) },
            listed: value / classes != value % classes && cell.pixels > 0,
        })
        .collect();
    let amount =
        |pixels: u64, square_metres: f64| area(square_metres).unwrap_or_else(|| format!("{} pixels", grouped(pixels)));
    let subtitle = format!(
        "{} of {} have changed ({:.1} %)",
        amount(changed.pixels, changed.area),
        amount(whole.pixels, whole.area),
        100.0 * share(changed.pixels)
    );
    let file = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (before, after) = (file(&change.before), file(&change.after));
    let mut provenance = vec![
        ("Before".to_owned(), change.before.display().to_string()),
        ("After".to_owned(), change.after.display().to_string()),
        ("segearth".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("Compared pixels".to_owned(), grouped(whole.pixels)),
    ];
    provenance.extend(change.notes.iter().map(|note| ("Note".to_owned(), note.clone())));
    Page {
        title: &format!("{before} to {after}"),
        subtitle: &subtitle,
        sides: ["Before", "After"],
        layers: &layers,
        vectors: sketch.map(|sketch| Vectors { name: "Outlines of changes", sketch }),
        words: WORDS,
        scale: scale.as_ref(),
        classes: &listed,
        nodata: None,
        provenance: &provenance,
        job: "",
        resolved: "",
    }
    .write(path)
}
