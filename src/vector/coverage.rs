//! A coverage: polygons that share their borders. Each border is stored once, as an arc between nodes, and simplified once.
//!
//! A node is a lattice corner where three or more regions meet, or where a border turns on the frame of the map. Nodes never
//! move. Each traced ring is split at its nodes, and each piece is matched with the same arc of the neighbouring region.
//!
//! This is our own code because GEOS simplifies coverages only from version 3.12 on (`GEOSCoverageSimplifyVW`), and GDAL
//! exposes that only from version 3.12 on. With these as the oldest supported versions they could replace `simplify`. They
//! need all polygons in memory, whereas borders are collected row by row here.

use std::collections::HashMap;

use geo::{MultiPolygon, Polygon};

use super::bits::BitGrid;
use super::shape::{Confidence, Corner, LabelRegion, LatticePolygon, PixelSize};
use super::simplify::{self, Positions};

/// A region as arcs of the common borders.
struct Face {
    label: u16,
    confidence: Option<Confidence>,
    /// Polygons of rings of arcs: `(arc, reversed)`.
    parts: Vec<Vec<Vec<(u32, bool)>>>,
}

/// A simplified region: polygons in pixels, the inside of rings on the left with row 0 on top.
pub struct SmoothRegion {
    pub label: u16,
    pub confidence: Option<Confidence>,
    pub polygons: MultiPolygon,
}

/// The borders of a whole label map.
pub struct Coverage {
    nodes: BitGrid,
    row_above: Vec<u32>,
    row: usize,
    /// Corners of all arcs, end to end.
    corners: Vec<Corner>,
    /// Start of each arc in `corners`, and the end of the last.
    starts: Vec<usize>,
    /// Arcs known from one side only, by their end corner and the direction back along them.
    open: HashMap<(Corner, u8), u32>,
    faces: Vec<Face>,
    deferred: Vec<LabelRegion>,
}

const OUTSIDE: u32 = u32::MAX;

impl Coverage {
    pub fn new(width: usize, height: usize) -> Self {
        Self {
            nodes: BitGrid::new(width + 1, height + 1),
            row_above: vec![OUTSIDE; width],
            row: 0,
            corners: Vec::new(),
            starts: vec![0],
            open: HashMap::new(),
            faces: Vec::new(),
            deferred: Vec::new(),
        }
    }

    /// Takes the next row of labels; call it before the row is traced.
    pub fn row(&mut self, labels: &[u16], skipped: impl Fn(u16) -> bool) {
        let below: Vec<u32> =
            labels.iter().map(|&label| if skipped(label) { OUTSIDE } else { u32::from(label) }).collect();
        self.mark_nodes(&below);
        self.row_above = below;
        self.row += 1;
    }

    /// Completes the coverage; call it after the last row.
    pub fn end(&mut self) {
        let below = vec![OUTSIDE; self.row_above.len()];
        self.mark_nodes(&below);
        for region in std::mem::take(&mut self.deferred) {
            self.region(region);
        }
    }

    /// Takes a region that tracing completed with the current row; regions of the last row are deferred to `end`.
    pub fn region_of_row(&mut self, region: LabelRegion) {
        if self.row == self.nodes.height() - 1 { self.deferred.push(region) } else { self.region(region) }
    }

    fn mark_nodes(&mut self, below: &[u32]) {
        let (mut a, mut c) = (OUTSIDE, OUTSIDE);
        for col in 0..=below.len() {
            let b = self.row_above.get(col).copied().unwrap_or(OUTSIDE);
            let d = below.get(col).copied().unwrap_or(OUTSIDE);
            let edges = u8::from(a != b) + u8::from(c != d) + u8::from(a != c) + u8::from(b != d);
            let straight = (a != b && c != d) || (a != c && b != d);
            let on_frame = col == 0 || col == below.len() || self.row == 0 || self.row + 1 == self.nodes.height();
            if edges > 2 || (on_frame && edges == 2 && !straight) {
                self.nodes.set(col, self.row, true);
            }
            (a, c) = (b, d);
        }
    }

    /// Takes a completed region.
    pub fn region(&mut self, region: LabelRegion) {
        let parts = region.parts.iter().map(|part| self.part(part)).collect();
        self.faces.push(Face { label: region.label, confidence: region.confidence, parts });
    }

    fn part(&mut self, part: &LatticePolygon) -> Vec<Vec<(u32, bool)>> {
        part.rings().map(|ring| self.ring(ring)).collect()
    }

    fn ring(&mut self, ring: &[Corner]) -> Vec<(u32, bool)> {
        let mut stations = Vec::with_capacity(ring.len() + 4);
        for (index, &from) in ring.iter().enumerate() {
            let to = ring[(index + 1) % ring.len()];
            stations.push((from, self.is_node(from)));
            let mut at = step(from, to);
            while at != to {
                if self.is_node(at) {
                    stations.push((at, true));
                }
                at = step(at, to);
            }
        }
        let begin = match stations.iter().position(|&(_, node)| node) {
            Some(node) => node,
            // An island without nodes: the rings on both sides must start at the same corner.
            None => {
                (0..stations.len()).min_by_key(|&index| (stations[index].0.row, stations[index].0.col)).unwrap_or(0)
            }
        };
        stations.rotate_left(begin);
        stations.push(stations[0]);
        let mut arcs = Vec::new();
        let mut from = 0;
        for at in 1..stations.len() {
            if stations[at].1 || at + 1 == stations.len() {
                arcs.push(self.arc(&stations[from..=at]));
                from = at;
            }
        }
        arcs
    }

    fn arc(&mut self, stations: &[(Corner, bool)]) -> (u32, bool) {
        let count = stations.len();
        let forward = (stations[0].0, direction(stations[0].0, stations[1].0));
        if let Some(arc) = self.open.remove(&forward) {
            return (arc, true);
        }
        let arc = (self.starts.len() - 1) as u32;
        let back = (stations[count - 1].0, direction(stations[count - 1].0, stations[count - 2].0));
        self.open.insert(back, arc);
        self.corners.extend(stations.iter().map(|&(corner, _)| corner));
        self.starts.push(self.corners.len());
        (arc, false)
    }

    fn is_node(&self, corner: Corner) -> bool {
        self.nodes.get(corner.col as usize, corner.row as usize)
    }

    /// Simplifies all borders. `tolerance` in metres, `pixel` the pixel size at a corner.
    pub fn finish(self, pixel: impl Fn(Corner) -> PixelSize, tolerance: f64, smooth: bool) -> Simplified {
        let Self { nodes, corners, starts, faces, .. } = self;
        let mut live = nodes;
        for &corner in &corners {
            live.set(corner.col as usize, corner.row as usize, true);
        }
        let arcs = simplify::simplify(&corners, &starts, &mut live, pixel, tolerance);
        drop((corners, starts));
        let arcs = if smooth { simplify::smooth(&arcs, &live) } else { arcs.into_positions() };
        Simplified { arcs, faces }
    }
}

/// Simplified borders and the regions between them.
pub struct Simplified {
    arcs: Positions,
    faces: Vec<Face>,
}

impl Simplified {
    /// The regions in the order in which they were completed.
    pub fn regions(self) -> impl Iterator<Item = SmoothRegion> {
        let Self { arcs, faces } = self;
        faces.into_iter().map(move |face| SmoothRegion {
            label: face.label,
            confidence: face.confidence,
            polygons: face.parts.iter().filter_map(|part| polygon(&arcs, part)).collect(),
        })
    }
}

/// A polygon of rings of arcs, the outer one first.
fn polygon(arcs: &Positions, rings: &[Vec<(u32, bool)>]) -> Option<Polygon> {
    let (outer, holes) = rings.split_first()?;
    Some(Polygon::new(arcs.ring(outer), holes.iter().map(|hole| arcs.ring(hole)).collect()))
}

fn step(from: Corner, to: Corner) -> Corner {
    let towards = |from: u32, to: u32| from.wrapping_add_signed((i64::from(to) - i64::from(from)).signum() as i32);
    Corner { col: towards(from.col, to.col), row: towards(from.row, to.row) }
}

fn direction(from: Corner, to: Corner) -> u8 {
    match (from.col.cmp(&to.col), from.row.cmp(&to.row)) {
        (std::cmp::Ordering::Less, _) => 0,
        (std::cmp::Ordering::Greater, _) => 1,
        (_, std::cmp::Ordering::Less) => 2,
        _ => 3,
    }
}
