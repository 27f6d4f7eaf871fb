//! Pixels that several examples claim: those of one class stay in the first example, those of several classes in none.

use std::collections::{BTreeSet, HashMap};

use super::{Example, Skipped};
use crate::geom::Region;

/// The polygons of an example.
pub(super) struct Area {
    pub class: usize,
    /// The scene's row that is the region's row 0.
    pub top: usize,
    pub region: Region,
}

/// Removes pixels that conflict or are duplicates, and examples without any other.
///
/// A pixel conflicts where an example of another class has it too, or has a polygon that contains its centre, whichever
/// pixels were taken of that polygon.
pub(super) fn remove(examples: &mut Vec<Example>, areas: &[Area], skipped: &mut Skipped) {
    let mut classes: HashMap<[usize; 2], usize> = HashMap::new();
    let mut conflicting: BTreeSet<[usize; 2]> = BTreeSet::new();
    for example in examples.iter() {
        for &pixel in &example.pixels {
            if *classes.entry(pixel).or_insert(example.class) != example.class {
                conflicting.insert(pixel);
            }
        }
    }
    conflicting.extend(in_other_polygons(&classes, areas));
    skipped.conflicting_pixels = conflicting.len() as u64;
    for example in examples.iter_mut() {
        example.pixels.retain(|pixel| {
            if conflicting.contains(pixel) {
                return false;
            }
            // The first example of a class takes it.
            let first = classes.remove(pixel).is_some();
            skipped.duplicate_pixels += u64::from(!first);
            first
        });
    }
    examples.retain(|example| {
        if example.pixels.is_empty() {
            skipped.nothing_left.push(example.id);
        }
        !example.pixels.is_empty()
    });
}

/// The pixels that lie in polygons of another class, by a sweep down the rows.
fn in_other_polygons(classes: &HashMap<[usize; 2], usize>, areas: &[Area]) -> Vec<[usize; 2]> {
    let mut pixels: Vec<([usize; 2], usize)> = classes.iter().map(|(&pixel, &class)| (pixel, class)).collect();
    pixels.sort_unstable_by_key(|&([col, row], _)| [row, col]);
    let mut areas: Vec<&Area> = areas.iter().collect();
    areas.sort_by_key(|area| area.top);
    let mut coming = areas.into_iter().peekable();
    let mut here: Vec<&Area> = Vec::new();
    let mut spans = HashMap::new();
    let mut spans_row = None;
    let mut found = Vec::new();
    for ([col, row], class) in pixels {
        if spans_row != Some(row) {
            here.extend(std::iter::from_fn(|| coming.next_if(|area| area.top <= row)));
            here.retain(|area| row < area.top + area.region.size().height);
            spans.clear();
            spans_row = Some(row);
        }
        let inside = |(number, area): (usize, &&Area)| {
            let spans = spans.entry(number).or_insert_with(|| {
                let mut spans = Vec::new();
                area.region.row_spans(row - area.top, &mut spans);
                spans
            });
            area.class != class && spans.iter().any(|span| span.contains(&col))
        };
        if here.iter().enumerate().any(inside) {
            found.push([col, row]);
        }
    }
    found
}
