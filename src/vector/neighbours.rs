//! Neighbouring buildings: clusters of touching ones, and the separation of overlapping outlines.

use std::collections::{BTreeMap, HashMap};

use gdal::vector::Geometry;

use super::buildings::{Building, Shape, plain_outline};
use super::geometry::geometry_of;
use super::output_space::positions;

/// Cell size of the neighbourhood index, in pixels.
const CELL: f64 = 64.0;

/// Common area that rounding of coordinates may cause, in square pixels.
const ROUNDING: f64 = 1e-6;

/// Restores pixel outlines wherever two outlines overlap: pixel outlines never do.
pub fn separate(buildings: &mut [Building]) {
    let mut cells: HashMap<(i64, i64), Vec<u32>> = HashMap::new();
    let boxes: Vec<[f64; 4]> = buildings.iter().map(bounds).collect();
    for (index, bounds) in (0u32..).zip(&boxes) {
        for cell in cells_of(bounds) {
            cells.entry(cell).or_default().push(index);
        }
    }
    let mut shapes: Vec<Option<Geometry>> = buildings.iter().map(|_| None).collect();
    let mut todo: Vec<u32> = (0..buildings.len() as u32).collect();
    while let Some(index) = todo.pop() {
        let one = index as usize;
        let mut neighbours: Vec<u32> = cells_of(&boxes[one])
            .filter_map(|cell| cells.get(&cell))
            .flatten()
            .copied()
            .filter(|&other| other != index)
            .collect();
        neighbours.sort_unstable();
        neighbours.dedup();
        for other in neighbours {
            let other = other as usize;
            if !overlap_boxes(&boxes[one], &boxes[other])
                || (buildings[one].shape == Shape::Plain && buildings[other].shape == Shape::Plain)
            {
                continue;
            }
            for side in [one, other] {
                if shapes[side].is_none() {
                    shapes[side] = geometry_of(&buildings[side].outline).ok();
                }
            }
            // Shared walls are equal up to rounding, which is not an overlap.
            let overlap = matches!((&shapes[one], &shapes[other]), (Some(a), Some(b))
                if a.intersects(b) && !a.touches(b) && a.intersection(b).is_some_and(|both| both.area() > ROUNDING));
            if overlap {
                // The outline with the lower IoU is restored first.
                let restored = match (buildings[one].shape, buildings[other].shape) {
                    (Shape::Plain, _) => other,
                    (_, Shape::Plain) => one,
                    _ if buildings[one].iou < buildings[other].iou => one,
                    _ => other,
                };
                let building = &mut buildings[restored];
                building.outline = plain_outline(&building.plain);
                building.shape = Shape::Plain;
                building.iou = 1.0;
                shapes[restored] = None;
                todo.push(restored as u32);
                if restored == one {
                    break;
                }
            }
        }
    }
}

/// Clusters of two or more buildings of different classes whose bounding boxes touch, as indices.
pub fn clusters(buildings: &[Building]) -> Vec<Vec<usize>> {
    let boxes: Vec<[f64; 4]> = buildings.iter().map(bounds).collect();
    let mut cells: HashMap<(i64, i64), Vec<u32>> = HashMap::new();
    let mut root: Vec<u32> = (0..buildings.len() as u32).collect();
    for (index, one) in (0u32..).zip(&boxes) {
        for cell in cells_of(one) {
            let members = cells.entry(cell).or_default();
            for &other in members.iter() {
                let (a, b) = (&buildings[index as usize], &buildings[other as usize]);
                if a.label != b.label && touch(one, &boxes[other as usize]) {
                    let (a, b) = (find(&mut root, index), find(&mut root, other));
                    root[a.max(b) as usize] = a.min(b);
                }
            }
            members.push(index);
        }
    }
    let mut members: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for index in 0..buildings.len() {
        members.entry(find(&mut root, index as u32)).or_default().push(index);
    }
    members.into_values().filter(|members| members.len() > 1).collect()
}

fn find(root: &mut [u32], mut index: u32) -> u32 {
    while root[index as usize] != index {
        root[index as usize] = root[root[index as usize] as usize];
        index = root[index as usize];
    }
    index
}

fn touch(a: &[f64; 4], b: &[f64; 4]) -> bool {
    a[0] <= b[2] && b[0] <= a[2] && a[1] <= b[3] && b[1] <= a[3]
}

fn bounds(building: &Building) -> [f64; 4] {
    let mut bounds = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
    for at in building.outline.exterior().coords().copied().chain(positions(&building.plain.outer)) {
        bounds = [bounds[0].min(at.x), bounds[1].min(at.y), bounds[2].max(at.x), bounds[3].max(at.y)];
    }
    bounds
}

fn cells_of(bounds: &[f64; 4]) -> impl Iterator<Item = (i64, i64)> + use<> {
    let [left, top, right, bottom] = bounds.map(|side| (side / CELL).floor() as i64);
    (top..=bottom).flat_map(move |row| (left..=right).map(move |col| (col, row)))
}

fn overlap_boxes(a: &[f64; 4], b: &[f64; 4]) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}
