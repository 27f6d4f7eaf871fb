//! Label rows in, finished regions out: a sweep from top to bottom that holds only the regions still open.
//!
//! A boundary is kept as a list of its horizontal edges, each linked to the one that follows along the ring; what lies
//! between two of them is a vertical edge. While a vertical edge runs down through rows, the two run ends beside it
//! remember which horizontal edge it comes from (for the region on its right, whose boundary runs down) or leads to (for
//! the region on its left, whose boundary runs up). Joining two pieces is then one assignment, wherever they come from, so
//! that nothing has to be merged at strip borders: there are none.
//!
//! Where two pixels of one label meet only in a corner the sweep cannot know yet whether they belong together. It keeps
//! them apart and marks the corner; a finished ring that passes a marked corner twice is split there, which gives the
//! simple rings that a valid polygon needs.

use super::shape::{Confidence, Corner, LatticePolygon, Region};
use super::split::{Splitter, TOUCH};

/// Which neighbours belong to the same region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Connectedness {
    /// Pixels that share an edge.
    #[default]
    Four,
    /// Pixels that share an edge or a corner.
    Eight,
}

const NONE: u32 = u32::MAX;
/// The label of what is not traced: nodata, skipped classes, the outside.
const OUTSIDE: u32 = u32::MAX;

/// Pixels `start..end` of a row that carry one label.
#[derive(Clone, Copy)]
struct Run {
    start: u32,
    end: u32,
    label: u32,
    component: u32,
    /// The horizontal edge from which the boundary comes down along this run's left end.
    from: u32,
    /// The horizontal edge to which the boundary goes up along this run's right end.
    to: u32,
}

/// A horizontal edge, walked from column `begin` to column `end`.
#[derive(Clone, Copy)]
struct Edge {
    row: u32,
    begin: u32,
    end: u32,
    next: u32,
}

/// Rows never reach this number: a free slot.
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

/// Components that touch in corners, when those count as connected.
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

/// See the module's text. Feed every row once with `row`, then call `finish`.
pub struct Tracer {
    width: u32,
    row: u32,
    connectedness: Connectedness,
    skipped: Vec<bool>,
    above: Vec<Run>,
    below: Vec<Run>,
    edges: Vec<Edge>,
    free_edge: u32,
    /// (edge, next seed): from every one of these edges a ring may start.
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
    /// `skipped(label)` says which labels are left out; width at most 2³¹ − 1.
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

    /// Takes the next row of `width` labels, and its scores (NaN where there is none); hands finished regions to `emit`.
    pub fn row(&mut self, labels: &[u16], scores: Option<&[f32]>, emit: &mut impl FnMut(Region)) {
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

    /// Closes everything that is still open.
    pub fn finish(mut self, emit: &mut impl FnMut(Region)) {
        self.below.clear();
        self.below.push(Run { start: 0, end: self.width, label: OUTSIDE, component: NONE, from: NONE, to: NONE });
        self.sweep(None, emit);
    }

    fn sweep(&mut self, scores: Option<&[f32]>, emit: &mut impl FnMut(Region)) {
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

    /// Gives every new run its component, and joins the components that meet here.
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

    /// The edges below the runs above: their regions lie north of them, so they are walked eastwards.
    fn edges_under(&mut self, above: &[Run], below: &mut [Run]) {
        let mut first = 0;
        for run in above {
            while below[first].end <= run.start {
                first += 1;
            }
            if run.label == OUTSIDE {
                continue;
            }
            let touches_left = below[first].start == run.start && first > 0 && below[first - 1].label == run.label;
            let mut before = NONE;
            let mut index = first;
            while index < below.len() && below[index].start < run.end {
                if below[index].label == run.label {
                    let start = below[index].start;
                    if before != NONE {
                        let edge = self.new_edge(below[before as usize].end, start, NONE);
                        below[before as usize].to = edge;
                        below[index].from = edge;
                        self.seed(run.component, edge);
                    } else if start > run.start {
                        let begin = run.start | if touches_left { TOUCH } else { 0 };
                        let edge = self.new_edge(begin, start, NONE);
                        self.edges[run.from as usize].next = edge;
                        below[index].from = edge;
                    } else if start == run.start {
                        below[index].from = run.from;
                    }
                    before = index as u32;
                }
                index += 1;
            }
            let touches_right =
                below[index - 1].end == run.end && index < below.len() && below[index].label == run.label;
            let end = run.end | if touches_right { TOUCH } else { 0 };
            if before == NONE {
                let begin = run.start | if touches_left { TOUCH } else { 0 };
                let edge = self.new_edge(begin, end, run.to);
                self.edges[run.from as usize].next = edge;
            } else {
                let last = &mut below[before as usize];
                if last.end < run.end {
                    let begin = last.end;
                    let edge = self.new_edge(begin, end, run.to);
                    below[before as usize].to = edge;
                } else if last.end == run.end {
                    last.to = run.to;
                }
            }
            if self.connectedness == Connectedness::Eight {
                if touches_left {
                    self.join_groups(run.component, below[first - 1].component);
                }
                if touches_right {
                    self.join_groups(run.component, below[index].component);
                }
            }
        }
    }

    /// The edges above the runs below: their regions lie south of them, so they are walked westwards.
    fn edges_over(&mut self, above: &[Run], below: &mut [Run]) {
        let mut first = 0;
        for run in below.iter_mut() {
            while above[first].end <= run.start {
                first += 1;
            }
            if run.label == OUTSIDE {
                continue;
            }
            let touches_left = above[first].start == run.start && first > 0 && above[first - 1].label == run.label;
            let mut before = NONE;
            let mut index = first;
            while index < above.len() && above[index].start < run.end {
                let over = &above[index];
                if over.label == run.label {
                    if before != NONE {
                        let previous = &above[before as usize];
                        let edge = self.new_edge(over.start, previous.end, previous.to);
                        self.edges[over.from as usize].next = edge;
                    } else if over.start > run.start {
                        let end = run.start | if touches_left { TOUCH } else { 0 };
                        let edge = self.new_edge(over.start, end, NONE);
                        self.edges[over.from as usize].next = edge;
                        run.from = edge;
                    }
                    before = index as u32;
                }
                index += 1;
            }
            let touches_right =
                above[index - 1].end == run.end && index < above.len() && above[index].label == run.label;
            let begin = run.end | if touches_right { TOUCH } else { 0 };
            if before == NONE {
                let end = run.start | if touches_left { TOUCH } else { 0 };
                let edge = self.new_edge(begin, end, NONE);
                run.from = edge;
                run.to = edge;
                self.seed(run.component, edge);
            } else {
                let last = &above[before as usize];
                if last.end < run.end {
                    run.to = self.new_edge(begin, last.end, last.to);
                }
            }
        }
    }

    /// Emits what no run continues, and makes the new row's components their own roots.
    fn close(&mut self, above: &[Run], below: &mut [Run], emit: &mut impl FnMut(Region)) {
        for run in below.iter_mut().filter(|run| run.label != OUTSIDE) {
            run.component = self.root(run.component);
            self.components[run.component as usize].last_row = self.row;
        }
        for run in above.iter().filter(|run| run.label != OUTSIDE) {
            let component = self.root(run.component);
            if self.components[component as usize].last_row < self.row {
                // Once is enough: the other runs of this component must not find it again.
                self.components[component as usize].last_row = u32::MAX;
                self.complete(component, emit);
                self.absorbed.push(component);
            }
        }
        self.free_components.append(&mut self.absorbed);
    }

    fn complete(&mut self, component: u32, emit: &mut impl FnMut(Region)) {
        let state = self.components[component as usize];
        let part = self.take_rings(state.first_seed);
        if self.connectedness == Connectedness::Four {
            let confidence = confidence(state.score_sum, state.scored, state.score_min);
            emit(Region { label: state.label as u16, parts: vec![part], pixels: state.pixels, confidence });
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
            emit(Region { label: state.label as u16, parts: whole.parts, pixels: whole.pixels, confidence });
        }
    }

    /// Walks the rings of a finished component and gives their edges back.
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

    fn seed(&mut self, component: u32, edge: u32) {
        let component = self.root(component);
        let slot = if self.free_seed == NONE {
            self.seeds.push([edge, NONE]);
            (self.seeds.len() - 1) as u32
        } else {
            let slot = self.free_seed;
            self.free_seed = self.seeds[slot as usize][1];
            self.seeds[slot as usize] = [edge, NONE];
            slot
        };
        let state = &mut self.components[component as usize];
        if state.first_seed == NONE {
            state.first_seed = slot;
        } else {
            self.seeds[state.last_seed as usize][1] = slot;
        }
        state.last_seed = slot;
    }

    fn new_component(&mut self, label: u32) -> u32 {
        let slot = match self.free_components.pop() {
            Some(slot) => slot,
            None => self.components.len() as u32,
        };
        let group = match self.connectedness {
            Connectedness::Four => NONE,
            Connectedness::Eight => self.new_group(),
        };
        let component = Component {
            parent: slot,
            label,
            last_row: self.row,
            group,
            pixels: 0,
            score_sum: 0.0,
            scored: 0,
            score_min: f32::INFINITY,
            first_seed: NONE,
            last_seed: NONE,
        };
        if slot as usize == self.components.len() {
            self.components.push(component);
        } else {
            self.components[slot as usize] = component;
        }
        slot
    }

    fn root(&mut self, mut component: u32) -> u32 {
        loop {
            let parent = self.components[component as usize].parent;
            if parent == component {
                return component;
            }
            let above = self.components[parent as usize].parent;
            self.components[component as usize].parent = above;
            component = above;
        }
    }

    /// Joins two roots and returns the one that stays.
    fn join(&mut self, keep: u32, lose: u32) -> u32 {
        if keep == lose {
            return keep;
        }
        let lost = self.components[lose as usize];
        self.components[lose as usize].parent = keep;
        self.absorbed.push(lose);
        let kept = &mut self.components[keep as usize];
        kept.pixels += lost.pixels;
        kept.score_sum += lost.score_sum;
        kept.scored += lost.scored;
        kept.score_min = kept.score_min.min(lost.score_min);
        kept.last_row = kept.last_row.max(lost.last_row);
        if kept.first_seed == NONE {
            kept.first_seed = lost.first_seed;
            kept.last_seed = lost.last_seed;
        } else if lost.first_seed != NONE {
            self.seeds[kept.last_seed as usize][1] = lost.first_seed;
            kept.last_seed = lost.last_seed;
        }
        if self.connectedness == Connectedness::Eight {
            self.join_groups(keep, lose);
            let group = self.group_root(self.components[keep as usize].group);
            self.groups[group as usize].open -= 1;
        }
        keep
    }

    fn new_group(&mut self) -> u32 {
        let slot = match self.free_groups.pop() {
            Some(slot) => slot,
            None => {
                self.groups.push(Group::default());
                (self.groups.len() - 1) as u32
            }
        };
        self.groups[slot as usize] = Group { parent: slot, open: 1, score_min: f32::INFINITY, ..Group::default() };
        slot
    }

    fn group_root(&mut self, mut group: u32) -> u32 {
        while self.groups[group as usize].parent != group {
            let parent = self.groups[group as usize].parent;
            self.groups[group as usize].parent = self.groups[parent as usize].parent;
            group = parent;
        }
        group
    }

    /// Two components, roots or not, become one region.
    fn join_groups(&mut self, one: u32, other: u32) {
        let mut keep = self.group_root(self.components[one as usize].group);
        let mut lose = self.group_root(self.components[other as usize].group);
        if keep == lose {
            return;
        }
        let weight = |group: &Group| group.parts.len() + group.absorbed.len();
        if weight(&self.groups[keep as usize]) < weight(&self.groups[lose as usize]) {
            std::mem::swap(&mut keep, &mut lose);
        }
        let mut lost = std::mem::take(&mut self.groups[lose as usize]);
        self.groups[lose as usize].parent = keep;
        let kept = &mut self.groups[keep as usize];
        kept.open += lost.open;
        kept.parts.append(&mut lost.parts);
        kept.pixels += lost.pixels;
        kept.score_sum += lost.score_sum;
        kept.scored += lost.scored;
        kept.score_min = kept.score_min.min(lost.score_min);
        kept.absorbed.push(lose);
        kept.absorbed.append(&mut lost.absorbed);
    }
}

fn confidence(sum: f64, count: u64, minimum: f32) -> Option<Confidence> {
    (count > 0).then(|| Confidence { mean: (sum / count as f64) as f32, minimum })
}

#[cfg(test)]
mod tests {
    use super::super::shape::ring_area;
    use super::super::wkb::polygon_wkb;
    use super::*;
    use crate::geom::WorldPoint;
    use proptest::prelude::*;

    fn trace(labels: &[u16], width: usize, connectedness: Connectedness, skip: u16) -> Vec<Region> {
        let mut tracer = Tracer::new(width, connectedness, |label| label == skip);
        let mut found = Vec::new();
        let mut emit = |region| found.push(region);
        labels.chunks_exact(width).for_each(|row| tracer.row(row, None, &mut emit));
        tracer.finish(&mut emit);
        found
    }

    /// Pixels of every component, by flooding: the plain way to the same answer.
    fn flood(labels: &[u16], width: usize, connectedness: Connectedness, skip: u16) -> Vec<(u16, u64)> {
        let height = labels.len() / width;
        let mut seen = vec![false; labels.len()];
        let mut found = Vec::new();
        for start in 0..labels.len() {
            if seen[start] || labels[start] == skip {
                continue;
            }
            let mut stack = vec![start];
            seen[start] = true;
            let mut count = 0;
            while let Some(at) = stack.pop() {
                count += 1;
                let (col, row) = ((at % width) as i64, (at / width) as i64);
                for (dc, dr) in [(-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, -1), (-1, 1), (1, 1)] {
                    if connectedness == Connectedness::Four && dc != 0 && dr != 0 {
                        continue;
                    }
                    let (c, r) = (col + dc, row + dr);
                    if c >= 0 && r >= 0 && c < width as i64 && r < height as i64 {
                        let next = r as usize * width + c as usize;
                        if !seen[next] && labels[next] == labels[start] {
                            seen[next] = true;
                            stack.push(next);
                        }
                    }
                }
            }
            found.push((labels[start], count));
        }
        found.sort_unstable();
        found
    }

    /// Paints the regions back by counting crossings along every row.
    fn paint(regions: &[Region], width: usize, height: usize, background: u16) -> Vec<u16> {
        let mut labels = vec![background; width * height];
        for region in regions {
            let mut flips = vec![false; (width + 1) * height];
            for ring in region.parts.iter().flat_map(LatticePolygon::rings) {
                for (index, &from) in ring.iter().enumerate() {
                    let to = ring[(index + 1) % ring.len()];
                    assert!((from.col == to.col) != (from.row == to.row), "edges run along rows or columns");
                    if from.col == to.col {
                        for row in from.row.min(to.row)..from.row.max(to.row) {
                            flips[row as usize * (width + 1) + from.col as usize] ^= true;
                        }
                    }
                }
            }
            for row in 0..height {
                let mut inside = false;
                for col in 0..width {
                    inside ^= flips[row * (width + 1) + col];
                    if inside {
                        assert_eq!(labels[row * width + col], background, "no pixel belongs to two regions");
                        labels[row * width + col] = region.label;
                    }
                }
            }
        }
        labels
    }

    fn assert_valid(region: &Region) {
        let parts: Vec<Vec<Vec<WorldPoint>>> = region
            .parts
            .iter()
            .map(|part| {
                part.rings()
                    .map(|ring| ring.iter().map(|c| WorldPoint { x: f64::from(c.col), y: f64::from(c.row) }).collect())
                    .collect()
            })
            .collect();
        let geometry = gdal::vector::Geometry::from_wkb(&polygon_wkb(&parts, true)).unwrap();
        assert!(geometry.is_valid(), "{region:?}");
        assert!((geometry.area() - region.pixels as f64).abs() < 1e-9, "{region:?}");
        for part in &region.parts {
            assert!(ring_area(&part.outer) > 0);
            assert!(part.holes.iter().all(|hole| ring_area(hole) < 0));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]
        #[test]
        fn regions_are_the_flooded_ones_valid_and_paint_the_raster_back(
            width in 1usize..14, height in 1usize..14, kinds in 2u16..5, seed in any::<u64>(), eight in any::<bool>(),
        ) {
            let mut state = seed | 1;
            let labels: Vec<u16> = (0..width * height).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as u16 % kinds
            }).collect();
            let connectedness = if eight { Connectedness::Eight } else { Connectedness::Four };
            let regions = trace(&labels, width, connectedness, 0);
            let mut counts: Vec<_> = regions.iter().map(|region| (region.label, region.pixels)).collect();
            counts.sort_unstable();
            prop_assert_eq!(counts, flood(&labels, width, connectedness, 0));
            regions.iter().for_each(assert_valid);
            prop_assert_eq!(paint(&regions, width, height, 0), labels);
        }
    }

    #[test]
    fn a_ring_that_touches_itself_becomes_an_outer_ring_and_a_hole() {
        #[rustfmt::skip]
        let labels = [
            1, 1, 1, 0,
            1, 0, 1, 0,
            1, 1, 0, 0,
            0, 0, 0, 0,
        ];
        let regions = trace(&labels, 4, Connectedness::Four, 0);
        assert_eq!(regions.len(), 1);
        let hole = [Corner::new(2, 2), Corner::new(1, 2), Corner::new(1, 1), Corner::new(2, 1)];
        assert_eq!(regions[0].parts[0].holes, [hole]);
        assert_valid(&regions[0]);
    }

    #[test]
    fn memory_stays_with_what_is_open() {
        let mut tracer = Tracer::new(64, Connectedness::Four, |label| label == 0);
        let mut count = 0;
        for row in 0..10_000usize {
            let labels: Vec<u16> = (0..64).map(|col| u16::from(row % 3 != 0 && col % 2 == 0)).collect();
            tracer.row(&labels, None, &mut |_| count += 1);
        }
        assert!(tracer.edges.len() <= 4 * 64 && tracer.components.len() <= 4 * 64 && tracer.seeds.len() <= 4 * 64);
        tracer.finish(&mut |_| count += 1);
        assert_eq!(count, 32 * 3_333);
    }

    #[test]
    fn scores_become_mean_and_minimum_of_each_region() {
        let mut tracer = Tracer::new(3, Connectedness::Four, |label| label == 0);
        let mut found = Vec::new();
        tracer.row(&[1, 1, 2], Some(&[0.5, 1.0, f32::NAN]), &mut |region| found.push(region));
        tracer.row(&[0, 1, 0], Some(&[0.0, 0.75, 0.0]), &mut |region| found.push(region));
        tracer.finish(&mut |region| found.push(region));
        let of = |label| found.iter().find(|region| region.label == label).unwrap().confidence;
        assert_eq!(of(1), Some(Confidence { mean: 0.75, minimum: 0.5 }));
        assert_eq!(of(2), None);
    }
}
