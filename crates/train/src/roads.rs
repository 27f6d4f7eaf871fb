//! Roads in drone images, drawn by hand: the images' own masks know buildings only.
//!
//! `data/drone_roads.json` holds centre lines and areas in pixels of images laid side by side, and says at its head how they were
//! drawn. Pixels that no mask calls a building become road, neither building nor road, or stay what they were where nobody knows.

use segearth::error::{Context as _, Error, Result};
use serde::Deserialize;

use super::words::{BUILDING, Label, NEITHER, NO_BUILDING, ROAD};

const DRAWN: &str = include_str!("../data/drone_roads.json");
/// Side of an image, in pixels.
const SIDE: usize = 512;
/// Pixels along both sides of a road of which it is not known whether they belong to it.
const EDGE: f32 = 4.0;

/// All that was drawn.
#[derive(Debug, Deserialize)]
pub struct Roads {
    places: Vec<Place>,
}

/// Images beside each other.
#[derive(Debug, Deserialize)]
struct Place {
    /// How the images' names begin; `_COLUMN_ROW` follows.
    images: String,
    /// Column and row of the upper left image.
    first: [usize; 2],
    /// Column and row of the lower right image.
    last: [usize; 2],
    shapes: Vec<Shape>,
}

/// Kind, width in pixels (0: an area), and x, y, x, y, … in pixels from the first image's upper left corner.
#[derive(Debug, Deserialize)]
struct Shape(Kind, f32, Vec<f32>);

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Road,
    Unknown,
}

impl Roads {
    /// The roads that the crate holds.
    pub fn drawn() -> Result<Self> {
        let roads: Self = serde_json::from_str(DRAWN).internal(|| "the drawn roads cannot be read".into())?;
        let whole = |shape: &Shape| shape.2.len() >= 4 && shape.2.len().is_multiple_of(2) && shape.1 >= 0.0;
        match roads.places.iter().all(|place| place.shapes.iter().all(whole)) {
            true => Ok(roads),
            false => Err(Error::internal("a drawn shape has no points, half a point, or no width")),
        }
    }

    /// Changes the labels (row, column) of the image with this name where roads were drawn in it.
    pub fn draw(&self, name: &str, labels: &mut [u8]) -> Result<()> {
        let Some((place, origin)) = self.places.iter().find_map(|place| Some((place, place.origin_of(name)?))) else {
            return Ok(());
        };
        if labels.len() != SIDE * SIDE {
            return Err(Error::input(format!("{name} has not {SIDE} × {SIDE} pixels, for which its roads were drawn")));
        }
        let mut put = |label: Label, at: usize| {
            if labels[at] != BUILDING as u8 {
                labels[at] = label as u8;
            }
        };
        (0..SIDE * SIDE).for_each(|at| put(NEITHER, at));
        let of = |kind: Kind| place.shapes.iter().filter(move |shape| shape.0 == kind);
        of(Kind::Unknown).for_each(|shape| shape.pixels(origin, 0.0, |at| put(NO_BUILDING, at)));
        of(Kind::Road).for_each(|shape| shape.pixels(origin, EDGE, |at| put(NO_BUILDING, at)));
        of(Kind::Road).for_each(|shape| shape.pixels(origin, 0.0, |at| put(ROAD, at)));
        Ok(())
    }
}

impl Place {
    /// Where an image of this place begins, in the place's pixels.
    fn origin_of(&self, name: &str) -> Option<[f32; 2]> {
        let rest = name.strip_prefix(&self.images)?.strip_prefix('_')?;
        let (column, row) = rest.split('.').next()?.split_once('_')?;
        let at = [column.parse::<usize>().ok()?, row.parse::<usize>().ok()?];
        let there = (0..2).all(|axis| (self.first[axis]..=self.last[axis]).contains(&at[axis]));
        there.then(|| [0, 1].map(|axis| ((at[axis] - self.first[axis]) * SIDE) as f32))
    }
}

impl Shape {
    /// Calls `put` with the number of each pixel, of the image that begins at `origin`, whose centre lies in the shape.
    fn pixels(&self, origin: [f32; 2], wider: f32, mut put: impl FnMut(usize)) {
        let points: Vec<[f32; 2]> =
            self.2.chunks_exact(2).map(|point| [point[0] - origin[0], point[1] - origin[1]]).collect();
        let reach = self.1 / 2.0 + wider;
        let range = |axis: usize| {
            let (low, high) = points
                .iter()
                .fold((f32::MAX, f32::MIN), |(low, high), point| (low.min(point[axis]), high.max(point[axis])));
            let inside = |value: f32| value.clamp(0.0, SIDE as f32) as usize;
            inside((low - reach).floor())..inside((high + reach).ceil())
        };
        for row in range(1) {
            for col in range(0) {
                let at = [col as f32 + 0.5, row as f32 + 0.5];
                let is_in = match self.1 > 0.0 {
                    true => points.windows(2).any(|ends| squared_distance(at, ends[0], ends[1]) <= reach * reach),
                    false => contains(&points, at),
                };
                if is_in {
                    put(row * SIDE + col);
                }
            }
        }
    }
}

/// From a point to a line between two others, squared.
fn squared_distance(at: [f32; 2], from: [f32; 2], to: [f32; 2]) -> f32 {
    let along = [to[0] - from[0], to[1] - from[1]];
    let length = along[0] * along[0] + along[1] * along[1];
    let away = [at[0] - from[0], at[1] - from[1]];
    let share = ((away[0] * along[0] + away[1] * along[1]) / length.max(1e-6)).clamp(0.0, 1.0);
    let rest = [away[0] - share * along[0], away[1] - share * along[1]];
    rest[0] * rest[0] + rest[1] * rest[1]
}

/// Whether a point lies in a ring, by the even-odd rule.
fn contains(ring: &[[f32; 2]], [x, y]: [f32; 2]) -> bool {
    let mut before = ring.last().copied().unwrap_or_default();
    let mut inside = false;
    for &point in ring {
        let crosses = (point[1] > y) != (before[1] > y);
        if crosses && x < point[0] + (y - point[1]) / (before[1] - point[1]) * (before[0] - point[0]) {
            inside = !inside;
        }
        before = point;
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Part, buildings_part};

    #[test]
    fn what_was_drawn_can_be_read_and_every_road_lies_in_its_images() {
        let roads = Roads::drawn().unwrap();
        for place in &roads.places {
            let size = [0, 1].map(|axis| ((place.last[axis] - place.first[axis] + 1) * SIDE) as f32);
            for shape in place.shapes.iter().filter(|shape| shape.0 == Kind::Road) {
                let inside = |point: &[f32]| (0..2).all(|axis| (-120.0..size[axis] + 120.0).contains(&point[axis]));
                assert!(shape.2.chunks_exact(2).all(inside), "{} {shape:?}", place.images);
            }
        }
        let images = |part: Part| {
            let of = roads.places.iter().filter(|place| buildings_part(&place.images) == part);
            of.map(|place| (0..2).map(|axis| place.last[axis] - place.first[axis] + 1).product::<usize>())
                .sum::<usize>()
        };
        assert_eq!([Part::Train, Part::Validation, Part::Test].map(images), [70, 12, 10]);
    }

    fn one(shapes: &str) -> Roads {
        let text = format!(r#"{{"places":[{{"images":"town_z19","first":[7,3],"last":[8,3],"shapes":[{shapes}]}}]}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_line_over_two_images_is_a_road_in_both_and_buildings_stay() {
        let roads = one(r#"["unknown",0,[600,0,700,0,700,50,600,50]],["road",20,[0,100,1024,100]]"#);
        let mut labels = vec![NO_BUILDING as u8; SIDE * SIDE];
        labels[100 * SIDE + 9] = BUILDING as u8;
        let mut left = labels.clone();
        roads.draw("town_z19_7_3.jpg", &mut left).unwrap();
        let at = |labels: &[u8], x: usize, y: usize| usize::from(labels[y * SIDE + x]);
        assert_eq!([at(&left, 9, 100), at(&left, 8, 100), at(&left, 511, 92)], [BUILDING, ROAD, ROAD]);
        assert_eq!([at(&left, 8, 87), at(&left, 8, 84), at(&left, 8, 300)], [NO_BUILDING, NEITHER, NEITHER]);
        let mut right = labels.clone();
        roads.draw("town_z19_8_3.jpg", &mut right).unwrap();
        assert_eq!([at(&right, 0, 100), at(&right, 100, 20), at(&right, 200, 20)], [ROAD, NO_BUILDING, NEITHER]);
        // Images that nobody has drawn in stay as they are.
        for other in ["town_z19_9_3.jpg", "town_z18_7_3.jpg", "town_z19_7.jpg"] {
            let mut same = labels.clone();
            roads.draw(other, &mut same).unwrap();
            assert_eq!(same, labels, "{other}");
        }
        assert!(roads.draw("town_z19_7_3.jpg", &mut labels[1..]).is_err());
    }
}
