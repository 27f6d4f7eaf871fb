//! Thinned lines as a graph: nodes, edges, and what turns a raw skeleton into a road network.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::bits::BitGrid;
use super::square::Point;
use super::thin::AROUND;

#[derive(Clone, Debug)]
pub struct Node {
    pub at: Point,
    /// Half the road's width here, in pixels.
    pub radius: f64,
}

#[derive(Clone, Debug)]
pub struct Edge {
    pub from: usize,
    pub to: usize,
    /// From the first node's place to the second's.
    pub line: Vec<Point>,
    /// The road's width in pixels; 0 until measured.
    pub width: f64,
    /// How much of the line was built over gaps, in pixels.
    pub gap: f64,
}

/// Removed nodes and edges stay as holes until `compact`.
#[derive(Clone, Debug, Default)]
pub struct Network {
    pub nodes: Vec<Node>,
    pub edges: Vec<Option<Edge>>,
}

/// Lengths in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Dead ends that stand out of their road by less are cut.
    pub shortest_spur: f64,
    /// Widest gap to be bridged.
    pub widest_gap: f64,
    /// Networks of less total length are dropped.
    pub shortest_part: f64,
    /// How far the lines may move when they lose points.
    pub tolerance: f64,
}

pub fn distance(a: Point, b: Point) -> f64 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

pub fn length(line: &[Point]) -> f64 {
    line.windows(2).map(|pair| distance(pair[0], pair[1])).sum()
}

impl Network {
    /// Reads the graph off a skeleton. `mask` is what it was thinned from.
    pub fn of(skeleton: &BitGrid, mask: &BitGrid) -> Self {
        let mut network = Self::default();
        let degree = |col: i64, row: i64| AROUND.iter().filter(|(dc, dr)| skeleton.at(col + dc, row + dr)).count();
        // Junction pixels that touch are one node.
        let mut node_of: HashMap<(i64, i64), usize> = HashMap::new();
        let mut starts = Vec::new();
        for row in 0..skeleton.height() {
            for col in skeleton.set_between(row, 0, skeleton.width() - 1) {
                let (col, row) = (col as i64, row as i64);
                let count = degree(col, row);
                if count == 2 || node_of.contains_key(&(col, row)) {
                    continue;
                }
                let node = network.nodes.len();
                let mut pixels = vec![(col, row)];
                node_of.insert((col, row), node);
                let mut next = 0;
                while count > 2 && next < pixels.len() {
                    let (col, row) = pixels[next];
                    next += 1;
                    for (dc, dr) in AROUND {
                        let near = (col + dc, row + dr);
                        if skeleton.at(near.0, near.1) && !node_of.contains_key(&near) && degree(near.0, near.1) > 2 {
                            node_of.insert(near, node);
                            pixels.push(near);
                        }
                    }
                }
                let n = pixels.len() as f64;
                let sum = pixels.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0 as f64, sum.1 + p.1 as f64));
                let at = (sum.0 / n + 0.5, sum.1 / n + 0.5);
                network.nodes.push(Node { at, radius: radius(mask, at) });
                starts.extend(pixels);
            }
        }
        let mut walked = BitGrid::new(skeleton.width(), skeleton.height());
        for (col, row) in starts {
            for (dc, dr) in AROUND {
                let first = (col + dc, row + dr);
                if skeleton.at(first.0, first.1)
                    && !node_of.contains_key(&first)
                    && !walked.get(first.0 as usize, first.1 as usize)
                {
                    network.walk(skeleton, &node_of, &mut walked, (col, row), first);
                }
            }
        }
        // Touching ends and junctions have no pixel between them.
        let mut touching = BTreeSet::new();
        for (&(col, row), &node) in &node_of {
            for (dc, dr) in AROUND {
                if let Some(&other) = node_of.get(&(col + dc, row + dr))
                    && node < other
                {
                    touching.insert((node, other));
                }
            }
        }
        for (node, other) in touching {
            let line = vec![network.nodes[node].at, network.nodes[other].at];
            network.add(node, other, line, 0.0);
        }
        network.rings(skeleton, &node_of, &mut walked, mask);
        network
    }

    fn walk(
        &mut self,
        skeleton: &BitGrid,
        node_of: &HashMap<(i64, i64), usize>,
        walked: &mut BitGrid,
        start: (i64, i64),
        first: (i64, i64),
    ) {
        let from = node_of[&start];
        let mut line = vec![self.nodes[from].at];
        let (mut before, mut at) = (start, first);
        let to = loop {
            walked.set(at.0 as usize, at.1 as usize, true);
            line.push((at.0 as f64 + 0.5, at.1 as f64 + 0.5));
            let ahead = |near: &(i64, i64)| *near != before && skeleton.at(near.0, near.1);
            let near = AROUND.map(|(dc, dr)| (at.0 + dc, at.1 + dr));
            // Not back into the node we just left, unless there is nothing else.
            let mut exits = near.iter().filter(|near| ahead(near));
            let node = near
                .iter()
                .filter(|near| ahead(near))
                .find_map(|near| node_of.get(near).copied().filter(|&node| !(node == from && line.len() == 2)));
            if let Some(node) = node {
                break Some(node);
            }
            let next = exits.find(|near| !node_of.contains_key(near) && !walked.get(near.0 as usize, near.1 as usize));
            match next {
                Some(&next) => (before, at) = (at, next),
                None => break None,
            }
        };
        let to = to.unwrap_or_else(|| {
            // A hair that ends without an end pixel of its own.
            self.nodes.push(Node { at: (at.0 as f64 + 0.5, at.1 as f64 + 0.5), radius: 1.0 });
            self.nodes.len() - 1
        });
        line.push(self.nodes[to].at);
        line.dedup();
        if line.len() >= 2 {
            self.add(from, to, line, 0.0);
        }
    }

    /// Closed lines without a junction get a node anywhere.
    fn rings(
        &mut self,
        skeleton: &BitGrid,
        node_of: &HashMap<(i64, i64), usize>,
        walked: &mut BitGrid,
        mask: &BitGrid,
    ) {
        for row in 0..skeleton.height() {
            for col in skeleton.set_between(row, 0, skeleton.width() - 1) {
                let start = (col as i64, row as i64);
                if walked.get(col, row) || node_of.contains_key(&start) {
                    continue;
                }
                let at = (col as f64 + 0.5, row as f64 + 0.5);
                let node = self.nodes.len();
                let mut line = vec![at];
                let mut here = start;
                walked.set(col, row, true);
                while let Some(next) = AROUND
                    .map(|(dc, dr)| (here.0 + dc, here.1 + dr))
                    .into_iter()
                    .find(|next| skeleton.at(next.0, next.1) && !walked.get(next.0 as usize, next.1 as usize))
                {
                    walked.set(next.0 as usize, next.1 as usize, true);
                    line.push((next.0 as f64 + 0.5, next.1 as f64 + 0.5));
                    here = next;
                }
                if line.len() > 3 {
                    line.push(at);
                    self.nodes.push(Node { at, radius: radius(mask, at) });
                    self.add(node, node, line, 0.0);
                }
            }
        }
    }

    pub fn add(&mut self, from: usize, to: usize, line: Vec<Point>, gap: f64) {
        self.edges.push(Some(Edge { from, to, line, width: 0.0, gap }));
    }

    /// For every node, the edges that end there; a ring counts twice.
    pub fn incidence(&self) -> Vec<Vec<usize>> {
        let mut incidence = vec![Vec::new(); self.nodes.len()];
        for (index, edge) in self.edges.iter().enumerate() {
            if let Some(edge) = edge {
                incidence[edge.from].push(index);
                incidence[edge.to].push(index);
            }
        }
        incidence
    }

    /// Joins the two edges at every node where nothing branches.
    pub fn dissolve(&mut self) {
        let mut incidence = self.incidence();
        for node in 0..self.nodes.len() {
            let [one, other] = incidence[node][..] else { continue };
            if one == other {
                continue;
            }
            let (Some(a), Some(b)) = (self.edges[one].take(), self.edges[other].take()) else { continue };
            let a = if a.to == node { a } else { reversed(a) };
            let b = if b.from == node { b } else { reversed(b) };
            let mut line = a.line;
            line.extend(&b.line[1..]);
            incidence[node].clear();
            for slot in &mut incidence[b.to] {
                if *slot == other {
                    *slot = one;
                    break;
                }
            }
            self.edges[one] = Some(Edge { from: a.from, to: b.to, line, width: 0.0, gap: a.gap + b.gap });
        }
    }

    /// Cuts dead ends that hardly stand out of their road, shortest first.
    pub fn cut_spurs(&mut self, shortest: f64) {
        loop {
            self.dissolve();
            let incidence = self.incidence();
            let mut spurs: Vec<(f64, usize, usize)> = Vec::new();
            for (index, edge) in self.edges.iter().enumerate() {
                let Some(edge) = edge else { continue };
                let ends = (incidence[edge.from].len(), incidence[edge.to].len());
                let root = match ends {
                    (1, 3..) => edge.to,
                    (3.., 1) => edge.from,
                    _ => continue,
                };
                let visible = length(&edge.line) - self.nodes[root].radius;
                if visible < shortest.max(self.nodes[root].radius) {
                    spurs.push((visible, index, root));
                }
            }
            spurs.sort_by(|a, b| a.0.total_cmp(&b.0));
            let mut touched = vec![false; self.nodes.len()];
            let mut any = false;
            for (_, index, root) in spurs {
                // One at a time at each junction: the next round sees whether it still is one.
                if !std::mem::replace(&mut touched[root], true) {
                    self.edges[index] = None;
                    any = true;
                }
            }
            if !any {
                return;
            }
        }
    }

    /// Makes one junction of two that lie within the road's own width.
    pub fn merge_junctions(&mut self) {
        loop {
            let incidence = self.incidence();
            let mut touched = vec![false; self.nodes.len()];
            let mut any = false;
            for index in 0..self.edges.len() {
                let Some(edge) = &self.edges[index] else { continue };
                let (from, to) = (edge.from, edge.to);
                let reach = self.nodes[from].radius.max(self.nodes[to].radius) * 1.2;
                if from == to
                    || incidence[from].len() < 3
                    || incidence[to].len() < 3
                    || length(&edge.line) > reach
                    || touched[from]
                    || touched[to]
                {
                    continue;
                }
                touched[from] = true;
                touched[to] = true;
                let (a, b) = (self.nodes[from].at, self.nodes[to].at);
                let middle = ((a.0 + b.0) / 2.0, (a.1 + b.1) / 2.0);
                self.edges[index] = None;
                self.nodes[from].at = middle;
                for &other in incidence[from].iter().chain(&incidence[to]) {
                    if let Some(edge) = &mut self.edges[other] {
                        let last = edge.line.len() - 1;
                        if edge.from == from || edge.from == to {
                            edge.from = from;
                            edge.line[0] = middle;
                        }
                        if edge.to == from || edge.to == to {
                            edge.to = from;
                            edge.line[last] = middle;
                        }
                        if edge.from == edge.to && length(&edge.line) < reach * 2.0 {
                            self.edges[other] = None;
                        }
                    }
                }
                any = true;
            }
            if !any {
                break;
            }
        }
        self.dissolve();
    }

    /// Lets dead ends run straight on to the end of their road: thinning stops about half a width before it, and often
    /// turns into one of the end's corners on the way.
    pub fn reach_ends(&mut self, mask: &BitGrid) {
        let incidence = self.incidence();
        for index in 0..self.edges.len() {
            for last in [false, true] {
                let Some(edge) = &mut self.edges[index] else { continue };
                let node = if last { edge.to } else { edge.from };
                if incidence[node].len() != 1 {
                    continue;
                }
                if !last {
                    edge.line.reverse();
                }
                let total = length(&edge.line);
                let half = radius(mask, back_from_end(&edge.line, (total / 2.0).min(10.0)));
                cut_end(&mut edge.line, (half + 1.0).min(total / 3.0));
                if let Some((dx, dy)) = heading(&edge.line, true, 8.0 + 2.0 * half) {
                    let at = edge.line[edge.line.len() - 1];
                    let most = 4.0 * half + 4.0;
                    let mut reached = 0.0;
                    while reached < most && inside(mask, (at.0 + dx * (reached + 0.5), at.1 + dy * (reached + 0.5))) {
                        reached += 0.5;
                    }
                    edge.line.push((at.0 + dx * reached, at.1 + dy * reached));
                }
                edge.line.dedup();
                self.nodes[node].at = edge.line[edge.line.len() - 1];
                self.nodes[node].radius = half;
                if !last {
                    edge.line.reverse();
                }
            }
        }
    }

    /// Drops connected parts of less than `shortest` in all.
    pub fn drop_short_parts(&mut self, shortest: f64) {
        let parts = self.parts();
        let mut lengths: HashMap<usize, f64> = HashMap::new();
        for edge in self.edges.iter().flatten() {
            *lengths.entry(parts[edge.from]).or_default() += length(&edge.line);
        }
        for edge in &mut self.edges {
            if edge.as_ref().is_some_and(|edge| lengths[&parts[edge.from]] < shortest) {
                *edge = None;
            }
        }
    }

    /// The connected part of every node, by its smallest node.
    pub fn parts(&self) -> Vec<usize> {
        let mut parent: Vec<usize> = (0..self.nodes.len()).collect();
        fn root(parent: &mut [usize], mut node: usize) -> usize {
            while parent[node] != node {
                parent[node] = parent[parent[node]];
                node = parent[node];
            }
            node
        }
        for edge in self.edges.iter().flatten() {
            let (a, b) = (root(&mut parent, edge.from), root(&mut parent, edge.to));
            parent[a.max(b)] = a.min(b);
        }
        (0..self.nodes.len()).map(|node| root(&mut parent, node)).collect()
    }

    /// Takes the stairs out of the lines, then the points they do not need.
    pub fn smooth(&mut self, tolerance: f64) {
        for edge in self.edges.iter_mut().flatten() {
            for _ in 0..2 {
                edge.line = averaged(&edge.line, 3);
            }
            edge.line = thinned(&edge.line, tolerance);
        }
    }

    /// Measures every edge's width across the road, away from its junctions.
    pub fn measure_widths(&mut self, mask: &BitGrid) {
        for edge in self.edges.iter_mut().flatten() {
            let total = length(&edge.line);
            let margin = (self.nodes[edge.from].radius.max(self.nodes[edge.to].radius) * 1.5).min(total * 0.4);
            let mut widths = Vec::new();
            let mut run = 0.0;
            for pair in edge.line.windows(2) {
                let piece = distance(pair[0], pair[1]);
                if piece == 0.0 {
                    continue;
                }
                let (dx, dy) = ((pair[1].0 - pair[0].0) / piece, (pair[1].1 - pair[0].1) / piece);
                let mut along = 1.0f64.min(piece / 2.0);
                while along < piece {
                    let here = run + along;
                    if here >= margin && here <= total - margin {
                        let at = (pair[0].0 + dx * along, pair[0].1 + dy * along);
                        if inside(mask, at) {
                            widths.push(reach(mask, at, (-dy, dx)) + reach(mask, at, (dy, -dx)));
                        }
                    }
                    along += 2.0;
                }
                run += piece;
            }
            widths.sort_by(f64::total_cmp);
            edge.width = match widths.len() {
                0 => 2.0 * self.nodes[edge.from].radius.min(self.nodes[edge.to].radius),
                count => widths[count / 2],
            };
        }
    }

    /// Renumbers what is left.
    pub fn compact(self) -> (Vec<Node>, Vec<Edge>) {
        let edges: Vec<Edge> = self.edges.into_iter().flatten().collect();
        let mut number: BTreeMap<usize, usize> = BTreeMap::new();
        for edge in &edges {
            number.insert(edge.from, 0);
            number.insert(edge.to, 0);
        }
        for (index, place) in number.values_mut().enumerate() {
            *place = index;
        }
        let nodes = number.keys().map(|&node| self.nodes[node].clone()).collect();
        let edges =
            edges.into_iter().map(|edge| Edge { from: number[&edge.from], to: number[&edge.to], ..edge }).collect();
        (nodes, edges)
    }
}

fn reversed(mut edge: Edge) -> Edge {
    std::mem::swap(&mut edge.from, &mut edge.to);
    edge.line.reverse();
    edge
}

/// The direction in which a line leaves its end, taken over the last `over` pixels.
pub fn heading(line: &[Point], last: bool, over: f64) -> Option<Point> {
    let points: Vec<Point> = if last { line.iter().rev().copied().collect() } else { line.to_vec() };
    let end = points[0];
    let mut run = 0.0;
    let mut sum = (0.0, 0.0);
    for pair in points.windows(2) {
        run += distance(pair[0], pair[1]);
        sum = (sum.0 + end.0 - pair[1].0, sum.1 + end.1 - pair[1].1);
        if run >= over {
            break;
        }
    }
    let size = sum.0.hypot(sum.1);
    (size > 0.0).then(|| (sum.0 / size, sum.1 / size))
}

/// The point `run` before a line's end.
fn back_from_end(line: &[Point], run: f64) -> Point {
    let mut shortened = line.to_vec();
    cut_end(&mut shortened, run);
    shortened[shortened.len() - 1]
}

/// Shortens a line at its end; at least its first point and one other stay.
fn cut_end(line: &mut Vec<Point>, mut run: f64) {
    while let [.., before, end] = line[..] {
        let piece = distance(before, end);
        if piece > run {
            let t = run / piece;
            let last = line.len() - 1;
            line[last] = (end.0 + t * (before.0 - end.0), end.1 + t * (before.1 - end.1));
            return;
        }
        if line.len() == 2 {
            return;
        }
        run -= piece;
        line.pop();
    }
}

fn inside(mask: &BitGrid, at: Point) -> bool {
    mask.at(at.0.floor() as i64, at.1.floor() as i64)
}

/// How far the mask goes from a point in a direction; at most 200 pixels.
fn reach(mask: &BitGrid, from: Point, towards: Point) -> f64 {
    let mut run = 0.0;
    while run < 200.0 && inside(mask, (from.0 + towards.0 * (run + 0.25), from.1 + towards.1 * (run + 0.25))) {
        run += 0.25;
    }
    run
}

/// Distance to the nearest pixel outside the mask, less half a pixel; the frame is no border. At most 100 pixels.
pub fn radius(mask: &BitGrid, at: Point) -> f64 {
    let (col, row) = (at.0.floor() as i64, at.1.floor() as i64);
    let mut best = 100i64 * 100;
    let known = |col: i64, row: i64| {
        (0..mask.width() as i64).contains(&col) && (0..mask.height() as i64).contains(&row) && !mask.at(col, row)
    };
    for dy in 0..100 {
        if dy * dy >= best {
            break;
        }
        for dx in 0..100 {
            let square = dx * dx + dy * dy;
            if square >= best {
                break;
            }
            if [(dx, dy), (-dx, dy), (dx, -dy), (-dx, -dy)].iter().any(|(x, y)| known(col + x, row + y)) {
                best = square;
            }
        }
    }
    ((best as f64).sqrt() - 0.5).max(0.5)
}

fn averaged(line: &[Point], reach: usize) -> Vec<Point> {
    let last = line.len() - 1;
    (0..=last)
        .map(|index| {
            let reach = reach.min(index).min(last - index);
            let window = &line[index - reach..=index + reach];
            let sum = window.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0, sum.1 + p.1));
            (sum.0 / window.len() as f64, sum.1 / window.len() as f64)
        })
        .collect()
}

/// Douglas and Peucker.
pub fn thinned(line: &[Point], tolerance: f64) -> Vec<Point> {
    let mut keep = vec![false; line.len()];
    let last = line.len() - 1;
    keep[0] = true;
    keep[last] = true;
    let mut stack = vec![(0, last)];
    while let Some((from, to)) = stack.pop() {
        let far = (from + 1..to)
            .map(|index| (off(line[index], line[from], line[to]), index))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((far, index)) = far
            && far > tolerance
        {
            keep[index] = true;
            stack.extend([(from, index), (index, to)]);
        }
    }
    line.iter().zip(keep).filter(|(_, keep)| *keep).map(|(point, _)| *point).collect()
}

/// Distance of a point from a segment.
pub fn off(point: Point, a: Point, b: Point) -> f64 {
    distance(point, nearest(point, a, b))
}

/// The point of a segment nearest to another.
pub fn nearest(point: Point, a: Point, b: Point) -> Point {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let squared = dx * dx + dy * dy;
    let t = if squared > 0.0 { (((point.0 - a.0) * dx + (point.1 - a.1) * dy) / squared).clamp(0.0, 1.0) } else { 0.0 };
    (a.0 + t * dx, a.1 + t * dy)
}
