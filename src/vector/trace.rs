//! Traces regions row by row: a sweep from top to bottom that keeps only the open regions in memory.
//!
//! A boundary is stored as a list of its horizontal edges, each linked to the next one along the ring; between two of them
//! is a vertical edge. While a vertical edge continues downwards, the two run ends beside it store the horizontal edge
//! from which it comes (for the region on its right, whose boundary runs down) or to which it leads (for the region on
//! its left, whose boundary runs up). Joining two pieces is then one assignment, and nothing is merged at borders of strips.
//!
//! Where two pixels of one label meet only in a corner, the sweep cannot know yet whether they are connected. It keeps them
//! separate and marks the corner; a completed ring that visits a marked corner twice is split there, into the simple
//! rings that a valid polygon requires.
//!
//! This is our own code because `GDALPolygonize` aggregates no scores and reports no shared borders.

mod components;

use std::ops::Range;

use super::shape::{Confidence, Corner, LabelRegion, LatticePolygon};
use super::split::{Splitter, TOUCH};

/// The pixels that are connected to a region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Connectedness {
    /// Pixels that share an edge.
    #[default]
    Four,
    /// Pixels that share an edge or a corner.
    Eight,
}

const NONE: u32 = u32::MAX;
/// The label of pixels that are not traced: nodata, skipped classes, the outside.
const OUTSIDE: u32 = u32::MAX;

/// The pixels `start..end` of a row, of one label.
#[derive(Clone, Copy)]
struct Run {
    start: u32,
    end: u32,
    label: u32,
    component: u32,
    /// The horizontal edge from which the boundary comes down along the left end of this run.
    from: u32,
    /// The horizontal edge to which the boundary goes up along the right end of this run.
    to: u32,
}

/// The runs that a run overlaps in the adjacent row.
struct Overlap {
    /// Indices of the overlapping runs.
    runs: Range<usize>,
    /// The ends of the run itself, marked where a run of its label begins beyond the corner.
    start: u32,
    end: u32,
}

impl Overlap {
    /// The overlap of a run; `None` for runs that are not traced. `first`: index of the first overlapping run of the previous
    /// run; runs are processed from left to right.
    fn of(run: &Run, others: &[Run], first: &mut usize) -> Option<Self> {
        while others[*first].end <= run.start {
            *first += 1;
        }
        if run.label == OUTSIDE {
            return None;
        }
        let begin = *first;
        let past = begin + others[begin..].iter().take_while(|other| other.start < run.end).count();
        let same = |index: usize| others.get(index).is_some_and(|other| other.label == run.label);
        let left = others[begin].start == run.start && begin > 0 && same(begin - 1);
        let right = others[past - 1].end == run.end && same(past);
        let marked = |col: u32, touches: bool| col | if touches { TOUCH } else { 0 };
        Some(Self { runs: begin..past, start: marked(run.start, left), end: marked(run.end, right) })
    }
}

/// A horizontal edge, directed from column `begin` to column `end`.
#[derive(Clone, Copy)]
struct Edge {
    row: u32,
    begin: u32,
    end: u32,
    next: u32,
}

/// The row of an unused slot.
const FREE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Component {
    parent: u32,
    label: u32,
    last_row: u32,
    group: u32,
    pixels: u64,
    score_sum: f64,
    scored: u64,
    score_min: f32,
    first_seed: u32,
    last_seed: u32,
}

/// Components that touch in corners, for eight-connected regions.
#[derive(Default)]
struct Group {
    parent: u32,
    open: u32,
    parts: Vec<LatticePolygon>,
    pixels: u64,
    score_sum: f64,
    scored: u64,
    score_min: f32,
    absorbed: Vec<u32>,
}

/// Traces regions: call `row` for every row, then `finish`. The documentation of the module describes the method.
pub struct Tracer {
    width: u32,
    row: u32,
    connectedness: Connectedness,
    skipped: Vec<bool>,
    above: Vec<Run>,
    below: Vec<Run>,
    edges: Vec<Edge>,
    free_edge: u32,
    /// (edge, next seed): the edges at which rings may start.
    seeds: Vec<[u32; 2]>,
    free_seed: u32,
    components: Vec<Component>,
    free_components: Vec<u32>,
    absorbed: Vec<u32>,
    groups: Vec<Group>,
    free_groups: Vec<u32>,
    splitter: Splitter,
}

impl Tracer {
    /// A tracer of rows of `width` pixels; labels with `skipped(label)` are left out.
    ///
    /// # Panics
    /// If `width` exceeds 2³¹ − 1, the limit of GDAL.
    pub fn new(width: usize, connectedness: Connectedness, skipped: impl Fn(u16) -> bool) -> Self {
        assert!(width < TOUCH as usize, "GDAL's rasters are at most 2^31 - 1 pixels wide");
        let width = width as u32;
        Self {
            width,
            row: 0,
            connectedness,
            skipped: (0..=u16::MAX).map(skipped).collect(),
            above: vec![Run { start: 0, end: width, label: OUTSIDE, component: NONE, from: NONE, to: NONE }],
            below: Vec::new(),
            edges: Vec::new(),
            free_edge: NONE,
            seeds: Vec::new(),
            free_seed: NONE,
            components: Vec::new(),
            free_components: Vec::new(),
            absorbed: Vec::new(),
            groups: Vec::new(),
            free_groups: Vec::new(),
            splitter: Splitter::default(),
        }
    }

    /// Processes the next row of labels with its scores (NaN where missing); `emit` receives the completed regions.
    pub fn row(&mut self, labels: &[u16], scores: Option<&[f32]>, emit: &mut impl FnMut(LabelRegion)) {
        debug_assert_eq!(labels.len(), self.width as usize);
        self.below.clear();
        let mut start = 0;
        while start < labels.len() {
            let label = labels[start];
            let mut skipped = self.skipped[usize::from(label)];
            let mut end = start + 1;
            while end < labels.len() {
                let next = labels[end];
                if next != label {
                    if !(skipped && self.skipped[usize::from(next)]) {
                        break;
                    }
                    skipped = true;
                }
                end += 1;
            }
            let label = if skipped { OUTSIDE } else { u32::from(label) };
            let (start_col, end_col) = (start as u32, end as u32);
            self.below.push(Run { start: start_col, end: end_col, label, component: NONE, from: NONE, to: NONE });
            start = end;
        }
        self.sweep(scores, emit);
    }

    /// Completes the regions that are still open.
    pub fn finish(mut self, emit: &mut impl FnMut(LabelRegion)) {
        self.below.clear();
        self.below.push(Run { start: 0, end: self.width, label: OUTSIDE, component: NONE, from: NONE, to: NONE });
        self.sweep(None, emit);
    }

    fn sweep(&mut self, scores: Option<&[f32]>, emit: &mut impl FnMut(LabelRegion)) {
        let mut above = std::mem::take(&mut self.above);
        let mut below = std::mem::take(&mut self.below);
        self.connect(&above, &mut below, scores);
        self.edges_under(&above, &mut below);
        self.edges_over(&above, &mut below);
        self.close(&above, &mut below, emit);
        std::mem::swap(&mut above, &mut below);
        self.above = above;
        self.below = below;
        self.row += 1;
    }

    /// Assigns a component to every new run, and joins components that meet.
    fn connect(&mut self, above: &[Run], below: &mut [Run], scores: Option<&[f32]>) {
        let mut first = 0;
        for run in below.iter_mut() {
            while above[first].end <= run.start {
                first += 1;
            }
            if run.label == OUTSIDE {
                continue;
            }
            let mut component = NONE;
            for over in above[first..].iter().take_while(|over| over.start < run.end) {
                if over.label == run.label {
                    let other = self.root(over.component);
                    component = if component == NONE { other } else { self.join(component, other) };
                }
            }
            if component == NONE {
                component = self.new_component(run.label);
            }
            run.component = component;
            let state = &mut self.components[component as usize];
            state.last_row = self.row;
            state.pixels += u64::from(run.end - run.start);
            if let Some(scores) = scores {
                for &score in &scores[run.start as usize..run.end as usize] {
                    if !score.is_nan() {
                        state.score_sum += f64::from(score);
                        state.score_min = state.score_min.min(score);
                        state.scored += 1;
                    }
                }
            }
        }
    }

    /// Creates the edges below the runs above: their regions lie north of them, so they are directed eastwards.
    fn edges_under(&mut self, above: &[Run], below: &mut [Run]) {
        let mut first = 0;
        for run in above {
            let Some(overlap) = Overlap::of(run, below, &mut first) else { continue };
            let mut before = NONE;
            for index in overlap.runs.clone() {
                if below[index].label != run.label {
                    continue;
                }
                let start = below[index].start;
                if before != NONE {
                    let edge = self.new_edge(below[before as usize].end, start, NONE);
                    below[before as usize].to = edge;
                    below[index].from = edge;
                    self.seed(run.component, edge);
                } else if start > run.start {
                    let edge = self.new_edge(overlap.start, start, NONE);
                    self.edges[run.from as usize].next = edge;
                    below[index].from = edge;
                } else if start == run.start {
                    below[index].from = run.from;
                }
                before = index as u32;
            }
            if before == NONE {
                let edge = self.new_edge(overlap.start, overlap.end, run.to);
                self.edges[run.from as usize].next = edge;
            } else {
                let last = &mut below[before as usize];
                if last.end < run.end {
                    let begin = last.end;
                    let edge = self.new_edge(begin, overlap.end, run.to);
                    below[before as usize].to = edge;
                } else if last.end == run.end {
                    last.to = run.to;
                }
            }
            if self.connectedness == Connectedness::Eight {
                if overlap.start & TOUCH != 0 {
                    self.join_groups(run.component, below[overlap.runs.start - 1].component);
                }
                if overlap.end & TOUCH != 0 {
                    self.join_groups(run.component, below[overlap.runs.end].component);
                }
            }
        }
    }

    /// Creates the edges above the runs below: their regions lie south of them, so they are directed westwards.
    fn edges_over(&mut self, above: &[Run], below: &mut [Run]) {
        let mut first = 0;
        for run in below.iter_mut() {
            let Some(overlap) = Overlap::of(run, above, &mut first) else { continue };
            let mut before = NONE;
            for index in overlap.runs {
                let over = &above[index];
                if over.label != run.label {
                    continue;
                }
                if before != NONE {
                    let previous = &above[before as usize];
                    let edge = self.new_edge(over.start, previous.end, previous.to);
                    self.edges[over.from as usize].next = edge;
                } else if over.start > run.start {
                    let edge = self.new_edge(over.start, overlap.start, NONE);
                    self.edges[over.from as usize].next = edge;
                    run.from = edge;
                }
                before = index as u32;
            }
            if before == NONE {
                let edge = self.new_edge(overlap.end, overlap.start, NONE);
                run.from = edge;
                run.to = edge;
                self.seed(run.component, edge);
            } else {
                let last = &above[before as usize];
                if last.end < run.end {
                    run.to = self.new_edge(overlap.end, last.end, last.to);
                }
            }
        }
    }

    /// Emits the components that no run continues, and replaces the components of the new runs by their roots.
    fn close(&mut self, above: &[Run], below: &mut [Run], emit: &mut impl FnMut(LabelRegion)) {
        for run in below.iter_mut().filter(|run| run.label != OUTSIDE) {
            run.component = self.root(run.component);
            self.components[run.component as usize].last_row = self.row;
        }
        for run in above.iter().filter(|run| run.label != OUTSIDE) {
            let component = self.root(run.component);
            if self.components[component as usize].last_row < self.row {
                // Other runs of this component must not complete it again.
                self.components[component as usize].last_row = u32::MAX;
                self.complete(component, emit);
                self.absorbed.push(component);
            }
        }
        self.free_components.append(&mut self.absorbed);
    }

    fn complete(&mut self, component: u32, emit: &mut impl FnMut(LabelRegion)) {
        let state = self.components[component as usize];
        let part = self.take_rings(state.first_seed);
        if self.connectedness == Connectedness::Four {
            let confidence = confidence(state.score_sum, state.scored, state.score_min);
            emit(LabelRegion { label: state.label as u16, parts: vec![part], pixels: state.pixels, confidence });
            return;
        }
        let group = self.group_root(state.group);
        let whole = &mut self.groups[group as usize];
        whole.parts.push(part);
        whole.pixels += state.pixels;
        whole.score_sum += state.score_sum;
        whole.scored += state.scored;
        whole.score_min = whole.score_min.min(state.score_min);
        whole.open -= 1;
        if whole.open == 0 {
            let whole = std::mem::take(whole);
            self.free_groups.push(group);
            self.free_groups.extend(&whole.absorbed);
            let confidence = confidence(whole.score_sum, whole.scored, whole.score_min);
            emit(LabelRegion { label: state.label as u16, parts: whole.parts, pixels: whole.pixels, confidence });
        }
    }

    /// Follows the rings of a completed component and frees their edges.
    fn take_rings(&mut self, mut seed: u32) -> LatticePolygon {
        let mut polygon = LatticePolygon::default();
        while seed != NONE {
            let [start, next_seed] = self.seeds[seed as usize];
            self.seeds[seed as usize] = [NONE, self.free_seed];
            self.free_seed = seed;
            seed = next_seed;
            if self.edges[start as usize].row == FREE {
                continue;
            }
            let mut ring = Vec::new();
            let mut touches = false;
            let mut at = start;
            loop {
                let edge = self.edges[at as usize];
                touches |= (edge.begin | edge.end) & TOUCH != 0;
                ring.push(Corner { col: edge.begin, row: edge.row });
                ring.push(Corner { col: edge.end, row: edge.row });
                self.edges[at as usize] = Edge { row: FREE, begin: 0, end: 0, next: self.free_edge };
                self.free_edge = at;
                at = edge.next;
                if at == start {
                    break;
                }
            }
            let mut keep = |ring: Vec<Corner>| {
                if super::shape::ring_area(&ring) > 0 {
                    debug_assert!(polygon.outer.is_empty(), "a component has one outer ring");
                    polygon.outer = ring;
                } else {
                    polygon.holes.push(ring);
                }
            };
            if touches {
                self.splitter.split(ring, &mut keep);
            } else {
                ring.shrink_to_fit();
                keep(ring);
            }
        }
        polygon
    }

    fn new_edge(&mut self, begin: u32, end: u32, next: u32) -> u32 {
        let edge = Edge { row: self.row, begin, end, next };
        if self.free_edge == NONE {
            self.edges.push(edge);
            return (self.edges.len() - 1) as u32;
        }
        let slot = self.free_edge;
        self.free_edge = self.edges[slot as usize].next;
        self.edges[slot as usize] = edge;
        slot
    }
}

fn confidence(sum: f64, count: u64, minimum: f32) -> Option<Confidence> {
    (count > 0).then(|| Confidence { mean: (sum / count as f64) as f32, minimum })
}

#[cfg(test)]
mod tests;
