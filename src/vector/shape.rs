//! Regions of one label, bounded by rings of pixel corners.

use geo::{Coord, LineString, Polygon};

/// A corner of the pixel lattice: (0, 0) is the outer corner of the top left pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Corner {
    pub col: u32,
    pub row: u32,
}

impl From<Corner> for Coord {
    fn from(corner: Corner) -> Self {
        Self { x: f64::from(corner.col), y: f64::from(corner.row) }
    }
}

#[cfg(test)]
impl Corner {
    pub fn new(col: u32, row: u32) -> Self {
        Self { col, row }
    }
}

/// The size of a pixel on the ground, in metres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelSize {
    /// From one column to the next.
    pub width: f64,
    /// From one row to the next.
    pub height: f64,
}

/// An outer ring and its holes. Rings are simple, do not repeat their first corner, and have the inside on their left as
/// seen with row 0 on top: outer rings run counter-clockwise, holes clockwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LatticePolygon {
    pub outer: Vec<Corner>,
    pub holes: Vec<Vec<Corner>>,
}

impl LatticePolygon {
    /// The outer ring, then the holes.
    pub fn rings(&self) -> impl Iterator<Item = &Vec<Corner>> {
        std::iter::once(&self.outer).chain(&self.holes)
    }
}

/// Mean and minimum score of a region's pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confidence {
    pub mean: f32,
    pub minimum: f32,
}

/// One connected region of equal labels.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelRegion {
    pub label: u16,
    /// One part where pixels connect over edges; with diagonal connection several parts that touch in corners.
    pub parts: Vec<LatticePolygon>,
    pub pixels: u64,
    /// `None` without scores, or where all scores are missing.
    pub confidence: Option<Confidence>,
}

/// The area inside a ring in pixels, positive for outer rings and negative for holes.
pub fn ring_area(ring: &[Corner]) -> i64 {
    let mut twice = 0i64;
    let mut before = match ring.last() {
        Some(&last) => last,
        None => return 0,
    };
    for &here in ring {
        twice += (i64::from(here.col) - i64::from(before.col)) * (i64::from(here.row) + i64::from(before.row));
        before = here;
    }
    twice / 2
}

/// The points of a closed ring without the repeated first one.
pub fn open(ring: &LineString) -> &[Coord] {
    ring.0.split_last().map_or(&[], |(_, points)| points)
}

/// The rings of a polygon, the outer one first.
pub fn rings(polygon: &Polygon) -> impl Iterator<Item = &LineString> {
    std::iter::once(polygon.exterior()).chain(polygon.interiors())
}
