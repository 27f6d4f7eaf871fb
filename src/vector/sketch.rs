//! A product's shapes for pictures: in pixels of the label raster, thinned to what a picture can show and a page can hold.

use geo::{Coord, MultiPolygon};

use crate::geom::{GeoTransform, Size};

/// Longest side of the pictures for which shapes are thinned, in pixels.
const SIDE: f64 = 2000.0;
/// Most points of all shapes together: about half a megabyte as text.
const MAX_POINTS: usize = 80_000;

/// A polygon's rings, or a line.
#[derive(Clone, Debug, PartialEq)]
pub struct SketchShape {
    /// The class, by its value in the raster.
    pub value: i64,
    /// Positions in pixels: x to the right, y down. Rings are closed without repeating their first point.
    pub parts: Vec<Vec<[f32; 2]>>,
    pub closed: bool,
    /// The longer side of its extent, in pixels.
    extent: f32,
}

/// The shapes of a product.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sketch {
    /// Of the label raster.
    pub size: Size,
    pub shapes: Vec<SketchShape>,
    /// Shapes that are too small to be shown.
    pub left_out: u64,
    /// Pixels of the raster in one of the picture.
    scale: f32,
    /// Smaller shapes are left out, in pixels of the raster.
    least: f32,
    points: usize,
}

impl Sketch {
    pub fn new(size: Size) -> Self {
        let scale = (size.width.max(size.height) as f64 / SIDE).max(1.0) as f32;
        Self { size, scale, least: scale, ..Self::default() }
    }

    /// Adds polygons in the raster's CRS.
    pub fn polygons(&mut self, value: i64, polygons: &MultiPolygon, transform: &GeoTransform) {
        for polygon in polygons {
            let rings = std::iter::once(polygon.exterior()).chain(polygon.interiors());
            let pixel = |at: &Coord| transform.to_pixel(*at).map(|[x, y]| [x as f32, y as f32]);
            let parts = rings.map(|ring| super::shape::open(ring).iter().filter_map(pixel).collect());
            self.add(value, parts.collect(), true);
        }
    }

    /// Adds a line in pixels.
    pub fn line(&mut self, value: i64, line: impl Iterator<Item = Coord>) {
        self.add(value, vec![line.map(|at| [at.x as f32, at.y as f32]).collect()], false);
    }

    fn add(&mut self, value: i64, parts: Vec<Vec<[f32; 2]>>, closed: bool) {
        let Some(extent) = parts.first().map(|part| extent(part)).filter(|extent| *extent >= self.least) else {
            self.left_out += 1;
            return;
        };
        let step = 0.5 * self.scale;
        let least_points = if closed { 3 } else { 2 };
        let thinned = parts.into_iter().map(|part| thinned(&part, step));
        let parts: Vec<Vec<[f32; 2]>> = thinned.filter(|part| part.len() >= least_points).collect();
        if parts.is_empty() {
            self.left_out += 1;
            return;
        }
        self.points += parts.iter().map(Vec::len).sum::<usize>();
        self.shapes.push(SketchShape { value, parts, closed, extent });
        while self.points > MAX_POINTS && self.shapes.len() > 1 {
            self.least *= 1.5;
            let (before, least) = (self.shapes.len(), self.least);
            self.shapes.retain(|shape| shape.extent >= least);
            self.left_out += (before - self.shapes.len()) as u64;
            self.points = self.shapes.iter().flat_map(|shape| &shape.parts).map(Vec::len).sum();
        }
    }
}

fn extent(part: &[[f32; 2]]) -> f32 {
    let of = |axis: usize| {
        let along = part.iter().map(|at| at[axis]);
        along.clone().fold(f32::MIN, f32::max) - along.fold(f32::MAX, f32::min)
    };
    if part.is_empty() { 0.0 } else { of(0).max(of(1)) }
}

/// The points at least `step` from the one before; the last one is kept.
fn thinned(part: &[[f32; 2]], step: f32) -> Vec<[f32; 2]> {
    let mut kept: Vec<[f32; 2]> = Vec::new();
    for (index, at) in part.iter().enumerate() {
        let far = kept.last().is_none_or(|last| (at[0] - last[0]).hypot(at[1] - last[1]) >= step);
        if far || index + 1 == part.len() {
            kept.push(*at);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use geo::polygon;

    #[test]
    fn shapes_are_in_pixels_and_small_ones_are_left_out() {
        let transform = GeoTransform { coefficients: [100.0, 2.0, 0.0, 900.0, 0.0, -2.0] };
        let mut sketch = Sketch::new(Size::new(4000, 10));
        let square = |x: f64, side: f64| polygon![(x: x, y: 890.0), (x: x + side, y: 890.0), (x: x + side, y: 890.0 - side), (x: x, y: 890.0 - side)];
        sketch.polygons(3, &vec![square(110.0, 10.0), square(150.0, 2.0)].into(), &transform);
        sketch.line(4, [(0.0, 0.0), (0.1, 0.0), (30.0, 0.0)].into_iter().map(Coord::from));
        assert_eq!((sketch.shapes.len(), sketch.left_out), (2, 1), "{sketch:?}");
        assert_eq!(sketch.shapes[0].parts, [vec![[5.0, 5.0], [10.0, 5.0], [10.0, 10.0], [5.0, 10.0]]]);
        assert_eq!(
            (sketch.shapes[1].parts.clone(), sketch.shapes[1].closed),
            (vec![vec![[0.0, 0.0], [30.0, 0.0]]], false)
        );
    }

    #[test]
    fn points_are_limited_whatever_the_number_of_shapes() {
        let mut sketch = Sketch::new(Size::new(2000, 2000));
        for index in 0..60_000u32 {
            let x = f64::from(index % 1000);
            let size = f64::from(index % 97 + 2);
            sketch.line(1, [(x, 0.0), (x + size, 5.0), (x, 9.0)].into_iter().map(Coord::from));
        }
        assert!(sketch.points <= MAX_POINTS && sketch.shapes.len() > 10_000, "{}", sketch.shapes.len());
        assert_eq!(sketch.shapes.len() as u64 + sketch.left_out, 60_000);
    }
}
